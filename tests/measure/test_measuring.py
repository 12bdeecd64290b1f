"""`measure_cracks` on drawn cracks: lengths, directions, classes, fields, and what must not change them."""

import numpy as np
import pytest

from fissura.errors import GeometryError, SettingsError
from fissura.geo.scale import GroundScale
from fissura.measure.graph import TraceOptions
from fissura.measure.layout import RoadLayout
from fissura.measure.measuring import MeasureOptions, measure_cracks
from fissura.measure.rules import read_rules
from fissura.spec import ConfidenceCurve
from measure.drawn import bar, stroke
from support.drawn import draw_cracks, picture_with_mask, straight


def mean_width(found):
    return sum(c.length * c.width_mean for c in found.cracks) / found.length


def angle_between(a_deg, b_deg):
    return abs((a_deg - b_deg + 90) % 180 - 90)


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 121, 168])
def test_length_direction_and_width_of_a_straight_crack(degrees):
    half = 130 * np.array([-np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))])
    line, width = straight((159.7 - half[0], 160.2 - half[1]), (159.7 + half[0], 160.2 + half[1]), 5.0)
    drawn = draw_cracks([line], [width], (320, 320), seed=degrees)
    found = measure_cracks(drawn.mask, rgb=drawn.rgb)
    assert len(found.cracks) == 1
    crack = found.cracks[0]
    # The drawn crack has round ends: the body is one width longer than its line.
    assert 260 * 0.99 <= crack.length <= 265 * 1.01
    assert angle_between(crack.orientation_deg, degrees) < 1.0
    assert crack.width_mean == pytest.approx(5.0, abs=0.15)
    assert crack.width_median == pytest.approx(5.0, abs=0.15)
    assert 4.8 < crack.width_median <= crack.width_p95 <= crack.width_max + 0.2 < 5.8
    assert not crack.scaled
    assert np.isnan(crack.gsd_mm)
    assert 0 < crack.width_sigma < 0.3


def test_length_of_a_bent_crack():
    t = np.linspace(0, 1, 300)
    line = np.column_stack([110 + 40 * np.sin(2 * np.pi * t), 20 + 360 * t])
    drawn = draw_cracks([line], [np.full(300, 4.0)], (220, 400))
    true = np.linalg.norm(np.diff(line, axis=0), axis=1).sum() + 4.0
    assert measure_cracks(drawn.mask, rgb=drawn.rgb).length == pytest.approx(true, rel=0.01)


def test_twice_the_scale_twice_the_lengths():
    drawn = picture_with_mask(1)
    one, two = (
        measure_cracks(drawn.mask, rgb=drawn.rgb, scale=GroundScale.uniform(s, sigma=0.02)) for s in (1.7, 3.4)
    )
    assert len(one.cracks) == len(two.cracks) > 1
    for a, b in zip(one.cracks, two.cracks, strict=True):
        for name in ("length", "width_mean", "width_median", "width_p95", "width_max", "width_sigma", "gsd_mm"):
            assert getattr(b, name) == pytest.approx(2 * getattr(a, name), rel=1e-9), name
        assert b.orientation_deg == pytest.approx(a.orientation_deg, abs=1e-6)
        assert (a.below_gsd, a.crack_id, a.scaled) == (b.below_gsd, b.crack_id, True)


def test_millimetres_are_pixels_times_the_scale():
    drawn = picture_with_mask(1)
    pixels = measure_cracks(drawn.mask, rgb=drawn.rgb)
    scaled = measure_cracks(drawn.mask, rgb=drawn.rgb, scale=GroundScale.uniform(2.5))
    assert scaled.length == pytest.approx(2.5 * pixels.length, rel=1e-9)
    assert mean_width(scaled) == pytest.approx(2.5 * mean_width(pixels), rel=1e-9)
    assert scaled.cracks[0].width_sigma == pytest.approx(2.5 * pixels.cracks[0].width_sigma, rel=1e-9)


def test_the_scales_error_is_part_of_the_widths():
    mask = bar(160, 6, 20)
    sure, unsure = (measure_cracks(mask, scale=GroundScale.uniform(2.0, sigma=s)).cracks[0] for s in (0.0, 0.2))
    assert unsure.width_sigma**2 == pytest.approx(sure.width_sigma**2 + (0.2 * sure.width_mean) ** 2)


