"""How many edges and lines run in each of many directions, and how far each of them reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]

DIRECTIONS = 36
"""From the right, counter-clockwise as seen; together half a turn."""
FAINT = 0.03
"""Edges and lines weaker than this say nothing."""


def count_votes(tensor: tuple[Plane, Plane, Plane], cell: int) -> Plane:
    """The strength of what runs in each direction, in square cells.

    Args:
        tensor: Cosine and sine of twice the direction times its strength, and the strength, shape (h, w) each.
        cell: Side of a cell, in pixels of these.
    Returns:
        Shape (directions, ceil(h / cell), ceil(w / cell)); what lies between two directions is shared between them.
    """
    cosine, sine, strength = tensor
    h, w = (-(-side // cell) for side in strength.shape)
    votes = np.zeros(DIRECTIONS * h * w)
    told = np.flatnonzero(strength > FAINT)
    if len(told):
        double = cv2.phase(cosine.reshape(-1)[told], sine.reshape(-1)[told]).reshape(-1)
        position = double * np.float32(DIRECTIONS / (2 * np.pi))
        lower = position.astype(np.intp)
        weight = strength.reshape(-1)[told]
        upper = (position - lower) * weight
        row, column = np.divmod(told, strength.shape[1])
        where = row // cell * w + column // cell
        for step, share in ((0, weight - upper), (1, upper)):
            votes += np.bincount((lower + step) % DIRECTIONS * (h * w) + where, share, len(votes))
    return votes.astype(np.float32).reshape(DIRECTIONS, h, w)


class Band(NamedTuple):
    """A band along a direction, in any unit; or two of them, one on either side of a place."""

    long: float
    broad: float
    ahead: float = 0.0
    """One band is so far ahead of the place, the other so far behind."""
    beside: float = 0.0
    """One is so far to the left, the other to the right."""

    @property
    def means(self) -> int:
        """How many means `carry_on` takes: of the band, or the smaller and the larger one of two."""
        return 2 if self.ahead or self.beside else 1


def carry_on(planes: Plane, direction: int, bands: Sequence[Band]) -> list[Plane]:
    """Means over bands that lie along a direction; beyond the border are zeros.

    Args:
        planes: Shape (h, w) or (h, w, C), C up to 4.
        direction: Number of it.
        bands: In cells.
    Returns:
        For each band what `planes` has in its mean around each cell, of the same shape; for one on either side two such
        planes, the smaller and the larger mean of both.
    """
    h, w = planes.shape[:2]
    side = int(np.ceil(np.hypot(h, w))) + 2
    degrees = 180.0 * direction / DIRECTIONS
    turn = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), -degrees, 1.0)
    turn[:, 2] += (side - w) / 2, (side - h) / 2
    turned = cv2.warpAffine(planes, turn, (side, side), flags=cv2.INTER_LINEAR)
    out = []
    for band in bands:
        size = tuple(min(max(odd(x), 3), 2 * side - 1) for x in (band.long, band.broad))
        mean = cv2.blur(turned, size, borderType=cv2.BORDER_CONSTANT)
        sides = [mean]
        if band.means == 2:
            one, other = (
                cv2.warpAffine(mean, np.array([[1, 0, k * band.ahead], [0, 1, k * band.beside]]), (side, side))
                for k in (-1, 1)
            )
            sides = [np.minimum(one, other), np.maximum(one, other)]
        for plane in sides:
            back = cv2.warpAffine(plane, turn, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            out.append(np.asarray(back, np.float32))
    return out


def odd(value: float) -> int:
    """An odd number at most 1 away: the side of a window that has a middle."""
    return 2 * int(value / 2) + 1
