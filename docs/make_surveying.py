"""Write the measured figures into docs/SURVEYING.md and README.md: ``python docs/make_surveying.py``.

Reads benchmarks/results/{road_scenes,road_real,road_speed,road_anchors,flight_speed,flight_counting}.json, those that
are there. Nothing is typed by hand.
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


def read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def counting_text(result: dict[str, Any]) -> str:
    """Each crack once: a row for each flight."""
    lines = [
        "Synthetic H.264 flights (1920×1080, 20 m, turns, climb, a lost second, a blurred one), length within 2 px on "
        "the ground:",
        "",
        "| flight | masks | drawn m | recall | precision | twice | drift px | looks / frames |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in result["rows"]:
        lines.append(
            f"| {r['seed']} | {r['masks']} | {r['truth_m']:.1f} | {r['recall']:.3f} | {r['precision']:.3f} "
            f"| {100 * r['twice']:.1f} % | {r['drift_px']:.1f} | {r['looks']} / {r['frames']} |"
        )
    note = "For the model, cracks narrower than a pixel (8.5 mm) need not be found and are no false alarm."
    return "\n".join([*lines, "", f"{note} Measured {origin(result)}; `benchmarks/flight_counting.py`."])


def speed_text(result: dict[str, Any]) -> str:
    """A minute of 4K, stage by stage."""
    s, clip = result["survey"], result["clip"]
    stages = sorted(s["stages_s"].items(), key=lambda item: -item[1])
    parts = [
        f"A flight of {clip['seconds']:.0f} s at 3840×2160, {clip['fps']:.0f} frames/s, {clip['mbit_s']:.0f} Mbit/s "
        f"({clip['codec']}): {s['flight_s']:.1f} s, decoding included, and {s['process_s']:.1f} s with start, "
        f"measuring and writing; {s['looks']} looks, {s['slices']} slices; {100 * (s['road_covered'] or 0):.2f} % of "
        f"the road's area segmented; peak {s['peak_mb']} MB.",
        "",
        "| stage (they overlap) | s |",
        "|---|---:|",
        *[f"| {name} | {seconds:.1f} |" for name, seconds in stages],
    ]
    if "plain" in result:
        p = result["plain"]
        cost = f"{p['frame_s']:.2f} s a frame, {p['inference_only_s']:.0f} s for the minute, without decoding"
        parts += ["", f"Every tile of every tenth frame, as plain tiling would do it: {cost}."]
    return "\n".join([*parts, "", f"Measured {origin(result)}; `benchmarks/flight_speed.py`."])


def scenes_text(result: dict[str, Any]) -> str:
    """Road finding on generated scenes."""
    lines = [
        "Generated scenes (1920×1080; `tuning`: materials that were tuned on, other seeds; `fresh`: others):",
        "",
        "| scenes | n | IoU median | IoU 5 % | direction median ° | 95 % ° | 95 % off aprons ° | 95 % off crossings ° "
        "| roadless known |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, r in result["summary"].items():
        cells = [
            f"{r[key]:.{digits}f}" if key in r else ""
            for key, digits in (
                ("iou_median", 3), ("iou_p5", 3), ("direction_median_deg", 2), ("direction_p95_deg", 1),
                ("off_aprons_p95_deg", 1), ("away_p95_deg", 1),
            )
        ]  # fmt: skip
        empty = f"{100 * r['roadless_recognised']:.0f} % of {r['roadless']}" if "roadless" in r else ""
        lines.append(f"| {name} | {r['scenes']} | {' | '.join(cells)} | {empty} |")
    every = result["summary"]["all"]
    share = 100 * every.get("slices_on_aprons", 0) / max(every.get("slices", 0), 1)
    note = (
        f"{share:.1f} % of the slices lie on the apron between two roads, in the width of neither: they have no "
        "direction, and count as 90° off except in the column off aprons."
    )
    return "\n".join([*lines, "", note, "", f"Measured {origin(result)}; `benchmarks/road_report.py scenes`."])


def real_text(result: dict[str, Any]) -> str:
    """Road finding on real frames."""
    cells = "; ".join(f"{name} {row['iou']:.3f}" for name, row in result["rows"].items())
    return (
        f"Six real drone frames against outlines drawn before: mean IoU {result['mean']:.3f} ({cells}); gravel that "
        f"touches the asphalt does not count either way. Measured {origin(result)}; `benchmarks/road_report.py real`."
    )


def road_speed_text(result: dict[str, Any]) -> str:
    """Milliseconds for a frame."""
    parts = [f"`{name}` {row['median_ms']:.1f} ms (p95 {row['p95_ms']:.1f})" for name, row in result["rows"].items()]
    return f"At 3840×2160: {', '.join(parts)}. Measured {origin(result)}; `benchmarks/road_report.py speed`."


def anchors_text(result: dict[str, Any]) -> str:
    """R-Anchors against an upright grid."""
    lines = ["| road seen in eight directions | slices | verge | crack recall |", "|---|---:|---:|---:|"]
    for key, name in (("anchors", "R-Anchors"), ("grid", "upright grid of equal slices")):
        m = result["means"][key]
        lines.append(f"| {name} | {m['slices']:.1f} | {100 * m['verge_share']:.1f} % | {m['crack_recall']:.3f} |")
    return "\n".join([*lines, "", f"Measured {origin(result)}; `benchmarks/road_report.py anchors`."])


def truth_text(result: dict[str, Any]) -> str:
    """Flights of photos against their truth."""
    lines = [
        f"Generated flights of {result['photos']} photos ({result['gsd_mm']:g} mm a pixel) through `fissura survey`, "
        "read from the GeoPackage; length within 2 cm on the ground:",
        "",
        "| flight | masks | drawn m | recall | precision | twice | place off m | width within 1 σ | 2 σ "
        "| chainage off m |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in result["exact"]:
        lines.append(
            f"| {r['seed']} | {r['masks']} | {r['truth_m']:.1f} | {r['recall']:.3f} | {r['precision']:.3f} "
            f"| {100 * r['twice']:.1f} % | {r['shift_m']:.3f} | {100 * r['width_within_1_sigma']:.0f} % "
            f"| {100 * r['width_within_2_sigma']:.0f} % | {r['chainage_error_m']:.3f} |"
        )
    return "\n".join([*lines, "", f"Measured {origin(result)}; `benchmarks/survey_truth.py`."])


def noise_text(result: dict[str, Any]) -> str:
    """Places under telemetry that is wrong."""
    error = max(r["error_m"] for r in result["noisy"])
    date, commit = result["noisy_measured"]  # rows that were taken over may be of another machine
    return (
        f"Telemetry wrong by 1.5 m and 1°, {len(result['noisy'])} flights with exact masks: "
        f"{100 * result['noisy_within_stated']:.0f} % of the cracks lie within 2.15 stated errors of their place "
        f"(largest median error of a flight {error:.2f} m). Measured {date[:10]}, commit {commit}; "
        "`benchmarks/survey_truth.py`."
    )


def kills_text(result: dict[str, Any]) -> str:
    """Killed runs."""
    same = "the same GeoPackage, masks and manifest" if result["same_results"] else "other results"
    return (
        f"{result['kills']} kills (SIGKILL) at random moments of a run over {result['photos']} photos and a video, "
        f"each time started again: {same} as an undisturbed run, {result['done_twice']} finished photos or looks done "
        "twice. "
        f"Measured {origin(result)}; `benchmarks/survey_kills.py`."
    )


def raster_text(result: dict[str, Any]) -> str:
    """A raster that does not fit into memory."""
    (h, w), row = result["size_hw"], result["row"]
    return (
        f"A GeoTIFF of {w:,} × {h:,} pixels (model `{row['model']}`): {row['seconds']:.0f} s, peak "
        f"{row['peak_bytes'] / 1e6:.0f} MB, layers as COG. Measured {origin(result)}; `benchmarks/large_geotiff.py`."
    )


def main() -> None:
    blocks = [text(found) for name, text in PARTS if (found := read(name)) is not None]
    if (speed := read("flight_speed")) is not None:
        readme = ROOT / "README.md"
        first = speed_text(speed).splitlines()[0]
        text = f"A drone video: {first} Measured {origin(speed)}; `benchmarks/flight_speed.py`."
        readme.write_text(replace_block(readme.read_text(encoding="utf-8"), "survey", text), encoding="utf-8")
    path = ROOT / "docs" / "SURVEYING.md"
    path.write_text(replace_block(path.read_text(encoding="utf-8"), "survey", "\n\n".join(blocks)), encoding="utf-8")


PARTS = (
    ("survey_truth", truth_text), ("survey_truth", noise_text), ("survey_kills", kills_text),
    ("large_geotiff", raster_text),
    ("large_geotiff_tiny", raster_text),
    ("flight_speed", speed_text), ("flight_counting", counting_text), ("road_scenes", scenes_text),
    ("road_real", real_text), ("road_speed", road_speed_text), ("road_anchors", anchors_text),
)  # fmt: skip

if __name__ == "__main__":
    main()
