"""Segment the slices of a road and bring the probabilities back to the frame."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.infer.segmenter import Segmenter
from fissura.road.slices import RoadSlice, RoadSlices
from fissura.types import BoolMask, Probability, RgbImage


def segment_slices(frame: RgbImage, slices: RoadSlices, segmenter: Segmenter) -> tuple[Probability, BoolMask]:
    """Crack probability where the road was looked at.

    Args:
        frame: Shape (H, W, 3), uint8, the frame the slices were planned for.
        slices: From `plan_slices`, with the model's tile.
        segmenter: The model. Slices are handed to it as it asks for them, so that memory does not grow.
    Returns:
        Probability, shape (H, W), 0 where nothing was looked at; and which pixels were, shape (H, W): those in the
        trusted part of at least one slice.
    Raises:
        GeometryError: Another frame, or slices of another size than the model's.
    """
    if slices.tile != segmenter.card.tile:
        raise GeometryError(
            f"slices have {slices.tile} pixels but model '{segmenter.card.name}' needs {segmenter.card.tile}; "
            f"call plan_slices(road, tile={segmenter.card.tile}, overlap={segmenter.card.overlap})"
        )
    total = np.zeros((*slices.size_hw, 2), np.float32)
    seen = np.zeros(slices.size_hw, np.bool_)
    predicted = segmenter.backend.predict_tiles(slices.cut(frame, piece) for piece in slices.slices)
    for piece, probability in zip(slices.slices, predicted, strict=True):
        window = piece.window(slices.size_hw)
        if window is None:
            continue
        total[window] += _to_frame(piece, probability, slices.weight(piece), window)
        seen[window] |= piece.trusted(window)
    weight = total[..., 1]
    probability = np.divide(total[..., 0], weight, out=np.zeros(slices.size_hw, np.float32), where=seen & (weight > 0))
    return np.clip(probability, 0.0, 1.0, out=probability), seen


def _to_frame(
    piece: RoadSlice, probability: Probability, weight: npt.NDArray[np.float32], window: tuple[slice, slice]
) -> npt.NDArray[np.float32]:
    """Weighted probability and weight of a slice on a window of the frame, shape (rows, cols, 2)."""
    rows, cols = window
    # A slice with finer pixels than the frame is averaged first; its thin lines would alias otherwise.
    finer = piece.tile / piece.side_px
    if finer > 1.5:
        probability = cv2.GaussianBlur(probability, (0, 0), 0.4 * finer, borderType=cv2.BORDER_REFLECT_101)
    shift = np.array([[1.0, 0, -cols.start], [0, 1.0, -rows.start], [0, 0, 1.0]])
    size = cols.stop - cols.start, rows.stop - rows.start
    both = np.dstack([probability * weight, weight])
    warped = cv2.warpPerspective(
        both, shift @ piece.matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(warped, dtype=np.float32)
