"""Width along a branch, place by place: where along a crack it is how wide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fissura.geo.scale import GroundScale
from fissura.measure.measuring import stretch_medians, stretch_windows, width_per_px
from fissura.measure.model import Branch, BranchWidths, Points, Values


@dataclass(frozen=True, eq=False)
class WidthProfile:
    """Widths along one branch, from ``nodes[0]`` to ``nodes[1]``; in millimetres with a scale, else in pixels.

    Attributes:
        along: Distance from the branch's beginning, on the ground, shape (N,), ascending.
        points_rc: The places in the picture, shape (N, 2), pixels.
        width: Median over the 20 px of crack around each place, shape (N,); the largest is `Crack.width_max`.
        sigma: Its standard error, the scale's included, shape (N,).
        from_grey: Most of those 20 px were measured in the grey values, shape (N,).
        below_blur: Most of them are too narrow for their width to be seen, shape (N,).
        widest: Index of the largest width.
    """

    along: Values
    points_rc: Points
    width: Values
    sigma: Values
    from_grey: npt.NDArray[np.bool_]
    below_blur: npt.NDArray[np.bool_]
    widest: int

    def __len__(self) -> int:
        return len(self.along)


def profile_widths(branch: Branch, widths: BranchWidths, scale: GroundScale | None = None) -> WidthProfile:
    """Width along a branch every 10 px or so: widths are measured over 20 px, each half over the one before.

    The first and the last stretch and the widest one are always among them, so that the largest width stands where it
    is and the ends are not left out; beside them places are nearer to each other.

    Args:
        branch: The branch.
        widths: What was measured at its points.
        scale: Pixels to millimetres.

    >>> points = np.column_stack([np.full(101, 5.0), np.arange(101.0)])
    >>> branch = Branch(points, np.full(101, 4.0), np.ones(101), (0, 1), 0)
    >>> there = np.ones(101, bool)
    >>> found = profile_widths(branch, BranchWidths(np.linspace(2, 4, 101), np.full(101, 0.1), there, ~there))
    >>> found.along[:3].tolist(), round(float(found.width[found.widest]), 2)
    ([10.0, 20.0, 30.0], 3.79)
    """
    points = branch.points_rc
    starts, n = stretch_windows(np.linalg.norm(np.diff(points, axis=0), axis=1))
    per_px = width_per_px(points, scale)
    width = stretch_medians(widths.width_px * per_px, starts, n)
    widest = _middle_of_widest(width)
    last = len(starts) - 1
    kept = np.unique(np.concatenate([np.arange(widest % 2, last + 1, 2), [0, last]]))
    at = starts[kept] + n // 2
    ground = points if scale is None else scale.to_ground(points)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(ground, axis=0), axis=1))])
    sigma = stretch_medians(widths.sigma_px * per_px, starts[kept], n)
    return WidthProfile(
        along[at], points[at], width[kept],
        np.hypot(sigma, (0.0 if scale is None else scale.sigma) * width[kept]),
        _share(widths.from_grey, starts[kept], n) >= 0.5, _share(widths.below_blur, starts[kept], n) > 0.5,
        int(np.searchsorted(kept, widest)),
    )  # fmt: skip


def _middle_of_widest(width: Values) -> int:
    """Index of the largest width, the middle one where neighbours share it, as medians about a peak do."""
    first = int(width.argmax())
    lower = np.flatnonzero(width[first:] < width[first])
    stop = first + int(lower[0]) if len(lower) else len(width)
    return (first + stop - 1) // 2


def _share(flags: npt.NDArray[np.bool_], starts: npt.NDArray[np.intp], n: int) -> Values:
    """Share of the points of each stretch for which a flag is set."""
    windows = np.lib.stride_tricks.sliding_window_view(flags.astype(np.float64), n)[starts]
    return np.asarray(windows.mean(axis=1), np.float64)
