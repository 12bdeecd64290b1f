"""Is each crack reported once? Synthetic H.264 flights whose cracks are seen in many frames.

    python benchmarks/flight_counting.py [--model fast] [--seeds 401 402]

Each flight turns and climbs on the way, loses a second, and is blurred for a while; it is written as a film, read back,
and surveyed without telemetry. Once with true masks in place of the network (the slices of the frames' exact crack
masks), once with the model. Length counts within 2 px on the ground; drawn cracks narrower than a pixel need not be
found by the model, and are no false alarm.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from flight_scores import predicted_points, score, truth_points
from machine import describe_run, write_result

from fissura import load_segmenter
from fissura.imaging.video import open_video
from fissura.imaging.write import write_jpeg
from fissura.infer.segmenter import Segmenter
from fissura.road import Road, RoadSlices
from fissura.spec import ConfidenceCurve
from fissura.survey.backdrop import Backdrop
from fissura.survey.flight import FlightResult, fly
from fissura.survey.ground import GroundCanvas
from fissura.survey.look_scales import plan_look_scales
from fissura.survey.looking import GroundLooker
from fissura.survey.merged import MergedGround, SeenFrame, chart_bounds, measure_ground
from fissura.survey.mosaic import draw_mosaic
from fissura.survey.placing import place_ground
from fissura.survey.pose import FramePose, Lens
from fissura.synth.aerial import AerialCamera, AerialWorld, WorldOptions, make_world
from fissura.synth.aerial.flight import plan_flight
from fissura.synth.aerial.video import Encoding, write_flight
from fissura.synth.aerial.view import project_cracks
from fissura.synth.cracks import coverage_map, crack_mask

GSD_MM = 8.5
HW = (1080, 1920)
TOLERANCE_PX = 2.0


class TrueSegmenter(Segmenter):
    """In place of a network: slices of the frame's true mask come in, and go out as they are."""

    def __init__(self, like: Segmenter) -> None:
        super().__init__(_Echo(like), threshold=0.5)


