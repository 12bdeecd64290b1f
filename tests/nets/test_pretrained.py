import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fissura.errors import ModelError
from fissura.nets import build
from fissura.nets.pretrained import load_encoder
from fissura.nets.resnet import ResNet


def _imagenet(depth, width=8):
    """What a file of a classifier holds: the trunk under its usual names, and a last layer."""
    torch.manual_seed(7)
    state = {
        k: torch.rand_like(v) if v.is_floating_point() else v
        for k, v in ResNet(depth, width=width).state_dict().items()
    }
    return state | {"fc.weight": torch.rand(10, 8), "fc.bias": torch.rand(10)}


def _filled(net, state):
    own = net.encoder.state_dict()
    return all(torch.equal(own[k], v) for k, v in state.items() if k in own)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "model.encoder."])
@pytest.mark.parametrize(("architecture", "depth"), [("swiftnet", 18), ("bisenet_v1", 34), ("deeplab_v3_plus", 50)])
def test_classifier_fills_the_trunk(tmp_path, architecture, depth, prefix):
    state = _imagenet(depth)
    net = build(architecture, {"depth": depth, "width": 8})
    save_file({prefix + k: v for k, v in state.items()}, str(tmp_path / "w.safetensors"))
    report = load_encoder(net, tmp_path / "w.safetensors")
    assert report.matched == report.total
    assert (report.fresh, report.misfits) == ((), ())
    assert set(report.unused) == ({"fc.weight", "fc.bias"})
    assert _filled(net, state)
    assert "fc.bias" in report.summary()


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_pickled_files_in_their_wrappers(tmp_path, wrapper):
    state = _imagenet(18)
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    net = build("swiftnet", {"width": 8})
    assert load_encoder(net, tmp_path / "w.pth").matched == 100
    assert _filled(net, state)


def test_half_precision_is_widened(tmp_path):
    state = {k: v.half() if v.is_floating_point() else v for k, v in _imagenet(18).items()}
    torch.save(state, tmp_path / "w.pth")
    net = build("swiftnet", {"width": 8})
    load_encoder(net, tmp_path / "w.pth")
    assert net.encoder.conv1.weight.dtype == torch.float32
    assert torch.equal(net.encoder.conv1.weight, state["conv1.weight"].float())


def test_another_network_of_ours_gives_its_encoder(tmp_path):
    source = build("bisenet_v1", {"width": 8})
    save_file(dict(source.state_dict()), str(tmp_path / "w.safetensors"))
    target = build("swiftnet", {"width": 8})
    report = load_encoder(target, tmp_path / "w.safetensors")
    assert report.matched == report.total
    assert torch.equal(target.encoder.layer4[1].conv2.weight, source.encoder.layer4[1].conv2.weight)


def test_missing_and_misshapen_tensors_are_reported(tmp_path):
    state = _imagenet(18)
    state["conv1.weight"] = torch.rand(8, 1, 7, 7)
    del state["layer4.1.bn2.weight"]
    torch.save(state, tmp_path / "w.pth")
    net = build("swiftnet", {"width": 8})
    before = net.encoder.conv1.weight.clone()
    report = load_encoder(net, tmp_path / "w.pth")
    assert (report.fresh, report.misfits) == (("layer4.1.bn2.weight",), ("conv1.weight",))
    assert report.matched == report.total - 2 == 98
    assert torch.equal(net.encoder.conv1.weight, before)


@pytest.mark.parametrize(
    ("depth", "advice"),
    [(50, "It is a ResNet-50: build the network with depth=50"), (18, "It is a ResNet-18: build"), (101, "ResNet-101")],
)
def test_wrong_trunk_is_refused_with_advice(tmp_path, depth, advice):
    torch.save(_imagenet(depth, width=12), tmp_path / "w.pth")
    net = build("swiftnet", {"depth": 34, "width": 8})
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ModelError, match=advice):
        load_encoder(net, tmp_path / "w.pth")
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_deep_stem_is_named(tmp_path):
    state = {k: v for k, v in _imagenet(50).items() if k.startswith(("layer3", "layer1"))}
    torch.save(state | {"conv1.0.weight": torch.rand(4, 3, 3, 3)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="deep stem"):
        load_encoder(build("deeplab_v3_plus", {"width": 12}), tmp_path / "w.pth")


def test_network_without_an_encoder(tmp_path):
    torch.save(_imagenet(18), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="UNet has no encoder"):
        load_encoder(build("unet", {"width": 4}), tmp_path / "w.pth")


class _Stranger(nn.Module):
    pass


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.pth", None, "does not exist"),
        ("text.pth", b"hello", "no readable file of weights"),
        ("text.safetensors", b"hello", "no readable file of weights"),
        ("list.pth", [1, 2], "holds list, not tensors by name"),
        ("code.pth", _Stranger(), "no readable file of weights"),
        ("other.pth", {"a": torch.rand(2)}, "0 of 100 tensors"),
    ],
)
def test_unusable_files(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ModelError, match=message):
        load_encoder(build("swiftnet", {"width": 8}), path)
