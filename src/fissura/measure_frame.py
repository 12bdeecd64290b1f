"""One picture through the measuring chain: mask, scale, cracks, overlay, and a record that outlives the process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fissura.data.pairs import read_mask
from fissura.errors import DataError, ImageError, SettingsError
from fissura.geo.gsd import ScaleFinding, check_scale_options, find_ground_scale
from fissura.geo.position import GroundPlacement, find_position
from fissura.geo.scale import GroundScale
from fissura.geo.targets import parse_target
from fissura.imaging.crack_overlay import OverlayArea, OverlayLine, draw_crack_overlay
from fissura.imaging.roi import Roi
from fissura.imaging.scene import Scene
from fissura.imaging.width_scale import WidthScale
from fissura.infer.segmenter import Segmenter
from fissura.measure.axis import ground_direction_deg
from fissura.measure.doubtful import confidence_limit, describe_doubtful, without_doubtful
from fissura.measure.graph import MOST_SIDE_PX, trace_cracks
from fissura.measure.layout import RoadLayout
from fissura.measure.measuring import Measurement, MeasureOptions, measure_graph, width_per_px
from fissura.measure.reach import find_reach
from fissura.measure.rules import RuleSet
from fissura.measure.summary import CrackSummary, summarise
from fissura.measure_profiles import PlainProfile, plain_profiles
from fissura.report.records import WidthSamples
from fissura.report.tables import Fields, area_fields, crack_fields, round_fields
from fissura.segmenting import Progress, segment_scene
from fissura.types import BoolMask, Probability, RgbImage

MAX_MEASURED_PIXELS = 400_000_000
"""Larger pictures do not fit into a laptop's memory with all that measuring needs."""


COARSE_GSD_MM = 25.0
"""Ground size of a pixel above which what a network calls a crack is probably none."""


@dataclass(frozen=True)
class ScaleRequest:
    """What the user says about the scale; see `fissura.geo.gsd.find_ground_scale`."""

    gsd_mm: float | None = None
    target: str | None = None
    ground_height_m: float | None = None
    distance_m: float | None = None
    sensor_width_mm: float | None = None

    def check(self) -> None:
        """Raise SettingsError for a value that makes no sense in any picture."""
        check_scale_options(self.gsd_mm, self.ground_height_m, self.distance_m, self.sensor_width_mm)
        if self.target is not None:
            parse_target(self.target)


@dataclass(frozen=True)
class FrameRequest:
    """What is asked of every picture."""

    scale: ScaleRequest
    rules: RuleSet | None = None
    road_direction_deg: float | None = None
    lane_width_m: float | None = None
    section_length_m: float | None = None
    lane_centre_xy: tuple[float, float, float, float] | None = None
    """Two pixels (x, y, x, y) on the lane's centre line, in the direction of travel; needs `lane_width_m`."""
    min_length: float = 0.0
    """In millimetres where there is a scale, else in pixels."""
    network_scale: float | None = None
    """Scale at which the network sees the picture, None for automatic."""
    least_confidence: float | None = 0.0
    """Finds that are less sure are not measured; None: `confidence_limit`."""


@dataclass
class FrameRecord:
    """What was found in one picture, as plain values for JSON.

    Attributes:
        source: Path as given in the tables.
        cracks: Rows of ``cracks.csv``.
        areas: Rows of ``areas.csv``.
        summary: Rows of ``summary.csv``.
        lines_lonlat: For each crack its place, or empty.
        areas_lonlat: For each area its outline, or empty.
        position_sigma_m: Standard error of these places.
        widths: Width of every metre or so of crack, for the histogram, and `lengths`, `below` beside it.
        lengths: Lengths those widths stand for.
        below: Whether those widths could not be seen.
        scale: Description of the scale, for people.
        notes: What the user should know.
        scaled: Millimetres if True, pixels if False.
        totals: Sums for the closing lines.
        scale_source: As of `GroundScale`, empty without a scale.
        gsd_mm: Ground size of a pixel in the middle of the picture; None without a scale, and above the horizon.
        gsd_sigma_percent: Its standard error.
        profiles: For each crack the widths along it; none in a record of an older fissura.
        widest: For each crack which of them is the largest.
    """

    source: str
    cracks: list[Fields] = field(default_factory=list)
    areas: list[Fields] = field(default_factory=list)
    summary: list[Fields] = field(default_factory=list)
    lines_lonlat: list[list[list[float]]] = field(default_factory=list)
    areas_lonlat: list[list[list[float]]] = field(default_factory=list)
    position_sigma_m: float | None = None
    widths: list[float] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    below: list[bool] = field(default_factory=list)
    scale: str = ""
    notes: list[str] = field(default_factory=list)
    scaled: bool = False
    totals: dict[str, float] = field(default_factory=dict)
    scale_source: str = ""
    gsd_mm: float | None = None
    gsd_sigma_percent: float | None = None
    profiles: list[PlainProfile] = field(default_factory=list)
    widest: list[int] = field(default_factory=list)

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False, default=str)

    @classmethod
    def from_json(cls, text: str) -> FrameRecord:
        """Read back. Raises ValueError, TypeError or KeyError on a damaged text."""
        return cls(**json.loads(text))


