"""Peak memory of the raster stage of ``fissura survey`` on a GeoTIFF of 40,000 x 40,000 pixels.

    python benchmarks/large_geotiff.py [--side 40000] [--model fast | --tiny]

The raster is full ground: one drawn asphalt tile, mirrored and repeated, with long cracks of known vectors across it.
The stage runs in a process of its own; its peak resident memory is what the operating system reports when it has
ended. Passes below 2.5 GB, if all three layers are Cloud Optimized GeoTIFFs with overviews. ``--tiny`` takes a finder
of dark lines in place of a network, to see everything around it, and has to find all cracks in their full length.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from machine import ROOT, describe_run, write_result

LIMIT_BYTES = 2_500_000_000
GSD_M = 0.004
THICKNESS = 4
STRIP_PX = 1024
LAYERS = ("mask", "probability", "overlay")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--folder", type=Path, help="where the files go; by default a temporary folder")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--step", choices=["write", "survey"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step == "write":
        write_raster(options.folder / "large.tif", options.side)
        return 0
    if options.step == "survey":
        survey(options.folder, options.model, options.tiny)
        return 0
    run = describe_run()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        row = measure(folder, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    verdict = "pass" if row["passed"] else "FAIL"
    print(f"{verdict}: peak {row['peak_bytes'] / 1e9:.2f} GB, {row['seconds']:.0f} s, {row['found_m']:.0f} of "
          f"{row['drawn_m']:.0f} m")  # fmt: skip
    name = "large_geotiff_tiny" if options.tiny else "large_geotiff"
    result = run | {"size_hw": [options.side] * 2, "limit_bytes": LIMIT_BYTES, "row": row}
    print(f"wrote {write_result(name, result, options.out)}")
    return 0 if row["passed"] else 1


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write the raster, survey it, and look at what came out."""
    command = [sys.executable, __file__, "--folder", str(folder), "--side", str(options.side), "--model", options.model]
    command += ["--tiny"] if options.tiny else []
    # Both in processes of their own: a child starts with its parent's peak.
    subprocess.run([*command, "--step", "write"], check=True)
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--step", "survey"])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    # Linux counts in kibibytes, macOS in bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    complete = process.returncode == 0
    found = json.loads((folder / "found.json").read_text(encoding="utf-8")) if complete else {}
    layers = {name: describe_layer(folder / f"{name}.tif") for name in LAYERS} if complete else {}
    drawn_m = sum(float(np.hypot(*(b - a))) for line in crack_lines(options.side) for a, b in pairwise(line)) * GSD_M
    # How much of such bare drawn lines a network finds is not what is measured here; it is in the row.
    right_length = complete and (not options.tiny or abs(found["length_m"] / drawn_m - 1) < 0.02)
    all_cogs = complete and all(layer["layout"] == "COG" and layer["overviews"] for layer in layers.values())
    return {
        "passed": bool(complete and peak < LIMIT_BYTES and all_cogs and right_length), "complete": complete,
        "peak_bytes": peak, "seconds": round(seconds, 1), "model": "tiny" if options.tiny else options.model,
        "drawn_m": round(drawn_m, 2), "found_m": round(found.get("length_m", 0.0), 2),
        "width_drawn_px": drawn_width_px(), "width_found_px": found.get("width_px"), "cracks": found.get("cracks"),
        "stage_seconds": found.get("seconds"), "input_bytes": (folder / "large.tif").stat().st_size, "layers": layers,
    }  # fmt: skip


def crack_lines(side: int) -> list[np.ndarray]:
    """Centrelines (row, column) of the drawn cracks: across the whole raster, in all directions."""
    far, near = side - 700.0, 700.0
    middle = side / 2 + 0.3 * near
    return [
        np.array([[near, near], [middle, middle * 0.8], [far, far]]),
        np.array([[near * 2, far], [middle, middle * 1.3], [far, near * 1.5]]),
        np.array([[middle * 0.4, near], [middle * 0.4, far * 0.35]]),
        np.array([[far * 0.6, far * 0.95], [far * 0.98, far * 0.95]]),
    ]


