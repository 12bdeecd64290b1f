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


FAINT_FROM_MM, FAINT_GROWTH, FAINT_MOST = 7.0, 6.0, 10.0
"""Ground size of the network's pixels from which most cracks are finer than a pixel, how the odds of what is faint grow
beyond, and by how much at most. On drawn roads the threshold of the best F-measure is then 0.5 (docs/LOG.md)."""

_BROAD_PX = 9.0
"""Pixels of the network: what is broader needs no help to be seen."""


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


def faint_odds(network_mm: float | None) -> float:
    """Factor for the odds of a crack where the network's pixels are coarse; 1 is none.

    Networks are trained so that 0.5 divides best on pictures from nearby. From afar cracks are finer than a pixel and
    faint, and the same networks are as right at much lower probabilities.

    Args:
        network_mm: Ground size of a pixel as the network sees it; None if not known.

    >>> faint_odds(5.0), round(faint_odds(8.5), 2), faint_odds(17.0), faint_odds(None)
    (1.0, 3.21, 10.0, 1.0)
    """
    if network_mm is None:
        return 1.0
    return float(np.clip((network_mm / FAINT_FROM_MM) ** FAINT_GROWTH, 1.0, FAINT_MOST))


def raise_faint(probability: Probability, odds: float, threshold: float, scale: float = 1.0) -> Probability:
    """Probabilities with the odds of fine lines multiplied, shape as given.

    What is broad is not faint for its fineness: of shadows and stains a network is less sure because they are none.
    Where the raised probabilities would make a broad patch, they stay as they were.

    Args:
        probability: Shape (H, W).
        odds: From `faint_odds`.
        threshold: Above which a pixel is crack.
        scale: Pixels of the network for one of these.
    """
    if odds == 1.0:
        return probability
    factor = np.float32(odds)
    raised = factor * probability / (1 + (factor - 1) * probability)
    found = raised > threshold
    if not found.any():  # as in most slices of a flight
        return np.asarray(raised, np.float32)
    side = max(round(_BROAD_PX / scale), 3) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    broad = cv2.dilate(cv2.morphologyEx(found.view(np.uint8), cv2.MORPH_OPEN, disc), disc)
    return np.asarray(np.where(broad > 0, probability, raised), np.float32)


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
