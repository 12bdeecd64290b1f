"""Measure the merged ground of a flight: each crack once, in millimetres, with its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fissura.geo.homography import transform
from fissura.geo.scale import GroundScale
from fissura.measure.large import trace_cracks_by_tiles
from fissura.measure.measuring import (
    Measurement,
    MeasureOptions,
    branch_confidence,
    measure_graph,
    width_per_px,
)
from fissura.measure.model import CrackGraph, Points
from fissura.measure.rules import RuleSet
from fissura.measure.widths import WidthReport
from fissura.measure.windows import measure_widths_by_windows
from fissura.spec import ConfidenceCurve
from fissura.survey.borders import describe_borders, without_borders
from fissura.survey.flight import LookedFrame
from fissura.survey.ground import GroundCanvas
from fissura.survey.joints import describe_joints, without_joints
from fissura.survey.placing import FlightPlace
from fissura.survey.pose import FramePose, Lens, Matrix
from fissura.types import BoolMask, Probability, RgbImage

WIDEST_CRACK_MM = 150.0
"""What is wider on the whole is a shadow, a patch or a hole, whatever the network says: ASTM D6433 calls 75 mm high."""
WIDEST_PLAIN_MM, _PROFILE_PX = 60.0, 10.0
LEAST_CONFIDENCE, CLOSE_GSD_MM = 0.35, 10.0
"""Finds that are less sure are left out where a pixel is at most so large on the ground. Confidences are fitted on
photographs from nearby; on real frames of 17 mm a pixel a fifth of the cracks is below that limit (docs/LOG.md)."""
RESAMPLED_SIGMA_PX = 0.2
"""Error of a width, common to all of a flight, from JPEG, interpolation and a frame's own blur: 0.15 and 0.19 px on two
drawn flights (seeds 501 and 502 of `benchmarks/survey_truth.py`), where the fits alone state 0.09."""
_PAD_PX = 32


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
        left_out: Lengths in metres of what was found but is too wide for a crack.
        doubtful: Likewise of what is less sure than the survey wants.
        least_confidence: How sure that is.
        joints: Likewise of straight bands, see `without_joints`.
        borders: Likewise of what lies along the border of the road, see `without_borders`.
    """

    chart: int
    origin_rc: tuple[int, int]
    measurement: Measurement
    sources: tuple[int, ...]
    place: FlightPlace
    left_out: tuple[float, ...] = ()
    doubtful: tuple[float, ...] = ()
    least_confidence: float = 0.0
    joints: tuple[float, ...] = ()
    borders: tuple[float, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """For the user."""
        doubts = describe_doubtful(self.doubtful, self.least_confidence)
        finds = (*describe_left_out(self.left_out), *describe_joints(self.joints), *describe_borders(self.borders))
        return (*self.place.notes, *finds, *doubts)


def describe_left_out(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what `without_wide` left out; none if that was nothing."""
    if not lengths_m:
        return ()
    return (
        f"{len(lengths_m)} finds of {sum(lengths_m):.1f} m in all were left out: wider than {WIDEST_CRACK_MM:g} mm, or "
        "without the dark profile of a crack, they are shadows, patches, seals or holes",
    )


def describe_doubtful(lengths_m: Sequence[float], least: float) -> tuple[str, ...]:
    """A note on what `without_doubtful` left out; none if that was nothing."""
    if not lengths_m:
        return ()
    total = sum(lengths_m)
    length = "" if np.isnan(total) else f" of {total:.1f} m in all"
    return (
        f"{len(lengths_m)} finds{length} were left out: no part of them is a crack with a confidence of {least:g} or "
        "more (--least-confidence)",
    )


def chart_bounds(frames: Sequence[SeenFrame]) -> tuple[int, int, int, int] | None:
    """First and last (exclusive) ground row and column that looks at these frames can have touched."""
    points = []
    for f in frames:
        h, w = f.lens.size_hw
        corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
        points.append(transform(f.ground_from_frame, corners))
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
        least_confidence: Finds that are less sure are left out, see `without_doubtful`; None: `confidence_limit`.
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
    # Before widths are measured: what is no crack teaches a wrong darkness.
    graph, doubtful = without_doubtful(graph, confidence, least_confidence, place.scale)
    widths = measure_widths_by_windows(graph, read_rgb)
    graph, widths, left_out = without_wide(graph, widths, place.scale)
    # Not where all masks were drawn by someone: who draws a joint means it.
    joints: tuple[float, ...] = ()
    if confidence is not None:
        graph, widths, joints = without_joints(graph, widths, place.scale, confidence)
    graph, widths, borders = without_borders(
        graph, widths, lambda points: canvas.known_at(points + origin_rc), confidence, place.scale
    )
    options = MeasureOptions(road_direction_at=_road_directions(frames, origin_rc), rules=rules, confidence=confidence)
    found = _with_resampling(measure_graph(graph, scale=place.scale, options=options, widths=widths))
    return MergedGround(
        chart, origin_rc, found, _nearest(found, frames, origin_rc), place, left_out, doubtful, least_confidence,
        joints, borders,
    )  # fmt: skip


def _with_resampling(found: Measurement) -> Measurement:
    """Stated errors of widths with what bringing frames to the ground adds; see `RESAMPLED_SIGMA_PX`."""
    per_px = [1.0 if np.isnan(crack.gsd_mm) else crack.gsd_mm for crack in found.cracks]
    cracks = tuple(
        replace(crack, width_sigma=float(np.hypot(crack.width_sigma, RESAMPLED_SIGMA_PX * mm)))
        for crack, mm in zip(found.cracks, per_px, strict=True)
    )
    return replace(found, cracks=cracks)


def confidence_limit(scale: GroundScale | None, size_hw: tuple[int, int]) -> float:
    """How sure finds have to be where the user does not say: `LEAST_CONFIDENCE` near the ground, else 0.

    Args:
        scale: Of the measured picture. Without one nobody knows how near it is.
        size_hw: Of the measured picture in pixels; its middle counts.
    """
    if scale is None:
        return 0.0
    middle = np.array([[(size_hw[0] - 1) / 2, (size_hw[1] - 1) / 2]])
    return LEAST_CONFIDENCE if float(scale.gsd_mm(middle)[0]) <= CLOSE_GSD_MM else 0.0


def without_doubtful(
    graph: CrackGraph, curve: ConfidenceCurve | None, least: float, scale: GroundScale | None
) -> tuple[CrackGraph, tuple[float, ...]]:
    """Leave out finds none of whose branches is a crack with a confidence of at least `least`.

    A faint end of a sure crack stays: what hangs together is judged by its surest part.

    Args:
        graph: Centrelines with the probability along them.
        curve: The network's. Without one nothing is left out, since its probabilities are no confidence.
        least: 0 to 1.
        scale: For lengths.
    Returns:
        What is left, and the length in metres of each find that was left out, NaN without a scale.
    """
    if curve is None or least <= 0.0 or not graph.branches:
        return graph, ()
    sure = np.array([branch_confidence(branch, curve) for branch in graph.branches])
    of = np.unique([b.crack_id for b in graph.branches], return_inverse=True)[1]
    surest = np.zeros(of.max() + 1)
    np.maximum.at(surest, of, sure)
    kept = surest[of] >= least
    if kept.all():
        return graph, ()
    lost = np.zeros(len(surest))
    for k in np.flatnonzero(~kept):
        if scale is None:
            lost[of[k]] = np.nan
        else:
            steps = np.diff(scale.to_ground(graph.branches[k].points_rc), axis=0)
            lost[of[k]] += float(np.linalg.norm(steps, axis=1).sum()) / 1000.0
    branches = tuple(graph.branches[k] for k in np.flatnonzero(kept))
    return replace(graph, branches=branches), tuple(float(v) for v in lost[surest < least])


def without_wide(
    graph: CrackGraph, widths: WidthReport, scale: GroundScale | None
) -> tuple[CrackGraph, WidthReport, tuple[float, ...]]:
    """Leave out what is wider than `WIDEST_CRACK_MM`: whole finds by their mean width, and single branches.

    Of branches that have no dark profile of a crack across most of them (tar, patches, soft shadows), those wider than
    `WIDEST_PLAIN_MM` go, too.

    Args:
        graph: Centrelines.
        widths: Of its branches.
        scale: Without one nothing is left out.
    Returns:
        What is left, and the length in metres of each find that lost something.
    """
    if scale is None or not graph.branches:
        return graph, widths, ()
    length = np.array([b.length_px for b in graph.branches])
    mean, metres, plain = np.empty(len(length)), np.empty(len(length)), np.zeros(len(length), np.bool_)
    for k, (branch, measured) in enumerate(zip(graph.branches, widths.branches, strict=True)):
        mean[k] = float((measured.width_px * width_per_px(branch.points_rc, scale)).mean())
        # In a few pixels a profile may fail for many reasons; in ten it is there or not.
        plain[k] = measured.from_grey.mean() < 0.5 and measured.width_px.mean() > _PROFILE_PX
        steps = np.diff(scale.to_ground(branch.points_rc), axis=0)
        metres[k] = float(np.linalg.norm(steps, axis=1).sum()) / 1000.0
    of = np.unique([b.crack_id for b in graph.branches], return_inverse=True)[1]
    whole = np.bincount(of, length * mean) / np.bincount(of, length)
    wide = (mean > WIDEST_CRACK_MM) | (whole[of] > WIDEST_CRACK_MM) | (plain & (mean > WIDEST_PLAIN_MM))
    if not wide.any():
        return graph, widths, ()
    kept = np.flatnonzero(~wide)
    lost = np.bincount(of, metres * wide)
    return (
        replace(graph, branches=tuple(graph.branches[k] for k in kept)),
        replace(widths, branches=tuple(widths.branches[k] for k in kept)),
        tuple(float(v) for v in lost[lost > 0]),
    )


def _road_directions(
    frames: Sequence[SeenFrame], origin_rc: tuple[int, int]
) -> Callable[[Points], npt.NDArray[np.float64]] | None:
    """The road's direction on the ground beside any point, from the nearest look that knows one; None if none does."""
    known = [f for f in frames if f.direction_deg is not None]
    if not known:
        return None
    centres = np.array([f.centre_xy for f in known])
    # Angles in the frame run counter-clockwise as seen, turns of the frame clockwise.
    angles = np.array([(f.direction_deg or 0.0) - np.degrees(f.pose.turn) for f in known]) % 180.0

    def at(points_rc: Points) -> npt.NDArray[np.float64]:
        xy = points_rc[:, ::-1] + (origin_rc[1], origin_rc[0])
        nearest = np.linalg.norm(xy[:, None] - centres[None], axis=2).argmin(axis=1)
        return np.asarray(angles[nearest], np.float64)

    return at


def _nearest(found: Measurement, frames: Sequence[SeenFrame], origin_rc: tuple[int, int]) -> tuple[int, ...]:
    """For each crack the look whose middle is nearest to the crack's."""
    if not frames:
        return ()
    centres, shift = np.array([f.centre_xy for f in frames]), np.array(origin_rc[::-1])
    middles = [crack.points_rc[len(crack.points_rc) // 2][::-1] + shift for crack in found.cracks]
    return tuple(int(np.linalg.norm(centres - xy, axis=1).argmin()) for xy in middles)
