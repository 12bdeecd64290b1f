"""Plan road slices (R-Anchors): where to look so that every wanted piece of road is seen, with few slices.

A sweep follows each road. At every step it takes the direction of the road there, gathers the road cells of the next
band across it, and covers them with as few slices side by side as fit; the next band begins at the first cell that is
still uncovered, so that curves, widenings and junctions leave no gap. What several sweeps (from either end) find is
pruned of slices that others cover, and the smallest plan wins.

Over an oblique view everything happens on the ground: cells, bands and slices are squares of ground, and only the last
step goes back to the frame by the homography.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.geo.homography import transform
from fissura.road.canvas import Canvas, frame_canvas, ground_canvas
from fissura.road.cover import Square, cover_cells
from fissura.road.model import Road
from fissura.road.slices import Matrix, RoadSlice, RoadSlices
from fissura.types import BoolMask, FloatArray

Floats = npt.NDArray[np.float64]

_BEYOND = 0.5
"""Share of the untrusted rim that is trusted after all at the outer sides of a row, where the road ends."""


def plan_slices(
    road: Road,
    *,
    tile: int,
    overlap: int,
    scale: float = 1.0,
    wanted: BoolMask | None = None,
    ground: FloatArray | None = None,
    turn_deg: float = 0.0,
) -> RoadSlices:
    """Plan the slices of a frame.

    Args:
        road: From `find_road`. Where none was found the whole frame is planned in upright slices.
        tile: Side of a slice in the model's pixels.
        overlap: Overlap of neighbours in the model's pixels, 0 to half a tile; half of it at each side is untrusted.
        scale: Model pixels per frame pixel.
        wanted: Shape of ``road.mask``: only these cells need a look. None wants all of the road.
        ground: Homography 3x3 from frame (x, y) to the ground, for an oblique view: slices are then squares of ground
            of one size, and `scale` holds at the middle of the road. None for a vertical view.
        turn_deg: Slices stand at this angle to the road's main direction, in a plain grid over it. Networks take
            straight lines along a slice's sides for joints more easily than the same lines aslant. For a vertical view.
    Returns:
        Slices whose trusted parts cover every wanted road pixel of ``road.full_mask()``.
    Raises:
        GeometryError: A size, the scale, the mask or the homography makes no sense, or an oblique view and a turn.
    """
    _check(road, tile, overlap, scale, wanted)
    if not np.isfinite(turn_deg):
        raise GeometryError(f"turn_deg is {turn_deg}; give degrees, for example 45")
    if turn_deg and ground is not None:
        raise GeometryError("turned slices need a vertical view; leave turn_deg or ground out")
    cells = road.mask if road.found else np.ones_like(road.mask)
    if road.found:
        cells = cells | _rounded_corners(cells)
    if wanted is not None:
        cells = cells & wanted
    if not road.found:
        return RoadSlices(
            _grid(road.size_hw, cells, tile, overlap, scale), "whole frame", road.size_hw, tile, overlap, scale
        )
    if not cells.any():
        return RoadSlices((), "road", road.size_hw, tile, overlap, scale)
    if turn_deg and road.direction_deg is not None:
        pieces = _turned_grid(road.size_hw, cells, road.direction_deg + turn_deg, tile, overlap, scale)
        return RoadSlices(pieces, "road", road.size_hw, tile, overlap, scale)
    # A slice's trusted side holds some cells, or the last cell of a band would decide too much.
    finest = (tile - overlap) / scale / 12
    canvas = frame_canvas(road, cells, finest) if ground is None else ground_canvas(road, cells, ground)
    side = tile / (scale * canvas.per_frame_px)
    margin = overlap / 2 / tile * side
    squares = cover_cells(canvas, side - 2 * margin, beyond=margin * _BEYOND)
    pieces = tuple(_slice(canvas, square, side, tile, overlap) for square in squares)
    return RoadSlices(pieces, "road", road.size_hw, tile, overlap, scale)


def _slice(canvas: Canvas, square: Square, side: float, tile: int, overlap: int) -> RoadSlice:
    """A slice around a trusted square, as a map to the frame."""
    step = side / tile
    right, up = np.array([-square.up[1], square.up[0]]), np.array(square.up)
    middle = (tile - 1) / 2
    matrix = np.eye(3)
    matrix[:2, 0], matrix[:2, 1] = right * step, -up * step
    matrix[:2, 2] = np.array([square.x, square.y]) - matrix[:2, :2] @ (middle, middle)
    matrix = canvas.frame_from_canvas @ matrix
    matrix = matrix / matrix[2, 2]
    if not canvas.oblique:
        matrix[2, :2] = 0.0
    top, bottom = transform(matrix, np.array([[middle, middle - 1], [middle, middle + 1]]))
    direction = float(np.degrees(np.arctan2(bottom[1] - top[1], top[0] - bottom[0]))) % 180.0
    left, right_rim = (overlap / 2 - beyond / step for beyond in square.beyond)
    if _upside_down(top, bottom):
        left, right_rim = right_rim, left
        turn = np.array([[-1.0, 0, tile - 1], [0, -1.0, tile - 1], [0, 0, 1.0]])
        matrix = matrix @ turn
        matrix = matrix / matrix[2, 2]
    return RoadSlice(matrix, tile, direction, (overlap / 2, right_rim, overlap / 2, left))


def _upside_down(top: Floats, bottom: Floats) -> bool:
    """Slices look up the frame, or to its right where the road lies level."""
    return bool(top[1] > bottom[1] or (top[1] == bottom[1] and top[0] < bottom[0]))


def _grid(size_hw: tuple[int, int], cells: BoolMask, tile: int, overlap: int, scale: float) -> tuple[RoadSlice, ...]:
    """Upright slices over the whole frame, left out where nothing is wanted."""
    rows, cols = (_axis_starts(size * scale, tile, overlap) for size in size_hw)
    pieces = []
    for i, row in enumerate(rows):
        for j, col in enumerate(cols):
            matrix: Matrix = np.array(
                [[1 / scale, 0, (col + 0.5) / scale - 0.5], [0, 1 / scale, (row + 0.5) / scale - 0.5], [0, 0, 1.0]]
            )
            rim = overlap / 2
            margins = (
                0.0 if i == 0 else rim, 0.0 if j == len(cols) - 1 else rim,
                0.0 if i == len(rows) - 1 else rim, 0.0 if j == 0 else rim,
            )  # fmt: skip
            piece = RoadSlice(matrix, tile, 90.0, margins)
            if _touches(piece, size_hw, cells):
                pieces.append(piece)
    return tuple(pieces)


def _turned_grid(
    size_hw: tuple[int, int], cells: BoolMask, up_deg: float, tile: int, overlap: int, scale: float
) -> tuple[RoadSlice, ...]:
    """Slices in a grid that stands at an angle, left out where nothing is wanted."""
    angle, rim = np.radians(up_deg), overlap / 2
    up = np.array([np.cos(angle), -np.sin(angle)])
    axes = np.column_stack([[-up[1], up[0]], -up])  # right and down in a slice, in the frame
    per_cell = np.array([size_hw[1] / cells.shape[1], size_hw[0] / cells.shape[0]])
    at = ((np.argwhere(cells)[:, ::-1] + 0.5) * per_cell - 0.5) @ axes * scale  # model pixels
    reach = 0.5 * scale * float(np.abs(axes * per_cell[:, None]).sum(axis=0).max())  # of a cell, whichever way it lies
    first, last = at.min(axis=0) - reach - rim, at.max(axis=0) + reach + rim
    starts = [_even_starts(float(first[k]), float(last[k]), tile, overlap) for k in (0, 1)]
    matrix = np.eye(3)
    matrix[:2, :2] = axes / scale
    pieces = []
    for y in starts[1]:
        row = at[np.abs(at[:, 1] - (y + tile / 2)) < tile / 2 - rim + reach, 0]
        for x in starts[0]:
            if (np.abs(row - (x + tile / 2)) < tile / 2 - rim + reach).any():
                matrix[:2, 2] = axes @ (np.array([x, y]) + 0.5) / scale
                pieces.append(RoadSlice(matrix.copy(), tile, float(up_deg % 180.0), (rim, rim, rim, rim)))
    return tuple(pieces)


def _even_starts(first: float, last: float, tile: int, overlap: int) -> Floats:
    """First pixels of as few tiles as reach from one end to the other, evenly spaced; a single one in the middle."""
    if last - first <= tile:
        return np.array([(first + last - tile) / 2])
    count = int(np.ceil((last - first - overlap) / (tile - overlap)))
    return np.linspace(first, last - tile, count)


def _axis_starts(length: float, tile: int, overlap: int) -> list[float]:
    """Evenly spaced first pixels (model pixels), whole ones so that an unscaled slice is an exact copy."""
    if length <= tile:
        return [float(-((tile - length) // 2))]
    count = int(np.ceil((length - overlap) / (tile - overlap)))
    return [float(round(start)) for start in np.linspace(0, length - tile, count)]


def _touches(piece: RoadSlice, size_hw: tuple[int, int], cells: BoolMask) -> bool:
    corners = piece.corners_rc
    scale = np.array(cells.shape) / size_hw
    low = np.maximum(np.floor((corners.min(axis=0) + 0.5) * scale).astype(int), 0)
    high = np.ceil((corners.max(axis=0) + 0.5) * scale).astype(int)
    return bool(cells[low[0] : high[0], low[1] : high[1]].any())


def _rounded_corners(mask: BoolMask) -> BoolMask:
    """Cells that are no road but hold a piece of `Road.full_mask`, whose outline cuts inner corners."""
    padded = np.pad(mask, 1, mode="edge")
    up, down, left, right = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    corners: BoolMask = (up | down) & (left | right)
    return corners & ~mask


def _check(road: Road, tile: int, overlap: int, scale: float, wanted: BoolMask | None) -> None:
    if tile < 8 or not 0 <= overlap <= tile // 2:
        raise GeometryError(
            f"tile {tile} with overlap {overlap}; needed is a tile from 8 and an overlap of 0 to its half"
        )
    if not (np.isfinite(scale) and scale > 0):
        raise GeometryError(f"scale is {scale}; give model pixels per frame pixel, for example 0.5 or 1")
    if wanted is not None and (wanted.shape != road.mask.shape or wanted.dtype != np.bool_):
        raise GeometryError(
            f"wanted is {wanted.dtype} of shape {wanted.shape}; "
            f"needed is bool of the road mask's shape {road.mask.shape}"
        )
