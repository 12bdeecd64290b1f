"""The road in a frame, and slices that stand in its direction."""

from fissura.road.find import find_road
from fissura.road.model import Road
from fissura.road.plan import plan_slices
from fissura.road.segment import segment_slices
from fissura.road.slices import RoadSlice, RoadSlices

__all__ = ["Road", "RoadSlice", "RoadSlices", "find_road", "plan_slices", "segment_slices"]
