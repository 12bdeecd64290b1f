"""Straight bands among the finds are told from cracks by how far they wander."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.measure.graph import trace_cracks
from fissura.measure.widths import mask_widths
from fissura.spec import ConfidenceCurve
from fissura.survey.joints import describe_joints, ring_wander_mm, wander_mm, without_joints

GSD_MM = 5.0


def band(wander_mm: float, width_mm: float, length_mm: float = 2500.0, seed: int = 1) -> np.ndarray:
    """A mask with one line that strays so far from straight, aslant so that pixels do not make it straight."""
    rng = np.random.default_rng(seed)
    x = np.arange(0.0, length_mm, 25.0)
    y = np.convolve(rng.standard_normal(len(x) + 20), np.hanning(21), "valid")
    y *= wander_mm / y.std()
    turn = np.array([[0.9, -0.436], [0.436, 0.9]])
    points = np.column_stack([x, y]) @ turn.T / GSD_MM + 40
    side = int(points.max()) + 80
    mask = np.zeros((side, side), np.uint8)
    fixed = np.round(points * 16).astype(np.int32)[:, None]
    cv2.polylines(mask, [fixed], False, 1, round(width_mm / GSD_MM), cv2.LINE_8, 4)
    return mask > 0


def left(mask: np.ndarray, scale: GroundScale | None) -> tuple[int, tuple[float, ...]]:
    graph = trace_cracks(mask)
    kept, widths, lost = without_joints(graph, mask_widths(graph), scale)
    assert len(kept.branches) == len(widths.branches)
    return len(kept.branches), lost


def test_a_straight_wide_band_is_left_out_and_counted():
    branches, lost = left(band(0.0, 35.0), GroundScale.uniform(GSD_MM))
    assert branches == 0 and sum(lost) == pytest.approx(2.5, rel=0.05)
    assert "2.5 m" in describe_joints(lost)[0]


def test_the_ring_of_a_manhole_is_left_out():
    mask = np.zeros((200, 200), np.uint8)
    cv2.ellipse(mask, (100, 100), (66, 66), 0, 20, 340, 1, 9)  # most of it
    branches, lost = left(mask > 0, GroundScale.uniform(GSD_MM))
    assert branches == 0 and sum(lost) == pytest.approx(66 * GSD_MM / 1000 * np.deg2rad(320), rel=0.1)


def test_an_arc_as_large_as_a_road_is_no_ring():
    angle = np.linspace(0.0, 1.0, 200)
    arc = np.column_stack([np.cos(angle), np.sin(angle)])
    assert ring_wander_mm(330.0 * arc) < 2.0
    assert ring_wander_mm(3000.0 * arc) == np.inf


@pytest.mark.parametrize(("wander", "width", "length"), [
    (25.0, 35.0, 2500.0),  # wanders by its width
    (0.0, 10.0, 2500.0),  # fine: as straight by chance
    (0.0, 35.0, 500.0),  # short
])  # fmt: skip
def test_cracks_stay(wander, width, length):
    branches, lost = left(band(wander, width, length), GroundScale.uniform(GSD_MM))
    assert branches == 1 and not lost and describe_joints(lost) == ()


@pytest.mark.parametrize(("wander", "length", "probability", "kept"), [
    (0.0, 500.0, 0.5, 0),  # a piece of a joint
    (0.0, 500.0, 0.9, 1),  # sure
    (0.0, 200.0, 0.5, 1),  # so short that anything is straight
    (8.0, 600.0, 0.5, 1),  # below .15 of its width, but too much for its length
])  # fmt: skip
def test_short_pieces_are_judged_if_they_are_unsure(wander, length, probability, kept):
    graph = trace_cracks(band(wander, 35.0, length, seed=4))
    assert len(graph.branches) == 1
    branch = replace(graph.branches[0], probability=np.full(len(graph.branches[0].points_rc), probability))
    graph = replace(graph, branches=(branch,))
    curve = ConfidenceCurve(intercept=0.0, logit=(1.0, 0.0), log_length=(0.0, 0.0))
    left, _, _ = without_joints(graph, mask_widths(graph), GroundScale.uniform(GSD_MM), curve)
    assert len(left.branches) == kept


@pytest.mark.parametrize(("wander", "width", "length", "per_px", "branches"), [
    (0.0, 17.0, 2500.0, 5.0, 0),  # a fine joint
    (1.5, 17.0, 2500.0, 5.0, 0),  # whose edge is a little ragged
    (6.0, 17.0, 2500.0, 5.0, 1),  # strays as the straightest cracks do
    (0.0, 17.0, 1000.0, 5.0, 1),  # straight by chance
    (0.0, 17.0, 2500.0, 12.0, 1),  # pixels too coarse to tell
])  # fmt: skip
def test_long_fine_lines_are_judged_by_millimetres_per_metre(wander, width, length, per_px, branches):
    found, lost = left(band(wander * 5.0 / per_px, width, length * 5.0 / per_px), GroundScale.uniform(per_px))
    assert found == branches and sum(lost) == pytest.approx(0.0 if branches else length / 1000, rel=0.05)
    assert not lost or "2 mm per metre" in describe_joints(lost)[0]


def test_a_joint_that_a_crack_runs_into_is_cut_out():
    x = np.arange(0.0, 1400.0, 5.0)
    wander = np.where(x < 800, 12 * np.sin(x / 25) * np.minimum((800 - x) / 100, 1.0), 0.0)
    points = np.column_stack([x + 40, 0.3 * x + wander + 40])
    mask = np.zeros((560, 1500), np.uint8)
    cv2.polylines(mask, [np.round(points * 16).astype(np.int32)[:, None]], False, 1, 4, cv2.LINE_8, 4)
    graph = trace_cracks(mask > 0)
    assert len(graph.branches) == 1
    kept, widths, lost = without_joints(graph, mask_widths(graph), GroundScale.uniform(GSD_MM))
    (branch,) = kept.branches
    assert sum(lost) == pytest.approx(600 * 1.044 * GSD_MM / 1000, rel=0.12)
    assert branch.points_rc[:, 1].max() == pytest.approx(840, abs=60)
    assert len(widths.branches[0].width_px) == len(branch.points_rc)
    assert np.allclose(kept.nodes_rc[list(branch.nodes)], branch.points_rc[[0, -1]])
    assert sorted(kept.degree()[list(branch.nodes)]) == [1, 1]


def test_without_a_scale_nothing_is_judged():
    assert left(band(0.0, 35.0), None) == (1, ())


def test_wander_does_not_depend_on_place_or_direction():
    line = np.column_stack([np.arange(0.0, 3000.0, 20.0), 8.0 * np.sin(np.arange(0.0, 3000.0, 20.0) / 90)])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert wander_mm(line) == pytest.approx(8.0 / np.sqrt(2), rel=0.1)
    assert wander_mm(line @ turn.T + 1e6) == pytest.approx(wander_mm(line), rel=1e-3)
    assert wander_mm(line[:2]) == pytest.approx(0.0, abs=1e-9)
