"""Training crops: a map from an index to a sample, the same on every machine and after every resume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage.morphology import skeletonize
from torch import Tensor
from torch.utils.data import Dataset

from fissura.data.pairs import Pair, find_pairs, read_mask, spread
from fissura.errors import DataError, ImageError
from fissura.imaging.read import read_image
from fissura.synth.crops import draw_distractor, render_training_crop
from fissura.train.augment import CropGeometry, cut_crop, photograph
from fissura.train.config import SetConfig, TrainConfig
from fissura.types import BoolMask, RgbImage


@dataclass(frozen=True)
class LoadedSet:
    """A training set in memory."""

    config: SetConfig
    images: list[RgbImage]
    masks: list[BoolMask]


def read_training_set(config: SetConfig, data_root: Path) -> LoadedSet:
    """Decode all pairs of a set.

    Raises:
        DataError: A file cannot be read, or sizes differ; the file is named.
    """
    images, masks = [], []
    for pair in split_held_back(find_pairs(config.path(data_root)), config)[0]:
        image = read_rgb(pair.image)
        mask = read_mask(pair.mask, size_hw=image.shape[:2])
        if config.dilate:
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * config.dilate + 1,) * 2)
            mask = cv2.dilate(mask.astype(np.uint8), kernel) > 0
        images.append(image)
        masks.append(mask)
    return LoadedSet(config, images, masks)


def split_held_back(pairs: Sequence[Pair], config: SetConfig) -> tuple[list[Pair], list[Pair]]:
    """The pairs to train on and those that ``hold_back`` keeps from it, both without those of ``exclude``.

    Raises:
        DataError: Nothing would be left to train on, or there is no image of an excluded name.
    """
    absent = set(config.exclude) - {pair.stem for pair in pairs}
    if absent:
        raise DataError(f"{config.folder} has no image {', '.join(sorted(absent))} to exclude")
    pairs = [pair for pair in pairs if pair.stem not in config.exclude]
    if not pairs:
        raise DataError(f"{config.folder} has no image left to train on; exclude names all of them")
    if not config.hold_back:
        return pairs, []
    if config.hold_back >= len(pairs):
        raise DataError(f"{config.folder} has {len(pairs)} pairs; hold_back is {config.hold_back} and leaves none")
    kept = spread(pairs, config.hold_back)
    held = {pair.image for pair in kept}
    return [pair for pair in pairs if pair.image not in held], kept


def read_rgb(path: Path) -> RgbImage:
    """A training photograph as it is segmented later: orientation applied, deeper ones stretched. Raises DataError."""
    try:
        return read_image(path).rgb
    except ImageError as error:
        raise DataError(f"cannot read the image {path}: {error}") from error


class CropDataset(Dataset[dict[str, Tensor]]):
    """Sample ``i`` depends on (seed, i) and the data alone.

    Each sample: ``image`` uint8 (3, T, T), ``truth`` and ``tube`` uint8 (1, T, T), ``taught`` uint8 (1, 1, 1): 1 where
    a teacher is heard.
    """

    def __init__(self, sets: Sequence[LoadedSet], config: TrainConfig) -> None:
        self.sets = list(sets)
        self.config = config
        weights = np.array([s.config.weight for s in sets])
        self.share = np.cumsum(weights / weights.sum())

    def __len__(self) -> int:
        return self.config.steps * self.config.batch

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, index))
        tile = self.config.tile
        if rng.random() < self.config.synthetic:
            image, truth = render_training_crop(
                rng, tile, crack_probability=0.5, wide=self.config.synthetic_wide
            )
            taught = True
        else:
            chosen = self.sets[min(int(np.searchsorted(self.share, rng.random())), len(self.sets) - 1)]
            k = int(rng.integers(len(chosen.images)))
            geometry = CropGeometry(scale=chosen.config.scale, rotate=self.config.turned)
            taught = chosen.config.distilled
            image, truth = cut_crop(rng, chosen.images[k], chosen.masks[k], tile, geometry)
            if self.config.distractors and rng.random() < self.config.distractors:
                image, truth = draw_distractor(rng, image, truth, self.config.distractor_kinds)
                taught = False  # these are what a teacher may take for cracks
        image = photograph(rng, image)
        tube = cv2.dilate(skeletonize(truth).astype(np.uint8), np.ones((3, 3), np.uint8))
        return {
            "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            "truth": torch.from_numpy(truth.astype(np.uint8)[None]),
            "tube": torch.from_numpy((tube * truth)[None]),
            "taught": torch.full((1, 1, 1), int(taught), dtype=torch.uint8),
        }


def to_float(batch: dict[str, Tensor]) -> dict[str, Any]:
    """uint8 images to 0 to 1, masks to 0 or 1, as float32."""
    return {
        "image": batch["image"].float().div_(255.0),
        "truth": batch["truth"].float(),
        "tube": batch["tube"].float(),
        "taught": batch["taught"].float(),
    }
