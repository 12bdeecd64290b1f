"""The run behind ``fissura survey VIDEO``: from a video to measured cracks, each reported once.

Results appear in the run's folder when the flight has been seen; ``manifest.jsonl`` grows with every look. Whatever
ends the flight early (a stream that stays away, Ctrl-C, a damaged file), what was seen until then is measured and
written.
"""

from __future__ import annotations

import math
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fissura.cli.console import EXIT_OK, EXIT_SOME_FAILED, ProgressLine, say, warn
from fissura.errors import FissuraError, OutputError, SettingsError
from fissura.geo.telemetry import Telemetry, read_telemetry
from fissura.geo.view import up_azimuth_deg
from fissura.imaging.video import VideoFrame, VideoReader, open_video
from fissura.imaging.write import write_jpeg
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.measure.rules import RuleSet, read_rules
from fissura.survey.annotate import PosePath, write_annotated
from fissura.survey.backdrop import Backdrop
from fissura.survey.flight import FlightResult, fly
from fissura.survey.ground import GroundCanvas
from fissura.survey.looking import GroundLooker
from fissura.survey.merged import MergedGround, chart_bounds, measure_ground
from fissura.survey.mosaic import draw_mosaic
from fissura.survey.placing import TrackPoint, place_ground
from fissura.survey.pose import USUAL_FOCAL_35MM, Lens
from fissura.survey.video_results import Origin, describe_result, log_look, write_summary, write_tables
from fissura.survey.video_settings import VideoRequest, claim_folder


@dataclass
class _Run:
    """State of one run."""

    request: VideoRequest
    video: VideoReader
    telemetry: Telemetry | None
    segmenter: Segmenter
    rules: RuleSet | None
    lens: Lens
    notes: list[str]
    stopped: bool = False
    canvas: GroundCanvas = field(init=False)
    backdrop: Backdrop = field(init=False)

    def __post_init__(self) -> None:
        self.canvas = GroundCanvas(self.request.out / "ground")
        self.backdrop = Backdrop(self.lens)

    @property
    def origin(self) -> Origin:
        """What the results say of where they come from."""
        return Origin(self.video.info.source, self.segmenter.card, self.telemetry)


def run_video(request: VideoRequest) -> int:
    """Survey a video and return the exit status.

    Raises:
        FissuraError: The run could not start: the video, an option, the model, the output folder.
    """
    request.check()
    rules = read_rules(request.rules) if request.rules else None
    with open_video(request.source) as video:
        telemetry = _find_telemetry(request)
        notes: list[str] = []
        if telemetry is None and video.info.decoder != "PyAV" and not video.info.live:
            notes.append("subtitles inside a video are read with PyAV only: pip install 'fissura[video]'")
        lens = Lens.from_35mm(_focal_35mm(request, telemetry, notes), video.info.size_hw)
        segmenter = load_segmenter(
            request.model, engine=request.engine, threads=request.threads, threshold=request.threshold,
            precision=None if request.precision == "auto" else request.precision,
        )  # fmt: skip
        if not claim_folder(request, segmenter):
            done = f"{request.out} holds the finished results of these settings; --overwrite makes them anew"
            say(done, quiet=request.quiet)
            return EXIT_OK
        run = _Run(request, video, telemetry, segmenter, rules, lens, notes)
        return _report(run, _fly(run))


def _fly(run: _Run) -> FlightResult:
    request, info = run.request, run.video.info
    looker = GroundLooker(
        run.canvas, run.segmenter, run.lens, scale=request.scale, whole_frame=request.whole_frame, backdrop=run.backdrop
    )
    h, w = info.size_hw
    length = "live" if info.live else "unknown length" if info.duration_s is None else f"{info.duration_s:.0f} s"
    pace = "" if info.fps is None else f", {info.fps:.3g} frames/s"
    say(f"{info.source}: {w}×{h}{pace}, {info.codec}, {length}", quiet=request.quiet)
    ends = [s for s in (request.seconds, info.duration_s) if s is not None]
    with (
        _interrupts(run),
        ProgressLine("flight", max(int(min(ends, default=0)), 1), quiet=request.quiet, unit="s") as line,
    ):
        meter = _Meter(line)
        return fly(
            run.video, looker, tilt=_tilt(run), tilt_sigma_deg=0.5 if run.telemetry is not None else 1.0,
            on_look=lambda looked: log_look(request.out / "manifest.jsonl", info.source, looked),
            progress=meter.show, stop=lambda result: _is_over(run, result),
        )  # fmt: skip


