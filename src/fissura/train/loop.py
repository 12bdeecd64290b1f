"""One training run in one folder: checkpoints, exact resume, TensorBoard, the weights at the end."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import platform
import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from pydantic import ValidationError
from torch import nn

from fissura.errors import DataError, FissuraError, ModelError, OutputError, SettingsError
from fissura.imaging.write import write_bytes
from fissura.infer.store import find_model
from fissura.nets import build, build_model, load_state, parameter_count, read_weights, save_weights
from fissura.nets.ga_cfae import body_of
from fissura.nets.hacnet_v2_pyramid import HACNetV2Pyramid
from fissura.nets.pretrained import load_encoder
from fissura.nets.widen import widen_state
from fissura.spec import ModelCard, TrainingSet
from fissura.train.checkpoints import SafeCheckpointIO, find_checkpoint
from fissura.train.config import DistillConfig, TrainConfig
from fissura.train.dataset import CropDataset, LoadedSet, read_training_set
from fissura.train.module import CrackModule
from fissura.train.teacher import AnyTeacher, EngineTeacher, Teacher, TeacherGroup
from fissura.train.together import Crops, share_statistics
from fissura.train.validate import Validation

Say = Callable[[str], None]


def _print(line: str) -> None:
    print(line, flush=True)


def train(
    config: TrainConfig, out: Path, *, say: Say = _print, quiet: bool = False, sets: Sequence[LoadedSet] | None = None
) -> Path:
    """Run or resume a training.

    Args:
        config: The run.
        out: Folder for ``checkpoints/``, ``tensorboard/``, ``config.json`` and ``<name>.safetensors``.
            If it holds a checkpoint of the same config, the run goes on exactly where it stopped.
        say: Called with lines for people.
        quiet: Lines every 100 steps in place of a progress bar.
        sets: The training sets from `read_sets`, for callers that train several networks on the same ones; read
            here if left out.
    Returns:
        The safetensors file with the averaged weights and the model card.
    Raises:
        DataError: A training set cannot be used. SettingsError: ``out`` belongs to another config or has done more
            steps, this machine has no such accelerator, or the loss is no number any more.
        ModelError: Weights to start from do not fit, or the run's checkpoints are damaged.
        OutputError: There is no room for a checkpoint or the weights; the last whole checkpoint stays.
    """
    for noisy in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if rank_zero_only.rank:  # another of several processes; the first one speaks and writes
        say = _say_nothing
    else:
        _claim_folder(config, out)
    found = find_checkpoint(out / "checkpoints", say)
    resume = str(found[0]) if found else None
    if found and found[1] > config.steps:
        raise SettingsError(
            f"{out} holds a run of {found[1]} steps and the config asks for {config.steps}; give at least {found[1]} "
            "steps, or another folder with --out"
        )
    if config.encoder is not None and resume is None:  # before any data are read
        load_encoder(build(config.architecture, config.architecture_options), Path(config.encoder.file))
    sets = read_sets(config, say) if sets is None else sets
    card = make_card(config, sets)
    torch.manual_seed(config.seed)
    teacher = None if config.distill is None else _find_teacher(config, config.distill)
    if teacher is not None:
        for known in teacher.cards:
            card = _inheriting(card, known, f"learnt from {known.name} ({known.strictest_terms})")
    module = CrackModule(config, card, teacher)
    if config.init:
        first, origin = read_weights(_find_init(config.init))
        first = _fitted(first, origin, module)
        card = _inheriting(card, origin, f"before: {origin.name}, {origin.trained_on}")
        own = {(s.name, s.source) for s in card.training_sets}
        earlier = tuple(s for s in origin.training_sets if (s.name, s.source) not in own)
        card = card.model_copy(update={"training_sets": card.training_sets + earlier})
        module.card = card
        if resume is None:
            for net in (module.net, module.averaged.module):
                load_state(_counterpart(net, origin), first, source=config.init)
            say(f"starting from {origin.name} {origin.version}")
    if config.encoder is not None and resume is None:
        for net in (module.averaged.module, module.net):
            report = load_encoder(body_of(net), Path(config.encoder.file))
        say(f"encoder from {config.encoder.file}: {report.summary()}")
    start = found[1] if found else 0
    if resume is not None:
        say(f"resuming at step {start} of {config.steps}")
    if config.devices * config.num_nodes > 1:
        share_statistics(module.net)
    crops = Crops(CropDataset(sets, config), config, start)
    trainer = _make_trainer(config, out, say, quiet=quiet)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning's own affair
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(module, datamodule=crops, ckpt_path=resume, weights_only=False)
        except OSError as error:
            if isinstance(error, FissuraError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OutputError(
                f"the disk of {out} is full; the last checkpoint is whole: make room and run the same command again"
            ) from error
        except SystemExit as error:  # what Lightning makes of Ctrl-C, after which it is deaf to another one
            if not trainer.interrupted:
                raise
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from error
    if trainer.global_step < config.steps:
        raise DataError(
            f"training ended after {trainer.global_step} of {config.steps} steps; run the same command again to go on"
        )
    if config.keep_init and config.init:
        first, origin = read_weights(_find_init(config.init))
        _mix(_counterpart(module.averaged.module, origin), _fitted(first, origin, module), config.keep_init)
        card = card.model_copy(update={"trained_on": f"{card.trained_on}; {config.keep_init:g} of those weights kept"})
    module.check_finite()
    path = out / f"{config.name}.safetensors"
    if trainer.is_global_zero:
        save_weights(path, module.averaged.module, card)
    say(f"trained {trainer.global_step} steps; weights with model card: {path}")
    return path


def _claim_folder(config: TrainConfig, out: Path) -> None:
    """Check that the folder is ours (or empty) and write down the config."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        record = out / "config.json"
        text = config.model_dump_json(indent=2) + "\n"
        known = record.read_text(encoding="utf-8") if record.exists() else None
        # Without a checkpoint there is nothing to lose, for example after a typo in the config.
        if known is not None and (any(out.glob("checkpoints/*.ckpt")) or any(out.glob("*.safetensors"))):
            # The number of steps may grow: a plateau checkpoint fits any later total.
            old, new = _with_defaults(known, record), json.loads(text)
            if changed := sorted(k for k in new if k not in RESUMABLE_KEYS and old.get(k) != new[k]):
                raise SettingsError(
                    f"{out} holds a run with other settings ({', '.join(changed)} differ); "
                    "choose another folder with --out, or remove this one to start over"
                )
        if text != known:
            write_bytes(record, text.encode("utf-8"))
    except OSError as error:
        if isinstance(error, FissuraError):
            raise
        raise OutputError(f"cannot write to {out}: {error.strerror}; choose another folder with --out") from error


