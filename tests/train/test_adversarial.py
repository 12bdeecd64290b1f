"""The enhancer in training: adversarially with the network or before it, or by the network's loss alone."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fissura.errors import ModelError, SettingsError
from fissura.export import load_trained
from fissura.nets import build, load_weights, normalise
from fissura.nets.ga_cfae import Enhanced
from fissura.synth.crops import render_training_crop
from fissura.train.adversarial import Adversary
from fissura.train.config import AdversarialConfig, TrainConfig, read_config
from fissura.train.dataset import CropDataset
from fissura.train.loop import make_card, train
from fissura.train.module import CrackModule

SMALL = {"discriminator_width": 8}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Four generated photographs with cracks."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for folder in ("set/images", "set/masks"):
        (root / folder).mkdir(parents=True)
    for i in range(4):
        rgb, mask = render_training_crop(rng, 96, crack_probability=1.0)
        Image.fromarray(rgb).save(root / "set" / "images" / f"{i}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / "set" / "masks" / f"{i}.png")
    return root


def _config(data_root, **changes):
    settings = {
        "name": "tiny", "data_root": str(data_root), "train": [{"folder": "set", "terms": "MIT"}],
        "architecture_options": {"variant": "unshuffled", "width": 4}, "tile": 64, "overlap": 16, "batch": 2,
        "steps": 6, "warmup_steps": 1, "checkpoint_every": 3, "validate_every": 6, "workers": 0, "accelerator": "cpu",
        "precision": "fp32",
    }  # fmt: skip
    return TrainConfig.model_validate(settings | changes)


def _batch(count=4, side=64):
    rng = np.random.default_rng(5)
    crops = [render_training_crop(rng, side, crack_probability=1.0) for _ in range(count)]
    images = torch.from_numpy(np.stack([rgb for rgb, _ in crops])).permute(0, 3, 1, 2).contiguous()
    truth = torch.from_numpy(np.stack([mask for _, mask in crops]).astype(np.uint8))[:, None]
    return {"image": images, "truth": truth, "tube": truth, "taught": torch.ones((count, 1, 1, 1), dtype=torch.uint8)}


def _module(data_root, **changes):
    config = _config(data_root, **changes)
    torch.manual_seed(0)
    return CrackModule(config, make_card(config, []))


@pytest.mark.parametrize("name", ["eem", "eem_lite"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_adversarial_step_moves_both_losses_and_reaches_the_whole_enhancer(data_root, name, precision):
    """On generated photographs: the discriminator learns to tell, the generator to come nearer to the masks."""
    module = _module(data_root, enhancer={"name": name}, adversarial=SMALL | {"learning_rate": 0.02})
    optimizer = module.configure_optimizers()["optimizer"]
    batch, seen = _batch(), []
    values = {"image": batch["image"] / 255.0, "truth": batch["truth"].float(), "tube": batch["tube"].float()}
    for _ in range(12):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            terms = module._terms(normalise(values["image"], module.card), values)
        optimizer.zero_grad()
        terms["total"].backward()
        if not seen:
            grads = {n: p.grad for n, p in module.net.named_parameters()}
            assert not [n for n, g in grads.items() if g is None or not torch.isfinite(g).all()]
            assert not [n for n, g in grads.items() if n.startswith("enhancer.") and not g.abs().sum() > 0]
        optimizer.step()
        seen.append({k: float(v.detach()) for k, v in terms.items()})
    assert seen[0]["continuity"] > 0
    assert seen[-1]["discriminator"] < seen[0]["discriminator"]
    assert seen[-1]["generator"] < seen[0]["generator"]
    assert len({terms["adversarial"] for terms in seen}) == 12
    assert seen[0]["total"] == pytest.approx(
        seen[0]["generator"] + seen[0]["bce"] + seen[0]["dice"] + 0.5 * seen[0]["skeleton"], rel=1e-4
    )


def test_generator_loss_is_the_published_sum():
    batch = _batch()
    torch.manual_seed(0)
    soft_map = torch.rand(4, 1, 64, 64, requires_grad=True)
    terms = Adversary(AdversarialConfig(**SMALL)).challenge(
        batch["image"] / 127.5 - 1, soft_map, batch["truth"].float()
    )
    structure = 0.8 * terms["edge"] + 0.2 * terms["continuity"]
    torch.testing.assert_close(terms["generator"], 0.1 * terms["adversarial"] + 10 * terms["content"] + 2 * structure)
    assert all(float(terms[k].detach()) > 0 for k in ("adversarial", "content", "edge", "continuity"))


def test_generator_does_not_move_its_judge():
    batch = _batch()
    adversary = Adversary(AdversarialConfig(**SMALL))
    soft_map = torch.rand(4, 1, 64, 64, requires_grad=True)
    terms = adversary.challenge(batch["image"] / 127.5 - 1, soft_map, batch["truth"].float())
    before = [p.grad.clone() for p in adversary.discriminator.parameters()]
    terms["generator"].backward()
    assert soft_map.grad.abs().sum() > 0
    assert all(torch.equal(a, p.grad) for a, p in zip(before, adversary.discriminator.parameters(), strict=True))
    assert all(p.requires_grad for p in adversary.discriminator.parameters())


def test_discriminator_judges_a_map_by_its_image():
    """Upright cracks belong to bright images, level ones to dark: either map is true of one and false of the other."""
    images = torch.ones(8, 3, 32, 32) * torch.tensor([1.0, -1.0] * 4)[:, None, None, None]
    upright, level = torch.zeros(2, 1, 32, 32)
    upright[..., 14:17], level[..., 14:17, :] = 1, 1
    truth, others = torch.stack([upright, level] * 4), torch.stack([level, upright] * 4)
    torch.manual_seed(0)
    adversary = Adversary(AdversarialConfig(discriminator_width=16, discriminator_learning_rate=5e-3))
    losses = [float(adversary.challenge(images, others, truth)["discriminator"]) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0], losses


@pytest.mark.parametrize(
    ("mode", "optimizer"),
    [({"mode": "joint"}, "muon"), ({"mode": "two_step", "enhancer_steps": 2}, "adamw")],
    ids=["joint", "two steps"],
)
def test_interrupted_adversarial_run_ends_with_the_same_weights(data_root, tmp_path, monkeypatch, mode, optimizer):
    config = _config(data_root, optimizer=optimizer, enhancer={"name": "eem"}, adversarial=SMALL | mode)
    whole = train(config, tmp_path / "whole", say=lambda _: None, quiet=True)
    sample = CropDataset.__getitem__

    def unplugged_later(self, index):
        if index == 9:
            raise InterruptedError("unplugged")
        return sample(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(CropDataset, "__getitem__", unplugged_later)
        with pytest.raises(InterruptedError, match="unplugged"):
            train(config, tmp_path / "cut", say=lambda _: None, quiet=True)
    lines = []
    resumed = train(config, tmp_path / "cut", say=lines.append, quiet=True)
    assert "resuming at step 3 of 6" in lines
    ends = [_checkpoint(tmp_path / folder) for folder in ("whole", "cut")]
    for key in ("state_dict", "adversary"):
        _assert_equal(*(end[key] for end in ends))
    net, card = load_weights(resumed)
    assert isinstance(net, Enhanced)
    assert card.enhancer == {"name": "eem", "form": "corrected", "kernel": 5, "alpha": 0.5, "learn_alpha": True}
    _assert_equal(load_weights(whole)[0].state_dict(), net.state_dict())
    _assert_equal(load_trained(tmp_path / "cut" / "checkpoints" / "last.ckpt")[0].state_dict(), net.state_dict())


def test_two_steps_train_one_part_at_a_time(data_root, tmp_path):
    recipe = SMALL | {"mode": "two_step", "enhancer_steps": 3}
    config = _config(data_root, enhancer={"name": "eem_lite"}, adversarial=recipe, ema=0.0)
    states = []

    class Watched(CrackModule):
        def optimizer_step(self, *args, **kwargs):
            super().optimizer_step(*args, **kwargs)
            states.append({k: v.clone() for k, v in self.net.named_parameters()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fissura.train.loop.CrackModule", Watched)
        path = train(config, tmp_path / "run", say=lambda _: None, quiet=True)
    moved = [{k for k in a if not torch.equal(a[k], b[k])} for a, b in pairwise(states)]
    assert all(k.startswith("enhancer.") for k in moved[0] | moved[1])
    assert all(k.startswith("network.") for k in moved[2] | moved[3] | moved[4])
    assert "enhancer.attention.weight" in moved[0]
    assert "network.fuse.bias" in moved[4]
    end = load_weights(path)[0].state_dict()
    # Without averaging, what ships is what was trained last, the enhancer as its own part left it.
    assert all(torch.equal(end[k], states[2][k]) for k in end if k.startswith("enhancer."))


def test_network_starts_its_mean_when_its_turn_comes(data_root):
    recipe = SMALL | {"mode": "two_step", "enhancer_steps": 5}
    module = _module(data_root, enhancer={"name": "eem"}, adversarial=recipe, ema=0.9999)
    keeps = []
    for count in (1, 4, 5, 6):
        averaged = [torch.zeros(1)]
        module._average(averaged, [torch.ones(1)], torch.tensor(count))
        keeps.append(1 - float(averaged[0]))
    assert keeps == pytest.approx([2 / 11, 5 / 14, 1 / 10, 2 / 11])


@pytest.mark.parametrize("enhancer", ["eem", "darkening"])
def test_enhancer_is_trained_by_the_networks_loss_alone(data_root, tmp_path, enhancer):
    config = _config(data_root, enhancer={"name": enhancer}, optimizer="muon")
    net, card = load_weights(train(config, tmp_path / "run", say=lambda _: None, quiet=True))
    assert card.enhancer["name"] == enhancer
    assert card.parameters == sum(p.numel() for p in net.parameters())
    assert float(net.enhancer.alpha.detach()) != pytest.approx(0.5, abs=1e-6)


def test_identity_trains_like_no_enhancer_at_all(data_root, tmp_path):
    plain, passed = (
        load_weights(train(_config(data_root, **extra), tmp_path / name, say=lambda _: None, quiet=True))[0]
        for name, extra in (("plain", {}), ("identity", {"enhancer": {"name": "identity"}}))
    )
    _assert_equal(plain.state_dict(), passed.network.state_dict())


def test_plain_weights_start_an_enhanced_network(data_root, tmp_path):
    first = train(_config(data_root), tmp_path / "a", say=lambda _: None, quiet=True)
    still = {"init": str(first), "steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0.0}
    second = train(_config(data_root, enhancer={"name": "eem"}, keep_init=0.5, **still), tmp_path / "b",
                   say=lambda _: None, quiet=True)  # fmt: skip
    name = "stem_full.a.weight"
    before, after = load_weights(first)[0].state_dict()[name], load_weights(second)[0].network.state_dict()[name]
    torch.testing.assert_close(before, after, atol=1e-6, rtol=0)
    third = train(_config(data_root, enhancer={"name": "eem"}, **still | {"init": str(second)}), tmp_path / "c",
                  say=lambda _: None, quiet=True)  # fmt: skip
    assert isinstance(load_weights(third)[0], Enhanced)


def test_encoder_starts_from_a_file(data_root, tmp_path):
    torch.manual_seed(3)
    donor = build("bisenet_v1", {"width": 8}).encoder.state_dict()
    save_file(dict(donor), str(tmp_path / "mine.safetensors"))
    (tmp_path / "c.yaml").write_text(
        f"name: x\ndata_root: {data_root}\ntrain: [{{folder: set, terms: MIT}}]\narchitecture: swiftnet\n"
        "architecture_options: {width: 8}\nencoder: {file: mine.safetensors, terms: research only}\n"
        "tile: 64\noverlap: 16\nbatch: 2\nsteps: 1\nlearning_rate: 1.0e-12\nwarmup_steps: 0\nworkers: 0\n"
        "precision: fp32\naccelerator: cpu\nenhancer: {name: eem_lite}\n"
    )
    lines = []
    net, card = load_weights(train(read_config(tmp_path / "c.yaml"), tmp_path / "run", say=lines.append, quiet=True))
    assert any("100 of 100 tensors of the encoder loaded" in line for line in lines)
    name = "layer2.0.conv1.weight"
    torch.testing.assert_close(net.network.encoder.state_dict()[name], donor[name], atol=1e-6, rtol=0)
    assert card.strictest_terms == "research only"
    assert "encoder from mine.safetensors" in card.trained_on


def test_encoder_that_does_not_fit_is_refused_before_data_are_read(data_root, tmp_path):
    save_file({"a.weight": torch.zeros(3)}, str(tmp_path / "other.safetensors"))
    config = _config(data_root, architecture="swiftnet", architecture_options={"width": 8},
                     encoder=str(tmp_path / "other.safetensors"), train=[{"folder": "nothing"}])  # fmt: skip
    with pytest.raises(ModelError, match=r"other\.safetensors does not fit the encoder of SwiftNet"):
        train(config, tmp_path / "run", say=lambda _: None, quiet=True)
    # Nothing was lost by the attempt: the folder takes the corrected config.
    train(_config(data_root, steps=1), tmp_path / "run", say=lambda _: None, quiet=True)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("enhancer: {name: eam}", r"enhancer\.name: .*'eem', 'eem_lite', 'darkening' or 'identity'.*got 'eam'"),
        ("enhancer: {name: eem, sharp: 1}", r"enhancer\.sharp"),
        ("adversarial: {}", "adversarial trains an enhancer, and there is none"),
        ("enhancer: {name: darkening}\nadversarial: {}", "nothing in 'darkening' can be trained"),
        ("enhancer: {name: eem, form: published}\nadversarial: {}", "published form has no map"),
        ("enhancer: {name: eem}\nadversarial: {mode: two_step, enhancer_steps: 6000}", "leaves none of the 6000 steps"),
        ("init: fast\nencoder: r.pth", "init and encoder are both given"),
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path, lines, message):
    path = tmp_path / "c.yaml"
    path.write_text(f"name: x\ndata_root: .\ntrain: [{{folder: set}}]\n{lines}\n")
    with pytest.raises(SettingsError, match=message) as caught:
        read_config(path)
    assert "Value error" not in str(caught.value)


def _checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def _assert_equal(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _assert_equal(a[key], b[key])
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            _assert_equal(x, y)
    else:
        assert a == b
