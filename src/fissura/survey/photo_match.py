"""Which photos of a flight show the same ground, and which of their points are the same; which were turned by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from shapely import STRtree
from shapely.geometry import Polygon

from fissura.geo.homography import transform
from fissura.survey.keyframes import Matches, agree
from fissura.survey.photo_pose import footprint, turned
from fissura.survey.pose import FramePose, Lens, PointsXY
from fissura.types import RgbImage

MOST_NEIGHBOURS = 8
LEAST_OVERLAP = 0.12
"""Photos that share less of the smaller one's ground are not compared."""
_REDUCED_PX = 1600
_MOST_FEATURES = 4000
_ROWS = 512
"""Descriptors that are compared with all others at a time."""
_POINTS = 60
_GRID = 6
_SIFT_SHIFT_PX = 0.25
"""How far to the right and down OpenCV's SIFT sees everything: it begins on the picture at double size, whose pixels
lie a quarter further up and left. Unnoticed among photos of one heading; half a pixel (of the reduced photo) between
two that look in opposite ways."""

Features = tuple[PointsXY, npt.NDArray[np.uint8]]
"""Key points in pixels of the full photo, shape (N, 2), and their SIFT descriptors, shape (N, 128)."""


@dataclass(frozen=True, eq=False)
class PhotoPair:
    """Points that two photos share.

    Attributes:
        first: Index of a photo.
        second: Index of the other, larger.
        first_xy: In full pixels of the first, shape (N, 2).
        second_xy: The same points in the second.
    """

    first: int
    second: int
    first_xy: PointsXY
    second_xy: PointsXY


