"""What a mask loses on the way through an annotation format and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.morphology import skeletonize

from fissura.types import BoolMask


@dataclass(frozen=True)
class Loss:
    """Differences between masks and what is read back; `+` adds up pictures.

    Attributes:
        crack_px: Crack pixels of the masks.
        lost_px: Of them, those that are not read back.
        added_px: Pixels that come back as crack and were none.
        centreline_px: Length of the masks' centrelines, steps of 1 and of √2.
        centreline_lost_px: Of it, what has no crack on it any more.
        changed: Pictures that do not come back exactly.
        pictures: Pictures compared.
    """

    crack_px: int = 0
    lost_px: int = 0
    added_px: int = 0
    centreline_px: float = 0.0
    centreline_lost_px: float = 0.0
    changed: int = 0
    pictures: int = 0

    def __add__(self, other: Loss) -> Loss:
        return Loss(*(a + b for a, b in zip(self._values(), other._values(), strict=True)))  # type: ignore[arg-type]

    def _values(self) -> tuple[float, ...]:
        return (
            self.crack_px, self.lost_px, self.added_px, self.centreline_px, self.centreline_lost_px,
            self.changed, self.pictures,
        )  # fmt: skip

    def describe(self) -> str:
        """One line for people."""
        if not self.pictures:
            return "nothing was compared"
        if not self.changed:
            return f"exact: all {self.pictures} masks come back pixel by pixel ({self.crack_px} crack pixels)"
        share = 100 * self.centreline_lost_px / max(self.centreline_px, 1e-9)
        return (
            f"{self.changed} of {self.pictures} masks change: {self.lost_px} of {self.crack_px} crack pixels lost, "
            f"{self.added_px} added, {self.centreline_lost_px:.0f} of {self.centreline_px:.0f} px of centreline lost "
            f"({share:.2g} %)"
        )


def compare_masks(before: BoolMask, after: BoolMask) -> Loss:
    """Loss of one picture; both shapes (H, W)."""
    line = np.asarray(skeletonize(before), np.bool_) if before.any() else before
    lost, added = int((before & ~after).sum()), int((after & ~before).sum())
    length = line_length_px(line)
    kept = length if not lost else line_length_px(line & after)
    return Loss(int(before.sum()), lost, added, length, length - kept, int(lost + added > 0), 1)


def line_length_px(line: BoolMask) -> float:
    """Length of lines one pixel wide: 1 for each straight step, √2 for each diagonal one that no straight steps make.

    >>> line_length_px(np.eye(4, dtype=bool)) / 2**0.5
    3.0
    """
    straight = (line[:, 1:] & line[:, :-1]).sum() + (line[1:] & line[:-1]).sum()
    falling = line[1:, 1:] & line[:-1, :-1] & ~line[1:, :-1] & ~line[:-1, 1:]
    rising = line[1:, :-1] & line[:-1, 1:] & ~line[1:, 1:] & ~line[:-1, :-1]
    return float(straight) + float(falling.sum() + rising.sum()) * 2**0.5
