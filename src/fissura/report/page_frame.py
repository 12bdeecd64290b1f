"""From degrees to the units of the map in `report.html`: right and down from its upper left corner, north up.

A map unit is a millimetre, or a centimetre where the survey is long: whole numbers keep the file small, and SVG
renderers, which calculate in single precision, lose nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fissura.geo.crs import unwrapped, wrapped
from fissura.report.records import LonLat, SurveyResult

Units = npt.NDArray[np.float64]
"""Shape (N, 2), map units right of and below the map's origin."""

NOMINAL_PX = 1000.0
"""Width of the map on screen that signs of constant size are made for until the script knows better."""

_LEAST_ASPECT, _MOST_ASPECT = 1.5, 3.2
_LONG_M = 4000.0


@dataclass(eq=False)
class MapFrame:
    """From degrees to map units.

    Attributes:
        transformer: From longitude and latitude to metres.
        name: Of the grid, for people.
        unit_m: Metres in a map unit.
        left: Easting of the map's left side, metres; the other sides likewise.
    """

    transformer: Any
    name: str
    unit_m: float = 0.001
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0

    def to_metres(self, lonlat: LonLat) -> Units:
        """East and north on the grid, shape (N, 2)."""
        points = np.asarray(lonlat, np.float64).reshape(-1, 2)
        return np.column_stack(self.transformer.transform(points[:, 0], points[:, 1]))

    def to_units(self, lonlat: LonLat) -> Units:
        """Right and down on the map, shape (N, 2), not rounded."""
        metres = self.to_metres(lonlat)
        return np.column_stack([metres[:, 0] - self.left, self.top - metres[:, 1]]) / self.unit_m

    def size(self) -> tuple[float, float]:
        """Width and height of the map."""
        return (self.right - self.left) / self.unit_m, (self.top - self.bottom) / self.unit_m

    def path(self, lonlat: LonLat, *, closed: bool = False, tolerance: float = 0.0) -> str:
        """SVG path data of a line; see `as_path`."""
        points = self.to_units(lonlat)
        return as_path(points[np.isfinite(points).all(1)], closed=closed, tolerance=tolerance)

    @property
    def tolerance(self) -> float:
        """What nobody sees even where the map is zoomed in forty times."""
        return self.size()[0] / (40 * NOMINAL_PX)


def find_frame(result: SurveyResult) -> MapFrame | None:
    """The projection and the extent of all that has a place, grown to a shape that fits a page."""
    lines = [c.lonlat for c in result.cracks] + [a.lonlat for a in result.areas] + [result.route]
    lines += [line for _, line in result.tracks] + [f.footprint_lonlat for f in result.frames]
    lines += [f.camera_lonlat for f in result.frames] + [s.lonlat for s in result.sections]
    lines += [_bounds(g.outline) for g in result.ground]
    points = [np.asarray(line, np.float64).reshape(-1, 2) for line in lines if line is not None and len(line)]
    if not points:
        points = [p.corners_lonlat for p in result.pictures]
    every = np.concatenate(points) if points else np.zeros((0, 2))
    every = every[np.isfinite(every).all(1)]
    if not len(every):
        return None
    frame = MapFrame(*_choose_projection(result.crs, every))
    metres = frame.to_metres(every)
    metres = metres[np.isfinite(metres).all(1)]
    if not len(metres):
        return None
    low, high = metres.min(0), metres.max(0)
    size = np.maximum((high - low) * 1.06, 0.5)
    aspect = float(np.clip(size[0] / size[1], _LEAST_ASPECT, _MOST_ASPECT))
    size = np.array([max(size[0], size[1] * aspect), max(size[1], size[0] / aspect)])
    middle = (low + high) / 2
    frame.left, frame.bottom = middle - size / 2
    frame.right, frame.top = middle + size / 2
    frame.unit_m = 0.01 if size[0] > _LONG_M else 0.001
    return frame


def _choose_projection(crs: str | None, lonlat: Units) -> tuple[Any, str]:
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError

    try:
        target = CRS.from_user_input(crs) if crs else None
    except CRSError:
        target = None
    name = str(crs)
    if target is None or not target.is_projected:
        lon, lat = wrapped(float(unwrapped(lonlat[:, 0]).mean())), float(lonlat[:, 1].mean())
        target = CRS.from_proj4(f"+proj=tmerc +lon_0={lon:.6f} +lat_0={lat:.6f} +datum=WGS84 +units=m")
        name = "a local grid in metres"
    return Transformer.from_crs("EPSG:4326", target, always_xy=True), name


def _bounds(outline: Any) -> LonLat | None:
    if outline is None or outline.is_empty:
        return None
    west, south, east, north = outline.bounds
    return np.array([[west, south], [east, north], [west, north], [east, south]])


def as_path(points: Units, *, closed: bool = False, tolerance: float = 0.0) -> str:
    """SVG path data in whole map units, relative after the first point; empty for fewer than two points."""
    if tolerance > 0 and len(points) > 2:
        from shapely.geometry import LineString

        points = np.asarray(LineString(points).simplify(tolerance, preserve_topology=False).coords)
    whole = np.rint(points).astype(np.int64)
    if len(whole) < 2:
        return ""
    steps = np.diff(whole, axis=0)
    kept = steps[(steps != 0).any(1)]
    if not len(kept):
        kept = np.array([[1, 0]])  # a crack of less than a map unit still is a mark
    inner = " ".join(f"{x} {y}" for x, y in kept.tolist()).replace(" -", "-")
    return f"M{whole[0, 0]} {whole[0, 1]}l{inner}{'z' if closed else ''}"
