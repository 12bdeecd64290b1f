"""`FrameQueue`: decoded frames on their way from the decoding thread to the reader, bounded by bytes.

`ReadLog` collects beside it what went wrong on the way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from fissura.imaging.video_frame import VideoFrame, VideoInfo


class EarlyEnd(str):
    """A note that says why a file's frames ended before they should."""


def explain_early_end(notes: Sequence[str]) -> str:
    """The reason why a file does not count as done, from a reader's notes; empty if it was read to its end.

    >>> explain_early_end(["the video is HDR", EarlyEnd("a.mp4 was cut off")])
    'ended early: a.mp4 was cut off; what was read is kept. Copy the file again'
    """
    reasons = [note for note in notes if isinstance(note, EarlyEnd)]
    return f"ended early: {'; '.join(reasons)}; what was read is kept. Copy the file again" if reasons else ""


@dataclass
class ReadLog:
    """What a reading thread noticed. Written by that thread, read by the other.

    Attributes:
        notes: Sentences for the user.
        frames: Frames decoded.
        damaged: Frames that could not be decoded, or only with missing parts, and were left out.
        before_key: Frames before the first key frame: nothing to start from, left out.
        dropped: Frames of a live stream that came faster than they were taken.
        reconnections: How often a live stream was connected again.
        ended_early: A file's frames end before its head says, or could not be read to the end.
    """

    notes: list[str] = field(default_factory=list)
    frames: int = 0
    damaged: int = 0
    before_key: int = 0
    dropped: int = 0
    reconnections: int = 0
    ended_early: bool = False

    def note(self, text: str) -> None:
        """Add a sentence once."""
        if text not in self.notes:
            self.notes.append(text)

    def note_early_end(self, text: str) -> None:
        """Add a sentence on why there are no more frames."""
        self.ended_early = True
        self.note(EarlyEnd(text))

    def lines(self) -> list[str]:
        """All notes, the counts in words."""
        counted = [
            (self.before_key, "{} before the first key frame left out: there is nothing to decode them from"),
            (self.damaged, "{} damaged or lost; frames after them may show smears up to the next key frame"),
            (self.dropped, "{} dropped because the live stream was faster than the analysis"),
        ]
        lines = [text.format(f"{n} frame{'s' if n > 1 else ''}") for n, text in counted if n]
        if self.reconnections:
            times = "once" if self.reconnections == 1 else f"{self.reconnections} times"
            lines.append(f"the connection was lost and restored {times}")
        return [*self.notes, *lines]


class FrameQueue:
    """First in, first out; a put waits while too many bytes wait, or drops the oldest frame.

    One frame is always admitted, however large. `info` is set before the first frame.
    """

    def __init__(self, limit_bytes: int, log: ReadLog) -> None:
        self.info: VideoInfo | None = None
        self.drop_oldest = False
        self._limit, self._log = limit_bytes, log
        self._frames: deque[VideoFrame] = deque()
        self._bytes = 0
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self.closed = threading.Event()

    def put(self, frame: VideoFrame) -> bool:
        """Add a frame. False if the queue was closed: stop decoding."""
        with self._changed:
            while self._frames and self._bytes + frame.nbytes > self._limit and not self.closed.is_set():
                if self.drop_oldest:
                    self._bytes -= self._frames.popleft().nbytes
                    self._log.dropped += 1
                else:
                    self._changed.wait()
            if self.closed.is_set():
                return False
            self._frames.append(frame)
            self._bytes += frame.nbytes
            self._log.frames += 1
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """No frame will come any more; with an error, the reader raises it after the last one."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def get(self) -> VideoFrame | None:
        """Wait for the next frame; None is the end."""
        with self._changed:
            self._wait_for_frame()
            if not self._frames:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                return None
            frame = self._frames.popleft()
            self._bytes -= frame.nbytes
            self._changed.notify_all()
            return frame

    def wait_for_first(self) -> bool:
        """Wait until a frame is there. False if there will be none.

        Raises:
            Exception: What the decoding thread ended with.
        """
        with self._changed:
            self._wait_for_frame()
            if not self._frames and self._error is not None:
                error, self._error = self._error, None
                raise error
            return bool(self._frames)

    def close(self) -> None:
        """Give up all frames and wake everyone."""
        with self._changed:
            self.closed.set()
            self._frames.clear()
            self._bytes = 0
            self._changed.notify_all()

    def _wait_for_frame(self) -> None:
        while not self._frames and not self._ended and not self.closed.is_set():
            self._changed.wait()
