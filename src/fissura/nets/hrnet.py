"""HRNetV2: four resolutions in parallel, exchanged again and again.

Paper: Wang, Sun, Cheng et al., "Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2020,
arXiv:1908.07919. Written from the paper.

Topology: two 3x3 stride 2 (64), four bottlenecks (256); stages 2, 3 and 4 with two, three and four branches of
c, 2c, 4c and 8c channels at 1/4 to 1/32, made of 1, 4 and 3 modules: four basic blocks in each branch, then every
branch receives all others (strided 3x3 downward, 1x1 and enlarging upward). Head: all branches at 1/4, concatenated,
1x1, BN, ReLU, 1x1; enlarged fourfold.

=====  ==========  =============  =======
width  parameters  GMAC at 512²   authors
=====  ==========  =============  =======
18      9,635,971           18.3
48     65,845,681           93.2   65.8 M
=====  ==========  =============  =======

At 1024 x 2048 and width 48 the authors' file says 696.2 GFLOPs, we count 745.8 GMAC; names, shapes and outputs of the
body equal those of timm's ``hrnet_w18`` and ``hrnet_w48`` (their nearest enlarging replaced by bilinear).

Deviations, each by name:

* One class out instead of 19 (-12,978 at width 48).
* The parameters of the body are named as in the weights that its authors published, so that those load
  (see `fissura.nets.pretrained`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.layers import ConvNorm, SegmentationNet, conv, he_init, resize
from fissura.nets.resnet import BasicBlock, Bottleneck, residual_stage


@dataclass(frozen=True)
class HRNetConfig:
    """Which HRNetV2.

    Args:
        width: Channels of the branch at 1/4 (c): 18 or 48 in the paper, at least 1.
        modules: Modules in stages 2, 3 and 4.
        blocks: Basic blocks in each branch of a module.
    """

    width: int = 18
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "modules", tuple(self.modules))  # a list, as read from a model card
        if self.width < 1 or self.blocks < 1:
            raise ValueError(f"width is {self.width} and blocks is {self.blocks}; both must be at least 1")
        if len(self.modules) != 3 or min(self.modules) < 1:
            raise ValueError(f"modules is {self.modules}; it must be three numbers of at least 1")


def _down(c_in: int, c_out: int, *, activation: bool) -> ConvNorm:
    return ConvNorm(c_in, c_out, stride=2, activation=nn.ReLU if activation else None)


class ExchangeModule(nn.Module):
    """Basic blocks in each branch, then each branch receives the sum of all."""

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(residual_stage(BasicBlock, w, w, 1, (1,) * blocks) for w in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._path(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    @staticmethod
    def _path(widths: tuple[int, ...], source: int, target: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            return nn.Sequential(conv(widths[source], widths[target], 1), nn.BatchNorm2d(widths[target]))
        steps = [_down(widths[source], widths[source], activation=True) for _ in range(target - source - 1)]
        return nn.Sequential(*steps, _down(widths[source], widths[target], activation=False))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(o) for branch, o in zip(self.branches, maps, strict=True)]
        fused = []
        for target, paths in enumerate(self.fuse_layers):
            size = maps[target].shape[-2:]
            total = resize(paths[0](maps[0]), size)
            for path, source in zip(paths[1:], maps[1:], strict=True):
                total = total + resize(path(source), size)
            fused.append(F.relu(total))
        return fused


class HRNetTrunk(nn.Module):
    """Four maps of c, 2c, 4c and 8c channels at 1/4, 1/8, 1/16 and 1/32."""

    def __init__(self, config: HRNetConfig) -> None:
        super().__init__()
        self.channels = tuple(config.width * 2**i for i in range(4))
        self.conv1 = conv(3, 64, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = conv(64, 64, 3, stride=2)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = residual_stage(Bottleneck, 64, 64, 1, (1,) * 4)
        c = self.channels
        first_down = nn.Sequential(_down(256, c[1], activation=True))
        self.transition1 = nn.ModuleList([ConvNorm(256, c[0]), first_down])
        self.transition2 = self._transition(c[:3])
        self.transition3 = self._transition(c)
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(*(ExchangeModule(c[:branches], config.blocks) for _ in range(modules)))
            for branches, modules in zip((2, 3, 4), config.modules, strict=True)
        )

    @staticmethod
    def _transition(widths: tuple[int, ...]) -> nn.ModuleList:
        """One more branch, from the last one."""
        new = nn.Sequential(_down(widths[-2], widths[-1], activation=True))
        return nn.ModuleList([*(nn.Identity() for _ in widths[:-1]), new])

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        maps = self.stage2([path(x) for path in self.transition1])
        maps = self.stage3([*maps, self.transition2[-1](maps[-1])])
        fused: list[Tensor] = self.stage4([*maps, self.transition3[-1](maps[-1])])
        return fused


class HRNet(SegmentationNet):
    """HRNetV2 for segmentation. One logit map, see `SegmentationNet`."""

    def __init__(self, config: HRNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or HRNetConfig()
        self.encoder = HRNetTrunk(config)
        channels = sum(self.encoder.channels)
        self.head = nn.Sequential(ConvNorm(channels, channels, 1), nn.Conv2d(channels, 1, 1))
        he_init(self)

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        maps = self.encoder(x)
        size = maps[0].shape[-2:]
        return [self.head(torch.cat([resize(o, size) for o in maps], dim=1))]
