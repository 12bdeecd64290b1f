"""``fissura evaluate`` on drawn images, with the tiny dark-line model."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from PIL import Image
from tests.support.odd_names import require_odd_names
from tests.support.tiny_model import make_tiny_onnx
from typer.testing import CliRunner, Result

from fissura.cli.evaluate import _name_sets, evaluate

APP = typer.Typer()
APP.command()(evaluate)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    make_tiny_onnx(path)
    return path


def write_set(folder: Path, *, images: int = 2, crack: bool = True) -> Path:
    """Dark lines two pixels wide on grey; the masks hold them when ``crack``."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(images):
        grey, mask = np.full((70, 90), 180, np.uint8), np.zeros((70, 90), np.uint8)
        cv2.line(grey, (10, 12 + 8 * index), (80, 50), 60, 2)
        if crack:
            cv2.line(mask, (10, 12 + 8 * index), (80, 50), 255, 2)
        Image.fromarray(np.stack([grey] * 3, -1)).save(folder / "images" / f"p{index}.png")
        Image.fromarray(mask).save(folder / "masks" / f"p{index}.png")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


def test_table_and_files(tmp_path: Path, model: Path):
    write_set(tmp_path / "data" / "asphalt" / "test")
    write_set(tmp_path / "data" / "walls" / "test", images=3, crack=False)
    out = tmp_path / "out"
    result = run("--model", model, "--data", tmp_path / "data", "--out", out)
    assert result.exit_code == 0, result.output
    text = result.stdout
    assert "fixed threshold 0.5 (the model card's)" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if "/test" in line}
    summary = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in summary["sets"]] == ["asphalt/test", "walls/test"]
    figures = summary["sets"][0]["figures"]
    assert figures["F1@2px"] > 0.9  # the model finds dark lines
    assert f"{figures['ODS']:.3f}" in rows["asphalt/test"]
    assert summary["sets"][1]["figures"]["false-alarm share"] == 1.0
    assert summary["mean_over_sets"]["F1"] == figures["F1"]
    assert "mean over sets" in text
    assert "3 of 3 images without crack" in text
    assert (summary["threshold"], summary["threshold_origin"]) == (0.5, "the model card's")
    assert (summary["engine"], summary["model"]["name"]) == ("openvino", "tiny")
    lines = list(csv.DictReader((out / "per_image.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [(line["set"], line["stem"]) for line in lines[:2]] == [("asphalt/test", "p0"), ("asphalt/test", "p1")]
    assert len(lines) == 5
    with Image.open(out / "worst_cases.png") as sheet:
        assert sheet.width > 1000


def test_plain_lines_carry_the_set_and_all_numbers(tmp_path: Path, model: Path):
    write_set(tmp_path / "one")
    result = run("--model", model, "--data", tmp_path / "one", "--out", tmp_path / "out")
    table = [line for line in result.stdout.splitlines() if line.strip()]
    heads = next(line.split() for line in table if line.startswith("set "))
    values = next(line.split() for line in table if f"{tmp_path.name}/one" in line)
    assert heads == ["set", "images", "precision", "recall", "F1", "IoU", "mIoU", "F1@2px"]
    assert len(values) == len(heads)
    assert all(re.fullmatch(r"\d\.\d{3}", value) for value in values[2:])


def test_a_given_threshold_is_named_and_used(tmp_path: Path, model: Path):
    write_set(tmp_path / "one")
    result = run("--model", model, "--data", tmp_path / "one", "--out", tmp_path / "out", "--threshold", 0.93)
    assert "fixed threshold 0.93 (given by --threshold)" in result.stdout
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["threshold"] == 0.93
    assert run("--model", model, "--data", tmp_path / "one", "--threshold", 1.5).exit_code == 2


def test_one_unreadable_pair_is_left_out_and_the_exit_status_is_one(tmp_path: Path, model: Path):
    folder = write_set(tmp_path / "one", images=3)
    (folder / "images" / "p1.png").write_text("text named .png")
    result = run("--model", model, "--data", folder, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "p1" in result.stderr
    summary = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert summary["sets"][0]["images"] == 2
    assert len(summary["failed"]) == 1


def test_a_set_that_does_not_pair_up_is_left_out(tmp_path: Path, model: Path):
    good, bad = write_set(tmp_path / "good"), write_set(tmp_path / "bad")
    (bad / "masks" / "p0.png").unlink()
    result = run("--model", model, "--data", good, "--data", bad, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "without a mask" in result.stderr


def test_what_cannot_start_ends_with_two_and_one_line(tmp_path: Path, model: Path):
    data = write_set(tmp_path / "one")
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    for arguments, words in [
        (("--model", model, "--data", tmp_path / "none"), "none"),
        (("--model", tmp_path / "none.onnx", "--data", data), "none.onnx"),
        (("--model", model, "--data", data, "--out", in_the_way / "out"), "file"),
        (("--model", model, "--data", data, "--engine", "steam"), "steam"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert words in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_nothing_readable_ends_with_two(tmp_path: Path, model: Path):
    folder = write_set(tmp_path / "one", images=1)
    (folder / "images" / "p0.png").write_bytes(b"")
    result = run("--model", model, "--data", folder, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_quiet_prints_nothing_but_writes(tmp_path: Path, model: Path):
    write_set(tmp_path / "one")
    result = run("--model", model, "--data", tmp_path / "one", "--out", tmp_path / "out", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "out" / "evaluation.json").is_file()


def test_results_go_to_a_folder_named_after_the_model(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    assert run("--model", model, "--data", "one").exit_code == 0
    assert (tmp_path / "evaluation" / "tiny" / "evaluation.json").is_file()


def test_sets_are_named_apart_and_counted_once(tmp_path: Path):
    a, b = write_set(tmp_path / "a" / "deep" / "test", images=1), write_set(tmp_path / "b" / "deep" / "test", images=1)
    assert list(_name_sets([tmp_path])) == ["a/deep/test", "b/deep/test"]
    assert list(_name_sets([a])) == ["deep/test"]
    assert list(_name_sets([a, b])) == ["a/deep/test", "b/deep/test"]
    assert list(_name_sets([tmp_path / "a", a])) == ["deep/test"]


def test_a_narrow_terminal_does_not_cut_numbers(tmp_path: Path, model: Path):
    write_set(tmp_path / "a_set_with_a_really_long_name_of_many_letters" / "test", images=1)
    code = """if True:
        import typer
        from fissura.cli.evaluate import evaluate
        typer.run(evaluate)
    """
    pty = pytest.importorskip("pty")  # not on Windows
    leader, follower = pty.openpty()
    parts = [sys.executable, "-c", code, "--model", model, "--data", tmp_path, "--out", tmp_path / "out"]
    command = [str(part) for part in parts]
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(follower)
        text = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # how Linux says that the other side has closed
                break
            if not piece:
                break
            text += piece
        assert process.wait() == 0
    os.close(leader)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.decode())
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())["sets"][0]["figures"]
    for name in ("precision", "recall", "F1", "IoU", "mIoU", "F1@2px", "ODS", "OIS", "AP", "AIU", "clDice", "clIoU"):
        assert name in plain
        assert f"{figures[name]:.3f}" in plain
    tables = plain[: plain.index("written to")]
    assert max(len(line.rstrip()) for line in tables.splitlines()) <= 80
    assert "…" not in plain


def test_names_that_are_no_unicode_lose_nothing(tmp_path: Path, model: Path):
    require_odd_names(tmp_path)
    folder = write_set(tmp_path / "one")
    for part in ("images", "masks"):
        (folder / part / "p0.png").rename(folder / part / "stra\udcdfe.png")
    write_set(tmp_path / "two", images=1).rename(tmp_path / "br\udcfccke")
    out = tmp_path / "out"
    result = run("--model", model, "--data", folder, "--data", tmp_path / "br\udcfccke", "--out", out)
    assert result.exit_code == 0, result.output
    table = list(csv.DictReader((out / "per_image.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert {line["stem"] for line in table} == {"p0", "p1", "stra?e"}
    summary = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert any("br\udcfccke" in entry["name"] for entry in summary["sets"])
    assert (out / "worst_cases.png").is_file()
