"""Short straight finds on a line that the picture carries on, ruled, beyond their ends: pieces of joints and seals.

A network finds a joint here and there, in pieces too short to tell by themselves (`fissura.survey.joints`). But the
picture shows what they are pieces of: in front of them and behind them the same dark line goes straight on. Where a
crack goes on beyond what was found of it, it wanders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fissura.geo.scale import GroundScale
from fissura.measure.flanks import BLACK, FLANK_PX, GAP_PX
from fissura.measure.keeping import keep, left_out, length_m
from fissura.measure.measuring import branch_confidence, width_per_px
from fissura.measure.model import Branch, CrackGraph, Points, Values
from fissura.measure.widths import WidthReport
from fissura.measure.windows import ReadRgb
from fissura.spec import ConfidenceCurve
from fissura.survey.joints import (
    LONG_GSD_MM,
    LONG_MM,
    LONG_WIDTH_MM,
    LONG_WIDTH_PX,
    LONG_WINDOW_MM,
    UNSURE,
    WANDER_PER_M_MM,
)

LEAST_MM, LEAST_SURE_MM, REACH_MM, BLOCK_MM = 150.0, 500.0, 1000.0, 50.0
"""Shorter finds give no direction, and those that are sure (`UNSURE`) have to be longer. So far beyond its ends a
find's line is followed, in blocks of the last length, over which the grain of the ground evens out."""
FINE_MM, FINE_PX = 8.0, 1.6
"""Unsure finds are judged from this width on: the mean of a block tells a place to a fraction of a pixel."""
AS_DARK, _ASIDE_PX = 0.4, 4.0
"""A block carries the line on if, so near to where it should be, something is darker than its surroundings by this
share of what the find is."""
CARRIED = 0.8
"""Share of the blocks that have to, over a line of `LONG_MM` at least, the find included."""
_AT_ONCE_PX = 512


@dataclass(frozen=True, eq=False)
class _Strip:
    """The picture along a straight line, averaged in blocks.

    Attributes:
        dark: Share of light missing in each block, shape (M,); NaN where the ground was not seen.
        aside_px: Where it is darkest, beside the line, shape (M,).
        first: Index of the find's first block.
        last: Of its last, inclusive.
    """

    dark: Values
    aside_px: Values
    first: int
    last: int


def without_ruled(
    graph: CrackGraph, widths: WidthReport, read_rgb: ReadRgb, scale: GroundScale | None, curve: ConfidenceCurve
) -> tuple[CrackGraph, WidthReport, tuple[float, ...]]:
    """Leave out straight finds on lines that go straight on in the picture.

    Args:
        graph: Centrelines.
        widths: Of its branches.
        read_rgb: Reads a window of the picture they were found in.
        scale: Without one nothing is left out.
        curve: Of the network that found them.
    Returns:
        What is left, and the length in metres of each branch that was left out.
    """
    if scale is None:
        return graph, widths, ()
    lost = {
        k for k, (branch, measured) in enumerate(zip(graph.branches, widths.branches, strict=True))
        if _is_ruled(branch, measured.width_px, read_rgb, scale, graph.size_hw, branch_confidence(branch, curve))
    }  # fmt: skip
    kept = [k for k in range(len(graph.branches)) if k not in lost]
    return (*keep(graph, widths, kept), tuple(length_m(graph.branches[k].points_rc, scale) for k in sorted(lost)))


def _is_ruled(
    branch: Branch, width_px: Values, read_rgb: ReadRgb, scale: GroundScale, size_hw: tuple[int, int], sure: float
) -> bool:
    per_px = float(np.mean(width_per_px(branch.points_rc, scale)))
    width = float(width_px.mean())
    least = (LONG_WIDTH_PX, LONG_WIDTH_MM) if sure >= UNSURE else (FINE_PX, FINE_MM)
    if width < least[0] or not least[1] <= width * per_px <= LONG_GSD_MM * width:
        return False
    middle = branch.points_rc.mean(axis=0)
    along = np.linalg.svd(branch.points_rc - middle, full_matrices=False)[2][0]
    at = (branch.points_rc - middle) @ along
    length = float(at.max() - at.min()) * per_px
    shortest, longest = (LEAST_SURE_MM, LONG_MM) if sure >= UNSURE else (LEAST_MM, LONG_WINDOW_MM)
    if not shortest <= length <= longest:  # longer ones are judged by themselves
        return False
    strip = _look_along(middle, along, (float(at.min()), float(at.max())), width, per_px, read_rgb, size_hw)
    return _goes_straight_on(strip, per_px)


