"""Training crops drawn on the fly: thin cracks, and above all the things that are mistaken for cracks.

Meant as a small part (a tenth) of a training diet of photographs. Everything that could become a
signature of "synthetic" is drawn at random: surface, colour, contrast, spectrum, blur, noise, JPEG.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import SettingsError
from fissura.synth.cracks import CrackVector, grow_crack, grow_network
from fissura.synth.distractors import FIRST_ON_PHOTOGRAPHS, HARD_NEGATIVES, ON_PHOTOGRAPHS
from fissura.synth.textures import FloatImage, asphalt, cell_noise, concrete, plain
from fissura.types import BoolMask, RgbImage

_SURFACES = (asphalt, concrete, plain)
_FINE = 4
_VISIBLE = 0.07


def render_training_crop(
    rng: np.random.Generator, size: int, *, crack_probability: float, wide: float = 0.0
) -> tuple[RgbImage, BoolMask]:
    """One crop and its exact mask.

    Args:
        rng: Source of all randomness; the same state gives the same crop.
        size: Side in pixels, at least 32.
        crack_probability: Chance that the crop holds cracks, 0 to 1. Distractors come in both kinds.
        wide: Share of the cracks that are wide, as in photographs from nearby: 7 px to a sixth of the crop, with rough
            walls and something inside.
    Returns:
        Image (S, S, 3) uint8 RGB and mask (S, S). Crack pixels are those at least half covered and
        those the centreline runs through, less those where the crack takes under `_VISIBLE` of the light:
        a network cannot learn what is not in the picture.
    Raises:
        SettingsError: ``size`` or ``crack_probability`` is out of range.
    """
    if size < 32:
        raise SettingsError(f"size is {size}; a training crop needs at least 32 pixels a side")
    for name, share in (("crack_probability", crack_probability), ("wide", wide)):
        if not 0.0 <= share <= 1.0:
            raise SettingsError(f"{name} is {share}; give a value from 0 to 1")
    hw = (size, size)
    px_per_mm = float(np.exp(rng.uniform(np.log(0.08), np.log(2.0))))
    with_cracks = rng.random() < crack_probability
    image = _SURFACES[rng.choice(3, p=[0.4, 0.4, 0.2])](rng, hw, px_per_mm)
    names = list(HARD_NEGATIVES)
    weights = np.array([HARD_NEGATIVES[n][1] for n in names])
    # Clean surfaces are rare without cracks: there the distractors are the lesson.
    count = rng.choice(4, p=[0.4, 0.35, 0.2, 0.05] if with_cracks else [0.08, 0.47, 0.33, 0.12])
    chosen = rng.choice(len(names), size=count, replace=False, p=weights / weights.sum())
    overlay = {"shadow", "vegetation", "cable", "debris"}  # These lie on top of cracks, the others below.
    for i in (i for i in chosen if names[i] not in overlay):
        HARD_NEGATIVES[names[i]][0](rng, image, px_per_mm)
    mask = np.zeros(hw, np.bool_)
    if with_cracks:
        mask = _draw_wide_cracks(rng, image) if wide and rng.random() < wide else _draw_cracks(rng, image)
    for i in (i for i in chosen if names[i] in overlay):
        before = image.copy() if with_cracks and names[i] != "shadow" else None
        HARD_NEGATIVES[names[i]][0](rng, image, px_per_mm)
        if before is not None:
            # What is hidden under a cable or a leaf is no visible crack.
            mask &= np.abs(image - before).max(axis=2) < 0.15
    return _expose(rng, image), mask


_BESIDE_CRACKS = ("joint", "panel_gap", "formwork", "cable", "tiles")
"""Of what is drawn on photographs, that which leaves most of a picture as it is."""


def draw_distractor(
    rng: np.random.Generator, image: RgbImage, mask: BoolMask, kinds: Sequence[str] = FIRST_ON_PHOTOGRAPHS
) -> tuple[RgbImage, BoolMask]:
    """A photograph with a joint, bricks, a cable or the like drawn on it.

    Args:
        rng: Source of all randomness.
        image: Shape (S, S, 3), uint8 RGB.
        mask: Its cracks, shape (S, S).
        kinds: Names of `ON_PHOTOGRAPHS`. On a picture with cracks only those are drawn that leave most of it as it is;
            none of them: the picture stays.
    Returns:
        Image and mask; a crack ends where it can no longer be seen.
    """
    names = [name for name in kinds if not mask.any() or name in _BESIDE_CRACKS]
    if not names:
        return image, mask
    weights = np.array([ON_PHOTOGRAPHS[name][1] for name in names])
    name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    before = image.astype(np.float32) / np.float32(255.0)
    drawn = before.copy()
    ON_PHOTOGRAPHS[name][0](rng, drawn, float(np.exp(rng.uniform(np.log(0.08), np.log(1.2)))))
    # Photographs are soft: what is drawn shall not be sharper.
    share = cv2.GaussianBlur(drawn / np.maximum(before, 1 / 255), (0, 0), rng.uniform(0.4, 1.3))
    drawn = np.clip(before * share, 0, 1)
    left = mask & (np.abs(drawn - before).max(axis=2) < 0.15)
    return (drawn * 255.0 + 0.5).astype(np.uint8), left


def _draw_cracks(rng: np.random.Generator, image: FloatImage) -> BoolMask:
    """Darken the image along random cracks and return their mask."""
    hw = (image.shape[0], image.shape[1])
    extent = (float(hw[0]), float(hw[1]))
    # Thin ones dominate: they are what photographs hold too few of.
    width = float(np.clip(rng.lognormal(np.log(1.7), 0.5), 0.7, 9.0))
    step = rng.uniform(1.5, 4.0)
    if rng.random() < 0.15:
        cracks = grow_network(rng, extent, width=width, step=step, cell=rng.uniform(0.12, 0.35) * hw[0])
    else:
        cracks = grow_crack(rng, extent, width=width, step=step, branches=int(rng.choice(4, p=[0.45, 0.3, 0.15, 0.1])))
        if rng.random() < 0.2:
            cracks += grow_crack(rng, extent, width=width * rng.uniform(0.5, 1.2), step=step, branches=0)
    cover, mask = _cover(cracks, hw)
    depth = rng.uniform(0.2, 0.55) if rng.random() < 0.5 else rng.uniform(0.5, 0.95)
    # Along its way a crack is here deep, there half filled.
    fill = np.clip(1.0 + rng.uniform(0.0, 0.35) * cell_noise(rng, hw, (14.0, 14.0)), 0.35, 1.3)
    if width > 2.0 and rng.random() < 0.4:
        lip = np.asarray(cv2.GaussianBlur(cover, (0, 0), width * 0.8), np.float32)  # Worn or spalled borders.
        image *= (1.0 + np.float32(rng.uniform(-0.25, 0.15)) * lip)[..., None]
    tint = 1.0 + rng.normal(0.0, 0.06, 3).astype(np.float32)
    alpha = np.clip(cover * fill * np.float32(depth), 0.0, 0.97)
    image *= 1.0 - alpha[..., None] * tint.clip(0.8, 1.03)
    strongest = cv2.dilate(alpha.astype(np.float32), np.ones((3, 3), np.uint8))
    return np.asarray(mask & (strongest >= _VISIBLE), dtype=np.bool_)


def _draw_wide_cracks(rng: np.random.Generator, image: FloatImage) -> BoolMask:
    """Like `_draw_cracks`, for cracks whose walls and inside are seen.

    Where a wide crack runs into the ground is no line: grains have broken out, dust and gravel lie in it, and of its
    two walls one is often lit.
    """
    hw = (image.shape[0], image.shape[1])
    width = float(np.exp(rng.uniform(np.log(7.0), np.log(max(hw[0] / 6, 8.0)))))
    cracks = grow_crack(
        rng, (float(hw[0]), float(hw[1])), width=width, step=rng.uniform(0.3, 0.8) * width,
        branches=int(rng.choice(3, p=[0.55, 0.3, 0.15])),
    )  # fmt: skip
    cover, _ = _cover(cracks, hw)
    grain = rng.uniform(1.2, 0.3 * width)
    rough = np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.35 * grain + 0.5), np.float32)
    rough += np.float32(rng.uniform(0.05, 0.3)) * cell_noise(rng, hw, (grain, grain)) * (rough > 0.02)
    inside = np.clip((rough - 0.5) * np.float32(rng.uniform(1.5, 6.0)) + 0.5, 0, 1)
    mask = inside >= 0.5
    depth = rng.uniform(0.2, 0.95)
    # Deepest in the middle, with dust and gravel in it.
    middle = np.asarray(cv2.GaussianBlur(inside, (0, 0), 0.3 * width), np.float32)
    fill = 0.55 + 0.45 * middle + rng.uniform(0.0, 0.4) * cell_noise(rng, hw, (grain, grain))
    fill += rng.uniform(0.0, 0.25) * cell_noise(rng, hw, (1.5, 1.5))
    alpha = np.clip(inside * np.clip(fill, 0.15, 1.2) * np.float32(depth), 0.0, 0.97)
    if rng.random() < 0.5:  # light from one side
        angle = rng.uniform(0, 2 * np.pi)
        soft = cv2.GaussianBlur(inside, (0, 0), max(0.15 * width, 0.7))
        slope = np.cos(angle) * cv2.Sobel(soft, cv2.CV_32F, 1, 0) + np.sin(angle) * cv2.Sobel(soft, cv2.CV_32F, 0, 1)
        image *= (1.0 + np.float32(rng.uniform(0.05, 0.35)) * slope)[..., None].clip(0.5, 1.6)
    tint = 1.0 + rng.normal(0.0, 0.08, 3).astype(np.float32)
    image *= 1.0 - alpha[..., None] * tint.clip(0.75, 1.03)
    # What is too faint as a whole cannot be learned; a bright grain inside is part of the crack.
    seen = cv2.dilate(alpha.astype(np.float32), np.ones((3, 3), np.uint8), iterations=max(round(0.3 * width), 1))
    return np.asarray(mask & (seen >= _VISIBLE), dtype=np.bool_)


def _cover(cracks: list[CrackVector], hw: tuple[int, int]) -> tuple[FloatImage, BoolMask]:
    """Coverage and mask, drawn four times larger: the fast relative of `cracks.coverage_map`."""
    fine = np.zeros((hw[0] * _FINE, hw[1] * _FINE), np.uint8)
    thin = np.zeros(hw, np.uint8)
    for crack in cracks:
        points: npt.NDArray[np.int32] = np.rint(crack.points_rc_mm[:, ::-1] * _FINE).astype(np.int32)
        thickness = np.maximum(np.rint(crack.width_mm * _FINE), 1).astype(int)
        starts = np.flatnonzero(np.diff(thickness, prepend=-1))  # Runs of one thickness are one call.
        for first, last in zip(starts, [*starts[1:], len(thickness)], strict=True):
            cv2.polylines(fine, [points[first : last + 1]], False, 255, int(thickness[first]))
        cv2.polylines(thin, [points // _FINE], False, 1, 1)
    cover = cv2.resize(fine, (hw[1], hw[0]), interpolation=cv2.INTER_AREA)
    return cover.astype(np.float32) / 255.0, (cover >= 128) | (thin > 0)


def _expose(rng: np.random.Generator, image: FloatImage) -> RgbImage:
    """Light falling unevenly, lens blur, exposure, noise and (half of the time) JPEG."""
    size = image.shape[0]
    slope = rng.normal(0.0, 0.12, 2)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = 1.0 + np.float32(slope[0]) * ramp[:, None] + np.float32(slope[1]) * ramp[None, :]
    # Cameras meter: the mean lands in the middle of the scale, rarely in black or white.
    mean = float(image.mean())
    gain = float(np.clip(mean * np.exp(rng.normal(0.0, 0.25)), 0.12, 0.68)) / max(mean, 1e-3)
    image = image * (np.clip(light, 0.5, 1.5) * np.float32(gain))[..., None]
    if rng.random() < 0.8:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.0)), np.float32)
    noise = rng.standard_normal(image.shape[:2], dtype=np.float32) * np.float32(rng.uniform(0.0, 0.03))
    out = np.clip((image + noise[..., None]) * 255.0 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = int(rng.integers(45, 96))
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return out
