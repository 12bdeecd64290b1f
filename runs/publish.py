"""Write measured figures where people read them: model file, model card in Markdown, README.

    python runs/publish.py NAME RUN

RUN holds ``test_int8/evaluation.json``, ``negatives_int8/evaluation.json`` and the same for fp32, as ``runs/NAME.sh``
leaves them. The accuracy figures are copied to ``benchmarks/results/accuracy_NAME.json``; speed is read from there.
Nothing is typed by hand.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import onnx
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from machine import describe_run  # noqa: E402

from fissura.export.onnx_file import save_model  # noqa: E402
from fissura.infer.onnx_metadata import read_card  # noqa: E402
from fissura.infer.precision import int8_sibling  # noqa: E402
from fissura.spec import ModelCard  # noqa: E402

WEIGHTS = ROOT / "src" / "fissura" / "weights"
RESULTS = ROOT / "benchmarks" / "results"
SHOWN = ("F1", "precision", "recall", "F1@2px", "ODS", "OIS", "AP", "clDice", "clIoU")


def main(name: str, run: Path) -> None:
    accuracy = collect(name, run)
    write_json(RESULTS / f"accuracy_{name}.json", accuracy)
    model = WEIGHTS / f"{name}.onnx"
    # From the recipe: some limits are learnt after the training.
    limits = tuple(yaml.safe_load((ROOT / "runs" / f"{name}.yaml").read_text(encoding="utf-8"))["limits"])
    card = read_card(model).model_copy(update={"figures": card_figures(accuracy), "limits": limits})
    put_card(model, card)
    small = int8_sibling(model)
    if small.exists():
        put_card(small, read_card(small).model_copy(update={"figures": card.figures, "limits": limits}))
    (WEIGHTS / f"{name}.md").write_text(card_markdown(card, accuracy), encoding="utf-8")
    if name != "fast":  # the README speaks of the default model
        return
    readme = ROOT / "README.md"
    text = replace_block(readme.read_text(encoding="utf-8"), "accuracy", accuracy_text(accuracy))
    speed = RESULTS / "speed.json"
    if speed.exists():
        text = replace_block(text, "speed", speed_text(json.loads(speed.read_text(encoding="utf-8"))))
    readme.write_text(text, encoding="utf-8")


def collect(name: str, run: Path) -> dict[str, Any]:
    """One record of all evaluations, with date, commit and machine."""
    record: dict[str, Any] = {"model": name, **describe_run(), "precisions": {}}
    for precision in ("int8", "fp32"):
        parts = {}
        for part in ("test", "negatives"):
            path = run / f"{part}_{precision}" / "evaluation.json"
            if path.exists():
                parts[part] = json.loads(path.read_text(encoding="utf-8"))
        if parts:
            record["precisions"][precision] = parts
    first = next(iter(record["precisions"].values()))["test"]
    record["date"] = first["date"]
    record["weights_sha256"] = first["model"]["weights_sha256"]
    before = RESULTS / f"accuracy_{name}.json"
    if before.exists():
        old = json.loads(before.read_text(encoding="utf-8"))
        if (old["date"], old["weights_sha256"]) == (record["date"], record["weights_sha256"]):
            # The same evaluations, published again: commit and machine are those of the measurement.
            record |= {key: old[key] for key in ("commit", "machine", "versions")}
    return record


def default_parts(accuracy: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The precision that is used by default, and its evaluations."""
    precision = "int8" if "int8" in accuracy["precisions"] else "fp32"
    return precision, accuracy["precisions"][precision]


def card_figures(accuracy: dict[str, Any]) -> dict[str, float]:
    _, parts = default_parts(accuracy)
    figures = {
        f"{entry['name']} {key}": entry["figures"][key] for entry in parts["test"]["sets"] for key in ("F1", "F1@2px")
    }
    figures["mean of the five tests F1@2px"] = parts["test"]["mean_over_sets"]["F1@2px"]
    alarms, images = false_alarms(parts["negatives"])
    figures["negatives/test false-alarm share"] = round(alarms / images, 4)
    return figures


def false_alarms(evaluation: dict[str, Any]) -> tuple[int, int]:
    return sum(s["false_alarms"] for s in evaluation["sets"]), sum(s["images"] for s in evaluation["sets"])


