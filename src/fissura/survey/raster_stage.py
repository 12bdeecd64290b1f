"""A large raster through the whole chain in windows: network, cracks, widths, and its layers as COGs.

Memory grows with the raster's width and with the length of cracks found, not with its area. The network's work, which
takes nearly all the time, is kept strip by strip; a run that is killed goes on from there and ends with the same
result. Everything else is computed anew.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fissura.geo.gsd import find_ground_scale
from fissura.geo.position import RasterPlacement, locate_raster
from fissura.geo.scale import GroundScale
from fissura.imaging.cog import require_space, write_cog
from fissura.imaging.roi import Roi
from fissura.imaging.width_scale import WidthScale
from fissura.infer.segmenter import Segmenter
from fissura.measure.doubtful import confidence_limit
from fissura.measure.large import trace_cracks_by_tiles
from fissura.measure.measuring import Measurement, MeasureOptions, measure_graph
from fissura.measure.model import Points, Values
from fissura.measure.rules import RuleSet
from fissura.measure_frame import COARSE_GSD_MM
from fissura.survey.finds import tell_cracks
from fissura.survey.raster_layers import LayerFiles, RasterLayers
from fissura.survey.raster_network import NetworkRows
from fissura.survey.raster_overlay import RasterOverlay
from fissura.survey.raster_region import Region
from fissura.survey.raster_strips import prepare_work_folder, remove_work
from fissura.survey.raster_windows import RasterWindows, crop_cracks, crop_raster, open_windows
from fissura.types import BoolMask, Probability, RgbImage

__all__ = ["LayerFiles", "RasterSurvey", "crop_cracks", "crop_raster", "remove_work", "survey_raster"]

Progress = Callable[[float, float], None]
"""Told the megapixels finished, never falling, and their total; writing counts as megapixels, too."""

_BYTES_PER_PX = 1.6
"""On disk at the end: mostly the overlay and its temporary file. Measured 0.5 on drawn asphalt; real ground has more
texture, so three times as much is asked for."""
_SHARES = {"layers": 0.08, "trace": 0.1, "widths": 0.05, "draw": 0.2, "mask": 0.06, "probability": 0.06, "overlay": 0.2}
"""What stages after the network take, in megapixels for each megapixel of the raster."""


@dataclass(frozen=True, eq=False)
class RasterSurvey:
    """What was found in a raster.

    Attributes:
        measurement: Cracks, in pixels of the raster.
        size_hw: Rows and columns.
        scale: Pixels to millimetres; None without one.
        scale_reason: Why there is no scale, and what would help.
        placement: Pixels to longitude and latitude; None without a place.
        place_reason: Why there is no place.
        inspected_share: Part of the pixels that was looked at, 0 to 1.
        inspected_m2: Its area; None without a scale.
        outline: Of what was looked at, shapely geometry in longitude and latitude; None without a place.
        corners_lonlat: Upper left, upper right, lower right and lower left corner of the raster, shape (4, 2).
        files: The written layers.
        widths: Colours of the overlay.
        slices: Tiles in the network's plan.
        notes: For the user.
        seconds: By stage.
    """

    measurement: Measurement
    size_hw: tuple[int, int]
    scale: GroundScale | None
    scale_reason: str
    placement: RasterPlacement | None
    place_reason: str
    inspected_share: float
    inspected_m2: float | None
    outline: Any
    corners_lonlat: Points | None
    files: LayerFiles
    widths: WidthScale
    slices: int
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def survey_raster(
    path: Path,
    work_folder: Path,
    segmenter: Segmenter,
    *,
    rules: RuleSet | None = None,
    roi: Roi | None = None,
    network_scale: float | None = None,
    progress: Progress | None = None,
    gsd_mm: float | None = None,
    files: LayerFiles | None = None,
    road_direction_at: Callable[[Points], Values] | None = None,
    widths: WidthScale | None = None,
    least_confidence: float | None = 0.0,
) -> RasterSurvey:
    """Find and measure the cracks of a raster of any size, and write mask, probability and overlay.

    Args:
        path: GeoTIFF, or any TIFF or picture.
        work_folder: For the network's strips; the same folder lets an interrupted call go on. `remove_work` empties
            it when the result is safe.
        segmenter: The network and its threshold.
        rules: Severities.
        roi: Nothing outside is looked at.
        network_scale: Scale at which the network sees the raster; None for several, see `plan_scales`.
        progress: Told how far it is.
        gsd_mm: Ground size of a pixel; goes before what the file says.
        files: Where the layers go; ``mask.tif`` and so on in the work folder if left out.
        road_direction_at: See `MeasureOptions`.
        widths: Colours of the overlay, shared with other pictures.
        least_confidence: Finds that are less sure are not measured, see `fissura.measure.doubtful.without_doubtful`;
            None: `fissura.measure.doubtful.confidence_limit`.
    Raises:
        ImageError: The raster cannot be read, or the region lies outside of it.
        OutputError: A result cannot be written; what is finished stays.
    """
    files = files or LayerFiles(*(work_folder / f"{name}.tif" for name in ("mask", "probability", "overlay")))
    with open_windows(path) as raster:
        region = None if roi is None else Region(roi, raster)
        prepare_work_folder(work_folder, _stamp(path, raster, segmenter, network_scale, roi))
        network = NetworkRows(raster, segmenter, work_folder, network_scale, region)
        layers = RasterLayers(raster, files, work_folder, region)
        run = _Run(path, raster, network, layers, segmenter, progress)
        require_space(work_folder, _BYTES_PER_PX * raster.height * raster.width, f"surveying {path.name}")
        with run.timed("network"):
            network.run(run.add)
        return run.finish(rules, gsd_mm, road_direction_at, widths, least_confidence)


def _stamp(
    path: Path, raster: RasterWindows, segmenter: Segmenter, scale: float | None, roi: Roi | None
) -> dict[str, Any]:
    """Everything that the network's strips depend on."""
    status = path.stat()
    return {
        "file": [str(path.absolute()), status.st_size, status.st_mtime_ns], "size_hw": raster.size_hw, "scale": scale,
        "model": hashlib.sha256(segmenter.card.model_dump_json().encode()).hexdigest()[:12],
        "engine": segmenter.backend.description,
        "roi": None if roi is None else hashlib.sha256(roi.path.read_bytes()).hexdigest()[:12],
    }  # fmt: skip


