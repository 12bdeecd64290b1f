"""Speed of the shipped default against the published HACNetV2 in PyTorch, with F1 in the same table.

    python benchmarks/speed.py --data DIR        DIR holds data sets (images/ and masks/)

Contract: every row does one 512x512 image, on two threads, in interleaved rounds A B C A B C ...; medians and
p95 over the rounds; ratios are taken within a round, so that a slow moment of the machine hits both sides.
The published network (c=32, its slips and all, random weights: speed does not depend on them) runs in
inference mode, fp32, in contiguous and in channels-last layout, and the faster one is compared with.

Rows ``512`` are one forward pass of the shipped weights in a graph of 512x512; in int8 that graph is quantised
anew on generated crops, since tile size is fixed in a file. Rows ``in flight`` are the time per image when
images follow one another, as in a folder. Rows ``Segmenter`` are the shipped files with their own tiles,
overlaps and blending: what a user gets. F1 is that of the shipped files through the Segmenter.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_run, write_result

from fissura.data.pairs import find_pairs, find_sets
from fissura.export import export_onnx, pooled_f1
from fissura.export.int8 import quantise
from fissura.export.onnx_file import save_model
from fissura.infer import find_model, load_segmenter
from fissura.infer.backend import BackendOptions, Precision, load_backend
from fissura.infer.precision import fast_precisions
from fissura.infer.store import describe_file
from fissura.infer.timing import time_in_turns
from fissura.nets import load_weights
from fissura.nets.hacnet_v2 import HACNetV2, HACNetV2Config
from fissura.synth.crops import render_training_crop

SIDE, THREADS, IN_FLIGHT = 512, 2, 6
PUBLISHED = tuple(f"published HACNetV2 c=32, PyTorch fp32, {layout}" for layout in ("contiguous", "channels last"))
Row = tuple[Callable[[], object], int]
"""What to time, and how many images one call does."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data", type=Path, help="folder with data sets, for F1")
    parser.add_argument("--images", type=int, help="at most so many images of each set")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    run = describe_run()
    with tempfile.TemporaryDirectory() as folder:
        rows = make_rows(options.model, Path(folder))
        seconds = time_rows(rows, options.rounds)
    table = summarise(rows, seconds)
    if options.data:
        add_f1(table, options.model, options.data, options.images)
    print_table(table)
    tile = load_segmenter(options.model).card.tile
    settings = {"model": options.model, "tile": tile, "side_px": SIDE, "threads": THREADS, "rounds": options.rounds}
    result = run | settings | {"rows": table}
    print(f"wrote {write_result('speed', result, options.out)}")


def engines_and_precisions() -> list[tuple[str, Precision]]:
    """Every pair that can run here."""
    pairs: list[tuple[str, Precision]] = [("openvino", "int8"), ("openvino", "fp32")]
    if "bf16" in fast_precisions():
        pairs.insert(1, ("openvino", "bf16"))
    return [*pairs, ("onnxruntime", "int8"), ("onnxruntime", "fp32")]


def make_rows(model: str, folder: Path) -> dict[str, Row]:
    """Everything that is timed, by name."""
    image = render_training_crop(np.random.default_rng(0), SIDE, crack_probability=1.0)[0]
    rows: dict[str, Row] = {}
    net = HACNetV2(HACNetV2Config("published", 32, slips=True)).eval()
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float().div(255).contiguous()
    other = HACNetV2(HACNetV2Config("published", 32, slips=True)).eval().to(memory_format=torch.channels_last)
    rows[PUBLISHED[0]] = (lambda: _forward(net, tensor), 1)
    last = tensor.contiguous(memory_format=torch.channels_last)
    rows[PUBLISHED[1]] = (lambda: _forward(other, last), 1)
    files = write_large_graphs(model, folder)
    for engine, precision in engines_and_precisions():
        options = BackendOptions(precision, THREADS, in_flight=1)
        single = load_backend(engine, files[precision], options)
        rows[f"{engine} {precision}, 512"] = (lambda b=single: list(b.predict_tiles([image])), 1)
        if engine == "openvino":
            many, images = (
                load_backend(engine, files[precision], BackendOptions(precision, THREADS)),
                [image] * IN_FLIGHT,
            )
            name = f"{engine} {precision}, 512 in flight"
            rows[name] = (lambda b=many, i=images: list(b.predict_tiles(i)), IN_FLIGHT)
        segmenter = load_segmenter(model, engine=engine, precision=precision, threads=THREADS)
        rows[f"{engine} {precision}, Segmenter"] = (lambda s=segmenter: s.segment(image), 1)
    return rows


