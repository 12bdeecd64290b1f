"""Downloaded archives and folders as one list of files, read in place and never unpacked by the names they hold.

Archives come from strangers: names that lead out of a folder, links, and files that grow beyond measure are refused.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any

from fissura.errors import DataError
from fissura.imaging.write import as_output_error

MOST_FILES = 300_000
LARGEST_FILE = 300_000_000
"""Bytes of one file: no picture or mask of these sets comes near."""
LARGEST_ARCHIVE = 30_000_000_000
"""Bytes of one archive, unpacked."""
MOST_RATIO, RATIO_FROM = 500, 20_000_000
"""A file that shrinks this much and is larger than this is a trap, not a picture."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz")
_FOREIGN = (".rar", ".7z", ".z01", ".001")
_WANTED = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".mat"}
_OPENERS: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


@dataclass(frozen=True, eq=False)
class Member:
    """A file of a source.

    Attributes:
        path: Within the source, the source's own name first, so that its words count, too.
        size: Bytes.
        read: Gives the bytes; see `SourceTree.read`.
    """

    path: PurePosixPath
    size: int
    read: Callable[[], bytes]

    @property
    def words(self) -> tuple[str, ...]:
        """Folder names from the outside in, lower case, without the file's name."""
        return tuple(part.lower() for part in self.path.parts[:-1])


@dataclass
class SourceTree:
    """All files of some sources. Use as a context manager: archives stay open within."""

    members: list[Member] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    digests: list[dict[str, Any]] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> SourceTree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def add(self, path: Path) -> None:
        """Add an archive or a folder; archives directly in a folder are opened, too.

        Raises:
            DataError: It is missing, damaged, of a kind that cannot be opened, or a trap.
        """
        if path.is_dir():
            self._add_folder(path)
        elif not path.is_file():
            raise DataError(f"{path} does not exist; give what was downloaded, an archive or the unpacked folder")
        else:
            self._digest(path)
            with_errors(path.name, lambda: self._add_archive(path, path.open("rb"), PurePosixPath(path.name), 0))
        if len(self.members) > MOST_FILES:
            raise DataError(f"{path} holds more than {MOST_FILES} files; give the folder of the set alone")

    def _add_folder(self, folder: Path) -> None:
        root = PurePosixPath(folder.resolve().name or "folder")
        digest = hashlib.sha256()
        count = 0
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file() or any(p.startswith(".") for p in path.parts[-2:]):
                continue
            relative = path.relative_to(folder).as_posix()
            if path.name.lower().endswith(ARCHIVES):
                self._digest(path)
                name = root / relative
                with_errors(path.name, lambda p=path, n=name: self._add_archive(p, p.open("rb"), n, 0))  # type: ignore[misc]
            elif path.suffix.lower() in _WANTED:
                size = path.stat().st_size
                digest.update(f"{relative} {size}\n".encode("utf-8", "surrogateescape"))
                count += 1
                self._take(root / relative, size, lambda p=path: _read_file(p))  # type: ignore[misc]
        if count:
            self.digests.append({"file": folder.name, "files": count, "sha256_of_names_and_sizes": digest.hexdigest()})

    def _add_archive(self, path: Path, file: IO[bytes], name: PurePosixPath, depth: int) -> None:
        self._stack.enter_context(file)
        if name.name.lower().endswith(_FOREIGN):
            raise DataError(f"{name.name} is a kind of archive that is not read; unpack it and give the folder")
        if zipfile.is_zipfile(file):
            file.seek(0)
            self._add_zip(self._stack.enter_context(zipfile.ZipFile(file)), path, name, depth)
            return
        file.seek(0)
        opener = _OPENERS.get(file.read(2))
        file.seek(0)
        if opener is not None:
            file = self._unpack(opener(file), path)
        try:
            archive = self._stack.enter_context(tarfile.open(fileobj=file))
        except tarfile.ReadError as error:
            raise DataError(f"{name.name} is no zip and no tar ({error}); download it again, or unpack it") from error
        for info in archive:
            if info.issym() or info.islnk() or info.isdev():
                self.refused.append((info.name, "a link or a device, no file"))
            elif info.isfile():
                self._offer(name, info.name, info.size, info.size, lambda i=info: _read_tar(archive, i))  # type: ignore[misc]

    def _add_zip(self, archive: zipfile.ZipFile, path: Path, name: PurePosixPath, depth: int) -> None:
        if sum(info.file_size for info in archive.infolist()) > LARGEST_ARCHIVE:
            raise DataError(f"{name.name} would unpack to more than {LARGEST_ARCHIVE / 1e9:.0f} GB; it is not opened")
        for info in archive.infolist():
            if info.is_dir():
                continue
            inner = PurePosixPath(info.filename.replace("\\", "/"))
            if inner.name.lower().endswith(".zip") and depth == 0 and _is_safe(inner):
                with archive.open(info) as stream:
                    self._add_archive(path, self._unpack(stream, path), name / inner, depth + 1)
                continue
            self._offer(
                name, info.filename, info.file_size, info.compress_size,
                lambda i=info: _read_zip(archive, i),  # type: ignore[misc]
            )  # fmt: skip

    def _offer(self, root: PurePosixPath, name: str, size: int, packed: int, read: Callable[[], bytes]) -> None:
        inner = PurePosixPath(name.replace("\\", "/"))
        if not _is_safe(inner):
            self.refused.append((name, "its path leads out of the folder"))
        elif inner.suffix.lower() in _WANTED and "__MACOSX" not in inner.parts and not inner.name.startswith("."):
            if size > RATIO_FROM and size > MOST_RATIO * max(packed, 1):
                self.refused.append((name, f"it would grow from {packed} to {size} bytes, as no picture does"))
            else:
                self._take(root / inner, size, read)

    def _take(self, path: PurePosixPath, size: int, read: Callable[[], bytes]) -> None:
        if size > LARGEST_FILE:
            self.refused.append((str(path), f"it has {size / 1e6:.0f} MB; up to {LARGEST_FILE // 1_000_000} are read"))
        else:
            self.members.append(Member(path, size, read))

    def _unpack(self, stream: Any, path: Path) -> IO[bytes]:
        """A compressed tar or an inner archive in a temporary file: reading to and fro in it would take for ever."""
        target: IO[bytes] = tempfile.TemporaryFile()  # the stack closes it
        total = 0
        try:
            while block := stream.read(1 << 20):
                total += len(block)
                if total > LARGEST_ARCHIVE:
                    limit = f"{LARGEST_ARCHIVE / 1e9:.0f} GB"
                    raise DataError(f"{path.name} unpacks to more than {limit}; it is not opened")
                target.write(block)
        except OSError as error:
            target.close()
            if error.errno is None:  # the stream is damaged
                raise DataError(f"{path.name} is damaged ({error}); download it again") from error
            raise as_output_error(Path(tempfile.gettempdir()), error) from error
        target.seek(0)
        return target

    def _digest(self, path: Path) -> None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.digests.append({"file": path.name, "bytes": path.stat().st_size, "sha256": digest})


