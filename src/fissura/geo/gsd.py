"""`find_ground_scale`: from a file and what the user knows to a `GroundScale`, or to the reason why there is none.

Order of preference: a given ground sampling distance, a target in the picture, the raster's georeference, the
camera's data with its height or a given distance. What was used, and how sure it is, is in the scale's ``source``,
``sigma`` and ``notes``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fissura.errors import GeometryError, ImageError, SettingsError
from fissura.geo.focal import estimate_focal_px, missing_focal
from fissura.geo.metadata import PhotoMetadata, read_metadata
from fissura.geo.raster import estimate_raster_scale, read_placement
from fissura.geo.scale import GroundScale
from fissura.geo.targets import find_target_scale, parse_target
from fissura.geo.view import find_ground_homography, off_nadir_deg
from fissura.types import RgbImage

SIGMA_BAROMETER_M = 1.0
"""Height above take-off by barometer: drift with weather and speed during a flight."""
SIGMA_RTK_M = 0.5
"""The same with a fixed RTK solution: its own error is centimetres, but the tag may still be the barometer's."""
SIGMA_TERRAIN_M = 2.0
"""Height of the road above the take-off point where nobody stated it."""
SIGMA_GROUND_GIVEN_M = 0.3
"""The same where the user gave it."""
SIGMA_DISTANCE = 0.02
"""Relative error of a distance given by the user."""
SIGMA_TILT_DEG = 1.0
"""Angle between the view and the true vertical: gimbal, and the slope of a road."""
LARGEST_SIGMA = 0.5
"""A scale less sure than this says nothing; pixels are the better answer."""
OBLIQUE_DEG = 5.0
"""Views further than this from straight down are called oblique."""

_LEVEL_ADVICE = "for a wall give --distance-m, or --gsd-mm"


@dataclass(frozen=True)
class ScaleFinding:
    """A scale, or why there is none.

    Attributes:
        scale: None if the picture can only be measured in pixels.
        reason: Why, and what would help; empty if there is a scale.
        metadata: What the file says about its camera, if that was read.
    """

    scale: GroundScale | None
    reason: str = ""
    metadata: PhotoMetadata | None = None


def find_ground_scale(
    path: Path,
    *,
    gsd_mm: float | None = None,
    target: str | None = None,
    ground_height_m: float | None = None,
    distance_m: float | None = None,
    sensor_width_mm: float | None = None,
    rgb: RgbImage | None = None,
) -> ScaleFinding:
    """Find how large the pixels of a file are on the ground.

    Args:
        path: Photo or GeoTIFF.
        gsd_mm: Ground size of a pixel, in millimetres; if given, nothing else counts.
        target: A target of known size in the picture: see `fissura.geo.targets.parse_target`.
        ground_height_m: Height of the road above the take-off point, in metres, negative if it lies lower. The
            camera is at the photo's relative altitude less this.
        distance_m: From the lens to a surface square to the view (a wall), in metres; in place of any height.
        sensor_width_mm: Width of the camera's sensor (its long side), in millimetres.
        rgb: The picture as displayed, shape (H, W, 3), if it is decoded already; only a target needs it.
    Raises:
        SettingsError: An option makes no sense.
        GeometryError: The file's fields contradict each other or the options.
        ImageError: The file cannot be read.
    """
    check_scale_options(gsd_mm, ground_height_m, distance_m, sensor_width_mm)
    spec = parse_target(target) if target is not None else None
    if gsd_mm is not None:
        scale = GroundScale.uniform(gsd_mm, notes=("ground sampling distance as given, taken as exact",))
        return ScaleFinding(scale, metadata=_metadata_of(path))
    missed = ""
    if spec is not None:
        found = find_target_scale(_picture(path, rgb), spec)
        if found is not None:
            return ScaleFinding(found, metadata=_metadata_of(path))
        missed = f"the target ({spec}) was not found in the picture"
    placed = read_placement(path) if path.suffix.lower() in (".tif", ".tiff") else None
    if placed is not None:
        try:
            finding = ScaleFinding(estimate_raster_scale(*placed))
        except GeometryError as error:
            return ScaleFinding(None, "; ".join(filter(None, (missed, str(error)))))
    else:
        finding = estimate_photo_scale(
            read_metadata(path), ground_height_m=ground_height_m, distance_m=distance_m, sensor_width_mm=sensor_width_mm
        )
    if not missed:
        return finding
    if finding.scale is None:
        return replace(finding, reason=f"{missed}; {finding.reason}")
    return replace(finding, scale=replace(finding.scale, notes=(missed, *finding.scale.notes)))


