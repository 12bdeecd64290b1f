"""Colours for crack widths: one ramp with round limits and ticks, shared by overlays, legends and histograms.

The ramp is the part of matplotlib's plasma that stands out from grey ground: violet, pink, orange, yellow. It is
perceptually uniform and its lightness rises all the way, so colour-blind eyes and grey prints keep the order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError

Values = npt.NDArray[np.float64]
Colours = npt.NDArray[np.uint8]
Unit = Literal["mm", "px"]

_RAMP_PART = (0.33, 0.97)  # darker than 0.33 drowns in asphalt
_LEVELS = 256
_LOG_FROM_RATIO = 12.0


@dataclass(frozen=True)
class WidthScale:
    """From width to colour. Use one scale for all pictures of a run, so that colours can be compared.

    Attributes:
        low: Width of the first colour; narrower ones have it too.
        high: Width of the last colour; wider ones have it too.
        unit: ``mm`` or ``px``.
        logarithmic: Equal ratios, not equal differences, are equally far apart.
        below: Some widths are below `low`: its tick then says so.
        above: Some widths are above `high`.
    """

    low: float
    high: float
    unit: Unit
    logarithmic: bool = False
    below: bool = False
    above: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and 0 <= self.low < self.high):
            raise GeometryError(f"a width scale needs 0 <= low < high, got {self.low} to {self.high} {self.unit}")
        if self.logarithmic and self.low == 0:
            raise GeometryError("a logarithmic width scale cannot start at 0; give a low end above 0")

    def position(self, widths: npt.ArrayLike) -> Values:
        """Place of each width on the ramp, 0 to 1, same shape; 0 for NaN."""
        values = np.nan_to_num(np.asarray(widths, np.float64), nan=self.low)
        if self.logarithmic:
            values = np.log(np.maximum(values, self.low) / self.low) / math.log(self.high / self.low)
        else:
            values = (values - self.low) / (self.high - self.low)
        return np.clip(values, 0.0, 1.0)

    def colours(self, widths: npt.ArrayLike) -> Colours:
        """RGB of each width, shape (..., 3)."""
        return ramp_colours(self.position(widths))

    def ticks(self) -> list[tuple[float, str]]:
        """Up to eight round widths from `low` to `high` with their text; the ends say ``≤`` or ``≥`` if clipped."""
        values = self._log_ticks() if self.logarithmic else self._linear_ticks()
        texts = [f"{value:g}" for value in values]
        if self.below:
            texts[0] = f"≤{texts[0]}"
        if self.above:
            texts[-1] = f"≥{texts[-1]}"
        return list(zip(values, texts, strict=True))

    def _linear_ticks(self) -> list[float]:
        step = round_up((self.high - self.low) / 7)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        inner = [float(f"{step * index:.10g}") for index in range(first, last + 1)]
        # The ends always bear a tick; round ones too close to them would collide with their text.
        inner = [value for value in inner if min(value - self.low, self.high - value) > 0.6 * step]
        return [self.low, *(inner[1::2] if len(inner) in (5, 7) else inner), self.high]

    def _log_ticks(self) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            inner = [float(f"{step * 10.0**decade:.6g}") for decade in decades for step in steps]
            kept = [value for value in inner if 0.12 < float(self.position(value)) < 0.88]
            if len(kept) <= 4:
                break
        return [self.low, *kept[:: 1 + (len(kept) - 1) // 4], self.high]


def ramp_colours(position: npt.ArrayLike) -> Colours:
    """RGB at places on the ramp from 0, narrow, to 1, wide; shape (..., 3)."""
    at = np.rint(np.asarray(position, np.float64) * (_LEVELS - 1)).astype(np.intp)
    return np.asarray(ramp()[at], np.uint8)


def plan_width_scale(
    widths: npt.ArrayLike,
    lengths: npt.ArrayLike | None = None,
    *,
    unit: Unit,
    limits: tuple[float, float] | None = None,
) -> WidthScale:
    """Round limits that hold all but the outermost 2 % of the length; logarithmic where widths span a decade.

    Args:
        widths: Shape (N,), in `unit`; NaN is ignored, N may be 0.
        lengths: Length that each width stands for, shape (N,), any unit; equal if left out.
        unit: ``mm`` or ``px``.
        limits: Low and high end, where they are known, for example from a rule set.
    Raises:
        GeometryError: Shapes differ, or the limits make no scale.
    """
    values = np.asarray(widths, np.float64).ravel()
    weights = np.ones_like(values) if lengths is None else np.asarray(lengths, np.float64).ravel()
    if values.shape != weights.shape:
        raise GeometryError(f"{len(values)} widths need as many lengths, got {len(weights)}")
    usable = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    values, weights = np.maximum(values[usable], 0.0), weights[usable]
    if limits is not None:
        low, high, logarithmic = float(limits[0]), float(limits[1]), False
    elif not len(values):
        low, high, logarithmic = 0.0, 1.0, False
    else:
        low, high, logarithmic = _round_limits(*_weighted_quantiles(values, weights, (0.02, 0.98)))
    return WidthScale(low, high, unit, logarithmic, below=bool((values < low).any()), above=bool((values > high).any()))


def round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten that is not below ``value`` (above 0)."""
    power = 10.0 ** math.floor(math.log10(value))
    for step in (1.0, 2.0, 5.0):
        if value <= step * power * (1 + 1e-9):
            return float(f"{step * power:.6g}")
    return float(f"{10 * power:.6g}")


def round_down(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten that is not above ``value`` (above 0)."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-12)
    return next(float(f"{step * power:.6g}") for step in (5.0, 2.0, 1.0) if value >= step * power * (1 - 1e-9))


@lru_cache(maxsize=1)
def ramp() -> Colours:
    """The colours from narrow to wide, shape (256, 3), RGB."""
    from matplotlib import colormaps

    colours = colormaps["plasma"](np.linspace(*_RAMP_PART, _LEVELS))[:, :3]
    return np.asarray(np.rint(255 * colours), np.uint8)


def _round_limits(low: float, high: float) -> tuple[float, float, bool]:
    high = max(high, 1e-6)
    if low > 0 and high / low > _LOG_FROM_RATIO:
        return round_down(low), round_up(high), True
    # Whole ticks, so that both ends bear one.
    step = round_up(max(high - low, 0.2 * high) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return float(f"{step * first:.10g}"), float(f"{step * max(last, first + 2):.10g}"), False


def _weighted_quantiles(values: Values, weights: Values, shares: tuple[float, float]) -> tuple[float, float]:
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weights[order])
    at = np.minimum(np.searchsorted(cumulated, np.array(shares) * cumulated[-1]), len(order) - 1)
    low, high = values[order][at]
    return float(low), float(high)
