"""How long the cells take, side by side: OpenVINO, one tile at a time, in turns, so that a slow moment hits all."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fissura.compare.grid import Cell
from fissura.compare.scoring import export_cell
from fissura.compare.store import FINISHED, Store, read_json, write_json
from fissura.errors import ModelError
from fissura.infer.timing import time_in_turns
from fissura.synth.crops import render_training_crop


def measure_speed(
    store: Store, *, again: bool = False, on_error: Callable[[str, BaseException], None] = lambda *_: None
) -> Mapping[str, float]:
    """Milliseconds of a square tile for every network and enhancer that has a finished cell, medians over rounds.

    Kept in ``speed.json``; measured anew, all together, when a combination is missing there.

    Args:
        store: With finished cells.
        again: Measure anew in any case.
        on_error: Told of a combination that is left out because no weights of it can be read, and why.
    Returns:
        By "NETWORK+ENHANCER"; empty if the grid asks for no rounds.
    Raises:
        OutputError: The result cannot be written.
    """
    config = store.grid.config.speed
    if not config.rounds:
        return {}
    wanted = _finished_combinations(store)
    known = read_json(store.out / "speed.json") or {}
    found = known.get("milliseconds", {})
    settings = config.model_dump() | {"precision": store.grid.config.evaluation.precision}
    if not again and known.get("settings") == settings and wanted.keys() <= found.keys():
        return dict(found)
    measured = _measure(store, wanted, on_error)
    write_json(store.out / "speed.json", {"settings": settings, "milliseconds": measured})
    return measured


def read_speed(store: Store) -> Mapping[str, float]:
    """What `measure_speed` found before; empty if nothing."""
    return dict((read_json(store.out / "speed.json") or {}).get("milliseconds", {}))


def _finished_combinations(store: Store) -> dict[str, list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for cell in store.grid.cells:
        if store.record(cell).status == FINISHED and store.weights(cell).exists():
            found.setdefault(cell.combination, []).append(cell)
    return found


def _measure(
    store: Store, combinations: Mapping[str, Sequence[Cell]], on_error: Callable[[str, BaseException], None]
) -> dict[str, float]:
    from fissura.infer.backend import BackendOptions, load_backend

    config = store.grid.config.speed
    image = render_training_crop(np.random.default_rng(0), config.side, crack_probability=1.0)[0]
    options = BackendOptions(store.grid.config.evaluation.precision, config.threads, in_flight=1)
    backends = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.onnx"
        for name, cells in combinations.items():
            failure: ModelError | None = None
            for cell in cells:  # any seed will do
                try:
                    export_cell(store.weights(cell), path, tile=config.side)
                    backends[name] = load_backend("openvino", path, options)
                    break
                except ModelError as error:
                    failure = error
            if name not in backends and failure is not None:
                on_error(f"speed of {name}", failure)
    calls = {name: lambda b=backend: list(b.predict_tiles([image])) for name, backend in backends.items()}
    seconds = time_in_turns(calls, config.rounds)
    return {name: round(1e3 * statistics.median(values), 2) for name, values in seconds.items()}
