"""Width along a branch, on drawn cracks whose width is known everywhere."""

import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.measure.along import profile_widths
from fissura.measure.measuring import measure_cracks
from fissura.measure.model import Branch, BranchWidths
from fissura.measure.widths import STRETCH_PX
from measure.drawn import bar
from support.drawn import draw_cracks, picture_with_mask, straight


def profiles(found):
    return [profile_widths(found.graph.branches[i], found.widths.branches[i], found.scale) for i in found.order]


def tapered():
    """One crack along row 100 from column 40 to 540, 4 px wide at its ends and 10 px at column 290."""
    line, width = straight((100.0, 40.0), (100.0, 540.0), [4, 10, 4])
    return draw_cracks([line], [width], (200, 580), seed=2)


def test_the_width_at_every_place_is_the_drawn_one():
    drawn = tapered()
    found = measure_cracks(drawn.mask, rgb=drawn.rgb)
    (profile,) = profiles(found)
    row, column = profile.points_rc.T
    assert np.abs(row - 100).max() < 0.5
    true = np.interp(column, [40, 290, 540], [4, 10, 4])
    error = profile.width - true
    assert np.abs(error).max() < 0.4
    assert np.mean(np.abs(error)) < 0.15
    assert (profile.sigma > 0).all() and profile.sigma.max() < 0.4
    assert profile.from_grey.all() and not profile.below_blur.any()
    # The widest place is where the crack was drawn widest, not merely somewhere along it.
    assert column[profile.widest] == pytest.approx(290, abs=15)


def test_places_are_as_far_apart_as_widths_are_measured_and_reach_the_ends():
    drawn = tapered()
    found = measure_cracks(drawn.mask, rgb=drawn.rgb)
    (profile,) = profiles(found)
    steps = np.diff(profile.along)
    assert np.median(steps) == pytest.approx(STRETCH_PX / 2, abs=0.5)
    assert steps.min() > 0 and steps.max() < 0.6 * STRETCH_PX
    assert profile.along[0] < 0.6 * STRETCH_PX
    assert profile.along[-1] > found.length - 0.8 * STRETCH_PX
    # Distances are those between the places: the crack is straight.
    across = np.abs(profile.points_rc[:, 1] - profile.points_rc[0, 1])
    assert across == pytest.approx(profile.along - profile.along[0], abs=0.5)


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_width_is_that_of_the_crack(seed):
    drawn = picture_with_mask(seed)
    found = measure_cracks(drawn.mask, rgb=drawn.rgb, scale=GroundScale.uniform(0.7, sigma=0.05))
    assert len(found.cracks) > 1
    for crack, profile in zip(found.cracks, profiles(found), strict=True):
        assert profile.width.max() == profile.width[profile.widest] == crack.width_max
        assert (profile.along > 0).all() and profile.along[-1] < crack.length
        # Between the places nothing is left out: their mean is the crack's.
        bounds = np.concatenate([[0.0], (profile.along[1:] + profile.along[:-1]) / 2, [crack.length]])
        assert np.average(profile.width, weights=np.diff(bounds)) == pytest.approx(crack.width_mean, rel=0.04)


@pytest.mark.parametrize("widest_at", [85, 90, 127, 195])
def test_neither_the_widest_place_nor_the_ends_fall_between_two_places(widest_at):
    x = np.arange(221.0)
    width = 4 - 0.01 * np.abs(x - widest_at + 0.5)
    there = np.ones(len(x), bool)
    branch = Branch(np.column_stack([np.full(len(x), 7.0), x]), width, np.ones(len(x)), (0, 1), 0)
    profile = profile_widths(branch, BranchWidths(width, np.full(len(x), 0.1), there, ~there))
    stretches = [np.median(width[k : k + 20]) for k in range(0, 202, 5)]
    assert profile.width[profile.widest] == profile.width.max() == max(stretches)
    assert profile.along[profile.widest] == pytest.approx(widest_at, abs=2.5)
    assert (profile.along[0], profile.along[-1]) == (10.0, 210.0)
    assert np.diff(profile.along).max() == 10.0


def test_a_short_branch_is_one_place():
    found = measure_cracks(bar(12, 5, 0))
    (crack,), (profile,) = found.cracks, profiles(found)
    assert len(profile) == 1 and profile.widest == 0
    assert profile.width[0] == crack.width_max
    assert profile.along[0] == pytest.approx(crack.length / 2, abs=1)


def test_without_a_picture_widths_are_the_masks():
    (profile,) = profiles(measure_cracks(bar(150, 6, 20)))
    assert not profile.from_grey.any()
    assert profile.width == pytest.approx(6.0, abs=0.4)


def test_hairlines_are_marked():
    line, width = straight((60.0, 20.0), (60.0, 300.0), 0.5)
    drawn = draw_cracks([line], [width], (120, 320), blur=1.2, seed=1)
    found = measure_cracks(drawn.mask, rgb=drawn.rgb)
    assert profiles(found)[0].below_blur.mean() > 0.5


def test_twice_the_scale_twice_the_millimetres_and_its_error_is_in_them():
    drawn = tapered()
    one, two, unsure = (
        profiles(measure_cracks(drawn.mask, rgb=drawn.rgb, scale=GroundScale.uniform(s, sigma=e)))[0]
        for s, e in ((1.5, 0.0), (3.0, 0.0), (1.5, 0.1))
    )
    for name in ("along", "width", "sigma"):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name), rel=1e-9), name
    assert (two.points_rc == one.points_rc).all()
    assert unsure.sigma == pytest.approx(np.hypot(one.sigma, 0.1 * one.width))


def test_pixels_that_are_not_square():
    """Along a row, lengths follow the columns' size and widths that of the rows."""
    drawn = tapered()
    even, tall = (
        profiles(measure_cracks(drawn.mask, rgb=drawn.rgb, scale=GroundScale.uniform(1.0, y)))[0] for y in (1.0, 3.0)
    )
    assert tall.along == pytest.approx(even.along, rel=0.01)
    assert tall.width == pytest.approx(3 * even.width, rel=0.01)
