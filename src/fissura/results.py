"""`ResultFolder`: results of ``fissura segment`` that can be stopped at any moment and never mix settings.

Beside ``masks/``, ``overlays/`` and ``probability/`` the folder holds ``settings.json``, the settings of the latest
run, and ``results.jsonl``, one line for every finished input: its name, size and time stamp, the files made from
it, counts and notes. A result counts as finished when its line is there, was made with the present settings from
the present input file, and all the files asked for exist.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fissura import __version__
from fissura.errors import SettingsError
from fissura.imaging.write import as_output_error, remove_temporary_files, write_bytes

KINDS = ("masks", "probability", "overlays")


@dataclass(frozen=True)
class PageResult:
    """What was made from one page of an input.

    Attributes:
        files: Path below the result folder, by kind (see `KINDS`).
        height: Rows.
        width: Columns.
        crack_pixels: Pixels marked as crack.
        valid_pixels: Pixels that were looked at.
        notes: What was changed on reading.
    """

    files: dict[str, str]
    height: int
    width: int
    crack_pixels: int
    valid_pixels: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageResult:
    """One line of ``results.jsonl``; ``flaw`` says why an input counts as failed though it has results."""

    source: str
    name: str
    bytes: int
    mtime_ns: int
    settings: str
    pages: tuple[PageResult, ...]
    flaw: str = ""


@dataclass
class ResultFolder:
    """A folder of results; see the module.

    Args:
        folder: Where.
        settings: What determines the results, JSON values.
    """

    folder: Path
    settings: dict[str, Any]
    _lines: dict[str, ImageResult] = field(default_factory=dict)
    _uses: Counter[str] = field(default_factory=Counter)

    @property
    def digest(self) -> str:
        """Short checksum of the settings."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def known_names(self) -> dict[str, str]:
        """Names given so far, by absolute path of the input."""
        return {source: line.name for source, line in self._lines.items()}

    @property
    def given_names(self) -> dict[str, str]:
        """`known_names`, and the names of pages and frames with their number behind the path."""
        pages = {
            f"{source}#{number}": os.path.splitext(page.files["masks"].removeprefix("masks/"))[0]
            for source, line in self._lines.items()
            for number, page in enumerate(line.pages)
        }
        return pages | self.known_names

    def open(self, *, overwrite: bool) -> None:
        """Make the folder ready: check whose results it holds, sweep up after a killed run, write the settings.

        Raises:
            SettingsError: It holds results of other settings, or files that are not ours; with ``overwrite`` both
                are allowed.
            OutputError: It cannot be written.
        """
        before = self._read_settings()
        if not overwrite:
            self._check_settings(before)
        self._read_lines()
        for kind in KINDS:
            remove_temporary_files(self.folder / kind)
        content = {"fissura": __version__, "settings": self.settings}
        write_bytes(self._settings_path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def find_finished(self, source: Path, kinds: tuple[str, ...]) -> ImageResult | None:
        """The result of an input if nothing is left to do for it."""
        line = self._lines.get(str(source))
        if line is None or line.settings != self.digest:
            return None
        try:
            status = source.stat()
        except OSError:
            return None
        if (status.st_size, status.st_mtime_ns) != (line.bytes, line.mtime_ns):
            return None
        whole = all(
            kind in page.files and (self.folder / page.files[kind]).is_file() for page in line.pages for kind in kinds
        )
        return line if whole else None

    def count_others(self) -> int:
        """Results in the folder that were made with other settings."""
        return sum(line.settings != self.digest for line in self._lines.values())

    def commit(
        self, source: Path, name: str, status: os.stat_result, pages: list[PageResult], *, flaw: str = ""
    ) -> ImageResult:
        """Note a finished input. Its files must be on disk; those of pages that it no longer has are deleted.

        Args:
            source: The input, absolute.
            name: Its name in the folder.
            status: Of the input, taken before it was read.
            pages: What was made.
            flaw: Why that is not all of the input; empty if it is.
        Raises:
            OutputError: The line cannot be written.
        """
        line = ImageResult(str(source), name, status.st_size, status.st_mtime_ns, self.digest, tuple(pages), flaw)
        try:
            with self._lines_path.open("ab") as file:
                file.write((json.dumps(asdict(line), ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise as_output_error(self._lines_path, error) from error
        before = self._keep(line)
        if before is not None:
            self._remove_stale(before, line)
        return line

    def _keep(self, line: ImageResult) -> ImageResult | None:
        """Take a line in; gives the one that it takes the place of."""
        before, self._lines[line.source] = self._lines.get(line.source), line
        self._uses.update(_files(line))
        if before is not None:
            self._uses.subtract(_files(before))
        return before

    def _remove_stale(self, before: ImageResult, now: ImageResult) -> None:
        """Delete what an input's earlier pages left; kinds that were not made this time are kept."""
        made = {kind for page in now.pages for kind in page.files}
        stale = {file for page in before.pages for kind, file in page.files.items() if kind in made}
        for file in stale:
            if self._uses[file] <= 0:
                (self.folder / file).unlink(missing_ok=True)

    @property
    def _settings_path(self) -> Path:
        return self.folder / "settings.json"

    @property
    def _lines_path(self) -> Path:
        return self.folder / "results.jsonl"

    def _read_settings(self) -> dict[str, Any] | None:
        try:
            content = json.loads(self._settings_path.read_text(encoding="utf-8"))
            return dict(content["settings"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise as_output_error(self._settings_path, error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{self._settings_path} is damaged; delete it, or choose another --out") from error

    def _check_settings(self, before: dict[str, Any] | None) -> None:
        if before is None:
            strange = [kind for kind in KINDS if any((self.folder / kind).glob("*"))]
            if strange:
                raise SettingsError(
                    f"{self.folder}/{strange[0]} holds files that are not from 'fissura segment'; choose another "
                    "--out, or pass --overwrite if they may be replaced"
                )
            return
        keys = [key for key in {**before, **self.settings} if before.get(key) != self.settings.get(key)]
        if keys:
            changes = ", ".join(f"{key} {before.get(key)} (now {self.settings.get(key)})" for key in keys)
            raise SettingsError(
                f"{self.folder} holds results of other settings: {changes}; choose another --out, or pass --overwrite"
            )

    def _read_lines(self) -> None:
        """Read the finished lines; cut off one that a killed run left half written."""
        try:
            data = self._lines_path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(self._lines_path, whole)
        except FileNotFoundError:
            return
        except OSError as error:
            raise as_output_error(self._lines_path, error) from error
        # Not splitlines(): names may hold other characters at which that splits.
        for row in data[:whole].decode("utf-8", "surrogateescape").split("\n")[:-1]:
            try:
                raw = json.loads(row)
                pages = tuple(PageResult(**page | {"notes": tuple(page["notes"])}) for page in raw["pages"])
                line = ImageResult(**raw | {"pages": pages})
            except (ValueError, KeyError, TypeError) as error:
                raise SettingsError(f"{self._lines_path} is damaged; delete it to make all results anew") from error
            self._keep(line)


def _files(line: ImageResult) -> list[str]:
    return [file for page in line.pages for file in page.files.values()]
