"""Fields of alligator (pattern) cracking, from the loops and the density of the crack graph."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

from fissura.errors import GeometryError, SettingsError
from fissura.geo.scale import GroundScale
from fissura.measure.axis import ground_lines, ground_xy
from fissura.measure.model import BranchWidths, CrackGraph, Points, Values

_PIECES_A_POINT = 16
"""Steps for each point of a line, about a pixel apart, at most: pixels so much larger than a step show no cells."""


@dataclass(frozen=True)
class AlligatorOptions:
    """What makes a field. Lengths are shares of the largest cell, so that one number carries the scale.

    Attributes:
        max_cell_m: Side of the largest cell that is still alligator and not block cracking; ASTM D6433 puts the
            longest side of a piece below 0.5 m.
        max_cell_px: The same without a scale: a guess, right for photographs of about 3 mm a pixel.
        min_cell_share: Smaller loops are where the mask frayed, not cells.
        min_cells: Cells that make a field.
        gap_share: An end of a crack this near to another crack counts as touching it: cells that nearly close count.
        dense_share: A network without cells makes a field too: three cracks in one circle whose radius is half a
            largest cell. The value is their length per area, times the largest cell's side: three chords through the
            circle's middle give 3.8, two 2.5. Cracks within a quarter of a largest cell of such places belong to them.
        dense_length_share: Crack length in such dense places that makes a field, in largest cells.
        min_density_share: A field's crack length per area must reach this, times the largest cell's side.
    """

    max_cell_m: float = 0.5
    max_cell_px: float = 150.0
    min_cell_share: float = 0.04
    min_cells: int = 4
    gap_share: float = 0.2
    dense_share: float = 3.2
    dense_length_share: float = 6.0
    min_density_share: float = 1.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value > 0):
                raise SettingsError(f"{name} of the alligator options is {value}; it must be above 0")


@dataclass(frozen=True, eq=False)
class AlligatorField:
    """A field of alligator cracking.

    Attributes:
        outline_rc: Closed outline in pixels, shape (N, 2), first point not repeated.
        branches: Indices of the graph's branches that lie in it, ascending.
        cells: Closed and nearly closed cells in it; 0 in a network without cells.
        cell_size: Mean side of a cell (root of its area), mm or pixels; NaN without cells.
        area: m² where `scaled` is True, else square pixels.
        crack_length: Of the branches in it, mm or pixels.
        width_mean: Length-weighted mean width of these branches, mm or pixels; NaN if no widths were given.
        scaled: Whether the values have real units.
    """

    outline_rc: Points
    branches: tuple[int, ...]
    cells: int
    cell_size: float
    area: float
    crack_length: float
    width_mean: float
    scaled: bool


def find_alligator(
    graph: CrackGraph,
    widths: Sequence[BranchWidths],
    scale: GroundScale | None,
    options: AlligatorOptions | None = None,
) -> list[AlligatorField]:
    """Fields where cracks form many small cells or lie dense.

    A field is a connected set (gaps up to half a largest cell, 0.25 m) of

    * cells: faces of the graph whose circumscribed circle is that of a square of at most 0.5 m, closed, or open by no
      more than 0.1 m between an end and the next crack; and
    * dense places: points on cracks around which the crack length within 0.25 m corresponds to three cracks or more;

    with at least four cells, or 3 m of crack in dense places outside the cells, at least three branches, and at least
    3 m of crack per m² within its outline. All numbers are in `AlligatorOptions`; without a scale, 0.5 m is 150 px.

    Args:
        graph: The cracks.
        widths: One entry a branch, or empty if the mean width is not needed.
        scale: Real sizes if given.
        options: Limits.
    Returns:
        Fields by descending area.
    Raises:
        GeometryError: There are widths, but not as many as branches.
    """
    options = options or AlligatorOptions()
    if widths and len(widths) != len(graph.branches):
        raise GeometryError(f"{len(graph.branches)} branches need as many widths, got {len(widths)}")
    if len(graph.branches) < 3:
        return []
    cell = options.max_cell_px if scale is None else 1000.0 * options.max_cell_m
    network = _Network(ground_lines([branch.points_rc for branch in graph.branches], scale), cell)
    cells = _cells(network, graph, cell, options)
    celled = _united(cells)
    dense = _dense(network, celled, cell, options)
    # the outer cracks of a dense place have neighbours on one side only
    beside = cKDTree(network.xy[dense]).query(network.xy, distance_upper_bound=cell / 4)[0] < np.inf
    grown = shapely.union_all(_grow(np.append(_runs(network, beside), celled), cell / 4))

    found = []
    for part in shapely.get_parts(grown):
        shapely.prepare(part)
        inside = shapely.contains_properly(part, cells)
        dense_length = network.step * np.count_nonzero(shapely.contains_xy(part, *network.xy[dense].T))
        if inside.sum() < options.min_cells and dense_length < options.dense_length_share * cell:
            continue
        one = _field(_outline(part, cells[inside], cell), cells[inside], network, graph, widths, scale)
        density = one.crack_length / (one.area * (1e6 if one.scaled else 1.0))
        if len(one.branches) >= 3 and density >= options.min_density_share / cell:
            found.append(one)
    return sorted(found, key=lambda one: -one.area)


class _Network:
    """The branches on the ground, thinned to steps that are small against a cell.

    Attributes:
        step: Distance between neighbouring points, mm or px, at most; more where a pixel is larger than most cells.
        xy: All points, shape (N, 2).
        branch: Branch of each point, shape (N,).
        first: Index of each branch's first point, shape (branches,).
        last: And of its last one.
        length: Full length of each branch, shape (branches,).
    """

    def __init__(self, lines_xy: Sequence[Points], cell: float) -> None:
        self.step = cell / 25.0
        counts = np.array([len(line) for line in lines_xy])
        first = np.cumsum(counts) - counts
        last = first + counts - 1
        xy = np.concatenate(lines_xy)
        steps = np.linalg.norm(np.diff(xy, axis=0), axis=1)
        steps[last[:-1]] = 0.0  # from one branch to the next
        arc = np.concatenate([[0.0], np.cumsum(steps)])
        self.length: Values = arc[last] - arc[first]
        pieces = np.ceil(self.length / self.step - 1e-9)
        pieces = np.clip(pieces, 1, _PIECES_A_POINT * counts).astype(int)
        self.first = np.cumsum(pieces + 1) - (pieces + 1)
        self.last = self.first + pieces
        self.branch = np.repeat(np.arange(len(lines_xy)), pieces + 1)
        share = (np.arange(len(self.branch)) - self.first[self.branch]) / pieces[self.branch]
        # branch b is shifted by b along the arc, so that one interpolation serves all branches
        at = arc[first][self.branch] + share * self.length[self.branch] + self.branch
        arc = arc + np.repeat(np.arange(len(lines_xy)), counts)
        self.xy: Points = np.column_stack([np.interp(at, arc, xy[:, 0]), np.interp(at, arc, xy[:, 1])])
        # ends are taken as they are: branches meet only if their ends agree to the last bit
        self.xy[self.first], self.xy[self.last] = xy[first], xy[last]


def _cells(network: _Network, graph: CrackGraph, cell: float, options: AlligatorOptions) -> npt.NDArray[Any]:
    """Small faces of the graph, near-closures included, as polygons."""
    closures = _closures(network, graph, options.gap_share * cell)
    # cut each branch where a closure meets it: the faces are found from lines that touch at their ends only
    cut = np.zeros(len(network.xy), bool)
    cut[closures] = True
    cut[network.first] = cut[network.last] = False
    order = np.concatenate([np.arange(len(network.xy)), np.flatnonzero(cut)])
    order.sort(kind="stable")
    starts_new = np.zeros(len(order), bool)
    starts_new[1:] = order[1:] == order[:-1]
    starts_new |= np.isin(order, network.first)
    lines = shapely.linestrings(network.xy[order], indices=np.cumsum(starts_new) - 1)
    bridges = shapely.linestrings(network.xy[closures])
    faces = shapely.get_parts(shapely.polygonize(np.concatenate([lines, bridges])))
    size = shapely.minimum_bounding_radius(faces) * np.sqrt(2.0)
    fits = (size <= cell * (1 + 1e-6)) & (shapely.area(faces) >= (options.min_cell_share * cell) ** 2)
    return np.asarray(faces[fits])


def _closures(network: _Network, graph: CrackGraph, gap: float) -> npt.NDArray[np.intp]:
    """Loose ends and the nearest point of another branch within ``gap``: indices of points, shape (N, 2), each once."""
    degree = graph.degree()
    loose = [
        (network.first if side == 0 else network.last)[b]
        for b, branch in enumerate(graph.branches)
        for side, node in enumerate(branch.nodes)
        if degree[node] == 1
    ]
    if not loose:
        return np.empty((0, 2), np.intp)
    tree = cKDTree(network.xy)
    chosen: dict[tuple[int, int], None] = {}
    for end, near in zip(loose, tree.query_ball_point(network.xy[loose], gap), strict=True):
        others = np.array(near)[network.branch[near] != network.branch[end]]
        if len(others):
            away = np.linalg.norm(network.xy[others] - network.xy[end], axis=1)
            other = int(others[np.argmin(away)])
            if away.min() > 0:
                chosen[(min(end, other), max(end, other))] = None
    return np.array(list(chosen), np.intp).reshape(-1, 2)


def _dense(network: _Network, celled: Any, cell: float, options: AlligatorOptions) -> npt.NDArray[np.bool_]:
    """Points outside the cells around which there is as much crack as three cracks would bring."""
    radius = cell / 2
    covered = shapely.buffer(celled, network.step / 2)
    shapely.prepare(covered)
    dense = ~shapely.contains_xy(covered, *network.xy.T)
    # every second point is counted: neighbours are what costs
    tree = cKDTree(network.xy[::2])
    near = tree.query_ball_point(network.xy[dense], radius, return_length=True)
    dense[dense] = 2 * near * network.step / (np.pi * radius**2) >= options.dense_share / cell
    return np.asarray(dense)


def _runs(network: _Network, dense: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Stretches of branches whose points are dense, as lines of few points, since growing costs by point."""
    both = dense[:-1] & dense[1:] & (network.branch[:-1] == network.branch[1:])
    at = np.flatnonzero(both)
    steps = np.stack([network.xy[at], network.xy[at + 1]], axis=1)
    merged = shapely.line_merge(shapely.multilinestrings(shapely.linestrings(steps)))
    return np.asarray(shapely.get_parts(shapely.simplify(merged, network.step / 4)))


