"""ONNX Runtime, the second engine: CUDA and CoreML where its build has them, else the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from fissura.errors import MissingDependencyError, ModelError
from fissura.infer.backend import BackendOptions
from fissura.infer.onnx_metadata import read_card
from fissura.types import Probability, RgbImage

try:
    import onnxruntime as ort
except ImportError as error:
    raise MissingDependencyError(
        "engine 'onnxruntime' is not installed; run: pip install 'fissura[onnxruntime]'"
    ) from error

# TensorRT is left out: it builds its engine for minutes on first use and would look like a hang.
_PROVIDERS = ("CUDAExecutionProvider", "CoreMLExecutionProvider", "CPUExecutionProvider")


class OnnxRuntimeBackend:
    """A model in ONNX Runtime; one tile at a time, with all threads on it.

    Args:
        path: ONNX file with a card.
        options: Precision (``fp32``, or ``int8`` for an int8 file) and threads.
    Raises:
        ModelError: The file is no usable model, or ONNX Runtime cannot run it so.
    """

    def __init__(self, path: Path, options: BackendOptions | None = None) -> None:
        options = options or BackendOptions()
        self.card = read_card(path)
        if options.precision == "bf16":
            raise ModelError("ONNX Runtime has no bf16 on CPUs; choose precision fp32 or int8, or engine openvino")
        self.description = f"onnxruntime {options.precision}"
        session_options = ort.SessionOptions()
        session_options.intra_op_num_threads = options.threads or os.cpu_count() or 1
        session_options.log_severity_level = 3
        available = set(ort.get_available_providers())
        try:
            self._session = ort.InferenceSession(
                str(path), session_options, providers=[name for name in _PROVIDERS if name in available]
            )
        except Exception as error:  # its exception classes have no common root below Exception
            raise ModelError(f"ONNX Runtime cannot run {path}: {error}; try engine 'openvino'") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found = [[tuple(port.shape) for port in ports] for ports in (inputs, outputs)]
        side = self.card.tile
        if found != [[(1, 3, side, side)], [(1, 2, side, side)]]:
            raise ModelError(f"{path} has the shapes {found}, its card promises tiles of {side}; export it again")
        self._input: str = inputs[0].name

    def predict_tiles(self, tiles: Iterable[RgbImage]) -> Iterator[Probability]:
        """See `fissura.infer.Backend`."""
        for tile in tiles:
            image = np.ascontiguousarray(tile.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
            (output,) = self._session.run(None, {self._input: image})
            crack: Probability = output[0, 1]
            yield crack
