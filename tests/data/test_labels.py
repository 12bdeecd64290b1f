"""Masks through every format of labelling tools and back."""

from __future__ import annotations

import base64
import io
import json
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fissura.data.labels.formats import EXACT, FORMATS, open_sink, read_annotations
from fissura.data.labels.loss import Loss, compare_masks, line_length_px
from fissura.data.labels.pictures import PictureFolder, displayed_size_hw, plan_stems
from fissura.data.labels.rle import decode_runs, encode_runs, runs_to_text, text_to_runs
from fissura.data.labels.shapes import Shape, draw_shapes
from fissura.data.labels.yolo import to_pixels
from fissura.errors import DataError, SettingsError

HW = (40, 60)


def _empty():
    return np.zeros(HW, bool)


def _hairline():
    mask = _empty()
    columns = np.arange(3, 57)
    mask[np.rint(20 + 12 * np.sin(columns / 6)).astype(int), columns] = True
    mask[0, :] = mask[:, 59] = True  # along the border of the picture
    return mask


def _rings():
    """A ring in a ring, with a hole of one pixel, and a lone pixel."""
    mask = _empty()
    mask[5:35, 5:35] = True
    mask[8:32, 8:32] = False
    mask[12:28, 12:28] = True
    mask[20, 20] = False
    mask[2, 50] = True
    return mask


def _noise():
    return np.random.default_rng(3).random(HW) < 0.4


MASKS = {"hairline": _hairline(), "rings": _rings(), "noise": _noise(), "none": _empty(), "all": ~_empty()}


def _write(folder, fmt, masks=MASKS, **options):
    pictures = {}
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    with open_sink(fmt, folder / "labels", **options) as sink:
        for name, mask in masks.items():
            path = folder / "pictures" / f"{name}.png"
            Image.fromarray(np.zeros((*mask.shape, 3), np.uint8)).save(path)
            pictures[name] = sink.add(path, mask)
    return pictures


def _read(folder, fmt):
    found = {}
    for annotation in read_annotations(fmt, folder / "labels"):
        annotation = to_pixels(annotation, HW) if fmt == "yolo-seg" else annotation
        assert not annotation.problem
        found[annotation.name.rsplit("/", 1)[-1].split(".")[0]] = draw_shapes(annotation.shapes, HW, line_px=3)
    return found


@pytest.mark.parametrize("fmt", FORMATS)
def test_round_trip_of_hairlines_and_holes_is_exact(tmp_path, fmt):
    """Exact in pixel formats by nature, and in polygons because they are drawn for it."""
    written = _write(tmp_path, fmt)
    found = _read(tmp_path, fmt)
    assert set(found) == set(MASKS)
    for name, mask in MASKS.items():
        np.testing.assert_array_equal(found[name], mask, err_msg=f"{fmt} {name}")
        # What the writer says that a reader finds is what a reader finds.
        np.testing.assert_array_equal(draw_shapes(written[name], HW, line_px=1), found[name])


@pytest.mark.parametrize("fmt", sorted(set(FORMATS) - EXACT))
def test_simplified_polygons_lose_pixels_and_say_how_many_but_no_hairline(tmp_path, fmt):
    written = _write(tmp_path, fmt, simplify_px=1.0)
    found = _read(tmp_path, fmt)
    loss = compare_masks(MASKS["hairline"], found["hairline"])
    assert loss.lost_px + loss.added_px > 0
    assert loss == compare_masks(MASKS["hairline"], draw_shapes(written["hairline"], HW, line_px=1))
    near = cv2.dilate(found["hairline"].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert (near & MASKS["hairline"]).sum() == MASKS["hairline"].sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32), st.sampled_from(["columns", "rows"]))
def test_runs_of_any_mask(height, width, seed, order):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    runs = encode_runs(mask, order)
    assert sum(runs) == height * width
    np.testing.assert_array_equal(decode_runs(text_to_runs(runs_to_text(runs)), (height, width), order), mask)


def test_run_text_of_a_worked_example():
    """Counts 6, 1, 40, 4, 5 by the rule in words: 6, 1, 40 (two groups), then 4 - 1 = 3, and 5 - 40 = -35."""
    text = runs_to_text([6, 1, 40, 4, 5])
    assert text == "61X13mN"
    assert text_to_runs(text) == [6, 1, 40, 4, 5]


@pytest.mark.parametrize(("runs", "words"), [([3, 2], "cover 5 pixels"), ([3, -1, 4], "negative"), (["a"], "whole")])
def test_runs_that_do_not_fit(runs, words):
    with pytest.raises(DataError, match=words):
        decode_runs(runs, (2, 3), "rows")


