"""Paint the road of a block: surface, wear, repairs, markings, cracks."""

from __future__ import annotations

import cv2
import numpy as np

from fissura.synth.aerial.block import CRACK, ROAD, Block, blend, scaled
from fissura.synth.aerial.grid import FloatField, fill, fill_polygon
from fissura.synth.aerial.layout import has_pavement
from fissura.synth.aerial.world import RoadDetail
from fissura.synth.cracks import CrackVector, coverage_map, crack_mask


def paint_road(block: Block) -> None:
    """Surface with its wear, markings, cracks; sets the road and crack bits."""
    world = block.world
    if world.carriageway.is_empty or not block.touches(world.carriageway):
        return
    canvas = fill(block.grid, world.carriageway)
    if not canvas.any():
        return
    cover = scaled(canvas)
    if block.grid.gsd_m < 0.05:  # Stones come loose at the edge, grass grows in.
        cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.035 / block.grid.gsd_m), np.float32)
        edge = (cover > 0.02) & (cover < 0.98)
        ragged = np.float32(0.03 if has_pavement(world.options) else 0.22)
        cover[edge] += (ragged * block.bank.mix(6, ((0.05, 0.7), (0.15, 0.7))))[edge]
        cover = np.clip((cover - 0.5) * np.float32(2.5) + 0.5, 0.0, 1.0)
    tone = np.ones(block.grid.hw, np.float32)
    soft = np.zeros(block.coarse.hw, np.float32)
    for detail in world.details:
        _wear(block, detail, soft, tone)
    tone *= 1.0 + block.enlarge(soft)
    surface = world.surface.paint(block.bank, channel=80)
    surface *= tone[..., None]
    blend(block.image, surface, cover)
    block.labels[cover >= 0.5] |= np.uint8(ROAD)
    _paint_markings(block)
    _paint_cracks(block)


def _wear(block: Block, detail: RoadDetail, soft: FloatField, tone: FloatField) -> None:
    """Tyre tracks and stains into ``soft`` (coarse, added), patches and seams into ``tone`` (a factor)."""
    west, south, east, north = block.grid.bounds(2.0)
    for points, half_m, change in detail.tracks:
        near = ((points > (west - 4, south - 4)) & (points < (east + 4, north + 4))).all(axis=1)
        index = np.flatnonzero(near)
        if not len(index):
            continue
        line = block.coarse.pixels(points[max(index[0] - 1, 0) : index[-1] + 2])
        canvas = np.zeros(block.coarse.hw, np.float32)
        thickness = max(round(2 * half_m / block.coarse.gsd_m), 1)
        cv2.polylines(canvas, [np.rint(line).astype(np.int32)], False, 1.0, thickness)
        soft += np.float32(change) * cv2.GaussianBlur(canvas, (0, 0), max(0.18 / block.coarse.gsd_m, 0.5))
    for patch in detail.patches:
        low, high = patch.corners_en.min(axis=0), patch.corners_en.max(axis=0)
        if low[0] > east or high[0] < west or low[1] > north or high[1] < south:
            continue
        grid, target = (block.coarse, soft) if patch.soft_m else (block.grid, tone)
        stroke = np.zeros(grid.hw, np.uint8)
        fill_polygon(grid, patch.corners_en, stroke)
        if patch.soft_m:
            blurred = cv2.GaussianBlur(scaled(stroke), (0, 0), max(patch.soft_m / grid.gsd_m, 0.5))
            target += np.float32(patch.tone - 1.0) * blurred
        else:
            target *= 1.0 + np.float32(patch.tone - 1.0) * scaled(stroke)
    for shape, depth in detail.seams:
        if block.touches(shape):
            tone *= 1.0 - np.float32(depth) * scaled(fill(block.grid, shape))


def _paint_markings(block: Block) -> None:
    for marking in block.world.markings:
        if not block.touches(marking.shape):
            continue
        canvas = fill(block.grid, marking.shape)
        if not canvas.any():
            continue
        worn = block.bank.mix(7, ((0.03, 0.4), (0.12, 0.6), (0.7, 0.6), (4.0, 0.5)))
        left = np.clip(1.1 - marking.wear * (0.9 + 0.9 * worn), 0.0, 1.0)
        cover = scaled(canvas) * left * ((block.labels & ROAD) > 0)
        grain = 1.0 + 0.5 * block.bank.mix(8, ((0.012, 0.06), (0.2, 0.04)))
        blend(block.image, np.asarray(grain[..., None] * np.array(marking.colour, np.float32), np.float32), cover)


def _paint_cracks(block: Block) -> None:
    vectors = _cracks_in_pixels(block)
    if not vectors:
        return
    cover = coverage_map(vectors, block.grid.hw, 1.0)
    depth = np.clip(0.78 + 0.09 * block.bank.field(9, 0.5), 0.45, 0.95)
    rim = cv2.GaussianBlur(cover, (0, 0), 1.2)
    image = block.image
    image *= (1.0 - 0.10 * rim - 0.90 * depth * cover)[..., None]
    block.labels[crack_mask(vectors, cover, 1.0)] |= np.uint8(CRACK)


def _cracks_in_pixels(block: Block) -> list[CrackVector]:
    """The block's cracks with (row, column) and widths in pixels, outer corner of pixel (0, 0) at the origin."""
    grid = block.grid
    scale = 1.0 / (1000.0 * grid.gsd_m)
    return [
        CrackVector(np.ascontiguousarray(grid.pixels(c.points_en)[:, ::-1] + 0.5), c.width_mm * scale)
        for c in block.world.cracks_within(grid.bounds(grid.gsd_m))
    ]
