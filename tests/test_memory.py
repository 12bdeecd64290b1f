"""Freed memory is kept: arrays that come and go cost no new pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
how, size = sys.argv[1], int(sys.argv[2])
if how != "plain":
    from fissura.memory import keep_freed_memory
    assert keep_freed_memory()
    assert keep_freed_memory(training=how == "training")
start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    several = [np.ones(size, np.uint8) for _ in range(20)]
    del several
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
"""


def faults(how: str, size: int = 500_000) -> int:
    """Pages that a fresh process asks for while arrays of so many bytes come and go."""
    words = [sys.executable, "-c", FAULTS, how, str(size)]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_arrays_that_come_and_go_cost_no_new_pages() -> None:
    assert faults("keep") < 0.3 * faults("plain")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_training_keeps_larger_blocks_too() -> None:
    assert faults("training", 8_000_000) < 0.3 * faults("keep", 8_000_000)
