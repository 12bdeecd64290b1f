"""Rendered photos of known cracks, end to end: lengths and widths in millimetres against the truth.

    python benchmarks/measure_photos.py [--seeds 4] [--jobs 2] [--quick] [--keep FOLDER]

Every photo is a JPEG with EXIF and XMP as a drone writes them. It is read back by its path, its scale comes from the
file alone, and `measure_frame`, which `fissura measure` calls, measures it: once with the true mask, once with the
shipped model.

- Truth: the branches that were drawn, clipped to the frame, hairlines below half a pixel included.
- Length: all that was measured over all that is there; recall and precision are shares of the length that lie within
  3 px of the other.
- Width: means over 20 px of true centreline, 15 px clear of other branches, against the nearest measured points.
  *Resolved* is at least 2 px and two blur widths wide; *sigma* is the error stated for these points.
- Drawn cracks have a corner every 6 px, which a smoothed centreline cuts a little: about 1 % of the length.
- Hard on purpose: JPEG at quality 92; darkness that changes along a crack; light lost beside it
  (`fissura.synth.scene`); half of the photos with stains, markings, joints and shadows.
- The model has seen surfaces and cracks of this generator in training, though none of these: expect less on photos.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from fissura.imaging.scene import open_scenes
from fissura.imaging.write import write_mask, write_png
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.measure.measuring import Measurement
from fissura.measure_frame import FrameRequest, ScaleRequest, measure_frame
from fissura.synth import CrackVector, NadirCamera, SyntheticScene, render_scene, write_photo
from fissura.synth.cracks import grow_crack, grow_network

WIDTHS_PX = {0.5: (0.5, 20.0), 2.0: (0.5, 15.0), 8.0: (0.5, 7.5)}
"""Ground size of a pixel in mm: narrowest and widest crack in px. At 8 mm that is 60 mm; wider ones are no cracks."""
BLURS_PX = (0.5, 0.7, 0.9, 1.2)
SIZE_HW, QUICK_HW = (1500, 2000), (500, 660)
FOCAL_MM, PIXEL_MM = 30.0, 0.0032
"""A tele lens: from too near, a barometer's metre would leave no scale to speak of."""
ZIGZAG_PX = 6.0
"""Between the corners of a drawn crack. Finer zigzag would be lost in centrelines that are smoothed over 2 px."""
TOLERANCE_PX = 3.0
STRETCH_PX = 20.0
CLEAR_PX = 15.0
STEP_PX = 0.5
MASK = "true mask"


@dataclass(frozen=True)
class Trial:
    """One photo to make and measure."""

    gsd_mm: float
    seed: int
    surface: str
    blur_px: float
    distractors: bool
    size_hw: tuple[int, int]

    @property
    def name(self) -> str:
        return f"{self.gsd_mm:g}mm_{self.surface}_{self.seed}"


@dataclass(frozen=True, eq=False)
class Line:
    """A drawn branch as points `step` px apart; pixel centres at integers."""

    points: np.ndarray
    width_px: np.ndarray
    step: float


def plan_trials(seeds: int, size_hw: tuple[int, int]) -> list[Trial]:
    return [
        Trial(gsd, 100 * k + seed, surface, BLURS_PX[seed % len(BLURS_PX)], (seed + s) % 2 == 1, size_hw)
        for k, gsd in enumerate(WIDTHS_PX)
        for seed in range(seeds)
        for s, surface in enumerate(("asphalt", "concrete"))
    ]


def render(trial: Trial) -> SyntheticScene:
    camera = NadirCamera.for_gsd(
        trial.gsd_mm, trial.size_hw, blur_px=trial.blur_px, focal_mm=FOCAL_MM,
        sensor_width_mm=PIXEL_MM * trial.size_hw[1],
    )  # fmt: skip
    cracks = draw_cracks(trial)
    return render_scene(trial.seed, surface=trial.surface, cracks=cracks, distractors=trial.distractors, camera=camera)


