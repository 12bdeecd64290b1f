"""Find input images, and give each result a name that no other result has."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fissura.imaging.media import VIDEO_SUFFIXES

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .tif .tiff .bmp .webp .gif .ppm .pgm .pbm .pnm .heic .heif .hif .avif .jp2".split()
)


@dataclass(frozen=True)
class SourceImage:
    """One input file.

    Attributes:
        path: The file, absolute.
        root: Folder that `relative` starts from.
        relative: Path below the root.
    """

    path: Path
    root: Path
    relative: PurePosixPath


@dataclass(frozen=True)
class Found:
    """Images in order, each once, and the sources and folders in which nothing was found, with the reason."""

    images: tuple[SourceImage, ...]
    nothing: tuple[tuple[str, str], ...]


def find_images(sources: Sequence[str], *, exclude: Iterable[Path] = (), videos: bool = False) -> Found:
    """Expand files, folders (recursive) and globs.

    In folders and globs only known image suffixes count, and hidden files are left out; a file that is named
    is always taken.

    Args:
        sources: As the user gave them.
        exclude: Folders never entered, such as those of the results.
        videos: Folders and globs give videos, too.
    """
    suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES if videos else IMAGE_SUFFIXES
    shut = {Path(os.path.abspath(folder)) for folder in exclude}
    images: dict[Path, SourceImage] = {}
    nothing = []
    for source in sources:
        try:
            found, reasons = _expand(source, shut, suffixes)
        except OSError as error:
            found, reasons = [], [(source, f"cannot be looked at ({error.strerror or error}); check the path")]
        for image in found:
            images.setdefault(image.path, image)
        nothing += [reason for reason in reasons if reason not in nothing]
    return Found(tuple(images.values()), tuple(nothing))


def plan_names(images: Sequence[SourceImage], known: Mapping[str, str]) -> dict[Path, str]:
    """A name, a relative path without suffix, for every image, the same whenever the same images are given.

    The plain name is the relative path without its suffix. Images that would share one keep their suffix
    (``a.jpg`` and ``a.png`` become ``a.jpg`` and ``a.png``); images of different sources that would still share
    one go into a folder named after their source. Names that differ only in case or in Unicode form count as
    shared, because some disks cannot tell them apart.

    Args:
        images: The inputs.
        known: Names given in earlier runs, by absolute path of the input. They are kept, and not given again.
    """
    labels = _label_roots(images)
    names = {image.path: str(image.relative.with_suffix("")) for image in images}
    by_relative = Counter(_key(str(image.relative)) for image in images)
    by_stem = Counter(map(_key, names.values()))
    for image in images:
        shared = by_stem[_key(names[image.path])] > 1
        if by_relative[_key(str(image.relative))] > 1:
            names[image.path] = f"{labels[image.root]}/{image.relative}"
        elif shared:
            names[image.path] = str(image.relative)
    taken = {_key(name) for name in known.values()}
    for image in images:
        name = known.get(str(image.path))
        if name is None:
            name = _free_name(names[image.path], taken, str(image.relative), labels[image.root])
        taken.add(_key(name))
        names[image.path] = name
    return names


def _expand(source: str, shut: set[Path], suffixes: frozenset[str]) -> tuple[list[SourceImage], list[tuple[str, str]]]:
    path = Path(os.path.abspath(source))
    unread: list[tuple[str, str]] = []
    if path.is_dir():
        found = [_below(path, file) for file in _walk(path, shut, suffixes, unread)]
        missing = "the folder holds no images; looked for .jpg, .png, .tif, .heic and others"
        return found, unread if found or unread else [(source, missing)]
    if path.exists():
        return [_below(path.parent, path)], []
    if not glob.has_magic(source):
        return [], [(source, "there is no such file or folder; check the path")]
    # Brackets and asterisks in the working folder's own path are no part of the pattern.
    pattern = os.path.normpath(os.path.join(glob.escape(os.getcwd()), source))
    fixed = []
    for part, wanted in zip(path.parts[:-1], Path(pattern).parts, strict=False):
        if wanted != glob.escape(part):
            break
        fixed.append(part)
    root = Path(*fixed)
    files = []
    for match in _each_once(sorted(Path(name) for name in glob.glob(pattern, recursive=True))):
        if shut.intersection((match, *match.parents)):
            continue
        if os.path.isdir(match):
            files += _walk(match, shut, suffixes, unread)
        elif _is_input(match, suffixes):
            files.append(match)
    found = [_below(root, file) for file in _each_once(files)]
    return found, unread if found or unread else [(source, "no image matches this pattern")]


def _each_once(paths: list[Path]) -> list[Path]:
    """Without those to which links between folders lead a second time; the shortest way counts."""
    real = {parent: os.path.realpath(parent) for parent in {path.parent for path in paths}}
    shortest: dict[tuple[str, str], Path] = {}
    for path in sorted(paths, key=lambda path: len(path.parts)):
        shortest.setdefault((real[path.parent], path.name), path)
    chosen = set(shortest.values())
    return [path for path in paths if path in chosen]


def _walk(folder: Path, shut: set[Path], suffixes: frozenset[str], unread: list[tuple[str, str]]) -> list[Path]:
    """Files in order; folders that cannot be read go to ``unread``, with the reason."""

    def note(error: OSError) -> None:
        reason = f"the folder cannot be read ({error.strerror or error}); what it holds is left out"
        unread.append((str(error.filename), reason))

    files = []
    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and Path(parent, f) not in shut)
        files += [path for name in sorted(names) if _is_input(path := Path(parent, name), suffixes)]
    return files


def _is_input(path: Path, suffixes: frozenset[str]) -> bool:
    # "._x.jpg" are macOS resource forks, not pictures.
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _below(root: Path, path: Path) -> SourceImage:
    return SourceImage(path, root, PurePosixPath(path.relative_to(root).as_posix()))


def _label_roots(images: Sequence[SourceImage]) -> dict[Path, str]:
    """A short folder name for every root, numbered where two roots end alike."""
    labels: dict[Path, str] = {}
    taken: set[str] = set()
    for image in images:
        if image.root not in labels:
            base = image.root.name or "root"
            label, number = base, 2
            while _key(label) in taken:
                label, number = f"{base}-{number}", number + 1
            taken.add(_key(label))
            labels[image.root] = label
    return labels


def _free_name(wanted: str, taken: set[str], relative: str, label: str) -> str:
    number = 2
    for candidate in (wanted, relative, f"{label}/{relative}"):
        if _key(candidate) not in taken:
            return candidate
    while _key(f"{label}-{number}/{relative}") in taken:
        number += 1
    return f"{label}-{number}/{relative}"


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
