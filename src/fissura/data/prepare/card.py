"""The card of a prepared set: where it is from, under which terms, what is in it, what was assumed and is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fissura import __version__
from fissura.data.prepare.recipes import Plan, Recipe
from fissura.imaging.write import write_bytes

_LISTED = 20


def write_card(
    folder: Path, recipe: Recipe, plan: Plan, *, splits: dict[str, dict[str, Any]], digests: Sequence[dict[str, Any]],
    failed: Sequence[tuple[str, str]],
) -> dict[str, Any]:  # fmt: skip
    """Write ``card.json`` and ``card.md``.

    Args:
        folder: Of the set.
        recipe: What it is.
        plan: What was found.
        splits: Numbers by split: pictures, without_crack, sizes.
        digests: Of the sources.
        failed: Pictures that could not be written, and files that were refused.
    Returns:
        The card as JSON values.
    Raises:
        OutputError: It cannot be written.
    """
    card: dict[str, Any] = {
        "name": recipe.name, "title": recipe.title, "origin": recipe.origin, "terms": recipe.terms,
        "cite": recipe.cite, "layout": "<split>/images and <split>/masks, paired by stem; masks are 0 and 255",
        "splits": splits, "sources": list(digests), "assumed": plan.assumed, "missing": plan.missing,
        "failed": [{"file": name, "reason": reason} for name, reason in failed],
        "not_used": [{"file": name, "reason": reason} for name, reason in plan.left_over],
        "prepared": datetime.now(UTC).isoformat(timespec="seconds"), "fissura": __version__,
    }  # fmt: skip
    text = json.dumps(card, indent=2, ensure_ascii=False)
    write_bytes(folder / "card.json", f"{text}\n".encode("utf-8", "replace"))
    write_bytes(folder / "card.md", _as_markdown(card).encode("utf-8", "replace"))
    return card


def _as_markdown(card: dict[str, Any]) -> str:
    lines = [f"# {card['title']}", "", f"From: {card['origin']}", "", f"Terms: {card['terms']}", "",
             f"Cite: {card['cite']}", "", f"Layout: {card['layout']}", "",
             "| split | pictures | without crack | sizes |", "|---|---|---|---|"]  # fmt: skip
    for split, row in card["splits"].items():
        lines.append(f"| {split} | {row['pictures']} | {row['without_crack']} | {', '.join(row['sizes'])} |")
    lines += _section("Assumed", card["assumed"])
    lines += _section("Missing", card["missing"])
    lines += _section("Failed", [f"{item['file']}: {item['reason']}" for item in card["failed"]])
    lines += _section("Not used", [f"{item['file']}: {item['reason']}" for item in card["not_used"]])
    sources = [", ".join(f"{key} {value}" for key, value in source.items()) for source in card["sources"]]
    lines += _section("Sources", sources)
    return "\n".join([*lines, "", f"Prepared {card['prepared']} by fissura {card['fissura']}."]) + "\n"


def _section(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = [f"- and {len(items) - _LISTED} more, in card.json"] if len(items) > _LISTED else []
    return ["", f"## {title}", "", *[f"- {item}" for item in items[:_LISTED]], *more]
