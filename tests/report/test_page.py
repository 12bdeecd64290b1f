from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from fissura.errors import OutputError
from fissura.report.page import rank_worst, render_report, write_report
from fissura.report.page_frame import find_frame
from fissura.report.page_numbers import as_anchor
from fissura.report.page_tables import sum_classes, sum_sections
from fissura.report.records import CrackPicture, MapPicture, SurveyCrack, SurveyFrame, SurveyResult
from support.odd_names import require_odd_names
from support.sample_survey import make_survey

HOSTILE = '</script><script>document.title="hit"</script><img src=x onerror="document.title=1"> {{ 7*7 }} "&\''


class Reader(HTMLParser):
    """Elements with their attributes, and the text that is shown."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open, self.wrong = [], "", [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data

    @property
    def words(self):
        return " ".join(self.text.split())


def read(result) -> Reader:
    return Reader(write_report(result).read_text("utf-8"))


def crack(number, length=1.0, width=1.0, severity="", **fields):
    return SurveyCrack({"id": number, "crack_id": number, "class": "other", "length_m": length,
                        "width_mean_mm": width, "severity": severity, **fields})  # fmt: skip


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("run"))


def test_elements_are_closed_ids_unique_and_headings_in_order(survey):
    page = read(survey)
    assert not page.wrong and not page.open
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(ids.values()) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(a.get("alt") for tag, a in page.elements if tag == "img")
    assert dict(page.elements)["html"]["lang"] == "en"
    names = {a["href"][1:] for tag, a in page.elements if tag in ("a", "use") and a["href"].startswith("#")}
    assert names <= set(ids)
    refers = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    assert refers and refers <= set(ids)


def test_nothing_is_loaded_and_all_links_lead_somewhere(survey):
    text = write_report(survey).read_text("utf-8")
    page = Reader(text)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "poster", "xlink:href"):
            address = attributes.get(name)
            if address is None or address.startswith(("#", "data:")):
                continue
            assert tag == "a" and not re.match(r"[a-z]+:|//", address)
            assert (survey.folder / unquote(address)).exists(), address
    assert not re.search(r"@import|url\((?!#)", text) and "http://" not in text and "https://" not in text
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert not any(name.startswith("on") for _, a in page.elements for name in a)


def test_the_same_survey_gives_the_same_bytes(survey):
    assert write_report(survey).read_bytes() == write_report(survey).read_bytes()
    assert write_report(survey, survey.folder / "deep" / "other.html").is_file()


def test_the_head_says_what_is_missing(survey):
    words = read(survey).words
    assert "This survey is not complete." in words and "1 of 12 frames could not be used: flight/DJI_0004.JPG" in words
    assert "the file is cut off" in words and "6.00 m²: seen, but too blurred" in words and "6.00 m²: not seen" in words
    assert "20 cracks and 1 alligator area found on the 84.0 m² that were inspected" in words
    assert "4 May 2026, 13:30" in words and "11 of 12" in words
    assert "the model was made for 0.3 to 5 mm" in words


def test_a_stop_is_said_whatever_failed_beside(survey):
    said = "The run was stopped or an input ended early"
    assert said not in read(survey).words
    assert said in read(replace(survey, complete=False, stopped=True)).words


def test_sums_agree_with_the_rows(survey):
    page = read(survey)
    whole = sum(c.fields["length_m"] for c in survey.cracks)
    for name in ("longitudinal", "transverse", "diagonal", "other"):
        part = sum(c.fields["length_m"] for c in survey.cracks if c.fields["class"] == name)
        assert f"{part:.2f}" in page.words
    assert "all20" in page.words and f"{whole:.2f}" in page.words
    assert f"Length of crack by its width: {whole:.1f} m in all" in page.words


def test_a_section_that_nobody_saw_is_not_called_free_of_cracks(tmp_path):
    result = make_survey(tmp_path)
    seen, unseen, field = result.sections
    alligator = tuple(r for r in field.rows if r["class"] == "alligator")
    result.sections = [replace(seen, rows=()), replace(unseen, rows=(), inspected_m2=0.0, inspected_share=0.0),
                       replace(field, rows=alligator)]  # fmt: skip
    text = write_report(result).read_text("utf-8")
    rows = [" ".join(Reader(row).text.split()) for row in re.findall(r'<tr id="section-.*?</tr>', text, re.S)]
    assert rows[0].endswith("no cracks where inspected") and "0.00" in rows[0]
    assert rows[1].endswith("not inspected") and "0.00" not in rows[1]
    assert rows[2].endswith("alligator cracking only") and "4.40" in rows[2]


def test_sections_with_zones_have_a_row_for_each(tmp_path):
    result = make_survey(tmp_path)
    rows = tuple({**r, "zone": z} for r in result.sections[0].rows for z in ("left edge", "centre"))
    result.sections[0] = replace(result.sections[0], rows=rows)
    page = read(result)
    assert "By section and zone" in page.words and "left edge" in page.words
    assert len([a for _, a in page.elements if str(a.get("id", "")).startswith("section-")]) == 3


def test_cards_bear_a_scale_bar_of_a_round_length(survey):
    page = read(survey)
    bars = [a["style"] for tag, a in page.elements if a.get("class") == "ruler"]
    shown = [c for c in rank_worst(survey.cracks) if c.picture]
    assert len(bars) == len(shown) > 5
    # 240 px of 4 mm are 960 mm; 200 mm is the round length below two fifths of it.
    assert set(bars) == {f"width:{100 * 200 / 960:.2f}%"} and "20 cm" in page.words


def test_ranking_is_by_severity_then_opening():
    rows = [crack(1, 9, 9, "low"), crack(2, 1, 1, "high"), crack(3, 2, 2, "high"), crack(4, 50, 5, ""),
            SurveyCrack({"id": 5, "length_px": 9e6, "width_mean_px": 9})]  # fmt: skip
    assert [c.fields["id"] for c in rank_worst(rows)] == [3, 2, 1, 4, 5]
    assert [c.fields["id"] for c in rank_worst(rows[::-1], 2)] == [3, 2] and rank_worst([], 3) == []
    assert rank_worst([crack(1, severity="CS1"), crack(2, severity="CS3")])[0].fields["severity"] == "CS3"
    # Levels of nobody's vocabulary go by the widths of what bears them.
    assert rank_worst([crack(1, 1, 2, "zulu"), crack(2, 1, 9, "alpha"), crack(3, 90, 2, "zulu")])[0].fields["id"] == 2


def test_hostile_texts_stay_texts(tmp_path):
    result = make_survey(tmp_path)
    result.title, result.notes, result.standard = HOSTILE, (HOSTILE,), HOSTILE
    result.frames[3] = SurveyFrame(HOSTILE, HOSTILE, status="failed", error=HOSTILE, overlay="javascript:alert(1)")
    result.settings = {HOSTILE: {"a": [HOSTILE, Path("x"), None]}}
    result.tracks = [(HOSTILE, result.tracks[0][1])]
    fields = {n: HOSTILE for n in ("class", "severity", "zone", "source_frame", "notes")}
    result.cracks[5] = replace(result.cracks[5], fields={**result.cracks[5].fields, **fields})
    result.cracks[0] = replace(result.cracks[0], picture=CrackPicture(HOSTILE, 1.0))
    page = read(result)
    assert not page.wrong and page.text.count(HOSTILE) >= 8
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert not any("onerror" in a for _, a in page.elements)
    assert not any(str(a.get("href", "")).startswith("javascript") for _, a in page.elements)


def test_names_that_are_no_unicode_can_be_written(tmp_path):
    result = make_survey(tmp_path, cracks=2)
    result.title = "br\udcfccke"
    assert "br?cke" in read(result).words


def test_without_places_it_says_why_there_is_no_map(tmp_path):
    result = make_survey(tmp_path, placed=False)
    page = read(result)
    assert "There is no map because nothing in this survey has a place" in page.words
    assert "map-svg" not in {a.get("id") for _, a in page.elements}
    assert "40 branches without a scale" in page.words and "Length, px" in page.words and "Length, m" not in page.words
    assert "How much ground the frames show is not known" in page.words


@pytest.mark.parametrize("frames", [[], [SurveyFrame("a.jpg", "a.jpg", status="failed", error="no picture")]])
def test_an_empty_survey_claims_nothing(tmp_path, frames):
    words = read(SurveyResult("nothing", tmp_path, frames)).words
    assert "Nothing can be said about cracks." in words and "No cracks found" not in words
    assert "no rules for severity" in words


def test_no_cracks_is_said_of_inspected_ground_alone(tmp_path):
    result = make_survey(tmp_path, cracks=0)
    result.areas = []
    words = read(result).words
    assert "No cracks found on the 84.0 m² that were inspected." in words and "not complete" in words
    result.ground = result.ground[:1]
    result.frames = [f for f in result.frames if f.status == "done"]
    words = read(result).words
    assert "All 11 frames were inspected; no gap is known." in words
    result.complete = False
    assert "stopped or an input ended early" in read(result).words


def test_missing_and_broken_pictures_are_named(tmp_path):
    result = make_survey(tmp_path)
    worst = next(c for c in rank_worst(result.cracks) if c.picture)
    (tmp_path / worst.picture.path).write_bytes(b"no picture")
    result.pictures.append(MapPicture("gone.jpg", result.pictures[0].corners_lonlat))
    words = read(result).words
    assert f"The picture {worst.picture.path} cannot be read." in words
    assert "Pictures of the ground that cannot be read: gone.jpg." in words


def test_scaled_and_unscaled_cracks_have_tables_of_their_own(tmp_path):
    placed, bare = make_survey(tmp_path, cracks=6), make_survey(tmp_path, cracks=4, placed=False)
    for c in bare.cracks:
        placed.cracks.append(replace(c, fields={**c.fields, "id": 100 + c.fields["id"]}))
    placed.widths += bare.widths
    page = read(placed)
    assert "in metres" in page.words and "in pixels" in page.words
    assert [a.get("class") for _, a in page.elements].count("histogram") == 2
    assert "4 branches without a place are not on the map." in page.words


def test_places_on_the_map_are_metres_from_the_west_and_north(tmp_path):
    from support.sample_survey import to_lonlat

    line = to_lonlat([[0.0, 2.0], [30.0, 2.0]])
    result = SurveyResult("x", tmp_path, [SurveyFrame("a", "a")], [replace(crack(1), lonlat=line)], crs="EPSG:32630")
    element = next(a for tag, a in read(result).elements if a.get("class", "").startswith("crack "))
    x, _, dx, dy = map(int, re.fullmatch(r"M(\d+) (\d+)l(-?\d+) ?(-?\d+)", element["d"]).groups())
    assert (dx, dy) == pytest.approx((30_000, 0), abs=2)
    assert x == pytest.approx(0.03 * 30_000, abs=2)
    result.crs = None  # a grid of its own; true lengths there, 0.9996 of them in UTM at the middle meridian
    element = next(a for tag, a in read(result).elements if a.get("class", "").startswith("crack "))
    dx = int(re.search(r"l(-?\d+)", element["d"])[1])
    assert dx == pytest.approx(30_000, rel=0.002)


def test_long_lists_end_with_where_the_rest_is(tmp_path):
    result = make_survey(tmp_path, cracks=3)
    result.cracks = [crack(k, 1, 1) for k in range(1, 1102)]
    result.frames = [SurveyFrame(f"{k}", f"{k}") for k in range(2100)]
    result.frames.append(SurveyFrame("late", "late", status="failed", error="dropped"))
    page = read(result)
    rows = [a for tag, a in page.elements if tag == "tr" and "data-id" in a]
    assert len(rows) == 1000 and "worst 1\u2009000 of 1\u2009101 branches; the others are in cracks.csv" in page.text
    assert "late" in page.text and "101 more frames are in manifest.jsonl." in page.words


def test_a_folder_in_the_way_is_an_output_error(tmp_path):
    result = make_survey(tmp_path, cracks=1)
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html"):
        write_report(result)


def test_times_with_a_zone_name_it(tmp_path):
    assert "5 January 2026, 07:08 UTC" in Reader(
        render_report(SurveyResult("x", tmp_path, created_at=datetime(2026, 1, 5, 7, 8, tzinfo=UTC)))
    ).words.replace("\xa0", " ")


def test_fields_that_are_not_numbers_do_no_harm(tmp_path):
    result = SurveyResult("x", tmp_path, [SurveyFrame("a", "a")], [
        crack(1, float("nan"), float("inf"), confidence=None), SurveyCrack({"id": 2, "crack_id": 2}),
        replace(crack(3), lonlat=np.array([[np.nan, 1.0], [2.0, 3.0]])),
    ])  # fmt: skip
    page = read(result)
    assert not page.wrong and len([a for tag, a in page.elements if tag == "tr" and "data-id" in a]) == 3


def test_the_map_of_a_survey_across_the_date_line_is_as_wide_as_the_survey():
    lonlat = np.array([[179.9999, -17.0], [-179.9999, -17.0001]])
    frame = find_frame(SurveyResult("a", Path("a"), tracks=[("flight", lonlat)]))
    assert frame is not None
    metres = frame.to_metres(lonlat)
    np.testing.assert_allclose(metres[1] - metres[0], [21.297, -11.07], atol=0.01)
    assert frame.right - frame.left < 60


def test_sections_are_in_metres_where_some_cracks_have_no_scale(tmp_path):
    result = make_survey(tmp_path)
    pixels = {"class": "other", "severity": "", "zone": "", "cracks": 1, "length_px": 120.0, "area_px2": 0.0}
    metres = sum_sections(result)
    result.sections[0] = replace(result.sections[0], rows=(*result.sections[0].rows, pixels))
    mixed = sum_sections(result)
    assert mixed.unit == "m" and mixed.partial and not metres.partial
    assert [row.sums.length for row in mixed.rows] == [row.sums.length for row in metres.rows]
    assert "Cracks without a scale are not in this table." in read(result).words
    result.sections = [replace(s, rows=(pixels,)) for s in result.sections]
    assert sum_sections(result).unit == "px"


def test_the_rules_thresholds_say_what_is_worse(tmp_path):
    """Names whose numbers fall as cracks grow wider."""
    rows = [crack(1, 5, 2, "grade 3"), crack(2, 4, 15, "grade 2"), crack(3, 0.1, 90, "grade 1")]
    thresholds = {"grade 2": 10.0, "grade 1": 75.0}
    assert [c.fields["id"] for c in rank_worst(rows, 20, thresholds)] == [3, 2, 1]
    survey = make_survey(tmp_path, cracks=3)
    placed = [replace(c, fields=row.fields) for c, row in zip(survey.cracks, rows, strict=True)]
    text = render_report(replace(survey, cracks=placed, areas=[], thresholds_mm=thresholds))
    assert re.findall(r'class="[^"]*s-(grade-\d)[^"]*" data-ids?=', text) == ["grade-3", "grade-2", "grade-1"]
    assert re.findall(r'class="rank">.*?sev s-(grade-\d)', text, re.S) == ["grade-1", "grade-2", "grade-3"]


def test_alligator_cracking_has_one_row_and_rows_add_up(tmp_path):
    result = make_survey(tmp_path)
    rows = [replace(c, fields=c.fields | {"class": "alligator"}) for c in result.cracks[:6]] + result.cracks[6:]
    (table,) = sum_classes(replace(result, cracks=rows))
    assert [row.name for row in table.rows].count("alligator") == 1
    *parts, whole = table.rows
    assert sum(row.length for row in parts) == pytest.approx(whole.length)
    assert sum(row.area or 0.0 for row in parts) == whole.area == 4.4
    (field,) = [row for row in parts if row.name == "alligator"]
    assert field.length == pytest.approx(sum(c.fields["length_m"] for c in rows[:6])) and field.cracks == 3
    assert f"{field.length:.2f}" in read(replace(result, cracks=rows)).words
    # A field whose cracks are of other classes has its row all the same.
    assert [(row.name, row.area) for row in sum_classes(result)[0].rows[-2:]] == [("alligator", 4.4), ("all", 4.4)]


def test_an_overlay_whose_name_is_no_unicode_is_linked(tmp_path):
    result = make_survey(tmp_path, cracks=2)
    path = "overlays/flight/stra\udcdfe.jpg"
    require_odd_names(tmp_path)
    (tmp_path / result.frames[0].overlay).rename(tmp_path / path)
    result.frames[0] = replace(result.frames[0], overlay=path)
    assert "overlays/flight/stra%DFe.jpg" in write_report(result).read_text("utf-8")


def test_severities_in_any_script_have_colours_of_their_own(tmp_path):
    result = make_survey(tmp_path, cracks=6)
    rows = [replace(c, fields=c.fields | {"severity": "轻中重"[k % 3]}) for k, c in enumerate(result.cracks)]
    text = render_report(replace(result, cracks=rows, areas=[], thresholds_mm={"中": 10.0, "重": 75.0}))
    styles = re.findall(r"\.(s-[a-z0-9-]+)\{--s:(#\w+)\}", text)
    assert len(dict(styles)) == 3 and len({colour for _, colour in styles}) == 3
    assert len({as_anchor(name) for name in ("low", "low+", "low-", "mäßig", "m ig", "低")}) == 5  # "low-" is "low"
