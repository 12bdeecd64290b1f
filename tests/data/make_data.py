"""Every test input, made on the spot: nothing in the repository is a photograph.

Each function writes one file (or folder) and returns its path. Pictures come from `fissura.synth`, so
they hold a crack whose place is known.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from fissura.synth import CrackVector, SyntheticScene, render_scene

HW = (96, 128)
"""Size of the standard test picture: neither square nor a multiple of a tile."""


@cache
def scene(seed: int = 0, hw: tuple[int, int] = HW, width_px: float = 4.0) -> SyntheticScene:
    """A small asphalt picture with one bent crack from the left to the right edge, gsd 1 mm. Do not write to it."""
    rows = np.array([0.3, 0.55, 0.45, 0.7]) * hw[0]
    columns = np.array([-0.1, 0.35, 0.6, 1.1]) * hw[1]
    crack = CrackVector(np.stack([rows, columns], axis=1), np.full(4, width_px))
    return render_scene(seed, size_hw=hw, cracks=[crack], distractors=False)


def picture(seed: int = 0, hw: tuple[int, int] = HW) -> npt.NDArray[np.uint8]:
    """The RGB of `scene`, a copy."""
    return scene(seed, hw).rgb.copy()


def _save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def rgb_png(path: Path, seed: int = 0, hw: tuple[int, int] = HW) -> Path:
    """Plain 8-bit RGB."""
    return _save(path, Image.fromarray(picture(seed, hw)))


def rgb_jpeg(path: Path, seed: int = 0, hw: tuple[int, int] = HW) -> Path:
    """Plain JPEG."""
    return _save(path, Image.fromarray(picture(seed, hw)), quality=95)


def grey_png(path: Path) -> Path:
    """8-bit, one channel."""
    return _save(path, Image.fromarray(picture()).convert("L"))


def grey_16bit_png(path: Path, *, full_range: bool = True) -> Path:
    """16-bit, one channel, over the whole range or (``full_range=False``) the 12 bits of many cameras."""
    grey = cv2.cvtColor(picture(), cv2.COLOR_RGB2GRAY).astype(np.uint16)
    return _save(path, Image.fromarray(grey * np.uint16(257 if full_range else 16)))


def rgb_16bit_png(path: Path) -> Path:
    """16-bit RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, coded = cv2.imencode(".png", picture()[..., ::-1].astype(np.uint16) * np.uint16(257))
    path.write_bytes(coded.tobytes())
    return path


def rgba_png(path: Path) -> Path:
    """RGBA; the left quarter is transparent and, beneath, black."""
    rgba = np.dstack([picture(), np.full(HW, 255, np.uint8)])
    rgba[:, : HW[1] // 4] = 0
    return _save(path, Image.fromarray(rgba))


def palette_png(path: Path) -> Path:
    """64 colours by palette."""
    return _save(path, Image.fromarray(picture()).quantize(64))


def cmyk_jpeg(path: Path) -> Path:
    """CMYK, as print software writes it."""
    return _save(path, Image.fromarray(picture()).convert("CMYK"), quality=95)


def rotated_jpeg(path: Path, orientation: int = 6) -> Path:
    """JPEG whose EXIF orientation has to be applied before it looks like `picture`, for any of 1 to 8."""
    undo = {1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}[orientation]  # fmt: skip
    image = Image.fromarray(picture())
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _save(path, image if undo is None else image.transpose(undo), quality=95, subsampling=0, exif=exif)


def multipage_tiff(path: Path, pages: int = 3) -> Path:
    """Pages of different content and height."""
    images = [Image.fromarray(picture(seed, (HW[0] + 8 * seed, HW[1]))) for seed in range(pages)]
    return _save(path, images[0], save_all=True, append_images=images[1:])


def geotiff(
    path: Path, *, hw: tuple[int, int] = HW, crs: str = "EPSG:25832", gsd_m: float = 0.002, nodata: int | None = 0,
    collar_px: int = 12, extra_bands: int = 0, alpha: bool = False,
) -> Path:  # fmt: skip
    """Tiled GeoTIFF with a rotated-looking collar: ``collar_px`` at the left hold ``nodata`` (or alpha 0)."""
    import rasterio
    from rasterio.transform import from_origin

    rgb = picture(0, hw)
    if nodata is not None:
        rgb[rgb == nodata] = nodata + 1 if nodata < 255 else 254  # Content never holds the nodata value.
    rgb[:, :collar_px] = 0 if nodata is None else nodata
    bands = [*np.moveaxis(rgb, 2, 0)]
    bands += [np.full(hw, 77, np.uint8)] * extra_bands
    if alpha:
        opaque = np.full(hw, 255, np.uint8)
        opaque[:, :collar_px] = 0
        bands.append(opaque)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=hw[0], width=hw[1], count=len(bands), dtype="uint8", crs=crs, nodata=nodata,
        transform=from_origin(500_000.0, 5_600_000.0, gsd_m, gsd_m), tiled=True, blockxsize=64, blockysize=64,
        photometric="RGB", **({"alpha": "YES"} if alpha else {}),
    ) as dataset:  # fmt: skip
        dataset.write(np.stack(bands))
    return path


