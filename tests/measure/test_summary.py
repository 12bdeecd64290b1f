import numpy as np
import pytest
from tests.measure.hand_made import area, crack

from fissura.errors import GeometryError, SettingsError
from fissura.geo.scale import GroundScale
from fissura.geo.view import find_ground_homography
from fissura.measure.rules import read_rules
from fissura.measure.summary import LIMITS, RoadLayout, assign_zone, summarise

MM = GroundScale.uniform(1.0)
R85 = read_rules("aashto_r85")
LTPP = read_rules("ltpp")
UP = np.array([[9000.0, 2000.0], [0.0, 2000.0]])  # a lane in the middle of column 2000, driven upwards


def rows(summary):
    return {(r.section, r.zone, r.kind, r.severity): r for r in summary.rows}


def test_sums_by_kind_and_severity():
    cracks = [
        crack([[0, 0], [0, 1000]], crack_id=1, length=1000.0, width_mean=4.0),
        crack([[0, 0], [0, 3000]], crack_id=1, length=3000.0, width_mean=8.0),
        crack([[0, 0], [9, 9]], crack_id=2, length=500.0, severity="high"),
        crack([[0, 0], [9, 9]], crack_id=3, length=700.0, kind="transverse"),
    ]
    summary = summarise(cracks, [area([[0, 0], [0, 9], [9, 9]], area=2.5, severity="high")], LTPP, inspected_area_m2=20)
    by_key = rows(summary)
    first = by_key["", "", "longitudinal", "low"]
    assert (first.count, first.length, first.width_mean) == (1, 4.0, pytest.approx(7.0))
    field = by_key["", "", "alligator", "high"]
    assert (field.count, field.length, field.area) == (0, 0.0, 2.5)
    assert np.isnan(field.width_mean)
    assert [(r.kind, r.severity) for r in summary.rows] == [
        ("longitudinal", "low"), ("longitudinal", "high"), ("transverse", "low"), ("alligator", "high"),
    ]  # fmt: skip
    assert summary.length == pytest.approx(5.2)
    assert summary.length_per_area == pytest.approx(0.26)
    assert summary.area_share == pytest.approx(0.125)
    assert summary.standard == "ltpp"


def test_named_as_a_contribution_with_its_limits():
    summary = summarise([], [], LTPP)
    assert summary.title == "crack contribution"
    text = " ".join(summary.limits)
    assert "no pavement condition index" in text
    assert "Sealed cracks count as open" in text
    assert set(LIMITS) < set(summary.limits)
    assert any("stand-in" in limit for limit in summary.limits)
    assert (summary.rows, summary.length, summary.length_per_area) == ((), 0, None)


def test_pixels_stay_pixels():
    summary = summarise([crack([[0, 0], [0, 40]], length=40.0, scaled=False)], [], R85, inspected_area_m2=3.0)
    assert (summary.length, summary.scaled, summary.length_per_area) == (40.0, False, None)
    assert summary.left_out == 0  # rules are in millimetres


def test_what_is_too_small_is_left_out_but_told():
    cracks = [
        crack([[0, 0], [0, 9]], crack_id=1, length=20.0),
        crack([[0, 0], [0, 9]], crack_id=1, length=5.0),  # together with the first it reaches 25 mm
        crack([[0, 0], [0, 9]], crack_id=2, length=24.0),
        crack([[0, 0], [0, 9]], crack_id=3, length=900.0, width_mean=0.9),
    ]
    summary = summarise(cracks, [], R85)
    assert summary.length == pytest.approx(0.025)
    assert summary.left_out == 2
    assert summary.left_out_length == pytest.approx(0.924)


def test_a_zone_given_with_the_crack_is_kept():
    summary = summarise([crack([[0, 0], [0, 9]], zone="shoulder")], [], None)
    assert [row.zone for row in summary.rows] == ["shoulder"]


# --- zones


