"""`SetScore`: add images one by one, read the figures at any time. Needs no model and no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError, SettingsError
from fissura.metrics import scores
from fissura.metrics.boundary import best_counts, boundary_indices, count_boundaries
from fissura.metrics.counts import (
    FALSE_ALARM_PX,
    CurveCounts,
    MatchCounts,
    PixelCounts,
    bin_probability,
    check_inputs,
    count_centrelines,
    count_curve,
    count_curve_near,
    count_near,
    count_pixels,
    ellipse,
)
from fissura.metrics.figures import compute_figures, describe_figures
from fissura.metrics.instances import InstanceCounts, count_instances
from fissura.types import BoolMask


@dataclass(frozen=True)
class ImageScore:
    """Counts and scores of one image. Scores are NaN when its truth holds no crack."""

    name: str
    height: int
    width: int
    pixels: PixelCounts
    near: MatchCounts
    best_f1: float
    best_threshold: float
    best_f1_near: float
    average_iou: float
    inside: MatchCounts | None = None
    """Counts of clDice."""
    centrelines: MatchCounts | None = None
    """Counts of clIoU."""

    @property
    def has_crack(self) -> bool:
        """Whether the truth has a crack pixel."""
        return self.pixels.tp + self.pixels.fn > 0

    @property
    def predicted_px(self) -> int:
        """Pixels predicted as crack."""
        return self.pixels.tp + self.pixels.fp

    @property
    def is_false_alarm(self) -> bool:
        """Whether there is no crack, but more than `FALSE_ALARM_PX` predicted pixels."""
        return not self.has_crack and self.predicted_px > FALSE_ALARM_PX

    @property
    def f1(self) -> float:
        """F1 without tolerance at the fixed threshold."""
        return scores.f1(self.pixels.as_match())


@dataclass
class SetScore:
    """Counts of a set of images, at one threshold and over 99.

    Adding an image of 512×384 takes some milliseconds; memory grows by a few hundred bytes an image.

    Args:
        threshold: A pixel is crack where the probability is above this; between 0 and 1.
        tolerance_px: Radius of the dilation tolerance; 2 is our standard.
        centrelines: Also count clDice and clIoU, which thin both masks and cost several times the rest.
        instances: Also count connected components, for mAP@0.5.
        boundary_every: Also count by the BSDS protocol at every n-th of the 99 thresholds; 0 for not at all. At all
            of them an image takes a second.

    >>> import numpy as np
    >>> score = SetScore(threshold=0.5)
    >>> _ = score.add(np.array([[0.9, 0.8, 0.1]], np.float32), np.array([[True, False, False]]))
    >>> score.figures()["precision"], score.figures()["recall"]
    (0.5, 1.0)
    """

    threshold: float = 0.5
    tolerance_px: int = 2
    centrelines: bool = False
    pixels: PixelCounts = field(default_factory=PixelCounts)
    near: MatchCounts = field(default_factory=MatchCounts)
    curve: CurveCounts = field(default_factory=CurveCounts.zero)
    curve_near: CurveCounts = field(default_factory=CurveCounts.zero)
    inside: MatchCounts = field(default_factory=MatchCounts)
    near_centreline: MatchCounts = field(default_factory=MatchCounts)
    images: list[ImageScore] = field(default_factory=list)
    instances: bool = field(default=False, kw_only=True)
    boundary_every: int = field(default=0, kw_only=True)
    components: InstanceCounts = field(default_factory=InstanceCounts.zero, kw_only=True)
    boundary: CurveCounts = field(default_factory=lambda: CurveCounts.zero(0), kw_only=True)
    boundary_best: MatchCounts = field(default_factory=MatchCounts, kw_only=True)
    """Sum of the counts of each image at its own best threshold."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise SettingsError(f"threshold is {self.threshold:g}; it must be above 0 and below 1, for example 0.5")
        if not 0 <= self.tolerance_px <= 100:
            raise SettingsError(f"tolerance is {self.tolerance_px} px; it must be 0 to 100, and 2 is the standard")
        if not 0 <= self.boundary_every <= 49:
            raise SettingsError(f"boundary_every is {self.boundary_every}; it must be 0 (off) or 1 to 49")
        if self.boundary_every and not len(self.boundary.predicted):
            self.boundary = CurveCounts.zero(len(boundary_indices(self.boundary_every)))

    def add(self, probability: npt.NDArray[np.floating], truth: BoolMask, *, name: str = "") -> ImageScore:
        """Count one image.

        Args:
            probability: Crack probability 0 to 1, shape (H, W).
            truth: Shape (H, W), True is crack.
            name: Kept in the `ImageScore`.
        Raises:
            GeometryError: Shapes differ, or the probability is outside 0 to 1. Nothing is counted then.
        """
        values, truth = check_inputs(probability, truth)
        predicted = values > np.float32(self.threshold)
        kernel, bins = ellipse(self.tolerance_px), bin_probability(values)
        curve, curve_near = count_curve(bins, truth), count_curve_near(bins, truth, kernel)
        best, best_threshold = scores.best_f1(curve)
        inside, centrelines = count_centrelines(predicted, truth) if self.centrelines else (None, None)
        components = count_instances(values, predicted, truth) if self.instances else InstanceCounts.zero()
        image = ImageScore(
            name=name, height=truth.shape[0], width=truth.shape[1],
            pixels=count_pixels(predicted, truth), near=count_near(predicted, truth, kernel),
            best_f1=best, best_threshold=best_threshold, best_f1_near=scores.best_f1(curve_near)[0],
            average_iou=scores.average_iou(curve), inside=inside, centrelines=centrelines,
        )  # fmt: skip
        self.pixels += image.pixels
        self.near += image.near
        self.curve += curve
        self.curve_near += curve_near
        self.inside += inside or MatchCounts()
        self.near_centreline += centrelines or MatchCounts()
        self.components += components
        if self.boundary_every:
            boundary = count_boundaries(bins, truth, self.boundary_every)
            self.boundary += boundary
            self.boundary_best += best_counts(boundary)
        self.images.append(image)
        return image

    def __add__(self, other: SetScore) -> SetScore:
        """Both sets pooled.

        Raises:
            GeometryError: They were counted differently.
        """
        ours = (self.threshold, self.tolerance_px, self.centrelines)
        same = ours == (other.threshold, other.tolerance_px, other.centrelines)
        if not same or (self.instances, self.boundary_every) != (other.instances, other.boundary_every):
            raise GeometryError(
                "only sets counted with the same threshold, tolerance, centrelines, instances and boundary_every add up"
            )
        return SetScore(
            *ours, pixels=self.pixels + other.pixels, near=self.near + other.near,
            curve=self.curve + other.curve, curve_near=self.curve_near + other.curve_near,
            inside=self.inside + other.inside, near_centreline=self.near_centreline + other.near_centreline,
            images=self.images + other.images, instances=self.instances, boundary_every=self.boundary_every,
            components=self.components + other.components, boundary=self.boundary + other.boundary,
            boundary_best=self.boundary_best + other.boundary_best,
        )  # fmt: skip

    @property
    def crack_images(self) -> int:
        """How many images hold at least one true crack pixel."""
        return sum(image.has_crack for image in self.images)

    @property
    def false_alarms(self) -> int:
        """How many images without crack have more than `FALSE_ALARM_PX` predicted pixels."""
        return sum(image.is_false_alarm for image in self.images)

    def mean(self, value: Callable[[ImageScore], float]) -> float:
        """Mean of a score over the images whose truth holds crack; NaN when there is none."""
        values = [value(image) for image in self.images if image.has_crack]
        return sum(values) / len(values) if values else scores.NOT_DEFINED

    def figures(self) -> dict[str, float]:
        """All figures under their full names; `protocol` explains each. NaN is 'not defined'."""
        return compute_figures(self)

    def protocol(self) -> dict[str, str]:
        """How each of the `figures` is defined, under the same names."""
        return describe_figures(self)
