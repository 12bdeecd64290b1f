"""Which way a road runs at each of its points, from the outline of its mask and the lines painted on it.

The gradient of a smoothed mask stands across the road at both of its edges. Its orientation is averaged as a
double-angle vector (edges that face each other agree instead of cancelling) over a window about as large as the road
is wide, so that the field follows curves and a tree's ragged shade at one edge weighs little.

A mean is not yet what most of the edges say: a tree that covers an edge, a lay-by or gravel taken for road bend it.
Therefore the edges, and the lines and seams on the road, are averaged again, each the more the better it agrees with
the direction that was found.

Where roads meet, edges of several directions mix, and their mean is the direction of none. There every direction is
asked for by itself: edges and painted lines that run in it count along their own continuation. In a frame of which a
network has said where roads meet, another one that has learned it decides (`fissura.road.junction`); for a mask alone,
the direction with the most support wins.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fissura.road.junction import cell_side, junction_directions
from fissura.road.votes import DIRECTIONS, Band, Plane, carry_on, count_votes, odd
from fissura.types import BoolMask, FloatArray

_CELL = 3
"""The tensor is averaged on a grid this much coarser than the mask: orientations change slowly."""
_EDGE_SIGMA = 1.5
"""Smoothing of the mask before its gradient is taken, in mask pixels: stair steps are no direction."""
_RIM = 3
_SURE = 0.92
"""Edges that agree this well belong to one road."""
_MEET = 0.75
"""Where a network takes it to be so probable somewhere on the road, roads meet in the frame."""
_ONE_ROAD = 0.9
"""Neighbouring cells whose mean is so much shorter than they are belong to two roads."""
_MIXED, _FEW = 0.85, 0.15
"""Without a network: where edges of more than this share of the road agree less than that, roads meet."""
_SCORE_CELLS = 60
"""Cells along the longer side in which directions are asked for by themselves then."""
_LONG, _BROAD = 5.0, 2.0
"""Length and width of the band along its continuation in which an edge counts, in widths of the road."""
_TRUST = 1.0
"""How much what a network says weighs against edges and lines, in the logarithm."""
_TRACE = 1e-6
"""Weight of what a network says: it fills what edges and lines leave open."""
_PAINT = 3.0
"""Weight of lines on the road against its outline, where roads meet."""
_LINES = 8.0
"""The same elsewhere, among those that run along the road."""
_AGREEING = (24.0, 16.0, 8.0)
"""Edges and lines that are so many degrees off count a quarter, each time they are averaged again."""
_NEARBY = 0.4
"""How far they are averaged then, in widths of the road."""
_KEPT = 1e-4
"""Weight of what was known before, where there is neither edge nor line."""


def orientation_field(
    mask: BoolMask,
    light: Plane | None = None,
    way: Plane | None = None,
    meeting: Plane | None = None,
    *,
    crossings: bool = True,
) -> Plane:
    """Double-angle orientation of the road around every cell of a coarse grid.

    Args:
        mask: Road, shape (h, w).
        light: Mean log lightness, shape (h, w): lines and seams on the road then speak, too.
        way: What a network says of where roads run, shape (h', w', 2), cosine and sine of twice the direction, at most
            about 1 long.
        meeting: How probable a network takes it to be that roads of several directions meet, shape (h', w'), 0 to 1.
            With it the direction in frames in which roads meet is told by `junction_directions`. Without it roads meet
            where edges disagree.
        crossings: Sort out directions where roads meet, and go by what most edges and lines say; False is quicker.
    Returns:
        Shape (ceil(h / 3), ceil(w / 3), 2): cos and sin of twice the direction times the strength of the evidence
        (0 where no edge is near). The direction is counter-clockwise from the right, as seen.
    """
    size = (-(-mask.shape[1] // _CELL), -(-mask.shape[0] // _CELL))
    cosine, sine, strength = _outline_tensor(mask)
    coarse = _reduced((cosine, sine, strength), size)
    width = road_width(mask)
    sigma = max(0.6 * width / _CELL, 1.0)
    near = _averaged(coarse, sigma)
    # Where the road is wider than usual the near window sees no edge; a trace of a wide one fills in.
    far = cv2.blur(coarse[..., :2], (odd(8 * sigma), odd(8 * sigma)), borderType=cv2.BORDER_CONSTANT)
    field: Plane = np.ascontiguousarray(near[..., :2] + np.float32(0.02) * far)
    road = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    if not crossings:
        return field
    outline = cosine, sine, strength
    lines = None if light is None else _line_tensor(mask, light)
    if meeting is not None and _roads_meet(mask, meeting):
        decided = junction_directions(outline, lines, mask, width, way, meeting)
        r, c = (
            np.minimum(np.arange(n) * _CELL + _CELL // 2, side - 1) // cell_side(mask.shape)
            for n, side in zip(field.shape, mask.shape, strict=False)
        )
        field[road] = decided[np.ix_(r, c)][road]
        return field
    told = [coarse] if lines is None else [coarse, _LINES * _reduced(lines, size)]
    settled = _settled(field, told, max(_NEARBY * width / _CELL, 1.0))
    if meeting is None:
        agreement = np.hypot(near[..., 0], near[..., 1]) / np.maximum(near[..., 2], np.float32(1e-9))
        unsure = road & (agreement < _SURE)
        if (road & (agreement < _MIXED)).sum() > _FEW * road.sum() and unsure.any():
            scored = _best_supported(outline, mask, width, lines, way)
            settled[unsure] = cv2.resize(scored, size, interpolation=cv2.INTER_NEAREST)[unsure]
    if way is not None:
        # Far from any edge and line there is nothing else to go by.
        settled += np.float32(_TRACE) * cv2.resize(way, size, interpolation=cv2.INTER_LINEAR)
    return settled


def _roads_meet(mask: BoolMask, meeting: Plane) -> bool:
    road = cv2.resize(mask.view(np.uint8), meeting.shape[::-1], interpolation=cv2.INTER_AREA) > 0
    return bool(meeting.max(initial=0.0, where=road) > _MEET)


def _settled(field: Plane, told: list[Plane], sigma: float) -> Plane:
    """A field averaged again, what agrees with it counting most; as long everywhere as before.

    Args:
        field: Shape (h, w, 2).
        told: Double-angle vectors of edges and lines and their strengths, shape (h, w, 3) each.
        sigma: Of the window, in cells.
    """
    length, x, y = _polar(field[..., 0], field[..., 1])
    sources = []
    for one in told:
        c, s, strength = cv2.split(one)
        # Their direction, 1 long; what there is of it.
        scale = np.float32(1.0) / np.maximum(strength, np.float32(1e-9))
        sources.append((c * scale, s * scale, c, s))
    for degrees in _AGREEING:
        scale = np.float32(1.0 / (1.0 - np.cos(np.radians(2 * degrees))))
        totals = [np.zeros_like(x), np.zeros_like(x)]
        for along, beside, c, s in sources:
            off = np.float32(1.0) + scale * (np.float32(1.0) - along * x - beside * y)
            off *= off
            totals[0] += c / off
            totals[1] += s / off
        near = cv2.split(_averaged(np.asarray(cv2.merge(totals), np.float32), sigma))
        _, x, y = _polar(*(total + np.float32(_KEPT) * before for total, before in zip(near, (x, y), strict=True)))
    return np.dstack([x * length, y * length])


def _averaged(planes: Plane, sigma: float) -> Plane:
    """Gaussian means of (h, w, C); those of a wide window change slowly, and are taken on fewer cells."""
    step = max(int(sigma / 2), 1)
    size = planes.shape[1::-1]
    few = cv2.resize(planes, (-(-size[0] // step), -(-size[1] // step)), interpolation=cv2.INTER_AREA)
    few = cv2.GaussianBlur(few, (0, 0), sigma / step, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(few, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _polar(x: Plane, y: Plane) -> tuple[Plane, Plane, Plane]:
    """Length, and the vector 1 long."""
    length = cv2.magnitude(np.ascontiguousarray(x), np.ascontiguousarray(y))
    scale = np.float32(1.0) / np.maximum(length, np.float32(1e-12))
    return np.asarray(length), x * scale, y * scale


def _reduced(tensor: tuple[Plane, Plane, Plane], size: tuple[int, int]) -> Plane:
    return np.asarray(cv2.resize(cv2.merge(list(tensor)), size, interpolation=cv2.INTER_AREA), np.float32)


def direction_at(field: FloatArray, mask_hw: tuple[int, int], points_rc: FloatArray) -> npt.NDArray[np.float64]:
    """Directions in degrees, 0 to 180, at points in mask pixels (row, column), shape (N, 2). NaN without evidence."""
    rows, cols = (
        np.clip((points_rc[:, k] + 0.5) * (field.shape[k] / mask_hw[k]) - 0.5, 0, field.shape[k] - 1) for k in (0, 1)
    )  # fmt: skip
    r, c = rows.astype(np.intp), cols.astype(np.intp)
    r1, c1 = np.minimum(r + 1, field.shape[0] - 1), np.minimum(c + 1, field.shape[1] - 1)
    y, x = (rows - r)[:, None], (cols - c)[:, None]
    upper, lower = field[r, c] * (1 - x) + field[r, c1] * x, field[r1, c] * (1 - x) + field[r1, c1] * x
    sampled = upper * (1 - y) + lower * y
    # Between a cell of one road and a cell of another lies the direction of neither: there the nearest cell counts.
    ends = field[[r, r, r1, r1], [c, c1, c, c1]]
    share = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x])[..., 0]
    length = (share * np.hypot(ends[..., 0], ends[..., 1])).sum(axis=0)
    mixed = np.flatnonzero(np.hypot(sampled[:, 0], sampled[:, 1]) < _ONE_ROAD * length)
    sampled[mixed] = ends[share[:, mixed].argmax(axis=0), mixed]
    angle = 0.5 * np.degrees(np.arctan2(sampled[:, 1], sampled[:, 0])) % 180.0
    return np.where(np.hypot(sampled[:, 0], sampled[:, 1]) > 0, angle, np.nan)


def mean_direction(double: FloatArray) -> tuple[float, float]:
    """Mean of double-angle vectors (..., 2): direction in degrees, 0 to 180, and agreement, 0 to 1."""
    total = double.reshape(-1, 2).sum(axis=0)
    length = float(np.hypot(*total))
    weight = float(np.hypot(double[..., 0], double[..., 1]).sum())
    return 0.5 * float(np.degrees(np.arctan2(total[1], total[0]))) % 180.0, length / max(weight, 1e-12)


def road_width(mask: BoolMask, distance: Plane | None = None) -> float:
    """Usual width of the roads in a mask, in mask pixels: twice the distance to the edge, along the middle.

    Args:
        mask: Road, shape (h, w).
        distance: From `distance_to_edge` of it, for callers that have it.
    """
    if not mask.any():
        return 0.0
    distance = distance_to_edge(mask) if distance is None else distance
    ridge = (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)) - np.float32(1e-3)) & (distance > 1.5)
    values = distance[ridge]
    return 2.0 * float(np.median(values)) if values.size else 2.0


def distance_to_edge(mask: BoolMask) -> Plane:
    """Distance of every road pixel to the nearest pixel that is none; the frame's border is no edge."""
    distance = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 5)
    # Without any edge OpenCV gives its largest number; no road is wider than the picture.
    return np.asarray(np.minimum(distance, max(mask.shape)), dtype=np.float32)


