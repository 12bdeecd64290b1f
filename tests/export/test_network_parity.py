"""Every network says the same in torch and as an ONNX file, the unshuffle's channel order included."""

import numpy as np
import onnxruntime
import openvino
import pytest
import torch

from fissura.export import export_onnx
from fissura.nets import build, normalise, parameter_count
from fissura.nets.hacnet_v2 import pixel_shuffle, pixel_unshuffle
from fissura.spec import ModelCard

NETWORKS = [
    ("hacnet_v2", {"variant": "published", "width": 8, "slips": True}),
    ("hacnet_v2", {"variant": "asymmetric", "width": 8}),
    ("hacnet_v2", {"variant": "unshuffled", "width": 8}),
]


def _shake(net):
    """Weights and BN statistics of a network that has lived; fresh ones hide a wrong order or a lost BN."""
    torch.manual_seed(3)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.6, 1.4)
            module.weight.data.uniform_(0.6, 1.4)
            module.bias.data.normal_(0, 0.2)
    return net.eval()


@pytest.mark.parametrize(("architecture", "options"), NETWORKS, ids=str)
def test_exported_network_says_the_same(tmp_path, architecture, options):
    torch.manual_seed(1)  # or the first weights are those that the tests before have left
    net = _shake(build(architecture, options))
    card = ModelCard(
        name="n", version="1", description="d", architecture=architecture, architecture_options=options,
        parameters=parameter_count(net), tile=96, overlap=32,
    )  # fmt: skip
    export_onnx(net, card, tmp_path / "n.onnx")
    x = np.random.default_rng(0).random((1, 3, 96, 96), np.float32)
    with torch.inference_mode():
        crack = torch.sigmoid(net(normalise(torch.from_numpy(x), card))[-1]).numpy()[0, 0]
    expected = np.stack([1 - crack, crack])
    assert crack.std() > 1e-3
    session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"image": x})[0][0], expected, atol=2e-5)
    compiled = openvino.Core().compile_model(str(tmp_path / "n.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(x)[0][0], expected, atol=2e-5)


class _Unshuffle(torch.nn.Module):
    def forward(self, x):
        return pixel_unshuffle(x, 2)


class _Shuffle(torch.nn.Module):
    def forward(self, x):
        return pixel_shuffle(x, 2)


@pytest.mark.parametrize(
    ("module", "shape", "reference"),
    [
        (_Unshuffle(), (1, 3, 8, 12), torch.nn.functional.pixel_unshuffle),
        (_Shuffle(), (1, 8, 4, 6), torch.nn.functional.pixel_shuffle),
    ],
    ids=["unshuffle", "shuffle"],
)
def test_channel_order_survives_the_exporter(tmp_path, module, shape, reference):
    x = torch.arange(np.prod(shape), dtype=torch.float32).reshape(shape)
    path = str(tmp_path / "m.onnx")
    torch.onnx.export(module, (x,), path, dynamo=True, input_names=["x"], verbose=False)
    expected = reference(x, 2).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": x.numpy()})[0], expected)
    np.testing.assert_array_equal(openvino.Core().compile_model(path, "CPU")(x.numpy())[0], expected)
