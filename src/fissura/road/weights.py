"""Weights of the small classifiers of `find_road`, written by ``benchmarks/road_train.py``, and how they are joined."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from fissura.road.appearance import Layers, Plane, network_planes, pavement_logit, settle_tones
from fissura.road.network import see_road

Floats = npt.NDArray[np.float64]

_SHAPE_GRACE = 1.5
"""Real outlines are raggeder than the generated ones that the shapes were learned from."""
_LARGE, _LARGE_SHAPE, _FIRM = 0.15, 0.8, 4.0
"""Pieces from this share of the frame show their shape, and cost most where they are none: the least logit they need,
and how firmly they need it."""
_TRUST = np.float32(0.6)
"""Weight of the network that sees the whole frame: with more, the edges of roads are cut a cell too far in."""


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

    def see_cells(self, colour: Plane) -> tuple[Plane, Plane, Plane]:
        """Logit of each cell to be road, from `chroma`, shape (h, w); directions and meetings as `see_road` gives them.

        Two networks say so, each blind to what the other sees: one knows the stuff of single cells, the other shapes.
        """
        slope, offset = self.settled
        # Side by side, where a core is free.
        with ThreadPoolExecutor(1) as beside:
            shapes = beside.submit(lambda: see_road(network_planes(colour)))
            said = pavement_logit(colour, self.pavement)
        shape, way, meeting = shapes.result()
        said += _TRUST * shape
        logit = settle_tones(said, colour)
        logit *= np.float32(slope)
        logit += np.float32(offset)
        return logit, way, meeting

    def road_logit(self, features: Floats, share: Floats) -> Floats:
        """Logits of pieces to be a road: of another pavement, and, less strictly, of another shape, are none.

        Args:
            features: From `measure_pieces`, shape (K, 8).
            share: Of the frame, shape (K,).
        """
        shape = self.shape.logit(features)
        shape = np.where(share >= _LARGE, _FIRM * (shape - _LARGE_SHAPE), shape + _SHAPE_GRACE)
        return np.asarray(np.minimum(self.piece.logit(features), shape))


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
