import json
import math
import shutil
import signal
from contextlib import contextmanager
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from fissura.data.pairs import Pair, spread
from fissura.errors import DataError, ModelError, SettingsError
from fissura.imaging.read import read_image
from fissura.infer.store import find_model
from fissura.nets import build, load_weights, save_weights
from fissura.synth.crops import render_training_crop
from fissura.train import validate as validate_module
from fissura.train.augment import CropGeometry, _motion_kernel, cut_crop, photograph
from fissura.train.config import SetConfig, TrainConfig, read_config
from fissura.train.dataset import CropDataset, LoadedSet, read_rgb
from fissura.train.loop import make_card, strictest_terms, train
from fissura.train.losses import LossWeights, crack_loss, dice_loss, quiet_loss, skeleton_recall_loss
from fissura.train.module import CrackModule, rate_factor
from fissura.train.teacher import EngineTeacher, Teacher, TeacherGroup
from fissura.train.validate import Validation


@pytest.fixture
def data_root(tmp_path):
    """A set of six photographs of a dark line on bright ground."""
    rng = np.random.default_rng(0)
    for folder in ("set/images", "set/masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for i in range(6):
        truth = np.zeros((90, 110), np.uint8)
        truth[:, 20 + 10 * i : 23 + 10 * i] = 255
        grey = np.where(truth > 0, 60, 170) + rng.normal(0, 8, truth.shape)
        Image.fromarray(np.repeat(grey[..., None], 3, 2).clip(0, 255).astype(np.uint8)).save(
            tmp_path / "data" / "set" / "images" / f"{i}.png"
        )
        Image.fromarray(truth).save(tmp_path / "data" / "set" / "masks" / f"{i}.png")
    shutil.copytree(tmp_path / "data" / "set", tmp_path / "data" / "watched_set")
    return tmp_path / "data"


def _config(data_root, **changes):
    settings = {
        "name": "tiny", "data_root": str(data_root), "train": [{"folder": "set", "terms": "MIT"}],
        "validate_on": ["watched_set"], "validation_limit": 2,
        "architecture_options": {"variant": "unshuffled", "width": 4},
        "tile": 64, "overlap": 16, "batch": 2, "steps": 6, "warmup_steps": 2, "checkpoint_every": 3,
        "validate_every": 6, "workers": 0, "synthetic": 0.3, "accelerator": "cpu", "precision": "fp32",
    }  # fmt: skip
    return TrainConfig.model_validate(settings | changes)


@contextmanager
def _ending_by(error, monkeypatch):
    """A training that is ended by an error at its eleventh crop."""
    sample = CropDataset.__getitem__

    def fail_later(self, index):
        if index == 10:
            raise error
        return sample(self, index)

    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(CropDataset, "__getitem__", fail_later)
        yield


@pytest.mark.parametrize(
    ("resumed_at", "network"),
    [
        (3, {}),  # half way, and later
        (4, {}),
        (3, {"architecture": "enet", "architecture_options": {"width": 4}}),  # which has dropout
    ],
)
def test_interrupted_run_ends_with_the_same_weights(data_root, tmp_path, monkeypatch, resumed_at, network):
    config = _config(data_root, checkpoint_every=resumed_at, **network)
    whole = train(config, tmp_path / "whole", say=lambda _: None, quiet=True)

    class Unplugged(Exception):
        pass

    with _ending_by(Unplugged, monkeypatch):
        train(config, tmp_path / "cut", say=lambda _: None, quiet=True)
    lines = []
    resumed = train(config, tmp_path / "cut", say=lines.append, quiet=True)
    assert f"resuming at step {resumed_at} of 6" in lines
    a, b = (load_weights(path)[0].state_dict() for path in (whole, resumed))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_stopped_by_hand_says_so_and_goes_on(data_root, tmp_path, monkeypatch):
    """Lightning ends the program with status 1 at Ctrl-C, and hears no other one."""
    handler = signal.getsignal(signal.SIGINT)
    with _ending_by(KeyboardInterrupt, monkeypatch):
        train(_config(data_root), tmp_path / "run", say=lambda _: None, quiet=True)
    assert signal.getsignal(signal.SIGINT) is handler
    lines = []
    train(_config(data_root), tmp_path / "run", say=lines.append, quiet=True)
    assert "resuming at step 3 of 6" in lines


def test_training_learns_and_records_where_it_comes_from(data_root, tmp_path):
    lines = []
    config = _config(data_root, steps=40, learning_rate=0.01, synthetic=0.0, validate_every=40, ema=0.9,
                     architecture_options={"variant": "unshuffled", "width": 8})  # fmt: skip
    path = train(config, tmp_path / "run", say=lines.append, quiet=True)
    net, card = load_weights(path)
    assert [s.name for s in card.training_sets] == ["set"]
    assert card.training_sets[0].images == 6
    assert card.strictest_terms == "MIT"
    watched = next(line for line in lines if "validation mean" in line or "mean F1" in line)
    assert "set F1@2px" in watched
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))
    image = np.full((1, 3, 64, 64), 170 / 255, np.float32)
    image[..., 30:33] = 60 / 255
    with torch.inference_mode():
        p = torch.sigmoid(net((torch.from_numpy(image) - 0.5) / 0.25)[-1])[0, 0]
    assert p[8:56, 31].mean() > p[8:56, :20].mean() + 0.2


