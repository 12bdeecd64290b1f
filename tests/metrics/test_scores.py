"""Scores of hand-made counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fissura.metrics import scores
from fissura.metrics.counts import CurveCounts, MatchCounts, PixelCounts, bin_probability, count_curve

FOUR = count_curve(
    bin_probability(np.array([[0.9, 0.6, 0.4, 0.2]], np.float32)), np.array([[True, False, True, False]])
)
"""Precision 2/4, 2/3, 1/2, 1, 0 and recall 1, 1, 1/2, 1/2, 0 over 19, 20, 20, 30, 10 thresholds."""


def test_pixel_scores():
    counts = PixelCounts(tp=6, fp=2, fn=4, tn=88)
    assert scores.precision(counts.as_match()) == 6 / 8
    assert scores.recall(counts.as_match()) == 6 / 10
    assert scores.f1(counts.as_match()) == pytest.approx(12 / 18)  # 2 tp / (2 tp + fp + fn)
    assert scores.iou(counts) == 6 / 12
    assert scores.mean_iou(counts) == pytest.approx((6 / 12 + 88 / 94) / 2)


def test_f1_of_a_match_joins_both_sides():
    match = MatchCounts(predicted=4, predicted_hit=3, truth=10, truth_hit=5)
    assert scores.f1(match) == pytest.approx(2 * 0.75 * 0.5 / 1.25)


def test_centreline_iou_follows_its_definition():
    # tp = 10 true pixels reached, fp = 10 - 6 predicted pixels away from the truth, fn = 0.
    assert scores.centreline_iou(MatchCounts(10, 6, 10, 10)) == pytest.approx(10 / 14)


def test_without_truth_nothing_is_defined():
    pixels, curve = PixelCounts(fp=7, tn=93), CurveCounts.zero()
    match = pixels.as_match()
    values = [
        scores.precision(match), scores.recall(match), scores.f1(match), scores.iou(pixels), scores.mean_iou(pixels),
        scores.centreline_iou(match), *scores.best_f1(curve), scores.average_precision(curve),
        scores.average_iou(curve), *scores.f1_curve(curve),
    ]  # fmt: skip
    assert all(math.isnan(value) for value in values)


def test_without_prediction_everything_is_zero():
    pixels = PixelCounts(fn=5, tn=95)
    match = pixels.as_match()
    assert scores.precision(match) == scores.recall(match) == scores.f1(match) == scores.iou(pixels) == 0.0
    assert scores.mean_iou(pixels) == 0.95 / 2
    assert scores.centreline_iou(match) == 0.0


def test_without_background_mean_iou_is_that_of_the_crack():
    assert scores.mean_iou(PixelCounts(tp=9)) == 1.0


def test_f1_curve_and_ods():
    expected = [2 / 3] * 19 + [0.8] * 20 + [0.5] * 20 + [2 / 3] * 30 + [0.0] * 10
    assert scores.f1_curve(FOUR) == pytest.approx(expected)
    assert scores.best_f1(FOUR) == (pytest.approx(0.8), 0.2)


def test_average_precision_is_the_step_sum():
    # Recall rises 0 → 1/2 at precision 1, then 1/2 → 1 at precision 2/3.
    assert scores.average_precision(FOUR) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_average_iou_over_the_thresholds():
    # Unions 4, 3, 3, 2, 2 with hits 2, 2, 1, 1, 0.
    expected = (19 * 2 / 4 + 20 * 2 / 3 + 20 * 1 / 3 + 30 * 1 / 2 + 10 * 0) / 99
    assert scores.average_iou(FOUR) == pytest.approx(expected)


def test_background_that_is_there_and_nowhere_predicted_has_a_precision_of_zero():
    assert scores.macro_precision(PixelCounts(tp=3, fp=1, fn=0, tn=0)) == pytest.approx(3 / 4 / 2)
    assert scores.macro_precision(PixelCounts(tp=3, fp=0, fn=0, tn=0)) == 1.0
