"""Read videos, streams and cameras frame by frame: `open_video`.

PyAV decodes where it is installed (``pip install 'fissura[video]'``), OpenCV elsewhere; cameras are always
OpenCV's. Decoding runs in a thread of its own, some frames ahead. Everything that can be decoded is given; what
could not be is in the reader's notes.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal

from fissura.errors import FissuraError, ImageError, MissingDependencyError, SettingsError
from fissura.imaging.video_faults import check_video_file
from fissura.imaging.video_frame import VideoFrame, VideoInfo
from fissura.imaging.video_live import Reconnect, read_live
from fissura.imaging.video_queue import FrameQueue, ReadLog
from fissura.imaging.video_source import DecodeOptions, OpenVideo, Source, parse_source

__all__ = ["BUFFER_BYTES", "Reconnect", "VideoFrame", "VideoInfo", "VideoReader", "open_video"]

BUFFER_BYTES = 100_000_000
"""Decoded frames that may wait: eight of 3840x2160 in 8 bits."""
_CLOSE_WITHIN_S = 0.5


class VideoReader(Iterator[VideoFrame]):
    """Frames of a video, once, in the order of display. Close it, or use it in a ``with`` statement.

    Attributes:
        info: What is known of the video.
    """

    def __init__(self, info: VideoInfo, queue: FrameQueue, log: ReadLog, thread: threading.Thread) -> None:
        self.info = info
        self._queue, self._log, self._thread = queue, log, thread
        self._is_through = False
        # A reader that is forgotten must not leave its thread waiting for room for ever.
        weakref.finalize(self, queue.close)

    @property
    def notes(self) -> list[str]:
        """What was left out, lost or cannot be trusted, in sentences; complete after the last frame."""
        return self._log.lines()

    @property
    def damaged(self) -> int:
        """Frames left out so far because their data are damaged or lost."""
        return self._log.damaged

    @property
    def dropped(self) -> int:
        """Frames of a live source dropped so far because they were not taken in time."""
        return self._log.dropped

    @property
    def reconnections(self) -> int:
        """How often a live source was connected again so far."""
        return self._log.reconnections

    @property
    def ended_early(self) -> bool:
        """Whether a file's frames ended before they should: it was cut off, or could not be read to its end.

        Known after the last frame. A live source has no end that it could miss.
        """
        return self._is_through and self._log.ended_early

    def __next__(self) -> VideoFrame:
        frame = self._queue.get()
        if frame is None:
            self._is_through = True
            raise StopIteration
        return frame

    def close(self) -> None:
        """Stop decoding. A stream that is silent at this moment is let go by its thread within its timeout."""
        self._queue.close()
        self._thread.join(_CLOSE_WITHIN_S)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_video(
    source: str | Path | int,
    *,
    skip_nonreference: bool = False,
    threads: int = 0,
    buffer_bytes: int = BUFFER_BYTES,
    reconnect: Reconnect | None = None,
    decoder: Literal["auto", "PyAV", "OpenCV"] = "auto",
) -> VideoReader:
    """Open a video and decode its first frame.

    Args:
        source: A file, the address of a stream (rtsp, http, https, udp, rtp, rtmp, tcp, srt), a camera's device or
            number. A recording on a web server is read as a file is: to its end, and no frame is dropped.
        skip_nonreference: Leave out frames that no other frame needs, where the video has such: faster.
        threads: Decoding threads; 0 is one for each core.
        buffer_bytes: Decoded frames that may wait to be taken. A file's decoding then pauses; a live source's oldest
            frames are dropped.
        reconnect: When a live source is connected again; None is `Reconnect`'s defaults.
        decoder: ``auto`` takes PyAV if it is installed.
    Raises:
        ImageError: There is no such file, it is no video, it holds no frame that can be decoded, or a live source
            does not answer. The message says what to do.
        SettingsError: An option makes no sense.
        MissingDependencyError: ``decoder="PyAV"`` without it.
    """
    if threads < 0 or buffer_bytes < 1:
        raise SettingsError(
            f"threads {threads}, buffer_bytes {buffer_bytes}: give 0 or more threads and 1 or more bytes"
        )
    policy = reconnect or Reconnect()
    parsed = parse_source(source)
    if parsed.path is not None:
        check_video_file(parsed.path)
    options = DecodeOptions(skip_nonreference, threads, policy.timeout_s)
    log = ReadLog()
    connect = _find_decoder(parsed, options, log, decoder)
    queue = FrameQueue(buffer_bytes, log)
    thread = threading.Thread(
        target=_read, args=(parsed, connect, policy, queue, log), name="fissura-video", daemon=True
    )
    thread.start()
    try:
        found = queue.wait_for_first()
    except BaseException:
        queue.close()
        raise
    if not found or queue.info is None:
        raise _no_frame(parsed, log)
    return VideoReader(queue.info, queue, log, thread)


def _find_decoder(source: Source, options: DecodeOptions, log: ReadLog, decoder: str) -> Callable[[], OpenVideo]:
    is_there = find_spec("av") is not None
    if decoder == "PyAV" and not is_there:
        raise MissingDependencyError("PyAV is not installed; pip install 'fissura[video]', or let OpenCV decode")
    if decoder not in ("auto", "PyAV", "OpenCV"):
        raise SettingsError(f"decoder {decoder!r} is not known; give auto, PyAV or OpenCV")
    if source.camera is None and is_there and decoder != "OpenCV":
        from fissura.imaging.video_av import AvSource

        return lambda: AvSource(source, options, log)
    from fissura.imaging.video_cv import CvSource

    return lambda: CvSource(source, options, log)


def _read(source: Source, connect: Callable[[], OpenVideo], policy: Reconnect, queue: FrameQueue, log: ReadLog) -> None:
    """What the decoding thread does."""
    frames = _frames(source, connect, policy, queue, log)
    try:
        for opened, frame in frames:
            if queue.info is None:
                queue.info, queue.drop_oldest = opened.describe(frame), opened.live
            if not queue.put(frame):
                break
        queue.end()
    except FissuraError as error:
        if log.frames:
            # What was decoded is worth having; the reader's notes say where it stops.
            log.note_early_end(str(error))
            queue.end()
        else:
            queue.end(error)
    except MemoryError:
        queue.end(ImageError(f"{source.shown}: a frame does not fit into memory; close other programs"))
    except BaseException as error:
        queue.end(error)
    finally:
        frames.close()


def _frames(
    source: Source, connect: Callable[[], OpenVideo], policy: Reconnect, queue: FrameQueue, log: ReadLog
) -> Generator[tuple[OpenVideo, VideoFrame], None, None]:
    if source.is_live:
        yield from read_live(connect, policy, log, queue.closed)
        return
    opened = connect()
    try:
        for frame in opened.frames():
            yield opened, frame
    finally:
        opened.close()


def _no_frame(source: Source, log: ReadLog) -> ImageError:
    details = f" ({'; '.join(log.lines())})" if log.lines() else ""
    if source.is_live:
        return ImageError(
            f"{source.shown} was connected but no picture came{details}; check that the sender is sending"
        )
    return ImageError(
        f"{source.shown} holds no frame that can be decoded{details}; play it to see whether it is whole, "
        "and copy it again from the card"
    )
