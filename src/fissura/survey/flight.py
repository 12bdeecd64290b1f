"""A flight in one pass: frames are registered as they come, and ground that is new is looked at beside that.

Decoding, registration and inference run in threads of their own: PyAV, OpenCV and OpenVINO release Python's lock.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from shapely.geometry import Polygon
from shapely.ops import unary_union

from fissura.survey.looking import GroundLooker, Look
from fissura.survey.photo_pose import footprint
from fissura.survey.pose import FramePose
from fissura.survey.registration import REDUCED_PX, Registered, Registration
from fissura.survey.sharpness import RelativeSharpness, measure_sharpness
from fissura.types import RgbImage

LEAST_SHARPNESS = 0.6
"""Frames below this share of the flight's usual sharpness are passed over."""
DUE_AT = 0.38
"""A frame is looked at when so much of what it shows has not been looked at, ..."""
OVERDUE_AT = 0.7
"""... and at this share even if it is blurred: blurred ground is better than ground never seen."""
_EVERY_S = 0.125
"""Time from one registered frame to the next; twice that while a flight is steady."""
_CLOSER = 1.4
"""Ground seen so much smaller counts as not seen; a little more than `looking.BETTER`, so that a look finds work."""


class VideoFrameLike(Protocol):
    """What a flight needs of a frame; see `fissura.imaging.video.VideoFrame`."""

    index: int
    time_s: float
    damaged: bool

    def rgb(self) -> RgbImage:
        """The picture, (H, W, 3)."""
        ...

    def luma(self) -> npt.NDArray[np.uint8]:
        """Its brightness, (H, W)."""
        ...

    def reduced(self, factor: int) -> npt.NDArray[np.uint8]:
        """Its brightness reduced by a whole factor, (H // factor, W // factor)."""
        ...


@dataclass(frozen=True)
class LookedFrame:
    """A frame that was looked at.

    Attributes:
        index: Number of the frame.
        time_s: Its time.
        pose: Where it looks.
        chart: Connected piece of ground.
        sharpness: Relative to the flight.
        look: What came of it.
        seconds: For finding the road, the network and the canvas together.
    """

    index: int
    time_s: float
    pose: FramePose
    chart: int
    sharpness: float
    look: Look
    seconds: float


@dataclass
class FlightResult:
    """What a pass over a flight gave; the ground is on the looker's canvas.

    Attributes:
        frames: Frames read.
        duration_s: Time of the last frame less that of the first.
        registered: Every frame that was registered, lost ones (pose None) included.
        looked: Frames that were looked at, in order.
        blurred: Frames due for a look that were passed over as blurred.
        damaged: Frames passed over because data before them were lost: they may show smears.
        seconds: Wall-clock seconds by stage; stages overlap, so they add up to more than `elapsed_s`.
        elapsed_s: Wall-clock seconds in all.
        error: What ended the pass early, None if nothing did; results so far are kept.
    """

    frames: int = 0
    duration_s: float = 0.0
    registered: list[Registered] = field(default_factory=list)
    looked: list[LookedFrame] = field(default_factory=list)
    blurred: int = 0
    damaged: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    elapsed_s: float = 0.0
    error: Exception | None = None


Tilt = Callable[[float], tuple[float, float] | None]
"""Tilt of the camera at a time by telemetry, in radians; None if unknown."""
Progress = Callable[[FlightResult], None]


def fly(
    frames: Iterable[VideoFrameLike],
    looker: GroundLooker,
    *,
    tilt: Tilt | None = None,
    tilt_sigma_deg: float = 1.0,
    progress: Progress | None = None,
    stop: Callable[[FlightResult], bool] | None = None,
    on_look: Callable[[LookedFrame], None] | None = None,
) -> FlightResult:
    """Register the frames of a flight and look at all the ground they show.

    Args:
        frames: In the order of time, each one still valid after the next was read.
        looker: Lens, network, canvas.
        tilt: Camera's tilt by telemetry.
        tilt_sigma_deg: How sure that is, or the habit of looking straight down without telemetry.
        progress: Called after every registered frame.
        stop: Asked before every frame; True ends the pass, as the end of the video does.
        on_look: Called after each look, from another thread.
    Returns:
        The result. An error while reading or looking ends the pass and is in ``error``.
    """
    return _Pass(looker, tilt, tilt_sigma_deg, progress, on_look).run(frames, stop or (lambda result: False))


