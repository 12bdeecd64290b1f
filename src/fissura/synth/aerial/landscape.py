"""Everything beside and on the road: parcels, water, verges, houses, trees, vehicles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from fissura.synth.aerial.grid import Points
from fissura.synth.aerial.layout import has_pavement
from fissura.synth.aerial.model import Area, House, Road, Trees, Vehicle, WorldOptions
from fissura.synth.aerial.noise import Wobble
from fissura.synth.aerial.planting import forest_points, hedges, plant
from fissura.synth.aerial.settlement import Settlement

_OPEN = ("grass", "meadow", "crop", "stubble", "soil")
_OPEN_SHARE = [0.34, 0.24, 0.16, 0.10, 0.16]


@dataclass(frozen=True, eq=False)
class Landscape:
    """Parcels in the order they are painted, and what stands on them."""

    areas: tuple[Area, ...]
    houses: tuple[House, ...]
    parked: tuple[Vehicle, ...]
    trees: Trees


def plan_landscape(
    rng: np.random.Generator,
    options: WorldOptions,
    roads: tuple[Road, ...],
    planned: Any,
    grey: tuple[float, float, float],
) -> Landscape:
    """Land use around the roads.

    Args:
        rng: Source of randomness.
        options: What is wanted.
        roads: The carriageways.
        planned: Their outline, a shapely geometry.
        grey: Colour of the road, for ``same_grey``.
    """
    heading = _heading(rng, roads)
    cells = _parcels(rng, options, heading)
    wobble = Wobble(rng, 0.35, (2.0, 25.0))
    areas: list[Area] = []
    built = Settlement()
    wood: list[Points] = []
    for cell in cells:
        use = rng.random()
        if use < options.trees * 0.8:
            areas.append(_area(cell, "forest_floor", wobble))
            wood.append(forest_points(rng, cell))
        elif use < options.trees * 0.8 + options.houses * 0.7:
            built.settle(rng, options, cell, heading, planned, grey)
        else:
            material = str(rng.choice(_OPEN, p=_OPEN_SHARE))
            rows = heading + 90.0 * rng.integers(2) + rng.normal(0, 6) if material in ("crop", "stubble") else None
            areas.append(_area(cell, material, wobble, rows_deg=rows, tone=float(rng.uniform(0.88, 1.12))))
    areas += built.ground
    if options.same_grey:
        areas += _grey_areas(rng, cells, heading, wobble)
    if options.water:
        areas += _water(rng, options, planned, wobble)
    water = shapely.union_all([a.shape for a in areas if a.material in ("water", "shore")])
    built = built.without_flooded(water)
    areas += _beside_road(rng, options, planned, built.driveways)
    trees = plant(rng, options, roads, planned, [*wood, *hedges(rng, options, cells)], built.houses, water)
    return Landscape(tuple(areas), tuple(built.houses), tuple(built.parked), trees)


def _heading(rng: np.random.Generator, roads: tuple[Road, ...]) -> float:
    if not roads:
        return float(rng.uniform(0, 360))
    ends = roads[0].centre_en[[0, -1]]
    return float(np.rad2deg(np.arctan2(*(ends[1] - ends[0]))))


def _frame(heading_deg: float) -> npt.NDArray[np.float64]:
    """Rows: along and right of a heading, in (east, north)."""
    a = np.deg2rad(heading_deg)
    return np.array([[np.sin(a), np.cos(a)], [np.cos(a), -np.sin(a)]])


def _parcels(rng: np.random.Generator, options: WorldOptions, heading: float) -> list[Any]:
    """Quadrangles with irregular corners that cover the world and its margin."""
    centre = np.array(options.extent_m) / 2
    reach = float(np.hypot(*options.extent_m)) / 2 + options.margin_m * 1.2
    ticks = []
    for _ in range(2):
        steps = rng.uniform(18.0, 60.0, int(2 * reach / 18.0) + 3)
        ticks.append(np.cumsum(steps) - reach - rng.uniform(18, 60))
    u, v = (t[: int(np.searchsorted(t, reach)) + 2] for t in ticks)
    nodes = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1) + rng.normal(0, 3.0, (len(u), len(v), 2))
    ground = centre + nodes @ _frame(heading)
    world = shapely.box(-options.margin_m, -options.margin_m, *(np.array(options.extent_m) + options.margin_m))
    out = []
    for i in range(len(u) - 1):
        for j in range(len(v) - 1):
            cell = shapely.Polygon([ground[i, j], ground[i + 1, j], ground[i + 1, j + 1], ground[i, j + 1]])
            if shapely.intersects(cell, world):
                out.append(cell.buffer(0))
    return out


def _area(shape: Any, material: str, wobble: Wobble, **how: Any) -> Area:
    return Area(wobble.bend(shape.buffer(0.4), 1.5), material, **how)


def _grey_areas(rng: np.random.Generator, cells: list[Any], heading: float, wobble: Wobble) -> list[Area]:
    """Bare soil in the road's grey: whole parcels or strips that look like roads from far away."""
    out = []
    for cell in cells:
        if rng.random() < 0.22:
            out.append(_area(cell, "grey_soil", wobble, tone=float(rng.uniform(0.94, 1.06))))
        elif rng.random() < 0.12:
            middle = np.asarray(cell.centroid.coords)[0]
            frame = _frame(heading + rng.uniform(-40, 40))
            size = (rng.uniform(12, 30), rng.uniform(3, 9))
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / np.array([2, 2])
            out.append(_area(shapely.Polygon(middle + corners @ frame), "grey_soil", wobble))
    return out


