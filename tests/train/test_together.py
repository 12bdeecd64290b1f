"""Two processes on one machine end with the weights of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError
from tests.compare.conftest import write_set
from torch import nn

from fissura.nets import build, load_weights
from fissura.train.config import TrainConfig, read_config
from fissura.train.loop import train
from fissura.train.together import SharedBatchNorm, ShareSampler, share_statistics


def write_config(folder: Path, **changes: object) -> Path:
    """Muon and not AdamW, whose first steps make as much of a gradient that is rounding alone as of any other."""
    keys: dict[str, object] = {
        "name": "tiny", "data_root": str(folder / "data"), "train": [{"folder": "lines"}], "architecture": "unet",
        "architecture_options": {"width": 2}, "tile": 32, "overlap": 8, "batch": 4, "steps": 3, "warmup_steps": 0,
        "optimizer": "muon", "learning_rate": 0.01, "workers": 0, "accelerator": "cpu", "precision": "fp32", "ema": 0.5,
        "loss": {"quiet": 0.3}, "checkpoint_every": 2,
    }  # fmt: skip
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(keys | changes), encoding="utf-8")
    return path


def test_two_processes_end_with_the_weights_of_one(tmp_path: Path):
    write_set(tmp_path / "data" / "lines")
    one = train(read_config(write_config(tmp_path)), tmp_path / "one", say=lambda _: None, quiet=True)
    both = write_config(tmp_path, devices=2, strategy="ddp")
    done = subprocess.run(
        [sys.executable, "-m", "fissura", "train", str(both), "--out", str(tmp_path / "two"), "--quiet"],
        capture_output=True, text=True, timeout=500, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained 3 steps") == 1  # the second process keeps still
    first, second = (load_weights(path)[0].state_dict() for path in (one, tmp_path / "two" / "tiny.safetensors"))
    torch.manual_seed(0)
    fresh = build("unet", {"width": 2}).state_dict()
    for name in (name for name, value in first.items() if value.is_floating_point()):
        differs, moved = (first[name] - second[name]).norm(), (first[name] - fresh[name]).norm()
        assert moved > 0, name
        assert differs < 1e-3 * moved, f"{name}: differs by {differs:g}, moved by {moved:g}"


def test_shares_make_up_every_batch_and_resume_anywhere():
    whole = list(ShareSampler(5, 6))
    assert whole == list(range(30))
    parts = [list(ShareSampler(5, 6, start=2, rank=rank, count=3)) for rank in range(3)]
    steps = [[i for part in parts for i in part[2 * step : 2 * step + 2]] for step in range(3)]
    assert [i for step in steps for i in step] == whole[12:]


def test_shared_statistics_are_plain_ones_in_one_process():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    shared = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    shared.load_state_dict(plain.state_dict())
    share_statistics(shared)
    assert isinstance(shared[1], SharedBatchNorm)
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(shared(x), plain(x))
    assert shared.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"devices": 3, "batch": 4}, "cannot be shared by 3 processes"),
        ({"devices": 2, "strategy": "ddp_spawn"}, "give 'ddp'"),
        ({"devices": 2, "strategy": "fsdp"}, "give 'ddp'"),
        ({"devices": 2, "enhancer": {"name": "eem"}, "adversarial": {}}, "one process"),
    ],
)
def test_what_several_processes_cannot_do(changes: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate({"name": "a", "train": [{"folder": "b"}], "batch": 4} | changes)
