"""HACNetV2 as its README describes it: six identical HybridASPA blocks at one resolution.

Paper: Chen and Chen, "HACNetV2", Expert Systems with Applications, 2025, doi:10.1016/j.eswa.2025.128144. The
published file is another network (three blocks at full, three at half resolution: `fissura.nets.hacnet_v2`);
the README says "six identical blocks", alike in channels and resolution. This is that text, built
from the blocks of `hacnet_v2`.

Topology: stem (1x5 beside 5x1) to c channels; six blocks in a row; a 1x1 logit map per block; a 1x1 fusing the six.

=====================  ==========  =============
variant                parameters  GMAC at 512²
=====================  ==========  =============
``published``, c=32       226,541           56.6
``asymmetric``, c=32      202,349           50.1
``asymmetric``, c=52      528,489          132.1
``asymmetric``, c=78    1,182,103          297.1
``unshuffled``, c=32      178,748           11.1
=====================  ==========  =============

Deviations, each by name:

* The authors state 0.52 M (newer) and 1.17 M parameters and no width. Widths of 52 and 78 (in the ratio
  2 to 3, like 32 and 48 in the published file) come within 2 % of them; no width hits them.
* Heads are our choice, after the published file's: one for each block, fused.
* ``unshuffled`` runs the body behind pixel-unshuffle(2), as in `hacnet_v2`: the default, at the width that costs what
  the default of `hacnet_v2` costs.

Training on a CPU in bf16 wants c/2 (``asymmetric``: c) to be a multiple of 16, or at most 16: between, oneDNN's
gradient of a dilated convolution is NaN (measured at c=48).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fissura.nets.hacnet_v2 import HybridASPA, Stem, Variant, pixel_shuffle, pixel_unshuffle
from fissura.nets.layers import cut_back, pad_to_multiple

BLOCKS = 6


@dataclass(frozen=True)
class HACNetV2SingleConfig:
    """Which single-resolution HACNetV2.

    Args:
        variant: Kind of block, see `fissura.nets.hacnet_v2`; ``unshuffled`` also works on 2x2 patches.
        width: Channels of all blocks. Even, at least 4.
    """

    variant: Variant = "unshuffled"
    width: int = 32

    def __post_init__(self) -> None:
        if self.variant not in ("published", "asymmetric", "unshuffled"):
            raise ValueError(f"variant is {self.variant!r}; it must be 'published', 'asymmetric' or 'unshuffled'")
        if self.width < 4 or self.width % 2:
            raise ValueError(f"width is {self.width}; it must be even and at least 4")


class HACNetV2Single(nn.Module):
    """Six identical blocks.

    Input: (B, 3, H, W), any H and W of at least 2; odd sizes are replicate-padded where 2x2 patches are needed.
    Output: seven logit maps (B, 1, H, W), one for each block and the fused one, which is the prediction.
    """

    def __init__(self, config: HACNetV2SingleConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or HACNetV2SingleConfig()
        c = config.width
        self.unshuffle = 2 if config.variant == "unshuffled" else 1
        cells = self.unshuffle**2
        self.stem = Stem(3 * cells, c, kernels_hw=((1, 5), (5, 1)), stride=1)
        self.blocks = nn.ModuleList(HybridASPA(c, config.variant) for _ in range(BLOCKS))
        self.heads = nn.ModuleList(nn.Conv2d(c, cells, 1) for _ in range(BLOCKS))
        self.fuse = nn.Conv2d(BLOCKS * cells, cells, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        size_hw, r = x.shape[-2:], self.unshuffle
        x = pad_to_multiple(x, r)
        x = self.stem(pixel_unshuffle(x, r) if r > 1 else x)
        logits: list[Tensor] = []
        for block, head in zip(self.blocks, self.heads, strict=True):
            x = block(x)
            logits.append(head(x))
        logits.append(self.fuse(torch.cat(logits, dim=1)))
        if r > 1:
            logits = [pixel_shuffle(o, r) for o in logits]
        return cut_back(logits, size_hw)
