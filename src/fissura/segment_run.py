"""The run behind ``fissura segment``: many inputs into a `ResultFolder`, whatever single files do."""

from __future__ import annotations

import hashlib
import math
import os
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fissura.cli.console import EXIT_NOT_STARTED, EXIT_SOME_FAILED, ProgressLine, Tally, say, warn
from fissura.errors import FissuraError, ImageError, OutputError, SettingsError
from fissura.imaging.find import SourceImage, find_images, plan_names
from fissura.imaging.media import is_stream, is_video
from fissura.imaging.overlay import draw_overlay, plan_overlay_factor, reduce_mask, reduce_rgb
from fissura.imaging.read import read_size_hw
from fissura.imaging.roi import Roi
from fissura.imaging.scene import Scene, open_scenes
from fissura.imaging.video_queue import explain_early_end
from fissura.imaging.video_source import parse_source
from fissura.imaging.write import is_fatal, write_geotiff, write_jpeg, write_mask, write_png
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.results import KINDS, ImageResult, PageResult, ResultFolder
from fissura.segmenting import Progress, SceneResult, count_megapixels, drop_short, parse_scale, segment_scene
from fissura.types import BoolMask

_LARGE_FILE_BYTES = 3_000_000
_NOTES_SHOWN = 5


@dataclass(frozen=True)
class SegmentRequest:
    """The options of ``fissura segment``, as given."""

    sources: tuple[str, ...]
    out: Path
    model: str = "fast"
    engine: str = "openvino"
    precision: str = "auto"
    threads: int | None = None
    threshold: float | None = None
    scale: str = "auto"
    min_length_px: float = 0.0
    roi: Path | None = None
    probability: bool = False
    overlays: bool = True
    overwrite: bool = False
    quiet: bool = False
    debug: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is written for every image."""
        return tuple(k for k, on in zip(KINDS, (True, self.probability, self.overlays), strict=True) if on)


def run_segment(request: SegmentRequest) -> int:
    """Segment all sources and return the exit status.

    Raises:
        FissuraError: The run could not start: no images, an option, the model, the output folder.
    """
    if not (math.isfinite(request.min_length_px) and request.min_length_px >= 0):
        raise SettingsError(f"--min-length is {request.min_length_px:g}; give 0 or more pixels")
    scale = parse_scale(request.scale)
    for source in request.sources:
        if is_stream(source):
            raise SettingsError(
                f"{parse_source(source).shown} is a stream; 'fissura survey' follows streams, "
                "'fissura segment' takes files"
            )
    found = find_images(request.sources, exclude=[request.out / kind for kind in KINDS], videos=True)
    if not found.images:
        raise ImageError("nothing to do: " + "; ".join(f"{source}: {reason}" for source, reason in found.nothing))
    roi = Roi(request.roi) if request.roi else None
    segmenter = load_segmenter(
        request.model,
        engine=request.engine,
        precision=None if request.precision == "auto" else request.precision,
        threads=request.threads,
        threshold=request.threshold,
    )
    folder = ResultFolder(request.out, _describe_settings(request, segmenter))
    folder.open(overwrite=request.overwrite)
    return _Run(request, segmenter, folder, scale, roi).work(found.images, found.nothing)


def _describe_settings(request: SegmentRequest, segmenter: Segmenter) -> dict[str, Any]:
    """Everything that results depend on."""
    card = segmenter.card
    checksum = hashlib.sha256(card.model_dump_json().encode())
    model_file = Path(request.model)
    if model_file.is_file():
        checksum.update(model_file.read_bytes())
    roi = hashlib.sha256(request.roi.read_bytes()).hexdigest()[:12] if request.roi else None
    return {
        "model": f"{card.name} {card.version}", "model_checksum": checksum.hexdigest()[:12],
        "engine": segmenter.backend.description, "threshold": segmenter.threshold, "scale": request.scale,
        "min_length_px": request.min_length_px, "roi": roi,
    }  # fmt: skip


@dataclass
class _Run:
    """State of one run."""

    request: SegmentRequest
    segmenter: Segmenter
    folder: ResultFolder
    scale: float | None
    roi: Roi | None
    tally: Tally = field(default_factory=Tally)
    results: list[ImageResult] = field(default_factory=list)
    names_taken: set[str] = field(default_factory=set)
    notes_shown: set[str] = field(default_factory=set)

    def work(self, images: tuple[SourceImage, ...], nothing: tuple[tuple[str, str], ...]) -> int:
        for source, reason in nothing:
            self.tally.fail(source, ImageError(reason))
        names = plan_names(images, self.folder.given_names)
        self.names_taken = {name.casefold() for name in (*names.values(), *self.folder.known_names.values())}
        todo = []
        for image in images:
            finished = None if self.request.overwrite else self.folder.find_finished(image.path, self.request.kinds)
            if finished is None:
                todo.append(image)
            else:
                self.tally.skipped += 1
                self.results.append(finished)
                if finished.flaw:
                    self._fail(image, ImageError(finished.flaw))
        if self.tally.skipped:
            say(
                f"{self.tally.skipped} finished results are kept (--overwrite makes them anew)",
                quiet=self.request.quiet,
            )
        started = time.monotonic()
        stopped = self._process_all(todo, names)
        self._say_summary(time.monotonic() - started)
        if stopped is not None:
            left = len(todo) - self.tally.done
            warn(f"error: stopped, {left} of {len(images)} images are not done: {stopped}")
            return EXIT_SOME_FAILED if self.results else EXIT_NOT_STARTED
        return self.tally.exit_status

    def _process_all(self, todo: list[SourceImage], names: dict[Path, str]) -> OutputError | None:
        """Process what is left; returns the error after which nothing more can be written."""
        with _Meter(todo, self.scale, quiet=self.request.quiet) as meter:
            for image in todo:
                try:
                    status = os.stat(image.path)
                    pages, flaw = self._process(image, names[image.path], meter.progress)
                    self.results.append(self.folder.commit(image.path, names[image.path], status, pages, flaw=flaw))
                    if flaw:
                        self._fail(image, ImageError(flaw))
                    else:
                        self.tally.done += 1
                except OutputError as error:
                    if is_fatal(error):
                        return error
                    self._fail(image, error)
                # One bad file never stops a batch, whatever it makes a library do.
                except Exception as error:
                    self._fail(image, error)
                meter.finish(image)
        return None

    def _process(self, image: SourceImage, name: str, progress: Progress) -> tuple[list[PageResult], str]:
        """What was made, and why it is not all of the input; empty if it is."""
        if is_video(str(image.path)):
            return self._process_video(image, name)
        pages = []
        for scene in open_scenes(image.path):
            page_name = name if scene.pages == 1 else self._name_page(f"{name}.page{scene.page + 1:03d}")
            region = self.roi.fit(scene) if self.roi else None
            result = segment_scene(
                scene, self.segmenter, scale=self.scale, min_length_px=self.request.min_length_px, roi=region,
                progress=progress,
            )  # fmt: skip
            files = self._write(scene, result, page_name)
            cracks, looked_at = int(np.count_nonzero(result.mask)), _count_looked_at(result, region)
            pages.append(PageResult(files, scene.height, scene.width, cracks, looked_at, scene.notes))
            self._say_notes(image, scene.notes)
        return pages, ""

    def _process_video(self, image: SourceImage, name: str) -> tuple[list[PageResult], str]:
        """The frames that together show all ground; each is a page."""
        from fissura.survey.video_frames import segment_video

        if self.roi is not None:
            raise ImageError("--roi is a region of one picture and does not hold for a video; leave it out")
        self.folder.folder.mkdir(parents=True, exist_ok=True)
        pages: list[PageResult] = []
        flaws: list[str] = []
        for frame in segment_video(
            image.path, self.segmenter, folder=self.folder.folder, scale=self.scale or 1.0, notes=flaws
        ):
            mask = frame.probability > self.segmenter.threshold
            if self.request.min_length_px > 0:
                drop_short(mask, self.request.min_length_px)
            page = self._name_page(f"{name}/frame_{frame.index:06d}")
            files = {"masks": f"masks/{page}.png"}
            write_mask(self.folder.folder / files["masks"], mask)
            if self.request.probability:
                files["probability"] = f"probability/{page}.png"
                write_png(self.folder.folder / files["probability"], np.rint(frame.probability * 255).astype(np.uint8))
            if self.request.overlays:
                files["overlays"] = f"overlays/{page}.jpg"
                factor = plan_overlay_factor(*mask.shape)
                overlay = draw_overlay(reduce_rgb(frame.rgb, factor), reduce_mask(mask, factor))
                write_jpeg(self.folder.folder / files["overlays"], overlay)
            # What is wrong with the video as a whole is told once, with its first frame.
            notes = () if pages else tuple(flaws)
            self._say_notes(image, notes)
            if not frame.road_found:
                notes += ("no road found: the whole frame was looked at",)
            height, width = mask.shape
            pages.append(PageResult(files, height, width, int(np.count_nonzero(mask)), mask.size, notes))
        return pages, explain_early_end(flaws)

    def _write(self, scene: Scene, result: SceneResult, name: str) -> dict[str, str]:
        suffix = ".png" if scene.placement is None else ".tif"
        files = {"masks": f"masks/{name}{suffix}"}
        path = self.folder.folder / files["masks"]
        if scene.placement is None:
            write_mask(path, result.mask)
        else:
            write_geotiff(path, result.mask.view(np.uint8) * np.uint8(255), scene.placement, valid=result.valid)
        if self.request.probability:
            files["probability"] = f"probability/{name}{suffix}"
            path = self.folder.folder / files["probability"]
            if scene.placement is None:
                write_png(path, result.probability)
            else:
                write_geotiff(path, result.probability, scene.placement, valid=result.valid)
        if self.request.overlays:
            files["overlays"] = f"overlays/{name}.jpg"
            factor = plan_overlay_factor(scene.height, scene.width)
            overlay = draw_overlay(scene.overview(factor), reduce_mask(result.mask, factor))
            write_jpeg(self.folder.folder / files["overlays"], overlay)
        return files

    def _name_page(self, name: str) -> str:
        """The name of a page or a frame; one that an input has gets an underscore."""
        while name.casefold() in self.names_taken:
            name += "_"
        return name

    def _fail(self, image: SourceImage, error: Exception) -> None:
        if self.request.debug:
            traceback.print_exception(error)
        if not isinstance(error, FissuraError):
            kind = "does not fit into memory" if isinstance(error, MemoryError) else type(error).__name__
            error = ImageError(f"{kind}: {error}; run with --debug for the trace")
        self.tally.fail(str(image.path), error)

    def _say_notes(self, image: SourceImage, notes: tuple[str, ...]) -> None:
        for note in notes:
            if len(self.notes_shown) < _NOTES_SHOWN:
                say(f"note: {image.relative}: {note}", quiet=self.request.quiet)
            elif len(self.notes_shown) == _NOTES_SHOWN:
                say(f"further notes: see {self.folder.folder / 'results.jsonl'}", quiet=self.request.quiet)
            self.notes_shown.add(f"{image.path} {note}")

    def _say_summary(self, seconds: float) -> None:
        tally, quiet, out = self.tally, self.request.quiet, self.folder.folder
        if tally.failed:
            warn(f"{len(tally.failed)} failed:")
            for source, reason in tally.failed:
                warn(f"  {source}: {reason}")
        others = self.folder.count_others()
        if others:
            warn(f"{others} earlier results in {out} were made with other settings; see results.jsonl")
        if not self.results:
            return
        pages = [page for result in self.results for page in result.pages]
        share = sum(page.crack_pixels for page in pages) / max(1, sum(page.valid_pixels for page in pages))
        with_cracks = sum(page.crack_pixels > 0 for page in pages)
        kept = f", {tally.skipped} kept from before" if tally.skipped else ""
        speed = f", {_describe_speed(tally.done, seconds)}" if tally.done else ""
        say(f"done: {tally.done} images{kept}, {len(tally.failed)} failed{speed}", quiet=quiet)
        say(f"cracks: {100 * share:.2f} % of the pixels, in {with_cracks} of {len(pages)} pictures", quiet=quiet)
        say(f"results: {', '.join(str(out / kind) for kind in self.request.kinds)}", quiet=quiet)
        if self.request.overlays:
            say(f"next: look at the pictures in {out / 'overlays'}", quiet=quiet)


def _count_looked_at(result: SceneResult, region: BoolMask | None) -> int:
    counted = result.valid
    if region is not None:
        counted = region if counted is None else region & counted
    return result.mask.size if counted is None else int(np.count_nonzero(counted))


def _describe_speed(images: int, seconds: float) -> str:
    rate = images / max(seconds, 1e-3)
    return f"{rate:.3g} images/s" if rate >= 0.5 else f"{1 / rate:.1f} s per image"


class _Meter:
    """Progress in images, or in megapixels where large files would leave the line silent for long."""

    def __init__(self, todo: list[SourceImage], scale: float | None, *, quiet: bool) -> None:
        self._total, self._finished, self._done_mp, self._told = len(todo), 0, 0.0, 0
        self._goal_mp = 0.0
        self._sizes: dict[Path, float] = {}
        if any(_count_bytes(image.path) > _LARGE_FILE_BYTES for image in todo):
            for image in todo:
                try:
                    self._sizes[image.path] = count_megapixels(*read_size_hw(image.path), scale)
                except FissuraError:
                    # It fails again when its turn comes; a GeoTIFF that only GDAL reads counts by its bytes.
                    self._sizes[image.path] = _count_bytes(image.path) / 3e6
        total = max(1, math.ceil(sum(self._sizes.values()))) if self._sizes else len(todo)
        self._line = ProgressLine("segment", total, quiet=quiet, unit="megapixels" if self._sizes else "images")

    def __enter__(self) -> _Meter:
        self._line.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._line.__exit__(*error)

    def progress(self, megapixels: float) -> None:
        """Told by the image being worked on."""
        self._done_mp += megapixels
        if self._sizes:
            self._tell("")

    def finish(self, image: SourceImage) -> None:
        """The image is done or has failed."""
        self._finished += 1
        if not self._sizes:
            self._line.advance(str(image.relative))
            return
        self._goal_mp += self._sizes[image.path]
        self._done_mp = self._goal_mp
        self._tell(str(image.relative))

    def _tell(self, name: str) -> None:
        # The last step is kept back until the last result is written.
        total = self._line.total
        steps = (total if self._finished == self._total else min(int(self._done_mp), total - 1)) - self._told
        if steps > 0:
            self._told += steps
            self._line.advance(f"{self._finished}/{self._total} images {name}".strip(), steps)


def _count_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
