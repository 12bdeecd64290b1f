"""Cracks 1 to 3 px wide on two real drone frames against lines traced by hand: what a model finds, misses, invents.

    python benchmarks/drone_traces.py [--model fast] [--scales 1 1.5 2] [--fill] [--data FOLDER] [--out FOLDER]

The traces, with the rule by which they were made, are ``benchmarks/traces/brighton_beach.json``; the frames (4000x2250,
about 17 mm per pixel) are in ``uav/brighton_beach`` of the shared data folder. The model sees each frame's traced areas
with 128 px around, enlarged by each scale; its mask, thinned to one pixel, is compared inside the areas. With --fill it
sees the road's median colour instead of what lies around: trees, grass and gravel in a tile hide cracks from a model.

- Recall: share of the length traced as clear that lies within 5 px of the thinned mask. Also by darkness: grey levels
  between the line and the pavement 5 to 8 px beside it (mean over 15 px along), which says how visible it is.
- Precision: share of the thinned mask's length within 5 px of a traced line, clear or doubtful. *Strict* leaves out
  what is near doubtful lines only. Alligator and ignore polygons are left out of both, for the mask with 5 px around.
- Recall at 0.85: the best recall of all thresholds whose precision is at least that; None if no threshold has it.
- In a survey: recall and precision with the odds of faint cracks raised as `fissura survey` does where it knows the
  ground size of a pixel (`fissura.survey.look_scales.faint_odds`).
- Alligator: share of the field that the mask covers once gaps up to 0.3 m are closed, beside the share of the rest of
  the areas that it covers so: a mask that is everywhere covers all of both. Also at the threshold of recall at 0.85.

With --out an overlay for each frame and scale, and the JSON, go to that folder; else JSON to benchmarks/results.
Overlay: green found, red missed, blue doubtful, magenta false alarm, orange alligator field, yellow ignored, cyan the
mask in these two, white area.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from machine import ROOT, describe_run, write_result
from scipy.ndimage import distance_transform_edt, map_coordinates
from skimage.morphology import skeletonize

from fissura.imaging.write import write_png
from fissura.infer.segmenter import load_segmenter
from fissura.survey.look_scales import faint_odds, raise_faint

TRACES = ROOT / "benchmarks" / "traces" / "brighton_beach.json"
DATA = ROOT.parent / "shared" / "data" / "uav" / "brighton_beach"
MARGIN_PX, NEAR_PX = 128, 5.0
CLOSE_M = 0.3
WANTED_PRECISION = 0.85
THRESHOLDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, *np.arange(0.1, 0.95, 0.05).round(2).tolist(), 0.95, 0.98, 0.99)
DARKNESS = {"faint, below 6": (-np.inf, 6), "6 to 12": (6, 12), "12 to 24": (12, 24), "24 and more": (24, np.inf)}
COLOURS = {
    "found": (0, 230, 0), "missed": (255, 0, 0), "doubtful": (60, 120, 255), "false": (255, 0, 255),
    "left out": (0, 255, 255),
    "alligator_xy": (255, 150, 0), "ignore_xy": (255, 255, 0), "areas_xy": (255, 255, 255),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Frame:
    """The traced part of a photo. Places are rows and columns of `rgb`; pixel centres at integers.

    Attributes:
        name: The photo's name without suffix.
        rgb: The areas' bounding box with `MARGIN_PX` around, shape (H, W, 3).
        line: Points 1 px apart on the lines traced as clear, where recall counts, shape (N, 2).
        dark: Their darkness in grey levels, shape (N,).
        doubtful: Points 1 px apart on the doubtful lines.
        to_clear, to_any: Distance in px to the nearest clear line, to the nearest line of both kinds, shape (H, W).
        area: Where the tracing is complete.
        counted: Where the mask counts: the area less polygons with `NEAR_PX` around.
        fields: One mask for each alligator field.
        polygons: Outlines to draw, by kind; xy in `rgb`.
    """

    name: str
    rgb: np.ndarray
    line: np.ndarray
    dark: np.ndarray
    doubtful: np.ndarray
    to_clear: np.ndarray
    to_any: np.ndarray
    area: np.ndarray
    counted: np.ndarray
    fields: list[np.ndarray]
    polygons: dict[str, list[np.ndarray]]


def load_frame(traces: dict, data: Path) -> Frame:
    path = data / traces["file"]
    image = cv2.imread(str(path))
    if image is None:
        sys.exit(f"{path} cannot be read; give the folder of the frames with --data")
    if [image.shape[1], image.shape[0]] != traces["size_wh"]:
        sys.exit(f"{path} is {image.shape[1]}x{image.shape[0]} px; the traces are for {traces['size_wh']}")
    corners = np.concatenate([np.array(polygon) for polygon in traces["areas_xy"]])
    low = np.maximum(corners.min(axis=0).astype(int) - MARGIN_PX, 0)
    high = np.minimum(corners.max(axis=0).astype(int) + MARGIN_PX + 1, traces["size_wh"])
    rgb = cv2.cvtColor(image[low[1] : high[1], low[0] : high[0]], cv2.COLOR_BGR2RGB)
    hw = rgb.shape[:2]
    polygons = {
        key: [np.round(np.array(polygon) - low).astype(np.int32) for polygon in traces[key]]
        for key in ("areas_xy", "alligator_xy", "ignore_xy")
    }
    area, field, ignored = (fill(polygons[key], hw) for key in ("areas_xy", "alligator_xy", "ignore_xy"))
    lines = {
        sure: [
            resample((np.array(c["points"], float) - low)[:, ::-1]) for c in traces["cracks_xy"] if c["sure"] == sure
        ]
        for sure in ("clear", "doubtful")
    }
    clear, doubtful = (np.concatenate([*found, np.zeros((0, 2))]) for found in lines.values())
    along = np.concatenate([[*np.gradient(points, axis=0)] for points in lines["clear"]])
    keep = pick(area & ~field & ~ignored, clear)
    to_clear, to_doubtful = (distance_to(points, hw) for points in (clear, doubtful))
    return Frame(
        path.stem, rgb, clear[keep], darkness(rgb, clear, along)[keep], doubtful, to_clear,
        np.minimum(to_clear, to_doubtful), area, area & (distance_transform_edt(~(field | ignored)) > NEAR_PX),
        [fill([polygon], hw) & area for polygon in polygons["alligator_xy"]], polygons,
    )  # fmt: skip


def fill(polygons: list[np.ndarray], hw: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(hw, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [polygon], 1)
    return mask.astype(bool)


def resample(points: np.ndarray) -> np.ndarray:
    """Points 1 px apart along a polyline."""
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    steps = np.arange(0, at[-1], 1.0) + 0.5 * (at[-1] % 1.0)
    return np.column_stack([np.interp(steps, at, points[:, k]) for k in (0, 1)])


def pick(image: np.ndarray, points: np.ndarray, outside: float = 0.0) -> np.ndarray:
    """Values at the pixels nearest to points; `outside` for points that are not in the image."""
    rc = np.round(points).astype(int)
    inside = ((rc >= 0) & (rc < image.shape)).all(axis=1)
    values = np.full(len(points), outside, image.dtype)
    values[inside] = image[rc[inside, 0], rc[inside, 1]]
    return values


def distance_to(points: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """Distance in px of every pixel to the nearest of the points; infinite if there are none."""
    empty = np.ones(hw, bool)
    rc = np.round(points).astype(int)
    rc = rc[((rc >= 0) & (rc < hw)).all(axis=1)]
    empty[rc[:, 0], rc[:, 1]] = False
    return np.full(hw, np.inf) if empty.all() else distance_transform_edt(empty)


def darkness(rgb: np.ndarray, points: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Grey levels between lines and what is beside them; lines brighter than that count as much as darker ones."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(float)
    across = np.column_stack([-along[:, 1], along[:, 0]]) / np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None]
    offsets = np.arange(-8, 9)
    places = points[:, None] + offsets[None, :, None] * across[:, None]
    profile = map_coordinates(grey, places.reshape(-1, 2).T, order=1, mode="nearest").reshape(len(points), -1)
    # The mean along the line comes first: the extreme of a noisy profile would make every line dark.
    profile = cv2.blur(profile, (1, 15))
    beside = np.median(profile[:, np.abs(offsets) >= 5], axis=1)
    middle = profile[:, np.abs(offsets) <= 2]
    return np.maximum(beside - middle.min(axis=1), middle.max(axis=1) - beside)


def thin(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mask thinned to one pixel, and the length in px that each of its pixels stands for."""
    skeleton = skeletonize(mask)
    s = np.pad(skeleton, 1)
    n, e, so, w = s[:-2, 1:-1], s[1:-1, 2:], s[2:, 1:-1], s[1:-1, :-2]
    length = 0.5 * (n.astype(float) + e + so + w)
    # A diagonal step counts only where no straight ones lead round the corner.
    for corner, a, b in ((s[:-2, 2:], n, e), (s[2:, 2:], so, e), (s[2:, :-2], so, w), (s[:-2, :-2], n, w)):
        length += np.sqrt(0.5) * (corner & ~a & ~b)
    return skeleton, np.where(skeleton, np.maximum(length, 0.5), 0.0)


