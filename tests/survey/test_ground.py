"""The canvas: blending, marking, windows, and tiles that went to disk."""

from pathlib import Path

import numpy as np
import pytest

from fissura.errors import ImageError
from fissura.survey.ground import CELL_PX, TILE_PX, GroundCanvas


def patch(value: float, shape: tuple[int, int] = (100, 120)) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Probability, weight 1, a grey picture, and blending with what is there."""
    ones = np.ones(shape, np.float32)
    return ones * np.float32(value), ones, np.full((*shape, 3), int(value * 200), np.uint8), ones


def paste(canvas: GroundCanvas, top: int, left: int, value: float, *, keep: float = 1.0, weight: float = 1.0) -> None:
    probability, ones, rgb, _ = patch(value)
    canvas.paste(top, left, probability, ones * np.float32(weight), rgb, keep_old=ones * np.float32(keep))


def test_what_is_pasted_is_read_back_across_tiles_and_below_zero(tmp_path: Path) -> None:
    canvas = GroundCanvas(tmp_path)
    paste(canvas, -50, TILE_PX - 60, 0.8)
    window = canvas.read(slice(-60, 60), slice(TILE_PX - 80, TILE_PX + 80))
    assert window.seen.sum() == 100 * 120
    assert window.seen[10:110, 20:140].all()
    assert np.allclose(window.probability[window.seen], 0.8, atol=1 / 255)
    assert set(canvas.keys) == {(-1, 0), (-1, 1), (0, 0), (0, 1)}
    assert canvas.bounds_rc == (-TILE_PX, 0, TILE_PX, 2 * TILE_PX)


def test_overlaps_blend_by_weight_and_a_better_look_replaces(tmp_path: Path) -> None:
    canvas = GroundCanvas(tmp_path)
    paste(canvas, 0, 0, 1.0)
    paste(canvas, 0, 0, 0.0)
    at = slice(0, 100), slice(0, 120)
    assert np.allclose(canvas.read(*at).probability, 0.5, atol=1 / 255)
    paste(canvas, 0, 0, 1.0, keep=0.0)
    assert np.allclose(canvas.read(*at).probability, 1.0)
    paste(canvas, 0, 0, 0.0, weight=0.0)
    assert np.allclose(canvas.read(*at).probability, 1.0)


def test_tiles_on_disk_are_the_same_tiles(tmp_path: Path) -> None:
    small, large = GroundCanvas(tmp_path / "small", most_tiles=4), GroundCanvas(tmp_path / "large")
    rng = np.random.default_rng(0)
    for _ in range(30):
        top, left, value = int(rng.integers(-2000, 2000)), int(rng.integers(-2000, 2000)), float(rng.random())
        for canvas in (small, large):
            paste(canvas, top, left, value)
    assert len(list((tmp_path / "small").glob("*.png"))) > 20
    whole = slice(-2048, 2560), slice(-2048, 2560)
    a, b = small.read(*whole), large.read(*whole)
    assert np.array_equal(a.probability, b.probability)
    assert np.array_equal(a.rgb, b.rgb)
    assert np.array_equal(a.seen, b.seen)


def test_seen_cells_keep_the_better_quality(tmp_path: Path) -> None:
    canvas = GroundCanvas(tmp_path)
    looked = np.ones((3, 4), bool)
    looked[0, 0] = False
    canvas.mark_seen(-1, 30, looked, np.full((3, 4), 0.7, np.float32))
    canvas.mark_seen(0, 30, np.ones((1, 4), bool), np.full((1, 4), 0.2, np.float32))
    points = np.array([[30.5, -0.5], [30.5, 0.5], [31.5, -0.5], [29.5, 0.5], [33.9, 1.9]]) * CELL_PX
    assert canvas.quality_at(points) == pytest.approx([0.0, 0.7, 0.7, 0.0, 0.7])
    assert canvas.seen_px == 11 * CELL_PX**2
    assert canvas.quality_at(np.empty((0, 2))).shape == (0,)


def test_a_damaged_tile_says_what_to_do(tmp_path: Path) -> None:
    canvas = GroundCanvas(tmp_path, most_tiles=4)
    for column in range(10):
        paste(canvas, 0, column * TILE_PX, 0.5)
    (tmp_path / "crack_+0000_+0000.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="--overwrite"):
        canvas.read(slice(0, 10), slice(0, 10))


def test_pieces_of_ground_that_lie_apart_have_outlines_of_their_own(tmp_path: Path) -> None:
    canvas = GroundCanvas(tmp_path)
    for left in (0, 1000 * TILE_PX // CELL_PX):
        canvas.mark_seen(0, left, np.ones((4, 4), np.bool_), np.ones((4, 4), np.float32))
    apart = canvas.seen_outline((0, 1000 * TILE_PX, 64, 1000 * TILE_PX + 64))
    assert apart.bounds == (1000 * TILE_PX, 0, 1000 * TILE_PX + 64, 64)
    assert canvas.seen_outline().area == 2 * apart.area
