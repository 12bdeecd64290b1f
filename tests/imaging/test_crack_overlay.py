from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fissura.errors import GeometryError
from fissura.geo.scale import GroundScale
from fissura.imaging import crack_overlay as co
from fissura.imaging.crack_overlay import OverlayArea, OverlayLine, draw_crack_overlay, plan_crack_overlay
from fissura.imaging.label_layout import CrackCover, LabelRequest, place_labels
from fissura.imaging.overlay_legend import AREA_RGB, INK, format_length, plan_scale_bar
from fissura.imaging.width_scale import WidthScale, plan_width_scale, ramp


def grey(height: int, width: int, value: int = 130) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def straight(r0: float, c0: float, r1: float, c1: float, width: float = 4.0, **more) -> OverlayLine:
    count = max(2, int(np.hypot(r1 - r0, c1 - c0)))
    points = np.linspace((r0, c0), (r1, c1), count)
    return OverlayLine(points, np.full(count, width), np.full(count, width), **more)


def many_lines(size_hw: tuple[int, int], count: int, seed: int = 3) -> list[OverlayLine]:
    rng = np.random.default_rng(seed)
    ends = rng.uniform(0, 1, (count, 4)) * np.tile(size_hw, 2)
    return [
        straight(*end, width=float(w), label=f"#{index} {w:.1f} mm")
        for index, (end, w) in enumerate(zip(ends, rng.uniform(1, 9, count), strict=True), start=1)
    ]


# Colours


def lightness(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, :, 0]


def test_ramp_gets_lighter_all_the_way_and_stands_out_from_black():
    light = lightness(ramp())
    assert (np.diff(light[::8]) > 0).all()
    assert light[0] > 30 and light[-1] > 85


@pytest.mark.parametrize("logarithmic", [False, True])
def test_wider_is_never_darker(logarithmic):
    scale = WidthScale(0.5, 10.0, "mm", logarithmic)
    position = scale.position(np.geomspace(0.01, 100, 200))
    assert (np.diff(position) >= 0).all() and position[0] == 0 and position[-1] == 1
    assert (scale.colours([0.1, 50.0]) == ramp()[[0, -1]]).all()
    assert (scale.colours([np.nan]) == ramp()[:1]).all()


def test_limits_are_round_and_hold_the_widths():
    scale = plan_width_scale([1.7, 2.2, 6.3], unit="mm")
    assert (scale.low, scale.high, scale.below, scale.above) == (1.0, 7.0, False, False)
    assert [text for _, text in scale.ticks()] == ["1", "3", "5", "7"]


def test_outliers_by_length_do_not_stretch_the_scale_and_ticks_say_so():
    scale = plan_width_scale([0.1, 2.0, 3.0, 90.0], [0.5, 60.0, 60.0, 0.5], unit="mm")
    assert scale.high <= 4.0 and scale.below and scale.above
    texts = [text for _, text in scale.ticks()]
    assert texts[0].startswith("≤") and texts[-1].startswith("≥")


def test_a_decade_of_widths_is_logarithmic():
    scale = plan_width_scale(np.geomspace(0.3, 40, 50), unit="mm")
    assert scale.logarithmic and (scale.low, scale.high) == (0.2, 50.0)
    values = [value for value, _ in scale.ticks()]
    assert values == sorted(values) and 4 <= len(values) <= 8


@pytest.mark.parametrize("widths", [[], [np.nan], [0.0], [2.4], [2.4] * 5, [1e-9, 1e6]])
def test_scale_of_any_widths_has_ticks(widths):
    scale = plan_width_scale(widths, unit="px")
    values = [value for value, _ in scale.ticks()]
    assert values[0] == scale.low and values[-1] == scale.high and len(set(values)) == len(values) <= 8


def test_impossible_scales():
    with pytest.raises(GeometryError, match="low < high"):
        WidthScale(3.0, 3.0, "mm")
    with pytest.raises(GeometryError, match="above 0"):
        WidthScale(0.0, 3.0, "mm", logarithmic=True)
    with pytest.raises(GeometryError, match="2 widths"):
        plan_width_scale([1, 2], [1], unit="mm")


