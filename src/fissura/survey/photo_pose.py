"""What a photo's own data say of its pose: place, direction, height and tilt, with how sure each is.

Ground coordinates of a flight of photos are ground pixels of a fixed size, x to the east and y to the south from an
origin near the photos, so that a `FramePose` without turn has north up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

from fissura.errors import GeometryError
from fissura.geo.crs import suspicious_position, unwrapped, wrapped
from fissura.geo.focal import estimate_focal_px, missing_focal
from fissura.geo.gsd import (
    SIGMA_BAROMETER_M,
    SIGMA_GROUND_GIVEN_M,
    SIGMA_RTK_M,
    SIGMA_TERRAIN_M,
)
from fissura.geo.homography import transform
from fissura.geo.metadata import PhotoMetadata
from fissura.geo.odm import AlignedPhoto
from fissura.geo.position import SIGMA_GNSS_M
from fissura.geo.position import SIGMA_RTK_M as SIGMA_POSITION_RTK_M
from fissura.geo.view import nadir_in_camera, up_azimuth_deg
from fissura.survey.pose import FramePose, Lens, ground_pixel_size

SIGMA_GNSS_OWN_M = 1.5
"""Of `SIGMA_GNSS_M` the part that differs from photo to photo; the rest is common to a flight and cannot be seen."""
SIGMA_COMMON_M = math.sqrt(SIGMA_GNSS_M**2 - SIGMA_GNSS_OWN_M**2)
SIGMA_ALIGNED_M = 0.1
"""Of a place by a photogrammetric project, where it does not state it, against the project's other photos."""
SIGMA_ALIGNED_COMMON_M = 0.5
"""Of such a project as a whole: what remains of the receivers' errors when many of them are averaged."""
FARTHEST_ALIGNED_M = 100.0
"""Between a photo's place by a project and by its own receiver, if it is the same photo."""
SIGMA_YAW_DEG = 2.0
"""Of the compass, from photo to photo; a flight's common error is as large again."""
LARGEST_TILT_DEG = 70.0
"""Views nearer to the horizon than 20 degrees are not put on the ground: a degree moves their ground too far."""


@dataclass(frozen=True)
class PosePrior:
    """A photo's pose by its own data.

    Attributes:
        lens: Of the photo.
        latitude_deg: WGS84.
        longitude_deg: WGS84.
        height_m: Above the ground.
        turn: Radians; direction of the picture's upper edge, clockwise from north, at the photo's middle.
        tilt: `FramePose.tilt_x` and ``tilt_y``.
        sigma_place_m: Standard error of the place that this photo has for itself.
        sigma_common_m: The part that it shares with the other photos of the flight.
        sigma_height: Relative standard error of the height that this photo has for itself.
        sigma_scale: Relative standard error of the scale that all photos share: ground above take-off, focal length.
        notes: For the user.
    """

    lens: Lens
    latitude_deg: float
    longitude_deg: float
    height_m: float
    turn: float
    tilt: tuple[float, float]
    sigma_place_m: float = SIGMA_GNSS_OWN_M
    sigma_common_m: float = SIGMA_COMMON_M
    sigma_height: float = 0.03
    sigma_scale: float = 0.05
    notes: tuple[str, ...] = ()

    @property
    def gsd_mm(self) -> float:
        """Ground size of a pixel straight below the camera."""
        return 1000.0 * self.height_m / self.lens.focal_px


