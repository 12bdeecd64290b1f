"""Our networks and the peers with one recipe and one budget, on every test folder and on the crack-free pictures.

    python runs/equal_footing.py [--recipe runs/leave_one_out.yaml] [--steps 1500] [--out out/equal_footing]

Needs FISSURA_DATA. Fresh weights, the same crops in the same order for all; the budget is small, so every row is
undertrained and says so. A training that was stopped goes on; cells that are measured stay. Result:
``benchmarks/results/equal_footing.json``, which ``docs/make_models.py`` turns into a table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from machine import RESULTS, describe_run, write_result  # noqa: E402
from model_table import NEGATIVES, OTHERS, PUBLIC, measure  # noqa: E402

from fissura.compare.scoring import export_cell  # noqa: E402
from fissura.infer.backend import BackendOptions, load_backend  # noqa: E402
from fissura.infer.segmenter import Segmenter  # noqa: E402
from fissura.nets import load_weights, parameter_count  # noqa: E402
from fissura.nets.gmac import count_gmac  # noqa: E402
from fissura.train.config import TrainConfig, read_config  # noqa: E402
from fissura.train.loop import read_sets, train  # noqa: E402

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "nano": ("ladder", {}),
    "HACNetV2 behind unshuffle(4), width 16": ("hacnet_v2", {"variant": "unshuffled", "width": 16, "unshuffle": 4}),
    "wide ladder": ("ladder", {"widths": [64, 64, 80, 96], "blocks": [1, 2, 2, 2], "back": [2, 1, 1], "stem": 24}),
    "SwiftNet": ("swiftnet", {}),
    "BiSeNetV2": ("bisenet_v2", {}),
    "fast": ("hacnet_v2", {"variant": "unshuffled", "width": 32}),
    "UNet (width 32)": ("unet", {"width": 32}),
    "published HACNetV2 (c=32)": ("hacnet_v2", {"variant": "published", "width": 32, "slips": True}),
}
"""Quick ones first: a run that is stopped has whole rows."""
TILE, OVERLAP = 256, 64
"""Of the evaluation, as the shipped models are used."""


def recipe_of(base: TrainConfig, name: str, steps: int) -> TrainConfig:
    """The recipe for one of `NETWORKS`."""
    architecture, options = NETWORKS[name]
    own = {"architecture": architecture, "architecture_options": options, "steps": steps, "name": _slug(name)}
    return TrainConfig.model_validate(base.model_dump() | own | {"checkpoint_every": 250})


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower()).strip("_")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "runs" / "leave_one_out.yaml")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "equal_footing")
    parser.add_argument("--result", type=Path, default=RESULTS / "equal_footing.json")
    options = parser.parse_args()
    if "FISSURA_DATA" not in os.environ:
        sys.exit("set FISSURA_DATA to the folder that holds crack/")
    data = Path(os.environ["FISSURA_DATA"]) / "crack"
    base = read_config(options.recipe)
    budget = {"steps": options.steps, "crops_a_step": base.batch, "tile": base.tile, "seed": base.seed}
    result: dict[str, Any] = {"rows": {}}
    if options.result.exists():
        result = json.loads(options.result.read_text(encoding="utf-8"))
        if result["budget"] != budget:
            sys.exit(f"{options.result} is of another budget: {result['budget']}; give another --result")
    sets = read_sets(base)
    for name in options.networks:
        config = recipe_of(base, name, options.steps)
        start = time.perf_counter()
        weights = train(config, options.out / config.name, quiet=True, sets=sets)
        net, card = load_weights(weights)
        row = result["rows"].get(name, {})
        if row.get("weights_sha256") != card.weights_sha256:
            row = {"weights_sha256": card.weights_sha256, "minutes": round((time.perf_counter() - start) / 60, 1)}
        row |= {"parameters": parameter_count(net), "GMAC": round(count_gmac(net, (512, 512)), 3)}
        row.setdefault("cells", {})
        result["rows"][name] = row
        _score(weights, row, result | {"budget": budget}, data, options)
    return 0


def _score(weights: Path, row: dict[str, Any], result: dict[str, Any], data: Path, options: argparse.Namespace) -> None:
    """Measure what is not there yet, and write after each cell."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_cell(weights, path, tile=TILE, overlap=OVERLAP)
        backend = load_backend("openvino", path, BackendOptions("bf16", options.threads))
        segmenter = Segmenter(backend, threshold=0.5)
        for test in (*PUBLIC, *OTHERS, *NEGATIVES):
            cell = f"clean: {test}/test"
            if cell in row["cells"]:
                continue
            row["cells"][cell] = measure(segmenter, data / test / "test", "clean", 1)
            row |= describe_run()
            write_result("equal_footing", result, options.result)
            print(f"{weights.stem}, {cell}: {row['cells'][cell]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
