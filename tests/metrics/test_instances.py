"""mAP@0.5 of components, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fissura.metrics import SetScore
from fissura.metrics.instances import InstanceCounts, count_instances, instance_precision, weighted_precision


def drawn(*bars: tuple[int, int, int, float]) -> np.ndarray:
    """Bars (row, first column, length, probability) of one pixel's height on 20×30."""
    picture = np.zeros((20, 30), np.float32)
    for row, column, length, value in bars:
        picture[row, column : column + length] = value
    return picture


def counted(probability: np.ndarray, truth: np.ndarray) -> InstanceCounts:
    return count_instances(probability, probability > 0.5, truth > 0)


def test_a_false_find_between_two_true_ones():
    truth = drawn((2, 0, 10, 1), (10, 0, 10, 1))
    found = counted(drawn((2, 0, 8, 0.9), (16, 0, 5, 0.8), (10, 0, 10, 0.7)), truth)
    assert found.truth == 2
    hits = dict(zip(found.scores.round(3).tolist(), found.hits.tolist(), strict=True))
    assert hits == {0.9: True, 0.8: False, 0.7: True}
    # Recall 1/2 at precision 1, recall 1 at precision 2/3.
    assert instance_precision(found) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


@pytest.mark.parametrize(("length", "hit"), [(5, True), (4, False)])
def test_half_the_mask_is_enough_and_less_is_not(length: int, hit: bool):
    found = counted(drawn((2, 0, length, 0.9)), drawn((2, 0, 10, 1)))
    assert found.hits.tolist() == [hit]
    assert instance_precision(found) == float(hit)


def test_a_crack_broken_in_two_is_lost_and_both_pieces_are_false():
    found = counted(drawn((2, 0, 4, 0.7), (2, 6, 4, 0.9)), drawn((2, 0, 10, 1)))
    assert found.hits.tolist() == [False, False]
    assert instance_precision(found) == 0


def test_a_true_crack_is_found_once():
    # Two finds of five pixels, apart, in a true component of ten: an IoU of one half each; the surer one takes it.
    truth = np.zeros((20, 30), np.float32)
    truth[2, 0:5] = truth[3, 4] = truth[4, 4] = truth[5, 3:0:-1] = 1
    probability = np.zeros_like(truth)
    probability[2, 0:5] = 0.7
    probability[4, 4] = 0.9
    probability[5, 3:0:-1] = 0.9
    probability[6, 0] = 0.9
    truth[3, 4] = 1
    found = counted(probability, truth)
    assert found.truth == 1
    assert dict(zip(found.scores.round(2).tolist(), found.hits.tolist(), strict=True)) == {0.7: True, 0.9: False}


def test_diagonal_neighbours_are_one_crack():
    truth = np.eye(12, dtype=np.float32)
    found = counted(truth * 0.9, truth)
    assert (found.truth, found.hits.tolist()) == (1, [True])


def test_empty_masks():
    nothing, line = drawn(), drawn((2, 0, 10, 1))
    assert instance_precision(counted(nothing, line)) == 0
    assert math.isnan(instance_precision(counted(line * 0.9, nothing)))


def test_a_false_find_in_another_image_counts_in_the_set():
    score = SetScore(instances=True)
    line = drawn((2, 0, 10, 1))
    score.add(line * np.float32(0.8), line > 0)
    assert score.figures()["mAP@0.5"] == 1
    score.add(line * np.float32(0.9), line < 0)
    assert score.figures()["mAP@0.5"] == pytest.approx(1 / 2)


def test_weights_are_repetitions():
    rng = np.random.default_rng(0)
    hits = rng.random(40) > 0.4
    weight = rng.integers(0, 3, (5, 40)).astype(float)
    truth = np.full(5, 70)
    for row, value in zip(weight, weighted_precision(hits, weight, truth), strict=True):
        repeated = np.repeat(hits, row.astype(int))
        falling = np.linspace(1, 0, len(repeated))
        assert instance_precision(InstanceCounts(70, falling, repeated)) == pytest.approx(value)
    ones = weighted_precision(hits, np.ones((1, 40)), np.array([70]))[0]
    assert ones == pytest.approx(instance_precision(InstanceCounts(70, np.linspace(1, 0, 40), hits)))
