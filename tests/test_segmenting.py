import tracemalloc

import cv2
import numpy as np
import pytest

from fissura.errors import SettingsError
from fissura.imaging.read import LoadedImage
from fissura.imaging.scene import MemoryScene, open_scenes
from fissura.infer import Segmenter
from fissura.segmenting import _blank, count_megapixels, drop_short, parse_scale, plan_scales, segment_scene
from support.tiny_model import make_tiny_onnx


class DarkBackend:
    """Calls a pixel a crack by its darkness alone, so that answers are exact."""

    def __init__(self, card):
        self.card, self.description, self.tiles = card, "dark", 0

    def predict_tiles(self, tiles):
        for tile in tiles:
            self.tiles += 1
            yield (255 - tile.mean(axis=2)).astype(np.float32) / np.float32(255)


@pytest.fixture
def segmenter(tmp_path):
    return Segmenter(DarkBackend(make_tiny_onnx(tmp_path / "tiny.onnx")))


def scene_of(rgb, valid=None):
    return MemoryScene(LoadedImage(rgb, valid))


def random_rgb(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("hw", [(1, 1), (3, 500), (500, 3), (64, 64), (157, 211)])
def test_equals_the_segmenter_on_the_whole_image(segmenter, hw):
    rgb = random_rgb(*hw)
    result = segment_scene(scene_of(rgb), segmenter, scale=1.0)
    expected = segmenter.segment(rgb)
    assert (result.mask == expected.mask).all()
    assert (result.probability == np.rint(255 * expected.probability)).all()


@pytest.mark.parametrize("scale", [None, 0.25, 0.5, 0.7, 1.5, 2.0])
@pytest.mark.parametrize("hw", [(1, 1), (3, 400), (157, 211)])
def test_any_scale_gives_the_input_size(segmenter, scale, hw):
    rgb = np.full((*hw, 3), 55, np.uint8)
    result = segment_scene(scene_of(rgb), segmenter, scale=scale)
    assert result.mask.shape == hw
    assert result.mask.all()
    assert (result.probability == 200).all()


def test_scaled_results_lie_where_the_crack_is(segmenter):
    rgb = np.full((300, 400, 3), 200, np.uint8)
    rgb[100:140, 50:350] = 10
    expected = rgb[..., 0] < 100
    for scale in (0.25, 0.5, 0.37, 2.0):
        mask = segment_scene(scene_of(rgb), segmenter, scale=scale).mask
        assert (mask != expected).sum() < 0.06 * expected.sum(), scale


def test_auto_adds_wide_cracks_and_leaves_hairlines_thin(segmenter, monkeypatch):
    monkeypatch.setattr("fissura.segmenting.LARGE_PIXELS", 100_000)
    rgb = np.full((400, 400, 3), 200, np.uint8)
    rgb[:, 80] = 0
    rgb[:, 200:260] = 0
    result = segment_scene(scene_of(rgb), segmenter, scale=None)
    assert plan_scales(400, 400) == (1.0, 0.5, 0.25)
    assert (result.mask[:, 60:100].sum(axis=1) == 1).all()
    assert result.mask[:, 200:260].all()
    # The coarse passes alone cost at most a third.
    assert count_megapixels(6000, 8000, None) / count_megapixels(6000, 8000, 1.0) < 4 / 3


def test_progress_adds_up(segmenter, monkeypatch):
    monkeypatch.setattr("fissura.segmenting.LARGE_PIXELS", 100_000)
    told = []
    segment_scene(scene_of(random_rgb(400, 400)), segmenter, scale=None, progress=told.append)
    assert sum(told) == pytest.approx(count_megapixels(400, 400, None))


def test_nothing_on_or_beside_invalid_pixels(segmenter):
    rgb = np.zeros((150, 200, 3), np.uint8)
    valid = np.ones((150, 200), bool)
    valid[:, :40] = False
    result = segment_scene(scene_of(rgb, valid), segmenter)
    assert not result.mask[:, :43].any()
    assert result.mask[:, 43:].all()
    assert (result.valid == valid).all()
    assert result.probability[:, :43].max() == 0


def test_invalid_pixels_are_cleared_in_bands_as_in_one(monkeypatch):
    rng = np.random.default_rng(0)
    valid, roi = (cv2.blur(rng.random((61, 47)), (9, 9)) > limit for limit in (0.45, 0.4))
    for given in ((valid, None), (None, roi), (valid, roi), (None, None)):
        found = []
        for rows in (512, 7, 1):
            monkeypatch.setattr("fissura.segmenting._BAND_ROWS", rows)
            mask, probability = np.ones((61, 47), bool), np.full((61, 47), 9, np.uint8)
            _blank(mask, probability, *given)
            assert (probability == mask * np.uint8(9)).all()
            found.append(mask)
        assert (found[0] == found[1]).all() and (found[0] == found[2]).all()
        assert found[0].all() == all(part is None for part in given)


def test_the_memory_of_a_scene_with_invalid_pixels(segmenter, monkeypatch):
    height, width = 3000, 600
    rgb, valid = np.full((height, width, 3), 200, np.uint8), np.ones((height, width), bool)
    valid[:, :9] = False
    scene = scene_of(rgb, valid)
    monkeypatch.setattr(segmenter, "iter_bands", lambda read, h, w: (
        (top, np.full((len(read(top, top + 60)[0]), w), 0.2, np.float32)) for top in range(0, h, 60)
    ))  # fmt: skip
    tracemalloc.start()
    result = segment_scene(scene, segmenter)
    peak = tracemalloc.get_traced_memory()[1] / (height * width)
    tracemalloc.stop()
    assert result.valid is not None
    assert peak < 4


def test_all_invalid(segmenter):
    result = segment_scene(scene_of(random_rgb(90, 90), np.zeros((90, 90), bool)), segmenter)
    assert not result.mask.any()
    assert segmenter.backend.tiles == 0


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_region_of_interest_saves_work_and_changes_nothing_inside(segmenter, scale):
    rgb = random_rgb(700, 900)
    roi = np.zeros((700, 900), bool)
    roi[320:360, 400:460] = True
    whole = segment_scene(scene_of(rgb), segmenter, scale=scale)
    tiles = segmenter.backend.tiles
    part = segment_scene(scene_of(rgb), segmenter, scale=scale, roi=roi)
    assert (part.probability[roi] == whole.probability[roi]).all()
    assert not part.mask[~roi].any()
    assert part.probability[~roi].max() == 0
    assert segmenter.backend.tiles - tiles < tiles / 2
    assert part.valid is None


def test_a_raster_by_windows_equals_the_picture_in_memory(segmenter, make_data, tmp_path):
    for raster in open_scenes(make_data.geotiff(tmp_path / "a.tif", hw=(300, 260))):
        by_windows = segment_scene(raster, segmenter)
        in_memory = segment_scene(scene_of(*raster.read_rows(0, 300)), segmenter)
    assert (by_windows.probability == in_memory.probability).all()
    assert (by_windows.valid == in_memory.valid).all()


def test_short_pieces_are_dropped_as_if_in_one_block(monkeypatch):
    import cv2

    mask = np.random.default_rng(0).random((230, 190)) < 0.35
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    length = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    length[0] = 0
    monkeypatch.setattr("fissura.segmenting._BLOCK_PX", 48)
    for least in (3.0, 12.0, 40.0):
        pruned = mask.copy()
        drop_short(pruned, least)
        assert (pruned == (length >= least)[labels]).all()
        assert 0 < pruned.sum() < mask.sum()


def test_scale_option():
    assert parse_scale("auto") is None
    assert parse_scale("0.5") == 0.5
    for text in ("half", "0", "-1", "nan", "100"):
        with pytest.raises(SettingsError, match="--scale"):
            parse_scale(text)
