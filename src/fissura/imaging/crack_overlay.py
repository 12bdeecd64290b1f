"""Draw measured cracks on their picture: colours by width, labels, a legend and a scale bar.

Both sides of a crack get a coloured rail; between the rails the picture stays as it was, so the crack is never
hidden. Seen whole on a screen, the rails read as one coloured band. All sizes follow the picture's longer side, so a
thumbnail, a 4K frame and a 48-megapixel photo look alike when shown whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from fissura.errors import GeometryError
from fissura.geo.scale import GroundScale
from fissura.imaging.label_layout import Box, CrackCover, LabelRequest, PlacedLabel, place_labels
from fissura.imaging.overlay import plan_overlay_factor, reduce_rgb
from fissura.imaging.overlay_legend import AREA_RGB, INK, PAPER, Legend, hatch, plan_scale_bar
from fissura.imaging.text import Rgb, blend_panel, blend_text, load_font, text_size_wh
from fissura.imaging.width_scale import WidthScale, plan_width_scale, ramp_colours
from fissura.types import RgbImage

Points = npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]

SMALL_PX, ROOMY_PX = 900, 1300
"""Pictures whose longer side is below the first are enlarged by a whole factor to at least the second."""

_SCREEN_PX = 1400
_HALO_RGB: Rgb = (12, 12, 16)
_COLOUR_STEPS = 47
_SHIFT = 4  # fractional bits of OpenCV's coordinates
# In screen pixels: clear space beside the crack, rail, dark edge.
_GAP, _RAIL, _HALO = 1.4, 2.8, 1.1


@dataclass(frozen=True, eq=False)
class OverlayLine:
    """One crack, or one branch of it.

    Attributes:
        points_rc: Centreline in pixels of the full picture, shape (N >= 2, 2).
        width_px: Width at each point, shape (N,), pixels.
        width: Width at each point that gives the colour, shape (N,): millimetres where the picture has a scale,
            else pixels. NaN counts as the narrowest.
        label: For example ``#3 2.4 mm``; empty for none.
        importance: Labels go to the highest; width times length if left out.
        bridged: A gap that was closed; drawn dashed.
    """

    points_rc: Points
    width_px: Values
    width: Values
    label: str = ""
    importance: float | None = None
    bridged: bool = False

    def __post_init__(self) -> None:
        count = len(self.points_rc)
        if self.points_rc.ndim != 2 or self.points_rc.shape[1] != 2 or count < 2:
            raise GeometryError(f"an overlay line needs points of shape (N >= 2, 2), got {self.points_rc.shape}")
        if self.width_px.shape != (count,) or self.width.shape != (count,):
            raise GeometryError(
                f"{count} points need as many widths, got {self.width_px.shape} px and {self.width.shape} in units"
            )
        if not np.isfinite(self.points_rc).all():
            raise GeometryError("an overlay line has points that are not finite")


@dataclass(frozen=True, eq=False)
class OverlayArea:
    """A field of alligator cracking: outline in pixels of the full picture, shape (N >= 3, 2), and its label."""

    outline_rc: Points
    label: str = ""

    def __post_init__(self) -> None:
        if self.outline_rc.ndim != 2 or self.outline_rc.shape[1] != 2 or len(self.outline_rc) < 3:
            raise GeometryError(f"an overlay area needs points of shape (N >= 3, 2), got {self.outline_rc.shape}")


@dataclass(frozen=True)
class OverlayPlan:
    """Size and place of everything in a drawing, before a pixel is drawn.

    Attributes:
        size_hw: Rows and columns of the drawing.
        enlarge: Whole factor by which the picture grows.
        reduce: Whole factor by which it shrinks; one of the two is 1.
        screen_px: Pixels of the drawing for each pixel of a screen that shows the whole picture.
        legend: What the legend shows.
        legend_box: Where it is, or None.
        labels: Placed labels; `PlacedLabel.index` counts areas first, then lines.
        widths: Colours.
    """

    size_hw: tuple[int, int]
    enlarge: int
    reduce: int
    screen_px: float
    legend: Legend
    legend_box: Box | None
    labels: tuple[PlacedLabel, ...]
    widths: WidthScale

    @property
    def zoom(self) -> float:
        """Pixels of the drawing for each pixel of the full picture."""
        return self.enlarge / self.reduce

    def to_xy(self, points_rc: Points) -> Points:
        """Full picture (row, column), pixel centres at integers, to drawing (x, y)."""
        return np.asarray((points_rc[:, ::-1] + 0.5) * self.zoom - 0.5, np.float64)


def draw_crack_overlay(
    rgb: RgbImage,
    lines: Sequence[OverlayLine],
    areas: Sequence[OverlayArea] = (),
    *,
    scale: GroundScale | None = None,
    widths: WidthScale | None = None,
    caption: str = "",
    max_labels: int | None = None,
) -> RgbImage:
    """Draw measured cracks on their picture.

    Args:
        rgb: Shape (H, W, 3).
        lines: Cracks; may be empty.
        areas: Alligator areas; may be empty.
        scale: Of the full picture, for the scale bar; without it widths are in pixels and there is no scale bar.
        widths: Colours, shared by the pictures of a run; planned from `lines` if left out.
        caption: Bold lines at the top of the legend, for example ``12 cracks, 8.4 m``.
        max_labels: 12 to 25 by the picture's shape if left out.
    Returns:
        A new picture. Its size is that of `rgb` times ``plan_crack_overlay(...).zoom``, rounded up: small pictures
        are enlarged, very large ones reduced.
    Raises:
        GeometryError: `rgb` has another shape.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise GeometryError(f"the picture has shape {rgb.shape}; (H, W, 3) is needed")
    plan = plan_crack_overlay(
        (rgb.shape[0], rgb.shape[1]), lines, areas, scale=scale, widths=widths, caption=caption, max_labels=max_labels
    )
    picture = _resize(rgb, plan)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    canvas: RgbImage = np.asarray(cv2.addWeighted(picture, 0.42, grey, 0.42, 4.0), np.uint8)
    _draw_areas(canvas, areas, plan)
    draw_rails(canvas, picture, lines, plan)
    _draw_labels(canvas, lines, areas, plan)
    if plan.legend_box:
        plan.legend.draw(canvas, plan.legend_box)
    return canvas


