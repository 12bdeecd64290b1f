"""QGIS styles (QML) of the layers of a survey, written as QGIS 3 writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree as Xml

import numpy as np

from fissura.imaging.width_scale import plan_width_scale, ramp_colours
from fissura.report.layers import severity_order
from fissura.report.records import GROUND_STATES, SurveyResult

_VERSION = "3.34.0-Prizren"
_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_UNSEEN = "below GSD: too narrow for its width to be seen"
_GREY, _RED, _BLUE = "138,143,152", "214,40,40", "38,110,190"
_MILD_TO_SEVERE = ((242, 194, 48), (240, 128, 26), (200, 30, 30), (110, 10, 60))
_STATE_COLOURS = {"inspected": "60,160,90", "too_blurred": "230,160,40", "below_gsd": "120,110,190", "not_seen": _RED}
_SHARES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)  # metres of crack for each metre of route

Options = Mapping[str, str]


@dataclass(frozen=True)
class LayerStyle:
    """A style of one layer.

    Attributes:
        layer: Name of the layer.
        name: For people, up to 30 characters.
        description: What the colours mean.
        qml: The document.
    """

    layer: str
    name: str
    description: str
    qml: str


@dataclass(frozen=True)
class _Entry:
    """A line of a legend: what it holds, what it says and how it is drawn."""

    holds: str
    label: str
    symbol: Xml.Element


def plan_styles(result: SurveyResult) -> list[LayerStyle]:
    """A style for each layer with geometry; cracks by severity if the survey has a standard, by width if not."""
    levels = severity_order(result) if result.standard else []
    by = f"severity by {result.standard}" if levels else "width"
    return [
        LayerStyle("cracks", "fissura cracks", f"Cracks by {by}; dashed: {_UNSEEN}", _cracks(result, levels)),
        LayerStyle("crack_polygons", "fissura areas", "Alligator cracking, hatched", _areas(levels)),
        LayerStyle("frames", "fissura frames", "Footprints; failed ones red", _frames()),
        LayerStyle("sections", "fissura sections", "Metres of crack for each metre of route", _sections()),
        LayerStyle("inspected", "fissura inspected ground", "What was inspected and what was not", _ground()),
        LayerStyle("tracks", "fissura tracks", "Flights and the reference line", _tracks()),
    ]


def _cracks(result: SurveyResult, levels: Sequence[str]) -> str:
    rows = [_Entry('"below_gsd"', _UNSEEN, _line(_GREY, 0.5, dashed=True))]
    if levels:
        for level, colour in zip(levels, _severity_colours(len(levels)), strict=True):
            rows.append(_Entry(f'"severity" = {_quoted(level)} AND NOT "below_gsd"', level, _line(colour, 0.8)))
    else:
        rows += _width_entries(result, "mm") + _width_entries(result, "px")
    rows.append(_Entry("ELSE", "not rated" if levels else "not measured", _line("90,90,90", 0.5)))
    return _document(_rules(rows), geometry=1)


def _width_entries(result: SurveyResult, unit: str) -> list[_Entry]:
    """Classes between round widths; none if no crack has a width in this unit."""
    name = f"width_mean_{unit}"
    rows = [c.fields for c in result.cracks if isinstance(c.fields.get(name), (int, float))]
    if not rows:
        return []
    scale = plan_width_scale(np.array([row[name] for row in rows], np.float64), unit="mm" if unit == "mm" else "px")
    ticks = [value for value, _ in scale.ticks()]
    classes = [(low, high) for low, high in pairwise(ticks)]
    out = []
    for number, (low, high) in enumerate(classes):
        first, last = number == 0, number == len(classes) - 1
        bounds = [] if first else [f'"{name}" >= {low:g}']
        bounds += [] if last else [f'"{name}" < {high:g}']
        label = f"below {high:g} {unit}" if first else f"{low:g} to {high:g} {unit}"
        label = f"{low:g} {unit} and wider" if last else label
        colour = ",".join(str(int(value)) for value in ramp_colours((scale.position([low, high])).mean()))
        condition = " AND ".join([f'"{name}" IS NOT NULL', *bounds, 'NOT "below_gsd"'])
        out.append(_Entry(condition, label, _line(colour, 0.4 + 0.8 * (number + 1) / len(classes))))
    return out


def _areas(levels: Sequence[str]) -> str:
    colours = _severity_colours(len(levels))
    rows = [_Entry(level, level, _hatched(colour)) for level, colour in zip(levels, colours, strict=True)]
    rows.append(_Entry("", "alligator cracking, not rated" if levels else "alligator cracking", _hatched("200,30,30")))
    return _document(_categories("severity", rows), geometry=2)


def _frames() -> str:
    rows = [_Entry("done", "looked at", _outline(_GREY, 0.2)), _Entry("failed", "failed", _outline(_RED, 0.5))]
    return _document(_categories("status", rows), geometry=2)


def _ground() -> str:
    rows = [_Entry(state, text, _filled(_STATE_COLOURS[state])) for state, text in GROUND_STATES.items()]
    return _document(_categories("state", rows), geometry=2)


def _tracks() -> str:
    rows = [
        _Entry("flight", "flight", _line(_BLUE, 0.26, dashed=True)),
        _Entry("route", "reference line", _line("20,20,20", 0.6)),
    ]
    return _document(_categories("kind", rows), geometry=1)


def _sections() -> str:
    bounds = [*_SHARES, 1e6]
    colours = _severity_colours(len(_SHARES))
    renderer = _renderer("graduatedSymbol", attr="crack_length_per_m", graduatedMethod="GraduatedColor")
    ranges, symbols = Xml.SubElement(renderer, "ranges"), Xml.SubElement(renderer, "symbols")
    for number, ((low, high), colour) in enumerate(zip(pairwise(bounds), colours, strict=True)):
        label = f"{low:g} m per m and more" if high == bounds[-1] else f"{low:g} to {high:g} m per m"
        Xml.SubElement(ranges, "range", {
            "lower": f"{low:.6f}", "upper": f"{high:.6f}", "label": label, "render": "true", "symbol": str(number),
        })  # fmt: skip
        symbols.append(_named(_line(colour, 2.0, alpha=0.6), number))
    Xml.SubElement(renderer, "classificationMethod", {"id": "Custom"})
    return _document(renderer, geometry=1)


def _severity_colours(count: int) -> list[str]:
    """From mild to severe, as many as there are levels."""
    if count <= 3:
        start = 1 if count < 3 else 0
        return [_triple(colour) for colour in _MILD_TO_SEVERE[start : start + count]]
    out, last = [], len(_MILD_TO_SEVERE) - 1
    for number in range(count):
        at = number * last / (count - 1)
        low = min(int(at), last - 1)
        pairs = zip(_MILD_TO_SEVERE[low], _MILD_TO_SEVERE[low + 1], strict=True)
        out.append(_triple([round(a + (b - a) * (at - low)) for a, b in pairs]))
    return out


def _triple(colour: Sequence[int]) -> str:
    return ",".join(str(value) for value in colour)


def _quoted(text: str) -> str:
    """A text in a QGIS expression."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _rules(entries: Sequence[_Entry]) -> Xml.Element:
    renderer = _renderer("RuleRenderer")
    rules, symbols = Xml.SubElement(renderer, "rules", {"key": _key(0)}), Xml.SubElement(renderer, "symbols")
    for number, entry in enumerate(entries):
        Xml.SubElement(rules, "rule", {
            "key": _key(number + 1), "filter": entry.holds, "label": entry.label, "symbol": str(number),
        })  # fmt: skip
        symbols.append(_named(entry.symbol, number))
    return renderer


