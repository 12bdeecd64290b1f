"""Generated scenes of roads from the air, for training (`road_train.py`) and for figures (`road_report.py`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fissura.synth.aerial import AerialCamera, AerialView, AerialWorld, WorldOptions, make_world, render_view
from fissura.synth.aerial.materials import Material

KINDS = ("straight", "curved", "junction_t", "dual", "none", "straight", "curved", "junction_x", "dual", "none")


def draw_view(seed: int, family: str, size_hw: tuple[int, int]) -> AerialView:
    """A scene of the kind that comes with the seed, seen by a camera that looks at its road."""
    options = WorldOptions.varied(seed, kind=KINDS[seed % len(KINDS)], family=family, same_grey=seed % 3 == 0)
    world = make_world(seed, options)
    return render_view(world, aim_camera(world, seed, size_hw), seed)


def draw_varied_views(seed: int, size_hw: tuple[int, int], count: int) -> list[AerialView]:
    """Views of one world of the family ``tuning``, most with surfaces of other colours; for training only."""
    options = WorldOptions.varied(seed, kind=KINDS[seed % len(KINDS)], family="tuning", same_grey=seed % 3 == 0)
    world, views = make_world(seed, options), []
    for number in range(count):
        rng = np.random.default_rng([seed, number, 992])
        shown = vary_materials(world, rng) if rng.random() < 0.75 else world
        camera = aim_camera(world, seed + 1_000_000 * number, size_hw)
        views.append(render_view(shown, camera, seed + number))
    return views


def vary_materials(world: AerialWorld, rng: np.random.Generator) -> AerialWorld:
    """The same world of other stuff: every surface in another tone and tint, some with the texture of another."""
    names = list(world.materials)
    changed = {}
    for name, material in world.materials.items():
        one = material
        if rng.random() < 0.2:
            other = world.materials[names[int(rng.integers(len(names)))]]
            one = replace(other, colour=material.colour if rng.random() < 0.6 else other.colour)
        near = 0.3 if name == "grey_soil" else 1.0
        changed[name] = _tinted(one, near * rng.normal(0, 0.16), near * rng.normal(0, 0.07, 3))
    surface = _tinted(world.surface, rng.normal(0, 0.12), rng.normal(0, 0.03, 3))
    return replace(world, materials=changed, surface=surface)


def _tinted(material: Material, tone: float, tint: np.ndarray) -> Material:
    r, g, b = (float(min(c * np.exp(tone + t), 0.95)) for c, t in zip(material.colour, tint, strict=True))
    return replace(material, colour=(r, g, b))


def aim_camera(world: AerialWorld, seed: int, size_hw: tuple[int, int]) -> AerialCamera:
    """Height 11 to 60 m, any heading, a place on or beside a road."""
    rng = np.random.default_rng([seed, 991])
    height_m = float(np.exp(rng.uniform(np.log(11), np.log(60))))
    width = size_hw[1]
    focal_px = 2800 * width / 3840
    seen_m = size_hw[0] / focal_px * height_m
    middle = np.array(world.extent_m) / 2
    if world.roads:
        road = world.roads[int(rng.integers(len(world.roads)))]
        near = road.centre_en[(np.abs(road.centre_en - middle) < 35).all(axis=1)]
        at = near[int(rng.integers(len(near)))] if len(near) else middle
        if world.options.kind.startswith("junction") and rng.random() < 0.6:
            at = middle + rng.uniform(-8, 8, 2)
        at = at + rng.uniform(-0.25, 0.25, 2) * seen_m
    else:
        at = middle + rng.uniform(-25, 25, 2)
    return AerialCamera(
        float(at[0]), float(at[1]), height_m, yaw_deg=float(rng.uniform(0, 360)), focal_px=focal_px, image_hw=size_hw,
        exposure=float(rng.uniform(0.8, 1.15)), blur_px=0.6 * width / 3840 + 0.2,
        noise=float(rng.uniform(0.003, 0.012)), vignetting=float(rng.uniform(0, 0.25)),
    )  # fmt: skip
