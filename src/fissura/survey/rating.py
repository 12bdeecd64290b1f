"""Kinds and levels of what was measured, by any rules: from rows of a record, so that nothing has to be measured again.

Records are kept as they are without rules; a run rates them when it reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fissura.measure.classify import ClassOptions, kind_by_angle
from fissura.measure.model import Crack
from fissura.measure.rules import RuleSet
from fissura.report.records import SurveyArea, SurveyCrack
from fissura.report.tables import Fields


class RatingBasis(NamedTuple):
    """What the kind of a crack follows from, besides its row.

    Attributes:
        away_deg: See `fissura.measure.model.Crack`.
        away_straightness: The same.
        area_id: The same.
    """

    away_deg: float | None
    away_straightness: float
    area_id: int

    @classmethod
    def of(cls, crack: Crack) -> RatingBasis:
        """Of a measured crack."""
        return cls(crack.away_deg, crack.away_straightness, crack.area_id)


def rate_finds(
    cracks: Sequence[SurveyCrack], areas: Sequence[SurveyArea], bases: Sequence[RatingBasis], rules: RuleSet | None
) -> tuple[list[SurveyCrack], list[SurveyArea]]:
    """Cracks and fields with the kinds and levels that rules give them, all else as it was.

    Args:
        cracks: Of one record.
        areas: Of the same record.
        bases: One for each crack.
        rules: None for the usual kinds, without levels.
    """
    rated_areas = [replace(area, fields=area.fields | _rate_area(area, cracks, bases, rules)) for area in areas]
    levels = {area.fields["id"]: str(area.fields["severity"]) for area in rated_areas}
    options = ClassOptions() if rules is None else ClassOptions(angles=rules.angles)
    rated = []
    for crack, basis in zip(cracks, bases, strict=True):
        kind = kind_by_angle(basis.away_deg, basis.away_straightness, options)
        level = ""
        if basis.area_id:
            kind, level = "alligator", levels[basis.area_id]
        elif rules is not None and _is_scaled(crack.fields):
            level = rules.severity(kind, _width_mm(crack.fields, rules))
        standard = rules.name if rules is not None and _is_scaled(crack.fields) else ""
        rated.append(replace(crack, fields=crack.fields | {"class": kind, "severity": level, "standard": standard}))
    return rated, rated_areas


def _rate_area(
    area: SurveyArea, cracks: Sequence[SurveyCrack], bases: Sequence[RatingBasis], rules: RuleSet | None
) -> Fields:
    level = ""
    if rules is not None and area.fields.get("area_m2") is not None:
        inside = [c.fields for c, basis in zip(cracks, bases, strict=True) if basis.area_id == area.fields["id"]]
        level = rules.severity("alligator", _field_width_mm(area.fields, inside, rules))
    return {"severity": level, "standard": "" if rules is None else rules.name}


def _field_width_mm(area: Fields, inside: Sequence[Fields], rules: RuleSet) -> float:
    """As `fissura.measure.measuring` takes it: the widest of the cracks' maxima, else the mean by length."""
    if rules.width_statistic == "mean":
        return _number(area["width_mean_mm"])
    widths = [_width_mm(fields, rules) for fields in inside]
    if rules.width_statistic == "max":
        return max(widths)
    return float(np.average(widths, weights=[_number(fields["length_m"]) for fields in inside]))


def _width_mm(fields: Fields, rules: RuleSet) -> float:
    return _number(fields[f"width_{rules.width_statistic}_mm"])


def _is_scaled(fields: Fields) -> bool:
    return "length_m" in fields


def _number(value: object) -> float:
    """NaN for what is not known."""
    return float(value) if isinstance(value, (int, float)) else float("nan")
