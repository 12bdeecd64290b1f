"""Counts, which add up over images, sets and machines. Scores come after (`fissura.metrics.scores`).

Everything here is integers, so a sum over a set does not depend on the order of its images.
A pixel is predicted as crack where ``probability > threshold``, as in `Segmenter`, Deepness and GeoDeep.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.types import BoolMask, Probability

IntArray = npt.NDArray[np.int64]
Bins = npt.NDArray[np.uint8]

THRESHOLDS: npt.NDArray[np.float32] = (np.arange(1, 100) / 100).astype(np.float32)
"""The 99 thresholds 0.01, 0.02 .. 0.99 of every curve, shape (99,)."""

CENTRELINE_RADIUS_PX = 4
"""Radius of the disk around centrelines in clIoU."""

FALSE_ALARM_PX = 50
"""An image without a true crack pixel is a false alarm when more pixels than this are predicted."""

_BELOW = np.concatenate([np.full(1, -1, np.float32), THRESHOLDS])
_CHUNK = 1 << 20


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of the four kinds at one threshold."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    def as_match(self) -> MatchCounts:
        """The same counts as a match without tolerance."""
        return MatchCounts(self.tp + self.fp, self.tp, self.tp + self.fn, self.tp)


@dataclass(frozen=True)
class MatchCounts:
    """A two-sided match: predicted elements near the truth, and true elements near the prediction.

    Serves pixel tolerance (elements are pixels), clDice and clIoU (elements are centreline pixels).
    """

    predicted: int = 0
    predicted_hit: int = 0
    truth: int = 0
    truth_hit: int = 0

    def __add__(self, other: MatchCounts) -> MatchCounts:
        return MatchCounts(
            self.predicted + other.predicted, self.predicted_hit + other.predicted_hit,
            self.truth + other.truth, self.truth_hit + other.truth_hit,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class CurveCounts:
    """`MatchCounts` at each of the 99 `THRESHOLDS`; arrays of shape (99,). Of boundaries at fewer of them."""

    predicted: IntArray
    predicted_hit: IntArray
    truth_hit: IntArray
    truth: int

    @classmethod
    def zero(cls, thresholds: int = len(THRESHOLDS)) -> CurveCounts:
        """Nothing counted yet."""
        nothing = np.zeros(thresholds, np.int64)
        return cls(nothing, nothing, nothing, 0)

    def __add__(self, other: CurveCounts) -> CurveCounts:
        return CurveCounts(
            self.predicted + other.predicted, self.predicted_hit + other.predicted_hit,
            self.truth_hit + other.truth_hit, self.truth + other.truth,
        )  # fmt: skip

    def at(self, index: int) -> MatchCounts:
        """Counts at ``THRESHOLDS[index]``."""
        return MatchCounts(
            int(self.predicted[index]), int(self.predicted_hit[index]), self.truth, int(self.truth_hit[index])
        )


def check_inputs(probability: npt.NDArray[np.floating], truth: BoolMask) -> tuple[Probability, BoolMask]:
    """Make a probability map and its truth fit for counting.

    Returns:
        The probability as float32, clipped to 0 to 1 (blending may overshoot by a rounding), and the truth.
    Raises:
        GeometryError: Not two-dimensional, empty, of different shapes, or outside 0 to 1 (NaN included).
    """
    if probability.ndim != 2 or truth.ndim != 2 or probability.shape != truth.shape or not truth.size:
        raise GeometryError(
            f"probability has shape {probability.shape} and truth {truth.shape}; both must be (H, W), equal, not empty"
        )
    if truth.dtype != np.bool_:
        raise GeometryError(f"truth is {truth.dtype}; it must be bool, True where there is crack")
    values = probability.astype(np.float32, copy=False)
    low, high = float(values.min()), float(values.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise GeometryError(f"probability runs from {low:g} to {high:g}; it must be 0 to 1, so apply the sigmoid first")
    return values if low >= 0 and high <= 1 else values.clip(0, 1), _clean(truth)


def _clean(mask: BoolMask) -> BoolMask:
    """A writable copy whose bytes are 0 and 1.

    NumPy arrays of Pillow's 1-bit images are read-only bools with bytes 0 and 255, on which skimage crashes.
    """
    return np.asarray(mask.view(np.uint8) != 0)


def count_pixels(predicted: BoolMask, truth: BoolMask) -> PixelCounts:
    """Count tp, fp, fn, tn of two masks of shape (H, W)."""
    tp = int(np.count_nonzero(predicted & truth))
    fp = int(np.count_nonzero(predicted)) - tp
    fn = int(np.count_nonzero(truth)) - tp
    return PixelCounts(tp, fp, fn, truth.size - tp - fp - fn)


def ellipse(radius_px: int) -> npt.NDArray[np.uint8]:
    """OpenCV's ellipse of side 2 r + 1: for 2 px a 5×5 square whose top and bottom rows are single pixels."""
    side = 2 * radius_px + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def disk(radius_px: int) -> npt.NDArray[np.uint8]:
    """All offsets with dr² + dc² <= r², side 2 r + 1 (skimage's disk, which is not OpenCV's ellipse)."""
    steps = np.arange(-radius_px, radius_px + 1)
    return (steps[:, None] ** 2 + steps[None, :] ** 2 <= radius_px**2).astype(np.uint8)


