"""From photos to ground: each piece is taken from the photo that shows it best, and measured once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from shapely import STRtree
from shapely.geometry import Polygon

from fissura.geo.homography import transform
from fissura.geo.position import PhotoPlacement
from fissura.geo.route import Route
from fissura.geo.scale import GroundScale
from fissura.imaging.read import read_image
from fissura.measure.model import Crack
from fissura.measure.rules import RuleSet
from fissura.report.records import SurveyCrack
from fissura.spec import ConfidenceCurve
from fissura.survey.adjustment import AdjustedPhotos, adjust_photos, adjust_poses
from fissura.survey.backdrop import Backdrop
from fissura.survey.flight import LEAST_SHARPNESS
from fissura.survey.ground import CELL_PX, GroundCanvas
from fissura.survey.ground_record import (
    GroundRecord,
    Sighting,
    add_pictures,
    crack_box_px,
    cut_picture,
    outline_to_ground,
    record_ground,
)
from fissura.survey.merged import MergedGround, SeenFrame, chart_bounds, direction_through, measure_ground
from fissura.survey.mosaic import write_mosaic
from fissura.survey.photo_look import PhotoLook, read_features, read_probability, read_seen
from fissura.survey.photo_match import connected_parts, find_turned, level_poses, match_all, without_strays
from fissura.survey.photo_pose import GroundFrame, PosePrior, footprint
from fissura.survey.placing import FlightPlace
from fissura.survey.pose import FramePose, Lens, PointsXY, ground_pixel_size
from fissura.survey.run_folder import RunFolder
from fissura.types import RgbImage

_BLOCK_PX = 2048
_RIM_PX, _RIM_QUALITY = 24, 0.6
_EDGE_LOSS = 0.2
"""The corner of a photo counts so much less than its middle: relief and lens errors are largest there."""
_COARSEST = 4.0
_FINER = 1.5
"""Photos with so much finer pixels than the ground's are reduced before they are brought to it."""
_MOST_CELLS = 1 << 20
_ROUTE_REACH_M = 30.0
"""A route further away says nothing about the road in a photo."""


@dataclass(frozen=True, eq=False)
class PosedPhoto:
    """A photo that knows where it was taken.

    Attributes:
        look: What was seen in it.
        prior: Its pose by its own data.
        sharpness: Relative to the other photos of the camera.
        suspect: It was saved by a program that turns pictures.
    """

    look: PhotoLook
    prior: PosePrior
    sharpness: float
    suspect: bool = False


@dataclass(frozen=True, eq=False)
class PhotoFlight:
    """Photos put together on one plane.

    Attributes:
        photos: In order.
        ground: The plane.
        adjusted: Where each photo is on it.
        turned: Quarters of a circle by which each was turned by hand.
        pairs: Photos that were joined by shared points.
        parts: Indices of the photos of each connected piece of ground.
        apart: Photos from much nearer or further away lie beside these and are a flight of their own.
    """

    photos: tuple[PosedPhoto, ...]
    ground: GroundFrame
    adjusted: AdjustedPhotos
    turned: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    parts: tuple[tuple[int, ...], ...]
    apart: bool = False

    def lens(self, index: int) -> Lens:
        """Of a photo."""
        return self.photos[index].prior.lens

    def pose(self, index: int) -> FramePose:
        """Of a photo, on the ground."""
        return self.adjusted.poses[index]

    def outline(self, index: int) -> PointsXY:
        """Footprint of a photo in ground pixels, shape (N, 2)."""
        return footprint(self.pose(index), self.lens(index), coarsest=_COARSEST)[0]

    def sigma_m(self, index: int, frame_xy: PointsXY) -> npt.NDArray[np.float64]:
        """Standard error along one axis of points seen in a photo, shape (N,), in metres."""
        own = self.adjusted.point_sigma_px(index, self.lens(index), frame_xy) * self.ground.gsd_mm / 1000.0
        return np.asarray(np.hypot(own, self.photos[index].prior.sigma_common_m), np.float64)


