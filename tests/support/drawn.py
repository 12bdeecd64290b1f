"""Cracks with exact truth: profiles, and pictures with masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.special import ndtr

from fissura.synth.cracks import CrackVector, coverage_map, crack_mask


def draw_profile(
    width, blur, *, samples=41, centre=0.0, background=140.0, darkness=0.88, slope=0.0, noise=0.0, seed=0, pixel=1.0
):
    """A box of missing light, blurred by a Gaussian and integrated over pixels of size ``pixel``."""
    x = (np.arange(samples) - (samples - 1) / 2) * pixel

    def integral(z):
        return z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)

    def step(edge):
        return (integral((x + pixel / 2 - edge) / blur) - integral((x - pixel / 2 - edge) / blur)) * blur / pixel

    dip = step(centre - width / 2) - step(centre + width / 2)
    grain = np.random.default_rng(seed).normal(0, noise, samples) if noise else 0.0
    return background + slope * x - background * darkness * dip + grain


@dataclass(frozen=True)
class Drawn:
    """A picture (H, W, 3), its mask, and its cracks in pixels with pixel centres at integers."""

    rgb: np.ndarray
    mask: np.ndarray
    lines: tuple[np.ndarray, ...]
    widths: tuple[np.ndarray, ...]


def draw_cracks(
    lines: Sequence[np.ndarray], widths: Sequence[np.ndarray], hw: tuple[int, int], *, blur: float = 0.8,
    darkness: float = 0.85, grain: float = 0.03, noise: float = 0.006, seed: int = 0,
) -> Drawn:  # fmt: skip
    """Draw cracks of given centrelines (row, column; pixel centres at integers) and widths at each point."""
    rng = np.random.default_rng(seed)
    vectors = [CrackVector(np.asarray(p) + 0.5, np.asarray(w)) for p, w in zip(lines, widths, strict=True)]
    cover = coverage_map(vectors, hw, 1.0)
    light = np.full(hw, 0.55, np.float32)
    for size in (1.0, 3.0):
        field = cv2.GaussianBlur(rng.standard_normal(hw).astype(np.float32), (0, 0), size)
        light *= 1 + np.float32(grain) * field / field.std()
    light = cv2.GaussianBlur(light * (1 - np.float32(darkness) * cover), (0, 0), blur)
    light = light + rng.normal(0, noise, hw).astype(np.float32)
    grey = np.clip(light * 255 + 0.5, 0, 255).astype(np.uint8)
    return Drawn(np.repeat(grey[:, :, None], 3, axis=2), crack_mask(vectors, cover, 1.0), tuple(lines), tuple(widths))


def straight(start_rc, stop_rc, width, count=200):
    """Centreline and widths of a straight crack; ``width`` may be one number or one for each knot, evenly spaced."""
    t = np.linspace(0, 1, count)
    line = np.asarray(start_rc, float) + t[:, None] * (np.asarray(stop_rc, float) - np.asarray(start_rc, float))
    knots = np.atleast_1d(np.asarray(width, float))
    return line, np.interp(t, np.linspace(0, 1, len(knots)), knots) if len(knots) > 1 else np.full(count, knots[0])


def picture_with_mask(seed: int, hw=(420, 420)) -> Drawn:
    """A wide crack, and two whose widths run from below the blur to well above it."""
    rng = np.random.default_rng([5, seed])
    turn = rng.uniform(0, np.pi)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = (np.array(hw) - 1) / 2
    t = np.linspace(0, 1, 200)
    lines, widths = [], []
    for row in range(3):
        x = -145 + 290 * t
        y = -85 + 85 * row + rng.uniform(-12, 12) * np.sin(np.pi * t) + rng.uniform(-3, 3) * np.sin(3 * np.pi * t)
        low = rng.uniform(8, 14) if row == 0 else rng.uniform(0.6, 3.0)
        high = low * rng.uniform(1.0, 1.4) if row == 0 else max(low * rng.uniform(1.5, 5.0), 5.0)
        lines.append(np.column_stack([y, x]) @ spin.T + middle)
        widths.append(np.exp(np.interp(t, [0, 0.5, 1], np.log([low, high, low]))))
    return draw_cracks(
        lines, widths, hw, blur=float(rng.uniform(0.5, 1.5)), darkness=float(rng.uniform(0.5, 0.95)),
        grain=float(rng.uniform(0.02, 0.06)), seed=seed,
    )  # fmt: skip
