"""Write the measured figures into docs/DATA.md: ``python docs/make_data.py``.

Reads benchmarks/results/data_check.json, as benchmarks/data_check.py leaves it. Nothing is typed by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "runs"))

from publish import origin, replace_block  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "data_check.json"


def findings(check: dict[str, Any]) -> str:
    """What the check found, and the near-duplicates between each two sets."""
    time = f"{check['seconds'] / 60:.0f} minutes"
    if "cpu_seconds" in check:
        time += f" ({check['cpu_seconds'] / 60:.0f} of one core)"
    pairs = sum(row["pairs"] for row in check["duplicates_by_sets"])
    anew = sum(row["anew"] for row in check["duplicates_by_sets"])
    named = check["named_in_readme"]
    known = (
        f"The pair that the data's README names, deepcrack/train 11158 and deepcrack/test 11216, is among them "
        f"(correlation {named[0]['correlation']:.2f})."
        if named
        else "The pair that the data's README names is not among them."
    )
    faults = ", ".join(f"{n} {kind}" for kind, n in check["problems_by_kind"].items()) or "none"
    lines = [
        f"`{check['command']}`, {check['date']}: {check['pictures']} pictures in {len(check['sets'])} sets, "
        f"{time}. {check['candidates']} pairs shared features or a hash and were looked at; {pairs} are "
        f"near-duplicates, {anew} of them the same place photographed anew. {known} Faults: {faults}.",
        "", "| set | set | pairs | pictures of the first | photographed anew | to be looked at |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in check["duplicates_by_sets"]:
        cells = (row["first"], row["second"], row["pairs"], row["pictures_of_first"], row["anew"], row["look_at_it"])
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if check["problems_by_set"]:
        lines += ["", "| set | fault | number |", "|---|---|---|"]
        lines += [f"| {p['set']} | {p['kind']} | {p['number']} |" for p in check["problems_by_set"]]
    return "\n".join(lines)


def widths(check: dict[str, Any]) -> str:
    """Widths of labels by set."""
    lines = ["| set | images | crack pixels | mean width | 5 % | 50 % | 95 % |", "|---|---|---|---|---|---|---|"]
    for s in check["sets"]:
        if s["width_mean_px"] is None:
            lines.append(f"| {s['name']} | {s['images']} | none | | | | |")
            continue
        rest = " | ".join(f"{s[key]:.0f}" for key in ("width_p5_px", "width_median_px", "width_p95_px"))
        share = f"{100 * s['crack_share']:.2f} %"
        lines.append(f"| {s['name']} | {s['images']} | {share} | {s['width_mean_px']:.1f} | {rest} |")
    return "\n".join(lines)


def planted(rows: list[dict[str, Any]]) -> str:
    """Planted copies that are found."""
    lines = ["| copy, saved again as JPEG of quality 70 | found | missed in |", "|---|---|---|"]
    for row in rows:
        missed = ", ".join(f"{name} {n}" for name, n in sorted(row["missed"].items(), key=lambda item: -item[1]))
        lines.append(f"| {row['kind']} | {row['found']} of {row['planted']} | {missed} |")
    return "\n".join(lines)


def losses(result: dict[str, Any]) -> str:
    """What masks lose in each format."""
    lines = [
        "| format | simplified by | masks | changed | crack pixels | lost | added | centreline lost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["losses"]:
        simplified = f"{row['simplify_px']:g} px" if row["simplify_px"] else "–"
        length = f"{row['centreline_lost_px']:.0f} of {row['centreline_px']:.0f} px"
        cells = (row["format"], simplified, row["pictures"], row["changed"], row["crack_px"], row["lost_px"],
                 row["added_px"], length)  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    path = ROOT / "docs" / "DATA.md"
    text = path.read_text(encoding="utf-8")
    source = origin(result)
    text = replace_block(text, "findings", f"{findings(result['check'])}\n\n{source}")
    text = replace_block(text, "widths", widths(result["check"]))
    text = replace_block(text, "planted", planted(result["planted"]))
    text = replace_block(text, "losses", losses(result))
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
