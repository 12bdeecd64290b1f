"""Sections along a route, against cracks whose parts in each are known."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely

from fissura.errors import SettingsError
from fissura.geo.route import Route
from fissura.measure.rules import read_rules
from fissura.report.layers import section_layer
from fissura.report.records import SurveyArea, SurveyCrack, SurveyGround, SurveyResult
from fissura.report.sections import make_sections, with_chainage
from support.sample_survey import make_survey, to_lonlat


def crack(number, points, *, crack_id=None, width=4.0, kind="transverse", severity="low", zone="", length=None):
    points = np.asarray(points, float)
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()) if length is None else length
    fields = {"id": number, "crack_id": crack_id or number, "class": kind, "severity": severity, "zone": zone,
              "length_m": length, "width_mean_mm": width, "width_max_mm": 2 * width}  # fmt: skip
    return SurveyCrack(fields, to_lonlat(points))


def area(number, points, area_m2=10.0, severity="high"):
    return SurveyArea({"id": number, "area_m2": area_m2, "severity": severity}, to_lonlat(np.asarray(points, float)))


def route(*points):
    return Route(to_lonlat(np.array(points or ((0.0, 0.0), (35.0, 0.0)), float)))


def ground(*boxes, state="inspected"):
    shapes = [shapely.Polygon(to_lonlat(np.array([[a, b], [c, b], [c, d], [a, d]], float))) for a, b, c, d in boxes]
    return SurveyGround(state, shapely.MultiPolygon(shapes), None)


def rows_of(section):
    return {(r["class"], r["severity"], r["zone"]): r for r in section.rows}


def test_a_crack_over_borders_is_split_by_length():
    """From 5 to 25 m along the road, with a detour across it in the first section that takes no chainage."""
    line = crack(1, [[5, 0], [5, 3], [25, 3]])
    sections = make_sections([line], [], route(), section_length_m=10.0)
    assert [s.name for s in sections] == ["0 to 10 m", "10 to 20 m", "20 to 30 m", "30 to 35 m"]
    lengths = [sum(r["length_m"] for r in s.rows) for s in sections]
    np.testing.assert_allclose(lengths, [8.0, 10.0, 5.0, 0.0], atol=0.02)
    assert sum(lengths) == pytest.approx(23.0, abs=1e-3)
    assert [len(s.rows) for s in sections] == [1, 1, 1, 0]
    assert all(s.rows[0]["cracks"] == 1 and s.rows[0]["width_mean_mm"] == 4.0 for s in sections[:3])
    np.testing.assert_allclose(sections[1].lonlat, route().sub_line(10.0, 20.0))
    # Metres of the sample's UTM are 0.09 per thousand longer than those on the ground.
    assert sections[3].end_m == route().length_m == pytest.approx(35.0, rel=2e-4)


def test_rows_by_class_severity_and_zone():
    cracks = [
        crack(1, [[1, 1], [3, 1]], severity="medium", zone="left"), crack(2, [[1, 2], [4, 2]], severity="low"),
        crack(3, [[5, 2], [6, 2]], crack_id=2, width=8.0), crack(4, [[1, 1], [2, 1]], kind="longitudinal"),
        crack(5, [[1, 1], [2, 1]], kind="other", severity=""), crack(6, [[2, 0], [3, 0]], kind="other", severity=""),
    ]  # fmt: skip
    (section,) = make_sections(cracks, [], route(), section_length_m=100.0, rules=read_rules("astm_d6433"))
    assert [(r["class"], r["severity"], r["zone"]) for r in section.rows] == [
        ("longitudinal", "low", ""), ("transverse", "low", ""), ("transverse", "medium", "left"), ("other", "", ""),
    ]  # fmt: skip
    row = rows_of(section)["transverse", "low", ""]
    assert row["cracks"] == 1 and row["length_m"] == pytest.approx(4.0)
    assert row["width_mean_mm"] == pytest.approx((3 * 4 + 1 * 8) / 4)
    assert rows_of(section)["other", "", ""]["cracks"] == 2


def test_what_is_too_small_does_not_count():
    rules = read_rules("astm_d6433").model_copy(
        update={"minimum": read_rules("astm_d6433").minimum.model_copy(update={"width_mm": 3.0, "length_mm": 2500.0})}
    )
    cracks = [
        crack(1, [[1, 1], [3, 1]], crack_id=1), crack(2, [[3, 1], [4, 1]], crack_id=1),  # 3 m together
        crack(3, [[1, 2], [3, 2]]),  # too short
        crack(4, [[1, 3], [6, 3]], width=2.9),  # too narrow
    ]  # fmt: skip
    (section,) = make_sections(cracks, [], None, section_length_m=100.0, rules=rules)
    assert sum(r["length_m"] for r in section.rows) == pytest.approx(3.0)
    (section,) = make_sections(cracks, [], None, section_length_m=100.0)
    assert sum(r["length_m"] for r in section.rows) == pytest.approx(10.0)


def test_fields_are_cut_square_to_the_route():
    shape = area(1, [[7, 1], [12, 1], [12, 3], [7, 3]], 10.0)
    sections = make_sections([], [shape], route(), section_length_m=10.0)
    parts = [sum(r["area_m2"] for r in s.rows) for s in sections]
    np.testing.assert_allclose(parts, [6.0, 4.0, 0.0, 0.0], atol=0.02)
    assert sum(parts) == pytest.approx(10.0, abs=1e-3)
    assert sections[0].rows[0]["cracks"] == 0 and sections[0].rows[0]["width_mean_mm"] is None
    turned = make_sections([], [shape], route((35, 0), (0, 0)), section_length_m=25.0)
    np.testing.assert_allclose([sum(r["area_m2"] for r in s.rows) for s in turned], [4.0, 6.0], atol=0.02)


def test_inspected_share_and_area():
    seen = ground((-5, -2, 15, 2), (25, -2, 40, 2))
    blurred = ground((15, -2, 25, 2), state="too_blurred")
    sections = make_sections([], [], route(), section_length_m=10.0, inspected=[seen, blurred])
    np.testing.assert_allclose([s.inspected_share for s in sections], [1.0, 0.5, 0.5, 1.0], atol=2e-3)
    np.testing.assert_allclose([s.inspected_m2 for s in sections], [40.0, 20.0, 20.0, 20.0], rtol=3e-3)
    unknown = make_sections([], [], route(), section_length_m=10.0)
    assert all(s.inspected_share is None and s.inspected_m2 is None for s in unknown)


def test_what_is_far_or_has_no_place_is_not_lost():
    far = crack(1, [[5, 400], [9, 400]])
    lost = SurveyCrack({"id": 2, "crack_id": 2, "class": "other", "length_px": 50.0, "width_mean_px": 2.0})
    near = crack(3, [[5, 40], [9, 40]])
    sections = make_sections([far, lost, near], [], route(), section_length_m=50.0)
    assert [s.name for s in sections] == ["0 to 35 m", "not along the route"]
    assert sections[1].lonlat is None
    assert [(r.get("length_m"), r.get("length_px")) for r in sections[1].rows] == [(4.0, None), (None, 50.0)]


def test_without_a_route(tmp_path):
    survey = make_survey(tmp_path, route=False)
    (section,) = make_sections(survey.cracks, survey.areas, None, section_length_m=100.0, inspected=survey.ground)
    assert (section.start_m, section.end_m, section.lonlat, section.inspected_share) == (0.0, 0.0, None, None)
    assert section.inspected_m2 == 84.0
    assert sum(r["length_m"] for r in section.rows) == pytest.approx(sum(c.fields["length_m"] for c in survey.cracks))
    assert rows_of(section)["alligator", "medium", ""]["area_m2"] == 4.4
    (section,) = make_sections(
        make_survey(tmp_path / "px", placed=False, route=False).cracks, [], None, section_length_m=100.0
    )
    assert section.inspected_m2 is None and all("length_px" in r and "length_m" not in r for r in section.rows)
    (section,) = make_sections([], [], None, section_length_m=100.0)
    assert section.rows == ()


def test_nothing_is_lost_along_a_bent_route(tmp_path):
    survey = make_survey(tmp_path, cracks=60)
    bent = route((-5, 2), (8, 2.5), (14, 0), (20, 3), (36, 2))
    for length in (1.0, 7.3, 1000.0):
        sections = make_sections(survey.cracks, survey.areas, bent, section_length_m=length, inspected=survey.ground)
        assert sections[0].start_m == 0 and sections[-1].end_m == pytest.approx(bent.length_m)
        assert all(a.end_m == b.start_m for a, b in pairwise(sections))
        total = sum(r["length_m"] for s in sections for r in s.rows)
        assert total == pytest.approx(sum(c.fields["length_m"] for c in survey.cracks), abs=0.01)
        assert sum(r["area_m2"] for s in sections for r in s.rows) == pytest.approx(4.4, abs=0.01)
        seen = sum(s.inspected_share * (s.end_m - s.start_m) for s in sections)
        whole = make_sections([], [], bent, section_length_m=1e4, inspected=survey.ground)[0]
        assert seen == pytest.approx(whole.inspected_share * bent.length_m, abs=0.05)


def test_chainage_and_offset_of_rows():
    line, shape = crack(1, [[5, -2], [5, -4], [9, -4]]), area(1, [[20, 1], [22, 1], [22, 3], [20, 3]])
    lost = SurveyCrack({"id": 2})
    cracks, areas = with_chainage([line, lost], [shape], route())
    assert cracks[0].chainage_m == pytest.approx((5.0, 9.0), abs=5e-3)
    # To the south of a road to the east is to its right; the middle of the line is on its long leg.
    assert cracks[0].offset_m == pytest.approx(4.0, abs=3e-3)
    assert cracks[1].chainage_m is None and cracks[1].offset_m is None
    assert areas[0].chainage_m == pytest.approx((20.0, 22.0), abs=0.01)
    assert cracks[0].fields is line.fields
    other, _ = with_chainage([line], [], route((35, 0), (0, 0)))
    assert other[0].offset_m == pytest.approx(-4.0, abs=3e-3)


def test_lengths_that_make_no_sense():
    for length in (0.0, -5.0, float("nan")):
        with pytest.raises(SettingsError, match="give a length above 0"):
            make_sections([], [], route(), section_length_m=length)
    with pytest.raises(SettingsError, match="give at least"):
        make_sections([], [], route(), section_length_m=1e-4)


def test_a_crack_of_several_classes_and_severities_is_one_crack():
    cracks = [
        crack(1, [[1, 1], [3, 1]], crack_id=1), crack(2, [[3, 1], [4, 1]], crack_id=1, kind="other"),
        crack(3, [[4, 1], [5, 1]], crack_id=1, severity="high"), crack(4, [[1, 2], [2, 2]]),
    ]  # fmt: skip
    sections = make_sections(cracks, [], route(), section_length_m=20.0)
    assert [section.cracks for section in sections] == [2, 0] and len(sections[0].rows) == 3
    (whole,) = make_sections(cracks, [], None, section_length_m=20.0)
    layer = section_layer(SurveyResult("x", Path(), cracks=cracks, sections=[whole]))
    assert next(layer.rows())[[column.name for column in layer.columns].index("cracks")] == 2
