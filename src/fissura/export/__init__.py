"""From trained weights to files that engines run: ONNX, its parity report, int8. Needs ``fissura[train]``."""

from __future__ import annotations

from fissura.export.checkpoint import load_trained
from fissura.export.int8 import read_calibration_tiles, write_int8
from fissura.export.onnx_file import export_onnx
from fissura.export.parity import ParityReport, measure_parity, pooled_f1
from fissura.export.pipeline import export_model

__all__ = [
    "ParityReport",
    "export_model",
    "export_onnx",
    "load_trained",
    "measure_parity",
    "pooled_f1",
    "read_calibration_tiles",
    "write_int8",
]
