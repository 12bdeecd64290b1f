"""Write the measured figures into docs/MODELS.md: ``python docs/make_models.py``.

Reads model_table, speed_models*, equal_footing, leave_one_out, second_seed, accuracy_*, confidence_*, threshold_* and
drone_traces_* in benchmarks/results. Nothing is typed by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "runs"))
sys.path.insert(0, str(ROOT / "benchmarks"))

from equal_footing import NETWORKS  # noqa: E402
from model_table import CHANGES, NEGATIVES, OTHERS, PUBLIC  # noqa: E402
from publish import origin, replace_block  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
OTHER_MACHINES = (
    ("speed_models_amx", "On a processor with matrix units (AMX), busy with other work"),
    ("speed_models_avx2", "On a processor without AVX-512 and without products of bytes"),
)
LABELS = {
    "fast": "network of `fast`", "nano": "network of `nano`", "wide ladder": "wide ladder, one part of `accurate`",
}  # fmt: skip
"""Of networks on equal footing that models are made of."""
MEANS = ("F1", "F1@2px", "ODS", "clDice", "clIoU")


def read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def cells_of(row: dict[str, Any], condition: str, sets: tuple[str, ...]) -> list[dict[str, Any]] | None:
    found = [row["cells"].get(f"{condition}: {name}/test") for name in sets]
    return None if None in found else found


def mean(cells: list[dict[str, Any]], figure: str) -> float:
    return float(np.mean([cell[figure] for cell in cells]))


def _label(row: dict[str, Any]) -> str:
    """Which weights: a model's row may be older than what ships now."""
    return f"`{row['model']}` {row['version']} {row['precision']}"


def means_text(table: dict[str, Any]) -> str:
    """Means over the five public tests, and false alarms."""
    rows = []
    for row in table["rows"].values():
        clean, empty = cells_of(row, "clean", PUBLIC), cells_of(row, "clean", NEGATIVES)
        if clean is None or empty is None:
            continue
        alarms, images = sum(c["false_alarms"] for c in empty), sum(c["images"] for c in empty)
        rows.append([
            _label(row), f"{row['parameters']:,}", *(f"{mean(clean, f):.3f}" for f in MEANS),
            f"{alarms} of {images} ({alarms / images:.1%})",
        ])  # fmt: skip
    return (
        "Means over the test folders of deepcrack, cfd, crack500, uavcrack_asphalt and gaps384, threshold 0.5, whole "
        "images; false alarms: crack-free test images with more than 50 crack pixels.\n\n"
        + markdown(["model", "parameters", *MEANS, "false alarms"], rows)
        + "\n\n" + _origins((f"`{row['model']}`", row) for row in table["rows"].values())
        + " `benchmarks/model_table.py`."
    )  # fmt: skip