class _Run:
    """One call: its parts, its clock and how far it is."""

    def __init__(
        self, path: Path, raster: RasterWindows, network: NetworkRows, layers: RasterLayers, segmenter: Segmenter,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self.path, self.raster, self.network, self.layers = path, raster, network, layers
        self.threshold, self.confidence = segmenter.threshold, segmenter.card.confidence
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = list(raster.notes)
        self._progress, self._done = progress, 0.0
        self._megapixels = raster.height * raster.width / 1e6
        self._total = network.megapixels + self._megapixels * sum(_SHARES.values())

    def add(self, megapixels: float) -> None:
        """So much more is finished."""
        self._reach(self._done + megapixels)

    @contextmanager
    def timed(self, stage: str) -> Any:
        """Seconds of a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    @contextmanager
    def part(self, name: str) -> Any:
        """A stage after the network; gives a function that is told which part of it is finished."""
        start, size = self._done, self._megapixels * _SHARES[name]
        with self.timed(name):
            yield lambda share: self._reach(start + size * min(share, 1.0))
        self._reach(start + size)

    def _reach(self, done: float) -> None:
        self._done = min(max(done, self._done), self._total)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def finish(
        self, rules: RuleSet | None, gsd_mm: float | None, road_direction_at: Callable[[Points], Values] | None,
        widths: WidthScale | None, least_confidence: float | None,
    ) -> RasterSurvey:  # fmt: skip
        """Everything after the network."""
        finding = find_ground_scale(self.path, gsd_mm=gsd_mm)
        placement, place_reason = self._locate()
        with self.layers.open_grey(self.network.read, 255.0 * self.threshold, self.part("layers")) as read_grey:
            options = MeasureOptions(
                road_direction_at=road_direction_at, rules=rules, confidence=self.confidence
            )
            if least_confidence is None:
                least_confidence = confidence_limit(finding.scale, self.raster.size_hw)
            found = self._measure(read_grey, finding.scale, options, least_confidence)
            overlay = RasterOverlay(found, widths)
            with self.part("draw") as told:
                self.layers.draw(overlay.draw, told)
            for name, source, target, looks in self.layers.plan():
                with self.part(name) as told:
                    write_cog(source, target, progress=told, **looks)
        self._reach(self._total)
        share, outline_rc = self.layers.inspected()
        inspected_m2 = None if finding.scale is None else self._describe_scale(finding.scale, share)
        if finding.scale is None:
            self.notes.append(f"no scale: {finding.reason}")
        self.notes += [f"no place on the map: {place_reason}"] if placement is None else placement.notes
        return RasterSurvey(
            found, self.raster.size_hw, finding.scale, finding.reason, placement, place_reason, share, inspected_m2,
            None if placement is None else _to_outline(outline_rc, placement),
            None if placement is None else placement.to_lonlat(_corners(self.raster.size_hw)),
            self.layers.files, overlay.widths, self.network.slices, tuple(self.notes),
            {name: round(seconds, 3) for name, seconds in self.seconds.items()},
        )  # fmt: skip

    def _locate(self) -> tuple[RasterPlacement | None, str]:
        if self.raster.placement is None:
            return None, "the raster is not georeferenced"
        position = locate_raster(self.raster.placement)
        found = position.placement
        return (found, "") if isinstance(found, RasterPlacement) else (None, position.reason)

    def _measure(
        self, read_grey: Callable[[slice, slice], Any], scale: GroundScale | None, options: MeasureOptions,
        least_confidence: float,
    ) -> Measurement:  # fmt: skip
        seen_px = 0.0

        def read_window(rows: slice, columns: slice) -> tuple[BoolMask, Probability | None]:
            nonlocal seen_px
            grey = read_grey(rows, columns)
            seen_px += grey.size
            traced(seen_px / self._megapixels / 1e6 / 1.3)  # the windows overlap
            return grey > 255.0 * self.threshold, grey.astype(np.float32) / np.float32(255)

        with self.part("trace") as traced:
            graph = trace_cracks_by_tiles(read_window, *self.raster.size_hw)
        with self.part("widths"):
            graph, report, left_out = tell_cracks(graph, self._read_rgb, scale, options.confidence, least_confidence)
        self.notes += left_out.notes
        return measure_graph(graph, scale=scale, options=options, widths=report)

    def _read_rgb(self, rows: slice, columns: slice) -> RgbImage:
        return self.raster.read_window(rows, columns)

    def _describe_scale(self, scale: GroundScale, share: float) -> float:
        """Notes on a scale; returns the inspected area in m²."""
        self.notes += scale.notes
        middle = np.array([[(side - 1) / 2 for side in self.raster.size_hw]])
        gsd = float(scale.gsd_mm(middle)[0])
        if gsd > COARSE_GSD_MM:
            self.notes.append(
                f"a pixel is {gsd:.0f} mm on the ground: cracks are hardly ever seen at that size, and what is "
                "reported is likely something else; look at the overlay"
            )
        return share * self._megapixels * gsd**2


def _corners(size_hw: tuple[int, int]) -> Points:
    """Outer corners in pixels, clockwise from the upper left."""
    bottom, right = size_hw[0] - 0.5, size_hw[1] - 0.5
    return np.array([[-0.5, -0.5], [-0.5, right], [bottom, right], [bottom, -0.5]])


def _to_outline(outline_rc: Any, placement: RasterPlacement) -> Any:
    """A geometry in pixels (row, column) on the globe."""
    import shapely

    return shapely.make_valid(shapely.transform(outline_rc, placement.to_lonlat))
