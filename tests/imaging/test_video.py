"""Video files: pixels, times, numbers, and everything that can be wrong with a file. Clips are written by PyAV."""

from __future__ import annotations

import gc
import random
import re
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fissura.errors import ImageError, MissingDependencyError, SettingsError
from fissura.imaging import video as video_module
from fissura.imaging.video import VideoFrame, VideoReader, open_video
from fissura.imaging.video_frame import Turn, reduce_luma
from fissura.imaging.video_order import DisplayOrder
from fissura.imaging.video_queue import explain_early_end

av = pytest.importorskip("av")

DECODERS = ["PyAV", "OpenCV"]
H, W, N, RATE = 96, 128, 30, 30
MATRIX = {"bt709": (1, 1, 0.2126, 0.0722), "bt601": (6, 5, 0.299, 0.114)}
"""Names to FFmpeg's and swscale's numbers, and to the weights of red and blue."""
KEYS_EVERY_10 = {"g": "10", "bf": "2", "sc_threshold": "0"}


def picture(index: int = 0, h: int = H, w: int = W) -> np.ndarray:
    """Smooth ramps that no mirror or turn leaves alone, with the frame's number in binary as blocks at the top."""
    rows, columns = np.mgrid[0:h, 0:w]
    rgb = np.stack([columns * 255 // (w - 1), rows * 255 // (h - 1), 255 - columns * 255 // (w - 1)], -1)
    for bit in range(6):
        rgb[:16, bit * 16 : bit * 16 + 16] = 255 if index >> bit & 1 else 0
    return rgb.astype(np.uint8)


def number_in(luma: np.ndarray) -> int:
    """The number that `picture` drew."""
    return sum(int(luma[8, bit * 16 + 8] > 127) << bit for bit in range(6))


def write_clip(
    path: Path, *, frames: int = N, size_hw: tuple[int, int] = (H, W), codec: str = "libx264", pixels: str = "yuv420p",
    options: dict[str, str] | None = None, muxing: dict[str, str] | None = None, container: str | None = None,
    matrix: str = "bt709", rotation: int = 0, times_ms: list[int] | None = None, numbered: bool = True,
) -> Path:  # fmt: skip
    code, sws, _, _ = MATRIX[matrix]
    with av.open(str(path), "w", format=container, options=muxing or {}) as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *size_hw, pixels
        stream.options = options or {"qp": "4", **KEYS_EVERY_10}
        stream.codec_context.colorspace, stream.codec_context.color_range = code, 1
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(frames):
            rgb = picture(index, *size_hw) if numbered else picture(63, *size_hw)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
                format=pixels, src_colorspace=sws, dst_colorspace=sws, src_color_range=2, dst_color_range=1
            )
            frame.pts, frame.time_base = (
                (times_ms[index], Fraction(1, 1000)) if times_ms else (index, Fraction(1, RATE))
            )
            frame.colorspace, frame.color_range = code, 1
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames in three groups of 10, with frames in another order than shown; index at the front."""
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", muxing={"movflags": "faststart"})


@pytest.fixture(scope="module")
def fragmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"movflags": "frag_keyframe+empty_moov"}
    return write_clip(tmp_path_factory.mktemp("clip") / "fragmented.mp4", muxing=options)


def read(path: Path, **options: object) -> tuple[VideoReader, list[VideoFrame]]:
    with open_video(path, **options) as video:  # type: ignore[arg-type]
        return video, list(video)


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    out = path.with_name(f"cut-{share}-{path.name}")
    out.write_bytes(data[: int(len(data) * share)])
    return out


# What is read


@pytest.mark.parametrize("decoder", DECODERS)
def test_info_numbers_and_times(clip: Path, decoder: str) -> None:
    video, frames = read(clip, decoder=decoder)
    info = video.info
    assert (info.source, info.size_hw, info.fps, info.frame_count) == (str(clip), (H, W), RATE, N)
    assert (info.codec, info.rotation_deg, info.live, info.decoder) == ("h264", 0, False, decoder)
    assert info.duration_s == pytest.approx(N / RATE)
    assert [frame.index for frame in frames] == list(range(N))
    assert [number_in(frame.luma()) for frame in frames] == list(range(N))
    assert [frame.time_s for frame in frames] == pytest.approx([i / RATE for i in range(N)], abs=1e-3)
    assert video.notes == []
    assert not any(frame.damaged for frame in frames)
    assert [f.index for f in frames if f.key] == ([0, 10, 20] if decoder == "PyAV" else [])


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("matrix", list(MATRIX))
def test_colours_by_the_stated_matrix(tmp_path: Path, matrix: str, decoder: str) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=2, matrix=matrix)
    _, frames = read(path, decoder=decoder)
    assert frames[0].rgb().shape == (H, W, 3)
    assert np.abs(frames[0].rgb().astype(int) - picture(0))[20:].mean() < 2.5


def test_pixels_of_a_video_that_is_rgb_itself_belong_to_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("png", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = H, W, "rgb24"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0), "rgb24")))
        file.mux(stream.encode())
    _, (frame,) = read(path, decoder="PyAV")
    frame.rgb()[:] = 7
    assert (frame.rgb() == picture(0)).all()


@pytest.mark.parametrize("rows", [96, 720])
def test_colours_without_a_stated_matrix_follow_the_size(tmp_path: Path, rows: int) -> None:
    matrix = "bt709" if rows >= 720 else "bt601"
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"qp": "4", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = rows, W, "yuv420p"
        sws = MATRIX[matrix][1]
        source = av.VideoFrame.from_ndarray(picture(0, rows), "rgb24")
        frame = source.reformat(format="yuv420p", src_colorspace=sws, dst_colorspace=sws, src_color_range=2)
        frame.colorspace = 2  # unspecified
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    _, frames = read(path, decoder="PyAV")
    assert np.abs(frames[0].rgb().astype(int) - picture(0, rows))[20:].mean() < 2.5


def test_luma_is_the_coded_plane_and_read_only(clip: Path) -> None:
    _, frames = read(clip)
    red, blue = MATRIX["bt709"][2:]
    expected = 16 + 219 / 255 * (picture(0) @ [red, 1 - red - blue, blue])
    luma = frames[0].luma()
    assert luma.dtype == np.uint8
    assert np.abs(luma - expected)[20:].mean() < 1.0
    with pytest.raises(ValueError, match="read-only"):
        luma[0, 0] = 1


@pytest.mark.parametrize("decoder", DECODERS)
def test_frames_stay_valid_when_later_ones_are_read(clip: Path, decoder: str) -> None:
    with open_video(clip, decoder=decoder) as video:  # type: ignore[arg-type]
        first = next(video)
        luma, before = first.luma(), first.luma().copy()
        for _ in video:
            pass
    del video
    gc.collect()
    assert np.array_equal(luma, before)
    assert number_in(first.rgb()[..., 1]) == 0


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("turn", [90, 180, -90])
def test_rotation(tmp_path: Path, turn: int, decoder: str) -> None:
    video, frames = read(write_clip(tmp_path / "a.mp4", frames=2, rotation=turn), decoder=decoder)
    expected = np.rot90(picture(1), turn // 90)
    assert video.info.rotation_deg == -turn % 360
    assert video.info.size_hw == frames[1].size_hw == frames[1].luma().shape == expected.shape[:2]
    assert np.abs(frames[1].rgb().astype(int) - expected).mean() < 4
    assert np.abs(frames[1].reduced(4).astype(int) - block_means(frames[1].luma(), 4)).max() <= 1


@pytest.mark.parametrize("decoder", DECODERS)
def test_odd_size(tmp_path: Path, decoder: str) -> None:
    path = write_clip(
        tmp_path / "a.mkv", frames=2, size_hw=(95, 127), codec="mpeg4", options={"b": "20000000"}, matrix="bt601"
    )
    video, frames = read(path, decoder=decoder)
    assert video.info.size_hw == frames[0].luma().shape == (95, 127)
    difference = np.abs(frames[0].rgb().astype(int) - picture(0, 95, 127))
    assert difference[-1].mean() < 4 and difference[:, -1].mean() < 4
    assert frames[0].reduced(4).shape == (23, 31)


def test_ten_bit_hevc(tmp_path: Path) -> None:
    options = {"x265-params": "keyint=5:log-level=none:crf=10"}
    path = write_clip(tmp_path / "a.mp4", frames=6, codec="libx265", pixels="yuv420p10le", options=options)
    video, frames = read(path)
    assert video.info.codec == "hevc"
    assert [number_in(frame.luma()) for frame in frames] == list(range(6))
    red, blue = MATRIX["bt709"][2:]
    expected = 16 + 219 / 255 * (picture(0) @ [red, 1 - red - blue, blue])
    assert frames[0].luma().dtype == np.uint8
    assert np.abs(frames[0].luma() - expected)[20:].mean() < 1.5
    assert np.abs(frames[0].rgb().astype(int) - picture(0))[20:].mean() < 4


def test_formats_without_a_luma_plane(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", frames=2, codec="ffv1", pixels="bgr0", options={"level": "3"})
    _, frames = read(path)
    grey = picture(1) @ [0.299, 0.587, 0.114]
    assert np.abs(frames[1].luma() - grey)[20:].mean() < 16  # limited or full range
    assert np.abs(frames[1].rgb().astype(int) - picture(1)).max() <= 1


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 20, 110, 120, 400, 430, 1000, 1033]
    _, frames = read(write_clip(tmp_path / "a.mkv", frames=8, times_ms=times))
    assert [round(frame.time_s * 1000) for frame in frames] == times
    assert [number_in(frame.luma()) for frame in frames] == list(range(8))


def test_without_time_stamps_the_frame_rate_counts(tmp_path: Path) -> None:
    _, frames = read(write_clip(tmp_path / "a.h264", frames=12, container="h264"))
    assert [frame.time_s for frame in frames] == pytest.approx([i / RATE for i in range(12)])


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_other_containers_begin_at_zero(tmp_path: Path, suffix: str) -> None:
    options = {"qp": "4", "g": "10", "bf": "0" if suffix == "avi" else "2"}
    _, frames = read(write_clip(tmp_path / f"a.{suffix}", frames=12, options=options))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx([i / RATE for i in range(12)], abs=2e-3)


def test_skipping_nonreference_frames_keeps_numbers(clip: Path) -> None:
    video, frames = read(clip, skip_nonreference=True)
    assert 10 <= len(frames) < N
    assert [number_in(frame.luma()) for frame in frames] == [frame.index for frame in frames]
    assert video.damaged == 0 and video.notes == []


def test_opencv_says_that_it_skips_nothing(clip: Path) -> None:
    video, frames = read(clip, skip_nonreference=True, decoder="OpenCV")
    assert len(frames) == N
    assert "pip install 'fissura[video]'" in video.notes[0]


@pytest.mark.parametrize(
    ("settings", "options", "note"),
    [
        ({}, {"x264-params": "interlaced=1"}, "the video is interlaced"),
        ({"sample_aspect_ratio": Fraction(4, 3)}, {}, r"pixels are not square \(4:3\)"),
        ({"color_trc": 18}, {}, r"the video is HDR \(HLG\)"),
    ],
)
def test_what_is_not_treated_is_noted(tmp_path: Path, settings: dict, options: dict, note: str) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", **options})
        stream.height, stream.width, stream.pix_fmt = H, W, "yuv420p"
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame.from_ndarray(picture(), "rgb24")
        file.mux(stream.encode(frame.reformat(format="yuv420p")))
        file.mux(stream.encode())
    video, frames = read(path)
    assert len(frames) == 1
    assert re.search(note, " ".join(video.notes))


@pytest.mark.parametrize("second_hw", [(H, W), (H // 2, W)])
def test_joined_recordings_go_on(tmp_path: Path, second_hw: tuple[int, int]) -> None:
    parts = [
        write_clip(tmp_path / f"{n}.ts", frames=12, size_hw=hw, options={"qp": "4", "g": "4", "bf": "0"})
        for n, hw in enumerate([(H, W), second_hw])
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    video, frames = read(joined, threads=1)
    assert len(frames) >= 22
    assert (np.diff([frame.index for frame in frames]) >= 1).all()
    times = np.array([frame.time_s for frame in frames])
    assert (np.diff(times) > 0).all() and times[-1] < 1.0
    assert frames[0].luma().shape == (H, W) and frames[-1].luma().shape == frames[-1].size_hw == second_hw
    assert any("time stamps start again" in note for note in video.notes)
    assert any("size changes to 128x48" in note for note in video.notes) == (second_hw != (H, W))


# Reduced frames and turns


def block_means(grey: np.ndarray, factor: int) -> np.ndarray:
    h, w = (side // factor for side in grey.shape)
    return grey[: h * factor, : w * factor].reshape(h, factor, w, factor).mean((1, 3))


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 6, 8])
def test_reduced_is_the_mean_of_blocks(factor: int) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (61, 83), dtype=np.uint8)
    assert np.abs(reduce_luma(grey, factor) - block_means(grey, factor)).max() <= 1


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("columns", [False, True])
def test_turning_after_reducing_is_the_same(transpose: bool, rows: bool, columns: bool) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (61, 83), dtype=np.uint8)
    turn = Turn(transpose, rows, columns)
    assert np.array_equal(reduce_luma(grey, 3, turn), reduce_luma(turn.apply(grey), 3))


@pytest.mark.parametrize("factor", [0, -1, 97])
def test_reduced_refuses_senseless_factors(clip: Path, factor: int) -> None:
    with open_video(clip) as video, pytest.raises(SettingsError, match="give 1 to 96"):
        next(video).reduced(factor)


def test_display_order_counts_what_is_lost() -> None:
    order = DisplayOrder()
    for stamp in (100, 130, 110, 120, 140):
        order.push(stamp)
    assert order.pop(100) == (0, 0)
    assert order.pop(130) == (3, 2)
    assert order.rest() == 1
    assert order.first == 100


# What can be wrong


@pytest.mark.parametrize("decoder", DECODERS)
def test_cut_before_its_index(tmp_path: Path, decoder: str) -> None:
    path = cut(write_clip(tmp_path / "a.mp4"), 0.6)
    with pytest.raises(ImageError, match=r"cut off before its index was written.*Copy it again"):
        open_video(path, decoder=decoder)  # type: ignore[arg-type]


@pytest.mark.parametrize("decoder", DECODERS)
def test_cut_with_its_index_in_front(clip: Path, decoder: str) -> None:
    video, frames = read(cut(clip, 0.6), decoder=decoder)
    assert 10 <= len(frames) < 25
    assert [number_in(f.luma()) for f in frames if not f.damaged] == [f.index for f in frames if not f.damaged]
    assert video.ended_early and any("was cut off: it ends after" in note for note in video.notes)
    assert "was cut off: it ends after" in explain_early_end(video.notes)


def test_cut_fragmented(fragmented: Path) -> None:
    video, frames = read(cut(fragmented, 0.6))
    assert 10 <= len(frames) < 25
    assert [frame.index for frame in frames] == [round(frame.time_s * RATE) for frame in frames]
    assert video.ended_early and any("was cut off" in note for note in video.notes)


@pytest.mark.parametrize(("suffix", "share"), [("mkv", 0.5), ("avi", 0.7)])
def test_cut_in_other_containers(tmp_path: Path, suffix: str, share: float) -> None:
    options = {"qp": "4", "g": "10", "bf": "0"}
    video, frames = read(cut(write_clip(tmp_path / f"a.{suffix}", options=options), share))
    assert 5 <= len(frames) < 25
    assert video.ended_early and any("is not complete: it ends after" in note for note in video.notes)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_whole_video_or_one_that_is_left_early_has_not_ended_early(clip: Path, decoder: str) -> None:
    video, _ = read(clip, decoder=decoder)
    assert not video.ended_early and not explain_early_end(video.notes)
    with open_video(cut(clip, 0.6), decoder=decoder) as left:  # type: ignore[arg-type]
        next(left)
    assert not left.ended_early


def damaged_packets(path: Path, numbers: list[int], out: Path) -> Path:
    """Noise in place of some packets, counted in the order of decoding."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    for number in numbers:
        start, size = packets[number]
        data[start : start + size] = random.Random(number).randbytes(size)
    out.write_bytes(data)
    return out


@pytest.mark.parametrize("threads", [1, 4])
def test_damage_in_the_middle(clip: Path, tmp_path: Path, threads: int) -> None:
    path = damaged_packets(clip, [12, 13, 14], tmp_path / "bad.mp4")
    video, frames = read(path, threads=threads)
    assert 0 < video.damaged <= 10
    assert len(frames) + video.damaged == N
    assert any(f"{video.damaged} frame" in note and "damaged or lost" in note for note in video.notes)
    assert [frame.index for frame in frames] == [round(frame.time_s * RATE) for frame in frames]
    sound = [frame for frame in frames if not frame.damaged]
    assert [number_in(frame.luma()) for frame in sound] == [frame.index for frame in sound]
    assert {*range(10), *range(20, 30)} <= {frame.index for frame in sound}
    assert [frame.time_s for frame in sound] == pytest.approx([frame.index / RATE for frame in sound], abs=1e-3)


def test_opencv_goes_on_after_damage(clip: Path, tmp_path: Path) -> None:
    path = damaged_packets(clip, [12, 13, 14], tmp_path / "bad.mp4")
    video, frames = read(path, decoder="OpenCV")
    assert 0 < video.damaged <= 10 and len(frames) >= 20
    assert number_in(frames[-1].luma()) == N - 1 and frames[-1].damaged


def without_first_packets(path: Path, packets: int, out: Path) -> Path:
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is not None and number >= packets:
                packet.stream = stream
                target.mux(packet)
    return out


def test_no_key_frame_at_the_start(clip: Path, tmp_path: Path) -> None:
    video, frames = read(without_first_packets(clip, 3, tmp_path / "late.ts"))
    assert [number_in(frame.luma()) for frame in frames] == list(range(10, 30))
    assert "7 frames before the first key frame left out" in video.notes[0]
    assert frames[0].key and frames[0].index == 7
    # The first frame of the file is number 3 or one of those the missing ones would have come before.
    assert 0.2 <= frames[0].time_s <= 0.3


def test_no_key_frame_at_all(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=9)
    with pytest.raises(ImageError, match=r"no frame that can be decoded \(8 frames before the first key frame"):
        open_video(without_first_packets(path, 1, tmp_path / "late.ts"))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.mp4", b"", r"empty\.mp4 is empty \(0 bytes\)"),
        ("zeros.mp4", bytes(5000), "begins with zeros only"),
        ("notes.txt", b"not a video at all\n" * 50, "no video"),
        ("text.mp4", b"not a video at all\n" * 50, "no video .it begins like text"),
        ("noise.mp4", random.Random(1).randbytes(5000), "no video that can be read .unknown contents"),
        ("photo.jpg", b"\xff\xd8\xff\xe0", "is a picture, not a video"),
    ],
)
def test_no_video(tmp_path: Path, name: str, data: bytes, message: str, decoder: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message):
        open_video(path, decoder=decoder)  # type: ignore[arg-type]


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nothing\.mp4 does not exist; check the path"):
        open_video(tmp_path / "nothing.mp4")
    with pytest.raises(ImageError, match="is a folder, not a video"):
        open_video(tmp_path)


