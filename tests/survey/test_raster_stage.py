"""Large rasters through the whole chain: the same result as in memory, however often it is interrupted."""

import math
import os
import shutil
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.warp import Resampling, calculate_default_transform, reproject

from fissura.errors import ImageError, OutputError
from fissura.imaging.cog import temporary_path, write_cog
from fissura.imaging.roi import Roi
from fissura.imaging.scene import open_scenes
from fissura.imaging.write import is_fatal
from fissura.infer import Segmenter, load_segmenter
from fissura.measure.measuring import measure_cracks
from fissura.measure.rules import read_rules
from fissura.segmenting import segment_scene
from fissura.survey import raster_stage
from fissura.survey.raster_network import restart_row
from fissura.survey.raster_stage import LayerFiles, crop_cracks, crop_raster, remove_work, survey_raster
from fissura.tiling import plan_axis
from support.mounted import mounted

DATA = os.environ.get("FISSURA_DATA")
GSD_M = 0.004
CRACK_RC = np.array([[80.0, 60.0], [300.0, 500.0], [700.0, 560.0], [1100.0, 620.0], [1250.0, 120.0]])


@pytest.fixture(scope="module")
def segmenter(tiny_onnx):
    return load_segmenter(tiny_onnx, threads=1)


def picture(height=1330, width=700, line=CRACK_RC, thickness=7):
    """Grey ground with one dark crack."""
    rng = np.random.default_rng(3)
    rgb = rng.integers(140, 160, (height, width, 3), np.uint8)
    xy = np.rint(line[:, ::-1] * 16).astype(np.int32)
    cv2.polylines(rgb, [xy], False, (30, 30, 30), thickness, cv2.LINE_AA, 4)
    return rgb


def write(path: Path, rgb, transform=None, crs="EPSG:32632", **options):
    bands = np.moveaxis(rgb, 2, 0) if rgb.ndim == 3 else rgb[None]
    transform = transform or Affine(GSD_M, 0, 500_000.0, 0, -GSD_M, 5_600_000.0)
    profile = {"driver": "GTiff", "height": rgb.shape[0], "width": rgb.shape[1], "count": len(bands),
               "dtype": str(rgb.dtype), "crs": crs, "transform": transform, "tiled": True, "blockxsize": 256,
               "blockysize": 256, "compress": "deflate"} | options  # fmt: skip
    colormap = profile.pop("colormap", None)
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(bands)
        if colormap:
            dataset.write_colormap(1, colormap)
    return path


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


class Killed(BaseException):
    """As Ctrl-C."""


class Failing(Segmenter):
    """Stops after so many tiles and counts those it saw."""

    def __init__(self, segmenter, tiles):
        super().__init__(segmenter.backend, threshold=segmenter.threshold)
        self.left, self.seen = tiles, 0

    def iter_bands(self, read_rows, height, width):
        for top, band in super().iter_bands(read_rows, height, width):
            self.left -= 1
            if self.left < 0:
                raise Killed
            self.seen += 1
            yield top, band


def test_the_result_is_that_of_the_picture_in_memory(tmp_path, segmenter):
    """Scales, rims and windows: nothing differs from `segment_scene`, at a size that has three scales."""
    rgb = cv2.resize(picture(), (2150, 1900))
    rgb[:, :90] = 0
    path = write(tmp_path / "a.tif", rgb, nodata=0)
    found = survey_raster(path, tmp_path / "work", segmenter)
    whole = next(segment_scene(scene, segmenter, scale=None) for scene in open_scenes(path))
    np.testing.assert_array_equal(read(found.files.probability), whole.probability)
    mask = read(found.files.mask)
    assert set(np.unique(mask)) == {0, 255}
    np.testing.assert_array_equal(mask > 0, whole.probability > 255 * segmenter.threshold)
    with rasterio.open(found.files.mask) as dataset:
        np.testing.assert_array_equal(dataset.dataset_mask() > 0, whole.valid)
    assert found.inspected_share == pytest.approx(1 - 90 / 2150)


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_other_scales_come_out_as_in_memory(tmp_path, segmenter, scale):
    path = write(tmp_path / "a.tif", picture())
    found = survey_raster(path, tmp_path / "work", segmenter, network_scale=scale)
    whole = next(segment_scene(scene, segmenter, scale=scale).probability for scene in open_scenes(path))
    assert np.abs(read(found.files.probability).astype(int) - whole).max() <= 1


