"""The run behind ``fissura survey``: photos, videos and GeoTIFFs to a measured, mapped crack network and its report."""

from __future__ import annotations

import itertools
import json
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fissura import __version__
from fissura.cli.console import EXIT_NOT_STARTED, EXIT_OK, EXIT_SOME_FAILED, say, warn
from fissura.errors import FissuraError, ImageError, OutputError, SettingsError
from fissura.geo.odm import describe_missing, read_alignment
from fissura.geo.raster import read_placement
from fissura.geo.route import Route, read_route
from fissura.imaging.find import SourceImage, find_images, plan_names
from fissura.imaging.media import VIDEO_SUFFIXES, is_stream
from fissura.imaging.read import read_size_hw
from fissura.imaging.write import is_fatal, is_full, write_bytes
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.mask_folder import MaskFolder
from fissura.measure.doubtful import check_who_says
from fissura.measure.rules import RuleSet, read_rules
from fissura.report.records import SurveyFrame, SurveyResult
from fissura.survey.assemble import Findings, assemble
from fissura.survey.photo_stage import PhotoStage
from fissura.survey.request import SurveyRequest, describe_changes, describe_settings, shown_source
from fissura.survey.run_folder import RunFolder

_LARGE_PIXELS = 150_000_000
"""A TIFF above this is read by windows even if it has no place on the map."""


@dataclass(frozen=True)
class Inputs:
    """What is surveyed, by how it is worked on.

    Attributes:
        photos: Pictures that fit into memory.
        rasters: GeoTIFFs, and other very large TIFFs.
        videos: Files, addresses, cameras; with the name of each in the run and in the tables.
        names: Name of each photo and raster in the run: a path without suffix.
        sources: What each is called in the tables.
        nothing: Sources in which nothing was found, with the reason.
    """

    photos: tuple[SourceImage, ...]
    rasters: tuple[SourceImage, ...]
    videos: tuple[tuple[str, str, str], ...]
    names: dict[Path, str]
    sources: dict[Path, str]
    nothing: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.photos) + len(self.rasters) + len(self.videos)


def run_survey(request: SurveyRequest) -> int:
    """Survey all sources, write every result, and return the exit status.

    Raises:
        FissuraError: The run could not start: no input, an option, the model, the output folder.
    """
    request.check()
    rules = read_rules(request.rules) if request.rules else None
    route = read_route(request.route, crs=request.route_crs) if request.route else None
    alignment = read_alignment(request.alignment) if request.alignment else {}
    inputs = find_inputs(request)
    if not len(inputs):
        raise ImageError("nothing to do: " + "; ".join(f"{source}: {reason}" for source, reason in inputs.nothing))
    masks = _find_masks(request, inputs)
    segmenter = None if masks is not None else _load(request, request.threads)
    check_who_says(request.least_confidence, None if segmenter is None else segmenter.card)
    folder = RunFolder(request.out, describe_settings(request, segmenter, alignment), request.options())
    if request.overwrite:
        folder.check_given({
            "--mask": request.mask, "--telemetry": request.telemetry, "--route": request.route,
            "--alignment": request.alignment,
        })  # fmt: skip
    folder.open(overwrite=request.overwrite)
    if folder.changed:
        say(describe_changes(folder.changed, older=folder.is_older), quiet=request.quiet)
    run = _Run(request, folder, rules, route, alignment, masks, segmenter)
    return run.work(inputs)


