"""`measure_cracks`: from a crack mask to measured, classified cracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from fissura.errors import SettingsError
from fissura.geo.scale import GroundScale
from fissura.measure.alligator import AlligatorField, AlligatorOptions, find_alligator
from fissura.measure.axis import ground_direction_deg
from fissura.measure.classify import BranchClass, ClassOptions, classify_branches
from fissura.measure.graph import TraceOptions, trace_cracks
from fissura.measure.layout import RoadLayout, assign_zone
from fissura.measure.model import Branch, BranchWidths, Crack, CrackArea, CrackGraph, Points, Values
from fissura.measure.rules import RuleSet
from fissura.measure.simplify import simplify_line
from fissura.measure.widths import STRETCH_PX, WidthReport, mask_widths, measure_widths
from fissura.spec import ConfidenceCurve
from fissura.types import BoolMask, Probability, RgbImage


@dataclass(frozen=True)
class MeasureOptions:
    """What is known of the scene, and the rules.

    Attributes:
        road_direction_deg: As seen in the picture, counter-clockwise from its right; None if there is no road.
        road_direction_at: The same at points (row, column), shape (N, 2) to (N,), where the road bends; goes before.
        lane_width_m: For complete and partial transverse cracks.
        layout: Lane for zones; needs a scale.
        rules: Severities; None for none.
        blur_px: Standard deviation of the picture's blur if it is known; else it is estimated.
        tolerance_px: How far a reported polyline may be from the traced centreline.
        trace: Rules of tracing.
        classes: Limits between the kinds; the rule set's angles go before.
        alligator: Limits of alligator fields.
        confidence: The network's; None takes the mean probability along a crack as it is.
    """

    road_direction_deg: float | None = None
    road_direction_at: Callable[[Points], Values] | None = None
    lane_width_m: float | None = None
    layout: RoadLayout | None = None
    rules: RuleSet | None = None
    blur_px: float | None = None
    tolerance_px: float = 0.5
    trace: TraceOptions = field(default_factory=TraceOptions)
    classes: ClassOptions = field(default_factory=ClassOptions)
    alligator: AlligatorOptions = field(default_factory=AlligatorOptions)
    confidence: ConfidenceCurve | None = None

    def __post_init__(self) -> None:
        if self.tolerance_px < 0:
            raise SettingsError(f"tolerance_px is {self.tolerance_px}; give 0 or more")


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured in one picture.

    Attributes:
        cracks: One for each branch, longest crack first.
        areas: Alligator fields.
        graph: The centrelines; ``graph.branches[order[i]]`` belongs to ``cracks[i]``.
        order: See above.
        widths: Of every branch of the graph, and the picture's blur.
        scale: As given.
    """

    cracks: tuple[Crack, ...]
    areas: tuple[CrackArea, ...]
    graph: CrackGraph
    order: tuple[int, ...]
    widths: WidthReport
    scale: GroundScale | None

    @property
    def length(self) -> float:
        """Of all cracks, in millimetres, or pixels without a scale."""
        return sum(crack.length for crack in self.cracks)


def measure_cracks(
    mask: BoolMask,
    *,
    rgb: RgbImage | None = None,
    probability: Probability | None = None,
    scale: GroundScale | None = None,
    options: MeasureOptions | None = None,
) -> Measurement:
    """Measure the cracks of a mask.

    Args:
        mask: Shape (H, W), True is crack.
        rgb: The picture, shape (H, W, 3); without it widths come from the mask alone and say so.
        probability: Shape (H, W), 0 to 1; decides over gaps, and gives each crack its confidence.
        scale: Pixels to millimetres; without it everything is in pixels.
        options: Road, rules, tracing.
    Returns:
        Cracks, alligator fields, and what they were made from.
    Raises:
        GeometryError: Arrays of other shapes or types than these.
        SettingsError: Options that do not fit together.

    >>> import numpy as np
    >>> mask = np.zeros((60, 200), bool)
    >>> mask[28:33, 20:181] = True
    >>> found = measure_cracks(mask, scale=GroundScale.uniform(2.0))
    >>> [(round(c.length), round(c.width_mean, 1)) for c in found.cracks]
    [(322, 10.0)]
    """
    options = options or MeasureOptions()
    graph = trace_cracks(mask, probability=probability, options=options.trace)
    return measure_graph(graph, rgb=rgb, scale=scale, options=options, known_probability=probability is not None)


