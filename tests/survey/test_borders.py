"""Finds along the border of what was looked at are told from cracks by what lies on either side of them."""

import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.measure.model import Branch, BranchWidths, CrackGraph
from fissura.measure.widths import WidthReport
from fissura.spec import ConfidenceCurve
from fissura.survey.borders import SURE, describe_borders, without_borders
from fissura.survey.ground import TILE_PX, GroundCanvas

CURVE = ConfidenceCurve(intercept=0.0, logit=(1.0, 0.0), log_length=(0.0, 0.0))
"""The probability itself."""
SCALE = GroundScale.uniform(5.0)


def line(column: float, probability: float, width: float = 4.0, slant: float = 0.0) -> tuple[CrackGraph, WidthReport]:
    """A line of 200 px that begins at a column."""
    points = np.column_stack([100.0 + np.arange(201.0), column + slant * np.arange(201.0)])
    branch = Branch(points, np.full(201, width), np.full(201, probability), (0, 1), 0)
    widths = BranchWidths(np.full(201, width), np.ones(201), np.ones(201, bool), np.zeros(201, bool))
    return CrackGraph(points[[0, -1]], (branch,), (600, 600)), WidthReport((widths,), 1.0, 0.8)


def left_of_300(points: np.ndarray) -> np.ndarray:
    return points[:, 1] < 300


@pytest.mark.parametrize(("found", "kept"), [
    (line(295, 0.5), False),  # 12 px of road are asked for at its right, and half its own width
    (line(306, 0.5), False),  # as well from behind
    (line(280, 0.5), True),
    (line(295, SURE + 0.05), True),
    (line(280, 0.5, width=20.0), False),  # a wide one needs more room
    (line(150, 0.5, slant=0.9), True),  # runs out over the border
])  # fmt: skip
def test_an_unsure_find_needs_road_on_both_sides(found, kept):
    graph, widths = found
    left, report, lost = without_borders(graph, widths, left_of_300, CURVE, SCALE)
    assert len(left.branches) == len(report.branches) == kept
    if kept:
        assert lost == () and describe_borders(lost) == ()
    else:
        assert lost == pytest.approx((1.0,))
        assert "1 finds of 1.0 m" in describe_borders(lost)[0]


def test_masks_of_the_user_and_grounds_without_a_scale_are_left_alone():
    graph, widths = line(295, 0.5)
    assert without_borders(graph, widths, left_of_300, None, SCALE) == (graph, widths, ())
    assert without_borders(graph, widths, left_of_300, CURVE, None) == (graph, widths, ())


def test_the_canvas_knows_where_it_was_looked_at(tmp_path):
    canvas = GroundCanvas(tmp_path, most_tiles=2)
    weight = np.zeros((700, 900), np.float32)
    weight[:, 200:650] = 1.0
    empty = np.zeros_like(weight)
    canvas.paste(-100, -300, empty, weight, np.full((700, 900, 3), 90, np.uint8), keep_old=empty + 1)
    rng = np.random.default_rng(0)
    points = rng.uniform((-300, -500), (900, 900), (400, 2))
    row, column = np.floor(points + 0.5).T
    inside = (row >= -100) & (row < 600) & (column >= -100) & (column < 350)
    assert (canvas.known_at(points) == inside).all() and 20 < inside.sum() < 200
    assert canvas.known_at(np.empty((0, 2))).shape == (0,)
    assert not canvas.known_at(np.array([[5.0 * TILE_PX, 0.0]])).any()
