"""A survey as a GeoPackage that opens styled in QGIS: cracks, areas, frames, sections, inspected ground, tracks."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from fissura.errors import OutputError
from fissura.imaging.write import as_output_error, temporary_path
from fissura.report.layers import (
    Column,
    Layer,
    area_layer,
    as_plain_time,
    crack_layer,
    frame_layer,
    ground_layer,
    section_layer,
    section_row_layer,
)
from fissura.report.places import Geometry, Projection
from fissura.report.qml import LayerStyle, plan_styles
from fissura.report.records import LonLat, SurveyResult
from fissura.report.tables import speakable

_NO_TIME = datetime(1970, 1, 1)
_DTYPES: dict[str, Any] = {"integer": np.int64, "real": np.float64, "boolean": np.bool_, "time": "datetime64[ms]"}
_EMPTY = {"text": "", "integer": 0, "real": np.nan, "boolean": False, "time": np.datetime64("NaT")}
_FULL = ("disk is full", "no space")
_FULL_BYTES = 4_000_000
_STYLES_TABLE = """CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30),
ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"""


def write_geopackage(path: Path, result: SurveyResult) -> None:
    """Write all layers and their QGIS styles.

    Layers ``cracks`` (LineString), ``crack_polygons``, ``frames``, ``inspected`` (MultiPolygon), ``sections``,
    ``tracks`` (LineString), and the tables ``section_rows`` and ``about``. Each has its columns even where it has no
    row. What has no place, or no valid one, keeps its row without a geometry. If nothing in the survey has a place
    (`SurveyResult.crs` is None), all of them are tables without geometry and there are no styles.

    Args:
        path: Usually ``cracks.gpkg``; replaced when the new file is whole.
        result: The same result gives the same rows, and the same bytes where ``created_at`` is None.
    Raises:
        OutputError: The file cannot be written.
    """
    created = as_plain_time(result.created_at) or _NO_TIME
    projection = None if result.crs is None else Projection(result.crs)
    with _replacing(path) as temporary:
        with _gdal_time(created):
            for number, (layer, kind, geometry) in enumerate(_plan(result, projection)):
                _write_layer(temporary, layer, kind, geometry, result.crs, append=number > 0)
        if projection is not None:
            _write_styles(temporary, plan_styles(result), created)


def _plan(
    result: SurveyResult, projection: Projection | None
) -> Iterator[tuple[Layer, str | None, list[Geometry] | None]]:
    """Each layer with the type of its geometry and the geometries themselves."""
    line: Callable[[LonLat | None], Geometry]
    line, area = (projection.line, projection.area) if projection else (_nowhere, _nowhere)
    tracks = _track_layer(result, projection)
    made = (
        (crack_layer(result), "LineString", lambda: [line(c.lonlat) for c in result.cracks]),
        (area_layer(result), "MultiPolygon", lambda: [area(a.lonlat) for a in result.areas]),
        (frame_layer(result), "MultiPolygon", lambda: [area(f.footprint_lonlat) for f in result.frames]),
        (section_layer(result), "LineString", lambda: [line(s.lonlat) for s in result.sections]),
        (ground_layer(result), "MultiPolygon",
         lambda: [None if projection is None else projection.shape(g.outline) for g in result.ground]),
        (tracks, "LineString", lambda: [line(lonlat) for _, _, lonlat in tracks.items]),
    )  # fmt: skip
    for layer, kind, geometry in made:
        yield (layer, kind, geometry()) if projection is not None else (layer, None, None)
    yield section_row_layer(result), None, None
    yield _about_layer(result), None, None


def _nowhere(lonlat: LonLat | None) -> Geometry:
    return None


def _track_layer(result: SurveyResult, projection: Projection | None) -> Layer:
    items = [(name, "flight", lonlat) for name, lonlat in result.tracks]
    items += [] if result.route is None else [("route", "route", result.route)]
    columns = tuple(Column(*pair) for pair in
                    (("name", "text"), ("kind", "text"), ("points", "integer"), ("length_m", "real")))  # fmt: skip

    def as_fields(item: tuple[str, str, LonLat]) -> dict[str, Any]:
        shape = None if projection is None else projection.line(item[2])
        length = None if shape is None else round(float(shape.length), 2)
        return {"name": item[0], "kind": item[1], "points": len(item[2]), "length_m": length}

    return Layer("tracks", columns, items, as_fields)


def _about_layer(result: SurveyResult) -> Layer:
    """What must be known before the numbers are used, so that it travels with them."""
    items = [("title", result.title), ("complete", "yes" if result.complete else "no: the run did not see all inputs")]
    items += [("crs", result.crs or "none: nothing in this survey has a place")]
    items += [("model", f"{result.model.name} {result.model.version}")] if result.model else []
    items += [("standard", result.standard)] if result.standard else []
    items += [("limit", text) for text in result.limits] + [("note", text) for text in result.notes]
    columns = (Column("item", "text"), Column("text", "text"))
    return Layer("about", columns, items, lambda item: {"item": item[0], "text": item[1]})


def _write_layer(
    path: Path, layer: Layer, kind: str | None, geometry: Sequence[Geometry] | None, crs: str | None, *, append: bool
) -> None:
    import shapely
    from pyogrio.raw import write

    values: list[list[Any]] = [[] for _ in layer.columns]
    for row in layer.rows():
        for into, value in zip(values, row, strict=True):
            into.append(value)
    masks, arrays = [], []
    for column, items in zip(layer.columns, values, strict=True):
        missing = np.array([value is None for value in items], np.bool_)
        filled = [_EMPTY[column.kind] if value is None else value for value in items]
        arrays.append(_array(filled, column))
        masks.append(missing if missing.any() else None)
    wkb = None if geometry is None else np.array(shapely.to_wkb(np.array(geometry, object)), object).reshape(-1)
    with warnings.catch_warnings():
        # The name under which the file is made ends as all temporary files of a run do.
        warnings.filterwarnings("ignore", ".*(filename extension should|non conformant file ext)", RuntimeWarning)
        write(
            str(path), wkb, arrays, [column.name for column in layer.columns], field_mask=masks, layer=layer.name,
            driver="GPKG", geometry_type=kind, crs=None if kind is None else crs, append=append,
            layer_options={"SPATIAL_INDEX": "YES"} if kind else {},
        )  # fmt: skip


def _array(values: list[Any], column: Column) -> Any:
    if column.kind != "text":
        return np.array(values, _DTYPES[column.kind])
    out = np.empty(len(values), object)  # np.array would make a fixed-width text of it
    out[:] = [_speakable(value) for value in values]
    return out


def _speakable(text: str) -> str:
    return speakable(text).replace("\0", "")  # NUL ends a string


def _write_styles(path: Path, styles: Sequence[LayerStyle], created: datetime) -> None:
    when = f"{created:%Y-%m-%dT%H:%M:%S}.000Z"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(_STYLES_TABLE)
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?, 0)", (when,),
        )  # fmt: skip
        database.executemany(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
            "styleQML, styleSLD, useAsDefault, description, owner, ui, update_time) "
            "VALUES ('', '', ?, 'geom', ?, ?, '', 1, ?, '', NULL, ?)",
            [(style.layer, style.name, style.qml, style.description, when) for style in styles],
        )


@contextmanager
def _gdal_time(when: datetime) -> Iterator[None]:
    """The time that GDAL writes as that of the last change; without it two runs could not be compared."""
    import pyogrio

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": f"{when:%Y-%m-%dT%H:%M:%S}.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place when the block ends; errors of GDAL and SQLite as our own."""
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

    temporary = temporary_path(path)
    journals = [temporary.with_name(temporary.name + end) for end in ("-journal", "-wal", "-shm")]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()  # the reasons of the system are better than GDAL's
        temporary.unlink()
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        # QGIS leaves these beside a file it has open. They belong to the old one; SQLite would play them into the new.
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    except OutputError:
        raise
    except OSError as error:
        raise as_output_error(path, error) from error
    except (DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError, sqlite3.Error) as error:
        raise _as_output_error(path, error) from error
    finally:
        for left in (temporary, *journals):
            with suppress(OSError):  # the reason is in the error that is on its way
                left.unlink(missing_ok=True)


def _as_output_error(path: Path, error: Exception) -> OutputError:
    # Of a full disk SQLite often says no more than that a command failed.
    free = shutil.disk_usage(path.parent).free
    if free < _FULL_BYTES or any(sign in str(error).lower() for sign in _FULL):
        return as_output_error(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    return OutputError(f"cannot write {path}: {error}; check that the disk is sound, or choose another --out")