def _look_along(
    middle: Points, along: Points, ends: tuple[float, float], width: float, per_px: float, read_rgb: ReadRgb,
    size_hw: tuple[int, int],
) -> _Strip:  # fmt: skip
    block = max(round(BLOCK_MM / per_px), 1)
    beyond = round(REACH_MM / per_px / block)
    own = max(int((ends[1] - ends[0]) / block), 1)
    count = own + 2 * beyond
    start = (ends[0] + ends[1]) / 2 - count * block / 2
    side = int(np.ceil(width / 2 + _ASIDE_PX + FLANK_PX))
    s = start + np.arange(count * block) + 0.5
    u = np.arange(-side, side + 1, dtype=np.float64)
    across = np.array([-along[1], along[0]])
    # Aslant, a long strip lies in a large window: piece by piece.
    values = np.concatenate([
        _sample(middle + part[:, None, None] * along + u[None, :, None] * across, read_rgb, size_hw)
        for part in np.array_split(s, -(-len(s) // _AT_ONCE_PX))
    ])  # fmt: skip
    seen = (values > BLACK).reshape(count, block, -1).mean(axis=(1, 2)) > 0.9
    profile = values.reshape(count, block, -1).mean(axis=1)
    broad = max(round(width), 1)
    inside = cv2.blur(profile, (broad, 1), borderType=cv2.BORDER_REPLICATE)
    near = np.abs(u) <= _ASIDE_PX
    best = np.where(near, inside, np.inf).argmin(axis=1)
    rows = np.arange(count)
    before, peak, after = (inside[rows, np.clip(best + d, 0, len(u) - 1)] for d in (-1, 0, 1))
    aside = u[best] + np.clip(0.5 * (before - after) / np.maximum(before - 2 * peak + after, 1e-6), -0.5, 0.5)
    ground = np.abs(u[None] - aside[:, None]) >= width / 2 + GAP_PX
    around = (profile * ground).sum(axis=1) / ground.sum(axis=1)
    dark = np.where(seen, 1.0 - peak / np.maximum(around, 1e-6), np.nan)
    return _Strip(dark, aside, beyond, beyond + own - 1)


def _sample(at: Points, read_rgb: ReadRgb, size_hw: tuple[int, int]) -> Values:
    """Grey at points (row, column), shape (M, K, 2) to (M, K); 0 outside of the picture."""
    low = np.clip(np.floor(at.min(axis=(0, 1))).astype(int) - 1, 0, np.array(size_hw) - 1)
    high = np.clip(np.ceil(at.max(axis=(0, 1))).astype(int) + 2, low + 1, size_hw)
    grey = cv2.cvtColor(read_rgb(slice(low[0], high[0]), slice(low[1], high[1])), cv2.COLOR_RGB2GRAY)
    r, c = ((at[..., k] - low[k]).astype(np.float32) for k in (0, 1))
    values = cv2.remap(grey, c, r, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(values, np.float64)


def _goes_straight_on(strip: _Strip, per_px: float) -> bool:
    """Whether some stretch of `LONG_MM` and more around the find is one ruled dark line."""
    own = strip.dark[strip.first : strip.last + 1]
    if not np.isfinite(own).any() or np.nanmedian(own) <= 0:
        return False
    carried = strip.dark >= AS_DARK * np.nanmedian(own)  # NaN is not
    block_mm = max(round(BLOCK_MM / per_px), 1) * per_px
    need = int(np.ceil(LONG_MM / block_mm))
    size = max(need, strip.last - strip.first + 1 + need // 2)
    for first in range(max(strip.last - size + 1, 0), min(strip.first, len(carried) - size) + 1):
        part = slice(first, first + size)
        if carried[part].mean() < CARRIED:
            continue
        at = np.arange(size)[carried[part]]
        beside = strip.aside_px[part][carried[part]]
        stray = float(np.std(beside - np.polyval(np.polyfit(at, beside, 1), at))) * per_px
        if stray < WANDER_PER_M_MM * size * block_mm / 1000.0:
            return True
    return False


def describe_ruled(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what `without_ruled` left out; none if that was nothing."""
    return left_out(
        lengths_m,
        f"they lie on a dark line that goes straight on in the picture, {LONG_MM / 1000.0:g} m and more, as "
        "joints and seals do and cracks do not",
        "straight finds",
    )
