"""How the authors of public sets hand them out, and which of their files become which picture of which split."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fissura.data.prepare.pairing import pair_up
from fissura.data.prepare.sources import Member, SourceTree
from fissura.errors import SettingsError

Fit = Literal["as it is", "480"]


@dataclass(frozen=True, eq=False)
class Item:
    """A picture to be written.

    Attributes:
        split: Folder below the set.
        stem: Its name there.
        image, mask: Where from.
        fit: How both are brought to size.
        part: Source within the set, for the card.
    """

    split: str
    stem: str
    image: Member
    mask: Member
    fit: Fit = "as it is"
    part: str = ""


@dataclass
class Plan:
    """What will be written and what is to be said about it.

    Attributes:
        items: Pictures.
        missing: What the authors' set has and these sources lack.
        assumed: Decisions that the authors' files leave open.
        left_over: Files that fit nowhere, with the reason.
    """

    items: list[Item] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    left_over: list[tuple[str, str]] = field(default_factory=list)

    def leave(self, members: Sequence[Member], reason: str) -> None:
        """Note files that are not used."""
        self.left_over += [(str(m.path), reason) for m in members]


@dataclass(frozen=True)
class Recipe:
    """A public set.

    Attributes:
        name: For the command line, and of the folder.
        title: For people.
        origin: Where its authors hand it out.
        terms: Under which terms, as far as known.
        cite: The publication.
        expects: How the files must lie, for messages.
        plan: Sorts the files.
    """

    name: str
    title: str
    origin: str
    terms: str
    cite: str
    expects: str
    plan: Callable[[SourceTree], Plan]


def find_recipe(name: str) -> Recipe:
    """Raises SettingsError if there is no such set."""
    from fissura.data.prepare.chcrack import CHCRACK5K

    known = {recipe.name: recipe for recipe in (CFD, CRACK500, DEEPCRACK, CHCRACK5K)}
    if name not in known:
        raise SettingsError(f"there is no recipe for '{name}'; there are {', '.join(known)}")
    return known[name]


def number_of(text: str) -> int | None:
    """The last number in a name."""
    found = re.findall(r"\d+", text)
    return int(found[-1]) if found else None


def expect_count(plan: Plan, split: str, count: int) -> None:
    """Note how many pictures of a split are missing."""
    found = sum(item.split == split for item in plan.items)
    if found < count:
        plan.missing.append(f"{split}: {found} of {count} pictures; {count - found} are missing")


def plan_cfd(tree: SourceTree) -> Plan:
    """CrackForest: ``image/001.jpg`` to ``118.jpg`` and ``groundTruth/001.mat``, without a split."""
    plan = Plan()
    members = [m for m in tree.members if m.words[-1:] and m.words[-1] in ("image", "images", "groundtruth")]
    pairs, left = pair_up(members)
    for stem, image, mask in pairs:
        number = number_of(stem)
        if number is None:
            plan.leave([image, mask], "its name has no number, which the split goes by")
            continue
        plan.items.append(Item("train" if number <= _CFD_LAST_TRAIN else "test", stem, image, mask))
    plan.leave(left, "no picture and mask of the same name")
    expect_count(plan, "train", _CFD_LAST_TRAIN)
    expect_count(plan, "test", _CFD_ALL - _CFD_LAST_TRAIN)
    plan.assumed = [
        "The authors give no split; numbers up to 72 are train, the others test, as most papers do.",
        "Crack is every value of groundTruth.Segmentation from 2 on; 1 is background.",
    ]
    return plan


def plan_crack500(tree: SourceTree) -> Plan:
    """CRACK500: ``traincrop``, ``valcrop``, ``testcrop`` with ``a.jpg`` and ``a.png``, or whole photos."""
    plan = Plan()
    crops = {split: _below(tree, f"{split}crop") for split in ("train", "val", "test")}
    whole = {split: _below(tree, f"{split}data") for split in ("train", "val", "test")}
    use_crops = any(crops.values())
    for split, members in (crops if use_crops else whole).items():
        pairs, left = pair_up(members)
        plan.items += [Item(split, stem, image, mask) for stem, image, mask in pairs]
        plan.leave(left, "no picture and mask of the same name")
        expect_count(plan, split, (_CRACK500_CROPS if use_crops else _CRACK500_WHOLE)[split])
    if use_crops and any(whole.values()):
        plan.assumed.append("Whole photos were given, too; they are left out, since the crops show the same.")
    plan.assumed.append(f"Split as the authors' folders; {'crops' if use_crops else 'whole photos'} are used.")
    plan.assumed.append("Several crops are of one photo; the authors' folders keep them on one side.")
    return plan


def plan_deepcrack(tree: SourceTree) -> Plan:
    """DeepCrack: ``train_img``, ``train_lab``, ``test_img``, ``test_lab``."""
    plan = Plan()
    for split, count in _DEEPCRACK.items():
        members = [m for m in tree.members if m.words and m.words[-1] in (f"{split}_img", f"{split}_lab")]
        pairs, left = pair_up(members)
        plan.items += [Item(split, stem, image, mask) for stem, image, mask in pairs]
        plan.leave(left, "no picture and mask of the same name")
        expect_count(plan, split, count)
    plan.assumed = [
        "Split as the authors' folders.",
        "Some pictures of train and test show the same (11158 of train and 11216 of test): 'fissura data check'.",
    ]
    return plan


def _below(tree: SourceTree, folder: str) -> list[Member]:
    """Files in a folder of that name, or in an archive called so."""
    names = (folder, f"{folder}.zip", f"{folder}.tar", f"{folder}.tar.gz", f"{folder}.tgz")
    return [m for m in tree.members if any(word in names for word in m.words)]


_CFD_LAST_TRAIN, _CFD_ALL = 72, 118
_CRACK500_CROPS = {"train": 1896, "val": 348, "test": 1124}
_CRACK500_WHOLE = {"train": 250, "val": 50, "test": 200}
_DEEPCRACK = {"train": 300, "test": 237}

CFD = Recipe(
    "cfd", "CrackForest (CFD)", "https://github.com/cuilimeng/CrackForest-dataset",
    "non-commercial research only, as its README says",
    "Shi et al. (2016), Automatic road crack detection using random structured forests, doi:10.1109/TITS.2016.2552248",
    "folders image/ (*.jpg) and groundTruth/ (*.mat), as in CrackForest-dataset-master.zip", plan_cfd,
)  # fmt: skip
CRACK500 = Recipe(
    "crack500", "CRACK500", "https://github.com/fyangneil/pavement-crack-detection",
    "no licence is stated; for research, citing both papers its README names",
    "Yang et al. (2020), Feature pyramid and hierarchical boosting network, doi:10.1109/TITS.2019.2910595",
    "folders or archives traincrop, valcrop and testcrop (*.jpg and *.png of the same name), or traindata, valdata and "
    "testdata with *_mask.png", plan_crack500,
)  # fmt: skip
DEEPCRACK = Recipe(
    "deepcrack", "DeepCrack", "https://github.com/yhlleo/DeepCrack",
    "no licence for the pictures is known to us; for research, see its README",
    "Liu et al. (2019), DeepCrack: a deep hierarchical feature learning architecture, doi:10.1016/j.neucom.2019.01.036",
    "folders train_img, train_lab, test_img and test_lab, as in DeepCrack.zip", plan_deepcrack,
)  # fmt: skip
