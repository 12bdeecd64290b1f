"""The run behind ``fissura measure``: many pictures into one set of tables, stopped and resumed at will.

Every finished picture leaves ``frames/<name>.json``; the tables are made from those records at the end, so that a run
that was stopped goes on, and one bad picture costs nothing but itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from fissura import __version__
from fissura.cli.console import EXIT_NOT_STARTED, EXIT_SOME_FAILED, ProgressLine, Tally, say, warn
from fissura.data.pairs import IMAGE_SUFFIXES
from fissura.errors import FissuraError, ImageError, OutputError, SettingsError
from fissura.imaging.find import SourceImage, find_images, plan_names
from fissura.imaging.roi import Roi
from fissura.imaging.scene import open_scenes
from fissura.imaging.write import write_bytes, write_jpeg, write_mask
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.measure.rules import RuleSet, read_rules
from fissura.measure.summary import LIMITS, TITLE
from fissura.measure_frame import FrameRecord, FrameRequest, ScaleRequest, describe_settings, measure_frame
from fissura.report.geojson import GeoFeature, write_cracks_geojson
from fissura.report.histogram import write_width_histogram
from fissura.report.tables import write_areas_csv, write_cracks_csv, write_summary_csv
from fissura.segmenting import parse_scale

_OWN = ("overlays", "masks", "frames")


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
    min_length: float = 0.0
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
    found = find_images(request.sources, exclude=[request.out / name for name in _OWN])
    if not found.images:
        raise ImageError("nothing to do: " + "; ".join(f"{source}: {reason}" for source, reason in found.nothing))
    roi = Roi(request.roi) if request.roi else None
    masks = None if request.mask is None else _Masks(request.mask, found.images)
    segmenter = None
    if masks is None:
        segmenter = load_segmenter(
            request.model, engine=request.engine, precision=None if request.precision == "auto" else request.precision,
            threads=request.threads, threshold=request.threshold,
        )  # fmt: skip
    settings = describe_settings(frame) | _describe_source(request, segmenter)
    folder = _RecordFolder(request.out, settings)
    folder.open(overwrite=request.overwrite)
    run = _Run(request, frame, folder, segmenter, masks, roi)
    return run.work(found.images, found.nothing)


def _frame_request(request: MeasureRequest, rules: RuleSet | None) -> FrameRequest:
    for name, value in (
        ("--lane-width-m", request.lane_width_m), ("--section-length-m", request.section_length_m),
    ):  # fmt: skip
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SettingsError(f"{name} is {value:g}; give metres above 0")
    if not (math.isfinite(request.min_length) and request.min_length >= 0):
        raise SettingsError(f"--min-length is {request.min_length:g}; give 0 or more")
    road = request.road_direction_deg
    if road is not None and not math.isfinite(road):
        raise SettingsError(f"--road-direction is {road:g}; give degrees, 90 if the road runs upwards in the picture")
    if request.section_length_m is not None and road is None:
        raise SettingsError("--section-length-m needs --road-direction, along which sections are counted")
    return FrameRequest(
        request.scale, rules, road, request.lane_width_m, request.section_length_m, request.min_length,
        parse_scale(request.network_scale),
    )  # fmt: skip


def _describe_source(request: MeasureRequest, segmenter: Segmenter | None) -> dict[str, Any]:
    if segmenter is None:
        return {"mask": str(request.mask), "model": None}
    checksum = hashlib.sha256(segmenter.card.model_dump_json().encode()).hexdigest()[:12]
    return {
        "mask": None, "model": f"{segmenter.card.name} {segmenter.card.version} {checksum}",
        "engine": segmenter.backend.description, "threshold": segmenter.threshold,
        "roi": hashlib.sha256(request.roi.read_bytes()).hexdigest()[:12] if request.roi else None,
    }  # fmt: skip


class _Masks:
    """Mask of each picture: one file for one picture, or a folder searched by relative path and then by stem."""

    def __init__(self, path: Path, images: tuple[SourceImage, ...]) -> None:
        if not path.exists():
            raise SettingsError(f"--mask {path} does not exist; give a mask picture, or a folder of them")
        if path.is_file() and len(images) > 1:
            raise SettingsError(
                f"--mask {path} is one file and there are {len(images)} pictures; give a folder of masks with the "
                "pictures' names"
            )
        self.path = path
        self._by_stem: dict[str, list[Path]] = {}
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() in IMAGE_SUFFIXES:
                    self._by_stem.setdefault(file.stem, []).append(file)

    def find(self, image: SourceImage) -> Path:
        """Raises ImageError if there is none, or more than one that could be meant."""
        if self.path.is_file():
            return self.path
        wanted = image.relative.with_suffix("")
        for file in self._by_stem.get(image.path.stem, []):
            if file.relative_to(self.path).with_suffix("") == Path(wanted):
                return file
        found = self._by_stem.get(image.path.stem, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise ImageError(f"{len(found)} masks in {self.path} are called {image.path.stem}: keep the folders alike")
        raise ImageError(f"no mask called {image.path.stem} in {self.path}")


class _RecordFolder:
    """Records of finished pictures, and the settings they were made with."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.out, self.settings = out, settings

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def open(self, *, overwrite: bool) -> None:
        """Check whose results the folder holds and write the settings."""
        path = self.out / "settings.json"
        try:
            before = json.loads(path.read_text(encoding="utf-8")).get("settings") if path.is_file() else None
        except (OSError, ValueError):
            before = None
        if before is not None and not overwrite:
            now = json.loads(json.dumps(self.settings, default=str))
            keys = [k for k in {**before, **now} if before.get(k) != now.get(k) and k != "rules_content"]
            if keys:
                changes = ", ".join(f"{k} {before.get(k)} (now {now.get(k)})" for k in keys)
                raise SettingsError(
                    f"{self.out} holds results of other settings: {changes}; choose another --out, or pass --overwrite"
                )
        content = {"fissura": __version__, "settings": self.settings}
        write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n").encode())

    def path(self, name: str) -> Path:
        return self.out / "frames" / f"{name}.json"

    def find_finished(self, image: SourceImage, name: str) -> FrameRecord | None:
        """The record of a picture if it was made from the present file with the present settings."""
        try:
            raw = json.loads(self.path(name).read_text(encoding="utf-8"))
            status = image.path.stat()
            stamp = [status.st_size, status.st_mtime_ns]
            if raw["settings"] != self.digest or raw["stamp"] != stamp or raw["source_path"] != str(image.path):
                return None
            if not (self.out / "overlays" / f"{name}.jpg").is_file():
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
        write_bytes(self.path(name), (json.dumps(raw, ensure_ascii=False) + "\n").encode())


