"""Which photo a crack is shown in, and which way the road runs under views at an angle."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fissura.geo.homography import transform
from fissura.survey import photo_ground
from fissura.survey.merged import SeenFrame, _road_directions
from fissura.survey.photo_ground import _best_photos, _direction_deg
from fissura.survey.pose import FramePose, Lens

LENS = Lens(1000.0, (720, 1280))


class Flight:
    """Photos at given poses, as far as these tests need them."""

    def __init__(self, *poses, direction_deg=None):
        look = SimpleNamespace(name="a", direction_deg=direction_deg)
        self.poses, self.photos = poses, [SimpleNamespace(look=look, sharpness=1.0) for _ in poses]
        self.ground = SimpleNamespace(to_lonlat=lambda xy: xy)

    def lens(self, index):
        return LENS

    def pose(self, index):
        return self.poses[index]


@pytest.mark.parametrize("direction_deg", [0.0, 30.0, 60.0, 120.0])
@pytest.mark.parametrize("tilt_deg", [0.0, 30.0, 60.0])
def test_the_road_on_the_ground_is_the_one_that_an_oblique_frame_shows(tilt_deg, direction_deg):
    pose = FramePose(turn=0.4, tilt_x=np.radians(tilt_deg))
    angle, middle = np.radians(direction_deg), np.array([LENS.centre_xy])
    along = np.array([[np.cos(angle), -np.sin(angle)]])
    a, b = transform(pose.ground_from_frame(LENS), np.concatenate([middle, middle + 0.01 * along]))
    true = np.degrees(np.arctan2(a[1] - b[1], b[0] - a[0])) % 180
    found = _road_directions([SeenFrame(pose, LENS, direction_deg)], (0, 0))(np.zeros((1, 2)))[0]
    assert abs((found - true + 90) % 180 - 90) < 0.1
    # A route along that road gives the frame the same direction.
    route = SimpleNamespace(locate=lambda at: (np.zeros(1), np.zeros(1)), azimuth_deg=lambda chainage: 90.0 - true)
    assert abs((_direction_deg(Flight(pose), 0, route) - direction_deg + 90) % 180 - 90) < 0.1


def test_a_crack_is_shown_in_a_photo_that_was_looked_at_there(monkeypatch):
    nothing, all_of_it = np.zeros((9, 16), np.bool_), np.ones((9, 16), np.bool_)
    seen = iter([nothing, all_of_it])
    monkeypatch.setattr(photo_ground, "read_seen", lambda folder, name: next(seen))
    crack = SimpleNamespace(id=1, points_rc=np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))
    merged = SimpleNamespace(measurement=SimpleNamespace(cracks=[crack]), origin_rc=(0, 0))
    # The first is right above the crack, but no road was found in it there.
    flight = Flight(FramePose(), FramePose(x=300.0))
    assert _best_photos(flight, (0, 1), Path(), merged) == {1: 1}
