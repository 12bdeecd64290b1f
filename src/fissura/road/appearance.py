"""Where a reduced frame looks like pavement: colour and texture of each cell, weighed by a tiny network.

The features are few and plain: two log-chromaticities and log-lightness (raw and smoothed), and how much lightness
and colour vary at scales from one cell to two dozen. The network over them (one hidden layer) was trained on generated
scenes by ``benchmarks/road_train.py``; it knows grass, soil, water, crowns, roofs, shade and pavement, and nothing of
shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fissura.types import RgbImage

Plane = npt.NDArray[np.float32]

WORK_SIDE = 480
"""Longer side of the reduced frame in cells."""
FEATURES = 13
PLANES = 6
"""What `network_planes` gives."""
_RANGES = ((0.0, 4.0), (-0.2, 3.0), (4.3, 1.5), (-4.0, 1.0), (-3.5, 1.0), (-4.7, 1.0))
"""Their middles and scales."""

_CELL = 24
_LIGHT_FROM, _LIGHT_BIN, _LIGHT_BINS = 1.8, 0.15, 26
_WARMTH_TO, _WARMTH_BIN, _WARMTH_BINS = 0.6, 0.035, 34
_SURE_LOGIT = 8.0
_OWN = 0.3
"""The bilateral grid of `settle_tones`."""

_COLUMNS = 512
"""Cells at a time through the hidden layer: what stays in the cache, and too few for a BLAS to spread over threads.
Threads that wait for a core which another frame keeps busy made this ten times slower."""

_OFFSET = 6.0
_LOG = np.log(np.arange(256) + _OFFSET).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Layers:
    """Weights of a network with one hidden layer: features -> hidden (ReLU) -> logit, features standardised within."""

    hidden: Plane
    hidden_bias: Plane
    out: Plane
    out_bias: float

    def logit(self, features: Plane) -> Plane:
        """Logits of columns of features, (F, N) to (N,)."""
        out = np.empty(features.shape[1], np.float32)
        for first in range(0, len(out), _COLUMNS):
            z = self.hidden @ features[:, first : first + _COLUMNS]
            z += self.hidden_bias[:, None]
            np.maximum(z, 0, out=z)
            out[first : first + _COLUMNS] = self.out @ z
        out += np.float32(self.out_bias)
        return out


def reduce_frame(rgb: RgbImage) -> RgbImage:
    """The frame with at most 480 cells along its longer side, area-averaged."""
    height, width = rgb.shape[:2]
    factor = max(height, width) / WORK_SIDE
    if factor <= 1:
        return rgb
    size = max(round(width / factor), 1), max(round(height / factor), 1)
    # Half the rows say as much: a cell then still averages dozens of pixels, and reading them is most of the cost.
    source = rgb[::2] if factor >= 6 else rgb
    return np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def chroma(small: RgbImage) -> Plane:
    """Log-chromaticities R/G and B/G and mean log of a frame, shape (3, h, w)."""
    log_r, log_g, log_b = (cv2.LUT(plane, _LOG) for plane in cv2.split(small))
    out = np.empty((3, *small.shape[:2]), np.float32)
    cv2.subtract(log_r, log_g, dst=out[0])
    cv2.subtract(log_b, log_g, dst=out[1])
    cv2.add(log_r, log_g, dst=out[2])
    cv2.scaleAdd(log_b, 1.0, out[2], dst=out[2])
    out[2] *= np.float32(1 / 3)
    return out


def pavement_features(colour: Plane, step: int = 1) -> Plane:
    """Features of each cell, or of one in `step` by `step`, from `chroma`.

    Args:
        colour: Shape (3, h, w).
        step: 1 or 2.
    Returns:
        Shape (13, h', w'), h' and w' about h and w by the step.
    """
    red, light = colour[0], colour[2]
    warmth = cv2.subtract(red, colour[1])
    near, wide = cv2.blur(light, (3, 3)), cv2.blur(light, (9, 9))
    fine = cv2.absdiff(light, near)
    bands = (
        (fine, 5), (fine, 15), (fine, 31),
        (cv2.absdiff(near, wide), 15),
        (cv2.absdiff(wide, cv2.blur(light, (27, 27))), 27),
        (cv2.absdiff(red, cv2.blur(red, (3, 3))), 9),
        (cv2.absdiff(cv2.blur(warmth, (5, 5)), cv2.blur(warmth, (15, 15))), 21),
    )  # fmt: skip
    rows, cols = (slice(min((step - 1) // 2, size - 1), None, step) for size in colour.shape[1:])
    out = np.empty((FEATURES, *colour[0, rows, cols].shape), np.float32)
    out[:3] = colour[:, rows, cols]
    for k in range(3):
        out[3 + k] = cv2.blur(colour[k], (5, 5))[rows, cols]
    for k, (plane, side) in enumerate(bands):
        out[6 + k] = cv2.blur(plane, (side, side))[rows, cols]
    texture = out[6:].reshape(len(bands), -1)
    texture += np.float32(0.002)
    np.log(texture, out=texture)
    return out


def pavement_logit(colour: Plane, layers: Layers) -> Plane:
    """How much more each second cell by itself looks like pavement than like anything else.

    Returns:
        Logits, shape (ceil(h / 2), ceil(w / 2)).
    """
    features = pavement_features(colour, 2)
    return layers.logit(features.reshape(FEATURES, -1)).reshape(features.shape[1:])


def network_planes(colour: Plane) -> Plane:
    """What the network sees of `chroma`, at half its size: colour, and how much it varies from cell to cell.

    Args:
        colour: Shape (3, h, w).
    Returns:
        Shape (6, ceil(h / 2), ceil(w / 2)), each plane about within -2 to 2: two log-chromaticities, log lightness, and
        the logs of the roughness of lightness at one cell and at four, and of R/G at one cell.
    """
    size = -(-colour.shape[2] // 2), -(-colour.shape[1] // 2)
    red, light = colour[0], colour[2]
    near = cv2.blur(light, (3, 3))
    pairs = ((light, near), (near, cv2.blur(light, (9, 9))), (red, cv2.blur(red, (3, 3))))
    rough = [cv2.absdiff(*pair) for pair in pairs]
    out = np.empty((PLANES, size[1], size[0]), np.float32)
    for k, plane in enumerate((*colour, *rough)):
        cv2.resize(plane, size, dst=out[k], interpolation=cv2.INTER_AREA)
    out[3:] += np.float32(0.004)
    np.log(out[3:], out=out[3:])
    for k, (middle, scale) in enumerate(_RANGES):
        cv2.subtract(out[k], middle, dst=out[k])
        out[k] *= np.float32(scale)
    return out


def settle_tones(logit: Plane, colour: Plane) -> Plane:
    """Give cells of one tone in one neighbourhood one logit: the mean over a bilateral grid.

    Texture is seen through windows, which mix what lies on both sides of an outline; joints, seams and vehicles speckle
    a road. Tones have sharp outlines: averaged over equal warmth and lightness nearby, both troubles go.

    Args:
        logit: Of every second cell, shape (ceil(h / 2), ceil(w / 2)).
        colour: From `chroma`, shape (3, h, w).
    Returns:
        Logits of all cells, shape (h, w).
    """
    height, width = colour.shape[1:]
    rows, cols = -(-height // _CELL), -(-width // _CELL)
    light = cv2.blur(colour[2], (3, 3))
    warmth = cv2.blur(cv2.subtract(colour[0], colour[1]), (3, 3))
    # A free bin around the tones and places, so that neighbours are steps along the flat grid.
    index, light_bins = _binned(light, _LIGHT_FROM, _LIGHT_BIN, _LIGHT_BINS)
    warm, warm_bins = _binned(warmth, -_WARMTH_TO, _WARMTH_BIN, _WARMTH_BINS)
    index *= warm_bins
    index += warm
    tones = light_bins * warm_bins
    place = (np.arange(height) // _CELL + 1)[:, None] * (cols + 2) + (np.arange(width) // _CELL + 1)[None]
    index += (place * tones).astype(np.int32)
    # Every second cell fills the grid; all are read from it, so that outlines keep their full sharpness.
    taken = index[::2, ::2].reshape(-1)
    own = np.clip(logit, -_SURE_LOGIT, _SURE_LOGIT)
    size, steps = (rows + 2) * (cols + 2) * tones, (tones, (cols + 2) * tones, 1, warm_bins)
    mean = _neighbours(np.bincount(taken, own.reshape(-1), size), steps)
    mean /= np.maximum(_neighbours(np.bincount(taken, minlength=size), steps), np.float32(1e-3))
    out = mean.take(index)
    # Some of each cell's own: shade under trees and shade on a road have one tone, but not one texture.
    out *= np.float32(1 - _OWN)
    out += np.float32(_OWN) * cv2.resize(own, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out, dtype=np.float32)


def _binned(plane: Plane, start: float, step: float, bins: int) -> tuple[npt.NDArray[np.int32], int]:
    """Bins of those that a plane uses, from 1, and how many they are with a free one at either end."""
    scaled = (plane - np.float32(start)) * np.float32(1 / step)
    index = np.clip(scaled, 0, bins - 1, out=scaled).astype(np.int32)
    index -= index.min() - 1
    return np.asarray(index), int(index.max()) + 2


def _neighbours(grid: npt.NDArray[np.generic], steps: tuple[int, int, int, int]) -> Plane:
    """Sum over the 3 by 3 places around and, half as much, the tones beside.

    Args:
        grid: Flat, with free bins around places and tones.
        steps: From a bin to the next column, the next row, the next two tones.
    """
    flat = grid.astype(np.float32)
    for step in steps[:2]:
        flat = _with_both_sides(flat.copy(), flat, step)
    out = 2 * flat
    for step in steps[2:]:
        out = _with_both_sides(out, flat, step)
    return out


def _with_both_sides(to: Plane, flat: Plane, step: int) -> Plane:
    """Adds what lies a step before and after each place in `flat`."""
    to[step:] += flat[:-step]
    to[:-step] += flat[step:]
    return to
