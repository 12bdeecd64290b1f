"""Width along every branch of a crack graph, from the grey values across it.

Profiles are taken along the normals of the centreline, shifted onto the dark line where mask and line differ, and
averaged over short stretches, so that the surface's texture averages out. Then, from certain to uncertain:

1. The *blur* of the picture is read off the widest cracks in it, where edges alone show it.
2. Where a crack is wider than about two blur widths, its width and its darkness are both fitted.
3. Where it is narrower, its darkness comes from the wider stretches of the same crack, else of the picture, else from
   the prior of `fissura.measure.profile`; the width is the missing light over that darkness.
4. Where no dip stands out (worn edges, shadow, a filled crack), where the crack is wider than its profiles, or where
   it reaches the picture's border, the mask's orthogonal width stands in, with its own larger error. Near junctions
   the profile would cross the other branch: widths are carried over from outside.
5. A bridged gap has the widths of the two ends that it joins, and the mask's share of error: nobody saw a width there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.measure.model import Branch, BranchWidths, CrackGraph, Points, Values
from fissura.measure.profile import ProfileFits, fit_profiles
from fissura.measure.profile_model import FitSettings
from fissura.types import RgbImage

STRETCH_PX = 20.0
"""Length of crack over which profiles are averaged."""
_HOP_PX = 10.0
_HALF_LENGTHS = (14, 20, 30, 48, 80, 140)
_BLUR_VOTES = 48
_DARK = 0.5  # in a large raster, what keeps half of its light is more likely a shadow or a patch and teaches nothing
_RESOLVED = 2.5  # blur widths from which a darkness is seen at all
_WELL_RESOLVED = 4.0  # blur widths from which it needs no help from other stretches
_FREE_SPREAD = 0.35
_KNOWN_SPREAD = 0.06
_STRETCH_INFLATION = 8.0
# Calibrated on drawn cracks (benchmarks/drawn_cracks.py): factor on the fit's own error, pixels, and share of the width
# that bends and tapering walls add.
_SIGMA = (1.1, 0.05, 0.008)
_MASK_SIGMA = (0.7, 0.2)  # error of a mask's width: pixels, and share of the width
_MIN_FOR_BLUR = 3
_STEPS = 1024  # of a pixel, to which the places of samples are rounded

Profile = npt.NDArray[np.float64]
"""Grey values across a crack, shape (2 half + 1,), a pixel apart."""
SAMPLE_MARGIN_PX = 4
"""Pixels beyond the ends of a profile that its interpolation may touch, with room for rounding."""


@dataclass(frozen=True, eq=False)
class Stretches:
    """Where profiles are averaged, one stretch of crack a row; shape (N,) each, by ascending branch.

    Attributes:
        branch: Index of the branch.
        middle: Index of the stretch's middle point in it.
        crack: The branch's `crack_id`.
        mask_width: Median width of the mask, pixels.
        half: Samples of the profile on each side of the centreline, a pixel apart.
        first: Index of the first point that is averaged.
        last: Index after the last one.
    """

    branch: npt.NDArray[np.intp]
    middle: npt.NDArray[np.intp]
    crack: npt.NDArray[np.intp]
    mask_width: Values
    half: npt.NDArray[np.intp]
    first: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.branch)

    def take(self, rows: npt.NDArray[np.intp]) -> Stretches:
        """Some of the stretches, in the order of `rows`."""
        return Stretches(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class WidthReport:
    """Widths of all branches, and what was found out about the picture on the way.

    Attributes:
        branches: In the order of the graph's branches.
        blur_px: Standard deviation of the picture's blur, or None where no crack was wide enough to show it.
        darkness: Share of the light missing inside resolved cracks, median, or None.
    """

    branches: tuple[BranchWidths, ...]
    blur_px: float | None
    darkness: float | None


def mask_widths(graph: CrackGraph) -> WidthReport:
    """Widths by the mask alone, where there is no picture. Labels are often wider than cracks; the error says so."""
    return WidthReport(tuple(_from_mask(branch) for branch in graph.branches), None, None)


def measure_widths(graph: CrackGraph, rgb: RgbImage, *, blur_px: float | None = None) -> WidthReport:
    """Width at every point of every branch.

    Args:
        graph: Centrelines of the picture.
        rgb: Shape (H, W, 3) uint8, or (H, W) grey.
        blur_px: Standard deviation of the blur if it is known.
    Raises:
        GeometryError: The picture has another size than the graph.
    """
    if rgb.shape[:2] != graph.size_hw:
        raise GeometryError(
            f"the picture is {rgb.shape[1]}x{rgb.shape[0]} and the graph was traced on "
            f"{graph.size_hw[1]}x{graph.size_hw[0]}; both must have one size"
        )
    stretches = plan_stretches(graph)
    return fit_widths(graph, stretches, average_profiles(rgb, graph, stretches), blur_px=blur_px)


def fit_widths(
    graph: CrackGraph, stretches: Stretches, profiles: Sequence[Profile], *, blur_px: float | None = None
) -> WidthReport:
    """Width at every point of every branch from the averaged profiles of all stretches.

    Args:
        graph: Centrelines of the picture.
        stretches: All of `plan_stretches`: the wide ones tell what the narrow ones are judged with.
        profiles: One for each stretch, of `average_profiles`.
        blur_px: Standard deviation of the blur if it is known.
    """
    if not len(stretches):
        return mask_widths(graph)
    blur = blur_px if blur_px is not None else _estimate_blur(profiles, stretches)
    settings = FitSettings(blur, None, _FREE_SPREAD, reach_px=2, noise_inflation=_STRETCH_INFLATION)
    free = _fit(profiles, stretches, settings)
    fits, overall = _fit_narrow(profiles, stretches, free, blur)
    inside = _inside_picture(graph, stretches, np.maximum(stretches.mask_width, fits.width_px))
    seen = inside & _plausible(stretches, fits)
    starts = np.searchsorted(stretches.branch, np.arange(len(graph.branches) + 1))
    rows = [
        _along(branch, np.arange(starts[i], starts[i + 1]), stretches, fits, seen)
        for i, branch in enumerate(graph.branches)
    ]
    return WidthReport(_across_gaps(graph, rows), blur, overall)


def _from_mask(branch: Branch) -> BranchWidths:
    n = len(branch.points_rc)
    sigma = np.hypot(_MASK_SIGMA[0], _MASK_SIGMA[1] * branch.mask_width_px)
    return BranchWidths(branch.mask_width_px, sigma, np.zeros(n, np.bool_), branch.mask_width_px < 2.0)


def _normals(branch: Branch) -> Points:
    """Unit normals, shape (N, 2), of the centreline smoothed over a few pixels."""
    points = branch.points_rc
    step = branch.length_px / (len(points) - 1)
    reach = max(1, round(4.0 / max(step, 1e-6)))
    index = np.arange(len(points))
    tangent = points[np.minimum(index + reach, len(points) - 1)] - points[np.maximum(index - reach, 0)]
    size = np.linalg.norm(tangent, axis=1, keepdims=True)
    tangent = np.where(size > 1e-9, tangent / np.maximum(size, 1e-9), np.array([[0.0, 1.0]]))
    return np.column_stack([-tangent[:, 1], tangent[:, 0]])


def plan_stretches(graph: CrackGraph) -> Stretches:
    """Stretches of every branch but the bridged ones, clear of junctions where the branch is long enough."""
    degree = graph.degree()
    rows: list[tuple[int, int, int, float, int, int, int]] = []
    for i, branch in enumerate(graph.branches):
        if branch.bridged:
            continue
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(branch.points_rc, axis=0), axis=1))])
        width = float(np.median(branch.mask_width_px))
        start, stop = 0.0, float(along[-1])
        clear = 0.5 * width + 6.0
        if not branch.is_loop:
            if degree[branch.nodes[0]] > 2 and stop - start > 3 * clear:
                start += clear
            if degree[branch.nodes[1]] > 2 and stop - start > 3 * clear:
                stop -= clear
        count = max(1, round((stop - start - STRETCH_PX) / _HOP_PX) + 1)
        middles = np.linspace(start + STRETCH_PX / 2, stop - STRETCH_PX / 2, count)
        if stop - start < STRETCH_PX:
            middles = np.array([(start + stop) / 2])
        for middle in middles:
            first, last = np.searchsorted(along, [middle - STRETCH_PX / 2, middle + STRETCH_PX / 2])
            last = min(max(int(last), int(first) + 1), len(along))
            local = float(np.median(branch.mask_width_px[first:last]))
            need = local / 2 + 11
            half = next((h for h in _HALF_LENGTHS if h >= need), _HALF_LENGTHS[-1])
            at = int(np.clip(np.searchsorted(along, middle), 0, len(along) - 1))
            rows.append((i, at, branch.crack_id, local, half, int(first), last))
    columns = list(zip(*rows, strict=True)) or [()] * 7
    ints = [np.array(column, np.intp) for column in (*columns[:3], *columns[4:])]
    return Stretches(ints[0], ints[1], ints[2], np.array(columns[3], np.float64), *ints[3:])


def average_profiles(
    rgb: RgbImage, graph: CrackGraph, stretches: Stretches, *, origin_rc: tuple[int, int] = (0, 0)
) -> list[Profile]:
    """One averaged profile for each stretch, shape (2 half + 1,): the same from every window that holds it.

    Args:
        rgb: The picture or a window of it, (H, W, 3) or (H, W) uint8. Around the points of every stretch it reaches
            `half` + `SAMPLE_MARGIN_PX` pixels or up to the picture's border, where it is mirrored.
        graph: Centrelines of the whole picture.
        stretches: Those that lie in the window.
        origin_rc: Row and column of the window's first pixel in the picture.
    """
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if rgb.ndim == 3 else rgb, np.uint8)
    normals = {int(i): _normals(graph.branches[i]) for i in np.unique(stretches.branch)}
    profiles: list[Profile] = [np.empty(0)] * len(stretches)
    for half in np.unique(stretches.half):
        members = np.flatnonzero(stretches.half == half)
        # Neighbouring stretches share their profiles: each point is sampled once.
        wanted: dict[int, npt.NDArray[np.bool_]] = {}
        for k in members:
            i = int(stretches.branch[k])
            used = wanted.setdefault(i, np.zeros(len(graph.branches[i].points_rc), np.bool_))
            used[stretches.first[k] : stretches.last[k]] = True
        points = np.concatenate([graph.branches[i].points_rc[used] for i, used in wanted.items()])
        across = np.concatenate([normals[i][used] for i, used in wanted.items()])
        samples = _sample(grey, points, across, int(half), origin_rc)
        slots: dict[int, tuple[int, npt.NDArray[np.intp]]] = {}
        base = 0
        for i, used in wanted.items():
            slots[i] = (base, np.cumsum(used) - 1)
            base += int(used.sum())
        for k in members:
            start, position = slots[int(stretches.branch[k])]
            first, last = start + position[stretches.first[k]], start + position[stretches.last[k] - 1] + 1
            profiles[k] = _aligned_mean(samples[first:last], float(stretches.mask_width[k]))
    return profiles


def _sample(
    grey: npt.NDArray[np.uint8], points: Points, across: Points, half: int, origin_rc: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Grey values along the normals, shape (N, 2 half + 1); the picture is mirrored at its border."""
    offsets = np.arange(-half, half + 1)
    # OpenCV never returns from mirroring a picture that is one pixel wide or high.
    border = cv2.BORDER_REFLECT_101 if min(grey.shape) > 1 else cv2.BORDER_REPLICATE
    out = np.empty((len(points), len(offsets)), np.float32)
    for top in range(0, len(points), 8192):  # OpenCV's remap takes at most 32767 rows
        rows = slice(top, top + 8192)
        # Rounded to what single precision holds exactly, so that a window gives what the whole picture gives.
        r, c = (
            np.rint((points[rows, k : k + 1] + across[rows, k : k + 1] * offsets) * _STEPS) / _STEPS - origin_rc[k]
            for k in (0, 1)
        )
        out[rows] = cv2.remap(
            grey, c.astype(np.float32), r.astype(np.float32), cv2.INTER_CUBIC, borderMode=border
        )
    return out


