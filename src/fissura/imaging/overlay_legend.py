"""The legend of a crack overlay: colour bar in mm or px, scale bar of a round length, and what the signs mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL.ImageFont import FreeTypeFont

from fissura.geo.scale import GroundScale
from fissura.imaging.label_layout import Box, CrackCover
from fissura.imaging.text import Rgb, blend_panel, blend_text, load_font, text_size_wh
from fissura.imaging.width_scale import WidthScale, round_down
from fissura.types import RgbImage

INK: Rgb = (245, 245, 245)
PAPER: Rgb = (16, 18, 22)
AREA_RGB: Rgb = (70, 220, 235)
"""Alligator areas: a colour the width ramp does not have."""

_EVEN = 0.02
_INNER = 240.0  # width of colour bar and longest scale bar, in screen pixels


@dataclass(frozen=True)
class ScaleBar:
    """A round length on the ground.

    Attributes:
        length_mm: 1, 2 or 5 times a power of ten.
        length_px: Along a row, in pixels of the full picture.
        label: With its unit, for example ``50 cm``.
        at_centre: The view is at an angle, so the bar holds at the picture's centre only.
    """

    length_mm: float
    length_px: float
    label: str
    at_centre: bool


def plan_scale_bar(scale: GroundScale, size_hw: tuple[int, int], longest_px: float) -> ScaleBar:
    """The longest round length that takes at most ``longest_px`` along a row at the picture's centre.

    Args:
        scale: Of the full picture.
        size_hw: Rows and columns of the full picture.
        longest_px: In pixels of the full picture, above 0.
    """
    height, width = size_hw
    centre = np.array([[(height - 1) / 2, (width - 1) / 2]])
    corners = np.array([[0, 0], [0, width - 1], [height - 1, 0], [height - 1, width - 1]], np.float64)
    mm_per_px = float(np.linalg.norm(scale.jacobian(centre)[0, :, 0]))
    length_mm = round_down(longest_px * mm_per_px)
    with np.errstate(all="ignore"):  # a corner may lie beyond the horizon
        along = np.linalg.norm(scale.jacobian(corners)[:, :, 0], axis=1)
        even = bool(np.all(np.abs(along / mm_per_px - 1) <= _EVEN))
    return ScaleBar(length_mm, length_mm / mm_per_px, format_length(length_mm), at_centre=not even)


def format_length(length_mm: float) -> str:
    """A round length with the unit people use for it: mm, cm, m or km."""
    for unit, size_mm in (("km", 1e6), ("m", 1e3), ("cm", 10.0)):
        if length_mm >= size_mm * (1 - 1e-9):
            return f"{length_mm / size_mm:g} {unit}"
    return f"{length_mm:g} mm"


@dataclass(frozen=True)
class Legend:
    """What the panel shows; nothing is shown where all is empty.

    Attributes:
        screen_px: Pixels of the drawing for each pixel of a screen that shows the whole picture.
        widths: Colour bar.
        bar: Scale bar.
        bar_px: Its length in the drawing, in whole pixels.
        caption: Lines above, may be empty.
        areas: Explain the hatch.
        bridged: Explain dashes.
    """

    screen_px: float
    widths: WidthScale | None = None
    bar: ScaleBar | None = None
    bar_px: int = 0
    caption: str = ""
    areas: bool = False
    bridged: bool = False

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the panel in pixels; (0, 0) if there is nothing to show."""
        rows = self._rows()
        if not rows:
            return 0, 0
        pad = self._px(12)
        inner = max([self._px(_INNER) if self.widths else 0, *(width for _, width, _ in rows)])
        return inner + 2 * pad, sum(height for _, _, height in rows) + (len(rows) - 1) * self._px(9) + 2 * pad

    def find_place(self, cover: CrackCover, size_wh: tuple[int, int]) -> Box | None:
        """The corner with the least crack, lower ones first; None if the panel would take most of the picture."""
        width, height = self.size_wh
        if not width or width > 0.7 * size_wh[0] or height > 0.7 * size_wh[1]:
            return None
        margin = self._px(14)
        left, right = margin, size_wh[0] - margin - width
        top, bottom = margin, size_wh[1] - margin - height
        corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top]], np.float64)
        boxes = np.hstack([corners, corners + np.array([width, height])])
        # An upper corner is worth it only where both lower ones hide cracks that it does not.
        best = boxes[int(np.argmin(cover.share(boxes) + np.array([0.0, 0.002, 0.03, 0.031])))]
        return float(best[0]), float(best[1]), float(best[2]), float(best[3])

    def draw(self, canvas: RgbImage, box: Box) -> None:
        """Draw the panel into ``canvas`` at a box of `size_wh`."""
        blend_panel(canvas, box, PAPER, opacity=0.8, corner_px=6 * self.screen_px)
        left, top = round(box[0]) + self._px(12), round(box[1]) + self._px(12)
        right = round(box[2]) - self._px(12)
        for kind, _, height in self._rows():
            if kind == "widths":
                self._draw_widths(canvas, left, right, top)
            elif kind == "bar":
                self._draw_bar(canvas, left, top)
            elif kind in ("areas", "bridged"):
                self._draw_key(canvas, left, top, height, kind)
            else:
                blend_text(canvas, left, top, kind.removeprefix("caption:"), self._font(bold=True), INK)
            top += height + self._px(9)

    def _rows(self) -> list[tuple[str, int, int]]:
        """(kind, width, height) of each row from the top."""
        rows = []
        for line in filter(None, self.caption.split("\n")):
            rows.append((f"caption:{line}", *text_size_wh(line, self._font(bold=True))))
        line_height = text_size_wh("0", self._font())[1]
        if self.widths:
            rows.append(("widths", self._px(_INNER), 2 * line_height + self._px(12 + 3 + 7)))
        if self.bar:
            text = text_size_wh(self._bar_text(), self._font())[0]
            rows.append(("bar", max(text, self.bar_px), line_height + self._px(11)))
        for kind, shown in (("areas", self.areas), ("bridged", self.bridged)):
            if shown:
                rows.append((kind, self._px(38) + text_size_wh(_KEYS[kind], self._font())[0], line_height))
        return rows

    def _draw_widths(self, canvas: RgbImage, left: int, right: int, top: int) -> None:
        scale, font = self.widths, self._font()
        assert scale is not None
        line_height = text_size_wh("0", font)[1]
        blend_text(canvas, left, top, f"crack width ({scale.unit})", font, INK)
        top += line_height + self._px(3)
        part = np.linspace(0, 1, right - left)
        widths = scale.low * (scale.high / scale.low) ** part if scale.logarithmic else (
            scale.low + (scale.high - scale.low) * part
        )  # fmt: skip
        canvas[top : top + self._px(12), left:right] = scale.colours(widths)[None]
        ticks = scale.ticks()
        taken: list[tuple[float, float]] = []
        for value, text in (ticks[0], ticks[-1], *ticks[1:-1]):
            x = left + float(scale.position(value)) * (right - left - 1)
            width = text_size_wh(text, font)[0]
            start = min(max(x - width / 2, left), right - width)
            if any(start < end + 6 * self.screen_px and start + width > begin - 6 * self.screen_px
                   for begin, end in taken):  # fmt: skip
                continue
            taken.append((start, start + width))
            column = min(max(round(x), left), right - self._px(1))
            canvas[top + self._px(12) : top + self._px(16), column : column + self._px(1)] = INK
            blend_text(canvas, start, top + self._px(12 + 6), text, font, INK)

    def _draw_bar(self, canvas: RgbImage, left: int, top: int) -> None:
        blend_text(canvas, left, top, self._bar_text(), self._font(), INK)
        bottom = top + text_size_wh("0", self._font())[1] + self._px(11)
        thick, right = self._px(2.5), left + self.bar_px
        canvas[bottom - thick : bottom, left:right] = INK
        for column in (left, right - thick):
            canvas[bottom - self._px(8) : bottom, column : column + thick] = INK

    def _draw_key(self, canvas: RgbImage, left: int, top: int, height: int, kind: str) -> None:
        swatch = canvas[top + self._px(2) : top + height - self._px(1), left : left + self._px(28)]
        if kind == "areas":
            hatch(swatch, spacing_px=9 * self.screen_px, thickness_px=self._px(1.4))
            cv2.rectangle(swatch, (0, 0), (swatch.shape[1] - 1, swatch.shape[0] - 1), AREA_RGB, self._px(1.4))
        else:
            middle, thick = swatch.shape[0] // 2, self._px(3)
            for start in (0, 11, 22):
                swatch[middle : middle + thick, self._px(start) : self._px(start + 6)] = INK
        blend_text(canvas, left + self._px(38), top, _KEYS[kind], self._font(), INK)

    def _bar_text(self) -> str:
        assert self.bar is not None
        return f"{self.bar.label} at the centre" if self.bar.at_centre else self.bar.label

    def _font(self, *, bold: bool = False) -> FreeTypeFont:
        return load_font(max(1, round(14 * self.screen_px)), bold=bold)

    def _px(self, screen_px: float) -> int:
        return max(1, round(screen_px * self.screen_px))


_KEYS = {"areas": "alligator cracking", "bridged": "gap closed, not seen"}


def hatch(canvas: RgbImage, *, spacing_px: float, thickness_px: int, rgb: Rgb = AREA_RGB) -> None:
    """Draw 45° lines over the whole of ``canvas``, in place."""
    height, width = canvas.shape[:2]
    step = max(2, math.ceil(spacing_px * math.sqrt(2)))
    for start in range(-height, width, step):
        cv2.line(canvas, (start, height), (start + height, 0), rgb, thickness_px, cv2.LINE_AA)
