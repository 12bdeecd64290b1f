"""Vehicles and roofs as an orthophoto shows them."""

from __future__ import annotations

import numpy as np

from fissura.synth.aerial.block import HIDDEN, ROAD, Block, around, near
from fissura.synth.aerial.model import House
from fissura.synth.aerial.vehicles import part_cover, vehicle_parts


def paint_vehicles(block: Block) -> None:
    """All vehicles of the world that touch the block."""
    for vehicle in block.world.vehicles:
        if not near(block, vehicle.centre_en, vehicle.size_m[0] + 4.0):
            continue
        for part in vehicle_parts(vehicle, block.world.sun):
            found = part_cover(block.grid.pixels(part.corners_en), block.grid.hw)
            if found is None:
                continue
            window, cover = found
            light = block.image[window]
            light += cover[..., None] * (part.over(light) - light)
            if part.hides:
                block.labels[window][cover >= 0.5] |= np.uint8(HIDDEN)


def paint_houses(block: Block) -> None:
    """Roofs: two slopes in different light with courses of tiles, or a flat roof with a parapet and boxes."""
    for house in block.world.landscape.houses:
        if near(block, house.centre_en, sum(house.size_m)):
            _paint_roof(block, house)


def _paint_roof(block: Block, house: House) -> None:
    grid = block.grid
    view = around(grid, np.array(house.centre_en), float(np.hypot(*house.size_m)) / 2 + 0.5)
    if view is None:
        return
    rows, columns, east, north = view
    a = np.deg2rad(house.turn_deg)
    sin, cos = np.float32(np.sin(a)), np.float32(np.cos(a))
    along, across = east * sin + north * cos, east * cos - north * sin
    half = np.array(house.size_m, np.float32) / 2
    edge = np.minimum(half[0] - np.abs(along), half[1] - np.abs(across)) / np.float32(grid.gsd_m)
    cover = np.clip(edge + 0.5, 0.0, 1.0)
    noise = block.bank.mix(30, ((0.05, 0.03), (0.4, 0.03), (3.0, 0.05)))[rows, columns]
    if house.gable:
        sun = block.world.sun
        facing = -(sun.shadow_en[0] * np.cos(a) - sun.shadow_en[1] * np.sin(a))
        contrast = 0.22 * facing * (1.0 - min(block.world.sun.left))
        light = 1.0 + np.float32(contrast) * np.tanh(across / np.float32(0.05 + grid.gsd_m))
        fade = float(np.clip(house.courses_m / grid.gsd_m / 3 - 0.6, 0, 1))
        light = light * (1.0 + np.float32(0.07 * fade) * np.cos(across * np.float32(2 * np.pi / house.courses_m)))
        light = light * (1.0 + 0.12 * np.exp(-((across / 0.15) ** 2)))
    else:
        parapet = np.clip(1.5 - edge * np.float32(grid.gsd_m / 0.3), 0.0, 1.0)
        light = 1.0 + 0.18 * parapet - 0.10 * np.clip(1.0 - np.abs(along - half[0] / 3) / 0.12, 0, 1)
    colour = (light + noise)[..., None] * np.array(house.colour, np.float32)
    window = block.image[rows, columns]
    window += cover[..., None] * (colour - window)
    labels = block.labels[rows, columns]
    labels[cover >= 0.5] = (labels[cover >= 0.5] & np.uint8(255 - ROAD)) | np.uint8(HIDDEN)
