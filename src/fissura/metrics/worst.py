"""A picture sheet of the worst cases: image | truth | prediction, every set equally represented.

Only thumbnails of the worst cases so far are kept, so memory does not grow with the sets.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fissura.metrics.evaluation import EvaluatedImage
from fissura.metrics.set_score import ImageScore
from fissura.types import BoolMask, RgbImage

PANEL_PX = 256
HIT_RGB, FALSE_RGB, MISSED_RGB = (255, 255, 255), (255, 120, 0), (60, 150, 255)
"""Crack found, false alarm, crack missed: apart also for colour-blind eyes."""

_GAP, _CAPTION, _HEADER, _COLUMNS = 6, 22, 34, 2
_CELL_WIDTH = 3 * PANEL_PX + 2 * _GAP
_PAPER, _INK = (24, 24, 24), (235, 235, 235)


@dataclass(frozen=True, eq=False)
class _Case:
    caption: str
    rank: float
    panels: tuple[RgbImage, RgbImage, RgbImage]


@dataclass
class WorstCases:
    """Collects the worst images of each set.

    Images with crack rank by F1, lowest first. Images without crack rank by predicted pixels, most first,
    and count only when something is predicted. A set that has both gives half of its places to each.

    Args:
        sets: How many sets there are; places are shared evenly.
        places: Cases on the sheet, at least one a set.
    """

    sets: int
    places: int = 24
    _found: dict[str, tuple[list[_Case], list[_Case]]] = field(default_factory=dict)

    @property
    def per_set(self) -> int:
        """Places of each set."""
        return max(1, self.places // max(1, self.sets))

    def add(self, set_name: str, item: EvaluatedImage, threshold: float) -> None:
        """Consider one image; its pictures are copied small if it is among the worst of its set so far."""
        cracked, empty = self._found.setdefault(set_name, ([], []))
        if item.score.has_crack:
            kept, rank, text = cracked, item.score.f1, f"F1 {item.score.f1:.3f}"
        elif item.score.predicted_px:
            false_px = item.score.predicted_px
            kept, rank, text = empty, -float(false_px), f"no crack, {false_px} px predicted"
        else:
            return
        if len(kept) == self.per_set and rank >= kept[-1].rank:
            return
        predicted = item.probability > np.float32(threshold)
        case = _Case(f"{set_name}  {_name(item.score)}  {text}", rank, _panels(item.rgb, item.truth, predicted))
        bisect.insort(kept, case, key=lambda other: other.rank)
        del kept[self.per_set :]

    def __len__(self) -> int:
        return sum(1 for _ in self._chosen())

    def draw(self, title: str) -> RgbImage:
        """The sheet, shape (H, W, 3); cases set by set, worst first."""
        cases = list(self._chosen())
        rows = [cases[start : start + _COLUMNS] for start in range(0, len(cases), _COLUMNS)]
        heights = [max(case.panels[0].shape[0] for case in row) + _CAPTION + 2 * _GAP for row in rows]
        width = _COLUMNS * _CELL_WIDTH + (_COLUMNS + 1) * 2 * _GAP
        sheet = Image.new("RGB", (width, _HEADER + sum(heights) + _GAP), _PAPER)
        pen = ImageDraw.Draw(sheet)
        _draw_header(pen, title)
        top = _HEADER
        for row, height in zip(rows, heights, strict=True):
            for column, case in enumerate(row):
                _draw_case(sheet, pen, case, 2 * _GAP + column * (_CELL_WIDTH + 2 * _GAP), top)
            top += height
        return np.asarray(sheet)

    def _chosen(self) -> Iterator[_Case]:
        for cracked, empty in self._found.values():
            false_alarms = min(len(empty), max(self.per_set // 2, self.per_set - len(cracked)))
            yield from cracked[: self.per_set - false_alarms]
            yield from empty[:false_alarms]


def _name(score: ImageScore) -> str:
    return score.name or f"{score.width}×{score.height}"


def _panels(rgb: RgbImage, truth: BoolMask, predicted: BoolMask) -> tuple[RgbImage, RgbImage, RgbImage]:
    height, width = truth.shape
    scale = min(1.0, PANEL_PX / width, PANEL_PX / height)
    small_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = np.asarray(cv2.resize(rgb, small_wh, interpolation=cv2.INTER_AREA), np.uint8)
    label = np.zeros_like(image)
    label[_shrink(truth, small_wh)] = HIT_RGB
    # The order decides what is seen where several meet in one small pixel: errors win.
    outcome = (image // 3).astype(np.uint8)
    for mask, colour in (
        (truth & predicted, HIT_RGB), (truth & ~predicted, MISSED_RGB), (predicted & ~truth, FALSE_RGB),
    ):  # fmt: skip
        outcome[_shrink(mask, small_wh)] = colour
    return image, label, outcome


def _shrink(mask: BoolMask, size_wh: tuple[int, int]) -> BoolMask:
    """A small pixel is set when any pixel it covers is, so that hairlines survive."""
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    small: npt.NDArray[np.bool_] = np.zeros(size_wh[::-1], np.bool_)
    small[rows * size_wh[1] // height, columns * size_wh[0] // width] = True
    return small


def _draw_header(pen: ImageDraw.ImageDraw, title: str) -> None:
    font, left = ImageFont.load_default(15), float(2 * _GAP)
    pen.text((left, 8), title, _INK, font)
    left += pen.textlength(title, font) + 30
    for colour, meaning in ((HIT_RGB, "crack found"), (MISSED_RGB, "crack missed"), (FALSE_RGB, "false alarm")):
        pen.rectangle((left, 11, left + 12, 23), colour)
        pen.text((left + 18, 8), meaning, _INK, font)
        left += pen.textlength(meaning, font) + 42


def _draw_case(sheet: Image.Image, pen: ImageDraw.ImageDraw, case: _Case, left: int, top: int) -> None:
    font, caption = ImageFont.load_default(14), case.caption
    while pen.textlength(caption, font) > _CELL_WIDTH:  # the end holds the stem and the score
        caption = "..." + caption[4 if caption.startswith("...") else 1 :]
    pen.text((left, top), caption, _INK, font)
    for index, panel in enumerate(case.panels):
        sheet.paste(Image.fromarray(panel), (left + index * (PANEL_PX + _GAP), top + _CAPTION))
