"""`GroundCanvas`: what a flight has seen of the ground, in tiles that exist only where something was looked at.

Coordinates are whole ground pixels (row, column), negative ones included. Each tile holds crack probability, the
weight it rests on, and the picture; a coarse map beside it says how well each piece of ground was seen. Tiles that have
not been touched for a while go to disk, so that memory does not grow with the length of a flight.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import ImageError
from fissura.imaging.write import write_bytes
from fissura.survey.pose import PointsXY
from fissura.types import BoolMask, Probability, RgbImage

TILE_PX = 512
CELL_PX = 16
"""Ground is counted as seen in cells of this side."""
_CELLS = TILE_PX // CELL_PX
_MOST_IN_MEMORY = 256

Key = tuple[int, int]
Cells = npt.NDArray[np.float32]


@dataclass(eq=False)
class _Tile:
    probability: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.uint8]
    rgb: npt.NDArray[np.uint8]
    changed: bool = True

    @classmethod
    def empty(cls) -> _Tile:
        return cls(
            np.zeros((TILE_PX, TILE_PX), np.uint8),
            np.zeros((TILE_PX, TILE_PX), np.uint8),
            np.zeros((TILE_PX, TILE_PX, 3), np.uint8),
        )


@dataclass(frozen=True, eq=False)
class GroundWindow:
    """A rectangle of the canvas.

    Attributes:
        probability: Shape (h, w), 0 to 1; 0 where nothing was looked at.
        seen: Shape (h, w).
        rgb: Shape (h, w, 3); black where nothing was seen.
    """

    probability: Probability
    seen: BoolMask
    rgb: RgbImage


class GroundCanvas:
    """See the module.

    Args:
        folder: Where tiles go that are not in use; made when needed.
        most_tiles: Tiles kept in memory, 1.3 MB each.
    """

    def __init__(self, folder: Path, *, most_tiles: int = _MOST_IN_MEMORY) -> None:
        self.folder = folder
        self._most = max(most_tiles, 4)
        self._tiles: OrderedDict[Key, _Tile] = OrderedDict()
        self._on_disk: set[Key] = set()
        self._quality: dict[Key, Cells] = {}

    @property
    def bounds_rc(self) -> tuple[int, int, int, int] | None:
        """First and last row and column (exclusive) of all tiles; None if nothing was looked at."""
        keys = self._on_disk | set(self._tiles)
        if not keys:
            return None
        rows, columns = zip(*keys, strict=True)
        return (
            min(rows) * TILE_PX, min(columns) * TILE_PX, (max(rows) + 1) * TILE_PX, (max(columns) + 1) * TILE_PX,
        )  # fmt: skip

    @property
    def keys(self) -> list[Key]:
        """Row and column of each tile, in tiles, sorted."""
        return sorted(self._on_disk | set(self._tiles))

    @property
    def seen_px(self) -> int:
        """Ground pixels looked at, in steps of a cell."""
        return int(sum(np.count_nonzero(cells) for cells in self._quality.values())) * CELL_PX**2

    def quality_at(self, ground_xy: PointsXY) -> npt.NDArray[np.float32]:
        """How well the ground at each point was seen, shape (N,); 0 is not yet."""
        cells = np.floor(ground_xy / CELL_PX).astype(np.int64)[:, ::-1]
        out = np.zeros(len(cells), np.float32)
        if not len(cells):
            return out
        tiles = cells // _CELLS
        low, high = tiles.min(axis=0), tiles.max(axis=0)
        window = np.zeros(tuple((high - low + 1) * _CELLS), np.float32)
        for row in range(low[0], high[0] + 1):
            for column in range(low[1], high[1] + 1):
                known = self._quality.get((row, column))
                if known is not None:
                    top, left = (row - low[0]) * _CELLS, (column - low[1]) * _CELLS
                    window[top : top + _CELLS, left : left + _CELLS] = known
        at = cells - low * _CELLS
        out[:] = window[at[:, 0], at[:, 1]]
        return out

    def known_at(self, points_rc: npt.NDArray[np.float64]) -> BoolMask:
        """Whether there is a probability for the ground at each point (row, column), shape (N,)."""
        at = np.floor(points_rc + 0.5).astype(np.int64)
        tiles = at // TILE_PX
        out = np.zeros(len(at), np.bool_)
        for key in {(int(row), int(column)) for row, column in tiles}:
            if key in self._tiles or key in self._on_disk:
                here = (tiles == key).all(axis=1)
                inner = at[here] - np.array(key) * TILE_PX
                out[here] = self._tile(key).weight[inner[:, 0], inner[:, 1]] > 0
        return out

    def mark_seen(self, top: int, left: int, looked: BoolMask, quality: Cells) -> None:
        """Note cells as seen.

        Args:
            top: First row of cells (ground row over `CELL_PX`).
            left: First column of cells.
            looked: Cells that were looked at whole, shape (h, w).
            quality: How well, shape (h, w); the better of old and new is kept.
        """
        for key, inner, outer in _split(top, left, looked.shape, _CELLS):
            if not looked[outer].any():
                continue
            cells = self._quality.setdefault(key, np.zeros((_CELLS, _CELLS), np.float32))
            cells[inner] = np.maximum(cells[inner], np.where(looked[outer], quality[outer], 0))

    def seen_outline(self, within: tuple[int, int, int, int] | None = None) -> Any:
        """Outline of the cells that were looked at: shapely Polygon or MultiPolygon in ground pixels (x, y).

        Args:
            within: First and last (exclusive) row and column; only tiles that touch these count. None is all.
        """
        import shapely
        from rasterio.features import shapes
        from rasterio.transform import Affine
        from shapely.geometry import shape

        parts = []
        for (row, column), cells in sorted(self._quality.items()):
            if within is not None and not _touches(row, column, within):
                continue
            seen = (cells > 0).view(np.uint8)
            where = Affine(CELL_PX, 0, column * TILE_PX, 0, CELL_PX, row * TILE_PX)
            parts += [shape(outline) for outline, _ in shapes(seen, mask=seen > 0, transform=where)]
        return shapely.simplify(shapely.union_all(parts), 0.75 * CELL_PX) if parts else shapely.MultiPolygon()

    def paste(
        self,
        top: int,
        left: int,
        probability: Probability,
        weight: Probability,
        rgb: RgbImage,
        *,
        keep_old: Probability,
    ) -> None:
        """Blend probabilities into the ground.

        Args:
            top: First ground row.
            left: First ground column.
            probability: Shape (h, w), 0 to 1.
            weight: Trust in it, shape (h, w), 0 to 1; 0 leaves the ground as it is.
            rgb: The picture, shape (h, w, 3).
            keep_old: Factor on the weight of what is there already, shape (h, w): 1 blends, 0 replaces.
        """
        for key, inner, outer in _split(top, left, probability.shape, TILE_PX):
            new = weight[outer]
            if not (new > 0).any():
                continue
            tile = self._tile(key)
            old = tile.weight[inner].astype(np.float32) * (keep_old[outer] / np.float32(255))
            total = old + new
            mixed = (tile.probability[inner] * old + probability[outer] * np.float32(255) * new) / np.maximum(
                total, 1e-6
            )
            touched = new > 0
            np.copyto(tile.probability[inner], np.rint(mixed).astype(np.uint8), where=touched)
            np.copyto(tile.rgb[inner], rgb[outer], where=(new >= old)[:, :, None] & touched[:, :, None])
            clipped = np.rint(np.clip(total, 1 / 255, 1.0) * 255).astype(np.uint8)
            np.copyto(tile.weight[inner], clipped, where=touched)
            tile.changed = True

    def read(self, rows: slice, columns: slice) -> GroundWindow:
        """A rectangle, ground rows and columns with start and stop."""
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        probability, seen = np.zeros(shape, np.uint8), np.zeros(shape, np.bool_)
        rgb = np.zeros((*shape, 3), np.uint8)
        for key, inner, outer in _split(rows.start, columns.start, shape, TILE_PX):
            if key in self._tiles or key in self._on_disk:
                tile = self._tile(key)
                probability[outer], seen[outer] = tile.probability[inner], tile.weight[inner] > 0
                rgb[outer] = tile.rgb[inner]
        return GroundWindow(probability.astype(np.float32) / np.float32(255), seen, rgb)

    def close(self) -> None:
        """Write every tile that is not on disk yet."""
        changed = [(key, tile) for key, tile in self._tiles.items() if tile.changed]
        with ThreadPoolExecutor(max_workers=2) as pool:  # compressing releases Python's lock
            list(pool.map(lambda entry: self._store(*entry), changed))

    def _tile(self, key: Key) -> _Tile:
        tile = self._tiles.pop(key, None)
        if tile is None:
            tile = self._load(key) if key in self._on_disk else _Tile.empty()
        self._tiles[key] = tile
        while len(self._tiles) > self._most:
            oldest, old = self._tiles.popitem(last=False)
            if old.changed:
                self._store(oldest, old)
        return tile

    def _path(self, key: Key, kind: str) -> Path:
        return self.folder / f"{kind}_{key[0]:+05d}_{key[1]:+05d}.png"

    def _store(self, key: Key, tile: _Tile) -> None:
        planes = np.stack([tile.probability, tile.weight, np.zeros_like(tile.weight)], axis=2)
        for kind, image in (("crack", planes), ("picture", tile.rgb)):
            _, data = cv2.imencode(".png", image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
            write_bytes(self._path(key, kind), data.tobytes())
        tile.changed = False
        self._on_disk.add(key)

    def _picture(self, key: Key, kind: str) -> npt.NDArray[np.uint8]:
        path = self._path(key, kind)
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ImageError(f"{path} was changed while the survey ran; start it again with --overwrite")
        return np.asarray(image[:, :, ::-1], np.uint8)

    def _load(self, key: Key) -> _Tile:
        planes, rgb = (self._picture(key, kind) for kind in ("crack", "picture"))
        return _Tile(planes[:, :, 0].copy(), planes[:, :, 1].copy(), np.ascontiguousarray(rgb), changed=False)


def _touches(row: int, column: int, bounds_rc: tuple[int, int, int, int]) -> bool:
    """Whether a tile has something of a rectangle of ground."""
    top, left, bottom, right = bounds_rc
    rows, columns = range(row * TILE_PX, (row + 1) * TILE_PX), range(column * TILE_PX, (column + 1) * TILE_PX)
    return top < rows.stop and bottom > rows.start and left < columns.stop and right > columns.start


def _split(
    top: int, left: int, shape: tuple[int, ...], side: int
) -> Iterator[tuple[Key, tuple[slice, slice], tuple[slice, slice]]]:
    """Tiles that a rectangle touches: key, the part of the tile, the part of the rectangle."""
    bottom, right = top + shape[0], left + shape[1]
    for row in range(top // side, -(-bottom // side)):
        for column in range(left // side, -(-right // side)):
            r0, r1 = max(top, row * side), min(bottom, (row + 1) * side)
            c0, c1 = max(left, column * side), min(right, (column + 1) * side)
            if r0 < r1 and c0 < c1:
                yield (
                    (row, column),
                    (slice(r0 - row * side, r1 - row * side), slice(c0 - column * side, c1 - column * side)),
                    (slice(r0 - top, r1 - top), slice(c0 - left, c1 - left)),
                )
