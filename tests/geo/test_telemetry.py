"""Poses over time: interpolation, subtitles beside and in a video, and their dialects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fissura.errors import DataError
from fissura.geo.telemetry import Pose, Sample, Telemetry, build_telemetry, find_sidecar, read_telemetry
from fissura.geo.telemetry_srt import Cue, parse_pose, parse_subtitles


def telemetry(*poses: tuple[float, Pose]) -> Telemetry:
    return build_telemetry("a.srt", [Sample(time_s, pose) for time_s, pose in poses])


# Interpolation


def test_positions_and_heights_are_linear() -> None:
    found = telemetry(
        (0.0, Pose(latitude_deg=50.0, longitude_deg=8.0, relative_altitude_m=40.0, absolute_altitude_m=140.0)),
        (2.0, Pose(latitude_deg=50.2, longitude_deg=8.4, relative_altitude_m=44.0, absolute_altitude_m=144.0)),
    ).at(0.5)
    assert (found.latitude_deg, found.longitude_deg) == pytest.approx((50.05, 8.1))
    assert (found.relative_altitude_m, found.absolute_altitude_m) == pytest.approx((41.0, 141.0))
    assert found.yaw_deg is found.pitch_deg is found.roll_deg is found.focal_35mm is found.captured_at is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(350.0, 10.0, 0.0), (10.0, 350.0, 0.0), (-170.0, 170.0, 180.0), (90.0, 180.0, 135.0), (-90.0, -80.0, 275.0)],
)
def test_headings_take_the_shorter_way(first: float, second: float, expected: float) -> None:
    found = telemetry((0.0, Pose(yaw_deg=first)), (1.0, Pose(yaw_deg=second))).at(0.5)
    assert found.yaw_deg is not None and 0 <= found.yaw_deg < 360
    assert abs((found.yaw_deg - expected + 180) % 360 - 180) < 1e-9


def test_pitch_and_roll_keep_their_signs() -> None:
    found = telemetry((0.0, Pose(pitch_deg=-90.0, roll_deg=-4.0)), (1.0, Pose(pitch_deg=-60.0, roll_deg=2.0))).at(0.5)
    assert (found.pitch_deg, found.roll_deg) == pytest.approx((-75.0, -1.0))


def test_longitude_crosses_the_date_line() -> None:
    first, second = Pose(latitude_deg=0.5, longitude_deg=179.9), Pose(latitude_deg=0.5, longitude_deg=-179.7)
    found = telemetry((0.0, first), (1.0, second)).at(0.75)
    assert found.longitude_deg == pytest.approx(-179.8)


def test_outside_values_are_kept_for_a_second_only() -> None:
    found = telemetry((10.0, Pose(relative_altitude_m=40.0)), (12.0, Pose(relative_altitude_m=50.0)))
    assert [found.at(t).relative_altitude_m for t in (8.9, 9.1, 12.9, 13.1)] == [None, 40.0, 50.0, None]
    assert found.at(float("nan")).relative_altitude_m is None


def test_long_gaps_are_not_filled() -> None:
    found = telemetry((0.0, Pose(relative_altitude_m=40.0)), (20.0, Pose(relative_altitude_m=60.0)))
    assert [found.at(t).relative_altitude_m for t in (0.8, 10.0, 19.5)] == [40.0, None, 60.0]


def test_each_field_has_its_own_samples() -> None:
    found = telemetry(
        (0.0, Pose(yaw_deg=10.0)), (1.0, Pose(relative_altitude_m=40.0)), (2.0, Pose(yaw_deg=30.0)),
        (3.0, Pose(relative_altitude_m=44.0)),
    )  # fmt: skip
    assert found.at(1.0).yaw_deg == pytest.approx(20.0)
    assert found.at(2.0).relative_altitude_m == pytest.approx(42.0)
    assert found.known == ("relative_altitude_m", "yaw_deg")


def test_focal_lengths_step_and_have_a_median() -> None:
    found = telemetry(*((float(t), Pose(focal_35mm=24.0 if t < 3 else 48.0)) for t in range(5)))
    assert [found.at(t).focal_35mm for t in (2.4, 2.6)] == [24.0, 48.0]
    assert found.focal_35mm == 24.0
    assert telemetry((0.0, Pose(yaw_deg=1.0))).focal_35mm is None


@pytest.mark.parametrize("zone", [None, UTC])
def test_clock_times_go_on_between_samples(zone: object) -> None:
    start = datetime(2026, 3, 29, 1, 59, 59, 500_000, tzinfo=zone)  # type: ignore[arg-type]
    found = telemetry((0.0, Pose(captured_at=start)), (2.0, Pose(captured_at=start + timedelta(seconds=2))))
    assert found.at(1.25).captured_at == start + timedelta(seconds=1.25)


def test_impossible_positions_are_left_out_and_counted() -> None:
    found = telemetry(
        (0.0, Pose(latitude_deg=0.0, longitude_deg=0.0, relative_altitude_m=5.0)),
        (1.0, Pose(latitude_deg=95.0, longitude_deg=8.0, relative_altitude_m=6.0)),
        (2.0, Pose(latitude_deg=50.0, longitude_deg=None, relative_altitude_m=7.0)),
        (3.0, Pose(latitude_deg=0.0, longitude_deg=8.0, relative_altitude_m=8.0)),
    )
    assert found.at(0.0).latitude_deg is None and found.at(0.0).relative_altitude_m == 5.0
    assert found.at(1.5).latitude_deg is None
    assert (found.at(3.0).latitude_deg, found.at(3.0).longitude_deg) == (0.0, 8.0)
    assert "1 positions are exactly 0, 0" in " ".join(found.notes)
    assert "1 positions are not on the globe" in " ".join(found.notes)


def test_disordered_and_double_times() -> None:
    found = telemetry(*((t, Pose(relative_altitude_m=10 * t)) for t in (2.0, 0.0, 1.0, 1.0)))
    assert [sample.time_s for sample in found.samples] == [0.0, 1.0, 2.0]
    assert found.at(1.5).relative_altitude_m == pytest.approx(15.0)
    assert "samples were sorted" in " ".join(found.notes)
    assert "1 samples share their time" in " ".join(found.notes)


# Dialects

MODERN = """<font size="28">FrameCnt: 7, DiffTime: 33ms
2023-08-13 12:27:15.123
[iso: 100] [shutter: 1/2500.0] [fnum: 1.7] [ev: 0] [color_md: default] [focal_len: 24.00] [dzoom_ratio: 2.00],
[latitude: 48.137100] [longitude: -11.575400] [rel_alt: 40.100 abs_alt: 559.300] [ct: 5100]
[gb_yaw: -35.1 gb_pitch: -89.9 gb_roll: 0.5] </font>"""
SPACED = """<font size="36">SrtCnt : 2, DiffTime : 34ms
2021-07-05 15:26:33,418,302
[iso : 110] [shutter : 1/60.0] [fnum : 280] [ev : 0] [ct : 5500] [color_md : default] [focal_len : 240]
[latitude : 33.630000] [longtitude : -117.710000] [altitude: 150.123001] </font>"""
MAVIC_PRO = """HOME(149.0250,-20.2532) 2017.08.05 14:11:51
GPS(149.0251,-20.2533,16) BAROMETER:1.9
ISO:100 Shutter:60 EV: Fnum:2.2"""
PHANTOM = "F/2.8, SS 206.14, ISO 150, EV 0, GPS (-122.3699, 37.5653, 15), D 224.33m, H 39.60m, H.S 3.13m/s, V.S 0.00m/s"
RTK = """F/3.5, SS 1250, ISO 100, EV +0.7, RTK (120.083799, 30.204189, 25), HOME (120.08, 30.2, 103.55m), D 6.77m,
H 0.50m, H.S 0.00m/s, V.S 0.00m/s, F.PRY (5.3°, 2.1°, 28.3°), G.PRY (-40.0°, 0.1°, 28.2°)"""


def test_modern_brackets() -> None:
    found = parse_pose(MODERN)
    assert (found.latitude_deg, found.longitude_deg) == (48.1371, -11.5754)
    assert (found.relative_altitude_m, found.absolute_altitude_m) == (40.1, 559.3)
    assert (found.yaw_deg, found.pitch_deg, found.roll_deg) == (-35.1, -89.9, 0.5)
    assert found.focal_35mm == 48.0
    assert found.captured_at == datetime(2023, 8, 13, 12, 27, 15, 123_000)


def test_spaced_brackets_with_a_misspelt_longitude_and_tenfold_focal_length() -> None:
    found = parse_pose(SPACED)
    assert (found.latitude_deg, found.longitude_deg) == (33.63, -117.71)
    assert (found.relative_altitude_m, found.absolute_altitude_m) == (None, 150.123001)
    assert found.focal_35mm == 24.0
    assert found.captured_at == datetime(2021, 7, 5, 15, 26, 33, 418_302)


@pytest.mark.parametrize(
    ("text", "focal"),
    [
        ("[fnum: 2.8] [focal_len: 240.00]", 240.0),
        ("[fnum : 280] [focal_len : 240] [dzoom_ratio: 10000, delta:0]", 24.0),
        ("[fnum : 280] [focal_len : 240] [dzoom_ratio: 15000, delta:0]", 36.0),
        ("[focal_len: 0.00]", None),
        ("[fnum: 2.8]", None),
    ],
)
def test_focal_lengths(text: str, focal: float | None) -> None:
    assert parse_pose(text).focal_35mm == focal


def test_mavic_pro() -> None:
    found = parse_pose(MAVIC_PRO)
    assert (found.latitude_deg, found.longitude_deg) == (-20.2533, 149.0251)
    assert (found.relative_altitude_m, found.absolute_altitude_m) == (1.9, 16.0)
    assert found.captured_at == datetime(2017, 8, 5, 14, 11, 51)


def test_phantom_counts_satellites_third() -> None:
    found = parse_pose(PHANTOM)
    assert (found.latitude_deg, found.longitude_deg) == (37.5653, -122.3699)
    assert (found.relative_altitude_m, found.absolute_altitude_m) == (39.6, None)


def test_rtk_with_gimbal_angles() -> None:
    found = parse_pose(RTK)
    assert (found.latitude_deg, found.longitude_deg, found.relative_altitude_m) == (30.204189, 120.083799, 0.5)
    assert (found.pitch_deg, found.roll_deg, found.yaw_deg) == (-40.0, 0.1, 28.2)


def test_bare_numbers_are_longitude_latitude_altitude() -> None:
    found = parse_pose("73.00135763743417,19.149798647687,12.5")
    assert (found.latitude_deg, found.longitude_deg) == (19.149798647687, 73.00135763743417)
    assert found.absolute_altitude_m == 12.5


def test_swapped_order_is_put_right_where_it_shows() -> None:
    found = parse_pose("GPS(33.5,-117.7,16) BAROMETER:1.9")
    assert (found.latitude_deg, found.longitude_deg) == (33.5, -117.7)


def test_matrice_300_has_latitude_first_and_a_capital_unit() -> None:
    found = parse_pose("GPS(36.6146,-6.1120,12.5M) BAROMETER:0.3M\nISO:100 Shutter:60 EV: Fnum:2.2")
    assert (found.latitude_deg, found.longitude_deg) == (36.6146, -6.112)
    assert (found.relative_altitude_m, found.absolute_altitude_m) == (0.3, 12.5)


@pytest.mark.parametrize("text", ["Thank you for flying with us!", "12:30 and 14:45", "", "[iso: 100] [ev: 0]"])
def test_other_texts_hold_no_pose(text: str) -> None:
    assert parse_pose(text) == Pose()


def test_subtitle_times_and_bodies() -> None:
    first = "1\n00:00:00,100 --> 00:00:00,200\n1.5,2.5,0\n"
    text = f"\ufeff{first}\n2\n01:02:03.04 --> 01:02:04.000\nline\nmore\n"
    cues = [Cue(0.1, "1.5,2.5,0"), Cue(3723.04, "line\nmore")]
    assert parse_subtitles(text) == parse_subtitles(text.replace("\n", "\r\n")) == cues


# Files


def stamp(seconds: float) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{thousandths:03d}"


def write_srt(path: Path, bodies: list[str], *, step_s: float = 1.0, encoding: str = "utf-8") -> Path:
    blocks = [f"{n + 1}\n{stamp(n * step_s)} --> {stamp((n + 1) * step_s)}\n{body}\n" for n, body in enumerate(bodies)]
    path.write_text("\n".join(blocks), encoding=encoding)
    return path


def modern(n: int, frame: int | None = None) -> str:
    head = "" if frame is None else f"FrameCnt: {frame}, DiffTime: 33ms\n"
    return f"{head}[latitude: {50 + n / 1000:.6f}] [longitude: 8.5] [rel_alt: {40 + n}.0 abs_alt: 161.0]"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_subtitle_file(tmp_path: Path, encoding: str) -> None:
    found = read_telemetry(write_srt(tmp_path / "a.srt", [modern(n) for n in range(4)], encoding=encoding))
    assert found is not None
    assert found.at(1.5).latitude_deg == pytest.approx(50.0015)
    assert found.at(1.5).relative_altitude_m == pytest.approx(41.5)
    assert found.notes[0].startswith("telemetry from a.srt: 4 samples, 0.0 to 3.0 s: position, height above take-off")


def test_time_offset(tmp_path: Path) -> None:
    found = read_telemetry(write_srt(tmp_path / "a.srt", [modern(n) for n in range(4)]), time_offset_s=2.0)
    assert found is not None and found.at(0.0).relative_altitude_m == 42.0


def test_lines_without_telemetry_and_zero_altitudes(tmp_path: Path) -> None:
    bodies = ["8.5,50.1,0", "welcome", "8.6,50.2,0", "0.0,0.0,0"]
    found = read_telemetry(write_srt(tmp_path / "a.srt", bodies))
    assert found is not None
    assert "1 of 4 subtitles hold no telemetry" in " ".join(found.notes)
    assert "1 positions are exactly 0, 0" in " ".join(found.notes)
    assert found.at(0.0).absolute_altitude_m is None
    assert found.at(2.5).latitude_deg == 50.2


def test_aircraft_heading_is_said_to_be_that(tmp_path: Path) -> None:
    body = "[latitude: 50.1] [longitude: 8.5] [Drone: Yaw:72.5, Pitch:3.0]"
    found = read_telemetry(write_srt(tmp_path / "a.srt", [body, body]))
    assert found is not None and found.at(0.0).yaw_deg == 72.5
    assert found.at(0.0).pitch_deg is None
    assert any("heading is the aircraft's" in note for note in found.notes)


def test_unusable_subtitles_say_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of 2 subtitles holds telemetry; the first is “hello there”.*\[latitude"):
        read_telemetry(write_srt(tmp_path / "a.srt", ["hello there", "bye"]))
    (tmp_path / "b.srt").write_text("just text")
    with pytest.raises(DataError, match=r"b\.srt holds no subtitles"):
        read_telemetry(tmp_path / "b.srt")
    with pytest.raises(DataError, match="does not exist"):
        read_telemetry(tmp_path / "c.srt")
    with pytest.raises(DataError, match="is a folder"):
        read_telemetry(tmp_path)


# Videos


def write_video(path: Path, subtitles: list[str] | None = None, *, frames: int = 60, step_s: float = 0.1) -> Path:
    """A small video at 30000/1001 frames a second, with a subtitle track as DJI embeds it if texts are given."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=Fraction(30000, 1001), options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if subtitles is not None:
            track = file.add_stream("mov_text")
            track.time_base = Fraction(1, 1000)
            track.codec_context.subtitle_header = b"[Script Info]\n[V4+ Styles]\n[Events]\n"
        for _ in range(frames):
            file.mux(video.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "rgb24")))
        file.mux(video.encode())
        for number, text in enumerate(subtitles or []):
            data = text.encode()
            packet = av.Packet(len(data).to_bytes(2, "big") + data)
            packet.stream, packet.time_base = track, Fraction(1, 1000)
            packet.pts = packet.dts = round(number * step_s * 1000)
            packet.duration = round(step_s * 1000)
            file.mux(packet)
    return path


