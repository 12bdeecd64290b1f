from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from fissura.errors import GeometryError
from fissura.report.geojson import GeoFeature, write_cracks_geojson

LINE = np.array([[13.123456789123, 52.5], [13.1235, 52.50001], [13.1236, 52.50001]])
CLOCKWISE = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])


def read(path) -> dict:
    def refuse(text):
        raise ValueError(text)

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def write(tmp_path, *features: GeoFeature) -> dict:
    write_cracks_geojson(tmp_path / "cracks.geojson", iter(features))
    return read(tmp_path / "cracks.geojson")


def test_line_with_its_properties(tmp_path):
    when = datetime(2024, 5, 6, tzinfo=UTC)
    fields = {"id": 3, "zone": "Straße", "width_mean_mm": np.float64(2.4), "gsd_mm": float("nan"), "captured_at": when}
    data = write(tmp_path, GeoFeature("line", LINE, fields, position_sigma_m=1.2345678))
    assert data["type"] == "FeatureCollection" and "crs" not in data
    (feature,) = data["features"]
    assert feature["type"] == "Feature" and feature["geometry"]["type"] == "LineString"
    assert feature["geometry"]["coordinates"] == [[13.12345679, 52.5], [13.1235, 52.50001], [13.1236, 52.50001]]
    assert feature["properties"] == {
        "id": 3, "zone": "Straße", "width_mean_mm": 2.4, "gsd_mm": None, "captured_at": "2024-05-06T00:00:00+00:00",
        "position_sigma_m": 1.235,
    }  # fmt: skip
    assert data["bbox"] == [13.12345679, 52.5, 13.1236, 52.50001]


@pytest.mark.parametrize("outline", [CLOCKWISE, CLOCKWISE[::-1], np.vstack([CLOCKWISE, CLOCKWISE[:1]])])
def test_outlines_are_closed_and_counter_clockwise(tmp_path, outline):
    geometry = write(tmp_path, GeoFeature("area", outline))["features"][0]["geometry"]
    (ring,) = geometry["coordinates"]
    assert geometry["type"] == "Polygon" and len(ring) == 5 and ring[0] == ring[-1]
    assert shapely.LinearRing(ring).is_ccw and shape(geometry).is_valid and shape(geometry).area == 1.0


def test_an_outline_that_crosses_itself_becomes_valid(tmp_path):
    bow_tie = np.array([[0, 0], [1, 1], [1, 0], [0, 1.0]]) * 1e-5
    spike = np.array([[0, 0], [2, 0], [2, 2], [0, 2], [0, 0], [-1, 0.0]]) * 1e-5
    crossed, spiked = write(tmp_path, GeoFeature("area", bow_tie), GeoFeature("area", spike))["features"]
    assert crossed["geometry"]["type"] == "MultiPolygon"
    assert shape(crossed["geometry"]).area == pytest.approx(0.5e-10) and shape(crossed["geometry"]).is_valid
    assert spiked["geometry"]["type"] == "Polygon" and shape(spiked["geometry"]).area == pytest.approx(4e-10)


def test_random_outlines_are_valid(tmp_path):
    rng = np.random.default_rng(1)
    features = [GeoFeature("area", np.array([8.5, 47.4]) + rng.uniform(0, 3e-7, (12, 2))) for _ in range(40)]
    for feature in write(tmp_path, *features)["features"]:
        assert shape(feature["geometry"]).is_valid
        for polygon in getattr(shape(feature["geometry"]), "geoms", [shape(feature["geometry"])]):
            assert polygon.exterior.is_ccw


def test_a_crack_of_a_millimetre_keeps_its_two_ends(tmp_path):
    tiny = np.array([[13.0, 52.0], [13.0, 52.000000002]])
    geometry = write(tmp_path, GeoFeature("line", tiny))["features"][0]["geometry"]
    assert geometry["coordinates"] == [[13.0, 52.0], [13.0, 52.000000002]] and shape(geometry).is_valid


@pytest.mark.parametrize("longitudes", [[179.9999, -179.9999], [179.9999, 180.0001], [-179.9999, -180.0001]])
def test_cut_at_the_180th_meridian(tmp_path, longitudes):
    line = np.column_stack([longitudes, [-16.0, -16.0]])
    data = write(tmp_path, GeoFeature("line", line))
    geometry = data["features"][0]["geometry"]
    assert geometry["type"] == "MultiLineString" and "bbox" not in data
    assert {tuple(sorted(x for x, _ in part)) for part in geometry["coordinates"]} == {
        (179.9999, 180.0), (-180.0, -179.9999),
    }  # fmt: skip


def test_no_features(tmp_path):
    assert write(tmp_path) == {"type": "FeatureCollection", "features": []}


def test_one_feature_a_line(tmp_path):
    write(tmp_path, *[GeoFeature("line", LINE)] * 3)
    lines = (tmp_path / "cracks.geojson").read_text().splitlines()
    assert len(lines) == 5 and json.loads(lines[1].rstrip(","))["type"] == "Feature"


def test_nothing_is_written_if_a_feature_fails(tmp_path):
    point = GeoFeature("line", np.full((3, 2), 7.0), {"id": 9, "source_frame": "a.jpg"})
    with pytest.raises(GeometryError, match=r"no extent.*id 9 of a\.jpg"):
        write(tmp_path, GeoFeature("line", LINE), point)
    assert list(tmp_path.iterdir()) == []


def test_positions_that_are_none():
    with pytest.raises(GeometryError, match="N >= 2"):
        GeoFeature("line", LINE[:1])
    with pytest.raises(GeometryError, match="N >= 3"):
        GeoFeature("area", LINE[:2])
    with pytest.raises(GeometryError, match="not finite"):
        GeoFeature("line", LINE * np.nan)
    with pytest.raises(GeometryError, match="longitude before latitude"):
        GeoFeature("line", np.array([[389_000.0, 5_820_000.0], [389_001.0, 5_820_001.0]]))


def test_names_that_are_no_unicode_can_be_written(tmp_path):
    line = GeoFeature("line", np.array([[8.0, 50.0], [8.001, 50.0]]), {"source_frame": "stra\udcdfe.jpg"})
    assert write(tmp_path, line)["features"][0]["properties"]["source_frame"] == "stra?e.jpg"
