"""Cracks, areas and summaries as CSV files that Excel opens by a double click.

The files are UTF-8 with a byte order mark. Excel takes a CSV without one for the Windows code page and garbles every
"Straße" in a path without a word, whereas a reader that does not know the mark stumbles over the first column's name
at its first use and is told ``encoding="utf-8-sig"``; pandas, R's readr, QGIS and LibreOffice know it. Numbers have
a decimal point and no thousands separator, lines end as RFC 4180 says.

Widths and lengths in real units and in pixels have columns of their own (``length_m``, ``length_px``). A table has
the columns that its rows need; where pictures with and without a scale meet, each row leaves the other family empty.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np

from fissura.imaging.write import open_text
from fissura.measure.model import Crack, CrackArea, Points

Value: TypeAlias = str | int | float | bool | datetime | None
Fields: TypeAlias = dict[str, Value]
"""Name to value; None is not known."""

CSV_ENCODING = "utf-8-sig"

_WIDTHS = ("width_mean", "width_median", "width_p95", "width_max", "width_sigma")
_SCALED = ("length_m", *(f"{name}_mm" for name in _WIDTHS))
_PIXELS = ("length_px", *(f"{name}_px" for name in _WIDTHS))
EXTENT = ("left_px", "top_px", "right_px", "bottom_px")
"""Names of the box around a crack in its picture, in pixels, last ones included."""
_BEFORE = ("id", "crack_id", "class", "orientation_deg")
_AFTER = (
    "gsd_mm", "below_gsd", "severity", "standard", "zone", "confidence", "source_frame", "captured_at", "model",
    "bridged_share", *EXTENT, "notes",
)  # fmt: skip
_WHOLE_BEFORE = ("crack_key", "crack_id", "source_frame", "class", "extent", "branches")
_WHOLE_SCALED = ("length_m", "width_mean_mm", "width_max_mm", "width_sigma_mm")
_WHOLE_PIXELS = ("length_px", "width_mean_px", "width_max_px", "width_sigma_px")
_WHOLE_AFTER = (
    "widest_branch", "widest_column_px", "widest_row_px", "below_gsd", "severity", "standard", "confidence",
    "captured_at", "model", "bridged_share", *EXTENT,
)  # fmt: skip
_AREA_SCALED = ("area_m2", "crack_length_m", "width_mean_mm")
_AREA_PIXELS = ("area_px2", "crack_length_px", "width_mean_px")
_AREA_AFTER = ("severity", "standard", "source_frame", "captured_at", "model", *EXTENT)

_DIGITS = {"_m": 4, "_m2": 4, "_mm": 3, "_px": 2, "_px2": 0, "_deg": 1, "_share": 3, "confidence": 3}
"""Digits after the point by the end of the name: a tenth of a millimetre of length, a micrometre of width."""


_TOUCH_PX = 0.05
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_HARMLESS = re.compile(r"[+-]?[\d.]+( to [+-]?[\d.]+ m)?")
"""Numbers, and sections before a route's beginning."""


def crack_fields(
    crack: Crack, *, source_frame: str = "", captured_at: datetime | str | None = None, model: str = "",
    size_hw: tuple[int, int] | None = None,
) -> Fields:  # fmt: skip
    """A crack as named fields with units in their names, rounded; the same for CSV and GeoJSON.

    Args:
        crack: One branch.
        source_frame: Picture it was seen in, relative to the run's inputs.
        captured_at: When the picture was taken; naive times stay naive.
        model: Name and version of the network.
        size_hw: Rows and columns of the picture, which the crack's box does not leave; None if it has none.
    Returns:
        In the order of the columns; without a scale lengths and widths end in ``_px`` and ``gsd_mm`` is None.
    """
    unit = "mm" if crack.scaled else "px"
    length: Fields = {"length_m": crack.length / 1000} if crack.scaled else {"length_px": crack.length}
    fields: Fields = {
        "id": crack.id, "crack_id": crack.crack_id, "class": crack.kind, "orientation_deg": crack.orientation_deg,
        **length, **{f"{name}_{unit}": float(getattr(crack, name)) for name in _WIDTHS},
        "gsd_mm": crack.gsd_mm if crack.scaled else None, "below_gsd": crack.below_gsd, "severity": crack.severity,
        "standard": crack.standard, "zone": crack.zone, "confidence": crack.confidence, "source_frame": source_frame,
        "captured_at": captured_at, "model": model, "bridged_share": crack.bridged_share,
        **_extent(crack.points_rc, size_hw), "notes": "; ".join(crack.notes),
    }  # fmt: skip
    fields = round_fields(fields)
    # Rounded to a tenth, 179.96 would become 180, which is 0 again.
    if fields["orientation_deg"] == 180.0:
        fields["orientation_deg"] = 0.0
    return fields


def area_fields(
    area: CrackArea, *, source_frame: str = "", captured_at: datetime | str | None = None, model: str = "",
    size_hw: tuple[int, int] | None = None,
) -> Fields:  # fmt: skip
    """An alligator area as named fields, rounded; see `crack_fields`."""
    values: Fields = (
        {"area_m2": area.area, "crack_length_m": area.crack_length / 1000, "width_mean_mm": area.width_mean}
        if area.scaled
        else {"area_px2": area.area, "crack_length_px": area.crack_length, "width_mean_px": area.width_mean}
    )
    return round_fields(
        {
            "id": area.id, "class": "alligator", **values, "severity": area.severity, "standard": area.standard,
            "source_frame": source_frame, "captured_at": captured_at, "model": model,
            **_extent(area.outline_rc, size_hw),
        }
    )  # fmt: skip


