from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import openpyxl
import pytest

from fissura.errors import OutputError
from fissura.report import workbook as module
from fissura.report.records import SurveyCrack, SurveyFrame, SurveyResult
from fissura.report.workbook import write_workbook
from support.sample_survey import make_survey

SHEETS = ["Summary", "Cracks", "Whole cracks", "Areas", "Sections", "Frames", "Settings"]
CRACKS = [
    "Id", "Crack id", "Class", "Orientation (°)", "Length (m)", "Width mean (mm)", "Width median (mm)",
    "Width p95 (mm)", "Width max (mm)", "Width sigma (mm)", "GSD (mm)", "Below GSD", "Severity", "Standard", "Zone",
    "Confidence", "Source frame", "Captured at", "Model", "Bridged (%)", "Left (px)", "Top (px)", "Right (px)",
    "Bottom (px)", "Notes", "Extent", "Position sigma (m)", "Chainage from (m)", "Chainage to (m)", "Offset (m)",
    "Picture",
]  # fmt: skip


def titles(sheet):
    return [cell.value for cell in sheet[1]]


def column(sheet, title):
    at = titles(sheet).index(title)
    return [row[at] for row in sheet.iter_rows(min_row=2)]


def pairs(sheet):
    out = {}
    for name, value in sheet.iter_rows(min_row=2, values_only=True):
        out.setdefault(name, []).append(value)
    return out


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> SurveyResult:
    return make_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def book(survey):
    write_workbook(survey.folder / "cracks.xlsx", survey)
    return openpyxl.load_workbook(survey.folder / "cracks.xlsx")


def write(path, result):
    write_workbook(path / "a.xlsx", result)
    return openpyxl.load_workbook(path / "a.xlsx")


def test_sheets_have_headings_filters_and_frozen_rows(book):
    assert book.sheetnames == SHEETS and titles(book["Cracks"]) == CRACKS
    for name, rows in {"Cracks": 40, "Whole cracks": 20, "Areas": 1, "Sections": 3, "Frames": 12}.items():
        sheet = book[name]
        assert sheet.freeze_panes == "A2" and sheet.max_row == rows + 1
        assert sheet.auto_filter.ref.endswith(str(rows + 1)) and sheet["A1"].font.bold
        assert all(sheet.column_dimensions[cell.column_letter].width >= 11 for cell in sheet[1])


def test_numbers_dates_and_booleans_are_what_they_are(book, survey):
    fields = survey.cracks[0].fields
    row = {title: column(book["Cracks"], title)[0] for title in CRACKS}
    assert row["Width mean (mm)"].value == fields["width_mean_mm"] and row["Width mean (mm)"].number_format == "0.00"
    assert row["Length (m)"].value == fields["length_m"] and row["Length (m)"].number_format == "0.000"
    assert row["Captured at"].value == datetime(2026, 5, 4, 10, 30) and row["Captured at"].is_date
    assert row["Below GSD"].value is False and row["Id"].value == 1
    assert column(book["Sections"], "Inspected (%)")[1].value == 0.9
    assert "%" in column(book["Sections"], "Inspected (%)")[1].number_format
    assert column(book["Frames"], "GSD (mm)")[4].value is None  # the frame that failed


def test_whole_cracks_have_a_sheet_of_their_own(book, survey):
    sheet = book["Whole cracks"]
    assert titles(sheet)[:5] == ["Crack id", "Class", "Extent", "Branches", "Length (m)"]
    first = {title: column(sheet, title)[0].value for title in titles(sheet)}
    both = [crack.fields for crack in survey.cracks[:2]]
    assert first["Branches"] == 2 and first["Width max (mm)"] == max(fields["width_max_mm"] for fields in both)
    assert first["Length (m)"] == pytest.approx(sum(fields["length_m"] for fields in both))
    assert type(first["Below GSD"]) is bool and type(first["Widest branch"]) is int


def test_text_that_looks_like_a_formula_stays_text(book):
    cell = column(book["Cracks"], "Notes")[3]
    assert (cell.value, cell.data_type) == ('=1+1; <b>&</b> "quoted"', "s")


@pytest.mark.parametrize("text", ["=HYPERLINK(\"http://x\")", "+1", "-2+3", "@SUM(A1)", "#N/A", "{=1}", "=", "007"])
def test_hostile_text(tmp_path, text):
    result = SurveyResult(text, tmp_path, [SurveyFrame(text, text, error=text)], limits=(text,), settings={text: text})
    book = write(tmp_path, result)
    cells = [column(book["Frames"], title)[0] for title in ("Name", "Source", "Error")]
    cells += [book["Summary"]["B2"], book["Settings"]["A2"], book["Settings"]["B2"]]
    assert all((cell.value, cell.data_type) == (text, "s") for cell in cells)
    assert all(cell.quotePrefix for cell in cells) == (text[0] in "=+-@")
    assert pairs(book["Summary"])["Limit"] == [text]


def test_characters_that_a_workbook_cannot_hold_are_removed(tmp_path):
    name = "a\x00\x07b\udcff\uffff<c>.jpg"
    frames = [SurveyFrame(name, "x" * 40_000, overlay=f"overlays/{name}")]
    book = write(tmp_path, SurveyResult("裂缝\x1f", tmp_path, frames))
    assert column(book["Frames"], "Name")[0].value == "ab?<c>.jpg" and book["Summary"]["B2"].value == "裂缝"
    assert len(column(book["Frames"], "Source")[0].value) == 32_767