def one_pixel_png(path: Path) -> Path:
    """1 x 1."""
    return _save(path, Image.new("RGB", (1, 1), (90, 90, 90)))


def ribbon_png(path: Path, hw: tuple[int, int] = (3, 40_000)) -> Path:
    """Extreme shape: by default 40,000 wide and 3 high."""
    rng = np.random.default_rng(0)
    return _save(path, Image.fromarray(rng.integers(60, 120, (*hw, 3), dtype=np.uint8)))


def empty_file(path: Path) -> Path:
    """No byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def text_as_image(path: Path) -> Path:
    """Text under an image's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("this is a shopping list, not a picture\n")
    return path


def truncated_jpeg(path: Path) -> Path:
    """The first half of a JPEG."""
    data = rgb_jpeg(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def mask_png(path: Path, mask: npt.NDArray[np.bool_], *, coding: str = "0/255") -> Path:
    """A mask in one of the codings found in the wild: ``0/255``, ``0/1``, ``palette`` or ``rgb``."""
    levels = mask.astype(np.uint8)
    if coding == "0/1":
        return _save(path, Image.fromarray(levels))
    if coding == "palette":
        image = Image.fromarray(levels).convert("P")
        image.putpalette([0, 0, 0, 255, 0, 0])
        return _save(path, image)
    if coding == "rgb":
        return _save(path, Image.fromarray(np.dstack([levels * np.uint8(255)] * 3)))
    if coding != "0/255":
        raise ValueError(f"no mask coding is called '{coding}'")
    return _save(path, Image.fromarray(levels * np.uint8(255)))


def pairs_folder(folder: Path, count: int = 3, *, hw: tuple[int, int] = HW, coding: str = "0/255") -> Path:
    """``images/`` (JPEG) and ``masks/`` (PNG) paired by stem; every fourth picture holds no crack."""
    for index in range(count):
        without = index % 4 == 3
        one = render_scene(index, size_hw=hw, cracks=False) if without else scene(index, hw)
        name = f"site{index:02d}"
        _save(folder / "images" / f"{name}.jpg", Image.fromarray(one.rgb), quality=95)
        mask_png(folder / "masks" / f"{name}.png", one.mask, coding=coding)
    return folder


READABLE = {
    "rgb.png": rgb_png, "rgb.jpg": rgb_jpeg, "grey.png": grey_png, "grey16.png": grey_16bit_png,
    "rgb16.png": rgb_16bit_png, "rgba.png": rgba_png, "palette.png": palette_png, "cmyk.jpg": cmyk_jpeg,
    "rotated.jpg": rotated_jpeg, "pages.tif": multipage_tiff, "geo.tif": geotiff, "one.png": one_pixel_png,
}  # fmt: skip
"""File name to the function that writes it: inputs that must work."""

UNREADABLE = {"empty.jpg": empty_file, "text.jpg": text_as_image, "truncated.jpg": truncated_jpeg}
"""Inputs that must be reported and must not stop the rest."""


def mixed_folder(folder: Path) -> Path:
    """All of `READABLE`, with a subfolder that repeats a stem and a name beyond ASCII."""
    for name, write in READABLE.items():
        write(folder / name)
    rgb_jpeg(folder / "Brücke 7 ñ 路面" / "rgb.jpg", seed=1)
    return folder
