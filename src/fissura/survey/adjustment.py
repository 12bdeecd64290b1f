"""Put the photos of a flight together: poses that agree with their shared points and with what each says of itself.

A small bundle adjustment above flat ground. Unknown are the six numbers of each photo, and two that all share: by how
much the scale (height above take-off, focal length) and the compass are wrong for the whole flight. Errors of the
result come from the same equations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fissura.geo.gsd import SIGMA_TILT_DEG
from fissura.survey.photo_match import PhotoPair
from fissura.survey.photo_pose import SIGMA_YAW_DEG, PosePrior
from fissura.survey.pose import FramePose, Lens, PointsXY

_SIGMA_MATCH = 0.0015
"""Of a photo's longer side, per point; points of one pair share the errors of lens and terrain."""
_HUBER = 1.5
_ITERATIONS = 20
_ANNEALING = 0.6
"""Factor from one iteration to the next on the distance from which a pair of photos counts as a stray."""
_STRAY_SIGMAS = 5.0
_STEPS = np.array([0.5, 0.5, 1e-5, 1e-5, 1e-5, 1e-5])

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AdjustedPhotos:
    """Photos in their places.

    Attributes:
        poses: One a photo.
        covariances: Of each pose's six numbers, shape (N, 6, 6), in units of `FramePose` on this ground.
        residual_px: Median distance of shared points from each other, in ground pixels; NaN without any.
        pairs: Photos that were joined by shared points; strays are left out.
    """

    poses: tuple[FramePose, ...]
    covariances: npt.NDArray[np.float64]
    residual_px: float
    pairs: tuple[tuple[int, int], ...] = ()

    def only(self, members: Sequence[int]) -> AdjustedPhotos:
        """Some of the photos, in that order; pairs within them."""
        place = {old: new for new, old in enumerate(members)}
        pairs = tuple((place[i], place[j]) for i, j in self.pairs if i in place and j in place)
        return AdjustedPhotos(
            tuple(self.poses[i] for i in members), self.covariances[list(members)], self.residual_px, pairs
        )

    def scale_sigma(self, part: Sequence[int]) -> float:
        """Relative standard error of lengths on the ground of some photos: what all share, and what each adds."""
        return float(np.median(np.sqrt(self.covariances[list(part), 3, 3])))

    def point_sigma_px(self, index: int, lens: Lens, frame_xy: PointsXY) -> Vector:
        """Standard error along one axis of points seen in a photo, shape (N,), in ground pixels.

        What all photos of the flight share (see `PosePrior.sigma_common_m`) is not in it.
        """
        theta = self.poses[index].vector()
        jacobian = _jacobian(theta, lens, frame_xy)
        spread = np.einsum("nij,jk,nlk->nil", jacobian, self.covariances[index], jacobian)
        return np.asarray(np.sqrt(np.trace(spread, axis1=1, axis2=2) / 2), np.float64)


def adjust_photos(
    poses: Sequence[FramePose], priors: Sequence[PosePrior], pairs: Sequence[PhotoPair], *, gsd_mm: float
) -> AdjustedPhotos:
    """Least-squares poses with their errors.

    Args:
        poses: Where each photo is by its own data, on ground of ``gsd_mm``.
        priors: How sure that is.
        pairs: Points that photos share.
        gsd_mm: Side of a ground pixel.
    """
    from scipy.sparse.linalg import splu

    fit = _fit(poses, priors, pairs, gsd_mm)
    used = fit.used
    system, _ = _normal_equations(
        fit.theta, fit.shared, fit.expected, fit.weights, fit.common, priors, used, np.ones(len(used))
    )
    covariances = _covariances(splu(system), len(poses))
    distances = [np.linalg.norm(_difference(fit.theta, priors, pair), axis=1) for pair in used]
    residual = float(np.median(np.concatenate(distances))) if distances else float("nan")
    return AdjustedPhotos(fit.poses, covariances, residual, tuple((pair.first, pair.second) for pair in used))


def adjust_poses(
    poses: Sequence[FramePose], priors: Sequence[PosePrior], pairs: Sequence[PhotoPair], *, gsd_mm: float
) -> tuple[FramePose, ...]:
    """The poses of `adjust_photos` alone: for hundreds of photos most of the time goes into the errors."""
    return _fit(poses, priors, pairs, gsd_mm).poses


