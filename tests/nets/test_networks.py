"""One suite over all networks."""

import numpy as np
import onnxruntime
import openvino
import pytest
import torch

from fissura.errors import ModelError
from fissura.export import export_onnx
from fissura.nets import NETWORKS, build, build_enhancer, load_weights, normalise, parameter_count, save_weights
from fissura.nets.ga_cfae import Enhanced
from fissura.nets.hacnet_v2 import pixel_shuffle, pixel_unshuffle
from fissura.nets.views import Views, ViewsConfig
from fissura.spec import ModelCard
from fissura.train.losses import LossWeights, crack_loss

PUBLISHED_SLIPS = {"variant": "published", "width": 32, "slips": True}
HALF_SIZE_LADDER = {"widths": [16, 32, 64, 80, 96], "blocks": [1, 2, 2, 2, 2], "back": [1, 2, 2, 1], "patch": 2}
WIDE_LADDER = {"widths": [64, 64, 80, 96], "blocks": [1, 2, 2, 2], "back": [2, 1, 1], "stem": 24}
SMALL_LADDER = {"widths": [8, 8, 12], "blocks": [0, 1, 1], "back": [1, 0]}
SMALL_MEMBERS = [
    {"architecture": "hacnet_v2", "options": {"variant": "unshuffled", "width": 8}},
    {"architecture": "views", "options": {"options": SMALL_LADDER, "magnifications": [0.5, 1.0], "looks": 1}},
]
COUNTS = [
    ("hacnet_v2", PUBLISHED_SLIPS, 585_415),
    ("hacnet_v2", {"variant": "published", "width": 48, "slips": True}, 1_311_271),
    ("hacnet_v2", {"variant": "asymmetric", "width": 32}, 524_551),
    ("hacnet_v2", {"variant": "asymmetric", "width": 48}, 1_173_895),
    ("hacnet_v2", {"variant": "unshuffled", "width": 32}, 454_976),
    ("hacnet_v2", {"variant": "unshuffled", "width": 16, "unshuffle": 4}, 120_128),
    ("hacnet_v2_pyramid", {}, 462_212),
    ("hacnet_v2_single", {"variant": "unshuffled", "width": 32}, 178_748),
    ("hacnet_v2_single", {"variant": "asymmetric", "width": 78}, 1_182_103),
    ("hacnet", {}, 209_221),
    ("hacnet", {"blocks": 3}, 344_991),
    ("unet", {}, 31_037_633),
    ("bisenet_v1", {}, 12_963_331),
    ("bisenet_v2", {}, 3_617_813),
    ("stdc", {}, 8_565_924),
    ("stdc", {"size": 2}, 12_596_388),
    ("swiftnet", {}, 11_804_985),
    ("enet", {}, 362_864),
    ("deeplab_v3_plus", {}, 40_346_785),
    ("deeplab_v3_plus", {"depth": 101}, 59_338_913),
    ("hrnet", {}, 9_635_971),
    ("hrnet", {"width": 48}, 65_845_681),
    ("mobilenet_v3", {}, 1_743_818),
    ("ladder", {}, 382_288),
    ("ladder", HALF_SIZE_LADDER, 1_214_532),
    ("ladder", WIDE_LADDER, 1_320_696),
    ("views", {}, 382_288),
    ("group", {}, 764_576),
]
SMALL_V2 = [
    ("hacnet_v2", {"variant": "published", "width": 8, "slips": True}),
    ("hacnet_v2", {"variant": "published", "width": 8}),
    ("hacnet_v2", {"variant": "asymmetric", "width": 8}),
    ("hacnet_v2", {"variant": "unshuffled", "width": 8}),
    ("hacnet_v2", {"variant": "unshuffled", "width": 8, "unshuffle": 4}),
]
ONE_EACH = [
    ("hacnet_v2_pyramid", {"body": {"variant": "unshuffled", "width": 8}, "hidden": 8}),
    ("hacnet_v2_single", {"variant": "unshuffled", "width": 8}),
    ("hacnet", {"width": 12}),
    ("unet", {"width": 4}),
    ("bisenet_v1", {"width": 8}),
    ("bisenet_v2", {"width": 16, "head_width": 16}),
    ("stdc", {"width": 8}),
    ("swiftnet", {"width": 8}),
    ("enet", {"width": 8}),
    ("deeplab_v3_plus", {"width": 8}),
    ("hrnet", {"width": 6, "modules": (1, 1, 1), "blocks": 1}),
    ("mobilenet_v3", {"head_width": 16}),
    ("ladder", SMALL_LADDER),
    ("ladder", SMALL_LADDER | {"patch": 2}),
    ("views", {"options": SMALL_LADDER, "magnifications": [0.75, 1.5], "looks": 4}),
    ("views", {"architecture": "unet", "options": {"width": 4}, "magnifications": [1.0, 2.0], "looks": 1}),
    ("group", {"members": SMALL_MEMBERS}),
]
"""One of each network, HACNetV2 apart."""
SMALL = [*SMALL_V2, ("hacnet_v2_single", {"variant": "asymmetric", "width": 8}), ("hacnet", {"blocks": 3}), *ONE_EACH]
MAPS = {"hacnet_v2": 4, "hacnet_v2_pyramid": 4, "hacnet_v2_single": 7, "hacnet": 3}
"""Maps of the networks that always give several; the others give one."""
TRAINING_MAPS = MAPS | {"bisenet_v1": 3, "bisenet_v2": 5, "stdc": 4, "ladder": 2}


