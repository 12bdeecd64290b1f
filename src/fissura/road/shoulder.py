"""What lies along a road and looks nearly like it: footways, gravel shoulders, lay-bys.

The road's own surface is the commonest tone (warmth, lightness) in the inner part of a piece of pavement. Regions of
another tone are cut off where one of two things holds:

- *flank*: the region lies at the side of the piece, and ends along a sharp line that runs with the road;
- *gravel*: it is warmer and rougher than the road's surface, about as light, and ends along a sharp line.

Wear, patches, tyre tracks and painted lines are neither: they lie inside, fade out, or are thin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from fissura.road.appearance import Plane
from fissura.road.direction import distance_to_edge, orientation_field, road_width
from fissura.road.shape import label_pieces
from fissura.types import BoolMask

_SHADE = 0.45
"""Cells darker than the road's surface by more than this (log) are in shade; their tone says nothing."""
_LEAST_CELLS = 200
_INNER = 6
_WARM_BINS, _LIGHT_BINS = (-0.6, 0.008, 149), (1.8, 0.04, 99)
"""Start, step and number of bins in which the commonest tone is looked for."""
_REACH = 12
"""Cells: a Gaussian of two and a slope of it, one beyond the part."""
_EDGE = 4
"""The outermost cells of a piece mix with what lies beside it."""


@dataclass(frozen=True, eq=False)
class _Tones:
    """Smoothed planes of a frame, and of one piece its own surface's tone and what departs from it."""

    piece: BoolMask
    warmth: Plane
    light: Plane
    fine: Plane
    depth: Plane
    width: float
    lit: BoolMask
    surface: tuple[float, float]
    departure: Plane
    """0 at the surface's tone, above 1 another tone."""

    def within(self, window: tuple[slice, slice]) -> _Tones:
        """The same in a part of the frame."""
        warmth, light, fine, depth, departure = (
            plane[window] for plane in (self.warmth, self.light, self.fine, self.depth, self.departure)
        )
        piece, lit = self.piece[window], self.lit[window]
        return _Tones(piece, warmth, light, fine, depth, self.width, lit, self.surface, departure)


class _Around:
    """What parts of a piece are compared with; most of it is asked for seldom."""

    def __init__(self, tones: _Tones, rest: BoolMask) -> None:
        self._tones, self._rest = tones, rest

    @cached_property
    def departure(self) -> float:
        """Usual departure of the rest of the piece."""
        return float(np.median(self._tones.departure[self._rest]))

    @cached_property
    def fine(self) -> float:
        """Usual fine texture of the rest of the piece."""
        return float(np.median(self._tones.fine[self._rest]))

    @cached_property
    def field(self) -> Plane:
        """Direction of the piece at each cell, as double angle."""
        piece = self._tones.piece
        return np.asarray(cv2.resize(orientation_field(piece, crossings=False), piece.shape[::-1]), np.float32)


