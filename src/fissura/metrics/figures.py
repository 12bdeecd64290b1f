"""The figures by their full names, each with its protocol. The one list that tables, JSON and cards use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fissura.metrics import scores
from fissura.metrics.boundary import MATCH_DISTANCE, boundary_area, boundary_indices
from fissura.metrics.counts import CENTRELINE_RADIUS_PX, FALSE_ALARM_PX, MatchCounts
from fissura.metrics.instances import INSTANCE_IOU, instance_precision

if TYPE_CHECKING:  # `SetScore` hands itself to `compute_figures`
    from fissura.metrics.set_score import ImageScore, SetScore

PER_IMAGE = " (per-image mean)"


@dataclass(frozen=True)
class _Figure:
    """``name`` and ``protocol`` may hold {r} (tolerance), {t} (threshold) and {b} (thresholds of boundaries)."""

    name: str
    protocol: str
    compute: Callable[[SetScore], float]


def _matches(image: ImageScore) -> MatchCounts:
    return image.pixels.as_match()


def _false_alarm_share(score: SetScore) -> float:
    empty = len(score.images) - score.crack_images
    return score.false_alarms / empty if empty else scores.NOT_DEFINED


_OVER = "mean over the images whose truth holds crack"
_MEAN = f"{_OVER} (0 where nothing is predicted)"

_FIGURES = (
    _Figure(
        "precision", "tp / (tp + fp) of crack pixels at threshold {t}, pooled over the set, no tolerance",
        lambda s: scores.precision(s.pixels.as_match()),
    ),
    _Figure(
        "recall", "tp / (tp + fn) of crack pixels at threshold {t}, pooled over the set, no tolerance",
        lambda s: scores.recall(s.pixels.as_match()),
    ),
    _Figure(
        "F1", "harmonic mean of precision and recall at threshold {t}, pooled over the set, no tolerance",
        lambda s: scores.f1(s.pixels.as_match()),
    ),
    _Figure(
        "IoU", "tp / (tp + fp + fn) of crack pixels at threshold {t}, pooled over the set, no tolerance",
        lambda s: scores.iou(s.pixels),
    ),
    _Figure(
        "mIoU", "mean of the IoU of crack and of background at threshold {t}, pooled over the set, no tolerance",
        lambda s: scores.mean_iou(s.pixels),
    ),
    _Figure(
        "FNR", "fn / (tp + fn) of crack pixels at threshold {t}, pooled over the set, no tolerance: 1 - recall",
        lambda s: scores.false_negative_rate(s.pixels),
    ),
    _Figure(
        "mPA", "mean of the recall of crack and of background pixels at threshold {t}, pooled over the set",
        lambda s: scores.mean_pixel_accuracy(s.pixels),
    ),
    _Figure(
        "macro-P", "mean of the precision of crack and of background pixels at threshold {t}, pooled over the set",
        lambda s: scores.macro_precision(s.pixels),
    ),
    _Figure(
        "macro-F1", "mean of the F1 of crack and of background pixels at threshold {t}, pooled over the set: two "
        "classes, so about (1 + F1) / 2, and not to be compared with F1",
        lambda s: scores.macro_f1(s.pixels),
    ),
    _Figure(
        "precision" + PER_IMAGE, f"precision of each image at threshold {{t}}, {_MEAN}",
        lambda s: s.mean(lambda i: scores.precision(_matches(i))),
    ),
    _Figure(
        "recall" + PER_IMAGE, f"recall of each image at threshold {{t}}, {_MEAN}",
        lambda s: s.mean(lambda i: scores.recall(_matches(i))),
    ),
    _Figure("F1" + PER_IMAGE, f"F1 of each image at threshold {{t}}, {_MEAN}", lambda s: s.mean(lambda i: i.f1)),
    _Figure(
        "IoU" + PER_IMAGE, f"crack IoU of each image at threshold {{t}}, {_MEAN}",
        lambda s: s.mean(lambda i: scores.iou(i.pixels)),
    ),
    _Figure(
        "mIoU" + PER_IMAGE, f"mIoU of each image at threshold {{t}}, {_OVER}",
        lambda s: s.mean(lambda i: scores.mean_iou(i.pixels)),
    ),
    _Figure(
        "precision@{r}px", "|B ∩ dil(G)| / |B| at threshold {t}, dil = OpenCV ellipse of side {side}, pooled",
        lambda s: scores.precision(s.near),
    ),
    _Figure(
        "recall@{r}px", "|G ∩ dil(B)| / |G| at threshold {t}, dil = OpenCV ellipse of side {side}, pooled",
        lambda s: scores.recall(s.near),
    ),
    _Figure(
        "F1@{r}px", "harmonic mean of precision@{r}px and recall@{r}px: two-sided dilation tolerance, pooled",
        lambda s: scores.f1(s.near),
    ),
    _Figure(
        "F1@{r}px" + PER_IMAGE, f"F1@{{r}}px of each image at threshold {{t}}, {_MEAN}",
        lambda s: s.mean(lambda i: scores.f1(i.near)),
    ),
    _Figure(
        "ODS", "best F1 of one threshold (0.01 .. 0.99) for the whole set, pooled counts, no tolerance",
        lambda s: scores.best_f1(s.curve)[0],
    ),
    _Figure("ODS threshold", "the threshold of ODS, the lowest if several", lambda s: scores.best_f1(s.curve)[1]),
    _Figure(
        "OIS", "mean over the images whose truth holds crack of the best F1 over 0.01 .. 0.99, no tolerance",
        lambda s: s.mean(lambda i: i.best_f1),
    ),
    _Figure(
        "AP", "area under precision over recall at 0.01 .. 0.99: step sum of (R_k - R_k+1) P_k, R_100 = 0, pooled "
        "counts, no tolerance, nothing added beyond the recall at 0.01",
        lambda s: scores.average_precision(s.curve),
    ),
    _Figure(
        "AIU", "crack IoU averaged over the thresholds 0.01 .. 0.99, pooled counts",
        lambda s: scores.average_iou(s.curve),
    ),
    _Figure(
        "AIU" + PER_IMAGE, f"crack IoU averaged over 0.01 .. 0.99 of each image, {_MEAN}",
        lambda s: s.mean(lambda i: i.average_iou),
    ),
    _Figure(
        "mIoU, SCSegamba-type", "largest mIoU over the thresholds 0.01 .. 0.99, so with a threshold chosen on the very "
        "set it is measured on; not to be compared with mIoU",
        lambda s: scores.best_mean_iou(s.curve, s.pixels.tp + s.pixels.fp + s.pixels.fn + s.pixels.tn),
    ),
    _Figure(
        "ODS@{r}px", "ODS of precision@{r}px and recall@{r}px (dilation tolerance)",
        lambda s: scores.best_f1(s.curve_near)[0],
    ),
    _Figure(
        "OIS@{r}px", "OIS of precision@{r}px and recall@{r}px (dilation tolerance)",
        lambda s: s.mean(lambda i: i.best_f1_near),
    ),
)  # fmt: skip

_CENTRELINE_FIGURES = (
    _Figure(
        "clDice", "harmonic mean of |S_P ∩ V_L| / |S_P| and |S_L ∩ V_P| / |S_L| at threshold {t}, S = centreline "
        "(skimage skeletonize), V = mask, P = prediction, L = label, pooled counts",
        lambda s: scores.f1(s.inside),
    ),
    _Figure(
        "clDice" + PER_IMAGE, f"clDice of each image at threshold {{t}}, {_MEAN}",
        lambda s: s.mean(lambda i: scores.f1(i.inside or MatchCounts())),
    ),
    _Figure(
        "clIoU", "tp / (tp + fp + fn) of centreline pixels at threshold {t}, tp = GT ∩ dil(pred), fp = pred outside "
        f"dil(GT), fn = GT - tp, dil = disk({CENTRELINE_RADIUS_PX}), pooled (OmniCrack)",
        lambda s: scores.centreline_iou(s.near_centreline),
    ),
)  # fmt: skip

_INSTANCE_FIGURES = (
    _Figure(
        "mAP@0.5", "average precision of connected components (8-connected, any size) at threshold {t}: true from a "
        f"mask IoU of {INSTANCE_IOU:g} on, ranked by mean probability over the whole set, area under the falling "
        "envelope, one class",
        lambda s: instance_precision(s.components),
    ),
)  # fmt: skip

_BSDS = (
    f"thinned prediction and thinned truth matched one to one within {MATCH_DISTANCE:g} of the diagonal "
    "(BSDS protocol, thresholds {b})"
)

_BOUNDARY_FIGURES = (
    _Figure(
        "ODS (BSDS)", f"best F1 of one threshold for the whole set, {_BSDS}",
        lambda s: scores.best_f1(s.boundary)[0],
    ),
    _Figure(
        "OIS (BSDS)", f"F1 of the counts summed over the images, each at its own best threshold, {_BSDS}",
        lambda s: scores.f1(s.boundary_best),
    ),
    _Figure(
        "AP (BSDS)", f"precision interpolated at the recalls 0, 0.01 .. 1, summed, over 100, {_BSDS}",
        lambda s: boundary_area(s.boundary),
    ),
)  # fmt: skip

_FALSE_ALARMS = _Figure(
    "false-alarm share",
    f"share of the images without a true crack pixel that have more than {FALSE_ALARM_PX} predicted at threshold {{t}}",
    _false_alarm_share,
)


def compute_figures(score: SetScore) -> dict[str, float]:
    """All figures of a set under their full names, in the order of the list. NaN is 'not defined'."""
    return {figure.name.format(**_words(score)): figure.compute(score) for figure in _figures(score)}


def describe_figures(score: SetScore) -> dict[str, str]:
    """The protocol of every figure of `compute_figures`, in one sentence each."""
    words = _words(score)
    return {figure.name.format(**words): figure.protocol.format(**words) for figure in _figures(score)}


def mean_figures(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each figure over the sets for which it is defined; every set weighs the same."""
    gathered: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            gathered.setdefault(name, []).extend([] if math.isnan(value) else [value])
    return {name: sum(values) / len(values) if values else scores.NOT_DEFINED for name, values in gathered.items()}


def _figures(score: SetScore) -> tuple[_Figure, ...]:
    chosen = (
        *_FIGURES, *(_INSTANCE_FIGURES if score.instances else ()),
        *(_BOUNDARY_FIGURES if score.boundary_every else ()), *(_CENTRELINE_FIGURES if score.centrelines else ()),
    )  # fmt: skip
    return (*chosen, _FALSE_ALARMS)


def _words(score: SetScore) -> dict[str, object]:
    step = score.boundary_every
    used = (boundary_indices(step)[[0, 1, -1]] + 1) / 100 if step else (0.0, 0.0, 0.0)
    thresholds = "{:g}, {:g} .. {:g}".format(*used)
    side = 2 * score.tolerance_px + 1
    return {"r": score.tolerance_px, "side": side, "t": f"{score.threshold:g}", "b": thresholds}
