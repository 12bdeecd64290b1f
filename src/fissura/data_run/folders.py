"""Result folders of ``fissura data``: free or given up, writable, and filled with whole files only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fissura.errors import DataError, SettingsError
from fissura.imaging.write import as_output_error, require_writable, temporary_path


def prepare_out(out: Path, *, overwrite: bool, file: bool = False) -> None:
    """Make a place for results ready, before the work and not after it.

    Args:
        out: The folder, or a file.
        overwrite: What is there already may be replaced.
        file: ``out`` is one file.
    Raises:
        SettingsError: Something is there already.
        OutputError: It cannot be written.
    """
    folder = out.parent if file else out
    if not overwrite and (out.exists() if file else out.is_dir() and any(out.iterdir())):
        raise SettingsError(f"{out} exists and is not empty; choose another --out, or pass --overwrite")
    require_writable(folder)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file so that it is whole or absent.

    Raises:
        DataError: The source cannot be read.
        OutputError: The target cannot be written.
    """
    temporary = temporary_path(target)
    try:
        reader = source.open("rb")
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}") from error
    with reader:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
            os.replace(temporary, target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise as_output_error(target, error) from error
