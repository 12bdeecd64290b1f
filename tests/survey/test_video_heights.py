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
from fissura.survey.video_stage import _ground_size, _height_sigma_m, _track


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
