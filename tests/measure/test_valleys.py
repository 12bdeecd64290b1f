"""Gaps between ends of a crack are closed where the picture shows it going on, and nowhere else."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from fissura.measure.graph import trace_cracks
from fissura.measure.valleys import KnownLines, bridged_chains, close_valleys

HW = (300, 1100)


def line(wander: float = 6.0) -> np.ndarray:
    """Points (x, y) of a crack across the picture, a pixel apart."""
    x = np.arange(60.0, HW[1] - 60.0)
    return np.column_stack([x, 150 + wander * np.sin(x / 70) + wander / 3 * np.sin(x / 17)])


def paint(picture: np.ndarray, points: np.ndarray, value: float, thickness: int) -> None:
    cv2.polylines(picture, [np.round(points * 16).astype(np.int32)[:, None]], False, value, thickness, cv2.LINE_AA, 4)


def road(dark: float = 45.0, first: float = 60.0, last: float = 1040.0, seed: int = 3) -> np.ndarray:
    """Noisy asphalt with the crack seen from one column to another."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(120.0, 8.0, HW).astype(np.float32)
    shade = np.zeros(HW, np.float32)
    points = line()
    paint(shade, points[(points[:, 0] >= first) & (points[:, 0] <= last)], dark, 2)
    grey = np.clip(picture - cv2.GaussianBlur(shade, (0, 0), 0.7), 0, 255).astype(np.uint8)
    return np.dstack([grey] * 3)


def found(start: float = 350.0, stop: float = 750.0):
    """What a network found: the crack with a gap in it."""
    mask = np.zeros(HW, np.uint8)
    points = line()
    for part in (points[points[:, 0] < start], points[points[:, 0] > stop]):
        paint(mask, part, 1, 3)
    return trace_cracks(mask > 0, probability=np.where(mask > 0, 0.9, 0.02).astype(np.float32))


def closed(graph, rgb):
    return close_valleys(graph, lambda rows, columns: rgb[rows, columns])


def test_a_gap_is_closed_along_the_valley():
    graph = found()
    whole = closed(graph, road())
    (bridge,) = [b for b in whole.branches if b.bridged]
    points = line()
    off = np.abs(bridge.points_rc[:, 0] - np.interp(bridge.points_rc[:, 1], points[:, 0], points[:, 1]))
    assert off.max() < 2.0 and off.mean() < 0.7
    assert len({b.crack_id for b in whole.branches}) == 1
    assert bridge.probability == pytest.approx(0.9, abs=0.05)
    assert sorted(whole.degree()) == [1, 1, 2, 2]


@pytest.mark.parametrize(("dark", "first", "last"), [
    (0.0, 60, 1040),  # nothing there
    (8.0, 60, 1040),  # too faint to be told from the noise
    (45.0, 60, 560),  # the crack ends in the gap
])  # fmt: skip
def test_a_gap_without_a_valley_stays(dark, first, last):
    graph, rgb = found(), road(dark, first, last)
    if dark < 45:  # the found parts are seen, the gap is not
        shown = road(45.0)
        rgb[:, :350], rgb[:, 750:] = shown[:, :350], shown[:, 750:]
    if last < 1040:
        rgb[:, 750:] = road()[:, 750:]
    assert closed(graph, rgb) is graph


def test_the_edge_of_a_marking_is_no_valley():
    rgb = road(0.0)
    rgb[140:] = np.minimum(rgb[140:].astype(int) + 90, 255).astype(np.uint8)
    shown = road(45.0)
    rgb[:, :350], rgb[:, 750:] = shown[:, :350], shown[:, 750:]
    graph = found()
    assert closed(graph, rgb) is graph


def test_where_another_crack_crosses_the_valley_it_is_followed_through():
    rgb = road()
    rgb[:, 548:556] = 60  # a wide one
    graph = closed(found(), rgb)
    assert sum(b.bridged for b in graph.branches) == 1


def test_a_crack_that_goes_on_somewhere_else_is_no_pair():
    graph, rgb = found(), road()
    aside = np.array([120.0, 0.0])
    branches = (graph.branches[0], replace(graph.branches[1], points_rc=graph.branches[1].points_rc + aside))
    nodes = graph.nodes_rc.copy()
    nodes[list(branches[1].nodes)] += aside
    moved = replace(graph, branches=branches, nodes_rc=nodes)
    assert closed(moved, rgb) is moved


def test_without_two_long_branches_there_is_nothing_to_close():
    specks = np.zeros(HW, np.uint8)
    specks[100, 100:120] = specks[100, 200:220] = 1
    for mask in (np.zeros(HW, bool), specks > 0):
        graph = trace_cracks(mask)
        assert closed(graph, road()) is graph


def test_chains_run_through_closed_gaps_in_their_order():
    graph = closed(found(), road())
    (chain,) = bridged_chains(graph)
    pieces = [graph.branches[k].points_rc[:: 1 if ahead else -1] for k, ahead in chain]
    points = np.concatenate(pieces)
    assert len(chain) == 3
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() < 3.0
    assert bridged_chains(found()) == []


def test_what_is_known_is_few_trees_and_answers_as_one_of_each_line():
    """A large orthophoto has thousands of closures, and each is compared with all before it."""
    rng = np.random.default_rng(5)
    lines = [rng.uniform(0, 400, (1, 2)) + np.cumsum(rng.normal(0, 1, (rng.integers(5, 120), 2)), axis=0)
             for _ in range(400)]  # fmt: skip
    places = rng.uniform(0, 400, (500, 2))
    known, trees = KnownLines(lines[0]), [cKDTree(lines[0])]
    for line in lines[1:]:
        known.add(line)
        trees.append(cKDTree(line))
        assert len(known.trees) <= 14
    for reach in (0.5, 2.5, 10.0):
        one_by_one = np.any([tree.query(places, distance_upper_bound=reach)[0] <= reach for tree in trees], axis=0)
        assert np.array_equal(known.are_near(places, reach), one_by_one)
        assert 0 < one_by_one.mean() < 1
