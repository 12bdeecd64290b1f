"""`VideoFrame` and `VideoInfo`: what a video gives, whatever decodes it."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import SettingsError
from fissura.types import RgbImage

GreyImage = npt.NDArray[np.uint8]
"""Shape (H, W), 0 to 255."""

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video when its first frame has been decoded.

    Attributes:
        source: File or address; user names, passwords and query of an address are left out.
        size_hw: Rows and columns as displayed.
        fps: Mean frames a second; None if unknown. Frames of phones and streams are not evenly spaced.
        duration_s: As stated by the file; None if unknown.
        frame_count: As stated by the file; None if unknown.
        codec: Such as ``h264``, ``hevc``.
        rotation_deg: By how much the stored picture is turned clockwise for display: 0, 90, 180 or 270.
        live: A stream or camera: it has no end of its own, and frames that come too fast are dropped.
        decoder: ``PyAV`` or ``OpenCV``.
    """

    source: str
    size_hw: tuple[int, int]
    fps: float | None
    duration_s: float | None
    frame_count: int | None
    codec: str
    rotation_deg: int
    live: bool
    decoder: str


class VideoFrame(ABC):
    """One decoded frame; it stays valid after the next was read.

    Attributes:
        index: Number of the frame in the video from 0, in the order of display. Frames that could not be decoded
            or were left out count, so the same frame has the same number whenever it is read.
        time_s: Seconds after the video's first frame, from its time stamps. In a live stream they go on over
            interruptions.
        key: It was coded on its own.
        damaged: Data before it were lost and no key frame has come since: it may show smears.
    """

    def __init__(self, index: int, time_s: float, *, key: bool, damaged: bool) -> None:
        self.index = index
        self.time_s = time_s
        self.key = key
        self.damaged = damaged

    @property
    @abstractmethod
    def size_hw(self) -> tuple[int, int]:
        """Rows and columns as displayed."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Memory the decoded frame holds."""

    @abstractmethod
    def rgb(self) -> RgbImage:
        """The picture as displayed, shape (H, W, 3), 0 to 255; converted at each call."""

    @abstractmethod
    def luma(self) -> GreyImage:
        """Brightness as displayed, shape (H, W), read-only; as coded.

        Most videos code brightness from 16 (black) to 235 (white); that is not stretched here, but it is in `rgb`.
        10-bit videos are brought to 8 bits. Without rotation it is a view: rows may be further apart than they are
        wide.
        """

    def reduced(self, factor: int) -> GreyImage:
        """Mean brightness of blocks of ``factor`` x ``factor`` pixels, shape (H // factor, W // factor).

        Rows and columns left over at the bottom and the right are not used.

        Raises:
            SettingsError: ``factor`` is below 1 or larger than the frame.
        """
        return reduce_luma(self.luma(), factor)

    def __repr__(self) -> str:
        h, w = self.size_hw
        return f"<{type(self).__name__} {self.index} at {self.time_s:.3f} s, {w}x{h}>"


@dataclass(frozen=True)
class Turn:
    """How a stored picture becomes the displayed one: transposed first, then flipped.

    >>> Turn(transpose=True, flip_columns=True).rotation_deg
    90
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def from_display_matrix(cls, data: bytes) -> Turn:
        """From FFmpeg's nine int32 numbers (a b u, c d v, x y w): x' = a x + c y, y' = b x + d y.

        Turns between right angles become the nearest right angle.
        """
        a, b, _, c, d = struct.unpack("=5i", data[:20])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, d < 0, a < 0)
        return cls(True, b < 0, c < 0)

    @property
    def rotation_deg(self) -> int:
        """Clockwise; of a mirrored picture that of its upper edge."""
        if self.transpose:
            return 90 if self.flip_columns else 270
        return 180 if self.flip_rows else 0

    @property
    def is_mirrored(self) -> bool:
        """The displayed picture is the mirror image of the stored one."""
        return bool((self.transpose + self.flip_rows + self.flip_columns) % 2)

    def size_hw(self, stored_hw: tuple[int, int]) -> tuple[int, int]:
        """Size as displayed of a stored size."""
        return stored_hw[::-1] if self.transpose else stored_hw

    def apply(self, stored: GreyImage) -> GreyImage:
        """The displayed picture, shape (H, W) or (H, W, 3); the same array if nothing is to be done."""
        if self.transpose:
            stored = np.asarray(cv2.transpose(stored), np.uint8)
        if self.flip_rows or self.flip_columns:
            code = -1 if self.flip_rows and self.flip_columns else 0 if self.flip_rows else 1
            stored = np.asarray(cv2.flip(stored, code), np.uint8)
        return stored

    def stored_part(self, stored: npt.NDArray[_T], displayed_hw: tuple[int, int]) -> npt.NDArray[_T]:
        """The part of a stored picture, as a view, whose displayed form is the upper left ``displayed_hw``."""
        rows, columns = displayed_hw[::-1] if self.transpose else displayed_hw
        from_the_end = (self.flip_columns, self.flip_rows) if self.transpose else (self.flip_rows, self.flip_columns)
        top = stored.shape[0] - rows if from_the_end[0] else 0
        left = stored.shape[1] - columns if from_the_end[1] else 0
        return stored[top : top + rows, left : left + columns]


def reduce_luma(luma: GreyImage, factor: int, turn: Turn | None = None) -> GreyImage:
    """Area mean by a whole factor, then turned: turning the small picture costs next to nothing.

    Factors of two are halved away first, which OpenCV does several times faster than one large step; each halving
    rounds, so values differ by at most 1 from the exact mean.

    Args:
        luma: As stored, shape (H, W).
        factor: 1 or more.
        turn: From stored to displayed.
    """
    turn = turn or Turn()
    h, w = turn.size_hw((luma.shape[0], luma.shape[1]))
    if factor < 1 or factor > min(h, w):
        raise SettingsError(f"a frame of {w}x{h} cannot be reduced {factor} times; give 1 to {min(h, w)}")
    part = turn.stored_part(luma, (h // factor * factor, w // factor * factor))
    rest = factor
    while rest % 2 == 0:
        part, rest = _shrink(part, 2), rest // 2
    if rest > 1:
        part = _shrink(part, rest)
    return turn.apply(part)


def _shrink(grey: GreyImage, factor: int) -> GreyImage:
    size_wh = grey.shape[1] // factor, grey.shape[0] // factor
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
