"""Read photos of any common kind as they are displayed: 8-bit RGB, EXIF orientation applied.

Grey, palette, CMYK and alpha images are converted. Deeper than 8 bits is stretched between two robust
percentiles, which a note states. Transparent pixels are marked invalid. A TIFF gives one image per page, every
other format its first frame. Truncated files are errors; nothing is filled in silently.
"""

from __future__ import annotations

import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import ImageError
from fissura.imaging.deep import show_deep
from fissura.imaging.media import VIDEO_SUFFIXES
from fissura.imaging.orientation import TAG_ORIENTATION, as_orientation, orient, stored_wh
from fissura.imaging.tiff import (
    Tags,
    find_full_pages,
    is_deep,
    is_full_page,
    read_deep,
    read_directories,
    read_marked_valid,
)
from fissura.types import BoolMask, RgbImage

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 500_000_000
"""Largest photo that is decoded whole: 1.5 GB as RGB, and as much as is stored where that is deeper than 8 bits.

Larger rasters are read in windows as GeoTIFF.
"""

_HEIF_SUFFIXES = {".heic", ".heif", ".hif"}
_STRIP_PIXELS = 8_000_000


class _UnknownImageError(ImageError):
    """Pillow does not know the file; GDAL may."""


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """One image as displayed.

    Attributes:
        rgb: Shape (H, W, 3), 0 to 255, EXIF orientation applied.
        valid: Shape (H, W); False is transparent or without data. None if every pixel is valid.
        page: Index in a multi-page file, from 0.
        notes: What was changed on the way, for the user.
        pages: Number of pages in the file.
    """

    rgb: RgbImage
    valid: BoolMask | None
    page: int = 0
    notes: tuple[str, ...] = ()
    pages: int = 1


def read_image(path: str | Path) -> LoadedImage:
    """Read the first image of a file.

    Raises:
        ImageError: The file is missing, empty, truncated, no image, or has more than `MAX_PIXELS`.
    """
    path = Path(path)
    for loaded in read_pages(path):
        return loaded
    raise ImageError(f"{path.name} holds no image page")


def read_pages(path: Path) -> Iterator[LoadedImage]:
    """Read the images of a file one by one: all pages of a TIFF, the first frame of anything else.

    Reduced copies and masks inside a TIFF are no pages of their own.

    Raises:
        ImageError: As in `read_image`. Pages before a damaged one have been given by then.
    """
    with _image_errors(path):
        directories: list[Tags] = []
        try:
            single = _read_single(path)
        except _UnknownImageError:
            single, directories = None, read_directories(path)
            if not directories:
                raise
        if directories:
            yield from _read_deep_pages(path, directories)
            return
        if single is not None:
            yield single
            return
        with _open(path) as image:
            frames_of_pages = find_tiff_pages(image)
            for page, frame in enumerate(frames_of_pages):
                image.seek(frame)
                loaded = _load(image, path, page, (), tiff_directory=frame + 1)
                yield replace(loaded, pages=len(frames_of_pages))


def read_mask(path: Path) -> BoolMask:
    """Pixels of the first image that are not 0 in some channel, shape (H, W); transparent and nodata count as 0.

    Values count as they are stored, however deep: what is stretched for the eye could become 0.

    Raises:
        ImageError: As in `read_image`.
    """
    with _image_errors(path):
        loaded, directory, tags = _read_stored(path)
        inside = np.asarray(loaded.rgb.any(axis=2), np.bool_)
        if loaded.valid is not None:
            inside &= loaded.valid
        marked = read_marked_valid(path, directory, tags) if directory else None
        return inside if marked is None else inside & marked


def read_size_hw(path: Path) -> tuple[int, int]:
    """Height and width from the header; whether turned, depends on the format. Good for counting pixels.

    Raises:
        ImageError: As in `read_image`.
    """
    with _image_errors(path), _open(path) as image:
        return image.height, image.width


def find_tiff_pages(image: Image.Image) -> list[int]:
    """Frames of an open TIFF that are full pages: no reduced-resolution copy, no transparency mask."""
    pages = []
    for frame in range(int(getattr(image, "n_frames", 1))):
        image.seek(frame)
        if is_full_page(_tags(image)):
            pages.append(frame)
    image.seek(0)
    return pages or [0]