def test_the_crack_is_measured_and_lies_where_it_was_drawn(tmp_path, segmenter):
    path = write(tmp_path / "a.tif", picture())
    found = survey_raster(path, tmp_path / "work", segmenter, rules=read_rules("astm_d6433"))
    length_m = np.linalg.norm(np.diff(CRACK_RC, axis=0), axis=1).sum() * GSD_M
    cracks = found.measurement.cracks
    assert found.measurement.length / 1000 == pytest.approx(length_m, rel=0.01)
    assert cracks[0].severity
    whole = measure_cracks(read(found.files.mask) > 0, rgb=picture(), scale=found.scale)
    assert len(whole.cracks) == len(cracks)
    assert cracks[0].width_mean == pytest.approx(whole.cracks[0].width_mean, rel=2e-3)
    across = (picture()[620:680, :, 0] < 90).sum(axis=1).mean() * math.cos(math.atan2(60, 400))
    assert cracks[0].width_mean == pytest.approx(across * GSD_M * 1000, rel=0.04)
    lonlat = found.placement.to_lonlat(np.concatenate([b.points_rc for b in found.measurement.graph.branches]))
    back = rasterio.warp.transform("EPSG:4326", "EPSG:32632", *lonlat.T)
    with rasterio.open(path) as dataset:
        drawn_xy = np.array([dataset.transform @ (c + 0.5, r + 0.5) for r, c in CRACK_RC])
    away = shapely.distance(shapely.LineString(drawn_xy), shapely.points(np.column_stack(back)))
    # Centrelines of thick lines cut sharp corners.
    assert np.median(away) < 0.3 * GSD_M and np.percentile(away, 98) < GSD_M
    assert found.inspected_m2 == pytest.approx(1330 * 700 * (GSD_M / 0.9996) ** 2, rel=1e-3)
    assert found.slices == 28 * 15 and found.seconds["network"] > 0


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path, segmenter):
    path = write(tmp_path / "a.tif", picture())
    whole = survey_raster(path, tmp_path / "whole", segmenter)
    undisturbed = Failing(segmenter, 10**6)
    survey_raster(path, tmp_path / "other", undisturbed)
    for bands in (13, 12):
        with pytest.raises(Killed):
            survey_raster(path, tmp_path / "work", Failing(segmenter, bands))
    told = []
    last = Failing(segmenter, 10**6)
    found = survey_raster(path, tmp_path / "work", last, progress=lambda done, total: told.append((done, total)))
    assert last.seen < 0.75 * undisturbed.seen
    assert found.files.probability.read_bytes() == whole.files.probability.read_bytes()
    for a, b in zip(found.measurement.cracks, whole.measurement.cracks, strict=True):
        np.testing.assert_array_equal(a.points_rc, b.points_rc)
        assert (a.length, a.width_mean) == (b.length, b.width_mean)
    done = [d for d, _ in told]
    assert done == sorted(done) and done[-1] == told[-1][1] and len({t for _, t in told}) == 1
    assert done[0] >= 512 * 700 / 1e6
    remove_work(tmp_path / "work")
    assert sorted(p.name for p in (tmp_path / "work").iterdir()) == ["mask.tif", "overlay.tif", "probability.tif"]


