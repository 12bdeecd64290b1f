"""Grids that make sense and grids that do not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.compare.conftest import grid_keys, write_grid

from fissura.compare.grid import choose_cells, read_grid
from fissura.errors import SettingsError

RUNS = Path(__file__).parents[2] / "runs"


def test_networks_come_before_enhancers_and_seeds_last(data_root: Path, tmp_path: Path):
    keys = grid_keys(data_root, seeds=[0, 5])
    keys["enhancers"] = {"darkening": {"enhancer": {"name": "darkening"}}, "none": {}}
    grid = read_grid(write_grid(tmp_path / "g.yaml", keys))
    assert [cell.name for cell in grid.cells] == [
        "hac+none+0", "unet+none+0", "hac+darkening+0", "unet+darkening+0",
        "hac+none+5", "unet+none+5", "hac+darkening+5", "unet+darkening+5",
    ]  # fmt: skip
    assert {cell.config.seed for cell in grid.cells} == {0, 5}
    assert grid.cells[2].config.enhancer is not None
    assert grid.cells[0].config.enhancer is None


def test_a_recipe_from_a_file_with_other_keys(data_root: Path, tmp_path: Path):
    keys = grid_keys(data_root)
    base = {"name": "mine"} | dict(keys["recipe"])  # type: ignore[call-overload]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.yaml").write_text(yaml.safe_dump(base | {"data_root": "../data"}))
    keys |= {"base": "sub/base.yaml", "recipe": {"steps": 7}}
    grid = read_grid(write_grid(tmp_path / "g.yaml", keys))
    assert grid.recipe.steps == 7
    assert grid.recipe.tile == 32
    assert grid.tests["lines/test"] == data_root / "lines" / "test"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"networks": {}}, "networks"),
        ({"enhancers": {}}, "enhancers"),
        ({"tests": []}, "tests"),
        ({"seeds": [1, 1]}, "seeds holds an entry twice"),
        ({"networks": {"x": {"architecture": "vgg"}}}, r"cell x\+none\+0 cannot be made.*unknown architecture 'vgg'"),
        ({"networks": {"x": {"architecture": "unet", "architecture_options": {"depth": 3}}}}, "depth"),
        ({"networks": {"x": {"learning_rat": 1}}}, "learning_rat"),
        ({"networks": {"x": {"steps": 9}}}, "must see the same crops"),
        ({"networks": {"x": {"turned": 1.0}}}, "x changes turned, but all cells must see the same crops"),
        ({"networks": {"x": {"distractors": 0.5, "synthetic_wide": 1.0}}}, "x changes distractors, synthetic_wide"),
        ({"networks": {"a/b": {}}}, "cannot name a folder"),
        ({"enhancers": {"none": {}, "x": {"enhancer": {"name": "sharpen"}}}}, r"cell hac\+x\+0 cannot be made"),
        ({"enhancers": {"x": {"enhancer": {"name": "darkening"}}}}, "must hold 'none"),
        ({"enhancers": {"none": {"learning_rate": 1}}}, "must hold 'none"),
        ({"tests": ["lines/train"]}, "trained on"),
        ({"tests": ["./lines/train"]}, "trained on"),
        ({"tests": ["lines//train"]}, "trained on"),
        ({"tests": ["other/../lines/train"]}, "trained on"),
        ({"tests": ["gone/test"]}, "is not there"),
        ({"reference_test": "cfd/test"}, "none of the tests"),
        ({"base": "gone.yaml"}, r"cannot read the config .*gone\.yaml"),
        ({"recipe": {}}, "names no recipe"),
        ({"budget": 3}, "budget"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_runs(
    data_root: Path, tmp_path: Path, changes: dict[str, object], message: str
):
    path = write_grid(tmp_path / "g.yaml", grid_keys(data_root, **changes))
    with pytest.raises(SettingsError, match=message):
        read_grid(path)


def test_sets_of_another_root_are_trained_on_where_they_lie(data_root: Path, tmp_path: Path):
    keys = grid_keys(data_root, tests=["lines/test"])
    keys["recipe"]["train"] = [{"folder": "test", "root": str(data_root / "lines")}]  # type: ignore[index]
    with pytest.raises(SettingsError, match="trained on"):
        read_grid(write_grid(tmp_path / "g.yaml", keys))
    keys["recipe"]["train"] = [{"folder": "lines/test", "root": str(tmp_path / "made")}]  # type: ignore[index]
    assert read_grid(write_grid(tmp_path / "g.yaml", keys)).cells


def test_a_part_of_a_grid(grid_file: Path):
    cells = read_grid(grid_file).cells
    assert [cell.name for cell in choose_cells(cells, ["network=unet"])] == ["unet+none+0", "unet+darkening+0"]
    assert len(choose_cells(cells, ["network=unet", "network=hac", "enhancer=none"])) == 2
    for wrong, message in (
        ("network=vgg", "network is one of hac, unet"),
        ("unet", "write network=NAME"),
        ("seed=3", "seed is one of 0"),
    ):
        with pytest.raises(SettingsError, match=message):
            choose_cells(cells, [wrong])


@pytest.mark.parametrize("name", ["compare.yaml"])
def test_the_shipped_grid_compares_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for test in ("deepcrack/test", "cfd/test"):
        (tmp_path / "crack" / test).mkdir(parents=True)
    monkeypatch.setenv("FISSURA_DATA", str(tmp_path))
    grid = read_grid(RUNS / name)
    assert len(grid.cells) == 20
    assert not [entry.folder for entry in grid.recipe.train if "/test" in entry.folder]
    assert {cell.enhancer for cell in grid.cells} == {"none", "darkening", "eem", "eem_lite"}
    assert {cell.config.batch * cell.config.steps for cell in grid.cells} == {grid.recipe.batch * grid.recipe.steps}