def accuracy_text(accuracy: dict[str, Any]) -> str:
    precision, parts = default_parts(accuracy)
    lines = [
        f"The shipped model `{accuracy['model']}` ({precision}) on the test folders of five public sets, "
        "threshold fixed at 0.5, counts pooled over each set:",
        "",
        "| set | images | " + " | ".join(SHOWN) + " |",
        "|---|---:|" + "---:|" * len(SHOWN),
    ]
    for entry in parts["test"]["sets"]:
        figures = " | ".join(f"{entry['figures'][key]:.3f}" for key in SHOWN)
        lines.append(f"| {entry['name']} | {entry['images']} | {figures} |")
    mean = " | ".join(f"{parts['test']['mean_over_sets'][key]:.3f}" for key in SHOWN)
    alarms, images = false_alarms(parts["negatives"])
    lines += [
        f"| mean | | {mean} |",
        "",
        f"False alarms: {alarms} of {images} crack-free test images ({alarms / images:.1%}) have more than "
        "50 crack pixels. "
        f"Measured {origin(accuracy)}; script `runs/{accuracy['model']}.sh`.",
    ]
    if known := known_places([entry["name"] for entry in parts["test"]["sets"]]):
        lines += ["", known]
    return "\n".join(lines)


def known_places(tests: list[str]) -> str:
    """Which of these tests show ground that training saw, by ``fissura data check``; empty if it was not run."""
    path = RESULTS / "data_check.json"
    if not path.exists():
        return ""
    check = json.loads(path.read_text(encoding="utf-8"))["check"]
    images = {entry["name"]: entry["images"] for entry in check["sets"]}
    shared = [
        f"{pair['pictures_of_first']} of {images[name]} pictures of {name}"
        for name in tests for pair in check["duplicates_by_sets"]
        if (pair["first"], pair["second"]) == (name, f"{name.split('/')[0]}/train")
    ]  # fmt: skip
    if not shared:
        return ""
    return (
        f"Known places: {', '.join(shared)} overlap pictures that were trained on "
        "(`fissura data check`, `docs/DATA.md`)."
    )


def speed_text(speed: dict[str, Any]) -> str:
    lines = [
        f"A {speed['side_px']}×{speed['side_px']} image on {speed['threads']} threads, medians and p95 of "
        f"{speed['rounds']} interleaved rounds. *Times faster*: the published HACNetV2 (c=32, PyTorch fp32, the faster "
        "memory layout) against each row, median of the ratios round by round. *Segmenter* rows are what a user gets: "
        f"the shipped {speed['tile']}-px tiles with overlaps and blending; the others are one forward pass of the same "
        "weights at 512.",
        "",
        "| | median ms | p95 ms | times faster | F1 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in speed["rows"].items():
        f1 = f"{row['f1_mean']:.4f}" if "f1_mean" in row else ""
        numbers = f"{row['median_ms']:.1f} | {row['p95_ms']:.1f} | {row['times_faster_median']:.1f}"
        lines.append(f"| {name} | {numbers} | {f1} |")
    lines += ["", f"F1: deepcrack/test. Measured {origin(speed)}; `benchmarks/speed.py`."]
    return "\n".join(lines)


def card_markdown(card: ModelCard, accuracy: dict[str, Any]) -> str:
    sets = "\n".join(f"| {s.name} | {s.images} | {s.terms} | {s.source} |" for s in card.training_sets)
    limits = "\n".join(f"- {limit}" for limit in card.limits)
    return f"""# {card.name} {card.version}

{card.description}

| | |
|---|---|
| network | `{card.architecture}` {card.architecture_options}, {card.parameters:,} parameters |
| input | RGB, tiles of {card.tile} px, overlap {card.overlap} px; full-resolution output; threshold {card.threshold} |
| precisions | {precisions_text(card)} |
| trained | {card.trained_on} |
| recipe | `runs/{card.name}.yaml`, `runs/{card.name}.sh` |
| code | {card.code_licence} |
| strictest terms of the training data | **{card.strictest_terms}** |
| weights | SHA-256 `{card.weights_sha256}` |

## Training data

| set | images | terms | source |
|---|---:|---|---|
{sets}

No image of a `test` or `val` folder was trained on.

## Figures

{accuracy_text(accuracy)}

## Limits

{limits}
"""


def precisions_text(card: ModelCard) -> str:
    small = int8_sibling(WEIGHTS / f"{card.name}.onnx").exists()
    return ", ".join(card.allowed_precisions) + (", int8 file beside it" if small else "; no int8: it costs too much")


def put_card(path: Path, card: ModelCard) -> None:
    save_model(onnx.load(str(path)), card, path)


def replace_block(text: str, name: str, content: str) -> str:
    pattern = re.compile(rf"(<!-- figures:{name} -->\n).*?(<!-- /figures:{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"README.md has no block figures:{name}")
    return pattern.sub(lambda m: f"{m[1]}{content}\n{m[2]}", text)


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def origin(record: dict[str, Any]) -> str:
    """Date, commit and machine of a result, in words."""
    machine = record["machine"]
    return f"{record['date'][:10]}, commit {record['commit']}, {machine['cpu']}, {machine['cores']} cores"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python runs/publish.py NAME RUN")
    main(sys.argv[1], Path(sys.argv[2]))
