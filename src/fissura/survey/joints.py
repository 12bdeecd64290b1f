"""Straight bands and rings among the finds: joints, sealed and sawn ones, grooves, frames of manholes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fissura.geo.scale import GroundScale
from fissura.measure.keeping import left_out
from fissura.measure.measuring import branch_confidence, width_per_px
from fissura.measure.model import Branch, BranchWidths, CrackGraph
from fissura.measure.valleys import bridged_chains
from fissura.measure.widths import WidthReport
from fissura.spec import ConfidenceCurve

LEAST_WIDTH_MM, LEAST_WIDTH_PX, LEAST_LENGTH_MM = 20.0, 5.0, 800.0
"""Narrower and shorter ones are as straight by chance, or by the size of a pixel."""
LEAST_UNSURE_MM, UNSURE = 300.0, 0.7
"""Pieces of a joint are found with doubts: what is less sure than this is judged from so short on."""
WANDER_PER_M_MM, LONG_MM, LONG_WINDOW_MM = 2.0, 1200.0, 2000.0
LONG_WIDTH_MM, LONG_WIDTH_PX, LONG_GSD_MM = 12.0, 3.0, 10.0
"""Long lines, a little narrower, too, are judged by how far they stray over up to two metres: of a thousand drawn
cracks five stray by less than 2.4 mm over one metre, 3.7 over one and a half, 5.6 over two, whatever their width;
joints by 1.3 to 2.0 (docs/LOG.md). Where pixels are coarser than the last number, tracing cannot tell."""
PART_WANDER_MM, PART_STEP_MM, PART_REST_MM = 3.0, 100.0, 200.0
"""Parts of a branch (a crack that runs on in a joint) are judged over two metres: of 123 drawn cracks of that width one
has such a part. What is left of a branch beyond such a part and shorter than the last number goes with it."""
CLOSURE_MM, CLOSURE_PER_M_MM = 3000.0, 2.4
"""Closed gaps from this length on are judged over their whole length at any width and scale: drawn cracks stray by
2.6 mm per metre and more over four metres, joints between a road and its gutter, on real frames, by 1.3 to 2.2."""
WINDOW_MM, STEP_MM = 1000.0, 10.0
WIDEST_RING_MM = 600.0
"""Largest radius of a manhole's frame with the seal around it."""
STRAIGHT = 0.15
"""Wander over a metre, as a share of the width. On drawn roads it is 0.07 to 0.18 in joints, and below this in a
fiftieth of the cracks that are wide enough to be judged (docs/LOG.md). Shorter pieces must be straighter, by the power
1.5 of their length: those of cracks stray that much less, too, those of joints 0.02 to 0.04."""


