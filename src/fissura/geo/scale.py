"""`GroundScale`: from pixels to millimetres, everywhere in a picture, with where it came from and its error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.types import BoolMask

Points = npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GroundScale:
    """How pixels lie on the ground (or on the wall).

    A homography takes pixel (x, y) = (column, row), pixel centres at integers, to ground millimetres (right, down). An
    even scale is a diagonal matrix; different metres in x and y, and views at an angle, are the same thing.

    Attributes:
        matrix: Shape (3, 3), pixel (x, y, 1) to ground (X, Y, W) in millimetres.
        sigma: Relative standard error of lengths, for example 0.05; 0 if taken as exact.
        source: Where it came from: ``given``, ``exif``, ``xmp``, ``geotiff``, ``checkerboard``, ``aruco``.
        notes: What the user should know, for example that the height is the one above take-off.
    """

    matrix: npt.NDArray[np.float64]
    sigma: float = 0.0
    source: str = "given"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.matrix.shape != (3, 3) or not np.isfinite(self.matrix).all():
            raise GeometryError(f"a ground scale needs a finite 3x3 matrix, got shape {self.matrix.shape}")
        if abs(float(np.linalg.det(self.matrix))) < 1e-12:
            raise GeometryError("the ground scale's matrix is singular: it maps the picture onto a line")
        if not 0 <= self.sigma < 1:
            raise GeometryError(f"the relative error of the scale is {self.sigma}; give 0 or more and less than 1")

    @classmethod
    def uniform(
        cls, x_mm: float, y_mm: float | None = None, *, sigma: float = 0.0, source: str = "given",
        notes: tuple[str, ...] = (),
    ) -> GroundScale:  # fmt: skip
        """The same everywhere: ``x_mm`` per pixel along rows, ``y_mm`` (or the same) along columns.

        Raises:
            GeometryError: A size is not above 0.
        """
        y_mm = x_mm if y_mm is None else y_mm
        for value in (x_mm, y_mm):
            if not (np.isfinite(value) and value > 0):
                raise GeometryError(f"the ground sampling distance is {value} mm; it must be above 0")
        return cls(np.diag([x_mm, y_mm, 1.0]), sigma=sigma, source=source, notes=notes)

    def to_ground(self, points_rc: Points) -> Points:
        """Pixels (row, column), shape (N, 2), to millimetres (x right, y down), shape (N, 2)."""
        homogeneous = np.column_stack([points_rc[:, 1], points_rc[:, 0], np.ones(len(points_rc))]) @ self.matrix.T
        return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:], np.float64)

    def on_ground(self, points_rc: Points) -> npt.NDArray[np.bool_]:
        """Whether each pixel shows the ground, shape (N,): False at and above the horizon of a view at an angle."""
        x, y, one = points_rc[:, 1], points_rc[:, 0], np.ones(len(points_rc))
        return np.asarray(np.column_stack([x, y, one]) @ self.matrix[2] > 0, np.bool_)

    def jacobian(self, points_rc: Points) -> npt.NDArray[np.float64]:
        """Local derivative at each point, shape (N, 2, 2): ground (x, y) by pixel (x, y), mm per px."""
        homogeneous = np.column_stack([points_rc[:, 1], points_rc[:, 0], np.ones(len(points_rc))]) @ self.matrix.T
        w = homogeneous[:, 2]
        ground = homogeneous[:, :2] / w[:, None]
        top, bottom = self.matrix[:2, :2], self.matrix[2, :2]
        return np.asarray((top[None] - ground[:, :, None] * bottom[None, None, :]) / w[:, None, None], np.float64)

    def across(self, points_rc: Points, tangents_rc: Points) -> Values:
        """Millimetres on the ground per pixel of width of a line with these tangents, shape (N,).

        What is perpendicular in the picture need not be so on the ground; the distance between two edges parallel to
        the tangent t grows by |det J| / |J t|.
        """
        jacobian = self.jacobian(points_rc)
        tangents_xy = tangents_rc[:, ::-1]
        along = np.linalg.norm(np.einsum("nij,nj->ni", jacobian, tangents_xy), axis=1)
        along /= np.maximum(np.linalg.norm(tangents_xy, axis=1), 1e-12)
        return np.asarray(np.abs(np.linalg.det(jacobian)) / np.maximum(along, 1e-12), np.float64)

    def area_m2(self, size_hw: tuple[int, int], seen: BoolMask | None = None) -> float | None:
        """Ground that a picture shows, in m².

        Args:
            size_hw: Its rows and columns.
            seen: Pixels that count, shape (H, W); None for all.
        Returns:
            None where the horizon is in the picture: the ground goes on up to it.
        """
        height, width = size_hw
        corners = np.array([[r, c] for r in (0, height - 1) for c in (0, width - 1)], np.float64)
        if not self.on_ground(corners).all():
            return None
        x, y, one = self.matrix[2]
        # The area of a pixel is |det J| = |det M| / W³.
        total, across = 0.0, x * np.arange(width) + one
        for row in range(height):
            areas = (across + y * row) ** -3.0
            total += float(areas.sum() if seen is None else areas[seen[row]].sum())
        return total * abs(float(np.linalg.det(self.matrix))) / 1e6

    def gsd_mm(self, points_rc: Points) -> Values:
        """Geometric mean ground size of a pixel at each point, shape (N,), in millimetres."""
        return np.asarray(np.sqrt(np.abs(np.linalg.det(self.jacobian(points_rc)))), np.float64)
