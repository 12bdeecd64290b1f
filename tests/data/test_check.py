"""Near-duplicates that were planted, look-alikes that are none, and faults of files and masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from fissura.data.check.duplicates import find_duplicates
from fissura.data.check.features import describe, mirror, orient, orientation_matrix
from fissura.data.check.inspect import find_empty_masks, inspect_sets
from fissura.data.check.listing import list_sets
from fissura.data.check.masks import inspect_mask, measure_widths, sum_widths
from fissura.errors import DataError

HW = (192, 224)


def _photo(make_data, seed, hw=HW):
    return make_data.picture(seed, hw)


def _save(folder, stem, rgb, mask=None, quality=92):
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(folder / "images" / f"{stem}.jpg", quality=quality)
    mask = np.zeros(rgb.shape[:2], np.uint8) if mask is None else mask
    Image.fromarray(mask).save(folder / "masks" / f"{stem}.png")


def _crop(rgb):
    h, w = rgb.shape[:2]
    part = rgb[20 : 20 + int(0.6 * h), 50 : 50 + int(0.6 * w)]
    return cv2.resize(part, None, fx=1.4, fy=1.4, interpolation=cv2.INTER_CUBIC)


COPIES = {
    "same": lambda rgb: rgb,
    "crop": _crop,
    "mirrored crop": lambda rgb: _crop(rgb)[:, ::-1].copy(),
    "quarter turn": lambda rgb: orient(rgb, 1),
    "half turn, smaller": lambda rgb: cv2.resize(orient(rgb, 2), None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA),
    "upside down": lambda rgb: rgb[::-1].copy(),
    "darker": lambda rgb: (rgb * 0.7).astype(np.uint8),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory, make_data):
    """A train and a test split of one material each, in which every kind of copy occurs once."""
    root = tmp_path_factory.mktemp("sets")
    for seed in range(12):
        _save(root / "a" / "train", f"train{seed}", _photo(make_data, seed))
    for number, copy in enumerate(COPIES.values()):
        _save(root / "a" / "test", f"copy{number}", copy(_photo(make_data, number)), quality=70)
    for seed in range(40, 52):
        _save(root / "b" / "test", f"other{seed}", _photo(make_data, seed))
    pictures = inspect_sets(list_sets([root]), workers=2)
    return pictures, find_duplicates(pictures)


def test_every_planted_copy_is_found_and_nothing_else(planted):
    _, search = planted
    pairs = {(d.first.stem, d.second.stem) for d in search.found}
    assert pairs == {(f"copy{number}", f"train{number}") for number in range(len(COPIES))}
    assert all(d.sure for d in search.found)


def test_how_the_copy_follows_is_said_and_placed(planted):
    _, search = planted
    found = {d.first.stem: d for d in search.found}
    words = dict(zip(COPIES, [found[f"copy{n}"].relation for n in range(len(COPIES))], strict=True))
    assert words["same"] == words["darker"] == "same view"
    assert words["crop"].startswith("one is a part of the other, scaled by")
    assert "mirrored" in words["mirrored crop"] and "part of the other" in words["mirrored crop"]
    assert words["quarter turn"] == "same view, turned by 90°"
    assert words["half turn, smaller"] == "same view, turned by 180°, scaled by 1.43"
    assert "mirrored" in words["upside down"] and "turned by 180°" in words["upside down"]
    crop = found["copy1"].alignment
    np.testing.assert_allclose(crop.matrix @ [50, 20, 1], [0, 0], atol=2)  # from the whole to the crop
    assert crop.zoom == pytest.approx(1.4, rel=0.01)


def test_the_search_says_the_same_again(planted):
    pictures, search = planted
    again = find_duplicates(pictures)
    assert [(d.first.stem, d.alignment.correlation) for d in again.found] == [
        (d.first.stem, d.alignment.correlation) for d in search.found
    ]


def test_copies_within_a_split_only_where_asked(tmp_path, make_data):
    for name in ("x", "y"):
        _save(tmp_path / "train", name, _photo(make_data, 1))
    pictures = inspect_sets(list_sets([tmp_path]), workers=1)
    assert not find_duplicates(pictures).found
    assert len(find_duplicates(pictures, within=True).found) == 1


def test_flat_and_tiny_pictures_are_no_trouble(tmp_path):
    for split in ("train", "test"):
        for number, value in enumerate((0, 128, 255)):
            _save(tmp_path / split, f"{number}", np.full((64, 64, 3), value, np.uint8))
        _save(tmp_path / split, "tiny", np.full((3, 2, 3), 9, np.uint8))
    search = find_duplicates(inspect_sets(list_sets([tmp_path]), workers=1))
    assert not search.found


def test_descriptors_of_a_mirror_image_are_a_permutation(make_data):
    grey = cv2.cvtColor(_photo(make_data, 2), cv2.COLOR_RGB2GRAY)
    plain, flipped = describe(grey), describe(np.ascontiguousarray(grey[:, ::-1]))
    expected = mirror(plain.descriptors).astype(float)
    found = flipped.descriptors.astype(float)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert np.median((expected @ found.T).max(axis=1)) > 0.97
    assert np.array_equal(mirror(mirror(plain.descriptors)), plain.descriptors)


@pytest.mark.parametrize("orientation", range(8))
def test_orientations_put_pixels_where_the_matrix_says(orientation):
    picture = np.zeros((5, 9), np.uint8)
    picture[1, 6] = 1
    x, y = orientation_matrix(orientation, (5, 9)) @ [6, 1, 1]
    assert orient(picture, orientation)[round(y), round(x)] == 1


def _bar(width, hw=(60, 80)):
    mask = np.zeros(hw, bool)
    mask[20 : 20 + width, 5:75] = True
    return mask


@pytest.mark.parametrize("width", [1, 3, 5, 9])
def test_width_of_a_bar(width):
    assert int(measure_widths(_bar(width))[0].argmax()) == width


def test_width_statistics_of_a_set(tmp_path):
    facts = []
    for width in (1, 9):
        Image.fromarray(_bar(width)).save(tmp_path / "m.png")
        facts.append(inspect_mask(tmp_path / "m.png", (60, 80)))
    found = sum_widths(facts)
    assert (found.p5_px, found.p95_px) == (1.0, 9.0)
    assert found.crack_share == pytest.approx((70 + 630) / 2 / 4800)
    assert sum_widths([]).median_px is None


def _palette(mask):
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image.convert("P") if image.mode != "P" else image


def _dots():
    mask = np.zeros((60, 80), bool)
    mask[40::4, ::4] = True
    return mask


ODD = {
    "palette mask": _palette(_bar(3)),
    "colour mask": Image.fromarray(np.repeat(_bar(3)[..., None] * np.uint8(255), 3, axis=2)),
    "non-binary mask": Image.fromarray(cv2.GaussianBlur(_bar(3) * np.uint8(255), (5, 5), 0)),
    "faint mask": Image.fromarray(_bar(3) * np.uint8(2)),
    "specks": Image.fromarray(_bar(3) | _dots()),
    "nearly full mask": Image.fromarray(~_bar(3)),
    "size mismatch": Image.fromarray(_bar(3, (30, 80))),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_masks_are_named(tmp_path, kind):
    ODD[kind].save(tmp_path / "m.png")
    assert [found for found, _ in inspect_mask(tmp_path / "m.png", (60, 80)).odd] == [kind]


@pytest.mark.parametrize("values", [(0, 1), (0, 255)])
def test_two_values_are_fine(tmp_path, values):
    Image.fromarray(np.where(_bar(3), *values[::-1]).astype(np.uint8)).save(tmp_path / "m.png")
    assert inspect_mask(tmp_path / "m.png", (60, 80)).odd == ()


@pytest.mark.parametrize(("data", "words"), [(b"", "0 bytes"), (b"\x89PNG\r\n\x1a\n", "cannot be read")])
def test_masks_that_are_no_masks(tmp_path, data, words):
    (tmp_path / "m.png").write_bytes(data)
    with pytest.raises(DataError, match=words):
        inspect_mask(tmp_path / "m.png", None)


def test_faults_of_files_are_listed_and_the_rest_is_looked_at(tmp_path, make_data):
    folder = tmp_path / "set" / "train"
    for name in "abc":
        _save(folder, name, _photo(make_data, 5), _bar(3, HW) * np.uint8(255))
    _save(folder, "lonely", _photo(make_data, 6))
    (folder / "masks" / "lonely.png").unlink()
    (folder / "masks" / "other.png").write_bytes((folder / "masks" / "a.png").read_bytes())
    (folder / "images" / "b.jpg").write_bytes(b"")
    data = (folder / "images" / "c.jpg").read_bytes()
    (folder / "images" / "c.jpg").write_bytes(data[: len(data) // 2])
    Image.new("RGB", (8, 8)).save(folder / "images" / "a.png")
    _save(folder, "empty", _photo(make_data, 7))
    sets = list_sets([tmp_path])
    pictures = inspect_sets(sets, workers=1)
    problems = [*sets[0].problems, *(p for picture in pictures for p in picture.problems)]
    problems += find_empty_masks(pictures)[0]
    assert sorted((p.kind, p.file) for p in problems) == [
        ("empty mask", "masks/empty.png"), ("same stem", "images/a.png"), ("unpaired image", "images/lonely.jpg"),
        ("unpaired mask", "masks/other.png"), ("unreadable image", "images/b.jpg"),
        ("unreadable image", "images/c.jpg"),
    ]  # fmt: skip


def test_sets_without_any_crack_are_meant_so(tmp_path, make_data):
    _save(tmp_path / "negatives" / "test", "a", _photo(make_data, 5))
    _save(tmp_path / "cracks" / "train", "a", _photo(make_data, 6), _bar(3, HW) * np.uint8(255))
    _save(tmp_path / "cracks" / "test", "b", _photo(make_data, 7))
    empty, negative = find_empty_masks(inspect_sets(list_sets([tmp_path]), workers=1))
    assert [p.file for p in empty] == ["masks/b.png"]
    assert negative == ["negatives/test"]


def test_no_set_at_all(tmp_path):
    with pytest.raises(DataError, match="holds no data set"):
        list_sets([tmp_path])


def test_sets_of_faint_masks_are_not_meant_to_be_without_crack(tmp_path, make_data):
    _save(tmp_path / "train", "a", _photo(make_data, 5), _bar(3, HW) * np.uint8(38))
    _save(tmp_path / "test", "b", _photo(make_data, 6))
    pictures = inspect_sets(list_sets([tmp_path]), workers=1)
    empty, negative = find_empty_masks(pictures)
    assert [p.kind for picture in pictures for p in picture.problems] == ["faint mask"]
    assert ([p.file for p in empty], negative) == (["masks/b.png"], [])
