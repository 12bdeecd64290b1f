"""Which cracks are shown first: the order of severity levels, of classes, and of cracks by how bad they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from fissura.report.page_numbers import as_float
from fissura.report.records import SurveyArea, SurveyCrack

RANKING = (
    "The worst cracks are those of the highest severity level; within a level those with the largest opening, which is "
    "length times mean width. Cracks without a scale come after those with one."
)
"""For people: how `rank_worst` sorts."""

CLASSES = ("longitudinal", "transverse", "diagonal", "other", "alligator")

_KNOWN_LEVELS = {
    "none": 0, "insignificant": 0, "hairline": 1, "good": 1, "low": 2, "light": 2, "minor": 2, "fair": 3, "medium": 4,
    "moderate": 4, "poor": 5, "high": 6, "severe": 7, "critical": 8,
}  # fmt: skip


def rank_worst(
    cracks: Iterable[SurveyCrack], count: int = 20, thresholds_mm: Mapping[str, float] | None = None
) -> list[SurveyCrack]:
    """The worst cracks, the worst first; see `RANKING`.

    Only `SurveyCrack.fields` are looked at, so that pictures can be made for what this returns.

    Args:
        cracks: Of one ground or of the whole run.
        count: At most so many are returned.
        thresholds_mm: Of the severity levels; see `order_levels`.
    """
    rows = list(cracks)
    level = {name: rank for rank, name in enumerate(order_levels(rows, thresholds_mm))}

    def badness(crack: SurveyCrack) -> tuple[int, int, float, int, str]:
        fields = crack.fields
        scaled = as_float(fields.get("length_m")) is not None
        severity = level.get(str(fields.get("severity") or ""), -1)
        return -int(scaled), -severity, -opening(crack), int(as_float(fields.get("id")) or 0), str(fields.get("id"))

    return sorted(rows, key=badness)[: max(count, 0)]


def opening(crack: SurveyCrack) -> float:
    """Length times mean width, in m·mm or square pixels; 0 if one of them is not known."""
    for names in (("length_m", "width_mean_mm"), ("length_px", "width_mean_px")):
        length, width = (as_float(crack.fields.get(name)) for name in names)
        if length is not None:
            return length * (width or 0.0)
    return 0.0


def order_levels(
    cracks: Sequence[SurveyCrack | SurveyArea], thresholds_mm: Mapping[str, float] | None = None
) -> list[str]:
    """Names of the severity levels that occur, the mildest first.

    Thresholds decide where they name all but one level; then the meaning of common names (``low``, ``CS2``); else the
    widths of the cracks that bear them.
    """
    names = sorted({str(c.fields.get("severity") or "") for c in cracks} - {""})
    limits = thresholds_mm or {}
    if sum(name not in limits for name in names) <= 1 and limits:
        return sorted(names, key=lambda name: limits.get(name, 0.0))
    ranks = {name: _rank_of_name(name) for name in names}
    if all(rank is not None for rank in ranks.values()):
        return sorted(names, key=lambda name: (ranks[name] or 0, name))
    widths: dict[str, list[float]] = {name: [] for name in names}
    for crack in cracks:
        width = as_float(crack.fields.get("width_mean_mm"))
        if crack.fields.get("severity") and width is not None:
            widths[str(crack.fields["severity"])].append(width)
    return sorted(names, key=lambda name: (sum(widths[name]) / max(len(widths[name]), 1), name))


def _rank_of_name(name: str) -> int | None:
    numbered = re.fullmatch(r"[A-Za-z ]{0,9}(\d{1,2})", name)
    return int(numbered[1]) if numbered else _KNOWN_LEVELS.get(name.lower())


def order_classes(names: Iterable[str]) -> list[str]:
    """Classes in their usual order, unknown ones behind them."""
    return sorted(set(names), key=lambda n: (CLASSES.index(n) if n in CLASSES else len(CLASSES), n))
