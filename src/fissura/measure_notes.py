"""Notes of many pictures, each said once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fissura.measure_folder import Finished

_NAMED = 3
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


class NoteCount:
    """Which notes were said, and of how many pictures they hold. Notes that differ in numbers only are one."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def add_new(self, notes: Iterable[str]) -> list[str]:
        """Those of a picture that no picture had before: they are to be said at once, not after hours."""
        new = {_NUMBER.sub("#", note): note for note in notes}
        fresh = [note for kind, note in new.items() if kind not in self._said]
        self._said |= new.keys()
        return fresh

    def describe(self, pictures: Sequence[Finished]) -> list[str]:
        """A line for each note that holds for several pictures, or that was not said yet."""
        kinds: dict[str, tuple[str, list[str]]] = {}
        for picture in pictures:
            for kind, note in {_NUMBER.sub("#", note): note for note in picture.notes}.items():
                kinds.setdefault(kind, (note, []))[1].append(picture.source)
        lines = []
        for kind, (note, sources) in kinds.items():
            if len(sources) == 1 and kind in self._said:
                continue
            more = f", and {len(sources) - _NAMED} more" if len(sources) > _NAMED else ""
            names = ", ".join(sources[:_NAMED])
            lines.append(f"{len(sources)} of {len(pictures)} pictures ({names}{more}): {note}")
        return lines
