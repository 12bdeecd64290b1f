import numpy as np
import pytest
from tests.measure.hand_made import constant_widths, graph, grid, polyline, turned

from fissura.errors import GeometryError, SettingsError
from fissura.geo.scale import GroundScale
from fissura.measure.alligator import _Network
from fissura.measure.axis import ground_lines
from fissura.measure.classify import (
    AlligatorOptions,
    ClassOptions,
    classify_branches,
    find_alligator,
    ground_direction_deg,
    kind_by_angle,
    orientation_deg,
)
from fissura.measure.graph import trace_cracks
from fissura.measure.measuring import MeasureOptions, measure_cracks
from fissura.measure.model import CrackGraph
from fissura.measure.rules import Angles
from fissura.synth.cracks import coverage_map, crack_mask
from fissura.synth.scene import grow_cracks

MM2 = GroundScale.uniform(2.0)


def ray(angle_deg, length_px=400.0, at_rc=(1000.0, 1000.0)):
    """A straight branch at an angle, counter-clockwise as seen."""
    angle = np.radians(angle_deg)
    stop = (at_rc[0] - length_px * np.sin(angle), at_rc[1] + length_px * np.cos(angle))
    return graph([at_rc, stop], [(0, 1)])


def kinds(net, scale=None, road_deg=90.0, **more):
    return [one.kind for one in classify_branches(net, scale, road_direction_deg=road_deg, lane_width_m=None, **more)]


# --- orientation


@pytest.mark.parametrize("angle_deg", [0.0, 1.0, 45.0, 90.0, 135.0, 179.0])
def test_orientation_of_a_straight_line_is_counter_clockwise_as_seen(angle_deg):
    points = ray(angle_deg).branches[0].points_rc
    angle, straightness = orientation_deg(points, None)
    assert angle == pytest.approx(angle_deg, abs=1e-6)
    assert straightness == pytest.approx(1.0)
    assert orientation_deg(points[::-1], None)[0] == pytest.approx(angle_deg, abs=1e-6)


def test_orientation_is_on_the_ground():
    points = polyline((0, 0), (-100, 100))
    scale = GroundScale.uniform(1.0, np.sqrt(3.0))  # a pixel is taller than wide
    assert orientation_deg(points, None)[0] == pytest.approx(45.0)
    assert orientation_deg(points, scale)[0] == pytest.approx(60.0)
    assert ground_direction_deg(45.0, scale, (0.0, 0.0)) == pytest.approx(60.0)
    assert ground_direction_deg(225.0, scale, (0.0, 0.0)) == pytest.approx(240.0)
    assert ground_direction_deg(225.0, None, (0.0, 0.0)) == pytest.approx(225.0)


def test_orientation_does_not_depend_on_the_scale_or_the_spacing_of_points():
    points = polyline((0, 0), (-80, 30), (-200, 40))
    expected = orientation_deg(points, None)
    assert orientation_deg(points, GroundScale.uniform(7.0)) == pytest.approx(expected)
    uneven = np.concatenate([points[:90], points[90::5], points[-1:]])
    assert orientation_deg(uneven, None) == pytest.approx(expected, abs=1e-3)


def test_a_zigzag_has_the_axis_of_the_whole():
    corners = [(-8.0 * k, 8.0 * (k % 2)) for k in range(60)]  # legs at +-45° around straight up
    angle, straightness = orientation_deg(polyline(*corners), None)
    assert angle == pytest.approx(90.0, abs=1.5)
    assert straightness > 0.99


def test_no_axis():
    circle = np.linspace(0, 2 * np.pi, 400)
    assert orientation_deg(100 * np.column_stack([np.sin(circle), np.cos(circle)]), None)[1] < 0.25
    assert orientation_deg(polyline((0, 0), (0, 200), (200, 200)), None)[1] < 0.3
    assert orientation_deg(np.zeros((3, 2)), None) == (0.0, 0.0)


# --- classes