@dataclass(frozen=True, eq=False)
class FrameResult:
    """A measured picture before anything is written."""

    record: FrameRecord
    measurement: Measurement
    overlay: RgbImage
    mask: BoolMask
    valid: BoolMask | None = None
    """Pixels of a raster that hold data; None if all do."""


def measure_frame(
    path: Path,
    source: str,
    scene: Scene,
    request: FrameRequest,
    *,
    mask_path: Path | None,
    segmenter: Segmenter | None,
    roi: Roi | None = None,
    progress: Progress | None = None,
    found: tuple[BoolMask, Probability] | None = None,
) -> FrameResult:
    """Measure one picture.

    Args:
        path: The file.
        source: Its name in the tables.
        scene: Its opened page.
        request: What is asked.
        mask_path: Crack mask of the same size; None lets the network find the cracks.
        segmenter: The network; needed without a mask.
        roi: Region of interest.
        progress: Told the megapixels that the network has finished.
        found: Mask and probability, shape (H, W), if the network has been at work before; `segmenter` only names it.
    Raises:
        FissuraError: The picture, its mask or its scale cannot be used; the message says which and why.
    """
    if max(scene.height, scene.width) > MOST_SIDE_PX:
        raise ImageError(
            f"the picture is {scene.width}x{scene.height}, but at most {MOST_SIDE_PX} pixels a side are measured in "
            "one piece; use 'fissura survey', which takes GeoTIFFs of any size, or cut it into tiles"
        )
    if scene.height * scene.width > MAX_MEASURED_PIXELS:
        raise ImageError(
            f"{scene.width}x{scene.height} pixels are more than the {MAX_MEASURED_PIXELS / 1e6:.0f} megapixels that "
            "are measured in one piece; cut the raster into tiles, for example with gdal_retile"
        )
    rgb, valid = scene.read_rows(0, scene.height)
    region = roi.fit(scene) if roi is not None else None
    mask, probability = found or _find_cracks(scene, rgb, request, mask_path, segmenter, region, progress)
    if valid is not None:
        mask = mask & valid
    finding = find_ground_scale(path, rgb=rgb, **vars(request.scale))
    scale = finding.scale
    reach = None if scale is None else find_reach(scale, (scene.height, scene.width))
    seen, mask = mask, mask if reach is None else mask & reach.near
    layout = _layout(request, scale, mask.shape)
    options = MeasureOptions(
        road_direction_deg=request.road_direction_deg, lane_width_m=request.lane_width_m, layout=layout,
        rules=request.rules, confidence=None if segmenter is None else segmenter.card.confidence,
    )  # fmt: skip
    graph = trace_cracks(mask, probability=probability, options=options.trace)
    least = request.least_confidence
    if least is None:
        least = confidence_limit(scale, graph.size_hw)
    graph, doubtful = without_doubtful(graph, options.confidence, least, scale)
    measured = measure_graph(graph, rgb=rgb, scale=scale, options=options, known_probability=probability is not None)
    measured = _drop_short(measured, request.min_length)
    looked_at = region if valid is None else valid if region is None else valid & region
    if reach is not None:
        looked_at = reach.near if looked_at is None else looked_at & reach.near
    record = _record(path, source, measured, finding, scene, request, layout, looked_at, segmenter)
    if reach is not None:
        record.notes.append(reach.describe(seen))
    record.notes.extend(describe_doubtful(doubtful, least))
    return FrameResult(record, measured, _draw(rgb, measured, source), mask, valid)


def _find_cracks(
    scene: Scene, rgb: RgbImage, request: FrameRequest, mask_path: Path | None, segmenter: Segmenter | None,
    region: BoolMask | None, progress: Progress | None,
) -> tuple[BoolMask, Probability | None]:  # fmt: skip
    if mask_path is not None:
        try:
            mask = read_mask(mask_path, size_hw=(scene.height, scene.width))
        except DataError as error:
            raise ImageError(str(error)) from error
        return (mask if region is None else mask & region), None
    if segmenter is None:
        raise SettingsError("there is neither a mask nor a model; give --mask or --model")
    result = segment_scene(scene, segmenter, scale=request.network_scale, roi=region, progress=progress)
    return result.mask, result.probability.astype(np.float32) / np.float32(255)


