"""What pictures are compared by: a hash of the whole, and local features that survive cropping, turning and JPEG.

Local features are SIFT with square-rooted histograms (RootSIFT). SIFT does not know mirrored copies, but the mirror
image of a descriptor is a permutation of its bins, so flips need no second look at the pixels.

Sources: Lowe (2004), doi:10.1023/B:VISI.0000029664.99615.94; Arandjelovic and Zisserman (2012),
doi:10.1109/CVPR.2012.6248018.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

BINS = 128
_SIDE_PX = 420.0
"""Pictures of up to this size (root of width times height) are looked at as they are."""
_SHRINK = 0.6
"""Of larger ones: a picture ten times as large is looked at four times as large, so crops of it are found."""
_FEATURES_PER_PX, _LEAST_FEATURES, _MOST_FEATURES = 0.0025, 120, 1500
_HASH_PX, _HASH_BITS = 32, 64


@dataclass(frozen=True, eq=False)
class Description:
    """What is remembered of a picture.

    Attributes:
        size_hw: Height and width at which it was looked at.
        scale: Pixels there per pixel of the file.
        points_xy: Feature positions at that size, shape (N, 2).
        angles_deg: Direction of each, clockwise from the right as rows point down, shape (N,).
        sizes_log2: Binary logarithm of each one's diameter, shape (N,).
        descriptors: RootSIFT of each, shape (N, 128), 0 to 255.
        hashes: Perceptual hash in each of the eight orientations of `orient`, shape (8, 64), -1 or 1.
    """

    size_hw: tuple[int, int]
    scale: float
    points_xy: Floats
    angles_deg: Floats
    sizes_log2: Floats
    descriptors: npt.NDArray[np.uint8]
    hashes: npt.NDArray[np.int8]


def shrink(grey: Grey) -> tuple[Grey, float]:
    """A picture at the size at which it is compared, and the factor."""
    height, width = grey.shape
    side = float(np.sqrt(height * width))
    if side <= _SIDE_PX:
        return grey, 1.0
    factor = (side / _SIDE_PX) ** (_SHRINK - 1)
    size_wh = max(round(width * factor), 8), max(round(height * factor), 8)
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8), size_wh[0] / width


def describe(grey: Grey) -> Description:
    """Hash and features of a picture.

    Args:
        grey: Shape (H, W), 0 to 255.
    """
    small, scale = shrink(grey)
    count = int(np.clip(small.size * _FEATURES_PER_PX, _LEAST_FEATURES, _MOST_FEATURES))
    # Plain concrete has little contrast; with the usual threshold of 0.04 some pictures have no feature at all.
    sift = cv2.SIFT.create(nfeatures=count, contrastThreshold=0.01)
    points, raw = sift.detectAndCompute(small, None)
    points, raw = points[:count], raw[:count] if raw is not None else np.zeros((0, BINS), np.float32)
    root = np.sqrt(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-6))
    return Description(
        (small.shape[0], small.shape[1]), scale,
        np.array([point.pt for point in points], np.float32).reshape(-1, 2),
        np.array([point.angle for point in points], np.float32),
        np.log2(np.array([point.size for point in points], np.float32)),
        np.asarray(np.rint(root * 255), np.uint8), _hashes(small),
    )  # fmt: skip


def mirror(descriptors: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Descriptors of the same features in the mirrored picture, shape (N, 128).

    A descriptor is a grid of 4 rows and 4 columns with 8 directions; a mirror turns over the rows, since the columns
    follow the feature's own direction, and the sense of the directions.
    """
    grid = descriptors.reshape(-1, 4, 4, 8)
    return np.ascontiguousarray(grid[:, ::-1][..., (-np.arange(8)) % 8]).reshape(-1, BINS)


def orient(picture: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """One of the eight orientations: 0 to 3 quarter turns counter-clockwise, from 4 on after a flip left to right."""
    flipped = picture[:, ::-1] if orientation >= 4 else picture
    return np.ascontiguousarray(np.rot90(flipped, orientation % 4))


def orientation_matrix(orientation: int, size_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Where `orient` puts a pixel: shape (2, 3), from (x, y) before to (x, y) after.

    >>> orientation_matrix(4, (2, 5)) @ [0, 1, 1]
    array([4., 1.])
    """
    height, width = size_hw
    matrix = np.eye(3)
    if orientation >= 4:
        matrix = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    for _ in range(orientation % 4):
        matrix = np.array([[0.0, 1, 0], [-1, 0, width - 1], [0, 0, 1]]) @ matrix
        height, width = width, height
    return matrix[:2]


def _hashes(grey: Grey) -> npt.NDArray[np.int8]:
    """Signs of the low frequencies against their median, the mean brightness left out (pHash)."""
    small = cv2.resize(grey, (_HASH_PX, _HASH_PX), interpolation=cv2.INTER_AREA)
    found = np.empty((8, _HASH_BITS), np.int8)
    for orientation in range(8):
        low = cv2.dct(orient(np.asarray(small), orientation).astype(np.float32))[:9, :9]
        values = np.delete(low.ravel(), 0)[:_HASH_BITS]
        found[orientation] = np.where(values > np.median(values), 1, -1)
    return found
