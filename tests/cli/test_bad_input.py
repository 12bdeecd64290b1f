"""Bad input: the message and the exit status of each, and the rest of the batch done."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fissura.cli.app import app
from support.mounted import mounted


@pytest.fixture
def run(tiny_onnx):
    def call(*arguments, model=tiny_onnx):
        return CliRunner().invoke(app, ["segment", *map(str, arguments), "--model", str(model), "--scale", "1"])

    return call


@pytest.fixture
def batch(make_data, tmp_path):
    """A folder with two good pictures, to which bad ones are added."""
    folder = tmp_path / "batch"
    make_data.rgb_png(folder / "first.png")
    make_data.rgb_jpeg(folder / "last.jpg")
    return folder


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        ("empty_file", "is empty (0 bytes)"),
        ("text_as_image", "no image that can be read (it begins like text)"),
        ("truncated_jpeg", "is damaged or ends too early"),
    ],
)
def test_a_bad_file_fails_alone(run, batch, make_data, tmp_path, maker, words):
    getattr(make_data, maker)(batch / "hurt.jpg")
    result = run(batch, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert words in result.output
    assert "1 failed:" in result.output
    assert "done: 2 images, 1 failed" in result.output
    assert "Traceback" not in result.output
    assert sorted(p.name for p in (tmp_path / "out" / "masks").iterdir()) == ["first.png", "last.png"]
    # The same again: nothing is left but the bad one.
    again = run(batch, "--out", tmp_path / "out")
    assert again.exit_code == 1
    assert "done: 0 images, 2 kept from before, 1 failed" in again.output


def test_a_broken_geotiff_fails_alone(run, batch, make_data, tmp_path):
    broken = make_data.geotiff(batch / "hurt.tif", hw=(200, 200))
    broken.write_bytes(broken.read_bytes()[:-30_000])
    result = run(batch, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "hurt.tif is damaged or ends too early" in result.output
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 2


def test_an_unexpected_error_fails_alone_too(run, batch, tmp_path, monkeypatch):
    import fissura.segment_run as module

    draw = module.draw_overlay

    def fragile(rgb, mask):
        if fragile.calls == 0:
            fragile.calls += 1
            raise RuntimeError("library trouble")
        return draw(rgb, mask)

    fragile.calls = 0
    monkeypatch.setattr(module, "draw_overlay", fragile)
    result = run(batch, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "RuntimeError: library trouble; run with --debug" in result.output
    assert "done: 1 images, 1 failed" in result.output


def test_nothing_to_do(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for source, words in [("empty", "holds no images"), ("missing", "no such file"), ("*.jpg", "matches this pattern")]:
        result = run(tmp_path / source, "--out", tmp_path / "out")
        assert result.exit_code == 2
        assert words in result.output
    assert not (tmp_path / "out").exists()


def test_one_missing_source_does_not_stop_the_others(run, batch, tmp_path):
    result = run(tmp_path / "nothing.jpg", batch, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "nothing.jpg: there is no such file or folder" in result.output
    assert "done: 2 images, 1 failed" in result.output


def test_extreme_sizes_are_no_errors(run, make_data, tmp_path):
    make_data.one_pixel_png(tmp_path / "in" / "dot.png")
    make_data.ribbon_png(tmp_path / "in" / "wide.png")
    make_data.ribbon_png(tmp_path / "in" / "high.png", (40_000, 3))
    assert run(tmp_path / "in", "--out", tmp_path / "out").exit_code == 0
    for name, hw in (("dot", (1, 1)), ("wide", (3, 40_000)), ("high", (40_000, 3))):
        assert np.asarray(Image.open(tmp_path / "out" / "masks" / f"{name}.png")).shape == hw


def test_extreme_sizes_at_auto_scale(make_data, tiny_onnx, tmp_path):
    make_data.one_pixel_png(tmp_path / "in" / "dot.png")
    make_data.ribbon_png(tmp_path / "in" / "wide.png")
    words = ["segment", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--model", str(tiny_onnx)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert np.asarray(Image.open(tmp_path / "out" / "masks" / "wide.png")).shape == (3, 40_000)


@pytest.mark.parametrize("out", ["file/out", "/proc/fissura"])
def test_output_that_cannot_be_made(run, batch, tmp_path, out):
    (tmp_path / "file").write_bytes(b"")
    result = run(batch, "--out", tmp_path / out)
    assert result.exit_code == 2
    assert "cannot write" in result.output
    assert "choose another --out" in result.output or "/proc" in result.output
    assert "Traceback" not in result.output


def test_output_that_turns_read_only(run, batch, tmp_path):
    """Not even root can write into an immutable mount: the mask folder is one, the rest is not."""
    out = tmp_path / "out"
    (out / "masks").mkdir(parents=True)
    with mounted(out / "masks", "size=64k,ro"):
        result = run(batch, "--out", out)
    assert result.exit_code == 2
    assert "the disk is read-only; choose another --out" in result.output


def test_full_disk(run, make_data, tmp_path):
    for index in range(8):
        make_data.rgb_png(tmp_path / "in" / f"{index}.png", index % 3, (300, 300))
    out = tmp_path / "out"
    out.mkdir()
    with mounted(out, "size=160k"):
        result = run(tmp_path / "in", "--out", out)
        assert result.exit_code == 1, result.output
        assert "the disk is full; free some space" in result.output
        assert str(out) in result.output
        assert "images are not done" in result.output
        masks = sorted((out / "masks").iterdir())
        assert 0 < len(masks) < 8
        for mask in masks:
            assert np.asarray(Image.open(mask)).shape == (300, 300)
        assert not list(out.rglob("*fissura-tmp"))
        # Room is made, and the same command goes on.
        for overlay in (out / "overlays").iterdir():
            overlay.unlink()
        again = run(tmp_path / "in", "--out", out, "--no-overlays")
        assert again.exit_code == 0, again.output
        assert len(list((out / "masks").iterdir())) == 8


def test_full_disk_from_the_start(run, batch, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with mounted(out, "size=4k"):
        (out / "filler").write_bytes(b"x" * 4096)
        result = run(batch, "--out", out)
    assert result.exit_code == 2
    assert "the disk is full" in result.output


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("picture.onnx", b"\x89PNG\r\n\x1a\n" + b"0" * 500, "picture.onnx"),
        ("empty.onnx", b"", "empty.onnx"),
        ("absent.onnx", None, "absent.onnx"),
        ("nonsense", None, "there is no model 'nonsense'"),
    ],
)
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_model_file_that_is_none(run, batch, tmp_path, name, content, words, engine):
    model = tmp_path / name if "." in name else name
    if content is not None:
        model.write_bytes(content)
    result = run(batch, "--out", tmp_path / "out", "--engine", engine, model=model)
    assert result.exit_code == 2
    assert words in result.output
    assert result.output.startswith("error: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--threshold", "1.5"), ("--threshold", "0"), ("--threads", "0"), ("--engine", "abacus"), ("--precision", "int3"),
     ("--roi", "missing.geojson")],
)  # fmt: skip
def test_options_that_make_no_sense(run, batch, tmp_path, option, value):
    result = run(batch, "--out", tmp_path / "out", option, value)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_debug_shows_the_trace(run, batch, make_data, tmp_path, capfd):
    make_data.empty_file(batch / "hurt.jpg")
    result = run(batch, "--out", tmp_path / "out", "--debug")
    assert "Traceback" in result.output + capfd.readouterr().err
    assert result.exit_code == 1


def test_interrupt_says_how_to_go_on(run, batch, tmp_path, monkeypatch):
    import fissura.segment_run as module

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "segment_scene", interrupted)
    result = run(batch, "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert "goes on from here" in result.output


def test_no_arguments_at_all():
    done = subprocess.run([sys.executable, "-m", "fissura", "segment"], capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.returncode == 2
    assert "SOURCE" in done.stderr
