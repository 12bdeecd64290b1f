"""The Lightning module: network, loss, averaged weights, schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fissura.errors import SettingsError
from fissura.nets import build_model, normalise
from fissura.nets.ga_cfae import Enhanced, body_of
from fissura.spec import CARD_KEY, ModelCard
from fissura.train.adversarial import Adversary
from fissura.train.config import TrainConfig
from fissura.train.dataset import to_float
from fissura.train.losses import LossWeights, crack_loss, distill_loss
from fissura.train.muon import Muon
from fissura.train.teacher import AnyTeacher
from fissura.train.together import gather_batch


class CrackModule(L.LightningModule):
    """Trains a network of `fissura.nets`; `averaged` holds the exponential moving average that ships."""

    def __init__(self, config: TrainConfig, card: ModelCard, teacher: AnyTeacher | None = None) -> None:
        super().__init__()
        self._ask: Callable[[Tensor], Tensor] | None = None if teacher is None else teacher.probability
        self.config, self.card = config, card
        self.net: nn.Module = build_model(card)
        self.net = self.net.to(memory_format=torch.channels_last)
        self.averaged = AveragedModel(self.net, multi_avg_fn=self._average, use_buffers=True)
        self.averaged.requires_grad_(False)
        self._frozen = [_part(body_of(self.net), name) for name in config.freeze]
        for part in self._frozen:
            part.requires_grad_(False).eval()
        self.adversary = Adversary(config.adversarial) if config.adversarial else None
        body = body_of(self.net)
        compiled = torch.compile(body) if config.compile else body
        # In a closure, or the compiled twin's weights would enter the checkpoint a second time.
        self._step_net: Callable[[Tensor], list[Tensor]] = lambda images: compiled(images)

    @property
    def enhancer_steps(self) -> int:
        """Steps at the start of the run in which the enhancer is trained alone."""
        adversarial = self.config.adversarial
        return adversarial.enhancer_steps if adversarial and adversarial.mode == "two_step" else 0

    @torch.no_grad()
    def _average(self, averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        # When the network's turn comes, what it was before its first step is no part of its mean.
        n = int(count) - (self.enhancer_steps if int(count) >= self.enhancer_steps else 0)
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

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part in getattr(self, "_frozen", ()):
            part.eval()  # or its BN statistics would move
        return self

    def on_fit_start(self) -> None:
        if self.enhancer_steps and self.trainer.world_size > 1:
            raise SettingsError(
                "adversarial: two_step leaves half of the model without a gradient, which "
                f"{self.trainer.world_size} processes cannot average; use one device, or mode: joint"
            )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        # Dropout depends on the seed and the step alone, as the samples do: a resumed run drops the same.
        seed = np.random.SeedSequence((self.config.seed, self.global_step)).generate_state(1, np.uint64)
        torch.manual_seed(int(seed[0]))
        values = to_float(batch)
        images = normalise(values["image"], self.card).contiguous(memory_format=torch.channels_last)
        terms = self._terms(images, values)
        # Not at every step of a GPU, which would have to wait; the log waits as often.
        looks = self.device.type == "cpu" or (self.global_step + 1) % self.trainer.log_every_n_steps == 0
        if looks and not torch.isfinite(terms["total"]):
            raise self._diverged(f"the loss is {float(terms['total'].detach())}")
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        self.log("loss", terms["total"].detach(), prog_bar=True, logger=False)
        return terms["total"]

    def check_finite(self) -> None:
        """Raise SettingsError if a weight is no number any more: such weights are not kept."""
        for name, value in self.averaged.module.state_dict().items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise self._diverged(f"the weights in {name} are no numbers any more")

    def _diverged(self, what: str) -> SettingsError:
        c = self.config
        lower = f"a lower learning_rate (now {c.learning_rate:g})"
        return SettingsError(
            f"{what} at step {self.global_step} of {c.steps}, so training stopped; start again in another folder with "
            f"{lower if c.precision == 'fp32' else f'{lower} or precision: fp32'}. The last checkpoint is from before"
        )

    def _terms(self, images: Tensor, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms of a step, by name, and ``total``, which is minimised."""
        alone = self.global_step < self.enhancer_steps
        frozen = not alone and self.enhancer_steps > 0
        seen, soft_map = images, None
        if isinstance(self.net, Enhanced):
            with torch.set_grad_enabled(not frozen and torch.is_grad_enabled()):
                seen, soft_map = self.net.enhance(images)
        terms: dict[str, Tensor] = {}
        if self.adversary is not None and soft_map is not None and not frozen:
            terms = self.adversary.challenge(images, soft_map, values["truth"])
            if alone:
                return terms | {"total": terms["generator"]}
        maps = self._step_net(seen.contiguous(memory_format=torch.channels_last))
        weights = LossWeights(**self.config.loss.model_dump())
        # Some terms pool over the batch, which several processes share.
        maps = [gather_batch(o.float()) for o in maps]
        values = {name: gather_batch(value) for name, value in values.items()}
        terms |= crack_loss(maps, values["truth"], values["tube"], weights)
        if self._ask is not None and self.config.distill is not None:
            terms["distill"] = distill_loss(maps, self._ask(values["image"]), values["taught"])
            terms["total"] = terms["total"] + self.config.distill.weight * terms["distill"]
        if "generator" in terms:
            terms["total"] = terms["total"] + terms["generator"]
        return terms

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        if self.adversary is None or gradient_clip_val is None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        # Apart, or the generator's large weights would scale the network's steps down.
        for group in self._parts():
            torch.nn.utils.clip_grad_norm_(group, gradient_clip_val)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # Here and not at the batch's end: callbacks, the checkpoint among them, come before the module then.
        self.averaged.update_parameters(self.net)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.check_finite()
        # With its card, a checkpoint alone is enough for `fissura export`.
        checkpoint[CARD_KEY] = self.card.model_dump_json()
        if self.adversary is not None:
            checkpoint["adversary"] = self.adversary.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.adversary is not None:
            self.adversary.load_state_dict(checkpoint["adversary"])

    def _parts(self) -> list[list[nn.Parameter]]:
        """Parameters of the training's optimizer, and those of an adversarially trained enhancer."""
        if self.adversary is None or not isinstance(self.net, Enhanced):
            return [list(self.net.parameters())]
        return [list(self.net.network.parameters()), list(self.net.enhancer.parameters())]

    def configure_optimizers(self) -> Any:
        c = self.config
        network, *enhancer = self._parts()
        groups: list[dict[str, Any]] = [
            {"params": [p for p in network if p.ndim > 1], "weight_decay": c.weight_decay},
            {"params": [p for p in network if p.ndim <= 1], "weight_decay": 0.0},
        ]
        first = self.enhancer_steps
        factors = [lambda step: rate_factor(step, c, first)] * 2
        if enhancer and c.adversarial is not None:
            # Without decay AdamW is Adam, so that one optimizer, one schedule and one checkpoint hold all.
            own = {"lr": c.adversarial.learning_rate, "betas": c.adversarial.betas, "weight_decay": 0.0}
            groups.append({"params": enhancer[0], "matrices": False} | own)
            factors.append((lambda step: rate_factor(step, c)) if not first else (lambda step: 1.0))
        optimizer = (Muon if c.optimizer == "muon" else torch.optim.AdamW)(groups, lr=c.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _part(net: nn.Module, name: str) -> nn.Module:
    part = getattr(net, name, None)
    if not isinstance(part, nn.Module):
        parts = ", ".join(child for child, _ in net.named_children())
        raise SettingsError(f"freeze names '{name}', which the network does not have; it has {parts}")
    return part


def rate_factor(step: int, config: TrainConfig, first: int = 0) -> float:
    """Learning rate at a step, as a share of the full one: rise (from step ``first`` on), plateau, linear fall to zero.

    The plateau is what lets a run be prolonged: a checkpoint from it fits any later total.
    """
    step, steps = max(step - first, 0), config.steps - first
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    start = steps * (1.0 - config.decay_share)
    if step <= start:
        return 1.0
    return max(0.0, (steps - step) / (steps - start))
