"""Videos and cameras by OpenCV, where PyAV is not installed; cameras always.

OpenCV turns frames for display itself and converts every frame to colour at once, which costs time and memory. It
says of damage only that a frame could not be read: half a frame passes for a whole one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from fissura.errors import ImageError
from fissura.imaging.video_faults import explain_unreadable, is_cut_off
from fissura.imaging.video_frame import GreyImage, VideoFrame, VideoInfo
from fissura.imaging.video_order import FrameClock
from fissura.imaging.video_queue import ReadLog
from fissura.imaging.video_source import CHECK_ADDRESS, DecodeOptions, Source, camera_advice
from fissura.types import RgbImage

# FFmpeg inside OpenCV would print its own lines beside our messages, addresses with passwords among them.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

_FALLBACK_FPS = 30.0
_CODEC_NAMES = {"avc1": "h264", "hvc1": "hevc", "hev1": "hevc", "mjpg": "mjpeg"}
_MOST_READ_ERRORS = 16
"""After so many failures in a row a file has ended; OpenCV does not tell an end from damage."""
_SMEARS_S = 2.0
"""How long after damage frames count as damaged, as OpenCV does not tell where the next key frame is."""


class CvFrame(VideoFrame):
    """A frame as OpenCV gives it."""

    def __init__(self, bgr: RgbImage, index: int, time_s: float, *, damaged: bool) -> None:
        super().__init__(index, time_s, key=False, damaged=damaged)
        self._bgr = bgr

    @property
    def size_hw(self) -> tuple[int, int]:
        """Rows and columns as displayed."""
        return self._bgr.shape[0], self._bgr.shape[1]

    @property
    def nbytes(self) -> int:
        """Memory of the colour picture."""
        return self._bgr.nbytes

    def rgb(self) -> RgbImage:
        """Shape (H, W, 3)."""
        return np.asarray(cv2.cvtColor(self._bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def luma(self) -> GreyImage:
        """Brightness from the colours, shape (H, W), 0 (black) to 255 (white)."""
        return np.asarray(cv2.cvtColor(self._bgr, cv2.COLOR_BGR2GRAY), np.uint8)


class CvSource:
    """An open file, stream or camera."""

    def __init__(self, source: Source, options: DecodeOptions, log: ReadLog) -> None:
        self._source, self._log = source, log
        self._capture = self._open(options)
        if not self._capture.isOpened():
            self._capture.release()
            raise self._refusal()
        count, rate = self._get(cv2.CAP_PROP_FRAME_COUNT), self._get(cv2.CAP_PROP_FPS)
        self._count = int(count) if 0 < count < 1e9 else None
        self._fps = rate if 0.1 <= rate <= 1000 else None
        self.live = source.is_live and self._count is None
        if options.skip_nonreference:
            log.note("OpenCV decodes every frame; pip install 'fissura[video]' leaves out those nothing depends on")

    def close(self) -> None:
        """Let the file or the connection go."""
        self._capture.release()

    def describe(self, first: VideoFrame) -> VideoInfo:
        """What is known once the first frame has been decoded."""
        code = int(self._get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=False)
        codec = code.decode("latin-1").strip("\0 ").lower()
        turned = int(self._get(cv2.CAP_PROP_ORIENTATION_META)) % 360
        duration_s = self._count / self._fps if self._count and self._fps and not self.live else None
        return VideoInfo(
            self._source.shown, first.size_hw, self._fps, duration_s, self._count,
            _CODEC_NAMES.get(codec, codec), turned, self.live, "OpenCV",
        )  # fmt: skip

    def frames(self) -> Iterator[CvFrame]:
        """Decode to the end, or to where OpenCV gives up.

        Raises:
            ImageError: OpenCV itself failed.
        """
        index, frames, failures, smeared_to_s = 0, 0, 0, 0.0
        clock = FrameClock(1 / (self._fps or _FALLBACK_FPS))
        while failures < (1 if self.live else _MOST_READ_ERRORS):
            bgr = self._read()
            if bgr is None:
                failures += 1
                continue
            stamp_s = self._get(cv2.CAP_PROP_POS_MSEC) / 1000
            index += failures
            # Where OpenCV knows no time stamps, it says 0 of every frame.
            time_s = clock.time_s(stamp_s if frames == 0 or stamp_s > 0 else None, index)
            if failures:
                self._log.damaged += failures
                smeared_to_s = time_s + _SMEARS_S
            yield CvFrame(bgr, index, time_s, damaged=time_s < smeared_to_s)
            index, frames, failures = index + 1, frames + 1, 0
        if not self.live and frames:
            self._note_missing_end(index)

    def _read(self) -> RgbImage | None:
        try:
            is_read, bgr = self._capture.read()
        except cv2.error as error:
            raise ImageError(f"{self._source.shown} cannot be decoded by OpenCV ({error.err})") from None
        return np.asarray(bgr, np.uint8) if is_read and bgr is not None else None

    def _open(self, options: DecodeOptions) -> Any:
        if self._source.camera is not None:
            with _quiet():
                return cv2.VideoCapture(self._source.camera)
        settings: list[int] = []
        if self._source.is_live:
            milliseconds = max(1, round(options.timeout_s * 1000))
            settings += [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
        if options.threads and hasattr(cv2, "CAP_PROP_N_THREADS"):
            settings += [cv2.CAP_PROP_N_THREADS, options.threads]
        with _quiet():
            return cv2.VideoCapture(self._source.address, cv2.CAP_FFMPEG, settings)

    def _get(self, prop: int) -> float:
        return float(self._capture.get(prop))

    def _refusal(self) -> ImageError:
        source = self._source
        if source.path is not None:
            return explain_unreadable(source.path, "OpenCV cannot open it; pip install 'fissura[video]' says more")
        if source.camera is not None:
            return ImageError(f"{source.shown} cannot be opened; {camera_advice()}")
        return ImageError(f"{source.shown} cannot be opened; {CHECK_ADDRESS}")

    def _note_missing_end(self, frames: int) -> None:
        path, ends = self._source.path, f"ends after {frames} of the {self._count} frames it states"
        if path is not None and is_cut_off(path):
            self._log.note_early_end(f"{path.name} was cut off: it {ends}")
        elif self._count is not None and frames < self._count - max(3, 0.02 * self._count):
            self._log.note_early_end(f"{self._source.shown} {ends}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without OpenCV's own warnings: the error that follows says more, and no passwords."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
