"""`report.html`: what an engineer receives. One file that opens from disk, without network, and prints well.

Everything is inside: style, script, pictures, the map as SVG. A content security policy forbids the page to load
anything, and lets no script run but the one whose hash it names: a hostile file name stays a text. With JavaScript
off, the page is complete but for zooming, sorting and filtering.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fissura import __version__
from fissura.imaging.width_scale import Unit, WidthScale, plan_width_scale
from fissura.imaging.write import write_bytes
from fissura.report import page_method as method
from fissura.report import page_numbers as numbers
from fissura.report import page_tables as tables
from fissura.report.page_histogram import make_histogram
from fissura.report.page_map import make_map
from fissura.report.page_pictures import EmbeddedPicture, embed_crack_picture
from fissura.report.page_worst import CLASSES, RANKING, order_classes, order_levels, rank_worst
from fissura.report.records import GROUND_STATES, SurveyCrack, SurveyResult

__all__ = ["rank_worst", "render_report", "write_report"]

SHOWN = 20
"""Cracks with a picture and a number on the map."""

_LEVEL_COLOURS = ("#2b7bba", "#e08a00", "#c8102e")
_CLASS_COLOURS = ("#0072b2", "#d55e00", "#008a63", "#6b7280", "#a8447f")


def write_report(result: SurveyResult, path: Path | None = None) -> Path:
    """Write the report; pictures that cannot be read are left out and the page says so.

    Args:
        result: The survey. Addresses of overlays and tables are relative to its folder.
        path: Default ``report.html`` in the run's folder.
    Returns:
        Where it was written.
    Raises:
        OutputError: It cannot be written.
    """
    path = result.folder / "report.html" if path is None else path
    # File names that are no Unicode reach us as lone surrogates, which UTF-8 cannot say.
    write_bytes(path, render_report(result, path).encode("utf-8", errors="replace"))
    return path


def render_report(result: SurveyResult, path: Path | None = None) -> str:
    """The report as text; see `write_report`. The same survey gives the same text."""
    ranked = rank_worst(result.cracks, len(result.cracks), result.thresholds_mm)
    scale = _plan_scale(result)
    limits = [] if scale is None else [value for value, _ in scale.ticks()]
    levels = order_levels([*result.cracks, *result.areas], result.thresholds_mm)
    script = "\n".join(_asset(name) for name in ("map.js", "tables.js"))
    context: dict[str, Any] = {
        "n": numbers, "result": result, "version": __version__, "script": _as_markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "css": _as_markup(_asset("page.css") + _asset("print.css") + _palette(scale, limits, levels, result)),
        "completeness": method.judge_completeness(result), "inspected_m2": method.inspected_area_m2(result),
        "facts": _facts(result), "map": make_map(result, ranked, scale, limits, shown=SHOWN),
        "why_no_map": method.why_no_map(result), "levels": levels, "ground": _ground(result),
        "classes": order_classes(str(c.fields.get("class") or "other") for c in result.cracks),
        "width_legend": _width_legend(scale, limits), "failed": [f for f in result.frames if f.status == "failed"],
        "histograms": [h for s in result.widths if (h := make_histogram(s, result.thresholds_mm, scale, limits))],
        "class_tables": tables.sum_classes(result), "section_table": tables.sum_sections(result),
        "width_digits": tables.width_digits(result.cracks), "ranking": RANKING,
        "worst": _worst(result, ranked[:SHOWN]), "rows": ranked[: tables.MOST_ROWS], "ranked": ranked,
        "units": _units(result.cracks), "frames": _frames(result),
        "frames_left_out": len(result.frames) - tables.MOST_FRAMES,
        "overlay": _overlays(result), "data": _as_json(_details(result, ranked)),
        "settings": method.describe_settings(result.settings), "seconds": method.read_seconds(result.seconds),
        "files": method.list_files(result.folder, result.folder / "report.html" if path is None else path),
    }  # fmt: skip
    return str(_environment().get_template("report.html.j2").render(context))


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fissura.report", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["anchor"] = numbers.as_anchor
    environment.filters["level"] = lambda name: name or "no severity"
    environment.globals.update(link=tables.link_if_there)
    return environment


def _asset(name: str) -> str:
    return (files("fissura.report") / "templates" / name).read_text("utf-8").replace("\r\n", "\n")


def _as_markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _as_json(value: Any) -> Any:
    """JSON that may stand inside ``<script>``: no text in it can end the element or start another."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return _as_markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _plan_scale(result: SurveyResult) -> WidthScale | None:
    """Colours of widths, in millimetres if any crack has a scale."""
    families: tuple[tuple[str, str, Unit], ...] = (
        ("length_m", "width_mean_mm", "mm"), ("length_px", "width_mean_px", "px"),
    )  # fmt: skip
    for length_name, width_name, unit in families:
        pairs = [[numbers.as_float(c.fields.get(name)) for name in (width_name, length_name)] for c in result.cracks]
        known = [(w, v) for w, v in pairs if w is not None and v is not None]
        if known:
            return plan_width_scale([w for w, _ in known], [v for _, v in known], unit=unit)
    return None


