"""A survey as an Excel workbook: summary, cracks by branch and whole, areas, sections, frames, settings.

Rows are written as they are made, so that memory stays small with a hundred thousand cracks.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fissura.errors import OutputError
from fissura.imaging.write import as_output_error, write_bytes
from fissura.report.layers import (
    Column,
    Layer,
    area_layer,
    as_plain_time,
    crack_layer,
    frame_layer,
    ground_layer,
    section_layer,
    whole_crack_layer,
)
from fissura.report.records import SurveyResult
from fissura.report.tables import Value

MOST_ROWS = 1_048_575
"""Below the heading, Excel's limit."""
_MOST_LINKS = 60_000  # Excel opens 65,530 links of a sheet and calls the file damaged beyond them
_MOST_CHARACTERS = 32_767
_HEADING_FILL, _LINK_COLOUR = "FFE3E8EF", "FF0563C1"
_TIME_FORMAT = "yyyy-mm-dd hh:mm:ss"
_UNITS = {"_m": "m", "_m2": "m²", "_mm": "mm", "_px": "px", "_px2": "px²", "_deg": "°", "_share": "%"}
_FORMATS = {"m": "0.000", "m²": "0.00", "mm": "0.00", "px": "0.0", "px²": "0", "°": "0.0", "%": "0.0 %"}
_HEADINGS = {
    "id": "Id", "gsd_mm": "GSD (mm)", "below_gsd": "Below GSD", "crack_length_per_m": "Crack length (m per m)",
    "seconds": "Time (s)", "captured_at": "Captured at",
}  # fmt: skip
_WIDE = {
    "notes": 50, "error": 50, "source_frame": 28, "name": 28, "source": 36, "overlay": 34, "mask": 34, "picture": 26,
}  # fmt: skip
_NO_SCALE = (
    "There is no scale: lengths and widths are in pixels of the pictures. Give --gsd-mm, or pictures with a position "
    "and a height, for metres and millimetres."
)
_SOME_WITHOUT_SCALE = (
    "{} of {} branches have no scale: their lengths and widths are in pixels of their pictures, and no section holds "
    "them. Give pictures with a position and a height for metres and millimetres."
)


@dataclass(frozen=True, eq=False)
class _Style:
    """What openpyxl needs for a cell that is more than its value; made once, since each is looked up by its content."""

    heading_font: Any
    heading_fill: Any
    wrapped: Any
    link_font: Any


def write_workbook(path: Path, result: SurveyResult) -> None:
    """Write the sheets Summary, Cracks (branches), Whole cracks, Areas, Sections, Frames and Settings.

    Args:
        path: Usually ``cracks.xlsx``. Links to overlays and pictures are relative to it.
        result: Text that looks like a formula stays text; characters that a workbook cannot hold are removed.
    Raises:
        OutputError: The file cannot be written; often it is open in Excel.
    """
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font, PatternFill

    style = _Style(
        Font(bold=True), PatternFill("solid", fgColor=_HEADING_FILL), Alignment(wrap_text=True, vertical="top"),
        Font(color=_LINK_COLOUR, underline="single"),
    )  # fmt: skip
    book = Workbook(write_only=True)
    if result.created_at is not None:
        book.properties.created = as_plain_time(result.created_at)
    book.properties.title, book.properties.creator = _clean(result.title), "fissura"
    buffer = io.BytesIO()
    try:
        _write_pairs(book.create_sheet("Summary"), _summary(result), style)
        overlays = {frame.name: frame.overlay for frame in result.frames if frame.overlay}
        for title, layer in (
            ("Cracks", crack_layer(result)), ("Whole cracks", whole_crack_layer(result)), ("Areas", area_layer(result)),
            ("Sections", section_layer(result)), ("Frames", frame_layer(result)),
        ):  # fmt: skip
            _write_layer(book.create_sheet(title), layer, overlays, style)
        _write_pairs(book.create_sheet("Settings"), _flat(result.settings), style)
        book.save(buffer)
    except OutputError:
        raise
    except OSError as error:  # openpyxl keeps the sheets in the system's temporary folder until they are packed
        raise as_output_error(path, error) from error
    write_bytes(path, buffer.getbuffer())


def _summary(result: SurveyResult) -> Iterator[tuple[str, Value]]:
    """Label and text; an empty label goes on with the one before."""
    yield "Survey", result.title
    yield "Made at", as_plain_time(result.created_at)
    yield "Complete", "yes" if result.complete else "no: the run was stopped, or an input failed or ended early"
    model = result.model
    yield "Model", f"{model.name} {model.version}: {model.description}" if model else "none: masks were given"
    yield "Rules", result.standard or "none: no severities"
    yield "Coordinate system", result.crs or "none: nothing has a place"
    failed = sum(frame.status == "failed" for frame in result.frames)
    yield "Frames", len(result.frames)
    yield "Frames that failed", failed
    yield from _totals(result)
    for row in ground_layer(result).rows():
        yield f"Ground {row[1]} (m²)", row[2]
    for stage, seconds in result.seconds.items():
        yield f"Time for {stage} (s)", seconds
    unscaled = sum("length_m" not in crack.fields for crack in result.cracks)
    if unscaled:
        some = _SOME_WITHOUT_SCALE.format(unscaled, len(result.cracks))
        yield "Note", _NO_SCALE if unscaled == len(result.cracks) else some
    yield from (("Note", text) for text in result.notes)
    yield from (("Limit", text) for text in result.limits)
    for title, count in (("Cracks", len(result.cracks)), ("Areas", len(result.areas)), ("Frames", len(result.frames))):
        if count > MOST_ROWS:
            yield "Note", f"{title}: only the first {MOST_ROWS:,} of {count:,} rows fit here; the CSV has all"
    yield "Note", "Times that were recorded with a zone are in UTC."


