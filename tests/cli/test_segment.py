import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from PIL import Image
from typer.testing import CliRunner

from fissura.cli.app import app
from fissura.imaging.video_queue import EarlyEnd
from fissura.survey import video_frames
from fissura.survey.video_frames import SegmentedFrame


@pytest.fixture
def run(tiny_onnx):
    """Runs ``fissura segment`` with the tiny model; gives the result with its exit status and output."""

    def call(*arguments, model=tiny_onnx):
        words = ["segment", *map(str, arguments), "--model", str(model), "--scale", "1"]
        return CliRunner().invoke(app, words)

    return call


@pytest.fixture
def photos(make_data, tmp_path):
    folder = tmp_path / "photos"
    make_data.rgb_png(folder / "a.png", 0)
    make_data.rgb_jpeg(folder / "a.jpg", 1)
    make_data.rgb_jpeg(folder / "straße" / "a.jpg", 2, (70, 150))
    return folder


def read(path):
    return np.asarray(Image.open(path))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_help_names_every_option_and_shows_examples():
    result = CliRunner().invoke(app, ["segment", "--help"])
    assert result.exit_code == 0
    for word in ("--scale", "--min-length", "--roi", "--probability", "--overwrite", "Examples:", "Exit status"):
        assert word in result.output
    assert "GeoTIFFs, videos, folders" in result.output and "Of videos, those inside folders too" in result.output


def test_every_command_has_examples():
    commands = [command.callback.__name__ for command in app.registered_commands]
    assert "segment" in commands
    for command in commands:
        text = CliRunner().invoke(app, [command, "--help"]).output
        assert re.search(r"Examples?:", text), command
        assert f"fissura {command}" in text, command


def test_version_and_fast_help():
    assert re.fullmatch(r"fissura \d+\.\d+\.\d+\S*\n", CliRunner().invoke(app, ["--version"]).output)
    code = (
        "import sys; from fissura.cli.app import app; heavy = {'numpy', 'cv2', 'pydantic', 'rich', 'openvino', "
        "'rasterio', 'torch', 'onnx', 'PIL'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_masks_probabilities_and_overlays(run, photos, make_data, tmp_path):
    out = tmp_path / "out"
    result = run(photos, "--out", out, "--probability")
    assert result.exit_code == 0, result.output
    names = ["a.jpg", "a.png", "straße/a"]
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*") if p.is_file()) == sorted(
        [f"masks/{n}.png" for n in names] + [f"probability/{n}.png" for n in names]
        + [f"overlays/{n}.jpg" for n in names] + ["results.jsonl", "settings.json"]
    )  # fmt: skip
    mask, probability = read(out / "masks" / "a.png.png"), read(out / "probability" / "a.png.png")
    assert set(np.unique(mask)) == {0, 255}
    assert ((mask > 0) == (probability > 127)).all()
    truth = make_data.scene(0).mask
    assert (mask[truth] > 0).mean() > 0.7
    assert read(out / "masks" / "straße" / "a.png").shape == (70, 150)
    assert read(out / "overlays" / "straße" / "a.jpg").shape == (70, 150, 3)
    assert "3/3 images" in result.output
    assert re.search(r"cracks: \d+\.\d\d % of the pixels, in 3 of 3 pictures", result.output)
    assert f"next: look at the pictures in {out / 'overlays'}" in result.output


def test_quiet_says_nothing(run, photos, tmp_path):
    result = run(photos, "--out", tmp_path / "out", "--quiet", "--no-overlays")
    assert (result.exit_code, result.output) == (0, "")
    assert not (tmp_path / "out" / "overlays").exists()


