"""Zones against PROJ's own areas of use, positions that cannot be true, and transformers."""

import numpy as np
import pyproj
import pytest

from fissura.errors import GeometryError, SettingsError
from fissura.geo.crs import (
    choose_crs,
    read_crs,
    suspicious_position,
    to_crs,
    to_lonlat,
    transformer,
    unwrapped,
    wrapped,
)


@pytest.mark.parametrize(
    ("lon", "lat", "crs"),
    [
        (11.5, 48.1, "EPSG:32632"), (-0.1, 51.5, "EPSG:32630"), (0.1, 51.5, "EPSG:32631"), (-180, 10, "EPSG:32601"),
        (179.9, 10, "EPSG:32660"), (180, 10, "EPSG:32601"), (151.2, -33.9, "EPSG:32756"), (-70.6, -33.4, "EPSG:32719"),
        (5.3, 60.4, "EPSG:32632"), (2.9, 60.4, "EPSG:32631"), (5.3, 55.9, "EPSG:32631"), (5.3, 64.0, "EPSG:32631"),
        (15.6, 78.2, "EPSG:32633"), (8.9, 78.2, "EPSG:32631"), (9.0, 78.2, "EPSG:32633"), (22.0, 78.2, "EPSG:32635"),
        (41.0, 78.2, "EPSG:32637"), (43.0, 78.2, "EPSG:32638"), (15.6, 71.9, "EPSG:32633"), (7.0, 71.9, "EPSG:32632"),
        (20, 84.5, "EPSG:5041"), (20, -80.5, "EPSG:5042"), (20, -79.5, "EPSG:32734"), (9, 0, "EPSG:32632"),
    ],
)  # fmt: skip
def test_zones(lon, lat, crs):
    assert choose_crs(np.array([[lon, lat]], float)) == crs
    area = pyproj.CRS(crs).area_of_use
    assert area.south <= lat <= area.north


def test_mean_position_decides_also_across_the_date_line():
    assert choose_crs(np.array([[10.0, 48.0], [13.0, 48.0], [10.0, 48.0]])) == "EPSG:32632"
    assert choose_crs(np.array([[179.0, -17.0], [-179.5, -17.0], [179.6, -17.0], [179.0, -17.0]])) == "EPSG:32760"
    assert choose_crs(np.array([[np.nan, np.nan], [10.0, -48.0]])) == "EPSG:32732"


def test_no_position_is_an_error():
    for points in (np.zeros((0, 2)), np.full((3, 2), np.nan)):
        with pytest.raises(GeometryError, match="without a position"):
            choose_crs(points)
    with pytest.raises(GeometryError, match="longitude comes first"):
        choose_crs(np.array([[48.0, 111.0]]))


def test_null_island():
    assert "no fix" in suspicious_position(0.0, 0.0)
    assert "no fix" in suspicious_position(0.01, -0.02)
    assert suspicious_position(0.0, 32.5) is None and suspicious_position(5.6, 0.0) is None
    assert "not on the globe" in suspicious_position(91.0, 0.0)
    assert "no number" in suspicious_position(float("nan"), 3.0)


@pytest.mark.parametrize(
    ("text", "epsg"),
    [("EPSG:25832", 25832), ("25832", 25832), ("WGS84 UTM 16N", 32616), ("wgs84 utm 5s", 32705),
     ("+proj=utm +zone=10 +datum=WGS84 +units=m +no_defs +type=crs", 32610)],
)  # fmt: skip
def test_crs_as_people_write_it(text, epsg):
    assert read_crs(text).to_epsg() == epsg


def test_no_crs_says_what_to_give():
    with pytest.raises(SettingsError, match=r"'UTM32' is no coordinate system; give an EPSG code"):
        read_crs("UTM32")


def test_a_crs_that_is_nowhere_on_the_globe_is_an_error():
    site = pyproj.CRS('LOCAL_CS["Site",UNIT["Meter",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]')
    for act in (lambda: to_lonlat(np.zeros((1, 2)), site), lambda: transformer("EPSG:4326", site)):
        with pytest.raises(GeometryError, match="there is no way from"):
            act()


def test_longitudes_on_both_sides_of_the_date_line_have_a_mean():
    assert wrapped(float(unwrapped([179.5, -179.5, -179.0]).mean())) == pytest.approx(-179.6666667)
    assert wrapped(float(unwrapped([-179.5, 179.5, 179.0]).mean())) == pytest.approx(179.6666667)
    plain = np.array([9.1234567890123, -80.1, 9.3])
    assert (unwrapped(plain) == plain).all()
    assert [wrapped(x) for x in (plain[0], -180.0, 180.0)] == [plain[0], -180.0, 180.0]


def test_there_and_back_with_longitude_first():
    lonlat = np.array([[11.5, 48.1], [12.0, 48.5]])
    xy = to_crs(lonlat, "EPSG:32632")
    assert xy[0, 0] == pytest.approx(686_193, abs=200) and xy[0, 1] == pytest.approx(5_330_400, abs=400)
    np.testing.assert_allclose(to_lonlat(xy, "EPSG:32632"), lonlat, atol=1e-10)
    np.testing.assert_allclose(to_lonlat(xy, pyproj.CRS("EPSG:32632")), lonlat, atol=1e-10)
    assert transformer("EPSG:4326", "EPSG:32632") is transformer("EPSG:4326", "EPSG:32632")
    assert to_crs(np.zeros((0, 2)), "EPSG:32632").shape == (0, 2)
    with pytest.raises(GeometryError, match="cannot be brought"):
        to_lonlat(np.array([[1e12, 1e12]]), "EPSG:32632")
    assert np.isnan(to_crs(np.array([[np.nan, 1.0]]), "EPSG:32632")).all()
