"""Finds that are too doubtful to be called cracks."""

import numpy as np
import pytest

from fissura.errors import SettingsError
from fissura.geo.scale import GroundScale
from fissura.measure.doubtful import (
    LEAST_CONFIDENCE,
    check_who_says,
    confidence_limit,
    describe_doubtful,
    without_doubtful,
)
from fissura.measure.model import Branch, CrackGraph
from fissura.spec import ConfidenceCurve, ModelCard

CURVE = ConfidenceCurve(intercept=0.0, logit=(1.0, 0.0), log_length=(0.0, 0.0))
"""The probability itself."""


def unsure(*branches):
    """Horizontal branches of 100 px: (crack, probability along it)."""
    made = []
    for k, (crack, probability) in enumerate(branches):
        points = np.column_stack([np.full(101, 50.0 * k), np.arange(101.0)])
        made.append(Branch(points, np.full(101, 4.0), np.full(101, probability), (2 * k, 2 * k + 1), crack))
    return CrackGraph(np.zeros((2 * len(branches), 2)), tuple(made), (1000, 200))


@pytest.mark.parametrize(("branches", "kept"), [
    ([(0, 0.9), (1, 0.3)], [0]),
    ([(0, 0.9), (0, 0.3)], [0, 1]),  # the faint end of a sure crack
    ([(0, 0.3), (0, 0.2), (1, 0.39), (2, 0.41)], [3]),
])  # fmt: skip
def test_doubtful_finds_are_left_out_and_counted(branches, kept):
    graph = unsure(*branches)
    left, lost = without_doubtful(graph, CURVE, 0.4, GroundScale.uniform(5.0))
    assert [b.points_rc[0, 0] / 50 for b in left.branches] == kept
    assert sum(lost) == pytest.approx(0.5 * (len(branches) - len(kept)))
    assert len(lost) == len({crack for crack, _ in branches}) - len({branches[k][0] for k in kept})
    if lost:
        (note,) = describe_doubtful(lost, 0.4)
        assert f"{len(lost)} finds of {sum(lost):.1f} m" in note and "--least-confidence" in note


def test_without_a_scale_doubtful_finds_are_counted_without_their_length():
    left, lost = without_doubtful(unsure((0, 0.9), (1, 0.3)), CURVE, 0.4, None)
    assert len(left.branches) == 1
    assert describe_doubtful(lost, 0.4)[0].startswith("1 finds were left out")


def test_only_a_confidence_leaves_anything_out():
    graph = unsure((0, 0.1))
    assert without_doubtful(graph, None, 0.4, None) == (graph, ())
    assert without_doubtful(graph, CURVE, 0.0, None) == (graph, ())
    assert not without_doubtful(graph, CURVE, 0.4, None)[0].branches


def test_a_limit_needs_someone_who_says_how_sure_a_find_is():
    card = ModelCard(name="plain", version="1", description="None.", architecture="none", parameters=1)
    for asked in (None, 0.0):
        check_who_says(asked, None)
        check_who_says(asked, card)
    check_who_says(0.4, card.model_copy(update={"confidence": CURVE}))
    for found, who in ((None, "--mask"), (card, "the model 'plain'")):
        with pytest.raises(SettingsError, match=f"{who} does not say how sure a find is; leave the option out"):
            check_who_says(0.4, found)


def test_near_the_ground_alone_confidence_decides():
    assert confidence_limit(GroundScale.uniform(5.0), (100, 100)) == LEAST_CONFIDENCE
    assert confidence_limit(GroundScale.uniform(17.0), (100, 100)) == 0.0
    assert confidence_limit(None, (100, 100)) == 0.0
