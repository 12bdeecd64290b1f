"""`FramePose`: where a camera above flat ground was, with six numbers, and their fit to points.

Ground coordinates are *ground pixels*: a pixel in the middle of a flight's first frame, x to the right and y down as
that frame shows them. A homography has eight free numbers; chained over hundreds of frames the two that no camera has
would grow into a bent ground. Six (place, turn, height, tilt) are what a camera can do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fissura.geo.homography import transform

Matrix = npt.NDArray[np.float64]
PointsXY = npt.NDArray[np.float64]
"""Shape (N, 2), (x, y)."""

USUAL_FOCAL_35MM = 24.0
"""35-mm-equivalent focal length of drones' wide cameras; DJI's have 20 to 28."""

COARSEST = 4.0
"""Ground seen so many times smaller than a frame's nearest ground is left out."""
_STEPS = np.array([0.5, 0.5, 1e-4, 1e-4, 1e-4, 1e-4])
_HUBER_PX = 1.5
_ITERATIONS = 6


@dataclass(frozen=True)
class Lens:
    """A pinhole camera.

    Attributes:
        focal_px: Focal length in pixels of the frame.
        size_hw: Rows and columns; the principal point is the centre.
    """

    focal_px: float
    size_hw: tuple[int, int]

    @classmethod
    def from_35mm(cls, focal_35mm: float, size_hw: tuple[int, int]) -> Lens:
        """From a 35-mm-equivalent focal length: 36 mm is the frame's longer side."""
        return cls(focal_35mm / 36.0 * max(size_hw), size_hw)

    @property
    def centre_xy(self) -> tuple[float, float]:
        """Principal point."""
        return (self.size_hw[1] - 1) / 2, (self.size_hw[0] - 1) / 2

    @property
    def corners_xy(self) -> PointsXY:
        """Middles of the pixels in the corners, clockwise from the upper left, shape (4, 2)."""
        h, w = self.size_hw
        return np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], np.float64)


@dataclass(frozen=True)
class FramePose:
    """A camera above flat ground.

    Attributes:
        x: Of the point on the ground below the camera, in ground pixels.
        y: The same, downwards.
        turn: Of the frame's axes against the ground's, radians, clockwise as seen.
        log_height: Logarithm of the height over that of the first frame.
        tilt_x: Radians; positive looks up in the picture (forward): 0 is straight down.
        tilt_y: Radians; positive looks right.
    """

    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    log_height: float = 0.0
    tilt_x: float = 0.0
    tilt_y: float = 0.0

    def ground_from_frame(self, lens: Lens) -> Matrix:
        """Frame pixel (x, y, 1) to ground pixel, shape (3, 3), last row positive in front of the camera."""
        return _ground_from_frame(self.vector(), lens)

    def frame_from_ground(self, lens: Lens) -> Matrix:
        """Inverse of `ground_from_frame`."""
        return np.asarray(np.linalg.inv(self.ground_from_frame(lens)), np.float64)

    def vector(self) -> npt.NDArray[np.float64]:
        """The six numbers."""
        return np.array([self.x, self.y, self.turn, self.log_height, self.tilt_x, self.tilt_y])

    @classmethod
    def from_vector(cls, values: npt.NDArray[np.float64]) -> FramePose:
        """From the six numbers."""
        return cls(*(float(v) for v in values))

    def moved(self, by: npt.NDArray[np.float64]) -> FramePose:
        """With six numbers added, for a prediction."""
        return FramePose.from_vector(self.vector() + by)


def ground_pixel_size(matrix: Matrix, points_xy: PointsXY) -> npt.NDArray[np.float64]:
    """Ground pixels per frame pixel at each point, shape (N,): above 1 the ground is seen smaller."""
    moved = np.column_stack([points_xy, np.ones(len(points_xy))]) @ matrix.T
    # Area scale of a homography: det(H) / w^3.
    return np.asarray(np.sqrt(np.abs(np.linalg.det(matrix) / moved[:, 2] ** 3)), np.float64)


def depth(matrix: Matrix, points_xy: PointsXY) -> npt.NDArray[np.float64]:
    """Third coordinate of points through a homography, shape (N,): positive before a camera, 0 on the horizon."""
    return np.asarray(points_xy @ matrix[2, :2] + matrix[2, 2], np.float64)


def least_depth(matrix: Matrix, lens: Lens, *, coarsest: float = COARSEST) -> float:
    """`depth` from which a frame shows ground at a useful size; a view close to the horizon goes on below it.

    Args:
        matrix: Frame pixel to ground pixel.
        lens: Of the frame.
        coarsest: Largest useful size of a pixel, in times that of the frame's nearest ground.
    """
    corners = lens.corners_xy
    # See `ground_pixel_size`: a pixel's side goes with depth to the power of -3/2.
    return float(max(depth(matrix, corners).max() * coarsest ** (-2 / 3), 0.02))


