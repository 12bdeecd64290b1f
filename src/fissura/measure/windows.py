"""Widths of cracks in a raster that does not fit into memory: the picture is read where cracks are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fissura.measure.model import Branch, BranchWidths, CrackGraph
from fissura.measure.widths import WidthReport, mask_widths, measure_widths
from fissura.types import RgbImage

ReadRgb = Callable[[slice, slice], RgbImage]
"""Reads rows and columns of the picture: (rows, columns, 3) uint8."""

_BLOCK_PX = 3072
_MARGIN_PX = 160
_MOST_PX = 40_000_000


def measure_widths_by_windows(graph: CrackGraph, read_rgb: ReadRgb, *, blur_px: float | None = None) -> WidthReport:
    """Width at every point of every branch, as `measure_widths` finds it, from windows of the picture.

    Branches are taken together by neighbourhood, so that a narrow crack still learns from the wide ones beside it. A
    branch whose own window would not fit into memory has the mask's width.

    Args:
        graph: Centrelines of the whole raster.
        read_rgb: Called with windows of at most 40 megapixels, inside the raster.
        blur_px: Standard deviation of the picture's blur if it is known.
    """
    branches: list[BranchWidths | None] = [None] * len(graph.branches)
    blurs, darknesses = [], []
    for members in _group(graph):
        window = _window(graph, members)
        if (window[0].stop - window[0].start) * (window[1].stop - window[1].start) > _MOST_PX:
            report = mask_widths(replace(graph, branches=tuple(graph.branches[i] for i in members)))
        else:
            part = _part(graph, members, window)
            report = measure_widths(part, read_rgb(*window), blur_px=blur_px)
        for i, widths in zip(members, report.branches, strict=True):
            branches[i] = widths
        blurs += [report.blur_px] if report.blur_px is not None else []
        darknesses += [report.darkness] if report.darkness is not None else []
    return WidthReport(
        tuple(widths for widths in branches if widths is not None),
        float(np.median(blurs)) if blurs else None,
        float(np.median(darknesses)) if darknesses else None,
    )


def _group(graph: CrackGraph) -> list[list[int]]:
    """Branches whose middles share a block; a branch too long for company is alone."""
    groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for i, branch in enumerate(graph.branches):
        low, high = branch.points_rc.min(axis=0), branch.points_rc.max(axis=0)
        row, column = (int(v) for v in (low + high) // 2 // _BLOCK_PX)
        alone = int((high - low).max() > _BLOCK_PX) * (i + 1)
        groups[row, column, alone].append(i)
    return [groups[key] for key in sorted(groups)]


def _window(graph: CrackGraph, members: list[int]) -> tuple[slice, slice]:
    points = np.concatenate([graph.branches[i].points_rc for i in members])
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - _MARGIN_PX, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + _MARGIN_PX + 1, graph.size_hw)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def _part(graph: CrackGraph, members: list[int], window: tuple[slice, slice]) -> CrackGraph:
    """The branches in the window's coordinates, with all nodes: junctions keep their degree where it matters."""
    shift = np.array([window[0].start, window[1].start], np.float64)
    moved: list[Branch] = [replace(graph.branches[i], points_rc=graph.branches[i].points_rc - shift) for i in members]
    size = (window[0].stop - window[0].start, window[1].stop - window[1].start)
    return CrackGraph(graph.nodes_rc - shift, tuple(moved), size)
