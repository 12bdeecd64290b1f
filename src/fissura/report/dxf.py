"""A survey as a DXF drawing for CAD: cracks on a layer for each class, in the metres of the survey's CRS."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fissura.imaging.write import open_text
from fissura.report.layers import CRACK_CLASSES, severity_order
from fissura.report.places import Geometry, Projection
from fissura.report.records import SurveyCrack, SurveyResult

_APP = "FISSURA"
_METRES = 6  # of $INSUNITS
_CLASS_COLOURS = {"longitudinal": 5, "transverse": 3, "diagonal": 4, "alligator": 6, "other": 8}
_BY_LAYER = 256
_MILD_TO_SEVERE = (2, 30, 1, 6)  # yellow, orange, red, magenta: numbers of AutoCAD's colours
_OTHER_LAYERS = {
    "ALLIGATOR_OUTLINE": 6, "ALLIGATOR_HATCH": 6, "FRAMES": 9, "FRAMES_FAILED": 1, "ROUTE": 7, "TRACKS": 150,
    "CRACK_LABELS": 7,
}  # fmt: skip
_LINEWEIGHTS = (13, 18, 25, 35, 50, 70, 100, 140, 200)  # hundredths of a millimetre that a drawing can have
_TEXT_M = (0.05, 0.5)


def write_dxf(path: Path, result: SurveyResult) -> bool:
    """Write cracks, alligator areas, footprints, the route and the flights as a drawing.

    Cracks are LWPOLYLINEs on ``CRACK_LONGITUDINAL`` and so on, coloured by severity where the survey has a standard,
    as heavy as they are wide, dashed where they are below GSD; ids, widths and severities are in their extended data
    (``FISSURA``). Coordinates are metres of `SurveyResult.crs`, which a comment at the top of the file, and the custom
    property ``CRS``, name.

    Args:
        path: Usually ``cracks.dxf``.
        result: A survey.
    Returns:
        False if nothing in the survey has a place: pixels are no drawing, so no file is written.
    Raises:
        OutputError: The file cannot be written.
    """
    if result.crs is None:
        return False
    projection = Projection(result.crs)
    drawing = _new_drawing(result)
    space = drawing.modelspace()
    lines = [projection.line(crack.lonlat) for crack in result.cracks]
    _add_cracks(space, result, lines)
    _add_areas(space, result, projection)
    _add_frames(space, result, projection)
    _add_route(space, result, projection)
    _add_labels(space, result, lines)
    text = io.StringIO()
    drawing.write(text)
    with open_text(path, encoding=drawing.output_encoding) as file:
        file.write(f"999\n{_note(result)}\n")
        file.write(text.getvalue())
    return True


def _note(result: SurveyResult) -> str:
    return f"fissura: coordinates in metres, {result.crs}; east is x, north is y"


def _new_drawing(result: SurveyResult) -> Any:
    import ezdxf
    from ezdxf import units

    drawing = ezdxf.new("R2010", setup=["linetypes"], units=units.M)
    drawing.header["$INSUNITS"], drawing.header["$MEASUREMENT"] = _METRES, 1
    drawing.header["$LUNITS"], drawing.header["$LUPREC"] = 2, 3
    drawing.header["$LTSCALE"] = 0.1  # dashes of decimetres, not of metres
    drawing.header["$LWDISPLAY"] = 1
    drawing.header.custom_vars.append("CRS", str(result.crs))
    drawing.header.custom_vars.append("Note", _note(result))
    drawing.appids.add(_APP)
    for kind, colour in _CLASS_COLOURS.items():
        drawing.layers.add(f"CRACK_{kind.upper()}", color=colour)
    for name, colour in _OTHER_LAYERS.items():
        drawing.layers.add(name, color=colour)
    return drawing


def _add_cracks(space: Any, result: SurveyResult, lines: Sequence[Geometry]) -> None:
    levels = severity_order(result) if result.standard else []
    for crack, line in zip(result.cracks, lines, strict=True):
        if line is None:
            continue
        fields = crack.fields
        attributes: dict[str, Any] = {
            "layer": f"CRACK_{_kind(crack).upper()}", "color": _colour(str(fields.get("severity") or ""), levels),
            "lineweight": _lineweight(fields.get("width_mean_mm")),
        }  # fmt: skip
        if fields.get("below_gsd"):
            attributes["linetype"] = "DASHED"
        entity = space.add_lwpolyline(line.coords, format="xy", dxfattribs=attributes)
        entity.set_xdata(_APP, [(1000, f"{name}={_plain(fields.get(name))}") for name in
                                ("id", "crack_id", "width_mean_mm", "severity", "source_frame")])  # fmt: skip


def _add_areas(space: Any, result: SurveyResult, projection: Projection) -> None:
    levels = severity_order(result) if result.standard else []
    for area in result.areas:
        shape = projection.area(area.lonlat)
        for part in () if shape is None else shape.geoms:
            colour = _colour(str(area.fields.get("severity") or ""), levels)
            rings = [part.exterior, *part.interiors]
            hatch = space.add_hatch(dxfattribs={"layer": "ALLIGATOR_HATCH"}, color=colour)
            hatch.set_pattern_fill("ANSI31", color=colour, scale=0.05)
            for number, ring in enumerate(rings):
                points = list(ring.coords)[:-1]
                hatch.paths.add_polyline_path(points, is_closed=True, flags=1 if number == 0 else 16)
                space.add_lwpolyline(
                    points, format="xy", close=True, dxfattribs={"layer": "ALLIGATOR_OUTLINE", "color": colour}
                )


def _add_frames(space: Any, result: SurveyResult, projection: Projection) -> None:
    for frame in result.frames:
        shape = projection.area(frame.footprint_lonlat)
        layer = "FRAMES_FAILED" if frame.status == "failed" else "FRAMES"
        for part in () if shape is None else shape.geoms:
            points = list(part.exterior.coords)[:-1]
            space.add_lwpolyline(points, format="xy", close=True, dxfattribs={"layer": layer, "lineweight": 13})


def _add_route(space: Any, result: SurveyResult, projection: Projection) -> None:
    lines = [("TRACKS", lonlat) for _, lonlat in result.tracks]
    lines += [] if result.route is None else [("ROUTE", result.route)]
    for layer, lonlat in lines:
        line = projection.line(lonlat)
        if line is not None:
            space.add_lwpolyline(line.coords, format="xy", dxfattribs={"layer": layer, "lineweight": 35})


def _add_labels(space: Any, result: SurveyResult, lines: Sequence[Geometry]) -> None:
    """The mean width at the middle of each crack, along it and never upside down."""
    placed = [line for line in lines if line is not None]
    if not placed:
        return
    lengths = np.array([line.length for line in placed])
    height_m = float(np.clip(np.median(lengths) / 8, *_TEXT_M))
    for crack, line in zip(result.cracks, lines, strict=True):
        text = _label(crack)
        if line is None or not text:
            continue
        middle, after = (line.interpolate(share, normalized=True) for share in (0.5, 0.55))
        angle = np.degrees(np.arctan2(after.y - middle.y, after.x - middle.x))
        upright = (angle + 90.0) % 180.0 - 90.0
        space.add_text(text, height=height_m, rotation=float(upright),
                       dxfattribs={"layer": "CRACK_LABELS", "insert": (middle.x, middle.y)})  # fmt: skip


def _label(crack: SurveyCrack) -> str:
    for unit in ("mm", "px"):
        width = crack.fields.get(f"width_mean_{unit}")
        if isinstance(width, (int, float)):
            if unit == "mm" and crack.fields.get("below_gsd"):
                # Narrower than two widths of the blur, which may be wider than a pixel.
                gsd = crack.fields.get("gsd_mm")
                return f"< {max(gsd, width) if isinstance(gsd, (int, float)) else width:.3g} mm"
            return f"{width:.3g} {unit}"
    return ""


def _kind(crack: SurveyCrack) -> str:
    kind = str(crack.fields.get("class"))
    return kind if kind in CRACK_CLASSES else "other"


def _colour(severity: str, levels: Sequence[str]) -> int:
    """From yellow to magenta by rank; the layer's where there is no severity."""
    if severity not in levels:
        return _BY_LAYER
    rank, last = levels.index(severity), len(levels) - 1
    most = len(_MILD_TO_SEVERE) - 1 if last > 2 else 2
    return _MILD_TO_SEVERE[min(round(rank * most / last), most) if last else most]


def _lineweight(width_mm: Any) -> int:
    """The nearest weight that a drawing can have, a tenth of the width: 2 mm of crack is a line of 0.2 mm."""
    if not isinstance(width_mm, (int, float)):
        return 25
    return min(_LINEWEIGHTS, key=lambda weight: abs(weight - 10 * width_mm))


def _plain(value: Any) -> str:
    """Text for extended data, which has one line of up to 255 bytes."""
    text = "" if value is None else str(value)
    text = "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode("utf-8"))
    return text.encode("utf-8")[:200].decode("utf-8", "ignore")