@pytest.mark.parametrize("seed", [0, 2])
def test_turned_and_mirrored(seed):
    drawn = picture_with_mask(seed)
    base = measure_cracks(drawn.mask, rgb=drawn.rgb)
    turns = {"90": np.rot90, "left to right": np.fliplr, "top to bottom": np.flipud, "180": lambda a: np.rot90(a, 2)}
    for name, turn in turns.items():
        mask, rgb = np.ascontiguousarray(turn(drawn.mask)), np.ascontiguousarray(turn(drawn.rgb))
        found = measure_cracks(mask, rgb=rgb)
        assert len(found.cracks) == len(base.cracks), name
        assert found.length == pytest.approx(base.length, rel=0.01), name
        assert mean_width(found) == pytest.approx(mean_width(base), rel=0.01), name
        for a, b in zip(base.cracks, found.cracks, strict=True):
            want = {"90": a.orientation_deg + 90, "180": a.orientation_deg}.get(name, -a.orientation_deg)
            assert angle_between(b.orientation_deg, want) < 1.0, name


@pytest.mark.parametrize("degrees", [0, 30, 70])
def test_pixels_that_are_not_square(degrees):
    """Twice as many millimetres down as across; what is perpendicular in the picture is not so on the ground."""
    found = measure_cracks(bar(180, 9, degrees), scale=GroundScale.uniform(1.0, 2.0))
    crack = found.cracks[0]
    along = np.array([np.cos(np.deg2rad(degrees)), 2 * np.sin(np.deg2rad(degrees))])
    assert crack.length == pytest.approx(180 * np.hypot(*along), rel=0.02)
    # Area is preserved but for the scale: width x length grows by 1 x 2.
    assert crack.width_mean == pytest.approx(9 * 2 / np.hypot(*along), rel=0.03)
    assert angle_between(crack.orientation_deg, np.rad2deg(np.arctan2(along[1], along[0]))) < 1.0
    assert crack.gsd_mm == pytest.approx(np.sqrt(2))


def network_mask(cells=5, cell=60):
    side = cells * cell
    hw = (side + 80, side + 80)
    mask = np.zeros(hw, bool)
    for k in range(cells + 1):
        at = 40 + k * cell
        mask |= stroke((at, 40), (at, 40 + side), 4, hw) | stroke((40, at), (40 + side, at), 4, hw)
    return mask


def test_alligator_network():
    scale = GroundScale.uniform(3.0)  # cells of 0.18 m
    found = measure_cracks(network_mask(), scale=scale, options=MeasureOptions(rules=read_rules("astm_d6433")))
    assert len(found.areas) == 1
    area = found.areas[0]
    assert area.scaled
    assert area.area == pytest.approx((5 * 0.18) ** 2, rel=0.05)
    assert area.crack_length == pytest.approx(12 * 5 * 180, rel=0.05)
    assert area.width_mean == pytest.approx(15.0, rel=0.05)  # 5 rows of pixels
    assert area.severity == "high"
    inside = [c for c in found.cracks if c.kind == "alligator"]
    assert len(inside) >= 0.9 * len(found.cracks) > 0
    assert {c.severity for c in inside} == {"high"}
    pixels = measure_cracks(network_mask()).areas[0]
    assert not pixels.scaled
    assert pixels.area == pytest.approx(300**2, rel=0.05)
    assert pixels.severity == ""
    # The same in view of cells of 1.2 m is block cracking, not alligator.
    assert measure_cracks(network_mask(), scale=GroundScale.uniform(20.0)).areas == ()


def test_kinds_and_severities():
    hw = (320, 320)
    mask = stroke((20, 60), (300, 60), 3, hw) | stroke((160, 100), (160, 300), 12, hw)
    mask |= stroke((30, 230), (100, 300), 5, hw)
    rules = read_rules("astm_d6433")
    options = MeasureOptions(road_direction_deg=90, lane_width_m=0.5, rules=rules)
    found = measure_cracks(mask, scale=GroundScale.uniform(2.0), options=options)
    by_kind = {c.kind: c for c in found.cracks}
    assert set(by_kind) == {"longitudinal", "transverse", "diagonal"}
    # 6 mm is low by ASTM, 24 mm medium, 10 mm the limit.
    assert by_kind["longitudinal"].severity == "low"
    assert by_kind["transverse"].severity == "medium"
    assert by_kind["transverse"].extent == "complete"  # 0.4 of 0.5 m
    assert {c.standard for c in found.cracks} == {"astm_d6433"}
    assert [c.id for c in found.cracks] == [1, 2, 3]
    assert [c.crack_id for c in found.cracks] == [1, 2, 3]
    assert found.cracks[0].length == max(c.length for c in found.cracks)
    # Without millimetres no rule says anything, without a road nothing has a kind.
    plain = measure_cracks(mask, options=MeasureOptions(rules=rules))
    assert {(c.kind, c.severity, c.standard) for c in plain.cracks} == {("other", "", "")}


