"""Sums of cracking along a route: sections of a fixed length, with what lies beside each and how much was looked at.

Sums are the crack contribution only; see `fissura.measure.summary`, whose rules for what counts hold here too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from fissura.errors import SettingsError
from fissura.geo.crs import to_crs
from fissura.geo.route import Route
from fissura.measure.rules import KINDS, RuleSet
from fissura.report.records import SurveyArea, SurveyCrack, SurveyGround, SurveySection
from fissura.report.tables import Fields, round_fields

REACH_M = 100.0
"""What lies further from the route belongs to another road."""
WHOLE, ELSEWHERE = "whole survey", "not along the route"
_MOST_SECTIONS = 20_000

_Shares = dict[int, float]
"""Number of a section to the part of a crack that lies in it; the parts sum to one."""


def with_chainage(
    cracks: Sequence[SurveyCrack], areas: Sequence[SurveyArea], route: Route
) -> tuple[list[SurveyCrack], list[SurveyArea]]:
    """The same rows with chainage and offset; rows without a place stay as they are.

    Args:
        cracks: Rows.
        areas: Rows.
        route: Reference line.
    """
    placed = []
    for crack, found in zip(cracks, _locate([c.lonlat for c in cracks], route), strict=True):
        if found is None:
            placed.append(crack)
            continue
        _, offset = route.locate_xy(_middle(found.xy))
        placed.append(replace(crack, chainage_m=_extent(found), offset_m=round(float(offset[0]), 3)))
    fields = [
        area if found is None else replace(area, chainage_m=_extent(found))
        for area, found in zip(areas, _locate([a.lonlat for a in areas], route), strict=True)
    ]
    return placed, fields


def make_sections(
    cracks: Sequence[SurveyCrack],
    areas: Sequence[SurveyArea],
    route: Route | None,
    *,
    section_length_m: float,
    rules: RuleSet | None = None,
    inspected: Sequence[SurveyGround] = (),
    reach_m: float = REACH_M,
) -> list[SurveySection]:
    """Sum what was found by section, class, severity and zone.

    A crack that crosses a border is split there in proportion to its length, a field in proportion to its area. What
    is no crack by the rules, being too small, does not count: least length for all branches of a crack together, least
    width for each.

    Args:
        cracks: Rows of the whole survey.
        areas: Alligator fields.
        route: Reference line; without one there is one section for everything.
        section_length_m: The last section may be shorter.
        rules: Least sizes, and the order of severities; None for none.
        inspected: Ground that was looked at; other states are left out.
        reach_m: What lies further from the route, or has no place, comes into a last section without a line.
    Raises:
        SettingsError: The length of a section makes no sense.
    """
    if not (math.isfinite(section_length_m) and section_length_m > 0):
        raise SettingsError(f"the length of a section is {section_length_m:g} m; give a length above 0, such as 100")
    kept = _that_count(cracks, rules)
    ground = [g for g in inspected if g.state == "inspected"]
    if route is None:
        known = [g.area_m2 for g in ground if g.area_m2 is not None]
        sums = _sum_up(kept, [{0: 1.0}] * len(kept), areas, [{0: 1.0}] * len(areas))
        area = round(sum(known), 3) if known else None
        found = sums.get(0, {})
        return [SurveySection(WHOLE, 0.0, 0.0, None, area, None, _rows(found, rules), _count(found))]
    borders = _borders(route.length_m, section_length_m)
    crack_shares = [_line_shares(found, borders, reach_m) for found in _locate([c.lonlat for c in kept], route)]
    area_shares = [_area_shares(a, route, borders, reach_m) for a in _locate([a.lonlat for a in areas], route)]
    sums = _sum_up(kept, crack_shares, areas, area_shares)
    covers = _Cover(ground, route, reach_m)
    sections = []
    for number, (start, end) in enumerate(pairwise(borders)):
        area_m2, share = covers.of_section(start, end)
        found = sums.get(number, {})
        line = route.sub_line(start, end)
        sections.append(
            SurveySection(_name(start, end), start, end, line, area_m2, share, _rows(found, rules), _count(found))
        )
    elsewhere = sums.get(_ELSEWHERE, {})
    if elsewhere:
        end = borders[-1]
        rows = _rows(elsewhere, rules)
        sections.append(SurveySection(ELSEWHERE, end, end, None, None, None, rows, _count(elsewhere)))
    return sections


_ELSEWHERE = -1


@dataclass(frozen=True, eq=False)
class _Located:
    """A line beside the route: its points in the route's CRS, their chainage and offset."""

    xy: npt.NDArray[np.float64]
    chainage: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]


def _locate(lines: Sequence[npt.NDArray[np.float64] | None], route: Route) -> list[_Located | None]:
    """All lines at once; None for those without a place."""
    placed = [line for line in lines if line is not None and len(line)]
    if not placed:
        return [None] * len(lines)
    xy = to_crs(np.concatenate(placed), route.crs)
    chainage, offset = route.locate_xy(xy)
    found: list[_Located | None] = []
    first = 0
    for line in lines:
        if line is None or not len(line):
            found.append(None)
            continue
        part = slice(first, first + len(line))
        found.append(_Located(xy[part], chainage[part], offset[part]))
        first += len(line)
    return found


