"""Which way the road runs at each place of a frame in which roads meet.

There edges of several directions mix, kerbs turn round corners, and the mean of all is the direction of none.
Therefore every direction is asked for by itself, at cells of a fortieth of the frame: how much of the outline and of
the lines on the road runs that way ahead and behind, in bands near and far, narrow and wide; how much of these bands is
road; how much of the whole frame's edges runs that way; and what the network that sees the whole frame says. A small
network goes round the circle of directions and decides. It treats all directions alike, so that a scene and the same
scene turned are decided alike, and it has learned what hand-made rules do not tell well: a straight kerb gives a sharp
peak, a round one a broad rise, and a line across a road is a line of the other road.

It was trained on generated junctions by ``benchmarks/road_junction_train.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from fissura.road.inference import infer
from fissura.road.votes import DIRECTIONS, Band, Plane, carry_on, count_votes
from fissura.types import BoolMask

Tensor = tuple[Plane, Plane, Plane]

CELLS = 40
"""Along the longer side of a frame."""
AROUND = (Band(5.0, 2.0), Band(2.0, 0.8), Band(12.0, 2.0), Band(5.0, 0.5))
SIDES = (Band(2.0, 0.8, ahead=2.0), Band(1.5, 0.8, ahead=1.0), Band(2.0, 0.5, beside=0.5), Band(4.0, 0.5, beside=0.5))
"""Bands in which edges and lines count, around a cell and on either side of it, in widths of the road."""
_MEANS = len(AROUND) + 2 * len(SIDES)
EVIDENCE = 2 * _MEANS + 2 * len(AROUND) + 3 + _MEANS + 3
"""Numbers for each cell and direction."""
_LEAST = np.float32(1e-3)
_USUAL_WIDTH = 80.0
_WORD = 2 * _MEANS + 2 * len(AROUND)
"""Where among them the other network's word is."""
_TIE = 0.1
"""Directions whose score is less than this below the best are about as likely."""
_NEIGHBOURS = 2
"""The direction lies between the likeliest and so many others on both sides."""


def junction_directions(
    outline: Tensor, lines: Tensor | None, mask: BoolMask, width: float, way: Plane | None, meeting: Plane
) -> Plane:
    """Which way the road runs in each cell of a frame.

    Args:
        outline: Cosine and sine of twice the direction of the mask's outline, times its strength, and the strength,
            shape (h, w) each.
        lines: The same of lines and seams on the road.
        mask: Road, shape (h, w).
        width: Of the roads, in pixels of the mask.
        way: Where the network says that roads run, shape (h', w', 2), cosine and sine of twice the direction.
        meeting: How probable it takes it to be that roads meet, shape (h', w'), 0 to 1.
    Returns:
        Shape (ceil(h / c), ceil(w / c), 2) with c a fortieth of the longer side: cosine and sine of twice the
        direction; zero where there is no road.
    """
    cell = cell_side(mask.shape)
    hw = -(-mask.shape[0] // cell), -(-mask.shape[1] // cell)
    where = np.argwhere(cv2.resize(mask.astype(np.float32), hw[::-1], interpolation=cv2.INTER_AREA) > 0)
    out = np.zeros((*hw, 2), np.float32)
    if len(where):
        out[where[:, 0], where[:, 1]] = decide(gather_evidence(outline, lines, mask, width, way, meeting, where))
    return out


def cell_side(hw: Sequence[int]) -> int:
    """Side of a cell in a mask of this size, in its pixels."""
    return max(round(max(hw) / CELLS), 1)


def gather_evidence(
    outline: Tensor,
    lines: Tensor | None,
    mask: BoolMask,
    width: float,
    way: Plane | None,
    meeting: Plane,
    where: npt.NDArray[np.intp],
) -> Plane:
    """What speaks for each direction in cells.

    Args:
        outline: As in `junction_directions`, like those that follow.
        where: Row and column of the cells, shape (N, 2).
    Returns:
        Shape (N, EVIDENCE, directions).
    """
    cell = cell_side(mask.shape)
    votes = [count_votes(outline, cell)]
    votes.append(np.zeros_like(votes[0]) if lines is None else count_votes(lines, cell))
    hw = votes[0].shape[1:]
    road = cv2.resize(mask.astype(np.float32), hw[::-1], interpolation=cv2.INTER_AREA)
    bands = [Band(*(x * width / cell for x in band)) for band in (*AROUND, *SIDES)]
    rows, columns = where.T
    found = np.empty((DIRECTIONS, _MEANS, len(where), 4), np.float32)
    for k in range(DIRECTIONS):
        planes = np.dstack([votes[0][k], votes[1][k], road, np.ones_like(road)])
        for number, mean in enumerate(carry_on(planes, k, bands)):
            found[k, number] = mean[rows, columns]
    # To (N, means, what, directions).
    found = np.ascontiguousarray(found.transpose(2, 1, 3, 0))
    told = found[:, :, :2].reshape(len(where), 2 * _MEANS, DIRECTIONS)
    total = told.sum(axis=2, keepdims=True)
    paved = found[:, :, 2] / np.maximum(found[:, :, 3], _LEAST)
    everywhere = np.stack(votes).sum(axis=(2, 3))
    everywhere = 8 * everywhere / np.maximum(everywhere.sum(axis=1, keepdims=True), _LEAST)
    said = np.zeros((len(where), 2), np.float32)
    if way is not None:
        said = cv2.resize(way, hw[::-1], interpolation=cv2.INTER_LINEAR)[rows, columns]
    met = cv2.resize(meeting, hw[::-1], interpolation=cv2.INTER_LINEAR)[rows, columns]
    double = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    of_place = [met, np.hypot(said[:, 0], said[:, 1]), np.full(len(where), np.log(max(width, 1.0) / _USUAL_WIDTH))]
    parts = [
        4 * told / np.maximum(total, _LEAST),
        np.broadcast_to(0.3 * np.log1p(5 * total), told.shape)[:, : 2 * len(AROUND)],
        (said @ np.stack([np.cos(double), np.sin(double)]))[:, None],
        np.broadcast_to(everywhere, (len(where), *everywhere.shape)),
        paved,
        np.broadcast_to(np.stack(of_place, axis=1)[..., None], (len(where), len(of_place), DIRECTIONS)),
    ]
    return np.asarray(np.concatenate(parts, axis=1), np.float32)


def decide(evidence: Plane) -> Plane:
    """The direction that the network takes each cell's to be, (N, EVIDENCE, directions) to (N, 2)."""
    (score,) = infer("junction.onnx", evidence)
    # Of several directions that are about as likely, in the middle of a crossing, the other network's word decides.
    likely = score >= score.max(axis=1, keepdims=True) - _TIE
    best = np.where(likely, evidence[:, _WORD] + np.float32(1e-3) * score, -np.inf).argmax(axis=1)
    around = (best[:, None] + np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1)) % DIRECTIONS
    near = np.take_along_axis(score, around, axis=1)
    weight = np.exp(near - near.max(axis=1, keepdims=True))
    double = around * (2 * np.pi / DIRECTIONS)
    total = np.stack([(weight * np.cos(double)).sum(axis=1), (weight * np.sin(double)).sum(axis=1)], axis=1)
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)
