"""`GroundRecord`: what one piece of ground gave, as it is kept on disk until the report is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from fissura.geo.position import GroundPlacement
from fissura.imaging.write import write_jpeg
from fissura.measure.model import Crack, Points
from fissura.measure.rules import RuleSet, width_thresholds
from fissura.measure_frame import sample_widths
from fissura.report.records import (
    CrackPicture,
    GroundState,
    MapPicture,
    SurveyArea,
    SurveyCrack,
    SurveyGround,
    WidthSamples,
)
from fissura.report.tables import Fields, Value, area_fields, crack_fields
from fissura.survey.merged import MergedGround
from fissura.survey.rating import RatingBasis, rate_finds
from fissura.types import RgbImage

PICTURES = 25
"""Cracks of each piece of ground that show a picture; the report takes the worst of all."""
_EXTENT = ("left_px", "top_px", "right_px", "bottom_px")
_PICTURE_PX = 480
_LEAST_PICTURE_PX = 160


@dataclass(eq=False)
class GroundRecord:
    """Cracks, areas and the map of one piece of ground, or of one picture that stands alone.

    It depends on no rules: `rated` gives what is reported.

    Attributes:
        cracks: See `SurveyCrack`; numbers count from 1 in each record.
        areas: See `SurveyArea`.
        widths: For the histogram.
        ground: What was inspected, with outlines in longitude and latitude.
        mosaic: For the map; None if there is none.
        notes: For the user.
        seconds: Spent.
        bases: For each crack what its kind follows from; None in records of older versions, which have the kinds and
            levels of the rules they were made with.
    """

    cracks: list[SurveyCrack] = field(default_factory=list)
    areas: list[SurveyArea] = field(default_factory=list)
    widths: WidthSamples | None = None
    ground: list[SurveyGround] = field(default_factory=list)
    mosaic: MapPicture | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    bases: list[RatingBasis] | None = None

    def rated(self, rules: RuleSet | None) -> GroundRecord:
        """A copy with kinds and levels by these rules, in which the worst cracks by them show their pictures."""
        if self.bases is None:
            return self
        cracks, areas = rate_finds(self.cracks, self.areas, self.bases, rules)
        shown = _find_worst(cracks, rules)
        cracks = [c if c.fields["id"] in shown else replace(c, picture=None) for c in cracks]
        return replace(self, cracks=cracks, areas=areas)

    def count_unseen(self, rules: RuleSet | None) -> int:
        """How many of the worst cracks by these rules have no picture."""
        worst = _find_worst(self.rated(rules).cracks, rules)
        return sum(crack.picture is None for crack in self.cracks if crack.fields["id"] in worst)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "cracks": [_crack_to_plain(c) for c in self.cracks],
            "areas": [
                {"fields": _fields_to_plain(a.fields), "lonlat": _listed(a.lonlat), "sigma": a.position_sigma_m}
                for a in self.areas
            ],
            "widths": None if self.widths is None else vars(self.widths),
            "ground": [
                {
                    "state": g.state, "area_m2": g.area_m2,
                    "wkt": None if g.outline is None else shapely.to_wkt(g.outline, rounding_precision=9),
                }
                for g in self.ground
            ],
            "mosaic": None if self.mosaic is None
            else {"path": self.mosaic.path, "corners": _listed(self.mosaic.corners_lonlat)},
            "notes": list(self.notes), "seconds": self.seconds,
            "bases": None if self.bases is None else [list(basis) for basis in self.bases],
        }  # fmt: skip

    @classmethod
    def from_plain(cls, raw: dict[str, Any]) -> GroundRecord:
        """The other way. Raises TypeError, KeyError or ValueError on other content."""
        mosaic, bases = raw["mosaic"], raw.get("bases")
        return cls(
            [_crack_from_plain(c) for c in raw["cracks"]],
            [SurveyArea(_fields_from_plain(a["fields"]), _array(a["lonlat"]), a["sigma"]) for a in raw["areas"]],
            None if raw["widths"] is None else WidthSamples(**raw["widths"]),
            [
                SurveyGround(g["state"], None if g["wkt"] is None else shapely.from_wkt(g["wkt"]), g["area_m2"])
                for g in raw["ground"]
            ],
            None if mosaic is None else MapPicture(mosaic["path"], np.array(mosaic["corners"])),
            tuple(raw["notes"]), raw["seconds"], None if bases is None else [RatingBasis(*basis) for basis in bases],
        )  # fmt: skip


@dataclass(frozen=True)
class Sighting:
    """The frame that saw a crack best.

    Attributes:
        name: As `source_frame` in the tables.
        captured_at: When.
        extent_px: Left, top, right and bottom pixel of the crack in it; None leaves the ground's.
        sigma_m: Standard error of the crack's place; None without a place.
    """

    name: str
    captured_at: datetime | None = None
    extent_px: tuple[int, int, int, int] | None = None
    sigma_m: float | None = None


def record_ground(
    ground: MergedGround, sighting: Callable[[Crack, int], Sighting], *, area_source: str, model: str
) -> GroundRecord:
    """The rows of measured ground.

    Args:
        ground: Measured.
        sighting: Tells for a crack, and the index of its nearest frame, which frame saw it best.
        area_source: What areas name as their source.
        model: Name and version of the network.
    """
    found, placement = ground.measurement, ground.place.placement
    record, size_hw = GroundRecord(widths=sample_widths(found), notes=ground.notes), found.graph.size_hw
    record.bases = [RatingBasis.of(crack) for crack in found.cracks]
    for crack, index in zip(found.cracks, ground.sources, strict=True):
        seen = sighting(crack, index)
        fields = crack_fields(crack, source_frame=seen.name, captured_at=seen.captured_at, model=model, size_hw=size_hw)
        fields["extent"] = crack.extent
        if seen.extent_px is not None:
            fields |= dict(zip(_EXTENT, seen.extent_px, strict=True))
        lonlat = _place(placement, crack.points_rc, 2)
        record.cracks.append(SurveyCrack(fields, lonlat, None if lonlat is None else seen.sigma_m))
    sigma = None if placement is None else placement.sigma_m
    for area in found.areas:
        fields = area_fields(area, source_frame=area_source, model=model, size_hw=size_hw)
        lonlat = _place(placement, area.outline_rc, 3)
        record.areas.append(SurveyArea(fields, lonlat, None if lonlat is None else sigma))
    return record


def _place(placement: GroundPlacement | None, points_rc: Points, least: int) -> npt.NDArray[np.float64] | None:
    """Longitudes and latitudes, without those beyond the horizon; None if too few are left."""
    if placement is None:
        return None
    lonlat = placement.to_lonlat(points_rc)
    lonlat = lonlat[np.isfinite(lonlat).all(axis=1)]
    return lonlat if len(lonlat) >= least else None


def outline_to_ground(
    state: GroundState, outline_xy: Any, to_lonlat: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    mm_per_px: float,
) -> list[SurveyGround]:  # fmt: skip
    """Ground of a state from its outline in ground pixels; nothing if that is empty.

    Args:
        state: See `fissura.report.records.GROUND_STATES`.
        outline_xy: Shapely geometry, ground pixels (x, y).
        to_lonlat: Ground pixels (x, y), shape (N, 2), to degrees.
        mm_per_px: Side of a ground pixel.
    """
    if outline_xy.is_empty:
        return []
    placed = shapely.make_valid(shapely.transform(outline_xy, to_lonlat))
    return [SurveyGround(state, placed, float(outline_xy.area) * (mm_per_px / 1000.0) ** 2)]


def cut_picture(rgb: RgbImage, box_px: Sequence[float], mm_per_px: float | None) -> tuple[RgbImage, float | None]:
    """A crack and some ground around it, at most 480 pixels a side.

    Args:
        rgb: Shape (H, W, 3).
        box_px: Left, top, right and bottom of the crack.
        mm_per_px: Ground size of a pixel.
    Returns:
        The picture, and the ground size of a pixel of it.
    """
    left, top, right, bottom = box_px
    side = max(1.25 * max(right - left, bottom - top), _LEAST_PICTURE_PX)
    height, width = rgb.shape[:2]
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    c0, c1 = max(int(middle_x - side / 2), 0), min(int(middle_x + side / 2) + 1, width)
    r0, r1 = max(int(middle_y - side / 2), 0), min(int(middle_y + side / 2) + 1, height)
    piece = rgb[r0:r1, c0:c1]
    if not piece.size:
        piece = rgb[:_LEAST_PICTURE_PX, :_LEAST_PICTURE_PX]
    factor = max(piece.shape[:2]) / _PICTURE_PX
    if factor > 1:
        size = max(round(piece.shape[1] / factor), 1), max(round(piece.shape[0] / factor), 1)
        piece = np.asarray(cv2.resize(piece, size, interpolation=cv2.INTER_AREA), np.uint8)
        mm_per_px = None if mm_per_px is None else mm_per_px * factor
    return np.ascontiguousarray(piece), mm_per_px


def crack_box_px(fields: Fields) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a crack's row."""
    left, top, right, bottom = (float(fields[k]) for k in _EXTENT)  # type: ignore[arg-type]
    return left, top, right, bottom


