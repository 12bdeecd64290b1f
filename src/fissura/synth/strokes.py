"""What distractors are drawn with: lines and bands, darker or of another colour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fissura.synth.textures import FloatImage, cell_noise

_FINE = 4  # Strokes are drawn this much larger and averaged down: quarter-pixel widths, smooth edges.


def stroke(hw: tuple[int, int], lines_rc: list[npt.NDArray[np.float64]], width_px: float) -> FloatImage:
    """Coverage of polylines of one width, shape (H, W), 0 to 1. Points are (row, column) in pixels."""
    canvas = np.zeros((hw[0] * _FINE, hw[1] * _FINE), np.uint8)
    thickness = max(round(width_px * _FINE), 1)
    for line in lines_rc:
        points = np.rint(line[:, ::-1] * _FINE).astype(np.int32)
        cv2.polylines(canvas, [points], isClosed=False, color=255, thickness=thickness)
    small = cv2.resize(canvas, (hw[1], hw[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255.0)


def band(hw: tuple[int, int], line_rc: npt.NDArray[np.float64], width_px: float) -> FloatImage:
    """Coverage of a straight band with square ends around a line of two points, shape (H, W), 0 to 1."""
    along = line_rc[1] - line_rc[0]
    side = np.array([-along[1], along[0]]) * (width_px / 2 / max(float(np.hypot(*along)), 1e-9))
    corners = np.stack([line_rc[0] + side, line_rc[1] + side, line_rc[1] - side, line_rc[0] - side])
    canvas = np.zeros(hw, np.uint8)
    cv2.fillPoly(canvas, [np.rint(corners[:, ::-1] * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255.0


def darken(image: FloatImage, cover: FloatImage, depth: float) -> None:
    """Take the share ``depth`` of the light where ``cover`` is 1, in place; a negative depth adds light."""
    image *= (1.0 - np.float32(depth) * cover)[..., None]


def blend(image: FloatImage, cover: FloatImage, colour: npt.ArrayLike) -> None:
    """Give ``cover`` its own colour, in place."""
    image += cover[..., None] * (np.asarray(colour, np.float32) - image)


def long_line(rng: np.random.Generator, hw: tuple[int, int], angle: float, offset_px: float) -> npt.NDArray[np.float64]:
    """A straight line through the whole image, ``offset_px`` beside the centre, shape (2, 2)."""
    direction = np.array([np.sin(angle), np.cos(angle)])
    normal = np.array([direction[1], -direction[0]])
    centre = np.array(hw) / 2 + offset_px * normal
    reach = float(np.hypot(*hw))
    return np.stack([centre - reach * direction, centre + reach * direction])


def angle_of_view(rng: np.random.Generator) -> float:
    """Mostly level or upright with some lean, sometimes anything: how people hold cameras."""
    if rng.random() < 0.3:
        return float(rng.uniform(0, np.pi))
    return float(rng.integers(2) * np.pi / 2 + rng.normal(0, 0.06))


def ragged(rng: np.random.Generator, cover: FloatImage, px: float) -> FloatImage:
    """Let a line fade in places, so that evenness alone does not give it away."""
    fade = 0.5 + 0.5 * cell_noise(rng, (cover.shape[0], cover.shape[1]), (px, px))
    return np.asarray(cover * np.clip(0.55 + 0.5 * fade, 0.1, 1.0), dtype=np.float32)
