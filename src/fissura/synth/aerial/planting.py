"""Trees: in woods, alone, in rows along roads and along the borders of parcels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from fissura.synth.aerial.grid import Points
from fissura.synth.aerial.model import House, Road, Trees, WorldOptions

_LEAVES = {
    "tuning": [(0.36, 0.47, 0.20), (0.28, 0.42, 0.17), (0.44, 0.52, 0.22), (0.30, 0.40, 0.24), (0.50, 0.56, 0.22)],
    "fresh": [(0.52, 0.44, 0.18), (0.40, 0.45, 0.26), (0.58, 0.40, 0.20), (0.34, 0.38, 0.22), (0.46, 0.36, 0.30)],
}


def plant(
    rng: np.random.Generator, options: WorldOptions, roads: tuple[Road, ...], planned: Any,
    close: list[Points], houses: list[House], water: Any,
) -> Trees:  # fmt: skip
    """Trees of woods, single ones, and those along the road; none stands on the carriageway, a roof or water."""
    west, south = -options.margin_m, -options.margin_m
    east, north = np.array(options.extent_m) + options.margin_m
    wood = np.concatenate([*close, np.zeros((0, 2))])
    area = (east - west) * (north - south)
    lone = rng.uniform((west, south), (east, north), (rng.poisson(options.trees * area / 260.0), 2))
    row = [r.place(*_row(rng, r)) for r in roads if rng.random() < options.trees * 1.2]
    points = np.concatenate([wood, lone, *row])
    radius = np.concatenate([
        rng.uniform(1.7, 3.6, len(wood)), np.clip(rng.lognormal(np.log(1.7), 0.5, len(lone)), 0.5, 5.0),
        *(rng.uniform(1.6, 3.6) * rng.uniform(0.8, 1.2, len(r)) for r in row),
    ])  # fmt: skip
    keep = np.ones(len(points), bool)
    if not planned.is_empty and len(points):
        clear = shapely.distance(planned, shapely.points(points))
        # A trunk needs its metre; crowns may reach over the road by a share that differs between trees.
        keep &= clear > np.maximum(1.0, radius * rng.uniform(0.35, 1.1, len(points)))
    for blocked in [*(shapely.Polygon(h.corners(1.1)) for h in houses), water]:
        if not blocked.is_empty and len(points):
            keep &= ~shapely.contains_xy(blocked, points)
    points, radius = points[keep], radius[keep]
    height = radius * rng.uniform(1.6, 3.2, len(points)) + 1.0
    order = np.argsort(height)
    leaves = np.array(_LEAVES[options.family])
    stand = leaves[rng.integers(len(leaves), size=2)]  # Two species dominate a place.
    own = leaves[rng.integers(len(leaves), size=len(points))]
    pick = rng.random(len(points))
    colour = np.where((pick < 0.45)[:, None], stand[0], np.where((pick < 0.8)[:, None], stand[1], own))
    colour = colour * rng.normal(1.0, 0.07, (len(points), 1)) * rng.normal(1.0, 0.03, (len(points), 3))
    return Trees(points[order], radius[order], height[order], colour[order].astype(np.float32))


def forest_points(rng: np.random.Generator, cell: Any) -> Points:
    """Places of trees in a wood: a jittered grid."""
    west, south, east, north = cell.bounds
    step = rng.uniform(3.2, 5.0)
    grid = np.stack(np.meshgrid(np.arange(west, east, step), np.arange(south, north, step)), axis=-1).reshape(-1, 2)
    points = grid + rng.uniform(-0.45, 0.45, grid.shape) * step
    return np.asarray(points[shapely.contains_xy(cell, points)], np.float64)


def hedges(rng: np.random.Generator, options: WorldOptions, cells: list[Any]) -> list[Points]:
    """Rows of trees or bushes on borders of parcels: long and straight, and no road."""
    out = []
    for cell in cells:
        if rng.random() < 0.5 * options.trees:
            corners = np.asarray(cell.exterior.coords)
            k = int(rng.integers(len(corners) - 1))
            a, b = corners[k], corners[k + 1]
            count = int(np.linalg.norm(b - a) / rng.uniform(1.8, 3.5))
            u = (np.arange(count) + 0.5)[:, None] / max(count, 1)
            row = a * (1 - u) + b * u + rng.normal(0, 0.3, (count, 2))
            out.append(row[rng.random(count) < 0.9])
    return out


def _row(rng: np.random.Generator, road: Road) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Stations and offsets of a row of trees along one side, or both."""
    step = rng.uniform(5.0, 12.0)
    s = np.arange(rng.uniform(0, step), road.length_m, step)
    s = s[rng.random(len(s)) < 0.85] + 0.0
    t = road.width_m / 2 + rng.uniform(1.3, 4.0) + rng.normal(0, 0.25, len(s))
    side = rng.choice([-1.0, 1.0]) if rng.random() < 0.6 else rng.choice([-1.0, 1.0], len(s))
    return s, t * side