def _aligned_mean(samples: npt.NDArray[np.float32], mask_width: float) -> Profile:
    """Mean profile of a stretch, each shifted so that the dark line does not wander under the mean.

    The shift of a profile is the centroid of its missing light near the middle, smoothed along the crack: the
    line is smooth, the grain is not.
    """
    n, length = samples.shape
    half = length // 2
    reach = min(int(np.ceil(mask_width / 2 + 3)), half)
    core = samples[:, half - reach : half + reach + 1].astype(np.float64)
    light = np.percentile(core, 80, axis=1, keepdims=True)
    # Cubed, so that the dark line outweighs the grain, which is little but everywhere and would hold the centroid back.
    missing = np.maximum(light - core, 0) ** 3
    offsets = np.arange(-reach, reach + 1)
    mass = missing.sum(1)
    window = np.ones(min(7, n))
    shift = np.convolve(missing @ offsets, window, "same") / np.maximum(np.convolve(mass, window, "same"), 1e-6)
    shift = np.clip(shift, -reach / 2, reach / 2)
    at = np.clip(np.arange(length)[None] + shift[:, None], 0, length - 1)
    low = np.minimum(at.astype(np.intp), length - 2)
    share = at - low
    rows = np.arange(n)[:, None]
    aligned = samples[rows, low] * (1 - share) + samples[rows, low + 1] * share
    return np.asarray(aligned.mean(axis=0), np.float64)


