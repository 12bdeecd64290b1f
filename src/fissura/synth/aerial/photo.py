"""`write_aerial_photo`: a view as the JPEG a drone hands over, with EXIF and XMP."""

from __future__ import annotations

from pathlib import Path

from fissura.synth.aerial.telemetry import Origin
from fissura.synth.aerial.view import AerialView
from fissura.synth.camera import NadirCamera
from fissura.synth.photo import Geotag, write_tagged_jpeg

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
    origin = origin or Origin()
    camera = view.camera
    latitude, longitude = origin.position(camera.x_m, camera.y_m)[0]
    yaw = (camera.yaw_deg + 180.0) % 360.0 - 180.0  # as DJI writes it
    tag = Geotag(float(latitude), float(longitude), origin.ground_m, yaw, origin.start)
    # The same lens as a camera with a sensor in millimetres, which is what EXIF speaks of.
    lens = NadirCamera(
        height_m=camera.height_m, focal_mm=camera.focal_px * _SENSOR_MM / camera.image_hw[1],
        sensor_width_mm=_SENSOR_MM, image_hw=camera.image_hw,
    )  # fmt: skip
    write_tagged_jpeg(
        path, view.rgb, lens, tag, pitch_deg=camera.pitch_deg, roll_deg=camera.roll_deg, make=make, model=model,
        quality=quality,
    )  # fmt: skip
