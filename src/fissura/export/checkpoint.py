"""Trained weights from what a training leaves behind."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fissura.errors import ModelError
from fissura.nets import build_model, load_state, load_weights
from fissura.spec import CARD_KEY, ModelCard

_AVERAGED = "averaged.module."


def load_trained(path: Path) -> tuple[nn.Module, ModelCard]:
    """A network in evaluation mode, and its card.

    Args:
        path: A ``.safetensors`` file, or a ``.ckpt`` of `fissura train`, of which the averaged weights are taken.
    Raises:
        ModelError: The file cannot be used.
    """
    if path.suffix == ".safetensors":
        return load_weights(path)
    if path.suffix != ".ckpt":
        raise ModelError(f"{path} is neither a .safetensors nor a .ckpt file; name what 'fissura train' wrote")
    checkpoint = _read_checkpoint(path)
    if CARD_KEY not in checkpoint:
        raise ModelError(
            f"the checkpoint {path} holds no model card; let 'fissura train' finish or go on with this fissura, "
            "or name the .safetensors file"
        )
    card = ModelCard.from_metadata({CARD_KEY: str(checkpoint[CARD_KEY])}, source=str(path))
    tensors = checkpoint.get("state_dict", {})
    state = {name.removeprefix(_AVERAGED): tensor for name, tensor in tensors.items() if name.startswith(_AVERAGED)}
    net = build_model(card)
    load_state(net, state, source=str(path))
    return net.eval(), card


def _read_checkpoint(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path} does not exist; see the folder 'checkpoints' of the training run")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is no checkpoint or is cut short; name a .ckpt of 'fissura train'")
    try:
        # Tensors and plain values only: a checkpoint from a stranger must not run code.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, LookupError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path} is no readable checkpoint: {reason}; name a .ckpt of 'fissura train'") from error
    if not isinstance(checkpoint, dict):
        raise ModelError(f"{path} holds {type(checkpoint).__name__}, not a checkpoint of 'fissura train'")
    return checkpoint