def test_another_file_or_setting_begins_anew(tmp_path, segmenter):
    path = write(tmp_path / "a.tif", picture())
    survey_raster(path, tmp_path / "work", segmenter)
    counted = Failing(segmenter, 10**6)
    survey_raster(path, tmp_path / "work", counted)
    assert counted.seen == 0
    path.unlink()
    write(path, picture()[:, ::-1])
    found = survey_raster(path, tmp_path / "work", counted)
    assert counted.seen > 0
    assert found.measurement.cracks[0].points_rc[:, 1].max() > 500


def test_restarting_never_changes_the_plan():
    for height in (100, 400, 513, 1330, 5000):
        for tile, overlap in ((64, 16), (256, 64), (512, 0)):
            full = plan_axis(height, tile, overlap)
            for done in range(0, height, 37):
                first = restart_row(done, height, tile, overlap)
                part = plan_axis(height - first, tile, overlap)
                for row in (done, min(done + 200, height - 1), height - 1):
                    a = [(s, w[row - s]) for s, w in zip(full.starts, full.weights, strict=True) if 0 <= row - s < tile]
                    b = [(s + first, w[row - s - first]) for s, w in zip(part.starts, part.weights, strict=True)
                         if 0 <= row - s - first < tile]  # fmt: skip
                    assert a == b


@pytest.mark.parametrize("name", ["mask", "probability", "overlay"])
def test_layers_are_cogs_on_the_same_pixels(tmp_path, segmenter, name):
    turned = Affine.translation(500_000.0, 5_600_000.0) @ Affine.rotation(30) @ Affine.scale(GSD_M, -GSD_M)
    path = write(tmp_path / "a.tif", picture(), turned)
    found = survey_raster(path, tmp_path / "work", segmenter)
    with rasterio.open(getattr(found.files, name)) as layer, rasterio.open(path) as source:
        assert layer.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert layer.block_shapes[0] == (512, 512) and layer.overviews(1) == [2, 4]
        assert layer.shape == source.shape and layer.crs == source.crs
        np.testing.assert_allclose(layer.transform[:6], source.transform[:6], rtol=1e-12)
        assert layer.dtypes[0] == "uint8" and layer.count == (3 if name == "overlay" else 1)
        if name == "overlay":
            assert layer.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "YCbCr JPEG"
            rgb = np.moveaxis(layer.read(), 0, 2).astype(int)
            assert np.ptp(rgb[700, 540:556], axis=1).max() > 60 and np.ptp(rgb[100, 600]) < 12
            assert np.abs(rgb[700, 558:563] - 30).mean() < 30


def test_the_overlay_does_not_depend_on_its_windows(tmp_path, segmenter, monkeypatch):
    path = write(tmp_path / "a.tif", picture(1100, 1100))
    first = survey_raster(path, tmp_path / "a", segmenter)
    monkeypatch.setattr("fissura.survey.raster_layers._DRAW_COLUMNS", 512)
    second = survey_raster(path, tmp_path / "b", segmenter)
    assert first.files.overlay.read_bytes() == second.files.overlay.read_bytes()


def test_what_is_not_looked_at_is_outlined(tmp_path, segmenter):
    rgb = picture()
    opaque = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    opaque[:, :200] = 0
    rgba = np.concatenate([rgb, opaque], axis=2)
    path = write(tmp_path / "a.tif", rgba, photometric="RGB", alpha="YES")
    found = survey_raster(path, tmp_path / "work", segmenter)
    assert found.inspected_share == pytest.approx(500 / 700)
    west, _, east, _ = found.outline.bounds
    corners = found.corners_lonlat
    assert corners.shape == (4, 2) and corners[0, 0] < corners[1, 0] and corners[0, 1] > corners[3, 1]
    at_200 = corners[0, 0] + (corners[1, 0] - corners[0, 0]) * 200 / 700
    pixel = (corners[1, 0] - corners[0, 0]) / 700
    assert west == pytest.approx(at_200, abs=3 * pixel) and east == pytest.approx(corners[1:3, 0].max(), abs=pixel)
    assert (found.measurement.cracks[0].points_rc[:, 1] > 200).all()


