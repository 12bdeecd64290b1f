"""Best fit of clean profiles, where the grid's own steps are what limits `fissura.measure.profile`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fissura.measure.profile_model import (
    BLUR_PX,
    BLUR_SPREAD,
    DARKNESS,
    MARGIN_PX,
    FitSettings,
    Values,
    log_cosh,
    soft_steps_and_slopes,
)

_CLEAN_INFLATION = 3.0
_FARTHEST = np.array([60, 5, 60, 1, 2, 0.5])
"""Longest step of a parameter."""


@dataclass(frozen=True, eq=False)
class RefinedFits:
    """Best parameters of each profile, shape (N,), the variance of what they leave over, and the cost of the priors."""

    background: Values
    depth: Values
    width: Values
    blur: Values
    sigma: Values
    noise: Values
    prior: Values


@dataclass(frozen=True, eq=False)
class _Left:
    """What a model leaves over, with its derivatives by the six parameters; N profiles of n samples.

    Attributes:
        data: (N, n), in grey values, 0 outside the window.
        data_by: (N, 6, n).
        prior: (N, 2): darkness and blur, in standard deviations.
        prior_by: (N, 6, 2).
    """

    data: Values
    data_by: Values
    prior: Values
    prior_by: Values

    def cost(self, scale: Values) -> Values:
        """Sum of squares, shape (N,); ``scale`` is what squares of grey values count."""
        return np.asarray((self.data**2).sum(1) * scale + (self.prior**2).sum(1), np.float64)

    def normal(self, scale: Values) -> tuple[Values, Values]:
        """Normal matrix (N, 6, 6) and gradient (N, 6)."""
        by = self.data_by
        matrix = by @ by.transpose(0, 2, 1) * scale[:, None, None] + self.prior_by @ self.prior_by.transpose(0, 2, 1)
        gradient = (by @ self.data[..., None])[..., 0] * scale[:, None]
        return matrix, gradient + (self.prior_by @ self.prior[..., None])[..., 0]

    def replaced(self, other: _Left, where: npt.NDArray[np.bool_]) -> _Left:
        """The other's rows where they are better."""
        flat, cube = where[:, None], where[:, None, None]
        return _Left(
            np.where(flat, other.data, self.data), np.where(cube, other.data_by, self.data_by),
            np.where(flat, other.prior, self.prior), np.where(cube, other.prior_by, self.prior_by),
        )  # fmt: skip


def _model(t: Values, n: int) -> tuple[Values, Values]:
    """Profiles (N, n) of parameters (N, 6), and their derivatives (N, 6, n)."""
    background, slope, depth, centre = (t[:, k : k + 1] for k in range(4))
    width, log_blur = np.maximum(t[:, 4:5], 0.05), np.clip(t[:, 5:6], -2.5, 3.0)
    blur = np.exp(log_blur)
    x = (np.arange(n) - (n - 1) / 2)[None]
    first, last = (soft_steps_and_slopes(n, centre + k * width / 2, blur) for k in (-1, 1))
    dip = first[0] - last[0]
    inside = (t[:, 5:6] > -2.5) & (t[:, 5:6] < 3.0)
    slopes = np.stack([
        np.ones_like(dip), x - centre, -dip, -slope - depth * (first[1] - last[1]), depth * (first[1] + last[1]) / 2,
        -depth * (first[2] - last[2]) * inside,
    ], axis=1)  # fmt: skip
    return background + slope * (x - centre) - depth * dip, slopes