@pytest.mark.parametrize(
    ("away_deg", "kind"),
    [
        (0, "longitudinal"), (29.9, "longitudinal"), (30, "longitudinal"), (30.1, "diagonal"), (45, "diagonal"),
        (60, "diagonal"), (60.1, "transverse"), (90, "transverse"), (-30, "longitudinal"), (-60.1, "transverse"),
        (179, "longitudinal"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("road_deg", [0.0, 90.0, 163.0, 300.0])
def test_each_edge_of_the_angles(away_deg, kind, road_deg):
    assert kinds(ray(road_deg + away_deg), road_deg=road_deg) == [kind]


def test_angles_of_a_rule_set():
    options = ClassOptions(angles=Angles(longitudinal_up_to_deg=20, transverse_above_deg=70, between="other"))
    assert kinds(ray(110), options=options) == ["longitudinal"]
    assert kinds(ray(111), options=options) == ["other"]
    assert kinds(ray(161), options=options) == ["transverse"]


def test_without_a_road_the_axis_is_still_reported():
    (one,) = classify_branches(ray(20), None, road_direction_deg=None, lane_width_m=3.5)
    assert (one.kind, one.extent) == ("other", "")
    assert one.orientation_deg == pytest.approx(20)
    assert one.axis_deg == pytest.approx(20)


def test_the_chain_decides_and_not_the_piece():
    # a crack along the road (up) whose middle piece runs across it for a while
    net = graph([(900, 500), (500, 500), (500, 540), (100, 540)], [(0, 1), (1, 2), (2, 3)])
    result = classify_branches(net, None, road_direction_deg=90.0, lane_width_m=None)
    assert [one.kind for one in result] == ["longitudinal"] * 3
    assert {one.chain for one in result} == {0}
    assert result[1].orientation_deg == pytest.approx(0.0)


def test_at_a_crossing_the_straight_ways_go_on():
    net = graph([(500, 500), (100, 500), (900, 500), (500, 100), (500, 900)], [(1, 0), (0, 2), (3, 0), (4, 0)])
    result = classify_branches(net, None, road_direction_deg=90.0, lane_width_m=None)
    assert [one.kind for one in result] == ["longitudinal", "longitudinal", "transverse", "transverse"]
    assert result[0].chain == result[1].chain != result[2].chain == result[3].chain


def test_a_twig_takes_the_kind_of_its_crack():
    nodes = [(900, 500), (500, 500), (100, 500), (500, 500 + 59), (500, 500 + 61)]
    assert kinds(graph(nodes, [(0, 1), (1, 2), (1, 3)])) == ["longitudinal"] * 3
    assert kinds(graph(nodes, [(0, 1), (1, 2), (1, 4)])) == ["longitudinal", "longitudinal", "transverse"]


@pytest.mark.parametrize("twig_px", [59, 61])
def test_a_kind_follows_from_its_angle_and_straightness_by_any_limits(twig_px):
    net = graph([(900, 500), (500, 500), (100, 510), (500, 500 + twig_px)], [(0, 1), (1, 2), (1, 3)])
    found = classify_branches(net, None, road_direction_deg=75.0, lane_width_m=None)
    assert found[0].away_deg == pytest.approx(14.3, abs=0.1)
    assert (found[2].away_deg == found[0].away_deg) == (twig_px < 60)
    for limit_deg in (10.0, 14.0, 15.0, 80.0):
        options = ClassOptions(angles=Angles(longitudinal_up_to_deg=limit_deg, transverse_above_deg=limit_deg))
        known = [kind_by_angle(one.away_deg, one.away_straightness, options) for one in found]
        assert known == kinds(net, road_deg=75.0, options=options)
    (lost,) = classify_branches(ray(20), None, road_direction_deg=None, lane_width_m=None)
    assert lost.away_deg is None and kind_by_angle(None, lost.away_straightness, ClassOptions()) == "other"


def test_a_crack_without_an_axis_is_other():
    assert kinds(graph([(500, 500), (800, 800)], [(0, 1, [(500, 800)])])) == ["other"]
    ring = graph([(500, 500)], [(0, 0, [(500, 700), (700, 700), (700, 500)])])
    assert kinds(ring) == ["other"]


def test_two_branches_that_make_a_ring_are_one_chain():
    net = graph([(500, 500), (700, 700)], [(0, 1, [(500, 700)]), (0, 1, [(700, 500)])])
    result = classify_branches(net, None, road_direction_deg=90.0, lane_width_m=None)
    assert [one.chain for one in result] == [0, 0]


@pytest.mark.parametrize(("length_px", "extent"), [(1312.5, "partial"), (1313.0, "complete"), (100.0, "partial")])
def test_complete_beyond_three_quarters_of_the_lane(length_px, extent):
    net = ray(0.0, length_px, at_rc=(500.0, 0.0))
    (one,) = classify_branches(net, MM2, road_direction_deg=90.0, lane_width_m=3.5)
    assert (one.kind, one.extent) == ("transverse", extent)
    (one,) = classify_branches(net, MM2, road_direction_deg=90.0, lane_width_m=None)
    assert one.extent == ""
    (one,) = classify_branches(net, None, road_direction_deg=90.0, lane_width_m=3.5)
    assert one.extent == ""


def test_turning_picture_and_road_together_changes_nothing():
    net = graph(
        [(1200, 1000), (1000, 1010), (700, 1000), (1000, 1400), (880, 1300), (1000, 600)],
        [(0, 1), (1, 2), (1, 3), (1, 5), (3, 4)],
    )
    before = classify_branches(net, MM2, road_direction_deg=80.0, lane_width_m=2.0)
    assert {one.kind for one in before} >= {"longitudinal", "transverse"}
    for turn_deg in (37.0, 90.0, 211.0):
        after = classify_branches(turned(net, turn_deg), MM2, road_direction_deg=80.0 + turn_deg, lane_width_m=2.0)
        assert [(b.kind, b.extent, b.chain) for b in before] == [(a.kind, a.extent, a.chain) for a in after]
        for b, a in zip(before, after, strict=True):
            assert (a.axis_deg - b.axis_deg - turn_deg + 90) % 180 - 90 == pytest.approx(0, abs=1e-6)


def test_the_class_is_the_one_on_the_ground():
    net = ray(50.0)  # 40° from the road in the picture
    squashed = GroundScale.uniform(1.0, 3.0)
    assert kinds(net) == ["diagonal"]
    assert kinds(net, squashed) == ["longitudinal"]


def test_bad_settings():
    with pytest.raises(SettingsError, match="nan°"):
        kinds(ray(0), road_deg=float("nan"))
    with pytest.raises(SettingsError, match="lane is 0 m wide"):
        classify_branches(ray(0), None, road_direction_deg=0.0, lane_width_m=0)
    with pytest.raises(SettingsError, match=r"min_cells .* is 0"):
        AlligatorOptions(min_cells=0)


def test_nothing_to_classify():
    empty = CrackGraph(np.empty((0, 2)), (), (10, 10))
    assert kinds(empty) == []
    assert find_alligator(empty, [], None) == []


# --- alligator fields


def test_a_net_of_small_cells_is_a_field_with_exact_numbers():
    net = grid(3, 3, 100.0)
    (found,) = find_alligator(net, constant_widths(net), MM2)
    assert found.scaled
    assert found.cells == 9
    assert found.cell_size == pytest.approx(200.0)
    assert found.area == pytest.approx(0.36)
    assert found.crack_length == pytest.approx(4800.0)
    assert found.width_mean == pytest.approx(6.0)
    assert found.branches == tuple(range(24))
    assert {tuple(p) for p in found.outline_rc} == {(100, 100), (100, 400), (400, 100), (400, 400)}
    assert kinds(net, MM2, fields=[found]) == ["alligator"] * 24


def test_without_a_scale_the_same_net_in_pixels():
    net = grid(3, 3, 100.0)
    (found,) = find_alligator(net, [], None)
    assert not found.scaled
    assert (found.cells, found.area) == (9, pytest.approx(90_000.0))
    assert np.isnan(found.width_mean)


@pytest.mark.parametrize(("gsd_mm", "cells"), [(2.5, 4), (4.9, 4), (5.0, 4), (5.1, 0), (20.0, 0)])
def test_cells_up_to_half_a_metre(gsd_mm, cells):
    found = find_alligator(grid(2, 2, 100.0), [], GroundScale.uniform(gsd_mm))
    assert [one.cells for one in found] == ([cells] if cells else [])


def test_pixels_much_larger_than_cells_cost_no_memory():
    """Just below a horizon a pixel may be a kilometre long, and a step is 20 mm."""
    net = grid(2, 2, 100.0)
    lines = ground_lines([branch.points_rc for branch in net.branches], GroundScale.uniform(100_000.0))
    assert len(_Network(lines, 500.0).xy) <= 20 * sum(map(len, lines))
    assert find_alligator(net, [], GroundScale.uniform(1e9)) == []


def test_three_cells_are_too_few():
    assert find_alligator(grid(1, 3, 100.0), [], MM2) == []
    assert len(find_alligator(grid(1, 4, 100.0), [], MM2)) == 1


def test_a_frayed_mask_is_no_field():
    assert find_alligator(grid(3, 3, 5.0), [], MM2) == []


@pytest.mark.parametrize(("gap_px", "cells"), [(30.0, 4), (49.0, 4), (60.0, 3)])
def test_a_cell_that_nearly_closes_counts(gap_px, cells):
    # two rows of two cells; the wall between the upper two ends early (limit: 0.1 m = 50 px)
    nodes = [*((r, c) for r in (100, 200, 300) for c in (100, 200, 300)), (100 + gap_px, 200)]
    walls = [(0, 2), (0, 3), (2, 5), (3, 4), (4, 5), (3, 6), (4, 7), (5, 8), (6, 7), (7, 8), (4, 9)]
    options = AlligatorOptions(min_cells=2)
    (found,) = find_alligator(graph(nodes, walls), [], MM2, options)
    # without the wall, the upper two are one cell of 0.4 m x 0.2 m
    assert found.cells == cells


def test_lines_alone_are_no_field():
    two = graph([(100, 100), (100, 1900), (130, 100), (130, 1900)], [(0, 1), (2, 3)])
    assert find_alligator(two, [], MM2) == []
    cross = graph([(500, 500), (100, 500), (900, 500), (500, 100), (500, 900)], [(1, 0), (0, 2), (3, 0), (0, 4)])
    assert find_alligator(cross, [], MM2) == []


def test_close_parallel_cracks_are_a_field_without_cells():
    # four cracks 0.1 m apart and 2 m long: the early, unconnected stage in a wheel path
    nodes = [(100 + 50 * k, c) for k in range(4) for c in (100, 1100)]
    (found,) = find_alligator(graph(nodes, [(2 * k, 2 * k + 1) for k in range(4)]), [], MM2)
    assert found.cells == 0
    assert np.isnan(found.cell_size)
    assert found.branches == (0, 1, 2, 3)
    assert found.area == pytest.approx(2.0 * 0.3, rel=0.1)


def test_two_fields_and_a_line_between_them():
    left, right = grid(2, 2, 100.0), grid(3, 2, 100.0, at_px=1400.0)
    shift = len(left.nodes_rc)
    moved = [type(b)(b.points_rc, b.mask_width_px, b.probability, (b.nodes[0] + shift, b.nodes[1] + shift), 0)
             for b in right.branches]  # fmt: skip
    nodes = np.concatenate([left.nodes_rc, right.nodes_rc])
    line = graph(nodes, [(shift - 1, shift)]).branches[0]
    net = CrackGraph(nodes, (*left.branches, *moved, line), (2000, 2000))
    found = find_alligator(net, [], MM2)
    assert [one.cells for one in found] == [6, 4]
    assert found[1].branches == tuple(range(12))
    # the line falls to the right as seen, at 135°
    result = kinds(net, MM2, road_deg=135.0, fields=found)
    assert result == ["alligator"] * (len(net.branches) - 1) + ["longitudinal"]


def test_fields_turn_and_scale_with_the_picture():
    net = grid(4, 5, 80.0, at_px=700.0, jitter_px=6.0)
    (before,) = find_alligator(net, [], MM2)
    (after,) = find_alligator(turned(net, 33.0), [], MM2)
    assert (after.cells, after.branches) == (before.cells, before.branches)
    assert after.area == pytest.approx(before.area, rel=1e-3)
    (larger,) = find_alligator(net, [], GroundScale.uniform(4.0))
    assert larger.area == pytest.approx(4 * before.area, rel=1e-2)
    assert larger.crack_length == pytest.approx(2 * before.crack_length)


def test_a_view_at_an_angle_gives_the_same_ground_area():
    tilted = GroundScale(np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2e-4, 1.0]]))
    ground_mm = grid(3, 3, 200.0, at_px=300.0)  # drawn in millimetres, then taken to pixels
    back = np.linalg.inv(tilted.matrix)

    def to_pixels(points):
        xyw = np.column_stack([points[:, 1], points[:, 0], np.ones(len(points))]) @ back.T
        return (xyw[:, :2] / xyw[:, 2:])[:, ::-1]

    nodes = to_pixels(ground_mm.nodes_rc)
    branches = []
    for b in ground_mm.branches:
        points = to_pixels(b.points_rc)
        points[0], points[-1] = nodes[b.nodes[0]], nodes[b.nodes[1]]
        branches.append(type(b)(points, b.mask_width_px, b.probability, b.nodes, 0))
    (found,) = find_alligator(CrackGraph(nodes, tuple(branches), (2000, 2000)), [], tilted)
    assert found.area == pytest.approx(0.36, rel=1e-6)
    corners = to_pixels(np.array([[300.0, 300.0], [300, 900], [900, 300], [900, 900]]))
    assert all(np.min(np.linalg.norm(found.outline_rc - corner, axis=1)) < 1e-6 for corner in corners)


