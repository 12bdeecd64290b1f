"""Walls and floors that look cracked and are not: bricks, stones, tiles, panels, ledges, flaking paint, openings.

As `fissura.synth.distractors`: each function changes an image of reflected light in place, (H, W, 3) float32, 0 to 1.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fissura.synth.strokes import angle_of_view, blend, darken, long_line, ragged, stroke
from fissura.synth.textures import FloatImage, cell_noise, octave_noise


def masonry(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Bricks, blocks or tiles: own tone for each, joints lighter or darker, running bond or grid."""
    h, w = image.shape[:2]
    px = px_per_mm
    unit_h = max(rng.choice([65.0, 100.0, 150.0, 200.0, 300.0]) * px, 9.0)
    unit_w = unit_h * rng.choice([1.0, 1.5, 2.0, 3.2])
    joint_px = max(rng.uniform(2, 14) * px, rng.uniform(0.9, 1.8))
    angle, bond = angle_of_view(rng), rng.choice([0.0, 0.5, 0.33])
    rows = np.arange(h, dtype=np.float32)[:, None] - h / 2 + np.float32(rng.uniform(0, 400))
    columns = np.arange(w, dtype=np.float32)[None, :] - w / 2 + np.float32(rng.uniform(0, 400))
    v = np.float32(np.cos(angle)) * rows - np.float32(np.sin(angle)) * columns
    u = np.float32(np.sin(angle)) * rows + np.float32(np.cos(angle)) * columns
    # Hand-laid units wander a little; factory tiles do not.
    wobble = np.float32(rng.choice([0.0, 0.25, 0.6])) * joint_px
    v = v + wobble * cell_noise(rng, (h, w), (unit_h, unit_h))
    course = np.floor(v / unit_h)
    u = u + np.float32(bond * unit_w) * np.mod(course, 2) + wobble * cell_noise(rng, (h, w), (unit_h, unit_h))
    piece = np.floor(u / unit_w)
    to_edge = np.minimum.reduce([v - course * unit_h, (course + 1) * unit_h - v,
                                 u - piece * unit_w, (piece + 1) * unit_w - u])  # fmt: skip
    cover = np.clip(joint_px / 2 - to_edge + 0.5, 0, 1).astype(np.float32)
    tones = rng.normal(0, rng.uniform(0, 0.15), 997).astype(np.float32)
    index = (course * 131 + piece * 17).astype(np.int64) % 997
    image *= (1.0 + tones[index])[..., None]
    if rng.random() < 0.4:
        image *= np.array([1.25, 0.85, 0.7], np.float32) ** np.float32(rng.uniform(0.3, 1.2))  # Brick red.
    if rng.random() < 0.45:
        blend(image, cover * np.float32(rng.uniform(0.4, 1.0)), rng.uniform(0.45, 0.9) * np.array([1, 0.98, 0.94]))
    else:
        darken(image, cover, rng.uniform(0.2, 0.85))


