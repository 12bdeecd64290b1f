"""Synthetic scenes with exact truth: the ruler of the measurements and the source of every test image.

Torch-free; numpy and OpenCV only. Every picture is repeated exactly by its seed.
"""

from fissura.synth.camera import NadirCamera
from fissura.synth.cracks import CrackVector, coverage_map, crack_mask
from fissura.synth.crops import render_training_crop
from fissura.synth.photo import Geotag, write_photo
from fissura.synth.scene import SyntheticScene, render_scene

__all__ = [
    "CrackVector",
    "Geotag",
    "NadirCamera",
    "SyntheticScene",
    "coverage_map",
    "crack_mask",
    "render_scene",
    "render_training_crop",
    "write_photo",
]
