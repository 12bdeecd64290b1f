"""The folder of results: what replaces what, and what that costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fissura.results import PageResult, ResultFolder


def commit(folder: ResultFolder, source: Path, *files: str) -> None:
    for file in files:
        (folder.folder / file).parent.mkdir(exist_ok=True)
        (folder.folder / file).write_bytes(b"made")
    pages = [PageResult({"masks": file}, 2, 3, 0, 6) for file in files]
    folder.commit(source, source.stem, source.stat(), pages)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "a.tif").write_bytes(b"pages")
    return tmp_path / "a.tif"


@pytest.mark.parametrize("opened_anew", [False, True])
def test_what_an_input_no_longer_has_is_deleted_unless_another_has_it(
    tmp_path: Path, source: Path, opened_anew: bool
) -> None:
    folder = ResultFolder(tmp_path / "out", {})
    folder.open(overwrite=True)
    other = tmp_path / "b.tif"
    other.write_bytes(b"one page")
    commit(folder, source, "masks/1.png", "masks/2.png", "masks/3.png")
    commit(folder, other, "masks/2.png")
    if opened_anew:
        folder = ResultFolder(tmp_path / "out", {})
        folder.open(overwrite=True)
    commit(folder, source, "masks/1.png")
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["1.png", "2.png"]
    commit(folder, other, "masks/4.png")
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["1.png", "4.png"]


def test_a_commit_does_not_walk_through_all_lines(tmp_path: Path, source: Path) -> None:
    class Lines(dict[str, Any]):
        def __iter__(self) -> Iterator[str]:
            raise AssertionError("walked through")

        keys = values = items = __iter__  # type: ignore[assignment]

    folder = ResultFolder(tmp_path / "out", {}, Lines())
    folder.open(overwrite=True)
    for _ in range(2):
        commit(folder, source, "masks/1.png")


def test_lines_of_earlier_versions_have_no_flaw(tmp_path: Path, source: Path) -> None:
    folder = ResultFolder(tmp_path / "out", {})
    folder.open(overwrite=True)
    commit(folder, source, "masks/1.png")
    lines = tmp_path / "out" / "results.jsonl"
    line = json.loads(lines.read_text())
    assert line.pop("flaw") == ""
    lines.write_text(json.dumps(line) + "\n")
    folder = ResultFolder(tmp_path / "out", {})
    folder.open(overwrite=False)
    found = folder.find_finished(source, ("masks",))
    assert found is not None and found.flaw == ""
