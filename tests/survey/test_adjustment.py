"""Photos put together: exact poses stay, wrong ones are found, errors are what they are said to be."""

from dataclasses import replace

import numpy as np
import pytest

from fissura.geo.gsd import estimate_photo_scale
from fissura.geo.homography import transform
from fissura.geo.metadata import PhotoMetadata
from fissura.geo.odm import AlignedPhoto
from fissura.survey.adjustment import adjust_photos, adjust_poses
from fissura.survey.photo_match import PhotoPair, find_turned, level_poses, plan_pairs, without_strays
from fissura.survey.photo_pose import (
    GroundFrame,
    PosePrior,
    find_aligned_prior,
    find_prior,
    footprint,
    turned,
    up_direction,
)
from fissura.survey.pose import FramePose, Lens

LENS = Lens(2400.0, (1500, 2000))
GSD_MM = 10.0


def made_flight(seed=0, count=8, tilt_deg=1.0):
    """True poses in two strips on ground of 10 mm, priors, and shared points without error."""
    rng = np.random.default_rng(seed)
    poses = [
        FramePose(
            700.0 * (k % 4), 900.0 * (k // 4), rng.uniform(-0.1, 0.1) + np.pi * (k // 4), rng.normal(0, 0.02),
            *np.deg2rad(rng.normal(0, tilt_deg, 2)),
        )
        for k in range(count)
    ]  # fmt: skip
    priors = [PosePrior(LENS, 48.0, 11.0, 24.0 * np.exp(p.log_height), p.turn, (p.tilt_x, p.tilt_y)) for p in poses]
    pairs = []
    for i, j in plan_pairs(poses, [LENS] * count, slack_px=0.0):
        xy = rng.uniform((0, 0), (1999, 1499), (400, 2))
        other = transform(
            poses[j].frame_from_ground(LENS), transform(poses[i].ground_from_frame(LENS), xy)
        )  # fmt: skip
        inside = ((other > 0) & (other < (1999, 1499))).all(axis=1)
        if inside.sum() >= 24:
            pairs.append(PhotoPair(i, j, xy[inside][:60], other[inside][:60]))
    assert len(pairs) >= count
    return poses, priors, pairs


def test_what_is_right_stays():
    poses, priors, pairs = made_flight()
    found = adjust_photos(poses, priors, pairs, gsd_mm=GSD_MM)
    assert found.residual_px < 1e-6
    for a, b in zip(found.poses, poses, strict=True):
        np.testing.assert_allclose(a.vector(), b.vector(), atol=1e-6)


def test_poses_without_errors_are_the_same():
    poses, priors, pairs = made_flight(tilt_deg=3.0)
    wrong = [pose.moved(np.array([50.0, -80.0, 0.01, 0.02, 0.0, 0.01]) * (-1) ** k) for k, pose in enumerate(poses)]
    found = adjust_photos(wrong, priors, pairs, gsd_mm=GSD_MM)
    assert adjust_poses(wrong, priors, pairs, gsd_mm=GSD_MM) == found.poses
    some = found.only([1, 4, 5])
    assert some.poses == tuple(found.poses[i] for i in (1, 4, 5))
    assert (some.covariances[2] == found.covariances[5]).all()
    assert set(some.pairs) == {
        (a, b) for a, i in enumerate((1, 4, 5)) for b, j in enumerate((1, 4, 5)) if (i, j) in found.pairs
    }  # fmt: skip


def test_errors_of_single_photos_are_found_through_the_others():
    poses, priors, pairs = made_flight()
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, (len(poses), 6)) * [100, 100, np.deg2rad(1), 0.02, np.deg2rad(1), np.deg2rad(1)]
    wrong = [p.moved(n) for p, n in zip(poses, noise, strict=True)]
    found = adjust_photos(wrong, priors, pairs, gsd_mm=GSD_MM)
    assert found.residual_px < 3.0  # of 140 before
    middle = np.array([LENS.centre_xy])

    def errors(these):
        at = [transform(p.ground_from_frame(LENS), middle)[0] for p in these]
        true = [transform(p.ground_from_frame(LENS), middle)[0] for p in poses]
        return np.linalg.norm(np.array(at) - true, axis=1)

    assert errors(found.poses).mean() < 0.75 * errors(wrong).mean()


def test_the_stated_error_is_the_true_one():
    middle = np.array([LENS.centre_xy])
    ratios = []
    for seed in range(30):
        poses, priors, pairs = made_flight(seed)
        rng = np.random.default_rng(1000 + seed)
        # As the priors say: 1.5 m, 2 degrees of compass, 3 % of height, 1 degree of tilt.
        sigma = [150, 150, np.deg2rad(2), 0.03, np.deg2rad(1), np.deg2rad(1)]
        wrong = [p.moved(rng.normal(0, 1, 6) * sigma) for p in poses]
        found = adjust_photos(wrong, priors, pairs, gsd_mm=GSD_MM)
        at = transform(found.poses[5].ground_from_frame(LENS), middle) - transform(
            poses[5].ground_from_frame(LENS), middle
        )
        ratios += list(at[0] / found.point_sigma_px(5, LENS, middle)[0])
    assert 0.75 < float(np.std(ratios)) < 1.2


