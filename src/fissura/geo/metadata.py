"""`PhotoMetadata`: what a photo says about its camera, height, view and place, from EXIF and XMP.

Values are given as the file states them, in our units; whether they make sense together is for
`fissura.geo.focal`, `fissura.geo.gsd` and `fissura.geo.position` to judge. What is absent, not finite, or marked
unknown (a focal length of 0, a position of exactly 0, 0) is None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fissura.imaging.orientation import displayed_hw, read_displayed_hw, stored_wh
from fissura.imaging.read import _image_errors, _open, _UnknownImageError
from fissura.imaging.tiff import find_full_pages, read_directories

if TYPE_CHECKING:
    from PIL import Image

_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""EXIF FocalPlaneResolutionUnit: inch, centimetre and, beyond the standard but in use, millimetre and micrometre."""
_RTK_FIXED = 50.0
"""DJI's RtkFlag for a solution with fixed ambiguities."""


@dataclass(frozen=True)
class PhotoMetadata:
    """Camera, view and place of one photo.

    Attributes:
        size_hw: Rows and columns as displayed, EXIF orientation applied.
        orientation: EXIF's, 1 to 8; 1 is as stored.
        make: Maker, empty if not stated.
        model: Camera model, empty if not stated.
        software: Firmware, or the program that saved the file last; empty if not stated.
        exif_size_hw: Rows and columns when the photo was taken, before orientation: a resized copy keeps them.
        focal_mm: Focal length, in millimetres.
        focal_35mm: 35-mm-equivalent focal length, in millimetres.
        focal_plane_px_per_mm: Pixels per millimetre of sensor, along x.
        calibrated_focal_px: DJI's calibrated focal length, in pixels of the photo as it was taken.
        digital_zoom: Enlargement in the camera; 1 is none.
        latitude_deg: WGS84, -90 to 90.
        longitude_deg: WGS84, -180 to 180.
        altitude_m: Height above the sea or the ellipsoid, in metres.
        relative_altitude_m: Height above the take-off point, in metres. The road may lie higher or lower.
        camera_pitch_deg: View direction against the horizon: 0 is level, -90 straight down.
        camera_roll_deg: Turn about the view direction, clockwise positive.
        camera_yaw_deg: View direction (at -90: the picture's upper edge), clockwise from north.
        flight_yaw_deg: Direction of the aircraft's nose, clockwise from north.
        captured_at: Time of the picture; without zone if the file states none.
        rtk_fixed: The position is a fixed RTK solution.
        rtk_std_m: Its standard errors east, north and up, in metres.
        problems: Camera fields that were present and could not be used, in words.
        position_problems: The same for the position.
    """

    size_hw: tuple[int, int]
    orientation: int = 1
    make: str = ""
    model: str = ""
    software: str = ""
    exif_size_hw: tuple[int, int] | None = None
    focal_mm: float | None = None
    focal_35mm: float | None = None
    focal_plane_px_per_mm: float | None = None
    calibrated_focal_px: float | None = None
    digital_zoom: float = 1.0
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    altitude_m: float | None = None
    relative_altitude_m: float | None = None
    camera_pitch_deg: float | None = None
    camera_roll_deg: float | None = None
    camera_yaw_deg: float | None = None
    flight_yaw_deg: float | None = None
    captured_at: datetime | None = None
    rtk_fixed: bool = False
    rtk_std_m: tuple[float, float, float] | None = None
    problems: tuple[str, ...] = ()
    position_problems: tuple[str, ...] = ()


