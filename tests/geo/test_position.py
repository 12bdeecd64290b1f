"""Photos on the globe: exact offsets, the picture's direction, and two real photos of the same ground."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pyproj
import pytest

from fissura.geo.gsd import estimate_photo_scale, find_ground_scale
from fissura.geo.metadata import PhotoMetadata
from fissura.geo.position import find_position, locate_photo
from fissura.geo.scale import GroundScale
from fissura.synth import Geotag, NadirCamera, render_scene, write_photo

DATA = os.environ.get("FISSURA_DATA")
GEOD = pyproj.Geod(ellps="WGS84")
SIZE = (301, 401)
MIDDLE = np.array([[150.0, 200.0]])


def metadata(**changes):
    """10 m above the ground; 200 px per focal length of 10 mm, so 50 mm a pixel."""
    fields = {
        "latitude_deg": -33.5, "longitude_deg": 18.4, "focal_mm": 10.0, "focal_plane_px_per_mm": 20.0,
        "relative_altitude_m": 10.0, "camera_pitch_deg": -90.0, "camera_roll_deg": 0.0, "camera_yaw_deg": 0.0,
    }  # fmt: skip
    return PhotoMetadata(SIZE, **(fields | changes))


def place(photo, scale=None):
    return locate_photo(photo, scale or estimate_photo_scale(photo).scale)


def offset(photo, point_rc, scale=None):
    """Distance in metres and direction, 0 to 360, from the camera to a pixel."""
    lonlat = place(photo, scale).placement.to_lonlat(np.array([point_rc]))[0]
    azimuth, _, metres = GEOD.inv(photo.longitude_deg, photo.latitude_deg, *lonlat)
    return metres, round(azimuth, 6) % 360


def test_the_middle_of_a_view_straight_down_is_below_the_camera():
    np.testing.assert_allclose(place(metadata()).placement.to_lonlat(MIDDLE), [[18.4, -33.5]], atol=1e-12)


def test_positions_may_be_numbers_of_numpy():
    photo = metadata(latitude_deg=np.float64(-33.5), longitude_deg=np.float64(18.4))
    np.testing.assert_allclose(place(photo).placement.to_lonlat(MIDDLE), [[18.4, -33.5]], atol=1e-12)


@pytest.mark.parametrize("yaw", [0.0, 42.8, -133.5, 180.0])
def test_yaw_is_the_direction_of_the_upper_edge(yaw):
    photo = metadata(camera_yaw_deg=yaw)
    assert offset(photo, (0.0, 200.0)) == pytest.approx((7.5, yaw % 360), rel=1e-6)
    assert offset(photo, (150.0, 400.0)) == pytest.approx((10.0, (yaw + 90) % 360), rel=1e-6)


def test_roll_of_180_turns_the_picture():
    metres, azimuth = offset(metadata(camera_yaw_deg=30.0, camera_roll_deg=180.0), (0.0, 200.0))
    assert (metres, azimuth) == pytest.approx((7.5, 210.0))


def test_oblique_views_look_ahead():
    photo = metadata(camera_pitch_deg=-60.0, camera_yaw_deg=75.0)
    assert offset(photo, (150.0, 200.0)) == pytest.approx((10 * math.tan(math.radians(30)), 75.0), rel=1e-6)
    horizon = metadata(camera_pitch_deg=-10.0)
    lonlat = place(horizon).placement.to_lonlat(np.array([[0.0, 200.0], [300.0, 200.0]]))
    assert np.isnan(lonlat[0]).all() and np.isfinite(lonlat[1]).all()


def test_the_aircrafts_direction_where_the_cameras_is_missing():
    photo = metadata(camera_yaw_deg=None, flight_yaw_deg=90.0)
    assert offset(photo, (0.0, 200.0))[1] == pytest.approx(90.0)
    assert any("FlightYawDegree" in note for note in place(photo).placement.notes)


@pytest.mark.parametrize(
    "scale", [GroundScale.uniform(50.0), GroundScale(np.array([[50.0, 0, 7], [0, 50.0, -9], [0, 0, 1]]))]
)
def test_a_given_scale_is_put_with_its_middle_at_the_position(scale):
    assert offset(metadata(camera_yaw_deg=20.0), (0.0, 200.0), scale) == pytest.approx((7.5, 20.0), rel=1e-6)
    oblique = place(metadata(camera_pitch_deg=-60.0), scale)
    assert oblique.placement is None and "GimbalPitchDegree -60.0" in oblique.reason


def test_reasons():
    scale = GroundScale.uniform(1.0)
    assert "GPSLatitude" in place(metadata(latitude_deg=None), scale).reason
    assert "GimbalYawDegree" in place(metadata(camera_yaw_deg=None), scale).reason
    fix = metadata(latitude_deg=None, position_problems=("EXIF GPSInfo is exactly 0, 0",))
    assert "exactly 0, 0" in place(fix, scale).reason


def test_error_of_the_position():
    plain = place(metadata()).placement.sigma_m
    rtk = place(metadata(rtk_fixed=True, rtk_std_m=(0.01, 0.01, 0.02))).placement.sigma_m
    assert 3.0 < plain < 3.1
    assert 0.05 < rtk < 0.3
    assert place(metadata(camera_pitch_deg=-30.0)).placement.sigma_m > plain


def test_a_photo_saved_by_an_editor_is_doubted():
    assert not any(
        "editor" in n or "turned there" in n for n in place(metadata(software="v01.23.4920")).placement.notes
    )
    edited = place(metadata(software="Microsoft Windows Photo Viewer 10.0"))
    assert any("turned there" in note for note in edited.placement.notes)


def test_a_synthetic_photo(tmp_path):
    camera = NadirCamera(height_m=10.0, focal_mm=8.8, sensor_width_mm=13.2, image_hw=(120, 180))
    scene = render_scene(0, camera=camera)
    path = tmp_path / "a.jpg"
    write_photo(path, scene, latitude_deg=50.0, longitude_deg=7.0, geotag=Geotag(0.0, 0.0, yaw_deg=-42.5))
    found = find_ground_scale(path)
    placement = find_position(path, found.scale, metadata=found.metadata).placement
    lonlat = placement.to_lonlat(np.array([[59.5, 89.5], [59.5 - 50, 89.5]]))
    np.testing.assert_allclose(lonlat[0], [7.0, 50.0], atol=1e-8)
    azimuth, _, metres = GEOD.inv(*lonlat[0], *lonlat[1])
    assert (azimuth, metres * 1000) == pytest.approx((-42.5, 50 * scene.gsd_mm), rel=1e-4)
    assert find_position(path).placement is None


@pytest.mark.skipif(DATA is None, reason="FISSURA_DATA is not set; real photographs are needed")
def test_two_real_photos_put_the_same_ground_at_the_same_place():
    """Neighbours of one flight line. Both were turned by 180 degrees in an editor, so are turned back here."""
    cv2 = pytest.importorskip("cv2")
    pixels, places, described = [], [], []
    for name in ("DJI_0026.JPG", "DJI_0028.JPG"):
        path = Path(DATA or "") / "uav" / "brighton_beach" / name
        found = find_ground_scale(path)
        placement = find_position(path, found.scale, metadata=found.metadata).placement
        assert any("last saved by Microsoft Windows Photo Viewer" in note for note in placement.notes)
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[::-1, ::-1]
        small = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        keypoints, descriptors = cv2.SIFT_create(4000).detectAndCompute(small, None)
        pixels.append((np.array([k.pt for k in keypoints]) + 0.5) * 2 - 0.5)
        places.append(placement)
        described.append(descriptors)
    matches = [a for a, b in cv2.BFMatcher().knnMatch(*described, k=2) if a.distance < 0.75 * b.distance]
    first = pixels[0][[m.queryIdx for m in matches]]
    second = pixels[1][[m.trainIdx for m in matches]]
    _, inliers = cv2.findHomography(first, second, cv2.RANSAC, 5.0)
    keep = inliers.ravel() > 0
    assert keep.sum() >= 20
    a = places[0].to_lonlat(first[keep][:, ::-1])
    b = places[1].to_lonlat(second[keep][:, ::-1])
    metres = GEOD.inv(*a.T, *b.T)[2]
    assert np.median(metres) < 3.0
