"""A video of a survey: from its frames to merged, measured ground, each crack once.

Whatever ends the flight early (a stream that stays away, Ctrl-C, a damaged file), what was seen until then is measured
and written. What the network said of each frame is on disk, so a killed run decodes again but does not look again.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fissura.cli.console import ProgressLine, say, warn
from fissura.errors import FissuraError, OutputError, SettingsError
from fissura.geo.gsd import SIGMA_BAROMETER_M, SIGMA_GROUND_GIVEN_M
from fissura.geo.telemetry import Telemetry, find_sidecar, read_telemetry
from fissura.geo.view import up_azimuth_deg
from fissura.imaging.video import VideoFrame, VideoReader, open_video
from fissura.imaging.write import is_fatal
from fissura.infer.segmenter import Segmenter
from fissura.measure.rules import RuleSet
from fissura.survey.annotate import PosePath, write_annotated
from fissura.survey.backdrop import Backdrop
from fissura.survey.flight import FlightResult, LookedFrame, fly
from fissura.survey.ground import GroundCanvas
from fissura.survey.look_memory import LookMemory
from fissura.survey.look_scales import faint_odds, plan_look_scales
from fissura.survey.looking import GroundLooker
from fissura.survey.merged import MergedGround, SeenFrame, chart_bounds, measure_ground
from fissura.survey.placing import SIGMA_HEIGHT_M, FlightPlace, TrackPoint, carry_scale, place_ground
from fissura.survey.pose import USUAL_FOCAL_35MM, Lens
from fissura.survey.registration import LARGEST_TILT_DEG, looks_flat
from fissura.survey.request import SurveyRequest, shown_source
from fissura.survey.run_folder import LOOKED_AT_AGAIN, RunFolder, stamp_file
from fissura.survey.video_results import Origin, VideoOutcome, collect_outcome, describe_look, describe_result

_AIRBORNE_M, _LIKE_HEIGHT = 3.0, 1.25
"""Height above the road from which a drone flies, and the factor within which two heights are one."""


@dataclass
class VideoRun:
    """State of one video.

    Attributes:
        request: Options.
        source: The video, as given.
        key: Its name in the run.
        name: As frames are called in the tables, before the number.
        digest: Changes with everything that looks depend on: the video, its subtitles, the settings.
        folder: Of the run.
        video: Opened.
        telemetry: None if there is none.
        segmenter: The network.
        rules: Severities.
        lens: Of the frames.
        notes: For the user.
        stopped: Ctrl-C was pressed.
    """

    request: SurveyRequest
    source: str
    key: str
    name: str
    digest: str
    folder: RunFolder
    video: VideoReader
    telemetry: Telemetry | None
    segmenter: Segmenter
    rules: RuleSet | None
    lens: Lens
    notes: list[str]
    stopped: bool = False
    canvas: GroundCanvas = field(init=False)
    backdrop: Backdrop = field(init=False)
    memory: LookMemory | None = field(init=False)

    def __post_init__(self) -> None:
        ground = self.folder.work("videos", self.key, "ground")
        shutil.rmtree(ground, ignore_errors=True)  # of a run that was cut off; it is built again from what was seen
        self.canvas, self.backdrop = GroundCanvas(ground), Backdrop()
        for old in self.looks.parent.glob("looks_*"):
            if old != self.looks:  # of another video of this name, or with other subtitles
                shutil.rmtree(old, ignore_errors=True)
        # A stream cannot be read a second time, and nothing tells that a recording on a server is still the same.
        self.memory = LookMemory(self.looks) if Path(self.source).is_file() else None

    @property
    def looks(self) -> Path:
        """Folder of what the network said."""
        return self.folder.work("videos", self.key, f"looks_{self.digest}")

    @property
    def origin(self) -> Origin:
        """What the results say of where they come from."""
        return Origin(self.video.info.source, self.name, self.segmenter.card, self.telemetry)


def survey_video(
    request: SurveyRequest, source: str, key: str, name: str, folder: RunFolder, segmenter: Segmenter,
    rules: RuleSet | None,
) -> VideoOutcome:  # fmt: skip
    """Survey a video.

    Args:
        request: Options.
        source: File, address or camera.
        key: Name of the video in the run; a path below it.
        name: Of the video in the tables.
        folder: Of the run.
        segmenter: The network.
        rules: Severities.
    Raises:
        FissuraError: The video cannot be opened, an option does not fit it, or a result cannot be written.
    """
    path = Path(source)
    stamp = _stamp(request, source)
    record = folder.work("videos", key, "record.json")
    given = {"least_confidence": request.least_confidence}
    if path.is_file():
        raw = folder.read_record(record, stamp, given=given, began=("rules", "least_confidence"))
        if raw is not None:
            return VideoOutcome.from_plain(raw).rated(rules)
        if folder.has_other_record(record, stamp):
            say(f"{name}: {LOOKED_AT_AGAIN}", quiet=request.quiet)
    with open_video(source) as video:
        telemetry = _find_telemetry(request, source)
        notes: list[str] = []
        if telemetry is None and video.info.decoder != "PyAV" and not video.info.live:
            notes.append("subtitles inside a video are read with PyAV only: pip install 'fissura[video]'")
        lens = Lens.from_35mm(_focal_35mm(request, telemetry, notes), video.info.size_hw)
        digest = hashlib.sha256(json.dumps([folder.digest, stamp]).encode()).hexdigest()[:16]
        run = VideoRun(
            request, source, key, name, digest, folder, video, telemetry, segmenter, rules, lens, notes
        )  # fmt: skip
        with _interrupts(run):
            outcome = _report(run, _fly(run))
            outcome.stopped = run.stopped
    if outcome.complete and path.is_file():
        folder.commit(record, stamp, outcome.to_plain(), given=given)
        shutil.rmtree(run.looks, ignore_errors=True)
    return outcome.rated(rules)


def _stamp(request: SurveyRequest, source: str) -> list[Any]:
    """Tells that a video and the subtitles beside it are still the same."""
    path = Path(source)
    if not path.is_file():
        return [shown_source(source)]
    beside = find_sidecar(path) if request.telemetry is None else None
    return [source, *stamp_file(path), *([] if beside is None else [beside.name, *stamp_file(beside)])]


def _fly(run: VideoRun) -> FlightResult:
    request, info = run.request, run.video.info
    ends = [s for s in (request.seconds, info.duration_s) if s is not None]
    gsd_mm = _ground_size(run, min(ends, default=math.inf))
    scales = plan_look_scales(request.scale, gsd_mm)
    looker = GroundLooker(
        run.canvas, run.segmenter, run.lens, scale=request.scale, whole_frame=request.whole_frame,
        backdrop=run.backdrop, memory=run.memory, coarse_scale=scales[1] if len(scales) > 1 else None,
        odds=faint_odds(None if gsd_mm is None else gsd_mm / request.scale),
    )  # fmt: skip
    h, w = info.size_hw
    length = "live" if info.live else "unknown length" if info.duration_s is None else f"{info.duration_s:.0f} s"
    pace = "" if info.fps is None else f", {info.fps:.3g} frames/s"
    say(f"{info.source}: {w}×{h}{pace}, {info.codec}, {length}", quiet=request.quiet)
    with ProgressLine("flight", max(int(min(ends, default=0)), 1), quiet=request.quiet, unit="s") as line:
        meter = _Meter(line)
        return fly(
            run.video, looker, tilt=_tilt(run), tilt_sigma_deg=0.5 if run.telemetry is not None else 1.0,
            on_look=lambda looked: _log(run, looked), progress=meter.show, stop=lambda result: _is_over(run, result),
        )  # fmt: skip


def _ground_size(run: VideoRun, end_s: float = math.inf) -> float | None:
    """Millimetres of ground in a pixel, in most of a flight that ends at some time; None if nothing tells."""
    request, height = run.request, run.request.height_m
    if request.gsd_mm is not None:
        return request.gsd_mm
    if height is None and run.telemetry is not None:
        height = _usual_height_m(run, run.telemetry, end_s)
    return 1000.0 * height / run.lens.focal_px if height is not None and height > 0 else None


def _usual_height_m(run: VideoRun, telemetry: Telemetry, end_s: float) -> float | None:
    """Metres above the road of a flight's first frame, or of most of the flight if that is another height.

    A recording may begin before take-off, or before its telemetry.
    """
    first = _above_road(run, telemetry.at(0.0).relative_altitude_m)
    samples = [s.pose.relative_altitude_m for s in telemetry.samples if 0 <= s.time_s <= end_s]
    flown = [h for h in (_above_road(run, altitude) for altitude in samples) if h is not None and h >= _AIRBORNE_M]
    if not flown:
        return first
    usual = float(np.median(flown))
    # A barometer is never still: of a flight at one height the beginning tells as much.
    return first if first is not None and usual / _LIKE_HEIGHT < first < usual * _LIKE_HEIGHT else usual


def _log(run: VideoRun, looked: LookedFrame) -> None:
    line = {"input": run.video.info.source, **describe_look(looked)}
    run.folder.log(f"look {run.key} {run.digest} {looked.index}", line)


def _is_over(run: VideoRun, result: FlightResult) -> bool:
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


def _report(run: VideoRun, result: FlightResult) -> VideoOutcome:
    cut = run.stopped  # later, all of the flight has been seen
    if result.error is not None:
        if run.request.debug:
            traceback.print_exception(result.error)
        warn(f"failed: {run.video.info.source}: {_in_words(result.error)}")
        if isinstance(result.error, OutputError):
            run.notes.append(str(result.error))
    start = time.perf_counter()
    if not result.looked:
        error = f"no frame could be looked at ({result.frames} frames were read){_looked_flat(run, result)}"
        warn(f"failed: {run.video.info.source}: {error}")
        return VideoOutcome.failed(run.video.info.source, run.name, error)
    if run.video.ended_early:
        warn(f"{run.video.info.source} ends early; what was seen until then is measured")
    say("measuring the merged ground", quiet=run.request.quiet)
    grounds = _measure(run, result)
    result.seconds["measure and write"] = time.perf_counter() - start
    annotate = run.request.annotate and not run.video.info.live
    if run.request.annotate and not annotate:
        run.notes.append("a live stream cannot be read a second time: there is no annotated video")
    run.canvas.close()
    run.notes += [*run.video.notes, *(run.telemetry.notes if run.telemetry is not None else ())]
    outcome = collect_outcome(
        run.folder, run.key, run.origin, result, grounds, lens=run.lens, canvas=run.canvas, backdrop=run.backdrop,
        rules=run.rules, notes=run.notes,
        complete=result.error is None and not cut and not run.video.ended_early,
        error="" if result.error is None else _in_words(result.error),
    )  # fmt: skip
    if annotate:
        _try_to_annotate(run, result, grounds, outcome)
    for line in describe_result(result, grounds):
        say(line, quiet=run.request.quiet)
    return outcome


def _looked_flat(run: VideoRun, result: FlightResult) -> str:
    """The reason, where it is that the camera never looked down far enough."""
    tilt = _tilt(run)
    tilts = [] if tilt is None else [tilt(seen.time_s) for seen in result.registered]
    if not tilts or not all(t is not None and looks_flat(t) for t in tilts):
        return ""
    by = "the gimbal's pitch" if run.request.pitch_deg is None else f"--pitch-deg {run.request.pitch_deg:g}"
    steepest = min(math.degrees(math.hypot(*t)) for t in tilts) - 90.0
    return (
        f": all look too far along the ground ({steepest:.0f} degrees or flatter by {by}); "
        f"{LARGEST_TILT_DEG - 90:.0f} to -90 (down) are used"
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, FissuraError):
        return str(error)
    return f"{type(error).__name__}: {error}; what was seen until then is measured; run with --debug for the trace"


def _measure(run: VideoRun, result: FlightResult) -> list[MergedGround]:
    grounds = []
    for chart in sorted({looked.chart for looked in result.looked}):
        frames = [SeenFrame.of_look(looked, run.lens) for looked in result.looked if looked.chart == chart]
        bounds = chart_bounds(frames)
        assert bounds is not None
        top, left, bottom, right = bounds
        place = _place(run, result, chart, (left, top))
        grounds.append(measure_ground(
            run.canvas, frames, chart, place, origin_rc=(top, left), size_hw=(bottom - top, right - left),
            threshold=run.segmenter.threshold, confidence=run.segmenter.card.confidence,
            least_confidence=run.request.least_confidence,
        ))  # fmt: skip
        run.notes.extend(place.notes)
    return grounds


def _place(run: VideoRun, result: FlightResult, chart: int, origin_xy: tuple[float, float]) -> FlightPlace:
    """Scale and place of a chart; what the user gave of the scale is of the first one."""
    request, first = run.request, next((seen.chart for seen in result.registered if seen.pose is not None), chart)
    track, gsd_mm, height_sigma_m = _track(run, result, chart), request.gsd_mm, _height_sigma_m(run)
    later = None
    if chart != first and (gsd_mm is not None or request.height_m is not None):
        before, here = (_track(run, result, which, by_telemetry=True) for which in (first, chart))
        later = carry_scale(before, here, run.lens.focal_px, gsd_mm=gsd_mm, height_m=request.height_m)
    if later is not None:
        track, gsd_mm, height_sigma_m = list(later.track), None, later.sigma_m
    place = place_ground(
        track, run.lens.focal_px, origin_xy=origin_xy, gsd_mm=gsd_mm,
        focal_sigma=0.03 if _known_focal(run) else 0.1, height_sigma_m=height_sigma_m,
    )  # fmt: skip
    return place if later is None else replace(place, notes=(*place.notes, later.note))


def _track(run: VideoRun, result: FlightResult, chart: int, *, by_telemetry: bool = False) -> list[TrackPoint]:
    """Where the camera was, on the ground and by telemetry; heights as the user gave them, or by telemetry alone."""
    points = []
    given_m = None if by_telemetry else run.request.height_m
    for seen in result.registered:
        if seen.pose is None or seen.chart != chart:
            continue
        at = seen.pose.x, seen.pose.y
        if run.telemetry is None:
            points.append(TrackPoint(at, seen.pose.log_height, height_m=given_m))
            continue
        known = run.telemetry.at(seen.time_s)
        azimuth = None
        if known.yaw_deg is not None:
            pitch = -90.0 if known.pitch_deg is None else known.pitch_deg
            azimuth = up_azimuth_deg(pitch, known.roll_deg or 0.0, known.yaw_deg) - math.degrees(seen.pose.turn)
        points.append(TrackPoint(
            at, seen.pose.log_height, known.latitude_deg, known.longitude_deg,
            _above_road(run, known.relative_altitude_m) if given_m is None else given_m, azimuth,
        ))  # fmt: skip
    return points


def _above_road(run: VideoRun, altitude_m: float | None) -> float | None:
    """Height above the road from the one above the take-off point."""
    return None if altitude_m is None else altitude_m - (run.request.ground_height_m or 0.0)


def _height_sigma_m(run: VideoRun) -> float:
    if run.request.height_m is not None:
        return SIGMA_GROUND_GIVEN_M
    if run.request.ground_height_m is not None:
        return math.hypot(SIGMA_BAROMETER_M, SIGMA_GROUND_GIVEN_M)
    return SIGMA_HEIGHT_M


def _try_to_annotate(
    run: VideoRun, result: FlightResult, grounds: Sequence[MergedGround], outcome: VideoOutcome
) -> None:
    """A picture of what was measured must not cost it: only a full disk ends more than the annotated video."""
    start = time.perf_counter()
    try:
        _annotate(run, result, grounds)
    except Exception as error:
        if isinstance(error, OutputError) and is_fatal(error):
            raise
        if run.request.debug:
            traceback.print_exception(error)
        text = str(error) if isinstance(error, FissuraError) else f"{type(error).__name__}: {error}"
        problem = f"{run.name} has no annotated video: {text}"
        warn(f"failed: {problem}")
        outcome.add_problem(problem)
    outcome.figures["seconds"]["annotate"] = round(time.perf_counter() - start, 3)


def _annotate(run: VideoRun, result: FlightResult, grounds: Sequence[MergedGround]) -> None:
    request = run.request
    known = [r.time_s for r in result.registered]
    with (
        open_video(run.source) as again,
        ProgressLine("annotated video", max(int(result.duration_s), 1), quiet=request.quiet, unit="s") as line,
    ):
        done = 0

        def progress(time_s: float) -> None:
            nonlocal done
            if int(time_s) > done:
                line.advance("", int(time_s) - done)
                done = int(time_s)

        write_annotated(
            run.folder.out / "annotated" / f"{run.key}.mp4", _until(again, known[-1] + 0.2),
            PosePath(result.registered), grounds, run.lens, fps=run.video.info.fps or 30.0, progress=progress,
        )  # fmt: skip


def _until(video: VideoReader, time_s: float) -> Iterator[VideoFrame]:
    for frame in video:
        if frame.time_s > time_s:
            return
        yield frame


def _find_telemetry(request: SurveyRequest, source: str) -> Telemetry | None:
    if request.telemetry is not None:
        given = read_telemetry(
            request.telemetry, time_offset_s=request.telemetry_offset_s, rate_hz=request.telemetry_rate_hz
        )
        if given is None:
            need = "give the flight's log (CSV) or its subtitles (.SRT)"
            raise SettingsError(f"{request.telemetry} holds no telemetry; {need}")
        return given
    path = Path(source)
    return read_telemetry(path, time_offset_s=request.telemetry_offset_s) if path.is_file() else None


def _focal_35mm(request: SurveyRequest, telemetry: Telemetry | None, notes: list[str]) -> float:
    """The user's, the telemetry's, or the usual one."""
    focal = request.focal_35mm
    if focal is None and telemetry is not None:
        focal = telemetry.focal_35mm
    if focal is None:
        focal = USUAL_FOCAL_35MM
        notes.append(f"focal length not known: {focal:g} mm (35-mm equivalent) is assumed; --focal-35mm says better")
    return focal


def _known_focal(run: VideoRun) -> bool:
    return run.request.focal_35mm is not None or (run.telemetry is not None and run.telemetry.focal_35mm is not None)


def _tilt(run: VideoRun) -> Any:
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
def _interrupts(run: VideoRun) -> Iterator[None]:
    """The first Ctrl-C ends the flight, keeps what was seen and measures it; the second ends the program."""

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
