"""How sharp a frame is compared with the others of its flight."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

_PATCH = 192
_GRID_HW = (3, 4)

Sharpness = tuple[float, float]
"""Fine detail, and how evenly coarser detail lies in all directions; compare them within a flight."""


def measure_sharpness(grey: npt.NDArray[np.uint8]) -> Sharpness:
    """Two signs of a sharp full-resolution frame, medians over patches spread over it.

    - *Detail*: the standard deviation of the Laplacian, less what a slightly blurred copy of the same patch keeps, so
      that contrast (a marking, a shadow) counts little. Dark frames have less of everything: the value is relative to
      the patch's own contrast. A picture out of focus has little of it.
    - *Evenness*: the squared gradient in the direction that has least of it over the mean of all directions, of the
      patch smoothed a little.
      Motion takes gradients away in its own direction alone. A sensor's noise stays sharp whatever moves, and keeps
      the first value up.

    Args:
        grey: Shape (H, W), uint8.
    Returns:
        Both above 0, without a unit.
    """
    h, w = grey.shape
    side = min(_PATCH, h, w)
    values = []
    for row in np.linspace(0.1 * h, 0.9 * h - side, _GRID_HW[0]):
        for column in np.linspace(0.1 * w, 0.9 * w - side, _GRID_HW[1]):
            r, c = max(int(row), 0), max(int(column), 0)
            patch = grey[r : r + side, c : c + side].astype(np.float32)
            fine = cv2.Laplacian(patch, cv2.CV_32F, ksize=1)
            coarse = cv2.Laplacian(cv2.GaussianBlur(patch, (0, 0), 2.0), cv2.CV_32F, ksize=1)
            detail = max(_spread(fine) - _spread(coarse), 1e-3) / (_spread(patch) + 4.0)
            values.append((detail, _evenness(patch)))
    detail, evenness = np.median(np.array(values), axis=0)
    return float(detail), float(evenness)


def _spread(values: npt.NDArray[np.float32]) -> float:
    return float(cv2.meanStdDev(values)[1][0, 0])


def _evenness(patch: npt.NDArray[np.float32]) -> float:
    soft = cv2.GaussianBlur(patch, (0, 0), 1.2)
    # OpenCV all the way: arrays of this size cost NumPy several times as much, and it runs beside the network.
    gx, gy = (cv2.Sobel(soft, cv2.CV_32F, *order, ksize=1)[1:-1, 1:-1] for order in ((1, 0), (0, 1)))
    # Of a line or an outline no more than of the ground around it: they have a direction, and are no sign of motion.
    size = cv2.magnitude(gx, gy)
    share = cv2.min(cv2.divide(1.5 * float(np.median(size[::4, ::4])), cv2.max(size, 1e-6)), 1.0)
    gx, gy = cv2.multiply(gx, share), cv2.multiply(gy, share)
    xx, yy, both = (cv2.norm(part, cv2.NORM_L2SQR) for part in (gx, gy, cv2.add(gx, gy)))
    mean, spread = (xx + yy) / 2, float(np.hypot((xx - yy) / 2, (both - xx - yy) / 2))
    return max(mean - spread, 0.0) / mean if mean > 0 else 1.0


@dataclass
class RelativeSharpness:
    """A frame's sharpness over the usual one of the last frames: 1 is usual, 0.5 is half as much fine detail.

    Args:
        window: How many frames count as the last ones.
    """

    window: int = 90
    _values: deque[Sharpness] = field(default_factory=deque)

    def add(self, value: Sharpness) -> float:
        """Take a frame's values and return the worse of both, relative to the upper quartile of the last ones."""
        self._values.append(value)
        if len(self._values) > self.window:
            self._values.popleft()
        usual = np.percentile(np.array(self._values), 75, axis=0)
        return float((np.array(value) / np.maximum(usual, 1e-9)).min())
