import numpy as np
import pytest
import shapely

from fissura.errors import GeometryError
from fissura.measure.simplify import simplify_line


@pytest.mark.parametrize("tolerance", [0.2, 0.5, 2.0])
def test_nothing_left_out_is_further_than_the_tolerance(tolerance):
    x = np.arange(300.0)
    points = np.stack([20 * np.sin(x / 25), x], axis=1)
    simple = simplify_line(points, tolerance)
    assert np.array_equal(simple[[0, -1]], points[[0, -1]])
    assert len(simple) < 100
    line = shapely.linestrings(simple)
    assert max(line.distance(shapely.points(points))) <= tolerance + 1e-9


def test_loop_stays_closed():
    angle = np.linspace(0, 2 * np.pi, 200)
    simple = simplify_line(50 * np.stack([np.sin(angle), np.cos(angle)], axis=1), 1.0)
    assert np.allclose(simple[0], simple[-1])
    assert 6 < len(simple) < 30


@pytest.mark.parametrize(
    "points, tolerance", [(np.zeros((1, 2)), 1.0), (np.zeros((4, 3)), 1.0), (np.zeros((4, 2)), -1)]
)
def test_wrong_input(points, tolerance):
    with pytest.raises(GeometryError):
        simplify_line(points, tolerance)