@pytest.mark.parametrize(
    ("column", "zone"),
    [
        (150, "outside lane"), (300, "left edge"), (1000, "left wheel path"), (2000, "centre"),
        (2400, "right wheel path"), (3600, "right edge"), (3900, "outside lane"),
    ],
)  # fmt: skip
def test_zones_from_left_to_right(column, zone):
    layout = RoadLayout.along_lane(UP, MM, 3.6)
    points = np.array([[100.0, column], [900.0, column]])
    assert assign_zone(points, MM, layout, R85.zones) == zone


def test_driving_the_other_way_swaps_left_and_right():
    layout = RoadLayout.along_lane(UP[::-1], MM, 3.6)
    assert assign_zone(np.array([[0.0, 1000.0], [9.0, 1000.0]]), MM, layout, R85.zones) == "right wheel path"


def test_turned_with_the_picture():
    turn = np.radians(25.0)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    layout = RoadLayout.along_lane(UP @ matrix.T, MM, 3.6)
    points = np.array([[100.0, 1000.0], [900.0, 1010.0]]) @ matrix.T
    assert assign_zone(points, MM, layout, R85.zones) == "left wheel path"


def test_a_crack_is_split_at_the_borders_of_zones():
    # across the whole lane and 200 mm of shoulder on the left
    points = [[500.0, 0.0], [500.0, 3800.0]]
    layout = RoadLayout.along_lane(UP, MM, 3.6)
    summary = summarise([crack(points, length=3800.0, kind="other", severity="")], [], R85, scale=MM, layout=layout)
    got = {row.zone: row.length for row in summary.rows}
    assert list(got) == ["left edge", "left wheel path", "centre", "right wheel path", "right edge", "outside lane"]
    assert list(got.values()) == pytest.approx([0.425, 1.0, 0.75, 1.0, 0.425, 0.2])
    assert all(row.count == 1 for row in summary.rows)


def test_r85_sums_transverse_cracks_without_zones():
    layout = RoadLayout.along_lane(UP, MM, 3.6)
    points = [[500.0, 200.0], [500.0, 3800.0]]
    summary = summarise([crack(points, length=3600.0, kind="transverse")], [], R85, scale=MM, layout=layout)
    assert [(row.zone, row.length) for row in summary.rows] == [("", pytest.approx(3.6))]


def test_a_narrow_lane_has_no_edge_zones():
    layout = RoadLayout.along_lane(UP, MM, 2.5)
    summary = summarise([crack([[0, 750], [0, 3250]], length=2500.0, kind="other")], [], R85, scale=MM, layout=layout)
    assert [(row.zone, round(row.length, 9)) for row in summary.rows] == [
        ("left wheel path", 0.875), ("centre", 0.75), ("right wheel path", 0.875),
    ]  # fmt: skip


def test_an_area_is_split_too():
    layout = RoadLayout.along_lane(UP, MM, 3.6, section_length_m=5.0)
    square = [[3000.0, 1125.0], [3000.0, 2125.0], [5000.0, 2125.0], [5000.0, 1125.0]]  # chainage 4 to 6 m
    summary = summarise([], [area(square, area=2.0)], R85, scale=MM, layout=layout)
    got = {(row.section, row.zone): row.area for row in summary.rows}
    assert got == {
        ("0 to 5 m", "left wheel path"): pytest.approx(0.5),
        ("0 to 5 m", "centre"): pytest.approx(0.5),
        ("5 to 10 m", "left wheel path"): pytest.approx(0.5),
        ("5 to 10 m", "centre"): pytest.approx(0.5),
    }
    assert summary.area == pytest.approx(2.0)


# --- sections