def test_zones():
    hw = (400, 400)
    mask = stroke((40, 60), (360, 60), 4, hw) | stroke((40, 200), (360, 200), 4, hw)
    scale = GroundScale.uniform(10.0)
    layout = RoadLayout.along_lane(np.array([[399.0, 200.0], [0.0, 200.0]]), scale, 3.5)
    options = MeasureOptions(road_direction_deg=90, layout=layout, rules=read_rules("aashto_r85"))
    found = measure_cracks(mask, scale=scale, options=options)
    zones = {round(c.points_rc[:, 1].mean()): c.zone for c in found.cracks}
    assert zones == {60: "left edge", 200: "centre"}  # 1.4 m left of the lane's centre, and on it


def test_bridged_gap():
    hw = (120, 320)
    mask = stroke((60, 20), (60, 150), 5, hw) | stroke((60, 156), (60, 300), 5, hw)
    found = measure_cracks(mask, scale=GroundScale.uniform(1.0))
    assert {c.crack_id for c in found.cracks} == {1}
    bridged = [c for c in found.cracks if c.bridged_share > 0]
    assert len(bridged) == 1
    assert bridged[0].bridged_share == 1.0
    assert bridged[0].length == pytest.approx(6, abs=3)
    assert found.length == pytest.approx(280, rel=0.02)
    assert all(c.width_mean == pytest.approx(5, abs=0.6) for c in found.cracks)
    far = stroke((60, 20), (60, 120), 5, hw) | stroke((60, 200), (60, 300), 5, hw)
    assert {c.crack_id for c in measure_cracks(far).cracks} == {1, 2}


def test_probability_becomes_confidence():
    mask = bar(160, 5, 10)
    sure = measure_cracks(mask, probability=np.where(mask, 0.9, 0.05).astype(np.float32)).cracks[0]
    unsure = measure_cracks(mask, probability=np.where(mask, 0.6, 0.05).astype(np.float32)).cracks[0]
    assert sure.confidence == pytest.approx(0.9, abs=0.05)
    assert unsure.confidence == pytest.approx(0.6, abs=0.05)
    assert measure_cracks(mask).cracks[0].confidence == 1.0


def test_confidence_follows_the_networks_curve():
    mask = np.zeros((60, 260), np.bool_)
    mask[10:13, 10:250] = mask[40:43, 10:60] = True
    probability = np.where(mask, np.float32(0.8), np.float32(0.01))
    curve = ConfidenceCurve(intercept=-4.0, logit=(0.5, 0.1), log_length=(0.5, 0.1))
    found = measure_cracks(mask, probability=probability, options=MeasureOptions(confidence=curve)).cracks
    assert [round(c.length / 10) for c in found] == [24, 5]
    for crack in found:
        said, length = np.log(0.8 / 0.2), np.log(crack.length)
        logit = -4.0 + 0.5 * said + 0.1 * said**2 + 0.5 * length + 0.1 * length**2
        assert crack.confidence == pytest.approx(1 / (1 + np.exp(-logit)), abs=0.03)


@pytest.mark.parametrize("second", [-0.2, 0.0, 0.2])
def test_confidence_never_falls_with_probability_or_length(second):
    curve = ConfidenceCurve(intercept=-1.0, logit=(0.4, second), log_length=(0.3, second))
    surer = [curve(p, 50.0) for p in np.linspace(0, 1, 40)]
    longer = [curve(0.8, length) for length in np.geomspace(1, 1e6, 40)]
    assert surer == sorted(surer)
    assert longer == sorted(longer)
    assert surer[0] < surer[-1]
    assert longer[0] < longer[-1]
    assert curve(1.0, 1e9) <= 1.0
    assert curve(0.0, 0.0) > 0.0


