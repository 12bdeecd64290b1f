"""ODS, OIS and AP by the protocol of the Berkeley benchmark (BSDS), as crack papers borrow it from edge detection.

Prediction and truth are thinned, then their pixels are matched one to one within a distance: a doubled line counts
as a false one, which a dilation tolerance forgives. Written from the description in Martin, Fowlkes and Malik (2004),
doi:10.1109/TPAMI.2004.1273918, and Arbelaez et al. (2011), doi:10.1109/TPAMI.2010.161.

Differences from the benchmark's program, which matches at least cost with a high price for what stays alone: here
the matching has as many pairs as possible, which is what that price is for. F is taken at the thresholds, nothing is
interpolated between them. The truth of a crack is an area, so it is thinned too.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fissura.metrics import scores
from fissura.metrics.counts import THRESHOLDS, Bins, CurveCounts, MatchCounts, centreline
from fissura.types import BoolMask, FloatArray

MATCH_DISTANCE = 0.0075
"""Largest distance of a match, as a share of the image's diagonal."""


def boundary_indices(every: int) -> npt.NDArray[np.int64]:
    """Which of the 99 `THRESHOLDS` are looked at: every n-th. 10 gives 0.1, 0.2 .. 0.9.

    >>> (boundary_indices(10) + 1).tolist()
    [10, 20, 30, 40, 50, 60, 70, 80, 90]
    """
    return np.arange(every - 1, len(THRESHOLDS), every)


def count_boundaries(bins: Bins, truth: BoolMask, every: int) -> CurveCounts:
    """One-to-one matches of the thinned prediction with the thinned truth.

    Args:
        bins: From `bin_probability`, shape (H, W).
        truth: Shape (H, W).
        every: Look at every n-th threshold, see `boundary_indices`: each is thinned and matched anew, in tens
            of milliseconds for 512×384.
    Returns:
        Counts at those thresholds; ``predicted_hit`` and ``truth_hit`` are equal.
    """
    distance = MATCH_DISTANCE * math.hypot(*truth.shape)
    points = np.argwhere(_thinned(truth)).astype(np.float64)
    predicted, hit = [], []
    before, counted = -1, (0, 0)
    for index in boundary_indices(every):
        mask = bins > index
        area = int(np.count_nonzero(mask))
        if area != before:  # the masks are nested, so an equal area is an equal mask
            found = np.argwhere(_thinned(mask)).astype(np.float64)
            before, counted = area, (len(found), count_matches(found, points, distance))
        predicted.append(counted[0])
        hit.append(counted[1])
    matched = np.array(hit, np.int64)
    return CurveCounts(np.array(predicted, np.int64), matched, matched, len(points))


def count_matches(a: FloatArray, b: FloatArray, distance: float) -> int:
    """Most pairs that can be made of points of two lists, each point used once, none farther apart than a distance.

    Args:
        a: Shape (N, 2).
        b: Shape (M, 2).
        distance: In the unit of the points, inclusive.

    >>> count_matches(np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 2.0]]), 2.0)
    1
    """
    if not len(a) or not len(b):
        return 0
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_flow
    from scipy.spatial import cKDTree

    near = cKDTree(a).sparse_distance_matrix(cKDTree(b), distance * (1 + 1e-9), output_type="ndarray")
    # Pairs are a flow: out of a source into each point of the first list, along an edge, into a sink. Scipy's matching
    # of bipartite graphs takes minutes for some pictures of two thousand points; Dinic's algorithm is bounded.
    n, m = len(a), len(b)
    source, sink = 0, n + m + 1
    from_node = np.concatenate([np.full(n, source), near["i"] + 1, np.arange(n + 1, n + m + 1)])
    to_node = np.concatenate([np.arange(1, n + 1), near["j"] + n + 1, np.full(m, sink)])
    graph = csr_matrix((np.ones(len(from_node), np.int32), (from_node, to_node)), shape=(n + m + 2, n + m + 2))
    return int(maximum_flow(graph, source, sink, method="dinic").flow_value)


def best_counts(curve: CurveCounts) -> MatchCounts:
    """The counts at the threshold at which one image is best; with an empty truth, at the highest."""
    index = int(scores.f1_curve(curve).argmax()) if curve.truth else len(curve.predicted) - 1
    return curve.at(index)


def boundary_area(curve: CurveCounts) -> float:
    """AP as the benchmark takes it: precision interpolated at the recalls 0, 0.01 .. 1, summed, over 100.

    Nothing is added outside the recalls that were reached. NaN when the truth is empty.
    """
    if not curve.truth:
        return scores.NOT_DEFINED
    r = curve.truth_hit / curve.truth
    p = curve.predicted_hit / np.maximum(curve.predicted, 1)
    recall, first = np.unique(r, return_index=True)
    if len(recall) < 2:
        return 0.0
    at = np.interp(np.arange(101) / 100, recall, p[first], left=0.0, right=0.0)
    return float(at.sum() * 0.01)


def _thinned(mask: BoolMask) -> BoolMask:
    """The centreline, thinned inside the crack's bounding box only."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    thin = np.zeros_like(mask)
    if rows.size:
        box = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
        thin[box] = centreline(np.ascontiguousarray(mask[box]))
    return thin
