"""Cover road cells with few squares that stand in the road's direction.

A straight road is cut into columns along it, and each column into squares from its own hindmost cell on.

Elsewhere a sweep follows each road. At every step it takes the direction of the road there, gathers the uncovered
cells of the next band across it, and covers them with as few squares side by side as fit; the next band begins at the
first cell that is still uncovered, so that curves, widenings and junctions leave no gap. Squares of a band that touch
form a run: a cell across the line between two of them is covered by both together. The two squares at the ends of a
run may reach a little further, or a ragged edge would cost a slice that sees nothing else. Sweeps from either end are
pruned of squares whose cells others cover, and the smaller plan wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fissura.road.canvas import Canvas

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_STEEP = float(np.cos(np.radians(35.0)))
"""A band holds cells whose road runs within 35 degrees of the band's; others belong to a crossing road."""
_GRACE = 1 + 1e-9
_STRAIGHT, _STRAIGHT_SHARE = 2.0, 0.95
"""A road is straight if its direction is so many degrees from the mean in this share of cells, nowhere thrice that."""


@dataclass(frozen=True)
class Square:
    """A trusted square on a canvas: middle (x, y), unit vector upwards (x, y), side.

    ``beyond`` is how much more is trusted at its left and at its right: at the end of a row there is no neighbour that
    would know better.
    """

    x: float
    y: float
    up: tuple[float, float]
    side: float
    beyond: tuple[float, float] = (0.0, 0.0)


def cover_cells(canvas: Canvas, side: float, *, beyond: float = 0.0) -> list[Square]:
    """Squares of a side that together hold every cell of the canvas.

    Args:
        canvas: The cells and the direction of the road at each.
        side: Side of the squares in the canvas' units; more than one and a half cells.
        beyond: How much further the squares at the ends of a row may reach, in the canvas' units.
    """
    straight = _straight_up(canvas)
    if straight is not None and canvas.half_along(straight) <= side / 8:
        return _prune(canvas, [[square] for square in _by_columns(canvas, side, beyond, straight)])
    plans = [_prune(canvas, _Sweep(canvas, side, beyond).run(backwards=backwards)) for backwards in (False, True)]
    return min(plans, key=len)


def _straight_up(canvas: Canvas) -> Floats | None:
    """The one direction of the road in all cells, as a unit vector; None if it turns or there are several roads."""
    doubled = np.column_stack([canvas.ups[:, 0] ** 2 - canvas.ups[:, 1] ** 2, 2 * canvas.ups[:, 0] * canvas.ups[:, 1]])
    angle = float(np.arctan2(*doubled.mean(axis=0)[::-1])) / 2
    up = np.array([np.cos(angle), np.sin(angle)])
    off = np.abs(canvas.ups @ (-up[1], up[0]))
    few, most = np.quantile(off, [_STRAIGHT_SHARE, 1.0])
    return up if few <= np.sin(np.radians(_STRAIGHT)) and most <= np.sin(np.radians(3 * _STRAIGHT)) else None


def _by_columns(canvas: Canvas, side: float, beyond: float, up: Floats) -> list[Square]:
    """Columns along a straight road, each covered from its own hindmost cell on: no slice waits for its neighbours.

    Neighbouring columns share the width of a cell, so that each cell lies in one of them as a whole. Where the first
    column begins is free within what the last one has to spare.
    """
    half = canvas.half_along(up)
    along, across = canvas.centres @ up, canvas.centres @ (-up[1], up[0])
    order = np.argsort(along)
    along, across = along[order], across[order]
    low, high = across.min() - half, across.max() + half
    pitch = side - 2 * half
    count = max(int(np.ceil((high - low - 2 * beyond - 2 * half) / pitch - 1e-9)), 1)
    spare = count * pitch + 2 * half + 2 * beyond - (high - low)
    plans: list[list[Square]] = []
    for share in (0.5, 0.0, 0.25, 0.75, 1.0) if count > 1 else (0.5,):
        first = low + beyond - share * spare
        squares: list[Square] = []
        for k in range(count):
            left, right = first + k * pitch, first + k * pitch + side
            out = (beyond if k == 0 else 0.0, beyond if k == count - 1 else 0.0)
            inside = (across - half >= left - out[0] - 1e-6) & (across + half <= right + out[1] + 1e-6)
            own = along[inside if k == count - 1 else inside & (across - half < left + pitch)]
            at = 0
            while at < len(own):
                y = own[at] - half + side / 2
                x = (left + right) / 2
                place = np.array([-up[1], up[0]]) * x + up * y
                squares.append(Square(float(place[0]), float(place[1]), (float(up[0]), float(up[1])), side, out))
                at = int(np.searchsorted(own, own[at] + (side - 2 * half) * _GRACE, side="right"))
        plans.append(squares)
    return min(plans, key=len)


