"""``fissura survey`` on photos as drones write them: put together, measured once, mapped; and on what goes wrong."""

import csv
import json
import shutil

import numpy as np
import pyogrio
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from fissura.cli.app import app
from fissura.survey import photo_stage
from fissura.synth.aerial import AerialCamera, WorldOptions, make_world, write_photo_flight
from support.mounted import mounted

HW = (480, 640)
COUNT = 5


@pytest.fixture(scope="session")
def flight(tmp_path_factory):
    """Five photos along a cracked road, with exact masks."""
    folder = tmp_path_factory.mktemp("photo_flight")
    options = WorldOptions(
        extent_m=(14.0, 22.0), road_width_m=4.0, crack_density=3.0, vehicles=0.0, trees=0.05, houses=0.0
    )
    camera = AerialCamera(0.0, 0.0, 8.0, focal_px=640.0, image_hw=HW)
    return write_photo_flight(
        folder / "photos", make_world(21, options), camera, spacing_m=1.5, most=COUNT, gsd_mm=12.5,
        masks=folder / "masks",
    )  # fmt: skip


def fissura(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def survey_masks(flight, out, *words, photos=None):
    """With exact masks: quick, and every crack is known."""
    folder = flight.paths[0].parent
    return fissura(
        "survey", photos or folder, "--mask", folder.parent / "masks", "--out", out, "--ground-height", 0, *words
    )


@pytest.fixture(scope="session")
def surveyed(flight, tmp_path_factory):
    out = tmp_path_factory.mktemp("photo_run") / "run"
    axis = flight.paths[0].parent / "axis.geojson"
    result = survey_masks(flight, out, "--rules", "astm_d6433", "--route", axis, "--section-length-m", 5)
    assert result.exit_code == 0, result.output
    return out, result.output


def test_each_crack_is_reported_once_in_its_place(flight, surveyed):
    out, _ = surveyed
    features = json.loads((out / "cracks.geojson").read_text())["features"]
    lines = [np.array(f["geometry"]["coordinates"]) for f in features if f["geometry"]["type"] == "LineString"]
    truth, length, _, _ = flight.visible_cracks(0.01)
    reported = sum(f["properties"]["length_m"] for f in features if "length_m" in f["properties"])
    assert reported == pytest.approx(float(length.sum()), rel=0.12)
    from scipy.spatial import cKDTree

    from fissura.cli.demo import sample_lines

    points, _ = sample_lines([flight.metres(line) for line in lines])
    distance = cKDTree(truth).query(points)[0]
    assert np.quantile(distance, 0.95) < 0.05
    assert float(length[cKDTree(points).query(truth)[0] < 0.05].sum()) > 0.95 * float(length.sum())
    assert pyogrio.read_info(out / "cracks.gpkg", layer="cracks")["features"] == len(lines)


def test_the_package_holds_the_photos_where_they_are(flight, surveyed):
    out, _ = surveyed
    meta, _, shapes, fields = pyogrio.raw.read(out / "cracks.gpkg", layer="frames")
    assert meta["crs"] == "EPSG:32632"
    columns = dict(zip(meta["fields"], fields, strict=True))
    assert list(columns["status"]) == ["done"] * COUNT
    import pyproj
    import shapely

    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True)
    for camera, outline in zip(flight.cameras, shapely.from_wkb(shapes), strict=True):
        true = np.column_stack(to_utm.transform(*flight.lonlat(camera.footprint_en()).T))
        found = shapely.get_coordinates(outline)
        assert max(np.linalg.norm(found - corner, axis=1).min() for corner in true) < 0.15


def test_route_gives_chainage_and_sections(flight, surveyed):
    out, _ = surveyed
    rows = list(csv.DictReader((out / "cracks.csv").open(encoding="utf-8-sig")))
    assert rows
    sections = list(csv.DictReader((out / "sections.csv").open(encoding="utf-8-sig")))
    assert sections and any("5 to 10 m" in " ".join(row.values()) for row in sections)
    assert "fissura" in (out / "report.html").read_text()


def test_masks_overlays_and_labels_are_there_for_every_photo(surveyed):
    out, _ = surveyed
    for kind, suffix in (("masks", "png"), ("overlays", "jpg"), ("probability", "png")):
        assert len(list((out / kind).glob(f"*.{suffix}"))) == COUNT
    assert len(json.loads((out / "labels" / "coco.json").read_text())["images"]) == COUNT
    log = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len(log) == COUNT and all(len(line["sha256"]) == 64 for line in log)


