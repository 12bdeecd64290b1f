import numpy as np
import pytest
from tests.measure.drawn import mean_width, ring, stroke

from fissura.errors import GeometryError
from fissura.measure.graph import TraceOptions, trace_cracks
from fissura.measure.large import trace_cracks_by_tiles
from fissura.synth.cracks import coverage_map, crack_mask, grow_crack, grow_network

HW = (420, 500)


def tiled(mask, *, probability=None, tile_px=150, margin_px=80, options=None):
    def read(rows, columns):
        return mask[rows, columns], None if probability is None else probability[rows, columns]

    chosen = {} if options is None else {"options": options}
    return trace_cracks_by_tiles(read, *mask.shape, tile_px=tile_px, margin_px=margin_px, **chosen)


def assert_same(one, two):
    assert sorted(one.degree()) == sorted(two.degree())
    assert len(one.branches) == len(two.branches)
    assert one.length_px == pytest.approx(two.length_px, rel=1e-3)
    assert mean_width(one) == pytest.approx(mean_width(two), rel=2e-3)
    assert len({b.crack_id for b in one.branches}) == len({b.crack_id for b in two.branches})
    assert one.size_hw == two.size_hw


def random_cracks(seed):
    rng = np.random.default_rng(seed)
    cracks = grow_crack(rng, HW, width=rng.uniform(2, 10), step=5.0, branches=4)
    cracks += grow_network(rng, HW, width=3.0, step=5.0, cell=70)
    return crack_mask(cracks, coverage_map(cracks, HW, 1.0), 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_tiles_give_the_graph_of_the_whole(seed):
    mask = random_cracks(seed)
    assert_same(tiled(mask), trace_cracks(mask))


def test_points_near_seams_are_spaced_as_everywhere():
    graph = tiled(random_cracks(1))
    for branch in graph.branches:
        step = np.linalg.norm(np.diff(branch.points_rc, axis=0), axis=1)
        assert step.min() >= 0.4
        assert step.max() <= 2.5
        assert np.allclose(branch.points_rc[0], graph.nodes_rc[branch.nodes[0]])
        assert np.allclose(branch.points_rc[-1], graph.nodes_rc[branch.nodes[1]])


@pytest.mark.parametrize("start, stop", [((150, -9), (150, 510)), ((149.5, -9), (149.5, 510)), ((140, -9), (160, 510))])
@pytest.mark.parametrize("width", [1.5, 2, 5])
def test_crack_along_a_seam(start, stop, width):
    mask = stroke(start, stop, width, HW)
    graph = tiled(mask)
    assert len(graph.branches) == 1
    assert graph.length_px == pytest.approx(trace_cracks(mask).length_px, rel=1e-3)


def test_ring_over_four_tiles_is_a_loop():
    mask = ring(60, 5, HW, (150.2, 150.4))
    graph = tiled(mask)
    assert_same(graph, trace_cracks(mask))
    assert graph.branches[0].is_loop


def test_crossing_on_the_corner_of_four_tiles():
    mask = stroke((20, 60), (280, 240), 6, HW) | stroke((280, 60), (20, 240), 6, HW)
    assert_same(tiled(mask), trace_cracks(mask))


def test_gap_on_a_seam_is_bridged_once():
    mask = stroke((200, 20), (200, 147), 4, HW) | stroke((200, 153), (200, 400), 4, HW)
    graph = tiled(mask)
    assert_same(graph, trace_cracks(mask))
    assert [branch.bridged for branch in graph.branches].count(True) == 1


def test_probability_comes_through():
    mask = stroke((200, 20), (260, 480), 4, HW)
    probability = np.tile(np.linspace(0, 1, HW[1], dtype=np.float32), (HW[0], 1))
    (branch,) = tiled(mask, probability=probability).branches
    assert branch.probability == pytest.approx(branch.points_rc[:, 1] / (HW[1] - 1), abs=0.01)


def test_specks_are_judged_after_joining():
    mask = stroke((200, 130), (200, 170), 3, HW)
    options = TraceOptions(min_length_px=35)
    assert len(tiled(mask, options=options).branches) == 1
    assert tiled(mask, options=TraceOptions(min_length_px=50)).branches == ()


def test_empty_raster():
    graph = tiled(np.zeros(HW, bool))
    assert graph.branches == ()
    assert graph.size_hw == HW


def test_windows_stay_within_the_raster_and_below_the_tile():
    sizes = []

    def read(rows, columns):
        assert 0 <= rows.start < rows.stop <= 420
        assert 0 <= columns.start < columns.stop <= 500
        sizes.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool), None

    trace_cracks_by_tiles(read, 420, 500, tile_px=100, margin_px=20)
    assert len(sizes) == 25
    assert max(sizes) <= 140 * 140


def test_wrong_window_is_named():
    with pytest.raises(GeometryError, match="rows 0 to 180"):
        trace_cracks_by_tiles(lambda rows, columns: (np.zeros((3, 3), bool), None), 420, 500, tile_px=100, margin_px=80)


@pytest.mark.parametrize("setting", [{"tile_px": 0}, {"margin_px": -1}, {"tile_px": 40_000}])
def test_wrong_sizes_are_named(setting):
    with pytest.raises(GeometryError, match="tiles of"):
        trace_cracks_by_tiles(lambda rows, columns: (np.zeros((3, 3), bool), None), 420, 500, **setting)
