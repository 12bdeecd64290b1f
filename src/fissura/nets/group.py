"""Several networks as one: the mean of their logits. Ours, no paper.

Networks of different kinds err in different places, so that their mean can be right more often than each of them, for
the price of all. Where it was is in docs/LOG.md (2026-11-30). Each member can be any network here, one that looks at
several sizes (`fissura.nets.views`) included.

Topology: every member sees the picture, padded to what all of them take; the mean of their logits, and a
number that is the same everywhere, is the group's.

Parameters and work are the sums of the members'.

Deviations: none to speak of; it follows no paper's network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fissura.nets.layers import SegmentationNet


@dataclass(frozen=True)
class GroupConfig:
    """Who is in it.

    Args:
        members: For each member its ``architecture`` and ``options``, as in a model card; two or more.
        shift: Added to the mean, so that the threshold which validation prefers becomes a probability of one half.
    """

    members: tuple[Mapping[str, Any], ...] = ({"architecture": "ladder"}, {"architecture": "views"})
    shift: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))  # a model card brings a list
        if not math.isfinite(self.shift):
            raise ValueError(f"shift is {self.shift}; give a number of logits")
        if len(self.members) < 2:
            raise ValueError(f"members are {len(self.members)}; a group has two or more")
        for member in self.members:
            if "architecture" not in member or set(member) - {"architecture", "options"}:
                raise ValueError(f"a member has an architecture and options, not {', '.join(member) or 'nothing'}")


class Group(SegmentationNet):
    """The mean of networks. Input and output as `SegmentationNet`; while training, each member's own maps first.

    Args:
        config: Who is in it.
        build: Makes a network from its name and options (`fissura.nets.build`).
    """

    def __init__(self, config: GroupConfig, build: Callable[[str, Mapping[str, Any] | None], nn.Module]) -> None:
        super().__init__()
        self.shift = config.shift
        self.members = nn.ModuleList(build(m["architecture"], m.get("options")) for m in config.members)
        self.size_multiple = math.lcm(*(int(getattr(member, "size_multiple", 32)) for member in self.members))

    def logit_maps(self, x: Tensor) -> list[Tensor]:
        said = [member(x) for member in self.members]
        mean = torch.stack([maps[-1] for maps in said]).mean(dim=0) + self.shift
        return [*(each for maps in said for each in maps), mean] if self.training else [mean]
