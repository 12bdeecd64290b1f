"""Cracks as GeoJSON (RFC 7946): WGS84 longitude and latitude, outlines counter-clockwise, every field a property.

RFC 7946 knows no other coordinate system; tools that need metres take the GeoPackage.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.imaging.write import open_text
from fissura.report.tables import Value, speakable

Positions = npt.NDArray[np.float64]
"""Shape (N, 2), (longitude, latitude) in degrees, WGS84."""

DECIMALS = 8
"""Digits of a degree: 1e-8° is 1.1 mm at the equator."""
_FINE_DECIMALS = 11


@dataclass(frozen=True, eq=False)
class GeoFeature:
    """A crack or an area with its place on the earth.

    Attributes:
        kind: ``line``, or ``area`` for a closed outline whose first point need not be repeated.
        lonlat_deg: Shape (N, 2), N >= 2 for a line and >= 3 for an area.
        properties: For example from `fissura.report.tables.crack_fields`.
        position_sigma_m: Standard error of the position in metres, property of the same name; None if not known.
    """

    kind: Literal["line", "area"]
    lonlat_deg: Positions
    properties: Mapping[str, Value] = field(default_factory=dict)
    position_sigma_m: float | None = None

    def __post_init__(self) -> None:
        least = 2 if self.kind == "line" else 3
        shape = self.lonlat_deg.shape
        if len(shape) != 2 or shape[1] != 2 or shape[0] < least:
            raise GeometryError(f"a GeoJSON {self.kind} needs positions of shape (N >= {least}, 2), got {shape}")
        if not np.isfinite(self.lonlat_deg).all():
            raise GeometryError(f"a GeoJSON {self.kind} has positions that are not finite: {self._name()}")
        if (np.abs(self.lonlat_deg) > (360.0, 90.0)).any():
            raise GeometryError(
                f"{self.lonlat_deg[0].tolist()} is no (longitude, latitude) in degrees: {self._name()}; "
                "convert map coordinates to WGS84 first, longitude before latitude"
            )

    def _name(self) -> str:
        return f"id {self.properties.get('id', '?')} of {self.properties.get('source_frame') or 'unknown source'}"


def write_cracks_geojson(path: Path, features: Iterable[GeoFeature]) -> None:
    """Write a FeatureCollection, feature by feature, so that memory does not grow with the number of cracks.

    Args:
        path: Usually ``cracks.geojson``.
        features: May be empty or a generator.
    Raises:
        OutputError: The file cannot be written.
        GeometryError: A feature has no extent. The file is then not written.
    """
    bounds: Positions | None = None
    with open_text(path) as file:
        file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"
        for feature in features:
            record = _as_record(feature)
            file.write(separator + json.dumps(record, ensure_ascii=False, allow_nan=False))
            separator = ",\n"
            corners = np.vstack([feature.lonlat_deg.min(0), feature.lonlat_deg.max(0)])
            if bounds is None:
                bounds = corners
            bounds = np.vstack([np.minimum(bounds[0], corners[0]), np.maximum(bounds[1], corners[1])])
        file.write("\n]")
        # Across the 180th meridian a bbox would have to run from east to west; left out, readers find it themselves.
        if bounds is not None and bounds[1, 0] - bounds[0, 0] <= 180 and np.abs(bounds[:, 0]).max() <= 180:
            file.write(f', "bbox": {json.dumps([round(float(value), DECIMALS) for value in bounds.ravel()])}')
        file.write("}\n")


def _as_record(feature: GeoFeature) -> dict[str, Any]:
    properties = {name: _plain(value) for name, value in feature.properties.items()}
    if feature.position_sigma_m is not None:
        properties["position_sigma_m"] = _plain(float(f"{feature.position_sigma_m:.4g}"))
    return {"type": "Feature", "geometry": _as_geometry(feature), "properties": properties}


def _as_geometry(feature: GeoFeature) -> dict[str, Any]:
    from shapely.geometry import mapping

    for decimals in (DECIMALS, _FINE_DECIMALS):  # a crack of 1 mm on a wall collapses at the usual digits
        positions = _without_repeats(np.round(_unwrapped(feature.lonlat_deg), decimals))
        shape = _make_line(positions) if feature.kind == "line" else _make_area(positions, decimals)
        if shape is not None and not shape.is_empty:
            return {name: _plain_coordinates(value, decimals) for name, value in mapping(_cut_at_180(shape)).items()}
    raise GeometryError(f"a GeoJSON {feature.kind} has no extent, all positions are one: {feature._name()}")


def _make_line(positions: Positions) -> Any:
    from shapely.geometry import LineString

    return LineString(positions) if len(positions) >= 2 else None


def _make_area(positions: Positions, decimals: int) -> Any:
    import shapely
    from shapely.geometry import MultiPolygon, Polygon

    if len(positions) and (positions[0] == positions[-1]).all():
        positions = positions[:-1]
    if len(positions) < 3:
        return None
    shape = shapely.make_valid(Polygon(positions))
    if shape.geom_type not in ("Polygon", "MultiPolygon"):
        # An outline that crosses or touches itself may leave lines and points beside its areas.
        parts = [part for part in getattr(shape, "geoms", []) if part.geom_type in ("Polygon", "MultiPolygon")]
        shape = shapely.union_all(parts) if parts else MultiPolygon()
    # Crossings found by make_valid have all digits; on the grid of the file they must be valid again.
    return shapely.set_precision(shape, 10.0**-decimals)


def _unwrapped(lonlat_deg: Positions) -> Positions:
    """Longitudes without the jump of 360° where a line crosses the 180th meridian."""
    longitude = np.rad2deg(np.unwrap(np.deg2rad(lonlat_deg[:, 0]))) if _jumps(lonlat_deg) else lonlat_deg[:, 0]
    return np.column_stack([longitude, lonlat_deg[:, 1]])


def _jumps(lonlat_deg: Positions) -> bool:
    return bool((np.abs(np.diff(lonlat_deg[:, 0])) > 180).any())


def _cut_at_180(shape: Any) -> Any:
    """In two parts where it crosses the 180th meridian (RFC 7946, 3.1.9); outlines counter-clockwise."""
    import shapely
    from shapely import affinity
    from shapely.geometry import MultiPolygon, box
    from shapely.geometry.polygon import orient  # shapely.orient_polygons came with 2.1

    west, _, east, _ = shape.bounds
    if west < -180 or east > 180:
        worlds = [(box(start, -90, start + 360, 90), -180 - start) for start in (-540, -180, 180)]
        parts = [affinity.translate(shape & world, xoff=offset) for world, offset in worlds]
        shape = shapely.union_all([part for part in parts if not part.is_empty])
    if shape.geom_type == "Polygon":
        return orient(shape)
    return MultiPolygon([orient(part) for part in shape.geoms]) if shape.geom_type == "MultiPolygon" else shape


def _without_repeats(positions: Positions) -> Positions:
    return positions[np.r_[True, (np.diff(positions, axis=0) != 0).any(1)]]


def _plain_coordinates(value: Any, decimals: int) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain_coordinates(item, decimals) for item in value]
    return value if isinstance(value, str) else round(float(value), decimals) + 0.0


def _plain(value: Value) -> Any:
    """What JSON can say: no NaN, no numpy, times as ISO 8601."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return speakable(value)
    return value.isoformat() if isinstance(value, datetime) else value
