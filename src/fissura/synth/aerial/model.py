"""What an aerial world is made of: roads, cracks, land, objects and light, all as vectors in ground metres.

Ground coordinates are (east, north). Lengths are metres, crack widths millimetres, angles degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError, SettingsError
from fissura.synth.aerial.grid import Points

Kind = Literal["straight", "curved", "junction_t", "junction_x", "dual", "none"]
Surface = Literal["asphalt_dark", "asphalt_light", "asphalt_patched", "concrete"]
Verge = Literal["grass", "gravel", "soil"]
Family = Literal["tuning", "fresh"]
_CHOICES: dict[str, Any] = {"kind": Kind, "surface": Surface, "verge": Verge, "family": Family}


@dataclass(frozen=True)
class WorldOptions:
    """What a world shows.

    Attributes:
        kind: Layout of the roads.
        surface: Of the road.
        verge: Beside the road.
        pavement: Kerbs and footways beside the road instead of a verge (not on dual carriageways).
        same_grey: Roofs, yards and bare soil in the grey of the road.
        markings: Lane and edge lines.
        vehicles: Vehicles per 100 m of carriageway.
        shadows: Darkness of cast shadows, 0 (overcast) to 1.
        trees: Share of land under trees, 0 to 1; some of them lean over the road.
        houses: Share of parcels with houses, 0 to 1.
        water: A pond or a shore.
        crack_density: 1 is a road in need of repair, 0 a whole one.
        road_width_m: Of one carriageway; None draws it.
        heading_deg: Direction of the road, clockwise from north; None draws it (along the longer side of a long world).
        extent_m: Size of the world (east, north).
        margin_m: Land and road go on so far beyond the extent, for oblique views.
        family: ``tuning`` worlds are for development; ``fresh`` ones have other colours, textures and verges, and
            nothing may be chosen by them.
    """

    kind: Kind = "straight"
    surface: Surface = "asphalt_light"
    verge: Verge = "grass"
    pavement: bool = False
    same_grey: bool = False
    markings: bool = True
    vehicles: float = 1.0
    shadows: float = 0.8
    trees: float = 0.25
    houses: float = 0.2
    water: bool = False
    crack_density: float = 1.0
    road_width_m: float | None = None
    heading_deg: float | None = None
    extent_m: tuple[float, float] = (120.0, 120.0)
    margin_m: float = 80.0
    family: Family = "tuning"

    def __post_init__(self) -> None:
        for name, literal in _CHOICES.items():
            if getattr(self, name) not in get_args(literal):
                raise SettingsError(f"{name} is '{getattr(self, name)}'; choose one of {', '.join(get_args(literal))}")
        for name in ("shadows", "trees", "houses"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        for name in ("vehicles", "crack_density", "margin_m"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must not be negative")
        if min(self.extent_m) < 10 or max(self.extent_m) > 5000:
            raise SettingsError(f"extent_m is {self.extent_m}; give two sides of 10 to 5000 metres")
        if self.road_width_m is not None and not 2.5 <= self.road_width_m <= 40:
            raise SettingsError(f"road_width_m is {self.road_width_m}; give 2.5 to 40 metres")

    @classmethod
    def varied(cls, seed: int, **fixed: Any) -> WorldOptions:
        """Options drawn at random, for benchmarks; ``fixed`` are fields to hold, by name.

        Raises:
            SettingsError: A field is unknown or its value out of range.
        """
        unknown = set(fixed) - {f.name for f in fields(cls)}
        if unknown:
            raise SettingsError(f"WorldOptions has no field '{sorted(unknown)[0]}'")
        rng = np.random.default_rng([seed, 77])
        drawn: dict[str, Any] = {
            "kind": str(rng.choice(get_args(Kind))),
            "surface": str(rng.choice(get_args(Surface), p=[0.3, 0.35, 0.2, 0.15])),
            "verge": str(rng.choice(get_args(Verge), p=[0.55, 0.25, 0.2])),
            "pavement": bool(rng.random() < 0.2),
            "same_grey": bool(rng.random() < 0.4),
            "markings": bool(rng.random() < 0.7),
            "vehicles": float(rng.choice([0.0, 1.0, 3.0, 6.0], p=[0.3, 0.3, 0.25, 0.15])),
            "shadows": float(rng.choice([0.0, rng.uniform(0.3, 0.7), rng.uniform(0.7, 1.0)], p=[0.2, 0.3, 0.5])),
            "trees": float(rng.uniform(0.0, 0.6)),
            "houses": float(rng.choice([0.0, rng.uniform(0.1, 0.6)], p=[0.4, 0.6])),
            "water": bool(rng.random() < 0.2),
            "crack_density": float(rng.choice([0.0, rng.uniform(0.3, 2.0)], p=[0.15, 0.85])),
        }
        return cls(**(drawn | fixed))


@dataclass(frozen=True, eq=False)
class Road:
    """One carriageway.

    Attributes:
        centre_en: Centreline, shape (N, 2), metres, evenly spaced.
        width_m: From edge to edge.
        lanes: Number of lanes.
        one_way: All traffic runs along the centreline (a half of a dual carriageway).
        minor: It yields to the others: its markings stop at the junction.
    """

    centre_en: Points
    width_m: float
    lanes: int
    one_way: bool = False
    minor: bool = False

    @property
    def length_m(self) -> float:
        """Along the centreline."""
        return float(self.stations()[-1])

    def stations(self) -> npt.NDArray[np.float64]:
        """Distance along the centreline at each of its points, shape (N,)."""
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.centre_en, axis=0), axis=1))])

    def tangents(self) -> Points:
        """Unit direction at each point, shape (N, 2)."""
        along = np.gradient(self.centre_en, axis=0)
        return np.asarray(along / np.linalg.norm(along, axis=1, keepdims=True), np.float64)

    def place(self, s_m: npt.ArrayLike, t_m: npt.ArrayLike) -> Points:
        """Ground points at distance ``s`` along and ``t`` to the right of the centreline, shape (N, 2)."""
        s, t = np.broadcast_arrays(np.asarray(s_m, np.float64), np.asarray(t_m, np.float64))
        stations, tangents = self.stations(), self.tangents()
        centre = np.stack([np.interp(s, stations, self.centre_en[:, k]) for k in (0, 1)], axis=-1)
        along = np.stack([np.interp(s, stations, tangents[:, k]) for k in (0, 1)], axis=-1)
        right = np.stack([along[..., 1], -along[..., 0]], axis=-1)
        return np.asarray(centre + t[..., None] * right, np.float64)

    def nearest(self, points_en: Points) -> tuple[Points, npt.NDArray[np.float64]]:
        """Direction of the centreline beside each point, shape (N, 2), and distance to it, shape (N,)."""
        best = np.full(len(points_en), np.inf)
        index = np.zeros(len(points_en), np.int64)
        share = np.zeros(len(points_en))
        a, d = self.centre_en[:-1], np.diff(self.centre_en, axis=0)
        norm = (d**2).sum(axis=1)
        for first in range(0, len(points_en), 4096):  # Bounded memory: points times segments.
            p = points_en[first : first + 4096]
            u = np.clip(((p @ d.T) - (a * d).sum(axis=1)) / norm, 0.0, 1.0)
            foot = a[None] + u[..., None] * d[None]
            distance = np.linalg.norm(p[:, None] - foot, axis=2)
            k = distance.argmin(axis=1)
            rows = np.arange(len(p))
            index[first : first + len(p)], share[first : first + len(p)] = k, u[rows, k]
            best[first : first + len(p)] = distance[rows, k]
        tangents = self.tangents()
        along = tangents[index] * (1 - share)[:, None] + tangents[index + 1] * share[:, None]
        return along / np.linalg.norm(along, axis=1, keepdims=True), best


@dataclass(frozen=True, eq=False)
class GroundCrack:
    """One branch of a crack, like `fissura.synth.CrackVector` in ground coordinates.

    Attributes:
        points_en: Centreline (east, north), shape (N >= 2, 2), metres.
        width_mm: Full width at each point, shape (N,), millimetres.
        kind: ``longitudinal``, ``transverse``, ``diagonal`` or ``alligator``.
    """

    points_en: Points
    width_mm: npt.NDArray[np.float64]
    kind: str

    def __post_init__(self) -> None:
        if self.points_en.ndim != 2 or self.points_en.shape[1] != 2 or len(self.points_en) < 2:
            raise GeometryError(f"a crack needs points of shape (N >= 2, 2), got {self.points_en.shape}")
        if self.width_mm.shape != (len(self.points_en),):
            raise GeometryError(f"{len(self.points_en)} points need as many widths, got {self.width_mm.shape}")

    @property
    def length_m(self) -> float:
        """Length of the centreline in metres."""
        return float(np.linalg.norm(np.diff(self.points_en, axis=0), axis=1).sum())


@dataclass(frozen=True, eq=False)
class Area:
    """A piece of land of one material; ``natural`` borders are ragged, others sharp. ``rows_deg``: crop rows."""

    shape: Any
    material: str
    natural: bool = True
    rows_deg: float | None = None
    tone: float = 1.0


@dataclass(frozen=True, eq=False)
class House:
    """A roof: rectangle around ``centre_en``, ridge along ``turn_deg``; flat if ``gable`` is False."""

    centre_en: tuple[float, float]
    size_m: tuple[float, float]
    turn_deg: float
    height_m: float
    colour: tuple[float, float, float]
    gable: bool
    courses_m: float

    def frame(self) -> Points:
        """Rows: unit vectors along and across the ridge in (east, north)."""
        a = np.deg2rad(self.turn_deg)
        return np.array([[np.sin(a), np.cos(a)], [np.cos(a), -np.sin(a)]])

    def corners(self, scale: float = 1.0, margin_m: float = 0.0) -> Points:
        """Corners on the ground, shape (4, 2); the first two span one side along the ridge."""
        half = np.array(self.size_m) / 2 * scale + margin_m
        local = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        return np.asarray(np.array(self.centre_en) + local @ self.frame(), np.float64)


@dataclass(frozen=True)
class Vehicle:
    """A vehicle: position of its middle, heading clockwise from north, size (length, width), colour 0 to 1."""

    centre_en: tuple[float, float]
    heading_deg: float
    size_m: tuple[float, float]
    colour: tuple[float, float, float]
    truck: bool = False


@dataclass(frozen=True, eq=False)
class Trees:
    """All trees as columns: position (N, 2), crown radius, height, colour (N, 3), shorter ones first."""

    centre_en: Points
    radius_m: npt.NDArray[np.float64]
    height_m: npt.NDArray[np.float64]
    colour: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sun:
    """Where shadows fall (unit vector east, north), their length per height, and the light left in them."""

    shadow_en: tuple[float, float]
    length: float
    left: tuple[float, float, float]
