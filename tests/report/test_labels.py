from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from rasterio.features import rasterize
from rasterio.transform import Affine

from fissura.errors import OutputError
from fissura.imaging.outlines import find_outlines
from fissura.imaging.write import Placement, write_geotiff, write_mask
from fissura.report.labels import write_labels
from fissura.report.records import SurveyFrame, SurveyResult
from support.odd_names import require_odd_names
from support.sample_survey import make_survey

HW = (200, 300)


def thin_crack():
    mask = np.zeros(HW, np.uint8)
    cv2.polylines(mask, [np.array([[5, 10], [120, 60], [295, 40]])], False, 1, 3)
    return mask > 0


def loop():
    mask = np.zeros(HW, np.uint8)
    cv2.ellipse(mask, (150, 100), (80, 50), 20, 0, 360, 1, 3)
    return mask > 0


def hairline():
    mask = np.zeros(HW, np.uint8)
    cv2.polylines(mask, [np.array([[5, 10], [120, 60], [20, 190], [295, 150]])], False, 1, 1)
    return mask > 0


def net():
    """Alligator cracking: many holes, islands in them, touching diagonally."""
    mask = np.zeros(HW, np.uint8)
    for x in range(10, 290, 20):
        cv2.line(mask, (x, 10), (x + 8, 190), 1, 3)
    for y in range(10, 190, 20):
        cv2.line(mask, (5, y), (295, y + 5), 1, 3)
    mask[22:25, 22:25] = 1
    return mask > 0


MASKS = {"thin": thin_crack(), "loop": loop(), "hairline": hairline(), "net": net(), "none": np.zeros(HW, np.bool_)}


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def fill(rings, hw=HW):
    """As OpenCV does, corners cut to whole pixels."""
    out = np.zeros(hw, np.uint8)
    for ring in rings:
        cv2.fillPoly(out, [np.floor(np.asarray(ring)).astype(np.int32)], 1)
    return out > 0


def fill_by_centres(rings, hw=HW):
    """As GDAL and COCO do: a pixel is inside if its centre is."""
    shapes = [({"type": "Polygon", "coordinates": [[*map(tuple, ring), tuple(ring[0])]]}, 1) for ring in rings]
    return rasterize(shapes, hw).astype(np.bool_) if shapes else np.zeros(hw, np.bool_)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    frames = []
    for name, mask in MASKS.items():
        write_mask(folder / f"masks/flight/{name}.png", mask)
        path = f"flight/{name}.JPG"
        frames.append(SurveyFrame(path, path, size_hw=HW, mask=f"masks/flight/{name}.png"))
    result = SurveyResult("flight", folder, frames)
    summary = write_labels(folder / "labels", result)
    return result, summary


def coco_rings(folder):
    data = json.loads((folder / "labels/coco.json").read_text("utf-8"))
    names = {image["id"]: Path(image["file_name"]).stem for image in data["images"]}
    rings = {name: [] for name in names.values()}
    for annotation in data["annotations"]:
        rings[names[annotation["image_id"]]] += [np.reshape(part, (-1, 2)) for part in annotation["segmentation"]]
    return rings


def cvat_rings(folder):
    root = ElementTree.parse(folder / "labels/cvat.xml").getroot()
    return {
        Path(image.get("name")).stem: [
            np.array([pair.split(",") for pair in polygon.get("points").split(";")], np.float64)
            for polygon in image.findall("polygon")
        ]
        for image in root.findall("image")
    }


def labelme_rings(folder):
    files = sorted((folder / "labels/labelme").rglob("*.json"))
    return {f.stem: [np.array(s["points"]) for s in json.loads(f.read_text("utf-8"))["shapes"]] for f in files}


@pytest.mark.parametrize("read", [coco_rings, cvat_rings, labelme_rings])
@pytest.mark.parametrize("name", MASKS)
def test_filled_polygons_give_the_mask_back(run, read, name):
    rings = read(run[0].folder)[name]
    assert bool(rings) == MASKS[name].any()
    if rings:
        assert iou(fill(rings), MASKS[name]) >= 0.98
        assert iou(fill_by_centres(rings), MASKS[name]) == 1.0


def test_noise_comes_back_too():
    mask = np.random.default_rng(3).random((60, 70)) < 0.5
    rings = [ring for crack in find_outlines(mask) for ring in crack]
    assert iou(fill_by_centres(rings, mask.shape), mask) > 0.99
    assert all(len(ring) >= 3 for ring in rings)


