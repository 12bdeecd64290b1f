from __future__ import annotations

import errno
import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pyogrio.errors
import pyogrio.raw
import pytest
import shapely

from fissura.errors import FissuraError, OutputError
from fissura.report.geopackage import write_geopackage
from fissura.report.records import SurveyCrack, SurveyFrame, SurveyGround, SurveyResult
from support.sample_survey import CRS, EAST, NORTH, make_survey, to_lonlat

WIDTHS = ("width_mean", "width_median", "width_p95", "width_max", "width_sigma")
EXTENT = {name: "OFTInteger64" for name in ("left_px", "top_px", "right_px", "bottom_px")}
CRACKS = {
    "id": "OFTInteger64", "crack_id": "OFTInteger64", "class": "OFTString", "orientation_deg": "OFTReal",
    "length_m": "OFTReal", **{f"{name}_mm": "OFTReal" for name in WIDTHS}, "gsd_mm": "OFTReal",
    "below_gsd": "OFTInteger", "severity": "OFTString", "standard": "OFTString", "zone": "OFTString",
    "confidence": "OFTReal", "source_frame": "OFTString", "captured_at": "OFTDateTime", "model": "OFTString",
    "bridged_share": "OFTReal", **EXTENT, "notes": "OFTString", "extent": "OFTString", "position_sigma_m": "OFTReal",
    "chainage_from_m": "OFTReal", "chainage_to_m": "OFTReal", "offset_m": "OFTReal", "picture": "OFTString",
}  # fmt: skip
AREAS = {
    "id": "OFTInteger64", "class": "OFTString", "area_m2": "OFTReal", "crack_length_m": "OFTReal",
    "width_mean_mm": "OFTReal", "severity": "OFTString", "standard": "OFTString", "source_frame": "OFTString",
    "captured_at": "OFTDateTime", "model": "OFTString", **EXTENT, "position_sigma_m": "OFTReal",
    "chainage_from_m": "OFTReal", "chainage_to_m": "OFTReal",
}  # fmt: skip
FRAMES = {
    "name": "OFTString", "source": "OFTString", "kind": "OFTString", "status": "OFTString",
    "captured_at": "OFTDateTime", "gsd_mm": "OFTReal", "height_m": "OFTReal", "sharpness": "OFTReal",
    "position_sigma_m": "OFTReal", "road_found": "OFTInteger", "direction_deg": "OFTReal", "slices": "OFTInteger64",
    "seconds": "OFTReal", "error": "OFTString", "notes": "OFTString", "overlay": "OFTString", "mask": "OFTString",
}  # fmt: skip
SECTIONS = {
    "name": "OFTString", "start_m": "OFTReal", "end_m": "OFTReal", "cracks": "OFTInteger64", "length_m": "OFTReal",
    "crack_length_per_m": "OFTReal",
    **{f"length_{k}_m": "OFTReal" for k in ("longitudinal", "transverse", "diagonal", "alligator", "other")},
    **{f"length_severity_{k}_m": "OFTReal" for k in ("low", "medium", "high")}, "area_m2": "OFTReal",
    **{f"area_severity_{k}_m2": "OFTReal" for k in ("low", "medium", "high")},
    "inspected_m2": "OFTReal", "inspected_share": "OFTReal",
}  # fmt: skip
ROWS = {
    "section": "OFTString", "start_m": "OFTReal", "end_m": "OFTReal", "inspected_m2": "OFTReal",
    "inspected_share": "OFTReal", "class": "OFTString", "severity": "OFTString", "zone": "OFTString",
    "cracks": "OFTInteger64", "length_m": "OFTReal", "area_m2": "OFTReal", "width_mean_mm": "OFTReal",
}  # fmt: skip
SCHEMAS = {
    "cracks": ("LineString", CRACKS), "crack_polygons": ("MultiPolygon", AREAS), "frames": ("MultiPolygon", FRAMES),
    "sections": ("LineString", SECTIONS),
    "inspected": ("MultiPolygon", {"state": "OFTString", "meaning": "OFTString", "area_m2": "OFTReal"}),
    "tracks": ("LineString", {"name": "OFTString", "kind": "OFTString", "points": "OFTInteger64",
                              "length_m": "OFTReal"}),
    "section_rows": (None, ROWS), "about": (None, {"item": "OFTString", "text": "OFTString"}),
}  # fmt: skip
STYLED = ("cracks", "crack_polygons", "frames", "sections", "inspected", "tracks")


def read(path, layer):
    """Rows as dictionaries and geometries, as GDAL gives them."""
    meta, _, wkb, columns = pyogrio.raw.read(path, layer=layer)
    rows = [dict(zip(meta["fields"], values, strict=True)) for values in zip(*columns, strict=True)]
    return rows, None if wkb is None else shapely.from_wkb(wkb)


