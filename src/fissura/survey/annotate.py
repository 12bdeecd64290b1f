"""The annotated video: the flight again, with the cracks of the merged ground drawn into every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import OutputError
from fissura.geo.homography import transform
from fissura.imaging.text import blend_panel, blend_text, load_font, text_size_wh
from fissura.imaging.width_scale import plan_width_scale
from fissura.imaging.write import as_output_error
from fissura.survey.flight import VideoFrameLike
from fissura.survey.merged import MergedGround
from fissura.survey.pose import FramePose, Lens, Matrix, PointsXY, depth
from fissura.survey.registration import Registered
from fissura.types import RgbImage

_LONGEST_GAP_S = 1.0
_STEP = 4
_NEAREST = 0.1
"""Share of the nearest shown ground's depth from which on a line is drawn: below lies what is behind the camera."""


@dataclass(frozen=True, eq=False)
class _Line:
    chart: int
    ground_xy: npt.NDArray[np.float64]
    colour: tuple[int, int, int]
    box: tuple[float, float, float, float]


class PosePath:
    """The pose of every frame, interpolated between registered ones.

    Args:
        registered: In the order of time.
    """

    def __init__(self, registered: Sequence[Registered]) -> None:
        self._known = [r for r in registered if r.pose is not None]
        self._times = np.array([r.time_s for r in self._known])

    def at(self, time_s: float) -> tuple[FramePose, int] | None:
        """Pose and chart; None where the flight was lost."""
        if not self._known:
            return None
        k = int(np.searchsorted(self._times, time_s))
        before, after = self._known[max(k - 1, 0)], self._known[min(k, len(self._known) - 1)]
        near = min(abs(before.time_s - time_s), abs(after.time_s - time_s))
        if near > _LONGEST_GAP_S or before.pose is None or after.pose is None:
            return None
        gap = after.time_s - before.time_s
        if before.chart != after.chart or gap > _LONGEST_GAP_S or gap <= 0:
            nearest = before if abs(before.time_s - time_s) <= abs(after.time_s - time_s) else after
            return (nearest.pose, nearest.chart) if nearest.pose is not None else None
        share = (time_s - before.time_s) / gap
        vector = before.pose.vector() * (1 - share) + after.pose.vector() * share
        return FramePose.from_vector(vector), before.chart


def write_annotated(
    path: Path, frames: Iterable[VideoFrameLike], poses: PosePath, grounds: Sequence[MergedGround], lens: Lens, *,
    fps: float, most_rows: int = 1080, progress: Callable[[float], None] | None = None,
) -> int:  # fmt: skip
    """Write an H.264 MP4 of the flight with its cracks.

    Args:
        path: File to write; it appears whole or not at all.
        frames: The flight again.
        poses: Where each frame looks.
        grounds: What was found.
        lens: Of the frames.
        fps: Frames a second.
        most_rows: Larger frames are reduced to so many rows.
        progress: Told the time of each finished frame, in seconds.
    Returns:
        Frames written.
    Raises:
        OutputError: The file cannot be written.
    """
    lines = _coloured_lines(grounds)
    h, w = lens.size_hw
    shrink = min(1.0, most_rows / h)
    size_wh = round(w * shrink) // 2 * 2, round(h * shrink) // 2 * 2
    # The suffix stays: by it OpenCV chooses the container.
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _Writer(temporary, size_wh, fps) as writer:
            for frame in frames:
                rgb = cv2.resize(frame.rgb(), size_wh, interpolation=cv2.INTER_AREA)
                where = poses.at(frame.time_s)
                _draw(rgb, None if where is None else where, lines, lens, size_wh[1] / h)
                writer.write(rgb)
                count += 1
                if progress is not None:
                    progress(frame.time_s)
        temporary.replace(path)
    except OSError as error:
        raise as_output_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _coloured_lines(grounds: Sequence[MergedGround]) -> list[_Line]:
    widths, lengths = [], []
    for ground in grounds:
        for crack in ground.measurement.cracks:
            widths.append(crack.width_mean)
            lengths.append(crack.length)
    if not widths:
        return []
    scaled = grounds[0].measurement.scale is not None
    scale = plan_width_scale(np.array(widths), np.array(lengths), unit="mm" if scaled else "px")
    lines = []
    for ground in grounds:
        top, left = ground.origin_rc
        for crack in ground.measurement.cracks:
            xy = crack.points_rc[:, ::-1] + (left, top)
            colour = scale.colours(np.array([crack.width_mean]))[0]
            box = (*xy.min(axis=0), *xy.max(axis=0))
            lines.append(_Line(ground.chart, xy, tuple(int(c) for c in colour), tuple(float(v) for v in box)))  # type: ignore[arg-type]
    return lines


