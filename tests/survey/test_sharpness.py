"""Is a frame blurred? Against frames of the same flight, with the noise that a sensor adds after any blur."""

import cv2
import numpy as np
import pytest

from fissura.survey.sharpness import RelativeSharpness, measure_sharpness
from fissura.synth.aerial.camera import motion_kernel


def texture(seed: int) -> np.ndarray:
    """Ground of detail at several scales, (720, 1280), grey levels."""
    rng = np.random.default_rng(seed)
    image = np.full((720, 1280), 130.0, np.float32)
    for side, strength in ((2, 10), (6, 12), (30, 14)):
        coarse = rng.standard_normal((720 // side + 2, 1280 // side + 2)).astype(np.float32)
        image += strength * cv2.resize(coarse, (1280, 720), interpolation=cv2.INTER_LINEAR)
    return image


def shot(image: np.ndarray, seed: int) -> np.ndarray:
    noise = 2.0 * np.random.default_rng(1000 + seed).standard_normal(image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("direction_deg", [0.0, 35.0, 90.0])
def test_motion_is_blur_though_the_noise_stays_sharp(direction_deg: float) -> None:
    sharpness = RelativeSharpness()
    usual = [sharpness.add(measure_sharpness(shot(texture(k), k))) for k in range(8)]
    assert min(usual) > 0.85
    moved = cv2.filter2D(texture(9), -1, motion_kernel(14.0, direction_deg))
    assert sharpness.add(measure_sharpness(shot(moved, 9))) < 0.6


def test_a_picture_out_of_focus_is_blurred_and_a_dark_one_is_not() -> None:
    sharpness = RelativeSharpness()
    for k in range(8):
        sharpness.add(measure_sharpness(texture(k).clip(0, 255).astype(np.uint8)))
    soft = cv2.GaussianBlur(texture(9), (0, 0), 2.5).clip(0, 255).astype(np.uint8)
    assert sharpness.add(measure_sharpness(soft)) < 0.6
    dark = (0.6 * texture(10)).clip(0, 255).astype(np.uint8)
    assert sharpness.add(measure_sharpness(dark)) > 0.8


def test_tiny_frames_have_values() -> None:
    assert min(measure_sharpness(np.zeros((5, 7), np.uint8))) > 0