@dataclass(frozen=True, eq=False)
class _Fit:
    """The end of the least squares: the unknowns, what they started from, and the pairs that count."""

    theta: Vector
    shared: Vector
    expected: Vector
    weights: Vector
    common: Vector
    used: tuple[PhotoPair, ...]

    @property
    def poses(self) -> tuple[FramePose, ...]:
        return tuple(FramePose.from_vector(t) for t in self.theta)


def _fit(
    poses: Sequence[FramePose], priors: Sequence[PosePrior], pairs: Sequence[PhotoPair], gsd_mm: float
) -> _Fit:
    from scipy.sparse.linalg import splu

    expected = np.array([p.vector() for p in poses])
    weights = np.array([_prior_weights(p, gsd_mm) for p in priors])
    common = np.array([
        max(float(np.median([p.sigma_scale for p in priors])), 1e-4) ** -2,
        math.radians(SIGMA_YAW_DEG) ** -2,
    ])  # fmt: skip
    theta, shared = expected.copy(), np.zeros(2)
    reach, trust = 1.0, np.ones(len(pairs))
    for _ in range(_ITERATIONS):
        trust = _trust(theta, priors, pairs, reach)
        system, right = _normal_equations(theta, shared, expected, weights, common, priors, pairs, trust)
        change = splu(system).solve(right)
        theta -= change[:-2].reshape(-1, 6)
        shared -= change[-2:]
        moved = np.abs(change[:-2].reshape(-1, 6)[:, :2]).max(initial=0.0)
        if moved < 0.01 and reach < 1e-3:
            break
        reach *= _ANNEALING
    used = tuple(pair for pair, weight in zip(pairs, trust, strict=True) if weight > 0.25)
    return _Fit(theta, shared, expected, weights, common, used)


def _trust(theta: Vector, priors: Sequence[PosePrior], pairs: Sequence[PhotoPair], reach: float) -> Vector:
    """How far each pair is believed, 0 to 1.

    Surfaces that repeat (paving, crops, a fence) give pairs whose points agree with each other and not with the
    flight. At first a pair may be as wrong as the photos' own data, at the end only as wrong as its points are
    (Geman and McClure's weights, annealed).
    """
    out = np.empty(len(pairs))
    for k, pair in enumerate(pairs):
        first, second = priors[pair.first], priors[pair.second]
        angle = math.radians(math.hypot(SIGMA_YAW_DEG, SIGMA_TILT_DEG))
        metres = math.hypot(first.sigma_place_m, second.sigma_place_m, angle * second.height_m)
        start = 1000.0 * metres / second.gsd_mm
        scale = max(start * reach, _STRAY_SIGMAS * _SIGMA_MATCH * max(second.lens.size_hw))
        off = float(np.median(np.linalg.norm(_reprojection(theta, priors, pair), axis=1)))
        out[k] = (scale**2 / (scale**2 + off**2)) ** 2
    return out


def _prior_weights(prior: PosePrior, gsd_mm: float) -> Vector:
    """Inverse variances of the six numbers."""
    place = prior.sigma_place_m * 1000.0 / gsd_mm
    tilt = math.radians(SIGMA_TILT_DEG)
    sigma = np.array([
        place, place, math.radians(SIGMA_YAW_DEG), max(prior.sigma_height, 1e-4), tilt, tilt
    ])  # fmt: skip
    return np.asarray(sigma**-2, np.float64)