@pytest.mark.parametrize("size_hw", [(10**6, 10**6), (-2, 3)])
def test_sizes_that_no_mask_has_cost_no_memory(size_hw):
    with pytest.raises(DataError, match="is no mask"):
        decode_runs([size_hw[0] * size_hw[1]], size_hw, "rows")


@pytest.mark.parametrize("text", ["X", "\x10"])
def test_damaged_run_text(text):
    with pytest.raises(DataError, match="RLE"):
        text_to_runs(text)


def test_loss_in_pixels_and_centreline():
    before = _empty()
    before[10, 5:25] = True
    after = before.copy()
    after[10, 20:25] = False
    after[12, 30] = True
    loss = compare_masks(before, after)
    assert (loss.crack_px, loss.lost_px, loss.added_px, loss.changed) == (20, 5, 1, 1)
    assert (loss.centreline_px, loss.centreline_lost_px) == (19.0, 5.0)
    total = loss + loss + compare_masks(before, before)
    assert (total.pictures, total.changed, total.lost_px) == (3, 2, 10)
    assert "2 of 3 masks change: 10 of 60 crack pixels lost, 2 added, 10 of 57 px of centreline" in total.describe()
    assert Loss().describe() == "nothing was compared"


def test_length_counts_no_corner_twice():
    line = np.zeros((5, 5), bool)
    line[1, 1:4] = line[1:4, 3] = True
    assert line_length_px(line) == 4.0


def test_polygon_thinner_than_a_pixel_leaves_a_line():
    thin = np.array([[2.0, 10.1], [50.0, 30.1], [50.0, 30.3], [2.0, 10.3]])
    mask = draw_shapes([Shape("crack", "polygon", thin)], HW, line_px=3)
    assert mask[:, 2:50].any(axis=0).all()
    assert mask.sum() < 3 * 48


def test_lines_have_their_width():
    line = np.array([[5.0, 20.5], [55.0, 20.5]])
    assert draw_shapes([Shape("crack", "line", line)], HW, line_px=5)[:, 30].sum() == 5
    assert draw_shapes([Shape("crack", "line", line)], HW, line_px=1)[:, 30].sum() == 1


OUTSIDE = np.array([[5.0, 5], [90, 5], [90, 20]])


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (Shape("crack", "polygon", OUTSIDE), r"reaches \(90, 5\), out of the picture of 60x40"),
        (Shape("crack", "polygon", OUTSIDE[:2]), "needs 3 or more"),
        (Shape("crack", "line", OUTSIDE[:1]), "needs 2 or more"),
        (Shape("crack", "polygon", np.array([[1, 1], [np.nan, 3], [4, 4]])), "no number"),
        (Shape("crack", "mask", mask=np.ones((10, 10), bool), left=55, top=0), "reaches out of the picture"),
    ],
)
def test_shapes_that_do_not_fit(shape, words):
    with pytest.raises(DataError, match=words):
        draw_shapes([shape], HW, line_px=3)


def test_shapes_a_little_outside_are_cut_off():
    ring = np.array([[-1.5, 10], [30, 10], [30, 20], [-1.5, 20]])
    assert draw_shapes([Shape("crack", "polygon", ring)], HW, line_px=3).sum() == 300


# Files as other programs write them.

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg", "height": 4, "width": 5}],
    "categories": [{"id": 3, "name": "Crack"}],
    "annotations": [],
}


def _coco(tmp_path, **changes):
    (tmp_path / "c.json").write_text(json.dumps({**COCO, **changes}))
    return read_annotations("coco", tmp_path / "c.json")


