"""Run a grid cell by cell. Stopped anywhere, the same call goes on; what is finished is never done again."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from fissura.compare.grid import Cell
from fissura.compare.scoring import load_for_scoring, score_test
from fissura.compare.store import FAILED, FINISHED, NOT_RUN, Store
from fissura.errors import DataError, FissuraError, ModelError, OutputError

_FAILURES = (FissuraError, OSError, RuntimeError, ValueError, ArithmeticError, MemoryError)
"""What fails a cell or a test and lets the others go on."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Listener(Protocol):
    """Is told what happens; see `fissura.cli.compare`."""

    def say(self, line: str) -> None:
        """A line for people."""

    def fail(self, source: str, error: BaseException) -> None:
        """A cell, a test of it or an image failed; the others go on."""


@dataclass
class Limits:
    """How much to run.

    Args:
        minutes: No cell is begun that is not expected to end within so many minutes of the start; None for all.
        threads: Of the engine that scores; None for all cores.
    """

    minutes: float | None = None
    threads: int | None = None
    started: float = field(default_factory=time.monotonic)

    def leaves_room(self, seconds: float) -> bool:
        """Whether something that takes so long may begin."""
        return self.minutes is None or time.monotonic() - self.started + seconds <= 60 * self.minutes


def run_cells(store: Store, cells: Sequence[Cell], listener: Listener, limits: Limits) -> None:
    """Train and score the cells that are not finished, in their order; those that failed before come last.

    Args:
        store: Where results go.
        cells: From the grid, perhaps not all.
        listener: Is told about progress and failures.
        limits: Time and threads.
    Raises:
        OutputError: The disk is full or cannot be written: nothing else could be done either. Finished cells stay.
    """
    records = {cell: store.record(cell) for cell in cells}
    waiting = [cell for cell in cells if records[cell].status != FINISHED]
    waiting.sort(key=lambda cell: records[cell].status == FAILED)
    if len(waiting) < len(cells):
        listener.say(f"{len(cells) - len(waiting)} of {len(cells)} cells are finished already")
    sets = _SharedSets()
    took = {cell: seconds for cell in cells if (seconds := _Seconds.of(records[cell].facts)) is not None}
    for done, cell in enumerate(waiting):
        expected = _expected_seconds(store, cell, took)
        if not limits.leaves_room(expected):
            listener.say(f"time is up: {len(waiting) - done} cells are not run; the same command goes on with them")
            break
        left = sum(_expected_seconds(store, other, took) for other in waiting[done:])
        listener.say(
            f"cell {len(cells) - len(waiting) + done + 1} of {len(cells)}: {cell.name}"
            + (f", about {_duration(left)} left for all" if took else "")
        )
        facts: dict[str, Any] = {}
        try:
            facts |= _train_cell(store, cell, sets, listener)
            facts |= _score_cell(store, cell, facts, listener, limits)
        except _FAILURES as error:
            if _is_full(error):
                raise OutputError(
                    f"stopped at cell {cell.name}: {error}; all finished cells are kept, "
                    "the same command goes on when there is room"
                ) from error
            listener.fail(cell.name, error)
            facts |= _failure(error)
        store.write_record(cell, FAILED if "error" in facts else FINISHED, facts)
        seconds = _Seconds.of(facts)
        if seconds is not None:
            took[cell] = seconds


class _SharedSets:
    """The decoded training sets, once for all cells: they are equal in all of them."""

    def __init__(self) -> None:
        self._sets: Any = None

    def __call__(self, cell: Cell) -> Any:
        if self._sets is None:
            from fissura.train.loop import read_sets

            self._sets = read_sets(cell.config, lambda _: None)
        return self._sets


@dataclass(frozen=True)
class _Seconds:
    """What a cell took, over all calls that worked on it."""

    training: float
    scoring: float

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> _Seconds | None:
        """None if they are not known."""
        if "training_seconds" not in facts or "scoring_seconds" not in facts:
            return None
        return cls(float(facts["training_seconds"]), float(facts["scoring_seconds"]))


