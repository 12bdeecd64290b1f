"""Whether the exported file says what the network says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from fissura.data.pairs import Pair, find_pairs, find_sets, read_mask
from fissura.imaging.read import read_image
from fissura.infer import Segmenter
from fissura.infer.backend import Backend
from fissura.types import Probability, RgbImage

LARGEST_DIFFERENCE = 1e-3
"""Largest difference in probability that fp32 engines may show against torch."""

LARGEST_F1_LOSS = 0.005
"""F1 that a lower precision may cost."""


@dataclass
class ParityReport:
    """How far the engines are from torch.

    Attributes:
        tiles: Tiles compared.
        largest_difference: Largest difference in probability against torch, by engine and precision.
        mask_pixels_differing: Share of pixels on the other side of the threshold, by engine and precision.
        f1: Pooled F1 on the validation pairs at the card's threshold, by engine and precision; may be empty.
        images: Validation pairs behind `f1`.
    """

    tiles: int
    largest_difference: dict[str, float]
    mask_pixels_differing: dict[str, float]
    f1: dict[str, float] = field(default_factory=dict)
    images: int = 0

    @property
    def passed(self) -> bool:
        """No fp32 engine differs by more than `LARGEST_DIFFERENCE`."""
        return max(v for k, v in self.largest_difference.items() if k.endswith("fp32")) <= LARGEST_DIFFERENCE

    def lines(self) -> list[str]:
        """The report for people."""
        found = [
            f"{name}: largest difference {value:.1e}, {self.mask_pixels_differing[name]:.4%} of mask pixels differ"
            for name, value in self.largest_difference.items()
        ]
        if self.f1:
            figures = ", ".join(f"{name} {value:.4f}" for name, value in self.f1.items())
            found.append(f"F1 on {self.images} validation images: {figures}")
        return found

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self) | {"passed": self.passed}, indent=2)


def measure_parity(reference: Backend, others: Sequence[Backend], tiles: Sequence[RgbImage]) -> ParityReport:
    """Compare engines with torch on the same tiles.

    Args:
        reference: The torch backend.
        others: Engines with the exported file.
        tiles: Shape (T, T, 3), uint8.
    """
    truth = _stacked(reference, tiles)
    threshold = reference.card.threshold
    difference, differing = {}, {}
    for backend in others:
        found = _stacked(backend, tiles)
        difference[backend.description] = float(np.abs(found - truth).max())
        differing[backend.description] = float(np.mean((found > threshold) != (truth > threshold)))
    return ParityReport(len(tiles), difference, differing)


def pooled_f1(backend: Backend, pairs: Iterable[Pair]) -> float:
    """Pooled F1 of the crack class at the card's threshold, pixel by pixel; 0 if nothing is true and predicted."""
    segmenter = Segmenter(backend)
    hit = predicted = true = 0
    for pair in pairs:
        image = read_image(pair.image)
        mask = segmenter.segment(image.rgb, valid=image.valid).mask
        truth = read_mask(pair.mask, size_hw=mask.shape)
        hit += int(np.count_nonzero(mask & truth))
        predicted += int(np.count_nonzero(mask))
        true += int(np.count_nonzero(truth))
    return 2 * hit / (predicted + true) if predicted + true else 0.0


def find_all_pairs(folder: Path) -> list[Pair]:
    """All pairs of the data sets at or below a folder. Raises DataError."""
    return [pair for part in find_sets(folder).values() for pair in find_pairs(part)]


def _stacked(backend: Backend, tiles: Sequence[RgbImage]) -> Probability:
    return np.stack(list(backend.predict_tiles(tiles)))
