"""Vehicles: where they stand, how they drive, and the coloured polygons they are drawn with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from fissura.synth.aerial.grid import FloatField, Points, fixed_point
from fissura.synth.aerial.model import House, Road, Sun, Vehicle, WorldOptions

_COLOURS = [(0.92, 0.92, 0.92), (0.75, 0.76, 0.78), (0.12, 0.12, 0.13), (0.35, 0.36, 0.38), (0.62, 0.10, 0.10),
            (0.12, 0.22, 0.45), (0.55, 0.50, 0.42), (0.20, 0.32, 0.25), (0.85, 0.65, 0.12)]  # fmt: skip
_GLASS = (0.08, 0.10, 0.13)


@dataclass(frozen=True, eq=False)
class Part:
    """A polygon of one colour, or a shadow: ``factor`` is the light it leaves.

    ``hides`` marks the part that covers the ground.
    """

    corners_en: Points
    colour: tuple[float, ...] | None = None
    factor: tuple[float, ...] = (1.0, 1.0, 1.0)
    hides: bool = False

    def over(self, light: FloatField, full: float = 1.0) -> FloatField:
        """What the part makes of the light under it, where ``full`` is white."""
        if self.colour is None:
            return np.asarray(light * np.asarray(self.factor, np.float32), np.float32)
        return np.broadcast_to(np.asarray(self.colour, np.float32) * np.float32(full), light.shape)


@dataclass(frozen=True, eq=False)
class MovingVehicle:
    """A vehicle on its way.

    Attributes:
        vehicle: Size and colour.
        road: What it drives on.
        start_m: Station at time 0.
        offset_m: Right of the centreline.
        speed_m_s: Along the centreline; negative drives against its direction.
    """

    vehicle: Vehicle
    road: Road
    start_m: float
    offset_m: float
    speed_m_s: float

    def at(self, time_s: float) -> Vehicle | None:
        """The vehicle at a time, or None where it has left its road."""
        s = self.start_m + self.speed_m_s * time_s
        half = self.vehicle.size_m[0] / 2 + 1.0
        if not half < s < self.road.length_m - half:
            return None
        before, here, after = self.road.place([s - 0.5, s, s + 0.5], self.offset_m)
        ahead = (after - before) * np.sign(self.speed_m_s or 1.0)
        heading = float(np.rad2deg(np.arctan2(ahead[0], ahead[1])))
        return replace(self.vehicle, centre_en=(float(here[0]), float(here[1])), heading_deg=heading)


def plan_vehicles(rng: np.random.Generator, options: WorldOptions, roads: tuple[Road, ...]) -> tuple[Vehicle, ...]:
    """Vehicles in their lanes, right-hand traffic, without overlaps."""
    out: list[Vehicle] = []
    for moving in plan_traffic(rng, roads, options.vehicles, (0.0, 0.0)):
        vehicle = moving.at(0.0)
        if vehicle is None:
            continue
        turned = vehicle.heading_deg + float(rng.normal(0, 1.0))
        if not moving.road.one_way and moving.offset_m < 0:
            turned += 180.0
        near = [
            np.hypot(*np.subtract(v.centre_en, vehicle.centre_en)) - (v.size_m[0] + vehicle.size_m[0]) / 2 for v in out
        ]
        if min(near, default=np.inf) > 1.0:
            out.append(replace(vehicle, heading_deg=turned))
    return tuple(out)


def park_beside(rng: np.random.Generator, house: House) -> list[Vehicle]:
    """Cars in a row along one long side of a hall, some places empty."""
    frame = house.frame()
    side = rng.choice([-1.0, 1.0]) * (house.size_m[1] / 2 + 3.0)
    out = []
    for along in np.arange(-house.size_m[0] / 2 + 2.0, house.size_m[0] / 2 - 2.0, 2.8):
        if rng.random() < 0.5:
            place = (
                np.array(house.centre_en) + np.array([along + rng.normal(0, 0.1), side + rng.normal(0, 0.2)]) @ frame
            )
            heading = house.turn_deg + 90.0 * rng.choice([-1, 1]) + rng.normal(0, 2)
            colour = _COLOURS[int(rng.integers(len(_COLOURS)))]
            size = (float(rng.uniform(3.7, 5.0)), float(rng.uniform(1.65, 1.95)))
            out.append(Vehicle((float(place[0]), float(place[1])), float(heading), size, colour))
    return out


def plan_traffic(
    rng: np.random.Generator, roads: tuple[Road, ...], per_100_m: float, speed_m_s: tuple[float, float]
) -> tuple[MovingVehicle, ...]:
    """Moving vehicles spread over the roads; on two-way roads those on the left drive against the centreline."""
    out = []
    for road in roads:
        for _ in range(rng.poisson(per_100_m * road.length_m / 100.0)):
            lane = int(rng.integers(road.lanes))
            offset = (lane + 0.5) / road.lanes * road.width_m - road.width_m / 2 + float(rng.normal(0, 0.15))
            truck = bool(rng.random() < 0.15 and road.lanes > 1)
            size = (rng.uniform(6.5, 16.0), 2.5) if truck else (rng.uniform(3.7, 5.0), rng.uniform(1.65, 1.95))
            colour = _COLOURS[int(rng.integers(len(_COLOURS)))]
            vehicle = Vehicle((0.0, 0.0), 0.0, (float(size[0]), float(size[1])), colour, truck)
            sign = -1.0 if offset < 0 and not road.one_way else 1.0
            speed = sign * float(rng.uniform(*speed_m_s))
            out.append(MovingVehicle(vehicle, road, float(rng.uniform(0, road.length_m)), offset, speed))
    return tuple(out)


def vehicle_parts(vehicle: Vehicle, sun: Sun) -> list[Part]:
    """Shadow, body, windows and lamps, in the order they are drawn."""
    height = 3.2 if vehicle.truck else 1.35
    body = _rounded(vehicle, (0, 1), 1.0, 0.35)
    thrown = body + np.array(sun.shadow_en) * sun.length * height
    hull = shapely.MultiPoint(np.concatenate([body, thrown])).convex_hull
    c = np.array(vehicle.colour)
    parts = [
        Part(np.asarray(hull.exterior.coords)[:-1, :2], factor=sun.left),
        Part(_rounded(vehicle, (-0.01, 1.01), 1.06, 0.35), (0.07, 0.07, 0.08), hides=True),
        Part(body, tuple(c * 0.92)),
    ]
    if vehicle.truck:
        return [
            *parts,
            Part(_rounded(vehicle, (0.0, 0.78), 1.0, 0.05), tuple(np.clip(c * 0.4 + 0.5, 0, 1))),
            Part(_rounded(vehicle, (0.78, 0.80), 0.9, 0.05), (0.10, 0.10, 0.10)),
            Part(_rounded(vehicle, (0.95, 0.985), 0.85, 0.05), _GLASS),
        ]
    return [
        *parts,
        Part(_rounded(vehicle, (0.14, 0.70), 0.90, 0.25), _GLASS),
        Part(_rounded(vehicle, (0.22, 0.57), 0.80, 0.2), tuple(np.clip(c * 1.12, 0, 1))),
        Part(_rounded(vehicle, (0.02, 0.04), 0.8, 0.02), (0.50, 0.20, 0.18)),
        Part(_rounded(vehicle, (0.965, 0.985), 0.8, 0.02), (0.80, 0.80, 0.78)),
    ]


def _rounded(vehicle: Vehicle, length: tuple[float, float], width: float, round_m: float) -> Points:
    """A part between two shares of the length (0 rear, 1 front) with round corners, in ground metres."""
    full, wide = vehicle.size_m
    u0, u1, v = (length[0] - 0.5) * full, (length[1] - 0.5) * full, width * wide / 2
    r = min(round_m, (u1 - u0) / 2, v)
    angle = np.linspace(0, np.pi / 2, 4)
    middles = [(u1 - r, v - r), (u0 + r, v - r), (u0 + r, r - v), (u1 - r, r - v)]
    local = np.concatenate([
        np.stack([cu + r * np.cos(angle + q * np.pi / 2), cv + r * np.sin(angle + q * np.pi / 2)], axis=1)
        for q, (cu, cv) in enumerate(middles)
    ])  # fmt: skip
    a = np.deg2rad(vehicle.heading_deg)
    axes = np.array([[np.sin(a), np.cos(a)], [np.cos(a), -np.sin(a)]])
    return np.asarray(np.array(vehicle.centre_en) + local @ axes, np.float64)


def part_cover(corners_xy: Points, hw: tuple[int, int]) -> tuple[tuple[slice, slice], npt.NDArray[np.float32]] | None:
    """Window of a raster that a polygon (x, y) touches, and its coverage there, 0 to 1; None outside."""
    low = np.maximum(np.floor(corners_xy.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(corners_xy.max(axis=0)).astype(int) + 3, (hw[1], hw[0]))
    if (low >= high).any():
        return None
    canvas = np.zeros((int(high[1] - low[1]), int(high[0] - low[0])), np.uint8)
    cv2.fillPoly(canvas, [fixed_point(corners_xy - low)], 255, cv2.LINE_AA, 4)
    window = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
    return window, canvas.astype(np.float32) * np.float32(1 / 255)
