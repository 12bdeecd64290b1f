"""A grid that is trained for real, in small, and what happens when things go wrong."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.compare.conftest import grid_keys, write_grid

import fissura.compare.run
import fissura.compare.speed
import fissura.infer.backend
import fissura.train.loop
from fissura.compare.figures import FIGURES
from fissura.compare.grid import Grid, choose_cells, read_grid
from fissura.compare.report import write_tables
from fissura.compare.run import Limits, run_cells
from fissura.compare.speed import measure_speed
from fissura.compare.store import FAILED, FINISHED, NOT_RUN, Store
from fissura.errors import OutputError, SettingsError
from fissura.nets import build_model, load_weights, save_weights
from fissura.train.loop import make_card


class Notes:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failed: dict[str, str] = {}

    def say(self, line: str) -> None:
        self.lines.append(line)

    def fail(self, source: str, error: BaseException) -> None:
        self.failed[source] = str(error)


class DarkIsCrack:
    threshold = 0.5

    def probability(self, rgb: np.ndarray, *, valid: object = None) -> np.ndarray:
        return (1 - rgb[..., 0].astype(np.float32) / 255).clip(0, 1)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No training and no engine; returns the names of the cells that were trained."""
    trained: list[str] = []

    def train(config, out, *, say, quiet, sets):
        trained.append(config.name)
        out.mkdir(parents=True, exist_ok=True)
        card = make_card(config, sets)
        save_weights(out / f"{config.name}.safetensors", build_model(card), card)

    monkeypatch.setattr(fissura.train.loop, "train", train)
    monkeypatch.setattr(fissura.compare.run, "load_for_scoring", lambda *_, **__: DarkIsCrack())
    return trained


def run(grid: Grid, out: Path, only: list[str] | None = None, **limits: float) -> tuple[Store, Notes]:
    store, notes = Store(grid, out), Notes()
    run_cells(store, choose_cells(grid.cells, only or []), notes, Limits(**limits))
    return store, notes


def statuses(store: Store) -> list[str]:
    return [store.record(cell).status for cell in store.grid.cells]


