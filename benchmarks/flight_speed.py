"""A minute of 4K flight, processed as a user would, and where the time goes.

    python benchmarks/flight_speed.py --clip flight.mp4 [--write] [--loops 1] [--plain] [--model fast]

``--write`` makes the clip first: 60 s at 30 frames/s, 3840x2160, 40 m height, 5 m/s, a road a quarter of the frame
wide, 64 Mbit/s (ten minutes or more). The survey runs in a process of its own, decoding included; its memory is
what the operating system reports. ``--loops 10`` joins the clip ten times, for memory over ten minutes. ``--plain``
also segments every tile of every tenth frame, as plain tiling would.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_run, write_result

from fissura.geo.homography import transform

HW = (2160, 3840)
FOCAL_PX, HEIGHT_M = 2250.0, 40.0
SEED = 77


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="make the clip")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--scale", type=float)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.write:
        write_clip(options.clip, options.seconds)
    run = describe_run()
    clip = options.clip if options.loops == 1 else join(options.clip, options.loops)
    row = survey(clip, options)
    print(", ".join(f"{k} {v}" for k, v in row.items() if k != "memory_mb"))
    result = run | {"clip": describe_clip(clip), "model": options.model, "survey": row}
    if options.plain:
        result["plain"] = plain_tiling(options.clip, options.model)
        print("plain tiling: " + ", ".join(f"{k} {v}" for k, v in result["plain"].items()))
    name = "flight_speed" if options.loops == 1 else f"flight_speed_x{options.loops}"
    print(f"wrote {write_result(name, result, options.out)}")
    return 0


def write_clip(path: Path, seconds: float) -> None:
    """The flight of the module's docstring, with its truth beside it."""
    from fissura.synth.aerial import AerialCamera, WorldOptions, make_world
    from fissura.synth.aerial.flight import plan_flight
    from fissura.synth.aerial.video import Encoding, write_flight

    world = make_world(SEED, WorldOptions(extent_m=(86.0, 5.0 * seconds + 60.0), road_width_m=17.0, crack_density=1.0))
    camera = AerialCamera(0.0, 0.0, HEIGHT_M, focal_px=FOCAL_PX, image_hw=HW)
    flight = plan_flight(world, camera, duration_s=seconds, speed_m_s=5.0, seed=SEED)
    write_flight(path, world, flight, encoding=Encoding(bitrate_mbps=64.0, preset="ultrafast", keyframe_s=1.0))