def find_photo_features(rgb: RgbImage) -> Features:
    """Key points of a photo reduced to `_REDUCED_PX` at most, in pixels of the full photo.

    SIFT rather than the ORB of video frames: photos of a flight are metres apart and may be turned by half a circle. On
    six photos of park roads it joined seven pairs where ORB joined four.
    """
    height, width = rgb.shape[:2]
    factor = max(1, -(-max(height, width) // _REDUCED_PX))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    points, descriptors = cv2.SIFT.create(_MOST_FEATURES).detectAndCompute(small, None)
    if descriptors is None:
        return np.empty((0, 2)), np.empty((0, 128), np.uint8)
    xy = (np.array([p.pt for p in points], np.float64) - _SIFT_SHIFT_PX) * factor + (factor - 1) / 2
    return xy, descriptors.astype(np.uint8)  # OpenCV's SIFT gives whole numbers from 0 to 255


def plan_pairs(poses: Sequence[FramePose], lenses: Sequence[Lens], *, slack_px: float) -> list[tuple[int, int]]:
    """Pairs of photos worth comparing, by where they should lie.

    Args:
        poses: By their own data.
        lenses: One each.
        slack_px: How far a photo may lie from there, in ground pixels.
    """
    outlines = [Polygon(footprint(p, lens)[0]).buffer(slack_px) for p, lens in zip(poses, lenses, strict=True)]
    tree = STRtree(outlines)
    pairs: set[tuple[int, int]] = set()
    for i, outline in enumerate(outlines):
        shares = []
        for j in tree.query(outline):
            if int(j) == i:
                continue
            other = outlines[int(j)]
            share = outline.intersection(other).area / min(outline.area, other.area)
            if share >= LEAST_OVERLAP:
                shares.append((-share, int(j)))
        pairs |= {(min(i, j), max(i, j)) for _, j in sorted(shares)[:MOST_NEIGHBOURS]}
    return sorted(pairs)


def match_photos(first: Features, second: Features, *, tolerance_px: float) -> Matches | None:
    """Points of two photos that one view of flat ground explains, thinned out evenly; None if too few do."""
    if min(len(first[0]), len(second[0])) < 24:
        return None
    nearest, distance, next_distance = _two_nearest(first[1], second[1])
    kept = np.flatnonzero(distance < 0.8 * next_distance)
    matches = agree(first[0][kept], second[0][nearest[kept]], tried=len(kept), tolerance_px=tolerance_px)
    if matches is None:
        return None
    chosen = _spread(matches.anchor_xy)
    return Matches(matches.anchor_xy[chosen], matches.frame_xy[chosen], matches.share)


def _two_nearest(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each descriptor the nearest among others, its distance, and that of the next.

    Every pair is compared, as by OpenCV's `BFMatcher`, but as products of matrices, in a fifth of its time. Bytes make
    whole numbers below 2^24, so that float32 is exact.
    """
    a, b = first.astype(np.float32), second.astype(np.float32)
    b_squared, rows = np.einsum("ij,ij->i", b, b), np.arange(_ROWS)
    nearest = np.empty(len(a), np.intp)
    squared = np.empty((2, len(a)), np.float32)
    for start in range(0, len(a), _ROWS):
        some = a[start : start + _ROWS]
        away = some @ b.T
        away *= -2.0
        away += b_squared
        away += np.einsum("ij,ij->i", some, some)[:, None]
        row, best, part = rows[: len(some)], away.argmin(axis=1), slice(start, start + len(some))
        nearest[part], squared[0, part] = best, away[row, best]
        away[row, best] = np.inf
        squared[1, part] = away.min(axis=1)
    distance, next_distance = np.sqrt(squared).astype(np.float64)
    return nearest, distance, next_distance


def _spread(points: PointsXY) -> npt.NDArray[np.intp]:
    """Indices of some points, a few from each part of what they cover."""
    low, high = points.min(axis=0), points.max(axis=0)
    cell = np.minimum((_GRID * (points - low) / np.maximum(high - low, 1e-6)).astype(int), _GRID - 1)
    number = cell[:, 0] * _GRID + cell[:, 1]
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], number[order])
    rank = np.arange(len(order)) - first
    per_cell = max(_POINTS // max(len(np.unique(number)), 1), 1)
    return np.sort(order[rank < per_cell])


def find_turned(
    poses: Sequence[FramePose], lenses: Sequence[Lens], pairs: Sequence[PhotoPair], *, suspects: Sequence[bool],
    slack_px: float,
) -> list[int]:  # fmt: skip
    """Quarters of a circle by which each photo was turned after it was taken, clockwise.

    Some programs turn the pixels and leave what the file says of the camera. Photos that share ground tell how they
    are turned against each other; of the ways to explain that, the one is taken that agrees with their places, or
    else the one that turns fewer photos.

    Args:
        poses: By the photos' own data.
        lenses: One each.
        pairs: Shared points.
        suspects: Photos that were saved by a program which can turn them; others are turned only as a last resort.
        slack_px: How far a photo may lie from where it says it is, in ground pixels.
    """
    relative = {(p.first, p.second): _relative_quarters(p, poses, lenses) for p in pairs}
    # A surface that repeats may look the same from the other side; then the places do not fit.
    pairs = [p for p in pairs if _nearest_fit(p, relative[p.first, p.second], poses, lenses) <= slack_px]
    relative = {(p.first, p.second): relative[p.first, p.second] for p in pairs}
    points = {(p.first, p.second): len(p.first_xy) for p in pairs}
    quarters = [0] * len(poses)
    for part in connected_parts(len(poses), list(relative)):
        base = _spread_quarters(part, relative, points)
        if not any(base.values()):
            continue
        choices = []
        for shift in range(4):
            trial = {i: (q + shift) % 4 for i, q in base.items()}
            wrong = sum(1 if suspects[i] else 3 for i, q in trial.items() if q)
            # Places decide where they clearly do: in steps of three metres' worth, not by noise.
            error = _displacement_error(trial, poses, lenses, pairs)
            choices.append((round(error, 1), wrong, shift, trial))
        for i, q in min(choices, key=lambda c: c[:3])[3].items():
            quarters[i] = q
    return quarters


def without_strays(
    pairs: Sequence[PhotoPair], poses: Sequence[FramePose], lenses: Sequence[Lens], *, slack_px: float
) -> list[PhotoPair]:
    """Pairs whose shared points lie where the photos could have seen them; surfaces that repeat give others, too.

    Args:
        pairs: Shared points.
        poses: By the photos' own data, turns taken into account.
        lenses: One each.
        slack_px: How far a photo may lie from where it says it is, in ground pixels.
    """
    kept = []
    for pair in pairs:
        a = transform(poses[pair.first].ground_from_frame(lenses[pair.first]), pair.first_xy)
        b = transform(poses[pair.second].ground_from_frame(lenses[pair.second]), pair.second_xy)
        if float(np.median(np.linalg.norm(a - b, axis=1))) <= slack_px:
            kept.append(pair)
    return kept


def _relative_quarters(pair: PhotoPair, poses: Sequence[FramePose], lenses: Sequence[Lens]) -> int:
    """How much further the second photo is turned clockwise than its data say, against the first."""
    a = transform(poses[pair.first].ground_from_frame(lenses[pair.first]), pair.first_xy)
    b = transform(poses[pair.second].ground_from_frame(lenses[pair.second]), pair.second_xy)
    za, zb = (((p - p.mean(axis=0)) @ np.array([1.0, 1j])) for p in (a, b))
    # Pixels of a photo that was turned clockwise lie clockwise of where its data put them.
    return round(float(np.angle(np.vdot(za, zb))) / (math.pi / 2)) % 4


def connected_parts(count: int, edges: Sequence[tuple[int, int]] | npt.NDArray[np.intp]) -> list[list[int]]:
    """Groups of the numbers below ``count`` that hang together by edges; in the order of their first members."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.asarray(edges, np.intp).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, group = connected_components(graph, directed=False)
    parts: dict[int, list[int]] = {}
    for i, number in enumerate(group):
        parts.setdefault(int(number), []).append(i)
    return list(parts.values())


def _spread_quarters(
    part: list[int], relative: dict[tuple[int, int], int], points: dict[tuple[int, int], int]
) -> dict[int, int]:
    """From the first photo of a connected part to all others, by pairs that need no turn first, the surest first."""
    known = {part[0]: 0}
    order = sorted(relative, key=lambda edge: (relative[edge] != 0, -points[edge], edge))
    while len(known) < len(part):
        for i, j in order:
            if (i in known) == (j in known):
                continue
            q = relative[i, j]
            known.update({j: (known[i] + q) % 4} if i in known else {i: (known[j] - q) % 4})
            break
    return known


def _nearest_fit(pair: PhotoPair, quarters: int, poses: Sequence[FramePose], lenses: Sequence[Lens]) -> float:
    """Median distance on the ground of shared points, with one of the photos turned so that directions agree."""
    best = np.inf
    for first, second in ((0, quarters), (-quarters % 4, 0)):
        ends = []
        for index, turn, xy in ((pair.first, first, pair.first_xy), (pair.second, second, pair.second_xy)):
            pose = turned(poses[index], lenses[index], turn)
            ends.append(transform(pose.ground_from_frame(lenses[index]), xy))
        best = min(best, float(np.median(np.linalg.norm(ends[0] - ends[1], axis=1))))
    return best


def _displacement_error(
    quarters: dict[int, int], poses: Sequence[FramePose], lenses: Sequence[Lens], pairs: Sequence[PhotoPair]
) -> float:
    """Median distance, in image heights, between shared points under a choice of turns."""
    errors = []
    for pair in pairs:
        if pair.first not in quarters or pair.second not in quarters:
            continue
        ends = []
        for index, points in ((pair.first, pair.first_xy), (pair.second, pair.second_xy)):
            pose = turned(poses[index], lenses[index], quarters[index])
            ends.append(transform(pose.ground_from_frame(lenses[index]), points))
        size = max(lenses[pair.first].size_hw)
        errors.append(float(np.median(np.linalg.norm(ends[0] - ends[1], axis=1))) / size)
    return float(np.mean(errors)) if errors else 0.0


def match_all(
    poses: Sequence[FramePose], lenses: Sequence[Lens], features: Callable[[int], Features], *, slack_px: float,
    progress: Callable[[int, int], None] | None = None,
) -> list[PhotoPair]:  # fmt: skip
    """Shared points of all photos that overlap.

    Args:
        poses: By the photos' own data.
        lenses: One each.
        features: Gives those of a photo; asked for in an order that keeps neighbours together.
        slack_px: See `plan_pairs`.
        progress: Told how many pairs of how many are done.
    """
    plan = plan_pairs(poses, lenses, slack_px=slack_px)
    kept: dict[int, Features] = {}
    found = []
    for number, (i, j) in enumerate(plan):
        for index in (i, j):
            if index not in kept:
                kept[index] = features(index)
        tolerance = 2.0 * max(max(lenses[i].size_hw), max(lenses[j].size_hw)) / _REDUCED_PX
        matches = match_photos(kept[i], kept[j], tolerance_px=max(tolerance, 2.0))
        if matches is not None:
            found.append(PhotoPair(i, j, matches.anchor_xy, matches.frame_xy))
        if len(kept) > 64:  # memory stays small; pairs are sorted by their first photo
            kept = {k: v for k, v in kept.items() if k >= i}
        if progress is not None:
            progress(number + 1, len(plan))
    return found


def level_poses(poses: Sequence[FramePose], quarters: Sequence[int], lenses: Sequence[Lens]) -> list[FramePose]:
    """Poses with the turns of `find_turned` taken into account."""
    return [turned(p, lens, q) for p, q, lens in zip(poses, quarters, lenses, strict=True)]

