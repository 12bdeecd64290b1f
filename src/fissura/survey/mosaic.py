"""The mosaic of a flight: all it saw at a glance, the road it looked at in detail, the cracks on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fissura.geo.scale import GroundScale
from fissura.imaging.crack_overlay import OverlayArea, OverlayLine, draw_crack_overlay
from fissura.imaging.write import write_jpeg
from fissura.measure.measuring import width_per_px
from fissura.measure.model import Crack
from fissura.report.records import MapPicture
from fissura.survey.backdrop import REDUCTION, Backdrop
from fissura.survey.ground import TILE_PX, GroundCanvas
from fissura.survey.merged import MergedGround
from fissura.types import RgbImage

_MAP_PX = 2400
_ACROSS_PX = 4096
"""Ground pixels across that are painted at a time."""
MOST_SIDE_PX = 9000
"""Longer side of a mosaic."""


def draw_mosaic(
    canvas: GroundCanvas, backdrop: Backdrop, ground: MergedGround, *, caption: str
) -> tuple[RgbImage, int]:
    """Draw a mosaic with its cracks.

    Args:
        canvas: Road in full detail.
        backdrop: Everything else.
        ground: Cracks, and where their pixels begin.
        caption: For the legend.
    Returns:
        The picture, and how many ground pixels one of its pixels stands for.
    """
    top, left = ground.origin_rc
    height, width = ground.measurement.graph.size_hw
    factor = max(1, -(-max(height, width) // MOST_SIDE_PX))
    rgb = paint_mosaic(canvas, backdrop, (top, left), (height, width), factor)
    found, scale = ground.measurement, ground.measurement.scale
    lines = []
    unit = "px" if scale is None else "mm"
    for crack, i in zip(found.cracks, found.order, strict=True):
        branch, measured = found.graph.branches[i], found.widths.branches[i]
        points = (branch.points_rc + 0.5) / factor - 0.5
        lines.append(OverlayLine(
            points, measured.width_px / factor, measured.width_px * width_per_px(branch.points_rc, scale),
            label=f"#{crack.id}  {_in_words(crack)} {unit}",
            bridged=branch.bridged,
        ))  # fmt: skip
    areas = [
        OverlayArea(
            (a.outline_rc + 0.5) / factor - 0.5, f"alligator {a.area:.2g} {'m²' if scale is not None else 'px²'}"
        )
        for a in found.areas
    ]
    small = None if scale is None else _reduced_scale(scale, factor)
    return draw_crack_overlay(rgb, lines, areas, scale=small, caption=caption), factor


def write_mosaic(
    out: Path, name: str, canvas: GroundCanvas, backdrop: Backdrop, ground: MergedGround, *, caption: str,
    to_lonlat: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]] | None,
) -> MapPicture | None:  # fmt: skip
    """Write ``mosaics/NAME.jpg`` with the cracks, and a small one without them to put under the report's map.

    Args:
        out: Folder of the run.
        name: Of the ground.
        canvas: See `draw_mosaic`.
        backdrop: See `draw_mosaic`.
        ground: See `draw_mosaic`.
        caption: For the legend.
        to_lonlat: Ground pixels (x, y), shape (N, 2), to degrees; None without a place.
    Returns:
        The small one with its place; None without a place.
    Raises:
        OutputError: A file cannot be written.
    """
    picture, _ = draw_mosaic(canvas, backdrop, ground, caption=caption)
    write_jpeg(out / "mosaics" / f"{name}.jpg", picture, quality=88)
    if to_lonlat is None:
        return None
    top, left = ground.origin_rc
    height, width = ground.measurement.graph.size_hw
    factor = max(1, -(-max(height, width) // _MAP_PX))
    plain = paint_mosaic(canvas, backdrop, (top, left), (height, width), factor)
    path = f"mosaics/{name}.map.jpg"
    write_jpeg(out / path, plain, quality=85)
    h, w = plain.shape[0] * factor, plain.shape[1] * factor
    corners = np.array([[left, top], [left + w, top], [left + w, top + h], [left, top + h]], np.float64) - 0.5
    return MapPicture(path, to_lonlat(corners))


def paint_mosaic(
    canvas: GroundCanvas, backdrop: Backdrop, origin_rc: tuple[int, int], size_hw: tuple[int, int], factor: int
) -> RgbImage:
    """The mosaic without cracks, shape (ceil(h / factor), ceil(w / factor), 3); white where nothing was seen."""
    top, left = origin_rc
    height, width = -(-size_hw[0] // factor), -(-size_hw[1] // factor)
    out = np.full((height, width, 3), 255, np.uint8)
    # Mosaic rows and columns at a time: memory stays small, however long and wide the ground is.
    down, across = -(-TILE_PX * 4 // (factor * REDUCTION)) * REDUCTION, max(_ACROSS_PX // factor, 1)
    for row in range(0, height, down):
        for column in range(0, width, across):
            block = out[row : row + down, column : column + across]
            block[:] = _paint_block(canvas, backdrop, top + row * factor, left + column * factor, block.shape, factor)
    return out


def _paint_block(
    canvas: GroundCanvas, backdrop: Backdrop, top: int, left: int, shape: tuple[int, ...], factor: int
) -> RgbImage:
    """A piece of the mosaic, of so many rows and columns from a ground row and column on."""
    rows, columns = shape[:2]
    bottom, right = top + rows * factor, left + columns * factor
    a0, a1 = (top // REDUCTION - 1) * REDUCTION, (-(-bottom // REDUCTION) + 1) * REDUCTION
    b0, b1 = (left // REDUCTION - 1) * REDUCTION, (-(-right // REDUCTION) + 1) * REDUCTION
    small = backdrop.read(a0, b0, a1, b1)
    shift = (factor - REDUCTION) / 2  # between the middles of their first pixels
    # All of its numbers are sixteenths, so OpenCV's fixed point gives each pixel the same in whatever block it lies.
    matrix = np.array([[factor, 0, left - b0 + shift], [0, factor, top - a0 + shift]], np.float64) / REDUCTION
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    behind = cv2.warpAffine(small, matrix, (columns, rows), flags=flags)
    # Where the backdrop ends, its pixels are mixed with nothing: they stay white.
    shown = np.where(small.any(axis=2), 255, 0).astype(np.uint8)
    whole = cv2.warpAffine(shown, matrix, (columns, rows), flags=flags) == 255
    window = canvas.read(slice(top, bottom), slice(left, right))
    detail = cv2.resize(window.rgb, (columns, rows), interpolation=cv2.INTER_AREA)
    covered = cv2.resize(window.seen.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA) > 0.999
    behind = np.where(covered[:, :, None], detail, behind)
    return np.asarray(np.where((whole | covered)[:, :, None], behind, 255), np.uint8)


def _in_words(crack: Crack) -> str:
    """Mean width; a sign before it says that it is too narrow to be seen."""
    return f"{'<' if crack.below_gsd else ''}{crack.width_mean:.{1 if crack.width_mean < 20 else 0}f}"


def _reduced_scale(scale: GroundScale, factor: int) -> GroundScale:
    grow = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1.0]])
    return replace(scale, matrix=scale.matrix @ grow)
