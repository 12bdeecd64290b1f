"""The reference line of a road: read from a map file, and chainage and offset along it.

Lengths are those on the ellipsoid, whatever the file's CRS. The nearest place on the line is found in UTM, where
angles are true and a segment's length differs from the ground by a factor that is taken out again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from fissura.errors import GeometryError
from fissura.geo.crs import LonLat, choose_crs, to_crs, to_lonlat

Values = npt.NDArray[np.float64]

_GEOD = pyproj.Geod(ellps="WGS84")
_GAP_M = 1.0


class Route:
    """A line along a road, from its start to its end in the direction of travel.

    Attributes:
        lonlat: Its vertices, shape (N >= 2, 2), WGS84 degrees.
        crs: UTM zone in which it is worked with.
        length_m: On the ellipsoid.

    Args:
        lonlat: Vertices; repeated ones are left out.
    Raises:
        GeometryError: There are less than two different vertices, or one is not on the globe.
    """

    def __init__(self, lonlat: LonLat) -> None:
        points = np.asarray(lonlat, np.float64).reshape(-1, 2)
        if not np.isfinite(points).all():
            raise GeometryError("the route has vertices without a position; check the file")
        if len(points) and not (np.abs(points) <= [360.0, 90.0]).all():
            raise GeometryError(
                f"({points[0, 0]:g}, {points[0, 1]:g}) is no longitude and latitude; say in which CRS the route is"
            )
        points = points[np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1)]] if len(points) else points
        if len(points) < 2:
            raise GeometryError("the route has less than two different vertices; draw a line along the road")
        self.lonlat: LonLat = points
        self.crs = choose_crs(points)
        self._xy = to_crs(points, self.crs)
        self._line: Any = shapely.LineString(self._xy)
        steps = _GEOD.line_lengths(points[:, 0], points[:, 1])
        self._along = np.r_[0.0, np.cumsum(steps)]
        self._plane = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(self._xy, axis=0), axis=1))]
        self.length_m = float(self._along[-1])

    def locate(self, lonlat: LonLat) -> tuple[Values, Values]:
        """Where points lie along the route.

        Args:
            lonlat: Shape (N, 2).
        Returns:
            Chainage of the nearest place on the route, in metres, shape (N,), 0 to `length_m`; and the distance from
            there, positive to the right of the direction of travel, shape (N,).
        """
        return self.locate_xy(to_crs(lonlat, self.crs))

    def locate_xy(self, xy: npt.NDArray[np.float64]) -> tuple[Values, Values]:
        """`locate` for points in the route's `crs`."""
        if not len(xy):
            return np.zeros(0), np.zeros(0)
        points = shapely.points(xy)
        at = np.asarray(shapely.line_locate_point(self._line, points), np.float64)
        nearest = self._xy_at_plane(at)
        away = xy - nearest
        tangent = self._tangent(at)
        # Right of (x, y) is (y, -x).
        side = np.sign(tangent[:, 1] * away[:, 0] - tangent[:, 0] * away[:, 1])
        distance = np.linalg.norm(away, axis=1) / self._plane_per_metre(at)
        return np.interp(at, self._plane, self._along), np.where(side < 0, -distance, distance)

    def at(self, chainage_m: Values) -> LonLat:
        """Places on the route, shape (N, 2); what lies before its start or beyond its end becomes that."""
        plane = np.interp(np.asarray(chainage_m, np.float64), self._along, self._plane)
        return to_lonlat(self._xy_at_plane(np.atleast_1d(plane)), self.crs)

    def azimuth_deg(self, chainage_m: float) -> float:
        """Direction of travel, clockwise from north, 0 to 360."""
        step = min(0.5, self.length_m / 2)
        low = min(max(chainage_m - step, 0.0), self.length_m - 2 * step)
        ends = self.at(np.array([low, low + 2 * step]))
        return float(_GEOD.inv(*ends[0], *ends[1])[0]) % 360.0

    def sub_line(self, start_m: float, end_m: float) -> LonLat:
        """The part between two chainages, shape (N >= 2, 2).

        Raises:
            GeometryError: They are not in order, or outside of the route.
        """
        return to_lonlat(self.sub_line_xy(start_m, end_m), self.crs)

    def sub_line_xy(self, start_m: float, end_m: float) -> npt.NDArray[np.float64]:
        """`sub_line` in the route's `crs`."""
        if not -1e-6 <= start_m < end_m <= self.length_m + 1e-6:
            raise GeometryError(
                f"{start_m:g} to {end_m:g} m is no part of a route of {self.length_m:g} m; "
                "give a start before the end, both on the route"
            )
        ends = self._xy_at_plane(np.interp([start_m, end_m], self._along, self._plane))
        inner = (self._along > start_m) & (self._along < end_m)
        return np.vstack([ends[:1], self._xy[inner], ends[1:]])

    def plane_per_metre(self, chainage_m: float) -> float:
        """Length in `crs` for each metre on the ground."""
        plane = np.interp([chainage_m], self._along, self._plane)
        return float(self._plane_per_metre(plane)[0])

    def _segment(self, plane: Values) -> npt.NDArray[np.intp]:
        before = np.searchsorted(self._plane, plane, side="right") - 1
        return np.asarray(np.clip(before, 0, len(self._plane) - 2), np.intp)

    def _xy_at_plane(self, plane: Values) -> npt.NDArray[np.float64]:
        columns = [np.interp(plane, self._plane, self._xy[:, k]) for k in (0, 1)]
        return np.column_stack(columns).astype(np.float64)

    def _plane_per_metre(self, plane: Values) -> Values:
        k = self._segment(plane)
        return np.asarray(np.diff(self._plane)[k] / np.maximum(np.diff(self._along)[k], 1e-12), np.float64)

    def _tangent(self, plane: Values) -> npt.NDArray[np.float64]:
        """Direction at places on the line; at a vertex the mean of both sides, so that "right" has no gap there."""
        unit = np.diff(self._xy, axis=0) / np.diff(self._plane)[:, None]
        k = self._segment(plane)
        tangent: npt.NDArray[np.float64] = unit[k].copy()
        reach = 1e-7 * max(float(self._plane[-1]), 1.0)
        for vertex, other in ((k, k - 1), (k + 1, k + 1)):
            here = (np.abs(plane - self._plane[vertex]) < reach) & (other >= 0) & (other < len(unit))
            tangent[here] += unit[other[here]]
        return tangent


