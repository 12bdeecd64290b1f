"""``fissura road``: where the road is, its direction, and the slices that are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fissura.cli.console import plain_errors


def road(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE", help="Images, videos, folders, globs, streams.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    scale: Annotated[float, typer.Option(metavar="N", help="Enlargement of slices; 2 makes them half as large.")] = 1.0,
    every: Annotated[float, typer.Option(metavar="S", help="Of videos, a frame every so many seconds.")] = 2.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Find the road in aerial frames and cut it into slices that follow its direction.

    \b
    Writes, below --out:
      road/<name>.png       255 is road; the size of the frame
      overlays/<name>.jpg   outline, direction, slices
      road.json             for each frame direction_deg (0 to 180, counter-clockwise from the picture's right, 90 is
                            upright), confidence, slices (each with its own direction and corners); under notes
                            what is missing of videos

    <name> is the relative path; frames of a video have their number behind it.

    Where no road is found (a close-up, a wall, a forest) the slices are a grid over the whole frame, and road.json
    says so.

    \b
    Examples:
      fissura road flight/*.JPG --out road
      fissura road flight.mp4 --every 5 --out road

    Exit status: 0 all done; 1 some inputs failed, the others are done; 2 could not start.
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        from fissura.road_run import RoadRequest, run_road

        raise typer.Exit(
            run_road(RoadRequest(tuple(sources), out, scale=scale, every_s=every, quiet=quiet, debug=debug))
        )