def test_control_points_are_kept(tmp_path, segmenter):
    corners = ((0, 0), (0, 700), (1330, 0), (1330, 700))
    gcps = [GroundControlPoint(row=r, col=c, x=5e5 + c * GSD_M, y=5.6e6 - r * GSD_M) for r, c in corners]
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", width=700, height=1330, count=3, dtype="uint8", gcps=gcps,
                       crs="EPSG:32632") as dataset:  # fmt: skip
        dataset.write(np.moveaxis(picture(), 2, 0))
    found = survey_raster(path, tmp_path / "work", segmenter)
    with rasterio.open(found.files.mask) as layer:
        points, crs = layer.gcps
    assert crs.to_epsg() == 32632 and [(p.row, p.col, p.x, p.y) for p in points] == [
        (p.row, p.col, p.x, p.y) for p in gcps
    ]  # fmt: skip
    assert found.placement is not None and found.measurement.length > 1000


def test_all_invalid(tmp_path, segmenter):
    path = write(tmp_path / "a.tif", np.zeros((600, 700, 3), np.uint8), nodata=0)
    found = survey_raster(path, tmp_path / "work", segmenter)
    assert not found.measurement.cracks and found.inspected_share == 0 and found.outline.is_empty
    assert read(found.files.mask).max() == 0


def test_deep_and_palette_rasters(tmp_path, segmenter):
    grey = cv2.cvtColor(picture(), cv2.COLOR_RGB2GRAY)
    deep = write(tmp_path / "deep.tif", grey.astype(np.uint16) * 40 + 900)
    found = survey_raster(deep, tmp_path / "work", segmenter)
    length = np.linalg.norm(np.diff(CRACK_RC, axis=0), axis=1).sum()
    assert found.measurement.length / (1000 * GSD_M) == pytest.approx(length, rel=0.02)
    assert any("stretched" in note for note in found.notes)
    table = {i: (255 - i, 255 - i, 255 - i, 255) for i in range(256)}
    palette = write(tmp_path / "palette.tif", 255 - grey, colormap=table, photometric="palette")
    found = survey_raster(palette, tmp_path / "work2", segmenter)
    assert found.measurement.length / (1000 * GSD_M) == pytest.approx(length, rel=0.02)


def test_degrees(tmp_path, segmenter):
    """A raster in degrees at 60° north has pixels twice as high as wide; lengths are those on the ground."""
    step = GSD_M / 111_412.24
    path = write(tmp_path / "a.tif", picture(), Affine(step, 0, 10.0, 0, -step, 60.0), "EPSG:4326")
    found = survey_raster(path, tmp_path / "work", segmenter)
    from pyproj import Geod

    lonlat = np.column_stack([10.0 + (CRACK_RC[:, 1] + 0.5) * step, 60.0 - (CRACK_RC[:, 0] + 0.5) * step])
    metres = sum(Geod(ellps="WGS84").inv(*a, *b)[2] for a, b in pairwise(lonlat))
    assert found.measurement.length / 1000 == pytest.approx(metres, rel=0.01)
    ((rgb, mm),) = crop_cracks(path, [np.array([[690.0, 558.0], [710.0, 561.0]])], found.scale)
    # Made square on the ground: the upright crack of 7 px keeps its 7 px, heights are doubled.
    assert mm == pytest.approx(GSD_M * 1000 * 0.5, rel=0.01) and rgb.shape == (161, 161, 3)
    dark = (rgb[..., 0] < 90)[60:100].sum(axis=1)
    assert 5 <= np.median(dark) <= 10


