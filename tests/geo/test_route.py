"""Routes from every kind of file, and chainage and offset against the ellipsoid."""

import sqlite3
from contextlib import closing

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely

from fissura.errors import GeometryError
from fissura.geo.crs import to_lonlat
from fissura.geo.route import Route, read_route

GEOD = pyproj.Geod(ellps="WGS84")
CRS = "EPSG:25832"
XY = np.array([[566_000.0, 5_934_000.0], [566_400.0, 5_934_300.0], [566_400.0, 5_935_300.0]])
LONLAT = to_lonlat(XY, CRS)
LENGTH_M = float(GEOD.line_length(*LONLAT.T))


def save(path, lines, crs="EPSG:4326", **options):
    shapes = shapely.to_wkb([shapely.LineString(line) if isinstance(line, np.ndarray) else line for line in lines])
    pyogrio.raw.write(path, shapes, field_data=[], fields=[], crs=crs, geometry_type="Unknown",
                      driver={".kml": "KML"}.get(path.suffix), **options)  # fmt: skip
    return path


def check(route):
    np.testing.assert_allclose(route.lonlat, LONLAT, atol=2e-8)
    assert route.length_m == pytest.approx(LENGTH_M, abs=0.01)


def test_length_is_the_ellipsoids():
    route = Route(LONLAT)
    assert route.length_m == pytest.approx(LENGTH_M, rel=1e-9)
    # 1 degree of latitude from 0 to 1, and of longitude on the equator, by the ellipsoid's own constants.
    assert Route(np.array([[9.0, 0.0], [9.0, 1.0]])).length_m == pytest.approx(110_574.389, abs=0.01)
    assert Route(np.array([[9.0, 0.0], [10.0, 0.0]])).length_m == pytest.approx(111_319.491, abs=0.01)


@pytest.mark.parametrize("longitude", [9.0, 11.9])
def test_chainage_and_offset(longitude):
    """Points put right and left of a line by the geodesic; in the middle of a zone and at its edge, where lengths in
    UTM are 0.4 per thousand too short and 0.2 too long, and straight lines lie half a millimetre beside geodesics."""
    lon, lat = np.full(5, longitude), np.full(5, 48.0)
    lon, lat, _ = GEOD.fwd(lon, lat, np.full(5, 30.0), np.array([0.0, 300.0, 700.0, 1200.0, 2000.0]))
    route = Route(np.column_stack([lon, lat]))
    for chainage in (150.0, 300.5, 1199.0, 1500.0):
        x, y, back = GEOD.fwd(longitude, 48.0, 30.0, chainage)
        for offset in (25.0, -12.5, 0.001):
            px, py, _ = GEOD.fwd(x, y, back + 180 + 90, offset)
            (at,), (away,) = route.locate(np.array([[px, py]]))
            assert at == pytest.approx(chainage, rel=1e-5, abs=2e-3)
            assert away == pytest.approx(offset, rel=1e-4, abs=6e-4)


def test_sides_at_a_bend_and_beyond_the_ends():
    route = Route(LONLAT)
    _, offset = route.locate(to_lonlat(np.array([[566_395.0, 5_934_310.0], [566_402.0, 5_934_296.0]]), CRS))
    assert offset[0] < 0 < offset[1]
    before = XY[0] - 0.1 * (XY[1] - XY[0])
    chainage, offset = route.locate(to_lonlat(np.array([before, XY[2] + [3.0, 4.0]]), CRS))
    np.testing.assert_allclose(chainage, [0.0, route.length_m], atol=1e-6)
    np.testing.assert_allclose(np.abs(offset), [50.0, 5.0], rtol=1e-3)
    assert offset[1] > 0
    empty = route.locate(np.zeros((0, 2)))
    assert [len(part) for part in empty] == [0, 0]


def test_parts():
    route = Route(LONLAT)
    part = route.sub_line(100.0, 700.0)
    assert len(part) == 3
    assert GEOD.line_length(*part.T) == pytest.approx(600.0, abs=1e-3)
    np.testing.assert_allclose(route.at(np.array([100.0, 700.0])), part[[0, -1]], atol=1e-12)
    np.testing.assert_allclose(route.locate(part[[0, -1]])[0], [100.0, 700.0], atol=1e-3)
    np.testing.assert_allclose(route.sub_line(0.0, route.length_m), LONLAT, atol=1e-10)
    for start, end in ((50, 20), (-5, 10), (0, route.length_m + 1)):
        with pytest.raises(GeometryError, match="is no part of a route"):
            route.sub_line(start, end)


