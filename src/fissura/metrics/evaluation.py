"""A segmenter over image and mask pairs. One image is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from fissura.data.pairs import Pair, read_mask
from fissura.errors import FissuraError
from fissura.imaging.read import read_image
from fissura.metrics.set_score import ImageScore, SetScore
from fissura.types import BoolMask, Probability, RgbImage


class ProbabilitySource(Protocol):
    """What `evaluate` needs of a `fissura.infer.Segmenter`."""

    @property
    def threshold(self) -> float:
        """Probability above which a pixel is crack."""
        ...

    def probability(self, rgb: RgbImage, *, valid: BoolMask | None = None) -> Probability:
        """Crack probability of a whole image, shape (H, W)."""
        ...


@dataclass(frozen=True, eq=False)
class EvaluatedImage:
    """One image with everything known about it, handed out while it is in memory."""

    pair: Pair
    rgb: RgbImage
    truth: BoolMask
    probability: Probability
    score: ImageScore


def evaluate(
    segmenter: ProbabilitySource,
    pairs: Iterable[Pair],
    *,
    threshold: float | None = None,
    tolerance_px: int = 2,
    centrelines: bool = True,
    instances: bool = True,
    boundary_every: int = 0,
    on_image: Callable[[EvaluatedImage], None] | None = None,
    on_error: Callable[[Pair, FissuraError], None] | None = None,
) -> SetScore:
    """Score a segmenter on pairs of images and masks.

    Args:
        segmenter: From `load_segmenter`, or anything with ``threshold`` and ``probability``.
        pairs: From `fissura.data.find_pairs`.
        threshold: For the figures at a fixed threshold; the segmenter's own when None.
        tolerance_px: Radius of the dilation tolerance.
        centrelines: Also compute clDice and clIoU.
        instances: Also compute mAP@0.5.
        boundary_every: Also compute ODS, OIS and AP by the BSDS protocol, at every n-th of 99 thresholds; 0 for not.
        on_image: Called after each image, in order.
        on_error: Called for a pair that cannot be read or does not fit; the pair is left out. Without it
            the error is raised.
    Returns:
        Counts and scores; ``figures()`` gives all of them by name.
    Raises:
        FissuraError: A pair cannot be read, and there is no ``on_error``.
    """
    chosen = segmenter.threshold if threshold is None else threshold
    score = SetScore(chosen, tolerance_px, centrelines, instances=instances, boundary_every=boundary_every)
    for pair in pairs:
        try:
            item = _evaluate_pair(segmenter, pair, score)
        except FissuraError as error:
            if on_error is None:
                raise
            on_error(pair, error)
            continue
        if on_image is not None:
            on_image(item)
    return score


def _evaluate_pair(segmenter: ProbabilitySource, pair: Pair, score: SetScore) -> EvaluatedImage:
    image = read_image(pair.image)
    height, width = image.rgb.shape[:2]
    truth = read_mask(pair.mask, size_hw=(height, width))
    probability = segmenter.probability(image.rgb, valid=image.valid)
    return EvaluatedImage(pair, image.rgb, truth, probability, score.add(probability, truth, name=pair.stem))
