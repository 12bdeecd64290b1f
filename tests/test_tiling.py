from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fissura.errors import GeometryError
from fissura.tiling import blend, iter_probability_bands, plan_axis, plan_tiles, reflect_indices
from fissura.types import BoolMask, Probability, RgbImage

sides = st.integers(1, 200)
tile_and_overlap = st.integers(2, 48).flatmap(lambda t: st.tuples(st.just(t), st.integers(0, t // 2)))


def red_channel(tiles: Iterable[RgbImage]) -> Iterator[Probability]:
    """A 'network' that looks at each pixel alone, so tiling must give exactly the pixels back."""
    for tile in tiles:
        yield tile[:, :, 0].astype(np.float32) / 255


def noise(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(length=sides, sizes=tile_and_overlap)
def test_weights_sum_to_one_and_cover(length: int, sizes: tuple[int, int]) -> None:
    tile, overlap = sizes
    plan = plan_axis(length, tile, overlap)
    total = np.zeros(length)
    for start, weights in zip(plan.starts, plan.weights, strict=True):
        for offset, weight in enumerate(weights):
            if 0 <= start + offset < length:
                assert weight > 0
                total[start + offset] += weight
    np.testing.assert_allclose(total, 1.0, atol=1e-6)
    assert plan.starts[-1] + tile >= length
    if length > tile:
        assert plan.starts[0] == 0 and plan.starts[-1] + tile == length


@given(length=st.integers(50, 200), sizes=tile_and_overlap)
def test_neighbours_overlap_at_least_as_planned(length: int, sizes: tuple[int, int]) -> None:
    tile, overlap = sizes
    starts = plan_axis(length, tile, overlap).starts
    assert all(0 < b - a <= tile - overlap for a, b in pairwise(starts))


@settings(deadline=None, max_examples=60)
@given(height=sides, width=sides, sizes=tile_and_overlap)
def test_every_pixel_comes_back(height: int, width: int, sizes: tuple[int, int]) -> None:
    tile, overlap = sizes
    rgb = noise(height, width)
    out = blend(rgb, red_channel, tile=tile, overlap=overlap)
    assert out.shape == (height, width) and out.dtype == np.float32
    np.testing.assert_allclose(out, rgb[:, :, 0] / 255, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (64, 64), (65, 64), (3, 4000)])
def test_extreme_sizes(size: tuple[int, int]) -> None:
    rgb = noise(*size)
    np.testing.assert_allclose(blend(rgb, red_channel, tile=64, overlap=16), rgb[:, :, 0] / 255, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(height=sides, width=sides, sizes=tile_and_overlap)
def test_bands_cover_rows_once_and_rows_are_read_once(height: int, width: int, sizes: tuple[int, int]) -> None:
    tile, overlap = sizes
    rgb = noise(height, width)
    read: list[int] = []

    def read_rows(start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        read.extend(range(start, stop))
        return rgb[start:stop], None

    covered: list[int] = []
    for row, band in iter_probability_bands(read_rows, height, width, red_channel, tile=tile, overlap=overlap):
        assert band.shape[1] == width and len(band) <= tile
        covered.extend(range(row, row + len(band)))
    assert read == list(range(height))
    assert covered == list(range(height))


def test_invalid_pixels_are_zero_and_empty_tiles_are_not_predicted() -> None:
    rgb = np.full((200, 300, 3), 200, np.uint8)
    valid = np.zeros((200, 300), bool)
    valid[5:60, 5:60] = True
    valid[150, 299] = True
    rgb[~valid] = 0
    asked: list[RgbImage] = []

    def record(tiles: Iterable[RgbImage]) -> Iterator[Probability]:
        for tile in tiles:
            asked.append(tile)
            yield np.ones(tile.shape[:2], np.float32)

    out = blend(rgb, record, tile=64, overlap=16, valid=valid)
    np.testing.assert_allclose(out, valid.astype(np.float32), atol=1e-5)
    assert 0 < len(asked) < len(plan_tiles(200, 300, 64, 16))
    assert all((tile == 200).all() for tile in asked), "the collar must not be an edge"


def test_wholly_invalid_image_is_never_predicted() -> None:
    def refuse(tiles: Iterable[RgbImage]) -> Iterator[Probability]:
        for _ in tiles:
            raise AssertionError("predicted a tile without content")
        yield from ()

    out = blend(noise(150, 90), refuse, tile=64, overlap=16, valid=np.zeros((150, 90), bool))
    assert not out.any()


def test_extending_the_canvas_moves_no_tile_but_the_last() -> None:
    short, long = plan_axis(500, 64, 16), plan_axis(900, 64, 16)
    assert short.starts[:-1] == long.starts[: len(short.starts) - 1]


@pytest.mark.parametrize(("length", "tile", "overlap"), [(0, 64, 16), (10, 0, 0), (10, 64, 33), (10, 64, -1)])
def test_impossible_plans_are_refused(length: int, tile: int, overlap: int) -> None:
    with pytest.raises(GeometryError, match=r"tile|overlap"):
        plan_axis(length, tile, overlap)


def test_reader_of_another_width_is_refused() -> None:
    def read_rows(start: int, stop: int) -> tuple[RgbImage, BoolMask | None]:
        return noise(stop - start, 10), None

    with pytest.raises(GeometryError, match="expected"):
        list(iter_probability_bands(read_rows, 100, 100, red_channel, tile=64, overlap=16))


@given(start=st.integers(-300, 300), count=st.integers(1, 300), length=st.integers(1, 50))
def test_reflection_matches_numpy(start: int, count: int, length: int) -> None:
    before, after = max(-start, 0), max(start + count - length, 0)
    expected = np.pad(np.arange(length), (before, after), mode="reflect" if length > 1 else "edge")
    np.testing.assert_array_equal(reflect_indices(start, start + count, length), expected[start + before :][:count])