def test_suite_covers_every_network():
    assert {architecture for architecture, _ in SMALL} == {architecture for architecture, *_ in COUNTS} == set(NETWORKS)


@pytest.mark.parametrize(("architecture", "options", "count"), COUNTS)
def test_parameter_count(architecture, options, count):
    with torch.device("meta"):
        assert parameter_count(build(architecture, options)) == count


@pytest.mark.parametrize(("blocks", "count"), [(2, 210_405), (3, 346_783)])
def test_hacnet_has_the_published_counts_with_running_statistics(blocks, count):
    state = build("hacnet", {"blocks": blocks}).state_dict()
    assert sum(t.numel() for name, t in state.items() if not name.endswith("num_batches_tracked")) == count


@pytest.mark.parametrize(("architecture", "options"), SMALL, ids=str)
@pytest.mark.parametrize("size_hw", [(64, 64), (61, 47), (2, 3)], ids=str)
def test_full_resolution_output_of_any_size(architecture, options, size_hw):
    net = build(architecture, options).eval()
    with torch.inference_mode():
        outputs = net(torch.rand(2, 3, *size_hw))
    assert [tuple(o.shape) for o in outputs] == [(2, 1, *size_hw)] * maps_of(MAPS, architecture, options)


@pytest.mark.parametrize(("architecture", "options"), SMALL, ids=str)
def test_every_parameter_receives_a_gradient(architecture, options):
    torch.manual_seed(0)
    net = build(architecture, options).train()
    outputs = net(torch.rand(2, 3, 61, 64))
    assert [tuple(o.shape) for o in outputs] == [(2, 1, 61, 64)] * maps_of(TRAINING_MAPS, architecture, options)
    sum(o.square().mean() for o in outputs).backward()
    # Biases in front of BN have no influence on the output, hence a gradient of rounding size: None is the fault there.
    missing = {n for n, p in net.named_parameters() if p.grad is None or (p.ndim > 1 and not p.grad.abs().sum() > 0)}
    assert missing == ({"heads.2.weight", "heads.2.bias"} if options.get("slips") else set())


@pytest.mark.parametrize(("architecture", "options"), ONE_EACH, ids=str)
def test_one_image_is_enough_to_train(architecture, options):
    outputs = build(architecture, options).train()(torch.rand(1, 3, 64, 64))
    assert all(torch.isfinite(o).all() for o in outputs)


