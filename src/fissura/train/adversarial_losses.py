"""What a generator's soft crack map is asked for: content, edges, continuity. The discriminator asks for the rest.

Every term compares with one target, the softened mask of `soften`, and is 0 there. The published code compared an RGB
mean with a sparse mask, and its continuity was 0 for any map (SYSTEMS.md, section 2).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def soften(mask: Tensor) -> Tensor:
    """A mask 0 or 1, (B, 1, H, W), as a soft map: cracks stay 1, their rim fades over two pixels.

    A discriminator that gets hard masks as true ones needs no look at the crack: soft values alone give a fake away.
    """
    row = mask.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    soft = F.conv2d(_framed(mask, 2), (row[:, None] * row[None, :])[None, None])
    return torch.maximum(mask, soft)


def content_loss(soft_map: Tensor, target: Tensor, *, balanced: bool = False) -> Tensor:
    """L1 between map and target, (B, 1, H, W) each.

    Args:
        soft_map: 0 to 1.
        target: 0 to 1.
        balanced: Crack (target above one half) and background count alike. In the plain mean a few per cent of the
            pixels are crack, and the median, which L1 seeks, is nearly everywhere 0.
    """
    error = (soft_map - target).abs()
    if not balanced:
        return error.mean()
    crack = (target > 0.5).to(error)
    parts = [(error * part).sum() / part.sum().clamp_min(1.0) for part in (crack, 1.0 - crack)]
    return 0.5 * (parts[0] + parts[1])


def edge_loss(soft_map: Tensor, target: Tensor) -> Tensor:
    """L1 between the Sobel gradients of map and target, both directions; a step of 1 has the gradient 1."""
    across = soft_map.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4.0
    kernels = torch.stack([across, across.T])[:, None]
    return F.conv2d(_framed(soft_map - target, 1), kernels).abs().mean()


def continuity_loss(soft_map: Tensor, mask: Tensor, *, reach_px: int = 20) -> Tensor:
    """How much of the true crack is missing between pieces that were found.

    The map is closed along the true crack: what was found grows by half the reach, inside the mask only, and shrinks
    again as far. Gaps up to the reach stay filled, in any direction and around any bend; free ends come back. What
    the closing adds is the loss, as a share of the crack's pixels: 0 on an unbroken crack and without any crack,
    growing with the gap. The closing is a constant for the gradient: otherwise thinning the ends of a
    gap would pay as much as filling it.

    Args:
        soft_map: 0 to 1, (B, 1, H, W).
        mask: 0 or 1, (B, 1, H, W).
        reach_px: The longest gap, counted in steps from pixel to neighbouring pixel; longer ones are left to the
            content term.
    """
    crack = mask > 0.5
    with torch.no_grad():
        closed = torch.where(crack, soft_map, 0.0)
        for _ in range(reach_px // 2):
            closed = torch.where(crack, _maximum(closed), 0.0)
        closed = torch.where(crack, closed, 1.0)
        for _ in range(reach_px // 2):
            closed = torch.where(crack, -_maximum(-closed), 1.0)
    missing = torch.where(crack, F.relu(closed - soft_map), 0.0)  # relu: no gradient where nothing is missing
    return missing.sum() / crack.sum().clamp_min(1)


def judged_true(logits: Tensor) -> Tensor:
    """Loss of taking these patches for true ones: cross-entropy of logits with 1, mean."""
    return F.softplus(-logits.float()).mean()


def judged_fake(logits: Tensor) -> Tensor:
    """Loss of taking these patches for generated ones: cross-entropy of logits with 0, mean."""
    return F.softplus(logits.float()).mean()


def _framed(x: Tensor, width: int) -> Tensor:
    return F.pad(x, (width,) * 4, mode="replicate")


def _maximum(x: Tensor) -> Tensor:
    """Maximum of every pixel and its eight neighbours; outside of the image there is nothing."""
    for dim in (2, 3):  # slices: twice as fast as max pooling on a CPU
        length = x.shape[dim]
        out = x.clone()
        low, high = out.narrow(dim, 0, length - 1), out.narrow(dim, 1, length - 1)
        torch.maximum(low, x.narrow(dim, 1, length - 1), out=low)
        torch.maximum(high, x.narrow(dim, 0, length - 1), out=high)
        x = out
    return x
