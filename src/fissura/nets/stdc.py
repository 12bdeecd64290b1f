"""STDC-Seg: BiSeNet's context path on a trunk of short-term dense concatenation; detail is learnt, not computed.

Paper: Fan, Lai, Huang, Wei, Chai, Luo and Wei, "Rethinking BiSeNet", CVPR 2021, arXiv:2104.13188. Written from the
paper.

Topology: trunk of two 3x3 stride 2 (32, 64) and three stages (256, 512, 1024) of STDC modules; attention refinement
and feature fusion as in `bisenet_v1`, with the trunk's map at 1/8 in place of a spatial path; a detail head on
that map, while training only.

=========================  ==========  =============
what                       parameters  GMAC at 512²
=========================  ==========  =============
STDC1-Seg                   8,565,924
STDC1-Seg, as it predicts   8,270,433            8.4
STDC2-Seg                  12,596,388
STDC2-Seg, as it predicts  12,300,897           11.7
=========================  ==========  =============

The paper counts the trunks with their classifiers only: 8.44 M and 12.47 M (remembered, not read again). Our trunks
have 5,318,304 and 9,348,768; with the 3,124,200 of that classifier (1x1, BN, two fully connected layers) 8.44 M and
12.47 M.

Deviations, each by name:

* The detail head learns the crack mask itself, not the mask's Laplacian: all maps of a network here share one truth,
  and a crack of a few pixels is its own outline.
* Global pooling and attention have a bias instead of BN (see `layers`).
* One class out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.bisenet_v1 import ContextPath, FeatureFusion
from fissura.nets.layers import ConvNorm, LogitHead, SegmentationNet, he_init

REPEATS = {1: (2, 2, 2), 2: (4, 5, 3)}


@dataclass(frozen=True)
class STDCConfig:
    """Which STDC-Seg.

    Args:
        size: 1 or 2, as in STDC1 and STDC2.
        width: Channels of the second convolution (64 in the paper); all others follow. A multiple of 4.
    """

    size: int = 1
    width: int = 64

    def __post_init__(self) -> None:
        if self.size not in REPEATS:
            raise ValueError(f"size is {self.size}; it must be 1 or 2")
        if self.width < 4 or self.width % 4:
            raise ValueError(f"width is {self.width}; it must be a multiple of 4")


class ShortTermDense(nn.Module):
    """1x1 to half the channels, then 3x3 to a quarter, an eighth and an eighth; all four concatenated.

    With stride 2 the size is halved after the 1x1, by a depthwise convolution on the way on and by mean pooling on
    the way out.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        half = c_out // 2
        self.enter = ConvNorm(c_in, half, 1)
        self.halve = ConvNorm(half, half, stride=2, groups=half, activation=None) if stride == 2 else None
        self.units = nn.ModuleList(
            ConvNorm(i, o) for i, o in ((half, c_out // 4), (c_out // 4, c_out // 8), (c_out // 8, c_out // 8))
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        maps = [x]
        if self.halve is not None:
            maps = [F.avg_pool2d(x, 3, stride=2, padding=1)]
            x = self.halve(x)
        for unit in self.units:
            x = unit(x)
            maps.append(x)
        return torch.cat(maps, dim=1)


class STDCTrunk(nn.Module):
    """Maps at 1/8, 1/16 and 1/32."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.channels = (4 * width, 8 * width, 16 * width)
        self.stem = nn.Sequential(ConvNorm(3, width // 2, stride=2), ConvNorm(width // 2, width, stride=2))
        stages = []
        c_in = width
        for c_out, repeats in zip(self.channels, REPEATS[size], strict=True):
            blocks = [ShortTermDense(c_in, c_out, 2)]
            blocks += [ShortTermDense(c_out, c_out, 1) for _ in range(repeats - 1)]
            stages.append(nn.Sequential(*blocks))
            c_in = c_out
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class STDC(SegmentationNet):
    """STDC-Seg. One logit map, while training three more before it (1/16, 1/8, detail): see `SegmentationNet`."""

    def __init__(self, config: STDCConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or STDCConfig()
        c = config.width
        self.encoder = STDCTrunk(config.size, c)
        self.context = ContextPath(self.encoder.channels[1:], 2 * c)
        self.fusion = FeatureFusion(4 * c + 2 * c, 4 * c)
        self.head = LogitHead(4 * c, 4 * c)
        self.detail = LogitHead(4 * c, c)
        self.auxiliary = nn.ModuleList(LogitHead(2 * c, c) for _ in range(2))
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        eighth, sixteenth, last = self.encoder(x)
        context, deep = self.context(sixteenth, last, eighth.shape[-2:])
        prediction = self.head(self.fusion(eighth, context))
        if not self.training:
            return [prediction]
        return [self.auxiliary[1](deep), self.auxiliary[0](context), self.detail(eighth), prediction]