def _is_over(run: _Run, result: FlightResult) -> bool:
    seconds = run.request.seconds
    return run.stopped or (seconds is not None and result.duration_s >= seconds)


class _Meter:
    """Seconds of flight on a progress line, with frames per second and real-time factor."""

    def __init__(self, line: ProgressLine) -> None:
        self._line, self._done = line, 0

    def show(self, result: FlightResult) -> None:
        now = int(result.duration_s)
        if now > self._done:
            spent = max(result.elapsed_s, 1e-6)
            rates = f"{result.frames / spent:.0f} frames/s, {result.duration_s / spent:.1f}× real time"
            self._line.advance(rates, now - self._done)
            self._done = now


def _report(run: _Run, result: FlightResult) -> int:
    request = run.request
    if result.error is not None:
        if request.debug:
            traceback.print_exception(result.error)
        warn(f"failed: {run.video.info.source}: {_in_words(result.error)}")
    if not result.looked:
        warn(f"failed: {run.video.info.source}: no frame could be looked at ({result.frames} frames were read)")
        return EXIT_SOME_FAILED
    try:
        return _write(run, result)
    except OutputError as error:
        warn(f"failed: {run.video.info.source}: {error}")
        warn("what was written so far is kept; make room or choose another --out, and run the command again")
        return EXIT_SOME_FAILED


def _write(run: _Run, result: FlightResult) -> int:
    """Measure and write everything, the most wanted first."""
    request, start = run.request, time.perf_counter()
    say("measuring the merged ground", quiet=request.quiet)
    grounds = _measure(run, result)
    write_tables(request.out, run.origin, result, grounds)
    for ground in grounds:
        name = "mosaic.jpg" if len(grounds) == 1 else f"mosaic_{ground.chart + 1}.jpg"
        picture, _ = draw_mosaic(run.canvas, run.backdrop, ground, caption=Path(run.video.info.source).name)
        write_jpeg(request.out / name, picture, quality=90)
    result.seconds["measure and write"] = time.perf_counter() - start
    if request.annotate:
        _annotate(run, result, grounds)
    run.canvas.close()
    complete = result.error is None and not run.stopped
    notes = [*run.notes, *run.video.notes, *(run.telemetry.notes if run.telemetry is not None else ())]
    write_summary(
        request.out / "summary.json", run.origin, result, grounds, complete=complete, seen_px=run.canvas.seen_px,
        notes=notes,
    )  # fmt: skip
    for line in (*(f"note: {n}" for n in dict.fromkeys(notes)), *describe_result(result, grounds)):
        say(line, quiet=request.quiet)
    say(f"next: look at {request.out / 'mosaic.jpg'}", quiet=request.quiet)
    return EXIT_OK if complete else EXIT_SOME_FAILED


def _in_words(error: Exception) -> str:
    if isinstance(error, FissuraError):
        return str(error)
    return f"{type(error).__name__}: {error}; what was seen until then is measured; run with --debug for the trace"


def _measure(run: _Run, result: FlightResult) -> list[MergedGround]:
    grounds = []
    for chart in sorted({looked.chart for looked in result.looked}):
        bounds = chart_bounds(result.looked, chart, run.lens)
        assert bounds is not None
        top, left, bottom, right = bounds
        place = place_ground(
            _track(run, result, chart), run.lens.focal_px, origin_xy=(left, top), gsd_mm=run.request.gsd_mm,
            focal_sigma=0.03 if _known_focal(run) else 0.1,
        )  # fmt: skip
        grounds.append(measure_ground(
            run.canvas, result.looked, chart, run.lens, place, origin_rc=(top, left),
            size_hw=(bottom - top, right - left), threshold=run.segmenter.threshold, rules=run.rules,
        ))  # fmt: skip
        run.notes.extend(place.notes)
    return grounds