def _categories(field: str, entries: Sequence[_Entry]) -> Xml.Element:
    renderer = _renderer("categorizedSymbol", attr=field)
    categories, symbols = Xml.SubElement(renderer, "categories"), Xml.SubElement(renderer, "symbols")
    for number, entry in enumerate(entries):
        Xml.SubElement(categories, "category", {
            "value": entry.holds, "label": entry.label, "symbol": str(number), "render": "true", "type": "string",
        })  # fmt: skip
        symbols.append(_named(entry.symbol, number))
    return renderer


def _renderer(kind: str, **more: str) -> Xml.Element:
    usual = {"enableorderby": "0", "forceraster": "0", "referencescale": "-1", "symbollevels": "0"}
    return Xml.Element("renderer-v2", {"type": kind, **usual, **more})


def _key(number: int) -> str:
    """Keys of rules look like UUIDs; made from the number, so that the same survey gives the same file."""
    return f"{{00000000-0000-4000-8000-{number:012d}}}"


def _named(symbol: Xml.Element, number: int) -> Xml.Element:
    symbol.set("name", str(number))
    return symbol


def _line(colour: str, width_mm: float, *, dashed: bool = False, alpha: float = 1.0) -> Xml.Element:
    return _symbol("line", "SimpleLine", {
        "capstyle": "round", "joinstyle": "round", "line_color": f"{colour},255", "line_style": "solid",
        "line_width": f"{width_mm:g}", "line_width_unit": "MM", "customdash": "2.5;1.5", "customdash_unit": "MM",
        "use_custom_dash": "1" if dashed else "0",
    }, alpha)  # fmt: skip


