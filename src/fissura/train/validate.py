"""Watch a training on the validation sets: the averaged network, whole images, the shipped tiling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from fissura.data.pairs import Pair, find_pairs, spread
from fissura.errors import FissuraError
from fissura.infer.segmenter import Segmenter
from fissura.metrics.evaluation import evaluate
from fissura.train.config import TrainConfig
from fissura.train.dataset import split_held_back
from fissura.train.module import CrackModule
from fissura.types import Probability, RgbImage


class ModuleBackend:
    """A network that is being trained, as an engine: the same tiles, blending and threshold as after export."""

    def __init__(self, module: CrackModule) -> None:
        self.card = module.card
        self.description = "torch, in training"
        self._module = module

    def predict_tiles(self, tiles: Iterable[RgbImage]) -> Iterator[Probability]:
        """See `fissura.infer.Backend`."""
        device = self._module.device
        for tile in tiles:
            with torch.inference_mode():
                image = torch.from_numpy(np.array(tile)).to(device).permute(2, 0, 1)[None].float() / 255.0
                probability: Probability = self._module(image)[0, 0].cpu().numpy()
            yield probability


class Validation(Callback):
    """Logs F1 and F1@2px of every validation set, and their means, every ``validate_every`` steps."""

    def __init__(self, config: TrainConfig, say: Any = print) -> None:
        self._every, self._say = config.validate_every, say
        self._left_out: set[Pair] = set()
        self._sets = {
            folder: spread(find_pairs(Path(config.data_root) / folder), config.validation_limit)
            for folder in config.validate_on
        }
        root = Path(config.data_root)
        held = {entry.path(root).resolve(): entry for entry in config.train if entry.hold_back}  # may be listed twice
        folders = [entry.folder for entry in held.values()]
        for path, entry in held.items():
            name = entry.folder if folders.count(entry.folder) == 1 else str(path)
            pairs = split_held_back(find_pairs(path), entry)[1]
            self._sets[f"{name} (held back)"] = spread(pairs, config.validation_limit)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if not self._sets or not trainer.is_global_zero or (step % self._every and step != trainer.max_steps):
            return
        assert isinstance(module, CrackModule)
        module.check_finite()
        module.averaged.eval()
        segmenter = Segmenter(ModuleBackend(module))
        figures: dict[str, float] = {}
        for name, pairs in self._sets.items():
            values = evaluate(segmenter, pairs, centrelines=False, on_error=self._leave_out).figures()
            figures |= {f"validation/{name} {key}": values[key] for key in ("F1", "F1@2px")}
        for key in ("F1", "F1@2px"):
            # A set without any crack has no F1 as long as there is no false alarm.
            known = [v for k, v in figures.items() if k.endswith(f" {key}") and not math.isnan(v)]
            figures[f"validation/mean {key}"] = float(np.mean(known)) if known else math.nan
        if trainer.logger is not None:
            trainer.logger.log_metrics(figures, step=step)
        self._say(f"step {step}: validation " + ", ".join(f"{k[11:]} {v:.3f}" for k, v in figures.items()))
        module.averaged.train()

    def _leave_out(self, pair: Pair, error: FissuraError) -> None:
        """One bad picture that is only watched takes no training with it."""
        if pair not in self._left_out:
            self._left_out.add(pair)
            self._say(f"not in validation: {error}")
