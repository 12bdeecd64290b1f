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
from fissura.errors import SettingsError

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


def test_photos_that_no_demo_drew_are_left_alone(tmp_path: Path, tiny_onnx: Path) -> None:
    mine = tmp_path / "flight" / "DJI_0001.JPG"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    options = ["demo", "--out", str(tmp_path), "--model", str(tiny_onnx), "--photos", "2", "--size", "360", "480"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 2
    assert "DJI_0001.JPG" in result.output and "another --out" in result.output
    assert [(path.name, path.read_bytes()) for path in mine.parent.iterdir()] == [("DJI_0001.JPG", b"mine")]
    mine.unlink()
    (tmp_path / "run").mkdir()
    assert "run is not from 'fissura demo'" in CliRunner().invoke(app, options).output


def test_a_shorter_flight_replaces_a_longer_one_and_nothing_else(tmp_path: Path) -> None:
    draw_flight(tmp_path, 3, (120, 160))
    draw_flight(tmp_path, 2, (120, 160))
    assert sorted(path.name for path in tmp_path.glob("*.JPG")) == ["DJI_0001.JPG", "DJI_0002.JPG"]
    (tmp_path / "DJI_0003.JPG").write_bytes(b"mine")
    with pytest.raises(SettingsError, match=r"DJI_0003\.JPG"):
        draw_flight(tmp_path, 4, (120, 160))
    assert (tmp_path / "DJI_0003.JPG").read_bytes() == b"mine"


def test_photos_too_small_to_show_a_road(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--size is 10 10; photos need 120 or more"):
        draw_flight(tmp_path / "flight", 2, (10, 10))
    assert not (tmp_path / "flight").exists()


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
