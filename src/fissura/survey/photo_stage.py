"""The photos of a survey: look at each, put together those that know where they were taken, measure the ground once.

Every photo is committed on its own, every piece of ground too; a run that goes on takes what is there.
"""

from __future__ import annotations

import queue
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from fissura.cli.console import ProgressLine, warn
from fissura.errors import FissuraError, ImageError, OutputError
from fissura.geo.metadata import PhotoMetadata
from fissura.geo.odm import AlignedPhoto
from fissura.geo.position import PICTURE_EDITORS
from fissura.geo.route import Route
from fissura.imaging.find import SourceImage
from fissura.imaging.read import read_image
from fissura.imaging.scene import MemoryScene
from fissura.imaging.write import is_fatal, write_jpeg
from fissura.infer.segmenter import Segmenter
from fissura.mask_folder import MaskFolder
from fissura.measure.measuring import Measurement
from fissura.measure.rules import RuleSet
from fissura.measure_frame import FrameRecord, FrameRequest, ScaleRequest, measure_frame
from fissura.report.records import SurveyArea, SurveyCrack, SurveyFrame, WidthSamples
from fissura.spec import ConfidenceCurve
from fissura.survey.ground_record import GroundRecord, add_pictures, crack_box_px, cut_picture
from fissura.survey.photo_ground import (
    PhotoFlight,
    PosedPhoto,
    align_photos,
    group_photos,
    measure_part,
    picture_worst,
    road_directions,
)
from fissura.survey.photo_look import (
    LookOptions,
    PhotoLook,
    is_whole,
    look_at_photo,
    read_probability,
    relative_sharpness,
)
from fissura.survey.photo_pose import find_aligned_prior, find_prior, share_alignment
from fissura.survey.pose import ground_pixel_size
from fissura.survey.rating import RatingBasis
from fissura.survey.request import SurveyRequest
from fissura.survey.run_folder import RunFolder, checksum, stamp_file
from fissura.types import RgbImage

_T = TypeVar("_T")


