"""The sheet of worst cases: which, how many of each set, and what is seen on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fissura.data import Pair
from fissura.metrics import EvaluatedImage, SetScore
from fissura.metrics.worst import FALSE_RGB, HIT_RGB, MISSED_RGB, PANEL_PX, WorstCases


def item(name: str, *, found: int, true: int, false: int = 0, size_hw: tuple[int, int] = (40, 60)) -> EvaluatedImage:
    """``found`` of ``true`` crack pixels in row 5 are found, and ``false`` in row 20 do not exist."""
    probability, truth = np.zeros(size_hw, np.float32), np.zeros(size_hw, bool)
    truth[5, :true] = True
    probability[5, :found] = 0.9
    probability[20, :false] = 0.9
    score = SetScore().add(probability, truth, name=name)
    rgb = np.full((*size_hw, 3), 90, np.uint8)
    return EvaluatedImage(Pair(name, Path("i"), Path("m")), rgb, truth, probability, score)


def captions(worst: WorstCases) -> list[str]:
    return [case.caption for case in worst._chosen()]


def colours(sheet: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(int(value) for value in pixel) for pixel in np.unique(sheet.reshape(-1, 3), axis=0)}


def test_the_lowest_f1_comes_first_and_the_good_ones_are_left_out():
    worst = WorstCases(sets=1, places=2)
    for name, found in (("good", 10), ("bad", 1), ("fair", 5)):
        worst.add("set", item(name, found=found, true=10), 0.5)
    assert captions(worst) == ["set  bad  F1 0.182", "set  fair  F1 0.667"]


def test_sets_are_equally_represented():
    worst = WorstCases(sets=2, places=4)
    for index in range(5):
        worst.add("poor", item(f"p{index}", found=0, true=10), 0.5)
        worst.add("fine", item(f"f{index}", found=9, true=10), 0.5)
    assert [caption.split()[0] for caption in captions(worst)] == ["poor", "poor", "fine", "fine"]


def test_images_without_crack_rank_by_predicted_pixels_and_share_the_places():
    worst = WorstCases(sets=1, places=4)
    for index, false in enumerate((0, 7, 30, 12)):
        worst.add("set", item(f"n{index}", found=0, true=0, false=false), 0.5)
    assert captions(worst)[0] == "set  n2  no crack, 30 px predicted"
    assert len(worst) == 3  # the one without a predicted pixel is right
    for index in range(4):
        worst.add("set", item(f"c{index}", found=index, true=10), 0.5)
    assert [caption.split()[1] for caption in captions(worst)] == ["c0", "c1", "n2", "n3"]


def test_more_sets_than_places_still_get_one_each():
    worst = WorstCases(sets=3, places=2)
    for name in "abc":
        worst.add(name, item("x", found=1, true=10), 0.5)
    assert len(worst) == 3


def test_the_sheet_shows_hits_misses_and_false_alarms():
    worst = WorstCases(sets=1, places=1)
    worst.add("set", item("x", found=4, true=10, false=6), 0.5)
    sheet = worst.draw("model")
    assert sheet.dtype == np.uint8
    assert {HIT_RGB, MISSED_RGB, FALSE_RGB} <= colours(sheet[34:])  # below the legend


def test_a_hairline_survives_the_reduction():
    worst = WorstCases(sets=1, places=1)
    worst.add("set", item("x", found=0, true=3000, size_hw=(2000, 3000)), 0.5)
    sheet = worst.draw("model")
    missed = np.all(sheet[34:] == MISSED_RGB, axis=-1)
    assert missed.sum() == PANEL_PX  # one unbroken line across the panel


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 40_000), (40_000, 3)])
def test_extreme_sizes_are_drawn(size_hw: tuple[int, int]):
    probability, truth = np.zeros(size_hw, np.float32), np.ones(size_hw, bool)
    score = SetScore().add(probability, truth)
    rgb = np.zeros((*size_hw, 3), np.uint8)
    worst = WorstCases(sets=1)
    worst.add("set", EvaluatedImage(Pair("x", Path("i"), Path("m")), rgb, truth, probability, score), 0.5)
    assert worst.draw("model").shape[2] == 3


def test_a_long_name_keeps_its_end():
    worst = WorstCases(sets=1, places=1)
    worst.add("folder/" * 60, item("stem-überlang", found=1, true=10), 0.5)
    assert worst.draw("model").shape[1] < 3000
