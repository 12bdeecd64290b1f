"""Windows of a raster, whichever way it is stored, and pictures of single cracks cut from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from fissura.geo.scale import GroundScale
from fissura.imaging.raster import RasterScene, open_raster
from fissura.imaging.read import read_image
from fissura.imaging.scene import MemoryScene
from fissura.imaging.write import Placement
from fissura.measure.model import Points
from fissura.survey.ground_record import cut_picture
from fissura.types import BoolMask, RgbImage

_ROWS_AT_ONCE = 128
_LONGEST_CUT_PX = 1920
_SQUARE = 0.02


class RasterWindows:
    """A raster of which rows and windows can be read.

    Attributes:
        height: Rows.
        width: Columns.
        placement: Place on the map, None for a plain picture.
        notes: What was changed on the way, for the user.
        always_valid: No pixel can be invalid, so there is no need to look.

    Args:
        scene: Read by windows, or in memory.
    """

    def __init__(self, scene: RasterScene | MemoryScene) -> None:
        self._scene = scene
        self.height, self.width = scene.height, scene.width
        self.placement: Placement | None = scene.placement
        self.notes: tuple[str, ...] = scene.notes
        if scene.pages > 1:
            self.notes = (*self.notes, f"the first of {scene.pages} pages is surveyed; save the others as own files")
        self.always_valid = isinstance(scene, RasterScene) and scene.always_valid

    @property
    def size_hw(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    def read_rows(self, start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        """Rows [start, stop), and their validity or None if all are valid."""
        if stop - start <= _ROWS_AT_ONCE:
            return self._scene.read_rows(start, stop)
        # In pieces: decoding needs several copies of what is read at once.
        rgb = np.empty((stop - start, self.width, 3), np.uint8)
        valid: BoolMask | None = None
        for top in range(start, stop, _ROWS_AT_ONCE):
            bottom = min(top + _ROWS_AT_ONCE, stop)
            rgb[top - start : bottom - start], part = self._scene.read_rows(top, bottom)
            if part is not None:
                valid = np.ones(rgb.shape[:2], np.bool_) if valid is None else valid
                valid[top - start : bottom - start] = part
        return rgb, valid

    def read_valid(self, start: int, stop: int) -> BoolMask | None:
        """Validity of the rows [start, stop); None if all are valid."""
        return None if self.always_valid else self.read_rows(start, stop)[1]

    def read_window(self, rows: slice, columns: slice) -> RgbImage:
        """A window inside the raster, shape (rows, columns, 3)."""
        if isinstance(self._scene, MemoryScene):
            return self._scene.read_rows(rows.start, rows.stop)[0][:, columns]
        return self._scene.read_window(rows, columns)


@contextmanager
def open_windows(path: Path) -> Iterator[RasterWindows]:
    """Open a raster: a GeoTIFF or a very large TIFF by windows, anything else decoded.

    Raises:
        ImageError: It cannot be read.
    """
    with open_raster(path) as raster:
        yield RasterWindows(MemoryScene(read_image(path)) if raster is None else raster)


def crop_raster(path: Path, points_rc: Points, scale: GroundScale | None = None) -> tuple[RgbImage, float | None]:
    """A crack and some ground around it, at most 480 pixels a side; see `crop_window`."""
    with open_windows(path) as raster:
        return crop_window(raster, points_rc, scale)


def crop_cracks(
    path: Path, lines_rc: Sequence[Points], scale: GroundScale | None = None
) -> list[tuple[RgbImage, float | None]]:
    """`crop_raster` for many cracks; the raster is opened once."""
    if not lines_rc:
        return []
    with open_windows(path) as raster:
        return [crop_window(raster, points_rc, scale) for points_rc in lines_rc]


def crop_window(
    raster: RasterWindows, points_rc: Points, scale: GroundScale | None = None
) -> tuple[RgbImage, float | None]:
    """A crack and some ground around it, as `cut_picture` cuts it from a picture in memory.

    A crack that is longer than four such pictures is shown around its middle: reduced further it could not be seen.
    Where pixels are not square on the ground (degrees) the picture is stretched until they are.

    Args:
        raster: Open raster.
        points_rc: Centreline in pixels of the raster, shape (N, 2).
        scale: Of the raster.
    Returns:
        The picture, and the ground size of a pixel of it in mm, None without a scale.
    """
    low, high = points_rc.min(axis=0), points_rc.max(axis=0)
    if (high - low).max() > 0.8 * _LONGEST_CUT_PX:
        middle = points_rc[len(points_rc) // 2]
        low, high = np.maximum(low, middle - 0.4 * _LONGEST_CUT_PX), np.minimum(high, middle + 0.4 * _LONGEST_CUT_PX)
    # What `cut_picture` may want to see around it, at most.
    reach = max(float((high - low).max()), 160.0)
    top, left = (max(int(v - reach), 0) for v in low)
    bottom, right = (min(int(v + reach) + 1, side) for v, side in zip(high, raster.size_hw, strict=True))
    rgb = raster.read_window(slice(top, bottom), slice(left, right))
    box = [low[1] - left, low[0] - top, high[1] - left, high[0] - top]
    if scale is None:
        return cut_picture(rgb, box, None)
    x_mm, y_mm = np.linalg.norm(scale.jacobian(((low + high) / 2)[None])[0], axis=0)
    mm = float(min(x_mm, y_mm))
    if abs(x_mm / y_mm - 1) > _SQUARE:
        size = max(round(rgb.shape[1] * x_mm / mm), 1), max(round(rgb.shape[0] * y_mm / mm), 1)
        grow = size[0] / rgb.shape[1], size[1] / rgb.shape[0]
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        box = [box[0] * grow[0], box[1] * grow[1], box[2] * grow[0], box[3] * grow[1]]
    return cut_picture(rgb, box, mm)
