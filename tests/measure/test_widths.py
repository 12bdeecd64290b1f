"""Widths of drawn cracks against the truth, and whether the stated errors hold."""

from functools import cache

import numpy as np
import pytest

from fissura.errors import GeometryError
from fissura.geo.scale import GroundScale
from fissura.measure.graph import trace_cracks
from fissura.measure.measuring import MeasureOptions, measure_cracks
from fissura.measure.rules import read_rules
from fissura.measure.widths import (
    SAMPLE_MARGIN_PX,
    average_profiles,
    mask_widths,
    measure_widths,
    plan_stretches,
)
from support.drawn import draw_cracks, picture_with_mask, straight

SEEDS = range(8)


@cache
def stretches():
    """Truth and result for every 20 px of every drawn crack; columns as arrays."""
    rows = []
    for seed in SEEDS:
        drawn = picture_with_mask(seed)
        graph = trace_cracks(drawn.mask)
        report = measure_widths(graph, drawn.rgb)
        points = np.concatenate([b.points_rc for b in graph.branches])
        width = np.concatenate([w.width_px for w in report.branches])
        sigma = np.concatenate([w.sigma_px for w in report.branches])
        for line, true_width in zip(drawn.lines, drawn.widths, strict=True):
            along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
            for start in np.arange(15, along[-1] - 35, 20.0):
                at = np.linspace(start, start + 20, 21)
                on = np.column_stack([np.interp(at, along, line[:, k]) for k in (0, 1)])
                true = float(np.median(np.interp(at, along, true_width)))
                near = np.linalg.norm(points[:, None] - on[None], axis=2).min(axis=1) < 1.5 + true / 4
                if near.sum() >= 5:
                    rows.append((true, np.median(width[near]), np.median(sigma[near]), true_width.max(), seed))
    return np.array(rows).T



def test_resolved_widths():
    true, found, *_ = stretches()
    wide = true >= 3.0  # two standard deviations of the largest blur drawn
    assert wide.sum() > 100
    error = np.abs(found - true)[wide]
    assert np.median(error) <= 0.15
    assert np.quantile(error, 0.9) <= 0.6


def test_narrow_stretches_of_a_crack_that_is_wide_elsewhere():
    true, found, _, widest, _ = stretches()
    narrow = (true < 2.0) & (widest >= 4.5)
    assert narrow.sum() > 15
    relative = (np.abs(found - true) / true)[narrow]
    assert np.median(relative) <= 0.25


def test_stated_errors_hold():
    true, found, sigma, *_ = stretches()
    share = float((np.abs(found - true) <= sigma).mean())
    assert 0.5 <= share <= 0.85, share


def test_blur_and_darkness_are_found():
    line, width = straight((60, 20), (66, 380), (8, 12))
    drawn = draw_cracks([line], [width], (120, 400), blur=1.1, darkness=0.7)
    report = measure_widths(trace_cracks(drawn.mask), drawn.rgb)
    assert report.blur_px == pytest.approx(1.1, abs=0.2)
    assert report.darkness == pytest.approx(0.7, abs=0.04)
    told = measure_widths(trace_cracks(drawn.mask), drawn.rgb, blur_px=1.1)
    assert told.blur_px == 1.1


