"""`AvFrame`: a frame in FFmpeg's memory, converted by swscale when it is asked for."""

from __future__ import annotations

import re
import threading
from typing import Any, cast

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from fissura.imaging.video_frame import GreyImage, Turn, VideoFrame, reduce_luma
from fissura.types import RgbImage

_HD_ROWS = 720
"""Videos that do not state their colour matrix: BT.709 from here on, BT.601 below, as players do."""
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""FFmpeg's AVColorSpace to swscale's numbering: BT.709, FCC, BT.601 (two), SMPTE 240M, BT.2020 (two)."""
_SWS_709, _SWS_601 = 1, 5
_LIMITED, _FULL = 1, 2
_LUMA_FIRST = re.compile(r"(?:yuva?|yuvj)(?:4\d\d)p(\d*)(?:le)?|nv(?:12|16|21|24|42)|gray(\d*)(?:le)?")
_LUMA_HIGH_BITS = re.compile(r"p[024](?:10|12|16)le")
# More threads in swscale are slower beside the decoder's (measured on two cores); PyAV before 15 has no such option.
_SCALE_OPTIONS: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 15 else {}
_local = threading.local()


class AvFrame(VideoFrame):
    """A frame in FFmpeg's memory."""

    def __init__(self, frame: av.VideoFrame, turn: Turn, index: int, time_s: float, *, damaged: bool) -> None:
        super().__init__(index, time_s, key=bool(frame.key_frame), damaged=damaged)
        self._frame, self._turn = frame, turn

    @property
    def size_hw(self) -> tuple[int, int]:
        """Rows and columns as displayed."""
        return self._turn.size_hw((self._frame.height, self._frame.width))

    @property
    def nbytes(self) -> int:
        """Memory of all planes, FFmpeg's padding included."""
        return sum(plane.buffer_size for plane in self._frame.planes)

    def rgb(self) -> RgbImage:
        """Shape (H, W, 3), by the frame's own colour matrix and range."""
        frame = self._frame
        matrix = _SWS_MATRIX.get(int(frame.colorspace), _SWS_709 if frame.height >= _HD_ROWS else _SWS_601)
        is_full = int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj")
        converted = _reformatter().reformat(
            frame, format="rgb24", src_colorspace=matrix, src_color_range=_FULL if is_full else _LIMITED,
            dst_color_range=_FULL, **_SCALE_OPTIONS,
        )  # fmt: skip
        rows: GreyImage = np.frombuffer(cast(Any, converted.planes[0]), np.uint8).reshape(converted.height, -1)
        rgb = rows[:, : converted.width * 3].reshape(converted.height, converted.width, 3)
        turned = self._turn.apply(rgb)
        # A video that is rgb24 itself is not converted: the pixels are the decoder's own.
        return turned.copy() if converted is frame else np.ascontiguousarray(turned)

    def luma(self) -> GreyImage:
        """Shape (H, W): a view of the decoded plane, or one copy if it is turned or deeper than 8 bits."""
        luma = self._turn.apply(self._stored_luma())
        luma.flags.writeable = False
        return luma

    def reduced(self, factor: int) -> GreyImage:
        """Shape (H // factor, W // factor); turned after reducing."""
        return reduce_luma(self._stored_luma(), factor, self._turn)

    def _stored_luma(self) -> GreyImage:
        frame = self._frame
        name = frame.format.name
        low, high = _LUMA_FIRST.fullmatch(name), _LUMA_HIGH_BITS.fullmatch(name)
        if low is None and high is None:
            frame = _reformatter().reformat(frame, format="gray", **_SCALE_OPTIONS)
            return np.asarray(_plane(frame, np.uint8), np.uint8)
        bits = int(low[1] or low[2] or 8) if low is not None else 16
        if bits == 8:
            return np.asarray(_plane(frame, np.uint8), np.uint8)
        # One pass with saturation; a shift and a cast would be two.
        return np.asarray(cv2.convertScaleAbs(_plane(frame, np.uint16), alpha=2.0 ** (8 - bits)), np.uint8)


def _plane(frame: av.VideoFrame, dtype: type[np.unsignedinteger[Any]]) -> Any:
    """First plane as a read-only view: the decoder may still predict from these pixels."""
    values = np.frombuffer(cast(Any, frame.planes[0]), dtype).reshape(frame.height, -1)[:, : frame.width]
    values.flags.writeable = False
    return values


def _reformatter() -> VideoReformatter:
    """One for each thread: it keeps swscale's tables, and is not safe to share."""
    if not hasattr(_local, "reformatter"):
        _local.reformatter = VideoReformatter()
    found: VideoReformatter = _local.reformatter
    return found


def find_turn(frame: av.VideoFrame) -> Turn:
    """Turn for display, from the frame's display matrix."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return Turn.from_display_matrix(bytes(cast(Any, matrix))) if matrix is not None else Turn()
