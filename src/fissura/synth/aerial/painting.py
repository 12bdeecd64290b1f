"""Paint one block of ground: land, road, markings, cracks, vehicles, shadows, roofs, crowns, in this order.

A block is a few megapixels at most; `fissura.synth.aerial.ground` puts blocks together.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from fissura.synth.aerial.block import CRACK, HIDDEN, Block, blend, covered_window, scaled
from fissura.synth.aerial.canopy import paint_canopy
from fissura.synth.aerial.grid import FloatField, Grid, fill
from fissura.synth.aerial.model import Area
from fissura.synth.aerial.noise import Window
from fissura.synth.aerial.objects import paint_houses, paint_vehicles
from fissura.synth.aerial.roadway import paint_road
from fissura.synth.aerial.shadows import paint_shadows
from fissura.synth.aerial.world import AerialWorld
from fissura.types import RgbImage


def paint_block(world: AerialWorld, grid: Grid) -> tuple[RgbImage, npt.NDArray[np.uint8]]:
    """Picture (H, W, 3) and label bits (H, W) of the ground under a grid, in even light, without a camera."""
    block = Block.open(world, grid)
    _paint_land(block)
    paint_road(block)
    paint_vehicles(block)
    paint_shadows(block)
    paint_houses(block)
    paint_canopy(block)
    labels = block.labels
    labels[(labels & HIDDEN) > 0] &= np.uint8(255 - CRACK)
    rgb = cv2.convertScaleAbs(np.maximum(block.image, 0.0), alpha=255.0)
    return np.asarray(rgb, np.uint8), labels


def _paint_land(block: Block) -> None:
    west, south, east, north = block.grid.bounds(1.5)
    box = shapely.box(west, south, east, north)
    areas = [a for a in block.world.landscape.areas if block.touches(a.shape, 1.5)]
    hidden = [i for i, a in enumerate(areas) if shapely.contains(a.shape, box)]
    for i, area in enumerate(areas):
        if hidden and i < hidden[-1]:
            continue  # A later parcel covers the whole block.
        _paint_area(block, area, whole=bool(hidden) and i == hidden[-1])


def _paint_area(block: Block, area: Area, *, whole: bool) -> None:
    material = block.world.materials[area.material]
    cover, window = None, (slice(0, block.grid.hw[0]), slice(0, block.grid.hw[1]))
    if not whole:
        cover = _natural_cover(block, area.shape) if area.natural else scaled(fill(block.grid, area.shape))
        found = covered_window(cover)
        if found is None:
            return
        window = found
    # All land shares its noise: a block asks for each field once.
    colour = material.paint(block.bank, tone=area.tone, window=window)
    if area.rows_deg is not None:
        _add_rows(block, colour, window, area.rows_deg, *material.rows_m)
    if cover is None:
        block.image[window] = colour
    else:
        blend(block.image[window], colour, np.ascontiguousarray(cover[window]))


def _natural_cover(block: Block, shape: Any) -> FloatField:
    """A polygon with ragged, overgrown borders, 0 to 1."""
    soft = fill(block.coarse, shape).astype(np.float32)
    soft = cv2.GaussianBlur(soft, (0, 0), max(0.2 / block.coarse.gsd_m, 0.5))
    cover = block.enlarge(soft) * np.float32(5.0 / 255)
    cover += block.bank.mix(3, ((0.07, 0.35), (0.25, 0.7), (0.8, 0.6))) - np.float32(2.0)
    # Far from the border the noise must not open holes.
    inside = block.enlarge(soft)
    np.copyto(cover, 1.0, where=inside > 253)
    np.copyto(cover, 0.0, where=inside < 2)
    return np.clip(cover, 0.0, 1.0, out=cover)


def _add_rows(
    block: Block, colour: FloatField, window: Window, rows_deg: float, spacing_m: float, contrast: float
) -> None:
    """Furrows or mowing stripes along a direction; they fade where a pixel is as large as their distance."""
    contrast *= float(np.clip(spacing_m / block.grid.gsd_m / 3.0 - 0.6, 0.0, 1.0))
    if contrast <= 0:
        return
    a = np.deg2rad(rows_deg)
    across = np.array([np.cos(a), -np.sin(a)]) @ block.grid.ground_from_pixel()[:2] * (2 * np.pi / spacing_m)
    rows, columns = window
    phase = (across[1] * np.arange(rows.start, rows.stop) + across[2])[:, None]
    phase = phase + (across[0] * np.arange(columns.start, columns.stop))[None, :]
    wave = np.cos(phase.astype(np.float32) + 0.6 * block.bank.field(4, 3.0)[window])
    colour *= (1.0 + np.float32(contrast) * wave * (0.8 + 0.3 * block.bank.field(5, 0.6)[window]))[..., None]