def dilate(mask: BoolMask, kernel: npt.NDArray[np.uint8]) -> BoolMask:
    """Binary dilation; nothing enters from outside the image."""
    return np.asarray(cv2.dilate(mask.view(np.uint8), kernel), np.uint8).view(np.bool_)


def count_near(predicted: BoolMask, truth: BoolMask, kernel: npt.NDArray[np.uint8]) -> MatchCounts:
    """|B|, |B ∩ dil(G)|, |G|, |G ∩ dil(B)| of a prediction B and a truth G."""
    return MatchCounts(
        int(np.count_nonzero(predicted)), int(np.count_nonzero(predicted & dilate(truth, kernel))),
        int(np.count_nonzero(truth)), int(np.count_nonzero(truth & dilate(predicted, kernel))),
    )  # fmt: skip


def bin_probability(probability: Probability) -> Bins:
    """For each pixel the number of `THRESHOLDS` below its probability, 0 to 99.

    Exact for float32: ``bin > k`` is the same as ``probability > THRESHOLDS[k]``.
    """
    bins: Bins = np.minimum(probability * np.float32(100) + np.float32(0.5), np.float32(99)).astype(np.uint8)
    # Rounding gives the right bin or the one above; the comparison decides, free of float error.
    bins -= probability <= _BELOW[bins]
    return bins


def count_curve(bins: Bins, truth: BoolMask) -> CurveCounts:
    """Counts without tolerance at every threshold, from `bin_probability`."""
    hit = _above(bins[truth])
    return CurveCounts(_above(bins), hit, hit, int(np.count_nonzero(truth)))


def count_curve_near(bins: Bins, truth: BoolMask, kernel: npt.NDArray[np.uint8]) -> CurveCounts:
    """Counts with dilation tolerance at every threshold.

    The grey dilation of the bins, cut at k, is the dilation of the mask cut at k: one pass serves all thresholds.
    """
    return CurveCounts(
        _above(bins), _above(bins[dilate(truth, kernel)]),
        _above(cv2.dilate(bins, kernel)[truth]), int(np.count_nonzero(truth)),
    )  # fmt: skip


def _above(bins: npt.NDArray[np.generic]) -> IntArray:
    """How many pixels are above each threshold, shape (99,)."""
    flat = bins.reshape(-1)
    histogram = np.zeros(len(_BELOW), np.int64)
    for start in range(0, flat.size, _CHUNK):  # bincount widens to int64, so large images go in pieces
        histogram += np.bincount(flat[start : start + _CHUNK], minlength=len(_BELOW))
    return histogram[::-1].cumsum()[::-1][1:]


def centreline(mask: BoolMask) -> BoolMask:
    """Centreline one pixel wide, by `skimage.morphology.skeletonize` (Zhang and Suen)."""
    if not mask.any():
        return mask
    from skimage.morphology import skeletonize

    return np.asarray(skeletonize(_clean(mask)), np.bool_)


def count_centrelines(predicted: BoolMask, truth: BoolMask) -> tuple[MatchCounts, MatchCounts]:
    """Counts of clDice and of clIoU.

    Returns:
        For clDice: centreline pixels of each inside the *mask* of the other.
        For clIoU: centreline pixels of each within a disk of `CENTRELINE_RADIUS_PX` of the other's *centreline*.
    """
    thin_predicted, thin_truth = centreline(predicted), centreline(truth)
    inside = MatchCounts(
        int(np.count_nonzero(thin_predicted)), int(np.count_nonzero(thin_predicted & truth)),
        int(np.count_nonzero(thin_truth)), int(np.count_nonzero(thin_truth & predicted)),
    )  # fmt: skip
    return inside, count_near(thin_predicted, thin_truth, disk(CENTRELINE_RADIUS_PX))
