"""SwiftNet: an ImageNet trunk, pyramid pooling, and a light decoder with lateral connections.

Paper: Oršić, Krešo, Bevandić and Šegvić, "In Defense of Pre-trained ImageNet Architectures", CVPR 2019,
arXiv:1903.08469. Written from the paper: SwiftNetRN-18, single scale.

Topology: ResNet; spatial pyramid pooling on its last map (1x1 to 128, means over grids of 8, 4, 2 and 1 cells, 1x1
each, concatenated, 1x1 to 128); three times: enlarge to the size of the map before, add its 1x1 projection, 3x3.
A 1x1 at 1/4 gives the logit, enlarged bilinearly. Lateral connections leave the trunk before the ReLU of the
last sum. In the decoder BN and ReLU come before each convolution.

==================  ==========  =============  ===============
what                parameters  GMAC at 512²   at 1024 x 2048
==================  ==========  =============  ===============
ours, ResNet-18     11,804,985           12.9            103.3
paper                   11.8 M                           104.0
ours, ResNet-34     21,913,145           22.6
==================  ==========  =============  ===============

Deviations, each by name:

* One class out instead of 19 (-2,322).
* Pooled maps pass ReLU and a 1x1 with bias, without the BN before: one value for an image (see `layers`). Grids have
  as many cells across as the aspect of the input asks for, rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fissura.nets.layers import SegmentationNet, adaptive_average, conv, he_init, resize
from fissura.nets.resnet import ResNet

GRIDS = (8, 4, 2, 1)


@dataclass(frozen=True)
class SwiftNetConfig:
    """Which SwiftNet.

    Args:
        depth: Of the ResNet: 18 (the paper's) or 34.
        width: Channels of the trunk's first stage; the decoder has twice as many. 64 in the paper, at least 2.
    """

    depth: int = 18
    width: int = 64

    def __post_init__(self) -> None:
        if self.depth not in (18, 34):
            raise ValueError(f"depth is {self.depth}; it must be 18 or 34")
        if self.width < 2:
            raise ValueError(f"width is {self.width}; it must be at least 2")


class NormConv(nn.Sequential):
    """BN, ReLU, convolution without bias."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        super().__init__(nn.BatchNorm2d(c_in), nn.ReLU(), conv(c_in, c_out, kernel))


class PyramidPooling(nn.Module):
    """Means over coarse grids beside the map itself."""

    def __init__(self, c_in: int, channels: int) -> None:
        super().__init__()
        level = channels // 3
        self.enter = NormConv(c_in, channels, 1)
        self.levels = nn.ModuleList(nn.Sequential(nn.ReLU(), nn.Conv2d(channels, level, 1)) for _ in GRIDS)
        self.fuse = NormConv(channels + len(GRIDS) * level, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        H, W = x.shape[-2:]
        maps = [x]
        for grid, level in zip(GRIDS, self.levels, strict=True):
            pooled = adaptive_average(x, (grid, max(1, round(grid * W / H))))
            maps.append(resize(level(pooled), (H, W)))
        return self.fuse(torch.cat(maps, dim=1))


class Upsample(nn.Module):
    """Enlarge, add the projected lateral map, blend by 3x3."""

    def __init__(self, lateral: int, channels: int) -> None:
        super().__init__()
        self.project = NormConv(lateral, channels, 1)
        self.blend = NormConv(channels, channels, 3)

    def forward(self, x: Tensor, lateral: Tensor) -> Tensor:
        lateral = self.project(lateral)
        return self.blend(resize(x, lateral.shape[-2:]) + lateral)


class SwiftNet(SegmentationNet):
    """SwiftNet, single scale. One logit map, see `SegmentationNet`."""

    def __init__(self, config: SwiftNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SwiftNetConfig()
        channels = 2 * config.width
        self.encoder = ResNet(config.depth, width=config.width)
        self.pyramid = PyramidPooling(self.encoder.channels[-1], channels)
        self.up = nn.ModuleList(Upsample(lateral, channels) for lateral in self.encoder.channels[-2::-1])
        self.head = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 1, 1))
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        *laterals, deepest = self.encoder.totals(x)
        x = self.pyramid(deepest)
        for up, lateral in zip(self.up, reversed(laterals), strict=True):
            x = up(x, lateral)
        return [self.head(x)]
