"""ResNet trunk that several networks stand on.

Paper: He, Zhang, Ren and Sun, "Deep Residual Learning", CVPR 2016, arXiv:1512.03385. Written from the paper.

=====  ==========  =============  ==========================
depth  parameters  GMAC at 224²   blocks
=====  ==========  =============  ==========================
18     11,176,512           1.81  basic, 2 2 2 2
34     21,284,672           3.66  basic, 3 4 6 3
50     23,508,032           4.09  bottleneck, 3 4 6 3
101    42,500,160           7.80  bottleneck, 3 4 23 3
=====  ==========  =============  ==========================

Counts without the classifier (with it the paper's and everybody's: 11.69, 21.80, 25.56, 44.55 M).

Deviations, each by name:

* The stride of a bottleneck sits in its 3x3, not in its first 1x1 (the paper's figure), as in the weights that
  can be had. Parameters are named as in those files, so that they load: see `fissura.nets.pretrained`.
* ``output_stride=16`` keeps the last stage at 1/16 and dilates it by 2, times the multi-grid 1, 2, 4 of its
  blocks (DeepLab v3, arXiv:1706.05587).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.layers import conv

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
MULTI_GRID = (1, 2, 4)


class BasicBlock(nn.Module):
    """3x3, BN, ReLU, 3x3, BN, added to the input."""

    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = conv(c_in, width, 3, stride=stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(c_in, width, stride)

    def total(self, x: Tensor) -> Tensor:
        """Output before the last ReLU."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return y + (x if self.downsample is None else self.downsample(x))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.total(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 to four times the width, each with BN, added to the input."""

    expansion = 4

    def __init__(self, c_in: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = conv(c_in, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride=stride, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, 4 * width, 1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(c_in, 4 * width, stride)

    def total(self, x: Tensor) -> Tensor:
        """Output before the last ReLU."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return y + (x if self.downsample is None else self.downsample(x))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.total(x))


def _shortcut(c_in: int, c_out: int, stride: int) -> nn.Sequential | None:
    if c_in == c_out and stride == 1:
        return None
    return nn.Sequential(conv(c_in, c_out, 1, stride=stride), nn.BatchNorm2d(c_out))


def residual_stage(
    block: type[BasicBlock] | type[Bottleneck], c_in: int, width: int, stride: int, dilations: tuple[int, ...]
) -> nn.Sequential:
    """Blocks in a row, the first of them with the stride; one dilation for each."""
    blocks: list[nn.Module] = []
    for index, dilation in enumerate(dilations):
        blocks.append(block(c_in, width, stride if index == 0 else 1, dilation))
        c_in = width * block.expansion
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    """The trunk: four feature maps at 1/4, 1/8, 1/16 and 1/32 (or 1/16) of the input.

    Args:
        depth: 18, 34, 50 or 101.
        width: Channels of the stem (64 in the paper); the stages have 1, 2, 4 and 8 times as many,
            times 4 from bottlenecks. `channels` holds what comes out.
        output_stride: 32, or 16 for a dilated last stage.
    """

    def __init__(self, depth: int, *, width: int = 64, output_stride: int = 32) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth is {depth}; it must be one of {', '.join(map(str, BLOCKS))}")
        if output_stride not in (16, 32):
            raise ValueError(f"output_stride is {output_stride}; it must be 16 or 32")
        block = BasicBlock if depth < 50 else Bottleneck
        counts = BLOCKS[depth]
        self.channels = tuple(width * block.expansion * 2**i for i in range(4))
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = residual_stage(block, width, width, 1, (1,) * counts[0])
        self.layer2 = residual_stage(block, self.channels[0], 2 * width, 2, (1,) * counts[1])
        self.layer3 = residual_stage(block, self.channels[1], 4 * width, 2, (1,) * counts[2])
        last = (1,) * counts[3]
        if output_stride == 16:
            last = tuple(2 * MULTI_GRID[i % 3] for i in range(counts[3]))
        self.layer4 = residual_stage(block, self.channels[2], 8 * width, output_stride // 16, last)

    def totals(self, x: Tensor) -> list[Tensor]:
        """The four maps before their last ReLU."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            *first, last = stage
            for block in first:
                x = block(x)
            maps.append(last.total(x))
            x = torch.relu(maps[-1])
        return maps

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.relu(o) for o in self.totals(x)]
