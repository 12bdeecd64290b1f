"""Tree crowns from above."""

from __future__ import annotations

import cv2
import numpy as np

from fissura.synth.aerial.block import HIDDEN, ROAD, Block, around, within
from fissura.synth.aerial.grid import FloatField


def paint_canopy(block: Block) -> None:
    """Tree crowns: lumps of leaves lit from the sun's side, dark between the crowns, ragged at the rim."""
    trees, grid = block.world.landscape.trees, block.coarse
    if not len(trees.radius_m):
        return
    index = within(grid, trees.centre_en, trees.radius_m + 1.5)
    if not len(index):
        return
    inside = np.full(grid.hw, -9.0, np.float32)  # Metres inside the rim of the topmost crown.
    top = np.zeros(grid.hw, np.float32)
    colour = np.zeros((*grid.hw, 3), np.float32)
    for i in index:
        radius = float(trees.radius_m[i])
        view = around(grid, trees.centre_en[i], radius + 1.2)
        if view is None:
            continue
        rows, columns, east, north = view
        distance = np.sqrt(east**2 + north**2)
        rim = radius - distance
        dome = trees.height_m[i] - 0.7 * distance**2 / radius
        # A crown wins where it is higher; outside all crowns the nearest rim counts.
        wins = np.where(rim > 0, dome > top[rows, columns], (inside[rows, columns] < 0) & (rim > inside[rows, columns]))
        inside[rows, columns][wins] = rim[wins]
        colour[rows, columns][wins] = trees.colour[i]
        top[rows, columns][wins & (rim > 0)] = dome[wins & (rim > 0)]
    _shade_canopy(block, inside, top, colour)


def _shade_canopy(block: Block, inside: FloatField, top: FloatField, colour: FloatField) -> None:
    bank, sun = block.bank, np.array(block.world.sun.shadow_en)
    rim = block.enlarge(inside)
    ragged = bank.mix(21, ((0.12, 0.16), (0.4, 0.22), (1.3, 0.30)))
    cover = np.clip(0.5 + (rim + ragged) / np.float32(0.12), 0.0, 1.0)
    if not cover.any():
        return
    light = np.full(cover.shape, 0.80, np.float32)
    for scale, strength in ((1.1, 0.20), (0.38, 0.20), (0.14, 0.18)):
        step = 0.22 * scale * sun
        towards = bank.sample(22, scale, (-float(step[0]), -float(step[1])))
        away = bank.sample(22, scale, (float(step[0]), float(step[1])))
        # Lumps fall off towards the sun's side: lit there, dark behind.
        light += np.float32(strength) * (away - towards)
    dome = cv2.GaussianBlur(top, (0, 0), max(0.25 / block.coarse.gsd_m, 0.5))
    slope = block.coarse.axes().T @ (sun / max(0.3 / block.coarse.gsd_m, 1.0) * 0.3 / block.coarse.gsd_m)
    shift = np.array([[1, 0, slope[0]], [0, 1, slope[1]]], np.float64)
    size = (dome.shape[1], dome.shape[0])
    shifted = cv2.warpAffine(dome, shift, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    light += block.enlarge(np.clip((dome - shifted) * np.float32(0.9), -0.45, 0.35))
    light *= np.clip(0.62 + 0.5 * rim, 0.45, 1.0)  # Little light between crowns.
    leaves = bank.field(23, 0.06)
    light *= 1.0 + 0.22 * leaves
    gaps = bank.mix(24, ((0.10, 0.7), (0.3, 0.7)))
    light *= np.clip(1.25 + 0.5 * gaps, 0.35, 1.0)
    light = np.clip(light, 0.10, 1.7)
    tint = np.dstack([block.enlarge(np.ascontiguousarray(colour[..., k])) for k in range(3)])
    # Sunlit leaves are yellower, shaded ones bluer.
    warm = (light - 0.8) * np.float32(0.10)
    picture = np.dstack([tint[..., 0] * light * (1 + warm), tint[..., 1] * light, tint[..., 2] * light * (1 - warm)])
    block.image[...] = cv2.blendLinear(np.ascontiguousarray(picture), block.image, cover, 1.0 - cover)
    block.labels[cover >= 0.5] = (block.labels[cover >= 0.5] & np.uint8(255 - ROAD)) | np.uint8(HIDDEN)
