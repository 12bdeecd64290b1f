"""From ground pixels to metres and to the globe: scale and place of a flight's ground from height and positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyproj

from fissura.geo.crs import unwrapped, wrapped
from fissura.geo.gsd import SIGMA_BAROMETER_M, SIGMA_GROUND_GIVEN_M
from fissura.geo.position import SIGMA_GNSS_M, PhotoPlacement
from fissura.geo.scale import GroundScale

SIGMA_HEIGHT_M = 2.2
"""Height above the road, when it is the barometer's above the take-off point."""
SIGMA_LATER = 0.3
"""Relative error of a scale that was given for a flight's beginning, on ground where the flight was found again."""
_LIKE_HEIGHT = 0.05
_LEAST_TRACK = 5.0
"""Positions must spread over so many times their own error before their distances say anything about the scale."""


@dataclass(frozen=True)
class TrackPoint:
    """A frame whose place on the ground and whose telemetry are both known.

    Attributes:
        ground_xy: Point on the ground below the camera, in ground pixels.
        log_height: `FramePose.log_height`.
        latitude_deg: WGS84; None if not known.
        longitude_deg: The same.
        height_m: Above the road (or the take-off point); None if not known.
        up_azimuth_deg: Direction of the ground's upward axis, clockwise from north, by the gimbal; None if not known.
    """

    ground_xy: tuple[float, float]
    log_height: float
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    height_m: float | None = None
    up_azimuth_deg: float | None = None


@dataclass(frozen=True, eq=False)
class FlightPlace:
    """Scale and place of one connected piece of ground.

    Attributes:
        scale: None if nothing says how large a pixel is.
        placement: None if nothing says where it is.
        notes: For the user.
    """

    scale: GroundScale | None
    placement: PhotoPlacement | None
    notes: tuple[str, ...]


def place_ground(
    track: Sequence[TrackPoint], focal_px: float, *, origin_xy: tuple[float, float] = (0.0, 0.0),
    gsd_mm: float | None = None, focal_sigma: float = 0.03, height_sigma_m: float = SIGMA_HEIGHT_M,
) -> FlightPlace:  # fmt: skip
    """Scale and place from the track of a flight.

    Heights give the scale through the focal length, positions give it through their distances; both together count
    by their errors. Positions, averaged over the flight, give place and direction; where they hardly spread, the
    direction is the gimbal's.

    Args:
        track: Frames in the order of time.
        focal_px: Focal length.
        origin_xy: Ground pixel that the canvas's pixel (row 0, column 0) lies at.
        gsd_mm: Ground size of a ground pixel, if the user gave it; then nothing else counts.
        focal_sigma: Relative error of the focal length.
        height_sigma_m: Error of the heights, common to all of them.
    """
    metres = _project(track)
    notes: list[str] = []
    from_height = _scale_from_height(track, focal_px, focal_sigma, height_sigma_m)
    fit = None if metres is None else _fit_similarity(np.array([p.ground_xy for p in metres[1]]), metres[2])
    choices = [c for c in (from_height, None if fit is None else (fit.mm_per_px, fit.sigma)) if c is not None]
    if gsd_mm is not None:
        value, sigma = gsd_mm, 0.0
        notes.append("ground sampling distance as given, taken as exact")
    elif choices:
        weights = np.array([1 / max(s, 1e-3) ** 2 for _, s in choices])
        value = float(np.exp(np.average(np.log([v for v, _ in choices]), weights=weights)))
        sigma = float(weights.sum() ** -0.5)
        notes.append(_scale_note(from_height, fit, value))
    else:
        return FlightPlace(
            None, None, ("no height and no positions: everything is in pixels; give --gsd-mm or --height-m",)
        )
    scale = GroundScale.uniform(
        value, sigma=min(sigma, 0.9), source="given" if gsd_mm is not None else "xmp", notes=tuple(notes)
    )
    if metres is None:
        return FlightPlace(scale, None, (*notes, "no positions: cracks have no place on the map"))
    placement, extra = _placement(scale, metres, fit, origin_xy, value)
    return FlightPlace(scale, placement, (*notes, *extra))


@dataclass(frozen=True)
class LaterGround:
    """What a scale that was given for the first ground of a flight says on a later one.

    Attributes:
        track: With heights above the road.
        sigma_m: Error of them, common to all.
        note: For the user.
    """

    track: tuple[TrackPoint, ...]
    sigma_m: float
    note: str


def carry_scale(
    first: Sequence[TrackPoint], later: Sequence[TrackPoint], focal_px: float, *, gsd_mm: float | None = None,
    height_m: float | None = None,
) -> LaterGround | None:  # fmt: skip
    """Take a given scale from a flight's first ground to a later one, by telemetry's heights.

    A flight that is lost and found again begins anew with ground pixels of that frame, which may be at another height.

    Args:
        first: Track on the first ground, heights by telemetry.
        later: The same on the later ground.
        focal_px: Focal length.
        gsd_mm: Ground size of a ground pixel on the first ground, if that was given; or ...
        height_m: ... the height above the road.
    Returns:
        None if telemetry says that the flight is as high there: then what was given holds.
    """

    def given(point: TrackPoint) -> float:
        if gsd_mm is not None:
            return gsd_mm * focal_px / 1000.0 * math.exp(point.log_height)
        assert height_m is not None
        return height_m

    roads = [p.height_m - given(p) for p in first if p.height_m is not None]
    road = float(np.median(roads)) if roads else None
    changes = [(p.height_m - road) / given(p) for p in later if p.height_m is not None and road is not None]
    change = float(np.median(changes)) if changes else 0.0
    if road is None or change <= 0:
        note = (
            "the flight was lost and found again on this ground, and nothing tells at which height: the scale that was "
            f"given for its beginning may be wrong here; an error of {100 * SIGMA_LATER:.0f} % is assumed"
        )
        track = tuple(replace(p, height_m=given(p)) for p in later)
        return LaterGround(track, SIGMA_LATER * float(np.median([given(p) for p in later])), note)
    if abs(change - 1.0) <= _LIKE_HEIGHT:
        return None
    note = (
        f"the flight was found again at {change:.2f} times the height, by telemetry: the scale that was given for its "
        "beginning is changed by that"
    )
    track = tuple(replace(p, height_m=None if p.height_m is None else p.height_m - road) for p in later)
    return LaterGround(track, math.hypot(SIGMA_BAROMETER_M, SIGMA_GROUND_GIVEN_M), note)


