"""What annotations hold, as one kind of thing for all formats, and how it becomes a mask.

Coordinates are (x, y) in pixels, the upper left corner of the first pixel at (0, 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from fissura.data.labels.rle import MOST_PIXELS
from fissura.errors import DataError
from fissura.imaging.outlines import Ring, find_outlines
from fissura.types import BoolMask

OUTSIDE_PX = 2.0
"""Points may lie so far outside of the picture, as tools draw them; farther means another picture or another size."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A drawn thing.

    Attributes:
        label: Its class.
        kind: ``polygon``: area within ``points``; ``line``: along ``points``; ``mask``: pixels of ``mask``.
        points: Shape (N, 2), (x, y).
        mask: Shape (h, w), for a mask.
        left, top: Where the mask's first pixel lies in the picture.
    """

    label: str
    kind: Literal["polygon", "line", "mask"]
    points: Ring = field(default_factory=lambda: np.zeros((0, 2)))
    mask: BoolMask | None = None
    left: int = 0
    top: int = 0


@dataclass(frozen=True, eq=False)
class Annotation:
    """What a file says of one picture.

    Attributes:
        name: The picture's file name as the file has it, with ``/``.
        size_hw: Height and width it says; None where the format has none.
        shapes: What is drawn.
        ignored: Shapes that are no cracks by their form (boxes, points), by name and number.
        problem: Why it cannot be used; empty if it can.
        embedded: The picture itself, encoded, where the file carries it.
        origin: The annotation file, for messages.
    """

    name: str
    size_hw: tuple[int, int] | None
    shapes: tuple[Shape, ...] = ()
    ignored: tuple[tuple[str, int], ...] = ()
    problem: str = ""
    embedded: bytes | None = None
    origin: str = ""


def draw_shapes(shapes: Iterable[Shape], size_hw: tuple[int, int], *, line_px: float) -> BoolMask:
    """The mask of all shapes together.

    A pixel belongs to a polygon if its centre is inside. A polygon that is narrower than a pixel somewhere would fall
    apart or lose its ends that way: then the pixels along its border are added.

    Args:
        shapes: Of one picture.
        size_hw: Of the picture.
        line_px: Width of lines.
    Raises:
        DataError: A shape reaches out of the picture, or its points are no numbers.
    """
    if size_hw[0] * size_hw[1] > MOST_PIXELS:
        raise DataError(f"{size_hw[1]}x{size_hw[0]} pixels are more than {MOST_PIXELS // 1_000_000} million; cut it up")
    mask = np.zeros(size_hw, np.uint8)
    for shape in shapes:
        if shape.kind == "mask" and shape.mask is not None:
            _paste(mask, shape)
            continue
        _check_points(shape, size_hw)
        if shape.kind == "line":
            _draw_line(mask, shape.points, line_px)
        else:
            _fill(mask, shape.points)
    return np.asarray(mask > 0, np.bool_)


def cut_masks(mask: BoolMask) -> Iterator[tuple[BoolMask, int, int]]:
    """Connected cracks (pixels that touch, diagonally too), each cut out, with left and top."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        left, top, width, height = (int(v) for v in stats[number, :4])
        yield labels[top : top + height, left : left + width] == number, left, top


def cut_polygons(mask: BoolMask, simplify_px: float = 0.0) -> Iterator[list[Ring]]:
    """Polygons of connected cracks; see `fissura.imaging.outlines`.

    Args:
        mask: Crack pixels, shape (H, W).
        simplify_px: Corners nearer than this to the line without them are dropped: easier to edit, less exact.
    """
    for crack in find_outlines(mask):
        yield [_simplify(ring, simplify_px) for ring in crack] if simplify_px > 0 else crack


def _simplify(ring: Ring, tolerance_px: float) -> Ring:
    from shapely.geometry import Polygon

    # With topology kept, a crack thinner than the tolerance stays a polygon of at least three corners.
    coordinates = np.asarray(Polygon(ring).simplify(tolerance_px, preserve_topology=True).exterior.coords, np.float64)
    return coordinates[:-1] if len(coordinates) > 3 else ring


def count_ignored(kinds: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Names and numbers, sorted, for `Annotation.ignored`."""
    return tuple((kind, kinds.count(kind)) for kind in sorted(set(kinds)))


def _paste(mask: npt.NDArray[np.uint8], shape: Shape) -> None:
    assert shape.mask is not None
    height, width = shape.mask.shape
    bottom, right = shape.top + height, shape.left + width
    if shape.top < 0 or shape.left < 0 or bottom > mask.shape[0] or right > mask.shape[1]:
        raise DataError(
            f"a mask of {width}x{height} at ({shape.left}, {shape.top}) reaches out of the picture of "
            f"{mask.shape[1]}x{mask.shape[0]}; the annotation may belong to another picture, or to another size of it"
        )
    mask[shape.top : bottom, shape.left : right] |= shape.mask.astype(np.uint8)


def _check_points(shape: Shape, size_hw: tuple[int, int]) -> None:
    points = shape.points
    least = 3 if shape.kind == "polygon" else 2
    if len(points) < least:
        raise DataError(f"a {shape.kind} has {len(points)} point(s); it needs {least} or more")
    if not np.isfinite(points).all():
        raise DataError(f"a {shape.kind} has a point that is no number")
    height, width = size_hw
    beyond = np.maximum(-points, points - [width, height]).max(axis=1)
    worst = int(beyond.argmax())
    if beyond[worst] > OUTSIDE_PX:
        x, y = points[worst]
        raise DataError(
            f"a {shape.kind} reaches ({x:.0f}, {y:.0f}), out of the picture of {width}x{height}; the annotation may "
            "belong to another picture, or to another size of it"
        )


def _fill(mask: npt.NDArray[np.uint8], points: Ring) -> None:
    from rasterio.features import rasterize

    height, width = mask.shape
    left, top = np.clip(np.floor(points.min(axis=0)).astype(int) - 1, 0, [width - 1, height - 1])
    right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, 1, [width, height])
    box_hw = int(bottom - top), int(right - left)
    local = points - [left, top]
    ring = [*map(tuple, local.tolist()), tuple(local[0].tolist())]
    filled = rasterize([({"type": "Polygon", "coordinates": [ring]}, 1)], box_hw, dtype="uint8")
    border = np.zeros(box_hw, np.uint8)
    corners = np.floor(np.clip(local, 0, np.array(box_hw[::-1]) - 1e-6)).astype(np.int32)
    cv2.polylines(border, [corners], True, 1)
    reached = cv2.dilate(filled, np.ones((3, 3), np.uint8))
    if cv2.connectedComponents(filled, connectivity=8)[0] != 2 or (border > reached).any():
        filled |= border
    mask[top:bottom, left:right] |= filled


def _draw_line(mask: npt.NDArray[np.uint8], points: Ring, line_px: float) -> None:
    if line_px < 2:
        # Pixel (0, 0) reaches from 0 to 1, so its centre is at a half.
        cv2.polylines(mask, [np.floor(points).astype(np.int32)], False, 1)
        return
    import shapely

    outline = shapely.get_parts(shapely.LineString(points).buffer(line_px / 2, cap_style="flat"))
    band = np.zeros_like(mask)
    from rasterio.features import rasterize

    shapes = [(part, 1) for part in outline if not part.is_empty]
    if shapes:
        band = rasterize(shapes, mask.shape, dtype="uint8")
    cv2.polylines(band, [np.floor(points).astype(np.int32)], False, 1)
    mask |= band
