"""Export of a real network: engines agree with torch, the file opens in other tools, int8 must earn its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from typer.testing import CliRunner  # noqa: E402

from fissura.errors import DataError, ModelError, SettingsError  # noqa: E402
from fissura.export import export_model, load_trained, read_calibration_tiles, write_int8  # noqa: E402
from fissura.export import int8 as int8_module  # noqa: E402
from fissura.export.parity import find_all_pairs  # noqa: E402
from fissura.infer import load_segmenter  # noqa: E402
from fissura.infer.onnx_metadata import read_card  # noqa: E402
from fissura.infer.store import describe_file, verify_model  # noqa: E402
from fissura.nets import build, load_weights, normalise, parameter_count, save_weights  # noqa: E402
from fissura.spec import CARD_KEY, ModelCard  # noqa: E402
from fissura.synth.crops import render_training_crop  # noqa: E402

TILE = 64


def make_card(net: Any) -> ModelCard:
    return ModelCard(
        name="small", version="0", description="untrained", architecture="hacnet_v2",
        architecture_options={"variant": "unshuffled", "width": 8}, parameters=parameter_count(net), tile=TILE,
        overlap=16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3),
    )  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network with its fused head stretched, so that its answer varies and crosses one half."""
    torch.manual_seed(0)
    net = build("hacnet_v2", {"variant": "unshuffled", "width": 8})
    crops = [render_training_crop(np.random.default_rng(seed), TILE, crack_probability=1.0)[0] for seed in range(4)]
    images = normalise(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255, make_card(net))
    with torch.no_grad():
        for _ in range(60):
            net.train()(images)  # fills the batch statistics
        logits = net.eval()(images)[-1]
        net.fuse.weight *= 2 / logits.std()
        net.fuse.bias.copy_((net.fuse.bias - logits.median()) * 2 / logits.std())
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, net.eval(), make_card(net))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for index in range(3):
        rgb, mask = render_training_crop(rng, 100, crack_probability=1.0)
        cv2.imwrite(str(folder / "images" / f"{index}.png"), rgb[..., ::-1])
        cv2.imwrite(str(folder / "masks" / f"{index}.png"), mask.astype(np.uint8) * 255)
    return folder


