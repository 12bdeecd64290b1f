"""A whole pass over a drawn flight: dark lines on a ground of noise, a network that calls dark pixels cracks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from shapely.geometry import box

from fissura.infer import Segmenter
from fissura.spec import ModelCard
from fissura.survey.backdrop import Backdrop
from fissura.survey.flight import FlightResult, fly
from fissura.survey.ground import GroundCanvas
from fissura.survey.looking import GroundLooker
from fissura.survey.merged import SeenFrame, chart_bounds, measure_ground
from fissura.survey.placing import TrackPoint, place_ground
from fissura.survey.pose import FramePose, Lens
from support.tiny_model import make_tiny_onnx

LENS = Lens(520.0, (360, 640))
ORIGIN = np.array([[1, 0, 500], [0, 1, 400], [0, 0, 1.0]])


class DarkBackend:
    """Crack where the picture is dark."""

    def __init__(self, card: ModelCard) -> None:
        self.card, self.description = card, "dark"

    def predict_tiles(self, tiles: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for tile in tiles:
            yield np.clip((70.0 - tile.mean(axis=2)) / 20.0 + 0.5, 0, 1).astype(np.float32)


@dataclass
class DrawnFrame:
    """A frame of the drawn flight."""

    index: int
    time_s: float
    picture: np.ndarray
    damaged: bool = False

    def rgb(self) -> np.ndarray:
        """The picture."""
        return np.repeat(self.picture[:, :, None], 3, axis=2)

    def luma(self) -> np.ndarray:
        """Its brightness."""
        return self.picture

    def reduced(self, factor: int) -> np.ndarray:
        """Its brightness, reduced."""
        h, w = self.picture.shape
        return np.asarray(cv2.resize(self.picture, (w // factor, h // factor), interpolation=cv2.INTER_AREA))


@pytest.fixture(scope="module")
def ground() -> np.ndarray:
    rng = np.random.default_rng(4)
    image = np.full((1200, 2600), 150, np.float32)
    for side, strength in ((2, 12), (7, 12), (30, 14)):
        noise = np.clip(rng.standard_normal((1200 // side + 2, 2600 // side + 2)), -2, 2).astype(np.float32)
        image += strength * cv2.resize(noise, (2600, 1200), interpolation=cv2.INTER_LINEAR)
    cv2.line(image, (300, 330), (1900, 380), 20.0, 5, cv2.LINE_AA)
    cv2.line(image, (900, 250), (960, 560), 20.0, 3, cv2.LINE_AA)
    return np.clip(image, 0, 255).astype(np.uint8)


def see(ground: np.ndarray, k: int, pose: FramePose, *, blur: int = 0) -> DrawnFrame:
    h, w = LENS.size_hw
    matrix, flags = ORIGIN @ pose.ground_from_frame(LENS), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpPerspective(ground, matrix, (w, h), flags=flags)
    if blur:
        view = cv2.blur(view, (blur, blur))
    return DrawnFrame(k, k / 10, np.asarray(view, np.uint8))


@pytest.fixture
def looker(tmp_path: Path) -> GroundLooker:
    segmenter = Segmenter(DarkBackend(make_tiny_onnx(tmp_path / "tiny.onnx")))
    return GroundLooker(GroundCanvas(tmp_path / "ground"), segmenter, LENS, whole_frame=True, backdrop=Backdrop())


def length_of(looker: GroundLooker, result: FlightResult) -> float:
    frames = [SeenFrame.of_look(looked, LENS) for looked in result.looked]
    bounds = chart_bounds(frames)
    assert bounds is not None
    top, left, bottom, right = bounds
    place = place_ground([TrackPoint((0.0, 0.0), 0.0)], LENS.focal_px)
    found = measure_ground(
        looker.canvas, frames, 0, place, origin_rc=(top, left), size_hw=(bottom - top, right - left), threshold=0.5
    )  # fmt: skip
    return found.measurement.length


def test_each_crack_is_counted_once_though_many_frames_show_it(ground: np.ndarray, looker: GroundLooker) -> None:
    frames = [see(ground, k, FramePose(6.0 * k, 10.0 * np.sin(k / 9), 0.05 * np.sin(k / 11))) for k in range(150)]
    result = fly(frames, looker)
    assert result.error is None
    assert all(r.pose is not None for r in result.registered)
    # Both lines from end to end, as far as the frames show them: each once.
    shown = np.hypot(150 * 6 + 640 / 2 - (300 - 500), 50 * 0.76)
    assert length_of(looker, result) == pytest.approx(shown + np.hypot(60, 310), rel=0.02)
    # Few frames do: a new one only where a good part of it is new.
    assert 3 <= len(result.looked) <= 9
    step = looker.segmenter.card.tile - looker.segmenter.card.overlap
    assert sum(f.look.slices for f in result.looked) < 1.5 * (150 * 6 + 640) * (360 + 20) / step**2


def test_faint_cracks_count_when_their_odds_are_raised(looker: GroundLooker) -> None:
    h, w = LENS.size_hw
    faint = np.full((h, w, 3), 150, np.uint8)
    for y in (h // 4, h // 2, 3 * h // 4):
        cv2.line(faint, (60, y), (w - 60, y), (75, 75, 75), 5)  # 0.25 to the backend
    shares = []
    for odds in (1.0, 9.0):
        looker.canvas, looker.odds = GroundCanvas(looker.canvas.folder.with_name(f"ground{odds:g}")), odds
        looker.look(faint, FramePose(0.0, 0.0, 0.0), 1.0)
        bounds = looker.canvas.bounds_rc
        found = looker.canvas.read(slice(bounds[0], bounds[2]), slice(bounds[1], bounds[3])).probability
        shares.append(float((found > 0.5).mean()))
    assert shares[0] == 0.0 and shares[1] > 0.005


def test_blurred_frames_are_passed_over_but_their_ground_is_not_lost(ground: np.ndarray, looker: GroundLooker) -> None:
    frames = [see(ground, k, FramePose(6.0 * k), blur=9 if 35 <= k < 48 else 0) for k in range(120)]
    result = fly(frames, looker)
    assert not any(35 <= looked.index < 48 for looked in result.looked)
    assert result.blurred > 0
    window = looker.canvas.read(slice(-150, 150), slice(-300, 120 * 6 + 290))
    assert window.seen.mean() > 0.995


def test_what_only_a_blurred_frame_showed_is_looked_at_again(ground: np.ndarray, looker: GroundLooker) -> None:
    """A blur so long that a blurred frame has to do: the first sharp ones replace it before it leaves the view."""
    frames = [see(ground, k, FramePose(12.0 * k), blur=9 if 60 <= k < 100 else 0) for k in range(118)]
    result = fly(frames, looker)
    indices = [looked.index for looked in result.looked]
    assert [k for k in indices if 60 <= k < 100]
    assert [k for k in indices if 100 <= k <= 103]


def test_coming_closer_replaces_what_was_seen_from_afar(ground: np.ndarray, looker: GroundLooker) -> None:
    high = [see(ground, k, FramePose(3.0 * k, 0.0, 0.0, np.log(1.6))) for k in range(15)]
    down = [see(ground, 15 + k, FramePose(45.0, 0.0, 0.0, np.log(1.6) * (1 - k / 15))) for k in range(16)]
    result = fly([*high, *down], looker)
    assert result.error is None
    assert len(result.looked) >= 2
    assert result.looked[-1].look.new_px > 0.3 * 360 * 640


def test_an_error_while_reading_keeps_what_was_seen(ground: np.ndarray, looker: GroundLooker) -> None:
    def frames() -> Iterator[DrawnFrame]:
        for k in range(40):
            yield see(ground, k, FramePose(6.0 * k))
        raise OSError("the card was pulled out")

    result = fly(frames(), looker)
    assert isinstance(result.error, OSError)
    assert result.frames == 40 and result.looked
    assert length_of(looker, result) > 300


def test_a_cut_loses_and_mixes_no_ground(ground: np.ndarray, looker: GroundLooker) -> None:
    """After it the flight goes the other way, to where the first piece would lie if both were side by side."""
    other = np.ascontiguousarray(ground[:, ::-1])
    frames = [see(ground, k, FramePose(6.0 * k)) for k in range(30)]
    frames += [see(other, 30 + k, FramePose(1300.0 - 14.0 * k)) for k in range(110)]
    result = fly(frames, looker)
    assert result.error is None and {f.chart for f in result.looked} == {0, 1}
    for chart in (0, 1):
        last = [r.pose for r in result.registered if r.chart == chart and r.pose is not None][-1]
        x, y = round(last.x), round(last.y)
        window = looker.canvas.read(slice(y - 150, y + 150), slice(x - 290, x + 290))
        assert window.seen.mean() > 0.995, "the last frame of each piece was looked at where it was new"
        result_of = FlightResult(looked=[f for f in result.looked if f.chart == chart])
        if chart == 0:
            assert length_of(looker, result_of) == pytest.approx(np.hypot(60, 310) + 29 * 6 + 320 + 200, rel=0.05)


def test_a_flight_begins_when_the_camera_looks_down(ground: np.ndarray, looker: GroundLooker) -> None:
    """A gimbal swings down from the horizon after take-off: what it saw of the landscape is left out."""
    tilts = np.radians([*np.linspace(90, 0, 31), *np.zeros(10)])
    poses = [FramePose(tilt_x=a) for a in tilts]
    frames = [see(ground, k, p) if p.tilt_x < 1.2 else DrawnFrame(k, k / 10, np.full(LENS.size_hw, 90, np.uint8))
              for k, p in enumerate(poses)]  # fmt: skip
    result = fly(frames, looker, tilt=lambda time_s: (float(tilts[round(10 * time_s)]), 0.0), tilt_sigma_deg=0.5)
    assert result.error is None and {f.chart for f in result.looked} == {0}
    known = [r.index for r in result.registered if r.pose is not None]
    assert max(tilts[known]) < np.radians(60.1) and known[-1] >= 38
    assert looker.canvas.read(slice(-150, 150), slice(-290, 290)).seen.mean() > 0.995


def test_a_view_with_the_horizon_gives_the_ground_before_it(looker: GroundLooker) -> None:
    looker.lens = Lens(200.0, LENS.size_hw)  # 42 degrees up and down
    pose = FramePose(tilt_x=np.radians(57))
    look = looker.look(np.full((*LENS.size_hw, 3), 150, np.uint8), pose, 1.0)
    assert look.new_px > 0.5 * 360 * 640
    bounds = chart_bounds([SeenFrame(pose, looker.lens, None)])
    assert bounds is not None and bounds[2] - bounds[0] < 2000 and bounds[3] - bounds[1] < 2000
    seen = looker.canvas.seen_outline()
    assert box(bounds[1], bounds[0], bounds[3], bounds[2]).contains(seen)
    assert not looker.look(np.full((*LENS.size_hw, 3), 150, np.uint8), pose, 1.0).new_px > 0.05 * look.new_px


def test_a_flight_along_the_ground_is_not_looked_at(ground: np.ndarray, looker: GroundLooker) -> None:
    tilt = np.radians(70)
    frames = [see(ground, k, FramePose(6.0 * k, 300.0, tilt_x=tilt)) for k in range(40)]
    result = fly(frames, looker, tilt=lambda time_s: (tilt, 0.0))
    assert result.error is None and not result.looked
    assert all(r.pose is None for r in result.registered)


def test_the_pass_can_be_stopped(ground: np.ndarray, looker: GroundLooker) -> None:
    frames = (see(ground, k, FramePose(6.0 * k)) for k in range(100))
    result = fly(frames, looker, stop=lambda result: result.frames >= 20)
    assert result.frames == 20 and result.error is None