# Scale bar


@pytest.mark.parametrize(
    ("mm_per_px", "longest_px", "length_mm", "label"),
    [(0.5, 250, 100, "10 cm"), (0.1, 99, 5, "5 mm"), (6.3, 400, 2000, "2 m"), (0.02, 30, 0.5, "0.5 mm"),
     (50, 4e4, 2e6, "2 km")],
)  # fmt: skip
def test_scale_bar_is_the_longest_round_length(mm_per_px, longest_px, length_mm, label):
    bar = plan_scale_bar(GroundScale.uniform(mm_per_px, 3 * mm_per_px), (300, 400), longest_px)
    assert (bar.length_mm, bar.label, bar.at_centre) == (length_mm, label, False)
    assert bar.length_px == pytest.approx(length_mm / mm_per_px)


def test_format_length():
    texts = ["0.5 mm", "9 mm", "1 cm", "50 cm", "1 m", "5 km"]
    assert [format_length(value) for value in (0.5, 9, 10, 500, 1000, 5e6)] == texts


def test_oblique_view_holds_at_the_centre():
    matrix = np.diag([2.0, 2.0, 1.0])
    matrix[2, 1] = 1e-3
    scale = GroundScale(matrix)
    bar = plan_scale_bar(scale, (401, 601), 100)
    assert bar.at_centre
    ends = scale.to_ground(np.array([[200.0, 300 - bar.length_px / 2], [200.0, 300 + bar.length_px / 2]]))
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(bar.length_mm, rel=1e-6)
    assert plan_scale_bar(GroundScale.uniform(2.0, 2.01), (401, 601), 100).at_centre is False


@pytest.mark.parametrize(("size_hw", "mm_per_px"), [((900, 1400), 0.5), ((300, 400), 2.0), ((2160, 3840), 7.3)])
def test_drawn_bar_is_right_to_a_pixel(size_hw, mm_per_px):
    scale = GroundScale.uniform(mm_per_px)
    picture = grey(*size_hw, value=60)
    plan = plan_crack_overlay(size_hw, [], scale=scale)
    out = draw_crack_overlay(picture, [], scale=scale)
    left, top, right, bottom = (round(value) for value in plan.legend_box)
    panel = out[top:bottom, left:right]
    runs = [len(list(run)) for row in panel for ink, run in itertools.groupby((row == INK).all(1)) if ink]
    assert max(runs) == plan.legend.bar_px
    assert abs(plan.legend.bar_px / plan.zoom * mm_per_px - plan.legend.bar.length_mm) <= 0.5 * mm_per_px / plan.zoom


# Labels


