"""``fissura data export``: masks of data sets as annotations, with what they lose on the way."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fissura.cli.console import EXIT_NOT_STARTED, ProgressLine, Tally, say
from fissura.data.check.listing import list_set
from fissura.data.labels.formats import EXACT, check_format, open_sink
from fissura.data.labels.loss import Loss, compare_masks
from fissura.data.labels.pictures import displayed_size_hw
from fissura.data.labels.shapes import draw_shapes
from fissura.data.labels.sink import LabelSink
from fissura.data.pairs import Pair, find_sets, read_mask
from fissura.data_run.folders import copy_file, prepare_out
from fissura.errors import DataError, FissuraError, OutputError, SettingsError
from fissura.imaging.write import is_fatal, open_text


@dataclass(frozen=True)
class ExportRequest:
    """The options of ``fissura data export``, as given."""

    source: Path
    format: str
    out: Path
    simplify_px: float = 0.0
    with_images: bool = False
    overwrite: bool = False
    quiet: bool = False
    debug: bool = False

    def check(self) -> None:
        """Raise SettingsError for options that make no sense."""
        check_format(self.format)
        if not 0 <= self.simplify_px <= 20:
            raise SettingsError(f"--simplify is {self.simplify_px:g}; give pixels from 0 to 20")
        if self.simplify_px and self.format in EXACT:
            raise SettingsError(f"--simplify is for polygons; {self.format} holds the pixels themselves")


@dataclass
class _Run:
    request: ExportRequest
    tally: Tally = field(default_factory=Tally)
    losses: dict[str, Loss] = field(default_factory=dict)


def run_export(request: ExportRequest) -> int:
    """Export one set, or each set below a folder into a folder of its name; returns the exit status.

    Raises:
        FissuraError: The run could not start: no set, an unknown format, ``--out`` in use or not writable.
    """
    request.check()
    sets = find_sets(request.source)
    single_file = request.out.suffix.lower() in (".json", ".xml")
    if single_file and (len(sets) > 1 or request.with_images):
        raise SettingsError(f"--out {request.out} is one file; give a folder for several sets or for --with-images")
    prepare_out(request.out, overwrite=request.overwrite, file=single_file)
    run = _Run(request)
    listed = {name: list_set(folder, name) for name, folder in sets.items()}
    for name, files in listed.items():
        for problem in files.problems:
            run.tally.fail(f"{name}/{problem.file}", DataError(f"{problem.kind}: {problem.text}"))
    with ProgressLine("exporting", sum(len(f.pairs) for f in listed.values()), quiet=request.quiet) as progress:
        for name, files in listed.items():
            out = request.out if name == "." else request.out / name
            _export_set(run, name, files.pairs, out, progress)
    total = sum(run.losses.values(), Loss())
    if not total.pictures:
        say("nothing could be exported; the lines above say why")
        return EXIT_NOT_STARTED
    _report(run, total)
    return run.tally.exit_status


def _export_set(run: _Run, name: str, pairs: tuple[Pair, ...], out: Path, progress: ProgressLine) -> None:
    request = run.request
    loss = Loss()
    with ExitStack() as stack:
        sink = stack.enter_context(open_sink(request.format, out, simplify_px=request.simplify_px))
        for pair in pairs:
            try:
                loss += _export_pair(sink, pair)
                if request.with_images:
                    copy_file(pair.image, out / "images" / pair.image.name)
            except OutputError as error:
                if is_fatal(error):
                    raise
                run.tally.fail(f"{name}/{pair.stem}", error)
            except FissuraError as error:
                run.tally.fail(f"{name}/{pair.stem}", error)
            progress.advance(name)
    run.losses[name] = loss


def _export_pair(sink: LabelSink, pair: Pair) -> Loss:
    mask = read_mask(pair.mask, size_hw=displayed_size_hw(pair.image))
    # What a reader finds in the file, not what was meant to be written: rounding is part of the loss.
    return compare_masks(mask, draw_shapes(sink.add(pair.image, mask), (mask.shape[0], mask.shape[1]), line_px=1.0))


def _report(run: _Run, total: Loss) -> None:
    request = run.request
    record = {
        "format": request.format, "loss": asdict(total),
        "sets": {name: asdict(loss) for name, loss in run.losses.items()},
        "failed": [{"source": source, "reason": reason} for source, reason in run.tally.failed],
    }  # fmt: skip
    path = request.out.with_suffix(".loss.json") if request.out.is_file() else request.out / "loss.json"
    with open_text(path) as file:
        json.dump(record, file, indent=2, ensure_ascii=False)
    say(f"{request.format}: {total.describe()}", quiet=request.quiet)
    say(f"written to {request.out}; figures in {path.name}", quiet=request.quiet)
    if run.tally.failed:
        say(f"{len(run.tally.failed)} failed and left out; they are listed above and in {path.name}")
