"""`Ground`: a world's extent as one raster with masks, painted in blocks, read by warps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import SettingsError
from fissura.synth.aerial.block import CRACK, ROAD
from fissura.synth.aerial.grid import Grid
from fissura.synth.aerial.painting import paint_block
from fissura.synth.aerial.world import AerialWorld
from fissura.types import BoolMask, RgbImage

_BLOCK_PX = 512
_LARGEST_PX = 400_000_000


@dataclass(frozen=True, eq=False)
class Ground:
    """Painted ground.

    Attributes:
        world: What was painted.
        grid: Where its pixels lie.
        rgb: Reflected light, (H, W, 3) uint8.
        labels: Bits of `fissura.synth.aerial.block`, (H, W) uint8.
    """

    world: AerialWorld
    grid: Grid
    rgb: RgbImage
    labels: npt.NDArray[np.uint8]

    @property
    def gsd_mm(self) -> float:
        """Ground size of one pixel in millimetres."""
        return self.grid.gsd_m * 1000.0

    @property
    def road(self) -> BoolMask:
        """Carriageway that can be seen, (H, W)."""
        return np.asarray((self.labels & ROAD) > 0)

    @property
    def crack_mask(self) -> BoolMask:
        """Cracks that can be seen, (H, W), by the rule of `fissura.synth.cracks` at this resolution."""
        return np.asarray((self.labels & CRACK) > 0)

    @cached_property
    def half(self) -> Ground:
        """The same at half the resolution, area-averaged, for views from further away."""
        h, w = (self.grid.hw[0] // 2) * 2, (self.grid.hw[1] // 2) * 2
        rgb = cv2.resize(self.rgb[:h, :w], (w // 2, h // 2), interpolation=cv2.INTER_AREA)
        labels = self.labels[:h:2, :w:2].copy()
        return Ground(
            self.world, self.grid.coarser(2, 0).window(0, 0, (h // 2, w // 2)), np.asarray(rgb, np.uint8), labels
        )


def paint_ground(world: AerialWorld, gsd_mm: float) -> Ground:
    """Paint a world's extent.

    Args:
        world: What to paint.
        gsd_mm: Ground size of a pixel in millimetres.
    Raises:
        SettingsError: ``gsd_mm`` is not positive, or the raster would be too large.
    """
    if not gsd_mm > 0:
        raise SettingsError(f"gsd_mm is {gsd_mm}; a pixel needs a ground size above 0 mm")
    gsd = gsd_mm / 1000.0
    width, height = (max(round(side / gsd), 1) for side in world.extent_m)
    if width * height > _LARGEST_PX:
        raise SettingsError(
            f"{width}×{height} pixels of ground at {gsd_mm} mm are too many; "
            f"at most {_LARGEST_PX:,}: make the world smaller or gsd_mm larger"
        )
    grid = Grid((gsd / 2, world.extent_m[1] - gsd / 2), gsd, (height, width))
    return paint_grid(world, grid)


def paint_grid(world: AerialWorld, grid: Grid) -> Ground:
    """Paint the ground under any grid, block by block."""
    h, w = grid.hw
    rgb = np.empty((h, w, 3), np.uint8)
    labels = np.empty((h, w), np.uint8)
    for r in range(0, h, _BLOCK_PX):
        for c in range(0, w, _BLOCK_PX):
            hw = (min(_BLOCK_PX, h - r), min(_BLOCK_PX, w - c))
            block = paint_block(world, grid.window(r, c, hw))
            rgb[r : r + hw[0], c : c + hw[1]], labels[r : r + hw[0], c : c + hw[1]] = block
    return Ground(world, grid, rgb, labels)
