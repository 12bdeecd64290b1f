"""`ModelCard`: the only definition of a model's preprocessing and provenance.

A card travels inside the ONNX file (metadata) and inside the safetensors file (metadata), and is read
by training, export and inference alike, so that the three cannot drift apart. Beside our own key it
writes the keys that the QGIS plugin Deepness and GeoDeep look for, so the same file opens there.

Contract of an exported file: input ``image`` float32, (1, 3, T, T), RGB 0 to 1; output
``probabilities`` float32, (1, 2, T, T), [1 - p, p]. Normalisation by `mean` and `std` is inside the graph.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from fissura.errors import ModelError

CARD_KEY = "fissura_card"
CARD_FORMAT = 1
NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]*$"
"""Names of models: also names of files."""


class TrainingSet(BaseModel):
    """One data set a model was trained on, with its terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    images: int = Field(ge=1)
    terms: str
    source: str = ""


class ConfidenceCurve(BaseModel):
    """How probable it is that a find is a crack: a logistic curve over what the network said and the find's length.

    Fitted on validation images, where it is known which finds are cracks (``runs/confidence.py``). A network's own
    probabilities say how sure it is of pixels, and it is too sure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float
    logit: tuple[float, float]
    """Weights of the logit of the mean probability along the find, and of its square."""
    log_length: tuple[float, float]
    """Weights of the natural logarithm of its length in pixels of the measured picture, and of its square."""

    def __call__(self, probability: float, length_px: float) -> float:
        """Confidence, 0 to 1.

        Args:
            probability: Mean along the find, 0 to 1.
            length_px: Length of its centreline.
        """
        p = min(max(probability, 1e-4), 1.0 - 1e-4)
        z = self.intercept + _rising(math.log(p / (1.0 - p)), *self.logit)
        z += _rising(math.log(max(length_px, 1.0)), *self.log_length)
        return 1.0 / (1.0 + math.exp(-min(max(z, -30.0), 30.0)))


def _rising(x: float, first: float, second: float) -> float:
    """``first * x + second * x**2``, level where that would fall: neither surer nor longer counts for less."""
    if second:
        turn = -first / (2.0 * second)
        x = max(x, turn) if second > 0.0 else min(x, turn)
    return first * x + second * x**2


class ModelCard(BaseModel):
    """What a model is, what it expects and where it comes from. Immutable; use ``model_copy``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = CARD_FORMAT
    name: str = Field(min_length=1, pattern=NAME_PATTERN)
    version: str
    description: str
    architecture: str
    """Network name in `fissura.nets`, for example ``hacnet_v2``."""
    architecture_options: dict[str, Any] = Field(default_factory=dict)
    enhancer: dict[str, Any] | None = None
    """What stands in front of the network, as `fissura.nets.ga_cfae.EnhancerConfig`; it is inside the graph."""
    parameters: int = Field(ge=1)

    channels: Literal["RGB"] = "RGB"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Subtracted per channel from values 0 to 1, inside the graph."""
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)
    tile: int = Field(default=256, ge=32)
    """Side of the square tile in pixels. A multiple of 32."""
    overlap: int = Field(default=64, ge=0)
    """Overlap of neighbouring tiles in pixels; stride = tile - overlap."""
    threshold: float = Field(default=0.5, gt=0.0, lt=1.0)
    confidence: ConfidenceCurve | None = None
    """None: a find's confidence is the mean probability along it."""
    classes: tuple[str, ...] = ("background", "crack")
    gsd_mm: tuple[float, float] = (0.3, 5.0)
    """Nominal ground sampling distances in mm per pixel: an estimate, since most training sets state none."""

    precision: Literal["fp32", "int8"] = "fp32"
    allowed_precisions: tuple[Literal["fp32", "bf16", "int8"], ...] = ("fp32", "bf16")
    """Run-time precisions that passed the accuracy gate."""

    training_sets: tuple[TrainingSet, ...] = ()
    code_licence: str = "Apache-2.0"
    strictest_terms: str = "unstated"
    """The strictest terms among the training sets, apart from the licence of the code."""
    trained_on: str = ""
    """Date, machine, commit and command of the training."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Measured figures under their full names, for example ``deepcrack/test F1``."""
    limits: tuple[str, ...] = ()
    weights_sha256: str = ""
    """SHA-256 of the safetensors file that the graph was exported from."""
    weights_bits: Literal[16, 32] = 32
    """How the files hold large tensors of weights. 16: rounded to half precision, so that two networks fit into one
    file of 6 MB; they are computed with as before."""

    @model_validator(mode="after")
    def _consistent(self) -> ModelCard:
        if self.format != CARD_FORMAT:
            raise ValueError(f"card format {self.format} is not {CARD_FORMAT}; install a newer fissura")
        if self.tile % 32:
            raise ValueError(f"tile is {self.tile}; it must be a multiple of 32")
        if self.overlap * 2 > self.tile:
            raise ValueError(f"overlap {self.overlap} is more than half of the tile {self.tile}")
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}; every value must be above 0")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # As cards were written before these existed: an older fissura reads them, and checksums of cards in
        # unfinished runs stay what they are.
        values: dict[str, Any] = handler(self)
        for name in ("enhancer", "confidence"):
            if getattr(self, name) is None:
                values.pop(name, None)
        if self.weights_bits == 32:
            values.pop("weights_bits", None)
        return values

    @property
    def stride(self) -> int:
        """Distance between neighbouring tiles in pixels."""
        return self.tile - self.overlap

    def to_metadata(self) -> dict[str, str]:
        """Metadata entries for a model file: our card, and the keys of Deepness and GeoDeep.

        The foreign keys hold JSON values. ``standardization_*`` are 0 and 1 because the graph normalises.
        ``resolution`` is in centimetres per pixel (geometric middle of `gsd_mm`), ``tiles_overlap`` in percent.
        """
        gsd_cm = (self.gsd_mm[0] * self.gsd_mm[1]) ** 0.5 / 10.0
        foreign: dict[str, Any] = {
            "model_type": "Segmentor",
            "class_names": {str(i): name for i, name in enumerate(self.classes)},
            "resolution": round(gsd_cm, 3),
            "tiles_size": self.tile,
            "tile_size": self.tile,  # what Deepness reads; its documentation and GeoDeep's say tiles_size
            "tiles_overlap": round(100 * self.overlap / self.tile),
            "standardization_mean": [0.0, 0.0, 0.0],
            "standardization_std": [1.0, 1.0, 1.0],
            "seg_thresh": self.threshold,
            "seg_small_segment": 0,
        }
        return {CARD_KEY: self.model_dump_json()} | {k: json.dumps(v) for k, v in foreign.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, source: str) -> ModelCard:
        """Read a card back.

        Args:
            metadata: Entries of the model file.
            source: Name of the file, for messages.
        Raises:
            ModelError: There is no card, or it is damaged.
        """
        text = metadata.get(CARD_KEY)
        if text is None:
            raise ModelError(
                f"{source} holds no fissura model card; export it with 'fissura export' or name a shipped model"
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "card"
            raise ModelError(f"the model card in {source} is damaged at '{where}': {first['msg']}") from error
