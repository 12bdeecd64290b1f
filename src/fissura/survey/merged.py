"""Measure the merged ground of a flight: each crack once, in millimetres, with its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fissura.geo.homography import transform
from fissura.measure.large import trace_cracks_by_tiles
from fissura.measure.measuring import Measurement, MeasureOptions, measure_graph
from fissura.measure.model import Points
from fissura.measure.rules import RuleSet
from fissura.measure.windows import measure_widths_by_windows
from fissura.survey.flight import LookedFrame
from fissura.survey.ground import GroundCanvas
from fissura.survey.placing import FlightPlace
from fissura.survey.pose import Lens
from fissura.types import BoolMask, Probability, RgbImage

_PAD_PX = 32


@dataclass(frozen=True, eq=False)
class MergedGround:
    """The cracks of one connected piece of ground.

    Attributes:
        chart: Its number.
        origin_rc: Ground pixel of the measurement's pixel (0, 0).
        measurement: Cracks, in pixels from the origin.
        sources: Index (into the looked frames) of the frame that saw each crack's middle best placed.
        place: Scale and place.
    """

    chart: int
    origin_rc: tuple[int, int]
    measurement: Measurement
    sources: tuple[int, ...]
    place: FlightPlace


def chart_bounds(looked: Sequence[LookedFrame], chart: int, lens: Lens) -> tuple[int, int, int, int] | None:
    """First and last (exclusive) ground row and column that the looks of a chart can have touched."""
    h, w = lens.size_hw
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    points = [transform(f.pose.ground_from_frame(lens), corners) for f in looked if f.chart == chart]
    if not points:
        return None
    low, high = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
    return (
        int(np.floor(low[1])) - _PAD_PX, int(np.floor(low[0])) - _PAD_PX,
        int(np.ceil(high[1])) + _PAD_PX, int(np.ceil(high[0])) + _PAD_PX,
    )  # fmt: skip


def measure_ground(
    canvas: GroundCanvas, looked: Sequence[LookedFrame], chart: int, lens: Lens, place: FlightPlace, *,
    origin_rc: tuple[int, int], size_hw: tuple[int, int], threshold: float, rules: RuleSet | None = None,
) -> MergedGround:  # fmt: skip
    """Trace, measure and classify the cracks of one chart.

    Args:
        canvas: The merged ground.
        looked: All looks of the flight.
        chart: Which piece of ground.
        lens: Of the frames.
        place: Its scale and place, for pixels from ``origin_rc``.
        origin_rc: First ground row and column.
        size_hw: Rows and columns from there.
        threshold: Probability above which a pixel is crack.
        rules: Severities.
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
    widths = measure_widths_by_windows(graph, read_rgb)
    own = [(i, f) for i, f in enumerate(looked) if f.chart == chart]
    options = MeasureOptions(road_direction_at=_road_directions([f for _, f in own], lens, origin_rc), rules=rules)
    found = measure_graph(graph, scale=place.scale, options=options, widths=widths)
    return MergedGround(chart, origin_rc, found, _sources(found, own, lens, origin_rc), place)


def _centres_xy(looked: Sequence[LookedFrame], lens: Lens) -> npt.NDArray[np.float64]:
    middle = np.array([lens.centre_xy])
    return np.array([transform(f.pose.ground_from_frame(lens), middle)[0] for f in looked]).reshape(-1, 2)


def _road_directions(
    looked: Sequence[LookedFrame], lens: Lens, origin_rc: tuple[int, int]
) -> Callable[[Points], npt.NDArray[np.float64]] | None:
    """The road's direction on the ground beside any point, from the nearest look that knows one; None if none does."""
    known = [f for f in looked if f.look.direction_deg is not None]
    if not known:
        return None
    centres = _centres_xy(known, lens)
    # Angles in the frame run counter-clockwise as seen, turns of the frame clockwise.
    angles = np.array([(f.look.direction_deg or 0.0) - np.degrees(f.pose.turn) for f in known]) % 180.0

    def at(points_rc: Points) -> npt.NDArray[np.float64]:
        xy = points_rc[:, ::-1] + (origin_rc[1], origin_rc[0])
        nearest = np.linalg.norm(xy[:, None] - centres[None], axis=2).argmin(axis=1)
        return np.asarray(angles[nearest], np.float64)

    return at


def _sources(
    found: Measurement, own: Sequence[tuple[int, LookedFrame]], lens: Lens, origin_rc: tuple[int, int]
) -> tuple[int, ...]:
    """For each crack the look whose middle is nearest to the crack's."""
    if not own:
        return ()
    centres = _centres_xy([f for _, f in own], lens)
    result, shift = [], np.array(origin_rc[::-1])
    for crack in found.cracks:
        xy = crack.points_rc[len(crack.points_rc) // 2][::-1] + shift
        result.append(own[int(np.linalg.norm(centres - xy, axis=1).argmin())][0])
    return tuple(result)
