import errno
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from fissura.errors import GeometryError, OutputError
from fissura.imaging.cog import remove_leftovers
from fissura.imaging.write import (
    TEMPORARY_SUFFIX,
    open_text,
    remove_temporary_files,
    temporary_path,
    write_bytes,
    write_jpeg,
    write_mask,
    write_png,
)


def test_mask_is_0_or_255(tmp_path):
    mask = np.random.default_rng(0).random((33, 21)) < 0.3
    write_mask(tmp_path / "deep" / "ü.png", mask)
    image = Image.open(tmp_path / "deep" / "ü.png")
    assert image.mode == "L"
    assert (np.asarray(image) == np.where(mask, 255, 0)).all()


def test_colours_are_in_order(tmp_path):
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[...] = (250, 120, 10)
    write_png(tmp_path / "a.png", rgb)
    write_jpeg(tmp_path / "a.jpg", rgb)
    assert (np.asarray(Image.open(tmp_path / "a.png")) == rgb).all()
    assert np.abs(np.asarray(Image.open(tmp_path / "a.jpg")).astype(int) - rgb).max() < 8


def test_nothing_is_left_of_a_failed_write(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"before")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"a\.png: the disk is full") as caught:
        write_bytes(tmp_path / "a.png", b"after")
    assert caught.value.errno == errno.ENOSPC
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.png", b"before")]


def test_a_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(OutputError, match="choose another --out"):
        write_bytes(tmp_path / "a" / "b.png", b"x")


def test_sweeping_up_touches_only_our_leftovers(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / f".a.png.77{TEMPORARY_SUFFIX}").write_bytes(b"half")
    (tmp_path / "sub" / "a.png").write_bytes(b"whole")
    assert remove_temporary_files(tmp_path) == 1
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.png"]


def test_two_threads_write_names_that_begin_alike(tmp_path):
    beginning = "Bundesstrasse_B27_Abschnitt_0340_" * 3
    contents = {tmp_path / f"{beginning}{name}.json": name.encode() for name in ("1", "2")}
    both_open = threading.Barrier(2, timeout=10)

    def write(path, content):
        with open_text(path) as file:
            both_open.wait()
            file.write(content.decode())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, *zip(*contents.items(), strict=True)))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_a_name_as_long_as_the_disk_takes(tmp_path):
    path = tmp_path / ("路" * 83 + ".json")
    write_bytes(path, b"x")
    assert path.read_bytes() == b"x"


def test_leftovers_of_a_cog_of_both_forms_are_found(tmp_path):
    target = tmp_path / "mask.tif"
    for name in (temporary_path(target).name, f".mask.tif.77{TEMPORARY_SUFFIX}.ovr.tmp", "mask.tif"):
        (tmp_path / name).write_bytes(b"")
    remove_leftovers(target)
    assert [path.name for path in tmp_path.iterdir()] == ["mask.tif"]


def test_too_long_for_jpeg(tmp_path):
    with pytest.raises(GeometryError, match="65,500"):
        write_jpeg(tmp_path / "a.jpg", np.zeros((1, 70_000, 3), np.uint8))
