"""Directions where roads meet, told by what speaks for each of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import cv2
import numpy as np
import pytest

from fissura.road.direction import direction_at, orientation_field
from fissura.road.junction import EVIDENCE, cell_side, decide, junction_directions
from fissura.road.votes import DIRECTIONS, Band, carry_on, count_votes

HW = (270, 480)
MIDDLE = np.array([[134.5, 239.5]])
MEETING = np.ones((68, 120), np.float32)


def band(degrees: float, half: float = 30.0) -> np.ndarray:
    """A road through the middle."""
    y, x = np.mgrid[: HW[0], : HW[1]].astype(np.float64)
    angle = np.radians(degrees)
    return np.abs((x - 239.5) * np.sin(angle) + (y - 134.5) * np.cos(angle)) <= half


def rounded(mask: np.ndarray, radius: int = 25) -> np.ndarray:
    """Corners of the land rounded, as kerbs are."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    closed = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_CLOSE, disc, borderType=cv2.BORDER_REPLICATE)
    return closed > 0


def off(angle: float, true: float) -> float:
    return float(abs((angle - true + 90) % 180 - 90))


@pytest.mark.parametrize("turn", [0.0, 17.0, 40.0, 62.0, 95.0, 131.0])
@pytest.mark.parametrize("between", [60.0, 90.0])
def test_at_a_crossing_it_is_the_direction_of_one_of_the_roads_and_on_each_arm_its_own(
    turn: float, between: float
) -> None:
    mask = rounded(band(turn) | band(turn + between))
    said = np.zeros((*HW, 2), np.float32)  # by the network that sees the whole frame: on each road its own
    for true in (turn, turn + between):
        said[band(true)] = 0.9 * np.array([np.cos(np.radians(2 * true)), np.sin(np.radians(2 * true))])
    way = cv2.resize(said, MEETING.shape[::-1], interpolation=cv2.INTER_AREA)
    field = orientation_field(mask, way=way, meeting=MEETING)
    assert min(off(direction_at(field, HW, MIDDLE)[0], turn + k) for k in (0.0, between)) < 3.0
    for true in (turn, turn + between):
        for side in (-1, 1):
            step = 100 * side * np.array([-np.sin(np.radians(true)), np.cos(np.radians(true))])
            assert off(direction_at(field, HW, MIDDLE + step)[0], true) < 3.0


def test_lines_tell_where_the_frame_shows_nothing_but_road() -> None:
    y, x = np.mgrid[: HW[0], : HW[1]].astype(np.float64)
    angle = np.radians(37.0)
    light = 4.0 + 0.5 * (np.abs((x * np.sin(angle) + y * np.cos(angle)) % 80 - 40) < 2)
    field = orientation_field(np.ones(HW, np.bool_), light.astype(np.float32), meeting=MEETING)
    assert off(direction_at(field, HW, MIDDLE)[0], 37.0) < 2.0


def test_without_edges_and_lines_it_is_what_the_network_says() -> None:
    for true in (10.0, 55.0, 150.0):
        double = np.radians(2 * true)
        way = np.full((68, 120, 2), 0.95 * np.array([np.cos(double), np.sin(double)]), np.float32)
        field = orientation_field(np.ones(HW, np.bool_), way=way, meeting=MEETING)
        assert off(direction_at(field, HW, MIDDLE)[0], true) < 3.0


def test_all_directions_are_treated_alike() -> None:
    evidence = np.random.default_rng(1).random((50, EVIDENCE, DIRECTIONS), np.float32)
    as_seen = decide(evidence)
    for turn in (1, 7, 20):
        turned = decide(np.roll(evidence, turn, axis=2))
        angle = np.arctan2(turned[:, 1], turned[:, 0]) - np.arctan2(as_seen[:, 1], as_seen[:, 0])
        expected = 2 * np.pi * turn / DIRECTIONS
        assert np.abs((angle - expected + np.pi) % (2 * np.pi) - np.pi).max() < 1e-3


def test_off_the_road_there_is_none_and_threads_do_not_mix() -> None:
    empty = np.zeros(HW, np.float32)
    mask = band(20.0)
    told = (empty, empty, empty), None, mask, 60.0, None, MEETING
    directions = junction_directions(*told)
    side = cell_side(HW)
    paved = cv2.resize(mask.astype(np.float32), directions.shape[1::-1], interpolation=cv2.INTER_AREA) > 0
    assert directions.shape == (-(-HW[0] // side), -(-HW[1] // side), 2)
    assert not directions[~paved].any()
    assert np.allclose(np.linalg.norm(directions[paved], axis=1), 1.0, atol=1e-5)
    with ThreadPoolExecutor(4) as pool:
        for one in pool.map(lambda _: junction_directions(*told), range(12)):
            assert np.array_equal(one, directions)
    assert not junction_directions(*told[:2], np.zeros(HW, np.bool_), *told[3:]).any()


@pytest.mark.parametrize("hw", [(1, 1), (2, 3), (9, 9), (1, 50), (100, 400), (5, 400)])
def test_masks_of_any_size(hw: tuple[int, int]) -> None:
    way = np.full((1, 1, 2), (np.cos(np.radians(60.0)), np.sin(np.radians(60.0))), np.float32)
    field = orientation_field(np.ones(hw, np.bool_), way=way, meeting=np.ones((1, 1), np.float32))
    angle = direction_at(field, hw, np.array([[0.0, 0.0], [hw[0] - 1.0, hw[1] - 1.0]]))
    assert np.isfinite(angle).all()


def test_votes_are_shared_between_neighbouring_directions_and_all_are_counted() -> None:
    strength = np.full((30, 50), 0.5, np.float32)
    strength[:10] = 0.01  # too faint
    double = np.float32(np.radians(2 * 12.0))  # a fifth and four fifths between 10 and 15 degrees
    votes = count_votes((np.cos(double) * strength, np.sin(double) * strength, strength), 10)
    assert votes.shape == (DIRECTIONS, 3, 5)
    assert not votes[:, 0].any()
    assert np.allclose(votes[2, 1:], 0.6 * 50, rtol=1e-3) and np.allclose(votes[3, 1:], 0.4 * 50, rtol=1e-3)
    assert votes.sum() == pytest.approx(0.5 * 20 * 50, rel=1e-4)


def test_a_band_reaches_along_its_direction_only() -> None:
    spot = np.zeros((41, 41), np.float32)
    spot[20, 20] = 1.0
    (across,) = carry_on(spot, 0, [Band(21.0, 3.0)])
    (upwards,) = carry_on(spot, DIRECTIONS // 2, [Band(21.0, 3.0)])
    for mean, reached in ((across, (20, 28)), (upwards, (28, 20))):
        assert mean.sum() == pytest.approx(1.0, abs=0.02)
        assert mean[reached] == pytest.approx(1 / 63, rel=0.1)
        assert mean[reached[::-1]] == 0.0


def test_the_file_is_small() -> None:
    assert len((files("fissura.road") / "junction.onnx").read_bytes()) < 100_000
