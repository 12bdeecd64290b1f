"""Counts of every image of a test, kept, so that sets can be drawn again from its images at any time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fissura.errors import DataError
from fissura.imaging.write import write_bytes
from fissura.metrics.set_score import SetScore
from fissura.types import BoolMask, FloatArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """Counts of N images at threshold 0.5 and along the curves; see `fissura.metrics.counts`.

    Attributes:
        names: Stems, shape (N,).
        pixels: tp, fp, fn, tn, shape (N, 4).
        near: Predicted, predicted hit, truth, truth hit, with dilation tolerance, shape (N, 4).
        curve: Predicted and hit at 99 thresholds, shape (N, 2, 99).
        boundary: Predicted and matched by the BSDS protocol at K thresholds, shape (N, 2, K).
        boundary_truth: Thinned true pixels, shape (N,).
        components: True components, shape (N,).
        found_image: Which image a predicted component is in, shape (D,).
        found_score: Its mean probability, shape (D,).
        found_hit: Whether it is a true one, shape (D,).
        left_out: Images that could not be read, and why, shape (L, 2).
    """

    names: npt.NDArray[np.str_]
    pixels: IntArray
    near: IntArray
    curve: IntArray
    boundary: IntArray
    boundary_truth: IntArray
    components: IntArray
    found_image: IntArray
    found_score: FloatArray
    found_hit: BoolMask
    left_out: npt.NDArray[np.str_]

    @classmethod
    def of(cls, images: Sequence[SetScore], left_out: Mapping[str, str]) -> ImageCounts:
        """From one `SetScore` an image, each with ``instances`` and ``boundary_every``."""
        near = [score.near for score in images]
        found = [score.components for score in images]
        return cls(
            names=np.array([score.images[0].name for score in images], np.str_),
            pixels=_ints([[p.tp, p.fp, p.fn, p.tn] for p in (score.pixels for score in images)]),
            near=_ints([[n.predicted, n.predicted_hit, n.truth, n.truth_hit] for n in near]),
            curve=_ints([[score.curve.predicted, score.curve.predicted_hit] for score in images]),
            boundary=_ints([[score.boundary.predicted, score.boundary.predicted_hit] for score in images]),
            boundary_truth=_ints([score.boundary.truth for score in images]),
            components=_ints([f.truth for f in found]),
            found_image=np.repeat(np.arange(len(images)), [len(f.scores) for f in found]),
            found_score=np.concatenate([f.scores for f in found]),
            found_hit=np.concatenate([f.hits for f in found]),
            left_out=np.array(list(left_out.items()), np.str_).reshape(-1, 2),
        )

    def __len__(self) -> int:
        return len(self.names)

    def take(self, names: Sequence[str]) -> ImageCounts:
        """The images of these names, in this order."""
        place = {str(name): i for i, name in enumerate(self.names)}
        index = np.array([place[name] for name in names], np.int64)
        order = np.full(len(self), -1)
        order[index] = np.arange(len(index))
        kept = order[self.found_image] >= 0
        return ImageCounts(
            self.names[index], self.pixels[index], self.near[index], self.curve[index], self.boundary[index],
            self.boundary_truth[index], self.components[index], order[self.found_image[kept]],
            self.found_score[kept], self.found_hit[kept], self.left_out,
        )  # fmt: skip

    def write(self, path: Path) -> None:
        """Write as NumPy archive, whole or not at all. Raises OutputError."""
        data = io.BytesIO()
        np.savez_compressed(data, **{field.name: getattr(self, field.name) for field in fields(self)})
        write_bytes(path, data.getbuffer())

    @classmethod
    def read(cls, path: Path) -> ImageCounts:
        """Read back.

        Raises:
            DataError: The file is not there or damaged.
        """
        try:
            # Through memory: of a file that is no archive NumPy leaves the handle open.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                found: dict[str, Any] = {field.name: arrays[field.name] for field in fields(cls)}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"the counts {path} cannot be read: {error}") from error
        return cls(**found)


def _ints(rows: Sequence[Any]) -> IntArray:
    return np.array(rows, np.int64)
