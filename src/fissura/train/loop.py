"""One training run in one folder: checkpoints, exact resume, TensorBoard, the weights at the end."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from fissura.errors import DataError, ModelError, OutputError, SettingsError
from fissura.infer.store import find_model
from fissura.nets import build, load_state, parameter_count, read_weights, save_weights
from fissura.nets.widen import widen_state
from fissura.spec import ModelCard, TrainingSet
from fissura.train.config import TrainConfig
from fissura.train.dataset import CropDataset, LoadedSet, ResumableSampler, read_training_set
from fissura.train.module import CrackModule
from fissura.train.validate import Validation

Say = Callable[[str], None]


def train(config: TrainConfig, out: Path, *, say: Say = print, quiet: bool = False) -> Path:
    """Run or resume a training.

    Args:
        config: The run.
        out: Folder for ``checkpoints/``, ``tensorboard/``, ``config.json`` and ``<name>.safetensors``.
            If it holds a checkpoint of the same config, the run goes on exactly where it stopped.
        say: Called with lines for people.
        quiet: No progress bar.
    Returns:
        The safetensors file with the averaged weights and the model card.
    Raises:
        DataError: A training set cannot be used. SettingsError: ``out`` belongs to another config.
    """
    for noisy in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    resume = _claim_folder(config, out)
    sets = _read_sets(config, say)
    card = make_card(config, sets)
    torch.manual_seed(config.seed)
    module = CrackModule(config, card)
    if config.init:
        first, origin = read_weights(_find_init(config.init))
        first = _fitted(first, origin, module)
        card = card.model_copy(update={"trained_on": f"{card.trained_on}; before: {origin.name}, {origin.trained_on}"})
        module.card = card
        if resume is None:
            load_state(module.net, first, source=config.init)
            load_state(module.averaged.module, first, source=config.init)
            say(f"starting from {origin.name} {origin.version}")
    start = 0
    if resume is not None:
        start = int(torch.load(resume, map_location="cpu", weights_only=False)["global_step"])
        say(f"resuming at step {start} of {config.steps}")
    loader = DataLoader(
        CropDataset(sets, config),
        batch_size=config.batch,
        sampler=ResumableSampler(config.steps * config.batch, start * config.batch),
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
    )
    trainer = _make_trainer(config, out, say, quiet=quiet)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        trainer.fit(module, loader, ckpt_path=resume, weights_only=False)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trainer.global_step < config.steps:
        raise DataError(
            f"training ended after {trainer.global_step} of {config.steps} steps; run the same command again to go on"
        )
    if config.keep_init and config.init:
        first, origin = read_weights(_find_init(config.init))
        _mix(module, _fitted(first, origin, module), config.keep_init)
        card = card.model_copy(update={"trained_on": f"{card.trained_on}; {config.keep_init:g} of those weights kept"})
    path = out / f"{config.name}.safetensors"
    save_weights(path, module.averaged.module, card)
    say(f"trained {trainer.global_step} steps; weights with model card: {path}")
    return path


def _claim_folder(config: TrainConfig, out: Path) -> str | None:
    """Check that the folder is ours (or empty) and return the checkpoint to go on from."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        record = out / "config.json"
        text = config.model_dump_json(indent=2)
        if record.exists():
            # The number of steps may grow: a plateau checkpoint fits any later total.
            old, new = (json.loads(t) for t in (record.read_text(encoding="utf-8"), text))
            changed = sorted(k for k in new if k not in RESUMABLE_KEYS and old.get(k) != new[k])
            if changed:
                raise SettingsError(
                    f"{out} holds a run with other settings ({', '.join(changed)} differ); "
                    "choose another folder with --out, or remove this one to start over"
                )
        record.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror}; choose another folder with --out") from error
    last = out / "checkpoints" / "last.ckpt"
    return str(last) if last.exists() else None


RESUMABLE_KEYS = frozenset(
    {"steps", "workers", "checkpoint_every", "validate_every", "compile", "accelerator", "data_root", "limits",
     "description", "version", "validation_limit"}
)  # fmt: skip
"""Keys that may differ between a run and its continuation."""


def _read_sets(config: TrainConfig, say: Say) -> list[LoadedSet]:
    sets = []
    for entry in config.train:
        loaded = read_training_set(entry, Path(config.data_root))
        share = sum(float(m.mean()) for m in loaded.masks) / len(loaded.masks)
        say(f"  {entry.folder}: {len(loaded.images)} images, {share:.2%} crack")
        sets.append(loaded)
    return sets


