"""ENet: a small encoder-decoder of bottlenecks for weak devices.

Paper: Paszke, Chaurasia, Kim and Culurciello, "ENet", 2016, arXiv:1606.02147. Written from the paper's table 1.

Topology: initial block (3x3 stride 2 beside max pooling, 16 channels); stage 1 at 1/4 (64 channels, five bottlenecks);
stages 2 and 3 at 1/8 (128 channels; regular, dilated 2 4 8 16, asymmetric 5); stages 4 and 5 upward (64, 16),
unpooling to the places of the maxima; a transposed convolution to full size.

=====  ==========  =============
what   parameters  GMAC at 512²
=====  ==========  =============
ours      362,864           1.89
paper      0.37 M
=====  ==========  =============

Deviations, each by name:

* One class out instead of 20 (-2,755; with them 365,619, the paper's 0.37 M).
* No bias in any convolution before BN (the paper says so for projections; it changes nothing but the count), PReLU
  with one slope for each channel, in the decoder as well; a 3x3 for the last transposed convolution.
* Unpooling is written out, since the built-in one does not export. Of two values in a cell that are nearer than 0.1
  both count as the maximum, the smaller one in part: with a hard choice the rounding of an engine moved a value by a
  pixel now and then, and OpenVINO's answer was off by 0.06 there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.layers import ConvNorm, SegmentationNet, conv, he_init

NEAR_TIE = 0.1
"""In units of activations behind BN, which are about 1."""


@dataclass(frozen=True)
class ENetConfig:
    """Which ENet.

    Args:
        width: Channels of the initial block (16 in the paper); the stages have 4 and 8 times as many.
            A multiple of 4, at least 4.
        dropout: Share of channels dropped in stages 2 to 5; stage 1 drops a tenth of it.
    """

    width: int = 16
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 4:
            raise ValueError(f"width is {self.width}; it must be a multiple of 4")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1")


def pool_with_places(x: Tensor) -> tuple[Tensor, Tensor]:
    """2x2 max pooling, and where the maxima were.

    Args:
        x: Shape (B, C, H, W), H and W even.
    Returns:
        The maxima (B, C, H/2, W/2), and for each of the four cells (B, C, H/2, W/2, 4) a 1 where the maximum is, 0
        elsewhere; a cell less than `NEAR_TIE` below the maximum has something between. No gradient flows
        through the places.
    """
    B, C, H, W = x.shape
    cells = x.reshape(B, C, H // 2, 2, W // 2, 2).permute(0, 1, 2, 4, 3, 5).reshape(B, C, H // 2, W // 2, 4)
    maxima = cells.amax(dim=-1)
    below = (maxima[..., None] - cells).detach()
    return maxima, F.relu(1.0 - below / NEAR_TIE)


def unpool(x: Tensor, places: Tensor) -> Tensor:
    """Inverse of `pool_with_places`: each value goes to its place, zeros go elsewhere."""
    B, C, H, W = x.shape
    cells = (x[..., None] * places.to(x.dtype)).reshape(B, C, H, W, 2, 2)
    return cells.permute(0, 1, 2, 4, 3, 5).reshape(B, C, 2 * H, 2 * W)


class _Branch(nn.Sequential):
    """The side of a bottleneck: in, middle, 1x1 out with BN, spatial dropout; PReLU between."""

    def __init__(self, enter: nn.Module, middle: nn.Module, hidden: int, c_out: int, dropout: float) -> None:
        super().__init__(
            enter, nn.BatchNorm2d(hidden), nn.PReLU(hidden), middle, nn.BatchNorm2d(hidden), nn.PReLU(hidden),
            ConvNorm(hidden, c_out, 1, activation=None), nn.Dropout2d(dropout),
        )  # fmt: skip


class Regular(nn.Module):
    """Bottleneck at one size; its 3x3 may be dilated, or a 5x1 and 1x5."""

    def __init__(self, channels: int, dropout: float, *, dilation: int = 1, asymmetric: bool = False) -> None:
        super().__init__()
        hidden = channels // 4
        middle: nn.Module = conv(hidden, hidden, 3, dilation=dilation)
        if asymmetric:
            middle = nn.Sequential(conv(hidden, hidden, (5, 1)), conv(hidden, hidden, (1, 5)))
        self.branch = _Branch(conv(channels, hidden, 1), middle, hidden, channels, dropout)
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.branch(x))


class Down(nn.Module):
    """Bottleneck that halves the size: max pooling with zeros for the new channels, beside a 2x2 stride 2."""

    def __init__(self, c_in: int, c_out: int, dropout: float) -> None:
        super().__init__()
        hidden = c_out // 4
        enter = nn.Conv2d(c_in, hidden, 2, stride=2, bias=False)
        self.branch = _Branch(enter, conv(hidden, hidden, 3), hidden, c_out, dropout)
        self.activation = nn.PReLU(c_out)
        self.new_channels = c_out - c_in

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled, places = pool_with_places(x)
        main = F.pad(pooled, (0, 0, 0, 0, 0, self.new_channels))
        return self.activation(main + self.branch(x)), places


class Up(nn.Module):
    """Bottleneck that doubles the size: 1x1 and unpooling, beside a transposed 3x3."""

    def __init__(self, c_in: int, c_out: int, dropout: float) -> None:
        super().__init__()
        hidden = c_out // 4
        self.main = ConvNorm(c_in, c_out, 1, activation=None)
        enlarge = nn.ConvTranspose2d(hidden, hidden, 3, stride=2, padding=1, output_padding=1, bias=False)
        self.branch = _Branch(conv(c_in, hidden, 1), enlarge, hidden, c_out, dropout)
        self.activation = nn.PReLU(c_out)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        return self.activation(unpool(self.main(x), places) + self.branch(x))


def _context(channels: int, dropout: float) -> list[nn.Module]:
    """The eight bottlenecks of stage 2, and again of stage 3."""
    blocks: list[nn.Module] = []
    for first, second in ((2, 4), (8, 16)):
        blocks += [Regular(channels, dropout), Regular(channels, dropout, dilation=first)]
        blocks += [Regular(channels, dropout, asymmetric=True), Regular(channels, dropout, dilation=second)]
    return blocks


class ENet(SegmentationNet):
    """ENet. One logit map, see `SegmentationNet`."""

    size_multiple = 8

    def __init__(self, config: ENetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ENetConfig()
        c, drop = config.width, config.dropout
        self.initial = nn.Conv2d(3, c - 3, 3, stride=2, padding=1, bias=False)
        self.initial_norm = nn.Sequential(nn.BatchNorm2d(c), nn.PReLU(c))
        self.down1 = Down(c, 4 * c, drop / 10)
        self.stage1 = nn.Sequential(*(Regular(4 * c, drop / 10) for _ in range(4)))
        self.down2 = Down(4 * c, 8 * c, drop)
        self.stage23 = nn.Sequential(*_context(8 * c, drop), *_context(8 * c, drop))
        self.up4 = Up(8 * c, 4 * c, drop)
        self.stage4 = nn.Sequential(Regular(4 * c, drop), Regular(4 * c, drop))
        self.up5 = Up(4 * c, c, drop)
        self.stage5 = Regular(c, drop)
        self.head = nn.ConvTranspose2d(c, 1, 3, stride=2, padding=1, output_padding=1)
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        x = self.initial_norm(torch.cat([self.initial(x), F.max_pool2d(x, 2)], dim=1))
        x, places1 = self.down1(x)
        x, places2 = self.down2(self.stage1(x))
        x = self.up4(self.stage23(x), places2)
        x = self.up5(self.stage4(x), places1)
        return [self.head(self.stage5(x))]