def test_block_cracking_is_no_alligator():
    assert find_alligator(grid(4, 4, 400.0), [], MM2) == []


def test_a_field_whose_shrunk_outline_crosses_itself():
    """Mitres that GEOS cuts off made an invalid polygon here, and the whole picture failed."""
    cracks = grow_cracks(np.random.default_rng([200, 1]), (4000.0, 5280.0), "asphalt", (4.0, 60.0))
    mask = crack_mask(cracks, coverage_map(cracks, (500, 660), 8.0), 8.0)
    (field,) = find_alligator(trace_cracks(mask), [], GroundScale.uniform(8.0))
    assert field.cells > 20


def test_as_many_widths_as_branches():
    net = grid(2, 2, 100.0)
    with pytest.raises(GeometryError, match="12 branches need as many widths, got 1"):
        find_alligator(net, constant_widths(net)[:1], MM2)


def test_on_a_bend_each_crack_is_judged_by_the_road_beside_it() -> None:
    """Two upright cracks: along the road where it is upright, across it where it has turned."""
    mask = np.zeros((300, 600), np.bool_)
    mask[50:250, 100:103] = True
    mask[50:250, 500:503] = True

    def road_at(points_rc: np.ndarray) -> np.ndarray:
        return np.where(points_rc[:, 1] < 300, 90.0, 0.0)

    found = measure_cracks(mask, options=MeasureOptions(road_direction_at=road_at))
    kinds = {round(float(c.points_rc[:, 1].mean()), -2): c.kind for c in found.cracks}
    assert kinds == {100.0: "longitudinal", 500.0: "transverse"}


@pytest.mark.parametrize(("side", "share"), [(200, 0.6), (300, 0.55)])
def test_a_mask_full_of_noise_has_fields_or_none(side, share):
    """Faces that overlapped by the last bit raised, or gave an invalid shape, and the whole picture failed."""
    graph = trace_cracks(np.random.default_rng(0).random((side, side)) < share)
    assert all(field.area > 0 for field in find_alligator(graph, [], None))