@dataclass(frozen=True)
class _Similarity:
    mm_per_px: float
    azimuth_deg: float
    sigma: float
    residual_m: float


_Metres = tuple[tuple[float, float], list[TrackPoint], npt.NDArray[np.float64]]


def _project(track: Sequence[TrackPoint]) -> _Metres | None:
    """Positions as metres east and north of their mean: (latitude, longitude) of it, the points, shape (N, 2)."""
    known = [p for p in track if p.latitude_deg is not None and p.longitude_deg is not None]
    if not known:
        return None
    latitudes = np.array([p.latitude_deg for p in known], np.float64)
    longitudes = unwrapped(np.array([p.longitude_deg for p in known], np.float64))
    centre = float(latitudes.mean()), wrapped(float(longitudes.mean()))
    plane = pyproj.Transformer.from_crs(
        "EPSG:4326", f"+proj=aeqd +lat_0={centre[0]!r} +lon_0={centre[1]!r} +ellps=WGS84 +units=m", always_xy=True
    )
    east, north = plane.transform(longitudes, latitudes)
    return centre, known, np.column_stack([east, north])


def _scale_from_height(
    track: Sequence[TrackPoint], focal_px: float, focal_sigma: float, height_sigma_m: float
) -> tuple[float, float] | None:
    """Millimetres per ground pixel, and its relative error."""
    values = [p.height_m / math.exp(p.log_height) for p in track if p.height_m is not None and p.height_m > 0]
    if not values:
        return None
    height = float(np.median(values))
    return 1000.0 * height / focal_px, math.hypot(height_sigma_m / height, focal_sigma)


def _fit_similarity(ground_xy: npt.NDArray[np.float64], metres: npt.NDArray[np.float64]) -> _Similarity | None:
    """East and north from ground pixels by least squares; None where the track is too short to tell."""
    if len(ground_xy) < 3:
        return None
    g = (ground_xy - ground_xy.mean(axis=0)) @ np.array([1.0, -1j])  # right and up
    m = (metres - metres.mean(axis=0)) @ np.array([1.0, 1j])
    spread = float(np.sqrt((np.abs(m) ** 2).mean()))
    if spread < 1e-6 or float((np.abs(g) ** 2).sum()) < 1e-9:
        return None
    factor = np.vdot(g, m) / np.vdot(g, g)
    residual = float(np.sqrt((np.abs(m - factor * g) ** 2).mean()))
    # The error of a receiver drifts slowly: many positions are hardly better than a handful.
    error = max(residual, 0.5)
    if spread < _LEAST_TRACK * error:
        return None
    azimuth = -math.degrees(float(np.angle(factor)))
    return _Similarity(1000.0 * abs(factor), azimuth, error / spread / math.sqrt(2), residual)


def _scale_note(height: tuple[float, float] | None, fit: _Similarity | None, value: float) -> str:
    parts = []
    if height is not None:
        parts.append(f"{height[0]:.2f} mm by height (± {100 * height[1]:.1f} %)")
    if fit is not None:
        parts.append(f"{fit.mm_per_px:.2f} mm by positions (± {100 * fit.sigma:.1f} %)")
    return f"a ground pixel is {value:.2f} mm: {', '.join(parts)}"


def _placement(
    scale: GroundScale, metres: _Metres, fit: _Similarity | None, origin_xy: tuple[float, float], mm_per_px: float
) -> tuple[PhotoPlacement | None, tuple[str, ...]]:
    centre, known, _ = metres  # the mean of the positions is the origin of their projection
    if fit is not None:
        azimuth, note = (
            fit.azimuth_deg,
            f"direction from the track; positions scatter by {fit.residual_m:.2f} m about it",
        )
    else:
        turns = [math.radians(p.up_azimuth_deg) for p in known if p.up_azimuth_deg is not None]
        if not turns:
            return None, (
                "the track is too short to give a direction and the gimbal's is missing: no place on the map",
            )
        azimuth = math.degrees(math.atan2(float(np.mean(np.sin(turns))), float(np.mean(np.cos(turns)))))
        note = "direction from the gimbal: the track is short"
    ground = np.array([p.ground_xy for p in known]).mean(axis=0)
    at_mm = ((ground[0] - origin_xy[0]) * mm_per_px, (ground[1] - origin_xy[1]) * mm_per_px)
    sigma = math.hypot(SIGMA_GNSS_M, 0.0 if fit is None else fit.residual_m / math.sqrt(len(known)))
    placement = PhotoPlacement(
        scale, centre[0], centre[1], azimuth, origin_mm=at_mm, sigma_m=sigma,
        notes=(note, f"position from the receiver's track; an error of {sigma:.1f} m is assumed"),
    )  # fmt: skip
    return placement, placement.notes