def read_metadata(path: Path) -> PhotoMetadata:
    """Read EXIF and XMP of a photo; the pixels are not decoded.

    Raises:
        ImageError: The file is missing, empty or no image.
    """
    problems: list[str] = []
    position_problems: list[str] = []
    detail: dict[int, Any] = {}
    gps: dict[int, Any] = {}
    xmp: dict[str, str] = {}
    with _image_errors(path):
        try:
            with _open(path) as image:
                main, detail, gps = _read_exif(image, problems)
                xmp = _read_xmp(image, problems)
                orientation = _orientation(main)
                size_hw = read_displayed_hw(image, orientation)
        except _UnknownImageError:
            # A TIFF of values that Pillow does not know: its own tags are read, no EXIF.
            directories = read_directories(path)
            if not directories:
                raise
            main = dict(directories[find_full_pages(directories)[0] - 1])
            orientation = _orientation(main)
            size_hw = displayed_hw(stored_wh(main), orientation)
    latitude, longitude = _position(gps, xmp, position_problems)
    std = tuple(_xmp_number(xmp, name) for name in ("rtkstdlon", "rtkstdlat", "rtkstdhgt"))
    return PhotoMetadata(
        size_hw=size_hw,
        orientation=orientation,
        make=_text(main.get(271)) or xmp.get("make", ""),
        model=_text(main.get(272)) or xmp.get("model", ""),
        software=_text(main.get(305)) or xmp.get("creatortool", ""),
        exif_size_hw=_exif_size(detail),
        focal_mm=_focal(detail.get(37386), problems),
        focal_35mm=_above_zero(_number(detail.get(41989))),
        focal_plane_px_per_mm=_focal_plane(detail, problems),
        calibrated_focal_px=_above_zero(_xmp_number(xmp, "calibratedfocallength")),
        # Cameras write 0 (or 0/0) for "no digital zoom".
        digital_zoom=_above_zero(_number(detail.get(41988))) or 1.0,
        latitude_deg=latitude,
        longitude_deg=longitude,
        altitude_m=_altitude(gps, xmp),
        relative_altitude_m=_xmp_number(xmp, "relativealtitude", "abovegroundaltitude"),
        camera_pitch_deg=_xmp_number(xmp, "gimbalpitchdegree", "camerapitchdegree"),
        camera_roll_deg=_xmp_number(xmp, "gimbalrolldegree", "camerarolldegree"),
        camera_yaw_deg=_xmp_number(xmp, "gimbalyawdegree", "camerayawdegree"),
        flight_yaw_deg=_xmp_number(xmp, "flightyawdegree", "droneyawdegree"),
        captured_at=_captured_at(detail, main),
        rtk_fixed=_xmp_number(xmp, "rtkflag") == _RTK_FIXED,
        rtk_std_m=None if None in std else std,  # type: ignore[arg-type]
        problems=tuple(problems),
        position_problems=tuple(position_problems),
    )


def _read_exif(image: Image.Image, problems: list[str]) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
    """The main, the Exif and the GPS directory. A damaged one is empty; the picture can still be used."""
    from PIL import ExifTags

    try:
        exif = image.getexif()
        return dict(exif), dict(exif.get_ifd(ExifTags.IFD.Exif)), dict(exif.get_ifd(ExifTags.IFD.GPSInfo))
    except Exception as error:  # whatever Pillow meets in a damaged block
        problems.append(f"the EXIF block is damaged and was not used ({error})")
        return {}, {}, {}


def _read_xmp(image: Image.Image, problems: list[str]) -> dict[str, str]:
    """All simple XMP properties by lower-case local name, whether written as attributes or elements."""
    if not image.info.get("xmp") and not image.info.get("XML:com.adobe.xmp") and image.format != "TIFF":
        return {}
    try:
        tree = image.getxmp()
    except Exception as error:
        problems.append(f"the XMP block is damaged and was not used ({error})")
        return {}
    found: dict[str, str] = {}
    for name, value in _leaves(tree, ""):
        # The first mention wins: later ones are histories and embedded copies.
        found.setdefault(name.lower(), value.strip())
    return found


