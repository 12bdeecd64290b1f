from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fissura.errors import GeometryError
from fissura.geo.homography import transform
from fissura.road import Road, plan_slices
from fissura.road.overlay import draw_road

SIZE_HW = (540, 960)


def band(angle_deg: float, width: int, hw: tuple[int, int] = (68, 120)) -> np.ndarray:
    """A straight road through the middle of a mask."""
    mask = np.zeros(hw, np.uint8)
    middle = np.array([hw[1] / 2, hw[0] / 2])
    step = 300 * np.array([np.cos(np.radians(angle_deg)), -np.sin(np.radians(angle_deg))])
    a, b = (middle - step).astype(int), (middle + step).astype(int)
    cv2.line(mask, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 1, width)
    return mask > 0


@st.composite
def roads(draw: st.DrawFn) -> Road:
    """Bands, rings, blobs and their unions, on rasters of several reductions and shapes of cell."""
    hw = draw(st.sampled_from([(68, 120), (54, 96), (135, 240), (61, 97)]))
    mask = np.zeros(hw, np.uint8)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["line", "ring", "blob"]))
        x, y = draw(st.integers(0, hw[1] - 1)), draw(st.integers(0, hw[0] - 1))
        if kind == "line":
            end = draw(st.integers(0, hw[1] - 1)), draw(st.integers(0, hw[0] - 1))
            cv2.line(mask, (x, y), end, 1, draw(st.integers(1, 25)))
        elif kind == "ring":
            cv2.circle(mask, (x, y), draw(st.integers(20, 80)), 1, draw(st.integers(2, 20)))
        else:
            cv2.circle(mask, (x, y), draw(st.integers(1, 15)), 1, -1)
    assume(bool(mask.any()))  # a ring may lie around the whole picture
    return Road.from_mask(mask > 0, SIZE_HW)


