"""MobileNetV3-Large with the LR-ASPP head.

Paper: Howard, Sandler, Chu et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244. Written from the paper,
as it is meant for Cityscapes: output stride 16, last stage of half the channels ("RF2"), segmentation head of 128.

Topology: fifteen inverted residuals (expand 1x1, depthwise, squeeze-and-excitation in some, project 1x1; ReLU, later
h-swish) to 1/16; head: 1x1, scaled by a gate from the mean of the map, enlarged twofold, 1x1 logit, added to the
1x1 logit of the map at 1/8; enlarged eightfold.

==========================  ==========  =============  ===============
what                        parameters  GMAC at 512²   at 1024 x 2048
==========================  ==========  =============  ===============
ours                         1,743,818            1.23             9.82
paper                           1.51 M                             9.74
ours, ``head_width=256``     1,867,082            1.29            10.32
paper                           1.63 M                            10.33
==========================  ==========  =============  ===============

The paper's figures are remembered, not read again.

Deviations, each by name:

* 15 % more parameters than the paper says, for the same work. The difference of 0.24 M is about the squeeze-and-
  excitation of the last two blocks (0.23 M, next to no work), which we keep. With the full tail the body is
  torchvision's: its weights fit by name and shape and give the same output.
* One class out instead of 19 (-3,060). BN keeps PyTorch's momentum.
* The gate looks at the mean of the whole map. The paper averages over 49x49 windows with stride 16x20: a tile of up to
  784 px has no more than one such window.
* Parameters of the body are named as in common weight files, so that those load (with ``reduced_tail=False``
  completely; see `fissura.nets.pretrained`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fissura.nets.layers import ConvNorm, SegmentationNet, conv, global_average, he_init, resize

# kernel, expanded, out, squeeze-and-excitation, h-swish, stride: table 1 of the paper
ROWS = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
)  # fmt: skip
TAIL = ((5, 672, 160), (5, 960, 160), (5, 960, 160))
EIGHTH = 6
"""Index of the last block at 1/8; it has 40 channels."""
NORM_EPSILON = 1e-3
"""What the weight files were trained with."""


@dataclass(frozen=True)
class MobileNetV3Config:
    """Which MobileNetV3-Large.

    Args:
        reduced_tail: The last stage with half the channels, as in the paper's segmentation networks.
        head_width: Channels of the head (128 or 256 in the paper).
    """

    reduced_tail: bool = True
    head_width: int = 128

    def __post_init__(self) -> None:
        if self.head_width < 1:
            raise ValueError(f"head_width is {self.head_width}; it must be at least 1")


class SqueezeExcitation(nn.Module):
    """Gate of each channel from the means of all, through a quarter of them (a multiple of 8, at most 10 % fewer)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels / 4
        hidden = max(8, int(quarter + 4) // 8 * 8)
        hidden += 8 if hidden < 0.9 * quarter else 0
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(torch.relu(self.fc1(global_average(x))))
        return x * nn.functional.hardsigmoid(gate)


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze-and-excitation, project; added to the input where it fits."""

    def __init__(
        self, c_in: int, kernel: int, expanded: int, c_out: int, *, gated: bool, swish: bool, stride: int, dilation: int
    ) -> None:
        super().__init__()
        activation = nn.Hardswish if swish else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != c_in:
            layers.append(ConvNorm(c_in, expanded, 1, activation=activation))
        layers.append(
            ConvNorm(
                expanded, expanded, kernel, stride=stride, dilation=dilation, groups=expanded, activation=activation
            )
        )
        if gated:
            layers.append(SqueezeExcitation(expanded))
        layers.append(ConvNorm(expanded, c_out, 1, activation=None))
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.residual else self.block(x)


class MobileNetV3Trunk(nn.Module):
    """Maps at 1/8 (40 channels) and 1/16 (480, or 960 with the full tail); the last stage is dilated by 2."""

    def __init__(self, *, reduced_tail: bool) -> None:
        super().__init__()
        features: list[nn.Module] = [ConvNorm(3, 16, stride=2, activation=nn.Hardswish)]
        c_in = 16
        for kernel, expanded, c_out, gated, swish, stride in ROWS:
            features.append(
                InvertedResidual(c_in, kernel, expanded, c_out, gated=gated, swish=swish, stride=stride, dilation=1)
            )
            c_in = c_out
        part = 2 if reduced_tail else 1
        for index, (kernel, expanded, c_out) in enumerate(TAIL):
            inner = expanded if index == 0 else expanded // part
            features.append(
                InvertedResidual(c_in, kernel, inner, c_out // part, gated=True, swish=True, stride=1, dilation=2)
            )
            c_in = c_out // part
        features.append(ConvNorm(c_in, 6 * c_in, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*features)
        self.channels = (40, 6 * c_in)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        eighth = self.features[: EIGHTH + 1](x)
        return eighth, self.features[EIGHTH + 1 :](eighth)


class MobileNetV3(SegmentationNet):
    """MobileNetV3-Large, LR-ASPP. One logit map, see `SegmentationNet`."""

    size_multiple = 16

    def __init__(self, config: MobileNetV3Config | None = None) -> None:
        super().__init__()
        self.config = config = config or MobileNetV3Config()
        self.encoder = MobileNetV3Trunk(reduced_tail=config.reduced_tail)
        low, high = self.encoder.channels
        self.enter = ConvNorm(high, config.head_width, 1)
        self.gate = conv(high, config.head_width, 1)
        self.low = nn.Conv2d(low, 1, 1)
        self.high = nn.Conv2d(config.head_width, 1, 1)
        for module in self.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = NORM_EPSILON
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        eighth, last = self.encoder(x)
        high = self.enter(last) * torch.sigmoid(self.gate(global_average(last)))
        return [self.low(eighth) + self.high(resize(high, eighth.shape[-2:]))]