def _origins(rows: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """Where and when rows, each with its name, were measured, those of one place together."""
    places: dict[str, list[str]] = {}
    for name, row in rows:
        places.setdefault(origin(row), []).append(name)
    return "Measured " + "; ".join(f"{', '.join(names)} {place}" for place, names in places.items()) + "."


def sets_text(table: dict[str, Any]) -> str:
    """F1 and F1@2px of each set."""
    rows = []
    for row in table["rows"].values():
        cells = cells_of(row, "clean", (*PUBLIC, *OTHERS))
        if cells is not None:
            rows.append([_label(row), *(f"{c['F1']:.3f} / {c['F1@2px']:.3f}" for c in cells)])
    return "F1 / F1@2px on each test folder:\n\n" + markdown(["model", *PUBLIC, *OTHERS], rows)


def robust_text(table: dict[str, Any]) -> str:
    """What bad pictures cost."""
    rows, every = [], 0
    for row in table["rows"].values():
        same = cells_of(row, "same", PUBLIC)
        if same is None:
            continue
        every = row["every"]
        values = [f"{mean(same, 'F1@2px'):.3f}"]
        for name in list(CHANGES)[1:]:
            cells = cells_of(row, name, PUBLIC)
            values.append("not run" if cells is None else f"{mean(cells, 'F1@2px') - mean(same, 'F1@2px'):+.3f}")
        rows.append([_label(row), *values])
    return (
        f"Mean F1@2px over every {every}rd image of the five public tests, and what changes it when the picture is "
        "worse (×0.5 and ×2: the picture shrunk or enlarged, the probability brought back):\n\n"
        + markdown(["model", "as it is", *list(CHANGES)[1:]], rows)
    )


def _in_a_survey(row: dict[str, Any]) -> list[str]:
    """Recall and precision with the odds that surveys use at this ground size; older results lack them."""
    found = row.get("in_a_survey")
    return ["", ""] if found is None else [f"{found['recall']:.2f}", f"{found['precision']:.2f}"]


def drone_text(results: list[dict[str, Any]]) -> str:
    """Cracks one to two pixels wide on real frames."""
    rows = []
    for result in results:
        for scale, row in result["scales"].items():
            best = row["best_at_wanted_precision"]
            rows.append([
                f"`{result['model']['name']}` ×{scale}", f"{row['recall']:.2f}", f"{row['precision']:.2f}",
                f"{best['recall']:.2f} (at {best['threshold']:g})" if best else "none", *_in_a_survey(row),
                f"{row['alligator_covered']:.0%}", f"{row['elsewhere_covered']:.0%}",
            ])  # fmt: skip
    head = ["model and scale", "recall", "precision", "recall at precision 0.85", "in a survey: recall",
            "precision", "alligator covered", "elsewhere"]  # fmt: skip
    return (
        "Two real drone frames of 17 mm a pixel, cracks traced by hand (length within 5 px):\n\n"
        + markdown(head, rows)
        + "\n\n"
        + _origins((f"`{result['model']['name']}`", result) for result in results)
        + " `benchmarks/drone_traces.py`."
    )


def unseen_text(result: dict[str, Any]) -> str:
    """Sets that were left out of training."""
    rows = [
        [name, f"{row['without it']['F1@2px']:.3f}", f"{row['all sets']['F1@2px']:.3f}",
         f"{row['without it']['F1']:.3f}", f"{row['all sets']['F1']:.3f}"]
        for name, row in result["rows"].items() if "without it" in row
    ]  # fmt: skip
    network = " ".join([result["architecture"], *(f"{k}={v}" for k, v in result["options"].items())])
    head = ["set", "F1@2px, never seen", "F1@2px, seen", "F1, never seen", "F1, seen"]
    return (
        "## Places never seen\n\n"
        f"Trainings of {result['steps']} steps of {result['crops_a_step']} crops of {result['tile']}², fresh weights "
        f"(undertrained: what a set is worth, not how good the models are), `{network}`; each without one set and all "
        "that comes from the same place, judged on that set's test folder:\n\n"
        + markdown(head, rows)
        + f"\n\nMeasured {origin(result)}; `runs/leave_one_out.py`."
    )


def speed_text(result: dict[str, Any]) -> str:
    """Milliseconds of a 512x512 image, and how many times faster than the published network."""
    rows = []
    for name, row in result["rows"].items():
        least, most = row["times_faster_min_max"]
        rows.append([
            f"`{name}`" if row["kind"] == "shipped" else name, f"{row['parameters']:,}", f"{row['GMAC']:.2f}",
            f"{row['median_ms']:.1f}", f"{row['p95_ms']:.1f}",
            f"{row['times_faster_median']:.1f} ({least:.1f} to {most:.1f})",
        ])  # fmt: skip
    return (
        f"A {result['side_px']}×{result['side_px']} image in one pass, OpenVINO, {result['threads']} threads, "
        f"{result['rounds']} rounds in which all rows take turns; *times faster* than {result['base']}, median (least "
        "to most) of the ratios round by round:\n\n"
        + markdown(["network", "parameters", "GMAC", "median ms", "p95 ms", "times faster"], rows)
        + f"\n\nMeasured {origin(result)}; `benchmarks/speed_models.py`."
    )


def equal_text(result: dict[str, Any], speed: dict[str, Any] | None) -> str:
    """Our networks and the peers, trained alike, on every test folder."""
    rows, sets = [], []
    by_work = sorted(result["rows"].items(), key=lambda item: float(item[1]["GMAC"]))
    for name, row in by_work:
        clean, others, empty = (cells_of(row, "clean", part) for part in (PUBLIC, OTHERS, NEGATIVES))
        if clean is None or others is None or empty is None:
            continue
        label = LABELS.get(name, name)
        # The faster of the precisions that every network has.
        own = [r for r in (speed or {"rows": {}})["rows"].values() if r["network"] == name]
        times = [r["median_ms"] for r in own if r["precision"] != "int8"]
        alarms, images = sum(c["false_alarms"] for c in empty), sum(c["images"] for c in empty)
        rows.append([
            label, f"{row['parameters']:,}", f"{row['GMAC']:.1f}", f"{min(times):.1f}" if times else "not measured",
            *(f"{mean(clean, f):.3f}" for f in MEANS), f"{alarms} of {images}",
        ])  # fmt: skip
        sets.append([label, *(f"{c['F1']:.3f} / {c['F1@2px']:.3f}" for c in clean + others)])
    budget = result["budget"]
    done = {row[0] for row in rows}
    missing = [name for name in NETWORKS if LABELS.get(name, name) not in done]
    return (
        f"The same recipe and crops for all, from fresh weights: {budget['steps']} steps of {budget['crops_a_step']} "
        f"crops of {budget['tile']}², seed {budget['seed']}. **All rows are undertrained**: they say which network "
        "learns what so many crops teach, not how good each could become, and differences of a hundredth may turn with "
        "the seed. Means over the five public tests, evaluated in bf16 in tiles of 256 as shipped models are:\n\n"
        + markdown(["network", "parameters", "GMAC", "ms", *MEANS, "false alarms"], rows)
        + "\n\nF1 / F1@2px on each test folder:\n\n"
        + markdown(["network", *PUBLIC, *OTHERS], sets)
        + (f"\n\nNot measured yet: {', '.join(missing)}." if missing else "")
        + "\n\n"
        + _origins((f"`{name}`", row) for name, row in by_work)
        + " `runs/equal_footing.py`. *ms*: fastest of fp32 and bf16, table above. The "
        "same networks behind enhancers, with intervals: `docs/COMPARING.md`."
    )


def larger_text(larger: dict[str, Any], fast: dict[str, Any]) -> str:
    """The network of three magnifications beside the default, both in int8."""
    rows = []
    for name, record in (("fast", fast), ("three magnifications", larger)):
        parts = record["precisions"]["int8"]
        sets = parts["test"]["sets"]
        alarms = sum(entry["false_alarms"] for entry in parts["negatives"]["sets"])
        images = sum(entry["images"] for entry in parts["negatives"]["sets"])
        figures = [f"{e['figures']['F1']:.3f} / {e['figures']['F1@2px']:.3f}" for e in sets]
        means = parts["test"]["mean_over_sets"]
        rows.append([name, *figures, f"{means['F1']:.3f} / {means['F1@2px']:.3f}", f"{alarms} of {images}"])
    head = ["F1 / F1@2px", *(entry["name"].split("/")[0] for entry in sets), "mean", "false alarms"]
    return markdown(head, rows) + f"\n\nMeasured {origin(larger)}; `runs/pyramid.sh`."


def seed_text(again: dict[str, Any], fast: dict[str, Any]) -> str:
    """`fast` and the same recipes with another seed, fp32."""
    shipped = {e["name"].split("/")[0]: e["figures"] for e in fast["precisions"]["fp32"]["test"]["sets"]}
    rows = []
    for name, figures in (("`fast` as shipped", shipped), (f"the same with seed {again['seed']}", again["figures"])):
        cells = [figures[key] for key in again["figures"]]
        each = [f"{cell['F1']:.3f} / {cell['F1@2px']:.3f}" for cell in cells]
        rows.append([name, *each, f"{mean(cells, 'F1'):.4f} / {mean(cells, 'F1@2px'):.4f}"])
    table = markdown(["F1 / F1@2px, fp32", *again["figures"], "mean"], rows)
    return table + f"\n\nMeasured {origin(again)}; `runs/repeat.py --seed {again['seed']}`."


def confidence_text(results: list[dict[str, Any]]) -> str:
    """Reliability."""
    parts = []
    for result in results:
        rows = [[f"{b['said']:.2f}", f"{b['real']:.2f}", str(b["finds"])] for b in result["bins"]]
        parts.append(
            f"`{result['model']}`: {result['finds']} finds on validation images, {result['real_share']:.0%} of them "
            f"cracks. Expected calibration error {result['error']:.3f} (of the mean probability "
            f"{result['error_of_mean_probability']:.3f}).\n\n"
            + markdown(["confidence said", "share that are cracks", "finds"], rows)
        )
    measured = _origins((f"`{result['model']}`", result) for result in results)
    return "\n\n".join(parts) + f"\n\n{measured} `runs/confidence.py`."


def threshold_text(results: list[dict[str, Any]]) -> str:
    """F1@2px over thresholds."""
    steps = list(results[0]["curve"])
    rows = []
    for result in results:
        (low, high), (least, most) = result["threshold_90"], result["gain_90"]
        rows.append([
            f"`{result['model']}` {result['version']}", *(f"{result['curve'][step]:.3f}" for step in steps),
            f"{result['threshold']:g} ({low:g} to {high:g})", f"{least:+.4f} to {most:+.4f}",
        ])  # fmt: skip
    measured = _origins((f"`{result['model']}`", result) for result in results)
    return (
        "F1@2px on validation images and photographs held back, the mean over sets, at thresholds from 0.1 to 0.9; the "
        "best one, and what it gains over 0.5, with 90 % intervals from drawing the images again:\n\n"
        + markdown(["model", *steps, "best", "gain over 0.5"], rows)
        + f"\n\n{measured} `runs/threshold.py`."
    )


def main() -> None:
    path = ROOT / "docs" / "MODELS.md"
    text = path.read_text(encoding="utf-8")
    if table := read("model_table"):
        text = replace_block(text, "models", means_text(table))
        text = replace_block(text, "sets", sets_text(table))
        text = replace_block(text, "robust", robust_text(table))
    for name, kind, write in (
        ("drone", "drone_traces", drone_text), ("confidence", "confidence", confidence_text),
        ("thresholds", "threshold", threshold_text),
    ):  # fmt: skip
        found = [read(p.stem) for p in sorted(RESULTS.glob(f"{kind}_*.json"))]
        if found:
            text = replace_block(text, name, write([f for f in found if f is not None]))
    larger, fast = read("accuracy_pyramid"), read("accuracy_fast")
    if larger and fast:
        text = replace_block(text, "larger", larger_text(larger, fast))
    if fast and (again := read("second_seed")):
        text = replace_block(text, "seed", seed_text(again, fast))
    if speed := read("speed_models"):
        tables = speed_text(speed)
        for name, what in OTHER_MACHINES:
            if other := read(name):
                tables += f"\n\n{what}:\n\n{speed_text(other)}"
        text = replace_block(text, "speed", tables)
    if equal := read("equal_footing"):
        text = replace_block(text, "peers", equal_text(equal, speed))
    if unseen := read("leave_one_out"):
        text = replace_block(text, "unseen", unseen_text(unseen))
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
