"""How well the road is found: generated scenes, real frames, speed, and R-Anchors against an upright grid.

    python benchmarks/road_report.py scenes [--count 200]
    python benchmarks/road_report.py real --data .../uav [--pictures DIR]
    python benchmarks/road_report.py speed
    python benchmarks/road_report.py anchors

``scenes``: half of the family that was used for tuning (other seeds), half of the family that was not; each third
scene has roofs or bare soil of the road's grey. ``real``: against outlines drawn before any road finder was run
(benchmarks/outlines). ``anchors``: one generated road seen in eight directions; slices of equal size by either way.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from machine import describe_run, write_result
from road_scenes import KINDS, draw_view
from skimage.morphology import skeletonize

from fissura import load_segmenter
from fissura.geo.homography import transform
from fissura.imaging.read import read_image
from fissura.imaging.write import write_jpeg
from fissura.memory import keep_freed_memory
from fissura.road import Road, RoadSlices, find_road, plan_slices, segment_slices
from fissura.road.overlay import draw_road
from fissura.synth.aerial import AerialCamera, AerialView, WorldOptions, make_world, render_view

OUTLINES = Path(__file__).resolve().parent / "outlines" / "brighton_beach.json"
SCENE_HW = (1080, 1920)
FIRST_SEED = 900_000
"""Far from the seeds of benchmarks/road_train.py, and from 700_000 to 700_199, whose failures were looked at."""
CROSSING_M = 8.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["scenes", "real", "speed", "anchors"])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--data", type=Path, help="folder that holds brighton_beach and highway_thumbnails")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = describe_run()
    result = {"scenes": scenes, "real": real, "speed": speed, "anchors": anchors}[options.what](options)
    print(f"wrote {write_result(f'road_{options.what}', run | result, options.out)}")
    return 0


def scenes(options: argparse.Namespace) -> dict[str, Any]:
    """IoU, direction and whether there is a road, on generated scenes."""
    rows = []
    for number in range(options.count):
        family = "tuning" if number < options.count // 2 else "fresh"
        seed = FIRST_SEED + number
        view = draw_view(seed, family, SCENE_HW)
        road = find_road(view.rgb)
        row: dict[str, Any] = {"seed": seed, "family": family, "kind": KINDS[seed % len(KINDS)], "found": road.found}
        row["same_grey"] = view.world.options.same_grey
        if view.road.mean() > 0.005:
            row["iou"] = iou(road.full_mask(), view.road)
            errors = direction_errors(road, view)
            row["direction_errors_deg"] = [e for e, _, _ in errors]
            row["away_errors_deg"] = [e for e, crossing, _ in errors if not crossing]
            row["centred_errors_deg"] = [e for e, _, centred in errors if centred]
        rows.append(row)
        if options.pictures and (row.get("iou", 1.0) < 0.8 or ("iou" not in row and road.found)):
            name = f"{seed}_{row['kind']}_{row.get('iou', 0):.2f}.jpg"
            picture = draw_road(view.rgb, road, plan_slices(road, tile=256, overlap=64))
            write_jpeg(options.pictures / name, picture)
    summary = {name: summarise(part) for name, part in groups(rows)}
    for name, values in summary.items():
        shown = (f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
        print(f"{name}: " + ", ".join(shown))
    for row in rows:
        row["direction_errors_deg"] = [round(e, 2) for e in row.get("direction_errors_deg", [])][:60]
        row.pop("away_errors_deg", None)
        row.pop("centred_errors_deg", None)
    return {"summary": summary, "rows": rows}


def groups(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """All scenes, and parts of them."""
    yield "all", rows
    for family in ("tuning", "fresh"):
        yield family, [r for r in rows if r["family"] == family]
    yield "same grey", [r for r in rows if r["same_grey"]]
    for kind in sorted(set(KINDS)):
        yield kind, [r for r in rows if r["kind"] == kind]


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and 5th percentile of IoU, errors of direction, share of road-free scenes recognised."""
    overlap = [r["iou"] for r in rows if "iou" in r]
    errors = [e for r in rows for e in r.get("direction_errors_deg", [])]
    away = [e for r in rows for e in r.get("away_errors_deg", [])]
    centred = [e for r in rows for e in r.get("centred_errors_deg", [])]
    empty = [not r["found"] for r in rows if "iou" not in r]
    out: dict[str, Any] = {"scenes": len(rows)}
    if overlap:
        out |= {"iou_median": float(np.median(overlap)), "iou_p5": float(np.percentile(overlap, 5))}
    if errors:
        out |= {"direction_median_deg": float(np.median(errors)), "direction_p95_deg": float(np.percentile(errors, 95))}
        out |= {"slices": len(errors), "slices_at_crossings": len(errors) - len(away)}
    if centred:
        out |= {"slices_on_aprons": len(errors) - len(centred)}
        out |= {"off_aprons_p95_deg": float(np.percentile(centred, 95))}
    if away:
        out |= {"away_median_deg": float(np.median(away)), "away_p95_deg": float(np.percentile(away, 95))}
    if empty:
        out |= {"roadless": len(empty), "roadless_recognised": float(np.mean(empty))}
    return out


