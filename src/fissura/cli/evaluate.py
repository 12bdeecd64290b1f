"""``fissura evaluate``: figures of a model on labelled images."""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fissura.cli.console import STARTS_OVER, ProgressLine, Tally, plain_errors, say, warn
from fissura.errors import DataError, FissuraError, SettingsError

if TYPE_CHECKING:
    from fissura.data.pairs import Pair
    from fissura.infer import Segmenter
    from fissura.metrics.report import SetResult
    from fissura.metrics.worst import WorstCases

MEAN_ROW = "mean over sets"
_FIXED = ("precision", "recall", "F1", "IoU", "mIoU", "F1@2px")
_CURVES = ("ODS", "OIS", "AP", "AIU", "clDice", "clIoU", "false-alarm share")
_SHORT = {"false-alarm share": "false alarms"}


def evaluate(
    data: Annotated[
        list[Path],
        typer.Option(help="Folder with images/ and masks/, or a folder of such folders. May be repeated."),
    ],
    model: Annotated[str, typer.Option(help="Shipped model (see 'fissura models') or an .onnx file.")] = "fast",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results. [default: evaluation/<model>]", show_default=False)
    ] = None,
    engine: Annotated[str, typer.Option(help="openvino or onnxruntime.")] = "openvino",
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or int8; the fastest if left out.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the engine; all cores if left out.")] = None,
    threshold: Annotated[float | None, typer.Option(help="0 to 1; the model card's if left out.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only; the files are written.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Score a model on images with masks, at a fixed threshold and over 99 of them.

    Writes evaluation.json (all figures with their definitions), per_image.csv and worst_cases.png.

    \b
    Examples:
      fissura evaluate --data mine                             mine/images and mine/masks
      fissura evaluate --data crack --out figures              all sets below crack/, each a row
      fissura evaluate --data a/test --data b/test --model mine.onnx --threshold 0.4
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug, stopped=STARTS_OVER):
        if threshold is not None and not 0 < threshold < 1:
            raise SettingsError(f"threshold is {threshold:g}; it must be above 0 and below 1, for example 0.5")
        tally = Tally()
        sets = _read_sets(data, tally)
        from fissura.infer import load_segmenter

        segmenter = load_segmenter(model, engine=engine, precision=precision, threads=threads, threshold=threshold)
        from fissura.imaging.write import require_writable

        folder = out or Path("evaluation") / segmenter.card.name
        require_writable(folder)
        try:
            results, worst = _score_sets(segmenter, sets, tally, quiet=quiet)
        except KeyboardInterrupt as error:
            warn("stopped; nothing was written, because figures of a part of the images would mislead")
            raise typer.Exit(130) from error
        if not results:
            raise DataError("no image could be evaluated; the lines above say why")
        origin = "the model card's" if threshold is None else "given by --threshold"
        _write_results(folder, segmenter, results, worst, tally, origin=origin, threads=threads)
        if not quiet:
            _print_results(segmenter, results, origin)
            say(f"\nwritten to {folder}: evaluation.json, per_image.csv{', worst_cases.png' if len(worst) else ''}")
        if tally.failed:
            say(f"{len(tally.failed)} failed and left out; they are listed in evaluation.json", quiet=quiet)
        raise typer.Exit(tally.exit_status)


def _read_sets(folders: Sequence[Path], tally: Tally) -> dict[str, list[Pair]]:
    """Pairs of every set under its row name; a set that does not fit together is reported and left out."""
    from fissura.data.pairs import find_pairs

    sets: dict[str, list[Pair]] = {}
    for name, folder in _name_sets(folders).items():
        try:
            sets[name] = find_pairs(folder)
        except DataError as error:
            tally.fail(name, error)
    if not sets:
        raise DataError("no data set can be used; the lines above say why")
    return sets


def _name_sets(folders: Sequence[Path]) -> dict[str, Path]:
    """Every set once, named by its path below the folder given, or by as many last parts as tell them apart."""
    from fissura.data.pairs import find_sets

    paths: dict[Path, Path] = {}
    depths: dict[Path, int] = {}
    for root in folders:
        for relative, folder in find_sets(root).items():
            if folder.resolve() not in paths:
                path = paths[folder.resolve()] = Path(os.path.abspath(folder))
                depths[path] = 2 if relative == "." else len(Path(relative).parts)
    while True:
        names = {path: Path(*path.parts[-depth:]).as_posix() for path, depth in depths.items()}
        used = Counter(names.values())
        if used.total() == len(used):
            return {name: path for path, name in names.items()}
        depths = {path: depth + (used[names[path]] > 1) for path, depth in depths.items()}


def _score_sets(
    segmenter: Segmenter, sets: Mapping[str, list[Pair]], tally: Tally, *, quiet: bool
) -> tuple[list[SetResult], WorstCases]:
    from fissura.metrics import EvaluatedImage
    from fissura.metrics import evaluate as score_pairs
    from fissura.metrics.report import SetResult
    from fissura.metrics.worst import WorstCases

    results, worst = [], WorstCases(len(sets))
    with ProgressLine("evaluating", sum(len(pairs) for pairs in sets.values()), quiet=quiet) as progress:
        for name, pairs in sets.items():

            def note(item: EvaluatedImage, name: str = name) -> None:
                worst.add(name, item, segmenter.threshold)
                progress.advance(name)

            def skip(pair: Pair, error: FissuraError, name: str = name) -> None:
                tally.fail(f"{name}/{pair.stem}", error)
                progress.advance(name)

            score = score_pairs(segmenter, pairs, on_image=note, on_error=skip)
            if score.images:
                results.append(SetResult(name, score))
    return results, worst


def _write_results(
    folder: Path, segmenter: Segmenter, results: list[SetResult], worst: WorstCases, tally: Tally,
    *, origin: str, threads: int | None,
) -> None:  # fmt: skip
    import json

    from fissura.imaging.write import write_bytes, write_png
    from fissura.metrics.report import per_image_csv, summarise

    engine, _, precision = segmenter.backend.description.rpartition(" ")
    run: dict[str, Any] = {
        "threshold": segmenter.threshold, "threshold_origin": origin,
        "engine": engine, "precision": precision, "threads": threads,
    }  # fmt: skip
    summary = summarise(results, card=segmenter.card, run=run, failed=tally.failed)
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    # Names that are no Unicode reach us as lone surrogates: JSON has escapes for them, a table a question mark.
    write_bytes(folder / "evaluation.json", f"{text}\n".encode("utf-8", "backslashreplace"))
    # The byte-order mark makes spreadsheets read non-ASCII names rightly.
    write_bytes(folder / "per_image.csv", per_image_csv(results).encode("utf-8-sig", "replace"))
    if len(worst):
        title = f"{segmenter.card.name}, threshold {segmenter.threshold:g}: worst cases (image, truth, prediction)"
        write_png(folder / "worst_cases.png", worst.draw(title))
    else:
        (folder / "worst_cases.png").unlink(missing_ok=True)  # of an earlier run


def _print_results(segmenter: Segmenter, results: Sequence[SetResult], origin: str) -> None:
    from fissura.metrics import FALSE_ALARM_PX, mean_figures

    # A terminal may refuse names that are no Unicode.
    rows = [(result.name.encode("utf-8", "replace").decode(), result.score.figures()) for result in results]
    if len(rows) > 1:
        rows.append((MEAN_ROW, mean_figures(figures for _, figures in rows)))
    images = [len(result.score.images) for result in results]
    counts = [str(count) for count in (*images, sum(images))]
    say(f"\n{segmenter.card.name} {segmenter.card.version} ({segmenter.backend.description})")
    _print_table(
        f"At the fixed threshold {segmenter.threshold:g} ({origin}), pooled over each set", ("images", *_FIXED),
        [(name, [count, *_cells(figures, _FIXED)]) for (name, figures), count in zip(rows, counts, strict=False)],
    )  # fmt: skip
    _print_table(
        f"Over 99 thresholds (ODS, OIS, AP, AIU) and at {segmenter.threshold:g} (the others)",
        [_SHORT.get(name, name) for name in _CURVES],
        [(name, _cells(figures, _CURVES)) for name, figures in rows],
    )
    empty = sum(len(result.score.images) - result.score.crack_images for result in results)
    if empty:
        alarms = sum(result.score.false_alarms for result in results)
        say(f"false alarms: {alarms} of {empty} images without crack have more than {FALSE_ALARM_PX} predicted pixels")
    if any(math.isnan(figures[name]) for _, figures in rows for name in (*_FIXED, *_CURVES)):
        say("- : not defined (no crack in the truth, or no image without); left out of means")


def _cells(figures: Mapping[str, float], names: Sequence[str]) -> list[str]:
    return [_cell(name, figures[name]) for name in names]


def _cell(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.1%}" if name == "false-alarm share" else f"{value:.3f}"


def _print_table(title: str, heads: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> None:
    """Numbers are never cut: on a terminal a long name folds, elsewhere the line is as long as it must be."""
    say(f"\n{title}")
    if not sys.stdout.isatty():
        width = max(len("set"), *(len(name) for name, _ in rows))
        for name, cells in [("set", list(heads)), *rows]:
            padded = (cell.rjust(max(len(head), 5)) for head, cell in zip(heads, cells, strict=True))
            say(f"{name:<{width}}  {'  '.join(padded)}")
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("set", box=SIMPLE_HEAD, pad_edge=False)
    table.columns[0].overflow = "fold"
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True, min_width=max(len(head), 5))
    for name, cells in rows:
        table.add_row(name, *cells, style="bold" if name == MEAN_ROW else None)
    console = Console()
    console.print(table, width=max(console.width, 80), crop=False, soft_wrap=False)
