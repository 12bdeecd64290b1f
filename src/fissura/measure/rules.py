"""Rule sets: how severe a crack is, by whose rules, read from YAML.

The sets that come with the install lie in ``fissura/measure/rule_sets``; a user's own is a file of the same form. What
a standard decides from things a picture does not show (spalled edges, faulting, filler) is written under ``limits`` of
its file, never guessed.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Hashable
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fissura.errors import GeometryError, SettingsError
from fissura.measure.model import Crack

Kind = Literal["longitudinal", "transverse", "diagonal", "alligator", "other"]
KINDS: tuple[str, ...] = get_args(Kind)
"""In the order in which tables list them."""


class _Table(BaseModel):
    """Unknown keys are errors, so that a typo is not a silent default; so are words where numbers belong."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Source(_Table):
    """Where the numbers come from."""

    document: str = Field(min_length=1)
    edition: str = ""
    table: str = ""
    verified: bool = False
    """True only if every number was compared with the document itself."""
    checked: str = ""
    """What the numbers were compared with, where it was not the document itself."""


class Level(_Table):
    """A step of severity: widths up to and including ``up_to_mm``, or below ``below_mm``; the last one has neither."""

    name: str = Field(min_length=1)
    up_to_mm: float | None = Field(default=None, gt=0)
    below_mm: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_bound(self) -> Level:
        if self.up_to_mm is not None and self.below_mm is not None:
            raise ValueError(f"level {self.name!r} has both up_to_mm and below_mm; keep one")
        return self

    @property
    def bound_mm(self) -> float:
        """The largest width, infinite for the last level."""
        bound = self.below_mm if self.up_to_mm is None else self.up_to_mm
        return math.inf if bound is None else bound

    def holds(self, width_mm: float) -> bool:
        """Whether a width is not too large for this level."""
        return width_mm < self.bound_mm if self.below_mm is not None else width_mm <= self.bound_mm


class Levels(_Table):
    """Levels of each kind of crack, mildest first. A kind without levels is measured but not rated."""

    longitudinal: tuple[Level, ...] = ()
    transverse: tuple[Level, ...] = ()
    diagonal: tuple[Level, ...] = ()
    alligator: tuple[Level, ...] = ()
    other: tuple[Level, ...] = ()

    @field_validator(*KINDS)
    @classmethod
    def _ordered(cls, levels: tuple[Level, ...]) -> tuple[Level, ...]:
        for level, following in pairwise(levels):
            if not level.bound_mm < following.bound_mm:
                raise ValueError(
                    f"{following.name!r} (up to {following.bound_mm:g} mm) must reach further than {level.name!r} "
                    f"(up to {level.bound_mm:g} mm) before it; order the levels from narrow to wide"
                )
        if levels and math.isfinite(levels[-1].bound_mm):
            raise ValueError(
                f"the last level, {levels[-1].name!r}, must have no bound, so that every width has a level"
            )
        if len({level.name for level in levels}) < len(levels):
            raise ValueError("two levels have the same name")
        return levels


class Minimum(_Table):
    """What is too small to be a crack at all."""

    width_mm: float = Field(default=0.0, ge=0)
    length_mm: float = Field(default=0.0, ge=0)


class Angles(_Table):
    """Between a crack's axis and the road: which kind it is. In degrees, 0 to 90."""

    longitudinal_up_to_deg: float = Field(default=30.0, ge=0, le=90)
    transverse_above_deg: float = Field(default=60.0, ge=0, le=90)
    between: Literal["diagonal", "other"] = "diagonal"

    @model_validator(mode="after")
    def _ordered(self) -> Angles:
        if self.longitudinal_up_to_deg > self.transverse_above_deg:
            raise ValueError(
                f"longitudinal_up_to_deg ({self.longitudinal_up_to_deg:g}) must not exceed transverse_above_deg "
                f"({self.transverse_above_deg:g})"
            )
        return self


class Zone(_Table):
    """A strip of the lane, from where the one before it ends (the first: from the lane's left edge)."""

    name: str = Field(min_length=1)
    to_m: float | None = None
    """Right border as an offset from the lane centre, in metres, positive to the right. None: the lane's edge."""


