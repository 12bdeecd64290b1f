"""A finished survey by other rules, along another line, in other sections: as a new run gives it, without the network."""

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
from fissura.survey import photo_stage, raster_run, video_stage
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
  other: [{name: b, up_to_mm: 50}, {name: c}]
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


def survey(inputs, model, out, *words):
    sources = [inputs / name for name in ("photos", "ground.tif", "flight.mp4")]
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


def shut_eyes(monkeypatch):
    """From now on nothing may be looked at."""
    for module, name in (
        (photo_stage, "look_at_photo"), (raster_run, "survey_raster"), (video_stage, "open_video"),
    ):  # fmt: skip
        monkeypatch.delattr(module, name)


@pytest.fixture(scope="module")
def finished(inputs, tiny_onnx, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    survey(inputs, tiny_onnx, out, "--rules", "astm_d6433")
    return out


def test_another_standard_needs_no_second_look(inputs, finished, tiny_onnx, tmp_path, monkeypatch):
    own = "--rules", inputs / "own.yaml", "--section-length-m", 7, "--route", inputs / "photos" / "axis.geojson"
    survey(inputs, tiny_onnx, tmp_path / "fresh", *own)
    shutil.copytree(finished, tmp_path / "run")
    before = tables(finished)
    shut_eyes(monkeypatch)
    text = survey(inputs, tiny_onnx, tmp_path / "run", *own)
    line = "other rules, route and section length than before: finds are rated anew, photos and videos are not looked"
    assert line in text
    again, fresh = tables(tmp_path / "run"), tables(tmp_path / "fresh")
    assert again == fresh
    levels, kinds = ({row[name] for row in again["cracks.csv"]} for name in ("severity", "class"))
    assert {"a", "b", "c"} <= levels and {"longitudinal", "alligator", "other"} <= kinds
    for name in ("class", "severity"):
        assert [row[name] for row in again["cracks.csv"]] != [row[name] for row in before["cracks.csv"]]
    frames = [row["source_frame"] for row in again["cracks.csv"]]
    assert all(any(word in frame for frame in frames) for word in ("DJI", "alone.png", "ground.tif", "flight.mp4#"))
    pictures = {row["picture"] for row in again["cracks.csv"]} - {""}
    assert pictures and all((tmp_path / "run" / path).is_file() for path in pictures)
    # Back again, it is the run that it was.
    text = survey(inputs, tiny_onnx, tmp_path / "run", "--rules", "astm_d6433")
    assert tables(tmp_path / "run") == before
    assert "than before" not in survey(inputs, tiny_onnx, tmp_path / "run", "--rules", "astm_d6433")
