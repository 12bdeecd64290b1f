"""One photo of a survey: its road found, its cracks segmented, and everything later stages need of it on disk."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from fissura.data.pairs import read_mask
from fissura.errors import DataError, ImageError
from fissura.geo.metadata import PhotoMetadata, read_metadata
from fissura.imaging.overlay import draw_overlay
from fissura.imaging.read import read_image
from fissura.imaging.write import write_bytes, write_jpeg, write_mask, write_png
from fissura.infer.segmenter import Segmenter
from fissura.road import Road, find_road, plan_slices, segment_slices
from fissura.survey.look_scales import faint_odds, fill_gaps, plan_look_scales, raise_faint
from fissura.survey.looking import quieten
from fissura.survey.photo_match import Features, find_photo_features
from fissura.survey.photo_pose import find_prior
from fissura.survey.run_folder import RunFolder, checksum
from fissura.survey.sharpness import measure_sharpness
from fissura.types import BoolMask, Probability, RgbImage

_CELLS_WIDE = 480
_CELL_MM, _LEAST_REDUCED, _MOST_REDUCED = 42.0, 1.3, 4.0
_NOTCH, _NOTCH_DEPTH = 0.35, 13
_PNG, _AGAIN = b"\x89PNG\r\n\x1a\n", "delete it, and the same command looks at its photo again"
ASLANT_DEG = 45.0
"""Of slices to the road. Networks learn from photographs in which joints lie along the picture's sides, and take clear
straight cracks along a slice's sides for joints, too; most cracks of a road run along or across it. On three drawn
flights of 5 mm a pixel slices aslant found .991 of the cracks at precision .81, slices along the road with a second,
coarser look .948 at .71; of five reduced to 17 mm a pixel .97 at .72 and .90 at .70 (docs/LOG.md)."""


@dataclass(frozen=True)
class PhotoLook:
    """What a look at a photo gave; pixels are in files beside it.

    Attributes:
        name: In the run: path below the source, without suffix where that is unique.
        source: As in the tables: path below the source.
        path: The file, absolute.
        sha256: Of the file.
        size_hw: Rows and columns as displayed.
        metadata: Fields of `PhotoMetadata`.
        road_found: Whether a road was found; without one the whole photo counts.
        road_share: Of the photo, 0 to 1.
        direction_deg: Of the road, 0 to 180, counter-clockwise from the picture's right; None without.
        slices: Tiles that the network saw.
        sharpness: Fine detail, the first value of `measure_sharpness`.
        seconds: Spent on it.
        notes: For the user.
        mask_sha256: Of the mask that was given; empty without one.
        evenness: The second value of `measure_sharpness`; None in looks that older versions kept.
    """

    name: str
    source: str
    path: str
    sha256: str
    size_hw: tuple[int, int]
    metadata: dict[str, Any]
    road_found: bool
    road_share: float
    direction_deg: float | None
    slices: int
    sharpness: float
    seconds: float
    notes: tuple[str, ...] = ()
    mask_sha256: str = ""
    evenness: float | None = None

    @property
    def digest(self) -> str:
        """Changes with the photo and with the mask that was given for it."""
        return f"{self.sha256} {self.mask_sha256}".strip()

    def read_metadata(self) -> PhotoMetadata:
        """What the file says of its camera."""
        raw = dict(self.metadata)
        for key in ("size_hw", "exif_size_hw", "rtk_std_m", "problems", "position_problems"):
            raw[key] = None if raw[key] is None else tuple(raw[key])
        raw["captured_at"] = None if raw["captured_at"] is None else datetime.fromisoformat(raw["captured_at"])
        return PhotoMetadata(**raw)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        raw = asdict(self)
        captured = raw["metadata"].get("captured_at")
        raw["metadata"]["captured_at"] = captured.isoformat() if isinstance(captured, datetime) else captured
        return raw

    @classmethod
    def from_plain(cls, raw: dict[str, Any]) -> PhotoLook:
        """The other way. Raises TypeError or KeyError on other content."""
        return cls(**raw | {"size_hw": tuple(raw["size_hw"]), "notes": tuple(raw["notes"])})


@dataclass(frozen=True)
class LookOptions:
    """How photos are looked at.

    Attributes:
        scale: Enlargement of slices.
        whole_frame: Look everywhere, not on the road only.
        known: What the user says of the camera; see `find_prior`.
    """

    scale: float
    whole_frame: bool = False
    known: Mapping[str, float | None] = field(default_factory=dict)

    def gsd_mm(self, metadata: PhotoMetadata) -> float | None:
        """Ground size of a photo's pixels, as far as its own data tell."""
        prior = find_prior(metadata, **self.known)
        return None if isinstance(prior, str) else prior.gsd_mm