def test_a_mask_that_is_too_wide_does_not_matter():
    """Hand labels are often twice as wide as the crack."""
    import cv2

    line, width = straight((60, 20), (70, 380), 4.0)
    drawn = draw_cracks([line], [width], (130, 400))
    fat = cv2.dilate(drawn.mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    graph = trace_cracks(fat)
    inside = slice(20, -20)
    by_mask = mask_widths(graph).branches[0]
    by_grey = measure_widths(graph, drawn.rgb).branches[0]
    assert np.median(by_mask.width_px[inside]) > 7
    assert np.median(by_grey.width_px[inside]) == pytest.approx(4.0, abs=0.2)
    assert by_grey.from_grey.mean() > 0.9
    assert not by_mask.from_grey.any()
    assert (by_mask.sigma_px > by_grey.sigma_px.max()).all()


def test_no_dip_falls_back_on_the_mask():
    line, width = straight((60, 20), (60, 380), 7.0)
    mask = draw_cracks([line], [width], (120, 400)).mask
    flat = np.full((*mask.shape, 3), 120, np.uint8)
    report = measure_widths(trace_cracks(mask), flat)
    assert not report.branches[0].from_grey.any()
    assert np.median(report.branches[0].width_px) == pytest.approx(7, abs=0.3)
    assert report.blur_px is None


def test_where_the_crack_fades_the_mask_goes_on():
    line, width = straight((60, 20), (60, 380), 7.0)
    drawn = draw_cracks([line], [width], (120, 400), grain=0.0)
    rgb = drawn.rgb.copy()
    rgb[:, 220:] = 140
    graph = trace_cracks(drawn.mask)
    found = measure_widths(graph, rgb).branches[0]
    column = graph.branches[0].points_rc[:, 1]
    assert found.from_grey[column < 200].all()
    assert not found.from_grey[(column > 260) & (column < 360)].any()
    mask = mask_widths(graph).branches[0]
    far = ~found.from_grey
    np.testing.assert_array_equal(found.width_px[far], mask.width_px[far])
    assert np.median(found.width_px[column < 200]) == pytest.approx(7, abs=0.15)


@pytest.mark.parametrize("width", [3.0, 5.0, 9.0])
@pytest.mark.parametrize("stop", [(60, 380), (140, 380)])
def test_bars_without_a_picture(width, stop):
    line, widths = straight((60, 20), stop, width)
    found = mask_widths(trace_cracks(draw_cracks([line], [widths], (200, 400)).mask)).branches
    assert len(found) == 1
    assert np.average(found[0].width_px[15:-15]) == pytest.approx(width, abs=0.25)
    assert (found[0].sigma_px > 0.5).all()


def test_one_entry_a_branch_of_the_branches_length():
    drawn = picture_with_mask(3)
    graph = trace_cracks(drawn.mask)
    report = measure_widths(graph, drawn.rgb)
    assert len(report.branches) == len(graph.branches)
    for branch, widths in zip(graph.branches, report.branches, strict=True):
        for column in (widths.width_px, widths.sigma_px, widths.from_grey, widths.below_blur):
            assert column.shape == (len(branch.points_rc),)
        assert np.isfinite(widths.width_px).all()
        assert (widths.width_px > 0).all()
        assert (widths.sigma_px > 0).all()
    # Grey pictures are as good as colour.
    grey = measure_widths(graph, drawn.rgb[..., 0])
    np.testing.assert_allclose(grey.branches[0].width_px, report.branches[0].width_px, rtol=1e-6)


def test_picture_of_another_size():
    graph = trace_cracks(picture_with_mask(0).mask)
    with pytest.raises(GeometryError, match=r"the picture is 300x200 and the graph was traced on 420x420"):
        measure_widths(graph, np.zeros((200, 300, 3), np.uint8))


def test_profiles_are_the_same_from_every_window():
    drawn = picture_with_mask(4)
    graph = trace_cracks(drawn.mask)
    stretches = plan_stretches(graph)
    whole = average_profiles(drawn.rgb, graph, stretches)
    for k in range(0, len(stretches), 5):
        some = stretches.take(np.array([k]))
        points = graph.branches[some.branch[0]].points_rc[some.first[0] : some.last[0]]
        margin = some.half[0] + SAMPLE_MARGIN_PX
        low = np.maximum(points.min(axis=0).astype(int) - margin, 0)
        high = points.max(axis=0).astype(int) + margin + 2
        window = drawn.rgb[low[0] : high[0], low[1] : high[1]]
        assert window.size < drawn.rgb.size / 2
        (part,) = average_profiles(window, graph, some, origin_rc=(int(low[0]), int(low[1])))
        np.testing.assert_array_equal(part, whole[k])


def test_what_is_wider_than_every_profile_is_measured_by_the_mask():
    mask = np.zeros((310, 700), bool)
    mask[10:300, 10:690] = True
    graph = trace_cracks(mask)
    found = measure_widths(graph, np.full((*mask.shape, 3), 150, np.uint8) - 90 * mask[..., None].view(np.uint8))
    assert max(w.width_px.max() for w in found.branches) > 280
    for branch, by_mask in zip(found.branches, mask_widths(graph).branches, strict=True):
        wide = ~branch.from_grey
        np.testing.assert_array_equal(branch.width_px[wide], by_mask.width_px[wide])
        assert wide[by_mask.width_px > 280].all()


@pytest.mark.parametrize("rows", [slice(0, 5), slice(55, 60)])
def test_a_crack_on_the_border_is_not_seen_twice(rows):
    """The picture is mirrored at its border, and with it the crack's one edge that is in sight."""
    mask = np.zeros((60, 200), bool)
    mask[rows, 20:180] = True
    rgb = np.where(mask[..., None], np.uint8(20), np.uint8(180)).repeat(3, axis=2)
    found = measure_widths(trace_cracks(mask), rgb).branches[0]
    assert not found.from_grey.any()
    assert np.median(found.width_px) == pytest.approx(5, abs=0.1)


def test_a_crack_that_ends_at_the_border_is_measured_to_its_end():
    mask = np.zeros((200, 80), bool)
    mask[:, 38:43] = True
    rgb = np.where(mask[..., None], np.uint8(20), np.uint8(180)).repeat(3, axis=2)
    found = measure_widths(trace_cracks(mask), rgb).branches[0]
    assert found.from_grey.all()
    assert np.median(found.width_px) == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("widths", [(2.0, 2.0), (2.0, 6.0)])
def test_a_bridged_gap_is_as_wide_as_its_ends_not_as_the_mask(widths):
    """A network's mask is three times as wide as the crack and has a gap of 25 px."""
    hw = (120, 420)
    knots = [widths[0]] * 4 + [widths[1]] * 4
    line, width = straight((60, 30), (60, 390), knots)
    drawn = draw_cracks([line], [width], hw, seed=3)
    mask = np.zeros(hw, bool)
    mask[57:63, 30:198] = mask[57:63, 223:391] = True
    if widths[1] > widths[0]:
        mask[53:67, 223:391] = True
    graph = trace_cracks(mask, probability=np.where(mask, 0.9, 0.3).astype(np.float32))
    report = measure_widths(graph, drawn.rgb)
    (gap,) = [k for k, branch in enumerate(graph.branches) if branch.bridged]
    bridge, sides = report.branches[gap], [r for k, r in enumerate(report.branches) if k != gap]
    means = sorted(side.width_px.mean() for side in sides)
    assert means == pytest.approx(widths, abs=0.8)  # what is narrower than the blur is known no better
    assert means[0] - 0.3 <= bridge.width_px.min() and bridge.width_px.max() <= means[1] + 1e-9
    assert bridge.sigma_px.min() > max(np.median(side.sigma_px) for side in sides)
    assert not bridge.from_grey.any()
    found = measure_cracks(
        mask, rgb=drawn.rgb, probability=np.where(mask, 0.9, 0.3).astype(np.float32), scale=GroundScale.uniform(0.25),
        options=MeasureOptions(rules=read_rules("mbei_concrete")),
    )  # fmt: skip
    levels = {bool(crack.bridged_share): crack.severity for crack in found.cracks}
    assert levels[True] in {crack.severity for crack in found.cracks if not crack.bridged_share}
    (note,) = [crack.notes for crack in found.cracks if crack.bridged_share]
    assert "width from the ends that the gap joins" in note