def test_finished_results_are_kept_and_missing_ones_made(run, photos, tmp_path):
    out = tmp_path / "out"
    run(photos, "--out", out)
    before = contents(out)
    (out / "masks" / "a.png.png").unlink()
    stamp = (out / "masks" / "a.jpg.png").stat().st_mtime_ns
    result = run(photos, "--out", out)
    assert "2 finished results are kept" in result.output
    assert (out / "masks" / "a.jpg.png").stat().st_mtime_ns == stamp
    after = contents(out)
    assert {k: v for k, v in after.items() if k != "results.jsonl"} == {
        k: v for k, v in before.items() if k != "results.jsonl"
    }
    assert "done: 0 images, 3 kept" in run(photos, "--out", out).output
    assert "done: 3 images, 0 failed" in run(photos, "--out", out, "--overwrite").output
    # A further kind of result is added to those that are there.
    run(photos, "--out", out, "--probability")
    assert len(list((out / "probability").rglob("*.png"))) == 3


def test_a_changed_input_is_done_again(run, photos, make_data, tmp_path):
    run(photos, "--out", tmp_path / "out")
    make_data.rgb_png(photos / "a.png", 5, (80, 90))
    assert "done: 1 images, 2 kept" in run(photos, "--out", tmp_path / "out").output
    assert read(tmp_path / "out" / "masks" / "a.png.png").shape == (80, 90)


def test_other_settings_are_not_mixed(run, photos, tmp_path):
    out = tmp_path / "out"
    run(photos, "--out", out)
    result = run(photos / "straße", "--out", out, "--threshold", "0.3")
    assert result.exit_code == 2
    assert "threshold 0.5 (now 0.3)" in result.output
    assert "--overwrite" in result.output
    again = run(photos / "straße", "--out", out, "--threshold", "0.3", "--overwrite")
    assert again.exit_code == 0
    assert "2 earlier results" in again.output
    # Those of the old settings do not count as finished now.
    assert "done: 2 images, 1 kept" in run(photos, "--out", out, "--threshold", "0.3").output


def test_another_model_of_the_same_name_is_noticed(run, photos, tmp_path):
    from support.tiny_model import make_tiny_onnx

    run(photos, "--out", tmp_path / "out")
    make_tiny_onnx(tmp_path / "other.onnx", seed=1)
    result = run(photos, "--out", tmp_path / "out", model=tmp_path / "other.onnx")
    assert result.exit_code == 2
    assert "model_checksum" in result.output


def test_truth_masks_of_a_data_set_are_not_overwritten(run, photos, tmp_path):
    truth = tmp_path / "set" / "masks" / "a.png"
    truth.parent.mkdir(parents=True)
    truth.write_bytes(b"truth")
    result = run(photos, "--out", tmp_path / "set")
    assert result.exit_code == 2
    assert "not from 'fissura segment'" in result.output
    assert truth.read_bytes() == b"truth"


def test_same_names_from_two_sources_and_two_runs(run, make_data, tmp_path):
    for index, part in enumerate(("x", "y", "z")):
        make_data.rgb_png(tmp_path / part / "1.png", index, (60 + index, 70))
    out = tmp_path / "out"
    run(tmp_path / "x", tmp_path / "y", "--out", out)
    run(tmp_path / "z", "--out", out)
    run(tmp_path / "x", "--out", out)
    heights = {str(p.relative_to(out / "masks")): read(p).shape[0] for p in (out / "masks").rglob("*.png")}
    assert heights == {"x/1.png.png": 60, "y/1.png.png": 61, "1.png": 62}


def test_out_inside_the_source(run, photos):
    assert run(photos, "--out", photos).exit_code == 0
    assert "done: 0 images, 3 kept" in run(photos, "--out", photos).output


def test_geotiff_keeps_its_place(run, make_data, tmp_path):
    source = make_data.geotiff(tmp_path / "in" / "ortho.tif", hw=(150, 170), extra_bands=1)
    out = tmp_path / "out"
    result = run(source, "--out", out, "--probability")
    assert result.exit_code == 0, result.output
    assert "bands 4 of 4 ignored" in result.output
    for kind in ("masks", "probability"):
        with rasterio.open(source) as before, rasterio.open(out / kind / "ortho.tif") as after:
            assert (after.crs, after.transform, after.shape) == (before.crs, before.transform, before.shape)
            # The fourth band has values everywhere; what counts is where the picture has none.
            assert (after.dataset_mask() == before.read_masks([1, 2, 3]).max(axis=0)).all()
            assert after.read(1)[:, :15].max() == 0
            assert after.read(1).max() > 200
    assert read(out / "overlays" / "ortho.jpg").shape == (150, 170, 3)


