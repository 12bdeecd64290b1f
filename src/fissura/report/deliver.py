"""All files of a survey but the page: GeoPackage, GeoJSON, tables, workbook, drawing, histogram, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from fissura.errors import FissuraError, OutputError
from fissura.imaging.write import as_output_error, is_full
from fissura.report.dxf import write_dxf
from fissura.report.geojson import GeoFeature, write_cracks_geojson
from fissura.report.geopackage import write_geopackage
from fissura.report.histogram import write_width_histogram
from fissura.report.labels import write_labels
from fissura.report.layers import area_layer, crack_layer, section_row_layer, whole_crack_layer
from fissura.report.records import LonLat, SurveyResult
from fissura.report.tables import write_areas_csv, write_cracks_csv, write_plain_csv, write_summary_csv
from fissura.report.workbook import write_workbook

_HISTOGRAMS = {"mm": "widths.png", "px": "widths_px.png"}

_LEAST_DEG = 1e-10
"""GeoJSON is written with 11 digits at most; 0.01 mm on the ground."""

Writer = Callable[[Path, SurveyResult], bool]
"""Writes to a path; False if the survey has nothing for it, and then a file of a run before is removed."""


def write_deliverables(result: SurveyResult) -> list[Path]:
    """Write everything into the run's folder, and remove what a run before left that is no longer true.

    ``cracks.gpkg``, ``cracks.geojson`` and ``cracks.dxf`` (both only if something has a place), ``cracks.csv``,
    ``whole_cracks.csv``, ``areas.csv`` (only if there are areas), ``sections.csv``, ``cracks.xlsx``, ``widths.png``
    (``widths_px.png`` for cracks without a scale), ``labels``. One that fails does not stop the others.

    Args:
        result: A survey; its `folder` is where the files go.
    Returns:
        What was written, in this order; of ``labels`` the folder.
    Raises:
        OutputError: After all others were written, naming each file that could not be; at once if the disk is full or
            read-only. ``errno`` is that of the first.
    """
    written: list[Path] = []
    failed: list[FissuraError] = []
    for name, write in _plan():
        path = result.folder / name
        try:
            if write(path, result):
                written.append(path)
            else:
                _remove(path)
        except FissuraError as error:
            if isinstance(error, OutputError) and is_full(error):
                raise
            failed.append(error)
    if failed:
        raise _together(failed, len(written))
    return written


def _plan() -> Iterator[tuple[str, Writer]]:
    yield "cracks.gpkg", _always(write_geopackage)
    yield "cracks.geojson", _write_geojson
    yield "cracks.csv", _write_cracks
    yield "whole_cracks.csv", _write_whole_cracks
    yield "areas.csv", _write_areas
    yield "sections.csv", _write_sections
    yield "cracks.xlsx", _always(write_workbook)
    yield "cracks.dxf", write_dxf
    yield _HISTOGRAMS["mm"], lambda path, result: _write_widths(path, result, "mm")
    yield _HISTOGRAMS["px"], lambda path, result: _write_widths(path, result, "px")
    yield "labels", _write_labels


def _always(write: Callable[[Path, SurveyResult], object]) -> Writer:
    def whole(path: Path, result: SurveyResult) -> bool:
        write(path, result)
        return True

    return whole


def _write_geojson(path: Path, result: SurveyResult) -> bool:
    if result.crs is None:
        return False
    write_cracks_geojson(path, _features(result))
    return True


def _features(result: SurveyResult) -> Iterator[GeoFeature]:
    """What has a place; the fields are those of the GeoPackage."""
    lines, areas = crack_layer(result), area_layer(result)
    for crack in result.cracks:
        if crack.lonlat is not None and _has_extent(crack.lonlat, "line"):
            properties = {k: v for k, v in lines.as_fields(crack).items() if k != "position_sigma_m"}
            yield GeoFeature("line", crack.lonlat, properties, crack.position_sigma_m)
    for area in result.areas:
        if area.lonlat is not None and _has_extent(area.lonlat, "area"):
            properties = {k: v for k, v in areas.as_fields(area).items() if k != "position_sigma_m"}
            yield GeoFeature("area", area.lonlat, properties, area.position_sigma_m)


def _has_extent(lonlat: LonLat, kind: Literal["line", "area"]) -> bool:
    """Whether GeoJSON can hold it; the others keep their rows in the GeoPackage and in the tables."""
    from shapely.geometry import Polygon

    if not np.isfinite(lonlat).all() or len(lonlat) < (2 if kind == "line" else 3):
        return False
    spread_deg = float(np.ptp(lonlat, axis=0).max())
    return spread_deg > _LEAST_DEG and (kind == "line" or float(Polygon(lonlat).convex_hull.area) > 0)


def _write_cracks(path: Path, result: SurveyResult) -> bool:
    layer = crack_layer(result)
    write_cracks_csv(path, map(layer.as_fields, layer.items))
    return True


def _write_whole_cracks(path: Path, result: SurveyResult) -> bool:
    layer = whole_crack_layer(result)
    write_plain_csv(path, map(layer.as_fields, layer.items), [column.name for column in layer.columns])
    return True


def _write_areas(path: Path, result: SurveyResult) -> bool:
    layer = area_layer(result)
    if layer.items:
        write_areas_csv(path, map(layer.as_fields, layer.items))
    return bool(layer.items)


def _write_sections(path: Path, result: SurveyResult) -> bool:
    layer = section_row_layer(result)
    names = [column.name for column in layer.columns]
    write_summary_csv(path, (dict(zip(names, row, strict=True)) for row in layer.rows()), columns=names)
    return True


def _write_widths(path: Path, result: SurveyResult, unit: Literal["mm", "px"]) -> bool:
    """One picture for each unit: widths in millimetres and in pixels have no common axis."""
    samples = [found for found in result.widths if found.unit == unit and len(found.widths)]
    if not samples:
        return False  # a picture that says "no cracks" would say it of ground that was not seen, too
    write_width_histogram(
        path, [w for s in samples for w in s.widths], [v for s in samples for v in s.lengths], unit=unit,
        thresholds=result.thresholds_mm if unit == "mm" else None,
        below_gsd=[b for s in samples for b in s.below_gsd],
    )  # fmt: skip
    return True


def _write_labels(path: Path, result: SurveyResult) -> bool:
    """Pictures that people would miss in them are named in the report."""
    summary = write_labels(path, result)
    for texts, what in (
        (summary.left_out, "not in labels"), (summary.kept, "labels corrected by hand, left as they are"),
    ):  # fmt: skip
        if texts:
            more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
            result.notes += (f"{len(texts)} {what}: {'; '.join(texts[:3])}{more}",)
    return True


def _remove(path: Path) -> None:
    """Remove the file of a run before, which would now be wrong."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise as_output_error(path, error) from error


def _together(failed: list[FissuraError], written: int) -> OutputError:
    if len(failed) == 1 and isinstance(failed[0], OutputError):
        return failed[0]
    text = "; ".join(str(error) for error in failed)
    error = OutputError(f"{len(failed)} files could not be written ({written} others were): {text}")
    error.errno = next((e.errno for e in failed if isinstance(e, OutputError)), None)
    return error
