from itertools import product

import cv2
import numpy as np
import pytest
from PIL import Image

from fissura.data import find_pairs, find_sets, read_mask
from fissura.errors import DataError

TRUTH = np.zeros((6, 8), bool)
TRUTH[2, 1:7] = True


def _palette(indices, colours):
    image = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    image.putpalette([v for colour in colours for v in colour])
    return image


MASKS = {
    "grey 0/1": Image.fromarray(TRUTH.astype(np.uint8)),
    "grey 0/255": Image.fromarray(TRUTH.astype(np.uint8) * 255),
    "grey, softened": Image.fromarray(np.where(TRUTH, 200, 40).astype(np.uint8)),
    "1-bit": Image.fromarray(TRUTH.astype(np.uint8) * 255).convert("1"),
    "16-bit": Image.fromarray(TRUTH.astype(np.uint16) * 65535),
    "palette 0/1": _palette(TRUTH, [(0, 0, 0), (128, 0, 0)]),
    "palette by colour": _palette(TRUTH * 3 + 2, [(9, 9, 9)] * 2 + [(0, 0, 0)] + [(9, 9, 9)] * 2 + [(255, 255, 255)]),
    "RGB": Image.fromarray(np.repeat(TRUTH[..., None] * 255, 3, axis=2).astype(np.uint8)),
    "red on black": Image.fromarray(np.stack([TRUTH * 255, TRUTH * 0, TRUTH * 0], axis=2).astype(np.uint8)),
    "RGBA, transparent background": Image.fromarray(
        np.concatenate([np.full((6, 8, 3), 255), TRUTH[..., None] * 255], axis=2).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_every_way_to_write_a_mask(tmp_path, kind):
    MASKS[kind].save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), TRUTH)


def test_mask_of_another_size_is_named_with_both_sizes(tmp_path):
    MASKS["RGB"].save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"m\.png is 8×6 but its image is 9×6"):
        read_mask(tmp_path / "m.png", size_hw=(6, 9))


def test_unreadable_mask(tmp_path):
    (tmp_path / "m.png").write_text("no picture")
    with pytest.raises(DataError, match="cannot read the mask"):
        read_mask(tmp_path / "m.png")


WIDE = np.zeros((40, 60), np.uint8)
WIDE[10:14, 5:55] = 1
FAINT = {
    "class 2": (Image.fromarray(WIDE * 2), "0 and 2 only"),
    "per cent": (Image.fromarray(WIDE * 100), "0 and 100 only"),
    "a red that was turned grey": (_palette(WIDE, [(0, 0, 0), (128, 0, 0)]).convert("L"), "0 and 38 only"),
    "two classes": (Image.fromarray(WIDE * 38 + np.roll(WIDE, 20, axis=0) * 75), "0, 38 and 75 only"),
    "dark colour": (Image.fromarray(np.stack([WIDE * 0, WIDE * 90, WIDE * 0], axis=2)), "0 and 90 only"),
    "on transparent white": (
        Image.fromarray(np.stack([*[255 - WIDE * 217] * 3, WIDE * 255], axis=2)), "0 and 38 only",
    ),
    "16-bit": (Image.fromarray(WIDE.astype(np.uint16) * 38), "0 and 38 only"),
}


@pytest.mark.parametrize("kind", FAINT)
def test_masks_without_bright_values_are_refused_not_empty(tmp_path, kind):
    image, words = FAINT[kind]
    image.save(tmp_path / "m.png")
    with pytest.raises(DataError, match=rf"m\.png has the values {words}.*set crack to 255"):
        read_mask(tmp_path / "m.png")


def test_what_jpeg_and_resizing_leave_of_cracks_cut_off_is_no_crack(tmp_path):
    mask = np.zeros((240, 240), np.uint8)
    cv2.polylines(mask, [np.array([[20, 0], [70, 90], [60, 239]], np.int32)], False, 255, 5)
    cv2.imwrite(str(tmp_path / "m.jpg"), mask, [cv2.IMWRITE_JPEG_QUALITY, 50])
    encoded = cv2.imread(str(tmp_path / "m.jpg"), cv2.IMREAD_GRAYSCALE)
    smaller = cv2.resize(cv2.resize(mask, (70, 70), interpolation=cv2.INTER_AREA), (240, 240))
    blurred = cv2.GaussianBlur(mask, (15, 15), 0)
    traces = 0
    for soft in (encoded, smaller, blurred):
        for top, left in product(range(0, 200, 10), range(0, 200, 10)):
            part = soft[top : top + 60, left : left + 60]
            Image.fromarray(part).save(tmp_path / "m.png")
            # A mask of 0 and 1 is one whose cracks are 1, as ever.
            assert part.max() == 1 or not read_mask(tmp_path / "m.png")[part < 128].any()
            traces += 1 < part.max() < 128
    assert traces > 30


def test_all_black_is_empty_in_every_format(tmp_path):
    for name in ("m.jpg", "m.png", "m.webp"):
        Image.new("L", (33, 21)).save(tmp_path / name)
        assert not read_mask(tmp_path / name).any()


def test_masks_have_our_limit_of_pixels_not_that_of_pillow(tmp_path, monkeypatch):
    MASKS["1-bit"].save(tmp_path / "m.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), TRUTH)
    assert Image.MAX_IMAGE_PIXELS == 10
    monkeypatch.setattr("fissura.data.pairs.MAX_PIXELS", 47)
    with pytest.raises(DataError, match=r"m\.png has 8x6 pixels; cut it"):
        read_mask(tmp_path / "m.png")


def _fill(folder, images, masks):
    for name, files in (("images", images), ("masks", masks)):
        (folder / name).mkdir(parents=True)
        for file in files:
            MASKS["grey 0/255"].save(folder / name / file)


def test_pairs_by_stem_not_by_order(tmp_path):
    _fill(tmp_path, ["b.png", "a.jpg", "c.bmp"], ["a.png", "b.png", "c.png"])
    assert [(p.image.name, p.mask.name) for p in find_pairs(tmp_path)] == [
        ("a.jpg", "a.png"), ("b.png", "b.png"), ("c.bmp", "c.png"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        (["a.png", "b.png"], ["a.png"], r"1 image\(s\) without a mask of the same stem: b"),
        (["a.png"], ["a.png", "x.png"], r"1 mask\(s\) without a image of the same stem: x"),
        (["a.png", "a.jpg"], ["a.png"], "share a stem"),
        ([], ["a.png"], "holds no images"),
    ],
)
def test_mismatches_are_named(tmp_path, images, masks, message):
    _fill(tmp_path, images, masks)
    with pytest.raises(DataError, match=message):
        find_pairs(tmp_path)


def test_find_sets_below_a_folder(tmp_path):
    _fill(tmp_path / "one" / "test", ["a.png"], ["a.png"])
    _fill(tmp_path / "two", ["a.png"], ["a.png"])
    assert list(find_sets(tmp_path)) == ["one/test", "two"]
    assert list(find_sets(tmp_path / "two")) == ["."]
    with pytest.raises(DataError, match="holds no data set"):
        find_sets(tmp_path / "one" / "test" / "images")
