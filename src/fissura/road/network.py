"""The network of `find_road` that sees the whole frame: of each cell the logit of being part of a road.

Five levels of 3x3 convolutions with 8 to 48 channels, 119,000 parameters, trained on generated scenes by
``benchmarks/road_network_train.py``. Its coarsest level sees most of the frame, so that shape, edges that run side by
side and what lies beyond a crown decide with colour and texture. OpenCV runs it: it takes frames of any shape, starts
at once, and is at work here anyway.
"""

from __future__ import annotations

import threading
from importlib.resources import files
from typing import Any

import cv2
import numpy as np

from fissura.road.appearance import PLANES, Plane

_MULTIPLE = 16
_LOCAL = threading.local()


def road_logit(planes: Plane) -> Plane:
    """Logit of road of each cell.

    Args:
        planes: From `network_planes`, shape (6, h, w), of any size.
    Returns:
        Shape (h, w).
    """
    _, h, w = planes.shape
    padded = np.empty((1, PLANES, -(-h // _MULTIPLE) * _MULTIPLE, -(-w // _MULTIPLE) * _MULTIPLE), np.float32)
    below, right = padded.shape[2] - h, padded.shape[3] - w
    for k in range(PLANES):
        # Mirrored: what lies beyond the frame goes on as it came.
        cv2.copyMakeBorder(planes[k], 0, below, 0, right, cv2.BORDER_REFLECT_101, dst=padded[0, k])
    network = _network()
    network.setInput(padded)
    return np.ascontiguousarray(network.forward()[0, 0, :h, :w], dtype=np.float32)


def _network() -> Any:
    """One for each thread: OpenCV's networks keep their state between two calls."""
    if not hasattr(_LOCAL, "network"):
        data = (files("fissura.road") / "road.onnx").read_bytes()
        _LOCAL.network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    return _LOCAL.network
