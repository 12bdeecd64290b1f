"""DeepLab v3+: atrous pyramid pooling on a dilated ResNet, and a small decoder.

Paper: Chen, Zhu, Papandreou, Schroff and Adam, "Encoder-Decoder with Atrous Separable Convolution", ECCV 2018,
arXiv:1802.02611. Written from the paper: its ResNet encoder (not Xception), ResNet-50 here by default,
ResNet-101 (the paper's) as option.

Topology: ResNet at output stride 16 (last stage dilated, multi-grid 1 2 4); pyramid of a 1x1, three 3x3 with rates
6, 12, 18 and the image mean, 256 channels each, fused by 1x1; enlarged fourfold, concatenated with the first stage
projected to 48 channels, two 3x3 of 256, 1x1; enlarged fourfold.

==========  ==========  =============
trunk       parameters  GMAC at 512²
==========  ==========  =============
ResNet-50   40,346,785           69.1
ResNet-101  59,338,913           88.5
==========  ==========  =============

The paper states no count; the trunks have 23,508,032 and 42,500,160 of these, which is exact.

Deviations, each by name:

* One class out instead of 21 (-5,140). The image mean has a bias instead of BN (-256, see `layers`).
* The stem is the plain 7x7, so that common weights load.
* Rates are meant for 513² crops. On a tile of 256 the map has 16 cells, and a rate of 18 sees only its centre: train
  it on larger tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fissura.nets.layers import ConvNorm, SegmentationNet, global_average, he_init, resize
from fissura.nets.resnet import ResNet

RATES = (6, 12, 18)


@dataclass(frozen=True)
class DeepLabV3PlusConfig:
    """Which DeepLab v3+.

    Args:
        depth: Of the ResNet: 18, 34, 50 or 101.
        width: Channels of the trunk's stem (64 in the paper); pyramid and decoder have 4 times as many. A multiple
            of 4.
    """

    depth: int = 50
    width: int = 64

    def __post_init__(self) -> None:
        if self.depth not in (18, 34, 50, 101):
            raise ValueError(f"depth is {self.depth}; it must be 18, 34, 50 or 101")
        if self.width < 4 or self.width % 4:
            raise ValueError(f"width is {self.width}; it must be a multiple of 4")


class AtrousPyramid(nn.Module):
    """One map seen at four rates and as a whole."""

    def __init__(self, c_in: int, channels: int) -> None:
        super().__init__()
        self.rates = nn.ModuleList([ConvNorm(c_in, channels, 1)])
        self.rates.extend(ConvNorm(c_in, channels, dilation=rate) for rate in RATES)
        self.mean = nn.Sequential(nn.Conv2d(c_in, channels, 1), nn.ReLU())
        self.fuse = ConvNorm(5 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.mean(global_average(x)).expand(-1, -1, *x.shape[-2:])
        return self.fuse(torch.cat([*(rate(x) for rate in self.rates), mean], dim=1))


class DeepLabV3Plus(SegmentationNet):
    """DeepLab v3+ on a ResNet. One logit map, see `SegmentationNet`."""

    size_multiple = 16

    def __init__(self, config: DeepLabV3PlusConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DeepLabV3PlusConfig()
        channels, low = 4 * config.width, 3 * config.width // 4
        self.encoder = ResNet(config.depth, width=config.width, output_stride=16)
        self.pyramid = AtrousPyramid(self.encoder.channels[-1], channels)
        self.low = ConvNorm(self.encoder.channels[0], low, 1)
        self.decoder = nn.Sequential(ConvNorm(channels + low, channels), ConvNorm(channels, channels))
        self.head = nn.Conv2d(channels, 1, 1)
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        first, _, _, last = self.encoder(x)
        low = self.low(first)
        high = resize(self.pyramid(last), low.shape[-2:])
        return [self.head(self.decoder(torch.cat([high, low], dim=1)))]
