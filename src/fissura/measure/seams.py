"""Cut branches at the border of a tile, and join the pieces of all tiles again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from fissura.measure.model import Branch, Points
from fissura.measure.pixelgraph import Index

_JOIN_PX = 2.5
"""Pieces cut at a seam are joined if their ends are closer. Both tiles see the same mask, so that the ends differ by
hundredths of a pixel unless the crack runs along the seam."""
_SLIVER_PX = 0.5


@dataclass(frozen=True)
class Rectangle:
    """Rows [top, bottom) and columns [left, right), real numbers."""

    top: float
    left: float
    bottom: float
    right: float

    def holds(self, points_rc: Points) -> npt.NDArray[np.bool_]:
        """Which points are inside, shape (N,)."""
        row, column = points_rc[:, 0], points_rc[:, 1]
        return (row >= self.top) & (row < self.bottom) & (column >= self.left) & (column < self.right)

    def way_out(self, inside_rc: Points, outside_rc: Points) -> float:
        """Share of the way from a point inside to one outside at which the border is crossed, 0 to 1."""
        share = 1.0
        for axis, (low, high) in enumerate(((self.top, self.bottom), (self.left, self.right))):
            start, stop = float(inside_rc[axis]), float(outside_rc[axis])
            for border in (low, high):
                if (start - border) * (stop - border) < 0:
                    share = min(share, (border - start) / (stop - start))
        return share


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a branch inside one tile, and for each end its node in the tile, or -1 where it was cut."""

    columns: npt.NDArray[np.float64]
    """Row, column, width, probability; shape (N >= 2, 4)."""
    nodes: tuple[int, int]
    bridged: bool

    @property
    def length_px(self) -> float:
        """Length in pixels."""
        return float(np.linalg.norm(np.diff(self.columns[:, :2], axis=0), axis=1).sum())


def cut_branch(branch: Branch, core: Rectangle) -> list[Piece]:
    """The stretches of a branch inside a rectangle, cut at its border."""
    inside = core.holds(branch.points_rc)
    if not inside.any():
        return []
    columns = np.column_stack([branch.points_rc, branch.mask_width_px, branch.probability])
    if inside.all():
        return [Piece(columns, branch.nodes, branch.bridged)]
    change = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    pieces = []
    for start, stop in zip(change[::2], change[1::2], strict=True):
        run, nodes = [columns[start:stop]], [-1, -1]
        if start > 0:
            run.insert(0, _on_border(columns[start], columns[start - 1], core))
        else:
            nodes[0] = branch.nodes[0]
        if stop < len(columns):
            run.append(_on_border(columns[stop - 1], columns[stop], core))
        else:
            nodes[1] = branch.nodes[1]
        piece = Piece(np.concatenate(run), (nodes[0], nodes[1]), branch.bridged)
        # A crack along the seam may peep over it by a hair on one side only.
        if max(nodes) >= 0 or piece.length_px >= _SLIVER_PX:
            pieces.append(piece)
    return pieces


def join_at_seams(
    pieces: Sequence[Piece], nodes_rc: Points, cut: npt.NDArray[np.bool_]
) -> tuple[Points, tuple[Branch, ...]]:
    """Join the pieces of all tiles.

    Args:
        pieces: With numbers into ``nodes_rc`` for both ends.
        nodes_rc: Nodes of all tiles, shape (M, 2).
        cut: Nodes made by cutting at a seam, shape (M,).
    Returns:
        Nodes and branches. Nodes where just two pieces of the same kind meet are gone.
    """
    merged = _match(pieces, nodes_rc, cut)
    ends = [(int(merged[piece.nodes[0]]), int(merged[piece.nodes[1]])) for piece in pieces]
    at_node: dict[int, list[tuple[int, int]]] = {}
    for number, both in enumerate(ends):
        for side in (0, 1):
            at_node.setdefault(both[side], []).append((number, side))
    passing = {
        node: ways
        for node, ways in at_node.items()
        if len(ways) == 2 and ways[0][0] != ways[1][0] and pieces[ways[0][0]].bridged == pieces[ways[1][0]].bridged
    }
    done = np.zeros(len(pieces), np.bool_)
    branches = []
    # Chains with an end first; what is left over are rings.
    starts = [way for node, ways in at_node.items() if node not in passing for way in ways]
    for number, side in [*starts, *((number, 0) for number in range(len(pieces)))]:
        if not done[number]:
            branches.append(_walk(pieces, ends, passing, done, number, side))
    used = np.unique([node for branch in branches for node in branch.nodes]).astype(np.intp)
    place = {int(node): at for at, node in enumerate(used)}
    renumbered = tuple(
        Branch(b.points_rc, b.mask_width_px, b.probability, (place[b.nodes[0]], place[b.nodes[1]]), 0, b.bridged)
        for b in branches
    )
    return nodes_rc[used], renumbered


