"""Rows for whole cracks, from the rows of their branches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from fissura.report.tables import EXTENT, Fields, Value, round_fields

_COMMON = ("source_frame", "captured_at", "model", "standard")
_PLACE = ("widest_column_px", "widest_row_px", "widest_longitude_deg", "widest_latitude_deg")


def group_branches(rows: Iterable[Mapping[str, Value]]) -> list[list[Mapping[str, Value]]]:
    """The rows of each crack together, by ``crack_id``, cracks and branches in the order of their first rows.

    Args:
        rows: Of one picture, or of any run in which ``crack_id`` is unique.
    """
    groups: dict[Value, list[Mapping[str, Value]]] = {}
    for row in rows:
        groups.setdefault(row["crack_id"], []).append(row)
    return list(groups.values())


def whole_crack_fields(branches: Sequence[Mapping[str, Value]], levels: Sequence[str] = ()) -> Fields:
    """A whole crack as named fields with units in their names, rounded.

    Lengths add up; ``width_mean``, ``width_sigma`` and ``bridged_share`` are means by length (what is wrong with the
    widths of one branch, scale, blur and darkness, is mostly wrong with all, so their errors do not average out);
    ``class`` is that of most of the length, ``severity`` the worst, ``confidence`` that of the surest branch;
    ``below_gsd`` if more than half of the length is. ``width_max`` is that of ``widest_branch``, whose place and
    picture stand beside it. The box is left out where branches lie in different pictures.

    Args:
        branches: Rows of `fissura.report.tables.crack_fields` that share a ``crack_id``; one at least. With ``widest_``
            places they are taken over.
        levels: Names of severities, the mildest first; names that are not among them are milder than those that are.
    """
    scaled = any("length_m" in row for row in branches)
    length, unit = ("length_m", "mm") if scaled else ("length_px", "px")
    lengths = [_number(row.get(length)) or 0.0 for row in branches]
    widest = max(branches, key=lambda row: _number(row.get(f"width_max_{unit}")) or 0.0)
    kinds: dict[Value, float] = {}
    for row, part in zip(branches, lengths, strict=True):
        kinds[row.get("class")] = kinds.get(row.get("class"), 0.0) + part
    extents = {row.get("extent") for row in branches}
    severities = [str(row["severity"]) for row in branches if row.get("severity")]
    below = sum(part for row, part in zip(branches, lengths, strict=True) if row.get("below_gsd"))
    sure = [value for value in (_number(row.get("confidence")) for row in branches) if value is not None]
    fields = round_fields({
        "crack_id": branches[0]["crack_id"], "class": max(kinds, key=lambda kind: kinds[kind]),
        "extent": next((name for name in ("complete", "partial") if name in extents), ""),
        "branches": len(branches), length: sum(lengths),
        f"width_mean_{unit}": _mean(branches, f"width_mean_{unit}", lengths),
        f"width_max_{unit}": _number(widest.get(f"width_max_{unit}")),
        f"width_sigma_{unit}": _mean(branches, f"width_sigma_{unit}", lengths),
        "widest_branch": widest.get("id"), "below_gsd": below > sum(lengths) / 2,
        "severity": max(severities, key=lambda name: levels.index(name) if name in levels else -1, default=""),
        "confidence": max(sure, default=None), "bridged_share": _mean(branches, "bridged_share", lengths),
    })  # fmt: skip
    # Degrees of a place are not rounded as those of a direction are.
    taken = {name: widest[name] for name in (*_COMMON, *_PLACE) if name in widest}
    return {**fields, **taken, **_box(branches)}


def _mean(branches: Sequence[Mapping[str, Value]], name: str, lengths: Sequence[float]) -> float | None:
    """By length; None where it is known of no branch."""
    known = [(value, part) for row, part in zip(branches, lengths, strict=True)
             if (value := _number(row.get(name))) is not None]  # fmt: skip
    total = sum(part for _, part in known)
    if total > 0:
        return sum(value * part for value, part in known) / total
    return sum(value for value, _ in known) / len(known) if known else None


def _box(branches: Sequence[Mapping[str, Value]]) -> Fields:
    if len({row.get("source_frame") for row in branches}) > 1:
        return {}
    box: Fields = {}
    for name, choose in zip(EXTENT, (min, min, max, max), strict=True):
        values = [value for value in (_number(row.get(name)) for row in branches) if value is not None]
        box[name] = int(choose(values)) if values else None
    return box


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
