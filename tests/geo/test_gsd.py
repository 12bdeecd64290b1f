"""The public door: order of preference, exact scales, errors and reasons."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fissura.errors import GeometryError, SettingsError
from fissura.geo.gsd import SIGMA_TERRAIN_M, find_ground_scale
from fissura.synth import NadirCamera, render_scene, write_photo

DATA = os.environ.get("FISSURA_DATA")
P4P = {"FocalLength": 8.8, "FocalLengthIn35mmFilm": 24, "ExifImageWidth": 5472, "ExifImageHeight": 3648}
DOWN = {
    "RelativeAltitude": "+20.00",
    "GimbalPitchDegree": "-90.00",
    "GimbalRollDegree": "+0.00",
    "GimbalYawDegree": "+10.0",
}
ANY = np.array([[0.0, 0.0], [50.0, 100.0], [10.0, 3.0]])


@pytest.fixture
def drone(photo):
    """A Phantom 4 Pro's photo, reduced to 456x304; ``drone(RelativeAltitude="+5")`` changes XMP fields."""

    def make(detail=None, model="FC6310", orientation=1, **xmp):
        fields = {key: value for key, value in (DOWN | xmp).items() if value is not None}
        return photo((456, 304), model=model, detail=P4P | (detail or {}), xmp=fields, orientation=orientation)

    return make


def test_given(drone):
    found = find_ground_scale(drone(), gsd_mm=1.25, distance_m=3.0)
    assert found.scale.source == "given" and found.scale.sigma == 0.0
    np.testing.assert_allclose(found.scale.gsd_mm(ANY), 1.25)


def test_straight_down_from_the_table(drone):
    scale = find_ground_scale(drone()).scale
    assert scale.source == "xmp"
    # A resized copy: the width of the sensor is spread over the pixels that are left.
    np.testing.assert_allclose(scale.gsd_mm(ANY), 20_000 * 13.2 / (8.8 * 456), rtol=1e-9)
    assert scale.sigma == pytest.approx(
        math.hypot(math.hypot(1, SIGMA_TERRAIN_M) / 20, math.hypot(0.01, 0.02)), rel=1e-6
    )
    assert any("above take-off, not above the road" in note and "--ground-height" in note for note in scale.notes)


def test_synthetic_photo_matches_its_camera(tmp_path):
    camera = NadirCamera(height_m=10.0, focal_mm=8.8, sensor_width_mm=13.2, image_hw=(120, 180))
    scene = render_scene(0, camera=camera)
    write_photo(tmp_path / "a.jpg", scene, latitude_deg=50.0, longitude_deg=7.0)
    scale = find_ground_scale(tmp_path / "a.jpg").scale
    np.testing.assert_allclose(scale.gsd_mm(ANY), scene.gsd_mm, rtol=1e-4)


def test_a_square_synthetic_photo_does_not_contradict_itself(tmp_path):
    scene = render_scene(0, camera=NadirCamera.for_gsd(1.0, (128, 128), focal_mm=24.0, sensor_width_mm=36.0))
    write_photo(tmp_path / "a.jpg", scene, latitude_deg=50.0, longitude_deg=7.0)
    found = find_ground_scale(tmp_path / "a.jpg", ground_height_m=0.0)
    # At 0.19 m a barometer says nothing.
    assert found.scale is None and "height of" in found.reason
    found = find_ground_scale(tmp_path / "a.jpg", distance_m=scene.camera.height_m)
    np.testing.assert_allclose(found.scale.gsd_mm(ANY), 1.0, rtol=1e-3)


def test_ground_height_moves_the_ground_and_makes_it_surer(drone):
    plain, level = find_ground_scale(drone()).scale, find_ground_scale(drone(), ground_height_m=0.0).scale
    higher = find_ground_scale(drone(), ground_height_m=5.0).scale
    lower = find_ground_scale(drone(), ground_height_m=-5.0).scale
    np.testing.assert_allclose(level.gsd_mm(ANY), plain.gsd_mm(ANY))
    np.testing.assert_allclose(higher.gsd_mm(ANY), plain.gsd_mm(ANY) * 15 / 20)
    np.testing.assert_allclose(lower.gsd_mm(ANY), plain.gsd_mm(ANY) * 25 / 20)
    assert level.sigma < plain.sigma / 1.9
    assert any("less the given ground height of 5 m" in note for note in higher.notes)


