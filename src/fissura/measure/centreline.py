"""From pixel paths to sub-pixel centrelines with the width of the mask at every point.

1. Path pixels are smoothed, the more the wider the crack is there, in a way that keeps bends.
2. Free ends: a skeleton ends half a width short of the mask's end, or runs into a corner of it. The last stretch,
   as long as the corner's distance could be, is replaced by a straight one in the direction of the line, up to the
   mask's edge.
3. An orthogonal cut through the mask at every point gives the width and the middle between both edges. Inside a
   junction's disc, at the picture's border and in a line's last pixel the cut says nothing about this crack; the
   nearest good values along the line stand in.
4. Points move to the middle, are smoothed once more and spaced 1 px.

A blob too compact to have a direction becomes its longest straight extent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fissura.measure.lines import Lines, Smoother, arc_length, ragged_arange, space_evenly, tangents
from fissura.measure.model import Points, Values
from fissura.measure.pixelgraph import Index, PixelGraph
from fissura.measure.rays import MaskPicture, cut_profiles, edge_distance

_CORNER = float(np.sqrt(2.0))
_FULL_SHARE = 0.85
_REST_RADII = 0.6
_BLOB_DIRECTIONS = 16
_REACH_RADII = 1.3
_JUNCTION_RADII = 1.2
_END_RADII = 0.5
_MOST_TURN = 0.5
_THIN_RADIUS_PX = 2.0


@dataclass(frozen=True, eq=False)
class Centrelines:
    """Finished lines.

    Attributes:
        lines: Points about 1 px apart, in coordinates of the picture; no rings (a closed line repeats its point).
        width_px: Shape (N,).
        ends: Nodes at both ends of each line, shape (B, 2).
        node_rc: Shape (M, 2).
    """

    lines: Lines
    width_px: Values
    ends: Index
    node_rc: Points


def refine(graph: PixelGraph, picture: MaskPicture, distance: npt.NDArray[np.float32]) -> Centrelines:
    """Sub-pixel centrelines and widths of a pixel graph.

    Args:
        graph: Pixel paths in coordinates of the picture.
        padded: Mask 0 or 1 with a rim of one zero, which the result's coordinates leave out.
        distance: Distance of each of its pixels to the background.
    """
    degree = graph.degree()
    raw, radius = _with_nodes(graph, picture.shape[1], distance)
    free = (degree[graph.ends] == 1) & ~graph.ring[:, None]
    raw, radius, ends, blob = _trim(raw, radius, graph.ends, free)
    sigma = 1.5 + 0.5 * radius
    lines = Lines(Smoother(raw, sigma).keeping_curves(raw.points), raw.first, raw.ring)
    free = free[~blob]
    lines, radius = _extend(lines, radius, graph.node_rc[ends], free, picture)
    # Evenly before the cuts: pixel after pixel along a diagonal, all cuts would see the staircase at the same step.
    lines, spaced = space_evenly(lines, radius[:, None], keep_rings=True)
    radius = spaced[:, 0]
    lines, width = _centre(lines, radius, graph, ends, free, picture)
    lines, columns = space_evenly(lines, width[:, None], keep_rings=False)
    spots = np.concatenate([np.flatnonzero(degree == 0), graph.ends[blob, 0]])
    middle = np.concatenate([graph.node_rc[degree == 0], graph.node_rc[graph.ends[blob]].mean(axis=1)])
    spot_lines, spot_width = _blobs(middle, picture, distance)
    return _finish(graph, (lines, columns[:, 0], ends), (spot_lines, spot_width, spots))


def _with_nodes(graph: PixelGraph, columns: int, distance: npt.NDArray[np.float32]) -> tuple[Lines, Values]:
    """Paths with their end nodes as first and last points, and the distance to the background at each."""
    around = np.where(graph.ring, 0, 1)
    counts = np.diff(graph.first) + 2 * around
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    points, radius = np.empty((first[-1], 2)), np.empty(first[-1])
    inner = np.ones(first[-1], np.bool_)
    open_ = ~graph.ring
    for side, at in enumerate((first[:-1][open_], first[1:][open_] - 1)):
        inner[at] = False
        points[at] = graph.node_rc[graph.ends[open_, side]]
        radius[at] = graph.node_radius[graph.ends[open_, side]]
    points[inner] = np.stack(np.divmod(graph.path, columns), axis=1)
    radius[inner] = distance.ravel()[graph.path]
    return Lines(points, first, graph.ring), radius


def _trim(
    lines: Lines, radius: Values, ends: Index, free: npt.NDArray[np.bool_]
) -> tuple[Lines, Values, Index, npt.NDArray[np.bool_]]:
    """Take the stretch off free ends in which the skeleton may run to a corner. Also says which lines are blobs."""
    if not len(lines.ring):
        return lines, radius, ends, np.zeros(0, np.bool_)
    along = arc_length(lines)
    low, high = lines.first[:-1], lines.first[1:] - 1
    number = lines.number()
    zone = _CORNER * radius + 1.0
    at = np.arange(len(along))
    # The first point, seen from the tip, that lies further from it than its own corner distance.
    from_start, from_stop = along - along[low][number], along[high][number] - along
    begin = np.minimum(np.minimum.reduceat(np.where(from_start > zone, at, len(at)), low), high)
    end = np.maximum(np.maximum.reduceat(np.where(from_stop > zone, at, -1), low), low)
    blob = free.all(axis=1) & (end - begin < 2)
    # Of that stretch, what runs to a corner is closer to the background than the line behind it.
    corner = radius < _FULL_SHARE * radius[begin][number]
    inner = np.where((at < begin[number]) & corner, from_start, 0.0)
    rest = 1.0 + _REST_RADII * radius
    begin = np.searchsorted(
        along, along[low] + np.minimum(along[begin] - along[low], np.maximum.reduceat(inner, low) + rest[begin])
    )
    inner = np.where((at > end[number]) & (radius < _FULL_SHARE * radius[end][number]), from_stop, 0.0)
    stop = along[high] - np.minimum(along[high] - along[end], np.maximum.reduceat(inner, low) + rest[end])
    end = np.searchsorted(along, stop, side="right") - 1
    begin, end = np.where(free[:, 0], begin, low), np.where(free[:, 1], end, high)
    # A side branch keeps its first two points, however thick its end is.
    begin = np.where(free[:, 1], begin, np.minimum(begin, np.maximum(high - 1, low)))
    end = np.where(free[:, 0], end, np.maximum(end, np.minimum(low + 1, high)))
    kept = (at >= begin[number]) & (at <= end[number]) & ~blob[number]
    counts = np.bincount(number[kept], minlength=len(low))[~blob]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    return Lines(lines.points[kept], first, lines.ring[~blob]), radius[kept], ends[~blob], blob


def _extend(
    lines: Lines, radius: Values, tips: Points, free: npt.NDArray[np.bool_], picture: MaskPicture
) -> tuple[Lines, Values]:
    """Straight from the free ends to the mask's edge, in steps of about 1 px."""
    counts = np.diff(lines.first)
    low, high = lines.first[:-1], lines.first[1:] - 1
    added, reach, outward = np.zeros((len(low), 2), np.intp), np.zeros((len(low), 2)), np.zeros((len(low), 2, 2))
    for side, tip in enumerate((low, high)):
        rows = np.flatnonzero(free[:, side])
        way = _way_out(lines.points, tip[rows], counts[rows] - 1, radius[tip[rows]], -1 if side else 1)
        most = (_CORNER + 2.0) * radius[tip[rows]] + 4.0
        thin = radius[tip[rows]] <= _THIN_RADIUS_PX
        to_edge = edge_distance(picture, lines.points[tip[rows]], way, most, np.where(thin, 0.4, 0.0))
        # A line one or two pixels wide steps aside from the straight way: it reaches at least to its last pixel.
        to_tip = ((tips[rows, side] - lines.points[tip[rows]]) * way).sum(axis=1) + 0.5
        reach[rows, side] = np.maximum(to_edge, np.where(thin, to_tip, 0.0))
        outward[rows, side] = way
        added[rows, side] = np.maximum(np.rint(reach[rows, side]), 1)
    total = counts + added.sum(axis=1)
    first = np.concatenate([[0], np.cumsum(total)]).astype(np.intp)
    number = np.repeat(np.arange(len(low)), total)
    place = ragged_arange(total) - added[number, 0]
    source = low[number] + np.clip(place, 0, counts[number] - 1)
    points = lines.points[source]
    for side, beyond in enumerate((-place, place - counts[number] + 1)):
        rows = beyond > 0
        which = number[rows]
        share = beyond[rows] / added[which, side]
        points[rows] += (share * reach[which, side])[:, None] * outward[which, side]
    return Lines(points, first, lines.ring), radius[source]


