"""Registration on views of a drawn ground whose poses are known exactly."""

import math

import cv2
import numpy as np
import pytest

from fissura.geo.homography import transform
from fissura.survey.pose import FramePose, Lens, fit_pose, ground_pixel_size, pose_from_similarity
from fissura.survey.registration import Registration

LENS = Lens(520.0, (360, 640))


@pytest.fixture(scope="module")
def ground() -> np.ndarray:
    """A ground of 1,600 by 2,600 pixels with detail at several scales."""
    rng = np.random.default_rng(3)
    image = np.full((1600, 2600), 110, np.float32)
    for side, strength in ((1, 14), (3, 22), (9, 25), (40, 30)):
        noise = rng.standard_normal((1600 // side + 2, 2600 // side + 2)).astype(np.float32)
        image += strength * cv2.resize(noise, (2600, 1600), interpolation=cv2.INTER_LINEAR)
    return np.clip(image, 0, 255).astype(np.uint8)


def see(ground: np.ndarray, pose: FramePose, *, noise: int = 0) -> np.ndarray:
    """The frame that a camera at a pose sees; ground pixel (0, 0) is at (800, 600) of the drawing."""
    matrix = np.array([[1, 0, 800], [0, 1, 600], [0, 0, 1.0]]) @ pose.ground_from_frame(LENS)
    h, w = LENS.size_hw
    view = cv2.warpPerspective(ground, matrix, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    if noise:
        rng = np.random.default_rng(noise)
        view = np.clip(view + rng.normal(0, 4, view.shape), 0, 255).astype(np.uint8)
    return view


def corner_error(found: FramePose, true: FramePose) -> float:
    """Largest distance on the ground between where two poses put the frame's corners."""
    h, w = LENS.size_hw
    corners = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], np.float64)
    difference = transform(found.ground_from_frame(LENS), corners) - transform(true.ground_from_frame(LENS), corners)
    return float(np.linalg.norm(difference, axis=1).max())


def test_pose_of_the_first_frame_maps_its_middle_pixels_to_themselves() -> None:
    matrix = FramePose().ground_from_frame(LENS)
    cx, cy = LENS.centre_xy
    points = np.array([[cx, cy], [cx + 10, cy - 5]])
    assert np.allclose(transform(matrix, points), points - (cx, cy))
    assert ground_pixel_size(matrix, points) == pytest.approx(1.0)


def test_a_camera_tilted_forward_sees_farther_in_the_upper_half() -> None:
    matrix = FramePose(tilt_x=math.radians(30)).ground_from_frame(LENS)
    top, bottom = transform(matrix, np.array([[320.0, 0], [320.0, 359]]))
    assert top[1] < bottom[1] < 0
    sizes = ground_pixel_size(matrix, np.array([[320.0, 0], [320.0, 359]]))
    assert sizes[0] > sizes[1]


def test_fit_finds_all_six_numbers_in_spite_of_outliers() -> None:
    true = FramePose(40.0, -25.0, 0.3, 0.15, 0.02, -0.03)
    rng = np.random.default_rng(0)
    frame = rng.uniform((0, 0), (640, 360), (200, 2))
    ground = transform(true.ground_from_frame(LENS), frame) + rng.normal(0, 0.1, (200, 2))
    ground[:10] += 15
    found, residual = fit_pose(frame, ground, FramePose(30, -20, 0.25, 0.1), LENS)
    assert corner_error(found, true) < 0.25
    assert np.median(residual[10:]) < 0.2 < 10 < residual[:10].min()


def test_similarity_becomes_a_pose() -> None:
    true = FramePose(120.0, 60.0, -0.7, -0.2)
    matrix = true.ground_from_frame(LENS)
    pose = pose_from_similarity(matrix[:2] / matrix[2, 2], FramePose(), LENS)
    assert corner_error(pose, true) < 1e-6


def fly(ground: np.ndarray, poses: list[FramePose], **options: object) -> tuple[Registration, list[float]]:
    registration = Registration(LENS, 1, **options)  # type: ignore[arg-type]
    errors = []
    for k, pose in enumerate(poses):
        seen = registration.update(k, k / 10, see(ground, pose, noise=k + 1))
        errors.append(math.inf if seen.pose is None else corner_error(seen.pose, pose))
    return registration, errors


def test_a_flight_with_turns_climb_and_tremble_stays_within_a_pixel(ground: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    poses = [
        FramePose(9.0 * k, 40 * math.sin(k / 12), 0.012 * k, 0.25 * math.sin(k / 30), *rng.normal(0, 0.002, 2))
        for k in range(100)
    ]
    poses[0] = FramePose()
    registration, errors = fly(ground, poses)
    assert max(errors) < 1.5
    assert np.median(errors) < 0.6
    assert 4 <= len(registration.keyframes) < 25


def test_drift_is_small_after_coming_back(ground: np.ndarray) -> None:
    way = [FramePose(8.0 * k) for k in range(90)]
    registration, errors = fly(ground, way + way[::-1])
    assert max(errors[-5:]) < 0.5
    assert max(errors) < 1.5
    assert registration.chart == 0


def test_a_flight_is_steady_when_it_goes_on_as_before(ground: np.ndarray) -> None:
    way = [FramePose(4.0 * k) for k in range(12)]
    way += [FramePose(58.0)] + [FramePose(58.0 + 25.0 * k) for k in range(1, 9)]
    registration, steady = Registration(LENS, 1), []
    for k, pose in enumerate(way):
        registration.update(k, k / 10, see(ground, pose, noise=k + 1))
        steady.append(registration.steady)
    assert not any(steady[:2]), "nothing tells the speed yet"
    assert all(steady[6:12])
    assert not steady[12], "it leapt"
    assert not any(steady[13:]), "predictable, but too fast for fewer frames"
    registration.update(99, 9.9, np.full(LENS.size_hw, 20, np.uint8))
    assert not registration.steady, "lost"


def test_a_jump_is_bridged(ground: np.ndarray) -> None:
    """A dropped second: the view moves on by more than half a frame."""
    _, errors = fly(
        ground, [FramePose(8.0 * k) for k in range(20)] + [FramePose(190 + 152 + 8.0 * k) for k in range(20)]
    )
    assert max(errors[22:]) < 1.0


def test_a_lost_flight_finds_its_ground_again(ground: np.ndarray) -> None:
    registration = Registration(LENS, 1)
    black = np.full(LENS.size_hw, 20, np.uint8)
    for k in range(30):
        registration.update(k, k / 10, see(ground, FramePose(8.0 * k)))
    for k in range(30, 36):
        assert registration.update(k, k / 10, black).pose is None
    turned = FramePose(60.0, 30.0, 0.9)
    again = registration.update(36, 3.6, see(ground, turned))
    assert again.recovered and again.chart == 0
    assert again.pose is not None and corner_error(again.pose, turned) < 1.0


def test_ground_never_seen_becomes_a_chart_of_its_own(ground: np.ndarray) -> None:
    registration = Registration(LENS, 1)
    for k in range(10):
        registration.update(k, k / 10, see(ground, FramePose(8.0 * k)))
    far = [registration.update(k, k / 10, see(ground, FramePose(1300.0 + 8 * k, 300.0))) for k in range(10, 40)]
    assert far[0].pose is None
    assert far[-1].pose is not None and far[-1].chart == 1
    # The new chart lies beside the old ground, never on it, wherever the flight goes on to.
    assert far[-1].pose.x > 80 + 640
    assert far[-1].pose.x > 1e6


def test_a_chart_far_away_is_as_exact_as_the_first(ground: np.ndarray) -> None:
    """Single precision would be a pixel there."""
    registration, black = Registration(LENS, 1), np.full(LENS.size_hw, 20, np.uint8)
    for k in range(5):
        registration.update(k, k / 10, see(ground, FramePose(8.0 * k)))
    begun = [registration.update(k, k / 10, see(ground, FramePose(1300.0, 300.0))) for k in range(5, 25)][-1]
    assert begun.chart == 1 and begun.pose is not None
    for k in range(25, 29):
        assert registration.update(k, k / 10, black).pose is None
    again = registration.update(29, 2.9, see(ground, FramePose(1340.0, 330.0, 0.9)))
    assert again.recovered and again.chart == 1 and again.pose is not None
    assert corner_error(again.pose, FramePose(begun.pose.x + 40.0, begun.pose.y + 30.0, 0.9)) < 1.0


def test_a_flight_begins_with_a_frame_that_can_be_followed(ground: np.ndarray) -> None:
    registration, black = Registration(LENS, 1), np.full(LENS.size_hw, 20, np.uint8)
    assert all(registration.update(k, k / 10, black).pose is None for k in range(4))
    seen = [registration.update(k, k / 10, see(ground, FramePose(8.0 * (k - 4)))) for k in range(4, 10)]
    assert [s.chart for s in seen] == [0] * 6 and seen[0].keyframe
    assert seen[-1].pose is not None and corner_error(seen[-1].pose, FramePose(40.0)) < 1.0
    # Nor is a new chart begun with such a frame, however long it lasts.
    dark = [registration.update(k, k / 10, black) for k in range(10, 50)]
    assert all(s.pose is None for s in dark)
    assert registration.update(50, 5.0, see(ground, FramePose(48.0))).chart == 0


def test_an_oblique_view_is_followed_with_its_pitch_known(ground: np.ndarray) -> None:
    tilt = math.radians(30)
    start = FramePose(tilt_x=tilt)
    poses = [FramePose(6.0 * k, -2.0 * k, 0.004 * k, 0.0, tilt) for k in range(70)]
    assert poses[0] == start
    registration, errors = fly(ground, poses, tilt=(tilt, 0.0), tilt_sigma=math.radians(0.5))
    assert max(errors) < 2.5
    assert registration.chart == 0
