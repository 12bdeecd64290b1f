"""Flights: where the camera is in each frame, with the faults that real flights have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fissura.errors import SettingsError
from fissura.synth.aerial.camera import AerialCamera
from fissura.synth.aerial.grid import Points
from fissura.synth.aerial.model import Road
from fissura.synth.aerial.world import AerialWorld

Change = tuple[float, float, float]
"""When it begins and how long it takes, in seconds, and by how much."""


@dataclass(frozen=True)
class Flight:
    """A camera for each frame that was recorded, and when.

    Attributes:
        cameras: One a frame.
        times_s: Presentation time of each frame, rising from 0.
        fps: Frames a second where none is missing.
    """

    cameras: tuple[AerialCamera, ...]
    times_s: tuple[float, ...]
    fps: float

    def __post_init__(self) -> None:
        if len(self.cameras) != len(self.times_s) or not self.cameras:
            raise SettingsError(f"a flight of {len(self.cameras)} cameras has {len(self.times_s)} times; give one each")
        if not self.fps > 0 or np.min(np.diff(self.times_s), initial=1.0) <= 0:
            raise SettingsError("fps must be above 0 and times_s must rise")

    def __len__(self) -> int:
        return len(self.cameras)

    def without(self, first_s: float, last_s: float, *, keep_times: bool = True) -> Flight:
        """The flight with the frames from ``first_s`` to before ``last_s`` lost.

        With ``keep_times`` a gap stays in the times (a stream that broke off); without, they close up (a recorder
        that stalled and did not know).
        """
        kept = [k for k, t in enumerate(self.times_s) if not first_s <= t < last_s]
        cut = 0.0 if keep_times else last_s - first_s
        times = tuple(t - cut if t >= last_s else t for t in (self.times_s[k] for k in kept))
        return Flight(tuple(self.cameras[k] for k in kept), times, self.fps)

    def blurred(self, first_s: float, last_s: float, motion_px: float, motion_deg: float = 0.0) -> Flight:
        """The flight with motion blur between two times."""
        cameras = [
            replace(c, motion_px=motion_px, motion_deg=motion_deg) if first_s <= t < last_s else c
            for c, t in zip(self.cameras, self.times_s, strict=True)
        ]
        return replace(self, cameras=tuple(cameras))


def plan_flight(
    world: AerialWorld,
    camera: AerialCamera,
    *,
    duration_s: float | None = None,
    speed_m_s: float = 5.0,
    fps: float = 30.0,
    follow: Road | None = None,
    turns: Sequence[Change] = (),
    climbs: Sequence[Change] = (),
    jitter_deg: float = 0.15,
    jitter_m: float = 0.05,
    shutter_s: float = 0.001,
    seed: int = 0,
) -> Flight:
    """A flight through a world, straight along its longer side through the middle, or along a road.

    Args:
        world: The ground; the flight keeps the pictures within its extent.
        camera: Height, pitch, lens and optics; place and yaw are set by the path, its yaw counts from the path's
            direction (0: the picture's upper edge points forward).
        duration_s: Length in time; None flies as far as the extent allows.
        speed_m_s: Over ground.
        fps: Frames a second.
        follow: Fly along this road's centreline, heading along it.
        turns: Changes of yaw, in degrees.
        climbs: Changes of height, in metres.
        jitter_deg: Standard deviation of yaw, pitch and lean about the path, smooth over about half a second.
        jitter_m: The same for the position.
        shutter_s: Exposure time, for the motion blur.
        seed: Of the jitter.
    Raises:
        SettingsError: The extent leaves no room for a flight at this height.
    """
    path = _straight(world) if follow is None else _beside(follow)
    path = _inside(
        world, _extremes(camera, turns, climbs), path, 0.3 + 6 * np.tan(np.deg2rad(jitter_deg)) * camera.height_m
    )
    stations = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    longest = stations[-1] / speed_m_s
    duration = longest if duration_s is None else min(duration_s, longest)
    t = np.arange(max(int(duration * fps), 1)) / fps
    s = t * speed_m_s
    at = np.stack([np.interp(s, stations, path[:, k]) for k in (0, 1)], axis=1)
    ahead = np.stack(
        [np.interp(s + 2.0, stations, path[:, k]) - np.interp(s - 2.0, stations, path[:, k]) for k in (0, 1)]
    )
    heading = np.rad2deg(np.unwrap(np.arctan2(ahead[0], ahead[1])))
    yaw, height = heading + camera.yaw_deg, np.full(len(t), camera.height_m)
    for total, changes in ((yaw, turns), (height, climbs)):
        for start, takes, amount in changes:
            u = np.clip((t - start) / max(takes, 1e-6), 0.0, 1.0)
            total += amount * u * u * (3 - 2 * u)
    rng = np.random.default_rng([seed, 31])
    shake = np.stack([_smooth_noise(rng, len(t), 0.5 * fps) for _ in range(6)])
    cameras = [
        replace(
            camera, x_m=float(at[k, 0] + jitter_m * shake[0, k]), y_m=float(at[k, 1] + jitter_m * shake[1, k]),
            height_m=float(height[k] + jitter_m * shake[2, k]),
            yaw_deg=float((yaw[k] + jitter_deg * shake[3, k]) % 360.0),
            pitch_deg=float(camera.pitch_deg + jitter_deg * shake[4, k]), lean_deg=float(jitter_deg * shake[5, k]),
            motion_px=float(speed_m_s * shutter_s * camera.focal_px / height[k]),
            motion_deg=float(90.0 - heading[k] + yaw[k]),
        )
        for k in range(len(t))
    ]  # fmt: skip
    return Flight(tuple(cameras), tuple(t.tolist()), fps)


def _straight(world: AerialWorld) -> Points:
    east, north = world.extent_m
    ends = [[0.0, north / 2], [east, north / 2]] if east >= north else [[east / 2, 0.0], [east / 2, north]]
    u = np.linspace(0, 1, max(int(max(east, north)), 2))[:, None]
    return np.asarray(np.array(ends[0]) * (1 - u) + np.array(ends[1]) * u, np.float64)


def _beside(road: Road) -> Points:
    """A pilot's path over a road: its centreline smoothed over 15 m."""
    count = 31
    padded = np.pad(road.centre_en, ((count // 2, count // 2), (0, 0)), mode="reflect", reflect_type="odd")
    kernel = np.hanning(count + 2)[1:-1]
    smooth = [np.convolve(padded[:, k], kernel / kernel.sum(), mode="valid") for k in (0, 1)]
    return np.stack(smooth, axis=1)


def _extremes(camera: AerialCamera, turns: Sequence[Change], climbs: Sequence[Change]) -> list[AerialCamera]:
    """The camera at its greatest height, in every direction it turns to within 10 degrees."""
    height = camera.height_m + max(0.0, *np.cumsum([c[2] for c in climbs]), 0.0)
    yaw = np.cumsum([0.0, *(c[2] for c in turns)])
    steps = max(int(np.ptp(yaw) / 10.0), 1)
    return [
        replace(camera, height_m=height, yaw_deg=camera.yaw_deg + t)
        for t in np.linspace(yaw.min(), yaw.max(), steps + 1)
    ]


def _inside(world: AerialWorld, cameras: Sequence[AerialCamera], path: Points, margin_m: float) -> Points:
    """The longest run of the path along which all pictures of all cameras lie within the extent."""
    ahead = np.gradient(path, axis=0)
    heading = np.rad2deg(np.arctan2(ahead[:, 0], ahead[:, 1]))
    extent = np.array(world.extent_m)
    fits = np.zeros(len(path), bool)
    for k, (x, y) in enumerate(path):
        views = [replace(c, x_m=float(x), y_m=float(y), yaw_deg=c.yaw_deg + float(heading[k])) for c in cameras]
        corners = np.concatenate([v.footprint_en() for v in views])
        fits[k] = bool((corners > margin_m).all() and (corners < extent - margin_m).all())
    edges = np.flatnonzero(np.diff(np.concatenate([[0], fits.astype(int), [0]])))
    runs = edges.reshape(-1, 2)
    if not len(runs) or (longest := runs[np.diff(runs, axis=1)[:, 0].argmax()])[1] - longest[0] < 3:
        raise SettingsError(
            f"the pictures at {cameras[0].height_m:.0f} m do not fit into {extent[0]:.0f} m × {extent[1]:.0f} m of "
            "ground; use a larger extent_m, fly lower or with a longer focal length"
        )
    return path[longest[0] : longest[1]]


def _smooth_noise(rng: np.random.Generator, count: int, over: float) -> npt.NDArray[np.float64]:
    """Noise of unit deviation that changes over about ``over`` samples, shape (count,)."""
    reach = max(int(3 * over), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(over, 1e-6)) ** 2)
    noise = np.convolve(rng.standard_normal(count + 2 * reach), kernel / np.linalg.norm(kernel), mode="valid")
    return np.asarray(noise[:count], np.float64)
