"""Telemetry in tables: flight logs as Airdata, Litchi and DJI log readers export them, or a table of one's own.

Columns are found by their usual names; units are read from the name: ``height_above_takeoff(feet)``,
``OSD.height [m]``, ``time_ms``. Metres, degrees and seconds where none is stated.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fissura.errors import DataError, SettingsError
from fissura.geo.telemetry import Pose, Sample, Telemetry, build_telemetry

_LENGTHS = dict.fromkeys(("", "m", "meter", "meters", "metre", "metres"), 1.0) | dict.fromkeys(
    ("ft", "feet", "foot"), 0.3048
)
_ANGLES = dict.fromkeys(("", "deg", "degree", "degrees", "°", "360"), 1.0) | dict.fromkeys(
    ("rad", "radians"), math.degrees(1)
)
_TIMES = (
    dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0)
    | dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3)
    | dict.fromkeys(("us", "microsecond", "microseconds"), 1e-6)
)
_SUFFIX_UNITS = {"m", "ft", "feet", "meters", "deg", "degrees", "rad", "s", "sec", "seconds", "ms", "us", "mm", "utc"}
"""Units that are recognised without brackets: ``height_ft``."""
_NAMES: dict[str, tuple[str, ...]] = {
    "time": ("time", "elapsedtime", "flytime", "flighttime", "videotime", "timestamp", "offset", "t", "seconds"),
    "clock": ("datetime", "updatetime", "utctime", "gpstime", "date/time", "capturedat", "timestamp", "time"),
    "latitude_deg": ("latitude", "lat", "gpslatitude", "gpslat", "dronelatitude", "aircraftlatitude"),
    "longitude_deg": (
        "longitude", "longtitude", "lon", "lng", "long", "gpslongitude", "gpslon", "dronelongitude",
        "aircraftlongitude",
    ),
    "relative_altitude_m": (
        "heightabovetakeoff", "altitudeabovetakeoff", "relativealtitude", "relalt", "heightabovehome", "height",
        "heightaboveground", "heightabovegroundatdronelocation", "agl",
    ),
    "absolute_altitude_m": (
        "altitudeabovesealevel", "altitudeabovemsl", "absolutealtitude", "absalt", "amsl", "msl", "gpsaltitude",
        "altitude", "alt", "elevation",
    ),
    "camera_yaw": ("gimbalheading", "gimbalyaw", "gbyaw", "camerayaw", "cameraheading"),
    "aircraft_yaw": ("compassheading", "heading", "yaw", "droneyaw", "flightyaw", "aircraftheading", "aircraftyaw"),
    "pitch_deg": ("gimbalpitch", "gbpitch", "camerapitch"),
    "roll_deg": ("gimbalroll", "gbroll", "cameraroll"),
    "aircraft_pitch": ("pitch",),
    "aircraft_roll": ("roll",),
    "focal_35mm": ("focal35mm", "focallength35mm", "focallengthin35mm"),
    "is_video": ("isvideo", "isrecording", "recording", "cameraisvideo", "cameraisrecording"),
}  # fmt: skip
_USABLE = ("latitude_deg", "relative_altitude_m", "absolute_altitude_m", "camera_yaw", "aircraft_yaw", "pitch_deg")
_NEEDED = (
    "time_s (or timestamp, datetime), and of latitude, longitude, height_above_takeoff, altitude, heading, "
    "gimbal_heading, gimbal_pitch those that are known; units as in height(feet)"
)
_DATE_FORMATS = (
    "%Y/%m/%d %H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%H:%M:%S.%f",
    "%H:%M:%S",
)
_HEAD_WITHIN = 20


@dataclass(frozen=True)
class Column:
    """A column that is used: its place, name and factor to our unit."""

    place: int
    name: str
    factor: float


def read_table(path: Path, *, time_offset_s: float | None = None, rate_hz: float | None = None) -> Telemetry:
    """Telemetry of a table.

    Args:
        path: The file; commas, semicolons or tabs between columns.
        time_offset_s: The log's time, in seconds, at which the video begins. None: the first start of a recording if
            the log states it, else 0. Clock times count from the first row.
        rate_hz: Rows a second where there is no column of times.
    Raises:
        DataError: No usable columns or rows; says what was found and what is needed.
        SettingsError: ``rate_hz`` is not above 0.
    """
    if rate_hz is not None and not rate_hz > 0:
        raise SettingsError(f"rate_hz is {rate_hz:g}; give rows a second, above 0")
    notes: list[str] = []
    header, rows, decimal = _read_rows(path)
    columns = find_columns(header, notes)
    if not any(name in columns for name in _USABLE):
        raise DataError(f"{path.name} has no column of telemetry; it has {_listed(header)}, needed are {_NEEDED}")
    table = _Table(columns, rows, decimal)
    times_s = table.times_s(path.name, header, rate_hz)
    offset_s = _video_start(table, times_s, notes) if time_offset_s is None else time_offset_s
    samples, skipped = [], 0
    for number, time_s in enumerate(times_s):
        pose = table.pose(number)
        if time_s is None or all(value is None for name, value in vars(pose).items() if name != "captured_at"):
            skipped += 1
        else:
            samples.append(Sample(time_s - offset_s, pose))
    if not samples:
        raise DataError(f"{path.name}: none of its {len(rows)} rows holds numbers under {_listed(_used(columns))}")
    if skipped:
        notes.append(f"{skipped} of {len(rows)} rows hold no time or no numbers and were left out")
    notes.append(f"columns used: {', '.join(_used(columns))}")
    return build_telemetry(path.name, samples, notes)


def find_columns(header: Sequence[str], notes: list[str]) -> dict[str, Column]:
    """Columns by what they mean. Camera angles come before the aircraft's, and of two columns of
    one name the one with a unit: Flight Reader writes ``OSD.flyTime`` as text before ``OSD.flyTime [s]``.

    >>> find_columns(["time(millisecond)", "height_above_takeoff(feet)"], [])["relative_altitude_m"]
    Column(place=1, name='height_above_takeoff(feet)', factor=0.3048)
    """
    parsed = [(place, *_parse_name(name)) for place, name in enumerate(header)]
    parsed.sort(key=lambda column: not column[2])
    columns: dict[str, Column] = {}
    for meaning, names in _NAMES.items():
        units = _units_of(meaning)
        for wanted in names:
            for place, key, unit in parsed:
                if key != wanted or meaning in columns:
                    continue
                if units is None or unit in units:
                    columns[meaning] = Column(place, header[place].strip(), units[unit] if units else 1.0)
                elif meaning in _USABLE:
                    notes.append(f"column {header[place].strip()} was not used: its unit {unit} is not understood")
    if "camera_yaw" in columns:
        columns.pop("aircraft_yaw", None)
    elif "aircraft_yaw" in columns:
        notes.append(f"the heading is the aircraft's ({columns['aircraft_yaw'].name}): the camera's is not stated")
    _choose_pitch(columns, notes)
    return columns


def _units_of(meaning: str) -> Mapping[str, float] | None:
    """Units a column may have, and their factors to ours; None if it has none."""
    if meaning.endswith("altitude_m"):
        return _LENGTHS
    if meaning.endswith(("_deg", "_yaw", "_pitch", "_roll")):
        return _ANGLES
    return _TIMES if meaning == "time" else None


def _choose_pitch(columns: dict[str, Column], notes: list[str]) -> None:
    """Plain "pitch" and "roll" are the aircraft's wherever a gimbal or a compass is spoken of, else the camera's."""
    is_log = any(
        "gimbal" in column.name.lower() or "compass" in column.name.lower() for column in columns.values()
    ) or any(name in columns for name in ("pitch_deg", "camera_yaw", "is_video"))
    for ours, plain in (("pitch_deg", "aircraft_pitch"), ("roll_deg", "aircraft_roll")):
        column = columns.pop(plain, None)
        if column is not None and not is_log and ours not in columns:
            columns[ours] = column
            notes.append(f"{column.name} is taken for the camera's")


def _parse_name(name: str) -> tuple[str, str]:
    """Key (letters and digits) and unit of a column's name."""
    text = name.strip().strip("\ufeff").lower()
    unit = ""
    bracketed = re.fullmatch(r"(.*?)\s*[\(\[]\s*([^\)\]]*?)\s*[\)\]]", text)
    if bracketed:
        text, unit = bracketed[1], bracketed[2]
    else:
        stem, _, last = text.rpartition("_")
        if stem and last in _SUFFIX_UNITS:
            text, unit = stem, last
    text = re.sub(r"^(osd|custom|calc|basic)\.", "", text)
    return re.sub(r"[^a-z0-9/]", "", text), unit


