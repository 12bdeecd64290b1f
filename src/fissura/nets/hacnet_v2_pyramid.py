"""HACNetV2 at three magnifications, fused by a small head: ours, no paper.

A network has a scale at which it sees best: hairlines want a larger picture, cracks of fifty pixels a smaller one.
`HACNetV2Pyramid` runs one body (the weights are shared) on the picture at half, full and double size, brings the logit
maps of all depths to full resolution and lets two 3x3 convolutions decide from all of them which to believe where.
The double-size maps lose nothing on the way: each 2x2 patch of them becomes four channels.

=====================  ==========  =============
body, c                parameters  GMAC at 512²
=====================  ==========  =============
``unshuffled``, c=32      462,212             61
=====================  ==========  =============

The body is meant to come trained and to stay as it is (`freeze` in a training's YAML); the head learns in minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.hacnet_v2 import HACNetV2, HACNetV2Config, pixel_unshuffle
from fissura.nets.layers import cut_back, pad_to_multiple

DEPTHS = 4
VIEWS = ("half", "full", "double")
_CHANNELS = DEPTHS * (1 + 1 + 4)


@dataclass(frozen=True)
class HACNetV2PyramidConfig:
    """Which pyramid.

    Args:
        body: Options of `HACNetV2Config`.
        hidden: Channels of the head.
        shares: What the mean of the three views' logits starts from: half, full, double.
    """

    body: dict[str, Any] = field(default_factory=lambda: {"variant": "unshuffled", "width": 32})
    hidden: int = 32
    shares: tuple[float, float, float] = (0.25, 0.4, 0.35)

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError(f"hidden is {self.hidden}; the head needs at least one channel")
        if len(self.shares) != len(VIEWS):
            raise ValueError(f"shares has {len(self.shares)} values; give one for each of {', '.join(VIEWS)}")


class HACNetV2Pyramid(nn.Module):
    """HACNetV2 at half, full and double size.

    Input: (B, 3, H, W), any H and W of at least 8. Output: logit maps (B, 1, H, W): the views' own fused maps (half,
    full, double) and last the head's, which is the prediction.
    """

    def __init__(self, config: HACNetV2PyramidConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or HACNetV2PyramidConfig()
        self.body = HACNetV2(HACNetV2Config(**config.body))
        self.size_multiple = 2 * self.body.size_multiple
        self.shares = nn.Parameter(torch.tensor(config.shares))
        self.mix = nn.Conv2d(_CHANNELS, config.hidden, 3, padding=1)
        self.decide = nn.Conv2d(config.hidden, 1, 3, padding=1)
        # It starts next to the plain mean of the views; at nought `mix` would receive no gradient.
        nn.init.normal_(self.decide.weight, std=1e-3)
        nn.init.zeros_(self.decide.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> list[Tensor]:
        size_hw = x.shape[-2:]
        x = pad_to_multiple(x, self.size_multiple)
        half = torch.cat(self.body(F.avg_pool2d(x, 2)), dim=1)
        full = torch.cat(self.body(x), dim=1)
        double = torch.cat(self.body(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)), dim=1)
        half = F.interpolate(half, scale_factor=2.0, mode="bilinear", align_corners=False)
        cells = pixel_unshuffle(double, 2)
        views = [half[:, -1:], full[:, -1:], cells[:, -4:].mean(dim=1, keepdim=True)]
        mean = sum((share * view for share, view in zip(self.shares, views, strict=True)), torch.zeros_like(views[0]))
        # Logits run to ±20; what they say beyond ±6 is the same.
        seen = torch.tanh(torch.cat([half, full, cells], dim=1) / 6.0)
        logits = [*views, mean + self.decide(F.relu(self.mix(seen)))]
        return cut_back(logits, size_hw)