def overlapping(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("size_hw", [(300, 400), (2160, 3840), (1500, 600), (1400, 1400)])
@pytest.mark.parametrize("count", [1, 8, 80])
def test_labels_never_overlap_each_other_or_the_legend(size_hw, count):
    lines = many_lines(size_hw, count)
    outline = np.array([[0.2, 0.2], [0.2, 0.5], [0.6, 0.4]]) * size_hw
    plan = plan_crack_overlay(
        size_hw, lines, [OverlayArea(outline, "alligator 0.8 m²")], scale=GroundScale.uniform(1.0), caption="many"
    )
    boxes = [label.box for label in plan.labels] + [plan.legend_box]
    assert len(plan.labels) >= min(count, 8) and len(plan.labels) <= 25
    assert not any(overlapping(a, b) for a, b in itertools.combinations(boxes, 2))
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= plan.size_hw[1] and 0 <= top < bottom <= plan.size_hw[0]
    for label in plan.labels:
        (x0, y0), (x1, y1) = label.leader_from_xy, label.anchor_xy
        for other in boxes:
            if other is not label.box:
                on_it = [overlapping((x, y, x, y), other) for x, y in np.linspace((x0, y0), (x1, y1), 20)]
                assert not any(on_it)


def test_the_most_important_get_the_labels():
    lines = many_lines((1000, 1400), 40)
    plan = plan_crack_overlay((1000, 1400), lines, max_labels=5)
    areas = [float(line.width_px[0]) * len(line.points_rc) for line in lines]
    assert {label.index for label in plan.labels} == set(np.argsort(areas)[-5:])
    lines[7] = replace(lines[7], importance=1e9)
    assert plan_crack_overlay((1000, 1400), lines, max_labels=1).labels[0].index == 7
    assert plan_crack_overlay((1000, 1400), lines, max_labels=0).labels == ()


def test_labels_avoid_cracks_where_there_is_room():
    grid = np.zeros((100, 100))
    grid[:, 50:] = 1.0
    request = LabelRequest((120.0, 20.0), np.array([[495.0, 500.0]]))
    (placed,) = place_labels([request], CrackCover(grid, 10.0), (1000, 1000))
    assert placed.box[2] <= 500


def test_a_label_without_room_is_left_out():
    request = LabelRequest((120.0, 20.0), np.array([[50.0, 50.0]]))
    assert place_labels([request], CrackCover(np.zeros((1, 1)), 100.0), (100, 100)) == []


def test_cover_share_is_the_covered_part():
    grid = np.zeros((4, 4))
    grid[1:3, 1:3] = 1
    cover = CrackCover(grid, 10.0)
    assert cover.share(np.array([[0, 0, 40, 40], [10, 10, 30, 30], [30, 30, 40, 40], [-9, -9, -5, -5]])).tolist() == [
        0.25, 1.0, 0.0, 0.0,
    ]  # fmt: skip


# Drawing


def test_the_crack_itself_stays_as_it_was():
    picture = grey(1000, 1400)
    cv2.line(picture, (100, 500), (1300, 500), (20, 25, 30), 9)
    before = picture.copy()
    line = straight(500, 100, 500, 1300, width=9.0)
    out = draw_crack_overlay(picture, [line])
    assert (picture == before).all()
    assert (out[496:505, 200:1200] == picture[496:505, 200:1200]).all()
    colour = WidthScale(line.width[0] - 1, line.width[0] + 1, "px").colours(line.width[0])
    railed = draw_crack_overlay(picture, [line], widths=WidthScale(8.0, 10.0, "px"))
    for side in (slice(480, 496), slice(505, 521)):
        distance = np.abs(railed[side, 700].astype(int) - colour).max(1)
        assert (distance <= 8).sum() >= 2


def test_crossing_cracks_hide_neither():
    picture = np.random.default_rng(0).integers(0, 255, (1000, 1400, 3)).astype(np.uint8)
    lines = [straight(500, 100, 500, 1300, 8.0), straight(100, 700, 900, 700, 8.0)]
    out = draw_crack_overlay(picture, lines)
    assert (out[497:504, 200:1200] == picture[497:504, 200:1200]).all()
    assert (out[200:800, 697:704] == picture[200:800, 697:704]).all()


def test_bridged_gaps_are_dashed():
    picture = grey(1000, 1400, 40)
    whole = draw_crack_overlay(picture, [straight(300, 100, 300, 1300, 1.0)])
    dashed = draw_crack_overlay(picture, [straight(300, 100, 300, 1300, 1.0, bridged=True)])
    background = whole[5, 5]
    coloured = [(np.abs(out[290:310, 150:1250].astype(int) - background).max(2) > 90).any(0) for out in (whole, dashed)]
    assert coloured[0].all() and 0.2 < coloured[1].mean() < 0.8
    assert (np.diff(coloured[1].astype(int)) == 1).sum() > 15


def test_areas_have_an_outline_and_show_the_picture():
    outline = np.array([[200.0, 200], [200, 900], [800, 900], [800, 200]])
    out = draw_crack_overlay(grey(1000, 1400), [], [OverlayArea(outline, "alligator 0.8 m²")])
    assert (out[500, 199:202] == AREA_RGB).all(1).any()
    assert (out[300:700, 300:800] == out[100, 100]).all(2).mean() > 0.6  # between the hatch
    assert (out[100, 100] == out[900, 1200]).all()


@pytest.mark.parametrize(
    ("size_hw", "enlarge", "reduce"),
    [((300, 400), 4, 1), ((384, 544), 3, 1), ((899, 600), 2, 1), ((700, 900), 1, 1), ((2160, 3840), 1, 1),
     ((1, 1), 16, 1), ((7000, 9000), 1, 2)],
)  # fmt: skip
def test_size_of_the_drawing(size_hw, enlarge, reduce):
    plan = plan_crack_overlay(size_hw, [])
    assert (plan.enlarge, plan.reduce) == (enlarge, reduce)
    assert plan.size_hw == tuple(-(-side * enlarge // reduce) for side in size_hw)
    if size_hw[0] < 5000:
        assert draw_crack_overlay(grey(*size_hw), []).shape == (*plan.size_hw, 3)


def test_text_grows_with_the_picture():
    small, large = (plan_crack_overlay(hw, []).screen_px for hw in ((1000, 1500), (4000, 6000)))
    assert large == pytest.approx(4 * small)


def test_lines_fall_on_their_pixels_when_the_picture_is_enlarged():
    picture = grey(300, 400)
    picture[150] = 0
    out = draw_crack_overlay(picture, [straight(150, 20, 150, 380, 1.0)], max_labels=0)
    rows = slice(4 * 150, 4 * 151)
    assert out[rows, 800].mean() < 40  # the dark row lies between the rails


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 2000), (2000, 3), (40, 40), (120, 1900)])
def test_tiny_and_thin_pictures(size_hw):
    line = OverlayLine(np.array([[0.0, 0], [size_hw[0] - 1, size_hw[1] - 1]]), np.ones(2), np.ones(2), "#1 1.0 px")
    out = draw_crack_overlay(grey(*size_hw), [line], scale=GroundScale.uniform(1.0), caption="one")
    assert out.dtype == np.uint8 and out.ndim == 3


