"""Generated road surfaces as a drone sees them, with exact masks: a training set of the shipped models.

    python runs/make_aerial.py --out out/aerial [--count 900] [--lines | --beside | --mistaken fast]

Writes ``aerial/train/images`` and ``aerial/train/masks`` (640×640, JPEG and PNG) into the folder. Worlds of the family
``tuning``, seeds 30000 and up: benchmarks use other seeds, and the family ``fresh`` is left to them. The ground size of
a pixel is drawn from 1.5 to 16 mm; what a crack darkens by less than a tenth of a pixel is left out of its mask.

``--lines`` writes ``aerial_lines/train`` instead, of what is hard on a road: cracks beside painted lines and along the
road's edge, fine cracks, and joints and seals that are no cracks, at 3 to 12 mm a pixel. ``--beside`` writes
``aerial_beside/train``: cracks that run along a seam or a painted line at less than 0.3 m, cracks under trees, and
seams alone. ``--mistaken MODEL`` writes ``aerial_mistaken/train``: of `--count` pictures, most of them over cracks that
run along the road and over vehicles and seams, those in which the model misses a crack or finds one where none is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import shapely
from tqdm import tqdm

from fissura import Segmenter, load_segmenter
from fissura.imaging.write import write_bytes, write_mask
from fissura.metrics.counts import count_centrelines
from fissura.synth.aerial import AerialCamera, AerialView, AerialWorld, WorldOptions, make_world, render_view
from fissura.synth.aerial.grid import Points
from fissura.synth.aerial.vehicles import vehicle_parts
from fissura.synth.aerial.view import draw_camera
from fissura.synth.cracks import coverage_map
from fissura.types import BoolMask, RgbImage

FIRST_SEED, SIZE, PER_WORLD = 30_000, 640, 6
FIRST_LINES, FIRST_BESIDE, FIRST_MISTAKEN = 5_000, 10_000, 20_000  # worlds further on
MISSED_PX, MISSED_SHARE, WRONG_PX = 100, 0.2, 60
"""A picture is mistaken where a model misses so long a centreline and so much of it, or draws so long a wrong one."""
KINDS = {
    "aerial_lines": (("line", 0.35), ("edge", 0.2), ("fine", 0.2), ("seam", 0.25)),
    "aerial_beside": (("beside", 0.6), ("seam", 0.2), ("shade", 0.2)),
}
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


def draw_at_line(number: int, folder: str = "aerial_lines") -> AerialView | None:
    """View ``number`` of a set of `KINDS`: over a place of one of its kinds; None if the world has no such place."""
    first = FIRST_LINES if folder == "aerial_lines" else FIRST_BESIDE
    seed = FIRST_SEED + first + number // PER_WORLD
    rng = np.random.default_rng([seed, 75])
    options = WorldOptions.varied(
        seed, kind="straight" if rng.random() < 0.8 else "curved", surface=str(rng.choice(SURFACES, p=SHARES)),
        family="tuning", extent_m=(60.0, 60.0), vehicles=0.0, houses=0.0,
        trees=0.1 if folder == "aerial_lines" else 1.0, markings=bool(rng.random() < 0.85),
        crack_density=float(rng.uniform(1.5, 4.0)),
    )  # fmt: skip
    world = make_world(seed, options)
    rng = np.random.default_rng([FIRST_SEED + first * PER_WORLD + number, 76])
    names, shares = zip(*KINDS[folder], strict=True)
    places = _hard_places(world, rng, str(rng.choice(names, p=shares)))
    if places is None:
        return None
    return _seen_over(world, rng, places, number, first, 0.012)


def _seen_over(
    world: AerialWorld, rng: np.random.Generator, places: Points, number: int, first: int, coarsest_m: float
) -> AerialView:
    """View ``number`` of a set whose worlds start at `first`, over one of some places, from 3 mm a pixel upwards."""
    gsd_m = float(np.exp(rng.uniform(np.log(0.003), np.log(coarsest_m))))
    x, y = places[int(rng.integers(len(places)))] + rng.uniform(-0.25, 0.25, 2) * SIZE * gsd_m
    focal = 3000.0
    camera = draw_camera(
        world, FIRST_SEED + number, height_m=gsd_m * focal, focal_px=focal, image_hw=(SIZE, SIZE), x_m=float(x),
        y_m=float(y), blur_px=float(rng.uniform(0.4, 1.0)), noise=float(rng.uniform(0.002, 0.015)), vignetting=0.0,
        exposure=float(np.exp(rng.normal(0.0, 0.25))),
    )  # fmt: skip
    return render_view(world, camera, seed=FIRST_SEED + first * PER_WORLD + number)


def draw_over(number: int) -> AerialView:
    """View ``number`` for ``--mistaken``: over a crack along the road, another crack, a vehicle or a seam."""
    seed = FIRST_SEED + FIRST_MISTAKEN + number // PER_WORLD
    rng = np.random.default_rng([seed, 77])
    options = WorldOptions.varied(
        seed, kind="straight" if rng.random() < 0.8 else "curved", surface=str(rng.choice(SURFACES, p=SHARES)),
        family="tuning", extent_m=(60.0, 60.0), vehicles=0.6, houses=0.1, trees=0.3,
        crack_density=float(rng.uniform(1.5, 4.0)),
    )  # fmt: skip
    world = make_world(seed, options)
    rng = np.random.default_rng([FIRST_SEED + FIRST_MISTAKEN * PER_WORLD + number, 78])
    along = [c.points_en for c in world.cracks if c.kind == "longitudinal"]
    other = [c.points_en for c in world.cracks if c.kind != "longitudinal"]
    vehicles = [part.corners_en for vehicle in world.vehicles for part in vehicle_parts(vehicle, world.sun)]
    seams = [np.asarray(s.exterior.coords) for detail in world.details for s, _ in detail.seams if not s.is_empty]
    kinds = [(lines, share) for lines, share in ((along, 0.5), (other, 0.15), (vehicles, 0.2), (seams, 0.15)) if lines]
    if not kinds:
        kinds = [([np.array(world.extent_m)[None] / 2], 1.0)]
    shares = np.array([share for _, share in kinds])
    places = np.concatenate(kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))][0])
    return _seen_over(world, rng, places, number, FIRST_MISTAKEN, 0.009)


def is_mistaken(segmenter: Segmenter, rgb: RgbImage, truth: BoolMask) -> bool:
    """Whether a model misses or invents a good piece of a crack."""
    _, lines = count_centrelines(segmenter.probability(rgb) > 0.5, truth)
    missed, wrong = lines.truth - lines.truth_hit, lines.predicted - lines.predicted_hit
    return (missed >= MISSED_PX and missed >= MISSED_SHARE * lines.truth) or wrong >= WRONG_PX


def _hard_places(world: AerialWorld, rng: np.random.Generator, kind: str) -> Points | None:
    """Points (N, 2) of one kind, inside the extent."""
    seams = [shape for detail in world.details for shape, _ in detail.seams if not shape.is_empty]
    if kind == "seam":
        points = np.concatenate([np.asarray(shape.exterior.coords) for shape in seams] or [np.zeros((0, 2))])
    else:
        cracks = [c for c in world.cracks if kind != "beside" or c.kind == "longitudinal"]
        points = np.concatenate([c.points_en for c in cracks] or [np.zeros((0, 2))])
        width = np.concatenate([c.width_mm for c in cracks] or [np.zeros(0)])
        if kind == "fine":
            points = points[width < 7.0]
        else:
            lines, reach = {
                "line": ([m.shape for m in world.markings], 0.12),
                "edge": ([world.carriageway.boundary], 0.5),
                "beside": ([m.shape for m in world.markings] + seams, 0.3),
                "shade": ([shapely.MultiPoint(_tree_shadows(world))], 3.0),
            }[kind]
            points = points[shapely.distance(shapely.points(points), shapely.union_all(lines)) < reach]
    inside = ((points > 3.0) & (points < np.array(world.extent_m) - 3.0)).all(axis=1)
    return points[inside] if inside.any() else None


def _tree_shadows(world: AerialWorld) -> Points:
    """Where the tops of the trees cast their shadows, (N, 2)."""
    trees, sun = world.landscape.trees, world.sun
    return np.asarray(trees.centre_en + np.outer(trees.height_m, np.array(sun.shadow_en) * sun.length))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=900)
    parser.add_argument("--first", type=int, default=0, help="number to start at, for several processes")
    parser.add_argument("--lines", action="store_true", help="cracks beside lines, at edges, fine ones; joints")
    parser.add_argument("--beside", action="store_true", help="cracks along seams and painted lines; seams; shade")
    parser.add_argument("--mistaken", metavar="MODEL", help="only pictures in which this model is wrong")
    options = parser.parse_args()
    if options.lines + options.beside + bool(options.mistaken) > 1:
        parser.error("--lines, --beside and --mistaken write different sets; run the command for each")
    kinds = {"aerial_lines": options.lines, "aerial_beside": options.beside, "aerial_mistaken": options.mistaken}
    name = next((kind for kind, wanted in kinds.items() if wanted), "aerial")
    segmenter = load_segmenter(options.mistaken) if options.mistaken else None
    folders = [options.out / name / "train" / part for part in ("images", "masks")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(options.first, options.first + options.count)):
        if name == "aerial":
            view: AerialView | None = draw(number)
        else:
            view = draw_at_line(number, name) if segmenter is None else draw_over(number)
        if view is None:
            continue
        cover = coverage_map(view.cracks_px(), (SIZE, SIZE), 1.0)
        seen = cv2.dilate(cover.astype(np.float32), np.ones((3, 3), np.uint8)) >= 0.1
        truth = view.crack_mask & seen
        if segmenter is not None and not is_mistaken(segmenter, view.rgb, truth):
            continue
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(view.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 93])[1]
        write_bytes(folders[0] / f"{number:05d}.jpg", jpeg.tobytes())
        write_mask(folders[1] / f"{number:05d}.png", truth)


if __name__ == "__main__":
    main()
