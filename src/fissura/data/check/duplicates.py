"""Near-duplicates: pictures of different splits or sets that show the same ground, whole or in part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from fissura.data.check.candidates import FeatureIndex, find_alike
from fissura.data.check.features import Grey
from fissura.data.check.inspect import Picture
from fissura.data.check.verify import (
    LEAST_OVERLAP,
    Alignment,
    align_by_features,
    align_whole,
    compare,
    to_file_pixels,
)

_SURE = 0.7
_KEPT_DECODED = 512
_SHOWN_REJECTED = 12
_SAME_ZOOM, _SAME_TURN_DEG, _SAME_OVERLAP = 0.04, 3.0, 0.93

Progress = Callable[[str, int, int], None]
"""Stage, steps done, steps in all."""


@dataclass(frozen=True, eq=False)
class Duplicate:
    """Two pictures that show the same.

    Attributes:
        first, second: Of different groups; the first is the one that comes first in the order of sets.
        alignment: How the second lies over the first.
    """

    first: Picture
    second: Picture
    alignment: Alignment

    @property
    def sure(self) -> bool:
        """Whether nobody needs to look: the texture agrees well."""
        return self.alignment.correlation >= _SURE

    @property
    def relation(self) -> str:
        """For people: how the second follows from the first."""
        a = self.alignment
        quarter = round(a.turn_deg / 90) * 90
        words = ["mirrored"] if a.mirrored else []
        if abs(a.turn_deg - quarter) > _SAME_TURN_DEG:
            words.append(f"turned by {a.turn_deg:.0f}°")
        elif quarter:
            words.append(f"turned by {abs(quarter)}°")
        if abs(a.zoom - 1) > _SAME_ZOOM:
            words.append(f"scaled by {1 / a.zoom:.2f}")
        if a.is_anew:
            words.append("photographed anew")
        words.insert(0, "same view" if a.overlap >= _SAME_OVERLAP and self._same_extent() else self._part())
        return ", ".join(words)

    def _same_extent(self) -> bool:
        assert self.first.size_hw is not None and self.second.size_hw is not None
        first, second = (float(np.prod(p.size_hw)) for p in (self.first, self.second) if p.size_hw is not None)
        return abs(second * self.alignment.zoom**2 / first - 1) < 1 - _SAME_OVERLAP

    def _part(self) -> str:
        if self.alignment.overlap >= _SAME_OVERLAP:
            return "one is a part of the other"
        return f"overlap of {100 * self.alignment.overlap:.0f} %"


@dataclass(frozen=True, eq=False)
class DuplicateSearch:
    """What was found.

    Attributes:
        found: Near-duplicates, the most certain first.
        rejected: The pairs most alike that were not taken, for judging the limit.
        looked_at: Pairs that were compared pixel by pixel.
        candidates: Pairs that shared features or hashes.
    """

    found: tuple[Duplicate, ...]
    rejected: tuple[Duplicate, ...]
    looked_at: int
    candidates: int


def find_duplicates(
    pictures: Sequence[Picture], *, within: bool = False, on_step: Progress = lambda stage, done, total: None
) -> DuplicateSearch:
    """Search all pictures for near-duplicates.

    Args:
        pictures: From `inspect.inspect_sets`; those that could not be read are passed over.
        within: Compare pictures of the same set and split, too.
        on_step: Told of progress.
    """
    usable = [p for p in pictures if p.description is not None]
    descriptions = [p.description for p in usable if p.description is not None]
    names = {name: number for number, name in enumerate(sorted({p.set_name for p in usable}))}
    groups = np.arange(len(usable)) if within else np.array([names[p.set_name] for p in usable], np.int64)
    if len(usable) < 2 or len(set(groups.tolist())) < 2:
        return DuplicateSearch((), (), 0, 0)
    whole = find_alike(descriptions, groups)
    shared = _vote(FeatureIndex(descriptions, groups), on_step)
    search = _Verifier(usable)
    jobs = sorted({(a, b) for a, b in whole} | {(a, b) for a, b, _ in shared})
    best: list[Duplicate] = []
    for done, pair in enumerate(jobs, 1):
        kinds = [mirrored for mirrored in (False, True) if (*pair, mirrored) in shared]
        found = search.verify(*pair, kinds, whole.get(pair))
        if found is not None:
            best.append(found)
        on_step("comparing", done, len(jobs))
    best.sort(key=lambda d: (-d.alignment.correlation, d.first.set_name, d.first.stem, d.second.stem))
    taken = [d for d in best if d.alignment.counts]
    # Those that overlap by a strip tell nothing about the limit of likeness.
    near = [d for d in best if not d.alignment.counts and d.alignment.overlap >= LEAST_OVERLAP]
    rejected = near[:_SHOWN_REJECTED]
    return DuplicateSearch(tuple(taken), tuple(rejected), len(best), len(jobs))


def _vote(index: FeatureIndex, on_step: Progress) -> set[tuple[int, int, bool]]:
    total, done, found = 2 * index.cells, 0, set()

    def step() -> None:
        nonlocal done
        done += 1
        on_step("matching features", done, total)

    for mirrored in (False, True):
        found |= {(a, b, mirrored) for a, b in index.vote(mirrored=mirrored, on_cell=step)}
    return found


class _Verifier:
    """Close looks at pairs, with the latest pictures kept decoded."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self._pictures = pictures
        self._decode = lru_cache(_KEPT_DECODED)(self._decode_now)

    def _decode_now(self, number: int) -> Grey:
        data = np.frombuffer(self._pictures[number].small, np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)

    def verify(self, a: int, b: int, kinds: Sequence[bool], orientation: int | None) -> Duplicate | None:
        """The best alignment of a pair; None if nothing fits at all."""
        first, second = self._pictures[a], self._pictures[b]
        assert first.description is not None and second.description is not None
        tries: list[tuple[npt.NDArray[np.float64], bool, int]] = []
        if orientation is not None:
            matrix = align_whole(first.description, second.description, orientation)
            tries.append((matrix, orientation >= 4, 0))
        for mirrored in kinds:
            fit = align_by_features(first.description, second.description, mirrored=mirrored)
            if fit is not None:
                tries.append((fit[0], mirrored, fit[1]))
        best: Alignment | None = None
        for matrix, mirrored, inliers in tries:
            correlation, overlap = compare(self._decode(a), self._decode(b), matrix)
            if best is None or correlation > best.correlation:
                files = to_file_pixels(matrix, first.description, second.description)
                best = Alignment(files, mirrored, correlation, overlap, inliers)
        return None if best is None else Duplicate(first, second, best)
