"""`Road`: what `find_road` says of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.geo.homography import transform
from fissura.road.direction import direction_at, mean_direction, orientation_field
from fissura.types import BoolMask, FloatArray


@dataclass(frozen=True, eq=False)
class Road:
    """The road in one frame.

    Attributes:
        mask: Road on a reduced raster, shape (h, w); cell (r, c) covers an equal part of the frame.
        size_hw: Size of the frame in pixels.
        direction_deg: Main direction, 0 to 180, counter-clockwise from the picture's right, as seen; 90 is upright.
            None without a road, or where roads of several directions leave no main one.
        confidence: 0 to 1.
        found: False where the frame shows no road; `mask` is then empty.
    """

    mask: BoolMask
    size_hw: tuple[int, int]
    direction_deg: float | None
    confidence: float
    found: bool

    @classmethod
    def from_mask(
        cls,
        mask: BoolMask,
        size_hw: tuple[int, int],
        *,
        confidence: float = 1.0,
        light: FloatArray | None = None,
        way: FloatArray | None = None,
        meeting: FloatArray | None = None,
    ) -> Road:
        """A road of a given outline, for example drawn by hand or known from a map.

        Args:
            mask: Shape (h, w), any reduction of the frame down to a few cells.
            size_hw: Size of the frame.
            confidence: 0 to 1.
            light: Log lightness of the frame, shape (h, w): lines and seams on the road then tell its direction, too.
            way: Where a network says that roads run, shape (h', w', 2), cosine and sine of twice the direction: which
                of the outline's and the lines' directions counts where roads meet.
            meeting: How probable a network takes it to be that roads of several directions meet, shape (h', w'), 0 to
                1. Without it the outline has to tell.
        Raises:
            GeometryError: Not a boolean mask of two dimensions, or larger than the frame; lightness of another shape
                than the mask, directions that are no pairs, or meetings that are no plane.
        """
        if mask.ndim != 2 or mask.dtype != np.bool_ or min(mask.shape) < 1:
            raise GeometryError(f"the road mask is {mask.dtype} of shape {mask.shape}; needed is a bool mask (h, w)")
        if mask.shape[0] > size_hw[0] or mask.shape[1] > size_hw[1]:
            raise GeometryError(f"the road mask {mask.shape} is larger than the frame {size_hw}; reduce it")
        if light is not None and np.shape(light) != mask.shape:
            raise GeometryError(f"light has the shape {np.shape(light)}; needed is the mask's, {mask.shape}")
        if way is not None and (np.ndim(way) != 3 or np.shape(way)[2] != 2 or not np.size(way)):
            raise GeometryError(f"way has the shape {np.shape(way)}; needed is (h, w, 2), cosine and sine")
        if meeting is not None and (np.ndim(meeting) != 2 or not np.size(meeting)):
            raise GeometryError(f"meeting has the shape {np.shape(meeting)}; needed is (h, w)")
        known = (None if x is None else np.asarray(x, np.float32) for x in (light, way, meeting))
        field = orientation_field(mask, *known)
        direction, agreement = mean_direction(field)
        main = direction if mask.any() and agreement > 0.5 else None
        road = cls(mask, size_hw, main, confidence, bool(mask.any()))
        road.__dict__["_field"] = field
        return road

    @classmethod
    def none(cls, mask_hw: tuple[int, int], size_hw: tuple[int, int], *, confidence: float = 1.0) -> Road:
        """No road in the frame."""
        return cls(np.zeros(mask_hw, np.bool_), size_hw, None, confidence, False)

    def full_mask(self) -> BoolMask:
        """The mask at the frame's size, shape (H, W); its outline runs straight between the cells."""
        height, width = self.size_hw
        # Single bytes are interpolated in fixed point, which is quick and more than exact enough for half or not.
        grown = cv2.resize(self.mask.view(np.uint8) * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(grown > 127)

    def direction_at(self, points_rc: FloatArray) -> npt.NDArray[np.float64]:
        """Direction of the road at points of the frame; follows curves.

        Args:
            points_rc: Shape (N, 2), pixels of the full frame, pixel centres at integers.
        Returns:
            Degrees, 0 to 180, counter-clockwise from the picture's right, as seen. Far from any edge of a road it is
            the main direction, and NaN without one.
        """
        points = np.asarray(points_rc, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise GeometryError(f"points have the shape {points.shape}; needed is (N, 2): row, column")
        scale = np.array(self.mask.shape) / self.size_hw
        angles = direction_at(self._field, self.mask.shape, (points + 0.5) * scale - 0.5)
        return angles if self.direction_deg is None else np.where(np.isnan(angles), self.direction_deg, angles)

    def moved(self, to_frame: FloatArray) -> Road:
        """The same road in the coordinates of another frame of equal size, as prior of that frame.

        Args:
            to_frame: Homography 3x3 from this frame's (x, y) pixels to the other's.
        Returns:
            The road there; what this frame did not show is no road.
        """
        (height, width), (h, w) = self.size_hw, self.mask.shape
        grow = np.array([[width / w, 0, width / w / 2 - 0.5], [0, height / h, height / h / 2 - 0.5], [0, 0, 1]])
        cells = np.linalg.inv(grow) @ np.asarray(to_frame, dtype=np.float64) @ grow
        warped = cv2.warpPerspective(self.mask.view(np.uint8) * np.uint8(255), cells, (w, h), flags=cv2.INTER_LINEAR)
        mask = np.asarray(warped > 127)
        main = None
        if self.direction_deg is not None and mask.any():
            angle = np.radians(self.direction_deg)
            step = np.array([np.cos(angle), -np.sin(angle)])
            middle = np.argwhere(self.mask).mean(axis=0)[::-1]
            dx, dy = np.diff(transform(cells, np.array([middle - step, middle + step])), axis=0)[0]
            main = float(np.degrees(np.arctan2(-dy, dx))) % 180.0
        # A prior is asked for its mask: where its road runs is looked at only when somebody wants to know.
        return Road(mask, self.size_hw, main, self.confidence, bool(mask.any()))

    @cached_property
    def _field(self) -> npt.NDArray[np.float32]:
        return orientation_field(self.mask)