def write_cracks_csv(path: Path, rows: Iterable[Mapping[str, Value]]) -> None:
    """Write one line for each crack, of one or many pictures.

    Args:
        path: Usually ``cracks.csv``.
        rows: From `crack_fields`; further names become columns at the end. Gone through twice; a generator is kept in
            memory.
    Raises:
        OutputError: The file cannot be written.
    """
    rows = _again(rows)
    _write_csv(path, rows, _columns(rows, _BEFORE, (_SCALED, _PIXELS), _AFTER))


def write_whole_cracks_csv(path: Path, rows: Iterable[Mapping[str, Value]]) -> None:
    """Write one line for each whole crack, all its branches together.

    Args:
        path: Usually ``whole_cracks.csv``.
        rows: From `fissura.report.whole_cracks.whole_crack_fields`; see `write_cracks_csv`.
    Raises:
        OutputError: The file cannot be written.
    """
    rows = _again(rows)
    _write_csv(path, rows, _columns(rows, _WHOLE_BEFORE, (_WHOLE_SCALED, _WHOLE_PIXELS), _WHOLE_AFTER))


def write_plain_csv(path: Path, rows: Iterable[Mapping[str, Value]], columns: Sequence[str]) -> None:
    """Write one line for each mapping, with these columns and no others; rows are gone through once.

    Raises:
        OutputError: The file cannot be written.
    """
    _write_csv(path, rows, columns)


def write_areas_csv(path: Path, rows: Iterable[Mapping[str, Value]]) -> None:
    """Write one line for each alligator area, from `area_fields`.

    Raises:
        OutputError: The file cannot be written.
    """
    rows = _again(rows)
    _write_csv(path, rows, _columns(rows, ("id", "class"), (_AREA_SCALED, _AREA_PIXELS), _AREA_AFTER))


def write_summary_csv(path: Path, rows: Iterable[Mapping[str, Value]], *, columns: Sequence[str] = ()) -> None:
    """Write one line for each mapping.

    Args:
        path: Usually ``summary.csv``.
        rows: See `write_cracks_csv`.
        columns: Names that are written in any case, and first; all others follow in the order of their first
            appearance. Without them a table without rows has no header.
    Raises:
        OutputError: The file cannot be written.
    """
    rows = _again(rows)
    _write_csv(path, rows, _columns(rows, tuple(columns), (), ()))


def _again(rows: Iterable[Mapping[str, Value]]) -> Iterable[Mapping[str, Value]]:
    """Rows that can be gone through twice: once for the columns, once for the lines."""
    return list(rows) if isinstance(rows, Iterator) else rows


def round_fields(fields: Mapping[str, Value]) -> Fields:
    """Round floats by what their name says they are; NaN and infinity become None."""
    return {name: _rounded(name, value) for name, value in fields.items()}


def _rounded(name: str, value: Value) -> Value:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    if name == "gsd_mm":
        return float(f"{value:.4g}")  # from 0.05 mm at a wall to 50 mm from a plane
    digits = next((_DIGITS[end] for end in sorted(_DIGITS, key=len, reverse=True) if name.endswith(end)), None)
    return float(f"{value:.6g}") if digits is None else round(value, digits) + 0.0  # + 0.0: no "-0.0"


def _extent(points_rc: Points, size_hw: tuple[int, int] | None) -> Fields:
    """The box around the points, whole pixels, last ones included; where to look in the picture."""
    # A crack ends at the edge of its mask's last pixel, but for rounding: that is not yet the next pixel.
    first = np.floor(points_rc.min(0) + 0.5 + _TOUCH_PX)
    last = np.maximum(np.ceil(points_rc.max(0) - 0.5 - _TOUCH_PX), first)
    if size_hw is not None:
        first, last = (np.clip(corner, 0, np.array(size_hw) - 1) for corner in (first, last))
    (top, left), (bottom, right) = first, last
    return dict(zip(EXTENT, (int(left), int(top), int(right), int(bottom)), strict=True))


def _columns(
    rows: Iterable[Mapping[str, Value]],
    before: tuple[str, ...],
    families: tuple[tuple[str, ...], ...],
    after: tuple[str, ...],
) -> list[str]:
    present = dict.fromkeys(name for row in rows for name in row)
    used = [family for family in families if any(name in present for name in family)] or list(families[:1])
    known = [*before, *(name for family in used for name in family), *after]
    return [*known, *(name for name in present if name not in known)]


def _write_csv(path: Path, rows: Iterable[Mapping[str, Value]], columns: Sequence[str]) -> None:
    with open_text(path, encoding=CSV_ENCODING) as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_text(row.get(name)) for name in columns])


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return f"{value:.10f}".rstrip("0").rstrip(".") if 0 < abs(value) < 1e-4 else f"{value:.12g}"
    text = speakable(value) if isinstance(value, str) else str(value)
    # Excel would take it for a formula, unless an apostrophe says that it is a text.
    formula = isinstance(value, str) and text[:1] in _FORMULA and not _HARMLESS.fullmatch(text)
    return f"'{text}" if formula else text


def speakable(text: str) -> str:
    """Text as UTF-8 can hold it: names of files that no encoding could read have lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")