def schema(path, layer):
    info = pyogrio.read_info(path, layer=layer)
    return info, dict(zip(info["fields"], info["ogr_types"], strict=True))


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> SurveyResult:
    return make_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def written(survey):
    path = survey.folder / "cracks.gpkg"
    write_geopackage(path, survey)
    return path


@pytest.mark.parametrize("layer", SCHEMAS)
def test_fields_types_and_crs(written, layer):
    kind, wanted = SCHEMAS[layer]
    info, found = schema(written, layer)
    assert found == wanted and list(found) == list(wanted)
    assert (info["geometry_type"], info["crs"]) == (kind, CRS if kind else None)
    for name in ("below_gsd", "road_found"):
        if name in found:
            assert info["ogr_subtypes"][list(found).index(name)] == "OFSTBoolean"


def test_layers_and_no_others(written):
    names = [name for name, _ in pyogrio.list_layers(written)]
    assert names == [*SCHEMAS, "layer_styles"]


@pytest.mark.parametrize("layer", STYLED)
def test_geometries_are_valid_and_lie_on_the_road(written, survey, layer):
    rows, shapes = read(written, layer)
    there = [shape for shape in shapes if shape is not None]
    assert there and all(shape.is_valid and not shape.is_empty for shape in there)
    west, south, east, north = shapely.total_bounds(there)
    assert EAST - 10 < west < east < EAST + 50 and NORTH - 10 < south < north < NORTH + 20
    counts = {"cracks": 40, "crack_polygons": 1, "frames": 12, "sections": 3, "inspected": 3, "tracks": 2}
    assert len(rows) == counts[layer]


def test_values_of_a_crack(written, survey):
    rows, shapes = read(written, "cracks")
    row, crack = rows[3], survey.cracks[3]
    assert row["id"] == 4 and row["notes"] == '=1+1; <b>&</b> "quoted"' and bool(row["below_gsd"]) is False
    assert row["width_mean_mm"] == crack.fields["width_mean_mm"] and row["position_sigma_m"] == 1.8
    assert row["captured_at"] == np.datetime64("2026-05-04T10:30:06.000")
    assert row["chainage_from_m"] == pytest.approx(crack.chainage_m[0], abs=1e-4)
    assert np.allclose(to_lonlat(np.array(shapes[3].coords) - (EAST, NORTH)), crack.lonlat, atol=1e-11)


def test_values_that_are_not_known_are_null(written):
    rows, shapes = read(written, "frames")
    failed = rows[4]
    assert failed["status"] == "failed" and failed["error"] == "the file is cut off" and shapes[4] is None
    assert np.isnan(failed["gsd_mm"]) and np.isnat(failed["captured_at"]) and np.isnan(failed["road_found"])
    assert rows[9]["notes"] == "blurred: 0.4 of the usual sharpness"


def test_sections_add_up(written, survey):
    sections, _ = read(written, "sections")
    rows, _ = read(written, "section_rows")
    assert len(rows) == sum(len(section.rows) for section in survey.sections) == 39
    second = sections[1]
    assert second["length_m"] == pytest.approx(12 * 7.0) and second["crack_length_per_m"] == pytest.approx(8.4)
    assert second["length_longitudinal_m"] == pytest.approx(21)
    assert second["length_severity_high_m"] == pytest.approx(28)
    assert second["area_m2"] == second["area_severity_medium_m2"] == 4.4 and second["inspected_share"] == 0.9
    for section in sections:
        own = [row for row in rows if row["section"] == section["name"]]
        assert sum(row["length_m"] for row in own) == pytest.approx(section["length_m"])
        assert sum(row["cracks"] for row in own) == section["cracks"]


def test_tracks_have_their_length_in_metres(written):
    rows, _ = read(written, "tracks")
    assert [(row["name"], row["kind"]) for row in rows] == [("flight", "flight"), ("route", "route")]
    assert rows[0]["points"] == 11 and rows[1]["length_m"] == pytest.approx(30, abs=0.02)


def test_limits_travel_with_the_numbers(written, survey):
    rows, _ = read(written, "about")
    assert {row["text"] for row in rows if row["item"] == "limit"} == set(survey.limits)
    assert ("crs", CRS) in {(row["item"], row["text"]) for row in rows}