def compare(frame: Frame, probability: np.ndarray, threshold: float) -> dict:
    """Lengths in px: traced and found in bands of darkness, predicted, right, right by clear lines only."""
    seen = distance_transform_edt(~frame.area) <= 32  # leaves of trees need no thinning
    skeleton, length = thin((probability > threshold) & seen)
    found = pick(distance_transform_edt(~skeleton) <= NEAR_PX, frame.line) if skeleton.any() else frame.line[:, 0] < 0
    length = length * frame.counted
    bands = [(frame.dark >= low) & (frame.dark < high) for low, high in DARKNESS.values()]
    return {
        "clear_px": np.array([band.sum() for band in bands], float),
        "found_px": np.array([found[band].sum() for band in bands], float),
        "predicted_px": length.sum(), "right_px": length[frame.to_any <= NEAR_PX].sum(),
        "right_clear_px": length[frame.to_clear <= NEAR_PX].sum(),
    }  # fmt: skip


def summarise(counts: list[dict], square_m: float) -> dict:
    """Figures of several frames, their lengths pooled."""
    total = {key: sum(c[key] for c in counts) for key in counts[0]}
    false_px = total["predicted_px"] - total["right_px"]
    bands = zip(DARKNESS, total["found_px"], total["clear_px"], strict=True)
    return {
        "recall": share(total["found_px"].sum(), total["clear_px"].sum()),
        "precision": share(total["right_px"], total["predicted_px"]),
        "precision_strict": share(total["right_clear_px"], total["right_clear_px"] + false_px),
        "recall_by_darkness": {name: share(found, clear) for name, found, clear in bands},
        "clear_px_by_darkness": dict(zip(DARKNESS, total["clear_px"].tolist(), strict=True)),
        "clear_px": float(total["clear_px"].sum()), "predicted_px": round(float(total["predicted_px"]), 1),
        "false_px": round(float(false_px), 1), "false_px_per_square_m": round(float(false_px / square_m), 3),
    }  # fmt: skip


