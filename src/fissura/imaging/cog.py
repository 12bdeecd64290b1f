"""Cloud Optimized GeoTIFFs of rasters that do not fit into memory: a tiled temporary file first, then GDAL's driver.

QGIS opens a COG at once at any zoom, from a disk or over HTTP. GDAL can only write one from a finished raster, so
pixels go into a temporary tiled GeoTIFF window by window (`open_temporary`), and `write_cog` makes the COG from it
beside its target, checks that every tile is in it, and renames it.
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from fissura.errors import OutputError
from fissura.imaging.write import TEMPORARY_SUFFIX, Placement, as_output_error, temporary_path, temporary_prefix

BLOCK_PX = 512
"""Side of the tiles of a COG."""

Fraction = Callable[[float], None]
"""Told the part that is finished, 0 to 1, never falling."""
Packing = Literal["deflate", "jpeg"]
Overviews = Literal["average", "rms", "nearest"]

_CACHE_BYTES = 128 * 2**20
_JPEG_TEMPORARY, _JPEG_FINAL = 95, 85
_TELL_SECONDS = 0.25
_FULL_BYTES = 32 * 2**20


def require_space(folder: Path, needed_bytes: float, what: str) -> None:
    """Stop before hours of work if there is no room for its results.

    Raises:
        OutputError: Less than ``needed_bytes`` are free where ``folder`` is; ``errno`` is that of a full disk.
    """
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        error = OutputError(
            f"{what} needs about {needed_bytes / 1e9:.1f} GB in {folder}, but {free / 1e9:.1f} GB are free; "
            "free some space, or choose another --out"
        )
        error.errno = errno.ENOSPC
        raise error


@contextmanager
def open_temporary(
    path: Path, size_hw: tuple[int, int], bands: int, placement: Placement | None, *, packing: Packing = "deflate"
) -> Iterator[Any]:
    """A tiled 8-bit GeoTIFF to be written window by window, as a rasterio dataset.

    Windows should begin at multiples of `BLOCK_PX`: else tiles are packed twice. ``write_mask`` marks invalid pixels.

    Args:
        path: File; it is not renamed, so it need not be whole if the block fails.
        size_hw: Rows and columns.
        bands: 1, or 3 for RGB.
        placement: Place on the map; None for a plain picture.
        packing: ``jpeg`` (in good quality) for photographs that are looked at only.
    Raises:
        OutputError: The file cannot be written.
    """
    import rasterio

    profile: dict[str, Any] = {
        "driver": "GTiff", "height": size_hw[0], "width": size_hw[1], "count": bands, "dtype": "uint8", "tiled": True,
        "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "bigtiff": "if_safer", "compress": packing,
        "num_threads": "ALL_CPUS",
    }  # fmt: skip
    if packing == "jpeg":
        profile |= {"jpeg_quality": _JPEG_TEMPORARY, "photometric": "ycbcr", "interleave": "pixel"}
    else:
        profile |= {"zlevel": 1} | ({"photometric": "rgb"} if bands == 3 else {})
    if placement is not None and placement.by_gcps:
        profile |= {"gcps": list(placement.gcps), "crs": placement.gcps_crs}
    elif placement is not None:
        profile |= {"crs": placement.crs, "transform": placement.transform}
    with gdal_for(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path, "w", **profile) as dataset:
            yield dataset


def write_cog(
    source: Path, target: Path, *, packing: Packing = "deflate", overviews: Overviews = "average",
    progress: Fraction | None = None,
) -> None:  # fmt: skip
    """Make a COG from a finished raster; it appears under its name when it is whole.

    Args:
        source: A GeoTIFF, usually from `open_temporary`. Its place, mask and bands are taken over.
        target: File to write.
        packing: ``jpeg`` loses a little and is for pictures that are looked at only.
        overviews: How pixels are put together for smaller scales; ``rms`` keeps thin bright lines visible.
        progress: Told how far it is.
    Raises:
        OutputError: It cannot be written; nothing is left behind.
    """
    options: dict[str, Any] = {
        "driver": "COG", "blocksize": BLOCK_PX, "compress": packing.upper(), "overview_resampling": overviews.upper(),
        "overviews": "AUTO", "bigtiff": "IF_SAFER", "num_threads": "ALL_CPUS",
    }  # fmt: skip
    if packing == "jpeg":
        options |= {"quality": _JPEG_FINAL}
    temporary = temporary_path(target)
    remove_leftovers(target)
    try:
        with gdal_for(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, temporary, target, options, progress)
        with gdal_for(target):
            _check_whole(temporary, target)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)
    except BaseException:
        remove_leftovers(target)
        raise
    if progress is not None:
        progress(1.0)


def remove_leftovers(target: Path) -> None:
    """Delete what an interrupted `write_cog` left beside its target, GDAL's own temporary files included."""
    # The second is how names began in earlier versions.
    beginnings = temporary_prefix(target), f".{target.name[:80]}."
    if target.parent.is_dir():
        for stale in list(target.parent.iterdir()):
            if stale.name.startswith(beginnings) and TEMPORARY_SUFFIX in stale.name:
                stale.unlink(missing_ok=True)


