"""The ``fissura`` program: one command per file, registered here."""

from __future__ import annotations

from typing import Annotated

import typer

from fissura import __version__
from fissura.cli.compare import compare
from fissura.cli.data import data
from fissura.cli.demo import demo
from fissura.cli.evaluate import evaluate
from fissura.cli.export import export
from fissura.cli.measure import measure
from fissura.cli.models import models
from fissura.cli.road import road
from fissura.cli.segment import segment
from fissura.cli.survey import survey
from fissura.cli.train import train
from fissura.memory import keep_freed_memory

# Plain help: rich would take a third of the time that `fissura --help` has.
app = typer.Typer(
    name="fissura", rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)  # fmt: skip

app.command()(segment)
app.command()(road)
app.command()(measure)
app.command()(survey)
app.command()(evaluate)
app.command()(train)
app.command()(compare)
app.command()(export)
app.command()(models)
app.add_typer(data, name="data")
app.command()(demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fissura {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find cracks at pixel level in photos, drone imagery and orthophotos.

    \b
    Examples:
      fissura segment photos --out found           masks and overlays of a folder of photos
      fissura segment ortho.tif --out found        a GeoTIFF; the mask keeps its place on the map
      fissura measure wall.jpg --gsd-mm 0.4 --out measured   lengths and widths in millimetres
      fissura survey flight.mp4 --out run          a drone video: its roads, each crack once
      fissura road flight.mp4 --out road           the road in its frames, and how it is cut into slices
      fissura models                               the models that come with the install
      fissura COMMAND --help                       all options of a command, with examples

    Exit status: 0 all done; 1 some inputs failed, the others are done; 2 could not start.
    """  # noqa: D301 - \b keeps the examples as they are


def main() -> None:
    """Entry point of the ``fissura`` script."""
    keep_freed_memory()
    app()
