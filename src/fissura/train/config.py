"""What a training run is, read from YAML."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fissura.errors import SettingsError
from fissura.spec import NAME_PATTERN
from fissura.synth.distractors import FIRST_ON_PHOTOGRAPHS, ON_PHOTOGRAPHS


class SetConfig(BaseModel):
    """One training set: where, how often, at which magnifications."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    """Relative to `TrainConfig.data_root`, or to `root` where that is given."""
    root: str | None = None
    """Another place than `TrainConfig.data_root`, written like it: for generated sets."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the crops, relative to the other sets."""
    scale: tuple[float, float] = (0.6, 1.6)
    dilate: int = Field(default=0, ge=0, le=5)
    """Radius in pixels by which lines narrower than the crack are thickened (line labels of 1 px)."""
    hold_back: int = Field(default=0, ge=0)
    """Images, evenly spread over the folder, that are kept from training and watched as validation instead: for
    sets without a validation folder of their own."""
    exclude: tuple[str, ...] = ()
    """Stems of images that are left out altogether: those that show what a test shows, or whose mask is wrong."""
    distilled: bool = True
    """Whether the teacher of `TrainConfig.distill` has a say on this set. Without, its masks alone count: where they
    are exact and show what the teacher overlooks."""
    terms: str = "unstated"
    source: str = ""

    @field_validator("scale")
    @classmethod
    def _scale_rises(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("scale needs a smallest magnification above 0 and a largest that is no smaller")
        return value

    def path(self, data_root: Path) -> Path:
        """Where the set lies."""
        return Path(self.root or data_root) / self.folder


class LossConfig(BaseModel):
    """Weights of the loss terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bce: float = 1.0
    dice: float = 1.0
    skeleton: float = 0.5
    quiet: float = 0.0
    """Of the false alarms on crack-free crops; see `fissura.train.losses.quiet_loss`."""


class DistillConfig(BaseModel):
    """A larger network that a small one learns from, beside the masks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | tuple[str, ...]
    """The name of a shipped model or a .safetensors file; of several the mean of their logits is taught."""
    weight: float = Field(default=1.0, gt=0)
    """Of the cross-entropy between the network's maps and the teacher's probabilities."""
    engine: Literal["torch", "openvino", "onnxruntime"] = "torch"
    """What runs the teacher. An engine takes its exported graph, int8 where that is faster, as users run it: on a CPU
    in a third to a half of the time. Its tiles must then be as large as the crops (`TrainConfig.tile`)."""
    magnifications: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    """The teacher's word is the mean of what it says of the crop at these sizes: a network that sees a crack at several
    sizes is right more often than at one. Only ``torch`` runs crops of another size than the teacher's tiles."""

    @property
    def models(self) -> tuple[str, ...]:
        """All teachers."""
        return (self.model,) if isinstance(self.model, str) else self.model

    @field_validator("model")
    @classmethod
    def _someone_teaches(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("no teacher is named; give a model, or leave distill out")
        return value

    @field_validator("magnifications")
    @classmethod
    def _magnifications_are_sizes(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0.25 <= m <= 4.0 for m in value):
            raise ValueError("magnifications lie between 0.25 and 4, for example [0.7, 1.0, 1.4]")
        return value

    @model_validator(mode="after")
    def _engine_takes_one_size(self) -> DistillConfig:
        if self.engine != "torch" and self.magnifications != (1.0,):
            raise ValueError(f"magnifications need 'engine: torch'; {self.engine} runs a graph of one size")
        return self


class EncoderConfig(BaseModel):
    """Weights of the user's that the network's encoder starts from; see `fissura.nets.pretrained`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """``.safetensors``, ``.pth``, ``.pt`` or ``.bin``; written like `TrainConfig.data_root`."""
    terms: str = "unstated"
    """Under which these weights may be used: they hold for what is trained from them."""
    source: str = ""


LEARNT_ENHANCERS = ("eem", "eem_lite")
"""Enhancers with a map that is trained; the others are controls."""


class EnhancerConfig(BaseModel):
    """What stands in front of the network; see `fissura.nets.ga_cfae`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["eem", "eem_lite", "darkening", "identity"]
    form: Literal["corrected", "published"] = "corrected"
    kernel: Literal[3, 5] = 5
    alpha: float = Field(default=0.5, gt=0, le=1)
    learn_alpha: bool = True


class AdversarialConfig(BaseModel):
    """Adversarial training of the enhancer's map (`fissura.train.adversarial`); defaults as published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["joint", "two_step"] = "joint"
    """``joint``: enhancer and network together, the enhancer also by the network's loss. ``two_step``: the enhancer
    alone for `enhancer_steps` of the run's steps, then the network behind the frozen enhancer for the rest."""
    enhancer_steps: int = Field(default=1000, ge=1)
    """Only used by ``two_step``."""
    adversarial: float = Field(default=0.1, ge=0)
    content: float = Field(default=10.0, ge=0)
    structure: float = Field(default=2.0, ge=0)
    """Of the next two together."""
    edge: float = Field(default=0.8, ge=0)
    continuity: float = Field(default=0.2, ge=0)
    balanced: bool = False
    """Content counts crack and background alike, not pixel by pixel; see `adversarial_losses.content_loss`."""
    reach_px: int = Field(default=20, ge=2)
    """Longest gap that continuity sees."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Of the enhancer, by Adam; rises and falls with the network's."""
    discriminator_learning_rate: float = Field(default=2e-4, gt=0)
    betas: tuple[float, float] = (0.5, 0.999)
    """Of Adam, for enhancer and discriminator."""
    discriminator_width: int = Field(default=64, ge=4)
    """Channels of its first layer. At 64 it costs several times the network's own work; see docs/NETWORKS.md."""


class TrainConfig(BaseModel):
    """A training run. Unknown keys are errors, so that a typo is not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str = "0.1.0"
    description: str = ""
    architecture: str = "hacnet_v2"
    architecture_options: dict[str, Any] = Field(default_factory=dict)
    """Those of ``hacnet_v2`` are ``{variant: unshuffled, width: 32}`` if left out, of other networks their own."""
    init: str | None = None
    """None for fresh weights; the name of a shipped model or a .safetensors file to fine-tune."""
    encoder: EncoderConfig | None = None
    """Or only the encoder, from a file of yours: ``encoder: resnet18.pth``, or ``file``, ``terms`` and ``source``."""
    enhancer: EnhancerConfig | None = None
    """An enhancer in front of the network, for example ``enhancer: {name: eem}``."""
    adversarial: AdversarialConfig | None = None
    """Adversarial training of the enhancer; ``adversarial: {}`` is the published recipe. None: the enhancer is trained
    by the network's loss alone."""

    freeze: tuple[str, ...] = ()
    """Parts of the network, by attribute, that stay as `init` brings them: ``[body]`` of a ``hacnet_v2_pyramid``."""

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
    synthetic_wide: float = Field(default=0.0, ge=0, le=1)
    """Share of generated cracks that are wide, with rough walls, as seen from nearby."""

    turned: float = Field(default=0.4, ge=0, le=1)
    """Share of the crops of photographs that are turned by any angle, the others by quarters. Joints in photographs lie
    along the picture's sides: seen so most of the time, they teach that what lies along them is no crack."""

    distractors: float = Field(default=0.0, ge=0, le=1)
    """Share of the crops of photographs on which a joint, a gap, bricks or the like are drawn
    (`fissura.synth.crops.draw_distractor`); a teacher is not heard there."""
    distractor_kinds: tuple[str, ...] = FIRST_ON_PHOTOGRAPHS
    """Which of `fissura.synth.distractors.ON_PHOTOGRAPHS` are drawn."""

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
    distill: DistillConfig | None = None
    precision: Literal["bf16", "fp32"] = "bf16"
    compile: bool = False
    accelerator: Literal["cpu", "gpu", "auto"] = "auto"
    devices: int = Field(default=1, ge=1)
    """Processes on each machine, each with its own device, or its own copy of the network on a CPU. The batch is that
    of all together, and the samples are the same for any number."""
    num_nodes: int = Field(default=1, ge=1)
    """Machines; start the same command on each, as Lightning's documentation describes for its cluster."""
    strategy: str = "auto"
    """One of Lightning's, for several processes: ``ddp``. A network some of whose parameters get no gradient needs
    ``ddp_find_unused_parameters_true``."""
    workers: int = Field(default=1, ge=0)
    checkpoint_every: int = Field(default=250, ge=1)
    validate_every: int = Field(default=1000, ge=1)
    seed: int = Field(default=0, ge=0)
    limits: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _options_of_hacnet_v2(cls, values: Any) -> Any:
        # Written out although they are the network's own: cards name them, and so do unfinished runs.
        if not isinstance(values, dict) or values.get("architecture", "hacnet_v2") != "hacnet_v2":
            return values
        return {"architecture_options": {"variant": "unshuffled", "width": 32}} | values

    @field_validator("name")
    @classmethod
    def _name_of_a_card(cls, value: str) -> str:
        if not re.match(NAME_PATTERN, value):
            raise ValueError("a name has small letters, digits, '.', '_' and '-', for example my-model")
        return value

    @field_validator("distractor_kinds")
    @classmethod
    def _known_distractors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in ON_PHOTOGRAPHS]
        if unknown or not value:
            said = f"there is no {', '.join(unknown)}" if unknown else "none is named"
            raise ValueError(f"{said}; name some of {', '.join(ON_PHOTOGRAPHS)}")
        return value

    @field_validator("encoder", mode="before")
    @classmethod
    def _encoder_by_its_file(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _parts_fit(self) -> TrainConfig:
        if self.encoder is not None and self.init is not None:
            raise ValueError("init and encoder are both given; init fills the whole network, encoder a part: keep one")
        if self.keep_init and self.init is None:
            raise ValueError("keep_init is a share of the weights of init, and there is none: give init, or no share")
        if self.freeze and self.init is None and self.encoder is None:
            raise ValueError("freeze would keep random weights: give init or encoder, or leave it out")
        if self.overlap * 2 > self.tile:
            raise ValueError(f"overlap is {self.overlap}, more than half of the tile of {self.tile}; make it smaller")
        self._check_folders()
        if self.devices * self.num_nodes > 1:
            self._check_processes()
        if self.adversarial is None:
            return self
        learnt = " or ".join(LEARNT_ENHANCERS)
        if self.enhancer is None:
            raise ValueError(f"adversarial trains an enhancer, and there is none; add 'enhancer: {{name: {learnt}}}'")
        if self.enhancer.name not in LEARNT_ENHANCERS:
            raise ValueError(f"adversarial: nothing in '{self.enhancer.name}' can be trained; it needs {learnt}")
        if self.enhancer.form == "published":
            raise ValueError("adversarial: the published form has no map to train; use 'form: corrected'")
        if self.adversarial.mode == "two_step" and self.adversarial.enhancer_steps >= self.steps:
            raise ValueError(
                f"adversarial: enhancer_steps is {self.adversarial.enhancer_steps} and leaves none of the {self.steps} "
                "steps for the network; give fewer"
            )
        return self

    def _check_folders(self) -> None:
        """What is watched must not be trained on."""
        root = Path(self.data_root)
        trained: dict[Path, SetConfig] = {}
        for entry in self.train:
            first = trained.setdefault(entry.path(root).resolve(), entry)
            if first.hold_back != entry.hold_back or set(first.exclude) != set(entry.exclude):
                raise ValueError(
                    f"train lists {entry.folder} with different hold_back or exclude, so that one entry would train on "
                    "what another keeps back; give all its entries the same"
                )
        for folder in self.validate_on:
            if (root / folder).resolve() in trained:
                raise ValueError(
                    f"validate_on names {folder}, which is trained on; name another folder, or give its entry in train "
                    "a hold_back"
                )

    def _check_processes(self) -> None:
        count = self.devices * self.num_nodes
        if self.batch % count:
            raise ValueError(f"batch is {self.batch} and cannot be shared by {count} processes; make it a multiple")
        if not (self.strategy == "auto" or self.strategy.startswith("ddp")) or self.strategy.endswith(
            ("spawn", "fork", "notebook")
        ):
            raise ValueError(f"strategy is '{self.strategy}'; for several processes give 'ddp'")
        if self.adversarial is not None:
            raise ValueError("adversarial training runs in one process: leave out devices and num_nodes")


def read_config(path: Path) -> TrainConfig:
    """Read and check a config.

    Raises:
        SettingsError: The file is missing, no YAML, or a key is unknown or out of range (named).
    """
    return make_config(read_yaml(path), path)


def read_yaml(path: Path) -> dict[str, Any]:
    """Keys and values of a YAML file. Raises SettingsError."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no YAML: {error}") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{path} must hold keys and values, for example 'name: mine'; see runs/ for examples")
    return raw


def make_config(raw: Mapping[str, Any], path: Path) -> TrainConfig:
    """Check the keys of a config.

    Args:
        raw: Keys and values.
        path: The file they are from: for messages, and relative folders start where it lies.
    Raises:
        SettingsError: A key is unknown or out of range (named).
    """
    try:
        config = _with_paths(TrainConfig.model_validate(raw), path)
        return TrainConfig.model_validate(config.model_dump())  # again: different words may name the same folder
    except ValidationError as error:
        lines = [_explain(e["loc"], e["msg"], e["input"]) for e in error.errors()]
        raise SettingsError(f"{path}:\n" + "\n".join(lines)) from error


def _with_paths(config: TrainConfig, path: Path) -> TrainConfig:
    """A config whose paths are absolute. Raises SettingsError."""
    sets = tuple(
        s if s.root is None else s.model_copy(update={"root": str(_resolve(s.root, path))}) for s in config.train
    )
    changes: dict[str, Any] = {"train": sets}
    try:
        changes["data_root"] = str(_resolve(config.data_root, path))
    except SettingsError:
        if config.validate_on or any(s.root is None for s in sets):
            raise  # else nothing lies there
    if config.encoder is not None:
        changes["encoder"] = config.encoder.model_copy(update={"file": str(_resolve(config.encoder.file, path))})
    return config.model_copy(update=changes)


def _explain(where: tuple[int | str, ...], message: str, value: Any) -> str:
    message = message.removeprefix("Value error, ")
    if not where:  # keys that do not go together; the value is then the whole file
        return f"  {message}"
    return f"  {'.'.join(str(part) for part in where)}: {message} (got {value!r:.60})"


def _resolve(text: str, config_path: Path) -> Path:
    expanded = os.path.expandvars(os.path.expanduser(text))
    if "$" in expanded:
        name = expanded.split("$", 1)[1].split("/", 1)[0].strip("{}")
        raise SettingsError(
            f"a path names the environment variable {name}, which is not set; "
            f"for example: export {name}=/path/to/data"
        )
    return (config_path.parent / expanded).resolve()
