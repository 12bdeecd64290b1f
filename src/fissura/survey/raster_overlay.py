"""The overlay of a large raster, drawn window by window in the style of `fissura.imaging.crack_overlay`.

It is as large as the raster and lies on the map like it, so there are no labels and no legend: those are in the
report, and the cracks themselves are in the GeoPackage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import cv2
import numpy as np

from fissura.imaging.crack_overlay import OverlayLine, OverlayPlan, Points, draw_rails
from fissura.imaging.overlay_legend import AREA_RGB, Legend
from fissura.imaging.width_scale import WidthScale, plan_width_scale
from fissura.measure.measuring import Measurement, width_per_px
from fissura.types import RgbImage

_LINE_PX = 2.0
"""Pixels of the raster for each unit of line width: lines stay visible when one zooms out a little."""
_REACH_PX = 24


class RasterOverlay:
    """Draws the cracks of a raster into windows of it; what is drawn does not depend on the windows.

    Args:
        found: Cracks of the whole raster.
        widths: Colours; planned from the cracks if left out.
    """

    def __init__(self, found: Measurement, widths: WidthScale | None = None) -> None:
        unit: Literal["mm", "px"] = "px" if found.scale is None else "mm"
        self._lines = list(_lines(found))
        if widths is None:
            each = [line.width for line in self._lines]
            widths = plan_width_scale(np.concatenate([np.empty(0), *each]), unit=unit)
        self.widths = widths
        self._areas = [area.outline_rc for area in found.areas]
        self._boxes = _boxes([line.points_rc for line in self._lines], [line.width_px for line in self._lines])
        self._area_boxes = _boxes(self._areas, [np.zeros(1)] * len(self._areas))

    def draw(self, rgb: RgbImage, top: int, left: int) -> RgbImage:
        """A window of the raster with its cracks.

        Args:
            rgb: Shape (H, W, 3).
            top: Row of the raster of its first row.
            left: Column of its first column.
        """
        grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        canvas: RgbImage = np.asarray(cv2.addWeighted(rgb, 0.42, grey, 0.42, 4.0), np.uint8)
        size_hw, origin = (rgb.shape[0], rgb.shape[1]), np.array([top, left], np.float64)
        for k in _touched(self._area_boxes, top, left, size_hw):
            _draw_area(canvas, self._areas[k] - origin)
        lines = [
            OverlayLine(line.points_rc - origin, line.width_px, line.width, bridged=line.bridged)
            for line in (self._lines[k] for k in _touched(self._boxes, top, left, size_hw))
        ]
        if lines:
            legend = Legend(_LINE_PX, None, None, 0, "", False, False)
            draw_rails(canvas, rgb, lines, OverlayPlan(size_hw, 1, 1, _LINE_PX, legend, None, (), self.widths))
        return canvas


def _lines(found: Measurement) -> Iterator[OverlayLine]:
    for i in found.order:
        branch, measured = found.graph.branches[i], found.widths.branches[i]
        width = measured.width_px * width_per_px(branch.points_rc, found.scale)
        yield OverlayLine(branch.points_rc, measured.width_px, width, bridged=branch.bridged)


def _boxes(lines_rc: Sequence[Points], widths_px: Sequence[Points]) -> Points:
    """Top, left, bottom and right of what is drawn of each line, shape (N, 4)."""
    rows = []
    for points, width in zip(lines_rc, widths_px, strict=True):
        reach = _REACH_PX + float(np.nan_to_num(width).max())
        rows.append(np.concatenate([points.min(axis=0) - reach, points.max(axis=0) + reach]))
    return np.array(rows, np.float64).reshape(-1, 4)


def _touched(boxes: Points, top: int, left: int, size_hw: tuple[int, int]) -> list[int]:
    inside = (boxes[:, 0] < top + size_hw[0]) & (boxes[:, 2] >= top)
    inside &= (boxes[:, 1] < left + size_hw[1]) & (boxes[:, 3] >= left)
    return [int(k) for k in np.flatnonzero(inside)]


def _draw_area(canvas: RgbImage, outline_rc: Points) -> None:
    """An alligator field: a light tint within its outline."""
    outline = np.rint(outline_rc[:, ::-1]).astype(np.int32)
    inside = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(inside, [outline], 255)
    tint = np.empty_like(canvas)
    tint[:] = AREA_RGB
    cv2.copyTo(cv2.addWeighted(tint, 0.15, canvas, 0.85, 0), inside, canvas)
    for rgb, thick in (((12, 12, 16), 8), (AREA_RGB, 4)):
        cv2.polylines(canvas, [outline], True, rgb, thick, cv2.LINE_AA)
