"""Targets drawn through a known view: the scale must come back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from fissura.errors import SettingsError
from fissura.geo.gsd import find_ground_scale
from fissura.geo.scale import GroundScale
from fissura.geo.targets import ArucoMarker, Checkerboard, find_target_scale, parse_target
from fissura.geo.view import find_ground_homography

SIZE = (360, 480)
MIDDLE = np.array([[179.5, 239.5]])
BOARD = Checkerboard(9, 6, 25.0)
GRID = np.array([[r, c] for r in (15.0, 180.0, 345.0) for c in (15.0, 240.0, 465.0)])


def draw(scale, pattern, size_hw=SIZE, oversampling=3):
    """A picture of ``pattern(x_mm, y_mm) -> 0 to 255`` on the ground, through ``scale``, every pixel an average."""
    step = (np.arange(oversampling) + 0.5) / oversampling - 0.5
    rows = (np.arange(size_hw[0])[:, None] + step).ravel()
    columns = (np.arange(size_hw[1])[:, None] + step).ravel()
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    x_mm, y_mm = scale.to_ground(points).T
    values = pattern(x_mm, y_mm).reshape(size_hw[0], oversampling, size_hw[1], oversampling).mean(axis=(1, 3))
    grey = cv2.GaussianBlur(values.astype(np.float32), (0, 0), 0.7)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)


def checkerboard(x_mm, y_mm):
    column, row = np.floor(x_mm / 25.0 + 5.0), np.floor(y_mm / 25.0 + 3.5)
    inside = (column >= 0) & (column < 10) & (row >= 0) & (row < 7)
    return np.where(inside & ((column + row) % 2 == 0), 20.0, 230.0)


def marker(number, side_mm, at=(0.0, 0.0)):
    cells = cv2.aruco.generateImageMarker(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50), number, 6)

    def pattern(x_mm, y_mm):
        column, row = (
            np.floor(((v - a) / side_mm + 0.5) * 6).astype(int) for v, a in zip((x_mm, y_mm), at, strict=True)
        )
        inside = (column >= 0) & (column < 6) & (row >= 0) & (row < 6)
        return np.where(inside, cells[np.clip(row, 0, 5), np.clip(column, 0, 5)] * 0.8 + 20.0, 230.0)

    return pattern


def view(pitch, roll=0.0, gsd_mm=0.7):
    """The board's middle is near the picture's middle: the ground is shifted so."""
    height = gsd_mm * 600 / 1000
    matrix = find_ground_homography(600.0, SIZE, height, pitch_deg=pitch, roll_deg=roll)
    middle = GroundScale(matrix).to_ground(MIDDLE)[0]
    shift = np.array([[1.0, 0.0, -middle[0]], [0.0, 1.0, -middle[1]], [0.0, 0.0, 1.0]])
    return GroundScale(shift @ matrix)


@pytest.mark.parametrize("roll", [0.0, 25.0, 90.0, 180.0])
def test_checkerboard_square_to_the_view(roll):
    truth = view(-90.0, roll)
    # Turn the board in the picture, not the ground's axes.
    angle = np.radians(roll)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    scale = find_target_scale(draw(GroundScale(turn @ truth.matrix), checkerboard), BOARD)
    assert scale.source == "checkerboard"
    np.testing.assert_allclose(scale.gsd_mm(GRID), 0.7, rtol=2e-3)
    assert 0.001 < scale.sigma < 0.01
    np.testing.assert_allclose(scale.to_ground(MIDDLE), 0.0, atol=1e-9)
    jacobian = scale.jacobian(MIDDLE)[0]
    assert jacobian[0, 0] > 0 and jacobian[1, 1] > 0 and abs(jacobian[1, 0]) < 1e-9


@pytest.mark.parametrize(("pitch", "roll"), [(-60.0, 0.0), (-50.0, 10.0), (-75.0, -5.0)])
def test_checkerboard_at_an_angle(pitch, roll):
    truth = view(pitch, roll)
    scale = find_target_scale(draw(truth, checkerboard), BOARD)
    assert "at an angle" in scale.notes[0]
    error = scale.gsd_mm(GRID) / truth.gsd_mm(GRID) - 1
    assert np.abs(error).max() < 0.025
    tangents = np.array([[0.6, 0.8]] * len(GRID))
    np.testing.assert_allclose(scale.across(GRID, tangents), truth.across(GRID, tangents), rtol=0.025)
    assert np.sqrt(np.mean(error**2)) < 2 * scale.sigma < 0.03


def test_aruco():
    truth = view(-90.0)
    picture = draw(truth, marker(7, 100.0))
    scale = find_target_scale(picture, parse_target("aruco:DICT_4X4_50:7:100mm"))
    assert scale.source == "aruco"
    np.testing.assert_allclose(scale.gsd_mm(GRID), 0.7, rtol=5e-3)
    assert find_target_scale(picture, ArucoMarker("DICT_4X4_50", 8, 100.0)) is None
    doubled = find_target_scale(picture, parse_target("aruco:DICT_4X4_50:any:200mm"))
    np.testing.assert_allclose(doubled.gsd_mm(GRID), 2 * scale.gsd_mm(GRID))


def test_aruco_at_an_angle():
    truth = view(-55.0)
    scale = find_target_scale(draw(truth, marker(3, 180.0)), ArucoMarker("DICT_4X4_50", 3, 180.0))
    error = scale.gsd_mm(GRID) / truth.gsd_mm(GRID) - 1
    assert np.sqrt(np.mean(error**2)) < 3 * scale.sigma
    assert abs(scale.gsd_mm(MIDDLE)[0] / truth.gsd_mm(MIDDLE)[0] - 1) < 0.02


def test_a_small_target_is_less_sure():
    small = find_target_scale(draw(view(-90.0), marker(7, 40.0)), ArucoMarker("DICT_4X4_50", 7, 40.0))
    large = find_target_scale(draw(view(-90.0), marker(7, 200.0)), ArucoMarker("DICT_4X4_50", 7, 200.0))
    assert small.sigma > 3 * large.sigma


def test_the_largest_of_several_markers():
    near, far = marker(1, 120.0, (-100.0, 0.0)), marker(2, 60.0, (100.0, 0.0))
    picture = draw(view(-90.0), lambda x, y: np.minimum(near(x, y), far(x, y)))
    scale = find_target_scale(picture, ArucoMarker("DICT_4X4_50", None, 120.0))
    np.testing.assert_allclose(scale.gsd_mm(GRID), 0.7, rtol=0.01)


def test_nothing_there():
    blank = np.full((*SIZE, 3), 128, np.uint8)
    assert find_target_scale(blank, BOARD) is None
    assert find_target_scale(blank, ArucoMarker("DICT_4X4_50", None, 10.0)) is None


def test_a_target_beats_the_camera_data_but_not_the_given_number(tmp_path):
    picture = draw(view(-90.0), checkerboard)
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    for rgb in (None, picture):
        scale = find_ground_scale(path, target="checkerboard:9x6:25mm", distance_m=9.0, rgb=rgb).scale
        assert scale.source == "checkerboard"
    assert find_ground_scale(path, target="checkerboard:9x6:25mm", gsd_mm=3.0).scale.source == "given"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("checkerboard:9x6:25mm", BOARD),
        ("Checkerboard:7X5:2.5cm", Checkerboard(7, 5, 25.0)),
        ("aruco:dict_5x5_100:ANY:0.1m", ArucoMarker("DICT_5X5_100", None, 100.0)),
        ("aruco:DICT_APRILTAG_36h11:12:80mm", ArucoMarker("DICT_APRILTAG_36h11", 12, 80.0)),
    ],
)
def test_parse(text, target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not understood"), ("chess", "not understood"), ("checkerboard:9x6", "not understood"),
        ("checkerboard:9:25mm", "inner corners"), ("checkerboard:2x6:25mm", "inner corners"),
        ("checkerboard:9x6:25", "no length"), ("checkerboard:9x6:0mm", "no length"),
        ("checkerboard:9x6:-3mm", "no length"), ("aruco:NO:1:5cm", "no ArUco dictionary"),
        ("aruco:DICT_4X4_50:one:5cm", "no marker number"), ("aruco:DICT_4X4_50:1:5", "no length"),
    ],
)  # fmt: skip
def test_parse_errors_say_what_is_wrong(text, complaint):
    with pytest.raises(SettingsError, match=f"--target.*{complaint}"):
        parse_target(text)


@pytest.mark.parametrize("name", ["4X4_50", "4x4_50", "dict_4x4_50", "DICT_4X4_50"])
def test_a_dictionary_has_its_name_with_or_without_dict(name):
    assert parse_target(f"aruco:{name}:7:100mm") == ArucoMarker("DICT_4X4_50", 7, 100.0)


@pytest.mark.parametrize(("number", "dictionary", "count"), [(50, "4X4_50", 50), (999, "DICT_4X4_50", 50),
                                                             (1000, "DICT_7X7_1000", 1000)])  # fmt: skip
def test_a_marker_that_no_dictionary_has(number, dictionary, count):
    """It would be looked for in every picture, in vain."""
    with pytest.raises(SettingsError, match=f"has {count} markers, 0 to {count - 1}, and no {number}"):
        parse_target(f"aruco:{dictionary}:{number}:100mm")
    assert parse_target(f"aruco:{dictionary}:{count - 1}:100mm").number == count - 1
