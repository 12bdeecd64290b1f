"""Scores from counts.

What empty masks mean, everywhere in this package:

- The truth holds no crack: the score is *not defined*, given as NaN (``null`` in JSON, ``-`` in tables),
  and left out of means. Such images are judged by the false-alarm share instead.
- The truth holds crack and nothing is predicted: precision, recall, F1 and IoU are 0.
- The truth holds background and none is predicted: its precision is 0.
- Neither holds background: the background's part is left out of the means of both classes.
"""

from __future__ import annotations

import math

import numpy as np

from fissura.metrics.counts import THRESHOLDS, CurveCounts, MatchCounts, PixelCounts
from fissura.types import FloatArray

NOT_DEFINED = math.nan


def precision(counts: MatchCounts) -> float:
    """Share of the predicted elements that are near the truth, 0 to 1."""
    if not counts.truth:
        return NOT_DEFINED
    return counts.predicted_hit / counts.predicted if counts.predicted else 0.0


def recall(counts: MatchCounts) -> float:
    """Share of the true elements that are near the prediction, 0 to 1."""
    return counts.truth_hit / counts.truth if counts.truth else NOT_DEFINED


def f1(counts: MatchCounts) -> float:
    """Harmonic mean of `precision` and `recall`, 0 to 1. On `count_centrelines` it is clDice."""
    p, r = precision(counts), recall(counts)
    return 2 * p * r / (p + r) if p + r else 0.0 if counts.truth else NOT_DEFINED


def iou(counts: PixelCounts) -> float:
    """Intersection over union of the crack class, 0 to 1."""
    if not counts.tp + counts.fn:
        return NOT_DEFINED
    return counts.tp / (counts.tp + counts.fp + counts.fn)


def mean_iou(counts: PixelCounts) -> float:
    """Mean of the IoU of crack and of background, 0 to 1."""
    union = counts.tn + counts.fp + counts.fn
    return (iou(counts) + counts.tn / union) / 2 if union else iou(counts)


def false_negative_rate(counts: PixelCounts) -> float:
    """Share of the true crack pixels that are missed, 1 - recall, 0 to 1."""
    return counts.fn / (counts.tp + counts.fn) if counts.tp + counts.fn else NOT_DEFINED


def mean_pixel_accuracy(counts: PixelCounts) -> float:
    """Mean of the recall of crack and of background (mPA), 0 to 1."""
    return _class_mean(counts, counts.tp, counts.tp + counts.fn, counts.tn, counts.tn + counts.fp)


def macro_precision(counts: PixelCounts) -> float:
    """Mean of the precision of crack and of background, 0 to 1."""
    # Where no background is predicted but some is there, all of it is false alarms: 0 of them.
    predicted = counts.tn + counts.fn or counts.fp
    return _class_mean(counts, counts.tp, counts.tp + counts.fp, counts.tn, predicted)


def macro_f1(counts: PixelCounts) -> float:
    """Mean of the F1 of crack and of background, 0 to 1. Background is nearly 1, so this is about (1 + F1) / 2."""
    wrong = counts.fp + counts.fn
    return _class_mean(counts, 2 * counts.tp, 2 * counts.tp + wrong, 2 * counts.tn, 2 * counts.tn + wrong)


def _class_mean(counts: PixelCounts, crack: int, of_crack: int, ground: int, of_ground: int) -> float:
    """Mean of crack / of_crack (0 where nothing is predicted) and, where there is any, of the background's."""
    if not counts.tp + counts.fn:
        return NOT_DEFINED
    first = crack / of_crack if of_crack else 0.0
    return (first + ground / of_ground) / 2 if of_ground else first


def best_mean_iou(curve: CurveCounts, pixels: int) -> float:
    """Largest `mean_iou` over the thresholds: one chosen with the answers in hand. Only for a curve without tolerance.

    Args:
        curve: Of a set.
        pixels: All its pixels.
    """
    if not curve.truth:
        return NOT_DEFINED
    wrong = curve.predicted + curve.truth - 2 * curve.truth_hit
    ground = pixels - wrong - curve.truth_hit
    both = curve.truth_hit / (curve.truth_hit + wrong)
    rest = np.divide(ground, ground + wrong, out=both.copy(), where=ground + wrong > 0)
    return float(((both + rest) / 2).max())


def centreline_iou(counts: MatchCounts) -> float:
    """Centreline IoU, clIoU = tp / (tp + fp + fn), tp = GT ∩ dil(pred), fp = pred - dil(GT), fn = GT - tp; 0 to 1."""
    if not counts.truth:
        return NOT_DEFINED
    return counts.truth_hit / (counts.truth + counts.predicted - counts.predicted_hit)


def f1_curve(curve: CurveCounts) -> FloatArray:
    """F1 at each threshold of the curve; NaN when the truth is empty."""
    p, r = _precision_recall(curve)
    total = p + r
    return np.divide(2 * p * r, total, out=np.where(np.isnan(total), NOT_DEFINED, 0.0), where=total > 0)


def best_f1(curve: CurveCounts) -> tuple[float, float]:
    """Best F1 over the thresholds, and the lowest threshold that reaches it (both NaN when the truth is empty)."""
    if not curve.truth:
        return NOT_DEFINED, NOT_DEFINED
    values = f1_curve(curve)
    index = int(values.argmax())
    return float(values[index]), round(float(THRESHOLDS[index]), 2)


def average_precision(curve: CurveCounts) -> float:
    """Area under precision over recall: the sum of (R_k - R_k+1) · P_k, from the highest threshold down, R_100 = 0.

    A step sum: nothing is interpolated, and nothing is added beyond the recall of the lowest threshold.
    """
    p, r = _precision_recall(curve)
    return float(np.sum((r - np.append(r[1:], 0.0)) * p))


def average_iou(curve: CurveCounts) -> float:
    """Mean of the crack IoU over the 99 thresholds. Only for a curve without tolerance."""
    if not curve.truth:
        return NOT_DEFINED
    return float(np.mean(curve.truth_hit / (curve.predicted + curve.truth - curve.truth_hit)))


def _precision_recall(curve: CurveCounts) -> tuple[FloatArray, FloatArray]:
    if not curve.truth:
        nothing = np.full(len(curve.predicted), NOT_DEFINED)
        return nothing, nothing
    p = np.divide(
        curve.predicted_hit, curve.predicted, out=np.zeros(len(curve.predicted)), where=curve.predicted > 0
    )  # fmt: skip
    return p, curve.truth_hit / curve.truth
