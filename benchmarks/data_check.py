"""Figures of docs/DATA.md: findings of ``fissura data check``, planted copies, and losses of annotation formats.

    FISSURA_DATA=data python benchmarks/data_check.py                       all three
    FISSURA_DATA=data python benchmarks/data_check.py --report report.json  with the findings of a check already made

Planted copies come from pictures of ``train`` folders. Writes benchmarks/results/data_check.json, from which
docs/make_data.py makes the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from machine import describe_run, write_result

from fissura.data.check.duplicates import find_duplicates
from fissura.data.check.features import orient
from fissura.data.check.inspect import inspect_sets
from fissura.data.check.listing import list_sets
from fissura.data.labels.formats import EXACT, FORMATS, open_sink
from fissura.data.labels.loss import Loss, compare_masks
from fissura.data.labels.shapes import draw_shapes
from fissura.data.pairs import find_pairs, find_sets, read_mask
from fissura.data_run.check_run import CheckRequest, run_check

PLANTED_SETS = ("crack500", "uavcrack_concrete", "uavcrack_asphalt", "negatives_metu_concrete", "negatives_noncrack",
                "uav_quay", "masonry", "gaps384", "deepcrack", "cfd", "ceramic", "volker")  # fmt: skip
_OF_EACH = 10


def _crop(share: float, grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = (round(side * share) for side in grey.shape)
    top, left = rng.integers(0, grey.shape[0] - height), rng.integers(0, grey.shape[1] - width)
    return grey[top : top + height, left : left + width]


def _scaled(grey: np.ndarray, factor: float) -> np.ndarray:
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(grey, None, fx=factor, fy=factor, interpolation=way)


COPIES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "saved again": lambda grey, rng: grey,
    "quarter turn": lambda grey, rng: orient(grey, 1),
    "mirrored": lambda grey, rng: orient(grey, 4),
    "half the size": lambda grey, rng: _scaled(grey, 0.5),
    "crop of 60 % of the side": lambda grey, rng: _crop(0.6, grey, rng),
    "crop of 60 %, enlarged to the size of the whole": lambda grey, rng: _scaled(_crop(0.6, grey, rng), 1 / 0.6),
    "crop of 60 %, reduced to 60 %": lambda grey, rng: _scaled(_crop(0.6, grey, rng), 0.6),
    "crop of 60 %, mirrored and turned": lambda grey, rng: orient(_crop(0.6, grey, rng), int(rng.integers(5, 8))),
    "crop of 40 %, enlarged by 1.5": lambda grey, rng: _scaled(_crop(0.4, grey, rng), 1.5),
}


def plant(root: Path) -> list[dict[str, object]]:
    """How many copies of each kind are found, JPEG quality 70, and how many other pairs are named."""
    random.seed(0)
    files = []
    for name in PLANTED_SETS:
        found = sorted((root / name / "train" / "images").iterdir())
        files += random.sample(found, min(_OF_EACH, len(found)))
    rows = []
    for kind, copy in COPIES.items():
        rng = np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as folder:
            for number, file in enumerate(files):
                grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
                _write(Path(folder, "train"), number, grey, 95)
                _write(Path(folder, "test"), number, copy(grey, rng), 70)
            search = find_duplicates(inspect_sets(list_sets([Path(folder)]), workers=2))
        hits = [d for d in search.found if d.first.stem == d.second.stem]
        others = [d for d in search.found if d.first.stem != d.second.stem]
        left = set(range(len(files))) - {int(d.first.stem) for d in hits}
        missed = Counter(files[n].parent.parent.parent.name for n in left)
        pairs = [[files[int(d.first.stem)].name, files[int(d.second.stem)].name] for d in others]
        rows.append(
            {"kind": kind, "planted": len(files), "found": len(hits), "missed": dict(missed), "other_pairs": pairs}
        )
        print(kind, len(hits), len(files), len(others), flush=True)
    return rows


def _write(split: Path, number: int, grey: np.ndarray, quality: int) -> None:
    for kind in ("images", "masks"):
        (split / kind).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(split / "images" / f"{number}.jpg"), grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
    cv2.imwrite(str(split / "masks" / f"{number}.png"), np.zeros_like(grey))


def lose(root: Path, every: int) -> list[dict[str, object]]:
    """Losses of each format over every so many masks, and of polygons with fewer corners."""
    masks = [read_mask(pair.mask) for folder in find_sets(root).values() for pair in find_pairs(folder)[::every]]
    rows = []
    for name, simplify_px in [*((f, 0.0) for f in FORMATS), ("coco", 0.5), ("coco", 1.0)]:
        with tempfile.TemporaryDirectory() as folder, open_sink(name, Path(folder), simplify_px=simplify_px) as sink:
            losses = (
                compare_masks(mask, draw_shapes(sink.add(Path(f"{n}.jpg"), mask), mask.shape, line_px=1.0))
                for n, mask in enumerate(masks)
            )
            total = sum(losses, Loss())
        rows.append({"format": name, "simplify_px": simplify_px, "pixels": name in EXACT, **asdict(total)})
        print(name, simplify_px, total.describe(), flush=True)
    return rows


def check(root: Path, report: Path | None) -> dict[str, object]:
    """The findings, without the single pairs and files."""
    with tempfile.TemporaryDirectory() as folder:
        if report is None:
            run_check(CheckRequest((root,), Path(folder)))
            report = Path(folder) / "report.json"
        record = json.loads(report.read_text("utf-8"))
    pairs = record.pop("duplicates")
    record.pop("rejected")
    problems = record.pop("problems")
    command = "fissura data check $FISSURA_DATA/crack --out report"
    kinds = Counter((d["first_set"], d["second_set"], "anew" if "anew" in d["relation"] else "copy") for d in pairs)
    for row in record["duplicates_by_sets"]:
        key = row["first"], row["second"]
        row |= {"anew": kinds[*key, "anew"], "look_at_it": sum(
            d["look_at_it"] for d in pairs if (d["first_set"], d["second_set"]) == key)}  # fmt: skip
        row["pictures_of_first"] = len({d["first"] for d in pairs if (d["first_set"], d["second_set"]) == key})
    named = [d for d in pairs if d["first"].startswith("11216") and d["second"].startswith("11158")]
    by_set = Counter((p["set"], p["kind"]) for p in problems)
    problems_by_set = [{"set": s, "kind": k, "number": n} for (s, k), n in sorted(by_set.items())]
    return {**record, "command": command, "named_in_readme": named, "problems_by_set": problems_by_set}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--every", type=int, default=5)
    arguments = parser.parse_args()
    root = Path(os.environ["FISSURA_DATA"]) / "crack"
    result = {**describe_run(), "check": check(root, arguments.report), "planted": plant(root),
              "losses": lose(root, arguments.every), "losses_every": arguments.every}  # fmt: skip
    print("written to", write_result("data_check", result, None))


if __name__ == "__main__":
    main()
