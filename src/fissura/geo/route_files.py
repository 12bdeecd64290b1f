"""The lines in a map file, in the order of the file, with the CRS they are in."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

from fissura.errors import GeometryError
from fissura.geo.crs import read_crs

Line = npt.NDArray[np.float64]

_GRID_X = ("x", "easting", "east", "e", "rechtswert")
_X = ("lon", "long", "longitude", "lng", "längengrad", "laengengrad", *_GRID_X)
_Y = ("lat", "latitude", "breitengrad", "y", "northing", "north", "n", "hochwert")
_BESIDE_NAMES = re.compile(r"deg|degrees?|dd|m|met(re|er)s?|gps|utm(\d+[ns]?)?|wgs|(wgs)?84|epsg|(epsg)?\d{4,5}")
"""Words that a column's name may have beside those above: units and coordinate systems."""
_TEXT = (".csv", ".txt", ".tsv", ".xyz")
_GPX_LAYERS = ("tracks", "routes")
_FORMATS = "GeoJSON, GeoPackage, KML, GPX, Shapefile or CSV"


def read_lines(path: Path, crs: str | None) -> tuple[list[Line], Any]:
    """Lines, each of shape (N >= 2, 2), (x, y), and their CRS for pyproj.

    Args:
        path: The file.
        crs: Where the file does not say its own.
    Raises:
        GeometryError: See `fissura.geo.route.read_route`.
    """
    if not path.is_file():
        raise GeometryError(f"the route {path} does not exist; give a file: {_FORMATS}")
    if path.suffix.lower() in _TEXT:
        return _read_csv(path, crs)
    lines, named = _read_vectors(path)
    if not lines:
        raise GeometryError(
            f"{path.name} holds no line; a route is a LineString along the road, drawn in the direction of travel"
        )
    if named is None and crs is None:
        raise GeometryError(
            f"{path.name} does not say its coordinate system; give --route-crs (EPSG:25832 for example), or save it "
            "again with one (a Shapefile needs its .prj)"
        )
    return lines, named or read_crs(str(crs))


def _read_vectors(path: Path) -> tuple[list[Line], pyproj.CRS | None]:
    """Lines of the one layer that has some, and the CRS that it states."""
    import pyogrio
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError
    from pyproj.exceptions import CRSError

    found: dict[str, tuple[list[Line], pyproj.CRS | None]] = {}
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        if path.suffix.lower() == ".gpx":
            layers = [name for name in _GPX_LAYERS if name in layers]
        for name in layers:
            meta, _, geometries, _ = pyogrio.raw.read(path, layer=name, columns=[], force_2d=True)
            shapes = shapely.from_wkb(geometries) if geometries is not None else []
            lines = [line for shape in shapes if shape is not None for line in _lines(shape)]
            if lines:
                found[name] = lines, _stated_crs(meta["crs"])
            if lines and path.suffix.lower() == ".gpx":
                break  # a recorded track goes before a planned route
    except (DataSourceError, DataLayerError, shapely.errors.ShapelyError, CRSError, ValueError) as error:
        raise GeometryError(f"{path.name} cannot be read as a map ({error}); give {_FORMATS}") from error
    if len(found) > 1:
        raise GeometryError(
            f"{path.name} holds lines in several layers ({', '.join(found)}); save the route as a file of its own"
        )
    return next(iter(found.values()), ([], None))


def _stated_crs(text: str | None) -> pyproj.CRS | None:
    """None also for those that only say that nobody knows, as the srs_id -1 and 0 of a GeoPackage."""
    crs = pyproj.CRS.from_user_input(text) if text else None
    return None if crs is None or crs.is_engineering or crs.name.lower().startswith("undefined") else crs


def _lines(shape: Any) -> list[Line]:
    """The lines of a geometry, also of a collection."""
    import shapely

    if shape.geom_type in ("LineString", "LinearRing"):
        return [shapely.get_coordinates(shape)] if len(shape.coords) > 1 else []
    return [line for part in getattr(shape, "geoms", ()) for line in _lines(part)]


def _read_csv(path: Path, crs: str | None) -> tuple[list[Line], Any]:
    """One vertex a line; columns by their names, or the first two."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GeometryError(f"{path.name} cannot be read as text ({error})") from error
    try:
        rows = _rows(text)
    except csv.Error as error:
        why = f"({error}); look for a quotation mark that is not closed"
        raise GeometryError(f"{path.name} is no table {why}") from error
    columns = _find_columns(rows[0][1], path) if rows else None
    (x, named), y = columns or ((0, ""), 1)
    points = []
    for number, row in rows if columns is None else rows[1:]:
        try:
            points.append((float(row[x]), float(row[y])))
        except (ValueError, IndexError) as error:
            raise GeometryError(
                f"line {number} of {path.name} is {','.join(row)[:60]!r}; needed are two numbers, longitude and "
                "latitude or x and y, with a decimal point"
            ) from error
    if len(points) < 2:
        raise GeometryError(f"{path.name} holds {len(points)} vertices; a route needs at least two, one in each line")
    line = np.array(points)
    if crs is not None:
        return [line], read_crs(crs)
    degrees = bool((np.abs(line) <= [180.0, 90.0]).all())
    if not degrees or named in _GRID_X:
        raise GeometryError(
            f"{path.name} holds {line[0, 0]:g}, {line[0, 1]:g} and does not say its coordinate system; give "
            "--route-crs (EPSG:25832 for example), or longitude and latitude in degrees"
        )
    return [line], pyproj.CRS.from_epsg(4326)


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Number and cells of all lines but empty ones and comments; the separator is the one that splits the first."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    lines = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
    if not lines:
        return []
    separator = next((s for s in (";", "\t", ",") if s in lines[0][1]), None)
    if separator is None:
        return [(number, line.split()) for number, line in lines]
    decimal_comma = separator == ";" and "." not in text
    table = csv.reader((line for _, line in lines), delimiter=separator)
    return [
        (
            lines[table.line_num - 1][0],
            [cell.strip().replace(",", ".") if decimal_comma else cell.strip() for cell in row],
        )
        for row in table
    ]


def _find_columns(header: list[str], path: Path) -> tuple[tuple[int, str], int] | None:
    """Columns of x, with its name, and of y; None if the line is no header but the first vertex.

    Raises:
        GeometryError: It is a header, and does not name both.
    """
    names = [_plain_name(cell) for cell in header]
    x = next((names.index(name) for name in _X if name in names), None)
    y = next((names.index(name) for name in _Y if name in names), None)
    if x is not None and y is not None:
        return (x, names[x]), y
    try:
        float(header[0]), float(header[1])
    except (ValueError, IndexError):
        raise GeometryError(
            f"the first line of {path.name} is {', '.join(header)[:60]!r}; needed are the names of two columns, one of "
            f"{', '.join(_X)} and one of {', '.join(_Y)}, or two numbers, longitude and latitude"
        ) from None
    return None


def _plain_name(cell: str) -> str:
    """A column's name without units and the like: "Latitude (deg)" and "lat_wgs84" are latitudes."""
    words = re.findall(r"[^\W_]+", cell.lower())
    return " ".join(word for word in words if not _BESIDE_NAMES.fullmatch(word))
