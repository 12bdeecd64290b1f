"""`AerialCamera`: a pinhole above flat ground with yaw, pitch and roll, and what its optics do to the light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.geo.homography import transform
from fissura.synth.aerial.grid import Matrix, local_gsd
from fissura.types import RgbImage

_NOISE_TILE = 1024


@dataclass(frozen=True)
class AerialCamera:
    """A camera without distortion above the plane z = 0.

    Attributes:
        x_m: East, in metres.
        y_m: North, in metres.
        height_m: Above the ground.
        yaw_deg: View direction, at pitch -90 the picture's upper edge, clockwise from north.
        pitch_deg: -90 straight down, 0 level; the whole picture must lie below the horizon.
        roll_deg: Turn about the view direction, clockwise, as DJI writes it.
        lean_deg: Sideways lean of the aircraft about its horizontal heading, right side down: what pitch -90 and roll
            cannot say. For jitter.
        focal_px: Focal length in pixels.
        image_hw: Rows and columns; the principal point is the centre.
        blur_px: Standard deviation of the lens's point-spread function.
        motion_px: Length of the motion blur.
        motion_deg: Its direction, counter-clockwise from the image's right.
        noise: Standard deviation of the sensor noise, as a share of full scale.
        vignetting: Share of light lost in the corners, 0 to 1.
        exposure: Factor on the light.
    """

    x_m: float
    y_m: float
    height_m: float
    yaw_deg: float = 0.0
    pitch_deg: float = -90.0
    roll_deg: float = 0.0
    lean_deg: float = 0.0
    focal_px: float = 2800.0
    image_hw: tuple[int, int] = (2160, 3840)
    blur_px: float = 0.6
    motion_px: float = 0.0
    motion_deg: float = 0.0
    noise: float = 0.008
    vignetting: float = 0.12
    exposure: float = 1.0

    def __post_init__(self) -> None:
        for name in ("height_m", "focal_px", "exposure"):
            if not getattr(self, name) > 0:
                raise GeometryError(f"camera {name} is {getattr(self, name)}; it must be above 0")
        if min(self.image_hw) < 2:
            raise GeometryError(f"camera image_hw is {self.image_hw}; both sides need at least 2 pixels")
        if min(self.blur_px, self.motion_px, self.noise) < 0 or not 0 <= self.vignetting < 1:
            raise GeometryError("camera blur_px, motion_px and noise are not negative, vignetting is from 0 to below 1")
        h, w = self.image_hw
        corners = np.array([[0, 0, 1], [w - 1, 0, 1], [w - 1, h - 1, 1], [0, h - 1, 1]], np.float64)
        if (self._rays() @ corners.T)[2].max() > -0.03:
            raise GeometryError(
                f"camera at pitch {self.pitch_deg} and roll {self.roll_deg} degrees sees the horizon; "
                "point it further down or use a longer focal length"
            )

    def rotation(self) -> Matrix:
        """Columns: the image's right, down and forward in (east, north, up), shape (3, 3)."""
        p, r, lean, y = np.deg2rad([self.pitch_deg, self.roll_deg, self.lean_deg, self.yaw_deg])
        # Of a camera heading north: right, down, forward.
        camera = np.array([[1, 0, 0], [0, np.sin(p), np.cos(p)], [0, -np.cos(p), np.sin(p)]])
        about_view = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
        about_north = np.array([[np.cos(lean), 0, np.sin(lean)], [0, 1, 0], [-np.sin(lean), 0, np.cos(lean)]])
        about_up = np.array([[np.cos(y), np.sin(y), 0], [-np.sin(y), np.cos(y), 0], [0, 0, 1]])
        return np.asarray(about_up @ about_north @ camera @ about_view, np.float64)

    def _rays(self) -> Matrix:
        """Pixel (x, y, 1) to the direction of its ray (east, north, up)."""
        h, w = self.image_hw
        f = self.focal_px
        return np.asarray(
            self.rotation() @ np.array([[1 / f, 0, -(w - 1) / 2 / f], [0, 1 / f, -(h - 1) / 2 / f], [0, 0, 1.0]])
        )

    def ground_from_image(self) -> Matrix:
        """Pixel (x, y, 1) to ground metres (east, north, 1), shape (3, 3), third coordinate positive in the picture."""
        rays = self._rays()
        place = np.array([[self.height_m, 0, -self.x_m], [0, self.height_m, -self.y_m], [0, 0, -1.0]])
        return np.asarray(place @ rays, np.float64)

    def image_from_ground(self) -> Matrix:
        """Inverse of `ground_from_image`, third coordinate positive in front of the camera."""
        return np.asarray(np.linalg.inv(self.ground_from_image()), np.float64)

    def gsd_mm(self, points_xy: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
        """Ground size (root of area) of a pixel at points (x, y), shape (N,), millimetres; default: the centre."""
        h, w = self.image_hw
        points = np.array([[(w - 1) / 2, (h - 1) / 2]]) if points_xy is None else np.asarray(points_xy, np.float64)
        return local_gsd(self.ground_from_image(), points) * 1000.0

    def footprint_en(self) -> npt.NDArray[np.float64]:
        """Ground points of the picture's corners, clockwise from the upper left, shape (4, 2)."""
        h, w = self.image_hw
        corners = np.array([[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]])
        return transform(self.ground_from_image(), corners)

    def expose(self, picture: RgbImage, rng: np.random.Generator) -> RgbImage:
        """What the sensor delivers of ``picture`` (H, W, 3): blur, vignetting, exposure, noise."""
        image = picture
        if self.blur_px > 0.2:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), self.blur_px), np.uint8)
        if self.motion_px > 1:
            image = np.asarray(cv2.filter2D(image, -1, motion_kernel(self.motion_px, self.motion_deg)), np.uint8)
        if self.vignetting > 0 or self.exposure != 1.0:
            gain = _falloff(self.image_hw, round(self.vignetting, 4), round(self.exposure, 4))
            image = np.asarray(cv2.multiply(image, gain, scale=1 / 128), np.uint8)
        if self.noise > 0:
            image = _add_noise(image, self.noise, rng)
        return image


