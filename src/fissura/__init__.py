"""fissura finds cracks at pixel level in photos, drone imagery and orthophotos.

>>> import fissura
>>> fissura.__all__
['Crack', 'CrackMask', 'FissuraError', 'GroundScale', 'ModelCard', 'RoadSlices', 'Segmenter', 'evaluate', 'find_road',
 'load_segmenter', 'measure_cracks', 'open_video', 'read_image']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fissura.errors import FissuraError
    from fissura.geo.scale import GroundScale
    from fissura.imaging.read import read_image
    from fissura.imaging.video import open_video
    from fissura.infer.segmenter import CrackMask, Segmenter, load_segmenter
    from fissura.measure.measuring import measure_cracks
    from fissura.measure.model import Crack
    from fissura.metrics.evaluation import evaluate
    from fissura.road.find import find_road
    from fissura.road.slices import RoadSlices
    from fissura.spec import ModelCard

__all__ = [
    "Crack", "CrackMask", "FissuraError", "GroundScale", "ModelCard", "RoadSlices", "Segmenter", "evaluate",
    "find_road", "load_segmenter", "measure_cracks", "open_video", "read_image",
]  # fmt: skip

_HOME = {
    "Crack": "fissura.measure.model",
    "CrackMask": "fissura.infer.segmenter",
    "FissuraError": "fissura.errors",
    "GroundScale": "fissura.geo.scale",
    "ModelCard": "fissura.spec",
    "RoadSlices": "fissura.road.slices",
    "Segmenter": "fissura.infer.segmenter",
    "evaluate": "fissura.metrics.evaluation",
    "find_road": "fissura.road.find",
    "load_segmenter": "fissura.infer.segmenter",
    "measure_cracks": "fissura.measure.measuring",
    "open_video": "fissura.imaging.video",
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