def _united(cells: npt.NDArray[Any]) -> Any:
    """Faces as one shape. Those of a mask full of noise may overlap by the last bit, which only the slow way takes."""
    with suppress(shapely.errors.GEOSException):
        united = shapely.coverage_union_all(cells)
        if shapely.is_valid(united):
            return united
    return shapely.union_all(shapely.make_valid(cells))


def _grow(shape: Any, by: float) -> Any:
    """Mitred, so that what is grown and shrunk again keeps its corners."""
    grown = shapely.buffer(shape, by, join_style="mitre", mitre_limit=2.0, cap_style="round", quad_segs=4)
    # GEOS lets mitres that were cut off cross each other; a union of such a shape raises.
    return grown if np.all(shapely.is_valid(grown)) else shapely.buffer(grown, 0.0)


def _outline(grown: Any, cells: npt.NDArray[Any], cell: float) -> Any:
    """One polygon: a grown part shrunk again, so that gaps stay closed; holes filled."""
    # a mitre that was cut off comes back a little within the cells
    parts = shapely.get_parts(shapely.union_all([_grow(grown, -cell / 4), _united(cells)]))
    largest = parts[int(np.argmax(shapely.area(parts)))]
    return shapely.simplify(shapely.polygons(shapely.get_exterior_ring(largest)), cell / 250)


