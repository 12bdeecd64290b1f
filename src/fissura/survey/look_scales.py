"""At which sizes a frame is looked at, and how a coarser look fills the gaps of a finer one."""

from __future__ import annotations

import cv2
import numpy as np

from fissura.types import Probability

_NEAR_PX, _AROUND_PX, _KNOWN = 3.0, 48.0, 0.7
"""Pixels of the coarser look: what lies so near to a find is found; so much of it in a window of this side is all."""
COARSE_LOOK_MM = 10.0
"""Ground size of the network's pixels in a second, coarser look. On drawn roads of 5 mm a pixel it found the wide and
straight cracks that the finer one takes for joints: recall 0.97 against 0.81 (docs/LOG.md)."""


def plan_look_scales(scale: float, gsd_mm: float | None) -> tuple[float, ...]:
    """Scales at which a frame is looked at: ``scale``, and a coarser one where its pixels are fine.

    Args:
        scale: Enlargement of slices.
        gsd_mm: Ground size of the frame's pixels; None if not known.

    >>> plan_look_scales(1.5, 5.0), plan_look_scales(1.5, 17.0), plan_look_scales(1.5, None)
    ((1.5, 0.5), (1.5,), (1.5, 0.5))
    """
    coarse = scale / 3 if gsd_mm is None else gsd_mm / COARSE_LOOK_MM
    return (scale, max(coarse, 0.1)) if coarse <= scale / 1.5 else (scale,)


def fill_gaps(fine: Probability, coarse: Probability, scale: float, threshold: float) -> Probability:
    """What a fine look found, and what a coarser one adds where the fine one found little of it.

    The coarse look closes the gaps of wide and of straight cracks. In a net of fine cracks it sees one broad band,
    so where the fine look has most of what the coarse one sees, it stands alone.

    Args:
        fine: Probability, shape (H, W).
        coarse: The same from the coarser look.
        scale: Enlargement of the coarser look.
        threshold: Above which a pixel is crack.
    """
    found, wide = (fine > threshold).view(np.uint8), (coarse > threshold).view(np.uint8)
    reach = 2 * round(_NEAR_PX / scale) + 1
    near = cv2.dilate(found, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    side = round(_AROUND_PX / scale)
    around = cv2.boxFilter(wide.astype(np.float32), -1, (side, side), normalize=False)
    known = cv2.boxFilter((wide & near).astype(np.float32), -1, (side, side), normalize=False)
    added = (wide > 0) & (known < _KNOWN * around)
    return np.where(added, np.maximum(fine, coarse), fine)