@dataclass
class PhotoStage:
    """The photos of one run.

    Attributes:
        request: Options.
        folder: Of the run.
        segmenters: One for each worker; none if masks are given.
        masks: Given by the user.
        rules: Severities.
        alignment: Poses by name of photo, from OpenDroneMap.
        route: Reference line.
        frames: What became of each photo, filled by `run`.
        grounds: What was measured, filled by `run`.
        tracks: Names of flights and camera positions, filled by `run`.
    """

    request: SurveyRequest
    folder: RunFolder
    segmenters: Sequence[Segmenter]
    masks: MaskFolder | None
    rules: RuleSet | None
    alignment: dict[str, AlignedPhoto] = field(default_factory=dict)
    route: Route | None = None
    frames: list[SurveyFrame] = field(default_factory=list)
    grounds: list[GroundRecord] = field(default_factory=list)
    tracks: list[tuple[str, np.ndarray]] = field(default_factory=list)
    _lost: dict[str, str] = field(default_factory=dict)

    @property
    def threshold(self) -> float:
        """Probability above which a pixel is crack."""
        return self.segmenters[0].threshold if self.segmenters else 0.5

    @property
    def _curve(self) -> ConfidenceCurve | None:
        """From the network's probabilities to confidences; None if masks are given."""
        return self.segmenters[0].card.confidence if self.segmenters else None

    @property
    def model(self) -> str:
        """Name and version of the network."""
        return f"{self.segmenters[0].card.name} {self.segmenters[0].card.version}" if self.segmenters else "mask"

    def run(self, images: Sequence[SourceImage], names: dict[Path, str], sources: dict[Path, str]) -> None:
        """Everything, from files to `frames` and `grounds`.

        Raises:
            OutputError: Nothing more can be written; what is finished is on disk.
        """
        looks, failed = self._look(images, names, sources)
        copies = _find_copies(looks)
        used = [look for look in looks if look.name not in copies]
        notes: dict[str, list[str]] = {look.name: list(look.notes) + _clock_notes(look) for look in looks}
        posed, alone = self._find_poses(used, notes)
        for name, original in copies.items():
            notes[name].append(f"a copy of {original}, left out")
        for name, reason in alone.items():
            notes[name].append(f"measured alone, without a place among the other photos: {reason}")
        placed = self._measure_together(posed)
        for look in used:
            if look.name in alone:
                self._keep(partial(self._measure_alone, look), [look])
        looks = [look for look in looks if look.name not in self._lost]
        failed += [(image, self._lost[names[image.path]]) for image in images if names[image.path] in self._lost]
        sharpness = dict(zip([look.name for look in looks], relative_sharpness(looks), strict=True))
        rows = [_frame(look, sharpness[look.name], notes[look.name], placed.get(look.name)) for look in looks]
        rows += [SurveyFrame(sources[i.path], str(i.path), status="failed", error=text) for i, text in failed]
        order = {sources[image.path]: k for k, image in enumerate(images)}
        self.frames = sorted(rows, key=lambda frame: order[frame.name])

    # -- looking ------------------------------------------------------------------------------------------------

    def _look(
        self, images: Sequence[SourceImage], names: dict[Path, str], sources: dict[Path, str]
    ) -> tuple[list[PhotoLook], list[tuple[SourceImage, str]]]:
        """Looks in the order of the images, and those that failed with the reason."""
        done: dict[Path, PhotoLook] = {}
        failed: dict[Path, str] = {}
        free: queue.Queue[Segmenter | None] = queue.Queue()
        for segmenter in self.segmenters:
            free.put(segmenter)
        if not self.segmenters:
            free.put(None)
        with (
            ThreadPoolExecutor(self.workers) as pool,
            ProgressLine("photos", len(images), quiet=self.request.quiet, unit="photos") as line,
        ):
            waiting: dict[Future[PhotoLook], SourceImage] = {}
            try:
                for image in images:
                    while len(waiting) >= 2 * self.workers:
                        self._collect(waiting, done, failed, line)
                    name, source = names[image.path], sources[image.path]
                    waiting[pool.submit(self._look_or_find, image, name, source, free)] = image
                while waiting:
                    self._collect(waiting, done, failed, line)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        looks = [done[image.path] for image in images if image.path in done]
        return looks, [(image, failed[image.path]) for image in images if image.path in failed]

    @property
    def workers(self) -> int:
        """Photos that are worked on at the same time."""
        return max(len(self.segmenters), 1)

    def _collect(
        self, waiting: dict[Future[PhotoLook], SourceImage], done: dict[Path, PhotoLook], failed: dict[Path, str],
        line: ProgressLine,
    ) -> None:  # fmt: skip
        """Take what is finished; one bad photo never stops the others, a full disk does."""
        finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in sorted(finished, key=lambda f: str(waiting[f].path)):
            image = waiting.pop(future)
            try:
                done[image.path] = future.result()
            except OutputError as error:
                if is_fatal(error):
                    raise
                failed[image.path] = self._fail(str(image.relative), str(image.path), error)
            except Exception as error:
                failed[image.path] = self._fail(str(image.relative), str(image.path), error)
            line.advance(image.path.name)

    def _fail(self, source: str, path: str, error: Exception) -> str:
        if self.request.debug:
            traceback.print_exception(error)
        text = str(error)
        if not isinstance(error, FissuraError):
            text = f"{type(error).__name__}: {error}; run with --debug for the trace"
        warn(f"failed: {source}: {text}")
        self.folder.log(f"photo {path} failed {text}", {"input": path, "status": "failed", "error": text})
        return text

    def _look_or_find(
        self, image: SourceImage, name: str, source: str, free: queue.Queue[Segmenter | None]
    ) -> PhotoLook:
        """A finished look from the run's folder, or a new one."""
        try:
            mask = None if self.masks is None else self.masks.find(image)
            stamp = [str(image.path), *stamp_file(image.path), *([] if mask is None else stamp_file(mask))]
        except OSError as error:
            raise ImageError(f"{image.path.name} cannot be read: {error.strerror or error}") from error
        path = self.folder.work("photos", f"{name}.json")
        raw = self.folder.read_record(path, stamp)
        if raw is not None and is_whole(self.folder, name):
            look = PhotoLook.from_plain(raw)
        else:
            segmenter = free.get()
            try:
                options = LookOptions(self.request.scale, self.request.whole_frame, self._known)
                look = look_at_photo(
                    image.path, name, source, checksum(image.path), self.folder, options, segmenter=segmenter,
                    mask_path=mask,
                )  # fmt: skip
            finally:
                free.put(segmenter)
            self.folder.commit(path, stamp, look.to_plain())
            look = PhotoLook.from_plain(look.to_plain())  # as it is when read back
        self.folder.log(f"photo {name} {look.digest}", {
            "input": str(image.path), "name": name, "sha256": look.sha256, "status": "done", "slices": look.slices,
            "road_found": look.road_found, "seconds": round(look.seconds, 3), "model": self.model,
        })  # fmt: skip
        return look

    # -- measuring ----------------------------------------------------------------------------------------------

    def _find_poses(
        self, looks: Sequence[PhotoLook], notes: dict[str, list[str]]
    ) -> tuple[list[PosedPhoto], dict[str, str]]:
        """Photos with a pose, and why the others have none; adds to the notes of each photo."""
        posed, alone = [], {}
        known, metadatas = self._known, [look.read_metadata() for look in looks]
        names = [Path(look.path).name for look in looks]
        given, said = share_alignment(list(zip(names, metadatas, strict=True)), self.alignment)
        for look, note in zip(looks, said, strict=True):
            notes[look.name] += [note] if note else []
        sharpnesses = relative_sharpness(list(looks))
        for look, metadata, aligned, sharpness in zip(looks, metadatas, given, sharpnesses, strict=True):
            prior = find_prior(metadata, **known) if aligned is None else find_aligned_prior(metadata, aligned, **known)
            if isinstance(prior, str):
                alone[look.name] = prior
            else:
                posed.append(PosedPhoto(look, prior, sharpness, _is_suspect(metadata)))
        return posed, alone

    @property
    def _known(self) -> dict[str, float | None]:
        """What the user says of the camera."""
        request = self.request
        return {
            "ground_height_m": request.ground_height_m, "sensor_width_mm": request.sensor_width_mm,
            "gsd_mm": request.gsd_mm,
        }  # fmt: skip

    def _measure_together(self, posed: Sequence[PosedPhoto]) -> dict[str, tuple[PhotoFlight, int]]:
        """Measure the ground of all photos with a pose; where each photo ended up, by its name."""
        placed: dict[str, tuple[PhotoFlight, int]] = {}
        if not posed:
            return placed
        for members in group_photos(posed):
            photos = [posed[i] for i in members]
            flights = self._guard(partial(self._align, photos), [photo.look for photo in photos]) or []
            for flight in flights:
                for i, photo in enumerate(flight.photos):
                    placed[photo.look.name] = flight, i
                self._add_track(flight)
                for part in flight.parts:
                    self._keep(partial(self._measure_part, flight, part), [flight.photos[i].look for i in part])
        return placed

    def _keep(self, measure: Callable[[], GroundRecord], looks: Sequence[PhotoLook]) -> None:
        """Take what was measured."""
        record = self._guard(measure, looks)
        if record is not None:
            self.grounds.append(record)

    def _guard(self, work: Callable[[], _T], looks: Sequence[PhotoLook]) -> _T | None:
        """What work gives; where it fails it costs its own photos, a full disk everything."""
        try:
            return work()
        except Exception as error:
            if isinstance(error, OutputError) and is_fatal(error):
                raise
            for look in looks:
                self._lost[look.name] = self._fail(look.source, look.path, error)
            return None

    def _align(self, photos: Sequence[PosedPhoto]) -> list[PhotoFlight]:
        if len(photos) < 8:
            return align_photos(photos, self.folder)
        with ProgressLine("put together", 100, quiet=self.request.quiet, unit="%") as line:
            return align_photos(
                photos, self.folder,
                progress=lambda done, total: line.advance("", 100 * done // total - line.count),
            )  # fmt: skip

    def _add_track(self, flight: PhotoFlight) -> None:
        cameras = np.array([[p.x, p.y] for p in flight.adjusted.poses])
        moments = [_moment(photo.look.read_metadata().captured_at) for photo in flight.photos]
        known = [m for m in moments if m is not None]
        order = np.argsort(known, kind="stable") if len(known) == len(moments) else np.arange(len(moments))
        name = Path(flight.photos[0].look.path).parent.name
        self.tracks.append((name, flight.ground.to_lonlat(cameras)[order]))

    def _measure_part(self, flight: PhotoFlight, part: Sequence[int]) -> GroundRecord:
        name = f"ground_{flight.photos[part[0]].look.name}"
        stamp = [[flight.photos[i].look.name, flight.photos[i].look.digest] for i in part]
        directions = road_directions(flight, part, self.route)

        def measure() -> GroundRecord:
            with ProgressLine("measure", len(part), quiet=self.request.quiet, unit="photos") as line:
                return measure_part(
                    flight, part, self.folder, name, threshold=self.threshold, model=self.model,
                    directions_deg=directions, confidence=self._curve, least_confidence=self.request.least_confidence,
                    progress=line.advance,
                )  # fmt: skip

        # Of a route it depends on the directions alone that it gives: another one need not change them.
        along = [None if angle is None else round(angle, 6) for angle in directions]
        return self._take_or_measure(
            self.folder.work("grounds", f"{name}.json"), [stamp, _poses_stamp(flight, part)],
            {"least_confidence": self.request.least_confidence, "directions": along},
            ("rules", "route", "route_crs", "least_confidence"), measure,
            lambda record: picture_worst(record, flight, self.folder.out, name, self.rules),
        )  # fmt: skip

    def _take_or_measure(
        self, path: Path, stamp: object, given: dict[str, object], began: Sequence[str],
        measure: Callable[[], GroundRecord], picture: Callable[[GroundRecord], bool],
    ) -> GroundRecord:  # fmt: skip
        """A finished record, or a new one, with pictures of its worst cracks, rated; see `RunFolder.read_record`."""
        raw = self.folder.read_record(path, stamp, given=given, began=began)
        record = measure() if raw is None else GroundRecord.from_plain(raw)
        if (record.bases is not None and picture(record)) or raw is None:
            plain = record.to_plain()
            self.folder.commit(path, stamp, plain, given=given)
            record = GroundRecord.from_plain(plain)  # rounded, as it is when it is read back
        return record.rated(self.rules)

    def _measure_alone(self, look: PhotoLook) -> GroundRecord:
        """A photo that has no place among the others: its own cracks, in millimetres if it has a scale."""

        def picture(record: GroundRecord) -> bool:
            opened: list[RgbImage] = []

            def cut(crack: SurveyCrack) -> tuple[RgbImage, float | None]:
                if not opened:
                    opened.append(read_image(Path(look.path)).rgb)
                return _cut(opened[0], crack)

            return add_pictures(record, self.folder.out, look.name, cut, self.rules)

        return self._take_or_measure(
            self.folder.work("alone", f"{look.name}.json"), look.digest,
            {"least_confidence": self.request.least_confidence}, ("rules", "least_confidence"),
            partial(self._measure_photo, look), picture,
        )  # fmt: skip

    def _measure_photo(self, look: PhotoLook) -> GroundRecord:
        image = read_image(Path(look.path))
        probability = read_probability(self.folder, look.name)
        request = FrameRequest(
            ScaleRequest(self.request.gsd_mm, None, self.request.ground_height_m, None, self.request.sensor_width_mm),
            road_direction_deg=look.direction_deg, least_confidence=self.request.least_confidence,
        )  # fmt: skip
        found = measure_frame(
            Path(look.path), look.source, MemoryScene(image), request, mask_path=None,
            segmenter=self.segmenters[0] if self.segmenters else None,
            found=(probability > round(self.threshold * 255), probability.astype(np.float32) / np.float32(255)),
        )  # fmt: skip
        write_jpeg(self.folder.out / "overlays" / f"{look.name}.jpg", found.overlay)
        return from_frame_record(found.record, found.measurement)


def _cut(rgb: RgbImage, crack: SurveyCrack) -> tuple[RgbImage, float | None]:
    gsd = crack.fields["gsd_mm"]
    return cut_picture(rgb, crack_box_px(crack.fields), float(gsd) if isinstance(gsd, (int, float)) else None)


def from_frame_record(frame: FrameRecord, found: Measurement) -> GroundRecord:
    """A single picture's measurement in the form of a piece of ground."""
    sigma = frame.position_sigma_m
    lines = frame.lines_lonlat or [[]] * len(frame.cracks)
    outlines = frame.areas_lonlat or [[]] * len(frame.areas)

    def placed(lonlat: list[list[float]], least: int) -> np.ndarray | None:
        return np.array(lonlat, np.float64) if len(lonlat) >= least else None

    cracks = [
        SurveyCrack(f, placed(p, 2), sigma if len(p) >= 2 else None) for f, p in zip(frame.cracks, lines, strict=True)
    ]
    areas = [
        SurveyArea(f, placed(p, 3), sigma if len(p) >= 3 else None) for f, p in zip(frame.areas, outlines, strict=True)
    ]
    return GroundRecord(
        cracks, areas,
        WidthSamples("mm" if frame.scaled else "px", frame.widths, frame.lengths, frame.below),
        notes=tuple(frame.notes), bases=[RatingBasis.of(crack) for crack in found.cracks],
    )  # fmt: skip


def _find_copies(looks: Sequence[PhotoLook]) -> dict[str, str]:
    """Names of photos that are the same file as an earlier one, with the source of that."""
    first: dict[str, str] = {}
    copies = {}
    for look in looks:
        if look.sha256 in first:
            copies[look.name] = first[look.sha256]
        else:
            first[look.sha256] = look.source
    return copies


def _clock_notes(look: PhotoLook) -> list[str]:
    moment = _moment(look.read_metadata().captured_at)
    if moment is None:
        return []
    year = datetime.fromtimestamp(moment, UTC).year
    if year < 2005 or moment > datetime.now(UTC).timestamp() + 86400 * 2:
        return [f"the camera's clock was wrong: the photo says it was taken in {year}"]
    return []


def _moment(captured: datetime | None) -> float | None:
    if captured is None:
        return None
    return (captured if captured.tzinfo else captured.replace(tzinfo=UTC)).timestamp()


def _is_suspect(metadata: PhotoMetadata) -> bool:
    return any(part in metadata.software.lower() for part in PICTURE_EDITORS)


def _poses_stamp(flight: PhotoFlight, part: Sequence[int]) -> list[list[float]]:
    """The plane, and each photo on it with the errors that results state."""
    ground = flight.ground
    plane = [round(ground.latitude_deg, 9), round(ground.longitude_deg, 9)]
    sizes = [round(ground.gsd_mm, 6), round(flight.adjusted.scale_sigma(part), 6)]
    rows = [[*flight.pose(i).vector(), *flight.sigma_m(i, np.array([flight.lens(i).centre_xy]))] for i in part]
    return [plane, sizes, *(np.round(row, 6).tolist() for row in rows)]


def _frame(
    look: PhotoLook, sharpness: float, notes: Sequence[str], placed: tuple[PhotoFlight, int] | None
) -> SurveyFrame:
    metadata = look.read_metadata()
    common = SurveyFrame(
        look.source, look.path, captured_at=metadata.captured_at, size_hw=look.size_hw,
        sharpness=round(sharpness, 3), road_found=look.road_found, direction_deg=look.direction_deg,
        slices=look.slices, seconds=round(look.seconds, 3),
        overlay=f"overlays/{look.name}.jpg", mask=f"masks/{look.name}.png", notes=tuple(notes),
    )  # fmt: skip
    if placed is None:
        return common
    flight, i = placed
    lens, pose, gsd = flight.lens(i), flight.pose(i), flight.ground.gsd_mm
    centre = np.array([lens.centre_xy])
    return SurveyFrame(**{
        **vars(common), "camera_lonlat": flight.ground.to_lonlat(np.array([[pose.x, pose.y]]))[0],
        "footprint_lonlat": flight.ground.to_lonlat(flight.outline(i)),
        "position_sigma_m": round(float(flight.sigma_m(i, centre)[0]), 3),
        "gsd_mm": float(ground_pixel_size(pose.ground_from_frame(lens), centre)[0]) * gsd,
        "height_m": float(np.exp(pose.log_height)) * gsd * lens.focal_px / 1000.0,
    })  # fmt: skip