def plan_crack_overlay(
    size_hw: tuple[int, int],
    lines: Sequence[OverlayLine],
    areas: Sequence[OverlayArea] = (),
    *,
    scale: GroundScale | None = None,
    widths: WidthScale | None = None,
    caption: str = "",
    max_labels: int | None = None,
) -> OverlayPlan:
    """Plan what `draw_crack_overlay` draws, for a picture of ``size_hw`` rows and columns; the other arguments are its.

    No two labels overlap, and none overlaps the legend.
    """
    reduce = plan_overlay_factor(*size_hw)
    enlarge = min(16, -(-ROOMY_PX // max(size_hw))) if max(size_hw) < SMALL_PX else 1
    out_hw = (-(-size_hw[0] * enlarge // reduce), -(-size_hw[1] * enlarge // reduce))
    # Strips would have a legend higher than themselves by their longer side alone.
    screen_px = min(max(out_hw) / _SCREEN_PX, min(out_hw) / 280)
    if widths is None:
        unit: Literal["mm", "px"] = "px" if scale is None else "mm"
        each = [(line.width, _steps_px(line.points_rc)) for line in lines]
        widths = plan_width_scale(
            np.concatenate([[], *(w for w, _ in each)]), np.concatenate([[], *(s for _, s in each)]), unit=unit
        )
    zoom = enlarge / reduce
    bar = None if scale is None else plan_scale_bar(scale, size_hw, max(240 * screen_px / zoom, 1e-6))
    legend = Legend(
        screen_px, widths if lines else None, bar, max(1, round(bar.length_px * zoom)) if bar else 0, caption,
        bool(areas), any(line.bridged for line in lines),
    )  # fmt: skip
    plan = OverlayPlan(out_hw, enlarge, reduce, screen_px, legend, None, (), widths)
    cover = _find_cover(lines, plan)
    size_wh = (out_hw[1], out_hw[0])
    # Below about 6 px of text nothing could be read.
    box = legend.find_place(cover, size_wh) if 14 * screen_px >= 6 else None
    labels: list[PlacedLabel] = []
    if 14 * screen_px >= 6:
        shape_px = out_hw[0] * out_hw[1] / screen_px**2
        most = int(np.clip(round(shape_px / 60_000), 12, 25)) if max_labels is None else max_labels
        order, requests = _request_labels(lines, areas, plan)
        found = place_labels(
            requests, cover, size_wh, obstacles=[box] if box else [], gap_px=max(2.0, 5 * screen_px), most=most
        )
        labels = [PlacedLabel(order[p.index], p.box, p.leader_from_xy, p.anchor_xy) for p in found]
    return OverlayPlan(out_hw, enlarge, reduce, screen_px, legend, box, tuple(labels), widths)


def _resize(rgb: RgbImage, plan: OverlayPlan) -> RgbImage:
    if plan.enlarge > 1:
        return np.asarray(cv2.resize(rgb, plan.size_hw[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    return reduce_rgb(rgb, plan.reduce)


def _steps_px(points_rc: Points) -> Values:
    """Length that each point stands for, shape (N,), pixels."""
    steps = np.linalg.norm(np.diff(points_rc, axis=0), axis=1)
    return np.asarray((np.append(steps, 0.0) + np.insert(steps, 0, 0.0)) / 2, np.float64)


def _find_cover(lines: Sequence[OverlayLine], plan: OverlayPlan) -> CrackCover:
    cell = max(1.0, 3.5 * plan.screen_px)
    rows, cols = (max(1, int(np.ceil(side / cell))) for side in plan.size_hw)
    grid = np.zeros((rows, cols), np.uint8)
    for line in lines:
        points = np.rint(plan.to_xy(line.points_rc) / cell * (1 << _SHIFT)).astype(np.int32)
        thick = max(1, round(float(np.nanmean(np.nan_to_num(line.width_px))) * plan.zoom / cell) + 1)
        cv2.polylines(grid, [points], False, 1, thick, cv2.LINE_8, _SHIFT)
    return CrackCover(grid.astype(np.float64), cell)


def _request_labels(
    lines: Sequence[OverlayLine], areas: Sequence[OverlayArea], plan: OverlayPlan
) -> tuple[list[int], list[LabelRequest]]:
    """Areas first, then lines from the most important; with the index of each."""
    font = load_font(round(14 * plan.screen_px), bold=True)
    pad = 6 * plan.screen_px
    found: list[tuple[float, int, str, Points]] = []
    for index, area in enumerate(areas):
        found.append((-np.inf, index, area.label, plan.to_xy(area.outline_rc)))
    for index, line in enumerate(lines, start=len(areas)):
        steps = _steps_px(line.points_rc)
        importance = float(np.sum(np.nan_to_num(line.width_px) * steps)) if line.importance is None else line.importance
        found.append((-importance, index, line.label, plan.to_xy(line.points_rc[_anchor_indices(line, steps)])))
    found = [entry for entry in sorted(found, key=lambda entry: entry[:2]) if entry[2]]
    requests = []
    bounds = np.array(plan.size_hw[::-1], np.float64) - 1
    for _, index, text, anchors in found:
        width, height = text_size_wh(text, font)
        stripe = 5 * plan.screen_px if index >= len(areas) else 0.0
        anchors = np.clip(anchors[:: -(-len(anchors) // 12)], 0, bounds)
        requests.append(LabelRequest((width + 2 * pad + stripe, height + pad), anchors))
    return [index for _, index, _, _ in found], requests


def _anchor_indices(line: OverlayLine, steps: Values) -> list[int]:
    """Middle of the line first, then other places along it; ends are where other cracks are."""
    at = np.cumsum(steps) / max(float(steps.sum()), 1e-12)
    places = np.searchsorted(at, (0.5, 0.35, 0.65, 0.2, 0.8))
    return list(dict.fromkeys(int(index) for index in np.minimum(places, len(at) - 1)))


def _draw_areas(canvas: RgbImage, areas: Sequence[OverlayArea], plan: OverlayPlan) -> None:
    for area in areas:
        outline = np.rint(plan.to_xy(area.outline_rc)).astype(np.int32)
        left, top = np.maximum(outline.min(0), 0)
        right, bottom = np.minimum(outline.max(0) + 1, plan.size_hw[::-1])
        if left >= right or top >= bottom:
            continue
        part = canvas[top:bottom, left:right]
        inside = np.zeros(part.shape[:2], np.uint8)
        cv2.fillPoly(inside, [outline - (left, top)], 255)
        hatched = part.copy()
        hatch(hatched, spacing_px=16 * plan.screen_px, thickness_px=max(1, round(1.2 * plan.screen_px)))
        tinted = cv2.addWeighted(hatched, 0.5, part, 0.5, 0)
        cv2.copyTo(tinted, inside, part)
        for rgb, thick in ((_HALO_RGB, 4.0), (AREA_RGB, 2.0)):
            cv2.polylines(canvas, [outline], True, rgb, max(1, round(thick * plan.screen_px)), cv2.LINE_AA)


def draw_rails(canvas: RgbImage, picture: RgbImage, lines: Sequence[OverlayLine], plan: OverlayPlan) -> None:
    """Dark edges of all lines, then coloured bands, then the picture again where the cracks are."""
    unit = plan.screen_px
    gap, rail, halo = (max(least, size * unit) for least, size in ((1.0, _GAP), (1.0, _RAIL), (0.7, _HALO)))
    # Wide cracks last, so that where two run side by side the wider one is seen.
    ordered = sorted(lines, key=lambda line: float(np.mean(np.nan_to_num(line.width))))
    strokes = [stroke for line in ordered for stroke in _strokes(line, plan)]
    railed = [stroke for stroke in strokes if stroke.railed]
    for stroke in railed:
        _draw_stroke(canvas, stroke.points, _HALO_RGB, stroke.core_px + 2 * (gap + rail + halo))
    for stroke in railed:
        _draw_stroke(canvas, stroke.points, stroke.rgb, stroke.core_px + 2 * (gap + rail))
    core = np.zeros(plan.size_hw, np.uint8)
    for stroke in strokes:
        _draw_stroke(core, stroke.points, (255, 255, 255), stroke.core_px + 2 * gap)
    for top in range(0, len(core), 256):  # in slabs: most of the picture has no crack, and memory stays low
        rows = slice(top, top + 256)
        touched = core[rows] > 0
        if touched.any():
            weight = core[rows][touched].astype(np.float32)[:, None] / np.float32(255)
            part = canvas[rows]
            part[touched] = np.rint(weight * picture[rows][touched] + (1 - weight) * part[touched]).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class _Stroke:
    """A stretch with one colour and one width; points in OpenCV's fixed point, shape (N, 2), (x, y).

    Between dashes there are no rails, but the picture stays as it was there, too.
    """

    points: npt.NDArray[np.int32]
    rgb: Rgb
    core_px: int
    railed: bool


def _strokes(line: OverlayLine, plan: OverlayPlan) -> Iterator[_Stroke]:
    xy = plan.to_xy(line.points_rc)
    # Colours and widths that change from point to point would flicker; a few screen pixels are enough to be local.
    spacing = max(float(np.mean(_steps_px(line.points_rc))) * plan.zoom, 1e-6)
    window = int(np.clip(round(10 * plan.screen_px / spacing), 1, len(xy)))
    width = uniform_filter1d(np.nan_to_num(line.width, nan=plan.widths.low), window, mode="nearest")
    core = uniform_filter1d(np.nan_to_num(line.width_px) * plan.zoom, window, mode="nearest")
    position = plan.widths.position((width[1:] + width[:-1]) / 2)
    level = np.rint(position * _COLOUR_STEPS).astype(np.intp)
    thick = np.maximum(np.rint((core[1:] + core[:-1]) / 2), 1).astype(np.intp)
    colours = ramp_colours(np.arange(_COLOUR_STEPS + 1) / _COLOUR_STEPS)
    railed = np.ones(len(level), np.bool_)
    if line.bridged:
        along = np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1)) / plan.screen_px
        # Strokes have round ends, so the clear part must be longer than they are thick.
        clear = 8 + float(core.mean()) / plan.screen_px + 2 * (_GAP + _RAIL + _HALO)
        railed = along % (6 + clear) < 6
    fixed = np.rint(xy * (1 << _SHIFT)).astype(np.int32)
    state = np.column_stack([level, thick, railed])
    starts = np.flatnonzero(np.r_[True, (np.diff(state, axis=0) != 0).any(1)])
    for start, end in zip(starts, np.r_[starts[1:], len(level)], strict=True):
        red, green, blue = (int(value) for value in colours[level[start]])
        yield _Stroke(fixed[start : end + 1], (red, green, blue), int(thick[start]), bool(railed[start]))


def _draw_stroke(canvas: npt.NDArray[np.uint8], points: npt.NDArray[np.int32], rgb: Rgb, thick_px: float) -> None:
    cv2.polylines(canvas, [points], False, rgb, max(1, round(thick_px)), cv2.LINE_AA, _SHIFT)


def _draw_labels(
    canvas: RgbImage, lines: Sequence[OverlayLine], areas: Sequence[OverlayArea], plan: OverlayPlan
) -> None:
    unit = plan.screen_px
    for label in plan.labels:  # all leaders below all boxes
        ends = [tuple(round(v * (1 << _SHIFT)) for v in xy) for xy in (label.leader_from_xy, label.anchor_xy)]
        radius = int(2.6 * unit * (1 << _SHIFT))
        for rgb, thick, grow in ((_HALO_RGB, 3.4, 1.2), (INK, 1.5, 0.0)):
            cv2.line(canvas, ends[0], ends[1], rgb, max(1, round(thick * unit)), cv2.LINE_AA, _SHIFT)
            cv2.circle(canvas, ends[1], radius + int(grow * unit * (1 << _SHIFT)), rgb, -1, cv2.LINE_AA, _SHIFT)
    for label in plan.labels:
        is_area = label.index < len(areas)
        line = None if is_area else lines[label.index - len(areas)]
        text = areas[label.index].label if line is None else line.label
        colour = AREA_RGB if line is None else plan.widths.colours(float(np.mean(np.nan_to_num(line.width))))
        left, top, _, bottom = label.box
        blend_panel(canvas, label.box, PAPER, opacity=0.82, corner_px=3.5 * unit)
        stripe = 5 * unit if line is not None else 0.0
        if line is not None:
            blend_panel(
                canvas, (left, top, left + stripe, bottom), (int(colour[0]), int(colour[1]), int(colour[2])),
                opacity=1.0, corner_px=1.5 * unit,
            )  # fmt: skip
        font = load_font(round(14 * unit), bold=True)
        ink = AREA_RGB if is_area else INK
        blend_text(canvas, left + stripe + 6 * unit, top + 3 * unit, text, font, ink)