def test_coco_polygons_and_both_kinds_of_runs(tmp_path):
    square, counts = [1, 1, 3, 1, 3, 3, 1, 3], [0, 4, 16]
    objects = [square, [square], {"size": [4, 5], "counts": counts}, {"size": [4, 5], "counts": runs_to_text(counts)}]
    annotations = [
        {"id": i, "image_id": 7, "category_id": 3, "segmentation": [square] if i == 0 else s}
        for i, s in enumerate(objects)
    ]
    (found,) = _coco(tmp_path, annotations=annotations)
    assert (found.name, found.size_hw, {s.label for s in found.shapes}) == ("a.jpg", (4, 5), {"Crack"})
    mask = draw_shapes(found.shapes, (4, 5), line_px=1)
    expected = np.zeros((4, 5), bool)
    expected[1:3, 1:3] = expected[:, 0] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[1, 2, 3]], "no pairs of x and y"),
        ([["a", "b"]], "no numbers"),
        ([], "only a box"),
        ({"size": [4, 5], "counts": [3]}, "cover 3 pixels"),
        ({"size": [8, 8], "counts": [64]}, "a mask is 8x8 but the picture is 5x4"),
        ({"counts": [20]}, "lacks its 'counts' or its 'size'"),
    ],
)
def test_what_is_wrong_with_one_coco_picture_concerns_that_one(tmp_path, segmentation, words):
    images = [*COCO["images"], {"id": 8, "file_name": "b.jpg", "height": 4, "width": 5}]
    objects = [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": segmentation}]
    bad, good = _coco(tmp_path, images=images, annotations=objects)
    assert words in bad.problem
    assert not good.problem


def test_boxes_beside_outlines_are_counted(tmp_path):
    square = [1, 1, 3, 1, 3, 3, 1, 3]
    objects = [
        {"id": k, "image_id": 7, "category_id": 3, "segmentation": s} for k, s in enumerate(([square], [], None))
    ]
    (found,) = _coco(tmp_path, annotations=objects)
    assert (len(found.shapes), found.ignored, found.problem) == (1, (("box", 2),), "")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.rf.1.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.2\n0 0.5 0.5 0.1 0.1\n")
    (found,) = read_annotations("yolo-seg", tmp_path)
    assert (found.name, len(found.shapes), found.ignored, found.problem) == ("a.rf.1", 1, (("box", 1),), "")


@pytest.mark.parametrize("size", [(0, 5), (-4, 5), (4, float("inf")), (4, None), ("x", 5)])
def test_coco_sizes_that_no_picture_has_concern_that_picture(tmp_path, size):
    images = [*COCO["images"], {"id": 8, "file_name": "b.jpg", "height": size[0], "width": size[1]}]
    good, bad = _coco(tmp_path, images=images, categories=None)
    assert "its size is" in bad.problem and not good.problem


def test_numbers_without_end_concern_one_picture(tmp_path):
    (tmp_path / "a.xml").write_text(CVAT.replace('left="0" top="0"', 'left="inf" top="0"'))
    good, bad = read_annotations("cvat", tmp_path)
    assert not good.problem and "has one that is none" in bad.problem
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("inf 0.1 0.1 0.5 0.1 0.5 0.2\n")
    (found,) = read_annotations("yolo-seg", tmp_path)
    assert "a.txt: " in found.problem


def test_coco_names_annotations_of_unknown_pictures(tmp_path):
    _, lonely = _coco(tmp_path, annotations=[{"id": 1, "image_id": 99, "category_id": 3, "segmentation": []}])
    assert "1 annotation(s) name a picture that the file does not list" in lonely.problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"is empty \(0 bytes\)"),
        ('{"images": [', "no whole JSON"),
        ("[1, 2]", "no COCO file"),
        ('{"images": [], "annotations": []}', "lists no picture"),
        ('<?xml version="1.0"?><annotations></annotations>', "looks like cvat; pass --format cvat"),
        ('{"shapes": [], "imagePath": "a.jpg"}', "looks like labelme; pass --format labelme"),
        ("[" * 5000, "no whole JSON"),
    ],
)
def test_files_that_are_no_coco(tmp_path, text, words):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=words):
        read_annotations("coco", tmp_path / "c.json")


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>x</name></task></meta>
<image id="0" name="day1/a.jpg" width="5" height="4">
  <mask label="crack" source="manual" occluded="0" rle="1, 2, 1" left="1" top="1" width="2" height="2" z_order="0"/>
  <polygon label="crack" points="0.0,0.0;5.0,0.0;5.0,1.0;0.0,1.0"><attribute name="q">1</attribute></polygon>
  <polyline label="joint" points="0,3;5,3"/><box label="crack" xtl="0" ytl="0" xbr="1" ybr="1"/>
</image>
<image id="1" name="b.jpg" width="5" height="4">
  <mask label="crack" rle="9" left="0" top="0" width="2" height="2"/>