def estimate_photo_scale(
    metadata: PhotoMetadata,
    *,
    ground_height_m: float | None = None,
    distance_m: float | None = None,
    sensor_width_mm: float | None = None,
) -> ScaleFinding:
    """Scale of a photo from its camera's data; arguments and errors as in `find_ground_scale`."""
    check_scale_options(None, ground_height_m, distance_m, sensor_width_mm)
    if distance_m is None and metadata.relative_altitude_m is None:
        return ScaleFinding(None, _missing_height(metadata), metadata)
    focal = estimate_focal_px(metadata, sensor_width_mm=sensor_width_mm)
    if focal is None:
        return ScaleFinding(None, "; ".join((*metadata.problems, missing_focal(metadata))), metadata)
    notes = (*focal.notes, *metadata.problems)
    if distance_m is not None:
        matrix = find_ground_homography(focal.px, metadata.size_hw, distance_m)
        sigma = math.hypot(focal.sigma, SIGMA_DISTANCE)
        notes += (f"distance of {distance_m:g} m as given; the surface is taken as square to the view",)
        return ScaleFinding(GroundScale(matrix, sigma, "exif", notes), metadata=metadata)
    height = _height(metadata, ground_height_m)
    if isinstance(height, str):
        return ScaleFinding(None, height, metadata)
    pitch = -90.0 if metadata.camera_pitch_deg is None else metadata.camera_pitch_deg
    if not -180.0 < pitch < 0.0:
        reason = f"the camera looks level or upwards (GimbalPitchDegree {pitch:+.1f}), not at the ground"
        return ScaleFinding(None, f"{reason}; {_LEVEL_ADVICE}", metadata)
    sigma_tilt = 1.5 * abs(math.tan(math.radians(off_nadir_deg(pitch)))) * math.radians(SIGMA_TILT_DEG)
    sigma = math.hypot(focal.sigma, height.sigma_m / height.metres, sigma_tilt)
    if sigma > LARGEST_SIGMA:
        return ScaleFinding(None, _too_unsure(height, sigma), metadata)
    matrix = find_ground_homography(
        focal.px, metadata.size_hw, height.metres, pitch_deg=pitch, roll_deg=metadata.camera_roll_deg or 0.0
    )
    scale = GroundScale(matrix, sigma, "xmp")
    notes += (*height.notes, *_view_notes(metadata, scale, pitch))
    return ScaleFinding(replace(scale, notes=notes), metadata=metadata)


@dataclass(frozen=True)
class _Height:
    metres: float
    sigma_m: float
    notes: tuple[str, ...]


