"""BiSeNet: a shallow path for place beside a deep one for meaning.

Paper: Yu, Wang, Peng, Gao, Yu and Sang, "BiSeNet", ECCV 2018, arXiv:1808.00897. Written from the paper: ResNet-18 as
context path.

Topology: spatial path of three 3x3 stride 2 (to 1/8); context path of a ResNet, whose maps at 1/16 and 1/32 are
refined by attention (`AttentionRefinement`), the deeper one also carrying the global mean, and brought to 1/8;
both fused by `FeatureFusion`. Heads on the two refined maps help while training.

=========================  ==========  =============  =============
what                       parameters  GMAC at 512²   at 360 x 640
=========================  ==========  =============  =============
ours                       12,963,331
ours, as it predicts       12,815,489           12.6           11.2
paper                          49.0 M                          10.8
=========================  ==========  =============  =============

Deviations, each by name:

* The paper's 49.0 M (remembered, not read again) cannot be had from its text: the trunk has 11.2 M, all modules
  described are small, and its work is ours. Bytes would fit: 12.25 M numbers of four bytes are 49.0 MB. Others count
  13.4 M. Channels that the text leaves open (128 in the context path, 256 after the fusion) are those in common use.
* Global pooling and attention have a bias instead of BN (see `layers`).
* One class out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fissura.nets.layers import ConvNorm, LogitHead, SegmentationNet, global_average, he_init, resize
from fissura.nets.resnet import ResNet


@dataclass(frozen=True)
class BiSeNetV1Config:
    """Which BiSeNet.

    Args:
        depth: Of the ResNet: 18 (the paper's) or 34.
        width: Channels of the trunk's first stage (64 in the paper); all others follow in proportion. Even.
    """

    depth: int = 18
    width: int = 64

    def __post_init__(self) -> None:
        if self.depth not in (18, 34):
            raise ValueError(f"depth is {self.depth}; it must be 18 or 34")
        if self.width < 2 or self.width % 2:
            raise ValueError(f"width is {self.width}; it must be even and at least 2")


class AttentionRefinement(nn.Module):
    """3x3, then each channel scaled by a gate from its global mean."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = ConvNorm(c_in, c_out)
        self.gate = nn.Conv2d(c_out, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.gate(global_average(x)))


class FeatureFusion(nn.Module):
    """1x1 over both paths; its output plus its gated self."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = ConvNorm(c_in, c_out, 1)
        self.gate = nn.Sequential(nn.Conv2d(c_out, c_out // 4, 1), nn.ReLU(), nn.Conv2d(c_out // 4, c_out, 1))

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        x = self.conv(torch.cat([spatial, context], dim=1))
        return x + x * torch.sigmoid(self.gate(global_average(x)))


class ContextPath(nn.Module):
    """What a trunk knows at 1/16 and 1/32, refined and enlarged.

    Args:
        sources: Channels of the maps at 1/16 and 1/32.
        channels: Of what comes out.
    """

    def __init__(self, sources: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Conv2d(sources[1], channels, 1), nn.ReLU())
        self.refine = nn.ModuleList(AttentionRefinement(c, channels) for c in sources)
        self.smooth = nn.ModuleList(ConvNorm(channels, channels) for _ in sources)

    def forward(self, sixteenth: Tensor, last: Tensor, eighth_hw: torch.Size) -> tuple[Tensor, Tensor]:
        """Maps at the size of the eighth (B, C, H/8, W/8) and at the sixteenth."""
        deep = self.refine[1](last) + self.mean(global_average(last))
        deep = self.smooth[1](resize(deep, sixteenth.shape[-2:]))
        middle = self.refine[0](sixteenth) + deep
        return self.smooth[0](resize(middle, eighth_hw)), deep


class BiSeNetV1(SegmentationNet):
    """BiSeNet. One logit map, while training two more before it (1/16, 1/8): see `SegmentationNet`."""

    def __init__(self, config: BiSeNetV1Config | None = None) -> None:
        super().__init__()
        self.config = config = config or BiSeNetV1Config()
        c = config.width
        self.encoder = ResNet(config.depth, width=c)
        self.spatial = nn.Sequential(ConvNorm(3, c, stride=2), ConvNorm(c, c, stride=2), ConvNorm(c, 2 * c, stride=2))
        self.context = ContextPath(self.encoder.channels[2:], 2 * c)
        self.fusion = FeatureFusion(4 * c, 4 * c)
        self.head = LogitHead(4 * c, c)
        self.auxiliary = nn.ModuleList(LogitHead(2 * c, c) for _ in range(2))
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        spatial = self.spatial(x)
        _, _, sixteenth, last = self.encoder(x)
        context, deep = self.context(sixteenth, last, spatial.shape[-2:])
        prediction = self.head(self.fusion(spatial, context))
        if not self.training:
            return [prediction]
        return [self.auxiliary[1](deep), self.auxiliary[0](context), prediction]