class _Echo:
    def __init__(self, like: Segmenter) -> None:
        self.card, self.description = like.card, "true masks"

    def predict_tiles(self, tiles: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for tile in tiles:
            yield tile[:, :, 0].astype(np.float32) / np.float32(255)


class TrueLooker(GroundLooker):
    """Finds the road in the picture as ever, but cuts the slices from the true mask."""

    def __init__(self, world: AerialWorld, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._world = world
        self.camera: AerialCamera | None = None

    def _segment(
        self, rgb: np.ndarray, road: Road, plans: list[RoadSlices], ground: np.ndarray, quality: float,
        index: int | None,
    ) -> int:
        assert self.camera is not None
        cracks = project_cracks(self._world, self.camera)
        mask = crack_mask(cracks, coverage_map(cracks, self.camera.image_hw, 1.0), 1.0)
        picture = np.repeat(mask[:, :, None].astype(np.uint8) * np.uint8(255), 3, axis=2)
        return super()._segment(picture, road, plans, ground, quality, index)


class _Frames:
    """Frames that tell the looker which camera took them."""

    def __init__(self, video: Iterable[Any], cameras: list[AerialCamera], looker: GroundLooker) -> None:
        self._video, self._cameras, self._looker = video, cameras, looker

    def __iter__(self) -> Iterator[Any]:
        for frame in self._video:
            yield _Told(frame, self._cameras[frame.index], self._looker)


class _Told:
    def __init__(self, frame: Any, camera: AerialCamera, looker: GroundLooker) -> None:
        self._frame, self._camera, self._looker = frame, camera, looker
        self.index, self.time_s, self.damaged = frame.index, frame.time_s, frame.damaged

    def luma(self) -> np.ndarray:
        return self._frame.luma()

    def reduced(self, factor: int) -> np.ndarray:
        return self._frame.reduced(factor)

    def rgb(self) -> np.ndarray:
        if isinstance(self._looker, TrueLooker):
            self._looker.camera = self._camera
        return self._frame.rgb()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--seeds", type=int, nargs="+", default=[401, 402])
    parser.add_argument("--scale", type=float, default=1.5, help="enlargement of slices")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--pictures", type=Path, help="folder for mosaics")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = describe_run()
    segmenter = load_segmenter(options.model, threads=options.threads)
    rows = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            rows += survey(seed, segmenter, options, Path(folder))
    passed = all(r["recall"] >= 0.95 and r["precision"] >= 0.95 and r["twice"] <= 0.02 for r in rows)
    result = run | {"model": options.model, "scale": options.scale, "gsd_mm": GSD_MM, "rows": rows, "passed": passed}
    print(f"{'pass' if passed else 'FAIL'}: wrote {write_result('flight_counting', result, options.out)}")
    return 0 if passed else 1


def survey(seed: int, segmenter: Segmenter, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """One flight, with true masks and with the model."""
    world = make_world(seed, WorldOptions(extent_m=(56.0, 120.0), crack_density=1.5, vehicles=0.6))
    camera = AerialCamera(0.0, 0.0, 20.0, focal_px=20_000.0 / GSD_MM, image_hw=HW)
    flight = plan_flight(
        world, camera, duration_s=20.0, speed_m_s=4.0, turns=[(4.0, 3.0, 25.0), (12.0, 3.0, -35.0)],
        climbs=[(6.0, 4.0, 5.0)], seed=seed,
    )  # fmt: skip
    flight = flight.blurred(9.0, 9.8, 14.0, 90.0).without(14.0, 15.0, keep_times=False)
    start = time.perf_counter()
    # On one thread, or the film would depend on the number of cores, and a road's edge on the film.
    write_flight(folder / "flight.mp4", world, flight, encoding=Encoding(bitrate_mbps=40.0, threads=1))
    print(f"seed {seed}: {len(flight)} frames written in {time.perf_counter() - start:.0f} s", flush=True)
    ground = world.ground(GSD_MM)
    rows = []
    for kind in ("true masks", options.model):
        lens, backdrop = Lens(camera.focal_px, HW), Backdrop()
        canvas = GroundCanvas(folder / kind.replace(" ", "_"))
        coarse = None if kind == "true masks" else (*plan_look_scales(options.scale, GSD_MM), None)[1]
        common = {"scale": options.scale, "backdrop": backdrop, "coarse_scale": coarse}
        looker = (
            TrueLooker(world, canvas, TrueSegmenter(segmenter), lens, **common) if kind == "true masks"
            else GroundLooker(canvas, segmenter, lens, **common)
        )  # fmt: skip
        with open_video(folder / "flight.mp4") as video:
            result = fly(_Frames(video, list(flight.cameras), looker), looker)
        if result.error is not None:
            raise result.error
        curve = None if kind == "true masks" else segmenter.card.confidence
        grounds = measure(canvas, result, lens, looker.segmenter.threshold, curve)
        row = compare(world, ground, grounds, result, list(flight.cameras), lens, forgive=kind != "true masks")
        row |= {"seed": seed, "masks": kind}
        rows.append(row)
        shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
        print("  " + ", ".join(shown), flush=True)
        if options.pictures:
            picture, _ = draw_mosaic(canvas, backdrop, grounds[0], caption=f"{seed}, {kind}")
            write_jpeg(options.pictures / f"{seed}_{kind.replace(' ', '_')}.jpg", picture)
    return rows


def measure(
    canvas: GroundCanvas, result: FlightResult, lens: Lens, threshold: float, confidence: ConfidenceCurve | None = None
) -> list[MergedGround]:
    """The merged ground of every chart; with a network's curve, without doubtful finds, as a survey does."""
    grounds = []
    for chart in sorted({f.chart for f in result.looked}):
        frames = [SeenFrame.of_look(f, lens) for f in result.looked if f.chart == chart]
        bounds = chart_bounds(frames)
        assert bounds is not None
        top, left, bottom, right = bounds
        place = place_ground([], lens.focal_px, gsd_mm=GSD_MM, origin_xy=(left, top))
        grounds.append(measure_ground(
            canvas, frames, chart, place, origin_rc=(top, left), size_hw=(bottom - top, right - left),
            threshold=threshold, confidence=confidence, least_confidence=None,
        ))  # fmt: skip
    return grounds


def compare(
    world: AerialWorld, ground: Any, grounds: list[MergedGround], result: FlightResult, cameras: list[AerialCamera],
    lens: Lens, *, forgive: bool,
) -> dict[str, Any]:  # fmt: skip
    """Scores, drift and how the flight went."""
    predicted, predicted_m = predicted_points(grounds, result.looked, cameras, lens)
    truth, truth_m, width = truth_points(world, ground, result.looked, cameras, GSD_MM / 2000)
    thin = width < GSD_MM if forgive else np.zeros(len(width), bool)
    reach = TOLERANCE_PX * GSD_MM / 1000
    scores = score(predicted, predicted_m, truth[~thin], truth_m[~thin], tolerance_m=reach, forgiven=truth[thin])
    every = score(predicted, predicted_m, truth, truth_m, tolerance_m=reach)
    return asdict(scores) | {
        "recall_all": every.recall, "truth_all_m": every.truth_m, "drift_px": drift(result, cameras, lens),
        "looks": len(result.looked), "frames": result.frames, "lost": sum(r.pose is None for r in result.registered),
        "charts": len(grounds), "blurred": result.blurred,
    }  # fmt: skip


def drift(result: FlightResult, cameras: list[AerialCamera], lens: Lens) -> float:
    """Largest error of a camera's place after the best similarity, in ground pixels."""
    known = [r for r in result.registered if r.pose is not None and r.chart == 0]
    found = np.array([[r.pose.x, r.pose.y] for r in known if isinstance(r.pose, FramePose)])
    true = np.array([[cameras[r.index].x_m, -cameras[r.index].y_m] for r in known]) * 1000 / GSD_MM
    matrix, _ = cv2.estimateAffinePartial2D(found, true, method=cv2.LMEDS)
    return float(np.linalg.norm(found @ matrix[:, :2].T + matrix[:, 2] - true, axis=1).max())


if __name__ == "__main__":
    raise SystemExit(main())
