"""Adversarial training of an enhancer's soft map (GA-CFAE), beside the training of the network or before it.

The generator is the enhancer. Its loss, with the published weights as defaults (`AdversarialConfig`)::

    0.1 · adversarial + 10 · content + 2 · (0.8 · edge + 0.2 · continuity)

The discriminator (`fissura.nets.discriminator`) sees the image together with a soft map: the softened mask or the
generated one. Both sides are soft, and what is judged is what is trained. It takes one step of Adam for each step of
the training, before the generator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fissura.nets.discriminator import PatchDiscriminator
from fissura.train.adversarial_losses import (
    content_loss,
    continuity_loss,
    edge_loss,
    judged_fake,
    judged_true,
    soften,
)
from fissura.train.config import AdversarialConfig


class Adversary:
    """The discriminator with its optimizer, and the generator's loss.

    No module: it is no part of the model, its gradients are not those of the training's own optimizer, and several
    processes average them here.
    """

    def __init__(self, config: AdversarialConfig) -> None:
        self.config = config
        self.discriminator = PatchDiscriminator(config.discriminator_width)
        self.optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=config.discriminator_learning_rate, betas=config.betas
        )

    def challenge(self, images: Tensor, soft_map: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator, then what it and the masks think of the generator.

        Args:
            images: Normalised, (B, 3, H, W).
            soft_map: The enhancer's map of these images, (B, 1, H, W), with its gradient.
            truth: Masks 0 or 1, (B, 1, H, W).
        Returns:
            ``discriminator`` (its loss, detached), ``adversarial``, ``content``, ``edge``, ``continuity`` (unweighted)
            and ``generator``, their weighted sum, which is to be minimised by the enhancer.
        """
        self._to(images.device)
        target, soft_map = soften(truth), soft_map.float()
        found = self._teach(images, soft_map.detach(), target)
        # A constant here: the generator must not move what judges it.
        self.discriminator.requires_grad_(False)
        adversarial = judged_true(self.discriminator(images, soft_map))
        self.discriminator.requires_grad_(True)
        c = self.config
        terms = {
            "adversarial": adversarial,
            "content": content_loss(soft_map, target, balanced=c.balanced),
            "edge": edge_loss(soft_map, target),
            "continuity": continuity_loss(soft_map, truth, reach_px=c.reach_px),
        }
        structure = c.edge * terms["edge"] + c.continuity * terms["continuity"]
        total = c.adversarial * terms["adversarial"] + c.content * terms["content"] + c.structure * structure
        return terms | {"discriminator": found, "generator": total}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on exactly."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _teach(self, images: Tensor, fake: Tensor, target: Tensor) -> Tensor:
        """One step of the discriminator; returns its loss before the step."""
        # One pass for both sides: the spectral norm's estimate then moves once, and both are judged by it.
        logits = self.discriminator(torch.cat([images, images]), torch.cat([target, fake]))
        true, generated = logits.chunk(2)
        loss = 0.5 * (judged_true(true) + judged_fake(generated))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        _average_over_processes(self.discriminator)
        self.optimizer.step()
        return loss.detach()

    def _to(self, device: torch.device) -> None:
        if next(self.discriminator.parameters()).device != device:
            self.discriminator.to(device)
            self.optimizer.load_state_dict(self.optimizer.state_dict())  # moves the moments too


def _average_over_processes(module: nn.Module) -> None:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    for parameter in module.parameters():
        if parameter.grad is not None:
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= torch.distributed.get_world_size()
