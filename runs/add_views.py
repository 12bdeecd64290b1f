"""Make a model look several times: ``python runs/add_views.py IN.safetensors OUT.safetensors --name accurate``.

The weights stay; the card says what network it is now (`fissura.nets.views`). Figures and the curve of confidences do
not: they were measured with one look (``runs/finish.sh`` measures again).
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from fissura.errors import FissuraError, ModelError, OutputError
from fissura.nets import build_model, load_state, read_weights, save_weights
from fissura.spec import NAME_PATTERN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--description", required=True)
    parser.add_argument("--magnifications", type=float, nargs="+", default=[0.75, 1.0, 1.5])
    parser.add_argument("--looks", type=int, default=2, choices=(1, 2, 4))
    options = parser.parse_args()
    try:
        add_views(options)
    except FissuraError as error:
        sys.exit(str(error))


def add_views(options: argparse.Namespace) -> None:
    """Write the model. Raises ModelError and OutputError."""
    if not re.match(NAME_PATTERN, options.name):
        raise ModelError(f"--name {options.name}: a name has small letters, digits, '.', '_' and '-'")
    state, card = read_weights(options.source)
    if card.enhancer is not None:
        raise ModelError(f"{options.source} has an enhancer in front; views take a network alone")
    card = card.model_copy(update={
        "name": options.name,
        "description": options.description,
        "architecture": "views",
        "architecture_options": {
            "architecture": card.architecture, "options": card.architecture_options,
            "magnifications": options.magnifications, "looks": options.looks,
        },
        "confidence": None, "figures": {}, "weights_sha256": "",
    })  # fmt: skip
    net = build_model(card)
    load_state(net, {f"body.{name}": tensor for name, tensor in state.items()}, source=str(options.source))
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {options.out.parent}: {error.strerror}; choose another place") from error
    save_weights(options.out, net, card)
    print(f"{card.name}: {len(options.magnifications)} sizes, {options.looks} looks at each: {options.out}")


if __name__ == "__main__":
    main()
