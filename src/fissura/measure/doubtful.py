"""Which finds are sure enough to be called cracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fissura.errors import SettingsError
from fissura.geo.scale import GroundScale
from fissura.measure.keeping import left_out, length_m
from fissura.measure.measuring import branch_confidence
from fissura.measure.model import CrackGraph
from fissura.spec import ConfidenceCurve, ModelCard

LEAST_CONFIDENCE, CLOSE_GSD_MM = 0.35, 10.0
"""In a survey, finds that are less sure are left out where a pixel is at most so large on the ground. Confidences are
fitted on photographs from nearby; on real frames of 17 mm a pixel a fifth of the cracks is below that limit
(docs/LOG.md)."""


def confidence_limit(scale: GroundScale | None, size_hw: tuple[int, int]) -> float:
    """How sure finds have to be where the user does not say: `LEAST_CONFIDENCE` near the ground, else 0.

    Args:
        scale: Of the measured picture. Without one nobody knows how near it is.
        size_hw: Of the measured picture in pixels; its middle counts.
    """
    if scale is None:
        return 0.0
    middle = np.array([[(size_hw[0] - 1) / 2, (size_hw[1] - 1) / 2]])
    return LEAST_CONFIDENCE if float(scale.gsd_mm(middle)[0]) <= CLOSE_GSD_MM else 0.0


def check_who_says(least: float | None, card: ModelCard | None) -> None:
    """Raise SettingsError where a limit is asked for and nobody says how sure a find is.

    Args:
        least: As asked for; None and 0 ask for nothing.
        card: Of the network; None where masks are given.
    """
    if least and (card is None or card.confidence is None):
        who = "--mask" if card is None else f"the model '{card.name}'"
        raise SettingsError(f"--least-confidence: {who} does not say how sure a find is; leave the option out")


def without_doubtful(
    graph: CrackGraph, curve: ConfidenceCurve | None, least: float, scale: GroundScale | None
) -> tuple[CrackGraph, tuple[float, ...]]:
    """Leave out finds none of whose branches is a crack with a confidence of at least `least`.

    A faint end of a sure crack stays: what hangs together is judged by its surest part.

    Args:
        graph: Centrelines with the probability along them.
        curve: The network's. Without one nothing is left out, since its probabilities are no confidence.
        least: 0 to 1.
        scale: For lengths.
    Returns:
        What is left, and the length in metres of each find that was left out, NaN without a scale.
    """
    if curve is None or least <= 0.0 or not graph.branches:
        return graph, ()
    sure = np.array([branch_confidence(branch, curve) for branch in graph.branches])
    of = np.unique([b.crack_id for b in graph.branches], return_inverse=True)[1]
    surest = np.zeros(of.max() + 1)
    np.maximum.at(surest, of, sure)
    kept = surest[of] >= least
    if kept.all():
        return graph, ()
    lost = np.zeros(len(surest))
    for k in np.flatnonzero(~kept):
        lost[of[k]] += length_m(graph.branches[k].points_rc, scale)
    branches = tuple(graph.branches[k] for k in np.flatnonzero(kept))
    return replace(graph, branches=branches), tuple(float(v) for v in lost[surest < least])


def describe_doubtful(lengths_m: Sequence[float], least: float) -> tuple[str, ...]:
    """A note on what `without_doubtful` left out; none if that was nothing."""
    return left_out(
        lengths_m,
        f"no part of them is a crack with a confidence of {least:g} or more (--least-confidence)",
    )
