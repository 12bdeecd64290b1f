"""A survey killed at random moments ends like an undisturbed one; the full figures are benchmarks/survey_kills.py's."""

import random
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import survey_kills


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_runs_go_on_and_do_nothing_twice(tmp_path, tiny_onnx):
    survey_kills.write_inputs(tmp_path / "inputs", 6)
    extra = ("--model", str(tiny_onnx), "--threads", "1")
    start = time.perf_counter()
    assert survey_kills.survey(tmp_path / "inputs", tmp_path / "whole", *extra).wait() == 0
    spent = time.perf_counter() - start
    result = survey_kills.kill_and_compare(tmp_path, 5, spent, random.Random(3), *extra, least_s=1.5)
    assert result["kills"] == 5 and result["same_results"], result["differences"]
    assert result["done_twice"] == 0
