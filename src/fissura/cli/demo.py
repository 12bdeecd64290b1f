"""``fissura demo``: a drawn flight goes the whole way, so that a newcomer without photos sees a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fissura.cli.console import plain_errors, say
from fissura.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fissura.synth.aerial import PhotoFlight

    Array = npt.NDArray[np.float64]

SEED = 21
HEIGHT_M, FOCAL_PX = 16.0, 2400.0
GSD_MM = 1000 * HEIGHT_M / FOCAL_PX
SPACING_M = 3.0
TOLERANCE_M = 0.02
SECTION_M = 10.0
LEAST_SIDE_PX = 120
MARKER = ".fissura-demo.json"
"""In the folder of the photos: the names of those that were drawn, so that nothing else is ever replaced."""


@dataclass(frozen=True)
class DemoScore:
    """How well the cracks of the flight were found, by length in metres.

    Attributes:
        truth_m: Drawn crack that a photo shows, as wide as a pixel or wider.
        found_m: Part of it within 2 cm of a reported crack.
        reported_m: Reported crack.
        right_m: Part of it within 2 cm of a drawn crack of any width.
    """

    truth_m: float
    found_m: float
    reported_m: float
    right_m: float


def demo(
    out: Annotated[Path, typer.Option(help="Folder for photos and results.")] = Path("fissura-demo"),
    model: Annotated[str, typer.Option(help="Shipped model (see 'fissura models') or an .onnx file.")] = "fast",
    photos: Annotated[int, typer.Option(min=2, max=60, help="Length of the flight.")] = 8,
    size: Annotated[tuple[int, int], typer.Option(help="Height and width of the photos in pixels.")] = (1200, 1600),
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only; the files are written.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Draw a flight over a cracked road, survey it with 'fissura survey', and compare with the truth.

    \b
    Writes, in the folder given by --out:
      flight/      the photos as a drone writes them, and the road's axis
      run/         the survey: open run/report.html in a browser, run/cracks.gpkg in QGIS

    \b
    Examples:
      fissura demo
      fissura demo --out somewhere --photos 20 --model mine.onnx
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        from fissura.infer.segmenter import load_segmenter
        from fissura.survey.request import SurveyRequest
        from fissura.survey.run import run_survey

        load_segmenter(model, threads=1)  # A missing model is told before anything is drawn.
        if (out / "run").exists() and not (out / "flight" / MARKER).exists():
            raise SettingsError(f"{out / 'run'} is not from 'fissura demo'; choose another --out")
        say(f"drawing a flight of {photos} photos, {GSD_MM:.1f} mm of ground to a pixel", quiet=quiet)
        flight = draw_flight(out / "flight", photos, size)
        request = SurveyRequest(
            (str(out / "flight"),), out / "run", model=model, rules="astm_d6433", ground_height_m=0.0,
            route=out / "flight" / "axis.geojson", section_length_m=SECTION_M, overwrite=True, quiet=quiet, debug=debug,
        )  # fmt: skip
        status = run_survey(request)
        if status:
            raise typer.Exit(status)
        _print_score(score_survey(flight, out / "run"), quiet=quiet)
        option = "" if model == "fast" else f" --model {model}"
        say(f"your own photos:  fissura survey PHOTOS --out RUN{option}", quiet=quiet)
        say(f"open {out / 'run' / 'report.html'}", quiet=quiet)


def draw_flight(folder: Path, photos: int, size_hw: tuple[int, int]) -> PhotoFlight:
    """Draw the flight and write its photos.

    Raises:
        OutputError: A file cannot be written.
        SettingsError: The pictures are too small or too large for the flight, or the folder holds other files.
    """
    from fissura.synth.aerial import AerialCamera, WorldOptions, make_world, write_photo_flight

    if min(size_hw) < LEAST_SIDE_PX:
        raise SettingsError(
            f"--size is {size_hw[0]} {size_hw[1]}; photos need {LEAST_SIDE_PX} or more pixels a side to show the road"
        )
    _claim_folder(folder, [f"DJI_{k + 1:04d}.JPG" for k in range(photos)] + ["axis.geojson"])
    along_m, across_m = (side * GSD_MM / 1000 for side in size_hw)
    extent_m = max(across_m, along_m, 6.0) + 6.0, along_m + SPACING_M * photos + 10.0
    options = WorldOptions(
        extent_m=extent_m, crack_density=1.5, vehicles=1.0, trees=0.15, houses=0.0, road_width_m=5.0,
    )  # fmt: skip
    camera = AerialCamera(0.0, 0.0, HEIGHT_M, focal_px=FOCAL_PX, image_hw=size_hw)
    world = make_world(SEED, options)
    return write_photo_flight(folder, world, camera, spacing_m=SPACING_M, most=photos, gsd_mm=GSD_MM, seed=SEED)


def _claim_folder(folder: Path, names: list[str]) -> None:
    """Delete what an earlier demo drew, and note what this one is going to draw.

    Raises:
        OutputError: The note cannot be written.
        SettingsError: The folder holds files that no demo drew; nothing was touched.
    """
    import json

    from fissura.imaging.write import write_bytes

    marker = folder / MARKER
    try:
        drawn = set(json.loads(marker.read_text(encoding="utf-8")))
    except FileNotFoundError:
        drawn = set()
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{marker} cannot be read ({error}); choose another --out") from error
    # Hidden files, such as a file manager's, are in nobody's way.
    visible = [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.is_dir() else []
    strange = sorted(path.name for path in visible if path.name not in drawn)
    if strange:
        raise SettingsError(
            f"{folder} holds files that are not from 'fissura demo' ({strange[0]}); choose another --out"
        )
    for stale in visible:  # of a longer flight before
        if stale.name not in names:
            stale.unlink()
    write_bytes(marker, json.dumps(names).encode())


def score_survey(flight: PhotoFlight, run: Path) -> DemoScore:
    """Compare the cracks in a run's GeoJSON with those that were drawn."""
    import json

    import numpy as np
    from scipy.spatial import cKDTree

    features = json.loads((run / "cracks.geojson").read_text(encoding="utf-8"))["features"]
    lines = [np.array(f["geometry"]["coordinates"]) for f in features if f["geometry"]["type"] == "LineString"]
    points, weights = sample_lines([flight.metres(line) for line in lines])
    truth, length, width, _ = flight.visible_cracks(0.005)
    wide = width >= GSD_MM
    if not len(points) or not len(truth):
        return DemoScore(float(length[wide].sum()), 0.0, float(weights.sum()), 0.0)
    hit = cKDTree(points).query(truth[wide])[0] <= TOLERANCE_M
    right = cKDTree(truth).query(points)[0] <= TOLERANCE_M
    return DemoScore(
        float(length[wide].sum()), float(length[wide][hit].sum()), float(weights.sum()), float(weights[right].sum())
    )