def read_route(path: Path, *, crs: str | None = None) -> Route:
    """Read a reference line: GeoJSON, GeoPackage, KML, GPX, Shapefile, or a CSV of its vertices.

    Several lines are put together if they hang together; the first one gives the direction of travel.

    Args:
        path: The file. A CSV has a vertex in each line: longitude and latitude, or x and y in `crs`.
        crs: For files that do not say theirs; see `fissura.geo.crs.read_crs`.
    Raises:
        GeometryError: There is no line in it, several that do not hang together, or its CRS is not known.
    """
    from fissura.geo.route_files import read_lines

    parts, source = read_lines(path, crs)
    return Route(to_lonlat(_join(parts, source, path), source))


def _join(parts: list[npt.NDArray[np.float64]], crs: Any, path: Path) -> npt.NDArray[np.float64]:
    """One line from several, in the order of the file where that hangs together."""
    if len(parts) == 1:
        return parts[0]
    rest = [(part, to_lonlat(part[[0, -1]], crs)) for part in parts]
    line, ends = rest.pop(0)
    while rest:
        # To the end first, so that lines in order stay so; then to the start; turned if need be.
        found = min(
            (_gap(ends[at], other[end]), at == 0, k, end)
            for k, (_, other) in enumerate(rest)
            for at in (1, 0)
            for end in (0, 1)
        )
        gap, before, k, end = found
        if gap > _GAP_M:
            raise GeometryError(
                f"{path.name} holds {len(parts)} lines that do not hang together: {gap:.1f} m lie between the end of "
                "one and the next; join them in a GIS (QGIS: Merge lines), or keep the one that is meant"
            )
        part, other = rest.pop(k)
        if before:
            part, other = (part, other) if end == 1 else (part[::-1], other[::-1])
            line, ends = np.vstack([part, line]), np.vstack([other[:1], ends[1:]])
        else:
            part, other = (part, other) if end == 0 else (part[::-1], other[::-1])
            line, ends = np.vstack([line, part]), np.vstack([ends[:1], other[1:]])
    return line


def _gap(a: LonLat, b: LonLat) -> float:
    # A millimetre is as good as touching: the order of the file decides then.
    return round(float(_GEOD.inv(a[0], a[1], b[0], b[1])[2]), 3)