def _priors(t: Values, settings: FitSettings) -> tuple[Values, Values]:
    """How far darkness and blur are from what is expected (N, 2), and the derivatives (N, 6, 2)."""
    aim = DARKNESS if settings.darkness is None else settings.darkness
    light = np.maximum(t[:, 0] - settings.black, 1.0)
    off = (t[:, 2] / light - aim) / settings.darkness_spread
    # The square of this is the logistic's cost.
    size = np.sqrt(np.maximum(4 * log_cosh(off / np.sqrt(2)), 0))
    by_off = np.where(size > 1e-4, np.sqrt(2) * np.abs(np.tanh(off / np.sqrt(2))) / np.maximum(size, 1e-4), 1.0)
    by = np.zeros((len(t), 6, 2))
    by[:, 0, 0] = np.where(t[:, 0] - settings.black > 1, -by_off * t[:, 2] / light**2 / settings.darkness_spread, 0)
    by[:, 2, 0] = by_off / light / settings.darkness_spread
    by[:, 5, 1] = 1 / BLUR_SPREAD
    return np.column_stack([np.sign(off) * size, (t[:, 5] - np.log(BLUR_PX)) / BLUR_SPREAD]), by


def better(a: RefinedFits, b: RefinedFits, samples: int) -> RefinedFits:
    """The likelier of two explanations of each profile, by the noise of the better one."""
    noise = np.minimum(a.noise, b.noise) * _CLEAN_INFLATION
    take = samples * a.noise / noise + a.prior <= samples * b.noise / noise + b.prior
    return RefinedFits(*(np.where(take, getattr(a, f), getattr(b, f)) for f in RefinedFits.__dataclass_fields__))


def refine(grey: npt.NDArray[np.float64], start: npt.NDArray[np.float64], settings: FitSettings) -> RefinedFits:
    """Levenberg-Marquardt from the grid's answer, for profiles so clean that the grid's own steps are what limits them.

    Args:
        grey: Shape (N, n).
        start: Shape (N, 6): background, slope, depth, centre, width, logarithm of the blur.
        settings: Priors as in the grid.
    """
    n = grey.shape[1]
    theta = start.copy()
    free = np.array([True] * 5 + [settings.blur_px is None])
    if settings.blur_px is not None:
        theta[:, 5] = np.log(settings.blur_px)
    x = (np.arange(n) - (n - 1) / 2)[None]
    window = np.abs(x - start[:, 3:4]) <= start[:, 4:5] / 2 + 2 * np.exp(theta[:, 5:6]) + MARGIN_PX
    count = np.maximum(window.sum(1), 7)
    damping = np.full(len(grey), 1e-2)
    fixed = np.diag(~free * 1.0)

    def look(t: npt.NDArray[np.float64]) -> tuple[_Left, Values]:
        value, slopes = _model(t, n)
        left = _Left((grey - value) * window, -slopes * window[:, None], *_priors(t, settings))
        return left, np.maximum((left.data**2).sum(1) / count, 0.08)

    now, noise = look(theta)
    for _ in range(12):
        scale = 1 / (_CLEAN_INFLATION * noise)
        normal, gradient = now.normal(scale)
        normal *= free[:, None] * free[None]
        diagonal = np.einsum("nii->ni", normal)
        lifted = normal + (damping[:, None] * diagonal + 1e-9)[:, :, None] * np.eye(6) + fixed
        step = -np.linalg.solve(lifted, gradient[..., None])[..., 0] * free
        trial = theta + np.clip(step, -_FARTHEST, _FARTHEST)
        trial[:, 4] = np.clip(trial[:, 4], 0.05, n)
        trial[:, 2] = np.maximum(trial[:, 2], 1e-3)
        then, then_noise = look(trial)
        closer = then.cost(scale) <= now.cost(scale)
        theta = np.where(closer[:, None], trial, theta)
        damping = np.where(closer, damping * 0.3, damping * 5)
        now, noise = now.replaced(then, closer), np.where(closer, then_noise, noise)
    covariance = np.linalg.inv(normal + fixed + 1e-9 * np.eye(6))
    sigma = np.sqrt(np.maximum(covariance[:, 4, 4], 0))
    prior = (now.prior**2).sum(1)
    return RefinedFits(theta[:, 0] - settings.black, theta[:, 2], theta[:, 4], np.exp(theta[:, 5]), sigma, noise, prior)