def find_prior(
    metadata: PhotoMetadata, *, ground_height_m: float | None = None, sensor_width_mm: float | None = None,
    gsd_mm: float | None = None,
) -> PosePrior | str:  # fmt: skip
    """The pose of a photo by EXIF and XMP, or the reason why it has none, for people.

    Args:
        metadata: Of the photo.
        ground_height_m: Of the road above the take-off point.
        sensor_width_mm: Of the camera.
        gsd_mm: Ground size of a pixel, if the user gave it; it replaces the height.
    """
    if metadata.latitude_deg is None or metadata.longitude_deg is None:
        return "; ".join(metadata.position_problems) or "it has no position (EXIF GPSLatitude, GPSLongitude)"
    doubt = suspicious_position(metadata.latitude_deg, metadata.longitude_deg)
    if doubt is not None:
        return doubt
    yaw = metadata.camera_yaw_deg if metadata.camera_yaw_deg is not None else metadata.flight_yaw_deg
    if yaw is None:
        return "it has no direction (XMP GimbalYawDegree, FlightYawDegree)"
    try:
        focal = estimate_focal_px(metadata, sensor_width_mm=sensor_width_mm)
    except GeometryError as error:
        return str(error)
    if focal is None:
        return missing_focal(metadata)
    height = _height(metadata, ground_height_m, gsd_mm, focal.px)
    if isinstance(height, str):
        return height
    pitch = -90.0 if metadata.camera_pitch_deg is None else metadata.camera_pitch_deg
    roll = metadata.camera_roll_deg or 0.0
    right, down, forward = nadir_in_camera(pitch, roll)
    if forward < math.cos(math.radians(LARGEST_TILT_DEG)):
        return f"it looks too far along the ground (GimbalPitchDegree {pitch:+.1f}); -20 to -90 (down) are used"
    metres, sigma_own, sigma_ground, notes = height
    own, common = SIGMA_GNSS_OWN_M, SIGMA_COMMON_M
    if metadata.rtk_fixed:
        east, north, _ = metadata.rtk_std_m or (0.0, 0.0, 0.0)
        own, common = math.hypot(0.03, east, north), SIGMA_POSITION_RTK_M
    lens = Lens(focal.px, metadata.size_hw)
    tilt = math.atan2(down, forward), -math.asin(right)
    level = FramePose(tilt_x=tilt[0], tilt_y=tilt[1])
    turn = math.radians(up_azimuth_deg(pitch, roll, yaw)) - up_direction(level, lens)
    return PosePrior(
        lens, metadata.latitude_deg, metadata.longitude_deg, metres, turn, tilt, own, common,
        sigma_own / metres, math.hypot(sigma_ground / metres, focal.sigma), (*focal.notes, *notes),
    )  # fmt: skip


def up_direction(pose: FramePose, lens: Lens, quarters: int = 0) -> float:
    """Direction on the ground of the picture's upper edge at its middle, radians clockwise from the ground's up.

    Args:
        pose: Of the picture.
        lens: Of the picture.
        quarters: Asks for the edge that is up when the picture has been turned so many quarters clockwise.
    """
    cx, cy = lens.centre_xy
    right, down = ((0.0, -1.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 0.0))[quarters % 4]
    (x0, y0), (x1, y1) = transform(pose.ground_from_frame(lens), np.array([[cx, cy], [cx + right, cy + down]]))
    return math.atan2(float(x1 - x0), float(y0 - y1))


def _height(
    metadata: PhotoMetadata, ground_height_m: float | None, gsd_mm: float | None, focal_px: float
) -> tuple[float, float, float, tuple[str, ...]] | str:
    """Metres above the ground, the photo's own error, the common one, notes; or why it is not known."""
    if gsd_mm is not None:
        metres = gsd_mm * focal_px / 1000.0
        return metres, 0.001 * metres, 0.0, ("ground sampling distance as given, taken as exact",)
    if metadata.relative_altitude_m is None:
        return "it states no height (XMP RelativeAltitude); give --gsd-mm"
    metres = metadata.relative_altitude_m - (ground_height_m or 0.0)
    if metres <= 0.5:
        return (
            f"its camera is {metres:+.2f} m above the ground by XMP RelativeAltitude; give --ground-height (the road's "
            "height above the take-off point) or --gsd-mm"
        )
    own = SIGMA_RTK_M if metadata.rtk_fixed else SIGMA_BAROMETER_M
    if ground_height_m is None:
        note = f"heights count from the take-off point: the road may lie {SIGMA_TERRAIN_M:g} m higher or lower"
        return metres, own, SIGMA_TERRAIN_M, (f"{note}; --ground-height makes lengths and widths surer",)
    return metres, own, SIGMA_GROUND_GIVEN_M, ()


