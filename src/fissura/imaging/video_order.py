"""Numbers and times of frames, from time stamps that may be missing, out of order or start again."""

from __future__ import annotations

import heapq


class DisplayOrder:
    """Numbers frames in the order of display from the time stamps of packets, which come in the order of decoding.

    When a frame comes out, all packets with earlier stamps have gone in; those that gave no frame were lost.

    Attributes:
        first: Stamp of the first frame that is displayed; known when one has been.
        last: Latest stamp so far.

    >>> order = DisplayOrder()
    >>> for stamp in (0, 30, 10, 20):  # frames 1 and 2 are predicted from 3
    ...     order.push(stamp)
    >>> order.pop(0), order.pop(20)
    ((0, 0), (2, 1))
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.last: int | None = None
        self.packets = 0
        self._waiting: list[int] = []
        self._next = 0
        self._unstamped = 0
        self._is_open = True

    def push(self, pts: int | None) -> None:
        """A packet goes into the decoder."""
        self._see(pts)
        if pts is None:
            self._unstamped += 1
        else:
            heapq.heappush(self._waiting, pts)

    def pass_over(self, pts: int | None) -> None:
        """A packet before all that were pushed is left out."""
        self._see(pts)
        self._next += 1

    def pop(self, pts: int | None) -> tuple[int, int]:
        """Number of a frame that comes out, and how many were lost just before it."""
        self._is_open = False
        passed = 0
        while pts is not None and self._waiting and self._waiting[0] <= pts:
            heapq.heappop(self._waiting)
            passed += 1
        self._unstamped -= passed == 0
        self._next += max(passed, 1)
        return self._next - 1, max(passed - 1, 0)

    def rest(self) -> int:
        """At the end: packets that no frame came of."""
        return len(self._waiting) + max(self._unstamped, 0)

    def _see(self, pts: int | None) -> None:
        self.packets += 1
        if pts is None:
            return
        self.last = pts if self.last is None else max(self.last, pts)
        if self._is_open:
            self.first = pts if self.first is None else min(self.first, pts)


class FrameClock:
    """Seconds since the first frame, from time stamps that may be missing or start again.

    >>> clock = FrameClock(period_s=0.04)
    >>> [round(clock.time_s(stamp, index), 2) for index, stamp in enumerate([7.0, 7.1, None, 0.5, 0.54])]
    [0.0, 0.1, 0.14, 0.18, 0.22]
    """

    def __init__(self, period_s: float) -> None:
        self.restarts = 0
        self._period_s = period_s
        self._zero: float | None = None
        self._last: tuple[int, float] | None = None

    def time_s(self, stamp_s: float | None, index: int, *, first_stamp_s: float | None = None) -> float:
        """Time of the frame with this index; without a stamp it follows the frame before at the usual distance.

        Args:
            stamp_s: Its time stamp.
            index: Its number.
            first_stamp_s: Stamp of the video's first frame, if that is not this one; only asked the first time.
        """
        follows = 0.0 if self._last is None else self._last[1] + (index - self._last[0]) * self._period_s
        if self._last is None and (stamp_s is None or first_stamp_s is None):
            follows = index * self._period_s
        if stamp_s is None:
            now = follows
        else:
            if self._zero is None:
                self._zero = stamp_s - follows if first_stamp_s is None else first_stamp_s
            now = stamp_s - self._zero
            if self._last is not None and now <= self._last[1]:
                # Joined recordings: time stamps start again.
                self._zero, now = stamp_s - follows, follows
                self.restarts += 1
        self._last = (index, now)
        return now
