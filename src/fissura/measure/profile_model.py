"""The model of a profile across a crack: its constants, what may be known before, and the shape of a blurred dip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Values = npt.NDArray[np.float64]

DARKNESS = 0.88
"""Share of the background's light that is missing inside a crack, if nothing better is known."""
DARKNESS_SPREAD = 0.05
"""Standard deviation of the core of the (logistic) prior around it."""
BLUR_PX = 0.75
"""Median standard deviation of a camera's point-spread function, in pixels."""
BLUR_SPREAD = 0.8
"""Standard deviation of the logarithm of the blur: 0.35 to 1.7 px are within one."""
NOISE_INFLATION = 20.0
"""Texture and ragged walls are correlated from sample to sample: residuals count as if their variance were so many
times larger."""

MARGIN_PX = 8 * BLUR_PX  # of background on each side that the fit looks at


@dataclass(frozen=True)
class FitSettings:
    """What is known before the profile is seen.

    Attributes:
        blur_px: Standard deviation of the blur in samples; None leaves it to the prior.
        darkness: Share of the background's light missing inside the crack; None takes `DARKNESS`.
        darkness_spread: Scale of the prior around it.
        reach_px: The crack's centre is within so many samples of the profile's middle.
        black: Grey value of no light.
        noise_inflation: See `NOISE_INFLATION`; averages over a stretch of crack bear less.
    """

    blur_px: float | None = None
    darkness: float | None = None
    darkness_spread: float = DARKNESS_SPREAD
    reach_px: float = 5.0
    black: float = 0.0
    noise_inflation: float = NOISE_INFLATION


def soft_steps(samples: int, edge: Values, blur: Values) -> Values:
    """A profile's steps from 0 to 1 at `edge`, blurred by a Gaussian and averaged over each pixel.

    Args:
        samples: Length n of the profile; its middle is at 0.
        edge: Shape (N, 1).
        blur: Shape (N, 1), standard deviations.
    Returns:
        Shape (N, n).
    """
    z = (_borders(samples) - edge) / blur
    # The end of one pixel is the beginning of the next.
    return np.asarray(np.diff(z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)) * blur, np.float64)


def soft_steps_and_slopes(samples: int, edge: Values, blur: Values) -> tuple[Values, Values, Values]:
    """`soft_steps`, its derivative by `edge`, and by the logarithm of `blur`."""
    z = (_borders(samples) - edge) / blur
    below, bell = ndtr(z), np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    value, by_edge, by_blur = (np.asarray(np.diff(v), np.float64) for v in (z * below + bell, -below, bell))
    return value * blur, by_edge, by_blur * blur


def _borders(samples: int) -> Values:
    return np.asarray((np.arange(samples + 1) - samples / 2)[None], np.float64)


def log_cosh(z: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Logarithm of the hyperbolic cosine, without overflow."""
    size = np.abs(z)
    return np.asarray(size + np.log1p(np.exp(-2 * size)) - np.float32(np.log(2)), size.dtype)
