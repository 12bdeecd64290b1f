"""Surfaces seen from the air: a base colour, one axis of colour change, brightness noise at many scales.

Two families. ``tuning`` is for development. ``fresh`` has other colours, other noise (ridged) and other stuff under
the same names, and is for the final numbers only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fissura.synth.aerial.grid import FloatField
from fissura.synth.aerial.noise import NoiseBank, Window

Octaves = tuple[tuple[float, float], ...]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """One surface.

    Attributes:
        colour: Mean reflected light, RGB 0 to 1.
        axis: Colour added per unit of ``mix``.
        light: Brightness noise, (scale in metres, share) each.
        mix: Colour noise, (scale, weight) each.
        gaps: Share of light lost in the dark gaps between blades or stones, and their size in metres.
        rows_m: Distance of crop rows or mowing stripes, 0 for none; with their contrast.
    """

    colour: Colour
    axis: Colour
    light: Octaves
    mix: Octaves
    gaps: tuple[float, float] = (0.0, 0.1)
    rows_m: tuple[float, float] = (0.0, 0.0)

    def paint(
        self, bank: NoiseBank, *, channel: int = 0, tone: float = 1.0, window: Window = (slice(None), slice(None))
    ) -> FloatField:
        """Reflected light over a part of the bank's grid, (H, W, 3)."""
        light = bank.mix(channel, self.light, window)
        mix = bank.mix(channel + 1, self.mix, window)
        depth, size = self.gaps
        if depth > 0:
            # Skewed: most of the surface is even, the gaps are dark.
            light = light - np.float32(depth) * np.maximum(bank.field(channel + 2, size)[window] - np.float32(0.3), 0)
        planes = [
            cv2.addWeighted(light, c * tone, mix, a * tone, c * tone)
            for c, a in zip(self.colour, self.axis, strict=True)
        ]
        return np.asarray(cv2.merge(planes), np.float32)


_GRASS: Octaves = ((0.025, 0.17), (0.08, 0.09), (0.3, 0.055), (1.2, 0.045), (5.0, 0.04), (20.0, 0.05))
_GRASS_MIX: Octaves = ((0.25, 0.35), (1.5, 0.5), (6.0, 0.5), (25.0, 0.6))
_SOIL: Octaves = ((0.025, 0.08), (0.1, 0.05), (0.4, 0.05), (2.0, 0.06), (9.0, 0.06))
_STONES: Octaves = ((0.02, 0.12), (0.05, 0.09), (0.3, 0.04), (2.0, 0.04), (9.0, 0.05))
_PAVED: Octaves = ((0.012, 0.09), (0.04, 0.03), (0.25, 0.02), (1.2, 0.025), (5.0, 0.03), (18.0, 0.035))

