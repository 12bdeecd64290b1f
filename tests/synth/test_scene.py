"""Scenes: repeatable, true to the ground, and with the cracks where the truth says."""

from __future__ import annotations

import numpy as np
import pytest

from fissura.errors import GeometryError, SettingsError
from fissura.synth import NadirCamera, render_scene
from fissura.synth.scene import DISTRACTORS


def test_same_seed_same_pixels_other_seed_others() -> None:
    first, again, other = (render_scene(seed, size_hw=(128, 160)) for seed in (3, 3, 4))
    assert (first.rgb == again.rgb).all()
    assert (first.mask == again.mask).all()
    assert (first.rgb != other.rgb).mean() > 0.5


@pytest.mark.parametrize("surface", ["asphalt", "concrete"])
def test_shapes_kinds_and_truth_agree(surface: str) -> None:
    scene = render_scene(1, size_hw=(120, 200), surface=surface, gsd_mm=2.0)  # type: ignore[arg-type]
    assert scene.rgb.shape == (120, 200, 3)
    assert scene.rgb.dtype == np.uint8
    assert scene.mask.shape == scene.coverage.shape == (120, 200)
    assert scene.mask.dtype == np.bool_
    assert scene.coverage.dtype == np.float32
    assert 0.0 <= scene.coverage.min() <= scene.coverage.max() <= 1.0
    assert scene.mask[scene.coverage >= 0.5].all()
    assert scene.gsd_mm == pytest.approx(2.0)
    assert scene.kind == surface
    assert scene.mask.any()


def test_cracks_belong_to_the_ground_not_to_the_pixels() -> None:
    fine = render_scene(5, size_hw=(400, 400), gsd_mm=1.0, crack_width_mm=(3.0, 12.0))
    coarse = render_scene(5, size_hw=(200, 200), gsd_mm=2.0, crack_width_mm=(3.0, 12.0))
    assert len(fine.cracks) == len(coarse.cracks)
    for a, b in zip(fine.cracks, coarse.cracks, strict=True):
        assert np.allclose(a.points_rc_mm, b.points_rc_mm)
        assert np.allclose(a.width_mm, b.width_mm)
    assert coarse.coverage.sum() * 4 == pytest.approx(fine.coverage.sum(), rel=0.01)


def test_every_width_is_within_what_was_asked() -> None:
    for seed in range(6):
        scene = render_scene(seed, size_hw=(64, 64), crack_width_mm=(0.7, 5.0))
        for crack in scene.cracks:
            assert crack.width_mm.min() >= 0.7
            assert crack.width_mm.max() <= 5.0
            assert -1 <= crack.parent < len(scene.cracks)


def test_no_cracks_no_mask_and_the_same_surface() -> None:
    bare = render_scene(2, size_hw=(96, 96), cracks=False)
    cracked = render_scene(2, size_hw=(96, 96))
    assert not bare.mask.any()
    assert bare.cracks == ()
    away = cracked.coverage == 0
    away[:, :] &= ~_near(cracked.mask)
    assert (np.abs(bare.rgb.astype(int) - cracked.rgb)[away] <= 1).mean() > 0.99


def _near(mask: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool)


def test_cracks_are_darker_and_thin_ones_only_partly() -> None:
    from fissura.synth import CrackVector

    line = np.array([[64.5, -10.0], [64.5, 140.0]])
    dark = []
    for width in (0.0, 0.3, 3.0):
        camera = NadirCamera.for_gsd(1.0, (128, 128), blur_px=0.0, noise=0.0, vignetting=0.0)
        crack = CrackVector(line, np.full(2, width))
        dark.append(render_scene(1, camera=camera, cracks=[crack], distractors=False).rgb[64].mean())
    assert dark[0] > dark[1] > dark[2]
    # 0.3 of the pixel is covered: about 0.3 of the loss of light of a full one.
    assert (dark[0] - dark[1]) / (dark[0] - dark[2]) == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("name", sorted(DISTRACTORS))
def test_every_distractor_shows_and_never_enters_the_truth(name: str) -> None:
    changed = 0
    for seed in range(3):
        plain = render_scene(seed, size_hw=(128, 128), cracks=False, distractors=False)
        scene = render_scene(seed, size_hw=(128, 128), cracks=False, distractors=[name])
        changed += int((plain.rgb != scene.rgb).any(axis=2).sum())
        assert not scene.mask.any()
    assert changed > 100


def test_camera_states_its_ground_sampling_distance() -> None:
    camera = NadirCamera(height_m=12.0, focal_mm=24.0, sensor_width_mm=36.0, image_hw=(300, 400))
    assert camera.gsd_mm == pytest.approx(12_000 * 36 / 24 / 400)
    scene = render_scene(0, camera=camera)
    assert scene.rgb.shape == (300, 400, 3)
    assert scene.gsd_mm == camera.gsd_mm
    assert NadirCamera.for_gsd(3.5, (300, 400)).gsd_mm == pytest.approx(3.5)


def test_blur_and_noise_do_what_they_say() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((200, 200, 3), 0.5, np.float32)
    noisy = NadirCamera(image_hw=(200, 200), blur_px=0, noise=0.02, vignetting=0).expose(flat, rng)
    assert noisy.std() / 255 == pytest.approx(0.02, rel=0.05)
    vignetted = NadirCamera(image_hw=(200, 200), blur_px=0, noise=0, vignetting=0.4).expose(flat, rng)
    assert vignetted[0, 0, 0] / vignetted[100, 100, 0] == pytest.approx(0.6, abs=0.02)
    edge = flat.copy()
    edge[:, 100:] = 0.0
    blurred = NadirCamera(image_hw=(200, 200), blur_px=3.0, noise=0, vignetting=0).expose(edge, rng)
    # One standard deviation from an edge a Gaussian has kept 84 % of the light; pixel centres sit at halves.
    assert blurred[100, 96, 0] / blurred[100, 50, 0] == pytest.approx(0.878, abs=0.02)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(SettingsError, match="surface is 'lawn'"):
        render_scene(0, surface="lawn")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="no distractor is called 'elephant'"):
        render_scene(0, distractors=["elephant"])
    with pytest.raises(SettingsError, match="crack_width_mm"):
        render_scene(0, crack_width_mm=(3.0, 1.0))
    with pytest.raises(SettingsError, match="size_hw"):
        render_scene(0, size_hw=(4, 100))
    with pytest.raises(GeometryError, match="height_m"):
        NadirCamera(height_m=0.0)
    with pytest.raises(GeometryError, match="gsd_mm"):
        render_scene(0, gsd_mm=-1.0)
