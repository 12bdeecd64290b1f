"""Freed memory is kept: arrays that come and go cost no new pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
if sys.argv[1] == "keep":
    from fissura.memory import keep_freed_memory
    assert keep_freed_memory()
start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    several = [np.ones(500_000, np.uint8) for _ in range(20)]
    del several
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
"""


def faults(how: str) -> int:
    """Pages that a fresh process asks for while arrays come and go."""
    return int(subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_arrays_that_come_and_go_cost_no_new_pages() -> None:
    assert faults("keep") < 0.3 * faults("plain")
