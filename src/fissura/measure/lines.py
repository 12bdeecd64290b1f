"""Many lines as one array of points: smoothing, directions and even spacing for all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fissura.measure.model import Points, Values
from fissura.measure.pixelgraph import Index

_REACH_PX = (5, 7, 10, 14, 20, 32, 48)
"""Half lengths of the smoothing window; each point takes the shortest that holds 2.5 sigma."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines, point after point.

    Attributes:
        points: Shape (N, 2).
        first: Where each line begins, with the end of the last, shape (B + 1,). Every line has a point.
        ring: Closed lines, whose last point is not the first again, shape (B,).
    """

    points: Points
    first: Index
    ring: npt.NDArray[np.bool_]

    def number(self) -> Index:
        """Which line each point belongs to, shape (N,)."""
        return np.repeat(np.arange(len(self.ring)), np.diff(self.first))

    def low_high(self) -> tuple[Index, Index]:
        """First and last point of each point's line, shape (N,) each."""
        number = self.number()
        return self.first[:-1][number], self.first[1:][number] - 1

    def step_index(self, by: int) -> Index:
        """The point ``by`` places further on the same line, or the line's last (first); rings go around."""
        low, high = self.low_high()
        at = np.arange(len(self.points)) + by
        around = low + (at - low) % (high - low + 1)
        return np.asarray(np.where(self.ring[self.number()], around, np.clip(at, low, high)), np.intp)


def ragged_arange(counts: Index) -> Index:
    """0, 1, ... up to each count, one after the other.

    >>> ragged_arange(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    stop = np.cumsum(counts)
    return np.asarray(np.arange(stop[-1] if len(stop) else 0) - np.repeat(stop - counts, counts), np.intp)


class Smoother:
    """Gaussian smoothing along lines, prepared once for many values.

    Args:
        lines: The lines.
        sigma: Of the Gaussian at each of their points, in points, shape (N,).
    """

    def __init__(self, lines: Lines, sigma: Values) -> None:
        low, high = lines.first[:-1], lines.first[1:] - 1
        group = np.minimum(np.searchsorted(_REACH_PX, 2.5 * sigma), len(_REACH_PX) - 1)
        reach = np.asarray(_REACH_PX)[group]
        # Every line is continued at both ends by as much as its widest window needs.
        pad = np.maximum.reduceat(reach, low) if len(low) else low
        counts = high - low + 1 + 2 * pad
        number = np.repeat(np.arange(len(low)), counts)
        at = ragged_arange(counts) - pad[number]
        size, ring = (high - low + 1)[number], lines.ring[number]
        self._before, self._after = (at < 0) & ~ring, (at >= size) & ~ring
        self._tips = np.concatenate([low[~lines.ring], high[~lines.ring]])
        inside = low[number] + np.where(ring, at % size, np.clip(at, 0, size - 1))
        mirrored = np.where(self._before, -at, np.where(self._after, 2 * size - 2 - at, 0))
        outside = self._before | self._after
        self._held = inside
        self._mirrored = np.where(outside, low[number] + np.clip(mirrored, 0, size - 1), inside)
        begin = np.cumsum(counts) - counts + pad - low
        self._groups = []
        for step, half in enumerate(_REACH_PX):
            rows = np.flatnonzero(group == step)
            if len(rows):
                weight = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma[rows, None]) ** 2)
                weight /= weight.sum(axis=1, keepdims=True)
                self._groups.append((rows, rows + begin[lines.number()[rows]] - half, weight))

    def __call__(self, values: npt.NDArray[np.float64], *, pinned: bool) -> npt.NDArray[np.float64]:
        """Smoothed values.

        Args:
            values: Shape (N, K).
            pinned: The ends stay where they are (the line goes on beyond them as its mirror image about the end
                point); otherwise the end value goes on.
        """
        out = np.empty_like(values)
        for column, value in enumerate(values.T):
            going_on = value[self._held]
            if pinned:
                turned = 2 * going_on - value[self._mirrored]
                going_on = np.where(self._before | self._after, turned, going_on)
            for rows, begin, weight in self._groups:
                window = np.lib.stride_tricks.sliding_window_view(going_on, weight.shape[1])[begin]
                out[rows, column] = np.einsum("nk,nk->n", window, weight)
        if pinned:  # Exactly, also where the window is longer than the line.
            out[self._tips] = values[self._tips]
        return out

    def keeping_curves(self, points: Points) -> Points:
        """Smooth with the ends pinned, then add back what smoothing takes off bends: a circle keeps its radius."""
        once = self(points, pinned=True)
        return np.asarray(once + self(points - once, pinned=True), np.float64)


def tangents(lines: Lines, points: Points, by: int = 2) -> Points:
    """Unit direction of travel at each point, from the points ``by`` places before and after; shape (N, 2)."""
    ahead = points[lines.step_index(by)] - points[lines.step_index(-by)]
    length = np.linalg.norm(ahead, axis=1, keepdims=True)
    return np.where(length > 1e-9, ahead / np.maximum(length, 1e-9), (0.0, 1.0))


def arc_length(lines: Lines) -> Values:
    """Distance along all lines from the first point on; between two lines it grows by 1. Shape (N,)."""
    if not len(lines.points):
        return np.zeros(0)
    step = np.linalg.norm(np.diff(lines.points, axis=0), axis=1)
    step[lines.first[1:-1] - 1] = 1.0
    return np.concatenate([[0.0], np.cumsum(step)])


def space_evenly(
    lines: Lines, values: npt.NDArray[np.float64], *, keep_rings: bool
) -> tuple[Lines, npt.NDArray[np.float64]]:
    """Points about 1 px apart along each line, at least two each; both ends stay.

    Args:
        lines: The lines.
        values: At their points, shape (N, K).
        keep_rings: Rings stay rings; otherwise they become lines whose last point is the first again.
    Returns:
        The new lines, and the values at their points.
    """
    if not len(lines.points):
        return lines, values
    closed, source = close_rings(lines)
    columns = np.concatenate([closed.points, values[source]], axis=1)
    along = arc_length(closed)
    begin, end = along[closed.first[:-1]], along[closed.first[1:] - 1]
    pieces = np.maximum(np.rint(end - begin), 1).astype(np.intp)
    counts = pieces + 1 if not keep_rings else np.where(lines.ring, pieces, pieces + 1)
    share = ragged_arange(counts) / np.repeat(pieces, counts)
    wanted = np.repeat(begin, counts) + share * np.repeat(end - begin, counts)
    spaced = np.stack([np.interp(wanted, along, column) for column in columns.T], axis=1)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    return Lines(spaced[:, :2], first, lines.ring if keep_rings else closed.ring), spaced[:, 2:]


def close_rings(lines: Lines) -> tuple[Lines, Index]:
    """Repeat each ring's first point at its end. Also returns which old point each new one is."""
    counts = np.diff(lines.first) + lines.ring
    source = np.repeat(lines.first[:-1], counts) + ragged_arange(counts)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    last = first[1:][lines.ring] - 1
    source[last] = lines.first[:-1][lines.ring]
    return replace(lines, points=lines.points[source], first=first, ring=np.zeros_like(lines.ring)), source
