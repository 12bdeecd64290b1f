"""Engines agree; what is no model is refused with a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from fissura.errors import MissingDependencyError, ModelError
from fissura.infer import find_model, list_models, load_segmenter
from fissura.infer import precision as precision_module
from fissura.infer.backend import BackendOptions, load_backend
from fissura.infer.onnx_metadata import read_card, read_onnx_metadata
from fissura.infer.precision import choose_precision, int8_sibling
from fissura.infer.store import describe_file, verify_model
from support.tiny_model import make_tiny_onnx


def tiles(count: int = 5, side: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def test_onnxruntime_says_what_openvino_says(tiny_onnx: Path) -> None:
    pytest.importorskip("onnxruntime")
    a, b = (
        list(load_backend(e, tiny_onnx, BackendOptions()).predict_tiles(tiles())) for e in ("openvino", "onnxruntime")
    )
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_engine_gives_what_the_formula_gives(tiny_onnx: Path) -> None:
    """Checks channel order, layout and the division by 255, which two engines could get wrong alike."""
    tile = np.full((64, 64, 3), (30, 90, 240), np.uint8)
    tile[32, 32] = (0, 0, 60)
    (out,) = load_backend("openvino", tiny_onnx, BackendOptions()).predict_tiles([tile])
    flat = 1 / (1 + np.exp(40 * 0.08))
    assert out[5, 5] == pytest.approx(flat, abs=1e-4)
    contrast = (120 - 20) / 255 * (1 - 1 / 225)
    assert out[32, 32] == pytest.approx(1 / (1 + np.exp(-40 * (contrast - 0.08))), abs=2e-3)


def test_bf16_is_close_and_onnxruntime_has_none(tiny_onnx: Path) -> None:
    full, half = (
        np.stack(list(load_backend("openvino", tiny_onnx, BackendOptions(p)).predict_tiles(tiles(2))))
        for p in ("fp32", "bf16")
    )
    assert np.abs(full - half).max() < 0.1
    pytest.importorskip("onnxruntime")
    with pytest.raises(ModelError, match="no bf16"):
        load_segmenter(tiny_onnx, engine="onnxruntime", precision="bf16")


def test_metadata_reader_reads_what_onnx_reads(tiny_onnx: Path) -> None:
    expected = {entry.key: entry.value for entry in onnx.load(str(tiny_onnx)).metadata_props}
    assert read_onnx_metadata(tiny_onnx) == expected


@pytest.mark.parametrize(
    "content", [b"", b"not a model, just text\n" * 20, b"\x89PNG\r\n\x1a\n" + bytes(200), b"\xff" * 64]
)
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes, engine: str) -> None:
    path = tmp_path / "fake.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"fake\.onnx is not an ONNX file or is cut short"):
        load_segmenter(path, engine=engine)


def test_truncated_missing_and_folder(tmp_path: Path, tiny_onnx: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(tiny_onnx.read_bytes()[:-700])
    with pytest.raises(ModelError, match=r"cut\.onnx"):
        load_segmenter(cut)
    with pytest.raises(ModelError, match="does not exist"):
        load_segmenter(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        load_segmenter(tmp_path)


def test_no_card_damaged_card_and_wrong_shape(tmp_path: Path, tiny_onnx: Path) -> None:
    model = onnx.load(str(tiny_onnx))
    card = read_card(tiny_onnx)
    path = tmp_path / "other.onnx"
    for metadata, message in (
        ({"author": "someone"}, "holds no fissura model card"),
        ({"fissura_card": '{"name": 3'}, "is damaged"),
        (card.model_copy(update={"tile": 128}).to_metadata(), r"takes \[\(1, 3, 64, 64\)\].*promises"),
    ):
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, str(path))
        with pytest.raises(ModelError, match=message):
            load_segmenter(path)


def test_a_graph_no_engine_knows(tmp_path: Path, tiny_onnx: Path) -> None:
    model = onnx.load(str(tiny_onnx))
    model.graph.node[0].op_type = "NoSuchOperator"
    path = tmp_path / "strange.onnx"
    onnx.save(model, str(path))
    for engine in ("openvino", "onnxruntime"):
        with pytest.raises(ModelError, match=r"cannot run .*strange\.onnx"):
            load_segmenter(path, engine=engine)


def test_precision_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    card = make_tiny_onnx(path)
    every = frozenset({"fp32", "bf16", "int8"})
    monkeypatch.setattr(precision_module, "fast_precisions", lambda engine: every)
    assert choose_precision(path, "openvino", None) == (path, "bf16")
    assert choose_precision(path, "onnxruntime", "auto") == (path, "fp32")
    int8 = int8_sibling(path)
    assert int8.name == "m.int8.onnx"
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, card.model_copy(update={"precision": "int8"}).to_metadata())
    onnx.save(model, str(int8))
    assert choose_precision(path, "openvino", "auto") == (int8, "int8")
    assert choose_precision(path, "openvino", "fp32") == (path, "fp32")
    assert choose_precision(int8, "openvino", None) == (int8, "int8")
    with pytest.raises(ModelError, match="is an int8 file"):
        choose_precision(int8, "openvino", "fp32")
    monkeypatch.setattr(precision_module, "fast_precisions", lambda engine: frozenset({"fp32"}))
    assert choose_precision(path, "openvino", "auto") == (path, "fp32")


def test_an_int8_file_of_other_weights_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    card = make_tiny_onnx(path).model_copy(update={"precision": "int8", "weights_sha256": "0" * 64})
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, card.to_metadata())
    onnx.save(model, str(int8_sibling(path)))
    monkeypatch.setattr(precision_module, "fast_precisions", lambda engine: frozenset({"fp32", "int8"}))
    assert choose_precision(path, "openvino", None) == (path, "fp32")
    with pytest.raises(ModelError, match=r"m\.int8\.onnx was made from other weights than .*export again"):
        choose_precision(path, "openvino", "int8")


@pytest.mark.parametrize(
    ("flags", "openvino", "onnxruntime"),
    [
        ({"sse4_2"}, {"fp32"}, {"fp32"}),
        ({"sse4_2", "avx2"}, {"fp32", "int8"}, {"fp32"}),
        ({"avx2", "avx512_vnni"}, {"fp32", "int8"}, {"fp32", "int8"}),
        ({"avx2", "avx512_vnni", "avx512_bf16"}, {"fp32", "int8", "bf16"}, {"fp32", "int8", "bf16"}),
    ],
    ids=["no AVX", "AVX2", "byte products", "byte products and bf16"],
)
def test_precisions_follow_the_instructions_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], openvino: set[str], onnxruntime: set[str]
) -> None:
    monkeypatch.setattr(precision_module, "_cpu_flags", lambda: flags)
    fresh = precision_module.fast_precisions.__wrapped__
    assert fresh("openvino") == openvino
    assert fresh("onnxruntime") == onnxruntime


def test_store_lists_finds_and_verifies(tmp_path: Path) -> None:
    make_tiny_onnx(tmp_path / "a.onnx", name="a")
    make_tiny_onnx(tmp_path / "b.onnx", name="b")
    make_tiny_onnx(tmp_path / "a.int8.onnx", name="a")
    (tmp_path / "a.md").write_text("card")
    assert [m.name for m in list_models(tmp_path)] == ["a", "b"]
    a = find_model("a", tmp_path)
    assert a.int8_onnx is not None and a.markdown is not None and a.safetensors is None
    verify_model(a)
    with pytest.raises(ModelError, match="there is no model 'c'; shipped: a, b"):
        find_model("c", tmp_path)
    with pytest.raises(ModelError, match="there is no model"):
        find_model("../a", tmp_path)
    make_tiny_onnx(tmp_path / "a.int8.onnx", name="other")
    with pytest.raises(ModelError, match="differ in name"):
        verify_model(find_model("a", tmp_path))


def test_unknown_name_names_the_shipped_models() -> None:
    with pytest.raises(ModelError, match="there is no model 'no-such-model'; shipped: "):
        load_segmenter("no-such-model")


def test_shipped_models_are_sound() -> None:
    for model in list_models():
        verify_model(model)
        assert model.card.name == model.name


def test_torch_that_is_not_there(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "fissura.nets.torch_backend", raising=False)
    with pytest.raises(MissingDependencyError, match=r"engine 'torch' needs .*pip install 'fissura\[train\]'"):
        load_backend("torch", tiny_onnx, BackendOptions())


def test_an_int8_file_has_its_own_precision() -> None:
    fast = find_model("fast")
    assert fast.int8_onnx is not None
    assert describe_file(fast.int8_onnx).precisions == ("int8",)
    assert "int8" in fast.precisions and "fp32" in fast.precisions


def test_runs_without_torch_and_onnx(tiny_onnx: Path) -> None:
    """The core install has neither."""
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'lightning', 'nncf', 'onnxruntime'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from fissura.errors import MissingDependencyError\n"
        "from fissura.infer import load_segmenter\n"
        f"found = load_segmenter({str(tiny_onnx)!r}).segment(np.zeros((70, 50, 3), np.uint8))\n"
        "assert found.mask.shape == (70, 50)\n"
        "try:\n"
        f"    load_segmenter({str(tiny_onnx)!r}, engine='onnxruntime')\n"
        "except MissingDependencyError as error:\n"
        "    assert 'fissura[onnxruntime]' in str(error)\n"
        "else:\n"
        "    raise SystemExit('onnxruntime is blocked, yet it ran')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