def test_direction():
    # Grid north differs from true north by the convergence, 0.8 degrees here.
    assert Route(LONLAT).azimuth_deg(1000.0) == pytest.approx(GEOD.inv(*LONLAT[1], *LONLAT[2])[0] % 360, abs=0.01)
    assert Route(LONLAT[::-1]).azimuth_deg(0.0) == pytest.approx(GEOD.inv(*LONLAT[2], *LONLAT[1])[0] % 360, abs=0.01)


@pytest.mark.parametrize(
    ("name", "crs"),
    [(name, "EPSG:4326") for name in ("a.geojson", "a.gpkg", "a.shp", "a.kml")] + [("a.gpkg", CRS), ("a.shp", CRS)],
)
def test_files(tmp_path, name, crs):
    check(read_route(save(tmp_path / name, [XY if crs == CRS else LONLAT], crs)))


def test_old_geojson_with_a_crs(tmp_path):
    text = '{"type": "LineString", "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}, '
    (tmp_path / "a.geojson").write_text(text + f'"coordinates": {XY.tolist()}}}')
    check(read_route(tmp_path / "a.geojson"))


def test_gpx(tmp_path):
    points = "".join(f'<trkpt lat="{y!r}" lon="{x!r}"><ele>3</ele></trkpt>' for x, y in LONLAT.tolist())
    text = '<?xml version="1.0"?><gpx version="1.1" creator="t" xmlns="http://www.topografix.com/GPX/1/1">'
    path = tmp_path / "a.gpx"
    path.write_text(text + f'<wpt lat="1" lon="2"/><trk><trkseg>{points}</trkseg></trk></gpx>')
    check(read_route(path))
    path.write_text(text + f"<rte>{points.replace('trkpt', 'rtept')}</rte></gpx>")
    check(read_route(path))
    path.write_text(text + '<wpt lat="1" lon="2"/></gpx>')
    with pytest.raises(GeometryError, match="holds no line"):
        read_route(path)


@pytest.mark.parametrize(
    ("text", "crs"),
    [
        ("lon,lat\n{lonlat}", None), ("name;Latitude;Longitude\n{named}", None), ("{lonlat}", None),
        ("# made by hand\nx\ty\n{xy_tab}", CRS), ("{xy_space}", "25832"), ("Easting;Northing\n{xy_comma}", CRS),
    ],
)  # fmt: skip
def test_csv(tmp_path, text, crs):
    path = tmp_path / "a.csv"
    path.write_text("\ufeff" + text.format(
        lonlat="\n".join(f"{x!r},{y!r}" for x, y in LONLAT.tolist()),
        named="\n".join(f"p;{y!r};{x!r}" for x, y in LONLAT.tolist()),
        xy_tab="\n".join(f"{x}\t{y}" for x, y in XY), xy_space="\n".join(f"{x} {y}" for x, y in XY),
        xy_comma="\n".join(f"{x:.3f};{y:.3f}".replace(".", ",") for x, y in XY),
    ), encoding="utf-8")  # fmt: skip
    check(read_route(path, crs=crs))


@pytest.mark.parametrize(
    "header",
    ["latitude_deg,longitude_deg", "Latitude (deg),Longitude (deg)", "lat_wgs84,lon_wgs84", "Breitengrad,Längengrad",
     "Breitengrad,Laengengrad", "GPS Lat,GPS Long"],
)  # fmt: skip
def test_columns_with_units_are_not_swapped(tmp_path, header):
    path = tmp_path / "a.csv"
    path.write_text(header + "\n" + "\n".join(f"{y!r},{x!r}" for x, y in LONLAT.tolist()), encoding="utf-8")
    check(read_route(path))


@pytest.mark.parametrize("header", ["a,b", "lat,b", "lon1,lat1,lon2,lat2", "P1,9.0,48.0"])
def test_a_header_that_is_not_understood_is_an_error(tmp_path, header):
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n9.0,48.0\n9.1,48.0")
    with pytest.raises(GeometryError, match=r"the first line of a\.csv is '.*one of lon, .* and one of lat, "):
        read_route(path)


