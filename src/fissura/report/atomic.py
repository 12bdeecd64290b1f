"""Text files that are written piece by piece and yet are whole or absent: temporary file, fsync, rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from fissura.imaging.write import TEMPORARY_SUFFIX, as_output_error


@contextmanager
def open_atomic(path: Path, *, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Open a text file for writing; it appears under its name when the block ends, and not at all if the block fails.

    Line ends are written as they are given. Missing folders are made.

    Raises:
        OutputError: Nothing was written; the message names the path and the reason, ``errno`` is set.
    """
    temporary = path.with_name(f".{path.name[:80]}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding=encoding, newline="") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise as_output_error(path, error) from error
