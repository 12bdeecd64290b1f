"""Finds in what is green: crowns, grass and ivy, whose shadows and gaps networks take for cracks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fissura.geo.scale import GroundScale
from fissura.measure.flanks import flanks_along
from fissura.measure.model import CrackGraph
from fissura.measure.widths import WidthReport
from fissura.measure.windows import ReadRgb
from fissura.survey.keeping import keep, length_m

GREEN = 0.1
"""Excess green from which on something grows there."""
LEAST_PX = 3.0
"""What is narrower takes its colour from what is beside it."""


def without_green(
    graph: CrackGraph, widths: WidthReport, read_rgb: ReadRgb, scale: GroundScale | None
) -> tuple[CrackGraph, WidthReport, tuple[float, ...]]:
    """Leave out branches that are green inside and on one side at least.

    What grows in a crack is green inside, but has grey ground on both sides: such a crack stays.

    Args:
        graph: Centrelines.
        widths: Of its branches.
        read_rgb: Reads a window of the picture they were found in.
        scale: For lengths.
    Returns:
        What is left, and the length in metres of each branch that was left out, NaN without a scale.
    """
    lost = []
    for k, (branch, measured) in enumerate(zip(graph.branches, widths.branches, strict=True)):
        if measured.width_px.mean() < LEAST_PX:
            continue
        flanks = flanks_along(branch, measured.width_px, read_rgb, graph.size_hw)
        beside = np.fmax(*flanks.green_sides)
        grown = (flanks.green > GREEN) & (beside > GREEN)  # NaN is not
        if grown.mean() > 0.5:
            lost.append(k)
    kept = sorted(set(range(len(graph.branches))) - set(lost))
    return (*keep(graph, widths, kept), tuple(length_m(graph.branches[k].points_rc, scale) for k in lost))


def describe_green(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what `without_green` left out; none if that was nothing."""
    if not lengths_m:
        return ()
    total = sum(lengths_m)
    length = "" if np.isnan(total) else f" of {total:.1f} m in all"
    return (f"{len(lengths_m)} finds{length} were left out: they lie in what is green, crowns, grass or ivy",)
