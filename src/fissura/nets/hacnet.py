"""HACNet: full-resolution crack segmentation from two or three hybrid atrous blocks.

Paper: "HACNet", IEEE TIM 2021, doi:10.1109/TIM.2021.3075022. Written from the described topology, channels and counts
after the authors' published (Keras) file; no code was taken over.

Topology: a 3x3 stem to 48 channels; blocks whose four dilated 3x3 (rates 1, 3, 9, 27; 32 channels in the first,
40 in the others) form a cascade, are concatenated with the block's input and fused by 1x3 and 3x1 (to 56 and 72
channels); every convolution with BN and ReLU, dropout 0.2 after each dilated one. A 1x1 logit map per block,
and a 1x1 over these for the prediction. Nothing is ever smaller than the image.

======  ==========  ===============  ==============  =================
blocks  trainable   with statistics  GMAC at 512²    name in that file
======  ==========  ===============  ==============  =================
2          209,221          210,405            54.4  hacnet
3          344,991          346,783            89.7  hacnet_d
======  ==========  ===============  ==============  =================

The published counts are 210,405 and 346,783: they include the running statistics of BN, as Keras counts.

Deviations: none in the topology. BN keeps PyTorch's momentum and epsilon.

On a CPU in bf16 the dilated convolutions over 40 channels stay in float32: see `layers`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.layers import ConvNorm, he_init

DILATIONS = (1, 3, 9, 27)


@dataclass(frozen=True)
class HACNetConfig:
    """Which HACNet.

    Args:
        blocks: 2, or 3 for hacnet_d.
        width: Channels of the stem; all others follow in proportion. A multiple of 6, 48 in the paper.
        dropout: Share of values dropped after each dilated convolution while training.
    """

    blocks: int = 2
    width: int = 48
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.blocks not in (2, 3):
            raise ValueError(f"blocks is {self.blocks}; it must be 2 or 3")
        if self.width < 6 or self.width % 6:
            raise ValueError(f"width is {self.width}; it must be a multiple of 6")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1")


class HybridASPP(nn.Module):
    """Cascade of four dilated 3x3, concatenated with the input, fused by 1x3 and 3x1."""

    def __init__(self, c_in: int, cascade: int, c_out: int, dropout: float) -> None:
        super().__init__()
        sources = (c_in, cascade, cascade, cascade)
        self.cascade = nn.ModuleList(
            ConvNorm(c, cascade, dilation=d, bias=True) for c, d in zip(sources, DILATIONS, strict=True)
        )
        self.fuse = nn.Sequential(
            ConvNorm(c_in + 4 * cascade, c_out, (1, 3), bias=True), ConvNorm(c_out, c_out, (3, 1), bias=True)
        )
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for unit in self.cascade:
            maps.append(F.dropout(unit(maps[-1]), self.dropout, self.training))
        return self.fuse(torch.cat(maps, dim=1))


class HACNet(nn.Module):
    """HACNet.

    Input: (B, 3, H, W) of any size. Output: a logit map (B, 1, H, W) per block and the fused one, which is the
    prediction.
    """

    def __init__(self, config: HACNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or HACNetConfig()
        sixth = config.width // 6  # 8 in the paper
        self.stem = ConvNorm(3, config.width, bias=True)
        widths = ((6, 4, 7), (7, 5, 9), (9, 5, 9))[: config.blocks]
        self.blocks = nn.ModuleList(HybridASPP(sixth * i, sixth * d, sixth * o, config.dropout) for i, d, o in widths)
        self.heads = nn.ModuleList(nn.Conv2d(sixth * o, 1, 1) for *_, o in widths)
        self.fuse = nn.Conv2d(config.blocks, 1, 1)
        he_init(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        logits: list[Tensor] = []
        for block, head in zip(self.blocks, self.heads, strict=True):
            x = block(x)
            logits.append(head(x))
        return [*logits, self.fuse(torch.cat(logits, dim=1))]