def _way_out(points: Points, tip: Index, room: Index, radius: Values, inward: int) -> Points:
    """Unit direction from each tip to where a line that goes on bending as it does would leave the mask."""
    back = np.maximum(8, 2 * radius).astype(np.intp)
    near, far = tip + inward * np.minimum(back, room), tip + inward * np.minimum(2 * back, room)
    way, before = points[tip] - points[near], points[near] - points[far]
    turn = np.arctan2(before[:, 0] * way[:, 1] - before[:, 1] * way[:, 0], (before * way).sum(axis=1))
    turn = np.where(room >= 2 * back, np.clip(turn, -_MOST_TURN, _MOST_TURN), 0.0)
    # Half the turn from the chord's middle to the tip, the rest to the middle of what is still to go.
    turn = turn * (0.5 + 0.6 * radius / back)
    cos, sin = np.cos(turn), np.sin(turn)
    way = np.stack([cos * way[:, 0] - sin * way[:, 1], sin * way[:, 0] + cos * way[:, 1]], axis=1)
    return np.asarray(way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9), np.float64)


def _centre(
    lines: Lines,
    radius: Values,
    graph: PixelGraph,
    ends: Index,
    free: npt.NDArray[np.bool_],
    picture: MaskPicture,
) -> tuple[Lines, Values]:
    """Move points to the middle of orthogonal cuts. Also returns the widths."""
    if not len(lines.points):
        return lines, np.zeros(0)
    along_line = tangents(lines, lines.points)
    normal = along_line[:, ::-1] * (1.0, -1.0)
    cut = cut_profiles(picture, lines.points, normal, _REACH_RADII * radius + 1.0)
    good = ~cut.cut_off & ~_near_nodes(lines, radius, graph.node_radius[ends], free)
    low, high = lines.first[:-1], lines.first[1:] - 1
    number, along = lines.number(), arc_length(lines)
    # Nodes keep their place, free ends move with the line.
    fixed = np.concatenate([low[~free[:, 0] & ~lines.ring], high[~free[:, 1] & ~lines.ring]])
    shift, width = cut.shift_px.copy(), cut.width_px.copy()
    shift[fixed] = 0.0
    known = good.copy()
    known[fixed] = True
    shift = _fill_along(along, number, shift, known, np.zeros(len(low)))
    fallback = np.maximum(2 * radius[(low + high) // 2] - 1, 1.0)
    width = _fill_along(along, number, width, good, fallback)
    smoother = Smoother(lines, 1.5 + 0.2 * radius)
    shift, width = smoother(np.stack([shift, width], axis=1), pinned=False).T
    shift[fixed] = 0.0
    points = smoother.keeping_curves(lines.points + shift[:, None] * normal)
    return Lines(points, lines.first, lines.ring), width


def _near_nodes(
    lines: Lines, radius: Values, node_radius: Values, free: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Points inside a junction's disc, and those so near a free end that a cut could leave the mask through it."""
    number = lines.number()
    out = np.zeros(len(lines.points), np.bool_)
    for side, tip in enumerate((lines.first[:-1], lines.first[1:] - 1)):
        limit = np.where(free[:, side], 1.0 + _END_RADII * radius[tip], 1.5 + _JUNCTION_RADII * node_radius[:, side])
        limit[lines.ring] = 0.0
        out |= np.linalg.norm(lines.points - lines.points[tip][number], axis=1) < limit[number]
    return out


def _fill_along(along: Values, number: Index, values: Values, known: npt.NDArray[np.bool_], fallback: Values) -> Values:
    """Interpolate unknown values between the known ones of the same line, or hold the last known one."""
    any_known = np.bincount(number[known], minlength=len(fallback)) > 0
    out = np.where(any_known[number], values, fallback[number])
    lost = np.flatnonzero(~known & any_known[number])
    have = np.flatnonzero(known)
    after = np.searchsorted(have, lost)
    left, right = have[np.maximum(after - 1, 0)], have[np.minimum(after, len(have) - 1)] if len(have) else have
    left_ok, right_ok = (number[left] == number[lost]) & (left < lost), (number[right] == number[lost]) & (right > lost)
    span = np.where(left_ok & right_ok, along[right] - along[left], 1.0)
    share = np.where(left_ok & right_ok, (along[lost] - along[left]) / span, np.where(left_ok, 0.0, 1.0))
    out[lost] = values[left] * (1 - share) + values[right] * share
    return out


def _blobs(middle: Points, picture: MaskPicture, distance: npt.NDArray[np.float32]) -> tuple[Lines, Values]:
    """The longest straight extent of each compact blob through its middle, and its width."""
    count = len(middle)
    angle = np.arange(_BLOB_DIRECTIONS) * np.pi / _BLOB_DIRECTIONS
    way = np.tile(np.stack([np.sin(angle), np.cos(angle)], axis=1), (count, 1))
    row, column = np.rint(middle).astype(np.intp).T
    radius = distance[row, column].astype(np.float64)
    start, reach = np.repeat(middle, len(angle), axis=0), np.repeat(3.0 * radius + 2.0, len(angle))
    ahead = edge_distance(picture, start, way, reach).reshape(count, _BLOB_DIRECTIONS)
    behind = edge_distance(picture, start, -way, reach).reshape(count, _BLOB_DIRECTIONS)
    # Rounded, so that directions equal by symmetry tie and the first wins.
    best = np.round(ahead + behind, 3).argmax(axis=1) if count else np.zeros(0, np.intp)
    each = np.arange(count)
    chosen = way.reshape(count, len(angle), 2)[each, best]
    points = np.stack(
        [middle - behind[each, best, None] * chosen, middle + ahead[each, best, None] * chosen], axis=1
    ).reshape(-1, 2)
    width = cut_profiles(picture, middle, chosen[:, ::-1] * (1.0, -1.0), _REACH_RADII * radius + 1.0).width_px
    lines = Lines(points, 2 * np.arange(count + 1), np.zeros(count, np.bool_))
    if not count:
        return lines, width
    lines, columns = space_evenly(lines, np.repeat(width, 2)[:, None], keep_rings=False)
    return lines, columns[:, 0]


def _finish(graph: PixelGraph, drawn: tuple[Lines, Values, Index], blobs: tuple[Lines, Values, Index]) -> Centrelines:
    """Join lines and blobs, move nodes to where their lines end, and drop nodes without a line."""
    (lines, width, ends), (spots, spot_width, spot_node) = drawn, blobs
    extra = len(graph.node_rc) + np.arange(len(spot_node))
    ends = np.concatenate([ends, np.stack([spot_node, extra], axis=1)]).astype(np.intp)
    points = np.concatenate([lines.points, spots.points]) - 1.0  # Out of the rim.
    first = np.concatenate([lines.first, len(lines.points) + spots.first[1:]])
    node_rc = np.concatenate([graph.node_rc, np.zeros((len(spot_node), 2))])
    for side, at in enumerate((first[:-1], first[1:] - 1)):
        node_rc[ends[:, side]] = points[at]
    used, ends = np.unique(ends, return_inverse=True)
    joined = Lines(points, first, np.zeros(len(first) - 1, np.bool_))
    return Centrelines(joined, np.concatenate([width, spot_width]), ends.reshape(-1, 2), node_rc[used])
