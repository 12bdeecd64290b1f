"""What a drone photo carries, written and read back with Pillow."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from fissura.errors import GeometryError, OutputError
from fissura.synth import Geotag, NadirCamera, render_scene, write_photo

CAMERA = NadirCamera(height_m=7.25, focal_mm=24.0, sensor_width_mm=36.0, image_hw=(60, 90))


@pytest.mark.parametrize(("latitude", "longitude"), [(52.123456789, 8.987654321), (-33.5, -70.000001), (0.0, 180.0)])
def test_position_comes_back_to_a_millimetre(tmp_path: Path, latitude: float, longitude: float) -> None:
    path = tmp_path / "new" / "photo.jpg"
    write_photo(path, render_scene(0, camera=CAMERA), latitude_deg=latitude, longitude_deg=longitude)
    with Image.open(path) as image:
        gps = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
        xmp = image.getxmp()["xmpmeta"]["RDF"]["Description"]
    for value, ref, angle, xmp_key in (
        (gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLatitudeRef], latitude, "GpsLatitude"),
        (gps[ExifTags.GPS.GPSLongitude], gps[ExifTags.GPS.GPSLongitudeRef], longitude, "GpsLongitude"),
    ):
        degrees = sum(float(part) / 60**power for power, part in enumerate(value))
        assert (-degrees if ref in "SW" else degrees) == pytest.approx(angle, abs=1e-8)
        assert float(xmp[xmp_key]) == pytest.approx(angle, abs=1e-8)


def test_lens_height_time_and_gimbal_come_back(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    geotag = Geotag(0.0, 0.0, ground_m=80.0, yaw_deg=-42.5, captured_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))
    scene = render_scene(0, camera=CAMERA)
    write_photo(path, scene, latitude_deg=50.0, longitude_deg=7.0, geotag=geotag, make="Maker", model="Model X")
    with Image.open(path) as image:
        exif, base = image.getexif(), ExifTags.Base
        detail = exif.get_ifd(ExifTags.IFD.Exif)
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        xmp = image.getxmp()["xmpmeta"]["RDF"]["Description"]
        assert image.size == (90, 60)
    assert (exif[base.Make], exif[base.Model]) == ("Maker", "Model X")
    assert detail[base.DateTimeOriginal] == "2026:05:04 03:02:01"
    assert float(detail[base.FocalLength]) == 24.0
    assert detail[base.FocalLengthIn35mmFilm] == 24
    assert float(gps[ExifTags.GPS.GPSAltitude]) == pytest.approx(87.25)
    assert float(xmp["RelativeAltitude"]) == pytest.approx(7.25)
    assert float(xmp["AbsoluteAltitude"]) == pytest.approx(87.25)
    assert float(xmp["GimbalYawDegree"]) == -42.5
    assert float(xmp["GimbalPitchDegree"]) == -90.0
    # The ground sampling distance can be worked out from what the file says alone.
    pitch_mm = 10.0 / float(detail[base.FocalPlaneXResolution])
    gsd_mm = float(xmp["RelativeAltitude"]) * 1000 * pitch_mm / float(detail[base.FocalLength])
    assert gsd_mm == pytest.approx(scene.gsd_mm, rel=1e-5)


def test_picture_survives_the_jpeg(tmp_path: Path) -> None:
    scene = render_scene(0, camera=CAMERA)
    write_photo(tmp_path / "a.jpg", scene, latitude_deg=0.0, longitude_deg=0.0, quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        difference = np.abs(np.asarray(image).astype(int) - scene.rgb)
    assert difference.mean() < 3.0


def test_bad_position_and_bad_folder_are_named(tmp_path: Path) -> None:
    scene = render_scene(0, camera=CAMERA)
    with pytest.raises(GeometryError, match="not on the globe"):
        write_photo(tmp_path / "a.jpg", scene, latitude_deg=91.0, longitude_deg=0.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_photo(tmp_path / "file" / "a.jpg", scene, latitude_deg=0.0, longitude_deg=0.0)
    assert not list(tmp_path.glob("*.jpg"))
