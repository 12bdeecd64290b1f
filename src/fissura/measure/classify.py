"""The kind of every crack: along the road, across it, at an angle, part of an alligator field, or none of these.

A branch of the graph is often only a piece between two junctions. The kind is therefore decided on chains: branches
that continue one another through their nodes. See `find_alligator` for the fields and `orientation_deg` for the axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from fissura.errors import SettingsError
from fissura.geo.scale import GroundScale
from fissura.measure.alligator import AlligatorField, AlligatorOptions, find_alligator
from fissura.measure.axis import axes, ground_direction_deg, ground_lines, orientation_deg
from fissura.measure.model import CrackGraph, Points, Values
from fissura.measure.rules import Angles

__all__ = [
    "AlligatorField",
    "AlligatorOptions",
    "BranchClass",
    "ClassOptions",
    "classify_branches",
    "find_alligator",
    "ground_direction_deg",
    "kind_by_angle",
    "orientation_deg",
]

_REACH = 15
"""Points (about 15 px) over which a branch's direction at a node is taken: less would follow the pixel steps."""
_ROUNDING_DEG = 1e-6
"""A crack drawn at a limit's exact angle is on the limit, whatever the last bits say."""


@dataclass(frozen=True)
class ClassOptions:
    """What decides a kind.

    Attributes:
        angles: Limits between the crack's axis and the road; a rule set has its own.
        straightness: Below it a crack has no dominant axis and is ``other`` (see `orientation_deg`).
        turn_deg: Branches continue one another at a junction if the line turns by no more than this.
        complete_share: A transverse crack that spans more than this share of the lane is complete (as LCMS).
        side_branch_m: A shorter chain that leaves a longer one is a twig of it and takes its kind.
        side_branch_px: The same without a scale.
    """

    angles: Angles = field(default_factory=Angles)
    straightness: float = 0.5
    turn_deg: float = 45.0
    complete_share: float = 0.75
    side_branch_m: float = 0.3
    side_branch_px: float = 60.0


@dataclass(frozen=True)
class BranchClass:
    """Kind of one branch.

    Attributes:
        kind: ``longitudinal``, ``transverse``, ``diagonal``, ``alligator`` or ``other``.
        extent: ``complete`` or ``partial`` for a transverse crack where the lane's width is known, else empty.
        orientation_deg: The branch's own axis on the ground, see `orientation_deg`.
        axis_deg: The axis of its chain, by which the kind was decided.
        straightness: Of the chain, 0 to 1.
        chain: Number of the chain, from 0; branches of one chain continue one another.
        away_deg: Between the road and the chain whose kind this one has (a twig's is that of the chain it leaves), 0 to
            90; None without a road.
        away_straightness: Of that chain, 0 to 1. With `away_deg` it gives the kind by other limits, `kind_by_angle`.
    """

    kind: str
    extent: str
    orientation_deg: float
    axis_deg: float
    straightness: float
    chain: int
    away_deg: float | None = None
    away_straightness: float = 0.0


