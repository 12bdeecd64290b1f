"""The Lightning module: network, loss, averaged weights, schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fissura.nets import build, normalise
from fissura.spec import CARD_KEY, ModelCard
from fissura.train.config import TrainConfig
from fissura.train.dataset import to_float
from fissura.train.losses import LossWeights, crack_loss
from fissura.train.muon import Muon


class CrackModule(L.LightningModule):
    """Trains a network of `fissura.nets`; `averaged` holds the exponential moving average that ships."""

    def __init__(self, config: TrainConfig, card: ModelCard) -> None:
        super().__init__()
        self.config, self.card = config, card
        self.net: nn.Module = build(card.architecture, card.architecture_options)
        self.net = self.net.to(memory_format=torch.channels_last)
        self.averaged = AveragedModel(self.net, multi_avg_fn=self._average, use_buffers=True)
        self.averaged.requires_grad_(False)
        compiled = torch.compile(self.net) if config.compile else self.net
        # In a closure, or the compiled twin's weights would enter the checkpoint a second time.
        self._step_net: Callable[[Tensor], list[Tensor]] = lambda images: compiled(images)

    @torch.no_grad()
    def _average(self, averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        n = int(count)
        # A young average would otherwise carry the initial weights for thousands of steps.
        keep = min(self.config.ema, (1 + n) / (10 + n))
        for a, b in zip(averaged, current, strict=True):
            if a.is_floating_point():
                a.lerp_(b, 1.0 - keep)
            else:
                a.copy_(b)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities (B, 1, H, W) of the averaged network for images with values 0 to 1."""
        return torch.sigmoid(self.averaged(normalise(images, self.card))[-1].float())

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        values = to_float(batch)
        images = normalise(values["image"], self.card).contiguous(memory_format=torch.channels_last)
        weights = LossWeights(**self.config.loss.model_dump())
        terms = crack_loss(self._step_net(images), values["truth"], values["tube"], weights)
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        self.log("loss", terms["total"].detach(), prog_bar=True, logger=False)
        return terms["total"]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # Here and not at the batch's end: callbacks, the checkpoint among them, come before the module then.
        self.averaged.update_parameters(self.net)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # With its card, a checkpoint alone is enough for `fissura export`.
        checkpoint[CARD_KEY] = self.card.model_dump_json()

    def configure_optimizers(self) -> Any:
        c = self.config
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        others = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": c.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = (Muon if c.optimizer == "muon" else torch.optim.AdamW)(groups, lr=c.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, c))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_factor(step: int, config: TrainConfig) -> float:
    """Learning rate at a step, as a share of the full one: rise, plateau, linear fall to zero.

    The plateau is what lets a run be prolonged: a checkpoint from it fits any later total.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    start = config.steps * (1.0 - config.decay_share)
    if step <= start:
        return 1.0
    return max(0.0, (config.steps - step) / (config.steps - start))
