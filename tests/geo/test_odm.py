"""Poses from OpenDroneMap's files, written here from poses that are known."""

import json
import math

import cv2
import numpy as np
import pyproj
import pytest

from fissura.errors import SettingsError
from fissura.geo.odm import describe_missing, read_alignment, view_angles
from fissura.geo.view import _rotation

GEOD = pyproj.Geod(ellps="WGS84")
UTM = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True)
LON, LAT = 11.5, 48.1


def world(yaw, pitch, roll):
    """Camera (forward, right, down) to (north, east, down)."""
    y = math.radians(yaw)
    turn = np.array([[math.cos(y), -math.sin(y), 0], [math.sin(y), math.cos(y), 0], [0, 0, 1]])
    return turn @ _rotation(pitch, roll)


def rotation(yaw, pitch, roll):
    """As OpenSfM has it: world (east, north, up) to camera (right, down, forward), axis times angle."""
    north_east_down = world(yaw, pitch, roll)
    east_north_up = np.stack([north_east_down[1], north_east_down[0], -north_east_down[2]])
    forward, right, down = east_north_up.T
    return cv2.Rodrigues(np.stack([right, down, forward]))[0].ravel().tolist()


def convergence():
    x, y = UTM.transform(LON, LAT)
    ends = UTM.transform(*np.array([[x, y - 50], [x, y + 50]]).T, direction="INVERSE")
    return GEOD.inv(ends[0][0], ends[1][0], ends[0][1], ends[1][1])[0]


def shot(name, yaw, pitch, roll, height=560.0, **extra):
    x, y = UTM.transform(LON, LAT)
    grid_yaw = yaw - convergence()
    properties = {"filename": name, "focal": 0.8, "width": 4000, "height": 3000, "translation": [x, y, height],
                  "rotation": rotation(grid_yaw, pitch, roll)} | extra  # fmt: skip
    point = {"type": "Point", "coordinates": [LON, LAT, height]}
    return {"type": "Feature", "properties": properties, "geometry": point}


def project(folder, *shots, crs="WGS84 UTM 32N\n690000 5330000\n", file="coords.txt"):
    (folder / "odm_report").mkdir(parents=True)
    (folder / "odm_georeferencing").mkdir()
    text = json.dumps({"type": "FeatureCollection", "features": list(shots)})
    (folder / "odm_report" / "shots.geojson").write_text(text)
    if crs:
        (folder / "odm_georeferencing" / file).write_text(crs)
    return folder


ANGLES = [(33.0, -90.0, 0.0), (200.0, -60.0, 0.0), (359.0, -45.0, 7.5), (90.0, -80.0, -12.0), (10.0, -89.0, 178.0),
          (0.0, 0.0, 0.0)]  # fmt: skip


@pytest.mark.parametrize("angles", ANGLES)
def test_angles_there_and_back(angles):
    yaw, pitch, roll = view_angles(world(*angles))
    np.testing.assert_allclose([yaw, pitch, roll], angles, atol=1e-6)
    np.testing.assert_allclose(world(yaw, pitch, roll), world(*angles), atol=1e-12)


@pytest.mark.parametrize("crs", [True, False])
@pytest.mark.parametrize("angles", ANGLES)
def test_shots(tmp_path, angles, crs):
    folder = project(tmp_path / "p", shot("DJI_0001.JPG", *angles), **({} if crs else {"crs": None}))
    for path in (folder, folder / "odm_report" / "shots.geojson"):
        (photo,) = read_alignment(path).values()
        assert (photo.name, photo.size_hw) == ("DJI_0001.JPG", (3000, 4000))
        assert photo.focal_px == pytest.approx(3200.0) and photo.focal_px_of((750, 1000)) == pytest.approx(800.0)
        assert (photo.latitude_deg, photo.longitude_deg) == pytest.approx((LAT, LON), abs=1e-9)
        assert photo.altitude_m == 560.0 and photo.horizontal_sigma_m is None
        turn = (photo.yaw_deg - angles[0] + 180) % 360 - 180
        assert (turn, photo.pitch_deg, photo.roll_deg) == pytest.approx((0.0, *angles[1:]), abs=1e-4)


def test_a_nadir_photo_by_hand(tmp_path):
    """Half a turn about the east axis: right stays east, down becomes south, forward becomes down."""
    folder = project(tmp_path / "p", shot("a.jpg", 0, -90, 0, rotation=[math.pi, 0.0, 0.0]))
    photo = read_alignment(folder)["a.jpg"]
    assert convergence() == pytest.approx(math.degrees(math.atan(math.tan(math.radians(2.5)) * math.sin(math.radians(
        48.1)))), abs=1e-3)  # fmt: skip
    assert (photo.yaw_deg, photo.pitch_deg, photo.roll_deg) == pytest.approx((convergence(), -90.0, 0.0), abs=1e-4)


