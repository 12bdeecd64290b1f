"""Which pairs of pictures are worth a close look: those that share features, and those whose hashes agree.

All features lie in an inverted file: each belongs to the nearest of a thousand centres and is compared with the
features of a few neighbouring cells only. That makes a set of thousands of pictures a matter of seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fissura.data.check.features import Description, Floats, mirror

Integers = npt.NDArray[np.int64]

_DIMENSIONS = 32
_CENTRES_PER_ROOT, _MOST_CENTRES = 1.0, 2048
_PROBES = 2
_LEAST_COSINE = 0.90
"""Of two features' compressed descriptors: recompressed and resized copies lie above."""
_MOST_MATCHES = 12
"""Of one feature. One that looks like many others says nothing, and would cost time."""
_LEAST_VOTES = 4
_TURN_DEG, _ZOOM_LOG2 = 30.0, 0.5
"""Features vote together that are turned and enlarged alike, to this step; chance spreads over all steps."""
_HASH_AGREEMENT = 44
"""Of the hash's products summed, -64 to 64: at most ten of 64 bits differ."""
_BLOCK = 1024

Candidate = tuple[int, int, bool]
"""First picture, second picture, whether the second is mirrored."""


def find_alike(descriptions: Sequence[Description], groups: npt.NDArray[np.int64]) -> dict[tuple[int, int], int]:
    """Pairs whose whole-picture hashes agree, with the orientation of the second that agrees best.

    Args:
        descriptions: One a picture.
        groups: Pictures of equal group are not compared, shape (N,).
    Returns:
        Orientation (see `features.orient`) by (first, second) with first < second.
    """
    every = np.stack([d.hashes for d in descriptions]).astype(np.float32) if descriptions else np.zeros((0, 8, 64))
    found: dict[tuple[int, int], tuple[float, int]] = {}
    for start in range(0, len(every), _BLOCK):
        plain = every[start : start + _BLOCK, 0]
        for orientation in range(8):
            agreement = plain @ every[:, orientation].T
            first, second = np.nonzero(agreement >= _HASH_AGREEMENT)
            for a, b in zip((first + start).tolist(), second.tolist(), strict=True):
                if a < b and groups[a] != groups[b]:
                    best = (float(agreement[a - start, b]), orientation)
                    found[a, b] = max(found.get((a, b), (-1.0, 0)), best)
    return {pair: orientation for pair, (_, orientation) in found.items()}


