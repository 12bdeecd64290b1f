"""Cut an image into fixed overlapping tiles and blend what a network says of them.

The grid starts at the image's first pixel and goes on in steps of ``tile - overlap``; only the last tile of an
axis moves back so that it ends at the border. What a pixel gets therefore depends on the tiles around it and
not on how far the image goes on: the same image in a canvas extended to the right or below, or moved by whole
steps, has the same tiles. Neighbours are blended with raised-cosine ramps that sum to one at every pixel.
An axis shorter than a tile is padded by reflection, as often as needed, half on each side.

Rows are read once from top to bottom and finished rows leave at once, so that memory does not grow with the
image's height. A whole image and a raster read by windows go through the same function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.types import BoolMask, Probability, RgbImage

ReadRows = Callable[[int, int], tuple[RgbImage, BoolMask | None]]
"""Reads the rows [start, stop): (rows, W, 3) uint8 and, or None if all is valid, a (rows, W) validity mask."""

PredictTiles = Callable[[Iterable[RgbImage]], Iterator[Probability]]
"""(T, T, 3) uint8 in, (T, T) float32 out, in the same order, as many results as tiles."""


@dataclass(frozen=True)
class Tile:
    """One tile: first row and column, may be negative where a small image is padded, and its side in pixels."""

    row: int
    col: int
    side: int


@dataclass(frozen=True, eq=False)
class AxisPlan:
    """The tiles along one axis.

    Attributes:
        length: Size of the image along the axis.
        tile: Side of a tile in pixels.
        starts: First pixel of each tile; one negative start where the axis is shorter than a tile.
        weights: Shape (tiles, tile), above 0; over all tiles they sum to one at every pixel of the image.
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    weights: npt.NDArray[np.float32]