def test_fine_tuning_starts_from_given_weights(data_root, tmp_path):
    first = train(_config(data_root), tmp_path / "a", say=lambda _: None, quiet=True)
    tuned = _config(data_root, init=str(first), steps=1, learning_rate=1e-12, warmup_steps=0, weight_decay=0.0)
    second = train(tuned, tmp_path / "b", say=lambda _: None, quiet=True)
    a, b = (load_weights(path)[0].state_dict()["stem_full.a.weight"] for path in (first, second))
    torch.testing.assert_close(a, b, atol=1e-6, rtol=0)
    with pytest.raises(ModelError, match="no-such-model"):
        train(_config(data_root, init="no-such-model"), tmp_path / "c", say=lambda _: None, quiet=True)


def test_weights_are_widened_where_options_leave_the_width_out(data_root, tmp_path):
    card = make_card(_config(data_root, architecture_options={}), [])
    torch.manual_seed(0)
    save_weights(tmp_path / "first.safetensors", build("hacnet_v2", {}), card)  # 32 channels
    config = _config(
        data_root, validate_on=[], init=str(tmp_path / "first.safetensors"), steps=1,
        architecture_options={"variant": "unshuffled", "width": 36},
    )  # fmt: skip
    net, _ = load_weights(train(config, tmp_path / "run", say=lambda _: None, quiet=True))
    assert net.config.width == 36


def test_a_share_of_the_initial_weights_is_kept(data_root, tmp_path):
    first = train(_config(data_root), tmp_path / "a", say=lambda _: None, quiet=True)
    plain = train(_config(data_root, init=str(first), steps=3), tmp_path / "b", say=lambda _: None, quiet=True)
    mixed = train(
        _config(data_root, init=str(first), steps=3, keep_init=0.25), tmp_path / "c", say=lambda _: None, quiet=True
    )
    start, end, mean = (load_weights(path)[0].state_dict() for path in (first, plain, mixed))
    for name in ("stem_full.a.weight", "stem_full.norm.running_mean", "fuse.bias"):
        torch.testing.assert_close(mean[name], 0.25 * start[name] + 0.75 * end[name])
    assert "0.25 of those weights kept" in load_weights(mixed)[1].trained_on


def test_folder_of_another_run_is_refused_and_more_steps_are_not(data_root, tmp_path):
    train(_config(data_root), tmp_path / "run", say=lambda _: None, quiet=True)
    with pytest.raises(SettingsError, match=r"other settings \(seed differ\)"):
        train(_config(data_root, seed=7), tmp_path / "run", say=lambda _: None, quiet=True)
    lines = []
    train(_config(data_root, steps=8), tmp_path / "run", say=lines.append, quiet=True)
    assert "resuming at step 6 of 8" in lines
    assert json.loads((tmp_path / "run" / "config.json").read_text())["steps"] == 8


def test_fewer_steps_than_were_done_are_refused(data_root, tmp_path):
    train(_config(data_root, validate_on=[]), tmp_path / "run", say=lambda _: None, quiet=True)
    with pytest.raises(SettingsError, match=r"a run of 6 steps and the config asks for 3; give at least 6 steps"):
        train(_config(data_root, validate_on=[], steps=3), tmp_path / "run", say=lambda _: None, quiet=True)


def test_a_loss_that_is_no_number_stops_the_run(data_root, tmp_path):
    config = _config(data_root, validate_on=[], learning_rate=1e30, checkpoint_every=1)
    with pytest.raises(SettingsError, match=r"at step [1-5] of 6.*lower learning_rate \(now 1e\+30\)"):
        train(config, tmp_path / "run", say=lambda _: None, quiet=True)
    assert not (tmp_path / "run" / "tiny.safetensors").exists()
    for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt"):
        state = torch.load(path, weights_only=False)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values()), path


def test_weights_that_are_no_numbers_are_not_kept(data_root):
    config = _config(data_root)
    module = CrackModule(config, make_card(config, []))
    module.on_save_checkpoint({})
    next(module.averaged.parameters()).fill_(math.nan)
    with pytest.raises(SettingsError, match="no numbers any more at step 0"):
        module.on_save_checkpoint({})


