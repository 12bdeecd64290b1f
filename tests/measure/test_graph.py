import numpy as np
import pytest
from tests.measure.drawn import angle_between, arc, bar, direction_deg, mean_width, ring, stroke, unit

from fissura.errors import GeometryError, SettingsError
from fissura.measure.graph import TraceOptions, trace_cracks
from fissura.synth.cracks import CrackVector, coverage_map, crack_mask, grow_crack

ANGLES = (0, 7, 22.5, 45, 61, 90, 122, 171)
HW = (240, 240)


def only(graph):
    assert len(graph.branches) == 1
    return graph.branches[0]


@pytest.mark.parametrize("degrees", ANGLES)
@pytest.mark.parametrize("width", [2, 3, 5, 10, 20, 30])
def test_bar_measures_its_length_direction_and_width(width, degrees):
    graph = trace_cracks(bar(180, width, degrees))
    branch = only(graph)
    assert graph.length_px == pytest.approx(180, abs=1.8)
    assert angle_between(direction_deg(branch), degrees) < 0.6
    # The drawn mask itself is up to one row wider or narrower at 0, 45 and 90 degrees.
    area = bar(180, width, degrees).sum() / 180
    assert branch.mask_width_px.mean() == pytest.approx(area, abs=0.15)
    assert graph.degree().tolist() == [1, 1]


@pytest.mark.parametrize("degrees", ANGLES)
@pytest.mark.parametrize("width", [0.3, 1.0, 1.5])
def test_thin_line(width, degrees):
    middle, half = np.array([120.3, 119.6]), unit(degrees) * 90
    line = CrackVector(np.array([middle - half, middle + half]), np.full(2, width))
    graph = trace_cracks(crack_mask([line], coverage_map([line], HW, 1.0), 1.0))
    branch = only(graph)
    # The mask of a line reaches up to a pixel beyond both of its ends.
    assert 179.5 < graph.length_px < 182.5
    assert angle_between(direction_deg(branch), degrees) < 0.6
    assert 0.6 < branch.mask_width_px.mean() < 2.1


@pytest.mark.parametrize("radius, width", [(10, 2), (20, 4), (40, 8), (60, 30), (100, 2), (100, 20)])
def test_ring_measures_its_circumference(radius, width):
    branch = only(trace_cracks(ring(radius, width)))
    assert branch.is_loop
    assert np.array_equal(branch.points_rc[0], branch.points_rc[-1])
    assert branch.length_px == pytest.approx(2 * np.pi * radius, rel=0.005)
    assert branch.mask_width_px.mean() == pytest.approx(width, abs=0.1)
    centre_distance = np.hypot(*(branch.points_rc - (120.3, 119.6)).T)
    assert np.abs(centre_distance - radius).max() < 0.5


@pytest.mark.parametrize("radius, width", [(40, 3), (40, 8), (100, 3), (100, 30)])
def test_arc_measures_its_length(radius, width):
    branch = only(trace_cracks(arc(radius, width, 200, 340)))
    assert branch.length_px == pytest.approx(radius * np.deg2rad(140), rel=0.01, abs=1.0)
    assert branch.mask_width_px.mean() == pytest.approx(width, abs=0.2)


def test_wave_keeps_its_length():
    x = np.linspace(-20, 260, 2000)
    wave = CrackVector(np.stack([120 + 10 * np.sin(x / 10), x], axis=1), np.full(len(x), 4.0))
    inside = (x > 0) & (x < 240)
    true = np.linalg.norm(np.diff(wave.points_rc_mm[inside], axis=0), axis=1).sum()
    graph = trace_cracks(crack_mask([wave], coverage_map([wave], HW, 1.0), 1.0))
    assert graph.length_px == pytest.approx(true, rel=0.01)


