"""evaluation.json and per_image.csv, read back."""

from __future__ import annotations

import csv
import io
import json

import numpy as np

from fissura.metrics import SetScore
from fissura.metrics.report import SetResult, per_image_csv, summarise
from fissura.spec import ModelCard

CARD = ModelCard(
    name="tiny", version="1", description="", architecture="none", parameters=1, weights_sha256="ab" * 32
)  # fmt: skip


def results() -> list[SetResult]:
    """A set with crack (tp 1, fp 1, fn 1, tn 1), and one without."""
    cracked, empty = SetScore(centrelines=True), SetScore(centrelines=True)
    cracked.add(
        np.array([[0.9, 0.6, 0.4, 0.2]], np.float32), np.array([[True, False, True, False]]), name="Riß, größer"
    )
    empty.add(np.full((10, 10), 0.9, np.float32), np.zeros((10, 10), bool), name="wall")
    return [SetResult("a/test", cracked), SetResult("b/test", empty)]


def test_summary_is_json_with_figures_counts_and_protocol():
    summary = summarise(results(), card=CARD, run={"threshold": 0.5, "engine": "none"}, failed=[("x", "broken")])
    text = json.dumps(summary, allow_nan=False)  # NaN is no JSON
    read = json.loads(text)
    assert read["model"]["name"] == "tiny"
    assert read["model"]["weights_sha256"] == "ab" * 32
    assert read["threshold"] == 0.5
    assert read["failed"] == [{"source": "x", "error": "broken"}]
    assert read["date"].endswith("+00:00")
    first, second = read["sets"]
    assert first["figures"]["F1"] == 0.5
    assert first["counts"]["pixels"] == {"tp": 1, "fp": 1, "fn": 1, "tn": 1}
    assert first["figures"]["false-alarm share"] is None
    assert second["figures"]["F1"] is None
    assert second["figures"]["false-alarm share"] == 1.0
    assert second["false_alarms"] == 1
    assert read["mean_over_sets"]["F1"] == 0.5  # the set without crack is left out
    assert read["pooled_over_all_images"]["precision"] == round(1 / 102, 6)
    assert set(first["figures"]) < set(read["protocol"])
    assert read["versions"]["numpy"] == np.__version__


def test_csv_has_a_line_an_image_and_blanks_where_nothing_is_defined():
    first, second = csv.DictReader(io.StringIO(per_image_csv(results())))
    assert (first["set"], first["stem"]) == ("a/test", "Riß, größer")
    assert (first["height_px"], first["width_px"]) == ("1", "4")
    assert [first[name] for name in ("tp", "fp", "fn", "tn", "F1", "best F1")] == ["1", "1", "1", "1", "0.5", "0.8"]
    assert second["F1"] == second["clDice"] == ""
    assert (second["predicted_px"], second["false_alarm"]) == ("100", "1")


def test_csv_of_nothing_is_empty():
    assert per_image_csv([]) == ""
