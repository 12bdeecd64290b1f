"""Start a network's encoder from weights that the user has (ImageNet, or a crack network of his own).

Nothing is downloaded and nothing is shipped: many such files are for research only, and their terms then hold for
what is trained from them (`ModelCard.strictest_terms`). From a file to a training::

    net = build("deeplab_v3_plus", {"depth": 50})
    print(load_encoder(net, Path("resnet50.safetensors")).summary())
    save_weights(Path("start.safetensors"), net, card)     # and in the recipe: init: start.safetensors

Parameters are compared by name and shape. Whatever stands before the names in the file (``module.``,
``backbone.``, ``encoder.`` ...) is found and dropped. Names are those of torchvision and timm for the ResNets
(``bisenet_v1``, ``deeplab_v3_plus``, ``swiftnet``), for ``hrnet`` (timm's ``hrnet_w18`` and ``hrnet_w48``) and for
``mobilenet_v3`` (torchvision's large one; in full with ``reduced_tail: false``).

Those weights were made for mean (0.485, 0.456, 0.406) and std (0.229, 0.224, 0.225). The card's 0.5 and 0.25, with
which `fissura train` normalises, are about a tenth off; the training has to take that up.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fissura.errors import ModelError

LEAST_SHARE = 0.5
"""Share of the encoder's tensors that a file must fill."""

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_COUNTERS = "num_batches_tracked"


@dataclass(frozen=True)
class EncoderLoad:
    """What came from a file.

    Attributes:
        matched: Tensors of the encoder that were filled.
        total: Tensors of the encoder.
        fresh: Names of those that the file does not have; they keep their fresh values.
        misfits: Names found with another shape, likewise left as they were.
        unused: Names in the file that have no place in the encoder (a classifier, for example).
    """

    matched: int
    total: int
    fresh: tuple[str, ...]
    misfits: tuple[str, ...]
    unused: tuple[str, ...]

    def summary(self) -> str:
        """One line for people."""
        parts = [f"{self.matched} of {self.total} tensors of the encoder loaded"]
        for names, what in (
            (self.fresh, "not in the file"), (self.misfits, "of another shape"), (self.unused, "of the file unused")
        ):  # fmt: skip
            if names:
                parts.append(f"{len(names)} {what} ({_some(names)})")
        return "; ".join(parts)


def load_encoder(net: nn.Module, path: Path) -> EncoderLoad:
    """Fill the encoder of a network from a file.

    Args:
        net: A network of `fissura.nets.NETWORKS` with an ``encoder``. Changed in place.
        path: ``.safetensors``, or ``.pth``/``.pt``/``.bin`` with tensors only (nothing else in it is executed).
    Returns:
        What was filled and what was not.
    Raises:
        ModelError: The network has no encoder, the file cannot be read, or it fits less than half of the encoder
            (the network is then unchanged).
    """
    encoder = getattr(net, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise ModelError(
            f"{type(net).__name__} has no encoder to start from other weights; networks that have one: bisenet_v1, "
            "deeplab_v3_plus, hrnet, mobilenet_v3, stdc, swiftnet"
        )
    wanted = {name: t for name, t in encoder.state_dict().items() if not name.endswith(_COUNTERS)}
    found = _without_prefix(_read_tensors(path), wanted)
    fitting = {name: t for name, t in found.items() if name in wanted and t.shape == wanted[name].shape}
    report = EncoderLoad(
        matched=len(fitting),
        total=len(wanted),
        fresh=tuple(sorted(wanted.keys() - found.keys())),
        misfits=tuple(sorted((wanted.keys() & found.keys()) - fitting.keys())),
        unused=tuple(sorted(name for name in found.keys() - wanted.keys() if not name.endswith(_COUNTERS))),
    )
    if report.matched < LEAST_SHARE * report.total:
        raise ModelError(f"{path} does not fit the encoder of {type(net).__name__}: {report.summary()}{_advice(found)}")
    encoder.load_state_dict(fitting, strict=False)
    return report


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"{path} does not exist; name a .safetensors or .pth file with weights")
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(str(path))
        else:
            # Tensors and plain values only: a file from a stranger must not run code.
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path} is no readable file of weights: {reason}; save its state_dict as .safetensors or .pth"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise ModelError(f"{path} holds {type(content).__name__}, not tensors by name; save its state_dict")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _without_prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what stands before the names: of all prefixes, the one under which most names are wanted."""
    prefixes: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in wanted:
                prefixes[".".join([*parts[:cut], ""])] += 1
    if not prefixes:
        return dict(state)
    prefix = min(prefixes, key=lambda p: (-prefixes[p], len(p)))
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _advice(state: Mapping[str, Tensor]) -> str:
    """What to do with a file that does not fit."""
    blocks = {name.split(".")[1] for name in state if name.startswith("layer3.")}
    depth = {2: "18", 6: "50" if "layer1.0.conv3.weight" in state else "34", 23: "101"}.get(len(blocks))
    if depth and "conv1.0.weight" in state:
        return f". It is a ResNet-{depth} with a deep stem (ResNet-C or -D); take one whose stem is a single 7x7"
    if depth:
        return f". It is a ResNet-{depth}: build the network with depth={depth} and a width of 64, where it takes that"
    return ". Take weights of the very trunk that the network's header names"


def _some(names: tuple[str, ...], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
