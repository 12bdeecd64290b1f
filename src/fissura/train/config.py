"""What a training run is, read from YAML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fissura.errors import SettingsError


class SetConfig(BaseModel):
    """One training set: where, how often, at which magnifications."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    """Relative to `TrainConfig.data_root`."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the crops, relative to the other sets."""
    scale: tuple[float, float] = (0.6, 1.6)
    dilate: int = Field(default=0, ge=0, le=5)
    """Radius in pixels by which lines narrower than the crack are thickened (line labels of 1 px)."""
    hold_back: int = Field(default=0, ge=0)
    """Images, evenly spread over the folder, that are kept from training and watched as validation instead: for
    sets without a validation folder of their own."""
    terms: str = "unstated"
    source: str = ""


class LossConfig(BaseModel):
    """Weights of the loss terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bce: float = 1.0
    dice: float = 1.0
    skeleton: float = 0.5
    quiet: float = 0.0
    """Of the false alarms on crack-free crops; see `fissura.train.losses.quiet_loss`."""


class TrainConfig(BaseModel):
    """A training run. Unknown keys are errors, so that a typo is not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str = "0.1.0"
    description: str = ""
    architecture: str = "hacnet_v2"
    architecture_options: dict[str, Any] = Field(default_factory=lambda: {"variant": "unshuffled", "width": 32})
    init: str | None = None
    """None for fresh weights; the name of a shipped model or a .safetensors file to fine-tune."""

    keep_init: float = Field(default=0.0, ge=0, lt=1)
    """Share of the initial weights in the result, which is then a mean of both (a model soup): what fine-tuning
    won on the new stays, what it lost on the old comes back."""

    data_root: str = "${FISSURA_DATA}/crack"
    """May name environment variables; relative paths start at the config file's folder."""
    train: tuple[SetConfig, ...] = Field(min_length=1)
    validate_on: tuple[str, ...] = ()
    """Folders relative to `data_root`. Used to watch, never trained on."""
    validation_limit: int = Field(default=40, ge=1)
    """At most so many images of each validation set (evenly spread), so that watching stays cheap."""
    synthetic: float = Field(default=0.0, ge=0, lt=1)
    """Share of crops that are generated instead of cut from photographs."""

    tile: int = Field(default=256, ge=32, multiple_of=32)
    overlap: int = Field(default=64, ge=0)
    batch: int = Field(default=8, ge=1)
    steps: int = Field(default=6000, ge=1)
    optimizer: Literal["adamw", "muon"] = "adamw"
    """``muon`` (`fissura.train.muon`) takes about three times AdamW's rate."""
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    decay_share: float = Field(default=0.3, gt=0, le=1)
    """The last share of the steps over which the rate falls to zero; before it, it is constant."""
    ema: float = Field(default=0.999, ge=0, lt=1)
    loss: LossConfig = LossConfig()
    precision: Literal["bf16", "fp32"] = "bf16"
    compile: bool = False
    accelerator: Literal["cpu", "gpu", "auto"] = "auto"
    workers: int = Field(default=1, ge=0)
    checkpoint_every: int = Field(default=250, ge=1)
    validate_every: int = Field(default=1000, ge=1)
    seed: int = 0
    limits: tuple[str, ...] = ()


def read_config(path: Path) -> TrainConfig:
    """Read and check a config.

    Raises:
        SettingsError: The file is missing, no YAML, or a key is unknown or out of range (named).
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no YAML: {error}") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{path} must hold keys and values, for example 'name: mine'; see runs/ for examples")
    try:
        config = TrainConfig.model_validate(raw)
    except ValidationError as error:
        lines = [f"  {'.'.join(str(p) for p in e['loc'])}: {e['msg']} (got {e['input']!r:.60})" for e in error.errors()]
        raise SettingsError(f"{path}:\n" + "\n".join(lines)) from error
    return config.model_copy(update={"data_root": str(_resolve(config.data_root, path))})


def _resolve(text: str, config_path: Path) -> Path:
    expanded = os.path.expandvars(os.path.expanduser(text))
    if "$" in expanded:
        name = expanded.split("$", 1)[1].split("/", 1)[0].strip("{}")
        raise SettingsError(
            f"data_root names the environment variable {name}, which is not set; "
            f"for example: export {name}=/path/to/data"
        )
    return (config_path.parent / expanded).resolve()