def test_the_same_command_goes_on_and_settings_are_taken_again(flight, surveyed, tmp_path):
    out, _ = surveyed
    before = {p: p.stat().st_mtime_ns for p in (out / "work").rglob("*.json")}
    axis = flight.paths[0].parent / "axis.geojson"
    again = survey_masks(flight, out, "--rules", "astm_d6433", "--route", axis, "--section-length-m", 5)
    assert again.exit_code == 0, again.output
    assert {p: p.stat().st_mtime_ns for p in (out / "work").rglob("*.json")} == before
    other = fissura("survey", "--settings", out / "settings.yaml", "--out", tmp_path / "copy")
    assert other.exit_code == 0, other.output
    options = [yaml.safe_load((run / "settings.yaml").read_text())["options"] for run in (out, tmp_path / "copy")]
    assert {**options[0], "out": ""} == {**options[1], "out": ""}
    same = [(run / "cracks.csv").read_bytes() for run in (out, tmp_path / "copy")]
    assert same[0] == same[1]
    refused = survey_masks(flight, out, "--rules", "ltpp", "--scale", 2)
    assert refused.exit_code == 2 and "scale" in refused.output and "--overwrite" in refused.output
    assert "rules" not in refused.output


def test_another_route_gives_the_road_to_photos_again(flight, tmp_path, monkeypatch):
    """Photos in which no road was looked for: their ground is measured again, from what was seen."""
    middle = flight.lonlat(np.array([[0.0, 0.0]]))[0]
    along, across = tmp_path / "along.geojson", tmp_path / "across.geojson"
    for path, step_deg in ((along, (0.0, 2e-4)), (across, (2e-4, 0.0))):
        ends = [(middle - step_deg).tolist(), (middle + step_deg).tolist()]
        path.write_text(json.dumps({"type": "LineString", "coordinates": ends}))
    kinds = []
    for out, route in (("run", along), ("fresh", across)):
        words = "--whole-frame", "--rules", "ltpp", "--route", route
        assert survey_masks(flight, tmp_path / out, *words).exit_code == 0
        kinds.append(read_kinds(tmp_path / out))
    with monkeypatch.context() as patch:
        patch.delattr(photo_stage, "look_at_photo")
        again = survey_masks(flight, tmp_path / "run", "--whole-frame", "--rules", "ltpp", "--route", across)
    assert again.exit_code == 0 and "other route than before" in again.output, again.output
    assert read_kinds(tmp_path / "run") == kinds[1] != kinds[0]
    # Where a route changes no direction, nothing is measured.
    monkeypatch.delattr(photo_stage, "measure_part")
    words = "--whole-frame", "--rules", "ltpp", "--route", across, "--section-length-m", 3
    assert survey_masks(flight, tmp_path / "run", *words).exit_code == 0


def read_kinds(run):
    return [row["class"] for row in csv.DictReader((run / "cracks.csv").open(encoding="utf-8-sig"))]


def test_corrected_masks_in_the_run_survive_overwriting(flight, tmp_path):
    out = tmp_path / "run"
    assert survey_masks(flight, out).exit_code == 0
    masks = {path: path.read_bytes() for path in (out / "masks").iterdir()}
    refused = fissura("survey", flight.paths[0].parent, "--mask", out / "masks", "--out", out, "--overwrite")
    assert refused.exit_code == 2 and "--overwrite deletes" in refused.output, refused.output
    assert {path: path.read_bytes() for path in (out / "masks").iterdir()} == masks


def test_an_alignment_with_other_content_is_another_setting(flight, tmp_path):
    (geo := tmp_path / "geo.txt").write_text("EPSG:4326\nDJI_0001.JPG 11.6 48.2\n")
    first = survey_masks(flight, tmp_path / "run", "--alignment", geo, photos=flight.paths[0])
    assert first.exit_code == 0, first.output
    geo.write_text("EPSG:4326\nDJI_0001.JPG 11.7 48.3\n")
    second = survey_masks(flight, tmp_path / "run", "--alignment", geo, photos=flight.paths[0])
    assert second.exit_code == 2 and "alignment geo.txt" in second.output and "--overwrite" in second.output


