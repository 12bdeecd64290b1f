"""Polygons of a crack mask that give the mask back when they are filled, for the formats of labelling tools.

Tools fill polygons in two ways. COCO's and CVAT's take a pixel if its centre, at (column + 0.5, row + 0.5), is inside;
with OpenCV and Pillow corners are cut to whole pixels and the border is drawn, too. The polygons run through the
outermost pixels 0.4 from their centres, so that both ways find the same pixels, of a crack one pixel wide as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.types import BoolMask

Ring = npt.NDArray[np.float64]
"""Shape (N >= 3, 2), (x, y) in pixels, the upper left corner of the picture at (0, 0); not closed."""

_MARGIN_PX = 0.4
"""Half a pixel would let outlines meet at their corners; the diagonal neighbours' centres are 0.7 away."""
_STRAIGHTEN_PX = 0.15
_CUT_RIGHT_PX, _CUT_LEFT_PX = 0.3, -0.1


def find_outlines(mask: BoolMask) -> Iterator[list[Ring]]:
    """Polygons of each connected crack, from the top of the picture.

    Polygons have no holes, since not all formats know them: a crack that encloses ground is cut through into several.

    Args:
        mask: Crack pixels, shape (H, W).
    Yields:
        The polygons of one crack (pixels that touch, diagonally too): filled together they are its pixels.
    """
    contours, links = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if links is None:
        return
    holes: dict[int, list[Any]] = {}
    for contour, link in zip(contours, links[0], strict=True):
        if link[3] >= 0:
            holes.setdefault(int(link[3]), []).append(contour)
    # OpenCV lists them from the bottom.
    for number in range(len(contours) - 1, -1, -1):
        if links[0][number][3] < 0:
            body = _body(contours[number], holes.get(number, ()))
            yield [_ring(part) for part in _without_holes(body)]


def _body(outer: Any, holes: Sequence[Any]) -> Any:
    """The crack as a shape: contours, which run through pixel centres, widened by the margin, and what they hold."""
    import shapely

    border, inside = _border(outer), _inside(outer)
    body = border if inside is None else border | inside
    if holes:
        open_ground = [shape for shape in map(_inside, holes) if shape is not None]
        body = (body - shapely.union_all(open_ground)) | shapely.union_all([_border(hole) for hole in holes])
    straight = shapely.simplify(body, _STRAIGHTEN_PX)
    return straight if straight.is_valid else body


def _border(contour: Any) -> Any:
    from shapely.geometry import LineString, Point

    points = contour[:, 0, :] + 0.5
    line = Point(points[0]) if len(points) == 1 else LineString([*points, points[0]])
    # Round corners of one step leave no point farther than the margin from a centre, in x or in y.
    return line.buffer(_MARGIN_PX, quad_segs=1, cap_style="square" if len(points) == 1 else "round")


def _inside(contour: Any) -> Any:
    """What a contour encloses; it may run back along itself, where the crack is one pixel wide."""
    import shapely
    from shapely.geometry import Polygon

    if len(contour) < 3:
        return None
    shape = shapely.make_valid(Polygon(contour[:, 0, :] + 0.5))
    parts = [part for part in shapely.get_parts(shapely.get_parts(shape)) if part.geom_type == "Polygon"]
    return shapely.union_all(parts) if parts else None


def _without_holes(shape: Any) -> Iterator[Any]:
    """Polygons without holes; the cuts run upright between the centres of pixels."""
    import shapely

    waiting = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    while waiting:
        part = waiting.pop()
        if not part.interiors:
            yield part
            continue
        # Through the middle one, so that the depth stays small where there are hundreds.
        middles = sorted((ring.bounds[0] + ring.bounds[2]) / 2 for ring in part.interiors)
        column = np.floor(middles[len(middles) // 2])
        left, top, right, bottom = part.bounds
        sides = ((left - 1, column + _CUT_LEFT_PX), (column + _CUT_RIGHT_PX, right + 1))
        for low, high in sides:
            piece = shapely.intersection(part, shapely.box(low, top - 1, high, bottom + 1))
            waiting += [p for p in shapely.get_parts(piece) if p.geom_type == "Polygon" and p.area > 1e-6]


def _ring(part: Any) -> Ring:
    ring: Ring = np.round(np.asarray(part.exterior.coords, np.float64)[:-1], 2)
    return ring
