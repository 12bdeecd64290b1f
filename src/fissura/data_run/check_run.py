"""``fissura data check``: near-duplicates across splits and sets, faults of files and masks, widths of labels."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fissura import __version__
from fissura.cli.console import EXIT_OK, EXIT_SOME_FAILED, ProgressLine, say
from fissura.data.check.duplicates import Duplicate, DuplicateSearch, find_duplicates
from fissura.data.check.inspect import Picture, find_empty_masks, inspect_sets
from fissura.data.check.listing import Problem, SetFiles, list_sets
from fissura.data.check.masks import sum_widths
from fissura.data.check.verify import LEAST_CORRELATION, LEAST_OVERLAP
from fissura.data_run.check_page import CheckResult, count_by_sets, render_check
from fissura.data_run.folders import prepare_out
from fissura.errors import SettingsError
from fissura.imaging.write import write_bytes

_SAID = 12


@dataclass(frozen=True)
class CheckRequest:
    """The options of ``fissura data check``, as given."""

    folders: tuple[Path, ...]
    out: Path
    within: bool = False
    workers: int | None = None
    quiet: bool = False
    debug: bool = False

    @property
    def command(self) -> str:
        """The command without what changes nothing."""
        words = ["fissura", "data", "check", *map(str, self.folders), "--out", str(self.out)]
        return shlex.join(words + (["--within"] if self.within else []))


def run_check(request: CheckRequest) -> int:
    """Check, write the report and return the exit status: 0 clean, 1 problems found.

    Raises:
        FissuraError: The check could not start: no set, ``--out`` not writable.
    """
    if request.workers is not None and not 1 <= request.workers <= 256:
        raise SettingsError(f"--workers is {request.workers}; give 1 to 256")
    start, cpu = time.monotonic(), time.process_time()
    sets = list_sets(request.folders)
    prepare_out(request.out, overwrite=True)
    workers = request.workers or min(os.cpu_count() or 1, 8)
    total = sum(len(s.pairs) + len(s.lonely) for s in sets)
    with ProgressLine("reading", total, quiet=request.quiet) as progress:
        pictures = inspect_sets(sets, workers=workers, on_picture=progress.advance)
    search = _search(pictures, request)
    empty, negative = find_empty_masks(pictures)
    problems = [p for s in sets for p in s.problems] + [p for picture in pictures for p in picture.problems] + empty
    problems.sort(key=lambda p: (p.set_name, p.file, p.kind))
    result = CheckResult(
        tuple(summarise_sets(sets, pictures, problems, search.found)), tuple(pictures), tuple(problems), search,
        tuple(negative), request.command, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), time.monotonic() - start,
        time.process_time() - cpu,
    )  # fmt: skip
    _write(request.out, result)
    _print(request, result)
    return EXIT_SOME_FAILED if problems or search.found else EXIT_OK


def _search(pictures: Sequence[Picture], request: CheckRequest) -> DuplicateSearch:
    """Look for duplicates, with a progress line for each stage."""
    line: ProgressLine | None = None
    stage = ""

    def step(name: str, done: int, total: int) -> None:
        nonlocal line, stage
        if name != stage:
            if line is not None:
                line.__exit__(None, None, None)
            unit = "pairs" if name == "comparing" else "cells"
            line, stage = ProgressLine(name, total, quiet=request.quiet, unit=unit).__enter__(), name
        assert line is not None
        line.advance()

    try:
        return find_duplicates(pictures, within=request.within, on_step=step)
    finally:
        if line is not None:
            line.__exit__(None, None, None)


def summarise_sets(
    sets: Sequence[SetFiles], pictures: Sequence[Picture], problems: Sequence[Problem], found: Sequence[Duplicate]
) -> list[dict[str, Any]]:
    """A row for each set: numbers of images and problems, sizes, widths of labels in pixels."""
    wrong = Counter(p.set_name for p in problems)
    twice = Counter(name for d in found for name in {d.first.set_name, d.second.set_name})
    rows = []
    for files in sets:
        own = [p for p in pictures if p.set_name == files.name]
        sizes = Counter(p.size_hw for p in own if p.size_hw is not None)
        commonest = " ".join(f"{w}×{h}" for (h, w), _ in sizes.most_common(1))
        widths = sum_widths([p.facts for p in own if p.facts is not None])
        rows.append(
            {
                "name": files.name, "images": len(own), "pairs": len(files.pairs),
                "sizes": commonest + (f" and {len(sizes) - 1} more" if len(sizes) > 1 else ""),
                "crack_share": widths.crack_share, "width_mean_px": widths.mean_px, "width_p5_px": widths.p5_px,
                "width_median_px": widths.median_px, "width_p95_px": widths.p95_px, "problems": wrong[files.name],
                "duplicates": twice[files.name],
            }
        )  # fmt: skip
    return rows


def _write(out: Path, result: CheckResult) -> None:
    write_bytes(out / "report.html", render_check(result).encode("utf-8", "replace"))
    text = json.dumps(as_record(result), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(out / "report.json", f"{text}\n".encode("utf-8", "replace"))
    # The byte-order mark makes spreadsheets read non-ASCII names rightly.
    write_bytes(out / "duplicates.csv", _csv(result.search.found).encode("utf-8-sig", "replace"))


def as_record(result: CheckResult) -> dict[str, Any]:
    """All that was found, as JSON values."""
    search = result.search
    counts = Counter(p.kind for p in result.problems)
    return {
        "fissura": __version__, "date": result.date, "command": result.command, "seconds": round(result.seconds, 1),
        "cpu_seconds": round(result.cpu_seconds, 1),
        "pictures": len(result.pictures), "problems_by_kind": dict(sorted(counts.items())),
        "duplicates_by_sets": [{"first": a, "second": b, "pairs": n} for a, b, n in count_by_sets(search.found)],
        "limits": {"correlation": LEAST_CORRELATION, "overlap": LEAST_OVERLAP},
        "candidates": search.candidates, "looked_at": search.looked_at,
        "sets": [_rounded(row) for row in result.sets], "without_crack": list(result.negative),
        "problems": [
            {"kind": p.kind, "set": p.set_name, "file": p.file, "text": p.text} for p in result.problems
        ],
        "duplicates": [_duplicate(d) for d in search.found], "rejected": [_duplicate(d) for d in search.rejected],
    }  # fmt: skip


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}


def _duplicate(d: Duplicate) -> dict[str, Any]:
    a = d.alignment
    return {
        "first_set": d.first.set_name, "first": d.first.image.name, "second_set": d.second.set_name,
        "second": d.second.image.name, "relation": d.relation, "correlation": round(a.correlation, 3),
        "overlap": round(a.overlap, 3), "mirrored": a.mirrored, "turn_deg": round(a.turn_deg, 1),
        "zoom": round(a.zoom, 3), "features": a.inliers, "look_at_it": not d.sure,
        "matrix": [round(float(v), 4) for v in a.matrix.ravel()],
    }  # fmt: skip


def _csv(found: Sequence[Duplicate]) -> str:
    text = io.StringIO()
    columns = ["first_set", "first", "second_set", "second", "relation", "correlation", "overlap", "mirrored",
               "turn_deg", "zoom", "features", "look_at_it"]  # fmt: skip
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(_duplicate(d) for d in found)
    return text.getvalue()


def _print(request: CheckRequest, result: CheckResult) -> None:
    if not request.quiet:
        for kind, count in sorted(Counter(p.kind for p in result.problems).items()):
            say(f"{count:6d}  {kind}")
        for first, second, count in count_by_sets(result.search.found)[:_SAID]:
            say(f"{count:6d}  near-duplicates of {first} and {second}")
    total = len(result.problems) + len(result.search.found)
    verdict = f"{total} problems" if total else "no problem found"
    say(f"{verdict} in {len(result.pictures)} pictures; see {request.out / 'report.html'}", quiet=request.quiet)
