"""`AerialWorld` and `make_world`: all parts of a world, drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fissura.errors import SettingsError
from fissura.synth.aerial.damage import Patch, grow_road_cracks, line_shape, plan_patches, plan_seams
from fissura.synth.aerial.grid import Points
from fissura.synth.aerial.landscape import Landscape, plan_landscape
from fissura.synth.aerial.layout import Marking, carriageway_shapes, plan_markings, plan_roads
from fissura.synth.aerial.materials import FAMILIES, NOISE_KIND, Material, road_material
from fissura.synth.aerial.model import GroundCrack, Road, Sun, Vehicle, WorldOptions
from fissura.synth.aerial.vehicles import plan_vehicles

if TYPE_CHECKING:
    from fissura.synth.aerial.ground import Ground

_FAMILY_SEED = {"tuning": 0, "fresh": 1}
_CRACKS_BEYOND_M = 30.0


@dataclass(frozen=True, eq=False)
class RoadDetail:
    """Things on one road's surface.

    Attributes:
        patches: Repairs and stains.
        seams: Polygon and darkness of dark lines that are no cracks.
        tracks: Points, half width in metres and change of tone of tyre tracks.
    """

    patches: tuple[Patch, ...]
    seams: tuple[tuple[Any, float], ...]
    tracks: tuple[tuple[Points, float, float], ...]


@dataclass(frozen=True, eq=False)
class AerialWorld:
    """A piece of ground with everything on it, as vectors.

    Attributes:
        seed: Not negative.
        options: What was wanted.
        roads: Carriageways; empty for the kind ``none``.
        carriageway: Outline of all of them as painted, a shapely geometry in metres; trees may hide parts of it.
        cracks: Branches, in metres and millimetres.
        markings: Paint on the road.
        details: For each road, patches, seams and tyre tracks.
        landscape: Parcels, houses, trees.
        vehicles: Those that stand in the world.
        surface: Material of the road.
        materials: Of the land, by name.
        sun: Direction and darkness of shadows.
    """

    seed: int
    options: WorldOptions
    roads: tuple[Road, ...]
    carriageway: Any
    cracks: tuple[GroundCrack, ...]
    markings: tuple[Marking, ...]
    details: tuple[RoadDetail, ...]
    landscape: Landscape
    vehicles: tuple[Vehicle, ...]
    surface: Material
    materials: dict[str, Material]
    sun: Sun
    _grounds: dict[float, Ground] = field(default_factory=dict, init=False, repr=False)

    @property
    def extent_m(self) -> tuple[float, float]:
        """Size (east, north); the corner is (0, 0)."""
        return self.options.extent_m

    @property
    def noise_seed(self) -> int:
        """Of the noise on the ground; differs between the families."""
        return self.seed * 2 + _FAMILY_SEED[self.options.family]

    @property
    def noise_kind(self) -> str:
        """Statistic of the noise on the ground."""
        return NOISE_KIND[self.options.family]

    @cached_property
    def crack_bounds(self) -> npt.NDArray[np.float64]:
        """West, south, east, north of each crack with its width, shape (N, 4)."""
        if not self.cracks:
            return np.zeros((0, 4))
        low = np.array([c.points_en.min(axis=0) - c.width_mm.max() / 1000 for c in self.cracks])
        high = np.array([c.points_en.max(axis=0) + c.width_mm.max() / 1000 for c in self.cracks])
        return np.concatenate([low, high], axis=1)

    def cracks_within(self, bounds: tuple[float, float, float, float]) -> list[GroundCrack]:
        """Cracks that may touch an upright rectangle (west, south, east, north)."""
        b = self.crack_bounds
        near = (b[:, 0] < bounds[2]) & (b[:, 2] > bounds[0]) & (b[:, 1] < bounds[3]) & (b[:, 3] > bounds[1])
        return [self.cracks[i] for i in np.flatnonzero(near)]

    def ground(self, gsd_mm: float) -> Ground:
        """The whole extent as a raster with masks; painted on first use and kept.

        Raises:
            SettingsError: ``gsd_mm`` is not positive or the raster would have over 400 million pixels.
        """
        from fissura.synth.aerial.ground import paint_ground

        if gsd_mm not in self._grounds:
            self._grounds[gsd_mm] = paint_ground(self, gsd_mm)
        return self._grounds[gsd_mm]


def make_world(seed: int, options: WorldOptions | None = None) -> AerialWorld:
    """A world, the same for the same seed and options.

    Args:
        seed: Not negative.
        options: Kind, surface and so on; the default is a straight asphalt road.
    Raises:
        SettingsError: The seed is negative.
    """
    if seed < 0:
        raise SettingsError(f"seed is {seed}; give 0 or more")
    options = options or WorldOptions()
    # One stream for each part: more trees leave the road and its cracks where they were.
    streams = [np.random.default_rng([seed, _FAMILY_SEED[options.family], part]) for part in range(9)]
    roads = plan_roads(streams[0], options)
    planned, worn = carriageway_shapes(streams[1], roads, options)
    surface = road_material(streams[2], options.surface, options.family)
    markings = plan_markings(streams[3], roads) if options.markings else ()
    cracks = [c for r in roads for c in grow_road_cracks(streams[4], r, options.crack_density, _span(r, options))]
    details = tuple(_detail(streams[5], r, options) for r in roads)
    materials = dict(FAMILIES[options.family])
    grey = tuple(float(c * streams[6].uniform(0.96, 1.04)) for c in surface.colour)
    soil = materials["soil"]
    materials["grey_soil"] = Material(
        (grey[0], grey[1], grey[2]),
        (soil.axis[0] / 2, soil.axis[1] / 2, soil.axis[2] / 2),
        soil.light,
        soil.mix,
        soil.gaps,
    )
    landscape = plan_landscape(streams[6], options, roads, planned, surface.colour)
    vehicles = plan_vehicles(streams[7], options, roads) + landscape.parked
    return AerialWorld(
        seed, options, roads, worn, tuple(cracks), markings, details, landscape, vehicles, surface, materials,
        _sun(streams[8], options.shadows),
    )  # fmt: skip


def _span(road: Road, options: WorldOptions) -> tuple[float, float]:
    """Stations of a road between which it lies within the extent and a little more."""
    p = road.centre_en
    inside = ((p > -_CRACKS_BEYOND_M) & (p < np.array(options.extent_m) + _CRACKS_BEYOND_M)).all(axis=1)
    s = road.stations()[inside]
    return (float(s[0]), float(s[-1])) if len(s) else (0.0, 0.0)


def _detail(rng: np.random.Generator, road: Road, options: WorldOptions) -> RoadDetail:
    span, slab = (0.0, road.length_m), float(rng.uniform(4.0, 6.5))
    seams = tuple((line_shape(p, w), d) for p, w, d in plan_seams(rng, road, options.surface, span, slab))
    patches = tuple(plan_patches(rng, road, options.surface, span, slab))
    strength = float(rng.normal(0.0, 0.06) - (0.05 if options.surface == "concrete" else 0.0))
    oil = float(-abs(rng.normal(0.0, 0.05)))
    s = np.arange(0.0, road.length_m, 2.0)
    tracks = []
    for lane in range(road.lanes):
        middle = (lane + 0.5) * road.width_m / road.lanes - road.width_m / 2
        own = strength * rng.uniform(0.5, 1.3)
        sway = 0.12 * np.sin(s / rng.uniform(8, 30) + rng.uniform(0, 6))
        tracks += [(road.place(s, middle + side * 0.85 + sway), 0.28, float(own)) for side in (-1, 1)]
        tracks.append((road.place(s, middle + sway), 0.35, oil))
    return RoadDetail(patches, seams, tuple(tracks))


def _sun(rng: np.random.Generator, darkness: float) -> Sun:
    angle, low = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.5)
    # Shadows are lit by the sky: darker, and bluer.
    left = 1.0 - darkness * np.array([0.76, 0.71, rng.uniform(0.45, 0.64)]) * rng.uniform(0.9, 1.03)
    return Sun(
        (float(np.cos(angle)), float(np.sin(angle))), float(low), (float(left[0]), float(left[1]), float(left[2]))
    )
