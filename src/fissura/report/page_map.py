"""The map of `report.html` as values for its SVG, in map units (see `fissura.report.page_frame`).

Cracks are put into few paths, one for each combination
of what they can be coloured by, since thousands of elements would make zooming jerk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fissura.imaging.width_scale import WidthScale, round_down
from fissura.report.page_frame import NOMINAL_PX, MapFrame, Units, as_path, find_frame
from fissura.report.page_numbers import HARD, as_anchor, as_float, number
from fissura.report.page_pictures import EmbeddedPicture, embed_map_pictures
from fissura.report.page_worst import order_levels
from fissura.report.records import SurveyCrack, SurveyResult

MOST_DRAWN = 30_000
"""Cracks on the map; the worst ones, if there are more."""



@dataclass(frozen=True)
class CrackPath:
    """Cracks that look alike, as one path.

    Attributes:
        d: A subpath for each crack, in the order of `ids`.
        ids: Of the cracks.
        style: Names of the style classes for width, severity and class.
    """

    d: str
    ids: str
    style: str


@dataclass(frozen=True)
class Pin:
    """A sign of constant size on the screen.

    Attributes:
        x: Right, map units.
        y: Down, map units.
        text: Beside it.
        angle_deg: Across the route, clockwise from the right, -90 to 90; for ticks.
        crack: ``id`` that it stands for.
    """

    x: float
    y: float
    text: str
    angle_deg: float = 0.0
    crack: str = ""

    @property
    def text_xy(self) -> tuple[float, float]:
        """Where the text of a tick begins or ends, pixels: beside the line, on its right or above."""
        turn = math.radians(self.angle_deg)
        side = -1 if math.sin(turn) > 0.7 else 1  # above a line that runs from left to right
        return round(side * 13 * math.cos(turn), 1), round(side * 13 * math.sin(turn) + 4 * abs(math.cos(turn)), 1)

    @property
    def anchor(self) -> str:
        """How the text of a tick stands to its place."""
        x = self.text_xy[0]
        return "middle" if abs(x) < 5 else "start" if x > 0 else "end"


@dataclass(frozen=True)
class AreaShape:
    """An alligator field or a section: its path, what it is called and its styles."""

    d: str
    key: str
    text: str
    style: str = ""


@dataclass(eq=False)
class MapView:
    """All that the template draws; lengths in map units.

    Attributes:
        width: Of the view box, which starts at (0, 0).
        height: See above.
        unit_m: Metres in a map unit.
        px: Map units in a pixel at the nominal width.
        crs: For the caption.
        bar_share: Length of the scale bar as a part of the width.
        bar_text: What it stands for.
        left_out: Cracks that have a place and are not drawn because there are too many.
        unplaced: Cracks without a place.
    """

    width: float
    height: float
    unit_m: float
    crs: str
    bar_share: float = 0.0
    bar_text: str = ""
    pictures: list[tuple[EmbeddedPicture, str]] = field(default_factory=list)
    missing_pictures: list[str] = field(default_factory=list)
    ground: list[tuple[str, str]] = field(default_factory=list)
    footprints: str = ""
    failed_footprints: str = ""
    tracks: list[tuple[str, str, str]] = field(default_factory=list)
    route: str = ""
    ticks: list[Pin] = field(default_factory=list)
    sections: list[AreaShape] = field(default_factory=list)
    areas: list[AreaShape] = field(default_factory=list)
    cracks: list[CrackPath] = field(default_factory=list)
    pins: list[Pin] = field(default_factory=list)
    left_out: int = 0
    unplaced: int = 0

    @property
    def px(self) -> float:
        """Map units in a pixel of the nominal width."""
        return round(self.width / NOMINAL_PX, 4)

    @property
    def line_px(self) -> float:
        """Width of a crack's line where the whole map is shown; thousands of wide ones would hide each other."""
        drawn = sum(path.ids.count(",") + 1 for path in self.cracks)
        return 2.4 if drawn <= 500 else 1.6 if drawn <= 2000 else 1.0


