"""Flight logs and tables: names, units, times, and what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fissura.errors import DataError, SettingsError
from fissura.geo.telemetry import Telemetry, read_telemetry
from fissura.geo.telemetry_csv import find_columns

AIRDATA = (
    "time(millisecond),datetime(utc),latitude,longitude,height_above_takeoff(feet),height_sonar(feet),"
    "altitude_above_seaLevel(feet), compass_heading(degrees), pitch(degrees), roll(degrees),isVideo,"
    "gimbal_heading(degrees),gimbal_pitch(degrees),altitude(feet)"
)


def airdata_row(n: int, is_video: int = 1) -> str:
    return (
        f"{n * 100},2026-05-01 10:00:{n // 10:02d},{50 + n / 1000},8.5,{100 + n},0,{2000 + n},{300 + n},2.9,8.4,"
        f"{is_video},{(359 + n) % 360},-89.9,{2000 + n}"
    )


def read(tmp_path: Path, text: str, name: str = "log.csv", **options: float) -> Telemetry:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8"))
    found = read_telemetry(path, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_airdata(tmp_path: Path) -> None:
    found = read(tmp_path, "\n".join([AIRDATA, *(airdata_row(n) for n in range(30))]))
    pose = found.at(0.25)
    assert pose.latitude_deg == pytest.approx(50.0025)
    assert pose.relative_altitude_m == pytest.approx(102.5 * 0.3048)
    assert pose.absolute_altitude_m == pytest.approx(2002.5 * 0.3048)
    assert pose.yaw_deg == pytest.approx(1.5)
    assert pose.pitch_deg == pytest.approx(-89.9)
    # 8.4 degrees is how the aircraft leans; the gimbal holds the camera level.
    assert pose.roll_deg is None
    assert pose.captured_at is not None and pose.captured_at.tzinfo is UTC
    used = next(note for note in found.notes if note.startswith("columns used"))
    assert "height_above_takeoff(feet)" in used and "compass_heading" not in used and "height_sonar" not in used


def test_the_video_begins_where_recording_began(tmp_path: Path) -> None:
    rows = [airdata_row(n, is_video=int(10 <= n < 20)) for n in range(30)]
    found = read(tmp_path, "\n".join([AIRDATA, *rows]))
    assert found.at(0.0).latitude_deg == pytest.approx(50.010)
    assert any("the video begins at 1.0 s of the log" in note for note in found.notes)
    shifted = read(tmp_path, "\n".join([AIRDATA, *rows]), time_offset_s=0.5)
    assert shifted.at(0.0).latitude_deg == pytest.approx(50.005)


def test_several_recordings_are_named(tmp_path: Path) -> None:
    rows = [airdata_row(n, is_video=int(5 <= n < 9 or 20 <= n)) for n in range(30)]
    found = read(tmp_path, "\n".join([AIRDATA, *rows]))
    assert found.at(0.0).latitude_deg == pytest.approx(50.005)
    assert any("2 recordings, beginning at 0.5, 2.0 s; the first was taken" in note for note in found.notes)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    text = "time_s,lat,lon,rel_alt,yaw,pitch,roll\n0,50.0,8.0,40,350,-90,1\n1,50.1,8.1,42,10,-80,3\n"
    pose = read(tmp_path, text).at(0.5)
    assert (pose.latitude_deg, pose.longitude_deg, pose.relative_altitude_m) == pytest.approx((50.05, 8.05, 41.0))
    assert pose.yaw_deg == pytest.approx(0.0, abs=1e-9)
    assert (pose.pitch_deg, pose.roll_deg) == pytest.approx((-85.0, 2.0))


def test_semicolons_with_decimal_commas_and_a_mark_of_byte_order(tmp_path: Path) -> None:
    text = "\ufefftime;latitude;longitude;height(ft)\n0,0;50,5;8,25;100\n1,0;50,7;8,45;200\n"
    pose = read(tmp_path, text).at(0.5)
    assert (pose.latitude_deg, pose.longitude_deg) == pytest.approx((50.6, 8.35))
    assert pose.relative_altitude_m == pytest.approx(150 * 0.3048)


def test_dji_log_reader(tmp_path: Path) -> None:
    text = (
        "sep=,\n"
        "CUSTOM.updateTime,OSD.latitude,OSD.longitude,OSD.height [m],OSD.yaw [360],GIMBAL.pitch,GIMBAL.yaw,"
        "CUSTOM.isVideo\n"
        "2026/05/01 10:00:00.000,50.0,8.0,40,10,-90,20,\n"
        "2026/05/01 10:00:01.500,50.1,8.1,41,10,-90,20,Recording\n"
        "2026/05/01 10:00:02.500,50.2,8.2,42,10,-90,22,Recording\n"
    )
    found = read(tmp_path, text)
    assert found.at(0.5).latitude_deg == pytest.approx(50.15)
    assert found.at(0.5).yaw_deg == pytest.approx(21.0)
    assert found.at(0.0).captured_at == datetime(2026, 5, 1, 10, 0, 1, 500_000)


def test_flight_reader_writes_the_time_of_flight_as_text_and_as_seconds(tmp_path: Path) -> None:
    text = "OSD.flyTime,OSD.flyTime [s],OSD.latitude,OSD.longitude,OSD.height [ft],CAMERA.isVideo,CAMERA.yaw\n"
    rows = [f"0m {n}.0s,{n}.0,5{n},8,100,{n >= 2},30\n" for n in range(5)]
    found = read(tmp_path, text + "".join(rows))
    assert found.at(0.5).latitude_deg == pytest.approx(52.5)
    assert found.at(0.5).yaw_deg == 30.0
    assert any("the video begins at 2.0 s" in note for note in found.notes)


def test_times_of_day_go_on_after_midnight(tmp_path: Path) -> None:
    times = ("23:59:58", "", "00:00:00.5", "00:00:00.0", "00:00:02", "23:59:59", "00:00:01")
    found = read(tmp_path, "time(utc),height\n" + "".join(f"{time},{n}\n" for n, time in enumerate(times)))
    assert [sample.time_s for sample in found.samples] == [0.0, 2.0, 2.5, 4.0, 86401.0, 86403.0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("time_ms", ("500", "1500")), ("timestamp(ms)", ("500", "1500")), ("Time (sec)", ("0.5", "1.5")),
        ("time(microseconds)", ("500000", "1500000")),
    ],
)  # fmt: skip
def test_units_of_time(tmp_path: Path, name: str, values: tuple[str, str]) -> None:
    found = read(tmp_path, f"{name},height_m\n{values[0]},10\n{values[1]},20\n")
    assert found.at(1.0).relative_altitude_m == pytest.approx(15.0)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("timestamp", ("1770000000.5", "1770000001.5")), ("timestamp", ("1770000000500", "1770000001500")),
        ("timestamp_ms", ("1770000000500", "1770000001500")),
        ("timestamp", ("2026-02-01T10:00:00Z", "2026-02-01T10:00:01Z")),
        ("datetime", ("2026-02-01 10:00:00.25", "2026-02-01 10:00:01.25")), ("time", ("23:59:58.5", "23:59:59.5")),
    ],
)  # fmt: skip
def test_clock_times_count_from_the_first_row(tmp_path: Path, name: str, values: tuple[str, str]) -> None:
    found = read(tmp_path, f"{name},height_m\n{values[0]},10\n{values[1]},20\n")
    assert found.span_s == pytest.approx((0.0, 1.0))
    assert found.at(0.5).relative_altitude_m == pytest.approx(15.0)


def test_rows_without_times_need_a_rate(tmp_path: Path) -> None:
    text = ",latitude,longitude, compass_heading(degrees)\n" + "".join(f"{n},50.{n},8.0,{n}\n" for n in range(5))
    with pytest.raises(DataError, match=r"no column of times; it has one without a name, latitude.*give rate_hz"):
        read(tmp_path, text)
    found = read(tmp_path, text, rate_hz=10)
    assert found.at(0.1).latitude_deg == pytest.approx(50.1)
    assert any("heading is the aircraft's (compass_heading(degrees))" in note for note in found.notes)
    with pytest.raises(SettingsError, match="above 0"):
        read(tmp_path, text, rate_hz=0)


def test_broken_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "time,latitude,longitude,height\n0,50,8,40\n1,n/a,,\nx,50,8,40\n2,50,8,nan\n3\n4,50,8,44\n"
    found = read(tmp_path, text)
    assert [sample.time_s for sample in found.samples] == [0.0, 2.0, 4.0]
    assert found.at(2.0).relative_altitude_m == pytest.approx(42.0)
    assert any("3 of 6 rows hold no time or no numbers" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("battery,satellites\n80,12\n", r"no column of telemetry; it has battery, satellites, needed are time_s"),
        ("time,latitude,longitude\n", "no rows"),
        ("time,latitude,longitude\n0,-,-\n1,-,-\n", "none of its 2 rows holds numbers under time, latitude"),
        ("time,height(furlong)\n0,1\n", "no column of telemetry"),
        ("\0\1\2\3" * 10, "no table of text"),
        ('time,latitude,longitude\n0,"48,9\n' + "1,48,9\n" * 30_000, "quotation mark that is not closed"),
        ('"' + "x" * 140_000, "quotation mark that is not closed"),
    ],
)
def test_useless_tables_say_what_they_hold_and_what_is_needed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_units_that_are_not_understood_are_noted(tmp_path: Path) -> None:
    found = read(tmp_path, "time,latitude,longitude,height(furlong)\n0,50,8,1\n1,50,8,1\n")
    assert found.at(0.0).relative_altitude_m is None
    assert any("height(furlong) was not used: its unit furlong" in note for note in found.notes)


def test_the_best_of_several_columns_is_used() -> None:
    columns = find_columns(
        ["Altitude (m)", "height", "height_above_takeoff(m)", "gps_altitude", "absolute_altitude_ft"], []
    )
    assert columns["relative_altitude_m"].name == "height_above_takeoff(m)"
    assert (columns["absolute_altitude_m"].name, columns["absolute_altitude_m"].factor) == (
        "absolute_altitude_ft",
        0.3048,
    )


def test_other_suffixes_and_tabs(tmp_path: Path) -> None:
    found = read(tmp_path, "time\tlat\tlng\n0\t50\t8\n1\t51\t9\n", name="log.tsv")
    assert found.at(0.5).longitude_deg == pytest.approx(8.5)
