"""The direction of a road where its outline is damaged, and where roads meet."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fissura.errors import GeometryError
from fissura.road import Road
from fissura.road.direction import direction_at, orientation_field

HW = (180, 320)
ALONG_DEG = 25.0


def across(angle_deg: float = ALONG_DEG) -> np.ndarray:
    """Distance of each cell from the middle line of a road through the middle of the picture."""
    rows, cols = np.indices(HW)
    angle = np.radians(angle_deg)
    return (cols - HW[1] / 2) * np.sin(angle) + (rows - HW[0] / 2) * np.cos(angle)


def bitten_road() -> np.ndarray:
    """A straight road with a crown over one of its edges, and a lay-by that was taken for road at the other."""
    mask = (np.abs(across()) < 35).view(np.uint8)
    cv2.circle(mask, (200, 120), 30, 0, -1)
    cv2.ellipse(mask, (190, 35), (42, 24), 15, 0, 360, 1, -1)
    return mask > 0


def worst(field: np.ndarray) -> float:
    """Largest error along the road's middle line."""
    steps = np.linspace(-70, 70, 15)[:, None]
    angle = np.radians(ALONG_DEG)
    middle = np.array([HW[0] / 2, HW[1] / 2]) + steps * (-np.sin(angle), np.cos(angle))
    return float(np.abs((direction_at(field, HW, middle) - ALONG_DEG + 90) % 180 - 90).max())


def test_what_most_of_the_edges_say_counts() -> None:
    mask = bitten_road()
    assert worst(orientation_field(mask, crossings=False)) > 4.0  # their mean
    assert worst(orientation_field(mask)) < 2.5


def test_lines_along_a_road_tell_more_than_a_ragged_outline_and_joints_across_it_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    ragged = cv2.GaussianBlur(rng.normal(0, 1, HW), (0, 0), 9)
    mask = np.abs(across() + 12 * ragged / ragged.std()) < 35
    lines = np.abs(across()) % 24 < 1.2
    joints = np.abs(across(ALONG_DEG + 90)) % 30 < 1.2
    light = (4.0 + 0.5 * lines - 0.3 * joints + rng.normal(0, 0.02, HW)).astype(np.float32)
    meeting = np.zeros((45, 80), np.float32)
    alone, with_lines = (worst(orientation_field(mask, x, meeting=meeting)) for x in (None, light))
    assert with_lines < 1.5 and with_lines < alone / 2


def test_a_network_tells_where_roads_meet() -> None:
    mask = np.zeros(HW, np.bool_)
    mask[70:110] = mask[:, 140:180] = True
    arm, middle = np.array([[90.0, 30.0]]), np.array([[90.0, 160.0]])
    upright = np.full((45, 80, 2), (-1.0, 0.0), np.float32)
    meeting = np.zeros((45, 80), np.float32)
    meeting[15:30, 32:48] = 1.0
    road = Road.from_mask(mask, HW, way=upright, meeting=meeting)
    assert abs(road.direction_at(middle)[0] - 90) < 1.0
    assert abs((road.direction_at(arm)[0] + 90) % 180 - 90) < 1.0
    with pytest.raises(GeometryError, match="needed is"):
        Road.from_mask(mask, HW, meeting=np.zeros((4, 4, 2)))
