"""What all readers of annotations share: opening files with plain words for what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fissura.errors import DataError
from fissura.imaging.outlines import Ring

LARGEST_BYTES = 2_000_000_000
"""Of an annotation file; larger ones would not fit into memory."""


def guess_format(path: Path) -> str | None:
    """The format a file looks like: coco, labelme, cvat, yolo-seg; None if it looks like none."""
    try:
        with path.open("rb") as file:
            head = file.read(4096).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    except OSError:
        return None
    if head.startswith("<"):
        return "cvat" if "<annotations" in head else None
    if head.startswith("{"):
        if '"shapes"' in head or '"imagePath"' in head:
            return "labelme"
        return "coco" if any(f'"{key}"' in head for key in ("images", "annotations", "categories")) else None
    words = head.split("\n", 1)[0].split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    return "yolo-seg" if len(numbers) >= 5 else None


def check_file(path: Path, wanted: str) -> None:
    """Raises DataError if a file is missing, empty, too large, or of another format than wanted."""
    if not path.is_file():
        raise DataError(f"{path} does not exist or is no file; check the path")
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path} is empty (0 bytes); export it again")
    if size > LARGEST_BYTES:
        raise DataError(f"{path} has {size / 1e9:.1f} GB; up to {LARGEST_BYTES / 1e9:.0f} GB are read. Export in parts")
    looks = guess_format(path)
    if looks is not None and looks != wanted:
        raise DataError(f"{path} is no {wanted} file, it looks like {looks}; pass --format {looks}")


def read_json(path: Path, wanted: str) -> Any:
    """The contents of a JSON file.

    Raises:
        DataError: As in `check_file`, or it is no whole JSON.
    """
    check_file(path, wanted)
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no whole JSON ({error}); export it again") from error


def check_size(height: Any, width: Any) -> tuple[int, int]:
    """Height and width as a file has them.

    Raises:
        DataError: They are no whole numbers from 1.
    """
    try:
        size_hw = int(height), int(width)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"its size is {width!r} by {height!r}; export the file again") from error
    if min(size_hw) < 1:
        raise DataError(f"its size is {size_hw[1]}x{size_hw[0]}; export the file again")
    return size_hw


def as_points(numbers: Any) -> Ring:
    """Points, shape (N, 2), of x and y in turn or of pairs.

    Raises:
        DataError: They are no numbers, or x and y do not come in pairs.
    """
    try:
        values = np.asarray(numbers, np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"an outline's points are no numbers ({str(numbers)[:40]}…); export the file again") from error
    if values.size % 2 or (values.ndim == 2 and values.shape[1] != 2) or values.ndim > 2:
        raise DataError(f"an outline has {values.size} numbers, which are no pairs of x and y; export the file again")
    return np.asarray(values.reshape(-1, 2), np.float64)
