"""How sure a figure is: intervals from sets drawn with replacement from the images of a test.

They say how much the figure hangs on the images that happen to be in the test. They do not say what another seed of
the training would have given: for that, train several seeds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from fissura.types import FloatArray

LEVEL = 0.95
_SEED = 20_250_101


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval. NaN is 'not defined'."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of zero: of a difference, that it is not chance of the images."""
        return self.low > 0 or self.high < 0


def draw_sets(images: int, resamples: int) -> FloatArray:
    """How often each image is in each set.

    The same numbers for every cell of a test, which is what makes differences paired.

    Returns:
        Shape (1 + resamples, images); the first row is the test itself.
    """
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
    return np.concatenate([np.ones((1, images)), drawn])


def estimate(values: FloatArray) -> Estimate:
    """The figure of the test and the 95% interval of the sets drawn from it (percentiles).

    Args:
        values: Of the test first, then of each drawn set, shape (1 + resamples,). Sets where it is not defined are
            left out.
    """
    tail = (1 - LEVEL) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN gives NaN
        low, high = np.nanquantile(values[1:], [tail, 1 - tail])
    return Estimate(float(values[0]), float(low), float(high))
