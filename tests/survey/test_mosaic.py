"""The mosaic: backdrop, road in detail, and white where nothing was seen."""

from pathlib import Path

import numpy as np
import pytest

from fissura.geo.homography import transform
from fissura.survey.backdrop import REDUCTION, Backdrop
from fissura.survey.ground import GroundCanvas
from fissura.survey.mosaic import paint_mosaic
from fissura.survey.pose import FramePose, Lens

LENS = Lens(520.0, (360, 640))


def flat(value: int) -> np.ndarray:
    return np.full((360, 640, 3), value, np.uint8)


@pytest.mark.parametrize("factor", [1, 3])
def test_frames_lie_where_their_poses_say_without_a_dark_rim(tmp_path: Path, factor: int) -> None:
    backdrop = Backdrop()
    backdrop.paste(flat(90), FramePose().ground_from_frame(LENS))
    backdrop.paste(flat(150), FramePose(x=640.0).ground_from_frame(LENS))
    picture = paint_mosaic(GroundCanvas(tmp_path), backdrop, (-240, -400), (480, 1440), factor)
    assert picture.shape == (480 // factor, 1440 // factor, 3)
    assert picture.min() >= 90
    at = {x: picture[240 // factor, (x + 400) // factor, 0] for x in (-380, -200, 200, 500, 900, 1020)}
    assert at == {-380: 255, -200: 90, 200: 90, 500: 150, 900: 150, 1020: 255}


@pytest.mark.parametrize("factor", [1, 4])
def test_opposite_frames_show_a_thing_at_the_same_place(tmp_path: Path, factor: int) -> None:
    lens, (y, x) = Lens(1000.0, (960, 1280)), np.mgrid[:960, :1280]
    spot = 180.0 * np.exp(-((x - 800) ** 2 + (y - 300) ** 2) / (2 * 24.0**2))
    rgb = np.repeat(np.uint8(60 + spot)[:, :, None], 3, axis=2)
    for turn in (0.0, 90.0, 180.0):
        matrix, backdrop = FramePose(turn=np.radians(turn)).ground_from_frame(lens), Backdrop()
        backdrop.paste(rgb, matrix)
        drawn = paint_mosaic(GroundCanvas(tmp_path), backdrop, (-800, -800), (1600, 1600), factor)[:, :, 0].astype(int)
        weight = np.where(drawn == 255, 0, np.maximum(drawn - 75, 0))
        at = [(weight * axis).sum() / weight.sum() for axis in np.indices(drawn.shape)[::-1]]
        middle = (np.array(at) + 0.5) * factor - 0.5 - 800
        np.testing.assert_allclose(middle, transform(matrix, np.array([[800.0, 300.0]]))[0], atol=0.3)


def test_detail_lies_over_the_backdrop(tmp_path: Path) -> None:
    backdrop, canvas = Backdrop(), GroundCanvas(tmp_path)
    backdrop.paste(flat(90), FramePose().ground_from_frame(LENS))
    ones = np.ones((64, 64), np.float32)
    canvas.paste(0, 0, ones * 0, ones, np.full((64, 64, 3), 200, np.uint8), keep_old=ones)
    picture = paint_mosaic(canvas, backdrop, (-160, -160), (320, 320), 1)
    assert (picture[160:224, 160:224] == 200).all()
    assert (picture[100, 100] == 90).all()


def test_a_view_to_the_horizon_is_left_out() -> None:
    backdrop = Backdrop()
    backdrop.paste(flat(90), FramePose(tilt_x=np.radians(70)).ground_from_frame(LENS))
    assert backdrop.bounds_rc is None
    backdrop.paste(flat(90), FramePose(tilt_x=np.radians(30)).ground_from_frame(LENS))
    assert backdrop.bounds_rc is not None
    assert backdrop.read(-8 * REDUCTION, -8 * REDUCTION, 8 * REDUCTION, 8 * REDUCTION).shape == (16, 16, 3)