def test_subtitles_embedded_in_a_video(tmp_path: Path) -> None:
    found = read_telemetry(write_video(tmp_path / "DJI_0001.MP4", [modern(n, n + 1) for n in range(8)]))
    assert found is not None
    assert found.source == "the subtitles in DJI_0001.MP4"
    assert len(found.samples) == 8
    assert found.at(0.25).relative_altitude_m == pytest.approx(42.5)


@pytest.mark.parametrize("suffix", [".SRT", ".srt", ".Srt"])
def test_subtitles_beside_a_video_come_first(tmp_path: Path, suffix: str) -> None:
    video = write_video(tmp_path / "DJI_0001.MP4", [modern(50)])
    beside = write_srt(tmp_path / f"DJI_0001{suffix}", [modern(n) for n in range(3)])
    write_srt(tmp_path / "DJI_00012.srt", [modern(9)])
    assert find_sidecar(video) == beside
    found = read_telemetry(video)
    assert found is not None and found.at(0.0).relative_altitude_m == 40.0


def test_videos_without_telemetry(tmp_path: Path) -> None:
    assert read_telemetry(write_video(tmp_path / "a.mp4")) is None
    assert read_telemetry(write_video(tmp_path / "b.mp4", ["a film", "for people"])) is None
    (tmp_path / "c.mp4").write_bytes(b"no video")
    assert read_telemetry(tmp_path / "c.mp4") is None


