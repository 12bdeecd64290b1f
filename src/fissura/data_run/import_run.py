"""``fissura data import``: annotations of labelling tools as a data set of images and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fissura.cli.console import EXIT_NOT_STARTED, ProgressLine, Tally, say, warn
from fissura.data.labels.formats import check_format, read_annotations
from fissura.data.labels.pictures import PictureFolder, displayed_size_hw, plan_stems
from fissura.data.labels.shapes import Annotation, draw_shapes
from fissura.data.labels.yolo import to_pixels
from fissura.data_run.folders import copy_file, prepare_out
from fissura.errors import DataError, FissuraError, OutputError, SettingsError
from fissura.imaging.write import is_fatal, write_bytes, write_mask

LINE_PX = 3.0
"""Width of lines that are drawn along a crack, where --line-px does not say otherwise."""


@dataclass(frozen=True)
class ImportRequest:
    """The options of ``fissura data import``, as given."""

    source: Path
    format: str
    out: Path
    images: Path | None = None
    labels: tuple[str, ...] = ()
    line_px: float = LINE_PX
    masks_only: bool = False
    overwrite: bool = False
    quiet: bool = False
    debug: bool = False

    def check(self) -> None:
        """Raise SettingsError for options that make no sense."""
        check_format(self.format)
        if not 0.5 <= self.line_px <= 500:
            raise SettingsError(f"--line-px is {self.line_px:g}; give pixels from 0.5 to 500")
        if self.images is not None and not self.images.is_dir():
            raise SettingsError(f"--images {self.images} is no folder; give the folder that holds the pictures")


@dataclass
class _Run:
    request: ImportRequest
    pictures: PictureFolder
    tally: Tally = field(default_factory=Tally)
    ignored: dict[str, int] = field(default_factory=dict)
    crack_px: int = 0
    empty: int = 0
    boxed: list[str] = field(default_factory=list)


def run_import(request: ImportRequest) -> int:
    """Write ``images/`` and ``masks/`` and return the exit status.

    Raises:
        FissuraError: The run could not start: nothing to read, another format, several classes and no choice,
            ``--out`` in use or not writable.
    """
    request.check()
    annotations = read_annotations(request.format, request.source)
    wanted = _choose_labels(annotations, request.labels)
    prepare_out(request.out, overwrite=request.overwrite)
    run = _Run(request, PictureFolder(_picture_folders(request)))
    stems = plan_stems([a.name for a in annotations])
    with ProgressLine("importing", len(annotations), quiet=request.quiet) as progress:
        for annotation, stem in zip(annotations, stems, strict=True):
            shapes = tuple(s for s in annotation.shapes if s.label in wanted)
            try:
                _import_one(run, replace(annotation, shapes=shapes), stem)
                run.tally.done += 1
            except OutputError as error:
                if is_fatal(error):
                    raise
                run.tally.fail(annotation.name, error)
            except FissuraError as error:
                run.tally.fail(annotation.name, error)
            progress.advance(annotation.name)
    return _finish(run)


def _choose_labels(annotations: Sequence[Annotation], asked: tuple[str, ...]) -> set[str]:
    """Classes that are crack: those asked for, or the only one there is."""
    present = sorted({shape.label for a in annotations for shape in a.shapes})
    if asked:
        unknown = sorted(set(asked) - set(present))
        if unknown and present:
            raise SettingsError(f"--label {unknown[0]}: there is no such class; there are {', '.join(present)}")
        return set(asked)
    if len(present) > 1:
        raise SettingsError(
            f"there are {len(present)} classes ({', '.join(present[:8])}); pass --label NAME for each that is crack"
        )
    return set(present)


def _picture_folders(request: ImportRequest) -> list[Path]:
    if request.images is not None:
        return [request.images]
    source = request.source
    folder = source if source.is_dir() else source.parent
    beside = [folder / "images", folder.parent / "images"]
    return [next((path for path in beside if path.is_dir()), folder)]


def _import_one(run: _Run, annotation: Annotation, stem: str) -> None:
    request = run.request
    if annotation.problem:
        raise DataError(annotation.problem)
    picture: Path | bytes | None = None
    try:
        picture = run.pictures.find(annotation.name)
    except DataError as error:
        picture = annotation.embedded
        if picture is None and annotation.size_hw is None:
            raise DataError(f"{error}; the labels do not tell its size, which a mask needs") from error
        if picture is None and not request.masks_only:
            raise DataError(f"{error}, or --masks-only to write masks alone") from error
    size_hw = _size_hw(annotation, picture)
    if request.format == "yolo-seg":
        annotation = to_pixels(annotation, size_hw)
    mask = draw_shapes(annotation.shapes, size_hw, line_px=request.line_px)
    write_mask(request.out / "masks" / f"{stem}.png", mask)
    if not request.masks_only:
        if isinstance(picture, Path):
            copy_file(picture, request.out / "images" / f"{stem}{picture.suffix}")
        elif picture is not None:
            suffix = ".png" if picture[:4] == b"\x89PNG" else ".jpg"
            write_bytes(request.out / "images" / f"{stem}{suffix}", picture)
    for kind, count in annotation.ignored:
        run.ignored[kind] = run.ignored.get(kind, 0) + count
    run.crack_px += int(np.count_nonzero(mask))
    run.empty += not mask.any()
    if annotation.ignored and not mask.any():
        run.boxed.append(annotation.name)


def _size_hw(annotation: Annotation, picture: Path | bytes | None) -> tuple[int, int]:
    if picture is None:
        assert annotation.size_hw is not None
        return annotation.size_hw
    size_hw = displayed_size_hw(picture)
    if annotation.size_hw is not None and annotation.size_hw != size_hw:
        raise DataError(
            f"the annotation is for {annotation.size_hw[1]}x{annotation.size_hw[0]} but the picture is "
            f"{size_hw[1]}x{size_hw[0]}; give the pictures that were annotated"
        )
    return size_hw


def _finish(run: _Run) -> int:
    request, tally = run.request, run.tally
    for kind, count in sorted(run.ignored.items()):
        warn(f"{count} shape(s) of kind {kind} left out: they say where a crack is, not which pixels")
    if run.boxed:
        warn(
            f"{len(run.boxed)} picture(s) have such shapes and no outline, so their masks say that there is no crack "
            f"({', '.join(run.boxed[:3])}{', …' if len(run.boxed) > 3 else ''}); draw outlines there, or take them out"
        )
    if not tally.done:
        say("nothing could be imported; the lines above say why")
        return EXIT_NOT_STARTED
    say(
        f"{tally.done} pictures, {run.empty} of them without crack, {run.crack_px} crack pixels; "
        f"written to {request.out}", quiet=request.quiet,
    )  # fmt: skip
    if tally.failed:
        say(f"{len(tally.failed)} failed and left out; they are listed above")
    return tally.exit_status
