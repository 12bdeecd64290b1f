"""``fissura train``: train a network, or fine-tune a shipped one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fissura.cli.console import plain_errors, say
from fissura.errors import MissingDependencyError
from fissura.memory import keep_freed_memory


def train(
    config: Annotated[Path, typer.Argument(help="YAML file; runs/ holds those of the shipped models.")],
    out: Annotated[Path, typer.Option(help="Folder of the run. An interrupted run goes on where it stopped.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar, a line every 100 steps.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Train a network, or fine-tune a shipped one with 'init: fast'.

    A set is a folder with images/ and masks/, paired by stem. Masks may be 0/1, 0/255, palette or RGB.
    The run folder holds checkpoints/, tensorboard/ and, at the end, NAME.safetensors with its model card.

    \b
    Examples:
      FISSURA_DATA=data fissura train runs/fast.yaml --out out/fast
      fissura train mine.yaml --out out/mine                   again: goes on where it stopped, exactly
      tensorboard --logdir out/mine                            look at the curves
      fissura export out/mine/mine.safetensors --out mine.onnx --int8 --calibrate mine/train --validate mine/val
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        try:
            from fissura.train.config import read_config
            from fissura.train.loop import train as run
        except ImportError as error:
            raise MissingDependencyError(
                f"training needs the extra 'train' ({error.name} is missing): pip install 'fissura[train]'"
            ) from error
        keep_freed_memory(training=True)
        run(read_config(config), out, say=lambda line: say(line, quiet=False), quiet=quiet)
