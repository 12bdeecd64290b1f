from __future__ import annotations

import csv
import errno
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from fissura.errors import OutputError
from fissura.report import deliver as module
from fissura.report.deliver import write_deliverables
from fissura.report.records import SurveyArea, SurveyCrack, SurveyResult, SurveySection, WidthSamples
from support.sample_survey import make_survey, to_lonlat

ALL = [
    "cracks.gpkg", "cracks.geojson", "cracks.csv", "whole_cracks.csv", "areas.csv", "sections.csv", "cracks.xlsx",
    "cracks.dxf", "widths.png", "labels",
]  # fmt: skip


def rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def names(paths):
    return [path.name for path in paths]


def test_everything_is_written(tmp_path):
    survey = make_survey(tmp_path)
    written = write_deliverables(survey)
    assert names(written) == ALL and all(path.exists() and path.parent == tmp_path for path in written)
    assert len(rows(tmp_path / "cracks.csv")) == 40 and len(rows(tmp_path / "areas.csv")) == 1
    assert cv2.imread(str(tmp_path / "widths.png")).shape == (720, 1200, 3)
    assert not [path for path in tmp_path.rglob("*") if "fissura-tmp" in path.name]


def test_what_labels_leave_out_is_said(tmp_path, monkeypatch):
    survey = make_survey(tmp_path)
    before = survey.notes
    write_deliverables(survey)
    assert survey.notes == before
    monkeypatch.setattr("fissura.report.labels.LARGEST_PIXELS", 1000)
    survey = make_survey(tmp_path)
    write_deliverables(survey)
    (note,) = survey.notes[len(before) :]
    assert "not in labels" in note and "320x240" in note and note.endswith("more")


def test_tables_and_map_agree(tmp_path):
    survey = make_survey(tmp_path)
    write_deliverables(survey)
    features = json.loads((tmp_path / "cracks.geojson").read_text("utf-8"))["features"]
    table = rows(tmp_path / "cracks.csv")
    assert len(features) == 41 and [f["geometry"]["type"] for f in features[-2:]] == ["LineString", "Polygon"]
    for feature, row, crack in zip(features, table, survey.cracks, strict=False):
        properties = feature["properties"]
        assert properties["id"] == int(row["id"]) and properties["position_sigma_m"] == float(row["position_sigma_m"])
        assert float(row["chainage_from_m"]) == properties["chainage_from_m"]
        assert properties["chainage_from_m"] == pytest.approx(crack.chainage_m[0], abs=1e-4)
        assert properties["offset_m"] == pytest.approx(crack.offset_m, abs=1e-4)


@pytest.mark.parametrize("placed", [True, False])
def test_whole_cracks_add_up_their_branches(tmp_path, placed):
    survey = make_survey(tmp_path, placed=placed)
    zoned = {"captured_at": datetime(2026, 5, 4, 10, 30, tzinfo=UTC)}
    survey.cracks[:2] = [replace(crack, fields=crack.fields | zoned) for crack in survey.cracks[:2]]
    write_deliverables(survey)
    branches, whole = rows(tmp_path / "cracks.csv"), rows(tmp_path / "whole_cracks.csv")
    assert [row["crack_id"] for row in whole] == [str(k) for k in range(1, 21)]
    length, width = ("length_m", "width_max_mm") if placed else ("length_px", "width_max_px")
    levels = ("", "low", "medium", "high")
    for row in whole:
        own = [branch for branch in branches if branch["crack_id"] == row["crack_id"]]
        assert row["branches"] == "2" == str(len(own))
        assert float(row[length]) == pytest.approx(sum(float(branch[length]) for branch in own), abs=0.006)
        widest = max(own, key=lambda branch: float(branch[width]))
        assert (row["widest_branch"], row["source_frame"]) == (widest["id"], widest["source_frame"])
        assert float(row[width]) == pytest.approx(float(widest[width]), abs=0.006)
        assert row["captured_at"] == widest["captured_at"]
        assert row["severity"] == max((branch["severity"] for branch in own), key=levels.index)
        for name, choose in (("chainage_from_m", min), ("chainage_to_m", max)) if placed else ():
            assert float(row[name]) == choose(float(branch[name]) for branch in own)
    assert ("width_mean_mm" in whole[0]) == placed and ("width_mean_px" in whole[0]) != placed


