"""Shadows that houses and trees throw on the ground."""

from __future__ import annotations

import cv2
import numpy as np
import shapely

from fissura.synth.aerial.block import Block, around, near, within
from fissura.synth.aerial.grid import FloatField, Points, fill_polygon


def paint_shadows(block: Block) -> None:
    """Shadows of houses and crowns, with soft edges; crowns let some light through."""
    world, sun = block.world, block.world.sun
    if min(sun.left) > 0.98:
        return
    coarse = block.coarse
    hard = np.zeros(coarse.hw, np.uint8)
    ray = np.array(sun.shadow_en) * sun.length
    for house in world.landscape.houses:
        if near(block, house.centre_en, sum(house.size_m) + house.height_m * sun.length):
            base = house.corners()
            hull = shapely.MultiPoint(np.concatenate([base, base + ray * house.height_m])).convex_hull
            fill_polygon(coarse, np.asarray(hull.exterior.coords)[:, :2], hard)
    dark = cv2.GaussianBlur(hard.astype(np.float32) / 255.0, (0, 0), max(0.12 / coarse.gsd_m, 0.5))
    cover = block.enlarge(dark)
    inside = _crown_shadow(block, ray)
    if inside is not None:
        ragged = block.bank.mix(20, ((0.12, 0.14), (0.35, 0.30), (1.0, 0.30)))
        crown = np.clip(0.5 + (block.enlarge(inside) - 0.15 + ragged) / np.float32(0.22), 0.0, 0.96)
        cover = np.maximum(cover, crown)
    if not cover.any():
        return
    keep = np.array(sun.left, np.float32)
    image = block.image
    image *= 1.0 - cover[..., None] * (1.0 - keep)


def _crown_shadow(block: Block, ray: Points) -> FloatField | None:
    """How far inside a crown's shadow each coarse pixel lies, metres; None where no crown throws one."""
    trees, grid = block.world.landscape.trees, block.coarse
    if not len(trees.radius_m):
        return None
    middle = trees.centre_en + ray * (0.62 * trees.height_m)[:, None]
    reach = trees.radius_m + np.linalg.norm(ray) * 0.4 * trees.height_m + 1.0
    out = np.full(grid.hw, -9.0, np.float32)
    index = within(grid, middle, reach)
    for i in index:
        half = ray * (0.24 * trees.height_m[i])
        view = around(grid, middle[i], float(reach[i]))
        if view is None:
            continue
        rows, columns, east, north = view
        # Distance to the segment that the crown's middle throws.
        u = np.clip((east * half[0] + north * half[1]) / max(float(half @ half), 1e-9), -1.0, 1.0)
        distance = np.sqrt((east - u * half[0]) ** 2 + (north - u * half[1]) ** 2)
        window = out[rows, columns]
        np.maximum(window, np.float32(trees.radius_m[i] * 0.92) - distance, out=window, casting="same_kind")
    return out if len(index) else None
