"""Pictures of worlds: repeatable, and their truth lies where the picture shows it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fissura.errors import GeometryError, SettingsError
from fissura.geo.homography import transform
from fissura.synth.aerial import AerialCamera, AerialWorld, GroundCrack, WorldOptions, make_world, render_view
from fissura.synth.aerial.grid import Grid
from fissura.synth.aerial.ground import paint_grid
from fissura.synth.cracks import CrackVector, coverage_map, crack_mask

HW = (360, 640)
CALM = {"trees": 0.0, "vehicles": 0.0, "shadows": 0.0, "houses": 0.0, "markings": False, "crack_density": 2.0}


def world(kind: str = "curved", seed: int = 3, **how: object) -> AerialWorld:
    return make_world(seed, WorldOptions(**({"kind": kind, "extent_m": (60.0, 60.0), "margin_m": 40.0} | how)))


def camera(gsd_mm: float = 30.0, **how: object) -> AerialCamera:
    return AerialCamera(
        **({"x_m": 30.0, "y_m": 30.0, "height_m": 0.5 * gsd_mm, "focal_px": 500.0, "image_hw": HW} | how)
    )


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    a, b = (render_view(world(), camera(pitch_deg=-60.0), 1) for _ in range(2))
    assert (a.rgb == b.rgb).all() and (a.road == b.road).all()
    assert (a.rgb != render_view(world(seed=4), camera(pitch_deg=-60.0), 1).rgb).mean() > 0.5


def test_families_share_nothing() -> None:
    tuning, fresh = (world(family=f).roads[0].centre_en for f in ("tuning", "fresh"))
    assert tuning.shape != fresh.shape or np.abs(tuning - fresh).max() > 1.0


def test_more_trees_leave_road_and_cracks_where_they_were() -> None:
    bare, wooded = world(trees=0.0), world(trees=0.9)
    assert (bare.roads[0].centre_en == wooded.roads[0].centre_en).all()
    assert len(wooded.landscape.trees.radius_m) > 20 == 20 + len(bare.landscape.trees.radius_m)
    assert all((a.points_en == b.points_en).all() for a, b in zip(bare.cracks, wooded.cracks, strict=True))


@pytest.mark.parametrize("kind", ["straight", "curved", "junction_t", "junction_x", "dual", "none"])
@pytest.mark.parametrize("family", ["tuning", "fresh"])
def test_every_kind_shows_road_or_none(kind: str, family: str) -> None:
    made = world(kind, family=family, trees=0.0, heading_deg=20.0)
    view = render_view(made, camera(60.0))
    count = {"none": 0, "straight": 1, "curved": 1}.get(kind, 2)
    assert len(made.roads) == count
    assert view.road.any() == bool(count)
    if count:
        planned = sum(r.width_m for r in made.roads[: 2 if kind == "dual" else 1]) * HW[0] * 0.06
        assert view.road.sum() * 0.06**2 > 0.7 * planned
        assert (np.abs(made.surface.colour) <= 1).all()


def above_cracks(made: AerialWorld, kind: str = "") -> dict[str, float]:
    """Where to look straight down on the longest crack (of a kind) near the middle."""
    middle = [c.points_en[len(c.points_en) // 2] for c in made.cracks]
    inside = [
        (c.length_m, m)
        for c, m in zip(made.cracks, middle, strict=True)
        if kind in c.kind and (m > 5).all() and (m < np.array(made.extent_m) - 5).all()
    ]
    place = max(inside, key=lambda pair: pair[0])[1]
    return {"x_m": float(place[0]), "y_m": float(place[1])}


@pytest.mark.parametrize("how", [{}, {"yaw_deg": 50.0}, {"yaw_deg": 50.0, "pitch_deg": -55.0, "roll_deg": 3.0}])
def test_pixels_are_darker_where_the_mask_says_crack(how: dict[str, float]) -> None:
    made = world(**CALM)
    place = above_cracks(made)
    if how.get("pitch_deg"):  # Step back, so that it stays in the middle.
        back = 5.0 / np.tan(np.deg2rad(-how["pitch_deg"]))
        yaw = np.deg2rad(how["yaw_deg"])
        place = {"x_m": place["x_m"] - back * np.sin(yaw), "y_m": place["y_m"] - back * np.cos(yaw)}
    view = render_view(made, camera(10.0, noise=0.0, **place, **how))
    grey = view.rgb.mean(axis=2)
    local = cv2.blur(grey, (21, 21))
    core = view.crack_mask & view.road
    assert core.sum() > 300
    contrast = (grey - local)[core].mean()
    assert contrast < -12
    # Shifted by some pixels the mask misses the dark lines: the truth is not just roughly there.
    for rows, columns in ((4, 0), (-4, 0), (0, 4), (0, -4)):
        moved = np.roll(core, (rows, columns), (0, 1))
        assert (grey - local)[moved & ~core & view.road].mean() > 0.4 * contrast


def test_a_wide_crack_is_clear_and_a_narrow_one_faint() -> None:
    made = world("straight", heading_deg=90.0, **CALM)
    middle = made.roads[0].place(made.roads[0].length_m / 2, 0.0)
    x = middle[0] + np.linspace(-2.2, 2.2, 60)
    cracks = [
        GroundCrack(np.stack([x, np.full(60, middle[1] + up)], axis=1), np.full(60, width), "longitudinal")
        for up, width in ((1.0, 20.0), (-1.0, 5.0), (0.0, 0.0))
    ]
    for yaw in (0.0, 37.0):
        cam = camera(17.0, noise=0.0, blur_px=0.4, x_m=middle[0], y_m=middle[1], yaw_deg=yaw)
        view = render_view(replace(made, cracks=tuple(cracks), details=()), cam)
        grey = view.rgb.astype(float).mean(axis=2)
        relative = grey / cv2.blur(grey, (31, 31)) - 1.0
        lines = [np.floor(c.points_rc_mm).astype(int) for c in view.cracks_px()]
        wide, narrow, none = (np.median(relative[rc[:, 0], rc[:, 1]]) for rc in lines)
        assert wide < -0.35
        assert -0.25 < narrow < -0.06
        assert abs(none) < 0.03


def test_ground_raster_and_picture_agree() -> None:
    made = world("straight", **(CALM | {"extent_m": (30.0, 30.0), "margin_m": 10.0}))
    ground = made.ground(20.0)
    assert made.ground(20.0) is ground
    assert ground.rgb.shape == (1500, 1500, 3)
    cam = camera(20.0, yaw_deg=30.0, noise=0.0, x_m=15.0, y_m=15.0)
    warped, painted = render_view(made, cam, ground=ground), render_view(made, cam)
    inside = painted.road & warped.road
    assert (warped.road != painted.road).mean() < 0.01
    difference = warped.rgb.astype(float).mean(axis=2) - painted.rgb.astype(float).mean(axis=2)
    assert abs(difference[inside].mean()) < 1.0
    assert cv2.blur(difference, (9, 9))[inside].std() < 4.0
    # The mask, painted in blocks, is the rule's over the whole.
    cracks = [CrackVector(ground.grid.pixels(c.points_en)[:, ::-1] + 0.5, c.width_mm / 20.0) for c in made.cracks]
    expected = crack_mask(cracks, coverage_map(cracks, ground.grid.hw, 1.0), 1.0)
    assert (expected != ground.crack_mask).sum() < 0.01 * expected.sum()
    with pytest.raises(GeometryError, match="beyond the painted 30 m"):
        render_view(made, replace(cam, x_m=4.0), ground=ground)
    with pytest.raises(SettingsError, match="too many"):
        made.ground(1.0)


@pytest.mark.parametrize("gsd_mm", [50.0, 100.0])
def test_the_truth_of_coarse_views_of_a_painted_ground_stays_in_place(gsd_mm: float) -> None:
    how = CALM | {"extent_m": (24.0, 24.0), "margin_m": 10.0, "heading_deg": 0.0, "crack_density": 0.0}
    made = world("straight", **how)
    hw = (int(20_000 / gsd_mm),) * 2
    cam = AerialCamera(12.0037, 12.0051, height_m=20.0, focal_px=20_000 / gsd_mm, image_hw=hw, noise=0.0)
    middles = []
    for view in (render_view(made, cam), render_view(made, cam, ground=made.ground(12.5))):
        assert not view.road[:, [0, -1]].any() and view.road.any(axis=1).all()
        middles.append((view.road * np.arange(hw[1])).sum() / view.road.sum())
    assert middles[1] == pytest.approx(middles[0], abs=0.15)


def test_a_crack_that_begins_behind_the_camera_is_seen_ahead_of_it() -> None:
    made = world("straight", **(CALM | {"extent_m": (30.0, 30.0), "margin_m": 10.0, "heading_deg": 0.0}))
    x = made.roads[0].place(made.roads[0].length_m / 2, 0.0)[0]
    north = np.linspace(2.0, 28.0, 400)
    cam = AerialCamera(float(x), 10.0, height_m=6.0, pitch_deg=-30.0, focal_px=500.0, image_hw=HW)
    masks = []
    for ahead in (north, north[north > 5.0]):
        points = np.stack([np.full_like(ahead, x), ahead], axis=1)
        crack = GroundCrack(points, np.full_like(ahead, 30.0), "longitudinal")
        masks.append(render_view(replace(made, cracks=(crack,)), cam).crack_mask)
    assert masks[1].any()
    np.testing.assert_array_equal(masks[0], masks[1])


def test_blocks_join() -> None:
    made = world("straight", trees=0.5, houses=0.5, water=True)
    middle = made.roads[0].place(made.roads[0].length_m / 2, 0.0)
    grid = Grid((middle[0] - 10.0, middle[1] + 10.0), 0.03, (640, 640), 15.0)
    whole, part = paint_grid(made, grid), paint_grid(made, grid.window(100, 228, (400, 400)))
    difference = np.abs(whole.rgb[100:500, 228:628].astype(int) - part.rgb)
    assert difference.mean() < 1.5
    assert (whole.labels[100:500, 228:628] != part.labels).mean() < 0.003


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, -90.0), (65.0, -90.0), (20.0, -50.0)])
def test_tangent_follows_the_curve_as_seen(yaw: float, pitch: float) -> None:
    made = world()
    view = render_view(made, camera(60.0, yaw_deg=yaw, pitch_deg=pitch))
    road = made.roads[0]
    s = np.arange(5.0, road.length_m - 5, 3.0)
    ends = [transform(view.camera.image_from_ground(), road.place(s + step, 1.5)) for step in (-0.05, 0.0, 0.05)]
    seen = ((ends[1] > 0) & (ends[1] < np.array(HW[::-1]))).all(axis=1)
    step = (ends[2] - ends[0])[seen]
    expected = np.rad2deg(np.arctan2(-step[:, 1], step[:, 0]))
    got = view.road_tangent_deg(ends[1][seen][:, ::-1])
    assert seen.sum() > 4 and expected.std() > 1.0
    assert np.abs((got - expected + 90) % 180 - 90).max() < 0.5


def test_upright_and_level_roads() -> None:
    for heading, yaw, expected in ((0.0, 0.0, 90.0), (90.0, 0.0, 0.0), (45.0, 0.0, 45.0), (45.0, 45.0, 90.0)):
        view = render_view(world("straight", heading_deg=heading), camera(60.0, yaw_deg=yaw, image_hw=(36, 64)))
        got = view.road_tangent_deg([[18.0, 32.0]])[0]
        assert abs((got - expected + 90) % 180 - 90) < 2.0


def test_crowns_hide_the_road_and_vehicles_do_not() -> None:
    bare = render_view(world("straight", **CALM), camera(60.0))
    full = render_view(world("straight", **(CALM | {"trees": 1.0, "vehicles": 20.0})), camera(60.0))
    assert full.world.vehicles
    gone = bare.road & ~full.road
    assert (full.hidden[gone]).all()
    at = transform(full.camera.image_from_ground(), np.array([v.centre_en for v in full.world.vehicles]))
    at = np.rint(at[((at > 0) & (at < np.array(HW[::-1]) - 1)).all(axis=1)]).astype(int)
    open_to_the_sky = full.road[at[:, 1], at[:, 0]]
    assert open_to_the_sky.any() and full.hidden[at[:, 1], at[:, 0]].all()


def test_errors_name_the_remedy() -> None:
    with pytest.raises(SettingsError, match="choose one of straight"):
        WorldOptions(kind="spiral")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="no field 'colour'"):
        WorldOptions.varied(0, colour=3)
    with pytest.raises(GeometryError, match="no road"):
        render_view(world("none"), camera(60.0)).road_tangent_deg([[0.0, 0.0]])