def test_a_run_of_an_older_version_goes_on(data_root, tmp_path):
    """Its record has no word on keys that came later, of the run or of a set."""
    train(_config(data_root), tmp_path / "run", say=lambda _: None, quiet=True)
    record = tmp_path / "run" / "config.json"
    old = json.loads(record.read_text())
    del old["freeze"], old["train"][0]["distilled"]
    record.write_text(json.dumps(old))
    lines = []
    train(_config(data_root, steps=8), tmp_path / "run", say=lines.append, quiet=True)
    assert "resuming at step 6 of 8" in lines
    old["train"][0]["distilled"] = False
    record.write_text(json.dumps(old))
    with pytest.raises(SettingsError, match=r"other settings \(train differ\)"):
        train(_config(data_root, steps=8), tmp_path / "run", say=lines.append, quiet=True)


@pytest.mark.parametrize("damage", ["", '{"name": "ti', "[1"])
def test_a_damaged_record_of_a_run_is_an_error_in_words(data_root, tmp_path, damage):
    config, record = _config(data_root, validate_on=[]), tmp_path / "run" / "config.json"
    record.parent.mkdir()
    record.write_text(damage)  # nothing to lose: no checkpoint yet
    train(config, tmp_path / "run", say=lambda _: None, quiet=True)
    whole = record.read_text()
    record.write_text(damage)
    with pytest.raises(SettingsError, match=r"config\.json is damaged.*remove that file"):
        train(config, tmp_path / "run", say=lambda _: None, quiet=True)
    record.unlink()
    train(config, tmp_path / "run", say=lambda _: None, quiet=True)
    assert record.read_text() == whole


def test_a_bad_picture_that_is_only_watched_stops_no_training(data_root, tmp_path):
    (data_root / "watched_set" / "images" / "0.png").write_bytes(b"\x89PNG no more")
    lines = []
    train(_config(data_root, validate_every=3), tmp_path / "run", say=lines.append, quiet=True)
    assert len([line for line in lines if line.startswith("not in validation: ") and "0.png" in line]) == 1
    assert len([line for line in lines if ": validation " in line]) == 2


def _loaded(count, **entry):
    image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.bool_)
    return LoadedSet(SetConfig(**entry), [image] * count, [mask] * count)


def test_the_card_names_every_set_with_its_strictest_terms(data_root, tmp_path):
    sets = [
        _loaded(3, folder="set", terms="research", source="first"),
        _loaded(3, folder="set", terms="MIT", scale=(0.1, 0.3)),
        _loaded(5, folder="set", root=str(tmp_path / "generated"), terms="CC0-1.0"),
    ]
    card = make_card(_config(data_root), sets)
    named = [(s.name, s.images, s.terms, s.source) for s in card.training_sets]
    assert named == [("set", 3, "research", "first"), ("set", 5, "CC0-1.0", "")]
    assert card.strictest_terms == "research"


def test_sets_of_one_name_are_watched_apart(data_root, tmp_path):
    shutil.copytree(data_root / "set", tmp_path / "other" / "set")
    entries = [{"folder": "set", "hold_back": 2}, {"folder": "set", "hold_back": 1, "root": str(tmp_path / "other")}]
    watched = Validation(_config(data_root, train=entries, validate_on=[]))._sets
    assert {name: len(pairs) for name, pairs in watched.items()} == {
        f"{data_root / 'set'} (held back)": 2, f"{tmp_path / 'other' / 'set'} (held back)": 1,
    }  # fmt: skip


def test_a_set_without_a_crack_leaves_the_means_alone(data_root, monkeypatch):
    shutil.copytree(data_root / "set", data_root / "bare")
    config = _config(data_root, validate_on=["watched_set", "bare"])
    said = iter([0.5, math.nan, math.nan, math.nan])
    evaluated = SimpleNamespace(figures=lambda: dict.fromkeys(("F1", "F1@2px"), next(said)))
    monkeypatch.setattr(validate_module, "evaluate", lambda *_, **__: evaluated)
    lines = []
    validation = Validation(config, lines.append)
    trainer = SimpleNamespace(global_step=6, max_steps=6, is_global_zero=True, logger=None)
    module = CrackModule(config, make_card(config, []))
    validation.on_train_batch_end(trainer, module)
    assert "mean F1 0.500, mean F1@2px 0.500" in lines[0]
    validation.on_train_batch_end(trainer, module)
    assert "mean F1 nan" in lines[1]


