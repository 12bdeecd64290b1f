"""The formats by name."""

from __future__ import annotations

from pathlib import Path

from fissura.data.labels.coco import CocoSink, read_coco
from fissura.data.labels.cvat import CvatSink, read_cvat
from fissura.data.labels.labelme import LabelmeSink, read_labelme
from fissura.data.labels.reading import guess_format
from fissura.data.labels.shapes import Annotation
from fissura.data.labels.sink import LabelSink
from fissura.data.labels.yolo import YoloSink, read_yolo
from fissura.errors import DataError, SettingsError

FORMATS = ("coco", "coco-rle", "yolo-seg", "cvat", "labelme")
EXACT = frozenset({"coco-rle", "cvat"})
"""Formats that hold the pixels themselves."""

_FILES = {"coco": ("annotations.json", ".json"), "coco-rle": ("annotations.json", ".json"),
          "cvat": ("annotations.xml", ".xml")}  # fmt: skip


def check_format(name: str) -> None:
    """Raises SettingsError if there is no format of that name."""
    if name not in FORMATS:
        raise SettingsError(f"--format {name} is unknown; choose {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")


def open_sink(name: str, out: Path, *, simplify_px: float = 0.0) -> LabelSink:
    """A writer of a format.

    Args:
        name: One of `FORMATS`.
        out: The folder, or the file itself where the format has one.
        simplify_px: For polygons, see `cut_polygons`.
    """
    check_format(name)
    if name == "yolo-seg":
        return YoloSink(out, simplify_px=simplify_px)
    if name == "labelme":
        return LabelmeSink(out, simplify_px=simplify_px)
    file, suffix = _FILES[name]
    path = out if out.suffix.lower() == suffix else out / file
    return CvatSink(path) if name == "cvat" else CocoSink(path, run_lengths=name == "coco-rle", simplify_px=simplify_px)


def read_annotations(name: str, source: Path) -> list[Annotation]:
    """All that a file or a folder says.

    Raises:
        SettingsError: There is no such format.
        DataError: The source holds nothing of that format.
    """
    check_format(name)
    if not source.exists():
        raise DataError(f"{source} does not exist; check the path")
    if name == "yolo-seg":
        return read_yolo(source)
    if name == "labelme":
        return read_labelme(source)
    suffix = _FILES[name][1]
    path = _find_file(source, suffix, "cvat" if name == "cvat" else "coco") if source.is_dir() else source
    return read_cvat(path) if name == "cvat" else read_coco(path)


def _find_file(folder: Path, suffix: str, wanted: str) -> Path:
    files = [p for p in sorted(folder.rglob(f"*{suffix}")) if not p.name.startswith(".")]
    fitting = [p for p in files if guess_format(p) == wanted]
    if len(fitting) == 1:
        return fitting[0]
    if not files:
        raise DataError(f"{folder} holds no {suffix} file; give the file of the annotations")
    if not fitting:
        looks = guess_format(files[0])
        hint = f"{files[0].name} looks like {looks}: pass --format {looks}" if looks else "choose another --format"
        raise DataError(f"{folder} holds no {wanted} file; {hint}")
    names = ", ".join(p.relative_to(folder).as_posix() for p in fitting[:4])
    raise DataError(f"{folder} holds {len(fitting)} {wanted} files ({names}); give the one that is meant")
