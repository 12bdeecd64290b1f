import numpy as np
import pytest

from fissura.errors import GeometryError
from fissura.imaging.overlay import BAND_RGB, draw_overlay, plan_band, plan_overlay_factor, reduce_mask, reduce_rgb


def test_a_hairline_gets_a_vivid_band_and_stays_visible():
    rgb = np.full((300, 1400, 3), 120, np.uint8)
    mask = np.zeros((300, 1400), bool)
    mask[150, 100:1300] = True
    rgb[mask] = 40
    out = draw_overlay(rgb, mask)
    vivid = np.abs(out.astype(int) - BAND_RGB).max(axis=2) < 40
    assert vivid[:, 700].sum() >= 4
    assert not (vivid & mask).any()
    assert out[150, 700].mean() < out[150, 50].mean()
    assert (out[20, 20] == out[280, 1300]).all()


def test_the_band_grows_with_the_picture():
    assert plan_band(6000, 8000)[1] > 3 * plan_band(400, 600)[1]


def test_less_certain_cracks_are_paler():
    rgb = np.full((100, 100, 3), 120, np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[50, 10:90] = True
    probability = np.zeros((100, 100), np.float32)
    probability[50, :50], probability[50, 50:] = 0.95, 0.3
    out = draw_overlay(rgb, mask, probability=probability).astype(int)
    band = 50 - 1 - plan_band(100, 100)[0]
    assert np.abs(out[band, 20] - BAND_RGB).sum() < np.abs(out[band, 80] - BAND_RGB).sum()


def test_no_crack_no_band_and_input_unchanged():
    rgb = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    before = rgb.copy()
    out = draw_overlay(rgb, np.zeros((30, 40), bool))
    assert out.shape == rgb.shape
    assert (rgb == before).all()


def test_sizes_must_agree():
    with pytest.raises(GeometryError, match="one size"):
        draw_overlay(np.zeros((3, 4, 3), np.uint8), np.zeros((4, 3), bool))


def test_reducing_keeps_hairlines():
    mask = np.zeros((101, 67), bool)
    mask[:, 33] = True
    small = reduce_mask(mask, 4)
    assert small.shape == reduce_rgb(np.zeros((101, 67, 3), np.uint8), 4).shape[:2] == (26, 17)
    assert small[:, 8].all()
    assert small.sum() == 26


def test_overlay_size():
    assert plan_overlay_factor(6000, 8000) == 1
    assert plan_overlay_factor(9000, 12_000) == 2
    assert plan_overlay_factor(3, 100_000) == 2
