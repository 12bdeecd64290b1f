"""From longitude and latitude to valid shapes in a metric coordinate system, for the GeoPackage and the DXF."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError, SettingsError
from fissura.geo.crs import transformer
from fissura.report.records import LonLat

Geometry: TypeAlias = Any
"""A shapely geometry, or None where there is no place."""

Points = npt.NDArray[np.float64]
"""Shape (N, 2), (east, north) in metres."""


class Projection:
    """From WGS84 to the coordinate system of a survey.

    Args:
        crs: ``EPSG:32630`` for example.
    Raises:
        GeometryError: PROJ does not know it.
    """

    def __init__(self, crs: str) -> None:
        try:
            self._transformer = transformer("EPSG:4326", crs)
        except SettingsError as error:
            raise GeometryError(f"{crs!r} is no coordinate system that PROJ knows; give one as EPSG:32630") from error

    def points(self, lonlat: LonLat) -> Points:
        """Shape (N, 2), metres; rows that cannot be projected are left out, so are repeated ones."""
        lonlat = np.asarray(lonlat, np.float64).reshape(-1, 2)
        metres: Points = np.column_stack(self._transformer.transform(lonlat[:, 0], lonlat[:, 1])).astype(np.float64)
        metres = metres[np.isfinite(metres).all(1)]
        return metres[np.r_[True, (np.diff(metres, axis=0) != 0).any(1)]] if len(metres) else metres

    def line(self, lonlat: LonLat | None) -> Geometry:
        """A LineString; None if fewer than two places are left of it."""
        from shapely.geometry import LineString

        points = self.points(lonlat) if lonlat is not None else ()
        return LineString(points) if len(points) >= 2 else None

    def area(self, lonlat: LonLat | None) -> Geometry:
        """A valid MultiPolygon of an outline; None if it encloses nothing."""
        from shapely.geometry import Polygon

        points = self.points(lonlat) if lonlat is not None else ()
        return as_areas(Polygon(points)) if len(points) >= 3 else None

    def shape(self, outline: Geometry) -> Geometry:
        """A valid MultiPolygon of a Polygon or MultiPolygon in degrees; None if it is empty or None."""
        import shapely

        if outline is None or outline.is_empty:
            return None
        moved = shapely.transform(outline, lambda p: np.column_stack(self._transformer.transform(p[:, 0], p[:, 1])))
        return as_areas(moved) if np.isfinite(shapely.get_coordinates(moved)).all() else None


def as_areas(shape: Geometry) -> Geometry:
    """The areas of a shape as one valid MultiPolygon; None if it has none."""
    import shapely
    from shapely.geometry import MultiPolygon

    parts = shapely.get_parts(shapely.make_valid(shape))
    # An outline that touches itself leaves lines beside its areas, and those may lie in collections.
    parts = shapely.get_parts(parts)
    areas = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
    return MultiPolygon(areas) if areas else None
