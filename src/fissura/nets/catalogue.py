"""What there is to choose from: every network in the sizes that matter, with what its paper says about its size.

`docs/NETWORKS.md` and ``fissura models --networks`` are made from it.
"""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from fissura.nets import NETWORKS, build, parameter_count
from fissura.nets.gmac import count_gmac


@dataclass(frozen=True)
class NetworkEntry:
    """A network in one size.

    Attributes:
        architecture: A key of `NETWORKS`.
        options: Its configuration; empty for the default.
        paper: Short name of the source.
        stated: Parameters that the source states, or None if it states none or none that can be compared.
        remark: What the statement is, and why ours is more than 1 % off where it is.
    """

    architecture: str
    paper: str
    options: dict[str, Any] = field(default_factory=dict)
    stated: int | None = None
    remark: str = ""

    @property
    def label(self) -> str:
        """Architecture and what differs from its default, for a table."""
        return " ".join([self.architecture, *(f"{key}={value}" for key, value in self.options.items())])

    @property
    def deviation(self) -> float | None:
        """Parameters here relative to those stated, minus 1."""
        return None if self.stated is None else self.parameters() / self.stated - 1.0

    def parameters(self) -> int:
        """Trainable numbers, auxiliary heads of the training included."""
        return parameter_count(self._shapes())

    def gmac(self, size_hw: tuple[int, int] = (512, 512)) -> float:
        """Multiply-accumulates of one image in 10⁹, as it predicts."""
        return count_gmac(self._shapes(), size_hw)

    def _shapes(self) -> nn.Module:
        with torch.device("meta"):
            return build(self.architecture, self.options)


_V2, _HACNET = "Chen and Chen 2025", "HACNet, TIM 2021"
_SLIPS = {"variant": "published", "slips": True}

CATALOGUE = (
    NetworkEntry("hacnet", _HACNET, stated=210_405, remark="stated with the running statistics of BN"),
    NetworkEntry("hacnet", _HACNET, {"blocks": 3}, 346_783, "stated with the running statistics of BN"),
    NetworkEntry("hacnet_v2", "ours, after " + _V2, remark="the body behind pixel-unshuffle(2): the default"),
    NetworkEntry("hacnet_v2", _V2, _SLIPS, 585_415, "counted in the published file"),
    NetworkEntry("hacnet_v2", _V2, {"variant": "asymmetric"}, 520_000, "0.52 M in the newer README"),
    NetworkEntry("hacnet_v2", _V2, {"variant": "asymmetric", "width": 48}, 1_170_000, "1.17 M in the older README"),
    NetworkEntry("hacnet_v2_single", "ours, after " + _V2, remark="six identical blocks, behind pixel-unshuffle(2)"),
    NetworkEntry(
        "hacnet_v2_single", _V2, {"variant": "asymmetric", "width": 52}, 520_000,
        "0.52 M in the README, which states no width: none hits it, 52 comes nearest",
    ),
    NetworkEntry("hacnet_v2_pyramid", "ours", remark="one body at half, full and double size"),
    NetworkEntry("ladder", "ours", remark="few plain convolutions, for small processors"),
    NetworkEntry("views", "ours", remark="one network at several magnifications, mirrored"),
    NetworkEntry("group", "ours", remark="several networks, the mean of their logits"),
    NetworkEntry("unet", "Ronneberger et al. 2015", stated=31_030_658, remark="counted from the paper's text"),
    NetworkEntry("unet", "Ronneberger et al. 2015", {"width": 16}, remark="a quarter of the paper's width"),
    NetworkEntry(
        "enet", "Paszke et al. 2016", stated=370_000, remark="0.37 M with 20 classes; 365,619 here with 20 classes"
    ),
    NetworkEntry(
        "bisenet_v1", "Yu et al. 2018", stated=49_000_000,
        remark="49.0 M cannot be had from the text, whose trunk has 11.2 M; 49.0 MB could (see the file's header)",
    ),
    NetworkEntry("bisenet_v2", "Yu et al. 2021", remark="no count stated"),
    NetworkEntry("bisenet_v2", "Yu et al. 2021", {"head_width": 128}, remark="a lighter head; no count stated"),
    NetworkEntry(
        "stdc", "Fan et al. 2021",
        remark="8.44 M stated for trunk and classifier: 5,318,304 + 3,124,200 = 8,442,504 of that here",
    ),
    NetworkEntry("stdc", "Fan et al. 2021", {"size": 2}, remark="likewise 12.47 M: 9,348,768 + 3,124,200 = 12,472,968"),
    NetworkEntry("swiftnet", "Oršić et al. 2019", stated=11_800_000, remark="11.8 M"),
    NetworkEntry("deeplab_v3_plus", "Chen et al. 2018", remark="no count stated; the trunk's 23,508,032 are exact"),
    NetworkEntry("hrnet", "Wang et al. 2020", remark="width 18; no count stated for this head"),
    NetworkEntry("hrnet", "Wang et al. 2020", {"width": 48}, 65_800_000, "65.8 M"),
    NetworkEntry(
        "mobilenet_v3", "Howard et al. 2019", stated=1_510_000,
        remark="1.51 M for the same work; we keep the squeeze-and-excitation of the last two blocks (0.23 M)",
    ),
)  # fmt: skip


def deviations(architecture: str) -> list[str]:
    """What differs from the source, one sentence or more each, from the header of the network's file."""
    factory = inspect.getclosurevars(NETWORKS[architecture]).globals
    network = next(value for value in factory.values() if isinstance(value, type) and issubclass(value, nn.Module))
    header = importlib.import_module(network.__module__).__doc__ or ""
    _, found, text = header.partition("\nDeviations")
    if not found:
        return []
    lead, _, text = text.partition("\n")
    if not text.strip().startswith("*"):  # "Deviations: none in the topology. ..."
        return [_one_line(lead.lstrip(":, ") + " " + text.split("\n\n")[0])]
    bullets = re.split(r"\n\* ", "\n" + text.strip())
    return [_one_line(bullet.split("\n\n")[0]) for bullet in bullets if bullet.strip()]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"(?<=\w)-\n\s*", "-", text).replace("``", "`")).strip()
