"""`evaluate` over files, with a segmenter that needs no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fissura.data import find_pairs
from fissura.errors import DataError, FissuraError
from fissura.metrics import EvaluatedImage, evaluate


class RedIsCrack:
    """The red channel is the probability."""

    threshold = 0.5

    def probability(self, rgb: np.ndarray, *, valid: np.ndarray | None = None) -> np.ndarray:
        found = rgb[..., 0].astype(np.float32) / 255
        if valid is not None:
            found[~valid] = 0
        return found


def write_pair(folder: Path, stem: str, red: np.ndarray, truth: np.ndarray) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rgb = np.stack([red, np.zeros_like(red), np.zeros_like(red)], -1).astype(np.uint8)
    Image.fromarray(rgb).save(folder / "images" / f"{stem}.png")
    Image.fromarray((truth * 255).astype(np.uint8)).save(folder / "masks" / f"{stem}.png")


def lines(height: int = 20, width: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Ten true pixels; six of them at probability 0.6 (153), two false ones at 0.8 (204)."""
    red, truth = np.zeros((height, width)), np.zeros((height, width), bool)
    truth[10, 5:15] = True
    red[10, 5:11] = 153
    red[2, 0:2] = 204
    return red, truth


def test_exact_figures_of_two_files(tmp_path: Path):
    write_pair(tmp_path, "a", *lines())
    write_pair(tmp_path, "b", *lines())
    score = evaluate(RedIsCrack(), find_pairs(tmp_path))
    assert [image.name for image in score.images] == ["a", "b"]
    figures = score.figures()
    assert figures["precision"] == pytest.approx(12 / 16)
    assert figures["recall"] == pytest.approx(12 / 20)
    # Two more true pixels lie within 2 px of the prediction.
    assert figures["recall@2px"] == pytest.approx(16 / 20)
    assert figures["F1@2px"] == pytest.approx(2 * 0.75 * 0.8 / 1.55)
    assert "clIoU" in figures
    assert "clIoU" not in evaluate(RedIsCrack(), find_pairs(tmp_path), centrelines=False).figures()


def test_a_threshold_of_ones_own(tmp_path: Path):
    write_pair(tmp_path, "a", *lines())
    score = evaluate(RedIsCrack(), find_pairs(tmp_path), threshold=0.7)
    assert (score.pixels.tp, score.pixels.fp) == (0, 2)


def test_transparent_pixels_are_no_crack(tmp_path: Path):
    red, truth = lines()
    write_pair(tmp_path, "a", red, truth)
    rgba = np.zeros((*red.shape, 4), np.uint8)
    rgba[..., 0], rgba[..., 3] = red, 255
    rgba[2, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "images" / "a.png")
    assert evaluate(RedIsCrack(), find_pairs(tmp_path)).pixels.fp == 0


def test_on_image_hands_out_everything(tmp_path: Path):
    red, truth = lines()
    write_pair(tmp_path, "a", red, truth)
    seen: list[EvaluatedImage] = []
    score = evaluate(RedIsCrack(), find_pairs(tmp_path), on_image=seen.append)
    assert seen[0].score is score.images[0]
    assert seen[0].pair.stem == "a"
    assert np.array_equal(seen[0].truth, truth)
    assert np.array_equal(seen[0].rgb[..., 0], red)
    assert seen[0].probability[10, 5] == pytest.approx(0.6)


def test_bad_pairs_are_reported_and_the_rest_is_done(tmp_path: Path):
    for stem in ("a", "b", "c"):
        write_pair(tmp_path, stem, *lines())
    (tmp_path / "images" / "a.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((7, 9), np.uint8)).save(tmp_path / "masks" / "b.png")
    failed: dict[str, FissuraError] = {}
    score = evaluate(RedIsCrack(), find_pairs(tmp_path), on_error=lambda pair, error: failed.update({pair.stem: error}))
    assert list(failed) == ["a", "b"]
    assert "9×7" in str(failed["b"])
    assert [image.name for image in score.images] == ["c"]


def test_without_a_handler_the_error_is_raised(tmp_path: Path):
    write_pair(tmp_path, "a", *lines())
    (tmp_path / "masks" / "a.png").write_bytes(b"no mask")
    with pytest.raises(DataError, match=r"a\.png"):
        evaluate(RedIsCrack(), find_pairs(tmp_path))
