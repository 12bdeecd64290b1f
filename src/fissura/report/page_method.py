"""What `report.html` says on completeness, method, model, settings and the other files of the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fissura.report.page_numbers import as_float, count, measure, number
from fissura.report.records import GROUND_STATES, SurveyFrame, SurveyResult

_FILES = {
    "cracks.gpkg": "GeoPackage for QGIS and ArcGIS: cracks, alligator areas, frames, ground, sections",
    "cracks.geojson": "cracks and areas as GeoJSON, longitude and latitude",
    "cracks.csv": "all cracks, one row a branch", "whole_cracks.csv": "all cracks, one row a crack",
    "areas.csv": "alligator areas", "crack_areas.csv": "alligator areas", "frames.csv": "all frames",
    "summary.csv": "sums by class, severity and section", "sections.csv": "sums by section",
    "cracks.xlsx": "the tables as an Excel workbook", "cracks.dxf": "drawing for CAD, in metres",
    "cracks.kml": "for Google Earth", "cracks.kmz": "for Google Earth",
    "widths.png": "histogram of widths as a picture", "widths_px.png": "the same for cracks without a scale",
    "settings.yaml": "the settings; the same file repeats the run", "summary.json": "the sums, for programs",
    "manifest.jsonl": "one line for each frame: checksum, state, times, errors",
}  # fmt: skip
_CONSEQUENCES = {
    "below_gsd": "Only wide cracks there are in this report.",
    "too_blurred": "Cracks there are not in this report.", "not_seen": "Cracks there are not in this report.",
}  # fmt: skip
_FOLDERS = {
    "masks": "crack masks", "overlays": "frames with their cracks drawn in", "probability": "crack probabilities",
    "pictures": "pictures of the worst cracks", "mosaics": "pictures of the ground", "annotated": "videos with cracks",
    "labels": "labels for annotation tools",
}  # fmt: skip


@dataclass(eq=False)
class Completeness:
    """What an engineer must know before believing the sums.

    Attributes:
        headline: One sentence; starts with what was and was not done.
        gaps: What is missing; empty if nothing is known to be.
        cautions: What is there and has to be read with care.
        verdict: On cracks, never more than was looked at.
    """

    headline: str
    verdict: str
    gaps: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)


def judge_completeness(result: SurveyResult) -> Completeness:
    """Gather what failed, what was not seen and what the figures depend on."""
    frames = result.frames
    failed = [f for f in frames if f.status == "failed"]
    done = len(frames) - len(failed)
    gaps = []
    if failed:
        names = ", ".join(f.name for f in failed[:3]) + (" and others" if len(failed) > 3 else "")
        gaps.append(f"{number(len(failed))} of {count(len(frames), 'frame')} could not be used: {names}.")
    if result.stopped or not (result.complete or failed):
        gaps.append("The run was stopped or an input ended early: what follows covers only what was done by then.")
    for ground in result.ground:
        if ground.state != "inspected" and (ground.area_m2 is None or ground.area_m2 > 0):
            size = "Ground of unknown size" if ground.area_m2 is None else measure(ground.area_m2, "m²")
            gaps.append(f"{size}: {GROUND_STATES[ground.state]}. {_CONSEQUENCES[ground.state]}")
    if not done:
        headline = "Nothing was inspected." if not frames else "None of the frames could be inspected."
    elif gaps:
        headline = "This survey is not complete."
    else:
        rest = "no gap is known" if result.ground else "how much ground they show is not known"
        headline = f"{f'All {number(done)} frames were' if done > 1 else 'The one frame was'} inspected; {rest}."
    return Completeness(headline, _verdict(result, done), gaps, list(_cautions(result, done)))


def _verdict(result: SurveyResult, done: int) -> str:
    area = inspected_area_m2(result)
    where = f"on the {measure(area, 'm²')} that were inspected" if area else f"in the {count(done, 'frame')} inspected"
    if not done:
        return "Nothing can be said about cracks."
    if not result.cracks and not result.areas:
        return f"No cracks found {where}."
    cracks = len({c.fields.get("crack_id") for c in result.cracks})
    fields = f" and {count(len(result.areas), 'alligator area')}" if result.areas else ""
    return f"{count(cracks, 'crack')}{fields} found {where}. Nothing is said of any other ground."


def _cautions(result: SurveyResult, done: int) -> Iterable[str]:
    unscaled = sum(as_float(c.fields.get("length_px")) is not None for c in result.cracks)
    if unscaled:
        yield f"{count(unscaled, 'branch', 'branches')} without a scale: lengths and widths in pixels, no severity."
    fine = sum(bool(c.fields.get("below_gsd")) for c in result.cracks)
    if fine:
        whole = count(len(result.cracks), "branch", "branches")
        yield f"{number(fine)} of {whole} are finer than the pixels can show; widths there are estimates."
    used = [f for f in result.frames if f.status == "done"]
    placed = any(f.footprint_lonlat is not None for f in used)
    lost = sum(f.footprint_lonlat is None for f in used)
    if placed and lost:
        yield f"{number(lost)} of {count(done, 'frame')} have no place and are not on the map."
    gsd = sorted(f.gsd_mm for f in used if f.gsd_mm is not None)
    if gsd and result.model is not None:
        middle, (low, high) = gsd[len(gsd) // 2], result.model.gsd_mm
        if middle > high or middle < low:
            yield (
                f"The ground size of a pixel is {measure(middle, 'mm')}, the model was made for {low:g} to "
                f"{high:g} mm. "
                f"{'Fine cracks may be missed.' if middle > high else 'False alarms are likelier.'}"
            )


def inspected_area_m2(result: SurveyResult) -> float | None:
    """Ground that was looked at; None if not known."""
    areas = [g.area_m2 for g in result.ground if g.state == "inspected" and g.area_m2 is not None]
    return sum(areas) if areas else None


def why_no_map(result: SurveyResult) -> str:
    """Why nothing has a place, and what would help."""
    if not result.frames:
        return "There is no map because there are no frames."
    if all(f.status == "failed" for f in result.frames):
        return "There is no map because no frame could be read."
    return (
        "There is no map because nothing in this survey has a place on the earth. Photos get one from the position "
        "that the camera writes into them (EXIF or DJI XMP), videos from telemetry beside them (an .SRT or .csv of the "
        "same flight), rasters from their georeference (GeoTIFF). Messengers and some copying programs remove such "
        "data: survey the original files."
    )


def describe_settings(settings: dict[str, Any]) -> str:
    """As YAML, in the given order."""
    import yaml

    if not settings:
        return ""
    plain = {str(k): _plain(v) for k, v in settings.items()}
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)).rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def list_files(folder: Path, report: Path) -> list[tuple[str, str, str]]:
    """Address, name and meaning of what else is in the run's folder; sub-folders end in a slash."""
    if not folder.is_dir():
        return []
    out = []
    for path in sorted(folder.iterdir()):
        if path.name in _FOLDERS and path.is_dir():
            out.append((quote(path.name) + "/", path.name + "/", _FOLDERS[path.name]))
        elif path.name in _FILES and path.is_file() and path != report:
            out.append((quote(path.name), path.name, _FILES[path.name]))
    order = [*_FILES, *(f"{name}/" for name in _FOLDERS)]
    return sorted(out, key=lambda item: order.index(item[1]))


def read_seconds(seconds: dict[str, float]) -> str:
    """Time by stage in a sentence; empty if nothing was timed."""
    return ", ".join(f"{stage} {measure(value, 's')}" for stage, value in seconds.items())


def gsd_range(frames: Iterable[SurveyFrame]) -> str:
    """``12 mm`` or ``8.1 to 12 mm``; empty without a scale."""
    known = sorted(f.gsd_mm for f in frames if f.gsd_mm is not None)
    if not known:
        return ""
    low, high = measure(known[0], "mm"), measure(known[-1], "mm")
    return low if low == high else f"{low.removesuffix('mm').strip()} to {high}"
