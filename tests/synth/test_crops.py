"""Training crops: repeatable, in range, cracks darker than what surrounds them, negatives without cracks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fissura.errors import SettingsError
from fissura.synth import render_training_crop
from fissura.synth.crops import draw_distractor
from fissura.synth.distractors import FIRST_ON_PHOTOGRAPHS, ON_PHOTOGRAPHS


def test_same_generator_state_same_crop() -> None:
    first, again = (render_training_crop(np.random.default_rng(7), 96, crack_probability=1.0) for _ in range(2))
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()


@pytest.mark.parametrize("size", [32, 65, 256])
def test_shapes_and_types(size: int) -> None:
    rgb, mask = render_training_crop(np.random.default_rng(0), size, crack_probability=1.0)
    assert rgb.shape == (size, size, 3)
    assert rgb.dtype == np.uint8
    assert mask.shape == (size, size)
    assert mask.dtype == np.bool_


def test_negatives_hold_no_crack_and_positives_nearly_always_do() -> None:
    rng = np.random.default_rng(1)
    assert not any(render_training_crop(rng, 128, crack_probability=0.0)[1].any() for _ in range(25))
    found = [render_training_crop(rng, 128, crack_probability=1.0)[1].any() for _ in range(40)]
    assert np.mean(found) > 0.8


def test_cracks_are_thin_and_darker_than_their_surroundings() -> None:
    rng = np.random.default_rng(2)
    darker, widths = [], []
    for _ in range(40):
        rgb, mask = render_training_crop(rng, 128, crack_probability=1.0)
        if mask.sum() < 60:
            continue
        grey = rgb.mean(axis=2)
        kernel = np.ones((9, 9), np.uint8)
        around = cv2.dilate(mask.astype(np.uint8), kernel).astype(bool) & ~cv2.dilate(
            mask.astype(np.uint8), np.ones((5, 5), np.uint8)
        ).astype(bool)
        darker.append(grey[mask].mean() < grey[around].mean())
        widths.append(2 * cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)[mask].mean())
    assert np.mean(darker) > 0.95
    assert np.median(widths) < 4.0


def test_wide_cracks_are_wide_rough_and_darker() -> None:
    rng = np.random.default_rng(4)
    widths, darker, roundness = [], [], []
    for _ in range(30):
        rgb, mask = render_training_crop(rng, 192, crack_probability=1.0, wide=1.0)
        if mask.sum() < 300:
            continue
        inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
        widths.append(4 * inside[mask].mean())
        around = cv2.dilate(mask.astype(np.uint8), np.ones((21, 21), np.uint8)).astype(bool) & ~mask
        darker.append(np.median(rgb[mask]) < np.median(rgb[around]))
        smooth = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(2, (5, 5)))
        roundness.append((mask & (smooth == 0)).sum() / mask.sum())
    assert len(widths) > 20
    assert np.median(widths) > 7.0
    assert np.mean(darker) > 0.9
    assert np.median(roundness) > 0.002, "walls like drawn with a pen"


@pytest.mark.parametrize("kinds", [FIRST_ON_PHOTOGRAPHS, tuple(ON_PHOTOGRAPHS)])
def test_what_is_drawn_on_a_photograph_hides_cracks_and_is_none(kinds: tuple[str, ...]) -> None:
    """Without a crack before there is none afterwards; where a crack is kept it looks as it did."""
    rng = np.random.default_rng(5)
    photograph = rng.integers(120, 160, (96, 96, 3)).astype(np.uint8)
    crack = np.zeros((96, 96), np.bool_)
    crack[46:49] = True
    photograph[crack] = 40
    changed, kept = [], []
    for seed in range(60):
        image, left = draw_distractor(np.random.default_rng(seed), photograph, np.zeros_like(crack), kinds)
        assert image.shape == photograph.shape and image.dtype == np.uint8 and not left.any()
        again, _ = draw_distractor(np.random.default_rng(seed), photograph, np.zeros_like(crack), kinds)
        assert np.array_equal(image, again)
        changed.append(np.abs(image.astype(int) - photograph).max())
        image, left = draw_distractor(np.random.default_rng(seed), photograph, crack, kinds)
        assert not (left & ~crack).any()
        assert np.abs(image[left].astype(int) - photograph[left]).max(initial=0) < 0.15 * 255 + 1
        kept.append(left.sum() / crack.sum())
    assert np.mean(np.array(changed) > 20) > 0.8  # something is seen
    assert np.mean(kept) > 0.7 and min(kept) < 1  # and hides a little now and then


@pytest.mark.parametrize(
    "kind", ["masonry", "rubble", "grooves", "ledge", "flaking", "studs", "courses", "openings", "mottle"]
)
def test_what_fills_a_picture_is_drawn_where_there_is_no_crack(kind: str) -> None:
    """On a picture with a crack it would hide it, or leave it unmarked in another light."""
    photograph = np.random.default_rng(5).integers(120, 160, (96, 96, 3)).astype(np.uint8)
    crack = np.zeros((96, 96), np.bool_)
    crack[46:49] = True
    drawn = [draw_distractor(np.random.default_rng(k), photograph, np.zeros_like(crack), (kind,))[0] for k in range(20)]
    assert np.mean([np.abs(d.astype(int) - photograph).max() > 20 for d in drawn]) > 0.6
    image, left = draw_distractor(np.random.default_rng(0), photograph, crack, (kind,))
    assert np.array_equal(image, photograph) and np.array_equal(left, crack)


@pytest.mark.parametrize("kind", ON_PHOTOGRAPHS)
def test_what_is_drawn_stays_light_on_pictures_of_any_shape(kind: str) -> None:
    for seed in range(12):
        for hw in ((32, 32), (33, 200), (160, 48)):
            rng = np.random.default_rng([seed, *hw])
            image = rng.uniform(0.0, 1.0, (*hw, 3)).astype(np.float32)
            ON_PHOTOGRAPHS[kind][0](rng, image, float(np.exp(rng.uniform(np.log(0.08), np.log(1.2)))))
            assert image.shape == (*hw, 3) and image.dtype == np.float32
            assert np.isfinite(image).all() and image.min() > -1.0 and image.max() < 6.0


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(SettingsError, match="size is 8"):
        render_training_crop(np.random.default_rng(0), 8, crack_probability=0.5)
    with pytest.raises(SettingsError, match="crack_probability"):
        render_training_crop(np.random.default_rng(0), 64, crack_probability=1.5)
    with pytest.raises(SettingsError, match="wide is -1"):
        render_training_crop(np.random.default_rng(0), 64, crack_probability=0.5, wide=-1)
