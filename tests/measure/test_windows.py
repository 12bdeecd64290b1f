"""Widths by windows agree with widths from the whole picture."""

import cv2
import numpy as np

from fissura.measure.graph import trace_cracks
from fissura.measure.widths import measure_widths
from fissura.measure.windows import measure_widths_by_windows


def _picture() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    mask = np.zeros((900, 7000), np.uint8)
    # Two neighbourhoods far apart, and one crack longer than a block.
    for (x0, y0), (x1, y1), width in [((100, 100), (700, 300), 9), ((300, 400), (800, 700), 5),
                                      ((6100, 100), (6800, 500), 7),
                                      ((1500, 800), (5600, 760), 6)]:  # fmt: skip
        cv2.line(mask, (x0, y0), (x1, y1), 255, width)
    soft = cv2.GaussianBlur(mask, (0, 0), 0.9).astype(np.float32) / 255
    grey = 150 * (1 - 0.8 * soft) + rng.normal(0, 2, mask.shape)
    return mask > 0, np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def test_windows_give_what_the_whole_picture_gives() -> None:
    mask, rgb = _picture()
    graph = trace_cracks(mask)
    reads = []

    def read(rows: slice, columns: slice) -> np.ndarray:
        reads.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return rgb[rows, columns]

    whole, parts = measure_widths(graph, rgb), measure_widths_by_windows(graph, read)
    assert len(reads) == 3 and max(reads) < mask.size
    for a, b in zip(whole.branches, parts.branches, strict=True):
        assert abs(float(np.median(a.width_px)) - float(np.median(b.width_px))) < 0.25
        assert b.from_grey.all()


def test_nothing_found_is_no_error() -> None:
    graph = trace_cracks(np.zeros((50, 60), bool))
    assert measure_widths_by_windows(graph, lambda rows, columns: np.zeros((0, 0, 3), np.uint8)).branches == ()