def wander_mm(points_mm: npt.NDArray[np.float64], window_mm: float = WINDOW_MM) -> float:
    """How far a line strays from straight: median over windows of the deviation from the best line, RMS.

    Args:
        points_mm: Along the line, shape (N, 2), N at least 2.
        window_mm: Length of the windows; of shorter lines the whole is one.
    """
    even = _evenly(points_mm)
    size = min(round(window_mm / STEP_MM), len(even))
    strays = []
    for first in range(0, len(even) - size + 1, max(size // 2, 1)):
        piece = even[first : first + size] - even[first : first + size].mean(axis=0)
        # The smaller singular value is the spread across the best line.
        strays.append(float(np.linalg.svd(piece, compute_uv=False)[-1]) / np.sqrt(size))
    return float(np.median(strays))


def ring_wander_mm(points_mm: npt.NDArray[np.float64]) -> float:
    """How far a line strays from the best circle, RMS; infinite if that is larger than a manhole's frame.

    Args:
        points_mm: Along the line, shape (N, 2), N at least 2.
    """
    even = _evenly(points_mm)
    x, y = (even - even.mean(axis=0)).T
    (a, b, c), *_ = np.linalg.lstsq(np.column_stack([x, y, np.ones(len(x))]), x**2 + y**2, rcond=None)
    radius = float(np.sqrt(max(c + (a**2 + b**2) / 4, 0.0)))
    if not 0.0 < radius <= WIDEST_RING_MM:
        return float("inf")
    return float(np.sqrt(np.mean((np.hypot(x - a / 2, y - b / 2) - radius) ** 2)))


def _evenly(points_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Points `STEP_MM` apart along a line."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points_mm, axis=0), axis=1))])
    at = np.arange(0.0, max(along[-1], STEP_MM), STEP_MM)
    return np.column_stack([np.interp(at, along, points_mm[:, k]) for k in (0, 1)])


@dataclass(frozen=True, eq=False)
class _Line:
    """A branch, or several in a row: points on the ground in mm, widths there in mm and in pixels."""

    points_mm: npt.NDArray[np.float64]
    width_mm: npt.NDArray[np.float64]
    width_px: npt.NDArray[np.float64]

    @classmethod
    def of(cls, branch: Branch, measured: BranchWidths, scale: GroundScale) -> _Line:
        per_px = width_per_px(branch.points_rc, scale)
        return cls(scale.to_ground(branch.points_rc), measured.width_px * per_px, measured.width_px)

    @classmethod
    def joined(cls, lines: Sequence[_Line]) -> _Line:
        return cls(
            np.concatenate([line.points_mm for line in lines]), np.concatenate([line.width_mm for line in lines]),
            np.concatenate([line.width_px for line in lines]),
        )  # fmt: skip

    def turned(self) -> _Line:
        return _Line(self.points_mm[::-1], self.width_mm[::-1], self.width_px[::-1])

    @property
    def length_mm(self) -> float:
        return float(np.linalg.norm(np.diff(self.points_mm, axis=0), axis=1).sum())

    def is_joint(self, unsure: bool) -> bool:
        """Far straighter or rounder than wide, or long and ruled."""
        length, width_mm, width_px = self.length_mm, float(self.width_mm.mean()), float(self.width_px.mean())
        if width_mm >= LEAST_WIDTH_MM and width_px >= LEAST_WIDTH_PX:
            long_enough = length >= (LEAST_UNSURE_MM if unsure else LEAST_LENGTH_MM)
            stray = min(wander_mm(self.points_mm), ring_wander_mm(self.points_mm)) if long_enough else np.inf
            if stray < _limit(length) * width_mm:
                return True
        if length < LONG_MM or not self.is_fine():
            return False
        window = min(length, LONG_WINDOW_MM)
        return wander_mm(self.points_mm, window) < WANDER_PER_M_MM * window / 1000.0

    def part(self, first: int, last: int) -> _Line:
        """From one point to another."""
        some = slice(first, last + 1)
        return _Line(self.points_mm[some], self.width_mm[some], self.width_px[some])

    def is_fine(self) -> bool:
        """Wide enough that straightness tells something."""
        width_mm, width_px = float(self.width_mm.mean()), float(self.width_px.mean())
        return width_mm >= LONG_WIDTH_MM and width_px >= LONG_WIDTH_PX and width_mm <= LONG_GSD_MM * width_px

    def ruled_parts(self) -> list[tuple[int, int]]:
        """First and last point of each part that is a joint though the whole is none."""
        length, size = self.length_mm, round(LONG_WINDOW_MM / STEP_MM)
        if length < LONG_WINDOW_MM:
            return []
        even = _evenly(self.points_mm)
        straight = np.zeros(len(even), np.bool_)
        for first in range(0, len(even) - size + 1, round(PART_STEP_MM / STEP_MM)):
            piece = even[first : first + size] - even[first : first + size].mean(axis=0)
            if np.linalg.svd(piece, compute_uv=False)[-1] / np.sqrt(size) < PART_WANDER_MM:
                straight[first : first + size] = True
        edges = np.flatnonzero(np.diff(np.concatenate([[False], straight, [False]])))
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.points_mm, axis=0), axis=1))])
        parts = []
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            first = int(np.searchsorted(along, start * STEP_MM)) if start * STEP_MM > PART_REST_MM else 0
            rest = length - stop * STEP_MM > PART_REST_MM
            last = min(int(np.searchsorted(along, stop * STEP_MM)), len(along) - 1) if rest else len(along) - 1
            if self.part(first, last).is_fine():
                parts.append((first, last))
        return parts

    def is_ruled_closure(self) -> bool:
        """Of a closed gap: so long and straight that even coarse pixels show it."""
        stray = wander_mm(self.points_mm, self.length_mm) if self.length_mm >= CLOSURE_MM else np.inf
        return bool(stray < CLOSURE_PER_M_MM * self.length_mm / 1000.0)


