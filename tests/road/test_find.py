from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fissura.errors import GeometryError
from fissura.road import Road, find_road
from fissura.road.find import pavement_mask
from fissura.synth.aerial import AerialCamera, AerialView, WorldOptions, make_world, render_view

SIZE_HW = (540, 960)


def view(seed: int, *, height_m: float = 30.0, yaw_deg: float = 20.0, **options) -> AerialView:
    options = {"trees": 0.1, "houses": 0.0, "crack_density": 0.0, "surface": "asphalt_light"} | options
    world = make_world(seed, WorldOptions(**options))
    camera = AerialCamera(60.0, 60.0, height_m, yaw_deg=yaw_deg, focal_px=700.0, image_hw=SIZE_HW)
    return render_view(world, camera, seed)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def off(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs((a - b + 90) % 180 - 90)


@pytest.mark.parametrize(
    ("seed", "options"),
    [
        (1, {"kind": "straight"}),
        (2, {"kind": "curved", "vehicles": 3.0}),
        (3, {"kind": "dual", "surface": "asphalt_dark"}),
        (4, {"kind": "junction_x", "height_m": 45.0}),
    ],
)
def test_outline_and_direction_of_roads(seed: int, options: dict) -> None:
    scene = view(seed, **options)
    road = find_road(scene.rgb)
    assert road.found and 0.5 < road.confidence <= 1
    assert max(road.mask.shape) <= 480
    assert iou(road.full_mask(), scene.road) > 0.9
    points = np.argwhere(scene.road & road.full_mask())[::997]
    error = off(road.direction_at(points), scene.road_tangent_deg(points))
    assert np.median(error) < (3.0 if options["kind"] == "junction_x" else 1.5)
    if options["kind"] == "straight":
        assert off(np.array([road.direction_deg]), scene.road_tangent_deg(points[:1]))[0] < 1.0


@pytest.mark.parametrize(("seed", "ahead_m"), [(1, 12.0), (22, 16.0)])
def test_a_road_goes_on_behind_crowns(seed: int, ahead_m: float) -> None:
    world = make_world(seed, WorldOptions(kind="straight", surface="asphalt_light", trees=0.1, crack_density=0.0))
    road = world.roads[0]
    middle = road.stations()[np.linalg.norm(road.centre_en - 60.0, axis=1).argmin()]
    crowns = replace(
        world.landscape.trees,
        centre_en=road.place(
            middle + ahead_m + np.repeat([0.0, 3.0], 5), np.tile(np.linspace(-1, 1, 5) * (road.width_m / 2 + 1), 2)
        ),
        radius_m=np.full(10, 3.0),
        height_m=np.full(10, 10.0),
        colour=np.full((10, 3), (0.06, 0.11, 0.03), np.float32),
    )
    camera = AerialCamera(60.0, 60.0, 50.0, yaw_deg=20.0, focal_px=700.0, image_hw=SIZE_HW)
    scene = render_view(replace(world, landscape=replace(world.landscape, trees=crowns)), camera, seed)
    _, pieces, size, _ = cv2.connectedComponentsWithStats(scene.road.view(np.uint8))
    beyond = pieces == np.argsort(size[1:, cv2.CC_STAT_AREA])[-2] + 1
    assert beyond.mean() > 0.01  # what the crowns have cut off
    assert find_road(scene.rgb).full_mask()[beyond].mean() > 0.8


@pytest.mark.parametrize("tint", [(1.12, 1.0, 0.9), (0.85, 1.0, 1.15), (0.5, 0.5, 0.5)])
def test_a_road_of_another_tint_is_one(tint: tuple[float, float, float]) -> None:
    scene = view(1)
    rgb = np.where(scene.road[..., None], np.clip(scene.rgb * np.array(tint), 0, 255), scene.rgb).astype(np.uint8)
    assert iou(find_road(rgb).full_mask(), scene.road) > 0.85


def test_yards_and_roofs_of_the_roads_grey_are_none() -> None:
    scene = view(11, houses=0.9, same_grey=True)
    assert iou(find_road(scene.rgb).full_mask(), scene.road) > 0.85
    for seed in (13, 15):
        assert not find_road(view(seed, kind="none", houses=0.9, same_grey=True).rgb).found


def test_a_road_half_under_crowns_does_not_fall_to_pieces() -> None:
    scene, rng = view(1), np.random.default_rng(0)
    crowns, rows_cols = np.zeros(SIZE_HW, np.uint8), np.argwhere(scene.road)
    for row, column in rows_cols[rng.integers(0, len(rows_cols), 14)]:
        cv2.circle(crowns, (int(column), int(row)), 38, 1, -1)
    leaves = np.clip(rng.normal(1.0, 0.35, (*SIZE_HW, 1)) * (55, 80, 40), 0, 255)
    rgb = np.where(crowns[..., None] > 0, leaves, scene.rgb).astype(np.uint8)
    left = scene.road & (crowns == 0)
    assert left.sum() < 0.75 * scene.road.sum()
    assert iou(find_road(rgb).full_mask(), left) > 0.8


def test_full_resolution_and_reduced_frame_agree() -> None:
    scene = view(1)
    large = cv2.resize(scene.rgb, (3840, 2160), interpolation=cv2.INTER_CUBIC)
    assert iou(find_road(large).mask, find_road(scene.rgb).mask) > 0.97


@pytest.mark.parametrize("seed", [5, 6])
def test_land_without_a_road_is_recognised(seed: int) -> None:
    road = find_road(view(seed, kind="none", trees=0.4).rgb)
    assert not road.found
    assert road.direction_deg is None
    assert not road.full_mask().any()


def test_walls_and_flat_colours_are_no_road() -> None:
    rng = np.random.default_rng(0)
    wall = np.clip(150 + 12 * rng.standard_normal((270, 480, 1)) + np.zeros(3), 0, 255).astype(np.uint8)
    for frame in (wall, np.full((100, 100, 3), 128, np.uint8), np.zeros((9, 2000, 3), np.uint8)):
        assert not find_road(frame).found


def test_a_prior_keeps_a_road_that_is_hard_to_see() -> None:
    scene = view(1)
    road = find_road(scene.rgb)
    # Haze: little is left of colour and contrast; of the last the frame alone shows no road.
    for left in (0.25, 0.23, 0.2, 0.15, 0.12):
        haze = np.clip(left * scene.rgb + (1 - left) * scene.rgb.mean(axis=(0, 1)), 0, 255).astype(np.uint8)
        with_prior = find_road(haze, prior=road)
        assert with_prior.found
        assert iou(with_prior.full_mask(), scene.road) > 0.9
        assert find_road(haze).found == (left > 0.12)
    assert iou(find_road(scene.rgb, prior=road).mask, road.mask) > 0.95


def test_a_road_moves_with_the_camera() -> None:
    mask = np.zeros((135, 240), np.bool_)
    mask[:, 100:140] = True
    road = Road.from_mask(mask, SIZE_HW)
    moved = road.moved(np.array([[1.0, 0, 80], [0, 1, 0], [0, 0, 1]]))
    assert moved.mask[:, 120:160].all() and not moved.mask[:, :119].any()
    turned = road.moved(np.vstack([cv2.getRotationMatrix2D((479.5, 269.5), 30, 1.0), [0, 0, 1]]))
    assert off(np.array([turned.direction_deg]), np.array([120.0]))[0] < 1.0


def test_full_mask_keeps_straight_outlines() -> None:
    mask = np.zeros((135, 240), np.bool_)
    mask[:, 100:140] = True
    full = Road.from_mask(mask, SIZE_HW).full_mask()
    assert full.shape == SIZE_HW
    assert full[:, 400:560].all() and full.sum() == 540 * 160


@pytest.mark.parametrize("frame", [np.zeros((4, 4, 3), np.uint8), np.zeros((90, 90), np.uint8), np.zeros((90, 90, 3))])
def test_what_is_no_frame_says_so(frame: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="uint8"):
        find_road(frame)


def test_priors_and_masks_of_other_sizes_say_so() -> None:
    with pytest.raises(GeometryError, match="move it"):
        find_road(np.zeros((90, 90, 3), np.uint8), prior=Road.from_mask(np.ones((9, 9), np.bool_), (80, 80)))
    with pytest.raises(GeometryError, match="reduce"):
        Road.from_mask(np.ones((100, 100), np.bool_), (50, 50))
    with pytest.raises(GeometryError, match="bool"):
        Road.from_mask(np.ones((10, 10)), (50, 50))
    for wrong in ({"light": np.zeros((5, 5))}, {"way": np.zeros((5, 5))}, {"way": np.zeros((0, 5, 2))}):
        with pytest.raises(GeometryError, match="needed is"):
            Road.from_mask(np.ones((10, 10), np.bool_), (50, 50), **wrong)
    with pytest.raises(GeometryError, match="row, column"):
        Road.from_mask(np.ones((10, 10), np.bool_), (50, 50)).direction_at(np.zeros(2))


def test_a_dull_surface_is_taken_whole_and_a_neighbour_in_doubt_is_not() -> None:
    """Logits about 0 belong to the road where all else lies far below; a verge just below a clear road stays out."""
    rng = np.random.default_rng(3)
    dull = np.full((270, 480), -8.0, np.float32)
    dull[:, :200] = cv2.GaussianBlur(rng.normal(0.0, 8.0, (270, 200)).astype(np.float32), (0, 0), 3.0) + 0.3
    assert (dull[:, :200] < 0).mean() > 0.2
    mask = pavement_mask(dull)
    assert mask[:, :195].mean() > 0.99
    assert not mask[:, 205:].any()
    clear = np.full((270, 480), -8.0, np.float32)
    clear[:, :200], clear[:, 200:260] = 4.0, -0.8
    mask = pavement_mask(clear)
    assert mask[:, :195].all()
    assert not mask[:, 205:].any()
