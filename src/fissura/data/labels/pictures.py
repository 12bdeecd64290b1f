"""Which picture an annotation is about, and what it is called in a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath

from fissura.data.pairs import IMAGE_SUFFIXES
from fissura.errors import DataError
from fissura.imaging.orientation import TAG_ORIENTATION, as_orientation, read_displayed_hw


class PictureFolder:
    """Pictures below some folders, found by the names that annotation files give them.

    Args:
        folders: Searched with their folders, the first that has a picture wins.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [folder for folder in folders if folder.is_dir()]
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for folder in self.folders:
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file():
                    self._by_name.setdefault(path.name.lower(), []).append(path)
                    self._by_stem.setdefault(path.stem.lower(), []).append(path)

    def find(self, name: str) -> Path:
        """The picture of a name.

        Raises:
            DataError: There is none, or several could be meant.
        """
        wanted = PurePosixPath(name)
        suffixed = wanted.suffix.lower() in IMAGE_SUFFIXES
        known = self._by_name if suffixed else self._by_stem
        found = list(dict.fromkeys(known.get((wanted.name).lower(), [])))
        if len(found) > 1:
            tails = [p for p in found if _ends_with(p if suffixed else p.with_suffix(""), wanted)]
            found = tails or found
        if len(found) == 1 or (found and _same(found)):
            return found[0]
        if found:
            shown = ", ".join(str(p) for p in found[:3])
            raise DataError(f"{len(found)} pictures could be meant by {name} ({shown}); pass --images with one folder")
        where = ", ".join(map(str, self.folders)) or "no folder"
        raise DataError(f"its picture is not in {where}; pass --images FOLDER")


def displayed_size_hw(source: Path | bytes) -> tuple[int, int]:
    """Height and width of a picture as tools show it, with its EXIF orientation, from the header.

    Raises:
        DataError: It is no picture.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            return read_displayed_hw(image, as_orientation(image.getexif().get(TAG_ORIENTATION)))
    except Exception as error:  # Pillow raises many kinds for damaged headers
        name = "the picture in the file" if isinstance(source, bytes) else source.name
        raise DataError(f"{name} is no picture that can be read ({error})") from error


def plan_stems(names: Sequence[str]) -> list[str]:
    """A stem for each picture: its own where no other has it, else with the folders before it, else numbered.

    >>> plan_stems(["a/1.jpg", "b/1.jpg", "2.png"])
    ['a__1', 'b__1', '2']
    """
    plain = [_safe(_without_suffix(PurePosixPath(name)).name) for name in names]
    used = Counter(stem.lower() for stem in plain)
    stems, taken = [], set()
    for name, stem in zip(names, plain, strict=True):
        if used[stem.lower()] > 1:
            parts = [p for p in _without_suffix(PurePosixPath(name)).parts if p not in ("/", ".", "..")]
            stem = _safe("__".join(parts))
        number, free = 2, stem
        while free.lower() in taken:
            free, number = f"{stem}-{number}", number + 1
        taken.add(free.lower())
        stems.append(free)
    return stems


def _without_suffix(name: PurePosixPath) -> PurePosixPath:
    """Formats that name pictures by their stems may have dots in them ("a.rf.1")."""
    return name.with_suffix("") if name.suffix.lower() in IMAGE_SUFFIXES else name


def _safe(stem: str) -> str:
    """No part of a name from a file may lead out of a folder, or be refused by a disk."""
    text = "".join("_" if c in '<>:"/\\|?*' or ord(c) < 32 else c for c in stem).strip(". ")
    return text[:150] or "picture"


def _ends_with(path: Path, wanted: PurePosixPath) -> bool:
    parts = tuple(p for p in wanted.parts if p not in ("/", ".", ".."))
    return path.parts[-len(parts) :] == parts


def _same(paths: Sequence[Path]) -> bool:
    return len({path.resolve() for path in paths}) == 1