def look_at_photo(
    path: Path, name: str, source: str, sha256: str, folder: RunFolder, options: LookOptions, *,
    segmenter: Segmenter | None, mask_path: Path | None,
) -> PhotoLook:  # fmt: skip
    """Look at a photo and write what was found, but not the record that says so.

    Args:
        path: The file.
        name: In the run.
        source: In the tables.
        sha256: Of the file.
        folder: Of the run.
        options: How to look.
        segmenter: The network; needed without a mask.
        mask_path: Crack mask given by the user, in place of the network.
    Raises:
        FissuraError: The photo or its mask cannot be used, or a result cannot be written.
    """
    start = time.perf_counter()
    image = read_image(path)
    rgb, metadata = image.rgb, read_metadata(path)
    if min(rgb.shape[:2]) < 32:
        raise ImageError(f"{rgb.shape[1]}x{rgb.shape[0]} pixels are too few for a survey; 32 a side are needed")
    gsd_mm = options.gsd_mm(metadata)
    road = _find_road(rgb, options, gsd_mm)
    slices = 0
    if mask_path is not None:
        try:
            probability = read_mask(mask_path, size_hw=rgb.shape[:2]).view(np.uint8) * np.uint8(255)
        except DataError as error:
            raise ImageError(str(error)) from error
        seen = np.ones_like(road.mask)  # whoever drew the mask has looked everywhere
    else:
        assert segmenter is not None
        odds = faint_odds(None if gsd_mm is None else gsd_mm / options.scale)
        probability, seen, slices = _segment(rgb, road, segmenter, options.scale, gsd_mm, odds)
    if image.valid is not None:
        probability[~image.valid] = 0
    threshold = 0.5 if segmenter is None else segmenter.threshold
    mask = probability > round(threshold * 255)
    _write(folder, name, probability, mask, rgb, seen, find_photo_features(rgb))
    detail, evenness = measure_sharpness(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    return PhotoLook(
        name, source, str(path), sha256, (rgb.shape[0], rgb.shape[1]), vars(metadata), road.found,
        float(road.mask.mean()) if road.found else 1.0, road.direction_deg, slices,
        detail, time.perf_counter() - start, image.notes, "" if mask_path is None else checksum(mask_path), evenness,
    )  # fmt: skip


def _find_road(rgb: RgbImage, options: LookOptions, gsd_mm: float | None) -> Road:
    height, width = rgb.shape[:2]
    if options.whole_frame:
        across = min(_CELLS_WIDE, width)
        return Road.none((max(height * across // width, 1), across), (height, width))
    return fill_notches(find_wide_road(rgb, gsd_mm))


def find_wide_road(rgb: RgbImage, gsd_mm: float | None) -> Road:
    """`find_road` for photos from so near that they show little but road.

    It was made for wider views, where a cell of its mask is four centimetres of ground and more. A photo from nearer is
    reduced and put in the middle of its own reflection: then the road is as wide in the picture as in those views.

    Args:
        rgb: Shape (H, W, 3).
        gsd_mm: Ground size of a pixel; None if not known, and then the photo is taken as it is.
    """
    height, width = rgb.shape[:2]
    factor = 1.0 if gsd_mm is None else min(_CELL_MM * _CELLS_WIDE / (gsd_mm * width), _MOST_REDUCED)
    if factor < _LEAST_REDUCED:
        return find_road(rgb)
    h, w = round(height / factor), round(width / factor)
    top, left = (height - h) // 2, (width - w) // 2
    small = cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA)
    wide = cv2.copyMakeBorder(small, top, height - h - top, left, width - w - left, cv2.BORDER_REFLECT_101)
    found = find_road(np.ascontiguousarray(wide))
    across = min(_CELLS_WIDE, width)
    cells = (max(height * across // width, 1), across)
    own = found.full_mask()[top : top + h, left : left + w].view(np.uint8)
    mask = cv2.resize(own, cells[::-1], interpolation=cv2.INTER_NEAREST) > 0
    if not found.found or not mask.any():
        return Road.none(cells, (height, width), confidence=found.confidence)
    return Road.from_mask(np.asarray(mask, np.bool_), (height, width), confidence=found.confidence)


def fill_notches(road: Road) -> Road:
    """A road without the notches that patches of another grey and shadows cut into its sides.

    What has road before and behind it along the road's direction is road, up to a third of the photo's height. Photos
    come one by one: no frame before this one has seen the place better.

    Args:
        road: As it was found.
    """
    if not road.found or road.direction_deg is None:
        return road
    h, w = road.mask.shape
    reach = _NOTCH * min(h, w) / 2
    angle = np.radians(road.direction_deg)
    along = np.array([np.cos(angle), -np.sin(angle)]) * reach
    side = 2 * int(np.ceil(reach)) + 1
    kernel = np.zeros((side, side), np.uint8)
    middle = np.array([side // 2, side // 2])
    a, b = (np.rint(middle + sign * along).astype(int) for sign in (-1, 1))
    cv2.line(kernel, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 1, 1)
    mask = road.mask.view(np.uint8)
    added = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel) & ~mask & 1
    # A ragged side stays: its dents are shallow, and beyond it begins the verge.
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_NOTCH_DEPTH, _NOTCH_DEPTH))
    deep = cv2.dilate(cv2.morphologyEx(added, cv2.MORPH_OPEN, disc), disc) & added
    filled = Road.from_mask(np.asarray((mask | deep) > 0, np.bool_), road.size_hw, confidence=road.confidence)
    return filled if filled.direction_deg is not None else road


def _cells(road: Road) -> BoolMask:
    return road.mask if road.found else np.ones_like(road.mask)


def _segment(
    rgb: RgbImage, road: Road, segmenter: Segmenter, scale: float, gsd_mm: float | None, odds: float
) -> tuple[npt.NDArray[np.uint8], BoolMask, int]:
    """Probability times 255, the cells that were looked at, and the number of slices."""
    card = segmenter.card
    shown = quieten(rgb, road) if road.found else rgb

    def look(at: float, turn_deg: float = 0.0) -> tuple[Probability, BoolMask, int]:
        slices = plan_slices(road, tile=card.tile, overlap=card.overlap, scale=at, turn_deg=turn_deg)
        return *segment_slices(shown, slices, segmenter), len(slices)

    probability, seen, count = look(scale, ASLANT_DEG)
    probability = raise_faint(probability, odds, segmenter.threshold, scale)
    for coarse in () if road.found else plan_look_scales(scale, gsd_mm)[1:]:
        found, looked, more = look(coarse)
        probability = fill_gaps(probability, found, coarse, segmenter.threshold)
        seen, count = seen | looked, count + more
    out = np.rint(probability * np.float32(255)).astype(np.uint8)
    if road.found:
        out[~road.full_mask()] = 0  # slices show verge too, and its edge and grass are full of dark lines
    h, w = road.mask.shape
    trusted = cv2.resize(seen.view(np.uint8), (w, h), interpolation=cv2.INTER_AREA) > 0
    return out, np.asarray(_cells(road) & trusted, np.bool_), count


def _write(
    folder: RunFolder, name: str, probability: npt.NDArray[np.uint8], mask: BoolMask, rgb: RgbImage, seen: BoolMask,
    features: Features,
) -> None:  # fmt: skip
    write_png(folder.out / "probability" / f"{name}.png", probability)
    write_mask(folder.out / "masks" / f"{name}.png", mask)
    write_jpeg(folder.out / "overlays" / f"{name}.jpg", draw_overlay(rgb, mask))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, seen=seen, points=features[0], descriptors=features[1])
    write_bytes(folder.work("photos", f"{name}.npz"), buffer.getbuffer())


def read_features(folder: RunFolder, name: str) -> Features:
    """Key points of a photo that was looked at. Raises ImageError if the file is gone or damaged."""
    points, descriptors = _read_arrays(folder, name, "points", "descriptors")
    return points, descriptors


def read_seen(folder: RunFolder, name: str) -> BoolMask:
    """Cells of a photo that were looked at: its road, or all of it."""
    (seen,) = _read_arrays(folder, name, "seen")
    return np.asarray(seen, np.bool_)


def read_probability(folder: RunFolder, name: str) -> npt.NDArray[np.uint8]:
    """Crack probability of a photo times 255, shape (H, W)."""
    path = folder.out / "probability" / f"{name}.png"
    found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if found is None:
        raise ImageError(f"{path} is gone or damaged; {_AGAIN}")
    return np.asarray(found, np.uint8)


def is_whole(folder: RunFolder, name: str) -> bool:
    """Whether all files of a look are there, and sound where they are read again: a user may have deleted some."""
    out = folder.out
    probability = out / "probability" / f"{name}.png"
    files = (probability, out / "masks" / f"{name}.png", out / "overlays" / f"{name}.jpg")
    if not all(path.is_file() for path in files) or _is_damaged_png(probability):
        return False
    try:
        _read_arrays(folder, name, "seen", "points", "descriptors")
    except ImageError:
        return False
    return True


def _is_damaged_png(path: Path) -> bool:
    """Whether a PNG has lost its end or anything else, by the checksums of its chunks: nothing has to be decoded.

    What never was a PNG somebody has put there: it stays, and whoever reads it says so.
    """
    data = path.read_bytes()
    if not data.startswith(_PNG):
        return not data.strip(b"\0")
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return True
        if data[at + 4 : at + 8] == b"IEND":
            return False
        at = end + 4
    return True


def _read_arrays(folder: RunFolder, name: str, *keys: str) -> list[Any]:
    path = folder.work("photos", f"{name}.npz")
    try:
        with path.open("rb") as file, np.load(file) as raw:  # NumPy leaves a damaged file open
            return [raw[key] for key in keys]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise ImageError(f"{path} is gone or damaged; {_AGAIN}") from error


def relative_sharpness(looks: list[PhotoLook]) -> list[float]:
    """Sharpness of each photo over the usual one of its camera: 1 is usual, 0.5 half as much fine detail.

    As in videos it is the worse of two signs: a sensor's noise keeps up the detail of what moved, not its evenness.
    """
    groups: dict[Any, list[int]] = {}
    for k, look in enumerate(looks):
        groups.setdefault((look.metadata.get("model"), look.size_hw), []).append(k)
    out = np.full(len(looks), np.inf)
    for members in groups.values():
        for sign in ("sharpness", "evenness"):
            known = [(k, value) for k in members if (value := getattr(looks[k], sign)) is not None]
            if known:
                at, values = map(np.array, zip(*known, strict=True))
                out[at] = np.minimum(out[at], values / max(float(np.percentile(values, 75)), 1e-9))
    return out.tolist()
