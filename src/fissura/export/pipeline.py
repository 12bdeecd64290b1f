"""The whole way from trained weights to model files, as ``fissura export`` goes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from fissura.data.pairs import Pair, spread
from fissura.errors import ModelError, OutputError, SettingsError
from fissura.export.checkpoint import load_trained
from fissura.export.int8 import CALIBRATION_TILES, read_calibration_tiles, write_int8
from fissura.export.onnx_file import export_onnx
from fissura.export.parity import LARGEST_F1_LOSS, ParityReport, find_all_pairs, measure_parity, pooled_f1
from fissura.infer.backend import BackendOptions, Precision, load_backend
from fissura.infer.precision import fast_precisions, int8_sibling
from fissura.nets import load_weights, save_weights
from fissura.spec import ModelCard
from fissura.synth.crops import render_training_crop
from fissura.types import RgbImage

PARITY_TILES = 16
_REFERENCE = "torch fp32"


def export_model(
    checkpoint: Path,
    out: Path,
    *,
    int8: bool = False,
    calibrate: Sequence[Path] = (),
    validate: Sequence[Path] = (),
    validate_limit: int | None = None,
    name: str | None = None,
    say: Callable[[str], None] = print,
) -> ParityReport:
    """Write ``OUT.onnx``, ``OUT.safetensors``, ``OUT.parity.json`` and, if asked for, ``OUT.int8.onnx``.

    An ``OUT.int8.onnx`` of an earlier export is removed: it holds other weights, or was judged on other images.

    Args:
        checkpoint: Trained weights, see `load_trained`.
        out: The ONNX file.
        int8: Also make an int8 file; needs both folders.
        calibrate: Folders of training images, drawn from evenly; without any, generated crops serve
        validate: Folders with data sets of images and masks, on which int8 and bf16 are accepted or not.
        validate_limit: At most so many images of each folder, evenly spread; None takes all.
        name: Another name for the card.
        say: Called with lines for people.
    Returns:
        How far the engines are from torch.
    Raises:
        ModelError: The weights cannot be used, an engine differs too much, or int8 costs too much F1.
        DataError: A folder cannot be used.
        OutputError: A file cannot be written.
        SettingsError: The name cannot stand in a card.
    """
    sets = [find_all_pairs(folder) for folder in validate]
    pairs = [pair for found in sets for pair in spread(found, validate_limit or len(found))]
    card = _write_weights(checkpoint, out, name)
    share = -(-CALIBRATION_TILES // max(len(calibrate), 1))
    tiles = [t for folder in calibrate for t in read_calibration_tiles(folder, card.tile, count=share)]
    tiles = tiles or _generated_tiles(card.tile)
    net, _ = load_weights(out.with_suffix(".safetensors"))
    _remove(int8_sibling(out))
    export_onnx(net, card, out)
    report = _compare(out, card, tiles[:: max(len(tiles) // PARITY_TILES, 1)][:PARITY_TILES], pairs)
    for line in report.lines():
        say(line)
    if not report.passed:
        out.unlink()
        raise ModelError(f"an engine differs from torch by more than allowed, {out} was removed; please report this")
    if _loses_too_much(report, "openvino bf16"):
        kept = tuple(p for p in card.allowed_precisions if p != "bf16")
        export_onnx(net, card.model_copy(update={"allowed_precisions": kept}), out)
        say(f"bf16 costs more than {LARGEST_F1_LOSS} of F1; the card does not allow it")
    try:
        out.with_suffix(".parity.json").write_text(report.to_json() + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the parity report beside {out}: {error.strerror}") from error
    say(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
    if int8:
        before, after = write_int8(out, int8_sibling(out), tiles, pairs)
        say(f"int8 accepted: F1 {before:.4f} in fp32, {after:.4f} in int8 on {len(pairs)} images")
        say(f"wrote {int8_sibling(out)} ({int8_sibling(out).stat().st_size / 1e6:.1f} MB)")
    return report


def _write_weights(checkpoint: Path, out: Path, name: str | None) -> ModelCard:
    """Put the weights beside the model file and return the card with their checksum."""
    net, card = load_trained(checkpoint)
    if name is not None:
        try:
            card = ModelCard.model_validate(card.model_dump() | {"name": name})
        except ValidationError as error:
            raise SettingsError(
                f"'{name}' is no name for a model; give small letters, digits, '.', '_' and '-', for example my-model"
            ) from error
    weights = out.with_suffix(".safetensors")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if name is not None or not (weights.exists() and weights.samefile(checkpoint)):
            save_weights(weights, net, card)
        checksum = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {weights}: {error.strerror}; choose another place with --out") from error
    return card.model_copy(update={"weights_sha256": checksum})


def _remove(stale: Path) -> None:
    try:
        stale.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot remove {stale} of an earlier export: {error.strerror}; remove it by hand") from error


def _compare(out: Path, card: ModelCard, tiles: Sequence[RgbImage], pairs: Sequence[Pair]) -> ParityReport:
    runs: list[tuple[str, Precision]] = [("openvino", "fp32"), ("onnxruntime", "fp32")]
    if "bf16" in fast_precisions() and "bf16" in card.allowed_precisions:
        runs.append(("openvino", "bf16"))
    engines = [load_backend(engine, out, BackendOptions(precision)) for engine, precision in runs]
    reference = load_backend("torch", out, BackendOptions())
    report = measure_parity(reference, engines, tiles)
    if pairs:
        report.f1 = {engine.description: pooled_f1(engine, pairs) for engine in (reference, *engines)}
        report.images = len(pairs)
    return report


def _loses_too_much(report: ParityReport, engine: str) -> bool:
    return engine in report.f1 and report.f1[_REFERENCE] - report.f1[engine] > LARGEST_F1_LOSS


def _generated_tiles(tile: int) -> list[RgbImage]:
    rng = np.random.default_rng(0)
    return [render_training_crop(rng, tile, crack_probability=0.8)[0] for _ in range(PARITY_TILES)]
