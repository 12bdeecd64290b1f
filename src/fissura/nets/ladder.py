"""Ladder: the network with the least work here, made of few, plain convolutions, for boards and small processors.

Ours. The body of HACNetV2 behind pixel-unshuffle(4), what ``nano`` was before, has 83 convolutions, most of them over
16 channels, and twelve reductions: it did half as many multiplications a second as ``fast`` (docs/LOG.md, 2026-11-29).
A ladder has 25, all 3x3 or 1x1, undilated, with ReLU: kernels that every engine has in int8.

Topology: two 3x3 of stride 2 (8, then c0 channels); on each rung (1/4, 1/8, 1/16, 1/32 of the side) residual blocks, by
stride-2 3x3 down to the next; on the way back a 1x1 of the rung below, enlarged twofold by repetition, is added and
passed through residual blocks; a 3x3 to sixteen logits a cell, moved back into 4x4 patches of pixels. What HACNetV2
sees by dilation the lower rungs see by being small. With ``patch`` 2 there is one 3x3 of stride 2 before the first
rung, at 1/2 of the side, and four logits a cell.

====================================  ==========  =============
what                                  parameters  GMAC at 512²
====================================  ==========  =============
default (``nano``)                       382,288           0.64
widths 64, 64, 80, 96; blocks 1, 2,    1,320,696           5.63
2, 2; back 2, 1, 1; stem 24
patch 2, widths 16, 32, 64, 80, 96;    1,214,532           3.76
blocks 1, 2, 2, 2, 2; back 1, 2, 2, 1
====================================  ==========  =============

Parameters include a second map from the second rung, which is supervised while training and costs nothing afterwards.
Residual blocks after He et al. 2016, arXiv:1512.03385; the way back after Lin et al. 2017 (feature pyramids),
arXiv:1612.03144. Written from the papers.

Deviations: none to speak of; it follows no paper's network.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.hacnet_v2 import pixel_shuffle
from fissura.nets.layers import ConvNorm, SegmentationNet, he_init

STEM_CHANNELS = 8


@dataclass(frozen=True)
class LadderConfig:
    """Which ladder.

    Args:
        widths: Channels of the rungs, from 1/4 of the side downwards; at least three rungs.
        blocks: Residual blocks on each rung on the way down.
        back: Residual blocks on each rung but the lowest on the way back.
        patch: Side of the first rung's cells in pixels: 4, or 2 for a further rung above, on which lines of one and
            two pixels are still lines.
        stem: Channels at half size before the first rung, where ``patch`` is 4.
    """

    widths: tuple[int, ...] = (24, 32, 48, 64)
    blocks: tuple[int, ...] = (0, 1, 2, 2)
    back: tuple[int, ...] = (1, 1, 1)
    patch: int = 4
    stem: int = STEM_CHANNELS

    def __post_init__(self) -> None:
        # A model card brings lists.
        for name in ("widths", "blocks", "back"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.widths) < 3 or min(self.widths) < 4:
            raise ValueError(f"widths are {self.widths}; give at least three rungs of at least 4 channels")
        if len(self.blocks) != len(self.widths) or len(self.back) != len(self.widths) - 1:
            raise ValueError(
                f"{len(self.widths)} rungs need as many numbers in blocks and one fewer in back; "
                f"they have {len(self.blocks)} and {len(self.back)}"
            )
        if self.stem < 4:
            raise ValueError(f"stem is {self.stem}; it needs at least 4 channels")
        if self.patch not in (2, 4):
            raise ValueError(f"patch is {self.patch}; it can be 2 or 4")
        if min(self.blocks + self.back) < 0:
            raise ValueError(f"blocks are {self.blocks} and {self.back}; none may be negative")


class Residual(nn.Module):
    """3x3, BN, ReLU, 3x3, BN, added to the input, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNorm(channels, channels), ConvNorm(channels, channels, activation=None))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Ladder(SegmentationNet):
    """The ladder of `LadderConfig`. Input and output as `SegmentationNet`; the one auxiliary map is that of 1/8."""

    def __init__(self, config: LadderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LadderConfig()
        w = config.widths
        self.size_multiple = config.patch * 2 ** (len(w) - 1)
        before = (config.stem,) if config.patch == 4 else ()
        self.stem = nn.Sequential(*(ConvNorm(a, b, stride=2) for a, b in pairwise((3, *before, w[0]))))
        self.down = nn.ModuleList(ConvNorm(a, b, stride=2) for a, b in pairwise(w))
        self.rungs = nn.ModuleList(_blocks(c, n) for c, n in zip(w, config.blocks, strict=True))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(w))
        self.back = nn.ModuleList(_blocks(c, n) for c, n in zip(w, config.back, strict=False))
        self.head = nn.Conv2d(w[0], config.patch**2, 3, padding=1)
        self.second_head = nn.Conv2d(w[1], (2 * config.patch) ** 2, 1)
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        patch = self.config.patch
        x = self.stem(x)
        seen = []
        for k, rung in enumerate(self.rungs):
            x = rung(x if k == 0 else self.down[k - 1](x))
            seen.append(x)
        maps = []
        for k in reversed(range(len(seen) - 1)):
            x = self.back[k](seen[k] + F.interpolate(self.up[k](x), scale_factor=2.0, mode="nearest"))
            if k == 1 and self.training:
                maps.append(pixel_shuffle(self.second_head(x), 2 * patch))
        return [*maps, pixel_shuffle(self.head(x), patch)]


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels) for _ in range(count)))