def _fit(profiles: Sequence[Profile], stretches: Stretches, settings: FitSettings) -> ProfileFits:
    """Fit all stretches, those of one length together."""
    names = ("width_px", "sigma_px", "contrast", "ok", "below_blur", "darkness", "blur_px", "centre_px")
    n = len(profiles)
    flags = ("ok", "below_blur")
    out: dict[str, Any] = {name: np.zeros(n, np.bool_ if name in flags else np.float64) for name in names}
    for half in np.unique(stretches.half):
        members = np.flatnonzero(stretches.half == half)
        fits = fit_profiles(
            np.stack([profiles[int(k)] for k in members]), settings, mask_width_px=stretches.mask_width[members]
        )
        for name in names:
            out[name][members] = getattr(fits, name)
    out["ok"] &= stretches.mask_width / 2 < stretches.half  # else the profile lies within the crack
    out["sigma_px"] = np.sqrt(
        (_SIGMA[0] * out["sigma_px"]) ** 2 + _SIGMA[1] ** 2 + (_SIGMA[2] * out["width_px"]) ** 2
    )
    return ProfileFits(**out)


def _estimate_blur(profiles: Sequence[Profile], stretches: Stretches) -> float | None:
    """Blur of the picture from its widest cracks; ragged walls only add to it, so a low quantile is taken.

    In a large raster the very widest finds are shadows and edges of patches, which are softer than cracks: there more
    stretches vote, and a lower quantile counts.
    """
    count = min(max(len(profiles) // 8, _BLUR_VOTES), 10 * _BLUR_VOTES)
    order = np.argsort(-stretches.mask_width, kind="stable")[:count]
    settings = FitSettings(None, None, _FREE_SPREAD, reach_px=2, noise_inflation=_STRETCH_INFLATION)
    fits = _fit([profiles[k] for k in order], stretches.take(order), settings)
    clear = fits.ok & (fits.width_px > 4 * fits.blur_px)
    if count > _BLUR_VOTES and (clear & (fits.darkness > _DARK)).sum() >= _MIN_FOR_BLUR:
        clear &= fits.darkness > _DARK
    if clear.sum() < _MIN_FOR_BLUR:
        return None
    # The alignment's interpolation is part of it, as it is in every other profile.
    return float(np.quantile(fits.blur_px[clear], 0.35 if count == _BLUR_VOTES else 0.2))


def _fit_narrow(
    profiles: Sequence[Profile], stretches: Stretches, free: ProfileFits, blur: float | None
) -> tuple[ProfileFits, float | None]:
    """Fit again what is not well resolved, with the darkness of the crack's, else the picture's wider stretches."""
    widths_of_blur = np.where(free.ok & (free.darkness > 0.1), free.width_px / free.blur_px, 0)
    well = widths_of_blur > _WELL_RESOLVED
    # Moderately wide stretches speak where no wide one does.
    teachers = well if well.any() else widths_of_blur > _RESOLVED
    dark = teachers & (free.darkness > _DARK)
    if dark.sum() >= _MIN_FOR_BLUR and len(profiles) > 8 * _BLUR_VOTES:
        teachers = dark
    overall = float(np.median(free.darkness[teachers])) if teachers.any() else None
    taught = _darkness_by_crack(stretches.crack[teachers], free.darkness[teachers])
    groups: dict[float | None, list[int]] = {}
    for k in np.flatnonzero(~well):
        known = taught.get(int(stretches.crack[k]), overall)
        groups.setdefault(None if known is None else round(known, 2), []).append(int(k))
    merged = {name: getattr(free, name).copy() for name in free.__dataclass_fields__}
    for known, members in groups.items():
        spread = FitSettings().darkness_spread if known is None else _KNOWN_SPREAD
        settings = FitSettings(blur, known, spread, reach_px=2, noise_inflation=_STRETCH_INFLATION)
        fits = _fit([profiles[k] for k in members], stretches.take(np.array(members)), settings)
        for name, column in merged.items():
            column[members] = getattr(fits, name)
    return ProfileFits(**merged), overall


def _darkness_by_crack(crack: npt.NDArray[np.intp], darkness: Values) -> dict[int, float]:
    """Median darkness of each crack that has any."""
    order = np.argsort(crack, kind="stable")
    ids, starts = np.unique(crack[order], return_index=True)
    parts = np.split(darkness[order], starts)[1:]
    return {int(i): float(np.median(part)) for i, part in zip(ids, parts, strict=True)}


def _along(
    branch: Branch, rows: npt.NDArray[np.intp], stretches: Stretches, fits: ProfileFits, seen: npt.NDArray[np.bool_]
) -> BranchWidths:
    """Widths of the stretches of a branch, carried to its points; of those not `seen` the mask's."""
    fallback = _from_mask(branch)
    good = rows[seen[rows]]
    if not len(good):
        return fallback
    at = stretches.middle[good].astype(np.float64)
    index = np.arange(len(branch.points_rc))
    width = np.interp(index, at, fits.width_px[good])
    sigma = np.interp(index, at, fits.sigma_px[good])
    below = np.interp(index, at, fits.below_blur[good].astype(np.float64)) > 0.5
    bad = np.setdiff1d(rows, good)
    from_grey = np.ones(len(index), np.bool_)
    for k in bad:
        part = slice(int(stretches.first[k]), int(stretches.last[k]))
        near = np.abs(index[part, None] - at[None]).min(axis=1) > STRETCH_PX
        chosen = index[part][near]
        from_grey[chosen] = False
        width[chosen], sigma[chosen] = fallback.width_px[chosen], fallback.sigma_px[chosen]
        below[chosen] = fallback.below_blur[chosen]
    return BranchWidths(width, sigma, from_grey, below)


def _across_gaps(graph: CrackGraph, rows: Sequence[BranchWidths]) -> tuple[BranchWidths, ...]:
    """The widths of all branches, those of bridged ones between the widths of the branches that they join."""
    ends: dict[int, list[tuple[float, float, float]]] = {}
    bridged = [i for i, branch in enumerate(graph.branches) if branch.bridged]
    joined = {node for i in bridged for node in graph.branches[i].nodes}
    for branch, row in zip(graph.branches, rows, strict=True):
        if not branch.bridged and not joined.isdisjoint(branch.nodes):
            for node, end in zip(branch.nodes, _ends(branch, row), strict=True):
                ends.setdefault(node, []).append(end)
    out = list(rows)
    for i in bridged:
        known = [max(ends[node]) if node in ends else None for node in graph.branches[i].nodes]
        start, stop = known[0] or known[1], known[1] or known[0]
        if start is not None and stop is not None:
            out[i] = _between(len(graph.branches[i].points_rc), start, stop)
    return tuple(out)


def _ends(branch: Branch, row: BranchWidths) -> Iterator[tuple[float, float, float]]:
    """Width, error and whether it is below the blur, 0 or 1, at the first end of a branch and at the last."""
    steps = np.linalg.norm(np.diff(branch.points_rc, axis=0), axis=1)
    count = max(2, round(STRETCH_PX / max(float(steps.mean()), 1e-6)))
    mean = float(np.average((row.width_px[:-1] + row.width_px[1:]) / 2, weights=steps if steps.sum() > 0 else None))
    for part in (slice(None, count), slice(-count, None)):
        # At most the mean, so that no gap is rated above the branches beside it, whichever statistic the rules take.
        width = min(float(np.median(row.width_px[part])), mean)
        yield width, float(np.median(row.sigma_px[part])), float(np.mean(row.below_blur[part]))


def _between(n: int, start: tuple[float, float, float], stop: tuple[float, float, float]) -> BranchWidths:
    """Widths at `n` points from one end's to the other's; the error is larger than at either end."""
    width, sigma, below = (np.linspace(a, b, n) for a, b in zip(start, stop, strict=True))
    # As large a share as that of a mask's width, and as far as either end may go on.
    unseen = np.hypot(_MASK_SIGMA[1] * width, abs(stop[0] - start[0]) / 2)
    error = np.hypot(np.maximum(sigma, max(start[1], stop[1])), unseen)
    return BranchWidths(width, error, np.zeros(n, np.bool_), below > 0.5)


def _plausible(stretches: Stretches, fits: ProfileFits) -> npt.NDArray[np.bool_]:
    """Whether the grey values are to be believed, rather than the mask.

    The dip must stand out and must not be wildly wider than the mask, which would be a shadow or the edge of a
    marking, nor a fraction of it, which would be one dark seam in a wide crack full of gravel. Where the mask is too
    narrow to say anything, what little light is missing still says more than it does.
    """
    width, mask_width = fits.width_px, stretches.mask_width
    sane = (width < 2.0 * mask_width + 4.0) & (width > 0.2 * mask_width - 1.0)
    return np.asarray(sane & (fits.ok | (mask_width < _RESOLVED * fits.blur_px + 1.0)), np.bool_)


def _inside_picture(graph: CrackGraph, stretches: Stretches, width: Values) -> npt.NDArray[np.bool_]:
    """Whether a dip of this width shows both of its edges, shape (N,): mirrored at the border it would seem wider."""
    normals = {int(i): _normals(graph.branches[i]) for i in np.unique(stretches.branch)}
    last_rc = np.array(graph.size_hw) - 1.0
    inside = np.empty(len(stretches), np.bool_)
    for k, i in enumerate(stretches.branch):
        part = slice(int(stretches.first[k]), int(stretches.last[k]))
        points, half = graph.branches[i].points_rc[part], width[k] / 2 * np.abs(normals[int(i)][part])
        # Most points decide: where a crack ends at the border only its last ones lie on it.
        inside[k] = np.mean(np.all((points > half) & (points + half < last_rc), axis=1)) > 0.5
    return inside
