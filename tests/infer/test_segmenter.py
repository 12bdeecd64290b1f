"""The Segmenter on a model with known behaviour: it finds pixels darker than their surroundings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fissura.errors import GeometryError, ModelError, SettingsError
from fissura.infer import Segmenter, load_segmenter, register_backend
from fissura.infer.backend import BackendOptions
from fissura.infer.onnx_metadata import read_card
from fissura.infer.openvino_backend import OpenVinoBackend
from fissura.types import BoolMask, Probability, RgbImage

STRIDE = 48
"""Stride of the tiny model: tiles of 64, overlap 16. It sees 7 pixels far."""


@pytest.fixture(scope="module")
def segmenter(tiny_onnx: Path) -> Segmenter:
    return load_segmenter(tiny_onnx, precision="fp32")


def road(height: int = 230, width: int = 310, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Grey with noise and two dark lines of 3 and 2 pixels."""
    rgb = np.random.default_rng(seed).integers(140, 180, (height, width, 3), dtype=np.uint8)
    rgb[100:103] = 60
    rgb[:, 200:202] = 60
    return rgb


def test_finds_the_lines_and_nothing_else(segmenter: Segmenter) -> None:
    rgb = road()
    found = segmenter.segment(rgb)
    truth = (rgb < 100).all(axis=2)
    assert found.mask.dtype == bool and found.probability.dtype == np.float32
    np.testing.assert_array_equal(found.mask, truth)
    assert found.threshold == segmenter.card.threshold == 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (40_000, 3), (64, 64), (65, 129)])
def test_any_size_gives_its_own_size(segmenter: Segmenter, size: tuple[int, int]) -> None:
    probability = segmenter.probability(np.full((*size, 3), 128, np.uint8))
    assert probability.shape == size
    assert probability.max() < 0.5 and np.isfinite(probability).all()


def test_transposed_and_flipped_images_agree(segmenter: Segmenter) -> None:
    rgb = road()
    plain = segmenter.probability(rgb)
    turned = {
        "transpose": segmenter.probability(np.ascontiguousarray(rgb.swapaxes(0, 1))).T,
        "left-right": segmenter.probability(np.ascontiguousarray(rgb[:, ::-1]))[:, ::-1],
        "up-down": segmenter.probability(np.ascontiguousarray(rgb[::-1]))[::-1],
    }
    for name, other in turned.items():
        agreement = np.mean((plain > 0.5) == (other > 0.5))
        assert agreement > 0.998, f"{name}: {agreement:.5f} of the mask agrees"


def test_a_larger_canvas_changes_next_to_nothing(segmenter: Segmenter) -> None:
    """To the bit where the tiles are the same; in the last, moved tile of an axis by what a tile's rim costs."""
    rgb = road()
    canvas = road(230 + 3 * STRIDE, 310 + 2 * STRIDE, seed=9)
    canvas[STRIDE : STRIDE + 230, 2 * STRIDE : 2 * STRIDE + 310] = rgb
    inside = segmenter.probability(canvas)[STRIDE : STRIDE + 230, 2 * STRIDE : 2 * STRIDE + 310]
    difference = np.abs(inside - segmenter.probability(rgb))
    assert difference[16 : 230 - 64, 16 : 310 - 64].max() < 1e-6
    assert difference[8:-8, 8:-8].max() < 0.02
    assert np.mean((inside > 0.5) == (segmenter.probability(rgb) > 0.5)) > 0.998


def test_threads_do_not_change_the_result(tiny_onnx: Path, segmenter: Segmenter) -> None:
    rgb = road()
    one = load_segmenter(tiny_onnx, precision="fp32", threads=1).probability(rgb)
    np.testing.assert_allclose(one, segmenter.probability(rgb), atol=1e-5)


def test_same_image_twice_is_the_same_to_the_bit(segmenter: Segmenter) -> None:
    np.testing.assert_array_equal(segmenter.probability(road()), segmenter.probability(road()))


