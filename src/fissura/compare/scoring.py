"""A trained cell on the tests: exported, run in OpenVINO through the `Segmenter`, counted image by image."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from fissura.compare.counts import ImageCounts
from fissura.compare.grid import EvaluationConfig
from fissura.data.pairs import Pair, find_pairs, spread
from fissura.errors import DataError, FissuraError
from fissura.metrics import SetScore
from fissura.metrics.evaluation import EvaluatedImage, ProbabilitySource, evaluate
from fissura.spec import ModelCard

THRESHOLD = 0.5
TOLERANCE_PX = 2


def load_for_scoring(weights: Path, config: EvaluationConfig, *, threads: int | None) -> ProbabilitySource:
    """A segmenter of trained weights, with the tiling of the evaluation.

    Raises:
        ModelError: The weights cannot be read.
    """
    from fissura.infer.backend import BackendOptions, load_backend
    from fissura.infer.segmenter import Segmenter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.onnx"
        export_cell(weights, path, tile=config.tile, overlap=config.overlap)
        backend = load_backend("openvino", path, BackendOptions(config.precision, threads))
    return Segmenter(backend, threshold=THRESHOLD)


def export_cell(weights: Path, path: Path, *, tile: int | None = None, overlap: int | None = None) -> ModelCard:
    """Write trained weights as ONNX of another tile, and return the card."""
    from fissura.export.onnx_file import export_onnx
    from fissura.nets import load_weights

    net, card = load_weights(weights)
    side = tile or card.tile
    changes = {"tile": side, "overlap": min(card.overlap if overlap is None else overlap, side // 2)}
    card = ModelCard.model_validate(card.model_dump() | changes)
    export_onnx(net, card, path)
    return card


def score_test(
    segmenter: ProbabilitySource,
    folder: Path,
    config: EvaluationConfig,
    *,
    on_image: Callable[[], None] = lambda: None,
) -> ImageCounts:
    """Count every image of a test; those that cannot be read are noted and left out.

    Args:
        segmenter: From `load_for_scoring`.
        folder: With images/ and masks/.
        config: How to count.
        on_image: Called after each image.
    Raises:
        DataError: The folder is no data set, or none of its images can be read.
    """
    pairs = find_pairs(folder)
    if config.limit is not None:
        pairs = spread(pairs, config.limit)
    scores: list[SetScore] = []
    left_out: dict[str, str] = {}

    def count(item: EvaluatedImage) -> None:
        score = SetScore(THRESHOLD, TOLERANCE_PX, instances=True, boundary_every=config.boundary_every)
        score.add(item.probability, item.truth, name=item.pair.stem)
        scores.append(score)
        on_image()

    def skip(pair: Pair, error: FissuraError) -> None:
        left_out[pair.stem] = str(error)
        on_image()

    evaluate(segmenter, pairs, threshold=THRESHOLD, centrelines=False, instances=False, on_image=count, on_error=skip)
    if not scores:
        first = next(iter(left_out.values()))
        raise DataError(f"none of the {len(pairs)} images of {folder} can be read; the first: {first}")
    return ImageCounts.of(scores, left_out)
