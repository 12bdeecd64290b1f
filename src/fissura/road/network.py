"""The network of `find_road` that sees the whole frame: of each cell the logit of being part of a road, and its way.

Five levels of 3x3 convolutions with 8 to 48 channels and a branch of its own for directions, 234,000 parameters,
trained on generated scenes by ``benchmarks/road_network_train.py``. Its coarsest level sees most of the frame, so that
shape, edges that run side by side and what lies beyond a crown decide with colour and texture.
"""

from __future__ import annotations

import cv2
import numpy as np

from fissura.road.appearance import PLANES, Plane
from fissura.road.inference import infer

_MULTIPLE = 16


def see_road(planes: Plane) -> tuple[Plane, Plane, Plane]:
    """Logit of road of each cell, where the road runs, and where roads meet.

    Args:
        planes: From `network_planes`, shape (6, h, w), of any size.
    Returns:
        Logits, shape (h, w); directions, shape (h', w', 2) with h' = ceil(h / 4), w' = ceil(w / 4): cosine and sine of
        twice the direction, counter-clockwise from the right, as seen, shorter than 1 where it is uncertain; and how
        probable it is that roads of several directions meet, shape (h', w'), 0 to 1.
    """
    _, h, w = planes.shape
    padded = np.empty((1, PLANES, -(-h // _MULTIPLE) * _MULTIPLE, -(-w // _MULTIPLE) * _MULTIPLE), np.float32)
    below, right = padded.shape[2] - h, padded.shape[3] - w
    for k in range(PLANES):
        # Mirrored: what lies beyond the frame goes on as it came.
        cv2.copyMakeBorder(planes[k], 0, below, 0, right, cv2.BORDER_REFLECT_101, dst=padded[0, k])
    said, branch = infer("road.onnx", padded, of_this_size=True)
    logit = np.ascontiguousarray(said[0, 0, :h, :w])
    way = branch[0, :, : -(-h // 4), : -(-w // 4)].transpose(1, 2, 0)
    meeting: Plane = np.float32(1.0) / (np.float32(1.0) + np.exp(-way[..., 2]))
    return logit, np.ascontiguousarray(way[..., :2]), meeting
