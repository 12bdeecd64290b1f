"""The layers of a surveyed raster: mask, probability and overlay, first as tiled temporary files, then as COGs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.imaging.cog import BLOCK_PX, Fraction, gdal_for, open_temporary, remove_leftovers
from fissura.imaging.write import temporary_path
from fissura.segmenting import RIM_PX
from fissura.survey.raster_region import Region
from fissura.survey.raster_strips import Grey
from fissura.survey.raster_windows import RasterWindows
from fissura.types import BoolMask, RgbImage

_OUTLINE_PX = 1024
_DRAW_COLUMNS, _DRAW_MARGIN_PX = 4096, 48


@dataclass(frozen=True)
class LayerFiles:
    """Where the layers are, each a COG with the raster's place on the map; None leaves one out.

    Attributes:
        mask: 0 and 255.
        probability: round(255 p).
        overlay: RGB, JPEG-compressed.
    """

    mask: Path | None
    probability: Path | None
    overlay: Path | None


class RasterLayers:
    """Writes the layers of one raster.

    Args:
        raster: The raster.
        files: Where to.
        folder: For temporary files.
        region: Of interest; outside nothing is reported.
    """

    def __init__(self, raster: RasterWindows, files: LayerFiles, folder: Path, region: Region | None) -> None:
        self.files = files
        self._raster, self._region = raster, region
        self._grey, self._mask, self._overlay = (
            temporary_path(folder / f"{name}.layer") for name in ("probability", "mask", "overlay")
        )
        self._cell = max(1, -(-max(raster.size_hw) // _OUTLINE_PX))
        self._inspected_px = 0
        self._cells: npt.NDArray[np.float64] = np.zeros((0, 0))

    @contextmanager
    def open_grey(
        self, read_rows: Callable[[int, int], Grey], threshold: float, part: AbstractContextManager[Fraction]
    ) -> Iterator[Callable[[slice, slice], Grey]]:
        """Write probability and mask, and give a function that reads windows of the probability.

        All temporary files are deleted at the end of the block.

        Args:
            read_rows: What the network found.
            threshold: Values above it are crack.
            part: Progress.
        """
        import rasterio
        from rasterio.windows import Window

        for target in (self.files.mask, self.files.probability, self.files.overlay):
            if target is not None:
                remove_leftovers(target)
        try:
            with part as told:
                self._write_grey(read_rows, threshold, told)
            with rasterio.open(self._grey) as dataset:

                def read(rows: slice, columns: slice) -> Grey:
                    size = columns.stop - columns.start, rows.stop - rows.start
                    with gdal_for(self._grey):
                        return np.asarray(dataset.read(1, window=Window(columns.start, rows.start, *size)), np.uint8)

                yield read
        finally:
            for path in (self._grey, self._mask, self._overlay):
                path.unlink(missing_ok=True)

    def draw(self, draw: Callable[[RgbImage, int, int], RgbImage], told: Fraction) -> None:
        """Write the overlay, window by window.

        Args:
            draw: From a window of the raster, its first row and column to the picture.
            told: Progress.
        """
        if self.files.overlay is None:
            return
        height, width = self._raster.size_hw
        with open_temporary(self._overlay, (height, width), 3, self._raster.placement, packing="jpeg") as dataset:
            for top in range(0, height, BLOCK_PX):
                bottom = min(top + BLOCK_PX, height)
                valid = self._raster.read_valid(top, bottom)
                for left in range(0, width, _DRAW_COLUMNS):
                    right = min(left + _DRAW_COLUMNS, width)
                    rgb = self._draw_window(draw, top, bottom, left, right)
                    if valid is not None:
                        rgb[~valid[:, left:right]] = 0
                    dataset.write(np.moveaxis(rgb, 2, 0), window=_window(top, bottom, left, right))
                self._mark(dataset, valid, top, bottom)
                told(bottom / height)

    def _draw_window(
        self, draw: Callable[[RgbImage, int, int], RgbImage], top: int, bottom: int, left: int, right: int
    ) -> RgbImage:
        """One window, cut from a larger one: lines look a little different where a picture ends."""
        first, start = max(top - _DRAW_MARGIN_PX, 0), max(left - _DRAW_MARGIN_PX, 0)
        last, stop = (
            min(end + _DRAW_MARGIN_PX, side) for end, side in zip((bottom, right), self._raster.size_hw, strict=True)
        )
        drawn = draw(self._raster.read_window(slice(first, last), slice(start, stop)), first, start)
        return drawn[top - first : bottom - first, left - start : right - start]

    def plan(self) -> list[tuple[str, Path, Path, dict[str, Any]]]:
        """What is to become a COG: name, temporary file, target, and how `write_cog` treats it."""
        rows = [
            # Thin lines stay visible where the map shows the raster small.
            ("mask", self._mask, self.files.mask, {"overviews": "rms"}),
            ("probability", self._grey, self.files.probability, {"overviews": "average"}),
            ("overlay", self._overlay, self.files.overlay, {"packing": "jpeg"}),
        ]
        return [(name, source, target, looks) for name, source, target, looks in rows if target is not None]

    def inspected(self) -> tuple[float, Any]:
        """Share of the pixels that was looked at, and its outline: shapely geometry in pixels (row, column)."""
        from rasterio.features import shapes
        from rasterio.transform import Affine
        from shapely.geometry import MultiPolygon, box, shape

        height, width = self._raster.size_hw
        share = self._inspected_px / (height * width)
        edges = box(-0.5, -0.5, height - 0.5, width - 0.5)
        if self._inspected_px == height * width:
            return 1.0, edges
        # Turned over its diagonal: the first coordinate of the outlines is then the row.
        grid = np.ascontiguousarray((self._cells > 0.5).T, np.uint8)
        to_rc = Affine(self._cell, 0, -0.5, 0, self._cell, -0.5)
        found = [shape(outline) for outline, _ in shapes(grid, mask=grid > 0, transform=to_rc)]
        whole = MultiPolygon(found).buffer(0)
        return share, whole.simplify(self._cell).intersection(edges)

    def _write_grey(self, read_rows: Callable[[int, int], Grey], threshold: float, told: Fraction) -> None:
        height, width = self._raster.size_hw
        self._inspected_px = 0
        counter = _CellCounter(self._cell, height, width)
        with ExitStack() as stack:
            grey_file, mask_file = (
                stack.enter_context(open_temporary(path, (height, width), 1, self._raster.placement))
                for path in (self._grey, self._mask)
            )
            for top in range(0, height, BLOCK_PX):
                bottom = min(top + BLOCK_PX, height)
                grey = read_rows(top, bottom)
                valid, inner = self._read_valid(top, bottom)
                looked_at = valid
                if self._region is not None:
                    inside = self._region.rows(top, bottom)
                    looked_at = inside if valid is None else inside & valid
                    inner = inside if inner is None else inside & inner
                if inner is not None:
                    grey = grey * inner.view(np.uint8)
                window = _window(top, bottom, 0, width)
                grey_file.write(grey, 1, window=window)
                mask_file.write((grey > threshold).view(np.uint8) * np.uint8(255), 1, window=window)
                for dataset in (grey_file, mask_file):
                    self._mark(dataset, valid, top, bottom)
                self._inspected_px += (bottom - top) * width if looked_at is None else int(looked_at.sum())
                counter.add(looked_at, bottom - top)
                told(bottom / height)
        self._cells = counter.shares()

    def _mark(self, dataset: Any, valid: BoolMask | None, top: int, bottom: int) -> None:
        """Mark invalid pixels in a file's mask band, which is there only if the raster can have some."""
        if self._raster.always_valid:
            return
        shown = np.ones((bottom - top, self._raster.width), np.bool_) if valid is None else valid
        dataset.write_mask(shown, window=_window(top, bottom, 0, self._raster.width))

    def _read_valid(self, top: int, bottom: int) -> tuple[BoolMask | None, BoolMask | None]:
        """What is valid, and what of it is clear of the rim of what is not; None if all is."""
        low, high = max(top - RIM_PX, 0), min(bottom + RIM_PX, self._raster.height)
        valid = self._raster.read_valid(low, high)
        if valid is None:
            return None, None
        kernel = np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8)
        inner = cv2.erode(valid.view(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
        rows = slice(top - low, bottom - low)
        return valid[rows], np.asarray(inner, np.bool_)[rows]


class _CellCounter:
    """Share of inspected pixels in the cells of a coarse grid, from strips of rows."""

    def __init__(self, cell: int, height: int, width: int) -> None:
        self._cell, self._row = cell, 0
        self._starts = np.arange(0, width, cell)
        self._columns = np.minimum(cell, width - self._starts)
        rows = np.minimum(cell, height - np.arange(0, height, cell))
        self._sizes = rows[:, None] * self._columns[None]
        self._sums = np.zeros(self._sizes.shape)

    def add(self, looked_at: BoolMask | None, rows: int) -> None:
        """The next rows; None for all of them."""
        numbers = np.arange(self._row, self._row + rows) // self._cell
        if looked_at is None:
            np.add.at(self._sums, numbers, self._columns)
        else:
            np.add.at(self._sums, numbers, np.add.reduceat(looked_at.astype(np.int32), self._starts, axis=1))
        self._row += rows

    def shares(self) -> npt.NDArray[np.float64]:
        """Shape (cells down, cells across), 0 to 1."""
        return np.asarray(self._sums / self._sizes, np.float64)


def _window(top: int, bottom: int, left: int, right: int) -> Any:
    from rasterio.windows import Window

    return Window(left, top, right - left, bottom - top)
