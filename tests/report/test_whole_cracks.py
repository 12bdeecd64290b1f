"""Rows of whole cracks from those of their branches."""

import csv

import pytest

from fissura.errors import OutputError
from fissura.report.tables import write_plain_csv, write_whole_cracks_csv
from fissura.report.whole_cracks import group_branches, whole_crack_fields


def branch(number=1, **more):
    fields = {
        "id": number, "crack_id": 1, "class": "longitudinal", "length_m": 1.0, "width_mean_mm": 2.0,
        "width_max_mm": 3.0, "width_sigma_mm": 0.2, "gsd_mm": 1.0, "below_gsd": False, "severity": "low",
        "standard": "ltpp", "confidence": 0.8, "source_frame": "a.jpg", "captured_at": None, "model": "fast 1",
        "bridged_share": 0.0, "left_px": 10, "top_px": 20, "right_px": 30, "bottom_px": 40, "extent": "",
    }  # fmt: skip
    return fields | more


def rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_sums_means_and_the_widest_branch():
    whole = whole_crack_fields([
        branch(1, length_m=3.0, width_mean_mm=1.0, confidence=0.6),
        branch(2, length_m=1.0, width_mean_mm=5.0, width_max_mm=7.5, width_sigma_mm=0.6, confidence=0.9,
               bridged_share=1.0, left_px=5, bottom_px=90, widest_column_px=12.5, widest_row_px=80.25,
               widest_longitude_deg=9.000000123, widest_latitude_deg=50.5),
    ])  # fmt: skip
    assert (whole["branches"], whole["length_m"], whole["width_mean_mm"]) == (2, 4.0, 2.0)
    assert (whole["width_max_mm"], whole["widest_branch"]) == (7.5, 2)
    assert (whole["widest_column_px"], whole["widest_row_px"]) == (12.5, 80.25)
    assert (whole["widest_longitude_deg"], whole["widest_latitude_deg"]) == (9.000000123, 50.5)
    assert (whole["width_sigma_mm"], whole["confidence"], whole["bridged_share"]) == (0.3, 0.9, 0.25)
    assert [whole[f"{side}_px"] for side in ("left", "top", "right", "bottom")] == [5, 20, 30, 90]
    assert (whole["source_frame"], whole["standard"], whole["below_gsd"]) == ("a.jpg", "ltpp", False)


def test_class_severity_and_extent():
    parts = [
        branch(1, length_m=1.0, severity="high"),
        branch(2, length_m=0.7, severity="moderate", **{"class": "transverse"}, extent="partial", below_gsd=True),
        branch(3, length_m=0.7, severity="", **{"class": "transverse"}, extent="complete", below_gsd=True),
    ]
    whole = whole_crack_fields(parts, ("low", "moderate", "high"))
    # The longest branch is longitudinal, most of the length is not.
    assert (whole["class"], whole["extent"], whole["severity"]) == ("transverse", "complete", "high")
    assert whole["below_gsd"] is True
    assert whole_crack_fields(parts[1:], ("low", "moderate", "high"))["severity"] == "moderate"
    assert whole_crack_fields(parts[2:])["severity"] == ""
    assert whole_crack_fields(parts[:2])["extent"] == "partial"


def test_pixels_and_what_is_not_known():
    pixels = {k.replace("_m", "_px") if k == "length_m" else k.replace("_mm", "_px"): v for k, v in branch().items()}
    whole = whole_crack_fields([pixels | {"length_px": 8.0}, pixels | {"length_px": 4.0, "width_mean_px": None}])
    assert (whole["length_px"], whole["width_mean_px"]) == (12.0, 2.0) and "length_m" not in whole
    unknown = whole_crack_fields([branch(width_mean_mm=None, width_max_mm=None, confidence=None)])
    assert (unknown["width_mean_mm"], unknown["width_max_mm"], unknown["confidence"]) == (None, None, None)
    assert whole_crack_fields([branch(length_m=0.0), branch(length_m=0.0, width_mean_mm=4.0)])["width_mean_mm"] == 3.0


def test_branches_in_different_pictures_have_no_common_box():
    whole = whole_crack_fields([branch(1), branch(2, source_frame="b.jpg", width_max_mm=9.0)])
    assert whole["source_frame"] == "b.jpg" and "left_px" not in whole


def test_grouping_keeps_the_order():
    groups = group_branches([branch(1, crack_id=2), branch(2, crack_id=1), branch(3, crack_id=2)])
    assert [[row["id"] for row in group] for group in groups] == [[1, 3], [2]]


def test_the_table_has_its_columns_without_rows_too(tmp_path):
    write_whole_cracks_csv(tmp_path / "a.csv", [])
    header = (tmp_path / "a.csv").read_text(encoding="utf-8-sig").strip().split(",")
    assert header[:7] == ["crack_key", "crack_id", "source_frame", "class", "extent", "branches", "length_m"]
    write_whole_cracks_csv(tmp_path / "a.csv", iter([whole_crack_fields([branch()])]))
    (row,) = rows(tmp_path / "a.csv")
    assert list(row) == header and row["width_mean_mm"] == "2" and row["widest_row_px"] == ""


def test_a_plain_table_goes_through_its_rows_once(tmp_path):
    def once():
        yield {"a": 1, "b": 2.5}
        yield {"a": 3, "c": "not asked for"}

    write_plain_csv(tmp_path / "a.csv", once(), ("a", "b"))
    assert rows(tmp_path / "a.csv") == [{"a": "1", "b": "2.5"}, {"a": "3", "b": ""}]


def test_tables_that_cannot_be_written(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*a\.csv"):
        write_whole_cracks_csv(tmp_path / "a.csv", [])
    with pytest.raises(OutputError, match=r"cannot write .*a\.csv"):
        write_plain_csv(tmp_path / "a.csv", [], ("a",))
