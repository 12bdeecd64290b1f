"""What is on disk survives a full disk and a damaged file."""

import resource
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from fissura.errors import ModelError, OutputError
from fissura.nets import build, load_weights, parameter_count, save_weights
from fissura.spec import ModelCard
from fissura.train.checkpoints import SafeCheckpointIO, find_checkpoint
from fissura.train.config import TrainConfig
from fissura.train.loop import train


@pytest.fixture
def config(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / "set" / folder).mkdir(parents=True)
    truth = np.zeros((70, 70), np.uint8)
    truth[:, 30:33] = 255
    Image.fromarray(truth).save(tmp_path / "data" / "set" / "masks" / "a.png")
    grey = np.where(truth > 0, 60, 170) + rng.normal(0, 8, truth.shape)
    Image.fromarray(np.repeat(grey[..., None], 3, 2).astype(np.uint8)).save(tmp_path / "data/set/images/a.png")
    return TrainConfig.model_validate({
        "name": "tiny", "data_root": str(tmp_path / "data"), "train": [{"folder": "set"}], "tile": 64, "overlap": 16,
        "architecture_options": {"variant": "unshuffled", "width": 4}, "batch": 1, "steps": 4, "warmup_steps": 0,
        "checkpoint_every": 2, "workers": 0, "accelerator": "cpu", "precision": "fp32",
    })  # fmt: skip


def _train(config, out, lines=None):
    return train(config, out, say=(lines if lines is not None else []).append, quiet=True)


def _cut_short(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)


def test_the_checkpoint_before_the_last_one_is_kept(config, tmp_path):
    _train(config, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(p.name for p in folder.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert find_checkpoint(folder) == (folder / "last.ckpt", 4)
    (folder / "last.ckpt").unlink()  # a plug pulled between the two renamings
    assert find_checkpoint(folder) == (folder / "previous.ckpt", 2)


def test_truncated_checkpoint_gives_way_to_the_one_before_it(config, tmp_path):
    whole = _train(config, tmp_path / "whole")
    _train(config, tmp_path / "cut")
    folder = tmp_path / "cut" / "checkpoints"
    _cut_short(folder / "last.ckpt")
    lines = []
    again = _train(config, tmp_path / "cut", lines)
    assert any("last.ckpt is damaged" in line and "previous.ckpt" in line and "step 2" in line for line in lines)
    a, b = (load_weights(path)[0].state_dict() for path in (whole, again))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert torch.load(folder / "previous.ckpt", weights_only=True)["global_step"] == 2, "not the damaged one"
    assert find_checkpoint(folder) == (folder / "last.ckpt", 4)


def test_only_damaged_checkpoints_are_an_error_that_changes_nothing(config, tmp_path):
    _train(config, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    (folder / "previous.ckpt").unlink()
    _cut_short(folder / "last.ckpt")
    before = (folder / "last.ckpt").read_bytes()
    with pytest.raises(ModelError, match=r"last\.ckpt is damaged .* put back a copy of it, or move the folder"):
        _train(config, tmp_path / "run")
    assert (folder / "last.ckpt").read_bytes() == before
    (folder / "last.ckpt").write_bytes(b"")
    with pytest.raises(ModelError, match="is damaged"):
        find_checkpoint(folder)


def test_a_byte_changed_in_the_middle_is_noticed(tmp_path):
    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint({"global_step": 3, "w": torch.arange(4000.0)}, path)
    assert find_checkpoint(tmp_path) == (path, 3)
    with zipfile.ZipFile(path) as archive:
        info = max(archive.infolist(), key=lambda i: i.file_size)
    with path.open("r+b") as file:
        file.seek(info.header_offset + 5000)
        file.write(b"\xff\xee")
    with pytest.raises(ModelError, match=r"wrong checksum|Bad CRC"):
        find_checkpoint(tmp_path)


@pytest.fixture
def small_disk():
    """No file may grow beyond 60 kB: the system's own error, as a full disk gives it while a file is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_a_checkpoint_leaves_the_one_before_it(config, tmp_path, small_disk):
    _train(config.model_copy(update={"steps": 2, "decay_share": 0.1}), tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    before = (folder / "last.ckpt").read_bytes()
    assert len(before) > 60_000
    small_disk()
    with pytest.raises(OutputError, match=r"cannot write the checkpoint .*last\.ckpt .* make room and run the same"):
        _train(config.model_copy(update={"decay_share": 0.1}), tmp_path / "run")
    assert (folder / "last.ckpt").read_bytes() == before
    assert [p.name for p in folder.iterdir()] == ["last.ckpt"], "nothing half written"


def test_no_room_for_weights_leaves_those_before_them(tmp_path, small_disk):
    net = build("hacnet_v2", {"width": 8})
    card = ModelCard(name="n", version="1", description="d", architecture="hacnet_v2",
                     architecture_options={"width": 8}, parameters=parameter_count(net))  # fmt: skip
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"what was there")
    small_disk()
    with pytest.raises(OutputError, match=r"cannot write .*w\.safetensors"):
        save_weights(path, net, card)
    assert path.read_bytes() == b"what was there"
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
