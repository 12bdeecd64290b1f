"""The annotated video: written with and without PyAV, with lines where the camera sees them."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fissura.imaging.video import open_video
from fissura.survey.annotate import PosePath, _draw, _Line, write_annotated
from fissura.survey.pose import FramePose, Lens

LENS = Lens(300.0, (120, 160))


def frames(count):
    rgb = np.full((*LENS.size_hw, 3), 128, np.uint8)
    return [SimpleNamespace(time_s=0.1 * k, rgb=lambda: rgb) for k in range(count)]


@pytest.mark.parametrize("pyav", [True, False])
def test_a_video_is_written_with_and_without_pyav(tmp_path, monkeypatch, pyav):
    path = tmp_path / "annotated" / "flight.v2.mp4"
    with monkeypatch.context() as patch:
        if not pyav:
            patch.setitem(sys.modules, "av", None)
        assert write_annotated(path, frames(5), PosePath([]), [], LENS, fps=10.0) == 5
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with open_video(path) as video:
        assert video.info.size_hw == LENS.size_hw and len(list(video)) == 5


def drawn(pose, *pieces):
    """A frame of nothing but lines."""
    rgb = np.full((*LENS.size_hw, 3), 200, np.uint8)
    lines = [_Line(0, xy, (255, 0, 0), (*xy.min(axis=0), *xy.max(axis=0))) for xy in pieces]
    _draw(rgb, (pose, 0), lines, LENS, 1.0)
    return rgb


@pytest.mark.parametrize("steps", [2, 200])
@pytest.mark.parametrize("tilt_deg", [0.0, 30.0, 55.0, 75.0])
def test_what_is_behind_an_oblique_camera_is_not_drawn(tilt_deg, steps):
    pose = FramePose(tilt_x=np.radians(tilt_deg), turn=0.3)
    # Past the camera, from far before to far behind it.
    there = np.column_stack([np.linspace(-100, -20, steps), np.linspace(-3000, 3000, steps)])
    turn = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    line = there @ turn
    inverse = pose.frame_from_ground(LENS)
    share = np.linspace(0, 1, 100_000)[:, None]
    fine = line[:1] + share * (line[-1:] - line[:1])
    third = fine @ inverse[2, :2] + inverse[2, 2]
    xy = (fine @ inverse[:2, :2].T + inverse[:2, 2]) / third[:, None]
    seen = fine[(third > 0) & (np.abs(xy - LENS.centre_xy) < 400).all(axis=1)]
    # Straight lines stay straight: of what is seen the ends are enough.
    wrong = np.abs(drawn(pose, line).astype(int) - drawn(pose, seen[[0, -1]])).max(axis=2) > 60
    assert wrong.mean() < 0.002
    # All of it behind.
    assert (drawn(FramePose(tilt_x=np.radians(55.0)), np.array([[0.0, 2000.0], [50.0, 3000.0]])) == 200).all()