def add_pictures(
    record: GroundRecord, run: Path, name: str, cut: Callable[[SurveyCrack], tuple[RgbImage, float | None]],
    rules: RuleSet | None, *, most: int | None = None,
) -> bool:  # fmt: skip
    """Write pictures of the worst cracks below ``pictures/``, and name them in their rows; those that have one keep it.

    Args:
        record: Its `cracks` are changed.
        run: Folder of the run.
        name: How the files' names begin.
        cut: Gives a crack's picture and the ground size of a pixel of it; asked for in the order of source frames, so
            that it needs to keep one frame only.
        rules: Severities, which say what is worst.
        most: How many of the worst; `PICTURES` if left out.
    Returns:
        Whether there are new ones.
    Raises:
        OutputError: A picture cannot be written.
    """
    wanted = _find_worst(record.rated(rules).cracks, rules, most)
    rows = [(k, c) for k, c in enumerate(record.cracks) if c.fields["id"] in wanted and c.picture is None]
    for k, crack in sorted(rows, key=lambda row: (str(row[1].fields["source_frame"]), row[0])):
        rgb, mm_per_px = cut(crack)
        path = f"pictures/{name}_{crack.fields['id']}.jpg"
        write_jpeg(run / path, rgb, quality=88)
        picture = CrackPicture(path, None if mm_per_px is None else round(mm_per_px, 6))
        record.cracks[k] = replace(crack, picture=picture)
    return bool(rows)


