"""Which arithmetic a CPU is fast at, and which file of a model goes with it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import cast, get_args

from fissura.errors import ModelError, SettingsError
from fissura.infer.backend import Precision
from fissura.infer.onnx_metadata import read_card

_INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp"}
_OPENVINO_INT8_FLAGS = {"avx2"}
"""Without instructions for products of bytes OpenVINO still does int8 in two thirds of the time of fp32 (AMD Zen 3:
docs/LOG.md, 2026-11-29); ONNX Runtime does not for every model."""
_OPTIONAL: tuple[Precision, ...] = ("bf16", "int8")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def int8_sibling(path: Path) -> Path:
    """Where the int8 file of a model lies: ``fast.onnx`` has ``fast.int8.onnx`` beside it."""
    return path.with_suffix(".int8.onnx")


def choose_precision(path: Path, engine: str, precision: str | None) -> tuple[Path, Precision]:
    """Pick the file and the arithmetic for a model.

    Args:
        path: The model's fp32 file, or an int8 file.
        engine: Name of the engine; only OpenVINO runs bf16.
        precision: ``fp32``, ``bf16`` or ``int8``; None or ``auto`` takes the fastest that this CPU is good at,
            that the card allows and that there is a file for, of the same weights.
    Raises:
        SettingsError: No such precision.
        ModelError: The file cannot run so, or is no model.
    """
    if precision not in (None, "auto", *get_args(Precision)):
        raise SettingsError(f"unknown precision '{precision}'; choose auto, {', '.join(get_args(Precision))}")
    if engine == "torch":
        # It reads the safetensors file beside the graph, or one that has no graph yet.
        if precision not in (None, "auto", "fp32"):
            raise SettingsError(f"engine torch runs in fp32 only, not in {precision}; leave out the precision")
        return path, "fp32"
    card = read_card(path)
    if card.precision == "int8":
        if precision not in (None, "auto", "int8"):
            raise ModelError(
                f"{path} is an int8 file and cannot run in {precision}; name the fp32 file it was made from"
            )
        return path, "int8"
    if precision in ("fp32", "bf16"):
        return path, cast(Precision, precision)
    sibling = int8_sibling(path)
    int8_card = read_card(sibling) if sibling.is_file() else None
    if precision == "int8":
        if int8_card is None:
            raise ModelError(f"there is no int8 file {sibling}; make one with 'fissura export --int8' or use fp32")
        if int8_card.weights_sha256 != card.weights_sha256:
            raise ModelError(
                f"{sibling} was made from other weights than {path}; export again with '--int8', or use fp32"
            )
        return sibling, "int8"
    if int8_card is not None and int8_card.weights_sha256 == card.weights_sha256:  # else of an earlier export
        if "int8" in int8_card.allowed_precisions and "int8" in fast_precisions(engine):
            return sibling, "int8"
    bf16 = engine == "openvino" and "bf16" in card.allowed_precisions and "bf16" in fast_precisions(engine)
    return path, "bf16" if bf16 else "fp32"


@cache
def fast_precisions(engine: str = "openvino") -> frozenset[Precision]:
    """Precisions in which an engine is faster than, or as fast as, in fp32 on this CPU; fp32 always among them."""
    found: set[Precision] = {"fp32"}
    flags = _cpu_flags()
    if flags is None:
        import openvino as ov

        capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        found |= {name for name in _OPTIONAL if name.upper() in capabilities}
    else:
        good = _INT8_FLAGS | _OPENVINO_INT8_FLAGS if engine == "openvino" else _INT8_FLAGS
        found |= {"int8"} if flags & good else set()
        found |= {"bf16"} if flags & _BF16_FLAGS else set()
    return frozenset(found)


def _cpu_flags() -> set[str] | None:
    """CPU flags on Linux, None elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return None