def write_raster(path: Path, side: int) -> None:
    """The raster, strip by strip."""
    import rasterio
    from rasterio.transform import from_origin

    block = asphalt()
    rows = np.tile(block, (-(-STRIP_PX // len(block)) + 1, -(-side // block.shape[1]), 1))[:, :side]
    profile = {
        "driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "crs": "EPSG:32632",
        "transform": from_origin(500_000, 5_400_000, GSD_M, GSD_M), "tiled": True, "blockxsize": 512,
        "blockysize": 512, "compress": "deflate", "zlevel": 1, "photometric": "RGB", "bigtiff": "yes",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        for top in range(0, side, STRIP_PX):
            height = min(STRIP_PX, side - top)
            first = top % len(block)
            rgb = np.ascontiguousarray(rows[first : first + height])
            for line in crack_lines(side):
                xy = np.rint((line[:, ::-1] - [0, top]) * 16).astype(np.int32)
                cv2.polylines(rgb, [xy], False, (28, 28, 30), THICKNESS, cv2.LINE_AA, 4)
            raster.write(np.moveaxis(rgb, 2, 0), window=((top, top + height), (0, side)))


def drawn_width_px() -> float:
    """Width of OpenCV's smooth lines of this thickness, which is not the thickness: area over length."""
    canvas = np.zeros((200, 3000), np.uint8)
    start, end = (0, 20 * 16), (3000 * 16, 180 * 16)
    cv2.line(canvas, start, end, 255, THICKNESS, cv2.LINE_AA, 4)
    return round(float(canvas.sum()) / 255 / np.hypot(3000, 160), 2)


def asphalt() -> np.ndarray:
    """A piece of drawn asphalt without cracks, mirrored so that it can be repeated."""
    from fissura.synth.crops import render_training_crop

    scene = render_training_crop(np.random.default_rng(4), 512, crack_probability=0.0)[0]
    # Its own dark spots are taken out: the finder of dark lines would find each of them ten thousand times.
    scene = np.clip(cv2.GaussianBlur(scene, (0, 0), 1.0).astype(np.int16) // 3 + 95, 0, 255).astype(np.uint8)
    return np.block([[[scene], [scene[:, ::-1]]], [[scene[::-1]], [scene[::-1, ::-1]]]])


def survey(folder: Path, model: str, tiny: bool) -> None:
    """The stage itself; writes what it found to ``found.json``."""
    from fissura.infer import load_segmenter
    from fissura.survey.raster_stage import LayerFiles, survey_raster

    if tiny:
        sys.path.insert(0, str(ROOT / "tests"))
        from support.tiny_model import make_tiny_onnx

        make_tiny_onnx(folder / "tiny.onnx", tile=256)
    segmenter = load_segmenter(folder / "tiny.onnx" if tiny else model)
    files = LayerFiles(*(folder / f"{name}.tif" for name in LAYERS))
    told = [0.0]

    def progress(done: float, total: float) -> None:
        assert done >= told[-1], "progress fell"
        if done - told[-1] > 0.02 * total:
            told.append(done)
            print(f"{100 * done / total:.0f} % of {total:.0f} megapixels", flush=True)

    found = survey_raster(folder / "large.tif", folder / "work", segmenter, files=files, progress=progress)
    cracks = found.measurement.cracks
    width_mm = sum(c.width_mean * c.length for c in cracks) / max(found.measurement.length, 1e-9)
    row = {
        "length_m": found.measurement.length / 1000, "cracks": len({c.crack_id for c in cracks}),
        "width_px": round(width_mm / (1000 * GSD_M), 2), "seconds": found.seconds,
    }  # fmt: skip
    (folder / "found.json").write_text(json.dumps(row), encoding="utf-8")


def describe_layer(path: Path) -> dict[str, Any]:
    """What kind of file a layer is, by rasterio."""
    import rasterio

    with rasterio.open(path) as layer:
        structure = layer.tags(ns="IMAGE_STRUCTURE")
        return {
            "driver": layer.driver, "layout": structure.get("LAYOUT"), "compression": structure.get("COMPRESSION"),
            "overviews": layer.overviews(1), "block": list(layer.block_shapes[0]), "bytes": path.stat().st_size,
        }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
