"""``fissura compare``: networks and enhancers at equal budgets, with intervals and paired differences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fissura.cli.console import Tally, plain_errors, say
from fissura.errors import FissuraError, MissingDependencyError, SettingsError
from fissura.memory import keep_freed_memory

if TYPE_CHECKING:
    from fissura.compare.results import Row


def compare(
    grid: Annotated[Path, typer.Argument(help="YAML file of networks, enhancers and seeds; see runs/compare.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder of the comparison. An interrupted one goes on where it stopped.")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only cells of network=NAME, enhancer=NAME or seed=N; repeatable.", show_default=False),
    ] = None,
    limit_minutes: Annotated[
        float | None, typer.Option(help="Begin no cell that would not end in this time. 0 writes the tables only.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of training and scoring; all cores if left out.")] = None,
    speed: Annotated[bool, typer.Option(help="Measure the speed of the finished cells at the end.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only; the files are written.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Train every network with every enhancer on the same crops, and score all of them on the same tests.

    Writes table.md, table.csv, table.json and table.png, with 95% intervals over the images of each test and paired
    differences from the same network without enhancer. A cell that fails is recorded and the others go on.

    \b
    Examples:
      fissura compare runs/compare.yaml --out out/compare
      fissura compare runs/compare.yaml --out out/compare --only network=unet --limit-minutes 60
      fissura compare runs/compare.yaml --out out/compare --limit-minutes 0     the tables, as far as it got
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        if limit_minutes is not None and not limit_minutes >= 0:
            raise SettingsError(f"--limit-minutes is {limit_minutes:g}; give 0 or more")
        if threads is not None:
            if threads < 1:
                raise SettingsError(f"--threads is {threads}; give 1 or more, or leave it out to use all cores")
            os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch when it is imported, below
        try:
            from fissura.compare.grid import choose_cells, read_grid
            from fissura.compare.report import write_tables
            from fissura.compare.run import Limits, run_cells
            from fissura.compare.speed import measure_speed, read_speed
            from fissura.compare.store import Store
        except ImportError as error:
            raise MissingDependencyError(
                f"comparing needs the extra 'train' ({error.name} is missing): pip install 'fissura[train]'"
            ) from error
        keep_freed_memory(training=True)
        tally = Tally()
        plan = read_grid(grid)
        cells = choose_cells(plan.cells, only or ())
        store = Store(plan, out)
        listener = _Console(tally, quiet=quiet)
        try:
            run_cells(store, cells, listener, Limits(limit_minutes, threads))
            milliseconds = read_speed(store)
            if speed and limit_minutes != 0:
                try:
                    milliseconds = measure_speed(store, on_error=tally.fail)
                except (FissuraError, RuntimeError) as error:
                    tally.fail("speed", error)
        except KeyboardInterrupt:
            write_tables(store, read_speed(store))
            raise
        rows = write_tables(store, milliseconds)
        if not quiet:
            _print_rows(rows, plan.config.tests)
            say(f"\nwritten to {out}: table.md, table.csv, table.json, table.png")
        raise typer.Exit(tally.exit_status)


class _Console:
    """Tells a person at the terminal."""

    def __init__(self, tally: Tally, *, quiet: bool) -> None:
        self._tally, self._quiet = tally, quiet

    def say(self, line: str) -> None:
        say(line, quiet=self._quiet)

    def fail(self, source: str, error: BaseException) -> None:
        self._tally.fail(source, error)


def _print_rows(rows: Sequence[Row], tests: Sequence[str]) -> None:
    """The decisive figure and its difference; everything else is in the files."""
    from fissura.compare.results import DECISIVE
    from fissura.compare.store import FINISHED

    width = max(len(f"{row.network} {row.enhancer} {row.seed}") for row in rows)
    for test in tests:
        say(f"\n{DECISIVE}, {test} (95% interval over images); difference from none")
        for row in rows:
            name = f"{row.network} {row.enhancer} {row.seed}"
            if test not in row.tests:
                say(f"{name:<{width}}  {row.record.status}")
                continue
            e = row.tests[test].figures[DECISIVE]
            line = f"{name:<{width}}  {e.value:.3f} ({e.low:.3f} to {e.high:.3f})"
            if difference := row.tests[test].differences.get(DECISIVE):
                line += f"  {difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
            say(line + (f"  {row.remark}" if row.remark else ""))
    waiting = sum(row.record.status != FINISHED for row in rows)
    if waiting:
        say(f"\n{waiting} of {len(rows)} cells are not finished; the same command goes on with them")