def test_plain_pictures_and_coarse_rasters_say_so(tmp_path, segmenter):
    path = tmp_path / "plain.tif"
    cv2.imwrite(str(path), picture(300, 400, np.array([[20.0, 20.0], [280.0, 350.0]]))[..., ::-1])
    found = survey_raster(path, tmp_path / "work", segmenter, network_scale=1.0)
    assert found.placement is None and found.scale is None and found.outline is None and found.measurement.cracks
    assert any("no place" in n for n in found.notes) and any("no scale" in n for n in found.notes)
    far = write(tmp_path / "far.tif", picture(300, 400, np.array([[20.0, 20.0], [280.0, 350.0]])),
                Affine(0.05, 0, 5e5, 0, -0.05, 5.6e6))  # fmt: skip
    found = survey_raster(far, tmp_path / "far", segmenter)
    assert any("50 mm" in note for note in found.notes)
    # 50 mm a pixel and 7 px wide: wider than any crack.
    assert not found.measurement.cracks and any("left out" in note for note in found.notes)


def test_a_region_of_interest(tmp_path, segmenter):
    path = write(tmp_path / "a.tif", picture())
    area = tmp_path / "roi.geojson"
    x0, y0 = 500_000.0, 5_600_000.0
    ring = [[x0 + c * GSD_M, y0 - r * GSD_M] for c, r in ((0, 0), (700, 0), (700, 500), (0, 500), (0, 0))]
    area.write_text(
        '{"type": "Polygon", "crs": {"properties": {"name": "EPSG:32632"}}, "coordinates": [' + str(ring) + "]}"
    )
    counted = Failing(segmenter, 10**6)
    found = survey_raster(path, tmp_path / "work", counted, roi=Roi(area))
    assert found.inspected_share == pytest.approx(500 / 1330, abs=1e-3)
    grey = read(found.files.probability)
    assert grey[500:].max() == 0 and grey[:490].max() > 200
    whole = read(survey_raster(path, tmp_path / "whole", segmenter).files.probability)
    np.testing.assert_array_equal(grey[:499], whole[:499])
    outside = tmp_path / "far.geojson"
    outside.write_text(area.read_text().replace("5599", "5499").replace("5600000", "5500000"))
    with pytest.raises(ImageError, match="does not touch"):
        survey_raster(path, tmp_path / "far", segmenter, roi=Roi(outside))


def test_too_little_room_is_said_before_the_work(tmp_path, segmenter, monkeypatch):
    path = write(tmp_path / "a.tif", picture())
    monkeypatch.setattr(raster_stage, "_BYTES_PER_PX", 1e13)
    with pytest.raises(OutputError, match=r"needs about \d+\.\d GB .* free"):
        survey_raster(path, tmp_path / "work", segmenter)
    assert not list((tmp_path / "work").glob("*.png"))


@pytest.mark.parametrize("megabytes", [1, 3, 4, 6])
def test_a_full_disk_is_said_and_the_run_goes_on(tmp_path, segmenter, monkeypatch, megabytes):
    """Full while strips, temporary files and COGs are written: always the error of a full disk, never another."""
    noise = np.random.default_rng(0).integers(120, 150, (1500, 1500, 3), np.uint8)
    path, disk, out = write(tmp_path / "a.tif", noise), tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    monkeypatch.setattr(raster_stage, "_BYTES_PER_PX", 0.0)
    with mounted(disk, f"size={megabytes}m"):
        with pytest.raises(OutputError) as caught:
            survey_raster(path, disk / "work", segmenter, network_scale=1.0)
        assert is_fatal(caught.value) and "the disk is full" in str(caught.value)
        left = sorted(p.name for p in (disk / "work").iterdir())
        assert not [name for name in left if name.startswith(".")]
        shutil.copytree(disk / "work", out)
    counted = Failing(segmenter, 10**6)
    assert survey_raster(path, out, counted, network_scale=1.0).files.overlay.is_file()
    assert counted.seen == 0 or megabytes == 1