def cut_flanks(piece: BoolMask, colour: Plane) -> BoolMask:
    """A piece of pavement without footways and gravel at its sides.

    Args:
        piece: Shape (h, w).
        colour: From `chroma`, shape (3, h, w).
    Returns:
        The piece, or what is left of it.
    """
    tones = _measure(piece, colour)
    if tones is None:
        return piece
    other = (piece & tones.lit & (tones.departure > 1)).view(np.uint8)
    other = cv2.morphologyEx(other, cv2.MORPH_OPEN, _disc(7), borderType=cv2.BORDER_REPLICATE)
    rest = piece & tones.lit & (other == 0) & (tones.depth > _EDGE)
    if not rest.any() or not other.any():
        return piece
    around = _Around(tones, rest)
    cut = np.zeros_like(piece)
    least = max(0.01 * piece.sum(), 40)
    for part in _parts(other, least):
        if _is_beside(part, tones, around):
            cut |= part
            continue
        # A strip of quite another tone may hang together with worn spots of the road.
        level = float(np.median(tones.departure[part]))
        if level > 2:
            clearer = (part & (tones.departure > 0.55 * level)).view(np.uint8)
            for core in _parts(cv2.morphologyEx(clearer, cv2.MORPH_OPEN, _disc(7)), least):
                if _is_beside(core, tones, around):
                    cut |= core
    if not cut.any():
        return piece
    left = cv2.morphologyEx((piece & ~cut).view(np.uint8), cv2.MORPH_OPEN, _disc(7), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(left > 0)


def _parts(mask: npt.NDArray[np.uint8], least: float) -> Iterator[BoolMask]:
    """Connected parts of more than `least` cells."""
    labels, area = label_pieces(mask > 0)
    for k in np.flatnonzero(area > least) + 1:
        yield labels == k


def _measure(piece: BoolMask, colour: Plane) -> _Tones | None:
    solid = cv2.morphologyEx(piece.view(np.uint8), cv2.MORPH_CLOSE, _disc(9), borderType=cv2.BORDER_REPLICATE) > 0
    depth = distance_to_edge(solid)
    width = road_width(solid, depth)
    inner = piece & (depth > max(_INNER, 0.25 * width))
    if inner.sum() < _LEAST_CELLS:
        return None
    warmth, light = cv2.blur(colour[0] - colour[1], (5, 5)), cv2.blur(colour[2], (5, 5))
    w, v = warmth[inner], light[inner]
    # Deep cells count more: what lies along a road is not in its middle.
    weight = np.minimum(depth[inner], 0.5 * width)
    i, j = (np.floor((x - start) / step).astype(np.intp) for x, (start, step, _) in ((w, _WARM_BINS), (v, _LIGHT_BINS)))
    inside = (i >= 0) & (i < _WARM_BINS[2]) & (j >= 0) & (j < _LIGHT_BINS[2])
    histogram = np.bincount((i * _LIGHT_BINS[2] + j)[inside], weight[inside], _WARM_BINS[2] * _LIGHT_BINS[2])
    smooth = cv2.GaussianBlur(histogram.astype(np.float32).reshape(_WARM_BINS[2], -1), (0, 0), 1.2)
    best = np.unravel_index(int(smooth.argmax()), smooth.shape)
    w0 = _WARM_BINS[0] + (int(best[0]) + 0.5) * _WARM_BINS[1]
    v0 = _LIGHT_BINS[0] + (int(best[1]) + 0.5) * _LIGHT_BINS[1]
    lit = light > v0 - _SHADE
    near = (np.abs(w - w0) < 0.05) & (np.abs(v - v0) < 0.2)
    if not near.any():
        return None
    w_step = max(2.5 * 1.48 * float(np.median(np.abs(w[near] - w0))), 0.02)
    v_step = max(3.0 * 1.48 * float(np.median(np.abs(v[near] - v0))), 0.15)
    steps = (warmth, w0, w_step), (light, v0, v_step)
    departure = np.maximum(*(np.abs(x - np.float32(x0)) * np.float32(1 / step) for x, x0, step in steps))
    fine = cv2.blur(cv2.absdiff(colour[2], cv2.blur(colour[2], (3, 3))), (5, 5))
    return _Tones(piece, warmth, light, fine, depth, width, lit, (w0, v0), departure)


def _is_beside(part: BoolMask, tones: _Tones, around: _Around) -> bool:
    # All of this looks at the part and a few cells around it, which is seldom much of the frame.
    window = _window(part)
    part, tones = part[window], tones.within(window)
    core = part & (tones.depth > _EDGE)
    grown = cv2.dilate(part.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    seam = grown & ~part & tones.piece & (tones.depth > _EDGE)
    if np.count_nonzero(core) < 20 or np.count_nonzero(seam) < 12:
        return False
    contrast = float(np.median(tones.departure[core])) - around.departure
    gx = cv2.Sobel(tones.departure, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)[seam]
    gy = cv2.Sobel(tones.departure, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)[seam]
    sharp = 5 * float(np.median(np.hypot(gx, gy))) / max(contrast, 0.1)
    warmer = float(tones.warmth[core].mean()) - tones.surface[0]
    lighter = float(tones.light[core].mean()) - tones.surface[1]
    rougher = float(np.log((np.median(tones.fine[core]) + 0.002) / (around.fine + 0.002)))
    uneven = float(tones.depth[seam].std() / tones.depth[seam].mean())
    if sharp < 0.33 or abs(warmer) > 0.25 or not -0.45 <= lighter <= 1.4 or uneven > 0.68:
        return False
    if 0.03 <= warmer and 0.15 <= rougher <= 1.2 and -0.15 <= lighter <= 0.25 and core.sum() > 300:
        return True
    ring = (cv2.dilate(part.view(np.uint8), _disc(5)) > 0) & ~part
    outside = float((ring & ~tones.piece).sum()) / max(float(ring.sum()), 1.0)
    reach = float(tones.depth[seam].mean()) / tones.width
    painted = rougher > 1.1 and (reach < 0.115 or warmer < 0.05 or rougher > 1.8)
    if outside < 0.33 or sharp < 0.4 or uneven >= 0.6 or painted:
        return False
    return _runs_along(part, seam, around.field[window]) >= 0.5


def _window(part: BoolMask) -> tuple[slice, slice]:
    """The rows and columns of a part, and as many around it as anything that is asked of it reaches."""
    left, top, width, height = cv2.boundingRect(part.view(np.uint8))
    return slice(max(top - _REACH, 0), top + height + _REACH), slice(max(left - _REACH, 0), left + width + _REACH)


def _runs_along(part: BoolMask, seam: BoolMask, field: Plane) -> float:
    """How well a seam runs with the road: 1 along it, -1 across."""
    soft = cv2.GaussianBlur(part.astype(np.float32), (0, 0), 2)
    gx = cv2.Sobel(soft, cv2.CV_32F, 1, 0)[seam]
    gy = cv2.Sobel(soft, cv2.CV_32F, 0, 1)[seam]
    double = np.column_stack([gy * gy - gx * gx, 2 * gx * gy])
    road = field[seam]
    road = road / np.maximum(np.linalg.norm(road, axis=1, keepdims=True), 1e-9)
    return float((double * road).sum() / max(float(np.linalg.norm(double, axis=1).sum()), 1e-9))


def _disc(side: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)
