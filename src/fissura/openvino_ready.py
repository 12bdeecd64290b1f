"""Make OpenVINO ready for threads.

The first arrays that its Python binding takes make it look up numpy's C interface, and it does so holding a guard while
it waits for Python's lock. A second thread that comes at that moment waits for the guard holding Python's lock: both
wait for ever, and the whole process with them (seen with OpenVINO 2026.4.1 in a survey of photos on two cores).
"""

from __future__ import annotations

import threading

_LOCK = threading.Lock()


def make_openvino_ready() -> None:
    """Have the binding look numpy up in one thread: to be called before a model is compiled; again costs nothing."""
    import openvino as ov

    with _LOCK:  # a lock of Python's, so whoever waits for it holds no other
        ov.Type.f32.to_dtype()
