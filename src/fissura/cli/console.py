"""What all commands share: errors without a trace, progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import typer

from fissura.errors import FissuraError

EXIT_OK, EXIT_SOME_FAILED, EXIT_NOT_STARTED = 0, 1, 2
EXIT_INTERRUPTED = 130


def say(message: str, *, quiet: bool = False) -> None:
    """One line on standard output, unless quiet."""
    if not quiet:
        typer.echo(_printable(message))


def warn(message: str) -> None:
    """One line on standard error, also when quiet."""
    typer.echo(_printable(message), err=True)


def _printable(message: str) -> str:
    """Names of files that are no Unicode have lone surrogates, which a terminal may refuse."""
    return message.encode("utf-8", "backslashreplace").decode("utf-8")


GOES_ON = "everything finished so far is kept, the same command goes on from here"
STARTS_OVER = "the same command starts over"
NEEDS_OVERWRITE = "what is finished stays in --out, the same command with --overwrite starts over"


@contextmanager
def plain_errors(*, debug: bool, stopped: str = GOES_ON) -> Iterator[None]:
    """Turn an error that could not be worked around into one line and exit status 2, and Ctrl-C into 130.

    Args:
        debug: Let the error through, with its trace.
        stopped: What Ctrl-C leaves, for people.
    """
    try:
        yield
    except FissuraError as error:
        if debug:
            raise
        warn(f"error: {error}")
        raise typer.Exit(EXIT_NOT_STARTED) from error
    except KeyboardInterrupt as error:
        warn(f"stopped; {stopped}")
        raise typer.Exit(EXIT_INTERRUPTED) from error


@dataclass
class Tally:
    """How a batch went. `fail` reports at once, so that a long run does not hide its errors."""

    done: int = 0
    skipped: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    _say: Callable[[str], None] = warn

    def fail(self, source: str, error: BaseException) -> None:
        """Note and report one input that failed."""
        self.failed.append((source, str(error)))
        self._say(f"failed: {source}: {error}")

    @property
    def exit_status(self) -> int:
        """0 if all is well, 1 if some inputs failed."""
        return EXIT_SOME_FAILED if self.failed else EXIT_OK


class ProgressLine:
    """Progress with the time left: a bar on a terminal, a plain line every few seconds elsewhere.

    Use as a context manager and call `advance` once per finished item. ``detail`` may name the item.
    """

    def __init__(self, label: str, total: int, *, quiet: bool = False, unit: str = "images") -> None:
        self.label, self.total, self.unit = label, total, unit
        self.quiet = quiet
        self.count = 0
        self._tty = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._start = self._last = time.monotonic()
        self._bar: object | None = None

    def __enter__(self) -> ProgressLine:
        self._start = self._last = time.monotonic()
        if self._tty and not self.quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(self.unit),
                TimeRemainingColumn(), TextColumn("left {task.fields[detail]}"), console=Console(stderr=True),
            )  # fmt: skip
            bar.start()
            self._task = bar.add_task(self.label, total=self.total, detail="")
            self._bar = bar
        return self

    def advance(self, detail: str = "", steps: int = 1) -> None:
        """Count ``steps`` finished items."""
        self.count += steps
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.update(self._task, advance=steps, detail=_printable(detail))  # type: ignore[attr-defined]
            return
        now = time.monotonic()
        if self.count >= self.total or now - self._last >= 5.0:
            self._last = now
            warn(f"{self.label}: {self.count}/{self.total} {self.unit}, {self._left(now)}{detail and ', ' + detail}")

    def _left(self, now: float) -> str:
        spent = now - self._start
        if self.count >= self.total:
            return f"{spent:.0f} s in all"
        left = spent / max(self.count, 1) * (self.total - self.count)
        minutes, seconds = divmod(round(left), 60)
        return f"{minutes} min {seconds:02d} s left" if minutes else f"{seconds} s left"

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]
