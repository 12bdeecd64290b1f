from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fissura.errors import OutputError
from fissura.measure.measuring import measure_cracks
from fissura.measure.model import Crack, CrackArea
from fissura.report.tables import (
    area_fields,
    crack_fields,
    round_fields,
    write_areas_csv,
    write_cracks_csv,
    write_summary_csv,
)

DESIGN = (
    "id crack_id class orientation_deg length_m width_mean_mm width_median_mm width_p95_mm width_max_mm width_sigma_mm "
    "gsd_mm below_gsd severity standard zone confidence source_frame captured_at model"
).split()


def make_crack(*, scaled: bool = True, **more) -> Crack:
    values = {
        "id": 3, "crack_id": 2, "points_rc": np.array([[10.4, 20.6], [50.0, 19.5]]), "orientation_deg": 91.23456,
        "length": 1234.56789, "width_mean": 2.4000000001, "width_median": 2.3, "width_p95": 3.1, "width_max": 3.45678,
        "width_sigma": 0.1234567, "gsd_mm": 0.5123456, "below_gsd": False, "confidence": 0.87654321,
        "kind": "transverse", "severity": "low", "standard": "ASTM D6433", "zone": "wheel path", "scaled": scaled,
        "bridged_share": 0.1, "notes": ("height above take-off", "one, two"),
    }  # fmt: skip
    return Crack(**(values | more))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_are_those_of_the_design_with_extent_and_notes_behind(tmp_path):
    write_cracks_csv(tmp_path / "cracks.csv", [crack_fields(make_crack())])
    (row,) = read(tmp_path / "cracks.csv")
    assert list(row)[: len(DESIGN)] == DESIGN
    assert list(row)[len(DESIGN) :] == ["bridged_share", "left_px", "top_px", "right_px", "bottom_px", "notes"]


def test_values_are_rounded_and_come_back(tmp_path):
    when = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    fields = crack_fields(make_crack(), source_frame="Straße/a,b.jpg", captured_at=when, model="fast")
    write_cracks_csv(tmp_path / "cracks.csv", [fields])
    (row,) = read(tmp_path / "cracks.csv")
    assert row["length_m"] == "1.2346" and row["width_mean_mm"] == "2.4" and row["width_max_mm"] == "3.457"
    assert row["orientation_deg"] == "91.2" and row["gsd_mm"] == "0.5123" and row["confidence"] == "0.877"
    assert row["source_frame"] == "Straße/a,b.jpg" and row["captured_at"] == "2024-05-06T07:08:09+00:00"
    assert row["notes"] == "height above take-off; one, two" and row["below_gsd"] == "false"
    assert [row[name] for name in ("left_px", "top_px", "right_px", "bottom_px")] == ["20", "10", "21", "50"]


def test_without_a_scale_names_end_in_px_and_gsd_is_empty(tmp_path):
    write_cracks_csv(tmp_path / "cracks.csv", [crack_fields(make_crack(scaled=False, gsd_mm=float("nan")))])
    (row,) = read(tmp_path / "cracks.csv")
    assert row["length_px"] == "1234.57" and row["width_mean_px"] == "2.4" and row["gsd_mm"] == ""
    assert not any((name.endswith("_mm") and name != "gsd_mm") or name == "length_m" for name in row)


def test_mixed_pictures_have_both_families(tmp_path):
    rows = [crack_fields(make_crack(scaled=False)), crack_fields(make_crack())]
    write_cracks_csv(tmp_path / "cracks.csv", iter(rows))
    first, second = read(tmp_path / "cracks.csv")
    assert first["length_m"] == "" and first["length_px"] == "1234.57"
    assert second["length_m"] == "1.2346" and second["length_px"] == ""
    names = list(first)
    assert names.index("length_m") < names.index("width_sigma_mm") < names.index("length_px") < names.index("gsd_mm")


def test_no_cracks_is_a_header(tmp_path):
    write_cracks_csv(tmp_path / "deep" / "cracks.csv", [])
    lines = (tmp_path / "deep" / "cracks.csv").read_text("utf-8-sig").splitlines()
    assert len(lines) == 1 and lines[0].split(",")[: len(DESIGN)] == DESIGN


def test_excel_sees_the_mark_and_rfc_4180_line_ends(tmp_path):
    write_cracks_csv(tmp_path / "cracks.csv", [crack_fields(make_crack())])
    data = (tmp_path / "cracks.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfid,crack_id") and data.count(b"\r\n") == data.count(b"\n") == 2


