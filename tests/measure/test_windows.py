"""Widths by windows agree with widths from the whole picture."""

from functools import cache

import cv2
import numpy as np
import pytest

from fissura.errors import GeometryError
from fissura.measure.graph import trace_cracks
from fissura.measure.widths import WidthReport, measure_widths
from fissura.measure.windows import measure_widths_by_windows
from support.drawn import Drawn, draw_cracks, straight

_WIDE_ONES_END = 300  # column: to the right of it are narrow cracks only


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


@cache
def _few_wide_many_narrow() -> Drawn:
    """Soft and pale, so that a narrow crack's width hangs on what the wide ones tell of the picture."""
    rng = np.random.default_rng(3)
    lines = [straight((40, 0), (60, 260), 9.0), straight((150, 60), (130, 240), 7.0)]  # one begins at the border
    for k in range(12):
        row, column = 50 + 100 * (k % 3), 360 + 250 * (k // 3)
        lines.append(straight((row, column), (row + rng.uniform(-30, 30), column + 180), 1.2 + 0.1 * k))
    lines.append(straight((300, 20), (290, 1390), 3.0))  # through all blocks
    return draw_cracks(*zip(*lines, strict=True), (320, 1400), blur=1.3, darkness=0.6, seed=4)


def _assert_same(a: WidthReport, b: WidthReport) -> None:
    assert (a.blur_px, a.darkness) == (b.blur_px, b.darkness)
    for one, other in zip(a.branches, b.branches, strict=True):
        for column in ("width_px", "sigma_px", "from_grey", "below_blur"):
            np.testing.assert_array_equal(getattr(one, column), getattr(other, column))


def test_windows_give_what_the_whole_picture_gives() -> None:
    mask, rgb = _picture()
    graph = trace_cracks(mask)
    reads = []

    def read(rows: slice, columns: slice) -> np.ndarray:
        reads.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return rgb[rows, columns]

    whole, parts = measure_widths(graph, rgb), measure_widths_by_windows(graph, read)
    assert len(reads) == 3 and max(reads) < mask.size
    _assert_same(whole, parts)
    assert all(widths.from_grey.all() for widths in parts.branches)


@pytest.mark.parametrize("block_px", [90, 250])
def test_narrow_cracks_learn_from_wide_ones_of_other_blocks(block_px: int) -> None:
    drawn = _few_wide_many_narrow()
    graph = trace_cracks(drawn.mask)
    whole = measure_widths(graph, drawn.rgb)
    parts = measure_widths_by_windows(graph, lambda rows, columns: drawn.rgb[rows, columns], block_px=block_px)
    for a, b in zip(whole.branches, parts.branches, strict=True):
        np.testing.assert_allclose(b.width_px, a.width_px, rtol=0.02)


def test_narrow_cracks_by_themselves_measure_otherwise() -> None:
    """Else the test above would pass with windows that know nothing of each other."""
    drawn = _few_wide_many_narrow()
    alone_mask, alone_rgb = drawn.mask[:280, _WIDE_ONES_END:], drawn.rgb[:280, _WIDE_ONES_END:]
    graph = trace_cracks(drawn.mask)
    whole = measure_widths(graph, drawn.rgb)
    narrow = [
        float(np.median(w.width_px)) for b, w in zip(graph.branches, whole.branches, strict=True)
        if b.points_rc[:, 1].min() > _WIDE_ONES_END
    ]  # fmt: skip
    alone = [float(np.median(w.width_px)) for w in measure_widths(trace_cracks(alone_mask), alone_rgb).branches]
    assert len(narrow) == len(alone) == 12
    assert np.median(np.array(sorted(alone)) / np.array(sorted(narrow))) > 1.3
    np.testing.assert_allclose(sorted(narrow), 1.2 + 0.1 * np.arange(12), rtol=0.2)


def test_a_picture_in_one_block_measures_as_a_whole() -> None:
    drawn = _few_wide_many_narrow()
    graph = trace_cracks(drawn.mask)
    reads = []

    def read(rows: slice, columns: slice) -> np.ndarray:
        reads.append((rows, columns))
        return drawn.rgb[rows, columns]

    _assert_same(measure_widths(graph, drawn.rgb), measure_widths_by_windows(graph, read))
    assert len(reads) == 1
    told = measure_widths_by_windows(graph, read, blur_px=1.3)
    _assert_same(measure_widths(graph, drawn.rgb, blur_px=1.3), told)


def test_windows_stay_small_whatever_the_cracks_length() -> None:
    drawn = _few_wide_many_narrow()
    graph = trace_cracks(drawn.mask)

    def read(rows: slice, columns: slice) -> np.ndarray:
        assert 0 <= rows.start < rows.stop <= 320 and 0 <= columns.start < columns.stop <= 1400
        assert max(rows.stop - rows.start, columns.stop - columns.start) < 100 + 350
        return drawn.rgb[rows, columns]

    report = measure_widths_by_windows(graph, read, block_px=100)
    longest = max(range(len(graph.branches)), key=lambda i: graph.branches[i].length_px)
    assert graph.branches[longest].length_px > 1300
    assert report.branches[longest].from_grey.all()
    assert np.median(report.branches[longest].width_px) == pytest.approx(3.0, abs=0.3)


def test_nothing_found_is_no_error() -> None:
    graph = trace_cracks(np.zeros((50, 60), bool))
    assert measure_widths_by_windows(graph, lambda rows, columns: np.zeros((0, 0, 3), np.uint8)).branches == ()


def test_a_window_of_another_size() -> None:
    graph = trace_cracks(_few_wide_many_narrow().mask)
    with pytest.raises(GeometryError, match=r"was read as 20x10 instead of \d+x\d+"):
        measure_widths_by_windows(graph, lambda rows, columns: np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(GeometryError, match="block_px is 0"):
        measure_widths_by_windows(graph, lambda rows, columns: np.zeros((10, 20, 3), np.uint8), block_px=0)
