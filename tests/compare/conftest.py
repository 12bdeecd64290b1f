"""A grid on drawn lines, of networks so small that a cell takes a second or two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image


def write_set(folder: Path, *, images: int = 3, seed: int = 0) -> None:
    """Dark lines three pixels wide on noisy grey, 50×60."""
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(images):
        truth = np.zeros((50, 60), bool)
        column = int(rng.integers(8, 50))
        truth[5:45, column : column + 3] = True
        grey = np.where(truth, 60, 170) + rng.normal(0, 8, truth.shape)
        rgb = np.repeat(grey[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)
        Image.fromarray(rgb).save(folder / "images" / f"p{index}.png")
        Image.fromarray((truth * 255).astype(np.uint8)).save(folder / "masks" / f"p{index}.png")


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    write_set(root / "lines" / "train", seed=1)
    write_set(root / "lines" / "test", images=4, seed=2)
    write_set(root / "other" / "test", seed=3)
    return root


def grid_keys(data_root: Path, **changes: object) -> dict[str, object]:
    """Keys of a grid: two networks, two enhancers, one seed, two tests."""
    recipe = {
        "data_root": str(data_root), "train": [{"folder": "lines/train"}], "tile": 32, "overlap": 8, "batch": 2,
        "steps": 2, "warmup_steps": 0, "workers": 0, "precision": "fp32", "accelerator": "cpu", "checkpoint_every": 1,
        "validate_every": 100,
    }  # fmt: skip
    keys: dict[str, object] = {
        "recipe": recipe,
        "networks": {
            "hac": {"architecture": "hacnet_v2", "architecture_options": {"variant": "unshuffled", "width": 4}},
            "unet": {"architecture": "unet", "architecture_options": {"width": 1}},
        },
        "enhancers": {"none": {}, "darkening": {"enhancer": {"name": "darkening"}}},
        "tests": ["lines/test", "other/test"],
        "evaluation": {"boundary_every": 49},
        "speed": {"rounds": 0},
        "resamples": 50,
    }
    return keys | changes


def write_grid(path: Path, keys: dict[str, object]) -> Path:
    path.write_text(yaml.safe_dump(keys, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def grid_file(data_root: Path, tmp_path: Path) -> Path:
    return write_grid(tmp_path / "grid.yaml", grid_keys(data_root))
