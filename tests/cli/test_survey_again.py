"""A finished survey by other rules, along another line, in other sections: as a new run, but without the network."""

import csv
import hashlib
import json
import re
import shutil

import cv2
import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine
from PIL import Image
from typer.testing import CliRunner

from fissura.cli.app import app
from fissura.measure.rules import read_rules
from fissura.survey import photo_stage, raster_run, video_stage
from fissura.survey.ground_record import GroundRecord
from fissura.synth.aerial import AerialCamera, WorldOptions, make_world, plan_flight, write_flight, write_photo_flight

HW = (360, 480)
OWN_RULES = """
name: own
title: Own rules
source: {document: none}
surface: any
unit: mm
width_statistic: max
levels:
  longitudinal: [{name: a, up_to_mm: 15}, {name: b, up_to_mm: 40}, {name: c}]
  transverse: [{name: a, up_to_mm: 25}, {name: b, up_to_mm: 60}, {name: c}]
  other: [{name: b, up_to_mm: 20}, {name: c}]
  alligator: [{name: a, below_mm: 12}, {name: c}]
minimum: {length_mm: 200}
angles: {longitudinal_up_to_deg: 10, transverse_above_deg: 70, between: other}
"""


def fissura(*words):
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result.output


def write_raster(path):
    """Grey ground of 4 mm a pixel with a crack along it and a field of alligator cracking."""
    rgb = np.random.default_rng(3).integers(140, 160, (700, 700, 3), np.uint8)
    cv2.polylines(rgb, [np.array([[60, 40], [120, 300], [90, 660]])], False, (30, 30, 30), 7, cv2.LINE_AA)
    for k in range(6):
        cv2.line(rgb, (300 + 60 * k, 200), (310 + 60 * k, 500), (30, 30, 30), 4 + k % 3, cv2.LINE_AA)
        cv2.line(rgb, (300, 200 + 60 * k), (610, 195 + 60 * k), (30, 30, 30), 4, cv2.LINE_AA)
    profile = {"driver": "GTiff", "height": 700, "width": 700, "count": 3, "dtype": "uint8", "crs": "EPSG:32632"}
    place = Affine(0.004, 0, 692_000.0, 0, -0.004, 5_341_000.0)
    with rasterio.open(path, "w", transform=place, **profile) as dataset:
        dataset.write(np.moveaxis(rgb, 2, 0))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Photos that are put together and one that stands alone, a GeoTIFF, a video; rules, and a line to count along."""
    folder = tmp_path_factory.mktemp("again")
    options = WorldOptions(
        extent_m=(14.0, 24.0), road_width_m=5.0, crack_density=3.0, vehicles=0.0, trees=0.0, houses=0.0, markings=False
    )
    world, camera = make_world(21, options), AerialCamera(0.0, 0.0, 8.0, focal_px=480.0, image_hw=HW)
    photos = write_photo_flight(folder / "photos", world, camera, spacing_m=2.0, most=3, gsd_mm=16.0)
    with Image.open(photos.paths[1]) as picture:
        picture.transpose(Image.Transpose.ROTATE_180).save(folder / "photos" / "alone.png")
    write_raster(folder / "ground.tif")
    film = plan_flight(world, AerialCamera(0.0, 0.0, 8.0, focal_px=480.0, image_hw=HW), duration_s=2.0, speed_m_s=3.0)
    write_flight(folder / "flight.mp4", world, film)
    (folder / "own.yaml").write_text(OWN_RULES)
    return folder


def survey(inputs, model, out, *words, names=("photos", "ground.tif", "flight.mp4")):
    sources = [inputs / name for name in names]
    return fissura(
        "survey", *sources, "--out", out, "--model", model, "--threads", 1, "--threshold", 0.9, "--ground-height", 0,
        *words,
    )  # fmt: skip


def tables(run):
    """All rows of a run, and its summary without what takes another time."""
    out = {}
    for name in ("cracks.csv", "areas.csv", "sections.csv"):
        out[name] = list(csv.DictReader((run / name).open(encoding="utf-8-sig")))
        assert out[name], name
    summary = json.loads((run / "summary.json").read_text())
    del summary["seconds"]
    for video in summary["videos"]:
        del video["seconds"], video["elapsed_s"]
    return out | {"summary.json": summary}


def page(run):
    """The report without what is of this run alone."""
    text = (run / "report.html").read_text()
    return re.sub(r"Reported [^·]*|Time taken: [^<]*|" + re.escape(str(run)), "", text)


def shut_eyes(patch):
    """From now on nothing may be looked at."""
    for module, name in (
        (photo_stage, "look_at_photo"), (raster_run, "survey_raster"), (video_stage, "open_video"),
    ):  # fmt: skip
        patch.delattr(module, name, raising=False)


@pytest.fixture(scope="module", autouse=True)
def _few_pictures():
    """So that other rules call other cracks worst."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fissura.survey.ground_record.PICTURES", 4)
        yield


def make_older(run):
    """Turn a run into one of a version that kept records by the rules, and one digest of all options in each."""
    path = run / "settings.yaml"
    content = yaml.safe_load(path.read_text())
    rules, run_digest = read_rules(content["settings"]["rules"]), content.pop("digest")
    path.write_text(yaml.safe_dump(content))
    text = json.dumps(content["settings"], sort_keys=True)
    digest, changed = hashlib.sha256(text.encode()).hexdigest()[:16], 0
    for path in (run / "work").rglob("*.json"):
        raw = json.loads(path.read_text())
        kind = path.relative_to(run / "work").parts[0]
        assert (raw["settings"] == run_digest) == (kind == "photos")
        found = raw["content"]
        records = {"photos": [], "rasters": [found.get("record")], "videos": found.get("grounds")}.get(kind, [found])
        for record in records:
            rated = GroundRecord.from_plain(record).rated(rules).to_plain()
            record.clear()
            record.update({key: value for key, value in rated.items() if key != "bases"})
        changed += len(records)
        path.write_text(json.dumps(raw | {"settings": digest}) + "\n")
    assert changed == 4


