"""Measure the merged ground of a flight: each crack once, in millimetres, with its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from fissura.geo.homography import transform
from fissura.measure.doubtful import confidence_limit
from fissura.measure.large import trace_cracks_by_tiles
from fissura.measure.measuring import (
    Measurement,
    MeasureOptions,
    measure_graph,
)
from fissura.measure.model import Points
from fissura.measure.rules import RuleSet
from fissura.spec import ConfidenceCurve
from fissura.survey.finds import LeftOut, tell_cracks
from fissura.survey.flight import LookedFrame
from fissura.survey.ground import GroundCanvas
from fissura.survey.photo_pose import footprint
from fissura.survey.placing import FlightPlace
from fissura.survey.pose import FramePose, Lens, Matrix, depth, least_depth
from fissura.types import BoolMask, Probability, RgbImage

RESAMPLED_SIGMA_PX = 0.2
"""Error of a width, common to all of a flight, from JPEG, interpolation and a frame's own blur: 0.15 and 0.19 px on two
drawn flights (seeds 501 and 502 of `benchmarks/survey_truth.py`), where the fits alone state 0.09."""
_PAD_PX = 32
_MOST_DISTANCES = 1 << 18


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """A frame that the ground was made from, and where on the ground it lies.

    Attributes:
        pose: Of the frame.
        lens: Of the frame.
        direction_deg: Of the road in the frame, counter-clockwise from its right; None if there is none.
    """

    pose: FramePose
    lens: Lens
    direction_deg: float | None

    @property
    def ground_from_frame(self) -> Matrix:
        """Frame pixel (x, y, 1) to ground pixel."""
        return self.pose.ground_from_frame(self.lens)

    @property
    def centre_xy(self) -> npt.NDArray[np.float64]:
        """Ground pixel that the middle of the frame shows, shape (2,)."""
        return np.asarray(transform(self.ground_from_frame, np.array([self.lens.centre_xy]))[0], np.float64)

    @classmethod
    def of_look(cls, looked: LookedFrame, lens: Lens) -> SeenFrame:
        """From a look of a video."""
        return cls(looked.pose, lens, looked.look.direction_deg)


@dataclass(frozen=True, eq=False)
class MergedGround:
    """The cracks of one connected piece of ground.

    Attributes:
        chart: Its number.
        origin_rc: Ground pixel of the measurement's pixel (0, 0).
        measurement: Cracks, in pixels from the origin.
        sources: Index of the frame that saw each crack's middle best.
        place: Scale and place.
        left_out: What was found but is not reported.
    """

    chart: int
    origin_rc: tuple[int, int]
    measurement: Measurement
    sources: tuple[int, ...]
    place: FlightPlace
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def bounds_rc(self) -> tuple[int, int, int, int]:
        """First and last (exclusive) ground row and column."""
        (top, left), (height, width) = self.origin_rc, self.measurement.graph.size_hw
        return top, left, top + height, left + width

    @property
    def notes(self) -> tuple[str, ...]:
        """For the user."""
        return (*self.place.notes, *self.left_out.notes)


def direction_through(matrix: Matrix, direction_deg: float, at_xy: npt.NDArray[np.float64]) -> float:
    """A direction (0 to 180, counter-clockwise from the right) through a homography, at a point, shape (1, 2)."""
    angle = np.radians(direction_deg)
    start, end = transform(matrix, at_xy + np.array([[0.0, 0.0], [np.cos(angle), -np.sin(angle)]]))
    return float(np.degrees(np.arctan2(start[1] - end[1], end[0] - start[0])) % 180.0)


def chart_bounds(frames: Sequence[SeenFrame]) -> tuple[int, int, int, int] | None:
    """First and last (exclusive) ground row and column that looks at these frames can have touched."""
    points = []
    for f in frames:
        h, w = f.lens.size_hw
        corners, matrix = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64), f.ground_from_frame
        flat = depth(matrix, corners).min() < least_depth(matrix, f.lens)
        points.append(footprint(f.pose, f.lens)[0] if flat else transform(matrix, corners))
    if not points:
        return None
    low, high = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
    return (
        int(np.floor(low[1])) - _PAD_PX, int(np.floor(low[0])) - _PAD_PX,
        int(np.ceil(high[1])) + _PAD_PX, int(np.ceil(high[0])) + _PAD_PX,
    )  # fmt: skip


def measure_ground(
    canvas: GroundCanvas, frames: Sequence[SeenFrame], chart: int, place: FlightPlace, *, origin_rc: tuple[int, int],
    size_hw: tuple[int, int], threshold: float, rules: RuleSet | None = None, confidence: ConfidenceCurve | None = None,
    least_confidence: float | None = 0.0,
) -> MergedGround:  # fmt: skip
    """Trace, measure and classify the cracks of one connected piece of ground.

    Args:
        canvas: The merged ground.
        frames: That it was made from.
        chart: Number of the piece.
        place: Its scale and place, for pixels from ``origin_rc``.
        origin_rc: First ground row and column.
        size_hw: Rows and columns from there.
        threshold: Probability above which a pixel is crack.
        rules: Severities.
        confidence: The network's, see `MeasureOptions`.
        least_confidence: Finds that are less sure are left out, see `tell_cracks`; None: `confidence_limit`.
    """
    top, left = origin_rc

    def shifted(rows: slice, columns: slice) -> tuple[slice, slice]:
        return slice(rows.start + top, rows.stop + top), slice(columns.start + left, columns.stop + left)

    def read_window(rows: slice, columns: slice) -> tuple[BoolMask, Probability | None]:
        window = canvas.read(*shifted(rows, columns))
        return window.probability > threshold, window.probability

    def read_rgb(rows: slice, columns: slice) -> RgbImage:
        return canvas.read(*shifted(rows, columns)).rgb

    graph = trace_cracks_by_tiles(read_window, *size_hw)
    if least_confidence is None:
        least_confidence = confidence_limit(place.scale, size_hw)
    graph, widths, left_out = tell_cracks(
        graph, read_rgb, place.scale, confidence, least_confidence,
        known_at=lambda points: canvas.known_at(points + origin_rc),
    )  # fmt: skip
    options = MeasureOptions(road_direction_at=_road_directions(frames, origin_rc), rules=rules, confidence=confidence)
    found = _with_resampling(measure_graph(graph, scale=place.scale, options=options, widths=widths))
    return MergedGround(chart, origin_rc, found, _nearest(found, frames, origin_rc), place, left_out)


def _with_resampling(found: Measurement) -> Measurement:
    """Stated errors of widths with what bringing frames to the ground adds; see `RESAMPLED_SIGMA_PX`."""
    per_px = [1.0 if np.isnan(crack.gsd_mm) else crack.gsd_mm for crack in found.cracks]
    cracks = tuple(
        replace(crack, width_sigma=float(np.hypot(crack.width_sigma, RESAMPLED_SIGMA_PX * mm)))
        for crack, mm in zip(found.cracks, per_px, strict=True)
    )
    return replace(found, cracks=cracks)


def _road_directions(
    frames: Sequence[SeenFrame], origin_rc: tuple[int, int]
) -> Callable[[Points], npt.NDArray[np.float64]] | None:
    """The road's direction on the ground beside any point, from the nearest look that knows one; None if none does."""
    known = [f for f in frames if f.direction_deg is not None]
    if not known:
        return None
    centres = np.array([f.centre_xy for f in known])
    angles = np.array([
        direction_through(f.ground_from_frame, f.direction_deg or 0.0, np.array([f.lens.centre_xy])) for f in known
    ])  # fmt: skip

    def at(points_rc: Points) -> npt.NDArray[np.float64]:
        xy = points_rc[:, ::-1] + (origin_rc[1], origin_rc[0])
        step = max(_MOST_DISTANCES // len(centres), 1)  # points at a time: cracks and frames are both in thousands
        nearest = [
            np.linalg.norm(xy[k : k + step, None] - centres[None], axis=2).argmin(axis=1)
            for k in range(0, len(xy), step)
        ]
        return np.asarray(angles[np.concatenate([*nearest, np.zeros(0, np.intp)])], np.float64)

    return at


def _nearest(found: Measurement, frames: Sequence[SeenFrame], origin_rc: tuple[int, int]) -> tuple[int, ...]:
    """For each crack the look whose middle is nearest to the crack's."""
    if not frames:
        return ()
    centres, shift = np.array([f.centre_xy for f in frames]), np.array(origin_rc[::-1])
    middles = [crack.points_rc[len(crack.points_rc) // 2][::-1] + shift for crack in found.cracks]
    return tuple(int(np.linalg.norm(centres - xy, axis=1).argmin()) for xy in middles)
