"""BCE, Dice, skeleton recall and quiet, averaged over all supervised depths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; each term is 0 (perfect) to about 1."""

    bce: float = 1.0
    dice: float = 1.0
    skeleton: float = 0.5
    quiet: float = 0.0


def dice_loss(probability: Tensor, truth: Tensor) -> Tensor:
    """1 - Dice over the whole batch, all of shape (B, 1, H, W).

    Pooled over the batch, not per image: per image, a single false pixel on a crack-free image costs
    as much as a missed crack, and the network learns to stay silent.
    """
    overlap = (probability * truth).sum()
    return 1.0 - (2.0 * overlap + 1.0) / (probability.sum() + truth.sum() + 1.0)


def skeleton_recall_loss(probability: Tensor, tube: Tensor) -> Tensor:
    """1 - recall on the truth's skeleton, thickened to a narrow tube (Kirchhoff et al., ECCV 2024).

    A thin crack counts as much as a wide one of equal length, which Dice alone does not do.
    """
    return 1.0 - ((probability * tube).sum() + 1.0) / (tube.sum() + 1.0)


QUIET_PIXELS = 128


def quiet_loss(probability: Tensor, truth: Tensor) -> Tensor:
    """Mean of the highest probabilities of each crack-free image; 0 if every image holds a crack.

    A false line of a hundred pixels disappears in a mean over a whole crop, and in Dice over a batch it is
    cheap beside a missed crack. For a person it is an alarm: here it costs as much as it looks.
    """
    empty = truth.flatten(1).amax(dim=1) == 0
    if not bool(empty.any()):
        return probability.sum() * 0.0
    return probability[empty].flatten(1).topk(min(QUIET_PIXELS, truth[0].numel()), dim=1).values.mean()


def distill_loss(logits: list[Tensor], teacher: Tensor, taught: Tensor) -> Tensor:
    """Cross-entropy of every depth's map with a teacher's probabilities, mean; all of shape (B, 1, H, W).

    Where a label is loose or a crack left out, the teacher's doubt is the better lesson (Hinton et al. 2015).

    Args:
        logits: Maps of shape (B, 1, H, W).
        teacher: Probabilities of the same shape.
        taught: 1 for crops on which the teacher is heard and 0 for the others, which add nothing; (B, 1, 1, 1).
    """
    each = [F.binary_cross_entropy_with_logits(o.float(), teacher, reduction="none") * taught for o in logits]
    return torch.stack([loss.mean() for loss in each]).mean()


def crack_loss(logits: list[Tensor], truth: Tensor, tube: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """Terms and total, the depths weighted equally.

    Args:
        logits: Maps of shape (B, 1, H, W).
        truth: 0 or 1, shape (B, 1, H, W).
        tube: Skeleton tube, 0 or 1, shape (B, 1, H, W).
    Returns:
        ``bce``, ``dice``, ``skeleton``, if weighted ``quiet`` (unweighted means over depths) and ``total``.
    """
    maps = [o.float() for o in logits]
    bce = torch.stack([F.binary_cross_entropy_with_logits(o, truth) for o in maps]).mean()
    probabilities = [torch.sigmoid(o) for o in maps]
    dice = torch.stack([dice_loss(p, truth) for p in probabilities]).mean()
    skeleton = torch.stack([skeleton_recall_loss(p, tube) for p in probabilities]).mean()
    terms = {"bce": bce, "dice": dice, "skeleton": skeleton}
    total = weights.bce * bce + weights.dice * dice + weights.skeleton * skeleton
    if weights.quiet:
        terms["quiet"] = torch.stack([quiet_loss(p, truth) for p in probabilities]).mean()
        total = total + weights.quiet * terms["quiet"]
    return terms | {"total": total}