def test_styles_are_where_qgis_looks_for_them(written):
    database = sqlite3.connect(written)
    columns = [row[1] for row in database.execute("PRAGMA table_info(layer_styles)")]
    assert columns == [
        "id", "f_table_catalog", "f_table_schema", "f_table_name", "f_geometry_column", "styleName", "styleQML",
        "styleSLD", "useAsDefault", "description", "owner", "ui", "update_time",
    ]  # fmt: skip
    (kind,) = database.execute("SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'").fetchone()
    assert kind == "attributes"
    geometry = dict(database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns"))
    styles = database.execute(
        "SELECT f_table_name, f_geometry_column, f_table_catalog, f_table_schema, useAsDefault, styleQML "
        "FROM layer_styles"
    ).fetchall()
    assert [style[0] for style in styles] == list(STYLED)
    for name, column, catalog, schema_name, default, qml in styles:
        assert (geometry[name], catalog, schema_name, default) == (column, "", "", 1)
        check_style(ElementTree.fromstring(qml), {row[1] for row in database.execute(f"PRAGMA table_info({name})")})
    database.close()


def check_style(root, fields):
    """Every entry of the legend has a symbol that is drawn, and attributes are fields of the layer."""
    assert root.tag == "qgis"
    renderer = root.find("renderer-v2")
    symbols = {symbol.get("name") for symbol in renderer.findall("symbols/symbol")}
    entries = [e for tag in ("rules/rule", "categories/category", "ranges/range") for e in renderer.findall(tag)]
    assert entries and {entry.get("symbol") for entry in entries} == symbols
    assert all(symbol.find("layer/Option/Option") is not None for symbol in renderer.findall("symbols/symbol"))
    assert renderer.get("attr") is None or renderer.get("attr") in fields
    for rule in renderer.findall("rules/rule"):
        assert set(rule.get("filter").split('"')[1::2]) <= fields


def style_of(path, layer):
    database = sqlite3.connect(path)
    (qml,) = database.execute("SELECT styleQML FROM layer_styles WHERE f_table_name = ?", (layer,)).fetchone()
    database.close()
    return ElementTree.fromstring(qml).find("renderer-v2")


def test_cracks_are_coloured_by_severity_with_a_standard(written):
    rules = style_of(written, "cracks").findall("rules/rule")
    assert [rule.get("label") for rule in rules[1:]] == ["low", "medium", "high", "not rated"]
    dashed = style_of(written, "cracks").find("symbols/symbol[@name='0']/layer/Option/Option[@name='use_custom_dash']")
    assert rules[0].get("filter") == '"below_gsd"' and dashed.get("value") == "1"


def test_cracks_are_coloured_by_width_without_a_standard(survey, tmp_path):
    path = tmp_path / "cracks.gpkg"
    write_geopackage(path, replace(survey, standard="", thresholds_mm={}))
    rules = style_of(path, "cracks").findall("rules/rule")
    filters = [rule.get("filter") for rule in rules if "width_mean_mm" in rule.get("filter")]
    # Run as SQL, for which QGIS's expressions of this kind are valid, each crack belongs to one class.
    database = sqlite3.connect(path)
    counts = [database.execute(f"SELECT count(*) FROM cracks WHERE {text}").fetchone()[0] for text in filters]
    (unseen,) = database.execute("SELECT count(*) FROM cracks WHERE below_gsd").fetchone()
    database.close()
    assert len(filters) >= 3 and unseen > 0 and sum(counts) + unseen == 40


def test_hostile_severity_names_stay_inside_their_quotes(survey, tmp_path):
    hostile = "it's <high> \x01\"&"
    crack = replace(survey.cracks[0], fields={**survey.cracks[0].fields, "severity": hostile})
    write_geopackage(tmp_path / "a.gpkg", replace(survey, cracks=[crack], areas=[], sections=[]))
    filters = [rule.get("filter") for rule in style_of(tmp_path / "a.gpkg", "cracks").findall("rules/rule")]
    assert "\"severity\" = 'it''s <high> \"&' AND NOT \"below_gsd\"" in filters


def test_empty_survey_has_all_layers_with_their_columns(tmp_path):
    path = tmp_path / "new" / "cracks.gpkg"
    write_geopackage(path, SurveyResult("nothing", tmp_path, crs=CRS))
    for layer, (kind, wanted) in SCHEMAS.items():
        info, found = schema(path, layer)
        wanted = {name: t for name, t in wanted.items() if name != "extent" and "severity_" not in name}
        assert (found, info["geometry_type"], info["crs"]) == (wanted, kind, CRS if kind else None)
        assert info["features"] == (3 if layer == "about" else 0)
    assert style_of(path, "cracks").find("rules/rule") is not None


def test_without_a_place_there_are_tables_in_pixels(tmp_path):
    survey = make_survey(tmp_path, placed=False)
    write_geopackage(tmp_path / "cracks.gpkg", survey)
    assert [name for name, _ in pyogrio.list_layers(tmp_path / "cracks.gpkg")] == list(SCHEMAS)
    for layer in SCHEMAS:
        info, found = schema(tmp_path / "cracks.gpkg", layer)
        assert info["geometry_type"] is None
        if layer == "cracks":
            assert info["features"] == 40 and {"length_px", *(f"{n}_px" for n in WIDTHS)} <= set(found)
            assert not {"length_m", *(f"{n}_mm" for n in WIDTHS)} & set(found)


def test_the_same_survey_gives_the_same_file(survey, tmp_path):
    for name in ("a", "b"):
        write_geopackage(tmp_path / f"{name}.gpkg", replace(survey, created_at=None))
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    write_geopackage(tmp_path / "c.gpkg", survey)
    database = sqlite3.connect(tmp_path / "c.gpkg")
    changed = {when for (when,) in database.execute("SELECT last_change FROM gpkg_contents")}
    database.close()
    assert changed == {"2026-05-04T13:30:00.000Z"}


def test_broken_shapes_keep_their_rows(survey, tmp_path):
    fields = survey.cracks[0].fields
    point = to_lonlat([[1.0, 1.0], [1.0, 1.0]])
    lines = (point, np.array([[np.nan, 1.0], [2.0, 3.0]]), None)
    cracks = [SurveyCrack(fields, line) for line in lines]
    bowtie = to_lonlat([[0, 0], [4, 4], [4, 0], [0, 4]])
    frames = [SurveyFrame("a", "a", footprint_lonlat=bowtie), SurveyFrame("b", "b", footprint_lonlat=point)]
    ground = [SurveyGround("inspected", shapely.Polygon(bowtie), 1.0), SurveyGround("not_seen", None, None)]
    write_geopackage(tmp_path / "a.gpkg", replace(survey, cracks=cracks, frames=frames, ground=ground))
    assert list(read(tmp_path / "a.gpkg", "cracks")[1]) == [None] * 3
    for layer in ("frames", "inspected"):
        shapes = read(tmp_path / "a.gpkg", layer)[1]
        assert shapes[0].is_valid and shapes[0].area == pytest.approx(8, rel=1e-3) and shapes[1] is None


def test_times_with_a_zone_are_utc(survey, tmp_path):
    east = datetime(2026, 5, 4, 10, 0, tzinfo=timezone(timedelta(hours=2)))
    times = (east, east.isoformat(), datetime(2026, 5, 4, 8, tzinfo=UTC), datetime(2026, 5, 4, 8), "no time")
    cracks = [replace(survey.cracks[0], fields={**survey.cracks[0].fields, "captured_at": when}) for when in times]
    write_geopackage(tmp_path / "a.gpkg", replace(survey, cracks=cracks))
    found = [row["captured_at"] for row in read(tmp_path / "a.gpkg", "cracks")[0]]
    assert found[:4] == [np.datetime64("2026-05-04T08:00:00.000")] * 4 and np.isnat(found[4])


def test_names_that_no_encoding_could_read(survey, tmp_path):
    frames = [SurveyFrame("b\udcffad\0.jpg", "Straße/裂缝.jpg")]
    write_geopackage(tmp_path / "a.gpkg", replace(survey, frames=frames))
    row = read(tmp_path / "a.gpkg", "frames")[0][0]
    assert (row["name"], row["source"]) == ("b?ad.jpg", "Straße/裂缝.jpg")


def test_a_failed_write_leaves_the_old_file(survey, written, tmp_path):
    path = tmp_path / "cracks.gpkg"
    path.write_bytes(b"old")
    with pytest.raises(FissuraError, match="EPSG:999999"):
        write_geopackage(path, replace(survey, crs="EPSG:999999"))
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["cracks.gpkg"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="a file is in the way"):
        write_geopackage(tmp_path / "file" / "cracks.gpkg", survey)


@pytest.mark.parametrize(("free", "text", "number"), [
    (10**9, "failed: database or disk is full", errno.ENOSPC), (10**5, "Failed to commit transaction", errno.ENOSPC),
    (10**9, "Failed to commit transaction", None),
])  # fmt: skip
def test_gdal_errors_become_ours(survey, tmp_path, monkeypatch, free, text, number):
    def fail(*_, **__):
        raise pyogrio.errors.DataSourceError(text)

    monkeypatch.setattr(pyogrio.raw, "write", fail)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**10, 10**10 - free, free))
    with pytest.raises(OutputError, match="the disk is full" if number else text) as caught:
        write_geopackage(tmp_path / "a.gpkg", survey)
    assert caught.value.errno == number and not list(tmp_path.iterdir())


def test_journals_of_the_old_file_are_removed(survey, tmp_path):
    path = tmp_path / "cracks.gpkg"
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"cracks.gpkg{end}").write_bytes(b"of a file that QGIS had open")
    write_geopackage(path, survey)
    assert [p.name for p in tmp_path.iterdir()] == ["cracks.gpkg"]
    assert pyogrio.read_info(path, layer="cracks")["features"] == 40