def test_csv_errors(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('lon,lat\n9.1,"48\n' + "9.2,48.1\n" * 20_000)
    with pytest.raises(GeometryError, match=r"a\.csv is no table .*; look for a quotation mark that is not closed"):
        read_route(path)
    path.write_text("x,y\n" + "\n".join(f"{x},{y}" for x, y in XY))
    with pytest.raises(GeometryError, match=r"566000.* --route-crs"):
        read_route(path)
    path.write_text("x,y\n1.0,2.0\n3.0,4.0")
    with pytest.raises(GeometryError, match="does not say its coordinate system"):
        read_route(path)
    path.write_text("lon,lat\n9.0,48.0\n9.1,north")
    with pytest.raises(GeometryError, match=r"line 3 of a.csv is '9.1,north'; needed are two numbers"):
        read_route(path)
    path.write_text("# by hand\n\nlon,lat\n9.0,48.0\n\n# north\n9.1,north")
    with pytest.raises(GeometryError, match=r"line 7 of a.csv"):
        read_route(path)
    path.write_text("lon,lat\n9.0,48.0")
    with pytest.raises(GeometryError, match="holds 1 vertices"):
        read_route(path)
    path.write_text("")
    with pytest.raises(GeometryError, match="holds 0 vertices"):
        read_route(path)


def test_lines_are_put_together_in_order(tmp_path):
    """In pieces, the second turned; in pieces out of order; as one MultiLineString."""
    pieces = [LONLAT[:2], LONLAT[1:][::-1]]
    check(read_route(save(tmp_path / "a.gpkg", pieces)))
    five = np.vstack([LONLAT, LONLAT[-1] + [[0.001, 0.0], [0.002, 0.001]]])
    shuffled = [five[1:3], five[3:5], five[:2], five[2:4]]
    found = read_route(save(tmp_path / "b.gpkg", shuffled)).lonlat
    np.testing.assert_allclose(found, five, atol=1e-9)
    check(read_route(save(tmp_path / "c.gpkg", [shapely.MultiLineString(pieces)])))
    check(read_route(save(tmp_path / "d.gpkg", [LONLAT[:2], shapely.Point(LONLAT[0]), LONLAT[1:]])))


@pytest.mark.parametrize("srs_id", [-1, 0])
def test_a_geopackage_of_an_undefined_crs_takes_the_one_given(tmp_path, srs_id):
    path = save(tmp_path / "a.gpkg", [XY], CRS)
    with closing(sqlite3.connect(path)) as database, database:
        for table in ("gpkg_contents", "gpkg_geometry_columns"):
            database.execute(f"update {table} set srs_id = ?", (srs_id,))
    with pytest.raises(GeometryError, match=r"does not say its coordinate system.*--route-crs"):
        read_route(path)
    check(read_route(path, crs=CRS))


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(GeometryError, match=r"3 lines that do not hang together: 4\d\d\.\d m"):
        read_route(save(tmp_path / "a.gpkg", [LONLAT[:2], LONLAT[1:], LONLAT[:2] + np.array([0.0, 0.014])]))
    with pytest.raises(GeometryError, match="holds no line"):
        read_route(save(tmp_path / "b.gpkg", [shapely.Point(LONLAT[0])]))
    with pytest.raises(GeometryError, match="does not exist"):
        read_route(tmp_path / "none.gpkg")
    (tmp_path / "c.geojson").write_text("{broken")
    with pytest.raises(GeometryError, match="cannot be read as a map"):
        read_route(tmp_path / "c.geojson")
    save(tmp_path / "d.shp", [XY], CRS)
    (tmp_path / "d.prj").unlink()
    with pytest.raises(GeometryError, match=r"does not say its coordinate system.*\.prj"):
        read_route(tmp_path / "d.shp")
    check(read_route(tmp_path / "d.shp", crs=CRS))
    save(tmp_path / "e.gpkg", [LONLAT], layer="a")
    save(tmp_path / "e.gpkg", [LONLAT], layer="b", append=True)
    with pytest.raises(GeometryError, match=r"several layers \(a, b\)"):
        read_route(tmp_path / "e.gpkg")
    for points in (np.array([[9.0, 48.0]]), np.array([[9.0, 48.0]] * 3)):
        with pytest.raises(GeometryError, match="less than two different vertices"):
            Route(points)
    with pytest.raises(GeometryError, match="no longitude and latitude"):
        Route(XY)
