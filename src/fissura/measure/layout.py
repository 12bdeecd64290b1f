"""Where a road runs in a picture: sections along it and zones across its lane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely

from fissura.errors import SettingsError
from fissura.geo.scale import GroundScale
from fissura.measure.axis import ground_xy
from fissura.measure.model import Points
from fissura.measure.rules import Zone

OUTSIDE = "outside lane"
"""Zone of what lies beyond the lane's edges."""


@dataclass(frozen=True, eq=False)
class RoadLayout:
    """Where the road runs on the ground, for sections along it and zones across its lane.

    Make one with `along_lane` or `across_picture`.

    Attributes:
        origin_mm: Where sections begin and, if a lane is known, a point on its centre; ground (x right, y down).
        along: Unit vector along the road, on the ground.
        lane_width_m: None if no lane is known; then there are no zones.
        section_length_m: None if the road is not cut into sections.
    """

    origin_mm: tuple[float, float]
    along: tuple[float, float]
    lane_width_m: float | None = None
    section_length_m: float | None = None

    def __post_init__(self) -> None:
        for name in ("lane_width_m", "section_length_m"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise SettingsError(f"{name} is {value}; it must be above 0, or None if it is unknown")

    @classmethod
    def along_lane(
        cls, centre_rc: Points, scale: GroundScale, lane_width_m: float, section_length_m: float | None = None
    ) -> RoadLayout:
        """From two pixels (row, column) on the lane's centre line; left and right as seen from the first to the second.

        Raises:
            SettingsError: The two points are one, one of them is not on the ground, or a length is not above 0.
        """
        points_rc = np.asarray(centre_rc, np.float64).reshape(-1, 2)
        beyond = points_rc[~scale.on_ground(points_rc)]
        if len(beyond):
            # Such a point comes out behind the camera, and left would be right.
            row, column = beyond[0]
            raise SettingsError(
                f"the lane's centre line has a point at column {column:g}, row {row:g}, at or above the horizon of "
                "this view; give two points on the road, below the horizon"
            )
        ground = ground_xy(points_rc, scale)
        if len(ground) != 2 or np.allclose(ground[0], ground[1]):
            raise SettingsError(f"the lane's centre line needs two different pixels (row, column), got {centre_rc!r}")
        along = (ground[1] - ground[0]) / np.linalg.norm(ground[1] - ground[0])
        return cls(_pair(ground[0]), _pair(along), lane_width_m, section_length_m)

    @classmethod
    def across_picture(
        cls, road_direction_deg: float, size_hw: tuple[int, int], scale: GroundScale, section_length_m: float
    ) -> RoadLayout:
        """Sections only, counted from where the road's direction enters the picture.

        Args:
            road_direction_deg: Counter-clockwise from the picture's right, on the ground.
            size_hw: Rows and columns of the picture.
            scale: Its scale.
            section_length_m: Length of a section along the road.
        """
        angle = np.radians(road_direction_deg)
        along = np.array([np.cos(angle), -np.sin(angle)])
        bottom, right = size_hw[0] - 0.5, size_hw[1] - 0.5
        corners_rc = np.array([[-0.5, -0.5], [-0.5, right], [bottom, -0.5], [bottom, right]])
        # What lies at or above the horizon would come out behind the camera.
        on_ground = scale.on_ground(corners_rc)
        corners = ground_xy(corners_rc[on_ground] if on_ground.any() else corners_rc, scale)
        return cls(_pair(corners[np.argmin(corners @ along)]), _pair(along), None, section_length_m)

    def to_road(self, points_rc: Points, scale: GroundScale) -> Points:
        """Pixels to the road's own metres: along it from the origin, and to the right of the lane's centre, (N, 2)."""
        away = (ground_xy(points_rc, scale) - np.array(self.origin_mm)) / 1000.0
        # on the ground y points down, so right of (x, y) is (-y, x)
        right = np.array([-self.along[1], self.along[0]])
        return np.column_stack([away @ np.array(self.along), away @ right])


def assign_zone(points_rc: Points, scale: GroundScale, layout: RoadLayout, zones: Sequence[Zone]) -> str:
    """The zone in which most of a line lies; empty without a lane or zones.

    Args:
        points_rc: Pixels, shape (N >= 2, 2).
        scale: Pixels to ground.
        layout: With a lane, from `RoadLayout.along_lane`.
        zones: From left to right, for example those of ``aashto_r85``.
    """
    shares: dict[str, float] = {}
    for (_, zone), share in line_shares(points_rc, scale, layout, zones).items():
        shares[zone] = shares.get(zone, 0.0) + share
    return max(shares, key=lambda zone: shares[zone])


def line_shares(
    points_rc: Points, scale: GroundScale, layout: RoadLayout, zones: Sequence[Zone]
) -> dict[tuple[str, str], float]:
    """Share of a line's length in each (section, zone), cut exactly at the borders."""
    road = layout.to_road(points_rc, scale)
    borders = _borders(layout, zones)
    lengths: dict[tuple[str, str], float] = {}
    for start, stop in pairwise(road):
        cuts = [0.0, 1.0, *_crossings(start[1], stop[1], borders)]
        if layout.section_length_m is not None:
            cuts += _crossings(start[0], stop[0], _section_borders(start[0], stop[0], layout.section_length_m))
        cuts.sort()
        for low, high in pairwise(cuts):
            middle = start + (low + high) / 2 * (stop - start)
            key = (_section(middle[0], layout), _zone(middle[1], borders, zones))
            lengths[key] = lengths.get(key, 0.0) + (high - low) * float(np.linalg.norm(stop - start))
    total = sum(lengths.values())
    return {key: length / total for key, length in lengths.items() if length > 0} if total > 0 else {("", ""): 1.0}


def area_shares(
    outline_rc: Points, scale: GroundScale, layout: RoadLayout, zones: Sequence[Zone]
) -> dict[tuple[str, str], float]:
    """Share of an area in each (section, zone)."""
    road = layout.to_road(outline_rc, scale)
    # an outline that was simplified may touch itself
    shape = shapely.make_valid(shapely.polygons(road))
    low, high = road[:, 0].min(), road[:, 0].max()
    along = [low - 1, high + 1]
    if layout.section_length_m is not None:
        along = [low - 1, *_section_borders(low, high, layout.section_length_m), high + 1]
    borders = _borders(layout, zones)
    far = float(np.abs(road[:, 1]).max()) + sum(map(abs, borders)) + 1
    across = [-far, *borders, far]
    shares: dict[tuple[str, str], float] = {}
    for a, b in pairwise(along):
        for left, right in pairwise(across):
            share = float(shapely.area(shapely.intersection(shape, shapely.box(a, left, b, right)))) / shape.area
            middle = (max(a, low) + min(b, high)) / 2
            key = (_section(middle, layout), _zone((left + right) / 2, borders, zones))
            if share > 1e-9:
                shares[key] = shares.get(key, 0.0) + share
    return shares


def _borders(layout: RoadLayout, zones: Sequence[Zone]) -> list[float]:
    """Offsets at which zones end, the lane's edges included. Zones that reach past the lane end at its edge."""
    if not zones or layout.lane_width_m is None:
        return []
    half = layout.lane_width_m / 2
    inner = [zone.to_m for zone in zones if zone.to_m is not None]
    return [-half, *(min(max(border, -half), half) for border in inner), half]


def _zone(offset_m: float, borders: Sequence[float], zones: Sequence[Zone]) -> str:
    if not borders:
        return ""
    if not borders[0] <= offset_m <= borders[-1]:
        return OUTSIDE
    # in a narrow lane the outer zones have no width: the first border at or beyond the offset decides
    number = int(np.searchsorted(borders[1:-1], offset_m, side="left"))
    return zones[number].name


def _section(chainage_m: float, layout: RoadLayout) -> str:
    """``0 to 10 m``; what lies before the origin has negative numbers."""
    if layout.section_length_m is None:
        return ""
    start = float(np.floor(chainage_m / layout.section_length_m)) * layout.section_length_m
    return f"{start:g} to {start + layout.section_length_m:g} m"


def _section_borders(start_m: float, stop_m: float, step_m: float) -> list[float]:
    """Multiples of the section length between two chainages."""
    low, high = sorted((start_m, stop_m))
    return [k * step_m for k in range(int(np.floor(low / step_m)) + 1, int(np.ceil(high / step_m)))]


def _crossings(start: float, stop: float, borders: Sequence[float]) -> Iterator[float]:
    """Where between 0 and 1 a segment crosses each border."""
    return ((border - start) / (stop - start) for border in borders if (border - start) * (border - stop) < 0)


def _pair(values: Points) -> tuple[float, float]:
    return float(values[0]), float(values[1])
