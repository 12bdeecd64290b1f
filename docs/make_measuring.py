"""Write the measured figures into docs/MEASURING.md and README.md: ``python docs/make_measuring.py``.

Reads benchmarks/results/{width_profiles,drawn_cracks,measure_photos,measure_graph}.json. Nothing is typed by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "runs"))

from publish import origin, replace_block  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
RANGES = ("0-15", "0-2", "2-15")


def read(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


def profile_table(result: dict[str, Any]) -> str:
    """Mean absolute errors on hand-measured profiles."""
    lines = [
        f"{result['rows']} hand-measured profiles of real cracks (Benz and Rodehorst 2021), mean absolute error in px:",
        "",
        "| method | 0–15 px | 0–2 px | 2–15 px |",
        "|---|---:|---:|---:|",
    ]
    for name, row in result["errors"].items():
        lines.append(f"| {name} | " + " | ".join(f"{row[key]:.3f}" for key in RANGES) + " |")
    twofold = result["checks"].get("twofold")
    if twofold:
        cells = " | ".join(f"{twofold['errors'][key]:.3f}" for key in RANGES)
        lines.append(f"| ours, constants from other sites than the figures | {cells} |")
    source = f"Measured {origin(result['run'])}; `benchmarks/width_profiles.py`."
    lines += ["", f"{source} The ruler's steps alone are 0.12 px."]
    return "\n".join(lines)


def drawn_text(result: dict[str, Any]) -> str:
    f = result["figures"]
    narrow = 100 * f["narrow median relative error"]
    return (
        f"Drawn cracks of known width ({result['pictures']} pictures, {f['stretches']:.0f} stretches of 20 px, blur "
        f"0.5 to 2 px, darkness 40 to 95 %): median error {f['wide median error px']:.2f} px where the crack is wider "
        f"than two blur widths, {narrow:.0f} % of the width below that where wider stretches show the darkness; "
        f"{100 * f['covered by 1 sigma']:.0f} % of the errors are within the standard error stated. "
        f"Measured {origin(result['run'])}; `benchmarks/drawn_cracks.py`."
    )


def main() -> None:
    profiles, drawn = profile_table(read("width_profiles")), drawn_text(read("drawn_cracks"))
    for name in ("README.md", "docs/MEASURING.md"):
        path = ROOT / name
        path.write_text(
            replace_block(path.read_text(encoding="utf-8"), "width", f"{profiles}\n\n{drawn}"), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
