"""A region of interest on a raster that does not fit into memory, drawn row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from fissura.errors import ImageError
from fissura.imaging.roi import Roi
from fissura.imaging.scene import Scene
from fissura.imaging.write import Placement
from fissura.survey.raster_windows import RasterWindows
from fissura.types import BoolMask

_CELL_PX = 64
_ROWS_AT_ONCE = 8 * _CELL_PX
_COARSE_PX = 2048


class Region:
    """A region of interest, fitted to a raster.

    Args:
        roi: As given.
        raster: The raster.
    Raises:
        ImageError: A mask of another size, or a region that lies outside the raster.
    """

    def __init__(self, roi: Roi, raster: RasterWindows) -> None:
        self._roi, self._raster = roi, raster
        self.height, self.width = raster.size_hw
        self._whole: BoolMask | None = None
        placement = raster.placement
        if roi.is_picture or (placement is not None and placement.by_gcps):
            self._whole = self._fit(_Part(self.height, self.width, placement))
        else:
            self._check()
        self._cells = self._find_cells()
        self._grown: dict[int, BoolMask] = {}

    def rows(self, start: int, stop: int) -> BoolMask:
        """Whether the pixels of the rows [start, stop) are in it, shape (rows, W)."""
        if self._whole is not None:
            return self._whole[start:stop]
        try:
            return self._fit(_Part(stop - start, self.width, self._moved(start, 1.0)))
        except ImageError:
            # It does not touch these rows: that it can be drawn at all was checked on the whole.
            return np.zeros((stop - start, self.width), np.bool_)

    def near(self, start: int, stop: int, reach_px: int) -> BoolMask:
        """Whether pixels are in it or at most about ``reach_px`` away, shape (rows, W)."""
        grown = self._grown.get(reach_px)
        if grown is None:
            side = 2 * math.ceil(reach_px / _CELL_PX) + 1
            # Two passes with lines in place of one with a square: the reach may be long.
            cells = cv2.dilate(self._cells.view(np.uint8), np.ones((side, 1), np.uint8))
            grown = np.asarray(cv2.dilate(cells, np.ones((1, side), np.uint8)), np.bool_)
            self._grown[reach_px] = grown
        rows, columns = np.arange(start, stop) // _CELL_PX, np.arange(self.width) // _CELL_PX
        return grown[rows][:, columns]

    def _fit(self, part: _Part) -> BoolMask:
        return self._roi.fit(cast(Scene, part))

    def _check(self) -> None:
        """Draw it small: errors of its file are found here."""
        factor = max(1.0, max(self.height, self.width) / _COARSE_PX)
        size_hw = math.ceil(self.height / factor), math.ceil(self.width / factor)
        try:
            self._fit(_Part(*size_hw, self._moved(0, factor)))
        except ImageError as error:
            # A small region may fall between the coarse pixels: then its own rows decide.
            if "does not touch" not in str(error) or not self._find_cells().any():
                raise

    def _find_cells(self) -> BoolMask:
        """Cells of a coarse grid that it touches."""
        cells = []
        columns = np.arange(0, self.width, _CELL_PX)
        for top in range(0, self.height, _ROWS_AT_ONCE):
            rows = self.rows(top, min(top + _ROWS_AT_ONCE, self.height))
            down = np.logical_or.reduceat(rows, np.arange(0, len(rows), _CELL_PX), axis=0)
            cells.append(np.logical_or.reduceat(down, columns, axis=1))
        return np.concatenate(cells)

    def _moved(self, row: int, factor: float) -> Placement:
        """The raster's place for a part that begins at a row and has pixels ``factor`` times larger."""
        from rasterio.transform import Affine

        own = self._raster.placement
        transform = Affine.identity() if own is None else own.transform
        part = transform @ Affine.translation(0, row) @ Affine.scale(factor)
        return Placement(None if own is None else own.crs, part)


@dataclass(frozen=True)
class _Part:
    """As much of a `fissura.imaging.scene.Scene` as a region of interest looks at."""

    height: int
    width: int
    placement: Placement | None