@pytest.fixture(scope="module")
def exported(weights: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "small.onnx"
    export_model(weights, out, validate=[data], say=lambda _: None)
    return out


def test_engines_agree_with_torch(exported: Path) -> None:
    report = json.loads(exported.with_suffix(".parity.json").read_text())
    assert report["passed"]
    assert report["largest_difference"]["openvino fp32"] < 1e-4
    assert report["largest_difference"]["onnxruntime fp32"] < 1e-4
    assert report["f1"]["torch fp32"] == pytest.approx(report["f1"]["openvino fp32"], abs=1e-3)
    assert report["images"] == 3


def test_a_few_images_of_each_set_are_enough_for_slow_networks(weights: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "few.onnx"
    export_model(weights, out, validate=[data, data], validate_limit=1, say=lambda _: None)
    assert json.loads(out.with_suffix(".parity.json").read_text())["images"] == 2


def test_an_int8_file_of_an_earlier_export_goes(weights: Path, tmp_path: Path) -> None:
    stale = tmp_path / "again.int8.onnx"
    stale.write_bytes(b"of other weights")
    export_model(weights, tmp_path / "again.onnx", say=lambda _: None)
    assert not stale.exists()


def test_a_name_no_card_can_hold_is_an_error_in_words(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'My Model' is no name for a model; give small letters"):
        export_model(weights, tmp_path / "m.onnx", name="My Model", say=lambda _: None)


def test_weights_in_half_precision_take_less_room(weights: Path, data: Path, tmp_path: Path) -> None:
    """And torch, the engines and int8 go by the same, rounded ones."""
    body, card = load_weights(weights)
    ladder = {"widths": [32, 32, 48], "blocks": [1, 1, 1], "back": [1, 1]}
    members = [
        {"architecture": card.architecture, "options": card.architecture_options},
        {"architecture": "ladder", "options": ladder},
    ]
    torch.manual_seed(0)
    net: Any = build("group", {"members": members})
    net.train()(torch.rand(2, 3, TILE, TILE))  # statistics that are not those of a fresh network
    net.members[0].load_state_dict(body.state_dict())
    own = {"architecture": "group", "architecture_options": {"members": members}, "parameters": parameter_count(net)}
    card = card.model_copy(update=own)
    save_weights(tmp_path / "single.safetensors", net.eval(), card)
    save_weights(tmp_path / "half.safetensors", net, card.model_copy(update={"weights_bits": 16}))
    assert "weights_bits" not in card.model_dump(), "cards of single precision are as they were"
    rounded, found = load_weights(tmp_path / "half.safetensors")
    assert found.weights_bits == 16
    for name, tensor in rounded.state_dict().items():
        if tensor.numel() >= 1024:
            assert torch.equal(tensor.half().float(), tensor), name
    save_weights(tmp_path / "again.safetensors", rounded, found)  # nothing is left to fold or to round
    again = load_weights(tmp_path / "again.safetensors")[0].state_dict()
    for name, tensor in rounded.state_dict().items():
        torch.testing.assert_close(again[name], tensor, rtol=1e-6, atol=1e-6)
    rounded.members[1].head.weight.data[0, 0, 0, 0] = 1e5  # more than half precision holds
    save_weights(tmp_path / "again.safetensors", rounded, found)
    assert torch.isfinite(load_weights(tmp_path / "again.safetensors")[0].members[1].head.weight).all()
    rounded, _ = load_weights(tmp_path / "half.safetensors")
    x = torch.rand(1, 3, TILE, TILE)
    with torch.inference_mode():
        torch.testing.assert_close(rounded(x)[-1], net(x)[-1], atol=0.02, rtol=0)
    assert any(m.running_mean.abs().max() > 0.01 for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)), "kept"

    single, half = tmp_path / "out" / "single.onnx", tmp_path / "out" / "half.onnx"
    export_model(tmp_path / "single.safetensors", single, say=lambda _: None)
    export_model(tmp_path / "half.safetensors", half, int8=True, calibrate=[data], validate=[data], say=lambda _: None)
    for suffix in (".onnx", ".safetensors"):  # much of a file this small is graph and card
        assert half.with_suffix(suffix).stat().st_size < 0.75 * single.with_suffix(suffix).stat().st_size, suffix
    report = json.loads(half.with_suffix(".parity.json").read_text())
    assert report["largest_difference"]["openvino fp32"] < 1e-4
    verify_model(describe_file(half))
    rgb, _ = render_training_crop(np.random.default_rng(5), 150, crack_probability=1.0)
    masks = [
        load_segmenter(half, engine=e, precision=p).segment(rgb).probability
        for e, p in (("torch", "fp32"), ("openvino", "fp32"), ("onnxruntime", "fp32"), ("openvino", "int8"))
    ]
    assert np.ptp(masks[0]) > 0.1, "a constant answer would agree too"
    for mask in masks[1:3]:
        np.testing.assert_allclose(mask, masks[0], atol=1e-3)
    assert np.corrcoef(masks[3].ravel(), masks[0].ravel())[0, 1] > 0.8, "int8 of weights that are not trained is coarse"


def test_three_engines_give_one_mask(exported: Path) -> None:
    rgb, _ = render_training_crop(np.random.default_rng(5), 150, crack_probability=1.0)
    masks = [
        load_segmenter(exported, engine=e, precision="fp32").segment(rgb).probability
        for e in ("torch", "openvino", "onnxruntime")
    ]
    assert np.ptp(masks[0]) > 0.1, "a constant answer would agree too"
    np.testing.assert_allclose(masks[1], masks[0], atol=1e-3)
    np.testing.assert_allclose(masks[2], masks[0], atol=1e-3)


def test_file_keeps_the_contract(exported: Path, weights: Path) -> None:
    model = onnx.load(str(exported))
    shapes = {
        port.name: [d.dim_value for d in port.type.tensor_type.shape.dim]
        for port in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"image": [1, 3, TILE, TILE], "probabilities": [1, 2, TILE, TILE]}
    assert not any(len(t.external_data) for t in model.graph.initializer), "one file, nothing beside it"
    assert str(Path.home()) not in str(model.graph) and "site-packages" not in str(model.graph)
    card = read_card(exported)
    assert card.weights_sha256
    verify_model(describe_file(exported))
    assert card.model_copy(update={"weights_sha256": ""}) == load_trained(weights)[1]


def _as_other_tools_see_it(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """A uint8 tile, the raw output for it, and the metadata, through plain ONNX Runtime."""
    session = ort.InferenceSession(str(path))
    tile, _ = render_training_crop(np.random.default_rng(11), TILE, crack_probability=1.0)
    image = np.float32(tile[None] * 1.0 / 255.0).transpose(0, 3, 1, 2)
    (output,) = session.run(None, {session.get_inputs()[0].name: image})
    return tile, output, session.get_modelmeta().custom_metadata_map


def test_deepness_and_geodeep_get_our_mask(exported: Path) -> None:
    tile, output, metadata = _as_other_tools_see_it(exported)
    ours = load_segmenter(exported, precision="fp32", engine="onnxruntime").segment(tile).mask
    threshold = float(json.loads(metadata["seg_thresh"]))
    deepness = np.clip(output, 0, 1)
    deepness[deepness < threshold] = 0
    assert 0 < ours.mean() < 1
    np.testing.assert_array_equal(np.argmax(deepness, axis=1)[0] == 1, ours)
    np.testing.assert_array_equal(np.argmax(output, axis=1)[0] == 1, ours)
    np.testing.assert_allclose(output.sum(axis=1), 1.0, atol=1e-6)
    assert output.min() >= 0 and output.max() <= 1


def test_metadata_as_the_tools_parse_them(exported: Path) -> None:
    _, _, metadata = _as_other_tools_see_it(exported)
    read = {key: json.loads(value) for key, value in metadata.items()}
    assert read["model_type"] == "Segmentor"
    assert sorted(read["class_names"].items(), key=lambda kv: int(kv[0])) == [("0", "background"), ("1", "crack")]
    assert read["tile_size"] == read["tiles_size"] == TILE
    assert int(metadata["seg_small_segment"]) == 0
    assert float(metadata["tiles_overlap"]) == 25.0 and float(metadata["resolution"]) > 0
    assert read["standardization_mean"] == [0, 0, 0] and read["standardization_std"] == [1, 1, 1]


def test_int8_is_written_or_leaves_nothing(
    exported: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    tiles = read_calibration_tiles(data, TILE, count=4)
    pairs = find_all_pairs(data)
    out = tmp_path / "small.int8.onnx"
    monkeypatch.setattr(int8_module, "LARGEST_F1_LOSS", -2.0)
    with pytest.raises(ModelError, match=r"int8 is rejected: F1 falls from 0\.\d+ to 0\.\d+ on 3"):
        write_int8(exported, out, tiles, pairs)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(int8_module, "LARGEST_F1_LOSS", 1.0)
    write_int8(exported, out, tiles, pairs)
    assert [p.name for p in tmp_path.iterdir()] == ["small.int8.onnx"]
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in onnx.load(str(out)).graph.node}
    rgb, _ = render_training_crop(np.random.default_rng(5), 100, crack_probability=1.0)
    by_engine = [load_segmenter(out, engine=e) for e in ("openvino", "onnxruntime")]
    assert [s.backend.description for s in by_engine] == ["openvino int8", "onnxruntime int8"]
    full = load_segmenter(exported, precision="fp32").probability(rgb)
    by_engine_probability = [segmenter.probability(rgb).ravel() for segmenter in by_engine]
    similar = np.corrcoef([full.ravel(), *by_engine_probability])
    # An untrained network with a stretched head is the hardest case for eight bits; a trained one is gated by F1.
    # With the unshuffle quantised, OpenVINO is at 0.56 of fp32 and 0.60 of ONNX Runtime; without, 0.81 and 0.89.
    assert similar[0, 1] > 0.7 and similar[0, 2] > 0.7 and similar[1, 2] > 0.75, similar


def test_calibration_tiles_are_reproducible_and_leave_masks_out(data: Path, tmp_path: Path) -> None:
    first, second = (read_calibration_tiles(data, 128, count=5) for _ in range(2))
    assert [t.shape for t in first] == [(128, 128, 3)] * 5
    np.testing.assert_array_equal(first, second)
    with pytest.raises(DataError, match="no images to calibrate"):
        read_calibration_tiles(tmp_path, 64)


def test_checkpoint_of_a_training(weights: Path, tmp_path: Path) -> None:
    net, card = load_trained(weights)
    state = {f"averaged.module.{k}": v for k, v in net.state_dict().items()}
    state |= {f"net.{k}": torch.zeros_like(v) for k, v in net.state_dict().items()}
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state, CARD_KEY: card.model_dump_json(), "global_step": 3}, path)
    loaded, loaded_card = load_trained(path)
    assert loaded_card == card
    image = torch.rand(1, 3, TILE, TILE)
    with torch.no_grad():
        torch.testing.assert_close(loaded(image)[-1], net(image)[-1])
    torch.save({"state_dict": state}, path)
    with pytest.raises(ModelError, match="holds no model card"):
        load_trained(path)


@pytest.mark.parametrize("name", ["missing.ckpt", "text.ckpt", "text.safetensors", "weights.pth"])
def test_unusable_checkpoints(tmp_path: Path, name: str) -> None:
    if name.startswith("text"):
        (tmp_path / name).write_text("hello")
    with pytest.raises(ModelError, match=name):
        load_trained(tmp_path / name)


def test_command_says_what_is_missing(weights: Path, tmp_path: Path) -> None:
    import typer

    from fissura.cli.export import export

    app = typer.Typer()
    app.command()(export)
    run = CliRunner()
    for arguments, message in (
        ([str(weights), "--out", str(tmp_path / "m.bin")], "ends in .onnx"),
        ([str(weights), "--out", str(tmp_path / "m.onnx"), "--int8"], "--int8 needs --calibrate"),
        ([str(tmp_path / "none.ckpt"), "--out", str(tmp_path / "m.onnx")], "none.ckpt does not exist"),
        ([str(weights), "--out", str(tmp_path / "m.onnx"), "--validate", str(tmp_path)], "no data set"),
    ):
        result = run.invoke(app, arguments)
        assert result.exit_code == 2
        assert message in result.output
    assert list(tmp_path.iterdir()) == []


def test_models_command_prints_a_card(exported: Path) -> None:
    import typer

    from fissura.cli.models import models

    app = typer.Typer()
    app.command()(models)
    run = CliRunner()
    text = run.invoke(app, [str(exported)])
    assert text.exit_code == 0
    assert "strictest terms of the training sets: unstated" in text.output and "Apache-2.0" in text.output
    card = json.loads(run.invoke(app, [str(exported), "--json"]).output)
    assert card["name"] == "small" and "fp32" in card["precisions"]
    assert run.invoke(app, ["nothing"]).exit_code == 2
