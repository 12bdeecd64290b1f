import errno
import os
from pathlib import Path

from fissura.imaging.find import find_images, plan_names


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def names_of(found, known=None):
    return list(plan_names(found.images, known or {}).values())


def test_folder_is_recursive_sorted_and_takes_images_only(tmp_path):
    touch(tmp_path, "b/2.JPG", "a.png", "b/10.tiff", "notes.txt", "._a.png", ".cache/x.png", "ü/ñ.heic")
    found = find_images([str(tmp_path)])
    assert [str(image.relative) for image in found.images] == ["a.png", "b/10.tiff", "b/2.JPG", "ü/ñ.heic"]
    assert names_of(found) == ["a", "b/10", "b/2", "ü/ñ"]


def test_equal_stems_keep_their_suffix(tmp_path):
    touch(tmp_path, "a.jpg", "a.png", "b.jpg", "sub/a.jpg", "c.jpg", "C.png")
    found = find_images([str(tmp_path)])
    names = dict(zip((str(i.relative) for i in found.images), names_of(found), strict=True))
    assert names == {"a.jpg": "a.jpg", "a.png": "a.png", "b.jpg": "b", "sub/a.jpg": "sub/a",
                     "c.jpg": "c.jpg", "C.png": "C.png"}  # fmt: skip


def test_a_name_that_looks_like_anothers_result(tmp_path):
    touch(tmp_path, "a.jpg", "a.png", "a.jpg.tif")
    names = names_of(find_images([str(tmp_path)]))
    assert len(set(names)) == 3


def test_sources_with_the_same_relative_paths(tmp_path):
    touch(tmp_path, "x/day/1.jpg", "y/day/1.jpg", "y/day/2.jpg")
    found = find_images([str(tmp_path / "x" / "day"), str(tmp_path / "y" / "day")])
    assert names_of(found) == ["day/1.jpg", "day-2/1.jpg", "2"]


def test_an_image_named_twice_counts_once(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg")
    found = find_images([str(tmp_path / "2.jpg"), str(tmp_path), str(tmp_path / "*.jpg")])
    assert [image.path.name for image in found.images] == ["2.jpg", "1.jpg"]


def test_globs_keep_the_path_below_their_fixed_part(tmp_path):
    touch(tmp_path, "f1/100/a.JPG", "f2/100/a.JPG", "f2/readme.txt", "out/masks/a.png")
    found = find_images([str(tmp_path / "**" / "*")], exclude=[tmp_path / "out" / "masks"])
    assert [str(image.relative) for image in found.images] == ["f1/100/a.JPG", "f2/100/a.JPG"]


def test_globs_below_a_working_folder_with_brackets(tmp_path, monkeypatch):
    here = tmp_path / "flights [2026] *" / "day"
    touch(here, "f1/a.jpg", "f2/a.jpg", "b [1].jpg", "f1/b.txt")
    monkeypatch.chdir(here)
    for pattern, expected in (
        ("f*/*.jpg", ["f1/a.jpg", "f2/a.jpg"]), ("./**/a.jpg", ["f1/a.jpg", "f2/a.jpg"]),
        ("f1/../b*.jpg", ["b [1].jpg"]), ("../day/f[12]/*", ["f1/a.jpg", "f2/a.jpg"]),
    ):  # fmt: skip
        found = find_images([pattern])
        assert ([str(image.relative) for image in found.images], found.nothing) == (expected, ()), pattern


def test_results_inside_the_source_are_not_inputs(tmp_path):
    touch(tmp_path, "a.jpg", "masks/a.png")
    found = find_images([str(tmp_path)], exclude=[tmp_path / "masks"])
    assert len(found.images) == 1


def test_nothing_found_says_why(tmp_path):
    touch(tmp_path, "empty/readme.txt")
    sources = [str(tmp_path / "empty"), str(tmp_path / "no.jpg"), str(tmp_path / "*.jpg")]
    reasons = [reason for _, reason in find_images(sources).nothing]
    assert "holds no images" in reasons[0]
    assert "no such file" in reasons[1]
    assert "matches" in reasons[2]


def test_links_between_folders_give_no_picture_twice(tmp_path):
    touch(tmp_path, "day/a.jpg", "day/z.jpg")
    (tmp_path / "day" / "again").symlink_to(tmp_path / "day")
    for pattern in ("**/*.jpg", "**", "*"):
        found = find_images([str(tmp_path / pattern)])
        assert [str(image.relative) for image in found.images] == ["day/a.jpg", "day/z.jpg"], pattern


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    touch(tmp_path, "day/a.jpg", "shut/b.jpg")
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "shut":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    found = find_images([str(tmp_path)])
    assert [str(image.relative) for image in found.images] == ["day/a.jpg"]
    ((folder, reason),) = found.nothing
    assert folder == str(tmp_path / "shut") and "Permission denied" in reason


def test_a_path_that_the_system_refuses_is_a_reason(tmp_path):
    touch(tmp_path, "a.jpg")
    found = find_images([str(tmp_path / ("x" * 300)), str(tmp_path)])
    assert len(found.images) == 1
    assert "too long" in found.nothing[0][1]


def test_earlier_names_are_kept_and_never_given_twice(tmp_path):
    touch(tmp_path, "new/a.jpg", "old/a.jpg")
    old = str(Path(tmp_path / "old" / "a.jpg"))
    assert names_of(find_images([str(tmp_path / "new")]), {old: "a"}) == ["a.jpg"]
    assert names_of(find_images([str(tmp_path / "old")]), {old: "a"}) == ["a"]
