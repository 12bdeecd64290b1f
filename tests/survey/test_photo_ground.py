"""Which photo a crack is shown in, which way the road runs in oblique views, photos from very different heights."""

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fissura.geo.homography import transform
from fissura.survey import photo_ground
from fissura.survey.backdrop import Backdrop
from fissura.survey.ground import GroundCanvas
from fissura.survey.merged import SeenFrame, _road_directions
from fissura.survey.photo_ground import _best_photos, _cell_values, _direction_deg, _mark, _put, split_heights
from fissura.survey.photo_pose import footprint
from fissura.survey.pose import FramePose, Lens

LENS = Lens(1000.0, (720, 1280))


class Flight:
    """Photos at given poses, as far as these tests need them."""

    def __init__(self, *poses, direction_deg=None):
        look = SimpleNamespace(name="a", path="a.jpg", direction_deg=direction_deg)
        self.poses, self.photos = poses, [SimpleNamespace(look=look, sharpness=1.0) for _ in poses]
        self.ground = SimpleNamespace(to_lonlat=lambda xy: xy)

    def lens(self, index):
        return LENS

    def pose(self, index):
        return self.poses[index]

    def outline(self, index):
        return footprint(self.poses[index], LENS)[0]


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


def test_directions_beside_many_cracks_take_little_memory():
    rng = np.random.default_rng(0)
    frames = [SeenFrame(FramePose(x=500.0 * k, turn=0.01 * k), LENS, 90.0) for k in range(400)]
    points = np.column_stack([rng.uniform(-300, 300, 20_000), rng.uniform(0, 200_000, 20_000)])
    at = _road_directions(frames, (10, 20))
    tracemalloc.start()
    found = at(points)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6  # twenty thousand points by 400 frames by two coordinates at once are 128 MB
    nearest = np.clip(np.rint((points[:, 1] + 20) / 500), 0, 399)
    assert np.abs((found - (90.0 - np.degrees(0.01 * nearest)) + 90) % 180 - 90).max() < 1e-3
    assert at(points[:0]).shape == (0,)


def test_a_crack_is_shown_in_a_photo_that_was_looked_at_there(monkeypatch):
    nothing, all_of_it = np.zeros((9, 16), np.bool_), np.ones((9, 16), np.bool_)
    seen = iter([nothing, all_of_it])
    monkeypatch.setattr(photo_ground, "read_seen", lambda folder, name: next(seen))
    crack = SimpleNamespace(id=1, points_rc=np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))
    merged = SimpleNamespace(measurement=SimpleNamespace(cracks=[crack]), origin_rc=(0, 0))
    # The first is right above the crack, but no road was found in it there.
    flight = Flight(FramePose(), FramePose(x=300.0))
    assert _best_photos(flight, (0, 1), Path(), merged) == {1: 1}


@pytest.fixture
def photographed(monkeypatch):
    """A photo with a dark line a few pixels wide across it, found everywhere, of which everything was looked at."""
    line = cv2.line(np.zeros(LENS.size_hw, np.uint8), (0, 200), (1279, 500), 255, 3)
    rgb = np.dstack([np.where(line > 0, 40, 160).astype(np.uint8)] * 3)
    monkeypatch.setattr(photo_ground, "read_image", lambda path: SimpleNamespace(rgb=rgb))
    monkeypatch.setattr(photo_ground, "read_probability", lambda folder, name: line)
    monkeypatch.setattr(photo_ground, "read_seen", lambda folder, name: np.ones((9, 16), np.bool_))
    return rgb


@pytest.mark.parametrize("finer", [1.0, 2.0, 3.5, 8.0])
def test_a_photo_finer_than_the_ground_loses_no_crack_on_it(tmp_path, photographed, finer):
    canvas, flight = GroundCanvas(tmp_path), Flight(FramePose(log_height=-np.log(finer)))
    _mark(flight, 0, tmp_path, canvas, GroundCanvas(tmp_path / "sharp"))
    _put(flight, 0, tmp_path, canvas, Backdrop())
    (x0, y0), (x1, y1) = flight.outline(0).min(axis=0), flight.outline(0).max(axis=0)
    window = canvas.read(slice(int(y0) + 16, int(y1) - 16), slice(int(x0) + 16, int(x1) - 16))
    assert window.seen.all()
    found = window.probability > 0.5
    before, dark = 160.0 - photographed[:, :, 0], 160.0 - window.rgb[:, :, 0]
    assert found.any(axis=0).mean() > 0.99 and found.sum(axis=0).mean() < (before > 0).sum(axis=0).mean() / finer + 2
    # The line is as dark as it covers of the ground, and lies where it was.
    assert dark.sum(axis=0).mean() == pytest.approx(before.sum(axis=0).mean() / finer, rel=0.03)
    middle = (found * np.arange(len(found))[:, None]).sum(axis=0) / found.sum(axis=0)
    true = ((200 + 300 / 1279 * ((np.arange(found.shape[1]) + int(x0) + 16) * finer + 639.5)) - 359.5) / finer
    assert np.abs(middle + int(y0) + 16 - true).mean() < 0.4


@pytest.mark.parametrize("tilt_deg", [0.0, 50.0])
def test_cells_of_a_large_photo_are_valued_a_few_at_a_time(tmp_path, photographed, monkeypatch, tilt_deg):
    flight = Flight(FramePose(x=33.0, turn=0.5, log_height=1.0, tilt_x=np.radians(tilt_deg)))
    top, left, whole = _cell_values(flight, 0, tmp_path)
    asked, plain = [], photo_ground.transform

    def counted(matrix, xy):
        asked.append(len(xy))
        return plain(matrix, xy)

    monkeypatch.setattr(photo_ground, "transform", counted)
    monkeypatch.setattr(photo_ground, "_MOST_CELLS", 2000)
    blocks = _cell_values(flight, 0, tmp_path)
    assert blocks[:2] == (top, left) and max(asked) <= 2000 < whole.size
    np.testing.assert_allclose(blocks[2], whole, rtol=1e-6)


def test_only_heights_that_differ_much_are_parted():
    rng = np.random.default_rng(0)
    heights = np.log(np.concatenate([rng.uniform(15, 55, 40), rng.uniform(2.5, 4, 20)]))
    assert split_heights(heights[:40]) == [list(range(40))]
    order = rng.permutation(60)
    groups = split_heights(heights[order])
    assert sorted(order[groups[0]] < 40) == [order[groups[0][0]] < 40] * len(groups[0])
    assert sorted(len(group) for group in groups) == [20, 40] and all(group == sorted(group) for group in groups)
