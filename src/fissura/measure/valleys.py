"""Close long gaps where the picture shows the crack going on though the network did not find it.

A fine, straight stretch of a crack looks like a joint to a network, whose view is a few hundred pixels wide. Between
two ends of the same crack the picture decides: if a dark valley as deep as the crack itself runs from one to the other,
it is the crack.

**Rule.** Two free ends are joined if

- they are at most ``reach_px`` apart, belong to branches of ``least_length_px`` or more, and each points at the other
  within ``angle_deg``;
- the best path between them in a strip along the straight way is dark: its mean depth is ``depth_share`` of the depth
  of the crack beside the ends and ``depth_noise`` times the strip's noise, and but for a twentieth of
  it, in short pieces (where other cracks cross), no stretch of 20 px is shallower than ``stretch_share`` and
  ``stretch_noise``. Paths are found by dynamic programming; minimal paths for cracks are an idea
  of Amhaz, Chambon, Idier and Baltazart, "Automatic crack detection on two-dimensional pavement images", 2016;
- the two flanks differ by no more than ``tilt_share`` of the depth on the whole: the joint between two surfaces is no
  crack;
- hardly any of the path runs along branches that are known.

Depth is how much darker the middle is than the brighter-than-it flank that is the darker one, so that the edge of a
marking is no valley. Every end takes part in one closure at most; short and straight ones come first.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.spatial import cKDTree

from fissura.measure.bridging import Ends, GapRule, facing_ends, free_ends
from fissura.measure.graph import number_cracks
from fissura.measure.model import Branch, CrackGraph, Points, Values
from fissura.measure.windows import ReadRgb

Grey = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ValleyRule:
    """Limits of the rule above. Distances in pixels, the angle in degrees, the rest are ratios."""

    reach_px: float = 800.0
    least_length_px: float = 30.0
    angle_deg: float = 30.0
    depth_share: float = 0.7
    depth_noise: float = 3.5
    stretch_share: float = 0.3
    stretch_noise: float = 2.0
    tilt_share: float = 0.7


DEFAULTS = ValleyRule()
_SHORTEST_PX = 4.0
_NEAREST = 4
"""Ends ahead that are tried from each end."""
_AT_ONCE = 256
_HALF_PX, _HALF_SHARE, _FLANK_PX = 12, 0.1, 40
"""Half width of the strip the path may use, with its share of the gap, and what lies beyond it for the noise."""
_STEP_COST = 1.0
"""Grey levels that a step aside costs."""
_STRETCH_PX = 21
_CROSSING_PX = 30
_LEAST_NOISE = 1.0
"""Grey levels; painted or blackened ground has none."""
_BESIDE_PX = 120
"""Length of the known crack that the valley is compared with, on either side."""
_OVER_PX, _OVER_SHARE = 2.5, 0.15
_OUTSIDE = -1e3


def close_valleys(graph: CrackGraph, read_rgb: ReadRgb, rule: ValleyRule = DEFAULTS) -> CrackGraph:
    """Add a branch along the dark valley for every gap that the rule closes.

    Args:
        graph: Centrelines of a raster.
        read_rgb: Reads a window of it; sides up to ``reach_px`` and a few hundred pixels more.
        rule: The limits.
    Returns:
        The graph, the new branches last, with ``bridged`` set. Their probability is the lower mean of the two branches
        they join: they are cracks if those are. ``crack_id`` is new for all.
    """
    ends = free_ends(graph)
    if len(ends.node) < 2:
        return graph
    along = np.concatenate([b.points_rc for b in graph.branches])
    # A third of the points is enough to see whether a path runs along them.
    known = KnownLines(along[::3])
    used = np.zeros(len(ends.node), np.bool_)
    joined: list[Branch] = []
    for a, b in _pairs(ends, rule):
        if used[a] or used[b]:
            continue
        path = _valley(graph, ends, a, b, read_rgb, rule)
        if path is None or _runs_along(path, known):
            continue
        used[[a, b]] = True
        joined.append(_closure(graph, ends, a, b, path))
        known.add(path)
    if not joined:
        return graph
    return number_cracks(CrackGraph(graph.nodes_rc, graph.branches + tuple(joined), graph.size_hw), 0.0)


def _pairs(ends: Ends, rule: ValleyRule) -> list[tuple[int, int]]:
    """Pairs of ends to try, the cheapest first."""
    limits = GapRule(rule.reach_px, rule.reach_px, rule.angle_deg, 0.0)
    long_enough = np.flatnonzero(ends.length >= rule.least_length_px)
    tree = cKDTree(ends.rc[long_enough])
    found, costs = [np.zeros((0, 2), np.intp)], [np.zeros(0)]
    # Some ends at a time: in a field of cracks each has thousands of others in reach, of which few face it.
    for first in range(0, len(long_enough), _AT_ONCE):
        some = long_enough[first : first + _AT_ONCE]
        near = tree.query_ball_point(ends.rc[some], rule.reach_px, return_sorted=True)
        others = long_enough[np.concatenate([np.array(list(k), np.intp) for k in near])]
        pairs = np.column_stack([np.repeat(some, [len(k) for k in near]), others])
        pairs = pairs[(pairs[:, 0] < pairs[:, 1]) & (ends.branch[pairs[:, 0]] != ends.branch[pairs[:, 1]])]
        pairs, cost = facing_ends(pairs, ends, limits, by_length=False)
        found.append(pairs)
        costs.append(cost)
    pairs, cost = np.concatenate(found), np.concatenate(costs)
    tried = np.zeros(len(ends.node), np.intp)
    chosen = []
    for k in np.argsort(cost, kind="stable"):
        a, b = (int(end) for end in pairs[k])
        if np.linalg.norm(ends.rc[a] - ends.rc[b]) < _SHORTEST_PX or max(tried[a], tried[b]) >= _NEAREST:
            continue
        tried[[a, b]] += 1
        chosen.append((a, b))
    return chosen


def _valley(graph: CrackGraph, ends: Ends, a: int, b: int, read_rgb: ReadRgb, rule: ValleyRule) -> Points | None:
    """The path from one end to the other, about a pixel between points, or None if it is not dark enough."""
    start, stop = ends.rc[a], ends.rc[b]
    gap = float(np.linalg.norm(stop - start))
    width = float(np.clip(0.6 * np.median([ends.width[a], ends.width[b]]), 1.0, 6.0))
    half = round(_HALF_PX + _HALF_SHARE * gap)
    along = (stop - start) / gap
    across = np.array([-along[1], along[0]])
    steps = np.linspace(0.0, gap, round(gap) + 1)
    offsets = np.arange(-half - _FLANK_PX, half + _FLANK_PX + 1)
    strip = start + steps[:, None, None] * along + offsets[None, :, None] * across
    beside = [_beside(graph, ends, end) for end in (a, b)]
    rows, columns = _window([strip.reshape(-1, 2), *beside], graph.size_hw)
    grey = cv2.cvtColor(read_rgb(rows, columns), cv2.COLOR_RGB2GRAY)
    origin = np.array([rows.start, columns.start])
    depth, tilt = _depth(_sampled(grey, strip - origin), width)
    seen = depth[depth > _OUTSIDE]
    noise = max(1.48 * float(np.median(np.abs(seen - np.median(seen)))), _LEAST_NOISE)
    reference = [_depth_beside(grey, line - origin, width) for line in beside if len(line) >= _STRETCH_PX]
    if not reference:
        return None
    known = float(np.mean(reference))
    index = _darkest_path(depth[:, _FLANK_PX : _FLANK_PX + 2 * half + 1])
    on_path = np.arange(len(index)), index + _FLANK_PX
    values = depth[on_path]
    stretches = uniform_filter1d(values, min(_STRETCH_PX, len(values)), mode="nearest")
    if float(values.mean()) < max(rule.depth_share * known, rule.depth_noise * noise):
        return None
    if abs(float(tilt[on_path].mean())) > rule.tilt_share * float(values.mean()):
        return None
    least = max(rule.stretch_share * known, rule.stretch_noise * noise)
    shallow = np.flatnonzero(np.diff(np.concatenate([[0], stretches < least, [0]])))
    if np.percentile(stretches, 5) < least or (shallow[1::2] - shallow[::2]).max(initial=0) > _CROSSING_PX:
        return None
    aside = gaussian_filter1d((index - half).astype(np.float64), 3.0, mode="nearest")
    path = start + steps[:, None] * along + aside[:, None] * across
    path[0], path[-1] = start, stop
    return np.asarray(path, np.float64)


def _beside(graph: CrackGraph, ends: Ends, end: int) -> Points:
    """The known crack beside an end, from it inwards, without the last pixels, where it may have been cut aslant."""
    branch = graph.branches[ends.branch[end]]
    points = branch.points_rc if branch.nodes[0] == ends.node[end] else branch.points_rc[::-1]
    inner: Points = points[5 : 5 + _BESIDE_PX] if len(points) > 5 + _STRETCH_PX else points
    return inner


def _window(lines: list[Points], size_hw: tuple[int, int]) -> tuple[slice, slice]:
    points = np.concatenate(lines)
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - 20, 0, np.array(size_hw) - 1)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 21, low + 1, size_hw)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def _sampled(grey: npt.NDArray[np.uint8], points: Points) -> Grey:
    """Grey at points (row, column) of any shape (..., 2), blurred a little along the first axis."""
    row, column = points[..., 0].astype(np.float32), points[..., 1].astype(np.float32)
    values = cv2.remap(grey, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigmaX=0.6, sigmaY=2.0), np.float32)


def _depth(strip: Grey, width: float) -> tuple[Grey, Grey]:
    """How much darker each place is than both of its flanks, and how much darker one flank is than the other.

    Both in grey levels, shape (N, M); the first is far below 0 at the rims.
    """
    middle = cv2.blur(strip, (2 * int(width / 2) + 1, 1))
    flank = cv2.blur(strip, (3, 1))
    by = round(width / 2 + 2)
    depth, tilt = np.full(strip.shape, _OUTSIDE, np.float32), np.zeros(strip.shape, np.float32)
    inner = slice(by, -by)
    one, other = flank[:, : -2 * by], flank[:, 2 * by :]
    depth[:, inner] = np.minimum(one, other) - middle[:, inner]
    tilt[:, inner] = other - one
    return depth, tilt


def _depth_beside(grey: npt.NDArray[np.uint8], line: Points, width: float) -> float:
    """Median depth of a known crack."""
    tangent = np.gradient(gaussian_filter1d(line, 3.0, axis=0, mode="nearest"), axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    across = np.column_stack([-tangent[:, 1], tangent[:, 0]])
    offsets = np.arange(-14, 15)
    depth, _ = _depth(_sampled(grey, line[:, None] + offsets[None, :, None] * across[:, None]), width)
    return float(np.median(depth[:, 12:17].max(axis=1)))


def _darkest_path(depth: Grey) -> npt.NDArray[np.intp]:
    """Column of each row of the path of greatest summed depth from the middle of the first row to that of the last."""
    n, m = depth.shape
    middle = m // 2
    best = np.full(m, -1e9)
    best[middle] = 0.0
    came = np.zeros((n, m), np.intp)
    padded = np.full(m + 2, -1e9)
    for i in range(1, n):
        padded[1:-1] = best
        choice = np.stack([padded[:-2] - _STEP_COST, padded[1:-1], padded[2:] - _STEP_COST])
        came[i] = choice.argmax(axis=0) - 1
        best = choice.max(axis=0) + depth[i]
    path = np.empty(n, np.intp)
    path[-1] = middle
    for i in range(n - 1, 0, -1):
        path[i - 1] = path[i] + came[i, path[i]]
    return path


class KnownLines:
    """Points of lines, to which more are added, and a quick answer which places are near to one of them.

    A new tree takes in those before it that are less than twice as large, so that each has at most half of the points
    of the one before and there are few of them, whatever was added; only the first one stays as it is.

    Args:
        points_rc: Those known at the beginning, shape (N, 2).
    """

    def __init__(self, points_rc: Points) -> None:
        self.trees = [cKDTree(points_rc)]

    def add(self, points_rc: Points) -> None:
        """Further points, shape (N, 2)."""
        while len(self.trees) > 1 and self.trees[-1].n < 2 * len(points_rc):
            points_rc = np.concatenate([self.trees.pop().data, points_rc])
        self.trees.append(cKDTree(points_rc))

    def are_near(self, points_rc: Points, reach_px: float) -> npt.NDArray[np.bool_]:
        """Whether each point has one of them within reach, shape (N,)."""
        near = np.zeros(len(points_rc), np.bool_)
        for tree in self.trees:
            near |= tree.query(points_rc, distance_upper_bound=reach_px)[0] <= reach_px
        return near


def _runs_along(path: Points, known: KnownLines) -> bool:
    """Most of a path that closes a gap is no branch yet; it may cross some."""
    inner = path[8:-8]
    return len(inner) > 0 and float(known.are_near(inner, _OVER_PX).mean()) > _OVER_SHARE


def _closure(graph: CrackGraph, ends: Ends, a: int, b: int, path: Points) -> Branch:
    share = np.linspace(0.0, 1.0, len(path))
    width: Values = ends.width[a] + share * (ends.width[b] - ends.width[a])
    chance = min(float(graph.branches[ends.branch[end]].probability.mean()) for end in (a, b))
    nodes = (int(ends.node[a]), int(ends.node[b]))
    return Branch(path, width, np.full(len(path), chance), nodes, 0, bridged=True)


def bridged_chains(graph: CrackGraph) -> list[list[tuple[int, bool]]]:
    """Branches that follow each other through closed gaps.

    Returns:
        For each chain of two or more the branches in their order, as index and whether they run ahead.
    """
    degree = graph.degree()
    at: dict[int, list[int]] = {}
    for k, branch in enumerate(graph.branches):
        for node in branch.nodes:
            if degree[node] == 2:
                at.setdefault(node, []).append(k)
    passes = {node: (k[0], k[1]) for node, k in at.items() if any(graph.branches[i].bridged for i in k)}
    seen: set[int] = set()
    chains = []
    for k, branch in enumerate(graph.branches):
        if branch.bridged and k not in seen:
            seen.add(k)
            before = _walk(graph, passes, k, branch.nodes[0], seen)
            after = _walk(graph, passes, k, branch.nodes[1], seen)
            chain = [(i, not ahead) for i, ahead in reversed(before)] + [(k, True)] + after
            if len(chain) > 1:
                chains.append(chain)
    return chains


def _walk(
    graph: CrackGraph, passes: dict[int, tuple[int, int]], k: int, node: int, seen: set[int]
) -> list[tuple[int, bool]]:
    """From a branch through its node, away from it; adds to `seen`."""
    steps = []
    while node in passes:
        first, second = passes[node]
        k = second if first == k else first
        if k in seen:
            break
        seen.add(k)
        nodes = graph.branches[k].nodes
        ahead = nodes[0] == node
        steps.append((k, ahead))
        node = nodes[1] if ahead else nodes[0]
    return steps