def without_joints(
    graph: CrackGraph, widths: WidthReport, scale: GroundScale | None, curve: ConfidenceCurve | None = None
) -> tuple[CrackGraph, WidthReport, tuple[float, ...]]:
    """Leave out branches that are far straighter, or rounder, than they are wide.

    A crack goes round stones: over a metre it strays from straight by about its own width and more. What does not, and
    is wide enough that this can be seen, was made with a saw, a plank or a sealing lance, and a ring of that evenness
    is the frame of a manhole. Branches that closed gaps join are judged one by one and together; from the others parts
    are cut that are joints.

    Args:
        graph: Centrelines.
        widths: Of its branches.
        scale: Without one nothing is left out.
        curve: Of the network that found them. Without one short pieces stay.
    Returns:
        What is left, and the length in metres of each branch or part that was left out.
    """
    if scale is None:
        return graph, widths, ()
    lines = [_Line.of(b, w, scale) for b, w in zip(graph.branches, widths.branches, strict=True)]
    lost = {k for k, line in enumerate(lines) if line.is_joint(_is_unsure(graph.branches[k], curve))}
    lost |= {k for k, b in enumerate(graph.branches) if b.bridged and lines[k].is_ruled_closure()}
    for chain in bridged_chains(graph):
        whole = _Line.joined([lines[k] if ahead else lines[k].turned() for k, ahead in chain])
        if whole.is_joint(unsure=False):
            lost |= {k for k, _ in chain}
    nodes, branches, measures = list(graph.nodes_rc), [], []
    lengths = [lines[k].length_mm / 1000.0 for k in sorted(lost)]
    for k, (branch, measured) in enumerate(zip(graph.branches, widths.branches, strict=True)):
        if k in lost:
            continue
        ruled = lines[k].ruled_parts()
        lengths += [lines[k].part(first, last).length_mm / 1000.0 for first, last in ruled]
        for first, last in _between(ruled, len(branch.points_rc)):
            branches.append(_part_of(branch, first, last, nodes))
            measures.append(_part_of_widths(measured, first, last))
    if not lengths:
        return graph, widths, ()
    return (
        replace(graph, nodes_rc=np.array(nodes).reshape(-1, 2), branches=tuple(branches)),
        replace(widths, branches=tuple(measures)),
        tuple(lengths),
    )


def _between(parts: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """What lies before, between and behind parts (first and last point) of `count` points."""
    if not parts:
        return [(0, count - 1)]
    borders = [0, *(at for part in parts for at in part), count - 1]
    return [(first, last) for first, last in zip(borders[::2], borders[1::2], strict=True) if last > first]


def _part_of(branch: Branch, first: int, last: int, nodes: list[npt.NDArray[np.float64]]) -> Branch:
    """The branch from one point to another; appends to the nodes where it was cut."""
    if first == 0 and last == len(branch.points_rc) - 1:
        return branch
    ends = list(branch.nodes)
    for side, at, whole in ((0, first, 0), (1, last, len(branch.points_rc) - 1)):
        if at != whole:
            nodes.append(branch.points_rc[at])
            ends[side] = len(nodes) - 1
    part = slice(first, last + 1)
    return replace(
        branch, points_rc=branch.points_rc[part], mask_width_px=branch.mask_width_px[part],
        probability=branch.probability[part], nodes=(ends[0], ends[1]),
    )  # fmt: skip


def _part_of_widths(measured: BranchWidths, first: int, last: int) -> BranchWidths:
    part = slice(first, last + 1)
    return BranchWidths(
        measured.width_px[part], measured.sigma_px[part], measured.from_grey[part], measured.below_blur[part]
    )


def _is_unsure(branch: Branch, curve: ConfidenceCurve | None) -> bool:
    return curve is not None and branch_confidence(branch, curve) < UNSURE


def _limit(length_mm: float) -> float:
    return float(STRAIGHT * min(length_mm / LEAST_LENGTH_MM, 1.0) ** 1.5)


def describe_joints(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what `without_joints` left out; none if that was nothing."""
    return left_out(
        lengths_m,
        f"they stray from a line or a circle by less than {STRAIGHT:.0%} of their width, or from a line by "
        f"less than {WANDER_PER_M_MM:g} mm per metre, as joints and manholes do and cracks do not",
        "straight bands and rings",
    )