def formwork(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Prints of boards or panels: faint parallel lines, boards of different tone, tie holes."""
    hw = (image.shape[0], image.shape[1])
    angle = angle_of_view(rng)
    spacing = max(rng.choice([80.0, 120.0, 200.0, 500.0]) * px_per_mm, 14.0)
    reach = float(np.hypot(*hw)) / 2
    offsets = np.arange(-reach + rng.uniform(0, spacing), reach, spacing)
    lines = [long_line(rng, hw, angle + rng.normal(0, 0.004), float(o)) for o in offsets]
    cover = stroke(hw, lines, max(rng.uniform(1, 5) * px_per_mm, rng.uniform(0.6, 1.4)))
    cover = ragged(rng, cover, rng.uniform(5, 40))
    sign = rng.choice([1.0, 1.0, -0.5])  # Fins of paste catch light, gaps hold shadow.
    darken(image, cover, float(sign * rng.uniform(0.08, 0.5)))
    if rng.random() < 0.6:
        rows = np.arange(hw[0], dtype=np.float32)[:, None] - hw[0] / 2
        columns = np.arange(hw[1], dtype=np.float32)[None, :] - hw[1] / 2
        across = np.float32(np.cos(angle)) * rows - np.float32(np.sin(angle)) * columns
        tones = rng.normal(1, rng.uniform(0.01, 0.07), len(offsets) + 2).astype(np.float32)
        image *= tones[np.searchsorted(offsets, -across)][..., None]
    if rng.random() < 0.4:
        for _ in range(int(rng.integers(1, 4))):
            _dot(image, rng.uniform(0, hw[0]), rng.uniform(0, hw[1]), max(12 * px_per_mm, 1.5), rng.uniform(0.3, 0.8))


def panel_gap(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Gaps between panels, posts and planks: straight, dark within, one flank in the shade or in the light."""
    hw = (image.shape[0], image.shape[1])
    angle = angle_of_view(rng)
    gap = max(rng.uniform(2, 25) * px_per_mm, rng.uniform(0.8, 2.0))
    rows = np.arange(hw[0], dtype=np.float32)[:, None] - hw[0] / 2
    columns = np.arange(hw[1], dtype=np.float32)[None, :] - hw[1] / 2
    spacing = math.exp(rng.uniform(math.log(18.0), math.log(300.0)))
    first, count = rng.uniform(-0.5, 0.5) * min(hw), int(rng.choice([1, 1, 2, 3, 9]))
    depth, soft = rng.uniform(0.3, 0.97), rng.uniform(0.4, 1.8)
    reach, shade = math.exp(rng.uniform(math.log(3.0), math.log(50.0))), rng.uniform(-0.25, 0.5)
    shaded = rng.random() < 0.6
    for k in range(count):
        # Lines of one wall run together where the camera looks along it.
        lean = angle + 0.02 * k * rng.normal()
        across = np.float32(math.cos(lean)) * rows - np.float32(math.sin(lean)) * columns - (first + k * spacing)
        if shaded:
            flank = np.exp(-np.abs(across) / np.float32(reach)) * (across > 0)
            image *= (1.0 - np.float32(shade) * flank)[..., None]
        cover = np.clip((gap / 2 - np.abs(across)) / soft + 0.5, 0, 1).astype(np.float32)
        if rng.random() < 0.4:
            cover = ragged(rng, cover, rng.uniform(8, 80))
        darken(image, cover, depth)


def rubble(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Natural stones with deep joints: no courses, no even width, dark where nothing fills them."""
    h, w = image.shape[:2]
    stone = max(rng.choice([80.0, 150.0, 250.0, 400.0]) * px_per_mm, 14.0)
    flat = rng.choice([1.0, 2.0, 3.5])  # how much longer than high
    cell = np.array([stone, stone * flat])
    counts = (np.ceil(np.array([h, w]) / cell) + 3).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), -1).reshape(-1, 2).astype(np.float64)
    grid[:, 1] += 0.5 * (grid[:, 0] % 2)  # bonded
    seeds = grid + rng.uniform(-0.35, 0.35, grid.shape) - 1.0 - rng.uniform(0, 1, 2)
    cells = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij"), -1).reshape(-1, 2) / cell
    wander = 0.12 * cell_noise(rng, (h, w), (stone / 3, stone / 3)).reshape(-1, 1)
    near, which = cKDTree(seeds).query(cells + wander, k=2)
    to_edge = ((near[:, 1] - near[:, 0]) * stone / 2).reshape(h, w).astype(np.float32)
    joint_px = max(rng.uniform(4, 40) * px_per_mm, rng.uniform(1.0, 2.5))
    joint_px = joint_px * np.clip(1 + 0.4 * cell_noise(rng, (h, w), (stone, stone)), 0.3, 2.0)
    cover = np.clip((joint_px / 2 - to_edge) / rng.uniform(0.6, 3.0) + 0.5, 0, 1).astype(np.float32)
    tones = rng.normal(0, rng.uniform(0.02, 0.2), len(seeds)).astype(np.float32)
    image *= np.clip(1.0 + tones[which[:, 0]].reshape(h, w), 0.3, 1.8)[..., None]
    # Stones are round: darker towards their edges.
    image *= (1.0 - np.float32(rng.uniform(0.0, 0.4)) * np.exp(-to_edge / np.float32(stone / 8)))[..., None]
    darken(image, cover, rng.uniform(0.3, 0.97))


def _dot(image: FloatImage, row: float, column: float, radius_px: float, depth: float) -> None:
    canvas = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(canvas, (int(column * 16), int(row * 16)), int(radius_px * 16), 255, -1, cv2.LINE_AA, 4)
    darken(image, canvas.astype(np.float32) / 255.0, depth)


def ledge(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Where two surfaces meet: a wall and its coping, a frame, a strip, the ground; each of its own tone and grain.

    Along the edge there is what such edges have: a dark seam, the shade of what stands out, a lit rim, or nothing.
    """
    h, w = image.shape[:2]
    angle = angle_of_view(rng)
    rows = np.arange(h, dtype=np.float32)[:, None] - h / 2
    columns = np.arange(w, dtype=np.float32)[None, :] - w / 2
    first = rng.uniform(-0.45, 0.45) * min(h, w)
    edges = [first]
    for _ in range(int(rng.choice(3, p=[0.45, 0.4, 0.15]))):  # a strip has two edges, a moulding three
        edges.append(edges[-1] + math.exp(rng.uniform(math.log(6.0), math.log(0.5 * min(h, w)))))
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(2.0, 6.0)), np.float32)
    for k, edge in enumerate(edges):
        lean = angle + 0.03 * k * rng.normal()
        across = np.float32(math.cos(lean)) * rows - np.float32(math.sin(lean)) * columns - np.float32(edge)
        across += np.float32(rng.choice([0.0, 0.0, 0.4, 1.0])) * cell_noise(rng, (h, w), (9.0, 9.0))
        beyond = np.clip(across / np.float32(rng.uniform(0.5, 1.5)) + 0.5, 0, 1).astype(np.float32)
        other = smooth if rng.random() < 0.5 else np.ascontiguousarray(image[::-1, ::-1])
        tone = math.exp(rng.normal(0.0, 0.45)) * (1.0 + rng.normal(0.0, 0.08, 3)).astype(np.float32)
        if rng.random() < 0.3:  # painted, or metal
            other = np.float32(0.15) * other + np.float32(0.85 * rng.uniform(0.08, 0.9))
        blend(image, beyond, np.clip(other * tone, 0.01, 1.0))
        if rng.random() < 0.7:
            reach = math.exp(rng.uniform(math.log(1.5), math.log(40.0)))
            shade = np.exp(-np.abs(across) / np.float32(reach)) * (across > 0 if rng.random() < 0.5 else across < 0)
            darken(image, shade.astype(np.float32), rng.uniform(-0.15, 0.75))
        if rng.random() < 0.6:
            half = max(rng.uniform(1, 15) * px_per_mm, rng.uniform(0.8, 2.5)) / 2
            seam = np.clip((half - np.abs(across)) / np.float32(rng.uniform(0.4, 1.5)) + 0.5, 0, 1).astype(np.float32)
            if rng.random() < 0.5:
                seam = ragged(rng, seam, rng.uniform(6, 80))
            darken(image, seam, rng.uniform(0.2, 0.95))


