"""What a comparison is, read from YAML: one recipe, varied by networks, enhancers and seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fissura.errors import FissuraError, SettingsError
from fissura.train.config import TrainConfig, make_config, read_yaml

NONE = "none"
"""The enhancer that is none, against which every difference is taken."""
_NAME = r"^[a-z0-9][a-z0-9_.-]*$"
_EQUAL_KEYS = (
    "train", "data_root", "synthetic", "synthetic_wide", "turned", "distractors", "tile", "batch", "steps", "seed",
    "name",
)  # fmt: skip
"""Keys that decide which crops are seen, and so belong to the grid, not to a cell."""


class EvaluationConfig(BaseModel):
    """How the cells are scored, always at the threshold 0.5."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile: int | None = Field(default=None, ge=32, multiple_of=32)
    """Tile in pixels; the one of training if left out."""
    overlap: int | None = Field(default=None, ge=0)
    """Overlap in pixels; the one of training if left out."""
    precision: Literal["fp32", "bf16"] = "fp32"
    boundary_every: int = Field(default=10, ge=1, le=49)
    """BSDS figures at every n-th of the 99 thresholds."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many images of each test, evenly spread: for a quick look."""


class SpeedConfig(BaseModel):
    """How the speed is measured; `rounds` 0 leaves it out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(default=512, ge=32, multiple_of=32)
    threads: int = Field(default=2, ge=1)
    rounds: int = Field(default=15, ge=0)


class GridConfig(BaseModel):
    """A comparison. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str | None = None
    """A recipe of ``fissura train``, relative to the grid's file."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Keys of a recipe, over those of `base`."""
    networks: dict[str, dict[str, Any] | None] = Field(min_length=1)
    enhancers: dict[str, dict[str, Any] | None] = Field(default={NONE: {}}, min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    tests: tuple[str, ...] = Field(min_length=1)
    """Folders relative to the recipe's ``data_root``."""
    evaluation: EvaluationConfig = EvaluationConfig()
    speed: SpeedConfig = SpeedConfig()
    resamples: int = Field(default=1000, ge=20)
    """Of the images, for the intervals."""
    reference_test: str | None = None
    """On which a network must reach `trained_from`; the first of the tests if left out."""
    trained_from: float = Field(default=0.6, ge=0, le=1)
    """F1@2px of the cell without enhancer below which its rows are called undertrained."""


@dataclass(frozen=True)
class Cell:
    """One training of the grid."""

    network: str
    enhancer: str
    seed: int
    config: TrainConfig = field(compare=False)

    @property
    def name(self) -> str:
        """Its folder below ``cells``."""
        return cell_name(self.network, self.enhancer, self.seed)

    @property
    def combination(self) -> str:
        """What its size and speed depend on."""
        return f"{self.network}+{self.enhancer}"


def cell_name(network: str, enhancer: str, seed: int) -> str:
    """For example ``unet+eem+0``."""
    return f"{network}+{enhancer}+{seed}"


@dataclass(frozen=True)
class Grid:
    """A checked comparison: its settings and all cells in the order in which they are worth most."""

    config: GridConfig
    recipe: TrainConfig
    cells: tuple[Cell, ...]

    @property
    def tests(self) -> dict[str, Path]:
        """Folders of the tests by name."""
        return {name: Path(self.recipe.data_root) / name for name in self.config.tests}

    @property
    def reference_test(self) -> str:
        """The test that decides whether a network is trained enough."""
        return self.config.reference_test or self.config.tests[0]

    def identity(self) -> dict[str, Any]:
        """What must be equal for results to stand in one table, as plain JSON values."""
        ours = self.config.model_dump(mode="json")
        return {
            "recipe": self.recipe.model_dump(mode="json", exclude={"data_root", "workers", "checkpoint_every"}),
            **{key: {k: v or {} for k, v in ours[key].items()} for key in ("networks", "enhancers")},
            "evaluation": ours["evaluation"],
        }


def read_grid(path: Path) -> Grid:
    """Read and check a grid, before anything is computed.

    Raises:
        SettingsError: The file cannot be read, a key is unknown or out of range, there is no cell, a network or an
            enhancer does not exist, or cells would not see the same crops.
    """
    try:
        config = GridConfig.model_validate(read_yaml(path))
    except ValidationError as error:
        lines = [f"  {'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise SettingsError(f"{path}:\n" + "\n".join(lines) + "\nsee docs/COMPARING.md for an example") from error
    _check_names(config, path)
    raw = dict(read_yaml(path.parent / config.base)) if config.base else {}
    # A relative data_root starts at the file that names it.
    origin = path.parent / config.base if config.base and "data_root" not in config.recipe else path
    raw = raw | config.recipe
    if not raw:
        raise SettingsError(f"{path} names no recipe: give 'base: FILE.yaml', 'recipe: {{...}}' or both")
    recipe = make_config({"name": "recipe"} | raw, origin)
    _check_tests(config, recipe, path)
    return Grid(config, recipe, tuple(_plan(config, raw, origin)))


def _plan(config: GridConfig, raw: Mapping[str, Any], path: Path) -> Iterable[Cell]:
    """All cells: of the first seed every network without enhancer, then enhancer by enhancer; then the next seed.

    A grid that is stopped anywhere has whole columns rather than whole rows: every network is judged first.
    """
    from fissura.nets import build

    built: set[tuple[str, str]] = set()
    for seed in config.seeds:
        for enhancer in sorted(config.enhancers, key=lambda name: name != NONE):
            for network, changes in config.networks.items():
                keys = dict(changes or {})
                if "architecture" in keys:
                    keys.setdefault("architecture_options", {})
                keys |= config.enhancers[enhancer] or {}
                name = f"{network}-{enhancer}-{seed}"
                try:
                    made = make_config({**raw, **keys, "name": name, "seed": seed}, path)
                    made_of = made.architecture, repr(made.architecture_options)
                    if made_of not in built:
                        build(made.architecture, made.architecture_options)
                    built.add(made_of)
                except FissuraError as error:
                    raise SettingsError(f"cell {cell_name(network, enhancer, seed)} cannot be made: {error}") from error
                yield Cell(network, enhancer, seed, made)


def _check_names(config: GridConfig, path: Path) -> None:
    for kind, entries in (("networks", config.networks), ("enhancers", config.enhancers)):
        for name, changes in entries.items():
            if not re.match(_NAME, name):
                raise SettingsError(f"{path}: '{name}' in {kind} cannot name a folder; use a-z, 0-9, _, . and -")
            equal = [key for key in changes or {} if key in _EQUAL_KEYS]
            if equal:
                raise SettingsError(
                    f"{path}: {name} changes {', '.join(equal)}, but all cells must see the same crops; "
                    "set it in 'recipe' for all"
                )
    if NONE not in config.enhancers or config.enhancers[NONE]:
        raise SettingsError(f"{path}: enhancers must hold '{NONE}: {{}}', the cell that differences are taken against")
    for key in ("seeds", "tests"):
        values = getattr(config, key)
        if len(set(values)) < len(values):
            raise SettingsError(f"{path}: {key} holds an entry twice: {', '.join(map(str, values))}")
    if config.reference_test and config.reference_test not in config.tests:
        raise SettingsError(f"{path}: reference_test {config.reference_test} is none of the tests")


def _check_tests(config: GridConfig, recipe: TrainConfig, path: Path) -> None:
    root = Path(recipe.data_root)
    trained = {entry.path(root).resolve() for entry in recipe.train}
    for name in config.tests:
        folder = root / name
        if folder.resolve() in trained:
            raise SettingsError(f"{path}: {name} is trained on, so it cannot be a test")
        if not folder.is_dir():
            raise SettingsError(f"{path}: the test {folder} is not there; tests are folders below data_root")


def choose_cells(cells: Iterable[Cell], only: Iterable[str]) -> list[Cell]:
    """The cells that fit all of ``network=NAME``, ``enhancer=NAME``, ``seed=N``; several of one kind mean "or".

    Raises:
        SettingsError: One is written otherwise, or no cell is left.
    """
    cells = list(cells)
    wanted: dict[str, set[str]] = {}
    for text in only:
        key, _, value = text.partition("=")
        known = sorted({str(getattr(cell, key)) for cell in cells}) if key in ("network", "enhancer", "seed") else []
        if value not in known:
            hint = f"{key} is one of {', '.join(known)}" if known else "write network=NAME, enhancer=NAME or seed=N"
            raise SettingsError(f"--only {text}: {hint}")
        wanted.setdefault(key, set()).add(value)
    chosen = [cell for cell in cells if all(str(getattr(cell, key)) in values for key, values in wanted.items())]
    if not chosen:
        raise SettingsError(f"no cell fits --only {' --only '.join(only)}")
    return chosen
