"""``fissura compare`` from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from tests.compare.conftest import grid_keys, write_grid, write_set
from typer.testing import CliRunner, Result

import fissura.compare.run
import fissura.compare.speed
from fissura.cli.compare import compare
from fissura.errors import ModelError

APP = typer.Typer()
APP.command()(compare)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


@pytest.fixture
def grid_file(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for index, name in enumerate(("lines/train", "lines/test", "other/test")):
        write_set(root / name, seed=index)
    return write_grid(tmp_path / "grid.yaml", grid_keys(root))


def test_one_cell_then_the_tables_again(grid_file: Path, tmp_path: Path):
    out = tmp_path / "out"
    arguments = (grid_file, "--out", out, "--only", "network=unet", "--only", "enhancer=none")
    result = run(*arguments, "--threads", 1)
    assert result.exit_code == 0, result.output
    assert "cell 1 of 1: unet+none+0" in result.stdout
    assert "unet none 0" in result.stdout
    assert "3 of 4 cells are not finished" in result.stdout
    assert {path.name for path in out.glob("table.*")} == {"table.md", "table.csv", "table.json", "table.png"}
    again = run(*arguments)
    assert again.exit_code == 0
    assert "1 of 1 cells are finished already" in again.stdout


class DarkIsCrack:
    threshold = 0.5

    def probability(self, rgb: np.ndarray, *, valid: object = None) -> np.ndarray:
        return (1 - rgb[..., 0].astype(np.float32) / 255).clip(0, 1)


def test_an_unreadable_image_is_exit_status_one(grid_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fissura.compare.run, "load_for_scoring", lambda *_, **__: DarkIsCrack())
    (tmp_path / "data" / "other" / "test" / "images" / "p1.png").write_bytes(b"")
    result = run(grid_file, "--out", tmp_path / "out", "--only", "network=unet", "--only", "enhancer=none", "--quiet")
    assert result.exit_code == 1
    assert "other/test/p1" in result.stderr
    assert result.stdout == ""


def test_the_tables_are_written_when_the_speed_cannot_be_measured(
    grid_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise ModelError("the weights are damaged")

    monkeypatch.setattr(fissura.compare.run, "load_for_scoring", lambda *_, **__: DarkIsCrack())
    monkeypatch.setattr(fissura.compare.speed, "measure_speed", fail)
    result = run(grid_file, "--out", tmp_path / "out", "--only", "network=unet", "--only", "enhancer=none")
    assert result.exit_code == 1
    assert "failed: speed: the weights are damaged" in result.stderr
    assert (tmp_path / "out" / "table.md").is_file()


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"networks": {"x": {"architecture": "vgg"}}}, (), "unknown architecture 'vgg'"),
        ({}, ("--only", "network=vgg"), "network is one of hac, unet"),
        ({}, ("--limit-minutes", "-1"), "--limit-minutes is -1"),
        ({}, ("--threads", "0"), "--threads is 0"),
    ],
)
def test_what_cannot_start_is_one_line_and_status_two(
    grid_file: Path, tmp_path: Path, changes: dict[str, object], options: tuple[str, ...], message: str
):
    write_grid(grid_file, yaml.safe_load(grid_file.read_text()) | changes)
    result = run(grid_file, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
