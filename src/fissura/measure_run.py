"""The run behind ``fissura measure``: many pictures into one set of tables, stopped and resumed at will.

Every finished picture leaves ``frames/<name>.json``; the tables are made from those records at the end, so that a run
that was stopped goes on, and one bad picture costs nothing but itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fissura import __version__
from fissura.cli.console import EXIT_NOT_STARTED, EXIT_SOME_FAILED, ProgressLine, Tally, say, warn
from fissura.errors import FissuraError, ImageError, OutputError, SettingsError
from fissura.imaging.find import Found, SourceImage, find_images, plan_names
from fissura.imaging.roi import Roi
from fissura.imaging.scene import Scene, open_scenes
from fissura.imaging.write import is_fatal, remove_temporary_files, write_bytes, write_geotiff, write_jpeg, write_mask
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.mask_folder import MaskFolder
from fissura.measure.doubtful import check_who_says
from fissura.measure.rules import RuleSet, read_rules, width_thresholds
from fissura.measure.summary import LIMITS, TITLE
from fissura.measure_frame import FrameRecord, FrameRequest, FrameResult, ScaleRequest, describe_settings, measure_frame
from fissura.report.geojson import GeoFeature, write_cracks_geojson
from fissura.report.histogram import write_width_histogram
from fissura.report.tables import write_areas_csv, write_cracks_csv, write_summary_csv
from fissura.segmenting import parse_scale

_OWN = ("overlays", "masks", "frames")
_HISTOGRAMS = {True: "widths.png", False: "widths_px.png"}


@dataclass(frozen=True)
class MeasureRequest:
    """The options of ``fissura measure``, as given."""

    sources: tuple[str, ...]
    out: Path
    mask: Path | None = None
    scale: ScaleRequest = field(default_factory=ScaleRequest)
    rules: str | None = None
    road_direction_deg: float | None = None
    lane_width_m: float | None = None
    section_length_m: float | None = None
    lane_centre: str | None = None
    min_length: float = 0.0
    least_confidence: float = 0.0
    model: str = "fast"
    engine: str = "openvino"
    precision: str = "auto"
    threads: int | None = None
    threshold: float | None = None
    network_scale: str = "auto"
    roi: Path | None = None
    overwrite: bool = False
    quiet: bool = False
    debug: bool = False


def run_measure(request: MeasureRequest) -> int:
    """Measure all sources and return the exit status.

    Raises:
        FissuraError: The run could not start: no pictures, an option, rules, the model, the output folder.
    """
    rules = read_rules(request.rules) if request.rules else None
    frame = _frame_request(request, rules)
    found = _find_pictures(request)
    if not found.images:
        raise ImageError("nothing to do: " + "; ".join(f"{source}: {reason}" for source, reason in found.nothing))
    roi = Roi(request.roi) if request.roi else None
    masks = None if request.mask is None else MaskFolder(request.mask, found.images)
    segmenter = None
    if masks is None:
        segmenter = load_segmenter(
            request.model, engine=request.engine, precision=None if request.precision == "auto" else request.precision,
            threads=request.threads, threshold=request.threshold,
        )  # fmt: skip
    check_who_says(request.least_confidence, None if segmenter is None else segmenter.card)
    settings = describe_settings(frame) | _describe_source(request, segmenter)
    folder = _RecordFolder(request.out, settings, ("overlays", "frames") if segmenter is None else _OWN)
    folder.open(overwrite=request.overwrite)
    run = _Run(request, frame, folder, segmenter, masks, roi)
    return run.work(found.images, found.nothing)


def _find_pictures(request: MeasureRequest) -> Found:
    """The inputs, without what this command made itself or was given as masks."""
    out, mask = (None if path is None else Path(os.path.abspath(path)) for path in (request.out, request.mask))
    assert out is not None
    shut = [out / name for name in _OWN]
    sources = {Path(os.path.abspath(source)) for source in request.sources}
    if mask is not None and mask.is_dir() and mask not in sources:
        shut.append(mask)
    found = find_images(request.sources, exclude=shut)
    own = {out / name for name in _HISTOGRAMS.values()} | ({mask} if mask is not None else set())
    own -= sources
    return replace(found, images=tuple(image for image in found.images if image.path not in own))


def _frame_request(request: MeasureRequest, rules: RuleSet | None) -> FrameRequest:
    request.scale.check()
    for name, value in (
        ("--lane-width-m", request.lane_width_m), ("--section-length-m", request.section_length_m),
    ):  # fmt: skip
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SettingsError(f"{name} is {value:g}; give metres above 0")
    if not (math.isfinite(request.min_length) and request.min_length >= 0):
        raise SettingsError(f"--min-length is {request.min_length:g}; give 0 or more")
    if not 0.0 <= request.least_confidence <= 1.0:
        raise SettingsError(f"--least-confidence is {request.least_confidence:g}; give 0 (keep all) to 1")
    road = request.road_direction_deg
    if road is not None and not math.isfinite(road):
        raise SettingsError(f"--road-direction is {road:g}; give degrees, 90 if the road runs upwards in the picture")
    centre = None if request.lane_centre is None else _parse_centre(request.lane_centre)
    if centre is not None:
        if request.lane_width_m is None:
            raise SettingsError("--lane-centre needs --lane-width-m: zones are strips of a lane of known width")
        if road is None:
            # Rows count downwards, angles counter-clockwise.
            road = math.degrees(math.atan2(centre[1] - centre[3], centre[2] - centre[0])) % 180.0
    if request.section_length_m is not None and road is None:
        raise SettingsError("--section-length-m needs --road-direction, along which sections are counted")
    if request.lane_width_m is not None and road is None:
        raise SettingsError("--lane-width-m needs --road-direction, without which no crack is a transverse one")
    return FrameRequest(
        request.scale, rules, road_direction_deg=road, lane_width_m=request.lane_width_m,
        section_length_m=request.section_length_m, lane_centre_xy=centre, min_length=request.min_length,
        network_scale=parse_scale(request.network_scale), least_confidence=request.least_confidence,
    )  # fmt: skip


def _parse_centre(text: str) -> tuple[float, float, float, float]:
    """``X1,Y1,X2,Y2`` in pixels. Raises SettingsError."""
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        x1 = y1 = x2 = y2 = math.nan
    if not all(map(math.isfinite, (x1, y1, x2, y2))) or (x1, y1) == (x2, y2):
        raise SettingsError(
            f"--lane-centre is '{text}'; give two different pixels of the lane's centre line, both on the road, in the "
            "direction of travel, as X1,Y1,X2,Y2, for example 960,1079,960,700"
        )
    return x1, y1, x2, y2


def _describe_source(request: MeasureRequest, segmenter: Segmenter | None) -> dict[str, Any]:
    roi = hashlib.sha256(request.roi.read_bytes()).hexdigest()[:12] if request.roi else None
    if segmenter is None:
        return {"mask": os.path.abspath(str(request.mask)), "model": None, "roi": roi}
    checksum = hashlib.sha256(segmenter.card.model_dump_json().encode())
    if Path(request.model).is_file():
        checksum.update(Path(request.model).read_bytes())
    return {
        "mask": None, "model": f"{segmenter.card.name} {segmenter.card.version} {checksum.hexdigest()[:12]}",
        "engine": segmenter.backend.description, "threshold": segmenter.threshold, "roi": roi,
    }  # fmt: skip


class _RecordFolder:
    """Records of finished pictures, and the settings they were made with."""

    def __init__(self, out: Path, settings: dict[str, Any], kinds: tuple[str, ...] = _OWN) -> None:
        self.out, self.settings, self.kinds = out, settings, kinds

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def open(self, *, overwrite: bool) -> None:
        """Check whose results the folder holds and write the settings."""
        path = self.out / "settings.json"
        before = None if overwrite else self._read_settings(path)
        if before is not None:
            now = json.loads(json.dumps(self.settings, default=str))
            keys = [k for k in {**before, **now} if before.get(k) != now.get(k) and k != "rules_content"]
            if keys:
                changes = ", ".join(f"{k} {before.get(k)} (now {now.get(k)})" for k in keys)
                raise SettingsError(
                    f"{self.out} holds results of other settings: {changes}; choose another --out, or pass --overwrite"
                )
        content = {"fissura": __version__, "command": "measure", "settings": self.settings}
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
        write_bytes(path, text.encode("utf-8", "backslashreplace"))
        for kind in self.kinds:
            remove_temporary_files(self.out / kind)

    def _read_settings(self, path: Path) -> dict[str, Any] | None:
        """Settings of the run before, or None in a new folder. Raises SettingsError if the folder is not ours."""
        if not path.is_file():
            strange = [kind for kind in self.kinds if any((self.out / kind).glob("*"))]
            if strange:
                raise SettingsError(
                    f"{self.out}/{strange[0]} holds files that are not from 'fissura measure'; choose another --out, "
                    "or pass --overwrite if they may be replaced"
                )
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("command") != "measure":
                raise SettingsError(f"{self.out} holds results of another command; choose another --out")
            return dict(content["settings"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(f"{path} is damaged; delete it, or choose another --out") from error

    def read_names(self) -> dict[str, str]:
        """Names given in earlier runs, by absolute path of the input: pictures of other sources keep theirs."""
        names = {}
        for path in sorted((self.out / "frames").rglob("*.json")):
            try:
                source = str(json.loads(path.read_text(encoding="utf-8"))["source_path"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            names[source] = path.relative_to(self.out / "frames").as_posix().removesuffix(".json")
        return names

    def path(self, name: str) -> Path:
        return self.out / "frames" / f"{name}.json"

    def find_finished(self, image: SourceImage, name: str, mask: Path | None) -> FrameRecord | None:
        """The record of a picture if it was made from the present files with the present settings."""
        try:
            raw = json.loads(self.path(name).read_text(encoding="utf-8"))
            stamp = stamp_files(image.path, mask)
            if raw["settings"] != self.digest or raw["stamp"] != stamp or raw["source_path"] != str(image.path):
                return None
            if not (self.out / "overlays" / f"{name}.jpg").is_file():
                return None
            own_masks = [self.out / "masks" / f"{name}{suffix}" for suffix in (".png", ".tif")]
            if mask is None and not any(path.is_file() for path in own_masks):
                return None
            return FrameRecord(**raw["record"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def commit(self, image: SourceImage, name: str, stamp: list[int], record: FrameRecord) -> None:
        """Write the record; the overlay is on disk by then."""
        raw = {
            "source_path": str(image.path), "stamp": stamp, "settings": self.digest,
            "record": json.loads(record.to_json()),
        }  # fmt: skip
        # Names that are no Unicode reach us as lone surrogates: written as JSON's escapes they come back as they are.
        write_bytes(self.path(name), (json.dumps(raw, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def stamp_files(*paths: Path | None) -> list[int]:
    """Size and time of each file, which tell that it is still the same."""
    found = [path.stat() for path in paths if path is not None]
    return [value for status in found for value in (status.st_size, status.st_mtime_ns)]


@dataclass
class _Run:
    request: MeasureRequest
    frame: FrameRequest
    folder: _RecordFolder
    segmenter: Segmenter | None
    masks: MaskFolder | None
    roi: Roi | None
    tally: Tally = field(default_factory=Tally)
    records: list[FrameRecord] = field(default_factory=list)

    def work(self, images: tuple[SourceImage, ...], nothing: tuple[tuple[str, str], ...]) -> int:
        for source, reason in nothing:
            self.tally.fail(source, ImageError(reason))
        names = plan_names(images, self.folder.read_names())
        sources = _source_names(images, names)
        started = time.monotonic()
        stopped: OutputError | None = None
        with ProgressLine("measure", len(images), quiet=self.request.quiet) as line:
            for image in images:
                record = None if self.request.overwrite else self._find_finished(image, names[image.path])
                if record is not None:
                    self.tally.skipped += 1
                    self.records.append(record)
                else:
                    stopped = self._measure(image, names[image.path], sources[image.path])
                    if stopped is not None:
                        break
                line.advance(str(image.relative))
        if self.records:
            self._write_tables()
        self._say_summary(time.monotonic() - started)
        if stopped is not None:
            warn(f"error: stopped, {len(images) - len(self.records)} of {len(images)} pictures are not done: {stopped}")
            return EXIT_SOME_FAILED if self.records else EXIT_NOT_STARTED
        return self.tally.exit_status

    def _find_finished(self, image: SourceImage, name: str) -> FrameRecord | None:
        try:
            mask = None if self.masks is None else self.masks.find(image)
        except ImageError:
            return None
        return self.folder.find_finished(image, name, mask)

    def _measure(self, image: SourceImage, name: str, source: str) -> OutputError | None:
        """Measure one picture; returns the error after which nothing more can be written."""
        try:
            mask_path = None if self.masks is None else self.masks.find(image)
            stamp = stamp_files(image.path, mask_path)
            # Inside the loop: a raster is open only as long as the generator lives.
            for scene in open_scenes(image.path):
                if scene.pages > 1:
                    warn(f"note: {source} has {scene.pages} pages; the first is measured")
                result = measure_frame(
                    image.path, source, scene, self.frame, mask_path=mask_path, segmenter=self.segmenter, roi=self.roi
                )
                break
            else:
                raise ImageError(f"{image.path.name} holds no image")
            write_jpeg(self.folder.out / "overlays" / f"{name}.jpg", result.overlay)
            if self.masks is None:
                self._write_mask(name, scene, result)
            self.folder.commit(image, name, stamp, result.record)
            self.records.append(result.record)
            self.tally.done += 1
            for note in result.record.notes:
                say(f"note: {source}: {note}", quiet=self.request.quiet or self.tally.done > 3)
        except OutputError as error:
            if is_fatal(error):
                return error
            self.tally.fail(str(image.path), error)
        # One bad file never stops a batch, whatever it makes a library do.
        except Exception as error:
            if self.request.debug:
                traceback.print_exception(error)
            if not isinstance(error, FissuraError):
                error = ImageError(f"{type(error).__name__}: {error}; run with --debug for the trace")
            self.tally.fail(str(image.path), error)
        return None

    def _write_mask(self, name: str, scene: Scene, result: FrameResult) -> None:
        """The mask that was measured, as ``fissura segment`` writes it: placed where the picture is placed."""
        path = self.folder.out / "masks" / name
        if scene.placement is None:
            write_mask(path.with_name(f"{path.name}.png"), result.mask)
        else:
            pixels = result.mask.view(np.uint8) * np.uint8(255)
            write_geotiff(path.with_name(f"{path.name}.tif"), pixels, scene.placement)

    def _write_tables(self) -> None:
        out = self.folder.out
        write_cracks_csv(out / "cracks.csv", [row for record in self.records for row in record.cracks])
        areas = [row for record in self.records for row in record.areas]
        if areas:
            write_areas_csv(out / "areas.csv", areas)
        else:
            (out / "areas.csv").unlink(missing_ok=True)  # of a run before
        write_summary_csv(out / "summary.csv", [row for record in self.records for row in record.summary])
        features = list(self._features())
        if any(record.position_sigma_m is not None for record in self.records):
            write_cracks_geojson(out / "cracks.geojson", features)
        else:
            (out / "cracks.geojson").unlink(missing_ok=True)
        self._write_histograms()

    def _features(self) -> Iterator[GeoFeature]:
        for record in self.records:
            sigma = record.position_sigma_m
            for fields, lonlat in zip(record.cracks, record.lines_lonlat, strict=False):
                if len(lonlat) >= 2:
                    yield GeoFeature("line", _positions(lonlat), fields, sigma)
            for fields, lonlat in zip(record.areas, record.areas_lonlat, strict=False):
                if len(lonlat) >= 3:
                    yield GeoFeature("area", _positions(lonlat), fields, sigma)

    def _write_histograms(self) -> None:
        """One for pictures with a scale, one for those without: their widths have no common axis."""
        for scaled, name in _HISTOGRAMS.items():
            chosen = [record for record in self.records if record.scaled == scaled]
            if not chosen:
                (self.folder.out / name).unlink(missing_ok=True)
                continue
            write_width_histogram(
                self.folder.out / name,
                [w for record in chosen for w in record.widths],
                [v for record in chosen for v in record.lengths],
                unit="mm" if scaled else "px", thresholds=width_thresholds(self.frame.rules) if scaled else None,
                below_gsd=[b for record in chosen for b in record.below],
            )  # fmt: skip

    def _say_summary(self, seconds: float) -> None:
        tally, quiet, out = self.tally, self.request.quiet, self.folder.out
        if tally.failed:
            warn(f"{len(tally.failed)} failed:")
            for source, reason in tally.failed:
                warn(f"  {source}: {reason}")
        if not self.records:
            return
        kept = f", {tally.skipped} kept from before" if tally.skipped else ""
        say(f"done: {tally.done} pictures{kept}, {len(tally.failed)} failed, {seconds:.0f} s", quiet=quiet)
        for scaled, unit, area in ((True, "m", "m²"), (False, "px", "px²")):
            chosen = [record for record in self.records if record.scaled == scaled]
            if not chosen:
                continue
            names = ("length", "area", "cracks", "left_out", "inspected_m2")
            total = {name: sum(record.totals[name] for record in chosen) for name in names}
            line = f"{TITLE}: {total['cracks']:.0f} cracks, {total['length']:.5g} {unit}"
            line += f", alligator {total['area']:.3g} {area}" if total["area"] else ""
            if total["inspected_m2"]:
                line += f", on {total['inspected_m2']:.4g} m²"
            if total["left_out"]:
                line += f"; {total['left_out']:.0f} branches are too small to count by the rules"
            say(line + ("" if scaled else " (no scale: give --gsd-mm for millimetres)"), quiet=quiet)
        if self.frame.rules is not None and any(record.scaled for record in self.records):
            for limit in (*LIMITS, *self.frame.rules.limits):
                say(f"limit: {limit}", quiet=quiet)
        say(f"results: {out / 'cracks.csv'}, {out / 'summary.csv'}", quiet=quiet)
        say(f"next: look at the pictures in {out / 'overlays'}", quiet=quiet)


def _source_names(images: tuple[SourceImage, ...], names: dict[Path, str]) -> dict[Path, str]:
    """What each picture is called in the tables: its path below its source, longer where two would be called alike."""
    count = Counter(str(image.relative) for image in images)
    return {
        image.path: str(image.relative) if count[str(image.relative)] == 1 else names[image.path] for image in images
    }


def _positions(lonlat: list[list[float]]) -> Any:
    return np.array(lonlat, np.float64)
