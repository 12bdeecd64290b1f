"""fissura finds cracks at pixel level in photos, drone imagery and orthophotos.

>>> import fissura
>>> fissura.__all__
['Crack', 'CrackMask', 'FissuraError', 'GroundScale', 'ModelCard', 'Segmenter', 'evaluate', 'load_segmenter',
 'measure_cracks', 'read_image']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fissura.errors import FissuraError
    from fissura.geo.scale import GroundScale
    from fissura.imaging.read import read_image
    from fissura.infer.segmenter import CrackMask, Segmenter, load_segmenter
    from fissura.measure.measuring import measure_cracks
    from fissura.measure.model import Crack
    from fissura.metrics.evaluation import evaluate
    from fissura.spec import ModelCard

__all__ = [
    "Crack", "CrackMask", "FissuraError", "GroundScale", "ModelCard", "Segmenter", "evaluate", "load_segmenter",
    "measure_cracks", "read_image",
]  # fmt: skip

_HOME = {
    "Crack": "fissura.measure.model",
    "CrackMask": "fissura.infer.segmenter",
    "FissuraError": "fissura.errors",
    "GroundScale": "fissura.geo.scale",
    "ModelCard": "fissura.spec",
    "Segmenter": "fissura.infer.segmenter",
    "evaluate": "fissura.metrics.evaluation",
    "load_segmenter": "fissura.infer.segmenter",
    "measure_cracks": "fissura.measure.measuring",
    "read_image": "fissura.imaging.read",
}


def __getattr__(name: str) -> Any:
    """Load public names when they are first used, so that ``import fissura`` and ``--help`` stay instant."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'fissura' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names."""
    return sorted([*__all__, "__version__"])