def classify_branches(
    graph: CrackGraph,
    scale: GroundScale | None,
    *,
    road_direction_deg: float | Sequence[float] | None,
    lane_width_m: float | None,
    fields: Sequence[AlligatorField] = (),
    options: ClassOptions | None = None,
) -> list[BranchClass]:
    """Kind of every branch.

    1. Branches inside an alligator field are ``alligator``.
    2. At every node, the branch ends that go on straightest are joined, if the line turns by no more than `turn_deg`
       (at a node of two ends always); branches so joined form a chain.
    3. A chain within 30° of the road is longitudinal, beyond 60° transverse, between them diagonal (`Angles`). Without
       a dominant axis, or without a road, it is ``other``.
    4. A short chain that leaves a longer one is a twig and takes its kind.

    Args:
        graph: The cracks.
        scale: Angles are those on the ground; without a scale, those in the picture.
        road_direction_deg: Counter-clockwise from the picture's right, on the ground (see `ground_direction_deg`);
            one for all, or one for each branch where the road bends; None if there is no road.
        lane_width_m: Used only with a scale.
        fields: What `find_alligator` gave for the same graph.
        options: Limits.
    Returns:
        One entry for each branch, in the graph's order.
    Raises:
        SettingsError: The road's direction is not finite, or the lane's width is not above 0.
    """
    options = options or ClassOptions()
    _check(road_direction_deg, lane_width_m)
    if not graph.branches:
        return []
    lines = ground_lines([branch.points_rc for branch in graph.branches], scale)
    chains = _chains(graph, lines, options.turn_deg)
    chain_lines = [np.concatenate([lines[b] if not back else lines[b][::-1] for b, back in chain]) for chain in chains]
    own_deg, _ = axes(lines)
    axis_deg, straightness = axes(chain_lines)

    kinds, away_deg = [("other", "")] * len(chains), None
    decides = list(range(len(chains)))
    if road_direction_deg is not None:
        road_deg = _road_of_chains(road_direction_deg, chains, lines)
        away_deg = np.abs((axis_deg - road_deg + 90.0) % 180.0 - 90.0)
        width_mm = 1000.0 * lane_width_m if lane_width_m is not None and scale is not None else None
        for number, line in enumerate(chain_lines):
            kind = kind_by_angle(float(away_deg[number]), float(straightness[number]), options)
            along = float(road_deg[number])
            extent = _extent(line, along, width_mm, options.complete_share) if kind == "transverse" else ""
            kinds[number] = (kind, extent)
        limit = 1000.0 * options.side_branch_m if scale is not None else options.side_branch_px
        decides = _find_deciding(graph, chains, chain_lines, limit)

    chain_of = {b: number for number, chain in enumerate(chains) for b, _ in chain}
    in_field = {b for found in fields for b in found.branches}
    result = []
    for b in range(len(lines)):
        number = chain_of[b]
        decided = decides[number]
        kind, extent = ("alligator", "") if b in in_field else kinds[decided]
        own, axis, clear = float(own_deg[b]), float(axis_deg[number]), float(straightness[number])
        away = None if away_deg is None else float(away_deg[decided])
        result.append(BranchClass(kind, extent, own, axis, clear, number, away, float(straightness[decided])))
    return result


def _road_of_chains(
    road_direction_deg: float | Sequence[float],
    chains: Sequence[Sequence[tuple[int, bool]]],
    lines_xy: Sequence[Points],
) -> npt.NDArray[np.float64]:
    """The road's direction at each chain: the mean over its branches by length, on doubled angles."""
    if np.ndim(road_direction_deg) == 0:
        return np.full(len(chains), float(road_direction_deg))  # type: ignore[arg-type]
    doubled = np.exp(2j * np.radians(np.asarray(road_direction_deg, np.float64)))
    length = np.array([np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines_xy])
    means = [sum(length[b] * doubled[b] for b, _ in chain) for chain in chains]
    return np.asarray(np.degrees(np.angle(means)) / 2 % 180.0, np.float64)


def _check(road_direction_deg: float | Sequence[float] | None, lane_width_m: float | None) -> None:
    if road_direction_deg is not None and not np.isfinite(road_direction_deg).all():
        raise SettingsError(f"the road's direction is {road_direction_deg}°; give a finite angle, or None for no road")
    if lane_width_m is not None and not (np.isfinite(lane_width_m) and lane_width_m > 0):
        raise SettingsError(f"the lane is {lane_width_m} m wide; give a width above 0, or None if it is unknown")


def kind_by_angle(away_deg: float | None, straightness: float, options: ClassOptions) -> str:
    """Kind of a chain outside of alligator fields.

    Args:
        away_deg: Between its axis and the road, 0 to 90; None without a road.
        straightness: Of the chain, 0 to 1.
        options: Limits.

    >>> kind_by_angle(25.0, 0.9, ClassOptions()), kind_by_angle(25.0, 0.2, ClassOptions())
    ('longitudinal', 'other')
    """
    if away_deg is None or straightness < options.straightness:
        return "other"
    if away_deg <= options.angles.longitudinal_up_to_deg + _ROUNDING_DEG:
        return "longitudinal"
    if away_deg > options.angles.transverse_above_deg + _ROUNDING_DEG:
        return "transverse"
    return options.angles.between