def test_sections_csv_has_a_row_for_a_section_without_cracks(tmp_path):
    survey = make_survey(tmp_path)
    survey.sections.append(SurveySection("30 to 40 m", 30.0, 40.0, to_lonlat([[30, 2], [40, 2]]), None, 0.5, ()))
    write_deliverables(survey)
    table = rows(tmp_path / "sections.csv")
    assert list(table[0]) == [
        "section", "start_m", "end_m", "inspected_m2", "inspected_share", "class", "severity", "zone", "cracks",
        "length_m", "area_m2", "width_mean_mm",
    ]  # fmt: skip
    assert len(table) == 40
    assert {k: v for k, v in table[-1].items() if v} == {
        "section": "30 to 40 m", "start_m": "30", "end_m": "40", "inspected_share": "0.5", "cracks": "0",
    }  # fmt: skip


def test_what_is_no_longer_true_is_removed(tmp_path):
    write_deliverables(make_survey(tmp_path))
    unplaced = replace(make_survey(tmp_path, placed=False), areas=[])
    written = write_deliverables(unplaced)
    assert names(written) == [
        "cracks.gpkg", "cracks.csv", "whole_cracks.csv", "sections.csv", "cracks.xlsx", "widths_px.png", "labels",
    ]  # fmt: skip
    for gone in ("cracks.geojson", "cracks.dxf", "areas.csv", "widths.png"):
        assert not (tmp_path / gone).exists()
    assert "length_px" in rows(tmp_path / "cracks.csv")[0]


@pytest.mark.parametrize("crs", [None, "EPSG:32630"])
def test_empty_survey(tmp_path, crs):
    written = write_deliverables(SurveyResult("nothing", tmp_path, crs=crs))
    placed = ["cracks.geojson", "cracks.dxf"] if crs else []
    tables = {"cracks.csv", "whole_cracks.csv", "sections.csv"}
    assert set(names(written)) == {"cracks.gpkg", "cracks.xlsx", "labels", *tables, *placed}
    assert (tmp_path / "sections.csv").read_text(encoding="utf-8-sig").strip()
    assert rows(tmp_path / "cracks.csv") == []


def test_both_scales_have_their_histogram(tmp_path):
    survey = make_survey(tmp_path)
    survey.widths.append(WidthSamples("px", [2.0, 3.0], [10.0, 20.0], [False, False]))
    assert {"widths.png", "widths_px.png"} <= set(names(write_deliverables(survey)))


def test_cracks_without_extent_do_not_stop_the_map(tmp_path):
    survey = make_survey(tmp_path)
    fields, point = survey.cracks[0].fields, to_lonlat([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    line = to_lonlat([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    survey.cracks += [SurveyCrack(fields, point), SurveyCrack(fields, np.full((2, 2), np.nan)), SurveyCrack(fields)]
    survey.areas += [SurveyArea(survey.areas[0].fields, shape) for shape in (point, line[:2], None)]
    assert names(write_deliverables(survey)) == ALL
    assert len(json.loads((tmp_path / "cracks.geojson").read_text("utf-8"))["features"]) == 41
    assert len(rows(tmp_path / "cracks.csv")) == 43


def test_one_that_fails_does_not_stop_the_others(tmp_path):
    survey = make_survey(tmp_path)
    (tmp_path / "cracks.xlsx").mkdir()  # nothing can be renamed onto a folder
    (tmp_path / "cracks.csv").mkdir()
    with pytest.raises(OutputError) as caught:
        write_deliverables(survey)
    assert "cracks.xlsx" in str(caught.value) and "cracks.csv" in str(caught.value)
    assert "2 files" in str(caught.value) and caught.value.errno is not None
    for name in set(ALL) - {"cracks.xlsx", "cracks.csv"}:
        assert (tmp_path / name).exists()


def test_a_stale_file_that_cannot_be_removed_is_named(tmp_path):
    survey = make_survey(tmp_path, placed=False)
    (tmp_path / "cracks.dxf").mkdir()
    with pytest.raises(OutputError, match=r"cracks\.dxf"):
        write_deliverables(survey)
    assert (tmp_path / "labels" / "coco.json").exists()


@pytest.mark.parametrize(("number", "stops"), [(errno.ENOSPC, True), (errno.EIO, True), (errno.EACCES, False)])
def test_a_full_disk_stops_at_once(tmp_path, monkeypatch, number, stops):
    def fail(path, *_):
        error = OutputError(f"cannot write {path}")
        error.errno = number
        raise error

    monkeypatch.setattr(module, "write_cracks_csv", fail)
    with pytest.raises(OutputError, match=r"cracks\.csv") as caught:
        write_deliverables(make_survey(tmp_path))
    assert caught.value.errno == number
    assert (tmp_path / "cracks.geojson").exists() and (tmp_path / "cracks.xlsx").exists() is not stops


def test_importing_it_loads_nothing_heavy():
    heavy = ("torch", "pyogrio", "openpyxl", "ezdxf", "rasterio", "jinja2", "matplotlib")
    code = f"import sys, fissura.report.deliver; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
