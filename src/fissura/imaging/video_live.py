"""Live sources that break off and come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event

from fissura.errors import FissuraError, SettingsError
from fissura.imaging.video_frame import VideoFrame
from fissura.imaging.video_queue import ReadLog
from fissura.imaging.video_source import OpenVideo


@dataclass(frozen=True)
class Reconnect:
    """When a live source is connected again.

    Attributes:
        attempts: In a row without a frame, before the stream counts as ended; 0 ends it at the first break.
        opening_attempts: The same before the first frame ever.
        first_delay_s: Wait before the first attempt; it doubles with each one,
        longest_delay_s: up to this.
        timeout_s: How long a connection may be silent.
    """

    attempts: int = 10
    opening_attempts: int = 2
    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.attempts < 0 or self.opening_attempts < 0:
            raise SettingsError(f"attempts {self.attempts}, {self.opening_attempts}: give 0 or more")
        if min(self.first_delay_s, self.longest_delay_s, self.timeout_s) <= 0:
            raise SettingsError("the delays and the timeout of a live source must be above 0 s")

    def delay_s(self, attempt: int) -> float:
        """Wait before an attempt, counted from 0.

        >>> [Reconnect(longest_delay_s=3).delay_s(n) for n in range(5)]
        [0.5, 1.0, 2.0, 3, 3]
        """
        return min(self.first_delay_s * 2.0 ** min(attempt, 30), self.longest_delay_s)


def read_live(
    connect: Callable[[], OpenVideo], policy: Reconnect, log: ReadLog, stop: Event
) -> Iterator[tuple[OpenVideo, VideoFrame]]:
    """Frames of a live source over all its connections, with the connection each came by.

    Numbers go on, and times by the clock on the wall, from one connection to the next.

    Args:
        connect: Makes a connection.
        policy: When to try again.
        log: Takes notes.
        stop: Ends everything, waits included.
    Raises:
        FissuraError: No frame ever came.
    """
    joiner, failed = _Joiner(), 0
    while not stop.is_set():
        error: FissuraError | None = None
        try:
            source = connect()
            try:
                for frame in source.frames():
                    if joiner.is_new_connection:
                        log.reconnections += joiner.frames > 0
                        failed = 0
                    yield source, joiner.join(frame)
            finally:
                source.close()
                joiner.is_new_connection = True
            if not source.live:
                return
        except FissuraError as caught:
            error = caught
        if failed >= (policy.attempts if joiner.frames else policy.opening_attempts):
            if joiner.frames:
                tried = f"; attempts to connect again: {failed}, all in vain" if failed else ""
                log.note(f"the stream ended{tried}")
            elif error is not None:
                raise error
            return
        stop.wait(policy.delay_s(failed))
        failed += 1


class _Joiner:
    """Numbers and times that go on from one connection to the next."""

    def __init__(self) -> None:
        self.frames = 0
        self.is_new_connection = True
        self._first_index = 0
        self._next_index = 0
        self._first_s = 0.0
        self._last_s = 0.0
        self._started = time.monotonic()

    def join(self, frame: VideoFrame) -> VideoFrame:
        if self.is_new_connection:
            now = time.monotonic()
            if self.frames:
                self._first_index = self._next_index - frame.index
                self._first_s = max(now - self._started, self._last_s + 1e-3) - frame.time_s
            else:
                self._started = now
            self.is_new_connection = False
        frame.index += self._first_index
        frame.time_s += self._first_s
        self.frames += 1
        self._next_index, self._last_s = frame.index + 1, max(self._last_s, frame.time_s)
        return frame
