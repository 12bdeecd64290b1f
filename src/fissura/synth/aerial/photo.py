"""`write_aerial_photo`: a view as the JPEG a drone hands over, with EXIF and XMP."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from fissura.imaging.write import write_bytes
from fissura.synth.aerial.telemetry import Origin
from fissura.synth.aerial.view import AerialView
from fissura.synth.camera import NadirCamera
from fissura.synth.photo import _XMP, Geotag, _exif
from fissura.synth.scene import SyntheticScene

_SENSOR_MM = 13.2


def write_aerial_photo(
    path: Path,
    view: AerialView,
    origin: Origin | None = None,
    *,
    make: str = "fissura",
    model: str = "synthetic aerial camera",
    quality: int = 92,
) -> None:
    """Write a view as JPEG with position, lens, height and gimbal angles. The file appears whole or not at all.

    Args:
        path: File to write; its folder is made where missing.
        view: The picture and its camera.
        origin: Where the world's corner (0, 0) lies, and when the picture was taken.
        make: EXIF maker.
        model: EXIF camera model.
        quality: JPEG quality, 1 to 95.
    Raises:
        OutputError: The file cannot be written.
    """
    from PIL import Image

    origin = origin or Origin()
    camera = view.camera
    latitude, longitude = origin.position(camera.x_m, camera.y_m)[0]
    tag = Geotag(float(latitude), float(longitude), origin.ground_m, camera.yaw_deg, origin.start)
    # The same lens as a camera with a sensor in millimetres, which is what EXIF speaks of.
    lens = NadirCamera(
        height_m=camera.height_m, focal_mm=camera.focal_px * _SENSOR_MM / camera.image_hw[1],
        sensor_width_mm=_SENSOR_MM, image_hw=camera.image_hw,
    )  # fmt: skip
    scene = SyntheticScene(view.rgb, view.road, view.road, (), lens.gsd_mm, "asphalt", lens)  # type: ignore[arg-type]
    buffer = BytesIO()
    Image.fromarray(view.rgb).save(
        buffer, "JPEG", quality=quality, subsampling=0, exif=_exif(scene, tag, make, model), xmp=_xmp(view, tag)
    )
    write_bytes(path, buffer.getvalue())


def _xmp(view: AerialView, tag: Geotag) -> bytes:
    camera = view.camera
    yaw = (camera.yaw_deg + 180.0) % 360.0 - 180.0
    text = _XMP.format(
        absolute=tag.ground_m + camera.height_m, relative=camera.height_m, yaw=yaw,
        latitude=tag.latitude_deg, longitude=tag.longitude_deg,
    )  # fmt: skip
    for name, angle in (("GimbalPitchDegree", camera.pitch_deg), ("GimbalRollDegree", camera.roll_deg)):
        start = text.index(f'{name}="') + len(name) + 2
        text = text[:start] + f"{angle:+.2f}" + text[text.index('"', start) :]
    return text.encode()