def iou(found: np.ndarray, true: np.ndarray) -> float:
    """Intersection over union."""
    union = np.count_nonzero(found | true)
    return float(np.count_nonzero(found & true) / union) if union else 1.0


def direction_errors(road: Road, view: AerialView) -> list[tuple[float, bool, bool]]:
    """Of each slice whose middle lies on a road, whether it is at a crossing, and whether it is in the width of a road.

    Where two roads overlap, the better counts. At a crossing is what lies within `CROSSING_M` of the edges of two roads
    that run in different directions. The apron between them, in the width of neither, has no direction of its own; a
    slice there counts as 90 degrees off.
    """
    if not road.found:
        return []
    slices = plan_slices(road, tile=256, overlap=64)
    errors = []
    to_image = view.camera.image_from_ground()
    for piece in slices.slices:
        row, column = piece.centre_rc
        h, w = view.road.shape
        if not (0 <= row < h and 0 <= column < w and view.road[int(row), int(column)]):
            continue
        at = transform(view.camera.ground_from_image(), np.array([[column, row]]))
        best, near, centred = 90.0, [], False
        for one in view.world.roads:
            tangent, distance = one.nearest(at)
            if distance[0] <= one.width_m / 2 + CROSSING_M:
                near.append(tangent[0])
            if distance[0] <= one.width_m / 2 + 0.5:
                centred = True
                a, b = transform(to_image, np.vstack([at - 0.5 * tangent, at + 0.5 * tangent]))
                true = np.degrees(np.arctan2(-(b - a)[1], (b - a)[0])) % 180.0
                best = min(best, abs((piece.direction_deg - true + 90.0) % 180.0 - 90.0))
        crossing = any(abs(float(near[0] @ other)) < np.cos(np.radians(15)) for other in near[1:])
        errors.append((float(best), crossing, centred))
    return errors


def real(options: argparse.Namespace) -> dict[str, Any]:
    """IoU on the six Brighton frames, strict and without the gravel that touches the asphalt."""
    if options.data is None:
        raise SystemExit("give --data, the folder that holds brighton_beach")
    outlines = json.loads(OUTLINES.read_text(encoding="utf-8"))["frames"]
    rows = {}
    for name, polygons in sorted(outlines.items()):
        rgb = read_image(options.data / "brighton_beach" / f"{name}.JPG").rgb
        road = find_road(rgb)
        paved, gravel = (fill(polygons.get(kind, []), rgb.shape[:2]) for kind in ("paved", "gravel"))
        paved &= ~fill(polygons.get("holes", []), rgb.shape[:2])
        found, counted = road.full_mask(), ~(gravel & ~paved)
        lenient, strict = iou(found & counted, paved & counted), iou(found, paved)
        rows[name] = {"iou": lenient, "iou_strict": strict, "found": road.found}
        print(name, ", ".join(f"{k} {v:.3f}" for k, v in rows[name].items()))
        if options.pictures:
            slices = plan_slices(road, tile=256, overlap=64, scale=1.5)
            write_jpeg(options.pictures / f"{name}.jpg", draw_road(rgb, road, slices))
    if options.pictures:
        for path in sorted((options.data / "highway_thumbnails").glob("*.*")):
            thumbnail = read_image(path).rgb
            large = cv2.resize(thumbnail, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
            road = find_road(large)
            picture = draw_road(large, road, plan_slices(road, tile=256, overlap=64))
            write_jpeg(options.pictures / f"{path.stem}.jpg", picture)
    values = [row["iou"] for row in rows.values()]
    print(f"mean {np.mean(values):.3f}, least {min(values):.3f}")
    return {"rows": rows, "mean": float(np.mean(values)), "least": float(min(values))}


def fill(polygons: list[Any], size_hw: tuple[int, ...]) -> np.ndarray:
    """Polygons (x, y) as a mask."""
    mask = np.zeros(size_hw[:2], np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.array(polygon, np.int32)], 1)
    return mask > 0


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """`find_road` at 3840x2160, with memory kept as the program keeps it."""
    keep_freed_memory()
    times: dict[str, list[float]] = {"find_road": [], "plan_slices": []}
    for number in range(12):
        view = draw_view(FIRST_SEED + number, "tuning", (2160, 3840))
        for repeat in range(6):
            start = time.perf_counter()
            road = find_road(view.rgb)
            middle = time.perf_counter()
            plan_slices(road, tile=256, overlap=64)
            if repeat:
                times["find_road"].append(1000 * (middle - start))
                times["plan_slices"].append(1000 * (time.perf_counter() - middle))
    rows = {k: {"median_ms": float(np.median(v)), "p95_ms": float(np.percentile(v, 95))} for k, v in times.items()}
    for name, row in rows.items():
        print(f"{name}: median {row['median_ms']:.1f} ms, p95 {row['p95_ms']:.1f} ms")
    return {"rows": rows, "threads": cv2.getNumThreads()}


