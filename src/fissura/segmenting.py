"""From a scene to its crack mask: scales, region of interest, rims, short pieces.

Memory is what the result needs and not a multiple of the picture: rows go through the network in bands, and the
probability is kept in 8 bits. The result takes two bytes a pixel, three where some pixels are invalid; on the way it
is up to 1 byte more, 1.3 where short pieces are dropped at several scales (16 megapixels, without the network's own).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import SettingsError
from fissura.imaging.scene import ScaledScene, Scene, enlarge_rows
from fissura.infer.segmenter import Segmenter
from fissura.types import BoolMask, RgbImage

LARGE_PIXELS = 4_000_000
WIDE_PX = 5
"""A reduced scale adds only what is at least this wide there."""
RIM_PX = 3
"""Width of the strip along invalid pixels in which nothing is reported: their edge is no crack."""
_BLOCK_PX = 4096
_BAND_ROWS = 512

Progress = Callable[[float], None]
"""Told the megapixels just finished, counted at the network's scales."""


def plan_scales(height: int, width: int) -> tuple[float, ...]:
    """Scales of ``--scale auto``; the first is the finest.

    Above 4 megapixels the picture is also seen at a half and a quarter, which costs 31 % more and fills cracks
    wider than a tile's view. Anything else is seen as it is: enlarging small pictures twice was measured on five
    validation sets and lost more on wide cracks than it found of thin ones (docs/LOG.md).

    >>> plan_scales(6000, 8000)
    (1.0, 0.5, 0.25)
    """
    if height * width > LARGE_PIXELS:
        return (1.0, 0.5, 0.25)
    return (1.0,)


def parse_scale(text: str) -> float | None:
    """A factor, or None for ``auto``.

    Raises:
        SettingsError: Neither.
    """
    if text == "auto":
        return None
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 0.05 <= scale <= 8:
        raise SettingsError(f"--scale is '{text}'; give auto, or a factor from 0.05 to 8, for example 0.5 or 2")
    return scale


@dataclass(frozen=True, eq=False)
class SceneResult:
    """What was found in a scene.

    Attributes:
        mask: Shape (H, W), True is crack.
        probability: Shape (H, W), round(255 p); 0 where the scene is not valid or not of interest.
        valid: Shape (H, W), or None if every pixel is valid.
    """

    mask: BoolMask
    probability: npt.NDArray[np.uint8]
    valid: BoolMask | None


def segment_scene(
    scene: Scene,
    segmenter: Segmenter,
    *,
    scale: float | None = 1.0,
    min_length_px: float = 0.0,
    roi: BoolMask | None = None,
    progress: Progress | None = None,
) -> SceneResult:
    """Segment a scene at one or several scales.

    Args:
        scene: The picture.
        segmenter: The model and its threshold.
        scale: One factor, or None to follow `plan_scales`.
        min_length_px: Pieces whose bounding box has a shorter diagonal are dropped from the mask.
        roi: Shape (H, W); nothing outside is reported. Inside, results are those without a region of interest.
        progress: Told the finished megapixels; all calls add up to `count_megapixels`.
    """
    scales = plan_scales(scene.height, scene.width) if scale is None else (scale,)
    finest = scales[0]
    report = progress or (lambda megapixels: None)
    view = _Restricted(scene, roi, reach_px=math.ceil(segmenter.card.tile / min(scales)))
    coarse = [open_wide(_segment_scaled(view, segmenter, factor, report)) for factor in scales[1:]]
    size_hw = scene.height, scene.width
    mask, probability = np.zeros(size_hw, np.bool_), np.zeros(size_hw, np.uint8)
    if finest == 1.0:
        bands = segmenter.iter_bands(view.read_rows, *size_hw)
    else:
        bands = _iter_fitted(_segment_scaled(view, segmenter, finest, report), size_hw)
    for top, band in bands:
        rows = slice(top, top + len(band))
        for other in coarse:
            np.maximum(band, enlarge_rows(other, top, top + len(band), *size_hw) / np.float32(255), out=band)
        mask[rows] = band > segmenter.threshold
        probability[rows] = np.rint(band * 255)
        if finest == 1.0:
            report(band.size / 1e6)
    valid = view.valid
    _blank(mask, probability, valid, roi)
    if min_length_px > 0:
        drop_short(mask, min_length_px)
    return SceneResult(mask, probability, valid)


def count_megapixels(height: int, width: int, scale: float | None) -> float:
    """How much `segment_scene` will report as progress, about."""
    scales = plan_scales(height, width) if scale is None else (scale,)
    return height * width * sum(factor**2 for factor in scales) / 1e6


