"""``fissura segment``: crack masks of photos, folders and GeoTIFFs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fissura.cli.console import plain_errors


def segment(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE", help="Images, GeoTIFFs, videos, folders, globs.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    model: Annotated[str, typer.Option(help="Shipped model (see 'fissura models') or an .onnx file.")] = "fast",
    engine: Annotated[str, typer.Option(help="openvino, onnxruntime or torch.")] = "openvino",
    precision: Annotated[str, typer.Option(help="auto, int8, bf16 or fp32; auto takes what suits the CPU.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads of the engine; all cores if left out.")] = None,
    threshold: Annotated[float | None, typer.Option(help="0 to 1; the model card's if left out.")] = None,
    probability: Annotated[bool, typer.Option("--probability", help="Also write probabilities, 0 to 255.")] = False,
    scale: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            help="Size at which images are seen. auto: above 4 megapixels also at 1/2 and 1/4, for wide cracks (31 % "
            "more pixels); others as they are. 2 enlarges finer cracks, for four times the pixels.",
        ),
    ] = "auto",
    min_length: Annotated[float, typer.Option(metavar="PX", help="Drop pieces with a shorter diagonal.")] = 0.0,
    roi: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Look only here: a mask picture (0 is outside) or a GeoJSON polygon."),
    ] = None,
    no_overlays: Annotated[bool, typer.Option("--no-overlays", help="Write no overlay pictures.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make finished results anew.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Find cracks in images and write a mask (0/255) and an overlay for each.

    \b
    Writes, below --out:
      masks/<relative path>.png         255 is crack; the size of the input as displayed
      overlays/<relative path>.jpg      the cracks drawn on the image
      probability/<relative path>.png   0 to 255, with --probability
      results.jsonl, settings.json      what was made from what, and how

    Of videos, those inside folders too, the frames are taken that together show all ground:
    masks/<relative path>/frame_<number>.png and so on.

    Masks and probabilities of GeoTIFFs are GeoTIFFs with the same place on the map; what was nodata is marked in
    their mask band. Finished results are kept: after a stop, the same command goes on.

    \b
    Examples:
      fissura segment photos --out found
      fissura segment "flight/**/*.JPG" --out found --min-length 50
      fissura segment ortho.tif --out found --probability --roi road.geojson
      fissura segment wall.heic --out found --scale 2 --threshold 0.4

    Exit status: 0 all done; 1 some inputs failed, the others are done; 2 could not start. A video that ends early has
    failed, too; what could be read of it is kept.
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        from fissura.segment_run import SegmentRequest, run_segment

        status = run_segment(
            SegmentRequest(
                tuple(sources), out, model=model, engine=engine, precision=precision, threads=threads,
                threshold=threshold, scale=scale, min_length_px=min_length, roi=roi, probability=probability,
                overlays=not no_overlays, overwrite=overwrite, quiet=quiet, debug=debug,
            )
        )  # fmt: skip
        raise typer.Exit(status)
