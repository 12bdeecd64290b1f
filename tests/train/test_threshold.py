"""runs/threshold.py and runs/shift.py: where a model does best, and how that becomes one half."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fissura import load_segmenter
from fissura.data.pairs import find_pairs
from fissura.metrics.evaluation import evaluate
from fissura.metrics.scores import f1
from fissura.nets import build, load_weights, parameter_count, save_weights
from fissura.spec import ConfidenceCurve, ModelCard
from support.drawn import picture_with_mask

RUNS = Path(__file__).parents[2] / "runs"


@pytest.fixture(scope="module")
def threshold():
    return runpy.run_path(str(RUNS / "threshold.py"))


def counts(found, right, crack_found, crack):
    """One image's counts at 99 thresholds."""
    return np.stack([np.broadcast_to(np.asarray(x, float), 99) for x in (found, right, crack_found, crack)])


def test_counts_are_those_of_evaluate(threshold, tiny_onnx, tmp_path):
    for name, seeds in (("walls/val", (1, 2, 3)), ("roads/val", (4,))):
        for seed in seeds:
            picture = picture_with_mask(seed, (160, 200))
            for kind, image in (("images", picture.rgb[..., ::-1]), ("masks", picture.mask.astype(np.uint8) * 255)):
                (tmp_path / name / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(tmp_path / name / kind / f"{seed}.png"), image)
    segmenter = load_segmenter(tiny_onnx)
    pairs = [pair for name in ("walls/val", "roads/val") for pair in find_pairs(tmp_path / name)]
    sets = threshold["count_sets"](segmenter, pairs, tmp_path)
    assert {name: rows.shape for name, rows in sets.items()} == {"walls": (3, 4, 99), "roads": (1, 4, 99)}
    for name in sets:
        score = evaluate(segmenter, find_pairs(tmp_path / name / "val"), threshold=0.3)
        assert threshold["f1_of"](sets[name].sum(axis=0))[29] == pytest.approx(score.figures()["F1@2px"], abs=1e-9)
    result = threshold["judge"](sets)
    curve = [np.mean([f1(score.curve_near.at(k)) for score in scores_of(segmenter, tmp_path)]) for k in range(99)]
    assert result["threshold"] == pytest.approx((np.argmax(curve) + 1) / 100)
    assert result["F1@2px"] == pytest.approx(max(curve), abs=1e-5)


def scores_of(segmenter, folder):
    return [evaluate(segmenter, find_pairs(folder / name / "val")) for name in ("walls", "roads")]


def test_the_interval_says_whether_a_threshold_is_better(threshold):
    at = (np.arange(99) + 1) / 100
    best = np.exp(-(((at - 0.7) / 0.3) ** 2)) * 100  # all images agree on 0.7
    alike = np.stack([counts(100, best, best, 100)] * 12)
    sure = threshold["judge"]({"alike": alike})
    assert sure["threshold"] == 0.7
    assert sure["threshold_90"] == [0.7, 0.7]
    assert sure["gain_90"][0] > 0.3
    low = np.exp(-(((at - 0.3) / 0.3) ** 2)) * 100
    torn = np.stack([counts(100, x, x, 100) for x in (best, low)] * 6)
    wide = threshold["judge"]({"torn": torn})
    assert wide["threshold_90"][0] < 0.45 < 0.55 < wide["threshold_90"][1]
    # A set without crack or find does not make the mean undefined.
    empty = np.stack([counts(0, 0, 0, 0)] * 3)
    assert np.isfinite(threshold["judge"]({"alike": alike, "empty": empty})["F1@2px"])


@pytest.mark.parametrize(
    ("architecture", "options"),
    [("ladder", {"widths": [8, 8, 12], "blocks": [0, 1, 1], "back": [1, 0]}),
     ("hacnet_v2", {"variant": "unshuffled", "width": 8})],
)  # fmt: skip
def test_a_shifted_model_is_at_one_half_where_it_was_at_the_threshold(architecture, options, tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = build(architecture, options).eval()
    card = ModelCard(
        name="small", version="1.0.0", description="A network.", architecture=architecture, tile=64, overlap=16,
        architecture_options=options, parameters=parameter_count(net), figures={"F1": 0.9}, trained_on="nothing",
        confidence=ConfidenceCurve(intercept=0.0, logit=(1.0, 0.0), log_length=(0.0, 0.0)),
    )  # fmt: skip
    save_weights(tmp_path / "small.safetensors", net, card)
    out = tmp_path / "new" / "small.safetensors"
    run(monkeypatch, tmp_path / "small.safetensors", out, "--threshold", "0.7", "--version", "1.0.1")
    shifted, found = load_weights(out)
    assert (found.version, found.figures, found.confidence) == ("1.0.1", {}, None)
    assert found.trained_on == "nothing; logits shifted by -0.847"
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(shifted(x)[-1], net(x)[-1] + np.log(3 / 7))


def test_what_cannot_be_shifted_is_an_error_in_words(tmp_path, monkeypatch):
    net = build("unet", {"width": 4})
    card = ModelCard(name="small", version="1.0.0", description="A network.", architecture="unet",
                     architecture_options={"width": 4}, parameters=parameter_count(net))  # fmt: skip
    path, out = tmp_path / "small.safetensors", tmp_path / "out.safetensors"
    save_weights(path, net, card)
    (tmp_path / "file").touch()
    for arguments, message in (
        ((path, out, "--threshold", "0.7"), "is a unet; this script knows hacnet_v2, ladder"),
        ((path, out, "--threshold", "1"), "lies between 0 and 1"),
        ((tmp_path / "none.safetensors", out, "--threshold", "0.7"), "does not exist"),
    ):
        with pytest.raises(SystemExit, match=message):
            run(monkeypatch, *arguments)
    assert not out.exists()


def run(monkeypatch, *arguments):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["shift.py", *map(str, arguments)])
        runpy.run_path(str(RUNS / "shift.py"), run_name="__main__")
