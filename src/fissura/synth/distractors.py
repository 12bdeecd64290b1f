"""Things that look like cracks and are none: joints, bricks, formwork, markings, stains, shadows, cables.

Each function changes an image of reflected light in place, (H, W, 3) float32, 0 to 1. Sizes are in
millimetres through ``px_per_mm``. None of them ever enters a crack mask.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from fissura.synth.strokes import angle_of_view, band, blend, darken, long_line, ragged, stroke
from fissura.synth.textures import FloatImage, octave_noise
from fissura.synth.walls import (
    courses,
    flaking,
    formwork,
    ledge,
    masonry,
    mottle,
    openings,
    panel_gap,
    rubble,
    studs,
    tiles,
)


def joint(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """One to three straight joints of even width, dark, sealed or with light edges; sometimes crossing."""
    hw = (image.shape[0], image.shape[1])
    angle = angle_of_view(rng)
    width = max(rng.uniform(2, 18) * px_per_mm, rng.uniform(0.8, 1.6))
    lines = [long_line(rng, hw, angle, rng.uniform(-0.4, 0.4) * min(hw)) for _ in range(int(rng.integers(1, 3)))]
    if rng.random() < 0.35:
        lines.append(long_line(rng, hw, angle + np.pi / 2, rng.uniform(-0.4, 0.4) * min(hw)))
    if rng.random() < 0.35:
        edge = stroke(hw, lines, width * 2 + 2)
        image *= (1.0 + np.float32(rng.uniform(-0.12, 0.2)) * edge)[..., None]
    cover = stroke(hw, lines, width)
    if rng.random() < 0.5:
        cover = ragged(rng, cover, rng.uniform(6, 60))
    if rng.random() < 0.25:
        blend(image, cover, rng.uniform(0.05, 0.9) * np.ones(3))  # A sealant of its own colour.
    else:
        darken(image, cover, rng.uniform(0.15, 0.9))


def marking(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Road paint, white or yellow, worn where the noise says so."""
    hw = (image.shape[0], image.shape[1])
    angle = angle_of_view(rng)
    width = max(rng.choice([100.0, 150.0, 300.0]) * px_per_mm, 5.0)
    line = long_line(rng, hw, angle, rng.uniform(-0.45, 0.45) * min(hw))
    if rng.random() < 0.4:
        line[0] = line.mean(axis=0) + rng.normal(0, 0.2, 2) * np.array(hw)  # A dash that starts in the picture.
    cover = band(hw, line, width)
    wear = octave_noise(rng, hw, [1.0, 3.0, 12.0], [1.0, 1.0, 1.0])
    cover *= np.clip(rng.uniform(0.5, 2.5) + wear * rng.uniform(0.3, 1.2), 0.0, 1.0)
    colour = np.array([1, 0.98, 0.94]) if rng.random() < 0.7 else np.array([0.95, 0.75, 0.2])
    blend(image, cover * np.float32(rng.uniform(0.6, 0.95)), colour * rng.uniform(0.65, 0.95))


