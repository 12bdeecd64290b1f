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
from fissura.cli.demo import draw_flight, score_survey

SIZE = (360, 480)


def test_demo_surveys_a_drawn_flight_and_says_which_file_to_open(tmp_path: Path, tiny_onnx: Path) -> None:
    out = tmp_path / "demo"
    options = ["demo", "--out", str(out), "--model", str(tiny_onnx), "--photos", "3", "--size", *map(str, SIZE)]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    photos = sorted((out / "flight").glob("DJI_*.JPG"))
    assert len(photos) == 3
    with Image.open(photos[0]) as photo:
        assert photo.size == SIZE[::-1]
        assert "RelativeAltitude" in json.dumps(photo.getxmp())
    for name in ("report.html", "cracks.gpkg", "cracks.xlsx", "sections.csv"):
        assert (out / "run" / name).stat().st_size > 0
    assert result.output.rstrip().endswith(f"open {out / 'run' / 'report.html'}")
    found, truth = re.search(r"([\d.]+) of ([\d.]+) m of crack were found", result.output).groups()  # type: ignore[union-attr]
    assert 0 <= float(found) <= float(truth)
    # A second run on the same folder does not stumble over the first.
    assert CliRunner().invoke(app, [*options, "--quiet"]).output == ""


def test_missing_model_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--model", "no-such-model"])
    assert result.exit_code == 2
    assert "no-such-model" in result.output
    assert not (tmp_path / "demo").exists()


def test_scores_are_lengths_on_the_ground(tmp_path: Path) -> None:
    flight = draw_flight(tmp_path / "flight", 5, (600, 800))
    cracks = [flight.lonlat(c.points_en).tolist() for c in flight.world.cracks]
    _write(tmp_path / "run", cracks)
    perfect = score_survey(flight, tmp_path / "run")
    assert perfect.found_m == pytest.approx(perfect.truth_m) and perfect.truth_m > 1
    _write(tmp_path / "run", [])
    assert score_survey(flight, tmp_path / "run").found_m == 0.0
    aside = [(np.array(line) + np.array([2e-6, 0.0])).tolist() for line in cracks]  # 15 cm to the east
    _write(tmp_path / "run", aside)
    wrong = score_survey(flight, tmp_path / "run")
    assert wrong.found_m < 0.5 * wrong.truth_m and wrong.right_m < 0.5 * wrong.reported_m


def _write(run: Path, lines: list[list[list[float]]]) -> None:
    run.mkdir(exist_ok=True)
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "LineString", "coordinates": line}} for line in lines
    ]
    (run / "cracks.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
