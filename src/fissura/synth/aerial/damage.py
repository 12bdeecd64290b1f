"""What wears on a road: cracks with widths, and the things that are none: patches, seals, joints, manholes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from fissura.synth.aerial.grid import Points
from fissura.synth.aerial.model import GroundCrack, Road
from fissura.synth.cracks import grow_network, meander, varying_width

_STEP_M = 0.06
WIDTH_MM = (2.0, 40.0)


@dataclass(frozen=True, eq=False)
class Patch:
    """A repaired or stained place: corners, shape (N, 2), tone against the surface, softness of its border."""

    corners_en: Points
    tone: float
    soft_m: float = 0.0


def grow_road_cracks(
    rng: np.random.Generator, road: Road, density: float, span_m: tuple[float, float]
) -> list[GroundCrack]:
    """Cracks between two stations of a road; every width lies within `WIDTH_MM`.

    Args:
        rng: Source of randomness.
        road: Where they lie.
        density: 1 gives about one long, four transverse and half an alligator field a 50 m.
        span_m: Stations from and to, in metres.
    """
    first, last = span_m
    length = last - first
    if length < 2 or density <= 0:
        return []
    half = road.width_m / 2 - 0.15
    per_50 = density * length / 50.0
    cracks: list[GroundCrack] = []
    for _ in range(rng.poisson(1.0 * per_50)):
        cracks += _longitudinal(rng, road, half, (first, last))
    for _ in range(rng.poisson(4.0 * per_50)):
        cracks += _transverse(rng, road, half, (first, last))
    for _ in range(rng.poisson(1.2 * per_50)):
        s, t = rng.uniform(first, last), rng.uniform(-half, half)
        angle, size = np.deg2rad(rng.uniform(20, 70)) * rng.choice([-1, 1]), rng.uniform(1.0, 5.0)
        end = (s + size * np.cos(angle), float(np.clip(t + size * np.sin(angle), -half, half)))
        cracks.append(_path(rng, road, (s, t), end, _width(rng), "diagonal", (True, True)))
    for _ in range(rng.poisson(0.5 * per_50)):
        cracks += _alligator(rng, road, half, (first, last))
    return cracks


def _width(rng: np.random.Generator) -> float:
    """Millimetres, log-normal: half of the cracks are under 9 mm."""
    return float(np.clip(rng.lognormal(np.log(9.0), 0.65), *WIDTH_MM))


def _path(
    rng: np.random.Generator, road: Road, start: tuple[float, float], end: tuple[float, float], width_mm: float,
    kind: str, taper: tuple[bool, bool], roughness: float | None = None,
) -> GroundCrack:  # fmt: skip
    """A crack between two places (station, offset) of the road."""
    rough = rng.uniform(0.015, 0.05) if roughness is None else roughness
    st = meander(rng, np.array(start), np.array(end), step=_STEP_M, roughness=rough)
    limit = road.width_m / 2 - 0.05
    widths = varying_width(rng, len(st), width_mm, taper=taper, variation=0.3)
    return GroundCrack(road.place(st[:, 0], np.clip(st[:, 1], -limit, limit)), np.clip(widths, *WIDTH_MM), kind)


def _longitudinal(rng: np.random.Generator, road: Road, half: float, span: tuple[float, float]) -> list[GroundCrack]:
    """Along a wheel path, the middle joint or the edge, often in pieces side by side."""
    lanes = (np.arange(road.lanes) + 0.5) * road.width_m / road.lanes - road.width_m / 2
    lines = [0.0, half - 0.3, 0.3 - half, *(lanes - 0.9), *(lanes + 0.9)]
    t = float(np.clip(lines[int(rng.integers(len(lines)))] + rng.normal(0, 0.1), -half, half))
    s, stop = rng.uniform(*span), rng.uniform(4.0, 35.0)
    width = _width(rng)
    out: list[GroundCrack] = []
    end = min(s + stop, span[1])
    while s < end - 1.0:
        piece = min(rng.uniform(3.0, 12.0), end - s)
        t_end = float(np.clip(t + rng.normal(0, 0.08), -half, half))
        rough = rng.uniform(0.06, 0.15) / piece
        out.append(
            _path(rng, road, (s, t), (s + piece, t_end), width, "longitudinal", (not out, s + piece >= end), rough)
        )
        s += piece * rng.uniform(0.93, 1.0)  # Pieces overlap a little.
        t = t_end + rng.choice([0.0, 0.0, rng.normal(0, 0.06)])
    return out


def _transverse(rng: np.random.Generator, road: Road, half: float, span: tuple[float, float]) -> list[GroundCrack]:
    s, lean = rng.uniform(*span), rng.normal(0, 0.25)
    full = rng.random() < 0.55
    a, b = (-half, half) if full else sorted(rng.uniform(-half, half, 2))
    if b - a < 0.6:
        return []
    main = _path(rng, road, (s, a), (s + lean, b), _width(rng), "transverse", (not full, not full))
    out = [main]
    if rng.random() < 0.4:  # A branch.
        t = float(rng.uniform(a, b))
        at = s + lean * (t - a) / (b - a)
        end = (at + rng.uniform(0.5, 2.5) * rng.choice([-1, 1]), float(np.clip(t + rng.normal(0, 0.8), -half, half)))
        out.append(_path(rng, road, (at, t), end, float(main.width_mm.mean()) * 0.6, "transverse", (False, True)))
    return out


def _alligator(rng: np.random.Generator, road: Road, half: float, span: tuple[float, float]) -> list[GroundCrack]:
    """A field of map cracking on a wheel path, stretched along the road."""
    side = rng.uniform(1.2, 3.0)
    stretch = rng.uniform(1.0, 3.0)
    lane = int(rng.integers(road.lanes))
    t0 = (lane + 0.5) * road.width_m / road.lanes - road.width_m / 2 + rng.choice([-0.9, 0.9])
    s0 = rng.uniform(*span)
    width = float(np.clip(rng.lognormal(np.log(6.0), 0.45), *WIDTH_MM))
    extent = side * 1000.0
    network = grow_network(rng, (extent, extent), width=width, step=60.0, cell=rng.uniform(0.16, 0.34) * 1000.0)
    out = []
    for branch in network:
        st = (branch.points_rc_mm - extent / 2) / 1000.0
        s, t = s0 + st[:, 0] * stretch, t0 + st[:, 1]
        if np.abs(t).max() > half or s.min() < span[0] or s.max() > span[1]:
            continue
        out.append(GroundCrack(road.place(s, t), np.clip(branch.width_mm, *WIDTH_MM), "alligator"))
    return out


def plan_patches(
    rng: np.random.Generator, road: Road, surface: str, span_m: tuple[float, float], slab_m: float
) -> list[Patch]:
    """Repairs, utility cuts, oil, slabs of concrete: changes of tone with sharp or soft borders."""
    first, last = span_m
    half, length = road.width_m / 2, last - first
    out: list[Patch] = []
    if surface == "concrete":
        for begin in np.arange(first, last, slab_m):
            for k in range(road.lanes):
                sides = np.array([k, k + 1]) * road.width_m / road.lanes - half
                out.append(_rectangle(road, (begin, begin + slab_m), sides, float(rng.normal(1.0, 0.035))))
    count = {"asphalt_patched": 9.0, "concrete": 1.0, "asphalt_dark": 0.4}.get(surface, 1.6) * length / 100
    for _ in range(rng.poisson(count)):
        s, size = rng.uniform(first, last), rng.exponential(4.0) + 0.8
        wide = rng.uniform(0.5, road.width_m / road.lanes)
        t = rng.uniform(-half, half - wide)
        tone = float(rng.choice([rng.uniform(0.55, 0.85), rng.uniform(0.85, 1.2)]))
        out.append(_rectangle(road, (s, s + min(size, 20.0)), (t, t + wide), tone))
    if rng.random() < 0.35:  # A trench along or across.
        s = rng.uniform(first, last)
        t = rng.uniform(-half, half - 0.8)
        along = rng.random() < 0.5
        sizes = ((s, s + rng.uniform(15, 60)), (t, t + rng.uniform(0.4, 0.9))) if along else (
            (s, s + rng.uniform(0.4, 1.2)), (-half, half))  # fmt: skip
        out.append(_rectangle(road, sizes[0], sizes[1], float(rng.uniform(0.6, 0.9))))
    for _ in range(rng.poisson(2.5 * length / 100)):  # Oil and water stains.
        out.append(_blob(rng, road, (first, last), float(rng.uniform(0.7, 0.93)), float(rng.uniform(0.15, 1.2)), 0.12))
    for _ in range(rng.poisson(0.8 * length / 100)):  # Manholes.
        middle = road.place(rng.uniform(first, last), rng.uniform(-half + 0.5, half - 0.5))
        ring = _circle(middle, 0.36)
        out += [Patch(ring, float(rng.uniform(0.5, 0.8))), Patch(_circle(middle, 0.30), float(rng.uniform(0.9, 1.4)))]
    return out


def _circle(middle: Points, radius_m: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.asarray(middle + radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=1), np.float64)


def _rectangle(road: Road, s: npt.ArrayLike, t: npt.ArrayLike, tone: float) -> Patch:
    (s0, s1), (t0, t1) = np.asarray(s, float), np.asarray(t, float)
    count = max(int((s1 - s0) / 2.0), 1) + 1  # Long ones follow the curve.
    along = np.linspace(s0, s1, count)
    corners = np.concatenate([road.place(along, t0), road.place(along[::-1], t1)])
    return Patch(corners, tone)


def _blob(
    rng: np.random.Generator, road: Road, span: tuple[float, float], tone: float, radius_m: float, soft_m: float
) -> Patch:
    half = road.width_m / 2
    middle = road.place(rng.uniform(*span), rng.uniform(-half, half) * 0.8)
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    radius = radius_m * (1 + 0.3 * np.sin(angle * 2 + rng.uniform(0, 6)) + 0.15 * np.sin(angle * 5 + rng.uniform(0, 6)))
    return Patch(middle + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), tone, soft_m)


def plan_seams(
    rng: np.random.Generator, road: Road, surface: str, span_m: tuple[float, float], slab_m: float
) -> list[tuple[Points, float, float]]:
    """Dark lines that are no cracks: (points, width in metres, darkness) of joints, paving seams and tar seals."""
    first, last = span_m
    half = road.width_m / 2
    s = np.arange(first, last, 1.0)
    out: list[tuple[Points, float, float]] = []
    if len(s) < 3:
        return out
    if surface == "concrete":
        depth = float(rng.uniform(0.3, 0.6))
        for k in range(1, road.lanes):
            out.append((road.place(s, k * road.width_m / road.lanes - half), 0.012, depth))
        for joint in np.arange(first, last, slab_m):
            out.append((road.place([joint, joint], [-half + 0.05, half - 0.05]), float(rng.uniform(0.01, 0.02)), depth))
    elif rng.random() < 0.5:  # The seam between two passes of the paver.
        out.append((road.place(s, rng.normal(0, 0.05)), float(rng.uniform(0.01, 0.03)), float(rng.uniform(0.1, 0.35))))
    if surface != "asphalt_dark":
        for _ in range(rng.poisson(0.8 * (last - first) / 100)):
            at, t = rng.uniform(first, last), rng.uniform(-half, half) * 0.9
            turn = rng.normal(0, 0.3) + (np.pi / 2 if rng.random() < 0.6 else 0.0)
            size = rng.uniform(1.5, min(road.width_m, 6.0))
            u = np.linspace(0, size, 30)
            bend = 0.08 * np.sin(u * rng.uniform(0.8, 2.0) + rng.uniform(0, 6))
            tt = np.clip(t + u * np.sin(turn) + bend * np.cos(turn), -half + 0.1, half - 0.1)
            out.append((road.place(at + u * np.cos(turn) - bend * np.sin(turn), tt), float(rng.uniform(0.04, 0.09)),
                        float(rng.uniform(0.45, 0.75))))  # fmt: skip
    return out


def line_shape(points_en: Points, width_m: float) -> shapely.Polygon:
    """The strip around a line, as a polygon."""
    return shapely.LineString(points_en).buffer(width_m / 2, cap_style="flat")