def group_photos(photos: Sequence[PosedPhoto], *, reach_m: float = 1000.0) -> list[list[int]]:
    """Indices of photos that lie near each other: one plane serves for each group only."""
    frame = GroundFrame.around([p.prior for p in photos])
    unit = replace(frame, gsd_mm=1000.0)
    at = unit.to_ground(np.array([[p.prior.longitude_deg, p.prior.latitude_deg] for p in photos]))
    return _overlapping([shapely.Point(xy).buffer(reach_m / 2, quad_segs=4) for xy in at])


def align_photos(
    photos: Sequence[PosedPhoto], folder: RunFolder, *, progress: Callable[[int, int], None] | None = None
) -> list[PhotoFlight]:
    """Put photos together by their own data and by the points they share.

    Args:
        photos: Of one group (`group_photos`).
        folder: Of the run, for their features.
        progress: Told how many pairs of how many are compared.
    Returns:
        One flight, as a rule. No size of ground pixels serves a photo from 3 m and one from 60 m: where photos see the
        ground in so different sizes, each of several flights has those of like ones, all in the places they have by
        all of the photos.
    """
    priors = [p.prior for p in photos]
    lenses = [p.lens for p in priors]
    ground = GroundFrame.around(priors)
    poses = [ground.pose(p) for p in priors]
    slack_px = 1000.0 * _slack_m(priors) / ground.gsd_mm
    pairs = match_all(
        poses, lenses, lambda i: read_features(folder, photos[i].look.name),
        slack_px=slack_px, progress=progress,
    )  # fmt: skip
    quarters = find_turned(poses, lenses, pairs, suspects=[p.suspect for p in photos], slack_px=slack_px)
    levelled = level_poses(poses, quarters, lenses)
    pairs = without_strays(pairs, levelled, lenses, slack_px=slack_px)
    heights = [p.log_height for p in adjust_poses(levelled, priors, pairs, gsd_mm=ground.gsd_mm)]
    levels = split_heights(heights)
    flights = []
    for members in levels:
        # Ground pixels as fine as the photos turned out to be, not as they said.
        finer = float(np.exp(np.percentile([heights[i] for i in members], 25)))
        own = replace(ground, gsd_mm=ground.gsd_mm * finer)
        poses = level_poses([own.pose(p) for p in priors], quarters, lenses)
        adjusted = adjust_photos(poses, priors, pairs, gsd_mm=own.gsd_mm).only(members)
        placed = zip(adjusted.poses, [lenses[i] for i in members], strict=True)
        parts = _overlapping([Polygon(footprint(p, lens, coarsest=_COARSEST)[0]) for p, lens in placed])
        flights.append(PhotoFlight(
            tuple(photos[i] for i in members), own, adjusted, tuple(quarters[i] for i in members), adjusted.pairs,
            tuple(tuple(part) for part in parts), len(levels) > 1,
        ))  # fmt: skip
    return flights


def split_heights(log_heights: Sequence[float]) -> list[list[int]]:
    """Indices of photos by how large they see the ground: in each group at most so differently as one view does.

    Photos of a group that is more different are parted at the widest gap between their heights.

    Args:
        log_heights: `FramePose.log_height` of each; logarithms of the size of its pixels on the ground will do.

    >>> split_heights([0.0, 3.0, 0.2, 3.1]), split_heights([0.0, 0.7, 1.3])
    ([[0, 2], [1, 3]], [[0, 1, 2]])
    """
    order = np.argsort(log_heights, kind="stable")
    rising = np.asarray(log_heights, np.float64)[order]
    if not len(order) or rising[-1] - rising[0] <= np.log(_COARSEST):
        return [list(range(len(order)))]
    cut = int(np.diff(rising).argmax()) + 1
    groups = []
    for side in (np.sort(order[:cut]), np.sort(order[cut:])):
        groups += [[int(side[i]) for i in group] for group in split_heights([log_heights[k] for k in side])]
    return sorted(groups)


