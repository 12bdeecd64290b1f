"""Fixtures for all tests. ``tests`` is on the path, so `data.make_data` and `support` can also be imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # Before torch is imported: two processes with a thread for every core each would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // int(workers), 1)))


@pytest.fixture(scope="session")
def make_data() -> ModuleType:
    """The module `tests/data/make_data.py`: ``make_data.geotiff(tmp_path / "a.tif")`` and its like."""
    from data import make_data as module

    return module


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that finds dark lines, without any training."""
    from support.tiny_model import make_tiny_onnx

    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    make_tiny_onnx(path)
    return path