def _check_whole(path: Path, target: Path) -> None:
    """GDAL may lose what a full disk did not take without a word: look where every tile of the file should be."""
    import rasterio

    size = path.stat().st_size
    with rasterio.open(path) as dataset:
        rows, columns = (-(-side // BLOCK_PX) for side in dataset.shape)
        for row in range(rows):
            for column in range(columns):
                place = f"{column}_{row}"
                offset = int(dataset.get_tag_item(f"BLOCK_OFFSET_{place}", "TIFF", bidx=1) or 0)
                length = int(dataset.get_tag_item(f"BLOCK_SIZE_{place}", "TIFF", bidx=1) or 0)
                if offset == 0 or offset + length > size:
                    raise as_output_error(target, OSError(errno.ENOSPC, "tiles are missing"))


@contextmanager
def gdal_for(path: Path) -> Iterator[None]:
    """GDAL with little memory, and its errors while it works on a result as ours.

    Args:
        path: Of the result, for the message.
    Raises:
        OutputError: GDAL failed; ``errno`` is that of a full disk if the disk is full.
    """
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with (
            warnings.catch_warnings(),
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_CACHEMAX=_CACHE_BYTES),
        ):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield
    except (RasterioError, CPLE_BaseError, SystemError) as error:
        # What GDAL says of a full disk is anything: a tag that cannot be written, a tile that cannot be read back.
        if path.parent.is_dir() and shutil.disk_usage(path.parent).free < _FULL_BYTES:
            raise as_output_error(path, OSError(errno.ENOSPC, "")) from error
        raise OutputError(
            f"cannot write {path}: {error}; if the disk is full, free some space, else choose another --out"
        ) from error
    except OutputError:
        raise
    except OSError as error:
        raise as_output_error(path, error) from error


def _copy(
    source: Path, temporary: Path, target: Path, options: dict[str, Any], progress: Fraction | None
) -> None:
    """GDAL's copy, in a thread of its own: it calls back into Python to read, and an exception that is raised there
    (by Ctrl-C, which only the main thread sees) would end the process.
    """
    counter = _Counter(source)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(_copy_here, source, temporary, target, options, counter)
        try:
            while not wait([future], timeout=_TELL_SECONDS).done:
                if progress is not None:
                    progress(counter.share)
        except BaseException:
            counter.stopped = True
            wait([future])
            raise
        future.result()


def _copy_here(source: Path, temporary: Path, target: Path, options: dict[str, Any], counter: _Counter) -> None:
    import rasterio
    from rasterio.shutil import copy

    with gdal_for(target), rasterio.open(source, opener=counter.open) as dataset:
        copy(dataset, temporary, **options)


class _Counter:
    """Opens a file for GDAL and sees how much of it is read: for the overviews once, then for the full picture.

    Attributes:
        stopped: GDAL gets no more data, so that it gives up soon.
    """

    def __init__(self, path: Path) -> None:
        self.stopped = False
        self._goal = 2.0 * max(path.stat().st_size, 1)
        self._read = 0

    @property
    def share(self) -> float:
        """Finished part, 0 to 0.99."""
        return min(self._read / self._goal, 0.99)

    def open(self, path: str, mode: str = "rb", **_: Any) -> _CountedFile:
        """For rasterio."""
        return _CountedFile(open(path, mode), self)

    def count(self, data: bytes) -> bytes:
        """What GDAL gets for what was read."""
        self._read += len(data)
        return b"" if self.stopped else data


class _CountedFile:
    """The part of a file's interface that GDAL asks for."""

    def __init__(self, file: Any, counter: _Counter) -> None:
        self._file, self._counter = file, counter

    def read(self, size: int = -1) -> bytes:
        return self._counter.count(self._file.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _CountedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