def test_a_sample_depends_on_seed_and_index_alone(data_root):
    rng = np.random.default_rng(1)
    loaded = LoadedSet(
        _config(data_root).train[0],
        [rng.integers(0, 256, (90, 110, 3), dtype=np.uint8)],
        [rng.random((90, 110)) > 0.95],
    )
    config = _config(data_root)
    forwards, backwards = CropDataset([loaded], config), CropDataset([loaded], config)
    a, b = [forwards[i] for i in range(6)], [backwards[i] for i in reversed(range(6))][::-1]
    assert all(torch.equal(x[k], y[k]) for x, y in zip(a, b, strict=True) for k in x)
    assert not torch.equal(a[0]["image"], a[1]["image"])
    assert all(x["image"].shape == (3, 64, 64) and x["truth"].shape == x["tube"].shape == (1, 64, 64) for x in a)
    assert all((x["tube"] <= x["truth"]).all() for x in a)


@pytest.mark.parametrize("shape_hw", [(40, 200), (64, 64), (300, 90)], ids=str)
def test_crop_and_truth_move_together(shape_hw):
    """On a picture that is its own mask, the two must agree after any cut."""
    rng = np.random.default_rng(2)
    mask = np.zeros(shape_hw, bool)
    mask[shape_hw[0] // 2 - 4 : shape_hw[0] // 2 + 4] = True
    image = np.repeat((mask * 255).astype(np.uint8)[..., None], 3, axis=2)
    for _ in range(25):
        crop, truth = cut_crop(rng, image, mask, 64, CropGeometry(scale=(0.6, 1.6), rotate=0.5))
        assert crop.shape == (64, 64, 3)
        assert truth.shape == (64, 64)
        assert ((crop[..., 0] >= 128) != truth).mean() < 0.06


def test_one_pixel_line_survives_shrinking():
    rng = np.random.default_rng(3)
    mask = np.zeros((128, 128), bool)
    mask[64] = True
    image = np.full((128, 128, 3), 200, np.uint8)
    _, truth = cut_crop(rng, image, mask, 64, CropGeometry(scale=(0.5, 0.5), rotate=0.0, on_crack=1.0))
    assert truth.any(axis=0).all() or truth.any(axis=1).all()


def test_a_thin_slanting_line_stays_in_one_piece_when_it_shrinks_eightfold():
    rng = np.random.default_rng(3)
    mask = np.zeros((1024, 1024), np.uint8)
    cv2.polylines(mask, [np.array([[50, 30], [300, 420], [310, 800], [900, 1000]])], False, 1, 2)
    image = np.full((1024, 1024, 3), 200, np.uint8)
    for scale in (0.12, 0.2, 0.4):
        geometry = CropGeometry(scale=(scale, scale), rotate=0.0, on_crack=1.0)
        _, truth = cut_crop(rng, image, mask > 0, 100, geometry)
        assert truth.sum() >= 60
        # Of the line and of its reflections at the border.
        assert truth.mean() < 0.1
        pieces, _, stats, _ = cv2.connectedComponentsWithStats(truth.astype(np.uint8), connectivity=8)
        assert stats[1:, cv2.CC_STAT_AREA].max() > 50, (scale, pieces)


def test_photograph_keeps_shape_and_changes_light():
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    outputs = [photograph(rng, image) for _ in range(30)]
    assert all(o.shape == image.shape and o.dtype == np.uint8 for o in outputs)
    assert len({o.tobytes() for o in outputs}) > 20


@pytest.mark.parametrize("seed", range(12))
def test_motion_blur_does_not_move_the_picture(seed):
    kernel = _motion_kernel(np.random.default_rng(seed))
    rows, columns = np.indices(kernel.shape)
    centre = (kernel.shape[0] - 1) / 2
    assert float((kernel * rows).sum()) == pytest.approx(centre, abs=0.02)
    assert float((kernel * columns).sum()) == pytest.approx(centre, abs=0.02)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [(kind, "png") for kind in ("RGB", "L", "LA", "RGBA", "P", "1")] + [(kind, "jpg") for kind in ("RGB", "L", "CMYK")],
)
def test_training_sees_pictures_of_8_bits_as_they_are_displayed(tmp_path, kind, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    picture = Image.fromarray(pixels) if kind in ("RGBA", "LA") else Image.fromarray(pixels[..., :3])
    extra = {"transparency": 3} if kind == "P" else {}
    picture.convert(kind).save(tmp_path / f"a.{suffix}", exif=exif, **extra)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert expected.shape == (30, 20, 3)
    np.testing.assert_array_equal(read_rgb(tmp_path / f"a.{suffix}"), expected)


def test_training_sees_deep_pictures_as_segmentation_does(tmp_path):
    values = np.random.default_rng(0).normal(30000, 4000, (64, 64)).astype(np.uint16)
    values[30:33] = 9000
    Image.fromarray(values).save(tmp_path / "deep.png")
    seen = read_rgb(tmp_path / "deep.png")
    np.testing.assert_array_equal(seen, read_image(tmp_path / "deep.png").rgb)
    assert len(np.unique(seen)) > 100


def test_losses_on_exact_cases():
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., 1, :] = 1.0
    assert dice_loss(truth, truth) == 0.0
    assert dice_loss(1 - truth, truth) == pytest.approx(1 - 1 / 17)
    half = truth.clone()
    half[..., 1, :2] = 0
    assert skeleton_recall_loss(half, truth) == pytest.approx(1 - 3 / 5)
    logits = (truth * 2 - 1) * 20
    terms = crack_loss([logits, logits], truth, truth, LossWeights(1.0, 1.0, 0.5))
    assert float(terms["total"]) < 1e-3


