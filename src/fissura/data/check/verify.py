"""Whether two pictures really show the same: features in one geometry, and pixels that agree after alignment.

Pavements and walls look alike, so shared features alone prove little. Two pictures count as near-duplicates when one
can be laid over the other by shift, turn, zoom and flip, and the fine texture then agrees over the common area.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fissura.data.check.features import Description, Floats, Grey, mirror, orient, orientation_matrix

Matrix = npt.NDArray[np.float64]

LEAST_CORRELATION = 0.5
"""Of fine texture after alignment. Pictures of the same material that do not overlap stay below 0.3."""
LEAST_OVERLAP = 0.08
"""Common part of the smaller picture."""
LEAST_FEATURES, LEAST_CORRELATION_ANEW = 20, 0.1
"""Of the same place photographed anew, where light and view differ: so many spots in one geometry are no chance."""

_LEAST_INLIERS = 6
_LEAST_SIDE_PX = 24
_RATIO, _LEAST_COSINE = 0.9, 0.75
_REACH_PX = 3.0
_ZOOM_RANGE, _MOST_SHEAR, _SLANT_PX = 6.0, 1.6, 15.0
_FINE_PX, _COARSE_PX = 1.2, 6.0


@dataclass(frozen=True, eq=False)
class Alignment:
    """How the second picture lies over the first.

    Attributes:
        matrix: From (x, y) of the second to (x, y) of the first, file pixels, shape (2, 3).
        mirrored: Whether the second is a mirror image.
        correlation: Of the fine texture over the common area, up to 1.
        overlap: Common area as a share of the smaller picture (in the first one's pixels), 0 to 1.
        inliers: Features that fit the matrix; 0 if the whole pictures were compared.
    """

    matrix: Matrix
    mirrored: bool
    correlation: float
    overlap: float
    inliers: int

    @property
    def counts(self) -> bool:
        """Whether the two show the same."""
        return self.overlap >= LEAST_OVERLAP and (self.is_copy or self.is_anew)

    @property
    def is_copy(self) -> bool:
        """Whether the pixels agree."""
        return self.correlation >= LEAST_CORRELATION

    @property
    def is_anew(self) -> bool:
        """Whether the pixels differ and yet many features fit."""
        return not self.is_copy and self.inliers >= LEAST_FEATURES and self.correlation >= LEAST_CORRELATION_ANEW

    @property
    def zoom(self) -> float:
        """Size of the first one's pixels per pixel of the second."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    @property
    def turn_deg(self) -> float:
        """Turn of the second, counter-clockwise as seen, -180 to 180, after mirroring left to right."""
        a, b = self.matrix[0, 0], self.matrix[1, 0]
        return float(np.rad2deg(np.arctan2(b, -a) if self.mirrored else np.arctan2(-b, a)))


def align_by_features(a: Description, b: Description, *, mirrored: bool) -> tuple[Matrix, int] | None:
    """The similarity that most shared features fit, from the compared size of ``b`` to that of ``a``."""
    left, right = (d.descriptors.astype(np.float32) for d in (a, b))
    if min(len(left), len(right)) < _LEAST_INLIERS:
        return None
    left = np.asarray(mirror(left), np.float32) if mirrored else left
    left /= np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-6)
    right /= np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 1e-6)
    cosine = left @ right.T
    first, second = _mutual(cosine)
    if len(first) < _LEAST_INLIERS:
        return None
    points_a, points_b = a.points_xy[first], b.points_xy[second]
    if mirrored:
        points_a = np.column_stack([a.size_hw[1] - 1 - points_a[:, 0], points_a[:, 1]]).astype(np.float32)
    # RANSAC draws from a generator with a fixed seed, so the same pictures give the same answer.
    cv2.setRNGSeed(7)
    matrix, fits = cv2.estimateAffinePartial2D(
        points_b, points_a, method=cv2.RANSAC, ransacReprojThreshold=_REACH_PX, maxIters=2000, confidence=0.995
    )
    if matrix is None:
        return None
    matrix, fits = _refine(points_b, points_a, matrix, fits)
    # Several features of one spot (SIFT gives one for each strong direction) are one witness.
    spots = np.unique(np.rint(points_a[fits.ravel() > 0] / 4).astype(np.int64), axis=0)
    if len(spots) < _LEAST_INLIERS or not _is_plausible(matrix):
        return None
    if mirrored:
        matrix = np.array([[-1.0, 0, a.size_hw[1] - 1], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])
    return matrix, len(spots)


