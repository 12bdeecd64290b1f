"""Cracks as objects: connected components, matched by the IoU of their masks, and the average precision of that.

The field's "mAP@0.5" for cracks, with the one class that there is. A crack that a prediction breaks in two is lost
by this measure and both pieces are false, which is why it stands far below the pixel measures.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fissura.metrics.scores import NOT_DEFINED
from fissura.types import BoolMask, FloatArray, Probability

INSTANCE_IOU = 0.5
"""Mask IoU from which a predicted component is a true one."""


@dataclass(frozen=True, eq=False)
class InstanceCounts:
    """Components of one image or of a set.

    Attributes:
        truth: How many true components there are.
        scores: Mean probability of each predicted component, shape (D,).
        hits: Whether it matches a true component that no better one has taken, shape (D,).
    """

    truth: int
    scores: FloatArray
    hits: BoolMask

    @classmethod
    def zero(cls) -> InstanceCounts:
        """Nothing counted yet."""
        return cls(0, np.zeros(0), np.zeros(0, np.bool_))

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        return InstanceCounts(
            self.truth + other.truth,
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.hits, other.hits]),
        )


def count_instances(probability: Probability, predicted: BoolMask, truth: BoolMask) -> InstanceCounts:
    """Match the components (8-connected, of any size) of a prediction with those of the truth.

    A predicted component takes the true one with which its IoU is largest, if that is at least `INSTANCE_IOU` and no
    component of a higher score has taken it.

    Args:
        probability: Shape (H, W), 0 to 1.
        predicted: Shape (H, W), the probability above the threshold.
        truth: Shape (H, W).
    """
    found, labels, area = _components(predicted)
    true, true_labels, true_area = _components(truth)
    if not found:
        return InstanceCounts(true, np.zeros(0), np.zeros(0, np.bool_))
    total = np.bincount(labels.ravel(), weights=probability.ravel(), minlength=found + 1)[1:]
    score = total / area
    hits = np.zeros(found, np.bool_)
    both = (labels > 0) & (true_labels > 0)
    pairs, overlap = np.unique(np.stack([labels[both], true_labels[both]]), axis=1, return_counts=True)
    mine, its = pairs[0] - 1, pairs[1] - 1
    iou = overlap / (area[mine] + true_area[its] - overlap)
    taken: set[int] = set()
    # By falling score, and for one component by falling IoU.
    for k in np.lexsort((-iou, mine, -score[mine])):
        if iou[k] >= INSTANCE_IOU and not hits[mine[k]] and int(its[k]) not in taken:
            hits[mine[k]] = True
            taken.add(int(its[k]))
    return InstanceCounts(true, score, hits)


def instance_precision(counts: InstanceCounts) -> float:
    """Average precision of the components, 0 to 1: the area under the falling envelope of precision over recall.

    All points of the curve, as in PASCAL VOC since 2010. NaN when the truth holds none.
    """
    order = np.argsort(-counts.scores, kind="stable")
    weight = np.ones((1, len(order)))
    return float(weighted_precision(counts.hits[order], weight, np.array([counts.truth]))[0])


def weighted_precision(hits: BoolMask, weight: FloatArray, truth: npt.NDArray[np.generic]) -> FloatArray:
    """`instance_precision` of resampled sets.

    Args:
        hits: Shape (D,), by falling score.
        weight: How often each counts in each sample, shape (R, D).
        truth: True components of each sample, shape (R,).
    Returns:
        Shape (R,); NaN where a sample has no true component.
    """
    total = np.asarray(truth, np.float64)
    tp = np.cumsum(weight * hits, axis=1)
    predicted = np.cumsum(weight, axis=1)
    precision = np.divide(tp, predicted, out=np.zeros_like(tp), where=predicted > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area = np.sum(np.diff(tp, axis=1, prepend=0.0) * envelope, axis=1)
    return np.asarray(np.divide(area, total, out=np.full(len(total), NOT_DEFINED), where=total > 0))


def _components(mask: BoolMask) -> tuple[int, npt.NDArray[np.int32], FloatArray]:
    """Number of components, their labels from 1 (0 is none), shape (H, W), and their areas in pixels."""
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    areas = np.bincount(labels.ravel(), minlength=count)[1:].astype(np.float64)
    return count - 1, np.asarray(labels, np.int32), areas
