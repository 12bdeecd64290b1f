"""A wider network that starts where a narrower one of the same architecture stands.

Source: Chen, Goodfellow and Shlens, "Net2Net", ICLR 2016, arXiv:1511.05641: channels are repeated, and the weights
that read a repeated channel share the old weight between the copies, so that the outputs stay what they were.
Here the shares are drawn at random, entry by entry: the copies then receive different gradients and
part, without noise that would change the function.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fissura.errors import ModelError


def widen_state(
    narrow: Mapping[str, Tensor], wide: nn.Module, *, base: tuple[int, int], seed: int = 0
) -> dict[str, Tensor]:
    """Weights for a wider network that compute what the narrower one computed.

    Args:
        narrow: State of the narrow network.
        wide: The network the weights are for: same parameter names, one width for all layers.
        base: Narrow and wide width (c). Sizes of c/2, c and 2c are widened, all others must agree.
        seed: Of the shares between copies.
    Returns:
        A state that `wide` loads strictly.
    Raises:
        ModelError: The networks differ in more than their width, or the wide one is narrower or more than
            twice as wide.
    """
    small, large = base
    if not small < large <= 2 * small:
        raise ModelError(f"cannot widen from {small} to {large} channels; give a width up to {2 * small}")
    random = torch.Generator().manual_seed(seed)
    half = torch.arange(large // 2) % (small // 2)
    whole = torch.cat([half, half + small // 2])  # the two halves of a stem are widened each in its place
    double = torch.cat([whole, whole + small])
    sources = {small // 2: half, small: whole, 2 * small: double}

    def channels(old: int, new: int, name: str) -> Tensor:
        if old == new:
            return torch.arange(old)
        if old in sources and len(sources[old]) == new:
            return sources[old]
        raise ModelError(f"{name} has {old} channels in one network and {new} in the other: not only the width differs")

    state: dict[str, Tensor] = {}
    for name, target in wide.state_dict().items():
        if name not in narrow or narrow[name].ndim != target.ndim:
            raise ModelError(f"the narrow network has no {name} that fits: not only the width differs")
        value = narrow[name]
        if value.ndim:
            value = value[channels(value.shape[0], target.shape[0], name)]
        if value.ndim > 1:
            value = _share(value, channels(value.shape[1], target.shape[1], name), random)
        state[name] = value.to(target.dtype).clone()
    return state


def _share(weight: Tensor, source: Tensor, random: torch.Generator) -> Tensor:
    """Repeat input channels of (out, in, ...) and divide each weight between its copies."""
    shares = torch.rand((weight.shape[0], len(source), *weight.shape[2:]), generator=random) * 0.8 + 0.1
    total = torch.zeros_like(weight).index_add_(1, source, shares)
    return weight[:, source] * shares / total[:, source]
