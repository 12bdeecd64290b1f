import numpy as np
import pytest
from tests.measure.drawn import bar, stroke, unit

from fissura.measure.graph import TraceOptions, trace_cracks

HW = (240, 240)
MIDDLE = np.array([120.3, 119.6])


def gapped(gap, degrees=25.0, width=4):
    along = unit(degrees)
    near, far = MIDDLE - 90 * along, MIDDLE + 90 * along
    return stroke(near, MIDDLE - gap / 2 * along, width, HW) | stroke(MIDDLE + gap / 2 * along, far, width, HW)


def bridges(graph):
    return [branch for branch in graph.branches if branch.bridged]


@pytest.mark.parametrize("degrees", [0, 25, 45, 80, 130])
@pytest.mark.parametrize("width", [2, 4, 12])
def test_gap_is_bridged_and_the_whole_keeps_its_length(width, degrees):
    graph = trace_cracks(gapped(8, degrees, width))
    (bridge,) = bridges(graph)
    assert bridge.length_px == pytest.approx(8, abs=1.7)
    assert graph.length_px == pytest.approx(180, abs=1.8)
    assert {branch.crack_id for branch in graph.branches} == {0}
    assert sorted(graph.degree()) == [1, 1, 2, 2]
    assert bridge.mask_width_px == pytest.approx(width, abs=0.6)


def test_without_probability_only_a_short_gap():
    assert bridges(trace_cracks(gapped(8)))
    far = trace_cracks(gapped(16))
    assert not bridges(far)
    assert {branch.crack_id for branch in far.branches} == {0, 1}


@pytest.mark.parametrize("level, bridged", [(0.1, False), (0.3, True)])
def test_probability_decides(level, bridged):
    probability = np.where(gapped(20), 0.9, 0.0).astype(np.float32)
    probability[bar(180, 4, 25) & ~gapped(20)] = level
    graph = trace_cracks(gapped(20), probability=probability)
    assert len(bridges(graph)) == bridged
    if bridged:
        assert bridges(graph)[0].probability[5:-5] == pytest.approx(level, abs=0.02)


def test_beyond_the_longest_gap_probability_does_not_help():
    assert not bridges(trace_cracks(gapped(40), probability=np.ones(HW, np.float32)))


@pytest.mark.parametrize("turn, bridged", [(0, True), (20, True), (80, False)])
def test_directions_must_agree(turn, bridged):
    mask = stroke((120, 20), (120, 110), 4, HW) | stroke(
        np.array([120, 118.0]), np.array([120, 118.0]) + 90 * unit(turn), 4, HW
    )
    assert bool(bridges(trace_cracks(mask))) == bridged


def test_parallel_cracks_are_not_joined():
    mask = stroke((116, 20), (116, 120), 3, HW) | stroke((124, 122), (124, 220), 3, HW)
    assert not bridges(trace_cracks(mask))


def test_speck_does_not_bridge_a_gap_longer_than_itself():
    mask = stroke((120, 20), (120, 110), 4, HW) | stroke((120, 118.5), (120, 122.5), 4, HW)
    assert not bridges(trace_cracks(mask))


def test_every_end_has_one_bridge():
    mask = stroke((120, 20), (120, 110), 3, HW)
    mask |= stroke((119, 118), (100, 220), 3, HW) | stroke((123, 117), (140, 220), 3, HW)
    graph = trace_cracks(mask)
    assert len(bridges(graph)) == 1
    assert graph.degree().max() == 2


def test_gaps_stay_open_if_wanted():
    assert not bridges(trace_cracks(gapped(4), options=TraceOptions(max_gap_px=0, max_blind_gap_px=0)))


def test_many_ends_do_not_take_long():
    """A field of 2,500 dashes: all pairs would be twelve million."""
    mask = np.zeros((1000, 1000), bool)
    for row in range(10, 1000, 20):
        for column in range(2, 1000, 20):
            mask[row, column : column + 14] = True
    graph = trace_cracks(mask)
    assert len(bridges(graph)) == 50 * 49
    assert {branch.crack_id for branch in graph.branches} == set(range(50))