def _held(canvas: Canvas, run: list[Square]) -> Indices:
    """The cells that lie as a whole in the rectangle of a run of squares side by side."""
    first, last = run[0], run[-1]
    x, y = (first.x + last.x) / 2, (first.y + last.y) / 2
    half = canvas.half_along(first.up)
    along_reach = first.side / 2 * _GRACE - half
    across_reach = along_reach + float(np.hypot(last.x - first.x, last.y - first.y)) / 2
    left, right = first.beyond[0], last.beyond[1]
    window = _window(canvas, y, along_reach + across_reach + max(left, right))
    offset = canvas.centres[window] - (x, y)
    along, across = offset @ first.up, offset @ (-first.up[1], first.up[0])
    inside = (across >= -across_reach - left) & (across <= across_reach + right)
    return np.asarray(np.flatnonzero((np.abs(along) <= along_reach) & inside) + window.start)


def _window(canvas: Canvas, y: float, reach: float) -> slice:
    """Cells whose y lies within reach; cells are sorted by it."""
    low, high = np.searchsorted(canvas.centres[:, 1], [y - reach, y + reach])
    return slice(int(low), int(high))


class _Sweep:
    """The bands of one sweep; `_left` says which cells no square holds yet."""

    def __init__(self, canvas: Canvas, side: float, beyond: float) -> None:
        self._canvas, self._side, self._beyond = canvas, side, beyond
        self._left = np.ones(len(canvas.centres), np.bool_)

    def run(self, *, backwards: bool) -> list[list[Square]]:
        runs: list[list[Square]] = []
        last: Floats | None = None
        up = np.array([0.0, -1.0])
        while self._left.any():
            anchor = None if last is None else self._ahead(last, up)
            if anchor is None:
                anchor, up = self._outermost(backwards)
            band, up = self._band(anchor, up)
            row = self._columns(band, up)
            for squares in row:
                self._left[_held(self._canvas, squares)] = False
            runs += row
            last = np.array([[square.x, square.y] for squares in row for square in squares]).mean(axis=0)
        return runs

    def _outermost(self, backwards: bool) -> tuple[int, Floats]:
        """The outermost uncovered cell along the direction of the road there, and the way inwards."""
        left = np.flatnonzero(self._left)
        centres, ups = self._canvas.centres[left], self._canvas.ups[left]
        along = ((centres - centres.mean(axis=0)) * ups).sum(axis=1)
        k = int(along.argmax() if backwards else along.argmin())
        return int(left[k]), -ups[k] if backwards else ups[k]

    def _near(self, middle: Floats, reach: float) -> Indices:
        """Uncovered cells in an upright square of half side `reach`."""
        window = _window(self._canvas, middle[1], reach)
        inside = self._left[window] & (np.abs(self._canvas.centres[window, 0] - middle[0]) < reach)
        return np.asarray(np.flatnonzero(inside) + window.start)

    def _ahead(self, last: Floats, up: Floats) -> int | None:
        """The first uncovered cell ahead of the last band (or left beside it); None at the road's end."""
        cells = self._near(last, 3 * self._side)
        offset = self._canvas.centres[cells] - last
        along, across = offset @ up, np.abs(offset @ (-up[1], up[0]))
        near = (along > -1.2 * self._side) & (along < 1.6 * self._side) & (across < 2.5 * self._side)
        near &= np.abs(self._canvas.ups[cells] @ up) >= _STEEP
        return int(cells[near][along[near].argmin()]) if near.any() else None

    def _band(self, anchor: int, up: Floats) -> tuple[Indices, Floats]:
        """Uncovered cells of the band that begins at or around the anchor, and the direction of the road in it."""
        canvas, side = self._canvas, self._side
        near = self._near(canvas.centres[anchor], 4 * side)
        centres, ups = canvas.centres[near], canvas.ups[near]
        up = _turned(canvas.ups[anchor], up)
        for last in (False, False, True):
            along, across = centres @ up, centres @ (-up[1], up[0])
            same = np.abs(ups @ up) >= _STEEP
            same[near == anchor] = True
            # The band begins at the hindmost cell of what lies beside the anchor, so that none is left behind.
            beside = same & (np.abs(along - canvas.centres[anchor] @ up) < side / 2)
            beside[beside] = _hanging_together(across[beside], near[beside] == anchor, side / 2)
            start = float(along[beside].min())
            band = same & (along >= start) & (along <= start + side * _GRACE - 2 * canvas.half_along(up))
            if last:
                # The anchor itself may lie too far ahead for the band; the hindmost leads.
                leader = np.flatnonzero(beside)[int(along[beside].argmin())]
                band[band] = _hanging_together(across[band], np.flatnonzero(band) == leader, side / 2)
                return near[band], up
            # The median: where roads meet some cells of a band belong to another road.
            across, along = ups[band] @ (-up[1], up[0]), ups[band] @ up
            angle = float(np.median(np.arctan(across / along)))
            up = np.cos(angle) * up + np.sin(angle) * np.array([-up[1], up[0]])
        raise AssertionError

    def _columns(self, band: Indices, up: Floats) -> list[list[Square]]:
        """Runs of squares side by side over a band: as few as can be, spread evenly over what they cover."""
        side, reach = self._side * _GRACE, self._canvas.half_along(up)
        right = np.array([-up[1], up[0]])
        along = self._canvas.centres[band] @ up
        middle = 0.5 * (along.min() + along.max())
        across = np.sort(self._canvas.centres[band] @ right)
        runs = []
        while len(across):
            low, count = across[0] - reach, 1
            while True:
                end = low + count * side + 2 * self._beyond
                inside = across + reach <= end
                rest = across[~inside]
                if not len(rest) or rest[0] - reach >= end:
                    break
                count += 1
            high = across[inside][-1] + reach
            over = max((high - low - count * self._side) / 2, 0.0)
            low, high = low + over, high - over
            starts = np.linspace(low, high - self._side, count) if count > 1 else [(low + high - self._side) / 2]
            places = [right * (start + self._side / 2) + up * middle for start in starts]
            over *= _GRACE
            runs.append([
                Square(
                    float(x), float(y), (float(up[0]), float(up[1])), self._side,
                    (over if k == 0 else 0.0, over if k == count - 1 else 0.0),
                )
                for k, (x, y) in enumerate(places)
            ])  # fmt: skip
            across = rest
        return runs


