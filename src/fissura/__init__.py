"""fissura finds cracks at pixel level in photos, drone imagery and orthophotos.

>>> import fissura
>>> fissura.__all__
['CrackMask', 'FissuraError', 'ModelCard', 'Segmenter', 'evaluate', 'load_segmenter', 'read_image']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fissura.errors import FissuraError
    from fissura.imaging.read import read_image
    from fissura.infer.segmenter import CrackMask, Segmenter, load_segmenter
    from fissura.metrics.evaluation import evaluate
    from fissura.spec import ModelCard

__all__ = ["CrackMask", "FissuraError", "ModelCard", "Segmenter", "evaluate", "load_segmenter", "read_image"]

_HOME = {
    "CrackMask": "fissura.infer.segmenter",
    "FissuraError": "fissura.errors",
    "ModelCard": "fissura.spec",
    "Segmenter": "fissura.infer.segmenter",
    "evaluate": "fissura.metrics.evaluation",
    "load_segmenter": "fissura.infer.segmenter",
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
