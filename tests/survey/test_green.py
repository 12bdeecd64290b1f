"""What lies in crowns and grass is no crack; what grows in a crack does not hide it."""

import cv2
import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.measure.graph import trace_cracks
from fissura.measure.widths import mask_widths
from fissura.survey.beside import describe_green, without_unlike

ASPHALT, GRASS, SHADE, CONCRETE_WARM = (120, 120, 122), (90, 130, 60), (16, 30, 12), (150, 140, 125)


def picture(left, right, line, *, width_px=9):
    """Two grounds that meet at the line, with grain; the line's mask."""
    rgb = np.empty((200, 200, 3), np.float32)
    rgb[:, :100], rgb[:, 100:] = left, right
    mask = np.zeros((200, 200), np.uint8)
    cv2.line(mask, (100, 20), (100, 180), 1, width_px)
    rgb[mask > 0] = line
    rgb *= 1 + 0.1 * np.random.default_rng(1).standard_normal((200, 200, 1)).astype(np.float32)
    return cv2.GaussianBlur(np.clip(rgb, 0, 255).astype(np.uint8), (0, 0), 0.8), mask > 0


@pytest.mark.parametrize(
    ("left", "right", "line", "width_px", "kept"),
    [
        (GRASS, GRASS, SHADE, 9, 0),  # a gap between two crowns
        (ASPHALT, GRASS, SHADE, 9, 0),  # the shaded rim of one
        (ASPHALT, ASPHALT, GRASS, 9, 1),  # grass grows in a crack
        (ASPHALT, GRASS, (40, 40, 41), 9, 1),  # a crack along the verge
        (ASPHALT, ASPHALT, (40, 40, 41), 9, 1),
        (CONCRETE_WARM, CONCRETE_WARM, (50, 46, 40), 9, 1),
        (GRASS, GRASS, SHADE, 1, 1),  # too narrow to have a colour
    ],
)
def test_green_inside_and_beside(left, right, line, width_px, kept):
    rgb, mask = picture(left, right, line, width_px=width_px)
    graph = trace_cracks(mask)
    found, widths, pale, outlines, lost = without_unlike(
        graph, mask_widths(graph), lambda r, c: rgb[r, c], GroundScale.uniform(2.0)
    )
    assert pale == outlines == ()
    assert len(found.branches) == len(widths.branches) == kept
    assert sum(lost) == pytest.approx(0.0 if kept else 0.32, rel=0.1)
    assert (describe_green(lost) == ()) == bool(kept)


def test_a_picture_without_a_scale_tells_green_too():
    rgb, mask = picture(GRASS, GRASS, SHADE)
    graph = trace_cracks(mask)
    found, *_, lost = without_unlike(graph, mask_widths(graph), lambda r, c: rgb[r, c], None)
    assert not found.branches
    assert np.isnan(lost).all() and describe_green(lost)[0].startswith("1 finds were left out")


def test_a_dark_side_that_nobody_saw_is_not_green():
    rgb, mask = picture(ASPHALT, ASPHALT, GRASS)
    rgb[:, 110:] = 0
    graph = trace_cracks(mask)
    assert len(without_unlike(graph, mask_widths(graph), lambda r, c: rgb[r, c], None)[0].branches) == 1
