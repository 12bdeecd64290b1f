from __future__ import annotations

import cv2
import numpy as np
import pytest

from fissura.errors import GeometryError, OutputError
from fissura.report.histogram import plan_width_classes, write_width_histogram


def test_classes_hold_the_length_exactly():
    classes = plan_width_classes([0.4, 1.0, 1.9, 2.0], [10, 20, 30, 40], [True, False, True, False])
    assert classes.edges[0] == 0 and classes.edges[-1] > 2.0
    assert classes.length.sum() == 100 and classes.below_gsd.sum() == 40 and not classes.open_end
    start = dict(zip(classes.edges[:-1], classes.length, strict=True))
    assert start[1.0] == 20 and start[2.0] == 40  # a width on a limit belongs to the wider class


def test_one_wide_spot_does_not_squeeze_the_rest():
    widths, lengths = np.append(np.linspace(0.5, 5, 100), 500.0), np.append(np.full(100, 10.0), 1.0)
    classes = plan_width_classes(widths, lengths)
    assert classes.open_end and classes.edges[-1] < 7 and classes.length.sum() == lengths.sum()


def test_doubled_widths_double_the_edges():
    rng = np.random.default_rng(0)
    widths, lengths = rng.gamma(2, 1, 200), rng.uniform(1, 9, 200)
    one, ten = plan_width_classes(widths, lengths), plan_width_classes(10 * widths, lengths)
    assert np.allclose(10 * one.edges, ten.edges) and np.allclose(one.length, ten.length)


@pytest.mark.parametrize(("widths", "lengths"), [([], []), ([1.0], [0.0]), ([np.nan], [5.0])])
def test_nothing_to_show(widths, lengths, tmp_path):
    assert plan_width_classes(widths, lengths) is None
    write_width_histogram(tmp_path / "w.png", widths, lengths, unit="mm")
    picture = cv2.imread(str(tmp_path / "w.png"))
    assert picture.shape == (720, 1200, 3) and (picture < 200).any()


@pytest.mark.parametrize("unit", ["mm", "px"])
@pytest.mark.parametrize("count", [1, 2, 300])
def test_pictures(unit, count, tmp_path, recwarn):
    rng = np.random.default_rng(count)
    widths = rng.gamma(2, 1.5, count)
    write_width_histogram(
        tmp_path / "w.png", widths, rng.uniform(1, 900, count), unit=unit, title="Überführung, 3 pictures",
        thresholds={"low": 0.5, "moderate": 3.0, "high": 6.0, "far": 1e6, "none": 0.0}, below_gsd=widths < 1,
    )  # fmt: skip
    assert cv2.imread(str(tmp_path / "w.png")).shape == (720, 1200, 3)
    assert [str(warning.message) for warning in recwarn] == []


def test_same_data_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        write_width_histogram(tmp_path / name, [1.0, 2.0], [3.0, 4.0], unit="mm")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_wrong_input(tmp_path):
    with pytest.raises(GeometryError, match="2 widths"):
        plan_width_classes([1, 2], [1])
    with pytest.raises(GeometryError, match="0 or more"):
        plan_width_classes([-1.0], [1])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_width_histogram(tmp_path / "file" / "w.png", [1.0], [1.0], unit="mm")