def _find_worst(rated: Sequence[SurveyCrack], rules: RuleSet | None, most: int | None = None) -> set[Value]:
    """Numbers of the cracks of a record that show a picture."""
    from fissura.report.page_worst import rank_worst

    return {c.fields["id"] for c in rank_worst(rated, PICTURES if most is None else most, width_thresholds(rules))}


def _crack_to_plain(crack: SurveyCrack) -> dict[str, Any]:
    picture = None if crack.picture is None else [crack.picture.path, crack.picture.mm_per_px]
    return {
        "fields": _fields_to_plain(crack.fields), "lonlat": _listed(crack.lonlat), "sigma": crack.position_sigma_m,
        "picture": picture,
    }  # fmt: skip


def _crack_from_plain(raw: dict[str, Any]) -> SurveyCrack:
    picture = None if raw["picture"] is None else CrackPicture(*raw["picture"])
    return SurveyCrack(_fields_from_plain(raw["fields"]), _array(raw["lonlat"]), raw["sigma"], picture=picture)


def _fields_to_plain(fields: Fields) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in fields.items()}


def _fields_from_plain(raw: dict[str, Any]) -> Fields:
    captured = raw.get("captured_at")
    return raw | ({"captured_at": datetime.fromisoformat(captured)} if isinstance(captured, str) and captured else {})


def _listed(values: npt.NDArray[np.float64] | None) -> list[list[float]] | None:
    return None if values is None else np.round(values, 10).tolist()


def _array(values: list[list[float]] | None) -> npt.NDArray[np.float64] | None:
    return None if values is None else np.array(values, np.float64).reshape(-1, 2)
