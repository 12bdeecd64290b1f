"""Sensor sizes of common cameras, by what EXIF calls them.

Only entries we are sure of. Sizes are the active area in millimetres, from the makers' data sheets, or from pixel
pitch times pixels where a sheet gives only an optical format such as 1/2.3". Several drones write one model name for
two or three cameras; a range of focal lengths or a picture width tells them apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fissura.geo.metadata import PhotoMetadata


@dataclass(frozen=True)
class Sensor:
    """An image sensor.

    Attributes:
        width_mm: Long side of the active area, in millimetres.
        height_mm: Short side, in millimetres.
        sigma: Relative standard error of both.
    """

    width_mm: float
    height_mm: float
    sigma: float = 0.01


FULL_FRAME = Sensor(35.9, 24.0)
APS_C = Sensor(23.5, 15.6)
APS_C_CANON = Sensor(22.3, 14.9)
FOUR_THIRDS = Sensor(17.3, 13.0)
ONE_INCH = Sensor(13.2, 8.8)
# Small sensors: data sheets give the optical format, and pictures use 97 to 100 % of the width.
INCH_1_1_3 = Sensor(9.68, 7.26, sigma=0.02)
INCH_1_2 = Sensor(6.4, 4.8, sigma=0.02)
INCH_1_2_3 = Sensor(6.17, 4.63, sigma=0.02)


@dataclass(frozen=True)
class _Entry:
    """Models (regular expression over the whole name, case ignored) and what tells their cameras apart."""

    models: str
    sensor: Sensor
    focal_mm: tuple[float, float] = (0.0, 1e6)
    long_side_px: int | None = None


_TABLE = (
    # DJI, by the camera's code: Phantom 2 Vision+ to 4, Inspire 1, Mavic Pro, Spark, Mavic Air, Mavic 2 Zoom,
    # Mavic Mini, Mini 2.
    _Entry("FC200|FC300[CSX]|FC330|FC350Z?|FC220|FC1102|FC2103|FC2204|FC7203|FC7303", INCH_1_2_3),
    # Phantom 4 Pro, its V2 and RTK, Zenmuse X4S, Mavic 2 Pro, Air 2S, Zenmuse L1.
    _Entry("FC6310[RS]?|FC6510|L1D-20c|FC3411|ZenmuseL1", ONE_INCH),
    # Zenmuse X5, X5R and X5S.
    _Entry("FC550(RAW)?|FC6520", FOUR_THIRDS),
    _Entry("FC6540", Sensor(23.5, 15.7)),  # Zenmuse X7
    _Entry("FC3170", INCH_1_2),  # Mavic Air 2
    _Entry("FC3582|FC3682|FC8482", INCH_1_1_3),  # Mini 3 Pro, Mini 3, Mini 4 Pro
    _Entry("FC8282", INCH_1_1_3),  # Air 3, wide
    _Entry("L2D-20c", FOUR_THIRDS, focal_mm=(11.0, 14.0)),  # Mavic 3, wide
    _Entry("ZenmuseP1", FULL_FRAME),
    # Mavic 3 Enterprise: three cameras under two names.
    _Entry("M3E|M3M", FOUR_THIRDS, focal_mm=(11.0, 14.0)),
    _Entry("M3E|M3T", INCH_1_2, focal_mm=(25.0, 35.0)),
    _Entry("M3T|M3TD", Sensor(7.68, 6.14), long_side_px=640),
    _Entry("M3T", INCH_1_2, focal_mm=(4.0, 5.0)),
    # Matrice 30 and Zenmuse H20: wide, zoom and thermal.
    _Entry("M30T", Sensor(7.68, 6.14), long_side_px=640),
    _Entry("M30T?", INCH_1_2, focal_mm=(4.0, 5.0)),
    _Entry("M30T?", INCH_1_2, focal_mm=(20.0, 80.0)),
    _Entry("ZH20T", Sensor(7.68, 6.14), long_side_px=640),
    _Entry("ZH20T?", Sensor(6.29, 4.71, sigma=0.02), focal_mm=(4.0, 5.0)),
    _Entry("ZH20T?", Sensor(7.41, 5.56, sigma=0.02), focal_mm=(6.0, 120.0)),
    # Parrot ANAFI, full sensor only: its "rectilinear" pictures are cut and stretched.
    _Entry("Anafi", Sensor(5.99, 4.5, sigma=0.02), long_side_px=5344),
    # Sony.
    _Entry(r"ILCE-(7|9|1)([A-Z].*)?|DSC-RX1(R|RM2)?", FULL_FRAME),
    _Entry(r"ILCE-(5\d00|6\d00)[A-Z]?|ILCE-QX1|NEX-(5[NRT]?|6|7)", APS_C),
    _Entry(r"DSC-RX100(M\d)?A?|DSC-RX0(M2)?", ONE_INCH),
    # Nikon.
    _Entry(r"NIKON (D[3456]S?|D600|D610|D7[05]0|D780|D8[015]0E?|Z ?[5-9](_?2)?)", FULL_FRAME),
    _Entry(r"NIKON (D[35][0-9]00|D7[0-9]00|D500|Z ?(50|30|fc))", APS_C),
    # Canon.
    _Entry(r"Canon EOS (5D.*|6D.*|1D ?X.*|5DS.*|R|RP|R[3568]( ?Mark.*| ?m2)?)", FULL_FRAME),
    _Entry(r"Canon EOS (7D.*|[2-9]0D|[1-9][05]0D|R(7|10|50|100)|M\d*|Rebel.*)", APS_C_CANON),
    # Phase One, medium format.
    _Entry("iXM-(RS)?100.?", Sensor(43.9, 32.9)),
    _Entry("iXM-RS150.?", Sensor(53.4, 40.0)),
    # Phones whose main camera is documented; the others state a 35-mm equivalent.
    _Entry("iPhone (6s|6s Plus|7|8|SE)", Sensor(4.92, 3.69, sigma=0.02), focal_mm=(3.9, 4.2)),
)


def find_sensor(metadata: PhotoMetadata) -> Sensor | None:
    """The sensor of a photo's camera, or None if the table does not know it."""
    long_side = max(metadata.exif_size_hw or metadata.size_hw)
    focal = metadata.focal_mm
    for entry in _TABLE:
        if not re.fullmatch(entry.models, metadata.model, flags=re.IGNORECASE):
            continue
        if entry.long_side_px is not None and entry.long_side_px != long_side:
            continue
        if focal is None or entry.focal_mm[0] <= focal <= entry.focal_mm[1]:
            return entry.sensor
    return None