def fit_pose(
    frame_xy: PointsXY, ground_xy: PointsXY, start: FramePose, lens: Lens, *, tilt: tuple[float, float] = (0.0, 0.0),
    tilt_sigma: float = math.radians(1.0), weights: npt.NDArray[np.float64] | None = None,
) -> tuple[FramePose, npt.NDArray[np.float64]]:  # fmt: skip
    """Least-squares pose from points of the frame and their places on the ground.

    Args:
        frame_xy: In the frame, shape (N >= 6, 2).
        ground_xy: On the ground, shape (N, 2).
        start: First guess, within some tens of pixels.
        lens: The camera.
        tilt: Tilt expected from telemetry or habit, radians.
        tilt_sigma: How sure that is; the prior counts as much as a few points.
        weights: Shape (N,), 1 if left out.
    Returns:
        The pose, and the distance of each point from its place, shape (N,), in ground pixels.
    """
    theta = start.vector()
    base = np.ones(len(frame_xy)) if weights is None else weights
    homogeneous = np.column_stack([frame_xy, np.ones(len(frame_xy))])
    prior_scale = 1.0 / tilt_sigma
    for _ in range(_ITERATIONS):
        residual = _residual(theta, homogeneous, ground_xy, lens)
        jacobian = np.empty((2 * len(frame_xy), 6))
        for k, step in enumerate(_STEPS):
            moved = theta.copy()
            moved[k] += step
            jacobian[:, k] = ((_residual(moved, homogeneous, ground_xy, lens) - residual) / step).ravel()
        distance = np.linalg.norm(residual, axis=1)
        robust = base * np.minimum(1.0, _HUBER_PX / np.maximum(distance, 1e-9))
        w = np.repeat(robust, 2)
        normal = (jacobian * w[:, None]).T @ jacobian
        right = (jacobian * w[:, None]).T @ residual.ravel()
        for index, expected in ((4, tilt[0]), (5, tilt[1])):
            normal[index, index] += prior_scale**2
            right[index] += (theta[index] - expected) * prior_scale**2
        # A trace of damping: with all points in one corner, tilt and place say nearly the same.
        normal[np.diag_indices(6)] *= 1.0 + 1e-9
        change = np.linalg.solve(normal, right)
        theta = theta - change
        if np.abs(change[:2]).max() < 1e-3 and np.abs(change[2:]).max() < 1e-7:
            break
    return FramePose.from_vector(theta), np.linalg.norm(_residual(theta, homogeneous, ground_xy, lens), axis=1)


def pose_from_similarity(matrix: Matrix, like: FramePose, lens: Lens) -> FramePose:
    """The pose with the tilt of ``like`` whose view agrees best with a similarity frame to ground, shape (2, 3)."""
    cx, cy = lens.centre_xy
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    turn = math.atan2(matrix[1, 0], matrix[0, 0])
    centre = matrix[:, :2] @ np.array([cx, cy]) + matrix[:, 2]
    # The size of a pixel in the middle also depends on the tilt.
    level = replace(like, x=0.0, y=0.0, turn=turn, log_height=0.0)
    unit = level.ground_from_frame(lens)
    size = float(ground_pixel_size(unit, np.array([[cx, cy]]))[0])
    pose = replace(level, log_height=math.log(max(scale / size, 1e-6)))
    offset = transform(pose.ground_from_frame(lens), np.array([[cx, cy]]))[0]
    return replace(pose, x=float(centre[0] - offset[0]), y=float(centre[1] - offset[1]))


def _residual(
    theta: npt.NDArray[np.float64], homogeneous: Matrix, ground_xy: PointsXY, lens: Lens
) -> npt.NDArray[np.float64]:
    moved = homogeneous @ _ground_from_frame(theta, lens).T
    return np.asarray(moved[:, :2] / moved[:, 2:] - ground_xy, np.float64)


def _ground_from_frame(theta: npt.NDArray[np.float64], lens: Lens) -> Matrix:
    x, y, turn, log_height, a, b = theta
    f, (cx, cy) = lens.focal_px, lens.centre_xy
    rays = np.array([[1 / f, 0, -cx / f], [0, 1 / f, -cy / f], [0, 0, 1.0]])
    ca, sa, cb, sb = math.cos(a), math.sin(a), math.cos(b), math.sin(b)
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    height = f * math.exp(log_height)
    ct, st = math.cos(turn), math.sin(turn)
    place = np.array([[ct * height, -st * height, x], [st * height, ct * height, y], [0, 0, 1.0]])
    return np.asarray(place @ about_y @ about_x @ rays, np.float64)
