"""Checkpoints that a full disk or a pulled plug cannot damage: ``last.ckpt``, and ``previous.ckpt`` before it."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from fissura.errors import ModelError, OutputError

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes beside the old checkpoint, syncs and renames; the old one stays as ``previous.ckpt``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises OutputError if there is no room; the checkpoint that was there is then untouched."""
        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")
        # Through memory: on a full disk torch's own writer ends in an error that does not name the reason.
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            # A damaged last one must not push out the whole one before it.
            if path.exists() and zipfile.is_zipfile(path):
                os.replace(path, path.with_name(PREVIOUS))
            os.replace(partial, path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(
                f"cannot write the checkpoint {path} ({buffer.tell() / 1e6:.1f} MB): {error.strerror}; the one before "
                "it is whole: make room and run the same command again, it goes on from there"
            ) from error


def find_checkpoint(folder: Path, say: Callable[[str], None] = print) -> tuple[Path, int] | None:
    """The newest whole checkpoint of a run and the steps it has done; None if there is none yet.

    Args:
        folder: ``checkpoints/`` of the run.
        say: Told if the last one is damaged and the one before it is taken.
    Raises:
        ModelError: There are only damaged ones; nothing is changed.
    """
    damaged: list[str] = []
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            steps = _steps_of(path)
        except (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, pickle.UnpicklingError,
                zipfile.BadZipFile) as error:  # fmt: skip
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            damaged.append(f"{path} is damaged ({reason})")
            continue
        if damaged:
            say(f"{damaged[0]}; going on from {name}, the one before it, at step {steps}")
        return path, steps
    if damaged:
        raise ModelError(
            f"{' and '.join(damaged)}, and there is no whole one to go on from. Nothing was changed: put back a copy "
            f"of it, or move the folder {folder} away to start this run over"
        )
    return None


def _steps_of(path: Path) -> int:
    """Steps that a checkpoint has done, after a look at every byte of it."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise zipfile.BadZipFile(f"wrong checksum in {broken}")
    return int(torch.load(path, map_location="cpu", weights_only=False, mmap=True)["global_step"])