def test_single_pixels_at_the_border():
    mask = np.zeros((5, 6), np.bool_)
    mask[0, 0] = mask[4, 5] = mask[2, 3] = True
    cracks = list(find_outlines(mask))
    assert len(cracks) == 3 and iou(fill_by_centres([r for c in cracks for r in c], mask.shape), mask) == 1.0
    points = np.concatenate([ring for crack in cracks for ring in crack])
    assert points.min() >= 0 and points[:, 0].max() <= 6 and points[:, 1].max() <= 5


def test_each_crack_is_one_object():
    mask = thin_crack() & ~loop()
    mask[150:153, 10:100] = True
    cracks = list(find_outlines(mask))
    count, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    assert len(cracks) == count - 1
    assert len(next(find_outlines(loop()))) > 1  # cut, since it encloses ground


def test_coco_is_complete(run):
    result, summary = run
    data = json.loads((result.folder / "labels/coco.json").read_text("utf-8"))
    assert set(data) == {"info", "licenses", "categories", "images", "annotations"}
    assert data["categories"] == [{"id": 1, "name": "crack", "supercategory": ""}]
    assert data["images"][0] == {"id": 1, "file_name": "flight/thin.JPG", "width": 300, "height": 200}
    assert len(data["images"]) == summary.images == 5 and len(data["annotations"]) == summary.cracks
    assert [a["id"] for a in data["annotations"]] == list(range(1, summary.cracks + 1))
    first = data["annotations"][0]
    assert set(first) == {"id", "image_id", "category_id", "iscrowd", "segmentation", "bbox", "area"}
    rows, columns = np.nonzero(MASKS["thin"])
    x, y, w, h = first["bbox"]
    assert np.allclose([x, y, x + w, y + h], [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    # Outlines run 0.1 inside the border of the pixels.
    assert 0.85 * MASKS["thin"].sum() < first["area"] < MASKS["thin"].sum() and first["iscrowd"] == 0


def test_cvat_says_what_its_reader_asks_for(run):
    root = ElementTree.parse(run[0].folder / "labels/cvat.xml").getroot()
    assert root.tag == "annotations" and root.findtext("version") == "1.1"
    image = root.findall("image")[1]
    assert image.attrib == {"id": "1", "name": "flight/loop.JPG", "width": "300", "height": "200"}
    polygons = image.findall("polygon")
    assert len(polygons) > 1 and {p.get("group_id") for p in polygons} == {"1"}
    assert all(p.get("label") == "crack" and p.get("occluded") == "0" for p in polygons)


def test_labelme_finds_its_picture(tmp_path):
    picture = tmp_path / "photos" / "a.jpg"
    picture.parent.mkdir()
    picture.write_bytes(b"a picture")
    write_mask(tmp_path / "run/masks/flight/a.png", loop())
    frames = [SurveyFrame("flight/a.jpg", str(picture), size_hw=HW, mask="masks/flight/a.png")]
    write_labels(tmp_path / "run/labels", SurveyResult("x", tmp_path / "run", frames))
    path = tmp_path / "run/labels/labelme/flight/a.json"
    data = json.loads(path.read_text("utf-8"))
    assert (path.parent / data["imagePath"]).resolve() == picture.resolve()
    assert (data["imageHeight"], data["imageWidth"], data["imageData"], data["flags"]) == (200, 300, None, {})
    assert {s["shape_type"] for s in data["shapes"]} == {"polygon"} and {s["group_id"] for s in data["shapes"]} == {1}


def test_corrected_labels_are_kept(tmp_path):
    survey = make_survey(tmp_path)
    write_labels(tmp_path / "labels", survey)
    path = tmp_path / "labels/labelme/flight/DJI_0002.json"
    data = json.loads(path.read_text("utf-8"))
    data["shapes"][0]["points"][0] = [1.0, 2.0]
    path.write_text(json.dumps(data, indent=2), "utf-8")  # as LabelMe saves it
    saved = path.read_bytes()
    assert write_labels(tmp_path / "labels", survey).kept == ("labelme/flight/DJI_0002.json",)
    assert path.read_bytes() == saved


def test_labels_that_nobody_touched_follow_the_masks(tmp_path):
    survey = make_survey(tmp_path)
    write_labels(tmp_path / "labels", survey)
    write_mask(tmp_path / "masks/flight/DJI_0002.png", np.zeros((240, 320), np.bool_))
    assert write_labels(tmp_path / "labels", survey).kept == ()
    assert labelme_rings(tmp_path)["DJI_0002"] == []


def test_frames_without_a_usable_mask_are_left_out(tmp_path):
    survey = make_survey(tmp_path)
    (tmp_path / "masks/flight/DJI_0000.png").unlink()
    (tmp_path / "masks/flight/DJI_0001.png").write_bytes(b"no picture")
    summary = write_labels(tmp_path / "labels", survey)
    # 12 frames, one of which failed and has no mask.
    assert summary.images == 9 and [text.split(":")[0] for text in summary.left_out] == [
        "flight/DJI_0000.JPG", "flight/DJI_0001.JPG",
    ]  # fmt: skip
    assert set(coco_rings(tmp_path)) == set(cvat_rings(tmp_path)) == set(labelme_rings(tmp_path))


def test_too_large_masks_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("fissura.report.labels.LARGEST_PIXELS", 1000)
    summary = write_labels(tmp_path / "labels", make_survey(tmp_path))
    assert summary.images == 0 and "320x240" in summary.left_out[0]


def test_masks_of_rasters_and_videos(tmp_path):
    write_geotiff(tmp_path / "masks/ortho.tif", loop().view(np.uint8) * np.uint8(255),
                  Placement("EPSG:32630", Affine(0.01, 0, 7e5, 0, -0.01, 5e6)))  # fmt: skip
    write_mask(tmp_path / "masks/flight/frame_000120.png", thin_crack())
    frames = [
        SurveyFrame("ortho.tif", "ortho.tif", kind="raster", mask="masks/ortho.tif"),
        SurveyFrame("flight.mp4 120", "flight.mp4", kind="video", mask="masks/flight/frame_000120.png"),
    ]
    write_labels(tmp_path / "labels", SurveyResult("x", tmp_path, frames))
    data = json.loads((tmp_path / "labels/coco.json").read_text("utf-8"))
    assert [image["file_name"] for image in data["images"]] == ["ortho.tif", "flight/frame_000120.jpg"]
    assert iou(fill(coco_rings(tmp_path)["ortho"]), loop()) >= 0.98
    video = json.loads((tmp_path / "labels/labelme/flight/frame_000120.json").read_text("utf-8"))
    assert video["imagePath"] == "frame_000120.jpg"


def test_polygons_have_the_size_of_the_picture(tmp_path):
    write_mask(tmp_path / "masks/a.png", thin_crack())
    frames = [SurveyFrame("a.jpg", "a.jpg", size_hw=(400, 900), mask="masks/a.png")]
    write_labels(tmp_path / "labels", SurveyResult("x", tmp_path, frames))
    points = np.concatenate(coco_rings(tmp_path)["a"])
    assert 850 < points[:, 0].max() <= 900 and 110 < points[:, 1].max() < 140


def test_hostile_names(tmp_path):
    names = ['../../<b>&"x".jpg', "/etc/a.jpg", "/etc/a.png", "C:\\x\\\x01b.jpg"]
    frames = []
    for number, name in enumerate(names):
        write_mask(tmp_path / f"masks/{number}.png", thin_crack())
        frames.append(SurveyFrame(name, name, mask=f"masks/{number}.png"))
    write_labels(tmp_path / "run/labels", SurveyResult("x", tmp_path, frames))
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.json"))
    assert all(path.parts[:2] == ("run", "labels") for path in files) and len(files) == 5
    root = ElementTree.parse(tmp_path / "run/labels/cvat.xml").getroot()
    assert [image.get("name") for image in root.findall("image")] == [
        names[0], names[1], "/etc/a.png.3.png", "C:/x/b.jpg",
    ]  # fmt: skip


def test_an_empty_survey_has_empty_labels(tmp_path):
    summary = write_labels(tmp_path / "labels", SurveyResult("x", tmp_path))
    data = json.loads((tmp_path / "labels/coco.json").read_text("utf-8"))
    assert (summary.images, data["images"], data["annotations"], cvat_rings(tmp_path)) == (0, [], [], {})


def test_a_failed_write_leaves_the_old_files(tmp_path):
    survey = make_survey(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/coco.json").write_text("old")
    (tmp_path / "labels/labelme").write_text("a file in the way")
    with pytest.raises(OutputError):
        write_labels(tmp_path / "labels", survey)
    assert (tmp_path / "labels/coco.json").read_text() == "old"
    assert sorted(p.name for p in (tmp_path / "labels").iterdir()) == ["coco.json", "labelme"]


def test_a_mask_whose_name_is_no_unicode_is_read(tmp_path):
    require_odd_names(tmp_path)
    write_mask(tmp_path / "masks/stra\udcdfe.png", thin_crack())
    frame = SurveyFrame("stra\udcdfe.jpg", "stra\udcdfe.jpg", mask="masks/stra\udcdfe.png")
    summary = write_labels(tmp_path / "labels", SurveyResult("x", tmp_path, [frame]))
    assert (summary.images, summary.cracks, summary.left_out) == (1, 1, ())
