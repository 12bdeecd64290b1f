"""Live streams over a real local server that breaks off, is away, falls silent and comes back."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from fissura.errors import ImageError, SettingsError
from fissura.imaging.video import Reconnect, open_video
from fissura.imaging.video_source import parse_source, shown_address
from support.stream_server import Server, address, send, serving

av = pytest.importorskip("av")

H, W, N, RATE = 96, 128, 30, 30
QUICK = Reconnect(attempts=3, opening_attempts=1, first_delay_s=0.05, longest_delay_s=0.1, timeout_s=3.0)


def write_stream(path: Path, container: str, muxing: dict[str, str] | None = None) -> bytes:
    with av.open(str(path), "w", format=container, options=muxing or {}) as file:
        stream = file.add_stream("libx264", rate=RATE, options={"qp": "20", "g": "10", "tune": "zerolatency"})
        stream.height, stream.width, stream.pix_fmt = H, W, "yuv420p"
        scene = np.random.default_rng(0).integers(0, 256, (H, W + N, 3), dtype=np.uint8)
        for index in range(N):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(scene[:, index : index + W]), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path.read_bytes()


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_stream(tmp_path_factory.mktemp("live") / "a.ts", "mpegts")


@pytest.fixture(scope="module")
def fragmented(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    muxing = {"movflags": "frag_keyframe+empty_moov"}
    return write_stream(tmp_path_factory.mktemp("live") / "a.mp4", "mp4", muxing)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as served:
        yield served


@pytest.mark.parametrize("kind", ["transport_stream", "fragmented"])
def test_a_server_that_dies_and_comes_back(server: Server, kind: str, request: pytest.FixtureRequest) -> None:
    data: bytes = request.getfixturevalue(kind)

    def script(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 2:
            handler.send_error(503)
        elif number <= 3:
            send(handler, data[: len(data) * 3 // 5] if number == 1 else data)
        else:
            handler.send_error(404)

    server.script = script
    start = time.monotonic()
    with open_video(address(server, "pilot:s3cret@"), reconnect=QUICK) as video:
        frames = list(video)
    assert video.info.live and video.info.source == address(server)
    assert video.info.duration_s is None
    assert video.reconnections == 1
    assert 10 + N <= len(frames) < 2 * N
    assert [f.index for f in frames] == sorted({f.index for f in frames})
    times = np.array([frame.time_s for frame in frames])
    assert times[0] == 0 and (np.diff(times) > 0).all()
    assert times[-1] <= time.monotonic() - start + N / RATE
    assert server.requests == 6
    assert "the connection was lost and restored once" in " ".join(video.notes)
    assert "the stream ended; attempts to connect again: 3, all in vain" in video.notes
    assert "s3cret" not in f"{video.notes}{video.info}{frames}"


def test_a_silent_server_is_left_and_connected_again(server: Server, transport_stream: bytes) -> None:
    def script(handler: BaseHTTPRequestHandler, number: int) -> None:
        send(handler, transport_stream)
        if number == 1:
            server.closing.wait(5)

    server.script = script
    policy = Reconnect(attempts=1, first_delay_s=0.05, timeout_s=0.5)
    with open_video(address(server), reconnect=policy) as video:
        frames = [frame for frame, _ in zip(video, range(N + 5), strict=False)]
    assert len(frames) == N + 5
    assert video.reconnections >= 1


@pytest.mark.parametrize("is_silent", [False, True])
def test_closing_takes_less_than_a_second(server: Server, transport_stream: bytes, is_silent: bool) -> None:
    def script(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            send(handler, transport_stream)
        if is_silent or number > 1:
            server.closing.wait(5)

    server.script = script
    video = open_video(address(server), reconnect=Reconnect(timeout_s=2.0, first_delay_s=0.01))
    next(video)
    time.sleep(0.2)
    start = time.monotonic()
    video.close()
    assert time.monotonic() - start < 1


def test_closing_while_waiting_to_connect_again_is_at_once(server: Server, transport_stream: bytes) -> None:
    server.script = lambda handler, number: send(handler, transport_stream)
    video = open_video(address(server), reconnect=Reconnect(first_delay_s=20))
    assert [next(video).index for _ in range(N)] == list(range(N))
    start = time.monotonic()
    video.close()
    assert time.monotonic() - start < 0.4
    assert not video._thread.is_alive()


def test_late_consumer_loses_the_oldest_frames(server: Server, transport_stream: bytes) -> None:
    def script(handler: BaseHTTPRequestHandler, number: int) -> None:
        send(handler, transport_stream) if number == 1 else handler.send_error(404)

    server.script = script
    three_frames = 3 * (H + 16) * (W + 32) * 3 // 2
    with open_video(address(server), buffer_bytes=three_frames, reconnect=Reconnect(attempts=0)) as video:
        video._thread.join(5)
        frames = list(video)
    assert 1 <= len(frames) <= 5
    assert video.dropped == N - len(frames)
    assert frames[-1].index == N - 1
    assert [f.index for f in frames] == list(range(N - len(frames), N))
    assert f"{video.dropped} frames dropped because the live stream was faster" in " ".join(video.notes)


@pytest.mark.parametrize("decoder", ["PyAV", "OpenCV"])
def test_a_recording_on_a_web_server_is_read_to_its_end(server: Server, fragmented: bytes, decoder: str) -> None:
    server.script = lambda handler, number: send(handler, fragmented, stated=True)
    with open_video(address(server), buffer_bytes=1, decoder=decoder) as video:  # type: ignore[arg-type]
        frames = list(video)
    assert not video.info.live
    assert len(frames) == N
    assert video.dropped == 0 and video.reconnections == 0


def test_opencv_reads_live_streams(server: Server, transport_stream: bytes) -> None:
    server.script = lambda handler, number: send(handler, transport_stream) if number < 3 else handler.send_error(404)
    with open_video(address(server, "pilot:s3cret@"), decoder="OpenCV", reconnect=QUICK) as video:
        frames = list(video)
    assert video.info.live and "s3cret" not in video.info.source
    assert len(frames) > N
    assert video.reconnections == 1


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("decoder", ["PyAV", "OpenCV"])
@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_nobody_there(scheme: str, decoder: str, capfd: pytest.CaptureFixture[str]) -> None:
    where = f"{scheme}://pilot:s3cret@127.0.0.1:{closed_port()}/user=x&password=t0p?key=k3y"
    with pytest.raises(ImageError, match=r"cannot be opened.*check the address") as caught:
        open_video(where, reconnect=QUICK, decoder=decoder)  # type: ignore[arg-type]
    said = f"{caught.value}{caught.value.__cause__}{capfd.readouterr()}"
    assert not any(secret in said for secret in ("s3cret", "t0p", "k3y", "pilot"))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_address_that_gives_no_video(server: Server) -> None:
    server.script = lambda handler, number: send(handler, b"<html>please log in</html>" * 40)
    with pytest.raises(ImageError, match=r"127\.0\.0\.1"):
        open_video(address(server), reconnect=QUICK)


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(ImageError, match="camera 97 cannot be opened"):
        open_video(97, reconnect=QUICK)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://admin:pass/w@rd@10.0.0.1:554/live/ch1", "rtsp://"),
        ("RTSP://u:p@[fe80::1]:8554/a?token=secret", "rtsp://[fe80::1]:8554/a"),
        ("udp://239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ("http://cam/user=adm_password=abc123_channel=1", "http://cam/user=***_password=***_channel=1"),
        ("http://u:p@cam:99999/x", "http://***"),
    ],
)
def test_shown_addresses_hold_no_secrets(source: str, shown: str) -> None:
    said = shown_address(source)
    assert said.startswith(shown)
    assert not any(secret in said for secret in ("pass", "w@rd", "rd@", "secret", "abc123", "u:p")) or "***" in said
    assert "admin" not in said and "abc123" not in said and "u:p" not in said


def test_sources_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_source(0).camera == parse_source("0").camera == 0
    assert parse_source("/dev/video2").camera == 2
    (tmp_path / "0").touch()
    assert parse_source("0").path == Path("0")
    odd = parse_source("a:b.mp4")
    assert odd.path == Path("a:b.mp4") and odd.address.startswith("/")
    for wrong in (-1, "gopher://x/y", "/dev/videos"):
        with pytest.raises(SettingsError):
            parse_source(wrong)


def test_waits_double_up_to_a_limit() -> None:
    policy = Reconnect(first_delay_s=0.5, longest_delay_s=3)
    assert [policy.delay_s(n) for n in (0, 1, 2, 3, 1000)] == [0.5, 1, 2, 3, 3]
    for wrong in ({"attempts": -1}, {"timeout_s": 0.0}, {"first_delay_s": -1.0}):
        with pytest.raises(SettingsError):
            Reconnect(**wrong)  # type: ignore[arg-type]
