"""The recipes in runs/ are read by the code that trains, not only by people."""

from pathlib import Path

import pytest

from fissura.data.pairs import Pair
from fissura.errors import DataError
from fissura.train.config import SetConfig, read_config
from fissura.train.dataset import split_held_back

# Grids of `fissura compare` are tested in tests/compare.
RECIPES = [p for p in sorted((Path(__file__).parents[2] / "runs").glob("*.yaml")) if not p.stem.startswith("compare")]


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_readable(path, monkeypatch):
    monkeypatch.setenv("FISSURA_DATA", "/somewhere")
    config = read_config(path)
    assert config.train
    assert not [entry.folder for entry in config.train if "/test" in entry.folder]
    assert not [folder for folder in config.validate_on if "/test" in folder]


def _pairs(count):
    return [Pair(str(i), Path(f"{i}.jpg"), Path(f"{i}.png")) for i in range(count)]


def test_held_back_images_are_not_trained_on():
    trained, held = split_held_back(_pairs(20), SetConfig(folder="set", hold_back=5))
    assert len(held) == 5
    assert len(trained) == 15
    assert not {pair.stem for pair in held} & {pair.stem for pair in trained}
    assert split_held_back(_pairs(20), SetConfig(folder="set", hold_back=5))[1] == held


def test_excluded_images_are_neither_trained_on_nor_watched():
    pairs = _pairs(20)
    stems = tuple(pair.stem for pair in pairs[:3])
    trained, held = split_held_back(pairs, SetConfig(folder="set", hold_back=5, exclude=stems))
    assert (len(trained), len(held)) == (12, 5)
    assert not {pair.stem for pair in [*trained, *held]} & set(stems)
    with pytest.raises(DataError, match="set has no image elsewhere to exclude"):
        split_held_back(pairs, SetConfig(folder="set", exclude=("elsewhere",)))
    with pytest.raises(DataError, match="exclude names all of them"):
        split_held_back(pairs[:3], SetConfig(folder="set", exclude=stems))


def test_nothing_left_to_train_on_is_an_error():
    with pytest.raises(DataError, match="hold_back is 20"):
        split_held_back(_pairs(20), SetConfig(folder="set", hold_back=20))