def measure_graph(
    graph: CrackGraph,
    *,
    rgb: RgbImage | None = None,
    scale: GroundScale | None = None,
    options: MeasureOptions | None = None,
    widths: WidthReport | None = None,
    known_probability: bool = True,
) -> Measurement:
    """Measure centrelines that were traced before, for example tile by tile. See `measure_cracks`.

    Args:
        graph: The centrelines.
        rgb: The picture they were traced on.
        scale: Pixels to millimetres.
        options: Road and rules.
        widths: If they are measured already; ``rgb`` is then not needed.
        known_probability: Whether the graph's probabilities mean something.
    """
    options = options or MeasureOptions()
    if widths is None:
        widths = mask_widths(graph) if rgb is None else measure_widths(graph, rgb, blur_px=options.blur_px)
    fields = find_alligator(graph, widths.branches, scale, options.alligator)
    classes = _classify(graph, scale, fields, options)
    cracks = [
        _crack(branch, measured, scale, options, known_probability)
        for branch, measured in zip(graph.branches, widths.branches, strict=True)
    ]
    crack_of = _number_cracks(graph, cracks)
    order = sorted(range(len(graph.branches)), key=lambda i: (crack_of[graph.branches[i].crack_id], i))
    rows, field_of = [], {i: k for k, f in enumerate(fields, start=1) for i in f.branches}
    for number, i in enumerate(order, start=1):
        rows.append(replace(
            cracks[i], id=number, crack_id=crack_of[graph.branches[i].crack_id], kind=classes[i].kind,
            extent=classes[i].extent, orientation_deg=classes[i].orientation_deg, away_deg=classes[i].away_deg,
            away_straightness=classes[i].away_straightness, area_id=field_of.get(i, 0),
        ))  # fmt: skip
    of_branch = dict(zip(order, rows, strict=True))
    areas = tuple(_area(k, f, [of_branch[i] for i in f.branches], options.rules) for k, f in enumerate(fields, start=1))
    severities = {i: area.severity for f, area in zip(fields, areas, strict=True) for i in f.branches}
    rated = tuple(_rate(crack, scale, options, severities.get(i)) for crack, i in zip(rows, order, strict=True))
    return Measurement(rated, areas, graph, tuple(order), widths, scale)


