"""A camera looking straight down, and what its optics do to the light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fissura.errors import GeometryError
from fissura.synth.textures import FloatImage
from fissura.types import RgbImage


@dataclass(frozen=True)
class NadirCamera:
    """A camera at `height_m` above flat ground, looking straight down, without distortion.

    Attributes:
        height_m: Lens above ground, in metres.
        focal_mm: True focal length, in millimetres.
        sensor_width_mm: Width of the sensor that maps to the image's columns, in millimetres.
        image_hw: Image size (rows, columns) in pixels.
        blur_px: Standard deviation of the point-spread function (lens and motion), in pixels.
        noise: Standard deviation of the sensor noise at mid grey, as a share of full scale.
        vignetting: Share of light lost in the corners, 0 to 1.
        exposure: Factor on the light; 1 leaves the surface as it is.
    """

    height_m: float = 10.0
    focal_mm: float = 8.8
    sensor_width_mm: float = 13.2
    image_hw: tuple[int, int] = (3648, 5472)
    blur_px: float = 0.6
    noise: float = 0.008
    vignetting: float = 0.12
    exposure: float = 1.0

    def __post_init__(self) -> None:
        for name in ("height_m", "focal_mm", "sensor_width_mm", "exposure"):
            if not getattr(self, name) > 0:
                raise GeometryError(f"camera {name} is {getattr(self, name)}; it must be above 0")
        if min(self.image_hw) < 1:
            raise GeometryError(f"camera image_hw is {self.image_hw}; both sides need at least 1 pixel")
        if self.blur_px < 0 or self.noise < 0 or not 0 <= self.vignetting < 1:
            raise GeometryError("camera blur_px and noise are not negative, vignetting is from 0 to below 1")

    @classmethod
    def for_gsd(cls, gsd_mm: float, image_hw: tuple[int, int], **optics: float) -> NadirCamera:
        """The camera at the height that gives ``gsd_mm``; ``optics`` are further fields by name."""
        if not gsd_mm > 0:
            raise GeometryError(f"gsd_mm is {gsd_mm}; a pixel needs a ground size above 0 mm")
        probe = cls(height_m=1.0, image_hw=image_hw, **optics)
        return cls(height_m=gsd_mm / probe.gsd_mm, image_hw=image_hw, **optics)

    @property
    def gsd_mm(self) -> float:
        """Ground size of one pixel in millimetres: height x pixel pitch / focal length."""
        return self.height_m * 1000.0 * self.sensor_width_mm / (self.image_hw[1] * self.focal_mm)

    def expose(self, light: FloatImage, rng: np.random.Generator) -> RgbImage:
        """Picture of reflected light (H, W, 3), 0 to 1: blur, vignetting, exposure, noise, 8 bit."""
        image = light
        if self.blur_px > 0:
            image = np.asarray(cv2.GaussianBlur(light, (0, 0), self.blur_px), np.float32)
        h, w = image.shape[:2]
        rows = np.linspace(-1, 1, h, dtype=np.float32)[:, None]
        columns = np.linspace(-1, 1, w, dtype=np.float32)[None, :]
        falloff = 1.0 - np.float32(self.vignetting / 2) * (rows**2 + columns**2)
        image = image * (falloff * np.float32(self.exposure))[..., None]
        if self.noise > 0:
            # Photon noise grows with the square root of the light; mid grey is the reference.
            noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(self.noise)
            image = image + noise * np.sqrt(np.clip(image, 0.02, 1.0) / 0.5)
        return np.asarray(np.clip(image * 255.0 + 0.5, 0, 255), np.uint8)
