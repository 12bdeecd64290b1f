"""Hand-measured crack widths: our method beside half maximum, parabola and rectangle on the same grey profiles.

Usage: ``python benchmarks/width_profiles.py --data FISSURA_DATA/width_profiles``. Prints mean absolute errors in pixels
over widths of 0–15, 0–2 and 2–15 px, for the profiles as they are and with added blur; twofold across the sites, with
the constants of our method chosen on some sites and the figures from the others; what resampling and changes of grey
do. JSON goes to ``benchmarks/results/width_profiles.json``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from machine import describe_run, write_result
from scipy.ndimage import gaussian_filter1d

from fissura.measure.profile import fit_profiles
from fissura.measure.profile_model import DARKNESS, DARKNESS_SPREAD, NOISE_INFLATION, FitSettings

MAX_RESOLUTION = 3.0
FOLDS = (("BridgeB", "BridgeU", "Indoors"), ("BridgeS",))
"""Two halves of the four sites; BridgeS alone holds three quarters of the rows."""


def read_rows(folder: Path) -> list[tuple[str, float, np.ndarray]]:
    """Site, width in pixels and grey profile of every usable row."""
    rows = []
    for path in sorted(folder.glob("*/*.csv")):
        lines = path.read_text().splitlines()
        names = [name.strip() for name in lines[0].split(",")]
        values = dict(zip(names, map(float, lines[1].split(",")), strict=True))
        start = next(i for i, line in enumerate(lines) if line.strip() == "intensities") + 1
        grey = np.array([float(v) for v in ",".join(lines[start:]).strip().strip(",").split(",")])
        if values["mean_res"] <= MAX_RESOLUTION:
            rows.append((path.parent.name, values["width_px"], grey))
    if not rows:
        raise SystemExit(f"{folder} holds no profiles; give the folder width_profiles of the data")
    return rows


def ours(profiles: list[np.ndarray], settings: FitSettings | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Width, stated error, ok."""
    lengths = np.array([len(p) for p in profiles])
    out = np.zeros((3, len(profiles)))
    for n in np.unique(lengths):
        which = np.flatnonzero(lengths == n)
        fits = fit_profiles(np.stack([profiles[k] for k in which]), settings)
        out[:, which] = fits.width_px, fits.sigma_px, fits.ok
    return out[0], out[1], out[2] > 0


def _dip(grey: np.ndarray) -> tuple[int, float, float]:
    """Darkest sample within 5 of the middle, and the background beside it."""
    middle = (len(grey) - 1) / 2
    low, high = int(np.ceil(middle - 5)), int(np.floor(middle + 5))
    k = low + int(np.argmin(grey[low : high + 1]))
    left, right = grey[max(k - 12, 0) : k], grey[k + 1 : k + 13]
    return k, float(np.percentile(left, 60)), float(np.percentile(right, 60))


def _crossing(grey: np.ndarray, k: int, step: int, level: float) -> float:
    i = k
    while 0 <= i + step < len(grey) and grey[i + step] < level:
        i += step
    j = i + step
    if not 0 <= j < len(grey) or grey[i] >= level:
        return float(i)
    return i + step * (level - grey[i]) / (grey[j] - grey[i])


def half_maximum(grey: np.ndarray) -> float:
    """Distance between the flanks at half of the dip's depth."""
    k, left, right = _dip(grey)
    levels = [(max(side, grey[k] + 1e-6) + grey[k]) / 2 for side in (left, right)]
    return _crossing(grey, k, 1, levels[1]) - _crossing(grey, k, -1, levels[0])


def parabola(grey: np.ndarray) -> float:
    """Parabola through the dip's lower half (at least five samples); its width at half of its depth."""
    k, left, right = _dip(grey)
    background = (left + right) / 2
    level = (background + grey[k]) / 2
    first, last = k, k
    while first > 0 and grey[first - 1] < level:
        first -= 1
    while last < len(grey) - 1 and grey[last + 1] < level:
        last += 1
    first, last = max(min(first, k - 2), 0), min(max(last, k + 2), len(grey) - 1)
    x = np.arange(first, last + 1) - k
    a, b, c = np.polyfit(x, grey[first : last + 1], 2)
    depth = background - (c - b * b / (4 * a)) if a > 0 else 0.0
    return 2 * np.sqrt(max(depth, 0) / 2 / a) if a > 0 else 0.0


def rectangle(grey: np.ndarray) -> float:
    """Rectangle of the dip's missing light, from the background down to black.

    Our reading of the Rectangle Transform (Benz and Rodehorst 2021), whose text was not at hand: the missing light in
    the connected dip, over the background.
    """
    k, left, right = _dip(grey)
    first, last = k, k
    while first > 0 and grey[first - 1] < left - 0.1 * (left - grey[k]):
        first -= 1
    while last < len(grey) - 1 and grey[last + 1] < right - 0.1 * (right - grey[k]):
        last += 1
    base = np.interp(np.arange(first, last + 1), [first, max(last, first + 1)], [left, right])
    return float(np.maximum(base - grey[first : last + 1], 0).sum() / max((left + right) / 2, 1.0))


