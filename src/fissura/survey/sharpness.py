"""How sharp a frame is compared with the others of its flight."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

_PATCH = 192
_GRID_HW = (3, 4)


def measure_sharpness(grey: npt.NDArray[np.uint8]) -> float:
    """Strength of the finest detail in a full-resolution frame, on patches spread over it.

    The standard deviation of the Laplacian, less what a slightly blurred copy of the same patch keeps, so that
    contrast (a marking, a shadow) counts little and motion blur of a few pixels counts much. Dark frames have less
    of everything: the value is relative to the patch's own contrast.

    Args:
        grey: Shape (H, W), uint8.
    Returns:
        Above 0, without a unit; compare it within a flight.
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
            values.append(max(float(fine.std()) - float(coarse.std()), 1e-3) / (float(patch.std()) + 4.0))
    return float(np.median(values))


@dataclass
class RelativeSharpness:
    """A frame's sharpness over the usual one of the last frames: 1 is usual, 0.5 is half as much fine detail.

    Args:
        window: How many frames count as the last ones.
    """

    window: int = 90
    _values: deque[float] = field(default_factory=deque)

    def add(self, value: float) -> float:
        """Take a frame's value and return it relative to the upper quartile of the last ones."""
        self._values.append(value)
        if len(self._values) > self.window:
            self._values.popleft()
        return value / max(float(np.percentile(np.array(self._values), 75)), 1e-9)
