"""`Scene`: an image that gives its rows in order, whether it is in memory or a raster read by windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fissura.imaging.overlay import reduce_rgb
from fissura.imaging.read import LoadedImage, read_pages
from fissura.imaging.write import Placement
from fissura.types import BoolMask, RgbImage


class RowReader(Protocol):
    """Pixels that are read row by row."""

    @property
    def height(self) -> int:
        """Rows."""
        ...

    @property
    def width(self) -> int:
        """Columns."""
        ...

    def read_rows(self, start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        """Rows [start, stop): (rows, W, 3), and (rows, W) validity or None if all is valid."""
        ...


class Scene(RowReader, Protocol):
    """An image to segment."""

    @property
    def page(self) -> int:
        """Index in a multi-page file, from 0."""
        ...

    @property
    def pages(self) -> int:
        """Number of pages in the file."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed on the way, for the user."""
        ...

    @property
    def placement(self) -> Placement | None:
        """Place on the map, None for a plain picture."""
        ...

    def overview(self, factor: int) -> RgbImage:
        """The whole picture, reduced by a whole factor, sizes rounded up."""
        ...


class MemoryScene:
    """A decoded picture as a `Scene`."""

    placement: Placement | None = None

    def __init__(self, image: LoadedImage) -> None:
        self._image = image
        self.height, self.width = image.rgb.shape[:2]
        self.page, self.pages = image.page, image.pages
        self.notes = image.notes

    def read_rows(self, start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        """See `Scene`."""
        valid = self._image.valid
        return self._image.rgb[start:stop], None if valid is None else valid[start:stop]

    def overview(self, factor: int) -> RgbImage:
        """See `Scene`."""
        return reduce_rgb(self._image.rgb, factor)


def open_scenes(path: Path) -> Iterator[Scene]:
    """The images of a file one by one: a georeferenced or very large TIFF by windows, anything else decoded.

    Raises:
        ImageError: The file cannot be read. Pages before a damaged one have been given by then.
    """
    from fissura.imaging.raster import open_raster

    if path.suffix.lower() in (".tif", ".tiff"):
        with open_raster(path) as raster:
            if raster is not None:
                yield raster
                return
    for image in read_pages(path):
        yield MemoryScene(image)


class ScaledScene:
    """A scene seen smaller or larger, row by row, the same whichever rows are asked for.

    Reduction averages whole blocks first and then interpolates, so that thin lines fade evenly instead of
    vanishing between samples. A pixel that mixes content and collar is collar.
    """

    def __init__(self, scene: RowReader, scale: float) -> None:
        self._scene = scene
        self.height = max(1, round(scene.height * scale))
        self.width = max(1, round(scene.width * scale))
        # Side of the whole blocks that fit into one output pixel.
        self._block = max(1, int(1 / scale + 1e-6))

    def read_rows(self, start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        """Rows [start, stop) at the new scale."""
        block, scene = self._block, self._scene
        length_hw = -(-scene.height // block), -(-scene.width // block)
        rows = axis_weights(start, stop, self.height, scene.height / block, length_hw[0])
        cols = axis_weights(0, self.width, self.width, scene.width / block, length_hw[1])
        first, last = int(rows[0][0]), int(rows[1][-1]) + 1
        rgb, valid = scene.read_rows(first * block, min(last * block, scene.height))
        picture = reduce_rgb(rgb, block)
        out = np.rint(interpolate_rows(picture, rows, cols, first)).astype(np.uint8)
        if valid is None:
            return out, None
        share = reduce_rgb(valid.view(np.uint8) * np.uint8(255), block)
        return out, interpolate_rows(share[..., None], rows, cols, first)[..., 0] > 254


def enlarge_rows(
    array: npt.NDArray[np.uint8], start: int, stop: int, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Rows [start, stop) of an (h, w) array that is stretched to (height, width) by linear interpolation."""
    rows = axis_weights(start, stop, height, float(array.shape[0]), array.shape[0])
    cols = axis_weights(0, width, width, float(array.shape[1]), array.shape[1])
    return interpolate_rows(array[..., None], rows, cols, 0)[..., 0]


AxisWeights = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]


def axis_weights(start: int, stop: int, size: int, extent: float, length: int) -> AxisWeights:
    """For output pixels [start, stop) of `size` over `extent` input pixels: two neighbours, weight of the second."""
    position = (np.arange(start, stop) + 0.5) * (extent / size) - 0.5
    position = np.clip(position, 0, length - 1)
    low = np.floor(position).astype(np.intp)
    return low, np.minimum(low + 1, length - 1), (position - low).astype(np.float32)


def interpolate_rows(
    array: npt.NDArray[np.uint8], rows: AxisWeights, cols: AxisWeights, first_row: int
) -> npt.NDArray[np.float32]:
    """Rows first, then columns; (h, w, C) to (rows, cols, C)."""
    low, high, weight = rows
    at = weight[:, None, None]
    tall: npt.NDArray[np.float32] = array[low - first_row] * (1 - at) + array[high - first_row] * at
    low, high, weight = cols
    at = weight[None, :, None]
    out: npt.NDArray[np.float32] = tall[:, low] * (1 - at) + tall[:, high] * at
    return out