def drop_short(mask: BoolMask, min_length_px: float) -> None:
    """Drop 8-connected pieces whose bounding box has a diagonal below ``min_length_px``, in place.

    Works in blocks with a margin of that length, which gives what the whole mask would: a piece that leaves the
    block and its margin is long enough.
    """
    margin = math.ceil(min_length_px) + 1
    source = mask.copy()
    for top in range(0, mask.shape[0], _BLOCK_PX):
        for left in range(0, mask.shape[1], _BLOCK_PX):
            row, col = max(0, top - margin), max(0, left - margin)
            block = source[row : top + _BLOCK_PX + margin, col : left + _BLOCK_PX + margin]
            if not block.any():
                continue
            block = np.ascontiguousarray(block)
            _, labels, stats, _ = cv2.connectedComponentsWithStats(block.view(np.uint8), connectivity=8)
            length = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
            keep = length >= min_length_px
            keep[0] = False
            inner = labels[top - row : top - row + _BLOCK_PX, left - col : left - col + _BLOCK_PX]
            mask[top : top + _BLOCK_PX, left : left + _BLOCK_PX] = keep[inner]


class _Restricted:
    """A scene of which only a region and its surroundings, as far as a tile reaches, are looked at.

    Attributes:
        valid: Validity of the scene itself, from the rows read so far; None if all of them were valid.
    """

    def __init__(self, scene: Scene, roi: BoolMask | None, *, reach_px: int) -> None:
        self.height, self.width = scene.height, scene.width
        self._scene = scene
        self._near: BoolMask | None = None
        self._cell = 64
        self.valid: BoolMask | None = None
        if roi is not None:
            starts = [np.arange(0, size, self._cell) for size in roi.shape]
            cells = np.logical_or.reduceat(np.logical_or.reduceat(roi, starts[0], axis=0), starts[1], axis=1)
            radius = math.ceil(reach_px / self._cell)
            # Two passes with lines in place of one with a square: the radius may be large.
            grown = cv2.dilate(cells.view(np.uint8), np.ones((2 * radius + 1, 1), np.uint8))
            self._near = cv2.dilate(grown, np.ones((1, 2 * radius + 1), np.uint8)).astype(np.bool_)

    def read_rows(self, start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        rgb, valid = self._scene.read_rows(start, stop)
        if valid is not None:
            if self.valid is None:
                self.valid = np.ones((self.height, self.width), np.bool_)
            self.valid[start:stop] = valid
        if self._near is None:
            return rgb, valid
        rows, cols = np.arange(start, stop) // self._cell, np.arange(self.width) // self._cell
        near = self._near[rows][:, cols]
        return rgb, near if valid is None else near & valid


def _segment_scaled(scene: _Restricted, segmenter: Segmenter, scale: float, report: Progress) -> npt.NDArray[np.uint8]:
    """Probability at a scale, round(255 p)."""
    view = ScaledScene(scene, scale)
    out = np.zeros((view.height, view.width), np.uint8)
    for top, band in segmenter.iter_bands(view.read_rows, view.height, view.width):
        out[top : top + len(band)] = np.rint(band * 255)
        report(band.size / 1e6)
    return out


def open_wide(probability: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Keep what is at least `WIDE_PX` wide: a hairline seen at a coarse scale would come back too thick."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (WIDE_PX, WIDE_PX))
    return np.asarray(cv2.morphologyEx(probability, cv2.MORPH_OPEN, disc), np.uint8)


def _iter_fitted(
    probability: npt.NDArray[np.uint8], size_hw: tuple[int, int]
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """A result at another scale in bands of rows at the scene's own size."""
    height, width = size_hw
    if probability.shape[0] > height or probability.shape[1] > width:
        # Enlarged results shrink by area, so that a hairline one fine pixel wide fades instead of vanishing.
        probability = np.asarray(cv2.resize(probability, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        probability = probability.reshape(size_hw)
    for top in range(0, height, 256):
        yield top, enlarge_rows(probability, top, min(top + 256, height), height, width) / np.float32(255)


def _blank(mask: BoolMask, probability: npt.NDArray[np.uint8], valid: BoolMask | None, roi: BoolMask | None) -> None:
    """Clear what lies outside the region of interest, and on or beside invalid pixels, in place."""
    if valid is None and roi is None:
        return
    height = mask.shape[0]
    kernel = np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8)
    # In bands with a margin: whole, it would take two bytes a pixel more.
    for top in range(0, height, _BAND_ROWS):
        rows = slice(top, min(top + _BAND_ROWS, height))
        keep = None if roi is None else roi[rows]
        if valid is not None:
            first = max(0, top - RIM_PX)
            seen = valid[first : rows.stop + RIM_PX].view(np.uint8)
            inner = cv2.erode(seen, kernel, borderValue=1)[top - first :][: rows.stop - top].astype(np.bool_)
            keep = inner if keep is None else keep & inner
        assert keep is not None
        mask[rows] &= keep
        probability[rows] *= keep.view(np.uint8)
