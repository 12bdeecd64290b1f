"""Muon: momentum whose update is made orthogonal, for the convolutions of a small network.

Source: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks"; the step size
that matches AdamW's follows Liu et al. (2025), arXiv:2502.16982. Written from the descriptions.

A convolution (out, in, kh, kw) is taken as the matrix (out, in*kh*kw). What remains (biases, norms) goes
through AdamW in the same optimizer, so that one checkpoint and one schedule hold both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration: steep at zero, so that five steps are enough; exact 1 is not needed."""
RMS_OF_ADAM = 0.2
"""Typical size of AdamW's update, so that learning rates can be carried over."""


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearest matrices with about equal singular values (0.7 to 1.2), by a Newton-Schulz iteration.

    Args:
        matrices: Shape (N, rows, columns).
        steps: Iterations.
    Returns:
        The same shape, float32.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices.float()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for parameters of two and more dimensions, AdamW for the others.

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate, on the scale of AdamW's.
        momentum: Of the orthogonalised momentum (Nesterov).
        betas: Of AdamW.
        weight_decay: Decoupled.

    A group with ``"matrices": False`` goes through AdamW with all its parameters.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "betas": betas, "eps": 1e-8, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.ndim > 1 and group.get("matrices", True):
                    shapes[p.flatten(1).shape].append(p)
                else:
                    self._adam(p, group)
            # Matrices of one shape go through the iteration together: many small products are slow.
            for shape, members in shapes.items():
                self._muon(members, shape, group)
        return loss

    def _muon(self, members: list[Tensor], shape: torch.Size, group: dict[str, Any]) -> None:
        pushes = []
        for p in members:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            pushes.append(p.grad.lerp(state["momentum"], group["momentum"]).flatten(1))
        updates = orthogonalised(torch.stack(pushes)) * (RMS_OF_ADAM * max(shape) ** 0.5)
        for p, update in zip(members, updates, strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(update.reshape(p.shape), alpha=-group["lr"])

    def _adam(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"], state["mean"], state["square"] = 0, torch.zeros_like(p), torch.zeros_like(p)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        state["mean"].lerp_(p.grad, 1 - beta1)
        state["square"].lerp_(p.grad.square(), 1 - beta2)
        mean = state["mean"] / (1 - beta1 ** state["step"])
        square = state["square"] / (1 - beta2 ** state["step"])
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.addcdiv_(mean, square.sqrt().add_(group["eps"]), value=-group["lr"])