def _hatched(colour: str) -> Xml.Element:
    return _fill(f"{colour},255", f"{colour},255", "b_diagonal", 0.5)


def _outline(colour: str, width_mm: float) -> Xml.Element:
    return _fill("0,0,0,0", f"{colour},255", "no", width_mm)


def _filled(colour: str) -> Xml.Element:
    return _fill(f"{colour},255", f"{colour},255", "solid", 0.2, alpha=0.3)


def _fill(colour: str, outline: str, style: str, width_mm: float, alpha: float = 1.0) -> Xml.Element:
    return _symbol("fill", "SimpleFill", {
        "color": colour, "joinstyle": "bevel", "outline_color": outline, "outline_style": "solid",
        "outline_width": f"{width_mm:g}", "outline_width_unit": "MM", "style": style,
    }, alpha)  # fmt: skip


def _symbol(kind: str, layer: str, options: Options, alpha: float) -> Xml.Element:
    symbol = Xml.Element("symbol", {
        "type": kind, "name": "0", "alpha": f"{alpha:g}", "clip_to_extent": "1", "force_rhr": "0", "is_animated": "0",
        "frame_rate": "10",
    })  # fmt: skip
    part = Xml.SubElement(symbol, "layer", {"class": layer, "enabled": "1", "locked": "0", "pass": "0"})
    entries = Xml.SubElement(part, "Option", {"type": "Map"})
    for name, value in options.items():
        Xml.SubElement(entries, "Option", {"type": "QString", "name": name, "value": value})
    for name, value in options.items():  # QGIS before 3.22 reads these
        Xml.SubElement(part, "prop", {"k": name, "v": value})
    return symbol


def _document(renderer: Xml.Element, *, geometry: int) -> str:
    root = Xml.Element("qgis", {"version": _VERSION, "styleCategories": "Symbology"})
    root.append(renderer)
    Xml.SubElement(root, "blendMode").text = "0"
    Xml.SubElement(root, "featureBlendMode").text = "0"
    Xml.SubElement(root, "layerGeometryType").text = str(geometry)
    Xml.indent(root, " ")
    return _DOCTYPE + _xml_text(Xml.tostring(root, encoding="unicode"))


def _xml_text(text: str) -> str:
    """Without the characters that XML forbids; the names of a user's rules may hold any."""
    return "".join(c for c in text if c in "\t\n\r" or (" " <= c < "\ud800") or "\ue000" <= c not in "\ufffe\uffff")