def _slack_m(priors: Sequence[PosePrior]) -> float:
    """How far two photos may lie from each other's place: three times their errors, tilt and direction included."""
    place = float(np.max([p.sigma_place_m for p in priors]))
    height = float(np.median([p.height_m for p in priors]))
    return 3.0 * float(np.hypot(np.sqrt(2) * place, 0.06 * height)) + 0.05 * height


def _overlapping(shapes: Sequence[shapely.Geometry]) -> list[list[int]]:
    """Groups of shapes that overlap, directly or through others; in the order of their first members."""
    return connected_parts(len(shapes), STRtree(shapes).query(shapes, predicate="intersects").T)


def measure_part(
    flight: PhotoFlight, part: Sequence[int], folder: RunFolder, name: str, *, threshold: float, model: str,
    directions_deg: Sequence[float | None], confidence: ConfidenceCurve | None = None,
    least_confidence: float | None = 0.0, progress: Callable[[str], None] | None = None,
) -> GroundRecord:  # fmt: skip
    """Measure one connected piece of ground, and draw its mosaic.

    Args:
        flight: Photos in their places.
        part: Those that show this ground.
        folder: Of the run.
        name: Of this ground, for its files.
        threshold: Probability above which a pixel is crack.
        model: Name and version of the network.
        directions_deg: Of the road in each photo of the part, see `road_directions`.
        confidence: The network's, see `fissura.measure.MeasureOptions`.
        least_confidence: Finds that are less sure are left out, see `fissura.measure.doubtful.without_doubtful`.
        progress: Told the name of each photo that was put in.
    """
    start = time.perf_counter()
    canvas, backdrop = GroundCanvas(folder.work("grounds", name)), Backdrop()
    sharp = GroundCanvas(folder.work("grounds", name))
    for i in part:
        _mark(flight, i, folder, canvas, sharp)
    for i in part:
        _put(flight, i, folder, canvas, backdrop)
        if progress is not None:
            progress(flight.photos[i].look.source)
    merged = _measure(flight, part, canvas, threshold, directions_deg, confidence, least_confidence)
    best = _best_photos(flight, part, folder, merged)
    record = record_ground(
        merged, lambda crack, index: _sighting(flight, best[crack.id], merged, crack), area_source=name, model=model
    )
    record.mosaic = write_mosaic(
        folder.out, name, canvas, backdrop, merged, caption=name, to_lonlat=flight.ground.to_lonlat
    )
    seen, sharply = canvas.seen_outline(), sharp.seen_outline()
    for state, outline in (("inspected", sharply), ("too_blurred", shapely.difference(seen, sharply))):
        record.ground += outline_to_ground(state, outline, flight.ground.to_lonlat, flight.ground.gsd_mm)  # type: ignore[arg-type]
    record.notes = (*record.notes, *_describe(flight, part))
    record.seconds = time.perf_counter() - start
    return record


def _mark(flight: PhotoFlight, i: int, folder: RunFolder, canvas: GroundCanvas, sharp: GroundCanvas) -> None:
    """Note how well a photo shows each cell of the ground."""
    top, left, value = _cell_values(flight, i, folder)
    canvas.mark_seen(top, left, value > 0, value)
    if flight.photos[i].sharpness >= LEAST_SHARPNESS:
        sharp.mark_seen(top, left, value > 0, value)


def _cell_values(flight: PhotoFlight, i: int, folder: RunFolder) -> tuple[int, int, npt.NDArray[np.float32]]:
    """First row and column of cells, and how well the photo shows each, shape (h, w); 0 where it does not."""
    outline = flight.outline(i)
    left, top = np.floor(outline.min(axis=0) / CELL_PX).astype(int)
    right, bottom = np.ceil(outline.max(axis=0) / CELL_PX).astype(int)
    seen, blocks = read_seen(folder, flight.photos[i].look.name), []
    step = max(_MOST_CELLS // max(int(right - left), 1), 1)  # rows at a time: each cell takes twenty numbers on its way
    for first in range(top, bottom, step):
        rows, columns = np.mgrid[first : min(first + step, bottom), left:right]
        centres = np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64) * CELL_PX + (CELL_PX - 1) / 2
        blocks.append([part.reshape(rows.shape) for part in _values_and_sizes(flight, i, centres, seen)])
    value, size = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return int(top), int(left), _without_coarse(value, size)