def _outline_tensor(mask: BoolMask) -> tuple[Plane, Plane, Plane]:
    """Cosine and sine of twice the direction of the outline, times its strength; the strength."""
    # The road goes on beyond the frame: with replicated borders the frame itself is no edge. Slanted edges bend there.
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _EDGE_SIGMA, borderType=cv2.BORDER_REPLICATE)
    gx, gy = _slopes(soft)
    rim = min(_RIM, min(mask.shape) // 8)
    for plane in (gx, gy) if rim else ():
        plane[:rim] = plane[-rim:] = 0
        plane[:, :rim] = plane[:, -rim:] = 0
    return _double_angle(gx, gy)


def _line_tensor(mask: BoolMask, light: Plane) -> tuple[Plane, Plane, Plane]:
    """The same of lines, seams and joints on the road; a brighter line says no more."""
    core = cv2.erode(mask.view(np.uint8), np.ones((9, 9), np.uint8), borderValue=1).astype(np.float32)
    soft = cv2.GaussianBlur(light, (5, 5), 1.0)
    cosine, sine, strength = _double_angle(*_slopes(np.asarray(soft, np.float32)))
    share = core * np.minimum(strength, np.float32(1.0)) / np.maximum(strength, np.float32(1e-9))
    return cosine * share, sine * share, strength * share


def _slopes(plane: Plane) -> tuple[Plane, Plane]:
    gx = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3, borderType=cv2.BORDER_REPLICATE)
    gy = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(gx, np.float32), np.asarray(gy, np.float32)


