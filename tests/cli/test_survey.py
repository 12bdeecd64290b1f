"""``fissura survey``, ``road`` and ``segment`` on real H.264 files of a drawn road."""

import csv
import json
import re

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from fissura.cli.app import app
from fissura.imaging.video import open_video
from fissura.synth.aerial import AerialCamera, WorldOptions, make_world, render_view
from fissura.synth.aerial.flight import plan_flight
from fissura.synth.aerial.video import Encoding, FlightTruth, write_flight
from support.mounted import mounted
from support.remux import FRAGMENTED, remux
from support.stream_server import address, send, serving

HW = (360, 640)


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """Five seconds over a cracked road, with subtitles; its truth lies beside it."""
    path = tmp_path_factory.mktemp("film") / "flight.mp4"
    options = WorldOptions(
        extent_m=(30.0, 50.0), road_width_m=5.0, crack_density=2.0, vehicles=0.0, trees=0.1, houses=0.0, markings=False
    )
    world = make_world(12, options)
    camera = AerialCamera(0.0, 0.0, 12.5, focal_px=625.0, image_hw=HW)
    flight = plan_flight(world, camera, duration_s=5.0, speed_m_s=3.0, fps=20.0, seed=3)
    write_flight(path, world, flight, encoding=Encoding(bitrate_mbps=8.0))
    return path


def fissura(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="session")
def surveyed(film, tmp_path_factory):
    """A finished run, with the program's output."""
    out = tmp_path_factory.mktemp("survey") / "run"
    result = fissura("survey", film, "--out", out, "--annotate", "--rules", "astm_d6433")
    assert result.exit_code == 0, result.output
    return out, result.output


def test_a_run_holds_what_help_promises(surveyed, film):
    out, text = surveyed
    (summary,) = json.loads((out / "summary.json").read_text())["videos"]
    assert summary["complete"] and summary["frames"] == 100 and summary["lost"] == 0 and summary["charts"] == 1
    assert summary["looked_frames"] < 12
    assert set(summary["seconds"]) >= {"register", "road", "network", "canvas", "measure and write", "annotate"}
    looks = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len(looks) == summary["looked_frames"] and all(look["status"] == "done" for look in looks)
    assert yaml.safe_load((out / "settings.yaml").read_text())["options"]["rules"] == "astm_d6433"
    assert "× real time" in text and "report.html" in text
    for name in ("report.html", "cracks.gpkg", "cracks.xlsx", "cracks.dxf", "widths.png", "mosaics/flight.jpg"):
        assert (out / name).stat().st_size > 1000, name


def test_cracks_are_in_metres_and_on_the_map(surveyed):
    out, _ = surveyed
    rows = list(csv.DictReader((out / "cracks.csv").open(encoding="utf-8-sig")))
    assert rows and all(float(row["length_m"]) > 0 for row in rows)
    assert {row["standard"] for row in rows} == {"ASTM D6433"} or all(row["standard"] for row in rows)
    assert all(re.fullmatch(r"flight\.mp4#\d+", row["source_frame"]) for row in rows)
    features = json.loads((out / "cracks.geojson").read_text())["features"]
    assert len(features) >= len(rows)
    lengths = {f["properties"]["id"]: f["properties"]["length_m"] for f in features if "length_m" in f["properties"]}
    assert lengths[int(rows[0]["id"])] == pytest.approx(float(rows[0]["length_m"]), abs=1e-3)
    # 12.5 m above the ground with 625 px of focal length.
    assert float(rows[0]["gsd_mm"]) == pytest.approx(20.0, rel=0.05)


def test_the_mosaic_shows_the_whole_flight(surveyed):
    out, _ = surveyed
    height, width = np.asarray(Image.open(out / "mosaics" / "flight.jpg")).shape[:2]
    assert max(height, width) > 1.6 * min(height, width)


def test_the_annotated_video_is_the_flight_with_cracks_drawn_in(surveyed, film):
    out, _ = surveyed
    with open_video(out / "annotated" / "flight.mp4") as drawn, open_video(film) as plain:
        assert drawn.info.size_hw == HW and drawn.info.codec == "h264"
        pairs = [(a.rgb().astype(int), b.rgb().astype(int)) for a, b in zip(drawn, plain, strict=True)]
    assert len(pairs) == 100
    changed = [float((np.abs(a - b).max(axis=2) > 60).mean()) for a, b in pairs]
    assert 0.0005 < float(np.mean(changed)) < 0.2