class RuleSet(_Table):
    """How cracks are rated. Widths in millimetres.

    Attributes:
        name: Short, as it appears in tables.
        title: For people.
        source: Where the numbers come from, and whether they were checked.
        surface: What the rules are for.
        unit: Of all widths and lengths; millimetres only.
        width_statistic: Which width of a crack is compared with the levels.
        levels: For each kind of crack.
        minimum: Smaller things are not counted.
        angles: Between crack and road.
        zones: Strips of the lane from left to right, seen along the road; none if the rules know none.
        zoned_kinds: Kinds that are summed for each zone; the others once for the lane.
        proxies: Kinds whose levels stand in for what the document really asks, and why.
        limits: What the document asks and a picture cannot tell.
        notes: Anything else.
    """

    name: str = Field(min_length=1)
    title: str = Field(min_length=1)
    source: Source
    surface: Literal["asphalt", "concrete", "any"]
    unit: Literal["mm"]
    width_statistic: Literal["mean", "median", "p95", "max"] = "mean"
    levels: Levels = Levels()
    minimum: Minimum = Minimum()
    angles: Angles = Angles()
    zones: tuple[Zone, ...] = ()
    zoned_kinds: tuple[Kind, ...] = ("longitudinal", "transverse", "diagonal", "alligator", "other")
    proxies: dict[Kind, str] = Field(default_factory=dict)
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @field_validator("zones")
    @classmethod
    def _left_to_right(cls, zones: tuple[Zone, ...]) -> tuple[Zone, ...]:
        borders = [zone.to_m for zone in zones[:-1]]
        if any(border is None for border in borders):
            raise ValueError("only the last zone may lack to_m, since it ends at the lane's edge")
        known = [border for border in borders if border is not None]
        if any(left >= right for left, right in pairwise(known)):
            raise ValueError(f"to_m must grow from left to right, got {known}")
        if zones and zones[-1].to_m is not None:
            raise ValueError("the last zone ends at the lane's edge; leave out its to_m")
        if len({zone.name for zone in zones}) < len(zones):
            raise ValueError("two zones have the same name")
        return zones

    def severity(self, kind: str, width_mm: float) -> str:
        """Level of a crack of this kind and width; empty if these rules set none, or if the width is NaN (unknown).

        Args:
            kind: One of `KINDS`.
            width_mm: The width that `width_statistic` names.
        Raises:
            SettingsError: There is no such kind.
            GeometryError: The width is negative.
        """
        if kind not in KINDS:
            raise SettingsError(f"there is no kind of crack {kind!r}; it is one of {', '.join(KINDS)}")
        if width_mm < 0:
            raise GeometryError(f"a crack's width is {width_mm:g} mm; it must be 0 or more")
        levels: tuple[Level, ...] = getattr(self.levels, kind)
        return next((level.name for level in levels if level.holds(width_mm)), "")

    def counts(self, width_mm: float, length_mm: float) -> bool:
        """Whether something of this size is a crack by these rules; what is unknown (NaN) does not speak against it."""
        return not (width_mm < self.minimum.width_mm or length_mm < self.minimum.length_mm)

    def width_of(self, crack: Crack) -> float:
        """The width of a crack that these rules look at."""
        return float(getattr(crack, f"width_{self.width_statistic}"))


def rule_names() -> tuple[str, ...]:
    """Names of the rule sets that come with the install."""
    entries = _folder().iterdir()
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml")))


def _folder() -> Traversable:
    return files("fissura") / "measure" / "rule_sets"


def read_rules(name_or_path: str | Path) -> RuleSet:
    """Read and check a rule set: one of `rule_names`, or a YAML file of your own.

    Raises:
        SettingsError: There is no such set or file, it is no YAML, or a field is unknown, missing or wrong (named).
    """
    label = str(name_or_path)
    try:
        if label in rule_names():
            text = (_folder() / f"{label}.yaml").read_text(encoding="utf-8")
        else:
            text = Path(label).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"there are no rules {label!r} ({error.strerror}); give a YAML file or one of {', '.join(rule_names())}"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{label} is no text in UTF-8: {error}") from error
    return _parse(text, label)


def _parse(text: str, label: str) -> RuleSet:
    try:
        raw = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise SettingsError(f"{label} is no YAML: {error}") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{label} must hold keys and values, for example 'name: mine'; copy a shipped set to start")
    try:
        return RuleSet.model_validate(raw)
    except ValidationError as error:
        lines = [f"  {_where(e['loc'])}: {_message(e)} (got {e['input']!r:.60}){_hint(e)}" for e in error.errors()]
        raise SettingsError(f"{label}:\n" + "\n".join(lines)) from error


def _where(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) or "the whole file"


def _message(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _hint(error: Any) -> str:
    """Which field was probably meant, for an unknown one."""
    if error["type"] != "extra_forbidden":
        return ""
    tables = (RuleSet, Source, Level, Levels, Minimum, Angles, Zone)
    fields = sorted({name for table in tables for name in table.model_fields})
    close = difflib.get_close_matches(str(error["loc"][-1]), fields, n=1)
    return f"; did you mean {close[0]}?" if close else ""


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets the second of two equal keys win in silence; here it is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1 and key != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} appears twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def width_thresholds(rules: RuleSet | None) -> dict[str, float]:
    """Name of each severity level above the lowest to the width at which it begins, in mm; empty without rules."""
    if rules is None:
        return {}
    levels = rules.levels.longitudinal or rules.levels.other
    return {level.name: below.bound_mm for below, level in pairwise(levels)}


def severity_names(rules: RuleSet | None) -> tuple[str, ...]:
    """All severity levels, the mildest first, those of all kinds of crack together; empty without rules."""
    if rules is None:
        return ()
    rank: dict[str, int] = {}
    for kind in KINDS:
        levels: tuple[Level, ...] = getattr(rules.levels, kind)
        for k, level in enumerate(levels):
            # Kinds may have a different number of levels: what is the third step of one is no milder in another.
            rank[level.name] = max(rank.get(level.name, 0), k)
    return tuple(sorted(rank, key=lambda name: rank[name]))