def _draw(
    rgb: RgbImage, where: tuple[FramePose, int] | None, lines: Sequence[_Line], lens: Lens, shrink: float
) -> None:
    """Draw the cracks into a frame, in place."""
    if where is None:
        _label(rgb, "position lost")
        return
    pose, chart = where
    matrix = np.diag([shrink, shrink, 1.0]) @ pose.frame_from_ground(lens)
    h, w = lens.size_hw
    ground, corners = pose.ground_from_frame(lens), np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    ahead = depth(ground, corners)
    seen = transform(ground, corners)
    low, high = (seen.min(axis=0), seen.max(axis=0)) if ahead.min() > 0 else (np.full(2, -np.inf), np.full(2, np.inf))
    thick = max(1, round(rgb.shape[0] / 540))
    for line in lines:
        x0, y0, x1, y1 = line.box
        if line.chart != chart or x1 < low[0] or x0 > high[0] or y1 < low[1] or y0 > high[1]:
            continue
        pieces = [
            np.rint(transform(matrix, xy) * 2**_STEP).astype(np.int32)
            for xy in _pieces_ahead(matrix, line.ground_xy, _NEAREST / float(ahead.max()))
        ]
        cv2.polylines(rgb, pieces, False, (12, 12, 16), thick + 2, cv2.LINE_AA, _STEP)
        cv2.polylines(rgb, pieces, False, line.colour, thick, cv2.LINE_AA, _STEP)


def _pieces_ahead(matrix: Matrix, ground_xy: PointsXY, least: float) -> list[PointsXY]:
    """The parts of a line before the camera, where ground pixels have at least a depth through ``matrix``.

    Points behind an oblique camera have a place in its picture, too, mirrored through its middle.
    """
    beyond = depth(matrix, ground_xy) - least
    shown = beyond > 0
    if shown.all():
        return [ground_xy]
    # Depth changes evenly along a straight line on the ground.
    before = np.flatnonzero(shown[1:] != shown[:-1])
    share = beyond[before] / (beyond[before] - beyond[before + 1])
    edges = ground_xy[before] + share[:, None] * (ground_xy[before + 1] - ground_xy[before])
    line, shown = np.insert(ground_xy, before + 1, edges, axis=0), np.insert(shown, before + 1, True)
    cuts = np.flatnonzero(shown[1:] != shown[:-1]) + 1
    return [piece for piece, own in zip(np.split(line, cuts), np.split(shown, cuts), strict=True) if own[0]]


def _label(rgb: RgbImage, text: str) -> None:
    font = load_font(max(14, rgb.shape[0] // 36))
    width, height = text_size_wh(text, font)
    blend_panel(rgb, (10, 10, width + 30, height + 22), (24, 26, 30), opacity=0.7, corner_px=5)
    blend_text(rgb, 20, 16, text, font, (255, 255, 255))


class _Writer:
    """H.264 by PyAV, or MPEG-4 by OpenCV where PyAV is not installed."""

    def __init__(self, path: Path, size_wh: tuple[int, int], fps: float) -> None:
        self._path, self._size, self._fps = path, size_wh, min(max(fps, 1.0), 120.0)
        self._container: Any = None
        self._cv: cv2.VideoWriter | None = None

    def __enter__(self) -> _Writer:
        try:
            import av
        except ImportError:
            self._cv = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, self._size)
            if not self._cv.isOpened():
                raise OutputError(
                    f"cannot write {self._path.name}: OpenCV has no video encoder; pip install 'fissura[video]'"
                ) from None
            return self
        from fractions import Fraction

        self._container = av.open(str(self._path), "w", format="mp4", options={"movflags": "+faststart"})
        stream = self._container.add_stream("libx264", rate=Fraction(self._fps).limit_denominator(1001))
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        self._stream = stream
        return self

    def write(self, rgb: RgbImage) -> None:
        if self._cv is not None:
            self._cv.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            return
        import av

        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def __exit__(self, *error: object) -> None:
        if self._cv is not None:
            self._cv.release()
            return
        try:
            if error[0] is None:
                for packet in self._stream.encode():
                    self._container.mux(packet)
        finally:
            self._container.close()
