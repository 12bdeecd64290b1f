import numpy as np
import pytest
from scipy import ndimage
from tests.measure.drawn import bar, ring

from fissura.measure.pixelgraph import build_pixel_graph
from fissura.measure.thinning import fill_small_holes, skeleton_mask, thin

EIGHT = np.ones((3, 3))


def blobs(seed, sigma):
    rng = np.random.default_rng(seed)
    noise = rng.random((40, 50))
    return ndimage.gaussian_filter(noise, sigma) > 0.5 if sigma else noise > 0.5


def holes(mask):
    return ndimage.label(np.pad(~mask, 1, constant_values=True))[1]


@pytest.mark.parametrize("sigma", [0, 0.7, 1.5, 3])
@pytest.mark.parametrize("seed", range(8))
def test_components_and_holes_stay(seed, sigma):
    mask = blobs(seed, sigma)
    skeleton = skeleton_mask(mask)
    assert not (skeleton & ~mask).any()
    assert ndimage.label(skeleton, EIGHT)[1] == ndimage.label(mask, EIGHT)[1]
    assert holes(skeleton) == holes(mask)


@pytest.mark.parametrize("seed", range(4))
def test_skeleton_cannot_be_thinned_further(seed):
    skeleton = skeleton_mask(blobs(seed, 1.5))
    assert np.array_equal(skeleton_mask(skeleton), skeleton)
    full_square = ndimage.minimum_filter(skeleton.astype(int), size=(2, 2))
    assert full_square.mean() < 0.006  # Some junctions need one.


def test_bar_becomes_its_middle_line():
    mask = np.zeros((30, 80), bool)
    mask[10:17, 5:75] = True
    skeleton = skeleton_mask(mask)
    middle = skeleton[:, 15:65]
    assert middle[13].all()
    assert middle.sum() == 50


@pytest.mark.parametrize("max_px, stay", [(0, 3), (1, 2), (4, 1), (9, 0)])
def test_only_holes_up_to_the_size_are_filled(max_px, stay):
    mask = np.zeros((30, 40), np.uint8)
    mask[3:27, 3:37] = 1
    mask[6, 6] = 0
    mask[12:14, 12:14] = 0
    mask[20:23, 20:23] = 0
    fill_small_holes(mask, max_px)
    assert holes(mask > 0) == stay + 1


def test_bay_is_no_hole():
    mask = np.ones((12, 12), np.uint8)
    mask[5, 8:] = 0
    before = mask.copy()
    fill_small_holes(mask, 100)
    assert np.array_equal(mask, before)


def graph_of(mask):
    padded = np.pad(mask.astype(np.uint8), 1)
    skeleton = thin(padded, np.flatnonzero(padded))
    return build_pixel_graph(skeleton, padded.shape[1], padded.astype(np.float32)), skeleton


def test_every_skeleton_pixel_is_in_the_graph_once():
    graph, skeleton = graph_of(blobs(3, 1.5))
    assert len(np.unique(graph.path)) == len(graph.path)
    assert np.isin(graph.path, skeleton).all()
    # The rest are the nodes' pixels: at least one each, except a ring's node, which lies on its path.
    assert len(skeleton) - len(graph.path) >= len(graph.node_rc) - graph.ring.sum()


def test_paths_are_walked_in_order():
    graph, _ = graph_of(blobs(5, 1.5) | ring(15, 2, (40, 50), (20, 25)))
    rows, columns = np.divmod(graph.path, 52)
    step = np.maximum(np.abs(np.diff(rows)), np.abs(np.diff(columns)))
    within = np.diff(graph.path_number()) == 0
    step = step[within]
    assert len(step) > 50
    assert (step == 1).all()


def test_ring_is_one_path_without_ends():
    graph, skeleton = graph_of(ring(60, 5))
    assert graph.ring.tolist() == [True]
    assert len(graph.path) == len(skeleton)


def test_straight_line_has_two_ends():
    graph, _ = graph_of(bar(100, 1.5, 90))
    assert graph.degree().tolist() == [1, 1]
