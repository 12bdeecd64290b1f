"""``fissura measure`` as users run it: masks or a network, every kind of scale, stopped and resumed, and bad input."""

import csv
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from typer.testing import CliRunner

from fissura.cli.app import app
from fissura.export.onnx_file import save_model
from fissura.infer.onnx_metadata import read_card
from fissura.spec import ConfidenceCurve
from fissura.synth.camera import NadirCamera
from fissura.synth.cracks import CrackVector
from fissura.synth.photo import Geotag, write_photo
from fissura.synth.scene import render_scene
from support.drawn import draw_cracks, straight
from support.odd_names import require_odd_names

HW = (120, 180)
LATITUDE, LONGITUDE = 50.5, 9.0


def straight_scene(*, gsd_mm=1.0, width_px=6.0, seed=0, columns=(30.5, 150.5)):
    """One crack along row 60, from column to column, in a picture of 120 x 180; 8 mm a pixel from 9.6 m."""
    camera = NadirCamera.for_gsd(gsd_mm, HW, focal_mm=88.0)
    points = np.array([[60.5, column] for column in columns]) * gsd_mm
    crack = CrackVector(points, np.full(2, width_px * gsd_mm))
    return render_scene(seed, size_hw=HW, cracks=[crack], distractors=False, camera=camera)


SCENE = straight_scene()


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def save_mask(path, mask=SCENE.mask):
    return save(path, mask.astype(np.uint8) * np.uint8(255))


def measure(*arguments):
    return CliRunner().invoke(app, ["measure", *map(str, arguments)])


def rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def features(out):
    return json.loads((out / "cracks.geojson").read_text(encoding="utf-8"))["features"]


@pytest.fixture
def wall(tmp_path):
    """A picture and its mask."""
    return save(tmp_path / "wall.png", SCENE.rgb), save_mask(tmp_path / "wall_mask.png")


@pytest.fixture
def batch(tmp_path):
    """Three pictures with masks of the same names, one of them in a folder."""
    for name in ("a.png", "b.png", "deep/a.png"):
        save(tmp_path / "photos" / name, SCENE.rgb)
        save_mask(tmp_path / "masks" / name)
    return tmp_path / "photos", tmp_path / "masks", tmp_path / "out"


def test_help_has_examples():
    result = measure("--help")
    assert result.exit_code == 0
    for word in ("Examples:", "fissura measure wall.jpg --gsd-mm", "Exit status", "--overwrite", "--rules", "--mask",
                 "--profiles", "whole_cracks.csv"):  # fmt: skip
        assert word in result.output


def test_mask_and_ground_size(wall, tmp_path):
    photo, mask = wall
    out = tmp_path / "out"
    result = measure(photo, "--mask", mask, "--gsd-mm", "0.5", "--out", out)
    assert result.exit_code == 0, result.output
    (row,) = rows(out / "cracks.csv")
    assert float(row["length_m"]) == pytest.approx(0.0615, abs=0.0025)  # 120 px and round ends of 6
    assert float(row["width_mean_mm"]) == pytest.approx(3.0, abs=0.15)
    assert float(row["gsd_mm"]) == 0.5
    assert "length_px" not in row
    assert (row["source_frame"], row["model"], row["class"], row["severity"]) == ("wall.png", "mask", "other", "")
    assert [int(row[f"{side}_px"]) for side in ("top", "bottom")] == [60, 60]
    (total,) = rows(out / "summary.csv")
    assert float(total["length_m"]) == pytest.approx(float(row["length_m"]), abs=1e-3)
    assert "1 cracks, 0.06" in result.output
    assert Image.open(out / "overlays" / "wall.jpg").size[0] > 100
    assert Image.open(out / "widths.png").size == (1200, 720)
    made = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert made == [
        "cracks.csv", "frames.csv", "frames/wall.json", "overlays/wall.jpg", "settings.json", "summary.csv",
        "whole_cracks.csv", "widths.png",
    ]  # fmt: skip


def test_without_a_scale_everything_is_in_pixels(wall, tmp_path):
    photo, mask = wall
    out = tmp_path / "out"
    result = measure(photo, "--mask", mask, "--out", out, "--rules", "astm_d6433")
    assert result.exit_code == 0, result.output
    assert "no scale: give --gsd-mm for millimetres" in result.output
    (row,) = rows(out / "cracks.csv")
    assert float(row["length_px"]) == pytest.approx(123, abs=5)
    assert float(row["width_mean_px"]) == pytest.approx(6.0, abs=0.3)
    assert "length_m" not in row
    assert (row["gsd_mm"], row["severity"]) == ("", "")
    assert (out / "widths_px.png").is_file()
    assert not (out / "widths.png").exists()
    assert not (out / "cracks.geojson").exists()


