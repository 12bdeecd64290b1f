from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from fissura.errors import GeometryError
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.road import Road, plan_slices, segment_slices
from fissura.spec import ModelCard

SIZE_HW = (360, 640)


class Mirror:
    """A backend that says of every pixel how red it is."""

    card = ModelCard(name="mirror", version="0", description="", architecture="none", parameters=1, tile=64, overlap=16)
    description = "mirror"

    def predict_tiles(self, tiles: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for tile in tiles:
            assert tile.shape == (64, 64, 3) and tile.dtype == np.uint8
            yield tile[..., 0].astype(np.float32) / 255


def smooth_frame() -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 255, (9, 16, 3)).astype(np.uint8)
    return cv2.resize(coarse, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC)


def slanted_road(angle_deg: float) -> Road:
    mask = np.zeros((45, 80), np.uint8)
    step = 90 * np.array([np.cos(np.radians(angle_deg)), -np.sin(np.radians(angle_deg))])
    a, b = (np.array([40, 22]) - step).astype(int), (np.array([40, 22]) + step).astype(int)
    cv2.line(mask, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 1, 14)
    return Road.from_mask(mask > 0, SIZE_HW)


@pytest.mark.parametrize("angle", [0, 33, 90, 140])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_probabilities_come_back_to_where_they_belong(angle: float, scale: float) -> None:
    frame, road = smooth_frame(), slanted_road(angle)
    slices = plan_slices(road, tile=64, overlap=16, scale=scale)
    probability, seen = segment_slices(frame, slices, Segmenter(Mirror()))
    assert not (road.full_mask() & ~seen).any()
    assert (seen == slices.looked_at()).all()
    assert (probability[~seen] == 0).all()
    error = np.abs(probability - frame[..., 0] / 255.0)[seen]
    assert np.quantile(error, 0.99) < 0.03


def test_the_whole_frame_is_exact_where_no_road_was_found() -> None:
    frame = smooth_frame()
    slices = plan_slices(Road.none((45, 80), SIZE_HW), tile=64, overlap=16)
    probability, seen = segment_slices(frame, slices, Segmenter(Mirror()))
    assert seen.all()
    assert np.abs(probability - frame[..., 0] / 255.0).max() < 1e-5


def test_an_upright_slice_is_cut_exactly_and_a_shrunk_one_is_an_area_mean() -> None:
    frame = np.random.default_rng(1).integers(0, 255, (*SIZE_HW, 3)).astype(np.uint8)
    whole = plan_slices(Road.none((45, 80), SIZE_HW), tile=64, overlap=16)
    assert (whole.cut(frame, whole.slices[0]) == frame[:64, :64]).all()
    half = plan_slices(Road.none((45, 80), SIZE_HW), tile=64, overlap=16, scale=0.5)
    expected = cv2.resize(frame[:128, :128], (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(half.cut(frame, half.slices[0]).astype(int) - expected).max() <= 1


def test_weights_are_above_zero_and_blend_to_one() -> None:
    slices = plan_slices(slanted_road(33), tile=64, overlap=16)
    assert (slices.weight(slices.slices[0]) > 0).all()
    # A frame of one value stays one value wherever slices overlap.
    flat = np.full((*SIZE_HW, 3), 200, np.uint8)
    probability, seen = segment_slices(flat, slices, Segmenter(Mirror()))
    assert np.abs(probability[seen] - 200 / 255).max() < 1e-5


def test_a_real_engine_and_other_sizes(tiny_onnx: Path) -> None:
    segmenter = load_segmenter(tiny_onnx, threads=1)
    frame, road = smooth_frame(), slanted_road(90)
    slices = plan_slices(road, tile=segmenter.card.tile, overlap=segmenter.card.overlap)
    probability, seen = segment_slices(frame, slices, segmenter)
    assert probability.shape == seen.shape == SIZE_HW and probability.dtype == np.float32
    with pytest.raises(GeometryError, match="plan_slices"):
        segment_slices(frame, plan_slices(road, tile=segmenter.card.tile * 2, overlap=8), segmenter)
    with pytest.raises(GeometryError, match="planned for"):
        segment_slices(frame[:-1], slices, segmenter)
