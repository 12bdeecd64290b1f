"""How far from the camera a view at an angle is measured."""

import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.geo.view import find_ground_homography
from fissura.measure.reach import LARGEST_GSD_RATIO, find_reach


def view(pitch_deg, *, hw=(600, 800), vertical_deg=50.0, roll_deg=0.0):
    focal = hw[0] / 2 / np.tan(np.radians(vertical_deg / 2))
    return GroundScale(find_ground_homography(focal, hw, 10.0, pitch_deg=pitch_deg, roll_deg=roll_deg))


@pytest.mark.parametrize("pitch_deg", [-90.0, -60.0, -45.0, -30.0, -120.0])
def test_usual_views_are_measured_to_their_edges(pitch_deg):
    assert find_reach(view(pitch_deg), (600, 800)) is None


def test_maps_are_measured_to_their_edges():
    assert find_reach(GroundScale.uniform(3.0), (600, 800)) is None


@pytest.mark.parametrize("pitch_deg", [-20.0, -25.0])
@pytest.mark.parametrize("roll_deg", [0.0, 10.0, 180.0])
def test_what_is_too_far_is_cut_where_pixels_are_too_large(pitch_deg, roll_deg):
    scale = view(pitch_deg, roll_deg=roll_deg)
    reach = find_reach(scale, (600, 800))
    points = np.argwhere(reach.near).astype(np.float64)
    gsd = scale.gsd_mm(points)
    assert scale.on_ground(points).all()
    assert gsd.max() <= reach.gsd_mm <= 1.03 * gsd.max()
    assert gsd.max() <= LARGEST_GSD_RATIO * gsd.min()
    far = np.argwhere(~reach.near).astype(np.float64)
    far = far[scale.on_ground(far)]
    assert len(far) and (scale.gsd_mm(far) > reach.gsd_mm).all()


def test_a_horizon_near_the_foot_keeps_its_distance():
    """Few rows of ground: pixels within the ratio may be too near to the horizon."""
    scale = view(24.0)
    reach = find_reach(scale, (600, 800))
    depth = (np.c_[np.zeros(600), np.arange(600), np.ones(600)] @ scale.matrix[2]) / scale.matrix[2, 1]
    assert 2 < depth.max() < 19
    assert depth[reach.near[:, 0]].min() >= 2.0 - 1e-9


def test_the_note_says_what_was_left_out():
    reach = find_reach(view(-20.0), (600, 800))
    mask = np.zeros((600, 800), bool)
    assert "no pixel of the crack mask" in reach.describe(mask)
    mask[:, 300] = True
    lost = int((~reach.near[:, 300]).sum())
    assert f"{lost} pixels of the crack mask" in reach.describe(mask)
    assert f"{100 * lost / 600:.2g} % of the picture" in reach.describe(mask)
