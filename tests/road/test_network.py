from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from fissura.road.appearance import PLANES, chroma, network_planes, settle_tones
from fissura.road.direction import direction_at, orientation_field
from fissura.road.network import see_road
from fissura.road.weights import PieceWeights, load_weights
from fissura.synth.aerial import AerialCamera, WorldOptions, make_world, render_view


def picture(hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 220, (*hw, 3)).astype(np.uint8)


@pytest.mark.parametrize("hw", [(270, 480), (271, 479), (360, 480), (9, 17), (1, 3), (480, 100)])
def test_frames_of_any_shape_get_a_logit_for_every_second_cell(hw: tuple[int, int]) -> None:
    planes = network_planes(chroma(picture(hw)))
    half = (-(-hw[0] // 2), -(-hw[1] // 2))
    assert planes.shape == (PLANES, *half) and planes.dtype == np.float32
    logit, way, meeting = see_road(planes)
    assert logit.shape == half and np.isfinite(logit).all()
    quarter = (-(-half[0] // 4), -(-half[1] // 4))
    assert way.shape == (*quarter, 2) and np.isfinite(way).all()
    assert meeting.shape == quarter and ((meeting >= 0) & (meeting <= 1)).all()


def test_light_moves_one_plane_and_leaves_the_others() -> None:
    rgb = np.repeat(np.repeat(picture((60, 80)), 4, axis=0), 4, axis=1)
    bright, dark = (network_planes(chroma(frame)) for frame in (rgb, (rgb * 0.7).astype(np.uint8)))
    step = np.median(bright - dark, axis=(1, 2))
    assert step[2] > 0.4
    assert np.abs(np.delete(step, 2)).max() < 0.15


def test_threads_do_not_disturb_each_other() -> None:
    frames = [network_planes(chroma(picture((90 + 32 * (k % 3), 160), k))) for k in range(12)]
    alone = [see_road(frame) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(see_road, frames))
    assert all(
        (a == b).all() for one, other in zip(alone, together, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_a_plain_strip_is_road_and_its_sides_are_not() -> None:
    rgb = np.full((288, 480, 3), (90, 130, 70), np.uint8)
    rgb += picture(rgb.shape[:2]) // 16
    rgb[:, 150:240] = 128 + picture((288, 90)) // 24
    logit, way, meeting = see_road(network_planes(chroma(rgb)))
    found = logit > 0
    assert found[:, 80:115].mean() > 0.9 and found[:, 140:].mean() < 0.1
    # Upright: twice 90 degrees.
    assert (way[:, 21:27, 0] < -0.7).mean() > 0.9
    assert meeting[:, 21:27].max() < 0.75  # what `orientation_field` needs to believe it


def test_a_mirrored_picture_gets_nearly_the_mirrored_answer() -> None:
    world = make_world(1, WorldOptions(trees=0.1, houses=0.0, crack_density=0.0))
    camera = AerialCamera(60.0, 60.0, 30.0, yaw_deg=20.0, focal_px=350.0, image_hw=(270, 480))
    rgb = render_view(world, camera, 1).rgb
    (a, way, _), (b, mirrored, _) = (
        see_road(network_planes(chroma(np.ascontiguousarray(x)))) for x in (rgb, rgb[:, ::-1])
    )
    a, b = a > 0, b[:, ::-1] > 0
    assert 0.1 < a.mean() < 0.9
    assert (a == b).mean() > 0.98
    # Mirrored, a direction's sine changes its sign. The road lies in the middle of both.
    road = a[::4, ::4][: way.shape[0], : way.shape[1]]
    difference = way[road] - (mirrored[:, ::-1] * (1, -1))[: road.shape[0], : road.shape[1]][road]
    assert np.median(np.hypot(*difference.T)) < 0.2


def test_where_two_roads_cross_the_network_says_which_one_counts() -> None:
    mask = np.zeros((180, 320), np.bool_)
    mask[70:110] = mask[:, 140:180] = True
    middle = np.array([[90.0, 160.0]])
    for double in ((1.0, 0.0), (-1.0, 0.0)):
        way = np.full((45, 80, 2), double, np.float32)
        angle = direction_at(orientation_field(mask, way=way), mask.shape, middle)[0]
        assert abs((angle - 0.5 * np.degrees(np.arctan2(*double[::-1])) + 90) % 180 - 90) < 1.0
    # Off the crossing the outline knows better.
    arm = np.array([[90.0, 30.0]])
    for way in (None, np.full((45, 80, 2), (-1.0, 0.0), np.float32)):
        assert abs((direction_at(orientation_field(mask, way=way), mask.shape, arm)[0] + 90) % 180 - 90) < 1.0


def test_the_file_is_small() -> None:
    assert len((files("fissura.road") / "road.onnx").read_bytes()) < 500_000


def test_tones_bring_back_the_outline_that_coarse_cells_lose() -> None:
    rgb = np.full((96, 96, 3), (90, 130, 70), np.uint8)
    rgb[:, :51] = 128
    colour = chroma(rgb)
    # A logit that is blurred over a dozen cells and lies two cells off.
    logit = np.repeat(np.clip((53 - 2 * np.arange(48.0)) / 3, -6, 6)[None], 48, axis=0).astype(np.float32)
    settled = settle_tones(logit, colour)
    assert settled.shape == (96, 96)
    assert (settled[:, :50] > 0).all() and (settled[:, 52:] < 0).all()


def test_large_pieces_need_the_shape_of_a_road_and_small_ones_less() -> None:
    sure, doubtful = (PieceWeights(np.zeros(1), np.ones(1), np.zeros(1), bias) for bias in (3.0, 0.3))
    weights = replace(load_weights(), piece=sure, shape=doubtful)
    small, large = weights.road_logit(np.zeros((2, 1)), np.array([0.05, 0.3]))
    assert small > 0 > large
    fine = replace(weights, shape=replace(doubtful, bias=2.0))
    assert (fine.road_logit(np.zeros((2, 1)), np.array([0.05, 0.3])) > 1).all()
