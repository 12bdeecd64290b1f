"""Pictures and masks of a source as files of our layout."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fissura.data.pairs import decode_mask
from fissura.data.prepare.recipes import Item
from fissura.data.prepare.sources import Member
from fissura.errors import DataError
from fissura.imaging.orientation import TAG_ORIENTATION, as_orientation
from fissura.imaging.write import write_bytes, write_jpeg, write_mask, write_png
from fissura.types import BoolMask, RgbImage

_MOST_PIXELS = 150_000_000
_COVERED = 0.4
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif"}


@dataclass(frozen=True)
class WrittenItem:
    """A picture that was written.

    Attributes:
        size_hw: Height and width.
        has_crack: Whether its mask has any crack.
        unsure: Its orientation tag turns it, and the mask fits the picture both as stored and as displayed; it was
            taken as displayed.
    """

    size_hw: tuple[int, int]
    has_crack: bool
    unsure: bool = False


def write_item(folder: Path, item: Item, *, side_px: int = 480) -> WrittenItem:
    """Write ``images/<stem>`` and ``masks/<stem>.png`` of one picture.

    All else in fissura takes pictures as they are displayed. A mask that only fits the stored pixels was drawn on
    those: they are then written without the tag that turns them.

    Args:
        folder: Of the split.
        item: What.
        side_px: Side of the square for items that are brought to size.
    Raises:
        DataError: The picture or the mask cannot be read, or they differ in size.
        OutputError: A file cannot be written.
    """
    data = item.image.read()
    stored, displayed, suffix = _decode(data, item.image.path.name)
    mask = read_member_mask(item.mask)
    as_stored = mask.shape != displayed.shape[:2] and mask.shape == stored.shape[:2]
    unsure = displayed is not stored and displayed.shape == stored.shape
    rgb = stored if as_stored else displayed
    if mask.shape != rgb.shape[:2]:
        raise DataError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]} but the picture is {rgb.shape[1]}x{rgb.shape[0]}; "
            "download the set again"
        )
    image_path = folder / "images" / f"{item.stem}{suffix}"
    if item.fit == "480":
        rgb, mask = fit_square(rgb, mask, side_px)
        write_jpeg(image_path.with_suffix(".jpg"), rgb, quality=95)
    elif as_stored:
        write_png(image_path.with_suffix(".png"), rgb)
    else:
        write_bytes(image_path, data)  # as the authors encoded it
    write_mask(folder / "masks" / f"{item.stem}.png", mask)
    return WrittenItem((mask.shape[0], mask.shape[1]), bool(mask.any()), unsure)


def fit_square(rgb: RgbImage, mask: BoolMask, side_px: int) -> tuple[RgbImage, BoolMask]:
    """Scale to a longer side of ``side_px`` and pad with black, the picture in the middle."""
    height, width = mask.shape
    factor = side_px / max(height, width)
    size_wh = max(round(width * factor), 1), max(round(height * factor), 1)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = cv2.resize(rgb, size_wh, interpolation=way) if factor != 1 else rgb
    cover = mask.astype(np.float32)
    if factor != 1:
        cover = np.asarray(cv2.resize(cover, size_wh, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR))
    out = np.zeros((side_px, side_px, 3), np.uint8)
    crack = np.zeros((side_px, side_px), np.bool_)
    top, left = (side_px - size_wh[1]) // 2, (side_px - size_wh[0]) // 2
    box = np.s_[top : top + size_wh[1], left : left + size_wh[0]]
    out[box] = small
    crack[box] = cover >= _COVERED
    return out, crack


def read_member_mask(member: Member) -> BoolMask:
    """The mask of a picture file, or of a MATLAB file of CrackForest's kind.

    Raises:
        DataError: It cannot be read.
    """
    data = member.read()
    if member.path.suffix.lower() == ".mat":
        return _read_mat(data, member.path.name)
    return decode_mask(BytesIO(data), member.path.name)


def _read_mat(data: bytes, name: str) -> BoolMask:
    """``groundTruth.Segmentation`` numbers the regions; 1 is the background."""
    from scipy.io import loadmat

    try:
        found: Any = loadmat(BytesIO(data))["groundTruth"]
        values = np.asarray(found["Segmentation"][0, 0])
    except NotImplementedError as error:
        raise DataError(f"{name} is a MATLAB file of version 7.3; save it with 'save -v7'") from error
    except (KeyError, IndexError) as error:
        raise DataError(f"{name} holds no groundTruth.Segmentation; is it a file of CrackForest?") from error
    except Exception as error:  # scipy raises many kinds for damaged files
        raise DataError(f"{name} cannot be read as a MATLAB file ({error}); download it again") from error
    if values.ndim != 2 or not values.size or values.dtype.kind not in "biuf":
        raise DataError(f"{name} holds no picture of region numbers; is it a file of CrackForest?")
    return np.asarray(values >= 2, np.bool_)


def _decode(data: bytes, name: str) -> tuple[RgbImage, RgbImage, str]:
    """Pixels as stored and as displayed (the same array where no tag turns them), and the suffix of the kind."""
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(data)) as image:
            suffix = _SUFFIXES.get(str(image.format))
            if suffix is None:
                raise DataError(f"{name} is a picture of kind {image.format}; JPEG, PNG, BMP and TIFF are taken")
            if image.width * image.height > _MOST_PIXELS:
                raise DataError(f"{name} has {image.width}x{image.height} pixels, as no picture of these sets has")
            stored = np.asarray(image.convert("RGB"), np.uint8)
            if as_orientation(image.getexif().get(TAG_ORIENTATION)) == 1:
                return stored, stored, suffix
            return stored, np.asarray(ImageOps.exif_transpose(image).convert("RGB"), np.uint8), suffix
    except DataError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise DataError(f"{name} cannot be read as a picture ({error}); download it again") from error