def plan_axis(length: int, tile: int, overlap: int) -> AxisPlan:
    """Plan the tiles of one axis.

    Args:
        length: Size of the image along the axis, at least 1.
        tile: Side of a tile in pixels.
        overlap: Overlap of neighbouring tiles in pixels, 0 to half a tile. The last may overlap more.
    Raises:
        GeometryError: A size or the overlap is out of range.

    >>> plan_axis(200, 64, 16).starts
    (0, 48, 96, 136)
    >>> plan_axis(20, 64, 16).starts
    (-22,)
    """
    if length < 1 or tile < 1:
        raise GeometryError(f"cannot tile {length} pixels with tiles of {tile}; both must be at least 1")
    if not 0 <= overlap <= tile // 2:
        raise GeometryError(f"overlap is {overlap}; with tiles of {tile} it must be 0 to {tile // 2}")
    if length <= tile:
        return AxisPlan(length, tile, (-((tile - length) // 2),), np.ones((1, tile), np.float32))
    starts = (*range(0, length - tile, tile - overlap), length - tile)
    ramp = _ramp(tile, overlap)
    total = np.zeros(length)
    for start in starts:
        total[start : start + tile] += ramp
    weights = np.stack([ramp / total[start : start + tile] for start in starts])
    return AxisPlan(length, tile, starts, weights.astype(np.float32))


def plan_tiles(height: int, width: int, tile: int, overlap: int) -> list[Tile]:
    """All tiles of an image, row by row.

    >>> len(plan_tiles(9000, 12000, 256, 64))
    2961
    """
    rows, cols = plan_axis(height, tile, overlap), plan_axis(width, tile, overlap)
    return [Tile(row, col, tile) for row in rows.starts for col in cols.starts]


def iter_probability_bands(
    read_rows: ReadRows, height: int, width: int, predict: PredictTiles, *, tile: int, overlap: int
) -> Iterator[tuple[int, Probability]]:
    """Predict an image that is read in rows, and give the finished rows in order.

    Invalid pixels are shown to the network in the mean colour of the tile's valid ones, so that the rim of a
    collar is no edge, and get probability 0. Tiles without a valid pixel are not predicted at all.

    Args:
        read_rows: Called with growing, touching ranges; every row is read once.
        height: Rows of the image.
        width: Columns of the image.
        predict: The network.
        tile: Side of a tile in pixels.
        overlap: Overlap of neighbouring tiles in pixels.
    Yields:
        First row, and probabilities of shape (rows, width), 0 to 1. Together they cover every row once.
    Raises:
        GeometryError: Sizes out of range, or ``read_rows`` gave another shape than asked for.
    """
    rows, cols = plan_axis(height, tile, overlap), plan_axis(width, tile, overlap)
    source = _RowSource(read_rows, rows, cols)
    results = predict(source.tiles())
    carry = np.zeros((tile, width), np.float32)
    first = max(cols.starts[0], 0), max(-cols.starts[0], 0)
    for index, start in enumerate(rows.starts):
        band = np.zeros((tile, width), np.float32)
        for col_index in source.planned(index):
            col = cols.starts[col_index]
            span = min(tile, width)
            at, cut = (col, 0) if width > tile else first
            band[:, at : at + span] += (next(results) * cols.weights[col_index])[:, cut : cut + span]
        top, size = max(-start, 0), min(tile, height)
        carry[:size] += (band * rows.weights[index][:, None])[top : top + size]
        row = max(start, 0)
        stop = rows.starts[index + 1] if index + 1 < len(rows.starts) else height
        finished = stop - row
        yield row, source.blank_invalid(row, carry[:finished].copy())
        carry[: tile - finished] = carry[finished:]
        carry[tile - finished :] = 0


def blend(
    rgb: RgbImage, predict: PredictTiles, *, tile: int, overlap: int, valid: BoolMask | None = None
) -> Probability:
    """Predict an image that is in memory. See `iter_probability_bands`.

    Args:
        rgb: Shape (H, W, 3), any size from 1x1.
        predict: The network.
        tile: Side of a tile in pixels.
        overlap: Overlap of neighbouring tiles in pixels.
        valid: Shape (H, W), or None if every pixel is valid.
    Returns:
        Probabilities, shape (H, W).
    """
    height, width = rgb.shape[:2]

    def read_rows(start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        return rgb[start:stop], None if valid is None else valid[start:stop]

    out = np.empty((height, width), np.float32)
    for row, band in iter_probability_bands(read_rows, height, width, predict, tile=tile, overlap=overlap):
        out[row : row + len(band)] = band
    return out


def reflect_indices(start: int, stop: int, length: int) -> npt.NDArray[np.intp]:
    """Positions start to stop (exclusive) of an axis that is mirrored at its first and last pixel without end.

    >>> reflect_indices(-3, 6, 3).tolist()
    [1, 2, 1, 0, 1, 2, 1, 0, 1]
    """
    if length == 1:
        return np.zeros(stop - start, np.intp)
    period = 2 * (length - 1)
    position = np.arange(start, stop) % period
    return np.where(position < length, position, period - position).astype(np.intp)


def _ramp(tile: int, overlap: int) -> npt.NDArray[np.float64]:
    """Raised cosine that rises over the overlap at both ends; two neighbours sum to one."""
    centre = np.arange(tile) + 0.5
    distance = np.minimum(centre, tile - centre)
    if overlap == 0:
        return np.ones(tile)
    ramp: npt.NDArray[np.float64] = np.sin(0.5 * np.pi * np.clip(distance / overlap, 0.0, 1.0)) ** 2
    return ramp


class _RowSource:
    """Reads rows once, keeps those that the next row of tiles still needs, and cuts tiles from them."""

    def __init__(self, read_rows: ReadRows, rows: AxisPlan, cols: AxisPlan) -> None:
        self._read_rows, self._rows, self._cols = read_rows, rows, cols
        self._first = 0
        self._rgb: RgbImage = np.empty((0, cols.length, 3), np.uint8)
        self._valid: BoolMask = np.empty((0, cols.length), np.bool_)
        self._cut: deque[RgbImage] = deque()
        self._planned: dict[int, list[int]] = {}
        self._valid_rows: deque[tuple[int, BoolMask]] = deque()
        self._next_row = 0

    def tiles(self) -> Iterator[RgbImage]:
        """All tiles with a valid pixel, in order, cut when they are asked for."""
        while self._cut or self._next_row < len(self._rows.starts):
            if not self._cut:
                self._cut_row()
            while self._cut:
                yield self._cut.popleft()

    def planned(self, row_index: int) -> list[int]:
        """Which tiles of a row, by column, are predicted. Reads on if the network has not asked for them yet."""
        while self._next_row <= row_index:
            self._cut_row()
        return self._planned.pop(row_index)

    def blank_invalid(self, row: int, band: Probability) -> Probability:
        """Set invalid pixels of finished rows to 0. Called once for every row, in order."""
        while self._valid_rows and self._valid_rows[0][0] < row + len(band):
            first, valid = self._valid_rows[0]
            low, high = max(first, row), min(first + len(valid), row + len(band))
            band[low - row : high - row][~valid[low - first : high - first]] = 0
            if high < first + len(valid):
                break
            self._valid_rows.popleft()
        return band

    def _cut_row(self) -> None:
        start, tile, width = self._rows.starts[self._next_row], self._rows.tile, self._cols.length
        self._advance(max(start, 0), min(max(start, 0) + tile, self._rows.length))
        rgb, valid = self._rgb, self._valid
        if self._rows.length < tile:
            picked = reflect_indices(start, start + tile, self._rows.length)
            rgb, valid = rgb[picked], valid[picked]
        if width < tile:
            picked = reflect_indices(self._cols.starts[0], self._cols.starts[0] + tile, width)
            rgb, valid = rgb[:, picked], valid[:, picked]
        planned = []
        for index, col in enumerate(self._cols.starts):
            at = max(col, 0)
            mask = valid[:, at : at + tile]
            if mask.any():
                planned.append(index)
                self._cut.append(_filled(rgb[:, at : at + tile], mask))
        self._planned[self._next_row] = planned
        self._next_row += 1

    def _advance(self, start: int, stop: int) -> None:
        """Drop the rows before `start`, read those up to `stop`."""
        have = self._first + len(self._rgb)
        rgb, valid = self._read_rows(have, stop)
        expected = (stop - have, self._cols.length, 3)
        if rgb.shape != expected or (valid is not None and valid.shape != expected[:2]):
            shapes = f"{rgb.shape} and {None if valid is None else valid.shape}"
            raise GeometryError(f"rows {have} to {stop} have the shapes {shapes}, expected {expected} and mask")
        if valid is None:
            valid = np.ones(expected[:2], np.bool_)
        elif not valid.all():
            self._valid_rows.append((have, valid))
        keep = start - self._first
        self._rgb = np.concatenate([self._rgb[keep:], rgb])
        self._valid = np.concatenate([self._valid[keep:], valid])
        self._first = start


def _filled(rgb: RgbImage, valid: BoolMask) -> RgbImage:
    """A contiguous tile whose invalid pixels have the mean colour of the valid ones."""
    tile = np.ascontiguousarray(rgb)
    if valid.all():
        return tile
    tile = tile.copy()
    tile[~valid] = np.round(tile[valid].mean(axis=0)).astype(np.uint8)
    return tile
