"""Networks, one file each, and the one place that builds, saves and loads them.

Needs the extra ``fissura[train]`` (torch).
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fissura.errors import ModelError, OutputError
from fissura.nets.bisenet_v1 import BiSeNetV1, BiSeNetV1Config
from fissura.nets.bisenet_v2 import BiSeNetV2, BiSeNetV2Config
from fissura.nets.deeplab_v3_plus import DeepLabV3Plus, DeepLabV3PlusConfig
from fissura.nets.enet import ENet, ENetConfig
from fissura.nets.ga_cfae import Enhanced, build_enhancer
from fissura.nets.group import Group, GroupConfig
from fissura.nets.hacnet import HACNet, HACNetConfig
from fissura.nets.hacnet_v2 import HACNetV2, HACNetV2Config
from fissura.nets.hacnet_v2_pyramid import HACNetV2Pyramid, HACNetV2PyramidConfig
from fissura.nets.hacnet_v2_single import HACNetV2Single, HACNetV2SingleConfig
from fissura.nets.hrnet import HRNet, HRNetConfig
from fissura.nets.ladder import Ladder, LadderConfig
from fissura.nets.layers import fold_norms
from fissura.nets.mobilenet_v3 import MobileNetV3, MobileNetV3Config
from fissura.nets.stdc import STDC, STDCConfig
from fissura.nets.swiftnet import SwiftNet, SwiftNetConfig
from fissura.nets.unet import UNet, UNetConfig
from fissura.nets.views import Views, ViewsConfig
from fissura.spec import ModelCard

LARGE = 1024
"""Numbers that a tensor has at least, to be rounded where `ModelCard.weights_bits` is 16."""

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "bisenet_v1": lambda **options: BiSeNetV1(BiSeNetV1Config(**options)),
    "bisenet_v2": lambda **options: BiSeNetV2(BiSeNetV2Config(**options)),
    "deeplab_v3_plus": lambda **options: DeepLabV3Plus(DeepLabV3PlusConfig(**options)),
    "enet": lambda **options: ENet(ENetConfig(**options)),
    "group": lambda **options: Group(GroupConfig(**options), build),
    "hacnet": lambda **options: HACNet(HACNetConfig(**options)),
    "hacnet_v2": lambda **options: HACNetV2(HACNetV2Config(**options)),
    "hacnet_v2_pyramid": lambda **options: HACNetV2Pyramid(HACNetV2PyramidConfig(**options)),
    "hacnet_v2_single": lambda **options: HACNetV2Single(HACNetV2SingleConfig(**options)),
    "hrnet": lambda **options: HRNet(HRNetConfig(**options)),
    "ladder": lambda **options: Ladder(LadderConfig(**options)),
    "mobilenet_v3": lambda **options: MobileNetV3(MobileNetV3Config(**options)),
    "stdc": lambda **options: STDC(STDCConfig(**options)),
    "swiftnet": lambda **options: SwiftNet(SwiftNetConfig(**options)),
    "unet": lambda **options: UNet(UNetConfig(**options)),
    "views": lambda **options: Views(ViewsConfig(**options), build),
}


def build(architecture: str, options: Mapping[str, Any] | None = None) -> nn.Module:
    """A network with fresh weights.

    Args:
        architecture: A key of `NETWORKS`.
        options: Its configuration, as in the model card's ``architecture_options``.
    Raises:
        ModelError: Unknown architecture, or options it does not take.
    """
    if architecture not in NETWORKS:
        raise ModelError(f"unknown architecture {architecture!r}; known: {', '.join(sorted(NETWORKS))}")
    try:
        return NETWORKS[architecture](**(options or {}))
    except (TypeError, ValueError) as error:
        raise ModelError(f"architecture_options of {architecture}: {error}") from error


def build_model(card: ModelCard) -> nn.Module:
    """What a card describes, with fresh weights: its network, behind its enhancer if it has one.

    The network's own fresh weights do not depend on the enhancer: it is built first.

    Raises:
        ModelError: Unknown architecture or enhancer, or options they do not take.
    """
    network = build(card.architecture, card.architecture_options)
    if card.enhancer is None:
        return network
    return Enhanced(network, build_enhancer(card.enhancer), mean=card.mean, std=card.std)


def parameter_count(net: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(p.numel() for p in net.parameters())


def save_weights(path: Path, net: nn.Module, card: ModelCard) -> None:
    """Write a network's weights as safetensors, with its card in the metadata; replaced in one step.

    Large tensors are rounded where the card says so (`ModelCard.weights_bits`), after `fold_norms`.

    Raises:
        OutputError: The file cannot be written. What was there before stays as it is.
    """
    if card.weights_bits == 16:
        net = copy.deepcopy(net)
        fold_norms(net)
    state = {name: tensor.detach().contiguous().cpu() for name, tensor in net.state_dict().items()}
    if card.weights_bits == 16:
        state = {name: _halved(tensor) for name, tensor in state.items()}
    partial = path.with_name(f".{path.name}.partial")
    try:
        save_file(state, str(partial), metadata=card.to_metadata())
        partial.chmod(0o644)  # safetensors writes for the owner alone, which a package cannot use
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (SafetensorError, OSError) as error:
        partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write {path}: {reason}; make room or choose another place with --out") from error


def _halved(tensor: Tensor) -> Tensor:
    """In half precision, if it is large and none of its numbers is too great for it."""
    if not tensor.is_floating_point() or tensor.numel() < LARGE or tensor.abs().max() > torch.finfo(torch.float16).max:
        return tensor
    return tensor.half()


def read_weights(path: Path) -> tuple[dict[str, Tensor], ModelCard]:
    """Tensors, those in half precision made single, and card of a safetensors file.

    Raises:
        ModelError: The file is missing, no safetensors, or has no card.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is no safetensors file: {error}") from error
    state = {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
    return state, ModelCard.from_metadata(metadata, source=str(path))


def load_weights(path: Path) -> tuple[nn.Module, ModelCard]:
    """A network in evaluation mode with its weights, and its card.

    Raises:
        ModelError: The file cannot be used, or its tensors do not fit its architecture.
    """
    state, card = read_weights(path)
    net = build_model(card)
    load_state(net, state, source=str(path))
    return net.eval(), card


def load_state(net: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Strictly load tensors; nothing may be missing, left over or of another shape."""
    try:
        net.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if len(str(error).splitlines()) > 1 else str(error)
        raise ModelError(f"the weights in {source} do not fit the network: {first}") from error


def normalise(images: Tensor, card: ModelCard) -> Tensor:
    """Values 0 to 1, shape (B, 3, H, W), to what the network sees."""
    mean = torch.tensor(card.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(card.std, device=images.device).view(1, 3, 1, 1)
    return (images - mean) / std
