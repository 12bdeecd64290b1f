"""Compare the cracks of a surveyed synthetic flight with those that were drawn, in metres on the ground.

Predicted centrelines go back into the frame that saw them (by the survey's own pose) and from there to the ground by
that frame's true camera: the ground a flight puts together may drift by a few pixels over its length, and what is
counted here is cracks, not drift. Drift is reported beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from fissura.geo.homography import transform
from fissura.survey.flight import LookedFrame
from fissura.survey.merged import MergedGround
from fissura.survey.pose import Lens
from fissura.synth.aerial import AerialCamera, AerialWorld, Ground
from fissura.synth.aerial.painting import HIDDEN

BIN_M = 0.5
"""Truth is cut into pieces of this length to count what is reported twice, so that misses cannot hide it."""


@dataclass(frozen=True)
class Scores:
    """Lengths in metres and shares.

    Attributes:
        truth_m: Drawn length that the flight could see.
        predicted_m: Reported length.
        recall: Share of the drawn length with something reported within the tolerance.
        precision: Share of the reported length with something drawn within the tolerance.
        twice: Length reported more than once, over the drawn length.
    """

    truth_m: float
    predicted_m: float
    recall: float
    precision: float
    twice: float


def sample_line(points: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Points every ``step`` along a line, shape (N, 2), and the length each stands for."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    count = max(1, round(along[-1] / step))
    at = (np.arange(count) + 0.5) * along[-1] / count
    sampled = np.column_stack([np.interp(at, along, points[:, k]) for k in (0, 1)])
    return sampled, np.full(count, along[-1] / count)


def predicted_points(
    grounds: Sequence[MergedGround], looked: Sequence[LookedFrame], cameras: Sequence[AerialCamera], lens: Lens
) -> tuple[np.ndarray, np.ndarray]:
    """Reported centrelines in metres (east, north), and the length each point stands for."""
    middle = np.array([lens.centre_xy])
    centres = np.array([transform(f.pose.ground_from_frame(lens), middle)[0] for f in looked])
    points, weights = [], []
    for ground in grounds:
        shift = np.array(ground.origin_rc[::-1], np.float64)
        for branch in ground.measurement.graph.branches:
            ground_xy, _ = sample_line(branch.points_rc[:, ::-1] + shift, 0.5)
            nearest = np.linalg.norm(ground_xy[:, None] - centres[None], axis=2).argmin(axis=1)
            metres = np.empty_like(ground_xy)
            for k in np.unique(nearest):
                own, frame = nearest == k, looked[k]
                frame_xy = transform(frame.pose.frame_from_ground(lens), ground_xy[own])
                metres[own] = transform(cameras[frame.index].ground_from_image(), frame_xy)
            gaps = np.linalg.norm(np.diff(metres, axis=0), axis=1)
            step = float(np.median(gaps)) if len(gaps) else 0.0
            points.append(metres)
            weights.append(np.full(len(metres), step))
    if not points:
        return np.empty((0, 2)), np.empty(0)
    return np.concatenate(points), np.concatenate(weights)


def truth_points(
    world: AerialWorld, ground: Ground, looked: Sequence[LookedFrame], cameras: Sequence[AerialCamera], step_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drawn centrelines that the looks could see: metres, length each point stands for, width in millimetres."""
    points, weights, widths = [], [], []
    for crack in world.cracks:
        sampled, length = sample_line(crack.points_en, step_m)
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(crack.points_en, axis=0), axis=1))])
        at = (np.arange(len(sampled)) + 0.5) * along[-1] / len(sampled)
        points.append(sampled)
        weights.append(length)
        widths.append(np.interp(at, along, crack.width_mm))
    every, weight, width = np.concatenate(points), np.concatenate(weights), np.concatenate(widths)
    seen = np.zeros(len(every), bool)
    for frame in looked:
        camera = cameras[frame.index]
        xy = transform(camera.image_from_ground(), every)
        h, w = camera.image_hw
        seen |= (xy[:, 0] > 8) & (xy[:, 0] < w - 9) & (xy[:, 1] > 8) & (xy[:, 1] < h - 9)
    columns, rows = np.rint(ground.grid.pixels(every)).astype(int).T
    h, w = ground.labels.shape
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    hidden = np.ones(len(every), bool)
    hidden[inside] = (ground.labels[rows[inside], columns[inside]] & HIDDEN) > 0
    keep = seen & ~hidden
    return every[keep], weight[keep], width[keep]


def score(
    predicted: np.ndarray, predicted_m: np.ndarray, truth: np.ndarray, truth_m: np.ndarray, *, tolerance_m: float,
    forgiven: np.ndarray | None = None,
) -> Scores:  # fmt: skip
    """Length precision, recall and double counting.

    Args:
        predicted: Shape (N, 2), metres.
        predicted_m: Length each stands for.
        truth: Shape (M, 2).
        truth_m: Length each stands for.
        tolerance_m: How far a reported point may be from a drawn one.
        forgiven: Drawn points that need not be found but are no false alarm (too thin, or partly hidden).
    """
    if not len(predicted) or not len(truth):
        return Scores(float(truth_m.sum()), float(predicted_m.sum()), 0.0, float(not len(predicted)), 0.0)
    allowed = truth if forgiven is None or not len(forgiven) else np.concatenate([truth, forgiven])
    hit = cKDTree(predicted).query(truth)[0] <= tolerance_m
    right = cKDTree(allowed).query(predicted)[0] <= tolerance_m
    # Each reported point belongs to the drawn point next to it; a bin of truth that gets more than its own length has
    # been reported twice there. A tenth of slack: centrelines wander more than the drawn ones.
    lengths = truth_m if forgiven is None else np.concatenate([truth_m, np.full(len(forgiven), np.median(truth_m))])
    distance, owner = cKDTree(allowed).query(predicted)
    bins = np.floor(allowed / BIN_M).astype(np.int64)
    keys, index = np.unique(bins, axis=0, return_inverse=True)
    own = np.bincount(index.ravel(), weights=lengths, minlength=len(keys))
    near = distance <= 4 * tolerance_m
    got = np.bincount(index.ravel()[owner[near]], weights=predicted_m[near], minlength=len(keys))
    twice = np.maximum(got - 1.1 * own - 0.02, 0.0).sum()
    return Scores(
        float(truth_m.sum()), float(predicted_m.sum()), float(truth_m[hit].sum() / truth_m.sum()),
        float(predicted_m[right].sum() / predicted_m.sum()), float(twice / truth_m.sum()),
    )  # fmt: skip
