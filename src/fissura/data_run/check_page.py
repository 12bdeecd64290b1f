"""`report.html` of ``fissura data check``: one file with all pictures inside, which opens from disk without network."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from fissura.data.check.duplicates import Duplicate, DuplicateSearch
from fissura.data.check.inspect import Picture
from fissura.data.check.listing import PROBLEMS, Problem
from fissura.errors import FissuraError
from fissura.imaging.read import read_image
from fissura.types import RgbImage

MOST_PAIRS, MOST_MASKS, MOST_ROWS = 150, 60, 12
"""Shown on the page, rows of each set and kind; everything is in the JSON and CSV files."""

_SIDE_PX, _MARK_RGB, _JPEG_QUALITY = 300, (255, 140, 0), 80


@dataclass(frozen=True, eq=False)
class CheckResult:
    """All that a check found.

    Attributes:
        sets: Rows of the table of sets, see `check_run.summarise_sets`.
        pictures: All pictures looked at.
        problems: All problems but duplicates.
        search: The duplicates.
        negative: Sets without any crack.
        command, date: Of the run.
        seconds, cpu_seconds: It took, by the clock and of all cores together.
    """

    sets: tuple[dict[str, Any], ...]
    pictures: tuple[Picture, ...]
    problems: tuple[Problem, ...]
    search: DuplicateSearch
    negative: tuple[str, ...]
    command: str
    date: str
    seconds: float
    cpu_seconds: float


def render_check(result: CheckResult) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fissura.data_run", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    counts = Counter(problem.kind for problem in result.problems)
    counts["duplicate"] = len(result.search.found)
    return environment.get_template("check.html.j2").render(
        r=result, counts=[(kind, counts[kind], PROBLEMS[kind]) for kind in PROBLEMS if counts[kind]],
        pairs=[_pair(d) for d in _spread(result.search.found, MOST_PAIRS)], matrix=count_by_sets(result.search.found),
        rejected=[_pair(d) for d in result.search.rejected], masks=_odd_masks(result), rows=_rows(result),
        unsure=sum(not d.sure for d in result.search.found),
    )  # fmt: skip


def count_by_sets(found: Sequence[Duplicate]) -> list[tuple[str, str, int]]:
    """Number of duplicates between each two sets, the most first."""
    pairs = Counter((d.first.set_name, d.second.set_name) for d in found)
    return [(a, b, count) for (a, b), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))]


def _rows(result: CheckResult) -> list[Problem]:
    """The first problems of each kind in each set: hundreds of a kind say no more than a dozen."""
    seen: Counter[tuple[str, str]] = Counter()
    rows = []
    for problem in result.problems:
        seen[problem.set_name, problem.kind] += 1
        if seen[problem.set_name, problem.kind] <= MOST_ROWS:
            rows.append(problem)
    return rows


def _spread(found: Sequence[Duplicate], most: int) -> list[Duplicate]:
    """Some of many: of each two sets the surest and the least sure first, so that no pair of sets hides the others."""
    by_sets: dict[tuple[str, str], list[Duplicate]] = {}
    for duplicate in found:
        by_sets.setdefault((duplicate.first.set_name, duplicate.second.set_name), []).append(duplicate)
    for group in by_sets.values():
        group[:] = [group[i // 2] if i % 2 == 0 else group[-1 - i // 2] for i in range(len(group))]
    picked: list[Duplicate] = []
    while len(picked) < most and any(by_sets.values()):
        picked += [group.pop(0) for group in by_sets.values() if group]
    return sorted(picked[:most], key=lambda d: (d.first.set_name, d.second.set_name, -d.alignment.correlation))


def _pair(duplicate: Duplicate) -> dict[str, Any]:
    a, b, alignment = duplicate.first, duplicate.second, duplicate.alignment
    assert a.size_hw is not None and b.size_hw is not None
    back = cv2.invertAffineTransform(alignment.matrix)
    return {
        "first": f"{a.set_name}/{a.image.name}", "second": f"{b.set_name}/{b.image.name}",
        "relation": duplicate.relation, "correlation": f"{alignment.correlation:.2f}", "sure": duplicate.sure,
        "left": _marked(a, _corners(b.size_hw, alignment.matrix)), "right": _marked(b, _corners(a.size_hw, back)),
    }  # fmt: skip


def _corners(size_hw: tuple[int, int], matrix: Any) -> Any:
    height, width = size_hw
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) - 0.5
    return corners @ matrix[:, :2].T + matrix[:, 2]


def _marked(picture: Picture, outline_xy: Any) -> str:
    """The picture, small, with the area that the other one covers."""
    try:
        rgb = read_image(picture.image).rgb
    except FissuraError:
        return ""
    factor = _SIDE_PX / max(rgb.shape[:2])
    size_wh = max(round(rgb.shape[1] * factor), 1), max(round(rgb.shape[0] * factor), 1)
    small = cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    points = np.clip((np.asarray(outline_xy) + 0.5) * factor, -20_000, 20_000)
    # Inside the border, so that an outline that follows the picture's own can be seen.
    points = np.clip(points, -3, [size_wh[0] + 2, size_wh[1] + 2]) if _is_upright(points) else points
    points = points + np.sign(points.mean(axis=0) - points) * 2
    cv2.polylines(small, [np.rint(points).astype(np.int32)], True, _MARK_RGB, 2, cv2.LINE_AA)
    return _as_address(small)


def _is_upright(points: Any) -> bool:
    sides = np.diff(np.vstack([points, points[:1]]), axis=0)
    return bool((np.abs(sides).min(axis=1) < 0.02 * np.abs(sides).max(axis=1)).all())


def _odd_masks(result: CheckResult) -> list[dict[str, Any]]:
    """Pictures of odd masks beside their images; each kind gets its share of the places."""
    by_file = {(p.set_name, f"masks/{p.mask.name}"): p for p in result.pictures if p.mask is not None}
    kinds: dict[str, list[Problem]] = {}
    for problem in result.problems:
        if (problem.set_name, problem.file) in by_file:
            kinds.setdefault(problem.kind, []).append(problem)
    picked: list[Problem] = []
    queues = [list(problems) for problems in kinds.values()]
    while len(picked) < MOST_MASKS and any(queues):
        picked += [queue.pop(0) for queue in queues if queue]
    order = list(PROBLEMS)
    picked.sort(key=lambda p: (order.index(p.kind), p.set_name, p.file))
    return [
        {"problem": p, "left": _small(by_file[p.set_name, p.file].image),
         "right": _small(by_file[p.set_name, p.file].mask)} for p in picked[:MOST_MASKS]
    ]  # fmt: skip


def _small(path: Any) -> str:
    try:
        rgb = read_image(path).rgb
    except FissuraError:
        return ""
    factor = min(_SIDE_PX / max(rgb.shape[:2]), 1.0)
    size_wh = max(round(rgb.shape[1] * factor), 1), max(round(rgb.shape[0] * factor), 1)
    if rgb.max() <= 1:  # a mask of 0 and 1 would look black
        rgb = rgb * np.uint8(255)
    return _as_address(cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA))


def _as_address(rgb: RgbImage) -> str:
    data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