def _totals(result: SurveyResult) -> Iterator[tuple[str, Value]]:
    yield "Cracks", len({crack.fields.get("crack_id") for crack in result.cracks})
    yield "Branches of cracks", len(result.cracks)
    for name, unit in (("length_m", "m"), ("length_px", "px")):
        lengths = [(crack.fields.get("class"), crack.fields.get(name)) for crack in result.cracks]
        known = [(str(kind), length) for kind, length in lengths if isinstance(length, (int, float))]
        if known or (unit == "m" and not result.cracks):
            yield f"Crack length ({unit})", round(sum(length for _, length in known), 2)
        for kind in sorted({kind for kind, _ in known}):
            yield f"Crack length, {kind} ({unit})", round(sum(length for k, length in known if k == kind), 2)
    yield "Alligator areas", len(result.areas)
    for name, unit in (("area_m2", "m²"), ("area_px2", "px²")):
        areas = [a for a in (area.fields.get(name) for area in result.areas) if isinstance(a, (int, float))]
        if areas:
            yield f"Alligator cracking ({unit})", round(sum(areas), 2)


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Value]]:
    """Nested settings as ``a.b``; lists as JSON."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif value is None or isinstance(value, (str, int, float, bool, datetime)):
            yield f"{before}{name}", value
        else:
            yield f"{before}{name}", json.dumps(value, ensure_ascii=False, default=str)


def _write_pairs(sheet: Any, pairs: Iterable[tuple[str, Value]], style: _Style) -> None:
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 44, 90
    sheet.freeze_panes = "A2"
    sheet.append([_heading(sheet, text, style) for text in ("Item", "Value")])
    for label, value in pairs:
        cell = _cell(sheet, as_plain_time(value) if isinstance(value, datetime) else value, "")
        cell.alignment = style.wrapped
        sheet.append([_cell(sheet, label, ""), cell])


def _write_layer(sheet: Any, layer: Layer, overlays: Mapping[str, str], style: _Style) -> None:
    from openpyxl.utils import get_column_letter

    formats = [_format(column) for column in layer.columns]
    for number, column in enumerate(layer.columns, 1):
        width = _WIDE.get(column.name, 20 if column.kind == "time" else max(11, len(_title(column.name)) + 3))
        sheet.column_dimensions[get_column_letter(number)].width = width
    sheet.freeze_panes = "A2"
    sheet.append([_heading(sheet, _title(column.name), style) for column in layer.columns])
    links = written = 0
    for row in islice(layer.rows(), MOST_ROWS):
        cells: list[Any] = []
        for column, value, form in zip(layer.columns, row, formats, strict=True):
            cell = None if value is None else _cell(sheet, value, form)
            target = _target(column, value, overlays) if links < _MOST_LINKS else None
            if cell is not None and target is not None:
                cell.hyperlink, cell.font = target, style.link_font
                links += 1
            cells.append(cell)
        sheet.append(cells)
        written += 1
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(layer.columns))}{max(written, 1) + 1}"


def _target(column: Column, value: Value, overlays: Mapping[str, str]) -> str | None:
    """Where a cell leads, relative to the workbook: a picture, or the overlay of the frame that it names."""
    if not isinstance(value, str) or not value:
        return None
    if column.name in ("overlay", "picture", "mask"):
        found: str | None = value
    else:
        found = overlays.get(value) if column.name in ("source_frame", "name") else None
    return None if found is None else quote(found.replace("\\", "/").encode("utf-8", "replace"))


def _cell(sheet: Any, value: Value, form: str) -> Any:
    from openpyxl.cell import WriteOnlyCell

    if not isinstance(value, str):
        cell = WriteOnlyCell(sheet, value)
        if form:
            cell.number_format = form
        return cell
    text = _clean(value)
    cell = WriteOnlyCell(sheet)
    # Set past openpyxl's guess: "=1+1" would become a formula and "#N/A" an error.
    cell._value, cell.data_type = text, "s"
    if text[:1] in ("=", "+", "-", "@"):
        cell.quotePrefix = True  # stays text when somebody edits the cell
    return cell


def _heading(sheet: Any, text: str, style: _Style) -> Any:
    cell = _cell(sheet, text, "")
    cell.font, cell.fill, cell.alignment = style.heading_font, style.heading_fill, style.wrapped
    return cell


def _clean(text: str) -> str:
    """Without the characters that a workbook cannot hold, and not longer than a cell."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    text = text.encode("utf-8", "replace").decode("utf-8")
    return str(ILLEGAL_CHARACTERS_RE.sub("", text)).replace("\ufffe", "").replace("\uffff", "")[:_MOST_CHARACTERS]


def _unit(name: str) -> str:
    ends: Sequence[str] = sorted(_UNITS, key=len, reverse=True)
    return next((_UNITS[end] for end in ends if name.endswith(end)), "")


def _title(name: str) -> str:
    """``width_mean_mm`` as ``Width mean (mm)``."""
    if name in _HEADINGS:
        return _HEADINGS[name]
    unit = _unit(name)
    words = name.rsplit("_", 1)[0] if unit else name
    return words.replace("_", " ").capitalize() + (f" ({unit})" if unit else "")


def _format(column: Column) -> str:
    if column.kind == "time":
        return _TIME_FORMAT
    if column.kind == "real":
        return _FORMATS.get(_unit(column.name), "0.00")
    return "0" if column.kind == "integer" else ""
