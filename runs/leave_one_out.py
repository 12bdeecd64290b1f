"""How the recipe does on sets it never saw: for each of them a training without it.

    python runs/leave_one_out.py [--recipe runs/leave_one_out.yaml] [--out out/leave_one_out]

Needs FISSURA_DATA. The recipe says the network and the budget, which is small; all trainings have the same, and one
more sees all sets. Left out is all that comes from the same place (`GROUPS`). Each network is then judged on the test
folder of the set that it has not seen. A training that was stopped goes on; one that is done is not repeated. Result:
``benchmarks/results/leave_one_out.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from machine import RESULTS, describe_run, write_result  # noqa: E402

from fissura.data.pairs import find_pairs  # noqa: E402
from fissura.infer.segmenter import Segmenter  # noqa: E402
from fissura.metrics.evaluation import evaluate  # noqa: E402
from fissura.nets import load_weights  # noqa: E402
from fissura.train.config import TrainConfig, read_config  # noqa: E402
from fissura.train.loop import read_sets, train  # noqa: E402
from fissura.train.module import CrackModule  # noqa: E402
from fissura.train.validate import ModuleBackend  # noqa: E402

GROUPS = {
    "deepcrack": ("deepcrack",), "cfd": ("cfd",), "crack500": ("crack500",), "gaps384": ("gaps384", "gaps384_448"),
    "uavcrack_asphalt": ("uavcrack_asphalt", "uavcrack_misc", "uavcrack_concrete"), "uav_quay": ("uav_quay",),
}  # fmt: skip
"""Sets to leave out, each with all that comes from the same place."""


def without(config: TrainConfig, name: str | None) -> TrainConfig:
    """The recipe without a set and its relatives; all of it for None."""
    left_out = GROUPS[name] if name else ()
    sets = tuple(s for s in config.train if s.folder.split("/")[0] not in left_out)
    return config.model_copy(update={"train": sets, "name": f"without_{name}" if name else "all_sets"})


def score(weights: Path, config: TrainConfig, name: str, data: Path) -> dict[str, float]:
    """Figures on a set's test folder."""
    net, card = load_weights(weights)
    module = CrackModule(config, card)
    module.averaged.module.load_state_dict(net.state_dict())
    module.averaged.eval()
    figures = evaluate(Segmenter(ModuleBackend(module)), find_pairs(data / name / "test"), centrelines=False,
                       instances=False).figures()  # fmt: skip
    return {key: round(float(figures[key]), 5) for key in ("F1", "precision", "recall", "F1@2px")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "runs" / "leave_one_out.yaml")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "leave_one_out")
    options = parser.parse_args()
    if "FISSURA_DATA" not in os.environ:
        sys.exit("set FISSURA_DATA to the folder that holds crack/")
    data = Path(os.environ["FISSURA_DATA"]) / "crack"
    config = read_config(options.recipe)
    path = RESULTS / "leave_one_out.json"
    rows: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else {}
    sets = read_sets(config)
    for name in (None, *GROUPS):
        own = without(config, name)
        kept = {entry.folder for entry in own.train}
        weights = train(own, options.out / own.name, quiet=True, sets=[s for s in sets if s.config.folder in kept])
        for tested in GROUPS if name is None else (name,):
            row = rows.setdefault(tested, {})
            row["all sets" if name is None else "without it"] = score(weights, own, tested, data)
            print(tested, row, flush=True)
        write_result("leave_one_out", describe_run() | {
            "architecture": config.architecture, "options": config.architecture_options, "steps": config.steps,
            "crops_a_step": config.batch, "tile": config.tile, "rows": rows,
        }, None)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
