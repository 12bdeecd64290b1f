"""`Grid`: a raster laid on the ground, and homographies between it and a picture.

Ground coordinates are metres (east, north). Pixels are (x, y) = (column, row) with centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import shapely

Matrix = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]
FloatField = npt.NDArray[np.float32]

_SHIFT = 4


@dataclass(frozen=True, eq=False)
class Grid:
    """Square pixels on the ground.

    Attributes:
        origin_en: Ground position of the centre of pixel (0, 0), metres.
        gsd_m: Side of a pixel, metres.
        hw: Rows and columns.
        turn_deg: Direction of the raster's upper edge, clockwise from north.
    """

    origin_en: tuple[float, float]
    gsd_m: float
    hw: tuple[int, int]
    turn_deg: float = 0.0

    def axes(self) -> Matrix:
        """Unit steps on the ground along a row and down a column, shape (2, 2), one a column."""
        a = np.deg2rad(self.turn_deg)
        return np.array([[np.cos(a), -np.sin(a)], [-np.sin(a), -np.cos(a)]], np.float64)

    def ground_from_pixel(self) -> Matrix:
        """(x, y, 1) to (east, north, 1), shape (3, 3)."""
        out = np.eye(3)
        out[:2, :2] = self.axes() * self.gsd_m
        out[:2, 2] = self.origin_en
        return out

    def pixel_from_ground(self) -> Matrix:
        """Inverse of `ground_from_pixel`."""
        return np.asarray(np.linalg.inv(self.ground_from_pixel()), np.float64)

    def pixels(self, points_en: Points) -> Points:
        """Ground points to (x, y), shape (N, 2)."""
        inverse = self.axes().T / self.gsd_m  # The axes are orthonormal.
        return np.asarray((points_en - np.array(self.origin_en)) @ inverse.T, np.float64)

    def ground(self, points_xy: Points) -> Points:
        """(x, y) to ground points, shape (N, 2)."""
        return np.asarray(np.array(self.origin_en) + points_xy @ (self.axes() * self.gsd_m).T, np.float64)

    def window(self, row: int, column: int, hw: tuple[int, int]) -> Grid:
        """The part that begins at (row, column); it may reach beyond this grid."""
        origin = self.ground(np.array([[column, row]], np.float64))[0]
        return replace(self, origin_en=(float(origin[0]), float(origin[1])), hw=hw)

    def coarser(self, factor: int, margin: int) -> Grid:
        """Pixels ``factor`` times as large over the same ground and ``margin`` of them more on every side."""
        start = (factor - 1) / 2 - margin * factor
        origin = self.ground(np.array([[start, start]]))[0]
        hw = (-(-self.hw[0] // factor) + 2 * margin, -(-self.hw[1] // factor) + 2 * margin)
        return replace(self, origin_en=(float(origin[0]), float(origin[1])), gsd_m=self.gsd_m * factor, hw=hw)

    def enlarge(self, field: npt.NDArray[Any], factor: int, margin: int) -> FloatField:
        """A field on ``coarser(factor, margin)`` brought to this grid, bilinear."""
        if factor == 1 and margin == 0:
            return np.asarray(field, np.float32)
        h, w = field.shape[:2]
        large = cv2.resize(field, (w * factor, h * factor), interpolation=cv2.INTER_LINEAR)
        cut = margin * factor
        return np.asarray(large[cut : cut + self.hw[0], cut : cut + self.hw[1]])

    def bounds(self, margin_m: float = 0.0) -> tuple[float, float, float, float]:
        """Smallest upright rectangle around the raster: west, south, east, north."""
        h, w = self.hw
        corners = self.ground(np.array([[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]]))
        west, south = corners.min(axis=0) - margin_m
        east, north = corners.max(axis=0) + margin_m
        return float(west), float(south), float(east), float(north)


def jacobian(matrix: Matrix, points: Points) -> npt.NDArray[np.float64]:
    """Derivative of a homography at points, shape (N, 2, 2)."""
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    w = moved[:, 2][:, None, None]
    image = (moved[:, :2] / moved[:, 2:])[:, :, None]
    return np.asarray((matrix[None, :2, :2] - image * matrix[None, 2:, :2]) / w, np.float64)


def local_gsd(matrix: Matrix, points: Points) -> npt.NDArray[np.float64]:
    """Ground metres per pixel (root of the area ratio) of a pixel-to-ground homography, shape (N,)."""
    return np.asarray(np.sqrt(np.abs(np.linalg.det(jacobian(matrix, points)))), np.float64)


def fill(
    grid: Grid, shape: Any, canvas: npt.NDArray[np.uint8] | None = None, value: int = 255
) -> npt.NDArray[np.uint8]:
    """Draw a shapely geometry (polygons in ground metres), anti-aliased, on a canvas of the grid's size."""
    out = np.zeros(grid.hw, np.uint8) if canvas is None else canvas
    west, south, east, north = grid.bounds(2.0 * grid.gsd_m)
    clipped = shapely.clip_by_rect(shape, west, south, east, north)
    for polygon in getattr(clipped, "geoms", [clipped]):
        if polygon.geom_type != "Polygon" or polygon.is_empty:
            continue
        rings = [polygon.exterior, *polygon.interiors]
        contours = [fixed_point(grid.pixels(np.asarray(ring.coords)[:, :2])) for ring in rings]
        cv2.fillPoly(out, contours, 255, cv2.LINE_AA, _SHIFT)
    return out


def fixed_point(points_xy: Points) -> npt.NDArray[np.int32]:
    """Pixel positions as cv2's drawing wants them with ``shift=4``."""
    return np.rint(points_xy * (1 << _SHIFT)).astype(np.int32)


def fill_polygon(grid: Grid, corners_en: Points, canvas: npt.NDArray[np.uint8]) -> None:
    """Draw one small polygon, shape (N, 2) in ground metres, anti-aliased, into coverage 0 to 255."""
    cv2.fillPoly(canvas, [fixed_point(grid.pixels(corners_en))], 255, cv2.LINE_AA, _SHIFT)
