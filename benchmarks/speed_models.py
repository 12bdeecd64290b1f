"""Speed of every shipped model beside the networks it is compared with: parameters, GMAC, milliseconds.

    python benchmarks/speed_models.py [--rounds 15] [--out FILE]

Contract: every row does one 512x512 image in one forward pass, on two threads, in interleaved rounds A B C A B C ...;
medians and p95 over the rounds. Ratios are taken within a round, so that a slow moment of the machine hits both sides.
All rows run in OpenVINO. Shipped models: their weights in a graph of 512x512, in int8 quantised anew on generated
crops, since tile size is fixed in a file. The others (random weights: speed does not depend on them) in fp32 and, where
the processor has it, bf16. UNet has width 32 as in runs/compare.yaml.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_run, write_result
from speed import SIDE, THREADS, write_large_graphs

from fissura.export import export_onnx
from fissura.infer.backend import BackendOptions, Precision, load_backend
from fissura.infer.precision import fast_precisions
from fissura.infer.store import list_models
from fissura.infer.timing import time_in_turns
from fissura.nets import build, load_weights, parameter_count
from fissura.nets.gmac import count_gmac
from fissura.spec import ModelCard
from fissura.synth.crops import render_training_crop

PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "published HACNetV2 (c=32)": ("hacnet_v2", {"variant": "published", "width": 32, "slips": True}),
    "HACNetV2 behind unshuffle(4), width 16": ("hacnet_v2", {"variant": "unshuffled", "width": 16, "unshuffle": 4}),
    "wide ladder": ("ladder", {"widths": [64, 64, 80, 96], "blocks": [1, 2, 2, 2], "back": [2, 1, 1], "stem": 24}),
    "HACNet": ("hacnet", {}),
    "UNet (width 32)": ("unet", {"width": 32}),
    "BiSeNetV2": ("bisenet_v2", {}),
    "SwiftNet": ("swiftnet", {}),
}
BASE = "published HACNetV2 (c=32)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = describe_run()
    image = render_training_crop(np.random.default_rng(0), SIDE, crack_probability=1.0)[0]
    precisions: list[Precision] = ["fp32"]
    if "bf16" in fast_precisions():
        precisions.append("bf16")
    rows: dict[str, dict[str, Any]] = {}
    backends = {}
    with tempfile.TemporaryDirectory() as folder:
        for model in list_models():
            name = model.name
            if model.safetensors is None:
                continue
            files = write_large_graphs(name, Path(folder))
            net, _ = load_weights(model.safetensors)
            facts = {"parameters": parameter_count(net), "GMAC": round(count_gmac(net, (SIDE, SIDE)), 3)}
            shipped: list[Precision] = ["int8", *precisions]
            for precision in shipped:
                rows[f"{name} {precision}"] = facts | {"kind": "shipped", "network": name, "precision": precision}
                backends[f"{name} {precision}"] = load_backend(
                    "openvino", files[precision], BackendOptions(precision, THREADS, in_flight=1)
                )
        for name, (architecture, configuration) in PEERS.items():
            net = build(architecture, configuration).eval()
            card = ModelCard(
                name="peer", version="0.0.0", description="For its speed.", architecture=architecture,
                architecture_options=configuration, parameters=parameter_count(net), tile=SIDE,
            )  # fmt: skip
            path = Path(folder) / "peer.onnx"
            export_onnx(net, card, path)
            facts = {"parameters": parameter_count(net), "GMAC": round(count_gmac(net, (SIDE, SIDE)), 3)}
            for precision in precisions:
                rows[f"{name} {precision}"] = facts | {"kind": "peer", "network": name, "precision": precision}
                backends[f"{name} {precision}"] = load_backend(
                    "openvino", path, BackendOptions(precision, THREADS, in_flight=1)
                )
    calls = {name: lambda b=backend: list(b.predict_tiles([image])) for name, backend in backends.items()}
    seconds = time_in_turns(calls, options.rounds)
    base = min((f"{BASE} {p}" for p in precisions), key=lambda n: statistics.median(seconds[n]))
    for name, row in rows.items():
        ratios = [a / b for a, b in zip(seconds[base], seconds[name], strict=True)]
        row["median_ms"] = round(1e3 * statistics.median(seconds[name]), 2)
        row["p95_ms"] = round(1e3 * float(np.quantile(seconds[name], 0.95)), 2)
        row["times_faster_median"] = round(statistics.median(ratios), 2)
        row["times_faster_min_max"] = [round(min(ratios), 2), round(max(ratios), 2)]
        print(f"{name:34} {row['parameters']:>12,} {row['GMAC']:>9.2f} GMAC {row['median_ms']:>9.1f} ms "
              f"(p95 {row['p95_ms']:.1f})  x{row['times_faster_median']:.1f}", flush=True)  # fmt: skip
    settings = {"side_px": SIDE, "threads": THREADS, "rounds": options.rounds, "base": base}
    print(f"wrote {write_result('speed_models', run | settings | {'rows': rows}, options.out)}")


if __name__ == "__main__":
    main()