def _extent(found: _Located) -> tuple[float, float]:
    return round(float(found.chainage.min()), 3), round(float(found.chainage.max()), 3)


def _middle(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The point half way along a line, shape (1, 2)."""
    along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))]
    return np.column_stack([np.interp([along[-1] / 2], along, xy[:, k]) for k in (0, 1)])


def _that_count(cracks: Sequence[SurveyCrack], rules: RuleSet | None) -> list[SurveyCrack]:
    """Cracks that are not too small by the rules; what has no millimetres is not judged."""
    if rules is None:
        return list(cracks)
    whole_mm: dict[Any, float] = {}
    for crack in cracks:
        length = _number(crack.fields.get("length_m"))
        whole_mm[crack.fields.get("crack_id")] = whole_mm.get(crack.fields.get("crack_id"), 0.0) + 1000.0 * length
    width = f"width_{rules.width_statistic}_mm"
    return [
        crack for crack in cracks
        if crack.fields.get("length_m") is None
        or rules.counts(_number(crack.fields.get(width), math.nan), whole_mm[crack.fields.get("crack_id")])
    ]  # fmt: skip


def _borders(length_m: float, section_m: float) -> list[float]:
    """Chainages at which sections begin, and the route's end; a rest below a millimetre is no section."""
    count = max(1, math.ceil((length_m - 1e-3) / section_m))
    if count > _MOST_SECTIONS:
        raise SettingsError(
            f"sections of {section_m:g} m make {count} of a route of {length_m / 1000:.1f} km; at most "
            f"{_MOST_SECTIONS} are reported, so give at least {length_m / _MOST_SECTIONS:.3g} m"
        )
    return [k * section_m for k in range(count)] + [length_m]


def _name(start: float, end: float) -> str:
    return f"{round(start, 1):g} to {round(end, 1):g} m" if end < 1e5 else f"{start:.0f} to {end:.0f} m"


def _line_shares(found: _Located | None, borders: Sequence[float], reach_m: float) -> _Shares:
    """Parts of a line's length in each section, cut where it crosses a border."""
    if found is None or np.abs(found.offset).min() > reach_m:
        return {_ELSEWHERE: 1.0}
    steps = np.linalg.norm(np.diff(found.xy, axis=0), axis=1)
    if not steps.sum() > 0:
        return {_section(float(found.chainage.mean()), borders): 1.0}
    shares: _Shares = {}
    for a, b, step in zip(found.chainage[:-1], found.chainage[1:], steps / steps.sum(), strict=True):
        for start, end in _pieces(float(a), float(b), borders):
            number = _section((start + end) / 2, borders)
            part = step * (1.0 if a == b else abs((end - start) / (b - a)))
            shares[number] = shares.get(number, 0.0) + float(part)
    return {number: share for number, share in shares.items() if share > 0}


def _pieces(a: float, b: float, borders: Sequence[float]) -> Iterator[tuple[float, float]]:
    """A stretch from chainage a to b, cut at the borders between them."""
    low, high = min(a, b), max(a, b)
    first, last = np.searchsorted(borders, [low, high], side="right")
    yield from pairwise([low, *(border for border in borders[first:last] if low < border < high), high])


def _section(chainage: float, borders: Sequence[float]) -> int:
    return int(np.clip(np.searchsorted(borders, chainage, side="right") - 1, 0, len(borders) - 2))


def _area_shares(found: _Located | None, route: Route, borders: Sequence[float], reach_m: float) -> _Shares:
    """Parts of a field in each section; a border cuts it square to the route."""
    if found is None or np.abs(found.offset).min() > reach_m:
        return {_ELSEWHERE: 1.0}
    first, last = (_section(float(v), borders) for v in (found.chainage.min(), found.chainage.max()))
    if first == last or len(found.xy) < 3:
        return {first: 1.0}
    # An outline that was simplified may touch itself.
    rest = shapely.make_valid(shapely.Polygon(found.xy))
    whole, shares = float(rest.area), {}
    for number in range(first, last):
        before = _before(route, borders[number + 1], rest)
        shares[number] = float(shapely.intersection(rest, before).area) / whole if whole > 0 else 0.0
        rest = shapely.difference(rest, before)
    shares[last] = max(1.0 - sum(shares.values()), 0.0)
    return {number: share for number, share in shares.items() if share > 1e-9}


def _before(route: Route, chainage: float, shape: Any) -> Any:
    """A half plane, as far as the shape reaches: what lies before a place on the route."""
    at = to_crs(route.at(np.array([chainage])), route.crs)[0]
    step = min(0.5, route.length_m / 4)
    ends = to_crs(route.at(np.array([chainage - step, chainage + step])), route.crs)
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    right = np.array([along[1], -along[0]])
    left, bottom, west, top = shape.bounds
    corners = np.array([[left, bottom], [west, top], [left, top], [west, bottom]])
    size = 2 * float(np.linalg.norm(corners - at, axis=1).max()) + 1.0
    back = at - size * along
    return shapely.Polygon([at - size * right, at + size * right, back + size * right, back - size * right])


class _Cover:
    """How much of the route and of the ground beside it was looked at."""

    def __init__(self, ground: Sequence[SurveyGround], route: Route, reach_m: float) -> None:
        outlines = [g.outline for g in ground if g.outline is not None and not g.outline.is_empty]
        self._route, self._shape = route, None
        self._reach_m = reach_m
        if outlines:
            placed = [shapely.transform(shape, lambda xy: to_crs(xy, route.crs)) for shape in outlines]
            self._shape = shapely.union_all([shapely.make_valid(shape) for shape in placed])
            _, offsets = route.locate_xy(shapely.get_coordinates(self._shape))
            # No wider than need be: wide strips of neighbouring sections overlap in bends.
            self._reach_m = min(reach_m, float(np.abs(offsets).max()) + 1.0)

    def of_section(self, start: float, end: float) -> tuple[float | None, float | None]:
        """Area in m² and share of the length that was looked at; None if nothing is known."""
        if self._shape is None:
            return None, None
        xy = self._route.sub_line_xy(start, end)
        line = shapely.LineString(xy)
        share = float(shapely.intersection(line, self._shape).length) / float(line.length)
        factor = self._route.plane_per_metre((start + end) / 2)
        strip = line.buffer(self._reach_m * factor, cap_style="flat", join_style="mitre")
        area = float(shapely.intersection(strip, self._shape).area) / factor**2
        return round(area, 3), round(min(share, 1.0), 4)


@dataclass
class _Sum:
    cracks: set[Any] = field(default_factory=set)
    length: float = 0.0
    width_length: float = 0.0
    widths: float = 0.0
    area: float = 0.0


_Key = tuple[str, str, str, bool]
"""Class, severity, zone, and whether lengths are in metres."""


def _sum_up(
    cracks: Sequence[SurveyCrack], crack_shares: Sequence[_Shares], areas: Sequence[SurveyArea],
    area_shares: Sequence[_Shares],
) -> dict[int, dict[_Key, _Sum]]:  # fmt: skip
    """Sums by section and key."""
    sums: dict[int, dict[_Key, _Sum]] = {}
    for crack, shares in zip(cracks, crack_shares, strict=True):
        f = crack.fields
        scaled = f.get("length_m") is not None
        length = _number(f.get("length_m" if scaled else "length_px"))
        width = _number(f.get("width_mean_mm" if scaled else "width_mean_px"), math.nan)
        key = (str(f.get("class") or "other"), str(f.get("severity") or ""), str(f.get("zone") or ""), scaled)
        for number, share in shares.items():
            entry = sums.setdefault(number, {}).setdefault(key, _Sum())
            entry.cracks.add(f.get("crack_id", f.get("id")))
            entry.length += share * length
            if math.isfinite(width):
                entry.width_length += share * length
                entry.widths += share * length * width
    for area, shares in zip(areas, area_shares, strict=True):
        f = area.fields
        scaled = f.get("area_m2") is not None
        key = ("alligator", str(f.get("severity") or ""), "", scaled)
        for number, share in shares.items():
            entry = sums.setdefault(number, {}).setdefault(key, _Sum())
            entry.area += share * _number(f.get("area_m2" if scaled else "area_px2"))
    return sums


def _count(sums: dict[_Key, _Sum]) -> int:
    """Cracks of a section; one may have branches of several classes and severities."""
    return len(set[Any]().union(*(entry.cracks for entry in sums.values())))


def _rows(sums: dict[_Key, _Sum], rules: RuleSet | None) -> tuple[Fields, ...]:
    """Rows in the order of `KINDS`, severities from mild to severe, zones by name."""

    def order(key: _Key) -> tuple[bool, int, int, str, str]:
        kind, severity, zone, scaled = key
        levels = [level.name for level in getattr(rules.levels, kind, ())] if rules is not None else []
        rank = levels.index(severity) if severity in levels else len(levels)
        return not scaled, KINDS.index(kind) if kind in KINDS else len(KINDS), rank, severity, zone

    return tuple(_row(key, sums[key]) for key in sorted(sums, key=order))


def _row(key: _Key, entry: _Sum) -> Fields:
    kind, severity, zone, scaled = key
    length, area, width = ("length_m", "area_m2", "width_mean_mm") if scaled else (
        "length_px", "area_px2", "width_mean_px",
    )  # fmt: skip
    return round_fields({
        "class": kind, "severity": severity, "zone": zone, "cracks": len(entry.cracks), length: entry.length,
        area: entry.area, width: entry.widths / entry.width_length if entry.width_length > 0 else None,
    })  # fmt: skip


def _number(value: Any, missing: float = 0.0) -> float:
    return float(value) if isinstance(value, (int, float)) else missing
