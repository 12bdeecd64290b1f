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
