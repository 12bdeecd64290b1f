"""One network that looks several times: at several magnifications, mirrored, and takes the mean. Ours, no paper.

A network is not sure of the same things at every size and from every side. The mean of its logits over several views
of a picture is better than each of them, for the price of as many looks; there is nothing to train. Which views pay is
in docs/LOG.md.

Topology: the picture, resized bilinearly for each magnification and laid beside its mirror images, goes through the
body; logits are mirrored and resized back, and averaged. Input padded so that every size is whole.

Parameters are those of the body; its work is done once for each look, times the square of the magnification.

Deviations: none to speak of; it follows no paper's network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.nets.layers import SegmentationNet, resize

MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-1, -2))
"""Axes along which each look is mirrored, in the order in which they are added."""


@dataclass(frozen=True)
class ViewsConfig:
    """Which views.

    Args:
        architecture: The network that looks.
        options: Its options.
        magnifications: Sizes at which it looks, as shares of the picture's.
        looks: Looks at each size: 1 as it is, 2 with the mirror image, 4 with both mirror images and the half turn.
    """

    architecture: str = "ladder"
    options: Mapping[str, Any] = field(default_factory=dict)
    magnifications: tuple[float, ...] = (0.75, 1.0, 1.5)
    looks: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "magnifications", tuple(self.magnifications))  # a model card brings a list
        if not self.magnifications or not all(0.25 <= m <= 4 for m in self.magnifications):
            raise ValueError(f"magnifications are {self.magnifications}; give some from 0.25 to 4")
        if any(Fraction(m).limit_denominator(8) != m for m in self.magnifications):
            raise ValueError(f"magnifications are {self.magnifications}; give multiples of 1/8")
        if self.looks not in (1, 2, 4):
            raise ValueError(f"looks is {self.looks}; it can be 1, 2 or 4")


class Views(SegmentationNet):
    """The views of `ViewsConfig`. Input and output as `SegmentationNet`; while training, each size's own maps first.

    Args:
        config: Which views.
        build: Makes a network from its name and options (`fissura.nets.build`).
    """

    def __init__(self, config: ViewsConfig, build: Callable[[str, Mapping[str, Any]], nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.body = build(config.architecture, config.options)
        inner = int(getattr(self.body, "size_multiple", 32))
        # A side of which every magnification makes a multiple of the body's.
        self.size_multiple = inner * lcm(*(Fraction(m).denominator for m in config.magnifications))

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        mirrors = MIRRORS[: self.config.looks]
        own: list[Tensor] = []
        total = torch.zeros_like(x[:, :1])
        for magnification in self.config.magnifications:
            seen = x
            if magnification != 1.0:
                seen = F.interpolate(x, scale_factor=magnification, mode="bilinear", align_corners=False)
            maps = self.body(torch.cat([seen.flip(axes) if axes else seen for axes in mirrors]))
            parts = maps[-1].chunk(len(mirrors))
            back = [part.flip(axes) if axes else part for part, axes in zip(parts, mirrors, strict=True)]
            total = total + resize(sum(back[1:], back[0]), x.shape[-2:])
            if self.training:
                own += [aux.chunk(len(mirrors))[0] for aux in maps[:-1]]
        return [*own, total / (len(mirrors) * len(self.config.magnifications))]
