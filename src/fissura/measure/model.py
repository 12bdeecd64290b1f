"""The plain values that travel through `fissura.measure`: branches, the crack graph, areas.

Coordinates are (row, column) in pixels, pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError

Points = npt.NDArray[np.float64]
"""Shape (N, 2), (row, column)."""
Values = npt.NDArray[np.float64]
"""Shape (N,)."""


@dataclass(frozen=True, eq=False)
class Branch:
    """A stretch of crack between two nodes of the graph (junctions or ends), or a closed loop.

    Attributes:
        points_rc: Sub-pixel centreline, shape (N >= 2, 2), neighbours 0.5 to 2 px apart, from ``nodes[0]`` to
            ``nodes[1]``. The first and last point are the nodes' own. A loop ends where it starts.
        mask_width_px: Orthogonal width of the mask at each point, shape (N,), in pixels.
        probability: Crack probability at each point, shape (N,), 0 to 1; 1 where none was given.
        nodes: Indices into `CrackGraph.nodes_rc`; equal for a loop.
        crack_id: Branches that hang together, bridged gaps included, share one number, from 0.
        bridged: The stretch was not in the mask: it closes a gap.
    """

    points_rc: Points
    mask_width_px: Values
    probability: Values
    nodes: tuple[int, int]
    crack_id: int
    bridged: bool = False

    def __post_init__(self) -> None:
        if self.points_rc.ndim != 2 or self.points_rc.shape[1] != 2 or len(self.points_rc) < 2:
            raise GeometryError(f"a branch needs points of shape (N >= 2, 2), got {self.points_rc.shape}")
        for name in ("mask_width_px", "probability"):
            if getattr(self, name).shape != (len(self.points_rc),):
                raise GeometryError(
                    f"{len(self.points_rc)} points need as many values of {name}, got {getattr(self, name).shape}"
                )

    @property
    def length_px(self) -> float:
        """Length of the centreline in pixels."""
        return float(np.linalg.norm(np.diff(self.points_rc, axis=0), axis=1).sum())

    @property
    def is_loop(self) -> bool:
        """It ends where it starts."""
        return self.nodes[0] == self.nodes[1]


@dataclass(frozen=True, eq=False)
class CrackGraph:
    """All centrelines of a picture.

    Attributes:
        nodes_rc: Junctions and ends, shape (M, 2).
        branches: In no particular order, but the same for the same mask.
        size_hw: Rows and columns of the picture.
    """

    nodes_rc: Points
    branches: tuple[Branch, ...]
    size_hw: tuple[int, int]

    @property
    def length_px(self) -> float:
        """Length of all branches in pixels."""
        return sum(branch.length_px for branch in self.branches)

    def degree(self) -> npt.NDArray[np.intp]:
        """Branch ends at each node, shape (M,); a loop counts twice."""
        ends = np.array([node for branch in self.branches for node in branch.nodes], np.intp)
        return np.bincount(ends, minlength=len(self.nodes_rc)).astype(np.intp)


@dataclass(frozen=True, eq=False)
class BranchWidths:
    """Width along a branch, point by point.

    Attributes:
        width_px: Shape (N,), pixels, at least 0.
        sigma_px: Standard error of each, shape (N,), pixels.
        from_grey: True where the grey profile was fitted, False where the mask's width stands in, shape (N,).
        below_blur: True where the crack is narrower than about two blur widths, so that only width x darkness was
            seen and the darkness comes from wider stretches or the prior, shape (N,).
    """

    width_px: Values
    sigma_px: Values
    from_grey: npt.NDArray[np.bool_]
    below_blur: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Crack:
    """One branch as it is reported: a row of ``cracks.csv`` and of the layer ``cracks``.

    Lengths and widths are in millimetres where `scaled` is True, else in pixels. Angles are counter-clockwise from
    the picture's right as seen, 0 to 180.

    Attributes:
        id: From 1, in the order of the rows.
        crack_id: Branches of one crack share it, from 1.
        points_rc: Simplified centreline in pixels, shape (N, 2).
        orientation_deg: Length-weighted axis, on the ground.
        length: Along the full centreline.
        width_mean: Length-weighted mean, and further statistics along the branch.
        width_median: See above.
        width_p95: See above.
        width_max: The largest median over a stretch of 20 px, so that one bad profile is no maximum.
        width_sigma: Standard error of the mean width, the scale's error included.
        gsd_mm: Mean ground size of a pixel along the branch; NaN if unknown.
        below_gsd: More than half of the branch is too narrow for its width to be seen (see `BranchWidths`).
        confidence: How probable it is that this is a crack, 0 to 1, see `fissura.spec.ConfidenceCurve`; for models
            without such a curve the mean crack probability along the branch.
        kind: ``longitudinal``, ``transverse``, ``diagonal``, ``alligator`` or ``other``.
        severity: Level by the rules used, or an empty string where they set none.
        standard: Name of the rules used.
        zone: Lane zone or section, or an empty string.
        extent: ``complete`` or ``partial`` for a transverse crack where the lane width is known.
        scaled: Millimetres if True, pixels if False.
        bridged_share: Share of the length that closes gaps in the mask, 0 to 1.
        notes: What limits this row.
        away_deg: Between the road and the line that decides the kind, 0 to 90; None without a road.
        away_straightness: Of that line, 0 to 1; see `fissura.measure.classify.kind_by_angle`.
        area_id: Of the alligator field it lies in; 0 for none.
    """

    id: int
    crack_id: int
    points_rc: Points
    orientation_deg: float
    length: float
    width_mean: float
    width_median: float
    width_p95: float
    width_max: float
    width_sigma: float
    gsd_mm: float
    below_gsd: bool
    confidence: float
    kind: str = "other"
    severity: str = ""
    standard: str = ""
    zone: str = ""
    extent: str = ""
    scaled: bool = False
    bridged_share: float = 0.0
    notes: tuple[str, ...] = field(default=())
    away_deg: float | None = None
    away_straightness: float = 0.0
    area_id: int = 0


@dataclass(frozen=True, eq=False)
class CrackArea:
    """A field of alligator (pattern) cracking.

    Attributes:
        id: From 1.
        outline_rc: Closed outline in pixels, shape (N, 2), first point not repeated.
        area: m² where `scaled` is True, else square pixels.
        crack_length: Length of the cracks inside, mm or pixels.
        width_mean: Of the cracks inside, mm or pixels.
        severity: Level by the rules used, or an empty string.
        standard: Name of the rules used.
        scaled: Whether the values have real units.
    """

    id: int
    outline_rc: Points
    area: float
    crack_length: float
    width_mean: float
    severity: str = ""
    standard: str = ""
    scaled: bool = False
