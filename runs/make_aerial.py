"""Generated road surfaces as a drone sees them, with exact masks: a training set of the shipped models.

    python runs/make_aerial.py --out out/aerial [--count 900] [--lines]

Writes ``aerial/train/images`` and ``aerial/train/masks`` (640×640, JPEG and PNG) into the folder. Worlds of the family
``tuning``, seeds 30000 and up: benchmarks use other seeds, and the family ``fresh`` is left to them. The ground size of
a pixel is drawn from 1.5 to 16 mm; what a crack darkens by less than a tenth of a pixel is left out of its mask.

``--lines`` writes ``aerial_lines/train`` instead, of what is hard on a road: cracks beside painted lines and along the
road's edge, fine cracks, and joints and seals that are no cracks, at 3 to 12 mm a pixel.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import shapely
from tqdm import tqdm

from fissura.imaging.write import write_bytes, write_mask
from fissura.synth.aerial import AerialCamera, AerialView, AerialWorld, WorldOptions, make_world, render_view
from fissura.synth.aerial.grid import Points
from fissura.synth.aerial.view import draw_camera
from fissura.synth.cracks import coverage_map

FIRST_SEED, SIZE, PER_WORLD = 30_000, 640, 6
FIRST_LINES = 5_000  # worlds further on
SURFACES = ("asphalt_light", "asphalt_patched", "asphalt_dark", "concrete")
SHARES = (0.35, 0.35, 0.15, 0.15)


def draw(number: int) -> AerialView:
    """View ``number``: every `PER_WORLD` of them show one world."""
    seed = FIRST_SEED + number // PER_WORLD
    rng = np.random.default_rng([seed, 71])
    cracked = rng.random() < 0.85
    options = WorldOptions.varied(
        seed, kind="straight" if rng.random() < 0.7 else "curved", surface=str(rng.choice(SURFACES, p=SHARES)),
        family="tuning", extent_m=(60.0, 60.0), vehicles=0.3, houses=0.1,
        crack_density=float(rng.uniform(1.5, 4.0)) if cracked else 0.0,
    )  # fmt: skip
    world = make_world(seed, options)
    rng = np.random.default_rng([FIRST_SEED + number, 73])
    gsd_m = float(np.exp(rng.uniform(np.log(0.0015), np.log(0.016))))
    focal = 3000.0
    camera = draw_camera(
        world, FIRST_SEED + number, height_m=gsd_m * focal, focal_px=focal, image_hw=(SIZE, SIZE),
        blur_px=float(rng.uniform(0.4, 1.1)), noise=float(rng.uniform(0.002, 0.02)), vignetting=0.0,
        exposure=float(np.exp(rng.normal(0.0, 0.2))), motion_px=float(rng.choice([0.0, 0.0, 0.0, rng.uniform(1, 4)])),
        motion_deg=float(rng.uniform(0, 180)),
    )  # fmt: skip
    if cracked and world.cracks and rng.random() < 0.7:  # over a crack
        points = world.cracks[int(rng.integers(len(world.cracks)))].points_en
        x, y = points[int(rng.integers(len(points)))] + rng.uniform(-0.3, 0.3, 2) * SIZE * gsd_m
        camera = AerialCamera(**(vars(camera) | {"x_m": float(x), "y_m": float(y)}))
    return render_view(world, camera, seed=FIRST_SEED + number)


def draw_at_line(number: int) -> AerialView | None:
    """View ``number`` of ``--lines``: over a crack beside paint or at the edge, a fine crack, or a seam; None if the
    world has no such place."""
    seed = FIRST_SEED + FIRST_LINES + number // PER_WORLD
    rng = np.random.default_rng([seed, 75])
    options = WorldOptions.varied(
        seed, kind="straight" if rng.random() < 0.8 else "curved", surface=str(rng.choice(SURFACES, p=SHARES)),
        family="tuning", extent_m=(60.0, 60.0), vehicles=0.0, houses=0.0, trees=0.1, markings=bool(rng.random() < 0.85),
        crack_density=float(rng.uniform(1.5, 4.0)),
    )  # fmt: skip
    world = make_world(seed, options)
    rng = np.random.default_rng([FIRST_SEED + FIRST_LINES * PER_WORLD + number, 76])
    places = _hard_places(world, rng)
    if places is None:
        return None
    gsd_m = float(np.exp(rng.uniform(np.log(0.003), np.log(0.012))))
    x, y = places[int(rng.integers(len(places)))] + rng.uniform(-0.25, 0.25, 2) * SIZE * gsd_m
    focal = 3000.0
    camera = draw_camera(
        world, FIRST_SEED + number, height_m=gsd_m * focal, focal_px=focal, image_hw=(SIZE, SIZE), x_m=float(x),
        y_m=float(y), blur_px=float(rng.uniform(0.4, 1.0)), noise=float(rng.uniform(0.002, 0.015)), vignetting=0.0,
        exposure=float(np.exp(rng.normal(0.0, 0.25))),
    )  # fmt: skip
    return render_view(world, camera, seed=FIRST_SEED + FIRST_LINES * PER_WORLD + number)


def _hard_places(world: AerialWorld, rng: np.random.Generator) -> Points | None:
    """Points (N, 2) of one kind, inside the extent."""
    kind = str(rng.choice(["line", "edge", "fine", "seam"], p=[0.35, 0.2, 0.2, 0.25]))
    if kind == "seam":
        shapes = [shape for detail in world.details for shape, _ in detail.seams]
        found = [np.asarray(shape.exterior.coords) for shape in shapes if not shape.is_empty]
        points = np.concatenate(found) if found else np.zeros((0, 2))
    else:
        points = np.concatenate([c.points_en for c in world.cracks] or [np.zeros((0, 2))])
        width = np.concatenate([c.width_mm for c in world.cracks] or [np.zeros(0)])
        if kind == "fine":
            points = points[width < 7.0]
        else:
            line = (
                shapely.union_all([m.shape for m in world.markings]) if kind == "line" else world.carriageway.boundary
            )
            points = points[shapely.distance(shapely.points(points), line) < (0.12 if kind == "line" else 0.5)]
    inside = ((points > 3.0) & (points < np.array(world.extent_m) - 3.0)).all(axis=1)
    return points[inside] if inside.any() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=900)
    parser.add_argument("--first", type=int, default=0, help="number to start at, for several processes")
    parser.add_argument("--lines", action="store_true", help="cracks beside lines, at edges, fine ones; joints")
    options = parser.parse_args()
    folders = [
        options.out / ("aerial_lines" if options.lines else "aerial") / "train" / name for name in ("images", "masks")
    ]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(options.first, options.first + options.count)):
        view = draw_at_line(number) if options.lines else draw(number)
        if view is None:
            continue
        cover = coverage_map(view.cracks_px(), (SIZE, SIZE), 1.0)
        seen = cv2.dilate(cover.astype(np.float32), np.ones((3, 3), np.uint8)) >= 0.1
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(view.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 93])[1]
        write_bytes(folders[0] / f"{number:05d}.jpg", jpeg.tobytes())
        write_mask(folders[1] / f"{number:05d}.png", view.crack_mask & seen)


if __name__ == "__main__":
    main()