def stain(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Damp, oil or rust patches with soft or sharp borders, or streaks running down."""
    hw = (image.shape[0], image.shape[1])
    scale = rng.uniform(0.1, 0.6) * max(hw)
    streaks = rng.random() < 0.4
    stretch = (rng.uniform(4, 12), 0.25) if streaks else (1.0, 1.0)
    weights = [1.0, rng.uniform(0.2, 0.7), rng.uniform(0.05, 0.4), rng.uniform(0.0, 0.2)]
    field = octave_noise(rng, hw, [scale, scale / 3, scale / 9, scale / 27], weights, stretch=stretch)
    hardness = np.exp(rng.uniform(np.log(1.0), np.log(25.0)))
    cover = np.clip((field - rng.uniform(0.2, 1.0)) * hardness, 0, 1).astype(np.float32)
    if rng.random() < 0.3:  # A drying rim: the border is darker than the middle, a thin curved line.
        cover = np.asarray(cover - 0.7 * cv2.GaussianBlur(cover, (0, 0), max(2.0, scale / 25)), np.float32).clip(0, 1)
    depth = rng.uniform(0.08, 0.5) * (1.0 if rng.random() < 0.8 else -0.5)
    colour = rng.choice([0.0, 0.0, 1.0]) * rng.uniform(0.1, 0.5) * np.array([-0.6, 0.1, 0.6])  # Rust or grey.
    image *= 1.0 - cover[..., None] * (depth * (1.0 + colour)).astype(np.float32)


def shadow(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """A cast shadow with a straight edge, or of twigs and railings: darker and bluer, softly bordered."""
    hw = (image.shape[0], image.shape[1])
    soft = rng.uniform(0.8, 6.0)
    if rng.random() < 0.6:
        angle, reach = rng.uniform(0, np.pi), float(np.hypot(*hw))
        wide = rng.choice([rng.uniform(0.05, 0.4), 2.0]) * min(hw)
        line = long_line(rng, hw, angle, rng.uniform(-0.5, 0.5) * min(hw) + wide / 2 * (wide > reach))
        cover = band(hw, line, wide)
    else:
        start, turn = rng.uniform(0, 1, 2) * np.array(hw), rng.uniform(0, 2 * np.pi)
        lines = [_smooth_curve(rng, start, turn + rng.normal(0, 0.5), rng.uniform(0.4, 1.2) * max(hw), 0.4)
                 for _ in range(int(rng.integers(1, 5)))]  # fmt: skip
        cover = stroke(hw, lines, rng.uniform(2.0, 9.0))
        soft = max(soft, 1.6)
    cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), soft), np.float32)
    image *= 1.0 - cover[..., None] * (rng.uniform(0.2, 0.65) * np.array([1.05, 1.0, 0.9])).astype(np.float32)


def _smooth_curve(
    rng: np.random.Generator, start: npt.NDArray[np.float64], heading: float, length: float, bend: float
) -> npt.NDArray[np.float64]:
    """A curve whose direction changes slowly, shape (40, 2): cables, twigs, hoses. Cracks are never so smooth."""
    knots = rng.normal(0, bend, 4)
    turns = heading + np.interp(np.linspace(0, 3, 40), np.arange(4), np.cumsum(knots))
    step = length / 39
    return start + np.cumsum(step * np.stack([np.sin(turns), np.cos(turns)], axis=1), axis=0)


def cable(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """A cable, hose or wire: even width, smooth, with its own shadow and a highlight."""
    hw = (image.shape[0], image.shape[1])
    start = rng.uniform(0, 1, 2) * np.array(hw)
    heading = rng.uniform(0, 2 * np.pi)
    bend = rng.uniform(0.0, 0.6)
    line = np.concatenate([
        _smooth_curve(rng, start, heading + np.pi, 1.3 * max(hw), bend)[::-1],
        _smooth_curve(rng, start, heading, 1.3 * max(hw), bend),
    ])  # fmt: skip
    width = max(rng.uniform(3, 25) * px_per_mm, rng.uniform(1.0, 2.5))
    offset = rng.uniform(0.5, 1.5) * width * np.array([1.0, 0.6])
    darken(image, np.asarray(cv2.GaussianBlur(stroke(hw, [line + offset], width), (0, 0), 1 + width / 4), np.float32),
            rng.uniform(0.1, 0.5))  # fmt: skip
    blend(image, stroke(hw, [line], width), rng.uniform(0.03, 0.5) * (1 + rng.uniform(-0.4, 0.6, 3)))
    if width > 2:
        blend(image, stroke(hw, [line - 0.2 * width], width * 0.3) * np.float32(0.4), [0.85, 0.85, 0.85])


def grooves(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Saw-cut, tined or broomed surface: many narrow parallel lines."""
    hw = (image.shape[0], image.shape[1])
    angle = angle_of_view(rng)
    spacing = max(rng.uniform(10, 40) * px_per_mm, rng.uniform(4, 9))
    reach = float(np.hypot(*hw)) / 2
    jitter = rng.choice([0.0, 0.15]) * spacing
    offsets = np.arange(-reach, reach, spacing)
    lines = [long_line(rng, hw, angle + rng.normal(0, 0.003), float(o + rng.normal(0, jitter))) for o in offsets]
    cover = ragged(rng, stroke(hw, lines, max(rng.uniform(0.15, 0.4) * spacing, 0.7)), rng.uniform(8, 50))
    darken(image, cover, rng.uniform(0.1, 0.6))


def vegetation(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Grass blades, stalks and straw: short tapered strokes, green to brown, in a tuft."""
    hw = (image.shape[0], image.shape[1])
    root = rng.uniform(0, 1, 2) * np.array(hw)
    colour = np.array([0.25, 0.42, 0.12]) if rng.random() < 0.6 else np.array([0.55, 0.47, 0.3])
    for _ in range(int(rng.integers(2, 6))):
        count = int(rng.integers(2, 10))
        length = rng.uniform(0.06, 0.35) * max(hw)
        lines = [_smooth_curve(rng, root + rng.normal(0, 0.06, 2) * hw, rng.uniform(0, 2 * np.pi), length, 0.35)
                 for _ in range(count)]  # fmt: skip
        cover = stroke(hw, lines, max(rng.uniform(1.0, 5.0) * px_per_mm, rng.uniform(0.7, 2.0)))
        blend(image, cover, colour * rng.uniform(0.3, 1.5) * (1 + rng.normal(0, 0.1, 3)))


def scratches(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Scratches, tyre marks and trowel arcs: nearly straight, lighter or darker, fading at the ends."""
    hw = (image.shape[0], image.shape[1])
    heading, bend = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.15)
    for _ in range(int(rng.integers(1, 5))):
        start = rng.uniform(-0.2, 1.0, 2) * np.array(hw)
        line = _smooth_curve(rng, start, heading + rng.normal(0, 0.1), rng.uniform(0.2, 1.0) * max(hw), bend)
        cover = ragged(rng, stroke(hw, [line], rng.uniform(0.6, 2.5)), rng.uniform(5, 40))
        darken(image, cover, rng.uniform(-0.35, 0.35))


def debris(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Pebbles and leaves with a small shadow."""
    hw = (image.shape[0], image.shape[1])
    for _ in range(int(rng.integers(1, 8))):
        centre = rng.uniform(0, 1, 2) * np.array(hw)
        radius = max(rng.uniform(3, 25) * px_per_mm, 1.5)
        turn, flat = rng.uniform(0, 180), rng.uniform(0.25, 1.0)
        tone = rng.uniform(0.1, 0.8) * (1 + rng.uniform(-0.3, 0.3, 3))
        for shift, shade in ((0.35, True), (0.0, False)):
            canvas = np.zeros(hw, np.uint8)
            middle = ((centre[1] + shift * radius) * 16, (centre[0] + shift * radius) * 16)
            axes = (int(radius * 16), int(radius * flat * 16))
            cv2.ellipse(canvas, (int(middle[0]), int(middle[1])), axes, turn, 0, 360, 255, -1, cv2.LINE_AA, 4)
            cover = canvas.astype(np.float32) / 255.0
            if shade:
                darken(image, cover, 0.5)
            else:
                blend(image, cover, tone)


def tar_seal(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """A crack sealed with bitumen: a wide, smooth, black band. Treated, so not a crack any more."""
    hw = (image.shape[0], image.shape[1])
    start = np.array([rng.uniform(0, hw[0]), -10.0])
    line = _smooth_curve(rng, start, rng.normal(0, 0.3), 1.6 * hw[1], 0.3)
    cover = stroke(hw, [line], max(rng.uniform(30, 70) * px_per_mm, 4.0))
    blend(image, cover * np.float32(0.85), rng.uniform(0.06, 0.14) * np.ones(3))


Distractor = Callable[[np.random.Generator, FloatImage, float], None]

HARD_NEGATIVES: dict[str, tuple[Distractor, float]] = {
    "joint": (joint, 3.0),
    "masonry": (masonry, 2.0),
    "formwork": (formwork, 2.5),
    "marking": (marking, 1.0),
    "stain": (stain, 2.0),
    "shadow": (shadow, 2.0),
    "cable": (cable, 1.0),
    "grooves": (grooves, 1.0),
    "vegetation": (vegetation, 0.8),
    "scratches": (scratches, 1.2),
    "debris": (debris, 0.8),
}
"""Name to function and relative frequency in training crops. Another entry would change every generated crop, and with
them what the recipes in ``runs/`` train on."""

ON_PHOTOGRAPHS: dict[str, tuple[Distractor, float]] = {
    "joint": (joint, 3.0),
    "panel_gap": (panel_gap, 3.0),
    "masonry": (masonry, 1.5),
    "rubble": (rubble, 1.0),
    "formwork": (formwork, 1.5),
    "cable": (cable, 1.0),
    "grooves": (grooves, 0.5),
    "ledge": (ledge, 3.0),
    "flaking": (flaking, 2.0),
    "studs": (studs, 1.0),
    "tiles": (tiles, 3.0),
    "courses": (courses, 1.5),
    "openings": (openings, 2.0),
    "mottle": (mottle, 1.5),
}
"""The same of what is drawn on photographs; a recipe names those it trains on."""

FIRST_ON_PHOTOGRAPHS = ("joint", "panel_gap", "masonry", "rubble", "formwork", "cable", "grooves")
"""Of them, those that a recipe without a word on it means."""
