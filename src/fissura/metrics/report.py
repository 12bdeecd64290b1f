"""What an evaluation leaves behind: evaluation.json and per_image.csv."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fissura import __version__
from fissura.metrics import scores
from fissura.metrics.counts import MatchCounts
from fissura.metrics.figures import mean_figures
from fissura.metrics.set_score import ImageScore, SetScore
from fissura.spec import ModelCard

_PACKAGES = (
    "numpy", "opencv-python-headless", "scikit-image", "pillow", "openvino", "onnxruntime", "torch",
)  # fmt: skip

EMPTY_MASKS = (
    "A score of an image or set whose truth holds no crack is not defined (null) and left out of means; such images "
    "are judged by the false-alarm share. Where the truth holds crack and nothing is predicted, precision, recall, "
    "F1 and IoU are 0. A pixel is predicted as crack where probability > threshold."
)


@dataclass(frozen=True)
class SetResult:
    """The score of one set, under the name of its row."""

    name: str
    score: SetScore


def summarise(
    results: Sequence[SetResult], *, card: ModelCard, run: Mapping[str, Any], failed: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Everything about an evaluation as plain JSON values; NaN becomes None.

    Args:
        results: At least one set; all counted alike.
        card: Of the model.
        run: Settings of the run: threshold, engine, precision and so on; copied as they are.
        failed: Source and message of each pair or set left out.
    """
    pooled = results[0].score
    for result in results[1:]:
        pooled = pooled + result.score
    return {
        "model": {
            "name": card.name, "version": card.version, "architecture": card.architecture,
            "parameters": card.parameters, "weights_sha256": card.weights_sha256,
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **run,
        "sets": [_set_entry(result) for result in results],
        "mean_over_sets": _plain(mean_figures(result.score.figures() for result in results)),
        "pooled_over_all_images": _plain(pooled.figures()),
        "failed": [{"source": source, "error": error} for source, error in failed],
        "protocol": {"empty masks": EMPTY_MASKS, **pooled.protocol()},
        "versions": package_versions(),
        "machine": {"system": platform.system(), "processor": platform.machine(), "python": platform.python_version()},
    }  # fmt: skip


def per_image_csv(results: Sequence[SetResult]) -> str:
    """One line an image; empty where a score is not defined."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for result in results:
        for image in result.score.images:
            row = _image_row(image, result.score)
            if not text.tell():
                table.writerow(["set", "stem", *row])
            table.writerow([result.name, image.name, *(_cell(value) for value in row.values())])
    return text.getvalue()


def _image_row(image: ImageScore, score: SetScore) -> dict[str, float | int]:
    counts = image.pixels.as_match()
    row: dict[str, float | int] = {
        "height_px": image.height, "width_px": image.width,
        "truth_px": counts.truth, "predicted_px": counts.predicted, **asdict(image.pixels),
        "precision": scores.precision(counts), "recall": scores.recall(counts), "F1": image.f1,
        "IoU": scores.iou(image.pixels), "mIoU": scores.mean_iou(image.pixels),
        f"F1@{score.tolerance_px}px": scores.f1(image.near), "best F1": image.best_f1,
        "best threshold": image.best_threshold, "AIU": image.average_iou,
    }  # fmt: skip
    if score.centrelines:
        row["clDice"] = scores.f1(image.inside or MatchCounts())
        row["clIoU"] = scores.centreline_iou(image.centrelines or MatchCounts())
    return row | {"false_alarm": int(image.is_false_alarm)}


def _set_entry(result: SetResult) -> dict[str, Any]:
    score = result.score
    counts: dict[str, Any] = {"pixels": asdict(score.pixels), f"within {score.tolerance_px} px": asdict(score.near)}
    if score.centrelines:
        counts |= {"clDice": asdict(score.inside), "clIoU": asdict(score.near_centreline)}
    return {
        "name": result.name, "images": len(score.images),
        "images_with_crack": score.crack_images, "false_alarms": score.false_alarms,
        "figures": _plain(score.figures()), "counts": counts,
    }  # fmt: skip


def _plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 6) for name, value in figures.items()}


def _cell(value: float | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.6g}"


def package_versions() -> dict[str, str]:
    """Versions of fissura and of what its figures depend on, by package."""
    found = {"fissura": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