def make_map(
    result: SurveyResult,
    ranked: Sequence[SurveyCrack],
    scale: WidthScale | None,
    limits: Sequence[float],
    *,
    shown: int,
) -> MapView | None:
    """Plan the map.

    Args:
        result: The survey.
        ranked: All its cracks, the worst first.
        scale: Of widths; None if no crack has one.
        limits: Of the classes of width, as drawn in the legend.
        shown: So many of the worst get a number on the map.
    Returns:
        None if nothing has a place.
    """
    frame = find_frame(result)
    if frame is None:
        return None
    width, height = frame.size()
    view = MapView(round(width), round(height), frame.unit_m, frame.name)
    view.bar_share, view.bar_text = _plan_bar(width * frame.unit_m)
    _draw_ground(view, result, frame)
    _draw_route(view, result, frame)
    for area in result.areas:
        if area.lonlat is not None and len(area.lonlat) >= 3:
            text = f"alligator area {area.fields.get('id')}"
            style = f"s-{as_anchor(str(area.fields.get('severity') or 'none'))}"
            view.areas.append(AreaShape(frame.path(area.lonlat, closed=True), str(area.fields.get("id")), text, style))
    placed = [c for c in ranked if c.lonlat is not None and np.isfinite(c.lonlat).all()]
    view.unplaced, view.left_out = len(ranked) - len(placed), max(len(placed) - MOST_DRAWN, 0)
    levels = order_levels([*result.cracks, *result.areas], result.thresholds_mm)
    view.cracks = _draw_cracks(placed[:MOST_DRAWN], frame, scale, limits, levels)
    for rank, crack in enumerate(ranked[:shown], 1):
        if crack.lonlat is not None and np.isfinite(crack.lonlat).all():
            x, y = frame.to_units(crack.lonlat)[len(crack.lonlat) // 2]
            view.pins.append(Pin(round(x), round(y), str(rank), crack=str(crack.fields.get("id"))))
    return view


def _draw_ground(view: MapView, result: SurveyResult, frame: MapFrame) -> None:
    for ground in result.ground:
        d = "".join(
            frame.path(np.asarray(ring.coords)[:, :2], closed=True, tolerance=4 * frame.tolerance)
            for ring in _rings(ground.outline)
        )
        if d:
            view.ground.append((ground.state, d))
    outlines = [f.footprint_lonlat for f in result.frames if f.footprint_lonlat is not None]
    view.footprints = "".join(frame.path(line, closed=True, tolerance=frame.tolerance) for line in outlines)
    for name, line in result.tracks:
        points = frame.to_units(line)
        points = points[np.isfinite(points).all(1)]
        dots = "".join(f"M{round(x)} {round(y)}h0" for x, y in points) if len(points) <= 2000 else ""
        view.tracks.append((name, as_path(points, tolerance=4 * frame.tolerance), dots))
    embedded, view.missing_pictures = embed_map_pictures(result.folder, result.pictures)
    for source, picture in embedded:
        view.pictures.append((picture, _matrix(frame.to_units(source.corners_lonlat), picture)))


def _rings(outline: Any) -> Iterable[Any]:
    if outline is None or outline.is_empty:
        return
    for shape in getattr(outline, "geoms", [outline]):
        if shape.geom_type == "Polygon":
            yield shape.exterior
            yield from shape.interiors
        elif hasattr(shape, "geoms"):
            yield from _rings(shape)


def _matrix(corners: Units, picture: EmbeddedPicture) -> str:
    """The affine map from picture pixels that fits the four corners best."""
    w, h = picture.width_px, picture.height_px
    known = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]], np.float64)
    fit, *_ = np.linalg.lstsq(known, corners, rcond=None)
    return "matrix(" + " ".join(f"{v:.6g}" for v in [*fit[0], *fit[1]]) + f" {fit[2, 0]:.1f} {fit[2, 1]:.1f})"


