"""Look along straight lines through a picture: bilinear samples, the way to a mask's edge, orthogonal profiles.

All rays of a picture are done together, in groups of similar reach, so that thin cracks pay for few samples and
a wide blob cannot make all others dear.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.measure.model import Points, Values
from fissura.measure.pixelgraph import Index

Samples = npt.NDArray[np.float32]

_FINEST_PX = 0.5
_GROUPS = (4, 6, 8, 11, 16, 23, 32, 45, 64)
"""Samples of a ray on one side. Beyond the last group the steps grow instead."""
_CHUNK_SAMPLES = 500_000
_MOST_ROWS = 30_000
"""OpenCV's `remap` counts rows in 16 bits."""

MaskPicture = npt.NDArray[np.uint8]
"""A mask as 0 and 255 with a rim of zeros, at most 32,766 pixels a side. Steps of 1/255 are fine enough here."""


def sample_bilinear(picture: npt.NDArray[Any], points_rc: Points) -> npt.NDArray[np.float32]:
    """Values between pixel centres; beyond the picture the nearest pixel's.

    Args:
        picture: Shape (H, W).
        points_rc: Shape (..., 2).
    Returns:
        Shape (...,), float32.
    """
    height, width = picture.shape
    row = np.clip(points_rc[..., 0], 0, height - 1).astype(np.float32)
    column = np.clip(points_rc[..., 1], 0, width - 1).astype(np.float32)
    top = np.minimum(row.astype(np.int32), max(height - 2, 0))
    left = np.minimum(column.astype(np.int32), max(width - 2, 0))
    row -= top
    column -= left
    at = top.astype(np.intp) * width + left
    right, down = int(width > 1), width * int(height > 1)
    flat = picture.ravel()
    upper = flat[at] * (1 - column) + flat[at + right] * column
    lower = flat[at + down] * (1 - column) + flat[at + down + right] * column
    return np.asarray(upper + (lower - upper) * row, np.float32)


def _sample(picture: MaskPicture, row: Samples, column: Samples) -> Samples:
    """Share of crack at points, 0 to 1, as `sample_bilinear` but faster."""
    value = cv2.remap(picture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(value, np.float32) * np.float32(1 / 255)


def edge_distance(
    picture: MaskPicture, start_rc: Points, direction_rc: Points, reach: Values, aside_px: Values | float = 0.0
) -> Values:
    """Distance from points inside a mask to its edge along a direction, at most ``reach``; shape (N,).

    The mask counts as left where it falls below one half.

    Args:
        picture: The mask.
        start_rc: Shape (N, 2), in coordinates of ``picture``.
        direction_rc: Unit vectors, shape (N, 2).
        reach: Shape (N,), pixels.
        aside_px: As long as the mask goes on so far to the right or left, it counts as going on; shape (N,) or one
            number. For thin lines, which are staircases.
    """
    sideways = np.broadcast_to(np.asarray(aside_px, np.float64), reach.shape)[:, None] * direction_rc
    out = np.array(reach, np.float64)
    for rows, count in _groups(reach):
        step = (reach[rows] / count).astype(np.float32)
        along = np.asarray(step[:, None] * np.arange(count + 1), np.float32)
        row, column = _points(start_rc[rows], direction_rc[rows], along)
        value = _sample(picture, row, column)
        aside = sideways[rows].astype(np.float32)[:, :, None]
        for sign in (1, -1):
            value = np.maximum(value, _sample(picture, row + sign * aside[:, 1], column - sign * aside[:, 0]))
        below = value < 0.5
        below[:, 0] = False
        at = below.argmax(axis=1)
        ended = at > 0
        inner = value[ended, at[ended] - 1]
        share = np.clip((inner - 0.5) / np.maximum(inner - value[ended, at[ended]], 1e-6), 0.0, 1.0)
        out[rows[ended]] = (at[ended] - 1 + share) * step[ended]
    return out


@dataclass(frozen=True, eq=False)
class Profiles:
    """Cuts through a mask, one for each ray.

    Attributes:
        width_px: Length inside the mask, shape (N,).
        shift_px: Where the middle of that length lies, along the direction, shape (N,).
        cut_off: The picture's border hides a part, shape (N,).
    """

    width_px: Values
    shift_px: Values
    cut_off: npt.NDArray[np.bool_]


def cut_profiles(picture: MaskPicture, centre_rc: Points, direction_rc: Points, reach: Values) -> Profiles:
    """Cut through a mask at points, to both sides as far as ``reach`` or until another part of it comes near.

    Args:
        picture: The mask.
        centre_rc: Shape (N, 2), in coordinates of ``picture``.
        direction_rc: Unit vectors, shape (N, 2).
        reach: Shape (N,), pixels.
    """
    width, shift = np.zeros(len(reach)), np.zeros(len(reach))
    cut_off = np.zeros(len(reach), np.bool_)
    bottom, right = picture.shape[0] - 2, picture.shape[1] - 2
    for rows, count in _groups(reach):
        step = (reach[rows] / count).astype(np.float32)
        along = np.asarray(step[:, None] * np.arange(-count, count + 1), np.float32)
        row, column = _points(centre_rc[rows], direction_rc[rows], along)
        value = _sample(picture, row, column)
        counted = _contiguous(value, np.abs(along) < 1.0, count)
        value *= counted
        total = value.sum(axis=1)
        width[rows] = total * step
        shift[rows] = (value * along).sum(axis=1) / np.maximum(total, 1e-6)
        outside = (row < 1) | (row > bottom) | (column < 1) | (column > right)
        cut_off[rows] = (outside & (value > 0.25)).any(axis=1)
    return Profiles(width, shift, cut_off)


def _points(start_rc: Points, direction_rc: Points, along: Samples) -> tuple[Samples, Samples]:
    """Rows and columns of the samples, shape (N, samples) each."""
    start, direction = start_rc.astype(np.float32), direction_rc.astype(np.float32)
    return start[:, :1] + along * direction[:, :1], start[:, 1:] + along * direction[:, 1:]


def _contiguous(value: npt.NDArray[np.float32], near: npt.NDArray[np.bool_], middle: int) -> npt.NDArray[np.bool_]:
    """Samples that belong to the stretch around the middle: going outwards, it ends at 0 or where it rises again."""
    counted = np.ones(value.shape, np.bool_)
    for side in (slice(middle, None), slice(middle, None, -1)):
        outward = value[:, side]
        ends = (outward[:, 1:] <= 0) | ((outward[:, :-1] < 0.5) & (outward[:, 1:] > outward[:, :-1] + 1e-4))
        ends &= ~near[:, side][:, 1:]
        counted[:, side][:, 1:] = ~np.logical_or.accumulate(ends, axis=1)
    return counted


def _groups(reach: Values) -> Iterator[tuple[Index, int]]:
    """Rays of similar reach and the number of steps they take, a bounded number of samples at a time."""
    needed = np.ceil(reach / _FINEST_PX)
    group = np.minimum(np.searchsorted(_GROUPS, needed), len(_GROUPS) - 1)
    for number, count in enumerate(_GROUPS):
        rows = np.flatnonzero(group == number)
        size = min(_CHUNK_SAMPLES // (2 * count + 1), _MOST_ROWS)
        for start in range(0, len(rows), size):
            yield rows[start : start + size], count
