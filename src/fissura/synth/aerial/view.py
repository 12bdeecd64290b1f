"""`AerialView` and `render_view`: a picture of a world with exact truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.geo.homography import transform
from fissura.synth.aerial.block import HIDDEN, ROAD
from fissura.synth.aerial.camera import AerialCamera
from fissura.synth.aerial.grid import Grid, Matrix, Points, jacobian, local_gsd
from fissura.synth.aerial.ground import Ground, paint_grid
from fissura.synth.aerial.model import Sun, Vehicle
from fissura.synth.aerial.vehicles import part_cover, vehicle_parts
from fissura.synth.aerial.world import AerialWorld
from fissura.synth.cracks import CrackVector, coverage_map, crack_mask
from fissura.types import BoolMask, RgbImage

_BAND_RATIO = 1.45
_SAFE_PX = 3
_LARGEST_WARP_PX = 32767
"""Side from which on OpenCV cannot count the pixels that it warps."""


@dataclass(frozen=True, eq=False)
class AerialView:
    """A picture and its truth.

    Attributes:
        rgb: The picture, (H, W, 3) uint8.
        road: Carriageway to be found, (H, W): with markings, vehicles and shadows on it, without what hangs over it.
        hidden: Ground under crowns, roofs and vehicles, (H, W).
        camera: What took it.
        world: What it shows.
    """

    rgb: RgbImage
    road: BoolMask
    hidden: BoolMask
    camera: AerialCamera
    world: AerialWorld

    def cracks_px(self) -> tuple[CrackVector, ...]:
        """Cracks in the picture: (row, column) and width in pixels, origin at the outer corner of pixel (0, 0)."""
        return project_cracks(self.world, self.camera)

    @cached_property
    def crack_mask(self) -> BoolMask:
        """Visible crack pixels, (H, W), by the rule of `fissura.synth.cracks`, computed in the picture itself."""
        cracks = self.cracks_px()
        hw = self.camera.image_hw
        return np.asarray(crack_mask(cracks, coverage_map(cracks, hw, 1.0), 1.0) & ~self.hidden)

    def road_tangent_deg(self, points_rc: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Direction of the nearest centreline as seen at points (row, column), shape (N,).

        Degrees, 0 to 180, counter-clockwise from the image's right; 90 is upright.

        Raises:
            GeometryError: The points are not (N, 2), or the world has no road.
        """
        points = np.asarray(points_rc, np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise GeometryError(f"points_rc has shape {points.shape}; give (row, column) as (N, 2)")
        if not self.world.roads:
            raise GeometryError("this world has no road (kind 'none'), so there is no direction")
        to_ground = self.camera.ground_from_image()
        ground = transform(to_ground, points[:, ::-1])
        best, along = np.full(len(points), np.inf), np.zeros((len(points), 2))
        for road in self.world.roads:
            tangent, distance = road.nearest(ground)
            closer = distance < best
            along[closer], best[closer] = tangent[closer], distance[closer]
        image = _turn(jacobian(self.camera.image_from_ground(), ground), along)
        return np.asarray(np.rad2deg(np.arctan2(-image[:, 1], image[:, 0])) % 180.0, np.float64)


def render_view(
    world: AerialWorld,
    camera: AerialCamera,
    seed: int = 0,
    *,
    ground: Ground | None = None,
    vehicles: Sequence[Vehicle] = (),
) -> AerialView:
    """What a camera sees of a world.

    Args:
        world: The ground.
        camera: Place, direction and optics.
        seed: Of the sensor's noise.
        ground: `AerialWorld.ground` painted before: many views become cheap warps. It should be as fine as the
            picture's finest pixel. Without it, the ground in sight is painted for this picture alone, beyond the
            extent too.
        vehicles: More of them than those that stand in the world: moving ones at one moment.
    Raises:
        GeometryError: The picture reaches beyond ``ground``.
    """
    matrix = camera.ground_from_image()
    if ground is not None:
        rgb, labels = _from_ground(ground, camera)
    else:
        rgb, labels = _painted(world, camera, matrix)
    draw_vehicles(rgb, camera, vehicles, world.sun, labels)
    rgb = camera.expose(rgb, np.random.default_rng([seed, 5]))
    return AerialView(rgb, np.asarray((labels & ROAD) > 0), np.asarray((labels & HIDDEN) > 0), camera, world)


def project_cracks(world: AerialWorld, camera: AerialCamera) -> tuple[CrackVector, ...]:
    """A world's cracks as a camera sees them, in pixels; widths are those across the crack in the picture."""
    h, w = camera.image_hw
    corners = camera.footprint_en()
    low, high = corners.min(axis=0), corners.max(axis=0)
    matrix = camera.image_from_ground()
    out = []
    for crack in world.cracks_within((float(low[0]), float(low[1]), float(high[0]), float(high[1]))):
        ahead = (np.column_stack([crack.points_en, np.ones(len(crack.points_en))]) @ matrix[2]) > 1e-9
        for run in _runs(ahead):  # What lies behind the camera's horizon is never in the picture.
            points_en = crack.points_en[run]
            xy = transform(matrix, points_en)
            if (xy.max(axis=0) < -2).any() or (xy.min(axis=0) > (w + 1, h + 1)).any():
                continue
            derivative = jacobian(matrix, points_en)
            along = np.gradient(points_en, axis=0)
            along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
            stretch = np.linalg.norm(_turn(derivative, along), axis=1)
            # A strip's area grows by the determinant, its length by the stretch: the width by their ratio.
            widths = crack.width_mm[run] / 1000.0 * np.abs(np.linalg.det(derivative)) / np.maximum(stretch, 1e-12)
            out.append(CrackVector(np.ascontiguousarray(xy[:, ::-1] + 0.5), widths))
    return tuple(out)


def _runs(flags: npt.NDArray[np.bool_]) -> list[slice]:
    """Stretches of at least two true values."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= 2]


def look_down(ground: Ground, camera: AerialCamera, seed: int, vehicles: Sequence[Vehicle] = ()) -> RgbImage:
    """The picture alone, (H, W, 3): what `render_view` gives for a painted ground, without the truth."""
    rgb = _warp(_level(ground, camera), camera.ground_from_image(), camera.image_hw)
    draw_vehicles(rgb, camera, vehicles, ground.world.sun)
    return camera.expose(rgb, np.random.default_rng([seed, 5]))


def draw_vehicles(
    rgb: RgbImage,
    camera: AerialCamera,
    vehicles: Sequence[Vehicle],
    sun: Sun,
    labels: npt.NDArray[np.uint8] | None = None,
) -> None:
    """Draw vehicles into a picture in place, and into its label bits if given."""
    matrix = camera.image_from_ground()
    for vehicle in vehicles:
        for part in vehicle_parts(vehicle, sun):
            ahead = np.column_stack([part.corners_en, np.ones(len(part.corners_en))]) @ matrix[2]
            found = part_cover(transform(matrix, part.corners_en), camera.image_hw) if ahead.min() > 0 else None
            if found is None:
                continue
            window, cover = found
            light = rgb[window].astype(np.float32)
            light += cover[..., None] * (part.over(light, 255.0) - light)
            rgb[window] = np.clip(light + 0.5, 0, 255).astype(np.uint8)
            if part.hides and labels is not None:
                labels[window][cover >= 0.5] |= np.uint8(HIDDEN)


def check_in_ground(ground: Ground, camera: AerialCamera) -> None:
    """Raise GeometryError if a picture reaches beyond the painted ground."""
    xy = ground.grid.pixels(camera.footprint_en())
    h, w = ground.grid.hw
    beyond = max(0.0, float(-xy.min()), float((xy - (w - 1, h - 1)).max())) * ground.grid.gsd_m
    if beyond > 2 * ground.grid.gsd_m:
        west, south, east, north = ground.grid.bounds()
        raise GeometryError(
            f"the camera at ({camera.x_m:.1f}, {camera.y_m:.1f}) sees ground {beyond:.1f} m beyond the painted "
            f"{east - west:.0f} m × {north - south:.0f} m; use a larger extent_m, fly lower or further inside"
        )


def _warp(ground: Ground, to_ground: Matrix, hw: tuple[int, int]) -> RgbImage:
    matrix = ground.grid.pixel_from_ground() @ to_ground
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    size = (hw[1], hw[0])
    rgb = cv2.warpPerspective(ground.rgb, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(rgb, np.uint8)


def _warp_labels(ground: Ground, to_ground: Matrix, hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    # From the finest pixels at any scale: those of `Ground.half` are samples, which do not lie in its pixels' middle.
    matrix = ground.grid.pixel_from_ground() @ to_ground
    corners = transform(matrix, np.array([[0.0, 0.0], [hw[1], 0.0], [hw[1], hw[0]], [0.0, hw[0]]]))
    left, top = (max(int(v) - 2, 0) for v in corners.min(axis=0))
    right, bottom = (max(int(v) + 3, 0) for v in corners.max(axis=0))
    labels = ground.labels[top:bottom, left:right]
    if max(labels.shape) >= _LARGEST_WARP_PX:
        return _warp_labels(ground.half, to_ground, hw)
    matrix[:2] -= np.outer((left, top), matrix[2])
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
    return np.asarray(cv2.warpPerspective(labels, matrix, (hw[1], hw[0]), flags=flags), np.uint8)


def _level(ground: Ground, camera: AerialCamera) -> Ground:
    """The level of a painted ground whose pixels are nearest below the picture's."""
    gsd_mm = float(camera.gsd_mm()[0])
    while gsd_mm > 1.8 * ground.gsd_mm and min(ground.grid.hw) > 64:
        ground = ground.half
    return ground


def _from_ground(ground: Ground, camera: AerialCamera) -> tuple[RgbImage, npt.NDArray[np.uint8]]:
    """One warp each for picture and labels."""
    check_in_ground(ground, camera)
    to_ground = camera.ground_from_image()
    rgb = _warp(_level(ground, camera), to_ground, camera.image_hw)
    return rgb, _warp_labels(ground, to_ground, camera.image_hw)


def _painted(world: AerialWorld, camera: AerialCamera, to_ground: Matrix) -> tuple[RgbImage, npt.NDArray[np.uint8]]:
    """Ground painted for this picture: pixel for pixel straight down, else in bands of nearly equal scale."""
    hw = camera.image_hw
    if camera.pitch_deg == -90.0 and camera.lean_deg == 0.0:
        origin = transform(to_ground, np.zeros((1, 2)))[0]
        gsd = camera.height_m / camera.focal_px
        turn = camera.yaw_deg + camera.roll_deg
        painted = paint_grid(world, Grid((float(origin[0]), float(origin[1])), gsd, hw, turn))
        return painted.rgb, painted.labels
    rgb, labels = np.empty((*hw, 3), np.uint8), np.empty(hw, np.uint8)
    for r0, r1 in _bands(to_ground, hw):
        shift = np.array([[1, 0, 0], [0, 1, r0], [0, 0, 1.0]])
        band = to_ground @ shift
        size = (r1 - r0, hw[1])
        under = _paint_under(world, camera, band, size)
        rgb[r0:r1], labels[r0:r1] = _warp(under, band, size), _warp_labels(under, band, size)
    return rgb, labels


def _turn(derivative: npt.NDArray[np.float64], along: Points) -> Points:
    """Directions through derivatives, (N, 2, 2) and (N, 2) to (N, 2)."""
    return np.asarray((derivative @ along[:, :, None])[:, :, 0], np.float64)


def _bands(to_ground: Matrix, hw: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows from and to, so that the scale changes by at most `_BAND_RATIO` in each."""
    middle = np.column_stack([np.full(hw[0], (hw[1] - 1) / 2), np.arange(hw[0])])
    log = np.log(local_gsd(to_ground, middle))
    step = np.log(_BAND_RATIO)
    level = np.floor((log - log.min()) / step)
    cuts = [0, *(np.flatnonzero(np.diff(level)) + 1).tolist(), hw[0]]
    return list(pairwise(cuts))


def _paint_under(world: AerialWorld, camera: AerialCamera, to_ground: Matrix, hw: tuple[int, int]) -> Ground:
    """Ground under a band of the picture, its upper edge along the camera's heading."""
    h, w = hw
    corners = transform(to_ground, np.array([[-1.0, -1], [w, -1], [w, h], [-1, h]]))
    edge = np.array([[x, y] for x in (0.0, w / 2, w - 1.0) for y in (0.0, h - 1.0)])
    gsd = float(np.sqrt(local_gsd(to_ground, edge).min() * np.median(local_gsd(to_ground, edge))))
    frame = Grid((0.0, 0.0), gsd, (1, 1), camera.yaw_deg)
    xy = frame.pixels(corners)
    low, high = np.floor(xy.min(axis=0)).astype(int) - _SAFE_PX, np.ceil(xy.max(axis=0)).astype(int) + _SAFE_PX
    grid = frame.window(int(low[1]), int(low[0]), (int(high[1] - low[1]), int(high[0] - low[0])))
    return paint_grid(world, grid)


def draw_camera(world: AerialWorld, seed: int, **how: Any) -> AerialCamera:
    """A camera somewhere in a world: over or beside a road where there is one, with any yaw.

    Args:
        world: What it will look at.
        seed: Not negative.
        how: Further fields of `AerialCamera` by name; ``x_m``, ``y_m`` and ``yaw_deg`` are drawn where left out,
            ``height_m`` is 40 m.
    """
    rng = np.random.default_rng([seed, 61])
    extent = np.array(world.extent_m)
    target = rng.uniform(0.3, 0.7, 2) * extent
    if world.roads:
        road = world.roads[int(rng.integers(len(world.roads)))]
        inside = ((road.centre_en > 0.2 * extent) & (road.centre_en < 0.8 * extent)).all(axis=1)
        s = rng.choice(road.stations()[inside] if inside.any() else road.stations())
        target = road.place(float(s), float(rng.normal(0, 5.0)))
    camera = AerialCamera(**({"x_m": 0.0, "y_m": 0.0, "height_m": 40.0, "yaw_deg": float(rng.uniform(0, 360))} | how))
    # What the middle of the picture shows, not what lies below the camera, is what was drawn.
    h, w = camera.image_hw
    middle = transform(camera.ground_from_image(), np.array([[(w - 1) / 2, (h - 1) / 2]]))[0]
    place: dict[str, Any] = {
        "x_m": float(camera.x_m + target[0] - middle[0]),
        "y_m": float(camera.y_m + target[1] - middle[1]),
    }
    return replace(camera, **{name: value for name, value in place.items() if name not in how})
