"""The test inputs are what their names say; otherwise tests that use them would prove nothing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import rasterio
from PIL import Image


@pytest.mark.parametrize(
    ("name", "mode", "size_hw"),
    [
        ("rgb.png", "RGB", (96, 128)), ("rgb.jpg", "RGB", (96, 128)), ("grey.png", "L", (96, 128)),
        ("grey16.png", "I;16", (96, 128)), ("rgba.png", "RGBA", (96, 128)), ("palette.png", "P", (96, 128)),
        ("cmyk.jpg", "CMYK", (96, 128)), ("rotated.jpg", "RGB", (128, 96)), ("one.png", "RGB", (1, 1)),
    ],
)  # fmt: skip
def test_files_have_the_mode_and_size_they_stand_for(
    make_data: ModuleType, tmp_path: Path, name: str, mode: str, size_hw: tuple[int, int]
) -> None:
    with Image.open(make_data.READABLE[name](tmp_path / name)) as image:
        assert image.mode == mode
        assert image.size == size_hw[::-1]


def test_rgb16_really_has_sixteen_bits(make_data: ModuleType, tmp_path: Path) -> None:
    with rasterio.open(make_data.rgb_16bit_png(tmp_path / "a.png")) as dataset:
        assert dataset.dtypes == ("uint16",) * 3
        assert (np.moveaxis(dataset.read(), 0, 2) == make_data.picture().astype(np.uint16) * 257).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_jpeg_looks_like_the_picture_once_turned(
    make_data: ModuleType, tmp_path: Path, orientation: int
) -> None:
    from PIL import ImageOps

    with Image.open(make_data.rotated_jpeg(tmp_path / "a.jpg", orientation)) as image:
        assert image.getexif()[0x0112] == orientation
        upright = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    assert np.abs(upright - make_data.picture()).mean() < 4.0


def test_geotiff_holds_place_nodata_and_collar(make_data: ModuleType, tmp_path: Path) -> None:
    with rasterio.open(make_data.geotiff(tmp_path / "a.tif", collar_px=10, nodata=0)) as dataset:
        assert dataset.crs.to_epsg() == 25832
        assert dataset.transform.a == pytest.approx(0.002)
        valid = dataset.dataset_mask() > 0
    assert not valid[:, :10].any()
    assert valid[:, 10:].all()
    with rasterio.open(make_data.geotiff(tmp_path / "b.tif", nodata=None, alpha=True, extra_bands=0)) as dataset:
        assert dataset.count == 4
        assert not (dataset.dataset_mask()[:, :12] > 0).any()


def test_pages_differ_and_pairs_pair(make_data: ModuleType, tmp_path: Path) -> None:
    with Image.open(make_data.multipage_tiff(tmp_path / "a.tif", 3)) as image:
        heights = []
        for page in range(image.n_frames):
            image.seek(page)
            heights.append(image.height)
    assert heights == [96, 104, 112]
    folder = make_data.pairs_folder(tmp_path / "pairs", 4)
    stems = [{path.stem for path in (folder / part).iterdir()} for part in ("images", "masks")]
    assert stems[0] == stems[1]
    with Image.open(folder / "masks" / "site03.png") as mask:
        assert not np.asarray(mask).any()


@pytest.mark.parametrize("coding", ["0/255", "0/1", "palette", "rgb"])
def test_mask_codings_mean_the_same(make_data: ModuleType, tmp_path: Path, coding: str) -> None:
    mask = make_data.scene().mask
    with Image.open(make_data.mask_png(tmp_path / "m.png", mask, coding=coding)) as image:
        levels = np.asarray(image)
    assert ((levels if levels.ndim == 2 else levels[..., 0]) > 0).tolist() == mask.tolist()
    assert levels.max() == (255 if coding in ("0/255", "rgb") else 1)


def test_bad_files_are_bad(make_data: ModuleType, tmp_path: Path) -> None:
    for name, write in make_data.UNREADABLE.items():
        with pytest.raises((OSError, SyntaxError)), Image.open(write(tmp_path / name)) as image:
            image.load()
