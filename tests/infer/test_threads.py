"""Engines in several threads."""

import subprocess
import sys

import pytest

# What the first arrays given to a request make OpenVINO do, in threads that Python switches as often as it can.
SCRIPT = """
import os, sys, threading
from pathlib import Path
from fissura.infer.backend import BackendOptions, load_backend
from fissura.road.inference import _compiled
{compile}
import openvino as ov
sys.setswitchinterval(1e-6)
start, said = threading.Barrier(4), []

def look_up():
    start.wait()
    said.append(ov.Type.f32.to_dtype())

threads = [threading.Thread(target=look_up) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
os._exit(0 if len(said) == 4 else 1)
"""


@pytest.mark.parametrize("what", ["network of roads", "network of cracks"])
def test_first_arrays_in_several_threads_do_not_stop_the_process(tiny_onnx, what):
    """Two photos looked at side by side did, for ever."""
    compile_it = {
        "network of roads": "_compiled('road.onnx', (1, 6, 32, 32))",
        "network of cracks": f"load_backend('openvino', Path({str(tiny_onnx)!r}), BackendOptions())",
    }[what]
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.replace("{compile}", compile_it)], timeout=30, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        pytest.fail("the threads wait for each other")
    assert done.returncode == 0, done.stderr
