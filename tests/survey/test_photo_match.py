"""Which points of two photos are the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fissura.survey.photo_match import _two_nearest, find_photo_features, match_photos
from fissura.synth.textures import octave_noise


def ground(seed: int, side: int = 700) -> np.ndarray:
    """A rough surface, as RGB."""
    rough = octave_noise(np.random.default_rng(seed), (side, side), (2.0, 4.0, 8.0, 16.0), (1.0, 1.0, 1.0, 1.0))
    scaled = np.clip(128 + 60 * rough / np.abs(rough).max(), 0, 255).astype(np.uint8)
    return np.repeat(scaled[:, :, None], 3, axis=2)


@pytest.mark.parametrize(("first", "second"), [(1300, 900), (513, 40), (512, 512), (3, 2)])
def test_the_two_nearest_are_those_of_opencv(first: int, second: int) -> None:
    rng = np.random.default_rng(first)
    b = rng.integers(0, 256, (second, 128)).astype(np.uint8)
    # Some are near one of the others, as those of two photos are, and a few are equal to one.
    a = np.clip(b[rng.integers(0, second, first)].astype(int) + rng.integers(-20, 21, (first, 128)), 0, 255)
    a[::7] = b[rng.integers(0, second, len(a[::7]))]
    a = a.astype(np.uint8)
    nearest, distance, next_distance = _two_nearest(a, b)
    expected = cv2.BFMatcher(cv2.NORM_L2).knnMatch(a.astype(np.float32), b.astype(np.float32), k=2)
    assert [p[0].trainIdx for p in expected] == nearest.tolist()
    distances = [[p[0].distance, p[1].distance] for p in expected]
    np.testing.assert_allclose(distances, np.stack([distance, next_distance], axis=1))


def test_points_of_two_views_are_the_same_ground() -> None:
    whole = ground(1)
    first, second = np.ascontiguousarray(whole[:500, :500]), np.ascontiguousarray(np.rot90(whole[150:650, 90:590]))
    found = match_photos(find_photo_features(first), find_photo_features(second), tolerance_px=2.0)
    assert found is not None and len(found.anchor_xy) >= 20
    # The second view begins 90 columns and 150 rows further on and is turned by a quarter, counter-clockwise.
    x, y = found.anchor_xy.T
    expected = np.column_stack([y - 150, 499 - (x - 90)])
    assert np.median(np.linalg.norm(found.frame_xy - expected, axis=1)) < 0.1


def test_other_ground_has_no_points_in_common() -> None:
    a, b = (find_photo_features(ground(seed, 400)) for seed in (2, 3))
    assert match_photos(a, b, tolerance_px=2.0) is None
    assert match_photos(a, (b[0][:10], b[1][:10]), tolerance_px=2.0) is None
