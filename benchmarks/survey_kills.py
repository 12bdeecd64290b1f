"""A survey that is killed again and again: does it end with the same results, and does it do nothing twice?

    python benchmarks/survey_kills.py [--kills 50] [--photos 30]

Photos and an H.264 video are drawn; an undisturbed run gives the truth. A second run is killed with SIGKILL at random
moments and started again with the same command until it has been killed so often and has then ended by itself.
Compared are all layers of the GeoPackage, all masks and probabilities (byte by byte) and the manifest (timings aside).
A finished photo or look whose files were written a second time counts as done twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_run, write_result

from fissura.synth.aerial import AerialCamera, WorldOptions, make_world, plan_flight, write_flight, write_photo_flight

TIMINGS = ("seconds",)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--photos", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = describe_run()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_inputs(root / "inputs", options.photos)
        start = time.perf_counter()
        undisturbed = survey(root / "inputs", root / "whole")
        undisturbed.wait()
        whole_s = time.perf_counter() - start
        result = kill_and_compare(root, options.kills, whole_s, random.Random(options.seed))
    result |= {"photos": options.photos, "undisturbed_s": round(whole_s, 1)}
    passed = result["same_results"] and not result["done_twice"] and result["kills"] >= options.kills
    print(json.dumps(result, indent=1))
    print(f"{'pass' if passed else 'FAIL'}: wrote {write_result('survey_kills', run | result, options.out)}")
    return 0 if passed else 1


def write_inputs(folder: Path, photos: int) -> None:
    """Photos along a road, and a video of another road."""
    options = WorldOptions(
        extent_m=(16.0, 12.0 + 1.2 * photos), road_width_m=5.0, crack_density=2.0, vehicles=0.0, trees=0.05, houses=0.0
    )
    camera = AerialCamera(0.0, 0.0, 6.0, focal_px=800.0, image_hw=(600, 800))
    flight = write_photo_flight(
        folder / "photos", make_world(21, options), camera, spacing_m=1.2, most=photos, gsd_mm=7.5
    )
    assert len(flight.paths) == photos, len(flight.paths)
    world = make_world(12, WorldOptions(
        extent_m=(30.0, 50.0), road_width_m=5.0, crack_density=2.0, vehicles=0.0, trees=0.1, houses=0.0, markings=False
    ))  # fmt: skip
    camera = AerialCamera(0.0, 0.0, 12.5, focal_px=625.0, image_hw=(360, 640))
    film = plan_flight(world, camera, duration_s=6.0, speed_m_s=3.0, fps=20.0, seed=3)
    write_flight(folder / "flight.mp4", world, film, bitrate_mbps=8.0)


def survey(inputs: Path, out: Path, *extra: str) -> subprocess.Popen[bytes]:
    """``fissura survey`` in a process group of its own."""
    command = [sys.executable, "-m", "fissura", "survey", str(inputs), "--out", str(out), "--quiet", *extra]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_and_compare(
    root: Path, kills: int, whole_s: float, rng: random.Random, *extra: str, least_s: float = 0.5
) -> dict[str, Any]:
    """Kill a run so often, let it end, and compare it with the one in ``root/whole``."""
    done, twice, written = 0, 0, {}
    while True:
        process = survey(root / "inputs", root / "killed", *extra)
        if done < kills:
            # Short enough that so many kills fall into the work, long enough to get on.
            wait = least_s + rng.uniform(0.0, 2.0 * whole_s / kills + 2.0)
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                done += 1
        else:
            process.wait()
        twice += count_rewritten(root / "killed", written)
        if process.returncode == 0 and done >= kills:
            break
        if process.returncode == 0:
            # It ended before it was killed often enough: what is left to kill is the making of the report.
            (root / "killed" / "report.html").unlink(missing_ok=True)
        elif process.returncode not in (0, -signal.SIGKILL):
            assert process.stderr is not None
            raise SystemExit(f"the survey ended with {process.returncode}: {process.stderr.read().decode()}")
    differences = compare(root / "whole", root / "killed")
    return {"kills": done, "same_results": not differences, "differences": differences[:20], "done_twice": twice}


def count_rewritten(run: Path, written: dict[str, int]) -> int:
    """Finished work whose files were written again since the last call; remembers what is finished now."""
    again = 0
    for pattern in ("work/photos/*.json", "work/photos/**/*.json", "work/videos/*/looks_*/*.png"):
        for path in run.glob(pattern):
            moment = path.stat().st_mtime_ns
            again += written.get(str(path), moment) != moment
            written[str(path)] = moment
    return again


def compare(a: Path, b: Path) -> list[str]:
    """What differs between the results of two runs."""
    found = []
    for kind in ("masks", "probability", "overlays"):
        left, right = ({p.relative_to(r).as_posix(): digest(p) for p in (r / kind).rglob("*.*")} for r in (a, b))
        found += [f"{name} differs" for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name)]
    left_log, right_log = manifest(a), manifest(b)
    found += [f"manifest: {line}" for line in sorted(left_log ^ right_log)]
    return found + compare_packages(a / "cracks.gpkg", b / "cracks.gpkg")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(run: Path) -> set[str]:
    """Lines without timings; a line that is there twice counts as a difference."""
    lines = []
    for text in (run / "manifest.jsonl").read_text().splitlines():
        lines.append(json.dumps({k: v for k, v in json.loads(text).items() if k not in TIMINGS}, sort_keys=True))
    return set(lines) | {f"twice: {line}" for line in lines if lines.count(line) > 1}


def compare_packages(a: Path, b: Path) -> list[str]:
    """Layers, rows and geometries of two GeoPackages, with GDAL."""
    import pyogrio

    names_a, names_b = (sorted(str(name) for name, _ in pyogrio.list_layers(p)) for p in (a, b))
    if names_a != names_b:
        return [f"layers {names_a} and {names_b}"]
    found = []
    for name in names_a:
        rows = [pyogrio.raw.read(p, layer=name) for p in (a, b)]
        (meta_a, _, shapes_a, fields_a), (meta_b, _, shapes_b, fields_b) = rows
        if list(meta_a["fields"]) != list(meta_b["fields"]):
            found.append(f"{name}: other fields")
            continue
        same = (shapes_a is None) == (shapes_b is None) and (
            shapes_a is None or [bytes(s or b"") for s in shapes_a] == [bytes(s or b"") for s in shapes_b]
        )
        found += [] if same else [f"{name}: other geometries"]
        for field, x, y in zip(meta_a["fields"], fields_a, fields_b, strict=True):
            if field in (*TIMINGS, "update_time"):
                continue
            if [str(v) for v in x] != [str(v) for v in y]:
                found.append(f"{name}.{field} differs")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
