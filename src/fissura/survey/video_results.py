"""What a surveyed video leaves behind: its ground, the frames that were looked at, the figures of the pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fissura.geo.telemetry import Telemetry
from fissura.measure.model import Crack
from fissura.measure.rules import RuleSet
from fissura.report.records import SurveyCrack, SurveyFrame
from fissura.spec import ModelCard
from fissura.survey.backdrop import Backdrop
from fissura.survey.flight import FlightResult, LookedFrame
from fissura.survey.ground import GroundCanvas
from fissura.survey.ground_record import (
    GroundRecord,
    Sighting,
    add_pictures,
    crack_box_px,
    cut_picture,
    outline_to_ground,
    record_ground,
)
from fissura.survey.merged import MergedGround
from fissura.survey.mosaic import paint_mosaic, write_mosaic
from fissura.survey.photo_pose import footprint
from fissura.survey.pose import Lens, ground_pixel_size
from fissura.survey.run_folder import RunFolder
from fissura.types import RgbImage

LonLat = npt.NDArray[np.float64]
_MOST_PICTURE_PX = 8192
"""Ground pixels a side from which a crack's picture is painted smaller: a crack may be as long as its road."""


_PICTURES_KEPT = 1000
"""Cracks of a ground, the largest first, whose pictures are there for whichever rules call them worst."""


@dataclass(frozen=True)
class Origin:
    """Where results come from.

    Attributes:
        source: The video, as given.
        name: Of the video in the tables.
        card: The network's.
        telemetry: None if there is none.
    """

    source: str
    name: str
    card: ModelCard
    telemetry: Telemetry | None

    @property
    def model(self) -> str:
        """Name and version of the network."""
        return f"{self.card.name} {self.card.version}"

    def captured_at(self, time_s: float) -> datetime | None:
        """Clock time of a moment of the video, if telemetry tells."""
        return None if self.telemetry is None else self.telemetry.at(time_s).captured_at