def _height(metadata: PhotoMetadata, ground_height_m: float | None) -> _Height | str:
    """Height of the camera above the road, or why it is unknown."""
    relative = metadata.relative_altitude_m
    assert relative is not None
    metres = relative - (ground_height_m or 0.0)
    if metres <= 0:
        if ground_height_m is not None:
            raise GeometryError(
                f"XMP RelativeAltitude is {relative:+.2f} m and --ground-height {ground_height_m:+.2f} m, so the "
                "camera would be in the ground; --ground-height is the road's height above the take-off point"
            )
        return (
            f"XMP RelativeAltitude is {relative:+.2f} m, not above the ground; give --ground-height (the road's height "
            "above the take-off point), --distance-m or --gsd-mm"
        )
    sigma_own, by = (SIGMA_RTK_M, "RTK") if metadata.rtk_fixed else (SIGMA_BAROMETER_M, "barometer")
    if ground_height_m is None:
        sigma = math.hypot(sigma_own, SIGMA_TERRAIN_M)
        note = (
            f"height of {metres:.2f} m is the one above take-off, not above the road: an error of {sigma:.1f} m is "
            f"assumed ({by} {sigma_own:g} m, ground {SIGMA_TERRAIN_M:g} m); --ground-height makes it smaller"
        )
    else:
        sigma = math.hypot(sigma_own, SIGMA_GROUND_GIVEN_M)
        note = (
            f"height of {metres:.2f} m: {relative:.2f} m above take-off less the given ground height of "
            f"{ground_height_m:g} m; an error of {sigma:.1f} m is assumed ({by})"
        )
    return _Height(metres, sigma, (note,))


def _view_notes(metadata: PhotoMetadata, scale: GroundScale, pitch_deg: float) -> tuple[str, ...]:
    if metadata.camera_pitch_deg is None:
        return ("the file states no gimbal angle; the view is taken as straight down",)
    notes: list[str] = []
    if metadata.orientation != 1:
        notes.append("the picture is turned by EXIF Orientation; the gimbal's angles are taken as those of the display")
    if off_nadir_deg(pitch_deg) <= OBLIQUE_DEG:
        return tuple(notes)
    height, width = metadata.size_hw
    corners = np.array([[r, c] for r in (0.0, height - 1.0) for c in (0.0, width - 1.0)])
    if scale.on_ground(corners).all():
        values = scale.gsd_mm(corners)
        span = f"pixels of {values.min():.2f} to {values.max():.2f} mm"
    else:
        span = "the horizon is in the picture; nothing is measured at or above it, and little is sure near it"
    return (*notes, f"oblique view ({off_nadir_deg(pitch_deg):.0f} degrees from straight down), level ground: {span}")


def _too_unsure(height: _Height, sigma: float) -> str:
    return (
        f"the camera's height of {height.metres:.2f} m is known to {height.sigma_m:.1f} m only, which makes lengths "
        f"unsure by {100 * sigma:.0f} %; give --ground-height, --distance-m or --gsd-mm"
    )


def _missing_height(metadata: PhotoMetadata) -> str:
    advice = "give --distance-m or --gsd-mm"
    if metadata.altitude_m is not None:
        return (
            f"XMP RelativeAltitude is missing; EXIF GPSAltitude ({metadata.altitude_m:.1f} m) is a height above the "
            f"sea, not above the road; {advice}"
        )
    return f"the file states no height (XMP RelativeAltitude is missing); {advice}"


def check_scale_options(
    gsd_mm: float | None, ground_height_m: float | None, distance_m: float | None, sensor_width_mm: float | None
) -> None:
    """Raise SettingsError for a value that makes no sense for any file; arguments as in `find_ground_scale`."""
    for name, value, what in (
        ("--gsd-mm", gsd_mm, "the ground size of a pixel in mm"),
        ("--distance-m", distance_m, "the distance from lens to surface in m"),
        ("--sensor-width-mm", sensor_width_mm, "the sensor's width in mm"),
    ):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SettingsError(f"{name} is {value:g}; give {what}, above 0")
    if ground_height_m is not None and not math.isfinite(ground_height_m):
        raise SettingsError(
            f"--ground-height is {ground_height_m:g}; give the road's height above the take-off point in m"
        )


def _metadata_of(path: Path) -> PhotoMetadata | None:
    """What a photo says of its camera, where the scale needs nothing of it; None of rasters and unreadable files."""
    try:
        if path.suffix.lower() in (".tif", ".tiff") and read_placement(path) is not None:
            return None
        return read_metadata(path)
    except ImageError:
        return None


def _picture(path: Path, rgb: RgbImage | None) -> RgbImage:
    if rgb is not None:
        return rgb
    from fissura.imaging.read import read_image

    return read_image(path).rgb
