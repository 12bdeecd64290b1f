"""The run behind ``fissura road``: road mask, direction and slices of pictures and of frames of videos."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fissura.cli.console import (
    EXIT_INTERRUPTED,
    EXIT_NOT_STARTED,
    EXIT_SOME_FAILED,
    ProgressLine,
    Tally,
    say,
    warn,
)
from fissura.errors import FissuraError, ImageError, OutputError, SettingsError
from fissura.imaging.find import SourceImage, find_images, plan_names
from fissura.imaging.media import is_stream, is_video
from fissura.imaging.read import read_image
from fissura.imaging.video_queue import explain_early_end
from fissura.imaging.video_source import parse_source
from fissura.imaging.write import is_fatal, write_bytes, write_jpeg, write_mask
from fissura.road import Road, RoadSlices, find_road, plan_slices
from fissura.road.overlay import draw_road
from fissura.types import RgbImage

_Input = tuple[str, Callable[[], None]]


@dataclass(frozen=True)
class RoadRequest:
    """The options of ``fissura road``, as given."""

    sources: tuple[str, ...]
    out: Path
    tile: int = 256
    overlap: int = 64
    scale: float = 1.0
    every_s: float = 2.0
    quiet: bool = False
    debug: bool = False

    def check(self) -> None:
        """Raise SettingsError for values out of range."""
        if not 0.1 <= self.scale <= 8:
            raise SettingsError(f"--scale is {self.scale:g}; give a factor from 0.1 to 8")
        if not self.every_s > 0:
            raise SettingsError(f"--every is {self.every_s:g}; give seconds above 0")


@dataclass
class _Run:
    request: RoadRequest
    tally: Tally = field(default_factory=Tally)
    records: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    names_taken: set[str] = field(default_factory=set)


def run_road(request: RoadRequest) -> int:
    """Find the road in all sources and return the exit status.

    Raises:
        FissuraError: The run could not start: no input, an option.
        OutputError: ``road.json`` cannot be written.
    """
    request.check()
    streams = [source for source in request.sources if is_stream(source)]
    files = [source for source in request.sources if source not in streams]
    found = find_images(files, exclude=[request.out / "road", request.out / "overlays"], videos=True)
    if not found.images and not streams:
        raise ImageError("nothing to do: " + "; ".join(f"{source}: {reason}" for source, reason in found.nothing))
    run = _Run(request)
    for source, reason in found.nothing:
        run.tally.fail(source, ImageError(reason))
    inputs = _plan(run, found.images, streams)
    stopped: OutputError | None = None
    interrupted = False
    try:
        stopped = _work(run, inputs)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        _write_records(run)
    _say_summary(run)
    if interrupted:
        warn(f"stopped; {len(run.records)} frames are in {request.out / 'road.json'}, the same command begins anew")
        return EXIT_INTERRUPTED
    if stopped is not None:
        warn(f"error: stopped, the rest is not done: {stopped}")
        return EXIT_SOME_FAILED if run.records else EXIT_NOT_STARTED
    return run.tally.exit_status


def _plan(run: _Run, images: tuple[SourceImage, ...], streams: list[str]) -> list[_Input]:
    """Each input as messages name it, and what is to be done with it."""
    names = plan_names(images, {})
    run.names_taken = {name.casefold() for name in names.values()}
    inputs: list[_Input] = []
    for image in images:
        work = _video if is_video(str(image.path)) else _picture
        inputs.append((str(image.relative), partial(work, run, str(image.path), names[image.path])))
    for stream in streams:
        # Addresses may hold passwords: of a stream only this is shown and kept.
        shown = parse_source(stream).shown
        inputs.append((shown, partial(_video, run, stream, Path(shown).stem)))
    return inputs


def _work(run: _Run, inputs: list[_Input]) -> OutputError | None:
    """Process all inputs; returns the error after which nothing more can be written."""
    with ProgressLine("road", len(inputs), quiet=run.request.quiet, unit="inputs") as line:
        for source, process in inputs:
            try:
                process()
                run.tally.done += 1
            except OutputError as error:
                if is_fatal(error):
                    return error
                _fail(run, source, error)
            # One bad input never stops a batch, whatever it makes a library do.
            except Exception as error:
                _fail(run, source, error)
            line.advance(source)
    return None


def _fail(run: _Run, source: str, error: Exception) -> None:
    if run.request.debug:
        traceback.print_exception(error)
    if not isinstance(error, FissuraError):
        error = ImageError(f"{type(error).__name__}: {error}; run with --debug for the trace")
    run.tally.fail(source, error)


def _write_records(run: _Run) -> None:
    content: dict[str, Any] = {"frames": run.records} | ({"notes": run.notes} if run.notes else {})
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    # Names that are not UTF-8 become JSON's own escapes.
    write_bytes(run.request.out / "road.json", text.encode("utf-8", "backslashreplace"))


def _picture(run: _Run, path: str, name: str) -> None:
    _frame(run, read_image(Path(path)).rgb, name, {"source": path})


def _video(run: _Run, address: str, name: str) -> None:
    from fissura.imaging.video import open_video

    source, last = parse_source(address).shown, -math.inf
    with open_video(address) as video:
        for frame in video:
            if frame.time_s - last >= run.request.every_s - 1e-6:
                last = frame.time_s
                where = {"source": source, "frame": frame.index, "time_s": round(frame.time_s, 4)}
                _frame(run, frame.rgb(), _free_name(run, f"{name}_{frame.index:06d}"), where)
        for note in video.notes:
            run.notes.append({"source": source, "note": note})
            say(f"note: {source}: {note}", quiet=run.request.quiet)
        if flaw := explain_early_end(video.notes):
            raise ImageError(flaw)


def _free_name(run: _Run, name: str) -> str:
    """The name of a frame; one that a picture or another stream's frame has gets an underscore."""
    while name.casefold() in run.names_taken:
        name += "_"
    run.names_taken.add(name.casefold())
    return name


def _frame(run: _Run, rgb: RgbImage, name: str, where: dict[str, Any]) -> None:
    request = run.request
    road = find_road(rgb)
    slices = plan_slices(road, tile=request.tile, overlap=request.overlap, scale=request.scale)
    write_mask(request.out / "road" / f"{name}.png", road.full_mask())
    write_jpeg(request.out / "overlays" / f"{name}.jpg", draw_road(rgb, road, slices))
    run.records.append({"name": name, **where, **describe_road(road, slices)})


def describe_road(road: Road, slices: RoadSlices) -> dict[str, Any]:
    """Plain values for ``road.json``; corners as (row, column) from the upper left of the slice, clockwise."""
    return {
        "size_hw": list(road.size_hw), "found": road.found, "kind": slices.kind,
        "direction_deg": None if road.direction_deg is None else round(road.direction_deg, 2),
        "confidence": round(road.confidence, 3), "road_share": round(float(road.mask.mean()), 4),
        "slices": [
            {"direction_deg": round(piece.direction_deg, 2), "corners_rc": np.round(piece.corners_rc, 2).tolist()}
            for piece in slices.slices
        ],
    }  # fmt: skip


def _say_summary(run: _Run) -> None:
    request = run.request
    if run.tally.failed:
        warn(f"{len(run.tally.failed)} failed")
    without = sum(not record["found"] for record in run.records)
    say(
        f"done: {len(run.records)} frames, {without} of them without a road, {len(run.tally.failed)} inputs failed",
        quiet=request.quiet,
    )
    say(
        f"results: {request.out / 'road'}, {request.out / 'overlays'}, {request.out / 'road.json'}", quiet=request.quiet
    )