def _classify(
    graph: CrackGraph, scale: GroundScale | None, fields: Sequence[AlligatorField], options: MeasureOptions
) -> list[BranchClass]:
    road: float | list[float] | None = options.road_direction_deg
    if options.road_direction_at is not None and graph.branches:
        middles = np.array([branch.points_rc[len(branch.points_rc) // 2] for branch in graph.branches])
        seen = options.road_direction_at(middles)
        road = [ground_direction_deg(float(d), scale, (m[0], m[1])) for d, m in zip(seen, middles, strict=True)]
    elif options.road_direction_deg is not None:
        middle = ((graph.size_hw[0] - 1) / 2, (graph.size_hw[1] - 1) / 2)
        road = ground_direction_deg(options.road_direction_deg, scale, middle)
    limits = options.classes if options.rules is None else replace(options.classes, angles=options.rules.angles)
    return classify_branches(
        graph, scale, road_direction_deg=road, lane_width_m=options.lane_width_m, fields=fields, options=limits
    )


def _number_cracks(graph: CrackGraph, cracks: Sequence[Crack]) -> dict[int, int]:
    """Numbers from 1 for the graph's crack ids, the longest crack first, on the ground where there is a scale."""
    lengths: dict[int, float] = {}
    for branch, crack in zip(graph.branches, cracks, strict=True):
        lengths[branch.crack_id] = lengths.get(branch.crack_id, 0.0) + crack.length
    ranked = sorted(lengths, key=lambda k: (-lengths[k], k))
    return {crack_id: number for number, crack_id in enumerate(ranked, start=1)}


def _crack(
    branch: Branch, widths: BranchWidths, scale: GroundScale | None, options: MeasureOptions, known: bool
) -> Crack:
    """A branch with everything but its class and severity."""
    points = branch.points_rc
    steps_px = np.linalg.norm(np.diff(points, axis=0), axis=1)
    if scale is None:
        steps, gsd = steps_px, float("nan")
    else:
        steps = np.linalg.norm(np.diff(scale.to_ground(points), axis=0), axis=1)
        gsd = float(np.average(scale.gsd_mm(points), weights=_shares(steps_px)))
    share, per_px = _shares(steps), width_per_px(points, scale)
    width, sigma = widths.width_px * per_px, widths.sigma_px * per_px
    mean = float(np.average(width, weights=share))
    p50, p95 = _quantiles(width, share, (0.5, 0.95))
    # Stretches are independent, points within one are not.
    stretches = max(1.0, float(steps_px.sum()) / STRETCH_PX)
    error = float(np.average(sigma, weights=share)) / np.sqrt(stretches)
    # Darkness and blur are common to all of them: averaging does not take that part away.
    error = float(np.hypot(error, 0.3 * np.average(sigma, weights=share)))
    scale_error = 0.0 if scale is None else scale.sigma * mean
    below = bool(np.average(widths.below_blur, weights=share) > 0.5)
    return Crack(
        id=0, crack_id=0, points_rc=simplify_line(points, options.tolerance_px), orientation_deg=0.0,
        length=float(steps.sum()), width_mean=mean, width_median=p50, width_p95=p95,
        width_max=_widest_stretch(width, steps_px), width_sigma=float(np.hypot(error, scale_error)),
        gsd_mm=gsd, below_gsd=below, confidence=branch_confidence(branch, options.confidence) if known else 1.0,
        scaled=scale is not None, bridged_share=float(branch.bridged),
        notes=_notes(widths, share, below, bridged=branch.bridged),
    )  # fmt: skip


def branch_confidence(branch: Branch, curve: ConfidenceCurve | None) -> float:
    """How probable it is that a branch is a crack, 0 to 1; without a curve the mean probability along it."""
    steps_px = np.linalg.norm(np.diff(branch.points_rc, axis=0), axis=1)
    mean = float(np.average(branch.probability, weights=_shares(steps_px)))
    return mean if curve is None else curve(mean, float(steps_px.sum()))


def _notes(widths: BranchWidths, share: Values, below: bool, *, bridged: bool) -> tuple[str, ...]:
    notes = []
    if below:
        notes.append("too narrow to see its width: width from missing light")
    grey = float(np.average(widths.from_grey, weights=share))
    if grey < 0.5:
        notes.append("width from the ends that the gap joins" if bridged else "width from the mask")
    return tuple(notes)


def width_per_px(points_rc: Points, scale: GroundScale | None) -> Values:
    """Millimetres for each pixel of width at the points of a centreline, shape (N,); 1 without a scale."""
    if scale is None:
        return np.ones(len(points_rc))
    index = np.arange(len(points_rc))
    ahead, behind = np.minimum(index + 4, len(points_rc) - 1), np.maximum(index - 4, 0)
    return scale.across(points_rc, points_rc[ahead] - points_rc[behind])


def _shares(steps: Values) -> Values:
    """Length that each point stands for: half of the steps on its sides."""
    half = steps / 2
    share = np.concatenate([half, [0.0]]) + np.concatenate([[0.0], half])
    return np.asarray(share if share.sum() > 0 else np.ones(len(share)), np.float64)


def _quantiles(values: Values, weights: Values, at: Sequence[float]) -> list[float]:
    order = np.argsort(values, kind="stable")
    reached = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    return [float(np.interp(q, reached, values[order])) for q in at]


def stretch_windows(steps_px: Values) -> tuple[npt.NDArray[np.intp], int]:
    """Stretches of `STRETCH_PX` along a branch, a quarter of one apart, over which the largest width is sought.

    Args:
        steps_px: Distances between neighbouring points, shape (N - 1,).
    Returns:
        First point of each stretch, and how many points a stretch has; the whole branch where it is shorter.
    """
    points = len(steps_px) + 1
    n = min(max(1, round(STRETCH_PX / max(float(steps_px.mean()), 1e-6))), points)
    return np.arange(0, points - n + 1, max(1, n // 4), dtype=np.intp), n


def stretch_medians(values: Values, starts: npt.NDArray[np.intp], n: int) -> Values:
    """Median over each stretch of `stretch_windows`, shape (len(starts),)."""
    windows = np.lib.stride_tricks.sliding_window_view(values, n)[starts]
    return np.asarray(np.median(windows, axis=1), np.float64)


def _widest_stretch(width: Values, steps_px: Values) -> float:
    """The largest median over a stretch of `STRETCH_PX`."""
    return float(stretch_medians(width, *stretch_windows(steps_px)).max())


def _area(number: int, found: AlligatorField, cracks: Sequence[Crack], rules: RuleSet | None) -> CrackArea:
    level = ""
    if rules is not None and found.scaled:
        level = rules.severity("alligator", _field_width(found, cracks, rules))
    return CrackArea(
        number, found.outline_rc, found.area, found.crack_length, found.width_mean, level,
        rules.name if rules is not None else "", found.scaled,
    )  # fmt: skip


def _field_width(found: AlligatorField, cracks: Sequence[Crack], rules: RuleSet) -> float:
    """The width of a field that the rules look at: the widest of its cracks' maxima, else the mean by length."""
    if rules.width_statistic == "mean":
        return found.width_mean
    widths = [rules.width_of(crack) for crack in cracks]
    if rules.width_statistic == "max":
        return max(widths)
    return float(np.average(widths, weights=[crack.length for crack in cracks]))


def _rate(crack: Crack, scale: GroundScale | None, options: MeasureOptions, of_field: str | None) -> Crack:
    """Severity and zone. Without millimetres no rule says anything."""
    rules = options.rules
    if rules is None or scale is None:
        return crack
    level = rules.severity(crack.kind, rules.width_of(crack)) if of_field is None else of_field
    zone = ""
    if options.layout is not None and rules.zones:
        zone = assign_zone(crack.points_rc, scale, options.layout, rules.zones)
    return replace(crack, severity=level, standard=rules.name, zone=zone)
