"""Write results so that a file is either whole or absent: temporary file, fsync, rename."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError, OutputError
from fissura.types import BoolMask, RgbImage

TEMPORARY_SUFFIX = ".fissura-tmp"
_writes = itertools.count()

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space, then the same command goes on from here",
    errno.EDQUOT: "your disk quota is used up; free some space, then the same command goes on from here",
    errno.EROFS: "the disk is read-only; choose another --out",
    errno.EACCES: "permission denied; choose another --out",
    errno.EPERM: "permission denied; choose another --out",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another --out",
    errno.EEXIST: "a file is in the way of a folder; choose another --out",
    errno.ENAMETOOLONG: "the name is too long for this disk; shorten the input's name",
}


@dataclass(frozen=True)
class Placement:
    """Where a raster lies on the map; handed from an input to its results.

    Attributes:
        crs: rasterio CRS, or None.
        transform: rasterio affine transform from (column, row) to map coordinates.
        gcps: Ground control points in place of a transform, may be empty.
        gcps_crs: Their CRS.
    """

    crs: Any
    transform: Any
    gcps: tuple[Any, ...] = ()
    gcps_crs: Any = None

    @property
    def by_gcps(self) -> bool:
        """Whether control points give its place: only where there is no transform."""
        return bool(self.gcps) and self.transform.is_identity


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a whole file atomically; missing folders are made.

    Raises:
        OutputError: Nothing was written; the message names the path and the reason, ``errno`` is set.
    """
    with _open_atomic(path, "wb") as file:
        file.write(data)


@contextmanager
def open_text(path: Path, *, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Open a text file for writing; it appears under its name when the block ends, and not at all if the block fails.

    Line ends are written as they are given. Missing folders are made.

    Raises:
        OutputError: As in `write_bytes`.
    """
    with _open_atomic(path, "w", encoding=encoding, newline="") as file:
        yield file


def temporary_path(path: Path) -> Path:
    """A name beside a file that no other write has, another thread's neither; `remove_temporary_files` knows it."""
    return path.with_name(f"{temporary_prefix(path)}{os.getpid()}-{next(_writes)}{TEMPORARY_SUFFIX}")


def temporary_prefix(path: Path) -> str:
    """How all temporary names of a file begin: short, however long its own name is."""
    return f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}."


@contextmanager
def _open_atomic(path: Path, mode: str, **options: Any) -> Iterator[Any]:
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open(mode, **options) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise as_output_error(path, error) from error


def as_output_error(path: Path, error: OSError) -> OutputError:
    """The error with the path and the way out in its message and the number in ``errno``."""
    reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; choose another --out")
    wrapped = OutputError(f"cannot write {path}: {reason}")
    wrapped.errno = error.errno
    return wrapped


_NO_MORE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_FATAL = _NO_MORE | {errno.EACCES, errno.EPERM}


def is_fatal(error: OutputError) -> bool:
    """Whether nothing more can be written after this error; other causes concern one file."""
    return error.errno in _FATAL


def is_full(error: OutputError) -> bool:
    """`is_fatal` for files that users open: "permission denied" may be one table that Excel has open."""
    return error.errno in _NO_MORE


def require_writable(folder: Path) -> None:
    """Make a folder, and fail before the work, not after it, when nothing can be written there.

    Raises:
        OutputError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise as_output_error(folder, error) from error
    probe = folder / ".fissura-probe"
    try:
        write_bytes(probe, b"")
        probe.unlink(missing_ok=True)
    except OutputError as error:
        tried = OutputError(f"{error} (tried before the work, so that none is lost)")
        tried.errno = error.errno
        raise tried from error


def remove_temporary_files(folder: Path) -> int:
    """Delete what a killed run left half written under a folder; returns how many files."""
    stale = [path for path in folder.rglob(f"*{TEMPORARY_SUFFIX}") if path.is_file()] if folder.is_dir() else []
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def write_mask(path: Path, mask: BoolMask) -> None:
    """Write a crack mask, shape (H, W), as 8-bit PNG: 255 is crack, 0 is not.

    Raises:
        OutputError: The file cannot be written.
    """
    # A bool is one byte of 0 or 1, so the product needs no second copy beyond the result.
    write_png(path, mask.view(np.uint8) * np.uint8(255))


def write_png(path: Path, array: npt.NDArray[np.uint8]) -> None:
    """Write (H, W) grey or (H, W, 3) RGB as PNG.

    Raises:
        OutputError: The file cannot be written.
    """
    write_bytes(path, _encode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 4]))


def write_jpeg(path: Path, rgb: RgbImage, quality: int = 92) -> None:
    """Write (H, W, 3) RGB as JPEG, quality 1 to 100. Sides up to 65,500 pixels.

    Raises:
        OutputError: The file cannot be written.
        GeometryError: A side is too long for the format.
    """
    if max(rgb.shape[:2]) > 65_500:
        raise GeometryError(
            f"{rgb.shape[1]}x{rgb.shape[0]} is too large for JPEG (65,500 a side); reduce it or use PNG"
        )
    write_bytes(path, _encode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality]))


def write_geotiff(
    path: Path, array: npt.NDArray[np.uint8], placement: Placement, *, valid: BoolMask | None = None
) -> None:
    """Write (H, W) as tiled, deflated GeoTIFF with the input's place on the map.

    Both 0 and 255 are results, so no value is left to mean "no data": invalid pixels are 0 and marked in the
    file's internal mask band, which GDAL, QGIS and rasterio (``dataset_mask``) honour.

    Raises:
        OutputError: The file cannot be written.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    height, width = array.shape
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8", "tiled": True,
        "blockxsize": 256, "blockysize": 256, "compress": "deflate", "bigtiff": "if_safer",
    }  # fmt: skip
    if placement.by_gcps:
        profile |= {"gcps": list(placement.gcps), "crs": placement.gcps_crs}
    else:
        profile |= {"crs": placement.crs, "transform": placement.transform}
    # Encoded in memory (small: these rasters are mostly 0), because GDAL reports a full disk too late or not at all.
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as dataset:
            dataset.write(array, 1)
            if valid is not None:
                dataset.write_mask(valid)
        write_bytes(path, memory.getbuffer())


def _encode(extension: str, array: npt.NDArray[np.uint8], options: list[int]) -> memoryview:
    pixels = array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(extension, pixels, options)
    if not done:
        raise OutputError(f"a picture of {array.shape[1]}x{array.shape[0]} pixels cannot be encoded as {extension[1:]}")
    return data.data