def sample_lines(lines: list[Array], step_m: float = 0.005) -> tuple[Array, Array]:
    """Points along lines, shape (N, 2), and the length each stands for, shape (N,)."""
    import numpy as np

    points, weights = [np.empty((0, 2))], [np.empty(0)]
    for line in lines:
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        count = max(1, round(along[-1] / step_m))
        at = (np.arange(count) + 0.5) * along[-1] / count
        points.append(np.column_stack([np.interp(at, along, line[:, k]) for k in (0, 1)]))
        weights.append(np.full(count, along[-1] / count))
    return np.concatenate(points), np.concatenate(weights)


def _print_score(score: DemoScore, *, quiet: bool) -> None:
    found = score.found_m / score.truth_m if score.truth_m else 0.0
    right = score.right_m / score.reported_m if score.reported_m else 0.0
    say(
        f"\nagainst the exact truth of this drawn flight, within {100 * TOLERANCE_M:.0f} cm on the map: "
        f"{score.found_m:.1f} of {score.truth_m:.1f} m of crack were found ({found:.0%}), "
        f"{score.right_m:.1f} of {score.reported_m:.1f} m reported are right ({right:.0%})",
        quiet=quiet,
    )
    say("Drawn flights are not real ones: figures on photographs are in the model card (fissura models).", quiet=quiet)
