"""``fissura models``: what is shipped, with figures, training data and their terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fissura.cli.console import plain_errors, say

if TYPE_CHECKING:
    from fissura.infer.store import ShippedModel


def models(
    name: Annotated[str | None, typer.Argument(help="Show this model only: a shipped name, or an .onnx file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the full cards as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Print the cards of the shipped models: figures, limits, training sets and their terms.

    \b
    Examples:
      fissura models
      fissura models fast --json
      fissura models mine.onnx
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        import json

        shown = _find(name)
        if as_json:
            cards = [m.card.model_dump(mode="json") | {"precisions": m.precisions} for m in shown]
            say(json.dumps(cards if name is None else cards[0], indent=2, ensure_ascii=False))
            return
        if not shown:
            say("no models are shipped; make one with 'fissura train' and 'fissura export'")
        for index, model in enumerate(shown):
            say(("\n" if index else "") + describe(model))


def _find(name: str | None) -> list[ShippedModel]:
    from pathlib import Path

    from fissura.infer.store import describe_file, find_model, list_models, verify_model

    if name is None:
        found = list_models()
    elif name.endswith(".onnx"):
        found = [describe_file(Path(name))]
    else:
        found = [find_model(name)]
    for model in found:
        verify_model(model)
    return found


def describe(model: ShippedModel) -> str:
    """A card in plain text, for people."""
    card = model.card
    lines = [
        f"{card.name} {card.version}: {card.description}",
        f"  network     {card.architecture}, {card.parameters:,} parameters",
        f"  tile        {card.tile} px, overlap {card.overlap} px, threshold {card.threshold:g}",
        f"  scale       nominally {card.gsd_mm[0]:g} to {card.gsd_mm[1]:g} mm per pixel (estimated)",
        f"  precisions  {', '.join(model.precisions)}",
    ]
    if card.figures:
        width = max(map(len, card.figures))
        lines += ["  figures", *(f"    {name:{width}}  {value:.3f}" for name, value in card.figures.items())]
    if card.training_sets:
        lines.append("  trained on")
        lines += [f"    {s.name}, {s.images} images, terms: {s.terms}" for s in card.training_sets]
    lines.append(f"  strictest terms of the training sets: {card.strictest_terms}")
    lines.append(f"  licence of the code: {card.code_licence} (says nothing about the training sets)")
    lines += ["  limits", *(f"    {limit}" for limit in card.limits)] if card.limits else []
    return "\n".join(lines)