def flaking(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Paint or paste come off in patches: flat or rough inside, their rims lit on one side and dark on the other."""
    hw = (image.shape[0], image.shape[1])
    scale = math.exp(rng.uniform(math.log(10.0), math.log(0.4 * max(hw))))
    weights = [1.0, rng.uniform(0.4, 1.0), rng.uniform(0.2, 0.8), rng.uniform(0.0, 0.5)]
    field = octave_noise(rng, hw, [scale, scale / 3, scale / 9, max(scale / 27, 1.2)], weights)
    patch = np.clip((field - np.quantile(field, rng.uniform(0.6, 0.97))) * rng.uniform(4.0, 30.0), 0, 1)
    patch = np.asarray(patch, np.float32)
    soft = np.asarray(cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.6, 1.8)), np.float32)
    sun = rng.uniform(0, 2 * np.pi)
    slope = math.cos(sun) * cv2.Sobel(soft, cv2.CV_32F, 1, 0) + math.sin(sun) * cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    image *= (1.0 + np.float32(rng.uniform(0.1, 0.7)) * slope)[..., None].clip(0.15, 1.6)
    tone = math.exp(rng.normal(0.0, 0.3)) * (1.0 + rng.normal(0.0, 0.06, 3)).astype(np.float32)
    rough = 1.0 + np.float32(rng.uniform(0.0, 0.25)) * cell_noise(rng, hw, (2.0, 2.0))
    blend(image, patch * np.float32(rng.uniform(0.3, 1.0)), np.clip(image * tone * rough[..., None], 0.01, 1.0))


def studs(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Rows of round things: tie holes, studs, screws, pads; darker or lighter, with a rim and their own shade."""
    h, w = image.shape[:2]
    spacing = math.exp(rng.uniform(math.log(18.0), math.log(140.0)))
    radius = spacing * rng.uniform(0.08, 0.36)
    turn, flat = angle_of_view(rng), rng.uniform(0.6, 1.0)
    shift, jitter = rng.uniform(0, spacing, 2), rng.choice([0.0, 0.05]) * spacing
    count = int(math.hypot(h, w) / spacing) + 2
    inside, rim = np.zeros((h, w), np.uint8), np.zeros((h, w), np.uint8)
    for row in range(-count // 2, count // 2 + 1):
        for column in range(-count // 2, count // 2 + 1):
            if rng.random() < 0.1:
                continue
            y, x = spacing * row + shift[0] + rng.normal(0, 1) * jitter, spacing * column + shift[1]
            centre = (
                int(16 * (w / 2 + math.cos(turn) * x - math.sin(turn) * y)),
                int(16 * (h / 2 + math.sin(turn) * x + math.cos(turn) * y)),
            )
            axes = (max(int(16 * radius), 16), max(int(16 * radius * flat), 16))
            cv2.ellipse(inside, centre, axes, math.degrees(turn), 0, 360, 255, -1, cv2.LINE_AA, 4)
            cv2.ellipse(rim, centre, axes, math.degrees(turn), 0, 360, 255, max(int(radius / 5), 1), cv2.LINE_AA, 4)
    blend(image, inside.astype(np.float32) / 255.0 * np.float32(rng.uniform(0.3, 1.0)),
           np.clip(image * math.exp(rng.normal(0, 0.6)), 0.01, 1.0))  # fmt: skip
    darken(image, rim.astype(np.float32) / 255.0, rng.uniform(-0.3, 0.8))


def tiles(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Tiles on a floor or a wall, square, bonded, hexagonal or with small ones at the corners, seen at a slant."""
    h, w = image.shape[:2]
    size = math.exp(rng.uniform(math.log(14.0), math.log(180.0)))
    turn = rng.uniform(0, np.pi) if rng.random() < 0.5 else angle_of_view(rng)
    rows = (np.arange(h, dtype=np.float32)[:, None] - h / 2) / size
    columns = (np.arange(w, dtype=np.float32)[None, :] - w / 2) / size
    # Where the camera looks along them they shrink with distance: u and v are divided by what grows that way.
    lean, towards = rng.choice([0.0, 0.3, 0.7]) * rng.uniform(0, 1), rng.uniform(0, 2 * np.pi)
    away = 1.0 + np.float32(lean) * size * (math.sin(towards) * rows + math.cos(towards) * columns) / (max(h, w) / 2)
    away = np.maximum(away, 0.15).astype(np.float32)
    shift = rng.uniform(0, 50, 2)
    v = ((math.cos(turn) * rows - math.sin(turn) * columns) / away + shift[0]).astype(np.float32)
    u = ((math.sin(turn) * rows + math.cos(turn) * columns) / away + shift[1]).astype(np.float32)
    kind = rng.choice(["square", "bonded", "long", "hexagons", "corners"], p=[0.4, 0.15, 0.15, 0.15, 0.15])
    if kind == "hexagons":
        centres = np.stack(np.meshgrid(np.arange(-1, 2), np.arange(-1, 2), indexing="ij"), -1).reshape(-1, 2)
        y = np.floor(v / np.float32(math.sqrt(0.75)))[..., None] + centres[:, 0]
        x = np.floor(u)[..., None] + centres[:, 1]
        far = np.hypot(v[..., None] - y * math.sqrt(0.75), u[..., None] - x - 0.5 * np.mod(y, 2))
        order = np.partition(far, 1, axis=-1)
        to_edge = ((order[..., 1] - order[..., 0]) / 2).astype(np.float32)
        which = np.take_along_axis(y * 131 + x * 17, far.argmin(axis=-1)[..., None], axis=-1)[..., 0]
    else:
        times = np.float32(rng.choice([2.0, 4.0, 8.0]) if kind == "long" else 1.0)  # as long as high
        u = u / times
        course = np.floor(v)
        if kind == "bonded" or (kind == "long" and rng.random() < 0.6):
            u = u + np.float32(rng.choice([0.5, 0.33])) * np.mod(course, 2)
        piece = np.floor(u)
        du, dv = np.minimum(u - piece, piece + 1 - u), np.minimum(v - course, course + 1 - v)
        to_edge = np.minimum(du * times, dv)
        which = course * 131 + piece * 17
        if kind == "corners":  # a small tile on its corner where four meet
            to_edge = np.where(du + dv < 0.28, np.abs(0.28 - du - dv), np.minimum(to_edge, np.abs(0.28 - du - dv)))
    to_edge_px = to_edge * np.float32(size) / away if lean < 0.3 else to_edge * np.float32(size)
    width = rng.uniform(0.8, 5.0) if rng.random() < 0.7 else max(rng.uniform(2, 12) * px_per_mm, 0.8)
    cover = np.clip((width / 2 - to_edge_px) / np.float32(rng.uniform(0.5, 1.5)) + 0.5, 0, 1).astype(np.float32)
    tones = rng.normal(0, rng.choice([0.0, 0.02, 0.08]), 997).astype(np.float32)
    image *= (1.0 + tones[which.astype(np.int64) % 997])[..., None]
    if rng.random() < 0.4:  # rounded edges
        image *= (1.0 + np.float32(rng.uniform(-0.25, 0.2)) * np.exp(-to_edge_px / np.float32(width + 1)))[..., None]
    if rng.random() < 0.4:
        cover = ragged(rng, cover, rng.uniform(8, 80))
    if rng.random() < 0.3:
        blend(image, cover * np.float32(rng.uniform(0.4, 1.0)), rng.uniform(0.4, 0.95) * np.ones(3))
    else:
        darken(image, cover, rng.uniform(0.15, 0.95))


def courses(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Rough slabs in layers: their faces in relief, between them shadow, here wide and there narrow.

    Many of them, and none without relief: a lone dark line that wanders is a crack.
    """
    h, w = image.shape[:2]
    height = math.exp(rng.uniform(math.log(10.0), math.log(48.0)))
    angle = rng.normal(0, 0.05) + (np.pi / 2 if rng.random() < 0.2 else 0.0)
    rows = np.arange(h, dtype=np.float32)[:, None] - h / 2
    columns = np.arange(w, dtype=np.float32)[None, :] - w / 2
    v = np.float32(math.cos(angle)) * rows - np.float32(math.sin(angle)) * columns
    u = np.float32(math.sin(angle)) * rows + np.float32(math.cos(angle)) * columns
    rough = height * rng.uniform(0.02, 0.12)
    v = v + np.float32(rough) * octave_noise(rng, (h, w), [4 * height, height, height / 3], [1.0, 0.7, 0.4])
    u = u + np.float32(rough) * cell_noise(rng, (h, w), (height / 2, height / 2))
    reach = float(np.hypot(h, w))
    steps = height * np.exp(rng.normal(0, rng.uniform(0.0, 0.5), int(2 * reach / height) + 4))
    bounds = np.cumsum(steps) - steps.sum() / 2
    layer = np.clip(np.searchsorted(bounds, v), 1, len(bounds) - 1)
    to_edge = np.minimum(v - bounds[layer - 1], bounds[layer] - v)
    length = height * rng.uniform(1.5, 8.0)
    along = u / length + rng.uniform(0, 1, len(bounds) + 1)[layer] * 7
    to_edge = np.minimum(to_edge, length * np.minimum(along - np.floor(along), np.ceil(along) - along))
    to_edge = to_edge.astype(np.float32)
    relief = octave_noise(rng, (h, w), [height / 2, height / 5, max(height / 12, 1.5)], [1.0, 0.7, 0.5])
    sun = rng.uniform(0, 2 * np.pi)
    slope = math.cos(sun) * cv2.Sobel(relief, cv2.CV_32F, 1, 0) + math.sin(sun) * cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    image *= (1.0 + np.float32(rng.uniform(0.06, 0.2)) * slope)[..., None].clip(0.25, 1.8)
    tones = rng.normal(1, rng.uniform(0.05, 0.2), 997).astype(np.float32)
    image *= tones[(layer * 131 + np.floor(along).astype(np.int64) * 17) % 997][..., None].clip(0.4, 1.7)
    gap = rng.uniform(0.1, 0.32) * height * np.clip(0.9 + 0.6 * cell_noise(rng, (h, w), (height, 2 * height)), 0.3, 2.0)
    cover = np.clip((gap / 2 - to_edge) / np.float32(rng.uniform(0.7, 3.0)) + 0.5, 0, 1).astype(np.float32)
    darken(image, cover, rng.uniform(0.4, 0.98))


def openings(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Dark things of some size: windows, drains, holes, pipes, what lies behind an edge; rimmed, shaded, or plain."""
    h, w = image.shape[:2]
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        canvas = np.zeros((h, w), np.uint8)
        centre = rng.uniform(0, 1, 2) * np.array([w, h])
        long = math.exp(rng.uniform(math.log(8.0), math.log(0.7 * max(h, w))))
        kind = rng.choice(["box", "disc", "strip", "corner"], p=[0.35, 0.2, 0.3, 0.15])
        turn = angle_of_view(rng)
        if kind == "disc":
            axes = (int(8 * long), int(8 * long * rng.uniform(0.5, 1.0)))
            cv2.ellipse(canvas, (int(centre[0] * 16), int(centre[1] * 16)), axes, math.degrees(turn), 0, 360, 255, -1,
                        cv2.LINE_AA, 4)  # fmt: skip
        else:
            across = (
                long * rng.uniform(0.3, 1.0) if kind == "box" else math.exp(rng.uniform(math.log(4.0), math.log(60.0)))
            )
            half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.5
            if kind == "strip":
                long = 3.0 * max(h, w)
            elif kind == "corner":  # all that lies beyond two edges
                long = across = 2.0 * max(h, w)
                half = np.array([[0, 0], [1, rng.uniform(-0.2, 0.2)], [1, 1], [rng.uniform(-0.2, 0.2), 1]])
                turn += rng.integers(4) * np.pi / 2
            axis = np.array([math.cos(turn), math.sin(turn)])
            corners = centre + half[:, :1] * long * axis + half[:, 1:] * across * np.array([-axis[1], axis[0]])
            cv2.fillPoly(canvas, [np.rint(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        cover = np.asarray(cv2.GaussianBlur(canvas, (0, 0), math.exp(rng.uniform(-0.7, 1.2))), np.float32) / 255.0
        if rng.random() < 0.5:  # a rim, darker or lighter
            edge = np.asarray(cv2.GaussianBlur(cover, (0, 0), rng.uniform(1.0, 4.0)), np.float32)
            image *= (1.0 + np.float32(rng.uniform(-1.2, 0.8)) * edge * (1.0 - edge))[..., None].clip(0.2, 1.6)
        if rng.random() < 0.3:  # a pipe or a post stands before its own shade
            offset = np.array([[1, 0, rng.uniform(-8, 8)], [0, 1, rng.uniform(0, 8)]])
            fallen = cv2.GaussianBlur(cv2.warpAffine(cover, offset, (w, h)), (0, 0), rng.uniform(1.0, 5.0))
            darken(image, np.asarray(fallen, np.float32), rng.uniform(0.2, 0.7))
        tone = rng.uniform(0.01, 0.25) if rng.random() < 0.7 else rng.uniform(0.2, 0.9)
        inside = tone * (1.0 + rng.uniform(0, 0.4) * cell_noise(rng, (h, w), (h / 3, w / 3)))[..., None]
        inside = inside + np.float32(rng.uniform(0.0, 0.3)) * image
        blend(image, cover * np.float32(rng.uniform(0.8, 1.0)), np.clip(inside, 0.005, 1.0))


def mottle(rng: np.random.Generator, image: FloatImage, px_per_mm: float) -> None:
    """Weathered plaster and lime bloom: a net of small blotches with crisp rims, lighter and darker, everywhere."""
    hw = (image.shape[0], image.shape[1])
    for _ in range(int(rng.integers(1, 4))):
        scale = math.exp(rng.uniform(math.log(3.0), math.log(30.0)))
        weights = [1.0, rng.uniform(0.3, 1.0), rng.uniform(0.0, 0.7)]
        stretch = (1.0, rng.choice([1.0, 1.0, 2.5]))
        field = octave_noise(rng, hw, [scale, scale / 2, max(scale / 5, 1.0)], weights, stretch=stretch)
        field += np.float32(rng.uniform(0.0, 1.0)) * cell_noise(rng, hw, (8 * scale, 8 * scale))
        cut = np.quantile(field, rng.uniform(0.3, 0.9))
        cover = np.clip((field - cut) * np.float32(rng.uniform(1.0, 12.0)) + 0.5, 0, 1).astype(np.float32)
        darken(image, cover, rng.uniform(-0.35, 0.35))
