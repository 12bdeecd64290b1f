"""Strips of rows, 8 bits a pixel, as files: how the network's work on a large raster is kept until it is complete."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import OutputError
from fissura.imaging.write import remove_temporary_files, write_bytes, write_png

STRIP_PX = 512
"""Rows of a strip."""
_KEPT = 4
_STAMP = "raster.json"

Grey = npt.NDArray[np.uint8]


class Strips:
    """A grey picture in strips, each a PNG that is whole or absent.

    Args:
        folder: Where the files are.
        name: How their names begin; one folder holds several pictures.
        height: Rows of the picture.
        width: Columns of the picture.
    """

    def __init__(self, folder: Path, name: str, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._folder, self._name = folder, name
        self._count = -(-height // STRIP_PX)
        self._known: OrderedDict[int, Grey] = OrderedDict()

    def finished_rows(self) -> int:
        """Rows from the top that are on disk without a gap."""
        done = next((k for k in range(self._count) if not self._path(k).is_file()), self._count)
        return min(done * STRIP_PX, self.height)

    def write(self, start: int, strip: Grey) -> None:
        """Write one strip: rows from ``start``, a multiple of `STRIP_PX`, shape (`STRIP_PX` or what is left, width).

        Raises:
            OutputError: It cannot be written.
        """
        write_png(self._path(start // STRIP_PX), np.ascontiguousarray(strip))

    def read(self, start: int, stop: int) -> Grey:
        """Rows [start, stop), shape (rows, width).

        Raises:
            OutputError: A strip is damaged.
        """
        parts = []
        for index in range(start // STRIP_PX, -(-stop // STRIP_PX)):
            top = index * STRIP_PX
            parts.append(self._strip(index)[max(start - top, 0) : stop - top])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _strip(self, index: int) -> Grey:
        known = self._known.get(index)
        if known is None:
            path = self._path(index)
            data = np.frombuffer(path.read_bytes(), np.uint8)
            decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
            rows = min(STRIP_PX, self.height - index * STRIP_PX)
            if decoded is None or decoded.shape != (rows, self.width):
                path.unlink(missing_ok=True)
                raise OutputError(f"{path} is damaged and was deleted; run the same command again, it is made anew")
            known = self._known[index] = np.asarray(decoded, np.uint8)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return known

    def _path(self, index: int) -> Path:
        return self._folder / f"{self._name}_{index:05d}.png"


class StripWriter:
    """Collects bands of any height and writes them as strips.

    Args:
        strips: Where to.
        first: First row that is not on disk yet, a multiple of `STRIP_PX`.
    """

    def __init__(self, strips: Strips, first: int) -> None:
        self._strips, self._next, self._waiting = strips, first, [np.empty((0, strips.width), np.uint8)]

    def add(self, top: int, band: Grey) -> int:
        """Take the rows from ``top`` on; those that are on disk already are left out. Returns how many are new.

        Raises:
            OutputError: A strip cannot be written.
        """
        expected = self._next + sum(len(part) for part in self._waiting)
        new = band[max(expected - top, 0) :]
        self._waiting.append(new)
        while self._next < self._strips.height:
            rows = min(STRIP_PX, self._strips.height - self._next)
            if sum(len(part) for part in self._waiting) < rows:
                break
            joined = np.concatenate(self._waiting)
            self._strips.write(self._next, joined[:rows])
            self._waiting = [joined[rows:].copy()]
            self._next += rows
        return len(new)


def prepare_work_folder(folder: Path, stamp: Mapping[str, Any]) -> None:
    """Keep what lies in a work folder if it was made from the same file with the same settings, else delete it.

    Raises:
        OutputError: It cannot be written.
    """
    remove_temporary_files(folder)
    content = (json.dumps(dict(stamp), sort_keys=True, default=str) + "\n").encode()
    path = folder / _STAMP
    if path.is_file() and path.read_bytes() == content:
        return
    remove_work(folder)
    write_bytes(path, content)


def remove_work(folder: Path) -> None:
    """Delete the strips of a raster that is finished, and the folder if nothing else is in it."""
    if not folder.is_dir():
        return
    for path in [*folder.glob("*_[0-9][0-9][0-9][0-9][0-9].png"), folder / _STAMP]:
        path.unlink(missing_ok=True)
    remove_temporary_files(folder)
    if not any(folder.iterdir()):
        folder.rmdir()