def test_quiet_loss_hears_false_alarms_on_crack_free_images_only():
    truth = torch.zeros(2, 1, 32, 32)
    truth[0, :, 5] = 1.0
    silent, alarmed = torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    alarmed[1, :, 10:12] = 1.0  # 64 of the 128 highest pixels
    on_crack_image = torch.zeros(2, 1, 32, 32)
    on_crack_image[0] = 1.0
    assert quiet_loss(silent, truth) == 0.0
    assert quiet_loss(alarmed, truth) == pytest.approx(0.5)
    assert quiet_loss(on_crack_image, truth) == 0.0
    assert quiet_loss(alarmed, torch.ones_like(truth)) == 0.0
    logits = torch.full((2, 1, 32, 32), -20.0)
    with_term = crack_loss([logits], truth, truth, LossWeights(quiet=1.0))
    assert "quiet" in with_term
    assert "quiet" not in crack_loss([logits], truth, truth, LossWeights())


def test_rate_rises_stays_and_falls(data_root):
    config = _config(data_root, steps=100, warmup_steps=10, decay_share=0.4)
    assert [rate_factor(s, config) for s in (0, 9, 10, 60, 80, 100)] == pytest.approx([0.1, 1, 1, 1, 0.5, 0])


def test_config_errors_name_the_key(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: x\ndata_root: .\ntrain: [{folder: set}]\nlerning_rate: 1\n")
    with pytest.raises(SettingsError, match="lerning_rate"):
        read_config(path)
    path.write_text("name: x\ndata_root: ${NO_SUCH_VARIABLE}/x\ntrain: [{folder: set}]\n")
    with pytest.raises(SettingsError, match="NO_SUCH_VARIABLE, which is not set"):
        read_config(path)
    path.write_text("just text")
    with pytest.raises(SettingsError, match="must hold keys and values"):
        read_config(path)
    with pytest.raises(SettingsError, match="cannot read the config"):
        read_config(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "My model"}, r"name: a name has small letters, digits.*\(got 'My model'\)"),
        ({"seed": -1}, "seed: .*greater than or equal to 0"),
        ({"train": [{"folder": "set", "scale": [0, 1]}]}, r"train\.0\.scale: .* smallest magnification above 0"),
        ({"train": [{"folder": "set", "scale": [1.6, 0.6]}]}, "a largest that is no smaller"),
        ({"tile": 128, "overlap": 80}, "overlap is 80, more than half of the tile of 128"),
        ({"keep_init": 0.5}, "keep_init is a share of the weights of init, and there is none"),
        ({"freeze": ["body"]}, "freeze would keep random weights: give init or encoder"),
        (
            {"train": [{"folder": "set", "hold_back": 2}, {"folder": "set"}]},
            "train lists set with different hold_back or exclude",
        ),
        (
            {"train": [{"folder": "set", "exclude": ["1"]}, {"folder": "a/../set", "root": "data"}]},
            "with different hold_back or exclude",
        ),
        ({"validate_on": ["set/"]}, "validate_on names set/, which is trained on"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_named(tmp_path, changes, message):
    path = tmp_path / "c.yaml"
    config = {"name": "x", "data_root": str(tmp_path / "data"), "train": [{"folder": "set"}]}
    path.write_text(json.dumps(config | changes))
    with pytest.raises(SettingsError, match=message):
        read_config(path)


def test_a_strategy_that_lightning_does_not_know_is_an_error_in_words(data_root, tmp_path):
    with pytest.raises(SettingsError, match=r"cannot start with accelerator: cpu, .*strategy: dddp \(.*dddp"):
        train(_config(data_root, strategy="dddp"), tmp_path / "run", say=lambda _: None, quiet=True)


def test_options_belong_to_their_network():
    sets = [{"folder": "set"}]
    ours = {"variant": "unshuffled", "width": 32}  # as records of unfinished runs have it
    assert TrainConfig(name="x", train=sets).architecture_options == ours
    assert TrainConfig(name="x", train=sets, architecture="unet").architecture_options == {}


def test_no_variable_needs_a_value_where_nothing_lies_under_data_root(tmp_path, monkeypatch):
    monkeypatch.delenv("FISSURA_DATA", raising=False)
    path = tmp_path / "c.yaml"
    path.write_text("name: x\ntrain: [{folder: set, root: d}]\n")
    config = read_config(path)
    assert config.train[0].path(config.data_root) == tmp_path / "d" / "set"
    path.write_text("name: x\ntrain: [{folder: set, root: d}]\nvalidate_on: [set]\n")
    with pytest.raises(SettingsError, match="FISSURA_DATA, which is not set"):
        read_config(path)


def test_broken_training_data_is_named(data_root, tmp_path):
    (data_root / "set" / "images" / "3.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"3\.png"):
        train(_config(data_root), tmp_path / "run", say=lambda _: None, quiet=True)


def test_strictest_terms():
    assert strictest_terms(["MIT", "research use", "CC0-1.0"]) == "research use"
    assert strictest_terms(["MIT", "something else"]) == "something else"
    assert strictest_terms(["research", "non-commercial research only"]) == "non-commercial research only"


def test_validation_pairs_are_evenly_spread(tmp_path):
    pairs = [Pair(str(i), tmp_path, tmp_path) for i in range(100)]
    assert [p.stem for p in spread(pairs, 3)] == ["0", "50", "99"]
    assert spread(pairs[:2], 3) == pairs[:2]


def test_a_set_may_lie_elsewhere(data_root, tmp_path):
    elsewhere = tmp_path / "generated"
    data_root.joinpath("set").rename(tmp_path / "moved")
    elsewhere.mkdir()
    (tmp_path / "moved").rename(elsewhere / "roads")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: mine\ndata_root: data\ntrain:\n  - {folder: roads, root: generated, hold_back: 2}\n")
    entry = read_config(recipe).train[0]
    assert entry.path(data_root) == elsewhere / "roads"
    config = _config(data_root, train=[entry.model_dump()], validate_on=[], steps=1, warmup_steps=0, validate_every=1)
    lines = []
    card = load_weights(train(config, tmp_path / "run", say=lines.append, quiet=True))[1]
    assert [(s.name, s.images) for s in card.training_sets] == [("roads", 4)]
    assert any("roads (held back) F1" in line for line in lines)


def test_a_frozen_body_stays_as_it_came(data_root, tmp_path):
    body = {"variant": "unshuffled", "width": 4}
    first = train(_config(data_root), tmp_path / "a", say=lambda _: None, quiet=True)
    config = _config(
        data_root, architecture="hacnet_v2_pyramid", architecture_options={"body": body, "hidden": 4}, init=str(first),
        freeze=["body"], steps=3,
    )  # fmt: skip
    second = train(config, tmp_path / "b", say=lambda _: None, quiet=True)
    plain, pyramid = (load_weights(path)[0].state_dict() for path in (first, second))
    for name, value in plain.items():
        torch.testing.assert_close(pyramid[f"body.{name}"], value, msg=name)
    assert not torch.equal(pyramid["shares"], torch.tensor([0.25, 0.4, 0.35]))


def test_freezing_what_is_not_there_is_an_error(data_root, tmp_path):
    with pytest.raises(SettingsError, match="freeze names 'tail'"):
        train(_config(data_root, freeze=["tail"], init="fast"), tmp_path / "a", say=lambda _: None, quiet=True)


@pytest.mark.parametrize("turned", [0.0, 1.0])
def test_crops_are_turned_by_any_angle_or_by_quarters(data_root, turned):
    mask = np.zeros((200, 200), np.bool_)
    mask[:, 95:105] = True
    config = _config(data_root, synthetic=0.0, steps=20, turned=turned)
    crops = CropDataset([LoadedSet(config.train[0], [np.full((200, 200, 3), 170, np.uint8)], [mask])], config)
    seen = [truth for truth in (crops[k]["truth"][0].numpy() for k in range(40)) if truth.any()]
    upright = sum(bool((truth == truth[:1]).all() or (truth == truth[:, :1]).all()) for truth in seen)
    assert len(seen) > 20
    assert upright == len(seen) if turned == 0.0 else upright < len(seen) / 5  # any angle may be near a quarter


def test_distractors_are_drawn_on_a_share_of_the_photographs(data_root):
    """There a teacher is not heard."""
    config = _config(data_root, synthetic=0.2, steps=60)
    sets = [LoadedSet(config.train[0], [np.full((90, 90, 3), 170, np.uint8)], [np.zeros((90, 90), np.bool_)])]
    with_some = CropDataset(sets, config.model_copy(update={"distractors": 0.5}))
    drawn = [with_some[k] for k in range(len(with_some))]
    share = np.mean([float(sample["taught"]) == 0.0 for sample in drawn])
    assert 0.25 < share < 0.55  # half of the four fifths that are photographs
    smooth = [float(sample["image"].float().std(dim=(1, 2)).mean()) for sample in drawn if not sample["taught"].any()]
    plain = [CropDataset(sets, config)[k] for k in range(len(with_some))]
    assert all(bool(sample["taught"].all()) for sample in plain)
    bare = [float(s["image"].float().std(dim=(1, 2)).mean()) for s in plain if not s["truth"].any()]
    assert np.median(smooth) > 2 * np.median(bare)


def test_a_recipe_says_what_is_drawn_on_photographs(data_root):
    config = _config(data_root, synthetic=0.0, distractors=1.0, distractor_kinds=["studs"], steps=10)
    sets = [LoadedSet(config.train[0], [np.full((90, 90, 3), 170, np.uint8)], [np.zeros((90, 90), np.bool_)])]
    studs = CropDataset(sets, config)
    other = CropDataset(sets, config.model_copy(update={"distractor_kinds": ("joint",)}))
    assert any(not torch.equal(studs[k]["image"], other[k]["image"]) for k in range(len(studs)))
    with pytest.raises(ValueError, match="there is no stud; name some of joint, panel_gap"):
        _config(data_root, distractor_kinds=["stud"])
    with pytest.raises(ValueError, match="none is named; name some of"):
        _config(data_root, distractor_kinds=[])


def test_a_student_learns_from_its_teacher(data_root, tmp_path):
    """Without any weight on the masks, the student comes closer to the teacher."""
    teacher = train(_config(data_root, steps=30, learning_rate=0.01), tmp_path / "a", say=lambda _: None, quiet=True)
    none = {"bce": 0.0, "dice": 0.0, "skeleton": 0.0}
    settings = {"loss": none, "learning_rate": 0.01, "ema": 0.5, "validate_on": [], "warmup_steps": 0, "seed": 3}
    distances = []
    for steps in (1, 40):
        config = _config(data_root, distill={"model": str(teacher)}, steps=steps, **settings)
        path = train(config, tmp_path / f"student{steps}", say=lambda _: None, quiet=True)
        student, card = load_weights(path)
        assert "learnt from tiny" in card.trained_on
        torch.manual_seed(1)
        image = torch.rand(4, 3, 64, 64)
        with torch.inference_mode():
            said = [torch.sigmoid(net(image)[-1]) for net in (student, load_weights(teacher)[0])]
        distances.append(float((said[0] - said[1]).abs().mean()))
    assert distances[1] < 0.5 * distances[0]


def test_a_teacher_in_an_engine_says_what_it_says_in_torch():
    """Within what int8 changes; the engine takes int8 where that is faster."""
    shipped = find_model("nano")
    drawn = [render_training_crop(np.random.default_rng(k), 256, crack_probability=1.0) for k in (1, 2)]
    images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2) / 255
    plain = Teacher(shipped.safetensors).probability(images)
    quick = EngineTeacher(shipped.onnx, "openvino", tile=256).probability(images)
    assert quick.shape == plain.shape == (2, 1, 256, 256)
    assert quick.dtype == plain.dtype == torch.float32
    assert plain.max() > 0.5  # it does see something
    assert float((plain - quick).abs().mean()) < 0.01


def test_a_teacher_that_looks_at_several_sizes_says_their_mean():
    shipped = find_model("nano").safetensors
    image, truth = render_training_crop(np.random.default_rng(1), 256, crack_probability=1.0)
    images = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    said = {m: Teacher(shipped, magnifications=m).probability(images) for m in ((1.0,), (0.75,), (0.75, 1.0))}
    assert said[0.75, 1.0].shape == (1, 1, 256, 256)
    torch.testing.assert_close(said[0.75, 1.0], (said[1.0,] + said[0.75,]) / 2)
    assert float((said[1.0,] - said[0.75,]).abs().mean()) > 0.001
    found = said[0.75,][0, 0].numpy() > 0.5  # in its place, not shifted: what it finds lies on the crack
    near = cv2.dilate(truth.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert found.sum() > 50
    assert (found & near).sum() > 0.9 * found.sum()


def test_of_several_teachers_the_mean_of_the_logits_counts():
    shipped = find_model("nano").safetensors
    teachers = [Teacher(shipped), Teacher(shipped, magnifications=(0.5,))]
    images = torch.from_numpy(render_training_crop(np.random.default_rng(1), 256, crack_probability=1.0)[0])
    images = images.permute(2, 0, 1)[None] / 255
    first, second = (teacher.probability(images).double() for teacher in teachers)
    said = TeacherGroup(teachers).probability(images)
    assert said.shape == (1, 1, 256, 256)
    assert said.dtype == torch.float32
    assert float((first - second).abs().max()) > 0.1
    odds = torch.sqrt(first / (1 - first) * second / (1 - second))  # the mean of logits is that of odds, geometric
    torch.testing.assert_close(said.double(), odds / (1 + odds), atol=1e-3, rtol=0)
    alone = TeacherGroup(teachers[:1]).probability(images)
    torch.testing.assert_close(alone, teachers[0].probability(images), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": []}, "no teacher is named"),
        ({"magnifications": [0.5, 1.0], "engine": "openvino"}, "magnifications need 'engine: torch'"),
        ({"magnifications": [0.0]}, "between 0.25 and 4"),
        ({"magnifications": [float("nan")]}, "between 0.25 and 4"),
        ({"magnifications": []}, "at least 1"),
    ],
)
def test_magnifications_that_make_no_sense_are_errors(data_root, changes, message):
    with pytest.raises(ValueError, match=message):
        _config(data_root, distill={"model": "nano"} | changes)


@pytest.mark.parametrize(
    ("model", "message"),
    [("nano", "takes tiles of 256 and the crops are of 64"), ("away.safetensors", "needs the teacher's graph")],
)
def test_a_teacher_that_an_engine_cannot_run_is_an_error(data_root, tmp_path, model, message):
    config = _config(data_root, distill={"model": model, "engine": "openvino"})
    with pytest.raises(SettingsError, match=message):
        train(config, tmp_path / "a", say=lambda _: None, quiet=True)


def test_a_teacher_is_not_heard_where_the_masks_know_better(data_root, tmp_path):
    """Without any weight on the masks, a set that is not distilled leaves the network as it was."""
    first = train(_config(data_root), tmp_path / "a", say=lambda _: None, quiet=True)
    teacher = train(_config(data_root, seed=9), tmp_path / "b", say=lambda _: None, quiet=True)
    none = {"bce": 0.0, "dice": 0.0, "skeleton": 0.0}
    alone = {"loss": none, "weight_decay": 0.0, "synthetic": 0.0}
    settings = alone | {"init": str(first), "distill": {"model": str(teacher)}}
    moved = {}
    for distilled in (True, False):
        sets = [{"folder": "set", "terms": "MIT", "distilled": distilled}]
        config = _config(data_root, train=sets, **settings)
        path = train(config, tmp_path / str(distilled), say=lambda _: None, quiet=True)
        pairs = zip(load_weights(path)[0].parameters(), load_weights(first)[0].parameters(), strict=True)
        moved[distilled] = max(float((a - b).detach().abs().max()) for a, b in pairs)
    assert moved[False] == 0.0
    assert moved[True] > 1e-4


def test_sets_of_the_first_weights_are_named_and_of_a_teacher_its_terms(data_root, tmp_path):
    shutil.copytree(data_root / "set", data_root / "own")
    strict = [{"folder": "set", "terms": "research", "source": "them"}]
    first = train(_config(data_root, train=strict), tmp_path / "a", say=lambda _: None, quiet=True)
    cards = {}
    for name, changes in {"init": {"init": str(first)}, "taught": {"distill": {"model": str(first)}}}.items():
        own = [{"folder": "own", "terms": "MIT"}]
        config = _config(data_root, train=own, steps=1, warmup_steps=0, validate_on=[], **changes)
        cards[name] = load_weights(train(config, tmp_path / name, say=lambda _: None, quiet=True))[1]
    named = {name: [(s.name, s.terms) for s in card.training_sets] for name, card in cards.items()}
    assert named == {"init": [("own", "MIT"), ("set", "research")], "taught": [("own", "MIT")]}
    assert "learnt from tiny (research)" in cards["taught"].trained_on


def test_terms_of_a_teacher_and_of_the_first_weights_stay(data_root, tmp_path):
    strict = [{"folder": "set", "terms": "non-commercial research"}]
    first = train(_config(data_root, train=strict), tmp_path / "a", say=lambda _: None, quiet=True)
    free = train(_config(data_root), tmp_path / "b", say=lambda _: None, quiet=True)
    ways = {
        "init": {"init": str(first)},
        "one": {"distill": {"model": str(first)}},
        "several": {"distill": {"model": [str(free), str(first)]}},
    }
    for name, changes in ways.items():
        config = _config(data_root, steps=1, warmup_steps=0, validate_on=[], **changes)
        card = load_weights(train(config, tmp_path / name, say=lambda _: None, quiet=True))[1]
        assert [s.terms for s in card.training_sets] == ["MIT"]
        assert card.strictest_terms == "non-commercial research"
