"""From pixels to longitude and latitude: through a raster's georeference, or a photo's position, view and scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyproj

from fissura.errors import GeometryError
from fissura.geo.gsd import OBLIQUE_DEG
from fissura.geo.metadata import PhotoMetadata, read_metadata
from fissura.geo.raster import RasterMap, read_placement
from fissura.geo.scale import GroundScale, Points
from fissura.geo.view import off_nadir_deg, up_azimuth_deg
from fissura.imaging.write import Placement

SIGMA_GNSS_M = 3.0
"""Horizontal error of a receiver without corrections, with the delay of the shutter in flight."""
SIGMA_RTK_M = 0.05
"""The least for a fixed RTK solution: antenna to lens, and the moment of the exposure."""
SIGMA_RASTER_M = 1.0
"""Orthophoto; those with ground control are better, but the file does not say."""
SIGMA_TILT_DEG = 1.0
"""Error of the view direction."""

PICTURE_EDITORS = (
    "windows", "photo", "gimp", "paint", "picasa", "lightroom", "snapseed", "irfanview", "xnview", "acdsee",
)  # fmt: skip
"""Parts of the names of programs that turn pictures without turning what the file says about the camera."""


class GroundPlacement(Protocol):
    """Where the pixels of one picture lie on the globe."""

    @property
    def sigma_m(self) -> float:
        """Standard error of a position in the middle of the picture, in metres."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """For the user."""
        ...

    def to_lonlat(self, points_rc: Points) -> Points:
        """Pixels (row, column), shape (N, 2), to WGS84 (longitude, latitude) in degrees, shape (N, 2)."""
        ...


@dataclass(frozen=True)
class PositionFinding:
    """A placement, or why there is none.

    Attributes:
        placement: None if the picture has no place on the globe.
        reason: Why, and what would help; empty if there is a placement.
    """

    placement: GroundPlacement | None
    reason: str = ""


class PhotoPlacement:
    """A photo on the plane that touches the globe below its camera.

    Args:
        scale: Pixels to ground millimetres (right, down).
        latitude_deg: WGS84 latitude of ``origin_mm``.
        longitude_deg: Its longitude.
        azimuth_deg: Direction of "up" on the scale's ground, clockwise from north.
        origin_mm: Point on the scale's ground that lies at this position.
        sigma_m: Standard error, in metres.
        notes: For the user.
    """

    def __init__(
        self, scale: GroundScale, latitude_deg: float, longitude_deg: float, azimuth_deg: float, *,
        origin_mm: tuple[float, float] = (0.0, 0.0), sigma_m: float = SIGMA_GNSS_M, notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.sigma_m, self.notes = sigma_m, notes
        self._scale, self._origin_mm = scale, np.array(origin_mm)
        self._azimuth = math.radians(azimuth_deg)
        plane = f"+proj=aeqd +lat_0={float(latitude_deg)!r} +lon_0={float(longitude_deg)!r} +ellps=WGS84 +units=m"
        self._to_lonlat = pyproj.Transformer.from_crs(plane, "EPSG:4326", always_xy=True)

    def to_lonlat(self, points_rc: Points) -> Points:
        """See `GroundPlacement`. Points at or above the horizon are NaN."""
        right, down = (self._scale.to_ground(points_rc) - self._origin_mm).T / 1000.0
        cos, sin = math.cos(self._azimuth), math.sin(self._azimuth)
        east, north = right * cos - down * sin, -right * sin - down * cos
        longitude, latitude = self._to_lonlat.transform(east, north)
        lonlat = np.column_stack([longitude, latitude]).astype(np.float64).reshape(-1, 2)
        lonlat[~self._scale.on_ground(points_rc)] = np.nan
        return lonlat


class RasterPlacement:
    """A georeferenced raster.

    Args:
        placement: Its place on the map.
    Raises:
        GeometryError: It has no usable CRS.
    """

    sigma_m = SIGMA_RASTER_M

    def __init__(self, placement: Placement) -> None:
        self._map = RasterMap(placement)
        self.notes: tuple[str, ...] = (
            f"position from the GeoTIFF ({self._map.crs_name}); an error of {self.sigma_m:g} m is assumed",
        )

    def to_lonlat(self, points_rc: Points) -> Points:
        """See `GroundPlacement`."""
        return self._map.to_lonlat(points_rc)


def find_position(
    path: Path, scale: GroundScale | None = None, *, metadata: PhotoMetadata | None = None
) -> PositionFinding:
    """Find where the pixels of a file lie on the globe.

    Args:
        path: Photo or GeoTIFF.
        scale: Of the photo; a GeoTIFF needs none.
        metadata: Of the photo, if it is read already.
    Raises:
        ImageError: The file cannot be read.
    """
    placed = read_placement(path) if path.suffix.lower() in (".tif", ".tiff") else None
    if placed is not None:
        return locate_raster(placed[0])
    if scale is None:
        return PositionFinding(None, "a photo without scale has no position on the ground")
    return locate_photo(metadata or read_metadata(path), scale)


def locate_raster(placement: Placement) -> PositionFinding:
    """Placement of a georeferenced raster, or the reason why it has none."""
    try:
        return PositionFinding(RasterPlacement(placement))
    except GeometryError as error:
        return PositionFinding(None, str(error))


def locate_photo(metadata: PhotoMetadata, scale: GroundScale) -> PositionFinding:
    """Placement of a photo from its position, the direction of its camera and its scale.

    A scale from the camera's height has its origin below the camera. Any other is put with the picture's centre at
    the photo's position, which is right for a view straight down only.
    """
    if metadata.latitude_deg is None or metadata.longitude_deg is None:
        reason = "; ".join(metadata.position_problems) or "EXIF GPSLatitude and GPSLongitude are missing"
        return PositionFinding(None, f"the photo has no position ({reason})")
    yaw, notes = _yaw(metadata)
    if yaw is None:
        return PositionFinding(None, "the photo has no direction (XMP GimbalYawDegree and FlightYawDegree are missing)")
    pitch = -90.0 if metadata.camera_pitch_deg is None else metadata.camera_pitch_deg
    centre_mm = scale.to_ground(np.array([[(side - 1) / 2 for side in metadata.size_hw]]))[0]
    below_camera = scale.source == "xmp"
    if not below_camera and off_nadir_deg(pitch) > OBLIQUE_DEG:
        return PositionFinding(
            None,
            f"an oblique view (GimbalPitchDegree {pitch:+.1f}) can only be placed through the camera's height, "
            f"but its scale is from another source ({scale.source})",
        )
    origin = (0.0, 0.0) if below_camera else (float(centre_mm[0]), float(centre_mm[1]))
    sigma, by = _sigma(metadata, pitch)
    placement = PhotoPlacement(
        scale, metadata.latitude_deg, metadata.longitude_deg,
        up_azimuth_deg(pitch, metadata.camera_roll_deg or 0.0, yaw),
        origin_mm=origin, sigma_m=sigma,
        notes=(
            *notes, *_editor_note(metadata), *metadata.position_problems,
            f"position from the photo's {by}; an error of {sigma:.1f} m is assumed in its middle",
        ),
    )  # fmt: skip
    return PositionFinding(placement)


def _editor_note(metadata: PhotoMetadata) -> tuple[str, ...]:
    """A picture turned in an editor is placed turned, and nothing in the file tells."""
    if not any(part in metadata.software.lower() for part in PICTURE_EDITORS):
        return ()
    return (
        f"the photo was last saved by {metadata.software}: if it was turned there, everything in it is placed turned "
        "about its middle; use the original",
    )


def _yaw(metadata: PhotoMetadata) -> tuple[float | None, tuple[str, ...]]:
    if metadata.camera_yaw_deg is not None:
        return metadata.camera_yaw_deg, ()
    if metadata.flight_yaw_deg is None:
        return None, ()
    return metadata.flight_yaw_deg, ("the camera's direction is missing; the aircraft's (FlightYawDegree) is used",)


def _sigma(metadata: PhotoMetadata, pitch_deg: float) -> tuple[float, str]:
    """Standard error in the picture's middle, in metres, and what gave the position."""
    height = max(metadata.relative_altitude_m or 0.0, 0.0)
    # A tilt moves the point that the camera looks at, the more the lower it looks over the ground.
    tilt = height * math.radians(SIGMA_TILT_DEG) / max(math.cos(math.radians(off_nadir_deg(pitch_deg))), 0.1) ** 2
    if not metadata.rtk_fixed:
        return math.hypot(SIGMA_GNSS_M, tilt), "GNSS receiver"
    east, north, _ = metadata.rtk_std_m or (0.0, 0.0, 0.0)
    return math.hypot(SIGMA_RTK_M, east, north, tilt), "RTK receiver"
