"""The demo from drawing to figures, with a model that needs no training."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fissura.cli.app import app
from fissura.cli.demo import SCENES, draw_scenes, measure_found, score_scene
from fissura.synth import CrackVector, render_scene

SIZE = (192, 256)


def test_demo_writes_photos_masks_and_a_sheet_and_tells_how_well_it_went(tmp_path: Path, tiny_onnx: Path) -> None:
    out = tmp_path / "demo"
    options = ["demo", "--out", str(out), "--model", str(tiny_onnx), "--size", *map(str, SIZE)]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    for name, _, _ in SCENES:
        with Image.open(out / "photos" / f"{name}.jpg") as photo:
            assert photo.size == SIZE[::-1]
            assert "RelativeAltitude" in json.dumps(photo.getxmp())
        with Image.open(out / "truth" / f"{name}.png") as truth:
            assert set(np.unique(np.asarray(truth))) == {0, 255}
        assert len(list((out / "masks").rglob(f"{name}*.png"))) == 1
        line = next(line for line in result.output.splitlines() if line.strip().startswith(name))
        length, found = (float(value) for value in re.findall(r"([\d.]+) m", line))
        assert 0 < length < 30
        assert 0 <= found <= length
    with Image.open(out / "demo.jpg") as sheet:
        assert sheet.size == (3 * 600, len(SCENES) * 450)
    # A second run on the same folder does not stumble over the first.
    assert CliRunner().invoke(app, [*options, "--quiet"]).output == ""


def test_missing_model_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--model", "no-such-model"])
    assert result.exit_code == 2
    assert "no-such-model" in result.output
    assert not (tmp_path / "demo").exists()


def test_length_found_is_exact() -> None:
    # 100 px of 2 mm: 0.2 m inside the picture, the rest of the line lies outside.
    crack = CrackVector(np.array([[41.0, -50.0], [41.0, 300.0]]), np.full(2, 8.0))
    scene = render_scene(0, size_hw=(50, 100), cracks=[crack], distractors=False, gsd_mm=2.0)
    near = np.zeros((50, 100), bool)
    near[:, :25] = True
    length, found = measure_found(scene, near)
    assert length == pytest.approx(0.2, abs=0.002)
    assert found == pytest.approx(0.05, abs=0.002)


def test_perfect_mask_scores_one_and_an_empty_one_nothing() -> None:
    from fissura.metrics.scores import f1

    scene = render_scene(1, size_hw=(96, 96))
    perfect = score_scene(scene, scene.mask)
    assert f1(perfect.counts) == 1.0
    assert perfect.found_m == pytest.approx(perfect.length_m, rel=1e-6)
    assert score_scene(scene, np.zeros_like(scene.mask)).found_m == 0.0


def test_scenes_hold_cracks_of_many_widths(tmp_path: Path) -> None:
    for scene in draw_scenes(tmp_path, SIZE).values():
        widths = np.concatenate([crack.width_mm for crack in scene.cracks])
        assert widths.min() < scene.gsd_mm < widths.max()
        assert scene.mask.any()
