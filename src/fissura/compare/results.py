"""Rows of a comparison: every cell's figures with intervals, and its differences from the cell without enhancer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fissura.compare.bootstrap import Estimate, draw_sets, estimate
from fissura.compare.counts import ImageCounts
from fissura.compare.figures import compute
from fissura.compare.grid import NONE, Cell
from fissura.compare.store import FINISHED, CellRecord, Store
from fissura.types import FloatArray

ALL_SEEDS = "mean"
"""In place of a seed: the mean over the seeds of a network and an enhancer that are scored alike."""
DECISIVE = "F1@2px"
UNDERTRAINED = "undertrained"
NO_NONE = "no finished cell 'none'"

Values = dict[str, FloatArray]
"""Each figure of a test and of every set drawn from it, shape (1 + resamples,)."""


@dataclass(frozen=True)
class TestRow:
    """A cell on one test."""

    __test__ = False  # pytest would take it for a test

    images: int
    figures: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    """From the cell without enhancer; empty for that cell itself, and where it is not there."""
    left_out: Mapping[str, str]
    """Images that could not be read, by stem, with the reason."""


@dataclass(frozen=True)
class Row:
    """A cell, or the mean over its seeds.

    Attributes:
        network: Its name in the grid.
        enhancer: Its name in the grid.
        seed: The seed, or `ALL_SEEDS`.
        record: Whether it is finished, failed or not run.
        label: `UNDERTRAINED` or `NO_NONE`, which support no conclusion, or nothing.
        tests: Those that it has been scored on, by name; all of them if it is finished.
    """

    network: str
    enhancer: str
    seed: str
    record: CellRecord
    label: str
    tests: Mapping[str, TestRow]

    @property
    def combination(self) -> str:
        """What its size and speed depend on."""
        return f"{self.network}+{self.enhancer}"

    @property
    def remark(self) -> str:
        """What keeps it from supporting a conclusion; empty if nothing does."""
        status = "" if self.record.status == FINISHED else self.record.status
        return ", ".join(filter(None, (status, self.label)))


def make_rows(store: Store, cells: Sequence[Cell]) -> list[Row]:
    """All rows, network by network, enhancer by enhancer; each with figures of the tests that it has been scored on."""
    records = {cell: store.record(cell) for cell in cells}
    values = _Values(store, cells)
    rows = []
    for combination in dict.fromkeys((cell.network, cell.enhancer) for cell in _by_network(cells)):
        members = [cell for cell in cells if (cell.network, cell.enhancer) == combination]
        rows += [_row(store, [cell], str(cell.seed), records[cell], values) for cell in members]
        scored = [test for test in store.grid.config.tests if any(values.known([cell], test) for cell in members)]
        done = [cell for cell in members if scored and all(values.known([cell], test) for test in scored)]
        if len(done) > 1:
            rows.append(_row(store, done, ALL_SEEDS, records[done[0]], values))
    return rows


class _Values:
    """Figures of every cell on every test that it has been scored on, over the images that all of them could read."""

    def __init__(self, store: Store, cells: Sequence[Cell]) -> None:
        self.images: dict[str, list[str]] = {}
        self.left_out: dict[tuple[str, str], dict[str, str]] = {}
        self._values: dict[tuple[str, str], Values] = {}
        for test in store.grid.config.tests:
            counts = {cell.name: store.counts(cell, test) for cell in cells if store.has_counts(cell, test)}
            self.images[test] = common = _common_images(counts.values())
            if not common:
                continue
            weight = draw_sets(len(common), store.grid.config.resamples)
            for name, table in counts.items():
                self._values[name, test] = compute(table.take(common), weight)
                self.left_out[name, test] = {str(stem): str(reason) for stem, reason in table.left_out}

    def known(self, cells: Sequence[Cell], test: str) -> bool:
        """Whether all of some cells have figures of a test."""
        return all((cell.name, test) in self._values for cell in cells)

    def mean(self, cells: Sequence[Cell], test: str) -> Values:
        """Mean over cells, set by set."""
        found = [self._values[cell.name, test] for cell in cells]
        return {name: np.mean([values[name] for values in found], axis=0) for name in found[0]}


def _row(store: Store, cells: Sequence[Cell], seed: str, record: CellRecord, values: _Values) -> Row:
    first = cells[0]
    none = [_without_enhancer(store, cell) for cell in cells]
    tests = {}
    for test in store.grid.config.tests:
        if not values.known(cells, test):
            continue
        mine = values.mean(cells, test)
        differences: dict[str, Estimate] = {}
        if first.enhancer != NONE and values.known(none, test):
            base = values.mean(none, test)
            differences = {name: estimate(mine[name] - base[name]) for name in mine}
        figures = {name: estimate(array) for name, array in mine.items()}
        tests[test] = TestRow(len(values.images[test]), figures, differences, values.left_out[first.name, test])
    return Row(first.network, first.enhancer, seed, record, _label(store, tests, none, values), tests)


def _label(store: Store, tests: Mapping[str, TestRow], none: Sequence[Cell], values: _Values) -> str:
    """What figures on some tests are worth beside those of the cells without enhancer."""
    if tests and not any(values.known(none, test) for test in tests):
        return NO_NONE
    reference = store.grid.reference_test
    if not tests or not values.known(none, reference):
        return ""
    # On a test without cracks it is NaN, which says nothing about the training.
    reached = values.mean(none, reference)[DECISIVE][0]
    return UNDERTRAINED if reached < store.grid.config.trained_from else ""


def _without_enhancer(store: Store, cell: Cell) -> Cell:
    """The grid has one for every network and seed."""
    wanted = cell.network, NONE, cell.seed
    return next(other for other in store.grid.cells if (other.network, other.enhancer, other.seed) == wanted)


def _by_network(cells: Sequence[Cell]) -> list[Cell]:
    networks = list(dict.fromkeys(cell.network for cell in cells))
    return sorted(cells, key=lambda cell: networks.index(cell.network))


def _common_images(tables: Iterable[ImageCounts]) -> list[str]:
    """Images that all cells have: those of the first, in its order."""
    names = [[str(name) for name in table.names] for table in tables]
    shared = set.intersection(*map(set, names)) if names else set()
    return [name for name in (names[0] if names else []) if name in shared]
