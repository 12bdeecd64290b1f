"""Write docs/METRICS.md from the definitions in the code: ``python docs/make_metrics.py``."""

from pathlib import Path

from fissura.metrics import SetScore, describe_figures

HEAD = """# Measures

What `fissura evaluate` prints and writes, as it defines it in the `protocol` of every `evaluation.json`.
Counts are added up over the set first, scores are computed after. A score that is not defined (no crack in the
truth) is `-` in the table, `null` in JSON, and left out of means. Labels are part of every error: a label that is
shifted by some pixels costs more than most models differ by, which is why F1@2px stands beside F1.

The figures named (BSDS) are in the tables of `fissura compare`, at every tenth threshold, and in
`fissura.metrics.evaluate(..., boundary_every=1)`; `fissura evaluate` leaves them out, because they take a second
an image.

| name | definition |
|---|---|
"""


def main() -> None:
    rows = describe_figures(SetScore(threshold=0.5, tolerance_px=2, centrelines=True, instances=True, boundary_every=1))
    cells = ((name.replace("|", "\\|"), text.replace("|", "\\|")) for name, text in rows.items())
    table = "".join(f"| {name} | {text} |\n" for name, text in cells)
    Path(__file__).with_name("METRICS.md").write_text(HEAD + table, encoding="utf-8")


if __name__ == "__main__":
    main()
