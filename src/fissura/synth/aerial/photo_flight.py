"""A flight of photos over a world, written as a drone hands it over, with everything that is true about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fissura.geo.homography import transform
from fissura.imaging.write import write_bytes, write_mask
from fissura.synth.aerial.block import HIDDEN
from fissura.synth.aerial.camera import AerialCamera
from fissura.synth.aerial.flight import plan_flight
from fissura.synth.aerial.ground import Ground
from fissura.synth.aerial.photo import write_aerial_photo
from fissura.synth.aerial.telemetry import Origin
from fissura.synth.aerial.view import render_view
from fissura.synth.aerial.world import AerialWorld

_RIM_PX = 8


@dataclass(frozen=True)
class TelemetryNoise:
    """Errors of what the photos say of their camera; standard deviations, drawn anew for each photo.

    Attributes:
        position_m: East and north each.
        angle_deg: Yaw, pitch and roll each.
        height_m: Above the ground.
    """

    position_m: float = 0.0
    angle_deg: float = 0.0
    height_m: float = 0.0


@dataclass(frozen=True, eq=False)
class PhotoFlight:
    """A written flight.

    Attributes:
        world: What it shows.
        ground: As it was painted.
        cameras: The true ones, one a photo.
        paths: The photos.
        origin: Where the world lies.
    """

    world: AerialWorld
    ground: Ground
    cameras: tuple[AerialCamera, ...]
    paths: tuple[Path, ...]
    origin: Origin

    def visible_cracks(self, step_m: float) -> tuple[npt.NDArray[np.float64], ...]:
        """Drawn centrelines that a photo shows and nothing hides, as points.

        Args:
            step_m: Distance of the points.
        Returns:
            East and north in metres, shape (N, 2); length each point stands for in metres, shape (N,); width in
            millimetres, shape (N,); index of the crack, shape (N,).
        """
        points, lengths, widths, index = [], [], [], []
        for k, crack in enumerate(self.world.cracks):
            steps = np.linalg.norm(np.diff(crack.points_en, axis=0), axis=1)
            along = np.concatenate([[0.0], np.cumsum(steps)])
            count = max(1, round(along[-1] / step_m))
            at = (np.arange(count) + 0.5) * along[-1] / count
            points.append(np.column_stack([np.interp(at, along, crack.points_en[:, c]) for c in (0, 1)]))
            widths.append(np.interp(at, along, crack.width_mm))
            lengths.append(np.full(count, along[-1] / count))
            index.append(np.full(count, k))
        if not points:
            return np.empty((0, 2)), np.empty(0), np.empty(0), np.empty(0, np.int64)
        every = np.concatenate(points)
        keep = self.is_seen(every) & ~self._hidden(every)
        return every[keep], np.concatenate(lengths)[keep], np.concatenate(widths)[keep], np.concatenate(index)[keep]

    def lonlat(self, points_en: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """East and north in metres, shape (N, 2), to longitude and latitude in degrees."""
        return self.origin.position(points_en[:, 0], points_en[:, 1])[:, ::-1]

    def metres(self, lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The other way: longitude and latitude, shape (N, 2), to east and north of the world's corner."""
        from pyproj import Geod

        here = np.full(len(lonlat), self.origin.longitude_deg), np.full(len(lonlat), self.origin.latitude_deg)
        azimuth, _, distance = Geod(ellps="WGS84").inv(*here, lonlat[:, 0], lonlat[:, 1])
        unit = np.column_stack([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))])
        return np.asarray(unit * np.asarray(distance)[:, None], np.float64)

    def is_seen(self, points_en: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Whether a photo shows points (east, north), shape (N, 2) to (N,); what hides them does not count."""
        seen = np.zeros(len(points_en), np.bool_)
        for camera in self.cameras:
            xy = transform(camera.image_from_ground(), points_en)
            limit = np.array(camera.image_hw[::-1]) - 1 - _RIM_PX
            seen |= ((xy > _RIM_PX) & (xy < limit)).all(axis=1)
        return seen

    def _hidden(self, points_en: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        columns, rows = np.rint(self.ground.grid.pixels(points_en)).astype(int).T
        h, w = self.ground.labels.shape
        inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
        hidden = np.ones(len(points_en), np.bool_)
        hidden[inside] = (self.ground.labels[rows[inside], columns[inside]] & HIDDEN) > 0
        return hidden


def write_photo_flight(
    folder: Path, world: AerialWorld, camera: AerialCamera, *, spacing_m: float, most: int | None = None,
    gsd_mm: float, noise: TelemetryNoise | None = None, origin: Origin | None = None, masks: Path | None = None,
    seed: int = 0, quality: int = 92, progress: Callable[[int], None] | None = None,
) -> PhotoFlight:  # fmt: skip
    """Fly along the first road of a world and write a photo every few metres.

    Args:
        folder: For the photos, ``DJI_0001.JPG`` and so on, and ``axis.geojson``, the road's centreline.
        world: With a road.
        camera: Height, pitch, lens.
        spacing_m: Between photos.
        most: Photos at most.
        gsd_mm: At which the ground is painted; as fine as the photos' finest pixel.
        noise: Errors of the telemetry.
        origin: Where the world lies.
        masks: Folder for the photos' exact crack masks; None writes none.
        seed: Of flight, sensor and telemetry noise.
        quality: Of the JPEGs.
        progress: Told how many photos are written.
    Raises:
        SettingsError: The flight does not fit into the world.
        OutputError: A file cannot be written.
    """
    origin, noise = origin or Origin(), noise or TelemetryNoise()
    flight = plan_flight(
        world, camera, speed_m_s=spacing_m, fps=1.0, follow=world.roads[0], seed=seed, jitter_deg=0.4, jitter_m=0.3,
        shutter_s=0.0,
    )  # fmt: skip
    # Lean is not in the tags of a photo: a gimbal keeps it at nought.
    cameras = [replace(c, lean_deg=0.0) for c in flight.cameras[:most]]
    ground = world.ground(gsd_mm)
    rng = np.random.default_rng([seed, 53])
    paths = []
    for k, true in enumerate(cameras):
        view = render_view(world, true, seed + k, ground=ground)
        stated = _disturbed(true, noise, rng)
        moment = replace(origin, start=origin.start + timedelta(seconds=2 * k))
        path = folder / f"DJI_{k + 1:04d}.JPG"
        write_aerial_photo(path, replace(view, camera=stated), moment, quality=quality)
        if masks is not None:
            write_mask(masks / f"DJI_{k + 1:04d}.png", view.crack_mask)
        paths.append(path)
        if progress is not None:
            progress(k + 1)
    written = PhotoFlight(world, ground, tuple(cameras), tuple(paths), origin)
    _write_axis(folder / "axis.geojson", written, world.roads[0].centre_en)
    return written


def _disturbed(camera: AerialCamera, noise: TelemetryNoise, rng: np.random.Generator) -> AerialCamera:
    x, y, height = rng.standard_normal(3) * (noise.position_m, noise.position_m, noise.height_m)
    yaw, pitch, roll = rng.standard_normal(3) * noise.angle_deg
    return replace(
        camera, x_m=camera.x_m + float(x), y_m=camera.y_m + float(y), height_m=camera.height_m + float(height),
        yaw_deg=camera.yaw_deg + float(yaw), pitch_deg=camera.pitch_deg + float(pitch),
        roll_deg=camera.roll_deg + float(roll),
    )  # fmt: skip


def _write_axis(path: Path, flight: PhotoFlight, centre_en: npt.NDArray[np.float64]) -> None:
    seen = flight.is_seen(centre_en)  # the part that was flown over
    inside = centre_en[np.flatnonzero(seen)[0] : np.flatnonzero(seen)[-1] + 1]
    line = {"type": "LineString", "coordinates": np.round(flight.lonlat(inside), 9).tolist()}
    feature = {"type": "Feature", "properties": {"name": "road axis"}, "geometry": line}
    write_bytes(path, json.dumps({"type": "FeatureCollection", "features": [feature]}).encode())
