"""What each layer and sheet of a survey holds: columns with their types, and rows one by one.

The GeoPackage, the workbook and ``sections.csv`` are written from these, so that a column has the same name and meaning
in all of them. Times with a zone are given in UTC without it, since neither format can hold a zone; naive ones stay.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from fissura.report.records import (
    GROUND_STATES,
    SurveyArea,
    SurveyCrack,
    SurveyFrame,
    SurveyResult,
    SurveySection,
)
from fissura.report.tables import EXTENT, Fields, Value, round_fields
from fissura.report.whole_cracks import group_branches, whole_crack_fields

ColumnKind = Literal["text", "integer", "real", "boolean", "time"]

CRACK_CLASSES = ("longitudinal", "transverse", "diagonal", "alligator", "other")

_WIDTHS = ("width_mean", "width_median", "width_p95", "width_max", "width_sigma")
_CRACK_FAMILIES = (
    ("length_m", *(f"{name}_mm" for name in _WIDTHS)),
    ("length_px", *(f"{name}_px" for name in _WIDTHS)),
)
_AREA_FAMILIES = (("area_m2", "crack_length_m", "width_mean_mm"), ("area_px2", "crack_length_px", "width_mean_px"))
_CRACK_AFTER = (
    "gsd_mm", "below_gsd", "severity", "standard", "zone", "confidence", "source_frame", "captured_at", "model",
    "bridged_share", *EXTENT, "notes",
)  # fmt: skip
_WHOLE_BEFORE = ("crack_id", "class", "extent", "branches")
_WHOLE_WIDTHS = ("width_mean", "width_max", "width_sigma")
_WHOLE_FAMILIES = (
    ("length_m", *(f"{name}_mm" for name in _WHOLE_WIDTHS)),
    ("length_px", *(f"{name}_px" for name in _WHOLE_WIDTHS)),
)
_WHOLE_AFTER = (
    "widest_branch", "below_gsd", "severity", "standard", "confidence", "source_frame", "captured_at", "model",
    "bridged_share", "position_sigma_m", "chainage_from_m", "chainage_to_m",
)  # fmt: skip
_AREA_AFTER = ("severity", "standard", "source_frame", "captured_at", "model", *EXTENT)
_PLACE = ("position_sigma_m", "chainage_from_m", "chainage_to_m")
_FRAME_COLUMNS = (
    "name", "source", "kind", "status", "captured_at", "gsd_mm", "height_m", "sharpness", "position_sigma_m",
    "road_found", "direction_deg", "slices", "seconds", "error", "notes", "overlay", "mask",
)  # fmt: skip
_SECTION_ROW_COLUMNS = (
    "section", "start_m", "end_m", "inspected_m2", "inspected_share", "class", "severity", "zone", "cracks",
)  # fmt: skip

_INTEGERS = frozenset({"id", "crack_id", "slices", "cracks", "points", "branches", "widest_branch", *EXTENT})
_TEXTS = frozenset({
    "class", "severity", "standard", "zone", "extent", "source_frame", "model", "notes", "name", "source", "kind",
    "status", "error", "overlay", "mask", "picture", "section", "state", "meaning", "item", "text",
})  # fmt: skip
_BOOLEANS = frozenset({"below_gsd", "road_found"})
_MILDNESS = ("none", "hairline", "very low", "low", "minor", "medium", "moderate", "high", "severe", "very high")


@dataclass(frozen=True)
class Column:
    """A named column; units are in the name."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, eq=False)
class Layer:
    """A table that makes its rows when they are asked for, so that they need no memory.

    Attributes:
        name: As in the GeoPackage.
        columns: In order.
        items: What the rows are made from, in their order.
        as_fields: From an item to its row; names that are no column are left out.
    """

    name: str
    columns: tuple[Column, ...]
    items: Sequence[Any]
    as_fields: Callable[[Any], Mapping[str, Value]]

    def rows(self) -> Iterator[list[Value]]:
        """Values in the order of the columns, of the columns' types; None where there is none."""
        for item in self.items:
            fields = self.as_fields(item)
            yield [_typed(fields.get(column.name), column.kind) for column in self.columns]


def crack_layer(result: SurveyResult) -> Layer:
    """One row for each branch; columns end in ``_px`` where there is no scale, and both families meet if need be."""
    names = _chosen([c.fields for c in result.cracks], ("id", "crack_id", "class", "orientation_deg"), _CRACK_FAMILIES,
                    _CRACK_AFTER, scaled=result.crs is not None)  # fmt: skip
    columns = [*names, *_PLACE, "offset_m", "picture"]
    return Layer("cracks", _columns(columns, (c.fields for c in result.cracks)), result.cracks, _crack_fields)


