"""Folders of ``images/`` and ``masks/``, paired by stem, never by order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from fissura.errors import DataError
from fissura.imaging.read import MAX_PIXELS, _pixel_limit
from fissura.types import BoolMask

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_NOISE_PX = 16
"""Fewer pixels above 0 are no faint crack."""
_NOISE_GREY, _MOST_GREYS = 8, 8
"""Several greys are classes if all are above the first and no more than the second; rims of soft masks have others."""


@dataclass(frozen=True)
class Pair:
    """An image and the mask of the same stem."""

    stem: str
    image: Path
    mask: Path


def find_pairs(folder: Path) -> list[Pair]:
    """Pairs of one data set, sorted by stem.

    Args:
        folder: Holds ``images/`` and ``masks/``.
    Raises:
        DataError: A folder is missing or empty, a stem occurs twice, or a file has no partner
            (the first such stems are named).
    """
    for name in ("images", "masks"):
        if not (folder / name).is_dir():
            raise DataError(f"{folder} has no folder '{name}'; a data set is a folder with images/ and masks/")
    images, masks = _by_stem(folder / "images"), _by_stem(folder / "masks")
    if not images:
        raise DataError(f"{folder / 'images'} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    lonely = [(images.keys() - masks.keys(), "image", "mask"), (masks.keys() - images.keys(), "mask", "image")]
    for stems, have, need in lonely:
        if stems:
            shown = ", ".join(sorted(stems)[:5])
            raise DataError(
                f"{folder}: {len(stems)} {have}(s) without a {need} of the same stem: {shown}"
                f"{' …' if len(stems) > 5 else ''}; rename or remove them"
            )
    return [Pair(stem, images[stem], masks[stem]) for stem in sorted(images)]


def find_sets(root: Path) -> dict[str, Path]:
    """All data sets at or below a folder, by their path relative to it ('.' is the folder itself).

    Raises:
        DataError: There is none.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    found = {
        folder.parent.relative_to(root).as_posix(): folder.parent
        for folder in sorted(root.rglob("images"))
        if folder.is_dir() and (folder.parent / "masks").is_dir()
    }
    if not found:
        raise DataError(f"{root} holds no data set: neither it nor a folder below it has images/ and masks/")
    return found


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{folder}: '{found[path.stem].name}' and '{path.name}' share a stem; keep one of them")
        found[path.stem] = path
    return found


def read_mask(path: Path, *, size_hw: tuple[int, int] | None = None) -> BoolMask:
    """Read a crack mask, whatever way it is written.

    Recognised: 1-bit; grey 0/1; grey 0/255 (also softened by resizing or JPEG: 128 and above is crack);
    16-bit (above half of the largest value); palette (indices 0/1, else by the colours); RGB(A)
    (any channel 128 and above, transparent is background).

    Args:
        path: Image file.
        size_hw: Height and width it must have.
    Returns:
        Shape (H, W), True is crack.
    Raises:
        DataError: The file cannot be read, has another size, or holds a few greys that are all below 128, such as
            class numbers: none would count as crack.
    """
    mask = decode_mask(path, str(path))
    if size_hw is not None and mask.shape != size_hw:
        raise DataError(
            f"the mask {path} is {mask.shape[1]}×{mask.shape[0]} but its image is "
            f"{size_hw[1]}×{size_hw[0]} (width × height); they must be equal"
        )
    return mask


def decode_mask(source: Path | BinaryIO, name: str) -> BoolMask:
    """`read_mask` from an open file as well; ``name`` is for messages."""
    mask, greys = decode_faint_mask(source, name)
    if greys:
        raise DataError(f"the mask {name} has {describe_faint(greys)}")
    return mask


def decode_faint_mask(source: Path | BinaryIO, name: str) -> tuple[BoolMask, tuple[int, ...]]:
    """`decode_mask` that takes faint masks.

    Returns:
        The mask and, where it is faint, its greys above 0; then all of them are taken for crack.
    """
    try:
        with _pixel_limit, Image.open(source) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width}x{image.height}"
                raise DataError(f"the mask {name} has {size} pixels; cut it and its image into parts")
            image.load()
            return _crack_pixels(image)
    except DataError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise DataError(f"cannot read the mask {name}: {error}") from error


def describe_faint(greys: Sequence[int]) -> str:
    """What is wrong with a faint mask, for a sentence that begins "it has".

    >>> describe_faint([38])
    'the values 0 and 38 only, and none of 128 or more, which is crack; set crack to 255 and all else to 0'
    """
    values = f"{', '.join(map(str, (0, *greys[:-1])))} and {greys[-1]}"
    return f"the values {values} only, and none of 128 or more, which is crack; set crack to 255 and all else to 0"


def _crack_pixels(image: Image.Image) -> tuple[BoolMask, tuple[int, ...]]:
    if image.mode == "P":
        indices = np.asarray(image)
        if indices.max(initial=0) <= 1:
            return indices > 0, ()
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("RGBA", "LA", "PA"):
        rgba = np.asarray(image.convert("RGBA"))
        return _bright(rgba[..., :3].max(axis=2), opaque=rgba[..., 3] >= 128)
    values = np.asarray(image)
    if values.dtype == np.bool_:
        return np.asarray(values.view(np.uint8) > 0), ()  # Pillow's bools have bytes 0 and 255: skimage crashes on them
    if values.ndim == 3:
        values = values.max(axis=2)
    return _bright(values)


def _bright(values: npt.NDArray[Any], *, opaque: BoolMask | None = None) -> tuple[BoolMask, tuple[int, ...]]:
    top = float(values.max(initial=0))
    limit = 128.0 if top <= 255.0 else (top + 1.0) / 2.0
    mask = np.asarray(values > 0 if top <= 1.0 else values >= limit)
    if opaque is not None:
        mask &= opaque
    if top <= 1.0 or mask.any():
        return mask, ()
    shown = values if opaque is None else np.where(opaque, values, 0)
    greys = _faint_greys(shown)
    return (np.asarray(shown > 0) if greys else mask), greys


def _faint_greys(values: npt.NDArray[Any]) -> tuple[int, ...]:
    """The greys above 0 of a mask without any bright pixel; empty where they are but traces.

    Traces of JPEG and of resizing, beside a crack that was cut off, are few or of many greys from 1 on.
    """
    greys, counts = np.unique(values, return_counts=True)
    if greys[0] != 0 or not 1 < greys[-1] < 128 or counts[1:].sum() < _NOISE_PX:
        return ()
    if len(greys) > 2 and (greys[1] <= _NOISE_GREY or len(greys) > _MOST_GREYS + 1):
        return ()
    return tuple(int(grey) for grey in greys[1:])


def spread(pairs: Sequence[Pair], limit: int) -> list[Pair]:
    """At most ``limit`` pairs, evenly spread over the set, the same ones every time."""
    if len(pairs) <= limit:
        return list(pairs)
    picked = np.linspace(0, len(pairs) - 1, limit).round().astype(int)
    return [pairs[i] for i in picked]
