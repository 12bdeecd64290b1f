"""`SetScore` on sets small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from fissura.errors import GeometryError, SettingsError
from fissura.metrics import SetScore, describe_figures, mean_figures

NAMES = [
    "precision", "recall", "F1", "IoU", "mIoU", "FNR", "mPA", "macro-P", "macro-F1",
    "precision (per-image mean)", "recall (per-image mean)", "F1 (per-image mean)", "IoU (per-image mean)",
    "mIoU (per-image mean)", "precision@2px", "recall@2px", "F1@2px", "F1@2px (per-image mean)",
    "ODS", "ODS threshold", "OIS", "AP", "AIU", "AIU (per-image mean)", "mIoU, SCSegamba-type",
    "ODS@2px", "OIS@2px", "mAP@0.5", "ODS (BSDS)", "OIS (BSDS)", "AP (BSDS)",
    "clDice", "clDice (per-image mean)", "clIoU", "false-alarm share",
]  # fmt: skip


def row(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def truth(*values: int) -> np.ndarray:
    return np.array([values], bool)


def two_images() -> SetScore:
    """First: tp 1, fp 1, fn 1, tn 1. Second: tp 3, fp 0, fn 1, tn 0."""
    score = SetScore()
    score.add(row(0.9, 0.6, 0.4, 0.2), truth(1, 0, 1, 0), name="first")
    score.add(row(0.8, 0.8, 0.8, 0.3), truth(1, 1, 1, 1), name="second")
    return score


def test_pooled_and_per_image_means_differ_as_they_should():
    figures = two_images().figures()
    assert figures["precision"] == pytest.approx(4 / 5)
    assert figures["recall"] == pytest.approx(4 / 6)
    assert figures["F1"] == pytest.approx(8 / 11)
    assert figures["IoU"] == pytest.approx(4 / 7)
    assert figures["mIoU"] == pytest.approx((4 / 7 + 1 / 4) / 2)
    assert figures["precision (per-image mean)"] == pytest.approx((1 / 2 + 1) / 2)
    assert figures["recall (per-image mean)"] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert figures["F1 (per-image mean)"] == pytest.approx((1 / 2 + 6 / 7) / 2)
    assert figures["IoU (per-image mean)"] == pytest.approx((1 / 3 + 3 / 4) / 2)
    assert figures["mIoU (per-image mean)"] == pytest.approx(((1 / 3 + 1 / 3) / 2 + (3 / 4 + 0) / 2) / 2)


def test_figures_of_both_classes():
    figures = two_images().figures()  # tp 4, fp 1, fn 2, tn 1
    assert figures["FNR"] == pytest.approx(2 / 6)
    assert figures["mPA"] == pytest.approx((4 / 6 + 1 / 2) / 2)
    assert figures["macro-P"] == pytest.approx((4 / 5 + 1 / 3) / 2)
    assert figures["macro-F1"] == pytest.approx((8 / 11 + 2 / 5) / 2)


def test_a_threshold_chosen_on_the_set_flatters_miou():
    figures = two_images().figures()
    # From 0.20 to 0.29: tp 6, fp 1, fn 0, tn 1, the best of all thresholds.
    assert figures["mIoU, SCSegamba-type"] == pytest.approx((6 / 7 + 1 / 2) / 2)
    assert figures["mIoU, SCSegamba-type"] > figures["mIoU"]


def test_ods_takes_one_threshold_and_ois_one_an_image():
    figures = two_images().figures()
    # Up to 0.19 all eight are predicted: 2·6/(8+6); from 0.20 seven with all six true ones: 12/13.
    assert figures["ODS"] == pytest.approx(12 / 13)
    assert figures["ODS threshold"] == 0.2
    assert figures["OIS"] == pytest.approx((0.8 + 1.0) / 2)


def test_images_without_crack_count_as_false_alarms_above_fifty_pixels_only():
    score = SetScore()
    for pixels in (0, 50, 51):
        probability = np.zeros((10, 20), np.float32)
        probability.flat[:pixels] = 0.9
        score.add(probability, np.zeros((10, 20), bool))
    assert [image.is_false_alarm for image in score.images] == [False, False, True]
    figures = score.figures()
    assert figures["false-alarm share"] == pytest.approx(1 / 3)
    assert math.isnan(figures["F1"])
    assert math.isnan(figures["F1 (per-image mean)"])
    assert math.isnan(figures["OIS"])


def test_images_without_crack_weigh_in_pooled_precision_but_not_in_means():
    score = two_images()
    before = score.figures()
    score.add(row(0.9, 0.9, 0.0, 0.0), truth(0, 0, 0, 0))
    after = score.figures()
    assert after["precision"] == pytest.approx(4 / 7)
    assert after["F1 (per-image mean)"] == before["F1 (per-image mean)"]
    assert after["OIS"] == before["OIS"]
    assert score.crack_images == 2


def test_figure_at_a_threshold_of_the_grid_is_a_point_of_the_curve():
    rng = np.random.default_rng(3)
    probability, mask = rng.random((64, 64), np.float32), rng.random((64, 64)) > 0.8
    for index in (0, 28, 49, 56, 98):
        score = SetScore(threshold=(index + 1) / 100)
        score.add(probability, mask)
        assert score.curve.at(index) == score.pixels.as_match()
        assert score.curve_near.at(index) == score.near


def test_threshold_is_exclusive_as_in_the_segmenter():
    score = SetScore(threshold=0.5)
    image = score.add(row(0.5, np.nextafter(np.float32(0.5), np.float32(1))), truth(1, 1))
    assert image.predicted_px == 1


def test_sum_of_sets_is_the_pooled_set():
    rng = np.random.default_rng(4)
    images = [(rng.random((30, 20), np.float32), rng.random((30, 20)) > 0.7) for _ in range(4)]
    whole, left, right = (SetScore(centrelines=True, instances=True, boundary_every=10) for _ in range(3))
    for index, image in enumerate(images):
        whole.add(*image)
        (left if index < 2 else right).add(*image)
    assert (left + right).figures() == whole.figures()
    with pytest.raises(GeometryError, match="same threshold"):
        left + SetScore(threshold=0.4, centrelines=True, instances=True, boundary_every=10)


def test_centreline_figures_of_thin_lines():
    score = SetScore(centrelines=True)
    probability, mask = np.zeros((30, 30), np.float32), np.zeros((30, 30), bool)
    mask[5, 0:10] = True
    probability[5, 0:6] = probability[25, 0:4] = 1.0
    score.add(probability, mask)
    figures = score.figures()
    assert figures["clDice"] == figures["clDice (per-image mean)"] == pytest.approx(0.6)
    assert figures["clIoU"] == pytest.approx(10 / 14)


def test_read_only_and_transposed_arrays_count_the_same():
    rng = np.random.default_rng(5)
    probability, mask = rng.random((30, 40), np.float32), rng.random((30, 40)) > 0.5
    plain, odd = SetScore(centrelines=True), SetScore(centrelines=True)
    plain.add(probability.T.copy(), mask.T.copy())
    probability.flags.writeable = mask.flags.writeable = False
    odd.add(probability.T, mask.T)
    assert odd.figures() == pytest.approx(plain.figures(), nan_ok=True)


def test_one_bit_masks_of_pillow_count_like_others():
    mask = np.zeros((30, 40), bool)
    mask[10:14, 5:35] = True
    one_bit = np.asarray(Image.fromarray(mask))
    assert one_bit.view(np.uint8).max() == 255  # bools that are not 0 and 1: skimage crashes on them
    plain, odd = SetScore(centrelines=True), SetScore(centrelines=True)
    plain.add(mask.astype(np.float32), mask)
    odd.add(mask.astype(np.float32), one_bit)
    assert odd.figures() == pytest.approx(plain.figures(), nan_ok=True)
    assert odd.figures()["clDice"] == 1.0


def test_every_figure_has_a_name_and_a_protocol():
    score = SetScore(centrelines=True, instances=True, boundary_every=10)
    assert list(score.figures()) == list(score.protocol()) == NAMES
    assert not {"clDice", "clIoU", "mAP@0.5", "ODS (BSDS)"} & SetScore().figures().keys()
    assert "thresholds 0.1, 0.2 .. 0.9" in score.protocol()["ODS (BSDS)"]
    three = SetScore(threshold=0.4, tolerance_px=3)
    assert "F1@3px" in three.figures()
    assert "threshold 0.4" in describe_figures(three)["F1"]
    assert "side 7" in describe_figures(three)["recall@3px"]


def test_an_empty_set_defines_nothing():
    assert all(math.isnan(value) for value in SetScore(centrelines=True).figures().values())


def test_a_refused_image_leaves_no_trace():
    score = two_images()
    before = score.figures()
    with pytest.raises(GeometryError):
        score.add(np.full((1, 4), 7.0), truth(1, 0, 0, 0))
    assert score.figures() == pytest.approx(before, nan_ok=True)
    assert len(score.images) == 2


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, math.nan])
def test_impossible_thresholds_are_refused(threshold: float):
    with pytest.raises(SettingsError, match="above 0 and below 1"):
        SetScore(threshold=threshold)


def test_mean_over_sets_leaves_out_what_is_not_defined():
    mean = mean_figures([{"F1": 0.6, "x": math.nan}, {"F1": math.nan, "x": math.nan}, {"F1": 0.8, "x": math.nan}])
    assert mean["F1"] == pytest.approx(0.7)
    assert math.isnan(mean["x"])


def test_the_mean_of_miou_is_not_called_zero_where_nothing_is_predicted():
    score, truth = SetScore(), np.zeros((20, 20), bool)
    truth[3] = True
    score.add(np.zeros((20, 20), np.float32), truth)
    name = "mIoU (per-image mean)"
    assert score.figures()[name] == pytest.approx(0.95 / 2)
    assert "nothing is predicted" not in score.protocol()[name]
