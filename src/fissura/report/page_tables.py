"""The tables of `report.html`: sums by class and severity, by section, and the rows of cracks and frames."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fissura.report.page_numbers import as_float
from fissura.report.page_worst import order_classes, order_levels
from fissura.report.records import SurveyCrack, SurveyResult, SurveySection

MOST_ROWS, MOST_FRAMES, MOST_DETAILS = 1000, 2000, 20_000

_PLAIN = ("left_px", "top_px", "right_px", "bottom_px", "extent")  # for programs, not for people


@dataclass(eq=False)
class Sums:
    """Cracks, length and mean width of a class, a zone or a section.

    Attributes:
        name: Of what was summed.
        by_level: Length for each severity level.
        length: In all.
        cracks: As they hang together.
        width: Mean, weighted by length; None without any.
        area: Of alligator fields; None where they do not belong here.
    """

    name: str
    by_level: dict[str, float] = field(default_factory=dict)
    length: float = 0.0
    cracks: int = 0
    width: float | None = None
    area: float | None = None


@dataclass(eq=False)
class ClassTable:
    """Sums by class and severity in one unit of length, ``m`` or ``px``; the last row is the sum of all."""

    unit: str
    levels: list[str]
    rows: list[Sums]


def sum_classes(result: SurveyResult) -> list[ClassTable]:
    """A table for cracks with a scale and one for those without, as far as there are any."""
    tables = []
    for unit, width_name in (("m", "width_mean_mm"), ("px", "width_mean_px")):
        cracks = [c for c in result.cracks if as_float(c.fields.get(f"length_{unit}")) is not None]
        areas = [a for a in result.areas if as_float(a.fields.get(f"area_{unit}2")) is not None]
        if not cracks and not areas:
            continue
        levels = [*order_levels([*cracks, *areas], result.thresholds_mm)]
        if any(not c.fields.get("severity") for c in cracks) and levels:
            levels.append("")
        rows = []
        classes = {str(c.fields.get("class") or "other") for c in cracks}
        for name in order_classes(classes | ({"alligator"} if areas else set())):
            own = [c for c in cracks if str(c.fields.get("class") or "other") == name]
            rows.append(_sum(name, own, unit, width_name))
        rows.append(_sum("all", cracks, unit, width_name))
        if areas:
            area = sum(as_float(a.fields.get(f"area_{unit}2")) or 0.0 for a in areas)
            for row in rows:
                row.area = area if row.name in ("alligator", "all") else None
        tables.append(ClassTable(unit, levels, rows))
    return tables


def _sum(name: str, cracks: Sequence[SurveyCrack], unit: str, width_name: str) -> Sums:
    sums, weighted, known = Sums(name), 0.0, 0.0
    for crack in cracks:
        length = as_float(crack.fields.get(f"length_{unit}")) or 0.0
        width = as_float(crack.fields.get(width_name))
        level = str(crack.fields.get("severity") or "")
        sums.by_level[level] = sums.by_level.get(level, 0.0) + length
        sums.length += length
        if width is not None:
            weighted, known = weighted + width * length, known + length
    sums.cracks = len({crack.fields.get("crack_id") for crack in cracks})
    sums.width = weighted / known if known > 0 else None
    return sums


@dataclass(eq=False)
class SectionRow:
    """A section or, where there are zones, a zone of it.

    Attributes:
        index: Number of the section from 1; 0 for the further zones of one.
        section: As recorded.
        zone: Empty for the whole width.
        sums: Lengths by severity.
        share: Of the longest bar, by severity, in percent.
    """

    index: int
    section: SurveySection
    zone: str
    sums: Sums
    share: list[tuple[str, float]] = field(default_factory=list)

    @property
    def inspected(self) -> bool:
        """Whether any of its ground is known to have been looked at."""
        area, share = self.section.inspected_m2, self.section.inspected_share
        return bool(area) or (area is None and share != 0)


@dataclass(eq=False)
class SectionTable:
    """By section and zone, in one unit of length."""

    unit: str
    levels: list[str]
    has_zones: bool
    rows: list[SectionRow]
    partial: bool = False
    """Whether there are cracks in the other unit, which it leaves out."""


def sum_sections(result: SurveyResult) -> SectionTable | None:
    """The table by section; None if there is but one and that is everything.

    It is in metres where anything has a scale: what has none is left out of it.
    """
    sections = result.sections
    if not sections or (len(sections) == 1 and sections[0].lonlat is None and not _zones(sections)):
        return None
    summed = [row for s in sections for row in s.rows]
    unit = "px" if summed and all("length_m" not in row for row in summed) else "m"
    names = {str(row.get("severity") or "") for s in sections for row in s.rows if as_float(row.get(f"length_{unit}"))}
    known = order_levels([*result.cracks, *result.areas], result.thresholds_mm)
    levels = [n for n in known if n in names] + sorted(names - set(known))
    rows = []
    zones = _zones(sections)
    for index, section in enumerate(sections, 1):
        own = [z for z in zones if any(str(row.get("zone") or "") == z for row in section.rows)] or [""]
        for k, zone in enumerate(own):
            part = [row for row in section.rows if str(row.get("zone") or "") == zone]
            rows.append(SectionRow(index if k == 0 else 0, section, zone, _sum_rows(part, unit)))
    longest = max((row.sums.length for row in rows), default=0.0)
    for row in rows:
        if longest > 0:
            lengths = row.sums.by_level
            row.share = [(n, round(100 * lengths[n] / longest, 2)) for n in levels if lengths.get(n)]
    partial = unit == "m" and any("length_px" in row for row in summed)
    return SectionTable(unit, levels, any(zones), rows, partial)


def _zones(sections: Iterable[SurveySection]) -> list[str]:
    names = dict.fromkeys(str(row.get("zone") or "") for s in sections for row in s.rows)
    return [n for n in names if n] + ([""] if "" in names and len(names) > 1 else [])


def _sum_rows(rows: Iterable[Mapping[str, Any]], unit: str) -> Sums:
    sums, weighted, known = Sums(""), 0.0, 0.0
    for row in rows:
        length, width = as_float(row.get(f"length_{unit}")) or 0.0, as_float(row.get("width_mean_mm"))
        level = str(row.get("severity") or "")
        sums.by_level[level] = sums.by_level.get(level, 0.0) + length
        sums.length += length
        sums.area = (sums.area or 0.0) + (as_float(row.get("area_m2")) or 0.0)
        if width is not None:
            weighted, known = weighted + width * length, known + length
    sums.width = weighted / known if known > 0 else None
    return sums


def width_digits(cracks: Iterable[SurveyCrack]) -> int:
    """Digits after the point for widths in millimetres: hundredths where half of the cracks are finer than 2 mm."""
    widths = sorted(w for c in cracks if (w := as_float(c.fields.get("width_mean_mm"))) is not None)
    return 2 if widths and widths[len(widths) // 2] < 2 else 1


def crack_details(ranked: Sequence[SurveyCrack]) -> dict[str, Any]:
    """All fields of the cracks for the script, texts that repeat given once.

    Returns:
        ``columns``, ``texts`` (for each column its list of texts, or null where the values stand themselves) and
        ``rows``.
    """
    shown = ranked[:MOST_DETAILS]
    columns = [n for n in dict.fromkeys(n for c in shown for n in c.fields) if n not in _PLAIN]
    columns += ["chainage_m", "offset_m", "position_sigma_m"]
    rows = [[_plain(c, name) for name in columns] for c in shown]
    texts: list[list[str] | None] = []
    for k in range(len(columns)):
        values = dict.fromkeys(row[k] for row in rows if isinstance(row[k], str))
        texts.append(list(values) or None)
        number = {value: index for index, value in enumerate(values)}
        for row in rows:
            row[k] = number[row[k]] if isinstance(row[k], str) else row[k]
    return {"columns": columns, "texts": texts, "rows": rows}


def _plain(crack: SurveyCrack, name: str) -> Any:
    if name == "chainage_m":
        return None if crack.chainage_m is None else "–".join(f"{v:.1f}" for v in crack.chainage_m) + " m"
    value = getattr(crack, name) if name in ("offset_m", "position_sigma_m") else crack.fields.get(name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or value is None:
        return str(value) if name == "crack_id" else value
    if isinstance(value, float):
        known = as_float(value)
        return None if known is None else float(f"{known:.6g}")
    return value if isinstance(value, str) else value.strftime("%Y-%m-%d %H:%M:%S")


def link_if_there(folder: Path, path: str | None) -> str | None:
    """A relative address of a file of the run that works beside the report; None if there is no such file."""
    if not path or not (folder / path).is_file():
        return None
    return quote(os.fsencode(Path(path).as_posix()))  # the bytes of a name, which may be no Unicode
