"""Work of a network: multiply-accumulates of its convolutions and linear layers.

Counted by forward hooks on PyTorch's "meta" device, which knows shapes and no numbers: nothing is computed, a 30 M
parameter network at 4K takes milliseconds. Norms, activations, pooling and resizing are left out, as
in papers. Papers that write "FLOPs" mostly mean these multiply-accumulates.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from fissura.nets.ga_cfae import FrozenFilter

_COUNTED = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear, FrozenFilter)


def count_gmac(net: nn.Module, size_hw: tuple[int, int]) -> float:
    """Multiply-accumulates of one image, in 10⁹, in evaluation mode (without heads that only train).

    Args:
        net: Takes (1, 3, H, W). It is not changed.
        size_hw: Height and width in pixels.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += output.numel() * module.in_features
        elif isinstance(module, FrozenFilter):
            total += output.numel() * module.kernel.numel()
        elif isinstance(module, nn.ConvTranspose2d):
            total += inputs[0].numel() * module.out_channels // module.groups * math.prod(module.kernel_size)
        else:
            total += output.numel() * module.in_channels // module.groups * math.prod(module.kernel_size)

    shapes_only = copy.deepcopy(net).to("meta").eval()
    for module in shapes_only.modules():
        if isinstance(module, _COUNTED):
            module.register_forward_hook(count)
    with torch.no_grad():
        shapes_only(torch.empty(1, 3, *size_hw, device="meta"))
    return total / 1e9
