"""Post-training int8 by NNCF, accepted only if it costs next to no accuracy.

NNCF works on the ONNX graph itself and leaves quantise/dequantise pairs in it, so that the same file runs in
OpenVINO and in ONNX Runtime and opens in other tools.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from fissura.data.pairs import IMAGE_SUFFIXES, Pair
from fissura.errors import DataError, ModelError
from fissura.export.onnx_file import save_model, whole_weights
from fissura.export.parity import LARGEST_F1_LOSS, pooled_f1
from fissura.imaging.read import read_image
from fissura.infer.backend import BackendOptions
from fissura.infer.onnx_metadata import read_card
from fissura.infer.openvino_backend import OpenVinoBackend
from fissura.tiling import reflect_indices
from fissura.types import RgbImage

CALIBRATION_TILES = 300

_LEFT_IN_FLOAT = ("Reshape", "Transpose")
"""Operators of the pixel-unshuffle. OpenVINO 2026.4 moves dequantisation through them wrongly: with them
quantised, F1 of an early model fell from .629 to .524 in OpenVINO while ONNX Runtime gave .626 from the same
file. They only move data, so that nothing is lost. The symmetric preset is a fifth faster than the mixed one
and as good."""


def read_calibration_tiles(folder: Path, tile: int, *, count: int = CALIBRATION_TILES, seed: int = 0) -> list[RgbImage]:
    """Random tiles from the images of a folder and its subfolders; folders called ``masks`` are left out.

    Args:
        folder: Training images. Never the validation or test images.
        tile: Side of a tile in pixels; smaller images are reflect-padded.
        count: Number of tiles, spread evenly over the images.
        seed: The same seed gives the same tiles.
    Raises:
        DataError: There are no images.
    """
    paths = [
        path for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and "masks" not in path.relative_to(folder).parts
    ]  # fmt: skip
    if not paths:
        raise DataError(f"{folder} holds no images to calibrate with; give a folder with training images")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(paths))
    return [_random_tile(read_image(paths[order[k % len(paths)]]).rgb, tile, rng) for k in range(count)]


def write_int8(
    source: Path, out: Path, calibration: Sequence[RgbImage], validation: Sequence[Pair]
) -> tuple[float, float]:
    """Quantise an exported file; the result stays only if F1 falls by at most `LARGEST_F1_LOSS`.

    Args:
        source: The fp32 ONNX file with its card.
        out: File to write.
        calibration: Tiles of the card's size, from training images.
        validation: Pairs to compare on.
    Returns:
        F1 of the fp32 file and of the int8 file in OpenVINO.
    Raises:
        ModelError: The int8 file loses too much; both figures are in the message and no file is left.
    """
    card = read_card(source)
    quantised = quantise(source, calibration)
    int8_card = card.model_copy(update={"precision": "int8", "allowed_precisions": ("int8",)})
    candidate = out.with_name(f".{out.stem}.candidate.onnx")
    save_model(quantised, int8_card, candidate)
    try:
        before = pooled_f1(OpenVinoBackend(source, BackendOptions("fp32")), validation)
        after = pooled_f1(OpenVinoBackend(candidate, BackendOptions("int8")), validation)
        if before - after > LARGEST_F1_LOSS:
            raise ModelError(
                f"int8 is rejected: F1 falls from {before:.4f} to {after:.4f} on {len(validation)} validation images, "
                f"by more than {LARGEST_F1_LOSS}; calibrate on images that are closer to the validation data"
            )
        candidate.replace(out)
    finally:
        candidate.unlink(missing_ok=True)
    return before, after


def quantise(source: Path, tiles: Sequence[RgbImage]) -> onnx.ModelProto:
    """The graph of an exported file in int8, calibrated on tiles of its size, not yet judged."""
    import nncf  # takes two seconds and prints; nothing else in export needs it
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.ERROR)
    model = onnx.load(str(source))
    whole_weights(model)
    name = model.graph.input[0].name

    def to_input(tile: RgbImage) -> dict[str, np.ndarray]:
        return {name: np.ascontiguousarray(tile.transpose(2, 0, 1)[None], np.float32) / np.float32(255)}

    # The default range is a mean over the tiles, and a photograph of wide dark cracks then saturates: whole
    # images were lost (correlation with fp32 down to 0.64). The true extremes cost a fraction of a step elsewhere.
    ranges = RangeEstimatorParametersSet.MINMAX
    extremes = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges)
    with contextlib.redirect_stdout(io.StringIO()):
        quantised: onnx.ModelProto = nncf.quantize(
            model, nncf.Dataset(tiles, to_input), preset=nncf.QuantizationPreset.PERFORMANCE, subset_size=len(tiles),
            ignored_scope=nncf.IgnoredScope(types=list(_LEFT_IN_FLOAT), validate=False),
            advanced_parameters=extremes,
        )  # fmt: skip
    return quantised


def _random_tile(rgb: RgbImage, tile: int, rng: np.random.Generator) -> RgbImage:
    picked = []
    for length in rgb.shape[:2]:
        start = int(rng.integers(0, length - tile + 1)) if length > tile else -((tile - length) // 2)
        picked.append(reflect_indices(start, start + tile, length))
    return rgb[np.ix_(*picked)]