def test_rules_road_and_sections(wall, tmp_path):
    photo, mask = wall
    out = tmp_path / "out"
    result = measure(
        photo, "--mask", mask, "--gsd-mm", "4", "--rules", "astm_d6433", "--road-direction", "90",
        "--lane-width-m", "0.5", "--section-length-m", "10", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (row,) = rows(out / "cracks.csv")
    assert (row["class"], row["severity"], row["standard"]) == ("transverse", "medium", "astm_d6433")
    assert row["extent"] == "complete"
    (total,) = rows(out / "summary.csv")
    assert (total["section"], total["severity"]) == ("0 to 10 m", "medium")
    assert "limit: " in result.output


@pytest.mark.parametrize(("row", "zone"), [(60, "centre"), (89, "left wheel path"), (31, "right wheel path")])
def test_lane_zones(wall, tmp_path, row, zone):
    """The crack along row 60 of a picture of 30 mm a pixel, in a lane that runs to the right along another row."""
    photo, mask = wall
    out = tmp_path / "out"
    result = measure(
        photo, "--mask", mask, "--gsd-mm", "30", "--rules", "aashto_r85", "--out", out, "--lane-width-m", "3.6",
        "--lane-centre", f"0,{row},179,{row}",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (crack,) = rows(out / "cracks.csv")
    assert (crack["class"], crack["zone"]) == ("longitudinal", zone)
    (total,) = rows(out / "summary.csv")
    assert total["zone"] == zone


@pytest.mark.parametrize("centre", ["1,2,3", "a,b,c,d", "5,5,5,5", "nan,1,2,3"])
def test_lane_centre_that_is_none(wall, tmp_path, centre):
    photo, mask = wall
    result = measure(
        photo, "--mask", mask, "--gsd-mm", "4", "--lane-width-m", "3.6", "--lane-centre", centre,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "--lane-centre" in result.output


def test_a_folder_of_masks(batch):
    photos, masks, out = batch
    result = measure(photos, "--mask", masks, "--gsd-mm", "1", "--out", out)
    assert result.exit_code == 0, result.output
    assert [row["source_frame"] for row in rows(out / "cracks.csv")] == ["a.png", "b.png", "deep/a.png"]
    assert "done: 3 pictures, 0 failed" in result.output
    assert "3 cracks" in result.output


def test_masks_inside_the_pictures_folder_and_results_too(batch):
    """Neither masks nor the histogram of the run before are pictures."""
    photos, masks, _ = batch
    masks.rename(photos / "masks")
    for _ in range(2):
        result = measure(photos, "--mask", photos / "masks", "--gsd-mm", "1", "--out", photos)
        assert result.exit_code == 0, result.output
    assert "done: 0 pictures, 3 kept from before, 0 failed" in result.output
    assert len(rows(photos / "cracks.csv")) == 3


def test_masks_as_segment_names_them(tmp_path):
    for name in ("a.png", "a.jpg"):
        save(tmp_path / "photos" / name, SCENE.rgb)
        save_mask(tmp_path / "masks" / f"{name}.png")
    result = measure(tmp_path / "photos", "--mask", tmp_path / "masks", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert {row["source_frame"] for row in rows(tmp_path / "out" / "cracks.csv")} == {"a.png", "a.jpg"}


def test_masks_of_two_folders_as_segment_names_them(tmp_path, tiny_onnx):
    days = [tmp_path / "day1", tmp_path / "day2"]
    for day, shift in zip(days, (0, 20), strict=True):
        save(day / "x.png", np.roll(SCENE.rgb, shift, axis=0))
    segment = ["segment", *map(str, days), "--out", str(tmp_path / "found"), "--model", str(tiny_onnx), "--scale", "1"]
    assert CliRunner().invoke(app, segment).exit_code == 0
    result = measure(*days, "--mask", tmp_path / "found" / "masks", "--min-length", "60", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    tops = {row["source_frame"]: int(row["top_px"]) for row in rows(tmp_path / "out" / "cracks.csv")}
    assert tops["day2/x.png"] == pytest.approx(tops["day1/x.png"] + 20, abs=2)


def test_a_picture_without_a_mask_does_not_get_that_of_another(batch):
    photos, masks, out = batch
    (masks / "deep" / "a.png").unlink()
    result = measure(photos, "--mask", masks, "--gsd-mm", "1", "--out", out)
    assert result.exit_code == 1
    assert "no mask called a in" in result.stderr
    assert [row["source_frame"] for row in rows(out / "cracks.csv")] == ["a.png", "b.png"]
    (masks / "a.png").rename(masks / "deep" / "a.png")
    assert measure(photos, "--mask", masks, "--out", out.with_name("again")).exit_code == 1
    assert [row["source_frame"] for row in rows(out.with_name("again") / "cracks.csv")] == ["b.png", "deep/a.png"]


def test_same_names_from_two_sources_and_two_runs(tmp_path):
    for folder in ("x", "y", "z"):
        save(tmp_path / folder / "1.png", SCENE.rgb)
        save_mask(tmp_path / folder / "m.png")
    save_mask(tmp_path / "masks" / "1.png")
    words = ["--mask", tmp_path / "masks", "--out", tmp_path / "out"]
    for folder in ("x", "y", "z"):
        (tmp_path / folder / "m.png").unlink()
    result = measure(tmp_path / "x", tmp_path / "y", *words)
    assert result.exit_code == 0, result.output
    assert [row["source_frame"] for row in rows(tmp_path / "out" / "cracks.csv")] == ["x/1.png", "y/1.png"]
    measure(tmp_path / "z", *words)
    again = measure(tmp_path / "x", tmp_path / "y", *words)
    assert "done: 0 pictures, 2 kept" in again.output


def test_the_network_finds_the_cracks(wall, tiny_onnx, tmp_path):
    photo, _ = wall
    out = tmp_path / "out"
    result = measure(photo, "--model", tiny_onnx, "--scale", "1", "--min-length", "60", "--gsd-mm", "1", "--out", out)
    assert result.exit_code == 0, result.output
    cracks = rows(out / "cracks.csv")
    assert sum(float(row["length_m"]) for row in cracks) == pytest.approx(0.12, rel=0.15)
    longest = max(cracks, key=lambda row: float(row["length_m"]))
    assert longest["model"] == "tiny 0"
    assert 0.5 < float(longest["confidence"]) <= 1
    assert float(longest["width_mean_mm"]) == pytest.approx(6, abs=0.6)
    found = np.asarray(Image.open(out / "masks" / "wall.png")) > 0
    assert found[SCENE.mask].mean() > 0.7
    # A lost mask is made again, as is a picture of which a setting changed.
    (out / "masks" / "wall.png").unlink()
    words = [photo, "--model", tiny_onnx, "--scale", "1", "--min-length", "60", "--gsd-mm", "1", "--out", out]
    assert "done: 1 pictures, 0 failed" in measure(*words).output
    assert "done: 0 pictures, 1 kept" in measure(*words).output


def with_curve(model, path):
    """The same model, whose card says that a find is as sure as its pixels."""
    curve = ConfidenceCurve(intercept=0.0, logit=(1.0, 0.0), log_length=(0.0, 0.0))
    save_model(onnx.load(str(model)), read_card(model).model_copy(update={"confidence": curve}), path)
    return path


def test_doubtful_finds_are_left_out_where_asked(tiny_onnx, tmp_path):
    picture = np.full((120, 180, 3), 140, np.uint8)
    picture[30:34, 20:160] = 60
    picture[80:84, 20:160] = 108  # just dark enough for the model
    photo = save(tmp_path / "two.png", picture)
    model = with_curve(tiny_onnx, tmp_path / "curved.onnx")
    words = [photo, "--model", model, "--scale", "1", "--gsd-mm", "1"]
    result = measure(*words, "--out", tmp_path / "all")
    assert result.exit_code == 0, result.output
    sure, doubtful = (float(row["confidence"]) for row in rows(tmp_path / "all" / "cracks.csv"))
    assert doubtful < 0.9 < sure
    result = measure(*words, "--least-confidence", "0.9", "--out", tmp_path / "sure")
    assert result.exit_code == 0, result.output
    (row,) = rows(tmp_path / "sure" / "cracks.csv")
    assert float(row["confidence"]) == sure
    assert "1 finds of 0.1 m in all were left out" in result.output
    assert "(--least-confidence)" in result.output
    result = measure(*words, "--least-confidence", "0.8", "--out", tmp_path / "sure")
    assert result.exit_code == 2
    assert "least_confidence 0.9 (now 0.8)" in " ".join(result.output.split())


def test_the_results_of_a_fissura_without_least_confidence_are_gone_on_with(wall, tmp_path):
    photo, mask = wall
    out = tmp_path / "out"
    assert measure(photo, "--mask", mask, "--out", out).exit_code == 0
    path = out / "settings.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["settings"]["least_confidence"]
    path.write_text(json.dumps(content), encoding="utf-8")
    again = measure(photo, "--mask", mask, "--out", out)
    assert again.exit_code == 0, again.output


def test_who_does_not_say_how_sure_finds_are(wall, tiny_onnx, tmp_path):
    photo, mask = wall
    for words, who in ((("--mask", mask), "--mask"), (("--model", tiny_onnx), "the model 'tiny'")):
        result = measure(photo, *words, "--least-confidence", "0.5", "--out", tmp_path / "out")
        assert result.exit_code == 2
        assert f"{who} does not say how sure a find is; leave the option out" in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_truth_masks_of_a_data_set_are_not_overwritten(wall, tiny_onnx, tmp_path):
    truth = tmp_path / "set" / "masks" / "wall.png"
    truth.parent.mkdir(parents=True)
    truth.write_bytes(b"truth")
    result = measure(wall[0], "--model", tiny_onnx, "--out", tmp_path / "set")
    assert result.exit_code == 2
    assert "not from 'fissura measure'" in result.output
    assert truth.read_bytes() == b"truth"


def test_the_folder_of_another_command(wall, tiny_onnx, tmp_path):
    out = tmp_path / "found"
    done = CliRunner().invoke(app, ["segment", str(wall[0]), "--out", str(out), "--model", str(tiny_onnx)])
    assert done.exit_code == 0
    before = (out / "settings.json").read_bytes()
    result = measure(wall[0], "--mask", out / "masks", "--out", out)
    assert result.exit_code == 2
    assert "results of another command" in result.output
    assert (out / "settings.json").read_bytes() == before


@pytest.mark.parametrize("yaw_deg", [0.0, 90.0])
def test_drone_photo(tmp_path, yaw_deg):
    """Scale and place come from EXIF and XMP."""
    scene = straight_scene(gsd_mm=8.0, columns=(30.5, 110.5))
    photo = tmp_path / "flight.jpg"
    write_photo(
        photo, scene, latitude_deg=LATITUDE, longitude_deg=LONGITUDE, geotag=Geotag(0, 0, yaw_deg=yaw_deg), quality=95
    )
    mask = save_mask(tmp_path / "flight.png", scene.mask)
    out = tmp_path / "out"
    result = measure(photo, "--mask", mask, "--ground-height", "0", "--out", out)
    assert result.exit_code == 0, result.output
    (row,) = rows(out / "cracks.csv")
    assert float(row["gsd_mm"]) == pytest.approx(8.0, rel=0.01)
    assert float(row["width_mean_mm"]) == pytest.approx(48, abs=2.5)
    assert float(row["length_m"]) == pytest.approx(0.664, abs=0.03)
    assert row["captured_at"].startswith("2026-01-01T12:00:00")
    (feature,) = features(out)
    lonlat = np.array(feature["geometry"]["coordinates"])
    east, north = (lonlat - (LONGITUDE, LATITUDE)).T * 111_200 * np.array([[np.cos(np.deg2rad(LATITUDE))], [1]])
    # The line lies along the picture's rows: to the east if the camera looks north, to the south if it looks east.
    # Its middle is 19.5 px left of the picture's.
    along, across = (east, north) if yaw_deg == 0 else (-north, east)
    assert np.ptp(along) == pytest.approx(0.664, abs=0.03)
    assert np.abs(across).max() < 0.03
    assert (along[0] + along[-1]) / 2 == pytest.approx(-0.156, abs=0.02)
    assert feature["properties"]["position_sigma_m"] == pytest.approx(3.0, abs=0.1)
    # Where along the crack it is how wide stands on the map where the crack does.
    measure(photo, "--mask", mask, "--ground-height", "0", "--profiles", "--out", out)
    places = rows(out / "profiles.csv")
    assert len(places) > 5
    at = np.array([[float(place["longitude_deg"]), float(place["latitude_deg"])] for place in places])
    there = (at - (LONGITUDE, LATITUDE)) * 111_200 * np.array([np.cos(np.deg2rad(LATITUDE)), 1])
    start, end = np.column_stack([east, north])[[0, -1]]
    detour = np.linalg.norm(there - start, axis=1) + np.linalg.norm(there - end, axis=1) - np.linalg.norm(end - start)
    assert np.abs(detour).max() < 0.01
    steps = np.linalg.norm(np.diff(there, axis=0), axis=1)
    assert steps == pytest.approx(np.diff([float(place["along_m"]) for place in places]), abs=0.005)
    (whole,) = rows(out / "whole_cracks.csv")
    (here,) = of(places, column_px=whole["widest_column_px"], row_px=whole["widest_row_px"])
    assert (here["longitude_deg"], here["latitude_deg"]) == (
        whole["widest_longitude_deg"], whole["widest_latitude_deg"],
    )  # fmt: skip
    assert feature["properties"]["crack_key"] == "flight.jpg:1"
    # A given ground size goes before the camera's.
    measure(photo, "--mask", mask, "--gsd-mm", "2", "--out", tmp_path / "given")
    assert float(rows(tmp_path / "given" / "cracks.csv")[0]["width_mean_mm"]) == pytest.approx(12, abs=0.6)


@pytest.mark.parametrize("crs", ["EPSG:25832", "EPSG:4326"])
def test_geotiff(tmp_path, crs):
    gsd_m = 0.002
    if crs == "EPSG:25832":
        # On the meridian 9 degrees east; the map's scale there is 0.9996.
        transform, ground = from_origin(500_000, 5_600_000, gsd_m, gsd_m), gsd_m / 0.9996
    else:
        lat_m, lon_m = 111_249.0, 70_921.0  # a degree at 50.5 degrees north, WGS84
        transform, ground = from_origin(LONGITUDE, LATITUDE, gsd_m / lon_m, gsd_m / lat_m), gsd_m
    path = tmp_path / "ortho.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=HW[0], width=HW[1], count=3, dtype="uint8", crs=crs, transform=transform
    ) as dataset:
        dataset.write(np.moveaxis(SCENE.rgb, 2, 0))
    out = tmp_path / "out"
    result = measure(path, "--mask", save_mask(tmp_path / "ortho.png"), "--out", out)
    assert result.exit_code == 0, result.output
    (row,) = rows(out / "cracks.csv")
    assert float(row["gsd_mm"]) == pytest.approx(1000 * ground, rel=2e-3)
    assert float(row["width_mean_mm"]) == pytest.approx(6000 * ground, rel=0.05)
    (feature,) = features(out)
    lonlat = np.array(feature["geometry"]["coordinates"])
    if crs == "EPSG:25832":
        from rasterio.warp import transform as warp

        x, y = (np.array(v) for v in warp("OGC:CRS84", crs, *lonlat.T))
    else:
        x, y = lonlat.T
    column, row_px = np.array([~transform @ (a, b) for a, b in zip(x, y, strict=True)]).T
    assert np.abs(row_px - 60.5).max() < 1.0
    assert sorted([column.min(), column.max()]) == pytest.approx([27.5, 153.5], abs=4)


def test_a_raster_that_the_network_saw_is_kept_too(tmp_path, make_data, tiny_onnx):
    source = make_data.geotiff(tmp_path / "ortho.tif", hw=HW)
    words = [source, "--model", tiny_onnx, "--scale", "1", "--out", tmp_path / "out"]
    assert measure(*words).exit_code == 0
    assert "done: 0 pictures, 1 kept" in measure(*words).output


def test_resume(batch):
    photos, masks, out = batch
    words = [photos, "--mask", masks, "--gsd-mm", "1", "--out", out]
    assert measure(*words).exit_code == 0
    records = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (out / "frames").rglob("*.json")}
    table = (out / "cracks.csv").read_bytes()
    again = measure(*words)
    assert "done: 0 pictures, 3 kept from before, 0 failed" in again.output
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in records} == records
    assert (out / "cracks.csv").read_bytes() == table
    # Only what is missing is made.
    (out / "frames" / "b.json").unlink()
    assert "done: 1 pictures, 2 kept" in measure(*words).output
    (out / "overlays" / "a.jpg").unlink()
    (out / "frames" / "deep" / "a.json").write_text('{"half', encoding="utf-8")
    assert "done: 2 pictures, 1 kept" in measure(*words).output
    assert (out / "cracks.csv").read_bytes() == table
    # Other words for the same folder are the same settings; a mask that was drawn anew is not.
    assert "done: 0 pictures, 3 kept" in measure(photos, "--mask", photos / ".." / "masks", *words[3:]).output
    save_mask(masks / "b.png", np.roll(SCENE.mask, 5, 0) | SCENE.mask)
    assert "done: 1 pictures, 2 kept" in measure(*words).output
    assert "done: 3 pictures, 0 failed" in measure(*words, "--overwrite").output


def test_other_settings_are_not_mixed(batch):
    photos, masks, out = batch
    words = [photos, "--mask", masks, "--out", out]
    assert measure(*words, "--gsd-mm", "1").exit_code == 0
    table = (out / "cracks.csv").read_bytes()
    for change, named in (
        (["--gsd-mm", "2"], "gsd_mm 1.0 (now 2.0)"),
        (["--gsd-mm", "1", "--rules", "ltpp"], "rules None (now ltpp)"),
        (["--gsd-mm", "1", "--min-length", "5"], "min_length 0.0 (now 5.0)"),
        (["--gsd-mm", "1", "--road-direction", "90"], "road_direction_deg None (now 90.0)"),
        (["--gsd-mm", "1", "--roi", masks / "a.png"], "roi None (now "),
    ):
        result = measure(*words, *change)
        assert result.exit_code == 2, result.output
        assert named in result.output
        assert "--overwrite" in result.output
    assert (out / "cracks.csv").read_bytes() == table
    assert measure(*words, "--gsd-mm", "2", "--overwrite").exit_code == 0
    assert {row["gsd_mm"] for row in rows(out / "cracks.csv")} == {"2"}


def test_own_rules_that_were_edited_are_used(wall, tmp_path):
    rules = tmp_path / "mine.yaml"
    text = (
        "name: mine\ntitle: mine\nsource: {document: none}\nsurface: any\nunit: mm\n"
        "levels:\n  other:\n    - {name: fine, up_to_mm: LIMIT}\n    - {name: wide}\n"
    )
    levels = []
    for limit in ("20", "2"):
        rules.write_text(text.replace("LIMIT", limit), encoding="utf-8")
        result = measure(wall[0], "--mask", wall[1], "--gsd-mm", "1", "--rules", rules, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        levels.append(rows(tmp_path / "out" / "cracks.csv")[0]["severity"])
    assert levels == ["fine", "wide"]


def test_one_bad_file_of_several(batch, make_data):
    photos, masks, out = batch
    make_data.truncated_jpeg(photos / "hurt.jpg")
    save_mask(masks / "hurt.png")
    result = measure(photos, "--mask", masks, "--gsd-mm", "1", "--out", out)
    assert result.exit_code == 1
    assert "hurt.jpg is damaged or ends too early" in result.output
    assert "done: 3 pictures, 1 failed" in result.output
    assert "Traceback" not in result.output
    assert len(rows(out / "cracks.csv")) == 3


def test_an_unexpected_error_fails_alone_too(batch, monkeypatch):
    import fissura.measure_run as module

    photos, masks, out = batch
    whole, calls = module.measure_frame, []

    def fragile(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("library trouble")
        return whole(*arguments, **options)

    monkeypatch.setattr(module, "measure_frame", fragile)
    result = measure(photos, "--mask", masks, "--out", out)
    assert result.exit_code == 1
    assert "RuntimeError: library trouble; run with --debug" in result.output
    assert "done: 2 pictures, 1 failed" in result.output


BRANCHED = draw_cracks(
    *zip(straight((90, 30), (90, 330), [3, 9, 3]), straight((90, 120), (20, 40), [5, 3]),
         straight((150, 60), (150, 300), [2, 2, 6]), strict=True),
    (190, 360), seed=4,
)  # fmt: skip
"""A crack whose main line is widest, 9 px, at column 180, with a branch at column 120; and one alone below it."""


def of(table, **wanted):
    return [row for row in table if all(row[name] == value for name, value in wanted.items())]


def test_profiles_whole_cracks_and_branches_agree(tmp_path):
    for name in ("a.png", "b.png"):
        save(tmp_path / "photos" / name, BRANCHED.rgb)
        save_mask(tmp_path / "masks" / name, BRANCHED.mask)
    out = tmp_path / "out"
    words = (tmp_path / "photos", "--mask", tmp_path / "masks", "--gsd-mm", "0.5", "--rules", "mbei_concrete")
    result = measure(*words, "--profiles", "--out", out)
    assert result.exit_code == 0, result.output
    assert f"{out / 'whole_cracks.csv'}, {out / 'profiles.csv'}" in result.output
    branches, whole, places = (rows(out / f"{name}.csv") for name in ("cracks", "whole_cracks", "profiles"))
    assert [row["crack_key"] for row in whole] == ["a.png:1", "a.png:2", "b.png:1", "b.png:2"]
    assert [row["branches"] for row in whole] == ["3", "1"] * 2
    for crack in whole:
        own = of(branches, crack_key=crack["crack_key"])
        assert {(row["source_frame"], row["crack_id"]) for row in own} == {(crack["source_frame"], crack["crack_id"])}
        assert float(crack["length_m"]) == pytest.approx(sum(float(row["length_m"]) for row in own), abs=1e-9)
        widest = max(own, key=lambda row: float(row["width_max_mm"]))
        for name in ("width_max_mm", "widest_column_px", "widest_row_px", "severity"):
            assert crack[name] == widest[name], name
        assert crack["widest_branch"] == widest["id"]
    for branch in branches:
        own = of(places, crack_key=branch["crack_key"], id=branch["id"])
        assert sum(float(row["length_m"]) for row in own) == pytest.approx(float(branch["length_m"]), abs=1e-9)
        (widest, *_) = sorted(own, key=lambda row: -float(row["width_mm"]))
        assert widest["width_mm"] == branch["width_max_mm"]
        here = of(own, column_px=branch["widest_column_px"], row_px=branch["widest_row_px"])
        assert [row["width_mm"] for row in here] == [branch["width_max_mm"]]
    # And what they agree on is what was drawn: 4.5 mm in the middle of the main line, 3 mm at one end of the other.
    first, second = of(whole, source_frame="a.png")
    assert float(first["width_max_mm"]) == pytest.approx(4.5, abs=0.2)
    assert float(first["widest_column_px"]) == pytest.approx(180, abs=12)
    assert float(first["widest_row_px"]) == pytest.approx(90, abs=1)
    assert float(second["widest_column_px"]) == pytest.approx(290, abs=12)
    alone = of(places, crack_key="a.png:2")
    drawn = np.interp([float(row["column_px"]) for row in alone], [60, 180, 300], [1, 1, 3])
    assert np.abs(np.array([float(row["width_mm"]) for row in alone]) - drawn).max() < 0.3
    assert 0.01 < min(float(row["width_sigma_mm"]) for row in alone) < 0.2


def test_profiles_can_be_asked_for_later(batch):
    photos, masks, out = batch
    words = [photos, "--mask", masks, "--out", out]
    assert measure(*words).exit_code == 0
    assert not (out / "profiles.csv").exists()
    again = measure(*words, "--profiles")
    assert "done: 0 pictures, 3 kept" in again.output
    table = rows(out / "profiles.csv")
    assert {row["source_frame"] for row in table} == {"a.png", "b.png", "deep/a.png"}
    assert "width_px" in table[0] and "width_mm" not in table[0] and "longitude_deg" not in table[0]
    assert {row["width_from"] for row in table} == {"grey"}
    # A table that would no longer hold all pictures does not stay.
    assert measure(*words).exit_code == 0
    assert not (out / "profiles.csv").exists()


def test_profiles_of_pictures_that_an_older_fissura_measured(batch):
    photos, masks, out = batch
    words = [photos, "--mask", masks, "--out", out, "--profiles"]
    assert measure(*words).exit_code == 0
    path = out / "frames" / "b.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["record"]["profiles"], content["record"]["widest"]
    path.write_text(json.dumps(content), encoding="utf-8")
    again = measure(*words)
    assert again.exit_code == 0, again.output
    assert "1 pictures have no rows in profiles.csv" in again.stderr and "--overwrite" in again.stderr
    assert {row["source_frame"] for row in rows(out / "profiles.csv")} == {"a.png", "deep/a.png"}
    keys = [row["crack_key"] for row in rows(out / "whole_cracks.csv")]
    assert keys == ["a.png:1", "b.png:1", "deep/a.png:1"]
    assert "have no rows" not in measure(*words, "--overwrite").stderr


def test_a_bridged_gap_says_where_its_width_comes_from(tmp_path):
    mask = SCENE.mask.copy()
    mask[:, 88:95] = False
    photo = save(tmp_path / "wall.png", SCENE.rgb)
    out = tmp_path / "out"
    words = ("--mask", save_mask(tmp_path / "mask.png", mask), "--gsd-mm", "1", "--profiles", "--out", out)
    assert measure(photo, *words).exit_code == 0
    (gap,) = of(rows(out / "cracks.csv"), bridged_share="1")
    assert {row["width_from"] for row in of(rows(out / "profiles.csv"), id=gap["id"])} == {"gap"}
    (whole,) = rows(out / "whole_cracks.csv")
    assert whole["branches"] == "3" and 0 < float(whole["bridged_share"]) < 0.2


def test_no_cracks(wall, tmp_path):
    photo, mask = wall
    save_mask(mask, np.zeros(HW, bool))
    out = tmp_path / "out"
    result = measure(photo, "--mask", mask, "--gsd-mm", "1", "--out", out)
    assert result.exit_code == 0, result.output
    assert "0 cracks" in result.output
    assert rows(out / "cracks.csv") == []
    assert rows(out / "summary.csv") == []
    header = (out / "summary.csv").read_text(encoding="utf-8-sig").strip().split(",")
    assert header[:4] == ["source_frame", "section", "zone", "class"] and "density_m_per_m2" in header
    assert (out / "overlays" / "wall.jpg").is_file()


def test_tables_of_an_earlier_run_do_not_stay(tmp_path):
    scene = straight_scene(gsd_mm=8.0)
    photo = tmp_path / "flight.jpg"
    write_photo(photo, scene, latitude_deg=LATITUDE, longitude_deg=LONGITUDE)
    words = ["--mask", save_mask(tmp_path / "m.png", scene.mask), "--out", tmp_path / "out"]
    assert measure(photo, *words, "--ground-height", "0").exit_code == 0
    assert (tmp_path / "out" / "cracks.geojson").is_file()
    plain = save(tmp_path / "plain.png", scene.rgb)
    assert measure(plain, *words, "--overwrite").exit_code == 0
    assert not (tmp_path / "out" / "cracks.geojson").exists()
    assert not (tmp_path / "out" / "widths.png").exists()


def test_every_picture_has_a_row_in_frames(batch, make_data):
    photos, masks, out = batch
    make_data.truncated_jpeg(photos / "hurt.jpg")
    save_mask(masks / "hurt.png")
    save_mask(masks / "b.png", np.zeros(HW, bool))
    result = measure(photos, "--mask", masks, "--gsd-mm", "10", "--out", out)
    assert result.exit_code == 1
    first, second, third, hurt = rows(out / "frames.csv")
    assert [row["source_frame"] for row in (first, second, third, hurt)] == ["a.png", "b.png", "deep/a.png", "hurt.jpg"]
    assert (first["state"], first["scale_source"], first["gsd_mm"]) == ("done", "given", "10")
    area = HW[0] * HW[1] / 1e4
    assert float(first["inspected_m2"]) == pytest.approx(area)
    assert float(first["density_m_per_m2"]) == pytest.approx(float(first["length_m"]) / area, abs=1e-4)
    assert (second["cracks"], second["length_m"], second["density_m_per_m2"]) == ("0", "0", "0")
    assert "taken as exact" in second["notes"] and first["length_px"] == ""
    assert (hurt["state"], hurt["cracks"]) == ("failed", "") and "damaged or ends too early" in hurt["notes"]
    total = rows(out / "summary.csv")[0]
    assert float(total["inspected_m2"]) == pytest.approx(area)
    assert total["density_m_per_m2"] == first["density_m_per_m2"]


def test_notes_are_said_once_and_of_how_many_pictures(tmp_path):
    """The fifth picture alone has no scale: that does not go unsaid."""
    for name in "abcde":
        save(tmp_path / "photos" / f"{name}.png", SCENE.rgb)
        save_mask(tmp_path / "masks" / f"{name}.png")
    words = (tmp_path / "photos", "--mask", tmp_path / "masks", "--out", tmp_path / "out")
    result = measure(*words)
    assert result.exit_code == 0, result.output
    assert result.output.count("no scale: the file states no height") == 2  # at once, and of how many in the end
    assert "note: a.png: no scale: " in result.output
    assert "note: 5 of 5 pictures (a.png, b.png, c.png, and 2 more): no scale: " in result.output
    # Kept pictures say theirs again.
    assert "note: 5 of 5 pictures (a.png, b.png, c.png, and 2 more): no scale: " in measure(*words).output
    assert {"no scale: " in row["notes"] for row in rows(tmp_path / "out" / "frames.csv")} == {True}


def test_one_table_that_cannot_be_written_stops_no_other(batch, make_data):
    photos, masks, out = batch
    make_data.truncated_jpeg(photos / "hurt.jpg")
    save_mask(masks / "hurt.png")
    (out / "cracks.csv").mkdir(parents=True)
    result = measure(photos, "--mask", masks, "--gsd-mm", "1", "--out", out)
    assert result.exit_code == 1
    assert "1 tables could not be written:" in result.output and f"cannot write {out / 'cracks.csv'}" in result.output
    assert "1 failed:" in result.output and "done: 3 pictures, 1 failed" in result.output
    assert len(rows(out / "summary.csv")) == 3
    assert (out / "widths.png").is_file() and (out / "frames.csv").is_file()
    # Alone it is a failure, too.
    (photos / "hurt.jpg").unlink()
    again = measure(photos, "--mask", masks, "--gsd-mm", "1", "--out", out)
    assert again.exit_code == 1 and "done: 0 pictures, 3 kept from before, 0 failed" in again.output


def test_a_disk_that_is_full_says_how_far_it_came(batch, monkeypatch):
    import errno

    import fissura.imaging.write as writing

    photos, masks, out = batch
    replace, calls = writing.os.replace, []

    def full(source, target):
        calls.append(target)
        if len(calls) > 3:  # the settings, and an overlay and a record of the first picture
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(writing.os, "replace", full)
    result = measure(photos, "--mask", masks, "--gsd-mm", "1", "--out", out)
    assert result.exit_code == 1, result.output
    assert "error: stopped, 2 of 3 pictures are not done: cannot write" in result.output
    assert "done: 1 pictures, 0 failed" in result.output
    assert "tables could not be written" in result.output


def test_pictures_of_earlier_calls_are_in_the_tables(batch, tmp_path):
    photos, masks, out = batch
    words = ["--mask", masks, "--gsd-mm", "1", "--out", out]
    assert measure(photos / "a.png", *words).exit_code == 0
    result = measure(photos / "b.png", *words)
    assert result.exit_code == 0, result.output
    assert "the tables hold 1 pictures of earlier calls as well" in result.output and "2 cracks" in result.output
    assert [row["source_frame"] for row in rows(out / "cracks.csv")] == ["b.png", "a.png"]
    assert [row["source_frame"] for row in rows(out / "frames.csv")] == ["b.png", "a.png"]
    assert len(rows(out / "summary.csv")) == 2
    # Another picture of the same name has a name of its own in the tables.
    result = measure(photos / "deep" / "a.png", *words)
    assert [row["source_frame"] for row in rows(out / "cracks.csv")] == ["deep/a.png", "a.png", "b.png"]
    # What is gone, has changed or was measured with other settings is not there.
    (photos / "b.png").unlink()
    result = measure(photos / "a.png", *words)
    assert [row["source_frame"] for row in rows(out / "cracks.csv")] == ["a.png", "deep/a.png"]
    assert "1 pictures of earlier calls are not in the tables: they have changed or are gone" in result.output
    result = measure(photos / "a.png", "--mask", masks, "--gsd-mm", "2", "--out", out, "--overwrite")
    assert [row["source_frame"] for row in rows(out / "cracks.csv")] == ["a.png"]


def test_a_mask_of_a_raster_says_where_nothing_was_looked_at(tmp_path, tiny_onnx):
    path = tmp_path / "ortho.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=HW[0], width=HW[1], count=3, dtype="uint8", crs="EPSG:25832", nodata=0,
        transform=from_origin(500_000, 5_600_000, 0.002, 0.002),
    ) as dataset:
        picture = np.maximum(SCENE.rgb, 1)
        picture[:, 130:] = 0
        dataset.write(np.moveaxis(picture, 2, 0))
    result = measure(path, "--model", tiny_onnx, "--scale", "1", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "out" / "masks" / "ortho.tif") as dataset:
        valid = dataset.dataset_mask() > 0
    assert valid[:, :130].all() and not valid[:, 130:].any()


def test_mask_of_another_size(wall, tmp_path):
    save_mask(wall[1], SCENE.mask[:, :100])
    result = measure(wall[0], "--mask", wall[1], "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "100×120" in result.output
    assert "180×120" in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gsd-mm", "-1"], "--gsd-mm is -1"),
        (["--gsd-mm", "0"], "--gsd-mm is 0"),
        (["--gsd-mm", "nan"], "--gsd-mm is nan"),
        (["--distance-m", "0"], "--distance-m is 0"),
        (["--ground-height", "inf"], "--ground-height is inf"),
        (["--target", "circle:5"], "circle"),
        (["--section-length-m", "10"], "--section-length-m needs --road-direction"),
        (["--section-length-m", "0", "--road-direction", "90"], "--section-length-m is 0"),
        (["--lane-width-m", "3.5"], "--lane-width-m needs --road-direction"),
        (["--lane-width-m", "-3.5", "--road-direction", "90"], "--lane-width-m is -3.5"),
        (["--road-direction", "nan"], "--road-direction is nan"),
        (["--min-length", "-3"], "--min-length is -3"),
        (["--least-confidence", "1.5"], "--least-confidence is 1.5; give 0 (keep all) to 1"),
        (["--least-confidence", "nan"], "--least-confidence is nan"),
        (["--rules", "astm"], "there are no rules 'astm'"),
        (["--roi", "missing.geojson"], "missing.geojson does not exist"),
    ],
)
def test_options_that_make_no_sense(wall, tmp_path, options, words):
    result = measure(wall[0], "--mask", wall[1], "--out", tmp_path / "out", *options)
    assert result.exit_code == 2, result.output
    assert result.output.startswith("error: ")
    assert words in result.output
    assert not (tmp_path / "out").exists()


def test_rules_with_a_typo(wall, tmp_path):
    rules = tmp_path / "mine.yaml"
    rules.write_text("name: mine\ntitle: t\nsource: {document: d}\nsurface: any\nunit: mm\nwidth_statistics: max\n")
    result = measure(wall[0], "--mask", wall[1], "--rules", rules, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "mine.yaml" in result.output
    assert "width_statistics" in result.output
    assert "did you mean width_statistic?" in result.output


def test_fields_that_contradict_each_other(tmp_path):
    scene = straight_scene(gsd_mm=8.0)
    photo = tmp_path / "flight.jpg"
    write_photo(photo, scene, latitude_deg=LATITUDE, longitude_deg=LONGITUDE)
    result = measure(
        photo, "--mask", save_mask(tmp_path / "m.png", scene.mask), "--ground-height", "500", "--out", tmp_path / "out"
    )
    assert result.exit_code == 1
    assert "RelativeAltitude" in result.output
    assert "--ground-height" in result.output
    assert not (tmp_path / "out" / "cracks.csv").exists()


def oblique_photo(path, pitch_deg):
    """A photo of 40 m above the ground."""
    from PIL import ExifTags
    from PIL.TiffImagePlugin import IFDRational

    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm.value] = 24
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLength.value] = IFDRational(88, 10)
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" '
        b'drone-dji:RelativeAltitude="+40.0" drone-dji:GimbalPitchDegree="%.1f" drone-dji:GimbalRollDegree="0.0" '
        b'drone-dji:GimbalYawDegree="0.0"/></rdf:RDF></x:xmpmeta>' % pitch_deg
    )
    Image.fromarray(SCENE.rgb).save(path, exif=exif, xmp=xmp, quality=95)
    return path, "--ground-height", "0", "--sensor-width-mm", "13.2"