def find_inputs(request: SurveyRequest) -> Inputs:
    """Sort the sources; the run's own folder never counts.

    Raises:
        SettingsError: Masks are given and there is something else than photos.
    """
    streams = [s for s in request.sources if is_stream(s)]
    out = Path(os.path.abspath(request.out))
    shut = [out]
    if request.mask is not None and request.mask.is_dir():
        shut.append(Path(os.path.abspath(request.mask)))
    found = find_images([s for s in request.sources if s not in streams], exclude=shut, videos=True)
    # A folder in which only the run's own files are left says nothing of use.
    images = [i for i in found.images if out not in i.path.parents]
    films = [i for i in images if i.path.suffix.lower() in VIDEO_SUFFIXES]
    rasters = [i for i in images if i not in films and _is_raster(i.path)]
    photos = [i for i in images if i not in films and i not in rasters]
    names = plan_names(images, {})
    count = Counter(str(i.relative) for i in images)
    sources = {i.path: str(i.relative) if count[str(i.relative)] == 1 else names[i.path] for i in images}
    videos = [(str(i.path), names[i.path], sources[i.path]) for i in films]
    videos += _name_streams(streams, {*names.values(), *sources.values()})
    if request.mask is not None and (rasters or videos):
        raise SettingsError("--mask is for photos; survey videos and GeoTIFFs in a run of their own, without it")
    return Inputs(tuple(photos), tuple(rasters), tuple(videos), names, sources, found.nothing)


def _name_streams(streams: Sequence[str], taken: set[str]) -> list[tuple[str, str, str]]:
    """Streams with their names in the run and in the tables, none of which another input has."""
    shown = [f"camera {s}" if s.isdigit() else Path(shown_source(s)).name for s in streams]
    keys = (key for k in itertools.count(1) if (key := f"stream_{k}") not in taken)
    return [
        (stream, key, name if name not in taken and shown.count(name) == 1 else f"{key} {name}")
        for stream, name, key in zip(streams, shown, keys, strict=False)
    ]


def _is_raster(path: Path) -> bool:
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        if read_placement(path) is not None:
            return True
        height, width = read_size_hw(path)
    except FissuraError:
        return False
    return height * width > _LARGE_PIXELS


def _find_masks(request: SurveyRequest, inputs: Inputs) -> MaskFolder | None:
    return None if request.mask is None else MaskFolder(request.mask, inputs.photos)


def _load(request: SurveyRequest, threads: int | None) -> Segmenter:
    return load_segmenter(
        request.model, engine=request.engine, precision=None if request.precision == "auto" else request.precision,
        threads=threads, threshold=request.threshold,
    )  # fmt: skip


