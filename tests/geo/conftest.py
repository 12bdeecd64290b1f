"""Photos with just the fields a test wants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

BASE, GPS = ExifTags.Base, ExifTags.GPS
DJI = "http://www.dji.com/drone-dji/1.0/"


def _xmp(fields: dict[str, str], elements: bool) -> bytes:
    if elements:
        inner = "".join(f"<drone-dji:{name}>{value}</drone-dji:{name}>" for name, value in fields.items())
        body = f'<rdf:Description rdf:about="" xmlns:drone-dji="{DJI}">{inner}</rdf:Description>'
    else:
        inner = " ".join(f'drone-dji:{name}="{value}"' for name, value in fields.items())
        body = f'<rdf:Description rdf:about="" xmlns:drone-dji="{DJI}" {inner}/>'
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f"{body}</rdf:RDF></x:xmpmeta>"
    ).encode()


def write(
    path: Path,
    size_wh: tuple[int, int] = (400, 300),
    *,
    model: str = "",
    make: str = "DJI",
    detail: dict[str, object] | None = None,
    gps: dict[str, object] | None = None,
    xmp: dict[str, str] | None = None,
    elements: bool = False,
    orientation: int = 1,
    software: str = "",
) -> Path:
    """A grey JPEG; ``detail`` and ``gps`` by EXIF tag name, ``xmp`` by DJI property name."""
    exif = Image.Exif()
    exif[BASE.Make], exif[BASE.Orientation] = make, orientation
    if model:
        exif[BASE.Model] = model + "\0\0\0"
    if software:
        exif[BASE.Software] = software
    for name, value in (detail or {}).items():
        if isinstance(value, float):
            value = IFDRational(round(value * 1000), 1000)
        exif.get_ifd(ExifTags.IFD.Exif)[BASE[name].value] = value
    for name, value in (gps or {}).items():
        exif.get_ifd(ExifTags.IFD.GPSInfo)[GPS[name].value] = value
    options = {"xmp": _xmp(xmp, elements)} if xmp is not None else {}
    Image.new("RGB", size_wh, (128, 128, 128)).save(path, "JPEG", exif=exif, **options)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    """``photo(size_wh, model=..., detail=..., gps=..., xmp=...)`` writes a photo and gives its path."""
    count = 0

    def make(*args: object, **options: object) -> Path:
        nonlocal count
        count += 1
        return write(tmp_path / f"photo{count}.jpg", *args, **options)  # type: ignore[arg-type]

    return make
