"""Fewer points for the same line."""

from __future__ import annotations

import numpy as np
import shapely

from fissura.errors import GeometryError
from fissura.measure.model import Points


def simplify_line(points_rc: Points, tolerance_px: float) -> Points:
    """Leave out points that the line does not need (Douglas and Peucker 1973). Both ends stay.

    Args:
        points_rc: Shape (N >= 2, 2). A closed line repeats its first point at the end, and so does the result.
        tolerance_px: No point left out is further from the result than this; at least 0.
    Raises:
        GeometryError: Wrong shape or a negative tolerance.

    >>> simplify_line(np.array([[0.0, 0.0], [0.1, 5.0], [0.0, 10.0], [8.0, 10.0]]), 0.5).tolist()
    [[0.0, 0.0], [0.0, 10.0], [8.0, 10.0]]
    """
    points = np.asarray(points_rc, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
        raise GeometryError(f"a line needs points of shape (N >= 2, 2), got {points.shape}")
    if not tolerance_px >= 0:
        raise GeometryError(f"tolerance_px is {tolerance_px}; a tolerance is a distance, at least 0")
    line = shapely.linestrings(points)
    return np.asarray(shapely.get_coordinates(line.simplify(tolerance_px, preserve_topology=False)), np.float64)