def test_pages_of_a_tiff_and_other_kinds(run, make_data, tmp_path):
    make_data.multipage_tiff(tmp_path / "in" / "scan.tif")
    make_data.rotated_jpeg(tmp_path / "in" / "turned.jpg", 6)
    make_data.rgba_png(tmp_path / "in" / "alpha.png")
    make_data.grey_16bit_png(tmp_path / "in" / "deep.png")
    make_data.ribbon_png(tmp_path / "in" / "ribbon.png")
    make_data.one_pixel_png(tmp_path / "in" / "dot.png")
    result = run(tmp_path / "in", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    masks = {p.stem: read(p) for p in (tmp_path / "out" / "masks").iterdir()}
    shapes = {name: mask.shape for name, mask in masks.items()}
    assert shapes == {
        "scan.page001": (96, 128), "scan.page002": (104, 128), "scan.page003": (112, 128), "turned": (96, 128),
        "alpha": (96, 128), "deep": (96, 128), "ribbon": (3, 40_000), "dot": (1, 1),
    }  # fmt: skip
    assert masks["alpha"][:, :35].max() == 0
    assert "stretched" in result.output
    assert "done: 0 images, 6 kept" in run(tmp_path / "in", "--out", tmp_path / "out").output


def test_min_length_drops_short_pieces(run, make_data, tmp_path):
    source = make_data.rgb_png(tmp_path / "a.png")
    run(source, "--out", tmp_path / "all")
    run(source, "--out", tmp_path / "long", "--min-length", "40")
    whole, long = (read(tmp_path / name / "masks" / "a.png") > 0 for name in ("all", "long"))
    assert (long & whole).sum() == long.sum()
    assert 0 < long.sum() < whole.sum()
    assert run(source, "--out", tmp_path / "bad", "--min-length", "-3").exit_code == 2


def polygon_file(path, points, **extra):
    geometry = {"type": "Polygon", "coordinates": [[*points, points[0]]]}
    features = [{"type": "Feature", "properties": {}, "geometry": geometry}]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **extra}))
    return path


def test_region_of_interest_as_mask_and_as_pixels(run, make_data, tmp_path):
    source = make_data.rgb_png(tmp_path / "a.png")
    run(source, "--out", tmp_path / "all")
    whole = read(tmp_path / "all" / "masks" / "a.png")
    region = np.zeros(make_data.HW, np.uint8)
    region[20:80, 30:90] = 1
    Image.fromarray(region).save(tmp_path / "roi.png")
    shape = polygon_file(tmp_path / "roi.geojson", [(30, 20), (90, 20), (90, 80), (30, 80)])
    for roi in (tmp_path / "roi.png", shape):
        out = tmp_path / roi.suffix[1:]
        result = run(source, "--out", out, "--roi", roi)
        assert result.exit_code == 0, result.output
        assert (read(out / "masks" / "a.png") == whole * region).all()


def test_region_of_interest_on_the_map(run, make_data, tmp_path):
    source = make_data.geotiff(tmp_path / "o.tif", hw=(100, 150), nodata=None, collar_px=0)
    corner = 500_000.0, 5_600_000.0
    metres = [(corner[0] + 0.002 * c, corner[1] - 0.002 * r) for c, r in [(30, 20), (90, 20), (90, 80), (30, 80)]]
    from rasterio.warp import transform

    degrees = list(zip(*transform("EPSG:25832", "OGC:CRS84", *zip(*metres, strict=True)), strict=True))
    named = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}}
    masks = []
    for name, points, extra in (("m", metres, {}), ("d", degrees, {}), ("n", metres, named)):
        roi = polygon_file(tmp_path / f"{name}.geojson", points, **extra)
        assert run(source, "--out", tmp_path / name, "--roi", roi).exit_code == 0
        with rasterio.open(tmp_path / name / "masks" / "o.tif") as dataset:
            masks.append(dataset.read(1))
    outside = np.ones((100, 150), bool)
    outside[20:80, 30:90] = False
    for mask in masks:
        assert mask.max() == 255
        assert mask[outside].max() == 0
        assert (mask != masks[0]).sum() <= 2


