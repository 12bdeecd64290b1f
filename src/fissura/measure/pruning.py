"""Clean a skeleton: spurs go, junctions that are one crossing of wide cracks become one.

**Spur rule.** A path with one free end at a junction is a spur if the mask along it reaches beyond the junction's
inscribed disc by less than the largest of: ``spur_px``; the spur's own mask width out there; 0.7 of the disc's radius
(a third of the crack's width). All spurs found go at once and the rest is looked at again, until none is left.

**Crossing rule.** Two junctions are one if the path between them is no longer than 1.5 radii of the larger inscribed
disc. Two cracks 8 px wide that cross at 60 degrees or more so have one junction; at 30 degrees they share a stretch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fissura.measure.model import Values
from fissura.measure.pixelgraph import Index, PixelGraph, build_pixel_graph, components
from fissura.measure.thinning import Flat, thin

_MOST_ROUNDS = 20
_CROSSING_RADII = 1.5
_CORNER_SHARE = 0.7
"""Of the disc's radius. A square corner reaches 0.41 radii beyond the inscribed disc."""


def prune_spurs(
    padded: npt.NDArray[np.uint8], skeleton: Flat, distance: npt.NDArray[np.float32], spur_px: float
) -> PixelGraph:
    """Graph of a skeleton without its spurs.

    Args:
        padded: The skeleton as a picture with a rim of zeros, 0 or 1. Changed: spurs are taken out.
        skeleton: Sorted positions of its ones.
        distance: Distance of each mask pixel to the background, same shape.
        spur_px: A spur always goes if it reaches less than this beyond its junction.
    """
    columns = padded.shape[1]
    graph = build_pixel_graph(skeleton, columns, distance)
    for _ in range(_MOST_ROUNDS):
        spurs = _find_spurs(graph, columns, distance, spur_px)
        if not spurs.any():
            break
        gone = [graph.path[spurs[graph.path_number()]], _tip_pixels(graph, spurs, columns)]
        padded.ravel()[np.concatenate(gone)] = 0
        skeleton = skeleton[padded.ravel()[skeleton] > 0]
        skeleton = thin(padded, skeleton)  # What is left of the junction may be thicker than needed.
        graph = build_pixel_graph(skeleton, columns, distance)
    return graph


def merge_crossings(graph: PixelGraph) -> PixelGraph:
    """Make one node of junctions that lie in one crossing."""
    a, b = graph.ends.T
    degree = graph.degree()
    apart = np.linalg.norm(graph.node_rc[a] - graph.node_rc[b], axis=1)
    reach = _CROSSING_RADII * np.maximum(graph.node_radius[a], graph.node_radius[b])
    pixels = np.diff(graph.first)
    within = (a != b) & (np.minimum(degree[a], degree[b]) > 2) & (apart <= reach) & (pixels <= reach)
    if not within.any():
        return graph
    node = components(graph.ends[within], len(graph.node_rc))
    count = int(node.max()) + 1
    size = np.bincount(node, minlength=count)
    node_rc = np.stack([np.bincount(node, graph.node_rc[:, axis], count) / size for axis in range(2)], axis=1)
    radius = np.zeros(count)
    np.maximum.at(radius, node, graph.node_radius)
    first = np.concatenate([[0], np.cumsum(pixels[~within])]).astype(np.intp)
    path = graph.path[~within[graph.path_number()]]
    return PixelGraph(node_rc, radius, path, first, node[graph.ends[~within]], graph.ring[~within])


def _find_spurs(
    graph: PixelGraph, columns: int, distance: npt.NDArray[np.float32], spur_px: float
) -> npt.NDArray[np.bool_]:
    degree = graph.degree()
    free = degree[graph.ends] == 1
    candidate = (free[:, 0] != free[:, 1]) & (degree[graph.ends].max(axis=1, initial=0) > 2)
    junction = np.where(free[:, 0], graph.ends[:, 1], graph.ends[:, 0])
    tip = np.where(free[:, 0], graph.ends[:, 0], graph.ends[:, 1])
    radius = graph.node_radius[junction] - 0.5
    tip_radius = graph.node_radius[tip] - 0.5
    apart = np.linalg.norm(graph.node_rc[tip] - graph.node_rc[junction], axis=1)
    beyond = np.maximum(apart + tip_radius - radius, 0.0)
    own_width = 2 * _mean_radius_outside(graph, columns, distance, junction, tip_radius)
    least = np.maximum(np.maximum(spur_px, own_width), _CORNER_SHARE * radius)
    return np.asarray(candidate & (beyond < least), np.bool_)


def _mean_radius_outside(
    graph: PixelGraph, columns: int, distance: npt.NDArray[np.float32], junction: Index, tip_radius: Values
) -> Values:
    """Mean half width of each path outside its junction's disc, the tip included; shape (B,)."""
    number = graph.path_number()
    rc = np.stack(np.divmod(graph.path, columns), axis=1)
    at = junction[number]
    outside = np.linalg.norm(rc - graph.node_rc[at], axis=1) > graph.node_radius[at]
    near = distance.ravel()[graph.path[outside]] - 0.5
    total = np.bincount(number[outside], near, len(junction)) + tip_radius
    return np.asarray(total / (np.bincount(number[outside], minlength=len(junction)) + 1), np.float64)


def _tip_pixels(graph: PixelGraph, spurs: npt.NDArray[np.bool_], columns: int) -> Flat:
    ends = graph.ends[spurs]
    tips = ends[graph.degree()[ends] == 1]
    row, column = np.rint(graph.node_rc[tips]).astype(np.intp).T
    return np.asarray(row * columns + column, np.intp)
