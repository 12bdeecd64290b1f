"""Which coordinate system a survey is mapped in, transformers into it, and positions that cannot be true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

from fissura.errors import GeometryError, SettingsError

LonLat = npt.NDArray[np.float64]
"""Shape (N, 2), (longitude, latitude) in degrees, WGS84."""

_NULL_ISLAND_DEG = 0.05


def choose_crs(lonlat: LonLat) -> str:
    """The metric CRS in which a survey is best mapped: UTM by its mean position, UPS near the poles.

    The zones of Norway and Svalbard are widened as the UTM grid has them.

    Args:
        lonlat: Positions, shape (N >= 1, 2); those that are not finite do not count.
    Returns:
        ``EPSG:326xx`` in the north, ``EPSG:327xx`` in the south, ``EPSG:5041`` or ``EPSG:5042`` at a pole.
    Raises:
        GeometryError: There is no position, or none on the globe.

    >>> choose_crs(np.array([[11.5, 48.1]])), choose_crs(np.array([[-70.6, -33.4]]))
    ('EPSG:32632', 'EPSG:32719')
    """
    points = np.asarray(lonlat, np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        raise GeometryError("a CRS cannot be chosen without a position; give at least one (longitude, latitude)")
    latitude = float(points[:, 1].mean())
    # The mean of directions: the mean of 179.9 and -179.9 degrees is 180, not 0.
    angle = np.radians(points[:, 0])
    longitude = math.degrees(math.atan2(float(np.sin(angle).mean()), float(np.cos(angle).mean())))
    if not -90 <= latitude <= 90:
        raise GeometryError(f"the mean latitude is {latitude:g}; latitudes are -90 to 90, and longitude comes first")
    if latitude >= 84:
        return "EPSG:5041"
    if latitude < -80:
        return "EPSG:5042"
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + _zone(longitude, latitude)}"


def unwrapped(longitudes_deg: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Longitudes by multiples of 360 degrees beside the first, so that means and medians hold across the date line.

    `wrapped` brings what comes of them back.

    >>> unwrapped([179.5, -179.5]).tolist()
    [179.5, 180.5]
    """
    values = np.asarray(longitudes_deg, np.float64)
    return values - 360.0 * np.rint((values - values[:1]) / 360.0)


def wrapped(longitude_deg: float) -> float:
    """The same longitude within -180 to 180 degrees."""
    return math.remainder(longitude_deg, 360.0)


def _zone(longitude: float, latitude: float) -> int:
    """UTM zone, 1 to 60."""
    if 56 <= latitude < 64 and 3 <= longitude < 12:
        return 32
    if 72 <= latitude < 84:
        for zone, west, east in ((31, 0, 9), (33, 9, 21), (35, 21, 33), (37, 33, 42)):
            if west <= longitude < east:
                return zone
    return int((longitude + 180) // 6) % 60 + 1


def suspicious_position(latitude_deg: float, longitude_deg: float) -> str | None:
    """What is wrong with a position, for people; None if it can be true.

    Receivers without a fix write 0, 0 ("Null Island", in the Gulf of Guinea), and nobody surveys roads there.
    """
    if not (math.isfinite(latitude_deg) and math.isfinite(longitude_deg)):
        return "its position is no number"
    if abs(latitude_deg) > 90 or abs(longitude_deg) > 180:
        return f"latitude {latitude_deg:g}, longitude {longitude_deg:g} is not on the globe"
    if abs(latitude_deg) < _NULL_ISLAND_DEG and abs(longitude_deg) < _NULL_ISLAND_DEG:
        return (
            f"its position is latitude {latitude_deg:g}, longitude {longitude_deg:g}, in the sea off Africa: the "
            "receiver had no fix, and the position is not used"
        )
    return None


def read_crs(text: str) -> pyproj.CRS:
    """A CRS from what people write: an EPSG code, ``EPSG:25832``, a PROJ string, WKT, ``WGS84 UTM 32N``.

    Raises:
        SettingsError: It is none.

    >>> read_crs("WGS84 UTM 32N").to_epsg(), read_crs("25832").to_epsg()
    (32632, 25832)
    """
    given = text.strip().strip("'\"")
    words = given.upper().replace("/", " ").split()
    try:
        if len(words) == 3 and words[:2] == ["WGS84", "UTM"] and words[2][-1] in "NS" and words[2][:-1].isdigit():
            base = 32600 if words[2][-1] == "N" else 32700
            return pyproj.CRS.from_epsg(base + int(words[2][:-1]))
        return pyproj.CRS.from_user_input(int(given) if given.isdigit() else given)
    except pyproj.exceptions.CRSError as error:
        raise SettingsError(
            f"'{text}' is no coordinate system; give an EPSG code (EPSG:25832), a PROJ string, or WGS84 UTM 32N"
        ) from error


def to_crs(lonlat: LonLat, crs: Any) -> npt.NDArray[np.float64]:
    """Longitude and latitude, shape (N, 2), to (easting, northing) in a CRS, whatever its own order of axes.

    Raises:
        GeometryError: A position has no place in this CRS, or the CRS none on the globe.
    """
    return _transformed("EPSG:4326", _key(crs), lonlat)


def to_lonlat(xy: npt.NDArray[np.float64], crs: Any) -> LonLat:
    """(Easting, northing) in a CRS, shape (N, 2), to longitude and latitude.

    Raises:
        GeometryError: A point, or the CRS, has no place on the globe.
    """
    return _transformed(_key(crs), "EPSG:4326", xy)


def transformer(source: Any, target: Any) -> pyproj.Transformer:
    """A transformer with (x, y) order on both sides, kept for the next call.

    Raises:
        SettingsError: One of the two is no CRS.
        GeometryError: There is no way from one to the other.
    """
    return _transformer(_key(source), _key(target))


def _key(crs: Any) -> str:
    """Text that names a CRS."""
    if isinstance(crs, str):
        return crs
    return str(pyproj.CRS.from_user_input(crs).to_wkt())


@lru_cache(maxsize=32)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    try:
        return pyproj.Transformer.from_crs(read_crs(source), read_crs(target), always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise GeometryError(
            f"there is no way from {source[:40]} to {target[:40]} ({error}); give a CRS that lies on the globe"
        ) from error


def _transformed(source: str, target: str, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    xy = np.asarray(points, np.float64).reshape(-1, 2)
    if not len(xy):
        return np.zeros((0, 2))
    out = np.column_stack(_transformer(source, target).transform(xy[:, 0], xy[:, 1])).astype(np.float64)
    lost = ~np.isfinite(out).all(axis=1) & np.isfinite(xy).all(axis=1)
    if lost.any():
        first = xy[int(np.flatnonzero(lost)[0])]
        raise GeometryError(
            f"({first[0]:g}, {first[1]:g}) cannot be brought from {source[:40]} to {target[:40]}; check its CRS"
        )
    return out
