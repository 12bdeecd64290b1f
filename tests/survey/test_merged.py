"""What is too wide for a crack is left out of a survey."""

import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.measure.model import Branch, BranchWidths, CrackGraph
from fissura.measure.widths import WidthReport
from fissura.survey.merged import without_wide


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