</image>
</annotations>"""


def test_cvat_masks_polygons_and_lines(tmp_path):
    (tmp_path / "a.xml").write_text(CVAT)
    good, bad = read_annotations("cvat", tmp_path)
    assert (good.name, good.size_hw, good.ignored) == ("day1/a.jpg", (4, 5), (("box", 1),))
    assert [(s.kind, s.label) for s in good.shapes] == [("mask", "crack"), ("polygon", "crack"), ("line", "joint")]
    expected = np.zeros((4, 5), bool)
    expected[0] = expected[1, 2] = expected[2, 1] = True
    np.testing.assert_array_equal(draw_shapes(good.shapes[:2], (4, 5), line_px=1), expected)
    assert "cover 9 pixels" in bad.problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotations><image", "no whole XML"),
        ("<x><annotations/></x>", "outermost element"),
        ("<annotations><track id='0'/></annotations>", "tracks of a video"),
        ("<annotations/>", "lists no picture"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotations>&b;</annotations>", "no whole XML"),
    ],
)
def test_files_that_are_no_cvat(tmp_path, text, words):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match=words):
        read_annotations("cvat", tmp_path / "a.xml")


def _png(array):
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def test_labelme_kinds_of_shapes_and_the_picture_inside(tmp_path):
    shapes = [
        {"label": "crack", "points": [[1, 1], [4, 1], [4, 3], [1, 3]], "shape_type": "polygon"},
        {"label": "crack", "points": [[0, 0], [2, 2]], "shape_type": "rectangle"},
        {"label": "crack", "points": [[0, 8], [9, 8]], "shape_type": "linestrip"},
        {"label": "crack", "points": [[20, 20], [23, 20]], "shape_type": "circle"},
        {"label": "crack", "points": [[30, 30], [32, 31]], "shape_type": "mask",
         "mask": base64.b64encode(_png(np.array([[True, False, True], [False, True, False]]))).decode()},
        {"label": "crack", "points": [[1, 1]], "shape_type": "point"},
    ]  # fmt: skip
    picture = _png(np.zeros((*HW, 3), np.uint8))
    record = {"shapes": shapes, "imagePath": "..\\photos\\a.png", "imageHeight": 40, "imageWidth": 60,
              "imageData": base64.b64encode(picture).decode()}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(record))
    (found,) = read_annotations("labelme", tmp_path / "a.json")
    assert (found.name, found.ignored, found.embedded) == ("a.png", (("point", 1),), picture)
    mask = draw_shapes(found.shapes, HW, line_px=1)
    assert mask[1:3, 1:4].all() and mask[:2, :2].all() and mask[8, :10].all() and mask[30, 32] and not mask[30, 31]
    assert 24 <= mask[15:26, 15:26].sum() <= 32


def test_one_bad_labelme_file_does_not_stop_the_others(tmp_path):
    (tmp_path / "a.json").write_text('{"shapes": [{"label": 1}], "imagePath": "a.png"}')
    (tmp_path / "b.json").write_text('{"shapes": [], "imagePath": "b.png", "imageHeight": 4, "imageWidth": 5}')
    bad, good = read_annotations("labelme", tmp_path)
    assert bad.problem and not good.problem
    with pytest.raises(DataError):
        read_annotations("labelme", tmp_path / "a.json")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.1 0.1", "line 1 is a box"),
        ("0 0.5 0.5 12 0.1 0.3 0.3", "line 1 has 12 where shares"),
        ("0 0.5 0.5 -0.9 0.1 0.3 0.3", "line 1 has -0.9 where shares"),
        ("0 0.5 x 0.1 0.1 0.3 0.3", "no numbers"),
    ],
)
def test_yolo_lines_that_do_not_fit(tmp_path, line, words):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(line)
    (tmp_path / "labels" / "b.txt").write_text("")
    bad, good = read_annotations("yolo-seg", tmp_path)
    assert words in bad.problem
    assert not good.problem and not good.shapes


def test_unknown_format_and_missing_source(tmp_path):
    with pytest.raises(SettingsError, match="choose coco, coco-rle"):
        read_annotations("voc", tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read_annotations("coco", tmp_path / "none.json")
    with pytest.raises(DataError, match=r"holds no \.json file"):
        read_annotations("coco", tmp_path)


def test_pictures_are_found_by_name_and_by_folder(tmp_path):
    for name in ("x/a.jpg", "y/a.jpg", "y/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (5, 4)).save(tmp_path / name)
    folder = PictureFolder([tmp_path])
    assert folder.find("y/a.jpg") == tmp_path / "y/a.jpg"
    assert folder.find("elsewhere/b.png") == tmp_path / "y/b.png"
    assert folder.find("b") == tmp_path / "y/b.png"
    with pytest.raises(DataError, match="2 pictures could be meant"):
        folder.find("a.jpg")
    with pytest.raises(DataError, match="--images"):
        folder.find("c.jpg")


def test_size_as_displayed(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (5, 4)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("RGB", (5, 4)).save(tmp_path / "a.tif", exif=exif)
    assert displayed_size_hw(tmp_path / "a.jpg") == displayed_size_hw(tmp_path / "a.tif") == (5, 4)
    # A tag that is a text, as some programs write it, says nothing.
    tag = struct.pack("<HHI4s", 274, 2, 4, b"top\0")
    Image.new("RGB", (5, 4)).save(tmp_path / "b.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0" + tag + bytes(4))
    assert displayed_size_hw(tmp_path / "b.jpg") == (4, 5)


def test_stems_stay_in_the_folder_and_apart():
    assert plan_stems(["../../etc/a.jpg", "b/A.png", "c:d.png"]) == ["etc__a", "b__A", "c_d"]
    assert plan_stems(["w_jpg.rf.aa1", "w_jpg.rf.bb2"]) == ["w_jpg.rf.aa1", "w_jpg.rf.bb2"]
