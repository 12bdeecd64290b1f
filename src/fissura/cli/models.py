"""``fissura models``: what is shipped, with figures, training data and their terms; and the networks to train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fissura.cli.console import STARTS_OVER, ProgressLine, plain_errors, say
from fissura.errors import MissingDependencyError, ModelError

if TYPE_CHECKING:
    from fissura.infer.store import ShippedModel


def models(
    name: Annotated[
        str | None, typer.Argument(help="Show this one only: a shipped name or an .onnx file; a network's name.")
    ] = None,
    networks: Annotated[
        bool, typer.Option("--networks", help="The networks to train: parameters, work, speed on this machine.")
    ] = False,
    size: Annotated[int, typer.Option(help="With --networks: side of the tile whose speed is measured.")] = 256,
    engine: Annotated[
        str, typer.Option(help="With --networks: torch, or openvino or onnxruntime (exports each network first).")
    ] = "torch",
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON, cards in full.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Print the cards of the shipped models: figures, limits, training sets and their terms.

    With --networks, the networks that 'fissura train' knows: parameters here and in their papers, GMAC of an image
    of 512 x 512, and the median time of a tile on this machine.

    \b
    Examples:
      fissura models
      fissura models fast --json
      fissura models mine.onnx
      fissura models --networks                                all of them, timed in PyTorch, in about a minute
      fissura models hacnet_v2 --networks --size 512 --engine openvino
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug, stopped=STARTS_OVER):
        import json

        if networks:
            rows = _measure_networks(name, size, engine, quiet=quiet)
            say(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else network_table(rows, size, engine))
            return
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


def _measure_networks(name: str | None, size: int, engine: str, *, quiet: bool) -> list[dict[str, Any]]:
    try:
        from fissura.export.network_speed import measure_speed
        from fissura.nets.catalogue import CATALOGUE
    except ImportError as error:
        raise MissingDependencyError(
            f"--networks needs the extra 'train' ({error.name} is missing): pip install 'fissura[train]'"
        ) from error
    chosen = [entry for entry in CATALOGUE if name in (None, entry.architecture)]
    if not chosen:
        known = ", ".join(sorted({entry.architecture for entry in CATALOGUE}))
        raise ModelError(f"there is no network '{name}'; known: {known}")
    rows: list[dict[str, Any]] = []
    with ProgressLine("measuring", len(chosen), quiet=quiet, unit="networks") as progress:
        for entry in chosen:
            rows.append({
                "network": entry.architecture, "label": entry.label, "options": entry.options, "paper": entry.paper,
                "parameters": entry.parameters(), "parameters_stated": entry.stated, "remark": entry.remark,
                "gmac_512": round(entry.gmac((512, 512)), 2), "tile_px": size, "engine": engine,
                "tile_ms": round(measure_speed(entry, size, engine), 1),
            })  # fmt: skip
            progress.advance(entry.label)
    return rows


def network_table(rows: list[dict[str, Any]], size: int, engine: str) -> str:
    """The networks as aligned lines of text, for people."""
    head = ("network", "parameters", "stated", "GMAC at 512²", f"ms at {size}²", "source")
    lines = [head] + [
        (
            row["label"],
            f"{row['parameters']:,}",
            f"{row['parameters_stated']:,}" if row["parameters_stated"] else "-",
            f"{row['gmac_512']:.1f}",
            f"{row['tile_ms']:.1f}",
            row["paper"],
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(
            cell.ljust(w) if i in (0, 5) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    notes = [f"  {row['label']}: {row['remark']}" for row in rows if row["remark"]]
    return "\n".join(
        [line.rstrip() for line in text]
        + ["", f"median time of one tile on this machine, {engine}, fp32", "remarks", *notes]
    )


def _behind(enhancer: dict[str, Any] | None) -> str:
    if enhancer is None:
        return ""
    return f", behind {enhancer.get('name')} ({enhancer.get('form', 'corrected')})"


def describe(model: ShippedModel) -> str:
    """A card in plain text, for people."""
    card = model.card
    lines = [
        f"{card.name} {card.version}: {card.description}",
        f"  network     {card.architecture}, {card.parameters:,} parameters{_behind(card.enhancer)}",
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
