"""Scale and place of georeferenced rasters, against the ellipsoid."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning

from fissura.geo.gsd import find_ground_scale
from fissura.geo.position import find_position
from fissura.geo.raster import RasterMap, read_placement
from fissura.imaging.write import Placement

DATA = os.environ.get("FISSURA_DATA")
GEOD = pyproj.Geod(ellps="WGS84")
ANY = np.array([[0.0, 0.0], [30.0, 50.0]])


def tiff(path: Path, crs, transform=None, gcps=None, size_wh=(100, 60)):
    profile = {"driver": "GTiff", "width": size_wh[0], "height": size_wh[1], "count": 1, "dtype": "uint8"}
    profile |= {"gcps": gcps, "crs": crs} if gcps else {"crs": crs, "transform": transform}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.zeros(size_wh[::-1], np.uint8), 1)
    return path


def turned(x, y, angle_deg, width, height):
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return Affine(width * cos, height * sin, x, width * sin, -height * cos, y)


def test_metres(tmp_path):
    path = tiff(tmp_path / "a.tif", "EPSG:32632", Affine(0.002, 0, 500_000.0, 0, -0.003, 5_500_000.0))
    scale = find_ground_scale(path).scale
    assert scale.source == "geotiff" and scale.sigma == 0.01
    # On the central meridian UTM shows the ground 0.04 % too small.
    np.testing.assert_allclose(np.diag(scale.matrix)[:2], [2 / 0.9996, 3 / 0.9996], rtol=1e-5)


def test_feet(tmp_path):
    path = tiff(tmp_path / "a.tif", "EPSG:2263", Affine(0.01, 0, 1_000_000.0, 0, -0.01, 200_000.0))
    np.testing.assert_allclose(find_ground_scale(path).scale.gsd_mm(ANY), 0.01 * 1200 / 3937 * 1000, rtol=1e-3)


def test_web_mercator_is_not_taken_at_its_word(tmp_path):
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(8.0, 60.0)
    path = tiff(tmp_path / "a.tif", "EPSG:3857", Affine(0.01, 0, x, 0, -0.01, y))
    np.testing.assert_allclose(find_ground_scale(path).scale.gsd_mm(ANY), 10 * 0.5, rtol=5e-3)


@pytest.mark.parametrize("latitude", [0.0, 40.0, -65.0])
def test_degrees_differ_in_x_and_y(tmp_path, latitude):
    step = 1e-7
    path = tiff(tmp_path / "a.tif", "EPSG:4326", Affine(step, 0, 10.0, 0, -step, latitude))
    scale = find_ground_scale(path).scale
    x_mm = GEOD.inv(10.0, latitude, 10.0 + 1e-4, latitude)[2]
    y_mm = GEOD.inv(10.0, latitude, 10.0, latitude + 1e-4)[2]
    np.testing.assert_allclose(scale.jacobian(ANY), [np.diag([x_mm, y_mm])] * 2, rtol=1e-4, atol=1e-5)


def test_a_turned_raster_keeps_lengths(tmp_path):
    turn = turned(500_000.0, 5_500_000.0, 33.0, 0.002, 0.004)
    scale = find_ground_scale(tiff(tmp_path / "a.tif", "EPSG:32632", turn)).scale
    np.testing.assert_allclose(scale.jacobian(ANY), [np.diag([2.0, 4.0])] * 2, rtol=1e-3, atol=1e-3)


def test_turned_in_degrees(tmp_path):
    """The same ground length along any direction, whatever the axes do."""
    path = tiff(tmp_path / "a.tif", "EPSG:4326", turned(10.0, 60.0, 45.0, 1e-7, 1e-7))
    scale, place = find_ground_scale(path).scale, find_position(path).placement
    points = np.array([[10.0, 10.0], [20.0, 70.0], [50.0, 5.0]])
    lonlat, ground = place.to_lonlat(points), scale.to_ground(points)
    for i, j in ((0, 1), (1, 2), (0, 2)):
        metres = GEOD.inv(*lonlat[i], *lonlat[j])[2]
        assert np.hypot(*(ground[i] - ground[j])) == pytest.approx(metres * 1000, rel=1e-4)


def test_control_points(tmp_path):
    corners = ((0, 0), (0, 100), (60, 0), (60, 100))
    gcps = [GroundControlPoint(row=r, col=c, x=500_000 + c * 0.005, y=5_500_000 - r * 0.005) for r, c in corners]
    path = tiff(tmp_path / "a.tif", "EPSG:32632", gcps=gcps)
    np.testing.assert_allclose(find_ground_scale(path).scale.gsd_mm(ANY), 5.0, rtol=1e-3)
    assert find_position(path).placement is not None


def test_control_points_do_not_count_beside_a_transform():
    gcps = [GroundControlPoint(row=r, col=c, x=c * 0.5, y=-r * 0.5) for r, c in ((0, 0), (0, 100), (60, 0))]
    transform = Affine(0.01, 0, 5e5, 0, -0.01, 5.5e6)
    placement = Placement("EPSG:32632", transform, tuple(gcps), "EPSG:32632")
    np.testing.assert_array_equal(
        RasterMap(placement).to_lonlat(ANY), RasterMap(Placement("EPSG:32632", transform)).to_lonlat(ANY)
    )


def test_a_crs_without_a_transform_places_nothing(tmp_path):
    with pytest.warns(NotGeoreferencedWarning):
        path = tiff(tmp_path / "a.tif", "EPSG:32632")
    assert read_placement(path) is None
    assert "states no height" in find_ground_scale(path).reason
    assert find_position(path).placement is None


def test_no_crs_is_a_reason(tmp_path):
    path = tiff(tmp_path / "a.tif", None, Affine(0.01, 0, 5.0, 0, -0.01, 6.0))
    for found in (find_ground_scale(path), find_position(path)):
        assert "no CRS" in found.reason and "--gsd-mm" in found.reason
    assert find_ground_scale(path).scale is None and find_position(path).placement is None
    assert find_ground_scale(path, gsd_mm=3.0).scale.source == "given"


def test_a_plain_tiff_goes_on_to_its_exif(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 30)).save(tmp_path / "a.tif")
    assert "states no height" in find_ground_scale(tmp_path / "a.tif").reason


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326"])
def test_pixel_centres_are_at_integers(tmp_path, crs):
    transform = Affine(1e-6, 0, 10.0, 0, -1e-6, 50.0) if crs == "EPSG:4326" else Affine(0.01, 0, 5e5, 0, -0.01, 5.5e6)
    path = tiff(tmp_path / "a.tif", crs, transform)
    points = np.array([[0.0, 0.0], [59.0, 99.0]])
    with rasterio.open(path) as dataset:
        xy = [dataset.xy(int(r), int(c)) for r, c in points]
    expected = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*np.array(xy).T)
    place = find_position(path).placement
    np.testing.assert_allclose(place.to_lonlat(points), np.column_stack(expected), atol=1e-11)
    assert place.to_lonlat(np.empty((0, 2))).shape == (0, 2)
    assert place.sigma_m > 0 and place.notes


@pytest.mark.skipif(DATA is None, reason="FISSURA_DATA is not set; real photographs are needed")
def test_a_real_geographic_raster():
    path = Path(DATA or "") / "uav" / "roundabout_geotiff" / "frame_ref.tif"
    scale = find_ground_scale(path).scale
    x_mm, y_mm = np.diag(scale.matrix)[:2]
    assert x_mm / y_mm == pytest.approx(math.cos(math.radians(40.2688)), rel=4e-3)
    lonlat = find_position(path).placement.to_lonlat(np.array([[0.0, 0.0], [0.0, 1361.0]]))
    metres = GEOD.inv(*lonlat[0], *lonlat[1])[2]
    assert x_mm * 1361 == pytest.approx(metres * 1000, rel=1e-4)
