"""`Block`: a piece of ground while it is painted, and the windows that things on it take up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.synth.aerial.grid import FloatField, Grid, Points
from fissura.synth.aerial.noise import NoiseBank, Window
from fissura.synth.aerial.world import AerialWorld

ROAD, CRACK, HIDDEN = 1, 2, 4
"""Bits of the label plane: carriageway to be found, crack, ground that something stands or hangs over."""
_COARSE_M = 0.09
_MARGIN = 12


@dataclass(frozen=True, eq=False)
class Block:
    """One block at work.

    Attributes:
        world: What is painted.
        grid: The block.
        coarse: Larger pixels over the block and a margin, for soft things.
        factor: Block pixels per coarse pixel.
        bank: Noise on the block.
        image: Reflected light, (H, W, 3) float32, 0 to 1, changed in place.
        labels: Bits, (H, W) uint8, changed in place.
    """

    world: AerialWorld
    grid: Grid
    coarse: Grid
    factor: int
    bank: NoiseBank
    image: FloatField
    labels: npt.NDArray[np.uint8]

    @classmethod
    def open(cls, world: AerialWorld, grid: Grid) -> Block:
        """A block with bare ground."""
        factor = 1
        while grid.gsd_m * factor * 1.5 < _COARSE_M:
            factor *= 2
        bank = NoiseBank(grid, world.noise_seed, world.noise_kind)
        image = world.materials["meadow"].paint(bank)
        return cls(world, grid, grid.coarser(factor, _MARGIN), factor, bank, image, np.zeros(grid.hw, np.uint8))

    def enlarge(self, field: npt.NDArray[Any]) -> FloatField:
        """A field of the coarse grid at the block's resolution."""
        return self.grid.enlarge(field, self.factor, _MARGIN)

    def touches(self, shape: Any, margin_m: float = 0.0) -> bool:
        """Whether a geometry's bounds meet the block."""
        west, south, east, north = self.grid.bounds(margin_m)
        a = shape.bounds
        return bool(a[0] < east and a[2] > west and a[1] < north and a[3] > south)


def blend(image: FloatField, colour: FloatField, cover: FloatField) -> None:
    """Lay a colour over the image where ``cover`` (0 to 1) says."""
    image[...] = cv2.blendLinear(colour, np.ascontiguousarray(image), cover, 1.0 - cover)


def scaled(canvas: npt.NDArray[np.uint8]) -> FloatField:
    """Coverage 0 to 255 as 0 to 1."""
    return canvas.astype(np.float32) * np.float32(1 / 255)


def covered_window(cover: FloatField) -> Window | None:
    """Smallest rows and columns that hold everything above zero; None where nothing is."""
    rows = np.flatnonzero(cover.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(cover.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def near(block: Block, middle: tuple[float, float], reach_m: float) -> bool:
    """Whether a place is within reach of the block."""
    west, south, east, north = block.grid.bounds(reach_m)
    return west < middle[0] < east and south < middle[1] < north


def within(grid: Grid, middle: Points, reach_m: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Which of many places, each with its own reach, may touch the grid: indices."""
    west, south, east, north = grid.bounds()
    found = (middle[:, 0] > west - reach_m) & (middle[:, 0] < east + reach_m)
    found &= (middle[:, 1] > south - reach_m) & (middle[:, 1] < north + reach_m)
    return np.flatnonzero(found)


def around(grid: Grid, middle: Points, reach_m: float) -> tuple[slice, slice, FloatField, FloatField] | None:
    """Window of a grid around a place, with offsets east and north of it in metres, float32."""
    x, y = grid.pixels(middle[None])[0]
    reach = reach_m / grid.gsd_m
    r0, r1 = max(int(y - reach), 0), min(int(y + reach) + 2, grid.hw[0])
    c0, c1 = max(int(x - reach), 0), min(int(x + reach) + 2, grid.hw[1])
    if r0 >= r1 or c0 >= c1:
        return None
    axes = (grid.axes() * grid.gsd_m).astype(np.float32)
    columns = (np.arange(c0, c1) - x).astype(np.float32)[None, :]
    rows = (np.arange(r0, r1) - y).astype(np.float32)[:, None]
    return (
        slice(r0, r1),
        slice(c0, c1),
        axes[0, 0] * columns + axes[0, 1] * rows,
        axes[1, 0] * columns + axes[1, 1] * rows,
    )