def test_the_same_command_again_does_nothing_and_other_settings_are_refused(surveyed, film):
    out, _ = surveyed
    names = ("manifest.jsonl", "annotated/flight.mp4", "mosaics/flight.jpg")
    before = {name: (out / name).stat().st_mtime_ns for name in names}
    again = fissura("survey", film, "--out", out, "--annotate", "--rules", "astm_d6433")
    assert again.exit_code == 0 and "flight:" not in again.output
    assert {name: (out / name).stat().st_mtime_ns for name in names} == before
    other = fissura("survey", film, "--out", out, "--scale", "2")
    assert other.exit_code == 2 and "scale" in other.output and "--overwrite" in other.output


def test_part_of_a_flight_without_telemetry_is_in_pixels(film, tmp_path, tiny_onnx):
    bare = tmp_path / "bare.mp4"
    remux(film, bare)
    result = fissura("survey", bare, "--out", tmp_path / "run", "--model", tiny_onnx, "--seconds", "1", "--whole-frame")
    assert result.exit_code == 0, result.output
    assert "--height-m" in result.output and "--focal-35mm" in result.output
    (summary,) = json.loads((tmp_path / "run" / "summary.json").read_text())["videos"]
    assert summary["duration_s"] == pytest.approx(1.0, abs=0.1)
    assert not (tmp_path / "run" / "cracks.geojson").exists()


def test_a_view_along_the_ground_says_so(film, tmp_path, tiny_onnx):
    options = "--out", tmp_path / "run", "--model", tiny_onnx, "--seconds", "1", "--pitch-deg", "-20"
    result = fissura("survey", film, *options)
    assert "no frame could be looked at" in result.output
    assert "-20 degrees or flatter by --pitch-deg -20" in " ".join(result.output.split())


def test_segment_takes_a_video_and_gives_frames_back(film, tmp_path, tiny_onnx):
    result = fissura("segment", film, "--out", tmp_path / "found", "--model", tiny_onnx, "--probability")
    assert result.exit_code == 0, result.output
    masks = sorted((tmp_path / "found" / "masks" / "flight").glob("frame_*.png"))
    assert 1 < len(masks) < 12
    for kind, suffix in (("probability", ".png"), ("overlays", ".jpg")):
        names = {p.stem for p in (tmp_path / "found" / kind / "flight").glob(f"*{suffix}")}
        assert names == {p.stem for p in masks}
    mask = np.asarray(Image.open(masks[0]))
    assert mask.shape == HW and set(np.unique(mask)) <= {0, 255}
    assert not list((tmp_path / "found").glob(".ground-*"))
    again = fissura("segment", film, "--out", tmp_path / "found", "--model", tiny_onnx, "--probability")
    assert "1 finished results are kept" in again.output


def test_road_writes_masks_overlays_and_directions(film, tmp_path):
    result = fissura("road", film, "--every", "2", "--out", tmp_path / "road")
    assert result.exit_code == 0, result.output
    frames = json.loads((tmp_path / "road" / "road.json").read_text())["frames"]
    assert [frame["frame"] for frame in frames] == [0, 40, 80]
    truth = FlightTruth.read(film.with_suffix(".json"))
    for frame in frames:
        assert frame["found"] and frame["kind"] == "road"
        view = render_view(truth.world(), truth.cameras[frame["frame"]])
        (true,) = view.road_tangent_deg([[HW[0] / 2, HW[1] / 2]])
        assert abs((frame["direction_deg"] - true + 90.0) % 180.0 - 90.0) < 4.0
        assert frame["slices"] and np.array(frame["slices"][0]["corners_rc"]).shape == (4, 2)
        mask = np.asarray(Image.open(tmp_path / "road" / "road" / f"{frame['name']}.png"))
        assert mask.shape == HW and 0.05 < (mask > 0).mean() < 0.6
        assert (tmp_path / "road" / "overlays" / f"{frame['name']}.jpg").is_file()


