"""What all writers of annotations share: pictures go in one by one, and what was written comes back for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from fissura.data.labels.shapes import Shape
from fissura.types import BoolMask

LABEL = "crack"
"""The one class there is."""


class LabelSink(Protocol):
    """A file or a folder of annotations being written. Nothing of a single file is there if the block fails."""

    path: Path
    """The file, or the folder of files."""

    def __enter__(self) -> LabelSink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, picture: Path, mask: BoolMask) -> Sequence[Shape]:
        """Write the mask of a picture, and say what a reader will find in the file."""
        ...
