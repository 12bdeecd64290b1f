"""Pictures inside `report.html`: made small enough, as data URIs, with a scale bar of a round length."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fissura.imaging.width_scale import round_down
from fissura.report.page_numbers import HARD
from fissura.report.records import CrackPicture, MapPicture
from fissura.types import RgbImage

MAP_SIDE_PX, CRACK_SIDE_PX = 2400, 720
_MAP_BYTES = 6_500_000  # of all map pictures together; a third more as text
_CRACK_BYTES = 110_000
_LEAST_SIDE_PX = 64


@dataclass(frozen=True)
class EmbeddedPicture:
    """A JPEG as text.

    Attributes:
        uri: ``data:image/jpeg;base64,...``.
        width_px: Columns.
        height_px: Rows.
        bar_share: Length of the scale bar as a part of the width; 0 without a scale.
        bar_text: What it stands for.
    """

    uri: str
    width_px: int
    height_px: int
    bar_share: float = 0.0
    bar_text: str = ""


def embed_map_pictures(
    folder: Path, pictures: Sequence[MapPicture]
) -> tuple[list[tuple[MapPicture, EmbeddedPicture]], list[str]]:
    """Pictures for the map within their common budget, and the paths of those that cannot be read."""
    out, missing, left = [], [], _MAP_BYTES
    for index, picture in enumerate(pictures):
        embedded = _embed(folder / picture.path, MAP_SIDE_PX, left // (len(pictures) - index))
        if embedded is None:
            missing.append(picture.path)
            continue
        left -= len(embedded.uri) * 3 // 4
        out.append((picture, embedded))
    return out, missing


def embed_crack_picture(folder: Path, picture: CrackPicture) -> EmbeddedPicture | None:
    """A picture of a crack with a scale bar; None if its file is missing or no picture."""
    original = _read(folder / picture.path)
    embedded = _embed(folder / picture.path, CRACK_SIDE_PX, _CRACK_BYTES)
    if original is None or embedded is None:
        return None
    if picture.mm_per_px is None or not picture.mm_per_px > 0:
        return embedded
    width_mm = original[1].shape[1] * picture.mm_per_px
    length = round_down(width_mm * 0.4)
    return EmbeddedPicture(
        embedded.uri, embedded.width_px, embedded.height_px, round(length / width_mm, 4), _bar_text(length)
    )


def _bar_text(length_mm: float) -> str:
    if length_mm >= 1000:
        return f"{length_mm / 1000:g}{HARD}m"
    return f"{length_mm / 10:g}{HARD}cm" if length_mm >= 100 else f"{length_mm:g}{HARD}mm"


def _read(path: Path) -> tuple[bytes, RgbImage] | None:
    """A file's bytes and its pixels, shape (H, W, 3), in OpenCV's order of channels."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    return None if pixels is None else (data, np.asarray(pixels, np.uint8))


def _embed(path: Path, side_px: int, most_bytes: int) -> EmbeddedPicture | None:
    found = _read(path)
    if found is None:
        return None
    data, pixels = found
    h, w = pixels.shape[:2]
    if max(h, w) <= side_px and len(data) <= most_bytes and data[:2] == b"\xff\xd8":
        return _as_text(data, w, h)
    side = min(side_px, max(h, w))
    while True:
        factor = side / max(h, w)
        size = max(round(w * factor), 1), max(round(h * factor), 1)
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if factor < 1 else pixels
        _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])
        if len(encoded) <= most_bytes or side <= _LEAST_SIDE_PX:
            return _as_text(encoded.tobytes(), *size)
        side = max(int(side * min((most_bytes / len(encoded)) ** 0.5, 0.9)), _LEAST_SIDE_PX)


def _as_text(data: bytes, width_px: int, height_px: int) -> EmbeddedPicture:
    return EmbeddedPicture("data:image/jpeg;base64," + base64.b64encode(data).decode("ascii"), width_px, height_px)
