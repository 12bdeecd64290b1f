"""A whole synthetic picture with exact truth: surface, things on it, cracks in millimetres, camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from fissura.errors import SettingsError
from fissura.synth.camera import NadirCamera
from fissura.synth.cracks import CrackVector, coverage_map, crack_mask, grow_crack, grow_network
from fissura.synth.distractors import HARD_NEGATIVES, ON_PHOTOGRAPHS, Distractor, tar_seal
from fissura.synth.textures import FloatImage, asphalt, cell_noise, concrete
from fissura.types import BoolMask, Probability, RgbImage

Surface = Literal["asphalt", "concrete"]

_TEXTURES = {"asphalt": asphalt, "concrete": concrete}
_USUAL: dict[str, tuple[str, ...]] = {
    "asphalt": ("stain", "marking", "scratches", "shadow"),
    "concrete": ("formwork", "joint", "stain", "shadow"),
}
DISTRACTORS: dict[str, Distractor] = {name: entry[0] for name, entry in (HARD_NEGATIVES | ON_PHOTOGRAPHS).items()} | {
    "tar_seal": tar_seal
}
"""What can be put on a surface, by name."""


@dataclass(frozen=True)
class SyntheticScene:
    """A rendered picture and all that is known about it.

    Attributes:
        rgb: The picture, (H, W, 3) uint8.
        mask: Crack pixels, (H, W), by the rule in `fissura.synth.cracks`.
        coverage: Share of each pixel's area inside a crack, (H, W), 0 to 1.
        cracks: The branches, in millimetres on the ground.
        gsd_mm: Ground size of one pixel in millimetres.
        kind: The surface, ``asphalt`` or ``concrete``.
        camera: The camera that took the picture.
    """

    rgb: RgbImage
    mask: BoolMask
    coverage: Probability
    cracks: tuple[CrackVector, ...]
    gsd_mm: float
    kind: str
    camera: NadirCamera


def render_scene(
    seed: int,
    *,
    size_hw: tuple[int, int] = (512, 512),
    surface: Surface = "asphalt",
    cracks: bool | Sequence[CrackVector] = True,
    distractors: bool | Sequence[str] = True,
    camera: NadirCamera | None = None,
    gsd_mm: float = 1.0,
    crack_width_mm: tuple[float, float] = (0.5, 8.0),
) -> SyntheticScene:
    """Draw a scene. The same arguments give the same pixels.

    Cracks depend on the seed and the extent on the ground alone: half the pixels at twice the ground
    sampling distance show the same cracks.

    Args:
        seed: Not negative.
        size_hw: Picture size in pixels; with ``camera``, the camera's size holds instead.
        surface: ``asphalt`` or ``concrete``.
        cracks: True for random cracks, False for none, or the branches to draw.
        distractors: True for the usual ones of the surface, False for none, or names from `DISTRACTORS`.
        camera: Optics and height; without it, a mild default at the height that gives ``gsd_mm``.
        gsd_mm: Ground size of one pixel in millimetres; with ``camera``, the camera's holds instead.
        crack_width_mm: Smallest and largest width anywhere on a random crack, in millimetres.
    Raises:
        SettingsError: An argument is out of range or names something unknown.
    """
    _check(size_hw, surface, distractors, crack_width_mm)
    if camera is None:
        camera = NadirCamera.for_gsd(gsd_mm, size_hw)
    hw, gsd = camera.image_hw, camera.gsd_mm
    # One stream for each part: switching cracks off leaves the surface as it was.
    ground, growth, things, light = (np.random.default_rng([seed, part]) for part in range(4))
    image = _TEXTURES[surface](ground, hw, 1.0 / gsd)
    image *= np.float32(np.clip(image.mean(), 0.3, 0.6) / image.mean())
    if isinstance(cracks, bool):
        extent = (hw[0] * gsd, hw[1] * gsd)
        drawn = grow_cracks(growth, extent, surface, crack_width_mm) if cracks else ()
    else:
        drawn = tuple(cracks)
    names = _USUAL[surface] if distractors is True else tuple(distractors or ())
    for name in (n for n in names if n != "shadow"):
        DISTRACTORS[name](things, image, 1.0 / gsd)
    coverage = coverage_map(drawn, hw, gsd)
    _darken(ground, image, coverage)
    if "shadow" in names:  # Falls on the cracks too.
        DISTRACTORS["shadow"](things, image, 1.0 / gsd)
    mask = crack_mask(drawn, coverage, gsd)
    return SyntheticScene(camera.expose(image, light), mask, coverage, drawn, gsd, surface, camera)


def _check(
    size_hw: tuple[int, int], surface: str, distractors: bool | Sequence[str], crack_width_mm: tuple[float, float]
) -> None:
    if min(size_hw) < 16:
        raise SettingsError(f"size_hw is {size_hw}; a scene needs at least 16 pixels a side")
    if surface not in _TEXTURES:
        raise SettingsError(f"surface is '{surface}'; choose one of {', '.join(_TEXTURES)}")
    unknown = [] if isinstance(distractors, bool) else [n for n in distractors if n not in DISTRACTORS]
    if unknown:
        raise SettingsError(f"no distractor is called '{unknown[0]}'; there are {', '.join(DISTRACTORS)}")
    if not 0 < crack_width_mm[0] <= crack_width_mm[1]:
        raise SettingsError(f"crack_width_mm is {crack_width_mm}; give (smallest, largest), both above 0")


def grow_cracks(
    rng: np.random.Generator, extent_hw_mm: tuple[float, float], surface: str, width_mm: tuple[float, float]
) -> tuple[CrackVector, ...]:
    """Cracks of one scene: a wide one with branches, a hairline, and on asphalt often an alligator field.

    Args:
        rng: Source of randomness.
        extent_hw_mm: Ground shown (height, width), in millimetres.
        surface: ``asphalt`` or ``concrete``.
        width_mm: Every width lies within these two, in millimetres.
    """
    low, high = width_mm
    step = min(extent_hw_mm) / 250.0
    wide = float(np.exp(rng.uniform(np.log(np.sqrt(low * high)), np.log(high)))) * 0.8
    grown = grow_crack(rng, extent_hw_mm, width=wide, step=step, branches=int(rng.integers(1, 5)))
    hairline = grow_crack(rng, extent_hw_mm, width=low * 1.4, step=step, branches=int(rng.integers(0, 2)))
    if surface == "asphalt" and rng.random() < 0.6:
        cell = min(extent_hw_mm) * rng.uniform(0.06, 0.14)
        network = grow_network(rng, extent_hw_mm, width=np.sqrt(low * high), step=step, cell=cell)
        grown += network
    # Parents are counted within each group; shift them to the joint tuple.
    shifted = [replace(c, parent=c.parent + len(grown) if c.parent >= 0 else -1) for c in hairline]
    return tuple(replace(c, width_mm=np.clip(c.width_mm, low, high)) for c in [*grown, *shifted])


def _darken(rng: np.random.Generator, image: FloatImage, coverage: Probability) -> None:
    """Take light away where the crack is, more in some stretches than in others, and a little at its borders."""
    if not coverage.any():
        return
    hw = (image.shape[0], image.shape[1])
    depth = np.clip(rng.uniform(0.72, 0.9) + 0.08 * cell_noise(rng, hw, (30.0, 30.0)), 0.45, 0.97)
    border = np.asarray(cv2.GaussianBlur(coverage, (0, 0), 1.5), np.float32)
    image *= (1.0 - np.float32(rng.uniform(0.0, 0.15)) * border)[..., None]
    image *= (1.0 - depth.astype(np.float32) * coverage)[..., None]
