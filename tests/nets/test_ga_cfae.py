"""Enhancers alone, and as part of a model: card, file, engines."""

import numpy as np
import pytest
import torch

from fissura.errors import ModelError
from fissura.export import export_onnx
from fissura.infer.backend import BackendOptions, load_backend
from fissura.nets import build, build_enhancer, build_model, load_weights, normalise, parameter_count, save_weights
from fissura.nets.discriminator import PatchDiscriminator
from fissura.nets.ga_cfae import ENHANCERS, EdgeFilters, Enhanced, SummingFilters, body_of
from fissura.nets.gmac import count_gmac
from fissura.spec import ModelCard
from fissura.synth.crops import render_training_crop

FORMS = [
    ({"name": "eem"}, 57),
    ({"name": "eem_lite"}, 31),
    ({"name": "eem", "form": "published"}, 52),
    ({"name": "eem_lite", "form": "published"}, 26),
    ({"name": "darkening"}, 1),
    ({"name": "identity"}, 0),
]
WITH_MAP = [options for options, _ in FORMS if options.get("form") is None and options["name"] != "identity"]
TILE = 64


def _image(count=2, side=TILE):
    rng = np.random.default_rng(1)
    crops = [render_training_crop(rng, side, crack_probability=1.0)[0] for _ in range(count)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def test_suite_covers_every_enhancer():
    assert {options["name"] for options, _ in FORMS} == set(ENHANCERS)


@pytest.mark.parametrize(("options", "count"), FORMS, ids=str)
def test_parameter_count(options, count):
    assert parameter_count(build_enhancer(options)) == count
    fixed = count - 1 if options in WITH_MAP else count
    assert parameter_count(build_enhancer(options | {"learn_alpha": False})) == fixed


@pytest.mark.parametrize("options", [options for options, _ in FORMS], ids=str)
@pytest.mark.parametrize("size_hw", [(64, 64), (37, 50), (2, 3)], ids=str)
def test_images_keep_their_size(options, size_hw):
    enhanced, soft_map = build_enhancer(options)(torch.rand(2, 3, *size_hw))
    assert enhanced.shape == (2, 3, *size_hw)
    assert torch.isfinite(enhanced).all()
    assert (soft_map is not None) == (options in WITH_MAP)


@pytest.mark.parametrize("options", WITH_MAP, ids=str)
@pytest.mark.parametrize("alpha", [0.3, 0.9])
def test_a_map_darkens_by_no_more_than_alpha(options, alpha):
    image = _image()
    enhancer = build_enhancer(options | {"alpha": alpha})
    enhanced, soft_map = enhancer(image)
    assert soft_map.shape == (2, 1, TILE, TILE)
    assert 0 <= soft_map.min() < soft_map.max() <= 1
    torch.testing.assert_close(enhanced, image * (1 - alpha * soft_map))
    assert float(enhancer.alpha.detach()) == pytest.approx(alpha)


@pytest.mark.parametrize("options", [*WITH_MAP, {"name": "eem_lite", "form": "published"}], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_every_parameter_receives_a_gradient(options, seed):
    """The published EEM is left out: see the next test."""
    torch.manual_seed(seed)
    enhancer = build_enhancer(options)
    weight = torch.rand(2, 3, TILE, TILE)
    (enhancer(_image())[0] * weight).sum().backward()
    dead = {n for n, p in enhancer.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    squeezes = {f"gate_edges.{part}.weight" for part in ("down", "up")}
    assert dead <= (squeezes if options.get("form") == "published" else set())


def test_published_squeeze_is_often_dead_and_ours_is_not():
    """One hidden unit behind ReLU, and branches whose activation does nothing: named in the header."""
    dead = {"published": 0, "corrected": 0}
    for form in dead:
        for seed in range(12):
            torch.manual_seed(seed)
            enhancer = build_enhancer({"name": "eem", "form": form})
            (enhancer(_image())[0] * torch.rand(2, 3, TILE, TILE)).sum().backward()
            dead[form] += any(not p.grad.abs().sum() > 0 for p in enhancer.parameters())
    assert dead["published"] >= 4
    assert dead["corrected"] == 0


def test_controls_are_what_they_say():
    image = torch.full((1, 3, 80, 80), 0.6)
    darkening = build_enhancer({"name": "darkening"})
    assert darkening(image)[1].abs().max() < 1e-4, "nothing is darker than a plain wall"
    image[..., 40] = 0.3
    soft_map = darkening(image)[1][0, 0]
    share = 1 / 31  # the line fills one of the 31 columns of a neighbourhood
    mean, deviation = 0.6 - 0.3 * share, 0.3 * np.sqrt(share * (1 - share))
    assert float(soft_map[40, 40]) == pytest.approx(min((mean - 0.3) / (2 * deviation), 1.0), abs=1e-3)
    assert soft_map[40, :40].max() < 1e-4
    torch.testing.assert_close(darkening(0.5 * image)[1][0, 0], soft_map, atol=1e-4, rtol=0)
    image = _image()
    assert build_enhancer({"name": "identity"})(image)[0] is image


def test_filters_are_differences_without_a_frame():
    flat = torch.full((1, 3, 20, 20), 0.7)
    for kernel in (3, 5):
        for part in EdgeFilters(kernel)(flat):
            torch.testing.assert_close(part, torch.zeros_like(flat), atol=1e-6, rtol=0)
    difference, edges = SummingFilters(5)(flat)
    assert difference[..., 10, 10].mean() == pytest.approx(1.7 * 0.7, rel=1e-5), "2.7 times the grey, minus the grey"
    assert edges[..., 10, 10].abs().max() < 1e-5 < edges[..., 0, 0].abs().min(), "zero padding draws a frame"
    dark_line = flat.clone()
    dark_line[..., 10] = 0.2
    difference, edges = EdgeFilters(5)(dark_line)
    assert difference[..., 10].min() > 0.2
    assert edges[..., 10].min() > 0 > edges[..., 7].max()


def test_darker_means_nearer_to_black_whatever_the_normalisation():
    image = _image()
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    enhancer = build_enhancer({"name": "eem"})
    net = Enhanced(torch.nn.Identity(), enhancer, mean=mean, std=std)
    as_seen, soft_map = net.enhance((image - net.mean) / net.std)
    torch.testing.assert_close(as_seen * net.std + net.mean, image * (1 - 0.5 * soft_map), atol=1e-6, rtol=1e-5)


def test_identity_changes_no_bit_and_the_network_is_built_first():
    torch.manual_seed(0)
    plain = build("unet", {"width": 4}).eval()
    torch.manual_seed(0)
    enhanced = build_model(_card({"name": "identity"})).eval()
    x = torch.randn(2, 3, 48, 48)
    assert torch.equal(plain(x)[-1], enhanced(x)[-1])
    assert body_of(enhanced) is enhanced.network
    assert body_of(plain) is plain


def test_model_goes_through_its_files_into_every_engine(tmp_path):
    torch.manual_seed(4)
    card = _card({"name": "eem"})
    net = build_model(card)
    x = (_image(4) - 0.5) / 0.25
    with torch.no_grad():
        for _ in range(3):
            net.train()(x)
        logits = net.eval()(x)[-1]
        net.network.head.weight *= 2 / logits.std()
        net.network.head.bias.copy_(-2 * logits.median() / logits.std())
    save_weights(tmp_path / "m.safetensors", net, card)
    again, read = load_weights(tmp_path / "m.safetensors")
    assert isinstance(again, Enhanced)
    assert read == card
    assert torch.equal(again(x)[-1], net(x)[-1])
    export_onnx(net, card, tmp_path / "m.onnx")
    answers = {engine: _ask(engine, tmp_path / "m.onnx") for engine in ("torch", "onnxruntime", "openvino")}
    assert np.ptp(answers["torch"]) > 0.2
    np.testing.assert_allclose(answers["onnxruntime"], answers["torch"], atol=1e-3)
    np.testing.assert_allclose(answers["openvino"], answers["torch"], atol=1e-3)


@pytest.mark.parametrize("options", [options for options, _ in FORMS[1:]], ids=str)
def test_every_enhancer_says_the_same_in_every_engine(tmp_path, options):
    """In front of next to nothing, which exports quickly."""
    torch.manual_seed(4)
    card = _card(options)
    net = Enhanced(_Nothing(), build_enhancer(options), mean=card.mean, std=card.std).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        expected = torch.sigmoid(net(normalise(_image(), card))[-1])[:, 0].numpy()
    assert np.ptp(expected) > 0.1
    export_onnx(net, card, tmp_path / "m.onnx")
    for engine in ("onnxruntime", "openvino"):
        np.testing.assert_allclose(_ask(engine, tmp_path / "m.onnx"), expected, atol=1e-4)


def test_card_without_an_enhancer_is_written_as_ever():
    plain = _card(None)
    assert "enhancer" not in plain.model_dump_json()
    assert ModelCard.from_metadata(plain.to_metadata(), source="x") == plain
    with_one = _card({"name": "eem"})
    assert ModelCard.from_metadata(with_one.to_metadata(), source="x").enhancer == {"name": "eem"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "eam"}, "enhancer: name is 'eam'; it must be one of eem, eem_lite, darkening, identity"),
        ({"name": "eem", "form": "old"}, "form is 'old'"),
        ({"name": "identity", "form": "published"}, "no published form"),
        ({"name": "eem", "kernel": 4}, "kernel is 4; it must be 3 or 5"),
        ({"name": "eem", "alpha": 1.0}, "alpha is 1.0"),
        ({"name": "eem", "alpha": 0.0}, "alpha is 0.0"),
        ({"name": "eem", "strength": 1}, "strength"),
    ],
    ids=str,
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ModelError, match=message):
        build_model(_card(options))


