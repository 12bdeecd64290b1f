"""Text and panels on pictures: DejaVu Sans, which matplotlib ships and which has ² ≥ × °, blended in place."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fissura.types import RgbImage

Rgb = tuple[int, int, int]


@lru_cache(maxsize=32)
def load_font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at a size in pixels (at least 1)."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, max(1, size_px))


def text_size_wh(text: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    """Advance width and line height in pixels; the height does not depend on the letters."""
    ascent, descent = font.getmetrics()
    return int(np.ceil(font.getlength(text))), ascent + descent


def blend_text(canvas: RgbImage, left: float, top: float, text: str, font: ImageFont.FreeTypeFont, rgb: Rgb) -> None:
    """Write one line of text into ``canvas``, upper left corner of the line at (left, top); what sticks out is cut."""
    width, height = text_size_wh(text, font)
    stencil = Image.new("L", (width + 4, height + 2))
    ImageDraw.Draw(stencil).text((0, 0), text, 255, font)
    _blend(canvas, round(left), round(top), np.asarray(stencil), rgb, 1.0)


def blend_panel(
    canvas: RgbImage, box: tuple[float, float, float, float], rgb: Rgb, *, opacity: float, corner_px: float
) -> None:
    """Lay a rounded, translucent panel over (left, top, right, bottom)."""
    left, top, right, bottom = (round(value) for value in box)
    # Drawn at twice the size: Pillow's shapes have no smooth edges of their own.
    large = Image.new("L", (2 * (right - left), 2 * (bottom - top)))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, large.width - 1, large.height - 1), 2 * corner_px, 255)
    stencil = np.asarray(large.reduce(2))
    _blend(canvas, left, top, stencil, rgb, opacity)


def _blend(canvas: RgbImage, left: int, top: int, stencil: npt.NDArray[np.uint8], rgb: Rgb, opacity: float) -> None:
    rows = slice(max(0, top), min(canvas.shape[0], top + stencil.shape[0]))
    cols = slice(max(0, left), min(canvas.shape[1], left + stencil.shape[1]))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return
    inside = stencil[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
    weight = (inside.astype(np.float32) * np.float32(opacity / 255))[:, :, None]
    part = canvas[rows, cols]
    part[:] = np.rint(part + weight * (np.array(rgb, np.float32) - part)).astype(np.uint8)
