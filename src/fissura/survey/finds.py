"""Which finds of a survey are cracks: gaps along dark valleys are closed, what is no crack is left out and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fissura.geo.scale import GroundScale
from fissura.measure.doubtful import describe_doubtful, without_doubtful
from fissura.measure.keeping import in_all, keep, left_out, length_m
from fissura.measure.measuring import width_per_px
from fissura.measure.model import CrackGraph
from fissura.measure.valleys import close_valleys
from fissura.measure.widths import WidthReport
from fissura.measure.windows import ReadRgb, measure_widths_by_windows
from fissura.spec import ConfidenceCurve
from fissura.survey.beside import describe_green, describe_outlines, describe_pale, without_unlike
from fissura.survey.borders import KnownAt, describe_borders, without_borders
from fissura.survey.joints import describe_joints, without_joints
from fissura.survey.ruled import describe_ruled, without_ruled

WIDEST_CRACK_MM = 150.0
"""What is wider on the whole is a shadow, a patch or a hole, whatever the network says: ASTM D6433 calls 75 mm high."""
WIDEST_PLAIN_MM, _PROFILE_PX = 60.0, 10.0
SPOT = 3.0
"""Finds less than so many times as long as wide are spots: of what networks find on photographs a thousandth of the
right length is in such finds, and 15 thousandths of the wrong (docs/LOG.md)."""


@dataclass(frozen=True)
class LeftOut:
    """Lengths in metres of what was found but is not reported, and of what was closed.

    Attributes:
        wide: Too wide for a crack, see `without_wide`.
        doubtful: Less sure than ``least_confidence``, see `without_doubtful`.
        least_confidence: 0 to 1.
        pale: Too bright for their width, see `without_unlike`.
        outlines: Between two surfaces, likewise.
        green: In crowns and grass, likewise.
        joints: Straight bands and rings, see `without_joints`.
        ruled: On lines that go straight on, see `without_ruled`.
        borders: Along the border of the road, see `without_borders`.
        spots: Hardly longer than wide, see `without_spots`.
        closed: Gaps that were closed, see `close_valleys`; they are reported.
    """

    wide: tuple[float, ...] = ()
    doubtful: tuple[float, ...] = ()
    least_confidence: float = 0.0
    pale: tuple[float, ...] = ()
    outlines: tuple[float, ...] = ()
    green: tuple[float, ...] = ()
    joints: tuple[float, ...] = ()
    ruled: tuple[float, ...] = ()
    borders: tuple[float, ...] = ()
    spots: tuple[float, ...] = ()
    closed: tuple[float, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """For the user."""
        return (
            *_describe_closed(self.closed), *describe_wide(self.wide), *describe_pale(self.pale),
            *describe_outlines(self.outlines), *describe_green(self.green), *describe_joints(self.joints),
            *describe_ruled(self.ruled), *describe_borders(self.borders), *describe_spots(self.spots),
            *describe_doubtful(self.doubtful, self.least_confidence),
        )  # fmt: skip


def tell_cracks(
    graph: CrackGraph, read_rgb: ReadRgb, scale: GroundScale | None, curve: ConfidenceCurve | None,
    least_confidence: float, known_at: KnownAt | None = None,
) -> tuple[CrackGraph, WidthReport, LeftOut]:  # fmt: skip
    """Widths of the finds, without those that are no cracks and with the gaps closed that the picture closes.

    Args:
        graph: Centrelines of a raster.
        read_rgb: Reads a window of the raster.
        scale: Of it. Without one hardly anything is left out.
        curve: Of the network that found them. Without one (masks that someone drew) no gap is closed along a valley,
            and doubtful finds, joints and borders stay: who draws a line means it.
        least_confidence: Finds that are less sure are left out.
        known_at: Which ground was looked at, see `without_borders`; None if all was.
    """
    # Before widths are measured: what is no crack teaches a wrong darkness.
    graph, doubtful = without_doubtful(graph, curve, least_confidence, scale)
    found = graph.branches
    if curve is not None:
        graph = close_valleys(graph, read_rgb)
    closures = graph.branches[len(found) :]
    # What closes a gap along a valley is seen in the picture, so that its width is measured there.
    seen = graph.branches[: len(found)] + tuple(replace(closure, bridged=False) for closure in closures)
    widths = measure_widths_by_windows(replace(graph, branches=seen), read_rgb)
    graph, widths, wide = without_wide(graph, widths, scale)
    pale: tuple[float, ...] = ()
    outlines: tuple[float, ...] = ()
    green: tuple[float, ...] = ()
    joints: tuple[float, ...] = ()
    ruled: tuple[float, ...] = ()
    borders: tuple[float, ...] = ()
    spots: tuple[float, ...] = ()
    if curve is not None:
        graph, widths, pale, outlines, green = without_unlike(graph, widths, read_rgb, scale)
        graph, widths, joints = without_joints(graph, widths, scale, curve)
        graph, widths, ruled = without_ruled(graph, widths, read_rgb, scale, curve)
        if known_at is not None:
            graph, widths, borders = without_borders(graph, widths, known_at, curve, scale)
        graph, widths = _without_loose(graph, widths)
        graph, widths, spots = without_spots(graph, widths, scale)
    left = {id(branch) for branch in graph.branches}
    closed = tuple(length_m(b.points_rc, scale) for b in closures if id(b) in left)
    left_out = LeftOut(wide, doubtful, least_confidence, pale, outlines, green, joints, ruled, borders, spots, closed)
    return graph, widths, left_out


def _without_loose(graph: CrackGraph, widths: WidthReport) -> tuple[CrackGraph, WidthReport]:
    """Leave out what closed a gap to something that was left out."""
    while True:
        degree = graph.degree()
        kept = [k for k, b in enumerate(graph.branches) if not (b.bridged and min(degree[list(b.nodes)]) < 2)]
        if len(kept) == len(graph.branches):
            return graph, widths
        graph, widths = keep(graph, widths, kept)


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
        metres[k] = length_m(branch.points_rc, scale)
    of = np.unique([b.crack_id for b in graph.branches], return_inverse=True)[1]
    whole = np.bincount(of, length * mean) / np.bincount(of, length)
    wide = (mean > WIDEST_CRACK_MM) | (whole[of] > WIDEST_CRACK_MM) | (plain & (mean > WIDEST_PLAIN_MM))
    lost = np.bincount(of, metres * wide)
    return (*keep(graph, widths, [int(k) for k in np.flatnonzero(~wide)]), tuple(float(v) for v in lost[lost > 0]))


def without_spots(
    graph: CrackGraph, widths: WidthReport, scale: GroundScale | None
) -> tuple[CrackGraph, WidthReport, tuple[float, ...]]:
    """Leave out whole finds that are less than `SPOT` times as long as wide: dapples of shade, holes, droppings.

    Args:
        graph: Centrelines.
        widths: Of its branches.
        scale: For lengths.
    Returns:
        What is left, and the length in metres of each find that was left out, NaN without a scale.
    """
    if not graph.branches:
        return graph, widths, ()
    length = np.array([b.length_px for b in graph.branches])
    broad = np.array([measured.width_px.mean() for measured in widths.branches])
    of = np.unique([b.crack_id for b in graph.branches], return_inverse=True)[1]
    total = np.bincount(of, length)
    spot = total**2 < SPOT * np.bincount(of, length * broad)
    metres = np.bincount(of, [length_m(b.points_rc, scale) for b in graph.branches])
    return (*keep(graph, widths, [int(k) for k in np.flatnonzero(~spot[of])]), tuple(map(float, metres[spot])))


def _describe_closed(lengths_m: Sequence[float]) -> tuple[str, ...]:
    if not lengths_m:
        return ()
    return (
        f"{len(lengths_m)} gaps{in_all(lengths_m)} in cracks were closed where the picture shows a dark line from one "
        "end to the other; their rows have a bridged_share of 1",
    )


def describe_wide(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what `without_wide` left out; none if that was nothing."""
    return left_out(
        lengths_m,
        f"wider than {WIDEST_CRACK_MM:g} mm, or without the dark profile of a crack, they are shadows, "
        "patches, seals or holes",
    )


def describe_spots(lengths_m: Sequence[float]) -> tuple[str, ...]:
    """A note on what `without_spots` left out; none if that was nothing."""
    return left_out(
        lengths_m,
        f"less than {SPOT:g} times as long as wide, they are spots",
    )