def test_work_of_the_frozen_filters_is_counted():
    """Per pixel: 3 channels, 25 + 25 frozen; 1x1 of 3, 3, 3 and 3; the squeeze next to nothing."""
    net = Enhanced(_Nothing(), build_enhancer({"name": "eem_lite"}))
    assert count_gmac(net, (64, 64)) * 1e9 == pytest.approx(64 * 64 * (150 + 12) + 6)


def test_discriminator_is_the_studys():
    net = PatchDiscriminator()
    assert parameter_count(net) == pytest.approx(2.76e6, rel=0.01)
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    soft_map = torch.rand(1, 1, 128, 128, requires_grad=True)
    logits = PatchDiscriminator(8)(image, soft_map)
    assert logits.shape == (1, 1, 14, 14)
    logits[0, 0, 7, 7].backward()
    for seen in (image.grad, soft_map.grad):
        rows = seen.abs().sum(dim=(0, 1, 3)) > 0
        assert int(rows.sum()) == 70, "a patch of 70 px of both"


def test_spectral_norm_bounds_every_layer():
    torch.manual_seed(0)
    net = PatchDiscriminator(8)
    with torch.no_grad():
        for layer in net.layers[::2]:
            layer.parametrizations.weight.original *= 30
        for _ in range(20):
            net(torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32))
    for layer in net.layers[::2]:
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1.0, abs=0.05)


def _ask(engine, path):
    tiles = [tile.permute(1, 2, 0).mul(255).round().byte().numpy() for tile in _image()]
    return np.stack(list(load_backend(engine, path, BackendOptions()).predict_tiles(tiles)))


class _Nothing(torch.nn.Module):
    def forward(self, x):
        return [x[:, :1]]


def _card(enhancer):
    return ModelCard(name="n", version="1", description="d", architecture="unet", architecture_options={"width": 4},
                     enhancer=enhancer, parameters=1, tile=TILE, overlap=16, mean=(0.4, 0.5, 0.6),
                     std=(0.2, 0.25, 0.3))  # fmt: skip
