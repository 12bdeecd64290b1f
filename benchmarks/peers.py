"""The published HACNetV2 beside the networks of runs/compare.yaml: ``python benchmarks/peers.py out/published``.

Keeps the table of that folder, made by ``fissura compare runs/compare_published.yaml``, as
benchmarks/results/published.json. It must have been trained on the crops of the comparison in
benchmarks/results/compare.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from machine import RESULTS, describe_run, write_result

EQUAL = ("train", "tile", "overlap", "batch", "steps", "optimizer", "learning_rate", "weight_decay", "warmup_steps",
         "decay_share", "ema", "loss", "synthetic", "seed")  # fmt: skip
"""Of the recipe: what has to be the same for a fair row."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the finished comparison")
    path = parser.parse_args().folder / "table.json"
    if not path.is_file():
        sys.exit(f"there is no {path}; run fissura compare runs/compare_published.yaml first")
    table = json.loads(path.read_text(encoding="utf-8"))
    other = json.loads((RESULTS / "compare.json").read_text(encoding="utf-8"))
    ours, theirs = table["grid"]["recipe"], other["grid"]["recipe"]
    different = [key for key in EQUAL if ours[key] != theirs[key]]
    if different or table["grid"]["tests"] != other["grid"]["tests"]:
        sys.exit(f"not the training of the comparison: {', '.join(different) or 'tests'} differ")
    rows = [{key: value for key, value in row.items() if key != "facts"} for row in table["rows"]]
    result = describe_run() | {"measured": table["date"], "grid": table["grid"], "rows": rows}
    print(f"wrote {write_result('published', result, None)}")


if __name__ == "__main__":
    main()