def whole_crack_layer(result: SurveyResult) -> Layer:
    """One row for each crack, all its branches together; see `whole_crack_fields`."""
    groups = group_branches(_crack_fields(crack) for crack in result.cracks)
    present = {name for group in groups for row in group for name in row}
    used = [family for family in _WHOLE_FAMILIES if family[0] in present] or [_WHOLE_FAMILIES[result.crs is None]]
    names = [*_WHOLE_BEFORE, *(name for family in used for name in family), *_WHOLE_AFTER]
    levels = severity_order(result)
    return Layer("whole_cracks", _columns(names), groups, lambda group: _whole_fields(group, levels))


def area_layer(result: SurveyResult) -> Layer:
    """One row for each field of alligator cracking."""
    names = _chosen([a.fields for a in result.areas], ("id", "class"), _AREA_FAMILIES, _AREA_AFTER,
                    scaled=result.crs is not None)  # fmt: skip
    columns = [*names, *_PLACE]
    return Layer("crack_polygons", _columns(columns, (a.fields for a in result.areas)), result.areas, _area_fields)


def frame_layer(result: SurveyResult) -> Layer:
    """One row for each picture that took part, failed ones too."""
    return Layer("frames", _columns(_FRAME_COLUMNS), result.frames, _frame_fields)


def section_layer(result: SurveyResult) -> Layer:
    """One row for each stretch of the route, with length by class and by severity in columns of their own."""
    rows = [row for section in result.sections for row in section.rows]
    unit = "px" if rows and all("length_m" not in row for row in rows) else "m"
    levels = severity_order(result)
    names = [
        "name", "start_m", "end_m", "cracks", f"length_{unit}", "crack_length_per_m",
        *(f"length_{kind}_{unit}" for kind in CRACK_CLASSES),
        *(f"length_severity_{_identifier(level)}_{unit}" for level in levels),
        "area_m2", *(f"area_severity_{_identifier(level)}_m2" for level in levels), "inspected_m2", "inspected_share",
    ]  # fmt: skip
    return Layer("sections", _columns(names), result.sections, lambda section: _section_fields(section, unit))


def section_row_layer(result: SurveyResult) -> Layer:
    """One row for each class, severity and zone of each section; a section without cracks has one row, of 0 cracks."""
    pairs = [(section, row) for section in result.sections for row in section.rows or ({"cracks": 0},)]
    present = dict.fromkeys(name for _, row in pairs for name in row)
    known = [*_SECTION_ROW_COLUMNS, "length_px" if "length_px" in present and "length_m" not in present else "length_m"]
    known += ["area_m2", "width_mean_mm"]
    names = [*known, *(name for name in present if name not in known)]
    return Layer("section_rows", _columns(names, (row for _, row in pairs)), pairs, _section_row_fields)


def ground_layer(result: SurveyResult) -> Layer:
    """One row for each state of the ground: what was inspected and what was not."""
    return Layer("inspected", _columns(("state", "meaning", "area_m2")), result.ground, lambda g: round_fields(
        {"state": g.state, "meaning": GROUND_STATES[g.state], "area_m2": g.area_m2}))  # fmt: skip


def severity_order(result: SurveyResult) -> list[str]:
    """Names of the severities from the mildest; those without a threshold come first, as they are milder."""
    groups = ((c.fields for c in result.cracks), (a.fields for a in result.areas),
              (row for section in result.sections for row in section.rows))  # fmt: skip
    seen = {str(row["severity"]) for group in groups for row in group if row.get("severity")} | {*result.thresholds_mm}
    return sorted(seen, key=lambda name: (
        result.thresholds_mm.get(name, 0.0), _MILDNESS.index(name.lower()) if name.lower() in _MILDNESS else 99, name,
    ))  # fmt: skip


def _crack_fields(crack: SurveyCrack) -> Fields:
    start, end = crack.chainage_m or (None, None)
    place = round_fields({
        "position_sigma_m": crack.position_sigma_m, "chainage_from_m": start, "chainage_to_m": end,
        "offset_m": crack.offset_m,
    })  # fmt: skip
    return {**crack.fields, **place, "picture": None if crack.picture is None else crack.picture.path}


def _whole_fields(branches: Sequence[Mapping[str, Value]], levels: Sequence[str]) -> Fields:
    """A crack's row, with the stretch of the route that its branches take together."""
    fields = whole_crack_fields(branches, levels)
    for name, choose in (("position_sigma_m", max), ("chainage_from_m", min), ("chainage_to_m", max)):
        values = [float(value) for value in (row.get(name) for row in branches) if isinstance(value, (int, float))]
        fields[name] = choose(values) if values else None
    return fields


