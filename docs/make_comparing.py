"""Write the figures of a comparison into docs/COMPARING.md.

    python docs/make_comparing.py [FOLDER]

FOLDER is the folder of a finished `fissura compare` (out/compare): its table goes to benchmarks/results/compare.json,
with commit and machine. Without it, the page is made from that file. Nothing is typed by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "runs"))
sys.path.insert(0, str(ROOT / "benchmarks"))

from machine import RESULTS, describe_run, write_result  # noqa: E402
from publish import origin, replace_block  # noqa: E402

PAGE = ROOT / "docs" / "COMPARING.md"
FIGURES = ("F1", "F1@2px", "mIoU", "mPA", "FNR", "mAP@0.5", "macro-P", "AIU", "ODS", "ODS (BSDS)")


def take(folder: Path) -> None:
    """The table of a comparison with commit and machine."""
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    rows = [{k: v for k, v in row.items() if k != "facts"} | {"seconds": row["facts"]} for row in table["rows"]]
    kept = {key: table[key] for key in ("grid", "protocol")}
    write_result("compare", describe_run() | {"measured": table["date"]} | kept | {"rows": rows}, None)


def interval(values: list[float], sign: str = "") -> str:
    """Value and 95% interval; bold where a difference's interval excludes zero."""
    value, low, high = values
    text = f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"
    return f"**{text}**" if sign and low * high > 0 else text


def test_text(result: dict[str, Any], test: str) -> str:
    """F1@2px of every cell and its difference from the one without enhancer."""
    enhancers = list(dict.fromkeys(row["enhancer"] for row in result["rows"]))
    lines = [
        "| network | parameters | ms | none | " + " | ".join(f"{e}, difference" for e in enhancers[1:]) + " |",
        "|---|" + "---:|" * (len(enhancers) + 2),
    ]
    for network in dict.fromkeys(row["network"] for row in result["rows"]):
        cells = {row["enhancer"]: row for row in result["rows"] if row["network"] == network}
        none = cells["none"]
        if none["status"] != "finished":
            lines.append(f"| {network} |" + " not run |" * (len(enhancers) + 2))
            continue
        texts = []
        for enhancer in enhancers[1:]:
            row = cells[enhancer]
            done = row["status"] == "finished"
            texts.append(interval(row["tests"][test]["differences"]["F1@2px"], "+") if done else "not run")
        label = f", {none['label']}" if none.get("label") else ""
        ms = f"{none['ms']:.1f}" if none.get("ms") else "-"
        own = interval(none["tests"][test]["figures"]["F1@2px"])
        lines.append(f"| {network}{label} | {none['parameters']:,} | {ms} | {own} | " + " | ".join(texts) + " |")
    images = max(row["tests"][test]["images"] for row in result["rows"] if row["status"] == "finished")
    return f"**{test}**, {images} images, F1@2px:\n\n" + "\n".join(lines)


def mean_text(result: dict[str, Any]) -> str:
    """Mean difference over networks of each figure, and how many networks rose and fell beyond their interval."""
    tests = result["rows"][0]["tests"]
    lines = ["| test | enhancer | " + " | ".join(FIGURES) + " |", "|---|---|" + "---:|" * len(FIGURES)]
    for test in tests:
        for enhancer in list(dict.fromkeys(row["enhancer"] for row in result["rows"]))[1:]:
            rows = [r for r in result["rows"] if r["enhancer"] == enhancer and r["status"] == "finished"]
            cells = []
            for figure in FIGURES:
                values = [row["tests"][test]["differences"][figure] for row in rows]
                mean = sum(v[0] for v in values) / max(len(values), 1)
                up, down = sum(v[1] > 0 for v in values), sum(v[2] < 0 for v in values)
                cells.append(f"{mean:+.3f} ({up}/{down})" if values else "not run")
            lines.append(f"| {test} | {enhancer} | " + " | ".join(cells) + " |")
    return (
        "Mean difference over the networks from the same network without enhancer; in brackets how many networks rose "
        "and fell by more than their 95% interval (FNR: rising is worse):\n\n" + "\n".join(lines)
    )


def compare_text(result: dict[str, Any]) -> str:
    """The block of the page."""
    recipe = result["grid"]["recipe"]
    crops = recipe["steps"] * recipe["batch"]
    head = (
        f"Every cell saw the same {crops} crops of {recipe['tile']}×{recipe['tile']} pixels ({recipe['steps']} steps "
        f"of {recipe['batch']}) of {len(recipe['train'])} training folders; one seed; `runs/compare.yaml`."
    )
    parts = [head, *(test_text(result, test) for test in result["rows"][0]["tests"]), mean_text(result)]
    made = f"Measured {result['measured'][:10]}; commit and machine of this table: {origin(result)}."
    return "\n\n".join([*parts, made])


def main() -> int:
    if len(sys.argv) > 1:
        take(Path(sys.argv[1]))
    result = json.loads((RESULTS / "compare.json").read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replace_block(page, "compare", compare_text(result)), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
