"""The homography against a pinhole projection that is written independently, point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.geo.view import find_ground_homography, up_azimuth_deg

FOCAL, SIZE, HEIGHT = 900.0, (600, 800), 12.0


def project(ground_m, pitch_deg, roll_deg):
    """Ground (east, north) in metres below a camera that heads north, to pixel (row, column).

    From basis vectors: look direction, then right and up turned about it. No matrices shared with the code.
    """
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    look = np.array([0.0, math.cos(pitch), math.sin(pitch)])  # east, north, up
    level_right = np.array([1.0, 0.0, 0.0])
    level_up = np.cross(level_right, look)
    right = math.cos(roll) * level_right - math.sin(roll) * level_up
    up = math.cos(roll) * level_up + math.sin(roll) * level_right
    pixels = []
    for east, north in ground_m:
        ray = np.array([east, north, -HEIGHT])
        depth = ray @ look
        assert depth > 0
        pixels.append(
            [(SIZE[0] - 1) / 2 - FOCAL * (ray @ up) / depth, (SIZE[1] - 1) / 2 + FOCAL * (ray @ right) / depth]
        )
    return np.array(pixels)


def look_at_m(pitch_deg):
    return HEIGHT / math.tan(math.radians(-pitch_deg)) if pitch_deg > -90 else 0.0


@pytest.mark.parametrize("pitch", [-90.0, -85.0, -60.0, -35.0])
@pytest.mark.parametrize("roll", [0.0, 3.0, -8.0])
def test_pixels_land_where_they_came_from(pitch, roll):
    middle = look_at_m(pitch)
    ground = np.array([[e, middle + n] for e in (-2.0, 0.0, 1.5) for n in (-1.0, 0.0, 2.5)])
    scale = GroundScale(find_ground_homography(FOCAL, SIZE, HEIGHT, pitch_deg=pitch, roll_deg=roll))
    pixels = project(ground, pitch, roll)
    assert scale.on_ground(pixels).all()
    right, down = scale.to_ground(pixels).T / 1000.0
    azimuth = math.radians(up_azimuth_deg(pitch, roll))
    east = right * math.cos(azimuth) - down * math.sin(azimuth)
    north = -right * math.sin(azimuth) - down * math.cos(azimuth)
    np.testing.assert_allclose(np.column_stack([east, north]), ground, atol=1e-9)


@pytest.mark.parametrize("pitch", [-90.0, -50.0])
def test_up_in_the_picture_is_up_on_the_ground(pitch):
    scale = GroundScale(find_ground_homography(FOCAL, SIZE, HEIGHT, pitch_deg=pitch, roll_deg=12.0))
    centre = np.array([[(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2]])
    across_up = scale.jacobian(centre)[0] @ np.array([0.0, -1.0])
    assert across_up[0] == pytest.approx(0.0, abs=1e-9)
    assert across_up[1] < 0


def test_straight_down_is_an_even_scale():
    matrix = find_ground_homography(FOCAL, SIZE, HEIGHT)
    scale = GroundScale(matrix)
    points = np.array([[0.0, 0.0], [599.0, 799.0], [300.0, 20.0]])
    np.testing.assert_allclose(scale.gsd_mm(points), HEIGHT * 1000 / FOCAL, rtol=1e-12)
    np.testing.assert_allclose(scale.to_ground(np.array([[299.5, 399.5]])), 0.0, atol=1e-9)


@pytest.mark.parametrize(("roll", "azimuth"), [(0.0, 30.0), (180.0, -150.0), (90.0, 120.0), (-90.0, -60.0)])
def test_roll_turns_the_picture_of_a_view_straight_down(roll, azimuth):
    assert up_azimuth_deg(-90.0, roll, 30.0) == pytest.approx(azimuth)


@pytest.mark.parametrize("pitch", [-89.9, -60.0, -10.0, -95.0])
def test_without_roll_up_is_where_the_camera_heads(pitch):
    assert up_azimuth_deg(pitch, 0.0, 77.0) == pytest.approx(77.0)


def test_the_horizon_parts_ground_from_sky():
    pitch = -10.0
    scale = GroundScale(find_ground_homography(FOCAL, SIZE, HEIGHT, pitch_deg=pitch))
    horizon = (SIZE[0] - 1) / 2 - FOCAL * math.tan(math.radians(-pitch))
    rows = np.array([[horizon - 0.5, 10.0], [horizon + 0.5, 10.0], [599.0, 400.0]])
    assert scale.on_ground(rows).tolist() == [False, True, True]


def test_scale_grows_towards_the_horizon_as_the_geometry_says():
    pitch = -45.0
    scale = GroundScale(find_ground_homography(FOCAL, SIZE, HEIGHT, pitch_deg=pitch))
    centre = np.array([[(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2]])
    jacobian = scale.jacobian(centre)[0]
    across, along = HEIGHT * 1000 / FOCAL / math.cos(math.pi / 4), HEIGHT * 1000 / FOCAL / math.cos(math.pi / 4) ** 2
    np.testing.assert_allclose(jacobian, [[across, 0.0], [0.0, along]], atol=1e-9)
    # A crack that runs along the view is as wide as the pixels across it, one across the view as those along it.
    along_view, across_view = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert scale.across(centre, along_view)[0] == pytest.approx(across)
    assert scale.across(centre, across_view)[0] == pytest.approx(along)


def test_area_of_the_ground_is_that_of_its_outline():
    corners = np.array([[-0.5, -0.5], [-0.5, SIZE[1] - 0.5], [SIZE[0] - 0.5, SIZE[1] - 0.5], [SIZE[0] - 0.5, -0.5]])
    for pitch in (-90.0, -60.0, -50.0):
        scale = GroundScale(find_ground_homography(FOCAL, SIZE, HEIGHT, pitch_deg=pitch))
        (x, y), ahead = scale.to_ground(corners).T / 1000, [1, 2, 3, 0]
        true = abs(np.dot(x, y[ahead]) - np.dot(y, x[ahead])) / 2
        assert scale.area_m2(SIZE) == pytest.approx(true, rel=1e-4)
        seen = np.zeros(SIZE, bool)
        seen[:300] = True
        upper = scale.area_m2(SIZE, seen)
        assert upper + scale.area_m2(SIZE, ~seen) == pytest.approx(true, rel=1e-4)
        assert upper > true / 2 if pitch > -90.0 else upper == pytest.approx(true / 2)
    horizon = GroundScale(find_ground_homography(FOCAL, SIZE, HEIGHT, pitch_deg=-10.0))
    assert horizon.area_m2(SIZE) is None