def _palette(scale: WidthScale | None, limits: Sequence[float], levels: Sequence[str], result: SurveyResult) -> str:
    """Style rules for the colours of widths, severities and classes."""
    rules = [".wx{--w:#6b7280}"]
    if scale is not None:
        middles = (np.array(limits[1:]) + np.array(limits[:-1])) / 2
        rules += [f".w{k}{{--w:#{r:02x}{g:02x}{b:02x}}}" for k, (r, g, b) in enumerate(scale.colours(middles).tolist())]
    for k, name in enumerate(levels):
        place = k * (len(_LEVEL_COLOURS) - 1) / max(len(levels) - 1, 1)
        rules.append(f".s-{numbers.as_anchor(name)}{{--s:{_LEVEL_COLOURS[round(place)]}}}")
    names = order_classes([*CLASSES, *(str(c.fields.get("class") or "other") for c in result.cracks)])
    for k, name in enumerate(names):
        rules.append(f".k-{numbers.as_anchor(name)}{{--k:{_CLASS_COLOURS[min(k, len(_CLASS_COLOURS) - 1)]}}}")
    return "\n".join(rules) + "\n"


def _width_legend(scale: WidthScale | None, limits: Sequence[float]) -> list[tuple[str, str]]:
    if scale is None:
        return []
    last = len(limits) - 2
    out = []
    for k, (low, high) in enumerate(pairwise(limits)):
        text = f"{low:g}–{high:g}"
        if k == 0 and scale.below:
            text = f"up to {high:g}"
        elif k == last and scale.above:
            text = f"{low:g} and wider"
        out.append((f"w{k}", f"{text}{numbers.HARD}{scale.unit}"))
    return out


def _facts(result: SurveyResult) -> list[tuple[str, str, str]]:
    """Name, value and explanation of what heads the page."""
    cracks = result.cracks
    done = sum(f.status == "done" for f in result.frames)
    whole = len({c.fields.get("crack_id") for c in cracks})
    facts = [("Cracks", numbers.number(whole), numbers.count(len(cracks), "branch", "branches"))]
    for unit in _units(cracks):
        length = sum(numbers.as_float(c.fields.get(f"length_{unit}")) or 0.0 for c in cracks)
        facts.append(("Crack length", numbers.measure(length, unit), "along the centrelines"))
    for unit in ("m²", "px²"):
        name = "area_m2" if unit == "m²" else "area_px2"
        areas = [v for a in result.areas if (v := numbers.as_float(a.fields.get(name))) is not None]
        if areas:
            facts.append(("Alligator cracking", numbers.measure(sum(areas), unit), numbers.count(len(areas), "area")))
    area = method.inspected_area_m2(result)
    if area is not None:
        facts.append(("Ground inspected", numbers.measure(area, "m²"), "each place counted once"))
    ends = [s.end_m for s in result.sections if s.lonlat is not None]
    if result.route is not None and ends:
        length = max(ends) - min(s.start_m for s in result.sections)
        facts.append(("Route", numbers.measure(length, "m"), "along the line given"))
    kinds = {"photo": "photos", "video": "looked-at video frames", "raster": "rasters"}
    named = ", ".join(words for kind, words in kinds.items() if any(f.kind == kind for f in result.frames))
    share = f"{numbers.number(done)} of {numbers.number(len(result.frames))}"
    facts.append(("Frames", share, f"{named} inspected".strip()))
    gsd = method.gsd_range(result.frames)
    if gsd:
        facts.append(("Size of a pixel", gsd, "on the ground (GSD)"))
    return facts


def _units(cracks: Sequence[SurveyCrack]) -> list[str]:
    return [u for u in ("m", "px") if any(c.fields.get(f"length_{u}") is not None for c in cracks)]


def _ground(result: SurveyResult) -> list[dict[str, Any]]:
    """Rows on what was inspected, states of one name put together."""
    rows = []
    known = sum(g.area_m2 or 0.0 for g in result.ground)
    for state, words in GROUND_STATES.items():
        parts = [g for g in result.ground if g.state == state]
        if not parts and state != "inspected":
            continue
        areas = [g.area_m2 for g in parts if g.area_m2 is not None]
        area = sum(areas) if areas else None
        share = area / known if area is not None and known > 0 else None
        rows.append({"state": state, "words": words, "area": area, "share": share})
    return rows if result.ground else []


def _worst(result: SurveyResult, cracks: Sequence[SurveyCrack]) -> list[tuple[SurveyCrack, EmbeddedPicture | None]]:
    return [(c, None if c.picture is None else embed_crack_picture(result.folder, c.picture)) for c in cracks]


def _frames(result: SurveyResult) -> list[Any]:
    """Failed ones are never left out of a long list."""
    if len(result.frames) <= tables.MOST_FRAMES:
        return result.frames
    return sorted(result.frames, key=lambda frame: frame.status != "failed")[: tables.MOST_FRAMES]


def _overlays(result: SurveyResult) -> dict[str, str]:
    """Address of the overlay for each frame that has one on disk."""
    found = ((f.name, tables.link_if_there(result.folder, f.overlay)) for f in result.frames)
    return {name: address for name, address in found if address is not None}


def _details(result: SurveyResult, ranked: Sequence[SurveyCrack]) -> dict[str, Any]:
    details = tables.crack_details(ranked)
    names = {name: numbers.FIELD_NAMES.get(name, name.replace("_", " ")) for name in details["columns"]}
    units = {name: unit for name in details["columns"] if (unit := numbers.unit_of(name)) and name != "chainage_m"}
    used = {str(c.fields.get("source_frame")) for c in ranked[: tables.MOST_DETAILS]}
    frames = {name: address for name, address in _overlays(result).items() if name in used}
    return {**details, "names": names, "units": units, "frames": frames}
