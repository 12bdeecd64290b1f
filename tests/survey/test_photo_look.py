"""Looks at photos: scales, and what a coarser look may add."""

import cv2
import numpy as np
import pytest

from fissura.road import Road
from fissura.survey.look_scales import faint_odds, fill_gaps, plan_look_scales, raise_faint
from fissura.survey.photo_look import fill_notches


def line(*points, width, hw=(300, 300)):
    canvas = np.zeros(hw, np.float32)
    cv2.polylines(canvas, [np.array(points)], False, 1.0, width)
    return canvas


def test_a_gap_of_the_fine_look_is_closed_by_the_coarse_one():
    fine = line((20, 150), (90, 150), width=3) + line((210, 150), (280, 150), width=3)
    coarse = line((20, 150), (280, 150), width=7)
    found = fill_gaps(fine, coarse, 0.5, 0.5)
    assert (found[150, 20:281] > 0.5).all()
    # Where the fine look knows better it is left as narrow as it was.
    assert (found[140:160, 30:60] == fine[140:160, 30:60]).all()


def test_a_net_of_fine_cracks_is_not_drowned():
    fine = sum(line((20, y), (280, y), width=2) for y in range(100, 200, 16))
    coarse = line((20, 148), (280, 148), width=100)
    found = fill_gaps(np.clip(fine, 0, 1), coarse, 0.5, 0.5)
    assert (found[100:200, 60:240] > 0.5).mean() < 0.3


def test_what_only_the_coarse_look_sees_counts():
    coarse = line((20, 150), (280, 150), width=7)
    assert (fill_gaps(np.zeros_like(coarse), coarse, 0.5, 0.5) == coarse).all()
    assert (fill_gaps(coarse, np.zeros_like(coarse), 0.5, 0.5) == coarse).all()


@pytest.mark.parametrize(("scale", "gsd_mm", "expected"), [
    (1.5, 5.0, (1.5, 0.5)), (1.5, 10.0, (1.5, 1.0)), (1.5, 12.0, (1.5,)), (0.5, 5.0, (0.5,)), (1.5, 0.2, (1.5, 0.1)),
    (3.0, None, (3.0, 1.0)),
])  # fmt: skip
def test_the_coarse_look_follows_the_ground(scale, gsd_mm, expected):
    assert plan_look_scales(scale, gsd_mm) == pytest.approx(expected)


@pytest.mark.parametrize("turn", [0, 1])
def test_notches_in_the_side_of_a_road_are_filled_and_its_ends_are_not(turn):
    mask = np.zeros((180, 240), bool)
    mask[:, 80:160] = True
    mask[60:100, 80:110] = False  # a patch
    mask[150:180, 140:160] = False  # a shadow at the border
    whole = np.zeros_like(mask)
    whole[:, 80:160] = True
    if turn:
        mask, whole = np.rot90(mask).copy(), np.rot90(whole).copy()
    found = fill_notches(Road.from_mask(mask, (mask.shape[0] * 8, mask.shape[1] * 8))).mask
    assert (found & ~whole).mean() < 0.01
    assert (whole & ~found).sum() < 0.15 * (whole & ~mask).sum()


def test_a_road_that_ends_is_not_made_longer():
    mask = np.zeros((180, 240), bool)
    mask[:90, 80:160] = True
    road = Road.from_mask(mask, (1440, 1920))
    assert (fill_notches(road).mask == mask).mean() > 0.995


def test_the_road_in_a_photo_from_near_is_found_whole():
    from fissura.survey.photo_look import find_wide_road
    from fissura.synth.aerial import AerialCamera, WorldOptions, make_world, render_view

    # Light and dark asphalt, 15 m below the camera: the road fills most of the picture.
    world = make_world(503, WorldOptions(extent_m=(26.0, 36.0), vehicles=0.0, trees=0.0, houses=0.0))
    camera = AerialCamera(13.0, 18.0, 15.0, focal_px=1500.0, image_hw=(750, 1000))
    view = render_view(world, camera)
    found = find_wide_road(view.rgb, 10.0)
    grown = found.full_mask()
    overlap = float((grown & view.road).sum() / (grown | view.road).sum())
    assert found.found and overlap > 0.85, overlap
    assert find_wide_road(view.rgb, None).mask.shape == found.mask.shape


@pytest.mark.parametrize("hw", [(320, 240), (33, 500), (64, 64)])
def test_small_photos_from_near_have_a_road_mask_that_fits(hw):
    from fissura.survey.photo_look import find_wide_road

    rgb = np.full((*hw, 3), 120, np.uint8)
    rgb[:, : hw[1] // 4] = (60, 110, 50)
    road = find_wide_road(rgb, 10.0)
    assert road.size_hw == hw and all(a <= b for a, b in zip(road.mask.shape, hw, strict=True))


def test_raised_odds_move_the_dividing_probability_and_keep_the_order():
    p = np.linspace(0, 1, 101, dtype=np.float32)
    # Each value on a line of its own: three pixels high, as fine as cracks are.
    lines = np.zeros((101 * 16, 60), np.float32)
    for k, value in enumerate(p):
        lines[16 * k + 6 : 16 * k + 9] = value
    raised = raise_faint(lines, 4.0, 0.5)[7::16, 30]
    assert raised.dtype == np.float32 and (np.diff(raised) > 0).all()
    assert raised[[0, 20, 100]] == pytest.approx([0.0, 0.5, 1.0], abs=1e-6)
    assert raise_faint(lines, 1.0, 0.5) is lines


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_the_odds_of_broad_patches_stay(scale):
    p = np.zeros((200, 300), np.float32)
    p[40:140, 40:140] = 0.3  # a shadow
    p[95:98, 180:280] = 0.3  # a crack
    raised = raise_faint(p, 9.0, 0.5, scale)
    assert (raised[60:120, 60:120] == p[60:120, 60:120]).all() and (raised[40:140, 40:140] < 0.5).mean() > 0.99
    assert (raised[95:98, 180:280] > 0.7).all()


def test_odds_are_raised_only_far_from_the_ground():
    odds = [faint_odds(mm) for mm in (1.0, 6.5, 7.5, 8.5, 17.0, 60.0)]
    assert odds[:2] == [1.0, 1.0] and odds == sorted(odds)
    assert 1.2 < odds[2] < odds[3] and odds[-1] < 20.0