def _values(
    flight: PhotoFlight, i: int, ground_xy: PointsXY, seen: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float32]:
    """How well a photo shows points of the ground, shape (N,): sharp, near, in its middle; 0 outside of it."""
    return _without_coarse(*_values_and_sizes(flight, i, ground_xy, seen))


def _without_coarse(
    value: npt.NDArray[np.float32], size: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Values of points, 0 where a photo shows the ground much smaller than at the nearest of them."""
    finest = float(size[value > 0].min(initial=np.inf))
    return np.where(size <= _COARSEST * finest, value, np.float32(0))


def _values_and_sizes(
    flight: PhotoFlight, i: int, ground_xy: PointsXY, seen: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Values of points however coarse, and ground pixels per pixel of the photo there, shape (N,) both."""
    lens, matrix = flight.lens(i), flight.pose(i).ground_from_frame(flight.lens(i))
    inverse = np.asarray(np.linalg.inv(matrix), np.float64)
    h, w = lens.size_hw
    ahead = np.column_stack([ground_xy, np.ones(len(ground_xy))]) @ inverse[2] * np.sign(inverse[2, 2]) > 0
    frame_xy = transform(inverse, ground_xy)
    x, y = frame_xy[:, 0], frame_xy[:, 1]
    rim = np.minimum(np.minimum(x, w - 1 - x), np.minimum(y, h - 1 - y))
    inside = ahead & (rim > 0)
    if seen is not None:
        cell = np.clip((frame_xy + 0.5) * np.array(seen.shape[::-1]) / (w, h), 0, np.array(seen.shape[::-1]) - 1)
        cell = np.where(inside[:, None], cell, 0).astype(int)
        inside &= seen[cell[:, 1], cell[:, 0]]
    size = ground_pixel_size(matrix, np.where(inside[:, None], frame_xy, lens.centre_xy))
    away = np.linalg.norm((frame_xy - lens.centre_xy) / (w / 2, h / 2), axis=1) ** 2 / 2
    sharpness = flight.photos[i].sharpness
    quality = (1.0 if sharpness >= LEAST_SHARPNESS else sharpness) * (1.0 - _EDGE_LOSS * np.minimum(away, 1.0))
    value = np.where(rim < _RIM_PX, _RIM_QUALITY, 1.0) * quality / size
    return np.where(inside, value, 0.0).astype(np.float32), size


def _put(flight: PhotoFlight, i: int, folder: RunFolder, canvas: GroundCanvas, backdrop: Backdrop) -> None:
    """Bring a photo to the ground where no other shows it better."""
    look, matrix = flight.photos[i].look, flight.pose(i).ground_from_frame(flight.lens(i))
    rgb, probability = read_image(Path(look.path)).rgb, read_probability(folder, look.name)
    backdrop.paste(rgb, matrix)
    size = float(ground_pixel_size(matrix, np.array([flight.lens(i).centre_xy]))[0])
    rgb, probability, up = _reduced(rgb, probability, size)
    top, left, value = _cell_values(flight, i, folder)
    step = _BLOCK_PX // CELL_PX
    for r in range(0, value.shape[0], step):
        for c in range(0, value.shape[1], step):
            own = value[r : r + step, c : c + step]
            rows, columns = np.indices(own.shape)
            cells = np.column_stack([columns.ravel() + left + c, rows.ravel() + top + r]).astype(np.float64)
            known = canvas.quality_at(cells * CELL_PX + (CELL_PX - 1) / 2).reshape(own.shape)
            best = (own > 0) & (own >= known * (1 - 1e-6))
            if not best.any():
                continue
            origin = np.array([[1, 0, -(left + c) * CELL_PX], [0, 1, -(top + r) * CELL_PX], [0, 0, 1.0]])
            size_wh = own.shape[1] * CELL_PX, own.shape[0] * CELL_PX
            picture = cv2.warpPerspective(rgb, origin @ matrix @ up, size_wh, flags=cv2.INTER_LINEAR)
            crack = cv2.warpPerspective(probability, origin @ matrix, size_wh, flags=cv2.INTER_LINEAR)
            weight = cv2.resize(best.astype(np.float32), size_wh, interpolation=cv2.INTER_NEAREST)
            canvas.paste(
                (top + r) * CELL_PX, (left + c) * CELL_PX, crack.astype(np.float32) / np.float32(255), weight,
                np.asarray(picture, np.uint8), keep_old=np.zeros_like(weight),
            )  # fmt: skip


def _reduced(
    rgb: RgbImage, probability: npt.NDArray[np.uint8], size: float
) -> tuple[RgbImage, npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """A photo that is much finer than the ground's pixels, so that interpolation between its pixels leaves none out.

    Args:
        rgb: Shape (H, W, 3).
        probability: Shape (H, W).
        size: Ground pixels for a pixel of the photo.
    Returns:
        The picture with means of its pixels; probabilities, which stay in their size, with the largest around (the
        mean would drop cracks finer than a ground pixel, which from further away are found, too); and the matrix from
        the picture to the photo.
    """
    if size > 1 / _FINER:
        return rgb, probability, np.eye(3)
    h, w = rgb.shape[:2]
    small = cv2.resize(rgb, (max(round(w * size), 1), max(round(h * size), 1)), interpolation=cv2.INTER_AREA)
    # Middles of pixels are at whole numbers, so a reduction moves them.
    x, y = w / small.shape[1], h / small.shape[0]
    side = 2 * int(0.5 / size) + 1
    wide = cv2.dilate(probability, np.ones((side, side), np.uint8))
    up = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1.0]])
    return np.asarray(small, np.uint8), np.asarray(wide, np.uint8), up


