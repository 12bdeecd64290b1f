"""The network over a large raster: the scales and rules of `fissura.segmenting.segment_scene`, with nothing in memory.

The tiles are those of the whole raster, so the result does not depend on how often a run was interrupted: it goes on
at the first tile that touches a row that is not on disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fissura.imaging.scene import RowReader, ScaledScene, axis_weights, interpolate_rows
from fissura.infer.segmenter import Segmenter
from fissura.segmenting import WIDE_PX, open_wide, plan_scales
from fissura.survey.raster_region import Region
from fissura.survey.raster_strips import Grey, Strips, StripWriter
from fissura.survey.raster_windows import RasterWindows
from fissura.tiling import plan_tiles
from fissura.types import BoolMask, RgbImage

Report = Callable[[float], None]
"""Told the megapixels just finished."""

_MARGIN_PX = 2 * (WIDE_PX // 2)
_PIECE_PX = 64


class NetworkRows:
    """Probability of a raster, round(255 p), row by row; `run` computes what is not on disk.

    Args:
        raster: The raster.
        segmenter: The network.
        folder: For its strips.
        scale: At which the network sees the raster; None for several, see `plan_scales`.
        region: Of interest; None for everything.
    """

    def __init__(
        self, raster: RasterWindows, segmenter: Segmenter, folder: Path, scale: float | None, region: Region | None
    ) -> None:
        self._raster, self._segmenter = raster, segmenter
        self.scales = plan_scales(*raster.size_hw) if scale is None else (scale,)
        reach_px = math.ceil(segmenter.card.tile / min(self.scales))
        self._view = raster if region is None else _Nearby(raster, region, reach_px)
        self._scaled: dict[float, ScaledScene] = {s: ScaledScene(self._view, s) for s in self.scales if s != 1.0}
        self._strips = {s: Strips(folder, f"scale{s:g}", *self._size(s)) for s in self.scales}

    @property
    def megapixels(self) -> float:
        """All that the network has to see."""
        return sum(h * w for h, w in map(self._size, self.scales)) / 1e6

    @property
    def slices(self) -> int:
        """Tiles of the plan; those without a valid pixel are not computed."""
        card = self._segmenter.card
        return sum(len(plan_tiles(*self._size(s), card.tile, card.overlap)) for s in self.scales)

    def run(self, report: Report) -> None:
        """Compute what is missing, the coarse scales first.

        Raises:
            ImageError: The raster is damaged.
            OutputError: A strip cannot be written; those before are on disk.
        """
        for scale in reversed(self.scales):
            self._run_scale(scale, report)

    def read(self, start: int, stop: int) -> Grey:
        """Rows [start, stop) at the raster's own size."""
        finest = self.scales[0]
        strips = self._strips[finest]
        if finest == 1.0:
            return strips.read(start, stop)
        if strips.height > self._raster.height or strips.width > self._raster.width:
            return _reduced(strips, start, stop, self._raster.size_hw)
        found = _enlarged(strips, start, stop, self._raster.size_hw, opened=False)
        size_hw = stop - start, self._raster.width
        return np.zeros(size_hw, np.uint8) if found is None else np.asarray(np.rint(found), np.uint8)

    def _run_scale(self, scale: float, report: Report) -> None:
        view, strips, segmenter = self._scaled.get(scale, self._view), self._strips[scale], self._segmenter
        coarse = [self._strips[s] for s in self.scales[1:]] if scale == 1.0 else []
        done = strips.finished_rows()
        report(done * strips.width / 1e6)
        if done == strips.height:
            return
        first = restart_row(done, strips.height, segmenter.card.tile, segmenter.card.overlap)

        def read_rows(start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
            return _read_in_pieces(view, first + start, first + stop)

        writer = StripWriter(strips, done)
        for top, band in segmenter.iter_bands(read_rows, strips.height - first, strips.width):
            row = first + top
            for other in coarse:
                wide = _enlarged(other, row, row + len(band), self._raster.size_hw, opened=True)
                if wide is not None:
                    np.maximum(band, wide / np.float32(255), out=band)
            new = writer.add(row, np.rint(band * 255).astype(np.uint8))
            report(new * strips.width / 1e6)

    def _size(self, scale: float) -> tuple[int, int]:
        scaled = self._scaled.get(scale)
        return self._raster.size_hw if scaled is None else (scaled.height, scaled.width)


def restart_row(done: int, height: int, tile: int, overlap: int) -> int:
    """First row to read so that the rows from ``done`` on come out as if the tiles had begun at row 0.

    From there the plan of the rest has the same tiles, and the weights of all but the first rows are the same.

    >>> restart_row(1024, 5000, 256, 64), restart_row(40, 5000, 256, 64), restart_row(200, 250, 256, 64)
    (960, 0, 0)
    """
    starts = range(0, height - tile, tile - overlap)
    if not len(starts):
        return 0
    return starts[min(max(done - overlap, 0) // (tile - overlap), len(starts) - 1)]


def _read_in_pieces(view: RowReader, start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
    """Rows [start, stop); at a small scale each of them takes several of the raster's, and memory for those."""
    pieces = [view.read_rows(top, min(top + _PIECE_PX, stop)) for top in range(start, stop, _PIECE_PX)]
    valid = [np.ones(rgb.shape[:2], np.bool_) if mask is None else mask for rgb, mask in pieces]
    rgb = np.concatenate([rgb for rgb, _ in pieces])
    return rgb, None if all(mask is None for _, mask in pieces) else np.concatenate(valid)


class _Nearby:
    """A raster of which only a region and its surroundings, as far as a tile reaches, are looked at."""

    def __init__(self, raster: RowReader, region: Region, reach_px: int) -> None:
        self._raster, self._region, self._reach_px = raster, region, reach_px
        self.height, self.width = raster.height, raster.width

    def read_rows(self, start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        rgb, valid = self._raster.read_rows(start, stop)
        near = self._region.near(start, stop, self._reach_px)
        return rgb, near if valid is None else near & valid


def _enlarged(
    strips: Strips, start: int, stop: int, size_hw: tuple[int, int], *, opened: bool
) -> npt.NDArray[np.float32] | None:
    """Rows [start, stop) of a smaller picture stretched to a size, 0 to 255; None if they are 0 throughout."""
    rows = axis_weights(start, stop, size_hw[0], float(strips.height), strips.height)
    low, high = int(rows[0][0]), int(rows[1][-1]) + 1
    if opened:
        top, bottom = max(low - _MARGIN_PX, 0), min(high + _MARGIN_PX, strips.height)
        part = strips.read(top, bottom)
        part = (open_wide(part) if part.any() else part)[low - top : high - top]
    else:
        part = strips.read(low, high)
    if not part.any():
        return None
    columns = axis_weights(0, size_hw[1], size_hw[1], float(strips.width), strips.width)
    return interpolate_rows(part[..., None], rows, columns, low)[..., 0]


def _reduced(strips: Strips, start: int, stop: int, size_hw: tuple[int, int]) -> Grey:
    """Rows [start, stop) of a larger picture averaged by area to a size, so that a hairline fades and stays."""
    ratio = strips.height / size_hw[0]
    low, high = math.floor(start * ratio + 1e-9), min(math.ceil(stop * ratio - 1e-9), strips.height)
    part = strips.read(low, high)
    if not part.any():
        return np.zeros((stop - start, size_hw[1]), np.uint8)
    edges = np.arange(start, stop + 1) * ratio - low
    pixel = np.arange(high - low)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    rows = (np.maximum(covered, 0) / ratio).astype(np.float32) @ part.astype(np.float32)
    out = cv2.resize(rows, (size_hw[1], stop - start), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(np.asarray(out).reshape(stop - start, size_hw[1])), np.uint8)