def _track(run: _Run, result: FlightResult, chart: int) -> list[TrackPoint]:
    """Where the camera was, on the ground and by telemetry."""
    points = []
    for seen in result.registered:
        if seen.pose is None or seen.chart != chart:
            continue
        at, height = (seen.pose.x, seen.pose.y), run.request.height_m
        if run.telemetry is None:
            points.append(TrackPoint(at, seen.pose.log_height, height_m=height))
            continue
        known = run.telemetry.at(seen.time_s)
        azimuth = None
        if known.yaw_deg is not None:
            pitch = -90.0 if known.pitch_deg is None else known.pitch_deg
            azimuth = up_azimuth_deg(pitch, 0.0, known.yaw_deg) - math.degrees(seen.pose.turn)
        points.append(TrackPoint(
            at, seen.pose.log_height, known.latitude_deg, known.longitude_deg,
            known.relative_altitude_m if height is None else height, azimuth,
        ))  # fmt: skip
    return points


def _annotate(run: _Run, result: FlightResult, grounds: Sequence[MergedGround]) -> None:
    request, start = run.request, time.perf_counter()
    if run.video.info.live:
        run.notes.append("a live stream cannot be read a second time: there is no annotated video")
        return
    known = [r.time_s for r in result.registered]
    with (
        open_video(request.source) as again,
        ProgressLine("annotated video", max(int(result.duration_s), 1), quiet=request.quiet, unit="s") as line,
    ):
        done = 0

        def progress(time_s: float) -> None:
            nonlocal done
            if int(time_s) > done:
                line.advance("", int(time_s) - done)
                done = int(time_s)

        write_annotated(
            request.out / "annotated.mp4", _until(again, known[-1] + 0.2), PosePath(result.registered), grounds,
            run.lens, fps=run.video.info.fps or 30.0, progress=progress,
        )  # fmt: skip
    result.seconds["annotate"] = time.perf_counter() - start


def _until(video: VideoReader, time_s: float) -> Iterator[VideoFrame]:
    for frame in video:
        if frame.time_s > time_s:
            return
        yield frame


def _find_telemetry(request: VideoRequest) -> Telemetry | None:
    if request.telemetry is not None:
        given = read_telemetry(
            request.telemetry, time_offset_s=request.telemetry_offset_s, rate_hz=request.telemetry_rate_hz
        )
        if given is None:
            need = "give the flight's log (CSV) or its subtitles (.SRT)"
            raise SettingsError(f"{request.telemetry} holds no telemetry; {need}")
        return given
    path = Path(request.source)
    return read_telemetry(path) if path.is_file() else None


def _focal_35mm(request: VideoRequest, telemetry: Telemetry | None, notes: list[str]) -> float:
    """The user's, the telemetry's, or the usual one."""
    focal = request.focal_35mm
    if focal is None and telemetry is not None:
        focal = telemetry.focal_35mm
    if focal is None:
        focal = USUAL_FOCAL_35MM
        notes.append(f"focal length not known: {focal:g} mm (35-mm equivalent) is assumed; --focal-35mm says better")
    return focal


def _known_focal(run: _Run) -> bool:
    return run.request.focal_35mm is not None or (run.telemetry is not None and run.telemetry.focal_35mm is not None)


def _tilt(run: _Run) -> Any:
    """Tilt at a time: the user's, the gimbal's, or none (straight down)."""
    if run.request.pitch_deg is not None:
        fixed = math.radians(90.0 + run.request.pitch_deg), 0.0
        return lambda time_s: fixed
    if run.telemetry is None:
        return None
    telemetry = run.telemetry

    def tilt(time_s: float) -> tuple[float, float] | None:
        pose = telemetry.at(time_s)
        return None if pose.pitch_deg is None else (math.radians(90.0 + pose.pitch_deg), 0.0)

    return tilt


@contextmanager
def _interrupts(run: _Run) -> Iterator[None]:
    """The first Ctrl-C ends the flight and keeps what was seen; the second ends the program."""

    def handle(number: int, stack: Any) -> None:
        if run.stopped:
            raise KeyboardInterrupt
        run.stopped = True
        warn("stopping: what was seen so far will be measured and written; press Ctrl-C again to stop at once")

    try:
        before = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