def _area_fields(area: SurveyArea) -> Fields:
    start, end = area.chainage_m or (None, None)
    place = {"position_sigma_m": area.position_sigma_m, "chainage_from_m": start, "chainage_to_m": end}
    return {**area.fields, **round_fields(place)}


def _frame_fields(frame: SurveyFrame) -> Fields:
    fields = {name: getattr(frame, name) for name in _FRAME_COLUMNS}
    return round_fields({**fields, "notes": "; ".join(frame.notes)})


def _section_fields(section: SurveySection, unit: str) -> Fields:
    length, span = f"length_{unit}", section.end_m - section.start_m
    sums: dict[str, float] = dict.fromkeys((length, "area_m2", *(f"length_{k}_{unit}" for k in CRACK_CLASSES)), 0.0)
    for row in section.rows:
        metres, area, level = _number(row.get(length)), _number(row.get("area_m2")), row.get("severity")
        kind = row.get("class") if row.get("class") in CRACK_CLASSES else "other"
        parts = [(length, metres), (f"length_{kind}_{unit}", metres), ("area_m2", area)]
        if level:
            parts += [(f"length_severity_{_identifier(str(level))}_{unit}", metres)]
            parts += [(f"area_severity_{_identifier(str(level))}_m2", area)]
        for name, value in parts:
            sums[name] = sums.get(name, 0.0) + value
    cracks = section.cracks
    if cracks is None:
        cracks = sum(int(_number(row.get("cracks"))) for row in section.rows)
    return round_fields({
        "name": section.name, "start_m": section.start_m, "end_m": section.end_m, "cracks": cracks, **sums,
        "crack_length_per_m": sums[length] / span if unit == "m" and span > 0 and section.lonlat is not None else None,
        "inspected_m2": section.inspected_m2, "inspected_share": section.inspected_share,
    })  # fmt: skip


def _section_row_fields(pair: tuple[SurveySection, Fields]) -> Fields:
    section, row = pair
    return round_fields({
        "section": section.name, "start_m": section.start_m, "end_m": section.end_m,
        "inspected_m2": section.inspected_m2, "inspected_share": section.inspected_share, **row,
    })  # fmt: skip


def _chosen(
    rows: Sequence[Fields], before: tuple[str, ...], families: tuple[tuple[str, ...], ...], after: tuple[str, ...],
    *, scaled: bool,
) -> list[str]:  # fmt: skip
    """Columns that the rows need, further names at the end; without rows the family that the survey would have."""
    present = dict.fromkeys(name for row in rows for name in row)
    used = [family for family in families if family[0] in present] or [families[0 if scaled else 1]]
    known = [*before, *(name for family in used for name in family), *after]
    return [*known, *(name for name in present if name not in known)]


def _columns(names: Iterable[str], rows: Iterable[Mapping[str, Value]] = ()) -> tuple[Column, ...]:
    """Types by name, so that an empty layer has the same schema as a full one; only unknown names look at the rows."""
    names = list(names)
    unknown = [name for name in names if _kind(name) is None]
    values: dict[str, set[type]] = {name: set() for name in unknown}
    for row in rows if unknown else ():
        for name in unknown:
            values[name].add(type(row.get(name)))
    return tuple(Column(name, _kind(name) or _kind_of(values[name])) for name in names)


def _kind(name: str) -> ColumnKind | None:
    if name in _INTEGERS:
        return "integer"
    if name in _BOOLEANS:
        return "boolean"
    if name == "captured_at":
        return "time"
    if name in _TEXTS:
        return "text"
    numeric = name in ("confidence", "sharpness", "seconds") or re.search(r"_(m|m2|mm|px|px2|deg|share)$", name)
    return "real" if numeric else None


def _kind_of(types: set[type]) -> ColumnKind:
    types = types - {type(None)}
    if types and types <= {bool, np.bool_}:
        return "boolean"
    if types and all(issubclass(t, (int, float, np.number)) and t is not bool for t in types):
        return "real"
    return "text"


def _typed(value: Value, kind: ColumnKind) -> Value:
    """The value as the column's type, None where it cannot be."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return None
    if kind == "text":
        return value.isoformat() if isinstance(value, datetime) else str(value)
    if kind == "time":
        return as_plain_time(value)
    if isinstance(value, (str, datetime)) or not math.isfinite(value):
        return None
    return bool(value) if kind == "boolean" else round(value) if kind == "integer" else float(value)


def as_plain_time(value: Value) -> datetime | None:
    """A time without a zone: in UTC if it had one, unchanged if not; None for what is no time."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def _identifier(name: str) -> str:
    return re.sub(r"\W+", "_", name.strip().lower()) or "unnamed"
