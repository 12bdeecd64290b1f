"""Draw what was found of a road: its outline, its direction, the slices that are looked at."""

from __future__ import annotations

import math

import cv2
import numpy as np

from fissura.geo.homography import transform
from fissura.imaging.overlay import plan_overlay_factor, reduce_rgb
from fissura.imaging.text import blend_panel, blend_text, load_font, text_size_wh
from fissura.road.model import Road
from fissura.road.slices import RoadSlices
from fissura.types import RgbImage

_OUTLINE = (255, 196, 0)
_SLICE = (64, 196, 255)
_ARROW = (255, 64, 96)
_OUTSIDE = 0.55
_SHIFT = 4


def draw_road(rgb: RgbImage, road: Road, slices: RoadSlices) -> RgbImage:
    """The frame with its road in full light, the rest dimmed; slices outlined, each with a tick at its upper side.

    Args:
        rgb: The frame, shape (H, W, 3).
        road: What was found.
        slices: Planned for it.
    Returns:
        A new picture, reduced by a whole factor if the frame is large.
    """
    factor = plan_overlay_factor(*rgb.shape[:2])
    out = rgb.copy() if factor == 1 else reduce_rgb(rgb, factor)
    h, w = out.shape[:2]
    thick = max(1, round(max(h, w) / 900))
    if road.found:
        soft = cv2.resize(road.mask.view(np.uint8) * np.uint8(255), (w, h), interpolation=cv2.INTER_LINEAR)
        outside = soft < 128
        out[outside] = (out[outside] * _OUTSIDE).astype(np.uint8)
        contours, _ = cv2.findContours((~outside).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(out, contours, -1, _OUTLINE, thick + 1, cv2.LINE_AA)
    for piece in slices.slices:
        _polygon(out, piece.corners_rc[:, ::-1], factor, thick)
        middle = (piece.tile - 1) / 2
        tick = transform(piece.matrix, np.array([[middle, -0.5], [middle, 0.08 * piece.tile]]))
        cv2.polylines(out, [_fixed(tick, factor)], False, _SLICE, thick, cv2.LINE_AA, _SHIFT)
    if road.found and road.direction_deg is not None:
        _arrow(out, road.direction_deg, thick)
    _caption(out, _describe(road, slices))
    return out


def _fixed(points_xy: np.ndarray, factor: int) -> np.ndarray:
    return np.asarray(np.rint(((points_xy + 0.5) / factor - 0.5) * 2**_SHIFT), np.int32)


def _polygon(out: RgbImage, corners_xy: np.ndarray, factor: int, thick: int) -> None:
    cv2.polylines(out, [_fixed(corners_xy, factor)], True, _SLICE, thick, cv2.LINE_AA, _SHIFT)


def _arrow(out: RgbImage, direction_deg: float, thick: int) -> None:
    h, w = out.shape[:2]
    reach, angle = 0.18 * min(h, w), math.radians(direction_deg)
    step = np.array([math.cos(angle), -math.sin(angle)]) * reach
    a, b = np.array([w / 2, h / 2]) - step, np.array([w / 2, h / 2]) + step
    for colour, width in (((12, 12, 16), thick + 4), (_ARROW, thick + 1)):
        for start, stop in ((a, b), (b, a)):
            cv2.arrowedLine(out, _point(start), _point(stop), colour, width, cv2.LINE_AA, tipLength=0.08)


def _point(xy: np.ndarray) -> tuple[int, int]:
    return round(float(xy[0])), round(float(xy[1]))


def _describe(road: Road, slices: RoadSlices) -> str:
    if not road.found:
        return f"no road found: whole frame, {len(slices)} slices"
    direction = "several directions" if road.direction_deg is None else f"direction {road.direction_deg:.1f}°"
    share, sure = 100 * float(road.mask.mean()), road.confidence
    return f"road {share:.0f} %, {direction}, confidence {sure:.2f}, {len(slices)} slices"


def _caption(out: RgbImage, text: str) -> None:
    font = load_font(max(11, round(max(out.shape[:2]) / 70)))
    width, height = text_size_wh(text, font)
    if width + 24 > out.shape[1]:
        return
    blend_panel(out, (8, 8, width + 28, height + 20), (24, 26, 30), opacity=0.75, corner_px=5)
    blend_text(out, 18, 14, text, font, (255, 255, 255))
