"""The flight at a glance: everything the frames show, small, for the mosaic behind the cracks."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fissura.geo.homography import transform
from fissura.survey.pose import Matrix, depth
from fissura.types import RgbImage

REDUCTION = 8
"""Ground pixels for each pixel of the backdrop."""
_TILE = 256


class Backdrop:
    """Frames pasted over each other at an eighth of the ground's size; the latest lies on top."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int], npt.NDArray[np.uint8]] = {}

    @property
    def bounds_rc(self) -> tuple[int, int, int, int] | None:
        """First and last (exclusive) row and column in ground pixels; None if nothing was pasted."""
        if not self._tiles:
            return None
        rows, columns = zip(*self._tiles, strict=True)
        side = _TILE * REDUCTION
        return min(rows) * side, min(columns) * side, (max(rows) + 1) * side, (max(columns) + 1) * side

    def paste(self, rgb: RgbImage, ground: Matrix) -> None:
        """Add a frame.

        Args:
            rgb: Shape (H, W, 3).
            ground: Frame pixel to ground pixel.
        """
        h, w = rgb.shape[:2]
        small = cv2.resize(rgb, (max(w // REDUCTION, 1), max(h // REDUCTION, 1)), interpolation=cv2.INTER_AREA)
        # Middles of pixels are at whole numbers, so a reduction moves them.
        x, y = w / small.shape[1], h / small.shape[0]
        up = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1.0]])
        down = np.array([[1.0, 0, (1 - REDUCTION) / 2], [0, 1.0, (1 - REDUCTION) / 2], [0, 0, REDUCTION]])
        full = down @ ground @ up
        outline = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * small.shape[1::-1] - 0.5
        if depth(full, outline).min() <= 0:
            return  # the horizon is in view
        corners = transform(full, outline)
        left, top = np.floor(corners.min(axis=0)).astype(int)
        right, bottom = np.ceil(corners.max(axis=0)).astype(int)
        if (right - left) * (bottom - top) > 40 * small.shape[0] * small.shape[1]:
            return  # a view close to the horizon covers too much ground to be drawn
        shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
        size = int(right - left), int(bottom - top)
        warped = cv2.warpPerspective(small, shift @ full, size, flags=cv2.INTER_LINEAR)
        inside = cv2.warpPerspective(np.full(small.shape[:2], 255, np.uint8), shift @ full, size) == 255
        for row in range(top // _TILE, -(-bottom // _TILE)):
            for column in range(left // _TILE, -(-right // _TILE)):
                r0, r1 = max(top, row * _TILE), min(bottom, (row + 1) * _TILE)
                c0, c1 = max(left, column * _TILE), min(right, (column + 1) * _TILE)
                part = (slice(r0 - top, r1 - top), slice(c0 - left, c1 - left))
                if r0 >= r1 or c0 >= c1 or not inside[part].any():
                    continue
                tile = self._tiles.setdefault((row, column), np.zeros((_TILE, _TILE, 3), np.uint8))
                target = tile[r0 - row * _TILE : r1 - row * _TILE, c0 - column * _TILE : c1 - column * _TILE]
                np.copyto(target, warped[part], where=inside[part][:, :, None])

    def read(self, top: int, left: int, bottom: int, right: int) -> RgbImage:
        """Ground rows and columns (multiples of `REDUCTION`), at an eighth of their size; black where nothing is."""
        r0, c0, r1, c1 = (v // REDUCTION for v in (top, left, bottom, right))
        out = np.zeros((r1 - r0, c1 - c0, 3), np.uint8)
        for (row, column), tile in self._tiles.items():
            a0, a1 = max(r0, row * _TILE), min(r1, (row + 1) * _TILE)
            b0, b1 = max(c0, column * _TILE), min(c1, (column + 1) * _TILE)
            if a0 < a1 and b0 < b1:
                out[a0 - r0 : a1 - r0, b0 - c0 : b1 - c0] = tile[
                    a0 - row * _TILE : a1 - row * _TILE, b0 - column * _TILE : b1 - column * _TILE
                ]
        return out
