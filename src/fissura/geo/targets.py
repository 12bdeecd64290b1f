"""Scale from a flat target of known size in the picture: a checkerboard, or an ArUco marker.

All corners together give a homography by least squares. Far from a small target its perspective is not known; where
the corners show no tilt that can be told from noise, a plain scale is used and the tilt that might hide enters the
error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import SettingsError
from fissura.geo.scale import GroundScale
from fissura.types import RgbImage

SIGMA_CORNER_PX = 0.3
"""How well a corner is found, at best. Errors of neighbours go together (blur, lens), so their number helps little."""
SIGMA_TARGET = 0.002
"""Relative error of the target's own size: print and measure it carefully."""

Array = npt.NDArray[np.float64]

_EXAMPLES = "checkerboard:9x6:25mm (inner corners, side of a square) or aruco:DICT_4X4_50:7:100mm (number or any, side)"


@dataclass(frozen=True)
class Checkerboard:
    """A checkerboard with so many inner corners and squares of this side."""

    columns: int
    rows: int
    square_mm: float

    def __str__(self) -> str:
        return f"checkerboard of {self.columns}x{self.rows} inner corners"


@dataclass(frozen=True)
class ArucoMarker:
    """An ArUco marker; ``number`` None is any of the dictionary. The side is that of the black square."""

    dictionary: str
    number: int | None
    side_mm: float

    def __str__(self) -> str:
        return f"ArUco marker {'of any number' if self.number is None else self.number} of {self.dictionary}"


Target = Checkerboard | ArucoMarker


def parse_target(text: str) -> Target:
    """Read a target from an option.

    Raises:
        SettingsError: It is none; the message shows how to write one.

    >>> parse_target("checkerboard:9x6:25mm")
    Checkerboard(columns=9, rows=6, square_mm=25.0)
    >>> parse_target("aruco:DICT_4X4_50:any:10cm")
    ArucoMarker(dictionary='DICT_4X4_50', number=None, side_mm=100.0)
    >>> parse_target("aruco:4x4_50:7:1m").dictionary
    'DICT_4X4_50'
    """
    kind, *parts = text.strip().split(":")
    if kind.lower() == "checkerboard" and len(parts) == 2:
        size = re.fullmatch(r"(\d+)[xX×](\d+)", parts[0])
        if size and min(int(size[1]), int(size[2])) >= 3:
            return Checkerboard(int(size[1]), int(size[2]), _length_mm(parts[1], text))
        raise SettingsError(f"--target {text}: {parts[0]} is no number of inner corners of 3x3 or more, such as 9x6")
    if kind.lower() == "aruco" and len(parts) == 3:
        known = {name.upper(): name for name in dir(cv2.aruco) if name.startswith("DICT_")}
        dictionary = known.get(f"DICT_{parts[0].upper().removeprefix('DICT_')}")
        if dictionary is None:
            raise SettingsError(f"--target {text}: {parts[0]} is no ArUco dictionary of OpenCV, such as 4X4_50")
        if parts[1].lower() != "any" and not parts[1].isdigit():
            raise SettingsError(f"--target {text}: {parts[1]} is no marker number; give 0 or more, or any")
        number = None if parts[1].lower() == "any" else int(parts[1])
        count = len(cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary)).bytesList)
        if number is not None and number >= count:
            raise SettingsError(f"--target {text}: {dictionary} has {count} markers, 0 to {count - 1}, and no {number}")
        return ArucoMarker(dictionary, number, _length_mm(parts[2], text))
    raise SettingsError(f"--target {text} is not understood; give {_EXAMPLES}")


