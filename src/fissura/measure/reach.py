"""How far from the camera a view at an angle is measured: towards the horizon pixels grow without bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fissura.geo.scale import GroundScale
from fissura.types import BoolMask

LARGEST_GSD_RATIO = 30.0
"""Ground size of a pixel, as a multiple of the smallest in the picture, beyond which nothing is measured.

Of a lens with 50° of view from edge to edge it cuts what lies less than about 5° below the horizon, where 1° of tilt
makes lengths along the view wrong by two fifths. Views of 30° and more below level are not cut but at their upper edge.
"""
LEAST_BELOW_HORIZON_PX = 2.0
"""Lines go on half a pixel beyond the mask, and must not reach the horizon."""


@dataclass(frozen=True, eq=False)
class Reach:
    """What of a picture is measured.

    Attributes:
        near: Shape (H, W), True where it is.
        gsd_mm: Ground size of the last pixels that are.
    """

    near: BoolMask
    gsd_mm: float

    def describe(self, mask: BoolMask) -> str:
        """A note for people.

        Args:
            mask: What was found, before it was cut.
        """
        lost = int((mask & ~self.near).sum())
        share = 100.0 * float(1.0 - self.near.mean())
        found = f"{lost} pixels of the crack mask lie there" if lost else "no pixel of the crack mask lies there"
        limit = float(f"{self.gsd_mm:.3g}")
        return (
            f"the view reaches too far: {share:.2g} % of the picture, where a pixel is more than {limit:g} mm "
            f"({LARGEST_GSD_RATIO:g} times as much as nearest to the camera) or beyond the horizon, are not measured; "
            f"{found}"
        )


def find_reach(scale: GroundScale, size_hw: tuple[int, int]) -> Reach | None:
    """Where a picture is measured, or None if everywhere.

    Args:
        scale: Pixels to the ground.
        size_hw: Rows and columns of the picture.
    """
    height, width = size_hw
    x, y, one = scale.matrix[2]
    corners = np.array([x * column + y * row + one for row in (0, height - 1) for column in (0, width - 1)])
    # The ground size of a pixel is (|det M| / depth³)^½, and depth changes evenly over the picture.
    nearest = float(corners.max())
    limit = max(nearest / LARGEST_GSD_RATIO ** (2 / 3), LEAST_BELOW_HORIZON_PX * float(np.hypot(x, y)))
    if corners.min() >= limit:
        return None
    near = x * np.arange(width)[None] + (y * np.arange(height) + one)[:, None] >= limit
    return Reach(near, float(np.sqrt(abs(np.linalg.det(scale.matrix)) / limit**3)))
