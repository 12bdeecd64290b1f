"""Fit how probable it is that a find is a crack, and write the curve into a model's files.

    python runs/confidence.py NAME_OR_FILE.onnx [--write]

Needs FISSURA_DATA and the model's recipe, ``runs/NAME.yaml``. Finds are traced on its validation images and on the
photographs that it held back from training, as `fissura measure` traces them. A find counts as a crack if at least half
of its centreline lies within 2 px of the mask. The curve of `fissura.spec.ConfidenceCurve` is fitted on all of them;
its error is measured by five-fold validation over images: no find is judged by a curve that saw its image. Result:
``benchmarks/results/confidence_NAME.json``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from scipy.optimize import minimize
from scipy.special import expit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from machine import describe_run, write_result  # noqa: E402

from fissura.data.pairs import Pair, find_pairs, read_mask, spread  # noqa: E402
from fissura.export.onnx_file import save_model  # noqa: E402
from fissura.imaging.read import read_image  # noqa: E402
from fissura.infer.onnx_metadata import read_card  # noqa: E402
from fissura.infer.precision import int8_sibling  # noqa: E402
from fissura.infer.segmenter import Segmenter, load_segmenter  # noqa: E402
from fissura.infer.store import find_model  # noqa: E402
from fissura.measure.graph import trace_cracks  # noqa: E402
from fissura.spec import ConfidenceCurve  # noqa: E402
from fissura.train.config import TrainConfig, read_config  # noqa: E402

TOLERANCE_PX, FOLDS, BINS = 2, 5, 10


def read_pairs(recipe: TrainConfig, data: Path) -> list[Pair]:
    """The recipe's validation images and the photographs that it holds back; generated pictures have no say."""
    held_back = {one.folder: one.hold_back for one in recipe.train if one.hold_back and one.root is None}
    pairs = [pair for folder in recipe.validate_on for pair in find_pairs(data / folder)]
    return pairs + [pair for folder, count in held_back.items() for pair in spread(find_pairs(data / folder), count)]


def read_finds(segmenter: Segmenter, pairs: list[Pair]) -> np.ndarray:
    """One row for each find: image, mean probability, length in px, whether it is a crack."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * TOLERANCE_PX + 1,) * 2)
    rows = []
    for number, pair in enumerate(pairs):
        image = read_image(pair.image)
        truth = read_mask(pair.mask, size_hw=image.rgb.shape[:2])
        near = cv2.dilate(truth.astype(np.uint8), kernel) > 0
        found = segmenter.segment(image.rgb, valid=image.valid)
        for branch in trace_cracks(found.mask, probability=found.probability).branches:
            at = np.clip(np.rint(branch.points_rc).astype(int), 0, np.array(near.shape) - 1)
            steps = np.linalg.norm(np.diff(branch.points_rc, axis=0), axis=1)
            share = np.concatenate([steps, [0.0]]) + np.concatenate([[0.0], steps])
            real = np.average(near[at[:, 0], at[:, 1]], weights=share) >= 0.5
            rows.append((number, np.average(branch.probability, weights=share), max(steps.sum(), 1.0), real))
        if number % 50 == 49:
            print(f"{number + 1} of {len(pairs)} images, {len(rows)} finds", file=sys.stderr, flush=True)
    return np.array(rows, np.float64)


def features(finds: np.ndarray) -> np.ndarray:
    """One, logit of the probability and its square, logarithm of the length and its square."""
    p = np.clip(finds[:, 1], 1e-4, 1 - 1e-4)
    logit, length = np.log(p / (1 - p)), np.log(finds[:, 2])
    return np.column_stack([np.ones(len(p)), logit, logit**2, length, length**2])


def curve_of(weights: np.ndarray) -> ConfidenceCurve:
    """The curve with these weights of `features`."""
    one, logit, logit2, length, length2 = weights.round(4).tolist()
    return ConfidenceCurve(intercept=one, logit=(logit, logit2), log_length=(length, length2))


def fit(finds: np.ndarray) -> np.ndarray:
    """Logistic regression with a whiff of shrinkage."""
    x, y = features(finds), finds[:, 3]

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ w
        error = expit(z) - y
        value = np.logaddexp(0, z).sum() - (y * z).sum() + 0.05 * (w[1:] ** 2).sum()
        return float(value), x.T @ error + 0.1 * np.concatenate([[0.0], w[1:]])

    return np.asarray(minimize(loss, np.zeros(x.shape[1]), jac=True, method="BFGS").x)


def reliability(said: np.ndarray, real: np.ndarray) -> tuple[float, list[dict[str, float]]]:
    """Expected calibration error over ten equal bins, and the bins."""
    index = np.minimum((said * BINS).astype(int), BINS - 1)
    error, bins = 0.0, []
    for k in range(BINS):
        inside = index == k
        if not inside.any():
            continue
        row = {"finds": int(inside.sum()), "said": float(said[inside].mean()), "real": float(real[inside].mean())}
        error += row["finds"] / len(said) * abs(row["said"] - row["real"])
        bins.append(row)
    return error, bins


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name of a shipped model, or an .onnx file")
    parser.add_argument("--write", action="store_true", help="put the curve into the model's files")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if "FISSURA_DATA" not in os.environ:
        sys.exit("set FISSURA_DATA to the folder that holds crack/")
    path = Path(options.model) if options.model.endswith(".onnx") else find_model(options.model).onnx
    segmenter = load_segmenter(path, threads=options.threads)
    recipe = read_config(ROOT / "runs" / f"{segmenter.card.name}.yaml")
    finds = read_finds(segmenter, read_pairs(recipe, Path(os.environ["FISSURA_DATA"]) / "crack"))
    said = np.empty(len(finds))
    for fold in range(FOLDS):
        held = finds[:, 0] % FOLDS == fold
        fitted = curve_of(fit(finds[~held]))
        said[held] = [fitted(p, length) for p, length in finds[held, 1:3].tolist()]
    before, bins_before = reliability(finds[:, 1], finds[:, 3])
    after, bins = reliability(said, finds[:, 3])
    card, curve = segmenter.card, curve_of(fit(finds))
    result: dict[str, Any] = describe_run() | {
        "model": card.name, "version": card.version, "weights_sha256": card.weights_sha256,
        "engine": segmenter.backend.description, "finds": len(finds), "real_share": float(finds[:, 3].mean()),
        "curve": curve.model_dump(), "error_of_mean_probability": before, "error": after,
        "bins_of_mean_probability": bins_before, "bins": bins,
    }  # fmt: skip
    print(f"{len(finds)} finds, {finds[:, 3].mean():.1%} cracks; calibration error {before:.4f} -> {after:.4f}")
    print(f"wrote {write_result(f'confidence_{card.name}', result, None)}")
    if options.write:
        for file in (path, int8_sibling(path)):
            if file.exists():
                save_model(onnx.load(str(file)), read_card(file).model_copy(update={"confidence": curve}), file)
                print(f"the curve is in {file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