def draw_cracks(trial: Trial) -> list[CrackVector]:
    """Two cracks with branches and a hairline; on every other asphalt a field of alligator cracks."""
    rng = np.random.default_rng([trial.seed, trial.surface == "asphalt"])
    low, high = WIDTHS_PX[trial.gsd_mm]
    groups = []
    for width in (*np.exp(rng.uniform(np.log(1.0), np.log(high), 2)), 1.4 * low):
        branches = int(rng.integers(1, 4)) if width > 1 else 0
        groups.append(grow_crack(rng, trial.size_hw, width=float(width), step=ZIGZAG_PX, branches=branches))
    if trial.surface == "asphalt" and (trial.seed + 1) // 2 % 2:
        cell = 0.1 * min(trial.size_hw)
        groups.append(grow_network(rng, trial.size_hw, width=(low * high) ** 0.5, step=ZIGZAG_PX, cell=cell))
    return [
        CrackVector(crack.points_rc_mm * trial.gsd_mm, np.clip(crack.width_mm, low, high) * trial.gsd_mm)
        for group in groups
        for crack in group
    ]


def run_trial(trial: Trial, models: tuple[str, ...], keep: Path | None = None) -> list[dict]:
    """One row for each source of masks: figures of the photo, and its stretches."""
    scene = render(trial)
    lines = true_lines(scene)
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        photo, mask = folder / f"{trial.name}.jpg", folder / f"{trial.name}_mask.png"
        write_photo(photo, scene, latitude_deg=52.0, longitude_deg=9.0)
        write_mask(mask, scene.mask)
        rows = []
        for source in (MASK, *models):
            start = time.perf_counter()
            segmenter = None if source == MASK else load_once(source)
            # A GSD in the request would be the truth handed over: only the ground's height is known.
            request = FrameRequest(ScaleRequest(ground_height_m=0.0))
            page = next(iter(open_scenes(photo)))
            found = measure_frame(
                photo, photo.name, page, request, mask_path=None if segmenter else mask, segmenter=segmenter
            )
            if keep:
                write_png(folder / f"{trial.name}_{source.replace(' ', '_')}_overlay.png", found.overlay)
            figures, stretches = compare(found.measurement, lines, scene)
            seconds = round(time.perf_counter() - start, 2)
            rows.append({**asdict(trial), "source": source, "seconds": seconds, **figures, "stretches": stretches})
    return rows


@cache
def load_once(model: str) -> Segmenter:
    return load_segmenter(model, threads=1)


def true_lines(scene: SyntheticScene) -> list[Line]:
    lines = []
    for crack in scene.cracks:
        points = crack.points_rc_mm / scene.gsd_mm - 0.5
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        count = max(round(along[-1] / STEP_PX), 1)
        at = np.linspace(0, along[-1], count + 1)
        dense = np.column_stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)])
        lines.append(Line(dense, np.interp(at, along, crack.width_mm) / scene.gsd_mm, along[-1] / count))
    return lines


def inside(points: np.ndarray, size_hw: tuple[int, int], margin: float = 0.0) -> np.ndarray:
    return ((points > margin - 0.5) & (points < np.array(size_hw) - 0.5 - margin)).all(axis=1)


