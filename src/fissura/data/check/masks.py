"""What is odd about one mask, and how wide its cracks are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from skimage.morphology import skeletonize

from fissura.data.labels.loss import line_length_px
from fissura.data.pairs import decode_faint_mask, describe_faint
from fissura.errors import DataError
from fissura.types import BoolMask

FULL_SHARE = 0.5
SPECK_PX = 4
"""Pixels of the largest piece that counts as a speck and is left out of widths."""
_MOST_SPECKS, _SPECK_SHARE = 20, 0.75
_SOFT_SHARE = 1e-4
"""Of pixels between background and crack: fewer are a matter of the encoder."""
_WIDEST_PX = 256
MOST_PIXELS = 150_000_000


@dataclass(frozen=True, eq=False)
class MaskFacts:
    """What was found in a mask.

    Attributes:
        size_hw: Height and width.
        crack_share: Crack pixels, 0 to 1.
        odd: Kinds of `listing.PROBLEMS` with words.
        widths: Centreline pixels by width: index is the width in whole pixels, shape (257,). Specks are left out.
        crack_px: Crack pixels without specks.
        centreline_px: Length of the centreline.
    """

    size_hw: tuple[int, int]
    crack_share: float
    odd: tuple[tuple[str, str], ...]
    widths: npt.NDArray[np.int64]
    crack_px: int
    centreline_px: float


@dataclass(frozen=True)
class WidthStatistics:
    """Widths of labels of a set, in pixels, over centreline pixels; None where there is no crack.

    Attributes:
        mean_px: Crack area over centreline length.
        p5_px, median_px, p95_px: Of twice the distance from the centreline to the background.
        crack_share: Mean share of crack pixels.
    """

    mean_px: float | None
    p5_px: float | None
    median_px: float | None
    p95_px: float | None
    crack_share: float


def inspect_mask(path: Path, image_hw: tuple[int, int] | None) -> MaskFacts:
    """Look at a mask.

    Args:
        path: The mask.
        image_hw: Height and width of its image; None if that cannot be read.
    Raises:
        DataError: It cannot be read.
    """
    odd = list(_read_oddities(path))
    mask, greys = decode_faint_mask(path, str(path))
    if greys:
        odd.append(("faint mask", f"it has {describe_faint(greys)}"))
    if image_hw is not None and mask.shape != image_hw:
        odd.append(
            ("size mismatch", f"it is {mask.shape[1]}x{mask.shape[0]} but its image is {image_hw[1]}x{image_hw[0]}")
        )
    share = float(mask.mean()) if mask.size else 0.0
    if share > FULL_SHARE:
        odd.append(("nearly full mask", f"{100 * share:.0f} % of it is crack; invert it if black is crack"))
    whole, specks, pieces = remove_specks(mask)
    if specks >= _MOST_SPECKS and specks >= _SPECK_SHARE * pieces:
        text = f"{specks} of its {pieces} pieces have up to {SPECK_PX} pixels; remove them, or make it binary at 128"
        odd.append(("specks", text))
    widths, length = measure_widths(whole)
    return MaskFacts((mask.shape[0], mask.shape[1]), share, tuple(odd), widths, int(whole.sum()), length)


def remove_specks(mask: BoolMask) -> tuple[BoolMask, int, int]:
    """The mask without specks, their number, and the number of pieces before; pixels that touch are one piece."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] > SPECK_PX
    large[0] = False
    return np.asarray(large[labels], np.bool_), int(count - 1 - large.sum()), count - 1


def _read_oddities(path: Path) -> list[tuple[str, str]]:
    """What is odd about the way it is written, before `decode_faint_mask` makes the best of it."""
    from PIL import Image

    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty (0 bytes); copy it again")
    odd: list[tuple[str, str]] = []
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"{path.name} has {image.width}x{image.height} pixels; cut it into parts")
            mode, values = image.mode, np.asarray(image)
            palette = image.getpalette() if mode == "P" else None
    except DataError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise DataError(f"{path.name} cannot be read as a mask ({error}); export it again") from error
    if mode == "P":
        used = np.unique(values).tolist()
        colours = [tuple((palette or [])[3 * i : 3 * i + 3]) for i in used[:4]]
        shown = ", ".join(f"{i} is {c}" for i, c in zip(used, colours, strict=False))
        odd.append(("palette mask", f"indices with colours ({shown}); convert to grey with 0 and 255"))
        return odd
    if values.ndim == 3:
        odd.append(("colour mask", f"mode {mode}; convert to grey with 0 and 255"))
        values = values[..., :3].max(axis=2)
    top = int(values.max(initial=0))
    between = int(((values > 0) & (values < top)).sum()) if values.dtype != np.bool_ else 0
    if between > _SOFT_SHARE * values.size:
        share = f"{100 * between / values.size:.2g} %"
        odd.append(("non-binary mask", f"{share} of its pixels lie between 0 and {top}; 128 and above count as crack"))
    return odd


def measure_widths(mask: BoolMask) -> tuple[npt.NDArray[np.int64], float]:
    """Centreline pixels by drawn width, shape (257,), and the centreline's length in pixels.

    The width is twice the distance from a centreline pixel to the nearest background, less one, so that a line of one
    pixel is 1 wide; lines of even width come out one less on one side and are counted half a pixel too thin.

    >>> bar = np.zeros((9, 20), bool); bar[3:6, 2:18] = True
    >>> int(measure_widths(bar)[0].argmax())
    3
    """
    if not mask.any():
        return np.zeros(_WIDEST_PX + 1, np.int64), 0.0
    box = np.s_[max(np.flatnonzero(mask.any(1))[0] - 1, 0) :, max(np.flatnonzero(mask.any(0))[0] - 1, 0) :]
    padded = np.pad(mask[box], 1).astype(np.uint8)
    line = np.asarray(skeletonize(padded > 0), np.bool_)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    widths = np.clip(np.rint(2 * distance[line] - 1), 1, _WIDEST_PX).astype(np.int64)
    return np.bincount(widths, minlength=_WIDEST_PX + 1), line_length_px(line)


def sum_widths(facts: Sequence[MaskFacts]) -> WidthStatistics:
    """Statistics of a set, every centreline pixel counted once."""
    share = float(np.mean([f.crack_share for f in facts])) if facts else 0.0
    total = np.sum([f.widths for f in facts], axis=0) if facts else np.zeros(_WIDEST_PX + 1, np.int64)
    count = int(total.sum())
    if not count:
        return WidthStatistics(None, None, None, None, share)
    rising = np.cumsum(total)
    p5, median, p95 = (float(np.searchsorted(rising, q * count)) for q in (0.05, 0.5, 0.95))
    length = sum(f.centreline_px for f in facts)
    area = sum(f.crack_px for f in facts)
    return WidthStatistics(area / max(length, 1.0), p5, median, p95, share)