def _refine(
    points_b: Floats, points_a: Floats, matrix: Matrix, fits: npt.NDArray[np.uint8]
) -> tuple[Matrix, npt.NDArray[np.uint8]]:
    """The affine map that more features fit, as a camera that looks at a slant needs it; else what was there."""
    mapped = points_b @ matrix[:, :2].T + matrix[:, 2]
    near = np.flatnonzero(np.hypot(*(mapped - points_a).T) < _SLANT_PX)
    if len(near) < 2 * _LEAST_INLIERS:
        return matrix, fits
    refined, fine = cv2.estimateAffine2D(
        points_b[near], points_a[near], method=cv2.RANSAC, ransacReprojThreshold=_REACH_PX, maxIters=500
    )
    if refined is None or int(fine.sum()) <= int(fits.sum()) or not _is_plausible(refined):
        return matrix, fits
    every = np.zeros_like(fits)
    every[near] = fine
    return refined, every


def _is_plausible(matrix: Matrix) -> bool:
    """No mirror, no great shear, no zoom that nobody uses."""
    stretch = np.linalg.svd(matrix[:, :2], compute_uv=False)
    upright = float(np.linalg.det(matrix[:, :2])) > 0
    return bool(upright and 1 / _ZOOM_RANGE < stretch[1] and stretch[0] < min(_ZOOM_RANGE, _MOST_SHEAR * stretch[1]))


def _mutual(cosine: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs that are each other's nearest and clearly nearer than the second, by angle."""
    best = cosine.argmax(axis=1)
    back = cosine.argmax(axis=0)
    rows = np.arange(len(cosine))
    top = cosine[rows, best]
    second = np.partition(cosine, -2, axis=1)[:, -2] if cosine.shape[1] > 1 else np.zeros(len(rows))
    nearer = np.arccos(np.clip(top, -1, 1)) < _RATIO * np.arccos(np.clip(second, -1, 1))
    fits = (back[best] == rows) & (top >= _LEAST_COSINE) & nearer
    return rows[fits], best[fits]


def align_whole(a: Description, b: Description, orientation: int) -> Matrix:
    """The matrix that lays the whole of ``b``, oriented, over the whole of ``a``, at the compared sizes."""
    matrix = np.vstack([orientation_matrix(orientation, b.size_hw), [0, 0, 1]])
    turned_hw = b.size_hw if orientation % 2 == 0 else b.size_hw[::-1]
    sx, sy = a.size_hw[1] / turned_hw[1], a.size_hw[0] / turned_hw[0]
    stretch = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]])
    return np.asarray(stretch @ matrix)


def compare(a: Grey, b: Grey, matrix: Matrix) -> tuple[float, float]:
    """Correlation of the fine texture over the common area, and that area's share of the smaller picture.

    Args:
        a, b: Pictures at the compared size, shapes (H, W).
        matrix: From (x, y) of ``b`` to (x, y) of ``a``.
    """
    size_wh = a.shape[1], a.shape[0]
    cover = cv2.warpAffine(np.ones(b.shape, np.uint8), matrix, size_wh)
    rows, columns = (np.flatnonzero(cover.any(axis=axis)) for axis in (1, 0))
    if min(len(rows), len(columns)) < _LEAST_SIDE_PX:
        return 0.0, 0.0
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    # An enlarged picture is softer, a reduced one aliases: both are brought to the coarser one's sharpness.
    left = cv2.GaussianBlur(a, (0, 0), max(zoom, 1.0) * _FINE_PX).astype(np.float32)
    right = cv2.GaussianBlur(b, (0, 0), max(1 / zoom, 1.0) * _FINE_PX).astype(np.float32)
    right = cv2.warpAffine(right, matrix, size_wh, flags=cv2.INTER_LINEAR)
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = cover[box].astype(np.float32)
    sigma = max(zoom, 1.0) * _COARSE_PX
    fine_a, fine_b = _fine(left[box], inside, sigma), _fine(right[box], inside, sigma)
    inside = cv2.erode(cover, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)[box] > 0
    x, y = fine_a[inside], fine_b[inside]
    if x.size < _LEAST_SIDE_PX**2:
        return 0.0, 0.0
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    area = float(cover.sum())
    return float((x * y).sum()) / max(norm, 1e-6), min(area / min(a.size, b.size * zoom**2), 1.0)


def _fine(values: npt.NDArray[np.float32], inside: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    """What remains when light and shade and the strength of the texture are taken out, both within the common area."""

    def mean(of: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(of * inside, (0, 0), sigma) / weight, np.float32)

    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-3)
    flat = values - mean(values)
    # One grey value: flat areas of clipped white must not turn into amplified noise.
    return np.asarray(flat / np.sqrt(mean(flat * flat) + 1.0), np.float32)


def to_file_pixels(matrix: Matrix, a: Description, b: Description) -> Matrix:
    """A matrix between compared sizes as one between the files' own pixels."""
    out = matrix.copy()
    out[:, :2] *= b.scale / a.scale
    centre = 0.5 * (b.scale - 1)
    out[:, 2] = (matrix[:, 2] + matrix[:, :2] @ [centre, centre] - 0.5 * (a.scale - 1)) / a.scale
    return out


__all__ = ["Alignment", "align_by_features", "align_whole", "compare", "orient", "to_file_pixels"]