def test_ground_does_not_shrink_to_make_points_agree():
    poses, priors, pairs = made_flight()
    rng = np.random.default_rng(2)
    noisy = [replace(p, second_xy=p.second_xy + rng.normal(0, 30, p.second_xy.shape)) for p in pairs]
    found = adjust_photos(poses, priors, noisy, gsd_mm=GSD_MM)
    shrunk = [a.log_height - b.log_height for a, b in zip(found.poses, poses, strict=True)]
    assert abs(float(np.mean(shrunk))) < 0.02


@pytest.mark.parametrize("which", [(), (2,), (4, 5, 6, 7), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_photos_turned_by_hand_are_found(which, quarters):
    poses, _, pairs = made_flight()
    lenses = [Lens(LENS.focal_px, LENS.size_hw[::-1] if quarters % 2 and k in which else LENS.size_hw)
              for k in range(len(poses))]  # fmt: skip
    # Their points move in the picture, what they say of themselves does not.
    changed = []
    for pair in pairs:
        ends = [
            turn_points(xy, quarters) if index in which else xy
            for index, xy in ((pair.first, pair.first_xy), (pair.second, pair.second_xy))
        ]
        changed.append(PhotoPair(pair.first, pair.second, *ends))
    found = find_turned(poses, lenses, changed, suspects=[k in which for k in range(len(poses))], slack_px=300.0)
    assert [k for k, q in enumerate(found) if q] == list(which)
    assert all(found[k] == quarters for k in which)
    levelled = level_poses(poses, found, lenses)
    assert len(without_strays(changed, levelled, lenses, slack_px=1.0)) == len(changed)


def turn_points(xy, quarters):
    h, w = LENS.size_hw
    for _ in range(quarters):
        xy = np.column_stack([h - 1 - xy[:, 1], xy[:, 0]])
        h, w = w, h
    return xy


def test_a_turned_pose_shows_the_turned_picture():
    pose = FramePose(10.0, -20.0, 0.3, 0.1, 0.05, -0.03)
    xy = np.array([[0.0, 0.0], [1999.0, 0.0], [300.0, 1200.0]])
    there = transform(pose.ground_from_frame(LENS), xy)
    for quarters in (1, 2, 3):
        lens = Lens(LENS.focal_px, LENS.size_hw[::-1] if quarters % 2 else LENS.size_hw)
        again = transform(turned(pose, lens, quarters).ground_from_frame(lens), turn_points(xy, quarters))
        np.testing.assert_allclose(again, there, atol=1e-6)


@pytest.mark.parametrize(("pitch", "roll", "yaw"), [(-90, 0, 30), (-90, 0, -170), (-60, 0, 45), (-80, 8, 200)])
def test_the_pose_of_a_photo_is_what_its_gimbal_says(pitch, roll, yaw):
    metadata = PhotoMetadata(
        (1500, 2000), focal_mm=10.0, focal_plane_px_per_mm=240.0, latitude_deg=48.0, longitude_deg=11.0,
        relative_altitude_m=30.0, camera_pitch_deg=float(pitch), camera_roll_deg=float(roll),
        camera_yaw_deg=float(yaw),
    )  # fmt: skip
    prior = find_prior(metadata, ground_height_m=0.0)
    assert isinstance(prior, PosePrior)
    from fissura.geo.view import find_ground_homography, up_azimuth_deg

    frame = GroundFrame(48.0, 11.0, 10.0)
    pose = frame.pose(prior)
    truth = find_ground_homography(2400.0, (1500, 2000), 30.0, pitch_deg=pitch, roll_deg=roll)
    up = np.radians(up_azimuth_deg(pitch, roll, yaw))
    turn = np.array([[np.cos(up), -np.sin(up)], [np.sin(up), np.cos(up)]])
    xy = np.array([[0.0, 0.0], [1999.0, 0.0], [0.0, 1499.0], [999.5, 749.5]])
    expected = transform(truth, xy) @ turn.T / 10.0
    np.testing.assert_allclose(transform(pose.ground_from_frame(prior.lens), xy), expected, atol=0.01)
    assert up_direction(pose, prior.lens) == pytest.approx(np.angle(np.exp(1j * up)), abs=1e-4)


def test_the_ground_of_photos_on_both_sides_of_the_date_line():
    east = PosePrior(LENS, -17.0, 179.9999, 24.0, 0.0, (0.0, 0.0))
    frame = GroundFrame.around([east, replace(east, longitude_deg=-179.9997)])
    assert frame.longitude_deg == pytest.approx(-179.9999, abs=1e-9)
    xy = frame.to_ground(np.array([[179.9999, -17.0], [-179.9999, -17.0]]))
    assert np.hypot(*(xy[1] - xy[0])) * frame.gsd_mm / 1000 == pytest.approx(21.297, abs=0.01)


def test_the_plane_of_numpys_numbers_is_one_for_proj():
    frame = GroundFrame(np.float64(51.0), np.float64(7.5), 10.0)
    assert frame.plane() == "+proj=aeqd +lat_0=51.0 +lon_0=7.5 +ellps=WGS84 +units=m"


@pytest.mark.parametrize(("change", "reason"), [
    ({"latitude_deg": None}, "position"), ({"camera_yaw_deg": None}, "direction"),
    ({"relative_altitude_m": None}, "height"), ({"relative_altitude_m": -2.0}, "--ground-height"),
    ({"camera_pitch_deg": -5.0}, "along the ground"), ({"focal_mm": None}, "FocalLength"),
])  # fmt: skip
def test_photos_without_a_pose_say_why(change, reason):
    metadata = PhotoMetadata(
        (1500, 2000), focal_mm=10.0, focal_plane_px_per_mm=240.0, latitude_deg=48.0, longitude_deg=11.0,
        relative_altitude_m=30.0, camera_pitch_deg=-90.0, camera_yaw_deg=0.0,
    )  # fmt: skip
    assert isinstance(find_prior(metadata), PosePrior)
    found = find_prior(replace(metadata, **change))
    assert isinstance(found, str) and reason in found


@pytest.mark.parametrize("height_m", [5.0, 10.0, 30.0])
def test_a_single_photo_is_as_sure_of_its_scale_as_when_it_is_measured_alone(height_m):
    metadata = PhotoMetadata(
        (1500, 2000), focal_mm=10.0, focal_plane_px_per_mm=240.0, latitude_deg=48.0, longitude_deg=11.0,
        relative_altitude_m=height_m, camera_pitch_deg=-90.0, camera_yaw_deg=0.0,
    )  # fmt: skip
    prior = find_prior(metadata)
    frame = GroundFrame.around([prior])
    found = adjust_photos([frame.pose(prior)], [prior], [], gsd_mm=frame.gsd_mm)
    assert found.scale_sigma([0]) == pytest.approx(estimate_photo_scale(metadata).scale.sigma, rel=1e-3)


def test_a_given_ground_size_stays_when_an_alignment_has_another_focal_length():
    metadata = PhotoMetadata(
        (1500, 2000), focal_mm=10.0, focal_plane_px_per_mm=240.0, latitude_deg=48.0, longitude_deg=11.0,
        camera_pitch_deg=-90.0, camera_yaw_deg=0.0,
    )  # fmt: skip
    aligned = AlignedPhoto("a.jpg", 48.0, 11.0, None, 0.0, -90.0, 0.0, focal_ratio=1.3)
    prior = find_aligned_prior(metadata, aligned, gsd_mm=5.0)
    assert prior.lens.focal_px == pytest.approx(2600.0)
    assert prior.gsd_mm == pytest.approx(5.0)


def test_a_view_to_the_horizon_has_a_footprint_that_ends():
    outline, middle = footprint(FramePose(tilt_x=np.radians(65)), LENS, coarsest=4.0)
    assert len(outline) >= 4 and np.isfinite(outline).all() and middle > 1
    level, _ = footprint(FramePose(), LENS)
    np.testing.assert_allclose(level[0], [-999.5, -749.5], atol=1e-6)


def test_surfaces_that_repeat_do_not_pull_photos_apart():
    poses, priors, pairs = made_flight()
    rng = np.random.default_rng(5)
    # Every third pair sees the next period of a pattern, 4.7 m away.
    strays = [
        replace(p, second_xy=p.second_xy + rng.choice([-1, 1]) * np.array([470.0, 0.0])) if k % 3 == 1 else p
        for k, p in enumerate(pairs)
    ]
    wrong = [p.moved(rng.normal(0, 1, 6) * [80, 80, 0.01, 0.01, 0.01, 0.01]) for p in poses]
    found = adjust_photos(wrong, priors, strays, gsd_mm=GSD_MM)
    assert found.residual_px < 1.0
    assert set(found.pairs) == {(p.first, p.second) for k, p in enumerate(pairs) if k % 3 != 1}


def test_a_surface_that_looks_the_same_from_the_other_side_turns_no_photo():
    poses, _, pairs = made_flight()
    lenses = [LENS] * len(poses)
    # One pair sees a paving that repeats, upside down.
    k = 3
    flipped = replace(pairs[k], second_xy=np.array([1999.0, 1499.0]) - pairs[k].second_xy)
    found = find_turned(
        poses, lenses, [*pairs[:k], flipped, *pairs[k + 1 :]], suspects=[False] * len(poses), slack_px=3000.0
    )
    assert not any(found)
