"""How far a shipped model's result depends on where in the canvas, and which way round, an image lies.

CrackAM pools over the whole tile, so the network sees where the tiles lie, and a convolution network is not
symmetric by itself. The figures are what users can count on; `pytest -s` prints them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fissura.infer import Segmenter, list_models, load_segmenter
from fissura.synth.crops import render_training_crop
from fissura.types import BoolMask

SHIPPED = [model.name for model in list_models()]


def scene(seed: int, side: int = 480) -> tuple[npt.NDArray[np.uint8], BoolMask]:
    return render_training_crop(np.random.default_rng(seed), side, crack_probability=1.0)


def overlap_f1(a: BoolMask, b: BoolMask) -> float:
    """F1 of one mask against the other; 1 if both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


@pytest.mark.skipif(not SHIPPED, reason="no model is shipped yet")
@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("change", ["larger canvas, whole steps", "larger canvas, odd steps", "transpose", "flips"])
def test_agreement_of_a_shipped_model(name: str, change: str) -> None:
    segmenter = load_segmenter(name, precision="fp32")
    masks = [_masks(segmenter, seed, change) for seed in range(3)]
    same = float(np.mean([np.mean(a == b) for a, b in masks]))
    f1 = overlap_f1(np.stack([a for a, _ in masks]), np.stack([b for _, b in masks]))
    print(f"\n{name}, {change}: {same:.4%} of pixels agree, F1 between the masks {f1:.3f}")
    assert same > 0.99
    assert f1 > 0.80


def _masks(segmenter: Segmenter, seed: int, change: str) -> tuple[BoolMask, BoolMask]:
    rgb, _ = scene(seed)
    plain = segmenter.segment(rgb).mask
    if change == "transpose":
        return plain, segmenter.segment(np.ascontiguousarray(rgb.swapaxes(0, 1))).mask.T
    if change == "flips":
        return plain, segmenter.segment(np.ascontiguousarray(rgb[::-1, ::-1])).mask[::-1, ::-1]
    step = segmenter.card.stride if "whole" in change else 101
    height, width = rgb.shape[:2]
    canvas = np.pad(rgb, ((step, step), (step, step), (0, 0)), mode="reflect")
    return plain, segmenter.segment(canvas).mask[step : step + height, step : step + width]