def test_rtk_is_surer(drone):
    path = drone(RtkFlag="50")
    sigma = [find_ground_scale(p, ground_height_m=0.0).scale.sigma for p in (path, drone(RtkFlag="16"))]
    assert sigma[0] < sigma[1]


def test_below_the_take_off_point_needs_the_ground_height(drone):
    found = find_ground_scale(drone(RelativeAltitude="-3.00"))
    assert found.scale is None
    assert "RelativeAltitude is -3.00 m" in found.reason and "--ground-height" in found.reason
    scale = find_ground_scale(drone(RelativeAltitude="-3.00"), ground_height_m=-23.0).scale
    np.testing.assert_allclose(scale.gsd_mm(ANY), 20_000 * 13.2 / (8.8 * 456))
    with pytest.raises(GeometryError, match=r"RelativeAltitude is \+20.00 m and --ground-height \+25.00 m"):
        find_ground_scale(drone(), ground_height_m=25.0)


def test_too_low_for_its_own_error(drone):
    found = find_ground_scale(drone(RelativeAltitude="+3.0"))
    assert found.scale is None
    assert "75 %" in found.reason and "--ground-height" in found.reason
    assert find_ground_scale(drone(RelativeAltitude="+3.0"), ground_height_m=0.0).scale is not None


@pytest.mark.parametrize("orientation", [6, 8])
def test_upright_pictures(drone, orientation):
    scale = find_ground_scale(drone(orientation=orientation)).scale
    np.testing.assert_allclose(scale.gsd_mm(ANY), 20_000 * 13.2 / (8.8 * 456))
    # The origin is the middle of the displayed picture.
    np.testing.assert_allclose(scale.to_ground(np.array([[227.5, 151.5]])), 0.0, atol=1e-9)


def test_oblique_varies_over_the_frame_and_says_so(drone):
    down, tilted = find_ground_scale(drone()).scale, find_ground_scale(drone(GimbalPitchDegree="-60.0")).scale
    top, bottom = tilted.gsd_mm(np.array([[0.0, 228.0], [303.0, 228.0]]))
    assert top > 1.5 * bottom
    focal, up = 8.8 / 13.2 * 456, (304 - 1) / 2
    angle = math.radians(30) + math.atan(up / focal)
    # Across the view a pixel covers depth / focal length.
    depth = 20_000 / math.cos(angle) * math.cos(math.atan(up / focal))
    across = tilted.across(np.array([[0.0, 227.5]]), np.array([[1.0, 0.0]]))[0]
    assert across == pytest.approx(depth / focal, rel=1e-9)
    assert tilted.sigma > down.sigma
    assert any(note.startswith("oblique view (30 degrees") for note in tilted.notes)
    assert not any("oblique" in note for note in find_ground_scale(drone(GimbalPitchDegree="-89.9")).scale.notes)


def test_the_horizon_in_the_picture_is_said(drone):
    scale = find_ground_scale(drone(GimbalPitchDegree="-25.0"), ground_height_m=0.0).scale
    assert any("horizon is in the picture" in note for note in scale.notes)
    assert scale.on_ground(np.array([[0.0, 10.0], [303.0, 10.0]])).tolist() == [False, True]


@pytest.mark.parametrize("pitch", ["+0.00", "+12.0"])
def test_level_views_have_a_reason(drone, pitch):
    found = find_ground_scale(drone(GimbalPitchDegree=pitch))
    assert found.scale is None
    assert "GimbalPitchDegree" in found.reason and "--distance-m" in found.reason