def make_card(config: TrainConfig, sets: Sequence[LoadedSet]) -> ModelCard:
    """The card of a network that is trained by this config."""
    net = build(config.architecture, config.architecture_options)
    # A folder may be listed twice, with different magnifications.
    named = {
        s.config.folder: TrainingSet(
            name=s.config.folder, images=len(s.images), terms=s.config.terms, source=s.config.source
        )
        for s in sets
    }
    used = tuple(named.values())
    return ModelCard(
        name=config.name,
        version=config.version,
        description=config.description or f"{config.architecture} trained on {len(used)} sets",
        architecture=config.architecture,
        architecture_options=config.architecture_options,
        parameters=parameter_count(net),
        tile=config.tile,
        overlap=config.overlap,
        training_sets=used,
        strictest_terms=strictest_terms([s.terms for s in used]),
        trained_on=f"{date.today().isoformat()}, {platform.machine()}, torch {torch.__version__}, "
        f"{config.steps} steps of {config.batch} crops",
        limits=config.limits,
    )


TERMS_BY_STRICTNESS = ("non-commercial research", "research", "unstated", "GPL-3.0", "MIT", "BSD-2-Clause", "CC0-1.0")
"""Terms of training data from strict to free, by the words they start with."""


def strictest_terms(terms: Sequence[str]) -> str:
    """The strictest of several terms; what is not listed counts as unstated."""

    def rank(term: str) -> int:
        known = [i for i, t in enumerate(TERMS_BY_STRICTNESS) if term.startswith(t)]
        return known[0] if known else TERMS_BY_STRICTNESS.index("unstated")

    return min(terms, key=rank) if terms else "CC0-1.0"


def _find_init(init: str) -> Path:
    """The weights that ``init`` means: a file, or those of a shipped model."""
    path = Path(init) if Path(init).suffix == ".safetensors" else find_model(init).safetensors
    if path is None:
        raise ModelError(f"the shipped model '{init}' has no safetensors file to start from")
    return path


def _fitted(state: dict[str, torch.Tensor], origin: ModelCard, module: CrackModule) -> dict[str, torch.Tensor]:
    """The weights to start from, widened where the new network is wider than the old one."""
    widths = [card.architecture_options.get("width", 0) for card in (origin, module.card)]
    if origin.architecture != module.card.architecture or widths[0] >= widths[1]:
        return state
    return widen_state(state, module.net, base=(widths[0], widths[1]))


def _mix(module: CrackModule, first: Mapping[str, torch.Tensor], share: float) -> None:
    """Replace the averaged weights by a mean with others of the same network, statistics of BN included."""
    state = module.averaged.module.state_dict()
    mixed = {k: v.lerp(first[k].to(v), share) if v.is_floating_point() else v for k, v in state.items()}
    module.averaged.module.load_state_dict(mixed)


def _make_trainer(config: TrainConfig, out: Path, say: Say, *, quiet: bool) -> L.Trainer:
    checkpoint = ModelCheckpoint(
        dirpath=out / "checkpoints", filename="last", every_n_train_steps=config.checkpoint_every,
        save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=False,
    )  # fmt: skip
    # Validation comes before the checkpoint, so that a run stopped while validating repeats the validation.
    callbacks: list[Callback] = [Validation(config, say), checkpoint, _PlainProgress(quiet)]
    if not quiet:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    return L.Trainer(
        accelerator=config.accelerator, devices=1, max_steps=config.steps, max_epochs=-1,
        precision="bf16-mixed" if config.precision == "bf16" else "32-true",
        logger=TensorBoardLogger(str(out), name="tensorboard", version=""), log_every_n_steps=25,
        callbacks=callbacks, enable_checkpointing=True, enable_progress_bar=not quiet,
        enable_model_summary=False, num_sanity_val_steps=0, gradient_clip_val=1.0,
    )  # fmt: skip


class _PlainProgress(Callback):
    """A line of plain text every 100 steps where there is no terminal (log files)."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if self.quiet and step % 100 == 0:
            terms = {k.removeprefix("train/"): float(v) for k, v in trainer.callback_metrics.items()}
            print(f"step {step}/{trainer.max_steps} " + " ".join(f"{k} {v:.4f}" for k, v in terms.items()), flush=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
