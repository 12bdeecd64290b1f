"""The centreline graph of a crack mask: the door to thinning, pruning, refinement and bridging."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError, SettingsError
from fissura.measure.bridging import GapRule, bridge_gaps
from fissura.measure.centreline import Centrelines, refine
from fissura.measure.model import Branch, CrackGraph, Values
from fissura.measure.pixelgraph import components
from fissura.measure.pruning import merge_crossings, prune_spurs
from fissura.measure.rays import sample_bilinear
from fissura.measure.thinning import fill_small_holes, thin
from fissura.types import BoolMask, Probability


@dataclass(frozen=True)
class TraceOptions:
    """Rules of tracing. Distances in pixels.

    Attributes:
        max_hole_px: Holes of up to so many pixels are filled before thinning.
        spur_px: See `fissura.measure.pruning`: a spur always goes if it reaches less than this beyond its junction.
        max_gap_px: Longest gap that is bridged where a probability speaks for it, see `fissura.measure.bridging`.
        max_blind_gap_px: Longest gap that is bridged without a probability.
        gap_angle_deg: Largest angle between either end's direction and the way across a gap.
        gap_probability: Smallest mean probability along the way across.
        min_length_px: Cracks (all branches that hang together) shorter than this in total are specks and left out.
    """

    max_hole_px: int = 16
    spur_px: float = 4.0
    max_gap_px: float = 32.0
    max_blind_gap_px: float = 10.0
    gap_angle_deg: float = 30.0
    gap_probability: float = 0.2
    min_length_px: float = 3.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise SettingsError(f"{field.name} is {value}; it must be a number of at least 0")
        if self.gap_angle_deg > 90 or self.gap_probability > 1:
            raise SettingsError(
                f"gap_angle_deg is {self.gap_angle_deg} and gap_probability {self.gap_probability}; "
                "they are at most 90 and 1"
            )

    @property
    def gaps(self) -> GapRule:
        """The part of the rules that is about gaps."""
        return GapRule(self.max_gap_px, self.max_blind_gap_px, self.gap_angle_deg, self.gap_probability)


DEFAULTS = TraceOptions()
MOST_SIDE_PX = 32_000
"""OpenCV counts rows and columns in 16 bits in places."""


def trace_cracks(
    mask: BoolMask, *, probability: Probability | None = None, options: TraceOptions = DEFAULTS
) -> CrackGraph:
    """Centreline graph of a mask.

    Args:
        mask: Shape (H, W), bool. True is crack.
        probability: Shape (H, W), 0 to 1, or None if it is not known.
        options: The rules.
    Returns:
        The graph. Branches are in no particular order, but the same for the same mask.
    Raises:
        GeometryError: The mask is no 2-D bool array, or the probability has another shape.
    """
    return number_cracks(trace_branches(mask, probability, options), options.min_length_px)


def trace_branches(mask: BoolMask, probability: Probability | None, options: TraceOptions) -> CrackGraph:
    """As `trace_cracks`, but with specks, and every `crack_id` is 0."""
    check_rasters(mask, probability)
    size_hw = (mask.shape[0], mask.shape[1])
    if not mask.any():
        return CrackGraph(np.zeros((0, 2)), (), size_hw)
    padded = np.pad(mask.view(np.uint8), 1)
    fill_small_holes(padded, options.max_hole_px)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)
    skeleton = padded.copy()
    pixels = thin(skeleton, np.flatnonzero(padded))
    pixel_graph = merge_crossings(prune_spurs(skeleton, pixels, distance, options.spur_px))
    found = refine(pixel_graph, padded * np.uint8(255), distance)
    chance = np.ones(len(found.width_px)) if probability is None else _probability(probability, found)
    graph = CrackGraph(found.node_rc, _branches(found, chance), size_hw)
    return bridge_gaps(graph, options.gaps, probability)


def check_rasters(mask: npt.NDArray[np.bool_], probability: Probability | None) -> None:
    """Raise a GeometryError unless the mask is a 2-D bool array and the probability has its shape."""
    if mask.ndim != 2:
        raise GeometryError(f"a mask has the shape (H, W), got {mask.shape}")
    if mask.dtype != np.bool_:
        raise GeometryError(f"a mask is a bool array, got {mask.dtype}; compare with a threshold first")
    if max(mask.shape) > MOST_SIDE_PX:
        raise GeometryError(
            f"the mask has the shape {mask.shape}, but one piece has at most {MOST_SIDE_PX} pixels a side; "
            "use trace_cracks_by_tiles"
        )
    if probability is not None and probability.shape != mask.shape:
        raise GeometryError(f"the probability has the shape {probability.shape}, but the mask {mask.shape}")


def number_cracks(graph: CrackGraph, min_length_px: float) -> CrackGraph:
    """Give branches that hang together one `crack_id`, and leave out cracks shorter than ``min_length_px``."""
    if not graph.branches:
        return CrackGraph(np.zeros((0, 2)), (), graph.size_hw)
    ends = np.array([branch.nodes for branch in graph.branches], np.intp)
    crack = components(ends, len(graph.nodes_rc))[ends[:, 0]]
    length = np.array([branch.length_px for branch in graph.branches])
    keep = np.bincount(crack, length)[crack] >= min_length_px
    kept = [branch for branch, stays in zip(graph.branches, keep, strict=True) if stays]
    if not kept:
        return CrackGraph(np.zeros((0, 2)), (), graph.size_hw)
    used, node = np.unique(ends[keep], return_inverse=True)
    _, number = np.unique(crack[keep], return_inverse=True)
    branches = tuple(
        Branch(b.points_rc, b.mask_width_px, b.probability, (int(n[0]), int(n[1])), int(k), b.bridged)
        for b, n, k in zip(kept, node.reshape(-1, 2), number, strict=True)
    )
    return CrackGraph(graph.nodes_rc[used], branches, graph.size_hw)


def _probability(probability: Probability, found: Centrelines) -> Values:
    return np.asarray(np.clip(sample_bilinear(probability, found.lines.points), 0.0, 1.0), np.float64)


def _branches(found: Centrelines, chance: Values) -> tuple[Branch, ...]:
    first = found.lines.first
    return tuple(
        Branch(found.lines.points[a:b], found.width_px[a:b], chance[a:b], (int(n[0]), int(n[1])), 0)
        for a, b, n in zip(first[:-1], first[1:], found.ends, strict=True)
    )
