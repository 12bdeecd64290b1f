"""The field's measures: counts that add up first, scores after, each under its full name.

`SetScore` needs neither a model nor files; `evaluate` runs a `Segmenter` over image and mask pairs.
"""

from fissura.metrics.counts import (
    CENTRELINE_RADIUS_PX,
    FALSE_ALARM_PX,
    THRESHOLDS,
    CurveCounts,
    MatchCounts,
    PixelCounts,
)
from fissura.metrics.evaluation import EvaluatedImage, evaluate
from fissura.metrics.figures import compute_figures, describe_figures, mean_figures
from fissura.metrics.set_score import ImageScore, SetScore

__all__ = [
    "CENTRELINE_RADIUS_PX",
    "FALSE_ALARM_PX",
    "THRESHOLDS",
    "CurveCounts",
    "EvaluatedImage",
    "ImageScore",
    "MatchCounts",
    "PixelCounts",
    "SetScore",
    "compute_figures",
    "describe_figures",
    "evaluate",
    "mean_figures",
]
