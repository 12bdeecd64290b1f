"""What is too wide for a crack, or too doubtful, is left out of a survey."""

from dataclasses import replace

import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.measure.model import Branch, BranchWidths, CrackGraph
from fissura.measure.widths import WidthReport
from fissura.spec import ConfidenceCurve
from fissura.survey.merged import LEAST_CONFIDENCE, confidence_limit, describe_doubtful, without_doubtful, without_wide


def network(*branches):
    """Horizontal branches of 100 px: (crack, width in px, share seen in grey)."""
    made, widths = [], []
    for k, (crack, width_px, grey) in enumerate(branches):
        points = np.column_stack([np.full(101, 50.0 * k), np.arange(101.0)])
        made.append(Branch(points, np.full(101, width_px), np.ones(101), (2 * k, 2 * k + 1), crack))
        seen = np.arange(101) < 101 * grey
        widths.append(BranchWidths(np.full(101, width_px), np.ones(101), seen, np.zeros(101, bool)))
    nodes = np.zeros((2 * len(branches), 2))
    return CrackGraph(nodes, tuple(made), (1000, 200)), WidthReport(tuple(widths), 1.0, 0.8)


@pytest.mark.parametrize(("branches", "kept"), [
    ([(0, 4.0, 1.0), (1, 40.0, 1.0)], [0]),  # 20 and 200 mm
    ([(0, 4.0, 1.0), (0, 60.0, 1.0)], []),  # the crack as a whole is a shadow
    ([(0, 20.0, 1.0), (1, 20.0, 0.0)], [0]),  # 100 mm: a wide crack, and a seal without a crack's profile
    ([(0, 9.0, 0.0)], [0]),  # too few pixels to tell
])  # fmt: skip
def test_shadows_patches_and_seals_are_no_cracks(branches, kept):
    graph, widths = network(*branches)
    left, measured, lost = without_wide(graph, widths, GroundScale.uniform(5.0))
    assert [b.points_rc[0, 0] / 50 for b in left.branches] == kept
    assert len(measured.branches) == len(kept)
    assert sum(lost) == pytest.approx(0.5 * (len(branches) - len(kept)))
    assert without_wide(graph, widths, None)[0] is graph


CURVE = ConfidenceCurve(intercept=0.0, logit=(1.0, 0.0), log_length=(0.0, 0.0))
"""The probability itself."""


def unsure(*branches):
    """Branches of 100 px: (crack, probability along it)."""
    graph, _ = network(*((crack, 4.0, 1.0) for crack, _ in branches))
    made = [replace(b, probability=np.full(101, p)) for b, (_, p) in zip(graph.branches, branches, strict=True)]
    return replace(graph, branches=tuple(made))


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


def test_near_the_ground_alone_confidence_decides():
    assert confidence_limit(GroundScale.uniform(5.0), (100, 100)) == LEAST_CONFIDENCE
    assert confidence_limit(GroundScale.uniform(17.0), (100, 100)) == 0.0
    assert confidence_limit(None, (100, 100)) == 0.0