def test_links_lead_to_overlays_and_pictures(book, survey):
    links = {title: column(book["Cracks"], title)[0].hyperlink for title in ("Source frame", "Picture")}
    assert links["Source frame"].target == "overlays/flight/DJI_0000.jpg"
    assert links["Picture"].target == "pictures/crack_1.jpg"
    for link in (*links.values(), column(book["Frames"], "Overlay")[0].hyperlink):
        assert (survey.folder / link.target).is_file()
    assert column(book["Cracks"], "Picture")[39].value is None
    assert column(book["Frames"], "Name")[4].hyperlink is None  # failed: there is no overlay


def test_links_are_addresses(tmp_path):
    frames = [SurveyFrame("a", "a", overlay="overlays/a b#1%.jpg")]
    link = column(write(tmp_path, SurveyResult("x", tmp_path, frames))["Frames"], "Overlay")[0].hyperlink
    assert link.target == "overlays/a%20b%231%25.jpg"


def test_no_more_links_than_excel_opens(survey, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_LINKS", 5)
    cells = [cell for row in write(tmp_path, survey)["Cracks"].iter_rows(min_row=2) for cell in row]
    assert sum(cell.hyperlink is not None for cell in cells) == 5


def test_no_more_rows_than_excel_holds(survey, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    book = write(tmp_path, survey)
    assert book["Cracks"].max_row == 11
    assert any("first 10 of 40 rows" in str(note) for note in pairs(book["Summary"])["Note"])


def test_summary_says_what_limits_the_numbers(book, survey):
    said = pairs(book["Summary"])
    assert said["Survey"] == ["flight"] and said["Made at"] == [datetime(2026, 5, 4, 13, 30)]
    assert said["Model"] == ["fast 0.3.0: A model of a made-up survey"] and said["Rules"] == ["astm_d6433"]
    assert said["Frames"] == [12] and said["Frames that failed"] == [1] and said["Limit"] == list(survey.limits)
    assert said["Crack length (m)"] == [round(sum(c.fields["length_m"] for c in survey.cracks), 2)]
    assert said["Ground not seen (m²)"] == [6] and said["Alligator cracking (m²)"] == [4.4]
    assert set(survey.notes) <= set(said["Note"]) and not any("pixels" in note for note in said["Note"])


def test_without_a_scale_it_says_pixels(tmp_path):
    book = write(tmp_path, make_survey(tmp_path, placed=False))
    assert {"Length (px)", "Width mean (px)"} <= set(titles(book["Cracks"]))
    assert "Length (m)" not in titles(book["Cracks"])
    said = pairs(book["Summary"])
    assert any("There is no scale" in note for note in said["Note"]) and "Crack length (px)" in said


def test_empty_survey(tmp_path):
    book = write(tmp_path, SurveyResult("nothing", tmp_path, complete=False))
    assert book.sheetnames == SHEETS and all(book[name].max_row == 1 for name in SHEETS[1:])
    assert pairs(book["Summary"])["Complete"][0].startswith("no") and pairs(book["Summary"])["Cracks"] == [0]


def test_settings_are_flat(tmp_path):
    settings = {"sources": ["a", "b"], "camera": {"gsd_mm": 1.5, "deep": {"x": None}}, "quiet": True}
    found = pairs(write(tmp_path, SurveyResult("x", tmp_path, settings=settings))["Settings"])
    assert found == {"sources": ['["a", "b"]'], "camera.gsd_mm": [1.5], "camera.deep.x": [None], "quiet": [True]}


def test_times_with_a_zone_are_utc(tmp_path):
    when = datetime(2026, 5, 4, 8, tzinfo=UTC)
    result = SurveyResult("x", tmp_path, [SurveyFrame("a", "a", captured_at=when)], created_at=when)
    book = write(tmp_path, result)
    assert column(book["Frames"], "Captured at")[0].value == datetime(2026, 5, 4, 8)
    assert pairs(book["Summary"])["Made at"] == [datetime(2026, 5, 4, 8)]


def test_mixed_scales_have_both_families(survey, tmp_path):
    pixels = SurveyCrack({"id": 99, "crack_id": 50, "class": "other", "length_px": 12.5, "width_mean_px": 2.0})
    book = write(tmp_path, replace(survey, cracks=[*survey.cracks, pixels]))
    last = [column(book["Cracks"], f"Length ({unit})")[40].value for unit in ("px", "m")]
    assert last == [12.5, None]
    said = pairs(book["Summary"])
    assert said["Crack length (px)"] == [12.5]
    assert any("1 of 41 branches have no scale" in note for note in said["Note"])
    assert not any("There is no scale" in note for note in said["Note"])


def test_a_failed_write_leaves_the_old_file(survey, tmp_path):
    (tmp_path / "a.xlsx").mkdir()
    with pytest.raises(OutputError, match=r"a\.xlsx"):
        write_workbook(tmp_path / "a.xlsx", survey)
    assert [p.name for p in tmp_path.iterdir()] == ["a.xlsx"]
