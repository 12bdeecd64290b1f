"""runs/add_views.py: the same weights, seen several times."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from fissura.nets import build, load_weights, save_weights
from fissura.spec import ModelCard

SCRIPT = Path(__file__).parents[2] / "runs" / "add_views.py"


def test_a_model_with_views_has_the_weights_of_the_one_before(tmp_path, monkeypatch, capsys):
    options = {"widths": [8, 8, 12], "blocks": [0, 1, 1], "back": [1, 0]}
    torch.manual_seed(0)
    net = build("ladder", options).eval()
    card = ModelCard(
        name="small", version="1.0.0", description="A ladder.", architecture="ladder", architecture_options=options,
        parameters=sum(p.numel() for p in net.parameters()), tile=64, overlap=16, training_sets=(),
        strictest_terms="MIT", trained_on="nothing", figures={"F1": 0.9},
    )  # fmt: skip
    save_weights(tmp_path / "small.safetensors", net, card)
    out = tmp_path / "new" / "views.safetensors"
    monkeypatch.setattr(sys, "argv", [
        str(SCRIPT), str(tmp_path / "small.safetensors"), str(out), "--name", "seen", "--description", "Seen twice.",
        "--magnifications", "0.5", "1", "--looks", "1",
    ])  # fmt: skip
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "seen: 2 sizes, 1 looks at each" in capsys.readouterr().out
    views, found = load_weights(out)
    assert (found.name, found.architecture, found.strictest_terms) == ("seen", "views", "MIT")
    assert found.parameters == card.parameters
    assert not found.figures  # nobody has measured it
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        half = net(torch.nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear"))[-1]
        half = torch.nn.functional.interpolate(half, size=(64, 64), mode="bilinear")
        torch.testing.assert_close(views.eval()(x)[-1], (half + net(x)[-1]) / 2)
    (tmp_path / "file").touch()
    for changed, message in (
        ({1: str(tmp_path / "none.safetensors")}, "none.safetensors does not exist"),
        ({2: str(tmp_path / "file" / "v.safetensors")}, "cannot make"),
        ({4: "A name"}, "small letters"),
        ({8: "0.01"}, "give some from 0.25 to 4"),
    ):
        with monkeypatch.context() as wrong, pytest.raises(SystemExit, match=message):
            wrong.setattr(sys, "argv", [changed.get(k, text) for k, text in enumerate(sys.argv)])
            runpy.run_path(str(SCRIPT), run_name="__main__")
