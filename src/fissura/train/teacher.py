"""A trained network that another one learns from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fissura.nets import build_model, load_state, normalise, read_weights


class Teacher:
    """A frozen network behind its own preprocessing. No module, so that it never enters a student's checkpoint.

    Args:
        weights: A .safetensors file with a model card.
        compiled: Compile it as the student is.
    Raises:
        ModelError: The file is no model of ours.
    """

    def __init__(self, weights: Path, *, compiled: bool = False) -> None:
        state, self.card = read_weights(weights)
        self.net = build_model(self.card).to(memory_format=torch.channels_last)
        load_state(self.net, state, source=str(weights))
        self.net.eval().requires_grad_(False)
        self._run = torch.compile(self.net) if compiled else self.net

    @torch.no_grad()
    def probability(self, images: Tensor) -> Tensor:
        """Probabilities (B, 1, H, W), float32, for images (B, 3, H, W) with values 0 to 1."""
        self.net.to(images.device)
        ready = normalise(images, self.card).contiguous(memory_format=torch.channels_last)
        return torch.sigmoid(self._run(ready)[-1].float())
