"""One look at every picture of a set: what it is compared by, and what is wrong with it and its mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from fissura.data.check.features import Description, describe, shrink
from fissura.data.check.listing import Problem, SetFiles
from fissura.data.check.masks import MaskFacts, inspect_mask
from fissura.errors import DataError, FissuraError
from fissura.imaging.read import read_image

_JPEG_QUALITY = 95
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that was looked at.

    Attributes:
        set_name: Its set.
        stem: Its name.
        image: The file.
        mask: Its mask, None if it has none.
        size_hw: Height and width as displayed; None if it cannot be read.
        description: What it is compared by; None likewise.
        small: It at the compared size as JPEG, so that close looks need not decode the file again.
        facts: Of the mask; None if there is none or it cannot be read.
        problems: What is wrong.
    """

    set_name: str
    stem: str
    image: Path
    mask: Path | None
    size_hw: tuple[int, int] | None
    description: Description | None
    small: bytes
    facts: MaskFacts | None
    problems: tuple[Problem, ...]


def inspect_sets(
    sets: Sequence[SetFiles], *, workers: int, on_picture: Callable[[str], None] = lambda name: None
) -> list[Picture]:
    """Look at all pictures of all sets.

    Args:
        sets: As listed.
        workers: Threads; reading and feature finding run outside of Python's lock.
        on_picture: Called after each with its set's name.
    """
    jobs: list[tuple[SetFiles, str, Path, Path | None]] = [
        (s, pair.stem, pair.image, pair.mask) for s in sets for pair in s.pairs
    ]
    jobs += [(s, path.stem, path, None) for s in sets for path in s.lonely]
    found = []
    with ThreadPoolExecutor(workers) as pool:
        for picture in _in_order(pool, jobs, ahead=4 * workers):
            found.append(picture)
            on_picture(picture.set_name)
    return found


def _in_order(
    pool: ThreadPoolExecutor, jobs: Sequence[tuple[SetFiles, str, Path, Path | None]], ahead: int
) -> Iterator[Picture]:
    """Results in order, with only a few waiting, so that an interrupt ends the work soon."""
    rest = iter(jobs)
    waiting = [pool.submit(_inspect, *job) for job in islice(rest, ahead)]
    try:
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(_inspect, *job) for job in islice(rest, 1)]
    finally:
        for future in waiting:
            future.cancel()


def _inspect(files: SetFiles, stem: str, image: Path, mask: Path | None) -> Picture:
    problems: list[Problem] = []
    size_hw, description, small = None, None, b""
    try:
        rgb = read_image(image).rgb
        size_hw = rgb.shape[0], rgb.shape[1]
        grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        description = describe(grey)
        encoded = cv2.imencode(".jpg", shrink(grey)[0], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        small = encoded.tobytes()
    except FissuraError as error:
        problems.append(Problem("unreadable image", files.name, f"images/{image.name}", str(error)))
    facts = None
    if mask is not None:
        place = f"masks/{mask.name}"
        try:
            facts = inspect_mask(mask, size_hw)
            problems += [Problem(kind, files.name, place, text) for kind, text in facts.odd]
        except DataError as error:
            problems.append(Problem("unreadable mask", files.name, place, str(error)))
    return Picture(files.name, stem, image, mask, size_hw, description, small, facts, tuple(problems))


def find_empty_masks(pictures: Sequence[Picture]) -> tuple[list[Problem], list[str]]:
    """Masks without crack in sets with cracks, and the names of sets that have no crack at all.

    A set without any crack is meant so: it counts false alarms. Splits of one set are judged together.
    """
    with_crack = {_top(p.set_name) for p in pictures if p.facts is not None and p.facts.crack_share > 0}
    negative = sorted({p.set_name for p in pictures if p.facts is not None and _top(p.set_name) not in with_crack})
    text = "it has no crack pixel; draw the crack, or keep it if the picture has none"
    empty = [
        Problem("empty mask", p.set_name, f"masks/{p.mask.name}", text)
        for p in pictures
        if p.mask is not None and p.facts is not None and not p.facts.crack_share and _top(p.set_name) in with_crack
    ]
    return empty, negative


def _top(name: str) -> str:
    """The set without its split."""
    parent, _, last = name.rpartition("/")
    return parent if last.lower() in _SPLITS else name
