"""The folder of a survey: whose it is, what is finished in it, and the log of it all.

``settings.yaml`` says with which options a run was made; ``manifest.jsonl`` grows by one line for each finished input
or looked-at frame; what a run needs to go on lies in ``work/``. A thing counts as finished when its record is there,
was made with the present settings from the present file; records are written last, after all files they speak of.

Options that say how finds are reported (`REPORTING`) may change from run to run: no look depends on them, and a record
that depends on one of them names it. Versions before had all options in the digest of every record. A folder that one
of them began keeps that digest, and the reporting options it had: with those its records are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import yaml

from fissura import __version__
from fissura.errors import SettingsError
from fissura.imaging.write import as_output_error, remove_temporary_files, write_bytes

OWN = ("masks", "overlays", "probability", "pictures", "mosaics", "labels", "annotated", "work")
"""Folders of a run."""
REPORTING = ("rules", "route", "route_crs", "section_length_m", "least_confidence")
"""Settings that nothing depends on that the network is asked for."""
LOOKED_AT_AGAIN = (
    "was finished with other options, and what the network said of it is not kept that long; it is looked at again"
)
"""For people; see `RunFolder.has_other_record`."""
_LOG = "manifest.jsonl"


class RunFolder:
    """See the module.

    Args:
        out: The folder.
        settings: What results depend on; see `fissura.survey.request.describe_settings`.
        options: All options, for ``settings.yaml``.

    Attributes:
        changed: Names of `REPORTING` that the run before had other values of; known once it is open.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self.out = out
        self.settings, self._options = _plain(settings), _plain(options)
        self.changed: tuple[str, ...] = ()
        self._digest = _digest({k: v for k, v in self.settings.items() if k not in REPORTING})
        self._began: dict[str, Any] | None = None
        self._logged: set[str] = set()
        self._lock = Lock()

    @property
    def is_older(self) -> bool:
        """Whether an older version began it."""
        return self._began is not None

    @property
    def digest(self) -> str:
        """Changes with every setting that looks depend on."""
        return self._digest

    def check_given(self, given: Mapping[str, Path | None]) -> None:
        """Refuse to overwrite what the run itself is to read.

        Args:
            given: Files and folders from the user, by their options.
        Raises:
            SettingsError: One lies in what `open` deletes.
        """
        deleted = [(self.out / name).resolve() for name in (*OWN, _LOG)]
        for option, path in given.items():
            if path is None:
                continue
            place = path.resolve()
            # The run's folder as a whole stands for the masks in it.
            inside = next((d for d in deleted if d == place or d in place.parents or d.parent == place), None)
            if inside is not None:
                raise SettingsError(
                    f"{option} {path} lies in {inside}, which --overwrite deletes; copy it to another folder and give "
                    "the copy"
                )

    def open(self, *, overwrite: bool) -> None:
        """Make the folder ready.

        Raises:
            SettingsError: It holds another run, or files that are not ours. `REPORTING` options make no other run.
            OutputError: It cannot be written.
        """
        content = self._read_settings()
        before = None if content is None else content["settings"]
        if before is None and self.out.is_dir() and any(self.out.iterdir()):
            raise SettingsError(f"{self.out} holds files that are not from 'fissura survey'; choose another --out")
        if before is not None and overwrite:
            for name in (*OWN, _LOG):
                path = self.out / name
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        elif content is not None and before is not None:
            changed = sorted(k for k in {**before, **self.settings} if before.get(k) != self.settings.get(k))
            other = [k for k in changed if k not in REPORTING]
            if other:
                changes = ", ".join(f"{k} {before.get(k)} (now {self.settings.get(k)})" for k in other)
                raise SettingsError(
                    f"{self.out} holds a run with other settings: {changes}; choose another --out, or pass --overwrite"
                )
            self.changed = tuple(changed)
            self._go_on(content)
        self.write_settings()
        remove_temporary_files(self.out)
        self._read_log()

    def _go_on(self, content: Mapping[str, Any]) -> None:
        """Take the digest of the run before, and what its first records depend on if an older version made them."""
        if "digest" in content:
            self._digest, self._began = str(content["digest"]), content.get("began")
        else:
            settings = _plain(content["settings"])
            self._digest, self._began = _digest(settings), {k: settings.get(k) for k in REPORTING}

    def write_settings(self) -> None:
        """Write ``settings.yaml``."""
        content = {
            "fissura": __version__, "command": "survey", "options": self._options, "settings": self.settings,
            "digest": self.digest, **({} if self._began is None else {"began": self._began}),
        }  # fmt: skip
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_bytes(self.out / "settings.yaml", text.encode())

    def work(self, *parts: str) -> Path:
        """A path in the part of the folder that only the run itself needs."""
        return self.out.joinpath("work", *parts)

    def read_record(
        self, path: Path, stamp: Any, *, given: Mapping[str, Any] | None = None, began: Sequence[str] = ()
    ) -> dict[str, Any] | None:
        """The content of a record, if it was made with the present settings from what ``stamp`` describes.

        Args:
            path: Of the record.
            stamp: See above.
            given: What it depends on besides, of options that may change; None for looks.
            began: Names of `REPORTING` on which such a record of an older version depends.
        """
        raw = _read_raw(path, stamp)
        if raw is None:
            return None
        mine = {self._digest_of(given)}
        if given is not None and self._began is not None and self._is_as_it_began(began):
            mine.add(self.digest)
        return raw["content"] if raw["settings"] in mine else None

    def has_other_record(self, path: Path, stamp: Any) -> bool:
        """Whether there is a record of what ``stamp`` describes, with whichever options that may change."""
        return _read_raw(path, stamp) is not None

    def commit(
        self, path: Path, stamp: Any, content: Mapping[str, Any], *, given: Mapping[str, Any] | None = None
    ) -> None:
        """Write a record. Everything it speaks of must be on disk.

        Args:
            path: Of the record.
            stamp: See `read_record`.
            content: Plain values.
            given: See `read_record`.
        Raises:
            OutputError: It cannot be written.
        """
        raw = {"settings": self._digest_of(given), "stamp": _plain(stamp), "content": _plain(content)}
        write_bytes(path, _as_line(raw))

    def _digest_of(self, given: Mapping[str, Any] | None) -> str:
        return self.digest if given is None else _digest([self.digest, _plain(given)])

    def _is_as_it_began(self, names: Sequence[str]) -> bool:
        return self._began is not None and all(self._began.get(k) == self.settings.get(k) for k in names)

    def log(self, key: str, line: Mapping[str, Any]) -> None:
        """Append a line to ``manifest.jsonl``, unless the same thing was logged before.

        Args:
            key: Names the thing; a run that goes on does not log it again.
            line: Plain values.
        Raises:
            OutputError: It cannot be written.
        """
        key = f"{key} {self.digest}"
        with self._lock:
            if key in self._logged:
                return
            path = self.out / _LOG
            try:
                with path.open("ab") as file:
                    file.write(_as_line({"key": key, **_plain(line)}))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise as_output_error(path, error) from error
            self._logged.add(key)

    def read_log(self) -> list[dict[str, Any]]:
        """The lines of ``manifest.jsonl``, in order."""
        try:
            text = (self.out / _LOG).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        # Not splitlines(): names may hold other characters at which that splits.
        return [json.loads(line) for line in text.split("\n") if line]

    def _read_settings(self) -> dict[str, Any] | None:
        """What ``settings.yaml`` holds; None without one."""
        path = self.out / "settings.yaml"
        if not path.is_file():
            return None
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            if content.get("command") != "survey":
                raise SettingsError(f"{self.out} holds results of another command; choose another --out")
            return {**content, "settings": dict(content["settings"])}
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(f"{path} cannot be read ({error}); choose another --out") from error

    def _read_log(self) -> None:
        """Know what was logged; cut off a line that a killed run left half written."""
        path = self.out / _LOG
        try:
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(path, whole)
        except FileNotFoundError:
            return
        except OSError as error:
            raise as_output_error(path, error) from error
        for line in data[:whole].decode("utf-8", "replace").split("\n")[:-1]:
            try:
                self._logged.add(str(json.loads(line)["key"]))
            except (ValueError, KeyError, TypeError) as error:
                raise SettingsError(f"{path} is damaged; delete it to have it written anew") from error


def _read_raw(path: Path, stamp: Any) -> dict[str, Any] | None:
    """A record of what ``stamp`` describes; None if there is none, or a damaged one."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        whole = raw["stamp"] == _plain(stamp) and isinstance(raw["content"], dict) and "settings" in raw
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(raw) if whole else None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def stamp_file(path: Path) -> list[int]:
    """Size and time of a file, which tell that it is still the same."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_line(value: Mapping[str, Any]) -> bytes:
    """A line of JSON. Names that are no Unicode reach us as lone surrogates: as JSON's escapes they come back."""
    return (json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _plain(value: Any) -> Any:
    """What JSON gives back: the same on both sides of a comparison."""
    return json.loads(json.dumps(value, ensure_ascii=False, default=str))