def test_points_are_evenly_spaced_and_nodes_are_their_ends():
    mask = stroke((120, 20), (120, 220), 5, HW) | stroke((120, 120), (20, 150), 3, HW) | ring(15, 2, HW, (200, 60))
    graph = trace_cracks(mask)
    assert len(graph.branches) == 4
    for branch in graph.branches:
        step = np.linalg.norm(np.diff(branch.points_rc, axis=0), axis=1)
        assert step.min() >= 0.5
        assert step.max() <= 2.0
        assert np.allclose(branch.points_rc[0], graph.nodes_rc[branch.nodes[0]])
        assert np.allclose(branch.points_rc[-1], graph.nodes_rc[branch.nodes[1]])


@pytest.mark.parametrize("degrees", [0, 20, 45])
@pytest.mark.parametrize("width", [2, 6, 16])
def test_t_junction(width, degrees):
    centre, along, across = np.array([120.3, 119.6]), unit(degrees), unit(degrees - 90)
    mask = stroke(centre - 90 * along, centre + 90 * along, width, HW)
    graph = trace_cracks(mask | stroke(centre, centre + 90 * across, max(width / 2, 2), HW))
    assert sorted(graph.degree()) == [1, 1, 1, 3]
    assert graph.length_px == pytest.approx(270, rel=0.015)
    assert len({branch.crack_id for branch in graph.branches}) == 1


@pytest.mark.parametrize("turn", [60, 90])
@pytest.mark.parametrize("width", [2, 6, 16])
def test_crossing_has_one_node_and_no_bulge(width, turn):
    centre, along, across = np.array([120.3, 119.6]), unit(20), unit(20 + turn)
    mask = stroke(centre - 90 * along, centre + 90 * along, width, HW)
    graph = trace_cracks(mask | stroke(centre - 90 * across, centre + 90 * across, width, HW))
    assert sorted(graph.degree()) == [1, 1, 1, 1, 4]
    assert graph.length_px == pytest.approx(360, rel=0.01)
    for branch in graph.branches:
        assert branch.mask_width_px.max() < 1.15 * width + 0.7


def test_ragged_wide_crack_is_one_branch():
    rng = np.random.default_rng(3)
    column = np.arange(400)
    top = 55 + 8 * np.sin(column / 60) - 15 + np.repeat(rng.integers(-3, 4, 80), 5)
    bottom = 55 + 8 * np.sin(column / 60) + 15 + np.repeat(rng.integers(-3, 4, 100), 4)
    row = np.arange(110)[:, None]
    branch = only(trace_cracks((row >= top) & (row <= bottom)))
    assert branch.length_px == pytest.approx(406, rel=0.02)
    assert branch.mask_width_px.mean() == pytest.approx(31, abs=1)


def test_comb_keeps_long_teeth_and_loses_short_ones():
    mask = stroke((120, 20), (120, 220), 7, HW)
    short, long = mask.copy(), mask.copy()
    for column in range(40, 220, 20):
        short |= stroke((120, column), (120 - 3.5 - 3, column), 2, HW)
        long |= stroke((120, column), (120 - 3.5 - 12, column), 2, HW)
    assert len(trace_cracks(short).branches) == 1
    assert len(trace_cracks(long).branches) == 9 + 10


@pytest.mark.parametrize("hole_px, loops", [(4, 0), (25, 2)])
def test_small_hole_makes_no_loop(hole_px, loops):
    mask = stroke((120, 20), (120, 220), 11, HW)
    side = round(np.sqrt(hole_px))
    mask[119 : 119 + side, 120 : 120 + side] = False
    assert len(trace_cracks(mask).branches) == 1 + (loops and 3)


def transforms(mask):
    yield "rotated", np.rot90(mask)
    yield "upside down", mask[::-1]
    yield "mirrored", mask[:, ::-1]
    yield "transposed", mask.T


