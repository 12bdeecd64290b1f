"""HACNetV2: full-resolution crack segmentation from six HybridASPA blocks.

Paper: Chen and Chen, "HACNetV2", Expert Systems with Applications, 2025,
doi:10.1016/j.eswa.2025.128144. Written from the described topology; no code was taken over.

Topology (c = ``width``): three HybridASPA blocks at full resolution with c channels, three at half
resolution with 2c. After each half-resolution block a 1x1 + BN + ReLU branch, enlarged twofold,
joins the full-resolution block of the same depth. Each of the three depths has a 1x1 logit head;
a fourth 1x1 fuses the three into the map that is used.

=====================  ==========  =============  ==========================================
variant                parameters  GMAC at 512²   what differs
=====================  ==========  =============  ==========================================
``published``, c=32       585,415             58  the published file, slips and all
``asymmetric``, c=32      524,551             52  each dilated bottleneck is a dilated 1x3 and 3x1
``asymmetric``, c=48    1,173,895            116  the same, wider
``unshuffled``, c=32      454,976           11.3  ours: the body behind pixel-unshuffle(2)
=====================  ==========  =============  ==========================================

Deviations, each by name:

* ``published`` is the published file. ``slips=True`` repeats its two slips, so that count and behaviour
  can be reproduced: the half-resolution stem is 3x3 beside 3x3 where 1x5 beside 5x1 is meant, and
  the second head is applied to the third depth as well, so that head 3 never receives a gradient.
  ``slips=False`` builds what is meant. The counts also
  say that its block projects with a 3x3, and that projection and gate are followed by BN.
* ``asymmetric`` is the only variant we found that hits both counts the authors state (0.52 M and 1.17 M):
  the cascade is made of the block's own 1x3, ReLU, 3x1, BN, ReLU unit, C to C, dilated, and the block
  projects with a true 1x1. It keeps the 3x3 beside 3x3 half-resolution stem.
* ``unshuffled`` moves every 2x2 patch of pixels into channels, runs the body at half the side length
  and moves four predicted channels back into a 2x2 patch: full-resolution output at a quarter
  of the work. Bottlenecks as in ``published``, a true 1x1 projection, both stems as meant, and
  no BN where a channel has one value per image (the gate), so that small batches train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.layers import conv, cut_back, pad_to_multiple

Variant = Literal["published", "asymmetric", "unshuffled"]
DILATIONS = (1, 3, 9, 27)


@dataclass(frozen=True)
class HACNetV2Config:
    """Which HACNetV2.

    Args:
        variant: See the table at the top of this file.
        width: Channels at full resolution (c); half resolution has twice as many. Even, at least 4.
        slips: Repeat the two slips of the published file. Only ``published`` may.
        unshuffle: Side of the patch of pixels that ``unshuffled`` moves into channels, 2 to 8: at 4 the body runs at a
            quarter of the side length, for small boards.
    """

    variant: Variant = "unshuffled"
    width: int = 32
    slips: bool = False
    unshuffle: int = 2

    def __post_init__(self) -> None:
        if self.variant not in ("published", "asymmetric", "unshuffled"):
            raise ValueError(
                f"variant is {self.variant!r}; it must be 'published', 'asymmetric' or 'unshuffled'"
            )
        if self.width < 4 or self.width % 2:
            raise ValueError(f"width is {self.width}; it must be even and at least 4")
        if self.slips and self.variant != "published":
            raise ValueError("slips=True reproduces the published file: use variant='published'")
        if not 2 <= self.unshuffle <= 8:
            raise ValueError(f"unshuffle is {self.unshuffle}; it must be from 2 to 8")
        if self.unshuffle != 2 and self.variant != "unshuffled":
            raise ValueError("unshuffle says how variant='unshuffled' begins; the other variants have none")


def pixel_unshuffle(x: Tensor, r: int) -> Tensor:
    """Move each r x r patch into channels: (B, C, H, W) to (B, C*r*r, H/r, W/r).

    The channel order is that of ``torch.nn.PixelUnshuffle``, written out as reshape, permute, reshape
    because exporters have permuted the channels of the built-in one without a word.
    """
    B, C, H, W = x.shape
    x = x.reshape(B, C, H // r, r, W // r, r)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(B, C * r * r, H // r, W // r)


def pixel_shuffle(x: Tensor, r: int) -> Tensor:
    """Inverse of `pixel_unshuffle`: (B, C*r*r, H, W) to (B, C, H*r, W*r)."""
    B, C, H, W = x.shape
    x = x.reshape(B, C // (r * r), r, r, H, W)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(B, C // (r * r), H * r, W * r)


class CrackAM(nn.Module):
    """Crack attention: a gate per channel from the maxima of all rows and all columns.

    A crack is a line, so it fills some row or column profile with maxima; a blob of the same area
    fills few. The mean of the H row maxima and W column maxima, through a 1x1 and a
    sigmoid, scales the channel.
    """

    def __init__(self, channels: int, *, normed: bool) -> None:
        super().__init__()
        self.gate: nn.Module = nn.Conv2d(channels, channels, 1)
        if normed:
            self.gate = nn.Sequential(self.gate, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.amax(dim=3)  # (B, C, H)
        cols = x.amax(dim=2)  # (B, C, W)
        profile = torch.cat([rows, cols], dim=2).mean(dim=2)  # (B, C)
        return x * torch.sigmoid(self.gate(profile[:, :, None, None]))


class DilatedBottleneck(nn.Module):
    """1x1 C to C/2, ReLU, dilated 3x3 C/2 to C, BN, ReLU."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 2, 1)
        self.dilated = conv(channels // 2, channels, (3, 3), dilation=dilation, bias=True)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.dilated(F.relu(self.reduce(x)))))


class AsymmetricConv(nn.Module):
    """1x3, ReLU, 3x1, BN, ReLU, both at one dilation."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.row = conv(channels, channels, (1, 3), dilation=dilation, bias=True)
        self.column = conv(channels, channels, (3, 1), dilation=dilation, bias=True)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.column(F.relu(self.row(x)))))


class HybridASPA(nn.Module):
    """Four cascaded dilated units, summed, gated by `CrackAM`, projected, added to the input, 1x3 and 3x1."""

    def __init__(self, channels: int, variant: Variant) -> None:
        super().__init__()
        unit = AsymmetricConv if variant == "asymmetric" else DilatedBottleneck
        self.cascade = nn.ModuleList(unit(channels, d) for d in DILATIONS)
        self.attention = CrackAM(channels, normed=variant != "unshuffled")
        side = 3 if variant == "published" else 1
        self.project: nn.Module = conv(channels, channels, (side, side), bias=True)
        if variant != "unshuffled":
            self.project = nn.Sequential(self.project, nn.BatchNorm2d(channels))
        self.refine = AsymmetricConv(channels)

    def forward(self, x: Tensor) -> Tensor:
        d = self.cascade[0](x)
        total = d
        for unit in self.cascade[1:]:
            d = unit(d)
            total = total + d
        return self.refine(self.project(self.attention(total)) + x)


class Stem(nn.Module):
    """Two parallel convolutions of half the channels each, concatenated: BN, ReLU."""

    def __init__(
        self, c_in: int, c_out: int, *, kernels_hw: tuple[tuple[int, int], tuple[int, int]], stride: int
    ) -> None:
        super().__init__()
        self.a = conv(c_in, c_out // 2, kernels_hw[0], stride=stride)
        self.b = conv(c_in, c_out // 2, kernels_hw[1], stride=stride)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(torch.cat([self.a(x), self.b(x)], dim=1)))


class UpBranch(nn.Module):
    """1x1 2C to C, BN, ReLU, enlarged twofold by repetition."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(F.relu(self.norm(self.conv(x))), scale_factor=2.0, mode="nearest")


class HACNetV2(nn.Module):
    """HACNetV2 in the variants of `HACNetV2Config`.

    Input: (B, 3, H, W), any H and W of at least 2; odd sizes are replicate-padded to the next multiple
    and the output is cut back. Output: four logit maps (B, 1, H, W), o1 to o3 of the three depths and the
    fused o4. In training all four are supervised; only the last is the prediction.
    """

    def __init__(self, config: HACNetV2Config | None = None) -> None:
        super().__init__()
        self.config = config = config or HACNetV2Config()
        c = config.width
        self.unshuffle = config.unshuffle if config.variant == "unshuffled" else 1
        self.size_multiple = 2 * self.unshuffle
        cells = self.unshuffle**2
        lines: tuple[tuple[int, int], tuple[int, int]] = ((1, 5), (5, 1))
        squares: tuple[tuple[int, int], tuple[int, int]] = ((3, 3), (3, 3))
        square_stem = config.slips or config.variant == "asymmetric"
        self.stem_full = Stem(3 * cells, c, kernels_hw=lines, stride=1)
        self.stem_half = Stem(c, 2 * c, kernels_hw=squares if square_stem else lines, stride=2)
        self.blocks_full = nn.ModuleList(HybridASPA(c, config.variant) for _ in range(3))
        self.blocks_half = nn.ModuleList(HybridASPA(2 * c, config.variant) for _ in range(3))
        self.up = nn.ModuleList(UpBranch(c) for _ in range(3))
        self.heads = nn.ModuleList(nn.Conv2d(c, cells, 1) for _ in range(3))
        self.fuse = nn.Conv2d(3 * cells, cells, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        size_hw = x.shape[-2:]
        x = pad_to_multiple(x, self.size_multiple)
        if self.unshuffle > 1:
            x = pixel_unshuffle(x, self.unshuffle)
        full = self.stem_full(x)
        half = self.stem_half(full)
        logits: list[Tensor] = []
        depths = zip(self.blocks_full, self.blocks_half, self.up, strict=True)
        for depth, (block_full, block_half, up) in enumerate(depths):
            half = block_half(half)
            full = block_full(full) + up(half)
            head = self.heads[1] if self.config.slips and depth == 2 else self.heads[depth]
            logits.append(head(full))
        logits.append(self.fuse(torch.cat(logits, dim=1)))
        if self.unshuffle > 1:
            logits = [pixel_shuffle(o, self.unshuffle) for o in logits]
        return cut_back(logits, size_hw)
