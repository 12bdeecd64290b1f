"""The truth is exact: drawn shapes against areas that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fissura.errors import GeometryError
from fissura.synth import CrackVector, coverage_map, crack_mask
from fissura.synth.cracks import centreline_mask


def bar(row_mm: float, width_mm: float, *, reach_mm: tuple[float, float] = (-100.0, 500.0)) -> CrackVector:
    """A level crack of one width."""
    return CrackVector(np.array([[row_mm, reach_mm[0]], [row_mm, reach_mm[1]]]), np.full(2, width_mm))


@pytest.mark.parametrize(("row", "width"), [(20.0, 4.0), (20.5, 5.0), (31.0, 2.0), (12.5, 1.0)])
def test_bar_on_the_grid_has_its_area_exactly(row: float, width: float) -> None:
    cover = coverage_map([bar(row, width)], (48, 200), 1.0)
    mask = crack_mask([bar(row, width)], cover, 1.0)
    assert mask.sum() == width * 200
    assert set(np.unique(cover)) == {0.0, 1.0}
    assert mask[int(row - width / 2) : int(row + width / 2)].all()


def test_subpixel_bar_is_partly_covered_and_one_pixel_wide_in_the_mask() -> None:
    crack = bar(20.5, 0.25)
    cover = coverage_map([crack], (48, 200), 1.0)
    assert np.allclose(cover[20], 0.25)
    assert cover.sum() == pytest.approx(0.25 * 200)
    assert crack_mask([crack], cover, 1.0).sum() == 200
    assert crack_mask([crack], cover, 1.0, thin_line=False).sum() == 0


def test_wide_crack_gains_nothing_from_its_centreline() -> None:
    crack = bar(20.0, 6.0)
    cover = coverage_map([crack], (48, 200), 1.0)
    assert (crack_mask([crack], cover, 1.0) == crack_mask([crack], cover, 1.0, thin_line=False)).all()


@pytest.mark.parametrize("angle_deg", [0, 17, 45, 63, 90, 135])
def test_area_does_not_depend_on_direction(angle_deg: float) -> None:
    half = 60.0 * np.array([np.sin(np.deg2rad(angle_deg)), np.cos(np.deg2rad(angle_deg))])
    crack = CrackVector(np.stack([100.0 - half, 100.0 + half]), np.full(2, 6.0))
    # A bar of 120 x 6 mm and two half discs of 3 mm radius.
    expected = 120 * 6 + np.pi * 9
    cover = coverage_map([crack], (200, 200), 1.0)
    assert cover.sum() == pytest.approx(expected, rel=2e-3)
    # Whole pixels on a diagonal come in rows 0.71 px apart: one row more or less is 12 % of the width.
    assert crack_mask([crack], cover, 1.0).sum() == pytest.approx(expected, rel=0.07)


def test_taper_is_linear_along_a_segment() -> None:
    crack = CrackVector(np.array([[50.0, 0.0], [50.0, 100.0]]), np.array([2.0, 10.0]))
    cover = coverage_map([crack], (100, 100), 1.0)
    columns = cover.sum(axis=0)
    for column in (10, 50, 90):
        # Up to a quarter of a per cent of slope: the nearest centreline point lies square to the line.
        assert columns[column] == pytest.approx(2.0 + 0.08 * (column + 0.5), abs=0.1)


def test_overlap_counts_once_and_truth_does_not_depend_on_block_borders() -> None:
    one = bar(64.0, 6.0)  # 64 is a border between the blocks that are worked on one by one.
    twice = coverage_map([one, one], (128, 130), 1.0)
    assert twice.sum() == 6 * 130
    assert (twice == coverage_map([one], (128, 130), 1.0)).all()


@given(factor=st.sampled_from([2.0, 4.0]), width=st.floats(8.0, 30.0), row=st.floats(60.0, 100.0))
@settings(max_examples=20, deadline=None)
def test_ground_area_stays_when_gsd_grows(factor: float, width: float, row: float) -> None:
    fine = coverage_map([bar(row, width)], (160, 64), 1.0)
    coarse = coverage_map([bar(row, width)], (int(160 / factor), int(64 / factor)), factor)
    step = 1 / 8 * factor * 64  # One row of sample points, in square millimetres.
    assert coarse.sum() * factor**2 == pytest.approx(fine.sum(), abs=2 * step)


def test_doubled_gsd_halves_the_pixels_across() -> None:
    crack = bar(40.0, 8.0)
    assert (coverage_map([crack], (80, 32), 1.0)[:, 10] >= 0.5).sum() == 8
    assert (coverage_map([crack], (40, 16), 2.0)[:, 5] >= 0.5).sum() == 4


def test_centreline_is_connected_and_lies_where_the_crack_is() -> None:
    points = np.array([[5.2, 3.9], [30.1, 20.7], [12.0, 44.4]])
    line = centreline_mask([CrackVector(points, np.full(3, 0.3))], (48, 48), 1.0)
    rows, columns = np.nonzero(line)
    assert line[5, 3]
    assert line[30, 20]
    assert line[12, 44]
    assert len(rows) == 26 + 25 - 1  # Pixels (5, 3) to (30, 20) to (12, 44): one a step of the longer axis, end shared.
    assert columns.min() == 3


def test_impossible_cracks_are_refused() -> None:
    with pytest.raises(GeometryError, match="shape"):
        CrackVector(np.zeros((1, 2)), np.ones(1))
    with pytest.raises(GeometryError, match="as many widths"):
        CrackVector(np.zeros((3, 2)), np.ones(2))
    with pytest.raises(GeometryError, match="not negative"):
        CrackVector(np.zeros((2, 2)), np.array([1.0, -1.0]))
    with pytest.raises(GeometryError, match="above 0 mm"):
        coverage_map([], (8, 8), 0.0)


def test_length_is_that_of_the_line() -> None:
    assert CrackVector(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 10.0]]), np.ones(3)).length_mm == pytest.approx(11.0)