def share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 4) if whole > 0 else None


def best_recall(frames: list[Frame], probabilities: list[np.ndarray], own: float) -> dict | None:
    """The threshold of best recall among those of wanted precision, all frames at the same."""
    best = None
    for threshold in sorted({*THRESHOLDS, own}):
        counts = [compare(frame, p, threshold) for frame, p in zip(frames, probabilities, strict=True)]
        figures = summarise(counts, 1.0)
        row = {"threshold": threshold} | {key: figures[key] for key in ("recall", "precision")}
        if (row["precision"] or 0.0) >= WANTED_PRECISION and (best is None or row["recall"] > best["recall"]):
            best = row
    return best


def cover(frame: Frame, mask: np.ndarray, gsd_m: float) -> dict:
    """Pixels of the alligator fields and of the other area, and how many of them the closed mask covers."""
    side = round(CLOSE_M / gsd_m)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel).astype(bool)
    return {
        "fields": [share(closed[field].sum(), field.sum()) for field in frame.fields],
        "field_px": int(sum(field.sum() for field in frame.fields)),
        "covered_px": int(sum(closed[field].sum() for field in frame.fields)),
        "elsewhere_px": int(frame.counted.sum()), "covered_elsewhere_px": int(closed[frame.counted].sum()),
    }  # fmt: skip