@dataclass(eq=False)
class VideoOutcome:
    """Everything the report needs of a video.

    Attributes:
        grounds: Connected pieces of ground.
        frames: That were looked at; one failed entry if nothing could be.
        track: Camera positions, shape (N, 2); empty without telemetry.
        figures: Of the pass, for ``summary.json``.
        complete: False if the flight ended early, or something of it could not be written.
        notes: For the user.
        stopped: The user ended the run at this video. Not kept: a run that goes on does not stop again.
    """

    grounds: list[GroundRecord] = field(default_factory=list)
    frames: list[SurveyFrame] = field(default_factory=list)
    track: list[list[float]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    complete: bool = True
    notes: tuple[str, ...] = ()
    stopped: bool = False

    def rated(self, rules: RuleSet | None) -> VideoOutcome:
        """A copy with kinds and levels by these rules; see `GroundRecord.rated`."""
        unseen = sum(ground.count_unseen(rules) for ground in self.grounds)
        notes = self.notes if not unseen else (*self.notes, (
            f"{unseen} of the worst cracks of {self.figures.get('source')} have no picture: when it was looked at, "
            f"other rules held, and they are not among its {_PICTURES_KEPT} largest"
        ))  # fmt: skip
        return replace(self, grounds=[ground.rated(rules) for ground in self.grounds], notes=notes)

    def add_problem(self, text: str) -> None:
        """Note that something of the video is missing; what there is of it stays."""
        self.complete = self.figures["complete"] = False
        self.notes = (*self.notes, text)
        self.figures["notes"] = [*self.figures.get("notes", []), text]

    @classmethod
    def failed(cls, source: str, name: str, error: str) -> VideoOutcome:
        """Of a video that gave nothing."""
        frame = SurveyFrame(name, source, kind="video", status="failed", error=error)
        return cls(frames=[frame], figures={"source": source, "complete": False}, complete=False)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        frames = []
        for frame in self.frames:
            raw = asdict(frame)
            for key in ("camera_lonlat", "footprint_lonlat"):
                raw[key] = None if raw[key] is None else np.round(raw[key], 10).tolist()
            raw["captured_at"] = None if frame.captured_at is None else frame.captured_at.isoformat()
            frames.append(raw)
        return {
            "grounds": [g.to_plain() for g in self.grounds], "frames": frames, "track": self.track,
            "figures": self.figures, "complete": self.complete, "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, raw: dict[str, Any]) -> VideoOutcome:
        """The other way."""
        frames = []
        for f in raw["frames"]:
            at = f["captured_at"]
            frames.append(SurveyFrame(**f | {
                "size_hw": tuple(f["size_hw"]), "notes": tuple(f["notes"]),
                "captured_at": None if at is None else datetime.fromisoformat(at),
                **{k: None if f[k] is None else np.array(f[k]) for k in ("camera_lonlat", "footprint_lonlat")},
            }))  # fmt: skip
        grounds = [GroundRecord.from_plain(g) for g in raw["grounds"]]
        return cls(grounds, frames, raw["track"], raw["figures"], raw["complete"], tuple(raw["notes"]))


def describe_look(looked: LookedFrame) -> dict[str, Any]:
    """A look as plain values, for ``manifest.jsonl``."""
    look = looked.look
    return {
        "frame": looked.index, "time_s": round(looked.time_s, 4), "chart": looked.chart,
        "pose": [round(float(v), 7) for v in looked.pose.vector()], "sharpness": round(looked.sharpness, 3),
        "slices": look.slices, "road_found": look.road_found, "road_share": round(look.road_share, 4),
        "direction_deg": look.direction_deg, "new_ground_px": look.new_px, "seconds": round(looked.seconds, 4),
        "status": "done",
    }  # fmt: skip


def collect_outcome(
    folder: RunFolder, key: str, origin: Origin, result: FlightResult, grounds: Sequence[MergedGround], *, lens: Lens,
    canvas: GroundCanvas, backdrop: Backdrop, rules: RuleSet | None, notes: Sequence[str], complete: bool, error: str,
) -> VideoOutcome:  # fmt: skip
    """Draw mosaics and pictures, and put together what the report needs."""
    records, frames = [], []
    for ground in grounds:
        looked = [f for f in result.looked if f.chart == ground.chart]
        # In a folder: beside the others KEY_2 may be a video of its own.
        title = key if len(grounds) == 1 else f"{key}/ground_{ground.chart + 1}"
        record = _record(ground, looked, origin)
        to_lonlat = _to_lonlat(ground)
        record.mosaic = write_mosaic(
            folder.out, title, canvas, backdrop, ground, caption=origin.name, to_lonlat=to_lonlat
        )
        _add_pictures(record, ground, canvas, backdrop, folder.out, title, rules)
        if to_lonlat is not None and ground.measurement.scale is not None:
            mm = float(ground.measurement.scale.matrix[0, 0])
            record.ground += outline_to_ground("inspected", canvas.seen_outline(ground.bounds_rc), to_lonlat, mm)
        records.append(record)
        frames += [_frame(f, ground, origin, lens, error) for f in looked]
    outcome = VideoOutcome(
        records, frames, _camera_track(result, origin), _figures(origin, result, grounds, canvas, complete, notes),
        complete, tuple(dict.fromkeys(notes)),
    )  # fmt: skip
    # Rounded as everything is when it is read back: a run that goes on reports the same to the last bit.
    return VideoOutcome.from_plain(outcome.to_plain())


def _record(ground: MergedGround, looked: Sequence[LookedFrame], origin: Origin) -> GroundRecord:
    placement = ground.place.placement

    def sighting(crack: Crack, index: int) -> Sighting:
        frame = looked[index]
        sigma = None if placement is None else placement.sigma_m
        return Sighting(f"{origin.name}#{frame.index}", origin.captured_at(frame.time_s), None, sigma)

    return record_ground(ground, sighting, area_source=origin.name, model=origin.model)


def _to_lonlat(ground: MergedGround) -> Callable[[LonLat], LonLat] | None:
    """Ground pixels (x, y) to degrees; None without a place."""
    placement, (top, left) = ground.place.placement, ground.origin_rc
    if placement is None:
        return None
    return lambda xy: placement.to_lonlat(xy[:, ::-1] - (top, left))


def _add_pictures(
    record: GroundRecord, ground: MergedGround, canvas: GroundCanvas, backdrop: Backdrop, out: Path, title: str,
    rules: RuleSet | None,
) -> None:  # fmt: skip
    """Pictures of the worst cracks, cut from the merged ground; of the others too, for other rules: it is not kept."""
    scale, (top, left) = ground.measurement.scale, ground.origin_rc
    size_hw = ground.measurement.graph.size_hw
    mm = None if scale is None else float(scale.matrix[0, 0])

    def cut(crack: SurveyCrack) -> tuple[RgbImage, float | None]:
        x0, y0, x1, y1 = (int(v) for v in crack_box_px(crack.fields))
        pad = max(max(x1 - x0, y1 - y0) // 4, 160)
        (r0, c0), (r1, c1) = (y0 - pad, x0 - pad), (y1 + pad, x1 + pad)
        if max(r1 - r0, c1 - c0) > _MOST_PICTURE_PX:  # most of that may lie beside all ground
            r0, c0, r1, c1 = max(r0, 0), max(c0, 0), min(r1, size_hw[0]), min(c1, size_hw[1])
        factor = -(-max(r1 - r0, c1 - c0) // _MOST_PICTURE_PX)
        rgb = paint_mosaic(canvas, backdrop, (top + r0, left + c0), (r1 - r0, c1 - c0), factor)
        box = [v / factor for v in (x0 - c0, y0 - r0, x1 - c0, y1 - r0)]
        return cut_picture(rgb, box, None if mm is None else mm * factor)

    for by, most in ((rules, None), (None, _PICTURES_KEPT)):
        add_pictures(record, out, title, cut, by, most=most)


def _frame(looked: LookedFrame, ground: MergedGround, origin: Origin, lens: Lens, error: str) -> SurveyFrame:
    place, scale = _to_lonlat(ground), ground.measurement.scale
    gsd = height = None
    if scale is not None:
        mm = float(scale.matrix[0, 0])
        pixel = ground_pixel_size(looked.pose.ground_from_frame(lens), np.array([lens.centre_xy]))
        gsd, height = float(pixel[0]) * mm, float(np.exp(looked.pose.log_height)) * mm * lens.focal_px / 1000.0
    outline = camera = None
    if place is not None:
        outline = place(footprint(looked.pose, lens)[0])
        camera = place(np.array([[looked.pose.x, looked.pose.y]]))[0]
    return SurveyFrame(
        f"{origin.name}#{looked.index}", origin.source, kind="video", captured_at=origin.captured_at(looked.time_s),
        camera_lonlat=camera, footprint_lonlat=outline,
        position_sigma_m=None if ground.place.placement is None else ground.place.placement.sigma_m,
        size_hw=lens.size_hw, gsd_mm=gsd, height_m=height, sharpness=round(looked.sharpness, 3),
        road_found=looked.look.road_found, direction_deg=looked.look.direction_deg, slices=looked.look.slices,
        seconds=round(looked.seconds, 3), notes=(error,) if error else (),
    )  # fmt: skip


def _camera_track(result: FlightResult, origin: Origin) -> list[list[float]]:
    """Positions by telemetry, ten a second at most."""
    if origin.telemetry is None:
        return []
    track, last = [], -1.0
    for seen in result.registered:
        if seen.time_s - last < 0.1:
            continue
        known = origin.telemetry.at(seen.time_s)
        if known.latitude_deg is not None and known.longitude_deg is not None:
            track.append([round(known.longitude_deg, 9), round(known.latitude_deg, 9)])
            last = seen.time_s
    return track


def _figures(
    origin: Origin, result: FlightResult, grounds: Sequence[MergedGround], canvas: GroundCanvas, complete: bool,
    notes: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    lengths: list[dict[str, Any]] = [
        {
            "chart": g.chart, "unit": "px" if g.measurement.scale is None else "mm",
            "value": round(g.measurement.length, 2), "cracks": len({c.crack_id for c in g.measurement.cracks}),
        }
        for g in grounds
    ]  # fmt: skip
    return {
        "source": origin.source, "model": origin.model, "complete": complete, "frames": result.frames,
        "duration_s": round(result.duration_s, 3), "elapsed_s": round(result.elapsed_s, 3),
        "looked_frames": len(result.looked), "slices": sum(f.look.slices for f in result.looked),
        "frames_without_road": sum(not f.look.road_found for f in result.looked),
        "blurred_passed_over": result.blurred, "damaged_passed_over": result.damaged,
        "registered": len(result.registered), "lost": sum(r.pose is None for r in result.registered),
        "charts": len(grounds), "ground_seen_px": canvas.seen_px,
        "seconds": {stage: round(s, 3) for stage, s in sorted(result.seconds.items())},
        "cracks": sum(row["cracks"] for row in lengths), "length": lengths, "notes": list(dict.fromkeys(notes)),
    }  # fmt: skip


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