def anchors(options: argparse.Namespace) -> dict[str, Any]:
    """R-Anchors against an upright grid of equal slices over the same road, in eight directions."""
    segmenter = load_segmenter(options.model)
    card, rows = segmenter.card, []
    world = make_world(31, WorldOptions(crack_density=3.0, heading_deg=0.0, trees=0.1, houses=0.0, vehicles=0.3))
    centre = np.array(world.extent_m) / 2
    for yaw in np.arange(8) * 22.5:
        camera = AerialCamera(*centre, 20.0, yaw_deg=float(yaw), focal_px=20_000 / 8.5, image_hw=SCENE_HW)
        view = render_view(world, camera, int(yaw))
        road = find_road(view.rgb)
        turned = plan_slices(road, tile=card.tile, overlap=card.overlap, scale=1.5)
        upright = upright_grid(road, card.tile, card.overlap, 1.5)
        row: dict[str, Any] = {"yaw_deg": float(yaw)}
        for name, slices in (("anchors", turned), ("grid", upright)):
            probability, seen = segment_slices(view.rgb, slices, segmenter)
            truth = skeletonize(view.crack_mask) & road.full_mask()
            near = cv2.dilate((probability > segmenter.threshold).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            row[name] = {
                "slices": len(slices), "verge_share": verge(slices, view.road),
                "crack_recall": float(near[truth].mean()), "truth_covered": float(seen[truth].mean()),
            }  # fmt: skip
        rows.append(row)
        print(f"{yaw:5.1f}°: " + "; ".join(
            f"{n} {row[n]['slices']} slices, verge {row[n]['verge_share']:.3f}, recall {row[n]['crack_recall']:.3f}"
            for n in ("anchors", "grid")
        ))  # fmt: skip
    keys = ("slices", "verge_share", "crack_recall", "truth_covered")
    means = {n: {k: float(np.mean([r[n][k] for r in rows])) for k in keys} for n in ("anchors", "grid")}
    print(f"mean: {means}")
    return {"rows": rows, "means": means}


def upright_grid(road: Road, tile: int, overlap: int, scale: float) -> RoadSlices:
    """Slices of a grid over the whole frame, those that touch the road."""
    whole = plan_slices(Road.none(road.mask.shape, road.size_hw), tile=tile, overlap=overlap, scale=scale)
    mask, kept = road.full_mask(), []
    for piece in whole.slices:
        window = piece.window(road.size_hw)
        if window is not None and (piece.trusted(window) & mask[window]).any():
            kept.append(piece)
    return RoadSlices(tuple(kept), "road", road.size_hw, tile, overlap, scale)


def verge(slices: RoadSlices, road: np.ndarray) -> float:
    """Share of the slices' area that is not road; beyond the frame does not count."""
    inside = total = 0
    for piece in slices.slices:
        cut = slices.cut(np.repeat(road[:, :, None].astype(np.uint8) * np.uint8(255), 3, axis=2), piece)
        total += cut.shape[0] * cut.shape[1]
        inside += int((cut[:, :, 0] > 127).sum())
    return 1.0 - inside / max(total, 1)


if __name__ == "__main__":
    raise SystemExit(main())
