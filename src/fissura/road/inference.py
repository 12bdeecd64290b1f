"""Runs the small networks of `find_road`, in fp32 everywhere, so that a road is the same on every machine."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from fissura.openvino_ready import make_openvino_ready
from fissura.road.votes import Plane

_Shape = tuple[int, ...] | None
_FREE: defaultdict[tuple[str, _Shape], list[Any]] = defaultdict(list)
"""Requests that no thread is using: a request serves one at a time."""


def infer(name: str, values: Plane, *, of_this_size: bool = False) -> list[Plane]:
    """What a network says.

    Args:
        name: Of its file in this package.
        values: Its input.
        of_this_size: Compile it for inputs of this shape, once for each.
    Returns:
        Its outputs.
    """
    shape = values.shape if of_this_size else None
    free = _FREE[name, shape]
    try:
        request = free.pop()
    except IndexError:
        request = _compiled(name, shape).create_infer_request()
    said = request.infer({0: values}, share_inputs=True, share_outputs=True)
    copies = [np.array(said[k], np.float32) for k in range(len(said))]
    free.append(request)
    return copies


@cache
def _compiled(name: str, shape: _Shape) -> Any:
    import openvino as ov  # a quarter of a second, which callers with a road of their own need not wait

    make_openvino_ready()
    core = ov.Core()
    model = core.read_model((files("fissura.road") / name).read_bytes())
    if shape is not None:
        model.reshape(list(shape))
    # One thread: beside it another network works, and slices are segmented.
    hints = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    return core.compile_model(model, "CPU", hints)
