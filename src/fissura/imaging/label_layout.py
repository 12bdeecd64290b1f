"""Where labels go: next to what they name, never on one another, on cracks as little as possible.

Boxes are (left, top, right, bottom) and points (x, y), in pixels of the drawn picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Box = tuple[float, float, float, float]

_ANGLES = np.deg2rad(np.arange(16) * 22.5)
# Distance of the box from its anchor, in parts of the text height.
_REACHES = np.array([0.9, 1.6, 2.6, 4.0, 6.0, 9.0, 13.0])


@dataclass(frozen=True, eq=False)
class LabelRequest:
    """A label that wants a place.

    Attributes:
        size_wh: Width and height of its box.
        anchors_xy: Points it may point at, best first, shape (K >= 1, 2).
    """

    size_wh: tuple[float, float]
    anchors_xy: Values


@dataclass(frozen=True)
class PlacedLabel:
    """A label with its place.

    Attributes:
        index: Which request it answers.
        box: Its box.
        leader_from_xy: Where its leader line leaves the box.
        anchor_xy: Where the leader line ends, on the crack.
    """

    index: int
    box: Box
    leader_from_xy: tuple[float, float]
    anchor_xy: tuple[float, float]


class CrackCover:
    """How much of a box lies on cracks, from a coarse grid.

    Args:
        grid: Crack cover of each cell, 0 to 1, shape (rows, columns).
        cell_px: Side of a cell in pixels.
    """

    def __init__(self, grid: Values, cell_px: float) -> None:
        self.cell_px = cell_px
        self._sums = np.pad(np.cumsum(np.cumsum(grid, 0), 1), ((1, 0), (1, 0)))

    def share(self, boxes: Values) -> Values:
        """Covered share of each box, shape (N, 4) to (N,), 0 to 1."""
        rows, cols = self._sums.shape[0] - 1, self._sums.shape[1] - 1
        left, right = np.floor(boxes[:, 0] / self.cell_px), np.ceil(boxes[:, 2] / self.cell_px)
        top, bottom = np.floor(boxes[:, 1] / self.cell_px), np.ceil(boxes[:, 3] / self.cell_px)
        x0, x1 = (np.clip(value, 0, cols).astype(np.intp) for value in (left, right))
        y0, y1 = (np.clip(value, 0, rows).astype(np.intp) for value in (top, bottom))
        total = self._sums[y1, x1] - self._sums[y0, x1] - self._sums[y1, x0] + self._sums[y0, x0]
        return np.asarray(total / np.maximum((x1 - x0) * (y1 - y0), 1), np.float64)


def place_labels(
    requests: Sequence[LabelRequest],
    cover: CrackCover,
    size_wh: tuple[int, int],
    *,
    obstacles: Sequence[Box] = (),
    gap_px: float = 4.0,
    most: int | None = None,
) -> list[PlacedLabel]:
    """Place labels one by one, first come first served; a label without a free place is left out.

    Args:
        requests: Most important first.
        cover: Where cracks are.
        size_wh: Of the picture; boxes stay inside.
        obstacles: Boxes to keep clear, for example the legend.
        gap_px: Between boxes, and to the picture's border.
        most: No more labels than this.
    Returns:
        The placed labels. No two boxes overlap, none overlaps an obstacle or a leader line, no two leaders cross.
    """
    placed: list[PlacedLabel] = []
    blocked = [np.array(box, np.float64) for box in obstacles]
    leaders: list[Values] = []
    for index, request in enumerate(requests):
        if most is not None and len(placed) >= most:
            break
        boxes, starts, anchors, cost = _candidates(request)
        free = _inside(boxes, size_wh, gap_px)
        segments = np.stack([starts, anchors], axis=1)
        for other in blocked:
            free &= ~_overlap(boxes, other, gap_px) & ~_segments_hit_box(segments, other, 0.5 * gap_px)
        for leader in leaders:
            free &= ~_segments_hit_boxes(leader, boxes, 0.5 * gap_px) & ~_segments_cross(segments, leader)
        if not free.any():
            continue
        cost = cost + 14.0 * cover.share(boxes) + 8.0 * _leader_cover(cover, starts, anchors)
        best = int(np.argmin(np.where(free, cost, np.inf)))
        box = boxes[best]
        placed.append(
            PlacedLabel(
                index, (box[0], box[1], box[2], box[3]), (starts[best, 0], starts[best, 1]),
                (anchors[best, 0], anchors[best, 1]),
            )
        )  # fmt: skip
        blocked.append(box)
        leaders.append(segments[best])
    return placed


def _candidates(request: LabelRequest) -> tuple[Values, Values, Values, Values]:
    """Boxes (N, 4), leader starts (N, 2), anchors (N, 2) and cost (N,) of all places around all anchors."""
    half = np.array(request.size_wh, np.float64) / 2
    text_px = request.size_wh[1]
    anchor, reach, angle = (
        value.ravel() for value in np.meshgrid(np.arange(len(request.anchors_xy)), _REACHES, _ANGLES, indexing="ij")
    )
    anchors = request.anchors_xy[anchor.astype(np.intp)].astype(np.float64)
    direction = np.column_stack([np.cos(angle), -np.sin(angle)])
    # The nearest corner or side of the box, not its centre, is `reach` away.
    centres = anchors + direction * (reach * text_px)[:, None] + np.clip(direction * 1.42, -1, 1) * half
    boxes = np.hstack([centres - half, centres + half])
    starts = np.clip(anchors, boxes[:, :2], boxes[:, 2:])
    # Right and above is where readers look first; later anchors cost a little.
    preference = 0.15 * (1 - np.cos(angle - np.pi / 5)) + 0.2 * anchor
    return boxes, starts, anchors, 0.35 * reach + preference


def _leader_cover(cover: CrackCover, starts: Values, anchors: Values) -> Values:
    """Share of the leader that runs over cracks; its end does so anyway and does not count."""
    total = np.zeros(len(starts))
    half = cover.cell_px / 4
    for part in (0.1, 0.3, 0.5, 0.7):
        points = starts + part * (anchors - starts)
        total += cover.share(np.hstack([points - half, points + half]))
    return total / 4


def _inside(boxes: Values, size_wh: tuple[int, int], gap_px: float) -> Flags:
    inside = (boxes[:, :2] >= gap_px).all(1) & (boxes[:, 2:] <= np.array(size_wh) - gap_px).all(1)
    return np.asarray(inside, np.bool_)


def _overlap(boxes: Values, other: Values, gap_px: float) -> Flags:
    apart = (boxes[:, :2] >= other[2:] + gap_px).any(1) | (boxes[:, 2:] <= other[:2] - gap_px).any(1)
    return np.asarray(~apart, np.bool_)


def _segments_hit_box(segments: Values, box: Values, gap_px: float) -> Flags:
    """Which of the segments, shape (N, 2, 2), touch one box."""
    return _clip_hits(segments[:, 0], segments[:, 1], box[:2] - gap_px, box[2:] + gap_px)


def _segments_hit_boxes(segment: Values, boxes: Values, gap_px: float) -> Flags:
    """Which of the boxes, shape (N, 4), one segment touches."""
    ends = np.broadcast_to(segment, (len(boxes), 2, 2))
    return _clip_hits(ends[:, 0], ends[:, 1], boxes[:, :2] - gap_px, boxes[:, 2:] + gap_px)


def _clip_hits(start: Values, end: Values, low: Values, high: Values) -> Flags:
    """Liang-Barsky: the stretch of each segment between the slabs in x and in y is not empty."""
    delta = end - start
    delta = np.where(np.abs(delta) < 1e-9, 1e-9, delta)
    first, second = (low - start) / delta, (high - start) / delta
    enter = np.minimum(first, second).max(1)
    leave = np.maximum(first, second).min(1)
    return np.asarray((enter <= leave) & (leave >= 0) & (enter <= 1), np.bool_)


def _segments_cross(segments: Values, other: Values) -> Flags:
    """Which of the segments, shape (N, 2, 2), cross one other, shape (2, 2)."""

    def side(a: Values, b: Values, c: Values) -> Values:
        return np.asarray(np.sign(_cross(b - a, c - a)), np.float64)

    p, q = segments[:, 0], segments[:, 1]
    a, b = other[0][None], other[1][None]
    return np.asarray((side(p, q, a) != side(p, q, b)) & (side(a, b, p) != side(a, b, q)), np.bool_)


def _cross(u: Values, v: Values) -> Values:
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0], np.float64)
