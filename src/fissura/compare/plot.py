"""A comparison as a picture: F1@2px of every cell, and its difference from the cell without enhancer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from fissura.compare.bootstrap import Estimate
from fissura.compare.grid import NONE, Grid
from fissura.compare.results import DECISIVE, Row

_GREY = "0.65"


def draw(grid: Grid, rows: Sequence[Row]) -> bytes | None:
    """PNG with a line of two panels for each test; None if no cell has any. Undertrained cells are grey."""
    shown = [row for row in rows if row.tests]
    tests = [test for test in grid.config.tests if any(test in row.tests for row in shown)]
    if not tests:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, len(tests) * (0.9 + 0.26 * len(shown))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(tests), 2, squeeze=False, sharey=True)
    colours = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(row.enhancer for row in shown))}
    labels = [f"{row.network} {row.enhancer} {row.seed}" for row in shown]
    for test, (left, right) in zip(tests, panels, strict=True):
        for place, row in enumerate(shown):
            if test not in row.tests:
                continue
            colour = _GREY if row.label else colours[row.enhancer]
            _point(left, row.tests[test].figures[DECISIVE], place, colour)
            if row.enhancer != NONE and DECISIVE in row.tests[test].differences:
                _point(right, row.tests[test].differences[DECISIVE], place, colour)
        left.set_yticks(range(len(shown)), labels, fontsize=8)
        left.set_ylim(len(shown) - 0.5, -0.5)
        left.set_title(f"{DECISIVE}, {test}", fontsize=10)
        right.set_title("difference from none, same network and seed", fontsize=10)
        right.axvline(0, color="black", linewidth=0.8)
        for panel in (left, right):
            panel.grid(axis="x", alpha=0.3)
            panel.tick_params(axis="x", labelsize=8)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return data.getvalue()


def _point(axes: Any, e: Estimate, place: int, colour: str) -> None:
    # An interval of percentiles need not hold the value itself.
    reach = [[max(e.value - e.low, 0)], [max(e.high - e.value, 0)]]
    axes.errorbar([e.value], [place], xerr=reach, fmt="o", color=colour, capsize=3, markersize=4, linewidth=1.2)
