"""``fissura demo``: drawn scenes go through the main job, so that a newcomer without photos sees a result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fissura.cli.console import plain_errors, say

if TYPE_CHECKING:
    from fissura.metrics.counts import MatchCounts
    from fissura.synth import SyntheticScene
    from fissura.types import BoolMask, RgbImage

# Name, seed, surface: a road with alligator cracking, a road with a branching crack, and a wall whose joints
# and formwork lines are straight and dark and no cracks.
SCENES = (("asphalt_alligator", 9, "asphalt"), ("asphalt_branching", 7, "asphalt"), ("concrete_joints", 4, "concrete"))
GSD_MM = 1.0
TOLERANCE_PX = 2
_LATITUDE_DEG, _LONGITUDE_DEG = 51.0, 7.0
_PANEL_HW = (450, 600)


@dataclass(frozen=True)
class DemoScore:
    """How well the cracks of one scene were found.

    Attributes:
        counts: Pixels found, and pixels of the truth, within 2 px of each other: F1@2px comes from these.
        length_m: Crack centreline in the picture, in metres.
        found_m: Part of it within 2 px of a found pixel, in metres.
    """

    counts: MatchCounts
    length_m: float
    found_m: float


def demo(
    out: Annotated[Path, typer.Option(help="Folder for photos and results.")] = Path("fissura-demo"),
    model: Annotated[str, typer.Option(help="Shipped model (see 'fissura models') or an .onnx file.")] = "fast",
    size: Annotated[tuple[int, int], typer.Option(help="Height and width of the pictures in pixels.")] = (1200, 1600),
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only; the files are written.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Draw three scenes with known cracks, run 'fissura segment' on them and compare.

    \b
    Writes, in the folder given by --out:
      photos/      the scenes as JPEG with position, lens and height, as a drone writes them
      truth/       where the cracks are, exactly
      masks/ overlays/  what was found, as 'fissura segment' writes it
      demo.jpg     photo, truth and found side by side

    \b
    Examples:
      fissura demo
      fissura demo --out somewhere --model mine.onnx
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug):
        from fissura.infer.segmenter import load_segmenter

        load_segmenter(model, threads=1)  # A missing model is told before anything is drawn.
        say(f"drawing {len(SCENES)} scenes, {GSD_MM:g} mm of ground to a pixel", quiet=quiet)
        scenes = draw_scenes(out, size)
        _segment(out, model, quiet=quiet, debug=debug)
        found = {name: _read_found(out, name, scene.mask.shape) for name, scene in scenes.items()}
        scores = {name: score_scene(scene, found[name]) for name, scene in scenes.items()}
        _write_sheet(out / "demo.jpg", scenes, found)
        if not quiet:
            _print_scores(scores)
            say(f"\nsee {out / 'demo.jpg'}; masks and overlays are in {out}")
            option = "" if model == "fast" else f" --model {model}"
            say(f"your own photos:  fissura segment PHOTOS --out RESULTS{option}")


def draw_scenes(out: Path, size_hw: tuple[int, int]) -> dict[str, SyntheticScene]:
    """Render all scenes, write photos and truth.

    Raises:
        OutputError: A file cannot be written.
    """
    from fissura.imaging.write import write_mask
    from fissura.synth import render_scene, write_photo

    scenes: dict[str, SyntheticScene] = {}
    for index, (name, seed, surface) in enumerate(SCENES):
        scene = render_scene(
            seed, size_hw=size_hw, surface="asphalt" if surface == "asphalt" else "concrete", gsd_mm=GSD_MM
        )
        # A few metres apart, so that the photos do not lie on top of each other on a map.
        longitude = _LONGITUDE_DEG + index * 5e-5
        write_photo(out / "photos" / f"{name}.jpg", scene, latitude_deg=_LATITUDE_DEG, longitude_deg=longitude)
        write_mask(out / "truth" / f"{name}.png", scene.mask)
        scenes[name] = scene
    return scenes


def _segment(out: Path, model: str, *, quiet: bool, debug: bool) -> None:
    """The main job, by the very function behind ``fissura segment``."""
    from fissura.segment_run import SegmentRequest, run_segment

    # Named one by one: the folder may hold photos that are not ours.
    photos = tuple(str(out / "photos" / f"{name}.jpg") for name, _, _ in SCENES)
    request = SegmentRequest(photos, out, model=model, overwrite=True, quiet=quiet, debug=debug)
    status = run_segment(request)
    if status:
        raise typer.Exit(status)


def _read_found(out: Path, name: str, shape_hw: tuple[int, ...]) -> BoolMask:
    """The mask that ``segment`` wrote for a scene."""
    from fissura.data.pairs import read_mask
    from fissura.errors import OutputError

    written = sorted((out / "masks").rglob(f"{name}*.png"))
    if not written:
        raise OutputError(f"no mask of {name} is in {out / 'masks'}; the lines above say why")
    mask = read_mask(written[0])
    if mask.shape != shape_hw:
        raise OutputError(f"{written[0]} is {mask.shape}, the photo is {shape_hw}; run the demo in a new folder")
    return mask


def score_scene(scene: SyntheticScene, found: BoolMask) -> DemoScore:
    """Compare a found mask, shape (H, W), with the exact truth of a scene."""
    from fissura.metrics.counts import count_near, dilate, ellipse

    kernel = ellipse(TOLERANCE_PX)
    length_m, found_m = measure_found(scene, dilate(found, kernel))
    return DemoScore(count_near(found, scene.mask, kernel), length_m, found_m)


def measure_found(scene: SyntheticScene, near: BoolMask) -> tuple[float, float]:
    """Length of all centrelines inside the picture, and the part of it where ``near`` is True, in metres."""
    import numpy as np

    total = hit = 0.0
    height, width = near.shape
    for crack in scene.cracks:
        a, b = crack.points_rc_mm[:-1] / scene.gsd_mm, crack.points_rc_mm[1:] / scene.gsd_mm
        steps = max(int(np.ceil(np.abs(b - a).max() * 2)), 1)  # At most half a pixel apart.
        t = ((np.arange(steps) + 0.5) / steps)[:, None, None]
        pixels = np.floor(a + t * (b - a)).astype(int)
        share = np.broadcast_to(np.linalg.norm(b - a, axis=1) / steps, pixels.shape[:2])
        inside = ((pixels >= 0) & (pixels < (height, width))).all(axis=2)
        total += float(share[inside].sum())
        hit += float(share[inside][near[pixels[inside][:, 0], pixels[inside][:, 1]]].sum())
    return total * scene.gsd_mm / 1000, hit * scene.gsd_mm / 1000


def _print_scores(scores: dict[str, DemoScore]) -> None:
    from fissura.metrics.scores import f1, precision, recall

    say(f"\nwhat was found, against the exact truth of these drawn scenes (tolerance {TOLERANCE_PX} px):")
    say(f"  {'scene':<20} {'crack':>8} {'found':>8} {'share':>6} {'precision':>10} {'recall':>7} {'F1@2px':>7}")
    for name, score in scores.items():
        share = score.found_m / score.length_m if score.length_m else 0.0
        c = score.counts
        say(
            f"  {name:<20} {score.length_m:>6.2f} m {score.found_m:>6.2f} m {share:>6.0%}"
            f" {precision(c):>10.2f} {recall(c):>7.2f} {f1(c):>7.2f}"
        )
    say("  Drawn scenes are not photographs: figures on real ones are in the model card (fissura models).")


def _write_sheet(path: Path, scenes: dict[str, SyntheticScene], found: dict[str, BoolMask]) -> None:
    """One row a scene: photo, truth, found."""
    import numpy as np

    from fissura.imaging.write import write_jpeg

    rows = []
    for name, scene in scenes.items():
        panels = [
            _panel(scene.rgb, np.zeros_like(scene.mask), f"{name.replace('_', ', ')}: photo"),
            _panel(scene.rgb, scene.mask, "truth"),
            _panel(scene.rgb, found[name], "found"),
        ]
        rows.append(np.concatenate(panels, axis=1))
    write_jpeg(path, np.concatenate(rows, axis=0))


def _panel(rgb: RgbImage, mask: BoolMask, label: str) -> RgbImage:
    """The picture in the panel's size, a mask drawn on it, its label in the corner, white on dark."""
    import cv2
    import numpy as np

    from fissura.imaging.overlay import draw_overlay

    size_wh = (_PANEL_HW[1] - 4, _PANEL_HW[0] - 4)
    out = np.asarray(cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    if mask.any():
        # Drawn after the picture is shrunk, so that a hairline is not averaged away.
        out = draw_overlay(out, cv2.resize(mask.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA) > 0.1)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.6
    (width, height), _ = cv2.getTextSize(label, font, scale, 1)
    cv2.rectangle(out, (0, 0), (width + 16, height + 16), (25, 25, 25), -1)
    cv2.putText(out, label, (8, height + 7), font, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return np.pad(out, ((2, 2), (2, 2), (0, 0)), constant_values=255)
