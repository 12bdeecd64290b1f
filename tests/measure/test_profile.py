"""`profile_width` on drawn profiles: a box of known width, blurred and integrated over pixels."""

import numpy as np
import pytest

import fissura.measure.profile as module
from fissura.errors import GeometryError
from fissura.measure import profile_refine
from fissura.measure.profile import fit_profiles, profile_width
from fissura.measure.profile_model import FitSettings
from support.drawn import draw_profile

CENTRES = (-1.2, 0.0, 0.35)


def fit(profiles, **known):
    return fit_profiles(np.stack(profiles), FitSettings(**known))


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0, 3.5, 5.0, 8.0, 12.0])
def test_blur_and_darkness_known(width):
    """With both known every width is exact."""
    found = fit([draw_profile(width, 0.8, centre=c, darkness=0.7) for c in CENTRES], blur_px=0.8, darkness=0.7)
    np.testing.assert_allclose(found.width_px, width, rtol=0.01)
    assert found.ok.all()
    np.testing.assert_allclose(found.centre_px, CENTRES, atol=0.25)


def test_neither_known():
    """A hole as dark as the prior thinks is measured at every width, one of another darkness where it is resolved."""
    widths = np.repeat([0.5, 1.0, 2.0, 3.5, 5.0, 8.0, 12.0], 3)
    usual = fit([draw_profile(w, 0.8, centre=c) for w, c in zip(widths, np.tile(CENTRES, 7), strict=True)])
    np.testing.assert_allclose(usual.width_px, widths, rtol=0.03)
    pale = fit([draw_profile(w, 0.8, darkness=0.6, slope=0.4) for w in (4.0, 5.0, 8.0, 12.0)])
    np.testing.assert_allclose(pale.width_px, (4, 5, 8, 12), rtol=0.02)
    np.testing.assert_allclose(pale.darkness, 0.6, atol=0.02)
    np.testing.assert_allclose(pale.blur_px, 0.8, atol=0.05)


def test_narrow_and_pale_is_missing_light():
    """Where only width times darkness shows, the prior's darkness decides, and it is said."""
    found = profile_width(draw_profile(0.8, 1.0, darkness=0.6))
    assert found.below_blur
    assert found.width_px == pytest.approx(0.8 * 0.6 / 0.88, rel=0.03)
    told = profile_width(draw_profile(0.8, 1.0, darkness=0.6), darkness=0.6)
    assert told.width_px == pytest.approx(0.8, rel=0.1)
    assert not profile_width(draw_profile(6.0, 1.0)).below_blur


@pytest.mark.parametrize("darkness", [0.6, 0.88, 0.95])
def test_gain_changes_nothing(darkness):
    profiles = [draw_profile(w, 0.8, darkness=darkness, noise=2.0, seed=7) for w in (0.5, 1.0, 2.0, 3.0, 6.0, 10.0)]
    # Without noise, where shape and prior disagree, a fixed allowance for rounding would decide by exposure.
    profiles += [draw_profile(w, 0.5, darkness=darkness) for w in (0.5, 1.5, 2.0, 3.0)]
    before = fit(profiles)
    for gain in (0.4, 1.7):
        after = fit([p * gain for p in profiles])
        np.testing.assert_allclose(after.width_px, before.width_px, rtol=2e-3)
        np.testing.assert_allclose(after.contrast, before.contrast, rtol=2e-3)


@pytest.mark.parametrize(("gain", "offset"), [(0.6, 40.0), (1.3, -8.0), (1.0, 60.0)])
def test_gain_and_offset_leave_resolved_widths(gain, offset):
    widths = np.array([5.0, 6.5, 9.0, 12.0])
    found = fit([draw_profile(w, b) * gain + offset for w in widths for b in (0.5, 1.0)])
    np.testing.assert_allclose(found.width_px, np.repeat(widths, 2), rtol=0.02)


def test_twice_the_samples_twice_the_width():
    for width, blur in ((4.0, 0.6), (6.0, 1.0)):
        coarse = profile_width(draw_profile(width, blur, samples=41))
        fine = profile_width(draw_profile(width, blur, samples=81, pixel=0.5))
        assert fine.width_px == pytest.approx(2 * coarse.width_px, rel=0.05)
        assert fine.blur_px == pytest.approx(2 * coarse.blur_px, rel=0.15)


@pytest.mark.parametrize(
    "profile",
    [
        np.full(21, 120.0),
        np.random.default_rng(3).normal(120, 6, 31),
        120 + 3.0 * np.arange(31),  # a slope
        draw_profile(3.0, 0.8, darkness=-0.5),  # a bright line
        draw_profile(3.0, 0.8, samples=9, centre=3.5),  # it runs out at the end
        np.full(7, 90.0),
        np.zeros(21),
    ],
)
def test_no_dip_is_not_ok_and_still_answered(profile):
    found = profile_width(profile)
    assert not found.ok
    assert np.isfinite([found.width_px, found.sigma_px, found.contrast, found.darkness, found.blur_px]).all()
    assert found.width_px > 0
    assert found.sigma_px > 0
    assert 0 <= found.contrast <= 1


