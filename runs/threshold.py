"""At which threshold a model does best on validation images, and how sure that is.

    python runs/threshold.py NAME_OR_FILE.onnx ... [--precision int8]

Needs FISSURA_DATA and each model's recipe, ``runs/NAME.yaml``. Images are the recipe's validation images and the
photographs that it held back from training, as in ``runs/confidence.py``. Counts are pooled over a set; what is looked
for is the threshold, in hundredths, with the highest mean of F1@2px over the sets. Images are drawn again a thousand
times, within each set, for the interval of that threshold and of what it gains over one half. Result:
``benchmarks/results/threshold_NAME.json``, which ``runs/shift.py`` and ``runs/join.py --threshold`` are told.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "runs"))

from confidence import read_pairs  # noqa: E402
from machine import describe_run, write_result  # noqa: E402

from fissura.data.pairs import Pair, read_mask  # noqa: E402
from fissura.errors import FissuraError  # noqa: E402
from fissura.imaging.read import read_image  # noqa: E402
from fissura.infer.segmenter import Segmenter, load_segmenter  # noqa: E402
from fissura.infer.store import find_model  # noqa: E402
from fissura.metrics.counts import THRESHOLDS, bin_probability, count_curve_near, ellipse  # noqa: E402
from fissura.train.config import read_config  # noqa: E402

FloatArray = npt.NDArray[np.float64]
TOLERANCE_PX, DRAWS, HALF = 2, 1000, 49
SHOWN = range(9, 99, 10)
"""Indices of 0.1, 0.2, ... 0.9 among the thresholds."""


def count_sets(segmenter: Segmenter, pairs: list[Pair], folder: Path) -> dict[str, FloatArray]:
    """Of each set an array (images, 4, 99): found, right, crack found, crack, at each threshold, in pixels."""
    rows: dict[str, list[FloatArray]] = {}
    kernel = ellipse(TOLERANCE_PX)
    for pair in tqdm(pairs, desc=segmenter.card.name, unit="image", disable=None):
        image = read_image(pair.image)
        truth = read_mask(pair.mask, size_hw=image.rgb.shape[:2])
        found = segmenter.probability(image.rgb, valid=image.valid)
        curve = count_curve_near(bin_probability(found), truth, kernel)
        row = np.stack([curve.predicted, curve.predicted_hit, curve.truth_hit, np.full(len(THRESHOLDS), curve.truth)])
        rows.setdefault(pair.image.relative_to(folder).parts[0], []).append(row.astype(np.float64))
    return {name: np.stack(each) for name, each in rows.items()}


def f1_of(counts: FloatArray) -> FloatArray:
    """F1@2px (..., 99) of counts (..., 4, 99)."""
    found, right, crack_found, crack = np.moveaxis(counts, -2, 0)
    precision, recall = right / np.maximum(found, 1.0), crack_found / np.maximum(crack, 1.0)
    return np.asarray(2.0 * precision * recall / np.maximum(precision + recall, 1e-9))


def judge(sets: Mapping[str, FloatArray], draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """The best threshold for the mean over sets, with 90 % intervals from drawing each set's images again."""
    each = {name: f1_of(rows.sum(axis=0)) for name, rows in sets.items()}
    mean = np.mean(list(each.values()), axis=0)
    best = int(mean.argmax())
    generator = np.random.default_rng(seed)
    drawn = np.zeros((draws, len(THRESHOLDS)))
    for rows in sets.values():
        times = generator.multinomial(len(rows), np.full(len(rows), 1.0 / len(rows)), size=draws).astype(np.float64)
        drawn += f1_of(np.tensordot(times, rows, axes=1)) / len(sets)
    low, high = np.quantile(THRESHOLDS[drawn.argmax(axis=1)], (0.05, 0.95))
    gain = np.quantile(drawn[:, best] - drawn[:, HALF], (0.05, 0.95))
    return {
        "threshold": round(float(THRESHOLDS[best]), 2), "threshold_90": [round(float(low), 2), round(float(high), 2)],
        "F1@2px": round(float(mean[best]), 5), "F1@2px_at_half": round(float(mean[HALF]), 5),
        "gain_90": [round(float(g), 5) for g in gain],
        "curve": {f"{THRESHOLDS[k]:.1f}": round(float(mean[k]), 5) for k in SHOWN},
        "sets": {
            name: {"images": len(sets[name]), "threshold": round(float(THRESHOLDS[f1.argmax()]), 2),
                   "curve": {f"{THRESHOLDS[k]:.1f}": round(float(f1[k]), 5) for k in SHOWN}}
            for name, f1 in each.items()
        },
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="name of a shipped model, or an .onnx file")
    parser.add_argument("--precision", default="int8", help="int8 (default), fp32 or bf16")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if "FISSURA_DATA" not in os.environ:
        sys.exit("set FISSURA_DATA to the folder that holds crack/")
    data = Path(os.environ["FISSURA_DATA"]) / "crack"
    for name in options.models:
        try:
            path = Path(name) if name.endswith(".onnx") else find_model(name).onnx
            segmenter = load_segmenter(path, precision=options.precision, threads=options.threads)
            pairs = read_pairs(read_config(ROOT / "runs" / f"{segmenter.card.name}.yaml"), data)
            result = judge(count_sets(segmenter, pairs, data))
        except FissuraError as error:
            sys.exit(str(error))
        card = segmenter.card
        origin = {"model": card.name, "version": card.version, "weights_sha256": card.weights_sha256,
                  "engine": segmenter.backend.description}  # fmt: skip
        (low, high), (least, most) = result["threshold_90"], result["gain_90"]
        print(
            f"{card.name} {card.version}: best at {result['threshold']} ({low} to {high}): F1@2px "
            f"{result['F1@2px']:.4f}, {result['F1@2px_at_half']:.4f} at 0.5 (gain {least:+.4f} to {most:+.4f})"
        )
        print(f"wrote {write_result(f'threshold_{card.name}', describe_run() | origin | result, None)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