def errors(width: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean absolute errors over the ranges of the issue."""
    error = np.abs(width - truth)
    return {
        "0-15": float(error.mean()), "0-2": float(error[truth < 2].mean()), "2-15": float(error[truth >= 2].mean()),
    }  # fmt: skip


def choose_settings(profiles: list[np.ndarray], truth: np.ndarray) -> FitSettings:
    """The constants that suit these rows best, from a small grid."""
    best = (np.inf, FitSettings())
    grid = product((0.80, 0.84, 0.88, 0.92), (0.03, 0.05, 0.08), (10.0, 20.0, 40.0))
    for darkness, spread, inflation in grid:
        settings = replace(FitSettings(), darkness=darkness, darkness_spread=spread, noise_inflation=inflation)
        error = float(np.abs(ours(profiles, settings)[0] - truth).mean())
        best = min(best, (error, settings), key=lambda pair: pair[0])
    return best[1]


def twofold(rows: list[tuple[str, float, np.ndarray]]) -> dict[str, object]:
    """Constants from some sites, figures from the others, both ways; pooled over all rows."""
    site = np.array([row[0] for row in rows])
    truth = np.array([row[1] for row in rows])
    width = np.zeros(len(rows))
    chosen = {}
    for test in FOLDS:
        held = np.isin(site, test)
        train = [rows[k][2] for k in np.flatnonzero(~held)]
        settings = choose_settings(train, truth[~held])
        chosen["+".join(test)] = {
            "darkness": settings.darkness, "spread": settings.darkness_spread, "inflation": settings.noise_inflation,
        }  # fmt: skip
        width[held] = ours([rows[k][2] for k in np.flatnonzero(held)], settings)[0]
    return {"errors": errors(width, truth), "constants used on": chosen}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--no-twofold", action="store_true", help="Skip the search over constants (minutes).")
    options = parser.parse_args()
    rows = read_rows(options.data)
    truth = np.array([row[1] for row in rows])
    table: dict[str, dict[str, float]] = {}
    checks: dict[str, object] = {}
    for sigma in (0.0, 2.0):
        profiles = [row[2] if not sigma else gaussian_filter1d(row[2], sigma) for row in rows]
        label = "as they are" if not sigma else f"blur {sigma:g} px added"
        width, stated, ok = ours(profiles)
        table[f"ours, {label}"] = errors(width, truth)
        for name, method in (("half maximum", half_maximum), ("parabola", parabola), ("rectangle", rectangle)):
            table[f"{name}, {label}"] = errors(np.array([method(p) for p in profiles]), truth)
        if not sigma:
            checks["answers"] = int(np.isfinite(width).sum())
            checks["ok"] = float(ok.mean())
            checks["covered by 1 sigma"] = float((np.abs(width - truth) <= stated).mean())
            doubled = [np.interp(np.arange(2 * len(p)) / 2 - 0.25, np.arange(len(p)), p) for p in profiles]
            ratio = ours(doubled)[0] / width / 2
            wide = width > 2
            checks["resampled by 2: ratio to double, median"] = float(np.median(ratio))
            checks["resampled by 2: ratio, widths above 2 px, 10 to 90 %"] = [
                float(v) for v in np.quantile(ratio[wide], (0.1, 0.9))
            ]
            darker = ours([0.7 * p for p in profiles])[0] / width
            checks["grey times 0.7: largest change"] = float(np.abs(darker - 1).max())
            lifted = ours([0.8 * p + 20 for p in profiles])[0] / width
            spread = np.quantile(lifted, (0.1, 0.5, 0.9))
            checks["grey times 0.8 plus 20: ratio, 10, 50, 90 %"] = [float(v) for v in spread]
    if not options.no_twofold:
        checks["twofold"] = twofold(rows)
    print(f"{len(rows)} profiles, mean absolute error in px")
    print(f"{'':34s}" + "".join(f"{k:>9s}" for k in ("0-15", "0-2", "2-15")))
    for name, row in table.items():
        print(f"{name:34s}" + "".join(f"{row[k]:9.3f}" for k in ("0-15", "0-2", "2-15")))
    for name, value in checks.items():
        print(f"{name}: {value}")
    constants = {"darkness": DARKNESS, "spread": DARKNESS_SPREAD, "inflation": NOISE_INFLATION}
    result = {"run": describe_run(), "rows": len(rows), "errors": table, "checks": checks, "constants": constants}
    write_result("width_profiles", result, None)


if __name__ == "__main__":
    main()