def _on_border(
    inside: npt.NDArray[np.float64], outside: npt.NDArray[np.float64], core: Rectangle
) -> npt.NDArray[np.float64]:
    share = core.way_out(inside[:2], outside[:2])
    return np.asarray(inside + share * (outside - inside), np.float64)[None]


def _match(pieces: Sequence[Piece], nodes_rc: Points, cut: npt.NDArray[np.bool_]) -> Index:
    """For each node the one that stands for it: cut ends find their nearest partner."""
    merged = np.arange(len(nodes_rc))
    number = np.flatnonzero(cut)
    if len(number) < 2:
        return merged
    owner = np.zeros(len(nodes_rc), np.intp)
    length = np.array([piece.length_px for piece in pieces])
    for index, piece in enumerate(pieces):
        owner[list(piece.nodes)] = index
    pairs = number[cKDTree(nodes_rc[number]).query_pairs(_JOIN_PX, output_type="ndarray")]
    apart = np.linalg.norm(nodes_rc[pairs[:, 0]] - nodes_rc[pairs[:, 1]], axis=1)
    same = (owner[pairs[:, 0]] == owner[pairs[:, 1]]) & (length[owner[pairs[:, 0]]] < 4 * _JOIN_PX)
    pairs, apart = pairs[~same], apart[~same]
    free = np.ones(len(nodes_rc), np.bool_)
    for a, b in pairs[np.lexsort((pairs[:, 1], pairs[:, 0], apart))]:
        if free[a] and free[b]:
            free[[a, b]] = False
            merged[b] = a
    return merged


def _walk(
    pieces: Sequence[Piece],
    ends: list[tuple[int, int]],
    passing: dict[int, list[tuple[int, int]]],
    done: npt.NDArray[np.bool_],
    number: int,
    side: int,
) -> Branch:
    """Follow pieces from one of them, starting at its end ``side``, as far as the nodes let pass."""
    first, runs = ends[number][side], []
    while True:
        done[number] = True
        runs.append(pieces[number].columns[:: 1 if side == 0 else -1])
        last = ends[number][1 - side]
        if last not in passing:
            break
        way, other = passing[last]
        number, side = other if way == (number, 1 - side) else way
        if done[number]:
            break
    columns = _concatenate(runs)
    return Branch(columns[:, :2], columns[:, 2], columns[:, 3], (first, last), 0, pieces[number].bridged)


def _concatenate(runs: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """One run of points. The two cut points of a seam go, unless that leaves a step of more than 2 px."""
    parts = [runs[0]]
    for run in runs[1:]:
        before = parts[-1]
        middle = (before[-1:] + run[:1]) / 2
        step = float(np.hypot(*(before[-2, :2] - run[1, :2])))
        if step < 0.5 and len(run) > 2 and len(parts[-1]) > 2:
            run = run[1:]
        parts[-1] = before[:-1]
        parts.append(run[1:] if step <= 2.0 else np.concatenate([middle, run[1:]]))
    return np.concatenate(parts)
