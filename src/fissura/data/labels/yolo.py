"""YOLO-seg: one text file a picture, one polygon a line: the class and x, y in turn, as shares of width and height.

The layout is that of https://docs.ultralytics.com/datasets/segment/: ``images/`` and ``labels/`` side by side, and
``data.yaml`` with the names of the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType

import numpy as np

from fissura.data.labels.reading import as_points
from fissura.data.labels.shapes import Annotation, Shape, count_ignored, cut_polygons
from fissura.data.labels.sink import LABEL
from fissura.data.pairs import IMAGE_SUFFIXES
from fissura.errors import DataError
from fissura.imaging.write import open_text
from fissura.types import BoolMask

_DIGITS = 7
"""Of a share: a ten thousandth of a pixel in pictures of a thousand."""


class YoloSink:
    """Writes ``labels/<stem>.txt`` and ``data.yaml`` into a folder; pictures without cracks get an empty file."""

    def __init__(self, path: Path, *, simplify_px: float = 0.0) -> None:
        self.path, self._simplify_px = path, simplify_px

    def __enter__(self) -> YoloSink:
        return self

    def add(self, picture: Path, mask: BoolMask) -> Sequence[Shape]:
        """Write one picture; see `LabelSink`."""
        size_wh = np.array([mask.shape[1], mask.shape[0]], np.float64)
        cracks = cut_polygons(mask, self._simplify_px)
        shares = [np.round(ring / size_wh, _DIGITS) for crack in cracks for ring in crack]
        with open_text(self.path / "labels" / f"{picture.stem}.txt") as file:
            for ring in shares:
                file.write("0 " + " ".join(f"{value:.{_DIGITS}g}" for value in ring.ravel()) + "\n")
        return [Shape(LABEL, "polygon", ring * size_wh) for ring in shares]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            with open_text(self.path / "data.yaml") as file:
                file.write(f"path: .\ntrain: images\nval: images\nnames:\n  0: {LABEL}\n")


def read_yolo(path: Path) -> list[Annotation]:
    """Read a folder of YOLO-seg; points stay shares of the picture, see `to_pixels`.

    Raises:
        DataError: There is no label. What is wrong with one file stands in `Annotation.problem`.
    """
    if path.is_file():
        raise DataError(f"{path} is a file; give the folder that holds labels/ and, as a rule, images/")
    root = path / "labels" if (path / "labels").is_dir() else path
    files = sorted(p for p in root.rglob("*.txt") if not p.name.startswith(".") and p.name != "classes.txt")
    if not files:
        raise DataError(f"{root} holds no .txt file; YOLO-seg has one for each picture in labels/")
    names = _names(path)
    return [_read(file, root, names) for file in files]


def to_pixels(annotation: Annotation, size_hw: tuple[int, int]) -> Annotation:
    """Shares of the picture as pixels."""
    size_wh = np.array([size_hw[1], size_hw[0]], np.float64)
    shapes = tuple(Shape(shape.label, shape.kind, shape.points * size_wh) for shape in annotation.shapes)
    return Annotation(annotation.name, size_hw, shapes, annotation.ignored, annotation.problem, None, annotation.origin)


def find_picture(name: str, folder: Path) -> Path | None:
    """The picture of a label, whose suffix YOLO does not know."""
    stem = folder / PurePosixPath(name)
    return next((p for s in sorted(IMAGE_SUFFIXES) for p in (stem.with_name(stem.name + s),) if p.is_file()), None)


def _names(path: Path) -> dict[int, str]:
    import yaml

    for name in ("data.yaml", "dataset.yaml"):
        try:
            record = yaml.safe_load((path / name).read_text("utf-8"))
            names = record["names"]
            return {int(k): str(v) for k, v in (names.items() if isinstance(names, dict) else enumerate(names))}
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
            continue
    return {}


def _read(path: Path, root: Path, names: dict[int, str]) -> Annotation:
    name = path.relative_to(root).with_suffix("").as_posix()
    shapes = []
    boxes: list[int] = []
    try:
        for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
            words = line.split()
            if not words:
                continue
            if len(words) == 5:
                as_points(words[1:])
                boxes.append(number)
                continue
            kind, points = int(float(words[0])), as_points(words[1:])
            if points.size and (points.max() > 1.5 or points.min() < -0.5):
                wrong = points.max() if points.max() > 1.5 else points.min()
                raise DataError(f"line {number} has {wrong:g} where shares from 0 to 1 are needed")
            shapes.append(Shape(names.get(kind, f"class {kind}"), "polygon", points))
        if boxes and not shapes:
            raise DataError(f"line {boxes[0]} is a box, not an outline; export for segmentation (YOLO-seg)")
    except (DataError, ValueError, OverflowError, OSError) as error:
        return Annotation(name, None, problem=f"{path.name}: {error}", origin=str(path))
    return Annotation(name, None, tuple(shapes), count_ignored(["box"] * len(boxes)), origin=str(path))
