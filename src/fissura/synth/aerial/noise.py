"""Noise fixed to the ground: the same place has the same value in every raster, block and view.

Values come from periodic tiles, sampled through one affine map a scale. Each (channel, scale) has its own turn
and offset, so no period shows. What is finer than a pixel becomes white noise of the contrast that averaging leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import shapely

from fissura.synth.aerial.grid import FloatField, Grid, Matrix, Points

Window = tuple[slice, slice]

_TILE = 1024
_REPEATED = 3
_SMOOTH_PX = 1.1
_PER_SCALE = 2.6
"""Tile pixels per feature size of the smoothed tiles."""
_COARSE = 4.0
"""Fields whose features are more pixels than this are computed at a lower resolution and enlarged."""


@lru_cache(maxsize=4)
def _tile(kind: str) -> FloatField:
    """Periodic noise, zero mean, unit deviation: ``white``, ``soft`` or ``ridged``.

    Stored three times over in each direction: cv2 reads inside an image seven times as fast as across its border.
    """
    return np.tile(_period(kind), (_REPEATED, _REPEATED))


def _period(kind: str) -> FloatField:
    rng = np.random.default_rng([20_260_101, len(kind)])
    white = rng.standard_normal((_TILE, _TILE))
    if kind == "white":
        return np.asarray(white, np.float32)
    f = np.fft.fftfreq(_TILE)
    low_pass = np.exp(-2 * (np.pi * _SMOOTH_PX) ** 2 * (f[:, None] ** 2 + f[None, :] ** 2))
    soft = np.fft.ifft2(np.fft.fft2(white) * low_pass).real
    soft /= soft.std()
    if kind == "ridged":  # Another statistic: creases and flat parts.
        other = np.fft.ifft2(np.fft.fft2(rng.standard_normal((_TILE, _TILE))) * low_pass).real
        soft = 0.55 * soft - np.abs(other / other.std())
        soft = (soft - soft.mean()) / soft.std()
    return np.asarray(soft, np.float32)


class NoiseBank:
    """Noise of one world, sampled on one grid; fields already asked for are kept.

    Args:
        grid: Where to sample.
        seed: Of the world.
        kind: Statistic of the tiles, ``soft`` or ``ridged``.
    """

    def __init__(self, grid: Grid, seed: int, kind: str = "soft") -> None:
        self.grid, self._seed, self._kind = grid, seed, kind
        self._kept: dict[tuple[int, float], FloatField] = {}

    def field(self, channel: int, scale_m: float) -> FloatField:
        """Noise with features about ``scale_m`` across, shape (H, W), about N(0, 1); less where it averages out."""
        key = (channel, scale_m)
        if key not in self._kept:
            self._kept[key] = self.sample(channel, scale_m)
        return self._kept[key]

    def sample(self, channel: int, scale_m: float, shift_en: tuple[float, float] = (0.0, 0.0)) -> FloatField:
        """Like `field`, not kept, and read ``shift_en`` metres away."""
        grid = self.grid
        ratio = scale_m / grid.gsd_m
        if ratio < 1.5:
            return self._read("white", channel, scale_m, grid, grid.gsd_m, shift_en) * np.float32(min(ratio, 1.0))
        cell_m = scale_m / _PER_SCALE
        factor = 1
        while ratio / (2 * factor) > _COARSE:
            factor *= 2
        if factor == 1:
            return self._read(self._kind, channel, scale_m, grid, cell_m, shift_en)
        low = self._read(self._kind, channel, scale_m, grid.coarser(factor, 1), cell_m, shift_en)
        return grid.enlarge(low, factor, 1)

    def mix(
        self, channel: int, octaves: Sequence[tuple[float, float]], window: Window = (slice(None), slice(None))
    ) -> FloatField:
        """Sum of `field` times weight over (scale in metres, weight), in a part of the grid."""
        scale, weight = octaves[0]
        out = self.field(channel, scale)[window] * np.float32(weight)
        for scale, weight in octaves[1:]:
            cv2.scaleAdd(self.field(channel, scale)[window], weight, out, out)
        return out

    def _read(
        self, kind: str, channel: int, scale_m: float, grid: Grid, cell_m: float, shift_en: tuple[float, float]
    ) -> FloatField:
        to_tile = _tile_from_ground(self._seed, channel, scale_m, cell_m)
        shift = np.eye(3)
        shift[:2, 2] = shift_en
        matrix = (to_tile @ shift @ grid.ground_from_pixel())[:2]
        h, w = grid.hw
        corners = matrix[:, :2] @ np.array([[0, w, 0, w], [0, 0, h, h]], np.float64)
        first = corners.min(axis=1)
        matrix[:, 2] = (matrix[:, 2] + first) % _TILE - first + 1.0
        flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if kind == "white" else cv2.INTER_LINEAR)
        size = (grid.hw[1], grid.hw[0])
        return np.asarray(cv2.warpAffine(_tile(kind), matrix, size, flags=flags, borderMode=cv2.BORDER_WRAP))


def _tile_from_ground(seed: int, channel: int, scale_m: float, cell_m: float) -> Matrix:
    rng = np.random.default_rng([seed, channel, round(scale_m * 1e4)])
    angle = rng.uniform(0, 2 * np.pi)
    out = np.eye(3)
    out[:2, :2] = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / cell_m
    out[:2, 2] = rng.uniform(0, _TILE, 2)
    return out


class Wobble:
    """A smooth displacement of the plane, for edges that no rule was laid to: sums of waves."""

    def __init__(self, rng: np.random.Generator, size_m: float, wavelengths_m: tuple[float, float]) -> None:
        count = 14
        length = np.exp(rng.uniform(np.log(wavelengths_m[0]), np.log(wavelengths_m[1]), count))
        angle = rng.uniform(0, 2 * np.pi, count)
        self._waves = np.stack([np.cos(angle), np.sin(angle)]) * 2 * np.pi / length
        self._phase = rng.uniform(0, 2 * np.pi, (2, count))
        weight = np.sqrt(length)
        self._weight = size_m * np.sqrt(2) * weight / np.linalg.norm(weight)

    def move(self, points_en: Points) -> Points:
        """The points, moved by ``size_m`` (root mean square) in each direction."""
        base = points_en @ self._waves
        moved = points_en + np.stack([np.sin(base + p) @ self._weight for p in self._phase], axis=1)
        return np.asarray(moved, np.float64)

    def bend(self, shape: Any, step_m: float) -> Any:
        """A shapely polygon (or several) with a corner at least every ``step_m``, all of them moved."""
        dense = shapely.segmentize(shape, step_m)
        polygons = [p for p in getattr(dense, "geoms", [dense]) if p.geom_type == "Polygon" and not p.is_empty]

        def ring(line: Any) -> Points:
            return self.move(np.asarray(line.coords)[:-1, :2])

        moved = [shapely.Polygon(ring(p.exterior), [ring(r) for r in p.interiors]) for p in polygons]
        return shapely.union_all([p.buffer(0) for p in moved])
