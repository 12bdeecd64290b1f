"""Draw cracks on a picture so that a hairline is seen at first glance and the crack itself stays visible.

The picture loses some colour and contrast. Around every crack runs a band of a vivid colour, wider in larger
pictures, so that it is still seen when the whole picture fits on a screen. The crack's own pixels keep the
picture, tinted, so that one sees what was marked.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.types import BoolMask, Probability, RgbImage

MAX_OVERLAY_PIXELS = 60_000_000
"""Overlays of larger images are reduced by a whole factor."""

BAND_RGB = (255, 0, 170)
"""Magenta: rare on roads, concrete and masonry, and told apart by colour-blind eyes through its brightness."""
_TINT_RGB = (255, 225, 0)
_SCREEN_PX = 1400


def draw_overlay(rgb: RgbImage, mask: BoolMask, *, probability: Probability | None = None) -> RgbImage:
    """Draw a crack mask on its picture.

    Args:
        rgb: Shape (H, W, 3).
        mask: Shape (H, W), True is crack.
        probability: Shape (H, W), 0 to 1; where given, less certain cracks have a paler band.
    Returns:
        A new picture, shape (H, W, 3).
    Raises:
        GeometryError: Shapes differ.
    """
    if mask.shape != rgb.shape[:2]:
        raise GeometryError(f"the mask is {mask.shape} and the picture {rgb.shape[:2]}; both must have one size")
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    out = cv2.addWeighted(rgb, 0.45, grey, 0.45, 22.0)
    if not mask.any():
        return np.asarray(out, np.uint8)
    gap, band_width = plan_band(*mask.shape)
    crack = mask.view(np.uint8)
    near = _dilate(crack, gap)
    band = _dilate(near, band_width) & (near ^ 1)
    spread = None if probability is None else _dilate(probability, gap + band_width)
    for top in range(0, len(out), 512):
        rows = slice(top, top + 512)
        at = band[rows].astype(bool)
        if at.any():
            weight = 0.9 if spread is None else (0.35 + 0.6 * spread[rows][at])[:, None]
            part = out[rows]
            part[at] = np.rint((1 - weight) * part[at] + weight * np.array(BAND_RGB, np.float32)).astype(np.uint8)
        inside = mask[rows]
        if inside.any():
            part = out[rows]
            # Screen-like tint: dark crack pixels turn dark amber, so their texture stays readable.
            tinted = 0.7 * rgb[rows][inside] + 0.3 * np.array(_TINT_RGB, np.float32)
            part[inside] = np.rint(tinted).astype(np.uint8)
    return np.asarray(out, np.uint8)


def plan_band(height: int, width: int) -> tuple[int, int]:
    """Gap between crack and band, and width of the band, in pixels, for a picture of this size.

    The band is about two pixels of a screen wide when the whole picture is shown on it.
    """
    per_screen_pixel = max(height, width) / _SCREEN_PX
    return max(0, round(0.7 * per_screen_pixel)), max(2, round(1.8 * per_screen_pixel))


def reduce_rgb(rgb: RgbImage, factor: int) -> RgbImage:
    """Reduce a picture by a whole factor, averaging; sizes are rounded up, the border repeats."""
    if factor == 1:
        return rgb
    height, width = -(-rgb.shape[0] // factor), -(-rgb.shape[1] // factor)
    pad_hw = height * factor - rgb.shape[0], width * factor - rgb.shape[1]
    if any(pad_hw):
        rgb = cv2.copyMakeBorder(rgb, 0, pad_hw[0], 0, pad_hw[1], cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def reduce_mask(mask: BoolMask, factor: int) -> BoolMask:
    """Reduce a mask by a whole factor; a cell with any crack pixel is crack, so that hairlines survive."""
    if factor == 1:
        return mask
    rows, cols = np.arange(0, mask.shape[0], factor), np.arange(0, mask.shape[1], factor)
    reduced: BoolMask = np.logical_or.reduceat(np.logical_or.reduceat(mask, rows, axis=0), cols, axis=1)
    return reduced


def plan_overlay_factor(height: int, width: int) -> int:
    """Whole factor by which an overlay is reduced: within `MAX_OVERLAY_PIXELS` and what JPEG can hold."""
    factor = 1
    while height * width > MAX_OVERLAY_PIXELS * factor**2 or max(height, width) > 65_000 * factor:
        factor += 1
    return factor


def _dilate(mask: npt.NDArray[Any], radius: int) -> npt.NDArray[Any]:
    if radius < 1:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask, disc))