def test_sound_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(ImageError, match="holds sound only, no video"):
        open_video(path)


def test_video_without_frames(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = H, W, "yuv420p"
        file.start_encoding()
    with pytest.raises(ImageError, match=r"none\.mp4"):
        open_video(path)


def test_an_index_that_is_damaged(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    at = data.index(b"moov")
    data[at + 4 : at + 400] = random.Random(2).randbytes(396)
    path = tmp_path / "index.mp4"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"index\.mp4"):
        open_video(path)


def test_metadata_that_are_no_text_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        file.metadata["comment"] = "Zeppelin"
        stream = file.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = H, W, "yuv420p"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(), "rgb24").reformat(format="yuv420p")))
        file.mux(stream.encode())
    assert b"Zeppelin" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"Zeppelin", b"\xff\xfe\xc3\x28\xa0\xa1\xe2\x28"))
    _, frames = read(path)
    assert len(frames) == 1


def test_options_are_checked(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({"threads": -1}, {"buffer_bytes": 0}, {"decoder": "mplayer"}):
        with pytest.raises(SettingsError, match="give"):
            open_video(clip, **options)  # type: ignore[arg-type]
    monkeypatch.setattr(video_module, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        open_video(clip, decoder="PyAV")
    with open_video(clip) as video:
        assert video.info.decoder == "OpenCV"


# The decoding thread


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fissura-video"]


def wait_until(condition: Callable[[], bool], seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_buffer_is_bounded_and_nothing_is_dropped(clip: Path) -> None:
    with open_video(clip, buffer_bytes=3 * H * W * 3 // 2) as video:
        first = next(video)
        time.sleep(0.1)
        assert len(video._queue._frames) <= 3
        assert video._log.frames < 8
        assert [first.index, *(frame.index for frame in video)] == list(range(N))


def test_a_buffer_smaller_than_a_frame_still_works(clip: Path) -> None:
    _, frames = read(clip, buffer_bytes=1)
    assert len(frames) == N


def test_closing_early_ends_the_thread(clip: Path) -> None:
    before = len(decoding_threads())
    video = open_video(clip, buffer_bytes=1)
    next(video)
    start = time.monotonic()
    video.close()
    assert time.monotonic() - start < 1
    assert wait_until(lambda: len(decoding_threads()) == before)
    assert list(video) == []
    video.close()


def test_a_forgotten_reader_ends_its_thread(clip: Path) -> None:
    before = len(decoding_threads())
    video = open_video(clip, buffer_bytes=1)
    next(video)
    del video
    gc.collect()
    assert wait_until(lambda: len(decoding_threads()) == before)
