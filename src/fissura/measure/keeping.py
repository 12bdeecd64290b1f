"""What sorting the finds of a survey has in common: keep some branches, and say how long the others were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fissura.geo.scale import GroundScale
from fissura.measure.model import CrackGraph, Points
from fissura.measure.widths import WidthReport


def keep(graph: CrackGraph, widths: WidthReport, kept: Sequence[int]) -> tuple[CrackGraph, WidthReport]:
    """The graph and the widths with these branches alone; the same objects if those are all."""
    if len(kept) == len(graph.branches):
        return graph, widths
    return (
        replace(graph, branches=tuple(graph.branches[k] for k in kept)),
        replace(widths, branches=tuple(widths.branches[k] for k in kept)),
    )


def length_m(points_rc: Points, scale: GroundScale | None) -> float:
    """Of a line, on the ground, in metres; NaN without a scale."""
    if scale is None:
        return float("nan")
    return float(np.linalg.norm(np.diff(scale.to_ground(points_rc), axis=0), axis=1).sum()) / 1000.0


def in_all(lengths_m: Sequence[float]) -> str:
    """`` of 1.2 m in all``, for a note; nothing where lengths are not known."""
    total = sum(lengths_m)
    return "" if np.isnan(total) else f" of {total:.1f} m in all"


def left_out(lengths_m: Sequence[float], why: str, what: str = "finds") -> tuple[str, ...]:
    """A note on finds of these lengths that are not reported; none if that was nothing."""
    return (f"{len(lengths_m)} {what}{in_all(lengths_m)} were left out: {why}",) if lengths_m else ()
