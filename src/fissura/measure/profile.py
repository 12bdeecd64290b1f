"""Width of a crack from the grey values across it.

The model: a background that may slope, less a dark box of the crack's width, blurred by the camera and integrated over
pixels. Five numbers describe a profile: background, slope, darkness, centre and width; a sixth, the blur, is known or
has a prior. A grid over width, centre and blur, with the linear numbers solved exactly at each node, gives the whole
posterior, not one optimum, so that width and standard error hold where the problem is not decidable as well:

* Wider than about two blur widths, shape decides: width and darkness are both seen, and grey may be scaled and
  shifted at will.
* Narrower, only their product is seen (the missing light). There the prior on darkness decides: cracks are holes, and
  a hole returns about an eighth of the light that the surface around it does. Wider stretches of the same crack
  replace that prior when they are known.

The prior on darkness is logistic, with tails heavier than a Gaussian's: where a clean profile speaks against it, the
profile wins.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from fissura.errors import GeometryError
from fissura.measure.profile_model import (
    BLUR_PX,
    BLUR_SPREAD,
    DARKNESS,
    MARGIN_PX,
    FitSettings,
    Values,
    log_cosh,
    soft_steps,
)
from fissura.measure.profile_refine import better, refine

_Single = npt.NDArray[np.float32]

_RESOLVED = 2.0  # blur widths from which a width is seen rather than inferred
_MASK_ROOM_PX = 2.0
_CLEAN = (0.02, 0.04)  # residuals as a share of the dip up to which the best fit is taken, and from which it is not
_LEAST_SAMPLES = 7
_BLURS_PX = BLUR_PX * 1.25 ** np.arange(-3.0, 7.0)
_LEVEL, _LEVEL_AT = 140.0, 0.75  # profiles are brought to this level of their bright part
_CHUNK, _REFINED_TOGETHER = 32, 256  # keep the grid, and what is refined, in the cache


@dataclass(frozen=True)
class ProfileWidth:
    """What a profile says of the crack it crosses.

    Attributes:
        width_px: Width in samples of the profile, above 0.
        sigma_px: Its standard error.
        contrast: Depth of the visible dip as a share of the background, 0 to 1.
        ok: There is a dip that stands out from the noise, away from the profile's ends. If False, the width is no
            more than the best guess.
        below_blur: Too narrow for its darkness to be seen, so that the width rests on the darkness assumed.
        darkness: Share of the background's light that the crack takes, as fitted, 0 to 1.
        blur_px: Blur as fitted or given, standard deviation in samples.
    """

    width_px: float
    sigma_px: float
    contrast: float
    ok: bool
    below_blur: bool = False
    darkness: float = DARKNESS
    blur_px: float = BLUR_PX


@dataclass(frozen=True, eq=False)
class ProfileFits:
    """Fits of N profiles; the fields of `ProfileWidth` as arrays of shape (N,), and the centres."""

    width_px: Values
    sigma_px: Values
    contrast: Values
    ok: npt.NDArray[np.bool_]
    below_blur: npt.NDArray[np.bool_]
    darkness: Values
    blur_px: Values
    centre_px: Values
    """Sample position of the crack's middle, from the profile's middle."""


def profile_width(grey: npt.ArrayLike, *, blur_px: float | None = None, darkness: float | None = None) -> ProfileWidth:
    """Width of the crack that a profile crosses.

    Args:
        grey: Shape (N >= 7,), 0 to 255, one sample per pixel across the crack, blurred by the camera, the crack near
            the middle.
        blur_px: Standard deviation of the blur in pixels, if known.
        darkness: Share of the light missing inside, 0 to 1, if known from wider stretches of the same crack.
    Raises:
        GeometryError: Another shape, too few samples, values that are no numbers, or an argument out of range.
    Source: own method; for the data and earlier methods see Benz and Rodehorst (2021), MVA.

    >>> found = profile_width([120, 121, 119, 120, 121, 120, 40, 5, 5, 40, 120, 119, 121, 120, 120])
    >>> round(found.width_px, 1), found.ok
    (3.4, True)
    """
    values = np.asarray(grey, np.float64)
    if values.ndim != 1:
        raise GeometryError(f"a profile has one axis, got shape {values.shape}; for several use fit_profiles")
    fits = fit_profiles(values[None], FitSettings(blur_px, darkness))
    return ProfileWidth(
        float(fits.width_px[0]), float(fits.sigma_px[0]), float(fits.contrast[0]), bool(fits.ok[0]),
        bool(fits.below_blur[0]), float(fits.darkness[0]), float(fits.blur_px[0]),
    )  # fmt: skip


def fit_profiles(
    grey: npt.NDArray[np.float64], settings: FitSettings | None = None, *, mask_width_px: Values | None = None
) -> ProfileFits:
    """Fit many profiles of one length at once.

    Args:
        grey: Shape (N, samples), 0 to 255.
        settings: What is known of all of them.
        mask_width_px: Width that a mask gives each, shape (N,). Masks are too wide more often than too narrow: a fit
            that is wider than the mask and `_MASK_ROOM_PX` loses credit, and narrower is as likely at every scale.
    Raises:
        GeometryError: Fewer than 7 samples, values that are no numbers, or settings out of range.
    """
    settings = settings or FitSettings()
    _check(grey, settings)
    # Limits in grey values (rounding to 8 bits) must not let the answer depend on the exposure.
    level = np.maximum(np.quantile(grey - settings.black, _LEVEL_AT, axis=1, keepdims=True), 1e-3)
    grey = settings.black + (grey - settings.black) * (_LEVEL / level)
    bank = _bank(grey.shape[1], settings.blur_px, min(settings.reach_px, grey.shape[1] / 3))

    if not len(grey):
        empty = np.empty(0)
        return ProfileFits(empty, empty, empty, empty > 0, empty > 0, empty, empty, empty)
    parts = []
    for i in range(0, len(grey), _CHUNK):
        part = slice(i, i + _CHUNK)
        prior = _width_prior(bank.width, None if mask_width_px is None else mask_width_px[part])
        parts.append(_fit_chunk(grey[part], bank, settings, prior))
    grid = _GridFits(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_GridFits)))
    rows = [slice(i, i + _REFINED_TOGETHER) for i in range(0, len(grey), _REFINED_TOGETHER)]
    refined = [_refine_where_clean(grey[part], grid.take(part), settings) for part in rows]
    return ProfileFits(*(np.concatenate(columns) for columns in zip(*refined, strict=True)))


def _check(grey: npt.NDArray[np.float64], settings: FitSettings) -> None:
    if grey.ndim != 2 or grey.shape[1] < _LEAST_SAMPLES:
        raise GeometryError(f"profiles have the shape {grey.shape}; needed are at least {_LEAST_SAMPLES} samples each")
    if not np.isfinite(grey).all():
        raise GeometryError("a profile holds values that are no numbers; leave out what lies outside the picture")
    if settings.blur_px is not None and not 0 < settings.blur_px < 50:
        raise GeometryError(f"blur_px is {settings.blur_px}; give a standard deviation above 0 in pixels")
    if settings.darkness is not None and not 0 < settings.darkness <= 1:
        raise GeometryError(f"darkness is {settings.darkness}; give the missing share of the light, above 0 to 1")


@dataclass(frozen=True, eq=False)
class _Bank:
    """Templates of all grid nodes with their normal equations; K nodes, n samples."""

    width: Values
    centre: Values
    blur: Values
    design: _Single  # (K, n, 3): background, slope, dip; 0 outside the node's window
    inverse: _Single  # (K, 3, 3)
    window: _Single  # (K, n)
    count: Values


@lru_cache(maxsize=24)
def _bank(samples: int, blur_px: float | None, reach_px: float) -> _Bank:
    blurs: Values = np.array([blur_px], np.float64) if blur_px is not None else _BLURS_PX
    widest = 0.75 * samples
    widths = np.concatenate([np.arange(0.1, 3, 0.1), np.arange(3, 8, 0.2), np.arange(8, max(widest, 8.1), 0.4)])
    widths = widths[widths <= max(widest, 0.1)]
    centres = np.arange(-np.floor(reach_px * 3) / 3, reach_px + 1e-9, 1 / 3)
    grid = [np.asarray(axis.ravel(), np.float64) for axis in np.meshgrid(widths, centres, blurs, indexing="ij")]
    width, centre, blur = grid[0][:, None], grid[1][:, None], grid[2][:, None]
    x = np.asarray(np.arange(samples) - (samples - 1) / 2, np.float64)[None]
    dip = soft_steps(samples, centre - width / 2, blur) - soft_steps(samples, centre + width / 2, blur)
    window = (np.abs(x - centre) <= width / 2 + 2 * blur + MARGIN_PX).astype(np.float64)
    design = np.stack([np.ones_like(dip), x - centre, -dip], axis=2) * window[:, :, None]
    normal = design.transpose(0, 2, 1) @ design + 1e-6 * np.eye(3)
    return _Bank(
        grid[0], grid[1], grid[2], design.astype(np.float32), np.linalg.inv(normal).astype(np.float32),
        window.astype(np.float32), window.sum(1),
    )  # fmt: skip


def _width_prior(width: Values, mask_width: Values | None) -> npt.NDArray[np.float64]:
    """Weight of each node, shape (K, 1) or (K, N). The grid is finer for narrow cracks; its density is not a prior."""
    cells = _cell_sizes(width)[:, None]
    if mask_width is None:
        return cells
    limit = mask_width[None] + _MASK_ROOM_PX
    beyond = np.maximum(width[:, None] - limit, 0) / (0.25 * limit)
    return np.asarray(cells / width[:, None] * np.exp(-0.5 * beyond**2), np.float64)


@dataclass(frozen=True, eq=False)
class _GridFits:
    """What the grid says of N profiles: posterior means, and where to begin to refine."""

    width: Values
    sigma: Values
    contrast: Values
    ok: npt.NDArray[np.bool_]
    darkness: Values
    blur: Values
    centre: Values
    likely: Values
    """The means, shape (N, 6), as `refine` takes them."""
    by_shape: Values
    """Of the node that fits best, whatever the prior on darkness says, shape (N, 6)."""

    def take(self, part: slice) -> _GridFits:
        return _GridFits(*(getattr(self, f.name)[part] for f in fields(self)))


def _fit_chunk(
    grey: npt.NDArray[np.float64], bank: _Bank, settings: FitSettings, prior: npt.NDArray[np.float64]
) -> _GridFits:
    """Posterior means of one chunk of profiles."""
    K, n = bank.window.shape
    mean = grey.mean(axis=1)
    centred = (grey - mean[:, None]).astype(np.float32)
    right = (bank.design.transpose(0, 2, 1).reshape(K * 3, n) @ centred.T).reshape(K, 3, -1)
    solved = bank.inverse @ right
    energy = bank.window @ (centred.T**2) - (solved * right).sum(1)
    variance = np.maximum(energy, 0) / bank.count[:, None]  # (K, N)
    background = np.maximum(solved[:, 0] + mean[None] - settings.black, 1.0)
    depth = np.maximum(solved[:, 2], 1e-3)
    visible = _visible_share(bank.width, bank.blur)[:, None]
    dip = depth * visible
    noise = np.maximum(variance.min(axis=0), 0.05)
    seen = np.take_along_axis(dip, np.argmin(variance, axis=0)[None], axis=0)[0]
    aim = DARKNESS if settings.darkness is None else settings.darkness
    off = (depth / background - aim) / settings.darkness_spread
    cost = n * variance / (settings.noise_inflation * noise) + 4 * log_cosh(off / np.float32(np.sqrt(2)))
    if settings.blur_px is None:
        cost += ((np.log(bank.blur / BLUR_PX) / BLUR_SPREAD) ** 2)[:, None]
    cost = np.where(solved[:, 2] > 0, cost, np.inf)
    cost[:, ~np.isfinite(cost).any(axis=0)] = 0.0  # no dip anywhere: every width is as likely
    weight = np.exp(-0.5 * (cost - cost.min(axis=0))) * prior
    weight /= weight.sum(axis=0)

    def expected(values: npt.NDArray[np.floating]) -> Values:
        return np.asarray((weight * values).sum(axis=0), np.float64)

    width = expected(bank.width[:, None])
    sigma = np.sqrt(np.maximum(expected(bank.width[:, None] ** 2) - width**2, 0) + _rounding(width) ** 2)
    blur = expected(bank.blur[:, None])
    contrast = np.clip(expected(dip / background), 0, 1)
    centre = expected(bank.centre[:, None])
    standing = seen > 2.0 * np.sqrt(noise)
    inside = np.abs(centre) + width / 2 < (n - 1) / 2
    darkness = np.clip(expected(depth / background), 0, 1)
    start = np.stack([
        expected(background) + settings.black, expected(solved[:, 1]), expected(depth), centre, width,
        np.log(blur),
    ], axis=1)  # fmt: skip
    # The shape alone may speak for quite another darkness than the prior: the better explanation counts.
    shape = np.argmin(np.where(solved[:, 2] > 0, variance, np.inf), axis=0)
    rows = np.arange(len(grey))
    other = np.stack([
        background[shape, rows] + settings.black, solved[shape, 1, rows], depth[shape, rows], bank.centre[shape],
        bank.width[shape], np.log(bank.blur[shape]),
    ], axis=1).astype(np.float64)  # fmt: skip
    return _GridFits(width, sigma, contrast, standing & inside, darkness, blur, centre, start, other)


def _refine_where_clean(
    grey: npt.NDArray[np.float64], grid: _GridFits, settings: FitSettings
) -> tuple[npt.NDArray[np.generic], ...]:
    """The grid's answer, or the best fit where a profile is clean; arrays in the order of `ProfileFits`."""
    n = grey.shape[1]
    clean = better(refine(grey, grid.likely, settings), refine(grey, grid.by_shape, settings), n)
    rough = np.sqrt(clean.noise) / np.maximum(clean.depth * _visible_share(clean.width, clean.blur), 1e-6)
    trust = np.clip((_CLEAN[1] - rough) / (_CLEAN[1] - _CLEAN[0]), 0, 1)
    width = grid.width * (1 - trust) + clean.width * trust
    sigma = grid.sigma * (1 - trust) + clean.sigma * trust
    blur = grid.blur * (1 - trust) + clean.blur * trust
    darkness = grid.darkness * (1 - trust) + np.clip(clean.depth / clean.background, 0, 1) * trust
    return width, sigma, grid.contrast, grid.ok, width < _RESOLVED * blur, darkness, blur, grid.centre


def _visible_share(width: Values, blur: Values) -> Values:
    """Share of the darkness that is left at the middle of a blurred box."""
    return np.asarray(2 * ndtr(width / (2 * np.hypot(blur, 0.29))) - 1, np.float64)


def _cell_sizes(width: Values) -> Values:
    unique, inverse = np.unique(width, return_inverse=True)
    return np.asarray(np.gradient(unique)[inverse], np.float64)


def _rounding(width: Values) -> Values:
    """Standard error that the grid's own steps bring."""
    return np.asarray(np.where(width < 3, 0.1, np.where(width < 8, 0.2, 0.4)) / np.sqrt(12), np.float64)