def _with_defaults(text: str, record: Path) -> dict[str, Any]:
    """The settings of a run. One of an older fissura has no word on what came later, and so had its default."""
    try:
        return dict(json.loads(TrainConfig.model_validate_json(text).model_dump_json()))
    except ValidationError:  # of a newer fissura, or damaged
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise SettingsError(
                f"{record} is damaged, so nobody knows whether the checkpoints beside it are of these settings; if "
                "they are, remove that file and run the same command again"
            ) from error


def _say_nothing(line: str) -> None:
    """For the other ones of several processes."""


RESUMABLE_KEYS = frozenset(
    {"steps", "workers", "checkpoint_every", "validate_every", "compile", "accelerator", "data_root", "limits",
     "description", "version", "validation_limit", "devices", "num_nodes", "strategy"}
)  # fmt: skip
"""Keys that may differ between a run and its continuation."""


def read_sets(config: TrainConfig, say: Say = _print) -> list[LoadedSet]:
    """All training sets of a config, decoded. Raises DataError."""
    sets = []
    for entry in config.train:
        loaded = read_training_set(entry, Path(config.data_root))
        share = sum(float(m.mean()) for m in loaded.masks) / len(loaded.masks)
        say(f"  {entry.folder}: {len(loaded.images)} images, {share:.2%} crack")
        sets.append(loaded)
    return sets


def make_card(config: TrainConfig, sets: Sequence[LoadedSet]) -> ModelCard:
    """The card of a network that is trained by this config."""
    # A folder may be listed twice, with different magnifications; two roots may have a folder of the same name.
    entries: dict[Path, list[LoadedSet]] = {}
    for s in sets:
        entries.setdefault(s.config.path(Path(config.data_root)).resolve(), []).append(s)
    used = tuple(_describe_set(same) for same in entries.values())
    terms = [s.terms for s in used] + ([config.encoder.terms] if config.encoder else [])
    before = f"; encoder from {Path(config.encoder.file).name}, {config.encoder.terms}" if config.encoder else ""
    enhancer = f" behind {config.enhancer.name}" if config.enhancer else ""
    card = ModelCard(
        name=config.name,
        version=config.version,
        description=config.description or f"{config.architecture}{enhancer} trained on {len(used)} sets",
        architecture=config.architecture,
        architecture_options=config.architecture_options,
        enhancer=config.enhancer.model_dump() if config.enhancer else None,
        parameters=1,
        tile=config.tile,
        overlap=config.overlap,
        training_sets=used,
        strictest_terms=strictest_terms(terms),
        trained_on=f"{date.today().isoformat()}, {platform.machine()}, torch {torch.__version__}, "
        f"{config.steps} steps of {config.batch} crops{before}",
        limits=config.limits,
    )
    with torch.device("meta"):
        return card.model_copy(update={"parameters": parameter_count(build_model(card))})


def _describe_set(entries: Sequence[LoadedSet]) -> TrainingSet:
    """A training set from all its entries."""
    return TrainingSet(
        name=entries[0].config.folder,
        images=max(len(s.images) for s in entries),
        terms=strictest_terms([s.config.terms for s in entries]),
        source=next((s.config.source for s in entries if s.config.source), ""),
    )


TERMS_BY_STRICTNESS = ("non-commercial research", "research", "unstated", "GPL-3.0", "MIT", "BSD-2-Clause", "CC0-1.0")
"""Terms of training data from strict to free, by the words they start with."""


