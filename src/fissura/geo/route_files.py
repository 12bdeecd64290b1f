"""The lines in a map file, in the order of the file, with the CRS they are in."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

from fissura.errors import GeometryError
from fissura.geo.crs import read_crs

Line = npt.NDArray[np.float64]

_X = ("lon", "long", "longitude", "lng", "x", "easting", "east", "e", "rechtswert")
_Y = ("lat", "latitude", "y", "northing", "north", "n", "hochwert")
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
    return lines, read_crs(crs) if named is None and crs is not None else pyproj.CRS.from_user_input(named)


def _read_vectors(path: Path) -> tuple[list[Line], str | None]:
    """Lines of the one layer that has some."""
    import pyogrio
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError

    found: dict[str, tuple[list[Line], str | None]] = {}
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        if path.suffix.lower() == ".gpx":
            layers = [name for name in _GPX_LAYERS if name in layers]
        for name in layers:
            meta, _, geometries, _ = pyogrio.raw.read(path, layer=name, columns=[], force_2d=True)
            shapes = shapely.from_wkb(geometries) if geometries is not None else []
            lines = [line for shape in shapes if shape is not None for line in _lines(shape)]
            if lines:
                found[name] = lines, meta["crs"]
            if lines and path.suffix.lower() == ".gpx":
                break  # a recorded track goes before a planned route
    except (DataSourceError, DataLayerError, shapely.errors.ShapelyError, ValueError) as error:
        raise GeometryError(f"{path.name} cannot be read as a map ({error}); give {_FORMATS}") from error
    if len(found) > 1:
        raise GeometryError(
            f"{path.name} holds lines in several layers ({', '.join(found)}); save the route as a file of its own"
        )
    return next(iter(found.values()), ([], None))


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
    rows = _rows(text)
    columns, named = _find_columns(rows[0]) if rows else (None, "")
    if columns is not None:
        rows = rows[1:]
    x, y = columns or (0, 1)
    points = []
    for number, row in enumerate(rows, start=1 if columns is None else 2):
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
    if not degrees or named in ("x", "easting", "east", "e", "rechtswert"):
        raise GeometryError(
            f"{path.name} holds {line[0, 0]:g}, {line[0, 1]:g} and does not say its coordinate system; give "
            "--route-crs (EPSG:25832 for example), or longitude and latitude in degrees"
        )
    return [line], pyproj.CRS.from_epsg(4326)


def _rows(text: str) -> list[list[str]]:
    """Cells of all lines that are not empty; the separator is the one that splits the first line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return []
    separator = next((s for s in (";", "\t", ",") if s in lines[0]), None)
    if separator is None:
        return [line.split() for line in lines]
    decimal_comma = separator == ";" and "." not in text
    return [
        [cell.strip().replace(",", ".") if decimal_comma else cell.strip() for cell in row]
        for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
    ]


def _find_columns(header: list[str]) -> tuple[tuple[int, int] | None, str]:
    """Columns of x and y and the name of x; None if the line is no header."""
    names = [cell.strip().lower() for cell in header]
    x = next((names.index(name) for name in _X if name in names), None)
    y = next((names.index(name) for name in _Y if name in names), None)
    if x is not None and y is not None:
        return (x, y), names[x]
    try:
        float(names[0]), float(names[1])
    except (ValueError, IndexError):
        return (0, 1), names[0] if names else ""
    return None, ""