@pytest.mark.parametrize(("architecture", "options"), ONE_EACH, ids=str)
def test_learns_where_a_bar_lies(architecture, options):
    """Sixty steps of our own loss; whatever mirrors, transposes or shifts on the way to full size cannot learn this."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = build(architecture, options).train()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    for _ in range(60):
        images, truth = draw_bars(rng, 4)
        loss = crack_loss(net(images), truth, truth, LossWeights())["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, truth = draw_bars(np.random.default_rng(9), 8)
    with torch.inference_mode():
        found = net.eval()(images)[-1] > 0
    overlap = (found & (truth > 0)).sum() / (found | (truth > 0)).sum()
    assert overlap > 0.5, float(overlap)


@pytest.mark.parametrize(("architecture", "options"), [SMALL_V2[3], *ONE_EACH], ids=str)
def test_enhancer_in_front_keeps_the_list_of_maps(architecture, options):
    net = Enhanced(build(architecture, options), build_enhancer({"name": "eem_lite"}))
    x = torch.rand(1, 3, 64, 61)
    for mode, table in ((True, TRAINING_MAPS), (False, MAPS)):
        with torch.no_grad():
            outputs = net.train(mode)(x)
        assert [tuple(o.shape) for o in outputs] == [(1, 1, 64, 61)] * maps_of(table, architecture, options)


def test_slip_applies_second_head_to_third_depth():
    torch.manual_seed(0)
    net = build(*SMALL_V2[0]).eval()
    x = torch.rand(1, 3, 32, 32)
    before = net(x)[2].detach()
    with torch.no_grad():
        net.heads[2].bias += 5.0
    assert torch.equal(net(x)[2], before)
    with torch.no_grad():
        net.heads[1].bias += 5.0
    assert torch.allclose(net(x)[2], before + 5.0)


def test_views_are_the_mean_of_looks_from_four_sides():
    """And a picture that is mirrored has the mirrored answer."""
    net = build("views", {"options": SMALL_LADDER, "magnifications": [1.0], "looks": 4}).eval()
    x = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        looks = [net.body(x.flip(axes))[-1].flip(axes) for axes in ((), (-1,), (-2,), (-1, -2))]
        found = net(x)[-1]
        torch.testing.assert_close(found, torch.stack(looks).mean(dim=0))
        torch.testing.assert_close(net(x.flip(-1))[-1].flip(-1), found)
    assert not torch.allclose(looks[0], looks[1], atol=1e-3)


def test_a_group_says_the_mean_of_its_members():
    torch.manual_seed(0)
    net = build("group", {"members": SMALL_MEMBERS}).eval()
    x = torch.rand(2, 3, 61, 64)
    with torch.inference_mode():
        first, second = (member(x)[-1] for member in net.members)
        torch.testing.assert_close(net(x)[-1], (first + second) / 2)
        shifted = build("group", {"members": SMALL_MEMBERS, "shift": -1.5}).eval()
        shifted.load_state_dict(net.state_dict())
        torch.testing.assert_close(shifted(x)[-1], net(x)[-1] - 1.5)
    assert not torch.allclose(first, second, atol=1e-3)


def test_views_bring_every_size_back_to_its_place():
    """What a network that copies its input says at every size lies where it lay."""

    class Copy(torch.nn.Module):
        size_multiple = 8

        def forward(self, x):
            return [x[:, :1]]

    net = Views(ViewsConfig("copy", {}, (0.75, 1.0, 1.5), looks=2), lambda name, options: Copy())
    rows, columns = torch.meshgrid(torch.arange(50.0), torch.arange(70.0), indexing="ij")
    ramp = (3 * rows + columns)[None, None].expand(1, 3, -1, -1)
    inside = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    torch.testing.assert_close(net.eval()(ramp)[-1][inside], ramp[:, :1][inside], atol=0.05, rtol=0)


def test_unshuffle_matches_torch_and_inverts():
    x = torch.arange(2 * 3 * 8 * 6, dtype=torch.float32).reshape(2, 3, 8, 6)
    assert torch.equal(pixel_unshuffle(x, 2), torch.nn.functional.pixel_unshuffle(x, 2))
    assert torch.equal(pixel_shuffle(pixel_unshuffle(x, 2), 2), x)


@pytest.mark.parametrize(("architecture", "options"), [SMALL_V2[3], *ONE_EACH], ids=str)
def test_weights_and_card_survive_saving(tmp_path, architecture, options):
    net = lived_in(architecture, options)
    card = make_card(architecture, options, net)
    save_weights(tmp_path / "w.safetensors", net, card)
    again, read = load_weights(tmp_path / "w.safetensors")
    x = torch.rand(1, 3, 32, 32)
    assert read.model_dump_json() == card.model_dump_json()
    np.testing.assert_array_equal(again(x)[-1].detach().numpy(), net(x)[-1].detach().numpy())


@pytest.mark.parametrize(("architecture", "options"), ONE_EACH, ids=str)
def test_exported_network_says_the_same(tmp_path, architecture, options):
    """As `tests/export/test_network_parity.py` does for HACNetV2."""
    net = lived_in(architecture, options)
    card = make_card(architecture, options, net)
    x = np.random.default_rng(0).random((1, 3, card.tile, card.tile), np.float32)
    with torch.inference_mode():
        crack = torch.sigmoid(net(normalise(torch.from_numpy(x), card))[-1]).numpy()[0, 0]
    expected = np.stack([1 - crack, crack])
    assert crack.std() > 1e-3
    export_onnx(net, card, tmp_path / "n.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"image": x})[0][0], expected, atol=1e-4)
    compiled = openvino.Core().compile_model(str(tmp_path / "n.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(x)[0][0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("unet9", {}, "unknown architecture 'unet9'"),
        ("hacnet_v2", {"width": 3}, "width is 3"),
        ("hacnet_v2", {"variant": "unshuffled", "slips": True}, "variant='published'"),
        ("hacnet_v2_single", {"variant": "square"}, "variant is 'square'"),
        ("hacnet", {"blocks": 4}, "blocks is 4; it must be 2 or 3"),
        ("hacnet", {"width": 32}, "width is 32; it must be a multiple of 6"),
        ("hacnet", {"dropout": 1.0}, "dropout is 1.0"),
        ("hacnet_v2", {"unshuffle": 9}, "unshuffle is 9"),
        ("hacnet_v2", {"variant": "published", "unshuffle": 4}, "the other variants have none"),
        ("hacnet_v2_pyramid", {"hidden": 0}, "hidden is 0"),
        ("hacnet_v2_pyramid", {"shares": (0.5, 0.5)}, "half, full, double"),
        ("unet", {"width": 0}, "width is 0"),
        ("unet", {"depth": 5}, "depth"),
        ("bisenet_v1", {"depth": 50}, "depth is 50; it must be 18 or 34"),
        ("bisenet_v2", {"width": 12}, "width is 12"),
        ("stdc", {"size": 3}, "size is 3; it must be 1 or 2"),
        ("swiftnet", {"depth": 101}, "depth is 101"),
        ("enet", {"width": 6}, "width is 6"),
        ("deeplab_v3_plus", {"depth": 152}, "depth is 152; it must be 18, 34, 50 or 101"),
        ("hrnet", {"modules": [1, 2]}, "three numbers"),
        ("ladder", {"widths": [8, 8]}, "at least three rungs"),
        ("ladder", {"blocks": [1, 1]}, "4 rungs need as many numbers in blocks"),
        ("ladder", {"back": [1, 1, -1]}, "none may be negative"),
        ("ladder", {"patch": 3}, "patch is 3; it can be 2 or 4"),
        ("ladder", {"stem": 2}, "stem is 2; it needs at least 4 channels"),
        ("mobilenet_v3", {"head_width": 0}, "head_width is 0"),
        ("views", {"looks": 3}, "looks is 3; it can be 1, 2 or 4"),
        ("views", {"magnifications": [0.1]}, "give some from 0.25 to 4"),
        ("views", {"magnifications": [1.4]}, "give multiples of 1/8"),
        ("views", {"magnifications": []}, "give some from"),
        ("group", {"members": [{"architecture": "ladder"}]}, "members are 1; a group has two or more"),
        ("group", {"shift": float("nan")}, "shift is nan; give a number"),
        ("group", {"members": [{"options": {}}, {}]}, "a member has an architecture and options, not options"),
        ("group", {"members": [{"architecture": "ladder"}, {"architecture": "stairs"}]}, "unknown architecture 'st"),
        ("views", {"architecture": "stairs"}, "unknown architecture 'stairs'"),
    ],
    ids=str,
)
def test_wrong_options_are_named(architecture, options, message):
    with pytest.raises(ModelError, match=message):
        build(architecture, options)


def test_wrong_files_are_named(tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no tensors here")
    with pytest.raises(ModelError, match="no safetensors file"):
        load_weights(bad)
    with pytest.raises(ModelError, match="does not exist"):
        load_weights(tmp_path / "missing.safetensors")


def maps_of(table, architecture, options):
    if architecture == "group":
        said = [maps_of(table, m["architecture"], m.get("options", {})) for m in options["members"]]
        return sum(said) + 1 if table is TRAINING_MAPS else 1
    if architecture == "views":
        of_body = maps_of(table, options.get("architecture", "ladder"), options.get("options", {}))
        return len(options["magnifications"]) * (of_body - 1) + 1
    return options["blocks"] + 1 if architecture == "hacnet" and "blocks" in options else table.get(architecture, 1)


def draw_bars(rng, count):
    """Noise of shape (count, 3, 64, 64) with an upright bright bar of 32 by 12 pixels each, and the bars."""
    truth = torch.zeros(count, 1, 64, 64)
    for mask in truth:
        row, col = rng.integers(0, 32), rng.integers(0, 52)
        mask[:, row : row + 32, col : col + 12] = 1
    noise = rng.normal(0, 0.5, (count, 3, 64, 64)).astype(np.float32)
    return torch.from_numpy(noise) + 2 * truth - 0.5, truth


def make_card(architecture, options, net):
    return ModelCard(
        name="small", version="1", description="d", architecture=architecture, architecture_options=options,
        parameters=parameter_count(net), tile=96, overlap=32,
    )  # fmt: skip


def lived_in(architecture, options):
    """A network with statistics near the true ones, scale and shift off 1 and 0, in evaluation mode.

    Fresh ones hide a lost BN, and in a deep network they let one channel drown all others.
    """
    torch.manual_seed(3)
    net = build(architecture, options)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.6, 1.4)
            module.bias.data.normal_(0, 0.2)
            module.momentum = 0.9
    with torch.no_grad():
        net.train()((torch.rand(2, 3, 96, 96) - 0.5) / 0.25)
    return net.eval()