def strictest_terms(terms: Sequence[str]) -> str:
    """The strictest of several terms; what is not listed counts as unstated."""

    def rank(term: str) -> int:
        known = [i for i, t in enumerate(TERMS_BY_STRICTNESS) if term.startswith(t)]
        return known[0] if known else TERMS_BY_STRICTNESS.index("unstated")

    return min(terms, key=rank) if terms else "CC0-1.0"


def _inheriting(card: ModelCard, origin: ModelCard, how: str) -> ModelCard:
    """The card of a network that has something of another one: its terms bind, too, whatever is trained on now."""
    terms = strictest_terms([card.strictest_terms, origin.strictest_terms])
    return card.model_copy(update={"trained_on": f"{card.trained_on}; {how}", "strictest_terms": terms})


def _find_teacher(config: TrainConfig, distill: DistillConfig) -> AnyTeacher:
    teachers = [_find_one_teacher(config, distill, name) for name in distill.models]
    return teachers[0] if len(teachers) == 1 else TeacherGroup(teachers)


def _find_one_teacher(config: TrainConfig, distill: DistillConfig, name: str) -> Teacher | EngineTeacher:
    if distill.engine == "torch":
        return Teacher(_find_init(name), compiled=config.compile, magnifications=distill.magnifications)
    path = Path(name)
    graph = path.with_suffix(".onnx") if path.suffix == ".safetensors" else find_model(name).onnx
    return EngineTeacher(graph, distill.engine, tile=config.tile)


def _find_init(init: str) -> Path:
    """The weights that ``init`` means: a file, or those of a shipped model."""
    path = Path(init) if Path(init).suffix == ".safetensors" else find_model(init).safetensors
    if path is None:
        raise ModelError(f"the shipped model '{init}' has no safetensors file to start from")
    return path


def _counterpart(net: nn.Module, origin: ModelCard) -> nn.Module:
    """The part of a network that weights are for: no enhancer, and of a pyramid the body, if they are plain."""
    part = net if origin.enhancer is not None else body_of(net)
    return part.body if isinstance(part, HACNetV2Pyramid) and origin.architecture == "hacnet_v2" else part


def _fitted(state: dict[str, torch.Tensor], origin: ModelCard, module: CrackModule) -> dict[str, torch.Tensor]:
    """The weights to start from, widened where the new network is wider than the old one."""
    with torch.device("meta"):
        old = build(origin.architecture, origin.architecture_options)
    # Of the networks: options may leave it out. Some have none.
    widths = [getattr(net.config, "width", 0) for net in (old, body_of(module.net))]
    if origin.architecture != module.card.architecture or widths[0] >= widths[1]:
        return state
    return widen_state(state, _counterpart(module.net, origin), base=(widths[0], widths[1]))


def _mix(net: nn.Module, first: Mapping[str, torch.Tensor], share: float) -> None:
    """Replace the averaged weights by a mean with others of the same network, statistics of BN included."""
    state = net.state_dict()
    mixed = {k: v.lerp(first[k].to(v), share) if v.is_floating_point() else v for k, v in state.items()}
    net.load_state_dict(mixed)


def _make_trainer(config: TrainConfig, out: Path, say: Say, *, quiet: bool) -> L.Trainer:
    checkpoint = ModelCheckpoint(
        dirpath=out / "checkpoints", filename="last", every_n_train_steps=config.checkpoint_every,
        save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=False,
    )  # fmt: skip
    # Validation comes before the checkpoint, so that a run stopped while validating repeats the validation.
    callbacks: list[Callback] = [Validation(config, say), checkpoint]
    callbacks += [_PlainProgress(say)] if quiet else []
    if not quiet:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    try:
        return L.Trainer(
            accelerator=config.accelerator, devices=config.devices, num_nodes=config.num_nodes,
            strategy=config.strategy, use_distributed_sampler=False, max_steps=config.steps, max_epochs=-1,
            precision="bf16-mixed" if config.precision == "bf16" else "32-true",
            logger=TensorBoardLogger(str(out), name="tensorboard", version=""), log_every_n_steps=25,
            callbacks=callbacks, plugins=[SafeCheckpointIO()], enable_checkpointing=True, enable_progress_bar=not quiet,
            enable_model_summary=False, num_sanity_val_steps=0, gradient_clip_val=1.0,
        )  # fmt: skip
    except (MisconfigurationException, ValueError) as error:
        raise SettingsError(
            f"training cannot start with accelerator: {config.accelerator}, devices: {config.devices} and "
            f"strategy: {config.strategy} ({error}); change them, for example to 'accelerator: cpu'"
        ) from error


class _PlainProgress(Callback):
    """A line of plain text every 100 steps where there is no terminal (log files)."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step % 100 == 0 and trainer.is_global_zero:
            terms = {k.removeprefix("train/"): float(v) for k, v in trainer.callback_metrics.items()}
            self._say(f"step {step}/{trainer.max_steps} " + " ".join(f"{k} {v:.4f}" for k, v in terms.items()))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