def _extent(line_xy: Points, road_deg: float, lane_width_mm: float | None, complete_share: float) -> str:
    if lane_width_mm is None:
        return ""
    angle = np.radians(road_deg)
    across = line_xy @ np.array([np.sin(angle), np.cos(angle)])
    return "complete" if np.ptp(across) > complete_share * lane_width_mm * (1 + 1e-9) else "partial"


def _chains(graph: CrackGraph, lines_xy: Sequence[Points], turn_deg: float) -> list[list[tuple[int, bool]]]:
    """Branches that continue one another, each as (branch, run through backwards), in order along the chain."""
    partner = _partners(graph, lines_xy, turn_deg)
    chains, seen = [], np.zeros(len(lines_xy), bool)
    # open chains first, from an end that nothing continues; what is left are rings
    starts = [end for end in range(2 * len(lines_xy)) if end not in partner]
    for end in (*starts, *range(0, 2 * len(lines_xy), 2)):
        if seen[end // 2]:
            continue
        chain = []
        for entry in _follow(end, partner):
            if seen[entry // 2]:
                break
            seen[entry // 2] = True
            chain.append((entry // 2, bool(entry % 2)))
        chains.append(chain)
    return chains


def _follow(end: int, partner: dict[int, int]) -> Iterator[int]:
    """The ends by which a chain enters its branches. End ``2 b`` is the start of branch b, ``2 b + 1`` its stop."""
    entry: int | None = end
    while entry is not None:
        yield entry
        entry = partner.get(entry ^ 1)


def _partners(graph: CrackGraph, lines_xy: Sequence[Points], turn_deg: float) -> dict[int, int]:
    """Which branch end goes on as which, both ways."""
    ends_at: dict[int, list[int]] = {}
    for b, branch in enumerate(graph.branches):
        for side, node in enumerate(branch.nodes):
            ends_at.setdefault(node, []).append(2 * b + side)
    into = _directions(lines_xy)
    partner: dict[int, int] = {}
    for ends in ends_at.values():
        pairs = [(e, f) for e, f in combinations(ends, 2) if e // 2 != f // 2]
        # of two directions away from the node, opposite ones continue each other: the real part is -1
        turns = sorted((float((into[e] * into[f].conjugate()).real), e, f) for e, f in pairs)
        for cosine, e, f in turns:
            straight = len(ends) == 2 or cosine <= -np.cos(np.radians(turn_deg)) + 1e-9
            if straight and e not in partner and f not in partner:
                partner[e], partner[f] = f, e
    return partner


def _directions(lines_xy: Sequence[Points]) -> npt.NDArray[np.complex128]:
    """Unit direction away from its node for every branch end, as complex numbers, shape (2 * branches,)."""
    counts = np.array([len(line) for line in lines_xy])
    first = np.cumsum(counts) - counts
    xy = np.concatenate(lines_xy)
    z = xy[:, 0] + 1j * xy[:, 1]
    reach = np.minimum(counts - 1, _REACH)
    last = first + counts - 1
    away = np.column_stack([z[first + reach] - z[first], z[last - reach] - z[last]]).ravel()
    return np.asarray(away / np.maximum(np.abs(away), 1e-12), np.complex128)


def _find_deciding(
    graph: CrackGraph, chains: Sequence[Sequence[tuple[int, bool]]], chain_lines: Sequence[Points], limit: float
) -> list[int]:
    """For each chain the one whose kind it has: itself, or for a short one the longest chain it touches."""
    length: Values = np.array([np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in chain_lines])
    at_node: dict[int, set[int]] = {}
    for number, chain in enumerate(chains):
        for b, _ in chain:
            for node in graph.branches[b].nodes:
                at_node.setdefault(node, set()).add(number)
    result = list(range(len(chains)))
    for number, chain in enumerate(chains):
        if length[number] >= limit:
            continue
        near = {other for b, _ in chain for node in graph.branches[b].nodes for other in at_node[node]}
        longest = max(near, key=lambda other: (length[other], -other))
        if length[longest] > length[number]:
            result[number] = longest
    return result
