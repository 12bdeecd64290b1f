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
    soft_step,
)

_CLEAN_INFLATION = 3.0


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
    x = (np.arange(n) - (n - 1) / 2)[None]
    theta = start.copy()
    free = np.array([True] * 5 + [settings.blur_px is None])
    if settings.blur_px is not None:
        theta[:, 5] = np.log(settings.blur_px)
    window = np.abs(x - start[:, 3:4]) <= start[:, 4:5] / 2 + 2 * np.exp(theta[:, 5:6]) + MARGIN_PX
    count = np.maximum(window.sum(1), 7)
    aim = DARKNESS if settings.darkness is None else settings.darkness
    damping = np.full(len(grey), 1e-2)

    def model(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        c, w, b = t[:, 3:4], np.maximum(t[:, 4:5], 0.05), np.exp(np.clip(t[:, 5:6], -2.5, 3.0))
        dip = soft_step(x, c - w / 2, b) - soft_step(x, c + w / 2, b)
        return np.asarray(t[:, :1] + t[:, 1:2] * (x - c) - t[:, 2:3] * dip, np.float64)

    def residuals(t: npt.NDArray[np.float64], noise: Values) -> npt.NDArray[np.float64]:
        data = (grey - model(t)) * window / np.sqrt(_CLEAN_INFLATION * noise)[:, None]
        off = (t[:, 2] / np.maximum(t[:, 0] - settings.black, 1.0) - aim) / settings.darkness_spread
        # The square of this is the logistic's cost.
        dark = np.sign(off) * np.sqrt(np.maximum(4 * log_cosh(off / np.sqrt(2)), 0))
        soft = (t[:, 5] - np.log(BLUR_PX)) / BLUR_SPREAD
        return np.column_stack([data, dark, soft])

    def variance(t: npt.NDArray[np.float64]) -> Values:
        return np.asarray(np.maximum((((grey - model(t)) * window) ** 2).sum(1) / count, 0.08), np.float64)

    steps = np.array([0.05, 1e-3, 0.05, 1e-3, 1e-3, 1e-3])
    noise = variance(theta)
    for _ in range(12):
        base = residuals(theta, noise)
        columns = []
        for k in range(6):
            moved = theta.copy()
            moved[:, k] += steps[k]
            columns.append((residuals(moved, noise) - base) / steps[k] * free[k])
        jacobian = np.stack(columns, axis=2)
        normal = jacobian.transpose(0, 2, 1) @ jacobian
        diagonal = np.einsum("nii->ni", normal)
        lifted = normal + (damping[:, None] * diagonal + 1e-9)[:, :, None] * np.eye(6) + np.diag(~free * 1.0)
        step = -np.linalg.solve(lifted, np.einsum("nij,ni->nj", jacobian, base)[..., None])[..., 0] * free
        trial = theta + np.clip(step, -np.array([60, 5, 60, 1, 2, 0.5]), np.array([60, 5, 60, 1, 2, 0.5]))
        trial[:, 4] = np.clip(trial[:, 4], 0.05, n)
        trial[:, 2] = np.maximum(trial[:, 2], 1e-3)
        better = (residuals(trial, noise) ** 2).sum(1) <= (base**2).sum(1)
        theta = np.where(better[:, None], trial, theta)
        damping = np.where(better, damping * 0.3, damping * 5)
        noise = variance(theta)
    covariance = np.linalg.inv(normal + np.diag(~free * 1.0) + 1e-9 * np.eye(6))
    sigma = np.sqrt(np.maximum(covariance[:, 4, 4], 0))
    prior = (residuals(theta, noise)[:, n:] ** 2).sum(1)
    return RefinedFits(theta[:, 0] - settings.black, theta[:, 2], theta[:, 4], np.exp(theta[:, 5]), sigma, noise, prior)
