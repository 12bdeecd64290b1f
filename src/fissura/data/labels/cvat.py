"""CVAT for images 1.1: one XML file for all pictures. Masks are written; masks, polygons and polylines are read.

A mask is a box and the run lengths of its rows, background first
(https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from xml.sax.saxutils import quoteattr

from fissura.data.labels.reading import as_points, check_file, check_size
from fissura.data.labels.rle import decode_runs, encode_runs
from fissura.data.labels.shapes import Annotation, Shape, count_ignored, cut_masks
from fissura.data.labels.sink import LABEL
from fissura.errors import DataError
from fissura.imaging.write import open_text
from fissura.types import BoolMask


class CvatSink:
    """Writes one CVAT file; each connected crack is a mask, exact."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._count = 0
        self._stack = ExitStack()

    def __enter__(self) -> CvatSink:
        self._file = self._stack.enter_context(open_text(self.path))
        self._file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        return self

    def add(self, picture: Path, mask: BoolMask) -> Sequence[Shape]:
        """Write one picture; see `LabelSink`."""
        height, width = mask.shape
        name = quoteattr(printable(picture.name))
        self._file.write(f'  <image id="{self._count}" name={name} width="{width}" height="{height}">\n')
        self._count += 1
        shapes = []
        for crack, left, top in cut_masks(mask):
            rows, columns = crack.shape
            runs = ", ".join(map(str, encode_runs(crack, "rows")))
            self._file.write(
                f'    <mask label="{LABEL}" source="auto" occluded="0" rle="{runs}" left="{left}" top="{top}" '
                f'width="{columns}" height="{rows}" z_order="0">\n    </mask>\n'
            )
            shapes.append(Shape(LABEL, "mask", mask=crack, left=left, top=top))
        self._file.write("  </image>\n")
        return shapes

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.write("</annotations>\n")
        self._stack.__exit__(kind, error, trace)


def printable(text: str) -> str:
    """Without the characters that XML and UTF-8 cannot hold."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in text if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff"))


def read_cvat(path: Path) -> list[Annotation]:
    """Read a CVAT file, picture by picture, so that large files do not fill the memory.

    Raises:
        DataError: The file is missing, empty, no CVAT for images, damaged, or lists no picture. What is wrong with
            one picture stands in `Annotation.problem`.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    check_file(path, "cvat")
    found: list[Annotation] = []
    tracks = 0
    root = None
    try:
        for event, element in iterparse(str(path), events=("start", "end")):
            if event == "start":
                root = element if root is None else root
                continue
            tracks += element.tag == "track"
            if element.tag == "image":
                found.append(_annotation(element, path))
                element.clear()
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise DataError(f"{path} is no whole XML ({error}); export it again") from error
    if root is None or root.tag != "annotations":
        raise DataError(f"{path} is no CVAT file: its outermost element is not <annotations>; choose another --format")
    if not found and tracks:
        raise DataError(f"{path} holds tracks of a video; export the task from CVAT as 'CVAT for images 1.1'")
    if not found:
        raise DataError(f"{path} lists no picture; export it again with pictures")
    return found


def _annotation(element: Any, path: Path) -> Annotation:
    name = str(element.get("name", "")).replace("\\", "/") or f"picture {element.get('id')}"
    size_hw = None
    shapes: list[Shape] = []
    ignored: list[str] = []
    try:
        size_hw = check_size(element.get("height", ""), element.get("width", ""))
        for child in element:
            shape = _shape(child)
            if shape is not None:
                shapes.append(shape)
            elif child.tag not in ("tag", "attribute"):
                ignored.append(str(child.tag))
    except (DataError, ValueError) as error:
        return Annotation(name, size_hw, problem=f"{error}", origin=str(path))
    return Annotation(name, size_hw, tuple(shapes), count_ignored(ignored), origin=str(path))


def _shape(child: Any) -> Shape | None:
    label = str(child.get("label", ""))
    if child.tag == "mask":
        try:
            left, top, width, height = (int(float(child.get(key, ""))) for key in ("left", "top", "width", "height"))
            runs = [int(run) for run in child.get("rle", "").replace(",", " ").split()]
        except (ValueError, OverflowError) as error:
            raise DataError(f"a mask lacks a number, or has one that is none ({error}); export it again") from error
        return Shape(label, "mask", mask=decode_runs(runs, (height, width), "rows"), left=left, top=top)
    if child.tag in ("polygon", "polyline"):
        pairs = [pair.split(",") for pair in child.get("points", "").split(";") if pair.strip()]
        return Shape(label, "polygon" if child.tag == "polygon" else "line", as_points(pairs))
    return None