def test_not_a_number_is_empty(tmp_path):
    fields = crack_fields(make_crack(width_sigma=float("nan"), width_max=float("inf")))
    assert fields["width_sigma_mm"] is None and fields["width_max_mm"] is None
    write_cracks_csv(tmp_path / "cracks.csv", [fields | {"extra": np.float64("nan")}])
    (row,) = read(tmp_path / "cracks.csv")
    assert row["width_sigma_mm"] == row["extra"] == "" and list(row)[-1] == "extra"


def test_an_axis_of_180_degrees_is_0():
    assert crack_fields(make_crack(orientation_deg=179.97))["orientation_deg"] == 0.0


def test_rounding_by_name():
    fields = {"area_m2": 0.123456, "x": 123456.789, "gsd_mm": 0.0123456, "shift_m": -0.00001, "n": np.int64(3)}
    rounded = round_fields(fields)
    assert rounded == {"area_m2": 0.1235, "x": 123457.0, "gsd_mm": 0.01235, "shift_m": 0.0, "n": 3}
    assert str(rounded["shift_m"]) == "0.0" and type(rounded["n"]) is int


@pytest.mark.parametrize("scaled", [True, False])
def test_areas(tmp_path, scaled):
    area = CrackArea(1, np.array([[0.0, 0], [0, 10], [8, 10]]), 0.812345, 5400.0, 1.9, "high", "ASTM D6433", scaled)
    write_areas_csv(tmp_path / "areas.csv", [area_fields(area, source_frame="a.jpg")])
    (row,) = read(tmp_path / "areas.csv")
    assert row["class"] == "alligator" and row["severity"] == "high" and row["bottom_px"] == "8"
    if scaled:
        assert (row["area_m2"], row["crack_length_m"], row["width_mean_mm"]) == ("0.8123", "5.4", "1.9")
    else:
        assert (row["area_px2"], row["crack_length_px"], row["width_mean_px"]) == ("1", "5400", "1.9")


def test_columns_that_are_asked_for_are_there_without_rows_too(tmp_path):
    path = tmp_path / "summary.csv"
    write_summary_csv(path, [], columns=("a", "b"))
    assert path.read_text(encoding="utf-8-sig") == "a,b\n"
    write_summary_csv(path, [{"c": 1, "b": 2}], columns=("a", "b"))
    assert path.read_text(encoding="utf-8-sig") == "a,b,c\n,2,1\n"


def test_summary_has_all_names(tmp_path):
    write_summary_csv(tmp_path / "summary.csv", [{"a": 1, "b": None}, {"a": 2.5, "c": True, "d": 0.00001, "e": 1e15}])
    assert read(tmp_path / "summary.csv") == [
        {"a": "1", "b": "", "c": "", "d": "", "e": ""},
        {"a": "2.5", "b": "", "c": "true", "d": "0.00001", "e": "1e+15"},
    ]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "cracks.csv"
    path.write_text("old")

    class Bad(dict):
        def get(self, *_):
            raise KeyError("row")

    with pytest.raises(KeyError):
        write_cracks_csv(path, [Bad(id=1)])
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match=r"cannot write .*cracks\.csv"):
        write_cracks_csv(path / "cracks.csv", [])


def test_texts_are_no_formulas_and_numbers_stay_numbers(tmp_path):
    texts = ["=1+1", "+x", "-2+3|cmd", "@sum", "a=b", "-10 to 0 m", "stra\udcdfe.jpg"]
    write_summary_csv(tmp_path / "a.csv", [{"text": text, "number": -1.5} for text in texts])
    rows = read(tmp_path / "a.csv")
    assert [row["text"] for row in rows] == [
        "'=1+1", "'+x", "'-2+3|cmd", "'@sum", "a=b", "-10 to 0 m", "stra?e.jpg",
    ]  # fmt: skip
    assert {row["number"] for row in rows} == {"-1.5"}


def test_the_box_is_the_masks_and_never_leaves_the_picture():
    def box(mask):
        fields = crack_fields(measure_cracks(mask).cracks[0], size_hw=mask.shape)
        return [fields[name] for name in ("left_px", "top_px", "right_px", "bottom_px")]

    mask = np.zeros((60, 200), bool)
    mask[28:33, 20:181] = True
    assert box(mask) == [20, 30, 180, 30] and box(mask.T) == [30, 20, 30, 180]
    mask[28:33] = True
    assert box(mask) == [0, 30, 199, 30]
    outside = np.array([[-3.0, 4.0], [70.0, 4.0], [70.0, 300.0]])
    fields = area_fields(CrackArea(1, outside, 9.0, 3.0, 1.0, "", "", False), size_hw=(60, 200))
    assert [fields[name] for name in ("left_px", "top_px", "right_px", "bottom_px")] == [4, 0, 199, 59]
