"""ODS, OIS and AP by the BSDS protocol, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fissura.errors import GeometryError, SettingsError
from fissura.metrics import SetScore
from fissura.metrics.boundary import best_counts, boundary_area, boundary_indices, count_boundaries, count_matches
from fissura.metrics.counts import CurveCounts, bin_probability


def lines(*rows: int, side: int = 100, length: int = 40) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    for row in rows:
        mask[row, 20 : 20 + length] = True
    return mask


def counted(predicted: np.ndarray, truth: np.ndarray) -> tuple[int, int, int]:
    curve = count_boundaries(bin_probability(predicted.astype(np.float32)), truth, every=49)
    return int(curve.predicted[0]), int(curve.predicted_hit[0]), curve.truth


def test_every_point_is_used_once():
    a = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    assert count_matches(a, np.array([[0.0, 1.0]]), 5.0) == 1
    # Taking the nearest first, 1 with 1, would leave 0 and 2 alone; as many as possible is two.
    assert count_matches(np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [0.0, 2.0]]), 1.0) == 2
    assert count_matches(np.zeros((0, 2)), a, 5.0) == 0


@pytest.mark.parametrize(("shift", "hit"), [(0, 40), (1, 40), (2, 0)])
def test_the_distance_is_a_share_of_the_diagonal(shift: int, hit: int):
    # 0.0075 of the diagonal of 100×100 is 1.06 px. Of a line moved along itself all but the ends would still match.
    assert counted(lines(50 + shift), lines(50)) == (40, hit, 40)


def test_a_doubled_line_is_half_false_where_dilation_forgives_it():
    truth, doubled = lines(50, side=400), lines(48, 52, side=400)
    assert counted(doubled, truth) == (80, 40, 40)  # 0.0075 of this diagonal is 4.2 px
    score = SetScore(boundary_every=49)
    score.add(doubled.astype(np.float32), truth)
    figures = score.figures()
    assert figures["F1@2px"] == 1
    assert figures["ODS (BSDS)"] == pytest.approx(2 * 40 / (80 + 40))


def test_wide_lines_are_thinned_first():
    wide = lines(49, 50, 51)
    found, hit, truth = counted(wide, lines(50))
    assert found <= 40
    assert hit == found
    assert truth == 40


def test_thresholds_in_steps_are_those_of_the_whole_curve():
    rng = np.random.default_rng(0)
    probability = np.zeros((60, 60), np.float32)
    probability[20:24] = rng.random((4, 60))
    bins, truth = bin_probability(probability), lines(22, side=60)
    whole, few = (count_boundaries(bins, truth, every) for every in (1, 10))
    index = boundary_indices(10)
    assert (whole.predicted[index] == few.predicted).all()
    assert (whole.predicted_hit[index] == few.predicted_hit).all()


def test_area_and_best_counts():
    # From the lowest threshold: recall 1 at precision 1/2, recall 1/2 at precision 1.
    hit = np.array([10, 5])
    curve = CurveCounts(np.array([20, 5]), hit, hit, 10)
    # 51 recalls from 0.5 to 1, precision falling from 1 to 0.5.
    assert boundary_area(curve) == pytest.approx(51 * 0.75 * 0.01)
    best = best_counts(curve)  # both have F1 2/3; the lower threshold is taken
    assert (best.predicted, best.truth_hit) == (20, 10)
    assert math.isnan(boundary_area(CurveCounts(np.array([3]), np.array([0]), np.array([0]), 0)))


def test_ois_takes_each_image_at_its_own_best():
    score = SetScore(boundary_every=10)
    clean = lines(50)
    low = np.where(lines(80), np.float32(0.35), np.float32(0))  # a false line up to 0.35
    score.add(np.maximum(np.where(clean, np.float32(0.95), 0), low), clean)
    score.add(np.where(clean, np.float32(0.25), np.float32(0)), clean)  # found up to 0.25 only
    figures = score.figures()
    assert figures["OIS (BSDS)"] == 1
    # One threshold for both: 120 predicted of which 80 are true at 0.2; 40 of 40 at 0.4 and above.
    assert figures["ODS (BSDS)"] == pytest.approx(2 * 80 / (120 + 80))


def test_sets_counted_differently_do_not_add_up():
    with pytest.raises(GeometryError, match="boundary_every"):
        SetScore(boundary_every=10) + SetScore()
    with pytest.raises(SettingsError, match=r"0 \(off\) or 1 to 49"):
        SetScore(boundary_every=50)
