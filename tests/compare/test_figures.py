"""The figures of drawn sets are those of `fissura.metrics`, and the intervals behave."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from fissura.compare.bootstrap import Estimate, draw_sets, estimate
from fissura.compare.counts import ImageCounts
from fissura.compare.figures import FIGURES, compute
from fissura.errors import DataError
from fissura.metrics import SetScore


def scored(images: list[tuple[np.ndarray, np.ndarray]]) -> list[SetScore]:
    scores = []
    for index, (probability, truth) in enumerate(images):
        score = SetScore(instances=True, boundary_every=10)
        score.add(probability, truth, name=f"p{index}")
        scores.append(score)
    return scores


def noisy_lines(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        truth = np.zeros((40, 50), bool)
        for row in rng.choice(np.arange(2, 38, 6), 3, replace=False):
            truth[row : row + 2, 5:45] = True
        shift = np.roll(truth, int(rng.integers(0, 2)), axis=0)
        probability = np.clip(shift * rng.uniform(0.4, 0.9) + rng.random(truth.shape) * 0.35, 0, 1)
        images.append((probability.astype(np.float32), truth))
    images[1] = (images[1][0], np.zeros((40, 50), bool))
    return images


def test_every_figure_is_the_one_of_the_metrics():
    scores = scored(noisy_lines(5))
    found = compute(ImageCounts.of(scores, {}), np.ones((1, 5)))
    pooled = scores[0]
    for score in scores[1:]:
        pooled = pooled + score
    expected = pooled.figures()
    for name in FIGURES:
        assert 0 < found[name][0] < 1, name
        assert found[name][0] == pytest.approx(expected[name]), name


def test_background_that_nobody_predicts_has_a_precision_of_zero():
    truth = np.zeros((40, 50), bool)
    truth[10:20] = True
    scores = scored([(np.ones((40, 50), np.float32), truth)])
    found = compute(ImageCounts.of(scores, {}), np.ones((1, 1)))
    assert found["macro-P"][0] == pytest.approx(scores[0].figures()["macro-P"]) == pytest.approx(0.125)


def test_a_weight_of_two_is_the_image_twice():
    images = noisy_lines(4)
    weighted = compute(ImageCounts.of(scored(images), {}), np.array([[2.0, 0.0, 1.0, 0.0]]))
    repeated = compute(ImageCounts.of(scored([images[0], images[0], images[2]]), {}), np.ones((1, 3)))
    for name in FIGURES:
        assert weighted[name][0] == pytest.approx(repeated[name][0]), name


def test_a_set_without_crack_has_no_figures():
    found = compute(ImageCounts.of(scored(noisy_lines(3)), {}), np.array([[0.0, 1.0, 0.0]]))
    assert all(math.isnan(values[0]) for values in found.values())


def test_counts_survive_the_disk_and_a_cut_file_is_an_error(tmp_path: Path):
    counts = ImageCounts.of(scored(noisy_lines(3)), {"p9": "is no picture"})
    counts.write(tmp_path / "a.npz")
    again = ImageCounts.read(tmp_path / "a.npz")
    weight = np.ones((1, 3))
    assert compute(again, weight).keys() == FIGURES.keys()
    assert all(compute(again, weight)[name] == compute(counts, weight)[name] for name in FIGURES)
    assert again.left_out.tolist() == [["p9", "is no picture"]]
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"a\.npz cannot be read"):
        ImageCounts.read(tmp_path / "a.npz")


def test_taking_images_keeps_what_belongs_to_them():
    images = noisy_lines(4)
    part = ImageCounts.of(scored(images), {}).take(["p3", "p0"])
    direct = ImageCounts.of(scored([images[3], images[0]]), {})
    weight = np.array([[1.0, 1.0], [1.0, 0.0]])
    for name, values in compute(part, weight).items():
        np.testing.assert_allclose(values, compute(direct, weight)[name])


def test_drawn_sets_are_the_same_every_time_and_as_large_as_the_test():
    sets = draw_sets(7, 30)
    assert sets.shape == (31, 7)
    assert (sets[0] == 1).all()
    assert (sets.sum(axis=1) == 7).all()
    assert (sets == draw_sets(7, 30)).all()


def test_interval_of_a_mean_is_about_two_standard_errors():
    values = np.random.default_rng(0).normal(5, 2, 400)
    weight = draw_sets(400, 2000)
    e = estimate(weight @ values / 400)
    assert e.value == pytest.approx(values.mean())
    assert (e.high - e.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_an_interval_says_whether_it_excludes_zero():
    assert Estimate(0.2, 0.1, 0.3).excludes_zero
    assert not Estimate(0.2, -0.1, 0.3).excludes_zero
    assert not Estimate(math.nan, math.nan, math.nan).excludes_zero
