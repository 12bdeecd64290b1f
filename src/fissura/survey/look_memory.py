"""`LookMemory`: what the network said of each looked-at frame of a video, on disk.

A killed survey of a video decodes and registers again, which is quick and gives the same, but does not ask the network
again. To make both runs equal, the first one goes on with what it wrote down, too: probabilities in 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from fissura.imaging.write import write_png
from fissura.types import Probability


class LookMemory:
    """See the module.

    Args:
        folder: Belongs to one video and one set of settings.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.recalled = 0
        """Looks that the network was spared."""

    def recall(
        self, index: int, count: int, tile: int, predicted: Iterable[Probability]
    ) -> Iterator[Probability]:
        """Results of a frame's slices: those on disk, or ``predicted``, which are then written down.

        Args:
            index: Number of the frame.
            count: Of its slices.
            tile: Their side in pixels.
            predicted: Probabilities of the slices, shape (tile, tile), not asked for if they are known.
        Raises:
            OutputError: They cannot be written.
        """
        path = self._folder / f"{index:08d}.png"
        known = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
        if known is not None and known.shape == (count * tile, tile):
            self.recalled += 1
            stacked = np.asarray(known, np.uint8)
        else:
            stacked = np.concatenate([np.rint(p * np.float32(255)).astype(np.uint8) for p in predicted])
            write_png(path, stacked)
        for k in range(count):
            yield stacked[k * tile : (k + 1) * tile].astype(np.float32) / np.float32(255)
