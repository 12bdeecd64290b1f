"""Which file of a downloaded set is the mask of which picture."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fissura.data.prepare.sources import Member

_MASK_FOLDERS = re.compile(
    r"^(.*[_-])?(masks?|labels?|lab|gt|gts|ground[_-]?truths?|annotations?|segmentations?|seg)([_-].*|png.*)?$"
)
_MASK_ENDING = re.compile(r"[_-]?(mask|label|lab|gt|groundtruth)$", re.IGNORECASE)
_LOSSLESS = {".png", ".bmp", ".tif", ".tiff", ".mat"}


def is_mask(member: Member) -> bool:
    """Whether a file is called like a mask: by a folder such as ``gt`` or ``train_lab``, or by its ending ``_mask``."""
    return any(_MASK_FOLDERS.match(word) for word in member.words[1:]) or bool(_MASK_ENDING.search(member.path.stem))


def plain_stem(member: Member) -> str:
    """The stem without an ending that says mask."""
    return _MASK_ENDING.sub("", member.path.stem)


def pair_up(members: Sequence[Member]) -> tuple[list[tuple[str, Member, Member]], list[Member]]:
    """Pictures with their masks by stem, sorted, and the files left over.

    Where neither folder nor name says which is the mask, it is the lossless one of two of a stem, as in CRACK500's
    ``a.jpg`` and ``a.png``.
    """
    by_stem: dict[str, list[Member]] = {}
    for member in members:
        by_stem.setdefault(plain_stem(member), []).append(member)
    pairs, left = [], []
    for stem, group in sorted(by_stem.items()):
        masks = [m for m in group if is_mask(m)]
        images = [m for m in group if not is_mask(m) and m.path.suffix.lower() != ".mat"]
        if not masks and len(images) == 2:
            masks = [m for m in images if m.path.suffix.lower() in _LOSSLESS]
            images = [m for m in images if m.path.suffix.lower() not in _LOSSLESS]
        if len(images) == 1 and len(masks) == 1:
            pairs.append((stem, images[0], masks[0]))
        else:
            left += group
    return pairs, left
