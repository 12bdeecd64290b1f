"""`Segmenter`: crack probabilities and masks of images of any size, from a model in an engine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError, SettingsError
from fissura.infer.backend import Backend, BackendOptions, load_backend
from fissura.infer.precision import choose_precision
from fissura.infer.store import find_model
from fissura.spec import ModelCard
from fissura.tiling import ReadRows, blend, iter_probability_bands
from fissura.types import BoolMask, Probability, RgbImage


@dataclass(frozen=True, eq=False)
class CrackMask:
    """What was found in an image.

    Attributes:
        mask: Shape (H, W), True is crack: where `probability` is above `threshold`.
        probability: Shape (H, W), 0 to 1; 0 where the image is not valid.
        threshold: The threshold used.
    """

    mask: BoolMask
    probability: Probability
    threshold: float


class Segmenter:
    """Finds cracks in images of any size by overlapping tiles of the model's size.

    Args:
        backend: A model in an engine.
        threshold: Probability above which a pixel is crack; None takes the card's.
    Raises:
        SettingsError: The threshold is not between 0 and 1.
    """

    def __init__(self, backend: Backend, *, threshold: float | None = None) -> None:
        threshold = backend.card.threshold if threshold is None else threshold
        if not 0.0 < threshold < 1.0:
            raise SettingsError(f"threshold is {threshold}; give a value above 0 and below 1")
        self.backend = backend
        self.threshold = threshold

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self.backend.card

    def probability(self, rgb: RgbImage, *, valid: BoolMask | None = None, scale: float = 1.0) -> Probability:
        """Crack probability of every pixel.

        Args:
            rgb: Shape (H, W, 3), uint8, RGB, any size from 1x1.
            valid: Shape (H, W), False where the image has no content; None if all of it is valid.
            scale: The network sees the image enlarged by this factor; below 1 for cracks that are wide in
                pixels, above 1 for hairlines. The result always has the size of the input.
        Returns:
            Shape (H, W), 0 to 1.
        Raises:
            GeometryError: Array of another shape or type, or a scale that leaves nothing.
        """
        _check_image(rgb, valid)
        if not (math.isfinite(scale) and scale > 0):
            raise GeometryError(f"scale is {scale}; give a factor above 0, for example 0.5 or 2")
        height, width = rgb.shape[:2]
        size_hw = max(round(height * scale), 1), max(round(width * scale), 1)
        if size_hw == (height, width):
            return self._blend(rgb, valid)
        seen_valid = None
        if valid is not None:
            # A pixel that mixes content and collar is collar.
            seen_valid = _resized(valid.astype(np.float32), size_hw, smooth=False) > 0.999
        seen = np.asarray(_resized(rgb, size_hw, smooth=scale > 1), np.uint8)
        out = _resized(self._blend(seen, seen_valid), (height, width), smooth=scale < 1)
        probability: Probability = np.clip(out, 0.0, 1.0, dtype=np.float32)
        if valid is not None:
            probability[~valid] = 0
        return probability

    def _blend(self, rgb: RgbImage, valid: BoolMask | None) -> Probability:
        predict = self.backend.predict_tiles
        return blend(rgb, predict, tile=self.card.tile, overlap=self.card.overlap, valid=valid)

    def iter_bands(self, read_rows: ReadRows, height: int, width: int) -> Iterator[tuple[int, Probability]]:
        """Crack probability of an image too large to hold, in bands of rows from top to bottom.

        Equals `probability` of the whole image. See `fissura.tiling.iter_probability_bands`.

        Args:
            read_rows: Reads the rows [start, stop) as RGB and validity; every row is asked for once, in order.
            height: Rows of the image.
            width: Columns of the image.
        Yields:
            First row, and probabilities of shape (rows, width).
        """
        return iter_probability_bands(
            read_rows, height, width, self.backend.predict_tiles, tile=self.card.tile, overlap=self.card.overlap
        )

    def segment(self, rgb: RgbImage, *, valid: BoolMask | None = None, scale: float = 1.0) -> CrackMask:
        """Crack mask of an image. Arguments and errors as for `probability`."""
        probability = self.probability(rgb, valid=valid, scale=scale)
        return CrackMask(probability > self.threshold, probability, self.threshold)


def load_segmenter(
    model: str | Path = "fast",
    *,
    engine: str = "openvino",
    precision: str | None = None,
    threads: int | None = None,
    threshold: float | None = None,
) -> Segmenter:
    """Load a model.

    Args:
        model: Name of a shipped model, or path of an ``.onnx`` file with a card.
        engine: ``openvino``, ``onnxruntime`` or ``torch``.
        precision: ``fp32``, ``bf16`` or ``int8``; None or ``auto`` picks the fastest sound one for this CPU.
        threads: Threads of the engine, None for all cores.
        threshold: Probability above which a pixel is crack; None takes the card's.
    Raises:
        ModelError: No such model, no usable model file, or one that cannot run so.
        SettingsError: An option makes no sense.
        MissingDependencyError: The engine is not installed.
    """
    path = _find_path(model)
    path, chosen = choose_precision(path, engine, precision)
    return Segmenter(load_backend(engine, path, BackendOptions(chosen, threads)), threshold=threshold)


def _find_path(model: str | Path) -> Path:
    path = Path(model)
    # A name has no suffix and no folder; anything else, and anything that exists, is meant as a file.
    if isinstance(model, Path) or path.suffix == ".onnx" or len(path.parts) > 1 or path.is_file():
        return path
    return find_model(str(model)).onnx


def _check_image(rgb: RgbImage, valid: BoolMask | None) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise GeometryError(f"the image has the shape {rgb.shape}; needed is (height, width, 3) in RGB order")
    if rgb.dtype != np.uint8:
        raise GeometryError(f"the image is {rgb.dtype}; needed is uint8, 0 to 255")
    if min(rgb.shape[:2]) < 1:
        raise GeometryError(f"the image is empty: {rgb.shape[1]}x{rgb.shape[0]} pixels")
    if valid is not None and (valid.ndim != 2 or valid.shape != rgb.shape[:2] or valid.dtype != np.bool_):
        raise GeometryError(
            f"the validity mask is {valid.dtype} of shape {valid.shape}; needed is bool of {rgb.shape[:2]}"
        )


def _resized(array: npt.NDArray[Any], size_hw: tuple[int, int], *, smooth: bool) -> npt.NDArray[Any]:
    """Resize: cubic where it grows (`smooth`), area average where it shrinks, so that thin lines stay."""
    method = cv2.INTER_CUBIC if smooth else cv2.INTER_AREA
    return np.asarray(cv2.resize(array, (size_hw[1], size_hw[0]), interpolation=method))
