"""Running models: a `Segmenter` over a `Backend`, without torch."""

from __future__ import annotations

from fissura.infer.backend import Backend, BackendOptions, register_backend
from fissura.infer.segmenter import CrackMask, Segmenter, load_segmenter
from fissura.infer.store import ShippedModel, find_model, list_models

__all__ = [
    "Backend",
    "BackendOptions",
    "CrackMask",
    "Segmenter",
    "ShippedModel",
    "find_model",
    "list_models",
    "load_segmenter",
    "register_backend",
]
