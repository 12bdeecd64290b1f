"""The run behind ``fissura measure``: many pictures into one set of tables, stopped and resumed at will.

Every finished picture leaves ``frames/<name>.json``; the tables are made from those records at the end, so that a run
that was stopped goes on, and one bad picture costs nothing but itself.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fissura.cli.console import EXIT_NOT_STARTED, EXIT_SOME_FAILED, ProgressLine, Tally, say, warn
from fissura.errors import FissuraError, ImageError, OutputError, SettingsError
from fissura.imaging.find import Found, SourceImage, find_images, plan_names
from fissura.imaging.roi import Roi
from fissura.imaging.scene import Scene, open_scenes
from fissura.imaging.write import is_fatal, write_geotiff, write_jpeg, write_mask
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.mask_folder import MaskFolder
from fissura.measure.doubtful import check_who_says
from fissura.measure.rules import RuleSet, read_rules
from fissura.measure.summary import LIMITS, TITLE
from fissura.measure_folder import KINDS, Finished, RecordFolder, stamp_files
from fissura.measure_frame import FrameRecord, FrameRequest, FrameResult, ScaleRequest, describe_settings, measure_frame
from fissura.measure_notes import NoteCount
from fissura.measure_tables import HISTOGRAMS, Tables, write_tables
from fissura.segmenting import parse_scale

_SHOWN = ("cracks.csv", "whole_cracks.csv", "profiles.csv", "summary.csv", "frames.csv")


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
    profiles: bool = False
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
    folder = RecordFolder(request.out, settings, ("overlays", "frames") if segmenter is None else KINDS)
    folder.open(overwrite=request.overwrite)
    run = _Run(request, frame, folder, segmenter, masks, roi)
    return run.work(found.images, found.nothing)


def _find_pictures(request: MeasureRequest) -> Found:
    """The inputs, without what this command made itself or was given as masks."""
    out, mask = (None if path is None else Path(os.path.abspath(path)) for path in (request.out, request.mask))
    assert out is not None
    shut = [out / name for name in KINDS]
    sources = {Path(os.path.abspath(source)) for source in request.sources}
    if mask is not None and mask.is_dir() and mask not in sources:
        shut.append(mask)
    found = find_images(request.sources, exclude=shut)
    own = {out / name for name in HISTOGRAMS.values()} | ({mask} if mask is not None else set())
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


@dataclass
class _Run:
    request: MeasureRequest
    frame: FrameRequest
    folder: RecordFolder
    segmenter: Segmenter | None
    masks: MaskFolder | None
    roi: Roi | None
    tally: Tally = field(default_factory=Tally)
    finished: list[Finished] = field(default_factory=list)
    earlier: list[Finished] = field(default_factory=list)
    notes: NoteCount = field(default_factory=NoteCount)

    def work(self, images: tuple[SourceImage, ...], nothing: tuple[tuple[str, str], ...]) -> int:
        for source, reason in nothing:
            self.tally.fail(source, ImageError(reason))
        known = self.folder.read_index()
        names = plan_names(images, {one.source_path: one.name for one in known})
        sources = _source_names(images, names, {one.source_path: one.source for one in known})
        self.earlier, lost = self.folder.find_earlier(known, images)
        started = time.monotonic()
        stopped: OutputError | None = None
        with ProgressLine("measure", len(images), quiet=self.request.quiet) as line:
            for image in images:
                record = None if self.request.overwrite else self._find_finished(image, names[image.path])
                if record is not None:
                    self.tally.skipped += 1
                    self._keep(names[image.path], record)
                else:
                    stopped = self._measure(image, names[image.path], sources[image.path])
                    if stopped is not None:
                        break
                line.advance(str(image.relative))
        failed = [(sources.get(Path(source), source), reason) for source, reason in self.tally.failed]
        tables = Tables([], [])
        if self.finished or (failed and stopped is None):
            tables = write_tables(
                self.folder, [*self.finished, *self.earlier], failed, self.frame.rules, profiles=self.request.profiles
            )
        self._say_summary(time.monotonic() - started, tables, lost)
        if stopped is not None:
            count = len(self.finished)
            warn(f"error: stopped, {len(images) - count} of {len(images)} pictures are not done: {stopped}")
            return EXIT_SOME_FAILED if count else EXIT_NOT_STARTED
        return EXIT_SOME_FAILED if tables.failed else self.tally.exit_status

    def _keep(self, name: str, record: FrameRecord) -> Finished:
        """Remember a record in short: whole ones of thousands of pictures fill a memory."""
        finished = Finished.of(name, record)
        self.finished.append(finished)
        return finished

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
            finished = self._keep(name, result.record)
            self.tally.done += 1
            for note in self.notes.add_new(finished.notes):
                say(f"note: {source}: {note}", quiet=self.request.quiet)
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
            write_geotiff(path.with_name(f"{path.name}.tif"), pixels, scene.placement, valid=result.valid)

    def _say_summary(self, seconds: float, tables: Tables, lost: int) -> None:
        tally, quiet, out = self.tally, self.request.quiet, self.folder.out
        if tally.failed:
            warn(f"{len(tally.failed)} failed:")
            for source, reason in tally.failed:
                warn(f"  {source}: {reason}")
        if tables.failed:
            warn(f"{len(tables.failed)} tables could not be written:")
            for error in tables.failed:
                warn(f"  {error}")
        if not self.finished:
            return
        for note in self.notes.describe(self.finished):
            say(f"note: {note}", quiet=quiet)
        kept = f", {tally.skipped} kept from before" if tally.skipped else ""
        say(f"done: {tally.done} pictures{kept}, {len(tally.failed)} failed, {seconds:.0f} s", quiet=quiet)
        if self.earlier:
            say(f"the tables hold {len(self.earlier)} pictures of earlier calls as well", quiet=quiet)
        if lost:
            warn(f"note: {lost} pictures of earlier calls are not in the tables: they have changed or are gone")
        older = sum(not picture.profiled for picture in (*self.finished, *self.earlier))
        if older and self.request.profiles:
            warn(f"note: {older} pictures have no rows in profiles.csv: an older fissura measured them; --overwrite "
                 "measures them anew")  # fmt: skip
        self._say_totals()
        if self.frame.rules is not None and any(picture.scaled for picture in self.finished):
            for limit in (*LIMITS, *self.frame.rules.limits):
                say(f"limit: {limit}", quiet=quiet)
        shown = [path for path in tables.written if path.name in _SHOWN]
        if shown:
            say(f"results: {', '.join(map(str, shown))}", quiet=quiet)
        say(f"next: look at the pictures in {out / 'overlays'}", quiet=quiet)

    def _say_totals(self) -> None:
        """What the tables hold in all."""
        for scaled, unit, area in ((True, "m", "m²"), (False, "px", "px²")):
            chosen = [picture for picture in (*self.finished, *self.earlier) if picture.scaled == scaled]
            if not chosen:
                continue
            names = ("length", "area", "cracks", "left_out", "inspected_m2")
            total = {name: sum(picture.totals[name] for picture in chosen) for name in names}
            line = f"{TITLE}: {total['cracks']:.0f} cracks, {total['length']:.5g} {unit}"
            line += f", alligator {total['area']:.3g} {area}" if total["area"] else ""
            if total["inspected_m2"]:
                line += f", on {total['inspected_m2']:.4g} m²"
            if total["left_out"]:
                line += f"; {total['left_out']:.0f} branches are too small to count by the rules"
            say(line + ("" if scaled else " (no scale: give --gsd-mm for millimetres)"), quiet=self.request.quiet)


def _source_names(
    images: tuple[SourceImage, ...], names: dict[Path, str], known: dict[str, str]
) -> dict[Path, str]:
    """What each picture is called in the tables: its path below its source, longer where two would be called alike.

    Args:
        images: The present pictures.
        names: Of their records.
        known: What pictures of earlier calls are called, by their path; they stand in the same tables.
    """
    present = {str(image.path) for image in images}
    count = Counter(str(image.relative) for image in images)
    taken = {source for path, source in known.items() if path not in present}
    found = {}
    for image in images:
        short = str(image.relative)
        longer = [names[image.path], f"{image.root.name}/{short}", str(image.path)]
        wanted = longer if count[short] > 1 else [short, *longer]
        found[image.path] = next((name for name in wanted if name not in taken), wanted[-1])
        taken.add(found[image.path])
    return found
