"""Losses of the map on drawn cracks, with exact answers."""

import pytest
import torch

from fissura.train.adversarial_losses import content_loss, continuity_loss, edge_loss, soften


def _bar():
    mask = torch.zeros(1, 1, 40, 64)
    mask[..., 18:21, :] = 1
    return mask


def _bend():
    """A crack that runs down at a slope of two thirds and turns back."""
    mask = torch.zeros(1, 1, 64, 64)
    for row in range(64):
        col = row * 2 // 3 if row < 40 else 26 - (row - 40) // 2
        mask[..., row, col : col + 2] = 1
    return mask


@pytest.mark.parametrize("crack", [_bar(), _bend(), torch.zeros(1, 1, 40, 40)], ids=["bar", "bend", "none"])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_continuity_is_zero_where_nothing_is_broken(crack, strength):
    assert continuity_loss(strength * crack, crack) == 0.0


@pytest.mark.parametrize(("crack", "dim"), [(_bar(), 3), (_bend(), 2)], ids=["bar", "bend"])
def test_continuity_falls_as_the_gap_closes(crack, dim):
    found = []
    for gap in (20, 14, 9, 5, 2, 1, 0):
        broken = crack.clone()
        broken.narrow(dim, 22, gap).zero_()
        found.append(float(continuity_loss(broken, crack)))
        assert found[-1] == pytest.approx(float((crack - broken).sum() / crack.sum()))
    assert found == sorted(found, reverse=True)
    assert found[-2] > found[-1] == 0.0


def test_continuity_falls_as_the_gap_fills():
    crack = _bar()
    losses = []
    for strength in (0.0, 0.3, 0.8, 1.0):
        half = crack.clone()
        half[..., 30:36] *= strength
        losses.append(float(continuity_loss(half, crack)))
    assert losses == pytest.approx([6 / 64, 0.7 * 6 / 64, 0.2 * 6 / 64, 0.0])


def test_continuity_leaves_ends_background_and_long_gaps_to_the_other_terms():
    crack = _bar()
    half = crack.clone()
    half[..., 30:] = 0
    assert continuity_loss(half, crack) == 0.0
    two_lines = crack.clone()
    two_lines[..., 24:26, :] = 1
    assert continuity_loss(two_lines, crack) == 0.0
    broken = crack.clone()
    broken[..., 20:41] = 0
    assert continuity_loss(broken, crack) == 0.0
    assert continuity_loss(broken, crack, reach_px=22) > 0.0


def test_only_the_gap_feels_the_gradient_of_continuity():
    crack = _bar()
    broken = crack * 0.9
    broken[..., 30:36] = 0.1
    broken.requires_grad_(True)
    continuity_loss(broken, crack).backward()
    expected = torch.zeros_like(crack)
    expected[..., 18:21, 30:36] = -1 / crack.sum()
    torch.testing.assert_close(broken.grad, expected)


def test_softened_mask_keeps_the_crack_and_has_a_rim():
    soft = soften(_bar())[0, 0, :, 30]
    torch.testing.assert_close(soft[15:24], torch.tensor([0.0, 1, 5, 16, 16, 16, 5, 1, 0]) / 16)


def test_every_term_is_zero_at_the_target_and_nowhere_else():
    target = soften(_bar())
    assert content_loss(target, target) == edge_loss(target, target) == 0.0
    flat = torch.full_like(target, 0.25)
    assert content_loss(flat, torch.zeros_like(flat)) == pytest.approx(0.25)
    assert edge_loss(flat, torch.zeros_like(flat)) == 0.0
    assert edge_loss(flat, target) > 0.0


def test_balanced_content_hears_a_crack_that_is_small():
    target = torch.zeros(1, 1, 10, 10)
    target[..., 0, 0] = 1
    silent = torch.zeros_like(target)
    assert content_loss(silent, target) == pytest.approx(0.01)
    assert content_loss(silent, target, balanced=True) == pytest.approx(0.5)


def test_edges_are_measured_in_grey_values_per_pixel():
    step = torch.zeros(1, 1, 8, 10)
    step[..., 5:] = 1
    # Sobel's central difference over two columns on both sides of the step, one direction of two.
    assert edge_loss(step, torch.zeros_like(step)) == pytest.approx(2 * 8 / (2 * 8 * 10))
