"""The run behind ``fissura road``: road mask, direction and slices of pictures and of frames of videos."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fissura.cli.console import EXIT_SOME_FAILED, ProgressLine, Tally, say, warn
from fissura.errors import FissuraError, ImageError, OutputError, SettingsError
from fissura.imaging.find import find_images, plan_names
from fissura.imaging.media import is_video
from fissura.imaging.read import read_image
from fissura.imaging.write import write_bytes, write_jpeg, write_mask
from fissura.road import Road, RoadSlices, find_road, plan_slices
from fissura.road.overlay import draw_road
from fissura.types import RgbImage


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


def run_road(request: RoadRequest) -> int:
    """Find the road in all sources and return the exit status.

    Raises:
        FissuraError: The run could not start: no input, an option.
        OutputError: The results cannot be written.
    """
    request.check()
    videos = [s for s in request.sources if is_video(s)]
    pictures = [s for s in request.sources if not is_video(s)]
    found = find_images(pictures, exclude=[request.out / "road", request.out / "overlays"])
    if not found.images and not videos:
        raise ImageError("nothing to do: " + "; ".join(f"{source}: {reason}" for source, reason in found.nothing))
    run = _Run(request)
    for source, reason in found.nothing:
        run.tally.fail(source, ImageError(reason))
    names = plan_names(found.images, {})
    with ProgressLine("road", len(found.images) + len(videos), quiet=request.quiet, unit="inputs") as line:
        for image in found.images:
            _guarded(run, str(image.relative), lambda image=image: _picture(run, image.path, names[image.path]))
            line.advance(image.path.name)
        for source in videos:
            _guarded(run, source, lambda source=source: _video(run, source))
            line.advance(Path(source).name)
    text = json.dumps({"frames": run.records}, indent=1, ensure_ascii=False) + "\n"
    write_bytes(request.out / "road.json", text.encode())
    _say_summary(run)
    return EXIT_SOME_FAILED if run.tally.failed else run.tally.exit_status


def _guarded(run: _Run, source: str, work: Any) -> None:
    """One bad input never stops a batch; an output that cannot be written does."""
    try:
        work()
        run.tally.done += 1
    except OutputError:
        raise
    except FissuraError as error:
        run.tally.fail(source, error)
    except Exception as error:
        if run.request.debug:
            raise
        run.tally.fail(source, ImageError(f"{type(error).__name__}: {error}; run with --debug for the trace"))


def _picture(run: _Run, path: Path, name: str) -> None:
    _frame(run, read_image(path).rgb, name, {"source": str(path)})


def _video(run: _Run, source: str) -> None:
    for rgb, index, time_s in _sampled(source, run.request.every_s):
        name = f"{Path(source).stem}_{index:06d}"
        _frame(run, rgb, name, {"source": source, "frame": index, "time_s": round(time_s, 4)})


def _sampled(source: str, every_s: float) -> Iterator[tuple[RgbImage, int, float]]:
    from fissura.imaging.video import open_video

    last = -np.inf
    with open_video(source) as video:
        for frame in video:
            if frame.time_s - last >= every_s - 1e-6:
                last = frame.time_s
                yield frame.rgb(), frame.index, frame.time_s


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
