"""``fissura measure``: lengths and widths of cracks, in millimetres."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fissura.cli.console import plain_errors


def measure(
    sources: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Images, folders, globs, GeoTIFFs.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="Crack masks, by the pictures' names; found anew if left out."),
    ] = None,
    gsd_mm: Annotated[
        float | None, typer.Option("--gsd-mm", metavar="MM", help="Ground size of a pixel; else from the file.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Target in the picture: checkerboard:9x6:25mm or aruco:4X4_50:7:100mm."),
    ] = None,
    ground_height: Annotated[
        float | None,
        typer.Option(metavar="M", help="Height of the road above the take-off point; flights know only the latter."),
    ] = None,
    distance_m: Annotated[
        float | None, typer.Option("--distance-m", metavar="M", help="From the lens to a wall, square to the view.")
    ] = None,
    sensor_width_mm: Annotated[
        float | None, typer.Option("--sensor-width-mm", metavar="MM", help="Of a camera that is not in the table.")
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Severities: aashto_r85, astm_d6433, ltpp, mbei_concrete, mbei_prestressed, or a YAML file.",
        ),
    ] = None,
    road_direction: Annotated[
        float | None,
        typer.Option(metavar="DEG", help="Of the road as seen, counter-clockwise from the right; 90 is upright."),
    ] = None,
    lane_width_m: Annotated[
        float | None, typer.Option("--lane-width-m", metavar="M", help="Tells complete from partial transverse cracks.")
    ] = None,
    section_length_m: Annotated[
        float | None, typer.Option("--section-length-m", metavar="M", help="Sum by sections along the road.")
    ] = None,
    lane_centre: Annotated[
        str | None,
        typer.Option(metavar="X1,Y1,X2,Y2", help="Two pixels of the lane's centre line, for lane zones (aashto_r85)."),
    ] = None,
    min_length: Annotated[
        float, typer.Option(metavar="MM", help="Leave out shorter cracks; in pixels where there is no scale.")
    ] = 0.0,
    least_confidence: Annotated[
        float,
        typer.Option(metavar="N", help="Leave out finds that are less sure to be cracks, 0 to 1 (column confidence)."),
    ] = 0.0,
    model: Annotated[str, typer.Option(help="Shipped model (see 'fissura models') or an .onnx file.")] = "fast",
    engine: Annotated[str, typer.Option(help="openvino, onnxruntime or torch.")] = "openvino",
    precision: Annotated[str, typer.Option(help="auto, int8, bf16 or fp32.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads of the engine; all cores if left out.")] = None,
    threshold: Annotated[float | None, typer.Option(help="0 to 1; the model card's if left out.")] = None,
    scale: Annotated[str, typer.Option(metavar="auto|N", help="Size at which the network sees the pictures.")] = "auto",
    roi: Annotated[Path | None, typer.Option(metavar="FILE", help="Look only here: mask picture or GeoJSON.")] = None,
    profiles: Annotated[
        bool, typer.Option("--profiles", help="Also write the width at every place along every crack: profiles.csv.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make finished results anew.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Measure cracks: length, width with its error, direction, class and severity.

    \b
    Writes, below --out:
      cracks.csv        one row a branch; crack_key groups the branches of a crack, over all pictures
      whole_cracks.csv  one row a crack: length of all branches, largest width and where it is, worst severity
      profiles.csv      with --profiles, a row every 10 px along every branch: width, its error, and where it is
      areas.csv         alligator fields, where there are any
      summary.csv       sums by section, zone, class and severity
      frames.csv        one row a picture: scale, inspected area, cracks a m², notes, and what failed
      cracks.geojson    only where pictures have a position
      widths.png        length of crack by width
      overlays/         the pictures with cracks coloured by width, a scale bar and labels
      masks/            what the network found, without --mask
      frames/           records of finished pictures: after a stop, the same command goes on

    Millimetres need a scale: from a GeoTIFF, from a drone photo's height and camera, from a target in the picture, or
    from --gsd-mm. Without one everything is in pixels and says so.

    \b
    Examples:
      fissura measure wall.jpg --gsd-mm 0.4 --out measured
      fissura measure flight/ --ground-height -1.5 --rules astm_d6433 --road-direction 90 --out measured
      fissura measure photos/ --mask masks/ --out measured
      fissura measure pier.jpg --target checkerboard:9x6:25mm --rules mbei_concrete --out measured
      fissura measure wall.jpg --gsd-mm 0.4 --profiles --out measured

    Exit status: 0 all done; 1 some inputs failed, the others are done; 2 could not start.
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        from fissura.measure_frame import ScaleRequest
        from fissura.measure_run import MeasureRequest, run_measure

        status = run_measure(
            MeasureRequest(
                tuple(sources), out, mask=mask,
                scale=ScaleRequest(gsd_mm, target, ground_height, distance_m, sensor_width_mm),
                rules=rules, road_direction_deg=road_direction, lane_width_m=lane_width_m,
                section_length_m=section_length_m, lane_centre=lane_centre, min_length=min_length,
                least_confidence=least_confidence, model=model, engine=engine, precision=precision, threads=threads,
                threshold=threshold, network_scale=scale, roi=roi, profiles=profiles, overwrite=overwrite,
                quiet=quiet, debug=debug,
            )
        )  # fmt: skip
        raise typer.Exit(status)