@pytest.mark.parametrize("seed", range(3))
def test_rotation_and_flips_change_nothing(seed):
    rng = np.random.default_rng(seed)
    cracks = grow_crack(rng, (300, 240), width=rng.uniform(3, 9), step=6.0, branches=3)
    mask = crack_mask(cracks, coverage_map(cracks, (300, 240), 1.0), 1.0)
    graph = trace_cracks(mask)
    for name, turned in transforms(mask):
        other = trace_cracks(np.ascontiguousarray(turned))
        assert other.length_px == pytest.approx(graph.length_px, rel=0.005), name
        assert mean_width(other) == pytest.approx(mean_width(graph), rel=0.01), name


def test_crack_that_leaves_the_picture_ends_at_its_border():
    branch = only(trace_cracks(stroke((50, -50), (200, 300), 6, HW)))
    ends = branch.points_rc[[0, -1], 1]
    assert sorted(ends) == pytest.approx([-0.5, 239.5], abs=0.3)
    assert branch.mask_width_px == pytest.approx(6, abs=0.5)


def test_same_mask_same_graph():
    mask = np.random.default_rng(0).random((120, 120)) > 0.7
    a, b = trace_cracks(mask), trace_cracks(mask)
    assert len(a.branches) == len(b.branches)
    for one, two in zip(a.branches, b.branches, strict=True):
        assert np.array_equal(one.points_rc, two.points_rc)
        assert (one.nodes, one.crack_id) == (two.nodes, two.crack_id)


def test_separate_cracks_have_separate_numbers():
    graph = trace_cracks(stroke((50, 20), (50, 220), 3, HW) | stroke((150, 20), (150, 220), 3, HW))
    assert [branch.crack_id for branch in graph.branches] == [0, 1]


def test_probability_is_sampled_along_the_line():
    mask = stroke((120, 20), (120, 220), 5, HW)
    probability = np.tile(np.linspace(0, 1, 240, dtype=np.float32), (240, 1))
    branch = only(trace_cracks(mask, probability=probability))
    assert branch.probability == pytest.approx(branch.points_rc[:, 1] / 239, abs=0.01)
    assert (only(trace_cracks(mask)).probability == 1).all()


@pytest.mark.parametrize("hw", [(1, 1), (1, 50), (50, 1), (2, 2), (64, 80)])
def test_full_mask_is_no_accident(hw):
    graph = trace_cracks(np.ones(hw, bool))
    assert len(graph.branches) <= 1
    assert graph.length_px <= np.hypot(*hw) + 1


def test_empty_mask_is_an_empty_graph():
    graph = trace_cracks(np.zeros((20, 30), bool))
    assert graph.branches == ()
    assert graph.nodes_rc.shape == (0, 2)
    assert graph.size_hw == (20, 30)


def test_speck_counts_only_if_asked_for():
    mask = np.zeros((20, 20), bool)
    mask[10, 10] = True
    assert trace_cracks(mask).branches == ()
    assert only(trace_cracks(mask, options=TraceOptions(min_length_px=0))).length_px == pytest.approx(1, abs=0.1)


def test_disc_is_as_long_as_its_diameter():
    row, column = np.mgrid[:60, :60]
    branch = only(trace_cracks(np.hypot(row - 30, column - 30) <= 15))
    assert branch.length_px == pytest.approx(31, abs=1.5)


@pytest.mark.parametrize(
    "mask, probability, message",
    [
        (np.zeros(5, bool), None, r"shape \(H, W\), got \(5,\)"),
        (np.zeros((5, 5), np.uint8), None, "bool array, got uint8"),
        (np.zeros((5, 5), bool), np.zeros((5, 6), np.float32), r"\(5, 6\), but the mask \(5, 5\)"),
        (np.zeros((1, 40_000), bool), None, "trace_cracks_by_tiles"),
    ],
)
def test_wrong_input_is_named(mask, probability, message):
    with pytest.raises(GeometryError, match=message):
        trace_cracks(mask, probability=probability)


@pytest.mark.parametrize("setting", [{"spur_px": -1}, {"gap_angle_deg": 120}, {"gap_probability": float("nan")}])
def test_wrong_options_are_named(setting):
    with pytest.raises(SettingsError, match=next(iter(setting))):
        TraceOptions(**setting)
