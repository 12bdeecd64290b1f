"""``fissura data`` from the command line: check, export, import, prepare."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from fissura.cli.app import app
from fissura.data import find_pairs, read_mask
from fissura.imaging import write
from report.page_browser import chromium, load

HW = (96, 128)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def save(folder: Path, stem: str, rgb: np.ndarray, mask: np.ndarray | None = None) -> None:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(folder / "images" / f"{stem}.jpg", quality=90)
    mask = np.zeros(rgb.shape[:2], bool) if mask is None else mask
    Image.fromarray(mask * np.uint8(255)).save(folder / "masks" / f"{stem}.png")


@pytest.fixture
def one_set(tmp_path, make_data) -> Path:
    for seed in range(3):
        scene = make_data.scene(seed)
        save(tmp_path / "set", f"p{seed}", scene.rgb, scene.mask)
    return tmp_path / "set"


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {pair.stem: read_mask(pair.mask) for pair in find_pairs(folder)}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_check_of_clean_sets(tmp_path, make_data):
    for number, split in enumerate(("train", "test")):
        scene = make_data.scene(number)
        save(tmp_path / "a" / split, "p", scene.rgb, scene.mask)
    result = run("check", tmp_path / "a", "--out", tmp_path / "report")
    assert result.exit_code == 0
    assert "no problem found in 2 pictures" in result.output
    page = (tmp_path / "report/report.html").read_text("utf-8")
    assert "No problem was found" in page
    record = json.loads((tmp_path / "report/report.json").read_text("utf-8"))
    assert record["duplicates"] == [] and [row["name"] for row in record["sets"]] == ["test", "train"]
    assert record["sets"][0]["width_median_px"] == pytest.approx(4, abs=1)


def test_check_finds_a_planted_crop_and_shows_it_without_network(tmp_path, make_data):
    hw = (192, 224)
    for seed in range(4):
        save(tmp_path / "a/train", f"<b>{seed}" if os.name == "posix" else f"b{seed}", make_data.picture(seed, hw))
        save(tmp_path / "a/test", f"t{seed}", make_data.picture(seed + 20, hw))
    crop = Image.fromarray(make_data.picture(2, hw)[40:160, 50:190]).resize((196, 168), Image.Resampling.BICUBIC)
    save(tmp_path / "a/test", "crop", np.asarray(crop))
    result = run("check", tmp_path / "a", "--out", tmp_path / "report")
    assert result.exit_code == 1
    assert "1  near-duplicates of test and train" in result.output
    with (tmp_path / "report/duplicates.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["first"], row["second_set"], row["look_at_it"]) == ("crop.jpg", "train", "False")
    assert row["second"].endswith("2.jpg") and row["relation"].startswith("one is a part of the other")
    page = (tmp_path / "report/report.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") >= 2
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "<b>2" not in page
    assert "default-src 'none'" in page


def test_the_page_loads_nothing_and_complains_of_nothing(tmp_path, make_data):
    for split in ("train", "test"):
        save(tmp_path / "a" / split, "p", make_data.picture(3, (128, 160)))
    assert run("check", tmp_path / "a", "--out", tmp_path / "report").exit_code == 1
    with chromium() as browser:
        loaded = load(browser, tmp_path / "report/report.html")
        assert loaded.complaints == []
        assert [url for url in loaded.requests if not url.startswith(("file:", "data:"))] == []
        assert loaded.page.locator("figure img").count() == 2
        assert loaded.page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_check_lists_bad_files_and_goes_on(one_set, tmp_path):
    (one_set / "images" / "p0.jpg").write_bytes(b"")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(one_set / "masks" / "p1.png")
    Image.fromarray(np.zeros(HW, np.uint8)).save(one_set / "masks" / "q.png")
    result = run("check", one_set, "--out", tmp_path / "report")
    assert result.exit_code == 1
    record = json.loads((tmp_path / "report/report.json").read_text("utf-8"))
    kinds = record["problems_by_kind"]
    assert kinds == {"empty mask": 1, "size mismatch": 1, "unpaired mask": 1, "unreadable image": 1}
    assert "p0.jpg is empty (0 bytes)" in (tmp_path / "report/report.html").read_text("utf-8")


def test_check_that_cannot_start(tmp_path):
    (tmp_path / "none").mkdir()
    result = run("check", tmp_path / "none", "--out", tmp_path / "report")
    assert result.exit_code == 2 and "holds no data set" in result.output
    assert not (tmp_path / "report").exists()
    assert run("check", tmp_path / "missing").exit_code == 2


@pytest.mark.parametrize("fmt", ["coco", "coco-rle", "yolo-seg", "cvat", "labelme"])
def test_out_and_back_in_is_exact(one_set, tmp_path, fmt):
    result = run("export", one_set, "--format", fmt, "--with-images", "--out", tmp_path / "labels")
    assert result.exit_code == 0 and "exact: all 3 masks come back" in result.output
    assert json.loads((tmp_path / "labels/loss.json").read_text("utf-8"))["loss"]["changed"] == 0
    (tmp_path / "labels/loss.json").unlink()
    back = run("import", tmp_path / "labels", "--format", fmt, "--out", tmp_path / "back")
    assert back.exit_code == 0, back.output
    assert same(pixels(tmp_path / "back"), pixels(one_set))
    assert (tmp_path / "back/images/p1.jpg").read_bytes() == (one_set / "images/p1.jpg").read_bytes()


def test_labels_of_a_tool_are_found_beside_other_json(one_set, tmp_path):
    """The figures of the loss lie beside the labels and must not be taken for labels."""
    run("export", one_set, "--format", "labelme", "--out", tmp_path / "labels")
    result = run("import", tmp_path / "labels", "--format", "labelme", "--images", one_set, "--out", tmp_path / "back")
    assert result.exit_code == 0, result.output
    assert same(pixels(tmp_path / "back"), pixels(one_set))


def test_simplified_polygons_report_pixels(one_set, tmp_path):
    result = run("export", one_set, "--format", "coco", "--simplify", 1.5, "--out", tmp_path / "c.json")
    assert result.exit_code == 0
    found = re.search(r"3 of 3 masks change: (\d+) of \d+ crack pixels lost, (\d+) added", result.output)
    loss = json.loads((tmp_path / "c.loss.json").read_text("utf-8"))["loss"]
    assert found is not None and (int(found[1]), int(found[2])) == (loss["lost_px"], loss["added_px"])
    assert run("export", one_set, "--format", "cvat", "--simplify", 1, "--out", tmp_path / "x").exit_code == 2


def test_export_of_several_splits_and_of_bad_files(one_set, tmp_path):
    (tmp_path / "all").mkdir()
    one_set.rename(tmp_path / "all" / "train")
    save(tmp_path / "all/test", "good", np.zeros((8, 9, 3), np.uint8))
    save(tmp_path / "all/test", "odd", np.zeros((8, 9, 3), np.uint8), np.zeros((3, 3), bool))
    save(tmp_path / "all/test", "alone", np.zeros((8, 9, 3), np.uint8))
    (tmp_path / "all/test/masks/alone.png").unlink()
    (tmp_path / "all/train/images/p2.jpg").write_bytes(b"")
    result = run("export", tmp_path / "all", "--format", "cvat", "--out", tmp_path / "labels")
    assert result.exit_code == 1
    for words in ("test/odd: the mask", "test/images/alone.jpg: unpaired image", "train/p2: "):
        assert f"failed: {words}" in result.output
    assert (tmp_path / "labels/train/annotations.xml").read_text("utf-8").count("<image ") == 2
    assert (tmp_path / "labels/test/annotations.xml").read_text("utf-8").count("<image ") == 1


def coco(path: Path, one_set: Path, **changes: object) -> Path:
    run("export", one_set, "--format", "coco", "--out", path, "--overwrite")
    record = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**record, **changes}))
    return path


def test_import_with_pictures_missing_or_of_another_size(one_set, tmp_path):
    path = coco(tmp_path / "c.json", one_set)
    (one_set / "images" / "p0.jpg").unlink()
    Image.new("RGB", (9, 9)).save(one_set / "images" / "p1.jpg")
    result = run("import", path, "--format", "coco", "--images", one_set / "images", "--out", tmp_path / "back")
    assert result.exit_code == 1
    assert "failed: p0.jpg: its picture is not in" in result.output
    assert "failed: p1.jpg: the annotation is for 128x96 but the picture is 9x9" in result.output
    assert [pair.stem for pair in find_pairs(tmp_path / "back")] == ["p2"]


def test_outlines_in_shares_need_a_picture_even_for_masks_alone(tmp_path):
    labels = tmp_path / "y" / "labels"
    labels.mkdir(parents=True)
    (labels / "a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.2\n")
    result = run("import", tmp_path / "y", "--format", "yolo-seg", "--masks-only", "--out", tmp_path / "back")
    assert "pass --images FOLDER; the labels do not tell its size" in result.output
    assert "--masks-only" not in result.output


def test_import_of_masks_alone(one_set, tmp_path):
    path = coco(tmp_path / "c.json", one_set)
    result = run("import", path, "--format", "coco", "--masks-only", "--images", tmp_path, "--out", tmp_path / "back")
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "back/images").exists()
    np.testing.assert_array_equal(read_mask(tmp_path / "back/masks/p1.png"), pixels(one_set)["p1"])


def test_pictures_that_have_boxes_alone_are_named(tmp_path):
    boxes = '<box label="crack" xtl="0" ytl="0" xbr="1" ybr="1"/>'
    line = '<polyline label="crack" points="0,3;5,3"/>'
    images = "".join(
        f'<image id="{k}" name="{name}" width="6" height="5">{shapes}</image>'
        for k, (name, shapes) in enumerate([("a.jpg", boxes), ("b.jpg", boxes + line), ("c.jpg", "")])
    )
    (tmp_path / "a.xml").write_text(f"<annotations>{images}</annotations>")
    result = run("import", tmp_path / "a.xml", "--format", "cvat", "--masks-only", "--out", tmp_path / "back")
    assert result.exit_code == 0, result.output
    assert "2 shape(s) of kind box left out" in result.output
    assert "1 picture(s) have such shapes and no outline" in result.output and "(a.jpg)" in result.output


def test_a_stopped_import_does_not_say_that_it_goes_on(one_set, tmp_path, monkeypatch):
    path = coco(tmp_path / "c.json", one_set)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fissura.data_run.import_run.write_mask", stopped)
    result = run("import", path, "--format", "coco", "--images", one_set / "images", "--out", tmp_path / "back")
    assert result.exit_code == 130
    assert "with --overwrite starts over" in result.output and "goes on" not in result.output


def test_import_asks_which_of_several_classes_is_crack(one_set, tmp_path):
    categories = [{"id": 1, "name": "crack"}, {"id": 2, "name": "pothole"}]
    path = coco(tmp_path / "c.json", one_set, categories=categories)
    record = json.loads(path.read_text("utf-8"))
    hole = {"id": 999, "image_id": 1, "category_id": 2, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]]}
    path.write_text(json.dumps({**record, "annotations": [*record["annotations"], hole]}))
    options = ("--format", "coco", "--images", one_set / "images", "--out", tmp_path / "back")
    result = run("import", path, *options)
    assert result.exit_code == 2 and "2 classes (crack, pothole); pass --label" in result.output
    assert run("import", path, *options, "--label", "craque").exit_code == 2
    assert run("import", path, *options, "--label", "crack").exit_code == 0
    assert same(pixels(tmp_path / "back"), pixels(one_set))


@pytest.mark.parametrize(
    ("text", "fmt", "words"),
    [
        ("", "coco", "is empty (0 bytes)"),
        ('{"images": [], "annotations": []}', "coco", "lists no picture"),
        ('{"images": [], "annotations": []}', "cvat", "looks like coco; pass --format coco"),
        ("{}", "pascal", "choose coco, coco-rle"),
    ],
)
def test_import_that_cannot_start(tmp_path, text, fmt, words):
    (tmp_path / "a.json").write_text(text)
    result = run("import", tmp_path / "a.json", "--format", fmt, "--out", tmp_path / "back")
    assert result.exit_code == 2 and words in result.output
    assert not (tmp_path / "back").exists()


def test_polygon_out_of_the_picture_fails_that_picture(one_set, tmp_path):
    outside = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 500, 0, 500, 50]]}]
    path = coco(tmp_path / "c.json", one_set, annotations=outside)
    result = run("import", path, "--format", "coco", "--images", one_set / "images", "--out", tmp_path / "back")
    assert result.exit_code == 1
    assert "failed: p0.jpg: a polygon reaches (500, 0), out of the picture of 128x96" in result.output
    assert [pair.stem for pair in find_pairs(tmp_path / "back")] == ["p1", "p2"]


def test_a_folder_in_use_is_left_alone_unless_it_may_be_overwritten(one_set, tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "mine.txt").write_text("mine")
    options = ("export", one_set, "--format", "cvat", "--out", tmp_path / "labels")
    assert "is not empty; choose another --out, or pass --overwrite" in run(*options).output
    assert run(*options, "--overwrite").exit_code == 0
    assert (tmp_path / "labels" / "mine.txt").read_text() == "mine"


def test_full_disk_ends_the_run_and_leaves_no_half_file(one_set, tmp_path, monkeypatch):
    real, written = write.os.fsync, []

    def fsync(number: int) -> None:
        written.append(number)
        if len(written) > 2:  # the first is the test of the folder
            raise OSError(28, "No space left on device")
        real(number)

    monkeypatch.setattr(write.os, "fsync", fsync)
    result = run("export", one_set, "--format", "labelme", "--out", tmp_path / "labels")
    assert result.exit_code == 2 and "the disk is full" in result.output
    assert [p.name for p in (tmp_path / "labels").iterdir()] == ["p0.json"]


@pytest.mark.skipif(os.name != "posix", reason="a file in the way of a folder says so elsewhere, too")
@pytest.mark.parametrize("command", ["check", "export", "import", "prepare"])
def test_out_that_cannot_be_a_folder(one_set, tmp_path, command):
    (tmp_path / "file").write_text("x")
    out = ("--out", tmp_path / "file" / "below")
    if command == "check":
        result = run("check", one_set, *out)
    elif command == "export":
        result = run("export", one_set, "--format", "cvat", *out)
    elif command == "import":
        result = run("import", coco(tmp_path / "c.json", one_set), "--format", "coco", "--images", one_set, *out)
    else:
        deep = tmp_path / "deep"
        save(deep, "a", np.zeros((8, 9, 3), np.uint8))
        (deep / "images").rename(deep / "test_img")
        (deep / "masks").rename(deep / "test_lab")
        result = run("prepare", "deepcrack", deep, *out)
    assert result.exit_code == 2 and "cannot write" in result.output


def test_help_needs_nothing_heavy():
    code = "import sys; from fissura.cli.app import main; sys.argv = ['fissura', 'data', '--help']\n"
    code += "try: main()\nexcept SystemExit: pass\nassert 'cv2' not in sys.modules and 'numpy' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("check", "export", "import", "prepare"):
        assert command in done.stdout


@pytest.mark.skipif("FISSURA_DATA" not in os.environ, reason="FISSURA_DATA is not set")
def test_the_known_duplicate_of_deepcrack(tmp_path):
    """Two of its pictures, and twenty others of the same set, linked so that nothing is copied."""
    root = Path(os.environ["FISSURA_DATA"]) / "crack" / "deepcrack"
    for split, known in (("train", "11158"), ("test", "11216")):
        stems = sorted(p.stem for p in (root / split / "images").iterdir())
        for stem in [s for s in stems if s.startswith(known)] + stems[:10]:
            for kind, suffix in (("images", ".jpg"), ("masks", ".png")):
                (tmp_path / split / kind).mkdir(parents=True, exist_ok=True)
                target = tmp_path / split / kind / f"{stem}{suffix}"
                if not target.exists():
                    target.symlink_to(root / split / kind / f"{stem}{suffix}")
    assert run("check", tmp_path, "--out", tmp_path / "report").exit_code == 1
    record = json.loads((tmp_path / "report/report.json").read_text("utf-8"))
    pairs = {(d["first"][:5], d["second"][:5]) for d in record["duplicates"]}
    assert ("11216", "11158") in pairs
