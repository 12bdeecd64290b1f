"""CHCrack5K's recipe: pictures of eleven sets, brought to 480 by 480 by padding, cutting and resizing.

The set itself is not handed out. The paper (Chen and Chen, 2025, doi:10.1016/j.eswa.2025.128144) gives the sources, the
number of pictures of each, and the sizes of the splits, but neither the steps in detail nor the lists; what was decided
in their place stands in the card.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fissura.data.prepare.pairing import pair_up
from fissura.data.prepare.recipes import Item, Plan, Recipe, plan_cfd, plan_crack500, plan_deepcrack
from fissura.data.prepare.sources import Member, SourceTree

SIDE_PX = 480
_SHARES = (("train", 0.7), ("val", 0.8), ("test", 1.0))
"""Of the photos, added up; 3510, 501 and 1003 of 5014 in the paper."""


@dataclass(frozen=True)
class _Part:
    """One of the sets it is made from: name, pictures in the paper, and how its files are recognised."""

    name: str
    count: int
    pattern: str


_PARTS = (
    _Part("cfd", 117, r"crackforest|\bcfd\b"), _Part("crack500", 1000, r"crack_?500|traincrop|valcrop|testcrop"),
    _Part("road420", 420, r"road_?420"), _Part("mcd", 235, r"\bmcd\b"), _Part("sut", 260, r"\bsut\b"),
    _Part("camcrack789", 789, r"cam_?crack"), _Part("deepcrack", 537, r"deepcrack"),
    _Part("cracktree260", 260, r"crack_?tree"), _Part("crackls315", 315, r"crack_?ls"),
    _Part("crkwh100", 100, r"crk_?wh"), _Part("tunnelcrack", 981, r"tunnel_?crack"),
)  # fmt: skip


def plan_chcrack5k(tree: SourceTree) -> Plan:
    """As far as the sources given go; what is missing is listed."""
    plan = Plan()
    by_part: dict[str, list[Member]] = {part.name: [] for part in _PARTS}
    for member in tree.members:
        part = _part_of(member)
        if part is None:
            plan.leave([member], "it belongs to none of the eleven sets, by the names of its folders")
        else:
            by_part[part.name].append(member)
    for part in _PARTS:
        items = list(_items(part, by_part[part.name], plan))
        if len(items) > part.count and part.name == "crack500":
            items = [items[i] for i in np.linspace(0, len(items) - 1, part.count).round().astype(int)]
        plan.items += items
        if not items:
            plan.missing.append(f"{part.name}: nothing was given; the paper has {part.count} pictures of it")
        elif len(items) < part.count:
            plan.missing.append(f"{part.name}: {len(items)} of {part.count} pictures")
    plan.assumed = [
        f"One picture of each: scaled so that its longer side is {SIDE_PX} px, then padded with black to a square. The "
        "paper says padding, cutting and resizing, and no more.",
        "Masks are scaled by area and crack where a pixel is covered by 0.4 or more.",
        "The paper's lists of the splits are not public: where a source has train, val and test, its pictures stay "
        "there; the others are split 70 : 10 : 20 by a checksum of their name.",
        "The paper takes 1000 pictures of CRACK500 and does not say which; here they are spread evenly over its crops.",
        "The paper has 117 of CFD's 118 pictures and does not say which one is left out; here all are in.",
        "It holds test pictures of CFD, CRACK500 and DeepCrack: run 'fissura data check' before comparing across sets.",
    ]
    return plan


def _part_of(member: Member) -> _Part | None:
    """By the innermost folder or archive that names a set."""
    for word in reversed(member.words):
        plain = word.replace("-", "_")
        for part in _PARTS:
            if re.search(part.pattern, plain.replace("_", " ")) or re.search(part.pattern, plain):
                return part
    return None


def _items(part: _Part, members: list[Member], plan: Plan) -> Iterator[Item]:
    known = {"cfd": plan_cfd, "crack500": plan_crack500, "deepcrack": plan_deepcrack}
    own = known[part.name](SourceTree(members)) if part.name in known else None
    if own is not None and own.items:
        plan.left_over += own.left_over
        found = [(i.stem, i.image, i.mask, None if part.name == "cfd" else i.split) for i in own.items]
    else:
        pairs, left = pair_up(members)
        plan.leave(left, "no picture and mask of the same name")
        found = [(stem, image, mask, _official(image)) for stem, image, mask in pairs]
    for stem, image, mask, split in found:
        yield Item(split or _by_checksum(part.name, stem), f"{part.name}_{stem}", image, mask, "480", part.name)


def _official(image: Member) -> str | None:
    return next((s for s in ("train", "test", "val") if any(re.match(rf"{s}\b|{s}[_-]", w) for w in image.words)), None)


def _by_checksum(part: str, stem: str) -> str:
    value = int(hashlib.sha256(f"{part}/{stem}".encode()).hexdigest()[:8], 16) / 0x1_0000_0000
    return next(split for split, up_to in _SHARES if value < up_to)


CHCRACK5K = Recipe(
    "chcrack5k", "CHCrack5K, rebuilt", "none: it is made from eleven sets, each with its own origin",
    "those of each source: most are for research only",
    "Chen and Chen (2025), HACNetV2, doi:10.1016/j.eswa.2025.128144",
    "archives or folders whose names say the set: CrackForest or CFD, CRACK500 (or traincrop, valcrop, testcrop), "
    "Road420, MCD, SUT, CamCrack789, DeepCrack, CrackTree260, CrackLS315, CRKWH100, TunnelCrack", plan_chcrack5k,
)  # fmt: skip
