"""Focal length in pixels: the one number of the camera that a scale needs, from whatever the file states.

In order of trust: a sensor width given by the user, the camera's calibration, the table of sensors, the resolution
at the focal plane, the 35-mm-equivalent focal length. They are compared; what contradicts the others is named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fissura.errors import GeometryError, SettingsError
from fissura.geo.cameras import find_sensor
from fissura.geo.metadata import PhotoMetadata

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""43.27 mm: what a 35-mm-equivalent focal length refers to."""
TOLERANCE = 0.15
"""Statements further apart than this contradict each other."""

_SIGMA_FOCAL = 0.02
"""EXIF's focal length is the nominal one; lenses of one type differ by about so much."""
_SIGMA_CALIBRATED = 0.01
_SIGMA_PITCH = 0.01
_SIGMA_35MM = 0.04
"""Makers round, and some compare the widths instead of the diagonals (4 % apart for 4:3)."""
_ADVICE = "give --gsd-mm, or --sensor-width-mm"


@dataclass(frozen=True)
class FocalLength:
    """Focal length of a photo.

    Attributes:
        px: In pixels of the photo as it is now, not as it was taken.
        sigma: Relative standard error.
        notes: For the user.
    """

    px: float
    sigma: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Statement:
    """One way to the focal length. `also_px` is a second reading of the same field that makers use."""

    field: str
    px: float
    sigma: float
    also_px: float | None = None

    def agrees(self, other: _Statement) -> bool:
        pairs = ((a, b) for a in (self.px, self.also_px) for b in (other.px, other.also_px))
        return any(a and b and abs(math.log(a / b)) < math.log1p(TOLERANCE) for a, b in pairs)


def estimate_focal_px(metadata: PhotoMetadata, *, sensor_width_mm: float | None = None) -> FocalLength | None:
    """Focal length in pixels of the photo as it is now; None if the file does not say.

    Args:
        metadata: Of the photo.
        sensor_width_mm: Width of the sensor, its long side, if the user knows it.
    Raises:
        SettingsError: ``sensor_width_mm`` is not above 0.
        GeometryError: Fields contradict each other, or the photo was cropped after it was taken.
    """
    if sensor_width_mm is not None and not (math.isfinite(sensor_width_mm) and sensor_width_mm > 0):
        raise SettingsError(f"--sensor-width-mm is {sensor_width_mm}; give the sensor's width in mm, above 0")
    notes = _check_size(metadata)
    statements = _collect(metadata, sensor_width_mm)
    if not statements:
        return None
    best = _choose(statements, sensor_width_mm is not None)
    notes += [
        f"{other.field} was left out: it means a focal length of {other.px:.0f} px, {best.field} means {best.px:.0f} px"
        for other in statements
        if not other.agrees(best)
    ]
    notes.insert(0, f"focal length of {best.px:.0f} px from {best.field}")
    if metadata.digital_zoom > 1:
        notes.append(f"a digital zoom of {metadata.digital_zoom:g} is taken into account")
    return FocalLength(best.px, best.sigma, tuple(notes))


def missing_focal(metadata: PhotoMetadata) -> str:
    """Why `estimate_focal_px` gave None, and what to do."""
    if metadata.focal_mm is None:
        return f"EXIF FocalLength and FocalLengthIn35mmFilm are missing; {_ADVICE} for a photo that states FocalLength"
    camera = f"{metadata.make} {metadata.model}".strip() or "a camera without name"
    return (
        f"the sensor of {camera} is unknown: EXIF has FocalLength but neither FocalPlaneXResolution nor "
        f"FocalLengthIn35mmFilm; {_ADVICE}"
    )


def _check_size(metadata: PhotoMetadata) -> list[str]:
    """A copy may be smaller or turned, but not cut: then the pixels of the sensor that are left are unknown."""
    if metadata.exif_size_hw is None:
        return []
    taken_short, taken_long = sorted(metadata.exif_size_hw)
    short, long = sorted(metadata.size_hw)
    if abs(short * taken_long / (taken_short * long) - 1) > 0.02 and abs(short - taken_short * long / taken_long) > 2:
        height, width = metadata.size_hw
        raise GeometryError(
            f"the picture has {width}x{height} pixels, but EXIF ExifImageWidth x ExifImageHeight is "
            f"{metadata.exif_size_hw[1]}x{metadata.exif_size_hw[0]}: it was cropped after it was taken, so its camera "
            "data no longer give a scale; use the original, or give --gsd-mm"
        )
    if long != taken_long:
        return [f"a copy resized from {taken_long} to {long} px: the scale is that of the copy's pixels"]
    return []


