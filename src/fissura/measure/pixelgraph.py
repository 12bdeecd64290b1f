"""From skeleton pixels to nodes and the pixel paths between them, without a loop over pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from fissura.measure.model import Points, Values
from fissura.measure.thinning import Flat

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class PixelGraph:
    """Nodes and pixel paths of a skeleton.

    Attributes:
        node_rc: Junctions (mean of the pixels that meet), line ends, single pixels; shape (M, 2). A closed ring
            without a node gets one at its first pixel.
        node_radius: Distance to the background there, the largest of the node's pixels, shape (M,).
        path: Pixels between the nodes, path after path, positions as given, shape (N,). May be empty for a path.
        first: Where each path begins in ``path``, with the end of the last; shape (B + 1,).
        ends: Nodes at both ends of each path, shape (B, 2).
        ring: Paths that are closed rings, shape (B,).
    """

    node_rc: Points
    node_radius: Values
    path: Flat
    first: Index
    ends: Index
    ring: npt.NDArray[np.bool_]

    def degree(self) -> Index:
        """Path ends at each node, shape (M,)."""
        return np.bincount(self.ends.ravel(), minlength=len(self.node_rc)).astype(np.intp)

    def path_number(self) -> Index:
        """Which path each pixel of ``path`` belongs to, shape (N,)."""
        return np.repeat(np.arange(len(self.ends)), np.diff(self.first))


def build_pixel_graph(skeleton: Flat, columns: int, distance: npt.NDArray[np.float32]) -> PixelGraph:
    """Nodes and paths of a skeleton.

    Pixels are linked side by side, and diagonally where no side-by-side way exists. A pixel with two links belongs
    to a path; touching pixels with three or more are one junction.

    Args:
        skeleton: Sorted positions in a flattened array with a rim, as from `thin`.
        columns: Columns of that array.
        distance: Distance to the background, shape of that array.
    """
    links = _links(skeleton, columns)
    count = len(skeleton)
    degree = np.bincount(links.ravel(), minlength=count)
    on_path = degree == 2
    at_path = on_path[links]
    node_of = _clusters(links[(degree[links] > 2).all(axis=1)], ~on_path, count)
    inner = links[at_path.all(axis=1)]
    # Ways from a path to a node: the path's pixel, the node's number.
    mixed = links[at_path[:, 0] != at_path[:, 1]]
    mixed = np.where(on_path[mixed[:, :1]], mixed, mixed[:, ::-1])
    path, first, ends, ring = _order(inner, mixed[:, 0], node_of[mixed[:, 1]], on_path)
    short = links[~at_path.any(axis=1)]
    short = np.sort(node_of[short], axis=1)
    short = np.unique(short[short[:, 0] != short[:, 1]], axis=0)

    members = np.flatnonzero(~on_path)
    nodes = int(node_of.max(initial=-1)) + 1
    rc = np.stack(np.divmod(skeleton, columns), axis=1).astype(np.float64)
    near = distance.ravel()[skeleton]
    node_rc, radius = np.zeros((nodes + int(ring.sum()), 2)), np.zeros(nodes + int(ring.sum()))
    size = np.bincount(node_of[members], minlength=nodes)
    for axis in range(2):
        node_rc[:nodes, axis] = np.bincount(node_of[members], rc[members, axis], nodes) / size
    np.maximum.at(radius, node_of[members], near[members])
    starts = path[first[:-1][ring]]
    node_rc[nodes:], radius[nodes:] = rc[starts], near[starts]
    ends[ring] = np.arange(nodes, len(node_rc))[:, None]
    return PixelGraph(
        node_rc,
        radius,
        skeleton[path],
        np.concatenate([first, np.full(len(short), first[-1])]),
        np.concatenate([ends, short]),
        np.concatenate([ring, np.zeros(len(short), np.bool_)]),
    )


def _links(skeleton: Flat, columns: int) -> Index:
    """Pairs of linked pixels (indices into ``skeleton``), shape (L, 2)."""
    east, at_east = _find(skeleton, skeleton + 1)
    south, at_south = _find(skeleton, skeleton + columns)
    south_east, at_south_east = _find(skeleton, skeleton + columns + 1)
    south_west, at_south_west = _find(skeleton, skeleton + columns - 1)
    west = np.zeros_like(east)
    west[1:] = east[:-1]
    pairs = [
        np.stack([np.flatnonzero(found), at[found]], axis=1)
        for found, at in (
            (east, at_east),
            (south, at_south),
            (south_east & ~south & ~east, at_south_east),
            (south_west & ~south & ~west, at_south_west),
        )
    ]
    return np.concatenate(pairs).astype(np.intp)


def _find(skeleton: Flat, wanted: Flat) -> tuple[npt.NDArray[np.bool_], Index]:
    at = np.searchsorted(skeleton, wanted)
    inside = at < len(skeleton)
    found = np.zeros(len(wanted), np.bool_)
    found[inside] = skeleton[at[inside]] == wanted[inside]
    return found, at.astype(np.intp)


def _clusters(links: Index, member: npt.NDArray[np.bool_], count: int) -> Index:
    """Number of the node each member pixel belongs to, others -1, shape (count,); in the order of the pixels."""
    label = components(links, count)
    out = np.full(count, -1, np.intp)
    _, out[member] = np.unique(label[member], return_inverse=True)
    return out


def components(links: Index, count: int) -> Index:
    """Number of the connected component of each of ``count`` things, in the order of their first member."""
    matrix = sparse.coo_matrix((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(count, count))
    _, label = csgraph.connected_components(matrix, directed=False)
    _, first, number = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number]


def _order(
    inner: Index, way_pixel: Index, way_node: Index, on_path: npt.NDArray[np.bool_]
) -> tuple[Index, Index, Index, npt.NDArray[np.bool_]]:
    """Path pixels in walking order, the start of each path, its end nodes, and whether it is a ring.

    All paths are hung one behind the other, so that one walk in compiled code puts every pixel in its place.
    """
    pixels = np.flatnonzero(on_path)
    if not len(pixels):
        return pixels, np.zeros(1, np.intp), np.zeros((0, 2), np.intp), np.zeros(0, np.bool_)
    compact = np.cumsum(on_path) - 1
    inner, way_pixel = compact[inner], compact[way_pixel]
    label = components(inner, len(pixels))
    paths = int(label.max()) + 1
    sizes = np.bincount(label, minlength=paths)
    start, stop = np.empty(paths, np.intp), np.empty(paths, np.intp)
    ends = np.full((paths, 2), -1, np.intp)
    ring = np.bincount(label[way_pixel], minlength=paths) == 0
    order = np.lexsort((way_node, way_pixel, label[way_pixel]))
    start[~ring], stop[~ring] = way_pixel[order[::2]], way_pixel[order[1::2]]
    ends[~ring] = np.stack([way_node[order[::2]], way_node[order[1::2]]], axis=1)
    if ring.any():
        inner = _cut_rings(inner, label, ring, start, stop)
    chain = np.stack([stop[:-1], start[1:]], axis=1)
    links = np.concatenate([inner, chain])
    both = np.concatenate([links, links[:, ::-1]])
    matrix = sparse.csr_matrix((np.ones(len(both), np.int8), (both[:, 0], both[:, 1])), shape=(len(pixels),) * 2)
    walk = csgraph.breadth_first_order(matrix, start[0], directed=True, return_predecessors=False)
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
    return pixels[walk], first, ends, ring


def _cut_rings(inner: Index, label: Index, ring: npt.NDArray[np.bool_], start: Index, stop: Index) -> Index:
    """Take one link out of each ring, at its first pixel. Fills ``start`` and ``stop`` of the rings."""
    of_ring = np.flatnonzero(ring[label[inner[:, 0]]])
    low = np.sort(inner[of_ring], axis=1)
    order = np.lexsort((low[:, 1], low[:, 0], label[low[:, 0]]))
    _, at = np.unique(label[low[order, 0]], return_index=True)
    cut = order[at]
    start[ring], stop[ring] = low[cut, 0], low[cut, 1]
    return np.delete(inner, of_ring[cut], axis=0)