def _train_cell(store: Store, cell: Cell, sets: _SharedSets, listener: Listener) -> dict[str, Any]:
    """Facts of the trained network; of its time those of the call that trained it."""
    start = time.monotonic()
    facts = _look_at_weights(store, cell, listener)
    if facts is not None:
        known = store.record(cell).facts
        return facts | {key: known[key] for key in ("training_seconds", "scoring_seconds") if key in known}
    store.forget_counts(cell)  # of weights that are not there any more
    _train(store, cell, sets, listener)
    facts = _look_at_weights(store, cell, listener)
    if facts is None:
        raise OutputError(f"the weights {store.weights(cell)} cannot be read back after training")
    facts["training_seconds"] = round(time.monotonic() - start, 1)
    store.write_record(cell, NOT_RUN, facts)  # known also if the scoring is stopped
    return facts


def _score_cell(
    store: Store, cell: Cell, facts: Mapping[str, Any], listener: Listener, limits: Limits
) -> dict[str, Any]:
    """Count every test that has no counts, and what a test that cannot be counted gives as `_failure`."""
    start = time.monotonic()
    found: dict[str, Any] = {}
    config = store.grid.config.evaluation
    segmenter = None
    for test, folder in store.grid.tests.items():
        if store.has_counts(cell, test):
            continue
        segmenter = segmenter or load_for_scoring(store.weights(cell), config, threads=limits.threads)
        try:
            counts = score_test(segmenter, folder, config)
        except _FAILURES as error:
            listener.fail(f"{cell.name}, {test}", error)
            found |= _failure(error)
            continue
        for stem, reason in counts.left_out:
            listener.fail(f"{cell.name}, {test}/{stem}", DataError(reason))
        counts.write(store.counts_file(cell, test))
    scoring = float(facts.get("scoring_seconds", 0)) + time.monotonic() - start
    found |= {"scoring_seconds": round(scoring, 1), "date": datetime.now(UTC).isoformat(timespec="seconds")}
    if "training_seconds" in facts:
        found["seconds"] = round(float(facts["training_seconds"]) + scoring, 1)
    return found


def _train(store: Store, cell: Cell, sets: _SharedSets, listener: Listener) -> None:
    from fissura.train.checkpoints import find_checkpoint
    from fissura.train.loop import train

    folder = store.training_folder(cell)
    try:
        find_checkpoint(folder / "checkpoints", lambda _: None)
    except ModelError as error:
        listener.say(f"  {error}: the cell starts over")
        store.forget_training(cell)
    train(cell.config, folder, say=lambda line: listener.say(f"  {line}"), quiet=True, sets=sets(cell))


def _look_at_weights(store: Store, cell: Cell, listener: Listener) -> dict[str, Any] | None:
    """Size and work of a trained network; None if there are no weights, or none that can be read."""
    from fissura.nets import load_weights, parameter_count
    from fissura.nets.gmac import count_gmac

    weights = store.weights(cell)
    if not weights.exists():
        return None
    try:
        net, _ = load_weights(weights)
    except ModelError as error:
        listener.say(f"  {error}; trained again from the last checkpoint")
        weights.unlink()
        return None
    side = store.grid.config.speed.side
    return {"parameters": parameter_count(net), "gmac": round(count_gmac(net, (side, side)), 3)}


def _expected_seconds(store: Store, cell: Cell, took: Mapping[Cell, _Seconds]) -> float:
    """From cells of the same network and enhancer, of the same network, or of all; 0 if there are none."""
    trained = store.weights(cell).exists()
    for like in (
        [t for c, t in took.items() if c.combination == cell.combination],
        [t for c, t in took.items() if c.network == cell.network],
        list(took.values()),
    ):
        if like:
            return sum(t.scoring + (0 if trained else t.training) for t in like) / len(like)
    return 0.0


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min" if minutes else "a minute"


def _is_full(error: BaseException | None) -> bool:
    """Whether an error, or the one it came from, says that nothing more can be written."""
    if error is None:
        return False
    known = isinstance(error, OSError) and error.errno in _NO_ROOM
    # The writer of weights passes the system's words on, but not its number.
    return known or "No space left on device" in str(error) or _is_full(error.__cause__)


def _failure(error: BaseException) -> dict[str, str]:
    return {"error": _first_line(error), "kind": type(error).__name__}


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