def test_workers_do_not_change_what_is_found(flight, tmp_path, tiny_onnx):
    tables = []
    for workers in (1, 3):
        out = tmp_path / f"run{workers}"
        result = fissura(
            "survey", flight.paths[0].parent, "--out", out, "--model", tiny_onnx, "--workers", workers, "--threads", 1
        )
        assert result.exit_code == 0, result.output
        tables.append((out / "cracks.csv").read_bytes())
    assert tables[0] == tables[1]


def test_bad_photos_cost_nothing_but_themselves(flight, tmp_path):
    """No GPS, GPS of 0, 0, a copy, a photo cut off, an empty one, one turned by EXIF, one of another camera."""
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    shutil.copytree(flight.paths[0].parent, photos)
    shutil.copytree(flight.paths[0].parent.parent / "masks", masks)
    whole = (photos / "DJI_0002.JPG").read_bytes()
    (photos / "cut.JPG").write_bytes(whole[: len(whole) // 3])
    (photos / "empty.JPG").write_bytes(b"")
    (photos / "copy.JPG").write_bytes(whole)
    with Image.open(photos / "DJI_0003.JPG") as picture:
        picture.save(photos / "bare.JPG")
        exif = picture.getexif()
        exif.get_ifd(0x8825).update({2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)})
        picture.save(photos / "null_island.JPG", exif=exif)
        small = picture.resize((320, 240))
        exif = picture.getexif()
        exif[0x0112] = 6
        small.save(photos / "turned.JPG", exif=exif, xmp=picture.info.get("xmp"))
    for name, size in (("cut", HW), ("copy", HW), ("bare", HW), ("null_island", HW), ("turned", (320, 240))):
        Image.fromarray(np.zeros(size, np.uint8)).save(masks / f"{name}.png")
    shutil.copy(masks / "DJI_0002.png", masks / "copy.png")
    Image.fromarray(np.zeros(HW, np.uint8)).save(masks / "empty.png")
    result = fissura("survey", photos, "--mask", masks, "--out", tmp_path / "run")
    assert result.exit_code == 1 and "Traceback" not in result.output, result.output
    assert "cut.JPG" in result.output and "empty.JPG" in result.output
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [f["input"] for f in summary["failed"]] == ["cut.JPG", "empty.JPG"]
    meta, _, _, fields = pyogrio.raw.read(tmp_path / "run" / "cracks.gpkg", layer="frames")
    columns = dict(zip(meta["fields"], fields, strict=True))
    notes = dict(zip(columns["name"], columns["notes"], strict=True))
    assert "a copy of" in notes["copy.JPG"] or "a copy of" in notes["DJI_0002.JPG"]
    assert "position" in notes["bare.JPG"] and "position" in notes["null_island.JPG"]
    assert len(notes) == COUNT + 6
    page = (tmp_path / "run" / "report.html").read_text()
    assert "cut.JPG" in page and "empty.JPG" in page


def test_a_wrong_clock_is_noted(flight, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(flight.paths[0].parent, photos)
    path = photos / "DJI_0001.JPG"
    path.write_bytes(path.read_bytes().replace(b"2026:01:01", b"1970:01:01"))
    result = survey_masks(flight, tmp_path / "run", photos=photos)
    assert result.exit_code == 0, result.output
    assert "clock" in (tmp_path / "run" / "report.html").read_text()


def test_a_full_disk_is_said_and_the_run_goes_on_afterwards(flight, tmp_path):
    out = tmp_path / "disk"
    out.mkdir()
    with mounted(out, "size=400k"):
        full = survey_masks(flight, out / "run")
        assert full.exit_code in (1, 2) and "the disk is full" in full.output and "Traceback" not in full.output
        assert not list(out.rglob("*fissura-tmp"))
        shutil.copytree(out / "run", tmp_path / "run")
    result = survey_masks(flight, tmp_path / "run")
    assert result.exit_code == 0, result.output


def test_wrong_options_are_said_before_anything_is_written(flight, tmp_path):
    folder = flight.paths[0].parent
    for words, says in (
        (("--route", tmp_path / "no.geojson"), "--route"), (("--mask", tmp_path / "none"), "--mask"),
        (("--workers", "0"), "--workers"), (("--section-length-m", "0"), "--section-length-m"),
        (("--settings", tmp_path / "no.yaml"), "settings.yaml"),
    ):  # fmt: skip
        result = fissura("survey", folder, "--out", tmp_path / "run", *words)
        assert result.exit_code == 2 and says in result.output, result.output
    assert fissura("survey", "--out", tmp_path / "run").exit_code == 2
    assert fissura("survey", folder).exit_code == 2
    assert not (tmp_path / "run").exists()
    (tmp_path / "empty").mkdir()
    nothing = fissura("survey", tmp_path / "empty", "--out", tmp_path / "run")
    assert nothing.exit_code == 2 and "no images" in nothing.output


def test_a_folder_that_cannot_be_written_is_said(flight, tmp_path):
    out = tmp_path / "disk"
    out.mkdir()
    with mounted(out, "size=1m,ro"):
        result = survey_masks(flight, out / "run")
        assert result.exit_code == 2 and "read-only" in result.output and "--out" in result.output, result.output
    (tmp_path / "file").write_text("in the way")
    result = survey_masks(flight, tmp_path / "file" / "run")
    assert result.exit_code == 2 and "not a folder" in result.output and "Traceback" not in result.output


def test_deleted_results_are_made_again_and_damaged_ones_cost_their_own_photos(flight, surveyed, tmp_path):
    out = tmp_path / "run"
    first = survey_masks(flight, out)
    assert first.exit_code == 0, first.output
    (out / "masks" / "DJI_0002.png").unlink()
    (out / "work" / "photos" / "DJI_0003.npz").unlink()
    again = survey_masks(flight, out)
    assert again.exit_code == 0, again.output
    assert (out / "masks" / "DJI_0002.png").is_file() and (out / "work" / "photos" / "DJI_0003.npz").is_file()
    # A copy without GPS stands alone: what was found in it is damaged afterwards.
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    shutil.copytree(flight.paths[0].parent, photos)
    shutil.copytree(flight.paths[0].parent.parent / "masks", masks)
    with Image.open(photos / "DJI_0003.JPG") as picture:
        picture.save(photos / "bare.JPG")
    shutil.copy(masks / "DJI_0003.png", masks / "bare.png")
    words = ("survey", photos, "--mask", masks, "--out", tmp_path / "other", "--ground-height", 0)
    assert fissura(*words).exit_code == 0
    (tmp_path / "other" / "probability" / "bare.png").write_bytes(b"no picture any more")
    (tmp_path / "other" / "work" / "alone" / "bare.json").unlink()
    damaged = fissura(*words)
    assert damaged.exit_code == 1 and "bare.JPG" in damaged.output and "Traceback" not in damaged.output
    frames = json.loads((tmp_path / "other" / "summary.json").read_text())
    assert frames["frames"] == COUNT + 1 and [f["input"] for f in frames["failed"]] == ["bare.JPG"]
    assert frames["branches"] > 0


def test_a_table_that_is_open_elsewhere_does_not_cost_the_report(flight, tmp_path, monkeypatch):
    from fissura.report import deliver

    def locked(path, result):
        error = PermissionError(13, "Permission denied")
        raise deliver.as_output_error(path, error)

    monkeypatch.setattr(deliver, "write_workbook", locked)
    result = survey_masks(flight, tmp_path / "run")
    assert result.exit_code == 1 and "cracks.xlsx" in result.output and "permission denied" in result.output
    assert (tmp_path / "run" / "report.html").is_file() and (tmp_path / "run" / "cracks.dxf").is_file()


@pytest.mark.parametrize(("change", "says"), [
    ({"scale": "a lot"}, "scale"), ({"sources": []}, "sources"), ({"colour": "red"}, "colour"),
    ({"workers": [2]}, "workers"),
])  # fmt: skip
def test_settings_with_values_of_the_wrong_kind_are_said(flight, surveyed, tmp_path, change, says):
    content = yaml.safe_load((surveyed[0] / "settings.yaml").read_text())
    content["options"] |= change
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    result = fissura("survey", "--settings", tmp_path / "mine.yaml", "--out", tmp_path / "run")
    assert result.exit_code == 2 and says in result.output and "Traceback" not in result.output, result.output
    assert not (tmp_path / "run").exists()
