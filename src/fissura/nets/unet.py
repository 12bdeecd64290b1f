"""U-Net, the measure of all segmentation networks.

Paper: Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015, arXiv:1505.04597. Written from the paper.

Topology: four times two 3x3 and a 2x2 max pooling, two 3x3 at the bottom (c to 16c channels), four times a 2x2
transposed convolution, concatenation with the map of the same size, and two 3x3. A 1x1 gives the logit.

=====  ==========  =============
width  parameters  GMAC at 512²
=====  ==========  =============
64     31,037,633          192.7
32      7,763,041           48.3
16      1,942,577           12.1
=====  ==========  =============

The paper states no count; its text, counted, has 31,030,658 (one channel in, two classes out, no BN): ours is 0.02 %
above.

Deviations, each by name:

* Padded convolutions, so that the output has the size of the input (the paper's are unpadded and crop the skips).
* BN after every 3x3 and no bias there; no dropout.
* Three channels in, one class out. Any size: replicate-padded to a multiple of 16 and cut back.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.layers import ConvNorm, SegmentationNet, he_init

LEVELS = 4


@dataclass(frozen=True)
class UNetConfig:
    """Which U-Net.

    Args:
        width: Channels at full resolution; doubled at each of the four levels below. At least 1, 64 in the paper.
    """

    width: int = 64

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width is {self.width}; it must be at least 1")


def _pair(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(c_in, c_out), ConvNorm(c_out, c_out))


class UNet(SegmentationNet):
    """U-Net. One logit map, see `SegmentationNet`."""

    size_multiple = 2**LEVELS

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        widths = [config.width * 2**i for i in range(LEVELS + 1)]
        self.down = nn.ModuleList(_pair(i, o) for i, o in zip([3, *widths], widths, strict=False))
        upward = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in upward)
        self.up = nn.ModuleList(_pair(i, o) for i, o in upward)
        self.head = nn.Conv2d(config.width, 1, 1)
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        skips: list[Tensor] = []
        for level, pair in enumerate(self.down):
            x = pair(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for enlarge, pair, skip in zip(self.enlarge, self.up, skips[-2::-1], strict=True):
            x = pair(torch.cat([skip, enlarge(x)], dim=1))
        return [self.head(x)]
