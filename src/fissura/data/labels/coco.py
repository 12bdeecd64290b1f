"""COCO: one JSON file for all pictures, each crack an object of polygons or of run lengths.

Read are polygons and run lengths, as numbers and as text, in the layout of "object detection" files
(https://cocodataset.org/#format-data). Run lengths are written as text with ``iscrowd`` 0: with 1, which the format
describes for run lengths, training tools would ignore the object.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fissura.data.labels.reading import as_points, check_size, read_json
from fissura.data.labels.rle import box_of, decode_runs, encode_runs, runs_to_text, text_to_runs
from fissura.data.labels.shapes import Annotation, Shape, count_ignored, cut_masks, cut_polygons
from fissura.data.labels.sink import LABEL
from fissura.errors import DataError
from fissura.imaging.outlines import Ring
from fissura.imaging.write import open_text
from fissura.types import BoolMask


class CocoSink:
    """Writes one COCO file.

    Args:
        path: The JSON file.
        run_lengths: Masks as run lengths, exact; else polygons.
        simplify_px: See `cut_polygons`.
    """

    def __init__(self, path: Path, *, run_lengths: bool, simplify_px: float = 0.0) -> None:
        self.path, self._run_lengths, self._simplify_px = path, run_lengths, simplify_px
        self._images: list[dict[str, Any]] = []
        self._count = 0
        self._stack = ExitStack()

    def __enter__(self) -> CocoSink:
        self._file = self._stack.enter_context(open_text(self.path))
        head = {"description": "cracks, written by fissura", "version": "1.0"}
        category = {"id": 1, "name": LABEL, "supercategory": ""}
        self._file.write(f'{{"info": {json.dumps(head)}, "licenses": [], "categories": [{json.dumps(category)}], ')
        self._file.write('"annotations": [')
        return self

    def add(self, picture: Path, mask: BoolMask) -> Sequence[Shape]:
        """Write one picture; see `LabelSink`."""
        height, width = mask.shape
        number = len(self._images) + 1
        self._images.append({"id": number, "file_name": picture.name, "width": width, "height": height})
        shapes: list[Shape] = []
        for fields, found in self._objects(mask):
            self._count += 1
            record = {"id": self._count, "image_id": number, "category_id": 1, "iscrowd": 0, **fields}
            self._file.write(("" if self._count == 1 else ",") + "\n" + json.dumps(record))
            shapes += found
        return shapes

    def _objects(self, mask: BoolMask) -> Any:
        if self._run_lengths:
            return map(_as_runs(mask), cut_masks(mask))
        return map(_as_polygons, cut_polygons(mask, self._simplify_px))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            images = ",".join("\n" + json.dumps(image) for image in self._images)
            self._file.write(f'\n], "images": [{images}\n]}}\n')
        self._stack.__exit__(kind, error, trace)


def describe_polygons(crack: Sequence[Ring]) -> dict[str, Any]:
    """The fields of a COCO annotation that say where a crack is: its polygons, the box around its pixels, the area."""
    points = np.concatenate(list(crack))
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    return {
        "segmentation": [ring.ravel().tolist() for ring in crack],
        "bbox": [float(v) for v in (*low, *(high - low))],
        "area": round(sum(_area(ring) for ring in crack), 2),
    }


def _as_polygons(crack: list[Ring]) -> tuple[dict[str, Any], list[Shape]]:
    return describe_polygons(crack), [Shape(LABEL, "polygon", ring) for ring in crack]


def _as_runs(mask: BoolMask) -> Any:
    height, width = mask.shape

    def convert(part: tuple[BoolMask, int, int]) -> tuple[dict[str, Any], list[Shape]]:
        crack, left, top = part
        runs = _widen(encode_runs(np.pad(crack, ((top, height - top - crack.shape[0]), (0, 0))), "columns"),
                      left * height, (width - left - crack.shape[1]) * height)  # fmt: skip
        fields = {
            "segmentation": {"size": [height, width], "counts": runs_to_text(runs)},
            "bbox": [float(v) for v in (left, top, crack.shape[1], crack.shape[0])],
            "area": float(crack.sum()),
        }
        return fields, [Shape(LABEL, "mask", mask=crack, left=left, top=top)]

    return convert


def _widen(runs: list[int], before: int, after: int) -> list[int]:
    """Run lengths of some columns as those of the whole picture."""
    runs = [runs[0] + before, *runs[1:]]
    if not after:
        return runs
    return [*runs, after] if len(runs) % 2 == 0 else [*runs[:-1], runs[-1] + after]


def _area(ring: Ring) -> float:
    x, y = (ring - ring[0]).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def read_coco(path: Path) -> list[Annotation]:
    """Read a COCO file.

    Raises:
        DataError: The file is missing, empty, no COCO, or lists no picture. What is wrong with one picture stands in
            `Annotation.problem`.
    """
    record = read_json(path, "coco")
    images = record.get("images") if isinstance(record, dict) else None
    objects = record.get("annotations") if isinstance(record, dict) else None
    if not isinstance(images, list) or not isinstance(objects, list):
        raise DataError(
            f"{path} is no COCO file: it has no lists 'images' and 'annotations'; give the file of the kind "
            "'instances', or choose another --format"
        )
    if not images:
        raise DataError(f"{path} lists no picture; export it again with pictures")
    labels = {c.get("id"): str(c.get("name")) for c in record.get("categories") or [] if isinstance(c, dict)}
    of_picture: dict[Any, list[dict[str, Any]]] = {}
    for item in objects:
        if isinstance(item, dict):
            of_picture.setdefault(item.get("image_id"), []).append(item)
    known = {image.get("id") for image in images if isinstance(image, dict)}
    lonely = sum(len(items) for number, items in of_picture.items() if number not in known)
    found = [_annotation(image, of_picture, labels, path) for image in images if isinstance(image, dict)]
    if lonely:
        problem = f"{lonely} annotation(s) name a picture that the file does not list"
        found.append(Annotation(f"({path.name})", None, problem=problem, origin=str(path)))
    return found


def _annotation(
    image: dict[str, Any], objects: dict[Any, list[dict[str, Any]]], labels: dict[Any, str], path: Path
) -> Annotation:
    name = str(image.get("file_name", "")).replace("\\", "/") or f"picture {image.get('id')}"
    shapes: list[Shape] = []
    boxes: list[str] = []
    size_hw = None
    try:
        size_hw = check_size(image["height"], image["width"])
        for item in objects.get(image.get("id"), []):
            label = labels.get(item.get("category_id"), f"category {item.get('category_id')}")
            if item.get("segmentation") in (None, []):
                boxes.append("box")
            else:
                shapes += _shapes(item["segmentation"], label, size_hw)
        if boxes and not shapes:
            raise DataError("an object has only a box and no outline; export with polygons or masks ('segmentation')")
    except KeyError as error:
        return Annotation(name, size_hw, problem=f"its entry has no {error}; export the file again", origin=str(path))
    except (DataError, ValueError, TypeError) as error:
        return Annotation(name, size_hw, problem=str(error), origin=str(path))
    return Annotation(name, size_hw, tuple(shapes), count_ignored(boxes), origin=str(path))


def _shapes(segmentation: Any, label: str, size_hw: tuple[int, int]) -> list[Shape]:
    if isinstance(segmentation, dict):
        counts, size = segmentation.get("counts"), segmentation.get("size")
        if not isinstance(counts, (str, list)) or not isinstance(size, list) or len(size) != 2:
            raise DataError("a mask of run lengths lacks its 'counts' or its 'size'; export the file again")
        own_hw = int(size[0]), int(size[1])
        if own_hw != size_hw:
            raise DataError(
                f"a mask is {own_hw[1]}x{own_hw[0]} but the picture is {size_hw[1]}x{size_hw[0]}; they must be equal"
            )
        mask = decode_runs(text_to_runs(counts) if isinstance(counts, str) else counts, own_hw, "columns")
        box = box_of(mask)
        if box is None:
            return []
        left, top, width, height = box
        return [Shape(label, "mask", mask=mask[top : top + height, left : left + width].copy(), left=left, top=top)]
    if isinstance(segmentation, list):
        return [Shape(label, "polygon", as_points(polygon)) for polygon in segmentation]
    raise DataError("an object's outline is neither polygons nor run lengths; export the file again")
