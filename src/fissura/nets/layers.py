"""What the networks share: convolution units with explicit padding, resizing, and the one place that pads and cuts.

Two rules hold in every network that is built from here:

* **Padding is explicit.** The word "same" with dilation does not export.
* **No BN where a channel has one value per image** (gates, global pooling). Papers put it there, but then a batch
  of one cannot be trained and a batch of four gives statistics of four numbers. A bias takes its place; each
  header says how many parameters that changes if it is worth saying.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Callable[[], nn.Module]


def conv(
    c_in: int,
    c_out: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """Convolution of an odd kernel that keeps the size (divided by the stride, rounded up)."""
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (kh - 1) // 2, dilation * (kw - 1) // 2)
    unsafe = dilation > 1 and groups == 1 and c_in > 16 and c_in % 16 != 0
    kind = _Float32OnCpu if unsafe else nn.Conv2d
    return kind(c_in, c_out, (kh, kw), stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias)


class _Float32OnCpu(nn.Conv2d):
    """Stays in float32 under bf16 autocast on the CPU.

    oneDNN's bf16 weight gradient of a dilated convolution over 20, 24, 40, 56 ... channels (above 16 and no multiple of
    16) is NaN or garbage, or the process dies (torch 2.13, AVX-512 bf16).
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class ConvNorm(nn.Sequential):
    """Convolution (without bias, which BN would undo), BN, and an activation (None for none)."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        activation: Activation | None = nn.ReLU,
    ) -> None:
        layers: list[nn.Module] = [
            conv(c_in, c_out, kernel, stride=stride, dilation=dilation, groups=groups, bias=bias),
            nn.BatchNorm2d(c_out),
        ]
        if activation is not None:
            layers.append(activation())
        super().__init__(*layers)


class LogitHead(nn.Sequential):
    """3x3, BN, ReLU, then 1x1 to one logit."""

    def __init__(self, c_in: int, hidden: int) -> None:
        super().__init__(ConvNorm(c_in, hidden), nn.Conv2d(hidden, 1, 1))


def resize(x: Tensor, size_hw: tuple[int, int] | torch.Size) -> Tensor:
    """Bilinear, pixel centres at halves; as it is if the size fits."""
    size = (int(size_hw[0]), int(size_hw[1]))
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def global_average(x: Tensor) -> Tensor:
    """Mean of each channel: (B, C, H, W) to (B, C, 1, 1)."""
    return x.mean(dim=(2, 3), keepdim=True)


def adaptive_average(x: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Mean over a grid of cells, like ``adaptive_avg_pool2d``: (B, C, H, W) to (B, C, *grid_hw).

    Two products with constant matrices, because the built-in one exports only where the cells are equal.
    """
    H, W = x.shape[-2:]
    rows, cols = _cells(H, grid_hw[0]).to(x), _cells(W, grid_hw[1]).to(x)
    return torch.matmul(torch.matmul(rows, x), cols.mT)


def _cells(length: int, cells: int) -> Tensor:
    """Matrix (cells, length) whose rows average the samples of one cell."""
    matrix = torch.zeros(cells, length)
    for i in range(cells):
        start, stop = i * length // cells, -(-(i + 1) * length // cells)
        matrix[i, start:stop] = 1.0 / (stop - start)
    return matrix


def he_init(net: nn.Module) -> None:
    """Normal weights of variance 2 / fan-in for all convolutions, biases zero (He et al. 2015, arXiv:1502.01852)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Replicate the last row and column, (B, C, H, W) to the next multiples of both sides."""
    H, W = x.shape[-2:]
    pad_h, pad_w = -H % multiple, -W % multiple
    return F.pad(x, (0, pad_w, 0, pad_h), mode="replicate") if pad_h or pad_w else x


def cut_back(maps: list[Tensor], size_hw: torch.Size) -> list[Tensor]:
    """Maps (B, C, H, W) without what `pad_to_multiple` added."""
    if not maps or maps[0].shape[-2:] == size_hw:
        return maps
    return [o[..., : size_hw[0], : size_hw[1]] for o in maps]


class SegmentationNet(nn.Module, ABC):
    """A network whose body works at a multiple of a size and below full resolution.

    Input: (B, 3, H, W), H and W at least 2; replicate-padded to the next multiple of `size_multiple`. Output: logit
    maps (B, 1, H, W), enlarged bilinearly and cut back; the last is the prediction. Auxiliary maps come before
    it and only while training: they are supervised there and cost nothing afterwards.
    """

    size_multiple = 32

    @abstractmethod
    def logit_maps(self, x: Tensor) -> list[Tensor]:
        """Logit maps of any resolution, the prediction last."""

    def forward(self, x: Tensor) -> list[Tensor]:
        size_hw = x.shape[-2:]
        x = pad_to_multiple(x, self.size_multiple)
        return cut_back([resize(o, x.shape[-2:]) for o in self.logit_maps(x)], size_hw)


@torch.no_grad()
def fold_norms(net: nn.Module) -> None:
    """Move each batch normalisation that follows a convolution into it, and leave one there that does nothing.

    An exported graph has it there. What is rounded afterwards is then the same in both.
    """
    for chain in net.modules():
        if not isinstance(chain, nn.Sequential):
            continue
        for before, norm in pairwise(chain):
            if isinstance(before, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and before.bias is None:
                factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                before.weight.mul_(factor[:, None, None, None])
                norm.bias.sub_(norm.running_mean * factor)
                norm.weight.fill_(1.0)
                norm.running_mean.zero_()
                norm.running_var.fill_(1.0 - norm.eps)
