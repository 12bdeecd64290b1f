"""The folder of ``fissura measure``: a record for every finished picture, and the settings they were made with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fissura import __version__
from fissura.errors import OutputError, SettingsError
from fissura.imaging.find import SourceImage
from fissura.imaging.write import remove_temporary_files, write_bytes
from fissura.measure_frame import FrameRecord

KINDS = ("overlays", "masks", "frames")
"""Folders that the command fills."""


@dataclass(frozen=True)
class Finished:
    """What is kept in memory of a measured picture; everything else is read from its record when it is needed.

    Attributes:
        name: Of its record.
        source: Its name in the tables.
        scaled: Millimetres if True, pixels if False.
        placed: It has a place on the map.
        areas: Alligator fields in it.
        rows: Cracks and fields in it, as far as tables list them.
        totals: As in the record.
        scale_source: As in the record, and `gsd_mm`, `gsd_sigma_percent` and `notes`.
        gsd_mm: See above.
        gsd_sigma_percent: See above.
        notes: See above.
        profiled: The record holds the widths along its cracks; those of an older fissura do not.
    """

    name: str
    source: str
    scaled: bool
    placed: bool
    areas: int
    rows: int
    totals: dict[str, float]
    scale_source: str
    gsd_mm: float | None
    gsd_sigma_percent: float | None
    notes: tuple[str, ...]
    profiled: bool

    @classmethod
    def of(cls, name: str, record: FrameRecord) -> Finished:
        """The short form of a record."""
        return cls(
            name, record.source, record.scaled, record.position_sigma_m is not None, len(record.areas),
            len(record.cracks) + len(record.areas) + len(record.summary), dict(record.totals), record.scale_source,
            record.gsd_mm, record.gsd_sigma_percent, tuple(record.notes), len(record.profiles) == len(record.cracks),
        )  # fmt: skip


@dataclass(frozen=True)
class Known:
    """A record of an earlier call.

    Attributes:
        name: Of the record.
        source_path: The picture it was made from.
        source: The picture's name in the tables.
        stamp: Of the picture and its mask, see `stamp_files`.
        finished: None if it was made with other settings, or is damaged.
    """

    name: str
    source_path: str
    source: str = ""
    stamp: tuple[int, ...] = ()
    finished: Finished | None = None


class RecordFolder:
    """Records of finished pictures, and the settings they were made with.

    Args:
        out: The folder of the run.
        settings: All that results depend on, as JSON values.
        kinds: The folders below it that this run writes.
    """

    def __init__(self, out: Path, settings: dict[str, Any], kinds: tuple[str, ...] = KINDS) -> None:
        self.out, self.settings, self.kinds = out, settings, kinds

    @property
    def digest(self) -> str:
        """Short form of the settings, which every record carries."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def open(self, *, overwrite: bool) -> None:
        """Check whose results the folder holds and write the settings."""
        path = self.out / "settings.json"
        before = None if overwrite else self._read_settings(path)
        if before is not None:
            now = json.loads(json.dumps(self.settings, default=str))
            keys = [k for k in {**before, **now} if before.get(k) != now.get(k) and k != "rules_content"]
            if keys:
                changes = ", ".join(f"{k} {before.get(k)} (now {now.get(k)})" for k in keys)
                raise SettingsError(
                    f"{self.out} holds results of other settings: {changes}; choose another --out, or pass --overwrite"
                )
        content = {"fissura": __version__, "command": "measure", "settings": self.settings}
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
        write_bytes(path, text.encode("utf-8", "backslashreplace"))
        for kind in self.kinds:
            remove_temporary_files(self.out / kind)

    def _read_settings(self, path: Path) -> dict[str, Any] | None:
        """Settings of the run before, or None in a new folder. Raises SettingsError if the folder is not ours."""
        if not path.is_file():
            strange = [kind for kind in self.kinds if any((self.out / kind).glob("*"))]
            if strange:
                raise SettingsError(
                    f"{self.out}/{strange[0]} holds files that are not from 'fissura measure'; choose another --out, "
                    "or pass --overwrite if they may be replaced"
                )
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("command") != "measure":
                raise SettingsError(f"{self.out} holds results of another command; choose another --out")
            return dict(content["settings"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(f"{path} is damaged; delete it, or choose another --out") from error

    def read_index(self) -> list[Known]:
        """The records of all runs so far, by name; damaged ones are no records."""
        found = []
        for path in sorted((self.out / "frames").rglob("*.json")):
            try:
                raw = json.loads(path.read_text(encoding="utf-8"))
                one = Known(path.relative_to(self.out / "frames").as_posix().removesuffix(".json"), raw["source_path"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            with suppress(KeyError, TypeError):  # made by another fissura: its name is taken all the same
                one = replace(one, source=raw["record"]["source"], stamp=tuple(raw["stamp"]))
                if raw["settings"] == self.digest:
                    one = replace(one, finished=Finished.of(one.name, FrameRecord(**raw["record"])))
            found.append(one)
        return found

    def find_earlier(self, known: Sequence[Known], images: Sequence[SourceImage]) -> tuple[list[Finished], int]:
        """Pictures of earlier calls with the same settings, other than the present ones.

        Args:
            known: Of `read_index`.
            images: The present pictures.
        Returns:
            Those whose files are as they were; and how many are not, being changed or gone.
        """
        present = {str(image.path) for image in images}
        found, lost = [], 0
        for one in known:
            if one.source_path in present or one.finished is None or not self._is_whole(one.name):
                continue
            try:
                same = tuple(stamp_files(Path(one.source_path))) == one.stamp[:2]
            except OSError:
                same = False
            if same:
                found.append(one.finished)
            else:
                lost += 1
        return found, lost

    def read(self, name: str) -> FrameRecord:
        """A record that is known to be there.

        Raises:
            OutputError: It is there no longer.
        """
        try:
            return FrameRecord(**json.loads(self.path(name).read_text(encoding="utf-8"))["record"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError(f"cannot read {self.path(name)} again: {error}; run the command once more") from error

    def path(self, name: str) -> Path:
        """Where the record of a picture is."""
        return self.out / "frames" / f"{name}.json"

    def find_finished(self, image: SourceImage, name: str, mask: Path | None) -> FrameRecord | None:
        """The record of a picture if it was made from the present files with the present settings."""
        try:
            raw = json.loads(self.path(name).read_text(encoding="utf-8"))
            stamp = stamp_files(image.path, mask)
            if raw["settings"] != self.digest or raw["stamp"] != stamp or raw["source_path"] != str(image.path):
                return None
            return FrameRecord(**raw["record"]) if self._is_whole(name) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _is_whole(self, name: str) -> bool:
        """Whether what belongs to a record is there."""
        if not (self.out / "overlays" / f"{name}.jpg").is_file():
            return False
        own_masks = [self.out / "masks" / f"{name}{suffix}" for suffix in (".png", ".tif")]
        return "masks" not in self.kinds or any(path.is_file() for path in own_masks)

    def commit(self, image: SourceImage, name: str, stamp: list[int], record: FrameRecord) -> None:
        """Write the record; the overlay is on disk by then."""
        raw = {
            "source_path": str(image.path), "stamp": stamp, "settings": self.digest,
            "record": json.loads(record.to_json()),
        }  # fmt: skip
        # Names that are no Unicode reach us as lone surrogates: written as JSON's escapes they come back as they are.
        write_bytes(self.path(name), (json.dumps(raw, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def stamp_files(*paths: Path | None) -> list[int]:
    """Size and time of each file, which tell that it is still the same."""
    found = [path.stat() for path in paths if path is not None]
    return [value for status in found for value in (status.st_size, status.st_mtime_ns)]