def join(clip: Path, loops: int) -> Path:
    """The clip several times in a row, copied packet by packet."""
    import av

    path = clip.with_name(f"{clip.stem}_x{loops}.mp4")
    with av.open(str(path), "w") as target:
        out = None
        offset = 0
        for _ in range(loops):
            with av.open(str(clip)) as source:
                stream = source.streams.video[0]
                out = target.add_stream_from_template(stream) if out is None else out
                last = 0
                for packet in source.demux(stream):
                    if packet.dts is None:
                        continue
                    last = max(last, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, out
                    target.mux(packet)
                offset += last
    return path


def describe_clip(path: Path) -> dict[str, Any]:
    """Size and rate."""
    from fissura.imaging.video import open_video

    with open_video(path) as video:
        info = video.info
    seconds = info.duration_s or 0.0
    return {
        "size_hw": list(info.size_hw), "fps": info.fps, "seconds": round(seconds, 2), "codec": info.codec,
        "mbit_s": round(path.stat().st_size * 8e-6 / max(seconds, 1e-6), 1),
    }  # fmt: skip


def survey(clip: Path, options: argparse.Namespace) -> dict[str, Any]:
    """``fissura survey`` in a process of its own; memory is read every second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fissura", "survey", str(clip), "--out", f"{folder}/run"]
        command += ["--model", options.model, "--focal-35mm", f"{FOCAL_PX / HW[1] * 36:.4f}"]
        command += ["--height-m", str(HEIGHT_M), "--quiet"]
        command += [] if options.scale is None else ["--scale", str(options.scale)]
        start = time.perf_counter()
        process = subprocess.Popen(command)
        memory = []
        while process.poll() is None:
            memory.append(resident_mb(process.pid))
            time.sleep(1.0)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise SystemExit(f"fissura survey ended with {process.returncode}")
        (summary,) = json.loads(Path(folder, "run", "summary.json").read_text())["videos"]
        usage = os.times()
        coverage = road_coverage(clip, Path(folder, "run")) if options.loops == 1 else None
    third = max(len(memory) // 3, 1)
    return {
        "process_s": round(seconds, 1), "flight_s": summary["elapsed_s"], "video_s": summary["duration_s"],
        "peak_mb": max(memory, default=0), "memory_first_third_mb": int(np.median(memory[:third])),
        "memory_last_third_mb": int(np.median(memory[-third:])), "road_covered": coverage,
        "looks": summary["looked_frames"], "slices": summary["slices"], "lost": summary["lost"],
        "charts": summary["charts"], "stages_s": summary["seconds"], "children_cpu_s": round(usage.children_user, 1),
        "memory_mb": memory[:: max(len(memory) // 120, 1)],
    }  # fmt: skip


def resident_mb(pid: int) -> int:
    """Resident memory of a process."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return 0


def road_coverage(clip: Path, run: Path) -> float | None:
    """Share of the road's area, as far as any frame shows it, that was segmented at least once.

    The looks and their poses are in the manifest; whether ground was segmented is read from the tiles of the run's
    ground. Points are 0.25 m apart on the true road; a frame's true camera takes them to the frame, the survey's own
    pose from there to its ground.
    """
    import cv2

    from fissura.survey.ground import TILE_PX
    from fissura.survey.pose import FramePose, Lens
    from fissura.synth.aerial import WorldOptions, make_world
    from fissura.synth.aerial.video import FlightTruth

    if not clip.with_suffix(".json").is_file():
        return None
    truth = FlightTruth.read(clip.with_suffix(".json"))
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in truth.options.items()}
    world = make_world(truth.seed, WorldOptions(**options))
    ground = world.ground(100.0)
    rows, columns = np.nonzero(ground.road)
    every = ground.grid.ground(np.column_stack([columns, rows]).astype(np.float64))
    lens = Lens(FOCAL_PX, HW)
    lines = [json.loads(line) for line in (run / "manifest.jsonl").read_text().splitlines()]
    looks = [line for line in lines if "frame" in line]
    shown = np.zeros(len(every), bool)
    for camera in truth.cameras[::30]:
        xy = transform(camera.image_from_ground(), every)
        shown |= (xy[:, 0] > 0) & (xy[:, 0] < HW[1] - 1) & (xy[:, 1] > 0) & (xy[:, 1] < HW[0] - 1)
    tiles: dict[tuple[int, int], np.ndarray] = {}
    for path in (run / "work" / "videos").glob("*/ground/crack_*.png"):
        row, column = (int(part) for part in path.stem.split("_")[1:])
        tiles[row, column] = cv2.imread(str(path))[:, :, 1] > 0
    seen = np.zeros(len(every), bool)
    for look in looks:
        camera = truth.cameras[look["frame"]]
        xy = transform(camera.image_from_ground(), every)
        inside = (xy[:, 0] > 0) & (xy[:, 0] < HW[1] - 1) & (xy[:, 1] > 0) & (xy[:, 1] < HW[0] - 1)
        pose = FramePose.from_vector(np.array(look["pose"]))
        at = np.rint(transform(pose.ground_from_frame(lens), xy[inside])).astype(int)[:, ::-1]
        keys, inner = at // TILE_PX, at % TILE_PX
        pairs = zip(map(tuple, keys.tolist()), inner.tolist(), strict=True)
        hit = np.array([key in tiles and bool(tiles[key][y, x]) for key, (y, x) in pairs], bool)
        seen[np.flatnonzero(inside)[hit]] = True
    return round(float(seen[shown].mean()), 5)


def plain_tiling(clip: Path, model: str) -> dict[str, Any]:
    """Every tile of every tenth frame, on the first three such frames; the minute is extrapolated."""
    from fissura import load_segmenter
    from fissura.imaging.video import open_video

    segmenter = load_segmenter(model)
    spent, frames = [], 0
    with open_video(clip) as video:
        count = video.info.frame_count or 1800
        for frame in video:
            if frame.index % 10 == 0:
                rgb = frame.rgb()
                start = time.perf_counter()
                segmenter.segment(rgb)
                spent.append(time.perf_counter() - start)
                frames += 1
            if frames == 4:
                break
    each = float(np.median(spent[1:]))
    return {"frame_s": round(each, 3), "frames": count // 10, "inference_only_s": round(each * (count // 10), 1)}


if __name__ == "__main__":
    raise SystemExit(main())
