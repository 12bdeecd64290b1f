"""The annotated video: written with and without PyAV."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fissura.imaging.video import open_video
from fissura.survey.annotate import PosePath, write_annotated
from fissura.survey.pose import Lens

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
