"""Time and memory of tracing centrelines: a 4K mask with 2 % crack pixels, and a 30,000 x 30,000 raster by tiles.

    python benchmarks/measure_graph.py [--kinds frame raster] [--rounds 20]

Both masks are synthetic cracks with exact truth; the raster repeats one block of them, mirrored so that cracks go on
across its borders, and is made window by window, never as a whole. Each part runs in a process of its own; its peak
memory is what the operating system reports when it has ended. Passes at 400 ms median for the frame and 2 GB for the
raster.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from machine import describe_run, write_result

from fissura.measure.graph import trace_cracks
from fissura.measure.large import trace_cracks_by_tiles
from fissura.measure.model import CrackGraph
from fissura.synth.cracks import coverage_map, crack_mask, grow_crack, grow_network

FRAME_HW = (2160, 3840)
CRACK_SHARE = 0.02
FRAME_LIMIT_S = 0.4
RASTER_LIMIT_BYTES = 2_000_000_000
BLOCK_PX = 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=["frame", "raster"], choices=["frame", "raster"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--side", type=int, default=30_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=["frame", "raster"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        row = time_frame(options.rounds) if options.only == "frame" else trace_raster(options.side)
        print(json.dumps(row))
        return 0
    run = describe_run()
    rows = {}
    for kind in options.kinds:
        row = run_alone(kind, options.rounds, options.side)
        row["passed"] = bool(row["complete"]) and (
            row["median_s"] <= FRAME_LIMIT_S if kind == "frame" else row["peak_bytes"] < RASTER_LIMIT_BYTES
        )
        rows[kind] = row
        print(f"{kind}: {'pass' if row['passed'] else 'FAIL'}, {json.dumps(row)}")
    limits = {"frame_median_s": FRAME_LIMIT_S, "raster_peak_bytes": RASTER_LIMIT_BYTES}
    print(f"wrote {write_result('measure_graph', run | {'limits': limits, 'rows': rows}, options.out)}")
    return 0 if all(row["passed"] for row in rows.values()) else 1


def run_alone(kind: str, rounds: int, side: int) -> dict[str, object]:
    """One part in a process of its own, with its peak memory."""
    command = [sys.executable, __file__, "--only", kind, "--rounds", str(rounds), "--side", str(side)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in kibibytes, macOS in bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    row = json.loads(output.splitlines()[-1]) if process.returncode == 0 else {"complete": False}
    return row | {"peak_bytes": peak}


def cracks_on(hw: tuple[int, int], share: float, seed: int) -> np.ndarray:
    """Cracks 1 to 30 px wide and a field of alligator cracking, as many as it takes for that share of the pixels."""
    rng = np.random.default_rng(seed)
    field = grow_network(rng, (700.0, 700.0), width=4.0, step=9.0, cell=100.0)
    mask = crack_mask(field, coverage_map(field, hw, 1.0), 1.0)
    for width in (8.0, 3.0, 12.0, 1.0, 30.0, 5.0, 2.0, 16.0, 4.0, 8.0, 20.0, 6.0, 10.0, 3.0, 12.0, 5.0):
        if mask.mean() >= share:
            break
        cracks = grow_crack(rng, hw, width=width, step=9.0, branches=3)
        mask |= crack_mask(cracks, coverage_map(cracks, hw, 1.0), 1.0)
    return mask


def time_frame(rounds: int) -> dict[str, object]:
    """Median and 95th percentile of `trace_cracks`, wall clock and processor time."""
    mask = cracks_on(FRAME_HW, CRACK_SHARE, seed=0)
    for _ in range(3):
        graph = trace_cracks(mask)
    wall, processor = [], []
    for _ in range(max(rounds, 10)):
        start, start_cpu = time.perf_counter(), time.process_time()
        graph = trace_cracks(mask)
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_cpu)
    return describe(graph, float(mask.mean())) | {
        "complete": graph.length_px > 0,
        "rounds": len(wall),
        "median_s": round(float(np.median(wall)), 4),
        "p95_s": round(float(np.percentile(wall, 95)), 4),
        "median_cpu_s": round(float(np.median(processor)), 4),
    }


def trace_raster(side: int) -> dict[str, object]:
    """Trace a square raster by tiles. Reading a window costs next to nothing here."""
    block = cracks_on((BLOCK_PX, BLOCK_PX), CRACK_SHARE, seed=1)
    period = np.block([[block, block[:, ::-1]], [block[::-1], block[::-1, ::-1]]])

    def read(rows: slice, columns: slice) -> tuple[np.ndarray, None]:
        at_rows = np.arange(rows.start, rows.stop) % len(period)
        at_columns = np.arange(columns.start, columns.stop) % len(period)
        return period[at_rows[:, None], at_columns], None

    start = time.perf_counter()
    start_cpu = time.process_time()
    graph = trace_cracks_by_tiles(read, side, side)
    return describe(graph, float(block.mean())) | {
        "complete": graph.size_hw == (side, side) and graph.length_px > 0,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - start_cpu, 1),
    }


def describe(graph: CrackGraph, share: float) -> dict[str, object]:
    widths = sum(branch.length_px * float(branch.mask_width_px.mean()) for branch in graph.branches)
    return {
        "size_hw": list(graph.size_hw),
        "crack_share": round(share, 4),
        "branches": len(graph.branches),
        "cracks": len({branch.crack_id for branch in graph.branches}),
        "length_px": round(graph.length_px, 1),
        "mean_width_px": round(widths / max(graph.length_px, 1e-9), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
