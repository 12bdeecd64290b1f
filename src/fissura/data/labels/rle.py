"""Run lengths of masks: COCO's, by columns, as numbers or as text, and CVAT's, by rows within a box.

Runs alternate between background and crack and begin with background, so the first may be 0. The text form is that of
the public COCO tools: from the fourth run on, the difference to the run before the last is written, in groups of five
bits, the lowest first, each as a character from 48 on; 32 is added while more follow, 16 in the last is the sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from fissura.errors import DataError
from fissura.types import BoolMask

Order = Literal["columns", "rows"]

MOST_PIXELS = 150_000_000
"""Of a mask: no labelling tool opens larger pictures, and a damaged file may say anything."""


def encode_runs(mask: BoolMask, order: Order) -> list[int]:
    """Run lengths of a mask, shape (H, W); their sum is H times W.

    >>> encode_runs(np.array([[True, False], [True, True]]), "columns")
    [0, 2, 1, 1]
    """
    flat = mask.ravel(order="F" if order == "columns" else "C").astype(np.int8)
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def decode_runs(runs: Sequence[int], size_hw: tuple[int, int], order: Order) -> BoolMask:
    """The mask of run lengths.

    Args:
        runs: Lengths, beginning with background.
        size_hw: Height and width.
        order: Along columns (COCO) or along rows (CVAT).
    Raises:
        DataError: A length is no number or negative, or they do not add up to the size.
    """
    height, width = size_hw
    if min(size_hw) < 0 or height * width > MOST_PIXELS:
        raise DataError(
            f"a mask of {width}x{height} pixels is no mask; up to {MOST_PIXELS // 1_000_000} million are read"
        )
    try:
        lengths = np.asarray(runs, np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"the run lengths are no whole numbers ({error}); export the file again") from error
    if lengths.ndim != 1 or (lengths < 0).any():
        raise DataError("the run lengths hold a negative number; the file is damaged, export it again")
    total = int(lengths.sum())
    if total != height * width:
        raise DataError(
            f"the run lengths cover {total} pixels but the mask is {width}x{height} = {height * width}; "
            "the size in the file is wrong, or the file is damaged"
        )
    values = np.zeros(len(lengths), np.bool_)
    values[1::2] = True
    flat = np.repeat(values, lengths)
    return np.ascontiguousarray(flat.reshape(size_hw, order="F" if order == "columns" else "C"))


def runs_to_text(runs: Sequence[int]) -> str:
    """COCO's text form of run lengths.

    >>> runs_to_text([0, 2, 1, 1])
    '021O'
    """
    out = []
    for index, run in enumerate(runs):
        value = int(run) - (int(runs[index - 2]) if index > 2 else 0)
        while True:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            out.append(chr(group + (32 if more else 0) + 48))
            if not more:
                break
    return "".join(out)


def text_to_runs(text: str) -> list[int]:
    """Run lengths from COCO's text form.

    Raises:
        DataError: A character is out of range, or the text ends within a number.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise DataError("the text of run lengths (RLE) is damaged; export it again, or as polygons")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise DataError("the text of run lengths (RLE) ends too early; export it again, or as polygons")
    return runs


def box_of(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Left, top, width and height of the crack pixels; None if there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1