@settings(max_examples=60, deadline=None)
@given(
    roads(),
    st.sampled_from([(64, 16), (96, 24), (128, 64), (48, 0)]),
    st.sampled_from([0.5, 1.0, 1.7]),
    st.booleans(),
    st.sampled_from([0.0, 0.0, 45.0, 110.0]),
)
def test_every_wanted_road_pixel_lies_in_a_trusted_part(
    road: Road, tile: tuple[int, int], scale: float, some: bool, turn_deg: float
) -> None:
    wanted = np.zeros_like(road.mask)
    wanted[:, : road.mask.shape[1] // 2] = True
    slices = plan_slices(
        road, tile=tile[0], overlap=tile[1], scale=scale, wanted=wanted if some else None, turn_deg=turn_deg
    )
    expected = road.full_mask()
    if some:
        expected &= cv2.resize(wanted.view(np.uint8), SIZE_HW[::-1], interpolation=cv2.INTER_NEAREST_EXACT) > 0
    assert slices.kind == "road"
    assert not (expected & ~slices.looked_at()).any()


@pytest.mark.parametrize("angle", [0, 22.5, 45, 67.5, 90, 112.5, 135, 157.5])
def test_slices_stand_along_a_straight_road_and_are_few(angle: float) -> None:
    road = Road.from_mask(band(angle, 12), SIZE_HW)
    slices = plan_slices(road, tile=96, overlap=24)
    off = [abs((piece.direction_deg - angle + 90) % 180 - 90) for piece in slices.slices]
    assert max(off) < 3.0
    # Trusted squares of 72 px over a road of about 110 px: two columns, and rows along its length.
    length = min(960 / max(abs(np.cos(np.radians(angle))), 1e-9), 540 / max(abs(np.sin(np.radians(angle))), 1e-9))
    assert len(slices) <= 2 * (length / 72 * 1.2 + 3)


def test_a_road_a_little_wider_than_a_slice_needs_no_second_row() -> None:
    mask = np.zeros((68, 120), np.bool_)
    mask[:, 40:49] = True  # 72 pixels wide, where 64 of a slice are trusted all along, and 8 more at either side here
    road = Road.from_mask(mask, SIZE_HW)
    slices = plan_slices(road, tile=96, overlap=32)
    assert len(slices) == 9
    assert not (road.full_mask() & ~slices.looked_at()).any()
    for piece in slices.slices:
        top, right, bottom, left = piece.margins_px
        assert (top, bottom) == (16, 16)
        assert 8 <= right < 16 and 8 <= left < 16
    mask[:, 49:52] = True  # 96 pixels, too wide for one
    assert len(plan_slices(Road.from_mask(mask, SIZE_HW), tile=96, overlap=32)) == 18


@pytest.mark.parametrize("angle", [82, 88, 90, 94])
def test_a_straight_road_with_a_slanted_front_takes_hardly_more_than_its_area(angle: float) -> None:
    """What a flight wants is the road above a line across the frame, which seldom stands square to the road."""
    road = Road.from_mask(band(angle, 100, (270, 480)), SIZE_HW)
    wanted = np.zeros_like(road.mask)
    wanted[:150] = True
    slices = plan_slices(road, tile=64, overlap=16, scale=1.5, wanted=wanted)
    least = (road.mask & wanted).sum() * 4 / (48 / 1.5) ** 2
    assert len(slices) < 1.35 * least
    expected = road.full_mask() & (cv2.resize(wanted.view(np.uint8), SIZE_HW[::-1]) > 0)
    assert not (expected & ~slices.looked_at()).any()


def test_each_slice_of_a_curve_has_its_own_direction() -> None:
    mask = np.zeros((68, 120), np.uint8)
    cv2.circle(mask, (0, 68), 60, 1, 10)
    road = Road.from_mask(mask > 0, SIZE_HW)
    off = []
    for piece in plan_slices(road, tile=64, overlap=16).slices:
        row, col = piece.centre_rc
        # A circle around the lower left corner: the tangent stands across the radius.
        expected = (np.degrees(np.arctan2(544 - row, col)) + 90) % 180
        off.append(abs((piece.direction_deg - expected + 90) % 180 - 90))
    # At the frame's border only one side of the window has a road in it.
    assert np.median(off) < 2.0 and max(off) < 9.0


def test_slices_can_stand_aslant_to_the_road() -> None:
    road = Road.from_mask(band(30, 40), SIZE_HW)
    slices = plan_slices(road, tile=64, overlap=16, turn_deg=45.0)
    along = np.array([np.cos(np.radians(30)), -np.sin(np.radians(30))])
    for piece in slices.slices:
        assert abs((piece.direction_deg - 75 + 90) % 180 - 90) < 2
        ends = transform(np.linalg.inv(piece.matrix), np.array([200.0, 150.0]) + 10 * np.array([[0], [1]]) * along)
        x, y = np.abs(ends[1] - ends[0])
        assert x == pytest.approx(y, rel=0.1)  # what runs along the road runs along a diagonal of the slice
        assert np.hypot(x, y) == pytest.approx(10.0)
    assert len(slices) < 2 * len(plan_slices(road, tile=64, overlap=16))


def test_roads_run_upwards_in_slices_and_sides_are_exact() -> None:
    road = Road.from_mask(band(30, 16), SIZE_HW)
    for piece in plan_slices(road, tile=64, overlap=16, scale=0.5).slices:
        matrix = piece.frame_from_slice()
        (x0, y0), (x1, y1) = transform(matrix, np.array([[31.5, 40.0], [31.5, 20.0]]))
        assert np.degrees(np.arctan2(y0 - y1, x1 - x0)) == pytest.approx(piece.direction_deg, abs=1e-6)
        assert piece.side_px == pytest.approx(128.0)
        assert np.linalg.det(matrix[:2, :2]) > 0, "a mirror image"


def test_without_a_road_the_whole_frame_is_planned_in_upright_slices() -> None:
    road = Road.none((68, 120), SIZE_HW)
    slices = plan_slices(road, tile=256, overlap=64)
    assert slices.kind == "whole frame"
    assert len(slices) == 3 * 5
    assert slices.looked_at().all()
    assert all(piece.direction_deg == 90 for piece in slices.slices)
    wanted = np.zeros((68, 120), np.bool_)
    wanted[0, 0] = True
    assert 1 <= len(plan_slices(road, tile=256, overlap=64, wanted=wanted)) <= 2


def test_small_frames_and_nothing_wanted() -> None:
    assert plan_slices(Road.none((10, 12), (80, 96)), tile=256, overlap=64).looked_at().all()
    road = Road.from_mask(band(90, 10), SIZE_HW)
    assert len(plan_slices(road, tile=256, overlap=64, wanted=np.zeros_like(road.mask))) == 0


def test_oblique_slices_are_squares_of_ground() -> None:
    # A camera 20 m up that looks 40 degrees down: image (x, y) to ground (east, north).
    focal, pitch = 800.0, np.radians(40)
    rays = np.array([[1, 0, 0], [0, -np.sin(pitch), np.cos(pitch)], [0, np.cos(pitch), np.sin(pitch)]])
    pixel = np.array([[1 / focal, 0, -479.5 / focal], [0, 1 / focal, -269.5 / focal], [0, 0, 1]])
    ground = np.diag([20.0, 20.0, 1.0]) @ rays @ pixel
    image = np.linalg.inv(ground)
    outline = transform(image, np.array([[-4.0, 12], [4, 12], [4, 60], [-4, 60]]))
    mask = np.zeros(SIZE_HW, np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    road = Road.from_mask(cv2.resize(mask, (240, 135), interpolation=cv2.INTER_AREA) > 0, SIZE_HW)
    slices = plan_slices(road, tile=64, overlap=16, scale=1.0, ground=ground)
    assert not (road.full_mask() & ~slices.looked_at()).any()
    sides = []
    for piece in slices.slices:
        corners = transform(ground, piece.corners_rc[:, ::-1])
        edges = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        assert np.ptp(edges) < 1e-6 * edges.mean()
        sides.append(edges.mean())
        top, bottom = transform(ground, transform(piece.frame_from_slice(), np.array([[31.5, 0.0], [31.5, 63.0]])))
        assert abs(np.degrees(np.arctan2(top[0] - bottom[0], top[1] - bottom[1]))) < 4.0
    assert np.ptp(sides) < 1e-6


@pytest.mark.parametrize(
    "options",
    [
        {"tile": 4, "overlap": 0},
        {"tile": 64, "overlap": 40},
        {"tile": 64, "overlap": 16, "scale": 0.0},
        {"tile": 64, "overlap": 16, "wanted": np.ones((3, 3), np.bool_)},
        {"tile": 64, "overlap": 16, "ground": np.eye(2)},
        {"tile": 64, "overlap": 16, "ground": np.eye(3), "turn_deg": 45.0},
        {"tile": 64, "overlap": 16, "turn_deg": np.nan},
    ],
)
def test_impossible_plans_say_what_is_needed(options: dict) -> None:
    with pytest.raises(GeometryError, match=r"need|give|overlap"):
        plan_slices(Road.from_mask(band(90, 10), SIZE_HW), **options)


@pytest.mark.parametrize("size_hw", [(240, 320), (2400, 3200)])
def test_drawing_leaves_the_frame_as_it_is(size_hw: tuple[int, int]) -> None:
    mask = np.zeros((24, 32), np.bool_)
    mask[8:16] = True
    road = Road.from_mask(mask, size_hw)
    rgb = np.full((*size_hw, 3), 90, np.uint8)
    drawn = draw_road(rgb, road, plan_slices(road, tile=64, overlap=16))
    assert (rgb == 90).all()
    assert (drawn != 90).any(axis=2).mean() > 0.3