@pytest.mark.parametrize(
    ("file", "text"),
    [("odm_georeferencing_model_geo.txt", "WGS84 UTM 32N\n1 2\n"), ("coords.txt", "EPSG:32632\n0 0\n"),
     ("proj.txt", "+proj=utm +zone=32 +datum=WGS84 +units=m")],
)  # fmt: skip
def test_the_translation_goes_before_the_point(tmp_path, file, text):
    feature = shot("a.jpg", 0, -90, 0)
    feature["geometry"]["coordinates"] = [LON + 1e-4, LAT, 1.0]
    photo = read_alignment(project(tmp_path / "p", feature, crs=text, file=file))["a.jpg"]
    assert (photo.longitude_deg, photo.altitude_m) == pytest.approx((LON, 560.0), abs=1e-9)


def test_geo_txt(tmp_path):
    x, y = UTM.transform(LON, LAT)
    path = tmp_path / "geo.txt"
    path.write_text(
        "WGS84 UTM 32N\n# by hand\n\n"
        f"a.jpg {x!r} {y!r}\n"
        f"b.jpg {x!r} {y!r} 512.5\n"
        f"c.jpg {x!r} {y!r} 512.5 90 30 0 0.02 0.04 label one\n"
        f"d.jpg {x!r} {y!r} 512.5 0 0 0 0.5 0\n"
        f"my photo.jpg {x!r} {y!r} 512.5 45 0 0\n"
    )
    photos = read_alignment(path)
    assert list(photos) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "my photo.jpg"]
    for photo in photos.values():
        assert (photo.latitude_deg, photo.longitude_deg) == pytest.approx((LAT, LON), abs=1e-9)
    assert photos["a.jpg"].altitude_m is None and photos["b.jpg"].altitude_m == 512.5
    c, d, named = photos["c.jpg"], photos["d.jpg"], photos["my photo.jpg"]
    # In ODM pitch 0 looks straight down and 90 ahead.
    assert (c.yaw_deg, c.pitch_deg, c.roll_deg) == pytest.approx((90.0, -60.0, 0.0), abs=1e-9)
    assert (c.horizontal_sigma_m, c.vertical_sigma_m) == (0.02, 0.04)
    assert d.yaw_deg is None and (d.horizontal_sigma_m, d.vertical_sigma_m) == (0.5, None)
    assert (named.yaw_deg, named.pitch_deg) == pytest.approx((45.0, -90.0), abs=1e-6)
    path.write_text("EPSG:4326\nDJI_0028.JPG\t-91.9942096\t46.84252125\t198.609\n")
    photo = read_alignment(tmp_path)["DJI_0028.JPG"]
    assert (photo.longitude_deg, photo.latitude_deg, photo.altitude_m) == (-91.9942096, 46.84252125, 198.609)


def test_both_files_and_cameras(tmp_path):
    folder = project(tmp_path / "p", shot("a.jpg", 10, -90, 0, focal=None), shot("b.jpg", 10, -90, 0))
    (folder / "geo.txt").write_text("EPSG:4326\na.jpg 1.0 2.0 3.0 0 0 0 0.03 0.05\n")
    camera = {"v2 dji fc6310": {"projection_type": "brown", "width": 4000, "height": 3000, "focal_x": 0.7}}
    (folder / "cameras.json").write_text(json.dumps(camera))
    photos = read_alignment(folder)
    assert photos["a.jpg"].longitude_deg == pytest.approx(LON)
    assert (photos["a.jpg"].horizontal_sigma_m, photos["a.jpg"].vertical_sigma_m) == (0.03, 0.05)
    assert photos["a.jpg"].focal_px == pytest.approx(2800.0) and photos["b.jpg"].focal_px == pytest.approx(3200.0)


def test_photos_that_are_missing():
    known = dict.fromkeys(["a.jpg", "b.jpg"])
    assert describe_missing(["x/a.jpg", "b.jpg"], known) is None
    assert describe_missing(["x/c.jpg", "b.jpg"], known).startswith("1 photos are not in the alignment")
    assert "and 3 more" in describe_missing([f"{k}.jpg" for k in range(8)], known)


def test_errors_say_what_to_give(tmp_path):
    with pytest.raises(SettingsError, match="does not exist"):
        read_alignment(tmp_path / "none")
    with pytest.raises(SettingsError, match=r"neither shots.geojson .* nor geo.txt"):
        read_alignment(tmp_path)
    shots, geo = tmp_path / "shots.geojson", tmp_path / "geo.txt"
    for text, message in (
        ("{", "is no JSON"), ('{"type": "FeatureCollection", "features": []}', "holds no photos"), ("[]", "no photos"),
        (json.dumps({"features": [{"properties": {}, "geometry": None}]}), "photo 1 of .* has no usable pose"),
        (json.dumps({"features": [shot("a.jpg", 0, -90, 0, rotation=[1, 2])]}), "no axis of three numbers"),
    ):  # fmt: skip
        shots.write_text(text)
        with pytest.raises(SettingsError, match=message):
            read_alignment(shots)
    for text, message in (
        ("", "is empty"), ("a.jpg 1 2 3\n", "first line .* must name the CRS"),
        ("EPSG:4326\na.jpg 5\n", "line 2 .*1 numbers"),
        ("EPSG:4326\na.jpg 48.0 111.0 3\n", "not on the globe"), ("EPSG:4326\n\nb.jpg north 2\n", "line 3"),
    ):  # fmt: skip
        geo.write_text(text)
        with pytest.raises(SettingsError, match=message):
            read_alignment(geo)
