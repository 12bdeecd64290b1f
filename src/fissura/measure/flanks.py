"""Grey and green of a find and of the ground on both of its sides."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fissura.measure.model import Branch, Points, Values
from fissura.measure.windows import ReadRgb

_EVERY, _AT_ONCE = 5, 100
"""Points apart that are looked at, and how many in one window."""
FLANK_PX, GAP_PX = 10, 3.0
"""Width of the ground that counts on either side, and its distance from the crack's edge."""
_MIDDLE = 0.6
"""Share of the width that counts as the middle."""
BLACK = 3.0
"""Grey up to here is ground that nobody saw."""
_LEAST_SEEN = 3
"""Pixels of a side that must have been seen for it to count."""
_CHORD = 5


@dataclass(frozen=True)
class Flanks:
    """What the picture shows across a find, at every fifth of its points.

    Attributes:
        middle: Mean grey inside, shape (M,), 0 to 255.
        sides: Of the ground to the left and to the right, as far as it was seen, shape (2, M); NaN where it was not.
        green: Excess green inside, shape (M,): 2G - R - B as a share of R + G + B, -1 to 2; grey is 0, grass .1 to .5.
        green_sides: Of the sides, shape (2, M); NaN where they were not seen.
    """

    middle: Values
    sides: Values
    green: Values
    green_sides: Values

    @property
    def darkness(self) -> Values:
        """Share of light missing in the middle, compared with the darker of its two sides, shape (M,).

        0 is no darker, 1 is black, below 0 is brighter; NaN where neither side was seen. A side that was not seen does
        not count.
        """
        return np.asarray(1.0 - self.middle / np.fmin(*self.sides), np.float64)

    @property
    def unevenness(self) -> Values:
        """Share of light that one side lacks of the other's, shape (M,), -1 to 1.

        Above 0 where the right one is darker, below where the left one is: grain evens out in a mean or median. NaN
        where one of them was not seen.
        """
        left, right = self.sides
        return np.asarray((left - right) / np.maximum(left, right), np.float64)


def flanks_along(branch: Branch, width_px: Values, read_rgb: ReadRgb, size_hw: tuple[int, int]) -> Flanks:
    """Look at a find and at the ground beside it.

    Args:
        branch: The find.
        width_px: At its points, shape (N,).
        read_rgb: Reads a window of the picture.
        size_hw: Rows and columns of the picture.
    """
    points = branch.points_rc
    index = np.arange(len(points))
    chord = points[np.minimum(index + _CHORD, len(points) - 1)] - points[np.maximum(index - _CHORD, 0)]
    across = np.column_stack([-chord[:, 1], chord[:, 0]])
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    chosen = index[::_EVERY]
    parts = [
        _part(points[some], across[some], width_px[some], read_rgb, size_hw)
        for some in np.array_split(chosen, -(-len(chosen) // _AT_ONCE))
    ]
    return Flanks(
        np.concatenate([p.middle for p in parts]), np.concatenate([p.sides for p in parts], axis=1),
        np.concatenate([p.green for p in parts]), np.concatenate([p.green_sides for p in parts], axis=1),
    )  # fmt: skip


def _part(points: Points, across: Points, width: Values, read_rgb: ReadRgb, size_hw: tuple[int, int]) -> Flanks:
    reach = int(np.ceil(width.max() / 2 + GAP_PX + FLANK_PX)) + 1
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - reach, 0, np.array(size_hw) - 1)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + reach + 1, low + 1, size_hw)
    rgb = read_rgb(slice(low[0], high[0]), slice(low[1], high[1]))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    offsets = np.arange(-reach, reach + 1)
    at = points[:, None] + offsets[None, :, None] * across[:, None] - low
    r, c = at[..., 0].astype(np.float32), at[..., 1].astype(np.float32)
    values = cv2.remap(grey, c, r, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)
    # A sample counts where the picture holds all the pixels it is made of, and one of ground where none is black.
    known = np.dstack([np.ones(grey.shape, np.float32), grey > BLACK]).astype(np.float32)
    seen = cv2.remap(known, c, r, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0) > 0.99
    inside, lit = seen[..., 0], seen[..., 1]
    edge = width[:, None] / 2 + GAP_PX
    beside = [lit & (sign * offsets >= edge) & (sign * offsets < edge + FLANK_PX) for sign in (-1, 1)]
    within = inside & (np.abs(offsets) <= np.maximum(_MIDDLE * width[:, None] / 2, 0.5))
    colours = cv2.remap(rgb, c, r, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)
    return Flanks(
        _mean(values, within, 1), np.stack([_mean(values, where, _LEAST_SEEN) for where in beside]),
        _green(colours, within, 1), np.stack([_green(colours, where, _LEAST_SEEN) for where in beside]),
    )  # fmt: skip


def _green(colours: Values, where: npt.NDArray[np.bool_], least: int) -> Values:
    """Excess green of the mean colour of the samples that count, shape (M,): single dark pixels have any colour."""
    red, green, blue = (_mean(colours[..., k], where, least) for k in range(3))
    return np.asarray((2 * green - red - blue) / np.maximum(red + green + blue, 1.0), np.float64)


def _mean(values: Values, where: npt.NDArray[np.bool_], least: int) -> Values:
    """Mean of the samples that count, shape (M,); NaN where they are fewer than `least`."""
    count = where.sum(axis=1)
    return np.where(count >= least, (values * where).sum(axis=1) / np.maximum(count, 1), np.nan)
