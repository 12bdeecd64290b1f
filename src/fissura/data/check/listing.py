"""Files of data sets as they are, faults and all, where `find_pairs` stops at the first fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fissura.data.pairs import IMAGE_SUFFIXES, Pair, find_sets
from fissura.errors import DataError

PROBLEMS = {
    "unpaired image": "an image without a mask of the same stem",
    "unpaired mask": "a mask without an image of the same stem",
    "same stem": "two files of one stem, so that it is not clear which is meant",
    "unreadable image": "an image that is empty (0 bytes), cut off or damaged",
    "unreadable mask": "a mask that is empty (0 bytes), cut off or damaged",
    "size mismatch": "a mask of another size than its image",
    "non-binary mask": "a mask with values between background and crack",
    "faint mask": "a mask of few greys, all below 128, as class numbers; commands refuse it, here all count as crack",
    "palette mask": "a mask with a palette: programs read its indices or its colours, and differ",
    "colour mask": "a mask in colour or with transparency, where one grey channel is expected",
    "specks": "a mask mostly of specks of a few pixels, as JPEG or resizing leaves them when masks are made binary",
    "empty mask": "a mask without crack in a set that has cracks",
    "nearly full mask": "a mask of more than half crack, perhaps inverted",
    "duplicate": "pictures of different splits or sets that show the same",
    "no images": "a set without a single image",
}
"""Kinds of problems with what they mean."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        kind: A key of `PROBLEMS`.
        set_name: The set.
        file: Path below the set's folder.
        text: What was found and what to do.
    """

    kind: str
    set_name: str
    file: str
    text: str


@dataclass(frozen=True)
class SetFiles:
    """One folder of ``images/`` and ``masks/``.

    Attributes:
        name: For people, as ``deepcrack/train``.
        folder: Where.
        pairs: Images with masks, sorted by stem.
        lonely: Images without masks; they are compared, too.
        problems: What does not fit together.
    """

    name: str
    folder: Path
    pairs: tuple[Pair, ...]
    lonely: tuple[Path, ...]
    problems: tuple[Problem, ...]


def list_sets(roots: Sequence[Path]) -> list[SetFiles]:
    """All sets at or below some folders, each once, sorted by name.

    Raises:
        DataError: A folder is missing or holds no set.
    """
    folders: dict[Path, str] = {}
    for root in roots:
        for relative, folder in find_sets(root).items():
            full = folder.resolve()
            if full not in folders:
                folders[full] = "/".join(full.parts[-2:]) if relative == "." else relative
    names: dict[str, int] = {}
    found = []
    for folder, name in folders.items():
        names[name] = names.get(name, 0) + 1
        # Two roots may hold a set of the same path: the parent's name, then a number tells them apart.
        label = name if names[name] == 1 else f"{folder.parent.parent.name}/{name} ({names[name]})"
        found.append(list_set(folder, label))
    return sorted(found, key=lambda s: s.name)


def list_set(folder: Path, name: str) -> SetFiles:
    """Pairs of one folder and what does not fit."""
    problems: list[Problem] = []
    images, masks = (_by_stem(folder, kind, name, problems) for kind in ("images", "masks"))
    if not images:
        problems.append(Problem("no images", name, "images", "the folder holds no image; remove the set or fill it"))
    for stem in sorted(images.keys() - masks.keys()):
        text = f"no mask of stem {stem}; add one (all black where there is no crack) or remove the image"
        problems.append(Problem("unpaired image", name, f"images/{images[stem].name}", text))
    for stem in sorted(masks.keys() - images.keys()):
        text = f"no image of stem {stem}; rename or remove the mask"
        problems.append(Problem("unpaired mask", name, f"masks/{masks[stem].name}", text))
    pairs = tuple(Pair(stem, images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys()))
    lonely = tuple(images[stem] for stem in sorted(images.keys() - masks.keys()))
    return SetFiles(name, folder, pairs, lonely, tuple(problems))


def _by_stem(folder: Path, kind: str, name: str, problems: list[Problem]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    try:
        files = sorted((folder / kind).iterdir())
    except OSError as error:
        raise DataError(f"{folder / kind} cannot be listed: {error.strerror or error}") from error
    for path in files:
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        if path.stem in found:
            text = f"shares its stem with {found[path.stem].name}, which is used; keep one of them"
            problems.append(Problem("same stem", name, f"{kind}/{path.name}", text))
        else:
            found[path.stem] = path
    return found