def test_bands_equal_the_whole_image(segmenter: Segmenter) -> None:
    rgb = road()
    valid = np.ones(rgb.shape[:2], bool)
    valid[:90, :120] = False

    def read_rows(start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        return rgb[start:stop], valid[start:stop]

    bands = [band for _, band in segmenter.iter_bands(read_rows, *rgb.shape[:2])]
    np.testing.assert_array_equal(np.concatenate(bands), segmenter.probability(rgb, valid=valid))


def test_collar_gives_no_crack(segmenter: Segmenter) -> None:
    rgb = road()
    valid = np.zeros(rgb.shape[:2], bool)
    valid[20:90, 20:180] = True
    rgb[~valid] = 0
    found = segmenter.segment(rgb, valid=valid)
    assert not found.mask.any()
    assert segmenter.segment(rgb).mask.any(), "without the validity mask the collar's rim looks dark"


def test_wide_crack_is_filled_at_a_smaller_scale(segmenter: Segmenter) -> None:
    rgb = np.full((400, 400, 3), 160, np.uint8)
    rgb[180:204] = 70
    at_full, at_small = segmenter.segment(rgb), segmenter.segment(rgb, scale=0.2)
    assert at_full.mask[190:194].mean() < 0.1, "the tiny model sees 7 px far, so the middle is flat to it"
    assert at_small.mask[184:200].mean() > 0.95
    assert at_small.mask.shape == (400, 400) and at_small.probability.max() <= 1.0


def test_enlarged_view_keeps_a_hairline_and_the_size(segmenter: Segmenter) -> None:
    rgb = np.full((101, 77, 3), 160, np.uint8)
    rgb[50] = 60
    valid = np.ones((101, 77), bool)
    valid[:, 70:] = False
    found = segmenter.segment(rgb, scale=2.0, valid=valid)
    assert found.mask.shape == (101, 77)
    assert found.mask[50, :66].all() and not found.mask[:, 70:].any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 5), np.uint8), r"\(5, 5\).*height, width, 3"),
        (np.zeros((5, 5, 4), np.uint8), "height, width, 3"),
        (np.zeros((5, 5, 3), np.float32), "float32.*uint8"),
        (np.zeros((0, 5, 3), np.uint8), "empty"),
    ],
)
def test_wrong_arrays_are_refused(segmenter: Segmenter, image: npt.NDArray[np.uint8], message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        segmenter.probability(image)


def test_wrong_mask_scale_and_threshold_are_refused(segmenter: Segmenter) -> None:
    with pytest.raises(GeometryError, match="validity mask"):
        segmenter.probability(road(), valid=np.ones((3, 3), bool))
    with pytest.raises(GeometryError, match="scale"):
        segmenter.probability(road(), scale=0.0)
    with pytest.raises(SettingsError, match=r"threshold is 1\.0"):
        Segmenter(segmenter.backend, threshold=1.0)


def test_threshold_override(tiny_onnx: Path) -> None:
    rgb = road()
    low, high = (load_segmenter(tiny_onnx, threshold=t).segment(rgb).mask for t in (0.001, 0.999))
    assert low.sum() > high.sum()


def test_stopping_early_leaves_the_engine_usable(tiny_onnx: Path) -> None:
    backend = OpenVinoBackend(tiny_onnx)
    tiles = [np.full((64, 64, 3), value, np.uint8) for value in range(0, 200, 10)]
    results = backend.predict_tiles(tiles)
    next(results)
    del results
    again = list(backend.predict_tiles(tiles))
    assert len(again) == len(tiles)


def test_two_iterations_at_once_do_not_mix(tiny_onnx: Path) -> None:
    backend = OpenVinoBackend(tiny_onnx)
    rgb = road()
    cut = [np.ascontiguousarray(rgb[r : r + 64, c : c + 64]) for r in range(60, 120, 8) for c in range(160, 210, 8)]
    alone = list(backend.predict_tiles(cut))
    pairs = zip(backend.predict_tiles(cut), backend.predict_tiles(reversed(cut)), strict=True)
    for index, (forward, backward) in enumerate(pairs):
        np.testing.assert_array_equal(forward, alone[index])
        np.testing.assert_array_equal(backward, alone[-1 - index])


def test_own_backend_by_name(tiny_onnx: Path) -> None:
    class Constant:
        description = "constant"

        def __init__(self, path: Path, options: BackendOptions) -> None:
            self.card = read_card(path)

        def predict_tiles(self, tiles: Iterable[RgbImage]) -> Iterator[Probability]:
            for _ in tiles:
                yield np.full((64, 64), 0.25, np.float32)

    register_backend("constant", Constant)
    probability = load_segmenter(tiny_onnx, engine="constant").probability(road())
    np.testing.assert_allclose(probability, 0.25, atol=1e-6)


def test_unknown_engine_precision_and_threads(tiny_onnx: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown engine 'tensorflow'.*openvino"):
        load_segmenter(tiny_onnx, engine="tensorflow")
    with pytest.raises(SettingsError, match=r"unknown precision 'fp8'.*int8"):
        load_segmenter(tiny_onnx, precision="fp8")
    with pytest.raises(SettingsError, match="threads is 0"):
        load_segmenter(tiny_onnx, threads=0)
    with pytest.raises(ModelError, match=r"no int8 file .*tiny\.int8\.onnx"):
        load_segmenter(tiny_onnx, precision="int8")
