"""The homographies of the camera, against the ray equation and against the package's own geometry."""

from __future__ import annotations

import numpy as np
import pytest

from fissura.errors import GeometryError
from fissura.geo.homography import transform
from fissura.geo.view import find_ground_homography
from fissura.synth.aerial import AerialCamera
from fissura.synth.aerial.camera import motion_kernel

HW = (360, 640)


def camera(**how: object) -> AerialCamera:
    return AerialCamera(**({"x_m": 30.0, "y_m": 20.0, "height_m": 40.0, "focal_px": 500.0, "image_hw": HW} | how))


def test_straight_down_and_north_up_is_a_map() -> None:
    to_ground = camera().ground_from_image()
    centre, right, below = transform(to_ground, np.array([[319.5, 179.5], [419.5, 179.5], [319.5, 229.5]]))
    assert centre == pytest.approx([30, 20], abs=1e-9)
    assert right == pytest.approx([38, 20], abs=1e-9)  # 100 px x 40 m / 500 px
    assert below == pytest.approx([30, 16], abs=1e-9)


@pytest.mark.parametrize(("yaw", "up"), [(90.0, (1, 0)), (180.0, (0, -1)), (-45.0, (-(0.5**0.5), 0.5**0.5))])
def test_yaw_is_the_direction_of_the_upper_edge(yaw: float, up: tuple[float, float]) -> None:
    middle, above = transform(camera(yaw_deg=yaw).ground_from_image(), np.array([[319.5, 179.5], [319.5, 0.0]]))
    assert (above - middle) / np.linalg.norm(above - middle) == pytest.approx(up, abs=1e-9)


def test_the_view_direction_meets_the_ground_ahead() -> None:
    (middle,) = transform(camera(yaw_deg=90.0, pitch_deg=-45.0).ground_from_image(), np.array([[319.5, 179.5]]))
    assert middle == pytest.approx([70, 20], abs=1e-9)


@pytest.mark.parametrize(("pitch", "roll", "yaw"), [(-90, 0, 0), (-90, 12, 30), (-60, -7, 200), (-45, 3, -80)])
def test_agrees_with_the_geometry_of_the_package(pitch: float, roll: float, yaw: float) -> None:
    points = np.array([[0.0, 0.0], [639.0, 0.0], [639.0, 359.0], [0.0, 359.0], [100.0, 250.0]])
    ours = transform(camera(pitch_deg=pitch, roll_deg=roll, yaw_deg=yaw).ground_from_image(), points) - (30.0, 20.0)
    theirs = transform(find_ground_homography(500.0, HW, 40.0, pitch_deg=pitch, roll_deg=roll), points) / 1000.0
    # Theirs is turned to the picture: distances between points are what both must agree on.
    for a in (ours, theirs):
        assert np.isfinite(a).all()
    assert np.linalg.norm(ours[:, None] - ours, axis=2) == pytest.approx(
        np.linalg.norm(theirs[:, None] - theirs, axis=2)
    )
    assert np.linalg.norm(ours, axis=1) == pytest.approx(np.linalg.norm(theirs, axis=1))


def test_there_and_back_with_every_angle() -> None:
    cam = camera(yaw_deg=77.0, pitch_deg=-63.0, roll_deg=4.0, lean_deg=-2.0)
    points = np.random.default_rng(0).uniform((0, 0), (639, 359), (50, 2))
    ground = transform(cam.ground_from_image(), points)
    assert transform(cam.image_from_ground(), ground) == pytest.approx(points, abs=1e-7)
    # The ray equation, without any homography.
    offset = np.column_stack([ground - (30.0, 20.0), np.full(50, -40.0)]) @ cam.rotation()
    assert offset[:, :2] / offset[:, 2:] * 500.0 + (319.5, 179.5) == pytest.approx(points, abs=1e-7)


def test_lean_looks_sideways() -> None:
    (middle,) = transform(camera(lean_deg=10.0).ground_from_image(), np.array([[319.5, 179.5]]))
    assert middle == pytest.approx([30.0 - 40.0 * np.tan(np.deg2rad(10.0)), 20.0])


def test_pixel_size_straight_down() -> None:
    assert camera().gsd_mm() == pytest.approx([80.0])


@pytest.mark.parametrize("how", [{"pitch_deg": -10.0}, {"height_m": 0.0}, {"vignetting": 1.0}, {"image_hw": (1, 9)}])
def test_impossible_cameras_are_refused(how: dict[str, object]) -> None:
    with pytest.raises(GeometryError):
        camera(**how)


@pytest.mark.parametrize("direction", [0.0, 90.0, 30.0])
def test_motion_blur_has_length_and_direction(direction: float) -> None:
    kernel = motion_kernel(9.0, direction)
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[0]] - kernel.shape[0] // 2
    along = x * np.cos(np.deg2rad(direction)) - y * np.sin(np.deg2rad(direction))
    across = x * np.sin(np.deg2rad(direction)) + y * np.cos(np.deg2rad(direction))
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    assert (kernel * along**2).sum() == pytest.approx(81 / 12, rel=0.25)
    assert (kernel * across**2).sum() < 0.4


def test_noise_has_the_size_that_was_asked_for_and_differs_between_pictures() -> None:
    cam = camera(noise=0.02, blur_px=0.0, vignetting=0.0)
    grey = np.full((*HW, 3), 128, np.uint8)
    a, b = (cam.expose(grey, np.random.default_rng(s)).astype(float) for s in (0, 1))
    assert a.std() == pytest.approx(0.02 * 255, rel=0.1)
    assert a.mean() == pytest.approx(128, abs=0.5)
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.1