@pytest.fixture(scope="module")
def finished(inputs, tiny_onnx, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    survey(inputs, tiny_onnx, out, "--rules", "astm_d6433")
    return out


@pytest.fixture(scope="module")
def own(inputs):
    """Other options than those of `finished`."""
    return "--rules", inputs / "own.yaml", "--section-length-m", 7, "--route", inputs / "photos" / "axis.geojson"


@pytest.fixture(scope="module")
def fresh(inputs, own, tiny_onnx, tmp_path_factory):
    out = tmp_path_factory.mktemp("fresh") / "run"
    survey(inputs, tiny_onnx, out, *own)
    return out


def test_another_standard_needs_no_second_look(inputs, own, finished, fresh, tiny_onnx, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "run")
    before = tables(finished)
    shut_eyes(monkeypatch)
    text = survey(inputs, tiny_onnx, tmp_path / "run", *own)
    line = "other rules, route and section length than before: finds are rated anew, photos and videos are not looked"
    assert line in text
    again = tables(tmp_path / "run")
    assert again == tables(fresh)
    assert page(tmp_path / "run") == page(fresh)
    levels, kinds = ({row[name] for row in again["cracks.csv"]} for name in ("severity", "class"))
    assert {"a", "b", "c"} <= levels and {"longitudinal", "alligator", "other"} <= kinds
    for name in ("class", "severity"):
        assert [row[name] for row in again["cracks.csv"]] != [row[name] for row in before["cracks.csv"]]
    frames = [row["source_frame"] for row in again["cracks.csv"]]
    assert all(any(word in frame for frame in frames) for word in ("DJI", "alone.png", "ground.tif", "flight.mp4#"))
    of_raster = [[r["picture"] for r in rows if r["source_frame"] == "ground.tif"] for rows in (
        again["cracks.csv"], before["cracks.csv"],
    )]  # fmt: skip
    assert set(of_raster[0]) - set(of_raster[1])  # other cracks are worst now
    pictures = {row["picture"] for row in again["cracks.csv"]} - {""}
    assert pictures and all((tmp_path / "run" / path).is_file() for path in pictures)
    # Back again, it is the run that it was.
    text = survey(inputs, tiny_onnx, tmp_path / "run", "--rules", "astm_d6433")
    assert tables(tmp_path / "run") == before
    assert "than before" not in survey(inputs, tiny_onnx, tmp_path / "run", "--rules", "astm_d6433")


def test_a_run_of_an_older_version_goes_on(inputs, own, finished, fresh, tiny_onnx, tmp_path, monkeypatch):
    run, before = tmp_path / "run", tables(finished)
    shutil.copytree(finished, run)
    make_older(run)
    with monkeypatch.context() as patch:
        shut_eyes(patch)
        assert "than before" not in survey(inputs, tiny_onnx, run, "--rules", "astm_d6433")
        assert tables(run) == before
        text = survey(inputs, tiny_onnx, run, "--rules", "astm_d6433", "--section-length-m", 7)
        assert "other section length than before: sections are made anew, photos and videos are not looked" in text
        assert tables(run) == before  # without a route there is one section
    monkeypatch.delattr(photo_stage, "look_at_photo")
    text = survey(inputs, tiny_onnx, run, *own)
    assert "than before: finds are rated anew, photos are not looked at again" in text
    for name in ("flight.mp4", "ground.tif"):
        assert f"{name}: was finished with other options, and what the network said of it is not kept" in text
    assert tables(run) == tables(fresh)
    # Now it is as good as a new one.
    shut_eyes(monkeypatch)
    assert "photos are not looked at again" in survey(inputs, tiny_onnx, run, "--rules", "astm_d6433")
    assert tables(run) == before


def test_another_confidence_needs_the_network_for_videos_and_rasters(finished, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    monkeypatch.delattr(photo_stage, "look_at_photo")
    text = fissura("survey", "--settings", run / "settings.yaml", "--out", run, "--least-confidence", 0)
    assert "other least confidence than before: finds are measured anew, photos are not looked at again" in text
    for name in ("flight.mp4", "ground.tif"):
        assert f"{name}: was finished with other options" in text
    assert tables(run) == tables(finished)  # this network does not say how sure it is


def test_cracks_of_a_video_without_a_picture_are_counted(inputs, tiny_onnx, tmp_path, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr("fissura.survey.video_results._PICTURES_KEPT", 0)
    (milder := tmp_path / "milder.yaml").write_text(OWN_RULES.replace("up_to_mm: 20}", "up_to_mm: 50}"))
    for rules in ("astm_d6433", milder):
        survey(inputs, tiny_onnx, run, "--rules", rules, names=("flight.mp4",))
    notes = [note for note in json.loads((run / "summary.json").read_text())["notes"] if "have no picture" in note]
    rows = list(csv.DictReader((run / "cracks.csv").open(encoding="utf-8-sig")))
    shown = sum(bool(row["picture"]) for row in rows)
    assert shown < 4 and len(notes) == 1 and notes[0].startswith(f"{4 - shown} of the worst cracks of ")
