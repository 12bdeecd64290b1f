"""What an engine must do, and the engines by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

from fissura.errors import MissingDependencyError, SettingsError
from fissura.spec import ModelCard
from fissura.types import Probability, RgbImage

Precision = Literal["fp32", "bf16", "int8"]


class Backend(Protocol):
    """A model loaded into an engine."""

    card: ModelCard
    description: str
    """Engine and precision, for a manifest: ``openvino int8``."""

    def predict_tiles(self, tiles: Iterable[RgbImage]) -> Iterator[Probability]:
        """Predict tiles, several in flight where the engine can.

        Args:
            tiles: Shape (T, T, 3), uint8; taken lazily, a few ahead of the results.
        Yields:
            Crack probabilities, shape (T, T), one for each tile in the order of the tiles.
        """
        ...


@dataclass(frozen=True)
class BackendOptions:
    """How to run a model.

    Attributes:
        precision: Arithmetic to use; the file must be an int8 file for ``int8``.
        threads: Threads of the engine, or None for all cores.
        in_flight: Tiles worked on at once; 1 puts all threads on one tile, for the shortest wait instead of the
            most tiles a second. None leaves it to the engine.
    """

    precision: Precision = "fp32"
    threads: int | None = None
    in_flight: int | None = None


BackendFactory = Callable[[Path, BackendOptions], Backend]

# Engines are named by module, so that none is imported before it is asked for.
_BACKENDS: dict[str, str | BackendFactory] = {
    "openvino": "fissura.infer.openvino_backend:OpenVinoBackend",
    "onnxruntime": "fissura.infer.onnxruntime_backend:OnnxRuntimeBackend",
    "torch": "fissura.nets.torch_backend:TorchBackend",
}


def register_backend(name: str, factory: BackendFactory) -> None:
    """Make an engine available under a name, for `fissura.load_segmenter` and ``--engine``."""
    _BACKENDS[name] = factory


def engine_names() -> tuple[str, ...]:
    """Names that ``--engine`` takes."""
    return tuple(sorted(_BACKENDS))


def load_backend(engine: str, path: Path, options: BackendOptions) -> Backend:
    """Load a model file into an engine.

    Raises:
        SettingsError: There is no such engine, or the number of threads makes no sense.
        MissingDependencyError: The engine's library is not installed.
        ModelError: The file is no usable model.
    """
    if options.threads is not None and options.threads < 1:
        raise SettingsError(f"threads is {options.threads}; give 1 or more, or leave it out to use all cores")
    entry = _BACKENDS.get(engine)
    if entry is None:
        raise SettingsError(f"unknown engine '{engine}'; choose one of {', '.join(engine_names())}")
    if isinstance(entry, str):
        module, _, attribute = entry.partition(":")
        try:
            entry = cast(BackendFactory, getattr(importlib.import_module(module), attribute))
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"engine '{engine}' needs the extra 'train' ({error.name} is missing): pip install 'fissura[train]'"
            ) from error
    return entry(path, options)
