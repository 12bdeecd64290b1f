"""Sums of cracking for each section and lane zone: the crack contribution to a pavement's condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fissura.errors import GeometryError, SettingsError
from fissura.geo.scale import GroundScale
from fissura.measure.layout import OUTSIDE, RoadLayout, area_shares, assign_zone, line_shares
from fissura.measure.model import Crack, CrackArea
from fissura.measure.rules import KINDS, RuleSet, Zone

__all__ = [
    "LIMITS",
    "OUTSIDE",
    "TITLE",
    "CrackSummary",
    "RoadLayout",
    "SummaryRow",
    "assign_zone",
    "summarise",
]

TITLE = "crack contribution"
"""What the sums are called wherever they are shown."""

LIMITS = (
    "These sums are the crack contribution only. They are no pavement condition index (PCI) and no bridge rating: "
    "both need other distresses as well.",
    "Sealed cracks count as open ones.",
    "Severity follows from the width alone; spalling, faulting, pumping, loose pieces and cracking beside a crack are "
    "not seen.",
    "A crack counts as far as it lies in the picture; cracks in overlapping pictures count in each of them.",
)
"""Said with every summary."""


@dataclass(frozen=True)
class SummaryRow:
    """Sums of one section, zone, kind and severity.

    Attributes:
        section: ``0 to 10 m`` and so on, or empty.
        zone: Lane zone, or empty.
        kind: See `Crack.kind`.
        severity: By the rules, or empty.
        count: Cracks (as they hang together) with a part here; one that lies in two zones counts in both.
        length: Crack length, m or px.
        area: Of alligator fields, m² or square pixels.
        width_mean: Length-weighted, mm or px; NaN where there is no length.
    """

    section: str
    zone: str
    kind: str
    severity: str
    count: int
    length: float
    area: float
    width_mean: float


@dataclass(frozen=True)
class CrackSummary:
    """The crack contribution.

    Attributes:
        rows: By section, zone, kind and severity.
        length: Of all cracks that count, m or px.
        area: Of all alligator fields, m² or square pixels.
        cracks: Cracks that count, as they hang together.
        left_out: Branches that are no cracks by the rules, being too small.
        left_out_length: Their length, m or px.
        inspected_area_m2: As given.
        length_per_area: m of crack per m² inspected, or None.
        area_share: Alligator area per inspected area, or None.
        scaled: Metres if True, pixels if False.
        standard: Name of the rules, or empty.
        title: Always `TITLE`.
        limits: `LIMITS` and those of the rules.
    """

    rows: tuple[SummaryRow, ...]
    length: float
    area: float
    cracks: int
    left_out: int
    left_out_length: float
    inspected_area_m2: float | None
    length_per_area: float | None
    area_share: float | None
    scaled: bool
    standard: str
    title: str = TITLE
    limits: tuple[str, ...] = LIMITS


@dataclass
class _Sum:
    cracks: set[int] = field(default_factory=set)
    length: float = 0.0
    area: float = 0.0
    width_length: float = 0.0


def summarise(
    cracks: Sequence[Crack],
    areas: Sequence[CrackArea],
    rules: RuleSet | None,
    *,
    inspected_area_m2: float | None = None,
    scale: GroundScale | None = None,
    layout: RoadLayout | None = None,
) -> CrackSummary:
    """Sum cracks and fields by section, zone, kind and severity.

    A crack that crosses from one zone or section into the next is split at the border, in proportion to the length
    of its centreline on either side; fields likewise by area. Whether a crack reaches the rules' least length is
    decided on all its branches together, the least width on each.

    Args:
        cracks: As reported, with kind and severity. Those of a field should carry the field's severity.
        areas: Alligator fields.
        rules: Least sizes, zones and limits; None for none.
        inspected_area_m2: Ground area that was looked at.
        scale: Needed with a layout.
        layout: Sections and lane; without one, `Crack.zone` is taken as it is.
    Raises:
        GeometryError: Some rows are in millimetres and some in pixels.
        SettingsError: There is a layout but no scale, or an area that is not above 0.
    """
    scaled = {crack.scaled for crack in cracks} | {one.scaled for one in areas}
    if len(scaled) > 1:
        raise GeometryError("some cracks are in millimetres and some in pixels; summarise them apart")
    if layout is not None and scale is None:
        raise SettingsError("sections and lane zones are in metres, so they need a scale; give one or drop the layout")
    if inspected_area_m2 is not None and not (np.isfinite(inspected_area_m2) and inspected_area_m2 > 0):
        raise SettingsError(f"the inspected area is {inspected_area_m2} m²; it must be above 0, or None if unknown")
    in_metres = scaled == {True}
    unit = 1e-3 if in_metres else 1.0

    whole: dict[int, float] = {}
    for crack in cracks:
        whole[crack.crack_id] = whole.get(crack.crack_id, 0.0) + crack.length
    sums: dict[tuple[str, str, str, str], _Sum] = {}
    left_out = [c for c in cracks if rules and in_metres and not rules.counts(rules.width_of(c), whole[c.crack_id])]
    dropped = {id(crack) for crack in left_out}
    for crack in cracks:
        if id(crack) in dropped:
            continue
        for (section, zone), share in _crack_shares(crack, scale, layout, rules).items():
            entry = sums.setdefault((section, zone, crack.kind, crack.severity), _Sum())
            entry.cracks.add(crack.crack_id)
            entry.length += share * crack.length * unit
            entry.width_length += share * crack.length * unit * crack.width_mean
    for one in areas:
        for (section, zone), share in _area_shares(one, scale, layout, rules).items():
            sums.setdefault((section, zone, "alligator", one.severity), _Sum()).area += share * one.area

    length, area = sum(s.length for s in sums.values()), sum(s.area for s in sums.values())
    per_area = in_metres and inspected_area_m2 is not None
    return CrackSummary(
        rows=tuple(_row(key, sums[key]) for key in sorted(sums, key=lambda key: _order(key, rules))),
        length=length,
        area=area,
        cracks=len({crack.crack_id for crack in cracks if id(crack) not in dropped}),
        left_out=len(left_out),
        left_out_length=sum(crack.length for crack in left_out) * unit,
        inspected_area_m2=inspected_area_m2,
        length_per_area=length / inspected_area_m2 if per_area and inspected_area_m2 else None,
        area_share=area / inspected_area_m2 if per_area and inspected_area_m2 else None,
        scaled=in_metres,
        standard=rules.name if rules else "",
        limits=(*LIMITS, *(rules.limits if rules else ()), *(rules.proxies.values() if rules else ())),
    )


def _row(key: tuple[str, str, str, str], entry: _Sum) -> SummaryRow:
    width = entry.width_length / entry.length if entry.length > 0 else float("nan")
    return SummaryRow(*key, len(entry.cracks), entry.length, entry.area, width)


def _order(key: tuple[str, str, str, str], rules: RuleSet | None) -> tuple[float, str, int, int, int]:
    """Sections along the road, zones from left to right, kinds as in `KINDS`, severities from mild to severe."""
    section, zone, kind, severity = key
    zones = [known.name for known in rules.zones] if rules else []
    levels = [level.name for level in getattr(rules.levels, kind, ())] if rules else []
    return (
        float(section.split(" to ")[0]) if section else -np.inf,
        "" if zone in zones else zone,
        zones.index(zone) if zone in zones else len(zones),
        KINDS.index(kind) if kind in KINDS else len(KINDS),
        levels.index(severity) if severity in levels else len(levels),
    )


def _zones(kind: str, layout: RoadLayout, rules: RuleSet | None) -> Sequence[Zone]:
    return rules.zones if rules and layout.lane_width_m is not None and kind in rules.zoned_kinds else ()


def _crack_shares(
    crack: Crack, scale: GroundScale | None, layout: RoadLayout | None, rules: RuleSet | None
) -> dict[tuple[str, str], float]:
    if layout is None or scale is None:
        return {("", crack.zone): 1.0}
    return line_shares(crack.points_rc, scale, layout, _zones(crack.kind, layout, rules))


def _area_shares(
    one: CrackArea, scale: GroundScale | None, layout: RoadLayout | None, rules: RuleSet | None
) -> dict[tuple[str, str], float]:
    if layout is None or scale is None:
        return {("", ""): 1.0}
    return area_shares(one.outline_rc, scale, layout, _zones("alligator", layout, rules))