class _Pass:
    """State of one pass; see `fly`."""

    def __init__(
        self, looker: GroundLooker, tilt: Tilt | None, tilt_sigma_deg: float, progress: Progress | None,
        on_look: Callable[[LookedFrame], None] | None,
    ) -> None:  # fmt: skip
        size_hw = looker.lens.size_hw
        self.looker, self.tilt, self.progress, self.on_look = looker, tilt, progress, on_look
        self.factor = max(1, round(max(size_hw) / REDUCED_PX))
        first = tilt(0.0) if tilt is not None else None
        self.registration = Registration(
            looker.lens, self.factor, tilt=first or (0.0, 0.0), tilt_sigma=math.radians(tilt_sigma_deg)
        )
        self.sharpness = RelativeSharpness(window=40)
        self.result = FlightResult()
        self.footprints: list[tuple[Polygon, float, bool]] = []
        self.work: queue.Queue[tuple[VideoFrameLike, Registered, float] | None] = queue.Queue(maxsize=2)
        self.failure: Exception | None = None
        self._skipped = False
        self._unlooked: tuple[VideoFrameLike, Registered, float | None] | None = None

    def run(self, frames: Iterable[VideoFrameLike], stop: Callable[[FlightResult], bool]) -> FlightResult:
        start = time.perf_counter()
        worker = threading.Thread(target=self._work, name="look", daemon=True)
        worker.start()
        try:
            self._read(frames, stop, start)
        except Exception as error:
            self.result.error = error
        finally:
            self._put(None)
            worker.join()
        if self.failure is not None:
            self.result.error = self.failure
        self.result.elapsed_s = time.perf_counter() - start
        for stage, seconds in self.looker.seconds.items():
            self.result.seconds[stage] = seconds
        return self.result

    def _read(self, frames: Iterable[VideoFrameLike], stop: Callable[[FlightResult], bool], start: float) -> None:
        result = self.result
        first, last = None, -math.inf
        waiting = time.perf_counter()
        for frame in frames:
            result.seconds["wait for frames"] += time.perf_counter() - waiting
            if stop(result) or self.failure is not None:
                break
            first = frame.time_s if first is None else first
            result.frames += 1
            result.duration_s = frame.time_s - first
            if frame.damaged:
                result.damaged += 1
            elif frame.time_s - last >= _EVERY_S * (2 if self.registration.steady else 1) - 1e-6:
                last = frame.time_s
                self._unlooked = self._register(frame) or self._unlooked
                result.elapsed_s = time.perf_counter() - start
                if self.progress is not None:
                    self.progress(result)
            waiting = time.perf_counter()
        self._look_at_the_end()

    def _look_at_the_end(self) -> None:
        """Where a flight ends or is cut, its last frame still shows ground that was never enough for a look."""
        if self._unlooked is None:
            return
        frame, registered, known = self._unlooked
        self._unlooked = None
        sharp = self._sharpness(frame) if known is None else known
        assert registered.pose is not None
        if self._unseen(registered.pose, sharp) > 0.01:
            self._enqueue(frame, registered, sharp)

    def _register(self, frame: VideoFrameLike) -> tuple[VideoFrameLike, Registered, float | None] | None:
        """What the frame was, with its sharpness if it was measured, unless it is looked at, lost, or blurred."""
        start = time.perf_counter()
        grey = frame.reduced(self.factor)
        now = time.perf_counter()
        self.result.seconds["reduce"] += now - start
        tilt = self.tilt(frame.time_s) if self.tilt is not None else None
        registered = self.registration.update(frame.index, frame.time_s, grey, tilt=tilt)
        self.result.registered.append(registered)
        self.result.seconds["register"] += time.perf_counter() - now
        if registered.pose is None:
            self._sharpness(frame)
            self._look_at_the_end()
            return None
        if self._unlooked is not None and self._unlooked[1].chart != registered.chart:
            self._look_at_the_end()
        # A sharp frame is due the soonest. Sharpness takes as long as registering: what is usual needs every second
        # frame only, but of a frame that is due it must be known.
        unseen = self._unseen(registered.pose, 1.0)
        self._skipped = not self._skipped and unseen < DUE_AT
        if self._skipped:
            return frame, registered, None
        sharp = self._sharpness(frame)
        if sharp < LEAST_SHARPNESS:
            unseen = self._unseen(registered.pose, sharp)
        if unseen < DUE_AT:
            return frame, registered, sharp
        if sharp < LEAST_SHARPNESS and unseen < OVERDUE_AT:
            self.result.blurred += 1
            return None
        self._enqueue(frame, registered, sharp)
        return None

    def _sharpness(self, frame: VideoFrameLike) -> float:
        start = time.perf_counter()
        value = self.sharpness.add(measure_sharpness(frame.luma()))
        self.result.seconds["sharpness"] += time.perf_counter() - start
        return value

    def _unseen(self, pose: FramePose, sharp: float) -> float:
        """Share of a frame's ground that no look at least nearly as good has covered.

        What only a blurred frame showed is unseen for a sharp one, and is looked at before it leaves the view.
        """
        area, size = self._outline(pose)
        near = [
            f for f, s, clear in self.footprints[-60:]
            if s <= size * _CLOSER and (clear or sharp < LEAST_SHARPNESS) and f.intersects(area)
        ]  # fmt: skip
        if not near:
            return 1.0
        return 1.0 - float(area.intersection(unary_union(near)).area) / max(float(area.area), 1e-9)

    def _outline(self, pose: FramePose) -> tuple[Polygon, float]:
        outline, size = footprint(pose, self.looker.lens)
        return Polygon(outline), size

    def _enqueue(self, frame: VideoFrameLike, registered: Registered, sharp: float) -> None:
        assert registered.pose is not None
        self.footprints.append((*self._outline(registered.pose), sharp >= LEAST_SHARPNESS))
        start = time.perf_counter()
        self._put((frame, registered, sharp))
        self.result.seconds["wait for looks"] += time.perf_counter() - start

    def _put(self, item: tuple[VideoFrameLike, Registered, float] | None) -> None:
        while self.failure is None:
            try:
                self.work.put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def _work(self) -> None:
        try:
            while (item := self.work.get()) is not None:
                self._look(*item)
        except Exception as error:  # handed to the caller, who keeps what there is
            self.failure = error

    def _look(self, frame: VideoFrameLike, registered: Registered, sharp: float) -> None:
        assert registered.pose is not None
        start = time.perf_counter()
        rgb = frame.rgb()
        self.looker.seconds["colours"] += time.perf_counter() - start
        # Detail differs from place to place and with height: only what is clearly blurred counts as worse.
        quality = 1.0 if sharp >= LEAST_SHARPNESS else sharp
        look = self.looker.look(rgb, registered.pose, quality, index=frame.index)
        looked = LookedFrame(
            frame.index, frame.time_s, registered.pose, registered.chart, sharp, look, time.perf_counter() - start
        )
        self.result.looked.append(looked)
        if self.on_look is not None:
            self.on_look(looked)
