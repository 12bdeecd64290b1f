"""Write a scene as the JPEG a drone would hand over: EXIF with position and lens, XMP with the gimbal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from fissura.errors import GeometryError
from fissura.imaging.write import write_bytes
from fissura.synth.camera import NadirCamera
from fissura.synth.scene import SyntheticScene
from fissura.types import RgbImage

_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="synthetic" xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/"
   drone-dji:AbsoluteAltitude="{absolute:+.3f}" drone-dji:RelativeAltitude="{relative:+.3f}"
   drone-dji:GpsLatitude="{latitude:.8f}" drone-dji:GpsLongitude="{longitude:.8f}"
   drone-dji:GimbalRollDegree="{roll:+.2f}" drone-dji:GimbalYawDegree="{yaw:+.2f}"
   drone-dji:GimbalPitchDegree="{pitch:+.2f}"
   drone-dji:FlightRollDegree="+0.00" drone-dji:FlightYawDegree="{yaw:+.2f}" drone-dji:FlightPitchDegree="+0.00"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


@dataclass(frozen=True)
class Geotag:
    """Where and when a picture was taken.

    Attributes:
        latitude_deg: WGS84, -90 to 90.
        longitude_deg: WGS84, -180 to 180.
        ground_m: Height of the ground above the sea, in metres.
        yaw_deg: Direction of the picture's upper edge, clockwise from north.
        captured_at: Time; one without a zone counts as UTC.
    """

    latitude_deg: float
    longitude_deg: float
    ground_m: float = 0.0
    yaw_deg: float = 0.0
    captured_at: datetime = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)

    def __post_init__(self) -> None:
        if not (-90 <= self.latitude_deg <= 90 and -180 <= self.longitude_deg <= 180):
            raise GeometryError(
                f"position {self.latitude_deg}, {self.longitude_deg} is not on the globe; "
                "give latitude -90 to 90 and longitude -180 to 180 degrees"
            )


def write_photo(
    path: Path,
    scene: SyntheticScene,
    *,
    latitude_deg: float,
    longitude_deg: float,
    geotag: Geotag | None = None,
    make: str = "fissura",
    model: str = "synthetic nadir camera",
    quality: int = 92,
) -> None:
    """Write ``scene`` as a JPEG with EXIF and DJI-style XMP. The file appears whole or not at all.

    Args:
        path: File to write; its folder is made where missing.
        scene: The picture; height, focal length and sensor come from its camera.
        latitude_deg: WGS84 latitude of the picture's centre.
        longitude_deg: WGS84 longitude of the picture's centre.
        geotag: Yaw, height and time; its own position is replaced by the two above.
        make: EXIF maker.
        model: EXIF camera model.
        quality: JPEG quality, 1 to 95.
    Raises:
        GeometryError: The position is not on the globe.
        OutputError: The file cannot be written.
    """
    base = geotag or Geotag(0.0, 0.0)
    where = replace(base, latitude_deg=latitude_deg, longitude_deg=longitude_deg)
    write_tagged_jpeg(path, scene.rgb, scene.camera, where, make=make, model=model, quality=quality)


def write_tagged_jpeg(
    path: Path, rgb: RgbImage, camera: NadirCamera, where: Geotag, *, pitch_deg: float = -90.0, roll_deg: float = 0.0,
    make: str, model: str, quality: int,
) -> None:  # fmt: skip
    """Write a picture with its camera and place: EXIF and DJI-style XMP.

    Args:
        path: File to write.
        rgb: Shape (H, W, 3).
        camera: Height, focal length and sensor.
        where: Position, direction and time.
        pitch_deg: Of the gimbal, -90 straight down.
        roll_deg: Of the gimbal.
        make: EXIF maker.
        model: EXIF camera model.
        quality: JPEG quality, 1 to 95.
    Raises:
        OutputError: The file cannot be written.
    """
    from PIL import Image

    xmp = _XMP.format(
        absolute=where.ground_m + camera.height_m, relative=camera.height_m, yaw=where.yaw_deg, pitch=pitch_deg,
        roll=roll_deg, latitude=where.latitude_deg, longitude=where.longitude_deg,
    ).encode()  # fmt: skip
    exif = _exif((rgb.shape[0], rgb.shape[1]), camera, where, make, model)
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=0, exif=exif, xmp=xmp)
    write_bytes(path, buffer.getvalue())


def _exif(size_hw: tuple[int, int], camera: NadirCamera, where: Geotag, make: str, model: str) -> bytes:
    from PIL import ExifTags, Image
    from PIL.TiffImagePlugin import IFDRational

    base, gps = ExifTags.Base, ExifTags.GPS
    taken = where.captured_at if where.captured_at.tzinfo else where.captured_at.replace(tzinfo=UTC)
    taken = taken.astimezone(UTC)
    exif = Image.Exif()
    exif[base.Make], exif[base.Model], exif[base.Software] = make, model, "fissura synth"
    exif[base.Orientation] = 1
    exif[base.DateTime] = f"{taken:%Y:%m:%d %H:%M:%S}"
    # Pixels per centimetre of sensor: with the focal length it gives the ground sampling distance.
    per_cm = round(size_hw[1] / camera.sensor_width_mm * 10_000)
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    detail.update({
        base.DateTimeOriginal: f"{taken:%Y:%m:%d %H:%M:%S}",
        base.OffsetTimeOriginal: "+00:00",
        base.FocalLength: IFDRational(round(camera.focal_mm * 1000), 1000),
        base.FocalLengthIn35mmFilm: round(camera.focal_mm * 36.0 / camera.sensor_width_mm),
        base.FocalPlaneXResolution: IFDRational(per_cm, 1000),
        base.FocalPlaneYResolution: IFDRational(per_cm, 1000),
        base.FocalPlaneResolutionUnit: 3,
        base.ExifImageWidth: size_hw[1],
        base.ExifImageHeight: size_hw[0],
    })  # fmt: skip
    altitude = where.ground_m + camera.height_m
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({
        gps.GPSVersionID: b"\x02\x03\x00\x00",
        gps.GPSLatitudeRef: "N" if where.latitude_deg >= 0 else "S",
        gps.GPSLatitude: _sexagesimal(where.latitude_deg),
        gps.GPSLongitudeRef: "E" if where.longitude_deg >= 0 else "W",
        gps.GPSLongitude: _sexagesimal(where.longitude_deg),
        gps.GPSAltitudeRef: b"\x00" if altitude >= 0 else b"\x01",
        gps.GPSAltitude: IFDRational(round(abs(altitude) * 1000), 1000),
        gps.GPSMapDatum: "WGS-84",
    })  # fmt: skip
    return bytes(exif.tobytes())


def _sexagesimal(angle_deg: float) -> tuple[object, object, object]:
    """Degrees, minutes, seconds as EXIF rationals; seconds to 1e-5 (0.3 mm on the ground)."""
    from PIL.TiffImagePlugin import IFDRational

    ticks = round(abs(angle_deg) * 3600 * 100_000)
    minutes, seconds = divmod(ticks, 60 * 100_000)
    degrees, minutes = divmod(minutes, 60)
    return IFDRational(degrees, 1), IFDRational(minutes, 1), IFDRational(seconds, 100_000)
