"""One suite over all networks."""

import numpy as np
import pytest
import torch

from fissura.errors import ModelError
from fissura.nets import build, load_weights, parameter_count, save_weights
from fissura.nets.hacnet_v2 import pixel_shuffle, pixel_unshuffle
from fissura.spec import ModelCard

PUBLISHED_SLIPS = {"variant": "published", "width": 32, "slips": True}
COUNTS = [
    (PUBLISHED_SLIPS, 585_415),
    ({"variant": "published", "width": 48, "slips": True}, 1_311_271),
    ({"variant": "asymmetric", "width": 32}, 524_551),
    ({"variant": "asymmetric", "width": 48}, 1_173_895),
    ({"variant": "unshuffled", "width": 32}, 454_976),
]
SMALL = [
    {"variant": "published", "width": 8, "slips": True},
    {"variant": "published", "width": 8},
    {"variant": "asymmetric", "width": 8},
    {"variant": "unshuffled", "width": 8},
]


@pytest.mark.parametrize(("options", "count"), COUNTS)
def test_parameter_count(options, count):
    assert parameter_count(build("hacnet_v2", options)) == count


@pytest.mark.parametrize("options", SMALL, ids=str)
@pytest.mark.parametrize("size_hw", [(64, 64), (61, 47), (2, 3)], ids=str)
def test_full_resolution_output_of_any_size(options, size_hw):
    net = build("hacnet_v2", options).eval()
    with torch.inference_mode():
        outputs = net(torch.rand(2, 3, *size_hw))
    assert [tuple(o.shape) for o in outputs] == [(2, 1, *size_hw)] * 4


@pytest.mark.parametrize("options", SMALL, ids=str)
def test_every_parameter_receives_a_gradient(options):
    torch.manual_seed(0)
    net = build("hacnet_v2", options).train()
    sum(o.square().mean() for o in net(torch.rand(2, 3, 64, 64))).backward()
    # Biases in front of BN have no influence on the output, hence a gradient of rounding size: None is the fault there.
    missing = {n for n, p in net.named_parameters() if p.grad is None or (p.ndim > 1 and not p.grad.abs().sum() > 0)}
    assert missing == ({"heads.2.weight", "heads.2.bias"} if options.get("slips") else set())


def test_slip_applies_second_head_to_third_depth():
    torch.manual_seed(0)
    net = build("hacnet_v2", SMALL[0]).eval()
    x = torch.rand(1, 3, 32, 32)
    before = net(x)[2].detach()
    with torch.no_grad():
        net.heads[2].bias += 5.0
    assert torch.equal(net(x)[2], before)
    with torch.no_grad():
        net.heads[1].bias += 5.0
    assert torch.allclose(net(x)[2], before + 5.0)


def test_unshuffle_matches_torch_and_inverts():
    x = torch.arange(2 * 3 * 8 * 6, dtype=torch.float32).reshape(2, 3, 8, 6)
    assert torch.equal(pixel_unshuffle(x, 2), torch.nn.functional.pixel_unshuffle(x, 2))
    assert torch.equal(pixel_shuffle(pixel_unshuffle(x, 2), 2), x)


def test_unshuffled_costs_a_quarter_of_the_published_work():
    def macs(options):
        total = 0

        def count(module, _, output):
            nonlocal total
            kh, kw = module.kernel_size
            total += output.numel() * module.in_channels * kh * kw

        net = build("hacnet_v2", options).eval()
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(count)
        with torch.inference_mode():
            net(torch.rand(1, 3, 128, 128))
        return total * 16 / 1e9  # at 512²

    published, ours = macs(PUBLISHED_SLIPS), macs({"variant": "unshuffled", "width": 32})
    assert published == pytest.approx(58, abs=0.5)
    assert ours < published / 4


def test_weights_and_card_survive_saving(tmp_path):
    net = build("hacnet_v2", SMALL[3]).eval()
    card = ModelCard(
        name="small", version="1", description="d", architecture="hacnet_v2",
        architecture_options=SMALL[3], parameters=parameter_count(net),
    )  # fmt: skip
    save_weights(tmp_path / "w.safetensors", net, card)
    again, read = load_weights(tmp_path / "w.safetensors")
    x = torch.rand(1, 3, 32, 32)
    assert read == card
    np.testing.assert_array_equal(again(x)[-1].detach().numpy(), net(x)[-1].detach().numpy())


def test_wrong_options_and_files_are_named(tmp_path):
    with pytest.raises(ModelError, match="unknown architecture 'unet9'"):
        build("unet9")
    with pytest.raises(ModelError, match="width is 3"):
        build("hacnet_v2", {"width": 3})
    with pytest.raises(ModelError, match="variant='published'"):
        build("hacnet_v2", {"variant": "unshuffled", "slips": True})
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no tensors here")
    with pytest.raises(ModelError, match="no safetensors file"):
        load_weights(bad)
    with pytest.raises(ModelError, match="does not exist"):
        load_weights(tmp_path / "missing.safetensors")
