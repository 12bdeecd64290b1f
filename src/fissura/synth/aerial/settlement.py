"""Houses, halls, yards, driveways and parked cars."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from fissura.synth.aerial.model import Area, House, Vehicle, WorldOptions
from fissura.synth.aerial.vehicles import park_beside

_ROOFS = {
    "tuning": [(0.58, 0.34, 0.27), (0.46, 0.30, 0.25), (0.36, 0.35, 0.36), (0.62, 0.60, 0.58), (0.42, 0.38, 0.34)],
    "fresh": [(0.64, 0.45, 0.34), (0.30, 0.36, 0.44), (0.38, 0.47, 0.42), (0.72, 0.70, 0.66), (0.30, 0.27, 0.27)],
}
_FROM_ROAD_M, _APART_M = 3.5, 3.0
_DRIVEWAY_M = 30.0


@dataclass(frozen=True, eq=False)
class Settlement:
    """What people built: ``ground`` below and around, ``driveways`` over the verges, houses, parked cars."""

    ground: list[Area] = field(default_factory=list)
    driveways: list[Area] = field(default_factory=list)
    houses: list[House] = field(default_factory=list)
    parked: list[Vehicle] = field(default_factory=list)

    def settle(
        self,
        rng: np.random.Generator,
        options: WorldOptions,
        cell: Any,
        heading_deg: float,
        planned: Any,
        grey: tuple[float, float, float],
    ) -> None:
        """Build on one parcel: a hall, or up to three houses, that keep clear of the road and of each other."""
        self.ground.append(Area(cell.buffer(0.3), "grass", tone=float(rng.uniform(0.9, 1.1))))
        hall = rng.random() < 0.3 or (options.same_grey and rng.random() < 0.5)
        for _ in range(1 if hall else int(rng.integers(1, 4))):
            house = _draw_house(rng, options, cell, heading_deg, hall, grey)
            corners = shapely.Polygon(house.corners())
            near = [h for h in self.houses if shapely.distance(shapely.Polygon(h.corners()), corners) < _APART_M]
            if near or (not planned.is_empty and shapely.distance(planned, corners) < _FROM_ROAD_M):
                continue
            self._build(rng, options, house, cell, planned)

    def _build(self, rng: np.random.Generator, options: WorldOptions, house: House, cell: Any, planned: Any) -> None:
        self.houses.append(house)
        tone, material = float(rng.uniform(0.8, 1.15)), str(rng.choice(["yard", "yard", "gravel", "paving"]))
        if not house.gable or rng.random() < 0.5:
            margin = 5.5 if not house.gable else float(rng.uniform(0.8, 3.0))
            yard = shapely.Polygon(house.corners(margin_m=margin)).intersection(cell)
            if not planned.is_empty:
                yard = yard.difference(planned.buffer(1.0))
            self.ground.append(Area(yard, material, natural=False, tone=tone))
        if not house.gable and options.vehicles > 0:
            self.parked.extend(v for v in park_beside(rng, house) if _clear(v, planned))
        middle = shapely.Point(house.centre_en)
        if not planned.is_empty and shapely.distance(planned, middle) < _DRIVEWAY_M and rng.random() < 0.7:
            line = shapely.shortest_line(middle, planned)
            width = rng.uniform(2.4, 3.5) if house.gable else rng.uniform(4.0, 7.0)
            self.driveways.append(Area(line.buffer(width / 2, cap_style="flat"), material, natural=False, tone=tone))

    def without_flooded(self, water: Any) -> Settlement:
        """Those houses and cars that do not stand in the water."""
        if water.is_empty:
            return self
        houses = [h for h in self.houses if not shapely.intersects(water, shapely.Polygon(h.corners()))]
        places = [np.array(h.centre_en) for h in houses]
        reach = [np.hypot(*h.size_m) / 2 + 6.0 for h in houses]
        parked = [
            v
            for v in self.parked
            if any(np.hypot(*(p - v.centre_en)) < r for p, r in zip(places, reach, strict=True))
            and not shapely.intersects(water, shapely.Point(v.centre_en))
        ]
        return Settlement(self.ground, self.driveways, houses, parked)


def _clear(vehicle: Vehicle, planned: Any) -> bool:
    return bool(planned.is_empty or shapely.distance(planned, shapely.Point(vehicle.centre_en)) > 3.5)


def _draw_house(
    rng: np.random.Generator,
    options: WorldOptions,
    cell: Any,
    heading_deg: float,
    hall: bool,
    grey: tuple[float, float, float],
) -> House:
    size = rng.uniform((16, 9), (42, 20)) if hall else rng.uniform((8, 6.5), (15, 10))
    west, south, east, north = cell.bounds
    middle = rng.uniform((west, south), (east, north))
    colour = np.array(_ROOFS[options.family][int(rng.integers(len(_ROOFS[options.family])))])
    if options.same_grey and rng.random() < 0.7:
        colour = np.array(grey) * rng.uniform(0.96, 1.04)
    elif hall:
        colour = np.array([1.01, 1.0, 0.98]) * rng.uniform(0.35, 0.75)
    return House(
        (float(middle[0]), float(middle[1])),
        (float(size[0]), float(size[1])),
        float(heading_deg + 90.0 * rng.integers(2) + rng.normal(0, 3)),
        float(rng.uniform(5, 9)),
        (float(colour[0]), float(colour[1]), float(colour[2])),
        gable=not hall,
        courses_m=float(rng.uniform(0.25, 0.4)),
    )
