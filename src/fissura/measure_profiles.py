"""Widths along cracks in a picture's record, and the rows of tables that are made with them.

A record holds them as lists of numbers, since names would be most of it: a flight has millions of places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from fissura.geo.position import GroundPlacement
from fissura.measure.along import WidthProfile, profile_widths
from fissura.measure.measuring import Measurement
from fissura.report.tables import Fields
from fissura.report.whole_cracks import group_branches, whole_crack_fields

PlainProfile: TypeAlias = list[list[float | None]]
"""For each place: distance from the branch's beginning (m, or px without a scale), column and row (px), width and
standard error (mm, or px), index into `WIDTH_FROM`, 1 where the width could not be seen; where the picture has a place
longitude and latitude, None above the horizon."""

WIDTH_FROM = ("grey", "mask", "gap")
"""Where a width comes from: the grey values, the mask, or the two ends that a bridged gap joins."""

_PLACED = ("longitude_deg", "latitude_deg")
_WIDEST = ("widest_column_px", "widest_row_px")
_DEGREES = 9
"""Digits: a tenth of a millimetre."""


def plain_profiles(found: Measurement, placement: GroundPlacement | None) -> tuple[list[PlainProfile], list[int]]:
    """For each crack of a measurement the widths along it, and which of them is the largest.

    Args:
        found: A measured picture.
        placement: Its place on the map.
    """
    profiles, widest = [], []
    for i in found.order:
        branch = found.graph.branches[i]
        profile = profile_widths(branch, found.widths.branches[i], found.scale)
        profiles.append(_plain(profile, placement, scaled=found.scale is not None, bridged=branch.bridged))
        widest.append(profile.widest)
    return profiles, widest


def _plain(profile: WidthProfile, placement: GroundPlacement | None, *, scaled: bool, bridged: bool) -> PlainProfile:
    along = np.round(profile.along / 1000, 4) if scaled else np.round(profile.along, 2)
    digits = 3 if scaled else 2
    source = np.where(profile.from_grey, 0, 2 if bridged else 1)
    # Lists of Python's own numbers: JSON knows no others.
    columns = [along, *np.round(profile.points_rc.T[::-1], 2), np.round(profile.width, digits),
               np.round(profile.sigma, digits), source, profile.below_blur.astype(int)]  # fmt: skip
    rows = [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    if placement is not None:
        for row, place in zip(rows, placement.to_lonlat(profile.points_rc), strict=True):
            row += [round(float(degree), _DEGREES) if np.isfinite(degree) else None for degree in place]
    return rows


def crack_key(source: str, crack_id: object) -> str:
    """Name of a crack that no other has in the tables of a run: its picture's name there and its number in it."""
    return f"{source}:{crack_id}"


def crack_rows(
    source: str, cracks: Sequence[Fields], profiles: Sequence[PlainProfile], widest: Sequence[int]
) -> list[Fields]:
    """Rows of ``cracks.csv``: as measured, with the crack's key and the place of the largest width.

    Args:
        source: The picture's name in the tables.
        cracks: A record's, and `profiles` and `widest` beside them; empty in records of an older fissura.
        profiles: See above.
        widest: See above.
    """
    rows = []
    for k, fields in enumerate(cracks):
        place: Fields = dict.fromkeys(_WIDEST)
        if k < len(profiles):
            _, column, row, _, _, _, _, *lonlat = profiles[k][widest[k]]
            place = dict(zip(_WIDEST, (column, row), strict=True))
            place |= {f"widest_{name}": degree for name, degree in zip(_PLACED, lonlat, strict=False)}
        rows.append({**fields, "crack_key": crack_key(source, fields["crack_id"]), **place})
    return rows


def whole_rows(rows: Sequence[Fields], levels: Sequence[str]) -> Iterator[Fields]:
    """Rows of ``whole_cracks.csv`` from the `crack_rows` of a picture; see `whole_crack_fields`."""
    for branches in group_branches(rows):
        yield {"crack_key": branches[0]["crack_key"], **whole_crack_fields(branches, levels)}


def profile_columns(*, units: Sequence[bool], placed: bool) -> tuple[str, ...]:
    """Columns of ``profiles.csv``.

    Args:
        units: True for pictures with a scale, False for those without; both where there are both.
        placed: Some picture has a place on the map.
    """
    families = {True: ("along_m", "length_m", "width_mm", "width_sigma_mm"),
                False: ("along_px", "length_px", "width_px", "width_sigma_px")}  # fmt: skip
    return (
        "source_frame", "crack_key", "crack_id", "id", *(name for unit in units for name in families[unit]),
        "width_from", "below_gsd", "column_px", "row_px", *(_PLACED if placed else ()),
    )  # fmt: skip


def profile_rows(source: str, cracks: Sequence[Fields], profiles: Sequence[PlainProfile]) -> Iterator[Fields]:
    """Rows of ``profiles.csv``, one for each place along each branch; arguments as of `crack_rows`.

    The length that a row stands for reaches half way to its neighbours; those of a branch add up to its length.
    """
    for fields, profile in zip(cracks, profiles, strict=False):
        scaled = "length_m" in fields
        far, wide, digits = ("m", "mm", 4) if scaled else ("px", "px", 2)
        along = np.array([row[0] for row in profile], np.float64)
        total = float(fields[f"length_{far}"] or 0.0)  # type: ignore[arg-type]
        bounds = np.round(np.concatenate([[0.0], (along[:-1] + along[1:]) / 2, [total]]), digits)
        common: Fields = {
            "source_frame": source, "crack_key": crack_key(source, fields["crack_id"]),
            "crack_id": fields["crack_id"], "id": fields["id"],
        }  # fmt: skip
        for row, length in zip(profile, np.round(np.diff(bounds), digits).tolist(), strict=True):
            at, column, line, width, sigma, source_of, below, *lonlat = row
            yield {
                **common, f"along_{far}": at, f"length_{far}": length, f"width_{wide}": width,
                f"width_sigma_{wide}": sigma, "width_from": WIDTH_FROM[int(source_of or 0)], "below_gsd": bool(below),
                "column_px": column, "row_px": line, **dict(zip(_PLACED, lonlat, strict=False)),
            }  # fmt: skip
