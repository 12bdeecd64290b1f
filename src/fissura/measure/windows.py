"""Widths of cracks in a raster that does not fit into memory: the picture is read where cracks are.

Of each window only the averaged profiles are kept, some 300 bytes for every 10 px of crack, as much as the graph itself
takes. Blur, darkness and widths are then found from all of them together, as in a small picture: a narrow crack is
judged alike whether or not a wide one shares its window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.measure.model import CrackGraph
from fissura.measure.widths import (
    SAMPLE_MARGIN_PX,
    Profile,
    Stretches,
    WidthReport,
    average_profiles,
    fit_widths,
    plan_stretches,
)
from fissura.types import RgbImage

ReadRgb = Callable[[slice, slice], RgbImage]
"""Reads rows and columns of the picture: (rows, columns, 3) uint8."""

_BLOCK_PX = 3072  # windows of at most 12 megapixels


def measure_widths_by_windows(
    graph: CrackGraph, read_rgb: ReadRgb, *, blur_px: float | None = None, block_px: int = _BLOCK_PX
) -> WidthReport:
    """Width at every point of every branch: what `measure_widths` finds in the whole picture, wherever windows end.

    Args:
        graph: Centrelines of the whole raster.
        read_rgb: Called once for each block that holds cracks, with a window inside the raster whose sides are
            `block_px` and about 350 px at most.
        blur_px: Standard deviation of the picture's blur if it is known.
        block_px: Side of the squares into which cracks are gathered. It decides memory and speed, not widths.
    Raises:
        GeometryError: A block of no size, or a window read has another size than was asked for.
    """
    if block_px < 1:
        raise GeometryError(f"block_px is {block_px}; give the side of a block in pixels, 1 or more")
    stretches = plan_stretches(graph)
    profiles: list[Profile] = [np.empty(0)] * len(stretches)
    for members in _by_block(graph, stretches, block_px):
        some = stretches.take(members)
        rows, columns = _window(graph, some)
        rgb = read_rgb(rows, columns)
        asked = (rows.stop - rows.start, columns.stop - columns.start)
        if rgb.shape[:2] != asked:
            raise GeometryError(
                f"the window of rows {rows.start} to {rows.stop} and columns {columns.start} to {columns.stop} was "
                f"read as {rgb.shape[1]}x{rgb.shape[0]} instead of {asked[1]}x{asked[0]}; the graph must have been "
                "traced on the same raster, at the same size"
            )
        found = average_profiles(rgb, graph, some, origin_rc=(rows.start, columns.start))
        for k, profile in zip(members, found, strict=True):
            profiles[k] = profile
    return fit_widths(graph, stretches, profiles, blur_px=blur_px)


def _by_block(graph: CrackGraph, stretches: Stretches, block_px: int) -> Iterator[npt.NDArray[np.intp]]:
    """Stretches whose middles share a block, row by row. A long branch is in several blocks, a stretch in one."""
    if not len(stretches):
        return
    middles = np.array([
        graph.branches[i].points_rc[at] for i, at in zip(stretches.branch, stretches.middle, strict=True)
    ])
    block = np.floor(middles / block_px).astype(np.intp)
    order = np.lexsort((block[:, 1], block[:, 0]))
    ends = np.flatnonzero(np.any(np.diff(block[order], axis=0) != 0, axis=1)) + 1
    yield from np.split(order, ends)


def _window(graph: CrackGraph, stretches: Stretches) -> tuple[slice, slice]:
    """Rows and columns that the profiles of some stretches touch, as far as the raster reaches."""
    parts = zip(stretches.branch, stretches.first, stretches.last, strict=True)
    points = np.concatenate([graph.branches[i].points_rc[first:last] for i, first, last in parts])
    margin = int(stretches.half.max()) + SAMPLE_MARGIN_PX
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + margin + 1, graph.size_hw)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
