"""Scores from counts.

What empty masks mean, everywhere in this package:

- The truth holds no crack: the score is *not defined*, given as NaN (``null`` in JSON, ``-`` in tables),
  and left out of means. Such images are judged by the false-alarm share instead.
- The truth holds crack and nothing is predicted: precision, recall, F1 and IoU are 0.
- Neither holds background: background IoU is left out of mIoU.
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


def centreline_iou(counts: MatchCounts) -> float:
    """Centreline IoU, clIoU = tp / (tp + fp + fn), tp = GT ∩ dil(pred), fp = pred - dil(GT), fn = GT - tp; 0 to 1."""
    if not counts.truth:
        return NOT_DEFINED
    return counts.truth_hit / (counts.truth + counts.predicted - counts.predicted_hit)


def f1_curve(curve: CurveCounts) -> FloatArray:
    """F1 at each threshold, shape (99,); NaN when the truth is empty."""
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
        nothing = np.full(len(THRESHOLDS), NOT_DEFINED)
        return nothing, nothing
    p = np.divide(
        curve.predicted_hit, curve.predicted, out=np.zeros(len(THRESHOLDS)), where=curve.predicted > 0
    )  # fmt: skip
    return p, curve.truth_hit / curve.truth
