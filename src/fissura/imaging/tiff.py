"""TIFFs of values that Pillow does not know or cuts to 8 bits, read by GDAL."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fissura.errors import ImageError
from fissura.imaging.orientation import TAG_ORIENTATION, as_orientation, orient
from fissura.types import BoolMask

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
_TAG_NEW_SUBFILE, _TAG_BITS, _TAG_SAMPLES, _TAG_PHOTOMETRIC = 254, 258, 277, 262
_WHITE_IS_ZERO, _CMYK = 0, 5
_BIG, _BIG_BIG_ENDIAN = 43, b"MM\0+"

Tags = Mapping[int, Any]


@dataclass(frozen=True, eq=False)
class DeepTiff:
    """Values of one page as stored.

    Attributes:
        colour: Shape (H, W, 1) or (H, W, 3).
        opaque: Shape (H, W), or None if it has no alpha channel.
        orientation: EXIF's, 1 to 8.
        white_is_zero: It is a negative.
        ignored: Number of bands beyond colour and alpha.
    """

    colour: npt.NDArray[Any]
    opaque: BoolMask | None
    orientation: int
    white_is_zero: bool
    ignored: int


def is_full_page(tags: Tags) -> bool:
    """No reduced-resolution copy, no transparency mask."""
    return not int(tags.get(_TAG_NEW_SUBFILE, 0)) & 0b101


def find_full_pages(directories: Sequence[Tags]) -> list[int]:
    """Numbers, from 1, of the directories that are full pages; the first if none is."""
    return [number for number, tags in enumerate(directories, 1) if is_full_page(tags)] or [1]


def is_deep(tags: Tags) -> bool:
    """More than 8 bits, or more than four channels."""
    bits = tags.get(_TAG_BITS, (8,))
    return max(bits if isinstance(bits, tuple) else (bits,)) > 8 or int(tags.get(_TAG_SAMPLES, 1)) > 4


def read_directories(path: Path) -> list[Tags]:
    """The tags of all directories, in the order of the file; none if it is no TIFF that GDAL can open."""
    from rasterio.errors import RasterioError

    if path.suffix.lower() not in TIFF_SUFFIXES:
        return []
    try:
        with _open_gdal(path) as dataset:
            if dataset.driver != "GTiff":
                return []
    except RasterioError:
        return []
    try:
        return _read_tags(path)
    except (OSError, SyntaxError, ValueError, LookupError, TypeError):
        return [{}]  # GDAL knows better, and the tags would only say more of the first page


def _read_tags(path: Path) -> list[Tags]:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    found: list[Tags] = []
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on directories that end too early
        head = file.read(8)
        if head.startswith(_BIG_BIG_ENDIAN):
            raise ValueError("Pillow does not know it")
        if head[2] == _BIG:
            head += file.read(8)
        directory = ImageFileDirectory_v2(head)
        seen: set[int] = set()
        while directory.next and directory.next not in seen:
            seen.add(directory.next)
            file.seek(directory.next)
            directory.load(file)
            found.append(dict(directory))
    return found


def read_deep(path: Path, directory: int, tags: Tags) -> DeepTiff:
    """Read one page.

    Args:
        path: The file.
        directory: From 1, as GDAL counts.
        tags: Of that directory.
    Raises:
        ImageError: Values that no picture has.
    """
    from rasterio.enums import ColorInterp

    with _open_gdal(path, directory) as dataset:
        meaning = list(dataset.colorinterp)
        alpha = meaning.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in meaning else None
        free = [band for band in range(1, dataset.count + 1) if band != alpha]
        if np.dtype(dataset.dtypes[0]).kind not in "uif":
            raise ImageError(f"{path.name} holds {dataset.dtypes[0]} values; save their amounts as float32")
        inks = tags.get(_TAG_PHOTOMETRIC) == _CMYK
        if inks and len(free) < 4:
            raise ImageError(f"{path.name} is CMYK of {len(free)} inks; save it as RGB with an image program")
        bands = free[:4] if inks else free[:3] if len(free) >= 3 else free[:1]
        colour = np.moveaxis(dataset.read(bands), 0, 2)
        opaque = np.asarray(dataset.read(alpha) > 0, np.bool_) if alpha is not None else None
    if inks:
        colour = _cmyk_to_rgb(colour, path)
    return DeepTiff(
        colour, opaque, as_orientation(tags.get(TAG_ORIENTATION)), tags.get(_TAG_PHOTOMETRIC) == _WHITE_IS_ZERO,
        0 if inks else len(free) - len(bands),
    )  # fmt: skip


def read_marked_valid(path: Path, directory: int, tags: Tags) -> BoolMask | None:
    """Pixels that neither a nodata value nor a mask in the file marks, as displayed, shape (H, W); None if all are."""
    from rasterio.enums import MaskFlags
    from rasterio.errors import RasterioError

    try:
        # GDAL brings a page's mask along with the first page only.
        with _open_gdal(path, None if directory == 1 else directory) as dataset:
            if all(MaskFlags.all_valid in flags for flags in dataset.mask_flag_enums):
                return None
            valid = np.asarray((dataset.read_masks() > 0).any(axis=0), np.bool_)
    except RasterioError:  # what GDAL does not know marks nothing that it could read
        return None
    return orient(valid, as_orientation(tags.get(TAG_ORIENTATION)))


@contextmanager
def _open_gdal(path: Path, directory: int | None = None) -> Iterator[Any]:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path if directory is None else f"GTIFF_DIR:{directory}:{path}") as dataset:
            yield dataset


def _cmyk_to_rgb(values: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """Inks as Pillow takes them, paper less ink."""
    if values.dtype.kind != "u":
        raise ImageError(f"{path.name} is CMYK of {values.dtype}; save it as RGB with an image program")
    paper = np.float32(np.iinfo(values.dtype).max) - values.astype(np.float32)
    return np.rint(paper[..., :3] * paper[..., 3:] / np.iinfo(values.dtype).max).astype(values.dtype)
