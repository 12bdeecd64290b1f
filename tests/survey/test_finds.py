"""What is too wide for a crack, or too doubtful, is left out of a survey."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.measure.flanks import flanks_along
from fissura.measure.graph import trace_cracks
from fissura.measure.model import Branch, BranchWidths, CrackGraph
from fissura.measure.widths import WidthReport
from fissura.spec import ConfidenceCurve
from fissura.survey.beside import without_unlike
from fissura.survey.finds import (
    describe_spots,
    tell_cracks,
    without_spots,
    without_wide,
)


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


def assert_left(without, branches, kept):
    """Which of these branches a rule leaves, at 5 mm a pixel; the lengths of what it does not."""
    left, measured, lost = without(*network(*branches), GroundScale.uniform(5.0))
    assert [b.points_rc[0, 0] / 50 for b in left.branches] == kept
    assert len(measured.branches) == len(kept)
    assert sum(lost) == pytest.approx(0.5 * (len(branches) - len(kept)))
    return lost


@pytest.mark.parametrize(("branches", "kept"), [
    ([(0, 4.0, 1.0), (1, 40.0, 1.0)], [0]),  # 20 and 200 mm
    ([(0, 4.0, 1.0), (0, 60.0, 1.0)], []),  # the crack as a whole is a shadow
    ([(0, 20.0, 1.0), (1, 20.0, 0.0)], [0]),  # 100 mm: a wide crack, and a seal without a crack's profile
    ([(0, 9.0, 0.0)], [0]),  # too few pixels to tell
])  # fmt: skip
def test_shadows_patches_and_seals_are_no_cracks(branches, kept):
    assert_left(without_wide, branches, kept)
    graph, widths = network(*branches)
    assert without_wide(graph, widths, None)[0] is graph


@pytest.mark.parametrize(("branches", "kept"), [
    ([(0, 30.0, 1.0), (1, 40.0, 1.0)], [0]),  # 3.3 and 2.5 times as long as wide
    ([(0, 40.0, 1.0), (0, 40.0, 1.0)], [0, 1]),  # together long enough
    ([(0, 90.0, 1.0), (0, 60.0, 1.0)], []),
])  # fmt: skip
def test_what_is_hardly_longer_than_wide_is_a_spot(branches, kept):
    lost = assert_left(without_spots, branches, kept)
    assert len(describe_spots(lost)) == bool(lost)
    unscaled = without_spots(*network(*branches), None)
    assert len(unscaled[0].branches) == len(kept) and np.isnan(unscaled[2]).all()


CURVE = ConfidenceCurve(intercept=0.0, logit=(1.0, 0.0), log_length=(0.0, 0.0))
"""The probability itself."""


def ground(wander_px: float, thickness: int = 4):
    """A dark line of so many px, 2 m long at 5 mm a pixel, of which a network found both ends, and the picture."""
    x = np.arange(40.0, 440.0)
    y = 60 + 0.05 * x + wander_px * np.sin(x / 60)
    points = np.round(np.column_stack([x, y]) * 16).astype(np.int32)[:, None]
    shade, mask = np.zeros((160, 480), np.float32), np.zeros((160, 480), np.uint8)
    cv2.polylines(shade, [points], False, 60.0, thickness, cv2.LINE_AA, 4)
    for part in (points[:130], points[-130:]):
        cv2.polylines(mask, [part], False, 1, thickness, cv2.LINE_8, 4)
    grey = np.random.default_rng(5).normal(130.0, 6.0, shade.shape) - cv2.GaussianBlur(shade, (0, 0), 0.8)
    rgb = np.dstack([np.clip(grey, 0, 255).astype(np.uint8)] * 3)
    graph = trace_cracks(mask > 0, probability=np.where(mask > 0, 0.8, 0.0).astype(np.float32))
    return graph, lambda rows, columns: rgb[rows, columns]


def test_a_closed_gap_is_measured_and_counted():
    graph, read_rgb = ground(8.0)
    left, widths, out = tell_cracks(graph, read_rgb, GroundScale.uniform(5.0), CURVE, 0.35)
    (closure,) = [k for k, b in enumerate(left.branches) if b.bridged]
    assert widths.branches[closure].from_grey.all()
    # OpenCV paints a line of 4 px with soft rims 5 px wide.
    assert widths.branches[closure].width_px.mean() == pytest.approx(5.0, abs=0.3)
    assert sum(out.closed) == pytest.approx(0.75, abs=0.08)
    assert "1 gaps of 0.7 m" in out.notes[0] or "1 gaps of 0.8 m" in out.notes[0]


def test_pieces_of_a_joint_are_known_once_their_gap_is_closed():
    graph, read_rgb = ground(0.0)
    assert len(graph.branches) == 2
    left, widths, out = tell_cracks(graph, read_rgb, GroundScale.uniform(5.0), CURVE, 0.35)
    assert not left.branches and not widths.branches and not out.closed
    assert sum(out.joints) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(("per_px", "closed"), [(5.0, 1), (30.0, 0)])
def test_a_straight_gap_of_metres_is_not_closed(per_px, closed):
    graph, read_rgb = ground(0.0, thickness=1)  # of 0.75 and of 4.5 m
    left, _, out = tell_cracks(graph, read_rgb, GroundScale.uniform(per_px), CURVE, 0.35)
    assert len(out.closed) == closed and len(left.branches) == 2 + closed


def test_what_closed_a_gap_to_something_left_out_goes_with_it():
    graph, read_rgb = ground(8.0)
    border = lambda points: points[:, 1] > 0 if points[0, 1] < 300 else points[:, 0] > 60 + 0.05 * points[:, 1]  # noqa: E731
    weak = tuple(replace(b, probability=np.full(len(b.points_rc), 0.6)) for b in graph.branches)
    graph = replace(graph, branches=weak)
    left, _, out = tell_cracks(graph, read_rgb, GroundScale.uniform(5.0), CURVE, 0.35, known_at=border)
    assert len(out.borders) == 1 and len(left.branches) == 1
    assert not left.branches[0].bridged and not out.closed


def band(grey, width_px):
    """A straight find in the middle of rows 90 to 110 of a picture, its widths, and the reading of the picture."""
    rgb = np.dstack([np.clip(grey, 0, 255).astype(np.uint8)] * 3)
    points = np.column_stack([np.full(201, 99.5), np.arange(50.0, 251.0)])
    branch = Branch(points, np.full(201, width_px), np.ones(201), (0, 1), 0)
    graph = CrackGraph(points[[0, -1]], (branch,), (200, 300))
    widths = WidthReport((BranchWidths(*np.full((2, 201), width_px), *np.ones((2, 201), bool)),), 1.0, 0.8)
    return graph, widths, lambda rows, columns: rgb[rows, columns]


@pytest.mark.parametrize(("shade", "width_px", "per_px", "kept"), [
    (60.0, 10.0, 5.0, 1),  # a wide crack
    (15.0, 10.0, 5.0, 0),  # a soft shadow
    (15.0, 4.0, 5.0, 1),  # so narrow that it may be pale
    (15.0, 10.0, 2.0, 1),
    (-40.0, 10.0, 5.0, 0),  # brighter than its sides
])  # fmt: skip
def test_what_is_wide_is_dark(shade, width_px, per_px, kept):
    grey = np.random.default_rng(2).normal(130.0, 5.0, (200, 300))
    grey[100 - int(width_px / 2) : 100 + int(width_px / 2)] -= shade
    grey[130:, :] = 0  # not seen; the other side counts
    graph, widths, read = band(grey, width_px)
    left, measured, pale, outlines, green = without_unlike(graph, widths, read, GroundScale.uniform(per_px))
    assert len(left.branches) == len(measured.branches) == kept
    assert sum(pale) == pytest.approx(0.0 if kept else 1.0) and outlines == green == ()
    assert without_unlike(graph, widths, read, None)[0] is graph


@pytest.mark.parametrize(("beside", "width_px", "per_px", "kept"), [
    (130.0, 10.0, 5.0, 1),
    (105.0, 10.0, 5.0, 1),  # a little darker: another lane
    (70.0, 10.0, 5.0, 0),  # a dark vehicle with the gap under it
    (220.0, 10.0, 5.0, 0),  # a bright one
    (220.0, 10.0, 2.0, 1),  # so narrow that it may run along a painted line
    (0.0, 10.0, 5.0, 1),  # not seen
])  # fmt: skip
def test_what_is_wide_has_the_same_ground_on_both_sides(beside, width_px, per_px, kept):
    grey = np.random.default_rng(3).normal(130.0, 5.0, (200, 300))
    grey[100:] += beside - 130.0
    if beside == 0.0:
        grey[100:] = 0.0
    grey[95:105] = 40.0
    graph, widths, read = band(grey, width_px)
    left, measured, pale, outlines, green = without_unlike(graph, widths, read, GroundScale.uniform(per_px))
    assert len(left.branches) == len(measured.branches) == kept
    assert sum(outlines) == pytest.approx(0.0 if kept else 200 * per_px / 1000.0) and pale == green == ()


def test_a_branch_of_a_net_has_the_next_crack_beside_it():
    grey = np.full((200, 300), 130.0)
    grey[95:105] = 40.0
    grey[105:, :150] = 70.0
    graph, widths, read = band(grey, 10.0)
    (branch,) = graph.branches
    half = [slice(0, 101), slice(100, 201)]
    graph = replace(graph, branches=tuple(
        replace(branch, points_rc=branch.points_rc[s], mask_width_px=np.full(101, 10.0), probability=np.ones(101))
        for s in (half[0], half[1], half[1])
    ))  # fmt: skip
    widths = replace(widths, branches=tuple(
        BranchWidths(*np.full((2, 101), 10.0), *np.ones((2, 101), bool)) for _ in range(3)
    ))  # fmt: skip
    left, _, _, outlines, _ = without_unlike(graph, widths, read, GroundScale.uniform(5.0))
    assert left is graph and outlines == ()


def test_masks_that_someone_drew_are_measured_as_they_are():
    graph, read_rgb = ground(0.0)
    left, _, out = tell_cracks(graph, read_rgb, GroundScale.uniform(5.0), None, 0.0)
    assert left is graph and out.notes == ()


@pytest.mark.parametrize("rows_above", [9, 6, 3])
@pytest.mark.parametrize("black", [0, 30])
def test_a_crack_near_the_border_or_near_ground_nobody_saw_is_kept(rows_above, black):
    """What lies outside the picture, or was not seen, is no dark ground."""
    height, at = 100 + black, black + rows_above
    mask = np.zeros((height, 300), bool)
    mask[at : at + 7, 20:280] = True
    rgb = np.random.default_rng(0).integers(140, 160, (height, 300, 3)).astype(np.uint8)
    rgb[mask], rgb[:black] = 30, 0
    graph = trace_cracks(mask)
    widths = WidthReport((BranchWidths(*np.full((2, len(graph.branches[0].points_rc)), 7.0), *[None] * 2),), 1.0, 0.8)
    flanks = flanks_along(graph.branches[0], widths.branches[0].width_px, lambda r, c: rgb[r, c], graph.size_hw)
    assert np.nanmedian(flanks.darkness) == pytest.approx(0.8, abs=0.01)
    assert np.isnan(flanks.sides[:, 5]).sum() == (rows_above < 6)
    known = np.nan_to_num(flanks.unevenness)
    assert np.abs(known).max() < 0.05
