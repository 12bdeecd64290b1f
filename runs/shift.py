"""Shift a model's logits, so that the threshold which validation prefers becomes a probability of one half.

    python runs/shift.py WEIGHTS.safetensors OUT.safetensors --threshold 0.7 [--version 1.1.0]

``runs/threshold.py`` finds that threshold. Which pixel is surer than which other one stays as it is. Figures and the
curve of confidences stay behind: they were measured before (``runs/finish.sh`` measures again).
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import torch

from fissura.errors import FissuraError, ModelError, OutputError
from fissura.nets import load_weights, save_weights
from fissura.nets.ga_cfae import body_of

LAST = {"hacnet_v2": "fuse", "ladder": "head"}
"""The convolution whose bias is added to all logits last, by architecture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threshold", type=float, required=True, help="what becomes 0.5")
    parser.add_argument("--version", help="the new model's; left out, it stays")
    options = parser.parse_args()
    try:
        shift(options.weights, options.out, options.threshold, options.version)
    except FissuraError as error:
        sys.exit(str(error))
    print(f"{options.threshold} is 0.5 now: {options.out}")


def shift(weights: Path, out: Path, threshold: float, version: str | None = None) -> None:
    """Write the shifted model. Raises ModelError, OutputError."""
    if not 0 < threshold < 1:
        raise ModelError(f"--threshold {threshold}: it lies between 0 and 1")
    net, card = load_weights(weights)
    if card.architecture not in LAST:
        raise ModelError(f"{weights} is a {card.architecture}; this script knows {', '.join(LAST)}")
    bias = getattr(body_of(net), LAST[card.architecture]).bias
    by = math.log((1 - threshold) / threshold)
    with torch.no_grad():
        bias += by
    card = card.model_copy(update={
        "version": version or card.version, "figures": {}, "confidence": None,
        "trained_on": f"{card.trained_on}; logits shifted by {by:.3f}",
    })  # fmt: skip
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {out.parent}: {error.strerror}; choose another place") from error
    save_weights(out, net, card)


if __name__ == "__main__":
    main()