class FeatureIndex:
    """All features of all pictures, compressed, sorted into cells.

    Args:
        descriptions: One a picture.
        groups: Pictures of equal group are not compared, shape (N,).
    """

    def __init__(self, descriptions: Sequence[Description], groups: npt.NDArray[np.int64]) -> None:
        self.groups = groups
        self.owner = np.repeat(np.arange(len(descriptions)), [len(d.descriptors) for d in descriptions])
        raw = [d.descriptors for d in descriptions]
        self._raw = np.concatenate(raw) if raw else np.zeros((0, 128), np.uint8)
        self._angles = np.concatenate([d.angles_deg for d in descriptions]) if raw else np.zeros(0, np.float32)
        self._sizes = np.concatenate([d.sizes_log2 for d in descriptions]) if raw else np.zeros(0, np.float32)
        self._mean, self._axes = _compression(self._raw)
        self._plain = self._compress(self._raw)
        self._centres = _find_centres(self._plain)
        self._cells = _nearest(self._plain, self._centres, 1)[:, 0]
        self._order = np.argsort(self._cells, kind="stable")
        counts = np.bincount(self._cells, minlength=len(self._centres))
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    def vote(self, *, mirrored: bool, on_cell: Callable[[], None] = lambda: None) -> dict[tuple[int, int], int]:
        """Number of features that two pictures of different groups share, where it is large enough to matter.

        Args:
            mirrored: Look for mirrored copies.
            on_cell: Called after each of `cells` cells.
        """
        queries = self._compress(mirror(self._raw)) if mirrored else self._plain
        probed = _nearest(queries, self._centres, _PROBES)
        by_cell = np.argsort(probed, axis=None, kind="stable")
        bounds = np.searchsorted(probed.ravel()[by_cell], np.arange(len(self._centres) + 1))
        matches = []
        for cell in range(len(self._centres)):
            members = self._order[self._starts[cell] : self._starts[cell + 1]]
            asking = by_cell[bounds[cell] : bounds[cell + 1]] // _PROBES
            matches += list(self._match(queries, asking, members))
            on_cell()
        return self._count(np.concatenate(matches) if matches else np.zeros((0, 2), np.int64), mirrored)

    @property
    def cells(self) -> int:
        """How many cells `vote` goes through."""
        return len(self._centres)

    def _match(self, queries: Floats, asking: Integers, members: Integers) -> Iterator[Integers]:
        """Alike features of different groups, (query, member), the first one's picture before the second one's."""
        for start in range(0, len(asking), _BLOCK):
            block = asking[start : start + _BLOCK]
            cosine = queries[block] @ self._plain[members].T
            row, column = np.nonzero(cosine >= _LEAST_COSINE)
            a, b = self.owner[block[row]], self.owner[members[column]]
            fits = (self.groups[a] != self.groups[b]) & (a < b)
            row, column = row[fits], column[fits]
            # The best few of each query: sorted by query, then by likeness.
            order = np.lexsort((-cosine[row, column], row))
            rank = np.arange(len(order)) - np.searchsorted(row[order], row[order])
            kept = order[rank < _MOST_MATCHES]
            yield np.column_stack([block[row[kept]], members[column[kept]]])

    def _count(self, matches: Integers, mirrored: bool) -> dict[tuple[int, int], int]:
        """Most votes in one step of turn and zoom. A feature votes once for a picture in each step."""
        pictures = len(self.groups)
        pair = self.owner[matches[:, 0]] * pictures + self.owner[matches[:, 1]]
        # Most pairs share a feature or two by chance; without them the rest is a tenth.
        pairs, place, total = np.unique(pair, return_inverse=True, return_counts=True)
        enough = total[place] >= _LEAST_VOTES
        (query, member), place = matches[enough].T, place[enough]
        angle = 180 - self._angles[query] if mirrored else self._angles[query]
        turn = ((self._angles[member] - angle) % 360) / _TURN_DEG
        zoom = (self._sizes[member] - self._sizes[query]) / _ZOOM_LOG2 + 64
        most = np.zeros(len(pairs), np.int64)
        # Two grids, shifted by half a step, so that a border between steps does not part what belongs together.
        for shift in (0.0, 0.5):
            turn_step = np.floor(turn + shift).astype(np.int64) % round(360 / _TURN_DEG)
            step = place * 4096 + turn_step * 256 + np.floor(zoom + shift).astype(np.int64)
            order = np.lexsort((query, step))
            voter = step[order], query[order]
            new = np.ones(len(order), np.bool_)
            new[1:] = (voter[0][1:] != voter[0][:-1]) | (voter[1][1:] != voter[1][:-1])
            steps, votes = np.unique(voter[0][new], return_counts=True)
            np.maximum.at(most, steps // 4096, votes)
        strong = np.flatnonzero(most >= _LEAST_VOTES)
        rows = zip(pairs[strong].tolist(), most[strong].tolist(), strict=True)
        return {(key // pictures, key % pictures): votes for key, votes in rows}

    def _compress(self, raw: npt.NDArray[np.generic]) -> Floats:
        out = np.empty((len(raw), len(self._axes)), np.float32)
        for start in range(0, len(raw), 65536):
            part = (raw[start : start + 65536].astype(np.float32) - self._mean) @ self._axes.T
            out[start : start + 65536] = part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-6)
        return out


def _sample(rows: npt.NDArray[np.generic], most: int) -> npt.NDArray[np.generic]:
    """Evenly spread rows, so that the same pictures give the same candidates."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _compression(raw: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Mean and principal axes; a mirror image of each sampled feature keeps both kinds of query equal."""
    sample = _sample(raw, 20_000).astype(np.float32)
    if not len(sample):
        return np.zeros(128, np.float32), np.eye(_DIMENSIONS, 128, dtype=np.float32)
    sample = np.concatenate([sample, mirror(sample).astype(np.float32)])
    mean = sample.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((sample - mean).T))
    return mean, np.asarray(vectors[:, ::-1][:, :_DIMENSIONS].T, np.float32)


def _find_centres(points: Floats) -> Floats:
    """Centres of cells by a few rounds of k-means on a sample."""
    count = int(np.clip(np.sqrt(len(points)) * _CENTRES_PER_ROOT, 1, _MOST_CENTRES))
    sample = np.asarray(_sample(points, 40 * count), np.float32)
    if not len(sample):
        return np.zeros((1, _DIMENSIONS), np.float32)
    centres = np.asarray(_sample(sample, count), np.float32)
    for _ in range(3):
        nearest = _nearest(sample, centres, 1)[:, 0]
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        norm = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(norm > 1e-6, sums / np.maximum(norm, 1e-6), centres)
    return centres


def _nearest(points: Floats, centres: Floats, count: int) -> Integers:
    """Indices of the nearest centres, shape (N, count)."""
    count = min(count, len(centres))
    found = np.empty((len(points), count), np.int64)
    for start in range(0, len(points), 8192):
        cosine = points[start : start + 8192] @ centres.T
        if count == 1:
            found[start : start + 8192, 0] = cosine.argmax(axis=1)
        else:
            found[start : start + 8192] = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
    return found