def test_a_small_grid_for_real(data_root: Path, tmp_path: Path):
    keys = grid_keys(data_root, speed={"rounds": 1, "side": 64})
    keys["networks"] = {"unet": keys["networks"]["unet"]}  # type: ignore[index]
    grid, out = read_grid(write_grid(tmp_path / "g.yaml", keys)), tmp_path / "out"
    store, notes = run(grid, out, threads=1)
    assert not notes.failed
    assert statuses(store) == [FINISHED, FINISHED]
    speed = measure_speed(store)
    assert set(speed) == {"unet+none", "unet+darkening"}
    assert all(value > 0 for value in speed.values())
    rows = write_tables(store, speed)
    none, dark = rows
    assert none.label == dark.label == "undertrained"  # two steps teach nothing
    assert dark.record.facts["parameters"] >= none.record.facts["parameters"]
    assert set(dark.tests) == {"lines/test", "other/test"}
    assert dark.tests["lines/test"].images == 4
    assert set(dark.tests["lines/test"].differences) == set(FIGURES)
    assert not none.tests["lines/test"].differences
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "same 4 crops of 32×32" in text
    assert (out / "table.png").read_bytes().startswith(b"\x89PNG")
    lines = list(csv.DictReader((out / "table.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [(line["enhancer"], line["test"]) for line in lines][:2] == [("none", "lines/test"), ("none", "other/test")]
    assert float(lines[0]["ms"]) > 0
    found = json.loads((out / "table.json").read_text())
    assert set(found["protocol"]) == set(FIGURES)
    _, notes = run(grid, out)
    assert notes.lines[0] == "2 of 2 cells are finished already"
    assert len(notes.lines) == 1


def test_a_killed_cell_goes_on_and_finished_ones_are_not_touched(
    grid_file: Path, tmp_path: Path, instant: list[str], monkeypatch: pytest.MonkeyPatch
):
    grid, out = read_grid(grid_file), tmp_path / "out"
    score, calls = fissura.compare.run.score_test, []

    def killed_later(segmenter, folder, config):
        calls.append(folder)
        if len(calls) == 4:  # in the second test of the second cell
            raise KeyboardInterrupt
        return score(segmenter, folder, config)

    with monkeypatch.context() as patch:
        patch.setattr(fissura.compare.run, "score_test", killed_later)
        with pytest.raises(KeyboardInterrupt):
            run(grid, out)
    store = Store(grid, out)
    assert statuses(store) == [FINISHED, NOT_RUN, NOT_RUN, NOT_RUN]
    first = [path.read_bytes() for path in sorted(store.folder(grid.cells[0]).glob("*.*"))]
    write_tables(store, {})
    assert "| unet | none | 0 | not run |" in (out / "table.md").read_text(encoding="utf-8")
    instant.clear()
    store, notes = run(grid, out)
    assert statuses(store) == [FINISHED] * 4
    assert instant == ["hac-darkening-0", "unet-darkening-0"]  # the second cell was trained, only scored on
    assert "1 of 4 cells are finished already" in notes.lines
    assert [path.read_bytes() for path in sorted(store.folder(grid.cells[0]).glob("*.*"))] == first


def test_a_cell_that_fails_is_recorded_and_tried_again_last(
    grid_file: Path, tmp_path: Path, instant: list[str], monkeypatch: pytest.MonkeyPatch
):
    grid, out = read_grid(grid_file), tmp_path / "out"
    works = fissura.train.loop.train

    def fails_once(config, *arguments, **options):
        if config.name == "hac-none-0":
            raise RuntimeError("the loss is not a number\nand more")
        return works(config, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fissura.train.loop, "train", fails_once)
        store, notes = run(grid, out, ["enhancer=none"])
    assert statuses(store)[:2] == [FAILED, FINISHED]
    assert "not a number" in notes.failed["hac+none+0"]
    rows = write_tables(store, {})
    assert rows[0].record.error == "the loss is not a number"
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "- hac+none+0: the loss is not a number" in text
    instant.clear()
    store, _ = run(grid, out)
    assert instant == ["hac-darkening-0", "unet-darkening-0", "hac-none-0"]
    assert statuses(store) == [FINISHED] * 4


def test_an_empty_image_in_a_test_is_left_out_everywhere_and_named(
    data_root: Path, grid_file: Path, tmp_path: Path, instant: list[str]
):
    (data_root / "lines" / "test" / "images" / "p2.png").write_bytes(b"")
    store, notes = run(read_grid(grid_file), tmp_path / "out")
    assert statuses(store) == [FINISHED] * 4
    assert len(notes.failed) == 4
    assert "p2.png" in notes.failed["unet+darkening+0, lines/test/p2"]
    rows = write_tables(store, {})
    assert {row.tests["lines/test"].images for row in rows} == {3}
    assert {row.tests["other/test"].images for row in rows} == {3}
    assert "lines/test/p2" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")


def test_a_test_that_cannot_be_read_takes_nothing_from_the_others(
    data_root: Path, grid_file: Path, tmp_path: Path, instant: list[str]
):
    out = tmp_path / "out"
    for kind in ("images", "masks"):
        (data_root / "bad" / "test" / kind).mkdir(parents=True)
        (data_root / "bad" / "test" / kind / "a.png").write_bytes(b"x")
    tests = ["lines/test", "bad/test", "other/test"]
    worse = read_grid(write_grid(tmp_path / "b.yaml", grid_keys(data_root, tests=tests)))
    store, notes = run(worse, out, ["network=hac"])
    assert list(notes.failed) == ["hac+none+0, bad/test", "hac+darkening+0, bad/test"]
    assert statuses(store) == [FAILED, NOT_RUN, FAILED, NOT_RUN]
    rows = write_tables(store, {})
    assert [list(row.tests) for row in rows[:2]] == [["lines/test", "other/test"]] * 2
    assert rows[1].tests["lines/test"].differences
    assert rows[0].remark == "failed" and rows[0].label == ""
    assert "- hac+none+0: none of the 1 images" in (out / "table.md").read_text(encoding="utf-8")
    assert run(worse, out, ["network=hac"])[1].failed
    store = Store(read_grid(grid_file), out)
    assert statuses(store) == [FINISHED, NOT_RUN, FINISHED, NOT_RUN]
    assert write_tables(store, {})[0].record.error == ""
    assert instant == ["hac-none-0", "hac-darkening-0"]


def test_the_time_of_a_training_is_kept_and_expected_of_others_alone(
    data_root: Path, grid_file: Path, tmp_path: Path, instant: list[str]
):
    out = tmp_path / "out"
    keys = grid_keys(data_root, tests=["lines/test"])
    store, _ = run(read_grid(write_grid(tmp_path / "a.yaml", keys)), out, ["enhancer=none"])
    for cell in store.grid.cells[:2]:
        facts = dict(store.record(cell).facts) | {"training_seconds": 3600.0, "scoring_seconds": 20.0}
        store.write_record(cell, FINISHED, facts)
    # Both are scored on the test that is new, which takes about as long as the old one did; none is trained.
    store, notes = run(read_grid(grid_file), out, minutes=1)
    assert statuses(store) == [FINISHED, FINISHED, NOT_RUN, NOT_RUN]
    assert "2 cells are not run" in notes.lines[-1]
    facts = store.record(store.grid.cells[0]).facts
    assert facts["training_seconds"] == 3600
    assert 20 <= facts["scoring_seconds"] < 80
    assert facts["seconds"] == pytest.approx(3600 + facts["scoring_seconds"], abs=0.1)


def test_a_training_whose_scoring_was_stopped_keeps_its_time(
    grid_file: Path, tmp_path: Path, instant: list[str], monkeypatch: pytest.MonkeyPatch
):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    grid, out = read_grid(grid_file), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(fissura.compare.run, "score_test", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(grid, out)
    store, cell = Store(grid, out), grid.cells[0]
    assert store.record(cell).status == NOT_RUN
    assert {"training_seconds", "parameters"} <= store.record(cell).facts.keys()


def test_a_reference_without_cracks_calls_nothing_undertrained(data_root: Path, tmp_path: Path, instant: list[str]):
    for path in (data_root / "other" / "test" / "masks").iterdir():
        Image.fromarray(np.zeros((50, 60), np.uint8)).save(path)
    keys = grid_keys(data_root, reference_test="other/test")
    store, _ = run(read_grid(write_grid(tmp_path / "g.yaml", keys)), tmp_path / "out")
    assert {row.label for row in write_tables(store, {})} == {""}


def test_speed_of_damaged_weights_is_that_of_another_seed_or_left_out(
    data_root: Path, tmp_path: Path, instant: list[str], monkeypatch: pytest.MonkeyPatch
):
    class Backend:
        def predict_tiles(self, images):
            return images

    monkeypatch.setattr(fissura.compare.speed, "export_cell", lambda weights, path, *, tile: load_weights(weights))
    monkeypatch.setattr(fissura.infer.backend, "load_backend", lambda *_: Backend())
    keys = grid_keys(data_root, seeds=[0, 1], speed={"rounds": 1, "side": 32})
    store, _ = run(read_grid(write_grid(tmp_path / "g.yaml", keys)), tmp_path / "out")
    for cell in store.grid.cells:
        if cell.enhancer == "darkening" and (cell.network == "hac" or cell.seed == 0):
            store.weights(cell).write_bytes(b"broken")
    told: list[str] = []
    found = measure_speed(store, on_error=lambda name, error: told.append(f"{name}: {error}"))
    assert set(found) == {"hac+none", "unet+none", "unet+darkening"}
    assert len(told) == 1 and told[0].startswith("speed of hac+darkening: ")


def test_identical_cells_differ_by_nothing_and_good_ones_are_not_undertrained(
    grid_file: Path, tmp_path: Path, instant: list[str]
):
    store, _ = run(read_grid(grid_file), tmp_path / "out")
    row = write_tables(store, {})[1]
    assert row.enhancer == "darkening"
    assert row.label == ""
    difference = row.tests["lines/test"].differences["F1@2px"]
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert row.tests["lines/test"].figures["F1@2px"].value == 1


def test_seeds_have_a_mean(data_root: Path, tmp_path: Path, instant: list[str]):
    keys = grid_keys(data_root, seeds=[0, 1])
    keys["networks"] = {"unet": keys["networks"]["unet"]}  # type: ignore[index]
    store, _ = run(read_grid(write_grid(tmp_path / "g.yaml", keys)), tmp_path / "out")
    rows = write_tables(store, {})
    assert [(row.enhancer, row.seed) for row in rows] == [
        ("none", "0"), ("none", "1"), ("none", "mean"), ("darkening", "0"), ("darkening", "1"), ("darkening", "mean"),
    ]  # fmt: skip
    assert rows[5].tests["lines/test"].differences["F1"].value == 0
    for cell in store.grid.cells:
        store.counts_file(cell, "other/test").unlink()
    mean = write_tables(store, {})[5]
    assert (mean.seed, mean.remark, list(mean.tests)) == ("mean", "not run", ["lines/test"])


def test_without_its_none_cell_a_row_supports_nothing(grid_file: Path, tmp_path: Path, instant: list[str]):
    store, _ = run(read_grid(grid_file), tmp_path / "out", ["enhancer=darkening", "network=hac"])
    row = next(row for row in write_tables(store, {}) if row.record.status == FINISHED)
    assert row.label == "no finished cell 'none'"
    assert not row.tests["lines/test"].differences


def test_no_cell_begins_when_time_is_up(grid_file: Path, tmp_path: Path, instant: list[str]):
    store, notes = run(read_grid(grid_file), tmp_path / "out", minutes=0)
    assert statuses(store) == [NOT_RUN] * 4
    assert "4 cells are not run" in notes.lines[-1]
    assert not instant


def test_results_of_another_grid_are_refused_and_a_larger_grid_is_not(
    data_root: Path, grid_file: Path, tmp_path: Path, instant: list[str]
):
    out = tmp_path / "out"
    run(read_grid(grid_file), out)
    keys = grid_keys(data_root)
    other = read_grid(write_grid(tmp_path / "b.yaml", keys | {"recipe": keys["recipe"] | {"steps": 3}}))  # type: ignore[operator]
    with pytest.raises(SettingsError, match=r"another grid \(recipe\.steps differ\)"):
        Store(other, out)
    networks = dict(keys["networks"])  # type: ignore[call-overload]
    changed = networks | {"unet": {"architecture": "unet", "architecture_options": {"width": 2}}}
    with pytest.raises(SettingsError, match=r"networks\.unet"):
        Store(read_grid(write_grid(tmp_path / "b.yaml", keys | {"networks": changed})), out)
    more = networks | {"wide": changed["unet"]}
    instant.clear()
    store, _ = run(read_grid(write_grid(tmp_path / "b.yaml", keys | {"networks": more, "seeds": [0]})), out)
    assert instant == ["wide-none-0", "wide-darkening-0"]
    assert statuses(store) == [FINISHED] * 6


def test_a_folder_whose_record_is_lost_is_not_taken_for_ours(grid_file: Path, tmp_path: Path, instant: list[str]):
    grid, out = read_grid(grid_file), tmp_path / "out"
    run(grid, out, ["network=unet", "enhancer=none"])
    (out / "grid.json").write_text("{")
    with pytest.raises(SettingsError, match=r"grid\.json cannot be read"):
        Store(grid, out)


def test_weights_and_counts_that_were_cut_short_are_made_again(grid_file: Path, tmp_path: Path, instant: list[str]):
    grid, out = read_grid(grid_file), tmp_path / "out"
    store, _ = run(grid, out)
    for cell, path in ((grid.cells[0], store.weights(grid.cells[0])), (grid.cells[1], None)):
        counts = store.counts_file(cell, "lines/test")
        counts.write_bytes(counts.read_bytes()[:100])
        if path:
            path.write_bytes(path.read_bytes()[:100])
    assert statuses(store) == [NOT_RUN, NOT_RUN, FINISHED, FINISHED]
    instant.clear()
    store, notes = run(grid, out)
    assert instant == ["hac-none-0"]
    assert statuses(store) == [FINISHED] * 4
    assert any("trained again" in line for line in notes.lines)


def test_a_cut_checkpoint_starts_the_cell_over(grid_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    grid, out = read_grid(grid_file), tmp_path / "out"
    monkeypatch.setattr(fissura.compare.run, "load_for_scoring", lambda *_, **__: DarkIsCrack())
    cell = grid.cells[0]
    store, _ = run(grid, out, ["network=hac", "enhancer=none"])
    store.weights(cell).unlink()
    (store.folder(cell) / "cell.json").unlink()
    checkpoints = sorted((store.training_folder(cell) / "checkpoints").glob("*.ckpt"))
    assert checkpoints
    for path in checkpoints:
        path.write_bytes(path.read_bytes()[:500])
    store, notes = run(grid, out, ["network=hac", "enhancer=none"])
    assert store.record(cell).status == FINISHED
    assert any("is damaged" in line and "starts over" in line for line in notes.lines)


def test_a_full_disk_stops_the_grid_and_keeps_what_is_finished(
    grid_file: Path, tmp_path: Path, instant: list[str], monkeypatch: pytest.MonkeyPatch
):
    grid, out = read_grid(grid_file), tmp_path / "out"
    run(grid, out, ["network=hac", "enhancer=none"])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fissura.train.loop, "train", full)
        with pytest.raises(OutputError, match=r"stopped at cell unet\+none\+0.*finished cells are kept"):
            run(grid, out)
    store = Store(grid, out)
    assert statuses(store) == [FINISHED, NOT_RUN, NOT_RUN, NOT_RUN]
    store, _ = run(grid, out)
    assert statuses(store) == [FINISHED] * 4
