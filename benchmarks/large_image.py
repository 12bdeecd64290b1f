"""Peak memory of ``fissura segment`` on a 12,000 x 9,000 image: a JPEG, and a tiled GeoTIFF.

    python benchmarks/large_image.py [--model fast]

The command runs as a user runs it, in its own process; its peak resident memory is what the operating system
reports when it has ended. Passes below 2 GB for each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from machine import describe_run, write_result

from fissura.synth.crops import render_training_crop

LIMIT_BYTES = 2_000_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--width", type=int, default=12_000)
    parser.add_argument("--height", type=int, default=9_000)
    parser.add_argument("--kinds", nargs="+", default=["jpg", "tif"], choices=["jpg", "tif"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only-write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_write:
        write_image(options.only_write, options.height, options.width)
        return 0
    run = describe_run()
    rows = {}
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as folder:
            image = Path(folder) / f"large.{kind}"
            # In a process of its own: a child starts with its parent's peak, which would be that of the image.
            size = ["--height", str(options.height), "--width", str(options.width)]
            subprocess.run([sys.executable, __file__, "--only-write", str(image), *size], check=True)
            rows[kind] = segment(image, Path(folder) / "out", options.model, (options.height, options.width))
        row = rows[kind]
        verdict = "pass" if row["passed"] else "FAIL"
        print(f"{kind}: {verdict}, peak {row['peak_bytes'] / 1e9:.2f} GB, {row['seconds']:.0f} s, limit 2 GB")
    result = run | {"size_hw": [options.height, options.width], "limit_bytes": LIMIT_BYTES, "rows": rows}
    print(f"wrote {write_result('large_image', result, options.out)}")
    return 0 if all(row["passed"] for row in rows.values()) else 1


def write_image(path: Path, height: int, width: int) -> None:
    """A generated image of that size: one synthetic scene, mirrored and repeated."""
    side = 750
    scene = render_training_crop(np.random.default_rng(0), side, crack_probability=1.0)[0]
    block = np.block([[[scene], [scene[:, ::-1]]], [[scene[::-1]], [scene[::-1, ::-1]]]])
    times = -(-height // (2 * side)), -(-width // (2 * side))
    rgb = np.ascontiguousarray(np.tile(block, (*times, 1))[:height, :width])
    if path.suffix == ".jpg":
        cv2.imwrite(str(path), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        return
    import rasterio
    from rasterio.transform import from_origin

    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=3, dtype="uint8", crs="EPSG:32632",
        transform=from_origin(500_000, 5_400_000, 0.002, 0.002), tiled=True, compress="deflate", photometric="RGB",
    ) as raster:  # fmt: skip
        raster.write(rgb.transpose(2, 0, 1))


def segment(image: Path, out: Path, model: str, size_hw: tuple[int, int]) -> dict[str, object]:
    """Run the command on it and see what it took."""
    start = time.perf_counter()
    code = "from fissura.cli.app import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "segment", str(image), "--out", str(out), "--model", model, "--quiet"]
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in kibibytes, macOS in bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    masks = list((out / "masks").rglob("large*"))
    complete = process.returncode == 0 and len(masks) == 1 and _size_hw(masks[0]) == size_hw
    return {
        "passed": complete and peak < LIMIT_BYTES,
        "complete": complete,
        "exit_status": process.returncode,
        "peak_bytes": peak,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _size_hw(path: Path) -> tuple[int, int]:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        return image.height, image.width


if __name__ == "__main__":
    sys.exit(main())
