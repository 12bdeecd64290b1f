"""What options and telemetry say of a video's heights and directions."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fissura.geo.telemetry import Pose, Sample, Telemetry
from fissura.survey.flight import FlightResult
from fissura.survey.pose import FramePose, Lens
from fissura.survey.registration import Registered
from fissura.survey.request import SurveyRequest
from fissura.survey.video_stage import _ground_size, _height_sigma_m, _place, _track


def run(roll_deg=0.0, **options):
    """A video at 12 m above take-off whose gimbal looks straight down to the north."""
    pose = Pose(48.0, 11.0, relative_altitude_m=12.0, yaw_deg=0.0, pitch_deg=-90.0, roll_deg=roll_deg)
    telemetry = Telemetry("made", (Sample(0.0, pose), Sample(1.0, pose)))
    request = SurveyRequest(("flight.mp4",), Path("run"), **options)
    return SimpleNamespace(request=request, telemetry=telemetry, lens=Lens(1000.0, (720, 1280)))


def track(made):
    seen = FlightResult(registered=[Registered(0, 0.5, FramePose(), 0), Registered(1, 0.6, None, 0)])
    (point,) = _track(made, seen, 0)
    return point


@pytest.mark.parametrize(("options", "height_m", "sigma_m"), [
    ({}, 12.0, 2.2), ({"ground_height_m": 2.0}, 10.0, np.hypot(1.0, 0.3)), ({"height_m": 9.0}, 9.0, 0.3),
    ({"height_m": 9.0, "ground_height_m": 2.0}, 9.0, 0.3),
])  # fmt: skip
def test_heights_count_from_the_road(options, height_m, sigma_m):
    made = run(**options)
    assert track(made).height_m == height_m
    assert _ground_size(made) == pytest.approx(height_m)
    assert _height_sigma_m(made) == pytest.approx(sigma_m)


@pytest.mark.parametrize("roll_deg", [0.0, 180.0, 30.0])
def test_roll_turns_the_picture(roll_deg):
    assert track(run(roll_deg)).up_azimuth_deg % 360 == pytest.approx(roll_deg, abs=1e-6)


@pytest.mark.parametrize(("altitudes_m", "first_s", "options", "height_m"), [
    ([0.0] * 4 + [20.0] + [40.0] * 9 + [12.0], 0.0, {}, 40.0),  # begun before take-off
    ([40.0] * 9, 5.0, {}, 40.0),  # telemetry begins late
    ([39.0, 41.0, 40.0, 42.0, 40.5], 0.0, {}, 39.0),  # one height, as the barometer has it
    ([1.2, 1.3, 1.4], 0.0, {}, 1.2), ([5.0] * 3 + [42.0] * 9, 0.0, {"ground_height_m": 2.0}, 40.0),
    ([10.0] * 5 + [40.0] * 9, 0.0, {"end_s": 6.0}, 10.0),  # what lies beyond the end does not count
])  # fmt: skip
def test_looks_are_planned_for_the_height_of_most_of_the_flight(altitudes_m, first_s, options, height_m):
    end = {"end_s": options.pop("end_s")} if "end_s" in options else {}
    made = run(**options)
    poses = [Pose(48.0, 11.0, relative_altitude_m=altitude) for altitude in altitudes_m]
    made.telemetry = Telemetry("made", tuple(Sample(first_s + k, pose) for k, pose in enumerate(poses)))
    assert _ground_size(made, **end) == pytest.approx(height_m)


def found_again(altitudes_m, **options):
    """Places of both charts of a flight that was lost after ten seconds, 5 mm a pixel at 20 m, without positions."""
    made = run(**options)
    made.lens = Lens(4000.0, (2160, 3840))
    poses = [Pose(relative_altitude_m=altitude, focal_35mm=24.0) for altitude in altitudes_m]
    made.telemetry = Telemetry("made", tuple(Sample(float(k), pose) for k, pose in enumerate(poses)))
    seen = FlightResult(registered=[
        Registered(k, float(k), None if k == 10 else FramePose(x=10.0 * k), int(k > 10)) for k in range(20)
    ])  # fmt: skip
    return [_place(made, seen, chart, (0.0, 0.0)) for chart in (0, 1)]


@pytest.mark.parametrize("given", [{"gsd_mm": 5.0}, {"height_m": 20.0}])
@pytest.mark.parametrize(("altitudes_m", "gsd_mm"), [
    ([17.0] * 10 + [37.0] * 10, 10.0),  # the road lies 3 m below the take-off point
    ([20.0] * 10 + [20.5] * 10, 5.0), ([20.0] * 10 + [10.0] * 10, 2.5),
])  # fmt: skip
def test_a_given_scale_follows_the_height_where_a_flight_is_found_again(given, altitudes_m, gsd_mm):
    first, later = found_again(altitudes_m, **given)
    assert first.scale.matrix[0, 0] == pytest.approx(5.0) and later.scale.matrix[0, 0] == pytest.approx(gsd_mm)
    assert any("found again" in note for note in later.notes) == (gsd_mm != 5.0)
    assert not any("found again" in note for note in first.notes)
    if gsd_mm == 5.0:  # as it was given, to the last bit
        assert later.scale.matrix[0, 0] == first.scale.matrix[0, 0] and later.scale.sigma == first.scale.sigma
    else:
        assert 0.03 < later.scale.sigma < 0.15


@pytest.mark.parametrize("given", [{"gsd_mm": 5.0}, {"height_m": 20.0}])
def test_a_given_scale_is_unsure_where_a_flight_is_found_again_at_no_known_height(given):
    first, later = found_again([20.0] * 10 + [None] * 10, **given)
    assert first.scale.sigma < 0.05 and later.scale.sigma > 0.25
    assert later.scale.matrix[0, 0] == pytest.approx(5.0)
    assert any("may be wrong here" in note for note in later.notes)
