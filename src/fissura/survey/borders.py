"""Finds that run along the border of what was looked at: a road's edge with soil or grass behind it, no crack."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fissura.geo.scale import GroundScale
from fissura.measure.keeping import keep, left_out, length_m
from fissura.measure.measuring import branch_confidence, width_per_px
from fissura.measure.model import CrackGraph, Points
from fissura.measure.widths import WidthReport
from fissura.spec import ConfidenceCurve
from fissura.types import BoolMask

BESIDE_MM, BESIDE_PX = 60.0, 3.0
"""A crack has road on both sides of it, at least so far."""
SURE = 0.7
"""A find that is surer than this is a crack beside the edge."""
_SHARE = 0.5
_CHORD = 5

KnownAt = Callable[[Points], BoolMask]
"""Whether the ground at points (row, column), shape (N, 2), was looked at and is road."""


def without_borders(
    graph: CrackGraph, widths: WidthReport, known_at: KnownAt, curve: ConfidenceCurve | None, scale: GroundScale | None
) -> tuple[CrackGraph, WidthReport, tuple[float, ...]]:
    """Leave out branches that have road on one side only along half of their length, unless they are sure.

    Slices show a little of the verge, and the line where pavement ends is dark and ragged as a crack is. What lies
    behind it was not kept, so that it is known to be the border.

    Args:
        graph: Centrelines with the probability along them.
        widths: Of its branches.
        known_at: Of the canvas the graph was traced on.
        curve: The network's. Without one nothing is left out: who draws a mask means it.
        scale: Likewise without one.
    Returns:
        What is left, and the length in metres of each branch that was left out.
    """
    if curve is None or scale is None or not graph.branches:
        return graph, widths, ()
    kept, lost = [], []
    for k, branch in enumerate(graph.branches):
        points = branch.points_rc
        reach = branch.mask_width_px / 2 + np.maximum(BESIDE_PX, BESIDE_MM / width_per_px(points, scale))
        across = _normals(points) * reach[:, None]
        one_sided = known_at(points + across) != known_at(points - across)
        if one_sided.mean() >= _SHARE and branch_confidence(branch, curve) < SURE:
            lost.append(length_m(points, scale))
        else:
            kept.append(k)
    return (*keep(graph, widths, kept), tuple(lost))


def describe_borders(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what `without_borders` left out; none if that was nothing."""
    return left_out(
        lengths_m,
        "they are not sure, and run along the border of the road, where pavement ends",
    )


def _normals(points: Points) -> npt.NDArray[np.float64]:
    """Unit vectors across a line, from chords of a few points."""
    index = np.arange(len(points))
    chord = points[np.minimum(index + _CHORD, len(points) - 1)] - points[np.maximum(index - _CHORD, 0)]
    chord = chord / np.maximum(np.linalg.norm(chord, axis=1, keepdims=True), 1e-9)
    return np.column_stack([-chord[:, 1], chord[:, 0]])
