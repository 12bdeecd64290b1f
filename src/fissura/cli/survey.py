"""``fissura survey``: from a flight's video to measured cracks, each reported once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fissura.cli.console import plain_errors


def survey(
    source: Annotated[str, typer.Argument(metavar="VIDEO", help="Video file, stream address or camera.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    model: Annotated[str, typer.Option(help="Shipped model (see 'fissura models') or an .onnx file.")] = "fast",
    engine: Annotated[str, typer.Option(help="openvino, onnxruntime or torch.")] = "openvino",
    precision: Annotated[str, typer.Option(help="auto, int8, bf16 or fp32; auto takes what suits the CPU.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads of the engine; all cores if left out.")] = None,
    threshold: Annotated[float | None, typer.Option(help="0 to 1; the model card's if left out.")] = None,
    scale: Annotated[
        float | None, typer.Option(metavar="N", help="Enlargement of slices; finer cracks for N² times the pixels.")
    ] = None,
    gsd_mm: Annotated[
        float | None, typer.Option(metavar="MM", help="Ground size of a pixel of the first frame.")
    ] = None,
    height_m: Annotated[float | None, typer.Option(metavar="M", help="Height of the camera above the road.")] = None,
    focal_35mm: Annotated[float | None, typer.Option(metavar="MM", help="35-mm-equivalent focal length.")] = None,
    pitch_deg: Annotated[float | None, typer.Option(metavar="DEG", help="View: -90 straight down to -20.")] = None,
    telemetry: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Flight log (CSV) or subtitles; else those of the video.")
    ] = None,
    telemetry_offset: Annotated[float | None, typer.Option(metavar="S", help="Log's time at the first frame.")] = None,
    telemetry_rate: Annotated[
        float | None, typer.Option(metavar="HZ", help="Rows a second of a log without a column of times.")
    ] = None,
    rules: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Severities, for example astm_d6433.")] = None,
    whole_frame: Annotated[bool, typer.Option("--whole-frame", help="Look everywhere, not on roads only.")] = False,
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Also write the video with its cracks drawn in.")
    ] = False,
    seconds: Annotated[float | None, typer.Option(metavar="S", help="Stop after so many seconds of video.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make finished results anew.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Survey a flight: find the road in every frame, look at each piece of ground once, measure its cracks.

    Frames are registered to each other, so no telemetry is needed; with it (DJI subtitles in or beside the video, or
    a CSV log) lengths are in metres and cracks have a place on the map.

    \b
    Writes, below --out:
      cracks.csv, areas.csv   one row for each branch of a crack, and for each alligator field
      cracks.geojson          the same on the map, if positions are known
      mosaic.jpg              the flight from above with its cracks
      annotated.mp4           with --annotate
      manifest.jsonl          one line for every frame that was looked at
      summary.json, settings.yaml, ground/ (the merged ground in tiles)

    \b
    Examples:
      fissura survey flight.mp4 --out run
      fissura survey flight.mp4 --out run --height-m 40 --focal-35mm 24 --annotate
      fissura survey flight.mov --out run --telemetry airdata.csv --rules astm_d6433
      fissura survey rtsp://drone.local/live --out run --seconds 600

    Exit status: 0 all done; 1 the flight ended early, what was seen is measured; 2 could not start.
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        from fissura.survey.video_run import run_video
        from fissura.survey.video_settings import DEFAULT_SCALE, VideoRequest

        status = run_video(
            VideoRequest(
                source, out, model=model, engine=engine, precision=precision, threads=threads, threshold=threshold,
                scale=DEFAULT_SCALE if scale is None else scale, gsd_mm=gsd_mm, height_m=height_m,
                focal_35mm=focal_35mm, pitch_deg=pitch_deg, telemetry=telemetry, telemetry_offset_s=telemetry_offset,
                telemetry_rate_hz=telemetry_rate,
                rules=rules, whole_frame=whole_frame, annotate=annotate, seconds=seconds, overwrite=overwrite,
                quiet=quiet, debug=debug,
            )
        )  # fmt: skip
        raise typer.Exit(status)
