"""BiSeNetV2: wide and shallow for detail, narrow and deep for meaning, merged by mutual guidance.

Paper: Yu, Gao, Wang, Yu, Shen and Sang, "BiSeNet V2", IJCV 2021, arXiv:2004.02147. Written from the paper.

Topology: detail branch of eight 3x3 to 1/8 (64, 64, 128 channels); semantic branch of stem (16, 1/4), gather-and-
expansion layers (32, 64, 128 channels at 1/8, 1/16, 1/32; expansion 6) and context embedding; bilateral guided
aggregation at 1/8; a head of 3x3 and 1x1. "Booster": heads on the four semantic stages, while training only.

==========================  ==========  =============  ==============
what                        parameters  GMAC at 512²   at 512 x 1024
==========================  ==========  =============  ==============
ours                         3,617,813
ours, as it predicts         3,339,793           12.2            24.5
ours, ``head_width=128``     2,304,913            8.0            16.0
paper                         no count                           21.15
==========================  ==========  =============  ==============

Deviations, each by name:

* One class out. The hidden width of the head is 1024, as in common use; the paper's work (remembered, not read again)
  lies between those of 512 and 1024. More than a third of the work is there: take ``head_width=128`` for speed.
* Context embedding has a bias instead of BN on the pooled mean (see `layers`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.layers import ConvNorm, LogitHead, SegmentationNet, conv, global_average, he_init, resize

EXPANSION = 6


@dataclass(frozen=True)
class BiSeNetV2Config:
    """Which BiSeNetV2.

    Args:
        width: Channels of the first detail stage (64 in the paper); the semantic branch starts with a quarter. A
            multiple of 8.
        head_width: Hidden channels of the head of the prediction.
        booster: Heads on the semantic stages while training.
    """

    width: int = 64
    head_width: int = 1024
    booster: bool = True

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 8:
            raise ValueError(f"width is {self.width}; it must be a multiple of 8")
        if self.head_width < 1:
            raise ValueError(f"head_width is {self.head_width}; it must be at least 1")


class StemBlock(nn.Module):
    """3x3 stride 2, then a strided convolution beside max pooling, fused: to 1/4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = ConvNorm(3, channels, stride=2)
        self.left = nn.Sequential(ConvNorm(channels, channels // 2, 1), ConvNorm(channels // 2, channels, stride=2))
        self.fuse = ConvNorm(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        pooled = F.max_pool2d(x, 3, stride=2, padding=1)
        return self.fuse(torch.cat([self.left(x), pooled], dim=1))


class GatherExpansion(nn.Module):
    """3x3, depthwise to six times the channels, 1x1 back; with stride 2 a second depthwise and a shortcut."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        wide = EXPANSION * c_in
        depthwise: list[nn.Module] = [ConvNorm(c_in, wide, stride=stride, groups=c_in, activation=None)]
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            depthwise.append(ConvNorm(wide, wide, groups=wide, activation=None))
            self.shortcut = nn.Sequential(
                ConvNorm(c_in, c_in, stride=2, groups=c_in, activation=None), ConvNorm(c_in, c_out, 1, activation=None)
            )
        self.body = nn.Sequential(ConvNorm(c_in, c_in), *depthwise, ConvNorm(wide, c_out, 1, activation=None))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class ContextEmbedding(nn.Module):
    """The global mean, through 1x1 and ReLU, added everywhere; 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU())
        self.fuse = ConvNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse(x + self.mean(global_average(x)))


class GuidedAggregation(nn.Module):
    """Each branch gates the other at its own scale; both are added at 1/8."""

    def __init__(self, channels: int) -> None:
        super().__init__()

        def separable() -> nn.Sequential:
            return nn.Sequential(
                ConvNorm(channels, channels, groups=channels, activation=None), conv(channels, channels, 1)
            )

        self.detail = separable()
        self.detail_down = ConvNorm(channels, channels, stride=2, activation=None)
        self.semantic = separable()
        self.semantic_gate = ConvNorm(channels, channels, activation=None)
        self.fuse = ConvNorm(channels, channels)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        size = detail.shape[-2:]
        fine = self.detail(detail) * torch.sigmoid(resize(self.semantic_gate(semantic), size))
        smaller = F.avg_pool2d(self.detail_down(detail), 3, stride=2, padding=1)
        coarse = smaller * torch.sigmoid(self.semantic(semantic))
        return self.fuse(fine + resize(coarse, size))


class BiSeNetV2(SegmentationNet):
    """BiSeNetV2. One logit map, while training four more before it (1/4 to 1/32): see `SegmentationNet`."""

    def __init__(self, config: BiSeNetV2Config | None = None) -> None:
        super().__init__()
        self.config = config = config or BiSeNetV2Config()
        c, s = config.width, config.width // 4
        self.detail = nn.Sequential(
            ConvNorm(3, c, stride=2), ConvNorm(c, c),
            ConvNorm(c, c, stride=2), ConvNorm(c, c), ConvNorm(c, c),
            ConvNorm(c, 2 * c, stride=2), ConvNorm(2 * c, 2 * c), ConvNorm(2 * c, 2 * c),
        )  # fmt: skip
        widths = (s, 2 * s, 4 * s, 8 * s)
        self.stem = StemBlock(s)
        self.stages = nn.ModuleList(
            nn.Sequential(GatherExpansion(i, o, 2), *(GatherExpansion(o, o, 1) for _ in range(repeats)))
            for i, o, repeats in zip(widths, widths[1:], (1, 1, 3), strict=False)
        )
        self.context = ContextEmbedding(8 * s)
        self.aggregate = GuidedAggregation(2 * c)
        self.head = LogitHead(2 * c, config.head_width)
        self.booster = nn.ModuleList(LogitHead(w, 2 * c) for w in widths) if config.booster else None
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        semantic = [self.stem(x)]
        for stage in self.stages:
            semantic.append(stage(semantic[-1]))
        prediction = self.head(self.aggregate(self.detail(x), self.context(semantic[-1])))
        if self.booster is None or not self.training:
            return [prediction]
        return [*(head(o) for head, o in zip(self.booster, semantic, strict=True)), prediction]
