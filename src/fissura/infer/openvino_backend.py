"""OpenVINO, the default engine on CPUs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import openvino as ov
from openvino.preprocess import PrePostProcessor

from fissura.errors import ModelError
from fissura.infer.backend import BackendOptions, Precision
from fissura.infer.onnx_metadata import read_card
from fissura.openvino_ready import make_openvino_ready
from fissura.spec import ModelCard
from fissura.types import Probability, RgbImage

# int8 files keep some layers in floating point. Those run in fp32: the accuracy gate of `fissura export`
# compares with that, and a machine without bf16 gives the same masks.
_FLOAT_TYPE: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


class OpenVinoBackend:
    """A model compiled by OpenVINO, with several requests in flight.

    Takes uint8 tiles: the conversion to float and to channels-first is compiled into the graph.

    Args:
        path: ONNX file with a card.
        options: Precision and threads.
    Raises:
        ModelError: The file is no usable model, or OpenVINO cannot run it.
    """

    def __init__(self, path: Path, options: BackendOptions | None = None) -> None:
        options = options or BackendOptions()
        self.card = read_card(path)
        self.description = f"openvino {options.precision}"
        config: dict[str, str | int] = {
            "PERFORMANCE_HINT": "LATENCY" if options.in_flight == 1 else "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": _FLOAT_TYPE[options.precision],
        }
        if options.threads is not None:
            config["INFERENCE_NUM_THREADS"] = options.threads
        make_openvino_ready()
        try:
            core = ov.Core()
            model = core.read_model(path)
            _check_shapes(model, self.card, path)
            self._compiled = core.compile_model(_with_uint8_input(model), "CPU", config)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"OpenVINO cannot run {path}: {reason}; try engine 'onnxruntime'") from error
        optimal = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._in_flight = options.in_flight or max(2, optimal)
        self._idle: list[ov.InferRequest] = []

    def predict_tiles(self, tiles: Iterable[RgbImage]) -> Iterator[Probability]:
        """See `fissura.infer.Backend`. May be called again before an earlier iteration has ended."""
        running: deque[ov.InferRequest] = deque()
        try:
            for tile in tiles:
                if len(running) >= self._in_flight:
                    yield self._collect(running)
                request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
                running.append(request)
                request.start_async({0: tile[None]})
            while running:
                yield self._collect(running)
        finally:
            # The caller may stop early; a request must have ended before it can be used again.
            for request in running:
                request.wait()
                self._idle.append(request)

    def _collect(self, running: deque[ov.InferRequest]) -> Probability:
        """Wait for the oldest request: all tiles cost the same, so none behind it is much earlier."""
        running[0].wait()
        request = running.popleft()
        crack: Probability = np.array(request.get_output_tensor().data[0, 1], np.float32)
        self._idle.append(request)
        return crack


def _with_uint8_input(model: ov.Model) -> ov.Model:
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(ov.Type.f32).scale(255.0)
    return steps.build()


def _check_shapes(model: ov.Model, card: ModelCard, path: Path) -> None:
    found = [[tuple(p.get_partial_shape().to_shape()) for p in ports] for ports in (model.inputs, model.outputs)]
    expected = [[(1, 3, card.tile, card.tile)], [(1, 2, card.tile, card.tile)]]
    if found != expected:
        raise ModelError(
            f"{path} takes {found[0]} and gives {found[1]}, its card promises {expected[0]} and {expected[1]}; "
            "export it again with 'fissura export'"
        )