def write_large_graphs(model: str, folder: Path) -> dict[str, Path]:
    """The shipped weights in graphs of 512x512, by precision."""
    weights = (describe_file(Path(model)) if model.endswith(".onnx") else find_model(model)).safetensors
    if weights is None:
        raise SystemExit(f"model {model} ships no safetensors file to build a graph of {SIDE} from")
    net, card = load_weights(weights)
    card = card.model_copy(update={"tile": SIDE})
    plain, int8 = folder / "large.onnx", folder / "large.int8.onnx"
    export_onnx(net, card, plain)
    rng = np.random.default_rng(1)
    crops = [render_training_crop(rng, SIDE, crack_probability=0.5)[0] for _ in range(12)]
    save_model(quantise(plain, crops), card.model_copy(update={"precision": "int8"}), int8)
    return {"fp32": plain, "bf16": plain, "int8": int8}


def time_rows(rows: dict[str, Row], rounds: int) -> dict[str, list[float]]:
    """Seconds per image of every row in every round."""
    seconds = time_in_turns({name: call for name, (call, _) in rows.items()}, rounds)
    return {name: [value / rows[name][1] for value in values] for name, values in seconds.items()}


def summarise(rows: dict[str, Row], seconds: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Median, p95 and how many times faster than the published network, by row."""
    base = min(PUBLISHED, key=lambda name: statistics.median(seconds[name]))
    table: dict[str, dict[str, Any]] = {}
    for name in rows:
        ratios = [a / b for a, b in zip(seconds[base], seconds[name], strict=True)]
        table[name] = {
            "median_ms": round(1e3 * statistics.median(seconds[name]), 2),
            "p95_ms": round(1e3 * float(np.quantile(seconds[name], 0.95)), 2),
            "times_faster_median": round(statistics.median(ratios), 2),
            "times_faster_min_max": [round(min(ratios), 2), round(max(ratios), 2)],
        }
    return table


def add_f1(table: dict[str, dict[str, Any]], model: str, data: Path, limit: int | None) -> None:
    """Pooled F1 of each data set at the card's threshold, and their mean, for every engine and precision."""
    sets = {name: find_pairs(folder)[:limit] for name, folder in find_sets(data).items()}
    for engine, precision in engines_and_precisions():
        backend = load_segmenter(model, engine=engine, precision=precision, threads=THREADS).backend
        f1 = {name: round(pooled_f1(backend, pairs), 4) for name, pairs in sets.items()}
        mean = round(statistics.fmean(f1.values()), 4)
        for name, row in table.items():
            if name.startswith(f"{engine} {precision},"):
                row.update({"f1": f1, "f1_mean": mean})


def print_table(table: dict[str, dict[str, Any]]) -> None:
    width = max(map(len, table))
    print(f"{'':{width}}  median ms    p95 ms  times faster  (min to max)   F1")
    for name, row in table.items():
        low, high = row["times_faster_min_max"]
        f1 = f"{row['f1_mean']:.4f}" if "f1_mean" in row else "-"
        print(
            f"{name:{width}}  {row['median_ms']:9.1f} {row['p95_ms']:9.1f}  {row['times_faster_median']:12.1f}  "
            f"({low:.1f} to {high:.1f})   {f1}"
        )


def _forward(net: torch.nn.Module, image: torch.Tensor) -> None:
    with torch.inference_mode():
        net(image)


if __name__ == "__main__":
    main()
