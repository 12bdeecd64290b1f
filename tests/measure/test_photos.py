"""From a JPEG with EXIF and XMP to millimetres, with the true mask: the path of `benchmarks/measure_photos.py`."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def photos(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("measure_photos")


@pytest.mark.parametrize(
    ("gsd_mm", "seed", "surface"), [(0.5, 1, "concrete"), (2.0, 100, "concrete"), (8.0, 200, "asphalt")]
)
def test_photo_gives_millimetres(photos: ModuleType, tmp_path: Path, gsd_mm: float, seed: int, surface: str) -> None:
    # Seeds whose cracks have many stretches wide enough to be seen.
    trial = photos.Trial(gsd_mm, seed, surface, blur_px=0.7, distractors=False, size_hw=(440, 580))
    (row,) = photos.run_trial(trial, models=(), keep=tmp_path)
    figures = photos.summarise([row])
    assert row["gsd_found_mm"] == pytest.approx(gsd_mm, rel=0.005)
    # Lengths and widths in pixels would be off by the ground sampling distance, which is never 1 here.
    assert figures["length_ratio"] == pytest.approx(1.0, abs=0.05)
    resolved = figures["resolved"]
    assert resolved["matched"] >= 15
    assert resolved["median_error_px"] < 0.3
    assert resolved["median_error_mm"] < 0.3 * gsd_mm
