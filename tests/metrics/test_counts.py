"""Counts of drawn masks, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.morphology import disk as skimage_disk

from fissura.errors import GeometryError
from fissura.metrics.counts import (
    THRESHOLDS,
    CurveCounts,
    MatchCounts,
    PixelCounts,
    bin_probability,
    centreline,
    check_inputs,
    count_centrelines,
    count_curve,
    count_curve_near,
    count_near,
    count_pixels,
    disk,
    ellipse,
)


def drawn(*rows: str) -> np.ndarray:
    """'#' is True."""
    return np.array([[sign == "#" for sign in row] for row in rows])


def blank(height: int = 21, width: int = 21) -> np.ndarray:
    return np.zeros((height, width), bool)


def test_count_pixels_of_a_drawn_pair():
    truth = drawn("##..", "##..", "....")
    predicted = drawn(".##.", ".#..", "...#")
    assert count_pixels(predicted, truth) == PixelCounts(tp=2, fp=2, fn=2, tn=6)
    assert count_pixels(predicted, truth).as_match() == MatchCounts(4, 2, 4, 2)


def test_counts_add_up():
    assert PixelCounts(1, 2, 3, 4) + PixelCounts(10, 20, 30, 40) == PixelCounts(11, 22, 33, 44)
    assert MatchCounts(1, 2, 3, 4) + MatchCounts(10, 20, 30, 40) == MatchCounts(11, 22, 33, 44)


def test_the_two_pixel_ellipse_has_17_pixels_and_single_pixel_tips():
    assert ellipse(2).tolist() == drawn("..#..", "#####", "#####", "#####", "..#..").astype(int).tolist()
    assert ellipse(0).tolist() == [[1]]


def test_disk_is_that_of_skimage():
    for radius in (1, 2, 4, 7):
        assert np.array_equal(disk(radius), skimage_disk(radius))


@pytest.mark.parametrize(("shift", "hits"), [(0, 15), (1, 15), (2, 15), (3, 0)])
def test_a_shifted_line_is_hit_up_to_two_pixels(shift: int, hits: int):
    truth, predicted = blank(), blank()
    truth[3:18, 8] = True
    predicted[3:18, 8 + shift] = True
    assert count_near(predicted, truth, ellipse(2)) == MatchCounts(15, hits, 15, hits)


def test_tolerance_is_two_sided_and_counts_each_side_alone():
    truth, predicted = blank(), blank()
    truth[10, 2:12] = True  # ten pixels, columns 2 to 11
    predicted[10, 2:5] = True  # three of them
    predicted[0, 20] = True  # and one far away
    # The truth is reached up to two columns beyond the prediction: columns 2 to 6.
    assert count_near(predicted, truth, ellipse(2)) == MatchCounts(4, 3, 10, 5)


def test_tolerance_does_not_wrap_around_the_border():
    truth, predicted = blank(5, 5), blank(5, 5)
    truth[0, 0] = predicted[4, 4] = True
    assert count_near(predicted, truth, ellipse(2)) == MatchCounts(1, 0, 1, 0)


def test_bins_are_exact_at_and_beside_every_threshold():
    beside = [np.nextafter(THRESHOLDS, np.float32(side)) for side in (0, 1)]
    values = np.concatenate([THRESHOLDS, *beside, np.random.default_rng(0).random(5000, np.float32), [0, 1]])
    expected = (values.astype(np.float32)[:, None] > THRESHOLDS).sum(1)
    assert np.array_equal(bin_probability(values.astype(np.float32)), expected)


def test_curve_counts_equal_a_loop_over_the_thresholds():
    rng = np.random.default_rng(1)
    probability, truth = rng.random((40, 50), np.float32), rng.random((40, 50)) > 0.9
    bins = bin_probability(probability)
    plain, near = count_curve(bins, truth), count_curve_near(bins, truth, ellipse(2))
    for index, threshold in enumerate(THRESHOLDS):
        predicted = probability > threshold
        assert plain.at(index) == count_pixels(predicted, truth).as_match()
        assert near.at(index) == count_near(predicted, truth, ellipse(2))


def test_curve_counts_of_four_pixels():
    probability = np.array([[0.9, 0.6, 0.4, 0.2]], np.float32)
    curve = count_curve(bin_probability(probability), np.array([[True, False, True, False]]))
    assert curve.truth == 2
    # Above 0.01 .. 0.19: four; above 0.20 .. 0.39: three; above 0.40 .. 0.59: two; above 0.60 .. 0.89: one.
    assert curve.predicted.tolist() == [4] * 19 + [3] * 20 + [2] * 20 + [1] * 30 + [0] * 10
    assert curve.truth_hit.tolist() == [2] * 39 + [1] * 50 + [0] * 10
    doubled = curve + curve
    assert doubled.truth == 4
    assert doubled.predicted[0] == 8
    assert (CurveCounts.zero() + curve).at(0) == curve.at(0)


def test_histogram_in_pieces_loses_nothing():
    probability = np.full((1100, 1000), 0.75, np.float32)  # more than one piece of 2**20
    curve = count_curve(bin_probability(probability), np.ones((1100, 1000), bool))
    assert curve.at(73) == MatchCounts(1_100_000, 1_100_000, 1_100_000, 1_100_000)
    assert curve.at(74).predicted == 0


def test_centreline_of_a_bar_is_one_pixel_wide_and_of_nothing_is_nothing():
    bar = blank()
    bar[8:13, 2:19] = True
    thin = centreline(bar)
    assert thin[:, 6:15].sum(0).tolist() == [1] * 9
    assert np.flatnonzero(thin[:, 10]).tolist() == [10]
    assert not centreline(blank()).any()


def test_centreline_counts_of_two_thin_lines():
    truth, predicted = blank(30, 30), blank(30, 30)
    truth[5, 0:10] = True
    predicted[5, 0:6] = True
    predicted[25, 0:4] = True
    inside, near = count_centrelines(predicted, truth)
    assert inside == MatchCounts(10, 6, 10, 6)
    # Within 4 px of column 5 lie columns 6 to 9: the whole truth is reached; the second line is 20 rows away.
    assert near == MatchCounts(10, 6, 10, 10)


@pytest.mark.parametrize(
    ("probability", "truth", "words"),
    [
        (np.zeros((4, 5)), np.zeros((5, 4), bool), r"\(4, 5\) and truth \(5, 4\)"),
        (np.zeros((1, 4, 5)), np.zeros((1, 4, 5), bool), r"must be \(H, W\)"),
        (np.zeros((0, 5)), np.zeros((0, 5), bool), "not empty"),
        (np.zeros((4, 5)), np.zeros((4, 5), np.uint8), "uint8; it must be bool"),
        (np.full((4, 5), 3.0), np.zeros((4, 5), bool), "sigmoid"),
        (np.full((4, 5), np.nan), np.zeros((4, 5), bool), "nan"),
    ],
)
def test_what_cannot_be_counted_is_refused(probability: np.ndarray, truth: np.ndarray, words: str):
    with pytest.raises(GeometryError, match=words):
        check_inputs(probability, truth)


def test_a_rounding_beyond_one_is_clipped():
    values, _ = check_inputs(np.full((2, 2), 1.0000002, np.float32), np.zeros((2, 2), bool))
    assert values.max() == 1.0
