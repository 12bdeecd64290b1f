"""Make one model of several: ``python runs/join.py A.safetensors B.safetensors --out OUT.safetensors --name accurate``.

Its probability is that of the mean of their logits (`fissura.nets.group`). Weights are rounded to half precision, so
that two networks fit into one small file. Figures and the curve of confidences stay behind: they were measured with one
network (``runs/finish.sh`` measures again).
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from fissura.errors import FissuraError, ModelError, OutputError
from fissura.nets import build_model, load_weights, save_weights
from fissura.spec import NAME_PATTERN, ModelCard
from fissura.train.loop import strictest_terms

SAME = ("channels", "mean", "std", "tile", "overlap", "threshold", "classes")
"""What members must have in common."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("members", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--description", required=True)
    parser.add_argument("--threshold", type=float, default=0.5, help="the one that validation prefers; it becomes 0.5")
    options = parser.parse_args()
    try:
        if not re.match(NAME_PATTERN, options.name):
            raise ModelError(f"--name {options.name}: a name has small letters, digits, '.', '_' and '-'")
        if not 0 < options.threshold < 1:
            raise ModelError(f"--threshold {options.threshold}: it lies between 0 and 1")
        shift = math.log((1 - options.threshold) / options.threshold)
        net, card = join(options.members, options.name, options.version, options.description, shift)
        try:
            options.out.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {options.out.parent}: {error.strerror}; choose another place") from error
        save_weights(options.out, net, card)
    except FissuraError as error:
        sys.exit(str(error))
    print(f"{card.name}: {len(options.members)} networks, {card.parameters:,} parameters: {options.out}")


def join(paths: Sequence[Path], name: str, version: str, description: str, shift: float) -> tuple[nn.Module, ModelCard]:
    """The group and its card. Raises ModelError."""
    if len(paths) < 2:
        raise ModelError("give two models or more")
    members = [load_weights(path) for path in paths]
    first = members[0][1]
    for path, (_, card) in zip(paths, members, strict=True):
        if card.enhancer is not None:
            raise ModelError(f"{path} has an enhancer in front; a group takes networks alone")
        if differing := [field for field in SAME if getattr(card, field) != getattr(first, field)]:
            raise ModelError(f"{path} and {paths[0]} differ in {', '.join(differing)}")
    cards = [card for _, card in members]
    sets = {(s.name, s.terms): s for card in cards for s in card.training_sets}
    card = ModelCard(
        name=name, version=version, description=description, architecture="group",
        architecture_options={
            "members": [{"architecture": c.architecture, "options": dict(c.architecture_options)} for c in cards],
            "shift": round(shift, 3),
        },
        parameters=sum(c.parameters for c in cards), **{field: getattr(first, field) for field in SAME},
        gsd_mm=(min(c.gsd_mm[0] for c in cards), max(c.gsd_mm[1] for c in cards)),
        training_sets=tuple(sets.values()), strictest_terms=strictest_terms([c.strictest_terms for c in cards]),
        trained_on="; ".join(f"{c.name} {c.version}: {c.trained_on}" for c in cards),
        limits=tuple(dict.fromkeys(limit for c in cards for limit in c.limits)), weights_bits=16,
    )  # fmt: skip
    group = build_model(card)
    for member, (net, _) in zip(group.members, members, strict=True):
        member.load_state_dict(net.state_dict())
    return group.eval(), card


if __name__ == "__main__":
    main()