def compare(found: Measurement, lines: list[Line], scene: SyntheticScene) -> tuple[dict, list[dict]]:
    """Lengths, scale and blur of a photo, and its stretches."""
    size_hw, blur = scene.camera.image_hw, scene.camera.blur_px
    points, width_mm, sigma_mm, weight = measured_points(found)
    tree = cKDTree(points) if len(points) else cKDTree(np.full((1, 2), -1e6))
    everywhere = cKDTree(np.concatenate([line.points for line in lines]))
    seen, hit = np.zeros(2), np.zeros(2)  # below, resolved
    for line in lines:
        here = inside(line.points, size_hw)
        near = tree.query(line.points, distance_upper_bound=TOLERANCE_PX)[0] < np.inf
        wide = line.width_px >= resolved_px(blur)
        for k, part in enumerate((here & ~wide, here & wide)):
            seen[k] += line.step * part.sum()
            hit[k] += line.step * (part & near).sum()
    right = everywhere.query(points, distance_upper_bound=TOLERANCE_PX)[0] < np.inf
    scale = found.scale
    middle = np.array([[(side - 1) / 2 for side in size_hw]])
    figures = {
        "gsd_found_mm": None if scale is None else float(scale.gsd_mm(middle)[0]),
        "scale_sigma": None if scale is None else round(scale.sigma, 3),
        "true_mm": float(seen.sum() * scene.gsd_mm), "found_mm": float(found.length) if scale is not None else None,
        "seen_px": seen.tolist(), "hit_px": hit.tolist(), "right_px": float(weight[right].sum()),
        "traced_px": float(weight.sum()), "blur_found_px": found.widths.blur_px,
        "darkness_found": found.widths.darkness,
    }  # fmt: skip
    stretches = []
    for number, chunk, true_px in cut_stretches(lines, size_hw):
        row = {"line": number, "at_rc": chunk[len(chunk) // 2].round(1).tolist(), "true_mm": true_px * scene.gsd_mm}
        row |= {"gsd_mm": scene.gsd_mm, "resolved": bool(true_px >= resolved_px(blur)), "matched": False}
        distance, at = tree.query(chunk, distance_upper_bound=TOLERANCE_PX)
        near = distance < np.inf
        if near.mean() >= 0.75:
            width, sigma = width_mm[at[near]].mean(), sigma_mm[at[near]].mean()
            row |= {"matched": True, "found_mm": float(width), "sigma_mm": float(sigma)}
        stretches.append(row)
    return figures, stretches


def resolved_px(blur_px: float) -> float:
    return max(2.0, 2 * blur_px)


def measured_points(found: Measurement) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All points of the reported branches: place, width and its error in mm, length in px that they stand for."""
    parts = []
    for i in found.order:
        branch, widths = found.graph.branches[i], found.widths.branches[i]
        per_px = np.ones(len(branch.points_rc))
        if found.scale is not None:
            per_px = found.scale.across(branch.points_rc, np.gradient(branch.points_rc, axis=0))
        half = np.linalg.norm(np.diff(branch.points_rc, axis=0), axis=1) / 2
        weight = np.append(half, 0) + np.insert(half, 0, 0)
        parts.append((branch.points_rc, widths.width_px * per_px, widths.sigma_px * per_px, weight))
    if not parts:
        return np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0)
    points, width, sigma, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return points, width, sigma, weight


def cut_stretches(lines: list[Line], size_hw: tuple[int, int]) -> list[tuple[int, np.ndarray, float]]:
    """Stretches clear of other branches and of the frame: number of the branch, points, true mean width in px."""
    stretches = []
    for number, line in enumerate(lines):
        clear = inside(line.points, size_hw, margin=5.0)
        others = [other for k, other in enumerate(lines) if k != number]
        if others:
            near = cKDTree(np.concatenate([other.points for other in others]))
            half = np.concatenate([other.width_px for other in others]) / 2
            distance, at = near.query(line.points)
            clear &= distance - half[at] > CLEAR_PX
        count = max(round(STRETCH_PX / line.step), 1)
        for start in range(0, len(line.points) - count, count):
            if clear[start : start + count + 1].all():
                part = slice(start, start + count + 1)
                stretches.append((number, line.points[part], float(line.width_px[part].mean())))
    return stretches


def summarise(rows: list[dict]) -> dict:
    """Figures of one ground size and one source of masks, all photos pooled."""
    total = {key: sum(row[key] for row in rows) for key in ("true_mm", "right_px", "traced_px")}
    unscaled = [row for row in rows if row["found_mm"] is None]
    seen, hit = (np.sum([row[key] for row in rows], axis=0) for key in ("seen_px", "hit_px"))
    scaled = [row for row in rows if row["found_mm"] is not None]
    ratios = [row["found_mm"] / row["true_mm"] for row in scaled if row["true_mm"] > 0]
    return {
        "photos": len(rows), "without_scale": len(unscaled),
        "gsd_largest_error": max((abs(r["gsd_found_mm"] / r["gsd_mm"] - 1) for r in scaled), default=None),
        "true_m": round(total["true_mm"] / 1000, 2),
        "length_ratio": share(sum(row["found_mm"] for row in scaled), sum(row["true_mm"] for row in scaled)),
        "length_ratio_worst": max(ratios, key=lambda ratio: abs(np.log(ratio + 1e-9)), default=None),
        "length_recall": share(hit.sum(), seen.sum()), "length_recall_resolved": share(hit[1], seen[1]),
        "length_recall_below": share(hit[0], seen[0]), "length_precision": share(total["right_px"], total["traced_px"]),
        "resolved": width_figures([s for row in rows for s in row["stretches"] if s["resolved"]]),
        "below": width_figures([s for row in rows for s in row["stretches"] if not s["resolved"]]),
    }  # fmt: skip


def share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 4) if whole > 0 else None


def width_figures(stretches: list[dict]) -> dict:
    matched = [s for s in stretches if s["matched"]]
    figures = {"stretches": len(stretches), "matched": len(matched)}
    if not matched:
        return figures
    true, found, sigma, gsd = (
        np.array([s[key] for s in matched]) for key in ("true_mm", "found_mm", "sigma_mm", "gsd_mm")
    )
    error = found - true
    values = {
        "median_true_mm": np.median(true), "median_error_mm": np.median(np.abs(error)),
        "median_error_px": np.median(np.abs(error) / gsd), "p90_error_px": np.quantile(np.abs(error) / gsd, 0.9),
        "median_relative_error": np.median(np.abs(error) / true), "bias_px": np.median(error / gsd),
        "within_sigma": np.mean(np.abs(error) <= sigma), "within_2_sigma": np.mean(np.abs(error) <= 2 * sigma),
    }  # fmt: skip
    return figures | {key: round(float(value), 4) for key, value in values.items()}


def tables(groups: dict[str, dict[str, dict]]) -> str:
    """Two Markdown tables."""
    lengths = {
        "photos": "photos", "true m": "true_m", "length ratio": "length_ratio", "recall": "length_recall",
        "resolved": "length_recall_resolved", "below": "length_recall_below", "precision": "length_precision",
    }  # fmt: skip
    widths = {
        "stretches": "stretches", "matched": "matched", "true mm": "median_true_mm", "error mm": "median_error_mm",
        "error px": "median_error_px", "p90 px": "p90_error_px", "relative": "median_relative_error",
        "bias px": "bias_px", "within sigma": "within_sigma",
    }  # fmt: skip
    rows = [(f"{gsd} mm | {source}", group) for gsd, sources in groups.items() for source, group in sources.items()]
    wide = [(f"{name} | {kind}", group[kind]) for name, group in rows for kind in ("resolved", "below")]
    text = ["| GSD | mask | " + " | ".join(lengths) + " |", "|---:|---|" + "---:|" * len(lengths)]
    text += [f"| {name} | " + " | ".join(show(group[key]) for key in lengths.values()) + " |" for name, group in rows]
    text += ["", "| GSD | mask | width | " + " | ".join(widths) + " |", "|---:|---|---|" + "---:|" * len(widths)]
    text += [f"| {name} | " + " | ".join(show(g.get(key)) for key in widths.values()) + " |" for name, g in wide]
    return "\n".join(text)


def show(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def main() -> int:
    from machine import describe_run, write_result

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4, help="photos of each surface and ground size")
    parser.add_argument("--models", nargs="*", default=["fast"])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small photos, one seed")
    parser.add_argument("--keep", type=Path, help="folder for photos, masks and overlays, to look at")
    parser.add_argument("--rows", type=Path, help="file for every stretch, as JSON")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick and options.out is None:
        options.out = Path(tempfile.gettempdir()) / "measure_photos_quick.json"
    run = describe_run()
    start = time.perf_counter()
    trials = plan_trials(1 if options.quick else options.seeds, QUICK_HW if options.quick else SIZE_HW)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    # Fresh processes: an engine that has started threads does not survive a fork.
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(run_trial, trial, tuple(options.models), options.keep) for trial in trials]:
            rows += done.result()
            print(f"{len(rows)} of {len(trials) * (1 + len(options.models))}: {rows[-1]['surface']}", file=sys.stderr)
    groups = {
        f"{gsd:g}": {
            source: summarise([row for row in rows if row["gsd_mm"] == gsd and row["source"] == source])
            for source in (MASK, *options.models)
        }
        for gsd in WIDTHS_PX
    }
    print(tables(groups))
    if options.rows:
        options.rows.write_text(json.dumps(rows), encoding="utf-8")
    photos = [{key: value for key, value in row.items() if key != "stretches"} for row in rows]
    settings = {"tolerance_px": TOLERANCE_PX, "stretch_px": STRETCH_PX, "clear_px": CLEAR_PX, "widths_px": WIDTHS_PX}
    took = round(time.perf_counter() - start)
    result = run | {"settings": settings, "seconds": took, "groups": groups, "photos": photos}
    print(f"wrote {write_result('measure_photos', result, options.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
