"""``fissura survey`` on real photos and a real GeoTIFF; skipped without FISSURA_DATA."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pyogrio
import pytest
import shapely
from typer.testing import CliRunner

from fissura.cli.app import app
from fissura.geo.homography import transform
from fissura.imaging.read import read_image

DATA = Path(os.environ.get("FISSURA_DATA", "")) / "uav"
pytestmark = pytest.mark.skipif(
    "FISSURA_DATA" not in os.environ or not DATA.is_dir(), reason="set FISSURA_DATA to the folder that holds uav/"
)


ORIGIN = np.array([576700.0, 5188100.0])
"""Near the photos, in UTM metres: single floats cannot hold whole coordinates to a centimetre."""


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory):
    out = tmp_path_factory.mktemp("brighton") / "run"
    words = ["survey", str(DATA / "brighton_beach"), "--out", str(out), "--rules", "astm_d6433"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return out


def read(out, layer):
    meta, _, shapes, columns = pyogrio.raw.read(out / "cracks.gpkg", layer=layer)
    assert meta["crs"] == "EPSG:32615"
    return dict(zip(meta["fields"], columns, strict=True)), shapely.from_wkb(shapes)


def test_cracks_lie_on_the_road_that_was_inspected(surveyed):
    fields, cracks = read(surveyed, "cracks")
    states, ground = read(surveyed, "inspected")
    road = ground[list(states["state"]).index("inspected")].buffer(0.3)
    assert len(cracks) > 50 and shapely.is_valid(cracks).all()
    assert sum(c.intersection(road).length for c in cracks) > 0.99 * sum(c.length for c in cracks)
    assert 800 < road.area < 3500  # of four hectares that the photos show
    assert set(fields["severity"]) <= {"low", "medium", "high"}


@pytest.mark.parametrize("names", [("DJI_0019.JPG", "DJI_0028.JPG"), ("DJI_0022.JPG", "DJI_0024.JPG")])
def test_the_same_point_of_two_photos_is_the_same_place(surveyed, names):
    """By other features than the survey's own; one photo of each pair was turned by half a circle in an editor."""
    fields, outlines = read(surveyed, "frames")
    found, to_ground = [], []
    for name in names:
        rgb = read_image(DATA / "brighton_beach" / name).rgb
        grey = cv2.cvtColor(cv2.resize(rgb, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        found.append(cv2.ORB.create(4000, fastThreshold=8).detectAndCompute(grey, None))
        outline = shapely.get_coordinates(outlines[list(fields["name"]).index(name)])[:4]
        h, w = rgb.shape[:2]
        corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
        if shapely.LinearRing(outline).is_ccw:  # from above, the corners of a picture run clockwise
            corners = corners[[0, 3, 2, 1]]
        to_ground.append(cv2.getPerspectiveTransform(corners, (outline - ORIGIN).astype(np.float32)))
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(found[0][1], found[1][1], k=2)
    good = [a for a, b in pairs if a.distance < 0.8 * b.distance]
    first = np.array([found[0][0][m.queryIdx].pt for m in good]) * 3 + 1
    second = np.array([found[1][0][m.trainIdx].pt for m in good]) * 3 + 1
    _, inliers = cv2.findHomography(first, second, cv2.USAC_MAGSAC, 9.0)
    same = inliers[:, 0] > 0
    assert same.sum() >= 20
    places = [transform(m.astype(np.float64), xy[same]) for m, xy in zip(to_ground, (first, second), strict=True)]
    distance = np.linalg.norm(places[0] - places[1], axis=1)
    assert np.median(distance) < 0.5 and distance.max() < 3.0


def test_a_geotiff_keeps_its_place_and_says_that_it_is_too_coarse(tmp_path):
    import rasterio

    source = DATA / "roundabout_geotiff" / "frame_ref.tif"
    out = tmp_path / "run"
    result = CliRunner().invoke(app, ["survey", str(source), "--out", str(out)])
    assert result.exit_code == 0 and "hardly ever seen" in result.output, result.output
    with rasterio.open(source) as raster:
        for kind in ("masks", "probability", "overlays"):
            with rasterio.open(out / kind / "frame_ref.tif") as layer:
                assert layer.crs == raster.crs and layer.transform.almost_equals(raster.transform, 1e-12)
                assert layer.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        with rasterio.open(out / "masks" / "frame_ref.tif") as layer:
            mask = cv2.dilate(layer.read(1), np.ones((3, 3), np.uint8)) > 0
        features = json.loads((out / "cracks.geojson").read_text())["features"]
        inside = []
        for feature in features:
            if feature["geometry"]["type"] == "LineString" and "bridged_share" in feature["properties"]:
                for lon, lat in feature["geometry"]["coordinates"]:
                    row, column = np.clip(raster.index(lon, lat), 0, np.array(mask.shape) - 1)
                    inside.append(bool(mask[row, column]))
    assert features and np.mean(inside) > 0.95
