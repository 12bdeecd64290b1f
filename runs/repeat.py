"""Train `fast` once more with another seed, all stages, and compare it with the one that is shipped.

    python runs/repeat.py --seed 2 [--out out/seed2]

Needs FISSURA_DATA and takes as long as runs/fast.sh: hours on two CPU cores. A run that was stopped goes on where it
was. The generated roads (out/aerial) are the same for both. Compared are F1 and F1@2px of the fp32 weights on the
five public tests with the figures of the shipped model (benchmarks/results/accuracy_fast.json); the exit status is 1
where the mean F1 differs by more than 0.01. Result: benchmarks/results/second_seed.json.

``--steps-share`` shortens every stage, to rehearse; such a run is compared with nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from leave_one_out import score  # noqa: E402
from machine import RESULTS, describe_run, write_result  # noqa: E402

from fissura.train.config import read_config  # noqa: E402
from fissura.train.loop import train  # noqa: E402

STAGES = (*(f"fast_stage{k}" for k in range(1, 8)), "fast")
PUBLIC = ("deepcrack", "cfd", "crack500", "uavcrack_asphalt", "gaps384")
WANTED = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps-share", type=float, default=1.0)
    options = parser.parse_args()
    if "FISSURA_DATA" not in os.environ:
        sys.exit("set FISSURA_DATA to the folder that holds crack/")
    out = options.out or ROOT / "out" / f"seed{options.seed}"
    if not (ROOT / "out" / "aerial" / "aerial_beside").is_dir():
        subprocess.run([str(ROOT / "runs" / "make_aerial.sh")], check=True)
    before: Path | None = None
    for number, name in enumerate(STAGES):
        config = read_config(ROOT / "runs" / f"{name}.yaml")
        steps = max(round(config.steps * options.steps_share), 2)
        changes = {
            "seed": 1000 * options.seed + number, "steps": steps, "init": None if before is None else str(before),
            "warmup_steps": min(config.warmup_steps, steps // 2),
        }  # fmt: skip
        if config.distill is not None:  # its own teacher: the stage before
            changes["distill"] = config.distill.model_copy(update={"model": str(before)})
        before = train(config.model_copy(update=changes), out / name)
    assert before is not None
    data = Path(os.environ["FISSURA_DATA"]) / "crack"
    if options.steps_share != 1.0:
        print(f"rehearsed; the weights are in {before}")
        return 0
    figures = {name: score(before, config, name, data) for name in PUBLIC}
    record = json.loads((RESULTS / "accuracy_fast.json").read_text(encoding="utf-8"))
    shipped = shipped_f1(record)
    mean = float(np.mean([row["F1"] for row in figures.values()]))
    difference = mean - shipped
    result = describe_run() | {"seed": options.seed, "figures": figures, "F1_mean": mean, "shipped_F1_mean": shipped}
    print(f"mean F1 {mean:.4f}, shipped {shipped:.4f}, difference {difference:+.4f}")
    print(f"wrote {write_result('second_seed', result, None)}")
    return int(abs(difference) > WANTED)


def shipped_f1(record: dict[str, Any]) -> float:
    """Mean F1 of the shipped fp32 weights over the five public tests."""
    sets = {entry["name"]: entry["figures"]["F1"] for entry in record["precisions"]["fp32"]["test"]["sets"]}
    return float(np.mean([sets[f"{name}/test"] for name in PUBLIC]))


if __name__ == "__main__":
    sys.exit(main())
