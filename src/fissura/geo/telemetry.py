"""`Telemetry`: where the camera was and looked at each moment of a video, from subtitles or a flight log.

Values are as the file states them, in our units. A drone's position is good to metres, its height above the take-off
point to a metre or so; the road may lie higher or lower than that point.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fissura.errors import DataError
from fissura.imaging.media import VIDEO_SUFFIXES

HOLD_S = 1.0
"""A value is kept so long before its first, after its last sample, and at the edges of a gap."""
MAX_GAP_S = 5.0
"""Between samples further apart nothing is interpolated."""
_TURN_DEG = 360.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Where the camera was, and where it looked. What is not known is None.

    Attributes:
        latitude_deg: WGS84, -90 to 90.
        longitude_deg: WGS84, -180 to 180.
        relative_altitude_m: Height above the take-off point.
        absolute_altitude_m: Height above the sea or the ellipsoid, as the drone understands it.
        yaw_deg: View direction (looking straight down: the picture's upper edge), clockwise from north, 0 to 360.
        pitch_deg: View direction against the horizon: 0 is level, -90 straight down.
        roll_deg: Turn about the view direction, clockwise positive, -180 to 180.
        focal_35mm: 35-mm-equivalent focal length in millimetres, digital zoom included.
        captured_at: Wall-clock time; without zone if the file states none.
    """

    latitude_deg: float | None = None
    longitude_deg: float | None = None
    relative_altitude_m: float | None = None
    absolute_altitude_m: float | None = None
    yaw_deg: float | None = None
    pitch_deg: float | None = None
    roll_deg: float | None = None
    focal_35mm: float | None = None
    captured_at: datetime | None = None


