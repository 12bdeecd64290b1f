"""The tables of ``fissura measure``, made from the records of its pictures, one record in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fissura.errors import FissuraError
from fissura.imaging.write import as_output_error
from fissura.measure.rules import RuleSet, severity_names, width_thresholds
from fissura.measure_folder import Finished, RecordFolder
from fissura.measure_frame import FrameRecord
from fissura.measure_profiles import crack_rows, profile_columns, profile_rows, whole_rows
from fissura.report.geojson import GeoFeature, write_cracks_geojson
from fissura.report.histogram import write_width_histogram
from fissura.report.tables import (
    Fields,
    round_fields,
    write_areas_csv,
    write_cracks_csv,
    write_plain_csv,
    write_summary_csv,
    write_whole_cracks_csv,
)

HISTOGRAMS = {True: "widths.png", False: "widths_px.png"}
"""One for pictures with a scale, one for those without: their widths have no common axis."""
_SUMMARY = ("source_frame", "section", "zone", "class", "severity", "standard", "cracks")
_SUMMARY_OF = {
    True: ("length_m", "area_m2", "width_mean_mm", "inspected_m2", "density_m_per_m2"),
    False: ("length_px", "area_px2", "width_mean_px"),
}
_FRAMES = (
    "source_frame", "state", "scale_source", "gsd_mm", "gsd_sigma_percent", "inspected_m2", "cracks", "length_m",
    "length_px", "density_m_per_m2", "notes",
)  # fmt: skip
_MOST_SAMPLES = 2_000_000
"""Samples of width above which equal ones are put together."""


@dataclass
class Tables:
    """What was written, and the errors of what could not be."""

    written: list[Path]
    failed: list[FissuraError]


def write_tables(
    folder: RecordFolder, pictures: Sequence[Finished], failed: Sequence[tuple[str, str]], rules: RuleSet | None,
    *, profiles: bool = False,
) -> Tables:  # fmt: skip
    """Write all tables, and remove those of a run before that are no longer true. One that fails stops no other.

    ``frames.csv``; and where a picture was measured ``cracks.csv``, ``whole_cracks.csv``, ``profiles.csv`` (only if
    asked for), ``areas.csv`` (only if there are areas), ``summary.csv``, ``cracks.geojson`` (only if a picture has a
    place), ``widths.png``, ``widths_px.png``.

    Args:
        folder: Where the records are and the tables go.
        pictures: In the order of the rows.
        failed: Name and reason of each picture that could not be measured.
        rules: Their limits of width are drawn into the histogram, and the order of their severities tells the worst.
        profiles: Write the width at every place along every crack.
    """
    done = Tables([], [])
    for name, write in _plan(_Records(folder, pictures), pictures, failed, rules, profiles):
        path = folder.out / name
        try:
            if write is None:
                _remove(path)
            else:
                write(path)
                done.written.append(path)
        except FissuraError as error:
            done.failed.append(error)
    return done


_Writer = Callable[[Path], None]


def _plan(
    records: _Records, pictures: Sequence[Finished], failed: Sequence[tuple[str, str]], rules: RuleSet | None,
    profiles: bool,
) -> Iterator[tuple[str, _Writer | None]]:  # fmt: skip
    """Each table, with None where there is nothing for it."""
    if pictures:
        units = [unit for unit in (True, False) if any(picture.scaled == unit for picture in pictures)]
        placed = any(picture.placed for picture in pictures)
        levels = severity_names(rules)
        yield "cracks.csv", lambda path: write_cracks_csv(path, _Rows(records, _crack_rows))
        yield "whole_cracks.csv", lambda path: write_whole_cracks_csv(
            path, _Rows(records, lambda record: whole_rows(_crack_rows(record), levels))
        )
        yield "profiles.csv", (
            (lambda path: write_plain_csv(
                path, _Rows(records, lambda record: profile_rows(record.source, record.cracks, record.profiles)),
                profile_columns(units=units, placed=placed),
            )) if profiles else None
        )  # fmt: skip
        areas = any(picture.areas for picture in pictures)
        yield "areas.csv", (
            (lambda path: write_areas_csv(path, _Rows(records, lambda record: record.areas))) if areas else None
        )
        columns = (*_SUMMARY, *(name for unit in units for name in _SUMMARY_OF[unit]))
        yield "summary.csv", lambda path: write_summary_csv(
            path, _Rows(records, lambda record: record.summary), columns=columns
        )
        yield "cracks.geojson", (lambda path: write_cracks_geojson(path, _features(records))) if placed else None
        for unit, name in HISTOGRAMS.items():
            yield name, _histogram(records.of_unit(unit), unit, rules) if unit in units else None
    rows = [*map(_frame_row, pictures), *(_failed_row(source, reason) for source, reason in failed)]
    yield "frames.csv", lambda path: write_summary_csv(path, rows, columns=_FRAMES)


@dataclass(frozen=True)
class _Records:
    """The records of pictures, read anew whenever they are gone through."""

    folder: RecordFolder
    pictures: Sequence[Finished]

    def of_unit(self, scaled: bool) -> _Records:
        return _Records(self.folder, [picture for picture in self.pictures if picture.scaled == scaled])

    def __iter__(self) -> Iterator[FrameRecord]:
        # Most pictures of most flights show no crack.
        return (self.folder.read(picture.name) for picture in self.pictures if picture.rows)


@dataclass(frozen=True)
class _Rows:
    """Rows of a table, which may be gone through more than once."""

    records: _Records
    pick: Callable[[FrameRecord], Iterable[Fields]]

    def __iter__(self) -> Iterator[Fields]:
        return (row for record in self.records for row in self.pick(record))


def _crack_rows(record: FrameRecord) -> list[Fields]:
    return crack_rows(record.source, record.cracks, record.profiles, record.widest)


def _frame_row(picture: Finished) -> Fields:
    length, inspected = picture.totals["length"], picture.totals["inspected_m2"]
    return round_fields({
        "source_frame": picture.source, "state": "done", "scale_source": picture.scale_source or None,
        "gsd_mm": picture.gsd_mm, "gsd_sigma_percent": picture.gsd_sigma_percent, "inspected_m2": inspected or None,
        "cracks": int(picture.totals["cracks"]), "length_m" if picture.scaled else "length_px": length,
        "density_m_per_m2": length / inspected if inspected else None, "notes": "; ".join(picture.notes),
    })  # fmt: skip


def _failed_row(source: str, reason: str) -> Fields:
    return {"source_frame": source, "state": "failed", "notes": reason}


def _features(records: _Records) -> Iterator[GeoFeature]:
    for record in records:
        sigma = record.position_sigma_m
        for fields, lonlat in zip(_crack_rows(record), record.lines_lonlat, strict=False):
            if len(lonlat) >= 2:
                yield GeoFeature("line", np.array(lonlat, np.float64), fields, sigma)
        for fields, lonlat in zip(record.areas, record.areas_lonlat, strict=False):
            if len(lonlat) >= 3:
                yield GeoFeature("area", np.array(lonlat, np.float64), fields, sigma)


def _histogram(records: _Records, scaled: bool, rules: RuleSet | None) -> _Writer:
    def write(path: Path) -> None:
        width, length, below = gather_widths(records)
        thresholds = width_thresholds(rules) if scaled else None
        write_width_histogram(
            path, width, length, unit="mm" if scaled else "px", thresholds=thresholds, below_gsd=below
        )

    return write


_Samples = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]


def gather_widths(records: Iterable[FrameRecord], most: int = _MOST_SAMPLES) -> _Samples:
    """Widths, the lengths that they stand for and whether they could not be seen, of all records.

    Where there are more than `most` samples, equal widths (of four digits) become one: their lengths add up.
    """
    parts: list[_Samples] = []
    count = 0
    for record in records:
        parts.append((np.array(record.widths, np.float64), np.array(record.lengths, np.float64),
                      np.array(record.below, np.bool_)))  # fmt: skip
        count += len(record.widths)
        if count > most:
            parts = [_put_together(*_joined(parts))]
            # Again only when as many new ones have come.
            count = 0
    return _joined(parts)


def _joined(parts: Sequence[_Samples]) -> _Samples:
    if not parts:
        return np.empty(0), np.empty(0), np.empty(0, np.bool_)
    width, length, below = (np.concatenate(column) for column in zip(*parts, strict=True))
    return width, length, below


def _put_together(
    width: npt.NDArray[np.float64], length: npt.NDArray[np.float64], below: npt.NDArray[np.bool_]
) -> _Samples:
    keys, index = np.unique(np.stack([width, below.astype(np.float64)]), axis=1, return_inverse=True)
    sums = np.bincount(index.ravel(), length, keys.shape[1])
    return keys[0], sums.astype(np.float64), keys[1] > 0.5


def _remove(path: Path) -> None:
    """Remove the file of a run before, which would now be wrong."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise as_output_error(path, error) from error