def find_target_scale(rgb: RgbImage, target: Target) -> GroundScale | None:
    """Scale from a target in a picture, or None if it is not there.

    The ground's origin is the picture's centre, its x axis the picture's.

    Args:
        rgb: Picture as displayed, shape (H, W, 3).
        target: What to look for. Of several ArUco markers that fit, the largest is used.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    found = _find_checkerboard(grey, target) if isinstance(target, Checkerboard) else _find_marker(grey, target)
    if found is None:
        return None
    pixels_xy, ground_mm = found
    size_hw = grey.shape[0], grey.shape[1]
    if _is_mirrored(pixels_xy, ground_mm):
        ground_mm = ground_mm * np.array([1.0, -1.0])
    matrix, sigma, note = _fit(pixels_xy, ground_mm, size_hw)
    name = "checkerboard" if isinstance(target, Checkerboard) else "aruco"
    return GroundScale(_aligned(matrix, size_hw), min(sigma, 0.99), name, (f"scale from the {target}; {note}",))


def _length_mm(text: str, option: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(mm|cm|m)", text.strip().lower())
    if not match or float(match[1]) <= 0:
        raise SettingsError(f"--target {option}: {text} is no length above 0 with its unit, such as 25mm, 2.5cm or 1m")
    return float(match[1]) * {"mm": 1.0, "cm": 10.0, "m": 1000.0}[match[2]]


def _find_checkerboard(grey: npt.NDArray[Any], board: Checkerboard) -> tuple[Array, Array] | None:
    """Corners in the picture (x, y) and on the board, both shape (N, 2)."""
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY
    found, corners = cv2.findChessboardCornersSB(grey, (board.columns, board.rows), flags=flags)
    if not found:
        return None
    columns, rows = np.meshgrid(np.arange(board.columns), np.arange(board.rows))
    ground = np.column_stack([columns.ravel(), rows.ravel()]) * board.square_mm
    return np.asarray(corners, np.float64).reshape(-1, 2), ground.astype(np.float64)


def _find_marker(grey: npt.NDArray[Any], marker: ArucoMarker) -> tuple[Array, Array] | None:
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, marker.dictionary))
    corners, numbers, _ = cv2.aruco.ArucoDetector(dictionary, parameters).detectMarkers(grey)
    fitting = [
        np.asarray(quad, np.float64).reshape(4, 2)
        for quad, number in zip(corners, () if numbers is None else np.ravel(numbers), strict=True)
        if marker.number is None or int(number) == marker.number
    ]
    if not fitting:
        return None
    largest = max(fitting, key=lambda quad: float(cv2.contourArea(quad.astype(np.float32))))
    return largest, np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) * marker.side_mm


def _is_mirrored(pixels_xy: Array, ground_mm: Array) -> bool:
    """Whether the corners run the other way round in the picture than on the target."""
    linear = np.linalg.lstsq(pixels_xy - pixels_xy.mean(axis=0), ground_mm - ground_mm.mean(axis=0), rcond=None)[0]
    return bool(np.linalg.det(linear) < 0)


def _fit(pixels_xy: Array, ground_mm: Array, size_hw: tuple[int, int]) -> tuple[Array, float, str]:
    """Pixel to ground matrix, its relative error over the frame, and a note."""
    plain, plain_residual_px = _fit_plain(pixels_xy, ground_mm)
    half_frame_px = math.hypot(*size_hw) / 2
    extent_px = float(np.linalg.norm(np.ptp(pixels_xy, axis=0))) / math.sqrt(2)
    if plain_residual_px <= 2 * SIGMA_CORNER_PX:
        noise_px = max(plain_residual_px, SIGMA_CORNER_PX)
        spread_px = math.sqrt(float(np.sum((pixels_xy - pixels_xy.mean(axis=0)) ** 2)))
        # A tilt bends the target by at most the residual; carried to the frame's edge it changes the scale by this.
        hidden = noise_px * half_frame_px / extent_px**2
        sigma = math.hypot(noise_px / spread_px, hidden, SIGMA_TARGET)
        return plain, sigma, f"{len(pixels_xy)} corners fit to {plain_residual_px:.2f} px, square to the view"
    matrix, covariance, residual_px = _fit_homography(pixels_xy, ground_mm)
    sigma = math.hypot(_frame_sigma(matrix, covariance, size_hw), SIGMA_TARGET)
    return matrix, sigma, f"{len(pixels_xy)} corners fit to {residual_px:.2f} px, at an angle to the view"


def _fit_plain(pixels_xy: Array, ground_mm: Array) -> tuple[Array, float]:
    """Turn, scale and shift by least squares; the residual as root mean square in pixels."""
    z = pixels_xy @ np.array([1.0, 1j])
    w = ground_mm @ np.array([1.0, 1j])
    z0, w0 = z.mean(), w.mean()
    factor = np.vdot(z - z0, w - w0) / np.vdot(z - z0, z - z0).real
    residual = np.abs(w - w0 - factor * (z - z0))
    offset = w0 - factor * z0
    matrix = np.array(
        [[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag], [0.0, 0.0, 1.0]]
    )
    # Four of the 2 N equations fix the fit.
    mean = math.sqrt(float(np.sum(residual**2)) / max(2 * len(z) - 4, 1) * 2)
    return matrix, mean / abs(factor)


def _fit_homography(pixels_xy: Array, ground_mm: Array) -> tuple[Array, Array, float]:
    """Homography, covariance of its first eight entries (shape (8, 8)), residual in pixels."""
    from scipy.optimize import least_squares

    # Centred and scaled pixels, so that the entries are of like size.
    shift, size = pixels_xy.mean(axis=0), float(np.abs(pixels_xy - pixels_xy.mean(axis=0)).max())
    normal = np.array([[1 / size, 0.0, -shift[0] / size], [0.0, 1 / size, -shift[1] / size], [0.0, 0.0, 1.0]])
    x = np.column_stack([pixels_xy, np.ones(len(pixels_xy))]) @ normal.T

    def residuals(entries: Array) -> Array:
        mapped = x @ np.append(entries, 1.0).reshape(3, 3).T
        return np.asarray((mapped[:, :2] / mapped[:, 2:] - ground_mm).ravel(), np.float64)

    start, _ = cv2.findHomography(x[:, :2].astype(np.float64), ground_mm, 0)
    solved = least_squares(residuals, (start / start[2, 2]).ravel()[:8], method="lm", x_scale="jac")
    free = 2 * len(x) - 8
    mm_per_px = math.sqrt(abs(float(np.linalg.det(solved.x[[0, 1, 3, 4]].reshape(2, 2))))) / size
    residual_px = math.sqrt(float(np.sum(solved.fun**2)) / free) / mm_per_px if free > 0 else 0.0
    noise_mm = max(residual_px, SIGMA_CORNER_PX) * mm_per_px
    covariance = noise_mm**2 * np.linalg.inv(solved.jac.T @ solved.jac)
    matrix = np.append(solved.x, 1.0).reshape(3, 3) @ normal
    # Back to the entries of the matrix on plain pixels.
    to_plain = np.kron(np.eye(3), normal.T)[:, :8]
    return np.asarray(matrix, np.float64), to_plain @ covariance @ to_plain.T, residual_px


def _frame_sigma(matrix: Array, covariance: Array, size_hw: tuple[int, int]) -> float:
    """Relative error of the scale, root mean square over a grid of the frame's pixels."""
    rows, columns = np.meshgrid(np.linspace(0, size_hw[0] - 1, 5), np.linspace(0, size_hw[1] - 1, 5))
    points_rc = np.column_stack([rows.ravel(), columns.ravel()])
    xy1 = np.column_stack([points_rc[:, ::-1], np.ones(len(points_rc))])
    variances = []
    for point in xy1:
        # Area per pixel is |det H| / w^3, and its square root the size of a pixel.
        by_det = np.linalg.inv(matrix).T / 2
        by_w = np.zeros((3, 3))
        by_w[2] = -1.5 * point / float(matrix[2] @ point)
        gradient = (by_det + by_w).ravel()
        variances.append(float(gradient @ covariance @ gradient))
    return math.sqrt(float(np.mean(variances)))


def _aligned(matrix: Array, size_hw: tuple[int, int]) -> Array:
    """The same map with the picture's centre as origin and x to the picture's right there."""
    centre_rc = np.array([[(size_hw[0] - 1) / 2, (size_hw[1] - 1) / 2]])
    sign = math.copysign(1.0, float(matrix[2] @ np.array([centre_rc[0, 1], centre_rc[0, 0], 1.0])))
    scale = GroundScale(matrix * sign)
    origin, right = scale.to_ground(centre_rc)[0], scale.jacobian(centre_rc)[0][:, 0]
    cos, sin = right / np.hypot(*right)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    shift = np.array([[1.0, 0.0, -origin[0]], [0.0, 1.0, -origin[1]], [0.0, 0.0, 1.0]])
    return np.asarray(turn @ shift @ scale.matrix, np.float64)
