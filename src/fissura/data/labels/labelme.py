"""LabelMe: one JSON file a picture. Polygons are written; polygons, lines, circles, rectangles and masks are read.

Shapes and their points are described in https://github.com/wkentaro/labelme; a mask is a PNG in base64 and the box
that it fills.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fissura.data.labels.reading import as_points, check_size, guess_format, read_json
from fissura.data.labels.shapes import Annotation, Shape, count_ignored, cut_polygons
from fissura.data.labels.sink import LABEL
from fissura.errors import DataError
from fissura.imaging.outlines import Ring
from fissura.imaging.write import open_text
from fissura.types import BoolMask

_VERSION = "5.4.1"
_LINES = {"line", "linestrip"}


class LabelmeSink:
    """Writes one LabelMe file a picture into a folder."""

    def __init__(self, path: Path, *, simplify_px: float = 0.0) -> None:
        self.path, self._simplify_px = path, simplify_px

    def __enter__(self) -> LabelmeSink:
        return self

    def add(self, picture: Path, mask: BoolMask) -> Sequence[Shape]:
        """Write one picture; see `LabelSink`."""
        record = describe_picture(cut_polygons(mask, self._simplify_px), self._address(picture), mask.shape)
        with open_text(self.path / f"{picture.stem}.json") as file:
            json.dump(record, file)
        return [Shape(LABEL, "polygon", as_points(shape["points"])) for shape in record["shapes"]]

    def _address(self, picture: Path) -> str:
        """From the label to the picture."""
        try:
            return Path(os.path.relpath(picture, self.path)).as_posix()
        except ValueError:  # on another drive of Windows
            return picture.resolve().as_posix()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def describe_picture(cracks: Iterable[Sequence[Ring]], address: str, size_hw: tuple[int, ...]) -> dict[str, Any]:
    """A LabelMe file: polygons of one crack share a group where there are several.

    Args:
        cracks: Polygons of each crack.
        address: Of the picture, from the file.
        size_hw: Height and width of the picture.
    """
    shapes = [
        {"label": LABEL, "points": ring.tolist(), "group_id": group if len(crack) > 1 else None,
         "shape_type": "polygon", "flags": {}}
        for group, crack in enumerate(cracks, 1) for ring in crack
    ]  # fmt: skip
    return {
        "version": _VERSION, "flags": {}, "shapes": shapes, "imagePath": address, "imageData": None,
        "imageHeight": size_hw[0], "imageWidth": size_hw[1],
    }  # fmt: skip


def read_labelme(path: Path) -> list[Annotation]:
    """Read a LabelMe file, or all of a folder, with its folders.

    Raises:
        DataError: There is none. What is wrong with one file stands in `Annotation.problem`.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.json") if _may_be_ours(p))
    if not files:
        raise DataError(f"{path} holds no LabelMe file; LabelMe saves a .json beside each picture")
    found = [_read(file, path if path.is_dir() else path.parent) for file in files]
    if len(found) == 1 and found[0].problem:
        raise DataError(found[0].problem)
    return found


def _may_be_ours(path: Path) -> bool:
    """Whether a file of a folder is a label, perhaps a damaged one, and no other JSON."""
    if path.name.startswith("."):
        return False
    return guess_format(path) == "labelme" or path.stat().st_size == 0


def _read(path: Path, root: Path) -> Annotation:
    name = path.relative_to(root).as_posix()
    try:
        record = read_json(path, "labelme")
        if not isinstance(record, dict) or not isinstance(record.get("shapes"), list):
            raise DataError(f"{path} is no LabelMe file: it has no list 'shapes'; choose another --format")
        address = str(record.get("imagePath") or "").replace("\\", "/")
        size = record.get("imageHeight"), record.get("imageWidth")
        size_hw = None if size[0] is None or size[1] is None else check_size(*size)
        shapes, ignored = _shapes(record["shapes"])
        data = record.get("imageData")
        embedded = base64.b64decode(data) if isinstance(data, str) and data else None
    except (DataError, ValueError, TypeError, KeyError) as error:
        return Annotation(name, None, problem=str(error), origin=str(path))
    # The address starts from the label file. Whatever it says, the name stays below the folder of the pictures.
    folder = Path(name).parent.as_posix()
    name = address.rsplit("/", 1)[-1] or f"{path.stem}.jpg"
    name = name if folder == "." else f"{folder}/{name}"
    return Annotation(name, size_hw, tuple(shapes), count_ignored(ignored), embedded=embedded, origin=str(path))


def _shapes(records: list[Any]) -> tuple[list[Shape], list[str]]:
    shapes, ignored = [], []
    for record in records:
        label, kind = str(record["label"]), str(record.get("shape_type") or "polygon")
        points = as_points(record["points"])
        if kind == "polygon":
            shapes.append(Shape(label, "polygon", points))
        elif kind in _LINES:
            shapes.append(Shape(label, "line", points))
        elif kind == "rectangle" and len(points) == 2:
            (x0, y0), (x1, y1) = points
            shapes.append(Shape(label, "polygon", np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])))
        elif kind == "circle" and len(points) == 2:
            angles = np.linspace(0, 2 * np.pi, 65)[:-1]
            radius = np.hypot(*(points[1] - points[0]))
            circle = points[0] + radius * np.column_stack([np.cos(angles), np.sin(angles)])
            shapes.append(Shape(label, "polygon", circle))
        elif kind == "mask":
            shapes.append(_mask(record, label, points))
        else:
            ignored.append(kind)
    return shapes, ignored


def _mask(record: dict[str, Any], label: str, points: Any) -> Shape:
    from PIL import Image

    try:
        with Image.open(BytesIO(base64.b64decode(record["mask"]))) as image:
            mask = np.asarray(image.convert("L")) > 0
    except (KeyError, TypeError, OSError, binascii.Error) as error:
        raise DataError(f"a shape of kind mask holds no PNG ({error}); save the file again in LabelMe") from error
    left, top = (int(v) for v in points.min(axis=0)) if len(points) else (0, 0)
    return Shape(label, "mask", mask=np.asarray(mask, np.bool_), left=left, top=top)
