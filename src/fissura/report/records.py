"""What a survey found, as plain values: the only thing that the writers of `fissura.report` know.

Places are WGS84 (longitude, latitude) in degrees, arrays of shape (N, 2); lengths are in metres and widths in
millimetres where there is a scale, and the fields' names say which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fissura.report.tables import Fields
from fissura.spec import ModelCard

LonLat = npt.NDArray[np.float64]
"""Shape (N, 2), (longitude, latitude) in degrees, WGS84."""

FrameKind = Literal["photo", "video", "raster"]
FrameStatus = Literal["done", "failed"]
GroundState = Literal["inspected", "too_blurred", "below_gsd", "not_seen"]

GROUND_STATES: Mapping[GroundState, str] = {
    "inspected": "inspected",
    "too_blurred": "seen, but too blurred to be judged",
    "below_gsd": "seen from so far that fine cracks cannot be seen",
    "not_seen": "not seen",
}
"""What each state of the ground is called for people."""


@dataclass(frozen=True, eq=False)
class SurveyFrame:
    """A picture that took part: a photo, a looked-at frame of a video, or a raster.

    Attributes:
        name: As `source_frame` in the tables; unique in a run.
        source: File it came from, as given.
        kind: What it is.
        status: ``failed`` if nothing could be made of it; `error` then says why.
        error: For people; empty if all went well.
        captured_at: When it was taken; naive times stay naive.
        camera_lonlat: Where the camera was, shape (2,); None if not known.
        footprint_lonlat: Outline of the ground it shows, shape (N, 2), not closed; None if not known.
        position_sigma_m: Standard error of its place; None if it has none.
        size_hw: Rows and columns; (0, 0) if it could not be read.
        gsd_mm: Ground size of a pixel in its middle; None without a scale.
        height_m: Of the camera above the ground; None if not known.
        sharpness: Relative to the other frames of the run, 1 is usual; None if there is nothing to compare with.
        road_found: None where none was looked for.
        direction_deg: Of the road in the frame, 0 to 180, counter-clockwise from the right; None without.
        slices: Tiles that the network saw.
        seconds: Spent on it.
        overlay: Picture with its cracks, relative to the run's folder; None if there is none.
        mask: Crack mask, the same.
        notes: What the user should know of it.
    """

    name: str
    source: str
    kind: FrameKind = "photo"
    status: FrameStatus = "done"
    error: str = ""
    captured_at: datetime | None = None
    camera_lonlat: LonLat | None = None
    footprint_lonlat: LonLat | None = None
    position_sigma_m: float | None = None
    size_hw: tuple[int, int] = (0, 0)
    gsd_mm: float | None = None
    height_m: float | None = None
    sharpness: float | None = None
    road_found: bool | None = None
    direction_deg: float | None = None
    slices: int = 0
    seconds: float = 0.0
    overlay: str | None = None
    mask: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CrackPicture:
    """A crack as it looks, upright as in its source, with nothing drawn into it but its outline.

    Attributes:
        path: JPEG, relative to the run's folder.
        mm_per_px: Ground size of a pixel of this JPEG, for a scale bar; None without a scale.
    """

    path: str
    mm_per_px: float | None


@dataclass(frozen=True, eq=False)
class SurveyCrack:
    """One branch of a crack.

    Attributes:
        fields: Its row; see `fissura.report.tables.crack_fields`. ``id`` is unique in the run, ``crack_id`` groups.
        lonlat: Centreline, shape (N >= 2, 2); None without a place.
        position_sigma_m: Standard error of its place; None without one.
        chainage_m: First and last metre along the route; None without a route.
        offset_m: Distance of its middle from the route, positive to the right; None without a route.
        picture: Present for the worst ones only.
    """

    fields: Fields
    lonlat: LonLat | None = None
    position_sigma_m: float | None = None
    chainage_m: tuple[float, float] | None = None
    offset_m: float | None = None
    picture: CrackPicture | None = None


@dataclass(frozen=True, eq=False)
class SurveyArea:
    """A field of alligator cracking.

    Attributes:
        fields: Its row; see `fissura.report.tables.area_fields`.
        lonlat: Outline, shape (N >= 3, 2), not closed; None without a place.
        position_sigma_m: Standard error of its place.
        chainage_m: First and last metre along the route; None without a route.
    """

    fields: Fields
    lonlat: LonLat | None = None
    position_sigma_m: float | None = None
    chainage_m: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class SurveySection:
    """A stretch of the route with the sums of what lies beside it.

    Attributes:
        name: ``0 to 100 m``.
        start_m: Chainage where it begins.
        end_m: Chainage where it ends.
        lonlat: Its part of the route, shape (N >= 2, 2); None where there is no route and sums are of the whole run.
        inspected_m2: Ground looked at in it; None if not known.
        inspected_share: Of its length, the part that was looked at, 0 to 1; None if not known.
        rows: Sums by class, severity and zone: ``class``, ``severity``, ``zone``, ``cracks``, ``length_m`` (or
            ``length_px``), ``area_m2``, ``width_mean_mm``.
        cracks: In it, each once though it may be in several rows; None if not known.
    """

    name: str
    start_m: float
    end_m: float
    lonlat: LonLat | None
    inspected_m2: float | None
    inspected_share: float | None
    rows: tuple[Fields, ...]
    cracks: int | None = None


@dataclass(frozen=True, eq=False)
class SurveyGround:
    """All ground of one state.

    Attributes:
        state: See `GROUND_STATES`.
        outline: Shapely Polygon or MultiPolygon in longitude and latitude; None without a place.
        area_m2: Its area; None without a scale.
    """

    state: GroundState
    outline: Any
    area_m2: float | None


@dataclass(frozen=True, eq=False)
class MapPicture:
    """A picture of the ground to put under the map.

    Attributes:
        path: JPEG, relative to the run's folder.
        corners_lonlat: Of its upper left, upper right, lower right and lower left corner, shape (4, 2).
    """

    path: str
    corners_lonlat: LonLat


@dataclass(frozen=True, eq=False)
class WidthSamples:
    """Widths along all cracks, for the histogram. All of one length.

    Attributes:
        unit: Of the widths and lengths.
        widths: In `unit`.
        lengths: What each stands for, in `unit`.
        below_gsd: Whether it could not be seen.
    """

    unit: Literal["mm", "px"]
    widths: Sequence[float]
    lengths: Sequence[float]
    below_gsd: Sequence[bool]


@dataclass(eq=False)
class SurveyResult:
    """A survey, as it is reported.

    Attributes:
        title: For people: the folder or file that was surveyed.
        folder: The run's folder.
        frames: In order; failed ones too.
        cracks: Rows of all frames and grounds, the longest first within each.
        areas: Alligator fields.
        sections: Along the route, or one for everything.
        ground: What was inspected and what was not.
        tracks: Name of a flight and its camera positions, shape (N, 2).
        route: Reference line given by the user, shape (N, 2); None without.
        pictures: For the map.
        widths: For the histogram; one entry for cracks with a scale, one for those without.
        crs: Where the GeoPackage lies, ``EPSG:32630`` for example; None if nothing has a place.
        model: Of the network; None if masks were given.
        standard: Name of the rules for severities; empty without.
        limits: Of the rules and of the method, for people.
        thresholds_mm: Name of each severity level to the width at which it begins; for the histogram.
        settings: As in ``settings.yaml``.
        notes: For people, on the whole run.
        seconds: By stage.
        created_at: When the report was made; None leaves it out.
        complete: False if an input failed or ended early, or the run was stopped.
        stopped: An input ended early or the run was stopped, whatever failed beside.
    """

    title: str
    folder: Path
    frames: list[SurveyFrame] = field(default_factory=list)
    cracks: list[SurveyCrack] = field(default_factory=list)
    areas: list[SurveyArea] = field(default_factory=list)
    sections: list[SurveySection] = field(default_factory=list)
    ground: list[SurveyGround] = field(default_factory=list)
    tracks: list[tuple[str, LonLat]] = field(default_factory=list)
    route: LonLat | None = None
    pictures: list[MapPicture] = field(default_factory=list)
    widths: list[WidthSamples] = field(default_factory=list)
    crs: str | None = None
    model: ModelCard | None = None
    standard: str = ""
    limits: tuple[str, ...] = ()
    thresholds_mm: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    created_at: datetime | None = None
    complete: bool = True
    stopped: bool = False