def _layout(request: FrameRequest, scale: GroundScale | None, size_hw: tuple[int, ...]) -> RoadLayout | None:
    if scale is None:
        return None
    if request.lane_centre_xy is not None and request.lane_width_m is not None:
        centre_rc = np.array(request.lane_centre_xy, np.float64).reshape(2, 2)[:, ::-1]
        return RoadLayout.along_lane(centre_rc, scale, request.lane_width_m, request.section_length_m)
    if request.section_length_m is None or request.road_direction_deg is None:
        return None
    height, width = size_hw
    road = ground_direction_deg(request.road_direction_deg, scale, ((height - 1) / 2, (width - 1) / 2))
    return RoadLayout.across_picture(road, (height, width), scale, request.section_length_m)


def _drop_short(found: Measurement, least: float) -> Measurement:
    """Leave out cracks (all their branches together) that are shorter than `least`; numbers stay without gaps."""
    if least <= 0:
        return found
    whole: dict[int, float] = {}
    for crack in found.cracks:
        whole[crack.crack_id] = whole.get(crack.crack_id, 0.0) + crack.length
    kept = [k for k, crack in enumerate(found.cracks) if whole[crack.crack_id] >= least]
    cracks = tuple(replace(found.cracks[k], id=number) for number, k in enumerate(kept, start=1))
    return replace(found, cracks=cracks, order=tuple(found.order[k] for k in kept))


def _record(
    path: Path, source: str, found: Measurement, finding: ScaleFinding, scene: Scene, request: FrameRequest,
    layout: RoadLayout | None, looked_at: BoolMask | None, segmenter: Segmenter | None,
) -> FrameRecord:  # fmt: skip
    scale, metadata = finding.scale, finding.metadata
    # As a text, which a record that is read again gives back as it is.
    captured = None if metadata is None or metadata.captured_at is None else metadata.captured_at.isoformat()
    size_hw = found.graph.size_hw
    model = "mask" if segmenter is None else f"{segmenter.card.name} {segmenter.card.version}"
    record = FrameRecord(source, scaled=scale is not None, notes=list(scene.notes))
    for crack in found.cracks:
        extra: Fields = {"extent": crack.extent}
        fields = crack_fields(crack, source_frame=source, captured_at=captured, model=model, size_hw=size_hw)
        record.cracks.append(fields | extra)
    record.areas = [
        area_fields(a, source_frame=source, captured_at=captured, model=model, size_hw=size_hw) for a in found.areas
    ]
    if scale is not None and segmenter is not None:
        record.notes.extend(_coarse_note(scale, size_hw))
    # Nothing looked at, as in a region of interest beside the picture, is no area.
    inspected = None if scale is None else scale.area_m2(size_hw, looked_at) or None
    summary = summarise(
        found.cracks, found.areas, request.rules, inspected_area_m2=inspected, scale=scale, layout=layout
    )
    record.summary = _summary_fields(source, summary)
    record.totals = {
        "length": summary.length, "left_out": summary.left_out, "area": summary.area,
        "inspected_m2": inspected or 0.0, "cracks": summary.cracks,
    }  # fmt: skip
    _add_histogram(record, found)
    if scale is not None:
        record.scale_source, record.gsd_mm = scale.source, _middle_gsd_mm(scale, size_hw)
        record.gsd_sigma_percent = 100.0 * scale.sigma
    _describe_scale(record, finding, sections=request.section_length_m is not None)
    # A GeoTIFF has a place even where its scale is not used.
    position = find_position(path, scale, metadata=metadata)
    if position.placement is not None:
        record.notes.extend(position.placement.notes if scale is not None else ())
        _add_places(record, found, position.placement)
    elif scale is not None:
        record.notes.append(f"no place on the map: {position.reason}")
    record.profiles, record.widest = plain_profiles(found, position.placement)
    return record


def _coarse_note(scale: GroundScale, size_hw: tuple[int, int]) -> tuple[str, ...]:
    """Nobody should trust cracks found in a satellite picture."""
    gsd = _middle_gsd_mm(scale, size_hw)
    if gsd is None or gsd <= COARSE_GSD_MM:
        return ()
    return (
        f"a pixel is {gsd:.0f} mm on the ground: cracks are hardly ever seen at that size, and what is reported is "
        "likely something else; look at the overlay",
    )


def _middle_gsd_mm(scale: GroundScale, size_hw: tuple[int, int]) -> float | None:
    """Ground size of a pixel in the middle of the picture; None above the horizon."""
    middle = np.array([[(side - 1) / 2 for side in size_hw]])
    return float(scale.gsd_mm(middle)[0]) if scale.on_ground(middle).all() else None