def test_camera_that_looks_at_the_horizon(tmp_path):
    """Nothing is measured above it, where a scale has no meaning."""
    mask = np.zeros(HW, bool)
    mask[10:14, 20:160] = mask[100:104, 20:160] = True
    words = oblique_photo(tmp_path / "far.jpg", -12.0)
    result = measure(*words, "--mask", save_mask(tmp_path / "m.png", mask), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = rows(tmp_path / "out" / "cracks.csv")
    if found and "length_m" in found[0]:
        assert [int(row["top_px"]) > 90 for row in found] == [True]
    else:
        pytest.fail(f"the oblique view had no scale: {result.output}")


def test_just_below_the_horizon_nothing_is_measured(tmp_path):
    """A line towards the horizon would be kilometres long, and an alligator field as large as a town."""
    mask = np.zeros(HW, bool)
    for column in (60, 90, 120):
        mask[2:116, column : column + 3] = True
    words = oblique_photo(tmp_path / "far.jpg", -12.0)
    result = measure(*words, "--mask", save_mask(tmp_path / "m.png", mask), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = rows(tmp_path / "out" / "cracks.csv")
    assert len(found) == 3
    # 40 m above the ground and 4 to 5 degrees below the horizon.
    assert all(300 < float(row["length_m"]) < 600 for row in found)
    assert "the view reaches too far" in result.output and "pixels of the crack mask lie there" in result.output


def test_masks_that_are_missing_or_twofold(batch):
    photos, masks, out = batch
    (masks / "b.png").unlink()
    save_mask(masks / "deep" / "a.bmp")
    result = measure(photos, "--mask", masks, "--out", out)
    assert result.exit_code == 1
    assert "no mask called b" in result.output
    assert "2 masks" in result.output
    assert "deep/a.bmp" in result.output
    assert [row["source_frame"] for row in rows(out / "cracks.csv")] == ["a.png"]


def test_masks_that_cannot_be_used(batch, make_data):
    photos, masks, out = batch
    missing = measure(photos, "--mask", masks / "nothing", "--out", out)
    assert missing.exit_code == 2
    assert "does not exist" in missing.output
    (masks / "none").mkdir()
    empty = measure(photos, "--mask", masks / "none", "--out", out)
    assert empty.exit_code == 2
    assert "holds no mask" in empty.output
    one = measure(photos, "--mask", masks / "a.png", "--out", out)
    assert one.exit_code == 2
    assert "is one file and there are 3 pictures" in one.output
    assert not out.exists()
    make_data.text_as_image(masks / "b.png")
    hurt = measure(photos, "--mask", masks, "--out", out)
    assert hurt.exit_code == 1
    assert "cannot read the mask" in hurt.output
    assert "done: 2 pictures, 1 failed" in hurt.output


def test_nothing_to_do(tmp_path):
    (tmp_path / "empty").mkdir()
    for source, words in [("empty", "holds no images"), ("missing.jpg", "no such file")]:
        result = measure(tmp_path / source, "--gsd-mm", "1", "--out", tmp_path / "out")
        assert result.exit_code == 2
        assert words in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["file", "file/out", "/proc/fissura"])
def test_output_that_cannot_be_made(wall, tmp_path, out):
    (tmp_path / "file").write_bytes(b"")
    result = measure(wall[0], "--mask", wall[1], "--out", tmp_path / out)
    assert result.exit_code == 2
    assert "cannot write" in result.output
    assert "Traceback" not in result.output


def test_damaged_settings(wall, tmp_path):
    out = tmp_path / "out"
    words = [wall[0], "--mask", wall[1], "--gsd-mm", "1", "--out", out]
    assert measure(*words).exit_code == 0
    (out / "settings.json").write_text("{", encoding="utf-8")
    result = measure(*words)
    assert result.exit_code == 2
    assert "settings.json is damaged" in result.output
    assert measure(*words, "--overwrite").exit_code == 0


def test_quiet_says_nothing(wall, tmp_path):
    result = measure(wall[0], "--mask", wall[1], "--gsd-mm", "1", "--out", tmp_path / "out", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_measures_without_torch(wall, tiny_onnx, tmp_path):
    """A fresh interpreter in which torch and all of the training extra cannot be imported."""
    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'lightning', 'onnx', 'nncf', 'safetensors'):
            raise ImportError('blocked: ' + name)
sys.meta_path.insert(0, Block())
from fissura.cli.app import main
photo, model, out = sys.argv[1:]
sys.argv = ['fissura', 'measure', photo, '--model', model, '--gsd-mm', '1', '--rules', 'ltpp', '--out', out, '--quiet']
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
assert 'torch' not in sys.modules
print('fine')
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(wall[0]), str(tiny_onnx), str(tmp_path / "out")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "fine", done.stderr
    assert (tmp_path / "out" / "cracks.csv").is_file()


def test_totals_count_what_counts_and_say_what_does_not(tmp_path):
    """By AASHTO R 85 a crack has at least 25 mm."""
    mask = np.zeros((300, 400), bool)
    mask[50:55, 30:370] = mask[100:102, 30:45] = mask[150:152, 60:75] = True
    picture = save(tmp_path / "a.png", np.where(mask[..., None], np.uint8(20), np.uint8(180)).repeat(3, axis=2))
    result = measure(picture, "--mask", save_mask(tmp_path / "m.png", mask), "--gsd-mm", "1", "--rules", "aashto_r85",
                     "--out", tmp_path / "out")  # fmt: skip
    assert "1 cracks, 0.34 m" in result.output and "2 branches are too small to count by the rules" in result.output


def test_the_ground_beside_the_region_of_interest_is_not_inspected(wall, tmp_path):
    region = np.zeros(HW, bool)
    region[: HW[0] // 4] = True
    options = (wall[0], "--mask", wall[1], "--gsd-mm", "10")
    whole, part, none = (
        measure(*options, *more, "--out", tmp_path / name).output
        for name, more in (
            ("whole", ()), ("part", ("--roi", save_mask(tmp_path / "roi.png", region))),
            ("none", ("--roi", save_mask(tmp_path / "nothing.png", np.zeros(HW, bool)))),
        )
    )  # fmt: skip
    area = HW[0] * HW[1] / 1e4
    assert f"on {area:.4g} m²" in whole and f"on {area / 4:.4g} m²" in part and " m²" not in none


def test_times_are_the_same_when_a_run_goes_on(wall, tmp_path):
    exif = Image.Exif()
    exif[306] = "2026:05:04 10:30:00"
    photo = tmp_path / "wall.jpg"
    Image.fromarray(SCENE.rgb).save(photo, exif=exif)
    for _ in range(2):
        result = measure(photo, "--mask", wall[1], "--gsd-mm", "1", "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert {row["captured_at"] for row in rows(tmp_path / "out" / "cracks.csv")} == {"2026-05-04T10:30:00"}


def test_a_side_too_long_for_one_piece_says_what_to_do(tmp_path):
    picture = save(tmp_path / "long.png", np.zeros((8, 32_001, 3), np.uint8))
    result = measure(picture, "--mask", save_mask(tmp_path / "m.png", np.zeros((8, 32_001), bool)), "--out", tmp_path)
    assert "32001x8" in result.output and "fissura survey" in result.output and "by_tiles" not in result.output


def test_a_name_that_is_no_unicode_fails_nothing(batch):
    photos, masks, out = batch
    require_odd_names(photos)
    for folder in (photos, masks):
        (folder / "a.png").rename(folder / "stra\udcdfe.png")
    for kept in ("", "3 kept from before"):
        result = measure(photos, "--mask", masks, "--gsd-mm", "1", "--out", out)
        assert result.exit_code == 0 and kept in result.output, result.output
        assert {row["source_frame"] for row in rows(out / "cracks.csv")} == {"b.png", "deep/a.png", "stra?e.png"}
