"""Points through a homography: the one place where the plane maps of roads, flights and drawn worlds are applied."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fissura.types import FloatArray


def transform(matrix: FloatArray, points_xy: FloatArray) -> npt.NDArray[np.float64]:
    """Points (x, y) through a homography.

    Args:
        matrix: Shape (3, 3), (x, y, 1) to (X W, Y W, W).
        points_xy: Shape (N, 2). None may lie on the line that goes to infinity.
    Returns:
        Shape (N, 2).

    >>> transform(np.diag([2.0, 3.0, 1.0]), np.array([[1.0, 1.0]])).tolist()
    [[2.0, 3.0]]
    """
    homogeneous = points_xy @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:], np.float64)