def _summary_fields(source: str, summary: CrackSummary) -> list[Fields]:
    unit, area = ("m", "m2") if summary.scaled else ("px", "px2")
    width = "mm" if summary.scaled else "px"
    rows: list[Fields] = []
    inspected = summary.inspected_area_m2
    for row in summary.rows:
        of_area: Fields = {}
        if summary.scaled:
            density = None if inspected is None else row.length / inspected
            of_area = round_fields({"inspected_m2": inspected, "density_m_per_m2": density})
        rows.append({
            "source_frame": source, "section": row.section, "zone": row.zone, "class": row.kind,
            "severity": row.severity, "standard": summary.standard, "cracks": row.count,
            f"length_{unit}": round(row.length, 4), f"area_{area}": round(row.area, 4),
            f"width_mean_{width}": None if not np.isfinite(row.width_mean) else round(row.width_mean, 3),
            **of_area,
        })  # fmt: skip
    return rows


def _add_histogram(record: FrameRecord, found: Measurement) -> None:
    samples = sample_widths(found)
    record.widths += list(samples.widths)
    record.lengths += list(samples.lengths)
    record.below += list(samples.below_gsd)


def sample_widths(found: Measurement) -> WidthSamples:
    """Widths by point rather than by branch: a branch may be wide here and narrow there."""
    widths: list[float] = []
    lengths: list[float] = []
    below: list[bool] = []
    for crack, i in zip(found.cracks, found.order, strict=True):
        branch, measured = found.graph.branches[i], found.widths.branches[i]
        step = max(1, len(branch.points_rc) // 64)
        chosen = slice(step // 2, None, step)
        width = (measured.width_px * width_per_px(branch.points_rc, found.scale))[chosen]
        widths += [round(float(w), 4) for w in width]
        lengths += [round(crack.length / len(width), 4)] * len(width)
        below += [bool(b) for b in measured.below_blur[chosen]]
    return WidthSamples("px" if found.scale is None else "mm", widths, lengths, below)


def _describe_scale(record: FrameRecord, finding: ScaleFinding, *, sections: bool) -> None:
    scale = finding.scale
    if scale is None:
        record.scale = "unknown: everything is in pixels"
        record.notes.append(f"no scale: {finding.reason}")
        if sections:
            record.notes.append("no sections: they are in metres, which needs a scale")
        return
    record.scale = f"from {scale.source}, ± {100 * scale.sigma:.1f} %"
    record.notes.extend(scale.notes)


def _add_places(record: FrameRecord, found: Measurement, placement: GroundPlacement) -> None:
    record.position_sigma_m = placement.sigma_m
    record.lines_lonlat = [_finite(placement.to_lonlat(crack.points_rc)) for crack in found.cracks]
    record.areas_lonlat = [_finite(placement.to_lonlat(area.outline_rc)) for area in found.areas]


def _finite(lonlat: npt.NDArray[np.float64]) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in lonlat if np.isfinite(x) and np.isfinite(y)]


def _draw(rgb: RgbImage, found: Measurement, source: str, widths: WidthScale | None = None) -> RgbImage:
    lines = []
    unit = "px" if found.scale is None else "mm"
    for crack, i in zip(found.cracks, found.order, strict=True):
        branch, measured = found.graph.branches[i], found.widths.branches[i]
        mark = "<" if crack.below_gsd else ""
        lines.append(OverlayLine(
            branch.points_rc, measured.width_px, measured.width_px * width_per_px(branch.points_rc, found.scale),
            label=f"#{crack.id}  {mark}{crack.width_mean:.{1 if crack.width_mean < 20 else 0}f} {unit}",
            bridged=branch.bridged,
        ))  # fmt: skip
    area_unit = "m²" if found.scale is not None else "px²"
    areas = [OverlayArea(area.outline_rc, f"alligator {area.area:.2g} {area_unit}") for area in found.areas]
    return draw_crack_overlay(rgb, lines, areas, scale=found.scale, widths=widths, caption=Path(source).name)


def describe_settings(request: FrameRequest) -> dict[str, Any]:
    """Everything in the request that results depend on, as JSON values."""
    return {
        **vars(request.scale), "rules": None if request.rules is None else request.rules.name,
        "rules_content": None if request.rules is None else request.rules.model_dump(mode="json"),
        "road_direction_deg": request.road_direction_deg, "lane_width_m": request.lane_width_m,
        "section_length_m": request.section_length_m, "lane_centre_xy": request.lane_centre_xy,
        "min_length": request.min_length,
        "network_scale": request.network_scale,
        # None as in folders of an older fissura, which had no such limit and can be gone on with.
        "least_confidence": request.least_confidence or None,
    }  # fmt: skip
