"""``fissura export``: trained weights to a model file that every engine runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fissura.cli.console import STARTS_OVER, plain_errors, say
from fissura.errors import FissuraError, MissingDependencyError, SettingsError


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors or .ckpt of 'fissura train'.")],
    out: Annotated[Path, typer.Option("--out", help="Model file to write, FILE.onnx.")],
    int8: Annotated[bool, typer.Option("--int8", help="Also write FILE.int8.onnx.")] = False,
    calibrate: Annotated[
        list[Path] | None, typer.Option(help="Folder of training images for int8. May be repeated.")
    ] = None,
    validate: Annotated[
        list[Path] | None, typer.Option(help="Data set (images/, masks/) int8 is accepted on. May be repeated.")
    ] = None,
    validate_limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most N images of each data set, evenly spread; for slow networks."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name in the model card; default: as trained.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Export trained weights to ONNX, check the engines against torch, and make an int8 file.

    Writes FILE.onnx, FILE.safetensors (for fine-tuning) and FILE.parity.json. The int8 file is written only if
    F1 on the validation pairs falls by at most 0.005; bf16 is allowed in the card on the same condition.

    \b
    Examples:
      fissura export runs/mine/mine.safetensors --out mine.onnx
      fissura export last.ckpt --out mine.onnx --int8 --calibrate data/train --validate data/val
      fissura segment photos --out found --model mine.onnx
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug, stopped=STARTS_OVER):
        if out.suffix != ".onnx" or out.name.endswith(".int8.onnx"):
            raise SettingsError(f"--out is {out}; give a name that ends in .onnx, the int8 file is named after it")
        if int8 and not (calibrate and validate):
            raise SettingsError("--int8 needs --calibrate DIR (training images) and --validate DIR (images and masks)")
        try:
            from fissura.export import export_model
        except FissuraError:
            raise
        except ImportError as error:
            raise MissingDependencyError(
                f"'fissura export' needs {error.name}; run: pip install 'fissura[train,onnxruntime]'"
            ) from error
        export_model(
            checkpoint, out, int8=int8, calibrate=calibrate or (), validate=validate or (),
            validate_limit=validate_limit, name=name, say=lambda line: say(line, quiet=quiet),
        )  # fmt: skip
