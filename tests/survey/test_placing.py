"""Scale, direction and place of a flight's ground from telemetry that is exactly known."""

import math

import numpy as np
import pytest

from fissura.survey.placing import TrackPoint, place_ground

FOCAL = 2000.0


def flight(*, azimuth_deg: float = 30.0, gsd_m: float = 0.02, height_m: float | None = 40.0, noise_m: float = 0.0,
           steps: int = 60, latitude: float = 0.0, longitude: float = 10.0) -> list[TrackPoint]:  # fmt: skip
    """A straight track: 0.5 m a step, flown along the ground's upward axis."""
    rng = np.random.default_rng(0)
    track = []
    for k in range(steps):
        along = 0.5 * k
        east = along * math.sin(math.radians(azimuth_deg)) + rng.normal(0, noise_m) * (noise_m > 0)
        north = along * math.cos(math.radians(azimuth_deg)) + rng.normal(0, noise_m) * (noise_m > 0)
        track.append(TrackPoint(
            (100.0, -along / gsd_m), 0.0, latitude + north / 110_574.4,
            (longitude + east / 111_319.5 + 180) % 360 - 180, height_m, None,
        ))  # fmt: skip
    return track


def test_heights_alone_give_the_scale() -> None:
    place = place_ground([TrackPoint((0.0, 0.0), math.log(k), height_m=40.0 * k) for k in (1, 2)], FOCAL)
    assert place.scale is not None and place.placement is None
    assert place.scale.gsd_mm(np.array([[5.0, 5.0]])) == pytest.approx([20.0])
    assert 0.04 < place.scale.sigma < 0.08


def test_positions_make_the_scale_surer_and_give_place_and_direction() -> None:
    place = place_ground(flight(), FOCAL)
    assert place.scale is not None and place.placement is not None
    assert place.scale.gsd_mm(np.array([[0.0, 0.0]])) == pytest.approx([20.0], rel=0.005)
    assert place.scale.sigma < 0.04
    # The camera's first and last place, in canvas pixels (row, column).
    lonlat = place.placement.to_lonlat(np.array([[0.0, 100.0], [-59 * 25.0, 100.0]]))
    track = flight()
    for k, point in ((0, track[0]), (1, track[-1])):
        assert lonlat[k, 0] == pytest.approx(point.longitude_deg, abs=2e-6)
        assert lonlat[k, 1] == pytest.approx(point.latitude_deg, abs=2e-6)


def test_a_flight_across_the_date_line_stays_together() -> None:
    track = flight(longitude=179.99995)
    assert track[0].longitude_deg > 179.9 and track[-1].longitude_deg < -179.9
    place = place_ground(track, FOCAL)
    assert place.scale is not None and place.placement is not None
    assert place.scale.gsd_mm(np.array([[0.0, 0.0]])) == pytest.approx([20.0], rel=0.005)
    lonlat = place.placement.to_lonlat(np.array([[0.0, 100.0], [-59 * 25.0, 100.0]]))
    assert lonlat[:, 0] == pytest.approx([track[0].longitude_deg, track[-1].longitude_deg], abs=2e-6)


def test_the_origin_of_the_canvas_counts() -> None:
    a = place_ground(flight(), FOCAL).placement
    b = place_ground(flight(), FOCAL, origin_xy=(-300.0, -2000.0)).placement
    assert a is not None and b is not None
    assert a.to_lonlat(np.array([[0.0, 0.0]])) == pytest.approx(b.to_lonlat(np.array([[2000.0, 300.0]])), abs=1e-9)


def test_noisy_positions_of_a_hovering_drone_say_nothing_about_direction() -> None:
    track = [
        TrackPoint((float(k), 0.0), 0.0, 47.0 + 1e-7 * (k % 3), 8.0, 40.0, 75.0) for k in range(20)
    ]
    place = place_ground(track, FOCAL)
    assert place.placement is not None
    assert any("gimbal" in note for note in place.notes)
    up = place.placement.to_lonlat(np.array([[0.0, 10.0], [-1000.0, 10.0]]))
    east = (up[1, 0] - up[0, 0]) * math.cos(math.radians(47))
    assert math.degrees(math.atan2(east, up[1, 1] - up[0, 1])) == pytest.approx(75.0, abs=0.5)


def test_a_given_size_goes_before_everything() -> None:
    place = place_ground(flight(), FOCAL, gsd_mm=12.5)
    assert place.scale is not None
    assert place.scale.gsd_mm(np.array([[0.0, 0.0]])) == pytest.approx([12.5])
    assert place.scale.sigma == 0.0


def test_nothing_known_is_said() -> None:
    place = place_ground([TrackPoint((0.0, 0.0), 0.0)], FOCAL)
    assert place.scale is None and place.placement is None
    assert "--gsd-mm" in place.notes[0]