TUNING: dict[str, Material] = {
    "grass": Material((0.51, 0.565, 0.33), (0.060, 0.032, 0.022), _GRASS, _GRASS_MIX, (0.17, 0.06)),
    "meadow": Material((0.54, 0.54, 0.36), (0.075, 0.042, 0.042), _GRASS, _GRASS_MIX, (0.19, 0.10)),
    "crop": Material((0.43, 0.51, 0.28), (0.040, 0.030, 0.010), _GRASS, _GRASS_MIX, (0.20, 0.08), (0.75, 0.22)),
    "stubble": Material((0.70, 0.62, 0.43), (0.030, 0.025, 0.02), _SOIL, _GRASS_MIX, (0.12, 0.06), (0.30, 0.10)),
    "soil": Material((0.56, 0.47, 0.37), (0.035, 0.025, 0.018), _SOIL, _GRASS_MIX, (0.09, 0.08)),
    "gravel": Material((0.62, 0.58, 0.52), (0.020, 0.012, 0.000), _STONES, _GRASS_MIX, (0.15, 0.04)),
    "forest_floor": Material((0.24, 0.27, 0.14), (0.045, 0.030, 0.010), _GRASS, _GRASS_MIX, (0.35, 0.3)),
    "yard": Material((0.58, 0.56, 0.53), (0.015, 0.010, 0.005), _PAVED, _GRASS_MIX, (0.05, 0.03)),
    "water": Material(
        (0.16, 0.25, 0.27), (0.012, 0.015, 0.010), ((0.4, 0.03), (1.2, 0.04), (6.0, 0.04)), ((8.0, 0.8), (30.0, 0.8))
    ),
    "shore": Material((0.62, 0.55, 0.48), (0.025, 0.015, 0.010), _STONES, _GRASS_MIX, (0.15, 0.08)),
    "paving": Material((0.60, 0.58, 0.55), (0.012, 0.008, 0.004), _PAVED, _GRASS_MIX, (0.06, 0.05)),
    "kerb": Material((0.72, 0.71, 0.69), (0.010, 0.010, 0.010), _PAVED, _GRASS_MIX, (0.10, 0.12)),
}
FRESH: dict[str, Material] = {
    "grass": Material((0.50, 0.49, 0.27), (0.070, 0.050, 0.030), _GRASS, _GRASS_MIX, (0.26, 0.16)),
    "meadow": Material((0.58, 0.52, 0.33), (0.080, 0.060, 0.050), _GRASS, _GRASS_MIX, (0.22, 0.25)),
    "crop": Material((0.56, 0.52, 0.22), (0.030, 0.045, 0.020), _GRASS, _GRASS_MIX, (0.15, 0.14), (1.4, 0.18)),
    "stubble": Material((0.55, 0.45, 0.34), (0.030, 0.025, 0.02), _SOIL, _GRASS_MIX, (0.12, 0.1), (0.5, 0.15)),
    "soil": Material((0.60, 0.38, 0.26), (0.045, 0.020, 0.010), _SOIL, _GRASS_MIX, (0.10, 0.15)),
    "gravel": Material((0.50, 0.47, 0.47), (0.020, 0.010, 0.014), _STONES, _GRASS_MIX, (0.2, 0.07)),
    "forest_floor": Material((0.36, 0.27, 0.17), (0.050, 0.030, 0.020), _GRASS, _GRASS_MIX, (0.3, 0.2)),
    "yard": Material((0.50, 0.47, 0.44), (0.020, 0.012, 0.008), _STONES, _GRASS_MIX, (0.08, 0.05)),
    "water": Material(
        (0.30, 0.31, 0.24), (0.020, 0.015, 0.010), ((0.3, 0.04), (1.0, 0.05), (4.0, 0.05)), ((8.0, 0.8), (30.0, 0.8))
    ),
    "shore": Material((0.50, 0.45, 0.36), (0.030, 0.020, 0.010), _SOIL, _GRASS_MIX, (0.2, 0.12)),
    "paving": Material((0.58, 0.50, 0.45), (0.015, 0.008, 0.006), _STONES, _GRASS_MIX, (0.08, 0.08)),
    "kerb": Material((0.60, 0.60, 0.58), (0.012, 0.012, 0.010), _PAVED, _GRASS_MIX, (0.12, 0.15)),
}
FAMILIES = {"tuning": TUNING, "fresh": FRESH}
NOISE_KIND = {"tuning": "soft", "fresh": "ridged"}

_ROAD_GREY = {
    "tuning": {"asphalt_dark": (0.24, 0.36), "asphalt_light": (0.48, 0.68), "asphalt_patched": (0.40, 0.58),
               "concrete": (0.64, 0.76)},
    "fresh": {"asphalt_dark": (0.18, 0.30), "asphalt_light": (0.40, 0.58), "asphalt_patched": (0.34, 0.60),
              "concrete": (0.56, 0.70)},
}  # fmt: skip
_ROAD_TINT = {
    "tuning": [(1.0, 1.0, 1.0), (1.01, 0.99, 1.03), (1.03, 1.0, 0.97), (0.98, 1.0, 1.04)],
    "fresh": [(1.08, 0.99, 0.94), (0.97, 1.0, 1.06), (1.04, 1.02, 0.95), (1.02, 0.98, 1.0)],
}


def road_material(rng: np.random.Generator, surface: str, family: str) -> Material:
    """The road's surface in one of the tones it comes in."""
    grey = rng.uniform(*_ROAD_GREY[family][surface])
    tint = _ROAD_TINT[family][int(rng.integers(len(_ROAD_TINT[family])))]
    if surface == "concrete":
        tint = (1.02, 1.0, 0.96)
    r, g, b = (float(grey * t) for t in tint)
    rough = float(rng.uniform(0.6, 1.5))
    light = tuple((scale, share * rough) for scale, share in _PAVED)
    return Material((r, g, b), (0.010, 0.003, -0.006), light, ((0.6, 0.4), (4.0, 0.6), (20.0, 0.6)))
