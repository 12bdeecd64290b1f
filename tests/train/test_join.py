"""runs/join.py: several models as one."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fissura.nets import build, load_weights, parameter_count, save_weights
from fissura.spec import ModelCard, TrainingSet

SCRIPT = Path(__file__).parents[2] / "runs" / "join.py"
LADDER = {"widths": [8, 8, 12], "blocks": [0, 1, 1], "back": [1, 0]}
BODY = {"variant": "unshuffled", "width": 8}


def lived(architecture, options, path, **changes):
    """A network whose batch statistics are not those of fresh ones, saved, and the card it is saved with."""
    torch.manual_seed(len(path.name))
    net = build(architecture, options)
    for _ in range(10):
        net.train()(torch.rand(2, 3, 64, 64))
    card = ModelCard(
        name=path.stem, version="1.0.0", description="A network.", architecture=architecture,
        architecture_options=options, parameters=parameter_count(net), tile=64, overlap=16, figures={"F1": 0.9},
        strictest_terms="MIT", trained_on=f"by hand: {path.stem}", limits=("It is small.",),
    ).model_copy(update=changes)  # fmt: skip
    save_weights(path, net.eval(), card)
    return net


def run(monkeypatch, *arguments):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")


def test_a_joined_model_says_the_mean_of_both(tmp_path, monkeypatch, capsys):
    first, second = tmp_path / "ladder.safetensors", tmp_path / "body.safetensors"
    sets = [(TrainingSet(name="a", terms="MIT", images=1),), (TrainingSet(name="b", terms="research", images=2),)]
    one = lived("ladder", LADDER, first, training_sets=sets[0])
    two = lived("hacnet_v2", BODY, second, training_sets=sets[1], strictest_terms="research", limits=("Slow.",))
    out = tmp_path / "new" / "both.safetensors"
    run(monkeypatch, first, second, "--out", out, "--name", "both", "--description", "Both.", "--version", "2.0.0",
        "--threshold", "0.75")  # fmt: skip
    assert "both: 2 networks" in capsys.readouterr().out
    joined, card = load_weights(out)
    assert (card.name, card.version, card.architecture) == ("both", "2.0.0", "group")
    assert card.parameters == parameter_count(one) + parameter_count(two) == parameter_count(joined)
    assert card.strictest_terms == "research"
    assert [s.name for s in card.training_sets] == ["a", "b"]
    assert card.limits == ("It is small.", "Slow.")
    assert card.trained_on == "ladder 1.0.0: by hand: ladder; body 1.0.0: by hand: body"
    assert not card.figures, "nobody has measured it"
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(joined(x)[-1], (one(x)[-1] + two(x)[-1]) / 2 - np.log(3), atol=0.01, rtol=0)
    held = {t.dtype for name, t in joined.state_dict().items() if name.endswith("conv.weight")}
    assert held <= {torch.float32}, "computed with in single precision"


def test_what_cannot_be_joined_is_an_error_in_words(tmp_path, monkeypatch):
    first, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    lived("ladder", LADDER, first)
    lived("ladder", LADDER, other, tile=128, std=(0.3, 0.3, 0.3))
    (tmp_path / "file").touch()
    about = ("--name", "both", "--description", "Both.")
    for arguments, message in (
        ((first, other, "--out", tmp_path / "o.safetensors", *about), "differ in std, tile"),
        ((first, "--out", tmp_path / "o.safetensors", *about), "give two models or more"),
        ((first, first, "--out", tmp_path / "o.safetensors", *about, "--threshold", "1"), "lies between 0 and 1"),
        ((first, tmp_path / "c.safetensors", "--out", tmp_path / "o.safetensors", *about), "does not exist"),
        ((first, first, "--out", tmp_path / "file" / "o.safetensors", *about), "cannot make"),
        ((first, first, "--out", tmp_path / "o.safetensors", "--name", "A b", "--description", "x"), "small letters"),
    ):
        with pytest.raises(SystemExit, match=message):
            run(monkeypatch, *arguments)
    assert not (tmp_path / "o.safetensors").exists()
