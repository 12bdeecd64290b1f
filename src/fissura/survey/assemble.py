"""From the records of photos, videos and rasters to one `SurveyResult`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from shapely.geometry import LineString, Polygon

from fissura.geo.crs import choose_crs, to_crs, to_lonlat
from fissura.geo.route import Route
from fissura.measure.rules import RuleSet, width_thresholds
from fissura.measure.summary import LIMITS
from fissura.report.records import (
    GroundState,
    LonLat,
    SurveyArea,
    SurveyCrack,
    SurveyFrame,
    SurveyGround,
    SurveyResult,
    WidthSamples,
)
from fissura.report.sections import make_sections, with_chainage
from fissura.spec import ModelCard
from fissura.survey.ground_record import GroundRecord

_SURVEY_LIMITS = (
    *LIMITS[:3],
    "Photos that show the same ground are put together and each crack counts once; photos without a place, videos and "
    "rasters are measured each for themselves, so cracks that several of those show count several times.",
    "Ground is taken as flat: on slopes and beside walls lengths and places are less sure than stated.",
)
_LEAST_GAP_M2 = 1.0


@dataclass(eq=False)
class Findings:
    """What the stages of a run left behind.

    Attributes:
        frames: Of all inputs, failed ones too.
        grounds: Measured ground.
        tracks: Name of a flight and its camera positions, shape (N, 2).
        notes: For the user.
        seconds: By stage.
        complete: False if an input failed or ended early.
        stopped: An input ended early or the run was stopped, whatever failed beside.
    """

    frames: list[SurveyFrame] = field(default_factory=list)
    grounds: list[GroundRecord] = field(default_factory=list)
    tracks: list[tuple[str, LonLat]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    complete: bool = True
    stopped: bool = False


def assemble(
    found: Findings, *, title: str, folder: Path, card: ModelCard | None, rules: RuleSet | None, route: Route | None,
    section_length_m: float, settings: dict[str, Any], created_at: datetime | None,
) -> SurveyResult:  # fmt: skip
    """Everything that is reported.

    Args:
        found: By the stages.
        title: For people.
        folder: Of the run.
        card: Of the network; None if masks were given.
        rules: Severities.
        route: Reference line for chainage.
        section_length_m: Along the route.
        settings: Options of the run.
        created_at: When the report is made.
    """
    cracks, areas = _numbered(found.grounds)
    ground = [g for record in found.grounds for g in record.ground]
    crs = _crs(cracks, found)
    ground = _merge_states(ground) + (_unseen(found, ground, route, crs) if crs is not None else [])
    if route is not None:
        cracks, areas = with_chainage(cracks, areas, route)
    # Sections count once and in metres; what has no scale has no place in them.
    sections = make_sections(
        cracks, areas, route, section_length_m=section_length_m, rules=rules,
        inspected=[g for g in ground if g.state == "inspected"],
    )  # fmt: skip
    return SurveyResult(
        title, folder, found.frames, cracks, areas, sections, ground, found.tracks,
        None if route is None else route.lonlat, [r.mosaic for r in found.grounds if r.mosaic is not None],
        _widths(found.grounds), crs, card, "" if rules is None else rules.name,
        (*_SURVEY_LIMITS, *(() if rules is None else rules.limits)), width_thresholds(rules), settings,
        tuple(dict.fromkeys([*found.notes, *(n for r in found.grounds for n in r.notes)])),
        {k: round(v, 2) for k, v in found.seconds.items()}, created_at, found.complete, found.stopped,
    )  # fmt: skip


def _numbered(grounds: Sequence[GroundRecord]) -> tuple[list[SurveyCrack], list[SurveyArea]]:
    """All rows, numbered through."""
    cracks: list[SurveyCrack] = []
    areas: list[SurveyArea] = []
    whole = 0
    for record in grounds:
        first, area_first, last = len(cracks), len(areas), 0
        for crack in record.cracks:
            number, of = int(crack.fields["id"]), int(crack.fields["crack_id"])  # type: ignore[arg-type]
            last = max(last, of)
            cracks.append(replace(crack, fields={**crack.fields, "id": number + first, "crack_id": of + whole}))
        for area in record.areas:
            number = int(area.fields["id"])  # type: ignore[arg-type]
            areas.append(replace(area, fields={**area.fields, "id": number + area_first}))
        whole += last
    return cracks, areas


def _crs(cracks: Iterable[SurveyCrack], found: Findings) -> str | None:
    points = [f.footprint_lonlat for f in found.frames if f.footprint_lonlat is not None]
    points += [c.lonlat for c in cracks if c.lonlat is not None]
    points += [line for _, line in found.tracks if len(line)]
    return choose_crs(np.concatenate(points)) if points else None


def _widths(grounds: Sequence[GroundRecord]) -> list[WidthSamples]:
    out = []
    units: tuple[Literal["mm", "px"], ...] = ("mm", "px")
    for unit in units:
        parts = [r.widths for r in grounds if r.widths is not None and r.widths.unit == unit]
        if any(len(p.widths) for p in parts):
            out.append(WidthSamples(
                unit, [w for p in parts for w in p.widths], [v for p in parts for v in p.lengths],
                [b for p in parts for b in p.below_gsd],
            ))  # fmt: skip
    return out


def _merge_states(ground: Sequence[SurveyGround]) -> list[SurveyGround]:
    """One entry for each state; ground that one input saw well is not blurred in another's."""
    out: list[SurveyGround] = []
    better: Any = None
    states: tuple[GroundState, ...] = ("inspected", "below_gsd", "too_blurred")
    for state in states:
        parts = [g for g in ground if g.state == state]
        if not parts:
            continue
        placed = [g for g in parts if g.outline is not None]
        area = sum(g.area_m2 or 0.0 for g in parts if g.outline is None)
        whole = None
        if placed:
            outlines = [shapely.make_valid(g.outline) for g in placed]
            whole = shapely.make_valid(shapely.union_all(outlines))
            if better is not None:
                whole = whole.difference(better)
            better = whole if better is None else better.union(whole)
            # What several inputs show counts once.
            together = sum(outline.area for outline in outlines)
            area += sum(g.area_m2 or 0.0 for g in placed) * (whole.area / together if together > 0 else 1.0)
        if area > 0:
            out.append(SurveyGround(state, whole, area))
    return out


def _unseen(
    found: Findings, ground: Sequence[SurveyGround], route: Route | None, crs: str
) -> list[SurveyGround]:
    """Ground along the track or the route, as wide as what was seen, that no frame shows.

    Without a route nobody knows where else there is road; gaps between photos and places where a video was lost are
    along the track.
    """
    shown = [Polygon(to_crs(f.footprint_lonlat, crs)) for f in found.frames if f.footprint_lonlat is not None]
    if not shown:
        return []
    seen = shapely.union_all([shape if shape.is_valid else shape.buffer(0) for shape in shown])
    width = float(np.median([np.sqrt(shape.area) for shape in shown]))
    lines = [line for _, line in found.tracks if len(line) > 1] if route is None else [route.lonlat]
    strips = [LineString(to_crs(line, crs)).buffer(width / 2, cap_style="flat") for line in lines]
    if not strips:
        return []
    # The corners of a strip stick out beside frames that stand askew: only what is as deep as wide is a gap.
    gap = shapely.union_all(strips).difference(seen.buffer(0.1 * width)).buffer(-0.1 * width).buffer(0.1 * width)
    if gap.area < _LEAST_GAP_M2:
        return []
    placed = shapely.make_valid(shapely.transform(gap, lambda xy: to_lonlat(xy, crs)))
    return [SurveyGround("not_seen", placed, float(gap.area))]
