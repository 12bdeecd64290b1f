"""Time of reading 4K video: H.264 at 60 Mbit/s, decoded only, and with brightness, reduced brightness or colours.

    python benchmarks/video_decode.py [--rounds 5] [--frames 90]

The clip is generated: a ground texture that moves, with two B-frames between reference frames, so that leaving out
frames that nothing depends on (skip_nonreference) has something to leave out. Every case reads the whole clip in each
round, in turn with the others. Times are for a frame of the clip, whether it was given or left out: milliseconds by the
clock (median and 95th percentile over the rounds) and of processor time (all threads together; the least of the rounds,
which other programs disturb least).
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from machine import describe_run, write_result

from fissura.imaging.video import VideoFrame, open_video

RATE = 30


@dataclass(frozen=True)
class Case:
    """One way of reading."""

    name: str
    use: Callable[[VideoFrame], object]
    threads: int = 1
    skip_nonreference: bool = False
    decoder: str = "PyAV"


def _nothing(frame: VideoFrame) -> None:
    return None


CASES = (
    Case("decode", _nothing),
    Case("decode", _nothing, threads=2),
    Case("decode", _nothing, skip_nonreference=True),
    Case("decode", _nothing, threads=2, skip_nonreference=True),
    Case("decode + luma()", lambda frame: frame.luma()),
    Case("decode + luma() and cv2.resize to a quarter", lambda frame: _resized(frame.luma())),
    Case("decode + reduced(4)", lambda frame: frame.reduced(4)),
    Case("decode + rgb()", lambda frame: frame.rgb()),
    Case("decode + rgb()", lambda frame: frame.rgb(), threads=2),
    Case("decode (converts to colours at once)", _nothing, decoder="OpenCV"),
    Case("decode + rgb()", lambda frame: frame.rgb(), decoder="OpenCV"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--width", type=int, default=3840)
    parser.add_argument("--height", type=int, default=2160)
    parser.add_argument("--mbit", type=float, default=60.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    # Its own threads would count as the decoder's.
    cv2.setNumThreads(1)
    run = describe_run()
    run["versions"] |= {"av": version("av"), "ffmpeg": ".".join(map(str, av.library_versions["libavcodec"]))}
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip, (options.height, options.width), options.frames, options.mbit)
        mbit = clip.stat().st_size * 8e-6 * RATE / options.frames
        print(f"clip: {options.frames} frames of {options.width}x{options.height}, {mbit:.1f} Mbit/s")
        rows = measure(clip, options.frames, options.rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    result = run | {
        "clip": {"size_hw": [options.height, options.width], "frames": options.frames, "mbit_s": round(mbit, 1)},
        "rounds": options.rounds, "peak_bytes": peak, "rows": rows,
    }  # fmt: skip
    print(f"wrote {write_result('video_decode', result, options.out)}")
    return 0


def write_clip(path: Path, size_hw: tuple[int, int], frames: int, mbit: float) -> None:
    """A texture with detail down to the pixel, moving by a few pixels a frame."""
    h, w = size_hw
    rng = np.random.default_rng(0)
    margin = 8 * frames
    coarse = cv2.GaussianBlur(rng.normal(128, 60, (h // 4 + margin, w // 4 + margin, 3)), (0, 0), 2)
    ground = cv2.resize(coarse, (w + margin, h + margin), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(0, 25, ground.shape[:2]), (0, 0), 0.7)
    ground = np.clip(ground + fine[..., None], 0, 255).astype(np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = w, h, "yuv420p", int(mbit * 1e6)
        stream.options = {"preset": "veryfast", "bf": "2", "b-pyramid": "none", "g": str(RATE)}
        for index in range(frames):
            view = ground[index * 6 : index * 6 + h, index * 4 : index * 4 + w]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def measure(clip: Path, frames: int, rounds: int) -> list[dict[str, Any]]:
    walls: list[list[float]] = [[] for _ in CASES]
    processor: list[list[float]] = [[] for _ in CASES]
    given = [0] * len(CASES)
    # One round to warm up, then in turn, so that what disturbs the machine disturbs all alike.
    for number in range(rounds + 1):
        for place, case in enumerate(CASES):
            wall, busy, given[place] = read(clip, case)
            if number > 0:
                walls[place].append(1000 * wall / frames)
                processor[place].append(1000 * busy / frames)
    rows = []
    for case, wall_ms, processor_ms, count in zip(CASES, walls, processor, given, strict=True):
        row = {
            "case": case.name, "decoder": case.decoder, "threads": case.threads,
            "skip_nonreference": case.skip_nonreference, "frames_given": count,
            "wall_ms_median": round(float(np.median(wall_ms)), 2),
            "wall_ms_p95": round(float(np.percentile(wall_ms, 95)), 2),
            "processor_ms_least": round(min(processor_ms), 2),
        }  # fmt: skip
        rows.append(row)
        print(
            f"{case.name:44} {case.decoder:6} threads {case.threads} {'skip' if case.skip_nonreference else '    '} "
            f"{count:4d} frames  clock {row['wall_ms_median']:6.2f} ms (p95 {row['wall_ms_p95']:6.2f})  "
            f"processor {row['processor_ms_least']:6.2f} ms"
        )
    return rows


def read(clip: Path, case: Case) -> tuple[float, float, int]:
    """Seconds by the clock and of the processor after opening, and the number of frames given."""
    options: Any = {"decoder": case.decoder, "threads": case.threads, "skip_nonreference": case.skip_nonreference}
    # As few frames as possible are decoded ahead while the clip is opened, which is not timed.
    with open_video(clip, buffer_bytes=1, **options) as video:
        start, busy, count = time.perf_counter(), time.process_time(), 0
        for frame in video:
            case.use(frame)
            count += 1
        return time.perf_counter() - start, time.process_time() - busy, count


def _resized(luma: np.ndarray) -> np.ndarray:
    size_wh = luma.shape[1] // 4, luma.shape[0] // 4
    return cv2.resize(luma, size_wh, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    sys.exit(main())
