"""Telemetry in DJI's subtitles, beside a video or in it, in the forms its drones have written over the years.

Modern, one entry a frame::

    FrameCnt: 1, DiffTime: 33ms
    2023-08-13 12:27:15.123
    [focal_len: 24.00] [latitude: 1.2] [longitude: 3.4] [rel_alt: 40.0 abs_alt: 61.0] [gb_yaw: 9 gb_pitch: -90]

Older, one entry a second::

    GPS(149.0251,-20.2533,16) BAROMETER:1.9                        (longitude, latitude, altitude)
    F/2.8, SS 206, GPS (120.35, 23.12, 26), D 499.16m, H 98.00m    (longitude, latitude, satellites)
    73.0013,19.1497,0                                              (longitude, latitude, altitude)
    GPS(36.6146,-6.1120,0.0M) BAROMETER:0.3M                       (latitude, longitude, altitude)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from fissura.errors import DataError
from fissura.geo.telemetry import Pose, Sample, Telemetry, build_telemetry

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_TIMES = re.compile(r"^\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})", re.MULTILINE)
_PAIR = re.compile(rf"([A-Za-z][A-Za-z_]*)\s*:\s*({_NUMBER})(?![\d/])")
_GPS = re.compile(rf"\b(?:GPS|RTK)\s*\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*(?:,\s*({_NUMBER})\s*([mM])?\s*)?\)")
_BARE = re.compile(rf"^\s*({_NUMBER})\s*,\s*({_NUMBER})\s*(?:,\s*({_NUMBER})\s*)?$", re.MULTILINE)
_HEIGHT = re.compile(rf"(?<![A-Za-z.])H\s*[:=]?\s*({_NUMBER})\s*m\b")
_GIMBAL = re.compile(rf"G\.PRY\s*\(\s*({_NUMBER})°?\s*,\s*({_NUMBER})°?\s*,\s*({_NUMBER})°?\s*\)")
_ZOOM = re.compile(rf"\bDZOOM\s+({_NUMBER})")
_CLOCK = re.compile(
    r"(\d{4})[-./](\d{1,2})[-./](\d{1,2})[ T]+(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d{1,6}))?(?:,(\d{1,3})\b)?"
)
_LATITUDE, _LONGITUDE = ("latitude", "lat"), ("longitude", "longtitude", "lon", "lng")
_RELATIVE, _ABSOLUTE = ("rel_alt", "relative_altitude", "barometer"), ("abs_alt", "absolute_altitude", "altitude")
_CAMERA_YAW, _AIRCRAFT_YAW = ("gb_yaw", "gimbal_yaw"), ("yaw", "drone_yaw", "heading")
_PITCH, _ROLL = ("gb_pitch", "gimbal_pitch"), ("gb_roll", "gimbal_roll")
_FRAME_COUNT = ("framecnt", "srtcnt")
_EXPECTED = "[latitude: …] [longitude: …] [rel_alt: …], or GPS(longitude, latitude, …)"
_DRIFT_S, _DRIFT_SHARE = 0.5, 0.002


@dataclass(frozen=True)
class Cue:
    """One subtitle: when it is shown, in seconds, and its text."""

    start_s: float
    text: str


def read_subtitles(path: Path, *, video: Path | None = None, time_offset_s: float = 0.0) -> Telemetry:
    """Telemetry of a subtitle file.

    Args:
        path: The ``.srt`` file.
        video: The video it belongs to: its frame rate corrects times that drift.
        time_offset_s: Time of the subtitles at which the video begins.
    Raises:
        DataError: It is no subtitle file, or no line of it can be used.
    """
    try:
        cues = parse_subtitles(_decode(path.read_bytes()))
    except OSError as error:
        raise DataError(f"subtitles {path} cannot be read ({error.strerror})") from error
    if not cues:
        raise DataError(f"{path.name} holds no subtitles (no line such as 00:00:01,000 --> 00:00:02,000)")
    return _telemetry(path.name, cues, video, time_offset_s)


def read_embedded(video: Path, *, time_offset_s: float = 0.0) -> Telemetry | None:
    """Telemetry in the subtitle track of a video; None if there is no such track, no PyAV, or no telemetry in it."""
    if find_spec("av") is None:
        return None
    from fissura.geo.telemetry_track import read_subtitle_tracks

    for cues in read_subtitle_tracks(video):
        try:
            # Their times are the file's own and do not drift.
            return _telemetry(f"the subtitles in {video.name}", cues, None, time_offset_s)
        except DataError:
            continue
    return None


def parse_subtitles(text: str) -> list[Cue]:
    r"""Subtitles of a file's text, in its order.

    >>> parse_subtitles("1\n00:00:01,500 --> 00:00:02,000\n7.5,50.1,0\n")
    [Cue(start_s=1.5, text='7.5,50.1,0')]
    """
    text = text.replace("\r\n", "\n")
    heads = list(_TIMES.finditer(text))
    cues = []
    for number, head in enumerate(heads):
        end = heads[number + 1].start() if number + 1 < len(heads) else len(text)
        hours, minutes, seconds, fraction = head.group(1, 2, 3, 4)
        start_s = int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000
        # What follows the times, less the number of the next subtitle.
        body = re.sub(r"\n\s*\d+\s*$", "", text[head.end() : end]) if end < len(text) else text[head.end() : end]
        cues.append(Cue(start_s, body.strip()))
    return cues


def parse_pose(text: str) -> Pose:
    """What one subtitle says; fields that it does not state are None.

    >>> parse_pose("GPS(149.0251,-20.2533,16) BAROMETER:1.9").relative_altitude_m
    1.9
    """
    text = re.sub(r"<[^>]*>", " ", text)
    pairs: dict[str, float] = {}
    for name, value in _PAIR.findall(text):
        pairs.setdefault(name.lower(), float(value))
    latitude, longitude, altitude = _position(text, pairs)
    gimbal, height = _GIMBAL.search(text), _HEIGHT.search(text)
    pitch, roll, yaw = (_first(pairs, names) for names in (_PITCH, _ROLL, _CAMERA_YAW))
    if gimbal:
        pitch, roll, yaw = float(gimbal[1]), float(gimbal[2]), float(gimbal[3])
    relative = _first(pairs, _RELATIVE)
    absolute = _first(pairs, _ABSOLUTE)
    return Pose(
        latitude_deg=latitude,
        longitude_deg=longitude,
        relative_altitude_m=float(height[1]) if relative is None and height else relative,
        absolute_altitude_m=altitude if absolute is None else absolute,
        yaw_deg=_first(pairs, _AIRCRAFT_YAW) if yaw is None else yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        focal_35mm=_focal(text, pairs),
        captured_at=_clock(text),
    )


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _telemetry(source: str, cues: Sequence[Cue], video: Path | None, time_offset_s: float) -> Telemetry:
    notes: list[str] = []
    times_s = _times(cues, video, notes)
    samples, empty = [], 0
    for cue, time_s in zip(cues, times_s, strict=True):
        pose = parse_pose(cue.text)
        if all(value is None for name, value in vars(pose).items() if name not in ("captured_at", "focal_35mm")):
            empty += 1
        else:
            samples.append(Sample(time_s - time_offset_s, pose))
    if not samples:
        shown = " ".join(cues[0].text.split())
        shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
        raise DataError(
            f"{source}: none of {len(cues)} subtitles holds telemetry; the first is “{shown}”, needed is {_EXPECTED}"
        )
    if empty:
        notes.append(f"{empty} of {len(cues)} subtitles hold no telemetry and were left out")
    samples = _without_constant_zero_altitude(samples)
    if _has_aircraft_yaw_only(cues):
        notes.append("the heading is the aircraft's: the camera's is not stated")
    return build_telemetry(source, samples, notes)


def _first(pairs: dict[str, float], names: Sequence[str]) -> float | None:
    return next((pairs[name] for name in names if name in pairs), None)


def _position(text: str, pairs: dict[str, float]) -> tuple[float | None, float | None, float | None]:
    """Latitude, longitude and, where stated with them, altitude."""
    latitude, longitude = _first(pairs, _LATITUDE), _first(pairs, _LONGITUDE)
    if latitude is not None and longitude is not None:
        return latitude, longitude, None
    found = _GPS.search(text)
    # The third number is an altitude with a unit, or beside a barometer; beside "H 40.0m" it counts satellites.
    unit = found[4] if found else None
    has_altitude = bool(found and (unit or "barometer" in pairs))
    if found is None:
        found, has_altitude = _BARE.search(text), True
    if found is None:
        return None, None, None
    longitude, latitude = float(found[1]), float(found[2])
    if unit == "M":  # the Matrice 300's form has latitude first
        latitude, longitude = longitude, latitude
    if abs(latitude) > 90 >= abs(longitude):
        latitude, longitude = longitude, latitude
    return latitude, longitude, float(found[3]) if has_altitude and found[3] else None


def _focal(text: str, pairs: dict[str, float]) -> float | None:
    """35-mm equivalent. Some firmware writes 240 for 24 mm, as it writes 280 for f/2.8."""
    focal = pairs.get("focal_len")
    if not focal or focal <= 0:
        return None
    if pairs.get("fnum", 0.0) >= 100:
        focal /= 10
    word = _ZOOM.search(text)
    zoom = float(word[1]) if word else pairs.get("dzoom_ratio", 1.0)
    zoom = zoom / 10_000 if zoom >= 1000 else zoom
    return focal * zoom if zoom >= 1 else focal


def _clock(text: str) -> datetime | None:
    found = _CLOCK.search(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.group(1, 2, 3, 4, 5, 6))
    # "15:26:33,418,302" are milliseconds and microseconds.
    fraction = ((found[7] or "") + (found[8] or "")).ljust(6, "0")[:6]
    try:
        return datetime(year, month, day, hour, minute, second, int(fraction))
    except ValueError:
        return None


def _without_constant_zero_altitude(samples: list[Sample]) -> list[Sample]:
    """An altitude that is 0 throughout is a number that the writer did not know."""
    if any(sample.pose.absolute_altitude_m for sample in samples):
        return samples
    return [Sample(s.time_s, replace(s.pose, absolute_altitude_m=None)) for s in samples]


def _has_aircraft_yaw_only(cues: Sequence[Cue]) -> bool:
    names = {name.lower() for name, _ in _PAIR.findall(cues[len(cues) // 2].text)}
    has_gimbal = bool(names & set(_CAMERA_YAW)) or "G.PRY" in cues[len(cues) // 2].text
    return bool(names & set(_AIRCRAFT_YAW)) and not has_gimbal


def _times(cues: Sequence[Cue], video: Path | None, notes: list[str]) -> list[float]:
    """Times of the subtitles, or of the frames they count where the subtitles' times drift away from them.

    Firmware that rounds 33.37 ms to 33 and adds it up is six seconds off after ten minutes.
    """
    plain = [cue.start_s for cue in cues]
    counts = [_first({n.lower(): float(v) for n, v in _PAIR.findall(cue.text)}, _FRAME_COUNT) for cue in cues]
    if video is None or len(cues) < 2 or None in counts or find_spec("av") is None:
        return plain
    from fissura.geo.telemetry_track import read_frame_rate

    rate, frames = read_frame_rate(video)
    numbers = [count for count in counts if count is not None]
    span = numbers[-1] - numbers[0]
    # Counters that count subtitles, not frames, say nothing about time.
    if not rate or not frames or abs(span + 1 - frames) > max(2, 0.02 * frames):
        return plain
    drift_s = (plain[-1] - plain[0]) - span / rate
    if abs(drift_s) <= max(_DRIFT_S, _DRIFT_SHARE * span / rate):
        return plain
    notes.append(f"the subtitles' times drift by {drift_s:+.1f} s; their frame numbers were used instead")
    return [(number - numbers[0]) / rate for number in numbers]