@contextmanager
def _image_errors(path: Path) -> Iterator[None]:
    """Say what is wrong with a file in words; keep the decoder's own sentence at the end."""
    try:
        yield
    except (ImageError, GeneratorExit):
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist; check the path") from error
    except PermissionError as error:
        raise ImageError(f"{path} cannot be opened: permission denied") from error
    except MemoryError as error:
        raise ImageError(f"{path.name} does not fit into memory; convert it to a tiled GeoTIFF") from error
    except Exception as error:
        text = str(error) or type(error).__name__
        if "truncated" in text or "broken data stream" in text or "unrecognized data stream" in text:
            raise ImageError(f"{path.name} is damaged or ends too early; copy or export it again ({text})") from error
        raise ImageError(f"{path.name} cannot be decoded; open and save it with an image program ({text})") from error


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """Open with Pillow after the checks that give better words than its own."""
    from PIL import Image, UnidentifiedImageError

    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image file")
    if path.stat().st_size == 0:
        raise ImageError(f"{path.name} is empty (0 bytes); copy it again")
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        raise ImageError(f"{path.name} is a video, not a picture; 'fissura survey' and 'fissura segment' take videos")
    if suffix in _HEIF_SUFFIXES and not _register_heif():
        raise ImageError(f"{path.name} needs the library for HEIC: pip install pillow-heif")
    # Handed over as an open file: given a path, Pillow maps uncompressed TIFFs into memory and scrambles those
    # with an orientation tag (seen with 13).
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with _pixel_limit:
                image = Image.open(file)
        except UnidentifiedImageError as error:
            raise _UnknownImageError(f"{path.name} is no image that can be read ({_looks_like(path)})") from error
        with image:
            _check_size(path, image.width, image.height)
            yield image


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path.name} has {width}x{height} pixels; up to {MAX_PIXELS // 1_000_000} million are decoded whole. "
            "Convert it to a GeoTIFF (gdal_translate -co TILED=YES): that is read in parts"
        )


class _PixelLimit:
    """Our limit in place of Pillow's, which refuses 180 megapixels, and only while a file is opened or decoded.

    Pillow's is one for all threads: the first takes it away, the last puts it back.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: int | None = None

    def __enter__(self) -> None:
        from PIL import Image

        with self._lock:
            if self._inside == 0:
                self._before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        from PIL import Image

        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                Image.MAX_IMAGE_PIXELS = self._before


_pixel_limit = _PixelLimit()


def _register_heif() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _read_single(path: Path) -> LoadedImage | None:
    """The image of a file that is no TIFF. A function of its own, so that Pillow's copy is freed on return."""
    with _open(path) as image:
        if image.format == "TIFF":
            return None
        frames = int(getattr(image, "n_frames", 1))
        notes = () if frames == 1 else (f"only the first of {frames} frames is used",)
        return _load(image, path, 0, notes)


def _read_stored(path: Path) -> tuple[LoadedImage, int, Tags]:
    """The first image, not stretched, and of a TIFF its directory, from 1, with its tags; 0 of other files."""
    try:
        with _open(path) as image:
            if image.format != "TIFF":
                return _load(image, path, 0, (), stretched=False), 0, {}
            frame = find_tiff_pages(image)[0]
            image.seek(frame)
            # A copy: decoding takes the orientation away.
            tags: Tags = dict(_tags(image))
            return _load(image, path, 0, (), tiff_directory=frame + 1, stretched=False), frame + 1, tags
    except _UnknownImageError:
        directories = read_directories(path)
        if not directories:
            raise
    number = find_full_pages(directories)[0]
    tags = directories[number - 1]
    return _load_deep_tiff(path, 0, number, tags, stretched=False), number, tags


