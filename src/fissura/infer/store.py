"""The models that come with the install, in the package folder ``fissura/weights``.

A model NAME is ``NAME.onnx`` (fp32), usually with ``NAME.int8.onnx``, ``NAME.safetensors`` (to fine-tune) and
``NAME.md`` (its card for people).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fissura.errors import ModelError
from fissura.infer.onnx_metadata import read_card
from fissura.infer.precision import int8_sibling
from fissura.spec import ModelCard


@dataclass(frozen=True)
class ShippedModel:
    """A model in the store. Paths are None where that file is not there."""

    card: ModelCard
    onnx: Path
    int8_onnx: Path | None
    safetensors: Path | None
    markdown: Path | None

    @property
    def name(self) -> str:
        """What ``--model`` takes."""
        return self.onnx.stem

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions that can be asked for."""
        if self.card.precision == "int8":
            return ("int8",)
        allowed = [name for name in self.card.allowed_precisions if name != "int8"]
        return (*allowed, "int8") if self.int8_onnx else tuple(allowed)


def weights_folder() -> Path:
    """Folder of the shipped models."""
    return Path(str(files("fissura.weights")))


def list_models(folder: Path | None = None) -> list[ShippedModel]:
    """All models of the store, by name.

    Args:
        folder: Another store than the installed one.
    Raises:
        ModelError: A file in the store is damaged.
    """
    folder = folder or weights_folder()
    return [describe_file(path) for path in sorted(folder.glob("*.onnx")) if not path.name.endswith(".int8.onnx")]


def find_model(name: str, folder: Path | None = None) -> ShippedModel:
    """A model of the store by name.

    Raises:
        ModelError: There is none of that name; the message lists those that are.
    """
    path = (folder or weights_folder()) / f"{name}.onnx"
    if "/" in name or "\\" in name or not path.is_file():
        names = [model.name for model in list_models(folder)]
        raise ModelError(
            f"there is no model '{name}'; shipped: {', '.join(names) or 'none'}; or give the path of an .onnx file"
        )
    return describe_file(path)


def verify_model(model: ShippedModel) -> None:
    """Check that the files of a model belong together.

    Raises:
        ModelError: The safetensors file is not the one the graph was exported from, or the cards differ.
    """
    if model.safetensors is not None and model.card.weights_sha256:
        found = hashlib.sha256(model.safetensors.read_bytes()).hexdigest()
        if found != model.card.weights_sha256:
            raise ModelError(
                f"{model.safetensors} has the checksum {found[:12]}, {model.onnx} was made from "
                f"{model.card.weights_sha256[:12]}; export it again"
            )
    if model.int8_onnx is not None:
        card = read_card(model.int8_onnx)
        same = ("name", "version", "tile", "overlap", "threshold", "weights_sha256")
        differing = [field for field in same if getattr(card, field) != getattr(model.card, field)]
        if differing:
            raise ModelError(f"{model.int8_onnx} and {model.onnx} differ in {', '.join(differing)}; export both again")


def describe_file(path: Path) -> ShippedModel:
    """An ONNX file with what lies beside it. Raises ModelError."""

    def beside(candidate: Path) -> Path | None:
        return candidate if candidate.is_file() else None

    return ShippedModel(
        card=read_card(path),
        onnx=path,
        int8_onnx=beside(int8_sibling(path)),
        safetensors=beside(path.with_suffix(".safetensors")),
        markdown=beside(path.with_suffix(".md")),
    )
