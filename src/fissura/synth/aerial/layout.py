"""Roads of a world: centrelines, the outline of the carriageway, markings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from fissura.synth.aerial.grid import Points
from fissura.synth.aerial.model import Road, WorldOptions
from fissura.synth.aerial.noise import Wobble

_STEP_M = 0.5
_FILLET_M = (5.0, 10.0)
_EDGE_RMS_M = {"grass": 0.07, "gravel": 0.10, "soil": 0.09}
_WHITE, _YELLOW = (0.90, 0.90, 0.88), (0.86, 0.68, 0.26)


@dataclass(frozen=True, eq=False)
class Marking:
    """Paint of one colour: a shapely geometry in metres, and how worn it is, 0 to 1."""

    shape: Any
    colour: tuple[float, float, float]
    wear: float


def plan_roads(rng: np.random.Generator, options: WorldOptions) -> tuple[Road, ...]:
    """The carriageways of a world; none for the kind ``none``."""
    if options.kind == "none":
        return ()
    heading = _heading(rng, options)
    width = options.road_width_m or float(rng.uniform(5.0, 9.0))
    lanes = 1 if width < 4.5 else 2 if width < 9.5 else round(width / 3.5)
    line = _centreline(rng, options, heading)
    if options.kind == "dual":
        return _dual(rng, options, line)
    main = Road(line, width, lanes)
    if not options.kind.startswith("junction"):
        return (main,)
    # The crossing lies near the middle; the minor road leaves at 60 to 120 degrees.
    middle = main.place(main.length_m / 2 + rng.uniform(-0.1, 0.1) * min(options.extent_m), 0.0)
    turn = heading + np.deg2rad(rng.uniform(60, 120)) * rng.choice([-1, 1])
    reach = _reach(options)
    start = -reach if options.kind == "junction_x" else 0.0
    along = np.array([np.sin(turn), np.cos(turn)])
    s = np.arange(start, reach, _STEP_M)
    bend = rng.uniform(-1, 1) * 0.0015 * s * np.abs(s)  # It leaves straight and bends further away.
    minor_line = middle + s[:, None] * along + bend[:, None] * np.array([along[1], -along[0]])
    minor_width = min(width, float(rng.uniform(4.0, 7.0)))
    return (main, Road(minor_line, minor_width, 1 if minor_width < 4.5 else 2, minor=True))


def _reach(options: WorldOptions) -> float:
    return float(np.hypot(*options.extent_m)) / 2 + 1.5 * options.margin_m + 10.0


def _heading(rng: np.random.Generator, options: WorldOptions) -> float:
    """Radians clockwise from north."""
    east, north = options.extent_m
    drawn = float(rng.uniform(0, 2 * np.pi))
    if options.heading_deg is not None:
        return float(np.deg2rad(options.heading_deg))
    if max(east, north) > 1.5 * min(east, north):  # Along a long world, and it must not leave it.
        slack = 0.25 * min(east, north) / max(east, north)
        return (np.pi / 2 if east > north else 0.0) + float(np.interp(drawn, [0, 2 * np.pi], [-slack, slack]))
    return drawn


def _centreline(rng: np.random.Generator, options: WorldOptions, heading: float) -> Points:
    along = np.array([np.sin(heading), np.cos(heading)])
    right = np.array([along[1], -along[0]])
    short = min(options.extent_m)
    centre = np.array(options.extent_m) / 2 + rng.uniform(-0.1, 0.1) * short * right
    u = np.arange(-_reach(options), _reach(options), _STEP_M / 2)
    if options.kind == "curved":
        length, radius = rng.uniform(90, 260), rng.uniform(32, 120)
        swing = min(length**2 / (4 * np.pi**2 * radius), 0.22 * short)
    else:
        length, swing = rng.uniform(300, 700), rng.uniform(0.0, 0.6)
    v = swing * np.sin(2 * np.pi * u / length + rng.uniform(0, 2 * np.pi))
    return _even(centre + u[:, None] * along + v[:, None] * right)


def _even(line: Points) -> Points:
    """The line with points every `_STEP_M`."""
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.arange(0.0, s[-1], _STEP_M)
    return np.stack([np.interp(at, s, line[:, k]) for k in (0, 1)], axis=1)


def _dual(rng: np.random.Generator, options: WorldOptions, line: Points) -> tuple[Road, ...]:
    width = options.road_width_m or float(rng.choice([8.5, 11.5]) + rng.uniform(0, 1.5))
    lanes = max(round((width - 1.0) / 3.6), 1)
    middle = Road(line, 1.0, 1)
    offset = (width + rng.uniform(1.5, 6.0)) / 2
    s = middle.stations()
    right, left = middle.place(s, offset), middle.place(s, -offset)[::-1]
    return (Road(_even(right), width, lanes, one_way=True), Road(_even(left), width, lanes, one_way=True))


def carriageway_shapes(rng: np.random.Generator, roads: tuple[Road, ...], options: WorldOptions) -> tuple[Any, Any]:
    """Outline of all carriageways as planned, and as it lies there: fillets at junctions, worn edges."""
    if not roads:
        return shapely.Polygon(), shapely.Polygon()
    strips = [shapely.LineString(r.centre_en).buffer(r.width_m / 2, cap_style="flat") for r in roads]
    fillet = rng.uniform(*_FILLET_M)
    planned = shapely.union_all(strips)
    if any(r.minor for r in roads):
        planned = planned.buffer(fillet, quad_segs=16).buffer(-fillet, quad_segs=16)
    size = _EDGE_RMS_M[options.verge] * rng.uniform(0.5, 1.3)
    if has_pavement(options):
        size = 0.012  # Kerbs are laid to a line.
    return planned, Wobble(rng, size, (0.8, 14.0)).bend(planned, 0.35)


def has_pavement(options: WorldOptions) -> bool:
    """Whether kerbs and footways take the place of the verge."""
    return options.pavement and options.kind != "dual"


def plan_markings(rng: np.random.Generator, roads: tuple[Road, ...]) -> tuple[Marking, ...]:
    """Edge lines, centre and lane lines, stop lines."""
    if not roads:
        return ()
    crossing = _crossing(roads)
    colour = _WHITE if rng.random() < 0.85 else _YELLOW
    wear = float(rng.beta(1.3, 2.5))
    line_m = rng.uniform(0.10, 0.16)
    dash = [(3.0, 9.0), (4.0, 8.0), (6.0, 12.0), (2.0, 4.0), (3.0, 3.0)][int(rng.integers(5))]
    edge_lines = rng.random() < 0.75
    out = []
    for road in roads:
        shapes: list[Any] = []
        if edge_lines and road.width_m > 4.2:
            inset = rng.uniform(0.2, 0.45) if not road.one_way else rng.uniform(0.4, 0.9)
            shapes += [_solid(road, side * (road.width_m / 2 - inset), line_m) for side in (-1, 1)]
        usable = road.width_m - (1.2 if road.one_way else 0.5)
        for k in range(1, road.lanes):
            t = (k / road.lanes - 0.5) * usable
            solid = not road.one_way and rng.random() < 0.15
            shapes.append(_solid(road, t, line_m) if solid else _dashed(road, t, line_m, dash))
        if road.minor and road.lanes > 1:
            shapes.append(_stop_line(road, roads[0], rng.uniform(0.3, 0.5)))
        # Stop lines lie just outside the crossing; what was drawn inside goes.
        shape = shapely.difference(shapely.union_all(shapes), crossing) if shapes else shapely.Polygon()
        if not shape.is_empty:
            out.append(Marking(shape, colour, wear))
    return tuple(out)


def _crossing(roads: tuple[Road, ...]) -> Any:
    if not any(r.minor for r in roads):
        return shapely.Polygon()
    main, minor = roads[0], roads[1]
    strip_a = shapely.LineString(main.centre_en).buffer(main.width_m / 2 + 1.0, cap_style="flat")
    strip_b = shapely.LineString(minor.centre_en).buffer(minor.width_m / 2 + 3.0, cap_style="square")
    return shapely.intersection(strip_a, strip_b).buffer(2.0)


def _solid(road: Road, t: float, width_m: float) -> Any:
    return shapely.LineString(road.place(road.stations(), t)).buffer(width_m / 2, cap_style="flat")


def _dashed(road: Road, t: float, width_m: float, dash: tuple[float, float]) -> Any:
    start = np.arange(0.0, road.length_m - dash[0], sum(dash))
    corners = [road.place(start + a, t + b * width_m / 2) for a, b in
               ((0.0, -1), (dash[0], -1), (dash[0], 1), (0.0, 1))]  # fmt: skip
    return shapely.MultiPolygon(list(shapely.polygons(np.stack(corners, axis=1))))


def _stop_line(road: Road, main: Road, width_m: float) -> Any:
    """Across the right-hand half of a minor road on both sides of the main road."""
    _, distance = main.nearest(road.centre_en)
    s = road.stations()
    lines = []
    clear = main.width_m / 2 + 3.2
    inside = np.flatnonzero(distance < clear)
    if not len(inside):
        return shapely.Polygon()
    for at, side in ((s[inside[-1]], -1), (s[inside[0]], 1)):
        if 1.0 < at < road.length_m - 1.0:
            ends = road.place([at, at], [side * 0.1, side * (road.width_m / 2 - 0.3)])
            lines.append(shapely.LineString(ends).buffer(width_m / 2, cap_style="flat"))
    return shapely.union_all(lines)