def _water(rng: np.random.Generator, options: WorldOptions, planned: Any, wobble: Wobble) -> list[Area]:
    """A pond beside the road with its shore."""
    extent = np.array(options.extent_m)
    for _ in range(20):
        middle = rng.uniform(0.1, 0.9, 2) * extent
        clear = np.inf if planned.is_empty else float(shapely.distance(planned, shapely.Point(middle)))
        radius = min(clear - 8.0, rng.uniform(12.0, 40.0))
        if radius < 8.0:
            continue
        angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        lobes = 1 + sum(rng.uniform(0, 0.16) * np.sin(k * angle + rng.uniform(0, 6)) for k in (2, 3, 5))
        ring = middle + (radius * np.asarray(lobes) / 1.2)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        pond = shapely.Polygon(ring)
        shore = pond.buffer(rng.uniform(1.0, 4.0))
        return [_area(shore, "shore", wobble), _area(pond, "water", wobble)]
    return []


def _beside_road(rng: np.random.Generator, options: WorldOptions, planned: Any, driveways: list[Area]) -> list[Area]:
    """Strips along the carriageway: turf, then a gravel shoulder, trodden soil, or kerb and footway; driveways."""
    if planned.is_empty:
        return []
    wide = Wobble(rng, rng.uniform(0.15, 0.5), (3.0, 30.0))
    narrow = Wobble(rng, rng.uniform(0.08, 0.25), (1.0, 12.0))

    def strip(width: float, material: str, wobble: Wobble, tone: float) -> Area:
        return Area(wobble.bend(planned.buffer(width, quad_segs=4), 0.8), material, tone=tone)

    out = [strip(rng.uniform(2.0, 6.0), "grass", wide, float(rng.uniform(0.92, 1.12))), *driveways]
    tone = float(rng.uniform(0.85, 1.12))
    if has_pavement(options):
        kerb = rng.uniform(0.10, 0.18)
        out.append(Area(planned.buffer(kerb + rng.uniform(1.2, 2.6)), "paving", natural=False, tone=tone))
        out.append(Area(planned.buffer(kerb), "kerb", natural=False, tone=float(rng.uniform(0.8, 1.1))))
    elif options.verge == "gravel":
        out.append(strip(rng.uniform(0.6, 2.0), "gravel", narrow, tone))
    elif options.verge == "soil":
        out.append(strip(rng.uniform(0.5, 1.8), "soil", narrow, tone))
    else:  # A thin worn edge between asphalt and turf.
        out.append(strip(rng.uniform(0.1, 0.35), "shore", narrow, tone))
    return out