def test_a_wall_by_its_distance(drone):
    scale = find_ground_scale(drone(GimbalPitchDegree="+0.00"), distance_m=4.0).scale
    assert scale.source == "exif"
    np.testing.assert_allclose(scale.gsd_mm(ANY), 4000 * 13.2 / (8.8 * 456))
    assert any("square to the view" in note for note in scale.notes)


def test_no_gimbal_angle_is_taken_as_straight_down(drone):
    scale = find_ground_scale(drone(GimbalPitchDegree=None)).scale
    assert any("no gimbal angle" in note for note in scale.notes)


def test_height_above_the_sea_is_no_height(photo):
    from PIL.TiffImagePlugin import IFDRational

    found = find_ground_scale(photo(model="FC6310", detail=P4P, gps={"GPSAltitude": IFDRational(198)}))
    assert found.scale is None
    assert "GPSAltitude (198.0 m) is a height above the sea" in found.reason


def test_nothing_known(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    found = find_ground_scale(tmp_path / "a.png")
    assert found.scale is None and "states no height" in found.reason and "--gsd-mm" in found.reason
    found = find_ground_scale(tmp_path / "a.png", distance_m=2.0)
    assert found.scale is None and "FocalLength" in found.reason


def test_a_focal_length_of_zero_is_named(drone):
    found = find_ground_scale(drone(detail={"FocalLength": 0.0, "FocalLengthIn35mmFilm": 0}))
    assert found.scale is None and "EXIF FocalLength is 0 mm" in found.reason
    scale = find_ground_scale(drone(detail={"FocalLength": 0.0})).scale
    assert any("EXIF FocalLength is 0 mm" in note for note in scale.notes)


def test_contradictory_exif_is_an_error(drone):
    with pytest.raises(GeometryError, match="FocalLengthIn35mmFilm"):
        find_ground_scale(drone(detail={"FocalLengthIn35mmFilm": 90}))
    with pytest.raises(GeometryError, match="ExifImageWidth"):
        find_ground_scale(drone(detail={"ExifImageHeight": 2000}))
    # The user's number needs none of it.
    assert find_ground_scale(drone(detail={"ExifImageHeight": 2000}), gsd_mm=2.0).scale is not None


@pytest.mark.parametrize("name", ["gsd_mm", "distance_m", "sensor_width_mm"])
@pytest.mark.parametrize("value", [0.0, -2.0, math.nan, math.inf])
def test_options_below_zero_are_errors_that_name_them(drone, name, value):
    with pytest.raises(SettingsError, match="--" + name.replace("_", "-")):
        find_ground_scale(drone(), **{name: value})


def test_ground_height_must_be_a_number(drone):
    with pytest.raises(SettingsError, match="--ground-height"):
        find_ground_scale(drone(), ground_height_m=math.nan)


def test_a_target_that_is_not_there_gives_way_and_is_named(drone, tmp_path):
    scale = find_ground_scale(drone(), target="checkerboard:9x6:25mm").scale
    assert scale.source == "xmp"
    assert "checkerboard of 9x6 inner corners) was not found" in scale.notes[0]
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    found = find_ground_scale(tmp_path / "a.png", target="aruco:DICT_4X4_50:any:5cm")
    assert found.scale is None and "was not found" in found.reason and "no height" in found.reason


@pytest.mark.skipif(DATA is None, reason="FISSURA_DATA is not set; real photographs are needed")
def test_real_dji_photos():
    for path in sorted((Path(DATA or "") / "uav" / "brighton_beach").glob("*.JPG")):
        scale = find_ground_scale(path).scale
        # 40 m over 4000 columns of a 6.17 mm sensor behind 3.61 mm.
        np.testing.assert_allclose(scale.gsd_mm(np.array([[1124.5, 1999.5]])), 17.1, rtol=0.005)
        assert 0.05 < scale.sigma < 0.08


def test_what_the_photo_says_is_read_beside_a_given_scale(drone, tmp_path):
    photo = drone()
    assert find_ground_scale(photo, gsd_mm=1.25).metadata == find_ground_scale(photo, distance_m=3.0).metadata
    assert find_ground_scale(tmp_path / "none.jpg", gsd_mm=1.25).metadata is None
