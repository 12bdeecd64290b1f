"""What shape a piece of pavement has: is it a road, a yard, a roof, or nothing of the kind.

A road is long for its width or fills the frame from border to border, its edges are smooth and run side by side, it
is even in texture and may carry lines. Nothing here knows colours. All measures are free of scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fissura.road.direction import distance_to_edge
from fissura.types import BoolMask

Plane = npt.NDArray[np.float32]

NAMES = (
    "log area", "log slenderness", "log edge length", "borders", "edge order", "edge seen", "mean logit", "weak share",
)  # fmt: skip
SIGNS = (1, 1, -1, 1, 1, 1, 1, -1)
"""Whether more of a feature speaks for a road or against it; training may not find otherwise."""
_LARGE = -2.5
"""From a twelfth of the frame upwards, more area says nothing: fields are larger still."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Connected pieces of a mask, largest first.

    Attributes:
        labels: Shape (h, w), 0 is none.
        area: Cells of each piece, shape (K,), label k + 1.
    """

    labels: npt.NDArray[np.int32]
    area: npt.NDArray[np.int64]


def label_pieces(mask: BoolMask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Labels of the connected pieces of a mask, in no order, and the cells of each, label k + 1."""
    # OpenCV's own counting of cells takes four times as long as its labelling.
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    return np.asarray(labels), np.bincount(labels.reshape(-1), minlength=count)[1:].astype(np.int64)


def split_pieces(mask: BoolMask, least: int) -> Pieces:
    """Connected pieces with at least `least` cells."""
    labels, area = label_pieces(mask)
    order = np.argsort(-area)
    order = order[area[order] >= least]
    rename = np.zeros(len(area) + 1, np.int32)
    rename[order + 1] = np.arange(1, len(order) + 1)
    return Pieces(rename[labels], area[order])


def measure_pieces(pieces: Pieces, logit: Plane, colour: Plane) -> npt.NDArray[np.float64]:
    """Shape features of pieces, shape (K, 8), in the order of `NAMES`.

    Args:
        pieces: Pieces of the pavement mask.
        logit: Pavement logit, shape (h, w).
        colour: From `chroma`, shape (3, h, w).
    """
    count = len(pieces.area)
    if count == 0:
        return np.zeros((0, len(NAMES)))
    # Every second cell is enough for all of this, at a quarter of the time.
    labels = np.ascontiguousarray(pieces.labels[::2, ::2])
    groups = _Groups(labels, count)
    area = np.maximum(groups.size, 1.0)
    distance = distance_to_edge(labels > 0)
    width = np.array([max(2.0 * float(distance[labels == k + 1].max(initial=1.0)), 2.0) for k in range(count)])
    strength, order = _edge_order(labels > 0)
    edge = _Groups(np.where(strength > 0.02, _grown(labels), 0), count)
    length = edge.mean(strength) * edge.size
    logit = np.ascontiguousarray(logit[::2, ::2])
    return np.column_stack([
        np.minimum(np.log(area / labels.size), _LARGE), np.log(area / width**2),
        np.log(np.maximum(length * width / area, 0.05)), _borders(labels, count), edge.mean(order, strength),
        edge.mean(_steps(colour), strength), groups.mean(logit), groups.mean((logit < 2).astype(np.float32)),
    ])  # fmt: skip


class _Groups:
    """Means over the cells of each label."""

    def __init__(self, labels: npt.NDArray[np.int32], count: int) -> None:
        self._where = np.flatnonzero(labels)
        self._group = labels.reshape(-1)[self._where].astype(np.intp) - 1
        self._count = count
        self.size = np.bincount(self._group, minlength=count).astype(np.float64)

    def mean(self, values: Plane, weight: Plane | None = None) -> npt.NDArray[np.float64]:
        """Mean of a plane over each label, weighted if wanted."""
        value = values.reshape(-1)[self._where] if values.flags.c_contiguous else values.ravel()[self._where]
        if weight is None:
            return np.bincount(self._group, value, self._count) / np.maximum(self.size, 1.0)
        w = weight.reshape(-1)[self._where]
        return np.bincount(self._group, value * w, self._count) / np.maximum(
            np.bincount(self._group, w, self._count), 1e-9
        )


def _grown(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Labels grown by one cell, so that the outer half of an edge belongs to its piece."""
    return np.asarray(cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8)), dtype=np.int32)


def _edge_order(mask: BoolMask) -> tuple[Plane, Plane]:
    """Edge strength, and how well the edges around each cell agree in direction (both sides of a road do)."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (5, 5), 1.0, borderType=cv2.BORDER_REPLICATE)
    gx = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3, scale=0.25, borderType=cv2.BORDER_REPLICATE)
    gy = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3, scale=0.25, borderType=cv2.BORDER_REPLICATE)
    strength = gx * gx + gy * gy
    a, b, c = (cv2.blur(plane, (21, 21)) for plane in (gy * gy - gx * gx, 2.0 * gx * gy, strength))
    return strength, np.asarray(cv2.magnitude(a, b) / (c + np.float32(1e-6)), dtype=np.float32)


def _steps(colour: Plane) -> Plane:
    """How much of a step in warmth or lightness the picture itself shows at each second cell, 0 to 1."""
    total = np.zeros(((colour.shape[1] + 1) // 2, (colour.shape[2] + 1) // 2), np.float32)
    for plane, step in ((cv2.subtract(colour[0], colour[1]), 0.08), (colour[2], 0.25)):
        smooth = np.ascontiguousarray(cv2.blur(plane, (5, 5))[::2, ::2])
        gx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=0.5 / step)
        gy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=0.5 / step)
        total += cv2.magnitude(gx, gy)
    return np.minimum(total, np.float32(1.0), out=total)


def _borders(labels: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.float64]:
    """How often each piece meets the frame's border, up to 2: a road comes and goes."""
    ring = np.concatenate([labels[0], labels[1:, -1], labels[-1, -2::-1], labels[-2:0:-1, 0]])
    starts = ring[(ring != np.roll(ring, 1)) & (ring > 0)]
    return np.minimum(np.bincount(starts, minlength=count + 1)[1:].astype(np.float64), 2.0)
