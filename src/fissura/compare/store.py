"""The folder of a comparison: what was asked for, and one folder a cell. Nothing finished is ever overwritten.

::

    OUT/grid.json                     what was compared
    OUT/cells/NETWORK+ENHANCER+SEED/
        cell.json                     finished, failed or only trained, with what the cell took
        training/                     checkpoints and weights, as `fissura train` leaves them
        SET+SPLIT.npz                 counts of every image of a test
    OUT/speed.json, table.md, table.csv, table.json, table.png
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fissura.compare.counts import ImageCounts
from fissura.compare.grid import Cell, EvaluationConfig, Grid
from fissura.errors import DataError, SettingsError
from fissura.imaging.write import as_output_error, remove_temporary_files, write_bytes
from fissura.train.config import SetConfig, TrainConfig

FINISHED, FAILED, NOT_RUN = "finished", "failed", "not run"


@dataclass(frozen=True)
class CellRecord:
    """What is known of a cell."""

    status: str
    facts: Mapping[str, Any]

    @property
    def error(self) -> str:
        """Why it failed."""
        return str(self.facts.get("error", ""))


class Store:
    """The results of a grid in a folder.

    Args:
        grid: What is compared.
        out: The folder.
    Raises:
        SettingsError: It holds results of another grid.
        OutputError: Nothing can be written there.
    """

    def __init__(self, grid: Grid, out: Path) -> None:
        self.grid, self.out = grid, out
        identity = grid.identity()
        record = out / "grid.json"
        old = read_json(record)
        if old is None and (out / "cells").is_dir() and any((out / "cells").iterdir()):
            raise SettingsError(
                f"{out} holds cells, but its grid.json cannot be read; choose another folder with --out, or restore it"
            )
        if old is not None:
            _check_same(old, identity, out)
            for kind in ("networks", "enhancers"):  # what an earlier grid had more stays known
                identity[kind] = old[kind] | identity[kind]
        if identity != old:
            write_json(record, identity)
        try:
            remove_temporary_files(out)
        except OSError as error:
            raise as_output_error(out, error) from error

    def folder(self, cell: Cell) -> Path:
        """Where a cell keeps everything."""
        return self.out / "cells" / cell.name

    def training_folder(self, cell: Cell) -> Path:
        """Where it is trained."""
        return self.folder(cell) / "training"

    def weights(self, cell: Cell) -> Path:
        """The trained weights, once they are there."""
        return self.training_folder(cell) / f"{cell.config.name}.safetensors"

    def record(self, cell: Cell) -> CellRecord:
        """What is known of a cell. Finished is what is trained and has readable counts of every test of the grid."""
        facts = read_json(self.folder(cell) / "cell.json")
        if facts is None:
            return CellRecord(NOT_RUN, {})
        # The size is noted once a cell is trained; a test that failed may have left the grid since.
        if "parameters" in facts and all(self.has_counts(cell, test) for test in self.grid.config.tests):
            return CellRecord(FINISHED, {k: v for k, v in facts.items() if k not in ("error", "kind")})
        return CellRecord(FAILED if facts.get("status") == FAILED else NOT_RUN, facts)

    def write_record(self, cell: Cell, status: str, facts: Mapping[str, Any]) -> None:
        """Note how a cell ended. Raises OutputError."""
        write_json(self.folder(cell) / "cell.json", {"status": status, **facts})

    def counts_file(self, cell: Cell, test: str) -> Path:
        """Where the counts of a test are."""
        return self.folder(cell) / f"{test.strip('/').replace('/', '+')}.npz"

    def has_counts(self, cell: Cell, test: str) -> bool:
        """Whether there are readable counts of a test."""
        try:
            self.counts(cell, test)
        except DataError:
            return False
        return True

    def counts(self, cell: Cell, test: str) -> ImageCounts:
        """Counts of a test. Raises DataError when they are not there."""
        return ImageCounts.read(self.counts_file(cell, test))

    def forget_counts(self, cell: Cell) -> None:
        """Remove the counts of every test, also of those that left the grid."""
        for path in self.folder(cell).glob("*.npz"):
            path.unlink()

    def forget_training(self, cell: Cell) -> None:
        """Remove everything of a cell's training."""
        shutil.rmtree(self.training_folder(cell), ignore_errors=True)


def _check_same(old: Mapping[str, Any], new: Mapping[str, Any], out: Path) -> None:
    # A grid of an older fissura has no word on what came later, and so had its default.
    plain = {
        "recipe": TrainConfig(name="any", train=(SetConfig(folder="any"),)).model_dump(mode="json"),
        "evaluation": EvaluationConfig().model_dump(mode="json"),
    }
    changed = [
        f"{part}.{key}"
        for part in ("recipe", "evaluation")
        for key in sorted({*old.get(part, {}), *new[part]})
        if (plain[part] | old.get(part, {})).get(key) != new[part].get(key)
    ]
    for part in ("networks", "enhancers"):
        before = old.get(part, {})
        changed += [f"{part}.{name}" for name in new[part] if name in before and before[name] != new[part][name]]
    if changed:
        shown = ", ".join(changed[:6]) + (" …" if len(changed) > 6 else "")
        raise SettingsError(
            f"{out} holds results of another grid ({shown} differ); choose another folder with --out. "
            "Networks, enhancers, seeds and tests may be added to a grid, the rest must stay"
        )


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values, whole or not at all. Raises OutputError."""
    write_bytes(path, f"{json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """A file's values; None if it is not there or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
