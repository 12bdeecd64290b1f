"""What a drone writes beside its pictures: positions on the globe and DJI's subtitle lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.synth.aerial.camera import AerialCamera


@dataclass(frozen=True)
class Origin:
    """Where a world lies: WGS84 position of its corner (0, 0), height of the ground, time of the first frame."""

    latitude_deg: float = 48.2
    longitude_deg: float = 11.6
    ground_m: float = 21.0
    start: datetime = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)

    def __post_init__(self) -> None:
        if not (-89 <= self.latitude_deg <= 89 and -180 <= self.longitude_deg <= 180):
            raise GeometryError(
                f"position {self.latitude_deg}, {self.longitude_deg} has no east and north to lay a world along; "
                "give latitude -89 to 89 and longitude -180 to 180 degrees"
            )

    def position(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Latitude and longitude in degrees of points east and north of the corner, shape (N, 2)."""
        from pyproj import Geod

        x, y = np.atleast_1d(np.asarray(x_m, np.float64)), np.atleast_1d(np.asarray(y_m, np.float64))
        here = np.full(len(x), self.longitude_deg), np.full(len(x), self.latitude_deg)
        longitude, latitude, _ = Geod(ellps="WGS84").fwd(*here, np.rad2deg(np.arctan2(x, y)), np.hypot(x, y))
        return np.stack([latitude, longitude], axis=1)


def dji_lines(
    cameras: Sequence[AerialCamera],
    times_s: Sequence[float],
    origin: Origin,
    *,
    gps_noise_m: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """Subtitle text of each frame, as current DJI aircraft write it.

    Args:
        cameras: One a frame.
        times_s: Presentation time of each.
        origin: Where the world lies.
        gps_noise_m: Standard deviation of a slowly wandering error of the position.
        seed: Of that error.
    """
    x, y = np.array([c.x_m for c in cameras]), np.array([c.y_m for c in cameras])
    rng = np.random.default_rng([seed, 41])
    wander = np.cumsum(rng.standard_normal((2, len(x))), axis=1)
    wander = (wander - wander.mean(axis=1, keepdims=True)) / max(float(wander.std()), 1e-9)
    where = origin.position(x + gps_noise_m * wander[0], y + gps_noise_m * wander[1])
    out = []
    for k, (camera, time) in enumerate(zip(cameras, times_s, strict=True)):
        taken = origin.start + timedelta(seconds=time)
        step = round(1000 * (time - times_s[k - 1])) if k else round(1000 * (times_s[1] - time)) if len(x) > 1 else 33
        yaw = (camera.yaw_deg + 180.0) % 360.0 - 180.0
        out.append(
            f'<font size="28">FrameCnt: {k + 1}, DiffTime: {step}ms\n'
            f"{taken:%Y-%m-%d %H:%M:%S}.{taken.microsecond // 1000:03d}\n"
            f"[iso: 100] [shutter: 1/1000.0] [fnum: 2.8] [ev: 0] [color_md: default] [ae_meter_md: 1] "
            f"[focal_len: {focal_35mm(camera):.2f}] [latitude: {where[k, 0]:.6f}] [longitude: {where[k, 1]:.6f}] "
            f"[rel_alt: {camera.height_m:.3f} abs_alt: {camera.height_m + origin.ground_m:.3f}] [ct: 5500] "
            f"[gb_yaw: {yaw:.1f} gb_pitch: {camera.pitch_deg:.1f} gb_roll: {camera.roll_deg:.1f}] </font>"
        )
    return out


def focal_35mm(camera: AerialCamera) -> float:
    """Focal length on a frame 36 mm wide, as EXIF and DJI state it (by the picture's width)."""
    return camera.focal_px * 36.0 / camera.image_hw[1]


def srt_text(lines: Sequence[str], times_s: Sequence[float], last_s: float) -> str:
    """A whole .SRT file; each line shows until the next, the last one for ``last_s`` seconds."""
    ends = [*times_s[1:], times_s[-1] + last_s]
    blocks = [
        f"{k + 1}\n{_stamp(begin)} --> {_stamp(end)}\n{line}\n"
        for k, (line, begin, end) in enumerate(zip(lines, times_s, ends, strict=True))
    ]
    return "\n".join(blocks)


def _stamp(time_s: float) -> str:
    milliseconds = round(time_s * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d},{milliseconds % 1000:03d}"
