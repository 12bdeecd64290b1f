"""Archives of public sets, drawn in their authors' layout, and archives that mean harm."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from fissura.data.pairs import find_pairs, read_mask
from fissura.data.prepare import sources as module
from fissura.data.prepare.convert import fit_square
from fissura.data.prepare.pairing import pair_up
from fissura.data.prepare.recipes import find_recipe
from fissura.data.prepare.sources import open_sources
from fissura.data_run.prepare_run import PrepareRequest, run_prepare
from fissura.errors import DataError, SettingsError
from fissura.imaging.read import read_image

HW = (24, 36)


def _mask(seed=0):
    mask = np.zeros(HW, bool)
    mask[5 + seed % 10, 3:30] = True
    return mask


def _jpg(seed=0, hw=HW):
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (*hw, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def _png(mask):
    out = io.BytesIO()
    Image.fromarray(mask * np.uint8(255)).save(out, "PNG")
    return out.getvalue()


def _mat(mask):
    out = io.BytesIO()
    fields = {"Segmentation": mask.astype(np.uint16) + 1, "Boundaries": mask.astype(np.uint8)}
    savemat(out, {"groundTruth": fields})
    return out.getvalue()


def _cfd(numbers=(1, 72, 73)):
    files = {"CrackForest-dataset-master/README.md": b"x"}
    for number in numbers:
        files[f"CrackForest-dataset-master/image/{number:03d}.jpg"] = _jpg(number)
        files[f"CrackForest-dataset-master/groundTruth/{number:03d}.mat"] = _mat(_mask(number))
        files[f"CrackForest-dataset-master/seg/{number:03d}.seg"] = b"seg"
    return files


def _crack500(split="train", count=2):
    files = {}
    for n in range(count):
        files[f"{split}crop/20160222_0810{n}_1_361.jpg"] = _jpg(n)
        files[f"{split}crop/20160222_0810{n}_1_361.png"] = _png(_mask(n))
    return files


def _deepcrack():
    files = {}
    for split in ("train", "test"):
        for n in range(2):
            files[f"{split}_img/{split}{n}-1.jpg"] = _jpg(n)
            files[f"{split}_lab/{split}{n}-1.png"] = _png(_mask(n))
    return files


def _zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _tar(path, files, mode):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def _folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


WAYS = {
    "zip": lambda p, f: _zip(p / "x.zip", f),
    "tar": lambda p, f: _tar(p / "x.tar", f, "w"),
    "tar.gz": lambda p, f: _tar(p / "x.tar.gz", f, "w:gz"),
    "folder": lambda p, f: _folder(p / "x", f),
    "zip in a zip": lambda p, f: _zip(p / "outer.zip", {"inner.zip": _zip(p / "i.zip", f).read_bytes()}),
    "zip in a folder": lambda p, f: _zip(_folder(p / "down", {"n.txt": b""}) / "x.zip", f).parent,
}


def _run(name, out, *sources):
    return run_prepare(PrepareRequest(name, tuple(sources), out, quiet=True))


@pytest.mark.parametrize("way", WAYS)
def test_cfd_however_it_is_packed(tmp_path, way):
    status = _run("cfd", tmp_path / "out", WAYS[way](tmp_path, _cfd()))
    assert status == 1  # 115 pictures are missing
    train, test = find_pairs(tmp_path / "out/cfd/train"), find_pairs(tmp_path / "out/cfd/test")
    assert [p.stem for p in train] == ["001", "072"] and [p.stem for p in test] == ["073"]
    np.testing.assert_array_equal(read_mask(test[0].mask, size_hw=HW), _mask(73))
    assert train[0].image.read_bytes() == _jpg(1)


def test_the_card_says_where_from_what_and_what_is_missing(tmp_path, capsys):
    run_prepare(PrepareRequest("cfd", (_zip(tmp_path / "c.zip", _cfd()),), tmp_path / "out"))
    card = json.loads((tmp_path / "out/cfd/card.json").read_text("utf-8"))
    assert card["splits"]["train"] == {"pictures": 2, "without_crack": 0, "sizes": ["36x24 (2)"]}
    assert card["missing"] == [
        "train: 2 of 72 pictures; 70 are missing", "test: 1 of 46 pictures; 45 are missing",
    ]  # fmt: skip
    assert len(card["sources"][0]["sha256"]) == 64 and card["sources"][0]["file"] == "c.zip"
    text = (tmp_path / "out/cfd/card.md").read_text("utf-8")
    for words in ("non-commercial research", "72 are train", "70 are missing", "doi:10.1109", card["origin"]):
        assert words in text
    said = capsys.readouterr()
    assert "2 train, 1 test" in said.out and "missing: train: 2 of 72" in said.err


def test_a_whole_set_has_nothing_missing(tmp_path):
    assert _run("cfd", tmp_path / "out", _folder(tmp_path / "x", _cfd(range(1, 119)))) == 0
    assert not json.loads((tmp_path / "out/cfd/card.json").read_text("utf-8"))["missing"]


def test_crack500_crops_of_several_archives(tmp_path):
    archives = [_zip(tmp_path / f"{s}crop.zip", _crack500(s)) for s in ("train", "val", "test")]
    assert _run("crack500", tmp_path / "out", *archives) == 1
    for split in ("train", "val", "test"):
        assert len(find_pairs(tmp_path / "out/crack500" / split)) == 2


def test_crack500_whole_photos_and_crops(tmp_path):
    whole = {f"traindata/a{e}": d for e, d in ((".jpg", _jpg()), ("_mask.png", _png(_mask())))}
    _run("crack500", tmp_path / "whole", _zip(tmp_path / "a.zip", whole))
    assert [p.stem for p in find_pairs(tmp_path / "whole/crack500/train")] == ["a"]
    _run("crack500", tmp_path / "both", _zip(tmp_path / "b.zip", whole | _crack500()))
    assert len(find_pairs(tmp_path / "both/crack500/train")) == 2


def test_deepcrack(tmp_path):
    _run("deepcrack", tmp_path / "out", _zip(tmp_path / "DeepCrack.zip", _deepcrack()))
    assert [p.stem for p in find_pairs(tmp_path / "out/deepcrack/test")] == ["test0-1", "test1-1"]


def test_chcrack5k_takes_what_is_there_and_lists_the_rest(tmp_path):
    cfd, deep = _zip(tmp_path / "CrackForest.zip", _cfd()), _zip(tmp_path / "DeepCrack.zip", _deepcrack())
    road = {f"images/r{n}.png": _jpg(n, (90, 60)) for n in range(20)}
    road |= {f"masks/r{n}.png": _png(np.ones((90, 60), bool)) for n in range(20)}
    other = _folder(tmp_path / "holiday", {"beach.jpg": _jpg()})
    assert _run("chcrack5k", tmp_path / "out", cfd, deep, _folder(tmp_path / "Road420", road), other) == 1
    card = json.loads((tmp_path / "out/chcrack5k/card.json").read_text("utf-8"))
    found = [pair for s in ("train", "val", "test") for pair in find_pairs(tmp_path / "out/chcrack5k" / s)]
    assert len(found) == 3 + 4 + 20
    assert {Image.open(p.image).size for p in found} == {(480, 480)}
    assert "crack500: nothing was given; the paper has 1000 pictures of it" in card["missing"]
    assert "cfd: 3 of 117 pictures" in card["missing"]
    assert card["not_used"] == [
        {"file": "holiday/beach.jpg", "reason": "it belongs to none of the eleven sets, by the names of its folders"}
    ]
    stems = {p.stem: p for p in found}
    assert "/test/" in stems["deepcrack_test0-1"].image.as_posix()
    road_mask = read_mask(stems["road420_r0"].mask)
    assert road_mask[:, 80:400].all() and not road_mask[:, :80].any() and not road_mask[:, 400:].any()


def test_thin_cracks_survive_being_scaled_to_a_square():
    mask = np.zeros((600, 900), bool)
    mask[300, :] = True
    _, small = fit_square(np.zeros((600, 900, 3), np.uint8), mask, 480)
    assert small.shape == (480, 480) and small.any(axis=0).all()


def test_bad_pictures_are_listed_and_the_others_are_written(tmp_path, capsys):
    files = _cfd((1, 2, 3, 4, 5))
    root = "CrackForest-dataset-master"
    files[f"{root}/image/002.jpg"] = b""
    files[f"{root}/groundTruth/003.mat"] = b"no matlab"
    files[f"{root}/image/004.jpg"] = _jpg(4, (10, 10))
    del files[f"{root}/groundTruth/005.mat"]
    assert run_prepare(PrepareRequest("cfd", (_zip(tmp_path / "c.zip", files),), tmp_path / "out", quiet=True)) == 1
    assert [p.stem for p in find_pairs(tmp_path / "out/cfd/train")] == ["001"]
    card = json.loads((tmp_path / "out/cfd/card.json").read_text("utf-8"))
    reasons = {row["file"][-7:]: row["reason"] for row in card["failed"]}
    assert set(reasons) == {"002.jpg", "003.jpg", "004.jpg"}
    assert "the mask is 36x24 but the picture is 10x10" in reasons["004.jpg"]
    assert [row["file"][-7:] for row in card["not_used"]] == ["005.jpg"]
    assert "failed: c.zip/" in capsys.readouterr().err


@pytest.mark.parametrize(("tag", "turned"), [(6, False), (6, True), (3, True), (1, True)])
def test_masks_lie_on_pictures_that_a_tag_turns(tmp_path, capsys, tag, turned):
    """A mask of the stored pixels (not turned), or of the displayed ones."""
    mask = _mask()
    stored = np.where(mask, 40, 200).astype(np.uint8)
    exif, out = Image.Exif(), io.BytesIO()
    exif[274] = tag
    Image.fromarray(stored).convert("RGB").save(out, "JPEG", exif=exif, quality=95)
    displayed = {1: mask, 3: mask[::-1, ::-1], 6: np.rot90(mask, -1)}[tag]
    files = {"traincrop/1.jpg": out.getvalue(), "traincrop/1.png": _png(np.array(displayed if turned else mask))}
    _run("crack500", tmp_path / "out", _zip(tmp_path / "c.zip", files))
    (pair,) = find_pairs(tmp_path / "out/crack500/train")
    seen = read_image(pair.image).rgb[..., 0]
    drawn = read_mask(pair.mask, size_hw=seen.shape)
    assert drawn.sum() == mask.sum()
    assert (seen < 120)[drawn].mean() > 0.9
    assert ("their masks fit both ways" in capsys.readouterr().err) == (tag == 3)


def test_paths_that_lead_out_are_refused_and_nothing_is_written_there(tmp_path, capsys):
    files = _cfd() | {"../../evil/image/009.jpg": _jpg(), "/abs/image/010.jpg": _jpg(), "C:\\x\\image\\011.jpg": _jpg()}
    status = run_prepare(PrepareRequest("cfd", (_zip(tmp_path / "c.zip", files),), tmp_path / "out", quiet=True))
    assert status == 1
    assert capsys.readouterr().err.count("its path leads out of the folder") == 3
    assert {p.name for p in tmp_path.iterdir()} == {"c.zip", "out"}


def test_links_in_a_tar_are_refused(tmp_path):
    path = _tar(tmp_path / "c.tar", _cfd(), "w")
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("CrackForest-dataset-master/image/100.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with open_sources([path]) as tree:
        assert tree.refused == [("CrackForest-dataset-master/image/100.jpg", "a link or a device, no file")]


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RATIO_FROM", 1_000_000)
    bomb = _zip(tmp_path / "b.zip", _cfd((1,)) | {"image/2.png": b"\0" * 3_000_000})
    with open_sources([bomb]) as tree:
        assert "as no picture does" in tree.refused[0][1]
    monkeypatch.setattr(module, "LARGEST_ARCHIVE", 2_000_000)
    with pytest.raises(DataError, match="not opened"):
        open_sources([bomb])
    with pytest.raises(DataError, match="not opened"):
        open_sources([_tar(tmp_path / "b.tar.gz", {"image/2.png": b"\0" * 3_000_000}, "w:gz")])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.zip", b"PK\x03\x04 cut off", "no zip and no tar"),
        ("a.tar.gz", b"\x1f\x8b\x08\0 cut off", "damaged"),
        ("a.rar", b"Rar!", "unpack it and give the folder"),
        ("a.zip", b"", "no zip and no tar"),
    ],
)
def test_archives_that_cannot_be_opened(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=words):
        open_sources([tmp_path / name])


@pytest.mark.parametrize(("at", "value", "words"), [("method", 99, "compression"), ("flags", 1, "password")])
def test_whole_files_that_zipfile_cannot_read_are_not_called_damaged(tmp_path, at, value, words):
    path = _zip(tmp_path / "c.zip", _cfd((1,)))
    data = bytearray(path.read_bytes())
    for signature, offsets in ((b"PK\x03\x04", {"flags": 6, "method": 8}), (b"PK\x01\x02", {"flags": 8, "method": 10})):
        start = data.find(signature)
        while start >= 0:
            data[start + offsets[at]] = value
            start = data.find(signature, start + 4)
    path.write_bytes(data)
    with open_sources([path]) as tree, pytest.raises(DataError, match=f"{words}.*unpack the archive") as error:
        for member in tree.members:
            member.read()
    assert "damaged" not in str(error.value)


def test_archives_of_something_else_say_what_is_needed_and_what_is_there(tmp_path):
    archive = _zip(tmp_path / "holiday.zip", {"beach/1.jpg": _jpg()})
    with pytest.raises(DataError, match=r"nothing of DeepCrack was .*Needed: folders train_img.*holiday.zip/beach"):
        _run("deepcrack", tmp_path / "out", archive)
    assert not (tmp_path / "out").exists()
    with pytest.raises(SettingsError, match="there are cfd, crack500, deepcrack, chcrack5k"):
        _run("sdnet", tmp_path / "out", archive)
    with pytest.raises(DataError, match="does not exist"):
        _run("cfd", tmp_path / "out", tmp_path / "none.zip")


def test_a_set_that_is_there_is_not_overwritten_unasked(tmp_path):
    archive = _zip(tmp_path / "c.zip", _cfd())
    _run("cfd", tmp_path / "out", archive)
    with pytest.raises(SettingsError, match="--overwrite"):
        _run("cfd", tmp_path / "out", archive)


@pytest.mark.parametrize("name", ["cfd", "crack500", "deepcrack", "chcrack5k"])
def test_recipes_say_what_they_need(name):
    recipe = find_recipe(name)
    assert recipe.name == name and "doi:" in recipe.cite and recipe.terms and recipe.expects


def test_ways_to_tell_masks_from_pictures(tmp_path):
    ways = ["img/1.jpg gt/1.png", "images/2.png labels/2.png", "3.jpg 3.png", "4.jpg 4_mask.png", "5.png 5-gt.png"]
    files = {name: b"x" for way in ways for name in way.split()} | {"alone.jpg": b"x"}
    with open_sources([_folder(tmp_path / "x", files)]) as tree:
        pairs, left = pair_up(tree.members)
    assert [f"{image.path.relative_to('x')} {mask.path.relative_to('x')}" for _, image, mask in pairs] == ways
    assert [m.path.name for m in left] == ["alone.jpg"]