def _collect(metadata: PhotoMetadata, sensor_width_mm: float | None) -> list[_Statement]:
    """All statements, most trusted first."""
    short, long = sorted(metadata.size_hw)
    resized = long / max(metadata.exif_size_hw or metadata.size_hw)
    zoom, focal = max(metadata.digital_zoom, 1.0), metadata.focal_mm
    found = []
    if sensor_width_mm is not None and focal is not None:
        px = zoom * focal * long / sensor_width_mm
        found.append(_Statement(f"EXIF FocalLength and --sensor-width-mm {sensor_width_mm:g}", px, _SIGMA_FOCAL))
    if metadata.calibrated_focal_px is not None:
        px = zoom * metadata.calibrated_focal_px * resized
        found.append(_Statement("XMP CalibratedFocalLength", px, _SIGMA_CALIBRATED))
    sensor = find_sensor(metadata)
    if sensor is not None and focal is not None:
        # A wider picture (16:9) keeps the sensor's width, a narrower one its height.
        keeps_width = long / short > sensor.width_mm / sensor.height_mm - 0.03
        px = zoom * focal * (long / sensor.width_mm if keeps_width else short / sensor.height_mm)
        field = f"EXIF FocalLength {focal:g} mm and the {sensor.width_mm:g} mm wide sensor of {metadata.model}"
        found.append(_Statement(field, px, math.hypot(sensor.sigma, _SIGMA_FOCAL)))
    if metadata.focal_plane_px_per_mm is not None and focal is not None:
        px = zoom * focal * metadata.focal_plane_px_per_mm * resized
        field = f"EXIF FocalLength {focal:g} mm and FocalPlaneXResolution"
        found.append(_Statement(field, px, math.hypot(_SIGMA_PITCH, _SIGMA_FOCAL)))
    if metadata.focal_35mm is not None:
        found.append(_from_35mm(metadata, metadata.focal_35mm))
    return found


def _from_35mm(metadata: PhotoMetadata, focal_35mm: float) -> _Statement:
    """By the diagonal of the whole sensor. Digital zoom is in the number already."""
    short, long = sorted(metadata.size_hw)
    aspect = _sensor_aspect(metadata, long / short)
    whole_long, whole_short = (long, long / aspect) if long / short >= aspect else (short * aspect, short)
    px = focal_35mm / FILM_DIAGONAL_MM * math.hypot(whole_long, whole_short)
    return _Statement(
        f"EXIF FocalLengthIn35mmFilm {focal_35mm:g} mm", px, math.hypot(_SIGMA_35MM, 0.29 / focal_35mm),
        also_px=focal_35mm / 36.0 * long,
    )  # fmt: skip


def _sensor_aspect(metadata: PhotoMetadata, picture_aspect: float) -> float:
    """Width by height of the whole sensor: the picture's own if it is a usual one, else by the sensor's size."""
    for usual in (4 / 3, 3 / 2):
        if abs(picture_aspect / usual - 1) < 0.02:
            return usual
    if metadata.focal_mm is None or metadata.focal_35mm is None:
        return 4 / 3
    crop = metadata.focal_35mm / metadata.focal_mm
    # Full frame and APS-C are 3:2, Four Thirds 4:3, one inch 3:2, all smaller ones 4:3.
    return 3 / 2 if crop < 1.85 or 2.5 < crop < 3.5 else 4 / 3


def _choose(statements: list[_Statement], given: bool) -> _Statement:
    """The most trusted statement that another one supports; the user's own needs no support."""
    if given or len(statements) == 1:
        return statements[0]
    for index, statement in enumerate(statements):
        if any(statement.agrees(other) for other in statements[:index] + statements[index + 1 :]):
            return statement
    said = "; ".join(f"{statement.field} means a focal length of {statement.px:.0f} px" for statement in statements)
    raise GeometryError(f"the camera data contradict each other: {said}; {_ADVICE}")