def _turned(up: Floats, like: Floats) -> Floats:
    return -up if up @ like < 0 else up


def _hanging_together(across: Floats, member: npt.NDArray[np.bool_], gap: float) -> npt.NDArray[np.bool_]:
    """Which values hang together with one of them; gaps up to `gap` are bridged."""
    order = np.argsort(across)
    group = np.concatenate([[0], np.cumsum(np.diff(across[order]) > gap)])
    groups = np.empty(len(across), np.intp)
    groups[order] = group
    return np.asarray(groups == groups[member][0])


def _prune(canvas: Canvas, runs: list[list[Square]]) -> list[Square]:
    """Drop squares all of whose cells others hold, those that help least first."""
    squares = [square for run in runs for square in run]
    holds = [_held(canvas, [square]) for square in squares]
    count = np.zeros(len(canvas.centres), np.intp)
    for cells in holds:
        count[cells] += 1
    # Cells across the line between two squares of a run need both of them.
    shared: list[list[Indices]] = [[] for _ in squares]
    first = 0
    for run in runs:
        for k in range(first, first + len(run) - 1):
            pair = _held(canvas, squares[k : k + 2])
            between = pair[~np.isin(pair, np.concatenate(holds[k : k + 2]))]
            shared[k].append(between)
            shared[k + 1].append(between)
        first += len(run)
    kept = []
    for k in sorted(range(len(squares)), key=lambda k: len(holds[k])):
        alone = len(holds[k]) and (count[holds[k]] == 1).any()
        if alone or any((count[cells] == 0).any() for cells in shared[k]):
            kept.append(k)
        else:
            count[holds[k]] -= 1
    return [squares[k] for k in sorted(kept)]
