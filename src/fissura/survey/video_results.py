"""What a surveyed flight leaves behind: tables, places on the map, the log of looks, the summary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fissura import __version__
from fissura.geo.telemetry import Telemetry
from fissura.imaging.write import as_output_error, write_bytes
from fissura.report.geojson import GeoFeature, write_cracks_geojson
from fissura.report.tables import Fields, area_fields, crack_fields, write_areas_csv, write_cracks_csv
from fissura.spec import ModelCard
from fissura.survey.flight import FlightResult, LookedFrame
from fissura.survey.merged import MergedGround


@dataclass(frozen=True)
class Origin:
    """Where results come from.

    Attributes:
        source: The video, as given.
        card: The network's.
        telemetry: None if there is none.
    """

    source: str
    card: ModelCard
    telemetry: Telemetry | None

    @property
    def model(self) -> str:
        """Name and version of the network."""
        return f"{self.card.name} {self.card.version}"

    def captured_at(self, time_s: float) -> datetime | None:
        """Clock time of a moment of the video, if telemetry tells."""
        return None if self.telemetry is None else self.telemetry.at(time_s).captured_at


def write_tables(folder: Path, origin: Origin, result: FlightResult, grounds: Sequence[MergedGround]) -> None:
    """Write ``cracks.csv``, ``areas.csv`` and, where positions are known, ``cracks.geojson``."""
    rows: list[Fields] = []
    areas: list[Fields] = []
    features: list[GeoFeature] = []
    name = Path(origin.source).name
    crack_base = 0
    for ground in grounds:
        row_base, area_base, last = len(rows), len(areas), 0
        for crack, source in zip(ground.measurement.cracks, ground.sources, strict=True):
            looked = result.looked[source]
            captured = origin.captured_at(looked.time_s)
            row = crack_fields(crack, source_frame=f"{name}#{looked.index}", captured_at=captured, model=origin.model)
            row |= {"id": crack.id + row_base, "crack_id": crack.crack_id + crack_base, "extent": crack.extent}
            last = max(last, crack.crack_id)
            rows.append(row)
            features += _feature("line", crack.points_rc, row, ground)
        for area in ground.measurement.areas:
            row = area_fields(area, source_frame=name, model=origin.model) | {"id": area.id + area_base}
            areas.append(row)
            features += _feature("area", area.outline_rc, row, ground)
        crack_base += last
    write_cracks_csv(folder / "cracks.csv", rows)
    write_areas_csv(folder / "areas.csv", areas)
    if any(ground.place.placement is not None for ground in grounds):
        write_cracks_geojson(folder / "cracks.geojson", features)


def _feature(
    kind: Literal["line", "area"], points_rc: np.ndarray, row: Fields, ground: MergedGround
) -> list[GeoFeature]:
    placement = ground.place.placement
    if placement is None:
        return []
    return [GeoFeature(kind, placement.to_lonlat(points_rc), row, placement.sigma_m)]


def log_look(path: Path, source: str, looked: LookedFrame) -> None:
    """Append a line to ``manifest.jsonl``.

    Raises:
        OutputError: It cannot be written.
    """
    look = looked.look
    line = {
        "source": source, "frame": looked.index, "time_s": round(looked.time_s, 4), "chart": looked.chart,
        "pose": [round(float(v), 7) for v in looked.pose.vector()], "sharpness": round(looked.sharpness, 3),
        "slices": look.slices, "road_found": look.road_found, "road_share": round(look.road_share, 4),
        "direction_deg": look.direction_deg, "new_ground_px": look.new_px, "seconds": round(looked.seconds, 4),
        "status": "done",
    }  # fmt: skip
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise as_output_error(path, error) from error


def write_summary(
    path: Path, origin: Origin, result: FlightResult, grounds: Sequence[MergedGround], *, complete: bool,
    seen_px: int, notes: Sequence[str],
) -> None:  # fmt: skip
    """Write ``summary.json``."""
    lengths: list[dict[str, Any]] = [
        {
            "chart": g.chart, "unit": "px" if g.measurement.scale is None else "mm",
            "value": round(g.measurement.length, 2), "cracks": len({c.crack_id for c in g.measurement.cracks}),
        }
        for g in grounds
    ]  # fmt: skip
    summary = {
        "source": origin.source, "fissura": __version__, "model": origin.model, "complete": complete,
        "frames": result.frames, "duration_s": round(result.duration_s, 3), "elapsed_s": round(result.elapsed_s, 3),
        "looked_frames": len(result.looked), "slices": sum(f.look.slices for f in result.looked),
        "frames_without_road": sum(not f.look.road_found for f in result.looked),
        "blurred_passed_over": result.blurred, "damaged_passed_over": result.damaged,
        "registered": len(result.registered),
        "lost": sum(r.pose is None for r in result.registered), "charts": len(grounds), "ground_seen_px": seen_px,
        "seconds": {stage: round(s, 3) for stage, s in sorted(result.seconds.items())},
        "cracks": sum(row["cracks"] for row in lengths), "length": lengths, "notes": list(dict.fromkeys(notes)),
    }  # fmt: skip
    write_bytes(path, (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())


def describe_result(result: FlightResult, grounds: Sequence[MergedGround]) -> list[str]:
    """Closing lines for people."""
    lines = []
    for ground in grounds:
        found = ground.measurement
        count = len({c.crack_id for c in found.cracks})
        length = f"{found.length:.0f} px" if found.scale is None else f"{found.length / 1000:.1f} m"
        lines.append(f"{count} cracks, {length} in all, {len(found.areas)} alligator fields")
    slices = sum(f.look.slices for f in result.looked)
    pace = result.duration_s / max(result.elapsed_s, 1e-6)
    lines.append(f"{result.duration_s:.0f} s of flight in {result.elapsed_s:.0f} s, {pace:.1f}× real time")
    lines.append(f"{len(result.looked)} of {result.frames} frames looked at, in {slices} slices")
    lost = sum(r.pose is None for r in result.registered)
    if lost:
        lines.append(f"position lost in {lost} of {len(result.registered)} registered frames")
    if len(grounds) > 1:
        lines.append(f"{len(grounds)} pieces of ground that do not hang together: see the mosaics")
    return lines
