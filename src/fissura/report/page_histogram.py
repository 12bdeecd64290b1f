"""The histogram of widths of `report.html` as values for its SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fissura.imaging.width_scale import WidthScale, round_up
from fissura.report.histogram import plan_width_classes
from fissura.report.page_map import width_class
from fissura.report.page_numbers import measure, number, percent
from fissura.report.records import WidthSamples

WIDTH, HEIGHT = 760, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 34, 44


@dataclass(frozen=True)
class Bar:
    """A class of width: its place, what can be seen of it and what is too fine, and a sentence."""

    x: float
    y: float
    width: float
    height: float
    fine_height: float
    style: str
    text: str


@dataclass(eq=False)
class HistogramView:
    """What the template draws, in pixels of the picture; `x0`, `x1`, `y0`, `y1` bound the axes."""

    unit: str
    length_unit: str
    bars: list[Bar]
    caption: str
    has_fine: bool
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    limits: list[tuple[float, str, int, str]] = field(default_factory=list)
    width: int = WIDTH
    height: int = HEIGHT
    x0: int = _LEFT
    x1: int = WIDTH - _RIGHT
    y0: int = _TOP
    y1: int = HEIGHT - _BOTTOM


def make_histogram(
    samples: WidthSamples, thresholds_mm: Mapping[str, float], scale: WidthScale | None, limits: Sequence[float]
) -> HistogramView | None:
    """Plan the histogram of one kind of samples.

    Args:
        samples: With or without a scale.
        thresholds_mm: Where severity levels begin.
        scale: Of the map; bars bear its colours if its unit is theirs.
        limits: Of the map's classes of width.
    Returns:
        None where there is no length at all.
    """
    classes = plan_width_classes(samples.widths, samples.lengths, samples.below_gsd)
    if classes is None:
        return None
    divisor, length_unit = (1000.0, "m") if samples.unit == "mm" else (1.0, "px")
    length, fine = classes.length / divisor, classes.below_gsd / divisor
    step_y = round_up(float(length.max()) / 5)
    top = step_y * math.ceil(float(length.max()) / step_y - 1e-9)
    shown = {} if samples.unit != "mm" else {n: v for n, v in thresholds_mm.items() if v <= 1.3 * classes.edges[-1]}
    right = max([float(classes.edges[-1]), *(1.05 * v for v in shown.values())])

    def to_x(value: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * float(value) / right, 2)

    def to_h(value: float) -> float:
        return round((HEIGHT - _TOP - _BOTTOM) * float(value) / top, 2)

    bars = []
    same = scale is not None and scale.unit == samples.unit
    for k, whole in enumerate(length):
        low, high = classes.edges[k], classes.edges[k + 1]
        open_end = classes.open_end and k == len(length) - 1
        span = f"{low:g} {samples.unit} and wider" if open_end else f"{low:g} to {high:g} {samples.unit}"
        text = f"{span}: {measure(float(whole), length_unit)}"
        if fine[k] > 0:
            text += f", {measure(float(fine[k]), length_unit)} of it finer than the pixels can show"
        style = f"w{width_class(float(low + high) / 2, limits)}" if same else "wx"
        x = to_x(low)
        y, wide = HEIGHT - _BOTTOM - to_h(whole), round(to_x(high) - x - 2, 2)
        bars.append(Bar(x + 1, y, wide, to_h(whole), to_h(fine[k]), style, text))
    view = HistogramView(samples.unit, length_unit, bars, _caption(samples, divisor, length_unit), bool(fine.any()))
    every = -(-len(length) // 10)
    for k in range(0, len(classes.edges), every):
        last = classes.open_end and k == len(classes.edges) - 1
        if not last:
            view.x_ticks.append((to_x(classes.edges[k]), f"{classes.edges[k]:g}"))
    digits = 0 if step_y >= 1 else len(f"{step_y:g}".partition(".")[2])
    for k in range(round(top / step_y) + 1):
        view.y_ticks.append((HEIGHT - _BOTTOM - to_h(k * step_y), number(k * step_y, digits)))
    previous = -1e9
    row = 0
    for name, value in sorted(shown.items(), key=lambda item: item[1]):
        row = (row + 1) % 2 if to_x(value) - previous < 130 else 0
        previous = to_x(value)
        anchor = "end" if previous > 0.8 * WIDTH else "start"
        view.limits.append((previous, f"{name} from {value:g} mm", row, anchor))
    return view


def _caption(samples: WidthSamples, divisor: float, length_unit: str) -> str:
    width, length = np.asarray(samples.widths, np.float64), np.asarray(samples.lengths, np.float64)
    unseen = np.asarray(samples.below_gsd, np.bool_)
    usable = np.isfinite(width) & np.isfinite(length)
    width, length, unseen = width[usable], length[usable], unseen[usable]
    order = np.argsort(width, kind="stable")
    share = np.cumsum(length[order]) / length.sum()
    last = len(width) - 1
    median, p95 = (float(width[order][min(int(np.searchsorted(share, part)), last)]) for part in (0.5, 0.95))
    whole, unit = measure(float(length.sum()) / divisor, length_unit), samples.unit
    text = (
        f"Length of crack by its width: {whole} in all. Half of the length is narrower than {measure(median, unit)} "
        f"(median), 95 % of it narrower than {measure(p95, unit)}."
    )
    if unseen.any():
        fine = float(length[unseen].sum() / length.sum())
        text += f" {percent(fine)} of the length is finer than the pixels can show: widths there are estimates."
    return text