def _read_rows(path: Path) -> tuple[list[str], list[list[str]], str]:
    """Names of the columns, rows, and the decimal sign."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"telemetry {path} cannot be read ({error.strerror})") from error
    if not data.strip():
        raise DataError(f"{path.name} is empty; export the log again")
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path.name} is no table of text; export the log as CSV, for example with airdata.com")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    lines = data.decode(encoding, errors="replace").splitlines()
    for number, line in enumerate(lines[:_HEAD_WITHIN]):
        separator = max(",;\t", key=line.count)
        header = _split([line], separator, path)[0]
        if any(name in find_columns(header, []) for name in _USABLE):
            rows = [row for row in _split(lines[number + 1 :], separator, path) if any(map(str.strip, row))]
            if not rows:
                raise DataError(f"{path.name} holds the names of columns but no rows; export the log again")
            return header, rows, "," if separator == ";" else "."
    first = next(line for line in lines if line.strip())
    separator = max(",;\t", key=first.count)
    return _split([first], separator, path)[0], [], "."


def _split(lines: Sequence[str], separator: str, path: Path) -> list[list[str]]:
    """The cells of lines.

    Raises:
        DataError: They are no table.
    """
    try:
        return list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise DataError(f"{path.name} is no table ({error}); look for a quotation mark that is not closed") from error


@dataclass(frozen=True)
class _Table:
    columns: Mapping[str, Column]
    rows: Sequence[Sequence[str]]
    decimal: str

    def text(self, row: int, meaning: str) -> str:
        column = self.columns.get(meaning)
        values = self.rows[row]
        return values[column.place].strip() if column is not None and column.place < len(values) else ""

    def number(self, row: int, meaning: str) -> float | None:
        text = self.text(row, meaning)
        if self.decimal == ",":
            text = text.replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            return None
        return value * self.columns[meaning].factor if math.isfinite(value) else None

    def clock(self, row: int) -> datetime | None:
        column = self.columns.get("clock")
        if column is None:
            return None
        return _parse_clock(self.text(row, "clock"), is_utc="utc" in column.name.lower())

    def pose(self, row: int) -> Pose:
        yaw = self.number(row, "camera_yaw" if "camera_yaw" in self.columns else "aircraft_yaw")
        focal = self.number(row, "focal_35mm")
        clock = self.clock(row)
        return Pose(
            latitude_deg=self.number(row, "latitude_deg"),
            longitude_deg=self.number(row, "longitude_deg"),
            relative_altitude_m=self.number(row, "relative_altitude_m"),
            absolute_altitude_m=self.number(row, "absolute_altitude_m"),
            yaw_deg=yaw,
            pitch_deg=self.number(row, "pitch_deg"),
            roll_deg=self.number(row, "roll_deg"),
            focal_35mm=focal if focal and focal > 0 else None,
            # A time of day without a date stands for no moment.
            captured_at=clock if clock is not None and clock.year > 1900 else None,
        )

    def times_s(self, name: str, header: Sequence[str], rate_hz: float | None) -> list[float | None]:
        """Seconds of each row: a column of seconds, clock times, or the rows' numbers."""
        numbers = range(len(self.rows))
        if "time" in self.columns:
            # Factors are for seconds since the start; clocks are recognised by their size below.
            seconds = [self.number(row, "time") for row in numbers]
            if any(value is not None for value in seconds):
                return _since_first(seconds)
        clocks = _past_midnight([self.clock(row) for row in numbers])
        if any(clocks):
            return _since_first([None if c is None else _seconds_of(c) for c in clocks], always=True)
        if rate_hz is None:
            raise DataError(
                f"{name} has no column of times; it has {_listed(header)}. Add one (time_s, timestamp or datetime), or "
                "give rate_hz, the rows a second (airdata.com exports 10)"
            )
        return [row / rate_hz for row in numbers]


