"""What a photo says, in all the spellings it is said in."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import rasterio
from PIL import Image

from fissura.errors import ImageError
from fissura.geo.metadata import read_metadata
from fissura.imaging.read import read_image
from fissura.synth import Geotag, NadirCamera, render_scene, write_photo

DATA = os.environ.get("FISSURA_DATA")


def test_a_synthetic_photo_comes_back(tmp_path):
    camera = NadirCamera(height_m=7.25, focal_mm=24.0, sensor_width_mm=36.0, image_hw=(60, 90))
    geotag = Geotag(0.0, 0.0, ground_m=80.0, yaw_deg=-42.5, captured_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))
    path = tmp_path / "photo.jpg"
    write_photo(path, render_scene(0, camera=camera), latitude_deg=-33.5, longitude_deg=7.25, geotag=geotag)
    found = read_metadata(path)
    assert found.size_hw == found.exif_size_hw == (60, 90)
    assert (found.make, found.model) == ("fissura", "synthetic nadir camera")
    assert (found.focal_mm, found.focal_35mm, found.digital_zoom) == (24.0, 24.0, 1.0)
    assert found.focal_plane_px_per_mm == pytest.approx(2.5)
    assert (found.latitude_deg, found.longitude_deg) == pytest.approx((-33.5, 7.25), abs=1e-8)
    assert (found.altitude_m, found.relative_altitude_m) == pytest.approx((87.25, 7.25))
    assert (found.camera_pitch_deg, found.camera_roll_deg, found.camera_yaw_deg) == (-90.0, 0.0, -42.5)
    assert found.flight_yaw_deg == -42.5
    assert found.captured_at == datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    assert not found.rtk_fixed and found.problems == ()


@pytest.mark.parametrize("elements", [False, True])
def test_dji_fields_as_attributes_and_elements_signed_and_misspelled(photo, elements):
    xmp = {
        "RelativeAltitude": "+40.30", "GpsLatitude": "+34.03250565", "GpsLongtitude": "-108.76779926", "RtkFlag": "50",
        "RtkStdLon": "0.011", "RtkStdLat": "0.012", "RtkStdHgt": "0.025", "CalibratedFocalLength": "3666.666504",
        "GimbalPitchDegree": "-89.90",
    }  # fmt: skip
    found = read_metadata(photo(model="FC6310R", xmp=xmp, elements=elements))
    assert found.model == "FC6310R"
    assert (found.latitude_deg, found.longitude_deg) == (34.03250565, -108.76779926)
    assert found.relative_altitude_m == 40.3
    assert found.calibrated_focal_px == 3666.666504
    assert found.rtk_fixed and found.rtk_std_m == (0.011, 0.012, 0.025)
    assert found.camera_pitch_deg == -89.9 and found.camera_yaw_deg is None


@pytest.mark.parametrize(
    ("orientation", "size_hw"), [(1, (300, 400)), (3, (300, 400)), (6, (400, 300)), (8, (400, 300))]
)
def test_the_size_is_the_displayed_one(photo, orientation, size_hw):
    assert read_metadata(photo((400, 300), orientation=orientation)).size_hw == size_hw


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_the_displayed_one_in_every_format(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    assert read_metadata(path).size_hw == read_image(path).rgb.shape[:2] == ((6, 8) if orientation < 5 else (8, 6))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_tiff_of_values_that_pillow_does_not_know_has_a_size(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=4, width=6, dtype="float64") as dataset:
        dataset.update_tags(TIFFTAG_SOFTWARE="a program")
    found = read_metadata(path)
    assert (found.size_hw, found.software, found.focal_mm) == ((4, 6), "a program", None)


def test_unknown_is_none_and_named(photo):
    path = photo(
        detail={"FocalLength": 0.0, "FocalLengthIn35mmFilm": 0, "DigitalZoomRatio": 0.0, "FocalPlaneXResolution": 0.0},
        xmp={"RelativeAltitude": "nan", "GpsLatitude": "0.0", "GpsLongitude": "0.0"},
    )
    found = read_metadata(path)
    assert found.focal_mm is found.focal_35mm is found.focal_plane_px_per_mm is None
    assert found.relative_altitude_m is found.latitude_deg is None
    assert found.digital_zoom == 1.0
    assert found.problems[0].startswith("EXIF FocalLength is 0 mm")
    assert found.problems[1].startswith("EXIF FocalPlaneXResolution 0")
    assert "GpsLatitude" in found.position_problems[0] and "no position" in found.position_problems[0]


def test_a_position_off_the_globe_gives_way_to_the_other(photo):
    gps = {"GPSLatitude": (10.0, 30.0, 0.0), "GPSLatitudeRef": "S", "GPSLongitude": (20.0, 0.0, 36.0)}
    found = read_metadata(photo(gps=gps, xmp={"GpsLatitude": "91.0", "GpsLongitude": "5.0"}))
    assert (found.latitude_deg, found.longitude_deg) == pytest.approx((-10.5, 20.01))
    assert "not on the globe" in found.position_problems[0]


def test_altitude_below_the_sea_and_time_zones(photo):
    from PIL.TiffImagePlugin import IFDRational

    path = photo(
        detail={"DateTimeOriginal": "2026:02:03 04:05:06", "OffsetTimeOriginal": "-03:30"},
        gps={"GPSAltitude": IFDRational(3, 2), "GPSAltitudeRef": b"\x01"},
    )
    found = read_metadata(path)
    assert found.altitude_m == -1.5
    assert found.captured_at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=timezone(-timedelta(hours=3, minutes=30)))
    assert read_metadata(photo(detail={"DateTimeOriginal": "0000:00:00 00:00:00"})).captured_at is None


@pytest.mark.parametrize("offset", ["+24:00", "-99:99", "+05:75"])
def test_an_impossible_time_zone_is_none(photo, offset):
    found = read_metadata(photo(detail={"DateTimeOriginal": "2026:02:03 04:05:06", "OffsetTimeOriginal": offset}))
    assert found.captured_at == datetime(2026, 2, 3, 4, 5, 6)


def test_damaged_xmp_is_a_problem_not_an_error(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 6)).save(path, xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><unclosed>")
    found = read_metadata(path)
    assert found.size_hw == (6, 8)
    assert "XMP block is damaged" in found.problems[0]


def test_a_plain_picture_says_nothing(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (8, 6)).save(path)
    found = read_metadata(path)
    assert found.focal_mm is found.latitude_deg is found.captured_at is found.exif_size_hw is None
    assert found.problems == ()


def test_no_image(tmp_path):
    (tmp_path / "a.jpg").write_text("hello")
    with pytest.raises(ImageError, match="no image"):
        read_metadata(tmp_path / "a.jpg")


@pytest.mark.skipif(DATA is None, reason="FISSURA_DATA is not set; real photographs are needed")
def test_a_real_dji_photo():
    found = read_metadata(Path(DATA or "") / "uav" / "brighton_beach" / "DJI_0019.JPG")
    assert (found.make, found.model) == ("DJI", "FC300S")
    assert (found.focal_mm, found.focal_35mm, found.digital_zoom) == (3.61, 20.0, 1.0)
    assert found.size_hw == found.exif_size_hw == (2250, 4000)
    assert (found.relative_altitude_m, found.camera_yaw_deg, found.camera_pitch_deg) == (40.1, 42.8, -89.9)
    assert (found.latitude_deg, found.longitude_deg) == pytest.approx((46.842691, -91.994427), abs=1e-6)
    assert found.problems == ()
