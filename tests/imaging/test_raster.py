import itertools

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from fissura.errors import ImageError
from fissura.imaging.scene import MemoryScene, ScaledScene, open_scenes
from fissura.imaging.write import write_geotiff

PLACE = {"crs": "EPSG:25832", "transform": from_origin(500_000, 5_600_000, 0.01, 0.01)}


def write_tiff(path, bands, **options):
    bands = np.asarray(bands)
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2], dtype=bands.dtype,
        **(PLACE | options),
    ) as dataset:  # fmt: skip
        dataset.write(bands)
    return path


class Whole:
    """What a raster gives when it is read in uneven windows."""

    def __init__(self, path):
        for scene in open_scenes(path):
            parts = [scene.read_rows(a, b) for a, b in self.windows(scene.height)]
            self.rgb = np.concatenate([rgb for rgb, _ in parts])
            self.valid = np.concatenate([np.ones(rgb.shape[:2], bool) if v is None else v for rgb, v in parts])
            self.notes, self.placement = scene.notes, scene.placement

    @staticmethod
    def windows(height):
        edges = [*range(0, height, 37), height]
        return list(itertools.pairwise(edges))


def test_place_and_nodata(make_data, tmp_path):
    whole = Whole(make_data.geotiff(tmp_path / "a.tif"))
    assert whole.placement.crs.to_epsg() == 25832
    assert whole.placement.transform.a == pytest.approx(0.002)
    assert not whole.valid[:, :12].any()
    assert whole.valid[:, 12:].all()
    assert np.abs(whole.rgb[:, 12:].astype(int) - make_data.picture()[:, 12:]).max() <= 1


def test_alpha_band_and_extra_bands(make_data, tmp_path):
    alpha = Whole(make_data.geotiff(tmp_path / "a.tif", nodata=None, alpha=True))
    assert not alpha.valid[:, :12].any()
    assert alpha.valid[:, 12:].all()
    assert not any("ignored" in note for note in alpha.notes)
    extra = Whole(make_data.geotiff(tmp_path / "b.tif", extra_bands=2))
    assert "bands 4, 5 of 5 ignored" in extra.notes


@pytest.mark.parametrize("value", [0, 255])
def test_a_slanted_collar_without_nodata_is_found_exactly(tmp_path, value):
    rng = np.random.default_rng(0)
    bands = rng.integers(40, 200, (3, 150, 210), dtype=np.uint8)
    rows, cols = np.indices((150, 210))
    collar = cols < 60 - 0.3 * rows
    bands[:, collar] = value
    # A dark crack that runs into the border, and a dark hole inside, are content.
    bands[:, 70:73, 120:] = value
    bands[:, 100:120, 100:120] = value
    whole = Whole(write_tiff(tmp_path / "a.tif", bands))
    assert (whole.valid == ~collar).all()
    assert any("collar" in note for note in whole.notes)


def test_no_collar_no_mask(tmp_path):
    bands = np.random.default_rng(0).integers(40, 200, (1, 64, 64), dtype=np.uint8)
    for scene in open_scenes(write_tiff(tmp_path / "a.tif", bands)):
        rgb, valid = scene.read_rows(0, 64)
        assert valid is None
        assert (rgb == bands[0][..., None]).all()


def test_16_bit_and_float_are_stretched_alike_in_every_window(tmp_path):
    ramp = np.linspace(1000, 3000, 120 * 90).reshape(1, 120, 90)
    for name, values in (("u.tif", ramp.astype(np.uint16)), ("f.tif", ramp.astype(np.float32))):
        whole = Whole(write_tiff(tmp_path / name, values))
        assert whole.rgb.min() == 0
        assert whole.rgb.max() == 255
        assert (np.diff(whole.rgb[..., 0].ravel().astype(int)) >= 0).all()
        assert any("stretched" in note for note in whole.notes)
    ramp[0, 5, 5] = np.nan
    whole = Whole(write_tiff(tmp_path / "n.tif", ramp.astype(np.float32)))
    assert (~whole.valid).sum() == 1


def test_palette(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=4, width=4, dtype="uint8", photometric="palette",
                       **PLACE) as dataset:  # fmt: skip
        dataset.write_colormap(1, {0: (9, 8, 7, 255), 1: (200, 100, 50, 255)})
        dataset.write(np.eye(4, dtype=np.uint8), 1)
    whole = Whole(path)
    assert (whole.rgb[0, 0] == [200, 100, 50]).all()
    assert (whole.rgb[0, 1] == [9, 8, 7]).all()


