"""Values of other kinds than 8 bits, as they are shown: stretched between two robust percentiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fissura.types import BoolMask, RgbImage

STRETCH_PERCENTILES = (0.5, 99.5)
"""Values deeper than 8 bits between these percentiles of the valid pixels map to 0 to 255."""

_SAMPLE_PIXELS = 2_000_000
"""Of larger pictures the percentiles are those of an even sample."""
_STRIP_PIXELS = 200_000


def estimate_stretch(sample: npt.NDArray[Any]) -> tuple[float, float]:
    """Low and high value of a robust stretch, from valid values of any shape. (0, 1) if there are none."""
    values = np.asarray(sample, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, STRETCH_PERCENTILES)
    return float(low), float(high)


def stretch_to_uint8(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Map low to 0 and high to 255, clipped; one constant value becomes middle grey, NaN 0.

    >>> stretch_to_uint8(np.array([90, 100, 150, 200, 900], np.uint16), 100, 200).tolist()
    [0, 0, 128, 255, 255]
    """
    if high <= low:
        return np.full(values.shape, 128, np.uint8)
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.asarray(np.rint(np.clip(np.nan_to_num(scaled), 0, 255)), np.uint8)


def stretch_note(dtype: str, low: float, high: float) -> str:
    """The note that goes with a stretch."""
    first, last = STRETCH_PERCENTILES
    return f"{dtype} values {low:g} to {high:g} ({first:g} to {last:g} percent) stretched to 0 to 255"


def show_deep(
    colour: npt.NDArray[Any], valid: BoolMask | None, *, stretched: bool = True
) -> tuple[RgbImage, BoolMask | None, tuple[str, ...]]:
    """Grey values or colours of any number type as RGB.

    What is held beside the values and the result does not grow with the picture.

    Args:
        colour: Shape (H, W, 1) or (H, W, 3), as stored; 8 bits are left as they are.
        valid: Shape (H, W), or None if every pixel is valid.
        stretched: Otherwise every value but 0 becomes 255.
    Returns:
        RGB; validity, without what is not finite; notes for the user.
    """
    if colour.dtype.kind == "f":
        finite = np.isfinite(colour).all(axis=2)
        valid = finite if valid is None else valid & finite
    height, width = colour.shape[:2]
    limits = 0.0, 1.0
    notes: tuple[str, ...] = ()
    deep = stretched and colour.dtype != np.uint8
    if deep:
        limits = _estimate_limits(colour, valid)
        notes = (stretch_note(str(colour.dtype), *limits),)
    rgb = np.empty((height, width, 3), np.uint8)
    step = max(1, _STRIP_PIXELS // max(1, width))
    for top in range(0, height, step):
        strip = colour[top : top + step]
        if not stretched:
            strip = (strip != 0).view(np.uint8) * np.uint8(255)
        elif deep:
            strip = stretch_to_uint8(strip, *limits)
        # One channel spreads over all three.
        rgb[top : top + step] = strip
    return rgb, valid, notes


def _estimate_limits(colour: npt.NDArray[Any], valid: BoolMask | None) -> tuple[float, float]:
    height, width = colour.shape[:2]
    step = max(1, math.ceil(math.sqrt(height * width / _SAMPLE_PIXELS)))
    if valid is None:
        return estimate_stretch(colour[::step, ::step])
    sample = colour[::step, ::step][valid[::step, ::step]]
    # Where hardly a pixel is valid the sample may miss all of them.
    return estimate_stretch(sample if sample.size else colour[valid])