def test_subtitles_for_people_beside_a_video_are_no_reason_to_stop(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [modern(n) for n in range(3)])
    write_srt(tmp_path / "a.srt", ["a film", "for people"])
    found = read_telemetry(video)
    assert found is not None and found.at(0.0).relative_altitude_m == 40.0
    assert found.notes[0].startswith("not used: a.srt: none of 2 subtitles holds telemetry")
    plain = write_video(tmp_path / "b.mp4")
    write_srt(tmp_path / "b.srt", ["a film", "for people"])
    nothing = read_telemetry(plain)
    assert nothing is not None and nothing.known == () and nothing.at(0.0) == Pose()


def test_drifting_subtitle_times_give_way_to_frame_numbers(tmp_path: Path) -> None:
    """Times that add up 20 ms for frames 33.37 ms apart end a third too early."""
    video = write_video(tmp_path / "a.mp4", frames=60)
    write_srt(tmp_path / "a.srt", [modern(n, n + 1) for n in range(60)], step_s=0.02)
    found = read_telemetry(video)
    assert found is not None
    assert found.at(30 * 1001 / 30000).relative_altitude_m == pytest.approx(70.0, abs=0.01)
    assert any("drift by -0.8 s; their frame numbers were used" in note for note in found.notes)


def test_counters_that_do_not_count_frames_leave_times_alone(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", frames=60)
    write_srt(tmp_path / "a.srt", [modern(n, n + 1) for n in range(5)], step_s=0.4)
    found = read_telemetry(video)
    assert found is not None and found.at(0.8).relative_altitude_m == pytest.approx(42.0)