def test_a_collar_is_sought_in_the_colours_of_a_palette(tmp_path):
    path, indices = tmp_path / "a.tif", np.zeros((64, 96), np.uint8)
    indices[:, :20] = 5
    with rasterio.open(path, "w", driver="GTiff", count=1, height=64, width=96, dtype="uint8", photometric="palette",
                       **PLACE) as dataset:  # fmt: skip
        dataset.write_colormap(1, {0: (150, 150, 150, 255), 5: (0, 0, 0, 255)})
        dataset.write(indices, 1)
    whole = Whole(path)
    assert (whole.valid == (indices == 0)).all()


def test_negatives_and_inks_on_the_map(tmp_path):
    values = np.full((1, 64, 96), 200, np.uint8)
    values[:, :, 40] = 10
    whole = Whole(write_tiff(tmp_path / "a.tif", values, photometric="miniswhite"))
    assert (whole.rgb == 255 - values[0][..., None]).all()
    inks = np.zeros((4, 64, 96), np.uint16)
    with pytest.raises(ImageError, match="CMYK; save it as RGB"):
        Whole(write_tiff(tmp_path / "b.tif", inks, photometric="cmyk"))


def test_overview_averages(tmp_path):
    bands = np.random.default_rng(0).integers(40, 200, (3, 60, 90), dtype=np.uint8)
    for scene in open_scenes(write_tiff(tmp_path / "a.tif", bands)):
        small = scene.overview(3)
        assert small.shape == (20, 30, 3)
        expected = bands.reshape(3, 20, 3, 30, 3).mean(axis=(2, 4)).transpose(1, 2, 0)
        assert np.abs(small - expected).max() <= 1
        assert scene.overview(1).shape == (60, 90, 3)


def test_a_plain_tiff_stays_a_picture(make_data, tmp_path):
    scenes = list(open_scenes(make_data.multipage_tiff(tmp_path / "a.tif")))
    assert [type(scene) for scene in scenes] == [MemoryScene] * 3
    assert scenes[0].placement is None


def test_a_truncated_geotiff_is_an_error(make_data, tmp_path):
    path = make_data.geotiff(tmp_path / "a.tif")
    path.write_bytes(path.read_bytes()[:-6000])
    with pytest.raises(ImageError, match=r"a\.tif"):
        Whole(path)


@pytest.mark.parametrize("scale", [0.25, 0.37, 0.5, 1.5, 2.0])
def test_a_scaled_scene_is_the_same_whichever_rows_are_asked_for(tmp_path, scale):
    bands = np.random.default_rng(1).integers(0, 256, (3, 101, 67), dtype=np.uint8)
    for scene in open_scenes(write_tiff(tmp_path / "a.tif", bands, nodata=7)):
        scaled = ScaledScene(scene, scale)
        assert (scaled.height, scaled.width) == (round(101 * scale), round(67 * scale))
        whole = scaled.read_rows(0, scaled.height)[0]
        parts = [scaled.read_rows(a, min(a + 10, scaled.height))[0] for a in range(0, scaled.height, 10)]
        assert (np.concatenate(parts) == whole).all()
        assert abs(float(whole.mean()) - float(bands.mean())) < 2


def test_scaled_collar_pixels_are_invalid(make_data, tmp_path):
    for scene in open_scenes(make_data.geotiff(tmp_path / "a.tif")):
        _, valid = ScaledScene(scene, 0.5).read_rows(0, 20)
        assert not valid[:, :6].any()
        assert valid[:, 7:].all()


def test_written_geotiffs_keep_place_and_nodata(make_data, tmp_path):
    for scene in open_scenes(make_data.geotiff(tmp_path / "a.tif")):
        _, valid = scene.read_rows(0, scene.height)
        values = np.zeros((scene.height, scene.width), np.uint8)
        values[50, 60] = 255
        write_geotiff(tmp_path / "out" / "m.tif", values, scene.placement, valid=valid)
    with rasterio.open(tmp_path / "a.tif") as before, rasterio.open(tmp_path / "out" / "m.tif") as after:
        assert after.crs == before.crs
        assert after.transform == before.transform
        assert after.profile["tiled"]
        assert (after.dataset_mask() == before.dataset_mask()).all()
        assert (after.read(1) == values).all()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.tif"]