def draw(frame: Frame, mask: np.ndarray, zoom: int = 2) -> np.ndarray:
    """The photo, enlarged, with what was found, missed and invented."""
    canvas = cv2.resize(frame.rgb, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    skeleton, _ = thin(mask & (distance_transform_edt(~frame.area) <= 32))
    found = pick(distance_transform_edt(~skeleton) <= NEAR_PX, frame.line) if skeleton.any() else frame.line[:, 0] < 0
    wrong = skeleton & (frame.to_any > NEAR_PX)
    for key in ("areas_xy", "alligator_xy", "ignore_xy"):
        cv2.polylines(canvas, [polygon * zoom for polygon in frame.polygons[key]], True, COLOURS[key], 1)
    for points, colour in ((frame.doubtful, "doubtful"), (frame.line[found], "found"), (frame.line[~found], "missed")):
        rc = np.round((points + 0.5) * zoom - 0.5).astype(int)
        rc = rc[((rc >= 0) & (rc < canvas.shape[:2])).all(axis=1)]
        canvas[rc[:, 0], rc[:, 1]] = COLOURS[colour]
    for dots, colour in ((skeleton & frame.area & ~frame.counted, "left out"), (wrong & frame.counted, "false")):
        canvas[np.kron(dots, np.ones((zoom, zoom), bool))] = COLOURS[colour]
    return canvas


def surroundings_filled(frame: Frame) -> np.ndarray:
    """The photo with the road's median colour outside the areas; 3 px more are kept, for the interpolation."""
    outside = distance_transform_edt(~frame.area) > 3
    colour = np.median(frame.rgb[frame.counted], axis=0).astype(np.uint8)
    return np.where(outside[:, :, None], colour, frame.rgb)


def run_scale(frames: list[Frame], segmenter, scale: float, gsd_m: float, options: argparse.Namespace) -> dict:
    """All figures of one scale."""
    out = options.out
    photos = [surroundings_filled(frame) if options.fill else frame.rgb for frame in frames]
    start = time.perf_counter()
    probabilities = [segmenter.probability(photo, scale=scale) for photo in photos]
    seconds = time.perf_counter() - start
    best = best_recall(frames, probabilities, segmenter.threshold)
    counts, rows = [], {}
    for frame, probability in zip(frames, probabilities, strict=True):
        mask = probability > segmenter.threshold
        counts.append(compare(frame, probability, segmenter.threshold))
        square_m = frame.area.sum() * gsd_m**2
        rows[frame.name] = summarise(counts[-1:], square_m) | {"alligators": cover(frame, mask, gsd_m)["fields"]}
        if out:
            out.mkdir(parents=True, exist_ok=True)
            write_png(out / f"{frame.name}_x{scale:g}.png", draw(frame, mask))
    odds = faint_odds(1000 * gsd_m / scale)
    lifted = [raise_faint(p, odds, segmenter.threshold, scale) for p in probabilities]
    survey = summarise([compare(f, p, segmenter.threshold) for f, p in zip(frames, lifted, strict=True)], 1.0)
    if best:
        best |= covered(frames, probabilities, best["threshold"], gsd_m)
    return summarise(counts, sum(frame.area.sum() for frame in frames) * gsd_m**2) | {
        **covered(frames, probabilities, segmenter.threshold, gsd_m), "best_at_wanted_precision": best,
        "in_a_survey": {"odds": round(odds, 3), "recall": survey["recall"], "precision": survey["precision"]}
        | covered(frames, lifted, segmenter.threshold, gsd_m),
        "seconds_of_model": round(seconds, 1), "frames": rows,
    }  # fmt: skip


def covered(frames: list[Frame], probabilities: list[np.ndarray], threshold: float, gsd_m: float) -> dict:
    """Shares of all alligator fields, and of the rest, that the closed mask covers."""
    rows = [cover(frame, p > threshold, gsd_m) for frame, p in zip(frames, probabilities, strict=True)]
    total = {key: sum(row[key] for row in rows) for key in rows[0] if key != "fields"}
    return {
        "alligator_covered": share(total["covered_px"], total["field_px"]),
        "elsewhere_covered": share(total["covered_elsewhere_px"], total["elsewhere_px"]),
    }


def table(scales: dict[str, dict]) -> str:
    """One Markdown row for each scale."""
    text = [
        f"| scale | recall | {' | '.join(DARKNESS)} | precision | strict | recall at 0.85 "
        "| in a survey: recall | precision | alligator | elsewhere |",
        "|---:" * (10 + len(DARKNESS)) + "|",
    ]
    for scale, row in scales.items():
        best = row["best_at_wanted_precision"]
        at = f"{best['recall']:.3f} (t {best['threshold']:g})" if best else "none"
        values = [row["recall"], *row["recall_by_darkness"].values(), row["precision"], row["precision_strict"]]
        survey = row["in_a_survey"]
        last = [survey["recall"], survey["precision"], row["alligator_covered"], row["elsewhere_covered"]]
        cells = [*map(show, values), at, *map(show, last)]
        text.append(f"| {scale} | " + " | ".join(cells) + " |")
    return "\n".join(text)


def show(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the frames")
    parser.add_argument("--model", default="fast", help="name of a shipped model, or an .onnx file with a card")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 1.5, 2.0])
    parser.add_argument("--threads", type=int, help="threads of the model's engine")
    parser.add_argument("--fill", action="store_true", help="show the road's median colour outside the areas")
    parser.add_argument("--out", type=Path, help="folder for overlays and JSON")
    options = parser.parse_args()
    run = describe_run()
    traces = json.loads(TRACES.read_text(encoding="utf-8"))
    gsd_m = traces["gsd_mm"] / 1000
    frames = [load_frame(frame, options.data) for frame in traces["frames"]]
    segmenter = load_segmenter(options.model, threads=options.threads)
    scales = {}
    for scale in options.scales:
        scales[f"{scale:g}"] = run_scale(frames, segmenter, scale, gsd_m, options)
        print(f"scale {scale:g}: {scales[f'{scale:g}']['seconds_of_model']} s of model", file=sys.stderr)
    print(table(scales))
    card = segmenter.card
    model = {"name": card.name, "version": card.version, "threshold": segmenter.threshold, "asked": options.model}
    settings = {"near_px": NEAR_PX, "margin_px": MARGIN_PX, "close_m": CLOSE_M, "wanted_precision": WANTED_PRECISION}
    settings |= {"fill": options.fill}
    result = run | {"model": model, "settings": settings, "gsd_mm": traces["gsd_mm"], "scales": scales}
    path = options.out / "drone_traces.json" if options.out else None
    print(f"wrote {write_result(f'drone_traces_{card.name}', result, path)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