@pytest.mark.parametrize("hw", [(1, 1), (1, 50), (50, 1), (90, 120)])
@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks(hw, value):
    rgb = np.full((*hw, 3), 100, np.uint8)
    found = measure_cracks(np.full(hw, value), rgb=rgb, scale=GroundScale.uniform(1.0))
    if not value:
        assert (found.cracks, found.areas, found.length) == ((), (), 0)
    for crack in found.cracks:
        assert np.isfinite([crack.length, crack.width_mean, crack.width_max, crack.width_sigma]).all()
        assert crack.length >= 0


def test_one_pixel():
    mask = np.zeros((60, 60), bool)
    mask[30, 30] = True
    for picture in (None, np.full((60, 60, 3), 100, np.uint8)):
        found = measure_cracks(mask, rgb=picture, scale=GroundScale.uniform(2.0))
        assert found.length <= 4.0
        assert len(found.cracks) <= 1


def test_narrow_bar_says_that_it_is_too_narrow():
    mask = stroke((60, 20), (60, 220), 1.0, (120, 240))
    crack = measure_cracks(mask).cracks[0]
    assert crack.below_gsd
    assert "width from the mask" in crack.notes


def test_sizes_and_types_that_do_not_fit():
    mask = bar(100, 5, 0, (240, 240))
    with pytest.raises(GeometryError, match="300x200"):
        measure_cracks(mask, rgb=np.zeros((200, 300, 3), np.uint8))
    with pytest.raises(GeometryError):
        measure_cracks(mask, probability=np.zeros((200, 300), np.float32))
    with pytest.raises(GeometryError):
        measure_cracks(np.zeros((4, 5, 3), bool))
    with pytest.raises(SettingsError, match="tolerance_px is -1"):
        MeasureOptions(tolerance_px=-1)


def test_wrong_sizes_are_noticed_without_cracks_too():
    with pytest.raises(GeometryError, match="300x200"):
        measure_cracks(np.zeros((240, 240), bool), rgb=np.zeros((200, 300, 3), np.uint8))


def test_order_is_the_graphs():
    drawn = picture_with_mask(2)
    found = measure_cracks(drawn.mask, rgb=drawn.rgb, options=MeasureOptions(trace=TraceOptions(), tolerance_px=0.5))
    assert sorted(found.order) == list(range(len(found.graph.branches)))
    for crack, i in zip(found.cracks, found.order, strict=True):
        branch = found.graph.branches[i]
        assert crack.length == pytest.approx(branch.length_px)
        np.testing.assert_allclose(crack.points_rc[[0, -1]], branch.points_rc[[0, -1]])


def test_a_field_is_rated_by_the_width_that_the_rules_name():
    """One of the lines is three times as wide as the rest; MBEI looks at the widest place."""
    mask = network_mask(3, 120)
    mask |= stroke((160, 60), (160, 380), 12, mask.shape)
    rules = read_rules("mbei_concrete")
    assert rules.width_statistic == "max"
    found = measure_cracks(mask, scale=GroundScale.uniform(0.2), options=MeasureOptions(rules=rules))
    (area,) = found.areas
    widest = max(crack.width_max for crack in found.cracks)
    assert rules.severity("alligator", widest) != rules.severity("alligator", area.width_mean)
    assert area.severity == rules.severity("alligator", widest)
    mean = measure_cracks(mask, scale=GroundScale.uniform(0.2), options=MeasureOptions(
        rules=rules.model_copy(update={"width_statistic": "mean"})
    ))  # fmt: skip
    assert mean.areas[0].severity == rules.severity("alligator", area.width_mean)


def test_the_longest_crack_on_the_ground_is_number_one():
    """Far away in a view at an angle a crack is longer than it looks."""
    mask = np.zeros((300, 300), bool)
    mask[30:33, 20:120] = mask[150:153, 20:130] = mask[270:273, 20:140] = True
    found = measure_cracks(mask, scale=GroundScale(np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0.01, 1.0]])))
    assert [crack.crack_id for crack in found.cracks] == [1, 2, 3]
    lengths = [crack.length for crack in found.cracks]
    assert lengths == sorted(lengths, reverse=True)
    assert found.cracks[0].points_rc[0, 0] == pytest.approx(31, abs=0.5)