def _leaves(node: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, child in node.items():
            # An element with attributes of its own holds its text under "text".
            yield from _leaves(child, name if key == "text" and name else str(key))
    elif isinstance(node, list):
        for child in node:
            yield from _leaves(child, name)
    elif isinstance(node, str):
        yield name, node


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    # DJI pads its names with zero bytes.
    return str(value).split("\x00")[0].strip() if value is not None else ""


def _number(value: Any) -> float | None:
    """A finite number, or None; EXIF rationals of 0/0 are NaN."""
    try:
        number = float(value[0] if isinstance(value, tuple) else value)
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _xmp_number(xmp: Mapping[str, str], *names: str) -> float | None:
    """The first of the properties that holds a number: ``+40.10``, ``-89.9``, ``12345/1000``."""
    for name in names:
        match = re.fullmatch(r"([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?:/(\d+(?:\.\d*)?))?(?:\s*m)?", xmp.get(name, ""))
        if match and float(match[2] or 1) > 0:
            return float(match[1]) / float(match[2] or 1)
    return None


def _above_zero(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _orientation(main: Mapping[int, Any]) -> int:
    value = int(_number(main.get(274)) or 1)
    return value if 1 <= value <= 8 else 1


def _exif_size(detail: Mapping[int, Any]) -> tuple[int, int] | None:
    width, height = _above_zero(_number(detail.get(40962))), _above_zero(_number(detail.get(40963)))
    return (int(height), int(width)) if width and height else None


def _focal(value: Any, problems: list[str]) -> float | None:
    """Cameras write 0 for a lens they do not know; below 0 is no lens."""
    number = _number(value)
    if number is not None and number <= 0:
        problems.append(f"EXIF FocalLength is {number:g} mm, which says nothing")
        return None
    return number


def _focal_plane(detail: Mapping[int, Any], problems: list[str]) -> float | None:
    resolution = _number(detail.get(41486))
    if resolution is None:
        return None
    unit = int(_number(detail.get(41488)) or 2)
    if resolution <= 0 or unit not in _MM_PER_UNIT:
        problems.append(f"EXIF FocalPlaneXResolution {resolution:g} with FocalPlaneResolutionUnit {unit} says nothing")
        return None
    return resolution / _MM_PER_UNIT[unit]


def _position(gps: Mapping[int, Any], xmp: Mapping[str, str], problems: list[str]) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees: XMP's, which has more digits, or EXIF's."""
    # DJI's firmware long wrote "GpsLongtitude".
    from_xmp = _xmp_number(xmp, "gpslatitude"), _xmp_number(xmp, "gpslongitude", "gpslongtitude")
    from_exif = _degrees(gps.get(2), gps.get(1)), _degrees(gps.get(4), gps.get(3))
    for source, (latitude, longitude) in (("XMP GpsLatitude, GpsLongitude", from_xmp), ("EXIF GPSInfo", from_exif)):
        if latitude is None or longitude is None:
            continue
        if latitude == 0 and longitude == 0:
            problems.append(f"{source} is exactly 0, 0: the receiver had no position")
        elif abs(latitude) > 90 or abs(longitude) > 180:
            problems.append(f"{source} is {latitude:g}, {longitude:g}, which is not on the globe")
        else:
            return latitude, longitude
    return None, None


def _degrees(value: Any, reference: Any) -> float | None:
    """Degrees, minutes, seconds and N, S, E or W to signed degrees."""
    try:
        parts = [float(part) for part in value]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    angle = math.fsum(part / 60.0**power for power, part in enumerate(parts))
    if not parts or not math.isfinite(angle):
        return None
    return -angle if _text(reference).upper() in ("S", "W") else angle


def _altitude(gps: Mapping[int, Any], xmp: Mapping[str, str]) -> float | None:
    stated = _xmp_number(xmp, "absolutealtitude")
    height = _number(gps.get(6))
    if stated is not None or height is None:
        return stated
    return -height if gps.get(5) in (b"\x01", 1) else height


def _captured_at(detail: Mapping[int, Any], main: Mapping[int, Any]) -> datetime | None:
    for text, offset in ((detail.get(36867), detail.get(36881)), (main.get(306), detail.get(36880))):
        try:
            taken = datetime.strptime(_text(text), "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
        zone = re.fullmatch(r"([+-])([01]\d|2[0-3]):([0-5]\d)", _text(offset))
        if not zone:
            return taken
        shift = timedelta(hours=int(zone[2]), minutes=int(zone[3]))
        return taken.replace(tzinfo=timezone(shift if zone[1] == "+" else -shift))
    return None
