"""Keyframes of a flight: pictures with a fixed place on the ground, to which later frames are registered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.geo.homography import transform
from fissura.survey.pose import FramePose, Matrix, PointsXY

GreyImage = npt.NDArray[np.uint8]

_CELLS_HW = (9, 16)
_PER_CELL = 3
_ORB_FEATURES = 1500
_LK: dict[str, Any] = {
    "winSize": (17, 17),
    "maxLevel": 3,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01),
}
_RETURN_PX = 0.7
"""A point that is followed there and back must come back this close (reduced pixels)."""
LEAST_INLIERS = 24
"""Points that must agree before two pictures count as of the same ground."""


@dataclass(frozen=True)
class Matches:
    """Points that two reduced pictures share.

    Attributes:
        anchor_xy: In the keyframe, shape (N, 2), reduced pixels.
        frame_xy: In the frame, shape (N, 2).
        share: Of the points tried, how many agree, 0 to 1.
    """

    anchor_xy: PointsXY
    frame_xy: PointsXY
    share: float

    def __len__(self) -> int:
        return len(self.anchor_xy)


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A reduced grey picture and the pose of its frame.

    Attributes:
        index: Number of the frame.
        grey: Shape (h, w), uint8.
        pose: Of the full frame.
        chart: Number of the connected part of the ground it lies on.
    """

    index: int
    grey: GreyImage
    pose: FramePose
    chart: int

    @cached_property
    def corners_xy(self) -> PointsXY:
        """Points worth following, spread over the picture, shape (N, 2)."""
        return find_corners(self.grey)

    @cached_property
    def features(self) -> tuple[PointsXY, npt.NDArray[np.uint8]]:
        """ORB key points, shape (N, 2), and descriptors, for finding a lost place again."""
        return find_features(self.grey)


def find_corners(grey: GreyImage) -> PointsXY:
    """Corners by cells, so that one rich bush does not take them all."""
    h, w = grey.shape
    strength = cv2.cornerMinEigenVal(grey, 5)
    local = strength == cv2.dilate(strength, np.ones((9, 9), np.uint8))
    local[:12], local[-12:], local[:, :12], local[:, -12:] = False, False, False, False
    rows, columns = np.nonzero(local & (strength > 1e-5))
    if not len(rows):
        return np.empty((0, 2))
    values = strength[rows, columns]
    cell = (rows * _CELLS_HW[0] // h) * _CELLS_HW[1] + columns * _CELLS_HW[1] // w
    order = np.lexsort((-values, cell))
    first = np.searchsorted(cell[order], np.arange(_CELLS_HW[0] * _CELLS_HW[1]))
    rank = np.arange(len(order)) - first[cell[order]]
    chosen = order[rank < _PER_CELL]
    return np.column_stack([columns[chosen], rows[chosen]]).astype(np.float64)


def find_features(grey: GreyImage) -> tuple[PointsXY, npt.NDArray[np.uint8]]:
    """ORB key points and descriptors of a reduced picture."""
    points, descriptors = cv2.ORB.create(_ORB_FEATURES, fastThreshold=8).detectAndCompute(grey, None)
    if descriptors is None:
        return np.empty((0, 2)), np.empty((0, 32), np.uint8)
    return np.array([p.pt for p in points], np.float64), np.asarray(descriptors, np.uint8)


def follow(anchor: Keyframe, grey: GreyImage, frame_from_anchor: Matrix) -> Matches | None:
    """Follow the keyframe's corners into a frame of which the view is roughly known.

    The keyframe is first drawn as the frame should see it, so that turns and changes of height leave only small
    shifts to be found.

    Args:
        anchor: The keyframe.
        grey: The frame, reduced, shape (h, w).
        frame_from_anchor: Predicted homography between reduced pictures, good to about 30 px.
    Returns:
        Matches, or None if too few points agree.
    """
    h, w = grey.shape
    expected = cv2.warpPerspective(anchor.grey, frame_from_anchor, (w, h), borderMode=cv2.BORDER_REPLICATE)
    corners = anchor.corners_xy
    if not len(corners):
        return None
    placed = transform(frame_from_anchor, corners)
    inside = ((placed > 10) & (placed < (w - 11, h - 11))).all(axis=1)
    if inside.sum() < LEAST_INLIERS:
        return None
    start = placed[inside].astype(np.float32).reshape(-1, 1, 2)
    found, ok, _ = _flow(expected, grey, start)
    back, ok_back, _ = _flow(grey, expected, found)
    close = np.linalg.norm((back - start)[:, 0], axis=1) < _RETURN_PX
    good = (ok[:, 0] > 0) & (ok_back[:, 0] > 0) & close
    # A vehicle moves as one and passes the test above, but not this one.
    return agree(corners[inside][good], found[good, 0].astype(np.float64), tried=int(inside.sum()))


def _flow(before: GreyImage, after: GreyImage, points: Any) -> tuple[Any, Any, Any]:
    """Lucas and Kanade; OpenCV's types leave out that the result may start as None."""
    flow: Any = cv2.calcOpticalFlowPyrLK
    found, ok, error = flow(before, after, points, None, **_LK)
    return found, ok, error


def shift_guess(anchor: Keyframe, grey: GreyImage, frame_from_anchor: Matrix) -> Matrix | None:
    """A better prediction by phase correlation, for jumps larger than `follow` can find; None if it sees none."""
    h, w = grey.shape
    expected = cv2.warpPerspective(anchor.grey, frame_from_anchor, (w, h), borderMode=cv2.BORDER_REPLICATE)
    window = cv2.createHanningWindow((w, h), cv2.CV_32F)
    (dx, dy), response = cv2.phaseCorrelate(expected.astype(np.float32), grey.astype(np.float32), window)
    if response < 0.02:
        return None
    return np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1.0]]) @ frame_from_anchor


def recognise(anchor: Keyframe, features: tuple[PointsXY, npt.NDArray[np.uint8]]) -> Matches | None:
    """Match a frame's ORB features to those of a keyframe, with no idea of where the frame is."""
    points, descriptors = features
    if len(points) < LEAST_INLIERS or len(anchor.features[0]) < LEAST_INLIERS:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(anchor.features[1], descriptors, k=2)
    kept = [p[0] for p in pairs if len(p) == 2 and p[0].distance < 0.8 * p[1].distance]
    if len(kept) < LEAST_INLIERS:
        return None
    anchor_xy = anchor.features[0][[m.queryIdx for m in kept]]
    return agree(anchor_xy, points[[m.trainIdx for m in kept]], tried=len(kept))


def agree(anchor_xy: PointsXY, frame_xy: PointsXY, *, tried: int, tolerance_px: float = 2.0) -> Matches | None:
    """The matches that one motion of the ground explains; None if too few do."""
    if len(anchor_xy) < LEAST_INLIERS:
        return None
    matrix, inliers = cv2.findHomography(anchor_xy, frame_xy, cv2.USAC_MAGSAC, tolerance_px)
    if matrix is None or inliers is None:
        return None
    inside = inliers[:, 0] > 0
    if inside.sum() < LEAST_INLIERS:
        return None
    return Matches(anchor_xy[inside], frame_xy[inside], float(inside.sum()) / max(tried, 1))
