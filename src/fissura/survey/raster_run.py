"""A raster as an input of a survey: its layers below the run's folder, its record for the report, done only once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from fissura.cli.console import ProgressLine, say
from fissura.geo.gsd import find_ground_scale
from fissura.geo.scale import GroundScale
from fissura.imaging.overlay import plan_overlay_factor
from fissura.imaging.write import write_jpeg
from fissura.infer.segmenter import Segmenter
from fissura.measure.model import Points
from fissura.measure.rules import RuleSet
from fissura.measure_frame import COARSE_GSD_MM, sample_widths
from fissura.report.records import MapPicture, SurveyArea, SurveyCrack, SurveyFrame, SurveyGround
from fissura.report.tables import area_fields, crack_fields
from fissura.survey.ground_record import GroundRecord, add_pictures
from fissura.survey.raster_stage import LayerFiles, RasterSurvey, remove_work, survey_raster
from fissura.survey.raster_windows import RasterWindows, crop_window, open_windows
from fissura.survey.rating import RatingBasis
from fissura.survey.request import SurveyRequest
from fissura.survey.run_folder import LOOKED_AT_AGAIN, RunFolder, stamp_file
from fissura.types import RgbImage

_MAP_PX = 3000


def survey_one_raster(
    request: SurveyRequest, path: Path, name: str, source: str, folder: RunFolder, segmenter: Segmenter,
    rules: RuleSet | None,
) -> tuple[SurveyFrame, GroundRecord]:  # fmt: skip
    """Survey a raster, or take what an earlier run found.

    Args:
        request: Options.
        path: The file.
        name: In the run.
        source: In the tables.
        folder: Of the run.
        segmenter: The network.
        rules: Severities.
    Raises:
        FissuraError: The raster cannot be read, or a result cannot be written.
    """
    record_path = folder.work("rasters", f"{name}.json")
    stamp = [str(path), *stamp_file(path)]
    given = {"least_confidence": request.least_confidence}
    raw = folder.read_record(record_path, stamp, given=given, began=("rules", "least_confidence"))
    if raw is None:
        if folder.has_other_record(record_path, stamp):
            say(f"{source}: {LOOKED_AT_AGAIN}", quiet=request.quiet)
        start = time.perf_counter()
        work = folder.work("rasters", f"{name}.parts")
        files = LayerFiles(*(folder.out / kind / f"{name}.tif" for kind in ("masks", "probability", "overlays")))
        with ProgressLine(f"raster {path.name}", 100, quiet=request.quiet, unit="%") as line:
            found = survey_raster(
                path, work, segmenter, network_scale=None, gsd_mm=request.gsd_mm, files=files,
                least_confidence=request.least_confidence,
                progress=lambda done, total: line.advance("", int(100 * done / total) - line.count),
            )  # fmt: skip
        model = f"{segmenter.card.name} {segmenter.card.version}"
        record = _record(found, name, source, folder.out, model)
        raw = {"frame": _describe(found), "windows": [_window(crack.points_rc) for crack in found.measurement.cracks]}
        _add_pictures(record, raw, path, name, request, folder, rules)
        record.seconds = time.perf_counter() - start
        raw["record"] = record.to_plain()
        folder.commit(record_path, stamp, raw, given=given)
        remove_work(work)
    record = GroundRecord.from_plain(raw["record"])
    if record.bases is not None and _add_pictures(record, raw, path, name, request, folder, rules):
        folder.commit(record_path, stamp, raw | {"record": record.to_plain()}, given=given)
    record = record.rated(rules)
    folder.log(f"raster {name} {stamp}", {
        "input": str(path), "name": name, "status": "done", "slices": raw["frame"]["slices"],
        "seconds": round(record.seconds, 2),
    })  # fmt: skip
    return _frame(raw["frame"], path, name, source, record), record


def _record(found: RasterSurvey, name: str, source: str, out: Path, model: str) -> GroundRecord:
    place, sigma = found.placement, None if found.placement is None else found.placement.sigma_m
    record = GroundRecord(widths=sample_widths(found.measurement), notes=found.notes)
    record.bases = [RatingBasis.of(crack) for crack in found.measurement.cracks]
    for crack in found.measurement.cracks:
        fields = crack_fields(crack, source_frame=source, model=model, size_hw=found.size_hw) | {"extent": crack.extent}
        lonlat = None if place is None else place.to_lonlat(crack.points_rc)
        record.cracks.append(SurveyCrack(fields, lonlat, sigma))
    for area in found.measurement.areas:
        lonlat = None if place is None else place.to_lonlat(area.outline_rc)
        fields = area_fields(area, source_frame=source, model=model, size_hw=found.size_hw)
        record.areas.append(SurveyArea(fields, lonlat, sigma))
    if found.outline is not None or found.inspected_m2 is not None:
        coarse = (_gsd_mm(found) or 0.0) > COARSE_GSD_MM
        record.ground.append(SurveyGround("below_gsd" if coarse else "inspected", found.outline, found.inspected_m2))
    record.mosaic = _write_map(found, name, out)
    return record


def _window(points_rc: Points) -> list[list[float]]:
    """Of a crack what `crop_window` looks at: its first row and column, its middle point, its last row and column."""
    corners = points_rc.min(axis=0), points_rc[len(points_rc) // 2], points_rc.max(axis=0)
    return [[round(float(row), 2), round(float(column), 2)] for row, column in corners]


def _add_pictures(
    record: GroundRecord, raw: Mapping[str, Any], path: Path, name: str, request: SurveyRequest, folder: RunFolder,
    rules: RuleSet | None,
) -> bool:  # fmt: skip
    """Pictures of the worst cracks that have none, cut from the raster; see `add_pictures`."""
    numbers = [int(crack.fields["id"]) for crack in record.cracks]  # type: ignore[arg-type]
    windows = dict(zip(numbers, raw["windows"], strict=True))
    with ExitStack() as stack:
        opened: list[tuple[RasterWindows, GroundScale | None]] = []

        def cut(crack: SurveyCrack) -> tuple[RgbImage, float | None]:
            if not opened:  # once for all: opening a large raster means looking for its collar
                scale = find_ground_scale(path, gsd_mm=request.gsd_mm).scale
                opened.append((stack.enter_context(open_windows(path)), scale))
            raster, scale = opened[0]
            return crop_window(raster, np.array(windows[int(crack.fields["id"])]), scale)  # type: ignore[arg-type]

        return add_pictures(record, folder.out, name, cut, rules)


def _gsd_mm(found: RasterSurvey) -> float | None:
    if found.scale is None:
        return None
    return float(found.scale.gsd_mm(np.array([[(side - 1) / 2 for side in found.size_hw]]))[0])


def _write_map(found: RasterSurvey, name: str, out: Path) -> MapPicture | None:
    """The raster with its cracks, small, for the report's map; from the overlay's overviews."""
    import rasterio

    if found.corners_lonlat is None:
        return None
    height, width = found.size_hw
    factor = max(max(height, width) / _MAP_PX, plan_overlay_factor(height, width), 1.0)
    shape = max(round(height / factor), 1), max(round(width / factor), 1)
    with rasterio.open(found.files.overlay) as overlay:
        rgb = np.moveaxis(overlay.read((1, 2, 3), out_shape=(3, *shape)), 0, 2)
    path = f"mosaics/{name}.jpg"
    write_jpeg(out / path, np.ascontiguousarray(rgb), quality=85)
    return MapPicture(path, found.corners_lonlat)


def _describe(found: RasterSurvey) -> dict[str, Any]:
    return {
        "size_hw": list(found.size_hw), "gsd_mm": _gsd_mm(found), "slices": found.slices,
        "footprint": None if found.corners_lonlat is None else np.round(found.corners_lonlat, 10).tolist(),
        "sigma_m": None if found.placement is None else found.placement.sigma_m,
    }  # fmt: skip


def _frame(raw: dict[str, Any], path: Path, name: str, source: str, record: GroundRecord) -> SurveyFrame:
    outline = raw["footprint"]
    return SurveyFrame(
        source, str(path), kind="raster", size_hw=tuple(raw["size_hw"]), gsd_mm=raw["gsd_mm"], slices=raw["slices"],
        footprint_lonlat=None if outline is None else np.array(outline), position_sigma_m=raw["sigma_m"],
        seconds=round(record.seconds, 2), overlay=f"overlays/{name}.tif", mask=f"masks/{name}.tif", notes=record.notes,
    )  # fmt: skip
