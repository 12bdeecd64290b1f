"""Generated scenes of roads from the air, for training (`road_train.py`) and for figures (`road_report.py`)."""

from __future__ import annotations

import numpy as np

from fissura.synth.aerial import AerialCamera, AerialView, AerialWorld, WorldOptions, make_world, render_view

KINDS = ("straight", "curved", "junction_t", "dual", "none", "straight", "curved", "junction_x", "dual", "none")


def draw_view(seed: int, family: str, size_hw: tuple[int, int]) -> AerialView:
    """A scene of the kind that comes with the seed, seen by a camera that looks at its road."""
    options = WorldOptions.varied(seed, kind=KINDS[seed % len(KINDS)], family=family, same_grey=seed % 3 == 0)
    world = make_world(seed, options)
    return render_view(world, aim_camera(world, seed, size_hw), seed)


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
