"""Weights of the small classifiers of `find_road`, written by ``benchmarks/road_train.py``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from fissura.road.appearance import Layers, Plane, pavement_logit, settle_tones

Floats = npt.NDArray[np.float64]

_SHAPE_GRACE = 1.5
"""Real outlines are raggeder than the generated ones that the shapes were learned from."""


@dataclass(frozen=True, eq=False)
class PieceWeights:
    """Logistic regression over features of pieces, each held within what was seen in training."""

    low: Floats
    high: Floats
    weight: Floats
    bias: float

    def logit(self, features: Floats) -> Floats:
        """Logits of pieces, features (K, F) to (K,)."""
        return np.asarray(np.clip(features, self.low, self.high) @ self.weight + self.bias, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Weights:
    """All of them: of cells, of pieces against other pavement, of pieces against land and water by their shape."""

    pavement: Layers
    settled: tuple[float, float]
    """Slope and offset of the settled logit."""
    piece: PieceWeights
    shape: PieceWeights

    def cell_logit(self, colour: Plane) -> Plane:
        """Logit of each cell to be pavement, from `chroma`, shape (h, w)."""
        slope, offset = self.settled
        logit = settle_tones(pavement_logit(colour, self.pavement), colour)
        logit *= np.float32(slope)
        logit += np.float32(offset)
        return logit

    def road_logit(self, features: Floats) -> Floats:
        """Logits of pieces to be a road: of another pavement, and, less strictly, of another shape, are none."""
        return np.minimum(self.piece.logit(features), self.shape.logit(features) + _SHAPE_GRACE)


@cache
def load_weights() -> Weights:
    """The weights that are shipped."""
    raw = json.loads((files("fissura.road") / "weights.json").read_text(encoding="utf-8"))
    pavement = raw["pavement"]
    layers = Layers(
        np.array(pavement["hidden"], np.float32), np.array(pavement["hidden_bias"], np.float32),
        np.array(pavement["out"], np.float32), float(pavement["out_bias"]),
    )  # fmt: skip
    slope, offset = raw["settled"]
    return Weights(layers, (float(slope), float(offset)), _piece(raw["piece"]), _piece(raw["shape"]))


def _piece(raw: dict[str, Any]) -> PieceWeights:
    low, high, weight = (np.array(raw[name], np.float64) for name in ("low", "high", "weight"))
    return PieceWeights(low, high, weight, float(raw["bias"]))
