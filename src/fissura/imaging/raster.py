"""GeoTIFFs and other large rasters, read by windows so that memory does not grow with their size."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from fissura.errors import ImageError
from fissura.imaging.deep import estimate_stretch, stretch_note, stretch_to_uint8
from fissura.imaging.overlay import reduce_rgb
from fissura.imaging.read import MAX_PIXELS
from fissura.imaging.write import Placement
from fissura.types import BoolMask, RgbImage

_SAMPLE_SIDE_PX = 1024
_CACHE_BYTES = 256 * 2**20
_COLLAR_LEAST_RUN_PX = 32
_COLLAR_LEAST_SHARE = 0.01


@contextmanager
def open_raster(path: Path) -> Iterator[RasterScene | None]:
    """Open a TIFF by windows if it is georeferenced, states a nodata value, or is too large to decode whole.

    Yields:
        The raster, or None for a plain picture, or a file that GDAL does not know.
    Raises:
        ImageError: It cannot be read.
    """
    if not path.is_file() or path.stat().st_size == 0:
        yield None
        return
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            dataset = rasterio.open(path)
        except RasterioError:
            yield None
            return
        with dataset:
            placed = dataset.crs is not None or not dataset.transform.is_identity or bool(dataset.gcps[0])
            large = dataset.width * dataset.height > MAX_PIXELS
            yield RasterScene(dataset, path) if placed or large or dataset.nodata is not None else None


class RasterScene:
    """A raster as a `fissura.imaging.scene.Scene`.

    Invalid is what the file marks (nodata, mask, alpha), NaN, and the collar: areas of pure black or pure white
    that lie along the border, as the warping of orthophotos leaves them. Where a picture is that dark or that
    bright no crack could be seen anyway.

    Args:
        dataset: Open rasterio dataset; stays open as long as the scene is used.
        path: For messages.
    """

    page, pages = 0, 1

    def __init__(self, dataset: Any, path: Path) -> None:
        self._dataset, self._path = dataset, path
        # GDAL datasets must not be used by two threads at once, and an engine may pull tiles from its own.
        self._lock = threading.Lock()
        self.height, self.width = int(dataset.height), int(dataset.width)
        if ColorInterp.cyan in dataset.colorinterp:
            raise ImageError(f"{path.name} is a GeoTIFF in CMYK; save it as RGB (in QGIS: Export, Rendered image)")
        self._bands, self._alpha, notes = _choose_bands(dataset)
        self._colours = _read_colours(dataset) if len(self._bands) == 1 else None
        self._white_is_zero = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
        self._marked = MaskFlags.all_valid not in dataset.mask_flag_enums[self._bands[0] - 1]
        self._stretch: tuple[float, float] | None = None
        dtype = dataset.dtypes[self._bands[0] - 1]
        if dtype != "uint8":
            self._stretch = self._estimate_stretch()
            notes.append(stretch_note(dtype, *self._stretch))
        self._collar_cells, self._cell = self._find_collar()
        if self._collar_cells is not None:
            notes.append(f"a black or white collar of {100 * self._collar_cells.mean():.0f} % is left out")
        self.notes = tuple(notes)
        gcps, gcps_crs = dataset.gcps
        identity = dataset.transform.is_identity and dataset.crs is None
        self.placement: Placement | None = (
            None
            if identity and not gcps and dataset.nodata is None
            else Placement(dataset.crs, dataset.transform, tuple(gcps), gcps_crs)
        )

    def read_rows(self, start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        """Rows [start, stop), and their validity or None if all is valid."""
        raw = self._read(start, stop)
        valid = self._read_valid(raw, start, stop)
        return self._to_rgb(raw), None if valid is None or valid.all() else valid

    def overview(self, factor: int) -> RgbImage:
        """The whole picture, reduced by a whole factor, sizes rounded up."""
        if factor == 1:
            return self.read_rows(0, self.height)[0]
        # In strips and by our own average: GDAL's takes three times as long.
        step = factor * max(1, 512 // factor)
        tops = range(0, self.height, step)
        strips = (self._to_rgb(self._read(top, min(top + step, self.height))) for top in tops)
        return np.concatenate([reduce_rgb(strip, factor) for strip in strips])

    @property
    def always_valid(self) -> bool:
        """No pixel can be invalid, so there is no need to look."""
        return not (self._marked or self._alpha or self._collar_cells is not None or self._stretch is not None)

    def read_window(self, rows: slice, columns: slice) -> RgbImage:
        """A window inside the raster, shape (rows, columns, 3). Raises ImageError if the file is damaged."""
        window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        return self._to_rgb(self._checked_read(window, None, Resampling.nearest))

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        return self._checked_read(Window(0, start, self.width, stop - start), None, Resampling.nearest)

    def _checked_read(self, window: Any, shape: tuple[int, ...] | None, method: Any) -> npt.NDArray[Any]:
        try:
            with self._lock:
                values: npt.NDArray[Any] = self._dataset.read(
                    self._bands, window=window, out_shape=shape, resampling=method
                )
        except RasterioError as error:
            raise ImageError(
                f"{self._path.name} is damaged or ends too early; copy or export it again ({error})"
            ) from error
        return values

    def _read_valid(self, raw: npt.NDArray[Any], start: int, stop: int) -> BoolMask | None:
        valid: BoolMask | None = None
        window = Window(0, start, self.width, stop - start)
        if self._marked or self._alpha:
            with self._lock:
                if self._alpha:
                    valid = self._dataset.read(self._alpha, window=window) > 0
                else:
                    valid = (self._dataset.read_masks(self._bands, window=window) > 0).any(axis=0)
        if raw.dtype.kind == "f":
            finite = np.isfinite(raw).all(axis=0)
            valid = finite if valid is None else valid & finite
        if self._collar_cells is not None:
            rows, cols = np.arange(start, stop) // self._cell, np.arange(self.width) // self._cell
            dark, bright = self._extremes(raw)
            inside = ~((dark | bright) & self._collar_cells[rows][:, cols])
            valid = inside if valid is None else valid & inside
        return valid

    def _to_rgb(self, raw: npt.NDArray[Any]) -> RgbImage:
        if self._colours is not None:
            return np.ascontiguousarray(self._colours[raw[0]])
        values = raw if self._stretch is None else stretch_to_uint8(raw, *self._stretch)
        bands = [values[0]] * 3 if len(values) == 1 else list(values)
        rgb = np.asarray(cv2.merge(bands), np.uint8)
        return np.uint8(255) - rgb if self._white_is_zero else rgb

    def _extremes(self, raw: npt.NDArray[Any]) -> tuple[BoolMask, BoolMask]:
        """`_extremes` of the colours: a palette's indices say nothing."""
        if self._colours is None:
            return _extremes(raw)
        black, white = _extremes(self._colours.T[:, None])
        return black[0, raw[0]], white[0, raw[0]]

    def _estimate_stretch(self) -> tuple[float, float]:
        """From a thin sample of true values over the whole raster, without nodata and pure zeros."""
        factor = max(1.0, max(self.height, self.width) / _SAMPLE_SIDE_PX)
        size_hw = max(1, int(self.height / factor)), max(1, int(self.width / factor))
        sample = self._checked_read(None, (len(self._bands), *size_hw), Resampling.nearest)
        keep = (sample != 0).any(axis=0)
        if self._marked:
            with self._lock:
                shape = (len(self._bands), *size_hw)
                keep &= (self._dataset.read_masks(self._bands, out_shape=shape) > 0).any(axis=0)
        return estimate_stretch(sample[:, keep])

    def _find_collar(self) -> tuple[BoolMask | None, int]:
        """Cells of a coarse grid that touch a collar, and the side of a cell; None if there is no collar.

        A collar is a connected area of cells that are black, or white, throughout, and that follows the border
        for at least 32 pixels and 1 % of its length: a dark crack that ends at the border is none.
        """
        cell = max(2, math.ceil(max(self.height, self.width) / 4096))
        if min(self.height, self.width) < 2 * cell or not self._border_is_extreme():
            return None, cell
        shape = -(-self.height // cell), -(-self.width // cell)
        grids = np.ones((2, *shape), np.bool_)
        step = cell * max(1, 256 // cell)
        for top in range(0, self.height, step):
            raw = self._read(top, min(top + step, self.height))
            for grid, extreme in zip(grids, self._extremes(raw), strict=True):
                cells = _all_in_cells(extreme, cell)
                grid[top // cell : top // cell + len(cells)] = cells
        least = max(min(_COLLAR_LEAST_RUN_PX, self.height, self.width), _COLLAR_LEAST_SHARE * 2 * sum(shape) * cell)
        found = np.zeros(shape, np.bool_)
        for grid in grids:
            found |= _along_border(grid, max(1, int(least / cell)))
        if not found.any():
            return None, cell
        # One cell more, so that the collar's slanted rim is covered; pixels decide there.
        return cv2.dilate(found.view(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_), cell

    def _border_is_extreme(self) -> bool:
        """Whether enough border pixels are black or white to be worth the look at the whole raster."""
        edges = [self._read(0, 1), self._read(self.height - 1, self.height)]
        for col in (0, self.width - 1):
            edges.append(self._checked_read(Window(col, 0, 1, self.height), None, Resampling.nearest))
        count = sum(int(extreme.sum()) for raw in edges for extreme in self._extremes(raw))
        return count >= min(_COLLAR_LEAST_RUN_PX, self.height, self.width)


def _choose_bands(dataset: Any) -> tuple[list[int], int | None, list[str]]:
    """Bands to show (1-based), the alpha band, and a note on the others."""
    meaning = list(dataset.colorinterp)
    alpha = meaning.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in meaning else None
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    if all(colour in meaning for colour in colours):
        bands = [meaning.index(colour) + 1 for colour in colours]
    else:
        free = [band for band in range(1, dataset.count + 1) if band != alpha]
        bands = free[:3] if len(free) >= 3 else free[:1]
    unused = [band for band in range(1, dataset.count + 1) if band not in bands and band != alpha]
    notes = [f"bands {', '.join(map(str, unused))} of {dataset.count} ignored"] if unused else []
    return bands, alpha, notes


def _read_colours(dataset: Any) -> npt.NDArray[np.uint8] | None:
    """The palette as (256, 3), or None if there is none."""
    if dataset.colorinterp[0] != ColorInterp.palette or dataset.dtypes[0] != "uint8":
        return None
    table = np.zeros((256, 3), np.uint8)
    for index, colour in dataset.colormap(1).items():
        table[index] = colour[:3]
    return table


def _extremes(raw: npt.NDArray[Any]) -> tuple[BoolMask, BoolMask]:
    """Where all of the bands (C, H, W) are black, and where white. 8-bit allows for JPEG's noise."""
    black, white = np.zeros((2, *raw.shape[1:]), np.bool_)
    if raw.dtype == np.uint8:
        np.all(raw <= 2, axis=0, out=black)
        np.all(raw >= 253, axis=0, out=white)
        return black, white
    np.all(raw == 0, axis=0, out=black)
    if raw.dtype.kind != "f":
        np.all(raw == np.iinfo(raw.dtype).max, axis=0, out=white)
    return black, white


def _all_in_cells(mask: BoolMask, cell: int) -> BoolMask:
    """Cells of a mask that are True throughout; those at the end may be smaller."""
    pad_hw = -mask.shape[0] % cell, -mask.shape[1] % cell
    padded = np.pad(mask, ((0, pad_hw[0]), (0, pad_hw[1])), constant_values=True)
    rows = padded[::cell].copy()
    for offset in range(1, cell):
        rows &= padded[offset::cell]
    cells = rows[:, ::cell].copy()
    for offset in range(1, cell):
        cells &= rows[:, offset::cell]
    return cells


def _along_border(cells: BoolMask, least_cells: int) -> BoolMask:
    """The connected areas that have at least so many cells on the border."""
    count, labels = cv2.connectedComponents(cells.view(np.uint8), connectivity=8)
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    touching = np.bincount(border, minlength=count) >= least_cells
    touching[0] = False
    kept: BoolMask = touching[labels]
    return kept
