"""``fissura road``: names, records and what stops it; the road itself is given, so that tests are instant."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

import fissura.imaging.video
import fissura.road_run
from fissura.cli.app import app
from fissura.imaging.write import as_output_error
from fissura.road import Road
from support.remux import remux


@pytest.fixture(autouse=True)
def given_road(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(rgb: np.ndarray) -> Road:
        mask = np.zeros((12, 16), np.bool_)
        mask[:, 6:10] = True
        return Road.from_mask(mask, rgb.shape[:2])

    monkeypatch.setattr(fissura.road_run, "find_road", find)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["road", *map(str, arguments)])


def write_film(path: Path, grey: int = 100, frames: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 1.0, (64, 48))
    for _ in range(frames):
        writer.write(np.full((48, 64, 3), grey, np.uint8))
    writer.release()
    return path


def records(out: Path) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = json.loads((out / "road.json").read_text(encoding="utf-8"))["frames"]
    return frames


def test_videos_and_pictures_called_the_same_keep_their_results(tmp_path: Path, make_data: ModuleType) -> None:
    for name in ("a/DJI_1.mp4", "b/DJI_1.mp4", "b/DJI_1.mov"):
        write_film(tmp_path / "in" / name, frames=1)
    make_data.rgb_png(tmp_path / "in" / "a" / "DJI_1_000000.png")
    assert run(tmp_path / "in", "--out", tmp_path / "out").exit_code == 0
    names = ["a/DJI_1_000000", "a/DJI_1_000000_", "b/DJI_1.mov_000000", "b/DJI_1.mp4_000000"]
    assert sorted(record["name"] for record in records(tmp_path / "out")) == names
    masks = (tmp_path / "out" / "road").rglob("*.png")
    assert sorted(str(path.relative_to(tmp_path / "out" / "road").with_suffix("")) for path in masks) == names
    # Videos by a glob, one for each folder.
    result = run(tmp_path / "in" / "*" / "*.mp4", "--out", tmp_path / "glob")
    assert result.exit_code == 0, result.output
    assert [record["name"] for record in records(tmp_path / "glob")] == ["a/DJI_1_000000", "b/DJI_1_000000"]


class CutOff:
    """A video that ends early, or whose reading is interrupted."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error, self.notes = error, ["the file was cut off: it ends after 1.0 s of 9.0 s"]

    def __enter__(self) -> CutOff:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Any:
        class Frame:
            index, time_s = 0, 0.0

            def rgb(self) -> np.ndarray:
                return np.full((48, 64, 3), 90, np.uint8)

        yield Frame()
        if self.error is not None:
            raise self.error


def test_a_cut_off_video_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fissura.imaging.video, "open_video", lambda source: CutOff())
    film = write_film(tmp_path / "a.mp4")
    result = run(film, "--out", tmp_path / "out")
    assert "note: " in result.output and "was cut off" in result.output
    (note,) = json.loads((tmp_path / "out" / "road.json").read_text())["notes"]
    assert note["source"] == str(film) and "was cut off" in note["note"]


def test_a_video_that_ends_early_has_failed_and_its_frames_are_kept(tmp_path: Path) -> None:
    pytest.importorskip("av")
    remux(write_film(tmp_path / "whole.mp4", frames=40), tmp_path / "front.mp4", {"movflags": "faststart"})
    data = (tmp_path / "front.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) - 300])
    result = run(tmp_path / "cut.mp4", "--out", tmp_path / "out", "--quiet")
    assert result.exit_code == 1
    assert "failed: cut.mp4: ended early: cut.mp4 was cut off" in result.output
    assert 0 < len(records(tmp_path / "out")) < 20
    result = run(tmp_path / "front.mp4", "--out", tmp_path / "all", "--quiet")
    assert (result.exit_code, len(records(tmp_path / "all"))) == (0, 20)


def test_ctrl_c_keeps_what_was_done_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fissura.imaging.video, "open_video", lambda source: CutOff(KeyboardInterrupt()))
    result = run(write_film(tmp_path / "a.mp4"), "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert "1 frames are in" in result.output and "begins anew" in result.output
    assert len(records(tmp_path / "out")) == 1


def test_passwords_of_streams_are_neither_shown_nor_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fissura.imaging.video, "open_video", lambda source: CutOff())
    result = run("rtsp://pilot:s3cret@10.0.0.7/live?token=abc", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    kept = (tmp_path / "out" / "road.json").read_text() + " ".join(map(str, tmp_path.rglob("*")))
    for secret in ("s3cret", "abc"):
        assert secret not in result.output + kept
    assert (records(tmp_path / "out")[0]["name"], records(tmp_path / "out")[0]["source"]) == (
        "live_000000", "rtsp://10.0.0.7/live",
    )  # fmt: skip


def test_names_that_are_not_utf_8(tmp_path: Path, make_data: ModuleType) -> None:
    picture = tmp_path / os.fsdecode(b"stra\xdfe.png")
    make_data.rgb_png(tmp_path / "a.png").rename(picture)
    result = run(picture, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert records(tmp_path / "out")[0]["source"] == str(picture)


def test_a_name_too_long_fails_alone_and_a_full_disk_stops(
    tmp_path: Path, make_data: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        make_data.rgb_png(tmp_path / "in" / f"{name}.png")
    write = fissura.road_run.write_mask
    number = errno.ENAMETOOLONG

    def refuse(path: Path, mask: np.ndarray) -> None:
        if path.stem == "a":
            raise as_output_error(path, OSError(number, ""))
        write(path, mask)

    monkeypatch.setattr(fissura.road_run, "write_mask", refuse)
    result = run(tmp_path / "in", "--out", tmp_path / "out", "--debug")
    assert result.exit_code == 1
    assert "the name is too long" in result.output
    assert [record["name"] for record in records(tmp_path / "out")] == ["b"]
    number = errno.ENOSPC
    result = run(tmp_path / "in", "--out", tmp_path / "full")
    assert result.exit_code == 2
    assert "the disk is full" in result.output
    assert records(tmp_path / "full") == []


def test_an_unexpected_error_fails_alone_with_debug_too(
    tmp_path: Path, make_data: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        make_data.rgb_png(tmp_path / "in" / f"{name}.png")
    read = fissura.road_run.read_image

    def fragile(path: Path) -> Any:
        if path.stem == "a":
            raise RuntimeError("library trouble")
        return read(path)

    monkeypatch.setattr(fissura.road_run, "read_image", fragile)
    result = run(tmp_path / "in", "--out", tmp_path / "out", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.output + capfd.readouterr().err
    assert [record["name"] for record in records(tmp_path / "out")] == ["b"]
