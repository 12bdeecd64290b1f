"""The plane on which slices are planned: the frame itself, or the ground under an oblique view."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.geo.homography import transform
from fissura.road.direction import direction_at, orientation_field
from fissura.road.model import Road
from fissura.road.slices import Matrix
from fissura.types import BoolMask, FloatArray

Floats = npt.NDArray[np.float64]
_GROUND_CELLS = 640
"""Cells along the longer side of a top view."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """Road cells to cover, as squares on a plane.

    Attributes:
        centres: Shape (N, 2), middles (x, y) of the cells, sorted by y.
        cell: Sides of a cell (x, y).
        ups: Shape (N, 2), unit vectors (x, y) along the road at each cell, as much up the frame as down.
        per_frame_px: Frame pixels per unit of the plane (at the middle of the road).
        frame_from_canvas: Homography from the plane's (x, y) to the frame's.
        oblique: The plane is the ground and not the frame.
    """

    centres: Floats
    cell: tuple[float, float]
    ups: Floats
    per_frame_px: float
    frame_from_canvas: Matrix
    oblique: bool

    def half_along(self, up: npt.ArrayLike) -> float:
        """Half extent of a cell along (and, nearly square as it is, across) a direction: never too little."""
        x, y = np.abs(np.asarray(up, dtype=np.float64))
        a, b = self.cell
        return 0.5 * float(max(x * a + y * b, y * a + x * b))


def frame_canvas(road: Road, cells: BoolMask, finest: float) -> Canvas:
    """Cells of a vertical view in frame pixels; split until none is larger than `finest` pixels."""
    (height, width), (h, w) = road.size_hw, cells.shape
    split = max(int(np.ceil(max(height / h, width / w) / max(finest, 1.0))), 1)
    if split > 1:
        cells = np.repeat(np.repeat(cells, split, axis=0), split, axis=1)
        h, w = cells.shape
    index = np.argwhere(cells)
    size = np.array([width / w, height / h])
    centres = (index[:, ::-1] + 0.5) * size - 0.5
    angles = np.radians(_known(road.direction_at(centres[:, ::-1]), road))
    ups = np.column_stack([np.cos(angles), -np.sin(angles)])
    return Canvas(centres, (float(size[0]), float(size[1])), ups, 1.0, np.eye(3), False)


def ground_canvas(road: Road, cells: BoolMask, ground: FloatArray) -> Canvas:
    """Cells of the ground under an oblique view, y downwards (the second ground axis is turned where needed)."""
    to_ground = np.asarray(ground, dtype=np.float64)
    if to_ground.shape != (3, 3) or not np.isfinite(to_ground).all() or abs(np.linalg.det(to_ground)) < 1e-30:
        raise GeometryError(f"ground has the shape {to_ground.shape}; needed is an invertible homography 3x3")
    (height, width), (h, w) = road.size_hw, cells.shape
    cell_frame = np.array([[width / w, 0, width / w / 2 - 0.5], [0, height / h, height / h / 2 - 0.5], [0, 0, 1]])
    index = np.argwhere(cells)[:, ::-1].astype(np.float64)
    to_plane = _facing(to_ground @ cell_frame, index)
    offsets = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [0.0, 0.0]])
    seen = transform(to_plane, (index[:, None] + offsets).reshape(-1, 2))
    low, high = seen.min(axis=0), seen.max(axis=0)
    step = float((high - low).max()) / _GROUND_CELLS
    top = np.array([[1 / step, 0, -low[0] / step + 2], [0, 1 / step, -low[1] / step + 2], [0, 0, 1]]) @ to_plane
    size_wh = (int((high[0] - low[0]) / step) + 5, int((high[1] - low[1]) / step) + 5)
    mask = cv2.dilate(cells.view(np.uint8), np.ones((3, 3), np.uint8))
    view = cv2.warpPerspective(mask, top, size_wh, flags=cv2.INTER_NEAREST) > 0
    # Far away several frame cells fall on one cell of ground; none may be lost.
    for corner in offsets:
        at = np.clip(np.round(transform(top, index + corner)).astype(int), 0, np.array(size_wh) - 1)
        view[at[:, 1], at[:, 0]] = True
    road_view = cv2.warpPerspective(road.mask.view(np.uint8), top, size_wh, flags=cv2.INTER_NEAREST) > 0
    points = np.argwhere(view)
    centres = points[:, ::-1].astype(np.float64)
    angles = np.radians(
        np.nan_to_num(direction_at(orientation_field(road_view), view.shape, points.astype(np.float64)), nan=90.0)
    )
    ups = np.column_stack([np.cos(angles), -np.sin(angles)])
    frame_from_canvas = cell_frame @ np.linalg.inv(top)
    middle = transform(frame_from_canvas, centres[[len(centres) // 2]] + [[0, 0], [1, 0], [0, 1]])
    area = abs(np.linalg.det(middle[1:] - middle[0]))
    return Canvas(centres, (1.0, 1.0), ups, float(np.sqrt(area)), frame_from_canvas, True)


def _facing(to_ground: Matrix, index: Floats) -> Matrix:
    """The ground with y downwards if it was upwards, so that slices are no mirror images."""
    middle = index.mean(axis=0)
    a, b, c = transform(to_ground, middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    mirrored = np.linalg.det(np.array([b - a, c - a])) < 0
    return np.diag([1.0, -1.0, 1.0]) @ to_ground if mirrored else to_ground


def _known(angles: Floats, road: Road) -> Floats:
    return np.nan_to_num(angles, nan=90.0 if road.direction_deg is None else road.direction_deg)