def test_region_of_interest_that_does_not_fit(run, photos, tmp_path):
    Image.new("L", (9, 9), 1).save(tmp_path / "roi.png")
    result = run(photos / "a.png", "--out", tmp_path / "o1", "--roi", tmp_path / "roi.png")
    assert result.exit_code == 1
    assert "roi.png is 9x9 and the image 128x96" in result.output
    far = polygon_file(tmp_path / "far.geojson", [(900, 900), (950, 900), (950, 950)])
    assert "does not touch the image" in run(photos / "a.png", "--out", tmp_path / "o2", "--roi", far).output
    polygon = '{"type": "Polygon", "coordinates": %s}'
    points = ("[1]", '[[["a", "b"]]]', '"ab"', '[[[1, "2"]]]', "[[[1, null]]]", "[" * 9000 + "]" * 9000)
    wrong = [polygon % coordinates for coordinates in points]
    for content in ("{", '{"type": "Point", "coordinates": [1, 2]}', "[]", *wrong):
        (tmp_path / "bad.geojson").write_text(content)
        result = run(photos, "--out", tmp_path / "o3", "--roi", tmp_path / "bad.geojson")
        assert result.exit_code == 2, content
        assert "bad.geojson" in result.output
    assert not (tmp_path / "o3").exists()