_NUMBERS = tuple(field.name for field in fields(Pose) if field.name != "captured_at")
_CIRCULAR = {"longitude_deg", "yaw_deg", "pitch_deg", "roll_deg"}
_NAMES = {
    "latitude_deg": "position", "relative_altitude_m": "height above take-off", "absolute_altitude_m": "altitude",
    "yaw_deg": "heading", "pitch_deg": "camera pitch", "roll_deg": "camera roll", "focal_35mm": "focal length",
    "captured_at": "time of day",
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """What the file says of one moment: seconds of the video, and the pose then."""

    time_s: float
    pose: Pose


@dataclass(frozen=True, eq=False)
class Telemetry:
    """Poses over time; ask with `at`.

    Attributes:
        source: File they are from.
        samples: In the order of time.
        notes: What was used, left out and cannot be trusted, for the user.
    """

    source: str
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()

    def at(self, time_s: float) -> Pose:
        """Pose at a moment of the video, interpolated: positions linearly, angles along the shorter way.

        More than `HOLD_S` from the nearest sample, fields are None.
        """
        values = {name: series.at(time_s) for name, series in self._series.items()}
        if values["latitude_deg"] is None or values["longitude_deg"] is None:
            values["latitude_deg"] = values["longitude_deg"] = None
        if values["yaw_deg"] is not None:
            values["yaw_deg"] %= _TURN_DEG
        return Pose(**values, captured_at=self._captured_at(time_s))

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the fields of `Pose` that any sample states."""
        found = [name for name in _NUMBERS if len(self._series[name].times_s)]
        return (*found, "captured_at") if len(self._clock.times_s) else tuple(found)

    @property
    def focal_35mm(self) -> float | None:
        """Median of the focal lengths."""
        values = self._series["focal_35mm"].values
        return float(np.median(values)) if len(values) else None

    @property
    def span_s(self) -> tuple[float, float] | None:
        """Times of the first and the last sample; None without samples."""
        return (self.samples[0].time_s, self.samples[-1].time_s) if self.samples else None

    @cached_property
    def _series(self) -> dict[str, _Series]:
        return {name: _Series.of(self.samples, name) for name in _NUMBERS}

    @cached_property
    def _clock(self) -> _Series:
        stamped = [(s.time_s, _epoch_s(s.pose.captured_at)) for s in self.samples if s.pose.captured_at is not None]
        return _Series(np.array([t for t, _ in stamped]), np.array([v for _, v in stamped]), False, False)

    def _captured_at(self, time_s: float) -> datetime | None:
        seconds = self._clock.at(time_s)
        if seconds is None:
            return None
        zone = next(s.pose.captured_at.tzinfo for s in self.samples if s.pose.captured_at is not None)
        moment = datetime.fromtimestamp(round(seconds, 3), UTC)
        return moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone)


@dataclass(frozen=True, eq=False)
class _Series:
    """One field over time."""

    times_s: Array
    values: Array
    is_circular: bool
    is_stepwise: bool

    @classmethod
    def of(cls, samples: Sequence[Sample], name: str) -> _Series:
        stated = [(s.time_s, value) for s in samples if (value := getattr(s.pose, name)) is not None]
        times_s, values = np.array([t for t, _ in stated]), np.array([v for _, v in stated], np.float64)
        # Between two steps of a zoom there is no third one.
        return cls(times_s, values, name in _CIRCULAR, name == "focal_35mm")

    def at(self, time_s: float) -> float | None:
        times, values = self.times_s, self.values
        if not len(times) or not math.isfinite(time_s):
            return None
        after = int(np.searchsorted(times, time_s))
        nearest = min((i for i in (after - 1, after) if 0 <= i < len(times)), key=lambda i: abs(times[i] - time_s))
        is_between = 0 < after < len(times) and times[after] - times[after - 1] <= MAX_GAP_S
        if not is_between or self.is_stepwise:
            near = is_between or abs(times[nearest] - time_s) <= HOLD_S
            return float(values[nearest]) if near else None
        share = (time_s - times[after - 1]) / (times[after] - times[after - 1])
        step = values[after] - values[after - 1]
        if not self.is_circular:
            return float(values[after - 1] + share * step)
        return _wrapped(values[after - 1] + share * _wrapped(step))


def _wrapped(angle_deg: float) -> float:
    """To -180 … 180, 180 included."""
    return float(-((-angle_deg + 180.0) % _TURN_DEG - 180.0))


def _epoch_s(moment: datetime) -> float:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def build_telemetry(source: str, samples: Iterable[Sample], notes: Sequence[str] = ()) -> Telemetry:
    """Clean samples: in the order of time, one at each, no impossible positions.

    Args:
        source: File, for notes.
        samples: As read, in any order.
        notes: Of the reader; its own come after them.
    """
    said, cleaned = list(notes), []
    zero = off_globe = 0
    for sample in samples:
        pose = sample.pose
        latitude, longitude = pose.latitude_deg, pose.longitude_deg
        if latitude is None or longitude is None:
            cleaned.append(_without_position(sample) if latitude is not longitude else sample)
        elif latitude == 0 and longitude == 0:
            zero += 1
            cleaned.append(_without_position(sample))
        elif abs(latitude) > 90 or abs(longitude) > 180:
            off_globe += 1
            cleaned.append(_without_position(sample))
        else:
            cleaned.append(sample)
    ordered = sorted(cleaned, key=lambda sample: sample.time_s)
    if ordered != cleaned:
        said.append("times are not in order; samples were sorted")
    kept = [s for i, s in enumerate(ordered) if i == 0 or s.time_s > ordered[i - 1].time_s]
    if len(kept) < len(ordered):
        said.append(f"{len(ordered) - len(kept)} samples share their time with the one before and were left out")
    if zero:
        said.append(f"{zero} positions are exactly 0, 0 (the receiver had none) and were left out")
    if off_globe:
        said.append(f"{off_globe} positions are not on the globe and were left out")
    return Telemetry(source, tuple(kept), (_summary(source, Telemetry(source, tuple(kept))), *said))


def _without_position(sample: Sample) -> Sample:
    return Sample(sample.time_s, replace(sample.pose, latitude_deg=None, longitude_deg=None))


def _summary(source: str, telemetry: Telemetry) -> str:
    known = [_NAMES[name] for name in telemetry.known if name in _NAMES]
    if telemetry.span_s is None or not known:
        return f"{source} holds no telemetry that can be used"
    first, last = telemetry.span_s
    return f"telemetry from {source}: {len(telemetry.samples)} samples, {first:.1f} to {last:.1f} s: {', '.join(known)}"


def read_telemetry(path: Path, *, time_offset_s: float | None = None, rate_hz: float | None = None) -> Telemetry | None:
    """Read the telemetry of a video, or a file of telemetry.

    A video's is looked for beside it (the same name with ``.SRT``), then in it (a subtitle track; this needs PyAV).

    Args:
        path: A video, subtitles (``.srt``), or a table of text with any other suffix.
        time_offset_s: Time of the file's clock at which the video begins. None: 0, or for a log that states when
            the camera recorded, the first start of a recording.
        rate_hz: Rows a second of a table without a column of times.
    Returns:
        None if a video has none. If subtitles for people lie beside it, `Telemetry.known` is empty and a note says so.
    Raises:
        DataError: The file is missing, or holds nothing that can be used; says what was found and what is needed.
    """
    from fissura.geo.telemetry_csv import read_table
    from fissura.geo.telemetry_srt import read_embedded, read_subtitles

    if not path.is_file():
        kind = "is a folder, not a file" if path.is_dir() else "does not exist; check the path"
        raise DataError(f"telemetry {path} {kind}")
    if path.suffix.lower() == ".srt":
        return read_subtitles(path, time_offset_s=time_offset_s or 0.0)
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return read_table(path, time_offset_s=time_offset_s, rate_hz=rate_hz)
    offset_s = time_offset_s or 0.0
    beside = find_sidecar(path)
    if beside is None:
        return read_embedded(path, time_offset_s=offset_s)
    try:
        return read_subtitles(beside, video=path, time_offset_s=offset_s)
    except DataError as error:
        # Subtitles for people may lie beside a video, too: no reason to refuse it.
        found = read_embedded(path, time_offset_s=offset_s) or Telemetry(beside.name, ())
        return replace(found, notes=(f"not used: {error}", *found.notes))


def find_sidecar(video: Path) -> Path | None:
    """The subtitles beside a video: the same name, ``.srt`` in capital or small letters."""
    try:
        beside = sorted(p for p in video.parent.iterdir() if p.stem == video.stem and p.suffix.lower() == ".srt")
    except OSError:
        return None
    return beside[0] if beside else None
