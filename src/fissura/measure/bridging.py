"""Close gaps in the mask where the crack plainly goes on.

**Bridging rule.** Two free ends are joined by a straight stretch if

- they are at most ``max_gap_px`` apart, or, without a probability, ``max_blind_gap_px``, and no further than the
  shorter of their two branches is long;
- each end points at the other: the direction in which its line ends makes at most ``gap_angle_deg`` with the way
  across, or the other end lies aside of it by no more than 1 px plus a quarter of the crack width; and the two
  directions are opposite within twice ``gap_angle_deg``;
- the mean probability along the way is at least ``gap_probability``, where a probability is given.

Every end takes part in one bridge at most; shorter and straighter ones come first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from fissura.measure.model import Branch, CrackGraph, Points, Values
from fissura.measure.pixelgraph import Index
from fissura.measure.rays import sample_bilinear
from fissura.types import Probability

_BACK_PX = 10
_SIDE_STEP_PX = 1.0


@dataclass(frozen=True)
class GapRule:
    """Limits of the rule above. Distances in pixels, the angle in degrees, the probability from 0 to 1."""

    max_gap_px: float
    max_blind_gap_px: float
    gap_angle_deg: float
    gap_probability: float


@dataclass(frozen=True, eq=False)
class Ends:
    """Free ends: node, place, direction outwards, mask width, and the branch: its length and number."""

    node: Index
    rc: Points
    outward: Points
    width: Values
    length: Values
    branch: Index


def bridge_gaps(graph: CrackGraph, rule: GapRule, probability: Probability | None) -> CrackGraph:
    """Add a bridged branch for every gap that the rule closes.

    Args:
        graph: The graph.
        rule: The limits.
        probability: Shape of the picture, or None if it is not known.
    """
    ends = free_ends(graph)
    limit = rule.max_blind_gap_px if probability is None else rule.max_gap_px
    if len(ends.node) < 2 or limit <= 0:
        return graph
    pairs = cKDTree(ends.rc).query_pairs(limit, output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    pairs, cost = facing_ends(pairs, ends, rule)
    if probability is not None and len(pairs):
        likely = _mean_probability(ends.rc[pairs[:, 0]], ends.rc[pairs[:, 1]], probability) >= rule.gap_probability
        pairs, cost = pairs[likely], cost[likely]
    used = np.zeros(len(ends.node), np.bool_)
    bridges = []
    for a, b in pairs[np.argsort(cost, kind="stable")]:
        if not used[a] and not used[b]:
            used[[a, b]] = True
            bridges.append(_bridge(ends, int(a), int(b), probability))
    return CrackGraph(graph.nodes_rc, graph.branches + tuple(bridges), graph.size_hw)


def free_ends(graph: CrackGraph) -> Ends:
    """Ends of branches at nodes where nothing else ends."""
    degree = graph.degree()
    node, rc, outward, width, length, owner = [], [], [], [], [], []
    for number, branch in enumerate(graph.branches):
        for side in (0, 1):
            if degree[branch.nodes[side]] != 1:
                continue
            step = 1 if side == 0 else -1
            points = branch.points_rc[::step]
            back = min(max(_BACK_PX, int(branch.mask_width_px[::step][0] * 1.5)), len(points) - 1)
            way = points[0] - points[back]
            node.append(branch.nodes[side])
            rc.append(points[0])
            outward.append(way / max(float(np.hypot(*way)), 1e-9))
            width.append(float(np.median(branch.mask_width_px[::step][: back + 1])))
            length.append(branch.length_px)
            owner.append(number)
    return Ends(
        np.array(node, np.intp),
        np.array(rc, np.float64).reshape(-1, 2),
        np.array(outward, np.float64).reshape(-1, 2),
        np.array(width, np.float64),
        np.array(length, np.float64),
        np.array(owner, np.intp),
    )


def facing_ends(pairs: Index, ends: Ends, rule: GapRule, *, by_length: bool = True) -> tuple[Index, Values]:
    """Pairs whose directions agree, and what each costs: its length, more if it bends.

    Args:
        pairs: Indices into the ends, shape (N, 2).
        ends: See `free_ends`.
        rule: Its angle counts.
        by_length: Gaps are no longer than the shorter of the two branches.
    """
    a, b = pairs.T
    across = ends.rc[b] - ends.rc[a]
    gap = np.linalg.norm(across, axis=1)
    ahead = np.stack([(across * ends.outward[a]).sum(axis=1), -(across * ends.outward[b]).sum(axis=1)])
    aside = np.sqrt(np.maximum(gap**2 - ahead**2, 0.0))
    angle = np.degrees(np.arctan2(aside, ahead))
    slack = _SIDE_STEP_PX + 0.25 * np.minimum(ends.width[a], ends.width[b])
    points_at = (ahead > 0) & ((angle <= rule.gap_angle_deg) | (aside <= slack))
    opposite = -(ends.outward[a] * ends.outward[b]).sum(axis=1)
    straight = opposite >= np.cos(np.radians(min(2 * rule.gap_angle_deg, 180.0)))
    long_enough = gap <= np.where(by_length, np.minimum(ends.length[a], ends.length[b]), np.inf)
    # One short branch that curls into itself is no gap.
    other = (ends.branch[a] != ends.branch[b]) | (ends.length[a] > 4 * gap)
    agree = points_at.all(axis=0) & straight & long_enough & other
    return pairs[agree], np.asarray((gap * (2.0 - opposite))[agree], np.float64)


def _mean_probability(start_rc: Points, stop_rc: Points, probability: Probability) -> Values:
    share = np.linspace(0.0, 1.0, 33)[None, :, None]
    points = start_rc[:, None] * (1 - share) + stop_rc[:, None] * share
    return np.asarray(sample_bilinear(probability, points).mean(axis=1), np.float64)


def _bridge(ends: Ends, a: int, b: int, probability: Probability | None) -> Branch:
    """The straight stretch. Its width runs from one side's to the other's."""
    pieces = max(round(float(np.linalg.norm(ends.rc[b] - ends.rc[a]))), 1)
    share = np.linspace(0.0, 1.0, pieces + 1)
    points = ends.rc[a] + share[:, None] * (ends.rc[b] - ends.rc[a])
    width = ends.width[a] + share * (ends.width[b] - ends.width[a])
    chance: npt.NDArray[np.float64] = np.ones(pieces + 1)
    if probability is not None:
        chance = np.clip(sample_bilinear(probability, points).astype(np.float64), 0.0, 1.0)
    return Branch(points, width, chance, (int(ends.node[a]), int(ends.node[b])), 0, bridged=True)
