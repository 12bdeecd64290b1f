"""Graphs and cracks made by hand, with answers known on paper."""

from itertools import pairwise

import numpy as np

from fissura.measure.model import Branch, BranchWidths, Crack, CrackArea, CrackGraph


def polyline(*corners_rc, step_px=1.0):
    """Points (row, column) along straight lines between corners, about ``step_px`` apart."""
    parts = []
    corners = np.asarray(corners_rc, float)
    for start, stop in pairwise(corners):
        count = max(1, int(np.ceil(np.linalg.norm(stop - start) / step_px)))
        parts.append(start + (stop - start) * np.arange(count)[:, None] / count)
    return np.concatenate([*parts, corners[-1:]])


def graph(nodes_rc, edges, size_hw=(2000, 2000), width_px=3.0):
    """``edges``: (node, node) for a straight branch, or (node, node, [corners between])."""
    nodes = np.asarray(nodes_rc, float)
    branches = []
    for a, b, *between in edges:
        points = polyline(nodes[a], *(between[0] if between else ()), nodes[b])
        branches.append(Branch(points, np.full(len(points), width_px), np.ones(len(points)), (a, b), 0))
    return CrackGraph(nodes, tuple(branches), size_hw)


def grid(rows, columns, cell_px, *, at_px=100.0, jitter_px=0.0, leave_out=()):
    """A net of ``rows`` x ``columns`` square cells; branch i is skipped if i is in ``leave_out``."""
    random = np.random.default_rng(0)
    nodes = [
        (at_px + cell_px * i + jitter_px * random.normal(), at_px + cell_px * j + jitter_px * random.normal())
        for i in range(rows + 1)
        for j in range(columns + 1)
    ]
    edges = []
    for i in range(rows + 1):
        for j in range(columns + 1):
            here = i * (columns + 1) + j
            edges += [(here, here + 1)] if j < columns else []
            edges += [(here, here + columns + 1)] if i < rows else []
    return graph(nodes, [edge for k, edge in enumerate(edges) if k not in leave_out])


def constant_widths(net, width_px=3.0):
    return [
        BranchWidths(
            np.full(len(branch.points_rc), width_px),
            np.zeros(len(branch.points_rc)),
            np.ones(len(branch.points_rc), bool),
            np.zeros(len(branch.points_rc), bool),
        )
        for branch in net.branches
    ]


def turned(net, turn_deg, about_rc=(1000.0, 1000.0)):
    """The same graph, turned counter-clockwise as seen."""
    angle = np.radians(turn_deg)
    # with rows downwards, (x, y) -> (x cos + y sin, -x sin + y cos) turns counter-clockwise as seen
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    about = np.asarray(about_rc)

    def turn(points_rc):
        return (points_rc - about) @ matrix.T + about

    nodes = turn(net.nodes_rc)
    branches = []
    for branch in net.branches:
        points = turn(branch.points_rc)
        points[0], points[-1] = nodes[branch.nodes[0]], nodes[branch.nodes[1]]
        branches.append(Branch(points, branch.mask_width_px, branch.probability, branch.nodes, branch.crack_id))
    return CrackGraph(nodes, tuple(branches), net.size_hw)


def crack(
    points_rc, *, crack_id=1, length=1000.0, width_mean=4.0, width_max=6.0, kind="longitudinal", severity="low",
    scaled=True, zone="",
):  # fmt: skip
    return Crack(
        id=1, crack_id=crack_id, points_rc=np.asarray(points_rc, float), orientation_deg=0.0, length=length,
        width_mean=width_mean, width_median=width_mean, width_p95=width_max, width_max=width_max, width_sigma=0.1,
        gsd_mm=1.0, below_gsd=False, confidence=0.9, kind=kind, severity=severity, scaled=scaled, zone=zone,
    )  # fmt: skip


def area(outline_rc, *, area=1.0, severity="low", scaled=True):
    return CrackArea(1, np.asarray(outline_rc, float), area, 1000.0, 3.0, severity, "", scaled)
