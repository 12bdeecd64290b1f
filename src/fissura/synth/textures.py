"""Surfaces as grey-value fields: noise of any spectrum, asphalt, concrete, plain plaster.

All functions return float32 images of reflected light, (H, W, 3), RGB, roughly 0 to 1, and draw every
random number from the generator they are given, so that a seed repeats a picture exactly.
Sizes of grains are physical (millimetres) and become pixels through ``px_per_mm``; grains finer than
half a pixel average out, as they do in a camera.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]


def cell_noise(rng: np.random.Generator, hw: tuple[int, int], cell_px: tuple[float, float]) -> FloatImage:
    """Smooth noise with one random value per cell of ``cell_px`` (rows, columns), shape (H, W), about N(0, 1)."""
    h, w = hw
    cy, cx = max(cell_px[0], 1.0), max(cell_px[1], 1.0)
    if cy == 1.0 and cx == 1.0:
        return rng.standard_normal(hw, dtype=np.float32)
    gh, gw = int(np.ceil(h / cy)) + 3, int(np.ceil(w / cx)) + 3
    grid = rng.standard_normal((gh, gw), dtype=np.float32)
    # A random offset inside the first cell keeps the grid from showing at the same place in every picture.
    oy, ox = rng.uniform(0.5, 1.5, 2)
    to_grid = np.array([[1.0 / cx, 0.0, ox], [0.0, 1.0 / cy, oy]], dtype=np.float64)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(grid, to_grid, (w, h), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(out, dtype=np.float32)


def octave_noise(
    rng: np.random.Generator,
    hw: tuple[int, int],
    scales_px: Sequence[float],
    weights: Sequence[float],
    *,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> FloatImage:
    """Weighted sum of `cell_noise` at several scales, shape (H, W), zero mean and unit deviation as drawn.

    ``stretch`` multiplies the cell size in rows and columns: (8, 1) gives vertical streaks.
    """
    out = np.zeros(hw, np.float32)
    for scale, weight in zip(scales_px, weights, strict=True):
        out += np.float32(weight) * cell_noise(rng, hw, (scale * stretch[0], scale * stretch[1]))
    norm = float(np.sqrt(np.sum(np.square(weights)))) or 1.0
    return out / np.float32(norm)


def grains(rng: np.random.Generator, hw: tuple[int, int], size_px: float) -> FloatImage:
    """Irregular patches of constant tone, about ``size_px`` across, shape (H, W), N(0, 1): aggregate."""
    h, w = hw
    size = max(size_px, 1.2)
    gh, gw = int(np.ceil(h / size)) + 6, int(np.ceil(w / size)) + 6
    tones = rng.standard_normal((gh, gw), dtype=np.float32)
    # Cell borders are bent by noise of the cell's own size; straight borders would show as a chessboard.
    dy = cell_noise(rng, hw, (size * 0.8, size * 0.8))
    dx = cell_noise(rng, hw, (size * 0.8, size * 0.8))
    rows = np.arange(h, dtype=np.float32)[:, None] / np.float32(size) + 2.5
    columns = np.arange(w, dtype=np.float32)[None, :] / np.float32(size) + 2.5
    out = cv2.remap(tones, columns + 0.45 * dx, rows + 0.45 * dy, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(out, dtype=np.float32)


def _averaging(size_px: float) -> float:
    """Contrast that a grain keeps: 1 from one pixel up; below, a pixel averages 1/size squared of them."""
    return min(1.0, size_px)


def _tint(rng: np.random.Generator, strength: float) -> FloatImage:
    """A colour cast as three factors around one: warm or cold, a little green or magenta."""
    warm, green = rng.normal(0.0, strength), rng.normal(0.0, strength * 0.35)
    return np.array([1.0 + warm, 1.0 + green, 1.0 - warm], dtype=np.float32)


def _to_colour(rng: np.random.Generator, grey: FloatImage, variation: FloatImage, strength: float) -> FloatImage:
    """Grey field to RGB with one overall tint and a second one that follows ``variation``."""
    shift = _tint(rng, min(strength * 0.3, 0.012)) - 1.0
    colour = grey[..., None] * _tint(rng, strength)
    colour *= 1.0 + np.clip(variation, -2.5, 2.5)[..., None] * shift
    return np.asarray(colour, dtype=np.float32)


def pores(rng: np.random.Generator, hw: tuple[int, int], density: float, size_px: float) -> FloatImage:
    """Small dark round holes: share of light they take away, shape (H, W), 0 to 1."""
    h, w = hw
    canvas = np.zeros(hw, np.uint8)
    for _ in range(min(int(rng.poisson(density * h * w)), 400)):
        # One long-tailed size law: many pinholes, a few blowholes.
        radius = size_px * (0.35 + rng.exponential(0.5))
        centre = (int(rng.uniform(0, w) * 16), int(rng.uniform(0, h) * 16))
        depth = int(rng.uniform(70, 230))
        cv2.circle(canvas, centre, max(int(radius * 16), 6), depth, -1, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255.0


def asphalt(rng: np.random.Generator, hw: tuple[int, int], px_per_mm: float) -> FloatImage:
    """Asphalt: dark binder, stones at two or three sizes, wear in broad patches."""
    base = rng.uniform(0.2, 0.58)
    wear = octave_noise(rng, hw, [max(hw) / 2, max(hw) / 6, max(hw) / 18], [1.0, rng.uniform(0.2, 0.8), 0.4])
    field = np.zeros(hw, np.float32)
    largest_mm = rng.uniform(6.0, 16.0)
    variation = wear
    for share in (1.0, 0.5, 0.25)[: int(rng.integers(2, 4))]:
        size_px = largest_mm * share * px_per_mm
        stones = grains(rng, hw, size_px)
        if size_px > 6:
            stones = cv2.GaussianBlur(stones, (0, 0), 0.8).astype(np.float32)
        # Only some cells are bare stone; the others are binder of one tone.
        bare = np.clip(stones - np.float32(rng.uniform(-0.6, 0.6)), 0.0, 2.0)
        field += bare * np.float32(rng.uniform(0.2, 1.0) * _averaging(size_px))
        variation = stones
    fine = rng.standard_normal(hw, dtype=np.float32)
    contrast = rng.uniform(0.06, 0.3)
    grey = base * (1.0 + contrast * (field - field.mean()) + rng.uniform(0.02, 0.10) * wear)
    grey += base * rng.uniform(0.02, 0.12) * fine
    if rng.random() < 0.5:
        grey *= 1.0 - rng.uniform(0.2, 0.7) * pores(rng, hw, rng.uniform(0.0005, 0.004), max(1.6 * px_per_mm, 0.7))
    return np.clip(_to_colour(rng, grey.astype(np.float32), variation, rng.uniform(0.01, 0.06)), 0.02, 1.0)


def concrete(rng: np.random.Generator, hw: tuple[int, int], px_per_mm: float) -> FloatImage:
    """Concrete: light paste with clouds, sand, pores and sometimes the grain of wooden formwork."""
    base = rng.uniform(0.38, 0.82)
    big = float(max(hw))
    clouds = octave_noise(rng, hw, [big / 2, big / 5, big / 14, big / 40], [1.0, 0.7, 0.5, rng.uniform(0.1, 0.5)])
    sand = octave_noise(rng, hw, [1.0, max(1.0, 2.0 * px_per_mm)], [1.0, rng.uniform(0.3, 1.2)])
    grey = base * (1.0 + rng.uniform(0.02, 0.10) * clouds + rng.uniform(0.01, 0.06) * sand)
    if rng.random() < 0.4:
        along = (rng.uniform(15, 60), 1.0) if rng.random() < 0.7 else (1.0, rng.uniform(15, 60))
        grain_px = max(1.5, rng.uniform(2.0, 6.0) * px_per_mm)
        grey *= 1.0 + rng.uniform(0.01, 0.06) * octave_noise(rng, hw, [grain_px, grain_px * 3], [1, 1], stretch=along)
    if rng.random() < 0.3:  # Exposed aggregate: washed or weathered surfaces.
        size_px = rng.uniform(3.0, 12.0) * px_per_mm
        stones = grains(rng, hw, size_px)
        grey *= 1.0 + rng.uniform(0.03, 0.15) * _averaging(size_px) * np.clip(stones, -1.5, 1.5)
    holes = pores(rng, hw, rng.uniform(0.0, 0.003), max(rng.uniform(0.8, 2.5) * px_per_mm, 0.6))
    grey *= 1.0 - rng.uniform(0.2, 0.8) * holes
    return np.clip(_to_colour(rng, grey.astype(np.float32), clouds, rng.uniform(0.01, 0.07)), 0.02, 1.0)


def plain(rng: np.random.Generator, hw: tuple[int, int], px_per_mm: float) -> FloatImage:
    """Any other surface (plaster, stone, paint, soil): noise of a random spectrum in a random colour."""
    slope = rng.uniform(0.0, 1.3)
    scales = [float(s) for s in 2.0 ** np.arange(0, np.log2(max(hw)) - 0.5)]
    weights = [float(s**slope * rng.uniform(0.4, 1.6)) for s in scales]
    field = octave_noise(rng, hw, scales, weights)
    base, contrast = rng.uniform(0.15, 0.85), rng.uniform(0.02, 0.18)
    patches = grains(rng, hw, max(rng.uniform(4, 40) * px_per_mm, 2.0)) * np.float32(rng.uniform(0.0, 0.08))
    grey = (base * (1.0 + contrast * field + patches)).astype(np.float32)
    return np.clip(_to_colour(rng, grey, field, rng.uniform(0.01, 0.16)), 0.02, 1.0)
