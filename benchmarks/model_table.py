"""One table of all models: every test folder, the negatives, and how much bad pictures cost.

    python benchmarks/model_table.py [--models fast nano] [--precisions int8 fp32] [--every 3]

Needs FISSURA_DATA. A model is the name of a shipped one or an .onnx file with a card. What has been measured with the
same weights stays in ``benchmarks/results/model_table.json`` and is not measured again; an interrupted run goes on.
``docs/make_models.py`` makes the page of it.

- *clean*: all images of the test folders and of the two folders of crack-free images, threshold 0.5.
- The others: every n-th image (--every) of the five public tests, changed (JPEG quality 30; half the light; motion blur
  of 5 px in a direction of its own for each image; Gaussian noise of 0.05; shrunk to half or enlarged to double size
  with the probability brought back to the mask's size), beside the same images unchanged (*same*).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from machine import RESULTS, describe_run, write_result

from fissura.data.pairs import find_pairs
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.metrics.evaluation import evaluate
from fissura.synth.aerial.camera import motion_kernel
from fissura.types import BoolMask, Probability, RgbImage

PUBLIC = ("deepcrack", "cfd", "crack500", "uavcrack_asphalt", "gaps384")
OTHERS = ("uavcrack_concrete", "uav_quay")
NEGATIVES = ("negatives_noncrack", "negatives_metu_concrete")
KEPT = ("F1", "precision", "recall", "F1@2px", "ODS", "OIS", "AP", "clDice", "clIoU")
Change = Callable[[RgbImage, np.random.Generator], RgbImage]


def jpeg(rgb: RgbImage, rng: np.random.Generator) -> RgbImage:
    data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def half_light(rgb: RgbImage, rng: np.random.Generator) -> RgbImage:
    return np.asarray((rgb.astype(np.uint16) + 1) // 2, np.uint8)


def motion_blur(rgb: RgbImage, rng: np.random.Generator) -> RgbImage:
    kernel = motion_kernel(5.0, float(rng.uniform(0, 180)))
    return np.asarray(cv2.filter2D(rgb, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.uint8)


def noise(rgb: RgbImage, rng: np.random.Generator) -> RgbImage:
    grain = rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(0.05 * 255)
    return np.clip(rgb + grain + 0.5, 0, 255).astype(np.uint8)


def unchanged(rgb: RgbImage, rng: np.random.Generator) -> RgbImage:
    return rgb


CHANGES: dict[str, tuple[Change, float]] = {
    "same": (unchanged, 1.0), "JPEG 30": (jpeg, 1.0), "half light": (half_light, 1.0),
    "motion blur 5 px": (motion_blur, 1.0), "noise 0.05": (noise, 1.0), "×0.5": (unchanged, 0.5),
    "×2": (unchanged, 2.0),
}  # fmt: skip


class Changed:
    """A segmenter that sees changed pictures."""

    def __init__(self, segmenter: Segmenter, change: Change, size: float) -> None:
        self.segmenter, self.change, self.size = segmenter, change, size
        self.threshold = segmenter.threshold
        self.rng = np.random.default_rng(20261128)

    def probability(self, rgb: RgbImage, *, valid: BoolMask | None = None) -> Probability:
        seen = self.change(rgb, self.rng)
        if self.size != 1.0:
            grow = cv2.INTER_LINEAR if self.size > 1 else cv2.INTER_AREA
            hw = [max(round(side * self.size), 1) for side in rgb.shape[:2]]
            seen = np.asarray(cv2.resize(seen, (hw[1], hw[0]), interpolation=grow), np.uint8)
        found = self.segmenter.probability(seen)
        if self.size != 1.0:
            back = cv2.INTER_AREA if self.size > 1 else cv2.INTER_LINEAR
            found = np.asarray(cv2.resize(found, (rgb.shape[1], rgb.shape[0]), interpolation=back), np.float32)
        return found


def measure(segmenter: Segmenter, folder: Path, condition: str, every: int) -> dict[str, Any]:
    """One cell: figures and counts."""
    pairs = find_pairs(folder)
    source: Any = segmenter
    if condition != "clean":
        pairs, source = pairs[::every], Changed(segmenter, *CHANGES[condition])
    score = evaluate(source, pairs, centrelines=condition == "clean", instances=False)
    figures = score.figures()
    cell: dict[str, Any] = {"images": len(score.images), "false_alarms": score.false_alarms}
    return cell | {k: round(float(figures[k]), 5) for k in KEPT if k in figures and np.isfinite(figures[k])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["fast", "nano"])
    parser.add_argument("--precisions", nargs="+", default=["int8", "fp32"])
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--robust", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if "FISSURA_DATA" not in os.environ:
        sys.exit("set FISSURA_DATA to the folder that holds crack/")
    data = Path(os.environ["FISSURA_DATA"]) / "crack"
    path = options.out or RESULTS / "model_table.json"
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}
    for name in options.models:
        for precision in options.precisions:
            fill(table, name, precision, data, path, options)
    print_table(table)
    return 0


def fill(
    table: dict[str, Any], name: str, precision: str, data: Path, path: Path, options: argparse.Namespace
) -> None:  # fmt: skip
    """Measure what is not there yet, and write after each cell."""
    segmenter = load_segmenter(name, precision=precision, threads=options.threads)
    card = segmenter.card
    key = f"{Path(name).stem.removesuffix('.int8')} {precision}"
    row = table["rows"].get(key, {})
    if row.get("weights_sha256") != card.weights_sha256 or row.get("every", options.every) != options.every:
        row = {}
    row |= {
        "model": card.name, "version": card.version, "precision": precision, "architecture": card.architecture,
        "options": card.architecture_options, "parameters": card.parameters, "trained_on": card.trained_on,
        "weights_sha256": card.weights_sha256, "every": options.every,
    }  # fmt: skip
    row.setdefault("cells", {})
    table["rows"][key] = row
    todo = [("clean", s) for s in (*PUBLIC, *OTHERS, *NEGATIVES)]
    if options.robust and precision == options.precisions[0]:  # the default precision is what users run
        todo += [(condition, s) for condition in CHANGES for s in PUBLIC]
    for condition, folder in todo:
        cell = f"{condition}: {folder}/test"
        if cell in row["cells"]:
            continue
        start = time.perf_counter()
        row["cells"][cell] = measure(segmenter, data / folder / "test", condition, options.every)
        row |= describe_run()
        write_result("model_table", table, path)
        print(f"{key}, {cell}: {row['cells'][cell]} ({time.perf_counter() - start:.0f} s)", flush=True)


def print_table(table: dict[str, Any]) -> None:
    for key, row in table["rows"].items():
        clean = [row["cells"].get(f"clean: {s}/test") for s in PUBLIC]
        if None in clean:
            continue
        means = {f: float(np.mean([c[f] for c in clean])) for f in ("F1", "F1@2px", "ODS", "clDice", "clIoU")}
        print(key, ", ".join(f"{name} {value:.3f}" for name, value in means.items()))


if __name__ == "__main__":
    sys.exit(main())