def _draw_route(view: MapView, result: SurveyResult, frame: MapFrame) -> None:
    for index, section in enumerate(result.sections):
        if section.lonlat is not None and len(section.lonlat) >= 2:
            d = frame.path(section.lonlat, tolerance=frame.tolerance)
            view.sections.append(AreaShape(d, str(index + 1), section.name, "odd" if index % 2 else "even"))
    if result.route is None or len(result.route) < 2:
        return
    view.route = frame.path(result.route, tolerance=frame.tolerance)
    points = frame.to_units(result.route)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.r_[0.0, np.cumsum(steps)]
    # Sections know the true chainage of their ends; the map's grid may be off it by some 1/2500.
    ends = [s.end_m for s in result.sections if s.lonlat is not None]
    total_m = max(ends) if ends else float(along[-1]) * frame.unit_m
    if along[-1] <= 0 or total_m <= 0:
        return
    spacing = _tick_spacing(total_m)
    for k in range(math.floor(total_m / spacing + 1e-9) + 1):
        at = min(k * spacing / total_m, 1.0) * along[-1]
        x, y = (float(np.interp(at, along, points[:, axis])) for axis in (0, 1))
        part = int(np.clip(np.searchsorted(along, at, side="right") - 1, 0, len(steps) - 1))
        dx, dy = points[part + 1] - points[part]
        text = f"{number(k * spacing)}{HARD}m" if spacing < 1000 else f"{number(k * spacing / 1000)}{HARD}km"
        view.ticks.append(Pin(round(x), round(y), text, _across_deg(float(dx), float(dy))))


def _across_deg(dx: float, dy: float) -> float:
    """Direction across a line that runs right and down by so much: -90 (up) to 90, clockwise from the right."""
    angle = math.degrees(math.atan2(dx, -dy))
    return round(angle - 180 if angle > 90 else angle + 180 if angle < -90 else angle, 1)


def _tick_spacing(total_m: float) -> float:
    for decade in (0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0):
        for step in (1.0, 2.0, 5.0):
            if step * decade >= 1 and total_m / (step * decade) <= 10:
                return step * decade
    return 100_000.0


def _draw_cracks(
    cracks: Sequence[SurveyCrack], frame: MapFrame, scale: WidthScale | None, limits: Sequence[float],
    levels: Sequence[str],
) -> list[CrackPath]:  # fmt: skip
    groups: dict[str, list[tuple[str, str]]] = {}
    for crack in reversed(cracks):  # the worst are drawn last, on top
        fields = crack.fields
        unit = "mm" if scale is None else scale.unit
        step = width_class(as_float(fields.get(f"width_mean_{unit}")), limits)
        severity = str(fields.get("severity") or "")
        style = f"w{step} s-{as_anchor(severity or 'none')} k-{as_anchor(str(fields.get('class') or 'other'))}"
        order = f"{levels.index(severity) if severity in levels else -1:03d}{step} "
        if fields.get("below_gsd"):
            style += " fine"
        assert crack.lonlat is not None
        d = frame.path(crack.lonlat, tolerance=frame.tolerance)
        if d:
            groups.setdefault(order + style, []).append((str(fields.get("id")), d))
    return [
        CrackPath("".join(d for _, d in members), ",".join(name for name, _ in members), key.partition(" ")[2])
        for key, members in sorted(groups.items())
    ]


def width_class(width: float | None, limits: Sequence[float]) -> str:
    """Number of the class of width, from 0; ``x`` where the width is not known."""
    if width is None or len(limits) < 2:
        return "x"
    return str(int(np.clip(np.searchsorted(limits, width, side="right") - 1, 0, len(limits) - 2)))


def _plan_bar(width_m: float) -> tuple[float, str]:
    """Share of the width and text of a round scale bar of about a sixth of the map."""
    length = round_down(width_m / 5)
    return round(length / width_m, 5), length_text(length)


def length_text(length_m: float) -> str:
    """A round length in the unit that suits it."""
    for least, factor, unit in ((1000.0, 0.001, "km"), (1.0, 1.0, "m"), (0.01, 100.0, "cm"), (0.0, 1000.0, "mm")):
        if length_m >= least * (1 - 1e-9):
            return f"{length_m * factor:g}{HARD}{unit}"
    return ""
