"""Numbers, dates and field names of `report.html` as people read them.

Thousands are set apart by thin spaces and a number keeps its unit by a no-break space, so neither breaks over a line.
Dates name the month: 4/5/2026 is two different days in two countries.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

THIN, HARD = "\u2009", "\u00a0"
UNKNOWN = "–"

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

FIELD_NAMES = {
    "id": "Branch", "crack_id": "Crack", "class": "Class", "orientation_deg": "Orientation", "length_m": "Length",
    "length_px": "Length", "width_mean_mm": "Mean width", "width_median_mm": "Median width",
    "width_p95_mm": "Width, 95 % below", "width_max_mm": "Widest spot", "width_sigma_mm": "Standard error of the width",
    "width_mean_px": "Mean width", "width_median_px": "Median width", "width_p95_px": "Width, 95 % below",
    "width_max_px": "Widest spot", "width_sigma_px": "Standard error of the width", "gsd_mm": "Size of a pixel (GSD)",
    "below_gsd": "Finer than the pixels can show", "severity": "Severity", "standard": "Rules", "zone": "Zone",
    "confidence": "Confidence", "source_frame": "Frame", "captured_at": "Taken", "model": "Model",
    "bridged_share": "Bridged over gaps", "left_px": "Left", "top_px": "Top", "right_px": "Right",
    "bottom_px": "Bottom", "notes": "Notes", "extent": "Extent", "position_sigma_m": "Standard error of the place",
    "chainage_m": "Chainage", "offset_m": "Beside the route",
}  # fmt: skip
"""What the fields of a crack are called for people."""

_UNITS = (("_mm", "mm"), ("_m2", "m²"), ("_px2", "px²"), ("_px", "px"), ("_m", "m"), ("_deg", "°"))


def number(value: float | int | None, digits: int = 0) -> str:
    r"""With thin spaces between thousands and a true minus; a dash if it is not known.

    >>> number(12345.678, 1), number(None), number(-2)
    ('12\u2009345.7', '–', '−2')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace(",", THIN).replace("-", "−")


def significant(value: float | None, digits: int = 3) -> str:
    r"""As many digits after the point as make `digits` in all, none of them after a number of four.

    >>> significant(0.12345), significant(3.14159), significant(12345.6), significant(0.0)
    ('0.123', '3.14', '12\u2009346', '0')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    return number(value, min(max(digits - 1 - math.floor(math.log10(abs(value)) + 1e-12), 0), 6))


def measure(value: float | None, unit: str, digits: int = 3) -> str:
    r"""A number of `digits` significant digits with its unit.

    >>> measure(3.14159, "mm")
    '3.14\xa0mm'
    """
    text = significant(value, digits)
    return text if text == UNKNOWN else f"{text}{HARD}{unit}"


def with_error(value: float | None, sigma: float | None) -> str:
    """A value and its standard error with two digits of the error, ``8.6 ± 1.7``; the value alone without one.

    >>> with_error(8.617, 1.71), with_error(0.3456, 0.021), with_error(4.0, None)
    ('8.6 ± 1.7', '0.346 ± 0.021', '4.00')
    """
    if value is None or sigma is None or not (math.isfinite(sigma) and sigma > 0):
        return significant(value)
    digits = min(max(1 - math.floor(math.log10(sigma)), 0), 4)
    return f"{number(value, digits)} ± {number(sigma, digits)}"


def count(value: int, one: str, many: str | None = None) -> str:
    """A number of things: ``1 crack``, ``3 cracks``."""
    return f"{number(value)}{HARD}{one if value == 1 else many or one + 's'}"


def percent(share: float | None) -> str:
    r"""Whole percents, but never 0 or 100 for what only almost is.

    >>> percent(0.9996), percent(0.5), percent(0.001)
    ('>\u200999\xa0%', '50\xa0%', '<\u20091\xa0%')
    """
    if share is None or not math.isfinite(share):
        return UNKNOWN
    whole = round(100 * share)
    if whole >= 100 and share < 1 - 1e-9:
        return f">{THIN}99{HARD}%"
    if whole <= 0 and share > 0:
        return f"<{THIN}1{HARD}%"
    return f"{whole}{HARD}%"


def date(value: datetime | None, *, seconds: bool = False) -> str:
    """``4 May 2026, 10:30``, with the offset from UTC if the time has one."""
    if value is None:
        return UNKNOWN
    clock = value.strftime("%H:%M:%S" if seconds else "%H:%M")
    offset = value.strftime("%z")
    zone = "" if not offset else " UTC" if offset == "+0000" else f" UTC{offset[:3]}:{offset[3:5]}"
    return f"{value.day}{HARD}{_MONTHS[value.month - 1]}{HARD}{value.year}, {clock}{zone}"


def chainage(span: tuple[float, float] | None) -> str:
    """First and last metre along the route."""
    if span is None:
        return UNKNOWN
    first, last = number(span[0], 1), number(span[1], 1)
    return f"{first}{HARD}m" if first == last else f"{first}–{last}{HARD}m"


def unit_of(name: str) -> str:
    """Unit that a field's name ends in; empty without one."""
    return next((unit for end, unit in _UNITS if name.endswith(end)), "")


def in_words(name: str, value: Any) -> str:
    """A field's value for people."""
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return date(value, seconds=True)
    if name in ("confidence", "bridged_share"):
        return percent(float(value))
    if isinstance(value, float):
        unit = unit_of(name)
        return f"{number(value, 0)}°" if unit == "°" else measure(value, unit) if unit else significant(value)
    return f"{value}{HARD}{unit_of(name)}" if unit_of(name) else str(value)


def as_anchor(text: str) -> str:
    """A name that may stand in an ``id``: small letters, digits and hyphens; other signs by their code points.

    >>> as_anchor("Very low"), as_anchor("low+"), as_anchor("低")
    ('very-low', 'low-2b', '4f4e')
    """
    spelt = re.sub(r"[^a-z0-9\s_-]", lambda sign: f"-{ord(sign[0]):x}-", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", spelt).strip("-") or "x"


def as_float(value: Any) -> float | None:
    """A field as a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