def test_sections_follow_the_road_through_the_picture():
    layout = RoadLayout.across_picture(90.0, (25_000, 4000), MM, 10.0)  # driven upwards: 0 m is at the bottom
    points = [[23_999.5, 100.0], [1_999.5, 100.0]]  # chainage 1 to 23 m
    summary = summarise([crack(points, length=22_000.0)], [], LTPP, scale=MM, layout=layout)
    assert [(row.section, round(row.length, 6)) for row in summary.rows] == [
        ("0 to 10 m", 9.0), ("10 to 20 m", 10.0), ("20 to 30 m", 3.0),
    ]  # fmt: skip
    assert all(row.zone == "" for row in summary.rows)


def test_sections_are_on_the_ground():
    scale = GroundScale.uniform(1.0, 2.0)
    layout = RoadLayout.across_picture(270.0, (10_000, 100), scale, 10.0)
    summary = summarise([crack([[-0.5, 5], [9999.5, 5]], length=20_000.0)], [], LTPP, scale=scale, layout=layout)
    assert [(row.section, round(row.length, 6)) for row in summary.rows] == [("0 to 10 m", 10.0), ("10 to 20 m", 10.0)]


def test_sections_are_sorted_as_numbers_even_before_the_origin():
    layout = RoadLayout.along_lane(UP, MM, 3.6, section_length_m=0.5)
    summary = summarise([crack([[9400, 2000], [3000, 2000]], length=6400.0)], [], LTPP, scale=MM, layout=layout)
    sections = [row.section for row in summary.rows]
    assert sections[:3] == ["-0.5 to 0 m", "0 to 0.5 m", "0.5 to 1 m"]
    assert sections[-1] == "5.5 to 6 m"
    assert summary.length == pytest.approx(6.4)


# --- errors


def test_mixed_units():
    with pytest.raises(GeometryError, match="summarise them apart"):
        summarise([crack([[0, 0], [0, 9]])], [area([[0, 0], [0, 9], [9, 9]], scaled=False)], None)


def test_a_layout_needs_a_scale():
    with pytest.raises(SettingsError, match="need a scale"):
        summarise([], [], None, layout=RoadLayout.along_lane(UP, MM, 3.6))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_lengths_and_areas_above_zero(bad):
    with pytest.raises(SettingsError, match="inspected area"):
        summarise([], [], None, inspected_area_m2=bad)
    with pytest.raises(SettingsError, match="lane_width_m"):
        RoadLayout.along_lane(UP, MM, bad)
    with pytest.raises(SettingsError, match="section_length_m"):
        RoadLayout.across_picture(0.0, (10, 10), MM, bad)


def test_a_lane_lies_below_the_horizon():
    """A point above it comes out behind the camera: left would be right without a word."""
    scale = GroundScale(find_ground_homography(1000.0, (1080, 1920), 3.0, pitch_deg=-10.0))
    below = RoadLayout.along_lane(np.array([[1079.0, 959.5], [700.0, 959.5]]), scale, 3.6)
    assert below.along == pytest.approx((0.0, -1.0), abs=1e-9)
    with pytest.raises(SettingsError, match=r"column 959\.5, row 0, at or above the horizon"):
        RoadLayout.along_lane(np.array([[1079.0, 959.5], [0.0, 959.5]]), scale, 3.6)


def test_a_lane_needs_two_points():
    with pytest.raises(SettingsError, match="two different pixels"):
        RoadLayout.along_lane(UP[[0, 0]], MM, 3.6)
    with pytest.raises(SettingsError, match="two different pixels"):
        RoadLayout.along_lane(UP[:1], MM, 3.6)


def test_sections_begin_on_the_ground_where_the_horizon_is_in_the_picture():
    size_hw = (1080, 1920)
    scale = GroundScale(find_ground_homography(1000.0, size_hw, 10.0, pitch_deg=-25.0))
    layout = RoadLayout.across_picture(90.0, size_hw, scale, 10.0)
    at_m = layout.to_road(np.array([[1079.4, 960.0], [700.0, 960.0]]), scale)[:, 0]
    assert at_m[0] == pytest.approx(0.0, abs=0.01) and 0 < at_m[1] < 100