@dataclass
class _Run:
    request: SurveyRequest
    folder: RunFolder
    rules: RuleSet | None
    route: Route | None
    alignment: dict[str, Any]
    masks: MaskFolder | None
    segmenter: Segmenter | None
    found: Findings = field(default_factory=Findings)
    figures: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False

    def work(self, inputs: Inputs) -> int:
        """All stages; whatever happens, what is finished is reported."""
        for source, reason in inputs.nothing:
            self._fail(source, reason)
        stages: list[Callable[[], None]] = [partial(self._photos, inputs)] if inputs.photos else []
        stages += [partial(self._raster, image, inputs) for image in inputs.rasters]
        stages += [partial(self._video, *video) for video in inputs.videos]
        stopped: OutputError | None = None
        for done, stage in enumerate(stages, start=1):
            try:
                stage()
            except OutputError as error:
                if not is_fatal(error):
                    raise
                stopped = error
                break
            if self.interrupted:
                self._leave_out(len(stages) - done)
                break
        return self._finish(inputs, stopped)

    def _leave_out(self, count: int) -> None:
        """What the user's Ctrl-C leaves to another run."""
        if count:
            self.found.complete = False
            inputs = "1 input was" if count == 1 else f"{count} inputs were"
            self.found.notes.append(f"stopped by Ctrl-C: {inputs} not surveyed; the same command goes on from here")

    # -- stages -------------------------------------------------------------------------------------------------

    def _photos(self, inputs: Inputs) -> None:
        with self._timed("photos"):
            stage = PhotoStage(
                self.request, self.folder, self._workers(len(inputs.photos)), self.masks, self.rules, self.alignment,
                self.route,
            )  # fmt: skip
            stage.run(inputs.photos, inputs.names, inputs.sources)
        self.found.frames += stage.frames
        self.found.grounds += stage.grounds
        self.found.tracks += stage.tracks
        missing = describe_missing([i.path.name for i in inputs.photos], self.alignment) if self.alignment else None
        if missing is not None:
            self.found.notes.append(missing)

    def _workers(self, photos: int) -> list[Segmenter]:
        """A network for each photo that is worked on at the same time."""
        if self.segmenter is None:
            return []
        cores = os.cpu_count() or 1
        count = min(self.request.workers or min(cores, 2), photos)
        if count == 1:
            return [self.segmenter]
        return [_load(self.request, self.request.threads or max(cores // count, 1)) for _ in range(count)]

    def _raster(self, image: SourceImage, inputs: Inputs) -> None:
        from fissura.survey.raster_run import survey_one_raster

        assert self.segmenter is not None
        source = inputs.sources[image.path]
        with self._guarded(source, str(image.path), "raster"), self._timed("rasters"):
            frame, record = survey_one_raster(
                self.request, image.path, inputs.names[image.path], source, self.folder, self.segmenter, self.rules
            )
            self.found.frames.append(frame)
            self.found.grounds.append(record)

    def _video(self, source: str, key: str, name: str) -> None:
        from fissura.survey.video_stage import survey_video

        assert self.segmenter is not None
        with self._guarded(name, shown_source(source), "video"), self._timed("videos"):
            outcome = survey_video(self.request, source, key, name, self.folder, self.segmenter, self.rules)
            self.found.frames += outcome.frames
            self.found.grounds += outcome.grounds
            self.found.notes += outcome.notes
            self.found.complete &= outcome.complete
            self.interrupted |= outcome.stopped
            self.figures.append(outcome.figures)
            if outcome.track:
                self.found.tracks.append((key, np.array(outcome.track)))

    @contextmanager
    def _guarded(self, name: str, source: str, kind: Any) -> Any:
        """One bad input never stops a batch; a full disk does."""
        try:
            yield
        except Exception as error:
            if isinstance(error, OutputError) and is_fatal(error):
                raise
            if self.request.debug:
                traceback.print_exception(error)
            text = str(error)
            if not isinstance(error, FissuraError):
                text = f"{type(error).__name__}: {error}; run with --debug for the trace"
            self._fail(name, text, source=source, kind=kind)

    def _fail(self, name: str, reason: str, *, source: str = "", kind: Any = "photo") -> None:
        warn(f"failed: {name}: {reason}")
        self.folder.log(f"input {name} failed {reason}", {"input": source or name, "status": "failed", "error": reason})
        self.found.frames.append(SurveyFrame(name, source or name, kind=kind, status="failed", error=reason))

    @contextmanager
    def _timed(self, stage: str) -> Any:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.found.seconds[stage] = self.found.seconds.get(stage, 0.0) + time.perf_counter() - start

    # -- results ------------------------------------------------------------------------------------------------

    def _finish(self, inputs: Inputs, stopped: OutputError | None) -> int:
        done = [f for f in self.found.frames if f.status == "done"]
        failed = [f for f in self.found.frames if f.status == "failed"]
        self.found.stopped = not self.found.complete or stopped is not None
        self.found.complete &= not failed and stopped is None
        if stopped is not None:
            warn(f"error: stopped: {stopped}")
        if not done:
            warn("error: none of the inputs could be surveyed; the lines above say why")
            return EXIT_NOT_STARTED if not self.figures and stopped is None else EXIT_SOME_FAILED
        try:
            result = self._report(inputs)
        except OutputError as error:
            warn(f"error: {error}")
            warn("what was found is kept; make room, and the same command goes on from here")
            return EXIT_SOME_FAILED
        self._say(result, failed)
        return EXIT_OK if self.found.complete else EXIT_SOME_FAILED

    def _report(self, inputs: Inputs) -> SurveyResult:
        from fissura.report.deliver import write_deliverables
        from fissura.report.page import write_report

        say("writing the map, the tables and the report", quiet=self.request.quiet)
        with self._timed("report"):
            result = assemble(
                self.found, title=_title(self.request), folder=self.folder.out,
                card=None if self.segmenter is None else self.segmenter.card, rules=self.rules, route=self.route,
                section_length_m=self.request.section_length_m, settings=self.request.options(),
                created_at=datetime.now().astimezone().replace(microsecond=0),
            )  # fmt: skip
            problem: OutputError | None = None
            try:
                write_deliverables(result)
            except OutputError as error:
                if is_full(error):
                    raise
                problem = error  # a table that is open in another program: the report can still be written
            self._write_summary(result)
            write_report(result)
        if problem is not None:
            self.found.complete = False
            warn(f"failed: {problem}")
        return result

    def _write_summary(self, result: SurveyResult) -> None:
        frames = result.frames
        summary = {
            "fissura": __version__, "complete": result.complete,
            "model": None if result.model is None else f"{result.model.name} {result.model.version}",
            "frames": len(frames),
            "failed": [{"input": f.name, "error": f.error} for f in frames if f.status == "failed"],
            "cracks": len({c.fields["crack_id"] for c in result.cracks}), "branches": len(result.cracks),
            "length_m": _sum(c.fields.get("length_m") for c in result.cracks),
            "length_px": _sum(c.fields.get("length_px") for c in result.cracks),
            "areas": len(result.areas), "area_m2": _sum(a.fields.get("area_m2") for a in result.areas),
            "ground_m2": {g.state: None if g.area_m2 is None else round(g.area_m2, 2) for g in result.ground},
            "crs": result.crs, "seconds": result.seconds, "videos": self.figures, "notes": list(result.notes),
        }  # fmt: skip
        text = json.dumps(summary, indent=2, ensure_ascii=False, default=str) + "\n"
        write_bytes(self.folder.out / "summary.json", text.encode("utf-8", "backslashreplace"))

    def _say(self, result: SurveyResult, failed: Sequence[SurveyFrame]) -> None:
        quiet, out = self.request.quiet, self.folder.out
        for note in result.notes[:12]:
            say(f"note: {note}", quiet=quiet)
        if len(result.notes) > 12:
            say(f"note: {len(result.notes) - 12} more notes are in the report", quiet=quiet)
        if failed:
            warn(f"{len(failed)} inputs failed:")
            for frame in failed[:20]:
                warn(f"  {frame.name}: {frame.error}")
        say(describe_result(result), quiet=quiet)
        say(f"results: {out / 'cracks.gpkg'} (QGIS), {out / 'cracks.xlsx'}, {out / 'cracks.csv'}", quiet=quiet)
        say(f"next: open {out / 'report.html'} in a browser", quiet=quiet)


def describe_result(result: SurveyResult) -> str:
    """The closing line."""
    count = len({c.fields["crack_id"] for c in result.cracks})
    metres = _sum(c.fields.get("length_m") for c in result.cracks)
    pixels = _sum(c.fields.get("length_px") for c in result.cracks)
    parts = [f"{count} cracks"]
    parts += [f"{metres:.1f} m in all"] if metres else []
    parts += [f"{pixels:.0f} px where there is no scale"] if pixels else []
    area = _sum(a.fields.get("area_m2") for a in result.areas)
    parts += [f"{area:.1f} m² of alligator cracking"] if area else []
    seen = sum(g.area_m2 or 0.0 for g in result.ground if g.state == "inspected")
    parts += [f"on {seen:.0f} m² inspected"] if seen else []
    return ", ".join(parts)


def _sum(values: Any) -> float:
    return round(float(sum(v for v in values if isinstance(v, (int, float)))), 4)


def _title(request: SurveyRequest) -> str:
    names = [Path(shown_source(s)).name or s for s in request.sources]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
