"""A comparison as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fissura.compare.bootstrap import Estimate
from fissura.compare.figures import FIGURES
from fissura.compare.grid import Grid
from fissura.compare.results import UNDERTRAINED, Row, TestRow
from fissura.compare.store import FAILED
from fissura.metrics.report import package_versions
from fissura.metrics.set_score import SetScore

_COST = ("parameters", "GMAC", "ms")


def markdown(grid: Grid, rows: Sequence[Row], speed: Mapping[str, float]) -> str:
    """Everything for people: a table of figures and one of differences for each test, then what went wrong."""
    config, scoring, speeds = grid.recipe, grid.config.evaluation, grid.config.speed
    parts = [
        "# Comparison\n",
        f"Every cell saw the same {config.steps * config.batch} crops of {config.tile}×{config.tile} pixels "
        f"({config.steps} steps of {config.batch}). Threshold 0.5, tiles of {scoring.tile or config.tile} px, "
        f"OpenVINO {scoring.precision}. In brackets: 95% intervals over {grid.config.resamples} sets drawn from the "
        f"test's images; they do not cover the chance of a training. `ms`: one {speeds.side}×{speeds.side} tile in "
        f"OpenVINO {scoring.precision} on {speeds.threads} threads; GMAC at the same size. `{UNDERTRAINED}`: the "
        f"network without enhancer is below {grid.config.trained_from:g} F1@2px on {grid.reference_test}; such rows "
        "support no conclusion.\n",
    ]
    for test in grid.config.tests:
        images = max((row.tests[test].images for row in rows if test in row.tests), default=0)
        parts.append(f"## {test}, {images} images\n")
        parts.append(_table((*_HEAD, *_COST, *FIGURES), [_figure_cells(row, test, speed) for row in rows]))
        changed = [row for row in rows if row.tests.get(test) and row.tests[test].differences]
        if changed:
            parts.append(
                f"### {test}: difference from the same network and seed without enhancer\n\nThe same images in both. "
                "Bold: the interval excludes zero.\n"
            )
            parts.append(_table((*_HEAD, *FIGURES), [_difference_cells(row, test) for row in changed]))
    failed = [row for row in rows if row.record.status == FAILED]
    if failed:
        parts.append("## Failed\n")
        parts.append("".join(f"- {row.combination}+{row.seed}: {row.record.error}\n" for row in failed))
    unread = {f"{test}/{stem}": why for r in rows for test, t in r.tests.items() for stem, why in t.left_out.items()}
    if unread:
        parts.append("## Left out of the tests\n")
        parts.append("".join(f"- {name}: {why}\n" for name, why in unread.items()))
    return "\n".join(parts)


def as_csv(rows: Sequence[Row], tests: Sequence[str], speed: Mapping[str, float]) -> str:
    """One line a cell and test: figures with their intervals, then differences with theirs; empty is not defined."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    kinds = [f"{kind}{name}{end}" for kind in ("", "difference ") for name in FIGURES for end in ("", " low", " high")]
    table.writerow(["network", "enhancer", "seed", "test", "status", "label", "error", "images", *_COST, *kinds])
    for row in rows:
        for test in tests:
            found = row.tests.get(test)
            table.writerow([
                row.network, row.enhancer, row.seed, test, row.record.status, row.label, row.record.error,
                found.images if found else "", *_costs(row, speed, blank=""),
                *_numbers(found, "figures"), *_numbers(found, "differences"),
            ])  # fmt: skip
    return text.getvalue()


def as_json(grid: Grid, rows: Sequence[Row], speed: Mapping[str, float]) -> dict[str, Any]:
    """Everything as plain values; None is not defined."""
    score = SetScore(instances=True, boundary_every=grid.config.evaluation.boundary_every)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "grid": grid.identity() | {
            "seeds": list(grid.config.seeds), "tests": list(grid.config.tests), "resamples": grid.config.resamples,
            "reference_test": grid.reference_test, "trained_from": grid.config.trained_from,
            "speed": grid.config.speed.model_dump(),
        },
        "rows": [
            {
                "network": row.network, "enhancer": row.enhancer, "seed": row.seed, "status": row.record.status,
                "label": row.label, **dict(zip(_COST, _costs(row, speed, blank=None), strict=True)),
                "facts": {k: v for k, v in row.record.facts.items() if k != "status"},
                "tests": {test: _test_values(found) for test, found in row.tests.items()},
            }
            for row in rows
        ],
        "protocol": {name: text for name, text in score.protocol().items() if name in FIGURES},
        "versions": package_versions(),
        "machine": {"system": platform.system(), "processor": platform.machine(), "python": platform.python_version()},
    }  # fmt: skip


_HEAD = ("network", "enhancer", "seed", "remark")


def _head_cells(row: Row) -> list[str]:
    return [row.network, row.enhancer, row.seed, row.remark]


def _figure_cells(row: Row, test: str, speed: Mapping[str, float]) -> list[str]:
    found = row.tests.get(test)
    cells = [_estimate(found.figures[name]) if found else "-" for name in FIGURES]
    return [*_head_cells(row), *(str(value) for value in _costs(row, speed, blank="-")), *cells]


def _difference_cells(row: Row, test: str) -> list[str]:
    return [*_head_cells(row), *(_difference(row.tests[test].differences[name]) for name in FIGURES)]


def _costs(row: Row, speed: Mapping[str, float], *, blank: Any) -> list[Any]:
    facts = row.record.facts
    if "parameters" not in facts:
        return [blank] * len(_COST)
    return [facts.get("parameters", blank), facts.get("gmac", blank), speed.get(row.combination, blank)]


def _estimate(e: Estimate) -> str:
    return "-" if math.isnan(e.value) else f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})"


def _difference(e: Estimate) -> str:
    if math.isnan(e.value):
        return "-"
    text = f"{e.value:+.3f} ({e.low:+.3f} to {e.high:+.3f})"
    return f"**{text}**" if e.excludes_zero else text


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in rows)]) + "\n"


def _numbers(found: TestRow | None, kind: str) -> list[str]:
    values: Mapping[str, Estimate] = getattr(found, kind) if found else {}
    cells: list[str] = []
    for name in FIGURES:
        e = values.get(name)
        cells += ["" if e is None or math.isnan(v) else f"{v:.6g}" for v in (_three(e) if e else (0.0,) * 3)]
    return cells


def _three(e: Estimate) -> tuple[float, float, float]:
    return e.value, e.low, e.high


def _test_values(found: TestRow) -> dict[str, Any]:
    def plain(values: Mapping[str, Estimate]) -> dict[str, list[float | None]]:
        return {name: [None if math.isnan(v) else round(v, 6) for v in _three(e)] for name, e in values.items()}

    values = {"images": found.images, "left_out": dict(found.left_out)}
    return values | {"figures": plain(found.figures), "differences": plain(found.differences)}
