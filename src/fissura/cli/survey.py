"""``fissura survey``: from a flight's video to measured cracks, each reported once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fissura.cli.console import plain_errors

_FIELDS = {
    "ground_height": "ground_height_m", "telemetry_offset": "telemetry_offset_s", "telemetry_rate": "telemetry_rate_hz",
}  # fmt: skip
"""Options whose field in `SurveyRequest` also names the unit."""


def survey(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help="Photos, folders, globs, videos, GeoTIFFs, stream addresses."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; the same command goes on where it stopped.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="settings.yaml of a run: options not given here.")
    ] = None,
    model: Annotated[str, typer.Option(help="Shipped model (see 'fissura models') or an .onnx file.")] = "fast",
    engine: Annotated[str, typer.Option(help="openvino, onnxruntime or torch.")] = "openvino",
    precision: Annotated[str, typer.Option(help="auto, int8, bf16 or fp32; auto takes what suits the CPU.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Photos worked on at the same time; 2 if left out.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the engine; all cores if left out.")] = None,
    threshold: Annotated[float | None, typer.Option(help="0 to 1; the model card's if left out.")] = None,
    least_confidence: Annotated[
        float | None,
        typer.Option(metavar="N", help="Finds less sure are left out; else 0.35 up to 10 mm a pixel, 0 above."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(metavar="N", help="Enlargement of slices; finer cracks for N² times the pixels.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="Crack masks of the photos, for example corrected; no network then."),
    ] = None,
    rules: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Severities, for example astm_d6433.")] = None,
    route: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Reference line (GeoJSON, GPKG, KML, GPX, CSV): chainage and sections."),
    ] = None,
    route_crs: Annotated[
        str | None, typer.Option(metavar="EPSG", help="Of a route whose file does not say, for example EPSG:25832.")
    ] = None,
    section_length_m: Annotated[
        float | None, typer.Option("--section-length-m", metavar="M", help="Of sections along the route; else 100.")
    ] = None,
    alignment: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="OpenDroneMap's shots.geojson (with cameras.json), or geo.txt."),
    ] = None,
    gsd_mm: Annotated[
        float | None, typer.Option(metavar="MM", help="Ground size of a pixel; of the first frame in videos.")
    ] = None,
    ground_height: Annotated[
        float | None, typer.Option(metavar="M", help="Of the road above the take-off point; makes widths surer.")
    ] = None,
    sensor_width_mm: Annotated[
        float | None, typer.Option(metavar="MM", help="Of a camera that is not in the table.")
    ] = None,
    height_m: Annotated[float | None, typer.Option(metavar="M", help="Videos: camera above the road.")] = None,
    focal_35mm: Annotated[
        float | None, typer.Option(metavar="MM", help="Videos: 35-mm-equivalent focal length.")
    ] = None,
    pitch_deg: Annotated[float | None, typer.Option(metavar="DEG", help="Videos: -90 straight down to -20.")] = None,
    telemetry: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Videos: flight log (CSV) or subtitles; else the video's own.")
    ] = None,
    telemetry_offset: Annotated[
        float | None, typer.Option(metavar="S", help="Time of the log or the subtitles at the first frame.")
    ] = None,
    telemetry_rate: Annotated[
        float | None, typer.Option(metavar="HZ", help="Rows a second of a log without a column of times.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(metavar="S", help="Videos: stop after so many seconds.")] = None,
    annotate: Annotated[bool, typer.Option("--annotate", help="Also write videos with their cracks drawn in.")] = False,
    whole_frame: Annotated[bool, typer.Option("--whole-frame", help="Look everywhere, not on roads only.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make finished results anew.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Survey a flight: find the road, look at each piece of ground once, measure its cracks, map and report them.

    Photos that know where they were taken are put together, so that a crack in several of them counts once; frames of
    a video are registered to each other and need no telemetry. Stopped at any moment, the same command goes on. With
    other --rules, --route or --section-length-m a finished run is reported anew without looking again.

    \b
    Writes, below --out:
      report.html             the report: map, worst cracks, tables, method and limits; opens offline
      cracks.gpkg             cracks, areas, footprints, sections, inspected ground: opens coloured in QGIS
      cracks.csv, whole_cracks.csv   a row for each branch, and for each crack with all its branches
      cracks.xlsx, cracks.dxf, areas.csv, sections.csv, cracks.geojson, widths.png
      masks/ overlays/ probability/   of photos; of GeoTIFFs as Cloud Optimized GeoTIFF
      mosaics/                the ground from above with its cracks
      labels/                 COCO, CVAT and LabelMe, for correction; --mask takes the corrected masks
      annotated/              with --annotate
      manifest.jsonl          one line for every photo and every frame that was looked at
      settings.yaml           all options; --settings takes it again
      summary.json, pictures/, work/ (what a stopped run needs to go on)

    \b
    Examples:
      fissura survey photos/ --out run --rules astm_d6433
      fissura survey photos/ flight.mp4 ortho.tif --out run --route axis.geojson --section-length-m 50
      fissura survey flight.mp4 --out run --height-m 40 --focal-35mm 24 --annotate
      fissura survey --settings run/settings.yaml --rules ltpp    (the same run by other rules)
      fissura survey next_flight/ --settings run/settings.yaml --out run2
      fissura survey rtsp://drone.local/live --out run --seconds 600

    Exit status: 0 all done; 1 some inputs failed or ended early, the others are reported; 2 could not start.
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        from fissura.errors import SettingsError
        from fissura.survey.request import SurveyRequest, read_request
        from fissura.survey.run import run_survey

        given: dict[str, Any] = {
            _FIELDS.get(name, name): tuple(value) if name == "sources" else value
            for name, value in context.params.items()
            if name != "settings" and value not in (None, [], ()) and _was_given(context, name)
        }
        if settings is not None:
            request = read_request(settings, **given)
        else:
            if not sources:
                raise SettingsError("nothing to survey; give photos, folders, videos or GeoTIFFs")
            if out is None:
                raise SettingsError("there is no folder for the results; give --out")
            request = SurveyRequest(**given)
        raise typer.Exit(run_survey(request))


def _was_given(context: typer.Context, name: str) -> bool:
    """Whether the user gave an option, rather than the program."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
