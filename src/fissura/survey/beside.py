"""Finds that are wide but not dark, that part two surfaces, or lie in what is green: shadows, outlines, crowns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fissura.geo.scale import GroundScale
from fissura.measure.flanks import flanks_along
from fissura.measure.keeping import keep, left_out, length_m
from fissura.measure.measuring import width_per_px
from fissura.measure.model import CrackGraph, Values
from fissura.measure.widths import WidthReport
from fissura.measure.windows import ReadRgb

WIDE_MM, WIDE_PX = 25.0, 5.0
"""What is narrower, or seen smaller, is not judged: blur makes it pale, and a painted line may lie beside it."""
LEAST_DARKNESS = 0.2
"""A wide crack lets no light out: of drawn ones half and more is missing, of soft shadows and of bands between a
painted line and the verge, which networks take for cracks, a fifth (docs/LOG.md)."""
MOST_UNEVEN = 0.4
"""A crack has the same ground on both sides. Of 488 m of finds on four drawn flights that were right none parted
grounds so different, of 8.5 m that were wrong 3.1 m; of wide cracks in photographs up to 4 % of the length do, 6 %
where masks are drawn too wide (docs/LOG.md)."""
GREEN, LEAST_GREEN_PX = 0.1, 3.0
"""Excess green from which on something grows there, and the width from which on a find has a colour of its own. Of
96,000 pixels of true cracks in photographs none is so green inside and on one side (docs/LOG.md)."""
_MOST = 0.5
"""Share of a find's length that has to part two grounds, since beside one branch of a net another crack may lie; and of
a branch that has to be green."""


def without_unlike(
    graph: CrackGraph, widths: WidthReport, read_rgb: ReadRgb, scale: GroundScale | None
) -> tuple[CrackGraph, WidthReport, tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Leave out what does not look like a crack in its ground.

    Wide branches that are too bright; those of finds whose two sides are not alike along most of them, which are
    outlines of what stands on the road or is let into it: vehicles, kerbs, covers, walls; and branches that are green
    inside and on one side at least: crowns, grass and ivy, whose gaps and shadows networks take for cracks. What grows
    in a crack has ground that is not green on both sides.

    Args:
        graph: Centrelines.
        widths: Of its branches.
        read_rgb: Reads a window of the picture they were found in.
        scale: Without one only green is told.
    Returns:
        What is left, and the lengths in metres of the branches that were left out, NaN without a scale: of pale ones,
        of outlines, of green ones.
    """
    if not graph.branches:
        return graph, widths, (), (), ()
    length = np.array([length_m(branch.points_rc, scale) for branch in graph.branches])
    pale, parting, green = (np.zeros(len(length), np.bool_) for _ in range(3))
    for k, (branch, measured) in enumerate(zip(graph.branches, widths.branches, strict=True)):
        width_px = measured.width_px
        if width_px.mean() < LEAST_GREEN_PX:
            continue
        flanks = flanks_along(branch, width_px, read_rgb, graph.size_hw)
        grown = (flanks.green > GREEN) & (np.fmax(*flanks.green_sides) > GREEN)  # NaN is not
        green[k] = grown.mean() > _MOST
        if scale is None or width_px.mean() < WIDE_PX:
            continue
        if float((width_px * width_per_px(branch.points_rc, scale)).mean()) >= WIDE_MM:
            # Where nothing beside it was seen nobody can tell.
            pale[k] = _median(flanks.darkness, 1.0) < LEAST_DARKNESS
            parting[k] = abs(_median(flanks.unevenness, 0.0)) > MOST_UNEVEN
    of = np.unique([b.crack_id for b in graph.branches], return_inverse=True)[1]
    outline = parting & ~pale & (np.bincount(of, length * parting) > _MOST * np.bincount(of, length))[of]
    green &= ~(pale | outline)
    kept = [int(k) for k in np.flatnonzero(~(pale | outline | green))]
    graph, widths = keep(graph, widths, kept)
    of_pale, of_outlines, of_green = (tuple(map(float, length[some])) for some in (pale, outline, green))
    return graph, widths, of_pale, of_outlines, of_green


def _median(values: Values, unseen: float) -> float:
    """Of what was seen; ``unseen`` if that is nothing."""
    return float(np.nanmedian(values)) if np.isfinite(values).any() else unseen


def describe_pale(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what was too bright; none if that was nothing."""
    return left_out(
        lengths_m,
        f"{WIDE_MM:g} mm wide and more, but hardly darker than the ground beside them, they are soft shadows, "
        "stains or patches",
    )


def describe_outlines(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what parts two surfaces; none if that was nothing."""
    return left_out(
        lengths_m,
        f"{WIDE_MM:g} mm wide and more, with ground of another brightness on one side than on the other, they "
        "are outlines of vehicles, kerbs or covers",
    )


def describe_green(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what is green; none if that was nothing."""
    return left_out(
        lengths_m,
        "they lie in what is green, crowns, grass or ivy",
    )
