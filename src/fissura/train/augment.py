"""Augmentation that suits cracks: where a crop comes from, how it is seen, how it is photographed.

Everything draws from the generator it is given, so a sample is a function of (seed, index) alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from skimage.morphology import skeletonize

from fissura.types import BoolMask, FloatArray, RgbImage

FAINTEST = 0.12
"""Share of a shrunken pixel from which on a crack in it can still be seen."""


@dataclass(frozen=True)
class CropGeometry:
    """How crops are cut.

    Args:
        scale: Smallest and largest magnification, drawn log-uniformly. Below 1 the picture shrinks.
        rotate: Any angle instead of quarter turns only, for this share of the crops.
        on_crack: Share of crops placed on a crack pixel (crack-free images are cut anywhere).
    """

    scale: tuple[float, float] = (0.6, 1.6)
    rotate: float = 0.4
    on_crack: float = 0.7


def cut_crop(
    rng: np.random.Generator, image: RgbImage, mask: BoolMask, size: int, geometry: CropGeometry
) -> tuple[RgbImage, BoolMask]:
    """A square crop of ``size`` pixels, magnified, turned and mirrored at random; reflected at borders."""
    low, high = geometry.scale
    scale = math.exp(rng.uniform(math.log(low), math.log(high)))
    turned = rng.random() < geometry.rotate
    reach = math.sqrt(2.0) if turned else 1.0
    side = max(8, math.ceil(size * reach / scale))  # of the source window
    centre = _choose_centre(rng, mask, side, geometry.on_crack)
    window, truth = _window(image, centre, side), _window(mask.astype(np.uint8), centre, side)
    out = max(size, round(side * scale))
    if out != side:
        window, truth = _resize(window, truth, out)
    if turned:
        angle = rng.uniform(0.0, 360.0)
        matrix = cv2.getRotationMatrix2D((out / 2 - 0.5, out / 2 - 0.5), angle, 1.0)
        shift = (size - out) / 2
        matrix[:, 2] += shift
        window = cv2.warpAffine(window, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        soft = cv2.warpAffine(
            truth * np.float32(255), matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        truth = (soft >= 115).astype(np.uint8)
    else:
        top = (out - size) // 2
        window, truth = window[top : top + size, top : top + size], truth[top : top + size, top : top + size]
    quarter = int(rng.integers(4))
    window, truth = np.rot90(window, quarter), np.rot90(truth, quarter)
    if rng.random() < 0.5:
        window, truth = window[:, ::-1], truth[:, ::-1]
    return np.ascontiguousarray(window), np.ascontiguousarray(truth) > 0


def _choose_centre(rng: np.random.Generator, mask: BoolMask, side: int, on_crack: float) -> tuple[int, int]:
    H, W = mask.shape
    if rng.random() < on_crack:
        crack = np.flatnonzero(mask)
        if crack.size:
            row, col = divmod(int(crack[rng.integers(crack.size)]), W)
            spread = side / 3  # the crack need not be in the middle
            row, col = row + int(rng.uniform(-spread, spread)), col + int(rng.uniform(-spread, spread))
            return _keep_inside(row, H, side), _keep_inside(col, W, side)
    return _keep_inside(int(rng.integers(H)), H, side), _keep_inside(int(rng.integers(W)), W, side)


def _keep_inside(centre: int, length: int, side: int) -> int:
    if side >= length:
        return length // 2
    return min(max(centre, side // 2), length - (side - side // 2))


def _window(array: RgbImage, centre: tuple[int, int], side: int) -> RgbImage:
    H, W = array.shape[:2]
    top, left = centre[0] - side // 2, centre[1] - side // 2
    bottom, right = top + side, left + side
    inner = array[max(top, 0) : min(bottom, H), max(left, 0) : min(right, W)]
    if inner.shape[:2] == (side, side):
        return inner
    pads = [(max(-top, 0), max(bottom - H, 0)), (max(-left, 0), max(right - W, 0))]
    pads += [(0, 0)] * (array.ndim - 2)
    return np.pad(inner, pads, mode="symmetric")


def _resize(window: RgbImage, truth: RgbImage, out: int) -> tuple[RgbImage, RgbImage]:
    shrinks = out < window.shape[0]
    flag = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    soft = cv2.resize(truth * np.float32(1.0), (out, out), interpolation=flag)
    # A one-pixel line that shrinks covers less than half of each new pixel: a lower limit keeps it. A finer one
    # falls to pieces even so, while it is still seen as a faint line: its centre stays.
    kept = soft >= (0.34 if shrinks else 0.5)
    if shrinks:
        kept |= skeletonize(soft >= FAINTEST)
    return cv2.resize(window, (out, out), interpolation=flag), kept.astype(np.uint8)


def photograph(rng: np.random.Generator, image: RgbImage) -> RgbImage:
    """Light, colour cast, shadow, blur, noise and JPEG at random; (S, S, 3) uint8 in and out."""
    if rng.random() < 0.8:
        image = _light(rng, image)
    if rng.random() < 0.12:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    if rng.random() < 0.2:
        image = _shadow(rng, image)
    chance = rng.random()
    if chance < 0.12:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3))
    elif chance < 0.2:
        image = cv2.filter2D(image, -1, _motion_kernel(rng))
    elif chance < 0.28:
        soft = cv2.GaussianBlur(image, (0, 0), 1.0)
        image = cv2.addWeighted(image, 1 + (k := rng.uniform(0.3, 1.0)), soft, -k, 0)
    if rng.random() < 0.3:
        image = _noise(rng, image)
    if rng.random() < 0.25:
        quality = int(rng.integers(30, 90))
        _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])
    return image


def _light(rng: np.random.Generator, image: RgbImage) -> RgbImage:
    levels = np.linspace(0.0, 1.0, 256) ** math.exp(rng.uniform(-0.45, 0.45))
    pivot = float(image[::8, ::8].mean()) / 255.0
    levels = (levels - pivot) * rng.uniform(0.6, 1.45) + pivot
    levels = levels * math.exp(rng.uniform(-0.5, 0.3))
    cast = np.exp(rng.normal(0.0, 0.06 if rng.random() < 0.6 else 0.0, 3))
    tables = np.clip(levels[:, None] * cast[None, :] * 255.0, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, tables[None, :, :]))


def _shadow(rng: np.random.Generator, image: RgbImage) -> RgbImage:
    size = image.shape[0]
    corners = rng.uniform(-0.4, 1.4, (int(rng.integers(3, 6)), 2)) * size
    shade = np.zeros((size, size), np.float32)
    cv2.fillPoly(shade, [cv2.convexHull(corners.astype(np.int32))], 1.0)
    shade = cv2.GaussianBlur(shade, (0, 0), math.exp(rng.uniform(math.log(0.7), math.log(12.0))))
    factor: FloatArray = 1.0 - shade * rng.uniform(0.2, 0.65)
    return (image * factor[:, :, None]).astype(np.uint8)


def _motion_kernel(rng: np.random.Generator) -> FloatArray:
    length = int(rng.integers(3, 8))
    side = length | 1  # odd, or the picture would move against its mask by half a pixel
    kernel = np.zeros((side, side), np.float32)
    kernel[side // 2] = 1.0
    if side > length:
        kernel[side // 2, [0, -1]] = 0.5
    centre = (side - 1) / 2
    turn = cv2.getRotationMatrix2D((centre, centre), rng.uniform(0, 180), 1.0)
    kernel = cv2.warpAffine(kernel, turn, (side, side))
    return kernel / max(float(kernel.sum()), 1e-6)


def _noise(rng: np.random.Generator, image: RgbImage) -> RgbImage:
    sigma = rng.uniform(2.0, 14.0)
    grain = rng.standard_normal(image.shape[:2] + ((3,) if rng.random() < 0.5 else (1,)), dtype=np.float32)
    return np.clip(image + grain * sigma, 0, 255).astype(np.uint8)