def _measure(
    flight: PhotoFlight, part: Sequence[int], canvas: GroundCanvas, threshold: float,
    directions_deg: Sequence[float | None], confidence: ConfidenceCurve | None, least_confidence: float | None,
) -> MergedGround:  # fmt: skip
    frames = [SeenFrame(flight.pose(i), flight.lens(i), along) for i, along in zip(part, directions_deg, strict=True)]
    bounds = canvas.bounds_rc or chart_bounds(frames)
    assert bounds is not None
    top, left, bottom, right = bounds
    gsd, ground = flight.ground.gsd_mm, flight.ground
    notes = list(dict.fromkeys(note for i in part for note in flight.photos[i].prior.notes))
    scale = GroundScale.uniform(
        gsd, sigma=min(max(flight.adjusted.scale_sigma(part), 1e-6), 0.9), source="xmp", notes=tuple(notes)
    )
    middle = [float(flight.sigma_m(i, np.array([flight.lens(i).centre_xy]))[0]) for i in part]
    placement = PhotoPlacement(
        scale, ground.latitude_deg, ground.longitude_deg, 0.0, origin_mm=(-left * gsd, -top * gsd),
        sigma_m=float(np.median(middle)),
    )  # fmt: skip
    place = FlightPlace(scale, placement, tuple(notes))
    return measure_ground(
        canvas, frames, 0, place, origin_rc=(top, left), size_hw=(bottom - top, right - left), threshold=threshold,
        confidence=confidence, least_confidence=least_confidence,
    )  # fmt: skip


def road_directions(flight: PhotoFlight, part: Sequence[int], route: Route | None) -> list[float | None]:
    """Of the road in photos, counter-clockwise from the right: as it was found, or else as the route runs there."""
    return [_direction_deg(flight, i, route) for i in part]


def _direction_deg(flight: PhotoFlight, i: int, route: Route | None) -> float | None:
    found = flight.photos[i].look.direction_deg
    if found is not None or route is None:
        return found
    pose, lens = flight.pose(i), flight.lens(i)
    middle_xy = transform(pose.ground_from_frame(lens), np.array([lens.centre_xy]))
    chainage, offset = route.locate(flight.ground.to_lonlat(middle_xy))
    if abs(float(offset[0])) > _ROUTE_REACH_M:
        return None
    # Azimuths run clockwise from north, angles counter-clockwise from the right.
    return direction_through(pose.frame_from_ground(lens), 90.0 - route.azimuth_deg(float(chainage[0])), middle_xy)


