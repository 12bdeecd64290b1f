"""A histogram of crack widths, weighted by length: it tells how many metres of crack are 2 to 3 mm wide.

Counting cracks would let a hundred short branches outweigh one long crack, and the count depends on where branches
are cut; length does not.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.imaging.width_scale import Unit, WidthScale, plan_width_scale, round_up
from fissura.imaging.write import write_bytes

Values = npt.NDArray[np.float64]

_SIZE_IN, _DPI = (8.0, 4.8), 150
_MOST_CLASSES = 16
_GREY, _INK = "#8a8f98", "#22262c"


@dataclass(frozen=True, eq=False)
class WidthClasses:
    """Length of crack in each class of width.

    Attributes:
        edges: Round limits, shape (K + 1,), in the unit of the widths; equally far apart.
        length: Shape (K,), in the unit of the lengths given; a width on a limit belongs to the wider class.
        below_gsd: The part of `length` that is too narrow for its width to be seen, shape (K,).
        open_end: The last class holds all that is wider, too.
    """

    edges: Values
    length: Values
    below_gsd: Values
    open_end: bool


def plan_width_classes(
    widths: npt.ArrayLike, lengths: npt.ArrayLike, below_gsd: npt.ArrayLike | None = None
) -> WidthClasses | None:
    """Sort lengths into about a dozen round classes of width, from 0.

    Args:
        widths: Shape (N,), one for each branch or each point; NaN is left out.
        lengths: Shape (N,), the length each width stands for.
        below_gsd: Shape (N,), True where the width could not be seen.
    Returns:
        None where there is no length at all.
    Raises:
        GeometryError: Shapes differ, or a width or length is negative.
    """
    width, length = np.asarray(widths, np.float64).ravel(), np.asarray(lengths, np.float64).ravel()
    unseen = np.zeros(len(width), np.bool_) if below_gsd is None else np.asarray(below_gsd, np.bool_).ravel()
    if not len(width) == len(length) == len(unseen):
        raise GeometryError(f"{len(width)} widths need as many lengths and flags, got {len(length)} and {len(unseen)}")
    usable = np.isfinite(width) & np.isfinite(length)
    width, length, unseen = width[usable], length[usable], unseen[usable]
    if (width < 0).any() or (length < 0).any():
        raise GeometryError("widths and lengths of cracks must be 0 or more")
    if not length.sum() > 0:
        return None
    order = np.argsort(width)
    share = np.cumsum(length[order]) / length.sum()
    # One very wide spot must not squeeze all others into two bars.
    reach = max(float(width[order][np.searchsorted(share, 0.98)]), 1e-6)
    step = round_up(reach / min(_MOST_CLASSES, 4 + 2 * np.sqrt(len(width))))  # few cracks, few classes
    count = int(np.floor(reach / step + 1e-9)) + 1
    edges = np.array([float(f"{step * index:.10g}") for index in range(count + 1)])
    at = np.clip(np.floor(width / step + 1e-9).astype(np.intp), 0, count - 1)
    sums, unseen_sums = (np.bincount(at, part, count).astype(np.float64) for part in (length, length * unseen))
    return WidthClasses(edges, sums, unseen_sums, open_end=bool((width > edges[-1] * (1 + 1e-9)).any()))


def write_width_histogram(
    path: Path,
    widths: npt.ArrayLike,
    lengths: npt.ArrayLike,
    *,
    unit: Unit,
    thresholds: Mapping[str, float] | None = None,
    title: str = "Crack widths",
    below_gsd: npt.ArrayLike | None = None,
    colours: WidthScale | None = None,
) -> None:
    """Write the histogram as PNG, 1200×720 pixels.

    Args:
        path: Usually ``widths.png``.
        widths: Shape (N,), one for each branch, or finer for each point; in `unit`. N may be 0.
        lengths: Shape (N,), the length each width stands for, in `unit` as well; shown in metres if it is ``mm``.
        unit: ``mm`` or ``px``.
        thresholds: Name of each severity level to the width where it starts, in `unit`; drawn as lines.
        title: Above the picture.
        below_gsd: Shape (N,), True where the width could not be seen; hatched.
        colours: Colours of the bars, for example the overlays'; planned from the widths if left out.
    Raises:
        OutputError: The file cannot be written.
        GeometryError: Shapes differ, or a width or length is negative.
    """
    # The figure is made by its class: pyplot keeps global state and would pick a window system.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = plan_width_classes(widths, lengths, below_gsd)
    with rc_context({"font.family": "DejaVu Sans", "hatch.linewidth": 1.4}):
        figure = Figure(figsize=_SIZE_IN, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK, pad=20)
        if classes is None:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no cracks found", ha="center", va="center", fontsize=16, color=_GREY)
        else:
            scale = colours or plan_width_scale(widths, lengths, unit=unit)
            _draw_bars(axes, classes, scale, 1000.0 if unit == "mm" else 1.0)
            _draw_thresholds(axes, thresholds or {}, classes, unit)
            _draw_axes(axes, classes, unit)
            _draw_summary(axes, np.asarray(widths, np.float64), np.asarray(lengths, np.float64), classes, unit)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})  # the same picture for the same data
    write_bytes(path, buffer.getvalue())


def _draw_bars(axes: Any, classes: WidthClasses, scale: WidthScale, divisor: float) -> None:
    middles = (classes.edges[1:] + classes.edges[:-1]) / 2
    step = float(classes.edges[1] - classes.edges[0])
    colours = scale.colours(middles) / 255.0
    length, unseen = classes.length / divisor, classes.below_gsd / divisor
    axes.bar(middles, length - unseen, 0.9 * step, bottom=unseen, color=colours, edgecolor=_INK, linewidth=0.7)
    if unseen.any():
        axes.bar(
            middles, unseen, 0.9 * step, color="white", edgecolor=[*map(tuple, colours)], hatch="////", linewidth=0.7,
            label="too narrow for the size of a pixel",
        )  # fmt: skip
        axes.bar(middles, unseen, 0.9 * step, fill=False, edgecolor=_INK, linewidth=0.7)


def _draw_thresholds(axes: Any, thresholds: Mapping[str, float], classes: WidthClasses, unit: str) -> None:
    """A line where each level starts; names are staggered so that close ones stay readable."""
    right = float(classes.edges[-1])
    levels = sorted(thresholds.items(), key=lambda item: item[1])
    shown = [(name, limit) for name, limit in levels if 0 < limit <= 1.3 * right]
    axes.set_xlim(0, max([1.02 * right, *(1.08 * limit for _, limit in shown)]))
    span, last, row = axes.get_xlim()[1], -np.inf, 0
    for name, limit in shown:
        row = row + 1 if limit - last < 0.16 * span else 0
        last = limit
        axes.axvline(limit, color=_INK, linestyle=(0, (5, 3)), linewidth=1.2)
        at_end = limit > 0.8 * span
        axes.annotate(
            f"{name} from {limit:g} {unit}", (limit, 1.0), (-5 if at_end else 5, -6 - 15 * (row % 4)),
            xycoords=("data", "axes fraction"), textcoords="offset points", ha="right" if at_end else "left", va="top",
            fontsize=9, color=_INK, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        )  # fmt: skip


def _draw_axes(axes: Any, classes: WidthClasses, unit: str) -> None:
    axes.set_xlabel(f"crack width ({unit})", fontsize=11, color=_INK)
    axes.set_ylabel(f"crack length ({'m' if unit == 'mm' else 'px'})", fontsize=11, color=_INK)
    # Room above for the names of the limits and the summary.
    axes.set_ylim(0, axes.get_ylim()[1] * 1.22)
    every = -(-(len(classes.edges) - 1) // 9)
    ticks = classes.edges[::every]
    labels = [f"{value:g}" for value in ticks]
    if classes.open_end:
        ticks, labels = _with_open_end(classes, every)
    axes.set_xticks(ticks, labels)
    axes.tick_params(colors=_INK, labelsize=10)
    axes.grid(axis="y", color="#d8dbe0", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _with_open_end(classes: WidthClasses, every: int) -> tuple[Values, list[str]]:
    """Ticks whose last one, at the start of the last class, says that the class has no upper end."""
    last = len(classes.edges) - 2
    kept = [index for index in range(0, last, every) if last - index >= max(1, every / 2)]
    return classes.edges[[*kept, last]], [*(f"{classes.edges[index]:g}" for index in kept), f"≥{classes.edges[last]:g}"]


def _draw_summary(axes: Any, width: Values, length: Values, classes: WidthClasses, unit: str) -> None:
    usable = np.isfinite(width) & np.isfinite(length)
    width, length = width[usable], length[usable]
    order = np.argsort(width)
    share = np.cumsum(length[order]) / length.sum()
    median, p95 = (float(width[order][np.searchsorted(share, part)]) for part in (0.5, 0.95))
    total = f"{length.sum() / 1000:.3g} m" if unit == "mm" else f"{length.sum():.0f} px"
    text = f"{total} of crack · half of it narrower than {median:.3g} {unit} · 95 % narrower than {p95:.3g} {unit}"
    axes.annotate(
        text, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=9, color=_GREY, va="bottom"
    )
    if classes.below_gsd.any():
        axes.legend(loc="upper right", fontsize=9, framealpha=0.9, edgecolor="none", bbox_to_anchor=(1.0, 0.93))