def motion_kernel(length_px: float, direction_deg: float) -> npt.NDArray[np.float32]:
    """Weights of a straight motion blur, odd square, sum 1."""
    size = int(np.ceil(length_px)) // 2 * 2 + 3
    fine = np.zeros((size * 8, size * 8), np.uint8)
    middle = size * 4
    step = length_px * 4 * np.array([np.cos(np.deg2rad(direction_deg)), -np.sin(np.deg2rad(direction_deg))])
    a, b = np.rint(middle - step).astype(int), np.rint(middle + step).astype(int)
    cv2.line(fine, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 255, 8)
    kernel = cv2.resize(fine.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(kernel / kernel.sum(), np.float32)


@lru_cache(maxsize=2)
def _falloff(hw: tuple[int, int], vignetting: float, exposure: float) -> RgbImage:
    """Gain of the optics times 128, (H, W, 3)."""
    rows, columns = np.linspace(-1, 1, hw[0])[:, None], np.linspace(-1, 1, hw[1])[None, :]
    gain = (1.0 - vignetting / 2 * (rows**2 + columns**2)) * exposure
    return np.repeat(np.clip(gain * 128 + 0.5, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@lru_cache(maxsize=4)
def _noise_tile(noise: float, hw: tuple[int, int]) -> RgbImage:
    """Noise around 128, somewhat larger than a picture so that offsets into it differ."""
    rng = np.random.default_rng(4242)
    tile = rng.standard_normal((_NOISE_TILE, _NOISE_TILE, 3), dtype=np.float32)
    # Demosaicing and compression leave noise a little smooth, and mostly grey.
    tile = cv2.GaussianBlur(tile * 0.6 + tile.mean(axis=2, keepdims=True) * 1.2, (0, 0), 0.45)
    tile = np.clip(128.5 + tile / tile.std() * noise * 255, 0, 255).astype(np.uint8)
    times = (-(-(hw[0] + _NOISE_TILE) // _NOISE_TILE), -(-(hw[1] + _NOISE_TILE) // _NOISE_TILE), 1)
    return np.tile(tile, times)


def _add_noise(image: RgbImage, noise: float, rng: np.random.Generator) -> RgbImage:
    h, w = image.shape[:2]
    tile = _noise_tile(round(noise, 5), (h, w))
    r, c = (int(v) for v in rng.integers(0, _NOISE_TILE, 2))
    return np.asarray(cv2.addWeighted(image, 1.0, tile[r : r + h, c : c + w], 1.0, -128.0), np.uint8)