def _double_angle(gx: Plane, gy: Plane) -> tuple[Plane, Plane, Plane]:
    # The tangent is the normal (gx, gy) turned by 90 degrees; seen from above, with y upwards, twice its angle is this.
    sine = cv2.multiply(gx, gy, scale=2.0)
    xx, yy = cv2.multiply(gx, gx, dst=gx), cv2.multiply(gy, gy, dst=gy)
    cosine, strength = cv2.subtract(yy, xx), cv2.add(yy, xx, dst=xx)
    return np.asarray(cosine, np.float32), np.asarray(sine, np.float32), np.asarray(strength, np.float32)


def _best_supported(
    outline: tuple[Plane, Plane, Plane],
    mask: BoolMask,
    width: float,
    lines: tuple[Plane, Plane, Plane] | None,
    way: Plane | None,
) -> Plane:
    """Of all directions the one that edges and lines support best, as double-angle field on a coarse grid."""
    cell = max(round(max(mask.shape) / _SCORE_CELLS), 1)
    votes = count_votes(outline, cell)
    if lines is not None:
        votes += count_votes((_PAINT * lines[0], _PAINT * lines[1], _PAINT * lines[2]), cell)
    band = Band(_LONG * width / cell, _BROAD * width / cell)
    support = np.stack([carry_on(votes[k], k, [band])[0] for k in range(DIRECTIONS)])
    believed = support
    if way is not None:
        # One of the directions that something runs in, never one between.
        peaks = (support >= np.roll(support, 1, axis=0)) & (support >= np.roll(support, -1, axis=0))
        believed = support * peaks * _belief(cv2.resize(way, support.shape[:0:-1], interpolation=cv2.INTER_LINEAR))
    best = believed.argmax(axis=0)
    r, c = np.indices(best.shape)
    peak, before, after = (support[(best + step) % DIRECTIONS, r, c] for step in (0, -1, 1))
    # A parabola through the best and its neighbours.
    offset = 0.5 * (before - after) / np.minimum(before - 2 * peak + after, -1e-9)
    double = (best + np.clip(offset, -0.5, 0.5)) * (2 * np.pi / DIRECTIONS)
    return np.asarray(np.dstack([np.cos(double), np.sin(double)]) * peak[..., None], dtype=np.float32)


def _belief(way: Plane) -> Plane:
    """How far each direction is believed, from what the network says, (h, w, 2) to (directions, h, w)."""
    double = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    along = np.cos(double)[:, None, None] * way[..., 0] + np.sin(double)[:, None, None] * way[..., 1]
    return np.asarray(np.exp(_TRUST * (along - 1)), dtype=np.float32)
