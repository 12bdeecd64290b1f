"""Road slices: square pieces of a frame that stand in the road's own direction, cut by one interpolation.

A slice is a plane map from its pixels to the frame's: a turn and a scale over a vertical picture, a homography over
an oblique one. Its trusted part is what lies at least half an overlap from its sides; neighbours are planned so that
trusted parts leave no gap, and blended by weights that fall towards the sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.geo.homography import transform
from fissura.types import BoolMask, RgbImage

Matrix = npt.NDArray[np.float64]

_MOST_SAMPLES = 8
"""A slice samples at most 8 by 8 frame pixels for one of its own."""


@dataclass(frozen=True, eq=False)
class RoadSlice:
    """One square slice.

    Attributes:
        matrix: Shape (3, 3), slice (x, y) to frame (x, y), pixel centres at integers.
        tile: Side of the slice in its own (the model's) pixels.
        direction_deg: Direction of the road in the frame that runs upwards in the slice, 0 to 180.
        margins_px: Untrusted rim at the slice's upper, right, lower and left side, in its own pixels.
    """

    matrix: Matrix
    tile: int
    direction_deg: float
    margins_px: tuple[float, float, float, float]

    def frame_from_slice(self) -> Matrix:
        """Homography from slice (x, y) to frame (x, y), shape (3, 3)."""
        return self.matrix.copy()

    @property
    def centre_rc(self) -> tuple[float, float]:
        """Middle of the slice in the frame (row, column)."""
        middle = (self.tile - 1) / 2
        x, y = transform(self.matrix, np.array([[middle, middle]]))[0]
        return float(y), float(x)

    @property
    def corners_rc(self) -> npt.NDArray[np.float64]:
        """Outer corners in the frame (row, column), shape (4, 2): upper left, upper right, lower right, lower left."""
        low, high = -0.5, self.tile - 0.5
        square = np.array([[low, low], [high, low], [high, high], [low, high]])
        return transform(self.matrix, square)[:, ::-1]

    @property
    def side_px(self) -> float:
        """Side of the square in frame pixels; over an oblique view the mean of its four sides."""
        corners = self.corners_rc
        return float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).mean())

    @cached_property
    def samples(self) -> int:
        """Samples along each axis that one slice pixel averages, so that shrinking loses no thin line."""
        side = self.tile
        at = np.array([[0, 0], [side, 0], [side, side], [0, side], [side / 2, side / 2]], np.float64)
        steps = [transform(self.matrix, at + step) - transform(self.matrix, at) for step in ([1.0, 0.0], [0.0, 1.0])]
        largest = max(float(np.linalg.norm(step, axis=1).max()) for step in steps)
        return int(np.clip(np.ceil(largest - 0.25), 1, _MOST_SAMPLES))

    def window(self, size_hw: tuple[int, int]) -> tuple[slice, slice] | None:
        """Rows and columns of the frame that the slice touches; None if it lies outside."""
        low, high = np.floor(self.corners_rc.min(axis=0)), np.ceil(self.corners_rc.max(axis=0)) + 1
        rows, cols = (
            slice(max(int(a), 0), min(int(b), size)) for a, b, size in zip(low, high, size_hw, strict=True)
        )  # fmt: skip
        return (rows, cols) if rows.start < rows.stop and cols.start < cols.stop else None

    def trusted(self, window: tuple[slice, slice]) -> BoolMask:
        """Which pixels of a window of the frame lie in the trusted part."""
        rows, cols = (np.arange(part.start, part.stop, dtype=np.float64) for part in window)
        inverse = np.linalg.inv(self.matrix)
        inverse /= inverse[2, 2]
        x, y, w = (inverse[k, 0] * cols[None] + (inverse[k, 1] * rows + inverse[k, 2])[:, None] for k in range(3))
        top, right, bottom, left = self.margins_px
        # A hundredth of a pixel of grace: slices that touch must not lose a pixel to rounding.
        low_x, high_x, low_y, high_y = left - 0.51, self.tile - 0.49 - right, top - 0.51, self.tile - 0.49 - bottom
        if inverse[2, 0] != 0 or inverse[2, 1] != 0:
            ahead = w > 0
            x, y = x / np.where(ahead, w, 1.0), y / np.where(ahead, w, 1.0)
            return np.asarray(ahead & (x >= low_x) & (x <= high_x) & (y >= low_y) & (y <= high_y))
        return np.asarray((x >= low_x) & (x <= high_x) & (y >= low_y) & (y <= high_y))


@dataclass(frozen=True, eq=False)
class RoadSlices:
    """The slices of one frame.

    Attributes:
        slices: Along the roads, one after the other.
        kind: ``road``, or ``whole frame`` where no road was found and all of the frame is looked at.
        size_hw: Size of the frame in pixels.
        tile: Side of a slice in the model's pixels.
        overlap: Overlap of neighbours in the model's pixels.
        scale: Model pixels per frame pixel; over an oblique view at the middle of the road.
    """

    slices: tuple[RoadSlice, ...]
    kind: Literal["road", "whole frame"]
    size_hw: tuple[int, int]
    tile: int
    overlap: int
    scale: float

    def __len__(self) -> int:
        return len(self.slices)

    def cut(self, frame: RgbImage, piece: RoadSlice) -> RgbImage:
        """Cut a slice from the full-resolution frame; the road runs upwards in it.

        Args:
            frame: Shape (H, W, 3), uint8.
            piece: One of `slices`.
        Returns:
            Shape (tile, tile, 3). Beyond the frame it is mirrored.
        """
        self._check(frame)
        k, side = piece.samples, piece.tile
        if k == 1:
            return _warp(frame, piece.matrix, side, cv2.INTER_CUBIC)
        # Finer samples, then their mean: an area average in one interpolation of the frame.
        finer = np.array([[1 / k, 0, 0.5 / k - 0.5], [0, 1 / k, 0.5 / k - 0.5], [0, 0, 1]])
        samples = _warp(frame, piece.matrix @ finer, side * k, cv2.INTER_LINEAR)
        return np.asarray(cv2.resize(samples, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def weight(self, piece: RoadSlice) -> npt.NDArray[np.float32]:
        """Blend weights of a slice, shape (tile, tile), above 0; divided by their sum over all slices they are one.

        At the end of its trusted part a slice weighs half of what it does inside, on each axis and each side.
        """
        top, right, bottom, left = piece.margins_px
        return blend_ramp(piece.tile, (top, bottom))[:, None] * blend_ramp(piece.tile, (left, right))[None]

    def looked_at(self) -> BoolMask:
        """Pixels of the frame that lie in the trusted part of a slice, shape (H, W)."""
        out = np.zeros(self.size_hw, np.bool_)
        for piece in self.slices:
            window = piece.window(self.size_hw)
            if window is not None:
                out[window] |= piece.trusted(window)
        return out

    def _check(self, frame: RgbImage) -> None:
        if frame.ndim != 3 or frame.shape[:2] != self.size_hw or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise GeometryError(
                f"the frame is {frame.dtype} of shape {frame.shape}; "
                f"the slices were planned for uint8 of {(*self.size_hw, 3)}"
            )


def blend_ramp(tile: int, margins: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Raised cosine over twice the margin at either end, above 0 everywhere, shape (tile,)."""
    centre = np.arange(tile) + 0.5
    ramp = np.ones(tile)
    for distance, margin in ((centre, margins[0]), (tile - centre, margins[1])):
        if margin > 0:
            ramp = np.minimum(ramp, np.sin(0.25 * np.pi * np.clip(distance / margin, 0.0, 2.0)) ** 2)
    return np.asarray(ramp, dtype=np.float32)


def _warp(frame: RgbImage, matrix: Matrix, side: int, method: int) -> RgbImage:
    flags = method | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REFLECT_101
    if matrix[2, 0] == 0 and matrix[2, 1] == 0:
        out = cv2.warpAffine(frame, matrix[:2] / matrix[2, 2], (side, side), flags=flags, borderMode=border)
    else:
        out = cv2.warpPerspective(frame, matrix, (side, side), flags=flags, borderMode=border)
    return np.asarray(out, dtype=np.uint8)
