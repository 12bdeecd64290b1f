"""EXIF's orientation: which way a stored picture is turned for display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

TAG_ORIENTATION = 274
_TAG_WIDTH, _TAG_HEIGHT = 256, 257
_T = TypeVar("_T", bound=np.generic)


def as_orientation(tag: Any) -> int:
    """EXIF's orientation, 1 to 8; a tag of a wrong type or value, as some programs write it, says nothing."""
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


def orient(array: npt.NDArray[_T], orientation: int) -> npt.NDArray[_T]:
    """Turn stored pixels into displayed ones. ``orientation`` is EXIF's, 1 to 8; others change nothing."""
    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def stored_wh(tags: Mapping[int, Any]) -> tuple[int, int]:
    """Width and height by the tags of a TIFF; 0 where they are unknown."""
    return int(tags.get(_TAG_WIDTH, 0)), int(tags.get(_TAG_HEIGHT, 0))


def displayed_hw(stored_wh: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Height and width as displayed of a stored width and height."""
    return stored_wh if orientation >= 5 else stored_wh[::-1]


def read_displayed_hw(image: Image.Image, orientation: int) -> tuple[int, int]:
    """Height and width as displayed of a picture that is open and not yet decoded, from its header.

    Args:
        image: Open in Pillow, at its first frame.
        orientation: EXIF's, 1 to 8.
    """
    size_wh = image.size
    if image.format == "TIFF":
        # Whether the size of a TIFF is given turned or as stored depends on the version of Pillow.
        size_wh = stored_wh(getattr(image, "tag_v2", {}))
    return displayed_hw(size_wh, orientation)