def _best_photos(flight: PhotoFlight, part: Sequence[int], folder: RunFolder, merged: MergedGround) -> dict[int, int]:
    """For each crack (by its number) the photo that shows its middle best, as the ground was taken from it."""
    cracks = merged.measurement.cracks
    if not cracks:
        return {}
    shift = np.array(merged.origin_rc[::-1])
    middles = np.array([c.points_rc[len(c.points_rc) // 2][::-1] + shift for c in cracks])
    best, value = np.full(len(cracks), part[0]), np.zeros(len(cracks), np.float32)
    for i in part:
        seen = _values(flight, i, middles, read_seen(folder, flight.photos[i].look.name))
        # A middle may lie a little beside all that was looked at: then any photo that shows it will do.
        own = np.maximum(seen, 1e-6 * _values(flight, i, middles))
        best, value = np.where(own > value, i, best), np.maximum(own, value)
    return {crack.id: int(i) for crack, i in zip(cracks, best, strict=True)}


def _sighting(flight: PhotoFlight, i: int, merged: MergedGround, crack: Crack) -> Sighting:
    """A crack in the photo that shows it best."""
    points = crack.points_rc[:, ::-1] + np.array(merged.origin_rc[::-1])
    lens, look = flight.lens(i), flight.photos[i].look
    frame_xy = transform(flight.pose(i).frame_from_ground(lens), points)
    h, w = lens.size_hw
    low, high = np.floor(frame_xy.min(axis=0) + 0.5), np.floor(frame_xy.max(axis=0) + 0.5)
    box = [*np.clip(low, 0, (w - 1, h - 1)), *np.clip(high, 0, (w - 1, h - 1))]
    at = frame_xy[len(frame_xy) // 2][None]
    return Sighting(
        look.source, look.read_metadata().captured_at, (int(box[0]), int(box[1]), int(box[2]), int(box[3])),
        round(float(flight.sigma_m(i, at)[0]), 4),
    )  # fmt: skip


def picture_worst(record: GroundRecord, flight: PhotoFlight, out: Path, name: str, rules: RuleSet | None) -> bool:
    """Pictures of the worst cracks, cut from the photos they were seen in; see `add_pictures`."""
    sources = {p.look.source: i for i, p in enumerate(flight.photos)}
    opened: dict[int, RgbImage] = {}

    def cut(crack: SurveyCrack) -> tuple[RgbImage, float | None]:
        i = sources[str(crack.fields["source_frame"])]
        if i not in opened:
            opened.clear()
            opened[i] = read_image(Path(flight.photos[i].look.path)).rgb
        lens = flight.lens(i)
        pixel = ground_pixel_size(flight.pose(i).ground_from_frame(lens), np.array([lens.centre_xy]))
        return cut_picture(opened[i], crack_box_px(crack.fields), float(pixel[0]) * flight.ground.gsd_mm)

    return add_pictures(record, out, name, cut, rules)


def _describe(flight: PhotoFlight, part: Sequence[int]) -> tuple[str, ...]:
    inside = set(part)
    joined = {i for pair in flight.pairs for i in pair if i in inside}
    notes = []
    if flight.apart:
        pixel = flight.ground.gsd_mm
        notes.append(
            f"photos from much nearer or further away than those of this ground (pixels of about {pixel:.2g} mm) are "
            "measured apart: a crack that both show counts in both"
        )
    if len(part) > 1:
        off = flight.adjusted.residual_px * flight.ground.gsd_mm / 1000.0
        agree = f", which agree to {off:.2f} m" if np.isfinite(off) else ""
        notes.append(f"{len(joined)} of {len(part)} photos were joined by shared points{agree}")
    for i in part:
        if flight.turned[i]:
            notes.append(
                f"{flight.photos[i].look.source} was turned by {90 * flight.turned[i]} degrees after it was taken; "
                "its place was corrected"
            )
    return tuple(notes)
