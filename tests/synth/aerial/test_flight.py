"""Films and photos, opened again by the readers that everybody uses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fissura.errors import GeometryError, SettingsError
from fissura.geo.homography import transform
from fissura.geo.metadata import read_metadata
from fissura.synth.aerial import (
    AerialCamera,
    AerialWorld,
    Encoding,
    Flight,
    FlightTruth,
    Origin,
    WorldOptions,
    make_world,
    plan_flight,
    plan_traffic,
    render_view,
    write_aerial_photo,
    write_flight,
)
from fissura.synth.aerial.view import look_down

HW = (360, 640)
FPS = 30.0
CAMERA = AerialCamera(0.0, 0.0, 20.0, focal_px=600.0, image_hw=HW)


@pytest.fixture(scope="module")
def world() -> AerialWorld:
    return make_world(5, WorldOptions(extent_m=(60.0, 30.0), margin_m=10.0, vehicles=0.0, trees=0.1))


@pytest.fixture(scope="module")
def flight(world: AerialWorld) -> Flight:
    return plan_flight(world, CAMERA, duration_s=1.0, speed_m_s=8.0, fps=FPS, jitter_deg=0.3, seed=2)


@pytest.fixture(scope="module")
def film(world: AerialWorld, flight: Flight, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "flight.mp4"
    lossy = flight.without(0.5, 0.7)
    write_flight(path, world, lossy, encoding=Encoding(12.0, b_frames=2, keyframe_s=0.5), sidecar=True)
    return path


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_a_straight_flight_keeps_speed_height_and_direction(world: AerialWorld) -> None:
    calm = plan_flight(world, CAMERA, speed_m_s=8.0, fps=FPS, jitter_deg=0.0, jitter_m=0.0)
    x = np.array([c.x_m for c in calm.cameras])
    assert np.diff(x) == pytest.approx(8.0 / FPS, abs=1e-6)
    assert {c.height_m for c in calm.cameras} == {20.0}
    assert [c.yaw_deg for c in calm.cameras] == pytest.approx([90.0] * len(calm))
    corners = np.concatenate([c.footprint_en() for c in calm.cameras])
    assert (corners > 0).all() and (corners < (60.0, 30.0)).all()


def test_turns_and_climbs(world: AerialWorld) -> None:
    flown = plan_flight(
        world, replace(CAMERA, focal_px=900.0), duration_s=2.0, speed_m_s=8.0, jitter_deg=0.0, jitter_m=0.0,
        turns=[(0.5, 1.0, 40.0)], climbs=[(0.2, 0.5, -4.0)],
    )  # fmt: skip
    assert flown.cameras[0].yaw_deg == pytest.approx(90.0) and flown.cameras[-1].yaw_deg == pytest.approx(130.0)
    assert flown.cameras[-1].height_m == pytest.approx(16.0)
    # The picture is turned, the flight goes on: motion blur runs along the ground's motion in the picture.
    a, b = (transform(c.image_from_ground(), np.array([[30.0, 15.0]]))[0] for c in flown.cameras[-2:])
    step = b - a
    seen = np.rad2deg(np.arctan2(-step[1], step[0]))
    assert (flown.cameras[-1].motion_deg - seen + 90) % 180 - 90 == pytest.approx(0.0, abs=1.0)
    assert flown.cameras[-1].motion_px == pytest.approx(np.hypot(*step) * FPS * 0.001, rel=0.02)


def test_along_a_curve(world: AerialWorld) -> None:
    bent = make_world(8, WorldOptions(kind="curved", extent_m=(90.0, 90.0), margin_m=5.0, trees=0.0))
    flown = plan_flight(bent, CAMERA, follow=bent.roads[0], jitter_deg=0.0, jitter_m=0.0)
    at = np.array([(c.x_m, c.y_m) for c in flown.cameras])
    _, away = bent.roads[0].nearest(at)
    assert away.max() < 1.5
    moved = np.diff(at, axis=0)
    heading = np.rad2deg(np.arctan2(moved[:, 0], moved[:, 1]))
    yaw = np.array([c.yaw_deg for c in flown.cameras])[:-1]
    assert np.abs((heading - yaw + 180) % 360 - 180).max() < 3.0
    assert np.ptp(np.unwrap(np.deg2rad(yaw))) > 0.1


def test_the_film_has_every_frame_at_its_time(film: Path, flight: Flight) -> None:
    frames = frames_of(film)
    expected = [t for t in flight.times_s if not 0.5 <= t < 0.7]
    assert len(frames) == len(expected) == 24
    assert [float(f.time) for f in frames] == pytest.approx(expected, abs=1e-4)
    assert {(f.height, f.width) for f in frames} == {HW}
    with av.open(str(film)) as container:
        video = container.streams.video[0]
        assert video.codec_context.name == "h264" and video.codec_context.pix_fmt == "yuv420p"
        assert sum(p.is_keyframe for p in container.demux(video) if p.size) == 2


def test_subtitles_in_the_film_and_beside_it(film: Path) -> None:
    truth = FlightTruth.read(film.with_suffix(".json"))
    with av.open(str(film)) as container:
        stream = container.streams.subtitles[0]
        assert stream.codec_context.name == "mov_text"
        packets = [p for p in container.demux(stream) if p.size > 2]
        times = [float(p.pts * p.time_base) for p in packets]
        texts = [bytes(p)[2:].decode() for p in packets]
        ends = [float((p.pts + p.duration) * p.time_base) for p in packets]
    assert times == pytest.approx(truth.times_s, abs=1e-4)
    assert ends[:-1] == pytest.approx(times[1:], abs=1e-4)
    where = np.array(
        [[float(v) for v in re.search(r"latitude: (\S+)] \[longitude: (\S+)]", t).groups()] for t in texts]
    )
    at = truth.origin.position([c.x_m for c in truth.cameras], [c.y_m for c in truth.cameras])
    assert where == pytest.approx(at, abs=6e-7)
    assert f"rel_alt: {truth.cameras[3].height_m:.3f} " in texts[3]
    assert f"gb_pitch: {truth.cameras[3].pitch_deg:.1f} " in texts[3]
    blocks = film.with_suffix(".SRT").read_text().strip().split("\n\n")
    assert [b.split("\n", 2)[2] for b in blocks] == texts
    assert blocks[1].split("\n")[1] == "00:00:00,033 --> 00:00:00,067"


def test_the_truth_comes_back(film: Path, flight: Flight, world: AerialWorld) -> None:
    truth = FlightTruth.read(film.with_suffix(".json"))
    assert truth.cameras == flight.without(0.5, 0.7).cameras
    assert truth.seed == 5 and truth.fps == FPS and truth.origin == Origin()
    again = truth.world()
    assert again.options == world.options
    assert (again.roads[0].centre_en == world.roads[0].centre_en).all() and len(again.cracks) == len(world.cracks)


def test_each_frame_shows_the_ground_its_camera_says(film: Path, world: AerialWorld) -> None:
    truth = FlightTruth.read(film.with_suffix(".json"))
    frames = frames_of(film)
    ground = world.ground(round(min(float(c.gsd_mm()[0]) for c in truth.cameras), 3))
    for k in (0, 7, 15, 23):
        still = replace(truth.cameras[k], noise=0.0)
        expected = cv2.cvtColor(look_down(ground, still, 0), cv2.COLOR_RGB2GRAY).astype(np.float32)
        got = cv2.cvtColor(frames[k].to_ndarray(format="rgb24"), cv2.COLOR_RGB2GRAY).astype(np.float32)
        (dx, dy), _ = cv2.phaseCorrelate(expected, got, cv2.createHanningWindow(HW[::-1], cv2.CV_32F))
        assert np.hypot(dx, dy) < 0.1
        assert np.corrcoef(expected.ravel(), got.ravel())[0, 1] > 0.95
        assert abs(expected.mean() - got.mean()) < 3.0


def test_vehicles_drive(world: AerialWorld) -> None:
    ground = world.ground(40.0)
    camera = replace(CAMERA, x_m=30.0, y_m=15.0)
    traffic = plan_traffic(np.random.default_rng(1), world.roads, 3.0, (10.0, 20.0))
    for moving in traffic:
        a, b = moving.at(0.0), moving.at(0.1)
        if a and b:
            assert np.hypot(*np.subtract(a.centre_en, b.centre_en)) == pytest.approx(
                abs(moving.speed_m_s) / 10, rel=0.05
            )
            ahead = np.array([np.sin(np.deg2rad(a.heading_deg)), np.cos(np.deg2rad(a.heading_deg))])
            assert ahead @ np.subtract(b.centre_en, a.centre_en) > 0
    there = [v for v in (m.at(1.0) for m in traffic) if v is not None]
    empty, full = (render_view(world, camera, ground=ground, vehicles=v) for v in ((), there))
    covered = full.hidden & ~empty.hidden
    assert covered.any() and (full.road == empty.road).all()
    changed = np.abs(full.rgb.astype(int) - empty.rgb).max(axis=2) > 30
    assert changed[covered].mean() > 0.8
    # Nothing but vehicles and their shadows has changed.
    assert not changed[cv2.dilate(covered.astype(np.uint8), np.ones((91, 91), np.uint8)) == 0].any()


def test_lost_frames_with_and_without_a_gap(flight: Flight) -> None:
    gap, closed = flight.without(0.2, 0.5), flight.without(0.2, 0.5, keep_times=False)
    assert len(gap) == len(closed) == 21
    assert np.diff(gap.times_s).max() == pytest.approx(0.3 + 1 / FPS)
    assert np.diff(closed.times_s) == pytest.approx(1 / FPS)
    assert gap.cameras == closed.cameras == flight.cameras[:6] + flight.cameras[15:]


def test_blurred_frames_are_blurred(world: AerialWorld, flight: Flight) -> None:
    smeared = flight.blurred(0.1, 0.2, 12.0, 90.0)
    assert [c.motion_px > 5 for c in smeared.cameras] == [0.1 <= t < 0.2 for t in smeared.times_s]
    ground = world.ground(40.0)
    sharp, soft = (
        cv2.Laplacian(look_down(ground, replace(f.cameras[4], noise=0.0), 0), cv2.CV_32F).std()
        for f in (flight, smeared)
    )
    assert soft < 0.6 * sharp


def test_what_cannot_be_filmed(tmp_path: Path, world: AerialWorld, flight: Flight) -> None:
    with pytest.raises(SettingsError, match="even sides"):
        write_flight(tmp_path / "a.mp4", world, [replace(CAMERA, image_hw=(361, 640))])
    with pytest.raises(GeometryError, match="beyond the painted"):
        write_flight(tmp_path / "a.mp4", world, [CAMERA], gsd_mm=50.0)
    with pytest.raises(SettingsError, match="do not fit"):
        plan_flight(world, replace(CAMERA, height_m=200.0))
    assert not list(tmp_path.iterdir())


def test_photo_metadata_come_back(tmp_path: Path, world: AerialWorld) -> None:
    origin = Origin(-33.5, 151.2, ground_m=80.0)
    camera = replace(CAMERA, x_m=30.0, y_m=12.0, yaw_deg=215.0, pitch_deg=-60.0, roll_deg=1.5)
    write_aerial_photo(tmp_path / "new" / "photo.jpg", render_view(world, camera), origin)
    found = read_metadata(tmp_path / "new" / "photo.jpg")
    assert found.size_hw == HW
    latitude, longitude = origin.position(30.0, 12.0)[0]
    assert (found.latitude_deg, found.longitude_deg) == pytest.approx((latitude, longitude), abs=1e-8)
    assert (found.relative_altitude_m, found.altitude_m) == pytest.approx((20.0, 100.0))
    assert (found.camera_yaw_deg, found.camera_pitch_deg, found.camera_roll_deg) == pytest.approx((-145.0, -60.0, 1.5))
    assert found.focal_mm * found.focal_plane_px_per_mm == pytest.approx(600.0, rel=1e-3)


def test_positions_are_metres_on_the_ellipsoid() -> None:
    a, b, c = Origin(60.0, 20.0).position([0.0, 0.0, 1000.0], [0.0, 1000.0, 0.0])
    assert a == pytest.approx([60.0, 20.0], abs=1e-12)
    assert b - a == pytest.approx([1000 / 111_412.0, 0.0], rel=1e-4, abs=1e-9)
    assert c[1] - a[1] == pytest.approx(1000 / 55_800.0, rel=1e-4)