def _normal_equations(
    theta: Vector, shared: Vector, expected: Vector, weights: Vector, common: Vector, priors: Sequence[PosePrior],
    pairs: Sequence[PhotoPair], trust: Vector,
) -> tuple[object, Vector]:  # fmt: skip
    """Matrix (sparse) and right side for the change of all numbers; the shared two come last."""
    from scipy.sparse import coo_matrix

    count = 6 * len(theta) + 2
    rows: list[npt.NDArray[np.intp]] = []
    columns: list[npt.NDArray[np.intp]] = []
    values: list[Vector] = []
    right = np.zeros(count)

    def add(at: npt.NDArray[np.intp], jacobian: Vector, residual: Vector, weight: Vector) -> None:
        block = (jacobian * weight[:, None]).T @ jacobian
        grid = np.meshgrid(at, at, indexing="ij")
        rows.append(grid[0].ravel())
        columns.append(grid[1].ravel())
        values.append(block.ravel())
        np.add.at(right, at, (jacobian * weight[:, None]).T @ residual)

    for i in range(len(theta)):
        residual = theta[i] - expected[i]
        jacobian = np.zeros((6, 8))
        jacobian[:, :6] = np.eye(6)
        # The direction and the height that a photo states are wrong by what all share.
        jacobian[2, 7] = jacobian[3, 6] = -1.0
        residual[2] -= shared[1]
        residual[3] -= shared[0]
        add(np.r_[6 * i : 6 * i + 6, count - 2, count - 1], jacobian, residual, weights[i])
    add(np.array([count - 2, count - 1]), np.eye(2), shared, common)
    for pair, share in zip(pairs, trust, strict=True):
        residual = _reprojection(theta, priors, pair)
        jacobian = _pair_jacobian(theta, priors, pair)
        sigma = _SIGMA_MATCH * max(priors[pair.second].lens.size_hw)
        distance = np.linalg.norm(residual, axis=1)
        robust = np.minimum(1.0, _HUBER * sigma / np.maximum(distance, 1e-9))
        # A pair counts as ten points, however many it has: their errors are not independent.
        weight = share * min(1.0, 10.0 / len(residual)) / sigma**2 * robust
        at = np.r_[6 * pair.first : 6 * pair.first + 6, 6 * pair.second : 6 * pair.second + 6]
        add(at, jacobian, residual.ravel(), np.repeat(weight, 2))
    matrix = coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)
    )
    return matrix.tocsc(), right


def _difference(theta: Vector, priors: Sequence[PosePrior], pair: PhotoPair) -> Vector:
    """Shared points of a pair on the ground, first less second, shape (N, 2)."""
    a = _ground(theta[pair.first], priors[pair.first].lens, pair.first_xy)
    return a - _ground(theta[pair.second], priors[pair.second].lens, pair.second_xy)


def _reprojection(theta: Vector, priors: Sequence[PosePrior], pair: PhotoPair) -> Vector:
    """Where the second photo would show the first's points, less where it does, in its pixels, shape (N, 2).

    In pixels of a photo: on the ground, points would agree best on a ground that shrinks to nothing.
    """
    ground = _ground(theta[pair.first], priors[pair.first].lens, pair.first_xy)
    back = np.linalg.inv(FramePose.from_vector(theta[pair.second]).ground_from_frame(priors[pair.second].lens))
    moved = np.column_stack([ground, np.ones(len(ground))]) @ back.T
    return np.asarray(moved[:, :2] / moved[:, 2:] - pair.second_xy, np.float64)


def _pair_jacobian(theta: Vector, priors: Sequence[PosePrior], pair: PhotoPair) -> Vector:
    """`_reprojection` by the six numbers of the first and of the second photo, shape (2 N, 12)."""
    columns = []
    for index in (pair.first, pair.second):
        for k, step in enumerate(_STEPS):
            ends = []
            for sign in (1.0, -1.0):
                moved = theta.copy()
                moved[index, k] += sign * step
                ends.append(_reprojection(moved, priors, pair).ravel())
            columns.append((ends[0] - ends[1]) / (2 * step))
    return np.stack(columns, axis=1)


def _ground(theta: Vector, lens: Lens, frame_xy: PointsXY) -> Vector:
    moved = np.column_stack([frame_xy, np.ones(len(frame_xy))]) @ FramePose.from_vector(theta).ground_from_frame(lens).T
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float64)


def _jacobian(theta: Vector, lens: Lens, frame_xy: PointsXY) -> Vector:
    """Ground point by the six numbers, shape (N, 2, 6)."""
    columns = []
    for k, step in enumerate(_STEPS):
        change = np.zeros(6)
        change[k] = step
        columns.append((_ground(theta + change, lens, frame_xy) - _ground(theta - change, lens, frame_xy)) / (2 * step))
    return np.stack(columns, axis=2)


def _covariances(solver: object, count: int) -> npt.NDArray[np.float64]:
    """Blocks of the inverse on the diagonal: each photo's six."""
    size = 6 * count + 2
    blocks = np.empty((count, 6, 6))
    for i in range(count):
        unit = np.zeros((size, 6))
        unit[6 * i + np.arange(6), np.arange(6)] = 1.0
        blocks[i] = solver.solve(unit)[6 * i : 6 * i + 6]  # type: ignore[attr-defined]
    return blocks
