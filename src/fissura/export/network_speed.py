"""How fast the networks are on this machine, with fresh weights: speed does not depend on them."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from fissura.errors import SettingsError
from fissura.export.onnx_file import export_onnx
from fissura.infer.backend import BackendOptions, engine_names, load_backend
from fissura.nets import build_model, parameter_count, save_weights
from fissura.nets.catalogue import NetworkEntry
from fissura.spec import ModelCard

_LEAST_ROUNDS, _MOST_ROUNDS, _SECONDS = 3, 50, 1.0


def measure_speed(entry: NetworkEntry, tile: int, engine: str = "torch") -> float:
    """Median time of one tile in milliseconds, fp32, all threads on the one tile.

    Args:
        entry: The network.
        tile: Side in pixels, a multiple of 32.
        engine: A name of `fissura.infer.backend.engine_names`; others than torch export the network first.
    Raises:
        SettingsError: The tile is no multiple of 32, or there is no such engine.
    """
    if tile < 32 or tile % 32:
        raise SettingsError(f"a tile of {tile} px cannot be measured; give a multiple of 32, for example 256")
    if engine not in engine_names():  # now, and not after the export
        raise SettingsError(f"unknown engine '{engine}'; choose one of {', '.join(engine_names())}")
    card = ModelCard(
        name="speed", version="0", description="fresh weights", architecture=entry.architecture,
        architecture_options=entry.options, parameters=1, tile=tile, overlap=0,
    )  # fmt: skip
    net = build_model(card).eval()
    card = card.model_copy(update={"parameters": parameter_count(net)})
    with tempfile.TemporaryDirectory() as folder:
        weights, graph = Path(folder) / "speed.safetensors", Path(folder) / "speed.onnx"
        save_weights(weights, net, card)
        if engine != "torch":
            export_onnx(net, card, graph)
        backend = load_backend(engine, weights if engine == "torch" else graph, BackendOptions(in_flight=1))
        image = np.random.default_rng(0).integers(0, 256, (tile, tile, 3), dtype=np.uint8)
        seconds: list[float] = []
        for _ in backend.predict_tiles([image]):
            pass  # the first pass prepares buffers
        while len(seconds) < _LEAST_ROUNDS or (sum(seconds) < _SECONDS and len(seconds) < _MOST_ROUNDS):
            start = time.perf_counter()
            for _ in backend.predict_tiles([image]):
                pass
            seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)