def _since_first(seconds: Sequence[float | None], *, always: bool = False) -> list[float | None]:
    """Seconds since the first row where they are clock times (epochs, in s, ms or µs)."""
    first = next(value for value in seconds if value is not None)
    scale = 1e-6 if abs(first) > 1e14 else 1e-3 if abs(first) > 1e11 else 1.0
    if not always and abs(first) < 1e8:
        return list(seconds)
    return [None if value is None else (value - first) * scale for value in seconds]


def _parse_clock(text: str, *, is_utc: bool) -> datetime | None:
    if not text or re.fullmatch(r"[+-]?[\d.]+", text):
        return None
    moment = None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        for form in _DATE_FORMATS:
            try:
                moment = datetime.strptime(text, form)
                break
            except ValueError:
                continue
    return moment.replace(tzinfo=UTC) if moment is not None and is_utc and moment.tzinfo is None else moment


def _past_midnight(clocks: Sequence[datetime | None]) -> list[datetime | None]:
    """Clock times of which those without a date go on after midnight: each jump back is a day later."""
    found: list[datetime | None] = []
    days, before = timedelta(0), None
    for clock in clocks:
        if clock is None or clock.year > 1900:
            found.append(clock)
            continue
        if before is not None and before - clock > timedelta(hours=12):
            days += timedelta(days=1)
        before = clock
        found.append(clock + days)
    return found


def _seconds_of(moment: datetime) -> float:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - datetime(1900, 1, 1, tzinfo=UTC)).total_seconds()


def _video_start(table: _Table, times_s: Sequence[float | None], notes: list[str]) -> float:
    """Time of the first row at which the camera began to record; 0 if the log does not say."""
    if "is_video" not in table.columns:
        return 0.0
    starts, before = [], False
    for row, time_s in enumerate(times_s):
        now = table.text(row, "is_video").lower() in ("1", "true", "yes", "recording", "starting")
        if now and not before and time_s is not None:
            starts.append(time_s)
        before = now
    if not starts:
        return 0.0
    if len(starts) > 1:
        shown = ", ".join(f"{start:.1f}" for start in starts[:6]) + (", …" if len(starts) > 6 else "")
        notes.append(
            f"the log holds {len(starts)} recordings, beginning at {shown} s; the first was taken for this video: "
            "give the time offset of the right one"
        )
    else:
        notes.append(f"the video begins at {starts[0]:.1f} s of the log, where it says that recording began")
    return starts[0]


def _used(columns: Mapping[str, Column]) -> list[str]:
    return list(dict.fromkeys(column.name for column in columns.values()))


def _listed(names: Iterable[str]) -> str:
    shown = [name.strip() or "one without a name" for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")
