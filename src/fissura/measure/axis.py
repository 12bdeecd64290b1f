"""Which way a crack runs: its main axis on the ground, and how clear that axis is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fissura.geo.scale import GroundScale
from fissura.measure.model import Points, Values

_STEPS = 32
_LAG = 8
"""Directions are those of chords over a quarter of the length, so that the zigzag of a crack around its axis does not
count as direction, but a bend does."""


def ground_xy(points_rc: Points, scale: GroundScale | None) -> Points:
    """Pixels (row, column), shape (N, 2), to the ground (x right, y down): millimetres, or pixels without a scale."""
    return points_rc[:, ::-1].astype(np.float64) if scale is None else scale.to_ground(points_rc)


def ground_lines(lines_rc: Sequence[Points], scale: GroundScale | None) -> list[Points]:
    """`ground_xy` of many lines; one transformation instead of thousands."""
    if not lines_rc:
        return []
    xy = ground_xy(np.concatenate(lines_rc), scale)
    stops = np.cumsum([len(line) for line in lines_rc])
    return [xy[stop - len(line) : stop] for line, stop in zip(lines_rc, stops, strict=True)]


def ground_direction_deg(direction_deg: float, scale: GroundScale | None, at_rc: tuple[float, float]) -> float:
    """A direction in the picture as a direction on the ground, at a point.

    Args:
        direction_deg: Counter-clockwise from the picture's right as seen.
        scale: Without one nothing changes.
        at_rc: Where (row, column); it matters for views at an angle.
    Returns:
        Degrees in [0, 360). The sense is kept, so a direction of travel stays one.
    """
    angle = np.radians(direction_deg)
    step_xy = np.array([np.cos(angle), -np.sin(angle)])
    if scale is not None:
        step_xy = scale.jacobian(np.array([at_rc], np.float64))[0] @ step_xy
    return float(np.degrees(np.arctan2(-step_xy[1], step_xy[0])) % 360.0)


def orientation_deg(points_rc: Points, scale: GroundScale | None) -> tuple[float, float]:
    """Main axis of a line on the ground, and how straight the line is.

    The axis is the length-weighted mean of the line's directions, taken on doubled angles since 10° and 190° are the
    same axis. Directions are those of chords over a quarter of the line, so that small zigzags cancel.

    Args:
        points_rc: Shape (N >= 2, 2).
        scale: Without one, pixels are taken as square.
    Returns:
        Degrees from 0 up to 180, counter-clockwise from the picture's right as seen; and the straightness from 0 (no
        axis: a circle, or equal arms of a right angle) to 1 (a straight line).

    >>> orientation_deg(np.array([[30.0, 0.0], [0.0, 30.0]]), None)
    (45.0, 1.0)
    """
    angles, straightness = axes([ground_xy(points_rc, scale)])
    return round(float(angles[0]), 9) % 180.0, round(float(straightness[0]), 9)


def axes(lines_xy: Sequence[Points]) -> tuple[Values, Values]:
    """`orientation_deg` of many lines on the ground at once: angles in degrees and straightness, shape (N,) each."""
    if not lines_xy:
        return np.empty(0), np.empty(0)
    counts = np.array([len(line) for line in lines_xy])
    first = np.cumsum(counts) - counts
    xy = np.concatenate(lines_xy)
    steps = np.linalg.norm(np.diff(xy, axis=0), axis=1)
    # from one line to the next the arc length makes a jump of 1, so that one interpolation serves all lines
    steps[first[1:] - 1] = 1.0
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    start, stop = arc[first], arc[first + counts - 1]
    at = start[:, None] + (stop - start)[:, None] * np.linspace(0.0, 1.0, _STEPS + 1)
    x, y = np.interp(at, arc, xy[:, 0]), np.interp(at, arc, xy[:, 1])
    # complex numbers with y up: squaring doubles the angle
    chords = (x[:, _LAG:] - x[:, :-_LAG]) - 1j * (y[:, _LAG:] - y[:, :-_LAG])
    size = np.abs(chords)
    doubled = (chords**2 / np.maximum(size, 1e-12)).sum(axis=1)
    angles = np.degrees(np.angle(doubled)) / 2 % 180.0
    return angles, np.abs(doubled) / np.maximum(size.sum(axis=1), 1e-12)