def _field(
    shape: Any,
    cells: npt.NDArray[Any],
    network: _Network,
    graph: CrackGraph,
    widths: Sequence[BranchWidths],
    scale: GroundScale | None,
) -> AlligatorField:
    reach = shapely.buffer(shape, 2 * network.step)
    shapely.prepare(reach)
    inside = shapely.contains_xy(reach, network.xy[:, 0], network.xy[:, 1])
    share = np.bincount(network.branch, inside) / np.bincount(network.branch)
    branches = np.flatnonzero(share >= 0.5)
    ring = np.asarray(shapely.get_coordinates(shape), np.float64)[:-1]
    length = network.length[branches]
    means = np.array([_width_mean(graph, widths, int(b), scale) for b in branches]) if widths else np.full(1, np.nan)
    return AlligatorField(
        outline_rc=_to_pixels(ring, scale),
        branches=tuple(int(b) for b in branches),
        cells=len(cells),
        cell_size=float(np.sqrt(shapely.area(cells)).mean()) if len(cells) else float("nan"),
        area=float(shape.area) * (1e-6 if scale is not None else 1.0),
        crack_length=float(length.sum()),
        width_mean=float(np.average(means, weights=length)) if widths and length.sum() > 0 else float("nan"),
        scaled=scale is not None,
    )


def _width_mean(graph: CrackGraph, widths: Sequence[BranchWidths], b: int, scale: GroundScale | None) -> float:
    """Length-weighted mean width of a branch, mm or px."""
    points, width = graph.branches[b].points_rc, widths[b].width_px
    if scale is not None:
        width = width * scale.across(points, np.gradient(points, axis=0))
    steps = np.linalg.norm(np.diff(ground_xy(points, scale), axis=0), axis=1)
    middle = (width[:-1] + width[1:]) / 2
    return float(np.average(middle, weights=steps)) if steps.sum() > 0 else float(width.mean())


def _to_pixels(xy: Points, scale: GroundScale | None) -> Points:
    """The inverse of `ground_xy`."""
    if scale is None:
        return xy[:, ::-1].copy()
    back = np.column_stack([xy, np.ones(len(xy))]) @ np.linalg.inv(scale.matrix).T
    return np.asarray((back[:, :2] / back[:, 2:])[:, ::-1], np.float64)
