"""The mosaic: backdrop, road in detail, and white where nothing was seen."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fissura.geo.homography import transform
from fissura.report.records import SurveyCrack
from fissura.survey import mosaic, video_results
from fissura.survey.backdrop import REDUCTION, Backdrop
from fissura.survey.ground import GroundCanvas, GroundWindow
from fissura.survey.ground_record import GroundRecord
from fissura.survey.mosaic import paint_mosaic
from fissura.survey.pose import FramePose, Lens
from fissura.types import RgbImage

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


def wide_ground(folder: Path) -> tuple[GroundCanvas, Backdrop]:
    """Frames and detail on ground 9000 pixels wide."""
    rng, canvas, backdrop = np.random.default_rng(0), GroundCanvas(folder), Backdrop()
    for k in range(14):
        rgb = rng.integers(0, 255, (360, 640, 3)).astype(np.uint8)
        backdrop.paste(rgb, FramePose(x=641.3 * k, turn=0.1 * k).ground_from_frame(LENS))
    ones = np.ones((150, 700), np.float32)
    for left in (-300, 3700, 8000):
        rgb = rng.integers(0, 255, (*ones.shape, 3)).astype(np.uint8)
        canvas.paste(-80, left, ones * 0, ones, rgb, keep_old=ones)
    return canvas, backdrop


@pytest.mark.parametrize("factor", [1, 3, 4])
def test_blocks_of_a_mosaic_are_the_same_as_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: int
) -> None:
    canvas, backdrop = wide_ground(tmp_path)
    blocks = paint_mosaic(canvas, backdrop, (-403, -501), (803, 9601), factor)
    monkeypatch.setattr(mosaic, "_ACROSS_PX", 10**6)
    assert (blocks == paint_mosaic(canvas, backdrop, (-403, -501), (803, 9601), factor)).all()


@pytest.mark.parametrize("factor", [1, 34])
def test_the_memory_of_a_mosaic_does_not_grow_with_its_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: int
) -> None:
    canvas, asked = GroundCanvas(tmp_path), []
    plain = canvas.read

    def read(rows: slice, columns: slice) -> GroundWindow:
        asked.append((rows.stop - rows.start, columns.stop - columns.start))
        return plain(rows, columns)

    monkeypatch.setattr(canvas, "read", read)
    picture = paint_mosaic(canvas, Backdrop(), (0, 0), (100, 300_000 if factor > 1 else 9_000), factor)
    assert (picture == 255).all()
    assert max(height for height, _ in asked) <= 2400 and max(width for _, width in asked) <= 4096


@pytest.mark.parametrize("across_px", [3000, 12_000])
def test_the_picture_of_a_long_crack_is_painted_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, across_px: int
) -> None:
    canvas, cuts, painted = GroundCanvas(tmp_path), [], []
    monkeypatch.setattr(video_results, "add_pictures", lambda record, out, title, cut, rules, most: cuts.append(cut))
    plain = video_results.paint_mosaic

    def paint(*args: Any) -> RgbImage:
        painted.append(plain(*args))
        return painted[-1]

    monkeypatch.setattr(video_results, "paint_mosaic", paint)
    measured = SimpleNamespace(scale=None, graph=SimpleNamespace(size_hw=(900, across_px + 800)))
    ground: Any = SimpleNamespace(measurement=measured, origin_rc=(-450, -900))
    ones = np.ones((600, 1500), np.float32)
    # A dark field in the middle of the crack.
    canvas.paste(-300, across_px // 2 - 1250, ones * 0, ones, np.full((600, 1500, 3), 60, np.uint8), keep_old=ones)
    video_results._add_pictures(GroundRecord(), ground, canvas, Backdrop(), tmp_path, "a", None)
    extent = (400, 440, 400 + across_px, 460)
    monkeypatch.setattr(video_results, "crack_box_px", lambda fields: extent)
    rgb, _ = cuts[0](SurveyCrack({}, None))
    assert painted[0].size < 30_000_000 and max(rgb.shape[:2]) == 480
    if across_px == 3000:
        assert painted[0].shape[:2] == (1520, 4500)
    # In the picture the field lies in the middle, and takes as much of it as of the crack and the ground around it;
    # long before and after the crack there is none.
    shown = min(1.25 * across_px, across_px + 800)
    dark = np.flatnonzero((rgb < 255).any(axis=(0, 2)))
    assert dark.mean() / rgb.shape[1] == pytest.approx(0.5, abs=0.02)
    assert len(dark) / rgb.shape[1] == pytest.approx(1500 / shown, abs=0.02)
