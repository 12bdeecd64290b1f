"""The figures of a comparison, of a set and of any number of sets drawn from it at once.

Each is the figure of the same name in `fissura.metrics.figures`; here it is computed from counts per image with a
weight for each image, so that a bootstrap over a thousand sets is a few matrix products.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fissura.compare.counts import ImageCounts
from fissura.metrics.instances import weighted_precision
from fissura.types import FloatArray

LOWER_IS_BETTER = frozenset({"FNR"})
_CHUNK = 50


def _ratio(part: FloatArray, whole: FloatArray, *, truth: FloatArray) -> FloatArray:
    """Quotient; 0 where the whole is 0, NaN where there is no truth. Shapes broadcast."""
    part, whole, truth = np.broadcast_arrays(part, whole, truth)
    value = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return np.where(truth > 0, value, np.nan)


def _f1(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    tp, fp, fn, _ = (weight @ counts.pixels).T
    return _ratio(2 * tp, 2 * tp + fp + fn, truth=tp + fn)


def _f1_near(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    predicted, predicted_hit, truth, truth_hit = (weight @ counts.near).T
    return _harmonic(predicted_hit, predicted, truth_hit, truth)


def _harmonic(hit: FloatArray, predicted: FloatArray, truth_hit: FloatArray, truth: FloatArray) -> FloatArray:
    p, r = _ratio(hit, predicted, truth=truth), _ratio(truth_hit, truth, truth=truth)
    return _ratio(2 * p * r, p + r, truth=truth)


def _two_classes(crack: FloatArray, ground: FloatArray, of_ground: FloatArray) -> FloatArray:
    """Mean of a crack's figure and the background's; the crack's alone where there is no background."""
    rest = np.divide(ground, of_ground, out=np.array(crack, copy=True), where=of_ground > 0)
    return (crack + np.where(np.isnan(crack), np.nan, rest)) / 2


def _mean_iou(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    tp, fp, fn, tn = (weight @ counts.pixels).T
    return _two_classes(_ratio(tp, tp + fp + fn, truth=tp + fn), tn, tn + fp + fn)


def _mean_accuracy(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    tp, fp, fn, tn = (weight @ counts.pixels).T
    return _two_classes(_ratio(tp, tp + fn, truth=tp + fn), tn, tn + fp)


def _missed(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    tp, _, fn, _ = (weight @ counts.pixels).T
    return _ratio(fn, tp + fn, truth=tp + fn)


def _macro_precision(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    tp, fp, fn, tn = (weight @ counts.pixels).T
    # As in `fissura.metrics.scores`: 0 where no background is predicted but some is there.
    return _two_classes(_ratio(tp, tp + fp, truth=tp + fn), tn, np.where(tn + fn > 0, tn + fn, fp))


def _macro_f1(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    tp, fp, fn, tn = (weight @ counts.pixels).T
    return _two_classes(_ratio(2 * tp, 2 * tp + fp + fn, truth=tp + fn), 2 * tn, 2 * tn + fp + fn)


def _curve(counts: ImageCounts, weight: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Predicted and hit at each threshold, shape (R, 99), and truth, shape (R, 1)."""
    predicted, hit = (weight @ counts.curve[:, i] for i in (0, 1))
    return predicted, hit, (weight @ counts.near[:, 2])[:, None]


def _average_iou(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    predicted, hit, truth = _curve(counts, weight)
    return np.asarray(_ratio(hit, predicted + truth - hit, truth=truth).mean(axis=1))


def _ods(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    predicted, hit, truth = _curve(counts, weight)
    return np.asarray(_ratio(2 * hit, predicted + truth, truth=truth).max(axis=1))


def _ods_boundary(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    predicted, hit = (weight @ counts.boundary[:, i] for i in (0, 1))
    truth = (weight @ counts.boundary_truth)[:, None]
    return np.asarray(_ratio(2 * hit, predicted + truth, truth=truth).max(axis=1))


def _instances(counts: ImageCounts, weight: FloatArray) -> FloatArray:
    order = np.argsort(-counts.found_score, kind="stable")
    images, hits = counts.found_image[order], counts.found_hit[order]
    parts = [weight[start : start + _CHUNK] for start in range(0, len(weight), _CHUNK)]
    return np.concatenate([weighted_precision(hits, part[:, images], part @ counts.components) for part in parts])


FIGURES: dict[str, Callable[[ImageCounts, FloatArray], FloatArray]] = {
    "F1": _f1, "F1@2px": _f1_near, "mIoU": _mean_iou, "mPA": _mean_accuracy, "FNR": _missed, "mAP@0.5": _instances,
    "macro-P": _macro_precision, "macro-F1": _macro_f1, "AIU": _average_iou, "ODS": _ods, "ODS (BSDS)": _ods_boundary,
}  # fmt: skip
"""By name; each takes counts of N images and weights of shape (R, N) and gives shape (R,)."""


def compute(counts: ImageCounts, weight: FloatArray) -> dict[str, FloatArray]:
    """All figures of R sets.

    Args:
        counts: Of N images.
        weight: How often each image is in each set, shape (R, N).
    Returns:
        Shape (R,) by name; NaN where a set holds no true crack.
    """
    weight = np.asarray(weight, np.float64)
    return {name: figure(counts, weight) for name, figure in FIGURES.items()}