def open_sources(paths: Sequence[Path]) -> SourceTree:
    """All files of some archives and folders.

    Raises:
        DataError: As in `SourceTree.add`.
    """
    tree = SourceTree()
    try:
        for path in paths:
            tree.add(path)
    except BaseException:
        tree.__exit__(None, None, None)
        raise
    return tree


def with_errors(name: str, work: Callable[[], None]) -> None:
    """Run with what archive readers raise in plain words."""
    try:
        work()
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{name} is damaged or not whole ({error}); download it again") from error
    except RuntimeError as error:  # zipfile says so for a password and for a compression it does not know
        raise DataError(f"{name} cannot be opened ({error}); unpack it and give the folder") from error


def _is_safe(path: PurePosixPath) -> bool:
    return not path.is_absolute() and ".." not in path.parts and ":" not in str(path) and "\0" not in str(path)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _read_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as stream:
            return _limited(stream, info.file_size, info.filename)
    except (zipfile.BadZipFile, EOFError, lzma.LZMAError, zlib.error, OSError) as error:
        raise DataError(f"{info.filename} in the archive is damaged ({error}); download it again") from error
    except RuntimeError as error:  # a password, or a compression that zipfile does not know: the file is whole
        raise DataError(f"{info.filename} cannot be read ({error}); unpack the archive and give the folder") from error


def _read_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    try:
        stream = archive.extractfile(info)
        if stream is None:
            raise DataError(f"{info.name} is no file")
        with stream:
            return _limited(stream, info.size, info.name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{info.name} in the archive is damaged ({error}); download it again") from error


def _limited(stream: IO[bytes], size: int, name: str) -> bytes:
    data = stream.read(min(size, LARGEST_FILE) + 1)
    if len(data) > size:
        raise DataError(f"{name} is larger than the archive says; it is not read")
    return data
