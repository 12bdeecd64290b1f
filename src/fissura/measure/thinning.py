"""Thin a mask to a skeleton one pixel wide, at a cost that follows the crack pixels and not the picture.

Rosenfeld's four-direction thinning: layer by layer, the northern, southern, eastern and western border pixels go
that are simple (their removal joins and splits nothing) and are no line's end. Each pixel's eight neighbours are
kept as one byte, which removals update, so a pass costs the border's length; pixels whose neighbourhood did not
change are not looked at again. Components, holes and their nesting stay exactly as they were.

Source: Rosenfeld (1975), "A characterization of parallel thinning algorithms", doi:10.1016/S0019-9958(75)90448-9.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from fissura.types import BoolMask

Flat = npt.NDArray[np.intp]
"""Positions in a flattened array."""

_RING_RC = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # Clockwise from north.
_PASSES = (0, 4, 2, 6)  # North, south, east, west, as bits of the ring.


def thin(padded: npt.NDArray[np.uint8], pixels: Flat) -> Flat:
    """Skeleton pixels of a mask.

    Args:
        padded: Shape (H, W), 0 or 1, with a rim of zeros. Changed: holds the skeleton afterwards.
        pixels: Positions of its ones in ``padded.ravel()``, sorted.
    Returns:
        Positions of the skeleton, sorted.
    """
    state = padded.ravel()
    offsets = [row * padded.shape[1] + column for row, column in _RING_RC]
    code = np.zeros(state.size, np.uint8)
    around = np.zeros(len(pixels), np.uint8)
    for bit, offset in enumerate(offsets):
        around |= state[pixels + offset] << np.uint8(bit)
    code[pixels] = around
    removable = _removable()
    queue = pixels[around != 255]
    while len(queue):
        changed = []
        for direction in _PASSES:
            goes = removable[direction][code[queue]]
            gone, queue = queue[goes], queue[~goes]
            state[gone] = 0
            for bit, offset in enumerate(offsets):
                # Seen from the neighbour, the pixel that went is on the opposite side. Within one offset
                # every neighbour occurs once, so the update in place is safe.
                code[gone + offset] &= np.uint8(255 ^ (1 << (bit + 4) % 8))
            changed.append(gone)
        queue = _touched(state, np.concatenate(changed), offsets)
    return pixels[state[pixels] > 0]


def fill_small_holes(mask: npt.NDArray[np.uint8], max_px: int) -> None:
    """Fill holes of up to ``max_px`` pixels in place. A hole is 4-connected background that touches no border.

    Args:
        mask: Shape (H, W), 0 or 1.
        max_px: Largest hole to fill, in pixels; 0 fills none.
    """
    if max_px < 1:
        return
    contours, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return
    longest = 4 * max_px + 8  # A contour of more pixels encloses more than max_px, whatever its shape.
    holes = [contours[i] for i in np.flatnonzero(tree[0, :, 3] >= 0).tolist() if len(contours[i]) <= longest]
    # The contour runs through the crack pixels around the hole; Pick's theorem counts the pixels within.
    small = [hole for hole in holes if cv2.contourArea(hole) - len(hole) / 2 + 1 <= max_px]
    if small:
        cv2.drawContours(mask, small, -1, 1, thickness=cv2.FILLED)


def skeleton_mask(mask: BoolMask) -> BoolMask:
    """The skeleton as a picture, for looking at. Shape of ``mask``."""
    padded = np.pad(mask.astype(np.uint8), 1)
    thin(padded, np.flatnonzero(padded))
    return np.asarray(padded[1:-1, 1:-1] > 0, np.bool_)


def _touched(state: npt.NDArray[np.uint8], gone: Flat, offsets: list[int]) -> Flat:
    """Pixels left next to the removed ones, each once."""
    found = []
    for offset in offsets:
        near = gone + offset
        near = near[state[near] == 1]
        state[near] = 2
        found.append(near)
    touched = np.concatenate(found)
    state[touched] = 1
    return touched


@cache
def _removable() -> dict[int, npt.NDArray[np.bool_]]:
    """For each direction, which of the 256 neighbourhoods let a pixel go that has background there."""
    codes = np.arange(256)
    bits = (codes[:, None] >> np.arange(8)) & 1
    # Crossing number for 8-connected lines (Hilditch): how many separate pieces of line meet here.
    following, after = np.roll(bits, -1, axis=1), np.roll(bits, -2, axis=1)
    pieces = ((1 - bits) * (1 - (1 - following) * (1 - after)))[:, ::2].sum(axis=1)
    simple = (pieces == 1) & (bits.sum(axis=1) >= 2)
    return {direction: np.asarray(simple & (bits[:, direction] == 0), np.bool_) for direction in _PASSES}