def test_a_failed_cog_leaves_nothing(tmp_path, segmenter, monkeypatch):
    path = write(tmp_path / "a.tif", picture())
    target = tmp_path / "out" / "cog.tif"
    target.parent.mkdir()
    stale = temporary_path(target).with_name(temporary_path(target).name + ".ovr.tmp")
    stale.write_bytes(b"x")

    def stop(share):
        raise Killed

    monkeypatch.setattr("fissura.imaging.cog._TELL_SECONDS", 0.0)
    with pytest.raises(Killed):
        write_cog(path, target, progress=stop)
    assert not list(target.parent.iterdir())
    write_cog(path, target)
    assert [p.name for p in target.parent.iterdir()] == ["cog.tif"]


def test_layers_can_be_left_out_and_go_elsewhere(tmp_path, segmenter):
    path = write(tmp_path / "a.tif", picture())
    files = LayerFiles(tmp_path / "masks" / "a.tif", None, None)
    survey_raster(path, tmp_path / "work", segmenter, files=files)
    assert read(files.mask).any()
    assert not list((tmp_path / "work").glob("*.tif")) and not list((tmp_path / "work").glob(".*"))


def test_pictures_of_cracks(tmp_path):
    path = write(tmp_path / "a.tif", picture(1330, 700))
    rgb, mm = crop_raster(path, np.array([[100.0, 100.0], [140.0, 180.0]]))
    assert rgb.shape == (161, 161, 3) and mm is None
    long, _ = crop_raster(path, CRACK_RC)
    assert max(long.shape[:2]) == 480
    border, _ = crop_raster(path, np.array([[0.0, 0.0], [3.0, 9.0]]))
    assert min(border.shape[:2]) > 80


def _georeference(source: Path, target: Path, crs: str):
    with rasterio.open(source) as src:
        transform, width, height = calculate_default_transform(src.crs, crs, src.width, src.height, *src.bounds)
        profile = src.profile | {"crs": crs, "transform": transform, "width": width, "height": height, "nodata": 0}
        with rasterio.open(target, "w", **profile) as dst:
            for band in range(1, 4):
                reproject(rasterio.band(src, band), rasterio.band(dst, band), resampling=Resampling.bilinear)
    return target


@pytest.mark.skipif(DATA is None, reason="FISSURA_DATA is not set; the real raster is needed")
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32629"])
def test_a_real_raster_lines_up_to_a_pixel(tmp_path, segmenter, crs):
    """Dark lines of the real picture: the layers' pixels are the raster's, and places agree through another CRS."""
    path = Path(DATA or "") / "uav" / "roundabout_geotiff" / "frame_ref.tif"
    if crs != "EPSG:4326":
        path = _georeference(path, tmp_path / "utm.tif", crs)
    # The finder of dark lines finds thousands in gravel and grass; the surest are enough.
    sure = Segmenter(segmenter.backend, threshold=0.995)
    found = survey_raster(path, tmp_path / "work", sure, gsd_mm=5.0)
    with rasterio.open(path) as source, rasterio.open(found.files.probability) as layer:
        assert layer.crs == source.crs and layer.shape == source.shape
        np.testing.assert_allclose(layer.transform[:6], source.transform[:6], rtol=0, atol=1e-12)
        grey, bounds = layer.read(1), source.bounds
    assert len(found.measurement.cracks) > 5
    for crack in found.measurement.cracks[:20]:
        lonlat = found.placement.to_lonlat(crack.points_rc)
        xy = np.column_stack(rasterio.warp.transform("EPSG:4326", crs, *lonlat.T))
        with rasterio.open(found.files.probability) as layer:
            columns, rows = ~layer.transform @ (xy[:, 0], xy[:, 1])
        np.testing.assert_allclose(np.column_stack([rows, columns]) - 0.5, crack.points_rc, atol=0.02)
        if crack.bridged_share == 0:
            at = np.rint(crack.points_rc).astype(int)
            near = [grey[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].max() for r, c in at]
            assert np.median(near) > 253
    assert found.outline.bounds[0] == pytest.approx(
        min(rasterio.warp.transform(crs, "EPSG:4326", [bounds.left] * 2, [bounds.top, bounds.bottom])[0]), abs=2e-4
    )
    assert math.isfinite(found.inspected_m2)
