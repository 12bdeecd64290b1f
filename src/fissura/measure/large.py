"""The centreline graph of a raster that does not fit into memory.

The raster is cut into tiles, which are read with a margin. Everything `trace_cracks` does at a pixel depends on the
mask within a few crack widths, so with a margin well above that both sides of a seam see the same lines. Each tile
keeps what lies inside it; lines are cut at the seam and joined to their continuation from the next tile.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fissura.errors import GeometryError
from fissura.measure.graph import DEFAULTS, MOST_SIDE_PX, TraceOptions, number_cracks, trace_branches
from fissura.measure.model import CrackGraph
from fissura.measure.seams import Piece, Rectangle, cut_branch, join_at_seams
from fissura.types import BoolMask, Probability

ReadWindow = Callable[[slice, slice], tuple[BoolMask, Probability | None]]
"""Reads rows and columns: a mask of that shape, and its probability or None if there is none."""

_SEAM_SHIFT_PX = 0.1837
"""Seams lie beside pixel centres and edges, where the centrelines of straight cracks like to lie."""


def trace_cracks_by_tiles(
    read_window: ReadWindow,
    height: int,
    width: int,
    *,
    options: TraceOptions = DEFAULTS,
    tile_px: int = 2048,
    margin_px: int = 160,
) -> CrackGraph:
    """Centreline graph of a large mask, as `trace_cracks` would give it up to a small tolerance.

    Memory grows with the tile and with the length of cracks found, not with the raster.

    Args:
        read_window: Called once for every tile, row of tiles after row of tiles, from left to right.
        height: Rows of the raster.
        width: Columns of the raster.
        options: The rules.
        tile_px: Side of a tile without its margin.
        margin_px: How far a tile sees beyond itself. Cracks wider than about a quarter of it, and gaps longer than
            half of it, may differ from `trace_cracks` near seams.
    Raises:
        GeometryError: A size is out of range, or a window has another shape than asked for.
    """
    if height < 1 or width < 1 or tile_px < 1 or margin_px < 0 or tile_px + 2 * margin_px > MOST_SIDE_PX:
        raise GeometryError(
            f"cannot trace {height} x {width} pixels in tiles of {tile_px} with a margin of {margin_px}; sizes are at "
            f"least 1, the margin at least 0, and a tile with its margins at most {MOST_SIDE_PX}"
        )
    found = _Found()
    for row in range(0, height, tile_px):
        for column in range(0, width, tile_px):
            rows = slice(max(row - margin_px, 0), min(row + tile_px + margin_px, height))
            columns = slice(max(column - margin_px, 0), min(column + tile_px + margin_px, width))
            mask, probability = read_window(rows, columns)
            _check_window(mask, rows, columns)
            own_rows, own_columns = row - rows.start, column - columns.start
            # One pixel more than the tile's own: seams do not lie on pixel edges.
            if not mask[own_rows : own_rows + tile_px + 1, own_columns : own_columns + tile_px + 1].any():
                continue
            graph = trace_branches(mask, probability, options)
            core = Rectangle(
                -1.0 if row == 0 else own_rows - _SEAM_SHIFT_PX,
                -1.0 if column == 0 else own_columns - _SEAM_SHIFT_PX,
                np.inf if row + tile_px >= height else own_rows + tile_px - _SEAM_SHIFT_PX,
                np.inf if column + tile_px >= width else own_columns + tile_px - _SEAM_SHIFT_PX,
            )
            found.add(graph, core, (rows.start, columns.start))
    nodes_rc, branches = join_at_seams(found.pieces, np.array(found.nodes_rc).reshape(-1, 2), np.array(found.cut, bool))
    return number_cracks(CrackGraph(nodes_rc, branches, (height, width)), options.min_length_px)


class _Found:
    """Pieces of all tiles, in coordinates of the raster, with the nodes numbered through."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.nodes_rc: list[tuple[float, float]] = []
        self.cut: list[bool] = []

    def add(self, graph: CrackGraph, core: Rectangle, origin_rc: tuple[int, int]) -> None:
        """Take over what lies in the core of a tile."""
        known: dict[int, int] = {}
        shift = np.array([*origin_rc, 0.0, 0.0])
        for branch in graph.branches:
            for piece in cut_branch(branch, core):
                columns = piece.columns + shift
                ends = []
                for node, at in zip(piece.nodes, (columns[0], columns[-1]), strict=True):
                    if node < 0 or node not in known:
                        self.nodes_rc.append((float(at[0]), float(at[1])))
                        self.cut.append(node < 0)
                        number = len(self.cut) - 1
                        if node >= 0:
                            known[node] = number
                    else:
                        number = known[node]
                    ends.append(number)
                self.pieces.append(Piece(columns, (ends[0], ends[1]), piece.bridged))


def _check_window(mask: BoolMask, rows: slice, columns: slice) -> None:
    wanted = (rows.stop - rows.start, columns.stop - columns.start)
    if mask.shape != wanted:
        raise GeometryError(
            f"rows {rows.start} to {rows.stop} and columns {columns.start} to {columns.stop} have the shape "
            f"{mask.shape}, expected {wanted}"
        )