def test_every_profile_has_an_answer():
    rng = np.random.default_rng(0)
    profiles = rng.uniform(0, 255, (40, 15)) * rng.integers(0, 2, (40, 1)) + rng.integers(0, 255, (40, 15))
    found = fit_profiles(profiles)
    for column in (found.width_px, found.sigma_px, found.contrast, found.darkness, found.blur_px, found.centre_px):
        assert column.shape == (40,)
        assert np.isfinite(column).all()
    assert (found.width_px > 0).all()
    assert fit_profiles(np.empty((0, 15))).width_px.shape == (0,)


@pytest.mark.parametrize(
    ("grey", "known", "words"),
    [
        (np.zeros((2, 9)), {}, "one axis, got shape (2, 9)"),
        ([100.0] * 6, {}, "at least 7 samples"),
        ([], {}, "at least 7 samples"),
        ([100.0] * 8 + [np.nan], {}, "no numbers"),
        ([100.0] * 8 + [np.inf], {}, "no numbers"),
        ([100.0] * 9, {"blur_px": 0.0}, "blur_px is 0"),
        ([100.0] * 9, {"blur_px": -1.0}, "blur_px is -1"),
        ([100.0] * 9, {"blur_px": np.nan}, "blur_px is nan"),
        ([100.0] * 9, {"darkness": 0.0}, "darkness is 0"),
        ([100.0] * 9, {"darkness": 1.2}, "darkness is 1.2"),
    ],
)
def test_errors(grey, known, words):
    with pytest.raises(GeometryError) as caught:
        profile_width(grey, **known)
    assert words in str(caught.value)


def test_stated_error_shrinks_with_noise_and_holds():
    sigmas = []
    for noise in (1.0, 5.0, 15.0):
        found = fit([draw_profile(5.0, 0.8, noise=noise, seed=s) for s in range(12)])
        sigmas.append(float(np.median(found.sigma_px)))
        assert np.abs(found.width_px - 5.0).mean() < 2 * np.mean(found.sigma_px)
    assert sigmas[0] < 0.6 * sigmas[1] < 0.6 * sigmas[2]


def test_many_equal_one_by_one():
    widths = np.linspace(0.5, 9, 35)
    profiles = np.stack([draw_profile(w, 0.9, noise=3.0, seed=k, samples=29) for k, w in enumerate(widths)])
    many = fit_profiles(profiles)
    for k in range(0, 35, 5):
        one = profile_width(profiles[k])
        assert one.width_px == pytest.approx(many.width_px[k], rel=1e-3)
        assert one.sigma_px == pytest.approx(many.sigma_px[k], rel=5e-3)
        assert (one.ok, one.below_blur) == (many.ok[k], many.below_blur[k])


def test_mask_says_what_is_too_wide():
    """A shadow beside the crack draws the fit outwards; the mask's width holds it back."""
    profile = draw_profile(2.0, 0.8, samples=41) * np.where(np.arange(41) < 12, 0.8, 1.0)
    free = fit_profiles(profile[None], FitSettings())
    held = fit_profiles(profile[None], FitSettings(), mask_width_px=np.array([2.0]))
    assert abs(held.width_px[0] - 2.0) <= abs(free.width_px[0] - 2.0) + 0.05
    assert held.width_px[0] == pytest.approx(2.0, rel=0.1)


def test_few_constants():
    """At most five numbers are the method's own; they are in one place."""
    from fissura.measure import profile_model

    public = {n for m in (module, profile_model) for n, v in vars(m).items() if n.isupper() and not n.startswith("_")}
    assert len(public - {"MARGIN_PX"}) <= 5, public  # MARGIN_PX follows from BLUR_PX


def test_slopes_of_the_model_are_its_differences():
    rng = np.random.default_rng(5)
    theta = np.column_stack([
        rng.uniform(90, 180, 40), rng.uniform(-1, 1, 40), rng.uniform(5, 120, 40), rng.uniform(-3, 3, 40),
        rng.uniform(0.2, 9, 40), np.log(rng.uniform(0.3, 2.5, 40)),
    ])  # fmt: skip
    value, slopes = profile_refine._model(theta, 31)
    priors, prior_slopes = profile_refine._priors(theta, FitSettings(darkness=0.5))
    for k, step in enumerate((1e-3, 1e-4, 1e-3, 1e-4, 1e-4, 1e-4)):
        moved, back = theta.copy(), theta.copy()
        moved[:, k] += step
        back[:, k] -= step
        model = [profile_refine._model(t, 31)[0] for t in (moved, back)]
        assert np.allclose((model[0] - model[1]) / (2 * step), slopes[:, k], atol=2e-3), k
        prior = [profile_refine._priors(t, FitSettings(darkness=0.5))[0] for t in (moved, back)]
        assert np.allclose((prior[0] - prior[1]) / (2 * step), prior_slopes[:, k], atol=2e-3), k
    assert np.abs(value - theta[:, :1]).max() > 5 and np.isfinite(priors).all()