def _looks_like(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head.lstrip()[:1] in (b"<", b"{"):
        return "it begins like a web page, XML or JSON"
    try:
        text = head.decode("utf-8", errors="strict")
    except UnicodeDecodeError:
        return "unknown contents"
    return "it begins like text" if text.isprintable() or any(c in text for c in "\r\n\t") else "unknown contents"


def _tags(image: Image.Image) -> dict[int, Any]:
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    return tags


def _load(
    image: Image.Image, path: Path, page: int, notes: tuple[str, ...], *, tiff_directory: int | None = None,
    stretched: bool = True,
) -> LoadedImage:  # fmt: skip
    """Decode the current frame of an open file. Not stretched, values deeper than 8 bits become 0 or 255."""
    if tiff_directory is not None and is_deep(_tags(image)):
        return _load_deep_tiff(path, page, tiff_directory, _tags(image), stretched=stretched)
    with _pixel_limit:
        image.load()
    orientation = as_orientation(image.getexif().get(TAG_ORIENTATION))
    values = _read_deep(image, path)
    if values is not None:
        rgb, valid, extra = _from_deep(values, hidden=_find_hidden(image, values), stretched=stretched)
    else:
        rgb, valid = _from_pillow(image)
        extra = ()
    rgb = orient(rgb, orientation)
    return LoadedImage(rgb, _only_if_partly(valid, orientation), page, notes + extra)


def _from_pillow(image: Image.Image) -> tuple[RgbImage, BoolMask | None]:
    """Convert in strips: a whole-image conversion would hold a 100-megapixel photo three times."""
    width, height = image.size
    has_alpha = image.mode in ("RGBA", "LA", "La", "PA", "RGBa") or "transparency" in image.info
    rgb = np.empty((height, width, 3), np.uint8)
    valid = np.empty((height, width), np.bool_) if has_alpha else None
    step = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        strip = image.crop((0, top, width, min(top + step, height)))
        if strip.mode in ("La", "RGBa"):
            strip = strip.convert(strip.mode.upper())
        pixels = np.asarray(strip.convert("RGBA" if has_alpha else "RGB"))
        rgb[top : top + step] = pixels[..., :3]
        if valid is not None:
            valid[top : top + step] = pixels[..., 3] > 0
    return rgb, valid


def _from_deep(
    values: npt.NDArray[Any], *, hidden: BoolMask | None = None, stretched: bool = True
) -> tuple[RgbImage, BoolMask | None, tuple[str, ...]]:
    """(H, W, C) of any number type to RGB; of 2 or 4 channels the last is alpha, beyond the fourth ignored.

    Args:
        values: As stored.
        hidden: Pixels, shape (H, W), that are invalid.
        stretched: As in `_load`.
    """
    channels = values.shape[2]
    valid = values[..., -1] > 0 if channels in (2, 4) else None
    if hidden is not None:
        valid = ~hidden if valid is None else valid & ~hidden
    rgb, valid, notes = show_deep(values[..., : 3 if channels >= 3 else 1], valid, stretched=stretched)
    return rgb, valid, _ignored_note(channels - 3 if channels > 4 else 0) + notes


def _ignored_note(bands: int) -> tuple[str, ...]:
    return (f"{bands} extra band{'s' if bands > 1 else ''} ignored",) if bands > 0 else ()


def _read_deep(image: Image.Image, path: Path) -> npt.NDArray[Any] | None:
    """Values deeper than 8 bits as stored, shape (H, W, C); None for other pictures.

    Of colours deeper than 8 bits Pillow would keep the high bytes only.
    """
    if (image.format == "PNG" and _is_deep_colour_png(path)) or (image.format == "PPM" and _is_deep_ppm(path)):
        return _read_by_opencv(path)
    if image.format == "JPEG2000":
        return _read_deep_jp2(path)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return np.asarray(image)[..., None]
    return None


def _find_hidden(image: Image.Image, values: npt.NDArray[Any]) -> BoolMask | None:
    """Where a PNG has the colour that it names as the transparent one."""
    colour = image.info.get("transparency")
    if image.format != "PNG" or colour is None or values.shape[2] not in (1, 3):
        return None
    return np.asarray((values == np.asarray(colour)).all(axis=2))


def _is_deep_colour_png(path: Path) -> bool:
    """16 bits and more than one channel."""
    with path.open("rb") as file:
        head = file.read(26)
    depth, colour_type = struct.unpack(">BB", head[24:26])
    return bool(depth == 16 and colour_type in (2, 4, 6))


def _is_deep_ppm(path: Path) -> bool:
    """A colour picture (P3, P6) whose largest value is above 255."""
    with path.open("rb") as file:
        head = file.read(4096)
    words = re.sub(rb"#[^\r\n]*", b"", head).split(maxsplit=4)
    return words[0] in (b"P3", b"P6") and int(words[3]) > 255


def _read_by_opencv(path: Path) -> npt.NDArray[Any]:
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ImageError(f"{path.name} is damaged; export it again")
    if values.ndim == 2:
        values = values[..., None]
    if values.shape[2] == 4:
        return np.asarray(cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA))
    return np.asarray(values[..., ::-1])


def _read_deep_jp2(path: Path) -> npt.NDArray[Any] | None:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            return None if dataset.dtypes[0] == "uint8" else np.moveaxis(dataset.read(), 0, 2)


def _load_deep_tiff(path: Path, page: int, directory: int, tags: Tags, *, stretched: bool) -> LoadedImage:
    _check_size(path, *stored_wh(tags))
    deep = read_deep(path, directory, tags)
    rgb, valid, notes = show_deep(deep.colour, deep.opaque, stretched=stretched)
    if deep.white_is_zero and stretched:
        np.subtract(np.uint8(255), rgb, out=rgb)
    notes = _ignored_note(deep.ignored) + notes
    return LoadedImage(orient(rgb, deep.orientation), _only_if_partly(valid, deep.orientation), page, notes)


def _read_deep_pages(path: Path, directories: list[Tags]) -> Iterator[LoadedImage]:
    full = find_full_pages(directories)
    for page, number in enumerate(full):
        loaded = _load_deep_tiff(path, page, number, directories[number - 1], stretched=True)
        yield replace(loaded, pages=len(full))


def _only_if_partly(valid: BoolMask | None, orientation: int) -> BoolMask | None:
    return None if valid is None or valid.all() else orient(valid, orientation)