def test_killed_and_started_again(make_data, tiny_onnx, tmp_path):
    photos = tmp_path / "photos"
    for index in range(12):
        make_data.rgb_png(photos / f"{index:02}.png", index % 3, (220, 260))
    command = [sys.executable, "-m", "fissura", "segment", str(photos), "--model", str(tiny_onnx), "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([*command, "--out", str(killed)], env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(list(killed.glob("masks/*.png"))) < 3 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(list(killed.glob("overlays/*.jpg"))) < 12
    # What a kill may leave: a half-written line, and a temporary file.
    with (killed / "results.jsonl").open("a") as file:
        file.write('{"source": "half')
    (killed / "masks" / ".09.png.1.fissura-tmp").write_bytes(b"half")
    for out in (killed, whole):
        subprocess.run([*command, "--out", str(out)], env=environment, check=True, capture_output=True)
    assert contents(killed) == contents(whole)
    assert len(list((whole / "masks").iterdir())) == 12


@pytest.fixture
def film(monkeypatch, tmp_path):
    """A video, read by a stand-in: two frames that show all ground; the file was cut off."""

    def segment_video(path, segmenter, *, folder, scale, notes):
        notes.append("the file was cut off: it ends after 1.0 s of 9.0 s")
        for index in (0, 30):
            probability = np.full((8, 16), 0.9, np.float32)
            yield SegmentedFrame(index, index / 30, np.zeros((8, 16, 3), np.uint8), probability, road_found=True)

    monkeypatch.setattr("fissura.survey.video_frames.segment_video", segment_video)
    path = tmp_path / "in" / "a.mp4"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"film")
    return path


def test_frames_and_pictures_called_alike_keep_their_results(run, film, make_data, tmp_path):
    out = tmp_path / "out"
    make_data.rgb_png(film.parent / "a" / "frame_000000.png")
    run(film.parent, "--out", out)
    shapes = {p.stem: read(p).shape for p in (out / "masks" / "a").iterdir()}
    frames = {"frame_000000_": (8, 16), "frame_000030": (8, 16)}
    assert shapes == {"frame_000000": (96, 128), **frames}
    # Those of earlier runs, too, whichever came first.
    run(film, "--out", out, "--overwrite")
    assert {p.stem: read(p).shape for p in (out / "masks" / "a").iterdir()} == shapes
    make_data.rgb_png(film.parent / "a" / "frame_000030.png")
    run(film.parent, "--out", out)
    assert {p.stem: read(p).shape for p in (out / "masks" / "a").iterdir()} == shapes | {"frame_000030.png": (96, 128)}


def test_a_cut_off_video_is_told(run, film, tmp_path):
    result = run(film, "--out", tmp_path / "out")
    assert "note: a.mp4: the file was cut off" in result.output
    (line,) = map(json.loads, (tmp_path / "out" / "results.jsonl").read_text().splitlines())
    assert [len(page["notes"]) for page in line["pages"]] == [1, 0]


def test_a_video_that_ends_early_has_failed_and_its_frames_are_kept(run, film, tmp_path, monkeypatch):
    whole = video_frames.segment_video

    def cut_off(path, segmenter, *, folder, scale, notes):
        for frame in whole(path, segmenter, folder=folder, scale=scale, notes=[]):
            notes[:] = ["it is HDR", EarlyEnd("a.mp4 was cut off: it ends after 1.0 of 9.0 s")]
            yield frame

    monkeypatch.setattr("fissura.survey.video_frames.segment_video", cut_off)
    # The second run keeps what the first one made, and says the same.
    for _ in range(2):
        result = run(film, "--out", tmp_path / "out", "--quiet")
        assert result.exit_code == 1
        assert "a.mp4: ended early: a.mp4 was cut off: it ends after 1.0 of 9.0 s" in result.output
        assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 1
        assert len(list((tmp_path / "out" / "masks" / "a").iterdir())) == 2
    monkeypatch.setattr("fissura.survey.video_frames.segment_video", whole)
    os.utime(film, ns=(1, 1))
    assert run(film, "--out", tmp_path / "out", "--quiet").exit_code == 0


def test_passwords_of_streams_are_not_shown(run, tmp_path):
    result = run("rtsp://pilot:s3cret@10.0.0.7/live?token=abc", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "rtsp://10.0.0.7/live is a stream" in result.output
    assert "s3cret" not in result.output and "abc" not in result.output


def test_names_that_are_not_utf_8_or_hold_rare_line_ends(make_data, tiny_onnx, tmp_path):
    make_data.grey_16bit_png(tmp_path / "in.png").rename(tmp_path / os.fsdecode(b"stra\xdfe.png"))
    make_data.rgb_png(tmp_path / "a\u2028b\x85c.png")
    command = [sys.executable, "-m", "fissura", "segment", str(tmp_path / "*.png"), "--model", str(tiny_onnx)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8:strict"}
    for words in (b"2 images, 0 failed", b"2 kept from before, 0 failed"):
        done = subprocess.run([*command, "--out", str(tmp_path / "out")], env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert words in done.stdout


def test_only_the_region_of_interest_counts(run, make_data, tmp_path):
    source = make_data.rgb_png(tmp_path / "a.png")
    roi = polygon_file(tmp_path / "roi.geojson", [(30, 20), (90, 20), (90, 80), (30, 80)])
    run(source, "--out", tmp_path / "out", "--roi", roi)
    (line,) = map(json.loads, (tmp_path / "out" / "results.jsonl").read_text().splitlines())
    assert line["pages"][0]["valid_pixels"] == 60 * 60


def test_pages_that_an_input_no_longer_has_are_deleted(run, make_data, tmp_path):
    source, out = tmp_path / "a.tif", tmp_path / "out"
    make_data.multipage_tiff(source, 3)
    run(source, "--out", out)
    make_data.multipage_tiff(source, 2)
    run(source, "--out", out, "--no-overlays")
    assert sorted(p.name for p in (out / "masks").iterdir()) == ["a.page001.png", "a.page002.png"]
    # Kinds that were not asked for this time stay.
    assert len(list((out / "overlays").iterdir())) == 3


def test_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "fissura", "--version"], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout.startswith("fissura ")