@dataclass(frozen=True, eq=False)
class GroundFrame:
    """The plane that a flight of photos lies on.

    Attributes:
        latitude_deg: Of ground pixel (0, 0).
        longitude_deg: The same.
        gsd_mm: Side of a ground pixel.
    """

    latitude_deg: float
    longitude_deg: float
    gsd_mm: float

    @classmethod
    def around(cls, priors: Sequence[PosePrior]) -> GroundFrame:
        """The plane that touches the globe at the middle of some photos, as fine as the finer ones of them."""
        return cls(
            float(np.median([p.latitude_deg for p in priors])),
            wrapped(float(np.median(unwrapped([p.longitude_deg for p in priors])))),
            float(np.percentile([p.gsd_mm for p in priors], 25)),
        )  # fmt: skip

    def plane(self) -> str:
        """The projection as PROJ writes it, in metres."""
        latitude, longitude = float(self.latitude_deg), float(self.longitude_deg)
        return f"+proj=aeqd +lat_0={latitude!r} +lon_0={longitude!r} +ellps=WGS84 +units=m"

    def to_ground(self, lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Longitude and latitude, shape (N, 2), to ground pixels (x, y)."""
        plane = pyproj.Transformer.from_crs("EPSG:4326", self.plane(), always_xy=True)
        east, north = plane.transform(lonlat[:, 0], lonlat[:, 1])
        return np.column_stack([east, -np.asarray(north)]) * (1000.0 / self.gsd_mm)

    def to_lonlat(self, ground_xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The other way."""
        metres = ground_xy * (self.gsd_mm / 1000.0)
        globe = pyproj.Transformer.from_crs(self.plane(), "EPSG:4326", always_xy=True)
        longitude, latitude = globe.transform(metres[:, 0], -metres[:, 1])
        return np.column_stack([longitude, latitude]).astype(np.float64)

    def pose(self, prior: PosePrior) -> FramePose:
        """A photo's pose on this ground by its own data."""
        x, y = self.to_ground(np.array([[prior.longitude_deg, prior.latitude_deg]]))[0]
        return FramePose(
            float(x), float(y), prior.turn, math.log(prior.gsd_mm / self.gsd_mm), prior.tilt[0], prior.tilt[1]
        )


def turned(pose: FramePose, lens: Lens, quarters: int) -> FramePose:
    """The pose of a picture that an editor turned by quarters of a circle, clockwise, after it was taken.

    What the file says holds for the picture before. The lens stays: its picture was square to it.
    """
    if quarters % 4 == 0:
        return pose
    # Straight down as the camera sees it (right, down, forward); see `FramePose` for the order of the tilts.
    right = -math.sin(pose.tilt_y)
    down, forward = math.sin(pose.tilt_x) * math.cos(pose.tilt_y), math.cos(pose.tilt_x) * math.cos(pose.tilt_y)
    for _ in range(quarters % 4):
        right, down = -down, right  # in a picture turned clockwise, what was down lies to the left
    level = replace(pose, tilt_x=math.atan2(down, forward), tilt_y=-math.asin(right), turn=0.0)
    return replace(level, turn=up_direction(pose, lens, quarters) - up_direction(level, lens))


def footprint(
    pose: FramePose, lens: Lens, *, coarsest: float = 4.0
) -> tuple[npt.NDArray[np.float64], float]:
    """Outline on the ground of the part of a photo that shows it at a useful size.

    Args:
        pose: Of the photo.
        lens: Of the photo.
        coarsest: Ground is left out where a pixel is so many times larger than in the part nearest to the camera.
    Returns:
        Ground pixels (x, y), shape (N, 2), and the size of a pixel in the photo's middle, in ground pixels.
    """
    h, w = lens.size_hw
    matrix = pose.ground_from_frame(lens)
    xs, ys = np.linspace(0, w - 1, 33), np.linspace(0, h - 1, 33)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    ahead = np.column_stack([grid, np.ones(len(grid))]) @ matrix[2] > 0.02
    size = np.where(ahead, ground_pixel_size(matrix, grid), np.inf)
    limit = coarsest * float(size.min())
    middle = float(ground_pixel_size(matrix, np.array([lens.centre_xy]))[0])
    if (size <= limit).all():
        corners = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], np.float64)
        return transform(matrix, corners), middle
    from shapely.geometry import MultiPoint

    hull = MultiPoint(transform(matrix, grid[size <= limit])).convex_hull
    return np.array(hull.exterior.coords)[:-1], middle