@dataclass
class _Run:
    request: MeasureRequest
    frame: FrameRequest
    folder: _RecordFolder
    segmenter: Segmenter | None
    masks: _Masks | None
    roi: Roi | None
    tally: Tally = field(default_factory=Tally)
    records: list[FrameRecord] = field(default_factory=list)

    def work(self, images: tuple[SourceImage, ...], nothing: tuple[tuple[str, str], ...]) -> int:
        for source, reason in nothing:
            self.tally.fail(source, ImageError(reason))
        names = plan_names(images, {})
        started = time.monotonic()
        stopped: OutputError | None = None
        with ProgressLine("measure", len(images), quiet=self.request.quiet) as line:
            for image in images:
                record = None if self.request.overwrite else self.folder.find_finished(image, names[image.path])
                if record is not None:
                    self.tally.skipped += 1
                    self.records.append(record)
                else:
                    stopped = self._measure(image, names[image.path])
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

    def _measure(self, image: SourceImage, name: str) -> OutputError | None:
        """Measure one picture; returns the error after which nothing more can be written."""
        try:
            status = image.path.stat()
            mask_path = None if self.masks is None else self.masks.find(image)
            source = str(image.relative)
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
                write_mask(self.folder.out / "masks" / f"{name}.png", result.mask)
            self.folder.commit(image, name, [status.st_size, status.st_mtime_ns], result.record)
            self.records.append(result.record)
            self.tally.done += 1
            for note in result.record.notes:
                say(f"note: {source}: {note}", quiet=self.request.quiet or self.tally.done > 3)
        except OutputError as error:
            return error
        # One bad file never stops a batch, whatever it makes a library do.
        except Exception as error:
            if self.request.debug:
                traceback.print_exception(error)
            if not isinstance(error, FissuraError):
                error = ImageError(f"{type(error).__name__}: {error}; run with --debug for the trace")
            self.tally.fail(str(image.path), error)
        return None

    def _write_tables(self) -> None:
        out = self.folder.out
        write_cracks_csv(out / "cracks.csv", [row for record in self.records for row in record.cracks])
        areas = [row for record in self.records for row in record.areas]
        if areas:
            write_areas_csv(out / "areas.csv", areas)
        write_summary_csv(out / "summary.csv", [row for record in self.records for row in record.summary])
        features = list(self._features())
        if any(record.position_sigma_m is not None for record in self.records):
            write_cracks_geojson(out / "cracks.geojson", features)
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
        for scaled, name in ((True, "widths.png"), (False, "widths_px.png")):
            chosen = [record for record in self.records if record.scaled == scaled]
            if not chosen:
                continue
            write_width_histogram(
                self.folder.out / name,
                [w for record in chosen for w in record.widths],
                [v for record in chosen for v in record.lengths],
                unit="mm" if scaled else "px", thresholds=self._thresholds() if scaled else None,
                below_gsd=[b for record in chosen for b in record.below],
            )  # fmt: skip

    def _thresholds(self) -> dict[str, float]:
        rules = self.frame.rules
        if rules is None:
            return {}
        levels = rules.levels.longitudinal or rules.levels.other
        return {level.name: below.bound_mm for below, level in pairwise(levels)}

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
            names = ("length", "area", "cracks", "inspected_m2")
            total = {name: sum(record.totals[name] for record in chosen) for name in names}
            line = f"{TITLE}: {total['cracks']:.0f} cracks, {total['length']:.5g} {unit}"
            line += f", alligator {total['area']:.3g} {area}" if total["area"] else ""
            if total["inspected_m2"]:
                line += f", on {total['inspected_m2']:.4g} m²"
            say(line + ("" if scaled else " (no scale: give --gsd-mm for millimetres)"), quiet=quiet)
        if self.frame.rules is not None and any(record.scaled for record in self.records):
            for limit in (*LIMITS, *self.frame.rules.limits):
                say(f"limit: {limit}", quiet=quiet)
        say(f"results: {out / 'cracks.csv'}, {out / 'summary.csv'}", quiet=quiet)
        say(f"next: look at the pictures in {out / 'overlays'}", quiet=quiet)


def _positions(lonlat: list[list[float]]) -> Any:
    import numpy as np

    return np.array(lonlat, np.float64)
