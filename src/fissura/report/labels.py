"""Crack masks as labels to be corrected by hand and trained on: COCO, CVAT for images 1.1, LabelMe.

Coordinates are (x, y) in pixels of the picture as it is displayed, the upper left corner of the first pixel at (0, 0).
Each connected crack is an object; where it had to be cut into several polygons (see `fissura.imaging.outlines`), COCO
holds them in one annotation, and CVAT and LabelMe give them the same group. Pictures without cracks are listed, too:
a network learns from them as well.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TextIO
from xml.sax.saxutils import quoteattr

import numpy as np

from fissura.data.labels.coco import describe_polygons
from fissura.data.labels.cvat import printable
from fissura.data.labels.labelme import describe_picture
from fissura.data.labels.sink import LABEL
from fissura.imaging.outlines import Ring, find_outlines
from fissura.imaging.write import as_output_error, open_text
from fissura.report.records import SurveyFrame, SurveyResult
from fissura.types import BoolMask

CATEGORY = LABEL
LARGEST_PIXELS = 150_000_000
"""Masks with more are left out: no labelling tool opens such pictures; cut the raster into parts first."""

_OWN_KEY = "fissura"


@dataclass(frozen=True)
class LabelSummary:
    """What was written.

    Attributes:
        images: Pictures with labels.
        cracks: Connected cracks in them.
        kept: LabelMe files that were corrected by hand and therefore left as they are.
        left_out: Names of frames whose mask is missing, unreadable or too large, each with the reason.
    """

    images: int
    cracks: int
    kept: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Picture:
    """A picture and its cracks, each a list of polygons."""

    number: int
    name: str
    frame: SurveyFrame
    size_hw: tuple[int, int]
    cracks: list[list[Ring]]


def write_labels(folder: Path, result: SurveyResult) -> LabelSummary:
    """Write ``coco.json``, ``cvat.xml`` and ``labelme/<picture>.json``, one mask in memory at a time.

    Args:
        folder: Usually ``labels`` in the run's folder.
        result: Masks are read from its folder; frames without one are left out.
    Returns:
        How much was written and what was left out.
    Raises:
        OutputError: A file cannot be written. ``coco.json`` and ``cvat.xml`` are then as they were.
    """
    images: list[dict[str, Any]] = []
    kept: list[str] = []
    left_out: list[str] = []
    count = 0
    with _coco(folder / "coco.json", result, images) as coco, _cvat(folder / "cvat.xml") as cvat:
        for picture in _pictures(result, left_out):
            for crack in picture.cracks:
                count += 1
                coco.write(("" if count == 1 else ",") + "\n" + json.dumps(_annotation(count, picture, crack)))
            height, width = picture.size_hw
            images.append({"id": picture.number, "file_name": picture.name, "width": width, "height": height})
            _write_cvat_image(cvat, picture)
            path = folder / "labelme" / PurePosixPath(_relative(picture.name)).with_suffix(".json")
            if not _write_labelme(path, picture):
                kept.append(path.relative_to(folder).as_posix())
    return LabelSummary(len(images), count, tuple(kept), tuple(left_out))


def _pictures(result: SurveyResult, left_out: list[str]) -> Iterator[_Picture]:
    number, names = 0, set()
    for frame in result.frames:
        if frame.mask is None:
            continue
        mask = _read_mask(result.folder / frame.mask)
        if isinstance(mask, str):
            left_out.append(f"{frame.name}: {mask}")
            continue
        number += 1
        name = _picture_name(frame)
        # a.jpg and a.png of one folder would share a LabelMe file.
        stem = str(PurePosixPath(_relative(name)).with_suffix("")).lower()
        name = f"{name}.{number}{PurePosixPath(name).suffix}" if stem in names else name
        names.add(stem)
        size_hw = frame.size_hw if min(frame.size_hw) > 0 else (mask.shape[0], mask.shape[1])
        scale_xy = np.array([size_hw[1] / mask.shape[1], size_hw[0] / mask.shape[0]])
        cracks = [[np.round(ring * scale_xy, 2) for ring in crack] for crack in find_outlines(mask)]
        yield _Picture(number, name, frame, size_hw, cracks)


def _open(path: Path) -> Any:
    """A raster for reading. GDAL takes Unicode names only, so a file of another name is read before."""
    import rasterio

    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        return rasterio.open(io.BytesIO(path.read_bytes()))
    return rasterio.open(path)


def _read_mask(path: Path) -> BoolMask | str:
    """The mask, or why there is none."""
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    if not path.is_file():
        return "its mask is missing"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with _open(path) as source:
                if source.width * source.height > LARGEST_PIXELS:
                    return f"its mask of {source.width}x{source.height} pixels is too large for labelling tools"
                mask: BoolMask = source.read(1) > 0
                return mask
    except (RasterioError, OSError) as error:
        return f"its mask cannot be read: {error}"


def _picture_name(frame: SurveyFrame) -> str:
    """As in the tables; a frame of a video, which is no file, is called as its mask, to be exported under that name."""
    if frame.kind != "video" and PurePosixPath(frame.name).suffix:
        return frame.name.replace("\\", "/")
    mask = PurePosixPath(str(frame.mask).replace("\\", "/"))
    return str(PurePosixPath(*mask.parts[1:] or mask.parts).with_suffix(".jpg"))


def _relative(name: str) -> str:
    """A name as a path that stays below the folder it is joined to, whatever the name is."""
    parts = [part.replace(":", "_") for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    return "/".join(parts) or "picture"


@contextmanager
def _coco(path: Path, result: SurveyResult, images: list[dict[str, Any]]) -> Iterator[TextIO]:
    """Annotations first, as they come; the list of images, which is short, when all are known."""
    with open_text(path) as file:
        info: dict[str, Any] = {"description": result.title, "version": "1.0", "contributor": "fissura"}
        if result.created_at is not None:
            info |= {"year": result.created_at.year, "date_created": result.created_at.isoformat()}
        category = {"id": 1, "name": CATEGORY, "supercategory": ""}
        head = f'"info": {json.dumps(info)}, "licenses": [], "categories": [{json.dumps(category)}]'
        file.write(f'{{{head}, "annotations": [')
        yield file
        file.write('\n], "images": [' + ",".join("\n" + json.dumps(image) for image in images) + "\n]}\n")


def _annotation(number: int, picture: _Picture, crack: Sequence[Ring]) -> dict[str, Any]:
    known = {"id": number, "image_id": picture.number, "category_id": 1, "iscrowd": 0}
    return known | describe_polygons(crack)


@contextmanager
def _cvat(path: Path) -> Iterator[TextIO]:
    with open_text(path) as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        yield file
        file.write("</annotations>\n")


def _write_cvat_image(file: TextIO, picture: _Picture) -> None:
    height, width = picture.size_hw
    name = quoteattr(printable(picture.name))
    file.write(f'  <image id="{picture.number - 1}" name={name} width="{width}" height="{height}">\n')
    for group, crack in enumerate(picture.cracks, 1):
        together = f' group_id="{group}"' if len(crack) > 1 else ""
        for ring in crack:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in ring)
            known = f'label="{CATEGORY}" source="auto" occluded="0" z_order="0"{together}'
            file.write(f'    <polygon {known} points="{points}"/>\n')
    file.write("  </image>\n")


def _write_labelme(path: Path, picture: _Picture) -> bool:
    """Write the file of one picture; False if it was corrected by hand since, which must not be lost."""
    if _is_corrected(path):
        return False
    record = describe_picture(picture.cracks, _image_path(path, picture), picture.size_hw)
    record[_OWN_KEY] = {"shapes_sha256": _fingerprint(record["shapes"])}
    with open_text(path) as file:
        json.dump(record, file)
    return True


def _is_corrected(path: Path) -> bool:
    """Whether its shapes are others than those written here; LabelMe keeps keys that it does not know."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return False  # no JSON: nothing that LabelMe could have saved
    except OSError as error:
        raise as_output_error(path, error) from error
    own = record.get(_OWN_KEY) if isinstance(record, dict) else None
    written = own.get("shapes_sha256") if isinstance(own, dict) else None
    return bool(written != _fingerprint(record.get("shapes", [])) if isinstance(record, dict) else False)


def _fingerprint(shapes: Sequence[Any]) -> str:
    """Of what a person changes, in no matter which version of LabelMe: the labels and the points."""
    said = [[shape.get("label"), shape.get("points")] for shape in shapes if isinstance(shape, dict)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _image_path(path: Path, picture: _Picture) -> str:
    """From the label to the picture; its name alone where there is no such file, as of frames of videos."""
    source = Path(picture.frame.source)
    if picture.frame.kind == "video" or not source.is_file():
        return PurePosixPath(picture.name).name
    try:
        return Path(os.path.relpath(source, path.parent)).as_posix()
    except ValueError:  # on another drive of Windows
        return source.resolve().as_posix()