def test_road_of_a_picture_without_one_says_so(tmp_path):
    rng = np.random.default_rng(0)
    grass = cv2.GaussianBlur(rng.normal(0, 60, (480, 640, 3)).astype(np.float32), (0, 0), 2)
    grass += np.array([60, 110, 50], np.float32)
    Image.fromarray(np.clip(grass, 0, 255).astype(np.uint8)).save(tmp_path / "grass.png")
    result = fissura("road", tmp_path / "grass.png", tmp_path / "missing.jpg", "--out", tmp_path / "road")
    assert result.exit_code == 1 and "missing.jpg" in result.output
    (frame,) = json.loads((tmp_path / "road" / "road.json").read_text())["frames"]
    assert not frame["found"] and frame["kind"] == "whole frame" and frame["direction_deg"] is None and frame["slices"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"no video at all, just words" * 50, "video"),
        ("gone.mp4", None, "gone.mp4"),
    ],
)
def test_what_is_no_video_is_said_plainly(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for command in ("survey", "segment"):
        result = fissura(command, path, "--out", tmp_path / command)
        assert result.exit_code in (1, 2) and says in result.output and "Traceback" not in result.output


def test_a_film_that_breaks_off_is_surveyed_up_to_there(film, tmp_path, tiny_onnx):
    broken = tmp_path / "broken.mp4"
    data = bytearray(_fragmented(film, tmp_path).read_bytes())
    broken.write_bytes(bytes(data[: int(len(data) * 0.6)]))
    result = fissura("survey", broken, "--out", tmp_path / "run", "--model", tiny_onnx)
    assert result.exit_code == 1 and "ends early" in result.output, result.output
    (summary,) = json.loads((tmp_path / "run" / "summary.json").read_text())["videos"]
    assert 30 < summary["frames"] < 90
    assert (tmp_path / "run" / "cracks.csv").is_file() and (tmp_path / "run" / "mosaics" / "broken.jpg").is_file()


def test_a_stream_that_dies_and_comes_back_is_one_survey(film, tmp_path, tiny_onnx):
    path = tmp_path / "film.ts"
    remux(film, path, container="mpegts")
    data = path.read_bytes()

    def script(handler, number):
        if number == 1:
            send(handler, data[: len(data) // 2])
        elif number == 2:
            send(handler, data)
        else:
            handler.send_error(404)

    with serving() as server:
        server.script = script
        source = address(server, "pilot:s3cret@") + "?token=t0psecret"
        result = fissura("survey", source, "--out", tmp_path / "run", "--model", tiny_onnx, "--seconds", "6")
    assert result.exit_code == 0, result.output
    assert "restored once" in result.output and "s3cret" not in result.output and "t0psecret" not in result.output
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"s3cret" not in data and b"t0psecret" not in data, path
    # The second connection begins at the beginning: known ground, which is recognised and not counted again.
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["videos"][0]["charts"] == 1


def test_a_full_disk_keeps_what_was_written_and_says_so(film, tmp_path, tiny_onnx):
    out = tmp_path / "disk"
    out.mkdir()
    with mounted(out, "size=1m"):
        result = fissura("survey", film, "--out", out / "run", "--model", tiny_onnx)
        assert result.exit_code == 1, result.output
        assert "the disk is full" in result.output and "Traceback" not in result.output
        assert (out / "run" / "manifest.jsonl").read_text().count("done") >= 1
        assert not list(out.rglob("*fissura-tmp"))


def test_options_out_of_range_are_refused_before_anything_is_written(film, tiny_onnx, tmp_path):
    for words in (
        ("--model", tiny_onnx, "--least-confidence", "0.5"),  # which does not say how sure a find is
        ("--scale", "9"), ("--least-confidence", "1.5"), ("--pitch-deg", "-5"), ("--height-m", "-1"),
        ("--telemetry", tmp_path / "no.csv"),
    ):  # fmt: skip
        result = fissura("survey", film, "--out", tmp_path / "run", *words)
        assert result.exit_code == 2 and result.output.startswith("error:"), result.output
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.txt").write_text("keep me")
    refused = fissura("survey", film, "--out", tmp_path / "mine")
    assert refused.exit_code == 2 and "not from 'fissura survey'" in refused.output
    assert fissura("segment", "rtsp://camera/live", "--out", tmp_path / "s").exit_code == 2


def _fragmented(source, folder):
    target = folder / "fragmented.mp4"
    remux(source, target, FRAGMENTED)
    return target
