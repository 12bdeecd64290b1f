"""Drawn cracks with exact truth: errors of width, length and direction, and whether the stated errors hold.

Every picture has one camera (blur, noise), one surface (gradient, grain) and cracks of one darkness whose widths run
from below a pixel to wide, as a real crack's do. Usage: ``python benchmarks/drawn_cracks.py [--pictures N]``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from machine import describe_run, write_result

from fissura.measure.graph import trace_cracks
from fissura.measure.widths import measure_widths
from fissura.synth.cracks import CrackVector, coverage_map, crack_mask

SIZE_PX = 640


def draw(seed: int, *, grain: float | None = None):
    """A picture, its mask, its cracks (units are pixels), its blur."""
    rng = np.random.default_rng([77, seed])
    hw = (SIZE_PX, SIZE_PX)
    blur, darkness = rng.uniform(0.5, 2.0), rng.uniform(0.4, 0.95)
    cracks = []
    for row in range(4):
        angle = rng.uniform(-0.35, 0.35)
        t = np.linspace(0, 1, 300)
        x = 40 + t * (SIZE_PX - 80)
        bend = rng.uniform(-25, 25) * np.sin(np.pi * t) + rng.uniform(-6, 6) * np.sin(3 * np.pi * t)
        y = 90 + row * 150 + bend + np.tan(angle) * 0.15 * (x - SIZE_PX / 2)
        # One wide crack, and three whose widths run from below the blur's to well above, or not.
        span = (8.0, 20.0) if row == 0 else (0.3, 5.0)
        low = float(np.exp(rng.uniform(*np.log(span))))
        high = low * float(rng.uniform(1.0, 1.5 if row == 0 else 7.0))
        width = np.exp(np.interp(t, [0, 0.5, 1], np.log([low, high, low])))
        cracks.append(CrackVector(np.column_stack([y, x]), width))
    turn = rng.uniform(0, np.pi)
    middle = SIZE_PX / 2
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    # Turned and shrunk a little, so that every direction occurs and all stays inside.
    cracks = [CrackVector((c.points_rc_mm - middle) * 0.72 @ spin.T + middle, c.width_mm) for c in cracks]
    cover = coverage_map(cracks, hw, 1.0)
    light = 0.55 * np.ones(hw, np.float32)
    slope = rng.normal(0, 0.12, 2)
    ramp = np.linspace(-1, 1, SIZE_PX, dtype=np.float32)
    light *= 1 + np.float32(slope[0]) * ramp[:, None] + np.float32(slope[1]) * ramp[None]
    amount = rng.uniform(0.02, 0.08) if grain is None else grain
    for size in (1.0, 3.0):
        field = cv2.GaussianBlur(rng.standard_normal(hw).astype(np.float32), (0, 0), size)
        light *= 1 + np.float32(amount) * field / field.std()
    light = cv2.GaussianBlur(light * (1 - np.float32(darkness) * cover.astype(np.float32)), (0, 0), blur)
    light += rng.normal(0, rng.uniform(0.002, 0.012), hw).astype(np.float32)
    grey = np.clip(light * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2), crack_mask(cracks, cover, 1.0), cracks, blur, darkness


def compare(seed: int) -> list[dict[str, float]]:
    """One row for each stretch of 20 px: true and measured width, error stated."""
    rgb, mask, cracks, blur, darkness = draw(seed)
    graph = trace_cracks(mask)
    report = measure_widths(graph, rgb)
    points = np.concatenate([b.points_rc for b in graph.branches])
    width = np.concatenate([w.width_px for w in report.branches])
    sigma = np.concatenate([w.sigma_px for w in report.branches])
    rows = []
    for number, crack in enumerate(cracks):
        line = crack.points_rc_mm - 0.5  # pixel centres at integers
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        for start in np.arange(15, along[-1] - 35, 20.0):
            at = np.linspace(start, start + 20, 21)
            on = np.column_stack([np.interp(at, along, line[:, k]) for k in (0, 1)])
            true = float(np.median(np.interp(at, along, crack.width_mm)))
            distance = np.linalg.norm(points[:, None] - on[None], axis=2)
            near = distance.min(axis=1) < 1.5 + true / 4
            if near.sum() < 5:
                continue
            rows.append({
                "seed": seed, "crack": number, "true_px": true, "width_px": float(np.median(width[near])),
                "sigma_px": float(np.median(sigma[near])), "blur_px": blur, "darkness": darkness,
                "blur_found": report.blur_px or 0.0, "darkness_found": report.darkness or 0.0,
                "widest_px": float(crack.width_mm.max()),
            })  # fmt: skip
    return rows


def summarise(rows: list[dict[str, float]]) -> dict[str, float]:
    """The figures of the issue."""
    column = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    error = np.abs(column["width_px"] - column["true_px"])
    wide = column["true_px"] >= np.maximum(2.0, 2 * column["blur_px"])
    shown = ~wide & (column["widest_px"] >= np.maximum(3.0, 3 * column["blur_px"]))
    inside = error <= column["sigma_px"]
    relative = error / column["true_px"]
    return {
        "stretches": float(len(rows)), "wide": float(wide.sum()),
        "wide median error px": float(np.median(error[wide])),
        "wide p90 error px": float(np.quantile(error[wide], 0.9)),
        "narrow, darkness shown": float(shown.sum()),
        "narrow median relative error": float(np.median(relative[shown])),
        "narrow p90 relative error": float(np.quantile(relative[shown], 0.9)),
        "covered by 1 sigma": float(inside.mean()), "covered, wide": float(inside[wide].mean()),
        "covered, narrow": float(inside[~wide].mean()),
        "blur median error": float(np.median(np.abs(column["blur_found"] - column["blur_px"]))),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--rows", type=Path, help="Also write every stretch, for a closer look.")
    options = parser.parse_args()
    rows = [row for seed in range(options.pictures) for row in compare(seed)]
    figures = summarise(rows)
    for name, value in figures.items():
        print(f"{name:32s} {value:.3f}")
    if options.rows:
        options.rows.write_text(json.dumps(rows))
    write_result("drawn_cracks", {"run": describe_run(), "pictures": options.pictures, "figures": figures}, None)


if __name__ == "__main__":
    main()
