"""From a crack mask to a graph of centrelines with lengths, widths, classes and severities."""

from fissura.measure.measuring import Measurement, MeasureOptions, measure_cracks
from fissura.measure.model import Branch, BranchWidths, Crack, CrackArea, CrackGraph
from fissura.measure.profile import ProfileWidth, profile_width

__all__ = [
    "Branch",
    "BranchWidths",
    "Crack",
    "CrackArea",
    "CrackGraph",
    "MeasureOptions",
    "Measurement",
    "ProfileWidth",
    "measure_cracks",
    "profile_width",
]