def test_lines_outside_the_picture_and_without_widths_do_no_harm():
    outside = straight(-500, -500, -400, 3000, label="#1")
    unknown = OverlayLine(np.array([[10.0, 10], [90, 90]]), np.full(2, np.nan), np.full(2, np.nan), "#2 unknown")
    point = OverlayLine(np.full((2, 2), 50.0), np.ones(2), np.ones(2), "#3 a point")
    draw_crack_overlay(grey(500, 1000), [outside, unknown, point], [OverlayArea(np.full((3, 2), -90.0), "far")])


def test_a_given_width_scale_is_used():
    scale = WidthScale(0.0, 10.0, "mm")
    assert plan_crack_overlay((500, 1000), many_lines((500, 1000), 3), widths=scale).widths is scale


def test_same_input_same_picture():
    lines = many_lines((600, 1000), 20)
    one, two = (draw_crack_overlay(grey(600, 1000), lines, scale=GroundScale.uniform(1.0)) for _ in range(2))
    assert (one == two).all()


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 4), (0, 10, 3)])
def test_wrong_picture(shape):
    with pytest.raises(GeometryError, match="H, W, 3"):
        draw_crack_overlay(np.zeros(shape, np.uint8), [])


def test_wrong_lines_and_areas():
    with pytest.raises(GeometryError, match="N >= 2"):
        OverlayLine(np.zeros((1, 2)), np.zeros(1), np.zeros(1))
    with pytest.raises(GeometryError, match="as many widths"):
        OverlayLine(np.zeros((3, 2)), np.zeros(2), np.zeros(3))
    with pytest.raises(GeometryError, match="not finite"):
        OverlayLine(np.full((3, 2), np.nan), np.zeros(3), np.zeros(3))
    with pytest.raises(GeometryError, match="N >= 3"):
        OverlayArea(np.zeros((2, 2)))


def test_reduced_drawing(monkeypatch):
    monkeypatch.setattr(co, "plan_overlay_factor", lambda height, width: 3)
    lines = many_lines((1000, 2001), 10)
    out = draw_crack_overlay(grey(1000, 2001), lines, scale=GroundScale.uniform(2.0))
    plan = plan_crack_overlay((1000, 2001), lines, scale=GroundScale.uniform(2.0))
    assert out.shape == (334, 667, 3) and plan.zoom == pytest.approx(1 / 3)
    assert plan.legend.bar_px == round(plan.legend.bar.length_mm / 2.0 / 3)