def share_alignment(
    photos: Sequence[tuple[str, PhotoMetadata]], alignment: Mapping[str, AlignedPhoto]
) -> tuple[list[AlignedPhoto | None], list[str]]:
    """Give each pose of a photogrammetric project to the photo that it belongs to.

    Projects name their photos without folders, and cameras give the same names again and again. So of several photos
    of a name only that has the pose whose own place is nearest to it, and where the project as a whole lies where its
    photos say, none has one from further away than `FARTHEST_ALIGNED_M`. A project that lies elsewhere as a whole is
    believed: so do those whose photos have poor places.

    Args:
        photos: File name and metadata of each.
        alignment: Poses by file name.
    Returns:
        The pose of each photo, None if it has none, and a note for the user on it; empty if there is nothing to say.
    """
    given, notes = [alignment.get(name) for name, _ in photos], [""] * len(photos)
    away = [
        np.inf if aligned is None else _metres_away(metadata, aligned)
        for aligned, (_, metadata) in zip(given, photos, strict=True)
    ]
    named: dict[str, list[int]] = {}
    for k, (name, _) in enumerate(photos):
        named.setdefault(name, []).append(k)
    for name, members in named.items():
        nearest = min(members, key=lambda k: away[k])
        for k in members if len(members) > 1 and name in alignment else ():
            if k != nearest or not away[k] <= FARTHEST_ALIGNED_M:
                given[k] = None
                notes[k] = f"the alignment has one {name}, which is another photo of that name: it keeps its own place"
    far = {k for k, aligned in enumerate(given) if aligned is not None and FARTHEST_ALIGNED_M < away[k] < np.inf}
    near = sum(aligned is not None and away[k] <= FARTHEST_ALIGNED_M for k, aligned in enumerate(given))
    for k in far:
        notes[k] = f"its place by the alignment is {away[k]:.0f} m from its own"
        if near >= len(far):
            given[k] = None
            notes[k] += "; others agree, so it keeps its own: it may be another photo of that name"
    return given, notes


def _metres_away(metadata: PhotoMetadata, aligned: AlignedPhoto) -> float:
    """From a photo's own place to the one by a project; infinite if it has no place."""
    latitude, longitude = metadata.latitude_deg, metadata.longitude_deg
    if latitude is None or longitude is None or suspicious_position(latitude, longitude) is not None:
        return math.inf
    return float(pyproj.Geod(ellps="WGS84").inv(longitude, latitude, aligned.longitude_deg, aligned.latitude_deg)[2])


def find_aligned_prior(
    metadata: PhotoMetadata, aligned: AlignedPhoto, *, ground_height_m: float | None = None,
    sensor_width_mm: float | None = None, gsd_mm: float | None = None,
) -> PosePrior | str:  # fmt: skip
    """The pose of a photo that a photogrammetric project has put in its place; the height stays the photo's own.

    Args:
        metadata: Of the photo.
        aligned: What the project says.
        ground_height_m: See `find_prior`.
        sensor_width_mm: See `find_prior`.
        gsd_mm: See `find_prior`.
    """
    changes: dict[str, Any] = {
        "latitude_deg": aligned.latitude_deg, "longitude_deg": aligned.longitude_deg, "position_problems": (),
    }  # fmt: skip
    if aligned.yaw_deg is not None:
        changes |= {
            "camera_yaw_deg": aligned.yaw_deg, "camera_pitch_deg": aligned.pitch_deg,
            "camera_roll_deg": aligned.roll_deg,
        }  # fmt: skip
    prior = find_prior(
        replace(metadata, **changes), ground_height_m=ground_height_m, sensor_width_mm=sensor_width_mm, gsd_mm=gsd_mm
    )
    if isinstance(prior, str):
        return prior
    focal_px = aligned.focal_px_of(metadata.size_hw)
    lens = prior.lens if focal_px is None else Lens(focal_px, metadata.size_hw)
    if gsd_mm is not None:  # it stays as given
        prior = replace(prior, height_m=prior.height_m * lens.focal_px / prior.lens.focal_px)
    own = SIGMA_ALIGNED_M if aligned.horizontal_sigma_m is None else aligned.horizontal_sigma_m
    return replace(prior, lens=lens, sigma_place_m=own, sigma_common_m=max(own, SIGMA_ALIGNED_COMMON_M))
