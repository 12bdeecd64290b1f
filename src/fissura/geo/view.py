"""A pinhole camera above level ground: the homography from its pixels to the ground, and where it looks.

Angles are DJI's: pitch -90 is straight down and 0 level, roll turns about the view direction, yaw is clockwise from
north. They apply in the order roll, pitch, yaw, so a roll of 180 at pitch -90 is a picture turned by 180, as it
should be (some gimbals write that when they pass the vertical).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def find_ground_homography(
    focal_px: float, size_hw: tuple[int, int], height_m: float, *, pitch_deg: float = -90.0, roll_deg: float = 0.0
) -> Matrix:
    """Pixel (x, y, 1) to ground millimetres (right, down), shape (3, 3).

    The origin is the point below the camera. "Up" on the ground is where the picture's upper edge points at its
    centre. The third coordinate is positive on the ground and not above the horizon.

    Args:
        focal_px: Focal length, in pixels.
        size_hw: Rows and columns; the principal point is the centre.
        height_m: Camera above the ground, in metres.
        pitch_deg: View direction, -90 (down) to 0 (level).
        roll_deg: Turn about the view direction.
    """
    turned = _rotation(pitch_deg, roll_deg)
    pixel_to_ray = _pixel_to_ray(focal_px, size_hw)
    north, east, down = turned @ pixel_to_ray
    height_mm = height_m * 1000.0
    ground = np.stack([height_mm * east, -height_mm * north, down])
    # Turned so that the ground's axes follow the picture's.
    angle = math.radians(up_azimuth_deg(pitch_deg, roll_deg))
    cos, sin = math.cos(angle), math.sin(angle)
    return np.asarray(np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ ground, np.float64)


def up_azimuth_deg(pitch_deg: float, roll_deg: float, yaw_deg: float = 0.0) -> float:
    """Direction on the ground of the picture's upper edge at its centre, clockwise from north, -180 to 180."""
    turned = _rotation(pitch_deg, roll_deg)
    forward, up = turned[:, 0], -turned[:, 2]
    # Where the ground point moves when the ray forward is moved a little towards up.
    north, east = (up[:2] * forward[2] - forward[:2] * up[2])[:2]
    return (math.degrees(math.atan2(east, north)) + yaw_deg + 180.0) % 360.0 - 180.0


def off_nadir_deg(pitch_deg: float) -> float:
    """Angle between the view direction and straight down."""
    return abs(pitch_deg + 90.0)


def nadir_in_camera(pitch_deg: float, roll_deg: float) -> tuple[float, float, float]:
    """The direction straight down as the camera sees it: unit vector (right, down, forward) of the picture."""
    forward, right, down = _rotation(pitch_deg, roll_deg)[2]
    return float(right), float(down), float(forward)


def _pixel_to_ray(focal_px: float, size_hw: tuple[int, int]) -> Matrix:
    """Pixel (x, y, 1) to a ray (forward, right, down) of the camera."""
    centre_y, centre_x = (size_hw[0] - 1) / 2, (size_hw[1] - 1) / 2
    return np.array([
        [0.0, 0.0, 1.0],
        [1 / focal_px, 0.0, -centre_x / focal_px],
        [0.0, 1 / focal_px, -centre_y / focal_px],
    ])  # fmt: skip


def _rotation(pitch_deg: float, roll_deg: float) -> Matrix:
    """Camera (forward, right, down) to world (north, east, down) for a camera that heads north."""
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    about_right = np.array([
        [math.cos(pitch), 0.0, math.sin(pitch)],
        [0.0, 1.0, 0.0],
        [-math.sin(pitch), 0.0, math.cos(pitch)],
    ])  # fmt: skip
    about_view = np.array([
        [1.0, 0.0, 0.0],
        [0.0, math.cos(roll), -math.sin(roll)],
        [0.0, math.sin(roll), math.cos(roll)],
    ])  # fmt: skip
    return np.asarray(about_right @ about_view, np.float64)
